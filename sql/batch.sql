-- Several jobs at once, and what they would cost: known before, held as a whole or not at all.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.estimate(operation text DEFAULT 'generate', arguments jsonb DEFAULT NULL,
  OUT model text, OUT provider text, OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric,
  OUT currency text, OUT estimated_seconds numeric, OUT warnings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  asked jsonb := image_gen._named(operation, arguments);
  one record;
  dearest numeric;
BEGIN
  jobs := 1;
  images := coalesce((arguments ->> 'n')::integer, 1);
  IF operation = 'variate' THEN
    -- A job each.
    images := coalesce((arguments ->> 'n')::integer, 3);
    jobs := images;
    asked := asked - 'n';
  END IF;
  PERFORM image_gen._bounded('max_cost', (arguments ->> 'max_cost')::numeric, 'Give an amount in USD from 0 up, or leave it out.');
  SELECT e.* INTO one FROM image_gen._estimate(operation, asked::text, arguments ->> 'model', (arguments -> 'provider_preferences')::text) e;
  model := one.model;
  provider := one.provider;
  estimated_cost := trim_scale(jobs * one.estimated_cost);
  with_buffer := trim_scale(estimated_cost * (1 + image_gen._retry_buffer()));
  -- Each call can be refused and billed, at the dearest of those who could be asked.
  SELECT CASE WHEN bool_and(e.estimated_cost IS NOT NULL) THEN max(e.estimated_cost) END INTO dearest
    FROM image_gen.explain(operation, arguments - '{n,max_cost}'::text[] || CASE WHEN asked ? 'n' THEN jsonb_build_object('n', asked -> 'n') ELSE '{}' END) e
   WHERE e.included;
  highest_cost := trim_scale(least(jobs * current_setting('image_gen.max_refusals')::integer * greatest(dearest, one.estimated_cost),
                                   jobs * (arguments ->> 'max_cost')::numeric));
  currency := 'USD';
  estimated_seconds := one.estimated_seconds;
  warnings := one.warnings;
  IF estimated_cost IS NULL THEN
    warnings := warnings || jsonb_build_object('code', 'unpriced', 'message',
      format('nobody knows what %s costs: a budget or max_cost refuses it unless allow_unpriced is given', model));
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.estimate(text, jsonb) IS
'What an operation would cost, without queueing it. arguments: those of the operation, by name. estimated_cost: the first call of each job, by the prices of today; NULL is unknown.
with_buffer: with image_gen.retry_buffer. highest_cost: the most that can be billed, when every call is refused, billed, and answered by the dearest provider of the route; NULL when
one of them has no price. For variate, n jobs.';

CREATE FUNCTION image_gen._shots(shots jsonb, defaults jsonb)
RETURNS TABLE (number integer, shot text, operation text, arguments jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  base bigint := (defaults ->> 'seed')::bigint;
  doubled text;
BEGIN
  IF shots IS NULL OR jsonb_typeof(shots) NOT IN ('array', 'object') OR shots IN ('[]', '{}') THEN
    RAISE EXCEPTION 'shots is no list of shots' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example ''[{"shot": "hero", "prompt": "..."}, {"shot": "detail", "prompt": "..."}]'', or ''{"hero": {"prompt": "..."}}''.';
  ELSIF jsonb_typeof(coalesce(defaults, '{}')) <> 'object' THEN
    RAISE EXCEPTION 'defaults is not a JSON object' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example ''{"model": "flux-1.1-pro", "metadata": {"campaign": "aurora-launch"}}''.';
  END IF;
  IF jsonb_typeof(shots) = 'object' THEN
    -- An object has no order of its own: by name.
    shots := (SELECT jsonb_agg(CASE jsonb_typeof(e.value) WHEN 'object' THEN e.value || jsonb_build_object('shot', e.key) ELSE e.value END ORDER BY e.key)
                FROM jsonb_each(shots) e);
  END IF;
  IF jsonb_array_length(shots) > 500 THEN
    RAISE EXCEPTION 'a batch has at most 500 shots, not %', jsonb_array_length(shots) USING ERRCODE = 'program_limit_exceeded', HINT = 'Make several batches.';
  ELSIF EXISTS (SELECT FROM jsonb_array_elements(shots) e WHERE jsonb_typeof(e) <> 'object' OR coalesce(e ->> 'shot', '') = '') THEN
    RAISE EXCEPTION 'a shot is not an object with a name' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give each its name: {"shot": "hero", "prompt": "..."}.';
  END IF;
  SELECT e ->> 'shot' INTO doubled FROM jsonb_array_elements(shots) e GROUP BY 1 HAVING count(*) > 1 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'two shots are called "%"', doubled USING ERRCODE = 'invalid_parameter_value', HINT = 'Give each a name of its own.';
  ELSIF base NOT BETWEEN 0 AND 2147483647 THEN
    RAISE EXCEPTION 'seed % is out of range', base USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 0 to 2147483647, or leave it out.';
  END IF;
  RETURN QUERY
  SELECT e.position::integer, e.value ->> 'shot', coalesce(e.value ->> 'operation', defaults ->> 'operation', 'generate'),
         coalesce(defaults, '{}') - '{operation,seed,shot}'::text[]
         -- The first shot has the base seed itself, the others one derived from it and their name.
         || CASE WHEN base IS NULL THEN '{}' ELSE jsonb_build_object('seed', CASE e.position WHEN 1 THEN base ELSE image_gen.derive_seed(base, e.value ->> 'shot') END) END
         || (e.value - '{operation,shot}'::text[])
         || jsonb_build_object('metadata', coalesce(nullif(defaults -> 'metadata', 'null'), '{}') || coalesce(nullif(e.value -> 'metadata', 'null'), '{}')
                                           || jsonb_build_object('shot', e.value ->> 'shot'))
    FROM jsonb_array_elements(shots) WITH ORDINALITY AS e(value, position)
   ORDER BY e.position;
END $$;
COMMENT ON FUNCTION image_gen._shots(jsonb, jsonb) IS 'The shots of a batch with their operations and arguments: the defaults, the seed, and what each says itself.';

CREATE FUNCTION image_gen.estimate_batch(shots jsonb, defaults jsonb DEFAULT NULL,
  OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric, OUT needed numeric,
  OUT currency text, OUT unpriced integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT sum(e.jobs), sum(e.images), sum(e.estimated_cost), trim_scale(sum(e.estimated_cost) * (1 + image_gen._retry_buffer())),
         CASE WHEN count(*) = count(e.highest_cost) THEN sum(e.highest_cost) END, count(*) FILTER (WHERE e.estimated_cost IS NULL)
    INTO jobs, images, estimated_cost, with_buffer, highest_cost, unpriced
    FROM image_gen._shots(shots, defaults) s CROSS JOIN LATERAL image_gen.estimate(s.operation, s.arguments) e;
  needed := greatest(with_buffer, image_gen._min_headroom());
  currency := 'USD';
END $$;
COMMENT ON FUNCTION image_gen.estimate_batch(jsonb, jsonb) IS
'What a generate_batch() would cost. needed: what must be available in every budget that applies: the estimate with image_gen.retry_buffer, at least image_gen.min_headroom.
unpriced: how many shots have no known price; they are not in the sums.';

CREATE FUNCTION image_gen.generate_batch(shots jsonb, defaults jsonb DEFAULT NULL, max_cost numeric DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS TABLE (shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz,
               warnings jsonb, batch text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  this_batch text := 'bat_' || substr(image_gen._new_job_id(), 5);
  wishes jsonb := coalesce(defaults, '{}');
  names text[];
  operations text[];
  given text[];
  described text[];
  several text;
BEGIN
  max_cost := image_gen._bounded('max_cost', max_cost, 'Give USD for the whole batch, from 0 up, or leave it out.');
  IF jsonb_typeof(wishes) = 'object' AND wishes ->> 'seed' IS NULL THEN
    -- One base seed in any case, and the same one for the same key.
    wishes := wishes || jsonb_build_object('seed', CASE WHEN idempotency_key IS NULL THEN image_gen.derive_seed(0, this_batch)
                                                        ELSE image_gen.derive_seed(0, image_gen._caller() || ' ' || idempotency_key) END);
  END IF;
  SELECT array_agg(s.shot ORDER BY s.number), array_agg(s.operation ORDER BY s.number), array_agg(s.arguments::text ORDER BY s.number),
         array_agg(image_gen._named(s.operation, s.arguments)::text ORDER BY s.number), min(s.shot) FILTER (WHERE s.operation = 'variate' AND s.arguments ? 'n')
    INTO names, operations, given, described, several
    FROM image_gen._shots(shots, wishes) s;
  IF several IS NOT NULL THEN
    RAISE EXCEPTION 'shot "%": a variation is one picture', several USING ERRCODE = 'invalid_parameter_value', HINT = 'Make each variation a shot of its own.';
  END IF;
  RETURN QUERY SELECT * FROM image_gen._submit_batch(this_batch, names, operations, described, given, max_cost, idempotency_key);
END $$;
COMMENT ON FUNCTION image_gen.generate_batch IS
'Queues named shots together, all or none. shots: [{"shot": "hero", "prompt": "...", ...}, ...] or {"hero": {...}, ...}: arguments of generate(), or of another operation named in "operation".
defaults: arguments for all; metadata are merged, and shot is added to them. seed: the base; the first shot has it, the others have derive_seed(base, shot); chosen when it is not given.
max_cost: USD for the whole batch, its retries included. Every budget that applies must have available the estimate with image_gen.retry_buffer, and image_gen.min_headroom; else nothing
is queued (53400 budget_exceeded). idempotency_key: the same key and arguments return the same jobs.';

SET LOCAL search_path = image_gen, pg_temp;
