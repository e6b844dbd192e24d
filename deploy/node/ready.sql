-- t: the node tells of what happens now; anything else: it does not, or not in time.
-- For a readiness or health probe: psql -XqAt -f ready.sql
SELECT coalesce(bool_and(s.state = 'streaming' AND s.lag_seconds < 60), false)
	AND EXISTS (SELECT FROM featul_integrations.stat_worker w WHERE w.database = current_database())
FROM featul_integrations.stat_subscription s;
