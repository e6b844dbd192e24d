--
-- Capture never breaks the application's statement on account of data or of a
-- changed table: a WARNING once a session, the events of others go on.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA failures_test;
SET search_path = failures_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) SELECT u, u, u || '@example.com', true FROM unnest('{adam,maya}'::text[]) u;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('fa1', 'Acme', 'acme', 'starter', 'adam', 'acme.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b', 'fa1', 'Ideas', 'ideas', 'adam');
ALTER TABLE post ADD score text DEFAULT '0';
SELECT count(*) FROM integration_attach('failures_test', '{"post": {"columns": {"upvotes": "score::bigint"}}}');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/');
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

-- a row that an expression cannot digest is left out, its fellows are not
INSERT INTO post (id, board_id, title, content, slug, score) VALUES
	('a1', 'b', 'T', 'c', 'a1', '1'), ('a2', 'b', 'T', 'c', 'a2', 'many'), ('a3', 'b', 'T', 'c', 'a3', '3'), ('a4', 'b', 'T', 'c', 'a4', 'more');
SELECT * FROM pg_temp.news();
-- the same again: no second warning
INSERT INTO post (id, board_id, title, content, slug, score) VALUES ('a5', 'b', 'T', 'c', 'a5', 'many');
UPDATE post SET score = 'x' WHERE id = 'a1';
SELECT * FROM pg_temp.news();
-- another cause is another warning
UPDATE post SET score = '99999999999999999999' WHERE id = 'a3';
-- what is looked up can fail as well: then every row is tried on its own
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'a5', 'adam', 'upvote'), (gen_random_uuid(), 'a4', 'adam', 'upvote');
UPDATE post SET score = '7' WHERE id = 'a4';
SELECT failed AS failed_before FROM featul_integrations.stat_capture \gset
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'a5', 'maya', 'upvote'), (gen_random_uuid(), 'a4', 'maya', 'upvote'), (gen_random_uuid(), 'a1', 'maya', 'upvote');
SELECT failed - :failed_before AS failed FROM featul_integrations.stat_capture;
SELECT "check", what_to_do FROM featul_integrations.diagnose() WHERE NOT ok AND "check" ~ 'capture';
SELECT * FROM pg_temp.news();
SELECT count(*) FROM post;

-- so is one that becomes longer than any value can be (an internal error by its code)
SELECT count(*) FROM integration_attach('failures_test', '{"post": {"columns": {"slug": "to_char(created_at, repeat(slug, 100000000))"}}}');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('long', 'b', 'T', 'c', 'x'), ('short', 'b', 'T', 'c', '');
SELECT * FROM pg_temp.news();
SELECT count(*) FROM integration_attach('failures_test', '{"post": {"columns": {"upvotes": "score::bigint"}}}');

-- a function of the binding that fails, or ends the statement on purpose
CREATE FUNCTION moody(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CASE $1
		WHEN 'fail' THEN RAISE EXCEPTION 'moody' USING DETAIL = 'a detail', HINT = 'a hint';
		WHEN 'serialize' THEN RAISE EXCEPTION 'try again' USING ERRCODE = 'serialization_failure';
		WHEN 'cancel' THEN RAISE EXCEPTION 'cancelled' USING ERRCODE = 'query_canceled';
		WHEN 'lock table full' THEN RAISE EXCEPTION 'out of shared memory' USING ERRCODE = 'out_of_memory';
		WHEN 'many' THEN RAISE EXCEPTION 'too many connections' USING ERRCODE = 'too_many_connections';
		WHEN 'disk' THEN RAISE EXCEPTION 'could not read' USING ERRCODE = 'io_error';
		WHEN 'corrupt' THEN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'data_corrupted';
		WHEN 'odd' THEN RAISE EXCEPTION 'nobody has thought of it' USING ERRCODE = 'internal_error';
		WHEN 'assert' THEN ASSERT false;
		ELSE RETURN $1;
	END CASE;
END
$$;
SELECT count(*) FROM integration_attach('failures_test', '{"post": {"columns": {"title": "failures_test.moody(title)"}}}');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('m1', 'b', 'fail', 'c', 'm1'), ('m2', 'b', 'fine', 'c', 'm2'), ('m3', 'b', 'assert', 'c', 'm3');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('m4', 'b', 'serialize', 'c', 'm4');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('m5', 'b', 'cancel', 'c', 'm5');
-- nor is anything else swallowed that is no fault of the data
INSERT INTO post (id, board_id, title, content, slug) VALUES ('n1', 'b', 'lock table full', 'c', 'n1');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('n2', 'b', 'many', 'c', 'n2');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('n3', 'b', 'disk', 'c', 'n3');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('n4', 'b', 'corrupt', 'c', 'n4');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('n5', 'b', 'odd', 'c', 'n5');
SELECT count(*) FROM post WHERE id LIKE 'n_';
SELECT * FROM pg_temp.news();
-- a function that writes to the application's tables
CREATE OR REPLACE FUNCTION moody(text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF $1 NOT LIKE 'copy%' THEN
		INSERT INTO failures_test.post (id, board_id, title, content, slug) VALUES ('copy of ' || $1, 'b', 'copy', 'c', 'copy of ' || $1);
		ALTER TABLE failures_test."user" ADD COLUMN IF NOT EXISTS extra int;
	END IF;
	RETURN $1;
END
$$;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('m6', 'b', 'm6', 'c', 'm6', 'adam');
SELECT * FROM pg_temp.news();
-- a function that is gone
SELECT count(*) FROM integration_attach('failures_test', '{"post": {"columns": {"title": "failures_test.moody(title)"}}}');
DROP FUNCTION moody(text);
\c
SET search_path = failures_test, public;
SET client_min_messages = warning;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('m7', 'b', 'T', 'c', 'm7');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('m8', 'b', 'T', 'c', 'm8');
SELECT id FROM post WHERE id IN ('m7', 'm8') ORDER BY 1;
SELECT count(*) FROM integration_attach('failures_test', '{"post": null}');
CREATE TEMP TABLE seen (id bigint);
INSERT INTO seen SELECT max(id) FROM featul_integrations.event;
CREATE FUNCTION pg_temp.news() RETURNS TABLE (event text, posts text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.name, string_agg(e.post_id, ' ' ORDER BY e.id)
		FROM featul_integrations.event e, seen WHERE e.id > seen.id GROUP BY 1 ORDER BY min(e.id);
	UPDATE seen SET id = (SELECT max(e.id) FROM featul_integrations.event e);
END
$$;

-- a column that is dropped, renamed or retyped: paused, and noticed when it is back
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t1', 'b', 'T', 'c', 't1');
ALTER TABLE post RENAME COLUMN title TO headline;
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('t2', 'b', 'T', 'c', 't2');
INSERT INTO post (id, board_id, headline, content, slug) VALUES ('t3', 'b', 'T', 'c', 't3');
UPDATE post SET is_pinned = true, status = 'draft' WHERE id = 't1';
ALTER TABLE post RENAME COLUMN headline TO title;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t4', 'b', 'T', 'c', 't4');
SELECT * FROM pg_temp.news();
ALTER TABLE post ALTER is_pinned TYPE text;
UPDATE post SET is_pinned = 'yes' WHERE id = 't4';
ALTER TABLE post ALTER is_pinned DROP DEFAULT, ALTER is_pinned TYPE boolean USING is_pinned = 'yes';
UPDATE post SET is_pinned = NOT is_pinned WHERE id = 't4';
UPDATE post SET is_pinned = NOT is_pinned WHERE id = 't4';
ALTER TABLE post ALTER upvotes TYPE numeric, ALTER created_at TYPE timestamptz, ALTER title TYPE varchar(50), ALTER id TYPE varchar(40);
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t5', 'b', 'T', 'c', 't5');
UPDATE post SET upvotes = 10.4 WHERE id = 't5';
SELECT * FROM pg_temp.news();
-- in the tables around it
ALTER TABLE "user" RENAME TO people;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('t6', 'b', 'T', 'c', 't6', 'adam');
ALTER TABLE people DROP COLUMN email;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('t7', 'b', 'T', 'c', 't7', 'adam');
SELECT count(*) FROM integration_attach('failures_test', '{"user": {"table": "people"}}');
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('t8', 'b', 'T', 'c', 't8', 'adam');
SELECT e.payload -> 'post' -> 'author' AS author FROM featul_integrations.event e WHERE post_id = 't8';
SELECT * FROM pg_temp.news();
-- a table that is gone
ALTER TABLE post DROP CONSTRAINT post_board_id_fkey;
ALTER TABLE board RENAME TO old_board;
CREATE TABLE board AS SELECT * FROM old_board;
DROP TABLE old_board;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t9', 'b', 'T', 'c', 't9');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t0', 'b', 'T', 'c', 't0');
SELECT count(*) FROM integration_attach('failures_test', '{"user": {"table": "people"}}');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('u1', 'b', 'T', 'c', 'u1');
SELECT * FROM pg_temp.news();
-- one that the extension's owner may not read is read all the same; row security is not in the way
CREATE ROLE failures_app;
GRANT USAGE ON SCHEMA failures_test TO failures_app;
ALTER TABLE board OWNER TO failures_app;
ALTER TABLE board ENABLE ROW LEVEL SECURITY;
ALTER TABLE board FORCE ROW LEVEL SECURITY;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('u2', 'b', 'T', 'c', 'u2');
SELECT * FROM pg_temp.news();

DELETE FROM featul_integrations.integration WHERE workspace_id = 'fa1';
DELETE FROM featul_integrations.mark;
SELECT integration_detach();
TRUNCATE featul_integrations.binding;
SET client_min_messages = error;
DROP SCHEMA failures_test CASCADE;
DROP ROLE failures_app;
