--
-- The functions for applications: results, arguments, filters, replay.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA api_test;
SET search_path = api_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES
	('api1', 'Acme', 'acme', 'professional', 'olivia', 'acme.example.com'),
	('api2', 'Other', 'other', 'starter', 'olivia', 'other.example.com'),
	('api3', 'Free', 'free', 'free', 'olivia', 'free.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES
	('b1', 'api1', 'Ideas', 'ideas', 'olivia'), ('b2', 'api1', 'Bugs', 'bugs', 'olivia'), ('b3', 'api2', 'Ideas', 'other-ideas', 'olivia');
SELECT count(*) FROM integration_attach('api_test');
SET featul_integrations.user_id = 'olivia';
\pset null '-'

CREATE FUNCTION pg_temp.said(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT string_agg(r::text, '';'') FROM ' || call || ' r' INTO result;
	RETURN coalesce('ok: ' || result, 'ok');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;

CREATE VIEW pg_temp.listed AS
SELECT type, is_active, events, boards, rule, last_triggered_at, status, status_reason
FROM integration_list('acme');

-- connect, update, list
SELECT * FROM integration_list('acme');
SELECT * FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T0/B0/one');
SELECT * FROM integration_connect('acme', 'discord', 'https://discord.com/api/webhooks/1/one');
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/one');
SELECT * FROM pg_temp.listed;
SELECT id AS slack_id FROM integration_list('acme') WHERE type = 'slack' \gset
SELECT * FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T0/B0/two',
	events => '{post.created,post.upvoted,post.created}', boards => '{bugs,ideas,bugs}', rule => '$.post.upvotes >= 10');
SELECT * FROM pg_temp.listed WHERE type = 'slack';
SELECT id = :'slack_id' AS same_id, updated_at > created_at AS updated FROM integration_list('acme') WHERE type = 'slack';
SELECT webhook_url, boards FROM featul_integrations.integration WHERE workspace_id = 'api1' AND type = 'slack';

-- boards are kept by id and shown by their slug of today
UPDATE board SET slug = 'defects' WHERE id = 'b2';
SELECT boards FROM pg_temp.listed WHERE type = 'slack';
DELETE FROM board WHERE id = 'b2';
SELECT boards FROM pg_temp.listed WHERE type = 'slack';

-- connecting again without filters means all, and active again
UPDATE featul_integrations.integration SET is_active = false, inactive_reason = 'The endpoint is gone.'
WHERE workspace_id = 'api1' AND type = 'slack';
SELECT * FROM pg_temp.listed WHERE type = 'slack';
SELECT * FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T0/B0/three');
SELECT * FROM pg_temp.listed WHERE type = 'slack';

-- health
UPDATE featul_integrations.health SET failures = 1, last_error = 'HTTP 500', last_triggered_at = '2026-01-01Z'
WHERE integration_id = :'slack_id';
SELECT status, status_reason, last_triggered_at = '2026-01-01Z' AS triggered FROM pg_temp.listed WHERE type = 'slack';
UPDATE featul_integrations.health SET failures = 12 WHERE integration_id = :'slack_id';
SELECT status, status_reason FROM pg_temp.listed WHERE type = 'slack';

-- as restored from a dump, or copied as a template: inactive until connected here
DELETE FROM featul_integrations.health WHERE integration_id = :'slack_id';
SELECT is_active, status, status_reason FROM pg_temp.listed WHERE type = 'slack';
INSERT INTO featul_integrations.health (integration_id, database, failures) VALUES (:'slack_id', 1, 3);
SELECT is_active, status, status_reason FROM pg_temp.listed WHERE type = 'slack';
SELECT * FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T0/B0/four');
SELECT is_active, status, status_reason FROM pg_temp.listed WHERE type = 'slack';

-- the secret: survives a new URL, not a disconnect
SELECT integration_secret('acme') AS secret \gset
SELECT :'secret' ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS well_formed;
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/two');
SELECT integration_secret('acme') = :'secret' AS same;
SELECT integration_rotate_secret('acme') AS rotated \gset
SELECT integration_secret('acme') = :'rotated' AS new, :'rotated' <> :'secret' AS differs;
SELECT previous_secret = :'secret' AS kept, previous_secret_until - now() BETWEEN '23:59' AND '24:01' AS for_a_day
FROM featul_integrations.integration WHERE workspace_id = 'api1' AND type = 'webhook';
SELECT * FROM integration_disconnect('acme', 'webhook');
SELECT pg_temp.said('integration_secret(''acme'')');
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/three');
SELECT integration_secret('acme') IN (:'secret', :'rotated') AS same;
SELECT secret IS NULL AS no_secret FROM featul_integrations.integration WHERE workspace_id = 'api1' AND type <> 'webhook';

-- disconnect
SELECT * FROM integration_disconnect('acme', 'discord');
SELECT pg_temp.said('integration_disconnect(''acme'', ''discord'')');
SELECT type FROM pg_temp.listed;

-- other workspaces are not touched
SELECT * FROM integration_list('other');

-- a NULL argument is an error that names it
SELECT call, pg_temp.said(call) FROM unnest(ARRAY[
	'integration_list(NULL)',
	'integration_connect(NULL, ''slack'', ''https://hooks.slack.com/services/T/B/x'')',
	'integration_connect(''acme'', NULL, ''https://hooks.slack.com/services/T/B/x'')',
	'integration_connect(''acme'', ''slack'', NULL)',
	'integration_disconnect(NULL, ''slack'')',
	'integration_disconnect(''acme'', NULL)',
	'integration_test(NULL, ''slack'')',
	'integration_test(''acme'', NULL)',
	'integration_secret(NULL)',
	'integration_rotate_secret(NULL)',
	'integration_preview(NULL, ''slack'', ''post.created'')',
	'integration_preview(''acme'', NULL, ''post.created'')',
	'integration_preview(''acme'', ''slack'', NULL)',
	'integration_deliveries(NULL)',
	'integration_deliveries(''acme'', max_rows => NULL)',
	'integration_redeliver(NULL, 1)',
	'integration_redeliver(''acme'', NULL)',
	'integration_recover(NULL, ''slack'', now())',
	'integration_recover(''acme'', NULL, now())',
	'integration_recover(''acme'', ''slack'', NULL)',
	'integration_import(follow => NULL)']) call;

-- other bad arguments
\a
SELECT left(call, 90) AS call, pg_temp.said(call) FROM unnest(ARRAY[
	'integration_list('''')',
	'integration_connect(''acme'', ''mattermost'', ''https://example.com/'')',
	'integration_connect(''acme'', ''Slack'', ''https://hooks.slack.com/services/T/B/x'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', events => ''{}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', events => ''{post.created,NULL}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', events => ''{{post.created,post.pinned}}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', events => ''{post.deleted}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', events => ''{integration.test}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', events => ''{""}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', boards => ''{}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', boards => ''{ideas,NULL}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', boards => ''{{ideas}}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', boards => ''{ideas,other-ideas}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', boards => ''{b1}'')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', rule => '''')',
	'integration_connect(''acme'', ''webhook'', ''https://example.com/'', rule => ''  '')',
	'integration_preview(''acme'', ''slack'', ''post.deleted'')',
	'integration_deliveries(''acme'', ''mattermost'')',
	'integration_deliveries(''acme'', state => ''lost'')',
	'integration_deliveries(''acme'', max_rows => 0)',
	'integration_deliveries(''acme'', max_rows => 10001)',
	'integration_recover(''acme'', ''mattermost'', now())',
	'integration_connect(''acme'', ''' || repeat('ä', 1000) || ''', ''https://example.com/'')']) call;
\a
-- none of which changed anything
SELECT type, events, boards, rule FROM pg_temp.listed;

-- rules: a jsonpath predicate that is true or false for some event
\a
SELECT left(rule, 90) AS rule, pg_temp.said(format('integration_connect(''acme'', ''webhook'', ''https://example.com/'', rule => %L)', rule))
FROM unnest(ARRAY[
	'$.post.upvotes >= 10',
	'$.milestone == 50',
	'strict $.milestone == 50',
	'exists($.post ? (@.board like_regex "^Bug" flag "i"))',
	'$.changes.pinned.to',
	'$.** == "x"',
	'$.post.upvotes',
	'$.post.upvotes > "many"',
	'$.post.upvotes >=',
	'post.upvotes > 1',
	'$.post.title ? (@ == "x")',
	'$x > 1',
	'$.post.title like_regex "("']) rule;
\a
-- deliveries: a log as the worker writes it; committed to nobody, so that no worker sees it
BEGIN;
SELECT id AS hook FROM integration_list('acme') WHERE type = 'webhook' \gset
INSERT INTO featul_integrations.event (partition, id, name, workspace_id, post_id, payload, created_at)
SELECT 0, 900000 + n, 'post.created', 'api1', 'p' || n, json_build_object('n', n), timestamptz '2026-01-01 00:00Z' + n * interval '1 min'
FROM generate_series(1, 6) n;
INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id, type, event_partition, event_id, state, attempts, http_status, error, duration_ms, response, at, next_attempt_at)
SELECT 0, 'api1', 900000 + d, :'hook', 'webhook', 0, 900000 + d, state, attempts, status, error, 12, response, timestamptz '2026-01-02 00:00Z' + n * interval '1 min', NULL
FROM (VALUES
	(1, 1, 'delivered', 1, 200, NULL, 'thanks'),
	(2, 2, 'pending', 1, 500, 'HTTP 500', 'oops'),
	(3, 2, 'pending', 2, 500, 'HTTP 500', 'oops'),
	(4, 2, 'failed', 3, NULL, 'no complete response within 10 s', NULL),
	(5, 3, 'pending', 1, 503, 'HTTP 503', ''),
	(6, 4, 'cancelled', 0, NULL, 'the integration was disconnected', NULL),
	(7, 5, 'pending', 1, 500, 'HTTP 500', 'oops'),
	(8, 5, 'cancelled', 1, NULL, 'the integration became inactive', NULL)) AS a (n, d, state, attempts, status, error, response);
INSERT INTO featul_integrations.queue (id, integration_id, event_partition, event_id, post_id, attempts, next_attempt_at) VALUES
	(900003, :'hook', 0, 900003, 'p3', 1, '2026-01-03Z'),
	(900006, :'hook', 0, 900006, 'p6', 0, NULL);
SET timezone = 'UTC';
\x on
SELECT * FROM integration_deliveries('acme');
\x off
SELECT id, state FROM integration_deliveries('acme', max_rows => 2);
SELECT state, array_agg(id) FROM unnest('{pending,delivered,failed,cancelled}'::text[]) s, integration_deliveries('acme', state => s) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM integration_deliveries('acme', 'webhook');
SELECT count(*) FROM integration_deliveries('acme', 'slack');
SELECT count(*) FROM integration_deliveries('other');

-- what waits for an inactive integration counts as cancelled
UPDATE featul_integrations.integration SET is_active = false WHERE id = :'hook';
SELECT id, state, next_attempt_at FROM integration_deliveries('acme', state => 'cancelled');
SELECT pg_temp.said('integration_redeliver(''acme'', 900002)');
SELECT pg_temp.said('integration_recover(''acme'', ''webhook'', ''2026-01-01Z'')');
UPDATE featul_integrations.integration SET is_active = true WHERE id = :'hook';

-- redeliver: the same id and event, attempts counted anew
SELECT pg_temp.said('integration_redeliver(''acme'', 900003)');
SELECT pg_temp.said('integration_redeliver(''acme'', 900007)');
SELECT pg_temp.said('integration_redeliver(''other'', 900002)');
SELECT * FROM integration_redeliver('acme', 900001);
SELECT pg_temp.said('integration_redeliver(''acme'', 900001)');
SELECT * FROM integration_redeliver('acme', 900002);
SELECT id, integration_id = :'hook' AS same, event_id, post_id, attempts, next_attempt_at, xid = pg_current_xact_id() AS xid
FROM featul_integrations.queue WHERE integration_id = :'hook' ORDER BY id;
SELECT id, state, attempts FROM integration_deliveries('acme') WHERE id IN (900001, 900002);

-- recover: what failed or was cancelled since then, and is not under way
SELECT * FROM integration_recover('acme', 'webhook', '2026-01-02 00:08Z');
SELECT * FROM integration_recover('acme', 'webhook', '2026-01-01Z');
SELECT * FROM integration_recover('acme', 'webhook', '-infinity');
SELECT id, state FROM integration_deliveries('acme');
DELETE FROM featul_integrations.queue WHERE integration_id = :'hook';

-- past retention: the payload is gone
DELETE FROM featul_integrations.event WHERE id = 900001;
SELECT pg_temp.said('integration_redeliver(''acme'', 900001)');
SELECT id, event, state, payload FROM integration_deliveries('acme', state => 'delivered');

-- connected anew: old deliveries can go to the new one, of the same type only
SELECT * FROM integration_disconnect('acme', 'webhook');
SELECT pg_temp.said('integration_redeliver(''acme'', 900002)');
SELECT count(*) FROM integration_deliveries('acme', 'webhook');
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/new');
SELECT * FROM integration_redeliver('acme', 900002);
SELECT integration_id = (SELECT id FROM integration_list('acme') WHERE type = 'webhook') AS new_one
FROM featul_integrations.queue WHERE id = 900002;

-- disconnected while some wait: cancelled at once, though it is the worker that will say so in the log
SELECT id AS old_hook FROM integration_list('acme') WHERE type = 'webhook' \gset
INSERT INTO featul_integrations.queue (id, integration_id, event_partition, event_id, post_id) VALUES
	(900005, :'old_hook', 0, 900005, 'p5'), (900006, :'old_hook', 0, 900006, 'p6');
SELECT * FROM integration_disconnect('acme', 'webhook');
SELECT id, type, state FROM integration_deliveries('acme');
SELECT id, state FROM integration_deliveries('acme', state => 'cancelled');
SELECT count(*) FROM integration_deliveries('acme', state => 'pending');
SELECT count(*) FROM integration_deliveries('other');
SELECT * FROM integration_connect('acme', 'webhook', 'https://example.com/newer');
SELECT * FROM integration_redeliver('acme', 900006);
SELECT * FROM integration_recover('acme', 'webhook', 'infinity');
SELECT id, state FROM integration_deliveries('acme');
ROLLBACK;

-- preview: connected or not, for each type and event
SELECT type, event, octet_length(integration_preview('other', type, event)) > 100 AS body
FROM unnest('{slack,discord,teams,webhook}'::text[]) type, unnest('{post.created,integration.test}'::text[]) event;

-- import of featul's older integrations
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url, is_active) VALUES
	('i1', 'api2', 'slack', 'https://hooks.slack.com/services/T0/B0/old', true),
	('i2', 'api2', 'discord', 'http://discord.com/api/webhooks/1/old', true),
	('i3', 'api2', 'mattermost', 'https://example.com/', true),
	('i4', 'api3', 'discord', 'https://discord.com/api/webhooks/2/old', false),
	('i5', 'api1', 'slack', 'https://hooks.slack.com/services/T0/B0/old', NULL);
SELECT * FROM integration_import('api_test');
SELECT type, is_active, status, status_reason FROM integration_list('other');
SELECT type, is_active, status, status_reason FROM integration_list('free');
SELECT * FROM integration_disconnect('other', 'slack');
SELECT * FROM integration_import('api_test');
SELECT pg_temp.said('integration_import(''no_such_schema'')');
SELECT pg_temp.said('integration_import(''pg_catalog'')');

-- reading calls write nothing: they work in a read-only transaction
BEGIN READ ONLY;
SELECT count(*) FROM integration_list('acme');
SELECT count(*) FROM integration_deliveries('acme');
SELECT length(integration_secret('acme'));
SELECT length(integration_preview('acme', 'slack', 'post.created')) > 0 AS some;
SELECT pg_current_xact_id_if_assigned();
COMMIT;

-- other keys, types and collations, and only the columns that must be there
CREATE SCHEMA api_keys;
SET search_path = api_keys, public;
CREATE TYPE role AS ENUM ('admin', 'member');
CREATE DOMAIN slug AS varchar(50) COLLATE "C";
CREATE TABLE workspaces (id uuid PRIMARY KEY, name varchar(100), slug slug UNIQUE, plan varchar, owner_id bigint);
CREATE TABLE workspace_members (workspace_id uuid, user_id bigint, role role);
CREATE TABLE boards (id bigint PRIMARY KEY, workspace_id uuid, name text COLLATE "C");
CREATE TABLE posts (id bigint PRIMARY KEY, board_id bigint, title varchar(300), content text);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'Keys', 'keys', 'starter', 7);
INSERT INTO workspace_members VALUES ('00000000-0000-0000-0000-000000000001', 8, 'admin'), ('00000000-0000-0000-0000-000000000001', 9, 'member');
INSERT INTO boards VALUES (42, '00000000-0000-0000-0000-000000000001', 'Ideas');
SELECT count(*) FROM integration_attach('api_keys');
SET featul_integrations.user_id = '9';
SELECT pg_temp.said('integration_list(''keys'')');
SET featul_integrations.user_id = '8';
SELECT * FROM integration_connect('keys', 'webhook', 'https://example.com/', boards => '{42}');
SET featul_integrations.user_id = '7';
SELECT type, boards, status FROM integration_list('keys');
SELECT * FROM integration_disconnect('keys', 'webhook');

RESET featul_integrations.user_id;
SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA api_test, api_keys CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id LIKE 'api_';
DELETE FROM featul_integrations.imported;
