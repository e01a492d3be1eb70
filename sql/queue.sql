-- The state machine in the database. Only the functions in this file change the state of a job.
--
--   _enqueue      → queued                      in the caller's transaction
--   _let_go       a job that waited for another → ready | failed
--   _take_over    running, and nobody follows it → queued (to resume or begin) | needs_review | canceled
--   _claim        queued → running              commits without waiting for the disk: losing it loses nothing
--   _journal      running → attempts, assets, queued | succeeded | failed | needs_review | canceled
--   _cancel       queued → canceled; running → a request that the worker acts on
--   _reopen       needs_review → queued
--   _conclude     needs_review → succeeded | failed | canceled
--
-- Each change is guarded: a row is touched only in the state, and for the epoch, that the caller expects.

CREATE FUNCTION image_gen._enqueue(job image_gen.jobs, needs text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_seq bigint;
BEGIN
  INSERT INTO image_gen.jobs
    (id, operation, task, prompt, model, provider, seed, parameters, metadata, preferences, owner, idempotency_key,
     request_hash, deadline, max_cost, estimated_seconds, estimated_cost, warnings, priority)
  VALUES
    (job.id, job.operation, job.task, job.prompt, job.model, job.provider, job.seed, job.parameters, job.metadata,
     job.preferences, job.owner, job.idempotency_key, job.request_hash, job.deadline, job.max_cost,
     job.estimated_seconds, job.estimated_cost, job.warnings, job.priority)
  ON CONFLICT (owner, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
  RETURNING seq INTO new_seq;
  IF new_seq IS NOT NULL THEN
    INSERT INTO image_gen.queue (seq, job_id, state)
    VALUES (new_seq, job.id, CASE WHEN cardinality(needs) > 0 THEN 'waiting' ELSE 'ready' END);
    INSERT INTO image_gen.waits (needs, seq) SELECT DISTINCT n, new_seq FROM unnest(needs) n;
    PERFORM image_gen._wake(new_seq);
  END IF;
  RETURN new_seq;
END $$;
COMMENT ON FUNCTION image_gen._enqueue(image_gen.jobs, text[]) IS 'Writes a job, which waits for the jobs that it needs, and wakes the worker at COMMIT. NULL when a job with this idempotency key exists.';

-- Functions on the way of every job are PL/pgSQL even where SQL would do: it keeps their plans.
CREATE FUNCTION image_gen._candidates(task text, model text, provider text, disabled_too boolean DEFAULT false) RETURNS jsonb
-- A plan for these values would take three times as long to make as the general one takes to run.
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  -- A strict reference picture is a task of its own where a provider has a model for it.
  plain text := CASE task WHEN 'character' THEN 'generate' ELSE task END;
BEGIN
  RETURN (
    WITH offers AS (
      SELECT p.id AS provider, p.priority, m.*, false AS stands_in
        FROM image_gen.models m JOIN image_gen.providers p ON p.kind = m.provider_kind AND (p.enabled OR $4)
       WHERE $2 IS NOT NULL AND m.name IN ($2, '*') AND m.successor IS NULL AND ($3 IS NULL OR p.id = $3)
         -- A model without a row is reached through its provider's *.
         AND (m.name = $2 OR m.name = '*' AND $3 IS NOT NULL
              AND NOT EXISTS (SELECT FROM image_gen.models o WHERE o.name = $2 AND o.provider_kind = m.provider_kind))
    ), usual AS (
      SELECT DISTINCT ON (p.id) p.id AS provider, p.priority, m.*, $2 IS NOT NULL AS stands_in
        FROM image_gen.models m JOIN image_gen.providers p ON p.kind = m.provider_kind AND (p.enabled OR $4)
       WHERE $1 IS NOT NULL AND m.successor IS NULL AND ($3 IS NULL OR p.id = $3) AND p.kind <> 'preview'
         -- Who can inpaint can outpaint: on a larger canvas.
         AND m.default_for && ARRAY[plain, $1, CASE $1 WHEN 'outpaint' THEN 'inpaint' ELSE $1 END]
         -- Nobody without a key stands in; who was asked for is listed without one, so that it can be said.
         AND ($2 IS NULL OR (SELECT w.configured IS NULL OR image_gen._has_access(p.kind, p.base_url, p.key_name, w.configured)
                               FROM image_gen.worker_state w))
         AND NOT EXISTS (SELECT FROM offers o WHERE o.provider = p.id)
       ORDER BY p.id, $1 = ANY (m.default_for) DESC
    )
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
             'provider', c.provider, 'kind', p.kind, 'base_url', p.base_url, 'key_name', p.key_name, 'api', c.api,
             'model', CASE c.name WHEN '*' THEN $2 ELSE c.name END,
             'remote_name', CASE c.name WHEN '*' THEN $2 ELSE c.remote_name END,
             'operations', to_jsonb(c.operations), 'sizes', c.sizes, 'prompt_chars', c.prompt_chars, 'max_n', c.max_n,
             'parameters', c.parameters, 'fixed', c.fixed, 'stands_in', c.stands_in,
             'typical_seconds', coalesce(t.seconds, c.typical_seconds),
             'max_in_flight', p.max_in_flight, 'requests_per_minute', p.requests_per_minute,
             'prices', (SELECT jsonb_agg(jsonb_build_object('unit', r.unit, 'quality', r.quality, 'amount', r.amount::text,
                                                           'currency', r.currency)
                                         ORDER BY r.origin, r.id DESC)
                          FROM image_gen.prices r
                         WHERE r.model = c.name AND r.provider_kind = c.provider_kind
                           -- One price of an administrator's own puts all of the catalogue's aside, in whatever unit.
                           AND (r.origin = 'admin' OR NOT EXISTS (
                                 SELECT FROM image_gen.prices o
                                  WHERE o.model = r.model AND o.provider_kind = r.provider_kind AND o.origin = 'admin'
                                    AND current_date >= o.valid_from AND current_date < o.valid_to))
                           AND current_date >= r.valid_from AND current_date < r.valid_to)))
             ORDER BY c.stands_in, c.priority, c.provider), '[]')
      FROM (SELECT * FROM offers UNION ALL SELECT * FROM usual) c
      JOIN image_gen.providers p ON p.id = c.provider
      LEFT JOIN image_gen.timings t ON t.provider = c.provider AND t.model = CASE c.name WHEN '*' THEN $2 ELSE c.name END);
END $$;
COMMENT ON FUNCTION image_gen._candidates(text, text, text, boolean) IS
'The (provider, model) pairs that could do a task, in the administrator''s order: those that offer the model, then the usual models of the
others, which stand in. Without a model: the usual ones. Without a task: none stand in.';

CREATE FUNCTION image_gen._offers(asked text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT image_gen._candidates(NULL, t.model, t.provider) FROM image_gen._resolve_model(asked) t);
EXCEPTION WHEN undefined_object THEN
  RETURN '[]';  -- its row is gone since: nobody offers it
END $$;
COMMENT ON FUNCTION image_gen._offers(text) IS 'The candidates of a model by its name; none when there is no such model any more.';

CREATE FUNCTION image_gen._rungs() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                   'action', l.action, 'candidates', CASE WHEN l.model IS NOT NULL THEN image_gen._offers(l.model) END))
                 ORDER BY l.rung), '[]')
            FROM image_gen.ladder l);
END $$;
COMMENT ON FUNCTION image_gen._rungs() IS 'What follows a refusal, with the candidates of the models that it names.';

CREATE FUNCTION image_gen._place(reference text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  place jsonb;
BEGIN
  IF reference LIKE 'image-gen:sha256:%' THEN
    RETURN jsonb_build_object('stored', substr(reference, 18));
  ELSIF reference LIKE 'asset:%' OR reference LIKE 'job:%' THEN
    SELECT jsonb_strip_nulls(jsonb_build_object(
             'stored', (SELECT b.sha256 FROM image_gen.blobs b WHERE b.sha256 = a.sha256),
             'url', (SELECT u FROM unnest(ARRAY[a.mirror_url, a.url]) u WHERE u ~ '^https?://' LIMIT 1)))
      INTO place
      FROM image_gen.campaign_assets a
     WHERE CASE WHEN reference LIKE 'asset:%' THEN a.id = substr(reference, 7)::bigint
                ELSE a.job_id = substr(reference, 5) AND a.position = 1 END;
    RETURN coalesce(place, '{}');
  END IF;
  RETURN jsonb_build_object('url', reference);
END $$;
COMMENT ON FUNCTION image_gen._place(text) IS 'Where the bytes of a picture are that a job refers to: stored under a hash, at a URL, or both.';

CREATE FUNCTION image_gen._let_go(needed text, ended_as text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  freed bigint;
  waiting_id text;
BEGIN
  FOR freed IN DELETE FROM image_gen.waits w WHERE w.needs = needed RETURNING w.seq LOOP
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
    SELECT DISTINCT w.needs, coalesce(j.status, 'gone') AS status
      FROM image_gen.waits w LEFT JOIN image_gen.jobs j ON j.id = w.needs
     WHERE (every_one OR NOT w.checked) AND (j.status IN ('succeeded', 'failed', 'canceled') OR j.id IS NULL)
  LOOP
    PERFORM image_gen._let_go(one.needs, one.status);
  END LOOP;
  UPDATE image_gen.waits w SET checked = true WHERE NOT w.checked;
END $$;
COMMENT ON FUNCTION image_gen._check_waits(boolean) IS 'Finds jobs that wait for something that has ended already.';

CREATE FUNCTION image_gen._take_over(this_epoch bigint, lost bigint[], on_uncertain text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
BEGIN
  -- In a statement of its own, before anything is looked at: what a worker of before is just committing for these jobs
  -- is waited for here, and seen below. NULL is all of them.
  PERFORM FROM image_gen.queue q
    WHERE q.state = 'running' AND q.epoch <= this_epoch AND (lost IS NULL OR q.seq = ANY (lost))
    ORDER BY q.seq FOR UPDATE;
  FOR one IN
    SELECT q.seq, q.job_id, q.cancel_requested, a.id AS attempt, a.remote_id, p.kind
      FROM image_gen.queue q
      LEFT JOIN image_gen.attempts a ON a.job_id = q.job_id AND a.status = 'running'
      LEFT JOIN image_gen.providers p ON p.id = a.provider
     WHERE q.state = 'running' AND q.epoch <= this_epoch AND (lost IS NULL OR q.seq = ANY (lost))
     ORDER BY q.seq
  LOOP
    IF one.attempt IS NOT NULL AND one.remote_id IS NULL THEN
      -- Sent, as far as anybody knows, and not accepted, as far as anybody knows. (A preview is sent nowhere.)
      UPDATE image_gen.attempts
         SET status = CASE one.kind WHEN 'preview' THEN 'failed' ELSE 'uncertain' END,
             error_code = CASE one.kind WHEN 'preview' THEN 'unknown' ELSE 'uncertain' END,
             error_message = 'the worker ended between sending the request and learning its fate',
             billed_cost = CASE one.kind WHEN 'preview' THEN 0 END,
             cost_source = CASE one.kind WHEN 'preview' THEN 'priced' ELSE 'unknown' END,
             finished_at = clock_timestamp()
       WHERE id = one.attempt;
      IF one.kind IS DISTINCT FROM 'preview' AND on_uncertain <> 'retry' THEN
        PERFORM image_gen._close(one.job_id, 'needs_review', 'uncertain',
                                 'a request was sent and nobody knows whether it was accepted: it is not sent again by itself');
        DELETE FROM image_gen.queue WHERE seq = one.seq;
        CONTINUE;
      END IF;
    END IF;
    IF one.cancel_requested AND one.remote_id IS NULL THEN
      PERFORM image_gen._close(one.job_id, 'canceled', 'canceled', 'canceled before it was sent');
      DELETE FROM image_gen.queue WHERE seq = one.seq;
    ELSE
      -- It was accepted, and is resumed by its remote id, or nothing is on its way.
      UPDATE image_gen.queue SET state = 'ready', epoch = NULL WHERE seq = one.seq;
      UPDATE image_gen.jobs SET status = 'queued' WHERE id = one.job_id;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen._take_over(bigint, bigint[], text) IS 'Decides about jobs in flight that nobody follows any more: resume, begin again, cancel, or ask a person.';

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

CREATE FUNCTION image_gen._claim(this_epoch bigint, at_most integer, after_seq bigint)
RETURNS TABLE (seq bigint, id text, job jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- A worker whose successor has begun takes nothing.
  IF this_epoch < (SELECT w.epoch FROM image_gen.worker_state w) THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM image_gen.waits w WHERE NOT w.checked OR after_seq = 0) THEN
    PERFORM image_gen._check_waits(after_seq = 0);
  END IF;
  -- Losing a claim to a crash is harmless, so it does not wait for the disk. The intent to send does.
  PERFORM set_config('synchronous_commit', 'off', true);
  RETURN QUERY
  WITH picked AS (
    SELECT q.seq FROM image_gen.queue q
     WHERE q.state = 'ready' AND q.seq > after_seq AND q.ready_at <= clock_timestamp()
     ORDER BY q.seq LIMIT at_most FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE image_gen.queue q SET state = 'running', epoch = this_epoch
      FROM picked WHERE q.seq = picked.seq
    RETURNING q.seq, q.job_id, q.attempts, q.progress
  ), started AS (
    UPDATE image_gen.jobs j SET status = 'running'
      FROM claimed c WHERE j.id = c.job_id
    RETURNING c.seq, c.attempts, c.progress, j.id, j.operation, j.prompt, j.seed, j.parameters, j.model, j.provider, j.task,
              j.preferences, j.deadline, j.max_cost, j.priority
  ), ladder AS MATERIALIZED (
    SELECT image_gen._rungs() AS rungs
  ), routes AS (
    SELECT r.model, r.provider, r.task, image_gen._candidates(r.task, r.model, r.provider) AS candidates
      FROM (SELECT DISTINCT s.model, s.provider, s.task FROM started s) r
  )
  SELECT s.seq, s.id, jsonb_build_object(
           'operation', s.operation,
           'request', s.parameters || jsonb_build_object('prompt', s.prompt, 'seed', s.seed),
           'pictures', (SELECT jsonb_object_agg(i.role, image_gen._place(s.parameters ->> i.role))
                          FROM unnest('{image,mask,style_image,reference_image}'::text[]) AS i(role)
                         WHERE s.parameters ? i.role),
           'deadline', CASE WHEN isfinite(s.deadline) THEN (extract(epoch FROM s.deadline) * 1000)::bigint END,
           'attempts', s.attempts, 'progress', s.progress, 'preferences', s.preferences, 'candidates', r.candidates,
           'max_cost', s.max_cost::text, 'priority', s.priority, 'ladder', l.rungs,
           'resume', (SELECT jsonb_build_object('number', a.number, 'provider', a.provider, 'remote_id', a.remote_id,
                               'poll_url', a.poll_url, 'result_url', a.result_url, 'cancel_url', a.cancel_url, 'cost', a.billed_cost::text,
                               -- A task is followed to its end although its provider was switched off meanwhile.
                               'candidates', image_gen._candidates(NULL, a.model, a.provider, true),
                               'sent_at', (extract(epoch FROM a.sent_at) * 1000)::bigint)
                        FROM image_gen.attempts a
                       WHERE a.job_id = s.id AND a.status = 'running' AND a.remote_id IS NOT NULL AND s.attempts > 0))
    FROM started s CROSS JOIN ladder l JOIN routes r ON r.model = s.model AND r.provider IS NOT DISTINCT FROM s.provider AND r.task = s.task
   ORDER BY s.seq;
END $$;
COMMENT ON FUNCTION image_gen._claim(bigint, integer, bigint) IS 'Takes ready jobs after a watermark into flight, with all that the worker needs to know about them.';

CREATE FUNCTION image_gen._cancellations(this_epoch bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT seq FROM image_gen.queue WHERE state = 'running' AND epoch = $1 AND cancel_requested
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

CREATE FUNCTION image_gen._close(closed_id text, new_status text, code text, message text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j
     SET status = $2, error_code = $3, error_message = $4, finished_at = clock_timestamp(),
         billed_cost = s.total, cost_source = s.source
    FROM (SELECT sum(a.billed_cost) AS total,
                 CASE WHEN bool_or(a.cost_source = 'unknown') THEN 'unknown'
                      WHEN bool_or(a.cost_source = 'reported') THEN 'reported'
                      WHEN count(*) > 0 THEN 'priced' END AS source
            FROM image_gen.attempts a WHERE a.job_id = $1) s
   WHERE j.id = $1 AND j.status IN ('queued', 'running');
  IF new_status <> 'needs_review' THEN
    PERFORM image_gen._let_go($1, $2);
  END IF;
  -- A full notification queue would fail the transaction that saves a paid picture: then nobody is told.
  IF pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('image_gen', json_build_object('id', $1, 'status', $2)::text);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._close(text, text, text, text) IS 'Ends a job: its status, its cost from its attempts, and a notification.';

CREATE FUNCTION image_gen._journal(this_epoch bigint, items jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owned bigint[];
  entry record;
BEGIN
  -- Whatever is not in flight for this epoch is somebody else's, and a job that a user wants stopped is not
  -- sent: neither is touched, and the worker learns it from the answer.
  SELECT array_agg(q.seq) INTO owned
    FROM (SELECT q.seq FROM image_gen.queue q
            JOIN jsonb_to_recordset(items) AS i(seq bigint, begins boolean) ON i.seq = q.seq
           WHERE q.state = 'running' AND q.epoch = this_epoch AND NOT (i.begins AND q.cancel_requested)
           ORDER BY q.seq FOR UPDATE OF q) q;
  IF owned IS NULL THEN
    RETURN;
  END IF;

  FOR entry IN
    SELECT i.seq, i.job_id, e.value AS e, e.value ->> 'entry' AS kind
      FROM jsonb_to_recordset(items) AS i(seq bigint, job_id text, entries jsonb)
     CROSS JOIN LATERAL jsonb_array_elements(i.entries) WITH ORDINALITY AS e(value, position)
     WHERE i.seq = ANY (owned)
     ORDER BY i.seq, e.position
  LOOP
    CASE entry.kind
    WHEN 'begin' THEN
      INSERT INTO image_gen.attempts (job_id, number, provider, model, prompt, seed, seed_honored, warnings, owner, epoch)
      SELECT j.id, (entry.e ->> 'number')::int, entry.e ->> 'provider', entry.e ->> 'model', entry.e ->> 'prompt',
             (entry.e ->> 'seed')::bigint, (entry.e ->> 'seed_honored')::boolean, entry.e -> 'warnings', j.owner, this_epoch
        FROM image_gen.jobs j WHERE j.id = entry.job_id;
      UPDATE image_gen.queue SET attempts = (entry.e ->> 'number')::int, progress = coalesce(entry.e -> 'progress', progress) WHERE seq = entry.seq;
    WHEN 'checkpoint' THEN
      UPDATE image_gen.attempts a
         SET remote_id = entry.e #>> '{remote,id}', poll_url = entry.e #>> '{remote,poll_url}',
             result_url = entry.e #>> '{remote,result_url}', cancel_url = entry.e #>> '{remote,cancel_url}',
             http_status = (entry.e ->> 'http_status')::int,
             billed_cost = (entry.e #>> '{cost,amount}')::numeric,
             cost_source = coalesce(entry.e #>> '{cost,source}', 'unknown'),
             currency = coalesce(entry.e #>> '{cost,currency}', a.currency)
       WHERE a.job_id = entry.job_id AND a.number = (entry.e ->> 'number')::int AND a.status = 'running';
    WHEN 'end' THEN
      UPDATE image_gen.attempts a
         SET status = entry.e ->> 'status',
             error_code = entry.e #>> '{failed,code}', error_message = entry.e #>> '{failed,message}',
             http_status = coalesce((entry.e ->> 'http_status')::int, a.http_status),
             billed_cost = (entry.e #>> '{cost,amount}')::numeric, cost_source = entry.e #>> '{cost,source}',
             currency = entry.e #>> '{cost,currency}',
             tokens = nullif(entry.e -> 'tokens', 'null'), render_seconds = (entry.e ->> 'render_seconds')::numeric,
             seed = coalesce((entry.e ->> 'seed')::bigint, a.seed),
             warnings = entry.e -> 'warnings', finished_at = clock_timestamp()
       WHERE a.job_id = entry.job_id AND a.number = (entry.e ->> 'number')::int AND a.status = 'running';
      IF entry.e ->> 'status' = 'succeeded' THEN
        PERFORM image_gen._learn(entry.job_id, (entry.e ->> 'number')::int);
      END IF;
    WHEN 'later' THEN
      UPDATE image_gen.queue
         SET state = 'ready', epoch = NULL, progress = coalesce(entry.e -> 'progress', progress),
             ready_at = clock_timestamp() + make_interval(secs => (entry.e ->> 'after_seconds')::float8)
       WHERE seq = entry.seq;
      UPDATE image_gen.jobs SET status = 'queued' WHERE id = entry.job_id;
    WHEN 'close' THEN
      PERFORM image_gen._close(entry.job_id, entry.e ->> 'status', entry.e #>> '{failed,code}', entry.e #>> '{failed,message}');
      IF entry.e ->> 'status' = 'succeeded' THEN
        PERFORM image_gen._deliver(entry.job_id, entry.e -> 'pictures');
      END IF;
      DELETE FROM image_gen.queue WHERE seq = entry.seq;
    END CASE;
  END LOOP;
  RETURN QUERY SELECT unnest(owned);
END $$;
COMMENT ON FUNCTION image_gen._journal(bigint, jsonb) IS 'Makes journal entries durable, in order, for the jobs that are in flight for this epoch; returns which those are.';

CREATE FUNCTION image_gen._deliver(done_id text, pictures jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.campaign_assets
    (job_id, position, campaign, shot, ticket, url, url_expires_at, provider, model, seed, prompt, negative_prompt,
     width, height, content_type, byte_size, sha256, billed_cost, currency, cost_source, metadata, owner)
  SELECT j.id, p.position, j.metadata ->> 'campaign', j.metadata ->> 'shot', j.metadata ->> 'ticket',
         coalesce(p.value ->> 'url', 'image-gen:sha256:' || (p.value ->> 'sha256')),
         clock_timestamp() + make_interval(secs => (p.value ->> 'lifetime_seconds')::float8),
         a.provider, a.model, a.seed, a.prompt, j.parameters ->> 'negative_prompt',
         (p.value ->> 'width')::int, (p.value ->> 'height')::int, p.value ->> 'content_type',
         (p.value ->> 'byte_size')::bigint, p.value ->> 'sha256',
         -- Shares of a millionth at the finest; the first picture carries what does not divide.
         trim_scale(CASE WHEN p.position = 1 THEN j.billed_cost - (n.pictures - 1) * trunc(j.billed_cost / n.pictures, 6)
                         ELSE trunc(j.billed_cost / n.pictures, 6) END),
         j.currency, j.cost_source, j.metadata, j.owner
    FROM image_gen.jobs j
    JOIN image_gen.attempts a ON a.job_id = j.id AND a.status = 'succeeded'
   CROSS JOIN (SELECT jsonb_array_length($2) AS pictures) n
   CROSS JOIN jsonb_array_elements($2) WITH ORDINALITY AS p(value, position)
   WHERE j.id = $1;
END $$;
COMMENT ON FUNCTION image_gen._deliver(text, jsonb) IS 'Writes the assets of a finished job.';

CREATE FUNCTION image_gen._learn(done_id text, done_number integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A running 75th percentile: up by 7.5 % of a render that took longer (but at most by 15 %: it may be an outlier), down
  -- by 2.5 % when it did not. 5 % are forgiven, because a poll only ever sees the end of a render late.
  INSERT INTO image_gen.timings AS t (provider, model, seconds, samples)
  SELECT a.provider, a.model, round(a.render_seconds, 3), 1
    FROM image_gen.attempts a
   WHERE a.job_id = $1 AND a.number = $2 AND a.render_seconds > 0
  ON CONFLICT (provider, model) DO UPDATE
     SET samples = t.samples + 1,
         seconds = CASE WHEN t.samples < 4 THEN greatest(t.seconds, excluded.seconds)
                        WHEN excluded.seconds > t.seconds * 1.05 THEN round(t.seconds + 0.075 * least(excluded.seconds, 2 * t.seconds), 3)
                        ELSE greatest(round(t.seconds * 0.975, 3), 0.1) END;
END $$;
COMMENT ON FUNCTION image_gen._learn(text, integer) IS 'Lets the estimate of a model follow what its renders really take.';

CREATE FUNCTION image_gen._reopen(reopened_id text, new_progress jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old image_gen.jobs;
BEGIN
  UPDATE image_gen.jobs j
     SET status = 'queued', error_code = NULL, error_message = NULL, finished_at = NULL, billed_cost = NULL, cost_source = NULL
   WHERE j.id = reopened_id AND j.status = 'needs_review'
  RETURNING * INTO STRICT old;
  INSERT INTO image_gen.queue (seq, job_id, attempts, progress)
  VALUES (old.seq, old.id, (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = old.id), new_progress);
  PERFORM image_gen._wake(old.seq);
END $$;
COMMENT ON FUNCTION image_gen._reopen(text, jsonb) IS 'needs_review → queued: the same job, with the same seed, goes on.';

CREATE FUNCTION image_gen._retarget(target_id text, new_model text, new_provider text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.jobs j SET model = new_model, provider = new_provider WHERE j.id = target_id AND j.status = 'needs_review';
END $$;
COMMENT ON FUNCTION image_gen._retarget(text, text, text) IS 'Another model for a job that waits for a person.';

CREATE FUNCTION image_gen._bring(brought_id text, bringer name, cost numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.attempts (job_id, number, provider, model, status, prompt, seed, seed_honored, billed_cost, cost_source, owner, epoch,
                                  warnings, finished_at)
  SELECT j.id, 1 + (SELECT coalesce(max(a.number), 0) FROM image_gen.attempts a WHERE a.job_id = j.id), 'person', j.model, 'succeeded',
         j.prompt, j.seed, false, coalesce(cost, 0), 'reported', j.owner, 0,
         jsonb_build_array(jsonb_build_object('code', 'brought', 'message', format('brought by %s', bringer))), clock_timestamp()
    FROM image_gen.jobs j WHERE j.id = brought_id;
END $$;
COMMENT ON FUNCTION image_gen._bring(text, name, numeric) IS 'A picture that a person brought, as an attempt of provider person.';

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
    PERFORM image_gen._deliver(concluded_id, jsonb_build_array(jsonb_build_object('url', picture_url)));
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._conclude(text, text, text, text, text) IS 'A person''s word ends a job that waited for it.';

CREATE FUNCTION image_gen._cancel(canceled_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  waiting record;
BEGIN
  SELECT q.seq, q.state INTO waiting FROM image_gen.queue q WHERE q.job_id = canceled_id
     AND q.seq = (SELECT j.seq FROM image_gen.jobs j WHERE j.id = canceled_id)
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  ELSIF waiting.state <> 'running' AND NOT EXISTS (
    SELECT FROM image_gen.attempts a WHERE a.job_id = canceled_id AND a.status = 'running')
  THEN
    DELETE FROM image_gen.waits w WHERE w.seq = waiting.seq;
    DELETE FROM image_gen.queue WHERE seq = waiting.seq;
    PERFORM image_gen._close(canceled_id, 'canceled', 'canceled', 'canceled before it was sent');
  ELSE
    UPDATE image_gen.queue SET cancel_requested = true WHERE seq = waiting.seq;
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

CREATE FUNCTION image_gen._note(configured text[], error text, in_flight_cap integer, cap_reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.worker_state w
     SET configured = coalesce($1, w.configured), last_error = coalesce($2, w.last_error),
         last_error_at = CASE WHEN $2 IS NULL THEN w.last_error_at ELSE clock_timestamp() END,
         in_flight_cap = coalesce($3, w.in_flight_cap), cap_reason = coalesce($4, w.cap_reason);
END $$;
COMMENT ON FUNCTION image_gen._note(text[], text, integer, text) IS 'What the worker wants to be seen in worker_status.';
