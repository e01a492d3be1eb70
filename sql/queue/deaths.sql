-- Jobs that were in hand when the worker died. The worker keeps that in a file (src/worker/trace.rs), so that no job costs a write;
-- its next life charges them here. Two deaths: the job runs alone, so that the next one tells who was to blame, and its
-- innocent neighbours are cleared by their success. Three, the last with nothing else in hand: a person decides.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.record_deaths(in_hand bigint[]) RETURNS TABLE (seq bigint, job_id text, deaths smallint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  one record;
BEGIN
  FOR one IN
    UPDATE image_gen_internal.queue q
       SET deaths = q.deaths + 1, state = CASE WHEN q.deaths >= 1 AND q.state = 'ready' THEN 'alone' ELSE q.state END
     WHERE q.seq = ANY (in_hand) AND q.instance = image_gen_internal.instance_id()
       -- The third one condemns, so it must be this job's alone: with another in hand, that one may be to blame.
       AND (q.deaths < 2 OR cardinality(in_hand) = 1)
    RETURNING q.seq, q.job_id, q.deaths
  LOOP
    IF one.deaths >= 3 THEN
      -- What was sent may have been billed. (A preview is sent nowhere.)
      UPDATE image_gen.attempts a
         SET status = CASE WHEN image_gen_internal.is_local_kind(p.kind) THEN 'failed' ELSE 'uncertain' END, error_code = 'worker_died',
             error_message = 'the worker died with this job in hand',
             billed_cost = CASE WHEN image_gen_internal.is_local_kind(p.kind) THEN 0 ELSE a.billed_cost END,
             cost_source = CASE WHEN image_gen_internal.is_local_kind(p.kind) THEN 'priced' ELSE a.cost_source END, finished_at = clock_timestamp()
        FROM (SELECT r.id, v.kind FROM image_gen.attempts r LEFT JOIN image_gen.providers v ON v.id = r.provider
               WHERE r.job_id = one.job_id AND r.status = 'running') p
       WHERE a.id = p.id;
      PERFORM image_gen_internal.close_job(one.job_id, 'needs_review', 'worker_died',
                               'the worker died three times with this job in hand: it is not run again by itself');
      DELETE FROM image_gen_internal.cancel_requests c WHERE c.seq = one.seq;
      DELETE FROM image_gen_internal.queue q WHERE q.seq = one.seq;
    END IF;
    RETURN QUERY SELECT one.seq, one.job_id, one.deaths;
  END LOOP;
  PERFORM image_gen_internal.post_charges();
END $$;
COMMENT ON FUNCTION image_gen_internal.record_deaths(bigint[]) IS
'Charges jobs (queue.seq) that were in hand when the worker died with a death, and returns those that are still in the queue. One with three deaths is left to a person.';

CREATE FUNCTION image_gen_internal.suspects() RETURNS TABLE (seq bigint, ready_in double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT q.seq, CASE q.state WHEN 'alone' THEN greatest(extract(epoch FROM q.ready_at - clock_timestamp()), 0)::float8 END
    FROM image_gen_internal.queue q WHERE q.deaths > 0 AND q.instance = image_gen_internal.instance_id();
END $$;
COMMENT ON FUNCTION image_gen_internal.suspects() IS
'Jobs that were in hand when a worker died and have not ended since; ready_in: of those that must run alone, in how many seconds the next try is due.';

CREATE FUNCTION image_gen_internal.isolate_next_suspect() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen bigint;
BEGIN
  UPDATE image_gen_internal.queue q SET state = 'ready'
   WHERE q.seq = (SELECT a.seq FROM image_gen_internal.queue a
                   WHERE a.deaths > 0 AND a.state = 'alone' AND a.instance = image_gen_internal.instance_id() AND a.ready_at <= clock_timestamp()
                     AND NOT EXISTS (SELECT FROM image_gen.pauses p WHERE p.provider IS NULL AND coalesce(p.role, a.owner) = a.owner)
                   ORDER BY a.ready_at, a.seq LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING q.seq INTO chosen;
  RETURN chosen;
END $$;
COMMENT ON FUNCTION image_gen_internal.isolate_next_suspect() IS 'Makes the next job that must run alone ready, for the claim in the same transaction; its queue.seq.';

SET LOCAL search_path = image_gen, pg_temp;
