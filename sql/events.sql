--
-- The ten events: when they happen, and when they do not.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA events_test;
SET search_path = events_test, public;
\set ECHO none
\i :tables
\set ECHO all
-- NULL flags and plans too, as other applications may have them
ALTER TABLE workspace ALTER plan DROP NOT NULL;
ALTER TABLE board ALTER is_system DROP NOT NULL;
ALTER TABLE comment ALTER is_internal DROP NOT NULL;
INSERT INTO "user" (id, name, email, email_verified)
SELECT lower(n), n, lower(n) || '@example.com', true FROM unnest('{Olivia,Adam,Maya,Vic,Zoe}'::text[]) n;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES
	('ev1', 'Acme', 'acme', 'professional', 'olivia', 'acme.example.com'),
	('ev2', 'Free', 'free', 'free', 'olivia', 'free.example.com'),
	('ev3', 'Quiet', 'quiet', 'starter', 'olivia', 'quiet.example.com');
INSERT INTO workspace_member (id, workspace_id, user_id, role, is_active) VALUES
	(gen_random_uuid(), 'ev1', 'adam', 'admin', NULL), (gen_random_uuid(), 'ev1', 'maya', 'member', true), (gen_random_uuid(), 'ev1', 'vic', 'viewer', false);
INSERT INTO board (id, workspace_id, name, slug, is_system, created_by) VALUES
	('ideas', 'ev1', 'Ideas', 'ideas', NULL, 'olivia'), ('system', 'ev1', 'Changelog', 'changelog', true, 'olivia'),
	('free', 'ev2', 'Free', 'free', false, 'olivia'), ('quiet', 'ev3', 'Quiet', 'quiet', false, 'olivia');
SELECT * FROM integration_attach('events_test');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/');
-- an integration on a plan that lost it
UPDATE workspace SET plan = 'starter' WHERE id = 'ev2';
SELECT message FROM integration_connect('free', 'webhook', 'https://example.com/');
UPDATE workspace SET plan = 'free' WHERE id = 'ev2';

DELETE FROM featul_integrations.mark;

-- what was captured since the last look, by post and in order: the payload without workspace and post
CREATE TEMP TABLE seen (id bigint);
INSERT INTO seen SELECT coalesce(max(id), 0) FROM featul_integrations.event;
CREATE FUNCTION pg_temp.news() RETURNS TABLE (event text, post text, adds text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY
		SELECT e.name, e.post_id, nullif((e.payload::jsonb - 'event' - 'workspace' - 'post' #- '{comment,createdAt}')::text, '{}')
		FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.post_id COLLATE "C", e.id;
	UPDATE seen SET id = (SELECT max(e.id) FROM featul_integrations.event e);
END
$$;

-- post.created: inserted visible, or the first change to visible; once per post
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p1', 'ideas', 'One', 'c', 'p1', 'adam');
INSERT INTO post (id, board_id, title, content, slug, status) VALUES
	('p2', 'ideas', 'Two', 'c', 'p2', 'draft'), ('p3', 'ideas', 'Three', 'c', 'p3', NULL),
	('p4', 'ideas', 'Four', 'c', 'p4', 'pending_approval'), ('p5', 'ideas', 'Five', 'c', 'p5', 'published');
SELECT * FROM pg_temp.news();
UPDATE post SET status = 'published' WHERE id IN ('p2', 'p3');
UPDATE post SET status = 'archived' WHERE id = 'p1';
UPDATE post SET status = 'published' WHERE id = 'p1';
UPDATE post SET status = 'spam' WHERE id = 'p2';
UPDATE post SET status = 'published' WHERE id = 'p2';
SELECT * FROM pg_temp.news();
-- not on system boards, not on a free plan, not where nobody listens
INSERT INTO post (id, board_id, title, content, slug) VALUES
	('s1', 'system', 'S', 'c', 's1'), ('f1', 'free', 'F', 'c', 'f1'), ('q1', 'quiet', 'Q', 'c', 'q1');
UPDATE post SET roadmap_status = 'planned', is_pinned = true, upvotes = 10 WHERE id IN ('s1', 'f1', 'q1');
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 's1', 'vic', 'upvote'), (gen_random_uuid(), 'f1', 'vic', 'upvote'), (gen_random_uuid(), 'q1', 'vic', 'upvote');
INSERT INTO comment (id, post_id, content) VALUES ('sc', 's1', 'c'), ('fc', 'f1', 'c'), ('qc', 'q1', 'c');
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES (gen_random_uuid(), 'sc', 'vic', 'zoe'), (gen_random_uuid(), 'fc', 'vic', 'zoe');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'sc', 'vic', 'upvote'), (gen_random_uuid(), 'qc', 'vic', 'upvote');
SELECT * FROM pg_temp.news();
-- visible before attaching counts as announced
SELECT integration_detach();
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p0', 'ideas', 'Old', 'c', 'p0');
SELECT count(*) FROM integration_attach('events_test');
UPDATE post SET status = 'draft' WHERE id = 'p0';
UPDATE post SET status = 'published' WHERE id = 'p0';
SELECT * FROM pg_temp.news();
-- visible while nobody listened counts as well, and so does a change that was left out
UPDATE post SET status = 'draft' WHERE id = 'q1';
SELECT message FROM integration_connect('quiet', 'webhook', 'https://example.com/');
UPDATE post SET status = 'published' WHERE id = 'q1';
BEGIN;
SET LOCAL featul_integrations.capture = off;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p6', 'ideas', 'Imported', 'c', 'p6');
UPDATE post SET status = 'draft' WHERE id = 'p6';
COMMIT;
UPDATE post SET status = 'published' WHERE id = 'p6';
SELECT * FROM pg_temp.news();
SELECT message FROM integration_disconnect('quiet', 'webhook');

-- post.status_changed: of a visible post, from and to NULL too
UPDATE post SET roadmap_status = 'planned' WHERE id = 'p1';
UPDATE post SET roadmap_status = 'planned', title = 'One!' WHERE id = 'p1';
UPDATE post SET roadmap_status = NULL WHERE id = 'p1';
UPDATE post SET roadmap_status = 'completed' WHERE id = 'p1';
UPDATE post SET roadmap_status = 'planned' WHERE id = 'p4';
SELECT * FROM pg_temp.news();

-- post.pinned, featured, locked: from false or NULL to true
UPDATE post SET is_pinned = NULL, is_featured = NULL WHERE id = 'p1';
UPDATE post SET is_pinned = true, is_featured = true, is_locked = true WHERE id IN ('p1', 'p4');
UPDATE post SET is_pinned = true, is_featured = false WHERE id = 'p1';
UPDATE post SET is_locked = false, is_featured = true WHERE id = 'p1';
SELECT * FROM pg_temp.news();

-- visibility and other changes in one UPDATE are one post.created
UPDATE post SET status = 'published', roadmap_status = 'planned', is_pinned = true, upvotes = 100 WHERE id = 'p4';
-- several changes of a visible one are several events
UPDATE post SET roadmap_status = 'closed', is_featured = NOT is_featured, upvotes = 12 WHERE id IN ('p4', 'p5');
SELECT * FROM pg_temp.news();

-- post.milestone: crossed upwards, the highest of a jump, once for ever
INSERT INTO post (id, board_id, title, content, slug, upvotes) VALUES
	('m1', 'ideas', 'M', 'c', 'm1', NULL), ('m2', 'ideas', 'M', 'c', 'm2', 60), ('m3', 'ideas', 'M', 'c', 'm3', 0);
UPDATE post SET upvotes = 9 WHERE id = 'm1';
UPDATE post SET upvotes = 10 WHERE id = 'm1';
UPDATE post SET upvotes = 5 WHERE id = 'm1';
UPDATE post SET upvotes = 11 WHERE id = 'm1';
UPDATE post SET upvotes = 120 WHERE id = 'm1';
UPDATE post SET upvotes = 0 WHERE id = 'm1';
UPDATE post SET upvotes = 55 WHERE id = 'm1';
UPDATE post SET upvotes = 101 WHERE id = 'm1';
UPDATE post SET upvotes = 99 WHERE id = 'm2';
UPDATE post SET upvotes = upvotes + 100 WHERE id LIKE 'm_';
SELECT * FROM pg_temp.news();

-- post.upvoted: not one's own; of a comment: not at all; given again: again; moved: not
INSERT INTO post (id, board_id, title, content, slug, author_id, is_anonymous, metadata) VALUES
	('v1', 'ideas', 'V', 'c', 'v1', 'adam', false, '{"fingerprint": "f1"}'),
	('v2', 'ideas', 'V', 'c', 'v2', NULL, true, '{"fingerprint": "f2"}'),
	('v3', 'ideas', 'V', 'c', 'v3', 'adam', true, '{"fingerprint": "f3"}'),
	('v4', 'ideas', 'V', 'c', 'v4', NULL, NULL, NULL);
INSERT INTO comment (id, post_id, content, status) VALUES ('v1c', 'v1', 'c', 'pending');
SELECT count(*) FROM pg_temp.news();
INSERT INTO vote (id, post_id, user_id, fingerprint, type) VALUES
	('v1 author', 'v1', 'adam', NULL, 'upvote'), ('v1 fingerprint', 'v1', NULL, 'f1', 'upvote'), ('v1 vic', 'v1', 'vic', 'f9', 'upvote'),
	('v2 author', 'v2', NULL, 'f2', 'upvote'), ('v2 other', 'v2', NULL, 'f3', 'upvote'), ('v2 zoe', 'v2', 'zoe', NULL, 'upvote'),
	('v3 author', 'v3', 'adam', 'x', 'upvote'), ('v3 fingerprint', 'v3', NULL, 'f3', 'upvote'), ('v3 maya', 'v3', 'maya', 'y', 'upvote'),
	('v4 nobody', 'v4', NULL, NULL, 'upvote');
INSERT INTO vote (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'v1c', 'vic', 'upvote');
SELECT * FROM pg_temp.news();
DELETE FROM vote WHERE id = 'v1 vic';
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'v1', 'vic', 'upvote');
UPDATE vote SET post_id = 'v4' WHERE user_id = 'vic' AND post_id = 'v1';
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'v4', 'vic', 'upvote') ON CONFLICT (post_id, user_id) DO NOTHING;
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'v4', 'vic', 'upvote'), (gen_random_uuid(), 'v4', 'zoe', 'upvote') ON CONFLICT (post_id, user_id) DO UPDATE SET fingerprint = 'f';
SELECT * FROM pg_temp.news();

-- comment.created: visible and not internal for the first time, on a visible post
INSERT INTO comment (id, post_id, content, author_id, author_name, status, is_internal) VALUES
	('c1', 'p1', 'by an admin', 'adam', NULL, 'published', NULL),
	('c2', 'p1', 'pending', 'maya', NULL, 'pending', false),
	('c3', 'p1', 'internal', 'maya', NULL, 'published', true),
	('c4', 'p1', 'by the owner', 'olivia', NULL, 'published', false),
	('c5', 'p1', 'no member any more', 'vic', NULL, 'published', false),
	('c6', 'p1', 'by a guest', NULL, 'Gus', 'published', false);
SELECT * FROM pg_temp.news();
UPDATE comment SET status = 'published' WHERE id = 'c2';
UPDATE comment SET is_internal = false WHERE id = 'c3';
UPDATE comment SET status = 'hidden' WHERE id IN ('c1', 'c2');
UPDATE comment SET status = 'published' WHERE id IN ('c1', 'c2');
UPDATE comment SET is_internal = true WHERE id = 'c3';
UPDATE comment SET is_internal = false, content = 'edited' WHERE id = 'c3';
UPDATE comment SET post_id = 'p2' WHERE id = 'c4';
SELECT * FROM pg_temp.news();
-- on an invisible post, and not made up later
UPDATE post SET status = 'draft' WHERE id = 'p5';
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c7', 'p5', 'too early', 'maya');
UPDATE post SET status = 'published' WHERE id = 'p5';
UPDATE comment SET content = 'edited' WHERE id = 'c7';
SELECT * FROM pg_temp.news();

-- comment.mention: in a public comment, not of oneself
INSERT INTO comment (id, post_id, content, author_id, status, is_internal) VALUES
	('d1', 'p1', 'd', 'maya', 'published', false), ('d2', 'p1', 'd', 'maya', 'pending', false),
	('d3', 'p1', 'd', 'maya', 'published', true), ('d4', 's1', 'd', 'maya', 'published', false);
SELECT count(*) FROM pg_temp.news();
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES
	(gen_random_uuid(), 'd1', 'vic', 'maya'), (gen_random_uuid(), 'd1', 'maya', 'adam'), (gen_random_uuid(), 'd1', 'adam', 'adam'), (gen_random_uuid(), 'd1', 'zoe', 'adam'),
	(gen_random_uuid(), 'd2', 'vic', 'maya'), (gen_random_uuid(), 'd3', 'vic', 'maya'), (gen_random_uuid(), 'd4', 'vic', 'maya');
SELECT * FROM pg_temp.news();

-- comment.reaction: on a public comment, or a change of its type; not one's own
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES
	(gen_random_uuid(), 'd1', 'vic', 'upvote'), (gen_random_uuid(), 'd1', 'maya', 'upvote'), (gen_random_uuid(), 'd1', NULL, 'downvote'),
	(gen_random_uuid(), 'd2', 'vic', 'upvote'), (gen_random_uuid(), 'd3', 'vic', 'upvote'), (gen_random_uuid(), 'd4', 'vic', 'upvote');
UPDATE comment_reaction SET type = 'downvote';
UPDATE comment_reaction SET type = 'downvote', user_id = user_id;
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'd1', 'vic', 'upvote')
ON CONFLICT (comment_id, user_id) DO UPDATE SET type = excluded.type;
SELECT * FROM pg_temp.news();

-- as the application writes a comment: then its author's own reaction, by user or (a guest's) by fingerprint
INSERT INTO comment (id, post_id, content, author_id, author_name, is_anonymous, metadata) VALUES
	('g1', 'p1', 'by a guest', NULL, 'Gus', false, '{"fingerprint": "f1"}'),
	('g2', 'p1', 'by maya, unnamed', 'maya', NULL, true, '{"fingerprint": "f2"}'),
	('g3', 'p1', 'by maya', 'maya', NULL, false, '{"fingerprint": "f3"}'),
	('g4', 'p1', 'by nobody', NULL, NULL, NULL, NULL);
SELECT count(*) FROM pg_temp.news();
INSERT INTO comment_reaction (id, comment_id, user_id, fingerprint, type) VALUES
	('g1 own', 'g1', NULL, 'f1', 'upvote'), ('g2 own', 'g2', NULL, 'f2', 'upvote'),
	('g1 vic', 'g1', 'vic', NULL, 'upvote'), ('g1 guest', 'g1', NULL, 'f2', 'downvote'), ('g2 maya', 'g2', 'maya', 'f9', 'upvote'),
	('g3 other', 'g3', NULL, 'f3', 'upvote'), ('g4 other', 'g4', NULL, NULL, 'upvote');
SELECT e.payload #>> '{comment,content}' AS comment, e.payload #>> '{reaction,author,name}' AS by
FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT count(*) FROM pg_temp.news();
UPDATE comment_reaction SET type = 'downvote' WHERE id LIKE '% own';
SELECT count(*) FROM pg_temp.news();

-- filters: events, boards, rule; what nobody wants is not written
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('bugs', 'ev1', 'Bugs', 'bugs', 'olivia');
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/', events => '{post.created}', boards => '{bugs}');
SELECT message FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T/B/x', rule => '$.post.upvotes >= 10 && $.event != "post.upvoted"');
INSERT INTO post (id, board_id, title, content, slug, upvotes, roadmap_status) VALUES
	('r1', 'bugs', 'R', 'c', 'r1', 3, 'pending'), ('r2', 'ideas', 'R', 'c', 'r2', 30, 'review'),
	('r3', 'bugs', 'R', 'c', 'r3', 30, 'pending'), ('r4', 'ideas', 'R', 'c', 'r4', 3, NULL);
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'r1', 'vic', 'upvote'), (gen_random_uuid(), 'r2', 'vic', 'upvote');
UPDATE post SET is_pinned = true WHERE id LIKE 'r_';
SELECT e.post_id, e.name, i.type, e.labels FROM featul_integrations.event e
JOIN featul_integrations.queue q ON q.event_id = e.id JOIN featul_integrations.integration i ON i.id = q.integration_id, seen
WHERE e.id > seen.id ORDER BY q.id;
SELECT * FROM pg_temp.news();
-- names of statuses for chat messages, as the board lists them
UPDATE board SET roadmap_statuses = '[1, {"id": "done"}, {"id": "wip", "name": "In \"progress\""}, {"id": "new", "name": "New"}]' WHERE id = 'ideas';
UPDATE post SET roadmap_status = 'new' WHERE id = 'r2';
UPDATE post SET roadmap_status = 'wip' WHERE id = 'r2';
UPDATE post SET roadmap_status = 'done' WHERE id = 'r2';
UPDATE board SET roadmap_statuses = '{"id": "\u0000"}' WHERE id = 'ideas';
UPDATE post SET roadmap_status = 'new' WHERE id = 'r2';
SELECT e.labels FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT event, adds FROM pg_temp.news();

-- an inactive integration, and one of another database, get nothing
UPDATE featul_integrations.integration SET is_active = false WHERE workspace_id = 'ev1' AND type = 'slack';
UPDATE featul_integrations.health SET database = 0 WHERE integration_id = (SELECT id FROM featul_integrations.integration WHERE workspace_id = 'ev1' AND type = 'webhook');
UPDATE featul_integrations.integration SET events = NULL, boards = NULL WHERE workspace_id = 'ev1';
INSERT INTO post (id, board_id, title, content, slug, upvotes) VALUES ('i1', 'bugs', 'I', 'c', 'i1', 30);
SELECT * FROM pg_temp.news();

-- what goes with each row: a board that moves to another workspace, a workspace that pays
UPDATE featul_integrations.health SET database = (SELECT oid FROM pg_database WHERE datname = current_database());
UPDATE featul_integrations.integration SET is_active = true WHERE workspace_id = 'ev1';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t1', 'quiet', 'T', 'c', 't1');
UPDATE board SET workspace_id = 'ev1' WHERE id = 'quiet';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t2', 'quiet', 'T', 'c', 't2');
UPDATE workspace SET plan = 'starter' WHERE id = 'ev2';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t3', 'free', 'T', 'c', 't3');
UPDATE workspace SET plan = 'enterprise' WHERE id = 'ev2';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t4', 'free', 'T', 'c', 't4');
UPDATE workspace SET plan = NULL WHERE id = 'ev2';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('t5', 'free', 'T', 'c', 't5');
SELECT * FROM pg_temp.news();

-- a preview shows the latest matching data
SELECT e AS event, p ->> 'event' = e AS right_event, p #>> '{comment,id}' AS comment,
	p - 'event' - 'workspace' - 'post' - 'comment' AS adds
FROM unnest('{post.created,post.status_changed,post.pinned,post.featured,post.locked,post.upvoted,post.milestone,comment.created,comment.mention,comment.reaction}'::text[]) e,
	LATERAL (SELECT integration_preview('acme', 'webhook', e)::jsonb) AS preview (p)
WHERE (p #>> '{post,id}') <> 'post_sample';

-- deleting a workspace removes its integrations; so does TRUNCATE
DELETE FROM workspace WHERE id = 'ev2';
SELECT DISTINCT workspace_id FROM featul_integrations.integration WHERE workspace_id LIKE 'ev_' ORDER BY 1;
BEGIN;
TRUNCATE workspace CASCADE;
SELECT DISTINCT workspace_id FROM featul_integrations.integration WHERE workspace_id LIKE 'ev_' ORDER BY 1;
ROLLBACK;
SELECT DISTINCT workspace_id FROM featul_integrations.integration WHERE workspace_id LIKE 'ev_' ORDER BY 1;
DELETE FROM workspace;
SELECT count(*) FROM featul_integrations.integration WHERE workspace_id LIKE 'ev_';

DELETE FROM featul_integrations.mark;
SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA events_test CASCADE;
