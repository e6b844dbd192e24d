/* featul_integrations 1.0 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION featul_integrations" to load this file. \quit

-- CREATE EXTENSION runs this as a superuser with the target schema in front, where
-- others may have put functions and operators.  So nothing is looked up there; what
-- belongs there is named as @extschema@.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA featul_integrations;
COMMENT ON SCHEMA featul_integrations IS
'Tables, views and owner functions of the featul_integrations extension.';

-- ---------------------------------------------------------------------------
-- Configuration: what pg_dump carries along
-- ---------------------------------------------------------------------------

CREATE TABLE featul_integrations.integration (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	workspace_id text NOT NULL,
	type text NOT NULL,
	webhook_url text NOT NULL,
	secret text,
	previous_secret text,
	previous_secret_until timestamptz,
	events text[],
	boards text[],
	rule text,
	is_active boolean NOT NULL DEFAULT true,
	inactive_reason text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (workspace_id, type)
);
COMMENT ON TABLE featul_integrations.integration IS
'One row per connected integration: at most one of each type per workspace. Holds URLs and secrets; for the owner alone.';
COMMENT ON COLUMN featul_integrations.integration.workspace_id IS 'The application''s workspace id, as text.';
COMMENT ON COLUMN featul_integrations.integration.type IS 'slack, discord or webhook.';
COMMENT ON COLUMN featul_integrations.integration.webhook_url IS 'Where deliveries go. Contains a credential: never shown.';
COMMENT ON COLUMN featul_integrations.integration.secret IS 'whsec_... signing secret (type webhook only).';
COMMENT ON COLUMN featul_integrations.integration.previous_secret IS 'The secret before the last rotation; signs too until previous_secret_until.';
COMMENT ON COLUMN featul_integrations.integration.events IS 'Event names to deliver; NULL means all.';
COMMENT ON COLUMN featul_integrations.integration.boards IS 'Ids (as text) of the boards to deliver for; NULL means all.';
COMMENT ON COLUMN featul_integrations.integration.rule IS 'jsonpath predicate over the payload, as the user wrote it; NULL means all.';
COMMENT ON COLUMN featul_integrations.integration.is_active IS 'false: made inactive by inactive_reason; nothing is captured for it.';

CREATE TABLE featul_integrations.binding (
	source text PRIMARY KEY,
	relation regclass NOT NULL,
	columns jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE featul_integrations.binding IS
'Which of the application''s tables stands for each source, and the SQL expression for each canonical column. Written by integration_attach().';

CREATE TABLE featul_integrations.mark (
	source text NOT NULL,
	id text NOT NULL,
	was_visible boolean NOT NULL DEFAULT false,
	milestone integer NOT NULL DEFAULT 0,
	PRIMARY KEY (source, id)
);
COMMENT ON TABLE featul_integrations.mark IS
'What may happen only once: a post or comment that was visible and then hidden, and the highest milestone announced for a post.';

CREATE TABLE featul_integrations.imported (
	workspace_id text NOT NULL,
	type text NOT NULL,
	PRIMARY KEY (workspace_id, type)
);
COMMENT ON TABLE featul_integrations.imported IS
'What integration_import() has taken over: one that was disconnected since does not come back with the next import.';

SELECT pg_catalog.pg_extension_config_dump('featul_integrations.integration', '');
SELECT pg_catalog.pg_extension_config_dump('featul_integrations.binding', '');
SELECT pg_catalog.pg_extension_config_dump('featul_integrations.mark', '');
SELECT pg_catalog.pg_extension_config_dump('featul_integrations.imported', '');

-- ---------------------------------------------------------------------------
-- Operation: what belongs to this database alone, and is never dumped
-- ---------------------------------------------------------------------------

CREATE TABLE featul_integrations.health (
	integration_id uuid PRIMARY KEY,
	database oid NOT NULL,
	workspace_id text,
	type text,
	last_triggered_at timestamptz,
	failures integer NOT NULL DEFAULT 0,
	failing_since timestamptz,
	held_since timestamptz,
	hold_until timestamptz,
	last_http_status integer,
	last_error text,
	delivered bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	retried bigint NOT NULL DEFAULT 0,
	latency bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0,0}',
	latency_sum_ms bigint NOT NULL DEFAULT 0,
	failing_days integer NOT NULL DEFAULT 0,
	response_ms integer
) WITH (fillfactor = 50);
COMMENT ON TABLE featul_integrations.health IS
'How each integration of this database fares. An integration without a row here, or whose row names another database, arrived by a restore or a template copy and is inactive until activate_restored() or a new connect.';
COMMENT ON COLUMN featul_integrations.health.integration_id IS 'No foreign key: the worker must never wait for a lock that an open disconnect holds; it removes the row itself.';
COMMENT ON COLUMN featul_integrations.health.database IS 'pg_database.oid of the database it was connected in (kept by pg_upgrade and rename, not by CREATE DATABASE ... TEMPLATE).';
CREATE INDEX health_workspace ON featul_integrations.health (workspace_id);
COMMENT ON COLUMN featul_integrations.health.workspace_id IS 'Copy of integration.workspace_id, for the log once the integration is gone.';
COMMENT ON COLUMN featul_integrations.health.type IS 'Copy of integration.type, likewise.';
COMMENT ON COLUMN featul_integrations.health.failures IS 'Failed attempts in a row; 0 after a success.';
COMMENT ON COLUMN featul_integrations.health.hold_until IS 'No delivery starts before this time (429 and 503 with Retry-After).';
COMMENT ON COLUMN featul_integrations.health.held_since IS 'Start of the present unbroken series of 429/503 answers.';
COMMENT ON COLUMN featul_integrations.health.failing_days IS 'Bit n: on day n since failing_since several attempts failed.';
COMMENT ON COLUMN featul_integrations.health.response_ms IS 'How long an answer is expected to take, after the latest ones; NULL: never tried.';
COMMENT ON COLUMN featul_integrations.health.retried IS 'Attempts after which another was due.';
COMMENT ON COLUMN featul_integrations.health.latency IS 'Attempts by duration: counts for the bounds of latency_bounds(), and the rest.';

CREATE TABLE featul_integrations.total (
	database oid NOT NULL,
	type text NOT NULL,
	delivered bigint NOT NULL,
	failed bigint NOT NULL,
	retried bigint NOT NULL,
	latency bigint[] NOT NULL,
	latency_sum_ms bigint NOT NULL,
	PRIMARY KEY (database, type)
);
COMMENT ON TABLE featul_integrations.total IS
'What integrations counted that are gone, by type, so that the counters of stat_latency never go down.';

CREATE SEQUENCE featul_integrations.delivery_id_seq;
COMMENT ON SEQUENCE featul_integrations.delivery_id_seq IS
'queue.id, the delivery id that users see; and event.id: an event has the id of its first delivery.';

-- Append-only tables rotate over these slots; see docs/architecture.md.
CREATE TABLE featul_integrations.rotation (
	slot smallint NOT NULL,
	started_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX rotation_one_row ON featul_integrations.rotation ((true));
INSERT INTO featul_integrations.rotation (slot) VALUES (0);
COMMENT ON TABLE featul_integrations.rotation IS
'One row: the partition (slot) of event and attempt that is written now, and since when.';

CREATE TABLE featul_integrations.event (
	slot smallint NOT NULL,
	id bigint NOT NULL,
	webhook_id uuid NOT NULL DEFAULT gen_random_uuid(),
	name text NOT NULL,
	workspace_id text NOT NULL,
	post_id text NOT NULL,
	payload json NOT NULL,
	context json,
	created_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY LIST (slot);
CREATE INDEX event_id ON featul_integrations.event (id);
COMMENT ON TABLE featul_integrations.event IS
'What happened, append-only: one row per event that at least one integration wants, with the payload as the transaction saw it.';
COMMENT ON COLUMN featul_integrations.event.webhook_id IS 'Sent as webhook-id, prefixed with msg_.';
COMMENT ON COLUMN featul_integrations.event.context IS 'What chat messages show beyond the payload: {"statusName", "fromName", "toName"}.';

CREATE TABLE featul_integrations.queue (
	id bigint NOT NULL DEFAULT nextval('featul_integrations.delivery_id_seq'),
	integration_id uuid NOT NULL,
	event_slot smallint NOT NULL,
	event_id bigint NOT NULL,
	post_id text NOT NULL,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	attempts integer NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	PRIMARY KEY (integration_id, id)
);
CREATE INDEX queue_xid ON featul_integrations.queue (xid);
COMMENT ON TABLE featul_integrations.queue IS
'What is pending: one small row per event and integration that wants it, deleted when settled.';
COMMENT ON COLUMN featul_integrations.queue.id IS 'The delivery id, kept for good.';
COMMENT ON COLUMN featul_integrations.queue.xid IS 'The transaction that queued it: the worker reads what committed between two snapshots.';
COMMENT ON COLUMN featul_integrations.queue.next_attempt_at IS 'NULL: at once.';

CREATE TABLE featul_integrations.attempt (
	slot smallint NOT NULL,
	workspace_id text NOT NULL,
	delivery_id bigint NOT NULL,
	integration_id uuid NOT NULL,
	type text NOT NULL,
	event_slot smallint NOT NULL,
	event_id bigint NOT NULL,
	state text NOT NULL,
	attempts integer NOT NULL,
	http_status integer,
	error text,
	duration_ms integer,
	response text,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	next_attempt_at timestamptz
) PARTITION BY LIST (slot);
CREATE INDEX attempt_delivery ON featul_integrations.attempt (workspace_id, delivery_id, at);
COMMENT ON TABLE featul_integrations.attempt IS
'The log, append-only: one row per attempt, and one per cancellation. The newest row of a delivery that is not in queue tells how it ended.';
COMMENT ON COLUMN featul_integrations.attempt.state IS 'What the attempt made of the delivery: pending (to be tried again), delivered, failed or cancelled.';
COMMENT ON COLUMN featul_integrations.attempt.attempts IS 'Attempts counted so far, this one included where it counts (429 and 503 with Retry-After do not).';
COMMENT ON COLUMN featul_integrations.attempt.response IS 'First 1,000 characters of the response body.';

DO $$
BEGIN
	FOR slot IN 0..9 LOOP
		EXECUTE format('CREATE TABLE featul_integrations.event_%1$s PARTITION OF featul_integrations.event FOR VALUES IN (%1$s)', slot);
		EXECUTE format('CREATE TABLE featul_integrations.attempt_%1$s PARTITION OF featul_integrations.attempt FOR VALUES IN (%1$s)', slot);
		EXECUTE format('COMMENT ON TABLE featul_integrations.event_%1$s IS %2$L', slot, 'Slot ' || slot || ' of event.');
		EXECUTE format('COMMENT ON TABLE featul_integrations.attempt_%1$s IS %2$L', slot, 'Slot ' || slot || ' of attempt.');
	END LOOP;
END
$$;

-- ---------------------------------------------------------------------------
-- Capture: binding the application's tables  (attach.c, binding.c, capture.c, payload.c)
-- ---------------------------------------------------------------------------

CREATE FUNCTION featul_integrations.capture() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_capture';
REVOKE ALL ON FUNCTION featul_integrations.capture() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.capture() IS
'Trigger function on the application''s tables: turns changed rows into events and deliveries. Its argument is the source.';

CREATE FUNCTION @extschema@.integration_attach(app_schema text DEFAULT 'public', bindings jsonb DEFAULT '{}')
RETURNS TABLE (source text, relation regclass, events text[])
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_integration_attach';
REVOKE ALL ON FUNCTION @extschema@.integration_attach(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_attach(text, jsonb) IS
'Binds the application''s tables in this schema and installs the triggers on them. Run it again after a migration.';

CREATE FUNCTION @extschema@.integration_detach() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_integration_detach';
REVOKE ALL ON FUNCTION @extschema@.integration_detach() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_detach() IS
'Removes the triggers from the application''s tables and keeps everything else.';


-- ---------------------------------------------------------------------------
-- The API for applications  (src/api)
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.integration_list(workspace_slug text)
RETURNS TABLE (id uuid, type text, is_active boolean, events text[], boards text[], rule text,
	last_triggered_at timestamptz, created_at timestamptz, updated_at timestamptz, status text, status_reason text)
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_list';
REVOKE ALL ON FUNCTION @extschema@.integration_list(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_list(text) IS
'The workspace''s integrations, never with URL or secret. events, boards (slugs) and rule are its filters, NULL for all; status is active, failing (its last attempt failed) or inactive, with the reason (also while the plan of the workspace has no integrations; is_active stays as it is). Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin.';

CREATE FUNCTION @extschema@.integration_connect(workspace_slug text, type text, webhook_url text,
	events text[] DEFAULT NULL, boards text[] DEFAULT NULL, rule text DEFAULT NULL,
	OUT success boolean, OUT message text)
RETURNS record
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_connect';
REVOKE ALL ON FUNCTION @extschema@.integration_connect(text, text, text, text[], text[], text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_connect(text, text, text, text[], text[], text) IS
'Connects an integration (slack, discord or webhook), or replaces URL and filters of the one there is and makes it active again. events are names, boards slugs, rule a jsonpath predicate over the payload; NULL means all. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin or on a free plan.';

CREATE FUNCTION @extschema@.integration_disconnect(workspace_slug text, type text, OUT success boolean, OUT message text)
RETURNS record
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_disconnect';
REVOKE ALL ON FUNCTION @extschema@.integration_disconnect(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_disconnect(text, text) IS
'Deletes an integration with its secret; what is queued for it is cancelled. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin, PT404 if none of that type is connected.';

CREATE FUNCTION @extschema@.integration_test(workspace_slug text, type text, OUT success boolean, OUT message text)
RETURNS record
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_test';
REVOKE ALL ON FUNCTION @extschema@.integration_test(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_test(text, text) IS
'Sends a test notification now, within this call (at most featul_integrations.request_timeout; cancellable), also where the integration is inactive or delivery is off. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin or on a free plan, PT404 if none of that type is connected, PT500 with the reason as DETAIL if it was not delivered.';

CREATE FUNCTION @extschema@.integration_secret(workspace_slug text)
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_secret';
REVOKE ALL ON FUNCTION @extschema@.integration_secret(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_secret(text) IS
'The secret (whsec_...) that signs the requests of the workspace''s webhook integration. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin, PT404 if no webhook is connected.';

CREATE FUNCTION @extschema@.integration_rotate_secret(workspace_slug text)
RETURNS text
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_rotate_secret';
REVOKE ALL ON FUNCTION @extschema@.integration_rotate_secret(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_rotate_secret(text) IS
'Gives the webhook integration a new secret and returns it; the old one signs too for 24 hours. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin, PT404 if no webhook is connected.';

CREATE FUNCTION @extschema@.integration_preview(workspace_slug text, type text, event text)
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_preview';
REVOKE ALL ON FUNCTION @extschema@.integration_preview(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_preview(text, text, text) IS
'The body that an integration of that type would be sent for that event (or integration.test): of the workspace''s latest matching data, else of a sample. Connected or not; nothing is sent. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin.';

CREATE FUNCTION @extschema@.integration_deliveries(workspace_slug text, type text DEFAULT NULL, state text DEFAULT NULL,
	max_rows integer DEFAULT 50, before bigint DEFAULT NULL)
RETURNS TABLE (id bigint, event text, type text, state text, attempts integer, http_status integer, error text,
	duration_ms integer, response text, created_at timestamptz, last_attempt_at timestamptz,
	next_attempt_at timestamptz, payload jsonb)
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'featul_integration_deliveries';
REVOKE ALL ON FUNCTION @extschema@.integration_deliveries(text, text, text, integer, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_deliveries(text, text, text, integer, bigint) IS
'The workspace''s delivery log, newest first: at most max_rows (1 to 10000) deliveries, of that type and state (pending, delivered, failed or cancelled) and with ids below before where given (the last id of a page gives the next). http_status is NULL without a response, next_attempt_at once settled. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin.';

CREATE FUNCTION @extschema@.integration_events()
RETURNS TABLE (event text, label text, description text)
LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_events';
REVOKE ALL ON FUNCTION @extschema@.integration_events() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_events() IS
'The events there are, in their order, with a label and a sentence each for the filter of a settings page. Needs no acting user.';

CREATE FUNCTION @extschema@.integration_redeliver(workspace_slug text, delivery_id bigint, OUT success boolean, OUT message text)
RETURNS record
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_redeliver';
REVOKE ALL ON FUNCTION @extschema@.integration_redeliver(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_redeliver(text, bigint) IS
'Queues a settled delivery once more: the same id, webhook-id and bytes, attempts counted anew. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin or on a free plan, PT404 if the workspace has no such delivery or integration any more, PT400 if it is still pending or the integration inactive.';

CREATE FUNCTION @extschema@.integration_recover(workspace_slug text, type text, since timestamptz, OUT success boolean, OUT message text)
RETURNS record
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'featul_integration_recover';
REVOKE ALL ON FUNCTION @extschema@.integration_recover(text, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_recover(text, text, timestamptz) IS
'Queues again all deliveries of that type that failed or were cancelled since then. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin or on a free plan, PT404 if none of that type is connected, PT400 if it is inactive.';

CREATE FUNCTION @extschema@.integration_import(app_schema text DEFAULT 'public')
RETURNS TABLE (workspace_id text, type text, imported boolean, reason text)
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_import';
REVOKE ALL ON FUNCTION @extschema@.integration_import(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_import(text) IS
'Takes over featul''s older integrations from the table workspace_integration of that schema: one row each, with the reason where it was refused. Never takes one over twice. For the extension''s owner.';

-- What did not end well is rare, and what people look for and send again.
CREATE INDEX attempt_unsent ON featul_integrations.attempt (workspace_id, delivery_id)
WHERE state IN ('failed', 'cancelled');

-- ---------------------------------------------------------------------------
-- What the worker needs, and what operators see  (stats.c, queue.c)
-- ---------------------------------------------------------------------------

CREATE FUNCTION featul_integrations.integration_changed() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_changed';
REVOKE ALL ON FUNCTION featul_integrations.integration_changed() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.integration_changed() IS
'Trigger: sessions and workers read the integrations again once the transaction has committed, whoever changed them.';

CREATE TRIGGER integration_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON featul_integrations.integration
FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.integration_changed();
-- whatever changes the rows (session_replication_role = replica too), sessions and workers must know
ALTER TABLE featul_integrations.integration ENABLE ALWAYS TRIGGER integration_changed;
COMMENT ON TRIGGER integration_changed ON featul_integrations.integration IS
'A change of integrations takes effect at commit.';

CREATE FUNCTION featul_integrations.queue_inserted() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_queue_inserted';
REVOKE ALL ON FUNCTION featul_integrations.queue_inserted() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.queue_inserted() IS
'Trigger: workers look for what is new once the transaction has committed.';

CREATE TRIGGER queue_inserted
AFTER INSERT ON featul_integrations.queue
FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.queue_inserted();
ALTER TABLE featul_integrations.queue ENABLE ALWAYS TRIGGER queue_inserted;
COMMENT ON TRIGGER queue_inserted ON featul_integrations.queue IS
'Deliveries queued by an INSERT are sent at commit. Capture appends without one, and wakes the workers itself.';

CREATE FUNCTION featul_integrations.activate_restored() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	here CONSTANT oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	foreign_ids CONSTANT uuid[] := ARRAY(
		SELECT i.id FROM featul_integrations.integration i WHERE NOT EXISTS (
			SELECT FROM featul_integrations.health h
			WHERE h.integration_id = i.id AND h.database = here));
BEGIN
	-- what came along as pending is the other database's to send
	WITH gone AS (
		DELETE FROM featul_integrations.queue q WHERE q.integration_id = ANY (foreign_ids)
		RETURNING q.*)
	INSERT INTO featul_integrations.attempt
		(slot, workspace_id, delivery_id, integration_id, type, event_slot, event_id, state, attempts, error)
	SELECT (SELECT r.slot FROM featul_integrations.rotation r), i.workspace_id, g.id, i.id, i.type,
		g.event_slot, g.event_id, 'cancelled', g.attempts,
		'the integration came with a restored or copied database'
	FROM gone g JOIN featul_integrations.integration i ON i.id = g.integration_id;

	INSERT INTO featul_integrations.health AS h (integration_id, database, workspace_id, type)
	SELECT i.id, here, i.workspace_id, i.type FROM featul_integrations.integration i WHERE i.id = ANY (foreign_ids)
	ON CONFLICT (integration_id) DO UPDATE SET database = here, failures = 0, failing_since = NULL, failing_days = 0,
		held_since = NULL, hold_until = NULL, last_error = NULL;

	-- no row changes, but the trigger on the table makes this known at commit
	UPDATE featul_integrations.integration SET id = id WHERE false;

	RETURN (SELECT count(*) FROM featul_integrations.integration i
		WHERE i.id = ANY (foreign_ids) AND i.is_active);
END
$$;
REVOKE ALL ON FUNCTION featul_integrations.activate_restored() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.activate_restored() IS
'Lets the integrations deliver from this database that arrived by restoring a dump or copying a database; returns how many became active. What was pending in a copy stays unsent (cancelled). For the extension''s owner.';

CREATE VIEW featul_integrations.deliveries AS
SELECT q.id, e.name AS event, coalesce(i.type, h.type) AS type, s.state, q.attempts,
	l.http_status, l.error, l.duration_ms, l.response, e.created_at, l.at AS last_attempt_at,
	CASE WHEN s.state = 'pending' THEN greatest(q.next_attempt_at, h.hold_until) END AS next_attempt_at,
	e.payload::jsonb AS payload, e.workspace_id, q.integration_id, 'msg_' || e.webhook_id AS webhook_id
FROM featul_integrations.queue q
JOIN featul_integrations.event e ON e.slot = q.event_slot AND e.id = q.event_id
LEFT JOIN featul_integrations.integration i ON i.id = q.integration_id
LEFT JOIN featul_integrations.health h ON h.integration_id = q.integration_id
CROSS JOIN LATERAL (
	SELECT CASE WHEN i.is_active AND h.database = d.oid THEN 'pending' ELSE 'cancelled' END AS state
	FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) s
LEFT JOIN LATERAL (
	SELECT a.* FROM featul_integrations.attempt a
	WHERE a.workspace_id = e.workspace_id AND a.delivery_id = q.id AND a.state <> 'cancelled'
	ORDER BY a.at DESC LIMIT 1) l ON true
UNION ALL
SELECT a.delivery_id, e.name, a.type, CASE a.state WHEN 'pending' THEN 'cancelled' ELSE a.state END,
	a.attempts, a.http_status, a.error, a.duration_ms, a.response, e.created_at,
	CASE WHEN a.state <> 'cancelled' THEN a.at ELSE (
		SELECT max(b.at) FROM featul_integrations.attempt b
		WHERE b.workspace_id = a.workspace_id AND b.delivery_id = a.delivery_id AND b.state <> 'cancelled') END,
	NULL, e.payload::jsonb, a.workspace_id, a.integration_id, 'msg_' || e.webhook_id
FROM featul_integrations.attempt a
LEFT JOIN featul_integrations.event e ON e.slot = a.event_slot AND e.id = a.event_id
WHERE NOT EXISTS (
	SELECT FROM featul_integrations.queue q
	WHERE q.integration_id = a.integration_id AND q.id = a.delivery_id)
AND NOT EXISTS (
	SELECT FROM featul_integrations.attempt n
	WHERE n.workspace_id = a.workspace_id AND n.delivery_id = a.delivery_id AND n.at > a.at);
COMMENT ON VIEW featul_integrations.deliveries IS
'Every delivery that is kept, of all workspaces, with its present state and its newest attempt. Has payloads: for the owner alone.';

CREATE FUNCTION featul_integrations.worker_slots(OUT pid integer, OUT database oid, OUT slot integer,
	OUT state text, OUT in_flight integer, OUT connections integer, OUT started_at timestamptz,
	OUT config_loaded_at timestamptz, OUT last_error text, OUT last_error_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_stat_worker';
REVOKE ALL ON FUNCTION featul_integrations.worker_slots() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.worker_slots() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.worker_slots() IS 'What view stat_worker shows, of all databases.';

CREATE VIEW featul_integrations.stat_worker AS
SELECT w.pid, d.datname AS database, w.slot, w.state, w.in_flight, w.connections, w.started_at,
	w.config_loaded_at, w.last_error, w.last_error_at
FROM featul_integrations.worker_slots() w
LEFT JOIN pg_catalog.pg_database d ON d.oid = w.database;
GRANT SELECT ON featul_integrations.stat_worker TO pg_monitor;
COMMENT ON VIEW featul_integrations.stat_worker IS
'The delivering processes of the cluster, one row each; none when the library is not preloaded.';

CREATE FUNCTION featul_integrations.capture_counters(OUT captured bigint, OUT skipped bigint,
	OUT failed bigint, OUT last_error text, OUT last_error_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_stat_capture';
REVOKE ALL ON FUNCTION featul_integrations.capture_counters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.capture_counters() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.capture_counters() IS 'What view stat_capture shows.';

CREATE VIEW featul_integrations.stat_capture AS
SELECT c.captured, c.skipped, c.failed, c.last_error, c.last_error_at
FROM featul_integrations.capture_counters() c;
GRANT SELECT ON featul_integrations.stat_capture TO pg_monitor;
GRANT USAGE ON SCHEMA featul_integrations TO pg_monitor;
COMMENT ON VIEW featul_integrations.stat_capture IS
'What capture did in this database since the server started: events captured, rows skipped (capture = off, or a binding that no longer holds) and failures.';

CREATE FUNCTION featul_integrations.latency_bounds() RETURNS integer[]
LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_latency_bounds';
REVOKE ALL ON FUNCTION featul_integrations.latency_bounds() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.latency_bounds() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.latency_bounds() IS
'Upper bounds, in ms, of the counts in health.latency; the last count there is of what took longer.';

CREATE FUNCTION featul_integrations.latency_add(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(u.a + u.b ORDER BY u.n) FROM unnest(a, b) WITH ORDINALITY AS u (a, b, n)
$$;
REVOKE ALL ON FUNCTION featul_integrations.latency_add(bigint[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.latency_add(bigint[], bigint[]) IS 'Adds two arrays of counts, element by element.';

CREATE FUNCTION featul_integrations.latency_quantile(latency bigint[], quantile double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH bucket AS (
		SELECT n, v, sum(v) OVER (ORDER BY n) AS upto, sum(v) OVER () * quantile AS wanted,
			coalesce(bounds[n - 1], 0) AS low, bounds[n] AS high
		FROM unnest(latency) WITH ORDINALITY AS u (v, n), featul_integrations.latency_bounds() AS bounds
	)
	SELECT (low + coalesce((high - low) * (wanted - (upto - v)) / v, 0))::integer
	FROM bucket WHERE v > 0 AND upto >= wanted ORDER BY n LIMIT 1
$$;
REVOKE ALL ON FUNCTION featul_integrations.latency_quantile(bigint[], double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.latency_quantile(bigint[], double precision) TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.latency_quantile(bigint[], double precision) IS
'A quantile (0 to 1) of counted durations in ms, interpolated within its bucket as Prometheus does; NULL without any.';

CREATE VIEW featul_integrations.stat_integrations AS
SELECT i.id AS integration_id, i.workspace_id, i.type,
	CASE WHEN NOT s.active THEN 'inactive' WHEN h.failures > 0 THEN 'failing' ELSE 'active' END AS status,
	CASE WHEN s.active THEN (
		SELECT count(*) FROM featul_integrations.queue q WHERE q.integration_id = i.id) ELSE 0 END AS pending,
	CASE WHEN s.active THEN (
		SELECT e.created_at FROM featul_integrations.queue q
		JOIN featul_integrations.event e ON e.slot = q.event_slot AND e.id = q.event_id
		WHERE q.integration_id = i.id ORDER BY q.id LIMIT 1) END AS oldest_pending_at,
	coalesce(h.delivered, 0) AS delivered, coalesce(h.failed, 0) AS failed, coalesce(h.retried, 0) AS retried,
	h.last_http_status,
	(h.latency_sum_ms / nullif((SELECT sum(v) FROM unnest(h.latency) AS v), 0))::integer AS avg_ms,
	featul_integrations.latency_quantile(h.latency, 0.95) AS p95_ms
FROM featul_integrations.integration i
LEFT JOIN featul_integrations.health h ON h.integration_id = i.id
CROSS JOIN LATERAL (
	SELECT i.is_active AND h.database IS NOT DISTINCT FROM d.oid AS active
	FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) AS s;
GRANT SELECT ON featul_integrations.stat_integrations TO pg_monitor;
COMMENT ON VIEW featul_integrations.stat_integrations IS
'Each connected integration: what waits, what was counted since it was connected (retried: attempts after which another was due), the last answer, and how long attempts took.';

CREATE VIEW featul_integrations.stat_latency AS
WITH counted AS (
	SELECT h.database, h.type, h.delivered, h.failed, h.retried, h.latency, h.latency_sum_ms
	FROM featul_integrations.health h WHERE h.type IS NOT NULL
	UNION ALL
	SELECT t.database, t.type, t.delivered, t.failed, t.retried, t.latency, t.latency_sum_ms
	FROM featul_integrations.total t
), mine AS (
	SELECT c.* FROM counted c
	JOIN pg_catalog.pg_database d ON d.oid = c.database AND d.datname = pg_catalog.current_database()
), cumulative AS (
	SELECT m.type, u.n, sum(sum(u.v)) OVER (PARTITION BY m.type ORDER BY u.n)::bigint AS v
	FROM mine m, unnest(m.latency) WITH ORDINALITY AS u (v, n)
	GROUP BY m.type, u.n
), histogram AS (
	SELECT c.type, array_agg(c.v ORDER BY c.n) AS counts, max(c.v) AS count FROM cumulative c GROUP BY c.type
)
SELECT m.type, featul_integrations.latency_bounds() AS le_ms,
	histogram.counts[1:pg_catalog.cardinality(featul_integrations.latency_bounds())] AS counts,
	sum(m.latency_sum_ms)::bigint AS sum_ms, histogram.count, sum(m.delivered)::bigint AS delivered,
	sum(m.failed)::bigint AS failed, sum(m.retried)::bigint AS retried
FROM mine m JOIN histogram ON histogram.type = m.type
GROUP BY m.type, histogram.counts, histogram.count;
GRANT SELECT ON featul_integrations.stat_latency TO pg_monitor;
COMMENT ON VIEW featul_integrations.stat_latency IS
'By type, since the extension was created: how long attempts took, as a cumulative histogram (le_ms: upper bounds in ms; count: all), and what came of deliveries. Counters: they never go down.';

-- The terminal dashboard.  Characters beyond ASCII come from chr(), so that the
-- script installs in every database encoding.
CREATE FUNCTION featul_integrations.report_bar(delivered bigint[], failed bigint[])
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(
			CASE
				WHEN d + f = 0 THEN CASE WHEN utf8 THEN chr(183) ELSE '.' END
				WHEN f > d THEN CASE WHEN utf8 THEN chr(215) ELSE 'x' END
				WHEN utf8 THEN chr(9600 + height)
				ELSE substr('_-=+oO0#', height, 1)
			END, '' ORDER BY n)
	FROM (SELECT n, d, f, ceil(8.0 * (d + f) / greatest(max(d + f) OVER (), 1))::integer AS height,
				getdatabaseencoding() = 'UTF8' AS utf8
			FROM unnest(delivered, failed) WITH ORDINALITY AS hour (d, f, n)) AS bars
$$;
REVOKE ALL ON FUNCTION featul_integrations.report_bar FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.report_bar(bigint[], bigint[]) IS
'One character per element: a dot for none, a cross where most failed, else a block whose height is the number of attempts relative to the fullest element. ASCII in databases that are not UTF8.';

CREATE FUNCTION featul_integrations.report_error(http_status integer, error text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN http_status IS NULL THEN coalesce(error, 'no answer')
		ELSE 'HTTP ' || http_status || ', ' || CASE
			WHEN http_status < 400 THEN 'redirects are not followed'
			WHEN http_status IN (401, 403) THEN 'access denied'
			WHEN http_status = 404 THEN 'no such webhook'
			WHEN http_status = 410 THEN 'webhook gone for good'
			WHEN http_status = 413 THEN 'message too large'
			WHEN http_status = 429 THEN 'asked to slow down'
			WHEN http_status < 500 THEN 'message refused'
			WHEN http_status = 503 THEN 'endpoint unavailable'
			ELSE 'endpoint broken'
		END
	END
$$;
REVOKE ALL ON FUNCTION featul_integrations.report_error FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.report_error(integer, text) IS
'What a failed attempt says in words, the same for equal causes (a response''s body is left out): the HTTP status explained, or without one the error itself.';

CREATE FUNCTION featul_integrations.report()
RETURNS TABLE (workspace text, type text, status text, last_24_hours text, attempts bigint,
	success text, p95 text, backlog text, worst_errors text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH recent AS MATERIALIZED (
		SELECT integration_id, 23 - trunc(extract(epoch FROM now() - at) / 3600)::integer AS hour,
			state, http_status, error, duration_ms
		FROM featul_integrations.attempt
		WHERE at > now() - interval '24 hours' AND at <= now() AND state <> 'cancelled'
	), hours AS (
		SELECT i.id, slot.hour, count(*) FILTER (WHERE r.state = 'delivered') AS delivered,
			count(*) FILTER (WHERE r.state <> 'delivered') AS failed
		FROM featul_integrations.integration i
		CROSS JOIN generate_series(0, 23) AS slot (hour)
		LEFT JOIN recent r ON r.integration_id = i.id AND r.hour = slot.hour
		GROUP BY i.id, slot.hour
	), days AS (
		SELECT id, featul_integrations.report_bar(array_agg(delivered ORDER BY hour), array_agg(failed ORDER BY hour)) AS bar,
			sum(delivered)::bigint AS delivered, sum(delivered + failed)::bigint AS attempts
		FROM hours
		GROUP BY id
	), errors AS (
		SELECT integration_id, string_agg(n || ' x ' || what, '; ' ORDER BY n DESC, what) AS worst
		FROM (SELECT integration_id, featul_integrations.report_error(http_status, error) AS what, count(*) AS n,
					row_number() OVER (PARTITION BY integration_id ORDER BY count(*) DESC) AS rank
				FROM recent
				WHERE state <> 'delivered'
				GROUP BY 1, 2) AS counted
		WHERE rank <= 3
		GROUP BY integration_id
	)
	SELECT i.workspace_id, i.type, s.status, d.bar, d.attempts,
		round(100.0 * d.delivered / nullif(d.attempts, 0), 1) || ' %',
		(SELECT round(percentile_cont(0.95) WITHIN GROUP (ORDER BY r.duration_ms)) || ' ms'
			FROM recent r WHERE r.integration_id = i.id),
		s.pending || coalesce(' since ' || to_char(s.oldest_pending_at, 'YYYY-MM-DD HH24:MI'), ''),
		coalesce(e.worst, '')
	FROM featul_integrations.integration i
	JOIN featul_integrations.stat_integrations s ON s.integration_id = i.id
	JOIN days d ON d.id = i.id
	LEFT JOIN errors e ON e.integration_id = i.id
	ORDER BY d.attempts - d.delivered DESC, i.workspace_id, i.type
$$;
REVOKE ALL ON FUNCTION featul_integrations.report() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.report() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.report() IS
'The last 24 hours of every integration on one screen of psql: attempts per hour as bars (a cross: most failed), success rate, 95th percentile of durations, what waits, the most frequent errors. The worst come first.';

-- The library is loaded by now; this setting exists only where it was preloaded.
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_settings WHERE name = 'featul_integrations.workers') THEN
		RAISE WARNING 'featul_integrations is not preloaded: events queue, and nothing is delivered'
			USING HINT = 'Add featul_integrations to shared_preload_libraries and restart the server.';
	END IF;
END
$$;
