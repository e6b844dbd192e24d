--
-- What operators look at: stat_integrations, stat_latency, report()
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS featul_integrations;
RESET client_min_messages;
\set here '(SELECT oid FROM pg_database WHERE datname = current_database())'

BEGIN;
DELETE FROM featul_integrations.integration;
DELETE FROM featul_integrations.health;
DELETE FROM featul_integrations.queue;
DELETE FROM featul_integrations.event;
DELETE FROM featul_integrations.total;
INSERT INTO featul_integrations.integration (id, workspace_id, type, webhook_url, is_active) VALUES
	('00000000-0000-0000-0000-00000000000a', 'w1', 'slack', 'https://hooks.slack.com/services/secret', true),
	('00000000-0000-0000-0000-00000000000b', 'w1', 'webhook', 'https://example.com/secret', true),
	('00000000-0000-0000-0000-00000000000c', 'w2', 'webhook', 'https://example.org/secret', false),
	('00000000-0000-0000-0000-00000000000d', 'w3', 'discord', 'https://discord.com/secret', true);
-- the last one came with a copy of another database
INSERT INTO featul_integrations.health (integration_id, database, type, failures, last_http_status,
	delivered, failed, retried, latency, latency_sum_ms)
SELECT v.id::uuid, CASE v.type WHEN 'discord' THEN 0::oid ELSE :here END, v.type, v.failures, v.status,
	v.delivered, v.failed, v.retried, v.latency::bigint[], v.sum
FROM (VALUES
	('00000000-0000-0000-0000-00000000000a', 'slack', 0, 200, 100, 0, 0, '{50,40,0,10,0,0,0,0,0,0,0}', 2500),
	('00000000-0000-0000-0000-00000000000b', 'webhook', 2, 500, 7, 1, 4, '{0,0,0,0,0,0,10,0,0,0,2}', 35000),
	('00000000-0000-0000-0000-00000000000c', 'webhook', 0, NULL, 0, 0, 0, '{0,0,0,0,0,0,0,0,0,0,0}', 0),
	('00000000-0000-0000-0000-00000000000d', 'discord', 0, 204, 9, 9, 9, '{9,0,0,0,0,0,0,0,0,0,0}', 9)
) AS v (id, type, failures, status, delivered, failed, retried, latency, sum);
INSERT INTO featul_integrations.total VALUES (:here, 'slack', 11, 2, 3, '{1,0,0,0,0,0,0,0,0,0,1}', 20000);

INSERT INTO featul_integrations.event (partition, id, name, workspace_id, post_id, payload, created_at)
SELECT 0, 1000000000 + n, 'post.created', 'w1', 'p', '{}', timestamptz '2026-01-01 00:00:00+00' + n * interval '1 hour'
FROM generate_series(1, 3) n;
INSERT INTO featul_integrations.queue (integration_id, event_partition, event_id, post_id)
SELECT i::uuid, 0, 1000000000 + n, 'p'
FROM unnest(ARRAY['00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-00000000000c']) i, generate_series(2, 3) n;

SELECT workspace_id, type, status, pending, oldest_pending_at AT TIME ZONE 'UTC' AS oldest, delivered, failed,
	retried, last_http_status, avg_ms, p95_ms
FROM featul_integrations.stat_integrations ORDER BY 1, 2;
SELECT * FROM featul_integrations.stat_latency ORDER BY type;

-- three hours ago all went well, two hours ago most failed, one hour ago little happened
INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id, type, event_partition,
	event_id, state, attempts, http_status, error, duration_ms, at)
SELECT 0, 'w1', 1, '00000000-0000-0000-0000-00000000000b', 'webhook', 0, 1, v.state, 1, v.status, v.error, 20 * n,
	now() - v.hours * interval '1 hour' - interval '1 second'
FROM (VALUES ('delivered', 3, 200, NULL, 8), ('pending', 2, 500, 'HTTP 500', 5),
	('failed', 2, NULL, 'could not connect', 1), ('delivered', 2, 204, NULL, 1), ('delivered', 1, 200, NULL, 1),
	('delivered', 30, 200, NULL, 9), ('cancelled', 1, NULL, 'the integration was disconnected', 9)
) AS v (state, hours, status, error, count), generate_series(1, v.count) n;
SELECT workspace, type, CASE WHEN type IS NOT NULL THEN status END AS status, last_24_hours, attempts, success, p95, worst_error
FROM featul_integrations.report();
SELECT pending ~ '^2, [0-9]+ d$' AS pending, next FROM featul_integrations.report() WHERE type = 'webhook' AND status = 'failing';

-- for pg_monitor too, and for nobody else
CREATE ROLE regress_featul_monitor IN ROLE pg_monitor;
CREATE ROLE regress_featul_nobody;
SET LOCAL ROLE regress_featul_monitor;
SELECT count(*) FROM featul_integrations.stat_integrations;
SELECT count(*) FROM featul_integrations.stat_latency;
SELECT count(*) FROM featul_integrations.report();
SELECT count(*) >= 0 AS readable FROM featul_integrations.stat_worker;
SELECT count(*) FROM featul_integrations.stat_capture;
SAVEPOINT refused;
SELECT * FROM featul_integrations.deliveries;
ROLLBACK TO refused;
SELECT * FROM featul_integrations.integration;
ROLLBACK TO refused;
SET LOCAL ROLE regress_featul_nobody;
SELECT * FROM featul_integrations.report();
ROLLBACK;
