-- What a request on its way into the queue asks of the database; the rest of its way is in src/submit.rs.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen._needs(roles text[], picture_references text[], caller name) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  other record;
  needs text[] := '{}';
  sees_all boolean;
BEGIN
  FOR one IN SELECT i.role, i.reference FROM unnest(roles, picture_references) AS i(role, reference) LOOP
    sees_all := coalesce(sees_all, pg_has_role(caller, 'image_gen_admin', 'member'));
    IF one.reference LIKE 'job:%' THEN
      SELECT j.id, j.status, j.owner INTO other FROM image_gen.jobs j WHERE j.id = substr(one.reference, 5);
      IF other.id IS NULL OR NOT (other.owner = caller OR sees_all) THEN
        RAISE EXCEPTION '%: job "%" does not exist, or is not yours', one.role, substr(one.reference, 5) USING ERRCODE = 'undefined_object',
          HINT = 'SELECT * FROM image_gen.recent() lists your jobs. The picture of one that was pruned is asset:ID of campaign_assets.';
      ELSIF other.status IN ('failed', 'canceled') THEN
        RAISE EXCEPTION '%: job % ended as % and has no picture', one.role, other.id, other.status
          USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Name a job that succeeded or is still under way.';
      ELSIF other.status <> 'succeeded' THEN
        needs := needs || other.id;
      END IF;
    ELSIF NOT EXISTS (
      SELECT FROM image_gen.campaign_assets a
       WHERE CASE WHEN one.reference LIKE 'asset:%' THEN a.id = substr(one.reference, 7)::bigint
                  ELSE a.sha256 = substr(one.reference, 18) END
         AND (a.owner = caller OR sees_all))
    THEN
      RAISE EXCEPTION '%: "%" does not exist, or is not yours', one.role, one.reference USING ERRCODE = 'undefined_object',
        HINT = 'SELECT id, shot, url FROM image_gen.campaign_assets lists your pictures.';
    END IF;
  END LOOP;
  RETURN needs;
END $$;
COMMENT ON FUNCTION image_gen._needs(text[], text[], name) IS 'The unfinished jobs whose pictures a request needs. An error for a picture that the caller may not see.';

CREATE FUNCTION image_gen._named(operation text, arguments jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF operation IS NULL OR arguments IS NULL THEN
    RAISE EXCEPTION 'an operation and its arguments are needed' USING ERRCODE = 'null_value_not_allowed',
      HINT = 'Write for example (''generate'', ''{"prompt": "a cat"}'').';
  ELSIF operation NOT IN ('generate', 'edit', 'upscale', 'variate', 'transfer_style') THEN
    RAISE EXCEPTION 'operation ''%'' does not exist', operation USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use one of: generate, edit, upscale, variate, transfer_style.';
  ELSIF jsonb_typeof(arguments) <> 'object' THEN
    RAISE EXCEPTION 'arguments is not a JSON object' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example ''{"prompt": "a cat", "model": "flux-1.1-pro"}''.';
  END IF;
  -- The borders of an edit are called as in edit().
  RETURN (SELECT coalesce(jsonb_object_agg(regexp_replace(e.key, '^border_', ''), e.value), '{}')
            FROM jsonb_each(arguments - '{model,metadata,provider_preferences,idempotency_key,deadline,max_cost,allow_unpriced}'::text[]) e
           WHERE jsonb_typeof(e.value) <> 'null');
END $$;
COMMENT ON FUNCTION image_gen._named(text, jsonb) IS 'Of the arguments of an operation, by name, those that describe the picture.';

CREATE FUNCTION image_gen._make_room(caller name, most bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  open bigint := (SELECT count(*) FROM (SELECT FROM image_gen.queue q WHERE q.owner = caller LIMIT most) o);
BEGIN
  IF open >= most THEN
    RAISE EXCEPTION 'role "%" has % jobs queued or in flight, and may have no more', caller, open USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Wait until some have ended, cancel() some, or ask an administrator to raise image_gen.max_queued_per_role.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._make_room(name, bigint) IS 'An error for a role with too many jobs: image_gen.max_queued_per_role.';

CREATE TYPE image_gen.receipt AS (
  id text, status text, model text, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz, warnings jsonb);
COMMENT ON TYPE image_gen.receipt IS 'What queueing a job returns. Costs are in USD; NULL is unknown. warnings: [{"code", "message"}].';

SET LOCAL search_path = image_gen, pg_temp;
