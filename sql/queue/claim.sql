-- What the worker takes from the queue.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.input_location(reference text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  place jsonb;
BEGIN
  IF reference LIKE 'image-gen:sha256:%' THEN
    RETURN jsonb_build_object('stored', substr(reference, 18));
  ELSIF reference LIKE 'asset:%' OR reference LIKE 'job:%' THEN
    SELECT jsonb_strip_nulls(jsonb_build_object(
             'stored', (SELECT b.sha256 FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256),
             'url', (SELECT u FROM unnest(ARRAY[a.mirror_url, a.url]) u WHERE u ~ '^https?://' LIMIT 1)))
      INTO place
      FROM image_gen.campaign_assets a
     WHERE CASE WHEN reference LIKE 'asset:%' THEN a.id = substr(reference, 7)::bigint
                ELSE a.job_id = substr(reference, 5) AND a.position = 1 END;
    RETURN coalesce(place, '{}');
  END IF;
  RETURN jsonb_build_object('url', reference);
END $$;
COMMENT ON FUNCTION image_gen_internal.input_location(text) IS 'Where the bytes of an image are that a job refers to: stored under a hash, at a URL, or both.';

CREATE FUNCTION image_gen_internal.waiting_tenants() RETURNS TABLE (owner regrole, first bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
  -- From owner to owner by the index: the rows of each are not walked through.
  RETURN QUERY
  WITH RECURSIVE tenants AS (
    (SELECT q.owner, q.seq FROM image_gen_internal.queue q WHERE q.state = 'ready' AND q.seq > 0 ORDER BY q.owner, q.seq LIMIT 1)
    UNION ALL
    SELECT n.owner, n.seq
      FROM tenants l
     CROSS JOIN LATERAL (SELECT q.owner, q.seq FROM image_gen_internal.queue q
                          WHERE q.state = 'ready' AND q.seq > 0 AND q.owner > l.owner ORDER BY q.owner, q.seq LIMIT 1) n
  )
  SELECT l.owner, l.seq FROM tenants l;
END $$;
COMMENT ON FUNCTION image_gen_internal.waiting_tenants() IS 'The roles that have ready jobs, and the first job of each.';

CREATE TYPE image_gen_internal.claimed_job AS (
  seq bigint, id text, owner regrole, operation text, prompt text, seed bigint, parameters jsonb, inputs jsonb, deadline timestamptz, attempts integer, progress jsonb,
  preferences jsonb, model text, model_is_open boolean, provider text, max_cost numeric, priority text,
  -- The attempt that an earlier life left under way.
  number integer, sent_to text, sent_model text, remote_id text, poll_url text, result_url text, cancel_url text, cost numeric, claimed_cost numeric, sent_at timestamptz);
COMMENT ON TYPE image_gen_internal.claimed_job IS 'A job that is in flight from now on, with all that the worker needs to know about it.';

CREATE FUNCTION image_gen_internal.claim(this_epoch bigint, at_most integer, after_seq bigint, owners oid[] DEFAULT NULL, afters bigint[] DEFAULT NULL, counts bigint[] DEFAULT NULL,
                                 this_instance uuid DEFAULT NULL, library text DEFAULT NULL)
RETURNS SETOF image_gen_internal.claimed_job
-- In the order of the index, and no further than asked: without statistics a bitmap of all that is ready looks cheaper, and is not.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off AS $$
DECLARE
  chosen bigint[];
  places tid[];
BEGIN
  -- A worker whose successor has begun takes nothing, nor does one whose database is fenced since, or whose extension was updated.
  IF this_epoch < (SELECT w.epoch FROM image_gen_internal.worker_state w) OR this_instance IS NULL AND image_gen_internal.fence_reason() IS NOT NULL
     OR library <> (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'image_gen') THEN
    RETURN;
  END IF;
  this_instance := coalesce(this_instance, image_gen_internal.instance_id());
  IF EXISTS (SELECT FROM image_gen_internal.job_dependencies w WHERE NOT w.checked OR after_seq = 0) OR after_seq = 0 AND EXISTS (SELECT FROM image_gen_internal.cancel_requests) THEN
    PERFORM image_gen_internal.check_dependencies(after_seq = 0);
  END IF;
  IF EXISTS (SELECT FROM image_gen_internal.budget_totals t WHERE t.newer IS NOT NULL) THEN
    PERFORM image_gen_internal.post_charges();
  END IF;
  -- Losing a claim to a crash is harmless, so it does not wait for the disk. The intent to send does.
  PERFORM set_config('synchronous_commit', 'off', true);
  IF owners IS NULL THEN
    SELECT array_agg(p.tid) INTO places FROM (
      SELECT q.ctid AS tid FROM image_gen_internal.queue q
       WHERE q.state = 'ready' AND q.seq > after_seq AND q.ready_at <= clock_timestamp()
         -- Nearly all are of here. Where the planner takes that for one in two hundred, it sorts them all.
         AND CASE WHEN q.instance = this_instance THEN true ELSE false END
       ORDER BY q.seq LIMIT at_most FOR UPDATE SKIP LOCKED) p;
  ELSE
    -- The role with the fewest in flight is next.
    SELECT array_agg(f.seq) INTO chosen FROM (
      SELECT h.seq
        FROM unnest(owners, afters, counts) AS l(owner, after, in_flight)
       CROSS JOIN LATERAL (
         SELECT r.seq, row_number() OVER (ORDER BY r.seq) AS number
           FROM (SELECT q.seq FROM image_gen_internal.queue q
                  WHERE q.state = 'ready' AND q.seq > 0 AND q.owner = l.owner AND q.seq > l.after AND q.ready_at <= clock_timestamp()
                    AND CASE WHEN q.instance = this_instance THEN true ELSE false END
                  ORDER BY q.seq LIMIT at_most) r) h
       ORDER BY l.in_flight + h.number, h.seq LIMIT at_most) f;
    SELECT array_agg(k.tid) INTO places
      FROM (SELECT q.ctid AS tid FROM image_gen_internal.queue q WHERE q.seq = ANY (chosen) AND q.state = 'ready' FOR UPDATE SKIP LOCKED) k;
  END IF;
  IF places IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH claimed AS (
    UPDATE image_gen_internal.queue q SET state = 'running', epoch = this_epoch
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
           (SELECT jsonb_object_agg(i.role, image_gen_internal.input_location(s.parameters ->> i.role))
              FROM unnest('{image,mask,style_image,reference_image}'::text[]) AS i(role) WHERE s.parameters ? i.role) END,
         s.deadline, s.attempts, s.progress::jsonb, s.preferences, s.model, s.model_is_open, s.provider, s.max_cost::numeric, s.priority::text,
         a.number::integer, a.provider, a.model, a.remote_id, a.poll_url, a.result_url, a.cancel_url, a.billed_cost::numeric, a.claimed_cost::numeric, a.sent_at
    FROM started s
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = s.id AND t.status = 'running' AND s.attempts > 0 OFFSET 0) a ON true
   ORDER BY s.seq;
END $$;
COMMENT ON FUNCTION image_gen_internal.claim(bigint, integer, bigint, oid[], bigint[], bigint[], uuid, text) IS
'Takes ready jobs into flight, with all that the worker needs to know about them: in the order of the queue after a watermark, or by turns of the owners, each after a place of its own
and with so many in flight already. this_instance: that of this database, which is not fenced, as the worker knows; without it that is looked at here.';

CREATE FUNCTION image_gen_internal.open_cancel_requests(this_epoch bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT q.seq FROM image_gen_internal.cancel_requests c JOIN image_gen_internal.queue q ON q.seq = c.seq WHERE q.state = 'running' AND q.epoch = $1
$$;
COMMENT ON FUNCTION image_gen_internal.open_cancel_requests(bigint) IS 'Jobs in flight that a user wants stopped.';

CREATE FUNCTION image_gen_internal.blob_bytes(hash text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT b.bytes FROM image_gen_internal.blobs b WHERE b.sha256 = $1
$$;
COMMENT ON FUNCTION image_gen_internal.blob_bytes(text) IS 'The bytes of an image that is kept.';

SET LOCAL search_path = image_gen, pg_temp;
