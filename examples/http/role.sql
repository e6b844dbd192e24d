-- The role that the service connects as: EXECUTE on the functions for applications, and nothing else.
-- Run it as a superuser in the database of the extension, then give the role a password (\password)
-- or an entry in pg_hba.conf:   psql -d DATABASE -f role.sql

CREATE ROLE integrations_http LOGIN CONNECTION LIMIT 50;
COMMENT ON ROLE integrations_http IS 'The HTTP service of featul_integrations.';

GRANT EXECUTE ON FUNCTION
    integration_list, integration_connect, integration_disconnect, integration_test,
    integration_deliveries, integration_message, integration_redeliver, integration_recover, integration_preview,
    integration_secret, integration_rotate_secret, integration_events
    TO integrations_http;
