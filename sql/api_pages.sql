--
-- What an application's pages show: the events to choose from, why nothing is sent, the log page by page.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA api_pages;
SET search_path = api_pages, public;
CREATE TABLE workspace (id text PRIMARY KEY, name text, slug text, plan text, owner_id text);
CREATE TABLE workspace_member (workspace_id text, user_id text, role text);
CREATE TABLE board (id text PRIMARY KEY, workspace_id text, name text, slug text);
CREATE TABLE post (id text PRIMARY KEY, board_id text, title text, content text);
INSERT INTO workspace VALUES ('pages1', 'Acme', 'acme', 'starter', 'olivia'), ('pages2', 'Free', 'free', 'free', 'olivia');
INSERT INTO workspace_member VALUES ('pages1', 'mina', 'member');
INSERT INTO board VALUES ('pages_b', 'pages1', 'Ideas', 'ideas');
SELECT count(*) FROM integration_attach('api_pages');

-- the events of a filter: without an acting user, and only where granted
SELECT * FROM integration_events();
SELECT count(*) FROM integration_events() e, information_schema.routine_privileges p
WHERE p.routine_name = 'integration_events' AND p.grantee = 'PUBLIC';

-- a plan that lapsed: what is active stays so, and waits
SET featul_integrations.user_id = 'olivia';
SELECT message FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T0/B0/one');
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/one');
UPDATE featul_integrations.integration SET is_active = false, inactive_reason = 'Gone.' WHERE workspace_id = 'pages1' AND type = 'webhook';
UPDATE featul_integrations.health SET failures = 2, last_error = 'HTTP 500' WHERE workspace_id = 'pages1' AND type = 'slack';
SELECT type, is_active, status, status_reason FROM integration_list('acme');
UPDATE workspace SET plan = 'free' WHERE id = 'pages1';
SELECT type, is_active, status, status_reason FROM integration_list('acme');
UPDATE workspace SET plan = NULL WHERE id = 'pages1';
SELECT type, is_active, status FROM integration_list('acme');
UPDATE workspace SET plan = 'professional' WHERE id = 'pages1';
SELECT type, is_active, status FROM integration_list('acme');
UPDATE featul_integrations.integration SET is_active = true, inactive_reason = NULL WHERE workspace_id = 'pages1';

-- page by page: 0001 to 0009, of which 0003, 0006 and 0009 wait and 0002, 0004 and 0008 failed
SELECT id AS hook FROM integration_list('acme') WHERE type = 'webhook' \gset
INSERT INTO featul_integrations.event (partition, id, name, workspace_id, post_id, payload)
SELECT 0, 910000 + n, 'post.created', 'pages1', 'p' || n, json_build_object('n', n) FROM generate_series(1, 9) n;
INSERT INTO featul_integrations.queue (id, integration_id, event_partition, event_id, post_id)
SELECT 910000 + n, :'hook', 0, 910000 + n, 'p' || n FROM generate_series(3, 9, 3) n;
INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id, type, event_partition, event_id, state, attempts)
SELECT 0, 'pages1', 910000 + n, :'hook', 'webhook', 0, 910000 + n, CASE WHEN n IN (2, 4, 8) THEN 'failed' ELSE 'delivered' END, 1
FROM generate_series(1, 9) n WHERE n % 3 <> 0;
WITH RECURSIVE page (n, ids) AS (
	SELECT 1, ARRAY(SELECT id FROM integration_deliveries('acme', max_rows => 4))
	UNION ALL
	SELECT n + 1, ARRAY(SELECT id FROM integration_deliveries('acme', max_rows => 4, before => ids[cardinality(ids)]))
	FROM page WHERE cardinality(ids) > 0)
SELECT * FROM page;
SELECT s, b, array_agg(id) FROM unnest('{pending,delivered,failed}'::text[]) s, unnest('{910009,910004,910001}'::bigint[]) b,
	LATERAL integration_deliveries('acme', 'webhook', s, 2, b) GROUP BY 1, 2 ORDER BY 1, 2 DESC;
SELECT count(*) FROM integration_deliveries('acme', 'slack', before => 910009);
SELECT count(*) FROM integration_deliveries('acme', max_rows => 1);
SELECT count(*) FROM integration_deliveries('acme', max_rows => 10000);

-- what costs more than a look comes last: a rule that cannot be used, boards that there are not
\set VERBOSITY terse
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/one', rule => '$.post.upvotes >');
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/one', boards => '{nowhere}');
SELECT * FROM integration_connect('nowhere', 'webhook', 'https://example.com/one', rule => '$.post.upvotes >');
SELECT * FROM integration_connect('free', 'webhook', 'https://example.com/one', rule => '$.post.upvotes >');
SET featul_integrations.user_id = 'mina';
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/one', rule => '$.post.upvotes >');
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/one', boards => '{nowhere}');
\set VERBOSITY default

-- a table of its own remembers what was imported
SELECT obj_description('featul_integrations.imported'::regclass) <> '' AS described,
	'featul_integrations.imported'::regclass = ANY (extconfig) AS dumped FROM pg_extension WHERE extname = 'featul_integrations';

RESET featul_integrations.user_id;
SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA api_pages CASCADE;
DELETE FROM featul_integrations.queue WHERE integration_id = :'hook';
DELETE FROM featul_integrations.attempt WHERE workspace_id = 'pages1';
DELETE FROM featul_integrations.event WHERE workspace_id = 'pages1';
DELETE FROM featul_integrations.integration WHERE workspace_id = 'pages1';
