--
-- Which URLs integration_connect() takes.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set tables :abs_srcdir '/test/featul.sql'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
CREATE SCHEMA urls_test;
SET search_path = urls_test, public;
\set ECHO none
\i :tables
\set ECHO all
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'Olivia', 'olivia@example.com', true);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('w1', 'Acme', 'acme', 'starter', 'olivia', 'acme.example.com');
SELECT count(*) FROM integration_attach('urls_test');
SET featul_integrations.user_id = 'olivia';

-- what integration_connect() says: nothing, or SQLSTATE and message
CREATE FUNCTION pg_temp.refused(type text, url text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM integration_connect('acme', type, url);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;

\pset null '-'
\a

-- slack
SELECT url, pg_temp.refused('slack', url) FROM unnest(ARRAY[
	'https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX',
	'HTTPS://Hooks.Slack.COM/services/T0/B0/x',
	'https://hooks.slack.com:443/services/T0/B0/x',
	'https://hooks.slack-gov.com/services/T0/B0/x',
	'https://hooks.slack.com:8443/services/T0/B0/x',
	'http://hooks.slack.com/services/T0/B0/x',
	'https://hooks.slack.com/services/',
	'https://hooks.slack.com/services/T0//x',
	'https://hooks.slack.com/services/T0/B0/x/',
	'https://hooks.slack.com/services/../x',
	'https://hooks.slack.com/services/%2e%2e/x',
	'https://hooks.slack.com/services/T0/B0/x?a=1',
	'https://hooks.slack.com/services/T0/B0/x?',
	'https://hooks.slack.com/services/T0/B0/x#y',
	'https://hooks.slack.com/workflows/T0/B0/x',
	'https://hooks.slack.com/triggers/T0/B0/x',
	'https://hooks.slack.com/',
	'https://hooks.slack.com',
	'https://hooks.slack.com./services/T0/B0/x',
	'https://hooks.slack.com.example.com/services/T0/B0/x',
	'https://slack.com/services/T0/B0/x',
	'https://user@hooks.slack.com/services/T0/B0/x',
	'https://example.com\@hooks.slack.com/services/T0/B0/x',
	'https://discord.com/api/webhooks/1/x']) url;

-- teams
SELECT url, pg_temp.refused('teams', url) FROM unnest(ARRAY[
	'https://prod-12.westeurope.logic.azure.com:443/workflows/0af1/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=x_Y-z',
	'https://default1a2b.3c.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/0af1/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=x_Y-z',
	'https://default1a2b.3c.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/0af1/triggers/manual/paths/invoke?sig=x',
	'HTTPS://Prod-12.WestEurope.Logic.Azure.COM/workflows/0af1?sig=x',
	'https://logic.azure.com/workflows/0af1?sig=x',
	'https://environment.api.powerplatform.com/powerautomate/x?sig=x',
	'https://a.environment.api.powerplatform.com/workflows/x?sig=x',
	'https://a.logic.azure.com/powerautomate/x?sig=x',
	'https://a.logic.azure.com/workflows/?sig=x',
	'https://a.logic.azure.com/workflows?sig=x',
	'https://a.logic.azure.com:8443/workflows/x?sig=x',
	'http://a.logic.azure.com/workflows/x?sig=x',
	'https://a.logic.azure.com.example.com/workflows/x?sig=x',
	'https://xlogic.azure.com/workflows/x?sig=x',
	'https://example.com/.logic.azure.com/workflows/x?sig=x',
	'https://user@a.logic.azure.com/workflows/x?sig=x',
	'https://a.logic.azure.com/workflows/x?sig=x#y',
	'https://acme.webhook.office.com/webhookb2/x']) url;

-- discord
SELECT url, pg_temp.refused('discord', url) FROM unnest(ARRAY[
	'https://discord.com/api/webhooks/123456789012345678/abc-DEF_123',
	'https://discordapp.com/api/webhooks/1/x',
	'https://ptb.discord.com/api/webhooks/1/x',
	'https://canary.discord.com/api/v10/webhooks/1/x',
	'https://discord.com/api/v9/webhooks/1/x?thread_id=42',
	'https://DISCORD.com/api/webhooks/1/x',
	'https://discord.com/api/webhooks/1/x/slack',
	'https://discord.com/api/webhooks/1/x/',
	'https://discord.com/api/webhooks/1/',
	'https://discord.com/api/webhooks/x/1',
	'https://discord.com/api/v/webhooks/1/x',
	'https://discord.com/api/webhooks/1/..',
	'https://discord.com/api/webhooks/1/x?wait=true',
	'https://discord.com/api/webhooks/1/x?thread_id=42&wait=true',
	'https://discord.com/api/webhooks/1/x?thread_id=',
	'https://discord.com:444/api/webhooks/1/x',
	'https://evil.discord.com/api/webhooks/1/x',
	'https://discord.com.evil.example/api/webhooks/1/x',
	'https://hooks.slack.com/services/T0/B0/x']) url;

-- webhook: any public https URL
SELECT url, pg_temp.refused('webhook', url) FROM unnest(ARRAY[
	'https://example.com',
	'https://example.com:8443/hook?token=abc&x=%20',
	'https://EXAMPLE.com./hook',
	'https://xn--bcher-kva.example/',
	'https://8.8.8.8/hook',
	'https://[2606:4700::1111]/hook',
	'https://example.com/a%0Ab',
	'',
	'example.com',
	'//example.com/',
	'ftp://example.com/',
	'javascript:alert(1)',
	'http://example.com/',
	'https:/example.com/',
	'https:///example.com/',
	'https://',
	'https://?x',
	'https://:443/',
	'https://example.com:0/',
	'https://example.com:65536/',
	'https://example.com:x/',
	'https://example.com#',
	'https://@example.com/',
	'https://user:password@example.com/',
	'https://exa mple.com/',
	'https://example.com/ ',
	E'https://example.com/\t',
	E'https://example.com/\n',
	E'https://example.com/\x7f',
	E'https://example.com/\r\nX-Header: y',
	'https://bücher.example/',
	'https://exаmple.com/',
	'https://example.com/ü',
	'https://example。com/',
	'https://%65xample.com/',
	'https://example.com%2f@evil.example/',
	'https://exa<mple>.com/']) url;

-- addresses that are not public, in every spelling
SELECT url, pg_temp.refused('webhook', url) FROM unnest(ARRAY[
	'https://localhost/', 'https://LOCALHOST:8443/', 'https://localhost./', 'https://a.localhost/',
	'https://127.0.0.1/', 'https://127.0.0.1./', 'https://127.1/', 'https://2130706433/', 'https://0x7f000001/',
	'https://0x7f.0.0.1/', 'https://0177.0.0.1/', 'https://017700000001/', 'https://0/', 'https://0.0.0.0/',
	'https://10.1.2.3/', 'https://172.16.0.1/', 'https://192.168.1.1/', 'https://100.64.0.1/',
	'https://169.254.169.254/latest/meta-data/', 'https://224.0.0.1/', 'https://255.255.255.255/',
	'https://192.0.2.1/', 'https://198.18.0.1/', 'https://198.51.100.1/', 'https://203.0.113.1/',
	'https://[::1]/', 'https://[::]/', 'https://[::ffff:127.0.0.1]/', 'https://[::ffff:7f00:1]/',
	'https://[::127.0.0.1]/', 'https://[fe80::1]/', 'https://[fe80::1%25eth0]/', 'https://[fd00::1]/',
	'https://[fec0::1]/', 'https://[ff02::1]/', 'https://[2001:db8::1]/', 'https://[64:ff9b::7f00:1]/',
	'https://[2002:7f00:1::]/', 'https://[2001:0:7f00:1::]/', 'https://[0:0:0:0:0:ffff:10.0.0.1]/',
	'https://１２７.0.0.1/', 'https://127。0。0。1/', 'https://%31%32%37.0.0.1/', 'https://①②⑦.0.0.1/']) url;

\a
-- 2,048 bytes and no more
SELECT pg_temp.refused('webhook', rpad('https://example.com/', 2048, 'x'));
SELECT pg_temp.refused('webhook', rpad('https://example.com/', 2049, 'x'));
SELECT pg_temp.refused('webhook', rpad('https://example.com/', 2000000, 'x'));

-- hints say what to do, and no message repeats what is secret
\set VERBOSITY default
SELECT * FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/workflows/T0/B0/secret');
SELECT * FROM integration_connect('acme', 'slack', 'https://hooks.slack.com/services/secret/');
SELECT * FROM integration_connect('acme', 'discord', 'https://discord.com/api/webhooks/1/secret?wait=true');
SELECT * FROM integration_connect('acme', 'webhook', 'https://user:secret@example.com/');
SELECT * FROM integration_connect('acme', 'webhook', 'https://10.0.0.1/secret');

RESET featul_integrations.user_id;
SELECT integration_detach();
SET client_min_messages = error;
DROP SCHEMA urls_test CASCADE;
DELETE FROM featul_integrations.integration WHERE workspace_id = 'w1';
