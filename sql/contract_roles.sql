--
-- Ordinary roles: who owns the tables, who writes
-- them, row level security, and what an application must be granted.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE ROLE regress_featul_owner;
CREATE ROLE regress_featul_web;
CREATE SCHEMA roles_test AUTHORIZATION regress_featul_owner;
CREATE SCHEMA roles_functions;
SET search_path = roles_test, public;
SET ROLE regress_featul_owner;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true), ('mina', 'Mina', 'mina@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('ro1', 'Acme', 'roles', 'starter', 'olivia', 'roles.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('ideas', 'ro1', 'Ideas', 'ideas', 'olivia');
RESET ROLE;

-- a binding's function that the extension's role may call, and nobody else; the table's owner must be able to name it
CREATE FUNCTION roles_functions.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) || '!' $$;
REVOKE ALL ON FUNCTION roles_functions.shout(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA roles_functions TO regress_featul_owner;
SELECT count(*) FROM integration_attach('roles_test', '{"board": {"columns": {"name": "roles_functions.shout(name)"}}}');
GRANT EXECUTE ON FUNCTION roles_functions.shout(text) TO featul_integrations;
SELECT count(*) FROM integration_attach('roles_test',
	'{"post": {"columns": {"title": "roles_functions.shout(title)"}}, "board": {"columns": {"name": "roles_functions.shout(name)"}}}');

-- as Supabase and PostgREST have it: row level security on every table, forced even on the tables' owner
SET ROLE regress_featul_owner;
ALTER TABLE "user" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE board ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE post ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE comment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON post TO regress_featul_web USING (author_id = 'mina') WITH CHECK (author_id = 'mina');
CREATE POLICY own ON comment TO regress_featul_web WITH CHECK (author_id = 'mina');
GRANT USAGE ON SCHEMA roles_test TO regress_featul_web;
-- no more than what it writes and reads
GRANT INSERT, SELECT, UPDATE (title, is_pinned) ON post TO regress_featul_web;
GRANT INSERT ON comment TO regress_featul_web;
RESET ROLE;

-- one plain GRANT opens the API, for what it names
GRANT EXECUTE ON FUNCTION integration_list, integration_connect TO regress_featul_web;
SET ROLE regress_featul_web;
SELECT set_config('request.jwt.claims', '{"sub": "olivia", "role": "regress_featul_web"}', false) IS NOT NULL AS signed_in;
SELECT * FROM integration_connect('roles', 'webhook', 'https://example.com/', boards => '{ideas}');
SELECT type, boards, status FROM integration_list('roles');
SELECT * FROM integration_disconnect('roles', 'webhook');
SELECT * FROM integration_secret('roles');

-- and what it writes is captured, although it can see neither boards nor workspaces nor the extension's tables
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p1', 'ideas', 'one', 'c', 'p1', 'mina');
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p2', 'ideas', 'two', 'c', 'p2', 'olivia');
UPDATE post SET is_pinned = true;
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c1', 'p1', 'c', 'mina');
SELECT * FROM board;
SELECT * FROM featul_integrations.event;
RESET ROLE;
SELECT name, payload #>> '{post,title}' AS title, payload #>> '{post,board}' AS board, payload #>> '{post,author,name}' AS author,
	payload #>> '{comment,author,name}' AS commenter
FROM featul_integrations.event WHERE workspace_id = 'ro1' ORDER BY id;

-- the tables' owner migrates without asking, and drops them at last
SET ROLE regress_featul_owner;
ALTER TABLE post ALTER title TYPE varchar(200), ADD note text;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('ro2', 'x', 'x', 'free', 'olivia', 'x.example.com');
DROP TABLE workspace_integration, comment_mention, comment_reaction, vote, comment, post CASCADE;
RESET ROLE;

RESET request.jwt.claims;
SELECT integration_detach();
TRUNCATE featul_integrations.binding;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'ro1';
SET client_min_messages = error;
DROP SCHEMA roles_test, roles_functions CASCADE;
DROP OWNED BY regress_featul_owner, regress_featul_web;
DROP ROLE regress_featul_owner, regress_featul_web;
