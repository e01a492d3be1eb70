-- What monitoring reads: figures without rows of anyone, for image_gen_admin and PostgreSQL's own role pg_monitor. A view a noun.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE VIEW image_gen.call_stats AS
SELECT a.provider, a.model, a.status::text AS status, coalesce(a.error_code, '') AS error_code, a.currency, sum(a.sends)::bigint AS calls,
       coalesce(sum(a.billed_cost), 0) AS billed, count(*) FILTER (WHERE a.billed_cost IS NULL) AS unknown_costs,
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.finished_at - a.created_at)))::numeric, 3) AS p50_seconds,
       round((percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM a.finished_at - a.created_at)))::numeric, 3) AS p95_seconds
  FROM image_gen.attempts a WHERE a.created_at > now() - interval '1 hour' AND a.status <> 'running'
 GROUP BY a.provider, a.model, a.status, a.error_code, a.currency;
COMMENT ON VIEW image_gen.call_stats IS
'The calls that began within the last hour and are over, by provider, model and how they ended (status, error_code: empty where it is none): how many, what they were billed in currency as far as known, of how many the
cost is unknown, and how long they took from the intent to the end, in seconds. Error rates by class, throughput and spend follow from it. No rows are shown.';

CREATE VIEW image_gen.throughput AS
SELECT m.minute, coalesce(f.calls, 0) AS calls, coalesce(f.succeeded, 0) AS succeeded, coalesce(f.refused, 0) AS refused, coalesce(f.failed, 0) AS failed
  FROM generate_series(date_trunc('minute', now()) - interval '59 minutes', date_trunc('minute', now()), interval '1 minute') AS m(minute)
  LEFT JOIN (SELECT date_trunc('minute', a.finished_at) AS minute, sum(a.sends)::bigint AS calls, count(*) FILTER (WHERE a.status = 'succeeded') AS succeeded,
                    count(*) FILTER (WHERE a.status = 'refused') AS refused, count(*) FILTER (WHERE a.status IN ('failed', 'uncertain')) AS failed
               FROM image_gen.attempts a WHERE a.created_at > now() - interval '1 day' AND a.finished_at >= date_trunc('minute', now()) - interval '59 minutes' GROUP BY 1) f
    ON f.minute = m.minute;
COMMENT ON VIEW image_gen.throughput IS 'Calls that ended in each of the last sixty minutes, the current one included: all, and those that succeeded, were refused by a safety filter, or failed (uncertain ones too). No rows are shown.';

CREATE FUNCTION image_gen_internal.budget_figures()
RETURNS TABLE (budget text, scope text, period text, limit_amount numeric, spent numeric, reserved numeric, available numeric, since timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- Those of batches are as many as there were batches.
  RETURN QUERY
  SELECT image_gen_internal.budget_name(b), b.scope, CASE b.period WHEN 'rolling' THEN 'rolling ' || b.rolling ELSE b.period END, s.limit_amount, s.spent, s.reserved, s.available, s.since
    FROM image_gen_internal.budget_standings(ARRAY(SELECT g.id FROM image_gen.budgets g WHERE g.scope <> 'batch'), clock_timestamp()) s JOIN image_gen.budgets b ON b.id = s.budget_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.budget_figures() IS 'What budget_stats shows, to those who may read that.';

CREATE VIEW image_gen.budget_stats AS SELECT f.* FROM image_gen_internal.budget_figures() f;
COMMENT ON VIEW image_gen.budget_stats IS
'Every budget but those of batches, in its current period, in USD: its limit, what was spent and is reserved, and what is left (below 0 where more was billed than expected). since: when the period began.';

CREATE VIEW image_gen.backlogs AS
SELECT 'copies' AS kind, count(*) FILTER (WHERE NOT c.lost) AS waiting, count(*) FILTER (WHERE NOT c.lost AND c.last_error IS NOT NULL) AS failing, count(*) FILTER (WHERE c.lost) AS given_up,
       min(c.created_at) FILTER (WHERE NOT c.lost) AS oldest
  FROM image_gen_internal.copy_queue c
UNION ALL
SELECT 'webhooks', count(*) FILTER (WHERE d.status = 'pending'), count(*) FILTER (WHERE d.status = 'pending' AND d.last_error IS NOT NULL), count(*) FILTER (WHERE d.status = 'failed'),
       min(d.created_at) FILTER (WHERE d.status = 'pending')
  FROM image_gen.webhook_deliveries d WHERE d.status <> 'delivered'
UNION ALL
SELECT 'callbacks', count(*) FILTER (WHERE NOT q.failed), count(*) FILTER (WHERE NOT q.failed AND q.last_error IS NOT NULL), count(*) FILTER (WHERE q.failed), min(q.created_at) FILTER (WHERE NOT q.failed)
  FROM image_gen_internal.callback_queue q WHERE NOT q.awaits_approval
UNION ALL
SELECT 'reviews', count(*), 0, 0, min(r.waiting_since)
  FROM (SELECT j.finished_at AS waiting_since FROM image_gen.jobs j WHERE j.status = 'needs_review'
        UNION ALL SELECT w.created_at FROM image_gen_internal.callback_queue w WHERE w.awaits_approval) r
UNION ALL
SELECT 'unknown costs', count(*), 0, 0, min(a.finished_at) FROM image_gen.attempts a WHERE a.billed_cost IS NULL AND a.status <> 'running';
COMMENT ON VIEW image_gen.backlogs IS
'What waits besides the queue of jobs (queue_stats): copies to a store, messages to webhooks, callbacks, reviews by a person, and calls of unknown cost. kind: which. waiting: how many; failing: how many of these have
failed and are tried again; given_up: how many are not tried again; oldest: since when the oldest waits. No rows are shown.';

CREATE VIEW image_gen.circuit_stats AS
SELECT p.id AS provider, image_gen_internal.is_configured(p.id) AS configured, p.enabled, EXISTS (SELECT FROM image_gen.pauses z WHERE z.provider = p.id) AS paused,
       coalesce(h.state, 'up') AS circuit, h.since, h.last_error_code, b.amount AS balance, b.checked_at AS balance_at
  FROM image_gen.providers p
  LEFT JOIN image_gen_internal.provider_breakers h ON h.provider = p.id AND h.model = ''
  LEFT JOIN (SELECT l.provider, sum(l.amount) AS amount, min(l.checked_at) AS checked_at FROM image_gen.provider_balances l GROUP BY l.provider) b ON b.provider = p.id;
COMMENT ON VIEW image_gen.circuit_stats IS
'Each provider: whether it has its key, is enabled, is paused; its circuit (up, down or recovering), since when and after which error, where it was ever down; and what is left on the accounts of its keys together (USD), where it says so.
provider_health has its models.';

SET LOCAL search_path = image_gen, pg_temp;
