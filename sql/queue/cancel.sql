-- Calling a job off.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.cancel_job(canceled_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_seq bigint := (SELECT j.seq FROM image_gen.jobs j WHERE j.id = canceled_id AND j.status IN ('queued', 'running'));
BEGIN
  DELETE FROM image_gen_internal.queue q
   WHERE q.seq = this_seq AND q.job_id = canceled_id AND q.state <> 'running'
     AND NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = canceled_id AND a.status = 'running');
  IF FOUND THEN
    DELETE FROM image_gen_internal.job_dependencies w WHERE w.seq = this_seq;
    DELETE FROM image_gen_internal.cancel_requests c WHERE c.seq = this_seq;
    PERFORM image_gen_internal.close_job(canceled_id, 'canceled', 'canceled', 'canceled before it was sent');
  ELSE
    INSERT INTO image_gen_internal.cancel_requests (seq) SELECT q.seq FROM image_gen_internal.queue q WHERE q.seq = this_seq AND q.job_id = canceled_id
    ON CONFLICT ON CONSTRAINT cancel_requests_pkey DO NOTHING;
  END IF;
  PERFORM image_gen_internal.wake(NULL);
END $$;
COMMENT ON FUNCTION image_gen_internal.cancel_job(text) IS 'Ends a waiting job at once; asks the worker to stop one in flight.';

SET LOCAL search_path = image_gen, pg_temp;
