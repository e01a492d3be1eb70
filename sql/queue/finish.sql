-- What an attempt came to, and its images.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.store_blob(hash text, media_type text, image bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.blobs (sha256, content_type, bytes) VALUES (hash, media_type, image)
  ON CONFLICT ON CONSTRAINT blobs_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen_internal.store_blob(text, text, bytea) IS 'Stores the bytes of an image under their own hash.';

CREATE FUNCTION image_gen_internal.store_thumbnails(hashes text[], media_types text[], images bytea[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.thumbnails (sha256, content_type, bytes)
  SELECT i.hash, i.media_type, i.image FROM unnest(hashes, media_types, images) AS i(hash, media_type, image)
  ON CONFLICT ON CONSTRAINT thumbnails_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen_internal.store_thumbnails(text[], text[], bytea[]) IS 'Stores small copies of images under the hashes of these.';

CREATE FUNCTION image_gen_internal.end_attempts(this_epoch bigint, seqs bigint[], numbers integer[], statuses text[], codes text[], messages text[], http_statuses integer[],
                               amounts numeric[], claimed numeric[], sources text[], currencies text[], work_done jsonb[], tokens_used jsonb[], renders double precision[],
                               seeds bigint[], warned jsonb[], unsent boolean[], joins integer[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids text[] := (image_gen_internal.lock_in_flight(this_epoch, seqs)).ids;
  places tid[] := image_gen_internal.lock_attempts(ids, numbers);
  done_providers text[];
  done_models text[];
  done_classes text[];
  done_renders numeric[];
  one record;
BEGIN
  WITH ended AS (
    UPDATE image_gen.attempts a
       SET status = i.status, error_code = i.code, error_message = i.message, http_status = coalesce(i.http_status, a.http_status),
           billed_cost = i.amount, claimed_cost = i.claimed, cost_source = i.source, currency = i.currency,
           usage = i.usage, tokens = i.tokens, render_seconds = i.render::numeric, seed = coalesce(i.seed, a.seed),
           warnings = i.warned, sends = a.sends - CASE WHEN i.unsent THEN 1 ELSE 0 END, finished_at = clock_timestamp()
      FROM unnest(places, statuses, codes, messages, http_statuses, amounts, claimed, sources, currencies, work_done, tokens_used, renders, seeds, warned, unsent)
           WITH ORDINALITY AS i(place, status, code, message, http_status, amount, claimed, source, currency, usage, tokens, render, seed, warned, unsent, n)
     WHERE a.ctid = i.place
    RETURNING a.job_id, a.provider, a.model, a.status, a.render_seconds, i.n)
  SELECT array_agg(e.provider ORDER BY e.n), array_agg(e.model ORDER BY e.n), array_agg(e.render_seconds ORDER BY e.n),
         array_agg(CASE WHEN j.asked ?| '{width,steps}'
                        THEN image_gen_internal.render_class((j.asked ->> 'width')::integer, (j.asked ->> 'height')::integer, (j.asked ->> 'steps')::integer) ELSE '' END ORDER BY e.n)
    INTO done_providers, done_models, done_renders, done_classes
    FROM ended e CROSS JOIN LATERAL (SELECT o.parameters AS asked FROM image_gen.jobs o WHERE o.id = e.job_id OFFSET 0) j WHERE e.status = 'succeeded';
  FOR one IN
    SELECT i.seq, i.id, i.number, i.joins FROM unnest(seqs, ids, numbers, joins) AS i(seq, id, number, joins) WHERE i.id IS NOT NULL AND i.joins IS NOT NULL
  LOOP
    IF image_gen_internal.join_attempt(one.id, one.number, one.joins) THEN
      UPDATE image_gen_internal.queue q SET attempts = one.joins WHERE q.seq = one.seq;
    END IF;
  END LOOP;
  IF done_renders IS NOT NULL THEN
    -- Once a model: each version of its row is walked over while another session's old snapshot keeps it.
    PERFORM image_gen_internal.update_estimates(done_providers, done_models, done_classes, done_renders);
  END IF;
  RETURN ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen_internal.end_attempts(bigint, bigint[], integer[], text[], text[], text[], integer[], numeric[], numeric[], text[], text[], jsonb[], jsonb[], double precision[], bigint[], jsonb[], boolean[], integer[]) IS
'Writes down how attempts ended and what they cost; returns the jobs that are this epoch''s. Their jobs go back to the queue or end in the same transaction (requeue, finish).';

CREATE FUNCTION image_gen_internal.finish(this_epoch bigint, seqs bigint[], statuses text[], codes text[], messages text[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[];
  ids text[];
  owned bigint[];
BEGIN
  SELECT l.places, l.ids INTO places, ids FROM image_gen_internal.lock_in_flight(this_epoch, seqs) l;
  owned := ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
  PERFORM image_gen_internal.close_jobs(ids, statuses, codes, messages);
  IF EXISTS (SELECT FROM image_gen_internal.cancel_requests) THEN
    DELETE FROM image_gen_internal.cancel_requests c WHERE c.seq = ANY (owned);
  END IF;
  DELETE FROM image_gen_internal.queue q WHERE q.ctid = ANY (places);
  PERFORM image_gen_internal.post_charges();
  RETURN owned;
END $$;
COMMENT ON FUNCTION image_gen_internal.finish(bigint, bigint[], text[], text[], text[]) IS 'Ends jobs; returns those that were this epoch''s. Their images follow in the same transaction (insert_assets).';

CREATE FUNCTION image_gen_internal.cost_share(total numeric, images bigint, "position" bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  -- Shares of a millionth at the finest; the first image carries what does not divide.
  SELECT trim_scale(CASE WHEN $3 = 1 THEN total - (images - 1) * trunc(total / images, 6) ELSE trunc(total / images, 6) END);
END;
COMMENT ON FUNCTION image_gen_internal.cost_share(numeric, bigint, bigint) IS 'What one of several images has of the cost of their job: together all of it, to the last digit.';

CREATE FUNCTION image_gen_internal.insert_assets(ids text[], positions integer[], urls text[], lifetimes bigint[], seeds bigint[], widths integer[], heights integer[],
                                   content_types text[], byte_sizes bigint[], hashes text[], looks bigint[] DEFAULT NULL, blanks text[] DEFAULT NULL,
                                   credentials jsonb[] DEFAULT NULL, source_types text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held text[];
BEGIN
  WITH made AS (
  INSERT INTO image_gen.campaign_assets
    (job_id, position, attempt, campaign, shot, ticket, url, url_expires_at, provider, model, seed, prompt, negative_prompt,
     width, height, content_type, byte_size, sha256, billed_cost, known_cost, currency, cost_source, warnings, metadata, batch, parent, relation, owner,
     perceptual_hash, blank, content_credentials, digital_source_type, disclosure)
  -- A job can be older than the rule for how long these may be, and the indexes of assets have a largest size.
  SELECT p.id, p.position, a.number, left(j.metadata ->> 'campaign', 255), left(j.metadata ->> 'shot', 255), left(j.metadata ->> 'ticket', 255),
         coalesce(p.url, 'image-gen:sha256:' || p.hash), clock_timestamp() + make_interval(secs => p.lifetime),
         a.provider, a.model, coalesce(p.seed, a.seed), a.prompt, j.parameters ->> 'negative_prompt',
         p.width, p.height, p.content_type, p.byte_size, p.hash,
         image_gen_internal.cost_share(j.billed_cost, p.images, p.position), image_gen_internal.cost_share(j.known_cost, p.images, p.position),
         j.currency, coalesce(j.cost_source, 'unknown'), a.warnings, j.metadata, j.batch, j.parent, j.relation, j.owner,
         p.look, p.blank, p.credential, p.source_type, left(coalesce(nullif(j.metadata ->> 'disclosure', ''), nullif(current_setting('image_gen.disclosure', true), '')), 1000)
    FROM (SELECT i.*, max(i.position) OVER (PARTITION BY i.id) AS images
            FROM unnest(ids, positions, urls, lifetimes, seeds, widths, heights, content_types, byte_sizes, hashes, looks, blanks, credentials, source_types)
                 AS i(id, position, url, lifetime, seed, width, height, content_type, byte_size, hash, look, blank, credential, source_type)) p
   CROSS JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = p.id OFFSET 0) j
   CROSS JOIN LATERAL (SELECT t.number, t.provider, t.model, t.seed, t.prompt, t.warnings FROM image_gen.attempts t WHERE t.job_id = p.id AND t.status = 'succeeded'
                        ORDER BY t.number DESC LIMIT 1) a
  RETURNING campaign_assets.id, campaign_assets.job_id, campaign_assets.warnings
  ), waiting AS (
    -- Those that a rule wants a person to see.
    INSERT INTO image_gen.approvals (asset_id, why)
    SELECT m.id, (SELECT string_agg(w ->> 'message', '; ') FROM jsonb_array_elements(m.warnings) w WHERE w ->> 'code' = 'approval')
      FROM made m WHERE m.warnings @> '[{"code": "approval"}]'
    RETURNING asset_id
  )
  SELECT array_agg(m.job_id) INTO held FROM made m WHERE m.id IN (SELECT w.asset_id FROM waiting w);
  IF held IS NOT NULL THEN
    UPDATE image_gen_internal.callback_queue c SET awaits_approval = true
      FROM image_gen.finish_hooks h WHERE h.id = c.hook AND h.attachment IS NOT NULL AND c.job_id = ANY (held);
  END IF;
  -- The last images of several calls: what earlier ones made has its share of the whole now.
  PERFORM image_gen_internal.share_costs(array_agg(l.id)) FROM (SELECT i.id FROM unnest(ids, positions) AS i(id, position) GROUP BY i.id HAVING min(i.position) > 1) l;
END $$;
COMMENT ON FUNCTION image_gen_internal.insert_assets(text[], integer[], text[], bigint[], bigint[], integer[], integer[], text[], bigint[], text[], bigint[], text[], jsonb[], text[]) IS
'Writes the assets that the last successful calls of jobs made: an element for each image, all of a call at once. Without a URL it is where its bytes are kept.';

CREATE FUNCTION image_gen_internal.share_costs(ids text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_id text;
BEGIN
  -- The worker may change no asset; this writes what follows from jobs.
  FOREACH this_id IN ARRAY coalesce(ids, '{}') LOOP
    UPDATE image_gen.campaign_assets a
       SET billed_cost = image_gen_internal.cost_share(j.billed_cost, n.images, a.position), known_cost = image_gen_internal.cost_share(j.known_cost, n.images, a.position),
           cost_source = j.cost_source, currency = j.currency
      FROM image_gen.jobs j, (SELECT count(*) AS images FROM image_gen.campaign_assets o WHERE o.job_id = this_id) n
     WHERE a.job_id = this_id AND j.id = this_id AND j.finished_at IS NOT NULL;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.share_costs(text[]) IS 'Gives each image of jobs that are over its share of what its job was billed.';

CREATE FUNCTION image_gen_internal.update_estimates(providers text[], models text[], classes text[], renders numeric[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  known image_gen_internal.render_estimates;
  render numeric;
BEGIN
  FOR one IN
    SELECT d.provider, d.model, c.class, array_agg(round(d.render, 3) ORDER BY d.n) AS renders
      FROM unnest(providers, models, classes, renders) WITH ORDINALITY AS d(provider, model, class, render, n)
      -- Each teaches the model as a whole, and its class.
     CROSS JOIN LATERAL (SELECT '' AS class UNION SELECT d.class) c
     WHERE d.render > 0 GROUP BY d.provider, d.model, c.class ORDER BY d.provider, d.model, c.class
  LOOP
    SELECT t.* INTO known FROM image_gen_internal.render_estimates t WHERE t.provider = one.provider AND t.model = one.model AND t.class = one.class;
    FOREACH render IN ARRAY one.renders LOOP
      -- A running 75th percentile: up by 7.5 % of a render that took longer (but at most by 15 %: it may be an outlier), down
      -- by 2.5 % when it did not. 5 % are forgiven, because a poll only ever sees the end of a render late.
      known.seconds := CASE WHEN known.samples IS NULL THEN render
                            WHEN known.samples < 4 THEN greatest(known.seconds, render)
                            WHEN render > known.seconds * 1.05 THEN round(known.seconds + 0.075 * least(render, 2 * known.seconds), 3)
                            ELSE greatest(round(known.seconds * 0.975, 3), 0.1) END;
      known.samples := coalesce(known.samples, 0) + 1;
    END LOOP;
    INSERT INTO image_gen_internal.render_estimates (provider, model, class, seconds, samples) VALUES (one.provider, one.model, one.class, known.seconds, known.samples)
    ON CONFLICT ON CONSTRAINT render_estimates_pkey DO UPDATE SET seconds = excluded.seconds, samples = excluded.samples;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.update_estimates(text[], text[], text[], numeric[]) IS 'Lets the estimates of models, and of classes of their renders, follow what they really take.';

SET LOCAL search_path = image_gen, pg_temp;
