--
-- No way in: whose rights and whose settings code of others meets, wherever it is called from.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA trust_test;
SET search_path = trust_test, public;
\set ECHO none
\i :tables
\set ECHO all
CREATE ROLE trust_caller;
GRANT USAGE ON SCHEMA trust_test TO trust_caller;
GRANT ALL ON ALL TABLES IN SCHEMA trust_test TO trust_caller;
GRANT EXECUTE ON FUNCTION integration_connect, integration_list TO trust_caller;
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true), ('maya', 'Maya', 'maya@example.com', true);
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('tr1', 'Acme', 'trust', 'd', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by, roadmap_statuses, changelog_tags) VALUES ('b', 'tr1', 'Ideas', 'ideas', 'olivia', '[]', '[]');
SELECT count(*) FROM integration_attach('trust_test');

-- all that acts belongs to a role that can do nothing else
SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
FROM pg_roles WHERE rolname = 'featul_integrations';
SELECT p.oid::regprocedure AS not_its_own FROM pg_proc p
WHERE p.probin = '$libdir/featul_integrations' AND p.prosecdef AND p.proowner <> 'featul_integrations'::regrole;
SELECT c.oid::regclass AS not_its_own FROM pg_class c
WHERE c.relnamespace = 'featul_integrations'::regnamespace AND c.relowner <> 'featul_integrations'::regrole;

-- an error inside of a call leaves nobody with our rights: neither a cancelled rule nor another error
SET ROLE trust_caller;
SET featul_integrations.user_id = 'olivia';
SET statement_timeout = '300ms';
DO $$
BEGIN
	PERFORM integration_connect('trust', 'webhook', 'https://example.com/',
		rule => 'exists($.** ? (exists($.** ? ($.post.content like_regex "a(.{250}){60}c"))))');
	RAISE WARNING 'accepted';
EXCEPTION WHEN query_canceled OR SQLSTATE 'PT400' THEN
	RAISE WARNING 'caught as %', current_user;
END $$;
RESET statement_timeout;
DO $$
BEGIN
	PERFORM integration_connect('trust', 'webhook', 'https://example.com/', rule => '$.post.title.foo() == 1');
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'caught as %: %', current_user, SQLERRM;
END $$;
SELECT message FROM integration_connect('trust', 'webhook', 'https://example.com/');
RESET ROLE;

-- a binding's functions meet the same settings and the same role, whatever leads to them
CREATE TABLE met (n serial, source text, who name, path text, settings text);
CREATE FUNCTION trust_test.look(id text, source text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	INSERT INTO trust_test.met (source, who, path, settings) VALUES (source, current_user, current_setting('search_path'),
		concat_ws(' ', current_setting('DateStyle'), current_setting('TimeZone'), current_setting('standard_conforming_strings'), lower('X')));
	RETURN id;
END $$;
GRANT USAGE ON SCHEMA trust_test TO featul_integrations;
GRANT INSERT ON met TO featul_integrations;
GRANT USAGE ON SEQUENCE met_n_seq TO featul_integrations;
SELECT count(*) FROM integration_attach('trust_test',
	'{"workspace": {"columns": {"id": "trust_test.look(id, ''workspace'')"}}, "member": {"columns": {"role": "trust_test.look(role, ''member'')"}},
	"board": {"columns": {"name": "trust_test.look(name, ''board'')"}}, "post": {"columns": {"title": "trust_test.look(title, ''post'')"}}}');
INSERT INTO workspace_member (id, workspace_id, user_id, role, permissions) VALUES ('m', 'tr1', 'maya', 'admin', '{}');
CREATE SCHEMA trust_evil AUTHORIZATION trust_caller;
SET ROLE trust_caller;
CREATE FUNCTION trust_evil.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil as ' || current_user $$;
SET search_path = trust_evil, pg_catalog, trust_test, public;
SET DateStyle = 'German';
SET TimeZone = 'Asia/Tokyo';
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name ~ '^(standard_conforming_strings|escape_string_warning)$' AND current_setting('server_version_num')::integer < 190000 \g /dev/null
INSERT INTO trust_test.post (id, board_id, title, content, slug) VALUES ('p1', 'b', 'one', 'c', 's');
INSERT INTO trust_test.comment (id, post_id, content, author_id) VALUES ('c1', 'p1', 'c', 'olivia');
SELECT type FROM integration_list('trust');
SET featul_integrations.user_id = 'maya';
SELECT type FROM integration_list('trust');
DELETE FROM trust_test.workspace WHERE id = 'tr1';
RESET ROLE;
RESET ALL;
SET client_min_messages = warning;
SET search_path = trust_test, public;
SELECT DISTINCT source, who, path, settings FROM met ORDER BY 1;
SELECT name, payload #>> '{post,title}' AS title FROM featul_integrations.event WHERE workspace_id = 'tr1' ORDER BY id;
SELECT count(*) AS left_behind FROM featul_integrations.integration WHERE workspace_id = 'tr1';

-- what a binding means is fixed when it is attached
SELECT count(*) FROM integration_attach('trust_test');
SET DateStyle = 'German';
ALTER TABLE post ADD day date, ADD at timestamptz;
SELECT count(*) FROM integration_attach('trust_test',
	'{"post": {"columns": {"visible": "title !~ ''^\\d'' and day is distinct from ''01.02.2026''", "status": "day::text", "slug": "at::text"}}}');
SELECT columns -> 'visible' AS visible FROM featul_integrations.binding WHERE source = 'post';
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('tr1', 'Acme', 'trust', 'd', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by, roadmap_statuses, changelog_tags) VALUES ('b', 'tr1', 'Ideas', 'ideas', 'olivia', '[]', '[]');
SET featul_integrations.user_id = 'olivia';
SELECT message FROM integration_connect('trust', 'webhook', 'https://example.com/');
\c
SET search_path = trust_test, public;
SET client_min_messages = warning;
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name ~ '^(standard_conforming_strings|escape_string_warning)$' AND current_setting('server_version_num')::integer < 190000 \g /dev/null
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'SQL, DMY';
INSERT INTO post (id, board_id, title, content, slug, day, at) VALUES
	('q1', 'b', '1 cannot be seen', 'c', 's1', '20260203', '20260203T000000Z'),
	('q2', 'b', 'seen', 'c', 's2', '20260203', '20260203T000000Z'),
	('q3', 'b', 'the first of February', 'c', 's3', '20260201', NULL);
SELECT payload #>> '{post,id}' AS id, payload #>> '{post,status}' AS status, payload #>> '{post,url}' AS url
FROM featul_integrations.event WHERE post_id LIKE 'q_' ORDER BY id;
RESET ALL;
-- nor does the text of a value, be it of a type whose output counts as immutable and is not
SET client_min_messages = warning;
SET search_path = trust_test, public;
ALTER TABLE post ADD bytes bytea, ADD float float8, ADD place point;
SELECT count(*) FROM integration_attach('trust_test', '{"post": null}');
SELECT count(*) FROM integration_attach('trust_test', '{"post": {"columns": {"status": "bytes", "slug": "float", "title": "place"}}}');
SET bytea_output = 'escape';
SET extra_float_digits = -3;
INSERT INTO post (id, board_id, title, content, slug, bytes, float, place) VALUES ('q4', 'b', 't', 'c', 's4', '\x00ff', 0.1::float8 + 0.2::float8, '(0.30000000000000004,1)');
SELECT payload #>> '{post,title}' AS title, payload #>> '{post,status}' AS status, payload #>> '{post,url}' AS url
FROM featul_integrations.event WHERE post_id = 'q4';
RESET ALL;

SET client_min_messages = error;
SELECT integration_detach();
DELETE FROM featul_integrations.integration WHERE workspace_id = 'tr1';
DELETE FROM featul_integrations.binding; -- what was bound by hand would stay
DROP SCHEMA trust_test, trust_evil CASCADE;
REVOKE ALL ON FUNCTION integration_connect, integration_list FROM trust_caller;
DROP ROLE trust_caller;
