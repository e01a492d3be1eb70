-- After: what was spent on what, what the providers say about it, and what is not known yet.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Functions on the way of every job are PL/pgSQL even where SQL would do: it keeps their plans.
-- Not PL/pgSQL: this one becomes part of the queries that use it. (Its names are bound when it is created.)
CREATE FUNCTION image_gen_internal.prices_on(model text, kind text, on_day date) RETURNS TABLE (price jsonb, origin text, id bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT jsonb_build_object('unit', r.unit, 'quality', r.quality, 'amount', r.amount::text, 'currency', r.currency), r.origin, r.id
    FROM image_gen.prices r
   WHERE r.model = $1 AND r.provider_kind = $2 AND $3 >= r.valid_from AND $3 < r.valid_to
     -- One price of an administrator's own puts all of the catalogue aside, in whatever unit.
     AND (r.origin = 'admin' OR NOT EXISTS (
           SELECT FROM image_gen.prices o
            WHERE o.model = $1 AND o.provider_kind = $2 AND o.origin = 'admin' AND $3 >= o.valid_from AND $3 < o.valid_to));
END;
COMMENT ON FUNCTION image_gen_internal.prices_on(text, text, date) IS 'The prices of a model at a kind of provider that hold on a day; where two fit, the one that comes first by origin and id, the highest first.';

CREATE FUNCTION image_gen_internal.recompute_cost(recounted_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j SET billed_cost = c.total, known_cost = c.known, cost_source = c.source, currency = c.currency
    FROM image_gen_internal.job_cost(recounted_id) c
   WHERE j.id = recounted_id AND j.finished_at IS NOT NULL;
  PERFORM image_gen_internal.share_costs(ARRAY[recounted_id]);
  PERFORM image_gen_internal.charge_jobs(ARRAY[recounted_id]);
END $$;
COMMENT ON FUNCTION image_gen_internal.recompute_cost(text) IS 'Brings job, assets and budgets up to date with what the calls of a job were billed.';

CREATE FUNCTION image_gen_internal.raise_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME USING ERRCODE = 'object_not_in_prerequisite_state',
    HINT = 'A wrong entry is corrected by a further one: image_gen.settle_cost().';
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_append_only() IS 'Keeps the rows of a table as they were written.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON image_gen.cost_corrections FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.raise_append_only();

CREATE FUNCTION image_gen_internal.note_cost_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.cost_corrections c
                  WHERE c.id = (SELECT max(l.id) FROM image_gen.cost_corrections l WHERE l.job_id = NEW.job_id AND l.number = NEW.number)
                    AND c.amount IS NOT DISTINCT FROM NEW.billed_cost AND c.amount_before IS NOT DISTINCT FROM OLD.billed_cost) THEN
    INSERT INTO image_gen.cost_corrections (job_id, number, amount_before, amount, currency, way, made_by)
    VALUES (NEW.job_id, NEW.number, OLD.billed_cost, NEW.billed_cost, NEW.currency, 'update', image_gen_internal.role_name(image_gen_internal.caller()));
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.note_cost_change() IS 'Writes down that the cost of a call that is over was changed otherwise than by settle_cost().';
CREATE TRIGGER note_update AFTER UPDATE OF billed_cost ON image_gen.attempts FOR EACH ROW
  WHEN (OLD.status <> 'running' AND OLD.billed_cost IS DISTINCT FROM NEW.billed_cost) EXECUTE FUNCTION image_gen_internal.note_cost_change();

CREATE FUNCTION image_gen_internal.is_plausible_cost(call image_gen.attempts, amount numeric, times numeric) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce(amount, 0) <= CASE WHEN call.estimated_cost > 0 AND call.currency = 'USD' THEN times * call.estimated_cost
                                     -- Without an estimate by what a provider's own word could be.
                                     ELSE times / 10 * current_setting('image_gen.cost_sanity_ceiling')::numeric END;
END $$;
COMMENT ON FUNCTION image_gen_internal.is_plausible_cost(image_gen.attempts, numeric, numeric) IS 'Whether an amount is at most so many times the estimate of a call.';

CREATE FUNCTION image_gen_internal.record_cost(settled_id text, settled_number integer, amount numeric, way text, note text, force boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  call image_gen.attempts;
BEGIN
  SELECT a.* INTO call FROM image_gen.attempts a WHERE a.job_id = settled_id AND a.number = settled_number FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'call % of job "%" does not exist', settled_number, left(settled_id, 100) USING ERRCODE = 'undefined_object',
      HINT = 'image_gen.cost_reviews lists calls of unknown cost, image_gen.spending all that are not pruned.';
  ELSIF call.status = 'running' THEN
    RAISE EXCEPTION 'call % is still under way', settled_number USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Its cost is booked when it ends.';
  ELSIF NOT force AND amount IS NULL THEN
    RAISE EXCEPTION 'billed_cost is NULL' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give what the provider charged; 0 when nothing. With force => true, NULL makes the cost unknown again.';
  ELSIF NOT force AND NOT image_gen_internal.is_plausible_cost(call, amount, 100) THEN
    RAISE EXCEPTION 'billed_cost % is more than a hundred times what call % was expected to cost', image_gen_internal.format_usd(amount), settled_number
      USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It was expected to cost %s.', coalesce(image_gen_internal.format_usd(call.estimated_cost) || ' USD', 'an unknown amount')),
      HINT = 'Look at the figure again. If it is right, say settle_cost(..., force => true).';
  END IF;
  INSERT INTO image_gen.cost_corrections (job_id, number, amount_before, amount, currency, way, note, made_by)
  VALUES (settled_id, settled_number, call.billed_cost, trim_scale(amount), call.currency, way, note, image_gen_internal.role_name(image_gen_internal.caller()));
  UPDATE image_gen.attempts a SET billed_cost = trim_scale(amount), cost_source = CASE WHEN amount IS NULL THEN 'unknown' ELSE 'reported' END
   WHERE a.id = call.id;
  PERFORM image_gen_internal.recompute_cost(settled_id);
END $$;
COMMENT ON FUNCTION image_gen_internal.record_cost(text, integer, numeric, text, text, boolean) IS 'Writes down what a call was billed, as a further entry of cost_corrections, and brings everything up to date with it.';

CREATE FUNCTION image_gen.settle_cost(job_id text, number integer, billed_cost numeric, note text DEFAULT NULL, force boolean DEFAULT false) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  PERFORM image_gen_internal.record_cost($1, $2, image_gen_internal.check_amount('billed_cost', $3, 'Give what the provider charged, in USD; 0 when nothing.'), 'settle_cost', $4, coalesce($5, false));
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
END $$;
COMMENT ON FUNCTION image_gen.settle_cost(text, integer, numeric, text, boolean) IS
'What a call was billed, as the provider''s console says, in the currency of the call: its job, images and budgets follow, and what was reserved for it is free. Costs that are known can be
corrected as well: each word is a row of cost_corrections, and a wrong one is undone by a further one. force: for more than a hundred times the estimate (or, without one, ten times
image_gen.cost_sanity_ceiling), and for NULL, which makes the cost unknown again. For administrators.';

CREATE FUNCTION image_gen_internal.cost_discrepancies() RETURNS TABLE (kind text, problem text, booked numeric, computed numeric, job_id text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'sum', 'cost of the job differs from its calls', j.billed_cost::numeric, c.total, j.id::text
    FROM image_gen.jobs j CROSS JOIN LATERAL image_gen_internal.job_cost(j.id) c
   WHERE j.finished_at IS NOT NULL
     AND (j.billed_cost IS DISTINCT FROM c.total OR j.known_cost IS DISTINCT FROM c.known OR j.cost_source IS DISTINCT FROM c.source OR j.currency <> c.currency);
  RETURN QUERY
  SELECT 'sum', 'cost of an image differs from its share', a.billed_cost::numeric, image_gen_internal.cost_share(j.billed_cost, a.images, a.position), a.job_id
    FROM (SELECT o.job_id, o.position, o.billed_cost, o.known_cost, o.cost_source, count(*) OVER (PARTITION BY o.job_id) AS images FROM image_gen.campaign_assets o) a
    JOIN image_gen.jobs j ON j.id = a.job_id
   WHERE a.billed_cost IS DISTINCT FROM image_gen_internal.cost_share(j.billed_cost, a.images, a.position)
      OR a.known_cost IS DISTINCT FROM image_gen_internal.cost_share(j.known_cost, a.images, a.position) OR a.cost_source IS DISTINCT FROM coalesce(j.cost_source, 'unknown');
  RETURN QUERY
  SELECT 'update', format('cost of call %s was changed by %s past settle_cost()', c.number, c.made_by), c.amount, c.amount_before, c.job_id
    FROM image_gen.cost_corrections c
   WHERE c.way = 'update' AND NOT EXISTS (SELECT FROM image_gen.cost_corrections l WHERE l.job_id = c.job_id AND l.number = c.number AND l.id > c.id);
END $$;
COMMENT ON FUNCTION image_gen_internal.cost_discrepancies() IS 'Costs of jobs and images that are not those of their calls (sum), and costs of calls that were changed past settle_cost() (update).';

CREATE FUNCTION image_gen_internal.visible_cost_reviews()
RETURNS TABLE (job_id text, number integer, why text, claimed_cost numeric, currency text, estimated_cost numeric, reserved numeric, owner regrole, job_status text,
               provider text, model text, status text, error_code text, remote_id text, campaign text, ticket text, finished_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := image_gen_internal.may_review(caller);
BEGIN
  RETURN QUERY
  SELECT a.job_id, a.number::integer,
         CASE WHEN a.claimed_cost IS NOT NULL THEN 'implausible' WHEN a.status = 'uncertain' THEN 'uncertain' WHEN a.status = 'canceled' THEN 'canceled' ELSE 'no price' END,
         a.claimed_cost, a.currency, a.estimated_cost, coalesce(a.estimated_cost, 0), a.owner, j.status::text, a.provider, a.model, a.status::text, a.error_code, a.remote_id,
         j.metadata ->> 'campaign', j.metadata ->> 'ticket', a.finished_at
    FROM image_gen.attempts a JOIN image_gen.jobs j ON j.id = a.job_id
   WHERE a.billed_cost IS NULL AND a.status <> 'running' AND (sees_all OR a.owner = caller);
END $$;
COMMENT ON FUNCTION image_gen_internal.visible_cost_reviews() IS 'Calls of unknown cost: the caller''s, all for reviewers and administrators.';

CREATE VIEW image_gen.cost_reviews AS
SELECT r.job_id, r.number, r.why, r.claimed_cost, r.currency, r.estimated_cost, r.reserved, r.owner, r.job_status, r.provider, r.model, r.status, r.error_code, r.remote_id,
       r.campaign, r.ticket, r.finished_at, clock_timestamp() - r.finished_at AS age
  FROM image_gen_internal.visible_cost_reviews() r;
COMMENT ON VIEW image_gen.cost_reviews IS
'Calls whose cost is unknown, whatever became of their jobs: an administrator looks each up at the provider and says settle_cost(job_id, number, billed_cost), or an invoice does. why: implausible
(claimed_cost is what was named, far beyond the estimate: image_gen.cost_sanity_factor), uncertain (it may not have been accepted), canceled, no price. reserved: the USD that stay reserved for it.';

CREATE VIEW image_gen.spending WITH (security_invoker = true) AS
SELECT a.created_at AS at, a.owner, j.metadata ->> 'campaign' AS campaign, j.metadata ->> 'ticket' AS ticket, j.metadata ->> 'shot' AS shot,
       j.metadata, j.batch, j.operation, a.provider, a.model, a.job_id, a.number, a.status, a.error_code,
       a.images, a.billed_cost, a.currency, a.cost_source, a.estimated_cost, a.tokens, a.usage, a.remote_id, a.calls, a.retries
  FROM image_gen_internal.counted_attempts a JOIN image_gen.jobs j ON j.id = a.job_id;
COMMENT ON VIEW image_gen.spending IS 'One row for each attempt that is over: when, who, for what, where, how it ended and what it cost. calls: how often it was sent, more than once where the provider turned it away in one outage; retries: how many of those were made again. billed_cost NULL is unknown, and never counted as 0. Calls of pruned jobs are in spending_archive; the reports have both.';

CREATE VIEW image_gen_internal.spending_rows WITH (security_invoker = true) AS
SELECT s.at, s.at AS last_call, s.owner, s.campaign, s.ticket, s.shot, s.metadata, s.batch, s.operation, s.provider, s.model, s.job_id, s.number, 1::bigint AS jobs, s.calls, s.retries,
       s.status, s.error_code, s.images, s.billed_cost, s.currency, s.cost_source, s.usage
  FROM image_gen.spending s
UNION ALL
SELECT a.first_call, a.last_call, a.owner, a.campaign, a.ticket, NULL, NULL, NULL, a.operation, a.provider, a.model, a.story, a.number, a.jobs, a.calls, a.retries,
       a.status, a.error_code, a.images, a.billed_cost, a.currency, a.cost_source, a.usage
  FROM image_gen_internal.spending_archive a;
COMMENT ON VIEW image_gen_internal.spending_rows IS 'The calls of all jobs and, together for those that went the same way, of pruned ones: job_id then stands for as many jobs as the row says.';

CREATE VIEW image_gen.cost_by_campaign WITH (security_invoker = true) AS
SELECT s.campaign, s.currency, sum(s.jobs)::bigint AS jobs, sum(s.images)::bigint AS images, sum(s.calls)::bigint AS calls,
       CASE sum(s.unknown_costs) WHEN 0 THEN trim_scale(sum(s.billed)) END AS billed, trim_scale(sum(s.billed)) AS known_cost,
       sum(s.unknown_costs)::bigint AS unknown_costs, sum(s.refusals)::bigint AS refusals, sum(s.retries)::bigint AS retries,
       trim_scale(sum(s.wasted)) AS wasted, min(s.first_call) AS first_call, max(s.last_call) AS last_call
  FROM image_gen_internal.spending_by_ticket s GROUP BY s.campaign, s.currency;
COMMENT ON VIEW image_gen.cost_by_campaign IS
'What each campaign cost: billed is the sum over all its calls, NULL when the cost of any is unknown (unknown_costs says of how many); known_cost is the sum over the others; wasted is what was billed for
calls that made no image, as far as it is known.';

CREATE VIEW image_gen.cost_by_ticket WITH (security_invoker = true) AS
SELECT s.ticket, s.currency, sum(s.jobs)::bigint AS jobs, sum(s.images)::bigint AS images, sum(s.calls)::bigint AS calls,
       CASE sum(s.unknown_costs) WHEN 0 THEN trim_scale(sum(s.billed)) END AS billed, trim_scale(sum(s.billed)) AS known_cost,
       sum(s.unknown_costs)::bigint AS unknown_costs, sum(s.refusals)::bigint AS refusals, sum(s.retries)::bigint AS retries,
       trim_scale(sum(s.wasted)) AS wasted, min(s.first_call) AS first_call, max(s.last_call) AS last_call
  FROM image_gen_internal.spending_by_ticket s GROUP BY s.ticket, s.currency;
COMMENT ON VIEW image_gen.cost_by_ticket IS 'What each ticket cost; see cost_by_campaign.';

CREATE FUNCTION image_gen_internal.restate_cost(provider text, model text, at timestamptz, booked numeric, booked_currency text, usage jsonb, calls bigint, OUT amount numeric, OUT currency text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kind text;
  price jsonb;
BEGIN
  amount := booked;
  currency := booked_currency;
  IF usage IS NULL THEN
    RETURN;  -- the provider's own word, or free by its rules: no price decides
  END IF;
  SELECT p.kind INTO kind FROM image_gen.providers p WHERE p.id = $1;
  -- A model without prices of its own may be reached through its provider's *.
  SELECT image_gen_internal.price_usage(jsonb_agg(r.price ORDER BY r.origin, r.id DESC), usage) INTO price
    FROM unnest(ARRAY[$2, '*']) WITH ORDINALITY AS m(name, rank) CROSS JOIN LATERAL image_gen_internal.prices_on(m.name, kind, $3::date) r
   GROUP BY m.rank ORDER BY m.rank LIMIT 1;
  IF price IS NOT NULL THEN
    amount := calls * (price ->> 'amount')::numeric;
    currency := price ->> 'currency';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.restate_cost(text, text, timestamptz, numeric, text, jsonb, bigint) IS 'What attempts with the same work would be booked at by the prices that the table has now for their day.';

CREATE FUNCTION image_gen.cost_report(from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL, dimensions text[] DEFAULT '{}',
                                      restated boolean DEFAULT false, designer_rate numeric DEFAULT NULL, designer_minutes numeric DEFAULT 22.5)
RETURNS TABLE (dimension jsonb, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint,
               wasted numeric, restated_cost numeric, designer_rate_per_hour numeric, designer_minutes_per_image numeric, designer_cost numeric, saved numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
  known constant text[] := '{campaign,ticket,shot,owner,batch,operation,provider,model,status,error_code,cost_source,day,week,month,quarter,year}';
  wrong text := (SELECT d FROM unnest(dimensions) d WHERE d IS NULL OR NOT (d = ANY (known) OR d ~ '^metadata:.') LIMIT 1);
  by_calls boolean;
  whole date[];
  lows timestamptz[];
  highs timestamptz[];
BEGIN
  IF wrong IS NOT NULL OR array_position(dimensions, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'dimension ''%'' does not exist', coalesce(wrong, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Use some of: %s; or metadata:NAME.', array_to_string(known, ', '));
  ELSIF $5 < 0 OR $5 >= 'Infinity' OR $6 < 0 OR $6 >= 'Infinity' THEN
    RAISE EXCEPTION 'the comparison with a designer needs an hourly rate in USD and minutes for an image' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'For example designer_rate => 80, designer_minutes => 22.5.';
  END IF;
  -- Days that begin and end within the period and within each day, week ... that is asked for are read from spending_days; of the others
  -- the calls are read. What is not kept there needs all calls.
  by_calls := $4 OR dimensions && '{shot,batch}' OR EXISTS (SELECT FROM unnest(dimensions) d WHERE d LIKE 'metadata:%');
  IF NOT by_calls THEN
    SELECT array_agg(d.day) FILTER (WHERE d.whole), array_agg(greatest(d.low, $1)) FILTER (WHERE NOT d.whole), array_agg(least(d.high, $2)) FILTER (WHERE NOT d.whole)
      INTO whole, lows, highs
      FROM (SELECT k.day, k.low, k.high, coalesce(k.low >= $1, true) AND coalesce(k.high <= $2, true) AND NOT EXISTS (
                     SELECT FROM unnest(dimensions) u
                      WHERE u IN ('day', 'week', 'month', 'quarter', 'year') AND date_trunc(u, k.low) <> date_trunc(u, k.high - interval '1 microsecond')) AS whole
              FROM (SELECT s.day, s.day::timestamp AT TIME ZONE 'UTC' AS low, (s.day + 1)::timestamp AT TIME ZONE 'UTC' AS high
                      FROM image_gen_internal.visible_spending_days() s(day)) k
             WHERE coalesce(k.high > $1, true) AND coalesce(k.low < $2, true)) d;
    by_calls := coalesce(cardinality(lows), 0) > 2 + coalesce(cardinality(whole), 0) / 3;
  END IF;
  RETURN QUERY
  WITH calls AS (
    SELECT s.job_id::text AS unit, s.jobs AS weight, s.calls, s.retries, s.at, s.owner, s.campaign, s.ticket, s.shot, s.batch::text AS batch, s.operation::text AS operation,
           s.provider::text AS provider, s.model::text AS model, s.status::text AS status, s.error_code::text AS error_code, s.images, s.billed_cost,
           s.currency::text AS currency, s.cost_source::text AS cost_source,
           (SELECT jsonb_object_agg(d, s.metadata -> substr(d, 10)) FROM unnest($3) d WHERE d LIKE 'metadata:%') AS more,
           CASE WHEN restated THEN (image_gen_internal.restate_cost(s.provider, s.model, s.at, s.billed_cost, s.currency, s.usage, s.jobs)).amount END AS again
      FROM image_gen_internal.spending_rows s
     WHERE by_calls AND ($1 IS NULL OR s.at >= $1) AND ($2 IS NULL OR s.at < $2)
    UNION ALL
    SELECT d.story::text || d.entry, d.jobs, d.calls, d.retries, d.day::timestamp AT TIME ZONE 'UTC', d.owner, d.campaign, d.ticket, NULL, NULL, d.operation, d.provider,
           d.model, d.status, d.error_code, d.images, d.billed_cost, d.currency, d.cost_source, NULL, NULL
      FROM image_gen_internal.spending_days d WHERE NOT by_calls AND d.day = ANY (whole)
    UNION ALL
    SELECT u.unit, u.weight, u.calls, u.retries, u.first_call, u.owner, u.campaign, u.ticket, NULL, NULL, u.operation, u.provider, u.model, u.status, u.error_code,
           u.images, u.billed_cost, u.currency, u.cost_source, NULL, NULL
      FROM image_gen_internal.unfolded_attempts() u WHERE NOT by_calls AND ($1 IS NULL OR u.first_call >= $1) AND ($2 IS NULL OR u.first_call < $2)
    UNION ALL
    SELECT e.unit, e.weight, e.calls, e.retries, e.first_call, e.owner, e.campaign, e.ticket, NULL, NULL, e.operation, e.provider, e.model, e.status, e.error_code,
           e.images, e.billed_cost, e.currency, e.cost_source, NULL, NULL
      FROM image_gen_internal.edge_attempts(lows, highs, whole, $1, $2) e WHERE NOT by_calls AND lows IS NOT NULL
  ), named AS (
    -- Only what is asked for tells rows apart.
    SELECT c.unit, c.weight, c.calls, c.retries, c.images, c.billed_cost, c.currency, c.status AS how, c.again, c.more,
           CASE WHEN $3 @> '{campaign}' THEN c.campaign END AS campaign, CASE WHEN $3 @> '{ticket}' THEN c.ticket END AS ticket,
           CASE WHEN $3 @> '{shot}' THEN c.shot END AS shot, CASE WHEN $3 @> '{owner}' THEN c.owner END AS owner,
           CASE WHEN $3 @> '{batch}' THEN c.batch END AS batch, CASE WHEN $3 @> '{operation}' THEN c.operation END AS operation,
           CASE WHEN $3 @> '{provider}' THEN c.provider END AS provider, CASE WHEN $3 @> '{model}' THEN c.model END AS model,
           CASE WHEN $3 @> '{status}' THEN c.status END AS status, CASE WHEN $3 @> '{error_code}' THEN c.error_code END AS error_code,
           CASE WHEN $3 @> '{cost_source}' THEN c.cost_source END AS cost_source,
           CASE WHEN $3 @> '{day}' THEN date_trunc('day', c.at) END AS day, CASE WHEN $3 @> '{week}' THEN date_trunc('week', c.at) END AS week,
           CASE WHEN $3 @> '{month}' THEN date_trunc('month', c.at) END AS month,
           CASE WHEN $3 @> '{quarter}' THEN date_trunc('quarter', c.at) END AS quarter, CASE WHEN $3 @> '{year}' THEN date_trunc('year', c.at) END AS year
      FROM calls c
  ), grouped AS (
    SELECT j.currency, j.more, j.campaign, j.ticket, j.shot, j.owner, j.batch, j.operation, j.provider, j.model, j.status, j.error_code, j.cost_source,
           j.day, j.week, j.month, j.quarter, j.year, sum(j.jobs) AS jobs, sum(j.images) AS images, sum(j.calls) AS calls, sum(j.billed) AS billed,
           sum(j.unknown_costs) AS unknown_costs, sum(j.refusals) AS refusals, sum(j.retries) AS retries, sum(j.wasted) AS wasted, sum(j.again) AS again,
           bool_or(j.again_unknown) AS again_unknown
      FROM (SELECT n.currency, n.more, n.campaign, n.ticket, n.shot, n.owner, n.batch, n.operation, n.provider, n.model, n.status, n.error_code, n.cost_source,
                   n.day, n.week, n.month, n.quarter, n.year, max(n.weight) AS jobs, sum(n.images) AS images, sum(n.calls) AS calls,
                   sum(n.billed_cost) AS billed, coalesce(sum(n.weight) FILTER (WHERE n.billed_cost IS NULL), 0) AS unknown_costs,
                   coalesce(sum(n.weight) FILTER (WHERE n.how = 'refused'), 0) AS refusals, sum(n.retries) AS retries,
                   sum(n.billed_cost) FILTER (WHERE n.how <> 'succeeded') AS wasted, sum(n.again) AS again, bool_or(n.again IS NULL) AS again_unknown
              FROM named n
             GROUP BY n.unit, n.currency, n.more, n.campaign, n.ticket, n.shot, n.owner, n.batch, n.operation, n.provider, n.model, n.status, n.error_code,
                      n.cost_source, n.day, n.week, n.month, n.quarter, n.year) j
     GROUP BY j.currency, j.more, j.campaign, j.ticket, j.shot, j.owner, j.batch, j.operation, j.provider, j.model, j.status, j.error_code, j.cost_source,
              j.day, j.week, j.month, j.quarter, j.year
    HAVING sum(j.jobs) <> 0
  )
  SELECT (SELECT coalesce(jsonb_object_agg(d, CASE d
                   WHEN 'campaign' THEN to_jsonb(g.campaign) WHEN 'ticket' THEN to_jsonb(g.ticket) WHEN 'shot' THEN to_jsonb(g.shot)
                   WHEN 'owner' THEN to_jsonb(image_gen_internal.role_name(g.owner)) WHEN 'batch' THEN to_jsonb(g.batch) WHEN 'operation' THEN to_jsonb(g.operation)
                   WHEN 'provider' THEN to_jsonb(g.provider) WHEN 'model' THEN to_jsonb(g.model) WHEN 'status' THEN to_jsonb(g.status)
                   WHEN 'error_code' THEN to_jsonb(g.error_code) WHEN 'cost_source' THEN to_jsonb(g.cost_source)
                   WHEN 'day' THEN to_jsonb(to_char(g.day, 'YYYY-MM-DD')) WHEN 'week' THEN to_jsonb(to_char(g.week, 'IYYY-"W"IW'))
                   WHEN 'month' THEN to_jsonb(to_char(g.month, 'YYYY-MM')) WHEN 'quarter' THEN to_jsonb(to_char(g.quarter, 'YYYY-"Q"Q'))
                   WHEN 'year' THEN to_jsonb(to_char(g.year, 'YYYY')) ELSE g.more -> d END), '{}') FROM unnest($3) d),
         g.currency, g.jobs::bigint, g.images::bigint, g.calls::bigint,
         CASE g.unknown_costs WHEN 0 THEN coalesce(trim_scale(g.billed), 0) END, coalesce(trim_scale(g.billed), 0), g.unknown_costs::bigint,
         g.refusals::bigint, g.retries::bigint, coalesce(trim_scale(g.wasted), 0),
         CASE WHEN $4 AND NOT g.again_unknown THEN coalesce(trim_scale(g.again), 0) END,
         $5, CASE WHEN $5 IS NOT NULL THEN $6 END, trim_scale(g.images * $6 / 60 * $5),
         CASE WHEN g.currency = 'USD' AND g.unknown_costs = 0 THEN trim_scale(g.images * $6 / 60 * $5 - coalesce(g.billed, 0)) END
    FROM grouped g ORDER BY 7 DESC, 1;
END $$;
COMMENT ON FUNCTION image_gen.cost_report IS
'What the caller''s calls (all for administrators) cost from from_time until before to_time, one row for each value of the dimensions: campaign, ticket, shot, owner, batch, operation,
provider, model, status, error_code, cost_source; day, week, month, quarter, year in the session''s time zone; metadata:NAME. billed: as booked, and never changed by a price that is
corrected later; NULL (and restated_cost and saved with it) when the cost of any of the calls is unknown: unknown_costs says of how many, known_cost what the others cost. Pruned jobs are counted too, with NULL as their shot, batch and metadata:NAME. calls: each that was sent, retries: those of them that were made again. wasted: billed for calls that made no image. restated: restated_cost is what the price table of now says for then.
designer_rate (USD an hour): what designers would have cost at designer_minutes for an image, and what was saved; 22.5 minutes is a launch of four shots in 90.';

SET LOCAL search_path = image_gen, pg_temp;
