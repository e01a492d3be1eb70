-- Retention: jobs that ended long ago are removed with their calls; what they cost stays.
--
--   stays     assets and blobs; what was spent, in spending_archive and in budgets
--   goes      the job, its calls, its review; its idempotency key is free again
--   refused   jobs that are not over, or wait for a person; a call of unknown cost; a picture that a job in the queue waits
--             for; charges that differ from the calls
--
-- The worker's role can delete no job; it may call _prune, which does so under these rules only.
--
-- One at a time: recount_budgets() and new budgets, which read jobs and charges together, keep it out for a moment.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.spending_archive (
  story       text COLLATE "C" NOT NULL,
  number      integer NOT NULL,
  calls       bigint NOT NULL CHECK (calls > 0),
  first_call  timestamptz NOT NULL,
  last_call   timestamptz NOT NULL,
  owner       regrole NOT NULL,
  campaign    text,
  ticket      text,
  operation   text NOT NULL,
  provider    text COLLATE "C" NOT NULL,
  model       text COLLATE "C" NOT NULL,
  status      text NOT NULL,
  error_code  text,
  images      bigint NOT NULL,
  billed_cost image_gen.cost NOT NULL,
  currency    text NOT NULL,
  cost_source text NOT NULL,
  work        jsonb,
  PRIMARY KEY (story, number)
);
COMMENT ON TABLE image_gen.spending_archive IS
'What the calls of pruned jobs cost: a row for each call of jobs that went the same way (same owner, campaign, ticket, operation; each of their calls at the same place, in the same
quarter of an hour, with the same end). Rows are only added. The cost reports read it; shot, batch and other metadata are not kept.';
COMMENT ON COLUMN image_gen.spending_archive.story IS 'The id of the first of these jobs.';
COMMENT ON COLUMN image_gen.spending_archive.number IS 'Which call of each of these jobs, from 1.';
COMMENT ON COLUMN image_gen.spending_archive.calls IS 'How many jobs these were: so many calls are in this row, one of each.';
COMMENT ON COLUMN image_gen.spending_archive.first_call IS 'When the first of these calls began.';
COMMENT ON COLUMN image_gen.spending_archive.last_call IS 'When the last one began: in the same quarter of an hour, so both are on the same day in every time zone.';
COMMENT ON COLUMN image_gen.spending_archive.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen.spending_archive.campaign IS 'metadata ->> campaign.';
COMMENT ON COLUMN image_gen.spending_archive.ticket IS 'metadata ->> ticket.';
COMMENT ON COLUMN image_gen.spending_archive.operation IS 'jobs.operation.';
COMMENT ON COLUMN image_gen.spending_archive.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.spending_archive.model IS 'models.name.';
COMMENT ON COLUMN image_gen.spending_archive.status IS 'attempts.status.';
COMMENT ON COLUMN image_gen.spending_archive.error_code IS 'For programs; see README.';
COMMENT ON COLUMN image_gen.spending_archive.images IS 'How many pictures all these calls made.';
COMMENT ON COLUMN image_gen.spending_archive.billed_cost IS 'Of all these calls together. Never unknown: jobs with a call of unknown cost are not pruned.';
COMMENT ON COLUMN image_gen.spending_archive.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.spending_archive.cost_source IS 'reported or priced.';
COMMENT ON COLUMN image_gen.spending_archive.work IS 'attempts.work of each of these calls: the same one.';

CREATE FUNCTION image_gen._prune(older_than timestamptz, after_seq bigint, at_most integer, OUT pruned integer, OUT last_seq bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  some_old boolean;
  last_picked bigint;
  ids text[];
  batches text[];
BEGIN
  pruned := 0;
  PERFORM FROM image_gen.locks l WHERE l.name = 'retention' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- A new budget may count on jobs that it could not see yet: they are counted first.
  IF EXISTS (SELECT FROM image_gen.budget_totals t WHERE t.newer IS NOT NULL) THEN
    PERFORM image_gen._book();
    IF EXISTS (SELECT FROM image_gen.budget_totals t WHERE t.newer IS NOT NULL) THEN
      RETURN;
    END IF;
  END IF;
  -- What earlier rounds left in charges, where the period is over by now.
  DELETE FROM image_gen.charges c
   WHERE (c.job_id, c.budget_id) IN (
     SELECT o.job_id, o.budget_id FROM image_gen.budget_totals t JOIN image_gen.charges o ON o.budget_id = t.budget_id
      WHERE o.pruned AND o.at < t.since LIMIT 500 FOR UPDATE OF o SKIP LOCKED);
  -- By number, because an index on the time of the end would make the end of every job dearer. Numbers are nearly in the
  -- order of time: the search is over where a whole round is too young.
  SELECT max(l.seq), bool_or(l.created_at < older_than) INTO last_seq, some_old
    FROM (SELECT j.seq, j.created_at FROM image_gen.jobs j WHERE j.seq > after_seq ORDER BY j.seq LIMIT 500) l;
  IF some_old IS NOT TRUE THEN
    last_seq := NULL;
    RETURN;
  END IF;
  -- Nobody is waited for: what somebody has locked is left for another time.
  SELECT array_agg(p.id), max(p.seq), count(*) INTO ids, last_picked, pruned
    FROM (SELECT j.id, j.seq FROM image_gen.jobs j
           WHERE j.seq > after_seq AND j.seq <= $5 AND j.status IN ('succeeded', 'failed', 'canceled') AND j.finished_at < older_than
             AND NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = j.id AND a.billed_cost IS NULL)
             AND NOT EXISTS (SELECT FROM image_gen.waits w WHERE w.needs = j.id)
             AND NOT EXISTS (SELECT FROM image_gen.charges c WHERE c.job_id = j.id AND (c.held <> 0 OR c.spent <>
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
    PERFORM image_gen._take_out(ids);
    PERFORM image_gen._archive(ids);
    PERFORM image_gen._release(ids);
    SELECT array_agg(DISTINCT j.batch) FILTER (WHERE j.batch IS NOT NULL) INTO batches FROM image_gen.jobs j WHERE j.id = ANY (ids);
    DELETE FROM image_gen.callback_queue c WHERE c.job_id = ANY (ids);
    DELETE FROM image_gen.jobs j WHERE j.id = ANY (ids);
    -- The cap of a batch ends with its last job.
    WITH ended AS (
      DELETE FROM image_gen.budgets b
       WHERE b.scope = 'batch' AND b.key = ANY (batches) AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.batch = b.key)
      RETURNING b.id
    ), uncharged AS (
      DELETE FROM image_gen.charges c USING ended e WHERE c.budget_id = e.id
    )
    DELETE FROM image_gen.budget_totals t USING ended e WHERE t.budget_id = e.id;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._prune(timestamptz, bigint, integer) IS
'Removes jobs that ended before a moment, looking at 500 after a number; returns how many, and the last number looked at: NULL when all after it are too young, or somebody else prunes.';

CREATE FUNCTION image_gen._archive(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH calls AS MATERIALIZED (
    SELECT a.job_id, a.number, a.created_at, j.owner, j.metadata ->> 'campaign' AS campaign, j.metadata ->> 'ticket' AS ticket, j.operation,
           a.provider, a.model, a.status, a.error_code, a.billed_cost, a.currency, a.cost_source, a.work,
           CASE WHEN a.status = 'succeeded' THEN (SELECT count(*) FROM image_gen.campaign_assets c WHERE c.job_id = a.job_id) ELSE 0 END AS images
      FROM image_gen.attempts a JOIN image_gen.jobs j ON j.id = a.job_id
     WHERE a.job_id = ANY (ids)
  ), stories AS (
    -- Days begin on a quarter of an hour, wherever one is.
    SELECT w.job_id, min(w.job_id) OVER (PARTITION BY w.way) AS story
      FROM (SELECT c.job_id, jsonb_agg(jsonb_build_array(c.owner::oid, c.campaign, c.ticket, c.operation, c.number, c.provider, c.model, c.status, c.error_code,
                               c.currency, c.cost_source, c.work, date_bin('15 minutes', c.created_at, timestamptz '2000-01-01 00:00+00')) ORDER BY c.number) AS way
              FROM calls c GROUP BY c.job_id) w
  )
  INSERT INTO image_gen.spending_archive
    (story, number, calls, first_call, last_call, owner, campaign, ticket, operation, provider, model, status, error_code, images, billed_cost,
     currency, cost_source, work)
  SELECT s.story, c.number, count(*), min(c.created_at), max(c.created_at), c.owner, c.campaign, c.ticket, c.operation, c.provider, c.model, c.status,
         c.error_code, sum(c.images), sum(c.billed_cost), c.currency, c.cost_source, c.work
    FROM calls c JOIN stories s ON s.job_id = c.job_id
   GROUP BY s.story, c.number, c.owner, c.campaign, c.ticket, c.operation, c.provider, c.model, c.status, c.error_code, c.currency, c.cost_source, c.work;
END $$;
COMMENT ON FUNCTION image_gen._archive(text[]) IS 'Keeps what the calls of jobs that are being pruned cost.';

CREATE FUNCTION image_gen._release(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What no longer counts goes. What a total counts is folded into one row for each owner: its period never moves, so nobody has
  -- to be kept out. What another period counts stays as it is until the period has passed.
  WITH gone AS (
    DELETE FROM image_gen.charges c USING image_gen.budgets b, image_gen.budget_totals t
     WHERE c.job_id = ANY (ids) AND b.id = c.budget_id AND t.budget_id = c.budget_id AND (b.period = 'total' OR c.at < t.since)
    RETURNING c.budget_id, c.owner, c.at, c.spent, c.booked_held, c.booked_spent, c.at >= t.since AS counts
  )
  INSERT INTO image_gen.charges AS c (job_id, budget_id, owner, at, held, spent, booked_held, booked_spent, pruned)
  SELECT image_gen._pruned_of(g.owner), g.budget_id, g.owner, min(g.at), 0, sum(g.spent), sum(g.booked_held), sum(g.booked_spent), true
    FROM gone g WHERE g.counts GROUP BY g.budget_id, g.owner
  ON CONFLICT ON CONSTRAINT charges_pkey DO UPDATE
     SET spent = c.spent + excluded.spent, booked_held = c.booked_held + excluded.booked_held, booked_spent = c.booked_spent + excluded.booked_spent;
  UPDATE image_gen.charges c SET pruned = true WHERE c.job_id = ANY (ids);
END $$;
COMMENT ON FUNCTION image_gen._release(text[]) IS 'Lets charges stand without their jobs, where they still count.';

CREATE FUNCTION image_gen.prune(older_than interval, at_most integer DEFAULT 10000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ended_before timestamptz := clock_timestamp() - older_than;
  round record;
  after_seq bigint := 0;
  total integer := 0;
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  IF older_than IS NULL OR ended_before > clock_timestamp() THEN
    RAISE EXCEPTION 'older_than is %', coalesce(older_than::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an age such as ''90 days''.';
  ELSIF at_most IS NULL OR at_most < 1 THEN
    RAISE EXCEPTION 'at_most is %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number from 1 up.';
  END IF;
  -- Waits for the worker's batch, or for another administrator.
  PERFORM FROM image_gen.locks l WHERE l.name = 'retention' FOR UPDATE;
  WHILE total < at_most LOOP
    SELECT p.* INTO round FROM image_gen._prune(ended_before, after_seq, least(at_most - total, 500)) p;
    total := total + round.pruned;
    after_seq := round.last_seq;
    EXIT WHEN after_seq IS NULL;
  END LOOP;
  RETURN total;
END $$;
COMMENT ON FUNCTION image_gen.prune(interval, integer) IS
'Removes jobs that ended at least so long ago, the oldest first and at most so many, with their calls and reviews; returns how many. Assets and their bytes stay, and so does what was spent
(spending_archive). Never removed: jobs that are not over or wait for a person, jobs with a call of unknown cost, and jobs whose picture another one waits for. What somebody has locked is
left for the next time. Idempotency keys of removed jobs are free again. image_gen.retain_jobs lets the worker do it. For administrators.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.spending_archive', '');

SET LOCAL search_path = image_gen, pg_temp;
