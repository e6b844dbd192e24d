-- The application's own settings page, whose table workspace_integration is replicated,
-- goes on being where integrations are connected and disconnected.
\set ON_ERROR_STOP on
\if :{?schema}
\else
	\set schema public
\endif

-- what is being copied is not there yet
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM featul_integrations.stat_subscription WHERE state <> 'streaming') LOOP
		PERFORM pg_sleep(0.2);
	END LOOP;
END
$$;
SELECT workspace_id, type, imported, reason FROM integration_import(:'schema', follow => true);
