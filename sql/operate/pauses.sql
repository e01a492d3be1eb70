-- Stopping without losing: what is paused waits in the queue.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.pause(provider text DEFAULT NULL, role text DEFAULT NULL, note text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  paused regrole;
  made bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(caller);
  IF pause.provider IS NOT NULL AND pause.role IS NOT NULL THEN
    RAISE EXCEPTION 'a provider or a role is paused, not both' USING ERRCODE = 'invalid_parameter_value', HINT = 'Call it once for each; blocked in provider_preferences of a role keeps that role from a provider.';
  ELSIF pause.provider IS NOT NULL AND NOT EXISTS (SELECT FROM image_gen.providers p WHERE p.id = pause.provider) THEN
    RAISE EXCEPTION 'there is no provider "%"', pause.provider USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM image_gen.providers lists them.';
  END IF;
  paused := CASE WHEN pause.role IS NOT NULL THEN image_gen_internal.role_oid(pause.role) END;
  INSERT INTO image_gen.pauses AS p (provider, role, note, paused_by) VALUES (pause.provider, paused, pause.note, image_gen_internal.role_name(caller))
  ON CONFLICT ON CONSTRAINT one_pause_each DO UPDATE SET note = coalesce(excluded.note, p.note)
  RETURNING p.id INTO made;
  RETURN made;
END $$;
COMMENT ON FUNCTION image_gen.pause(text, text, text) IS
'Stops new calls to a provider, for jobs of a role, or (both NULL) all, from COMMIT on until unpause(). Jobs are queued as before; those of a paused provider go to another where they may, else they wait, and no time
limit of an outage counts. What a provider has accepted already is followed to its end and paid. note: why, for image_gen.pauses. Returns its number. For administrators. Errors: 42704, 22023.';

CREATE FUNCTION image_gen.unpause(provider text DEFAULT NULL, role text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  paused regrole;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  -- Also one that was dropped, by its oid.
  paused := CASE WHEN unpause.role IS NOT NULL THEN image_gen_internal.role_oid(unpause.role, true) END;
  DELETE FROM image_gen.pauses p WHERE p.provider IS NOT DISTINCT FROM unpause.provider AND p.role IS NOT DISTINCT FROM paused;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- Those that were passed over are read again; those that were put off come within 15 s.
  PERFORM image_gen_internal.wake(1);
  RETURN true;
END $$;
COMMENT ON FUNCTION image_gen.unpause(text, text) IS
'Ends a pause() of the same arguments: what waited for it goes on within seconds; false when there was none. (resume() is another thing: it allows paid work in a copied database.) For administrators. Errors: 42704.';

SET LOCAL search_path = image_gen, pg_temp;
