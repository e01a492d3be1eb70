-- Back into the queue, for later.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.requeue(this_epoch bigint, seqs bigint[], delays double precision[], progress_made jsonb[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[];
  ids text[];
  job_places tid[];
BEGIN
  SELECT l.places, l.ids INTO places, ids FROM image_gen_internal.lock_in_flight(this_epoch, seqs) l;
  UPDATE image_gen_internal.queue q
     SET state = CASE WHEN q.deaths < 2 THEN 'ready' ELSE 'alone' END, epoch = NULL, progress = coalesce(i.made, q.progress),
         ready_at = clock_timestamp() + make_interval(secs => i.delay)
    FROM unnest(places, delays, progress_made) AS i(place, delay, made)
   WHERE q.ctid = i.place;
  job_places := image_gen_internal.lock_jobs(ids);
  UPDATE image_gen.jobs j SET status = 'queued' WHERE j.ctid = ANY (job_places) AND j.status = 'running';
  PERFORM image_gen_internal.charge_jobs(ids);
  PERFORM image_gen_internal.post_charges();
  RETURN ARRAY(SELECT i.seq FROM unnest(seqs, ids) AS i(seq, id) WHERE i.id IS NOT NULL);
END $$;
COMMENT ON FUNCTION image_gen_internal.requeue(bigint, bigint[], double precision[], jsonb[]) IS 'Puts jobs back into the queue for so many seconds; returns those that were this epoch''s.';

SET LOCAL search_path = image_gen, pg_temp;
