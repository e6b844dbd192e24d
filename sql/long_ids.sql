--
-- Ids longer than an entry of an index takes: the application's statements never fail for them.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA long_ids_test;
SET search_path = long_ids_test, public;
-- what does not compress
CREATE FUNCTION long(n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT left(string_agg(encode(sha512(i::text::bytea), 'base64'), ''), n) FROM generate_series(1, n / 88 + 1) i $$;
CREATE TABLE workspace (id text, name text, slug text, plan text, owner_id text);
CREATE TABLE workspace_member (workspace_id text, user_id text, role text);
CREATE TABLE board (id text, workspace_id text, name text);
CREATE TABLE post (id text, board_id text, title text, content text, status text, visible boolean);
INSERT INTO workspace VALUES (long(1024), 'Long', 'long', 'starter', 'olivia'), (long(2690), 'Longer', 'longer', 'starter', 'olivia');
INSERT INTO board VALUES (long(3000), long(1024), 'Board');
SELECT count(*) FROM integration_attach('long_ids_test', '{"post": {"columns": {"visible": "visible"}}}');
SET featul_integrations.user_id = 'olivia';
SELECT message FROM integration_connect('long', 'webhook', 'https://example.com/', boards => ARRAY[long(3000)]);
SELECT message FROM integration_connect('longer', 'webhook', 'https://example.com/');
INSERT INTO post VALUES (long(12000), long(3000), 'T', 'c', 'open', true);
UPDATE post SET visible = false;
UPDATE post SET visible = true, status = 'done';
UPDATE post SET status = 'open';
SELECT name, length(post_id), length(workspace_id) FROM featul_integrations.event WHERE workspace_id = long(1024) ORDER BY id;
SELECT count(*) FROM integration_deliveries('long');
SELECT length(boards[1]) FROM integration_list('long');
-- an id that grows too long is a warning, and not what fails the statement
UPDATE workspace SET id = long(2000) WHERE slug = 'long';
UPDATE workspace SET id = long(1024) WHERE slug = 'long';
DELETE FROM workspace WHERE slug = 'long';
SELECT count(*) FROM featul_integrations.integration WHERE length(workspace_id) > 500;

SELECT integration_detach();
DROP SCHEMA long_ids_test CASCADE;
DELETE FROM featul_integrations.binding;
