-- The state machine in the database. Only the functions in this file and in transitions.sql change the state of a job.
--
--   (src/submit.rs) -> queued                    in the caller's transaction
--   _let_go       a job that waited for another -> ready | failed
--   _take_over    running, and nobody follows it -> queued (to resume or begin) | needs_review | canceled
--   _claim        queued -> running              commits without waiting for the disk: losing it loses nothing
--   _begin, _checkpoint, _end, _requeue, _finish (transitions.sql)
--                 running -> attempts, queued | succeeded | failed | needs_review | canceled
--   _cancel       queued -> canceled; running -> a request that the worker acts on
--   _reopen       needs_review -> queued
--   _adopt        queued, running, and from elsewhere -> as _take_over
--   _conclude     needs_review -> succeeded | failed | canceled
--
-- Each change is guarded: a row is touched only in the state, and for the epoch, that the caller expects.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen._let_go(needed text, ended_as text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  freed bigint;
  waiting_id text;
BEGIN
  -- Whom a user is just calling off is left to him; if he does not, the next look at all who wait (_check_waits) finds it.
  FOR freed IN SELECT w.seq FROM image_gen.waits w WHERE w.needs = needed FOR UPDATE SKIP LOCKED LOOP
    PERFORM FROM image_gen.queue q WHERE q.seq = freed AND q.state = 'waiting' FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM image_gen.queue q WHERE q.seq = freed AND q.state = 'waiting');
    DELETE FROM image_gen.waits w WHERE w.needs = needed AND w.seq = freed;
    IF ended_as = 'succeeded' THEN
      UPDATE image_gen.queue q SET state = 'ready'
       WHERE q.seq = freed AND q.state = 'waiting' AND NOT EXISTS (SELECT FROM image_gen.waits w WHERE w.seq = freed);
      IF FOUND THEN
        PERFORM image_gen._wake(freed);
      END IF;
    ELSE
      DELETE FROM image_gen.waits w WHERE w.seq = freed;
      DELETE FROM image_gen.queue q WHERE q.seq = freed AND q.state = 'waiting' RETURNING q.job_id INTO waiting_id;
      IF FOUND THEN
        PERFORM image_gen._close(waiting_id, 'failed', 'not_found',
                                 format('job %s, whose picture it needs, ended as %s', needed, ended_as));
        PERFORM image_gen._wake(NULL);  -- those who wait for it
      END IF;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen._let_go(text, text) IS 'Frees the jobs that waited for one that has ended, or ends them where it has no picture.';

CREATE FUNCTION image_gen._check_waits(every_one boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
BEGIN
  -- A job can end between the look of one that starts to wait for it and that one's commit. So each that waits is looked
  -- at once after it can be seen; from then on _close finds it.
  FOR one IN
    -- One that was pruned meanwhile has left its picture.
    SELECT DISTINCT w.needs, coalesce(j.status, CASE WHEN EXISTS (SELECT FROM image_gen.campaign_assets c WHERE c.job_id = w.needs) THEN 'succeeded' ELSE 'gone' END) AS status
      FROM image_gen.waits w LEFT JOIN image_gen.jobs j ON j.id = w.needs
     WHERE (every_one OR NOT w.checked) AND (j.status IN ('succeeded', 'failed', 'canceled') OR j.id IS NULL)
  LOOP
    PERFORM image_gen._let_go(one.needs, one.status);
  END LOOP;
  UPDATE image_gen.waits w SET checked = true
   WHERE (w.needs, w.seq) IN (SELECT u.needs, u.seq FROM image_gen.waits u WHERE NOT u.checked FOR UPDATE SKIP LOCKED);
  IF every_one THEN
    -- Of jobs that ended before they could be stopped.
    DELETE FROM image_gen.cancels c WHERE NOT EXISTS (SELECT FROM image_gen.queue q WHERE q.seq = c.seq);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._check_waits(boolean) IS 'Finds jobs that wait for something that has ended already.';

CREATE FUNCTION image_gen._take_over(this_epoch bigint, lost bigint[], on_uncertain text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  this_home uuid := image_gen._home();
  asked boolean;
BEGIN
  -- In a statement of its own, before anything is looked at: what a worker of before is just committing for these jobs
  -- is waited for here, and seen below. NULL is all of them.
  PERFORM FROM image_gen.queue q
    WHERE q.state = 'running' AND q.home = this_home AND q.epoch <= this_epoch AND (lost IS NULL OR q.seq = ANY (lost))
    ORDER BY q.seq FOR UPDATE;
  FOR one IN
    SELECT q.seq, q.job_id, EXISTS (SELECT FROM image_gen.cancels c WHERE c.seq = q.seq) AS cancel_requested, a.id AS attempt, a.remote_id, p.kind,
           coalesce(image_gen._is_local(p.kind), false) AND p.key_name IS NULL
             AND NOT EXISTS (SELECT FROM image_gen.prices r WHERE r.provider_kind = p.kind AND r.model = a.model AND r.amount > 0) AS free
      FROM image_gen.queue q
      LEFT JOIN image_gen.attempts a ON a.job_id = q.job_id AND a.status = 'running'
      LEFT JOIN image_gen.providers p ON p.id = a.provider
     WHERE q.state = 'running' AND q.home = this_home AND q.epoch <= this_epoch AND (lost IS NULL OR q.seq = ANY (lost))
     ORDER BY q.seq
  LOOP
    asked := one.attempt IS NOT NULL AND one.remote_id IS NULL AND coalesce(image_gen._can_be_asked(one.kind), false);
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
        PERFORM image_gen._close(one.job_id, 'needs_review', 'uncertain',
                                 'a request was sent and nobody knows whether it was accepted: it is not sent again by itself');
        DELETE FROM image_gen.queue WHERE seq = one.seq;
        CONTINUE;
      END IF;
    END IF;
    IF one.cancel_requested AND one.remote_id IS NULL AND NOT asked THEN
      PERFORM image_gen._close(one.job_id, 'canceled', 'canceled', 'canceled before it was sent');
      DELETE FROM image_gen.queue WHERE seq = one.seq;
    ELSE
      -- It was accepted, and is resumed by its remote id; or its provider is asked for it; or nothing is on its way.
      UPDATE image_gen.queue SET state = CASE WHEN deaths < 2 THEN 'ready' ELSE 'alone' END, epoch = NULL WHERE seq = one.seq;
      UPDATE image_gen.jobs SET status = 'queued' WHERE id = one.job_id;
      PERFORM image_gen._charge(one.job_id);
    END IF;
  END LOOP;
  PERFORM image_gen._book();
END $$;
COMMENT ON FUNCTION image_gen._take_over(bigint, bigint[], text) IS 'Decides about jobs in flight that nobody follows any more: resume, begin again, cancel, or ask a person.';

CREATE FUNCTION image_gen._restore_waits(seqs bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The job that one waits for is in its request, too.
  INSERT INTO image_gen.waits (needs, seq)
  SELECT DISTINCT substr(r.value, 5), q.seq
    FROM image_gen.queue q
    JOIN image_gen.jobs j ON j.seq = q.seq
   CROSS JOIN LATERAL unnest(ARRAY[j.parameters ->> 'image', j.parameters ->> 'mask', j.parameters ->> 'style_image',
                                   j.parameters ->> 'reference_image']) AS r(value)
   WHERE q.seq = ANY (seqs) AND q.attempts = 0 AND r.value LIKE 'job:%'
     AND NOT EXISTS (SELECT FROM image_gen.jobs o WHERE o.id = substr(r.value, 5) AND o.status = 'succeeded')
  ON CONFLICT DO NOTHING;
  UPDATE image_gen.queue q SET state = CASE WHEN EXISTS (SELECT FROM image_gen.waits w WHERE w.seq = q.seq) THEN 'waiting' WHEN q.deaths < 2 THEN 'ready' ELSE 'alone' END
   WHERE q.seq = ANY (seqs) AND q.attempts = 0 AND q.state <> 'running';
END $$;
COMMENT ON FUNCTION image_gen._restore_waits(bigint[]) IS 'Lets jobs that were given their row in the queue back wait for the jobs whose pictures they need.';

CREATE FUNCTION image_gen._adopt(this_home uuid) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  adopted bigint[];
  one record;
BEGIN
  -- What came with a copy, a dump or a publisher, with all it knows; then unfinished jobs that came without it.
  DELETE FROM image_gen.queue q
   WHERE q.home <> this_home
     AND NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.seq = q.seq AND j.id = q.job_id AND j.status IN ('queued', 'running'));
  WITH brought AS (
    UPDATE image_gen.queue q SET home = this_home, epoch = CASE q.state WHEN 'running' THEN 0 END
     WHERE q.home <> this_home
    RETURNING q.seq
  ), rebuilt AS (
    INSERT INTO image_gen.queue (seq, job_id, owner, state, epoch, attempts, home)
    SELECT j.seq, j.id, j.owner, 'running', 0,
           -- In flight, and no call is written down: the calls were left behind.
           coalesce((SELECT max(a.number) FROM image_gen.attempts a WHERE a.job_id = j.id), CASE j.status WHEN 'running' THEN 1 ELSE 0 END),
           this_home
      FROM image_gen.jobs j
     WHERE j.status IN ('queued', 'running') AND NOT EXISTS (SELECT FROM image_gen.queue q WHERE q.seq = j.seq)
    RETURNING seq
  )
  SELECT array_agg(b.seq) INTO adopted FROM (SELECT seq FROM brought UNION ALL SELECT seq FROM rebuilt) b;

  FOR one IN
    SELECT q.seq, q.job_id FROM image_gen.queue q
     WHERE q.seq = ANY (adopted) AND q.attempts > (SELECT count(*) FROM image_gen.attempts a WHERE a.job_id = q.job_id)
  LOOP
    PERFORM image_gen._close(one.job_id, 'needs_review', 'uncertain',
                             'a request may have been sent, and what became of it was not brought along: it is not sent again by itself');
    DELETE FROM image_gen.queue WHERE seq = one.seq;
  END LOOP;
  PERFORM image_gen._take_over(0, NULL, 'review');

  PERFORM image_gen._restore_waits(adopted);
  RETURN coalesce(adopted, '{}');
END $$;
COMMENT ON FUNCTION image_gen._adopt(uuid) IS 'Takes over unfinished jobs that are not this home''s, as if a worker of here had left them; which those are.';

CREATE FUNCTION image_gen._clock_set_back(seconds double precision) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.queue q SET ready_at = q.ready_at - make_interval(secs => seconds) WHERE q.state <> 'running' AND q.ready_at > clock_timestamp();
END $$;
COMMENT ON FUNCTION image_gen._clock_set_back(double precision) IS 'Jobs that were put off wait as long as they were told to, whatever the clock says.';

CREATE FUNCTION image_gen._start_epoch(pid integer, mode text, in_flight_cap integer, cap_reason text, configured text[], on_uncertain text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_epoch bigint;
BEGIN
  UPDATE image_gen.worker_state w
     SET epoch = w.epoch + 1, pid = $1, mode = $2, in_flight_cap = $3, cap_reason = $4, configured = $5,
         started_at = clock_timestamp()
  RETURNING w.epoch INTO STRICT this_epoch;
  -- A new life knows nobody to be unwell.
  DELETE FROM image_gen.health WHERE state <> 'up';
  PERFORM image_gen._take_over(this_epoch, NULL, on_uncertain);
  RETURN this_epoch;
END $$;
COMMENT ON FUNCTION image_gen._start_epoch(integer, text, integer, text, text[], text) IS 'Begins a life of the worker and takes over what the one before left in flight.';

CREATE FUNCTION image_gen._waiting() RETURNS TABLE (owner regrole, first bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
  -- From owner to owner by the index: the rows of each are not walked through.
  RETURN QUERY
  WITH RECURSIVE lanes AS (
    (SELECT q.owner, q.seq FROM image_gen.queue q WHERE q.state = 'ready' AND q.seq > 0 ORDER BY q.owner, q.seq LIMIT 1)
    UNION ALL
    SELECT n.owner, n.seq
      FROM lanes l
     CROSS JOIN LATERAL (SELECT q.owner, q.seq FROM image_gen.queue q
                          WHERE q.state = 'ready' AND q.seq > 0 AND q.owner > l.owner ORDER BY q.owner, q.seq LIMIT 1) n
  )
  SELECT l.owner, l.seq FROM lanes l;
END $$;
COMMENT ON FUNCTION image_gen._waiting() IS 'Who has ready jobs, and the first of each.';

CREATE TYPE image_gen._claimed AS (
  seq bigint, id text, owner regrole, operation text, prompt text, seed bigint, parameters jsonb, inputs jsonb, deadline timestamptz, attempts integer, progress jsonb,
  preferences jsonb, model text, model_is_open boolean, provider text, max_cost numeric, priority text,
  -- The attempt that an earlier life left under way.
  number integer, sent_to text, sent_model text, remote_id text, poll_url text, result_url text, cancel_url text, cost numeric, claimed_cost numeric, sent_at timestamptz);
COMMENT ON TYPE image_gen._claimed IS 'A job that is in flight from now on, with all that the worker needs to know about it.';

CREATE FUNCTION image_gen._claim(this_epoch bigint, at_most integer, after_seq bigint, owners oid[] DEFAULT NULL, afters bigint[] DEFAULT NULL, counts bigint[] DEFAULT NULL,
                                 this_home uuid DEFAULT NULL, library text DEFAULT NULL)
RETURNS SETOF image_gen._claimed
-- In the order of the index, and no further than asked: without statistics a bitmap of all that is ready looks cheaper, and is not.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off AS $$
DECLARE
  chosen bigint[];
  places tid[];
BEGIN
  -- A worker whose successor has begun takes nothing, nor does one whose database is held since, or whose extension was updated.
  IF this_epoch < (SELECT w.epoch FROM image_gen.worker_state w) OR this_home IS NULL AND image_gen._held() IS NOT NULL
     OR library <> (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'image_gen') THEN
    RETURN;
  END IF;
  this_home := coalesce(this_home, image_gen._home());
  IF EXISTS (SELECT FROM image_gen.waits w WHERE NOT w.checked OR after_seq = 0) OR after_seq = 0 AND EXISTS (SELECT FROM image_gen.cancels) THEN
    PERFORM image_gen._check_waits(after_seq = 0);
  END IF;
  IF EXISTS (SELECT FROM image_gen.budget_totals t WHERE t.newer IS NOT NULL) THEN
    PERFORM image_gen._book();
  END IF;
  -- Losing a claim to a crash is harmless, so it does not wait for the disk. The intent to send does.
  PERFORM set_config('synchronous_commit', 'off', true);
  IF owners IS NULL THEN
    SELECT array_agg(p.tid) INTO places FROM (
      SELECT q.ctid AS tid FROM image_gen.queue q
       WHERE q.state = 'ready' AND q.seq > after_seq AND q.ready_at <= clock_timestamp()
         -- Nearly all are of here. Where the planner takes that for one in two hundred, it sorts them all.
         AND CASE WHEN q.home = this_home THEN true ELSE false END
       ORDER BY q.seq LIMIT at_most FOR UPDATE SKIP LOCKED) p;
  ELSE
    -- Who has the fewest in flight is next.
    SELECT array_agg(f.seq) INTO chosen FROM (
      SELECT h.seq
        FROM unnest(owners, afters, counts) AS l(owner, after, in_flight)
       CROSS JOIN LATERAL (
         SELECT r.seq, row_number() OVER (ORDER BY r.seq) AS number
           FROM (SELECT q.seq FROM image_gen.queue q
                  WHERE q.state = 'ready' AND q.seq > 0 AND q.owner = l.owner AND q.seq > l.after AND q.ready_at <= clock_timestamp()
                    AND CASE WHEN q.home = this_home THEN true ELSE false END
                  ORDER BY q.seq LIMIT at_most) r) h
       ORDER BY l.in_flight + h.number, h.seq LIMIT at_most) f;
    SELECT array_agg(k.tid) INTO places
      FROM (SELECT q.ctid AS tid FROM image_gen.queue q WHERE q.seq = ANY (chosen) AND q.state = 'ready' FOR UPDATE SKIP LOCKED) k;
  END IF;
  IF places IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH claimed AS (
    UPDATE image_gen.queue q SET state = 'running', epoch = this_epoch
     WHERE q.ctid = ANY (places)
    RETURNING q.seq, q.job_id, q.attempts, q.progress
  ), started AS (
    UPDATE image_gen.jobs j SET status = 'running'
      FROM claimed c WHERE j.id = c.job_id
    RETURNING c.seq, c.attempts, c.progress, j.id, j.owner, j.operation, j.prompt, j.seed, j.parameters, j.model, j.model_is_open, j.provider,
              j.preferences, j.deadline, j.max_cost, j.priority
  )
  SELECT s.seq, s.id::text, s.owner, s.operation::text, s.prompt, s.seed::bigint, s.parameters,
         CASE WHEN s.parameters ?| '{image,mask,style_image,reference_image}' THEN
           (SELECT jsonb_object_agg(i.role, image_gen._place(s.parameters ->> i.role))
              FROM unnest('{image,mask,style_image,reference_image}'::text[]) AS i(role) WHERE s.parameters ? i.role) END,
         s.deadline, s.attempts, s.progress::jsonb, s.preferences, s.model, s.model_is_open, s.provider, s.max_cost::numeric, s.priority::text,
         a.number::integer, a.provider, a.model, a.remote_id, a.poll_url, a.result_url, a.cancel_url, a.billed_cost::numeric, a.claimed_cost::numeric, a.sent_at
    FROM started s
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = s.id AND t.status = 'running' AND s.attempts > 0 OFFSET 0) a ON true
   ORDER BY s.seq;
END $$;
COMMENT ON FUNCTION image_gen._claim(bigint, integer, bigint, oid[], bigint[], bigint[], uuid, text) IS
'Takes ready jobs into flight, with all that the worker needs to know about them: in the order of the queue after a watermark, or by turns from the lanes of owners, each after a place of its own
and with so many in flight already. this_home: the home of this database, which is not held, as the worker knows; without it that is looked at here.';

CREATE FUNCTION image_gen._cancellations(this_epoch bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT q.seq FROM image_gen.cancels c JOIN image_gen.queue q ON q.seq = c.seq WHERE q.state = 'running' AND q.epoch = $1
$$;
COMMENT ON FUNCTION image_gen._cancellations(bigint) IS 'Jobs in flight that a user wants stopped.';

CREATE FUNCTION image_gen._keep(hash text, media_type text, picture bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.blobs (sha256, content_type, bytes) VALUES (hash, media_type, picture)
  ON CONFLICT ON CONSTRAINT blobs_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen._keep(text, text, bytea) IS 'Stores the bytes of a picture under their own hash.';

CREATE FUNCTION image_gen._bytes(hash text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT b.bytes FROM image_gen.blobs b WHERE b.sha256 = $1
$$;
COMMENT ON FUNCTION image_gen._bytes(text) IS 'The bytes of a picture that is kept.';

-- Not PL/pgSQL: this one becomes part of the queries that use it. (Its names are bound when it is created.)
CREATE FUNCTION image_gen._cost_of(counted_id text) RETURNS TABLE (total numeric, known numeric, source text, currency text)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT CASE WHEN s.source <> 'unknown' THEN s.known END, s.known, s.source, c.currency
    -- Amounts of two currencies have no sum: it is in that of the call that made the picture, and what it leaves out makes it unknown.
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
COMMENT ON FUNCTION image_gen._cost_of(text) IS 'What the calls of a job were billed together: NULL when that of any is unknown, and beside it what is known.';

CREATE FUNCTION image_gen._lock_jobs(ids text[]) RETURNS tid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT array_agg(l.tid ORDER BY i.n)
            FROM unnest(ids) WITH ORDINALITY AS i(id, n)
            LEFT JOIN LATERAL (SELECT j.ctid AS tid FROM image_gen.jobs j WHERE j.id = i.id FOR NO KEY UPDATE) l ON true);
END $$;
COMMENT ON FUNCTION image_gen._lock_jobs(text[]) IS 'Locks jobs; where each of them is, NULL for one that is not there.';

CREATE FUNCTION image_gen._close_jobs(ids text[], statuses text[], codes text[], messages text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  places tid[] := image_gen._lock_jobs(ids);
  one record;
BEGIN
  UPDATE image_gen.jobs j
     SET status = i.status, error_code = i.code, error_message = i.message, finished_at = clock_timestamp(),
         billed_cost = c.total, known_cost = c.known, cost_source = c.source, currency = c.currency
    FROM unnest(places, ids, statuses, codes, messages) AS i(place, id, status, code, message)
   CROSS JOIN LATERAL image_gen._cost_of(i.id) c
   WHERE j.ctid = i.place AND j.status IN ('queued', 'running');
  IF EXISTS (SELECT FROM image_gen.budgets) THEN
    PERFORM image_gen._charge(i.id) FROM unnest(ids) AS i(id) WHERE i.id IS NOT NULL;
  END IF;
  PERFORM image_gen._due_callbacks(ids);
  IF EXISTS (SELECT FROM image_gen.waits) THEN
    FOR one IN
      SELECT i.id, i.status FROM unnest(ids, statuses) AS i(id, status)
       WHERE i.status <> 'needs_review' AND EXISTS (SELECT FROM image_gen.waits w WHERE w.needs = i.id)
    LOOP
      PERFORM image_gen._let_go(one.id, one.status);
    END LOOP;
  END IF;
  -- A full notification queue would fail the transaction that saves a paid picture: then nobody is told.
  IF pg_notification_queue_usage() < 0.5 THEN
    -- Any role can listen: that something ended is all that it is told, once a transaction.
    PERFORM pg_notify('image_gen', '');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._close_jobs(text[], text[], text[], text[]) IS
'Ends jobs: their status, their cost from their attempts, what waits for them, and a notification. An id that is NULL is left out.';

CREATE FUNCTION image_gen._close(closed_id text, new_status text, code text, message text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._close_jobs(ARRAY[$1], ARRAY[$2], ARRAY[$3], ARRAY[$4]);
END $$;
COMMENT ON FUNCTION image_gen._close(text, text, text, text) IS 'Ends one job.';

CREATE FUNCTION image_gen._reopen(reopened_id text, new_progress jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old image_gen.jobs;
BEGIN
  UPDATE image_gen.jobs j
     SET status = 'queued', error_code = NULL, error_message = NULL, finished_at = NULL, billed_cost = NULL, known_cost = NULL, cost_source = NULL
   WHERE j.id = reopened_id AND j.status = 'needs_review'
  RETURNING * INTO STRICT old;
  -- What it held for its next call was given back when it ended. (After a call that was billed, the next one asks for more itself.)
  PERFORM image_gen._afford(old.id, coalesce(a.estimated_cost, old.estimated_cost), true)
     FROM (SELECT) one LEFT JOIN image_gen.attempts a
       ON a.job_id = old.id AND a.number = (SELECT max(l.number) FROM image_gen.attempts l WHERE l.job_id = old.id)
    WHERE a.id IS NULL OR a.billed_cost = 0;
  INSERT INTO image_gen.queue (seq, job_id, owner, attempts, progress)
  VALUES (old.seq, old.id, old.owner, (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = old.id), new_progress);
  PERFORM image_gen._charge(old.id);
  PERFORM image_gen._book();
  PERFORM image_gen._wake(old.seq);
END $$;
COMMENT ON FUNCTION image_gen._reopen(text, jsonb) IS 'needs_review -> queued: the same job, with the same seed, goes on.';

CREATE FUNCTION image_gen._retarget(target_id text, new_model text, new_provider text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j SET model = new_model, model_is_open = false, provider = new_provider WHERE j.id = target_id AND j.status = 'needs_review';
END $$;
COMMENT ON FUNCTION image_gen._retarget(text, text, text) IS 'Another model for a job that waits for a person.';

CREATE FUNCTION image_gen._bring(brought_id text, bringer regrole, cost numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.attempts (job_id, number, provider, model, status, prompt, seed, seed_honored, billed_cost, cost_source, owner, epoch,
                                  warnings, finished_at)
  SELECT j.id, 1 + (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = j.id), 'person', j.model, 'succeeded',
         j.prompt, j.seed, false, coalesce(cost, 0), 'reported', j.owner, 0,
         jsonb_build_array(jsonb_build_object('code', 'brought', 'message', format('brought by %s', image_gen._role_name(bringer)))), clock_timestamp()
    FROM image_gen.jobs j WHERE j.id = brought_id;
END $$;
COMMENT ON FUNCTION image_gen._bring(text, regrole, numeric) IS 'A picture that a person brought, as an attempt of provider person.';

CREATE FUNCTION image_gen._conclude(concluded_id text, new_status text, code text, message text, picture_url text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Back to where _close may end it, within this transaction.
  UPDATE image_gen.jobs j SET status = 'queued', error_code = NULL, error_message = NULL, finished_at = NULL
   WHERE j.id = concluded_id AND j.status = 'needs_review';
  IF new_status = 'succeeded' THEN
    UPDATE image_gen.attempts a SET status = 'succeeded', error_code = NULL, error_message = NULL
     WHERE a.id = (SELECT max(l.id) FROM image_gen.attempts l WHERE l.job_id = concluded_id);
  END IF;
  PERFORM image_gen._close(concluded_id, new_status, code, message);
  PERFORM image_gen._wake(NULL);
  IF new_status = 'succeeded' THEN
    PERFORM image_gen._deliver(ARRAY[concluded_id], ARRAY[1], ARRAY[picture_url], NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._conclude(text, text, text, text, text) IS 'A person''s word ends a job that waited for it.';

CREATE FUNCTION image_gen._cancel(canceled_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_seq bigint := (SELECT j.seq FROM image_gen.jobs j WHERE j.id = canceled_id AND j.status IN ('queued', 'running'));
BEGIN
  DELETE FROM image_gen.queue q
   WHERE q.seq = this_seq AND q.job_id = canceled_id AND q.state <> 'running'
     AND NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = canceled_id AND a.status = 'running');
  IF FOUND THEN
    DELETE FROM image_gen.waits w WHERE w.seq = this_seq;
    DELETE FROM image_gen.cancels c WHERE c.seq = this_seq;
    PERFORM image_gen._close(canceled_id, 'canceled', 'canceled', 'canceled before it was sent');
  ELSE
    INSERT INTO image_gen.cancels (seq) SELECT q.seq FROM image_gen.queue q WHERE q.seq = this_seq AND q.job_id = canceled_id
    ON CONFLICT ON CONSTRAINT cancels_pkey DO NOTHING;
  END IF;
  PERFORM image_gen._wake(NULL);
END $$;
COMMENT ON FUNCTION image_gen._cancel(text) IS 'Ends a waiting job at once; asks the worker to stop one in flight.';

CREATE FUNCTION image_gen._note_health(rows jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.health AS h (provider, model, state, since, failures, last_error_code, last_error_at)
  SELECT r.provider, r.model, r.state, to_timestamp(r.since / 1000.0), r.failures, r.last_error_code,
         to_timestamp(r.last_error_at / 1000.0)
    FROM jsonb_to_recordset(rows) AS r(provider text, model text, state text, since numeric, failures integer,
                                       last_error_code text, last_error_at numeric)
  ON CONFLICT (provider, model) DO UPDATE
     SET state = excluded.state, since = excluded.since, failures = excluded.failures,
         last_error_code = excluded.last_error_code, last_error_at = excluded.last_error_at;
END $$;
COMMENT ON FUNCTION image_gen._note_health(jsonb) IS 'What the worker wants to be seen in provider_health.';

CREATE FUNCTION image_gen._note_balance(provider text, amount numeric, credits numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.provider_balances AS b (provider, amount, credits, checked_at) VALUES ($1, $2, $3, clock_timestamp())
  ON CONFLICT ON CONSTRAINT provider_balances_pkey DO UPDATE SET amount = excluded.amount, credits = excluded.credits, checked_at = excluded.checked_at;
END $$;
COMMENT ON FUNCTION image_gen._note_balance(text, numeric, numeric) IS 'What the account at a provider has left.';

CREATE FUNCTION image_gen._note(configured text[], error text, in_flight_cap integer, cap_reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.worker_state w
     SET configured = coalesce($1, w.configured), last_error = coalesce($2, w.last_error),
         last_error_at = CASE WHEN $2 IS NULL THEN w.last_error_at ELSE clock_timestamp() END,
         in_flight_cap = coalesce($3, w.in_flight_cap), cap_reason = coalesce($4, w.cap_reason);
END $$;
COMMENT ON FUNCTION image_gen._note(text[], text, integer, text) IS 'What the worker wants to be seen in worker_status.';

SET LOCAL search_path = image_gen, pg_temp;
