-- The catalogue: providers, models and list prices as published, from the data file that is part of the library, or from a newer one that
-- was imported. Loaded at CREATE EXTENSION and by every upgrade script: rows of an administrator (origin 'admin') are left alone.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen_internal.catalogue_imports (
  published   date NOT NULL,
  catalogue   jsonb NOT NULL,
  pinned      boolean NOT NULL DEFAULT false,
  note        text,
  imported_by name NOT NULL,
  imported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen_internal.catalogue_imports IS 'The catalogue that was imported last: at most one row. It holds while it is not older than the one that comes with the library.';
COMMENT ON COLUMN image_gen_internal.catalogue_imports.published IS 'Its day.';
COMMENT ON COLUMN image_gen_internal.catalogue_imports.catalogue IS 'The file.';
COMMENT ON COLUMN image_gen_internal.catalogue_imports.pinned IS 'It holds although it is older than the one that comes with the library.';
COMMENT ON COLUMN image_gen_internal.catalogue_imports.note IS 'What import_catalogue() was told.';
COMMENT ON COLUMN image_gen_internal.catalogue_imports.imported_by IS 'The role that imported it.';
COMMENT ON COLUMN image_gen_internal.catalogue_imports.imported_at IS 'When.';

CREATE FUNCTION image_gen_internal.current_catalogue(OUT catalogue jsonb, OUT published date, OUT source text, OUT installed_by name, OUT installed_at timestamptz, OUT note text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  shipped jsonb := image_gen_internal.shipped_catalogue();
BEGIN
  SELECT i.catalogue, i.published, 'imported', i.imported_by, i.imported_at, i.note INTO catalogue, published, source, installed_by, installed_at, note
    FROM image_gen_internal.catalogue_imports i WHERE i.pinned OR i.published >= (shipped ->> 'published')::date ORDER BY i.imported_at DESC LIMIT 1;
  IF catalogue IS NULL THEN
    SELECT shipped, (shipped ->> 'published')::date, 'shipped' INTO catalogue, published, source;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.current_catalogue() IS 'The catalogue that holds: the imported one, unless the one that comes with the library is newer.';

CREATE FUNCTION image_gen_internal.load_catalogue() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  file jsonb := (SELECT c.catalogue FROM image_gen_internal.current_catalogue() c);
BEGIN
  DELETE FROM image_gen.prices p WHERE p.origin = 'catalogue';
  DELETE FROM image_gen.models m WHERE m.origin = 'catalogue';
  -- A provider stays when it is no longer in the file: attempts and preferences name it.
  DELETE FROM image_gen.providers o USING jsonb_to_recordset(file -> 'provider') AS p(id text, priority integer, max_in_flight integer, requests_per_minute integer)
   WHERE o.id = p.id AND o.origin = 'catalogue' AND (o.priority, o.max_in_flight, o.requests_per_minute) IS DISTINCT FROM (p.priority, p.max_in_flight, p.requests_per_minute);
  INSERT INTO image_gen.providers (id, kind, priority, max_in_flight, requests_per_minute, origin)
  SELECT p.id, p.id, p.priority, p.max_in_flight, p.requests_per_minute, 'catalogue'
    FROM jsonb_to_recordset(file -> 'provider') AS p(id text, priority integer, max_in_flight integer, requests_per_minute integer)
  ON CONFLICT (id) DO NOTHING;

  INSERT INTO image_gen.models
    (name, provider_kind, remote_name, api, aliases, operations, default_for, sizes, prompt_chars, max_n, parameters, fixed,
     typical_seconds, best_for, successor, ends_on, origin)
  SELECT m.name, m.kind, coalesce(m.remote_name, m.name), m.api, m.aliases, m.operations, m.default_for, m.sizes, m.prompt_chars,
         m.max_n, m.parameters, m.fixed, m.typical_seconds, m.best_for, m.successor, m.ends_on, 'catalogue'
    FROM jsonb_to_recordset(file -> 'model') AS m(
           name text, kind text, remote_name text, api text, aliases text[], operations text[], default_for text[], sizes jsonb,
           prompt_chars integer, max_n integer, parameters jsonb, fixed jsonb, typical_seconds numeric, best_for text,
           successor text, ends_on date)
  ON CONFLICT (name, provider_kind) DO NOTHING;

  INSERT INTO image_gen.prices (id, provider_kind, model, unit, quality, amount, source, origin) OVERRIDING SYSTEM VALUE
  SELECT -row_number() OVER (), m.kind, m.name, p.unit, p.quality, p.amount, p.source, 'catalogue'
    FROM jsonb_to_recordset(file -> 'model') AS m(name text, kind text, prices jsonb)
   CROSS JOIN jsonb_to_recordset(m.prices) AS p(unit text, quality text, amount numeric, source text);
END $$;
COMMENT ON FUNCTION image_gen_internal.load_catalogue() IS 'Puts the catalogue that holds now in the place of the one before; rows of an administrator stay.';

SELECT image_gen_internal.load_catalogue();

-- A restored dump brings what was imported, and the rows that come of it are made again.
CREATE FUNCTION image_gen_internal.on_catalogue_import() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  faults text[] := image_gen_internal.check_catalogue(NEW.catalogue);
BEGIN
  IF faults = '{}' THEN
    PERFORM image_gen_internal.load_catalogue();
  ELSE
    DELETE FROM image_gen_internal.catalogue_imports i WHERE i.imported_at = NEW.imported_at;
    RAISE WARNING 'the imported catalogue of % is not used: %', NEW.published, faults[1] USING HINT = 'Import one for this version with image_gen.import_catalogue().';
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_catalogue_import() IS 'Loads a catalogue that was imported or restored, where this version can read it.';
CREATE TRIGGER load AFTER INSERT ON image_gen_internal.catalogue_imports FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_catalogue_import();
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.catalogue_imports', '');

SET LOCAL search_path = image_gen, pg_temp;
