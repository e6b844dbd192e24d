/* featul_integrations 1.0 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION featul_integrations" to load this file. \quit

-- CREATE EXTENSION runs this as a superuser with the target schema in front, where
-- others may have put functions and operators.  So nothing is looked up there; what
-- belongs there is named as @extschema@.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Nothing here acts as the superuser who runs this, but as a role without any right; it
-- serves every database of the cluster, so it may exist.
DO $$
DECLARE
	existing record;
BEGIN
	SELECT r.oid, r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
		OR r.rolbypassrls AS may, EXISTS (
			SELECT FROM pg_auth_members m WHERE r.oid IN (m.roleid, m.member)) AS belongs
		INTO existing FROM pg_roles r WHERE r.rolname = 'featul_integrations';
	IF NOT FOUND THEN
		CREATE ROLE featul_integrations NOLOGIN;
		COMMENT ON ROLE featul_integrations IS
		'Of the extension featul_integrations, in every database that has it: whose rights it acts with. Nobody''s to log in with or be a member of.';
	ELSIF existing.may OR existing.belongs THEN
		RAISE EXCEPTION 'role "featul_integrations" is more than the extension''s own'
			USING ERRCODE = 'duplicate_object',
				DETAIL = CASE WHEN existing.may THEN 'It may log in, or has another attribute.'
					ELSE 'It has members, or is a member of another role.' END,
				HINT = 'The extension acts as a role of this name, which nobody else may have or be. Rename the role that exists, or drop it.';
	END IF;
END
$$;

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
COMMENT ON COLUMN featul_integrations.integration.type IS 'slack, discord, teams or webhook.';
COMMENT ON COLUMN featul_integrations.integration.webhook_url IS 'Where deliveries go. Contains a credential: never shown.';
COMMENT ON COLUMN featul_integrations.integration.secret IS 'whsec_... signing secret (type webhook only).';
COMMENT ON COLUMN featul_integrations.integration.previous_secret IS 'The secret before the last rotation; signs too until previous_secret_until.';
COMMENT ON COLUMN featul_integrations.integration.events IS 'Event names to deliver; NULL means all.';
COMMENT ON COLUMN featul_integrations.integration.boards IS 'Ids (as text) of the boards to deliver for; NULL means all.';
COMMENT ON COLUMN featul_integrations.integration.rule IS 'jsonpath predicate over the payload, as the user wrote it; NULL means all.';
COMMENT ON COLUMN featul_integrations.integration.is_active IS 'false: made inactive by inactive_reason; nothing is captured for it.';
COMMENT ON COLUMN featul_integrations.integration.id IS 'What the log and the statistics name it by.';
COMMENT ON COLUMN featul_integrations.integration.previous_secret_until IS 'NULL: there is none.';
COMMENT ON COLUMN featul_integrations.integration.inactive_reason IS 'Why is_active is false, in words; integration_list() shows it as status_reason.';
COMMENT ON COLUMN featul_integrations.integration.created_at IS 'When it was connected first.';
COMMENT ON COLUMN featul_integrations.integration.updated_at IS 'When it was changed last.';

CREATE TABLE featul_integrations.binding (
	source text PRIMARY KEY,
	relation regclass NOT NULL,
	columns jsonb NOT NULL DEFAULT '{}',
	app_schema text NOT NULL DEFAULT 'public',
	table_by_hand boolean NOT NULL DEFAULT false,
	columns_by_hand text[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE featul_integrations.binding IS
'Which of the application''s tables stands for each source, and the SQL expression for each canonical column. Written by integration_attach(); view bindings shows it.';
COMMENT ON COLUMN featul_integrations.binding.app_schema IS 'The schema that was attached.';
COMMENT ON COLUMN featul_integrations.binding.table_by_hand IS 'The table was named in bindings: integration_attach() keeps it until it is told otherwise.';
COMMENT ON COLUMN featul_integrations.binding.columns_by_hand IS 'The canonical columns given in bindings, which it keeps likewise.';
COMMENT ON COLUMN featul_integrations.binding.source IS 'workspace, member, user, board, post, comment, vote, mention or reaction.';
COMMENT ON COLUMN featul_integrations.binding.relation IS 'The application''s table.';
COMMENT ON COLUMN featul_integrations.binding.columns IS 'The SQL expression over its row for each canonical column.';

CREATE TABLE featul_integrations.mark (
	source text NOT NULL,
	id text NOT NULL,
	was_visible boolean NOT NULL DEFAULT false,
	milestone integer NOT NULL DEFAULT 0,
	PRIMARY KEY (source, id)
);
COMMENT ON TABLE featul_integrations.mark IS
'What may happen only once: a post or comment that was visible and then hidden, and the highest milestone announced for a post.';
COMMENT ON COLUMN featul_integrations.mark.id IS 'The id, or sha256: and its digest where it is longer than 128 bytes.';
COMMENT ON COLUMN featul_integrations.mark.source IS 'post or comment.';
COMMENT ON COLUMN featul_integrations.mark.was_visible IS 'It has been visible: that it becomes so again is no news.';
COMMENT ON COLUMN featul_integrations.mark.milestone IS 'The highest that was announced; 0: none.';

CREATE TABLE featul_integrations.imported (
	workspace_id text NOT NULL,
	type text NOT NULL,
	PRIMARY KEY (workspace_id, type)
);
COMMENT ON TABLE featul_integrations.imported IS
'What integration_import() has taken over: one that was disconnected since does not come back with the next import.';
COMMENT ON COLUMN featul_integrations.imported.workspace_id IS 'The application''s id of the workspace.';
COMMENT ON COLUMN featul_integrations.imported.type IS 'slack or discord.';

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
	response_ms integer,
	told_failing boolean NOT NULL DEFAULT false
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
COMMENT ON COLUMN featul_integrations.health.told_failing IS 'What NOTIFY featul_integrations said last: that it is failing (only probes go out), or not. Written together with the notification.';
COMMENT ON COLUMN featul_integrations.health.retried IS 'Attempts after which another was due.';
COMMENT ON COLUMN featul_integrations.health.latency IS 'Attempts by duration: counts for the bounds of latency_bounds(), and the rest.';
COMMENT ON COLUMN featul_integrations.health.last_triggered_at IS 'When something was last delivered.';
COMMENT ON COLUMN featul_integrations.health.failing_since IS 'When the first of the failures in a row was; NULL: it does not fail.';
COMMENT ON COLUMN featul_integrations.health.last_http_status IS 'Of the last answer.';
COMMENT ON COLUMN featul_integrations.health.last_error IS 'What went wrong with the last attempt; NULL after a success.';
COMMENT ON COLUMN featul_integrations.health.delivered IS 'Deliveries that succeeded.';
COMMENT ON COLUMN featul_integrations.health.failed IS 'Deliveries that failed for good.';
COMMENT ON COLUMN featul_integrations.health.latency_sum_ms IS 'What all attempts took together.';

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
COMMENT ON COLUMN featul_integrations.total.database IS 'As health.database.';
COMMENT ON COLUMN featul_integrations.total.type IS 'slack, discord, teams or webhook.';
COMMENT ON COLUMN featul_integrations.total.delivered IS 'The sum of health.delivered, and so on.';

CREATE SEQUENCE featul_integrations.delivery_id_seq;
COMMENT ON SEQUENCE featul_integrations.delivery_id_seq IS
'queue.id, the delivery id that users see; and event.id: an event has the id of its first delivery.';

-- The append-only tables' partitions take turns; see docs/architecture.md.
CREATE TABLE featul_integrations.rotation (
	partition smallint PRIMARY KEY,
	started_at timestamptz NOT NULL DEFAULT now(),
	ended timestamptz[] NOT NULL DEFAULT array_fill(NULL::timestamptz, ARRAY[10])
);
CREATE UNIQUE INDEX rotation_one_row ON featul_integrations.rotation ((true));
INSERT INTO featul_integrations.rotation (partition) VALUES (0);
COMMENT ON TABLE featul_integrations.rotation IS
'One row: which partition of event and attempt is written now.';
COMMENT ON COLUMN featul_integrations.rotation.partition IS 'That partition, from 0.';
COMMENT ON COLUMN featul_integrations.rotation.started_at IS 'Since when.';
COMMENT ON COLUMN featul_integrations.rotation.ended IS 'When each partition was last written, the first at 1; NULL: never. As many as there are.';

CREATE TABLE featul_integrations.event (
	partition smallint NOT NULL,
	id bigint NOT NULL,
	webhook_id uuid NOT NULL DEFAULT gen_random_uuid(),
	name text NOT NULL,
	workspace_id text NOT NULL,
	post_id text NOT NULL,
	payload json NOT NULL,
	labels json,
	created_at timestamptz NOT NULL DEFAULT now(),
	traceparent text,
	PRIMARY KEY (id, partition)
) PARTITION BY LIST (partition);
COMMENT ON TABLE featul_integrations.event IS
'What happened, append-only: one row per event that at least one integration wants, with the payload as the transaction saw it.';
COMMENT ON COLUMN featul_integrations.event.webhook_id IS 'Sent as webhook-id, prefixed with msg_.';
COMMENT ON COLUMN featul_integrations.event.labels IS 'What chat messages show beyond the payload: {"statusName", "fromName", "toName"}.';
COMMENT ON COLUMN featul_integrations.event.traceparent IS 'The setting traceparent of the transaction that it happened in, sent as the header of that name; NULL: none.';
COMMENT ON COLUMN featul_integrations.event.partition IS 'Which of the partitions it is in: rotation.partition when it was written.';
COMMENT ON COLUMN featul_integrations.event.id IS 'The id of its first delivery.';
COMMENT ON COLUMN featul_integrations.event.name IS 'post.created and so on.';
COMMENT ON COLUMN featul_integrations.event.workspace_id IS 'The application''s workspace id, as text.';
COMMENT ON COLUMN featul_integrations.event.post_id IS 'The post that it is about, as text: what is told of one post keeps its order.';
COMMENT ON COLUMN featul_integrations.event.payload IS 'What happened, as a webhook gets it.';
COMMENT ON COLUMN featul_integrations.event.created_at IS 'The start of the transaction that it happened in.';

CREATE TABLE featul_integrations.queue (
	id bigint NOT NULL DEFAULT nextval('featul_integrations.delivery_id_seq'),
	integration_id uuid NOT NULL,
	event_partition smallint NOT NULL,
	event_id bigint NOT NULL,
	post_id text NOT NULL,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	attempts integer NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	event_name text,
	PRIMARY KEY (integration_id, id)
);
CREATE INDEX queue_xid ON featul_integrations.queue (xid);
COMMENT ON TABLE featul_integrations.queue IS
'What is pending: one small row per event and integration that wants it, deleted when settled.';
COMMENT ON COLUMN featul_integrations.queue.id IS 'The delivery id, kept for good.';
COMMENT ON COLUMN featul_integrations.queue.xid IS 'The transaction that queued it: the worker reads what committed between two snapshots.';
COMMENT ON COLUMN featul_integrations.queue.next_attempt_at IS 'NULL: at once.';
COMMENT ON COLUMN featul_integrations.queue.event_name IS 'For chat services, where many of one event may become one message; NULL: it is sent by itself.';
COMMENT ON COLUMN featul_integrations.queue.integration_id IS 'Whom it is for.';
COMMENT ON COLUMN featul_integrations.queue.event_partition IS 'With event_id: what it tells.';
COMMENT ON COLUMN featul_integrations.queue.event_id IS 'See event_partition.';
COMMENT ON COLUMN featul_integrations.queue.post_id IS 'Copy of event.post_id.';
COMMENT ON COLUMN featul_integrations.queue.attempts IS 'Attempts that counted so far.';

CREATE TABLE featul_integrations.attempt (
	partition smallint NOT NULL,
	workspace_id text NOT NULL,
	delivery_id bigint NOT NULL,
	integration_id uuid NOT NULL,
	type text NOT NULL,
	event_partition smallint NOT NULL,
	event_id bigint NOT NULL,
	state text NOT NULL,
	attempts integer NOT NULL,
	http_status integer,
	error text,
	duration_ms integer,
	response text,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	next_attempt_at timestamptz
) PARTITION BY LIST (partition);
CREATE INDEX attempt_delivery ON featul_integrations.attempt (workspace_id, delivery_id, at);
CREATE INDEX attempt_id ON featul_integrations.attempt (delivery_id, at);
COMMENT ON TABLE featul_integrations.attempt IS
'The log, append-only: one row per attempt, and one per cancellation. The newest row of a delivery that is not in queue tells how it ended.';
COMMENT ON COLUMN featul_integrations.attempt.state IS 'What the attempt made of the delivery: pending (to be tried again), delivered, failed or cancelled.';
COMMENT ON COLUMN featul_integrations.attempt.attempts IS 'Attempts counted so far, this one included where it counts (429 and 503 with Retry-After do not).';
COMMENT ON COLUMN featul_integrations.attempt.response IS 'First 1,000 characters of the response body.';
COMMENT ON COLUMN featul_integrations.attempt.partition IS 'Which of the partitions it is in.';
COMMENT ON COLUMN featul_integrations.attempt.workspace_id IS 'Copy of health.workspace_id.';
COMMENT ON COLUMN featul_integrations.attempt.delivery_id IS 'queue.id.';
COMMENT ON COLUMN featul_integrations.attempt.integration_id IS 'Whom it was for.';
COMMENT ON COLUMN featul_integrations.attempt.type IS 'Copy of integration.type.';
COMMENT ON COLUMN featul_integrations.attempt.event_partition IS 'With event_id: what it told.';
COMMENT ON COLUMN featul_integrations.attempt.event_id IS 'See event_partition.';
COMMENT ON COLUMN featul_integrations.attempt.http_status IS 'NULL: there was no answer.';
COMMENT ON COLUMN featul_integrations.attempt.error IS 'What went wrong, in words; NULL: nothing.';
COMMENT ON COLUMN featul_integrations.attempt.duration_ms IS 'How long it took.';
COMMENT ON COLUMN featul_integrations.attempt.at IS 'When it ended.';
COMMENT ON COLUMN featul_integrations.attempt.next_attempt_at IS 'If it is to be tried again: not before this time.';

DO $$
DECLARE
	partition integer;
BEGIN
	FOR partition IN SELECT generate_series(0, cardinality(r.ended) - 1) FROM featul_integrations.rotation r LOOP
		EXECUTE format('CREATE TABLE featul_integrations.event_%1$s PARTITION OF featul_integrations.event FOR VALUES IN (%1$s)', partition);
		EXECUTE format('CREATE TABLE featul_integrations.attempt_%1$s PARTITION OF featul_integrations.attempt FOR VALUES IN (%1$s)', partition);
		EXECUTE format('COMMENT ON TABLE featul_integrations.event_%1$s IS %2$L', partition, 'Partition ' || partition || ' of event.');
		EXECUTE format('COMMENT ON TABLE featul_integrations.attempt_%1$s IS %2$L', partition, 'Partition ' || partition || ' of attempt.');
	END LOOP;
END
$$;

-- ---------------------------------------------------------------------------
-- Capture: binding the application's tables  (application, capture)
-- ---------------------------------------------------------------------------

CREATE FUNCTION featul_integrations.capture() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_capture';
REVOKE ALL ON FUNCTION featul_integrations.capture() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.capture() IS
'Trigger function on the application''s tables: turns changed rows into events and deliveries. Its argument is the source.';

CREATE FUNCTION featul_integrations.bound_rows(source text, canonical text, value text)
RETURNS SETOF record
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_bound_rows';
REVOKE ALL ON FUNCTION featul_integrations.bound_rows(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.bound_rows(text, text, text) IS
'Rows of a source in canonical columns: those of which this column equals the value, or all where there is no such column. For queries of the extension over bindings that call functions of others.';

CREATE FUNCTION featul_integrations.capture_row() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_capture_row';
REVOKE ALL ON FUNCTION featul_integrations.capture_row() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.capture_row() IS
'Row trigger function on the application''s tables: does on a delivery node what capture() does elsewhere, for what the workers of a subscription write.';

CREATE FUNCTION @extschema@.integration_attach(app_schema text DEFAULT NULL, bindings jsonb DEFAULT NULL)
RETURNS TABLE (source text, relation regclass, events text[])
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_integration_attach';
REVOKE ALL ON FUNCTION @extschema@.integration_attach(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_attach(text, jsonb) IS
'Binds the application''s tables in this schema and installs the triggers on them. Run it again after a migration: what is left out stays as it was bound.';

CREATE FUNCTION @extschema@.integration_detach() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_integration_detach';
REVOKE ALL ON FUNCTION @extschema@.integration_detach() FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_detach() IS
'Removes the triggers from the application''s tables and keeps everything else.';

CREATE FUNCTION featul_integrations.bindings()
RETURNS TABLE (source text, relation regclass, canonical text, expression text, by_hand boolean, state text)
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_bindings';
REVOKE ALL ON FUNCTION featul_integrations.bindings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.bindings() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.bindings() IS 'What view bindings shows.';

CREATE VIEW featul_integrations.bindings AS
SELECT b.source, b.relation, b.canonical, b.expression, b.by_hand, b.state
FROM featul_integrations.bindings() b;
GRANT SELECT ON featul_integrations.bindings TO pg_monitor;
COMMENT ON VIEW featul_integrations.bindings IS
'What is bound to what, and whether it still holds. Looking changes nothing.';
COMMENT ON COLUMN featul_integrations.bindings.source IS 'What the table stands for: workspace, post, ...';
COMMENT ON COLUMN featul_integrations.bindings.relation IS 'The application''s table.';
COMMENT ON COLUMN featul_integrations.bindings.canonical IS 'The column as the extension knows it.';
COMMENT ON COLUMN featul_integrations.bindings.expression IS 'What it is in the application''s table, as SQL; NULL where the table has nothing for it.';
COMMENT ON COLUMN featul_integrations.bindings.by_hand IS 'Given to integration_attach() in bindings (the column, or the table), and kept until another call takes it back.';
COMMENT ON COLUMN featul_integrations.bindings.state IS 'ok, or what is wrong; then integration_attach() is to be run again, and says more.';


-- ---------------------------------------------------------------------------
-- The API for applications  (src/api)
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.integration_list(workspace_slug text)
RETURNS TABLE (id uuid, type text, is_active boolean, events text[], boards text[], rule text,
	last_triggered_at timestamptz, created_at timestamptz, updated_at timestamptz, status text, status_reason text)
LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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
'Connects an integration (slack, discord, teams or webhook), or replaces URL and filters of the one there is and makes it active again. events are names, boards slugs, rule a jsonpath predicate over the payload; NULL means all. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin or on a free plan.';

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
LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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
LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_preview';
REVOKE ALL ON FUNCTION @extschema@.integration_preview(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_preview(text, text, text) IS
'The body that an integration of that type would be sent for that event (or integration.test): of the workspace''s latest matching data, else of a sample. Connected or not; nothing is sent. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin.';

CREATE FUNCTION @extschema@.integration_deliveries(workspace_slug text, type text DEFAULT NULL, state text DEFAULT NULL,
	max_rows integer DEFAULT 50, before bigint DEFAULT NULL)
RETURNS TABLE (id bigint, event text, type text, state text, attempts integer, http_status integer, error text,
	duration_ms integer, response text, created_at timestamptz, last_attempt_at timestamptz,
	next_attempt_at timestamptz, payload jsonb)
LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'featul_integration_deliveries';
REVOKE ALL ON FUNCTION @extschema@.integration_deliveries(text, text, text, integer, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_deliveries(text, text, text, integer, bigint) IS
'The workspace''s delivery log, newest first: at most max_rows (1 to 10000) deliveries, of that type and state (pending, delivered, failed or cancelled) and with ids below before where given (the last id of a page gives the next). http_status is NULL without a response, next_attempt_at once settled. Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin.';

CREATE FUNCTION @extschema@.integration_message(workspace_slug text, delivery_id bigint)
RETURNS text
LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_message';
REVOKE ALL ON FUNCTION @extschema@.integration_message(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_message(text, bigint) IS
'The body that this delivery sends or sent, as its channel says it (where a chat message stood for many votes or reactions: what it would say of this one). Raises PT401 without an acting user, PT400 for a bad argument, PT404 for an unknown workspace, PT403 without the role of owner or admin, PT404 if the workspace has no such delivery any more.';

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

CREATE FUNCTION featul_integrations.follow() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'featul_follow';
REVOKE ALL ON FUNCTION featul_integrations.follow() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.follow() IS
'Row trigger function on the application''s older table: makes here what was made there. Its argument is the events of what is new; without one, all.';

CREATE FUNCTION @extschema@.integration_import(app_schema text DEFAULT NULL,
	events text[] DEFAULT '{post.created}', follow boolean DEFAULT false)
RETURNS TABLE (workspace_id text, type text, imported boolean, reason text)
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_import';
REVOKE ALL ON FUNCTION @extschema@.integration_import(text, text[], boolean) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.integration_import(text, text[], boolean) IS
'Takes over featul''s older integrations from the table workspace_integration of that schema (by default the one attached), with these events (NULL: all): one row each, with the reason where it was refused. Never takes one over twice. With follow, what changes in that table from then on changes here too; where it was followed before, what is gone from it since is disconnected. For the extension''s owner.';

-- What did not end well is rare, and what people look for and send again.
CREATE INDEX attempt_unsent ON featul_integrations.attempt (workspace_id, delivery_id)
WHERE state IN ('failed', 'cancelled');

-- ---------------------------------------------------------------------------
-- What the worker needs, and what operators see  (delivery, process)
-- ---------------------------------------------------------------------------

CREATE FUNCTION featul_integrations.integration_changed() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_integration_changed';
REVOKE ALL ON FUNCTION featul_integrations.integration_changed() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.integration_changed() IS
'Trigger: sessions and workers read the integrations again once the transaction has committed, whoever changed them.';

CREATE TRIGGER integration_changed
AFTER INSERT OR UPDATE OR DELETE ON featul_integrations.integration
FOR EACH ROW EXECUTE FUNCTION featul_integrations.integration_changed();
CREATE TRIGGER integration_truncated
AFTER TRUNCATE ON featul_integrations.integration
FOR EACH STATEMENT EXECUTE FUNCTION featul_integrations.integration_changed();
-- whatever changes the rows (session_replication_role = replica too), sessions and workers must know
ALTER TABLE featul_integrations.integration ENABLE ALWAYS TRIGGER integration_changed;
ALTER TABLE featul_integrations.integration ENABLE ALWAYS TRIGGER integration_truncated;
COMMENT ON TRIGGER integration_changed ON featul_integrations.integration IS
'A change of integrations takes effect at commit: workers read again what changed.';
COMMENT ON TRIGGER integration_truncated ON featul_integrations.integration IS
'Likewise for TRUNCATE: workers read all of them again.';

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
		(partition, workspace_id, delivery_id, integration_id, type, event_partition, event_id, state, attempts, error)
	SELECT (SELECT r.partition FROM featul_integrations.rotation r), i.workspace_id, g.id, i.id, i.type,
		g.event_partition, g.event_id, 'cancelled', g.attempts,
		'the integration came with a restored or copied database'
	FROM gone g JOIN featul_integrations.integration i ON i.id = g.integration_id;

	INSERT INTO featul_integrations.health AS h (integration_id, database, workspace_id, type)
	SELECT i.id, here, i.workspace_id, i.type FROM featul_integrations.integration i WHERE i.id = ANY (foreign_ids)
	ON CONFLICT (integration_id) DO UPDATE SET database = here, failures = 0, failing_since = NULL, failing_days = 0,
		held_since = NULL, hold_until = NULL, last_error = NULL;

	-- nothing changes, but the trigger on the table makes this known at commit
	UPDATE featul_integrations.integration i SET id = i.id WHERE i.id = ANY (foreign_ids);

	RETURN (SELECT count(*) FROM featul_integrations.integration i
		WHERE i.id = ANY (foreign_ids) AND i.is_active);
END
$$;
REVOKE ALL ON FUNCTION featul_integrations.activate_restored() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.activate_restored() IS
'Lets the integrations deliver from this database that arrived by restoring a dump or copying a database; returns how many became active. What was pending in a copy stays unsent (cancelled). For the extension''s owner.';

-- One list by id, of two tables: so that the newest of them are found without the rest.
CREATE VIEW featul_integrations.deliveries AS
SELECT d.id, e.name AS event, coalesce(d.type, i.type, h.type) AS type,
	CASE WHEN NOT d.queued THEN CASE d.state WHEN 'pending' THEN 'cancelled' ELSE d.state END
		WHEN i.is_active AND h.database = here.oid THEN 'pending' ELSE 'cancelled' END AS state,
	d.attempts, coalesce(d.http_status, l.http_status) AS http_status, coalesce(d.error, l.error) AS error,
	coalesce(d.duration_ms, l.duration_ms) AS duration_ms, coalesce(d.response, l.response) AS response,
	e.created_at, CASE WHEN d.state <> 'cancelled' THEN d.at ELSE l.at END AS last_attempt_at,
	CASE WHEN d.queued AND i.is_active AND h.database = here.oid
		THEN greatest(d.next_attempt_at, h.hold_until) END AS next_attempt_at,
	(SELECT p.payload::jsonb FROM featul_integrations.event p
		WHERE p.partition = d.event_partition AND p.id = d.event_id) AS payload,
	coalesce(d.workspace_id, e.workspace_id) AS workspace_id, d.integration_id, 'msg_' || e.webhook_id AS webhook_id
FROM (
	SELECT q.id, true AS queued, q.integration_id, q.event_partition, q.event_id, NULL::text AS workspace_id,
		NULL::text AS type, NULL::text AS state, q.attempts, NULL::integer AS http_status, NULL::text AS error,
		NULL::integer AS duration_ms, NULL::text AS response, NULL::timestamptz AS at, q.next_attempt_at
	FROM featul_integrations.queue q
	UNION ALL
	SELECT a.delivery_id, false, a.integration_id, a.event_partition, a.event_id, a.workspace_id,
		a.type, a.state, a.attempts, a.http_status, a.error, a.duration_ms, a.response, a.at, NULL
	FROM featul_integrations.attempt a) d
LEFT JOIN featul_integrations.event e ON e.partition = d.event_partition AND e.id = d.event_id
LEFT JOIN featul_integrations.integration i ON i.id = d.integration_id
LEFT JOIN featul_integrations.health h ON h.integration_id = d.integration_id
JOIN pg_catalog.pg_database here ON here.datname = pg_catalog.current_database()
LEFT JOIN LATERAL (
	-- of what is queued, or was cancelled: its newest attempt
	SELECT n.* FROM featul_integrations.attempt n
	WHERE (d.queued OR d.state = 'cancelled') AND n.delivery_id = d.id AND n.state <> 'cancelled'
	ORDER BY n.at DESC LIMIT 1) l ON true
WHERE NOT EXISTS (
	SELECT FROM featul_integrations.queue q
	WHERE NOT d.queued AND q.integration_id = d.integration_id AND q.id = d.id)
AND NOT EXISTS (
	SELECT FROM featul_integrations.attempt n
	WHERE NOT d.queued AND n.delivery_id = d.id AND n.at > d.at);
COMMENT ON VIEW featul_integrations.deliveries IS
'Every delivery that is kept, of all workspaces, with its present state and its newest attempt. Has payloads: for the owner alone.';
COMMENT ON COLUMN featul_integrations.deliveries.id IS 'The delivery: what integration_redeliver() takes.';
COMMENT ON COLUMN featul_integrations.deliveries.event IS 'What happened: post.created and so on.';
COMMENT ON COLUMN featul_integrations.deliveries.type IS 'The kind of integration it goes to.';
COMMENT ON COLUMN featul_integrations.deliveries.state IS 'pending, delivered, failed or cancelled.';
COMMENT ON COLUMN featul_integrations.deliveries.attempts IS 'Attempts that counted (429 and 503 with Retry-After do not).';
COMMENT ON COLUMN featul_integrations.deliveries.http_status IS 'Of the newest attempt; NULL without a response.';
COMMENT ON COLUMN featul_integrations.deliveries.error IS 'What went wrong with the newest attempt.';
COMMENT ON COLUMN featul_integrations.deliveries.duration_ms IS 'How long the newest attempt took.';
COMMENT ON COLUMN featul_integrations.deliveries.response IS 'What the endpoint answered, its first 1,000 characters.';
COMMENT ON COLUMN featul_integrations.deliveries.created_at IS 'When it happened.';
COMMENT ON COLUMN featul_integrations.deliveries.last_attempt_at IS 'When its newest attempt ended; NULL before the first.';
COMMENT ON COLUMN featul_integrations.deliveries.next_attempt_at IS 'Not before this time; NULL: as soon as its turn comes, or settled.';
COMMENT ON COLUMN featul_integrations.deliveries.payload IS 'What happened, in full, as a webhook gets it.';
COMMENT ON COLUMN featul_integrations.deliveries.workspace_id IS 'The application''s id of the workspace.';
COMMENT ON COLUMN featul_integrations.deliveries.integration_id IS 'The integration it goes to.';
COMMENT ON COLUMN featul_integrations.deliveries.webhook_id IS 'The header webhook-id: the same over all attempts.';

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
COMMENT ON COLUMN featul_integrations.stat_worker.pid IS 'Process id, as in pg_stat_activity.';
COMMENT ON COLUMN featul_integrations.stat_worker.database IS 'The database it delivers for.';
COMMENT ON COLUMN featul_integrations.stat_worker.slot IS 'Its number among the workers of that database, from 0.';
COMMENT ON COLUMN featul_integrations.stat_worker.state IS 'What it is doing: starting, idle, delivering; off: the setting delivery is; settings are bad: nothing is sent until they are mended, see last_error.';
COMMENT ON COLUMN featul_integrations.stat_worker.in_flight IS 'Requests under way.';
COMMENT ON COLUMN featul_integrations.stat_worker.connections IS 'Connections open to endpoints.';
COMMENT ON COLUMN featul_integrations.stat_worker.started_at IS 'Since when it runs.';
COMMENT ON COLUMN featul_integrations.stat_worker.config_loaded_at IS 'When it last read the settings.';
COMMENT ON COLUMN featul_integrations.stat_worker.last_error IS 'What went wrong last, if anything did since it started.';
COMMENT ON COLUMN featul_integrations.stat_worker.last_error_at IS 'When that was.';

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
COMMENT ON COLUMN featul_integrations.stat_capture.captured IS 'Events written.';
COMMENT ON COLUMN featul_integrations.stat_capture.skipped IS 'Changed rows that were not looked at: capture = off, or a binding that no longer holds.';
COMMENT ON COLUMN featul_integrations.stat_capture.failed IS 'Times that capture failed on account of the data, and the change was let through.';
COMMENT ON COLUMN featul_integrations.stat_capture.last_error IS 'The last such failure.';
COMMENT ON COLUMN featul_integrations.stat_capture.last_error_at IS 'When that was.';

-- ---------------------------------------------------------------------------
-- The delivery node  (application/replicated, process/apply_status)
-- ---------------------------------------------------------------------------

CREATE FUNCTION featul_integrations.publication(app_schema text DEFAULT NULL) RETURNS text
LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_publication';
REVOKE ALL ON FUNCTION featul_integrations.publication(text) FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.publication(text) IS
'The statement that publishes these tables, to be run on the application''s database: those that are bound, or featul''s own in that schema.';

-- On a node: a subscription writes to one of the bound tables at least.
CREATE FUNCTION featul_integrations.replication_problems(OUT relation regclass, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH member AS (
		SELECT b.source, b.relation, b.columns, p.relid
		FROM featul_integrations.binding b
		CROSS JOIN LATERAL (
			SELECT b.relation::oid AS relid
			UNION SELECT t.relid FROM pg_partition_tree(b.relation) t
			UNION SELECT a.relid FROM pg_partition_ancestors(b.relation) a) p
	), bound AS (
		SELECT m.source, m.relation, m.columns, sum(pg_relation_size(m.relid)) = 0 AS empty,
			array_agg(s.subname ORDER BY s.subname) FILTER (WHERE s.oid IS NOT NULL) AS subscriptions,
			bool_and(r.srsubstate = 'r' AND r.srsublsn IS NULL) AS uncopied,
			bool_and(r.srsubstate <> 'r' AND NOT s.subenabled) AS waits
		FROM member m
		LEFT JOIN pg_subscription_rel r ON r.srrelid = m.relid
		LEFT JOIN pg_subscription s ON s.oid = r.srsubid
		GROUP BY m.source, m.relation, m.columns
	), looked_up AS (
		SELECT b.relation, array_agg(a.attname::text ORDER BY u.n) AS names, array_agg(a.attnum ORDER BY u.n) AS keys
		FROM bound b
		CROSS JOIN unnest(CASE b.source WHEN 'member' THEN '{workspace_id,user_id}'
			WHEN 'vote' THEN '{}' WHEN 'mention' THEN '{}' WHEN 'reaction' THEN '{}'
			ELSE '{id}' END::text[]) WITH ORDINALITY AS u (canonical, n)
		JOIN pg_attribute a ON a.attrelid = b.relation AND quote_ident(a.attname) = b.columns ->> u.canonical
		GROUP BY b.relation
	)
	SELECT b.relation, 'is not replicated', 'On the publisher: ALTER PUBLICATION ... ADD TABLE '
		|| b.relation || '; here: ALTER SUBSCRIPTION ... REFRESH PUBLICATION'
	FROM bound b
	WHERE b.subscriptions IS NULL AND EXISTS (SELECT FROM bound o WHERE o.subscriptions IS NOT NULL)
	UNION ALL
	SELECT b.relation, 'was never copied, and is empty',
		'What was there before is unknown here. Copy it: ALTER SUBSCRIPTION '
		|| quote_ident(b.subscriptions[1]) || CASE WHEN b.waits THEN ' ENABLE'
			ELSE ' SET PUBLICATION without it, then with it again (copy_data is on by default)' END
	FROM bound b WHERE b.empty AND (b.uncopied OR b.waits)
	UNION ALL
	SELECT b.relation, 'has no primary key',
		'The publisher''s UPDATE and DELETE are found by it: ALTER TABLE ' || b.relation || ' ADD PRIMARY KEY ('
		|| coalesce(b.columns ->> 'id', '...') || ')'
	FROM bound b
	WHERE b.subscriptions IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_index i WHERE i.indrelid = b.relation AND (i.indisprimary OR i.indisreplident) AND i.indisvalid)
	UNION ALL
	SELECT b.relation, 'has no index on what is looked up: ' || array_to_string(l.names, ', '),
		'CREATE INDEX ON ' || b.relation || ' (' || (SELECT string_agg(quote_ident(n), ', ') FROM unnest(l.names) n) || ')'
	FROM bound b JOIN looked_up l ON l.relation = b.relation
	WHERE b.subscriptions IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_index i WHERE i.indrelid = b.relation AND i.indisvalid AND i.indpred IS NULL
			AND i.indkey[0] = ANY (l.keys))
$$;
REVOKE ALL ON FUNCTION featul_integrations.replication_problems() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.replication_problems() IS
'On a delivery node: what is missing of the bound tables (replication, a first copy, a primary key, an index on what is looked up), and what to do. integration_attach() warns of the same.';

CREATE FUNCTION featul_integrations.apply_status(OUT subscription oid, OUT applied_at timestamptz,
	OUT lag_seconds double precision, OUT last_error text, OUT last_error_at timestamptz, OUT missing_columns text,
	OUT failed_at timestamptz, OUT captures boolean)
RETURNS SETOF record
LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_apply_status';
REVOKE ALL ON FUNCTION featul_integrations.apply_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.apply_status() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.apply_status() IS 'What view stat_subscription shows beyond PostgreSQL''s own statistics.';

CREATE VIEW featul_integrations.stat_subscription AS
SELECT s.subname AS subscription, f.state, t.copying,
	-- table "x.y" ... column: "z"
	substring(a.missing_columns FROM '"([^"]*)"') || substring(a.missing_columns FROM ': ".*$') AS missing_columns,
	w.last_message_at,
	round(CASE
		WHEN f.state IN ('streaming', 'copying') THEN greatest(
			-- the age of what was applied last counts while there is more to apply; a message that
			-- was sent after it came shows that the publisher's clock is ahead
			CASE WHEN w.busy_since IS NOT NULL OR a.applied_at > clock_timestamp() - interval '5 seconds'
				THEN a.lag_seconds + greatest(extract(epoch FROM w.sent_ahead), 0) ELSE 0 END, 0,
			extract(epoch FROM clock_timestamp() - w.busy_since),
			-- silence: an idle publisher answers twice in wal_receiver_timeout
			CASE WHEN w.last_message_at < clock_timestamp() - interval '60 seconds'
				THEN extract(epoch FROM clock_timestamp() - w.last_message_at) END)
		ELSE extract(epoch FROM clock_timestamp() - a.applied_at) END::numeric, 3) AS lag_seconds,
	-- apply_error_count and sync_error_count; from 19 on there are two of the latter
	(SELECT sum(k.value::bigint)::bigint FROM pg_catalog.jsonb_each_text(pg_catalog.to_jsonb(c)) k
		WHERE k.key LIKE '%!_error!_count' ESCAPE '!') AS errors, a.last_error, a.last_error_at, a.captures
FROM pg_catalog.pg_subscription s
JOIN pg_catalog.pg_database d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
CROSS JOIN LATERAL (
	-- one that is still connecting, for minutes if nothing answers, has the times of its own start
	SELECT count(p.received_lsn) > 0 AS is_heard,
		count(b.pid) FILTER (WHERE p.received_lsn IS NOT NULL OR b.wait_event = 'LogicalApplyMain') > 0 AS runs,
		max(p.last_msg_receipt_time) AS last_message_at,
		max(p.last_msg_send_time - p.last_msg_receipt_time) AS sent_ahead,
		min(b.backend_start) AS started_at, min(b.xact_start) AS busy_since
	FROM pg_catalog.pg_stat_subscription p
	LEFT JOIN pg_catalog.pg_stat_activity b ON b.pid = p.pid
	WHERE p.subid = s.oid AND p.relid IS NULL) AS w
CROSS JOIN LATERAL (
	SELECT array_agg(r.srrelid::regclass::text ORDER BY r.srrelid::regclass::text) AS copying
	FROM pg_catalog.pg_subscription_rel r
	WHERE r.srsubid = s.oid AND r.srsubstate <> 'r') AS t
LEFT JOIN featul_integrations.apply_status() a ON a.subscription = s.oid
LEFT JOIN pg_catalog.pg_stat_subscription_stats c ON c.subid = s.oid
CROSS JOIN LATERAL (
	SELECT CASE WHEN NOT s.subenabled THEN 'disabled' WHEN NOT w.runs THEN 'stopped'
		WHEN t.copying IS NOT NULL THEN 'copying'
		-- one has failed, and nothing was applied since: it is ending, or the next may fail at the same
		WHEN a.failed_at > w.started_at OR a.failed_at IS NOT NULL AND (w.busy_since IS NOT NULL
			OR NOT w.is_heard OR w.started_at > clock_timestamp() - interval '10 seconds')
		THEN 'stopped' ELSE 'streaming' END AS state) AS f;
GRANT SELECT ON featul_integrations.stat_subscription TO pg_monitor;
COMMENT ON VIEW featul_integrations.stat_subscription IS
'The subscriptions of this database, where it is a delivery node: none elsewhere.';
COMMENT ON COLUMN featul_integrations.stat_subscription.subscription IS 'Its name; that of its slot on the publisher too, by default.';
COMMENT ON COLUMN featul_integrations.stat_subscription.state IS
'streaming; copying: tables are being copied, and nothing is announced; disabled; stopped: there is no apply worker now, or it has not reached the publisher yet, as last_error may explain.';
COMMENT ON COLUMN featul_integrations.stat_subscription.copying IS 'The tables that are not ready yet; NULL: none.';
COMMENT ON COLUMN featul_integrations.stat_subscription.missing_columns IS
'Columns that the publisher has and the table here lacks, as far as the last error says: nothing more is applied until they are added.';
COMMENT ON COLUMN featul_integrations.stat_subscription.last_message_at IS 'When the publisher was heard last; NULL while there is no apply worker.';
COMMENT ON COLUMN featul_integrations.stat_subscription.lag_seconds IS
'How far behind the publisher it is: between a commit there and here, or for how long a change has been waiting; disabled or stopped: since the last change that came.';
COMMENT ON COLUMN featul_integrations.stat_subscription.errors IS 'Errors while applying or copying, since the statistics were reset.';
COMMENT ON COLUMN featul_integrations.stat_subscription.last_error IS 'Why a worker of this subscription ended, since the server started; it may be over.';
COMMENT ON COLUMN featul_integrations.stat_subscription.last_error_at IS 'When.';
COMMENT ON COLUMN featul_integrations.stat_subscription.captures IS
'The setting capture as the last change was applied with: the owner of the subscription may have one of its own (ALTER ROLE ... SET). NULL: none came since the server started.';

CREATE FUNCTION featul_integrations.latency_bounds() RETURNS integer[]
LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_latency_bounds';
REVOKE ALL ON FUNCTION featul_integrations.latency_bounds() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.latency_bounds() TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.latency_bounds() IS
'Upper bounds, in ms, of the counts in health.latency; the last count there is of what took longer.';

CREATE FUNCTION featul_integrations.latency_add(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'featul_latency_add';
REVOKE ALL ON FUNCTION featul_integrations.latency_add(bigint[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.latency_add(bigint[], bigint[]) IS 'Adds two arrays of counts as latency_bounds() divides them, element by element.';

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
		JOIN featul_integrations.event e ON e.partition = q.event_partition AND e.id = q.event_id
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
COMMENT ON COLUMN featul_integrations.stat_integrations.integration_id IS 'The integration.';
COMMENT ON COLUMN featul_integrations.stat_integrations.workspace_id IS 'The application''s id of its workspace.';
COMMENT ON COLUMN featul_integrations.stat_integrations.type IS 'Its kind.';
COMMENT ON COLUMN featul_integrations.stat_integrations.status IS 'active, failing (its last attempt failed) or inactive.';
COMMENT ON COLUMN featul_integrations.stat_integrations.pending IS 'Deliveries that wait.';
COMMENT ON COLUMN featul_integrations.stat_integrations.oldest_pending_at IS 'When the oldest of them happened.';
COMMENT ON COLUMN featul_integrations.stat_integrations.delivered IS 'Deliveries that succeeded, since it was connected.';
COMMENT ON COLUMN featul_integrations.stat_integrations.failed IS 'Deliveries that failed for good.';
COMMENT ON COLUMN featul_integrations.stat_integrations.retried IS 'Attempts after which another was due.';
COMMENT ON COLUMN featul_integrations.stat_integrations.last_http_status IS 'Of its last answer.';
COMMENT ON COLUMN featul_integrations.stat_integrations.avg_ms IS 'How long attempts took on average.';
COMMENT ON COLUMN featul_integrations.stat_integrations.p95_ms IS '95 of 100 attempts took no longer.';

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
COMMENT ON COLUMN featul_integrations.stat_latency.type IS 'The kind of integration.';
COMMENT ON COLUMN featul_integrations.stat_latency.le_ms IS 'Upper bounds, in ms.';
COMMENT ON COLUMN featul_integrations.stat_latency.counts IS 'Attempts that took no longer than these.';
COMMENT ON COLUMN featul_integrations.stat_latency.sum_ms IS 'What all attempts took together, in ms.';
COMMENT ON COLUMN featul_integrations.stat_latency.count IS 'All attempts.';
COMMENT ON COLUMN featul_integrations.stat_latency.delivered IS 'Deliveries that succeeded.';
COMMENT ON COLUMN featul_integrations.stat_latency.failed IS 'Deliveries that failed for good.';
COMMENT ON COLUMN featul_integrations.stat_latency.retried IS 'Attempts after which another was due.';

CREATE FUNCTION featul_integrations.workspaces(ids text[], workspace_slug text DEFAULT NULL)
RETURNS TABLE (id text, slug text, paid boolean)
LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'featul_workspaces';
REVOKE ALL ON FUNCTION featul_integrations.workspaces(text[], text) FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.workspaces(text[], text) IS
'The application''s workspaces with these ids, and the one with this slug; none before the first attach. For report() and diagnose().';

CREATE FUNCTION featul_integrations.age_text(age interval) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN s < 120 THEN round(s) || ' s'
		WHEN s < 7200 THEN round(s / 60) || ' min'
		WHEN s < 172800 THEN round(s / 3600) || ' h'
		ELSE round(s / 86400) || ' d'
	END
	FROM (SELECT greatest(extract(epoch FROM age), 0)) AS seconds (s)
$$;
REVOKE ALL ON FUNCTION featul_integrations.age_text(interval) FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.age_text(interval) IS 'A duration in its largest unit, for people.';

CREATE FUNCTION featul_integrations.worker_status(OUT status text, OUT what text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN w.pid IS NOT NULL THEN 'up' ELSE 'down' END,
		CASE
			WHEN NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = 'featul_integrations.workers') THEN 'not preloaded'
			WHEN pg_is_in_recovery() THEN 'a standby: sends nothing'
			WHEN NOT current_setting('featul_integrations.delivery', true)::boolean THEN 'delivery is off'
			WHEN w.pid IS NULL THEN 'see the server log'
			WHEN w.last_error_at > now() - interval '1 hour' THEN replace(w.last_error, 'featul_integrations.', '')
			ELSE 'since ' || to_char(w.started_at, 'YYYY-MM-DD HH24:MI')
		END
	FROM pg_database d
	LEFT JOIN LATERAL (
		SELECT s.* FROM featul_integrations.worker_slots() s
		WHERE s.database = d.oid ORDER BY s.started_at LIMIT 1) w ON true
	WHERE d.datname = current_database()
$$;
REVOKE ALL ON FUNCTION featul_integrations.worker_status() FROM PUBLIC;
COMMENT ON FUNCTION featul_integrations.worker_status() IS
'Whether this database''s worker is up, since when, and what keeps it from sending; for report().';

-- The terminal dashboard.  Characters beyond ASCII come from chr(), so that the
-- script installs in every database encoding; not of a constant, which would be
-- evaluated beforehand, and fail in others than UTF8.  What needs a look at every attempt is
-- done once for all integrations; the row of zeros stands for all of them together.
CREATE FUNCTION featul_integrations.report(workspace_slug text DEFAULT NULL, max_rows integer DEFAULT 50)
RETURNS TABLE (workspace text, type text, status text, last_24_hours text, attempts bigint,
	success text, p95 text, pending text, next text, worst_error text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '32MB'
AS $$
DECLARE
	utf8 CONSTANT boolean := getdatabaseencoding() = 'UTF8';
	more CONSTANT text := chr(CASE WHEN utf8 THEN 8230 ELSE ascii('~') END);
	every CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
	slugs jsonb;
	only_id text;
BEGIN
	BEGIN
		SELECT jsonb_object_agg(w.id, w.slug), max(w.id) FILTER (WHERE w.slug = workspace_slug)
		INTO slugs, only_id
		FROM featul_integrations.workspaces(
			ARRAY(SELECT DISTINCT i.workspace_id FROM featul_integrations.integration i), workspace_slug) w;
	EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_table OR undefined_column THEN
		NULL;		-- the binding does not hold: ids stand for slugs
	END;
	IF workspace_slug IS NOT NULL AND only_id IS NULL THEN
		RAISE EXCEPTION 'Workspace not found' USING ERRCODE = 'PT404',
			HINT = 'Give the slug of a workspace that exists.';
	END IF;

	RETURN QUERY
	WITH chosen AS MATERIALIZED (
		SELECT s.*, h.failures, h.hold_until, i.inactive_reason
		FROM featul_integrations.stat_integrations s
		JOIN featul_integrations.integration i ON i.id = s.integration_id
		LEFT JOIN featul_integrations.health h ON h.integration_id = s.integration_id
		WHERE only_id IS NULL OR s.workspace_id = only_id
	), recent AS MATERIALIZED (
		SELECT a.integration_id, 11 - floor(date_part('epoch', now() - a.at) / 7200)::integer AS bucket,
			a.state = 'delivered' AS good, a.http_status, a.error, a.duration_ms
		FROM featul_integrations.attempt a
		JOIN chosen c ON c.integration_id = a.integration_id
		WHERE a.at > now() - interval '24 hours' AND a.at <= now() AND a.state <> 'cancelled'
	), counted AS (
		SELECT coalesce(r.integration_id, every) AS id, r.bucket,
			count(*) FILTER (WHERE r.good) AS delivered, count(*) FILTER (WHERE NOT r.good) AS failed
		FROM recent r
		GROUP BY GROUPING SETS ((r.integration_id, r.bucket), (r.bucket))
	), peak AS (
		SELECT c.id, max(c.delivered + c.failed) AS n FROM counted c GROUP BY c.id
	), day AS (
		SELECT p.id, sum(c.delivered)::bigint AS delivered, sum(c.failed)::bigint AS failed,
			string_agg(CASE
				WHEN c.id IS NULL THEN chr(CASE WHEN utf8 THEN 183 ELSE ascii('.') END)
				WHEN c.failed > c.delivered THEN chr(CASE WHEN utf8 THEN 215 ELSE ascii('x') END)
				WHEN utf8 THEN chr(9600 + ceil(8.0 * (c.delivered + c.failed) / p.n)::integer)
				ELSE substr('_-=+oO0#', ceil(8.0 * (c.delivered + c.failed) / p.n)::integer, 1)
			END, '' ORDER BY bucket.n) AS bar
		FROM peak p
		CROSS JOIN generate_series(0, 11) AS bucket (n)
		LEFT JOIN counted c ON c.id = p.id AND c.bucket = bucket.n
		GROUP BY p.id
	), slow AS (
		SELECT r.integration_id AS id, percentile_disc(0.95) WITHIN GROUP (ORDER BY r.duration_ms) || ' ms' AS p95
		FROM recent r
		GROUP BY r.integration_id
	), error AS (
		SELECT DISTINCT ON (g.id) g.id, g.n || ' x ' || CASE
				WHEN g.http_status IS NULL THEN coalesce(g.error, 'no answer')
				ELSE 'HTTP ' || g.http_status || CASE
					WHEN g.http_status < 400 THEN ', a redirect'
					WHEN g.http_status IN (401, 403) THEN ', access denied'
					WHEN g.http_status = 404 THEN ', no such webhook'
					WHEN g.http_status = 410 THEN ', gone for good'
					WHEN g.http_status = 413 THEN ', too large'
					WHEN g.http_status = 429 THEN ', slow down'
					WHEN g.http_status < 500 THEN ', refused'
					ELSE '' END
				END AS what
		FROM (SELECT r.integration_id AS id, r.http_status,
				CASE WHEN r.http_status IS NULL THEN r.error END AS error, count(*) AS n
			FROM recent r WHERE NOT r.good GROUP BY 1, 2, 3) AS g
		ORDER BY g.id, g.n DESC, what
	), due AS (		-- where only probes go out, the latest one has noted when the next does
		SELECT q.integration_id AS id, CASE WHEN c.failures >= 10 THEN max(q.next_attempt_at)
			ELSE min(coalesce(q.next_attempt_at, '-infinity')) END AS at
		FROM featul_integrations.queue q
		JOIN chosen c ON c.integration_id = q.integration_id
		WHERE c.status <> 'inactive'
		GROUP BY q.integration_id, c.failures
	), line AS (
		SELECT every AS id, 0 AS rank, '(worker)' AS workspace, NULL::text AS type, w.status, sum(c.pending)::bigint AS pending,
			min(c.oldest_pending_at) AS since, NULL::timestamptz AS next, w.what
		FROM (SELECT s.status, s.what FROM featul_integrations.worker_status() s) AS w
		LEFT JOIN chosen c ON true
		GROUP BY w.status, w.what
		UNION ALL
		SELECT c.integration_id, 1, coalesce(slugs ->> c.workspace_id, c.workspace_id), c.type, c.status, c.pending,
			c.oldest_pending_at, CASE WHEN c.status <> 'inactive' AND c.pending > 0 THEN greatest(d.at, c.hold_until) END,
			CASE WHEN c.status = 'inactive' THEN coalesce(c.inactive_reason, e.what) ELSE e.what END
		FROM chosen c
		LEFT JOIN due d ON d.id = c.integration_id
		LEFT JOIN error e ON e.id = c.integration_id
	)
	SELECT CASE WHEN length(l.workspace) > 14 THEN left(l.workspace, 13) || more ELSE l.workspace END, l.type, l.status,
		coalesce(d.bar, repeat(chr(CASE WHEN utf8 THEN 183 ELSE ascii('.') END), 12)), coalesce(d.delivered + d.failed, 0),
		coalesce(round(100.0 * d.delivered / nullif(d.delivered + d.failed, 0), 1) || ' %', ''), coalesce(s.p95, ''),
		coalesce(l.pending, 0) || coalesce(', ' || featul_integrations.age_text(now() - l.since), ''),
		CASE WHEN l.next > now() THEN featul_integrations.age_text(l.next - now()) ELSE '' END,
		coalesce(CASE WHEN length(l.what) > 28 THEN left(l.what, 27) || more ELSE l.what END, '')
	FROM line l
	LEFT JOIN day d ON d.id = l.id
	LEFT JOIN slow s ON s.id = l.id
	ORDER BY l.rank, coalesce(d.failed, 0) DESC, l.pending DESC, l.workspace, l.type
	LIMIT greatest(max_rows, 0)::bigint + 1;
END
$$;
REVOKE ALL ON FUNCTION featul_integrations.report(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.report(text, integer) TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.report(text, integer) IS
'The last 24 hours of every integration (of this workspace, if given) on one screen of psql: attempts by two hours as bars (a cross: most failed), success rate, 95th percentile of durations, what waits and since when, in how long the next attempt goes out where that is later than now, the most frequent error. A line about the worker and all of them together, then the worst.';

CREATE FUNCTION featul_integrations.diagnose(workspace_slug text DEFAULT NULL)
RETURNS TABLE ("check" text, ok boolean, what_to_do text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	here CONSTANT oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	preloaded CONSTANT boolean := EXISTS (SELECT FROM pg_settings s WHERE s.name = 'featul_integrations.workers');
	broken text;	-- why workspaces cannot be looked up
	stalled text;
	unfit text;		-- a column that no longer is what was bound
	the_id text;
	is_paid boolean;
BEGIN
	BEGIN
		SELECT w.id, w.paid INTO the_id, is_paid FROM featul_integrations.workspaces('{}', workspace_slug) w;
	EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_table OR undefined_column THEN
		broken := SQLERRM;
	END;
	-- who may not see since when other processes run finds one that fails again and again by its errors
	stalled := (SELECT s.subscription || ' is ' || CASE s.state WHEN 'streaming' THEN 'stopped' ELSE s.state END ||
			coalesce(': ' || s.last_error, '')
		FROM featul_integrations.stat_subscription s
		WHERE s.state <> 'streaming' OR s.last_error_at > now() - interval '10 seconds' LIMIT 1);
	unfit := (SELECT b.source || '.' || b.canonical || ': ' || b.state FROM featul_integrations.bindings() b
		WHERE b.state <> 'ok' LIMIT 1);

	-- NULL: it cannot be known, or follows from what is said already, and is left out
	RETURN QUERY SELECT v.name, v.ok, CASE WHEN NOT v.ok THEN v.todo END
	FROM (VALUES
		('the library is preloaded', preloaded,
			'Add featul_integrations to shared_preload_libraries and restart the server.'),
		('this server is no standby', NOT pg_is_in_recovery(),
			'A standby sends nothing: look at the primary, or promote this one.'),
		('delivery is on', current_setting('featul_integrations.delivery', true)::boolean,
			'Set featul_integrations.delivery = on and reload, unless this is a copy for testing.'),
		('a worker runs for this database',
			CASE WHEN preloaded AND NOT pg_is_in_recovery() THEN EXISTS (
				SELECT FROM featul_integrations.worker_slots() s WHERE s.database = here AND s.pid IS NOT NULL) END,
			'See the server log; max_worker_processes must leave room for it.'),
		('the worker met no error in the last hour',
			NOT EXISTS (SELECT FROM featul_integrations.worker_slots() s
				WHERE s.database = here AND s.last_error_at > now() - interval '1 hour'),
			(SELECT 'It says: ' || s.last_error FROM featul_integrations.worker_slots() s
				WHERE s.database = here ORDER BY s.last_error_at DESC NULLS LAST LIMIT 1)),
		('the subscription streams', CASE WHEN EXISTS (SELECT FROM featul_integrations.stat_subscription)
				THEN stalled IS NULL END,
			'Nothing comes from the publisher (docs/node.md says what to do): ' || stalled),
		('tables are attached', EXISTS (SELECT FROM featul_integrations.binding),
			'Run integration_attach().'),
		('the bindings hold', coalesce(unfit, broken) IS NULL, 'Run integration_attach() again: ' || coalesce(unfit, broken)),
		('the triggers are there and enabled',
			NOT EXISTS (SELECT FROM featul_integrations.binding b
				WHERE b.source IN ('post', 'comment', 'vote', 'mention', 'reaction') AND NOT EXISTS (
					SELECT FROM pg_trigger t
					JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'featul_integrations'::regnamespace
					WHERE t.tgrelid = b.relation AND t.tgenabled <> 'D')),
			'Run integration_attach() again, or ALTER TABLE ... ENABLE TRIGGER.'),
		('capture is on in this session', current_setting('featul_integrations.capture', true)::boolean,
			'Look at ALTER DATABASE and ALTER ROLE ... SET featul_integrations.capture.'),
		('capture met nothing it could not handle in the last hour',
			NOT EXISTS (SELECT FROM featul_integrations.capture_counters() c
				WHERE c.last_error_at > now() - interval '1 hour'),
			(SELECT 'Mend what its warnings in the server log say; the last: ' || c.last_error
				FROM featul_integrations.capture_counters() c)),
		('no integration came with a copy of another database',
			NOT EXISTS (SELECT FROM featul_integrations.integration i
				LEFT JOIN featul_integrations.health h ON h.integration_id = i.id
				WHERE i.is_active AND h.database IS DISTINCT FROM here),
			'If this database is to send: SELECT featul_integrations.activate_restored().'),
		('the workspace is there',
			CASE WHEN workspace_slug IS NOT NULL AND broken IS NULL THEN the_id IS NOT NULL END,
			'Give the slug of a workspace that exists.'),
		('its plan has integrations', CASE WHEN the_id IS NOT NULL THEN coalesce(is_paid, false) END,
			'It needs the plan starter or professional.'),
		('an integration is connected',
			CASE WHEN workspace_slug IS NULL OR the_id IS NOT NULL THEN
				EXISTS (SELECT FROM featul_integrations.integration i WHERE i.workspace_id = the_id OR the_id IS NULL) END,
			'Connect one with integration_connect().')
	) AS v (name, ok, todo)
	WHERE v.ok IS NOT NULL;

	RETURN QUERY SELECT i.type || ' of ' || coalesce(workspace_slug, CASE WHEN broken IS NULL THEN
			(SELECT w.slug FROM featul_integrations.workspaces(ARRAY[i.workspace_id]) w) END, i.workspace_id) || v.name,
		v.ok, CASE WHEN NOT v.ok THEN v.todo END
	FROM featul_integrations.integration i
	LEFT JOIN featul_integrations.health h ON h.integration_id = i.id
	CROSS JOIN LATERAL (VALUES
		(' is active', i.is_active,
			'Connect it again with integration_connect(): ' || coalesce(i.inactive_reason, 'inactive')),
		(' answers', coalesce(h.failures, 0) = 0,
			CASE WHEN h.failures >= 10 THEN 'Only probes go out until one succeeds. ' ELSE '' END
			|| 'Try integration_test(). Last: ' || coalesce(h.last_error, 'HTTP ' || h.last_http_status)),
		(' asks for no pause', coalesce(h.hold_until <= now(), true),
			'It is sent nothing for ' || featul_integrations.age_text(h.hold_until - now()) || ', as it asked.')
	) AS v (name, ok, todo)
	-- of all workspaces only what is wrong, and not more than one can read
	WHERE CASE WHEN workspace_slug IS NULL THEN NOT v.ok ELSE i.workspace_id = the_id END
		AND (i.is_active OR v.name = ' is active')
	ORDER BY i.workspace_id, i.type, v.name
	LIMIT 100;
END
$$;
REVOKE ALL ON FUNCTION featul_integrations.diagnose(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.diagnose(text) TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.diagnose(text) IS
'Nothing is sent? Each thing that must hold, in general and for this workspace, whether it does (ok), and what to do where it does not. Looks only, and changes nothing.';

-- ---------------------------------------------------------------------------
-- Whose all this is
-- ---------------------------------------------------------------------------

-- Schema, tables, views and functions are the role's, which SECURITY DEFINER functions and
-- capture thereby become; what is for the extension's owner alone stays the owner's.
-- What follows each change of owner changes no right: it tells pg_dump that this is how
-- the extension is installed.
DO $$
DECLARE
	object record;
BEGIN
	ALTER SCHEMA featul_integrations OWNER TO featul_integrations;
	REVOKE ALL ON SCHEMA featul_integrations FROM PUBLIC;
	FOR object IN
		SELECT c.oid::regclass AS name, c.relacl IS NOT NULL AS has_rights FROM pg_class c
		WHERE c.relnamespace = 'featul_integrations'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
	LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO featul_integrations', object.name);
		IF object.has_rights THEN
			EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC', object.name);
		END IF;
	END LOOP;
	FOR object IN
		SELECT p.oid::regprocedure AS name FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		WHERE e.extname = 'featul_integrations' AND (p.prosecdef
			OR p.pronamespace = 'featul_integrations'::regnamespace AND p.proname <> 'activate_restored')
	LOOP
		EXECUTE format('ALTER FUNCTION %s OWNER TO featul_integrations', object.name);
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', object.name);
	END LOOP;
END
$$;

-- The extension's owner may do all of it, and open the API to others, also when no superuser any more; but
-- not have functions of their own run by what writes these tables (TRIGGER).
DO $$
DECLARE
	function regprocedure;
BEGIN
	GRANT USAGE ON SCHEMA featul_integrations TO CURRENT_USER;
	GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA featul_integrations TO CURRENT_USER;
	-- which tables are read, with the rights of their owners, integration_attach() alone says
	REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON featul_integrations.binding FROM CURRENT_USER;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA featul_integrations TO CURRENT_USER;
	FOR function IN
		SELECT p.oid FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		WHERE e.extname = 'featul_integrations' AND p.proowner = 'featul_integrations'::regrole
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO CURRENT_USER WITH GRANT OPTION', function);
	END LOOP;
END
$$;

-- The library is loaded by now; this setting exists only where it was preloaded.
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_settings WHERE name = 'featul_integrations.workers') THEN
		RAISE WARNING 'featul_integrations is not preloaded: events queue, and nothing is delivered'
			USING HINT = 'Add featul_integrations to shared_preload_libraries and restart the server.';
	END IF;
END
$$;
