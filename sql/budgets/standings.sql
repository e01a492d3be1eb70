-- Which budgets a job counts in, for how much, and what is left of them.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.budget_name(budget image_gen.budgets) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN budget.scope || coalesce(':' || coalesce(budget.key, image_gen_internal.role_name(budget.role)), '');
END $$;
COMMENT ON FUNCTION image_gen_internal.budget_name(image_gen.budgets) IS 'What a budget is for, as people read it: workspace, role:anna, campaign:spring ...';

CREATE FUNCTION image_gen_internal.pruned_job_id(owner regrole) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- By oid, or else a new role of an old name would share it; and by name, because a restored database has other oids.
  RETURN format('pruned:%s:%s', owner::oid, image_gen_internal.role_name(owner));
END $$;
COMMENT ON FUNCTION image_gen_internal.pruned_job_id(regrole) IS 'charges.job_id of all pruned jobs of an owner together.';

CREATE FUNCTION image_gen_internal.retry_buffer() RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT current_setting('image_gen.retry_buffer')::numeric;
END;
COMMENT ON FUNCTION image_gen_internal.retry_buffer() IS 'The setting image_gen.retry_buffer.';

CREATE FUNCTION image_gen_internal.min_headroom() RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT current_setting('image_gen.min_headroom')::numeric;
END;
COMMENT ON FUNCTION image_gen_internal.min_headroom() IS 'The setting image_gen.min_headroom.';

CREATE FUNCTION image_gen_internal.format_usd(amount numeric) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN scale(trim_scale(amount)) > 2 THEN trim_scale(amount) ELSE round(amount, 2) END::text
$$;
COMMENT ON FUNCTION image_gen_internal.format_usd(numeric) IS 'An amount as people write it: two digits, or as many as it has.';

CREATE FUNCTION image_gen_internal.check_amount(what text, amount numeric, hint text) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- NaN sorts above infinity.
  IF amount < 0 OR amount >= 1e9 OR scale(trim_scale(amount)) > 18 THEN
    RAISE EXCEPTION '% is %', what, left(amount::text, 40) USING ERRCODE = 'invalid_parameter_value',
      HINT = hint || ' It must be below 1,000,000,000, with at most 18 digits after the point.';
  END IF;
  RETURN CASE WHEN scale(amount) > 18 THEN trim_scale(amount) ELSE amount END;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_amount(text, numeric, text) IS 'An amount that came from outside, or an error that names the argument. NULL stays NULL.';

CREATE FUNCTION image_gen_internal.sees_budget(caller regrole, budget image_gen.budgets) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE budget.scope
    WHEN 'workspace' THEN true
    WHEN 'role' THEN pg_has_role(caller, 'image_gen_admin', 'member') OR budget.id IN (SELECT image_gen_internal.budgets_of_job(caller, '{}', NULL))
    WHEN 'campaign' THEN image_gen_internal.is_campaign_granted(caller, budget.key)
    WHEN 'batch' THEN pg_has_role(caller, 'image_gen_admin', 'member') OR EXISTS (SELECT FROM image_gen.jobs j WHERE j.batch = budget.key AND j.owner = caller)
    ELSE pg_has_role(caller, 'image_gen_admin', 'member') END;
END $$;
COMMENT ON FUNCTION image_gen_internal.sees_budget(regrole, image_gen.budgets) IS
'Whether a role may see how a budget stands: that of the workspace, its own and its teams'', campaigns that were granted to it, its own batches; administrators all.';

-- Not PL/pgSQL: it becomes part of the queries that use it.
CREATE FUNCTION image_gen_internal.period_start(budget image_gen.budgets, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT greatest(budget.counts_from, CASE budget.period WHEN 'total' THEN '-infinity' WHEN 'rolling' THEN at - budget.rolling
                                      ELSE date_trunc(budget.period, at, budget.time_zone) END);
END;
COMMENT ON FUNCTION image_gen_internal.period_start(image_gen.budgets, timestamptz) IS 'From when on jobs count in a budget.';

CREATE FUNCTION image_gen_internal.period_end(budget image_gen.budgets, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE budget.period WHEN 'total' THEN 'infinity' WHEN 'rolling' THEN at + budget.rolling
         -- By the wall clock of the zone: a day on which clocks change has 23 or 25 hours.
         ELSE (date_trunc(budget.period, at AT TIME ZONE budget.time_zone)
               + CASE budget.period WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || budget.period)::interval END) AT TIME ZONE budget.time_zone END;
END $$;
COMMENT ON FUNCTION image_gen_internal.period_end(image_gen.budgets, timestamptz) IS 'When the period of a budget ends, or, of a rolling one, what is spent now is forgotten.';

CREATE FUNCTION image_gen_internal.budgets_of_jobs(owners regrole[], logins regrole[], metadata jsonb[], batches text[]) RETURNS TABLE (n bigint, budget_id bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE asked AS MATERIALIZED (
    SELECT i.n, i.owner::oid AS owner, coalesce(i.login, i.owner)::oid AS login, i.metadata, i.batch
      FROM unnest(owners, logins, $3, batches) WITH ORDINALITY AS i(owner, login, metadata, batch, n)
     WHERE i.owner IS NOT NULL
  ), teams AS (
    -- By membership, not by privilege: a superuser is not in every team. SET ROLE does not lead out of the login's budgets.
    SELECT a.owner, a.login, r.role FROM (SELECT DISTINCT q.owner, q.login FROM asked q) a CROSS JOIN LATERAL (VALUES (a.owner), (a.login)) r(role)
     WHERE EXISTS (SELECT FROM image_gen.budgets b WHERE b.scope = 'role')
    UNION
    SELECT t.owner, t.login, m.roleid FROM teams t JOIN pg_auth_members m ON m.member = t.role
  )
  SELECT a.n, b.id FROM asked a CROSS JOIN image_gen.budgets b WHERE b.scope = 'workspace'
  UNION ALL
  SELECT a.n, r.id
    FROM (SELECT t.owner, t.login, f.id FROM teams t
           CROSS JOIN LATERAL (SELECT b.id FROM image_gen.budgets b WHERE b.scope = 'role' AND b.role = t.role::regrole OFFSET 0) f) r
    JOIN asked a ON a.owner = r.owner AND a.login = r.login
  UNION ALL
  SELECT a.n, f.id
    FROM asked a CROSS JOIN LATERAL jsonb_each_text(a.metadata) m
   CROSS JOIN LATERAL (SELECT b.id FROM image_gen.budgets b
                        -- coalesce, for the sake of the index: batches leave very many rows.
                        WHERE b.scope = CASE WHEN m.key IN ('campaign', 'ticket') THEN m.key ELSE 'metadata:' || m.key END AND coalesce(b.key, '') = m.value
                       OFFSET 0) f  -- or else all budgets are read once, instead of a few by the index
  UNION ALL
  SELECT a.n, f.id
    FROM asked a CROSS JOIN LATERAL (SELECT b.id FROM image_gen.budgets b WHERE b.scope = 'batch' AND coalesce(b.key, '') = a.batch OFFSET 0) f
   WHERE a.batch IS NOT NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.budgets_of_jobs(regrole[], regrole[], jsonb[], text[]) IS 'The budgets that jobs count in; n: which element of the arrays the job is. One without an owner is left out.';

CREATE FUNCTION image_gen_internal.budgets_of_job(owner regrole, metadata jsonb, batch text, login regrole DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT b.budget_id FROM image_gen_internal.budgets_of_jobs(ARRAY[$1], ARRAY[$4], ARRAY[$2], ARRAY[$3]) b;
END $$;
COMMENT ON FUNCTION image_gen_internal.budgets_of_job(regrole, jsonb, text, regrole) IS 'The budgets that a job counts in.';

-- Not PL/pgSQL: this one becomes part of the queries that use it.
CREATE FUNCTION image_gen_internal.job_exposure(owing_id text) RETURNS TABLE (reserved numeric, spent numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(u.unknown, 0) + coalesce(
           CASE WHEN j.status NOT IN ('queued', 'running') THEN 0
                WHEN a.id IS NULL THEN j.estimated_cost
                WHEN a.status = 'running' THEN greatest(a.estimated_cost, a.billed_cost) + coalesce(a.estimated_rest, 0)
                -- The images that are wanted take further calls.
                WHEN a.status = 'succeeded' THEN a.estimated_rest
                -- A call that cost nothing comes again. After one that did, the next one asks for more.
                WHEN a.billed_cost = 0 THEN a.estimated_cost + coalesce(a.estimated_rest, 0) ELSE a.estimated_rest END, 0),
         coalesce(u.known, 0)
    FROM (SELECT o.status, o.estimated_cost FROM image_gen.jobs o WHERE o.id = owing_id OFFSET 0) j
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = owing_id ORDER BY t.number DESC LIMIT 1) a ON true
   CROSS JOIN LATERAL (
     SELECT sum(t.billed_cost) FILTER (WHERE t.currency = 'USD') AS known,
            sum(t.estimated_cost) FILTER (WHERE t.billed_cost IS NULL) AS unknown
       FROM image_gen.attempts t WHERE t.job_id = owing_id AND t.status <> 'running') u;
END;
COMMENT ON FUNCTION image_gen_internal.job_exposure(text) IS
'What a job counts for: spent is what its calls were billed; reserved is the estimate of what comes next or is under way, and of calls of unknown cost.';

CREATE FUNCTION image_gen_internal.roll_periods(locked bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What has fallen out of the period is taken off once. A clock that went back changes nothing. Entries of that time are not counted
  -- from now on, so they are not taken off with their charges.
  UPDATE image_gen_internal.budget_totals t
     SET since = w.since, spent = t.spent - w.spent, reserved = t.reserved - w.reserved
    FROM (SELECT b.id, s.since, coalesce(c.spent, 0) - coalesce(e.spent, 0) AS spent, coalesce(c.reserved, 0) - coalesce(e.reserved, 0) AS reserved
            FROM image_gen.budgets b
            JOIN image_gen_internal.budget_totals o ON o.budget_id = b.id
           CROSS JOIN LATERAL (SELECT image_gen_internal.period_start(b, $2) OFFSET 0) AS s(since)
           CROSS JOIN LATERAL (SELECT sum(h.spent) AS spent, sum(h.reserved) AS reserved FROM image_gen_internal.budget_charges h
                                WHERE h.budget_id = b.id AND h.at >= o.since AND h.at < s.since) c
           CROSS JOIN LATERAL (SELECT sum(n.spent) AS spent, sum(n.reserved) AS reserved FROM image_gen_internal.budget_entries n
                                WHERE n.budget_id = b.id AND n.at >= o.since AND n.at < s.since) e
           WHERE b.id = ANY ($1) AND b.period <> 'total' AND s.since > o.since) w
   WHERE t.budget_id = w.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.roll_periods(bigint[], timestamptz) IS 'Moves the totals of budgets, which the caller has locked, on to the period of a moment. For the worker only.';

CREATE TYPE image_gen_internal.budget_standing AS (budget_id bigint, limit_amount numeric, spent numeric, reserved numeric, available numeric, since timestamptz);

CREATE FUNCTION image_gen_internal.budget_standings(wanted bigint[], at timestamptz) RETURNS SETOF image_gen_internal.budget_standing
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY
  SELECT b.id, l.amount, u.spent, u.reserved, l.amount - u.spent - u.reserved, s.since
    FROM unnest($1) AS w(id)
   CROSS JOIN LATERAL (SELECT g.* FROM image_gen.budgets g WHERE g.id = w.id OFFSET 0) b
   CROSS JOIN LATERAL (SELECT o.* FROM image_gen_internal.budget_totals o WHERE o.budget_id = b.id OFFSET 0) t
   -- Its amount, or the newest one that stands in for it, and what was granted.
   CROSS JOIN LATERAL (
     SELECT coalesce((array_agg(c.amount ORDER BY c.id DESC) FILTER (WHERE c.kind = 'override'))[1], b.amount) + coalesce(sum(c.amount) FILTER (WHERE c.kind = 'grant'), 0) AS amount
       FROM image_gen.budget_changes c WHERE c.budget_id = b.id AND $2 >= c.valid_from AND $2 < c.valid_until) l
   -- Once a budget, and not for each of its charges. A clock that went back is in the period that has begun.
   CROSS JOIN LATERAL (SELECT greatest(t.since, CASE b.period WHEN 'total' THEN t.since ELSE image_gen_internal.period_start(b, $2) END) OFFSET 0) AS s(since)
   CROSS JOIN LATERAL (SELECT sum(e.spent) AS spent, sum(e.reserved) AS reserved FROM image_gen_internal.budget_entries e
                        WHERE e.budget_id = b.id AND (e.at IS NULL OR e.at >= t.since)) new
   CROSS JOIN LATERAL (SELECT sum(c.spent) AS spent, sum(c.reserved) AS reserved FROM image_gen_internal.budget_charges c
                        WHERE s.since > t.since AND c.budget_id = b.id AND c.at >= t.since AND c.at < s.since) old
   CROSS JOIN LATERAL (SELECT t.spent + coalesce(new.spent, 0) - coalesce(old.spent, 0) AS spent,
                              t.reserved + coalesce(new.reserved, 0) - coalesce(old.reserved, 0) + coalesce(image_gen_internal.unwritten_reserved(b.id), 0) AS reserved) u
   ORDER BY b.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.budget_standings(bigint[], timestamptz) IS 'How budgets stand in a moment.';

CREATE FUNCTION image_gen_internal.raise_budget_exceeded(balance image_gen_internal.budget_standing, needed numeric, required numeric) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  budget image_gen.budgets;
  name text;
  until timestamptz;
BEGIN
  SELECT b.* INTO STRICT budget FROM image_gen.budgets b WHERE b.id = balance.budget_id;
  name := image_gen_internal.budget_name(budget);
  IF NOT image_gen_internal.sees_budget(image_gen_internal.caller(), budget) THEN
    RAISE EXCEPTION 'budget_exceeded: % has not % USD available', name, image_gen_internal.format_usd(required) USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Choose a cheaper model (image_gen.estimate()), or ask an administrator for image_gen.grant_credits() or set_budget(); those to whom image_gen.grant_campaign() grants a campaign see how its budget stands.';
  END IF;
  until := image_gen_internal.period_end(budget, clock_timestamp());
  RAISE EXCEPTION 'budget_exceeded: % has % USD available, % USD are needed%', name, image_gen_internal.format_usd(balance.available), image_gen_internal.format_usd(required),
      CASE WHEN required > needed THEN format(' (%s and headroom for retries)', image_gen_internal.format_usd(needed)) ELSE '' END
    USING ERRCODE = 'configuration_limit_exceeded',
          DETAIL = format('limit %s, spent %s, reserved %s, available %s, estimated %s USD%s', image_gen_internal.format_usd(balance.limit_amount), image_gen_internal.format_usd(balance.spent),
                          image_gen_internal.format_usd(balance.reserved), image_gen_internal.format_usd(balance.available), image_gen_internal.format_usd(needed),
                          CASE WHEN isfinite(until) THEN format('; until %s', to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')) ELSE '' END),
          HINT = CASE WHEN name LIKE 'batch:%' THEN 'Give the batch a higher max_cost, or cheaper shots (image_gen.estimate_batch()); of one that is queued, an administrator raises it: image_gen.grant_credits(..., ''batch'', ...).'
                 ELSE 'image_gen.credits() shows all limits. Choose a cheaper model (image_gen.estimate()), or ask an administrator for image_gen.grant_credits() or set_budget().' END;
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_budget_exceeded(image_gen_internal.budget_standing, numeric, numeric) IS 'The error of a budget that has not enough.';

SET LOCAL search_path = image_gen, pg_temp;
