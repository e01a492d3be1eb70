-- What users call, and what they read.

CREATE TYPE image_gen._target AS (provider text, model text, warning jsonb);
COMMENT ON TYPE image_gen._target IS 'What a model''s name stands for.';

CREATE FUNCTION image_gen._resolve_model(asked text, OUT provider text, OUT model text, OUT warning jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  wanted text := lower(btrim(asked));
  kind text;
  entry image_gen.models;
BEGIN
  -- provider:model names both; owner/name:version of a community model is no provider's id.
  SELECT p.id, p.kind INTO provider, kind FROM image_gen.providers p
   WHERE p.id = split_part(wanted, ':', 1) AND strpos(wanted, ':') > 0;
  model := CASE WHEN provider IS NULL THEN wanted ELSE substr(wanted, strpos(wanted, ':') + 1) END;
  -- A successor can itself be retired by now; a circle of them ends after eight.
  FOR step IN 1..8 LOOP
    -- The name itself, by the index; else every alias is looked at.
    SELECT m.* INTO entry FROM image_gen.models m
     WHERE m.name = model AND m.name <> '*' AND (kind IS NULL OR m.provider_kind = kind)
     ORDER BY m.successor IS NULL DESC, m.provider_kind LIMIT 1;
    IF NOT FOUND THEN
      SELECT m.* INTO entry FROM image_gen.models m
       WHERE (m.name = model OR model = ANY (lower(m.aliases::text)::text[])) AND m.name <> '*'
         -- What a provider calls its own wins, but another provider's name for it is understood too.
       ORDER BY (m.provider_kind = kind) IS TRUE DESC, m.name = model DESC, m.successor IS NULL DESC, m.name, m.provider_kind
       LIMIT 1;
    END IF;
    EXIT WHEN entry.name IS NULL;
    model := entry.name;
    EXIT WHEN entry.successor IS NULL;
    model := entry.successor;
    warning := coalesce(warning, jsonb_build_object('code', 'successor', 'message',
                 format('%s is retired%s: %s is used instead', entry.name,
                        coalesce(' (' || to_char(entry.ends_on, 'YYYY-MM-DD') || ')', ''), entry.successor)));
  END LOOP;
  IF entry.name IS NULL AND EXISTS (SELECT FROM image_gen.models m WHERE m.name = '*' AND m.provider_kind = kind) THEN
    RETURN;  -- a provider with more models than a catalogue can list
  ELSIF entry.name IS NULL OR entry.successor IS NOT NULL THEN
    RAISE EXCEPTION 'model "%" does not exist', asked
      USING ERRCODE = 'undefined_object',
            HINT = format('%simage_gen.models lists all, with their aliases; replicate:owner/name, fal:… and openrouter:… reach models that have no row.',
                     (SELECT coalesce('Near it: ' || string_agg(n.name, ', ') || '. ', '')
                        FROM (SELECT DISTINCT m.name FROM image_gen.models m
                               WHERE m.successor IS NULL AND m.name <> '*' AND left(m.name, 3) = left(model, 3) ORDER BY 1 LIMIT 8) n));
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._resolve_model(text) IS 'A name, alias or provider:model → the model of the catalogue that is used, and a warning where that is a successor.';

CREATE FUNCTION image_gen._usual_model(operation text, checked jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What serves a priority, and who is the same character again, is each provider's own to say.
  IF operation <> 'generate' OR checked ->> 'priority' IS NOT NULL OR checked ->> 'task' <> 'generate' OR image_gen._default_model() = '' THEN
    RETURN NULL;
  END IF;
  RETURN (image_gen._resolve_model(image_gen._default_model())).model;
END $$;
COMMENT ON FUNCTION image_gen._usual_model(text, jsonb) IS 'The model whose providers come first where the caller leaves the choice open: image_gen.default_model.';

CREATE FUNCTION image_gen._target_for(operation text, checked jsonb, asked_model text) RETURNS image_gen._target
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target image_gen._target;
  chosen text := asked_model;
BEGIN
  IF chosen IS NULL AND operation = 'generate' AND checked ->> 'priority' IS NULL AND checked ->> 'task' = 'generate' THEN
    -- What the request says about itself decides before the usual model does.
    IF image_gen.needs_text(checked #>> '{request,prompt}') OR checked #>> '{request,quality}' = 'draft' THEN
      SELECT c.model INTO chosen
        FROM image_gen.choose_model(needs_text => image_gen.needs_text(checked #>> '{request,prompt}'),
                                    draft => checked #>> '{request,quality}' = 'draft') c
       WHERE c.configured;
    END IF;
  END IF;
  IF chosen IS NOT NULL THEN
    target := image_gen._resolve_model(chosen);
  ELSIF strpos(image_gen._default_model(), ':') > 0 AND image_gen._usual_model(operation, checked) IS NOT NULL THEN
    -- A setting that names the provider too means it.
    target := image_gen._resolve_model(image_gen._default_model());
    IF target.provider IS NULL THEN
      RETURN NULL;
    END IF;
  END IF;
  RETURN target;
END $$;
COMMENT ON FUNCTION image_gen._target_for(text, jsonb, text) IS 'The model of a request: the caller''s, else the one that its words ask for; NULL leaves it to the route.';

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
          HINT = 'SELECT * FROM image_gen.recent() lists your jobs.';
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

CREATE FUNCTION image_gen._submit(operation text, asked jsonb, asked_model text, metadata jsonb, preferences jsonb,
                                  idempotency_key text, deadline timestamptz, max_cost numeric)
RETURNS image_gen.jobs
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  job image_gen.jobs;
  target image_gen._target;
  checked jsonb;
  plan jsonb;
  known text[];
  needs text[];
  hash bytea;
BEGIN
  metadata := coalesce(metadata, '{}');
  IF jsonb_typeof(metadata) <> 'object' THEN
    RAISE EXCEPTION 'metadata is not a JSON object' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example metadata => ''{"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}''.';
  ELSIF octet_length(metadata::text) > 65536 THEN
    RAISE EXCEPTION 'metadata is larger than 64 kB' USING ERRCODE = 'program_limit_exceeded',
      HINT = 'Store large data in a table of your own, under the job''s id.';
  ELSIF max_cost < 0 OR max_cost >= 'Infinity' THEN  -- NaN sorts above infinity
    RAISE EXCEPTION 'max_cost is %', max_cost USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an amount in USD from 0 up, or leave it out.';
  ELSIF jsonb_typeof(asked -> 'options') <> 'object' THEN
    RAISE EXCEPTION 'options is not a JSON object' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example options => ''{"safety_tolerance": 2}''.';
  ELSIF idempotency_key = '' OR length(idempotency_key) > 255 THEN
    RAISE EXCEPTION 'the idempotency key is empty or longer than 255 characters' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use the id of what the picture is for, such as a row''s key.';
  END IF;

  IF idempotency_key IS NOT NULL THEN
    -- Nothing in it may depend on the session: not the time zone, not how a number was written.
    hash := sha256(convert_to(jsonb_build_array(operation, asked, asked_model, metadata, preferences,
                                                extract(epoch FROM deadline)::text, trim_scale(max_cost)::text)::text, 'UTF8'));
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

  job.id := image_gen._new_job_id();
  job.owner := image_gen._caller();
  checked := image_gen._check(job.id, operation, asked::text);
  job.task := checked ->> 'task';
  job.priority := checked ->> 'priority';
  target := image_gen._target_for(operation, checked, asked_model);
  known := (SELECT array_agg(p.id ORDER BY p.id) FROM image_gen.providers p);
  preferences := image_gen._preferences(preferences::text, known);
  plan := image_gen._plan(job.id, operation, checked ->> 'request', target.provider, target.model,
                          image_gen._candidates(CASE WHEN target.model IS NULL THEN job.task END,
                                                coalesce(target.model, image_gen._usual_model(operation, checked)), target.provider)::text,
                          preferences::text, known, max_cost, (SELECT w.configured FROM image_gen.worker_state w), job.priority);
  PERFORM image_gen._keep(k.value ->> 'sha256', k.value ->> 'content_type',
                          decode(split_part(asked ->> k.key, ';base64,', 2), 'base64'))
     FROM jsonb_each(checked -> 'kept') k;
  needs := image_gen._needs(checked, job.owner);
  job.operation := operation;
  job.prompt := checked #>> '{request,prompt}';
  job.seed := (checked #>> '{request,seed}')::bigint;
  job.parameters := (checked -> 'request') - 'prompt' - 'seed';
  job.model := plan ->> 'model';
  job.provider := target.provider;
  job.metadata := metadata;
  job.preferences := preferences;
  job.idempotency_key := idempotency_key;
  job.request_hash := hash;
  job.deadline := nullif(deadline, 'infinity');
  job.max_cost := max_cost;
  job.estimated_seconds := trim_scale((plan ->> 'estimated_seconds')::numeric);
  job.estimated_cost := (plan ->> 'estimated_cost')::numeric;
  job.warnings := CASE WHEN target.warning IS NULL THEN '[]' ELSE jsonb_build_array(target.warning) END
                  || (plan -> 'warnings');
  job.status := 'queued';
  job.created_at := now();
  job.seq := image_gen._enqueue(job, needs);
  IF job.seq IS NULL THEN
    -- Another session committed the same key between our look and our write.
    job := image_gen._same_job(job.owner, idempotency_key, hash);
  END IF;
  RETURN job;
END $$;
COMMENT ON FUNCTION image_gen._submit(text, jsonb, text, jsonb, jsonb, text, timestamptz, numeric) IS 'Checks a request and queues it in the caller''s transaction.';

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

CREATE FUNCTION image_gen.generate(
  prompt text, model text DEFAULT NULL, negative_prompt text DEFAULT NULL, width integer DEFAULT NULL,
  height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL, seed bigint DEFAULT NULL,
  guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL,
  quality text DEFAULT NULL, reference_image text DEFAULT NULL, consistency_mode text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN image_gen._receipt(image_gen._submit('generate',
    image_gen._asked(jsonb_build_object(
      'prompt', $1, 'negative_prompt', $3, 'width', $4, 'height', $5, 'aspect_ratio', $6, 'seed', $7,
      'guidance', image_gen._finite('guidance', $8), 'steps', $9, 'n', $10, 'quality', $11,
      'reference_image', $12, 'consistency_mode', $13, 'priority', $17), $16),
    $2, $14, $15, $18, $19, $20));
END $$;
COMMENT ON FUNCTION image_gen.generate IS
'Queues new pictures from a prompt, in the caller''s transaction, and returns at once. Nothing is sent before COMMIT.
prompt: what should be in the picture. model: a name or alias of image_gen.models, or provider:model, which nobody stands in for. NULL: a model that writes legibly where the prompt
quotes more than one word, a fast one for quality => ''draft'', what serves the priority best, else image_gen.default_model.
width, height: pixels, both or none. aspect_ratio: W:H, where no size is given. seed: 0 to 2147483647, chosen and recorded when NULL.
guidance, steps, quality, negative_prompt: sent where the model has them, else a warning. n: 1 to 10 pictures.
metadata: a JSON object of the caller''s own, never sent; campaign, shot and ticket become columns of the asset.
provider_preferences: {"preferred": [], "only": false, "weights": {}, "blocked": []}, merged with the setting image_gen.provider_preferences.
priority: quality, control, speed, variety, cost or privacy (own back ends only). options: parameters of one provider, by name.
idempotency_key: the same key returns the same job. deadline: not sent after it. max_cost: USD; refused when the estimate is higher.
Errors: 22023 bad argument, 42704 unknown model or provider, 0A000 not supported, 53400 max_cost exceeded, 23505 key with other arguments.';

CREATE FUNCTION image_gen.edit(
  image text, prompt text DEFAULT NULL, mask text DEFAULT NULL, mode text DEFAULT NULL, strength double precision DEFAULT NULL,
  border_top integer DEFAULT NULL, border_right integer DEFAULT NULL, border_bottom integer DEFAULT NULL,
  border_left integer DEFAULT NULL, model text DEFAULT NULL, negative_prompt text DEFAULT NULL, width integer DEFAULT NULL,
  height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL, seed bigint DEFAULT NULL,
  guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL, quality text DEFAULT NULL,
  reference_image text DEFAULT NULL, consistency_mode text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN image_gen._receipt(image_gen._submit('edit',
    image_gen._asked(jsonb_build_object(
      'image', $1, 'prompt', $2, 'mask', $3, 'mode', $4, 'strength', image_gen._finite('strength', $5), 'top', $6, 'right', $7,
      'bottom', $8, 'left', $9, 'negative_prompt', $11, 'width', $12, 'height', $13, 'aspect_ratio', $14, 'seed', $15,
      'guidance', image_gen._finite('guidance', $16), 'steps', $17, 'n', $18, 'quality', $19,
      'reference_image', $20, 'consistency_mode', $21, 'priority', $25), $24),
    $10, $22, $23, $26, $27, $28));
END $$;
COMMENT ON FUNCTION image_gen.edit IS
'Queues a change of a picture. image: an https URL, a data: URI, asset:ID, or job:gen_… (the job then waits for that one).
mode: img2img makes the whole picture anew from itself and the prompt; inpaint changes what the mask marks; outpaint adds border_… pixels around it.
NULL is inpaint where there is a mask, outpaint where there is a border, else img2img. mask: white is changed, black is kept, of the picture''s size.
strength: 0 keeps everything, 1 nothing. The other arguments are those of generate(). model NULL is the first provider''s usual one for the mode.';

CREATE FUNCTION image_gen.upscale(
  image text, scale integer DEFAULT 2, prompt text DEFAULT NULL, model text DEFAULT NULL, negative_prompt text DEFAULT NULL,
  seed bigint DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN image_gen._receipt(image_gen._submit('upscale',
    image_gen._asked(jsonb_build_object('image', $1, 'scale', $2, 'prompt', $3, 'negative_prompt', $5, 'seed', $6, 'priority', $10), $9),
    $4, $7, $8, $11, $12, $13));
END $$;
COMMENT ON FUNCTION image_gen.upscale IS
'Queues the same picture, larger. scale: 2 or 4, for both sides. prompt: only for models that draw details anew.
The other arguments are those of generate() and edit().';

CREATE FUNCTION image_gen.variate(
  image text, n integer DEFAULT 3, variance double precision DEFAULT NULL, prompt text DEFAULT NULL, model text DEFAULT NULL,
  negative_prompt text DEFAULT NULL, width integer DEFAULT NULL, height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL,
  seed bigint DEFAULT NULL, guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, quality text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL)
RETURNS SETOF image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF n IS NULL OR n NOT BETWEEN 1 AND 10 THEN
    RAISE EXCEPTION 'n is %, but 1 to 10 variations are possible', n USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Call it again for more.';
  ELSIF seed NOT BETWEEN 0 AND 2147483647 THEN
    RAISE EXCEPTION 'seed % is out of range', seed USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use 0 to 2147483647, or leave it out: a seed is then chosen and recorded.';
  END IF;
  -- A job each: they are drawn side by side, and each has a seed, a cost and an end of its own.
  FOR i IN 1..n LOOP
    RETURN NEXT image_gen._receipt(image_gen._submit('variate',
      image_gen._asked(jsonb_build_object(
        'image', $1, 'variance', image_gen._finite('variance', $3), 'prompt', $4, 'negative_prompt', $6, 'width', $7, 'height', $8,
        'aspect_ratio', $9, 'seed', image_gen.derive_seed($10, 'variation ' || i), 'guidance', image_gen._finite('guidance', $11),
        'steps', $12, 'quality', $13, 'priority', $17), $16),
      $5, $14, $15, $18 || '#' || i, $19, $20));
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen.variate IS
'Queues variations of a picture and returns one row, and one job, for each. n: 1 to 10. variance: 0 strays not at all, 1 as far as it likes.
seed: the base; each variation has a seed derived from it. max_cost and idempotency_key (with #1, #2 … appended) count for each.
The other arguments are those of generate() and edit().';

CREATE FUNCTION image_gen.transfer_style(
  image text, style_image text, prompt text DEFAULT NULL, strength double precision DEFAULT NULL, model text DEFAULT NULL,
  negative_prompt text DEFAULT NULL, width integer DEFAULT NULL, height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL,
  seed bigint DEFAULT NULL, guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL,
  quality text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL)
RETURNS image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN image_gen._receipt(image_gen._submit('transfer_style',
    image_gen._asked(jsonb_build_object(
      'image', $1, 'style_image', $2, 'prompt', $3, 'strength', image_gen._finite('strength', $4), 'negative_prompt', $6, 'width', $7,
      'height', $8, 'aspect_ratio', $9, 'seed', $10, 'guidance', image_gen._finite('guidance', $11), 'steps', $12, 'n', $13,
      'quality', $14, 'priority', $18), $17),
    $5, $15, $16, $19, $20, $21));
END $$;
COMMENT ON FUNCTION image_gen.transfer_style IS
'Queues the first picture in the style of the second. strength: how much of the style, 0 to 1, where the model can be told.
The other arguments are those of generate() and edit().';

CREATE VIEW image_gen.job_status WITH (security_invoker = true) AS
SELECT j.id, j.status, j.operation, j.model, a.provider, j.prompt, j.seed, r.url, r.urls, j.error_code, j.error_message,
       j.billed_cost, j.currency, j.cost_source, coalesce(a.number, 0) AS attempts, j.metadata, j.warnings,
       j.estimated_seconds, j.created_at, j.finished_at
  FROM image_gen.jobs j
  LEFT JOIN LATERAL (SELECT t.provider, t.number FROM image_gen.attempts t
                      WHERE t.job_id = j.id ORDER BY t.number DESC LIMIT 1) a ON true
  LEFT JOIN LATERAL (SELECT min(c.url) FILTER (WHERE c.position = 1) AS url, array_agg(c.url ORDER BY c.position) AS urls
                       FROM image_gen.campaign_assets c WHERE c.job_id = j.id) r ON true;
COMMENT ON VIEW image_gen.job_status IS 'One row a job with its result: what status(), recent() and wait() return.';

CREATE FUNCTION image_gen.status(id text) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'job "%" does not exist, or is not yours', $1 USING ERRCODE = 'undefined_object',
      HINT = 'SELECT * FROM image_gen.recent() lists your jobs.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.status(text) IS 'One job with its result. Error 42704 when it does not exist or is not visible to the caller.';

CREATE FUNCTION image_gen.recent(n integer DEFAULT 20, status text DEFAULT NULL, campaign text DEFAULT NULL)
RETURNS SETOF image_gen.job_status
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.* FROM image_gen.job_status s
   WHERE ($2 IS NULL OR s.status = $2) AND ($3 IS NULL OR s.metadata @> jsonb_build_object('campaign', $3))
   ORDER BY s.id DESC LIMIT least(greatest($1, 0), 1000)
$$;
COMMENT ON FUNCTION image_gen.recent(integer, text, text) IS 'The caller''s newest jobs, at most 1000.';

CREATE FUNCTION image_gen.wait(ids text[], timeout interval DEFAULT '5 minutes')
RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ends timestamptz := clock_timestamp() + timeout;
  seen bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'wait() cannot see other transactions under %', current_setting('transaction_isolation')
      USING ERRCODE = 'feature_not_supported', HINT = 'Call it in a READ COMMITTED transaction, or LISTEN image_gen.';
  ELSIF EXISTS (SELECT FROM unnest(ids) u LEFT JOIN image_gen.jobs j ON j.id = u WHERE j.id IS NULL) THEN
    RAISE EXCEPTION 'job "%" does not exist, or is not yours',
      (SELECT u FROM unnest(ids) u LEFT JOIN image_gen.jobs j ON j.id = u WHERE j.id IS NULL LIMIT 1)
      USING ERRCODE = 'undefined_object', HINT = 'SELECT * FROM image_gen.recent() lists your jobs.';
  ELSIF EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.created_at = now() AND image_gen._is_uncommitted(j.seq)) THEN
    RAISE EXCEPTION 'a job of this transaction starts at COMMIT: waiting for it here would never end'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'COMMIT first, then call wait().';
  END IF;
  LOOP
    -- The counter is read before the look, so a job that ends in between is not missed.
    seen := image_gen._completions();
    EXIT WHEN NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.status IN ('queued', 'running'))
           OR clock_timestamp() >= ends;
    PERFORM image_gen._await_completion(seen, coalesce(extract(epoch FROM ends - clock_timestamp()), 60));
  END LOOP;
  RETURN QUERY SELECT s.* FROM unnest(ids) WITH ORDINALITY u(id, position)
                 JOIN image_gen.job_status s ON s.id = u.id ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.wait(text[], interval) IS
'Sleeps until all these jobs are finished or the timeout (NULL: none) is over, then returns them in the order given; unfinished ones still say queued or running.
It does not poll: the worker wakes it. The calling statement keeps its snapshot while it waits, so keep timeouts to minutes.';

CREATE FUNCTION image_gen.cancel(id text) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller name := image_gen._caller();
BEGIN
  PERFORM FROM image_gen.jobs j
    WHERE j.id = $1 AND (j.owner = caller OR pg_has_role(caller, 'image_gen_admin', 'member'));
  IF NOT FOUND THEN
    RAISE EXCEPTION 'job "%" does not exist, or is not yours', $1 USING ERRCODE = 'undefined_object',
      HINT = 'SELECT * FROM image_gen.recent() lists your jobs.';
  END IF;
  PERFORM image_gen._cancel($1);
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
END $$;
COMMENT ON FUNCTION image_gen.cancel(text) IS
'Stops a job. One that waits is canceled at once and costs nothing. One in flight is canceled by the worker after COMMIT; what the provider
charges for it stays on the bill. A finished job stays as it is.';

CREATE FUNCTION image_gen.credits()
RETURNS TABLE (scope text, currency text, spent numeric, unknown_costs bigint, reserved numeric, limit_amount numeric, available numeric, unlimited boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'role:' || current_user, 'USD', coalesce(sum(a.billed_cost), 0),
         count(*) FILTER (WHERE a.cost_source = 'unknown' AND a.status <> 'running'),
         (SELECT coalesce(sum(j.estimated_cost), 0) FROM image_gen.jobs j
           WHERE j.owner = current_user AND j.status IN ('queued', 'running', 'needs_review')),
         NULL::numeric, NULL::numeric, true
    FROM image_gen.attempts a WHERE a.owner = current_user AND a.status <> 'running'
$$;
COMMENT ON FUNCTION image_gen.credits() IS
'What the caller has spent, in USD. unknown_costs counts calls whose cost nobody knows: they are not in spent. reserved is the estimate of what
is queued, in flight or in review. limit_amount and available are NULL while no limit is set.';

CREATE FUNCTION image_gen.picture(asset_id bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT b.bytes FROM image_gen.campaign_assets a JOIN image_gen.blobs b ON b.sha256 = a.sha256 WHERE a.id = $1
$$;
COMMENT ON FUNCTION image_gen.picture(bigint) IS 'The bytes of an asset, or NULL when they are not kept in the database (image_gen.keep_bytes).';

CREATE VIEW image_gen.queue_stats AS
SELECT count(*) FILTER (WHERE q.state = 'ready' AND q.ready_at <= clock_timestamp()) AS ready,
       count(*) FILTER (WHERE q.state = 'ready' AND q.ready_at > clock_timestamp()) AS waiting,
       count(*) FILTER (WHERE q.state = 'running') AS in_flight,
       count(*) FILTER (WHERE q.state = 'waiting') AS blocked,
       (SELECT j.created_at FROM image_gen.jobs j
         WHERE j.seq = (SELECT min(r.seq) FROM image_gen.queue r WHERE r.state = 'ready')) AS oldest_ready
  FROM image_gen.queue q;
COMMENT ON VIEW image_gen.queue_stats IS 'How many jobs wait, how many are put off, how many are in flight, how many are blocked until another job has its picture. No rows of anybody''s are shown.';

CREATE VIEW image_gen.worker_status AS
SELECT image_gen._is_worker(w.pid) AS running, w.mode, w.pid, w.started_at AS running_since, w.epoch,
       s.in_flight, w.in_flight_cap, w.cap_reason, s.ready, s.oldest_ready, w.configured AS configured_keys,
       w.last_error, w.last_error_at
  FROM image_gen.worker_state w
 CROSS JOIN image_gen.queue_stats s;
COMMENT ON VIEW image_gen.worker_status IS 'Is the worker running, since when, in which life (epoch), what it has in flight, how much it may and why, what waits, what went wrong last.';
