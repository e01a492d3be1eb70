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
    PERFORM image_gen_internal.hold_budgets(wanted);
  EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'a budget has been locked by another transaction for more than %', bound USING ERRCODE = 'lock_not_available',
      DETAIL = coalesce(image_gen_internal.budget_lock_holders(), 'It has just ended.'),
      HINT = 'A transaction that queues under a budget keeps it until it ends: end that one, or try again. image_gen.budget_lock_timeout says how long to wait.';
  END;
END $$;
COMMENT ON FUNCTION image_gen_internal.lock_budgets(bigint[]) IS 'Locks the totals of budgets for the rest of the transaction, in a subtransaction: not to be called where holds_budgets() says that they are locked. Error 55P03 after image_gen.budget_lock_timeout, with the sessions that hold some.';

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
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  owners regrole[];
  logins regrole[];
  descriptions jsonb[];
  batches text[];
  estimates numeric[];
  -- Pairs: which element of ids counts in which budget.
  numbers bigint[];
  budgets bigint[];
  wanted bigint[];
  moment timestamptz;
  lacking record;
BEGIN
  SELECT array_agg(j.owner ORDER BY i.n), array_agg(j.login ORDER BY i.n), array_agg(j.metadata ORDER BY i.n), array_agg(j.batch ORDER BY i.n), array_agg(j.estimated_cost ORDER BY i.n)
    INTO owners, logins, descriptions, batches, estimates
    FROM unnest(ids) WITH ORDINALITY AS i(id, n) CROSS JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = i.id OFFSET 0) j;
  SELECT array_agg(b.n), array_agg(b.budget_id), array_agg(DISTINCT b.budget_id) INTO numbers, budgets, wanted
    FROM image_gen_internal.budgets_of_jobs(owners, logins, descriptions, batches) b;
  IF wanted IS NULL THEN
    RETURN;  -- and no lock
  END IF;
  IF array_position(estimates, NULL) IS NOT NULL THEN
    SELECT j.model INTO lacking FROM unnest(numbers) AS p(n) JOIN image_gen.jobs j ON j.id = ids[p.n] WHERE j.estimated_cost IS NULL AND NOT j.allow_unpriced LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'budget_exceeded: the price of "%" is unknown, so no budget can be kept', lacking.model USING ERRCODE = 'configuration_limit_exceeded',
        HINT = 'Add a row to image_gen.prices, choose another model, or say allow_unpriced => true where that is granted (image_gen.set_role_policy()): then it is counted when its cost is known.';
    END IF;
  END IF;
  IF NOT image_gen_internal.holds_budgets(wanted) THEN
    PERFORM image_gen_internal.lock_budgets(wanted);
  END IF;
  -- A clock that went back is in the period that has begun: what was before it is forgotten.
  moment := greatest(clock_timestamp(), (SELECT max(t.since) FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (wanted)));
  SELECT s AS standing, n.needed, r.required INTO lacking
    FROM image_gen_internal.budget_standings(wanted, moment) s
    JOIN (SELECT p.budget, coalesce(sum(estimates[p.n]), 0) AS needed FROM unnest(numbers, budgets) AS p(n, budget) GROUP BY p.budget) n ON n.budget = s.budget_id
   CROSS JOIN LATERAL (
     SELECT CASE WHEN NOT headroom THEN n.needed
                 ELSE greatest(n.needed * (1 + image_gen_internal.retry_buffer()),
                               -- The cap of the batch itself has no floor: it is small because the batch is.
                               CASE WHEN (SELECT b.scope FROM image_gen.budgets b WHERE b.id = s.budget_id) = 'batch' THEN 0 ELSE image_gen_internal.min_headroom() END) END AS required) r
   WHERE s.available < r.required ORDER BY s.budget_id LIMIT 1;
  IF FOUND THEN
    PERFORM image_gen_internal.raise_budget_exceeded(lacking.standing, lacking.needed, lacking.required);
  END IF;
  INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent)
  SELECT ids[p.n], p.budget, owners[p.n], moment, coalesce(estimates[p.n], 0), 0 FROM unnest(numbers, budgets) AS p(n, budget);
  PERFORM image_gen_internal.add_reserved(array_agg(s.budget), array_agg(s.reserved))
     FROM (SELECT p.budget, sum(coalesce(estimates[p.n], 0)) AS reserved FROM unnest(numbers, budgets) AS p(n, budget) GROUP BY 1) s;
END $$;
COMMENT ON FUNCTION image_gen_internal.reserve(text[], boolean) IS
'Holds the estimates of new jobs in all budgets that apply, all or none. Error 53400 budget_exceeded. headroom: there must be room for the buffer and image_gen.min_headroom too.';

CREATE FUNCTION image_gen_internal.charge_jobs(ids text[], anew boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  -- It alone moves periods on, so it knows already what counts.
  by_worker boolean := current_user = 'image_gen_worker';
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.budgets) THEN
    RETURN;
  END IF;
  IF anew THEN
    INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent)
    SELECT j.id, b.budget_id, j.owner, coalesce((SELECT min(o.at) FROM image_gen_internal.budget_charges o WHERE o.job_id = j.id), j.created_at), 0, 0
      FROM unnest(ids) AS i(id)
     CROSS JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = i.id OFFSET 0) j
     CROSS JOIN LATERAL image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login) AS b(budget_id)
     CROSS JOIN LATERAL image_gen_internal.job_exposure(j.id) w
     WHERE w.reserved <> 0 OR w.spent <> 0
    ON CONFLICT ON CONSTRAINT budget_charges_pkey DO NOTHING;
  END IF;
  WITH due AS MATERIALIZED (
    SELECT c.place, c.budget_id, c.at, w.reserved, w.spent, w.reserved - c.reserved AS more_reserved, w.spent - c.spent AS more_spent
      FROM unnest(ids) AS i(id)
     CROSS JOIN LATERAL (SELECT x.reserved, x.spent FROM image_gen_internal.job_exposure(i.id) x OFFSET 0) w
     CROSS JOIN LATERAL (SELECT h.ctid AS place, h.* FROM image_gen_internal.budget_charges h WHERE h.job_id = i.id OFFSET 0) c
     WHERE c.reserved <> w.reserved OR c.spent <> w.spent
  ), changed AS (
    UPDATE image_gen_internal.budget_charges c SET reserved = d.reserved, spent = d.spent FROM due d WHERE c.ctid = d.place
  )
  INSERT INTO image_gen_internal.budget_entries (budget_id, at, reserved, spent)
  SELECT d.budget_id, CASE WHEN by_worker THEN NULL ELSE d.at END, sum(d.more_reserved), sum(d.more_spent)
    -- Of a budget that was removed there are charges, and no totals.
    FROM due d CROSS JOIN LATERAL (SELECT o.since FROM image_gen_internal.budget_totals o WHERE o.budget_id = d.budget_id OFFSET 0) t
   WHERE d.at >= t.since
   GROUP BY 1, 2;
END $$;
COMMENT ON FUNCTION image_gen_internal.charge_jobs(text[], boolean) IS
'Brings the charges of jobs, which the caller has locked, up to date with their calls. Locks no totals: the difference is added to budget_entries. anew: in budgets that are younger than the jobs, too.';

CREATE FUNCTION image_gen_internal.charge_missed_jobs() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  fresh record;
  free text[];
  busy bigint[];
BEGIN
  -- While set_budget() counted, jobs began and ended that it could not see, and that did not see it. Now both can be seen.
  FOR fresh IN SELECT t.budget_id, t.unsure, t.newer FROM image_gen_internal.budget_totals t WHERE t.newer IS NOT NULL FOR UPDATE SKIP LOCKED LOOP
    free := ARRAY(SELECT j.id FROM image_gen.jobs j WHERE j.seq = ANY (fresh.unsure) OR j.seq > fresh.newer ORDER BY j.seq FOR NO KEY UPDATE SKIP LOCKED);
    PERFORM image_gen_internal.charge_jobs(free, true);
    -- Those that a session has locked have their turn when it is over.
    busy := ARRAY(SELECT j.seq FROM image_gen.jobs j WHERE (j.seq = ANY (fresh.unsure) OR j.seq > fresh.newer) AND j.id <> ALL (free));
    UPDATE image_gen_internal.budget_totals t
       SET unsure = nullif(busy, '{}'), newer = CASE WHEN busy <> '{}' THEN (SELECT max(j.seq) FROM image_gen.jobs j) END
     WHERE t.budget_id = fresh.budget_id;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.charge_missed_jobs() IS 'Counts the jobs that a new budget could not see when it was made.';

CREATE FUNCTION image_gen_internal.post_charges() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  places tid[];
  changed bigint[];
  free bigint[];
BEGIN
  IF EXISTS (SELECT FROM image_gen_internal.budget_totals t WHERE t.newer IS NOT NULL) THEN
    PERFORM image_gen_internal.charge_missed_jobs();
  END IF;
  -- Entries are added and removed, never changed: the place of one that is locked stays its place.
  SELECT array_agg(e.ctid), array_agg(DISTINCT e.budget_id) INTO places, changed FROM (SELECT n.ctid, n.budget_id FROM image_gen_internal.budget_entries n FOR UPDATE SKIP LOCKED) e;
  IF places IS NULL THEN
    RETURN;
  END IF;
  SELECT array_agg(l.budget_id) INTO free
    FROM (SELECT t.budget_id FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (changed) ORDER BY t.budget_id FOR UPDATE SKIP LOCKED) l;
  WITH gone AS (
    DELETE FROM image_gen_internal.budget_entries e WHERE e.ctid = ANY (places) RETURNING e.*
  ), sums AS MATERIALIZED (
    SELECT g.budget_id, sum(g.reserved) AS reserved, sum(g.spent) AS spent
      FROM gone g CROSS JOIN LATERAL (SELECT o.since FROM image_gen_internal.budget_totals o WHERE o.budget_id = g.budget_id OFFSET 0) t
     WHERE g.at IS NULL OR g.at >= t.since GROUP BY g.budget_id
  ), kept AS (
    INSERT INTO image_gen_internal.budget_entries (budget_id, reserved, spent) SELECT s.budget_id, s.reserved, s.spent FROM sums s WHERE s.budget_id <> ALL (coalesce(free, '{}'))
  )
  UPDATE image_gen_internal.budget_totals t SET reserved = t.reserved + s.reserved, spent = t.spent + s.spent
    FROM sums s WHERE t.budget_id = s.budget_id AND s.budget_id = ANY (free);
  PERFORM image_gen_internal.roll_periods(free, clock_timestamp());
END $$;
COMMENT ON FUNCTION image_gen_internal.post_charges() IS
'Puts entries into the totals of budgets that no session has locked, and moves these on to the period of now; those of each other budget become one. Waits for no lock. For the worker only.';

CREATE FUNCTION image_gen_internal.reserve_for_attempts(ids text[], needed numeric[], patient boolean DEFAULT false) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  owners regrole[];
  logins regrole[];
  descriptions jsonb[];
  batches text[];
  -- Of its full length: what is assigned to an element of no array begins there.
  verdicts text[] := array_fill(NULL::text, ARRAY[cardinality(ids)]);
  one record;
  free bigint;
  moment timestamptz;
  balance image_gen_internal.budget_standing;
  asked numeric;
BEGIN
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    SELECT array_agg(j.owner ORDER BY i.n), array_agg(j.login ORDER BY i.n), array_agg(j.metadata ORDER BY i.n), array_agg(j.batch ORDER BY i.n) INTO owners, logins, descriptions, batches
      FROM unnest(ids) WITH ORDINALITY AS i(id, n) LEFT JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = i.id OFFSET 0) j ON true;
  END IF;
  FOR one IN
    SELECT i.n, i.id, u.unsure + i.needed AS total, l.lacking,
           CASE WHEN b.budgets IS NULL AND j.max_cost IS NULL THEN 'ours'
                WHEN i.needed IS NULL THEN CASE WHEN j.allow_unpriced THEN 'ours' ELSE 'over' END
                WHEN u.known + u.unsure + i.needed > j.max_cost THEN 'over'
                -- Where it holds enough already there is nothing to ask.
                WHEN l.lacking IS NULL THEN 'ours' END AS verdict
      FROM unnest(ids, needed) WITH ORDINALITY AS i(id, needed, n)
     CROSS JOIN LATERAL (SELECT o.max_cost, o.allow_unpriced FROM image_gen.jobs o WHERE o.id = i.id OFFSET 0) j
     CROSS JOIN LATERAL (SELECT coalesce(sum(a.billed_cost), 0) AS known, coalesce(sum(a.estimated_cost) FILTER (WHERE a.billed_cost IS NULL), 0) AS unsure
                           FROM image_gen.attempts a WHERE a.job_id = i.id AND a.status <> 'running') u
      LEFT JOIN (SELECT p.n, array_agg(p.budget_id) AS budgets FROM image_gen_internal.budgets_of_jobs(owners, logins, descriptions, batches) p GROUP BY p.n) b ON b.n = i.n
     CROSS JOIN LATERAL (
       SELECT array_agg(p.id) AS lacking FROM unnest(b.budgets) AS p(id)
        WHERE u.unsure + i.needed > coalesce((SELECT c.reserved FROM image_gen_internal.budget_charges c WHERE c.job_id = i.id AND c.budget_id = p.id), 0)) l
     ORDER BY i.n
  LOOP
    verdicts[one.n] := one.verdict;
    CONTINUE WHEN one.verdict IS NOT NULL;
    IF patient THEN
      PERFORM image_gen_internal.lock_budgets(one.lacking);
    ELSE
      SELECT count(*) INTO free
        FROM (SELECT FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (one.lacking) ORDER BY t.budget_id FOR UPDATE SKIP LOCKED) l;
      IF free < (SELECT count(*) FROM image_gen_internal.budget_totals t WHERE t.budget_id = ANY (one.lacking)) THEN
        verdicts[one.n] := 'busy';
        CONTINUE;
      END IF;
    END IF;
    moment := clock_timestamp();
    SELECT s.* INTO balance FROM image_gen_internal.budget_standings(one.lacking, moment) s
     WHERE one.total - coalesce((SELECT c.reserved FROM image_gen_internal.budget_charges c WHERE c.job_id = one.id AND c.budget_id = s.budget_id), 0) > s.available LIMIT 1;
    IF NOT FOUND THEN
      verdicts[one.n] := 'ours';
      -- Taken at once, so that the next one sees it.
      PERFORM image_gen_internal.raise_charges(one.id, one.lacking, one.total);
    ELSIF patient THEN
      asked := needed[one.n];
      PERFORM image_gen_internal.raise_budget_exceeded(balance, asked, asked);
    ELSE
      verdicts[one.n] := 'over';
    END IF;
  END LOOP;
  RETURN verdicts;
END $$;
COMMENT ON FUNCTION image_gen_internal.reserve_for_attempts(text[], numeric[], boolean) IS
'Whether jobs may make calls that are expected to cost so much: ours (yes; what they need is reserved), over (a budget or max_cost has not enough),
busy (a session queues under the budget just now), NULL for a job that is NULL. patient: waits for it, and raises budget_exceeded.';

CREATE FUNCTION image_gen_internal.raise_charges(raised_id text, in_budgets bigint[], total numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent)
  SELECT j.id, p.id, j.owner, coalesce((SELECT min(o.at) FROM image_gen_internal.budget_charges o WHERE o.job_id = j.id), j.created_at), 0, 0
    FROM image_gen.jobs j CROSS JOIN unnest(in_budgets) AS p(id) WHERE j.id = raised_id
  ON CONFLICT ON CONSTRAINT budget_charges_pkey DO NOTHING;
  WITH due AS MATERIALIZED (
    SELECT c.ctid AS place, c.budget_id, c.at, total - c.reserved AS more FROM image_gen_internal.budget_charges c WHERE c.job_id = raised_id AND c.budget_id = ANY (in_budgets)
  ), changed AS (
    UPDATE image_gen_internal.budget_charges c SET reserved = total FROM due d WHERE c.ctid = d.place
  )
  INSERT INTO image_gen_internal.budget_entries (budget_id, at, reserved, spent) SELECT d.budget_id, d.at, d.more, 0 FROM due d;
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_charges(text, bigint[], numeric) IS 'Reserves so much for a job in some of its budgets.';

SET LOCAL search_path = image_gen, pg_temp;
