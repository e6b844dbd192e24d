-- The node, when its tables are there (tables.sql); may be run again:
--
--     psql -d featul -v publisher='host=... dbname=... user=featul_node password=...' -f node.sql
--
-- shared_preload_libraries = 'featul_integrations' must be set before.
\set ON_ERROR_STOP on
\if :{?subscription}
\else
	\set subscription featul
\endif
\if :{?schema}
\else
	\set schema public
\endif

CREATE EXTENSION IF NOT EXISTS featul_integrations;

-- synchronous_commit: what an apply worker has not flushed a crash takes back, and a
-- delivery waits for that.  two_phase: a prepared transaction is nothing that has happened.
-- streaming: a large transaction is written down while it runs, and applied when it commits.
SELECT NOT EXISTS (SELECT FROM pg_subscription WHERE subname = :'subscription') AS is_new \gset
\if :is_new
	CREATE SUBSCRIPTION :"subscription" CONNECTION :'publisher' PUBLICATION featul_integrations
		WITH (synchronous_commit = on, two_phase = off, streaming = on);
\endif

-- what is looked up needs an index; so that is not warned of, but done
SET client_min_messages = error;
SELECT count(*) AS attached FROM integration_attach(:'schema') \gset
SELECT remedy FROM featul_integrations.replication_problems() WHERE remedy LIKE 'CREATE INDEX %' \gexec
RESET client_min_messages;

SELECT source, relation, events FROM integration_attach(:'schema');
