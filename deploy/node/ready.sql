-- t: the node tells of what happens now; anything else: it does not, or not in time.
-- For a readiness or health probe: psql -XqAt -f ready.sql
--
-- In this order: what commits on the publisher arrives; each worker that delivers runs, and
-- may; the application's tables are as they were attached, and replicated; capture is on.  An
-- endpoint, dead or slow, has no part in it.  A role in pg_monitor may ask.
SELECT coalesce(bool_and(s.state = 'streaming' AND s.lag_seconds < 60 AND s.captures IS NOT FALSE), false)
	AND (SELECT count(*) = current_setting('featul_integrations.workers')::integer
		FROM featul_integrations.stat_worker w
		WHERE w.database = current_database() AND w.state IN ('idle', 'delivering'))
	AND (SELECT count(*) > 0 AND bool_and(b.state = 'ok') FROM featul_integrations.bindings b)
	AND EXISTS (SELECT FROM pg_subscription_rel)
	AND current_setting('featul_integrations.capture')::boolean
FROM featul_integrations.stat_subscription s;
