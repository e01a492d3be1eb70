-- What the worker makes durable: one function for each kind of entry (crates/engine/src/run/journal.rs), called once for all jobs
-- of a round. Arguments are arrays with an element for each job; the answer says which of them are in flight for this life
-- of the worker. The others are not touched.
--
-- The rows of the queue are locked first, in a statement of its own, so that the snapshot of the next one has what a worker
-- of before was just committing. Jobs and attempts are locked before they are written, too: one that a concurrent session is
-- just changing is waited for, and not missed.
--
-- Rows are written by their place (ctid), which LATERAL looks up by an index. Plans are kept for long, and one that was made while
-- the tables were empty would read all of them for any other way to join.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen._lock_flight(this_epoch bigint, seqs bigint[], OUT places tid[], OUT ids text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT array_agg(l.tid ORDER BY i.n), array_agg(l.job_id ORDER BY i.n) INTO places, ids
    FROM unnest(seqs) WITH ORDINALITY AS i(seq, n)
    LEFT JOIN LATERAL (SELECT q.ctid AS tid, q.job_id FROM image_gen.queue q
                        WHERE q.seq = i.seq AND q.state = 'running' AND q.epoch = this_epoch FOR UPDATE) l ON true;
END $$;
COMMENT ON FUNCTION image_gen._lock_flight(bigint, bigint[]) IS
'Locks the rows of the queue (seqs, in their order) that are in flight for this epoch: where they are, and which jobs; NULL for what is not.';

CREATE FUNCTION image_gen._lock_attempts(ids text[], numbers integer[]) RETURNS tid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT array_agg(l.tid ORDER BY i.n)
            FROM unnest(ids, numbers) WITH ORDINALITY AS i(id, number, n)
            LEFT JOIN LATERAL (SELECT a.ctid AS tid FROM image_gen.attempts a
                                WHERE a.job_id = i.id AND a.number = i.number AND a.status = 'running' FOR NO KEY UPDATE) l ON true);
END $$;
COMMENT ON FUNCTION image_gen._lock_attempts(text[], integer[]) IS 'Locks attempts that are under way; where each of them is, NULL for one that is not.';

CREATE FUNCTION image_gen._charge_all(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    PERFORM image_gen._charge(i.id) FROM unnest(ids) AS i(id) WHERE i.id IS NOT NULL;
    PERFORM image_gen._book();
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._charge_all(text[]) IS 'Brings the charges of jobs up to date with their calls, and books them.';

CREATE FUNCTION image_gen._begin(this_epoch bigint, seqs bigint[], numbers integer[], providers text[], models text[], prompts text[], seeds bigint[],
                                 seeds_honored boolean[], warned jsonb[], estimates numeric[], progress_made jsonb[])
RETURNS TABLE (seq bigint, verdict text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[];
  ids text[];
  owners regrole[];
  verdicts text[] := array_fill(NULL::text, ARRAY[cardinality(seqs)]);
  limited boolean;
  step integer;
  high integer;
BEGIN
  SELECT l.places, l.ids INTO places, ids FROM image_gen._lock_flight(this_epoch, seqs) l;
  IF EXISTS (SELECT FROM image_gen.cancels) THEN
    -- What a user wants stopped is not sent.
    ids := ARRAY(SELECT CASE WHEN NOT EXISTS (SELECT FROM image_gen.cancels c WHERE c.seq = i.seq) THEN i.id END
                   FROM unnest(seqs, ids) WITH ORDINALITY AS i(seq, id, n) ORDER BY i.n);
  END IF;
  SELECT array_agg(j.id ORDER BY i.n), array_agg(j.owner ORDER BY i.n), bool_or(j.max_cost IS NOT NULL) INTO ids, owners, limited
    FROM unnest(ids) WITH ORDINALITY AS i(id, n)
    LEFT JOIN LATERAL (SELECT o.id, o.owner, o.max_cost FROM image_gen.jobs o WHERE o.id = i.id OFFSET 0) j ON true;
  limited := limited OR EXISTS (SELECT FROM image_gen.budgets);
  -- Where there are limits, what one job takes is to be seen by the next.
  step := CASE WHEN limited THEN 1 ELSE greatest(cardinality(seqs), 1) END;
  FOR low IN 1 .. cardinality(seqs) BY step LOOP
    high := low + step - 1;
    IF limited THEN
      CONTINUE WHEN ids[low] IS NULL;
      verdicts[low] := image_gen._afford(ids[low], estimates[low]);
      CONTINUE WHEN verdicts[low] <> 'ours';
    END IF;
    INSERT INTO image_gen.attempts (job_id, number, provider, model, prompt, seed, seed_honored, warnings, owner, epoch, estimated_cost)
    SELECT b.id, b.number, b.provider, b.model, b.prompt, b.seed, b.honored, b.warned, b.owner, this_epoch, b.estimate
      FROM unnest(ids[low : high], numbers[low : high], providers[low : high], models[low : high], prompts[low : high], seeds[low : high],
                  seeds_honored[low : high], warned[low : high], owners[low : high], estimates[low : high])
           AS b(id, number, provider, model, prompt, seed, honored, warned, owner, estimate)
     WHERE b.id IS NOT NULL;
    UPDATE image_gen.queue q SET attempts = b.number, progress = coalesce(b.made, q.progress)
      FROM unnest(places[low : high], ids[low : high], numbers[low : high], progress_made[low : high]) AS b(place, id, number, made)
     WHERE q.ctid = b.place AND b.id IS NOT NULL;
    IF limited THEN
      PERFORM image_gen._charge(ids[low]);
    END IF;
  END LOOP;
  IF limited THEN
    PERFORM image_gen._book();
  END IF;
  RETURN QUERY SELECT i.seq, coalesce(i.verdict, 'ours') FROM unnest(seqs, ids, verdicts) AS i(seq, id, verdict) WHERE i.id IS NOT NULL;
END $$;
COMMENT ON FUNCTION image_gen._begin(bigint, bigint[], integer[], text[], text[], text[], bigint[], boolean[], jsonb[], numeric[], jsonb[]) IS
'Writes down that requests are about to be sent. verdict: ours (it may be sent), over or busy (there is no money for it, see _afford: its intent is not written). A job without a verdict is not
this epoch''s, or a user wants it stopped.';

CREATE FUNCTION image_gen._checkpoint(this_epoch bigint, seqs bigint[], numbers integer[], remote_ids text[], poll_urls text[], result_urls text[], cancel_urls text[],
                                      http_statuses integer[], amounts numeric[], claimed numeric[], sources text[], currencies text[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids text[] := (image_gen._lock_flight(this_epoch, seqs)).ids;
  places tid[] := image_gen._lock_attempts(ids, numbers);
BEGIN
  UPDATE image_gen.attempts a
     SET remote_id = i.remote_id, poll_url = i.poll_url, result_url = i.result_url, cancel_url = i.cancel_url, http_status = i.http_status,
         billed_cost = i.amount, claimed_cost = i.claimed, cost_source = coalesce(i.source, 'unknown'), currency = coalesce(i.currency, a.currency)
    FROM unnest(places, remote_ids, poll_urls, result_urls, cancel_urls, http_statuses, amounts, claimed, sources, currencies)
         AS i(place, remote_id, poll_url, result_url, cancel_url, http_status, amount, claimed, source, currency)
   WHERE a.ctid = i.place;
  PERFORM image_gen._charge_all(ids);
  RETURN ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen._checkpoint(bigint, bigint[], integer[], text[], text[], text[], text[], integer[], numeric[], numeric[], text[], text[]) IS
'Writes down under which ids providers have accepted tasks; returns the jobs that are this epoch''s.';

CREATE FUNCTION image_gen._end(this_epoch bigint, seqs bigint[], numbers integer[], statuses text[], codes text[], messages text[], http_statuses integer[],
                               amounts numeric[], claimed numeric[], sources text[], currencies text[], work_done jsonb[], tokens_used jsonb[], renders double precision[],
                               seeds bigint[], warned jsonb[], unsent boolean[], joins integer[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids text[] := (image_gen._lock_flight(this_epoch, seqs)).ids;
  places tid[] := image_gen._lock_attempts(ids, numbers);
  done_providers text[];
  done_models text[];
  done_renders numeric[];
  one record;
BEGIN
  WITH ended AS (
    UPDATE image_gen.attempts a
       SET status = i.status, error_code = i.code, error_message = i.message, http_status = coalesce(i.http_status, a.http_status),
           billed_cost = i.amount, claimed_cost = i.claimed, cost_source = i.source, currency = i.currency,
           work = i.work, tokens = i.tokens, render_seconds = i.render::numeric, seed = coalesce(i.seed, a.seed),
           warnings = i.warned, sends = a.sends - CASE WHEN i.unsent THEN 1 ELSE 0 END, finished_at = clock_timestamp()
      FROM unnest(places, statuses, codes, messages, http_statuses, amounts, claimed, sources, currencies, work_done, tokens_used, renders, seeds, warned, unsent)
           WITH ORDINALITY AS i(place, status, code, message, http_status, amount, claimed, source, currency, work, tokens, render, seed, warned, unsent, n)
     WHERE a.ctid = i.place
    RETURNING a.provider, a.model, a.status, a.render_seconds, i.n)
  SELECT array_agg(e.provider ORDER BY e.n), array_agg(e.model ORDER BY e.n), array_agg(e.render_seconds ORDER BY e.n)
    INTO done_providers, done_models, done_renders
    FROM ended e WHERE e.status = 'succeeded';
  FOR one IN
    SELECT i.seq, i.id, i.number, i.joins FROM unnest(seqs, ids, numbers, joins) AS i(seq, id, number, joins) WHERE i.id IS NOT NULL AND i.joins IS NOT NULL
  LOOP
    IF image_gen._join_attempt(one.id, one.number, one.joins) THEN
      UPDATE image_gen.queue q SET attempts = one.joins WHERE q.seq = one.seq;
    END IF;
  END LOOP;
  IF done_renders IS NOT NULL THEN
    -- Once a model: each version of its row is walked over while another session's old snapshot keeps it.
    PERFORM image_gen._learn(done_providers, done_models, done_renders);
  END IF;
  RETURN ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen._end(bigint, bigint[], integer[], text[], text[], text[], integer[], numeric[], numeric[], text[], text[], jsonb[], jsonb[], double precision[], bigint[], jsonb[], boolean[], integer[]) IS
'Writes down how attempts ended and what they cost; returns the jobs that are this epoch''s. Their jobs go back to the queue or end in the same transaction (_requeue, _finish).';

CREATE FUNCTION image_gen._requeue(this_epoch bigint, seqs bigint[], delays double precision[], progress_made jsonb[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[];
  ids text[];
  job_places tid[];
BEGIN
  SELECT l.places, l.ids INTO places, ids FROM image_gen._lock_flight(this_epoch, seqs) l;
  UPDATE image_gen.queue q
     SET state = CASE WHEN q.deaths < 2 THEN 'ready' ELSE 'alone' END, epoch = NULL, progress = coalesce(i.made, q.progress),
         ready_at = clock_timestamp() + make_interval(secs => i.delay)
    FROM unnest(places, delays, progress_made) AS i(place, delay, made)
   WHERE q.ctid = i.place;
  job_places := image_gen._lock_jobs(ids);
  UPDATE image_gen.jobs j SET status = 'queued' WHERE j.ctid = ANY (job_places);
  PERFORM image_gen._charge_all(ids);
  RETURN ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen._requeue(bigint, bigint[], double precision[], jsonb[]) IS 'Puts jobs back into the queue for so many seconds; returns those that were this epoch''s.';

CREATE FUNCTION image_gen._finish(this_epoch bigint, seqs bigint[], statuses text[], codes text[], messages text[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[];
  ids text[];
  owned bigint[];
BEGIN
  SELECT l.places, l.ids INTO places, ids FROM image_gen._lock_flight(this_epoch, seqs) l;
  owned := ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
  PERFORM image_gen._close_jobs(ids, statuses, codes, messages);
  IF EXISTS (SELECT FROM image_gen.cancels) THEN
    DELETE FROM image_gen.cancels c WHERE c.seq = ANY (owned);
  END IF;
  DELETE FROM image_gen.queue q WHERE q.ctid = ANY (places);
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    PERFORM image_gen._book();
  END IF;
  RETURN owned;
END $$;
COMMENT ON FUNCTION image_gen._finish(bigint, bigint[], text[], text[], text[]) IS 'Ends jobs; returns those that were this epoch''s. Their pictures follow in the same transaction (_deliver).';

CREATE FUNCTION image_gen._share(total numeric, pictures bigint, "position" bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  -- Shares of a millionth at the finest; the first picture carries what does not divide.
  SELECT trim_scale(CASE WHEN $3 = 1 THEN total - (pictures - 1) * trunc(total / pictures, 6) ELSE trunc(total / pictures, 6) END);
END;
COMMENT ON FUNCTION image_gen._share(numeric, bigint, bigint) IS 'What one of several pictures has of the cost of their job: together all of it, to the last digit.';

CREATE FUNCTION image_gen._deliver(ids text[], positions integer[], urls text[], lifetimes bigint[], seeds bigint[], widths integer[], heights integer[],
                                   content_types text[], byte_sizes bigint[], hashes text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.campaign_assets
    (job_id, position, campaign, shot, ticket, url, url_expires_at, provider, model, seed, prompt, negative_prompt,
     width, height, content_type, byte_size, sha256, billed_cost, known_cost, currency, cost_source, metadata, batch, parent, relation, owner)
  -- A job can be older than the rule for how long these may be, and the indexes of assets have a largest size.
  SELECT p.id, p.position, left(j.metadata ->> 'campaign', 255), left(j.metadata ->> 'shot', 255), left(j.metadata ->> 'ticket', 255),
         coalesce(p.url, 'image-gen:sha256:' || p.hash), clock_timestamp() + make_interval(secs => p.lifetime),
         a.provider, a.model, coalesce(p.seed, a.seed), a.prompt, j.parameters ->> 'negative_prompt',
         p.width, p.height, p.content_type, p.byte_size, p.hash,
         image_gen._share(j.billed_cost, p.pictures, p.position), image_gen._share(j.known_cost, p.pictures, p.position),
         j.currency, j.cost_source, j.metadata, j.batch, j.parent, j.relation, j.owner
    FROM (SELECT i.*, count(*) OVER (PARTITION BY i.id) AS pictures
            FROM unnest(ids, positions, urls, lifetimes, seeds, widths, heights, content_types, byte_sizes, hashes)
                 AS i(id, position, url, lifetime, seed, width, height, content_type, byte_size, hash)) p
   CROSS JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = p.id OFFSET 0) j
   CROSS JOIN LATERAL (SELECT t.provider, t.model, t.seed, t.prompt FROM image_gen.attempts t WHERE t.job_id = p.id AND t.status = 'succeeded' OFFSET 0) a;
END $$;
COMMENT ON FUNCTION image_gen._deliver(text[], integer[], text[], bigint[], bigint[], integer[], integer[], text[], bigint[], text[]) IS
'Writes the assets of jobs that have succeeded: an element for each picture, all of a job at once. Without a URL it is where its bytes are kept.';

CREATE FUNCTION image_gen._learn(providers text[], models text[], renders numeric[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  known image_gen.timings;
  render numeric;
BEGIN
  FOR one IN
    SELECT d.provider, d.model, array_agg(round(d.render, 3) ORDER BY d.n) AS renders
      FROM unnest(providers, models, renders) WITH ORDINALITY AS d(provider, model, render, n)
     WHERE d.render > 0 GROUP BY d.provider, d.model
  LOOP
    SELECT t.* INTO known FROM image_gen.timings t WHERE t.provider = one.provider AND t.model = one.model;
    FOREACH render IN ARRAY one.renders LOOP
      -- A running 75th percentile: up by 7.5 % of a render that took longer (but at most by 15 %: it may be an outlier), down
      -- by 2.5 % when it did not. 5 % are forgiven, because a poll only ever sees the end of a render late.
      known.seconds := CASE WHEN known.samples IS NULL THEN render
                            WHEN known.samples < 4 THEN greatest(known.seconds, render)
                            WHEN render > known.seconds * 1.05 THEN round(known.seconds + 0.075 * least(render, 2 * known.seconds), 3)
                            ELSE greatest(round(known.seconds * 0.975, 3), 0.1) END;
      known.samples := coalesce(known.samples, 0) + 1;
    END LOOP;
    INSERT INTO image_gen.timings (provider, model, seconds, samples) VALUES (one.provider, one.model, known.seconds, known.samples)
    ON CONFLICT ON CONSTRAINT timings_pkey DO UPDATE SET seconds = excluded.seconds, samples = excluded.samples;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen._learn(text[], text[], numeric[]) IS 'Lets the estimates of models follow what their renders really take.';

CREATE FUNCTION image_gen._join_attempt(of_job text, joining integer, earlier integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The worker may remove no attempt; this removes one only where nothing of it is lost.
  UPDATE image_gen.attempts a
     SET sends = a.sends + t.sends, error_code = t.error_code, error_message = t.error_message, http_status = t.http_status,
         sent_at = t.sent_at, finished_at = t.finished_at
    FROM image_gen.attempts t
   WHERE a.job_id = of_job AND a.number = earlier AND a.status = 'failed' AND a.billed_cost = 0 AND a.remote_id IS NULL
     AND t.job_id = of_job AND t.number = joining AND t.status = 'failed' AND t.billed_cost = 0 AND t.remote_id IS NULL
     AND (t.provider, t.model) = (a.provider, a.model) AND joining > earlier;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM image_gen.attempts t WHERE t.job_id = of_job AND t.number = joining;
  RETURN true;
END $$;
COMMENT ON FUNCTION image_gen._join_attempt(text, integer, integer) IS
'Counts a call that was turned away, at no cost, in the attempt of an earlier one at the same provider and model, which says why it was turned away last. False where it is none.';

SET LOCAL search_path = image_gen, pg_temp;
