--
-- Capture for roles without rights, and against hostile ones.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE ROLE capture_app;
CREATE ROLE capture_mallory;
CREATE SCHEMA security_test AUTHORIZATION capture_app;
GRANT USAGE ON SCHEMA security_test TO capture_mallory;
CREATE SCHEMA mallory AUTHORIZATION capture_mallory;
GRANT USAGE ON SCHEMA mallory TO capture_app;
SET ROLE capture_app;
SET search_path = security_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) SELECT u, u, u || '@example.com', true FROM unnest('{adam,maya}'::text[]) u;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('se1', 'Acme', 'acme', 'starter', 'adam', 'acme.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b', 'se1', 'Ideas', 'ideas', 'adam');
CREATE TYPE state AS ENUM ('published', 'draft');
ALTER TABLE comment ADD state state DEFAULT 'published';
GRANT INSERT, UPDATE, SELECT ON ALL TABLES IN SCHEMA security_test TO capture_mallory;
RESET ROLE;
SELECT count(*) FROM integration_attach('security_test', '{"comment": {"columns": {"visible": "state = ''published''"}}}');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/');
RESET featul_integrations.operator;
DELETE FROM featul_integrations.mark;
CREATE TEMP TABLE seen (id bigint);
INSERT INTO seen SELECT coalesce(max(id), 0) FROM featul_integrations.event;
CREATE FUNCTION pg_temp.news() RETURNS TABLE (event text, posts text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.name, string_agg(e.post_id, ' ' ORDER BY e.id)
		FROM featul_integrations.event e, seen WHERE e.id > seen.id GROUP BY 1 ORDER BY min(e.id);
	UPDATE seen SET id = (SELECT max(e.id) FROM featul_integrations.event e);
END
$$;

-- a role without any right on the extension writes as before
SET ROLE capture_mallory;
SELECT has_schema_privilege('featul_integrations', 'USAGE');
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p1', 'b', 'T', 'c', 'p1', 'adam');
UPDATE post SET status = 'draft' WHERE id = 'p1';
UPDATE post SET status = 'published', upvotes = 9 WHERE id = 'p1';
UPDATE post SET upvotes = 10 WHERE id = 'p1';
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c1', 'p1', 'c', 'maya');
-- and is itself again afterwards
SELECT current_user, current_setting('search_path');
SELECT count(*) FROM featul_integrations.event;
RESET ROLE;
SELECT * FROM pg_temp.news();

-- what shadows our names in the session is not looked at
SET ROLE capture_mallory;
CREATE FUNCTION mallory.evil() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'ran as %', current_user;
	RETURN true;
END
$$;
CREATE FUNCTION mallory.texteq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT mallory.evil()';
CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.texteq);
CREATE FUNCTION mallory.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$SELECT 'evil' FROM mallory.evil()$$;
CREATE FUNCTION mallory.jsonb_path_match_tz(jsonb, jsonpath, jsonb, boolean) RETURNS boolean LANGUAGE sql AS 'SELECT mallory.evil()';
CREATE FUNCTION mallory.nextval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint FROM mallory.evil()';
CREATE TEMP TABLE integration (id uuid, type text, events text[], boards text[], rule text, is_active bool, workspace_id text);
CREATE TEMP TABLE health (integration_id uuid, database oid);
CREATE TEMP TABLE mark (source text, id text, was_visible bool, milestone int);
CREATE TEMP TABLE board AS SELECT * FROM security_test.board;
CREATE TEMP TABLE workspace AS SELECT * FROM security_test.workspace;
CREATE TEMP TABLE "user" AS SELECT id, 'Mallory' AS name, email FROM security_test."user";
UPDATE pg_temp.board SET name = 'evil';
SET search_path = mallory, pg_temp, security_test, pg_catalog;
INSERT INTO security_test.post (id, board_id, title, content, slug, author_id) SELECT 'p2', 'b', 'T', 'c', 'p2', 'adam';
UPDATE security_test.post SET status = 'draft', upvotes = 1;
UPDATE security_test.post SET status = 'published';
UPDATE security_test.post SET upvotes = 100;
INSERT INTO security_test.comment (id, post_id, content, author_id) VALUES ('c2', 'p2', 'c', 'maya');
RESET search_path;
DROP TABLE pg_temp.integration, pg_temp.health, pg_temp.mark, pg_temp.board, pg_temp.workspace, pg_temp."user";
RESET ROLE;
SET search_path = security_test, public;
SELECT e.name, e.payload #>> '{post,board}' AS board, e.payload #>> '{post,author,name}' AS author FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT * FROM pg_temp.news();

-- the owner of a column's type adds casts and operators of his own: nothing of it runs
SET ROLE capture_app;
CREATE FUNCTION evil_text(state) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'cast ran as %', current_user;
	RETURN 'published';
END
$$;
CREATE CAST (state AS text) WITH FUNCTION evil_text(state) AS IMPLICIT;
CREATE FUNCTION evil_eq(state, state) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'operator ran as %', current_user;
	RETURN true;
END
$$;
CREATE OPERATOR = (LEFTARG = state, RIGHTARG = state, FUNCTION = evil_eq);
ALTER TABLE comment ADD extra int;
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c3', 'p2', 'c', 'maya');
-- triggers on the application's tables keep the application's rights
CREATE FUNCTION whoami() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'trigger ran as %', current_user;
	RETURN NULL;
END
$$;
CREATE TRIGGER zz AFTER INSERT ON post FOR EACH STATEMENT EXECUTE FUNCTION whoami();
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p3', 'b', 'T', 'c', 'p3');
DROP TRIGGER zz ON post;
-- a table's owner who puts something else in its place
ALTER TABLE "user" RENAME TO people;
CREATE VIEW "user" AS SELECT id, name, email FROM people WHERE mallory.evil();
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p4', 'b', 'T', 'c', 'p4', 'adam');
DROP VIEW "user";
ALTER TABLE people RENAME TO "user";
RESET ROLE;
SELECT * FROM pg_temp.news();

-- the function is a trigger of attached tables and nothing else
CREATE TABLE mallory.own (id text, board_id text, title text, content text);
ALTER TABLE mallory.own OWNER TO capture_mallory;
SET ROLE capture_mallory;
CREATE TRIGGER t AFTER INSERT ON mallory.own REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.capture('post');
RESET ROLE;
SELECT featul_integrations.capture();
CREATE TRIGGER t1 AFTER INSERT ON mallory.own REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.capture('post');
INSERT INTO mallory.own VALUES ('x', 'b', 'T', 'c');
DROP TRIGGER t1 ON mallory.own;
CREATE TRIGGER t2 AFTER INSERT ON mallory.own FOR EACH ROW EXECUTE FUNCTION featul_integrations.capture('post');
INSERT INTO mallory.own VALUES ('x', 'b', 'T', 'c');
DROP TRIGGER t2 ON mallory.own;
CREATE TRIGGER t3 BEFORE INSERT ON mallory.own FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.capture('post');
INSERT INTO mallory.own VALUES ('x', 'b', 'T', 'c');
DROP TRIGGER t3 ON mallory.own;
CREATE TRIGGER t4 AFTER INSERT ON mallory.own FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.capture('post');
INSERT INTO mallory.own VALUES ('x', 'b', 'T', 'c');
DROP TRIGGER t4 ON mallory.own;
CREATE TRIGGER t5 AFTER INSERT ON mallory.own REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.capture('nothing');
INSERT INTO mallory.own VALUES ('x', 'b', 'T', 'c');
DROP TRIGGER t5 ON mallory.own;
CREATE TRIGGER t6 AFTER DELETE ON mallory.own FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.capture('workspace');
DELETE FROM mallory.own;
SELECT * FROM pg_temp.news();

DELETE FROM featul_integrations.integration WHERE workspace_id = 'se1';
DELETE FROM featul_integrations.mark;
SELECT integration_detach();
TRUNCATE featul_integrations.binding;
SET client_min_messages = error;
DROP SCHEMA security_test, mallory CASCADE;
DROP OWNED BY capture_app, capture_mallory;
DROP ROLE capture_app, capture_mallory;
