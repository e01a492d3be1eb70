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
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT current_setting('image_gen.retry_buffer')::numeric $$;
COMMENT ON FUNCTION image_gen_internal.retry_buffer() IS 'The setting image_gen.retry_buffer.';

CREATE FUNCTION image_gen_internal.min_headroom() RETURNS numeric
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT current_setting('image_gen.min_headroom')::numeric $$;
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

CREATE FUNCTION image_gen_internal.period_start(budget image_gen.budgets, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN greatest(budget.counts_from, CASE budget.period WHEN 'total' THEN '-infinity' WHEN 'rolling' THEN at - budget.rolling
                                      ELSE date_trunc(budget.period, at, budget.time_zone) END);
END $$;
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

CREATE FUNCTION image_gen_internal.limit_at(budget image_gen.budgets, at timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT c.amount FROM image_gen.budget_changes c
                    WHERE c.budget_id = budget.id AND c.kind = 'override' AND at >= c.valid_from AND at < c.valid_until
                    ORDER BY c.id DESC LIMIT 1), budget.amount)
       + (SELECT coalesce(sum(c.amount), 0) FROM image_gen.budget_changes c
           WHERE c.budget_id = budget.id AND c.kind = 'grant' AND at >= c.valid_from AND at < c.valid_until);
END $$;
COMMENT ON FUNCTION image_gen_internal.limit_at(image_gen.budgets, timestamptz) IS 'What a budget has in a moment: its amount, or the one that stands in for it, and what was granted.';

CREATE FUNCTION image_gen_internal.budgets_of_job(owner regrole, metadata jsonb, batch text, login regrole DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  -- coalesce, for the sake of the index: batches leave very many rows.
  RETURN QUERY
  SELECT b.id FROM image_gen.budgets b WHERE b.scope = 'workspace'
  UNION ALL
  -- By membership, not by privilege: a superuser is not in every team. SET ROLE does not lead out of the login's budgets.
  SELECT b.id FROM image_gen.budgets b
   WHERE b.scope = 'role' AND b.role IN (
     WITH RECURSIVE teams AS (
       SELECT r.role FROM (VALUES ($1::oid), ($4::oid)) r(role)
       UNION
       SELECT m.roleid FROM teams t JOIN pg_auth_members m ON m.member = t.role)
     SELECT t.role FROM teams t)
  UNION ALL
  SELECT f.id FROM jsonb_each_text($2) m
   CROSS JOIN LATERAL (SELECT b.id FROM image_gen.budgets b
                        WHERE b.scope = CASE WHEN m.key IN ('campaign', 'ticket') THEN m.key ELSE 'metadata:' || m.key END AND coalesce(b.key, '') = m.value
                       OFFSET 0) f  -- or else all budgets are read once, instead of a few by the index
  UNION ALL
  SELECT b.id FROM image_gen.budgets b WHERE b.scope = 'batch' AND coalesce(b.key, '') = $3;
END $$;
COMMENT ON FUNCTION image_gen_internal.budgets_of_job(regrole, jsonb, text, regrole) IS 'The budgets that a job counts in.';

CREATE FUNCTION image_gen_internal.job_exposure(owing_id text, OUT reserved numeric, OUT spent numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT coalesce(u.known, 0),
         coalesce(u.unknown, 0) + coalesce(
           CASE WHEN j.status NOT IN ('queued', 'running') THEN 0
                WHEN a.id IS NULL THEN j.estimated_cost
                WHEN a.status = 'running' THEN greatest(a.estimated_cost, a.billed_cost) + coalesce(a.estimated_rest, 0)
                -- The images that are wanted take further calls.
                WHEN a.status = 'succeeded' THEN a.estimated_rest
                -- A call that cost nothing comes again. After one that did, the next one asks for more.
                WHEN a.billed_cost = 0 THEN a.estimated_cost + coalesce(a.estimated_rest, 0) ELSE a.estimated_rest END, 0)
    INTO spent, reserved
    FROM image_gen.jobs j
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = j.id ORDER BY t.number DESC LIMIT 1) a ON true
   CROSS JOIN LATERAL (
     SELECT sum(t.billed_cost) FILTER (WHERE t.currency = 'USD') AS known,
            sum(t.estimated_cost) FILTER (WHERE t.billed_cost IS NULL) AS unknown
       FROM image_gen.attempts t WHERE t.job_id = j.id AND t.status <> 'running') u
   WHERE j.id = owing_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.job_exposure(text) IS
'What a job counts for: spent is what its calls were billed; reserved is the estimate of what comes next or is under way, and of calls of unknown cost.';

CREATE FUNCTION image_gen_internal.roll_periods(locked bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What has fallen out of the period is taken off once. A clock that went back changes nothing.
  UPDATE image_gen_internal.budget_totals t
     SET since = w.since, spent = t.spent - w.spent, reserved = t.reserved - w.reserved
    FROM (SELECT b.id, s.since, coalesce(sum(c.posted_spent), 0) AS spent, coalesce(sum(c.posted_reserved), 0) AS reserved
            FROM image_gen.budgets b
            JOIN image_gen_internal.budget_totals o ON o.budget_id = b.id
           CROSS JOIN LATERAL image_gen_internal.period_start(b, $2) AS s(since)
            LEFT JOIN image_gen_internal.budget_charges c ON c.budget_id = b.id AND c.at >= o.since AND c.at < s.since
           WHERE b.id = ANY ($1) AND s.since > o.since
           GROUP BY b.id, s.since) w
   WHERE t.budget_id = w.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.roll_periods(bigint[], timestamptz) IS 'Moves the totals of budgets, which the caller has locked, on to the period of a moment.';

CREATE TYPE image_gen_internal.budget_standing AS (budget_id bigint, name text, limit_amount numeric, spent numeric, reserved numeric, available numeric, since timestamptz, until timestamptz);

CREATE FUNCTION image_gen_internal.budget_standings(wanted bigint[], at timestamptz) RETURNS SETOF image_gen_internal.budget_standing
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT b.id, image_gen_internal.budget_name(b), l.amount, u.spent, u.reserved, l.amount - u.spent - u.reserved, s.since, image_gen_internal.period_end(b, $2)
    FROM image_gen.budgets b
    JOIN image_gen_internal.budget_totals t ON t.budget_id = b.id
   CROSS JOIN LATERAL image_gen_internal.limit_at(b, $2) AS l(amount)
   -- Once a budget, and not for each of its charges.
   CROSS JOIN LATERAL (SELECT greatest(t.since, image_gen_internal.period_start(b, $2)) OFFSET 0) AS s(since)
    LEFT JOIN LATERAL (SELECT sum(c.posted_spent) AS spent, sum(c.posted_reserved) AS reserved FROM image_gen_internal.budget_charges c
                        WHERE s.since > t.since AND c.budget_id = b.id AND c.at >= t.since AND c.at < s.since) old ON true
    LEFT JOIN LATERAL (SELECT sum(c.spent - c.posted_spent) AS spent, sum(c.reserved - c.posted_reserved) AS reserved FROM image_gen_internal.budget_charges c
                        WHERE c.unposted = b.id AND c.at >= s.since) new ON true
   CROSS JOIN LATERAL (SELECT t.spent - coalesce(old.spent, 0) + coalesce(new.spent, 0) AS spent,
                              t.reserved - coalesce(old.reserved, 0) + coalesce(new.reserved, 0) AS reserved) u
   WHERE b.id = ANY ($1)
   ORDER BY b.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.budget_standings(bigint[], timestamptz) IS 'How budgets stand: the totals, less what has fallen out of the period, with what is not booked yet.';

CREATE FUNCTION image_gen_internal.raise_budget_exceeded(balance image_gen_internal.budget_standing, needed numeric, required numeric) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT (SELECT image_gen_internal.sees_budget(image_gen_internal.caller(), b) FROM image_gen.budgets b WHERE b.id = balance.budget_id) THEN
    RAISE EXCEPTION 'budget_exceeded: % has not % USD available', balance.name, image_gen_internal.format_usd(required) USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Choose a cheaper model (image_gen.estimate()), or ask an administrator for image_gen.grant_credits() or set_budget(); those to whom image_gen.grant_campaign() grants a campaign see how its budget stands.';
  END IF;
  RAISE EXCEPTION 'budget_exceeded: % has % USD available, % USD are needed%', balance.name, image_gen_internal.format_usd(balance.available), image_gen_internal.format_usd(required),
      CASE WHEN required > needed THEN format(' (%s and headroom for retries)', image_gen_internal.format_usd(needed)) ELSE '' END
    USING ERRCODE = 'configuration_limit_exceeded',
          DETAIL = format('limit %s, spent %s, reserved %s, available %s, estimated %s USD%s', image_gen_internal.format_usd(balance.limit_amount), image_gen_internal.format_usd(balance.spent),
                          image_gen_internal.format_usd(balance.reserved), image_gen_internal.format_usd(balance.available), image_gen_internal.format_usd(needed),
                          CASE WHEN isfinite(balance.until) THEN format('; until %s', to_char(balance.until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')) ELSE '' END),
          HINT = CASE WHEN balance.name LIKE 'batch:%' THEN 'Give the batch a higher max_cost, or cheaper shots (image_gen.estimate_batch()); of one that is queued, an administrator raises it: image_gen.grant_credits(..., ''batch'', ...).'
                 ELSE 'image_gen.credits() shows all limits. Choose a cheaper model (image_gen.estimate()), or ask an administrator for image_gen.grant_credits() or set_budget().' END;
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_budget_exceeded(image_gen_internal.budget_standing, numeric, numeric) IS 'The error of a budget that has not enough.';

SET LOCAL search_path = image_gen, pg_temp;
