--
-- The functions in a query that is run in parallel.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA parallel_test;
SET search_path = parallel_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('pa1', 'Acme', 'parallel', 'd', 'starter', 'olivia');
SELECT count(*) FROM integration_attach('parallel_test');
SET featul_integrations.user_id = 'olivia';
SELECT message FROM integration_connect('parallel', 'webhook', 'https://example.com/');
CREATE TABLE many AS SELECT n FROM generate_series(1, 1000) n;
ANALYZE many;
-- a session that has not read anything yet
\c -
SET client_min_messages = warning;
SET search_path = parallel_test, public;
SET featul_integrations.user_id = 'olivia';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
-- it would be
EXPLAIN (COSTS OFF) SELECT count(*) FROM many WHERE n > 10;
-- beside a Gather that is under way
SELECT type, count(*) FROM many, LATERAL (SELECT type FROM integration_list('parallel') OFFSET 0 * n) l WHERE n > 990 GROUP BY 1;
SELECT integration_secret('parallel') ~ '^whsec_' AS secret, n FROM many WHERE n > 998;
SELECT integration_preview('parallel', 'webhook', 'post.created') ~ 'post.created' AS preview, n FROM many WHERE n > 998;
SELECT n, (SELECT count(*) FROM integration_deliveries('parallel', max_rows => n)) AS deliveries FROM many WHERE n > 998;
SELECT n, (SELECT count(*) FROM integration_events() WHERE n > 0) AS events FROM many WHERE n > 998;
SELECT n, (SELECT count(*) FROM featul_integrations.bindings WHERE n > 0) AS bindings FROM many WHERE n > 998;
SELECT n, (SELECT count(*) FROM featul_integrations.stat_integrations WHERE workspace_id = 'pa1' AND n > 0) AS stat FROM many WHERE n > 998;
SELECT n, (SELECT count(*) > 0 FROM featul_integrations.report('parallel', n)) AS report FROM many WHERE n > 998;
-- what is marked as more than unsafe
SELECT p.oid::regprocedure AS function, p.proparallel FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'featul_integrations'
WHERE p.proparallel <> 'u' ORDER BY p.proname;

SELECT integration_detach();
DROP SCHEMA parallel_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'pa1';
