-- What a provider billed beside what was booked.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.import_invoice(provider text, period_from timestamptz, period_to timestamptz, amount numeric DEFAULT NULL, lines jsonb DEFAULT NULL,
                                         currency text DEFAULT 'USD', note text DEFAULT NULL, OUT invoice_id bigint, OUT matched bigint, OUT settled bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  one record;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
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
  PERFORM image_gen_internal.check_amount('amount', $4, 'Give an amount from 0 up and a currency such as USD.');
  PERFORM image_gen_internal.check_amount('the sum of the lines', (SELECT sum(image_gen_internal.check_amount('the amount of a line', (l ->> 'amount')::numeric, 'Give amounts from 0 up.'))
                                                        FROM jsonb_array_elements($5) l), 'Give amounts from 0 up.');
  INSERT INTO image_gen.invoices AS i (provider, period_from, period_to, amount, currency, note, imported_by)
  VALUES ($1, $2, $3, coalesce($4, (SELECT coalesce(sum((l ->> 'amount')::numeric), 0) FROM jsonb_array_elements($5) l)), $6, $7, image_gen_internal.role_name(image_gen_internal.caller()))
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
     GROUP BY a.id HAVING image_gen_internal.is_plausible_cost(a, sum(l.amount), 100) ORDER BY 1, 2
  LOOP
    PERFORM image_gen_internal.record_cost(one.job_id, one.number, one.amount, 'invoice', 'invoice ' || invoice_id, false);
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
                             UNION ALL SELECT o.provider, o.first_call, o.currency, o.billed_cost, o.status FROM image_gen_internal.spending_archive o) a
                      WHERE a.provider = i.provider AND a.created_at >= i.period_from AND a.created_at < i.period_to AND a.currency = i.currency) b ON true
UNION ALL
SELECT i.id, i.provider, i.period_from, i.period_to, l.remote_id, a.job_id, a.number, CASE WHEN a.id IS NOT NULL THEN 'differs'
            WHEN EXISTS (SELECT FROM image_gen_internal.spending_archive o WHERE o.provider = i.provider AND o.first_call >= i.period_from AND o.first_call < i.period_to) THEN 'not ours, or pruned'
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

SET LOCAL search_path = image_gen, pg_temp;
