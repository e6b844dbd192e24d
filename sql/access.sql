--
-- Who may do what: the acting user, and the order of the checks.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS featul_integrations;
CREATE EXTENSION featul_integrations;

-- only the line that an application sees: SQLSTATE and message
CREATE FUNCTION pg_temp.said(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT string_agg(r::text, '';'') FROM ' || call || ' r' INTO result;
	RETURN coalesce('ok: ' || result, 'ok');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;

-- nothing ever attached: the API says so, after it knows who calls
SELECT pg_temp.said('integration_list(''acme'')');
SET featul_integrations.user_id = 'olivia';
SELECT pg_temp.said('integration_list(''acme'')');
SELECT pg_temp.said('integration_list(NULL)');
RESET featul_integrations.user_id;

CREATE SCHEMA access_test;
SET search_path = access_test, public;
\set ECHO none
\i :tables
\set ECHO all
ALTER TABLE workspace ALTER plan DROP NOT NULL;
INSERT INTO "user" (id, name, email, email_verified)
SELECT u, initcap(u), u || '@example.com', true
FROM unnest('{olivia,adam,ada,ida,mina,vera,sam}'::text[]) u;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES
	('w1', 'Acme', 'acme', 'professional', 'olivia', 'acme.example.com'),
	('w2', 'Start', 'start', 'starter', 'sam', 'start.example.com'),
	('w3', 'Free', 'free', 'free', 'olivia', 'free.example.com'),
	('w4', 'Odd', 'odd', NULL, 'olivia', 'odd.example.com');
INSERT INTO workspace_member (id, workspace_id, user_id, role, is_active) VALUES
	(gen_random_uuid(), 'w1', 'adam', 'admin', true),
	(gen_random_uuid(), 'w1', 'ada', 'admin', NULL),
	(gen_random_uuid(), 'w1', 'ida', 'admin', false),
	(gen_random_uuid(), 'w1', 'mina', 'member', true),
	(gen_random_uuid(), 'w1', 'vera', 'viewer', true);
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES (gen_random_uuid(), 'w1', 'Ideas', 'ideas', 'olivia');
SELECT count(*) FROM integration_attach('access_test');

-- every function, by every kind of user
CREATE TEMP TABLE call (n serial, call text);
GRANT SELECT ON call TO PUBLIC;
INSERT INTO call (call) VALUES
	('integration_list(''acme'')'),
	('integration_connect(''acme'', ''slack'', ''https://hooks.slack.com/services/T/B/x'')'),
	('integration_test(''acme'', ''discord'')'),
	('integration_secret(''acme'')'),
	('integration_rotate_secret(''acme'')'),
	('left(integration_preview(''acme'', ''webhook'', ''integration.test''), 10)'),
	('integration_deliveries(''acme'')'),
	('integration_message(''acme'', 1)'),
	('integration_redeliver(''acme'', 1)'),
	('integration_recover(''acme'', ''discord'', ''2020-01-01Z'')'),
	('integration_disconnect(''acme'', ''discord'')');

CREATE FUNCTION pg_temp.said_as(who text, call text) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('featul_integrations.user_id', who, false);
	SELECT pg_temp.said(call);
$$;

SELECT replace(split_part(call, '(', 1), 'left', 'integration_preview') AS call, who, pg_temp.said_as(who, call)
FROM call, unnest('{"",sam,mina,vera,ida}'::text[]) WITH ORDINALITY AS u (who, m)
WHERE call !~ 'list'
ORDER BY n, m;
SELECT who, pg_temp.said_as(who, 'integration_list(''acme'')')
FROM unnest('{"",sam,mina,vera,ida,adam,ada,olivia}'::text[]) who;
SELECT replace(split_part(call, '(', 1), 'left', 'integration_preview') AS call, pg_temp.said_as('ada', call) FROM call WHERE call !~ 'connect' ORDER BY n;

-- member.can_manage decides in place of the role, where it is bound; NULL is no, and is_active counts as well
SELECT count(*) FROM integration_attach(bindings => '{"member": {"columns": {"can_manage": "(permissions ->> ''canManageWorkspace'')::boolean"}}}');
UPDATE workspace_member SET permissions = '{"canManageWorkspace": true}' WHERE user_id IN ('mina', 'ida');
UPDATE workspace_member SET permissions = '{}' WHERE user_id = 'ada';
SELECT who, pg_temp.said_as(who, 'integration_secret(''acme'')')
FROM unnest('{olivia,adam,ada,ida,mina,vera}'::text[]) who;
SELECT count(*) FROM integration_attach(bindings => '{"member": null}');

-- the order of the checks: 401, 400, 404 workspace, 403 role, 403 plan, 404 integration
SELECT pg_temp.said_as('', 'integration_test(NULL, ''x'')');
SELECT pg_temp.said_as('mina', 'integration_test(''nowhere'', ''x'')');
SELECT pg_temp.said_as('mina', 'integration_test(''nowhere'', ''slack'')');
SELECT pg_temp.said_as('mina', 'integration_test(''free'', ''slack'')');
SELECT pg_temp.said_as('olivia', 'integration_test(''free'', ''slack'')');
SELECT pg_temp.said_as('olivia', 'integration_test(''acme'', ''slack'')');

-- the plan: connect, test, redeliver and recover; one that is NULL is free
SELECT replace(split_part(call, '(', 1), 'left', 'integration_preview') AS call, pg_temp.said_as('olivia', replace(call, 'acme', 'free')) FROM call ORDER BY n;
SELECT pg_temp.said_as('olivia', 'integration_connect(''odd'', ''slack'', ''https://hooks.slack.com/services/T/B/x'')');
SELECT pg_temp.said_as('sam', 'integration_connect(''start'', ''slack'', ''https://hooks.slack.com/services/T/B/x'')');
SELECT pg_temp.said_as('sam', 'integration_disconnect(''start'', ''slack'')');

-- an operator needs neither user nor role, but the plan
RESET featul_integrations.user_id;
SET featul_integrations.operator = on;
SELECT pg_temp.said('integration_list(''acme'')');
SELECT pg_temp.said('integration_list(''nowhere'')');
SELECT pg_temp.said('integration_test(''free'', ''slack'')');
RESET featul_integrations.operator;

-- the claims of PostgREST: where user_id is empty
SELECT claims, set_config('request.jwt.claims', claims, false) = claims AS set,
	pg_temp.said('integration_deliveries(''acme'')')
FROM unnest(ARRAY[
	'{"sub": "olivia", "role": "authenticated"}',
	'{"sub": "ad\u0061m"}',
	'{"sub": "mina"}',
	'{"sub": ""}',
	'{"sub": null}',
	'{"sub": 7}',
	'{"sub": ["olivia"]}',
	'{"role": "anon"}',
	'["sub", "olivia"]',
	'"olivia"',
	'olivia',
	'{"sub": "olivia"',
	'{"sub": "\u0000"}',
	'']) claims;
SELECT set_config('request.jwt.claims', repeat('[', 200000), false) <> '' AS set, pg_temp.said('integration_list(''acme'')');
SET request.jwt.claims = '{"sub": "mina"}';
SELECT pg_temp.said_as('olivia', 'integration_list(''acme'')');
RESET request.jwt.claims;

-- nothing for PUBLIC; one plain GRANT opens the API; operator is a superuser's
CREATE ROLE regress_featul_app;
GRANT USAGE ON SCHEMA access_test TO regress_featul_app;
-- nobody acts: a superuser is told of their way, the application of its own
RESET featul_integrations.user_id;
SELECT * FROM integration_list('acme');
GRANT EXECUTE ON FUNCTION integration_list TO regress_featul_app;
SET ROLE regress_featul_app;
SELECT * FROM integration_list('acme');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION integration_list FROM regress_featul_app;
SET ROLE regress_featul_app;
SET featul_integrations.user_id = 'olivia';
SELECT pg_temp.said(call) FROM call ORDER BY n;
SELECT pg_temp.said('integration_attach()');
SELECT pg_temp.said('integration_import()');
SELECT pg_temp.said('featul_integrations.integration');
\set VERBOSITY sqlstate
SET featul_integrations.operator = on;
\set VERBOSITY default
RESET ROLE;
GRANT EXECUTE ON FUNCTION integration_list, integration_connect, integration_disconnect, integration_test,
	integration_secret, integration_rotate_secret, integration_preview, integration_deliveries,
	integration_redeliver, integration_recover TO regress_featul_app;
SET ROLE regress_featul_app;
SELECT pg_temp.said(call) FROM call WHERE call ~ '(list|deliveries|preview)' ORDER BY n;
SELECT pg_temp.said('integration_connect(''acme'', ''discord'', ''https://discord.com/api/webhooks/1/x'')');
SELECT pg_temp.said('integration_disconnect(''acme'', ''discord'')');
SELECT pg_temp.said('integration_import()');

-- what the caller sets does not reach into the functions
CREATE TEMP TABLE integration (id uuid, workspace_id text, type text, webhook_url text);
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'shadowed' $$;
CREATE OPERATOR pg_temp.= (leftarg = text, rightarg = text, function = texteq);
SET search_path = pg_temp, featul_integrations, access_test, public;
SET row_security = off;
SELECT pg_temp.said('public.integration_list(''acme'')');
SET featul_integrations.user_id = 'mina';
SELECT pg_temp.said('public.integration_list(''acme'')');

RESET ROLE;
RESET search_path;
RESET row_security;
RESET featul_integrations.user_id;
SET client_min_messages = error;
SELECT integration_detach();
DROP SCHEMA access_test CASCADE;
DROP OWNED BY regress_featul_app;
DROP ROLE regress_featul_app;
