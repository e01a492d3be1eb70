-- What the catalogue says beside what each process keeps of it (see snapshot.rs): prices of any day, and where pictures are.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Functions on the way of every job are PL/pgSQL even where SQL would do: it keeps their plans.
-- Not PL/pgSQL: this one becomes part of the queries that use it. (Its names are bound when it is created.)
CREATE FUNCTION image_gen._prices_on(model text, kind text, on_day date) RETURNS TABLE (price jsonb, origin text, id bigint)
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
COMMENT ON FUNCTION image_gen._prices_on(text, text, date) IS 'The prices of a model at a kind of provider that hold on a day; where two fit, the one that comes first by origin and id, the highest first.';

-- A workflow that cannot run is refused when it is written, not when a job depends on it.
CREATE FUNCTION image_gen._try_workflow() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._check_model(NEW.provider_kind, NEW.parameters::text, NEW.fixed::text);
  RETURN NEW;
END $$;
COMMENT ON FUNCTION image_gen._try_workflow() IS 'An error for a row of models whose workflow cannot run.';
CREATE TRIGGER try_workflow BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW
  WHEN (NEW.fixed ? 'workflow') EXECUTE FUNCTION image_gen._try_workflow();

-- Each process keeps a copy of the catalogue. What changes it says so: row by row, because the apply worker of logical replication
-- fires no statement triggers, and always, because it fires no others.
DO $$
DECLARE
  catalogue text;
BEGIN
  FOREACH catalogue IN ARRAY ARRAY['providers', 'models', 'prices', 'model_rules', 'ladder'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.%I FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed()', catalogue);
    EXECUTE pg_catalog.format('CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.%I EXECUTE FUNCTION image_gen._catalogue_changed()', catalogue);
    EXECUTE pg_catalog.format('ALTER TABLE image_gen.%I ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied', catalogue);
  END LOOP;
END $$;
-- Measured times change with every job and are no part of it: a session remembers them for a moment.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.timings EXECUTE FUNCTION image_gen._timings_changed();
-- Of the worker's state, which changes often, only which keys it has.
CREATE TRIGGER changed AFTER UPDATE ON image_gen.worker_state FOR EACH ROW
  WHEN (OLD.configured IS DISTINCT FROM NEW.configured) EXECUTE FUNCTION image_gen._catalogue_changed();
ALTER TABLE image_gen.worker_state ENABLE ALWAYS TRIGGER changed;

CREATE FUNCTION image_gen._place(reference text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  place jsonb;
BEGIN
  IF reference LIKE 'image-gen:sha256:%' THEN
    RETURN jsonb_build_object('stored', substr(reference, 18));
  ELSIF reference LIKE 'asset:%' OR reference LIKE 'job:%' THEN
    SELECT jsonb_strip_nulls(jsonb_build_object(
             'stored', (SELECT b.sha256 FROM image_gen.blobs b WHERE b.sha256 = a.sha256),
             'url', (SELECT u FROM unnest(ARRAY[a.mirror_url, a.url]) u WHERE u ~ '^https?://' LIMIT 1)))
      INTO place
      FROM image_gen.campaign_assets a
     WHERE CASE WHEN reference LIKE 'asset:%' THEN a.id = substr(reference, 7)::bigint
                ELSE a.job_id = substr(reference, 5) AND a.position = 1 END;
    RETURN coalesce(place, '{}');
  END IF;
  RETURN jsonb_build_object('url', reference);
END $$;
COMMENT ON FUNCTION image_gen._place(text) IS 'Where the bytes of a picture are that a job refers to: stored under a hash, at a URL, or both.';

SET LOCAL search_path = image_gen, pg_temp;
