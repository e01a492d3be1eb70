-- Retention: jobs that ended long ago are removed with their calls; what they cost stays.
--
--   stays     assets and blobs; what was spent, in spending_archive and in budgets
--   goes      the job, its calls, its review; its idempotency key is free again
--   refused   jobs that are not over, or wait for a person; a call of unknown cost; an image that a job in the queue waits
--             for; charges that differ from the calls
--
-- The worker's role can delete no job; it may call prune_jobs, which does so under these rules only.
--
-- One at a time: recount_budgets() and new budgets, which read jobs and charges together, keep it out for a moment.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.prune_jobs(older_than timestamptz, after_seq bigint, at_most integer, OUT pruned integer, OUT last_seq bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  some_old boolean;
  last_picked bigint;
  ids text[];
  batches text[];
BEGIN
  pruned := 0;
  PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- A new budget may count on jobs that it could not see yet: they are counted first.
  IF EXISTS (SELECT FROM image_gen_internal.budget_totals t WHERE t.newer IS NOT NULL) THEN
    PERFORM image_gen_internal.charge_missed_jobs();
    IF EXISTS (SELECT FROM image_gen_internal.budget_totals t WHERE t.newer IS NOT NULL) THEN
      RETURN;
    END IF;
  END IF;
  -- What earlier rounds left in charges, where the period is over by now.
  DELETE FROM image_gen_internal.budget_charges c
   WHERE (c.job_id, c.budget_id) IN (
     SELECT o.job_id, o.budget_id FROM image_gen_internal.budget_totals t JOIN image_gen_internal.budget_charges o ON o.budget_id = t.budget_id
      WHERE o.pruned AND o.at < t.since LIMIT 500 FOR UPDATE OF o SKIP LOCKED);
  -- By number, because an index on the time of the end would make the end of every job dearer. Numbers are nearly in the
  -- order of time: the search is over where a whole round is too young.
  SELECT max(l.seq), bool_or(l.created_at < older_than) INTO last_seq, some_old
    FROM (SELECT j.seq, j.created_at FROM image_gen.jobs j WHERE j.seq > after_seq ORDER BY j.seq LIMIT 500) l;
  IF some_old IS NOT TRUE THEN
    last_seq := NULL;
    RETURN;
  END IF;
  -- No lock is waited for: a locked job is left for another time.
  SELECT array_agg(p.id), max(p.seq), count(*) INTO ids, last_picked, pruned
    FROM (SELECT j.id, j.seq FROM image_gen.jobs j
           WHERE j.seq > after_seq AND j.seq <= $5 AND j.status IN ('succeeded', 'failed', 'canceled') AND j.finished_at < older_than
             AND NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = j.id AND a.billed_cost IS NULL)
             AND NOT EXISTS (SELECT FROM image_gen_internal.job_dependencies w WHERE w.needs = j.id)
             AND NOT EXISTS (SELECT FROM image_gen_internal.budget_charges c WHERE c.job_id = j.id AND (c.reserved <> 0 OR c.spent <>
                               (SELECT coalesce(sum(a.billed_cost), 0) FROM image_gen.attempts a WHERE a.job_id = j.id AND a.currency = 'USD')))
           ORDER BY j.seq LIMIT at_most FOR UPDATE OF j SKIP LOCKED) p;
  IF pruned = at_most THEN
    last_seq := last_picked;
  END IF;
  WITH locked AS MATERIALIZED (
    SELECT a.job_id FROM image_gen.attempts a WHERE a.job_id = ANY (ids) FOR UPDATE SKIP LOCKED
  ), missed AS (
    SELECT a.job_id FROM image_gen.attempts a WHERE a.job_id = ANY (ids)
    EXCEPT ALL SELECT l.job_id FROM locked l
  )
  SELECT array_agg(i), count(*) INTO ids, pruned FROM unnest(ids) i WHERE i NOT IN (SELECT m.job_id FROM missed m);
  IF pruned > 0 THEN
    PERFORM image_gen_internal.unfold_jobs(ids);
    PERFORM image_gen_internal.archive_attempts(ids);
    PERFORM image_gen_internal.release_charges(ids);
    SELECT array_agg(DISTINCT j.batch) FILTER (WHERE j.batch IS NOT NULL) INTO batches FROM image_gen.jobs j WHERE j.id = ANY (ids);
    DELETE FROM image_gen_internal.callback_queue c WHERE c.job_id = ANY (ids);
    DELETE FROM image_gen.jobs j WHERE j.id = ANY (ids);
    -- The cap of a batch ends with its last job.
    WITH ended AS (
      DELETE FROM image_gen.budgets b
       WHERE b.scope = 'batch' AND b.key = ANY (batches) AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.batch = b.key)
      RETURNING b.id
    ), uncharged AS (
      DELETE FROM image_gen_internal.budget_charges c USING ended e WHERE c.budget_id = e.id
    )
    DELETE FROM image_gen_internal.budget_totals t USING ended e WHERE t.budget_id = e.id;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.prune_jobs(timestamptz, bigint, integer) IS
'Removes jobs that ended before a moment, looking at 500 after a number; returns how many, and the last number looked at: NULL when all after it are too young, or another session prunes.';

CREATE FUNCTION image_gen_internal.archive_attempts(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH calls AS MATERIALIZED (
    SELECT a.job_id, a.number, a.created_at, j.owner, j.metadata ->> 'campaign' AS campaign, j.metadata ->> 'ticket' AS ticket, j.operation,
           a.provider, a.model, a.status, a.error_code, a.billed_cost, a.currency, a.cost_source, a.usage,
           a.images, a.calls, a.retries
      FROM image_gen_internal.counted_attempts a JOIN image_gen.jobs j ON j.id = a.job_id
     WHERE a.job_id = ANY (ids)
  ), stories AS (
    -- Days begin on a quarter of an hour, wherever one is.
    SELECT w.job_id, min(w.job_id) OVER (PARTITION BY w.way) AS story
      FROM (SELECT c.job_id, jsonb_agg(jsonb_build_array(c.owner::oid, c.campaign, c.ticket, c.operation, c.number, c.provider, c.model, c.status, c.error_code,
                               c.currency, c.cost_source, c.usage, date_bin('15 minutes', c.created_at, timestamptz '2000-01-01 00:00+00')) ORDER BY c.number) AS way
              FROM calls c GROUP BY c.job_id) w
  )
  INSERT INTO image_gen_internal.spending_archive
    (story, number, jobs, calls, retries, first_call, last_call, owner, campaign, ticket, operation, provider, model, status, error_code, images, billed_cost,
     currency, cost_source, usage)
  SELECT s.story, c.number, count(*), sum(c.calls), sum(c.retries), min(c.created_at), max(c.created_at), c.owner, c.campaign, c.ticket, c.operation, c.provider, c.model, c.status,
         c.error_code, sum(c.images), sum(c.billed_cost), c.currency, c.cost_source, c.usage
    FROM calls c JOIN stories s ON s.job_id = c.job_id
   GROUP BY s.story, c.number, c.owner, c.campaign, c.ticket, c.operation, c.provider, c.model, c.status, c.error_code, c.currency, c.cost_source, c.usage;
END $$;
COMMENT ON FUNCTION image_gen_internal.archive_attempts(text[]) IS 'Keeps what the calls of jobs that are being pruned cost.';

CREATE FUNCTION image_gen_internal.release_charges(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What no longer counts goes. What a total counts is folded into one row for each owner: its period never moves, so no
  -- lock is needed. What another period counts stays as it is until the period has passed.
  WITH gone AS (
    DELETE FROM image_gen_internal.budget_charges c USING image_gen.budgets b, image_gen_internal.budget_totals t
     WHERE c.job_id = ANY (ids) AND b.id = c.budget_id AND t.budget_id = c.budget_id AND (b.period = 'total' OR c.at < t.since)
    RETURNING c.budget_id, c.owner, c.at, c.spent, c.at >= t.since AS counts
  )
  INSERT INTO image_gen_internal.budget_charges AS c (job_id, budget_id, owner, at, reserved, spent, pruned)
  SELECT image_gen_internal.pruned_job_id(g.owner), g.budget_id, g.owner, min(g.at), 0, sum(g.spent), true
    FROM gone g WHERE g.counts GROUP BY g.budget_id, g.owner
  ON CONFLICT ON CONSTRAINT budget_charges_pkey DO UPDATE
     SET spent = c.spent + excluded.spent;
  UPDATE image_gen_internal.budget_charges c SET pruned = true WHERE c.job_id = ANY (ids);
END $$;
COMMENT ON FUNCTION image_gen_internal.release_charges(text[]) IS 'Lets charges stand without their jobs, where they still count.';

CREATE FUNCTION image_gen.prune(older_than interval, at_most integer DEFAULT 10000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ended_before timestamptz := clock_timestamp() - older_than;
  round record;
  after_seq bigint := 0;
  total integer := 0;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF older_than IS NULL OR ended_before > clock_timestamp() THEN
    RAISE EXCEPTION 'older_than is %', coalesce(older_than::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an age such as ''90 days''.';
  ELSIF at_most IS NULL OR at_most < 1 THEN
    RAISE EXCEPTION 'at_most is %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number from 1 up.';
  END IF;
  -- Waits for the worker's batch, or for another administrator.
  PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE;
  WHILE total < at_most LOOP
    SELECT p.* INTO round FROM image_gen_internal.prune_jobs(ended_before, after_seq, least(at_most - total, 500)) p;
    total := total + round.pruned;
    after_seq := round.last_seq;
    EXIT WHEN after_seq IS NULL;
  END LOOP;
  PERFORM image_gen_internal.record_audit('jobs.pruned', format('ended before %s', ended_before), jsonb_build_object('jobs', total));
  RETURN total;
END $$;
COMMENT ON FUNCTION image_gen.prune(interval, integer) IS
'Removes jobs that ended at least so long ago, the oldest first and at most so many, with their calls and reviews; returns how many. Assets and their bytes stay, and so does what was spent
(spending_archive). Never removed: jobs that are not over or wait for a person, jobs with a call of unknown cost, and jobs whose image another one waits for. What is locked is
left for the next time. Idempotency keys of removed jobs are free again. image_gen.retain_jobs lets the worker do it. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
