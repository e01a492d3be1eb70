-- A request on its way into the queue: checked, planned, written, in the caller's transaction.

CREATE FUNCTION image_gen._needs(checked jsonb, caller name) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  other record;
  needs text[] := '{}';
  sees_all boolean;
BEGIN
  FOR one IN
    SELECT i.role, checked -> 'request' ->> i.role AS reference
      FROM unnest('{image,mask,style_image,reference_image}'::text[]) AS i(role)
     WHERE checked -> 'request' ? i.role AND NOT checked -> 'kept' ? i.role
       AND checked -> 'request' ->> i.role !~ '^https?://'
  LOOP
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
COMMENT ON FUNCTION image_gen._needs(jsonb, name) IS 'The unfinished jobs whose pictures a request needs. An error for a picture that the caller may not see.';

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

CREATE TYPE image_gen._draft AS (job image_gen.jobs, provider text, needs text[], kept jsonb);
COMMENT ON TYPE image_gen._draft IS 'A job that could be queued: its row, who would be tried first, the jobs that it waits for, and which of its pictures came along.';

CREATE FUNCTION image_gen._draft(operation text, asked jsonb, asked_model text, preferences jsonb, max_cost numeric, allow_unpriced boolean)
RETURNS image_gen._draft
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  draft image_gen._draft;
  job image_gen.jobs;
  checked jsonb;
  admitted jsonb;
BEGIN
  IF max_cost < 0 OR max_cost >= 'Infinity' THEN  -- NaN sorts above infinity
    RAISE EXCEPTION 'max_cost is %', max_cost USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an amount in USD from 0 up, or leave it out.';
  ELSIF jsonb_typeof(asked -> 'options') <> 'object' THEN
    RAISE EXCEPTION 'options is not a JSON object' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example options => ''{"safety_tolerance": 2}''.';
  END IF;
  job.id := image_gen._new_job_id();
  job.owner := image_gen._caller();
  checked := image_gen._check(job.id, operation, asked::text);
  job.task := checked ->> 'task';
  job.priority := checked ->> 'priority';
  admitted := image_gen._admit(job.id, operation, checked ->> 'request', job.priority, asked_model, preferences::text, max_cost,
                               coalesce(allow_unpriced, false));
  draft.needs := image_gen._needs(checked, job.owner);
  draft.kept := checked -> 'kept';
  draft.provider := admitted ->> 'provider';
  job.operation := operation;
  job.prompt := checked #>> '{request,prompt}';
  job.seed := (checked #>> '{request,seed}')::bigint;
  job.parameters := (checked -> 'request') - 'prompt' - 'seed';
  job.model := admitted ->> 'model';
  job.provider := admitted ->> 'named_provider';
  job.preferences := nullif(admitted -> 'preferences', 'null');
  job.max_cost := max_cost;
  job.allow_unpriced := coalesce(allow_unpriced, false);
  job.estimated_seconds := trim_scale((admitted ->> 'estimated_seconds')::numeric);
  job.estimated_cost := (admitted ->> 'estimated_cost')::numeric;
  job.warnings := admitted -> 'warnings';
  job.status := 'queued';
  job.created_at := now();
  draft.job := job;
  RETURN draft;
END $$;
COMMENT ON FUNCTION image_gen._draft(text, jsonb, text, jsonb, numeric, boolean) IS 'Checks a request and plans it. Writes nothing.';

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

CREATE FUNCTION image_gen._submit(operation text, asked jsonb, asked_model text, metadata jsonb, preferences jsonb, idempotency_key text,
                                  deadline timestamptz, max_cost numeric, allow_unpriced boolean, batch text DEFAULT NULL)
RETURNS image_gen.jobs
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  draft image_gen._draft;
  job image_gen.jobs;
  hash bytea;
  held text;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'jobs cannot be queued on a standby' USING ERRCODE = 'read_only_sql_transaction', HINT = 'Call it on the primary.';
  END IF;
  metadata := coalesce(metadata, '{}');
  IF jsonb_typeof(metadata) <> 'object' THEN
    RAISE EXCEPTION 'metadata is not a JSON object' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example metadata => ''{"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}''.';
  ELSIF octet_length(metadata::text) > 65536 THEN
    RAISE EXCEPTION 'metadata is larger than 64 kB' USING ERRCODE = 'program_limit_exceeded',
      HINT = 'Store large data in a table of your own, under the job''s id.';
  ELSIF idempotency_key = '' OR length(idempotency_key) > 255 THEN
    RAISE EXCEPTION 'the idempotency key is empty or longer than 255 characters' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use the id of what the picture is for, such as a row''s key.';
  END IF;

  IF idempotency_key IS NOT NULL THEN
    -- Nothing in it may depend on the session: not the time zone, not how a number was written.
    hash := sha256(convert_to(jsonb_build_array(operation, asked, asked_model, metadata, preferences, extract(epoch FROM deadline)::text,
                                                trim_scale(max_cost)::text, coalesce(allow_unpriced, false))::text, 'UTF8'));
    job := image_gen._same_job(image_gen._caller(), idempotency_key, hash);
    IF job.id IS NOT NULL THEN
      RETURN job;
    END IF;
  END IF;
  -- After the look for the key: who repeats a call must get his job, however late.
  IF deadline <= clock_timestamp() THEN
    RAISE EXCEPTION 'the deadline % has passed', deadline USING ERRCODE = 'invalid_parameter_value',
      HINT = 'A job is not sent after its deadline: give a time in the future.';
  END IF;

  draft := image_gen._draft(operation, asked, asked_model, preferences, max_cost, allow_unpriced);
  IF current_setting('image_gen.max_queued_per_role') <> '0' THEN
    PERFORM image_gen._make_room((draft.job).owner, current_setting('image_gen.max_queued_per_role')::bigint);
  END IF;
  job := draft.job;
  job.metadata := metadata;
  job.idempotency_key := idempotency_key;
  job.request_hash := hash;
  job.deadline := nullif(deadline, 'infinity');
  job.batch := batch;
  held := image_gen._settle_in();
  IF held IS NOT NULL THEN
    job.warnings := job.warnings || jsonb_build_object('code', 'held', 'message',
      format('it waits: %s; an administrator must call image_gen.resume()', held));
  END IF;
  job.seq := image_gen._enqueue(job, draft.needs);
  IF job.seq IS NULL THEN
    -- Another session committed the same key between our look and our write.
    job := image_gen._same_job(job.owner, idempotency_key, hash);
    RETURN job;
  END IF;
  PERFORM image_gen._keep_input(job.id, k.value ->> 'sha256', k.value ->> 'content_type',
                                decode(split_part(asked ->> k.key, ';base64,', 2), 'base64'))
     FROM jsonb_each(draft.kept) k;
  IF batch IS NULL THEN
    -- A batch is held as a whole, when all of it is written.
    PERFORM image_gen._reserve(ARRAY[job.id], false);
  END IF;
  RETURN job;
END $$;
COMMENT ON FUNCTION image_gen._submit IS 'Checks a request, queues it in the caller''s transaction, and holds its estimate where a budget applies.';

CREATE FUNCTION image_gen._same_job(caller name, key text, hash bytea) RETURNS image_gen.jobs
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  job image_gen.jobs;
BEGIN
  SELECT j.* INTO job FROM image_gen.jobs j WHERE j.owner = caller AND j.idempotency_key = key;
  IF job.request_hash <> hash THEN
    RAISE EXCEPTION 'idempotency key "%" belongs to a job with other arguments', key
      USING ERRCODE = 'unique_violation', DETAIL = format('That job is %s.', job.id),
            HINT = 'Repeat the call with the same arguments, or use another key.';
  END IF;
  RETURN job;
END $$;
ALTER FUNCTION image_gen._same_job(name, text, bytea) VOLATILE;

CREATE TYPE image_gen.receipt AS (
  id text, status text, model text, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz, warnings jsonb);
COMMENT ON TYPE image_gen.receipt IS 'What queueing a job returns. Costs are in USD; NULL is unknown. warnings: [{"code", "message"}].';

CREATE FUNCTION image_gen._receipt(job image_gen.jobs) RETURNS image_gen.receipt
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (job.id, job.status, job.model, job.estimated_seconds, job.estimated_cost, job.created_at, job.warnings)::image_gen.receipt
$$;
COMMENT ON FUNCTION image_gen._receipt(image_gen.jobs) IS 'What the caller is told about his job.';

CREATE FUNCTION image_gen._finite(name text, number double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF number IN ('NaN', 'Infinity', '-Infinity') THEN  -- JSON has none of them
    RAISE EXCEPTION '% is %', name, number USING ERRCODE = 'invalid_parameter_value', HINT = 'Use a number.';
  END IF;
  RETURN number;
END $$;
COMMENT ON FUNCTION image_gen._finite(text, double precision) IS 'The number, or an error that names the argument.';

CREATE FUNCTION image_gen._asked(arguments jsonb, options jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(arguments) || CASE WHEN options IS NULL THEN '{}' ELSE jsonb_build_object('options', options) END
$$;
COMMENT ON FUNCTION image_gen._asked(jsonb, jsonb) IS 'The arguments that were given, as one object. (What is null in options stays.)';

