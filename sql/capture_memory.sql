--
-- What is the same for many rows of a statement is read and parsed once: memory stays
-- where it is, however many rows there are.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA memory_test;
SET search_path = memory_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('me1', 'Acme', 'memory', 'd', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by, roadmap_statuses, changelog_tags)
SELECT 'b' || n, 'me1', 'B' || n, 'b' || n, 'olivia', CASE WHEN n = 1 THEN s ELSE '[]' END, '[]'
FROM generate_series(1, 1000) n, (SELECT json_agg(json_build_object('id', 's' || n, 'name', 'Status number ' || n || repeat('.', 10))) s FROM generate_series(1, 1000) n) s;
SELECT count(*) FROM integration_attach('memory_test');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('memory', 'webhook', 'https://example.com/', boards => (SELECT array_agg('b' || n) FROM generate_series(1, 1000) n));
SELECT message FROM integration_connect('memory', 'slack', 'https://hooks.slack.com/services/T/B/X', boards => '{b1}');
-- the most that this process has had so far (Linux), in MB
CREATE FUNCTION pg_temp.peak() RETURNS integer LANGUAGE sql AS $$
	SELECT coalesce((regexp_match(pg_read_file('/proc/self/status', 0, 10000, true), 'VmHWM:\s*(\d+) kB'))[1]::integer, 0) / 1024
$$;
INSERT INTO post (id, board_id, title, content, slug, author_id, roadmap_status) SELECT 'm' || n, 'b1', 't', 'c', 'm' || n, 'olivia', 's1000' FROM generate_series(1, 10) n;

-- a board with a long list of statuses
SELECT pg_temp.peak() AS before \gset
INSERT INTO post (id, board_id, title, content, slug, author_id, roadmap_status) SELECT 'n' || n, 'b1', 't', 'c', 'n' || n, 'olivia', 's1000' FROM generate_series(1, 1000) n;
SELECT pg_temp.peak() - :before < 30 AS parsed_once;
SELECT DISTINCT labels::text FROM featul_integrations.event WHERE post_id ~ '^n[0-9]+$' AND workspace_id = 'me1';

-- a filter of many boards, in a transaction that remembers nothing
SELECT pg_temp.peak() AS before \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO post (id, board_id, title, content, slug, author_id) SELECT 'o' || n, 'b' || n, 't', 'c', 'o' || n, 'olivia' FROM generate_series(2, 1000) n;
DO $$
BEGIN
	FOR n IN 2..1000 LOOP
		INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p' || n, 'b' || n, 't', 'c', 'p' || n, 'olivia');
	END LOOP;
END $$;
COMMIT;
SELECT pg_temp.peak() - :before < 30 AS read_once;
SELECT count(*) FROM featul_integrations.queue q JOIN featul_integrations.event e ON e.id = q.event_id WHERE e.workspace_id = 'me1' AND e.post_id ~ '^[op]';

SELECT integration_detach();
DROP SCHEMA memory_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'me1';
