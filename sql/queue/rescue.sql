-- What the next life of the worker does with what the last one had in flight.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.rescue_jobs(this_epoch bigint, lost bigint[], on_uncertain text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  this_instance uuid := image_gen_internal.instance_id();
  asked boolean;
  ready bigint[];
BEGIN
  -- In a statement of its own, before anything is looked at: what a worker of before is just committing for these jobs
  -- is waited for here, and seen below. NULL is all of them.
  PERFORM FROM image_gen_internal.queue q
    WHERE q.state = 'running' AND q.instance = this_instance AND q.epoch <= this_epoch AND (lost IS NULL OR q.seq = ANY (lost))
    ORDER BY q.seq FOR UPDATE;
  -- Those that had not begun; a session that is just canceling one is not waited for.
  IF lost IS NOT NULL THEN
    ready := ARRAY(SELECT q.seq FROM image_gen_internal.queue q WHERE q.state = 'ready' AND q.seq = ANY (lost) ORDER BY q.seq FOR UPDATE SKIP LOCKED);
  END IF;
  FOR one IN
    SELECT q.seq, q.job_id, EXISTS (SELECT FROM image_gen_internal.cancel_requests c WHERE c.seq = q.seq) AS cancel_requested, a.id AS attempt, a.remote_id, p.kind,
           coalesce(image_gen_internal.is_local_kind(p.kind), false) AND p.key_name IS NULL
             AND NOT EXISTS (SELECT FROM image_gen.prices r WHERE r.provider_kind = p.kind AND r.model = a.model AND r.amount > 0) AS free
      FROM image_gen_internal.queue q
      LEFT JOIN image_gen.attempts a ON a.job_id = q.job_id AND a.status = 'running'
      LEFT JOIN image_gen.providers p ON p.id = a.provider
     WHERE q.state = 'running' AND q.instance = this_instance AND q.epoch <= this_epoch AND (lost IS NULL OR q.seq = ANY (lost))
        OR q.seq = ANY (ready)
     ORDER BY q.seq
  LOOP
    asked := one.attempt IS NOT NULL AND one.remote_id IS NULL AND coalesce(image_gen_internal.can_be_asked(one.kind), false);
    IF one.attempt IS NOT NULL AND one.remote_id IS NULL AND NOT asked THEN
      -- Sent, as far as is known, and not accepted, as far as is known. What costs nothing is simply made again.
      UPDATE image_gen.attempts
         SET status = CASE WHEN one.free THEN 'failed' ELSE 'uncertain' END,
             error_code = CASE WHEN one.free THEN 'unknown' ELSE 'uncertain' END,
             error_message = 'the worker ended between sending the request and learning its fate',
             billed_cost = CASE WHEN one.free THEN 0 END,
             cost_source = CASE WHEN one.free THEN 'priced' ELSE 'unknown' END,
             finished_at = clock_timestamp()
       WHERE id = one.attempt;
      IF NOT one.free AND on_uncertain <> 'retry' THEN
        PERFORM image_gen_internal.close_job(one.job_id, 'needs_review', 'uncertain',
                                 'a request was sent and it is unknown whether it was accepted: it is not sent again by itself');
        DELETE FROM image_gen_internal.queue WHERE seq = one.seq;
        CONTINUE;
      END IF;
    END IF;
    IF one.cancel_requested AND one.remote_id IS NULL AND NOT asked THEN
      PERFORM image_gen_internal.close_job(one.job_id, 'canceled', 'canceled', 'canceled before it was sent');
      DELETE FROM image_gen_internal.queue WHERE seq = one.seq;
    ELSE
      -- It was accepted, and is resumed by its remote id; or its provider is asked for it; or nothing is on its way.
      UPDATE image_gen_internal.queue SET state = CASE WHEN deaths < 2 THEN 'ready' ELSE 'alone' END, epoch = NULL WHERE seq = one.seq;
      UPDATE image_gen.jobs SET status = 'queued' WHERE id = one.job_id;
      PERFORM image_gen_internal.charge_jobs(ARRAY[one.job_id]);
    END IF;
  END LOOP;
  PERFORM image_gen_internal.post_charges();
END $$;
COMMENT ON FUNCTION image_gen_internal.rescue_jobs(bigint, bigint[], text) IS 'Decides about jobs in flight that no worker follows, and about those of lost that had not begun: resume, begin again, cancel, or ask a person.';

CREATE FUNCTION image_gen_internal.adopt_foreign_jobs(this_instance uuid) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  adopted bigint[];
  one record;
BEGIN
  -- What came with a copy, a dump or a publisher, with all it knows; then unfinished jobs that came without it.
  DELETE FROM image_gen_internal.queue q
   WHERE q.instance <> this_instance
     AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.seq = q.seq AND j.id = q.job_id AND j.status IN ('queued', 'running'));
  WITH brought AS (
    UPDATE image_gen_internal.queue q SET instance = this_instance, epoch = CASE q.state WHEN 'running' THEN 0 END
     WHERE q.instance <> this_instance
    RETURNING q.seq
  ), rebuilt AS (
    INSERT INTO image_gen_internal.queue (seq, job_id, owner, state, epoch, attempts, instance, progress)
    SELECT j.seq, j.id, j.owner, 'running', 0,
           -- In flight, and no call is written down: the calls were left behind.
           coalesce((SELECT max(a.number) FROM image_gen.attempts a WHERE a.job_id = j.id), CASE j.status WHEN 'running' THEN 1 ELSE 0 END),
           this_instance, image_gen_internal.progress_by_images(j.id)
      FROM image_gen.jobs j
     WHERE j.status IN ('queued', 'running') AND NOT EXISTS (SELECT FROM image_gen_internal.queue q WHERE q.seq = j.seq)
    RETURNING seq
  )
  SELECT array_agg(b.seq) INTO adopted FROM (SELECT seq FROM brought UNION ALL SELECT seq FROM rebuilt) b;

  FOR one IN
    SELECT q.seq, q.job_id FROM image_gen_internal.queue q
     WHERE q.seq = ANY (adopted) AND q.attempts > (SELECT count(*) FROM image_gen.attempts a WHERE a.job_id = q.job_id)
  LOOP
    PERFORM image_gen_internal.close_job(one.job_id, 'needs_review', 'uncertain',
                             'a request may have been sent, and what became of it was not brought along: it is not sent again by itself');
    DELETE FROM image_gen_internal.queue WHERE seq = one.seq;
  END LOOP;
  PERFORM image_gen_internal.rescue_jobs(0, NULL, 'review');

  PERFORM image_gen_internal.restore_dependencies(adopted);
  RETURN coalesce(adopted, '{}');
END $$;
COMMENT ON FUNCTION image_gen_internal.adopt_foreign_jobs(uuid) IS 'Takes over unfinished jobs of other instances, as if a worker of here had left them; which those are.';

CREATE FUNCTION image_gen_internal.clock_set_back(seconds double precision) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.queue q SET ready_at = q.ready_at - make_interval(secs => seconds) WHERE q.state <> 'running' AND q.ready_at > clock_timestamp();
END $$;
COMMENT ON FUNCTION image_gen_internal.clock_set_back(double precision) IS 'Jobs that were put off wait as long as they were told to, whatever the clock says.';

CREATE FUNCTION image_gen_internal.start_epoch(pid integer, mode text, in_flight_cap integer, cap_reason text, configured text[], on_uncertain text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_epoch bigint;
BEGIN
  UPDATE image_gen_internal.worker_state w
     SET epoch = w.epoch + 1, pid = $1, mode = $2, in_flight_cap = $3, cap_reason = $4, configured = $5,
         started_at = clock_timestamp()
  RETURNING w.epoch INTO STRICT this_epoch;
  -- A new life knows no failing provider.
  DELETE FROM image_gen_internal.provider_breakers WHERE state <> 'up';
  PERFORM image_gen_internal.rescue_jobs(this_epoch, NULL, on_uncertain);
  RETURN this_epoch;
END $$;
COMMENT ON FUNCTION image_gen_internal.start_epoch(integer, text, integer, text, text[], text) IS 'Begins a life of the worker and takes over what the one before left in flight.';

SET LOCAL search_path = image_gen, pg_temp;
