--
-- Roles that would like to run code as the extension's owner, or to see what is
-- not theirs: nobody (no grants), caller (the API), tenant (owns the application's
-- tables, may create functions).  Everything that a trap catches lands in "caught".
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
DROP SCHEMA IF EXISTS hostile_test CASCADE;
CREATE ROLE hostile_nobody;
CREATE ROLE hostile_caller;
CREATE ROLE hostile_tenant;
RESET client_min_messages;
CREATE SCHEMA hostile_test;
GRANT ALL ON SCHEMA hostile_test TO hostile_tenant, hostile_caller;
SET search_path = hostile_test, public;
CREATE TABLE caught (who name, trap text);
GRANT INSERT, SELECT ON caught TO PUBLIC;
GRANT EXECUTE ON FUNCTION integration_connect, integration_list, integration_disconnect, integration_test,
	integration_deliveries, integration_redeliver, integration_recover, integration_secret,
	integration_rotate_secret, integration_preview TO hostile_caller, hostile_tenant;

-- the application's tables are the tenant's
\getenv abs_srcdir PG_ABS_SRCDIR
\set schema :abs_srcdir '/test/featul.sql'
SET ROLE hostile_tenant;
\set ECHO none
\i :schema
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('u', 'U', 'u@example.com', true), ('v', 'V', 'v@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES
	('h1', 'H1', 'h1', 'starter', 'u', 'h1.example.com'), ('h2', 'H2', 'h2', 'starter', 'v', 'h2.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b1', 'h1', 'B', 'b', 'u'), ('b2', 'h2', 'B', 'b', 'u');
RESET ROLE;
SELECT count(*) FROM integration_attach('hostile_test');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('h1', 'webhook', 'https://h1.example.com/topsecret', boards => '{b}');
SELECT message FROM integration_connect('h2', 'webhook', 'https://h2.example.com/topsecret');
SELECT integration_secret('h2') AS secret \gset
RESET featul_integrations.operator;

-- nobody may do anything with any object of the extension
CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'featul_integrations');
SELECT pg_describe_object(classid, objid, 0) AS open
FROM member
WHERE CASE classid
	WHEN 'pg_proc'::regclass THEN has_function_privilege('hostile_nobody', objid, 'EXECUTE')
	WHEN 'pg_namespace'::regclass THEN has_schema_privilege('hostile_nobody', objid, 'USAGE, CREATE')
	WHEN 'pg_class'::regclass THEN CASE (SELECT relkind FROM pg_class WHERE oid = objid)
		WHEN 'S' THEN has_sequence_privilege('hostile_nobody', objid, 'USAGE, SELECT, UPDATE')
		ELSE has_table_privilege('hostile_nobody', objid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') END
END;
-- nor the API's callers with what lies behind it
SELECT pg_describe_object(classid, objid, 0) AS open
FROM member
WHERE CASE classid
	WHEN 'pg_namespace'::regclass THEN has_schema_privilege('hostile_caller', objid, 'USAGE, CREATE')
	WHEN 'pg_class'::regclass THEN (SELECT relkind <> 'S' FROM pg_class WHERE oid = objid)
		AND has_table_privilege('hostile_caller', objid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
END;

SET ROLE hostile_caller;
SET featul_integrations.user_id = 'u';
-- another workspace's, and what only a superuser or the owner may do
SELECT * FROM integration_list('h2');
SELECT integration_secret('h2');
SELECT integration_deliveries('h2');
SELECT integration_preview('h2', 'webhook', 'post.created');
SELECT message FROM integration_connect('h1', 'webhook', 'https://h1.example.com/topsecret', boards => '{b2}');
SET featul_integrations.operator = on;
SET featul_integrations.allowed_networks = '0.0.0.0/0';
SELECT * FROM integration_attach('hostile_test');
SELECT featul_integrations.activate_restored();
SELECT webhook_url FROM featul_integrations.integration;
CREATE TRIGGER mine AFTER INSERT ON caught EXECUTE FUNCTION featul_integrations.capture();

-- shadowing: the caller's own functions, operators and temporary tables, in front of pg_catalog
CREATE FUNCTION hostile_test.trap(which text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO hostile_test.caught VALUES (current_user, which);
	RETURN true;
END $$;
CREATE FUNCTION hostile_test.trap_eq(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT hostile_test.trap('text = text') $$;
CREATE FUNCTION hostile_test.trap_eq(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT hostile_test.trap('uuid = uuid') $$;
CREATE OPERATOR hostile_test.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile_test.trap_eq);
CREATE OPERATOR hostile_test.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile_test.trap_eq);
CREATE FUNCTION hostile_test.now() RETURNS timestamptz LANGUAGE sql AS
	$$ SELECT NULL::timestamptz FROM hostile_test.trap('now') $$;
CREATE FUNCTION hostile_test.nextval(text) RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint FROM hostile_test.trap('nextval') $$;
CREATE FUNCTION hostile_test.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'x' FROM hostile_test.trap('unnest') $$;
CREATE FUNCTION hostile_test.gen_random_uuid() RETURNS uuid LANGUAGE sql AS $$ SELECT NULL::uuid FROM hostile_test.trap('uuid') $$;
CREATE TEMP TABLE integration (id uuid, workspace_id text, webhook_url text);
CREATE TEMP TABLE pg_database (oid oid, datname name);
CREATE TEMP TABLE health (integration_id uuid);
SET search_path = hostile_test, pg_temp, public, pg_catalog;
SELECT type, status, boards FROM public.integration_list('h1');
SELECT message FROM public.integration_connect('h1', 'slack', 'https://hooks.slack.com/services/T/B/x', boards => '{b}');
SELECT message FROM public.integration_disconnect('h1', 'slack');
SELECT count(*) FROM public.integration_deliveries('h1');
SELECT pg_catalog.length(public.integration_preview('h1', 'webhook', 'post.created')) > 0 AS previewed;
SET search_path = hostile_test, public;
RESET ROLE;
SELECT DISTINCT who, trap FROM caught WHERE who <> 'hostile_caller';
DROP OPERATOR hostile_test.= (text, text), hostile_test.= (uuid, uuid);

-- A binding that calls a function runs it with our rights; what this session knows of
-- that one must not outlive it.
CREATE FUNCTION own_role(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
SELECT count(*) FROM integration_attach('hostile_test', '{"member": {"columns": {"role": "hostile_test.own_role(role)"}}}');
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p0', 'b1', 'T', 'c', 'p0', 'v');
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c0', 'p0', 'c', 'v');
SELECT count(*) FROM integration_attach('hostile_test', '{"member": null}');

-- The planner evaluates what the owner of a table hung on it: index expressions,
-- predicates, constraints.  No query of ours may plan that with our rights.
SET ROLE hostile_tenant;
CREATE FUNCTION trap_write(which text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	INSERT INTO hostile_test.caught VALUES (current_user, which);
	RETURN true;
END $$;
CREATE FUNCTION trap_fold(which text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN hostile_test.trap_write(which);
END $$;
DO $$
DECLARE name text;
BEGIN
	FOREACH name IN ARRAY '{workspace,workspace_member,user,board,post,comment,vote,comment_mention,comment_reaction,workspace_integration}'::text[] LOOP
		EXECUTE format('CREATE INDEX ON hostile_test.%I ((hostile_test.trap_fold(%L)))', name, 'index on ' || name);
		EXECUTE format('CREATE INDEX ON hostile_test.%I (id) WHERE hostile_test.trap_fold(%L)', name, 'predicate on ' || name);
		EXECUTE format('ALTER TABLE hostile_test.%I ADD CHECK (hostile_test.trap_fold(%L))', name, 'check on ' || name);
	END LOOP;
END $$;
SET constraint_exclusion = on;
SET featul_integrations.user_id = 'u';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p1', 'b1', 'T', 'c', 'p1', 'v');
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c1', 'p1', 'c', 'v');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'c1', 'u', 'upvote');
SELECT type, status, boards FROM integration_list('h1');
SELECT message FROM integration_connect('h1', 'webhook', 'https://h1.example.com/topsecret', boards => '{b}');
SELECT length(integration_preview('h1', 'webhook', e)) > 0 AS previewed
FROM (VALUES ('post.created'), ('comment.reaction')) AS v (e);
TRUNCATE workspace CASCADE;
RESET ROLE;
SELECT count(*) FROM integration_import('hostile_test');
SELECT DISTINCT who, trap FROM caught WHERE who NOT IN ('hostile_caller', 'hostile_tenant') ORDER BY 2;
SELECT count(*) > 0 AS the_traps_work FROM caught WHERE who = 'hostile_tenant';

-- A function that a binding calls has our rights: it is nobody's who is not trusted with them, not even
-- after the owner of its schema has put another in its place.
RESET featul_integrations.user_id;
SET client_min_messages = error;
DROP SCHEMA hostile_test CASCADE;
RESET client_min_messages;
CREATE SCHEMA hostile_test AUTHORIZATION hostile_tenant;
GRANT USAGE ON SCHEMA hostile_test TO featul_integrations;
SET ROLE hostile_tenant;
\set ECHO none
\i :schema
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('u', 'U', 'u@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('h1', 'H1', 'h1', 'starter', 'u', 'h1.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b1', 'h1', 'B', 'b', 'u');
CREATE TABLE loot (who name, url text);
GRANT INSERT ON loot TO PUBLIC;
CREATE FUNCTION curious(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO hostile_test.loot SELECT current_user, webhook_url FROM featul_integrations.integration;
	RETURN $1;
END $$;
RESET ROLE;
SELECT count(*) FROM integration_attach('hostile_test', '{"post": {"columns": {"title": "hostile_test.curious(title)"}}}');
ALTER FUNCTION curious(text) RENAME TO curious_one;
CREATE FUNCTION curious(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
SELECT count(*) FROM integration_attach('hostile_test', '{"post": {"columns": {"title": "hostile_test.curious(title)"}}}');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('h1', 'webhook', 'https://h1.example.com/topsecret');
RESET featul_integrations.operator;
SET ROLE hostile_tenant;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p2', 'b1', 'T', 'c', 'p2');
DROP FUNCTION curious(text);
ALTER FUNCTION curious_one(text) RENAME TO curious;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p3', 'b1', 'T', 'c', 'p3');
SELECT * FROM loot;
RESET ROLE;
SELECT state FROM featul_integrations.bindings WHERE state <> 'ok';
SELECT post_id FROM featul_integrations.event WHERE workspace_id = 'h1' AND post_id IN ('p2', 'p3');

SELECT integration_detach();
TRUNCATE featul_integrations.binding;
SET client_min_messages = error;
DROP SCHEMA hostile_test CASCADE;
DROP OWNED BY hostile_nobody, hostile_caller, hostile_tenant;
DROP ROLE hostile_nobody, hostile_caller, hostile_tenant;
