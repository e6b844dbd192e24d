--
-- report() and diagnose(): what an operator looks at first
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
RESET client_min_messages;

BEGIN;
DELETE FROM featul_integrations.integration;
DELETE FROM featul_integrations.health;
DELETE FROM featul_integrations.queue;
DELETE FROM featul_integrations.binding;

-- without anything attached; delivery is off here
SELECT * FROM featul_integrations.diagnose() WHERE NOT ok AND "check" !~ '(worker|capture met)';
SELECT workspace, attempts, worst_error FROM featul_integrations.report();
SAVEPOINT before;
SELECT * FROM featul_integrations.report('acme');
ROLLBACK TO before;

-- with workspaces of an application
CREATE SCHEMA shop;
CREATE TABLE shop.workspace (id text, name text, slug text, plan text, owner_id text);
CREATE TABLE shop.workspace_member (workspace_id text, user_id text, role text);
CREATE TABLE shop.board (id text, workspace_id text, name text);
CREATE TABLE shop.post (id text PRIMARY KEY, board_id text, title text, content text);
INSERT INTO shop.workspace VALUES ('w1', 'Acme', 'acme', 'starter', 'o'),
	('w2', 'Zoo', 'a-slug-that-is-much-too-long', 'free', 'o');
SELECT count(*) FROM integration_attach('shop');
INSERT INTO featul_integrations.integration (id, workspace_id, type, webhook_url, is_active, inactive_reason) VALUES
	('00000000-0000-0000-0000-00000000000a', 'w1', 'slack', 'https://hooks.slack.com/services/secret', true, NULL),
	('00000000-0000-0000-0000-00000000000b', 'w1', 'webhook', 'https://example.com/secret', true, NULL),
	('00000000-0000-0000-0000-00000000000c', 'w2', 'webhook', 'https://example.org/secret', false, 'the endpoint said 410 Gone, and so it is');
INSERT INTO featul_integrations.health (integration_id, database, workspace_id, type, failures, last_error, hold_until)
SELECT i.id, d.oid, i.workspace_id, i.type, CASE i.type WHEN 'slack' THEN 0 ELSE 12 END,
	CASE i.type WHEN 'slack' THEN NULL ELSE 'HTTP 500: out of order' END, CASE i.type WHEN 'slack' THEN now() + interval '40 s' END
FROM featul_integrations.integration i, pg_database d WHERE d.datname = current_database();
INSERT INTO featul_integrations.event (partition, id, name, workspace_id, post_id, payload, created_at)
VALUES (0, 2000000000, 'post.created', 'w1', 'p', '{}', now() - interval '3 hours');
INSERT INTO featul_integrations.queue (integration_id, event_partition, event_id, post_id, next_attempt_at) VALUES
	('00000000-0000-0000-0000-00000000000a', 0, 2000000000, 'p', NULL),
	('00000000-0000-0000-0000-00000000000b', 0, 2000000000, 'p', now() + interval '9 minutes'),
	('00000000-0000-0000-0000-00000000000b', 0, 2000000000, 'q', now() - interval '9 minutes');	-- another post's, behind the breaker
SELECT workspace, type, CASE WHEN type IS NOT NULL THEN status END AS status, pending, next, worst_error
FROM featul_integrations.report();
SELECT workspace, type FROM featul_integrations.report('acme', 1);
SELECT "check", what_to_do FROM featul_integrations.diagnose() WHERE NOT ok AND "check" !~ '(worker|capture met)';
SELECT "check", regexp_replace(what_to_do, '\d{4}-.*', '...') AS what_to_do
FROM featul_integrations.diagnose('acme') WHERE NOT ok AND "check" !~ '(worker|capture met)';
SELECT "check", what_to_do FROM featul_integrations.diagnose('a-slug-that-is-much-too-long')
WHERE NOT ok AND "check" !~ '(worker|capture met)';
-- of a workspace that is not there nothing else is said
SELECT "check" FROM featul_integrations.diagnose('nobody') WHERE NOT ok AND "check" !~ '(worker|capture met|delivery)';

-- a column of another table than the workspaces'
ALTER TABLE shop.post RENAME title TO headline;
SELECT "check", what_to_do FROM featul_integrations.diagnose('acme') WHERE NOT ok AND "check" ~ 'bindings|workspace|plan';
ALTER TABLE shop.post RENAME headline TO title;
-- a disabled trigger, a copy, a binding that no longer holds
UPDATE featul_integrations.health SET database = 0 WHERE type = 'slack';
ALTER TABLE shop.post DISABLE TRIGGER ALL;
ALTER TABLE shop.workspace RENAME slug TO handle;
SELECT "check", left(what_to_do, 60) AS what_to_do
FROM featul_integrations.diagnose() WHERE NOT ok AND "check" ~ 'trigger|bindings|copy';
-- nor of one that cannot be looked up
SELECT "check" FROM featul_integrations.diagnose('acme') WHERE "check" ~ 'workspace|plan|connected| of ';
SELECT workspace, type, status FROM featul_integrations.report() WHERE type IS NOT NULL;

-- never wider than a terminal, whatever there is
SELECT bool_and(length(workspace) <= 14 AND length(last_24_hours) = 12 AND length(worst_error) <= 28) AS fits
FROM featul_integrations.report();
ROLLBACK;

-- the newest deliveries are found by an index, whatever else there is
BEGIN;
INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id, type, event_partition, event_id, state, attempts)
SELECT 0, 'w', 3000000000 + n, gen_random_uuid(), 'slack', 0, 0, 'delivered', 1 FROM generate_series(1, 20000) n;
ANALYZE featul_integrations.attempt;
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query;
END
$$;
SELECT count(*) FROM pg_temp.plan('SELECT * FROM featul_integrations.deliveries ORDER BY id DESC LIMIT 20') AS line
WHERE line ~ 'Seq Scan on attempt_0';
-- and of each delivery the newest attempt
INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id, type, event_partition, event_id, state, attempts, http_status, at)
SELECT 1, 'w', 3000020000, integration_id, 'slack', 0, 0, 'failed', 2, 500, at + interval '1 s'
FROM featul_integrations.attempt WHERE delivery_id = 3000020000;
INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id, type, event_partition, event_id, state, attempts, error, at)
SELECT 1, 'w', 3000020000 - 1, integration_id, 'slack', 0, 0, 'cancelled', 1, 'disconnected', at + interval '1 s'
FROM featul_integrations.attempt WHERE delivery_id = 3000020000 - 1;
SELECT id, state, attempts, http_status, error, last_attempt_at = (
	SELECT min(a.at) FROM featul_integrations.attempt a WHERE a.delivery_id = d.id) AS of_first
FROM featul_integrations.deliveries d ORDER BY id DESC LIMIT 3;
ROLLBACK;
