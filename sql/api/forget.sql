-- Erasing what a subject has asked for and what was made of it, while what it cost stays.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.kept_metadata(metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What money is counted by.
  RETURN coalesce((SELECT jsonb_object_agg(m.key, m.value) FROM jsonb_each(metadata) AS m(key, value)
                    WHERE m.key IN ('campaign', 'ticket') OR EXISTS (SELECT FROM image_gen.budgets b WHERE b.scope = 'metadata:' || m.key)), '{}');
END $$;
COMMENT ON FUNCTION image_gen_internal.kept_metadata(jsonb) IS 'What stays of the metadata of an erased job: campaign, ticket, and what a budget counts by.';

CREATE FUNCTION image_gen_internal.without_words(warnings jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  SELECT coalesce(jsonb_agg(jsonb_build_object('code', w -> 'code', 'message', '(erased)')), '[]') FROM jsonb_array_elements(warnings) w;
END;
COMMENT ON FUNCTION image_gen_internal.without_words(jsonb) IS 'Warnings without what they say.';

CREATE FUNCTION image_gen_internal.erase_images(assets bigint[], OUT objects bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hashes text[];
BEGIN
  SELECT array_agg(DISTINCT a.sha256) INTO hashes FROM image_gen.campaign_assets a WHERE a.id = ANY (assets) AND a.sha256 IS NOT NULL;
  UPDATE image_gen.campaign_assets a
     SET prompt = '(erased)', negative_prompt = NULL, url = 'image-gen:erased', url_expires_at = clock_timestamp(), mirror_url = NULL, mirrored_at = NULL, sha256 = NULL, perceptual_hash = NULL,
         shot = NULL, content_credentials = NULL, disclosure = NULL, warnings = image_gen_internal.without_words(a.warnings), metadata = image_gen_internal.kept_metadata(a.metadata),
         erased_at = clock_timestamp()
   WHERE a.id = ANY (assets);
  UPDATE image_gen.approvals p SET why = '(erased)', note = NULL WHERE p.asset_id = ANY (assets);
  DELETE FROM image_gen_internal.copy_queue c WHERE c.asset_id = ANY (assets);
  -- The same image of another one stays.
  UPDATE image_gen_internal.stored_objects o SET doomed_at = clock_timestamp(), due_at = clock_timestamp(), tries = 0
   WHERE o.sha256 = ANY (hashes) AND o.doomed_at IS NULL AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = o.sha256);
  GET DIAGNOSTICS objects = ROW_COUNT;
  IF objects > 0 THEN
    PERFORM image_gen_internal.tell_worker('copies');
  END IF;
  DELETE FROM image_gen_internal.thumbnails t WHERE t.sha256 = ANY (hashes) AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = t.sha256);
  PERFORM image_gen_internal.drop_blobs(hashes);
END $$;
COMMENT ON FUNCTION image_gen_internal.erase_images(bigint[]) IS 'Erases images and what is known of them; objects: how many are to be removed from stores.';

CREATE FUNCTION image_gen_internal.drop_blobs(hashes text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A session that is just queueing a job with one of them is waited for.
  PERFORM FROM image_gen_internal.blobs b WHERE b.sha256 = ANY (hashes) ORDER BY b.sha256 FOR UPDATE;
  DELETE FROM image_gen_internal.blobs b
   WHERE b.sha256 = ANY (hashes)
     AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = b.sha256)
     AND NOT EXISTS (SELECT FROM image_gen_internal.job_inputs i WHERE i.sha256 = b.sha256)
     AND NOT EXISTS (SELECT FROM image_gen.stored_images s WHERE s.sha256 = b.sha256);
END $$;
COMMENT ON FUNCTION image_gen_internal.drop_blobs(text[]) IS 'Removes bytes that nothing has any more.';

CREATE FUNCTION image_gen_internal.erase_jobs(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  inputs text[];
BEGIN
  -- Its costs, its state and its idempotency key stay: the same call again is still the same job, and is not paid for again.
  UPDATE image_gen.jobs j
     SET prompt = '(erased)', fingerprint = NULL, metadata = image_gen_internal.kept_metadata(j.metadata), preferences = NULL, warnings = image_gen_internal.without_words(j.warnings),
         parameters = coalesce((SELECT jsonb_object_agg(p.key, p.value) FROM jsonb_each(j.parameters) AS p(key, value)
                                 WHERE p.key IN ('n', 'width', 'height', 'aspect_ratio', 'quality', 'steps', 'store')), '{}'),
         error_message = CASE WHEN j.error_message IS NOT NULL THEN '(erased)' END, erased_at = clock_timestamp()
   WHERE j.id = ANY (ids);
  UPDATE image_gen.attempts a
     SET prompt = '(erased)', error_message = CASE WHEN a.error_message IS NOT NULL THEN '(erased)' END, warnings = image_gen_internal.without_words(a.warnings), result_url = NULL, cancel_url = NULL
   WHERE a.job_id = ANY (ids);
  UPDATE image_gen.reviews r SET note = NULL WHERE r.job_id = ANY (ids) AND r.note IS NOT NULL;
  UPDATE image_gen.reuses u SET metadata = image_gen_internal.kept_metadata(u.metadata) WHERE u.job_id = ANY (ids);
  -- What is still to be sent is made anew, of what is left.
  UPDATE image_gen.webhook_deliveries d SET payload = NULL, last_error = NULL WHERE d.job_id = ANY (ids);
  DELETE FROM image_gen_internal.callback_queue c WHERE c.job_id = ANY (ids);
  UPDATE image_gen.attachment_entries e SET error_message = NULL, prompt_hash = NULL WHERE e.job_id = ANY (ids);
  WITH gone AS (
    DELETE FROM image_gen_internal.job_inputs i WHERE i.job_id = ANY (ids) RETURNING i.sha256
  )
  SELECT array_agg(DISTINCT g.sha256) INTO inputs FROM gone g;
  PERFORM image_gen_internal.drop_blobs(inputs);
  UPDATE image_gen.character_sheets s SET description = '(erased)', reference_image = NULL, arguments = '{}'
   WHERE s.id IN (SELECT j.batch FROM image_gen.jobs j WHERE j.id = ANY (ids)) AND NOT EXISTS (SELECT FROM image_gen.jobs o WHERE o.batch = s.id AND o.erased_at IS NULL);
END $$;
COMMENT ON FUNCTION image_gen_internal.erase_jobs(text[]) IS 'Erases the words of jobs that are over, and of all that was said about them.';

CREATE FUNCTION image_gen.forget(job text DEFAULT NULL, asset bigint DEFAULT NULL, metadata jsonb DEFAULT NULL)
RETURNS TABLE (jobs bigint, assets bigint, stored_objects bigint, open_jobs bigint, at_providers jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  named text[];
  over text[];
  images bigint[];
BEGIN
  IF num_nonnulls($1, $2, $3) <> 1 THEN
    RAISE EXCEPTION 'say what is to be erased: a job, an asset, or metadata' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example forget(job => ''gen_...''), forget(asset => 7) or forget(metadata => ''{"end_user": "u-42"}'').';
  ELSIF $3 IS NOT NULL AND (jsonb_typeof($3) <> 'object' OR $3 = '{}') THEN
    RAISE EXCEPTION 'metadata is not a JSON object with at least one key' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example ''{"end_user": "u-42"}'': jobs whose metadata contains this.';
  END IF;
  -- No job is pruned meanwhile.
  PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE;
  IF $2 IS NOT NULL THEN
    SELECT array_agg(a.id) INTO images FROM image_gen.campaign_assets a WHERE a.id = $2 AND (a.owner = caller OR sees_all);
    IF images IS NULL THEN
      PERFORM image_gen_internal.raise_no_such_asset($2);
    END IF;
    -- The words are those of the others, too.
    SELECT array_agg(a.job_id) INTO named FROM image_gen.campaign_assets a
     WHERE a.id = $2 AND NOT EXISTS (SELECT FROM image_gen.campaign_assets o WHERE o.job_id = a.job_id AND o.id <> a.id AND o.erased_at IS NULL);
  ELSE
    SELECT array_agg(j.id) INTO named FROM image_gen.jobs j WHERE (j.owner = caller OR sees_all) AND CASE WHEN $1 IS NOT NULL THEN j.id = $1 ELSE j.metadata @> $3 END;
    IF $1 IS NOT NULL AND named IS NULL THEN
      PERFORM image_gen_internal.raise_no_such_job($1);
    END IF;
  END IF;
  SELECT array_agg(j.id) FILTER (WHERE j.status IN ('succeeded', 'failed', 'canceled')), count(*) FILTER (WHERE j.status NOT IN ('succeeded', 'failed', 'canceled'))
    INTO over, open_jobs
    FROM (SELECT o.id, o.status FROM image_gen.jobs o WHERE o.id = ANY (named) ORDER BY o.seq FOR NO KEY UPDATE) j;
  IF $2 IS NULL THEN
    -- Those of jobs that were pruned have their own metadata.
    SELECT array_agg(a.id) INTO images FROM image_gen.campaign_assets a
     WHERE (a.owner = caller OR sees_all) AND (a.job_id = ANY (over) OR a.metadata @> $3 AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = a.job_id));
  END IF;
  jobs := coalesce(cardinality(over), 0);
  assets := coalesce(cardinality(images), 0);
  SELECT jsonb_object_agg(c.provider, c.calls) INTO at_providers
    FROM (SELECT a.provider, count(*) AS calls
            FROM image_gen.attempts a JOIN image_gen.providers p ON p.id = a.provider
           WHERE (a.job_id = ANY (over) OR a.job_id IN (SELECT i.job_id FROM image_gen.campaign_assets i WHERE i.id = ANY (images)))
             AND a.sends > 0 AND NOT image_gen_internal.is_local_kind(p.kind) GROUP BY a.provider) c;
  SELECT e.objects INTO stored_objects FROM image_gen_internal.erase_images(coalesce(images, '{}')) e;
  IF jobs > 0 THEN
    PERFORM image_gen_internal.erase_jobs(over);
  END IF;
  PERFORM image_gen_internal.record_audit('data.erased', CASE WHEN $1 IS NOT NULL THEN $1 WHEN $2 IS NOT NULL THEN 'asset ' || $2
                                                              ELSE 'metadata: ' || (SELECT string_agg(k, ', ') FROM jsonb_object_keys($3) k) END,
    jsonb_build_object('jobs', jobs, 'assets', assets, 'stored_objects', stored_objects, 'open_jobs', open_jobs, 'at_providers', at_providers));
  IF open_jobs > 0 THEN
    RAISE NOTICE '% jobs are under way or wait for a person, and stay as they are', open_jobs USING HINT = 'cancel() or reject them, wait for them, and call forget() again.';
  END IF;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION image_gen.forget(text, bigint, jsonb) IS
'Erases what was asked for and what was made of it: of a job, of one image, or of all jobs whose metadata contains this: prompts, parameters, metadata (but for what budgets count by), images, small copies,
hashes, what was said about them, messages to webhooks that keep them, and copies in stores (which are removed by the worker, again and again until they are gone). What it cost, states, times and
idempotency keys stay. Callers erase their own, administrators all. It cannot be undone. Returns how many jobs and images, how many objects are being removed from stores, how many jobs are not over yet and stay (open_jobs: call it again), and how many calls were made to
which providers (at_providers): none of them has a way to erase, each has its own time to keep. Not erased: rows and files of your own that images were written to, store_image(), backups and logs. Errors: 42704, 22023.';

SET LOCAL search_path = image_gen, pg_temp;
