-- Reserving before, charging after. The lock of a budget is its row of budget_totals.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.lock_budgets(wanted bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  usual text := current_setting('lock_timeout');
  bound text := current_setting('image_gen.budget_lock_timeout');
BEGIN
  IF usual <> '0' AND (bound = '0' OR usual::interval <= bound::interval) THEN
    bound := usual;
  END IF;
  BEGIN
    PERFORM set_config('lock_timeout', bound, true);
    -- Always in this order: two that need the same budgets never wait for each other.
    PERFORM FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (wanted) ORDER BY t.budget_id FOR UPDATE;
    PERFORM set_config('lock_timeout', usual, true);
  EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'a budget has been locked by another transaction for more than %', bound USING ERRCODE = 'lock_not_available',
      DETAIL = coalesce(image_gen_internal.budget_lock_holders(), 'It has just ended.'),
      HINT = 'A transaction that queues under a budget keeps it until it ends: end that one, or try again. image_gen.budget_lock_timeout says how long to wait.';
  END;
END $$;
COMMENT ON FUNCTION image_gen_internal.lock_budgets(bigint[]) IS 'Locks the totals of budgets for the rest of the transaction. Error 55P03 after image_gen.budget_lock_timeout, with the sessions that hold some.';

CREATE FUNCTION image_gen_internal.budget_lock_holders() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (
    SELECT string_agg(CASE WHEN h.pid IS NULL THEN 'a prepared transaction (see pg_prepared_xacts)'
                           ELSE format('pid %s (application %s, %s, transaction open for %s s)', h.pid, quote_literal(h.application_name), h.state, h.seconds) END,
                      '; ' ORDER BY h.seconds DESC NULLS LAST)
      FROM (SELECT DISTINCT l.pid, s.application_name, coalesce(s.state, 'active') AS state, extract(epoch FROM clock_timestamp() - s.xact_start)::bigint AS seconds
              FROM pg_locks l LEFT JOIN pg_stat_activity s ON s.pid = l.pid
             WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
               AND l.relation = 'image_gen_internal.budget_totals'::regclass AND l.mode IN ('RowShareLock', 'RowExclusiveLock', 'ShareLock', 'ExclusiveLock', 'AccessExclusiveLock')
               AND l.pid IS DISTINCT FROM pg_backend_pid()
               -- One that waits itself does not block others for long.
               AND (l.pid IS NULL OR cardinality(pg_blocking_pids(l.pid)) = 0)
             ORDER BY seconds DESC NULLS LAST LIMIT 3) h);
END $$;
COMMENT ON FUNCTION image_gen_internal.budget_lock_holders() IS 'The sessions whose transactions have locked budgets, for people; the longest open first, three at most.';

CREATE FUNCTION image_gen_internal.reserve(ids text[], headroom boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted bigint[];
  moment timestamptz;
  balance image_gen_internal.budget_standing;
  needed numeric;
  required numeric;
  unpriced record;
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.budgets) THEN
    RETURN;  -- and no lock
  END IF;
  SELECT array_agg(DISTINCT a.id) INTO wanted
    FROM image_gen.jobs j CROSS JOIN LATERAL image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login) AS a(id)
   WHERE j.id = ANY (ids) AND (SELECT c.at FROM image_gen_internal.budget_charges c WHERE c.job_id = j.id AND c.budget_id = a.id) IS NULL;
  IF wanted IS NULL THEN
    RETURN;
  END IF;
  SELECT j.model, a.id, image_gen_internal.format_usd(b.amount) AS amount INTO unpriced
    FROM image_gen.jobs j CROSS JOIN LATERAL image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login) AS a(id) JOIN image_gen.budgets b ON b.id = a.id
   WHERE j.id = ANY (ids) AND j.estimated_cost IS NULL AND NOT j.allow_unpriced LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'budget_exceeded: the price of "%" is unknown, so no budget can be kept', unpriced.model USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Add a row to image_gen.prices, choose another model, or say allow_unpriced => true where that is granted (image_gen.set_role_policy()): then it is counted when its cost is known.';
  END IF;
  PERFORM image_gen_internal.lock_budgets(wanted);
  -- A clock that went back is in the period that has begun: what was before it is forgotten.
  moment := greatest(clock_timestamp(), (SELECT max(t.since) FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (wanted)));
  PERFORM image_gen_internal.roll_periods(wanted, moment);
  FOR balance IN SELECT * FROM image_gen_internal.budget_standings(wanted, moment) LOOP
    SELECT coalesce(sum(j.estimated_cost), 0) INTO needed
      FROM image_gen.jobs j
     WHERE j.id = ANY (ids) AND balance.budget_id IN (SELECT image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login));
    required := needed;
    IF headroom THEN
      -- The cap of the batch itself has no floor: it is small because the batch is.
      required := greatest(needed * (1 + image_gen_internal.retry_buffer()), CASE WHEN balance.name LIKE 'batch:%' THEN 0 ELSE image_gen_internal.min_headroom() END);
    END IF;
    IF balance.available < required THEN
      PERFORM image_gen_internal.raise_budget_exceeded(balance, needed, required);
    END IF;
  END LOOP;
  WITH added AS (
    INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent, posted_reserved, posted_spent)
    SELECT j.id, a.id, j.owner, moment, coalesce(j.estimated_cost, 0), 0, coalesce(j.estimated_cost, 0), 0
      FROM image_gen.jobs j CROSS JOIN LATERAL image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login) AS a(id)
     WHERE j.id = ANY (ids)
    ON CONFLICT ON CONSTRAINT budget_charges_pkey DO NOTHING
    RETURNING budget_charges.budget_id, budget_charges.reserved)
  UPDATE image_gen_internal.budget_totals t SET reserved = t.reserved + s.reserved
    FROM (SELECT d.budget_id, sum(d.reserved) AS reserved FROM added d GROUP BY 1) s
   WHERE t.budget_id = s.budget_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.reserve(text[], boolean) IS
'Holds the estimates of new jobs in all budgets that apply, all or none. Error 53400 budget_exceeded. headroom: there must be room for the buffer and image_gen.min_headroom too.';

CREATE FUNCTION image_gen_internal.charge_job(charged_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.budgets) THEN
    RETURN;
  END IF;
  -- A budget may be younger than the job.
  INSERT INTO image_gen_internal.budget_charges AS c (job_id, budget_id, owner, at, reserved, spent, posted_reserved, posted_spent)
  SELECT j.id, a.id, j.owner, coalesce((SELECT min(o.at) FROM image_gen_internal.budget_charges o WHERE o.job_id = j.id), j.created_at), w.reserved, w.spent, 0, 0
    FROM image_gen.jobs j
   CROSS JOIN LATERAL image_gen_internal.job_exposure(j.id) w
   CROSS JOIN LATERAL (SELECT image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login)
                       UNION SELECT o.budget_id FROM image_gen_internal.budget_charges o WHERE o.job_id = j.id) AS a(id)
   WHERE j.id = charged_id
     -- What is right already is not even locked.
     AND EXISTS (SELECT FROM image_gen.budgets b WHERE b.id = a.id)
     AND (SELECT o.at FROM image_gen_internal.budget_charges o WHERE o.job_id = j.id AND o.budget_id = a.id AND o.reserved = w.reserved AND o.spent = w.spent) IS NULL
  ON CONFLICT ON CONSTRAINT budget_charges_pkey DO UPDATE SET reserved = excluded.reserved, spent = excluded.spent
   WHERE c.reserved <> excluded.reserved OR c.spent <> excluded.spent;
END $$;
COMMENT ON FUNCTION image_gen_internal.charge_job(text) IS 'Brings the charges of a job up to date with its calls. Locks no totals: the difference is posted by post_charges.';

CREATE FUNCTION image_gen_internal.post_charges() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  fresh record;
  lowest bigint;
  highest bigint;
BEGIN
  -- While set_budget() counted, jobs began and ended that it could not see, and that did not see it. Now both can be seen.
  FOR fresh IN SELECT t.budget_id, t.unsure, t.newer FROM image_gen_internal.budget_totals t WHERE t.newer IS NOT NULL FOR UPDATE SKIP LOCKED LOOP
    PERFORM image_gen_internal.charge_job(j.id) FROM image_gen.jobs j WHERE j.seq = ANY (fresh.unsure) OR j.seq > fresh.newer;
    UPDATE image_gen_internal.budget_totals t SET unsure = NULL, newer = NULL WHERE t.budget_id = fresh.budget_id;
  END LOOP;
  -- The ends of the index, a range of it, and each budget by itself: whatever the planner believes, nothing that is posted is read.
  SELECT min(c.unposted), max(c.unposted) INTO lowest, highest FROM image_gen_internal.budget_charges c;
  IF lowest IS NULL THEN
    RETURN;
  END IF;
  WITH free AS MATERIALIZED (
    SELECT t.budget_id, t.since FROM image_gen_internal.budget_totals t
     WHERE t.budget_id = ANY (ARRAY(SELECT DISTINCT c.unposted FROM image_gen_internal.budget_charges c WHERE c.unposted BETWEEN lowest AND highest))
       FOR UPDATE SKIP LOCKED
  ), due AS MATERIALIZED (
    SELECT c.place, c.budget_id, c.reserved - c.posted_reserved AS reserved, c.spent - c.posted_spent AS spent, c.at >= f.since AS counts
      FROM free f
     CROSS JOIN LATERAL (SELECT u.ctid AS place, u.* FROM image_gen_internal.budget_charges u WHERE u.unposted = f.budget_id FOR UPDATE SKIP LOCKED) c
  ), booked AS (
    UPDATE image_gen_internal.budget_charges c SET posted_reserved = c.reserved, posted_spent = c.spent
      FROM due d WHERE c.ctid = d.place
  )
  UPDATE image_gen_internal.budget_totals t SET reserved = t.reserved + s.reserved, spent = t.spent + s.spent
    FROM (SELECT d.budget_id, sum(d.reserved) AS reserved, sum(d.spent) AS spent FROM due d WHERE d.counts GROUP BY 1) s
   WHERE t.budget_id = s.budget_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.post_charges() IS 'Posts what charges say to the totals of budgets that no session has locked. It waits for no lock.';

CREATE FUNCTION image_gen_internal.reserve_for_attempt(asking_id text, needed numeric, patient boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  job image_gen.jobs;
  known numeric;
  unsure numeric;
  wanted bigint[];
  free bigint;
  moment timestamptz;
  balance image_gen_internal.budget_standing;
BEGIN
  SELECT j.* INTO STRICT job FROM image_gen.jobs j WHERE j.id = asking_id;
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    SELECT array_agg(a) INTO wanted FROM image_gen_internal.budgets_of_job(job.owner, job.metadata, job.batch, job.login) a;
  END IF;
  IF wanted IS NULL AND job.max_cost IS NULL THEN
    RETURN 'ours';
  ELSIF needed IS NULL THEN
    RETURN CASE WHEN job.allow_unpriced THEN 'ours' ELSE 'over' END;
  END IF;
  SELECT coalesce(sum(a.billed_cost), 0), coalesce(sum(a.estimated_cost) FILTER (WHERE a.billed_cost IS NULL), 0) INTO known, unsure
    FROM image_gen.attempts a WHERE a.job_id = asking_id AND a.status <> 'running';
  IF known + unsure + needed > job.max_cost THEN
    RETURN 'over';
  END IF;
  -- Where it holds enough already there is nothing to ask.
  SELECT array_agg(w) INTO wanted FROM unnest(wanted) w
   WHERE unsure + needed > coalesce((SELECT c.reserved FROM image_gen_internal.budget_charges c WHERE c.job_id = asking_id AND c.budget_id = w), 0);
  IF wanted IS NULL THEN
    RETURN 'ours';
  ELSIF patient THEN
    PERFORM image_gen_internal.lock_budgets(wanted);
  ELSE
    SELECT count(*) INTO free
      FROM (SELECT FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (wanted) ORDER BY t.budget_id FOR UPDATE SKIP LOCKED) l;
    IF free < (SELECT count(*) FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (wanted)) THEN
      RETURN 'busy';
    END IF;
  END IF;
  moment := clock_timestamp();
  PERFORM image_gen_internal.roll_periods(wanted, moment);
  FOR balance IN
    SELECT b.* FROM image_gen_internal.budget_standings(wanted, moment) b
     WHERE unsure + needed - coalesce((SELECT c.reserved FROM image_gen_internal.budget_charges c WHERE c.job_id = asking_id AND c.budget_id = b.budget_id), 0) > b.available
  LOOP
    IF patient THEN
      PERFORM image_gen_internal.raise_budget_exceeded(balance, needed, needed);
    END IF;
    RETURN 'over';
  END LOOP;
  RETURN 'ours';
END $$;
COMMENT ON FUNCTION image_gen_internal.reserve_for_attempt(text, numeric, boolean) IS
'Whether a job may make a call that is expected to cost so much: ours (yes; the totals stay locked until the intent to send is written), over (a budget or max_cost has not enough),
busy (a session queues under the budget just now). patient: waits for it, and raises budget_exceeded.';

CREATE FUNCTION image_gen_internal.charge_jobs(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    PERFORM image_gen_internal.charge_job(i.id) FROM unnest(ids) AS i(id) WHERE i.id IS NOT NULL;
    PERFORM image_gen_internal.post_charges();
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.charge_jobs(text[]) IS 'Brings the charges of jobs up to date with their calls, and books them.';

SET LOCAL search_path = image_gen, pg_temp;
