--
-- What Slack, Discord, Teams and a webhook are sent: integration_preview() shows the very bodies.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA messages_test;
SET search_path = messages_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES
	('olivia', 'Olivia', 'olivia@example.com', true),
	('mina', 'Mina', 'mina@example.com', true),
	('adam', 'Adam', 'adam@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('m1', 'Acme & <Co>', 'acme', 'starter', 'olivia', 'acme.example.com');
INSERT INTO workspace_member (id, workspace_id, user_id, role) VALUES (gen_random_uuid(), 'm1', 'adam', 'admin');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b1', 'm1', 'Ideas', 'ideas', 'olivia');
SELECT count(*) FROM integration_attach('messages_test');
SET featul_integrations.user_id = 'olivia';
\pset null '-'

-- every event as a sample, in full
\a
SELECT event, integration_preview('acme', 'webhook', event)
FROM unnest('{post.created,post.status_changed,post.pinned,post.featured,post.locked,post.upvoted,post.milestone,comment.created,comment.mention,comment.reaction,integration.test}'::text[]) event;
SELECT event, integration_preview('acme', 'slack', event)
FROM unnest('{post.created,post.status_changed,post.pinned,post.featured,post.locked,post.upvoted,post.milestone,comment.created,comment.mention,comment.reaction,integration.test}'::text[]) event;
SELECT event, integration_preview('acme', 'teams', event)
FROM unnest('{post.created,post.status_changed,post.pinned,post.featured,post.locked,post.upvoted,post.milestone,comment.created,comment.mention,comment.reaction,integration.test}'::text[]) event;
SELECT event, regexp_replace(integration_preview('acme', 'discord', event), '"timestamp":"[^"]+Z"', '"timestamp":"..."')
FROM unnest('{post.created,post.status_changed,post.pinned,post.featured,post.locked,post.upvoted,post.milestone,comment.created,comment.mention,comment.reaction,integration.test}'::text[]) event;
\a

-- the latest post instead of the sample; status names come from the board
INSERT INTO post (id, board_id, title, content, slug, author_id, roadmap_status)
VALUES ('p1', 'b1', 'Dark mode', 'My eyes hurt.', 'dark-mode', 'mina', 'progress');
SELECT jsonb_pretty(integration_preview('acme', 'slack', 'post.created')::jsonb);
SELECT jsonb_pretty(integration_preview('acme', 'discord', 'post.created')::jsonb #- '{embeds,0,timestamp}');

-- user text is text: Slack's control characters, Discord's Markdown, pings, line breaks
UPDATE post SET
	title = E'<!channel> & <https://evil.example|click>\n*bold* _it_ ~no~ `code` @everyone',
	content = E'# Title\n\n> quote <@123> [link](https://evil.example) ||spoiler|| \\ 1. @here :smile:\t"quoted"',
	slug = 'a b/c?d#e&f|g<h>ü',
	roadmap_status = 'Some <b>status</b> @here'
WHERE id = 'p1';
SELECT b FROM jsonb_array_elements(integration_preview('acme', 'slack', 'post.created')::jsonb -> 'blocks') b;
SELECT integration_preview('acme', 'slack', 'post.created')::jsonb ->> 'text' AS fallback;
SELECT key, value FROM jsonb_each(integration_preview('acme', 'discord', 'post.created')::jsonb #> '{embeds,0}') WHERE key <> 'timestamp';
SELECT b FROM jsonb_path_query(integration_preview('acme', 'teams', 'post.created')::jsonb, '$.attachments[0].content.body[*]') b;

CREATE FUNCTION pg_temp.described(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET content = $1;
	RETURN integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,description}';
END
$$;

-- what starts a line could be a heading or a list
ALTER TABLE post ALTER slug DROP NOT NULL;
UPDATE post SET slug = NULL, content = '- item';
SELECT e ->> 'description' AS description, e ->> 'url' AS url FROM CAST(integration_preview('acme', 'discord', 'post.created')::jsonb #> '{embeds,0}' AS jsonb) e;
UPDATE post SET content = '12. item (1. not)';
SELECT integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,description}' AS description;

-- Slack formats no label of a link, but a text beside it: a title without a link is plain text
UPDATE post SET title = '*bold* _it_', content = '-';
SELECT integration_preview('acme', 'slack', 'post.created')::jsonb #> '{blocks,1,text}' AS title;
UPDATE post SET slug = 't(1)';
SELECT integration_preview('acme', 'slack', 'post.created')::jsonb #> '{blocks,1,text}' AS title;
SELECT integration_preview('acme', 'teams', 'post.created')::jsonb #>> '{attachments,0,content,body,1,text}' AS title;

-- bare URLs in Discord are links, and stay what they are; a cut never goes through one
SELECT pg_temp.described(text) AS description FROM unnest(ARRAY[
	'see https://example.com/my_file_name.md, or (http://x.example/a*b*c).',
	'https://a.example/_x_ _y_ <https://b.example/_z_>',
	U&'https://a.example/_x_\3000_y_ https:// http://',
	'xhttps://a.example/_x_ [https://a.example/](https://b.example/)']) AS text;
UPDATE post SET content = repeat('x', 280) || ' https://example.com/my_file_name.md';
SELECT type, right(text, 5) AS ends FROM (VALUES
	('discord', integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,description}'),
	('teams', integration_preview('acme', 'teams', 'post.created')::jsonb #>> '{attachments,0,content,body,2,text}')) AS m (type, text);

-- what opens a line stays closed, whatever invisible stands before it, and on every line
\pset format unaligned
SELECT pg_temp.described(text) AS description FROM unnest(ARRAY[
	U&'\202E# heading', U&'\200B\FEFF# heading', U&'\2066- item', E'text\n  # heading\n- item\n12. item\n1) item',
	U&'a\2028# heading\2029- item\0085+ item']) AS text;
\pset format aligned

-- line breaks are kept, others' too, two at most; other white space is folded
UPDATE post SET content = E'Steps:\r\n- open\r\n-   look \t here\n\n\n\n\nThanks\u2028bye\n';
SELECT integration_preview('acme', 'slack', 'post.created')::jsonb #> '{blocks,2,text,text}' AS slack,
	integration_preview('acme', 'discord', 'post.created')::jsonb #> '{embeds,0,description}' AS discord,
	integration_preview('acme', 'teams', 'post.created')::jsonb #> '{attachments,0,content,body,2,text}' AS teams;

-- separators of lines do not break a link's label; no name turns our own words around
UPDATE post SET title = U&'one\2028two\2029three\0085four', slug = 't', author_id = 'mina', content = '-';
UPDATE "user" SET name = U&'\202Eanim\2067\2068' WHERE id = 'mina';
SELECT integration_preview('acme', 'slack', 'post.created')::jsonb #>> '{blocks,1,text,text}' AS title;
SELECT integration_preview('acme', type, 'post.created') ~ U&'[\202A-\202E\2066-\2069]' AS turns, integration_preview('acme', type, 'post.created') ~ 'anim' AS named
FROM unnest('{slack,discord,teams}'::text[]) type;
UPDATE "user" SET name = 'Mina' WHERE id = 'mina';

-- what cannot be seen is no title
UPDATE post SET title = t FROM (SELECT string_agg(chr(c), '') AS t FROM unnest(ARRAY[
	x'85'::int, x'1680'::int, x'34F'::int, x'61C'::int, x'115F'::int, x'FE0F'::int, x'FFA0'::int, x'3164'::int, x'AD'::int,
	x'180E'::int, x'2060'::int, x'2800'::int, x'E0020'::int, x'E0100'::int, x'FFF9'::int, x'1D173'::int, x'202E'::int]) c) x;
SELECT integration_preview('acme', 'slack', 'post.created')::jsonb #>> '{blocks,1,text,text}' AS slack,
	integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,title}' AS discord,
	integration_preview('acme', 'teams', 'post.created')::jsonb #>> '{attachments,0,content,body,1,text}' AS teams;
-- what joins characters stays between them
UPDATE post SET title = U&'\+01F469\200D\+01F4BB \2764\FE0F';
SELECT integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,title}' = title AS same FROM post;

-- the post's image, where everybody could load it; a comment without words says so
UPDATE post SET title = 'T', content = '', image = 'https://img.example/a b.png';
SELECT integration_preview('acme', 'webhook', 'post.created')::jsonb #> '{post,image}' AS image,
	integration_preview('acme', 'slack', 'post.created') ~ 'image_url' AS slack, integration_preview('acme', 'discord', 'post.created') ~ 'thumbnail' AS discord;
UPDATE post SET image = 'http://img.example/a.png';
SELECT integration_preview('acme', 'slack', 'post.created') ~ 'image_url' AS slack, integration_preview('acme', 'discord', 'post.created') ~ 'thumbnail' AS discord;
UPDATE post SET image = 'data:image/png;base64,' || repeat('A', 5000);
SELECT integration_preview('acme', 'webhook', 'post.created')::jsonb #> '{post,image}' AS image;
UPDATE post SET image = 'https://img.example/a.png?w=1&h=2';
SELECT b FROM jsonb_array_elements(integration_preview('acme', 'slack', 'post.created')::jsonb -> 'blocks') b;
SELECT integration_preview('acme', 'discord', 'post.created')::jsonb #> '{embeds,0,thumbnail}' AS discord;
SELECT b FROM jsonb_path_query(integration_preview('acme', 'teams', 'post.created')::jsonb, '$.attachments[0].content.body[*]') b;
SELECT right(integration_preview('acme', 'webhook', 'post.created'), 46) AS webhook;
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c0', 'p1', '', 'adam');
SELECT integration_preview('acme', 'slack', 'comment.created')::jsonb #>> '{blocks,2,text,text}' AS slack,
	integration_preview('acme', 'slack', 'comment.created') ~ 'image_url' AS images;
DELETE FROM comment;
UPDATE post SET image = NULL;

-- a post without a status has the first of its board's
UPDATE post SET roadmap_status = NULL;
SELECT integration_preview('acme', 'webhook', 'post.created')::jsonb #> '{post,status}' AS webhook,
	jsonb_path_query_first(integration_preview('acme', 'discord', 'post.created')::jsonb, '$.embeds[0].fields[*] ? (@.name == "Status").value') AS discord;

-- Slack's and Discord's own limits, with whatever takes most room there
CREATE FUNCTION pg_temp.utf16(text) RETURNS integer LANGUAGE sql AS
	$$ SELECT coalesce(sum(CASE WHEN ascii(c) > 65535 THEN 2 ELSE 1 END), 0)::integer FROM regexp_split_to_table($1, '') c WHERE c <> '' $$;
CREATE FUNCTION pg_temp.texts(body jsonb) RETURNS TABLE (kind text, value text) LANGUAGE sql AS $$
	SELECT coalesce(e ->> 'type', 'embed') || '.' || k, v #>> '{}'
	FROM jsonb_path_query(body, 'strict $.**') e, jsonb_each(CASE WHEN jsonb_typeof(e) = 'object' THEN e ELSE '{}' END) AS o (k, v)
	WHERE jsonb_typeof(v) = 'string'
$$;
CREATE TABLE nasty (n serial, c text);
INSERT INTO nasty (c) VALUES ('x'), ('&'), ('<'), ('*'), ('ü'), (U&'\+01F600'), (U&'e\0301'), ('"'), ('\'), (U&'\200B'), (U&'\0001');
CREATE FUNCTION pg_temp.worst(c text, type text) RETURNS TABLE (kind text, code_points integer, utf16 integer) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE post SET title = repeat(c, 20000), content = repeat(c, 20000), slug = left(repeat(c, 400), 400), roadmap_status = repeat(c, 3000);
	UPDATE board SET name = repeat(c, 3000);
	UPDATE workspace SET name = repeat(c, 3000);
	UPDATE "user" SET name = repeat(c, 3000);
	RETURN QUERY SELECT t.kind, max(char_length(t.value)), max(pg_temp.utf16(t.value))
		FROM pg_temp.texts(integration_preview('acme', type, 'post.created')::jsonb) t GROUP BY 1;
END
$$;
SELECT kind, max(utf16) AS longest, max(utf16) <= 3000 AS fits
FROM nasty, pg_temp.worst(c, 'slack') WHERE kind LIKE '%text.text' OR kind = 'mrkdwn.text' OR kind = 'embed.text' GROUP BY 1 ORDER BY 1;
SELECT max(pg_temp.utf16(integration_preview('acme', 'slack', event)::jsonb #>> '{blocks,0,text,text}')) <= 150 AS headers_fit
FROM unnest('{post.status_changed,comment.created,comment.mention,comment.reaction,post.upvoted}'::text[]) event;
SELECT kind, max(code_points) AS longest FROM nasty, pg_temp.worst(c, 'discord') GROUP BY 1 ORDER BY 1;
SELECT max(total) < 6000 AS fits_in_all
FROM nasty, LATERAL (SELECT sum(code_points) AS total FROM pg_temp.worst(c, 'discord')) t;
SELECT max(octet_length(integration_preview('acme', 'teams', 'post.created'))) <= 28 * 1024 AS fits_teams
FROM nasty, LATERAL (SELECT count(*) FROM pg_temp.worst(c, 'teams')) w;
-- (fields are counted above once each by their longest; three of them still fit)
SELECT n, max(octet_length(integration_preview('acme', 'webhook', 'post.created'))) <= 65536 AS fits,
	bool_and((integration_preview('acme', 'webhook', 'post.created')::jsonb #> '{post,truncated}') = 'true') AS truncated
FROM nasty, LATERAL (SELECT count(*) FROM pg_temp.worst(c || c || c || c || c, 'webhook')) w GROUP BY n ORDER BY n;

-- excerpts: 200 characters in Slack, 300 in Discord, the ellipsis included
UPDATE workspace SET name = 'Acme'; UPDATE board SET name = 'Ideas'; UPDATE "user" SET name = 'Mina';
UPDATE post SET title = 'T', slug = 't', roadmap_status = 'planned', content = repeat(U&'\+01F600', 250);
SELECT char_length(b #>> '{text,text}') AS slack, right(b #>> '{text,text}', 1) AS ends
FROM jsonb_path_query(integration_preview('acme', 'slack', 'post.created')::jsonb, '$.blocks[2]') b;
SELECT char_length(integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,description}') AS discord;
UPDATE post SET content = repeat('word ', 100);
SELECT char_length(integration_preview('acme', 'discord', 'post.created')::jsonb #>> '{embeds,0,description}') AS discord;
UPDATE post SET content = repeat('x', 200);
SELECT right(b #>> '{text,text}', 1) AS ends
FROM jsonb_path_query(integration_preview('acme', 'slack', 'post.created')::jsonb, '$.blocks[2]') b;

-- nothing empty is sent where a service wants text
UPDATE post SET title = U&' \200B\3000 ', content = E'\n \t', roadmap_status = NULL, slug = '', author_id = NULL;
UPDATE workspace SET name = '';
SELECT b FROM jsonb_array_elements(integration_preview('acme', 'slack', 'post.created')::jsonb -> 'blocks') b;
SELECT integration_preview('acme', 'discord', 'post.created')::jsonb #- '{embeds,0,timestamp}' #- '{embeds,0,color}' AS embed;
SELECT b FROM jsonb_path_query(integration_preview('acme', 'teams', 'post.created')::jsonb, '$.attachments[0].content.body[*]') b;

-- privacy: who is anonymous or hidden is so in every message
UPDATE workspace SET name = 'Acme';
UPDATE post SET title = 'T', author_id = 'mina', is_anonymous = true;
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c1', 'p1', 'I agree', 'adam');
SELECT type, integration_preview('acme', type, 'comment.created') ~ '(Anonymous)' AS anonymous,
	integration_preview('acme', type, 'comment.created') ~ '(mina@|adam@)' AS reveals
FROM unnest('{slack,discord,teams,webhook}'::text[]) type;
UPDATE board SET hide_public_member_identity = true;
SELECT type, integration_preview('acme', type, 'comment.created') ~ 'Member' AS member,
	integration_preview('acme', type, 'comment.created') ~ '(Mina|Adam|mina|adam)' AS reveals
FROM unnest('{slack,discord,teams,webhook}'::text[]) type;

RESET featul_integrations.user_id;
SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA messages_test CASCADE;
