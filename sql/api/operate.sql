-- The worker, its queue and its providers, for the people who run it.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE VIEW image_gen.queue_stats AS
SELECT count(*) FILTER (WHERE q.state = 'ready' AND q.ready_at <= clock_timestamp()) AS ready,
       count(*) FILTER (WHERE q.state = 'ready' AND q.ready_at > clock_timestamp() OR q.state = 'alone') AS waiting,
       count(*) FILTER (WHERE q.state = 'running') AS in_flight,
       count(*) FILTER (WHERE q.state = 'waiting') AS blocked,
       (SELECT j.created_at FROM image_gen.jobs j
         WHERE j.seq = (SELECT min(r.seq) FROM image_gen_internal.queue r WHERE r.state = 'ready')) AS oldest_ready
  FROM image_gen_internal.queue q;
COMMENT ON VIEW image_gen.queue_stats IS 'How many jobs wait, how many are put off, how many are in flight, how many are blocked until another job has its image. No rows are shown.';

CREATE VIEW image_gen.worker_status AS
SELECT image_gen_internal.is_worker(w.pid) AS running, w.mode, w.pid, w.started_at AS running_since, w.epoch,
       s.in_flight, w.in_flight_cap, w.cap_reason, s.ready, s.oldest_ready, w.configured AS configured_keys,
       w.last_error, w.last_error_at, image_gen_internal.fence_reason() AS fenced
  FROM image_gen_internal.worker_state w
 CROSS JOIN image_gen.queue_stats s;
COMMENT ON VIEW image_gen.worker_status IS 'Is the worker running, since when, in which life (epoch), what it has in flight, how much it may and why, what waits, what went wrong last. fenced: why no paid work may run here, NULL when it may; image_gen.resume() ends that.';

CREATE VIEW image_gen.provider_health AS
WITH day AS (
  -- Each attempt of the last day is read once; one can stand for several calls.
  SELECT a.provider, a.model, coalesce(sum(a.sends) FILTER (WHERE a.status <> 'running'), 0) AS calls,
         round(count(*) FILTER (WHERE a.status = 'succeeded') / nullif(sum(a.sends) FILTER (WHERE a.status <> 'running'), 0)::numeric, 4) AS success_rate,
         percentile_cont('{0.5,0.95}'::float8[]) WITHIN GROUP (ORDER BY a.render_seconds) FILTER (WHERE a.status = 'succeeded') AS seconds
    FROM image_gen.attempts a WHERE a.created_at > now() - interval '1 day' GROUP BY a.provider, a.model
), flying AS (
  SELECT a.provider, a.model, count(*) AS in_flight
    FROM image_gen_internal.queue q
   CROSS JOIN LATERAL (SELECT t.provider, t.model FROM image_gen.attempts t WHERE t.job_id = q.job_id AND t.status = 'running' OFFSET 0) a
   WHERE q.attempts > 0 GROUP BY a.provider, a.model
)
SELECT p.id AS provider, m.model,
       CASE WHEN NOT image_gen_internal.is_configured(p.id) THEN 'not_configured' WHEN h.state <> 'up' THEN h.state ELSE coalesce(w.state, 'up') END AS state,
       CASE WHEN h.state <> 'up' THEN h.since ELSE coalesce(w.since, h.since) END AS since,
       coalesce(f.in_flight, 0) AS in_flight, p.max_in_flight, coalesce(h.last_error_code, w.last_error_code) AS last_error_code,
       coalesce(h.last_error_at, w.last_error_at) AS last_error_at, coalesce(d.calls, 0) AS calls, d.success_rate,
       round(d.seconds[1]::numeric, 3) AS p50_seconds, round(d.seconds[2]::numeric, 3) AS p95_seconds,
       b.amount AS balance, b.credits AS balance_credits, b.checked_at AS balance_at
  FROM image_gen.providers p
  JOIN (SELECT d.provider, d.model FROM day d UNION SELECT k.provider, k.model FROM image_gen_internal.provider_breakers k WHERE k.model <> '') m ON m.provider = p.id
  LEFT JOIN day d ON d.provider = p.id AND d.model = m.model
  LEFT JOIN flying f ON f.provider = p.id AND f.model = m.model
  LEFT JOIN image_gen_internal.provider_breakers h ON h.provider = p.id AND h.model = m.model
  LEFT JOIN image_gen_internal.provider_breakers w ON w.provider = p.id AND w.model = ''
  LEFT JOIN (SELECT s.provider, sum(s.amount) AS amount, sum(s.credits) AS credits, min(s.checked_at) AS checked_at
               FROM image_gen.provider_balances s GROUP BY s.provider) b ON b.provider = p.id;
COMMENT ON VIEW image_gen.provider_health IS
'How each provider and model that was used within a day is doing: up, down (left alone after failures in a row, probed after a pause) or recovering (a few calls
at a time), or not_configured (its key or address is missing), since when, what is in flight, the last error, calls, success rate and seconds of the last 24 hours, and what is left on the account (USD; on those
of all its keys together, and when the oldest of these was asked), where the provider says so. No rows are shown. Each key: provider_keys.';

CREATE VIEW image_gen.provider_keys AS
SELECT p.id AS provider, k.key_name, k.state, k.last_error_code, clock_timestamp() + make_interval(secs => k.rest_seconds) AS rests_until, k.failures, k.in_flight, p.max_in_flight,
       coalesce(d.calls, 0) AS calls, coalesce(d.succeeded, 0) AS succeeded, b.amount AS balance, b.credits AS balance_credits, b.checked_at AS balance_at
  FROM image_gen.providers p
 CROSS JOIN image_gen_internal.worker_state w
 CROSS JOIN LATERAL image_gen_internal.keys_of_provider(p.kind, p.base_url, p.key_name, w.configured,
                      ARRAY(SELECT o.key_name FROM image_gen.providers o WHERE o.id <> p.id AND o.key_name IS NOT NULL)) k
  LEFT JOIN (SELECT a.provider, a.key_name, sum(a.sends) FILTER (WHERE a.status <> 'running') AS calls, count(*) FILTER (WHERE a.status = 'succeeded') AS succeeded
               FROM image_gen.attempts a WHERE a.created_at > now() - interval '1 day' AND a.key_name IS NOT NULL GROUP BY a.provider, a.key_name) d
         ON d.provider = p.id AND d.key_name = k.key_name
  LEFT JOIN image_gen.provider_balances b ON b.provider = p.id AND b.key_name = k.key_name;
COMMENT ON VIEW image_gen.provider_keys IS
'The keys of each provider by their names: NAME (providers.key_name, or the adapter''s own) and NAME_1, NAME_2 ... state: up; resting (it was sent too many requests, or one call with it tries whether it may be used again) or down (it
is refused, or its account is empty or barred) until rests_until, when one call tries it; unknown where the library is not preloaded. failures: without a success since. in_flight: calls of all databases of the cluster, of which max_in_flight is the limit of each key.
calls and succeeded: of this database, in the last 24 hours. What is left on its account (USD), where the provider says so. No key is shown.';

CREATE VIEW image_gen.estimate_calibration WITH (security_invoker = true) AS
SELECT r.provider, r.model, r.decile, count(*) AS renders, round(avg(r.predicted), 3) AS predicted_seconds, round(avg(r.taken), 3) AS taken_seconds,
       round(avg((r.taken <= r.predicted)::integer), 4) AS within
  FROM (SELECT a.provider, a.model, j.estimated_seconds AS predicted, a.render_seconds AS taken,
               ntile(10) OVER (PARTITION BY a.provider, a.model ORDER BY j.estimated_seconds, j.seq) AS decile
          FROM image_gen.attempts a JOIN image_gen.jobs j ON j.id = a.job_id
         WHERE a.status = 'succeeded' AND a.render_seconds > 0 AND a.model = j.model AND j.estimated_seconds > 0 AND a.created_at > now() - interval '30 days'
           -- What is predicted is all calls of a job.
           AND coalesce(a.estimated_rest, 0) = 0 AND NOT EXISTS (SELECT FROM image_gen.attempts e WHERE e.job_id = a.job_id AND e.number < a.number AND e.status = 'succeeded')) r
 GROUP BY r.provider, r.model, r.decile;
COMMENT ON VIEW image_gen.estimate_calibration IS
'How good estimated_seconds is: for each provider and model the renders of the last 30 days that the caller sees, in ten groups by what was predicted, with the mean of what was predicted and of what they took.
within: which part took no longer than predicted; 0.75 is right, as the estimate is the 75th percentile.';

SET LOCAL search_path = image_gen, pg_temp;
