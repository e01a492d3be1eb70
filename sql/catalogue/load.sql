-- The catalogue: providers, models and list prices as published, from the data file that is part of the library.
-- Run at CREATE EXTENSION and by every upgrade script: rows of an administrator (origin 'admin') are left alone.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.load_catalogue() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  shipped jsonb := image_gen_internal.shipped_catalogue();
BEGIN
  DELETE FROM image_gen.prices p WHERE p.origin = 'catalogue';
  DELETE FROM image_gen.models m WHERE m.origin = 'catalogue';
  -- A provider stays when it is no longer shipped: attempts and preferences name it.
  INSERT INTO image_gen.providers (id, kind, priority, max_in_flight, requests_per_minute, origin)
  SELECT p.id, p.id, p.priority, p.max_in_flight, p.requests_per_minute, 'catalogue'
    FROM jsonb_to_recordset(shipped -> 'provider') AS p(id text, priority integer, max_in_flight integer, requests_per_minute integer)
  ON CONFLICT (id) DO NOTHING;

  INSERT INTO image_gen.models
    (name, provider_kind, remote_name, api, aliases, operations, default_for, sizes, prompt_chars, max_n, parameters, fixed,
     typical_seconds, best_for, successor, ends_on, origin)
  SELECT m.name, m.kind, coalesce(m.remote_name, m.name), m.api, m.aliases, m.operations, m.default_for, m.sizes, m.prompt_chars,
         m.max_n, m.parameters, m.fixed, m.typical_seconds, m.best_for, m.successor, m.ends_on, 'catalogue'
    FROM jsonb_to_recordset(shipped -> 'model') AS m(
           name text, kind text, remote_name text, api text, aliases text[], operations text[], default_for text[], sizes jsonb,
           prompt_chars integer, max_n integer, parameters jsonb, fixed jsonb, typical_seconds numeric, best_for text,
           successor text, ends_on date)
  ON CONFLICT (name, provider_kind) DO NOTHING;

  INSERT INTO image_gen.prices (id, provider_kind, model, unit, quality, amount, source, origin) OVERRIDING SYSTEM VALUE
  SELECT -row_number() OVER (), m.kind, m.name, p.unit, p.quality, p.amount, p.source, 'catalogue'
    FROM jsonb_to_recordset(shipped -> 'model') AS m(name text, kind text, prices jsonb)
   CROSS JOIN jsonb_to_recordset(m.prices) AS p(unit text, quality text, amount numeric, source text);
END $$;
COMMENT ON FUNCTION image_gen_internal.load_catalogue() IS 'Puts the catalogue of this version in the place of the one before; rows of an administrator stay.';

SELECT image_gen_internal.load_catalogue();

SET LOCAL search_path = image_gen, pg_temp;
