-- Batches by shot, variants of which one is to be chosen, and what came from what.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.queue_derived(requests jsonb, batch text, max_cost numeric)
RETURNS TABLE (label text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz,
               warnings jsonb, batch_id text)
LANGUAGE c SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, MDY' AS 'MODULE_PATHNAME', 'image_gen_queue_derived';
COMMENT ON FUNCTION image_gen_internal.queue_derived(jsonb, text, numeric) IS
'Queues jobs, all or none, in a batch (NULL: none) that may cost so much: [{"operation", "arguments", "metadata", "label", "parent", "relation"}].';

CREATE FUNCTION image_gen_internal.inherit_inputs(new_jobs text[], parents text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.job_inputs (sha256, job_id)
  SELECT i.sha256, n.id FROM unnest(new_jobs, parents) AS n(id, parent) JOIN image_gen_internal.job_inputs i ON i.job_id = n.parent
    JOIN image_gen.jobs j ON j.id = n.id AND j.parameters::text LIKE '%' || i.sha256 || '%'
  ON CONFLICT ON CONSTRAINT job_inputs_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen_internal.inherit_inputs(text[], text[]) IS 'Keeps the images that jobs came with for those that are made from them.';

CREATE FUNCTION image_gen_internal.arguments_of(job image_gen.jobs) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  style jsonb := job.parameters -> 'style';
  arguments jsonb := job.parameters - 'borders' || coalesce(job.parameters -> 'borders', '{}')
                     || jsonb_strip_nulls(jsonb_build_object(
                          'prompt', job.prompt, 'seed', job.seed, 'priority', job.priority, 'provider_preferences', job.preferences, 'max_cost', job.max_cost,
                          'allow_unpriced', nullif(job.allow_unpriced, false),
                          'model', CASE WHEN NOT job.model_is_open THEN concat_ws(':', job.provider, job.model) END));
BEGIN
  IF job.erased_at IS NOT NULL THEN
    RAISE EXCEPTION 'job % was erased and cannot be made again', job.id USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Ask for it anew: image_gen.forget() has left nothing of its request.';
  END IF;
  IF style IS NOT NULL THEN
    -- What the caller wrote: with what is kept of the style it comes to the same again.
    arguments := arguments - '{prompt,negative_prompt,reference_images}'::text[] || (style -> 'own') - 'reference_images'
                 || jsonb_build_object('reference_images', coalesce((
                      SELECT jsonb_agg(r.reference ORDER BY r.place) FROM jsonb_array_elements(job.parameters -> 'reference_images') WITH ORDINALITY AS r(reference, place)
                       WHERE r.place <= (style -> 'own' ->> 'reference_images')::integer), '[]'));
  END IF;
  RETURN arguments;
END $$;
COMMENT ON FUNCTION image_gen_internal.arguments_of(image_gen.jobs) IS 'The arguments with which the operation of a job queues the same again; neither its deadline nor its idempotency key.';

CREATE FUNCTION image_gen_internal.remade_request(job image_gen.jobs, relation text, usual jsonb DEFAULT '{}', changed jsonb DEFAULT NULL, fixed jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF jsonb_typeof(changed) <> 'object' THEN
    RAISE EXCEPTION 'changed is not a JSON object' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example ''{"seed": 7}'' or ''{"width": 1536, "height": 1024}''.';
  ELSIF jsonb_typeof(changed -> 'style') NOT IN ('string', 'null') THEN
    RAISE EXCEPTION 'style is not the name of a style' USING ERRCODE = 'invalid_parameter_value', HINT = 'Name one of image_gen.styles, or write null for none.';
  END IF;
  RETURN jsonb_build_object('operation', job.operation, 'metadata', job.metadata,
                            'arguments', jsonb_strip_nulls(image_gen_internal.arguments_of(job) || usual || coalesce(changed, '{}') || fixed),
                            'label', coalesce(job.metadata ->> 'shot', job.id), 'parent', job.id, 'relation', relation);
END $$;
COMMENT ON FUNCTION image_gen_internal.remade_request(image_gen.jobs, text, jsonb, jsonb, jsonb) IS
'A job as a request for queue_derived(), with some arguments changed; null leaves one out. changed is the caller''s, and checked here (error 22023); it goes before usual, and fixed before it.';

CREATE VIEW image_gen.batches WITH (security_invoker = true) AS
SELECT j.batch, coalesce(j.metadata ->> 'shot', j.id) AS shot, j.id, s.status, s.waiting_for, s.model, s.seed, s.url, s.error_code, s.billed_cost, s.known_cost, s.currency,
       s.created_at, s.finished_at
  FROM image_gen.jobs j
 CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = j.id OFFSET 0) s
 WHERE j.batch IS NOT NULL AND NOT EXISTS (SELECT FROM image_gen.jobs r WHERE r.parent = j.id AND r.batch = j.batch AND r.relation = 'rerun');
COMMENT ON VIEW image_gen.batches IS
'The shots of batches, and how each stands: one row for each, which is its last job where rerun_batch() made it again. The costs are those of that job; the whole batch is cost_report(dimensions =>
''{batch}'').';

CREATE FUNCTION image_gen_internal.raise_no_such_batch(batch text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'batch "%" does not exist, or is not yours', coalesce(batch, 'NULL') USING ERRCODE = 'undefined_object',
    HINT = 'SELECT DISTINCT batch FROM image_gen.batches lists your batches.';
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_no_such_batch(text) IS 'The error (42704) of a batch that is not there, or not for the caller to see.';

CREATE FUNCTION image_gen.rerun_batch(batch text)
RETURNS TABLE (shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz, warnings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  again jsonb;
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.batch = $1 AND j.owner = caller) THEN
    PERFORM image_gen_internal.raise_no_such_batch($1);
  END IF;
  -- One session at a time, by the first of them, until COMMIT: two would make the same shots again. (A job that is over is written by no worker.)
  PERFORM FROM image_gen.jobs j WHERE j.batch = $1 AND j.owner = caller AND j.status IN ('failed', 'canceled') ORDER BY j.seq LIMIT 1 FOR NO KEY UPDATE;
  SELECT jsonb_agg(image_gen_internal.remade_request(j, 'rerun') ORDER BY j.seq) INTO again
    FROM image_gen.jobs j
   WHERE j.batch = $1 AND j.owner = caller AND j.status IN ('failed', 'canceled')
     AND NOT EXISTS (SELECT FROM image_gen.jobs r WHERE r.parent = j.id AND r.batch = j.batch AND r.relation = 'rerun');
  IF again IS NOT NULL THEN
    RETURN QUERY SELECT q.label, q.id, q.status, q.model, q.seed, q.estimated_seconds, q.estimated_cost, q.created_at, q.warnings
                   FROM image_gen_internal.queue_derived(again, $1, NULL) q;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.rerun_batch(text) IS
'Queues the shots of a batch of the caller''s that failed or were canceled once more, with the same arguments and seeds and within the same max_cost, and returns a row for each; those that are there, under
way or with a person are left as they are, so a second call queues nothing. Error 42704 when the batch does not exist or is another''s.';

CREATE FUNCTION image_gen.promote(job text, model text, changed jsonb DEFAULT NULL) RETURNS image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  draft image_gen.jobs;
  receipt image_gen.receipt;
BEGIN
  SELECT j.* INTO draft FROM image_gen.jobs j WHERE j.id = $1 AND (j.owner = caller OR sees_all);
  IF draft.id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_job($1);
  ELSIF $2 IS NULL THEN
    RAISE EXCEPTION 'a draft is promoted to a model' USING ERRCODE = 'null_value_not_allowed',
      HINT = 'SELECT * FROM image_gen.choose_model(photoreal => true) names one.';
  END IF;
  SELECT q.id, q.status, q.model, q.estimated_seconds, q.estimated_cost, q.created_at, q.warnings INTO receipt
    FROM image_gen_internal.queue_derived(
           jsonb_build_array(image_gen_internal.remade_request(draft, 'promote', jsonb_build_object('quality', nullif(draft.parameters ->> 'quality', 'draft')), $3,
                                                               jsonb_build_object('model', $2))), NULL, NULL) q;
  RETURN receipt;
END $$;
COMMENT ON FUNCTION image_gen.promote(text, text, jsonb) IS
'Queues a draft once more on another model: the same operation, prompt, seed, arguments and metadata, without the quality draft. changed: arguments that are to be others, such as
{"width": 1536, "height": 1024}; null leaves one out. The new job has the draft as its parent. Error 42704 when the job does not exist or is not visible to the caller.';

CREATE FUNCTION image_gen.generate_variants(prompt text, n integer DEFAULT NULL, vary text DEFAULT 'seed', choices text[] DEFAULT NULL,
  model text DEFAULT NULL, metadata jsonb DEFAULT NULL, arguments jsonb DEFAULT NULL, max_cost numeric DEFAULT NULL)
RETURNS TABLE (variant text, id text, status text, model_name text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz,
               warnings jsonb, set_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  set_name text := 'set_' || substr(image_gen_internal.new_job_id(), 5);
  same jsonb := coalesce($7, '{}');
  number integer := coalesce($2, cardinality($4), 3);
  base bigint;
  picked text[];
  asked jsonb;
BEGIN
  IF number NOT BETWEEN 1 AND 10 THEN
    RAISE EXCEPTION 'n is %, but 1 to 10 variants are possible', number USING ERRCODE = 'invalid_parameter_value', HINT = 'Call it again for more.';
  ELSIF jsonb_typeof(same) <> 'object' THEN
    RAISE EXCEPTION 'arguments is not a JSON object' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example ''{"width": 1024, "height": 1024}''.';
  ELSIF same ?| '{prompt,model,metadata,max_cost,idempotency_key}' THEN
    RAISE EXCEPTION 'arguments has what is an argument of its own, or belongs to one job' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'prompt, model, metadata and max_cost are arguments of generate_variants(); idempotency_key belongs to one job.';
  ELSIF array_position($4, NULL) IS NOT NULL OR cardinality($4) < number THEN
    RAISE EXCEPTION '% variants need as many choices, not %', number, coalesce(cardinality(array_remove($4, NULL)), 0) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give one for each, or leave choices out where vary is seed, palette or model.';
  END IF;
  IF jsonb_typeof(same -> 'seed') = 'number' THEN
    base := (same ->> 'seed')::bigint;
  ELSE
    base := image_gen.derive_seed(0, set_name);
  END IF;
  picked := CASE
    WHEN $3 = 'seed' THEN ARRAY(SELECT CASE i WHEN 1 THEN base ELSE image_gen.derive_seed(base, 'variant ' || i) END::text FROM generate_series(1, number) i)
    WHEN $4 IS NOT NULL THEN $4[1:number]
    WHEN $3 = 'palette' THEN ARRAY(SELECT p.palette FROM image_gen.palettes p WHERE p.enabled ORDER BY p.position LIMIT number)
    WHEN $3 = 'model' THEN ARRAY(SELECT e.model FROM image_gen.explain('generate', same || jsonb_build_object('prompt', $1)) e
                                  WHERE e.included GROUP BY e.model ORDER BY min(e.position) LIMIT number) END;
  IF $3 IS NULL OR $3 NOT IN ('seed', 'palette', 'model', 'style', 'lighting', 'composition', 'atmosphere', 'quality', 'aspect_ratio', 'guidance', 'steps') THEN
    RAISE EXCEPTION 'variants cannot vary by %', coalesce($3, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use seed, palette, model, style, lighting, composition, atmosphere, quality, aspect_ratio, guidance or steps.';
  ELSIF coalesce(cardinality(picked), 0) < number THEN
    RAISE EXCEPTION '% variants by % need as many choices, and there are %', number, $3, coalesce(cardinality(picked), 0) USING ERRCODE = 'invalid_parameter_value',
      HINT = CASE $3 WHEN 'model' THEN 'Name models in choices, or configure more providers.' ELSE 'Give them as choices => ''{...}''.' END;
  END IF;
  SELECT jsonb_agg(jsonb_build_object('operation', 'generate', 'metadata', coalesce($6, '{}'), 'label', p.choice, 'arguments',
           same || jsonb_strip_nulls(jsonb_build_object('prompt', $1, 'model', $5, 'seed', base))
           || CASE WHEN $3 = 'seed' THEN jsonb_build_object('seed', p.choice::bigint)
                   WHEN $3 IN ('model', 'quality', 'aspect_ratio') THEN jsonb_build_object($3, p.choice)
                   WHEN $3 IN ('guidance', 'steps') THEN jsonb_build_object($3, p.choice::numeric)
                   WHEN $3 = 'palette' THEN jsonb_build_object('prompt', $1 || ', color palette: ' || p.choice)
                   ELSE jsonb_build_object('prompt', $1 || ', ' || p.choice) END) ORDER BY p.place) INTO asked
    FROM unnest(picked) WITH ORDINALITY p(choice, place);
  RETURN QUERY SELECT q.* FROM image_gen_internal.queue_derived(asked, set_name, $8) q;
END $$;
COMMENT ON FUNCTION image_gen.generate_variants IS
'Queues variants of one image as a set, all or none, and returns a row, and a job, for each; pick() makes one of them final. vary: seed (each has a seed of its own, derived from the first one''s), or, with the
same seed for all, palette, model, style, lighting, composition, atmosphere, quality, aspect_ratio, guidance or steps. choices: what each has of it, n at least; may be left out for palette
(image_gen.palettes) and model (the first of the route). n: 1 to 10, else as many as choices, else 3. arguments: others of generate(), by name. max_cost: USD for the whole set.
Errors are those of generate() and generate_batch().';

CREATE TABLE image_gen.palettes (
  position image_gen.positive PRIMARY KEY,
  palette  text NOT NULL CHECK (palette <> ''),
  enabled  boolean NOT NULL DEFAULT true,
  origin   image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.palettes IS 'Colors for generate_variants(vary => ''palette''), in this order. Rows to edit.';
COMMENT ON COLUMN image_gen.palettes.position IS 'The order. A row of an administrator takes the place of the shipped one at its position.';
COMMENT ON COLUMN image_gen.palettes.palette IS 'As a prompt names it.';
COMMENT ON COLUMN image_gen.palettes.enabled IS 'Off: left out.';
COMMENT ON COLUMN image_gen.palettes.origin IS 'catalogue: as shipped. admin: written or changed here.';
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.palettes FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
INSERT INTO image_gen.palettes (position, palette, origin) VALUES
  (10, 'charcoal, warm grey, single amber accent', 'catalogue'),
  (20, 'off-white, sand, sage green', 'catalogue'),
  (30, 'deep navy, teal, coral accent', 'catalogue'),
  (40, 'terracotta, cream, olive', 'catalogue'),
  (50, 'black and white, single red accent', 'catalogue'),
  (60, 'pastel pink, mint, pale yellow', 'catalogue'),
  (70, 'forest green, brass, ivory', 'catalogue'),
  (80, 'violet, magenta, electric blue', 'catalogue'),
  (90, 'sky blue, white, sun yellow', 'catalogue'),
  (100, 'chocolate brown, caramel, blush', 'catalogue');
SELECT pg_catalog.pg_extension_config_dump('image_gen.palettes', $$WHERE origin = 'admin'$$);

CREATE TABLE image_gen.picks (
  set_id    text COLLATE "C" PRIMARY KEY,
  asset_id  bigint NOT NULL UNIQUE REFERENCES image_gen.campaign_assets ON DELETE CASCADE,
  picked_by name NOT NULL,
  picked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.picks IS 'Which image of a set is final: one row for each set that has one. Written by pick().';
COMMENT ON COLUMN image_gen.picks.set_id IS 'jobs.batch of generate_variants() (set_...), or jobs.id for the images of one job.';
COMMENT ON COLUMN image_gen.picks.asset_id IS 'campaign_assets.id.';
COMMENT ON COLUMN image_gen.picks.picked_by IS 'Who picked it.';
COMMENT ON COLUMN image_gen.picks.picked_at IS 'When.';
SELECT pg_catalog.pg_extension_config_dump('image_gen.picks', '');

CREATE FUNCTION image_gen_internal.set_of(job_id text, batch text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE WHEN batch LIKE 'set\_%' THEN batch ELSE job_id END;
END $$;
COMMENT ON FUNCTION image_gen_internal.set_of(text, text) IS 'The set that the images of a job belong to: that of generate_variants(), else the job itself.';

CREATE VIEW image_gen.variants WITH (security_invoker = true) AS
SELECT c.set_id, c.asset_id, c.job_id, c.position, CASE WHEN p.asset_id = c.asset_id THEN 'final' ELSE 'candidate' END AS state, c.url, c.model, c.seed, c.prompt,
       c.billed_cost, c.known_cost, c.currency, c.created_at
  FROM (SELECT a.id AS asset_id, a.job_id, a.position, image_gen_internal.set_of(a.job_id, a.batch) AS set_id, a.url, a.model, a.seed, a.prompt, a.billed_cost, a.known_cost, a.currency,
               a.created_at, a.batch
          FROM image_gen.campaign_assets a) c
  LEFT JOIN image_gen.picks p ON p.set_id = c.set_id
 WHERE c.batch LIKE 'set\_%' OR c.position > 1 OR p.asset_id IS NOT NULL
    OR EXISTS (SELECT FROM image_gen.campaign_assets o WHERE o.job_id = c.job_id AND o.position = 2);
COMMENT ON VIEW image_gen.variants IS
'Images of which one is to be chosen: those of generate_variants(), and those of a job that made several. state is final for the one that was picked, candidate for the others.';

CREATE FUNCTION image_gen.pick(asset bigint) RETURNS SETOF image_gen.variants
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  chosen text := (SELECT image_gen_internal.set_of(a.job_id, a.batch) FROM image_gen.campaign_assets a WHERE a.id = $1 AND (a.owner = caller OR sees_all));
BEGIN
  IF chosen IS NULL THEN
    RAISE EXCEPTION 'asset % does not exist, or is not yours', $1 USING ERRCODE = 'undefined_object',
      HINT = 'SELECT set_id, asset_id, url FROM image_gen.variants lists what can be picked.';
  END IF;
  IF EXISTS (SELECT FROM image_gen.approvals v WHERE v.asset_id = $1 AND v.state <> 'approved') THEN
    RAISE EXCEPTION 'asset % waits for a person''s approval, or was rejected', $1 USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'A reviewer decides with image_gen.approve_asset(): SELECT state, why FROM image_gen.approvals.';
  END IF;
  INSERT INTO image_gen.picks AS p (set_id, asset_id, picked_by) VALUES (chosen, $1, image_gen_internal.role_name(caller))
  ON CONFLICT ON CONSTRAINT picks_pkey DO UPDATE SET asset_id = excluded.asset_id, picked_by = excluded.picked_by, picked_at = excluded.picked_at;
  RETURN QUERY SELECT v.* FROM image_gen.variants v WHERE v.set_id = chosen ORDER BY v.asset_id;
END $$;
COMMENT ON FUNCTION image_gen.pick(bigint) IS
'Makes an image the final one of its set, and returns the set: exactly one is final, the others are candidates. Another call picks another one. Error 42704 when the asset does not exist, or is another''s
and the caller is no administrator; 55000 where it waits for approval (approvals).';

CREATE VIEW image_gen.cost_by_set WITH (security_invoker = true) AS
SELECT j.batch AS set_id, count(*) AS variants, count(*) FILTER (WHERE j.status = 'succeeded') AS images,
       count(*) FILTER (WHERE j.status IN ('queued', 'running', 'needs_review')) AS open, p.asset_id AS final_asset,
       CASE WHEN bool_and(j.billed_cost IS NOT NULL) THEN sum(j.billed_cost) END AS billed,
       sum(j.known_cost) AS known_cost,
       CASE WHEN p.asset_id IS NOT NULL AND bool_and(j.billed_cost IS NOT NULL) THEN sum(j.billed_cost) END AS cost_per_final, min(j.currency) AS currency
  FROM image_gen.jobs j LEFT JOIN image_gen.picks p ON p.set_id = j.batch
 WHERE j.batch LIKE 'set\_%'
 GROUP BY j.batch, p.asset_id;
COMMENT ON VIEW image_gen.cost_by_set IS
'What each set of generate_variants() cost, and so its final image (cost_per_final: with all candidates and refused calls; NULL while none is picked, or any cost is unknown or open). Jobs that were pruned are not
in it.';

CREATE FUNCTION image_gen.lineage(asset bigint)
RETURNS TABLE (generation integer, relation text, job_id text, asset_id bigint, parent text, status text, model text, seed bigint, prompt text, url text, created_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  start text := (SELECT a.job_id FROM image_gen.campaign_assets a WHERE a.id = $1);
BEGIN
  IF start IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_asset($1);
  END IF;
  -- By the images too: they stay when their jobs are pruned.
  RETURN QUERY
  WITH RECURSIVE up AS (
    SELECT start COLLATE "C" AS id, 0 AS distance
    UNION
    SELECT e.parent, u.distance - 1 FROM up u
     CROSS JOIN LATERAL (SELECT j.parent FROM image_gen.jobs j WHERE j.id = u.id AND j.parent IS NOT NULL
                         UNION SELECT a.parent FROM image_gen.campaign_assets a WHERE a.job_id = u.id AND a.parent IS NOT NULL) e
     WHERE u.distance > -1000
  ), down AS (
    SELECT start COLLATE "C" AS id, 0 AS distance
    UNION
    SELECT e.id, d.distance + 1 FROM down d
     CROSS JOIN LATERAL (SELECT j.id::text AS id FROM image_gen.jobs j WHERE j.parent = d.id
                         UNION SELECT a.job_id FROM image_gen.campaign_assets a WHERE a.parent = d.id) e
     WHERE d.distance < 1000
  ), nodes AS (
    SELECT u.id, u.distance FROM up u UNION SELECT d.id, d.distance FROM down d
  )
  SELECT n.distance, coalesce(j.relation, a.relation, CASE WHEN coalesce(j.parent, a.parent) IS NOT NULL THEN j.operation::text END), n.id, a.id, coalesce(j.parent, a.parent),
         coalesce(j.status::text, 'succeeded'), coalesce(a.model, j.model), coalesce(a.seed, j.seed::bigint), coalesce(a.prompt, j.prompt), a.url,
         coalesce(j.created_at, a.created_at)
    FROM nodes n
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.jobs t WHERE t.id = n.id OFFSET 0) j ON true
    LEFT JOIN LATERAL (SELECT c.* FROM image_gen.campaign_assets c WHERE c.job_id = n.id OFFSET 0) a ON true
   WHERE j.id IS NOT NULL OR a.id IS NOT NULL
   ORDER BY n.distance, n.id, a.position;
END $$;
COMMENT ON FUNCTION image_gen.lineage(bigint) IS
'Where an image comes from, and what came from it: a row for each image, or job without one, on the way up (generation below 0) and down (above 0). relation: edit, upscale, variate, transfer_style, rerun, promote
or regenerate: how it comes from its parent (a job); NULL for the first one, and where the job was pruned and its operation is not known any more. Of what others own the caller sees nothing.';

CREATE FUNCTION image_gen.settle_batch(batch text, timeout interval DEFAULT '5 minutes') RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids text[] := ARRAY(SELECT b.id FROM image_gen.batches b WHERE b.batch = $1 ORDER BY b.id);
BEGIN
  IF ids = '{}' THEN
    PERFORM image_gen_internal.raise_no_such_batch($1);
  END IF;
  RETURN image_gen.settle(ids, timeout);
END $$;
COMMENT ON FUNCTION image_gen.settle_batch(text, interval) IS 'Waits for the shots of a batch, the last job of each, and returns them as settle(ids) does. Error 42704 when the batch does not exist or is not visible to the caller.';

SET LOCAL search_path = image_gen, pg_temp;
