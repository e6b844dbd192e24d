--
-- Triggers of the application that change what their own statement has just written:
-- things are told in the order in which they happened, and what nobody could ever see is not.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA nested_test;
SET search_path = nested_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true), ('maya', 'Maya', 'maya@example.com', true);
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('ne1', 'Acme', 'nested', 'd', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by, roadmap_statuses, changelog_tags) VALUES ('b', 'ne1', 'Bugs', 'bugs', 'olivia', '[]', '[]');
SELECT count(*) FROM integration_attach('nested_test');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('nested', 'webhook', 'https://example.com/');
SELECT message FROM integration_connect('nested', 'slack', 'https://hooks.slack.com/services/T/B/X');
CREATE TEMP TABLE seen (id bigint);
INSERT INTO seen SELECT coalesce(max(id), 0) FROM featul_integrations.event;
-- what was captured since the last look, by post and in the order of delivery of both
CREATE FUNCTION pg_temp.news() RETURNS TABLE (post text, webhook text, slack text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY
		SELECT q.post_id, string_agg(e.name, ' ' ORDER BY q.id) FILTER (WHERE i.type = 'webhook'),
			string_agg(e.name, ' ' ORDER BY q.id) FILTER (WHERE i.type = 'slack')
		FROM featul_integrations.queue q JOIN featul_integrations.event e ON e.id = q.event_id
		JOIN featul_integrations.integration i ON i.id = q.integration_id AND i.workspace_id = 'ne1', seen
		WHERE e.id > seen.id GROUP BY 1 ORDER BY 1;
	UPDATE seen SET id = (SELECT max(e.id) FROM featul_integrations.event e);
END
$$;

-- moderation: what it does depends on the title
CREATE FUNCTION moderate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title ~ 'pin' THEN UPDATE post SET is_pinned = true WHERE id = NEW.id; END IF;
	IF NEW.title ~ 'lock' THEN UPDATE post SET is_locked = true WHERE id = NEW.id; END IF;
	IF NEW.title ~ 'vote' THEN INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), NEW.id, 'maya', 'upvote'); END IF;
	IF NEW.title ~ 'hide' THEN UPDATE post SET status = 'pending_approval' WHERE id = NEW.id; END IF;
	IF NEW.title ~ 'again' THEN UPDATE post SET status = 'published' WHERE id = NEW.id; END IF;
	IF NEW.title ~ 'delete' THEN DELETE FROM post WHERE id = NEW.id; END IF;
	IF NEW.title ~ 'retitle' THEN UPDATE post SET title = 'changed' WHERE id = NEW.id; END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER a_moderate AFTER INSERT ON post FOR EACH ROW EXECUTE FUNCTION moderate();
INSERT INTO post (id, board_id, title, content, slug, author_id, status)
SELECT 'n-' || replace(t, ' ', '-'), 'b', t, 'c', t, 'olivia', 'published'
FROM unnest('{pin,lock pin,vote,hide,hide again,delete,retitle,plain,vote pin lock}'::text[]) t;
SELECT * FROM pg_temp.news();
SELECT payload::jsonb #>> '{post,title}' AS title FROM featul_integrations.event WHERE post_id = 'n-retitle';
-- it was never visible: its first visibility is told, and only that
UPDATE post SET status = 'published' WHERE id = 'n-hide';
UPDATE post SET status = 'archived' WHERE id = 'n-hide';
UPDATE post SET status = 'published' WHERE id = 'n-hide';
SELECT * FROM pg_temp.news();

-- deeper: a trigger of the vote's, inside of the post's
CREATE FUNCTION count_vote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET upvotes = upvotes + 10, is_featured = true WHERE id = NEW.post_id;
	RETURN NULL;
END $$;
CREATE TRIGGER count_vote AFTER INSERT ON vote FOR EACH ROW EXECUTE FUNCTION count_vote();
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-deep', 'b', 'vote pin', 'c', 'deep', 'olivia', 'published');
SELECT * FROM pg_temp.news();

-- several statements in one transaction: what the first has left free is no later one's
BEGIN;
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'n-plain', 'olivia', 'upvote');
UPDATE post SET is_pinned = true WHERE id = 'n-plain';
SAVEPOINT s;
UPDATE post SET is_locked = true WHERE id = 'n-plain';
ROLLBACK TO s;
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'n-plain', 'maya', 'upvote');
UPDATE post SET is_locked = true WHERE id = 'n-plain';
COMMIT;
SELECT * FROM pg_temp.news();

-- a MERGE that inserts one post, which its trigger locks, and locks another
MERGE INTO post p USING (VALUES ('n-plain', 'x'), ('n-merged', 'lock')) v (id, title) ON p.id = v.id
WHEN MATCHED THEN UPDATE SET status = 'archived'
WHEN NOT MATCHED THEN INSERT (id, board_id, title, content, slug, author_id, status) VALUES (v.id, 'b', v.title, 'c', v.id, 'olivia', 'published');
SELECT * FROM pg_temp.news();
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-plain', 'b', 'x', 'c', 'y', 'olivia', 'published'), ('n-conflict', 'b', 'pin', 'c', 'conflict', 'olivia', 'published')
ON CONFLICT (id) DO UPDATE SET status = 'published';
SELECT * FROM pg_temp.news();

-- becoming visible in an UPDATE whose trigger hides it; a post that had been seen stays marked
CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET status = 'spam' WHERE id = NEW.id;
	RETURN NULL;
END $$;
CREATE TRIGGER hide AFTER UPDATE ON post FOR EACH ROW WHEN (NEW.title = 'bad' AND NEW.status = 'published') EXECUTE FUNCTION hide();
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-draft', 'b', 'bad', 'c', 'draft', 'olivia', 'draft');
UPDATE post SET status = 'archived', title = 'bad' WHERE id = 'n-merged';
UPDATE post SET status = 'published' WHERE id IN ('n-draft', 'n-merged');
SELECT * FROM pg_temp.news();
ALTER TABLE post DISABLE TRIGGER hide;
UPDATE post SET status = 'published' WHERE id IN ('n-draft', 'n-merged');
SELECT * FROM pg_temp.news();

-- comments
CREATE FUNCTION moderate_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.content ~ 'like' THEN INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), NEW.id, 'maya', 'upvote'); END IF;
	IF NEW.content ~ 'hide' THEN UPDATE comment SET status = 'spam' WHERE id = NEW.id; END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER moderate AFTER INSERT ON comment FOR EACH ROW EXECUTE FUNCTION moderate_comment();
INSERT INTO comment (id, post_id, content, author_id, author_name, status)
SELECT gen_random_uuid(), 'n-' || p, c, 'olivia', 'Olivia', 'published' FROM (VALUES ('pin', 'like'), ('plain', 'hide')) v (p, c);
SELECT * FROM pg_temp.news();

-- a trigger that only the partition has
ALTER TABLE post RENAME TO post_part;
CREATE TABLE post (LIKE post_part INCLUDING DEFAULTS) PARTITION BY RANGE (id);
ALTER TABLE post ATTACH PARTITION post_part DEFAULT;
SELECT count(*) FROM integration_attach('nested_test');
SELECT * FROM pg_temp.news();
INSERT INTO post (id, board_id, title, content, slug, author_id, status)
SELECT 'n-part-' || t, 'b', t, 'c', 'part-' || t, 'olivia', 'published' FROM unnest('{hide,pin}'::text[]) t;
SELECT * FROM pg_temp.news();
-- and one of another table's, in the same statement
CREATE FUNCTION hide_voted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET status = 'spam' WHERE id = NEW.post_id AND title = 'cte';
	RETURN NULL;
END $$;
CREATE TRIGGER hide_voted AFTER INSERT ON vote FOR EACH ROW EXECUTE FUNCTION hide_voted();
WITH p AS (
	INSERT INTO post (id, board_id, title, content, slug, author_id, status)
	SELECT 'n-' || t, 'b', t, 'c', t, 'olivia', 'published' FROM unnest('{cte,other}'::text[]) t RETURNING id
) INSERT INTO vote (id, post_id, user_id, type) SELECT gen_random_uuid(), id, 'maya', 'upvote' FROM p;
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'published' WHERE id = 'n-cte';
SELECT * FROM pg_temp.news();
-- the other way round: the post's part of the statement is captured before the vote's trigger hides it
WITH v AS (
	INSERT INTO vote (id, post_id, user_id, type) SELECT gen_random_uuid(), 'n-' || t, 'maya', 'upvote' FROM unnest('{before,cte2}'::text[]) t
) INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES
	('n-before', 'b', 'cte', 'c', 'before', 'olivia', 'published'), ('n-cte2', 'b', 'x', 'c', 'cte2', 'olivia', 'published');
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'published' WHERE id = 'n-before';
SELECT * FROM pg_temp.news();
-- an earlier statement of the same transaction is over: what it told stays told
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-over', 'b', 'cte', 'c', 'over', 'olivia', 'published');
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'n-over', 'maya', 'upvote');
COMMIT;
SELECT * FROM pg_temp.news();
-- one trigger features a post, a later one hides it
CREATE FUNCTION feature_and_hide() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET is_featured = true WHERE id = NEW.id;
	UPDATE post SET status = 'spam' WHERE id = NEW.id AND title = 'fh';
	RETURN NULL;
END $$;
CREATE TRIGGER feature_and_hide AFTER INSERT ON post FOR EACH ROW WHEN (NEW.title LIKE 'f%') EXECUTE FUNCTION feature_and_hide();
INSERT INTO post (id, board_id, title, content, slug, author_id, status) SELECT 'n-' || t, 'b', t, 'c', t, 'olivia', 'published' FROM unnest('{f,fh}'::text[]) t;
SELECT * FROM pg_temp.news();
-- a trigger for the whole statement that comes after ours
CREATE FUNCTION hide_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET status = 'spam' WHERE title = 'late';
	RETURN NULL;
END $$;
CREATE TRIGGER z_hide_late AFTER INSERT ON post_part EXECUTE FUNCTION hide_late();
CREATE TRIGGER z_hide_late AFTER INSERT ON post EXECUTE FUNCTION hide_late();
INSERT INTO post (id, board_id, title, content, slug, author_id, status) SELECT 'n-' || t, 'b', t, 'c', t, 'olivia', 'published' FROM unnest('{late,in-time}'::text[]) t;
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'published' WHERE id = 'n-late';
SELECT * FROM pg_temp.news();
DROP TRIGGER z_hide_late ON post;
DROP TRIGGER z_hide_late ON post_part;
-- comments likewise
CREATE FUNCTION hide_comments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE comment SET status = 'spam' WHERE content = 'late';
	RETURN NULL;
END $$;
CREATE TRIGGER z_hide_comments AFTER INSERT ON comment EXECUTE FUNCTION hide_comments();
INSERT INTO comment (id, post_id, content, author_id, author_name, status) VALUES
	(gen_random_uuid(), 'n-other', 'late', 'olivia', 'Olivia', 'published'), (gen_random_uuid(), 'n-other', 'in time', 'olivia', 'Olivia', 'published');
SELECT * FROM pg_temp.news();
-- functions that the statement itself calls: no trigger is around theirs
CREATE FUNCTION vote_for(post_id text) RETURNS void LANGUAGE sql AS $$
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), post_id, 'maya', 'upvote')
$$;
CREATE FUNCTION hide_post(post_id text) RETURNS void LANGUAGE sql AS $$ UPDATE post SET status = 'spam' WHERE id = post_id $$;
CREATE FUNCTION delete_post(post_id text) RETURNS void LANGUAGE sql AS $$ DELETE FROM post WHERE id = post_id $$;
ALTER TABLE post_part DISABLE TRIGGER a_moderate;
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-returning', 'b', 'f returning', 'c', 'r', 'olivia', 'published') RETURNING vote_for(id);
WITH p AS (
	INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-selected', 'b', 'x', 'c', 's', 'olivia', 'published') RETURNING id
) SELECT vote_for(id) FROM p;
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-hidden', 'b', 'x', 'c', 'h', 'olivia', 'published') RETURNING hide_post(id);
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-deleted', 'b', 'x', 'c', 'd', 'olivia', 'published') RETURNING delete_post(id);
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'published' WHERE id = 'n-hidden';
SELECT * FROM pg_temp.news();
-- hidden and shown again inside of the statement: what is first visible is told once, and first
CREATE FUNCTION show_post(post_id text) RETURNS void LANGUAGE sql AS $$ UPDATE post SET status = 'published' WHERE id = post_id $$;
CREATE FUNCTION hide_and_show(post_id text) RETURNS void LANGUAGE sql AS $$
UPDATE post SET status = 'spam' WHERE id = post_id;
UPDATE post SET status = 'published' WHERE id = post_id
$$;
WITH v AS (
	INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'n-shown', 'maya', 'upvote')
) INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-shown', 'b', 'x', 'c', 'sh', 'olivia', 'draft') RETURNING show_post(id);
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-both', 'b', 'x', 'c', 'bo', 'olivia', 'draft');
UPDATE post SET status = 'published' WHERE id = 'n-both' RETURNING hide_and_show(id);
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'spam' WHERE id IN ('n-shown', 'n-both') RETURNING show_post(id);
SELECT * FROM pg_temp.news();
CREATE TRIGGER z_hide_late AFTER INSERT ON post EXECUTE FUNCTION hide_late();
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-late-2', 'b', 'late', 'c', 'l2', 'olivia', 'published') RETURNING hide_and_show(id);
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'published' WHERE id = 'n-late-2';
SELECT * FROM pg_temp.news();
DROP TRIGGER z_hide_late ON post;
-- a statement that was interrupted is around no later one
DO $$
BEGIN
	INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-failed', 'b', 'x', 'c', 'e', 'olivia', 'published') RETURNING 1 / 0;
EXCEPTION WHEN division_by_zero THEN
	INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('n-caught', 'b', 'x', 'c', 'e', 'olivia', 'published');
	UPDATE post SET status = 'spam' WHERE id = 'n-caught';
END $$;
SELECT * FROM pg_temp.news();
-- many in one transaction: what is noted of those that are over takes no memory
BEGIN;
DO $$
BEGIN
	FOR i IN 1..1000 LOOP
		INSERT INTO vote (id, post_id, fingerprint, type) VALUES (gen_random_uuid(), 'n-other', i, 'upvote');
	END LOOP;
END $$;
SELECT coalesce(sum(total_bytes), 0) <= 32768 AS little FROM pg_backend_memory_contexts WHERE name = 'featul_integrations nesting';
ROLLBACK;

SELECT integration_detach();
DROP SCHEMA nested_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'ne1';
