--
-- Random statements on posts, inside of which triggers and functions pin, hide, show, vote and
-- comment: after each, whatever has been visible at the end of a statement was told once, and
-- first; of whatever has not, nothing was told.  The seeds are fixed; what is found is a WARNING.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA model_test;
SET search_path = model_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true), ('maya', 'Maya', 'maya@example.com', true);
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('mo1', 'Acme', 'model', 'd', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b', 'mo1', 'Bugs', 'bugs', 'olivia');
SELECT count(*) FROM integration_attach('model_test');
SET featul_integrations.operator = on;
SELECT message FROM integration_connect('model', 'webhook', 'https://example.com/');

-- what is to be done to a post, a letter each; n: the next two letters inside of one more statement
CREATE FUNCTION act(post text, program text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..length(program) LOOP
		CASE substr(program, i, 1)
			WHEN 'p' THEN UPDATE post SET is_pinned = NOT coalesce(is_pinned, false) WHERE id = act.post;
			WHEN 'h' THEN UPDATE post SET status = 'spam' WHERE id = act.post;
			WHEN 's' THEN UPDATE post SET status = 'published' WHERE id = act.post;
			WHEN 'v' THEN INSERT INTO vote (id, post_id, fingerprint, type)
				SELECT gen_random_uuid(), p.id, gen_random_uuid(), 'upvote' FROM post p WHERE p.id = act.post;
			WHEN 'c' THEN INSERT INTO comment (id, post_id, content, author_id, author_name, status)
				SELECT gen_random_uuid(), p.id, 'c', 'maya', 'Maya', 'published' FROM post p WHERE p.id = act.post;
			WHEN 'x' THEN
				BEGIN
					UPDATE post SET status = CASE status WHEN 'spam' THEN 'published' ELSE 'spam' END, is_locked = true WHERE id = act.post;
					PERFORM 1 / 0;
				EXCEPTION WHEN division_by_zero THEN
				END;
			WHEN 'n' THEN
				EXECUTE 'UPDATE post SET updated_at = now() WHERE id = $1 RETURNING act(id, $2)' USING act.post, substr(program, i + 1, 2);
				RETURN act.post;
		END CASE;
	END LOOP;
	RETURN act.post;
END $$;
-- a post's title says what its triggers do: that of the row, that of the statement (after ours), that of a vote
CREATE FUNCTION row_acts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM act(NEW.id, split_part(NEW.title, '|', 1));
	RETURN NULL;
END $$;
CREATE FUNCTION statement_acts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM act(n.id, split_part(n.title, '|', 2)) FROM new_rows n;
	RETURN NULL;
END $$;
CREATE FUNCTION vote_acts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM act(p.id, split_part(p.title, '|', 3)) FROM post p WHERE p.id = NEW.post_id AND pg_trigger_depth() < 3;
	RETURN NULL;
END $$;
CREATE TRIGGER row_acts AFTER INSERT ON post FOR EACH ROW EXECUTE FUNCTION row_acts();
CREATE TRIGGER z_acts AFTER INSERT ON post REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION statement_acts();
CREATE TRIGGER vote_acts AFTER INSERT ON vote FOR EACH ROW EXECUTE FUNCTION vote_acts();

CREATE FUNCTION pg_temp.program(most int) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(substr('phsvcxn', 1 + floor(random() * 7)::int, 1), ''), '') FROM generate_series(1, floor(random() * (most + 1))::int)
$$;
CREATE FUNCTION pg_temp.statement(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	new_post text := format('INSERT INTO post (id, board_id, title, content, slug, status) VALUES (''m%s'', ''b'', %L, ''c'', ''m%1$s'', %L)', n,
		concat_ws('|', pg_temp.program(3), pg_temp.program(2), pg_temp.program(2)), CASE WHEN random() < 0.7 THEN 'published' ELSE 'draft' END);
	vote text := 'INSERT INTO vote (id, post_id, fingerprint, type) ';
BEGIN
	CASE floor(random() * 7)
		WHEN 0 THEN RETURN new_post;
		WHEN 1 THEN RETURN format('%s RETURNING act(id, %L)', new_post, pg_temp.program(4));
		WHEN 2 THEN RETURN format('WITH v AS (%s VALUES (gen_random_uuid(), ''m%s'', ''f'', ''upvote'')) %s', vote, n, new_post);
		WHEN 3 THEN RETURN format('WITH p AS (%s RETURNING id) SELECT act(id, %L) FROM p', new_post, pg_temp.program(4));
		WHEN 4 THEN RETURN format('WITH p AS (%s RETURNING id) %s SELECT gen_random_uuid(), id, ''f'', ''upvote'' FROM p', new_post, vote);
		WHEN 5 THEN RETURN format('MERGE INTO post p USING (VALUES (''m%s''), (''m%s'')) v (id) ON p.id = v.id WHEN MATCHED THEN UPDATE SET status = %L '
			'WHEN NOT MATCHED THEN INSERT (id, board_id, title, content, slug, status) VALUES (v.id, ''b'', %L, ''c'', v.id, ''published'')',
			n, n - 1, CASE WHEN random() < 0.5 THEN 'published' ELSE 'spam' END, pg_temp.program(3));
		ELSE RETURN format('UPDATE post SET status = %L WHERE id IN (''m%s'', ''m%s'') RETURNING act(id, %L)',
			CASE WHEN random() < 0.5 THEN 'published' ELSE 'spam' END, n - 1, n - 2, pg_temp.program(4));
	END CASE;
END $$;
CREATE TEMP TABLE seen (id text PRIMARY KEY);
CREATE VIEW pg_temp.wrong AS
SELECT p.id, p.title, string_agg(e.name, ' ' ORDER BY q.id) AS told, s.id IS NOT NULL AS was_seen
FROM post p LEFT JOIN seen s USING (id)
LEFT JOIN (featul_integrations.queue q JOIN featul_integrations.event e ON e.id = q.event_id AND e.workspace_id = 'mo1') ON q.post_id = p.id
GROUP BY p.id, p.title, s.id
HAVING CASE WHEN s.id IS NULL THEN count(e.id) > 0 OR EXISTS (SELECT FROM featul_integrations.mark m WHERE m.source = 'post' AND m.id = p.id AND m.was_visible)
	ELSE count(e.id) FILTER (WHERE e.name = 'post.created') <> 1 OR (array_agg(e.name ORDER BY q.id))[1] <> 'post.created' END;
CREATE FUNCTION pg_temp.run(seed float, statements int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	wrong record;
BEGIN
	PERFORM setseed(seed);
	FOR n IN 1..statements LOOP
		statement := pg_temp.statement(n);
		EXECUTE statement;
		INSERT INTO seen SELECT id FROM post WHERE status = 'published' ON CONFLICT DO NOTHING;
		FOR wrong IN SELECT * FROM pg_temp.wrong LOOP
			RAISE WARNING 'seed %, after %: % (%) told "%", seen: %', seed, statement, wrong.id, wrong.title, wrong.told, wrong.was_seen;
			RETURN;
		END LOOP;
	END LOOP;
	DELETE FROM post;
	TRUNCATE seen;
	DELETE FROM featul_integrations.mark;
	DELETE FROM featul_integrations.queue WHERE post_id LIKE 'm%';
END $$;
SELECT pg_temp.run(seed, 50) FROM unnest('{0.1,0.2,0.3,0.4,0.5,0.6}'::float[]) AS seed;

SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA model_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'mo1';
DELETE FROM featul_integrations.mark;
