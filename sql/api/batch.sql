-- Several jobs at once, and what they would cost: known before, reserved as a whole or not at all.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.estimate(operation text DEFAULT 'generate', arguments jsonb DEFAULT NULL,
  OUT model text, OUT provider text, OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric,
  OUT currency text, OUT estimated_seconds numeric, OUT warnings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  dearest numeric;
BEGIN
  jobs := 1;
  images := coalesce((arguments ->> 'n')::integer, 1);
  IF operation = 'variate' THEN
    -- A job each.
    images := coalesce((arguments ->> 'n')::integer, 3);
    jobs := images;
  END IF;
  PERFORM image_gen_internal.check_amount('max_cost', (arguments ->> 'max_cost')::numeric, 'Give an amount in USD from 0 up, or leave it out.');
  SELECT e.* INTO one FROM image_gen_internal.estimate_request(operation, arguments::text) e;
  model := one.model;
  provider := one.provider;
  estimated_cost := trim_scale(jobs * one.estimated_cost);
  with_buffer := trim_scale(estimated_cost * (1 + image_gen_internal.retry_buffer()));
  -- Each call can be refused and billed, at the dearest of those who could be asked.
  SELECT CASE WHEN bool_and(e.estimated_cost IS NOT NULL) THEN max(e.estimated_cost) END INTO dearest
    FROM image_gen.explain(operation, arguments - '{n,max_cost}'::text[] || CASE WHEN operation <> 'variate' AND arguments ? 'n' THEN jsonb_build_object('n', arguments -> 'n') ELSE '{}' END) e
   WHERE e.included;
  highest_cost := trim_scale(least(jobs * current_setting('image_gen.max_refusals')::integer * greatest(dearest, one.estimated_cost),
                                   jobs * (arguments ->> 'max_cost')::numeric));
  currency := 'USD';
  estimated_seconds := one.estimated_seconds;
  warnings := one.warnings;
  IF estimated_cost IS NULL THEN
    warnings := warnings || jsonb_build_object('code', 'unpriced', 'message',
      format('the price of %s is unknown: a budget or max_cost refuses it unless allow_unpriced is given', model));
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.estimate(text, jsonb) IS
'What an operation would cost, without queueing it. arguments: those of the operation, by name. estimated_cost: the first call of each job, by the prices of today; NULL is unknown.
with_buffer: with image_gen.retry_buffer. highest_cost: the most that can be billed, when every call is refused, billed, and answered by the dearest provider of the route; NULL when
one of them has no price. For variate, n jobs.';

CREATE FUNCTION image_gen.estimate_batch(shots jsonb, defaults jsonb DEFAULT NULL,
  OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric, OUT needed numeric,
  OUT currency text, OUT unpriced integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT sum(e.jobs), sum(e.images), sum(e.estimated_cost), trim_scale(sum(e.estimated_cost) * (1 + image_gen_internal.retry_buffer())),
         CASE WHEN count(*) = count(e.highest_cost) THEN sum(e.highest_cost) END, count(*) FILTER (WHERE e.estimated_cost IS NULL)
    INTO jobs, images, estimated_cost, with_buffer, highest_cost, unpriced
    FROM image_gen_internal.read_shots(shots::text, defaults::text) s CROSS JOIN LATERAL image_gen.estimate(s.operation, s.arguments::jsonb) e;
  needed := greatest(with_buffer, image_gen_internal.min_headroom());
  currency := 'USD';
END $$;
COMMENT ON FUNCTION image_gen.estimate_batch(jsonb, jsonb) IS
'What a generate_batch() would cost. needed: what must be available in every budget that applies: the estimate with image_gen.retry_buffer, at least image_gen.min_headroom.
unpriced: how many shots have no known price; they are not in the sums.';

CREATE FUNCTION image_gen.generate_batch(shots jsonb, defaults jsonb DEFAULT NULL, max_cost numeric DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS TABLE (shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz,
               warnings jsonb, batch text)
-- A deadline in it means the same whatever the session's way of writing dates.
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, MDY' AS 'MODULE_PATHNAME', 'image_gen_generate_batch';
COMMENT ON FUNCTION image_gen.generate_batch IS
'Queues named shots together, all or none. shots: [{"shot": "hero", "prompt": "...", ...}, ...] or {"hero": {...}, ...}: arguments of generate(), or of another operation named in "operation".
defaults: arguments for all; metadata are merged, and shot is added to them. seed: the base; the first shot of a list has it, the others, and all of an object (which has no order), have derive_seed(base, shot); chosen when it is not given.
max_cost: USD for the whole batch, its retries included. Every budget that applies must have available the estimate with image_gen.retry_buffer, and image_gen.min_headroom; else nothing
is queued (53400 budget_exceeded). idempotency_key: the same key and arguments return the same jobs.';

SET LOCAL search_path = image_gen, pg_temp;
