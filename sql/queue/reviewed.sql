-- What a person's decision does to a job.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.requeue_reviewed(reopened_id text, new_progress jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old image_gen.jobs;
BEGIN
  UPDATE image_gen.jobs j
     SET status = 'queued', error_code = NULL, error_message = NULL, finished_at = NULL, billed_cost = NULL, known_cost = NULL, cost_source = NULL
   WHERE j.id = reopened_id AND j.status = 'needs_review'
  RETURNING * INTO STRICT old;
  -- What it had reserved for its next call was given back when it ended. (After a call that was billed, the next one asks for more itself.)
  PERFORM image_gen_internal.reserve_for_attempts(ARRAY[old.id::text], ARRAY[coalesce(a.estimated_cost + coalesce(a.estimated_rest, 0), old.estimated_cost)], true)
     FROM (SELECT) one LEFT JOIN image_gen.attempts a
       ON a.job_id = old.id AND a.number = (SELECT max(l.number) FROM image_gen.attempts l WHERE l.job_id = old.id)
    WHERE a.id IS NULL OR a.billed_cost = 0;
  INSERT INTO image_gen_internal.queue (seq, job_id, owner, attempts, progress)
  VALUES (old.seq, old.id, old.owner, (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = old.id), new_progress);
  PERFORM image_gen_internal.charge_jobs(ARRAY[old.id::text]);
  PERFORM image_gen_internal.wake(old.seq);
END $$;
COMMENT ON FUNCTION image_gen_internal.requeue_reviewed(text, jsonb) IS 'needs_review -> queued: the same job, with the same seed, goes on.';

CREATE FUNCTION image_gen_internal.retarget_job(target_id text, new_model text, new_provider text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j SET model = new_model, model_is_open = false, provider = new_provider WHERE j.id = target_id AND j.status = 'needs_review';
END $$;
COMMENT ON FUNCTION image_gen_internal.retarget_job(text, text, text) IS 'Another model for a job that waits for a person.';

CREATE FUNCTION image_gen_internal.add_manual_asset(brought_id text, bringer regrole, cost numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.attempts (job_id, number, provider, model, status, prompt, seed, seed_honored, billed_cost, cost_source, owner, epoch,
                                  warnings, finished_at)
  SELECT j.id, 1 + (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = j.id), 'person', j.model, 'succeeded',
         j.prompt, j.seed, false, coalesce(cost, 0), 'reported', j.owner, 0,
         jsonb_build_array(jsonb_build_object('code', 'brought', 'message', format('brought by %s', image_gen_internal.role_name(bringer)))), clock_timestamp()
    FROM image_gen.jobs j WHERE j.id = brought_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.add_manual_asset(text, regrole, numeric) IS 'An image that a person brought, as an attempt of provider person.';

CREATE FUNCTION image_gen_internal.close_review(concluded_id text, new_status text, code text, message text, image_url text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Back to where close_job may end it, within this transaction.
  UPDATE image_gen.jobs j SET status = 'queued', error_code = NULL, error_message = NULL, finished_at = NULL
   WHERE j.id = concluded_id AND j.status = 'needs_review';
  IF new_status = 'succeeded' THEN
    UPDATE image_gen.attempts a SET status = 'succeeded', error_code = NULL, error_message = NULL
     WHERE a.id = (SELECT max(l.id) FROM image_gen.attempts l WHERE l.job_id = concluded_id);
  END IF;
  PERFORM image_gen_internal.close_job(concluded_id, new_status, code, message);
  PERFORM image_gen_internal.wake(NULL);
  IF new_status = 'succeeded' THEN
    PERFORM image_gen_internal.insert_assets(ARRAY[concluded_id], ARRAY[1], ARRAY[image_url], NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.close_review(text, text, text, text, text) IS 'A person''s word ends a job that waited for it.';

SET LOCAL search_path = image_gen, pg_temp;
