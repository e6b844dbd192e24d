--
-- Taking over the application's older integrations, and following them
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
\pset null '-'
CREATE SCHEMA import_test;
SET search_path = import_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, domain, owner_id, plan)
	SELECT 'im' || n, 'W' || n, 'w' || n, 'w' || n || '.example.com', 'olivia', 'starter' FROM generate_series(1, 4) n;
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b1', 'im1', 'Ideas', 'ideas', 'olivia');
SELECT count(*) FROM integration_attach('import_test');
SET featul_integrations.operator = on;
CREATE VIEW pg_temp.connected AS
SELECT workspace_id, type, webhook_url, is_active, inactive_reason, events, rule
FROM featul_integrations.integration WHERE workspace_id LIKE 'im_' ORDER BY 1, 2;

-- the events that its channels got until then, unless told otherwise
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url, is_active) VALUES
	('i1', 'im1', 'slack', 'https://hooks.slack.com/services/T0/B0/one', true),
	('i2', 'im1', 'discord', 'http://discord.com/api/webhooks/1/plain', true),
	('i3', 'im2', 'discord', 'https://discord.com/api/webhooks/2/two', false);
SELECT * FROM integration_import();
SELECT * FROM pg_temp.connected;
SELECT * FROM integration_import('import_test', events => '{post.created,post.nonsense}');
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('i4', 'im2', 'slack', 'https://hooks.slack.com/services/T0/B0/four');
SELECT * FROM integration_import('import_test', NULL) WHERE imported;
SELECT workspace_id, events FROM pg_temp.connected WHERE webhook_url LIKE '%four';
SELECT count(*) FROM pg_trigger WHERE tgname = 'featul_integrations_follow';

-- following: what changed meanwhile, then every change in its own transaction
UPDATE workspace_integration SET webhook_url = 'https://hooks.slack.com/services/T0/B0/uno' WHERE id = 'i1';
SELECT message FROM integration_connect('w1', 'webhook', 'https://example.com/by-hand');
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('i5', 'im1', 'webhook', 'https://example.com/older');
SELECT * FROM integration_import(follow => true);
SELECT workspace_id, type, webhook_url, is_active FROM pg_temp.connected;
-- filters that were set here stay
SELECT message FROM integration_connect('w1', 'slack', 'https://hooks.slack.com/services/T0/B0/uno', events => '{post.upvoted}', rule => '$.post.upvotes > 3');
CREATE ROLE regress_import_app;
GRANT USAGE ON SCHEMA import_test TO regress_import_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON workspace_integration TO regress_import_app;
SET ROLE regress_import_app;
UPDATE workspace_integration SET webhook_url = 'https://hooks.slack.com/services/T0/B0/eins' WHERE id = 'i1';
UPDATE workspace_integration SET is_active = false WHERE id = 'i4';
UPDATE workspace_integration SET is_active = true WHERE id = 'i3';
UPDATE workspace_integration SET last_triggered_at = now() WHERE id = 'i2';
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('i6', 'im3', 'slack', 'https://hooks.slack.com/services/T0/B0/six');
RESET ROLE;
SELECT * FROM pg_temp.connected;
-- a row that is refused is a WARNING, not an error of the application's statement
SET ROLE regress_import_app;
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES
	('i7', 'im4', 'slack', 'https://example.com/not-slack'),
	('i9', 'im4', 'discord', 'https://discord.com/api/webhooks/9/nine');
UPDATE workspace_integration SET webhook_url = 'https://10.0.0.1/' WHERE id = 'i6';
-- moved to another workspace, rolled back, deleted
UPDATE workspace_integration SET workspace_id = 'im3' WHERE id = 'i9';
BEGIN;
DELETE FROM workspace_integration;
ROLLBACK;
DELETE FROM workspace_integration WHERE id = 'i1';
RESET ROLE;
SELECT workspace_id, type, webhook_url, is_active FROM pg_temp.connected;
-- silent where triggers are silenced
SET session_replication_role = replica;
DELETE FROM workspace_integration WHERE id = 'i9';
RESET session_replication_role;
SELECT count(*) FROM pg_temp.connected WHERE type = 'discord' AND workspace_id = 'im3';
-- what the trigger did not see go is disconnected when following is asked for again; not where a user connected it
SELECT message FROM integration_connect('w4', 'slack', 'https://hooks.slack.com/services/T0/B0/by-hand');
SELECT workspace_id, type FROM featul_integrations.imported ORDER BY 1, 2;
SELECT * FROM integration_import() WHERE reason ~ 'gone';
SELECT * FROM integration_import(follow => true) WHERE reason ~ 'gone';
SELECT workspace_id, type FROM pg_temp.connected;
-- what is not attached any more, or was changed, is in nobody's way
BEGIN;
TRUNCATE featul_integrations.binding;
UPDATE workspace_integration SET is_active = false;
ROLLBACK;
BEGIN;
ALTER TABLE workspace RENAME id TO key;
UPDATE workspace_integration SET is_active = false WHERE id = 'i3';
ROLLBACK;
-- a user who may not read the extension's tables sees nothing of it; the trigger goes with the extension
SET ROLE regress_import_app;
SELECT featul_integrations.follow();
RESET ROLE;
BEGIN;
DROP VIEW pg_temp.connected;
DROP EXTENSION featul_integrations;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'featul%';
ROLLBACK;

RESET featul_integrations.operator;
SELECT integration_detach();
-- which is all of it
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'featul%';
SET client_min_messages = error;
DROP SCHEMA import_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id LIKE 'im_';
DELETE FROM featul_integrations.imported;
DROP OWNED BY regress_import_app;
DROP ROLE regress_import_app;
