-- Jobs that wait for the image of another job.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.release_dependents(needed text, ended_as text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  freed bigint;
  waiting_id text;
BEGIN
  -- A job that a session is just canceling is left to that session; if it rolls back, the next check_dependencies finds the job.
  FOR freed IN SELECT w.seq FROM image_gen_internal.job_dependencies w WHERE w.needs = needed FOR UPDATE SKIP LOCKED LOOP
    PERFORM FROM image_gen_internal.queue q WHERE q.seq = freed AND q.state = 'waiting' FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM image_gen_internal.queue q WHERE q.seq = freed AND q.state = 'waiting');
    DELETE FROM image_gen_internal.job_dependencies w WHERE w.needs = needed AND w.seq = freed;
    IF ended_as = 'succeeded' THEN
      UPDATE image_gen_internal.queue q SET state = 'ready'
       WHERE q.seq = freed AND q.state = 'waiting' AND NOT EXISTS (SELECT FROM image_gen_internal.job_dependencies w WHERE w.seq = freed);
      IF FOUND THEN
        PERFORM image_gen_internal.wake(freed);
      END IF;
    ELSE
      DELETE FROM image_gen_internal.job_dependencies w WHERE w.seq = freed;
      DELETE FROM image_gen_internal.queue q WHERE q.seq = freed AND q.state = 'waiting' RETURNING q.job_id INTO waiting_id;
      IF FOUND THEN
        PERFORM image_gen_internal.close_job(waiting_id, 'failed', 'not_found',
                                 format('job %s, whose image it needs, ended as %s', needed, ended_as));
        PERFORM image_gen_internal.wake(NULL);  -- those who wait for it
      END IF;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.release_dependents(text, text) IS 'Frees the jobs that waited for one that has ended, or ends them where it has no image.';

CREATE FUNCTION image_gen_internal.check_dependencies(every_one boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
BEGIN
  -- A job can end between the look of one that starts to wait for it and that one's commit. So each that waits is looked
  -- at once after it can be seen; from then on close_job finds it.
  FOR one IN
    -- One that was pruned meanwhile has left its image.
    SELECT DISTINCT w.needs, coalesce(j.status, CASE WHEN EXISTS (SELECT FROM image_gen.campaign_assets c WHERE c.job_id = w.needs) THEN 'succeeded' ELSE 'gone' END) AS status
      FROM image_gen_internal.job_dependencies w LEFT JOIN image_gen.jobs j ON j.id = w.needs
     WHERE (every_one OR NOT w.checked) AND (j.status IN ('succeeded', 'failed', 'canceled') OR j.id IS NULL)
  LOOP
    PERFORM image_gen_internal.release_dependents(one.needs, one.status);
  END LOOP;
  UPDATE image_gen_internal.job_dependencies w SET checked = true
   WHERE (w.needs, w.seq) IN (SELECT u.needs, u.seq FROM image_gen_internal.job_dependencies u WHERE NOT u.checked FOR UPDATE SKIP LOCKED);
  IF every_one THEN
    -- Of jobs that ended before they could be stopped.
    DELETE FROM image_gen_internal.cancel_requests c WHERE NOT EXISTS (SELECT FROM image_gen_internal.queue q WHERE q.seq = c.seq);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_dependencies(boolean) IS 'Finds jobs that wait for something that has ended already.';

CREATE FUNCTION image_gen_internal.restore_dependencies(seqs bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The job that one waits for is in its request, too.
  INSERT INTO image_gen_internal.job_dependencies (needs, seq)
  SELECT DISTINCT substr(r.reference, 5), q.seq
    FROM image_gen_internal.queue q
    JOIN image_gen.jobs j ON j.seq = q.seq
   CROSS JOIN LATERAL image_gen_internal.input_references(j.parameters) AS r
   WHERE q.seq = ANY (seqs) AND q.attempts = 0 AND r.reference LIKE 'job:%'
     AND NOT EXISTS (SELECT FROM image_gen.jobs o WHERE o.id = substr(r.reference, 5) AND o.status = 'succeeded')
  ON CONFLICT DO NOTHING;
  UPDATE image_gen_internal.queue q SET state = CASE WHEN EXISTS (SELECT FROM image_gen_internal.job_dependencies w WHERE w.seq = q.seq) THEN 'waiting' WHEN q.deaths < 2 THEN 'ready' ELSE 'alone' END
   WHERE q.seq = ANY (seqs) AND q.attempts = 0 AND q.state <> 'running';
END $$;
COMMENT ON FUNCTION image_gen_internal.restore_dependencies(bigint[]) IS 'Lets jobs that were given their row in the queue back wait for the jobs whose images they need.';

SET LOCAL search_path = image_gen, pg_temp;
