-- After: what was spent on what, what the providers say about it, and what nobody knows yet.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen._recount(recounted_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j SET billed_cost = c.total, known_cost = c.known, cost_source = c.source, currency = c.currency
    FROM image_gen._cost_of(recounted_id) c
   WHERE j.id = recounted_id AND j.finished_at IS NOT NULL;
  UPDATE image_gen.campaign_assets a
     SET billed_cost = image_gen._share(j.billed_cost, n.pictures, a.position), known_cost = image_gen._share(j.known_cost, n.pictures, a.position), cost_source = j.cost_source, currency = j.currency
    FROM image_gen.jobs j, (SELECT count(*) AS pictures FROM image_gen.campaign_assets o WHERE o.job_id = recounted_id) n
   WHERE a.job_id = recounted_id AND j.id = recounted_id;
  PERFORM image_gen._charge(recounted_id);
  PERFORM image_gen._book();
END $$;
COMMENT ON FUNCTION image_gen._recount(text) IS 'Brings job, assets and budgets up to date with what the calls of a job were billed.';

CREATE TABLE image_gen.cost_corrections (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id        text COLLATE "C" NOT NULL,
  number        integer NOT NULL,
  amount_before numeric,
  amount        numeric,
  currency      text NOT NULL,
  way           text NOT NULL CHECK (way IN ('settle_cost', 'review', 'invoice', 'update')),
  note          text,
  made_by       name NOT NULL,
  made_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cost_corrections_call ON image_gen.cost_corrections (job_id, number, id);
COMMENT ON TABLE image_gen.cost_corrections IS
'What people and invoices have said about the costs of calls, one row for each word, also of jobs that were pruned since. Rows are only added: a wrong one is corrected by a further one.';
COMMENT ON COLUMN image_gen.cost_corrections.id IS 'Grows with time: of a call, the last one counts.';
COMMENT ON COLUMN image_gen.cost_corrections.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.cost_corrections.number IS 'attempts.number.';
COMMENT ON COLUMN image_gen.cost_corrections.amount_before IS 'What was booked before; NULL was unknown.';
COMMENT ON COLUMN image_gen.cost_corrections.amount IS 'What is booked since; NULL is unknown again.';
COMMENT ON COLUMN image_gen.cost_corrections.currency IS 'ISO 4217, of both amounts.';
COMMENT ON COLUMN image_gen.cost_corrections.way IS 'settle_cost; review: resolve_review(); invoice: import_invoice(); update: an UPDATE of the table, which check_budgets() reports.';
COMMENT ON COLUMN image_gen.cost_corrections.note IS 'Why, in the words of whom made_by names.';
COMMENT ON COLUMN image_gen.cost_corrections.made_by IS 'The role that made it.';
COMMENT ON COLUMN image_gen.cost_corrections.made_at IS 'When.';

CREATE FUNCTION image_gen._append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME USING ERRCODE = 'object_not_in_prerequisite_state',
    HINT = 'A wrong entry is corrected by a further one: image_gen.settle_cost().';
END $$;
COMMENT ON FUNCTION image_gen._append_only() IS 'Keeps the rows of a table as they were written.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON image_gen.cost_corrections FOR EACH STATEMENT EXECUTE FUNCTION image_gen._append_only();

CREATE FUNCTION image_gen._note_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.cost_corrections c
                  WHERE c.id = (SELECT max(l.id) FROM image_gen.cost_corrections l WHERE l.job_id = NEW.job_id AND l.number = NEW.number)
                    AND c.amount IS NOT DISTINCT FROM NEW.billed_cost AND c.amount_before IS NOT DISTINCT FROM OLD.billed_cost) THEN
    INSERT INTO image_gen.cost_corrections (job_id, number, amount_before, amount, currency, way, made_by)
    VALUES (NEW.job_id, NEW.number, OLD.billed_cost, NEW.billed_cost, NEW.currency, 'update', image_gen._role_name(image_gen._caller()));
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen._note_update() IS 'Writes down that the cost of a call that is over was changed otherwise than by settle_cost().';
CREATE TRIGGER note_update AFTER UPDATE OF billed_cost ON image_gen.attempts FOR EACH ROW
  WHEN (OLD.status <> 'running' AND OLD.billed_cost IS DISTINCT FROM NEW.billed_cost) EXECUTE FUNCTION image_gen._note_update();

CREATE FUNCTION image_gen._is_plausible(call image_gen.attempts, amount numeric, times numeric) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce(amount, 0) <= CASE WHEN call.estimated_cost > 0 AND call.currency = 'USD' THEN times * call.estimated_cost
                                     -- Without an estimate by what a provider's own word could be.
                                     ELSE times / 10 * current_setting('image_gen.cost_sanity_ceiling')::numeric END;
END $$;
COMMENT ON FUNCTION image_gen._is_plausible(image_gen.attempts, numeric, numeric) IS 'Whether an amount is at most so many times the estimate of a call.';

CREATE FUNCTION image_gen._settle(settled_id text, settled_number integer, amount numeric, way text, note text, force boolean) RETURNS void
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
  ELSIF NOT force AND NOT image_gen._is_plausible(call, amount, 100) THEN
    RAISE EXCEPTION 'billed_cost % is more than a hundred times what call % was expected to cost', image_gen._usd(amount), settled_number
      USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It was expected to cost %s.', coalesce(image_gen._usd(call.estimated_cost) || ' USD', 'an unknown amount')),
      HINT = 'Look at the figure again. If it is right, say settle_cost(..., force => true).';
  END IF;
  INSERT INTO image_gen.cost_corrections (job_id, number, amount_before, amount, currency, way, note, made_by)
  VALUES (settled_id, settled_number, call.billed_cost, trim_scale(amount), call.currency, way, note, image_gen._role_name(image_gen._caller()));
  UPDATE image_gen.attempts a SET billed_cost = trim_scale(amount), cost_source = CASE WHEN amount IS NULL THEN 'unknown' ELSE 'reported' END
   WHERE a.id = call.id;
  PERFORM image_gen._recount(settled_id);
END $$;
COMMENT ON FUNCTION image_gen._settle(text, integer, numeric, text, text, boolean) IS 'Writes down what a call was billed, as a further entry of cost_corrections, and brings everything up to date with it.';

CREATE FUNCTION image_gen.settle_cost(job_id text, number integer, billed_cost numeric, note text DEFAULT NULL, force boolean DEFAULT false) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  PERFORM image_gen._settle($1, $2, image_gen._bounded('billed_cost', $3, 'Give what the provider charged, in USD; 0 when nothing.'), 'settle_cost', $4, coalesce($5, false));
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
END $$;
COMMENT ON FUNCTION image_gen.settle_cost(text, integer, numeric, text, boolean) IS
'What a call was billed, as the provider''s console says, in the currency of the call: its job, pictures and budgets follow, and what was reserved for it is free. Costs that are known can be
corrected as well: each word is a row of cost_corrections, and a wrong one is undone by a further one. force: for more than a hundred times the estimate (or, without one, ten times
image_gen.cost_sanity_ceiling), and for NULL, which makes the cost unknown again. For administrators.';

CREATE FUNCTION image_gen._wrong_costs() RETURNS TABLE (kind text, problem text, booked numeric, computed numeric, job_id text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'sum', 'cost of the job differs from its calls', j.billed_cost::numeric, c.total, j.id::text
    FROM image_gen.jobs j CROSS JOIN LATERAL image_gen._cost_of(j.id) c
   WHERE j.finished_at IS NOT NULL
     AND (j.billed_cost IS DISTINCT FROM c.total OR j.known_cost IS DISTINCT FROM c.known OR j.cost_source IS DISTINCT FROM c.source OR j.currency <> c.currency);
  RETURN QUERY
  SELECT 'sum', 'cost of a picture differs from its share', a.billed_cost::numeric, image_gen._share(j.billed_cost, a.pictures, a.position), a.job_id
    FROM (SELECT o.job_id, o.position, o.billed_cost, o.known_cost, o.cost_source, count(*) OVER (PARTITION BY o.job_id) AS pictures FROM image_gen.campaign_assets o) a
    JOIN image_gen.jobs j ON j.id = a.job_id
   WHERE a.billed_cost IS DISTINCT FROM image_gen._share(j.billed_cost, a.pictures, a.position)
      OR a.known_cost IS DISTINCT FROM image_gen._share(j.known_cost, a.pictures, a.position) OR a.cost_source IS DISTINCT FROM j.cost_source;
  RETURN QUERY
  SELECT 'update', format('cost of call %s was changed by %s past settle_cost()', c.number, c.made_by), c.amount, c.amount_before, c.job_id
    FROM image_gen.cost_corrections c
   WHERE c.way = 'update' AND NOT EXISTS (SELECT FROM image_gen.cost_corrections l WHERE l.job_id = c.job_id AND l.number = c.number AND l.id > c.id);
END $$;
COMMENT ON FUNCTION image_gen._wrong_costs() IS 'Costs of jobs and pictures that are not those of their calls (sum), and costs of calls that were changed past settle_cost() (update).';

CREATE FUNCTION image_gen._cost_reviews()
RETURNS TABLE (job_id text, number integer, why text, claimed_cost numeric, currency text, estimated_cost numeric, held numeric, owner regrole, job_status text,
               provider text, model text, status text, error_code text, remote_id text, campaign text, ticket text, finished_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen._caller();
  sees_all boolean := image_gen._may_review(caller);
BEGIN
  RETURN QUERY
  SELECT a.job_id, a.number::integer,
         CASE WHEN a.claimed_cost IS NOT NULL THEN 'implausible' WHEN a.status = 'uncertain' THEN 'uncertain' WHEN a.status = 'canceled' THEN 'canceled' ELSE 'no price' END,
         a.claimed_cost, a.currency, a.estimated_cost, coalesce(a.estimated_cost, 0), a.owner, j.status::text, a.provider, a.model, a.status::text, a.error_code, a.remote_id,
         j.metadata ->> 'campaign', j.metadata ->> 'ticket', a.finished_at
    FROM image_gen.attempts a JOIN image_gen.jobs j ON j.id = a.job_id
   WHERE a.billed_cost IS NULL AND a.status <> 'running' AND (sees_all OR a.owner = caller);
END $$;
COMMENT ON FUNCTION image_gen._cost_reviews() IS 'Calls of unknown cost: the caller''s, all for reviewers and administrators.';

CREATE VIEW image_gen.cost_reviews AS
SELECT r.job_id, r.number, r.why, r.claimed_cost, r.currency, r.estimated_cost, r.held, r.owner, r.job_status, r.provider, r.model, r.status, r.error_code, r.remote_id,
       r.campaign, r.ticket, r.finished_at, clock_timestamp() - r.finished_at AS age
  FROM image_gen._cost_reviews() r;
COMMENT ON VIEW image_gen.cost_reviews IS
'Calls whose cost is unknown, whatever became of their jobs: an administrator looks each up at the provider and says settle_cost(job_id, number, billed_cost), or an invoice does. why: implausible
(claimed_cost is what was named, far beyond the estimate: image_gen.cost_sanity_factor), uncertain (it may not have been accepted), canceled, no price. held: the USD that stay reserved for it.';

CREATE VIEW image_gen.spending WITH (security_invoker = true) AS
SELECT a.created_at AS at, a.owner, j.metadata ->> 'campaign' AS campaign, j.metadata ->> 'ticket' AS ticket, j.metadata ->> 'shot' AS shot,
       j.metadata, j.batch, j.operation, a.provider, a.model, a.job_id, a.number, a.status, a.error_code,
       CASE WHEN a.status = 'succeeded' THEN (SELECT count(*) FROM image_gen.campaign_assets c WHERE c.job_id = a.job_id) ELSE 0 END AS images,
       a.billed_cost, a.currency, a.cost_source, a.estimated_cost, a.tokens, a.work, a.remote_id
  FROM image_gen.attempts a JOIN image_gen.jobs j ON j.id = a.job_id
 WHERE a.status <> 'running';
COMMENT ON VIEW image_gen.spending IS 'One row for each call that is over: when, who, for what, where, how it ended and what it cost. billed_cost NULL is unknown, and never counted as 0. Calls of pruned jobs are in spending_archive; the reports have both.';

CREATE VIEW image_gen._spending WITH (security_invoker = true) AS
SELECT s.at, s.at AS last_call, s.owner, s.campaign, s.ticket, s.shot, s.metadata, s.batch, s.operation, s.provider, s.model, s.job_id, s.number, 1::bigint AS calls,
       s.status, s.error_code, s.images, s.billed_cost, s.currency, s.cost_source, s.work
  FROM image_gen.spending s
UNION ALL
SELECT a.first_call, a.last_call, a.owner, a.campaign, a.ticket, NULL, NULL, NULL, a.operation, a.provider, a.model, a.story, a.number, a.calls,
       a.status, a.error_code, a.images, a.billed_cost, a.currency, a.cost_source, a.work
  FROM image_gen.spending_archive a;
COMMENT ON VIEW image_gen._spending IS 'The calls of all jobs and, together for those that went the same way, of pruned ones: job_id then stands for as many jobs as a row has calls.';

CREATE VIEW image_gen.cost_by_campaign WITH (security_invoker = true) AS
SELECT s.campaign, s.currency, sum(s.jobs)::bigint AS jobs, sum(s.images)::bigint AS images, sum(s.calls)::bigint AS calls,
       CASE sum(s.unknown_costs) WHEN 0 THEN trim_scale(sum(s.billed)) END AS billed, trim_scale(sum(s.billed)) AS known_cost,
       sum(s.unknown_costs)::bigint AS unknown_costs, sum(s.refusals)::bigint AS refusals, sum(s.retries)::bigint AS retries,
       trim_scale(sum(s.wasted)) AS wasted, min(s.first_call) AS first_call, max(s.last_call) AS last_call
  FROM image_gen._spending_by_ticket s GROUP BY s.campaign, s.currency;
COMMENT ON VIEW image_gen.cost_by_campaign IS
'What each campaign cost: billed is the sum over all its calls, NULL when the cost of any is unknown (unknown_costs says of how many); known_cost is the sum over the others; wasted is what was billed for
calls that made no picture, as far as it is known.';

CREATE VIEW image_gen.cost_by_ticket WITH (security_invoker = true) AS
SELECT s.ticket, s.currency, sum(s.jobs)::bigint AS jobs, sum(s.images)::bigint AS images, sum(s.calls)::bigint AS calls,
       CASE sum(s.unknown_costs) WHEN 0 THEN trim_scale(sum(s.billed)) END AS billed, trim_scale(sum(s.billed)) AS known_cost,
       sum(s.unknown_costs)::bigint AS unknown_costs, sum(s.refusals)::bigint AS refusals, sum(s.retries)::bigint AS retries,
       trim_scale(sum(s.wasted)) AS wasted, min(s.first_call) AS first_call, max(s.last_call) AS last_call
  FROM image_gen._spending_by_ticket s GROUP BY s.ticket, s.currency;
COMMENT ON VIEW image_gen.cost_by_ticket IS 'What each ticket cost; see cost_by_campaign.';

CREATE FUNCTION image_gen._restated(provider text, model text, at timestamptz, booked numeric, booked_currency text, work jsonb, calls bigint, OUT amount numeric, OUT currency text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kind text;
  price jsonb;
BEGIN
  amount := booked;
  currency := booked_currency;
  IF work IS NULL THEN
    RETURN;  -- the provider's own word, or free by its rules: no price decides
  END IF;
  SELECT p.kind INTO kind FROM image_gen.providers p WHERE p.id = $1;
  -- A model without prices of its own may be reached through its provider's *.
  SELECT image_gen._price(jsonb_agg(r.price ORDER BY r.origin, r.id DESC), work) INTO price
    FROM unnest(ARRAY[$2, '*']) WITH ORDINALITY AS m(name, rank) CROSS JOIN LATERAL image_gen._prices_on(m.name, kind, $3::date) r
   GROUP BY m.rank ORDER BY m.rank LIMIT 1;
  IF price IS NOT NULL THEN
    amount := calls * (price ->> 'amount')::numeric;
    currency := price ->> 'currency';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._restated(text, text, timestamptz, numeric, text, jsonb, bigint) IS 'What calls with the same work would be booked at by the prices that the table has now for their day.';

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
    RAISE EXCEPTION 'the comparison with a designer needs an hourly rate in USD and minutes for a picture' USING ERRCODE = 'invalid_parameter_value',
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
                      FROM image_gen._spending_days_of() s(day)) k
             WHERE coalesce(k.high > $1, true) AND coalesce(k.low < $2, true)) d;
    by_calls := coalesce(cardinality(lows), 0) > 2 + coalesce(cardinality(whole), 0) / 3;
  END IF;
  RETURN QUERY
  WITH calls AS (
    SELECT s.job_id::text AS unit, s.calls AS weight, s.number, s.at, s.owner, s.campaign, s.ticket, s.shot, s.batch::text AS batch, s.operation::text AS operation,
           s.provider::text AS provider, s.model::text AS model, s.status::text AS status, s.error_code::text AS error_code, s.images, s.billed_cost,
           s.currency::text AS currency, s.cost_source::text AS cost_source,
           (SELECT jsonb_object_agg(d, s.metadata -> substr(d, 10)) FROM unnest($3) d WHERE d LIKE 'metadata:%') AS more,
           CASE WHEN restated THEN (image_gen._restated(s.provider, s.model, s.at, s.billed_cost, s.currency, s.work, s.calls)).amount END AS again
      FROM image_gen._spending s
     WHERE by_calls AND ($1 IS NULL OR s.at >= $1) AND ($2 IS NULL OR s.at < $2)
    UNION ALL
    SELECT d.story::text || d.entry, d.calls, d.number, d.day::timestamp AT TIME ZONE 'UTC', d.owner, d.campaign, d.ticket, NULL, NULL, d.operation, d.provider,
           d.model, d.status, d.error_code, d.images, d.billed_cost, d.currency, d.cost_source, NULL, NULL
      FROM image_gen.spending_days d WHERE NOT by_calls AND d.day = ANY (whole)
    UNION ALL
    SELECT u.unit, u.weight, u.number, u.first_call, u.owner, u.campaign, u.ticket, NULL, NULL, u.operation, u.provider, u.model, u.status, u.error_code,
           u.images, u.billed_cost, u.currency, u.cost_source, NULL, NULL
      FROM image_gen._unfolded_calls() u WHERE NOT by_calls AND ($1 IS NULL OR u.first_call >= $1) AND ($2 IS NULL OR u.first_call < $2)
    UNION ALL
    SELECT e.unit, e.weight, e.number, e.first_call, e.owner, e.campaign, e.ticket, NULL, NULL, e.operation, e.provider, e.model, e.status, e.error_code,
           e.images, e.billed_cost, e.currency, e.cost_source, NULL, NULL
      FROM image_gen._edge_calls(lows, highs, whole, $1, $2) e WHERE NOT by_calls AND lows IS NOT NULL
  ), named AS (
    -- Only what is asked for tells rows apart.
    SELECT c.unit, c.weight, c.number, c.images, c.billed_cost, c.currency, c.status AS how, c.again, c.more,
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
                   n.day, n.week, n.month, n.quarter, n.year, max(n.weight) AS jobs, sum(n.images) AS images, sum(n.weight) AS calls,
                   sum(n.billed_cost) AS billed, coalesce(sum(n.weight) FILTER (WHERE n.billed_cost IS NULL), 0) AS unknown_costs,
                   coalesce(sum(n.weight) FILTER (WHERE n.how = 'refused'), 0) AS refusals, coalesce(sum(n.weight) FILTER (WHERE n.number > 1), 0) AS retries,
                   sum(n.billed_cost) FILTER (WHERE n.how <> 'succeeded') AS wasted, sum(n.again) AS again, bool_or(n.again IS NULL) AS again_unknown
              FROM named n
             GROUP BY n.unit, n.currency, n.more, n.campaign, n.ticket, n.shot, n.owner, n.batch, n.operation, n.provider, n.model, n.status, n.error_code,
                      n.cost_source, n.day, n.week, n.month, n.quarter, n.year) j
     GROUP BY j.currency, j.more, j.campaign, j.ticket, j.shot, j.owner, j.batch, j.operation, j.provider, j.model, j.status, j.error_code, j.cost_source,
              j.day, j.week, j.month, j.quarter, j.year
    HAVING sum(j.calls) <> 0
  )
  SELECT (SELECT coalesce(jsonb_object_agg(d, CASE d
                   WHEN 'campaign' THEN to_jsonb(g.campaign) WHEN 'ticket' THEN to_jsonb(g.ticket) WHEN 'shot' THEN to_jsonb(g.shot)
                   WHEN 'owner' THEN to_jsonb(image_gen._role_name(g.owner)) WHEN 'batch' THEN to_jsonb(g.batch) WHEN 'operation' THEN to_jsonb(g.operation)
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
corrected later; NULL (and restated_cost and saved with it) when the cost of any of the calls is unknown: unknown_costs says of how many, known_cost what the others cost. Pruned jobs are counted too, with NULL as their shot, batch and metadata:NAME. wasted: billed for calls that made no picture. restated: restated_cost is what the price table of now says for then.
designer_rate (USD an hour): what designers would have cost at designer_minutes for a picture, and what was saved; 22.5 minutes is a launch of four shots in 90.';

CREATE TABLE image_gen.invoices (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider    text COLLATE "C" NOT NULL,
  period_from timestamptz NOT NULL,
  period_to   timestamptz NOT NULL CONSTRAINT ends_after_it_begins CHECK (period_to > period_from),
  amount      image_gen.amount NOT NULL,
  currency    image_gen.currency NOT NULL DEFAULT 'USD',
  note        text,
  imported_by name NOT NULL,
  imported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.invoices IS 'What providers say they charged. Written by import_invoice(), compared by invoice_diff.';
COMMENT ON COLUMN image_gen.invoices.id IS 'For invoice_lines.';
COMMENT ON COLUMN image_gen.invoices.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.invoices.period_from IS 'The first moment it is about.';
COMMENT ON COLUMN image_gen.invoices.period_to IS 'The first moment that it is not about any more.';
COMMENT ON COLUMN image_gen.invoices.amount IS 'The total.';
COMMENT ON COLUMN image_gen.invoices.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.invoices.note IS 'For people, such as the invoice''s number.';
COMMENT ON COLUMN image_gen.invoices.imported_by IS 'Who imported it.';
COMMENT ON COLUMN image_gen.invoices.imported_at IS 'When.';

CREATE TABLE image_gen.invoice_lines (
  invoice_id bigint NOT NULL REFERENCES image_gen.invoices ON DELETE CASCADE,
  line       integer NOT NULL,
  remote_id  text COLLATE "C" NOT NULL,
  amount     image_gen.amount NOT NULL,
  PRIMARY KEY (invoice_id, line)
);
CREATE INDEX invoice_lines_request ON image_gen.invoice_lines (remote_id);
COMMENT ON TABLE image_gen.invoice_lines IS 'The lines of an invoice that name a request.';
COMMENT ON COLUMN image_gen.invoice_lines.invoice_id IS 'invoices.id.';
COMMENT ON COLUMN image_gen.invoice_lines.line IS 'From 1.';
COMMENT ON COLUMN image_gen.invoice_lines.remote_id IS 'The provider''s id of the request: attempts.remote_id.';
COMMENT ON COLUMN image_gen.invoice_lines.amount IS 'In the invoice''s currency.';

CREATE FUNCTION image_gen.import_invoice(provider text, period_from timestamptz, period_to timestamptz, amount numeric DEFAULT NULL, lines jsonb DEFAULT NULL,
                                         currency text DEFAULT 'USD', note text DEFAULT NULL, OUT invoice_id bigint, OUT matched bigint, OUT settled bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  one record;
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  IF NOT EXISTS (SELECT FROM image_gen.providers p WHERE p.id = $1) THEN
    RAISE EXCEPTION 'provider "%" does not exist', $1 USING ERRCODE = 'undefined_object', HINT = 'image_gen.providers lists all.';
  ELSIF $2 IS NULL OR $3 IS NULL OR $3 <= $2 THEN
    RAISE EXCEPTION 'the period % to % is none', $2, $3 USING ERRCODE = 'invalid_parameter_value', HINT = 'period_to is the first moment that the invoice is not about any more.';
  ELSIF jsonb_typeof(coalesce($5, '[]')) <> 'array'
     OR EXISTS (SELECT FROM jsonb_array_elements($5) l WHERE jsonb_typeof(l -> 'amount') IS DISTINCT FROM 'number' OR (l ->> 'amount')::numeric < 0 OR coalesce(l ->> 'remote_id', '') = '') THEN
    RAISE EXCEPTION 'lines is no list of requests and amounts' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example ''[{"remote_id": "abc", "amount": 0.04}]''; sums without a request go into amount.';
  ELSIF $4 IS NULL AND $5 IS NULL THEN
    RAISE EXCEPTION 'an invoice needs an amount, or lines' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the total, the lines, or both.';
  ELSIF $6 IS NULL OR $6 !~ '^[A-Z]{3}$' THEN
    RAISE EXCEPTION 'currency is %', coalesce(left($6, 40), 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an amount from 0 up and a currency such as USD.';
  END IF;
  PERFORM image_gen._bounded('amount', $4, 'Give an amount from 0 up and a currency such as USD.');
  PERFORM image_gen._bounded('the sum of the lines', (SELECT sum(image_gen._bounded('the amount of a line', (l ->> 'amount')::numeric, 'Give amounts from 0 up.'))
                                                        FROM jsonb_array_elements($5) l), 'Give amounts from 0 up.');
  INSERT INTO image_gen.invoices AS i (provider, period_from, period_to, amount, currency, note, imported_by)
  VALUES ($1, $2, $3, coalesce($4, (SELECT coalesce(sum((l ->> 'amount')::numeric), 0) FROM jsonb_array_elements($5) l)), $6, $7, image_gen._role_name(image_gen._caller()))
  RETURNING i.id INTO invoice_id;
  INSERT INTO image_gen.invoice_lines (invoice_id, line, remote_id, amount)
  SELECT invoice_id, l.line, l.value ->> 'remote_id', (l.value ->> 'amount')::numeric FROM jsonb_array_elements($5) WITH ORDINALITY AS l(value, line);
  SELECT count(*) INTO matched FROM image_gen.invoice_lines l
   WHERE l.invoice_id = $8 AND EXISTS (SELECT FROM image_gen.attempts a WHERE a.remote_id = l.remote_id AND a.provider = $1);
  settled := 0;
  -- What was unknown is known now, but for what is beyond belief. What is booked stays: the difference is shown.
  FOR one IN
    SELECT a.job_id, a.number, sum(l.amount) AS amount
      FROM image_gen.invoice_lines l JOIN image_gen.attempts a ON a.remote_id = l.remote_id AND a.provider = $1
     WHERE l.invoice_id = $8 AND a.billed_cost IS NULL AND a.status <> 'running' AND a.currency = $6
     GROUP BY a.id HAVING image_gen._is_plausible(a, sum(l.amount), 100) ORDER BY 1, 2
  LOOP
    PERFORM image_gen._settle(one.job_id, one.number, one.amount, 'invoice', 'invoice ' || invoice_id, false);
    settled := settled + 1;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen.import_invoice IS
'Keeps what a provider says it charged from period_from until before period_to: a total, or lines with a request each ([{"remote_id": "...", "amount": 0.04}, ...]), or both. Calls of
unknown cost that a line names get its amount, unless it is more than a hundred times the estimate; what is booked already is not changed: invoice_diff shows both. matched: lines whose request is known here. settled: calls whose cost was unknown until now.
See invoice_diff. For administrators.';

CREATE VIEW image_gen.invoice_diff WITH (security_invoker = true) AS
SELECT i.id AS invoice_id, i.provider, i.period_from, i.period_to, NULL::text AS remote_id, NULL::text AS job_id, NULL::integer AS number, 'total' AS what,
       i.amount AS invoiced, coalesce(b.booked, 0) AS booked, i.amount - coalesce(b.booked, 0) AS difference, coalesce(b.unknown_costs, 0) AS unknown_costs, i.currency
  FROM image_gen.invoices i
  LEFT JOIN LATERAL (SELECT sum(a.billed_cost) AS booked, count(*) FILTER (WHERE a.billed_cost IS NULL AND a.status <> 'running') AS unknown_costs
                       FROM (SELECT o.provider, o.created_at, o.currency, o.billed_cost, o.status FROM image_gen.attempts o
                             UNION ALL SELECT o.provider, o.first_call, o.currency, o.billed_cost, o.status FROM image_gen.spending_archive o) a
                      WHERE a.provider = i.provider AND a.created_at >= i.period_from AND a.created_at < i.period_to AND a.currency = i.currency) b ON true
UNION ALL
SELECT i.id, i.provider, i.period_from, i.period_to, l.remote_id, a.job_id, a.number, CASE WHEN a.id IS NOT NULL THEN 'differs'
            WHEN EXISTS (SELECT FROM image_gen.spending_archive o WHERE o.provider = i.provider AND o.first_call >= i.period_from AND o.first_call < i.period_to) THEN 'not ours, or pruned'
            ELSE 'not ours' END,
       l.amount, a.billed_cost, l.amount - coalesce(a.billed_cost, 0), (a.id IS NOT NULL AND a.billed_cost IS NULL)::integer, i.currency
  FROM image_gen.invoices i
  JOIN (SELECT o.invoice_id, o.remote_id, sum(o.amount) AS amount FROM image_gen.invoice_lines o GROUP BY 1, 2) l ON l.invoice_id = i.id
  LEFT JOIN image_gen.attempts a ON a.remote_id = l.remote_id AND a.provider = i.provider
 WHERE a.id IS NULL OR a.billed_cost IS DISTINCT FROM l.amount
UNION ALL
SELECT i.id, i.provider, i.period_from, i.period_to, a.remote_id, a.job_id, a.number, 'not invoiced', NULL, a.billed_cost, -a.billed_cost, 0, i.currency
  FROM image_gen.invoices i
  JOIN image_gen.attempts a ON a.provider = i.provider AND a.created_at >= i.period_from AND a.created_at < i.period_to AND a.currency = i.currency
 WHERE EXISTS (SELECT FROM image_gen.invoice_lines l WHERE l.invoice_id = i.id) AND a.billed_cost > 0
   AND NOT EXISTS (SELECT FROM image_gen.invoice_lines l WHERE l.invoice_id = i.id AND l.remote_id = a.remote_id);
COMMENT ON VIEW image_gen.invoice_diff IS
'Invoices beside what is booked: one row for each total, and one for each request that differs: differs (another amount, or none known), not ours (no such request here; not ours, or pruned, where jobs of that time were), not invoiced
(booked here, and not in the lines).';

SELECT pg_catalog.pg_extension_config_dump('image_gen.cost_corrections', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.cost_corrections_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoices', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoice_lines', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoices_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
