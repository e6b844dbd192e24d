--
-- integration_attach() and integration_detach()
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
\pset null '-'

CREATE FUNCTION pg_temp.said(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT ' || call;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
CREATE VIEW pg_temp.triggers AS
SELECT tgrelid::regclass AS relation, string_agg(replace(tgname, 'featul_integrations_', ''), ' ' ORDER BY tgname) AS triggers
FROM pg_trigger WHERE tgname LIKE 'featul_integrations_%' GROUP BY tgrelid ORDER BY tgrelid::regclass::text;

-- nothing there, or not all of it: one error that names all
CREATE SCHEMA attach_test;
SET search_path = attach_test, public;
SELECT pg_temp.said($$integration_attach('no_such_schema')$$);
SELECT pg_temp.said($$integration_attach('attach_test')$$);
\set ECHO none
\i :tables
\set ECHO all
ALTER TABLE post RENAME TO ideas;
ALTER TABLE board DROP COLUMN workspace_id, DROP COLUMN name;
SELECT pg_temp.said($$integration_attach('attach_test')$$);
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"table": "ideas", "columns": {"title": "headline", "image": "a + b"}}, "vote": {"table": "ballots"}}')$$);
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"table": "ideas", "columns": {"title": "headline", "image": "a + b"}}}')$$);
SELECT count(*) FROM pg_temp.triggers;
ALTER TABLE ideas RENAME TO post;
ALTER TABLE board ADD workspace_id text, ADD name text;

-- featul's own tables without any argument (but the schema)
SELECT * FROM integration_attach('attach_test');
SELECT * FROM pg_temp.triggers;
SELECT DISTINCT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'comment'::regclass AND tgname LIKE 'featul%' ORDER BY 1;
SELECT source, relation, columns FROM featul_integrations.binding WHERE source IN ('board', 'post', 'mention') ORDER BY source;
-- again: the same
SELECT count(*) FROM integration_attach('attach_test');
SELECT * FROM pg_temp.triggers;

-- bad bindings (what PostgreSQL advises about a function differs from version to version)
SELECT b AS binding, regexp_replace(pg_temp.said(format('integration_attach(%L, %L)', 'attach_test', b)), '(function \S+ does not exist) / .*', '\1') AS said
FROM unnest(ARRAY[
	'[]', '1', '{"posts": {}}', '{"post": 1}', '{"post": []}', '{"post": {"tables": "x"}}', '{"post": {"table": 1}}',
	'{"post": {"table": ""}}', '{"post": {"table": "a.b.c.d"}}', '{"post": {"table": "pg_class"}}', '{"post": {"table": "pg_catalog.pg_stat_activity"}}',
	'{"post": {"columns": "x"}}', '{"post": {"columns": {"headline": "title"}}}', '{"post": {"columns": {"title": null}}}',
	'{"post": {"columns": {"title": ""}}}', '{"post": {"columns": {"title": "title ||"}}}', '{"post": {"columns": {"title": "title, slug"}}}',
	'{"post": {"columns": {"title": "title FROM post"}}}', '{"post": {"columns": {"title": "title AS t"}}}', '{"post": {"columns": {"title": "title; DROP TABLE post"}}}',
	'{"post": {"columns": {"title": "title) -- "}}}', '{"post": {"columns": {"title": "(SELECT name FROM board LIMIT 1)"}}}',
	'{"post": {"columns": {"title": "max(title)"}}}', '{"post": {"columns": {"title": "lag(title) OVER ()"}}}', '{"post": {"columns": {"title": "unnest(ARRAY[title])"}}}',
	'{"post": {"columns": {"title": "$1"}}}', '{"post": {"columns": {"title": "DEFAULT"}}}', '{"post": {"columns": {"title": "ctid"}}}', '{"post": {"columns": {"title": "no_such_function(title)"}}}',
	'{"post": {"columns": {"visible": "status"}}}', '{"post": {"columns": {"visible": "1"}}}', '{"post": {"columns": {"upvotes": "title"}}}', '{"post": {"columns": {"created_at": "upvotes"}}}',
	'{"post": {"columns": {"created_at": "''yesterday-ish''"}}}', '{"post": {"columns": {"visible": "NULL", "upvotes": "NULL", "created_at": "NULL", "image": "NULL"}}}'
]) AS b;
-- a cast that somebody could define
CREATE TYPE mood AS ENUM ('ok', 'bad');
CREATE FUNCTION mood_text(mood) RETURNS text LANGUAGE sql AS $$SELECT 'cast'$$;
CREATE CAST (mood AS text) WITH FUNCTION mood_text(mood);
CREATE DOMAIN word AS text CHECK (VALUE <> '');
ALTER TABLE post ADD mood mood, ADD word word;
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"columns": {"image": "mood::text"}}}')$$);
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"columns": {"image": "title::attach_test.word"}}}')$$);
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"columns": {"image": "array_to_string((''{'' || title || ''}'')::attach_test.word[], '','')"}}}')$$);
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"columns": {"image": "array_to_string(''{a}''::attach_test.word[], '','')"}}}')$$);
-- as they stand in the table, they are read as PostgreSQL writes them
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"columns": {"image": "mood", "status": "word"}}}')$$);

-- expressions are read in the caller's search_path, and mean the same in any other
CREATE FUNCTION attach_test.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT upper($1) || '!'$$;
CREATE OPERATOR attach_test.<~> (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq);
SELECT count(*) FROM integration_attach('attach_test', '{"post": {"columns": {"title": "shout(title)", "visible": "status <~> ''published''", "content": "post::text"}}}');
SELECT columns ->> 'title', columns ->> 'visible', columns ->> 'content' FROM featul_integrations.binding WHERE source = 'post';

-- plural names; the singular wins; what is absent only switches off its events
CREATE SCHEMA attach_plural;
CREATE TABLE attach_plural.workspaces (id bigint PRIMARY KEY, name text, slug text, plan text, owner_id bigint);
CREATE TABLE attach_plural.workspace_members (workspace_id bigint, user_id bigint, role text);
CREATE TABLE attach_plural.boards (id bigint PRIMARY KEY, workspace_id bigint, name text);
CREATE TABLE attach_plural.posts (id bigint PRIMARY KEY, board_id bigint, title text, content text);
CREATE TABLE attach_plural.votes (id bigint, user_id bigint);
SELECT * FROM integration_attach('attach_plural', '{"post": null}');
SELECT * FROM pg_temp.triggers;
CREATE TABLE attach_plural.post (LIKE attach_plural.posts);
ALTER TABLE attach_plural.votes ADD post_id bigint;
SELECT * FROM integration_attach('attach_plural') WHERE source IN ('post', 'vote');
SELECT columns FROM featul_integrations.binding WHERE source = 'post';

-- any other schema; a bound status column is not taken for visibility as well
CREATE SCHEMA attach_other;
CREATE TABLE attach_other."Team" (id uuid PRIMARY KEY, name text, slug text, tier int, "ownerId" uuid);
CREATE TABLE attach_other."TeamMember" (team uuid, "user" uuid, admin bool);
CREATE TABLE attach_other.topics (id uuid PRIMARY KEY, team uuid, name text, visible bool);
CREATE TABLE attach_other.ideas (id uuid PRIMARY KEY, topic uuid, headline varchar(80), body text, state text, status text, score numeric, at date);
SELECT source, relation, events FROM integration_attach('attach_other', '{
	"workspace": {"table": "Team", "columns": {"plan": "CASE tier WHEN 1 THEN ''starter'' WHEN 2 THEN ''professional'' END", "owner_id": "ownerId"}},
	"member": {"table": "attach_other.\"TeamMember\"", "columns": {"workspace_id": "team", "user_id": "user", "role": "CASE WHEN admin THEN ''admin'' ELSE ''member'' END"}},
	"board": {"table": "attach_other.topics", "columns": {"workspace_id": "team"}},
	"post": {"table": "ideas", "columns": {"board_id": "topic", "title": "headline", "content": "body", "status": "status", "upvotes": "score", "created_at": "at"}}}');
SELECT source, relation, columns FROM featul_integrations.binding ORDER BY source;
SELECT count(*) FROM integration_attach('attach_other', '{
	"workspace": {"table": "Team", "columns": {"plan": "''starter''", "owner_id": "ownerId"}},
	"member": {"table": "attach_other.\"TeamMember\"", "columns": {"workspace_id": "team", "user_id": "user", "role": "''member''"}},
	"board": {"table": "topics", "columns": {"workspace_id": "team"}},
	"post": {"table": "ideas", "columns": {"board_id": "topic", "title": "headline", "content": "body", "visible": "state <> ''draft''"}}}');
SELECT columns ->> 'visible' AS visible, columns ->> 'status' AS status FROM featul_integrations.binding WHERE source = 'post';

-- another schema replaces the first; what was bound by hand stays until it is taken back
SELECT pg_temp.said($$integration_attach('attach_test')$$);
SELECT count(*) FROM integration_attach('attach_test', '{"workspace": null, "member": null, "board": null, "post": null}');
SELECT * FROM pg_temp.triggers;

-- what is left out stays as it is, and looking changes nothing
CREATE VIEW pg_temp.by_hand AS
SELECT source, relation, canonical, expression FROM featul_integrations.bindings WHERE by_hand;
CREATE TABLE ballots (id text PRIMARY KEY, post_id text, voter text, fingerprint text);
SELECT count(*) FROM integration_attach(bindings => '{
	"board": {"columns": {"is_system": "is_system OR NOT is_public"}},
	"post": {"columns": {"visible": "status = ''published'' AND title <~> shout(title)"}},
	"vote": {"table": "ballots", "columns": {"user_id": "voter"}}}');
SELECT * FROM pg_temp.by_hand;
RESET search_path;
SELECT count(*) FROM integration_attach();
SET search_path = attach_test, public;
SELECT * FROM pg_temp.by_hand;
SELECT count(*) FROM integration_attach(bindings => '{"post": {"columns": {"title": "upper(title)"}}}');
SELECT * FROM pg_temp.by_hand;
SELECT count(*) FROM integration_attach(NULL, '{"post": null}');
SELECT * FROM pg_temp.by_hand;
-- a table bound by hand is followed wherever it goes, and so is the schema
ALTER TABLE ballots SET SCHEMA attach_plural;
ALTER SCHEMA attach_test RENAME TO attach_renamed;
SELECT * FROM integration_attach() WHERE source IN ('post', 'vote');
ALTER SCHEMA attach_renamed RENAME TO attach_test;
ALTER TABLE attach_plural.ballots SET SCHEMA attach_test;
SELECT count(*) FROM integration_attach('attach_test');
-- and what is wrong is said
SELECT count(*), count(DISTINCT source), bool_and(state = 'ok') FROM featul_integrations.bindings;
SELECT canonical, expression FROM featul_integrations.bindings WHERE source = 'member';
ALTER TABLE board RENAME is_public TO public;
ALTER TABLE ballots DROP COLUMN fingerprint;
ALTER TABLE comment DISABLE TRIGGER featul_integrations_comment_insert;
DROP TRIGGER featul_integrations_post_update ON post;
ALTER TABLE comment_mention RENAME TO mentions;
SELECT source, relation, state, count(*), min(canonical) FROM featul_integrations.bindings WHERE state <> 'ok' GROUP BY 1, 2, 3 ORDER BY 1;
SELECT count(*) FROM pg_temp.by_hand;
ALTER TABLE mentions RENAME TO comment_mention;
SELECT pg_temp.said($$integration_attach()$$);
ALTER TABLE board RENAME public TO is_public;
DROP TABLE ballots;
SELECT DISTINCT state FROM featul_integrations.bindings WHERE source = 'vote';
SELECT pg_temp.said($$integration_attach()$$);
SELECT count(*) FROM integration_attach(bindings => '{"vote": null, "board": null}');
SELECT source, state FROM featul_integrations.bindings WHERE state <> 'ok' OR by_hand;
DROP VIEW pg_temp.by_hand;

-- detach removes the triggers and keeps everything else
SELECT integration_detach();
SELECT * FROM pg_temp.triggers;
SELECT count(*) FROM featul_integrations.binding;
SELECT integration_detach();

-- for the owner alone
CREATE ROLE attach_app;
GRANT EXECUTE ON FUNCTION integration_attach, integration_detach TO attach_app;
GRANT ALL ON SCHEMA attach_test TO attach_app;
GRANT ALL ON ALL TABLES IN SCHEMA attach_test TO attach_app;
SET ROLE attach_app;
SELECT pg_temp.said($$integration_attach('attach_test')$$);
SELECT pg_temp.said($$integration_detach()$$);
RESET ROLE;
DROP OWNED BY attach_app;
DROP ROLE attach_app;

-- before the first attach
BEGIN;
TRUNCATE featul_integrations.binding;
SELECT count(*) FROM integration_attach('attach_test');
DELETE FROM featul_integrations.binding;
ROLLBACK;
SELECT count(*) FROM integration_attach('attach_test');

-- migrations are never blocked
ALTER TABLE post DROP COLUMN is_pinned, ALTER title TYPE varchar(100), ALTER upvotes TYPE bigint, ADD extra int;
ALTER TABLE post RENAME COLUMN slug TO path;
ALTER TABLE comment ALTER created_at TYPE timestamptz;
ALTER TABLE comment_reaction RENAME TO reactions;
ALTER TABLE reactions SET SCHEMA public;
DROP TABLE public.reactions, comment_mention, vote;
SELECT * FROM integration_attach();

-- DROP EXTENSION needs no CASCADE and leaves the tables usable
BEGIN;
DROP EXTENSION featul_integrations;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'featul%';
INSERT INTO "user" (id, name, email, email_verified) VALUES ('u', 'U', 'u@example.com', true);
INSERT INTO workspace (id, name, slug, owner_id, domain) VALUES ('w', 'W', 'w', 'u', 'w.example.com');
DELETE FROM workspace;
ROLLBACK;

-- all triggers disabled and enabled again, as pg_restore does: those of rows are for replication alone
ALTER TABLE post DISABLE TRIGGER ALL;
ALTER TABLE post ENABLE TRIGGER ALL;
SELECT DISTINCT state FROM featul_integrations.bindings WHERE source = 'post';
SELECT count(*) FROM integration_attach();
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'post'::regclass AND tgname ~ 'featul' ORDER BY 1;

-- partitions are added by who owns the table, and has no right on anything of ours; also to partitions
CREATE ROLE attach_owner;
CREATE SCHEMA attach_owned AUTHORIZATION attach_owner;
SET ROLE attach_owner;
CREATE TABLE attach_owned.post (id text, board_id text, title text, content text) PARTITION BY LIST (board_id);
CREATE TABLE attach_owned.post_a PARTITION OF attach_owned.post FOR VALUES IN ('a') PARTITION BY LIST (title);
RESET ROLE;
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"table": "attach_owned.post"}}')$$);
SET ROLE attach_owner;
CREATE TABLE attach_owned.post_b PARTITION OF attach_owned.post FOR VALUES IN ('b');
CREATE TABLE attach_owned.post_a_x PARTITION OF attach_owned.post_a FOR VALUES IN ('x');
CREATE TABLE attach_owned.post_c (LIKE attach_owned.post);
ALTER TABLE attach_owned.post ATTACH PARTITION attach_owned.post_c FOR VALUES IN ('c');
CREATE TRIGGER mine AFTER INSERT ON attach_owned.post FOR EACH ROW EXECUTE FUNCTION featul_integrations.capture_row('post');
RESET ROLE;
SELECT tgrelid::regclass AS relation, tgenabled FROM pg_trigger WHERE tgname = 'featul_integrations_post_row' AND tgrelid::regclass::text ~ 'owned' ORDER BY 1;
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": null}')$$);
SELECT has_function_privilege('attach_owner', 'featul_integrations.capture_row()', 'EXECUTE');

-- a foreign table below a bound one: every statement that reaches it would fail
CREATE FOREIGN DATA WRAPPER attach_wrapper;
CREATE SERVER attach_server FOREIGN DATA WRAPPER attach_wrapper;
CREATE SCHEMA attach_foreign;
CREATE TABLE attach_foreign.post (LIKE post INCLUDING DEFAULTS) PARTITION BY LIST (board_id);
CREATE TABLE attach_foreign.post_here PARTITION OF attach_foreign.post DEFAULT;
CREATE FOREIGN TABLE attach_foreign.post_there PARTITION OF attach_foreign.post FOR VALUES IN ('b') SERVER attach_server;
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"table": "attach_foreign.post"}}')$$);
ALTER TABLE attach_foreign.post DETACH PARTITION attach_foreign.post_there;
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": {"table": "attach_foreign.post"}}')$$);
ALTER TABLE attach_foreign.post ATTACH PARTITION attach_foreign.post_there FOR VALUES IN ('b');
SELECT DISTINCT state FROM featul_integrations.bindings WHERE source = 'post';
SELECT pg_temp.said($$integration_attach('attach_test', '{"post": null}')$$);

SELECT integration_detach();
TRUNCATE featul_integrations.binding;
SET client_min_messages = error;
DROP SCHEMA attach_test, attach_plural, attach_other, attach_foreign CASCADE;
DROP FOREIGN DATA WRAPPER attach_wrapper CASCADE;
DROP OWNED BY attach_owner;
DROP ROLE attach_owner;
