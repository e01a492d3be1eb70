-- The story of an image: where it comes from, what it is marked with, what it looks like, and how it is made again.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.raise_no_such_asset(asset bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'asset % does not exist, or is not yours', coalesce(asset::text, 'NULL') USING ERRCODE = 'undefined_object',
    HINT = 'SELECT id, shot, url FROM image_gen.campaign_assets lists your images.';
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_no_such_asset(bigint) IS 'The error (42704) of an asset that is not there, or not for the caller to see.';

CREATE FUNCTION image_gen.provenance(asset bigint)
RETURNS TABLE (asset_id bigint, job_id text, asked_by text, asked_at timestamptz, delivered_at timestamptz, operation text, campaign text, shot text, ticket text,
               asked_prompt text, style text, prompt text, negative_prompt text, provider text, model text, remote_id text, seed bigint, seed_honored boolean,
               parameters jsonb, metadata jsonb, calls jsonb, refusals bigint, billed_cost numeric, known_cost numeric, currency text, cost_source text,
               parents jsonb, children jsonb, width integer, height integer, content_type text, byte_size bigint, sha256 text, perceptual_hash bigint, blank text,
               url text, content_credentials jsonb, digital_source_type text, disclosure text, warnings jsonb, job_is_pruned boolean, approval jsonb, review jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  made image_gen.campaign_assets;
BEGIN
  SELECT a.* INTO made FROM image_gen.campaign_assets a WHERE a.id = $1;
  IF made.id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_asset($1);
  END IF;
  RETURN QUERY
  WITH relatives AS MATERIALIZED (
    SELECT l.generation, jsonb_strip_nulls(jsonb_build_object('generation', l.generation, 'relation', l.relation, 'job_id', l.job_id, 'asset_id', l.asset_id)) AS one
      FROM image_gen.lineage($1) l WHERE l.generation <> 0
  ), attempted AS MATERIALIZED (
    SELECT t.* FROM image_gen.attempts t WHERE t.job_id = made.job_id
  )
  SELECT made.id, made.job_id, image_gen_internal.role_name(made.owner), j.created_at, made.created_at, j.operation::text, made.campaign, made.shot, made.ticket,
         coalesce(j.parameters #>> '{style,own,prompt}', j.prompt), j.parameters #>> '{style,name}', made.prompt, made.negative_prompt, made.provider, made.model, c.remote_id,
         made.seed, c.seed_honored, j.parameters, made.metadata,
         coalesce((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('number', t.number, 'provider', t.provider, 'model', t.model, 'prompt', t.prompt, 'seed', t.seed,
                                      'status', t.status, 'error_code', t.error_code, 'error_message', t.error_message, 'billed_cost', t.billed_cost, 'currency', t.currency,
                                      'sent_at', t.sent_at)) ORDER BY t.number) FROM attempted t), '[]'),
         (SELECT count(*) FROM attempted t WHERE t.status = 'refused'),
         made.billed_cost::numeric, made.known_cost, made.currency, made.cost_source::text,
         (SELECT coalesce(jsonb_agg(r.one ORDER BY r.generation DESC), '[]') FROM relatives r WHERE r.generation < 0),
         (SELECT coalesce(jsonb_agg(r.one ORDER BY r.generation), '[]') FROM relatives r WHERE r.generation > 0),
         made.width, made.height, made.content_type, made.byte_size, made.sha256, made.perceptual_hash, made.blank, coalesce(made.mirror_url, made.url),
         made.content_credentials, made.digital_source_type, made.disclosure, made.warnings, j.id IS NULL,
         (SELECT jsonb_strip_nulls(jsonb_build_object('state', p.state, 'why', p.why, 'decided_by', p.decided_by, 'decided_at', p.decided_at, 'note', p.note)) FROM image_gen.approvals p WHERE p.asset_id = made.id),
         (SELECT jsonb_strip_nulls(jsonb_build_object('action', r.action, 'decided_by', r.resolved_by, 'decided_at', r.resolved_at, 'note', r.note)) FROM image_gen.reviews r
           WHERE r.job_id = made.job_id AND r.resolved_at IS NOT NULL)
    FROM (VALUES (1)) AS one(row)
    LEFT JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = made.job_id OFFSET 0) j ON true
    LEFT JOIN attempted c ON c.number = made.attempt;
END $$;
COMMENT ON FUNCTION image_gen.provenance(bigint) IS
'The story of an image in one row: who asked for it and when, with which words (asked_prompt, style) and with which it was made (prompt), all calls with their prompts, refusals and costs, provider, model, seed
and parameters, its share of the cost, what it comes from and what came from it (parents, children; see lineage()), and what its bytes say of themselves: content_credentials is what a C2PA manifest claims, not verified
here. approval and review are what people have decided about it: {"state" or "action", "decided_by", "decided_at", "note"}, NULL where none had to. Of a job that was pruned (job_is_pruned) only what the image itself has is there. Error 42704.';

CREATE VIEW image_gen.marks WITH (security_invoker = true) AS
SELECT a.campaign, a.shot, a.id AS asset_id, a.provider, a.model, coalesce(a.mirror_url, a.url) AS url, a.sha256 IS NOT NULL AS looked_at, a.owner, a.created_at
  FROM image_gen.campaign_assets a
 WHERE a.content_credentials IS NULL AND a.digital_source_type IS NULL AND a.disclosure IS NULL;
COMMENT ON VIEW image_gen.marks IS
'Images that nothing tells to be made with AI: no C2PA manifest and no digitalSourceType in their bytes, and no disclosure text. Article 50 of the EU AI Act applies since 2026-08-02. looked_at: whether the bytes
were seen at all. Counts are SELECT campaign, count(*) FROM image_gen.marks GROUP BY 1. That a mark is there is not that it is valid.';

CREATE FUNCTION image_gen.set_disclosure(assets bigint[], disclosure text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  changed integer;
BEGIN
  IF length($2) > 1000 OR btrim($2) = '' THEN
    RAISE EXCEPTION 'a disclosure has 1 to 1000 characters' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example ''Image made with AI''; NULL takes it away.';
  END IF;
  PERFORM image_gen_internal.raise_no_such_asset(m.id)
     FROM (SELECT u.id FROM unnest($1) u(id) WHERE NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = u.id AND (a.owner = caller OR sees_all)) LIMIT 1) m;
  UPDATE image_gen.campaign_assets a SET disclosure = $2 WHERE a.id = ANY ($1) AND a.disclosure IS DISTINCT FROM $2;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END $$;
COMMENT ON FUNCTION image_gen.set_disclosure(bigint[], text) IS
'Notes the words that images of the caller''s are published with (campaign_assets.disclosure); NULL takes them away. Returns how many were changed. All or none: error 42704 when any does not exist or is another''s,
and the caller is no administrator.';

CREATE FUNCTION image_gen.thumbnail(asset bigint) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hash text := (SELECT a.sha256 FROM image_gen.campaign_assets a WHERE a.id = $1);
  small bytea := (SELECT t.bytes FROM image_gen_internal.thumbnails t WHERE t.sha256 = hash);
BEGIN
  -- One that is small itself has no copy where its bytes are kept.
  RETURN coalesce(small, (SELECT b.bytes FROM image_gen_internal.blobs b JOIN image_gen.campaign_assets a ON a.id = $1
                           WHERE b.sha256 = hash AND a.byte_size <= 40000 AND greatest(a.width, a.height) <= 512));
END $$;
COMMENT ON FUNCTION image_gen.thumbnail(bigint) IS
'A small copy of an image, from the database: a JPEG of at most 512 pixels and 40 kB, or the image itself where it is no larger. NULL where there is none: the image could not be fetched, or image_gen.thumbnails is off.';

CREATE FUNCTION image_gen.hash_distance(one bigint, other bigint) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT bit_count((one # other)::bit(64))::integer;
END;
COMMENT ON FUNCTION image_gen.hash_distance(bigint, bigint) IS
'In how many of 64 bits two values of campaign_assets.perceptual_hash differ: 0 to 10 for copies (written again, in another size, slightly cropped), about 32 for images that have nothing to do with each other.';

CREATE FUNCTION image_gen.similar_assets(asset bigint, within integer DEFAULT 10, campaign text DEFAULT NULL)
RETURNS TABLE (asset_id bigint, distance integer, job_id text, of_campaign text, shot text, prompt text, url text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  made image_gen.campaign_assets;
BEGIN
  IF $2 IS NULL OR $2 NOT BETWEEN 0 AND 64 THEN
    RAISE EXCEPTION 'within is %, of 64 bits', coalesce($2::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 0 to 64; copies are within 10.';
  END IF;
  SELECT a.* INTO made FROM image_gen.campaign_assets a WHERE a.id = $1;
  IF made.id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_asset($1);
  END IF;
  -- The index has all that is compared, so its entries of one owner are read and nothing else. Bands of bits would find no more than three bits by an index.
  RETURN QUERY
  SELECT a.id, n.distance, a.job_id, a.campaign, a.shot, a.prompt, coalesce(a.mirror_url, a.url)
    FROM (SELECT c.id, image_gen.hash_distance(c.perceptual_hash, made.perceptual_hash) AS distance
            FROM image_gen.campaign_assets c
           WHERE c.owner = made.owner AND c.perceptual_hash IS NOT NULL AND ($3 IS NULL OR c.campaign = $3)
             AND image_gen.hash_distance(c.perceptual_hash, made.perceptual_hash) <= $2 OFFSET 0) n
    JOIN image_gen.campaign_assets a ON a.id = n.id
   WHERE a.id <> made.id ORDER BY n.distance, a.id;
END $$;
COMMENT ON FUNCTION image_gen.similar_assets(bigint, integer, text) IS
'Images of the same owner (and, where it is named, of a campaign) that look like this one, the nearest first: whose perceptual_hash differs in at most so many bits of 64. Reads an entry of an index for each image of
the owner. Errors: 42704, 22023.';

CREATE FUNCTION image_gen.regenerate(asset bigint, changed jsonb DEFAULT NULL) RETURNS image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  made image_gen.campaign_assets;
  of_job image_gen.jobs;
  first_of_call integer;
  of_call integer;
  same jsonb;
  receipt image_gen.receipt;
BEGIN
  SELECT a.* INTO made FROM image_gen.campaign_assets a WHERE a.id = $1 AND (a.owner = caller OR sees_all);
  IF made.id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_asset($1);
  END IF;
  SELECT j.* INTO of_job FROM image_gen.jobs j WHERE j.id = made.job_id;
  IF of_job.id IS NULL THEN
    RAISE EXCEPTION 'the job of asset % was pruned, and its parameters with it', $1 USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'Call generate() with its prompt, model and seed, which are in campaign_assets.';
  END IF;
  SELECT min(o.position), count(*) INTO first_of_call, of_call FROM image_gen.campaign_assets o WHERE o.job_id = made.job_id AND o.attempt = made.attempt;
  IF made.prompt <> of_job.prompt THEN
    -- It was reworded after a refusal. What the job had of its style is in the other parameters.
    of_job.parameters := of_job.parameters - 'style';
    of_job.prompt := made.prompt;
  END IF;
  -- The seed that was sent, whatever the provider has reported: each call goes on where the one before ended.
  same := jsonb_build_object('model', concat_ws(':', made.provider, made.model), 'seed', (of_job.seed::bigint + first_of_call - 1) & 2147483647);
  IF of_call < (SELECT count(*) FROM image_gen.campaign_assets o WHERE o.job_id = made.job_id) THEN
    same := same || jsonb_build_object('n', of_call);
  END IF;
  SELECT q.id, q.status, q.model, q.estimated_seconds, q.estimated_cost, q.created_at, q.warnings INTO receipt
    FROM image_gen_internal.queue_derived(jsonb_build_array(image_gen_internal.remade_request(of_job, 'regenerate', same, $2)), NULL, NULL) q;
  RETURN receipt;
END $$;
COMMENT ON FUNCTION image_gen.regenerate(bigint, jsonb) IS
'Queues once more the very call that made an image: the same provider and model, the prompt as it was sent, the same seed, parameters and inputs, so the same request, byte for byte, where the provider''s adapter is
still the same. changed: arguments that are to be others, such as {"seed": 7}; null leaves one out. The new job has the image''s job as its parent. It is a new job and costs again. Errors: 42704; 55000 when the
job was pruned; those of generate().';

SET LOCAL search_path = image_gen, pg_temp;
