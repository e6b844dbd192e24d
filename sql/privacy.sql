--
-- Payloads to the letter, and who is named in them.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA privacy_test;
SET search_path = privacy_test, public;
\set ECHO none
\i :tables
\set ECHO all
-- NULL wherever the contract bears it
ALTER TABLE post ALTER slug DROP NOT NULL, ALTER created_at DROP NOT NULL;
INSERT INTO "user" (id, name, email, email_verified) VALUES
	('olivia', 'Olivia', 'olivia@example.com', true), ('adam', 'Adam "A" Smith', 'adam@example.com', true),
	('maya', 'maya@example.com', 'maya@example.com', true), ('vic', '', 'vic.secret@example.com', true),
	('zoe', 'zoe @ home', 'zoe@example.com', true), ('at', '@', 'at@example.com', true),
	('pad', E'\t pad@example.com \n', 'pad@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES
	('pr1', E'Acme \\ "Co"\n', 'acme', 'professional', 'olivia', 'acme.example.com'), ('pr2', 'Bare', 'bare', 'starter', 'olivia', 'bare.example.com');
INSERT INTO workspace_member (id, workspace_id, user_id, role) VALUES (gen_random_uuid(), 'pr1', 'adam', 'admin'), (gen_random_uuid(), 'pr1', 'maya', 'member');
INSERT INTO board (id, workspace_id, name, slug, hide_public_member_identity, created_by) VALUES
	('open', 'pr1', 'Ideas', 'ideas', false, 'olivia'), ('hidden', 'pr1', 'Secret ideas', 'secret', true, 'olivia');
SELECT count(*) FROM integration_attach('privacy_test');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/');
DELETE FROM featul_integrations.mark;
CREATE TEMP TABLE seen (id bigint);
INSERT INTO seen SELECT coalesce(max(id), 0) FROM featul_integrations.event;
CREATE FUNCTION pg_temp.news() RETURNS SETOF json LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.payload FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
	UPDATE seen SET id = (SELECT max(e.id) FROM featul_integrations.event e);
END
$$;

-- every event: the keys of the contract, in its order
INSERT INTO post (id, board_id, title, content, slug, author_id, upvotes, created_at) VALUES
	('p1', 'open', E'Tabs\tand "quotes"', E'\u00e9\U0001F600\\', 'a b/c', 'adam', 9, '2026-01-15 09:30:00.987');
UPDATE post SET roadmap_status = 'planned', is_pinned = true, is_featured = true, is_locked = true, upvotes = 50;
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'p1', 'olivia', 'upvote');
INSERT INTO comment (id, post_id, content, author_id, author_email, created_at) VALUES
	('c1', 'p1', 'Yes!', 'maya', 'hidden@example.com', '2026-01-15 10:00:00');
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES (gen_random_uuid(), 'c1', 'zoe', 'maya');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'c1', 'at', 'upvote');
SELECT * FROM pg_temp.news();

-- timestamps in UTC whatever the session says; null where NULL or infinite; no slug, no URL
SET TimeZone = 'Pacific/Chatham';
SET DateStyle = 'German';
INSERT INTO post (id, board_id, title, content, slug, created_at) VALUES
	('t1', 'open', 'T', 'c', NULL, 'infinity'), ('t2', 'open', 'T', 'c', '', NULL), ('t3', 'open', 'T', 'c', NULL, '2026-01-15 09:30'),
	('t4', 'open', 'T', 'c', NULL, '0044-03-15 12:00 BC'), ('t5', 'open', 'T', 'c', NULL, '12026-01-15 09:30');
RESET TimeZone;
RESET DateStyle;
SELECT n #>> '{post,id}' AS id, n #> '{post,url}' AS url, n #> '{post,createdAt}' AS created FROM pg_temp.news() n;

-- authors: missing, anonymous, deleted, without a name, with an e-mail address for a name
INSERT INTO post (id, board_id, title, content, slug, author_id, is_anonymous, metadata) VALUES
	(gen_random_uuid(), 'open', 'none', 'c', gen_random_uuid(), NULL, false, NULL), (gen_random_uuid(), 'open', 'anonymous', 'c', gen_random_uuid(), 'adam', true, '{"fingerprint": "print-9"}'),
	(gen_random_uuid(), 'open', 'not said', 'c', gen_random_uuid(), 'adam', NULL, NULL), (gen_random_uuid(), 'open', 'e-mail', 'c', gen_random_uuid(), 'maya', false, NULL),
	(gen_random_uuid(), 'open', 'no name', 'c', gen_random_uuid(), 'vic', false, NULL), (gen_random_uuid(), 'open', 'spaces', 'c', gen_random_uuid(), 'zoe', false, NULL), (gen_random_uuid(), 'open', 'at', 'c', gen_random_uuid(), 'at', false, NULL),
	(gen_random_uuid(), 'open', 'padded', 'c', gen_random_uuid(), 'pad', false, NULL),
	(gen_random_uuid(), 'hidden', 'hidden', 'c', gen_random_uuid(), 'adam', false, NULL), (gen_random_uuid(), 'hidden', 'hidden anonymous', 'c', gen_random_uuid(), NULL, true, NULL);
SELECT n #>> '{post,title}' AS title, n #> '{post,author}' AS author FROM pg_temp.news() n;

-- commenters, voters, reactors and mentioned, in the open and on a board that hides them
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('o', 'open', 'O', 'c', 'o', 'adam'), ('h', 'hidden', 'H', 'c', 'h', 'adam');
INSERT INTO comment (id, post_id, content, author_id, author_name, author_email, is_anonymous) VALUES
	('o1', 'o', 'c', 'maya', 'Other', 'e@example.com', false), ('o2', 'o', 'c', 'adam', NULL, NULL, true),
	('o3', 'o', 'c', NULL, 'guest@example.com', 'guest@example.com', NULL), ('o4', 'o', 'c', NULL, NULL, 'x@example.com', NULL),
	('h1', 'h', 'c', 'olivia', NULL, NULL, false), ('h2', 'h', 'c', NULL, 'Gus', NULL, false);
INSERT INTO vote (id, post_id, user_id, fingerprint, type) VALUES (gen_random_uuid(), 'o', 'vic', 'print-8', 'upvote'), (gen_random_uuid(), 'o', NULL, 'print-9', 'upvote'), (gen_random_uuid(), 'h', 'vic', 'print-9', 'upvote'), (gen_random_uuid(), 'h', NULL, NULL, 'upvote');
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES (gen_random_uuid(), 'o1', 'vic', 'maya'), (gen_random_uuid(), 'h1', 'vic', 'olivia');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'o1', 'vic', 'upvote'), (gen_random_uuid(), 'h1', NULL, 'upvote'), (gen_random_uuid(), 'h1', 'vic', 'downvote');
SELECT n ->> 'event' AS event, n #>> '{comment,id}' AS comment, n #> '{comment,author}' AS commenter,
	coalesce(n #> '{vote,author}', n -> 'mention', n #> '{reaction,author}') AS other
FROM pg_temp.news() n WHERE n ->> 'event' <> 'post.created';
SELECT count(*) FROM featul_integrations.event WHERE workspace_id LIKE 'pr_' AND payload::text ~ 'print-9|hidden@|guest@|x@example|[^a-z]e@example';

-- what a NULL may be in is null
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('pr3', '', 'nulls', 'starter', 'olivia', 'nulls.example.com');
ALTER TABLE board ALTER name DROP NOT NULL;
ALTER TABLE post ALTER title DROP NOT NULL, ALTER content DROP NOT NULL;
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('nulls', 'pr3', NULL, 'nulls', 'olivia');
SELECT message FROM integration_connect('nulls', 'webhook', 'https://example.com/');
INSERT INTO post (id, board_id, title, content, slug, roadmap_status, upvotes, created_at) VALUES ('n', 'nulls', NULL, NULL, 'n', NULL, NULL, NULL);
SELECT * FROM pg_temp.news();

-- at most 65,536 bytes: the longest content is cut, then the title, on a character boundary
INSERT INTO post (id, board_id, title, content, slug, created_at) VALUES
	('l1', 'open', 'Long', repeat('é', 40000), NULL, NULL),
	('l2', 'open', repeat('"', 70000), repeat('x', 10), NULL, NULL),
	('l3', 'open', 'Escapes', repeat(E'\u0001', 65536), NULL, NULL),
	('l4', 'open', 'Just fits', repeat('x', 65000), NULL, NULL),
	('l5', 'open', repeat('t', 3000000), repeat('😀', 1000000), repeat('ü', 100000), NULL);
INSERT INTO comment (id, post_id, content) VALUES ('lc', 'l1', repeat('日本', 50000));
SELECT n #>> '{post,id}' AS post, n #>> '{comment,id}' AS comment, octet_length(n::text) BETWEEN 65000 AND 65536 AS full,
	n #>> '{post,truncated}' AS post_cut, n #>> '{comment,truncated}' AS comment_cut,
	left(n #>> '{post,title}', 5) AS title, length(n #>> '{post,title}') > 20000 AS long_title,
	left(n #>> '{post,content}', 3) AS content, right(n #>> '{comment,content}', 1) AS last
FROM pg_temp.news() n;

DELETE FROM workspace;
DELETE FROM featul_integrations.mark;
SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA privacy_test CASCADE;
