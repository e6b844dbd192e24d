--
-- Settings refuse what cannot work when they are set.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS featul_integrations;

-- names and defaults: the contract's table
SELECT name, boot_val, unit, context FROM pg_settings WHERE name ~ '^featul_integrations\.' ORDER BY name;

-- an unknown one is no placeholder
SET featul_integrations.nonsense = 1;

-- allowed_networks
ALTER SYSTEM SET featul_integrations.allowed_networks = '10.0.0.0/33';
ALTER SYSTEM SET featul_integrations.allowed_networks = '10.0.0.0/8, example.com';
ALTER SYSTEM SET featul_integrations.allowed_networks = '10.0.0.0/8,,fd00::/8';
ALTER SYSTEM SET featul_integrations.allowed_networks = 'fd00::/129';
ALTER SYSTEM SET featul_integrations.allowed_networks = '0x0A00000001';

-- connect_to: curl's own syntax
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com';
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com:443:127.0.0.1';
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com:443:127.0.0.1:99999';
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com:0:127.0.0.1:443';
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com:443:[::1]:443,';
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com:443:[::1:443';

-- ca_file
ALTER SYSTEM SET featul_integrations.ca_file = '/nonexistent/ca.pem';
ALTER SYSTEM SET featul_integrations.ca_file = 'PG_VERSION';
ALTER SYSTEM SET featul_integrations.ca_file = 'base';

-- proxy
ALTER SYSTEM SET featul_integrations.proxy = 'ftp://proxy.example.com';
ALTER SYSTEM SET featul_integrations.proxy = 'http://';
ALTER SYSTEM SET featul_integrations.proxy = 'proxy.example.com:http';

-- post_url
ALTER SYSTEM SET featul_integrations.post_url = 'https://example.com/{workspace}/{board}';
ALTER SYSTEM SET featul_integrations.post_url = 'https://example.com/{post';
ALTER SYSTEM SET featul_integrations.post_url = 'https://example.com/post}';
ALTER SYSTEM SET featul_integrations.post_url = '/posts/{post}';
ALTER SYSTEM SET featul_integrations.post_url = 'javascript:alert(1)//{post}';
ALTER SYSTEM SET featul_integrations.post_url = 'https://example.com/a b/{post}';
ALTER SYSTEM SET featul_integrations.post_url = '';

-- traceparent: any user, as W3C's trace context has it
SET featul_integrations.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
SET featul_integrations.traceparent = '';
SET featul_integrations.traceparent = '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01';
\set VERBOSITY sqlstate
SET featul_integrations.traceparent = '00-00000000000000000000000000000000-b7ad6b7169203331-01';
SET featul_integrations.traceparent = '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01';
SET featul_integrations.traceparent = '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
SET featul_integrations.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more';
SET featul_integrations.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0';
SET featul_integrations.traceparent = E'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nx: y';
SET featul_integrations.traceparent = '00-';
\set VERBOSITY default

-- bounds
\set VERBOSITY sqlstate
ALTER SYSTEM SET featul_integrations.request_timeout = 0;
ALTER SYSTEM SET featul_integrations.max_attempts = 0;
ALTER SYSTEM SET featul_integrations.max_in_flight = 0;
ALTER SYSTEM SET featul_integrations.retention = '1s';
\set VERBOSITY default

-- what is fine (none of it takes effect: nothing is reloaded)
ALTER SYSTEM SET featul_integrations.allowed_networks = '10.0.0.0/8, fd00::/8,127.0.0.1';
ALTER SYSTEM SET featul_integrations.connect_to = 'example.com:443:127.0.0.1:8443, ::[::1]:8443, a.example::b.example:';
ALTER SYSTEM SET featul_integrations.proxy = 'proxy.example.com:3128';
ALTER SYSTEM SET featul_integrations.proxy = 'socks5h://user:password@proxy.example.com:1080';
ALTER SYSTEM SET featul_integrations.post_url = 'http://{workspace}.example.com/p?slug={post}';
ALTER SYSTEM RESET featul_integrations.allowed_networks;
ALTER SYSTEM RESET featul_integrations.connect_to;
ALTER SYSTEM RESET featul_integrations.proxy;
ALTER SYSTEM RESET featul_integrations.post_url;

-- who may set what
CREATE ROLE regress_featul_user;
SET ROLE regress_featul_user;
SET featul_integrations.user_id = 'someone';
SET featul_integrations.capture = off;
SET featul_integrations.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
\set VERBOSITY sqlstate
SET featul_integrations.operator = on;
SET featul_integrations.delivery = off;
SHOW featul_integrations.proxy;
\set VERBOSITY default
RESET ROLE;
DROP ROLE regress_featul_user;
