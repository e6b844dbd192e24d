--
-- Rules: whatever is accepted is cheap, whatever is useful is accepted.  test/fuzz/rules counts
-- what they cost.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA rules_test;
SET search_path = rules_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('ru1', 'Acme', 'rules', 'd', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by, roadmap_statuses, changelog_tags) VALUES ('b', 'ru1', 'Bugs', 'bugs', 'olivia', '[]', '[]');
SELECT count(*) FROM integration_attach('rules_test');

CREATE FUNCTION pg_temp.connected(rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
BEGIN
	RETURN (SELECT c.message FROM integration_connect('rules', 'webhook', 'https://example.com/', rule => rule) c);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(': ', SQLSTATE, nullif(SQLERRM, 'Rule cannot be used'), nullif(detail, ''));
END $$;
SET featul_integrations.user_id = 'olivia';
\a
-- useful ones
SELECT rule, pg_temp.connected(rule) FROM unnest(ARRAY[
	'$.post.upvotes >= 10',
	'$.post.title like_regex "crash|bug" flag "i"',
	'$.post.board == "Bugs" && $.event == "post.created"',
	'exists($.comment ? (@.author.role == "admin"))',
	'$.post.content starts with "x"',
	'$.post.title like_regex "^\\[P[01]\\]"',
	'$.post.title like_regex "crash" || $.post.content like_regex "crash"',
	'$.post.content like_regex "crash.*(login|log in|sign ?in)" flag "i"',
	'$.post.content like_regex "\\m(urgent|asap)\\M" flag "i"',
	'$.post.content like_regex "v?\\d+(\\.\\d+)+"',
	'$.post.content like_regex "v\\d+(\\.\\d+)?"',
	'$.post.content like_regex "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}"',
	'$.post.author.email like_regex "@(example|featul)\\.com$" flag "i"',
	'$.post.title like_regex "größe" flag "i"',
	'$.post.title == "a{25}" || $.post.title like_regex ".{20}" flag "q"',
	'$.** == "Bugs" || $.event == "post.created"',
	'!($.post.status == "planned")',
	'$.post.upvotes * 2 + 1 > 10']) rule;

-- hostile ones: texts that drive an automaton through all its states
SELECT left(rule, 90) AS rule, pg_temp.connected(rule) FROM unnest(ARRAY[
	'$.post.content like_regex "a(.{250}){40}c"',
	'$.post.content like_regex "a.{250}c"',
	'$.post.content like_regex "a.{16}c"',
	'$.post.content like_regex "(a|b)*a(a|b){12}$"',
	'$.post.content like_regex "(.*a){2,90}b"',
	'$.post.content like_regex "((a*)*)*b"',
	'$.post.content like_regex "((a|^)+|$)+b"',
	'$.post.content like_regex "(a)\\1"',
	'$.post.content like_regex "(?=.*b)a"',
	'$.post.content like_regex "(?<!a.*)b"',
	'$.post.content like_regex "(?i)a"',
	'$.post.content like_regex "\\u0061"',
	'$.post.content like_regex "[[.a.]-z]"',
	'$.post.content like_regex "[à-힣]" flag "i"',
	'$.post.content like_regex "a\u007b250}c"',
	'$.post.content like_regex "' || repeat('\\w', 100) || '"',
	'$.post.content like_regex "' || repeat('a', 300) || '"',
	'$.post.content like_regex "' || repeat('(', 20) || 'a' || repeat(')', 20) || '"',
	'$.post.content like_regex "(((a{9}){9}){9}){9}"']) rule;
-- what takes long to compile (the first: 17 s) is seen before it is, however it is written
SELECT rule, pg_temp.connected(rule) FROM unnest(ARRAY[
	'$.post.content like_regex "(a?b?){255}"',
	'$.post.content like_regex "(a?b?)\{\2\55}"',
	'$.post.content LIKE_REGEX /* " */ "(a?b?){255}" /* */ flag "i"',
	'$.post.content like_regex "(a?b?){255}" flag "i"',
	'$.post.content like\_regex "(a?b?){255}"',
	'$.post.content like_regex "([[:<:]]|a)+b"',
	'$.event like_regex "a{200}" || $.event like_regex "b{200}" || $.event like_regex "c{200}"']) rule;
-- which are literal
SELECT rule, pg_temp.connected(rule) FROM unnest(ARRAY[
	'$.post.title like_regex "(?){255}{255}" flag "q"',
	'$.post.title == "a{255}{255} like_regex" && $.event like_regex "[\"/*]"']) rule;
-- wildcards, filters, subscripts and products
SELECT left(rule, 90) AS rule, pg_temp.connected(rule) FROM unnest(ARRAY[
	'$.** ? (exists(@.** ? (exists(@.**))))',
	'exists($.** ? (exists($.** ? ($.post.content like_regex "b"))))',
	'exists($.** ? ($.post.content like_regex "b"))',
	'$.** == $.**.**',
	'$[0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0] == 1',
	'$.post.content like_regex "a" || $.post.content like_regex "b" || $.post.content like_regex "c"',
	'$.post.keyvalue().key == "x"',
	'$.post.content.datetime("YYYY-MM-DD TMMonth TMMonth") == "x"',
	'1e60000 * $.post.upvotes > 1',
	'$.post.upvotes > 1' || repeat(' ', 1100) || '']) rule;

-- who may not connect is told so before a rule is tried out
SELECT integration_connect('nowhere', 'webhook', 'https://example.com/', rule => '$.post.content like_regex "a(.{250}){40}c"');
SET featul_integrations.user_id = 'nobody';
SELECT pg_temp.connected('$.post.content like_regex "a(.{250}){40}c"');
SET featul_integrations.user_id = 'olivia';

-- a rule that stands in the table all the same is never run; the others' is
SELECT message FROM integration_connect('rules', 'slack', 'https://hooks.slack.com/services/T/B/X', rule => '$.post.board == "Bugs"');
UPDATE featul_integrations.integration SET rule = '$.post.content like_regex "a(.{250}){40}c"' WHERE type = 'webhook' AND workspace_id = 'ru1';
\set VERBOSITY terse
INSERT INTO post (id, board_id, title, content, slug, author_id, status) VALUES ('ru-p', 'b', 'A', 'B', 'a', 'olivia', 'published');
SELECT type, event FROM featul_integrations.deliveries WHERE workspace_id = 'ru1';

SELECT integration_detach();
DROP SCHEMA rules_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'ru1';
