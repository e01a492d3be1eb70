-- Limits, as administrators set them and as users see them. What they do is in budgets/.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.require_admin(caller regrole) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT pg_has_role(caller, 'image_gen_admin', 'member') THEN
    RAISE EXCEPTION 'only members of image_gen_admin may do this' USING ERRCODE = 'insufficient_privilege',
      HINT = 'Ask an administrator, or for GRANT image_gen_admin TO you.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.require_admin(regrole) IS 'Raises insufficient_privilege unless the role is an administrator.';

CREATE FUNCTION image_gen_internal.budget_scope(asked text, key text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  scope text := CASE WHEN asked IN ('metadata:campaign', 'metadata:ticket') THEN substr(asked, 10) ELSE asked END;
BEGIN
  IF scope IS NULL OR scope NOT IN ('workspace', 'role', 'campaign', 'ticket', 'batch') AND scope !~ '^metadata:.' THEN
    RAISE EXCEPTION 'scope ''%'' does not exist', coalesce(asked, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use one of: workspace, role, campaign, ticket, metadata:NAME for any other key of metadata; batch for one that has a max_cost.';
  ELSIF scope = 'workspace' AND key IS NOT NULL THEN
    RAISE EXCEPTION 'a budget of the workspace has no key' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give NULL as key.';
  ELSIF scope <> 'workspace' AND coalesce(key, '') = '' THEN
    RAISE EXCEPTION 'a budget of a % needs a key', scope USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Say which %s the budget is for.', regexp_replace(scope, '^metadata:', ''));
  ELSIF scope = 'batch' AND NOT EXISTS (SELECT FROM image_gen.budgets b WHERE b.scope = 'batch' AND coalesce(b.key, '') = $2) THEN
    RAISE EXCEPTION 'batch "%" has no max_cost', key USING ERRCODE = 'undefined_object', HINT = 'It is given to generate_batch(); from then on it can be raised here.';
  END IF;
  RETURN scope;
END $$;
COMMENT ON FUNCTION image_gen_internal.budget_scope(text, text) IS 'The scope of a budget as it is stored, or an error.';

CREATE FUNCTION image_gen_internal.rolling_period(asked text) RETURNS interval
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  length interval;
BEGIN
  IF asked IN ('total', 'day', 'week', 'month', 'quarter', 'year') THEN
    RETURN NULL;
  END IF;
  length := regexp_replace(asked, '^rolling +', '')::interval;
  IF length IS NULL OR length < interval '1 minute' THEN
    RAISE invalid_datetime_format;
  END IF;
  RETURN length;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
  RAISE EXCEPTION 'period ''%'' does not exist', coalesce(asked, 'NULL') USING ERRCODE = 'invalid_parameter_value',
    HINT = 'Use one of: total; day, week, month, quarter, year of the calendar; or a rolling one such as ''30 days'' or ''24 hours''.';
END $$;
COMMENT ON FUNCTION image_gen_internal.rolling_period(text) IS 'The length of a rolling period, NULL for one of the calendar, or an error.';

CREATE FUNCTION image_gen_internal.charge_existing_jobs(new_budget bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  budget image_gen.budgets;
  start timestamptz;
BEGIN
  SELECT b.* INTO STRICT budget FROM image_gen.budgets b WHERE b.id = new_budget;
  -- No job is pruned meanwhile.
  PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE;
  start := image_gen_internal.period_start(budget, clock_timestamp());
  INSERT INTO image_gen_internal.budget_totals (budget_id, since, unsure, newer)
  SELECT new_budget, start, array_agg(q.seq), (SELECT coalesce(max(j.seq), 0) FROM image_gen.jobs j) FROM image_gen_internal.queue q;
  WITH counted AS (
    INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent)
    SELECT j.id, new_budget, j.owner, j.created_at, w.reserved, w.spent
      FROM image_gen.jobs j CROSS JOIN LATERAL image_gen_internal.job_exposure(j.id) w
     WHERE j.created_at >= start AND new_budget IN (SELECT image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login))
       AND (w.reserved <> 0 OR w.spent <> 0)
    RETURNING budget_charges.reserved, budget_charges.spent
  ), archived AS (
    INSERT INTO image_gen_internal.budget_charges (job_id, budget_id, owner, at, reserved, spent, pruned)
    SELECT CASE budget.period WHEN 'total' THEN image_gen_internal.pruned_job_id(p.owner) ELSE p.story END, new_budget, p.owner, min(p.at), 0, sum(p.spent), true
      FROM (SELECT s.story, s.owner, s.campaign, s.ticket, min(s.first_call) AS at, sum(s.billed_cost) FILTER (WHERE s.currency = 'USD') AS spent
              FROM image_gen_internal.spending_archive s GROUP BY s.story, s.owner, s.campaign, s.ticket) p
     WHERE p.at >= start AND p.spent <> 0
       AND new_budget IN (SELECT image_gen_internal.budgets_of_job(p.owner, jsonb_strip_nulls(jsonb_build_object('campaign', p.campaign, 'ticket', p.ticket)), NULL))
     GROUP BY 1, p.owner
    RETURNING budget_charges.reserved, budget_charges.spent)
  UPDATE image_gen_internal.budget_totals t SET reserved = s.reserved, spent = s.spent
    FROM (SELECT coalesce(sum(c.reserved), 0) AS reserved, coalesce(sum(c.spent), 0) AS spent FROM (SELECT * FROM counted UNION ALL SELECT * FROM archived) c) s
   WHERE t.budget_id = new_budget;
  PERFORM image_gen_internal.wake(9223372036854775807);  -- the worker looks again when this is committed: see charge_missed_jobs
END $$;
COMMENT ON FUNCTION image_gen_internal.charge_existing_jobs(bigint) IS 'Counts the jobs of the period so far in a new budget.';

CREATE FUNCTION image_gen.credits()
RETURNS TABLE (scope text, currency text, spent numeric, unknown_costs bigint, reserved numeric, limit_amount numeric, available numeric, unlimited boolean,
               period text, since timestamptz, until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  listed bigint[];
BEGIN
  SELECT array_agg(b.id) INTO listed
    FROM image_gen.budgets b
   WHERE CASE b.scope
         -- Of batches those that are under way, or hold something: the others are history.
         WHEN 'batch' THEN (EXISTS (SELECT FROM image_gen.jobs j WHERE j.batch = b.key AND j.status IN ('queued', 'running', 'needs_review'))
                            OR b.id IN (SELECT c.budget_id
                                          FROM (SELECT q.job_id FROM image_gen_internal.queue q
                                                UNION SELECT a.job_id FROM image_gen.attempts a WHERE a.billed_cost IS NULL AND a.status <> 'running') o
                                         CROSS JOIN LATERAL (SELECT h.budget_id FROM image_gen_internal.budget_charges h WHERE h.job_id = o.job_id AND h.reserved <> 0 OFFSET 0) c))
                           AND image_gen_internal.sees_budget(caller, b)
         ELSE sees_all OR image_gen_internal.sees_budget(caller, b) OR EXISTS (SELECT FROM image_gen_internal.budget_charges c WHERE c.budget_id = b.id AND c.owner = caller) END;
  RETURN QUERY
  SELECT n.name, 'USD', CASE WHEN v.visible THEN b.spent ELSE o.spent END,
         (SELECT count(*) FROM image_gen.attempts a
           CROSS JOIN LATERAL (SELECT h.* FROM image_gen_internal.budget_charges h WHERE h.job_id = a.job_id AND h.budget_id = b.budget_id OFFSET 0) c
           WHERE c.at >= b.since AND a.billed_cost IS NULL AND a.status <> 'running' AND (v.visible OR c.owner = caller)),
         CASE WHEN v.visible THEN b.reserved ELSE o.reserved END, CASE WHEN v.visible THEN b.limit_amount END, CASE WHEN v.visible THEN b.available END, false,
         CASE g.period WHEN 'rolling' THEN 'rolling ' || g.rolling ELSE g.period END, b.since, image_gen_internal.period_end(g, clock_timestamp())
    FROM image_gen_internal.budget_standings(listed, clock_timestamp()) b JOIN image_gen.budgets g ON g.id = b.budget_id
   CROSS JOIN LATERAL (SELECT image_gen_internal.budget_name(g) AS name) n
   CROSS JOIN LATERAL (SELECT sees_all OR image_gen_internal.sees_budget(caller, g) AS visible) v
    -- What others have spent is theirs: of what one may not see, one sees one's own part.
    LEFT JOIN LATERAL (SELECT coalesce(sum(c.spent), 0) AS spent, coalesce(sum(c.reserved), 0) AS reserved FROM image_gen_internal.budget_charges c
                        WHERE NOT v.visible AND c.budget_id = b.budget_id AND c.at >= b.since AND c.owner = caller) o ON true
   ORDER BY array_position('{workspace,role}', g.scope), g.scope, n.name COLLATE "C", b.limit_amount;
  IF NOT EXISTS (SELECT FROM image_gen.budgets b WHERE b.scope = 'role' AND b.role = caller) THEN
    RETURN QUERY
    SELECT 'role:' || image_gen_internal.role_name(caller), 'USD', coalesce(sum(t.billed) FILTER (WHERE t.currency = 'USD'), 0), coalesce(sum(t.unknown_costs), 0)::bigint,
           (SELECT coalesce(sum(w.reserved), 0) FROM image_gen_internal.queue q CROSS JOIN LATERAL image_gen_internal.job_exposure(q.job_id) w WHERE q.owner = caller)
           -- Of those that are over, what is not known is reserved.
           + (SELECT coalesce(sum(a.estimated_cost), 0) FROM image_gen.attempts a
               WHERE a.billed_cost IS NULL AND a.status <> 'running' AND a.owner = caller
                 AND NOT EXISTS (SELECT FROM image_gen_internal.queue q WHERE q.job_id = a.job_id)),
           NULL::numeric, NULL::numeric, true, 'total', '-infinity'::timestamptz, 'infinity'::timestamptz
      FROM image_gen_internal.spending_by_ticket t WHERE t.owner = caller;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.credits() IS
'What may be spent, in USD: one row for each limit that concerns the caller (all for administrators), with what its jobs were billed in its period (since, until), what is
reserved for jobs queued, in flight or of unknown cost, and what is available; and the caller itself, unlimited while no limit of its own is set (others may still apply).
Of a budget for a campaign that was not granted to the caller (grant_campaign()), a ticket or another key of metadata, it shows the caller''s own part only, and neither limit nor what is
available. Batches are listed while jobs of theirs are under way, wait for a person, or hold something. unknown_costs counts calls of unknown cost: their estimate stays reserved until settle_cost() or an invoice says what it was.';

CREATE FUNCTION image_gen_internal.visible_reservations()
RETURNS TABLE (job_id text, reserved numeric, reason text, since timestamptz, campaign text, ticket text, budgets text[], owner regrole)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
BEGIN
  RETURN QUERY
  SELECT j.id::text, w.reserved, CASE WHEN j.status IN ('queued', 'running') THEN j.status ELSE 'unknown cost' END,
         CASE WHEN j.status IN ('queued', 'running') THEN j.created_at ELSE j.finished_at END, j.metadata ->> 'campaign', j.metadata ->> 'ticket',
         (SELECT array_agg(image_gen_internal.budget_name(b) ORDER BY b.id) FROM image_gen_internal.budget_charges c JOIN image_gen.budgets b ON b.id = c.budget_id
           WHERE c.job_id = j.id), j.owner
    FROM (SELECT q.job_id FROM image_gen_internal.queue q
          UNION
          SELECT a.job_id FROM image_gen.attempts a WHERE a.billed_cost IS NULL AND a.status <> 'running') o
    JOIN image_gen.jobs j ON j.id = o.job_id
   CROSS JOIN LATERAL image_gen_internal.job_exposure(j.id) w
   WHERE w.reserved <> 0 AND (sees_all OR j.owner = caller);
END $$;
COMMENT ON FUNCTION image_gen_internal.visible_reservations() IS 'The jobs that hold money: the caller''s, all for administrators.';

CREATE VIEW image_gen.reservations AS
SELECT r.job_id, r.reserved, r.reason, r.since, clock_timestamp() - r.since AS age, r.campaign, r.ticket, r.budgets, r.owner FROM image_gen_internal.visible_reservations() r;
COMMENT ON VIEW image_gen.reservations IS
'Money that is reserved, in USD: by jobs that are queued or running, and by jobs with a call of unknown cost (reason ''unknown cost'': settle_cost() ends it), with
its age and the budgets that it counts in.';

CREATE FUNCTION image_gen.set_budget(scope text, key text, amount numeric, period text DEFAULT 'total', until timestamptz DEFAULT NULL,
                                     time_zone text DEFAULT 'UTC', note text DEFAULT NULL)
RETURNS TABLE (budget text, limit_amount numeric, spent numeric, reserved numeric, available numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  stored_scope text := image_gen_internal.budget_scope($1, $2);
  -- A limit of a role that was dropped can only be removed.
  stored_role regrole := CASE stored_scope WHEN 'role' THEN image_gen_internal.role_oid($2, $3 IS NULL) END;
  stored_key text := CASE WHEN stored_role IS NULL THEN $2 END;
  length interval := image_gen_internal.rolling_period($4);
  found_id bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(caller);
  PERFORM image_gen_internal.check_amount('amount', $3, 'Give USD from 0 up, or NULL to remove the budget.');
  IF char_length($2) > 255 THEN
    RAISE EXCEPTION 'the key of a budget is longer than 255 characters' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'No role, campaign, shot, ticket or batch has such a long name.';
  END IF;
  IF $5 <= clock_timestamp() THEN
    RAISE EXCEPTION 'until % has passed', $5 USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time in the future, or leave it out.';
  ELSIF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = $6) THEN
    RAISE EXCEPTION 'time zone "%" does not exist', coalesce($6, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'See pg_timezone_names, for example Europe/Berlin.';
  END IF;
  SELECT b.id INTO found_id FROM image_gen.budgets b
   WHERE b.scope = stored_scope AND b.key IS NOT DISTINCT FROM stored_key AND b.role IS NOT DISTINCT FROM stored_role
     AND b.period = CASE WHEN length IS NULL THEN $4 ELSE 'rolling' END AND b.rolling IS NOT DISTINCT FROM length;
  IF $3 IS NULL THEN
    -- No job is pruned meanwhile.
    PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE;
  END IF;
  -- A session that queues just now is waited for.
  PERFORM image_gen_internal.lock_budgets(ARRAY[found_id]);
  IF found_id IS NULL AND ($3 IS NULL OR $5 IS NOT NULL) THEN
    RAISE EXCEPTION 'there is no budget of % for period %', stored_scope || coalesce(':' || $2, ''), $4 USING ERRCODE = 'undefined_object',
      HINT = 'image_gen.budgets lists all. Set one without until first.';
  ELSIF $3 IS NULL THEN
    -- Its charges stay for now: the worker may be at them. Those of budgets removed before are no longer used.
    DELETE FROM image_gen_internal.budget_charges c WHERE NOT EXISTS (SELECT FROM image_gen.budgets b WHERE b.id = c.budget_id);
    DELETE FROM image_gen.budget_changes c WHERE c.budget_id = found_id;
    DELETE FROM image_gen_internal.budget_totals t WHERE t.budget_id = found_id;
    DELETE FROM image_gen.budgets b WHERE b.id = found_id;
    RETURN;
  ELSIF $5 IS NOT NULL THEN
    INSERT INTO image_gen.budget_changes (budget_id, kind, amount, valid_until, note, made_by) VALUES (found_id, 'override', $3, $5, $7, image_gen_internal.role_name(caller));
  ELSIF found_id IS NOT NULL THEN
    UPDATE image_gen.budgets b SET amount = $3, time_zone = $6, note = coalesce($7, b.note), set_by = image_gen_internal.role_name(caller), set_at = clock_timestamp() WHERE b.id = found_id;
  ELSE
    INSERT INTO image_gen.budgets AS b (scope, key, role, period, rolling, time_zone, amount, note, set_by)
    VALUES (stored_scope, stored_key, stored_role, CASE WHEN length IS NULL THEN $4 ELSE 'rolling' END, length, $6, $3, $7, image_gen_internal.role_name(caller))
    RETURNING b.id INTO found_id;
    PERFORM image_gen_internal.charge_existing_jobs(found_id);
  END IF;
  RETURN QUERY SELECT image_gen_internal.budget_name(b), s.limit_amount, s.spent, s.reserved, s.available
                 FROM image_gen_internal.budget_standings(ARRAY[found_id], clock_timestamp()) s JOIN image_gen.budgets b ON b.id = s.budget_id;
END $$;
COMMENT ON FUNCTION image_gen.set_budget IS
'Sets a limit in USD, or changes one, or removes it (amount NULL). scope and key: workspace (key NULL), role, campaign, ticket or metadata:NAME with the name or value it is for;
batch with the id of one that has a max_cost. period: total; day, week, month, quarter, year of the calendar in time_zone; or rolling: an interval such as ''30 days''. Several budgets can apply to a job: all must have room.
until: only until then, instead of the usual amount. A new budget counts what its period has seen so far (of pruned jobs, what
their owner, campaign and ticket say). For administrators. What runs already is not stopped.';

CREATE FUNCTION image_gen.grant_credits(amount numeric, scope text DEFAULT 'workspace', key text DEFAULT NULL, period text DEFAULT NULL,
                                        until timestamptz DEFAULT NULL, note text DEFAULT NULL)
RETURNS TABLE (budget text, limit_amount numeric, spent numeric, reserved numeric, available numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  stored_scope text := image_gen_internal.budget_scope($2, $3);
  stored_role regrole := CASE stored_scope WHEN 'role' THEN image_gen_internal.role_oid($3) END;
  stored_key text := CASE WHEN stored_role IS NULL THEN $3 END;
  length interval := image_gen_internal.rolling_period(coalesce($4, 'total'));
  found image_gen.budgets;
  matches integer;
  moment timestamptz;
BEGIN
  PERFORM image_gen_internal.require_admin(caller);
  PERFORM image_gen_internal.check_amount('amount', $1, 'Give USD above 0; set_budget() lowers a limit.');
  IF $1 IS NULL OR $1 <= 0 THEN
    RAISE EXCEPTION 'amount is %', coalesce($1::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give USD above 0; set_budget() lowers a limit.';
  ELSIF $5 <= clock_timestamp() THEN
    RAISE EXCEPTION 'until % has passed', $5 USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time in the future, or leave it out.';
  END IF;
  SELECT count(*) INTO matches FROM image_gen.budgets b
   WHERE b.scope = stored_scope AND b.key IS NOT DISTINCT FROM stored_key AND b.role IS NOT DISTINCT FROM stored_role
     AND ($4 IS NULL OR b.period = CASE WHEN length IS NULL THEN $4 ELSE 'rolling' END AND b.rolling IS NOT DISTINCT FROM length);
  IF matches > 1 THEN
    RAISE EXCEPTION '% has several budgets', stored_scope || coalesce(':' || $3, '') USING ERRCODE = 'ambiguous_parameter',
      HINT = 'Say which with period; image_gen.budgets lists them.';
  ELSIF matches = 0 AND coalesce($4, 'total') <> 'total' THEN
    RAISE EXCEPTION 'there is no budget of % for period %', stored_scope || coalesce(':' || $3, ''), $4 USING ERRCODE = 'undefined_object',
      HINT = 'image_gen.budgets lists all. Set one with set_budget() first, or leave period out for credit that is used up.';
  ELSIF matches = 0 THEN
    -- Credit paid in advance: it counts from now on.
    INSERT INTO image_gen.budgets AS b (scope, key, role, amount, counts_from, note, set_by)
    VALUES (stored_scope, stored_key, stored_role, 0, clock_timestamp(), $6, image_gen_internal.role_name(caller)) RETURNING b.* INTO found;
    PERFORM image_gen_internal.charge_existing_jobs(found.id);
  ELSE
    SELECT b.* INTO STRICT found FROM image_gen.budgets b
     WHERE b.scope = stored_scope AND b.key IS NOT DISTINCT FROM stored_key AND b.role IS NOT DISTINCT FROM stored_role
       AND ($4 IS NULL OR b.period = CASE WHEN length IS NULL THEN $4 ELSE 'rolling' END AND b.rolling IS NOT DISTINCT FROM length);
  END IF;
  PERFORM image_gen_internal.lock_budgets(ARRAY[found.id]);
  moment := clock_timestamp();
  INSERT INTO image_gen.budget_changes (budget_id, kind, amount, valid_from, valid_until, note, made_by)
  VALUES (found.id, 'grant', $1, moment, coalesce($5, image_gen_internal.period_end(found, moment)), $6, image_gen_internal.role_name(caller));
  RETURN QUERY SELECT image_gen_internal.budget_name(found), s.limit_amount, s.spent, s.reserved, s.available
                 FROM image_gen_internal.budget_standings(ARRAY[found.id], clock_timestamp()) s;
END $$;
COMMENT ON FUNCTION image_gen.grant_credits IS
'Adds USD to a budget: for good to a total, for the current period to one of the calendar or a rolling one, or until a given time. Where there is none, a total is made that
counts from now on: credit paid in advance. period says which, where a scope has several budgets. For administrators.';

CREATE FUNCTION image_gen.check_budgets()
RETURNS TABLE (budget text, problem text, booked numeric, computed numeric, job_id text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  RETURN QUERY
  SELECT image_gen_internal.budget_name(b), 'charge differs from the calls of the job', c.reserved + c.spent, w.reserved + w.spent, c.job_id
    FROM image_gen_internal.budget_charges c JOIN image_gen.budgets b ON b.id = c.budget_id
    JOIN image_gen.jobs j ON j.id = c.job_id
   CROSS JOIN LATERAL image_gen_internal.job_exposure(j.id) w
   WHERE c.reserved <> w.reserved OR c.spent <> w.spent;
  RETURN QUERY
  SELECT image_gen_internal.budget_name(g), 'totals differ from the charges', b.spent + b.reserved, s.reserved + s.spent, NULL::text
    FROM image_gen_internal.budget_standings((SELECT array_agg(o.id) FROM image_gen.budgets o), clock_timestamp()) b JOIN image_gen.budgets g ON g.id = b.budget_id
   CROSS JOIN LATERAL (SELECT coalesce(sum(c.reserved), 0) AS reserved, coalesce(sum(c.spent), 0) AS spent
                         FROM image_gen_internal.budget_charges c WHERE c.budget_id = b.budget_id AND c.at >= b.since) s
   WHERE b.spent <> s.spent OR b.reserved <> s.reserved;
  RETURN QUERY
  SELECT image_gen_internal.budget_name(b), 'job is not counted', 0::numeric, w.reserved + w.spent, j.id::text
    FROM image_gen.jobs j
   CROSS JOIN LATERAL image_gen_internal.budgets_of_job(j.owner, j.metadata, j.batch, j.login) AS a(id)
    JOIN image_gen.budgets b ON b.id = a.id
    JOIN image_gen_internal.budget_totals t ON t.budget_id = b.id AND j.created_at >= t.since
   CROSS JOIN LATERAL image_gen_internal.job_exposure(j.id) w
   WHERE w.reserved + w.spent <> 0 AND NOT EXISTS (SELECT FROM image_gen_internal.budget_charges c WHERE c.job_id = j.id AND c.budget_id = b.id);
  RETURN QUERY SELECT NULL::text, w.problem, w.booked, w.computed, w.job_id FROM image_gen_internal.cost_discrepancies() w;
  RETURN QUERY SELECT NULL::text, w.problem, w.booked, w.computed, NULL::text FROM image_gen_internal.spending_discrepancies() w;
END $$;
COMMENT ON FUNCTION image_gen.check_budgets() IS
'Proves all figures of all budgets from jobs and attempts, and the costs of jobs and images from those of their calls, and returns what differs: no rows is right. recount_budgets() puts right
what is not. A cost that was changed by an UPDATE, past settle_cost(), is found too, until settle_cost() says what it is. For administrators.';

CREATE FUNCTION image_gen.recount_budgets() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  counted bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  -- No job is pruned meanwhile.
  PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE;
  PERFORM image_gen_internal.lock_budgets((SELECT array_agg(t.budget_id) FROM image_gen_internal.budget_totals t));
  PERFORM image_gen_internal.recompute_cost(w.job_id) FROM image_gen_internal.cost_discrepancies() w WHERE w.kind = 'sum';
  PERFORM image_gen_internal.charge_jobs(ARRAY(SELECT j.id::text FROM image_gen.jobs j ORDER BY j.seq), true);
  UPDATE image_gen_internal.budget_totals t
     SET reserved = s.reserved - e.reserved - coalesce(image_gen_internal.unwritten_reserved(o.budget_id), 0), spent = s.spent - e.spent
    FROM image_gen_internal.budget_totals o
   CROSS JOIN LATERAL (SELECT coalesce(sum(c.reserved), 0) AS reserved, coalesce(sum(c.spent), 0) AS spent
                         FROM image_gen_internal.budget_charges c WHERE c.budget_id = o.budget_id AND c.at >= o.since) s
   CROSS JOIN LATERAL (SELECT coalesce(sum(n.reserved), 0) AS reserved, coalesce(sum(n.spent), 0) AS spent
                         FROM image_gen_internal.budget_entries n WHERE n.budget_id = o.budget_id AND (n.at IS NULL OR n.at >= o.since)) e
   WHERE t.budget_id = o.budget_id;
  GET DIAGNOSTICS counted = ROW_COUNT;
  RETURN counted;
END $$;
COMMENT ON FUNCTION image_gen.recount_budgets() IS 'Computes the figures of all budgets, and the costs of jobs and images that differ from those of their calls, anew from jobs and attempts; returns how many budgets there are. Queueing under a budget waits for it. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
