-- What an application does, for test/t/111_node_equality.pl: run in a database that has the
-- extension and on a publisher with a node.  Each paragraph is sent by itself, and its statements
-- are one transaction where there is a BEGIN.
-- Users olivia, adam, mina, vera, sam; the board ideas of acme, which all is connected to.

INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES
	('w2', 'Second', 'second', '-', 'starter', 'adam'), ('w3', 'Third', 'third', '-', 'starter', 'adam'),
	('free', 'Free', 'free', '-', 'free', 'adam');
INSERT INTO board (id, workspace_id, name, slug, created_by, is_system, hide_public_member_identity) VALUES
	('b2', 'w2', 'B2', 'b2', 'adam', false, false), ('b3', 'w3', 'B3', 'b3', 'adam', false, false),
	('bf', 'free', 'BF', 'bf', 'adam', false, false), ('sys', 'acme', 'Sys', 'sys', 'olivia', true, false),
	('quiet', 'acme', 'Quiet', 'quiet', 'olivia', false, true);

-- the ten events, as the application writes them
INSERT INTO post (id, board_id, title, content, slug, author_id, image) VALUES
	('p1', 'ideas', 'Dark <mode> & "more"', E'line\nline \\ ü', 'dark-mode', 'mina', 'https://img.example.com/1.png');
INSERT INTO vote (id, post_id, user_id, type) VALUES ('v1', 'p1', 'mina', 'upvote');
UPDATE post SET upvotes = 1 WHERE id = 'p1';
INSERT INTO vote (id, post_id, user_id, type) VALUES ('v2', 'p1', 'vera', 'upvote');
UPDATE post SET upvotes = 2 WHERE id = 'p1';
UPDATE post SET roadmap_status = 'planned' WHERE id = 'p1';
UPDATE post SET is_pinned = true WHERE id = 'p1';
UPDATE post SET is_featured = true, is_locked = true, roadmap_status = 'progress' WHERE id = 'p1';
UPDATE post SET upvotes = 55 WHERE id = 'p1';
UPDATE post SET upvotes = 5 WHERE id = 'p1';
UPDATE post SET upvotes = 60 WHERE id = 'p1';
UPDATE post SET upvotes = 100, title = 'Longer' WHERE id = 'p1';
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c1', 'p1', 'We have started', 'adam');
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES ('m1', 'c1', 'mina', 'adam'), ('m2', 'c1', 'adam', 'adam');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES ('r1', 'c1', 'mina', 'upvote'), ('r2', 'c1', 'adam', 'upvote');
UPDATE comment_reaction SET type = 'downvote' WHERE id = 'r1';
UPDATE comment SET upvotes = 1 WHERE id = 'c1';

-- nothing, and later something, is to be told
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES
	('draft', 'ideas', 'Draft', '-', 'draft', 'mina', 'draft'), ('system', 'sys', 'Sys', '-', 's', 'mina', 'published'),
	('nobody', 'bf', 'F', '-', 'f', 'mina', 'published'), ('hidden', 'quiet', 'Q', '-', 'q', 'mina', 'published');
UPDATE post SET roadmap_status = 'planned', is_pinned = true WHERE id = 'draft';
UPDATE post SET status = 'published', is_pinned = false, roadmap_status = 'review' WHERE id = 'draft';
UPDATE post SET status = 'archived' WHERE id = 'draft';
UPDATE post SET status = 'published' WHERE id = 'draft';
INSERT INTO comment (id, post_id, content, author_id, is_internal) VALUES ('ci', 'p1', 'internal', 'adam', true);
UPDATE comment SET is_internal = false WHERE id = 'ci';
UPDATE comment SET status = 'hidden' WHERE id = 'ci';
UPDATE comment SET status = 'published' WHERE id = 'ci';

-- guests
INSERT INTO post (id, board_id, title, content, slug, is_anonymous, metadata) VALUES
	('guest', 'ideas', 'Guest', '-', 'guest', true, '{"fingerprint": "f1"}');
INSERT INTO vote (id, post_id, fingerprint, type) VALUES ('vg1', 'guest', 'f1', 'upvote'), ('vg2', 'guest', 'f2', 'upvote');
INSERT INTO comment (id, post_id, content, author_name, author_email, metadata) VALUES
	('cg', 'guest', '', 'guest@example.com', 'guest@example.com', '{"fingerprint": "f3"}');
INSERT INTO comment_reaction (id, comment_id, fingerprint, type) VALUES ('rg1', 'cg', 'f3', 'upvote'), ('rg2', 'cg', 'f4', 'upvote');

-- one transaction
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('t1', 'ideas', 'T1', '-', 't1', 'mina');
UPDATE post SET roadmap_status = 'planned' WHERE id = 't1';
UPDATE "user" SET name = 'Mina the second' WHERE id = 'mina';
INSERT INTO comment (id, post_id, content, author_id) VALUES ('ct1', 't1', 'first', 'mina');
UPDATE post SET is_pinned = true, title = 'T1, pinned' WHERE id = 't1';
COMMIT;

-- savepoints
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('s1', 'ideas', 'S1', '-', 's1', 'mina');
SAVEPOINT a;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('s2', 'ideas', 'S2, rolled back', '-', 's2', 'mina');
UPDATE post SET is_pinned = true WHERE id = 's1';
ROLLBACK TO SAVEPOINT a;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('s2', 'ideas', 'S2', '-', 's2', 'mina');
SAVEPOINT b;
UPDATE post SET is_featured = true WHERE id = 's1';
RELEASE SAVEPOINT b;
SAVEPOINT c;
DELETE FROM post WHERE id = 's1';
ROLLBACK TO SAVEPOINT c;
UPDATE post SET is_locked = true WHERE id = 's1';
COMMIT;

BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('never', 'ideas', 'Never', '-', 'never', 'mina');
ROLLBACK;

-- bulk
INSERT INTO post (id, board_id, title, content, slug, author_id)
	SELECT 'bulk' || i, CASE WHEN i % 3 = 0 THEN 'b2' ELSE 'ideas' END, 'Bulk ' || i, repeat('x', i * 7), 'bulk' || i, 'mina'
	FROM generate_series(1, 1200) i;
UPDATE post SET roadmap_status = 'planned', upvotes = substr(id, 5)::integer WHERE id LIKE 'bulk%';
UPDATE post SET status = 'spam' WHERE id LIKE 'bulk1%';
UPDATE post SET status = 'published' WHERE id LIKE 'bulk1%';
DELETE FROM post WHERE id LIKE 'bulk2%';

-- a merge: comments and votes move, the source is archived
INSERT INTO comment (id, post_id, content, author_id) VALUES ('cm', 'draft', 'to be moved', 'vera');
UPDATE comment SET post_id = 'p1' WHERE post_id = 'draft';
UPDATE vote SET post_id = 't1' WHERE post_id = 'p1' AND user_id = 'vera';
UPDATE post SET upvotes = 110 WHERE id = 'p1';
UPDATE post SET status = 'archived', duplicate_of_id = 'p1' WHERE id = 'draft';

-- keys change; rows without one
UPDATE post SET id = 'renamed', is_pinned = true WHERE id = 'hidden';
UPDATE post SET id = 'renamed twice' WHERE id = 'renamed';
ALTER TABLE comment_reaction REPLICA IDENTITY FULL;
ALTER TABLE comment_reaction DROP CONSTRAINT comment_reaction_pkey;
UPDATE comment_reaction SET id = 'r3', type = 'upvote' WHERE id = 'r1';
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES ('r4', 'c1', 'vera', 'upvote'), ('r5', 'c1', 'sam', 'upvote');
UPDATE comment_reaction SET user_id = 'olivia' WHERE id = 'r5';
DELETE FROM comment_reaction WHERE id = 'r4';

-- INSERT ... ON CONFLICT
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES
	('t1', 'ideas', 'T1', '-', 't1', 'mina'), ('up', 'ideas', 'Up', '-', 'up', 'mina')
	ON CONFLICT (id) DO UPDATE SET is_featured = true;

-- a board moves to a workspace that somebody listens to, and back to one where nobody does
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('mv1', 'bf', 'nobody hears', '-', 'mv1', 'mina');
UPDATE board SET workspace_id = 'acme' WHERE id = 'bf';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('mv2', 'bf', 'acme hears', '-', 'mv2', 'mina');
UPDATE board SET workspace_id = 'free' WHERE id = 'bf';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('mv3', 'bf', 'nobody hears', '-', 'mv3', 'mina');

-- a plan is paid for, and no more
UPDATE workspace SET plan = 'free' WHERE id = 'w3';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('plan1', 'b3', 'unpaid', '-', 'plan1', 'mina');
UPDATE workspace SET plan = 'professional', name = 'Renamed' WHERE id = 'w3';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('plan2', 'b3', 'paid', '-', 'plan2', 'mina');

-- cascades
INSERT INTO comment (id, post_id, content, author_id) VALUES ('cc', 'up', 'by sam', 'sam');
DELETE FROM "user" WHERE id = 'sam';
UPDATE post SET is_pinned = true WHERE id = 'up';
DELETE FROM workspace WHERE id = 'w2';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('last', 'ideas', 'Last', '-', 'last', 'mina');
