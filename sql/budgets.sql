-- Limits: what may be spent, what is held for jobs under way, what is spent. Each figure follows from jobs and attempts:
-- _owed() says for one job what counts, charges has that for each budget that the job counts in, and budget_totals adds
-- it up, so that nobody has to.
--
--   queueing      locks the totals of the budgets that apply (no budget, no lock), checks them, and holds the estimate
--   a call        may need more than is held: the worker takes it before it writes down the intent to send, or does not send
--   the end       what was billed counts; what nobody knows the cost of stays held until somebody says (settle_cost)
--
-- The totals of a budget stay locked until the transaction of who queues ends, however long that takes. The worker never
-- waits for them: it changes charges, and books the difference when nobody is at the totals.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.budgets (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  scope      text COLLATE "C" NOT NULL CHECK (scope IN ('workspace', 'role', 'campaign', 'ticket', 'batch') OR scope ~ '^metadata:.'),
  key        text COLLATE "C",
  role       regrole,
  period     text NOT NULL DEFAULT 'total' CHECK (period IN ('total', 'day', 'week', 'month', 'quarter', 'year', 'rolling')),
  rolling    interval CHECK (rolling > interval '0'),
  time_zone  text NOT NULL DEFAULT 'UTC',
  amount     image_gen.amount NOT NULL,
  counts_from timestamptz NOT NULL DEFAULT '-infinity',
  note       text,
  set_by     name NOT NULL,
  set_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT key_of_its_scope CHECK ((scope IN ('workspace', 'role')) = (key IS NULL) AND (scope = 'role') = (role IS NOT NULL)),
  CONSTRAINT length_of_a_rolling_period CHECK ((period = 'rolling') = (rolling IS NOT NULL))
);
CREATE UNIQUE INDEX budgets_one ON image_gen.budgets (scope, coalesce(key, ''), coalesce(role::oid, 0), period, coalesce(rolling, interval '0'));
COMMENT ON TABLE image_gen.budgets IS 'Limits in USD. All that apply to a job must have room for it. Written by set_budget() and grant_credits().';
COMMENT ON COLUMN image_gen.budgets.id IS 'For budget_changes and charges.';
COMMENT ON COLUMN image_gen.budgets.scope IS 'workspace: everything. role: jobs of this role and of its members, and those of sessions that were logged in as one of them. campaign, ticket, metadata:NAME: jobs with this metadata. batch: max_cost of a generate_batch(), by jobs.batch.';
COMMENT ON COLUMN image_gen.budgets.key IS 'Which campaign, ticket ...; NULL for the workspace and roles.';
COMMENT ON COLUMN image_gen.budgets.role IS 'Which role, by oid; NULL for all other scopes.';
COMMENT ON COLUMN image_gen.budgets.period IS 'total; day, week, month, quarter or year of the calendar; or rolling. A job counts in the period in which it was queued.';
COMMENT ON COLUMN image_gen.budgets.rolling IS 'The length of a rolling period.';
COMMENT ON COLUMN image_gen.budgets.time_zone IS 'Where a day of the calendar begins.';
COMMENT ON COLUMN image_gen.budgets.amount IS 'USD for a period.';
COMMENT ON COLUMN image_gen.budgets.counts_from IS 'Jobs queued before do not count.';
COMMENT ON COLUMN image_gen.budgets.note IS 'For people.';
COMMENT ON COLUMN image_gen.budgets.set_by IS 'Who set it.';
COMMENT ON COLUMN image_gen.budgets.set_at IS 'When it was set last.';

CREATE TABLE image_gen.budget_changes (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  budget_id   bigint NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('grant', 'override')),
  amount      image_gen.amount NOT NULL,
  valid_from  timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_until timestamptz NOT NULL CONSTRAINT ends_after_it_begins CHECK (valid_until > valid_from),
  note        text,
  made_by     name NOT NULL,
  made_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX budget_changes_budget ON image_gen.budget_changes (budget_id, valid_until);
COMMENT ON TABLE image_gen.budget_changes IS 'Additions to budgets (grant) and amounts that stand in for theirs for a while (override; the newest counts). Rows are only added.';
COMMENT ON COLUMN image_gen.budget_changes.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.budget_changes.budget_id IS 'budgets.id.';
COMMENT ON COLUMN image_gen.budget_changes.kind IS 'grant: added to the amount. override: in its place.';
COMMENT ON COLUMN image_gen.budget_changes.amount IS 'USD.';
COMMENT ON COLUMN image_gen.budget_changes.valid_from IS 'From when on it counts.';
COMMENT ON COLUMN image_gen.budget_changes.valid_until IS 'Until when.';
COMMENT ON COLUMN image_gen.budget_changes.note IS 'For people.';
COMMENT ON COLUMN image_gen.budget_changes.made_by IS 'Who made it.';
COMMENT ON COLUMN image_gen.budget_changes.made_at IS 'When.';

CREATE TABLE image_gen.budget_totals (
  budget_id bigint PRIMARY KEY,
  since     timestamptz NOT NULL,
  spent     numeric NOT NULL DEFAULT 0,
  held      numeric NOT NULL DEFAULT 0,
  unsure    bigint[],
  newer     bigint
) WITH (fillfactor = 20);
CREATE INDEX budget_totals_fresh ON image_gen.budget_totals (budget_id) WHERE newer IS NOT NULL;
COMMENT ON TABLE image_gen.budget_totals IS 'The sums over what is booked of the charges of a budget since the start of its period. Its row is the lock of the budget.';
COMMENT ON COLUMN image_gen.budget_totals.unsure IS 'Of a new budget until the worker has seen it: jobs.seq of those that were under way when it was counted.';
COMMENT ON COLUMN image_gen.budget_totals.newer IS 'And the last jobs.seq then: later jobs may have ended without knowing of it.';

CREATE TABLE image_gen.charges (
  job_id       text COLLATE "C" NOT NULL,
  budget_id    bigint NOT NULL,
  owner        regrole NOT NULL,
  at           timestamptz NOT NULL,
  held         numeric NOT NULL,
  spent        numeric NOT NULL,
  booked_held  numeric NOT NULL,
  booked_spent numeric NOT NULL,
  pruned       boolean NOT NULL DEFAULT false,
  PRIMARY KEY (job_id, budget_id)
) WITH (fillfactor = 70);
CREATE INDEX charges_window ON image_gen.charges (budget_id, at);
CREATE INDEX charges_unbooked ON image_gen.charges (budget_id) WHERE held <> booked_held OR spent <> booked_spent;
CREATE INDEX charges_pruned ON image_gen.charges (budget_id, at) WHERE pruned;
COMMENT ON TABLE image_gen.charges IS 'What each job holds and has spent in each budget that it counts in, and how much of that is in budget_totals already.';
COMMENT ON COLUMN image_gen.charges.pruned IS 'Its job was pruned. For a total: all pruned jobs of an owner.';

CREATE FUNCTION image_gen._budget_name(budget image_gen.budgets) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN budget.scope || coalesce(':' || coalesce(budget.key, image_gen._role_name(budget.role)), '');
END $$;
COMMENT ON FUNCTION image_gen._budget_name(image_gen.budgets) IS 'What a budget is for, as people read it: workspace, role:anna, campaign:spring ...';

CREATE FUNCTION image_gen._pruned_of(owner regrole) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- By oid, or else a new role of an old name would share it; and by name, because a restored database has other oids.
  RETURN format('pruned:%s:%s', owner::oid, image_gen._role_name(owner));
END $$;
COMMENT ON FUNCTION image_gen._pruned_of(regrole) IS 'charges.job_id of all pruned jobs of an owner together.';

CREATE FUNCTION image_gen._retry_buffer() RETURNS numeric
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT current_setting('image_gen.retry_buffer')::numeric $$;
COMMENT ON FUNCTION image_gen._retry_buffer() IS 'The setting image_gen.retry_buffer.';

CREATE FUNCTION image_gen._min_headroom() RETURNS numeric
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT current_setting('image_gen.min_headroom')::numeric $$;
COMMENT ON FUNCTION image_gen._min_headroom() IS 'The setting image_gen.min_headroom.';

CREATE FUNCTION image_gen._usd(amount numeric) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN scale(trim_scale(amount)) > 2 THEN trim_scale(amount) ELSE round(amount, 2) END::text
$$;
COMMENT ON FUNCTION image_gen._usd(numeric) IS 'An amount as people write it: two digits, or as many as it has.';

CREATE FUNCTION image_gen._bounded(what text, amount numeric, hint text) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- NaN sorts above infinity.
  IF amount < 0 OR amount >= 1e9 OR scale(trim_scale(amount)) > 18 THEN
    RAISE EXCEPTION '% is %', what, left(amount::text, 40) USING ERRCODE = 'invalid_parameter_value',
      HINT = hint || ' It must be below 1,000,000,000, with at most 18 digits after the point.';
  END IF;
  RETURN CASE WHEN scale(amount) > 18 THEN trim_scale(amount) ELSE amount END;
END $$;
COMMENT ON FUNCTION image_gen._bounded(text, numeric, text) IS 'An amount that came from outside, or an error that names the argument. NULL stays NULL.';

CREATE FUNCTION image_gen._lock_budgets(wanted bigint[]) RETURNS void
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
    PERFORM FROM image_gen.budget_totals t WHERE t.budget_id = ANY (wanted) ORDER BY t.budget_id FOR UPDATE;
    PERFORM set_config('lock_timeout', usual, true);
  EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'a budget has been locked by another transaction for more than %', bound USING ERRCODE = 'lock_not_available',
      DETAIL = coalesce(image_gen._budget_holders(), 'It has just ended.'),
      HINT = 'A transaction that queues under a budget keeps it until it ends: end that one, or try again. image_gen.budget_lock_timeout says how long to wait.';
  END;
END $$;
COMMENT ON FUNCTION image_gen._lock_budgets(bigint[]) IS 'Locks the totals of budgets for the rest of the transaction. Error 55P03 after image_gen.budget_lock_timeout, with the sessions that hold some.';

CREATE FUNCTION image_gen._budget_holders() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (
    SELECT string_agg(CASE WHEN h.pid IS NULL THEN 'a prepared transaction (see pg_prepared_xacts)'
                           ELSE format('pid %s (application %s, %s, transaction open for %s s)', h.pid, quote_literal(h.application_name), h.state, h.seconds) END,
                      '; ' ORDER BY h.seconds DESC NULLS LAST)
      FROM (SELECT DISTINCT l.pid, s.application_name, coalesce(s.state, 'active') AS state, extract(epoch FROM clock_timestamp() - s.xact_start)::bigint AS seconds
              FROM pg_locks l LEFT JOIN pg_stat_activity s ON s.pid = l.pid
             WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
               AND l.relation = 'image_gen.budget_totals'::regclass AND l.mode IN ('RowShareLock', 'RowExclusiveLock', 'ShareLock', 'ExclusiveLock', 'AccessExclusiveLock')
               AND l.pid IS DISTINCT FROM pg_backend_pid()
               -- One that waits itself holds up nobody else for long.
               AND (l.pid IS NULL OR cardinality(pg_blocking_pids(l.pid)) = 0)
             ORDER BY seconds DESC NULLS LAST LIMIT 3) h);
END $$;
COMMENT ON FUNCTION image_gen._budget_holders() IS 'The sessions whose transactions have locked budgets, for people; the longest open first, three at most.';

CREATE FUNCTION image_gen._sees_budget(caller regrole, budget image_gen.budgets) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE budget.scope
    WHEN 'workspace' THEN true
    WHEN 'role' THEN pg_has_role(caller, 'image_gen_admin', 'member') OR budget.id IN (SELECT image_gen._applicable(caller, '{}', NULL))
    WHEN 'campaign' THEN image_gen._is_granted(caller, budget.key)
    WHEN 'batch' THEN pg_has_role(caller, 'image_gen_admin', 'member') OR EXISTS (SELECT FROM image_gen.jobs j WHERE j.batch = budget.key AND j.owner = caller)
    ELSE pg_has_role(caller, 'image_gen_admin', 'member') END;
END $$;
COMMENT ON FUNCTION image_gen._sees_budget(regrole, image_gen.budgets) IS
'Whether a role may see how a budget stands: that of the workspace, its own and its teams'', campaigns that were granted to it, its own batches; administrators all.';

CREATE FUNCTION image_gen._since(budget image_gen.budgets, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN greatest(budget.counts_from, CASE budget.period WHEN 'total' THEN '-infinity' WHEN 'rolling' THEN at - budget.rolling
                                      ELSE date_trunc(budget.period, at, budget.time_zone) END);
END $$;
COMMENT ON FUNCTION image_gen._since(image_gen.budgets, timestamptz) IS 'From when on jobs count in a budget.';

CREATE FUNCTION image_gen._until(budget image_gen.budgets, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE budget.period WHEN 'total' THEN 'infinity' WHEN 'rolling' THEN at + budget.rolling
         -- By the wall clock of the zone: a day on which clocks change has 23 or 25 hours.
         ELSE (date_trunc(budget.period, at AT TIME ZONE budget.time_zone)
               + CASE budget.period WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || budget.period)::interval END) AT TIME ZONE budget.time_zone END;
END $$;
COMMENT ON FUNCTION image_gen._until(image_gen.budgets, timestamptz) IS 'When the period of a budget ends, or, of a rolling one, what is spent now is forgotten.';

CREATE FUNCTION image_gen._limit_of(budget image_gen.budgets, at timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT c.amount FROM image_gen.budget_changes c
                    WHERE c.budget_id = budget.id AND c.kind = 'override' AND at >= c.valid_from AND at < c.valid_until
                    ORDER BY c.id DESC LIMIT 1), budget.amount)
       + (SELECT coalesce(sum(c.amount), 0) FROM image_gen.budget_changes c
           WHERE c.budget_id = budget.id AND c.kind = 'grant' AND at >= c.valid_from AND at < c.valid_until);
END $$;
COMMENT ON FUNCTION image_gen._limit_of(image_gen.budgets, timestamptz) IS 'What a budget has in a moment: its amount, or the one that stands in for it, and what was granted.';

CREATE FUNCTION image_gen._applicable(owner regrole, metadata jsonb, batch text, login regrole DEFAULT NULL) RETURNS SETOF bigint
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
COMMENT ON FUNCTION image_gen._applicable(regrole, jsonb, text, regrole) IS 'The budgets that a job counts in.';

CREATE FUNCTION image_gen._owed(owing_id text, OUT held numeric, OUT spent numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT coalesce(u.known, 0),
         coalesce(u.unknown, 0) + coalesce(
           CASE WHEN j.status NOT IN ('queued', 'running') THEN 0
                WHEN a.id IS NULL THEN j.estimated_cost
                WHEN a.status = 'running' THEN greatest(a.estimated_cost, a.billed_cost)
                -- A call that cost nothing comes again. After one that did, the next one asks for more.
                WHEN a.billed_cost = 0 THEN a.estimated_cost END, 0)
    INTO spent, held
    FROM image_gen.jobs j
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = j.id ORDER BY t.number DESC LIMIT 1) a ON true
   CROSS JOIN LATERAL (
     SELECT sum(t.billed_cost) FILTER (WHERE t.currency = 'USD') AS known,
            sum(t.estimated_cost) FILTER (WHERE t.billed_cost IS NULL) AS unknown
       FROM image_gen.attempts t WHERE t.job_id = j.id AND t.status <> 'running') u
   WHERE j.id = owing_id;
END $$;
COMMENT ON FUNCTION image_gen._owed(text) IS
'What a job counts for: spent is what its calls were billed; held is the estimate of what comes next or is under way, and of calls whose cost nobody knows.';

CREATE FUNCTION image_gen._roll(locked bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What has fallen out of the period is taken off once. A clock that went back changes nothing.
  UPDATE image_gen.budget_totals t
     SET since = w.since, spent = t.spent - w.spent, held = t.held - w.held
    FROM (SELECT b.id, s.since, coalesce(sum(c.booked_spent), 0) AS spent, coalesce(sum(c.booked_held), 0) AS held
            FROM image_gen.budgets b
            JOIN image_gen.budget_totals o ON o.budget_id = b.id
           CROSS JOIN LATERAL image_gen._since(b, $2) AS s(since)
            LEFT JOIN image_gen.charges c ON c.budget_id = b.id AND c.at >= o.since AND c.at < s.since
           WHERE b.id = ANY ($1) AND s.since > o.since
           GROUP BY b.id, s.since) w
   WHERE t.budget_id = w.id;
END $$;
COMMENT ON FUNCTION image_gen._roll(bigint[], timestamptz) IS 'Moves the totals of budgets, which the caller has locked, on to the period of a moment.';

CREATE TYPE image_gen._balance AS (budget_id bigint, name text, limit_amount numeric, spent numeric, held numeric, available numeric, since timestamptz, until timestamptz);

CREATE FUNCTION image_gen._balances(wanted bigint[], at timestamptz) RETURNS SETOF image_gen._balance
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT b.id, image_gen._budget_name(b), l.amount, u.spent, u.held, l.amount - u.spent - u.held, s.since, image_gen._until(b, $2)
    FROM image_gen.budgets b
    JOIN image_gen.budget_totals t ON t.budget_id = b.id
   CROSS JOIN LATERAL image_gen._limit_of(b, $2) AS l(amount)
   CROSS JOIN LATERAL (SELECT greatest(t.since, image_gen._since(b, $2))) AS s(since)
    LEFT JOIN LATERAL (SELECT sum(c.booked_spent) AS spent, sum(c.booked_held) AS held FROM image_gen.charges c
                        WHERE s.since > t.since AND c.budget_id = b.id AND c.at >= t.since AND c.at < s.since) old ON true
    LEFT JOIN LATERAL (SELECT sum(c.spent - c.booked_spent) AS spent, sum(c.held - c.booked_held) AS held FROM image_gen.charges c
                        WHERE c.budget_id = b.id AND (c.held <> c.booked_held OR c.spent <> c.booked_spent) AND c.at >= s.since) new ON true
   CROSS JOIN LATERAL (SELECT t.spent - coalesce(old.spent, 0) + coalesce(new.spent, 0) AS spent,
                              t.held - coalesce(old.held, 0) + coalesce(new.held, 0) AS held) u
   WHERE b.id = ANY ($1)
   ORDER BY b.id;
END $$;
COMMENT ON FUNCTION image_gen._balances(bigint[], timestamptz) IS 'How budgets stand: the totals, less what has fallen out of the period, with what is not booked yet.';

CREATE FUNCTION image_gen._refuse(balance image_gen._balance, needed numeric, required numeric) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT (SELECT image_gen._sees_budget(image_gen._caller(), b) FROM image_gen.budgets b WHERE b.id = balance.budget_id) THEN
    RAISE EXCEPTION 'budget_exceeded: % has not % USD available', balance.name, image_gen._usd(required) USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Choose a cheaper model (image_gen.estimate()), or ask an administrator for image_gen.grant_credits() or set_budget(); those to whom image_gen.grant_campaign() grants a campaign see how its budget stands.';
  END IF;
  RAISE EXCEPTION 'budget_exceeded: % has % USD available, % USD are needed%', balance.name, image_gen._usd(balance.available), image_gen._usd(required),
      CASE WHEN required > needed THEN format(' (%s and headroom for retries)', image_gen._usd(needed)) ELSE '' END
    USING ERRCODE = 'configuration_limit_exceeded',
          DETAIL = format('limit %s, spent %s, reserved %s, available %s, estimated %s USD%s', image_gen._usd(balance.limit_amount), image_gen._usd(balance.spent),
                          image_gen._usd(balance.held), image_gen._usd(balance.available), image_gen._usd(needed),
                          CASE WHEN isfinite(balance.until) THEN format('; until %s', to_char(balance.until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')) ELSE '' END),
          HINT = CASE WHEN balance.name LIKE 'batch:%' THEN 'Give the batch a higher max_cost, or cheaper shots (image_gen.estimate_batch()); of one that is queued, an administrator raises it: image_gen.grant_credits(..., ''batch'', ...).'
                 ELSE 'image_gen.credits() shows all limits. Choose a cheaper model (image_gen.estimate()), or ask an administrator for image_gen.grant_credits() or set_budget().' END;
END $$;
COMMENT ON FUNCTION image_gen._refuse(image_gen._balance, numeric, numeric) IS 'The error of a budget that has not enough.';

CREATE FUNCTION image_gen._reserve(ids text[], headroom boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted bigint[];
  moment timestamptz;
  balance image_gen._balance;
  needed numeric;
  required numeric;
  unpriced record;
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.budgets) THEN
    RETURN;  -- and no lock
  END IF;
  SELECT array_agg(DISTINCT a.id) INTO wanted
    FROM image_gen.jobs j CROSS JOIN LATERAL image_gen._applicable(j.owner, j.metadata, j.batch, j.login) AS a(id)
   WHERE j.id = ANY (ids) AND NOT EXISTS (SELECT FROM image_gen.charges c WHERE c.job_id = j.id AND c.budget_id = a.id);
  IF wanted IS NULL THEN
    RETURN;
  END IF;
  SELECT j.model, a.id, image_gen._usd(b.amount) AS amount INTO unpriced
    FROM image_gen.jobs j CROSS JOIN LATERAL image_gen._applicable(j.owner, j.metadata, j.batch, j.login) AS a(id) JOIN image_gen.budgets b ON b.id = a.id
   WHERE j.id = ANY (ids) AND j.estimated_cost IS NULL AND NOT j.allow_unpriced LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'budget_exceeded: nobody knows what "%" costs, so no budget can be kept', unpriced.model USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Add a row to image_gen.prices, choose another model, or say allow_unpriced => true where that is granted (image_gen.set_role_policy()): then it is counted when its cost is known.';
  END IF;
  PERFORM image_gen._lock_budgets(wanted);
  -- A clock that went back is in the period that has begun: what was before it is forgotten.
  moment := greatest(clock_timestamp(), (SELECT max(t.since) FROM image_gen.budget_totals t WHERE t.budget_id = ANY (wanted)));
  PERFORM image_gen._roll(wanted, moment);
  FOR balance IN SELECT * FROM image_gen._balances(wanted, moment) LOOP
    SELECT coalesce(sum(j.estimated_cost), 0) INTO needed
      FROM image_gen.jobs j
     WHERE j.id = ANY (ids) AND balance.budget_id IN (SELECT image_gen._applicable(j.owner, j.metadata, j.batch, j.login));
    required := needed;
    IF headroom THEN
      -- The cap of the batch itself has no floor: it is small because the batch is.
      required := greatest(needed * (1 + image_gen._retry_buffer()), CASE WHEN balance.name LIKE 'batch:%' THEN 0 ELSE image_gen._min_headroom() END);
    END IF;
    IF balance.available < required THEN
      PERFORM image_gen._refuse(balance, needed, required);
    END IF;
  END LOOP;
  WITH added AS (
    INSERT INTO image_gen.charges (job_id, budget_id, owner, at, held, spent, booked_held, booked_spent)
    SELECT j.id, a.id, j.owner, moment, coalesce(j.estimated_cost, 0), 0, coalesce(j.estimated_cost, 0), 0
      FROM image_gen.jobs j CROSS JOIN LATERAL image_gen._applicable(j.owner, j.metadata, j.batch, j.login) AS a(id)
     WHERE j.id = ANY (ids)
    ON CONFLICT ON CONSTRAINT charges_pkey DO NOTHING
    RETURNING charges.budget_id, charges.held)
  UPDATE image_gen.budget_totals t SET held = t.held + s.held
    FROM (SELECT d.budget_id, sum(d.held) AS held FROM added d GROUP BY 1) s
   WHERE t.budget_id = s.budget_id;
END $$;
COMMENT ON FUNCTION image_gen._reserve(text[], boolean) IS
'Holds the estimates of new jobs in all budgets that apply, all or none. Error 53400 budget_exceeded. headroom: there must be room for the buffer and image_gen.min_headroom too.';

CREATE FUNCTION image_gen._charge(charged_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.budgets) THEN
    RETURN;
  END IF;
  -- A budget may be younger than the job.
  INSERT INTO image_gen.charges AS c (job_id, budget_id, owner, at, held, spent, booked_held, booked_spent)
  SELECT j.id, a.id, j.owner, coalesce((SELECT min(o.at) FROM image_gen.charges o WHERE o.job_id = j.id), j.created_at), w.held, w.spent, 0, 0
    FROM image_gen.jobs j
   CROSS JOIN LATERAL image_gen._owed(j.id) w
   CROSS JOIN LATERAL (SELECT image_gen._applicable(j.owner, j.metadata, j.batch, j.login)
                       UNION SELECT o.budget_id FROM image_gen.charges o WHERE o.job_id = j.id) AS a(id)
   WHERE j.id = charged_id
     -- What is right already is not even locked.
     AND EXISTS (SELECT FROM image_gen.budgets b WHERE b.id = a.id)
     AND NOT EXISTS (SELECT FROM image_gen.charges o WHERE o.job_id = j.id AND o.budget_id = a.id AND o.held = w.held AND o.spent = w.spent)
  ON CONFLICT ON CONSTRAINT charges_pkey DO UPDATE SET held = excluded.held, spent = excluded.spent
   WHERE c.held <> excluded.held OR c.spent <> excluded.spent;
END $$;
COMMENT ON FUNCTION image_gen._charge(text) IS 'Brings the charges of a job up to date with its calls. Locks no totals: the difference is booked by _book.';

CREATE FUNCTION image_gen._book() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  fresh record;
BEGIN
  -- While set_budget() counted, jobs began and ended that it could not see, and that did not see it. Now both can be seen.
  FOR fresh IN SELECT t.budget_id, t.unsure, t.newer FROM image_gen.budget_totals t WHERE t.newer IS NOT NULL FOR UPDATE SKIP LOCKED LOOP
    PERFORM image_gen._charge(j.id) FROM image_gen.jobs j WHERE j.seq = ANY (fresh.unsure) OR j.seq > fresh.newer;
    UPDATE image_gen.budget_totals t SET unsure = NULL, newer = NULL WHERE t.budget_id = fresh.budget_id;
  END LOOP;
  IF NOT EXISTS (SELECT FROM image_gen.charges c WHERE c.held <> c.booked_held OR c.spent <> c.booked_spent) THEN
    RETURN;
  END IF;
  WITH free AS MATERIALIZED (
    SELECT t.budget_id, t.since FROM image_gen.budget_totals t
     WHERE t.budget_id IN (SELECT c.budget_id FROM image_gen.charges c WHERE c.held <> c.booked_held OR c.spent <> c.booked_spent)
       FOR UPDATE SKIP LOCKED
  ), due AS MATERIALIZED (
    SELECT c.job_id, c.budget_id, c.held - c.booked_held AS held, c.spent - c.booked_spent AS spent, c.at >= f.since AS counts
      FROM image_gen.charges c JOIN free f ON f.budget_id = c.budget_id
     WHERE c.held <> c.booked_held OR c.spent <> c.booked_spent
       FOR UPDATE OF c SKIP LOCKED
  ), booked AS (
    UPDATE image_gen.charges c SET booked_held = c.held, booked_spent = c.spent
      FROM due d WHERE d.job_id = c.job_id AND d.budget_id = c.budget_id
  )
  UPDATE image_gen.budget_totals t SET held = t.held + s.held, spent = t.spent + s.spent
    FROM (SELECT d.budget_id, sum(d.held) AS held, sum(d.spent) AS spent FROM due d WHERE d.counts GROUP BY 1) s
   WHERE t.budget_id = s.budget_id;
END $$;
COMMENT ON FUNCTION image_gen._book() IS 'Books what charges say in the totals of budgets that nobody is at. It waits for nobody.';

CREATE FUNCTION image_gen._afford(asking_id text, needed numeric, patient boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  job image_gen.jobs;
  known numeric;
  unsure numeric;
  wanted bigint[];
  free bigint;
  moment timestamptz;
  balance image_gen._balance;
BEGIN
  SELECT j.* INTO STRICT job FROM image_gen.jobs j WHERE j.id = asking_id;
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    SELECT array_agg(a) INTO wanted FROM image_gen._applicable(job.owner, job.metadata, job.batch, job.login) a;
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
   WHERE unsure + needed > coalesce((SELECT c.held FROM image_gen.charges c WHERE c.job_id = asking_id AND c.budget_id = w), 0);
  IF wanted IS NULL THEN
    RETURN 'ours';
  ELSIF patient THEN
    PERFORM image_gen._lock_budgets(wanted);
  ELSE
    SELECT count(*) INTO free
      FROM (SELECT FROM image_gen.budget_totals t WHERE t.budget_id = ANY (wanted) ORDER BY t.budget_id FOR UPDATE SKIP LOCKED) l;
    IF free < (SELECT count(*) FROM image_gen.budget_totals t WHERE t.budget_id = ANY (wanted)) THEN
      RETURN 'busy';
    END IF;
  END IF;
  moment := clock_timestamp();
  PERFORM image_gen._roll(wanted, moment);
  FOR balance IN
    SELECT b.* FROM image_gen._balances(wanted, moment) b
     WHERE unsure + needed - coalesce((SELECT c.held FROM image_gen.charges c WHERE c.job_id = asking_id AND c.budget_id = b.budget_id), 0) > b.available
  LOOP
    IF patient THEN
      PERFORM image_gen._refuse(balance, needed, needed);
    END IF;
    RETURN 'over';
  END LOOP;
  RETURN 'ours';
END $$;
COMMENT ON FUNCTION image_gen._afford(text, numeric, boolean) IS
'Whether a job may make a call that is expected to cost so much: ours (yes; the totals stay locked until the intent to send is written), over (a budget or max_cost has not enough),
busy (somebody queues under the budget just now). patient: waits for him, and raises budget_exceeded.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.budgets', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budget_changes', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budget_totals', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.charges', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budgets_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budget_changes_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
