-- The end of a job.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Not PL/pgSQL: this one becomes part of the queries that use it. (Its names are bound when it is created.)
CREATE FUNCTION image_gen_internal.job_cost(counted_id text) RETURNS TABLE (total numeric, known numeric, source text, currency text)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT CASE WHEN s.source <> 'unknown' THEN s.known END, s.known, s.source, c.currency
    -- Amounts of two currencies have no sum: it is in that of the call that made the image, and what it leaves out makes it unknown.
    FROM (SELECT coalesce((SELECT a.currency FROM image_gen.attempts a WHERE a.job_id = counted_id
                            ORDER BY a.status = 'succeeded' DESC, a.billed_cost > 0 DESC NULLS LAST, a.number LIMIT 1), 'USD') AS currency
          OFFSET 0) c
   CROSS JOIN LATERAL (
     SELECT sum(a.billed_cost) FILTER (WHERE a.currency = c.currency) AS known,
            CASE WHEN bool_or(a.cost_source = 'unknown' OR a.currency <> c.currency AND a.billed_cost > 0) THEN 'unknown'
                 WHEN bool_or(a.cost_source = 'reported') THEN 'reported'
                 WHEN count(*) > 0 THEN 'priced' END AS source
       FROM image_gen.attempts a WHERE a.job_id = counted_id) s;
END;
COMMENT ON FUNCTION image_gen_internal.job_cost(text) IS 'What the calls of a job were billed together: NULL when that of any is unknown, and beside it what is known.';

CREATE FUNCTION image_gen_internal.lock_jobs(ids text[]) RETURNS tid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT array_agg(l.tid ORDER BY i.n)
            FROM unnest(ids) WITH ORDINALITY AS i(id, n)
            LEFT JOIN LATERAL (SELECT j.ctid AS tid FROM image_gen.jobs j WHERE j.id = i.id FOR NO KEY UPDATE) l ON true);
END $$;
COMMENT ON FUNCTION image_gen_internal.lock_jobs(text[]) IS 'Locks jobs; where each of them is, NULL for one that is not there.';

CREATE FUNCTION image_gen_internal.close_jobs(ids text[], statuses text[], codes text[], messages text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[] := image_gen_internal.lock_jobs(ids);
  partly text[];
  one record;
BEGIN
  IF statuses && '{failed,needs_review,canceled}' THEN
    -- What earlier calls made is there, whatever became of the rest.
    SELECT array_agg(i.id) INTO partly
      FROM unnest(ids, statuses) AS i(id, status)
     CROSS JOIN LATERAL (SELECT FROM image_gen.campaign_assets a WHERE a.job_id = i.id LIMIT 1) a
     WHERE i.status <> 'succeeded';
  END IF;
  IF partly IS NOT NULL THEN
    UPDATE image_gen.jobs j
       SET warnings = j.warnings || jsonb_build_array(jsonb_build_object('code', 'fewer_pictures', 'message',
             format('%s of %s images were made: %s', (SELECT count(*) FROM image_gen.campaign_assets a WHERE a.job_id = j.id), coalesce(j.parameters ->> 'n', '1'), i.message)))
      FROM unnest(places, ids, messages) AS i(place, id, message)
     WHERE j.ctid = i.place AND i.id = ANY (partly) AND j.status IN ('queued', 'running');
    SELECT array_agg(CASE WHEN i.id = ANY (partly) THEN 'succeeded' ELSE i.status END ORDER BY i.n), array_agg(CASE WHEN i.id = ANY (partly) THEN NULL ELSE i.code END ORDER BY i.n),
           array_agg(CASE WHEN i.id = ANY (partly) THEN NULL ELSE i.message END ORDER BY i.n)
      INTO statuses, codes, messages
      FROM unnest(ids, statuses, codes, messages) WITH ORDINALITY AS i(id, status, code, message, n);
    -- They have moved.
    places := image_gen_internal.lock_jobs(ids);
  END IF;
  UPDATE image_gen.jobs j
     SET status = i.status, error_code = i.code, error_message = i.message, finished_at = clock_timestamp(),
         billed_cost = c.total, known_cost = c.known, cost_source = c.source, currency = c.currency
    FROM unnest(places, ids, statuses, codes, messages) AS i(place, id, status, code, message)
   CROSS JOIN LATERAL image_gen_internal.job_cost(i.id) c
   WHERE j.ctid = i.place AND j.status IN ('queued', 'running');
  IF partly IS NOT NULL THEN
    PERFORM image_gen_internal.share_costs(partly);
  END IF;
  PERFORM image_gen_internal.charge_jobs(ids);
  PERFORM image_gen_internal.queue_callbacks(ids);
  IF EXISTS (SELECT FROM image_gen.webhooks) THEN
    PERFORM image_gen_internal.queue_deliveries(ids);
  END IF;
  IF EXISTS (SELECT FROM image_gen_internal.job_dependencies) THEN
    FOR one IN
      SELECT i.id, i.status FROM unnest(ids, statuses) AS i(id, status)
       WHERE i.status <> 'needs_review' AND EXISTS (SELECT FROM image_gen_internal.job_dependencies w WHERE w.needs = i.id)
    LOOP
      PERFORM image_gen_internal.release_dependents(one.id, one.status);
    END LOOP;
  END IF;
  -- A full notification queue would fail the transaction that saves a paid image: then no notification is sent.
  IF pg_notification_queue_usage() < 0.5 THEN
    -- Any role can listen: that something ended is all that it is told, once a transaction.
    PERFORM pg_notify('image_gen', '');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.close_jobs(text[], text[], text[], text[]) IS
'Ends jobs: their status, their cost from their attempts, what waits for them, and a notification. One that has images has succeeded, however its last call ended. An id that is NULL is left out.';

CREATE FUNCTION image_gen_internal.progress_by_images(of_job text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT CASE WHEN count(*) > 0 THEN jsonb_build_object('asked', count(*), 'delivered', count(*)) ELSE '{}' END FROM image_gen.campaign_assets a WHERE a.job_id = of_job);
END $$;
COMMENT ON FUNCTION image_gen_internal.progress_by_images(text) IS 'queue.progress of a job whose row in the queue is gone: images that it has are not made again.';

CREATE FUNCTION image_gen_internal.close_job(closed_id text, new_status text, code text, message text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.close_jobs(ARRAY[$1], ARRAY[$2], ARRAY[$3], ARRAY[$4]);
END $$;
COMMENT ON FUNCTION image_gen_internal.close_job(text, text, text, text) IS 'Ends one job.';

SET LOCAL search_path = image_gen, pg_temp;
