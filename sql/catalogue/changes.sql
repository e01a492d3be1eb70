-- Sessions and the worker keep copies of the catalogue; triggers tell them when it changes.

SET LOCAL search_path = pg_catalog, pg_temp;

-- A workflow that cannot run is refused when it is written, not when a job depends on it.
CREATE FUNCTION image_gen_internal.check_workflow() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.check_model(NEW.provider_kind, NEW.parameters::text, NEW.fixed::text);
  RETURN NEW;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_workflow() IS 'An error for a row of models whose workflow cannot run.';
CREATE TRIGGER try_workflow BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW
  WHEN (NEW.fixed ? 'workflow') EXECUTE FUNCTION image_gen_internal.check_workflow();

-- Each process keeps a copy of the catalogue. What changes it says so: row by row, because the apply worker of logical replication
-- fires no statement triggers, and always, because it fires no others.
DO $$
DECLARE
  catalogue text;
BEGIN
  FOREACH catalogue IN ARRAY ARRAY['providers', 'models', 'prices', 'model_rules', 'refusal_steps', 'pauses'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.%I FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed()', catalogue);
    EXECUTE pg_catalog.format('CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.%I EXECUTE FUNCTION image_gen_internal.catalogue_changed()', catalogue);
    EXECUTE pg_catalog.format('ALTER TABLE image_gen.%I ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied', catalogue);
  END LOOP;
END $$;
-- Measured times change with every job and are no part of it: a session remembers them for a moment.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen_internal.render_estimates EXECUTE FUNCTION image_gen_internal.estimates_changed();
-- Of the worker's state, which changes often, only which keys it has.
CREATE TRIGGER changed AFTER UPDATE ON image_gen_internal.worker_state FOR EACH ROW
  WHEN (OLD.configured IS DISTINCT FROM NEW.configured) EXECUTE FUNCTION image_gen_internal.catalogue_changed();
ALTER TABLE image_gen_internal.worker_state ENABLE ALWAYS TRIGGER changed;

SET LOCAL search_path = image_gen, pg_temp;
