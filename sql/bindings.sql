--
-- What is remembered of the application's tables, and when it no longer holds; ids of any length.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA bindings_test;
SET search_path = bindings_test, public;
CREATE TABLE workspace (id text PRIMARY KEY DEFERRABLE, name text, slug text, plan text, owner_id text);
CREATE TABLE workspace_member (workspace_id text, user_id text, role text);
CREATE TABLE "user" (id text PRIMARY KEY, name text, email text);
INSERT INTO "user" VALUES ('maya', 'Maya', 'maya@example.com');
CREATE TABLE board (id text PRIMARY KEY, workspace_id text, name text);
CREATE TABLE forum (id text, parent_id text, board_id text, body text, author_id text, hidden boolean);
INSERT INTO workspace VALUES ('bi1', 'One', 'bindings', 'starter', 'olivia'), ('bi2', 'Two', 'two', 'starter', 'olivia');
INSERT INTO workspace_member VALUES ('bi1', 'maya', 'member');
INSERT INTO board VALUES ('b', 'bi1', 'Ideas'), ('b2', 'bi2', 'Other');
SET featul_integrations.user_id = 'olivia';

-- one table as two sources: what starts a thread is a post, what answers a comment
SELECT count(*) FROM integration_attach('bindings_test', '{
	"post": {"table": "forum", "columns": {"title": "left(body, 20)", "content": "body", "visible": "parent_id is null and hidden is not true"}},
	"comment": {"table": "forum", "columns": {"post_id": "parent_id", "content": "upper(body)", "visible": "parent_id is not null and hidden is not true"}}}');
SELECT message FROM integration_connect('bindings', 'webhook', 'https://example.com/');
CREATE FUNCTION pg_temp.news() RETURNS TABLE (event text, post text, content text) LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM featul_integrations.event WHERE workspace_id LIKE 'bi_' RETURNING *)
	SELECT name, left(post_id, 10), left(coalesce(payload #>> '{comment,content}', payload #>> '{post,content}'), 20) FROM gone ORDER BY id
$$;
INSERT INTO forum VALUES ('t1', NULL, 'b', 'a thread', 'olivia');
INSERT INTO forum VALUES ('t2', NULL, 'b', 'another', 'olivia'), ('a1', 't1', 'b', 'an answer', 'maya');
INSERT INTO forum VALUES ('a2', 't2', 'b', 'one more', 'maya'), ('t3', NULL, 'b', 'a third', 'olivia');
UPDATE forum SET hidden = true;
UPDATE forum SET hidden = false;
UPDATE forum SET hidden = true WHERE id = 't3';
SELECT * FROM pg_temp.news();
SELECT source, count(*) FROM featul_integrations.mark WHERE id IN (SELECT id FROM forum) GROUP BY 1 ORDER BY 1;

-- ids as long as a key of the application's own may be, and longer where there is none
SELECT string_agg(md5(i::text), '') AS long FROM generate_series(1, 400) AS i \gset
SELECT left(:'long', 2690) AS key \gset
CREATE TABLE keyed (id text PRIMARY KEY);
INSERT INTO keyed VALUES (:'key');
INSERT INTO forum VALUES (:'key', NULL, 'b', 'long', 'olivia'), (:'long', NULL, 'b', 'longer', 'olivia'), ('c', :'long', 'b', 'answer', 'maya');
UPDATE forum SET hidden = true WHERE length(id) > 1000;
UPDATE forum SET hidden = false WHERE length(id) > 1000;
SELECT * FROM pg_temp.news();
SELECT source, count(*), max(length(id)) < 128 AS short FROM featul_integrations.mark WHERE id LIKE 'sha256:%' GROUP BY 1;
DELETE FROM featul_integrations.mark WHERE id LIKE 'sha256:%' OR id IN (SELECT id FROM forum);

-- a name that changes in a session that goes on
CREATE SCHEMA bindings_away;
CREATE TABLE bindings_away.workspace_member (workspace_id text, user_id text, role text);
INSERT INTO bindings_away.workspace_member VALUES ('bi1', 'maya', 'admin');
ALTER SCHEMA bindings_test RENAME TO bindings_renamed;
ALTER SCHEMA bindings_away RENAME TO bindings_test;
INSERT INTO bindings_renamed.forum VALUES ('a3', 't1', 'b', 'after the change', 'maya');
SELECT payload #>> '{comment,author,role}' AS role FROM featul_integrations.event WHERE workspace_id = 'bi1';
SELECT * FROM pg_temp.news();
SELECT type FROM public.integration_list('bindings');
ALTER SCHEMA bindings_test RENAME TO bindings_away;
ALTER SCHEMA bindings_renamed RENAME TO bindings_test;

-- boards that there never were, or that have moved unseen
BEGIN;
INSERT INTO board VALUES ('b3', 'bi2', 'Rolled back');
INSERT INTO forum VALUES ('r1', NULL, 'b3', 'nobody listens', 'olivia');
ROLLBACK;
BEGIN;
SAVEPOINT s;
INSERT INTO board VALUES ('b3', 'bi2', 'Rolled back');
INSERT INTO forum VALUES ('r2', NULL, 'b3', 'nobody listens', 'olivia');
ROLLBACK TO s;
INSERT INTO board VALUES ('b3', 'bi1', 'Another');
INSERT INTO forum VALUES ('r3', NULL, 'b3', 'somebody listens', 'olivia');
COMMIT;
INSERT INTO forum VALUES ('r4', NULL, 'b2', 'nobody listens', 'olivia');
SET session_replication_role = replica;
UPDATE board SET workspace_id = 'bi1' WHERE id = 'b2';
RESET session_replication_role;
INSERT INTO forum VALUES ('r5', NULL, 'b2', 'somebody listens', 'olivia');
SELECT * FROM pg_temp.news();

-- an integration follows its workspace
UPDATE workspace SET id = 'bi3' WHERE id = 'bi1';
UPDATE board SET workspace_id = 'bi3' WHERE workspace_id = 'bi1';
SELECT type FROM integration_list('bindings');
INSERT INTO forum VALUES ('w1', NULL, 'b', 'in the same workspace', 'olivia');
SELECT * FROM pg_temp.news();

-- two that change places do so with their integrations
SELECT message FROM integration_connect('two', 'webhook', 'https://two.example.com/');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE workspace SET id = CASE id WHEN 'bi2' THEN 'bi3' ELSE 'bi2' END;
SELECT w.id, w.slug, i.webhook_url FROM workspace w JOIN featul_integrations.integration i ON i.workspace_id = w.id ORDER BY w.id;
ROLLBACK;
SELECT message FROM integration_disconnect('two', 'webhook');
DELETE FROM workspace WHERE id = 'bi3';
SELECT count(*) FROM featul_integrations.integration WHERE workspace_id LIKE 'bi_';

-- whatever is updated or deleted from can be published
SELECT c.relname AS without_key FROM pg_class c
WHERE c.relnamespace = 'featul_integrations'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
ORDER BY 1;
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION bindings_all FOR ALL TABLES;
SET client_min_messages = warning;
UPDATE featul_integrations.rotation SET partition = partition;
DROP PUBLICATION bindings_all;

SET client_min_messages = error;
SELECT integration_detach();
DELETE FROM featul_integrations.binding;
DELETE FROM featul_integrations.event WHERE workspace_id LIKE 'bi_';
DROP SCHEMA bindings_test, bindings_away CASCADE;
