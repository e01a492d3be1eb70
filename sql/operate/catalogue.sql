-- The catalogue moves faster than releases: a newer one is a file that is imported.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TYPE image_gen_internal.catalogue_line AS (kind text, name text, field text, value text);
COMMENT ON TYPE image_gen_internal.catalogue_line IS 'A fact of the catalogue. field: NULL is that there is such a model, or (name NULL) such a provider.';

CREATE FUNCTION image_gen_internal.catalogue_lines() RETURNS SETOF image_gen_internal.catalogue_line
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT p.id COLLATE "default", NULL::text, f.key, f.value
    FROM image_gen.providers p CROSS JOIN LATERAL (SELECT e.key, e.value FROM jsonb_each_text(to_jsonb(p)) e WHERE e.key IN ('priority', 'max_in_flight', 'requests_per_minute') UNION ALL SELECT NULL, NULL) AS f(key, value)
   WHERE p.origin = 'catalogue'
  UNION ALL
  SELECT m.provider_kind, m.name COLLATE "default", f.key, f.value
    FROM image_gen.models m
   CROSS JOIN LATERAL (SELECT e.key, e.value FROM jsonb_each_text(to_jsonb(m)) e WHERE e.key NOT IN ('name', 'provider_kind', 'provider', 'origin') UNION ALL SELECT NULL, NULL) AS f(key, value)
   WHERE m.origin = 'catalogue'
  UNION ALL
  SELECT r.provider_kind, r.model COLLATE "default", concat_ws(' ', 'price of', r.unit, r.quality), trim_scale(r.amount::numeric)::text || ' ' || r.currency
    FROM image_gen.prices r WHERE r.origin = 'catalogue';
END $$;
COMMENT ON FUNCTION image_gen_internal.catalogue_lines() IS 'All that the catalogue''s own rows say, one fact a line.';

CREATE FUNCTION image_gen_internal.catalogue_changes(before image_gen_internal.catalogue_line[]) RETURNS TABLE (change text, kind text, name text, field text, before_value text, after_value text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH b AS (SELECT DISTINCT ON (u.kind, u.name, u.field) u.kind, u.name, u.field, u.value FROM unnest(catalogue_changes.before) u ORDER BY u.kind, u.name, u.field, u.value),
       a AS (SELECT DISTINCT ON (l.kind, l.name, l.field) l.kind, l.name, l.field, l.value FROM image_gen_internal.catalogue_lines() l ORDER BY l.kind, l.name, l.field, l.value),
       whole AS (SELECT coalesce(a.kind, b.kind) AS kind, coalesce(a.name, b.name) AS name, b.kind IS NULL AS added, a.kind IS NULL AS removed
                   FROM (SELECT a.kind, a.name FROM a WHERE a.field IS NULL) a FULL JOIN (SELECT b.kind, b.name FROM b WHERE b.field IS NULL) b ON a.kind = b.kind AND coalesce(a.name, '') = coalesce(b.name, ''))
  SELECT CASE WHEN w.added THEN 'added' ELSE 'removed' END, w.kind, w.name, NULL::text, NULL::text, NULL::text FROM whole w WHERE w.added OR w.removed
  UNION ALL
  SELECT 'changed', coalesce(a.kind, b.kind), coalesce(a.name, b.name), coalesce(a.field, b.field), b.value, a.value
    FROM (SELECT a.* FROM a WHERE a.field IS NOT NULL) a FULL JOIN (SELECT b.* FROM b WHERE b.field IS NOT NULL) b ON a.kind = b.kind AND coalesce(a.name, '') = coalesce(b.name, '') AND a.field = b.field
   WHERE a.value IS DISTINCT FROM b.value
     AND NOT EXISTS (SELECT FROM whole w WHERE (w.added OR w.removed) AND w.kind = coalesce(a.kind, b.kind) AND coalesce(w.name, '') = coalesce(a.name, b.name, ''))
  ORDER BY 2, 3 NULLS FIRST, 1, 4;
END $$;
COMMENT ON FUNCTION image_gen_internal.catalogue_changes(image_gen_internal.catalogue_line[]) IS 'What the catalogue''s rows say otherwise than before.';

CREATE FUNCTION image_gen.shipped_catalogue() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN image_gen_internal.shipped_catalogue();
END $$;
COMMENT ON FUNCTION image_gen.shipped_catalogue() IS
'The catalogue that comes with this version of the library, as the file that import_catalogue() takes: {"format", "published", "provider": [...], "model": [...]}. For administrators.';

CREATE FUNCTION image_gen.import_catalogue(catalogue jsonb, dry_run boolean DEFAULT false, allow_older boolean DEFAULT false, note text DEFAULT NULL)
RETURNS TABLE (change text, kind text, name text, field text, before text, after text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  faults text[];
  present record;
  day date;
  lines image_gen_internal.catalogue_line[];
  changes jsonb;
BEGIN
  PERFORM image_gen_internal.require_admin(caller);
  IF import_catalogue.catalogue IS NULL THEN
    RAISE EXCEPTION 'there is no catalogue' USING ERRCODE = 'null_value_not_allowed', HINT = 'Give the file, for instance of pg_read_file(); image_gen.shipped_catalogue() is the one of this version.';
  ELSIF pg_column_size(import_catalogue.catalogue) > 16777216 THEN
    RAISE EXCEPTION 'the catalogue has % bytes', pg_column_size(import_catalogue.catalogue) USING ERRCODE = 'program_limit_exceeded', HINT = 'At most 16 MB are taken: is this the right file?';
  END IF;
  faults := image_gen_internal.check_catalogue(import_catalogue.catalogue);
  IF faults <> '{}' THEN
    RAISE EXCEPTION 'the catalogue cannot be used: %', faults[1] USING ERRCODE = 'invalid_parameter_value', DETAIL = array_to_string(faults, E'\n'),
      HINT = 'Nothing of it was taken. A catalogue is made for a version of image_gen: see the release notes for one that this version reads.';
  END IF;
  -- One after the other.
  LOCK TABLE image_gen_internal.catalogue_imports IN SHARE ROW EXCLUSIVE MODE;
  day := (import_catalogue.catalogue ->> 'published')::date;
  SELECT c.published, c.source INTO present FROM image_gen_internal.current_catalogue() c;
  IF day < present.published AND NOT coalesce(allow_older, false) THEN
    RAISE EXCEPTION 'the catalogue is of %, and the present one of %', day, present.published USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'allow_older => true goes back to it.';
  END IF;
  lines := ARRAY(SELECT l FROM image_gen_internal.catalogue_lines() l);
  BEGIN
    DELETE FROM image_gen_internal.catalogue_imports i WHERE true;
    IF import_catalogue.catalogue = image_gen_internal.shipped_catalogue() THEN
      PERFORM image_gen_internal.load_catalogue();
    ELSE
      INSERT INTO image_gen_internal.catalogue_imports (published, catalogue, pinned, note, imported_by)
      VALUES (day, import_catalogue.catalogue, day < (image_gen_internal.shipped_catalogue() ->> 'published')::date, import_catalogue.note, image_gen_internal.role_name(caller));
    END IF;
    SELECT jsonb_agg(c ORDER BY c.kind, c.name NULLS FIRST, c.change, c.field) INTO changes FROM image_gen_internal.catalogue_changes(lines) c;
    IF coalesce(dry_run, false) THEN
      RAISE EXCEPTION USING ERRCODE = 'IGDRY';
    END IF;
  EXCEPTION WHEN SQLSTATE 'IGDRY' THEN
    NULL;  -- as if it had not been
  END;
  RETURN QUERY
  SELECT c.change, c.kind, c.name, c.field, c.before_value, c.after_value
    FROM jsonb_to_recordset(coalesce(changes, '[]')) AS c(change text, kind text, name text, field text, before_value text, after_value text)
  UNION ALL
  SELECT 'kept', m.provider_kind, m.name COLLATE "default", NULL, NULL, NULL
    FROM image_gen.models m JOIN jsonb_to_recordset(import_catalogue.catalogue -> 'model') AS f(name text, kind text) ON f.name = m.name AND f.kind = m.provider_kind WHERE m.origin = 'admin'
  UNION ALL
  SELECT 'kept', p.id COLLATE "default", NULL, NULL, NULL, NULL
    FROM image_gen.providers p JOIN jsonb_to_recordset(import_catalogue.catalogue -> 'provider') AS f(id text) ON f.id = p.id WHERE p.origin = 'admin';
END $$;
COMMENT ON FUNCTION image_gen.import_catalogue(jsonb, boolean, boolean, text) IS
'Puts a newer catalogue (providers, models, list prices: a release artefact of its own, image_gen-catalogue-DAY.json) in the place of the present one, all of it or nothing, and returns what that changes: change is added, removed,
changed (field, before, after) or kept (a row of an administrator''s own, which is left as it is and comes before the file''s). name is NULL where it is about a provider. dry_run: says so and changes nothing. It is checked
whole first, by the types that read the one of the library. allow_older: also one of an earlier day. An upgrade with a newer catalogue takes its place; a dump has it. For administrators. Errors: 22023 (what is wrong with it, all
of it in the DETAIL), 22004, 54000, 55000 (older).';

CREATE FUNCTION image_gen.catalogue_status(OUT published date, OUT age_days integer, OUT source text, OUT installed_at timestamptz, OUT installed_by text, OUT note text,
                                           OUT providers bigint, OUT models bigint, OUT own_rows bigint, OUT ending jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT c.published, current_date - c.published, c.source, c.installed_at, c.installed_by::text, c.note INTO published, age_days, source, installed_at, installed_by, note FROM image_gen_internal.current_catalogue() c;
  SELECT count(*) INTO providers FROM image_gen.providers p;
  SELECT count(*) INTO models FROM image_gen.models m WHERE m.successor IS NULL;
  own_rows := (SELECT count(*) FROM image_gen.models m WHERE m.origin = 'admin') + (SELECT count(*) FROM image_gen.providers p WHERE p.origin = 'admin') + (SELECT count(*) FROM image_gen.prices r WHERE r.origin = 'admin');
  SELECT coalesce(jsonb_agg(jsonb_build_object('provider', u.provider, 'model', u.model, 'ends_on', m.ends_on, 'successor', m.successor, 'why', u.why) ORDER BY m.ends_on, u.provider, u.model), '[]') INTO ending
    FROM image_gen_internal.models_in_use() u JOIN image_gen.providers p ON p.id = u.provider
    JOIN image_gen.models m ON m.name = u.model AND m.provider_kind = p.kind AND (m.successor IS NOT NULL OR m.ends_on <= current_date + 60);
END $$;
COMMENT ON FUNCTION image_gen.catalogue_status() IS
'How old the catalogue is, where it is from (shipped with the library, or imported), how many providers, models in use and rows of an administrator''s own there are; and ending: models that are used here
(called within 30 days, or named by a setting, a style, an attached table or a step after a refusal) and are retired or end within 60 days: [{"provider", "model", "ends_on", "successor", "why"}]. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
