--
-- Attaching at its edges: odd names and types, bad bindings, migrations.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA "Contract Attach";
SET search_path = "Contract Attach", public;
\pset null '-'

CREATE FUNCTION pg_temp.said(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT string_agg(r::text, '';'') FROM ' || call || ' r' INTO result;
	RETURN 'ok: ' || result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(left(hint, 20), ''));
END
$$;

-- the events captured since the last call
CREATE TABLE seen AS SELECT coalesce(max(id), 0) AS id FROM featul_integrations.event;
CREATE FUNCTION pg_temp.events() RETURNS TABLE (event text, post text, title text) LANGUAGE plpgsql AS $$
DECLARE
	since CONSTANT bigint := (SELECT id FROM seen);
BEGIN
	UPDATE seen SET id = (SELECT coalesce(max(e.id), since) FROM featul_integrations.event e);
	RETURN QUERY SELECT e.name, e.payload #>> '{post,id}', e.payload #>> '{post,title}'
		FROM featul_integrations.event e WHERE e.id > since ORDER BY e.id;
END
$$;

-- quoted names, uuid and bigint keys, an enum, a domain, varchar and char, numeric upvotes, plural tables
CREATE TYPE state AS ENUM ('Draft', 'Live');
CREATE DOMAIN slug AS text CHECK (value <> 'none');
CREATE TABLE "Work Space" ("ID" uuid PRIMARY KEY, "Name" varchar(50), slug slug, "Plan Name" text, owner bigint);
CREATE TABLE workspace_members (wid uuid, uid bigint, role text);
CREATE TABLE users (id bigint PRIMARY KEY, name text, email text);
CREATE TABLE boards (id bigint PRIMARY KEY, workspace_id uuid, name text);
CREATE TABLE "Post" (id bigint PRIMARY KEY, board_id bigint, headline text, content char(20), state state, author_id int,
	likes numeric, created_at timestamp, pinned_at timestamptz);
CREATE TABLE votes (id serial, post_id int, user_id smallint);
SELECT source, relation, events FROM integration_attach('Contract Attach', $$ {
	"workspace": {"table": "Work Space", "columns": {"id": "ID", "name": "Name", "plan": "Plan Name", "owner_id": "owner"}},
	"member": {"columns": {"workspace_id": "wid", "user_id": "uid"}},
	"post": {"table": "\"Contract Attach\".\"Post\"", "columns": {"title": "upper(headline)", "visible": "state <> 'Draft'",
		"upvotes": "likes", "is_pinned": "pinned_at IS NOT NULL"}}} $$);
INSERT INTO "Work Space" VALUES ('11111111-1111-1111-1111-111111111111', 'W', 'odd', 'starter', 1);
INSERT INTO users VALUES (1, 'Ann', 'ann@example.com'), (2, 'bob@example.com', 'bob@example.com');
INSERT INTO boards VALUES (7, '11111111-1111-1111-1111-111111111111', 'B');
SET featul_integrations.user_id = '1';
SELECT * FROM integration_connect('odd', 'webhook', 'https://example.com/', boards => '{7}');
SELECT boards FROM integration_list('odd');
INSERT INTO "Post" VALUES (1, 7, 'hello', 'c', 'Draft', 1, 3, '2026-01-01 12:00', NULL);
UPDATE "Post" SET state = 'Live';
UPDATE "Post" SET pinned_at = now(), likes = 12.4;
INSERT INTO votes (post_id, user_id) VALUES (1, 1), (1, 2), (1, NULL);
SELECT name, payload FROM featul_integrations.event WHERE id > (SELECT id FROM seen) ORDER BY id;
SELECT count(*) FROM pg_temp.events();
SELECT integration_preview('odd', 'webhook', 'post.milestone')::json -> 'milestone' AS milestone;

-- the table says what hangs on it, and \d what for
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = '"Post"'::regclass ORDER BY 1;

-- what is wrong with a binding is 22023 with the reason
CREATE FUNCTION pg_temp.with_post(col text, expression text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.said(format('integration_attach(''Contract Attach'', %L)', jsonb_build_object(
		'workspace', '{"table": "Work Space", "columns": {"id": "ID", "name": "Name", "plan": "Plan Name", "owner_id": "owner"}}'::jsonb,
		'member', '{"columns": {"workspace_id": "wid", "user_id": "uid"}}'::jsonb,
		'post', jsonb_build_object('table', '"Post"', 'columns', '{"title": "headline"}'::jsonb || jsonb_build_object(col, expression)))))
$$;
\a
SELECT bindings, pg_temp.said(format('integration_attach(''Contract Attach'', %L)', bindings)) FROM unnest(ARRAY[
	'[]', '"post"', '{"posts": {}}', '{"post": null}', '{"post": {"tbl": "x"}}', '{"post": {"table": 1}}',
	'{"post": {"table": ""}}', '{"post": {"table": "a..b"}}', '{"post": {"table": "a.b.c"}}', '{"post": {"table": "\"a"}}',
	'{"post": {"columns": "x"}}', '{"post": {"columns": {"nope": "x"}}}', '{"post": {"columns": {"title": 7}}}']) AS bindings;
SELECT col, expression, regexp_replace(pg_temp.with_post(col, expression), '(function \S+ does not exist) / .*', '\1') AS with_post FROM (VALUES
	('title', ''), ('title', 'headline, id'), ('title', 'headline AS x'), ('title', 'headline; SELECT 1'), ('title', 'headline FROM "Post"'),
	('title', '(SELECT ''x'')'), ('title', 'count(*)'), ('title', 'row_number() OVER ()'), ('title', 'generate_series(1, 2)'),
	('title', 'generate_series(1, 2) || headline'), ('title', '$1'), ('title', 'ctid'), ('title', 'headline::slug'), ('title', 'no_such(headline)'),
	('visible', 'headline'), ('upvotes', 'headline'), ('created_at', 'headline'), ('is_pinned', 'pinned_at')) v (col, expression);
-- and what does not exist 42703
SELECT expression, pg_temp.with_post('title', expression) FROM unnest('{nope,"\"Headline\"",nope || headline}'::text[]) expression;
\a
-- none of which changed anything
UPDATE "Post" SET likes = 50;
SELECT * FROM pg_temp.events();

-- migrations: nothing is in their way; events pause with one WARNING until attach is run again
SELECT integration_detach();
DROP TABLE "Work Space", workspace_members, users, boards, "Post", votes;
SELECT pg_temp.said('integration_list(''odd'')');
\set ECHO none
\i :tables
\set ECHO all
SELECT count(*) FROM integration_attach('Contract Attach', '{"workspace": null, "member": null, "user": null, "board": null, "post": null, "comment": null, "vote": null}');
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('mig', 'Acme', 'mig', 'starter', 'olivia', 'mig.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('ideas', 'mig', 'Ideas', 'ideas', 'olivia');
SET featul_integrations.user_id = 'olivia';
SELECT * FROM integration_connect('mig', 'webhook', 'https://example.com/');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p1', 'ideas', 'one', 'c', 'p1');
ALTER TABLE post RENAME title TO headline;
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('p2', 'ideas', 'two', 'c', 'p2');
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('p3', 'ideas', 'three', 'c', 'p3');
SELECT pg_temp.said('integration_preview(''mig'', ''webhook'', ''post.created'')');
SELECT pg_temp.said('integration_preview(''mig'', ''webhook'', ''post.created'')');
SELECT type, status FROM integration_list('mig');
SELECT count(*) FROM integration_attach('Contract Attach', '{"post": {"columns": {"title": "headline"}}}');
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('p4', 'ideas', 'four', 'c', 'p4');
ALTER TABLE post ALTER upvotes TYPE text;
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('p5', 'ideas', 'five', 'c', 'p5');
ALTER TABLE post ALTER upvotes TYPE bigint USING upvotes::bigint;
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('p6', 'ideas', 'six', 'c', 'p6');
ALTER TABLE post DROP is_featured, ADD more text DEFAULT 'x';
SELECT events FROM integration_attach('Contract Attach', '{"post": {"columns": {"title": "headline"}}}') WHERE source = 'post';
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('p7', 'ideas', 'seven', 'c', 'p7');
ALTER TABLE post RENAME TO entries;
INSERT INTO entries (id, board_id, headline, content, slug) VALUES ('p8', 'ideas', 'eight', 'c', 'p8');
DROP TABLE comment_mention, comment_reaction, vote, comment;
INSERT INTO entries (id, board_id, headline, content, slug) VALUES ('p9', 'ideas', 'nine', 'c', 'p9');
SELECT pg_temp.said('integration_preview(''mig'', ''webhook'', ''comment.created'')');
DROP TABLE board CASCADE;
INSERT INTO entries (id, board_id, headline, content, slug) VALUES ('p10', 'ideas', 'ten', 'c', 'p10');
SELECT pg_temp.said('integration_attach(''Contract Attach'')');
SELECT * FROM pg_temp.events();

-- partitions and children: through the parent, directly, moved, detached
DROP TABLE entries CASCADE;
CREATE TABLE board (id text PRIMARY KEY, workspace_id text, name text);
INSERT INTO board SELECT n, 'mig', 'B' || n FROM generate_series(1, 4) n;
CREATE TABLE post (id bigint, board_id text, title text, content text, status text DEFAULT 'published', upvotes integer, is_pinned boolean)
	PARTITION BY LIST (board_id);
CREATE TABLE post_1 PARTITION OF post FOR VALUES IN ('1');
CREATE TABLE post_2 (board_id text, gone text, is_pinned boolean, title text, content text, upvotes integer, status text, id bigint);
ALTER TABLE post_2 DROP gone;
ALTER TABLE post ATTACH PARTITION post_2 FOR VALUES IN ('2');
CREATE TABLE post_rest PARTITION OF post DEFAULT PARTITION BY RANGE (id);
CREATE TABLE post_rest_1 PARTITION OF post_rest FOR VALUES FROM (0) TO (100);
SELECT count(*) FROM integration_attach('Contract Attach', '{"post": null}');
INSERT INTO post (id, board_id, title, content) VALUES (1, '1', 'a', 'c'), (2, '2', 'b', 'c'), (3, '3', 'c', 'c');
INSERT INTO post_1 (id, board_id, title, content) VALUES (11, '1', 'a', 'c');
INSERT INTO post_2 (id, board_id, title, content, status) VALUES (12, '2', 'b', 'c', 'published');
INSERT INTO post_rest (id, board_id, title, content) VALUES (13, '3', 'c', 'c');
INSERT INTO post_rest_1 (id, board_id, title, content) VALUES (14, '3', 'c', 'c');
SELECT * FROM pg_temp.events();
UPDATE post SET is_pinned = true WHERE id < 10;
UPDATE post_2 SET upvotes = 10 WHERE id = 2;
UPDATE post SET board_id = '2' WHERE id = 1;
UPDATE post SET board_id = '1', upvotes = upvotes + 40, status = CASE WHEN id = 1 THEN 'draft' ELSE status END WHERE id <= 2;
UPDATE post SET board_id = '3', status = 'published' WHERE id = 1;
SELECT * FROM pg_temp.events();
CREATE TABLE post_4 PARTITION OF post FOR VALUES IN ('4');
INSERT INTO post (id, board_id, title, content) VALUES (4, '4', 'd', 'c');
ALTER TABLE post DETACH PARTITION post_1;
INSERT INTO post_1 (id, board_id, title, content) VALUES (15, '1', 'a', 'c');
SELECT * FROM pg_temp.events();

-- attaching again leaves the triggers alone, but for those that are missing, disabled or not wanted any more
CREATE TEMP TABLE before AS SELECT oid, tgname, tgrelid FROM pg_trigger WHERE tgname LIKE 'featul_integrations%';
ALTER TABLE post DISABLE TRIGGER featul_integrations_post_update;
DROP TRIGGER featul_integrations_post_insert ON post_2;
SELECT count(*) FROM integration_attach('Contract Attach');
SELECT coalesce(a.tgrelid, b.tgrelid)::regclass AS relation, coalesce(a.tgname, b.tgname) AS trigger,
	b.oid IS NOT NULL AS was, a.oid IS NOT NULL AS is, a.tgenabled AS enabled
FROM before b FULL JOIN (SELECT * FROM pg_trigger WHERE tgname LIKE 'featul_integrations%') a USING (oid)
WHERE a.oid IS NULL OR b.oid IS NULL ORDER BY 1, 2, 3;
INSERT INTO post_2 (id, board_id, title, content, status) VALUES (16, '2', 'b', 'c', 'published');
SELECT * FROM pg_temp.events();

-- a deleted workspace takes its integrations along, and what is pending for them
BEGIN;
INSERT INTO post (id, board_id, title, content) VALUES (5, '4', 'd', 'c');
DELETE FROM workspace WHERE id = 'mig';
SELECT count(*) FROM featul_integrations.integration WHERE workspace_id = 'mig';
SELECT event, state FROM featul_integrations.deliveries WHERE workspace_id = 'mig' AND payload #>> '{post,id}' = '5';
ROLLBACK;
TRUNCATE workspace CASCADE;
SELECT count(*) FROM featul_integrations.integration WHERE workspace_id = 'mig';

-- for the extension's owner alone, whoever was granted EXECUTE
CREATE ROLE regress_featul_contract;
GRANT EXECUTE ON FUNCTION integration_attach, integration_detach, integration_import TO regress_featul_contract;
GRANT USAGE ON SCHEMA "Contract Attach" TO regress_featul_contract;
SET ROLE regress_featul_contract;
SELECT integration_attach('Contract Attach');
SELECT integration_detach();
SELECT integration_import('Contract Attach');
RESET ROLE;

RESET featul_integrations.user_id;
SELECT integration_detach();
TRUNCATE featul_integrations.binding;
DELETE FROM featul_integrations.integration WHERE workspace_id IN ('mig', '11111111-1111-1111-1111-111111111111');
SET client_min_messages = error;
DROP SCHEMA "Contract Attach" CASCADE;
DROP OWNED BY regress_featul_contract;
DROP ROLE regress_featul_contract;
