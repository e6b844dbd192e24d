--
-- Whatever statement changes a row, capture sees it as a PostgreSQL user expects.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA statements_test;
SET search_path = statements_test, public;
\set ECHO none
\i :tables
-- which row a statement comes to first is not for autovacuum to say, on a slow machine
ALTER TABLE post SET (autovacuum_enabled = off);
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) SELECT u, u, u || '@example.com', true FROM unnest('{adam,maya}'::text[]) u;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('st1', 'Acme', 'acme', 'starter', 'adam', 'acme.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b', 'st1', 'Ideas', 'ideas', 'adam');
SELECT count(*) FROM integration_attach('statements_test');
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

-- many rows, COPY, no row at all
INSERT INTO post (id, board_id, title, content, slug) SELECT 'i' || n, 'b', 'T', 'c', 'i' || n FROM generate_series(1, 3) n;
COPY post (id, board_id, title, content, slug) FROM stdin;
c1	b	T	c	c1
c2	b	T	c	c2
\.
INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'b', 'T', 'c', gen_random_uuid() WHERE false;
SELECT * FROM pg_temp.news();
-- more than a batch, in order
INSERT INTO post (id, board_id, title, content, slug) SELECT 'm' || n, 'b', 'T', 'c', 'm' || n FROM generate_series(1, 1200) n;
SELECT count(*), min(n), max(n), bool_and(n = right(post_id, -1)::int) AS in_order FROM (
	SELECT row_number() OVER (ORDER BY e.id) AS n, e.post_id FROM featul_integrations.event e, seen WHERE e.id > seen.id) s;
-- each with a webhook-id of its own
SELECT count(DISTINCT webhook_id), bool_and(webhook_id::text ~ '^.{14}4.{4}[89ab].{16}$') AS version_4
FROM featul_integrations.event e, seen WHERE e.id > seen.id;
SELECT count(*) FROM pg_temp.news();
UPDATE post SET is_pinned = true WHERE id LIKE 'm%';
SELECT count(*) FROM featul_integrations.event e, seen WHERE e.id > seen.id AND name = 'post.pinned';
SELECT count(*) FROM pg_temp.news();
UPDATE post SET status = 'draft' WHERE id LIKE 'm%';
UPDATE post SET status = 'published' WHERE id LIKE 'm%';
SELECT * FROM pg_temp.news();

-- many rows that each stand beside others
INSERT INTO "user" (id, name, email, email_verified) SELECT 'u' || n, 'U' || n, 'u' || n || '@example.com', true FROM generate_series(1, 1200) n;
INSERT INTO vote (id, post_id, user_id, type) SELECT gen_random_uuid(), 'm' || n, 'u' || n, 'upvote' FROM generate_series(1, 1200) n;
SELECT count(*), bool_and(payload #>> '{vote,author,name}' = 'U' || right(post_id, -1)) AS right_names
FROM featul_integrations.event e, seen WHERE e.id > seen.id;
INSERT INTO comment (id, post_id, content, author_id) SELECT 'c' || n, 'm' || n, 'c', 'u' || n FROM generate_series(1, 1200) n;
INSERT INTO comment_reaction (id, comment_id, user_id, type) SELECT gen_random_uuid(), 'c' || n, 'u' || n + 1, 'upvote' FROM generate_series(1, 1199) n;
SELECT event, cardinality(string_to_array(posts, ' ')) FROM pg_temp.news();

-- rows that are asked for again and again, and have moved since
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r1', 'b', 'T', 'c', 'r1');
BEGIN;
UPDATE board SET name = 'Never' WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r2', 'b', 'T', 'c', 'r2');
SELECT payload #>> '{post,board}' AS board FROM featul_integrations.event WHERE post_id = 'r2';
ROLLBACK;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r3', 'b', 'T', 'c', 'r3');
UPDATE board SET name = 'Plans' WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r4', 'b', 'T', 'c', 'r4');
VACUUM FULL board;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r5', 'b', 'T', 'c', 'r5');
INSERT INTO board (id, workspace_id, name, slug, created_by) SELECT 'far' || n, 'st1', repeat('Far', 99), n, 'adam' FROM generate_series(1, 200) n;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r6', 'far200', 'T', 'c', 'r6');
DELETE FROM board WHERE id LIKE 'far%';
VACUUM (INDEX_CLEANUP on, TRUNCATE on) board;
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('far1', 'st1', 'Other', 'other', 'adam'), ('far200', 'st1', 'Near', 'near', 'adam');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r7', 'far200', 'T', 'c', 'r7');
BEGIN;
SAVEPOINT s;
UPDATE board SET name = 'Never' WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r8', 'b', 'T', 'c', 'r8');
ROLLBACK TO s;
UPDATE board SET name = 'Later' WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r9', 'b', 'T', 'c', 'r9');
UPDATE board SET name = repeat('Large', 300) WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r10', 'b', 'T', 'c', 'r10'), ('r11', 'b', 'T', 'c', 'r11');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r12', 'b', 'T', 'c', 'r12');
COMMIT;
ALTER TABLE board SET (fillfactor = 10); -- dead versions make room at once
UPDATE board SET name = 'Here' WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r13', 'b', 'T', 'c', 'r13');
SELECT ctid AS place FROM board WHERE id = 'b' \gset
SET statements_test.place = :'place';
DO $$
BEGIN
	FOR n IN 1..1000 LOOP
		UPDATE board SET name = 'Back' WHERE id = 'b';
		COMMIT;
		EXIT WHEN (SELECT ctid = current_setting('statements_test.place')::tid FROM board WHERE id = 'b');
	END LOOP;
END
$$;
SELECT ctid = :'place' AS in_its_old_place FROM board WHERE id = 'b';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('r14', 'b', 'T', 'c', 'r14');
SELECT post_id, left(payload #>> '{post,board}', 6) AS board FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT * FROM pg_temp.news();
-- or are the same, and read differently
SELECT count(*) FROM integration_attach('statements_test', '{"user": {"columns": {"name": "name || current_setting(''application_name'')"}}}');
SET application_name = 'UTC';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('t1', 'b', 'T', 'c', 't1', 'adam'), ('t2', 'b', 'T', 'c', 't2', 'adam');
SET application_name = 'Asia/Tokyo';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('t3', 'b', 'T', 'c', 't3', 'adam');
RESET application_name;
SELECT post_id, payload #>> '{post,author,name}' AS author FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT * FROM pg_temp.news();
SELECT count(*) FROM integration_attach('statements_test', '{"user": null}');

-- a binding over the whole row, in one statement after the other
SELECT count(*) FROM integration_attach('statements_test', '{"post": {"columns": {"title": "to_jsonb(post) ->> ''title''"}}}');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('W1', 'b', 'T', 'c', 'W1');
INSERT INTO post (id, board_id, title, content, slug) SELECT 'W' || n, 'b', 'T', repeat('c', 50 * n), 'W' || n FROM generate_series(2, 200) n;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('W201', 'b', 'T', 'c', 'W201');
SELECT event, cardinality(string_to_array(posts, ' ')) FROM pg_temp.news();
SELECT count(*) FROM integration_attach('statements_test', '{"post": null}');

-- indexes that a DBA adds to our tables
CREATE INDEX extra_expression ON featul_integrations.queue (left(post_id, 100));
CREATE INDEX extra_predicate ON featul_integrations.queue (event_id) WHERE post_id = 'e2';
CREATE INDEX extra_brin ON featul_integrations.event USING brin (created_at);
INSERT INTO post (id, board_id, title, content, slug) VALUES ('e1', 'b', 'T', 'c', 'e1');
INSERT INTO post (id, board_id, title, content, slug) SELECT 'e' || n, 'b', 'T', 'c', 'e' || n FROM generate_series(2, 300) n;
SET enable_seqscan = off;
SELECT count(*) FROM featul_integrations.queue WHERE upper(post_id) IN ('E1', 'E2', 'E300');
SELECT count(*) FROM featul_integrations.queue WHERE post_id = 'e2' AND event_id > 0;
RESET enable_seqscan;
DROP INDEX featul_integrations.extra_expression, featul_integrations.extra_predicate, featul_integrations.extra_brin;
SELECT event, cardinality(string_to_array(posts, ' ')) FROM pg_temp.news();
BEGIN;
TRUNCATE featul_integrations.queue;
ALTER TABLE featul_integrations.queue ADD CONSTRAINT extra_exclusion EXCLUDE USING btree (post_id WITH =);
INSERT INTO post (id, board_id, title, content, slug) VALUES ('e301', 'b', 'T', 'c', 'e301');
UPDATE post SET is_pinned = true WHERE id = 'e301';
ROLLBACK;

-- ON CONFLICT, MERGE, writes in WITH
INSERT INTO post (id, board_id, title, content, slug) VALUES ('i1', 'b', 'T', 'c', 'i1'), ('o1', 'b', 'T', 'c', 'o1')
ON CONFLICT (id) DO UPDATE SET is_pinned = true;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('i1', 'b', 'T', 'c', 'i1') ON CONFLICT DO NOTHING;
SELECT * FROM pg_temp.news();
MERGE INTO post p USING (VALUES ('c1'), ('i2'), ('j1')) AS v (id) ON p.id = v.id
WHEN MATCHED AND p.id = 'c1' THEN DELETE
WHEN MATCHED THEN UPDATE SET is_locked = true
WHEN NOT MATCHED THEN INSERT (id, board_id, title, content, slug) VALUES (v.id, 'b', 'T', 'c', v.id);
SELECT * FROM pg_temp.news();
WITH p AS (INSERT INTO post (id, board_id, title, content, slug) VALUES ('w1', 'b', 'T', 'c', 'w1') RETURNING id),
c AS (INSERT INTO comment (id, post_id, content, author_id) SELECT 'w1c', id, 'c', 'maya' FROM p RETURNING id)
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) SELECT gen_random_uuid(), id, 'adam', 'maya' FROM c;
SELECT * FROM pg_temp.news();

-- cascades
UPDATE workspace SET id = id;
CREATE TABLE switch (id int PRIMARY KEY);
INSERT INTO switch VALUES (1);
ALTER TABLE post ADD switch int DEFAULT 1 REFERENCES switch ON UPDATE CASCADE ON DELETE SET NULL;
ALTER TABLE post ALTER switch DROP DEFAULT;
UPDATE switch SET id = 2;
DELETE FROM switch;
SELECT * FROM pg_temp.news();
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'i3', 'maya', 'upvote');
DELETE FROM post WHERE id = 'i3';
SELECT * FROM pg_temp.news();

-- the application's own triggers have their say first
CREATE FUNCTION moderate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title = 'refused' THEN
		RETURN NULL;
	END IF;
	IF NEW.title = 'spam' THEN
		NEW.status := 'spam';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER moderate BEFORE INSERT OR UPDATE ON post FOR EACH ROW EXECUTE FUNCTION moderate();
INSERT INTO post (id, board_id, title, content, slug) VALUES ('a1', 'b', 'refused', 'c', 'a1'), ('a2', 'b', 'spam', 'c', 'a2'), ('a3', 'b', 'fine', 'c', 'a3');
SET enable_indexscan = off; -- in the order of the table, whatever autovacuum knows of it
SET enable_bitmapscan = off;
UPDATE post SET is_pinned = true, title = CASE id WHEN 'i1' THEN 'refused' ELSE title END WHERE id IN ('a3', 'i1', 'i2');
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT * FROM pg_temp.news();
DROP TRIGGER moderate ON post;
-- an AFTER trigger that writes again
CREATE FUNCTION vote_for_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), NEW.id, 'maya', 'upvote');
	RETURN NULL;
END
$$;
CREATE TRIGGER a_vote AFTER INSERT ON post FOR EACH ROW EXECUTE FUNCTION vote_for_it();
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('n1', 'b', 'T', 'c', 'n1', 'adam');
SELECT * FROM pg_temp.news();
DROP TRIGGER a_vote ON post;

-- transactions: rolled back as a whole, in part, or prepared
BEGIN;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('x1', 'b', 'T', 'c', 'x1');
ROLLBACK;
BEGIN;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('x2', 'b', 'T', 'c', 'x2');
SAVEPOINT s;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('x3', 'b', 'T', 'c', 'x3');
ROLLBACK TO s;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('x4', 'b', 'T', 'c', 'x4');
RELEASE s;
COMMIT;
SELECT * FROM pg_temp.news();
DO $$
BEGIN
	FOR n IN 1..3 LOOP
		BEGIN
			INSERT INTO post (id, board_id, title, content, slug) VALUES ('x' || 4 + n, 'b', 'T', 'c', 'x' || 4 + n);
			IF n = 2 THEN
				RAISE division_by_zero;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END LOOP;
END
$$;
SELECT * FROM pg_temp.news();
-- connecting and disconnecting inside one, too
BEGIN;
SELECT message FROM integration_disconnect('acme', 'webhook');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y1', 'b', 'T', 'c', 'y1');
SAVEPOINT s;
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y2', 'b', 'T', 'c', 'y2');
ROLLBACK TO s;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y3', 'b', 'T', 'c', 'y3');
SELECT message FROM integration_connect('acme', 'webhook', 'https://example.com/');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y4', 'b', 'T', 'c', 'y4');
SELECT * FROM pg_temp.news();
ROLLBACK;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y5', 'b', 'T', 'c', 'y5');
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y6', 'b', 'T', 'c', 'y6');
SELECT message FROM integration_disconnect('acme', 'webhook');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y7', 'b', 'T', 'c', 'y7');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('y8', 'b', 'T', 'c', 'y8');
COMMIT;
SELECT * FROM pg_temp.news();

-- capture = off, for a transaction or a session; session_replication_role
BEGIN;
SET LOCAL featul_integrations.capture = off;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('z1', 'b', 'T', 'c', 'z1');
COMMIT;
SET session_replication_role = replica;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('z2', 'b', 'T', 'c', 'z2');
RESET session_replication_role;
ALTER TABLE post DISABLE TRIGGER featul_integrations_post_insert;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('z3', 'b', 'T', 'c', 'z3');
ALTER TABLE post ENABLE TRIGGER featul_integrations_post_insert;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('z4', 'b', 'T', 'c', 'z4');
SELECT * FROM pg_temp.news();

-- partitions: through the parent or directly, once; rows that move are updates
CREATE SCHEMA partitions_test;
CREATE TABLE partitions_test.workspace (LIKE workspace);
CREATE TABLE partitions_test.workspace_member (LIKE workspace_member);
CREATE TABLE partitions_test.board (LIKE board INCLUDING DEFAULTS);
CREATE TABLE partitions_test.post (id int, board_id text, title text, content text, status text, is_pinned bool) PARTITION BY LIST (board_id);
CREATE TABLE partitions_test.post_a PARTITION OF partitions_test.post FOR VALUES IN ('b');
CREATE TABLE partitions_test.post_b (is_pinned bool, dropped int, status text, content text, title text, id int, board_id text);
ALTER TABLE partitions_test.post_b DROP COLUMN dropped;
ALTER TABLE partitions_test.post ATTACH PARTITION partitions_test.post_b FOR VALUES IN ('c');
INSERT INTO partitions_test.workspace SELECT * FROM workspace;
INSERT INTO partitions_test.board (id, workspace_id, name, slug, created_by) SELECT n, 'st1', n, n, 'adam' FROM unnest('{b,c,d}'::text[]) n;
SELECT count(*) FROM integration_attach('partitions_test');
INSERT INTO partitions_test.post VALUES (1, 'b', 'T', 'c', 'published', false), (2, 'c', 'T', 'c', 'published', false);
INSERT INTO partitions_test.post_a VALUES (3, 'b', 'T', 'c', 'published', false);
INSERT INTO partitions_test.post_b (id, board_id, title, status) VALUES (4, 'c', 'T', 'published');
COPY partitions_test.post_b (id, board_id, title, status) FROM stdin;
5	c	T	published
\.
SELECT * FROM pg_temp.news();
UPDATE partitions_test.post SET board_id = CASE board_id WHEN 'b' THEN 'c' ELSE 'b' END, is_pinned = true;
UPDATE partitions_test.post_a SET is_pinned = NULL;
UPDATE partitions_test.post_b SET is_pinned = false, status = 'draft' WHERE id = 1;
UPDATE partitions_test.post SET is_pinned = true, status = 'published' WHERE id IN (1, 2);
SELECT * FROM pg_temp.news();
-- a row that is refused on its way to another partition leaves its fellows paired
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER refuse BEFORE INSERT ON partitions_test.post_b FOR EACH ROW EXECUTE FUNCTION refuse();
UPDATE partitions_test.post SET is_pinned = false WHERE board_id = 'b';
SELECT id, board_id FROM partitions_test.post WHERE board_id = 'b' ORDER BY id;
UPDATE partitions_test.post SET is_pinned = true, board_id = CASE id WHEN 4 THEN 'c' ELSE 'b' END WHERE board_id = 'b';
SELECT * FROM pg_temp.news();
-- a new partition is captured through the parent, and directly after attaching again
CREATE TABLE partitions_test.post_d PARTITION OF partitions_test.post FOR VALUES IN ('d');
INSERT INTO partitions_test.post VALUES (6, 'd', 'T', 'c', 'published');
INSERT INTO partitions_test.post_d VALUES (7, 'd', 'T', 'c', 'published');
SELECT count(*) FROM integration_attach('partitions_test');
INSERT INTO partitions_test.post_d VALUES (8, 'd', 'T', 'c', 'published');
-- one that is detached is none of ours any more
ALTER TABLE partitions_test.post DETACH PARTITION partitions_test.post_d;
INSERT INTO partitions_test.post_d VALUES (9, 'd', 'T', 'c', 'published');
SELECT * FROM pg_temp.news();

-- a binding over the whole row, of partitions too
CREATE FUNCTION partitions_test.in_order(p partitions_test.post) RETURNS boolean LANGUAGE sql AS
$$SELECT p.status = 'published' AND p.title <> 'hidden'$$;
SELECT count(*) FROM integration_attach('partitions_test', '{"post": {"columns": {"visible": "partitions_test.in_order(post)", "status": "status"}}}');
INSERT INTO partitions_test.post VALUES (10, 'b', 'hidden', 'c', 'published'), (11, 'b', 'T', 'c', 'published');
UPDATE partitions_test.post_a SET title = 'T' WHERE id = 10;
UPDATE partitions_test.post SET content = 'd' WHERE id IN (10, 11);
SELECT * FROM pg_temp.news();

-- generated columns: from 18 on virtual ones, which are in no stored row
SELECT CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END AS kind \gset
CREATE SCHEMA generated_test;
CREATE TABLE generated_test.workspace (LIKE workspace INCLUDING INDEXES);
CREATE TABLE generated_test.workspace_member (LIKE workspace_member);
CREATE TABLE generated_test.board (LIKE board INCLUDING DEFAULTS INCLUDING INDEXES, shown_name text GENERATED ALWAYS AS (upper(name)) :kind);
CREATE TABLE generated_test.post (id text PRIMARY KEY, board_id text, title text, content text, state int,
	heading text GENERATED ALWAYS AS (title || '!') :kind,
	visible boolean GENERATED ALWAYS AS (state > 0) :kind,
	score bigint GENERATED ALWAYS AS (state * 10) :kind);
CREATE TABLE generated_test.comment (id text PRIMARY KEY, post_id text, content text);
INSERT INTO generated_test.workspace SELECT * FROM workspace;
INSERT INTO generated_test.board (id, workspace_id, name, slug, created_by) VALUES ('b', 'st1', 'Made', 'made', 'adam');
SELECT count(*) FROM integration_attach('generated_test', '{"post": {"columns": {"title": "heading", "visible": "visible", "upvotes": "score"}},
	"board": {"columns": {"name": "shown_name"}}}');
INSERT INTO generated_test.post (id, board_id, title, content, state) VALUES ('v1', 'b', 'T', 'c', 1), ('v2', 'b', 'T', 'c', 0);
UPDATE generated_test.post SET state = 2 WHERE id = 'v2';
UPDATE generated_test.post SET state = 6 WHERE id = 'v1';
INSERT INTO generated_test.comment VALUES ('vc', 'v1', 'c');
SELECT e.name, e.post_id, payload #> '{post,title}' AS title, payload #> '{post,upvotes}' AS upvotes, payload #> '{post,board}' AS board
FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT * FROM pg_temp.news();

-- keys of other types
CREATE SCHEMA keys_test;
CREATE TABLE keys_test.workspace (id uuid PRIMARY KEY, name text, slug text, plan text, owner_id int);
CREATE TABLE keys_test.workspace_member (workspace_id uuid, user_id bigint, role text);
CREATE TABLE keys_test."user" (id bigint PRIMARY KEY, name text, email text);
CREATE TABLE keys_test.board (id int PRIMARY KEY, workspace_id uuid, name text);
CREATE TABLE keys_test.post (id uuid PRIMARY KEY, board_id bigint, title text, content text, author_id text);
CREATE TABLE keys_test.comment (id text, post_id text, content text, author_id int, created_at timestamptz);
CREATE TABLE keys_test.vote (post_id uuid, user_id bigint);
INSERT INTO keys_test.workspace VALUES ('00000000-0000-0000-0000-00000000000A', 'Keys', 'keys', 'professional', 1);
INSERT INTO keys_test.workspace_member VALUES ('00000000-0000-0000-0000-00000000000A', 2, 'admin');
INSERT INTO keys_test."user" VALUES (1, 'One', 'one@example.com'), (2, 'Two', 'two@example.com');
INSERT INTO keys_test.board VALUES (7, '00000000-0000-0000-0000-00000000000A', 'Seven');
SELECT count(*) FROM integration_attach('keys_test', '{"post": null, "board": null}');
SELECT message FROM integration_connect('keys', 'webhook', 'https://example.com/', boards => NULL);
INSERT INTO keys_test.post VALUES ('00000000-0000-0000-0000-00000000000B', 7, 'T', 'c', '1');
INSERT INTO keys_test.post VALUES ('00000000-0000-0000-0000-00000000000C', 99999999999, 'T', 'c', 'x');
INSERT INTO keys_test.comment VALUES ('k', '00000000-0000-0000-0000-00000000000b', 'c', 2, '2026-01-15 12:00+02');
INSERT INTO keys_test.vote VALUES ('00000000-0000-0000-0000-00000000000B', 2), ('00000000-0000-0000-0000-00000000000B', 1);
SELECT e.payload FROM featul_integrations.event e, seen WHERE e.id > seen.id ORDER BY e.id;
SELECT * FROM pg_temp.news();

DELETE FROM featul_integrations.integration WHERE workspace_id IN ('st1', '00000000-0000-0000-0000-00000000000a');
DELETE FROM featul_integrations.mark;
SELECT integration_detach();
TRUNCATE featul_integrations.binding;
SET client_min_messages = error;
DROP SCHEMA statements_test, partitions_test, generated_test, keys_test CASCADE;
