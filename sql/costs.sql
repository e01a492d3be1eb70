-- After: what was spent on what, what the providers say about it, and what nobody knows yet.

CREATE FUNCTION image_gen._recount(recounted_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j SET billed_cost = c.total, cost_source = c.source, currency = c.currency
    FROM image_gen._cost_of(recounted_id) c
   WHERE j.id = recounted_id AND j.finished_at IS NOT NULL;
  UPDATE image_gen.campaign_assets a
     SET billed_cost = image_gen._share(j.billed_cost, n.pictures, a.position), cost_source = j.cost_source, currency = j.currency
    FROM image_gen.jobs j, (SELECT count(*) AS pictures FROM image_gen.campaign_assets o WHERE o.job_id = recounted_id) n
   WHERE a.job_id = recounted_id AND j.id = recounted_id;
  PERFORM image_gen._charge(recounted_id);
  PERFORM image_gen._book();
END $$;
COMMENT ON FUNCTION image_gen._recount(text) IS 'Brings job, assets and budgets up to date with what the calls of a job were billed.';

CREATE FUNCTION image_gen._settle(settled_id text, settled_number integer, amount numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.attempts a SET billed_cost = trim_scale(amount), cost_source = 'reported'
   WHERE a.job_id = settled_id AND a.number = settled_number AND a.billed_cost IS NULL AND a.status <> 'running';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the cost of call % is known, or it is still under way', settled_number
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'What is booked is not changed: image_gen.invoice_diff shows what a provider says beside it.';
  END IF;
  PERFORM image_gen._recount(settled_id);
END $$;
COMMENT ON FUNCTION image_gen._settle(text, integer, numeric) IS 'Writes down what a call of unknown cost was billed.';

CREATE FUNCTION image_gen.settle_cost(job_id text, number integer, billed_cost numeric) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  IF $3 IS NULL OR $3 < 0 OR $3 >= 'Infinity' THEN
    RAISE EXCEPTION 'billed_cost is %', coalesce($3::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give what the provider charged, in USD; 0 when nothing.';
  ELSIF NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = $1 AND a.number = $2) THEN
    RAISE EXCEPTION 'call % of job "%" does not exist', $2, $1 USING ERRCODE = 'undefined_object', HINT = 'image_gen.reservations lists calls of unknown cost.';
  END IF;
  PERFORM image_gen._settle($1, $2, $3);
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
END $$;
COMMENT ON FUNCTION image_gen.settle_cost(text, integer, numeric) IS
'What a call of unknown cost was billed, in USD, as the provider''s console says: its job, assets and budgets follow, and what was reserved for it is free. What is known stays. For administrators.';

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
SELECT j.campaign, j.currency, sum(j.jobs)::bigint AS jobs, sum(j.images)::bigint AS images, sum(j.calls)::bigint AS calls,
       coalesce(trim_scale(sum(j.billed)), 0) AS billed, sum(j.unknown_costs)::bigint AS unknown_costs, sum(j.refusals)::bigint AS refusals,
       sum(j.retries)::bigint AS retries, coalesce(trim_scale(sum(j.wasted)), 0) AS wasted, min(j.first_call) AS first_call, max(j.last_call) AS last_call
  FROM (SELECT s.campaign, s.currency, max(s.calls) AS jobs, sum(s.images) AS images, sum(s.calls) AS calls, sum(s.billed_cost) AS billed,
               count(*) FILTER (WHERE s.billed_cost IS NULL) AS unknown_costs, coalesce(sum(s.calls) FILTER (WHERE s.status = 'refused'), 0) AS refusals,
               coalesce(sum(s.calls) FILTER (WHERE s.number > 1), 0) AS retries, sum(s.billed_cost) FILTER (WHERE s.status <> 'succeeded') AS wasted,
               min(s.at) AS first_call, max(s.last_call) AS last_call
          FROM image_gen._spending s GROUP BY s.campaign, s.currency, s.job_id) j
 GROUP BY j.campaign, j.currency;
COMMENT ON VIEW image_gen.cost_by_campaign IS
'What each campaign cost: billed is the sum over all its calls; unknown_costs of them are not in it; wasted is what was billed for calls that made no picture.';

CREATE VIEW image_gen.cost_by_ticket WITH (security_invoker = true) AS
SELECT j.ticket, j.currency, sum(j.jobs)::bigint AS jobs, sum(j.images)::bigint AS images, sum(j.calls)::bigint AS calls,
       coalesce(trim_scale(sum(j.billed)), 0) AS billed, sum(j.unknown_costs)::bigint AS unknown_costs, sum(j.refusals)::bigint AS refusals,
       sum(j.retries)::bigint AS retries, coalesce(trim_scale(sum(j.wasted)), 0) AS wasted, min(j.first_call) AS first_call, max(j.last_call) AS last_call
  FROM (SELECT s.ticket, s.currency, max(s.calls) AS jobs, sum(s.images) AS images, sum(s.calls) AS calls, sum(s.billed_cost) AS billed,
               count(*) FILTER (WHERE s.billed_cost IS NULL) AS unknown_costs, coalesce(sum(s.calls) FILTER (WHERE s.status = 'refused'), 0) AS refusals,
               coalesce(sum(s.calls) FILTER (WHERE s.number > 1), 0) AS retries, sum(s.billed_cost) FILTER (WHERE s.status <> 'succeeded') AS wasted,
               min(s.at) AS first_call, max(s.last_call) AS last_call
          FROM image_gen._spending s GROUP BY s.ticket, s.currency, s.job_id) j
 GROUP BY j.ticket, j.currency;
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
RETURNS TABLE (dimension jsonb, currency text, jobs bigint, images bigint, calls bigint, billed numeric, unknown_costs bigint, refusals bigint, retries bigint,
               wasted numeric, restated_cost numeric, designer_rate_per_hour numeric, designer_minutes_per_image numeric, designer_cost numeric, saved numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  known constant text[] := '{campaign,ticket,shot,owner,batch,operation,provider,model,status,error_code,cost_source,day,week,month,quarter,year}';
  wrong text := (SELECT d FROM unnest(dimensions) d WHERE d IS NULL OR NOT (d = ANY (known) OR d ~ '^metadata:.') LIMIT 1);
BEGIN
  IF wrong IS NOT NULL OR array_position(dimensions, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'dimension ''%'' does not exist', coalesce(wrong, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Use some of: %s; or metadata:NAME.', array_to_string(known, ', '));
  ELSIF $5 < 0 OR $5 >= 'Infinity' OR $6 < 0 OR $6 >= 'Infinity' THEN
    RAISE EXCEPTION 'the comparison with a designer needs an hourly rate in USD and minutes for a picture' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'For example designer_rate => 80, designer_minutes => 22.5.';
  END IF;
  RETURN QUERY
  WITH calls AS (
    SELECT s.*, CASE WHEN restated THEN (image_gen._restated(s.provider, s.model, s.at, s.billed_cost, s.currency, s.work, s.calls)).amount END AS again,
           (SELECT coalesce(jsonb_object_agg(d, CASE
                     WHEN d IN ('day', 'week', 'month', 'quarter', 'year') THEN to_jsonb(to_char(date_trunc(d, s.at),
                          CASE d WHEN 'day' THEN 'YYYY-MM-DD' WHEN 'week' THEN 'IYYY-"W"IW' WHEN 'month' THEN 'YYYY-MM' WHEN 'quarter' THEN 'YYYY-"Q"Q' ELSE 'YYYY' END))
                     WHEN d LIKE 'metadata:%' THEN s.metadata -> substr(d, 10)
                     WHEN d = 'campaign' THEN to_jsonb(s.campaign) WHEN d = 'ticket' THEN to_jsonb(s.ticket) WHEN d = 'shot' THEN to_jsonb(s.shot)
                     WHEN d = 'owner' THEN to_jsonb(s.owner) WHEN d = 'batch' THEN to_jsonb(s.batch) WHEN d = 'operation' THEN to_jsonb(s.operation)
                     WHEN d = 'provider' THEN to_jsonb(s.provider) WHEN d = 'model' THEN to_jsonb(s.model) WHEN d = 'status' THEN to_jsonb(s.status)
                     WHEN d = 'error_code' THEN to_jsonb(s.error_code) WHEN d = 'cost_source' THEN to_jsonb(s.cost_source) END), '{}')
              FROM unnest($3) d) AS dimension
      FROM image_gen._spending s
     WHERE ($1 IS NULL OR s.at >= $1) AND ($2 IS NULL OR s.at < $2)
  )
  SELECT j.dimension, j.currency, sum(j.jobs)::bigint, sum(j.images)::bigint, sum(j.calls)::bigint, coalesce(trim_scale(sum(j.billed)), 0),
         sum(j.unknown_costs)::bigint, sum(j.refusals)::bigint, sum(j.retries)::bigint, coalesce(trim_scale(sum(j.wasted)), 0),
         CASE WHEN $4 THEN coalesce(trim_scale(sum(j.again)), 0) END,
         $5, CASE WHEN $5 IS NOT NULL THEN $6 END, trim_scale(sum(j.images) * $6 / 60 * $5),
         CASE WHEN j.currency = 'USD' THEN trim_scale(sum(j.images) * $6 / 60 * $5 - coalesce(sum(j.billed), 0)) END
    FROM (SELECT c.dimension, c.currency, max(c.calls) AS jobs, sum(c.images) AS images, sum(c.calls) AS calls, sum(c.billed_cost) AS billed,
                 count(*) FILTER (WHERE c.billed_cost IS NULL) AS unknown_costs, coalesce(sum(c.calls) FILTER (WHERE c.status = 'refused'), 0) AS refusals,
                 coalesce(sum(c.calls) FILTER (WHERE c.number > 1), 0) AS retries, sum(c.billed_cost) FILTER (WHERE c.status <> 'succeeded') AS wasted,
                 sum(c.again) AS again
            FROM calls c GROUP BY c.dimension, c.currency, c.job_id) j
   GROUP BY j.dimension, j.currency ORDER BY 6 DESC, 1;
END $$;
COMMENT ON FUNCTION image_gen.cost_report IS
'What the caller''s calls (all for administrators) cost from from_time until before to_time, one row for each value of the dimensions: campaign, ticket, shot, owner, batch, operation,
provider, model, status, error_code, cost_source; day, week, month, quarter, year in the session''s time zone; metadata:NAME. billed: as booked, and never changed by a price that is
corrected later; unknown_costs of the calls are not in it. Pruned jobs are counted too, with NULL as their shot, batch and metadata:NAME. wasted: billed for calls that made no picture. restated: restated_cost is what the price table of now says for then.
designer_rate (USD an hour): what designers would have cost at designer_minutes for a picture, and what was saved; 22.5 minutes is a launch of four shots in 90.';

CREATE TABLE image_gen.invoices (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider    text COLLATE "C" NOT NULL,
  period_from timestamptz NOT NULL,
  period_to   timestamptz NOT NULL CHECK (period_to > period_from),
  amount      numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
  currency    text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
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
  amount     numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),
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
  ELSIF $4 < 0 OR $4 >= 'Infinity' OR $6 IS NULL OR $6 !~ '^[A-Z]{3}$' THEN
    RAISE EXCEPTION 'amount % % is none', $4, $6 USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an amount from 0 up and a currency such as USD.';
  END IF;
  INSERT INTO image_gen.invoices AS i (provider, period_from, period_to, amount, currency, note, imported_by)
  VALUES ($1, $2, $3, coalesce($4, (SELECT coalesce(sum((l ->> 'amount')::numeric), 0) FROM jsonb_array_elements($5) l)), $6, $7, image_gen._caller())
  RETURNING i.id INTO invoice_id;
  INSERT INTO image_gen.invoice_lines (invoice_id, line, remote_id, amount)
  SELECT invoice_id, l.line, l.value ->> 'remote_id', (l.value ->> 'amount')::numeric FROM jsonb_array_elements($5) WITH ORDINALITY AS l(value, line);
  SELECT count(*) INTO matched FROM image_gen.invoice_lines l
   WHERE l.invoice_id = $8 AND EXISTS (SELECT FROM image_gen.attempts a WHERE a.remote_id = l.remote_id AND a.provider = $1);
  settled := 0;
  -- What nobody knew is known now. What is booked stays: the difference is shown.
  FOR one IN
    SELECT a.job_id, a.number, sum(l.amount) AS amount
      FROM image_gen.invoice_lines l JOIN image_gen.attempts a ON a.remote_id = l.remote_id AND a.provider = $1
     WHERE l.invoice_id = $8 AND a.billed_cost IS NULL AND a.status <> 'running' AND a.currency = $6
     GROUP BY 1, 2 ORDER BY 1, 2
  LOOP
    PERFORM image_gen._settle(one.job_id, one.number, one.amount);
    settled := settled + 1;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen.import_invoice IS
'Keeps what a provider says it charged from period_from until before period_to: a total, or lines with a request each ([{"remote_id": "…", "amount": 0.04}, …]), or both. Calls of
unknown cost that a line names get its amount; what is booked already is not changed. matched: lines whose request is known here. settled: calls whose cost was unknown until now.
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

SELECT pg_catalog.pg_extension_config_dump('image_gen.invoices', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoice_lines', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoices_id_seq', '');
