-- The queue against the jobs: an open job whose row in the queue was truncated, or deleted while it was in flight, is found and treated
-- as a crash would treat it (what was deleted while it waited is resume()'s to find); bytes of inputs that no job needs any more are removed. Both go by windows: the worker asks for a few
-- hundred rows at a time, and remembers up to where everything is over, so that a long history is not read again.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.on_queue_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.worker_state w SET truncated_by = pg_current_xact_id()::xid;
  PERFORM image_gen_internal.tell_worker('reconcile');
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_queue_truncate() IS 'Lets the worker look for jobs that have lost their row, at COMMIT.';
CREATE TRIGGER queue_truncated AFTER TRUNCATE ON image_gen_internal.queue FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_queue_truncate();

CREATE FUNCTION image_gen_internal.finished_up_to() RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT w.all_over_to FROM image_gen_internal.worker_state w);
END $$;
COMMENT ON FUNCTION image_gen_internal.finished_up_to() IS 'Every job up to this queue.seq was over when the worker last looked.';

CREATE FUNCTION image_gen_internal.reconcile(this_epoch bigint, in_flight bigint[], after_seq bigint, at_most integer, on_uncertain text,
                                     OUT last_seq bigint, OUT first_open bigint, OUT lost bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- One statement, so one snapshot: a job and its row in the queue appear, and end, in one transaction.
  WITH looked AS MATERIALIZED (
    -- Open jobs that a restore is just bringing have no row either, yet: only what is known to be of here is taken up by itself, which
    -- is what is in flight, what is followed at a provider in this life, and what was there before the queue was truncated.
    SELECT j.seq, j.finished_at IS NULL AS open,
           j.seq = ANY (in_flight) OR age(j.xmin) >= (SELECT age(w.truncated_by) FROM image_gen_internal.worker_state w)
             OR EXISTS (SELECT FROM image_gen.attempts a
                         WHERE j.finished_at IS NULL AND a.job_id = j.id AND a.status = 'running' AND a.epoch = this_epoch AND a.remote_id IS NOT NULL) AS ours
      FROM image_gen.jobs j WHERE j.seq > after_seq ORDER BY j.seq LIMIT at_most
  )
  SELECT max(l.seq), min(l.seq) FILTER (WHERE l.open),
         array_agg(l.seq) FILTER (WHERE l.open AND l.ours AND NOT EXISTS (SELECT FROM image_gen_internal.queue q WHERE q.seq = l.seq))
    INTO last_seq, first_open, lost FROM looked l;
  IF lost IS NULL THEN
    RETURN;
  END IF;
  -- What the worker still has in flight goes on as if nothing had happened. (Intents are written before anything is sent, so
  -- one without an attempt was not.)
  INSERT INTO image_gen_internal.queue (seq, job_id, owner, state, epoch, attempts, progress)
  SELECT j.seq, j.id, j.owner, 'running', CASE WHEN j.seq = ANY (in_flight) THEN this_epoch ELSE 0 END,
         (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = j.id), image_gen_internal.progress_by_images(j.id)
    FROM image_gen.jobs j WHERE j.seq = ANY (lost) AND j.finished_at IS NULL
  ON CONFLICT ON CONSTRAINT queue_pkey DO NOTHING;
  lost := ARRAY(SELECT f FROM unnest(lost) f WHERE f <> ALL (in_flight));
  PERFORM image_gen_internal.rescue_jobs(this_epoch, lost, on_uncertain);
  PERFORM image_gen_internal.restore_dependencies(lost);
END $$;
COMMENT ON FUNCTION image_gen_internal.reconcile(bigint, bigint[], bigint, integer, text) IS
'Looks at the jobs after a number: gives open ones that have no row in the queue their row back, and decides about them as after a crash. last_seq: the last one looked at, NULL when there
are none; first_open: the first that is not over; lost: those that the worker does not have in flight.';

CREATE FUNCTION image_gen_internal.record_finished_up_to(to_seq bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.worker_state w SET all_over_to = to_seq;
END $$;
COMMENT ON FUNCTION image_gen_internal.record_finished_up_to(bigint) IS 'Remembers up to where every job is over.';

CREATE FUNCTION image_gen_internal.store_job_input(new_job text, hash text, media_type text, image bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen_internal.job_inputs (sha256, job_id) VALUES (hash, new_job) ON CONFLICT ON CONSTRAINT job_inputs_pkey DO NOTHING;
  LOOP
    PERFORM image_gen_internal.store_blob(hash, media_type, image);
    -- Those that are there already may be about to go: held until COMMIT, or written again.
    PERFORM FROM image_gen_internal.blobs b WHERE b.sha256 = hash FOR KEY SHARE;
    EXIT WHEN FOUND;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.store_job_input(text, text, text, bytea) IS 'Stores the bytes of an image that a new job came with.';

CREATE FUNCTION image_gen_internal.look_at_bytes(hashes text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A row of this transaction alone: one of another, which the worker may just have seen to, would say nothing of it.
  INSERT INTO image_gen_internal.job_inputs (sha256, job_id)
  SELECT h.hash, 'deleted by ' || pg_current_xact_id() FROM unnest(hashes) AS h(hash)
   WHERE EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = h.hash) OR EXISTS (SELECT FROM image_gen_internal.thumbnails t WHERE t.sha256 = h.hash)
  ON CONFLICT ON CONSTRAINT job_inputs_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen_internal.look_at_bytes(text[]) IS
'Lets sweep_inputs() see whether images, by their hashes, are still needed. Not looked at here: a session that waited with its transaction open would hold what the worker writes.';

CREATE FUNCTION image_gen_internal.sweep_inputs(after_hash text, at_most integer, OUT last_hash text, OUT removed integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  candidates text[];
  locked text[];
BEGIN
  removed := 0;
  SELECT max(i.sha256), array_agg(DISTINCT i.sha256) FILTER (WHERE i.over) INTO last_hash, candidates
    FROM (SELECT n.sha256, j.id IS NULL OR j.status = 'canceled' AS over
            FROM image_gen_internal.job_inputs n LEFT JOIN image_gen.jobs j ON j.id = n.job_id
           WHERE n.sha256 > after_hash ORDER BY n.sha256, n.job_id LIMIT at_most) i;
  IF candidates IS NULL THEN
    RETURN;
  END IF;
  -- Locked before it is asked who needs them: a session that is just queueing a job with one of them holds it.
  locked := ARRAY(SELECT l.sha256 FROM image_gen_internal.blobs l WHERE l.sha256 = ANY (candidates) ORDER BY l.sha256 FOR UPDATE SKIP LOCKED);
  -- Of some there is a small copy, and nothing else.
  candidates := ARRAY(SELECT c.hash FROM unnest(candidates) AS c(hash)
                       WHERE c.hash = ANY (locked) OR NOT EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = c.hash));
  DELETE FROM image_gen_internal.job_inputs i
   WHERE i.sha256 = ANY (candidates) AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = i.job_id AND j.status <> 'canceled');
  DELETE FROM image_gen_internal.thumbnails t
   WHERE t.sha256 = ANY (candidates) AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = t.sha256);
  DELETE FROM image_gen_internal.blobs b
   WHERE b.sha256 = ANY (locked) AND NOT EXISTS (SELECT FROM image_gen_internal.job_inputs i WHERE i.sha256 = b.sha256)
     AND NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = b.sha256)
     AND NOT EXISTS (SELECT FROM image_gen.stored_images s WHERE s.sha256 = b.sha256);
  GET DIAGNOSTICS removed = ROW_COUNT;
END $$;
COMMENT ON FUNCTION image_gen_internal.sweep_inputs(text, integer) IS
'Removes the bytes, and the small copies, of images whose assets were deleted, that store_image() kept no longer, or that came with jobs that were canceled or pruned: where no other job, no asset and no role has the same. Looks
at so many after a hash; last_hash is NULL when there are none.';

SET LOCAL search_path = image_gen, pg_temp;
