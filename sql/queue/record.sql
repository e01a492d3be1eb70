-- What the worker writes down of itself and of providers.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.record_breakers(rows jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.provider_breakers AS h (provider, model, state, since, failures, last_error_code, last_error_at)
  SELECT r.provider, r.model, r.state, to_timestamp(r.since / 1000.0), r.failures, r.last_error_code,
         to_timestamp(r.last_error_at / 1000.0)
    FROM jsonb_to_recordset(rows) AS r(provider text, model text, state text, since numeric, failures integer,
                                       last_error_code text, last_error_at numeric)
  ON CONFLICT (provider, model) DO UPDATE
     SET state = excluded.state, since = excluded.since, failures = excluded.failures,
         last_error_code = excluded.last_error_code, last_error_at = excluded.last_error_at;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_breakers(jsonb) IS 'What the worker wants to be seen in provider_health.';

CREATE FUNCTION image_gen_internal.record_account_balance(provider text, key_name text, amount numeric, credits numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.provider_balances AS b (provider, key_name, amount, credits, checked_at) VALUES ($1, coalesce($2, ''), $3, $4, clock_timestamp())
  ON CONFLICT ON CONSTRAINT provider_balances_pkey DO UPDATE SET amount = excluded.amount, credits = excluded.credits, checked_at = excluded.checked_at;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_account_balance(text, text, numeric, numeric) IS 'What the account at a provider has left that is behind a key.';

CREATE FUNCTION image_gen_internal.record_worker_state(configured text[], error text, in_flight_cap integer, cap_reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.worker_state w
     SET configured = coalesce($1, w.configured), last_error = CASE WHEN $2 IS NULL THEN w.last_error ELSE nullif($2, '') END,
         last_error_at = CASE WHEN $2 IS NULL THEN w.last_error_at WHEN $2 <> '' THEN clock_timestamp() END,
         in_flight_cap = coalesce($3, w.in_flight_cap), cap_reason = coalesce($4, w.cap_reason);
END $$;
COMMENT ON FUNCTION image_gen_internal.record_worker_state(text[], text, integer, text) IS 'What the worker wants to be seen in worker_status. error: an empty one ends what was shown before.';

SET LOCAL search_path = image_gen, pg_temp;
