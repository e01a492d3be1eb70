-- What the worker makes durable: one function for each kind of entry (crates/engine/src/run/journal.rs), called once for all jobs
-- of a round. Arguments are arrays with an element for each job; the answer says which of them are in flight for this life
-- of the worker. The others are not touched.
--
-- A claim only reads, so a job may still be ready when the first of these is called for it.
--
-- The rows of the queue are locked first, in a statement of its own, so that the snapshot of the next one has what a worker
-- of before was just committing. Jobs and attempts are locked before they are written, too: one that a concurrent session is
-- just changing is waited for, and not missed.
--
-- Rows are written by their place (ctid), which LATERAL looks up by an index. Plans are kept for long, and one that was made while
-- the tables were empty would read all of them for any other way to join.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.lock_in_flight(this_epoch bigint, seqs bigint[], OUT places tid[], OUT ids text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- One that has not begun may be held by a session that is just canceling it: that is not waited for.
  SELECT array_agg(coalesce(l.tid, r.tid) ORDER BY i.n), array_agg(coalesce(l.job_id, r.job_id) ORDER BY i.n) INTO places, ids
    FROM unnest(seqs) WITH ORDINALITY AS i(seq, n)
    LEFT JOIN LATERAL (SELECT q.ctid AS tid, q.job_id FROM image_gen_internal.queue q
                        WHERE q.seq = i.seq AND q.state = 'running' AND q.epoch = this_epoch FOR UPDATE) l ON true
    LEFT JOIN LATERAL (SELECT q.ctid AS tid, q.job_id FROM image_gen_internal.queue q
                        WHERE l.tid IS NULL AND q.seq = i.seq AND q.state = 'ready'
                          AND this_epoch >= (SELECT w.epoch FROM image_gen_internal.worker_state w) FOR UPDATE SKIP LOCKED) r ON true;
END $$;
COMMENT ON FUNCTION image_gen_internal.lock_in_flight(bigint, bigint[]) IS
'Locks the rows of the queue (seqs, in their order) that this life of the worker may write: in flight for it, or ready, as a claim leaves them: where they are, and which jobs; NULL for what is not.';

CREATE FUNCTION image_gen_internal.lock_attempts(ids text[], numbers integer[]) RETURNS tid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT array_agg(l.tid ORDER BY i.n)
            FROM unnest(ids, numbers) WITH ORDINALITY AS i(id, number, n)
            LEFT JOIN LATERAL (SELECT a.ctid AS tid FROM image_gen.attempts a
                                WHERE a.job_id = i.id AND a.number = i.number AND a.status = 'running' FOR NO KEY UPDATE) l ON true);
END $$;
COMMENT ON FUNCTION image_gen_internal.lock_attempts(text[], integer[]) IS 'Locks attempts that are under way; where each of them is, NULL for one that is not.';

CREATE FUNCTION image_gen_internal.begin(this_epoch bigint, seqs bigint[], numbers integer[], providers text[], models text[], prompts text[], seeds bigint[],
                                 seeds_honored boolean[], warned jsonb[], estimates numeric[], progress_made jsonb[], estimated_rests numeric[] DEFAULT NULL, key_names text[] DEFAULT NULL)
RETURNS TABLE (seq bigint, verdict text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[];
  job_places tid[];
  ids text[];
  owners regrole[];
  owned text[];
  verdicts text[];
  limited boolean;
BEGIN
  -- The next life waits for this one's last begin, and this one begins nothing any more when the next has begun.
  PERFORM FROM image_gen_internal.worker_state FOR SHARE;
  SELECT l.places, l.ids INTO places, ids FROM image_gen_internal.lock_in_flight(this_epoch, seqs) l;
  IF EXISTS (SELECT FROM image_gen_internal.cancel_requests) THEN
    -- What a user wants stopped is not sent.
    ids := ARRAY(SELECT CASE WHEN NOT EXISTS (SELECT FROM image_gen_internal.cancel_requests c WHERE c.seq = i.seq) THEN i.id END
                   FROM unnest(seqs, ids) WITH ORDINALITY AS i(seq, id, n) ORDER BY i.n);
  END IF;
  SELECT array_agg(j.id ORDER BY i.n), array_agg(j.tid ORDER BY i.n), array_agg(j.owner ORDER BY i.n), bool_or(j.max_cost IS NOT NULL)
    INTO ids, job_places, owners, limited
    FROM unnest(ids) WITH ORDINALITY AS i(id, n)
    LEFT JOIN LATERAL (SELECT o.id, o.ctid AS tid, o.owner, o.max_cost FROM image_gen.jobs o WHERE o.id = i.id FOR NO KEY UPDATE) j ON true;
  verdicts := array_fill('ours'::text, ARRAY[cardinality(ids)]);
  owned := ids;
  limited := limited OR EXISTS (SELECT FROM image_gen.budgets);
  IF limited THEN
    verdicts := image_gen_internal.reserve_for_attempts(ids, ARRAY(SELECT i.estimate + coalesce(i.rest, 0) FROM unnest(estimates, estimated_rests) WITH ORDINALITY AS i(estimate, rest, n) ORDER BY i.n));
    ids := ARRAY(SELECT CASE WHEN i.verdict = 'ours' THEN i.id END FROM unnest(ids, verdicts) WITH ORDINALITY AS i(id, verdict, n) ORDER BY i.n);
  END IF;
  INSERT INTO image_gen.attempts (job_id, number, provider, model, prompt, seed, seed_honored, warnings, owner, epoch, estimated_cost, estimated_rest, key_name)
  SELECT b.id, b.number, b.provider, b.model, b.prompt, b.seed, b.honored, b.warned, b.owner, this_epoch, b.estimate, b.rest, b.key_name
    FROM unnest(ids, numbers, providers, models, prompts, seeds, seeds_honored, warned, owners, estimates, estimated_rests, key_names)
         AS b(id, number, provider, model, prompt, seed, honored, warned, owner, estimate, rest, key_name)
   WHERE b.id IS NOT NULL;
  UPDATE image_gen_internal.queue q SET state = 'running', epoch = this_epoch, attempts = b.number, progress = coalesce(b.made, q.progress)
    FROM unnest(places, ids, numbers, progress_made) AS b(place, id, number, made)
   WHERE q.ctid = b.place AND b.id IS NOT NULL;
  UPDATE image_gen.jobs j SET status = 'running'
    FROM unnest(job_places, ids) AS b(place, id) WHERE j.ctid = b.place AND b.id IS NOT NULL AND j.status = 'queued';
  IF limited THEN
    PERFORM image_gen_internal.charge_jobs(ids);
    PERFORM image_gen_internal.post_charges();
  END IF;
  RETURN QUERY SELECT i.seq, i.verdict FROM unnest(seqs, owned, verdicts) AS i(seq, id, verdict) WHERE i.id IS NOT NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.begin(bigint, bigint[], integer[], text[], text[], text[], bigint[], boolean[], jsonb[], numeric[], jsonb[], numeric[], text[]) IS
'Writes down that requests are about to be sent: a ready job is in flight from then on. verdict: ours (it may be sent), over or busy (there is no money for it, see reserve_for_attempts: its intent is not written). A job without a verdict is not
this epoch''s, or a user wants it stopped.';

CREATE FUNCTION image_gen_internal.join_attempt(of_job text, joining integer, earlier integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The worker may remove no attempt; this removes one only where nothing of it is lost.
  UPDATE image_gen.attempts a
     SET sends = a.sends + t.sends, error_code = t.error_code, error_message = t.error_message, http_status = t.http_status,
         sent_at = t.sent_at, finished_at = t.finished_at
    FROM image_gen.attempts t
   WHERE a.job_id = of_job AND a.number = earlier AND a.status = 'failed' AND a.billed_cost = 0 AND a.remote_id IS NULL
     AND t.job_id = of_job AND t.number = joining AND t.status = 'failed' AND t.billed_cost = 0 AND t.remote_id IS NULL
     AND (t.provider, t.model) = (a.provider, a.model) AND t.key_name IS NOT DISTINCT FROM a.key_name AND joining > earlier;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM image_gen.attempts t WHERE t.job_id = of_job AND t.number = joining;
  RETURN true;
END $$;
COMMENT ON FUNCTION image_gen_internal.join_attempt(text, integer, integer) IS
'Counts a call that was turned away, at no cost, in the attempt of an earlier one at the same provider and model, with the same key, which says why it was turned away last. False where it is none.';

SET LOCAL search_path = image_gen, pg_temp;
