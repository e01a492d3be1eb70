-- Which function is called once a job is over.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.on_finish(function regprocedure, filter jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  signature text := on_finish.function::text;
  owner oid;
  hook bigint;
  stranger text;
BEGIN
  PERFORM image_gen_internal.require_admin(caller);
  IF signature IS NULL OR filter IS NULL THEN
    RAISE EXCEPTION 'a function and a filter are needed' USING ERRCODE = 'null_value_not_allowed', HINT = 'Write for example (''cms.publish(jsonb)'', ''{"status": "succeeded"}'').';
  END IF;
  -- With its schema, whatever the search_path of this function shows without one.
  SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) INTO signature
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = on_finish.function;
  IF NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = on_finish.function AND p.pronargs = 1 AND p.proargtypes[0] = 'jsonb'::regtype) THEN
    RAISE EXCEPTION '% does not take one jsonb', signature USING ERRCODE = 'invalid_function_definition',
      HINT = 'It is called with {"job": ..., "assets": [...]}: declare it as (event jsonb).';
  END IF;
  SELECT format('%I.%I(jsonb)', n.nspname, p.proname) INTO signature
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = on_finish.function;
  SELECT c.owner INTO owner FROM image_gen_internal.resolve_callback(signature) c;
  IF NOT pg_has_role(caller, owner, 'MEMBER') THEN
    RAISE EXCEPTION '% runs as %, and % is no member of that role', signature, image_gen_internal.role_name(owner), image_gen_internal.role_name(caller) USING ERRCODE = 'insufficient_privilege',
      HINT = 'Let its owner, a member of its owner, or a superuser register it.';
  END IF;
  SELECT k INTO stranger FROM jsonb_object_keys(CASE jsonb_typeof(filter) WHEN 'object' THEN filter ELSE '{"?": 1}' END) k
   WHERE k NOT IN ('status', 'operation', 'model', 'owner', 'metadata') LIMIT 1;
  IF stranger IS NOT NULL THEN
    RAISE EXCEPTION 'filter is no object of status, operation, model, owner and metadata' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'For example {"status": "succeeded", "metadata": {"campaign": "spring"}}; {} is every job.';
  END IF;
  INSERT INTO image_gen.finish_hooks AS h (function, owner, filter, created_by)
  VALUES (signature, owner, filter, image_gen_internal.role_name(caller))
  ON CONFLICT ON CONSTRAINT finish_hooks_function_filter_key DO UPDATE SET owner = excluded.owner, created_by = excluded.created_by
  RETURNING h.id INTO hook;
  RETURN hook;
END $$;
COMMENT ON FUNCTION image_gen.on_finish(regprocedure, jsonb) IS
'Registers a function (event jsonb) that is called once for each job that ends from now on; returns the number of the registration. event: {"job": {id, status, operation, model, owner, metadata,
error_code, error_message, billed_cost, currency, cost_source, created_at, finished_at}, "assets": [{id, position, url, mirror_url, provider, model, seed, prompt, width, height, content_type,
byte_size, sha256, billed_cost, ...}]}. filter: only jobs that contain it ({"status", "operation", "model", "owner", "metadata"}). The function runs after the job is committed, in a
transaction of its own, as its owner (never a superuser), within image_gen.callback_timeout; what it writes and that it has run commit together. After an error it is called again, eight times
within some hours; view callbacks shows what is due and what failed. For administrators who are members of the function''s owner. Errors: 42501, 42883, 42P13, 22023.';

CREATE FUNCTION image_gen.drop_on_finish(id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  DELETE FROM image_gen_internal.callback_queue c WHERE c.hook = $1;
  DELETE FROM image_gen.finish_hooks h WHERE h.id = $1;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION image_gen.drop_on_finish(bigint) IS 'Ends a registration of on_finish(), with the calls that are due; false when there is none of this number. For administrators.';

CREATE FUNCTION image_gen.retry_callbacks(hook bigint DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  again integer;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  UPDATE image_gen_internal.callback_queue c SET failed = false, tries = 0, due_at = clock_timestamp()
   WHERE (retry_callbacks.hook IS NULL OR c.hook = retry_callbacks.hook) AND (c.failed OR c.tries > 0);
  GET DIAGNOSTICS again = ROW_COUNT;
  PERFORM image_gen_internal.tell_worker('callbacks');
  RETURN again;
END $$;
COMMENT ON FUNCTION image_gen.retry_callbacks(bigint) IS 'Calls the functions again that have failed: of one registration, or (NULL) of all. Returns how many calls. For administrators.';

CREATE VIEW image_gen.callbacks AS
SELECT c.id, c.hook, h.function, h.owner, c.job_id, c.status,
       CASE WHEN c.failed THEN 'failed' WHEN c.awaits_approval THEN 'awaits_approval' WHEN c.tries > 0 THEN 'again' ELSE 'due' END AS state, c.tries, c.due_at, c.last_error, c.created_at
  FROM image_gen_internal.callback_queue c LEFT JOIN image_gen.finish_hooks h ON h.id = c.hook;
COMMENT ON VIEW image_gen.callbacks IS
'Calls of functions registered with on_finish() that have not succeeded yet, and of those that write into attached tables: due, awaits_approval, again (after an
error, at due_at) or failed (given up; see retry_callbacks).';

SET LOCAL search_path = image_gen, pg_temp;
