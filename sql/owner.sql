--
-- The extension's owner is no superuser any more.
--
SET client_min_messages = error;
DROP EXTENSION IF EXISTS featul_integrations CASCADE;
CREATE ROLE regress_featul_dba SUPERUSER;
CREATE ROLE regress_featul_app;
CREATE SCHEMA owner_test AUTHORIZATION regress_featul_dba;
SET ROLE regress_featul_dba;
CREATE EXTENSION featul_integrations SCHEMA owner_test;
RESET ROLE;
ALTER ROLE regress_featul_dba NOSUPERUSER;
SET SESSION AUTHORIZATION regress_featul_dba;
SET search_path = owner_test;
CREATE TABLE workspace (id text PRIMARY KEY, name text, slug text, plan text, owner_id text);
CREATE TABLE workspace_member (workspace_id text, user_id text, role text);
CREATE TABLE board (id text PRIMARY KEY, workspace_id text, name text);
CREATE TABLE post (id text PRIMARY KEY, board_id text, title text, content text);
CREATE TABLE workspace_integration (workspace_id text, type text, webhook_url text, is_active boolean);
INSERT INTO workspace VALUES ('w', 'W', 'w', 'starter', 'olivia');
INSERT INTO board VALUES ('b', 'w', 'B');
INSERT INTO workspace_integration VALUES ('w', 'slack', 'https://hooks.slack.com/services/T/B/X', true);
SELECT source, relation, events FROM integration_attach('owner_test');
SELECT * FROM integration_import('owner_test', follow => true);
GRANT EXECUTE ON FUNCTION integration_connect, integration_list TO regress_featul_app;
GRANT USAGE ON SCHEMA owner_test TO regress_featul_app;
RESET SESSION AUTHORIZATION;
SET ROLE regress_featul_app;
SET featul_integrations.user_id = 'olivia';
SELECT message FROM integration_connect('w', 'webhook', 'https://example.com/');
SELECT type, status FROM integration_list('w');
RESET ROLE;
SET SESSION AUTHORIZATION regress_featul_dba;
INSERT INTO post VALUES ('p', 'b', 'T', 'c');
SELECT name, post_id FROM featul_integrations.event;
SELECT type, event, state FROM featul_integrations.deliveries ORDER BY id;
SELECT count(*) FROM featul_integrations.bindings WHERE state <> 'ok';
SELECT count(*) > 0 AS diagnosed FROM featul_integrations.diagnose();
SELECT featul_integrations.activate_restored();
-- what would run the owner's code as who writes
CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER spy BEFORE INSERT ON featul_integrations.queue FOR EACH ROW EXECUTE FUNCTION spy();
-- a binding's code is not run with the rights of whoever owns the table, not even by functions of PostgreSQL's own
RESET SESSION AUTHORIZATION;
ALTER TABLE post OWNER TO CURRENT_USER;
ALTER TABLE post DROP CONSTRAINT post_pkey;
GRANT SELECT ON post TO regress_featul_dba;
CREATE TABLE secret (id text PRIMARY KEY, name text, email text);
SET SESSION AUTHORIZATION regress_featul_dba;
CREATE TABLE vote (id text PRIMARY KEY, post_id text, user_id text);
CREATE FUNCTION who() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN current_user; END';
CREATE VIEW who_am_i AS SELECT owner_test.who();
GRANT USAGE ON SCHEMA owner_test TO featul_integrations;
GRANT SELECT ON who_am_i TO featul_integrations;
SELECT count(*) FROM integration_attach(bindings => '{"post": {"columns": {
	"title": "pg_catalog.query_to_xml(''SELECT owner_test.who()'', false, false, '''')::text",
	"content": "pg_catalog.table_to_xml(''owner_test.who_am_i''::regclass, false, false, '''')::text"}}}');
-- nor what he may not read bound
SELECT integration_attach(bindings => '{"user": {"table": "owner_test.secret"}}');
UPDATE featul_integrations.binding SET relation = 'pg_catalog.pg_authid' WHERE source = 'post';
INSERT INTO vote VALUES ('v', 'p', 'maya');
SELECT xpath('//who/text()', (payload::jsonb #>> '{post,title}')::xml), xpath('//who/text()', (payload::jsonb #>> '{post,content}')::xml)
FROM featul_integrations.event WHERE name = 'post.upvoted';
RESET SESSION AUTHORIZATION;
ALTER TABLE post OWNER TO regress_featul_dba;
SET SESSION AUTHORIZATION regress_featul_dba;
SELECT integration_detach();
RESET SESSION AUTHORIZATION;
-- who is neither owner nor superuser may not
SET ROLE regress_featul_app;
SELECT integration_attach();
RESET ROLE;
DROP EXTENSION featul_integrations;
DROP SCHEMA owner_test CASCADE;
DROP ROLE regress_featul_dba, regress_featul_app;
RESET search_path;
CREATE EXTENSION featul_integrations;
