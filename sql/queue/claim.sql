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
             'stored', CASE WHEN EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256)
                              OR (image_gen_internal.object_place(a.sha256)).name IS NOT NULL THEN a.sha256 END,
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

CREATE FUNCTION image_gen_internal.input_references(parameters jsonb) RETURNS TABLE (role text, reference text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT i.role, parameters ->> i.role FROM unnest('{image,mask,style_image,reference_image}'::text[]) AS i(role) WHERE parameters ? i.role
  UNION ALL
  SELECT 'reference_images_' || r.place, r.reference FROM jsonb_array_elements_text(parameters -> 'reference_images') WITH ORDINALITY AS r(reference, place);
END $$;
COMMENT ON FUNCTION image_gen_internal.input_references(jsonb) IS 'The images that a request refers to, each by what it is for.';

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
  number integer, sent_to text, sent_model text, remote_id text, poll_url text, result_url text, cancel_url text, cost numeric, claimed_cost numeric, sent_at timestamptz, key_name text);
COMMENT ON TYPE image_gen_internal.claimed_job IS 'A job that is ready, with all that the worker needs to know about it.';

CREATE FUNCTION image_gen_internal.may_begin(entry image_gen_internal.queue, paused oid[]) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What is at a provider is followed to its end, whoever is paused.
  RETURN entry.owner::oid <> ALL (paused) AND 0 <> ALL (paused)
      OR entry.attempts > 0 AND EXISTS (SELECT FROM image_gen.attempts t WHERE t.job_id = entry.job_id AND t.status = 'running');
END $$;
COMMENT ON FUNCTION image_gen_internal.may_begin(image_gen_internal.queue, oid[]) IS 'Whether a job may be taken from the queue while these roles (0: all) are paused.';

CREATE FUNCTION image_gen_internal.take_up(this_epoch bigint, seqs bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Losing this to a crash is harmless, so it does not wait for the disk.
  PERFORM set_config('synchronous_commit', 'off', true);
  WITH taken AS (
    UPDATE image_gen_internal.queue q SET state = 'running', epoch = this_epoch
     WHERE q.seq IN (SELECT k.seq FROM image_gen_internal.queue k WHERE k.seq = ANY (seqs) AND k.state = 'ready' FOR UPDATE SKIP LOCKED)
    RETURNING q.job_id
  )
  UPDATE image_gen.jobs j SET status = 'running' FROM taken t WHERE j.id = t.job_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.take_up(bigint, bigint[]) IS 'Takes ready jobs (seqs) into flight that an earlier life of the worker has sent.';

CREATE FUNCTION image_gen_internal.claim(this_epoch bigint, at_most integer, after_seq bigint, owners oid[] DEFAULT NULL, afters bigint[] DEFAULT NULL, counts bigint[] DEFAULT NULL,
                                 this_instance uuid DEFAULT NULL, library text DEFAULT NULL, in_hand bigint[] DEFAULT '{}')
RETURNS SETOF image_gen_internal.claimed_job
-- In the order of the index, and no further than asked: without statistics a bitmap of all that is ready looks cheaper, and is not.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off AS $$
DECLARE
  chosen bigint[];
  under_way bigint[];
  -- NULL: no role is paused.
  paused oid[] := (SELECT array_agg(coalesce(p.role::oid, 0)) FROM image_gen.pauses p WHERE p.provider IS NULL);
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
  IF owners IS NULL THEN
    chosen := ARRAY(
      SELECT q.seq FROM image_gen_internal.queue q
       WHERE q.state = 'ready' AND q.seq > after_seq AND q.ready_at <= clock_timestamp()
         -- Nearly all are of here. Where the planner takes that for one in two hundred, it sorts them all.
         AND CASE WHEN q.instance = this_instance AND CASE WHEN paused IS NULL THEN true ELSE image_gen_internal.may_begin(q, paused) END
                  THEN q.seq <> ALL (in_hand) ELSE false END
       ORDER BY q.seq LIMIT at_most);
  ELSE
    -- The role with the fewest in flight is next.
    chosen := ARRAY(
      SELECT h.seq
        FROM unnest(owners, afters, counts) AS l(owner, after, in_flight)
       CROSS JOIN LATERAL (
         SELECT r.seq, row_number() OVER (ORDER BY r.seq) AS number
           FROM (SELECT q.seq FROM image_gen_internal.queue q
                  WHERE q.state = 'ready' AND q.seq > 0 AND q.owner = l.owner AND q.seq > l.after AND q.ready_at <= clock_timestamp()
                    AND CASE WHEN q.instance = this_instance AND CASE WHEN paused IS NULL THEN true ELSE image_gen_internal.may_begin(q, paused) END
                  THEN q.seq <> ALL (in_hand) ELSE false END
                  ORDER BY q.seq LIMIT at_most) r) h
       ORDER BY l.in_flight + h.number, h.seq LIMIT at_most);
  END IF;
  IF chosen = '{}' THEN
    RETURN;
  END IF;
  -- What an earlier life has sent is in flight again: it may never begin another call.
  under_way := ARRAY(
    SELECT q.seq FROM unnest(chosen) AS c(seq)
     CROSS JOIN LATERAL (SELECT k.seq, k.job_id FROM image_gen_internal.queue k WHERE k.seq = c.seq AND k.attempts > 0 OFFSET 0) q
     CROSS JOIN LATERAL (SELECT FROM image_gen.attempts t WHERE t.job_id = q.job_id AND t.status = 'running' OFFSET 0) a);
  IF under_way <> '{}' THEN
    PERFORM image_gen_internal.take_up(this_epoch, under_way);
  END IF;
  RETURN QUERY
  SELECT q.seq, j.id::text, j.owner, j.operation::text, j.prompt, j.seed::bigint, j.parameters,
         CASE WHEN j.parameters ?| '{image,mask,style_image,reference_image,reference_images}' THEN
           (SELECT jsonb_object_agg(i.role, image_gen_internal.input_location(i.reference)) FROM image_gen_internal.input_references(j.parameters) i) END,
         j.deadline, q.attempts, q.progress::jsonb, j.preferences, j.model, j.model_is_open, j.provider, j.max_cost::numeric, j.priority::text,
         a.number::integer, a.provider, a.model, a.remote_id, a.poll_url, a.result_url, a.cancel_url, a.billed_cost::numeric, a.claimed_cost::numeric, a.sent_at, a.key_name
    FROM unnest(chosen) AS c(seq)
   CROSS JOIN LATERAL (SELECT k.seq, k.job_id, k.attempts, k.progress FROM image_gen_internal.queue k WHERE k.seq = c.seq OFFSET 0) q
   CROSS JOIN LATERAL (SELECT o.* FROM image_gen.jobs o WHERE o.id = q.job_id OFFSET 0) j
    LEFT JOIN LATERAL (SELECT t.* FROM image_gen.attempts t WHERE t.job_id = j.id AND t.status = 'running' AND q.attempts > 0 OFFSET 0) a ON true
   ORDER BY q.seq;
END $$;
COMMENT ON FUNCTION image_gen_internal.claim(bigint, integer, bigint, oid[], bigint[], bigint[], uuid, text, bigint[]) IS
'Reads ready jobs, with all that the worker needs to know about them: in the order of the queue after a watermark, or by turns of the owners, each after a place of its own
and with so many in flight already. Nothing is written, but for jobs that an earlier life has sent: begin takes them from the queue. in_hand: those that the worker has already. this_instance: that of this database, which is not fenced, as the
worker knows; without it that is looked at here.';

CREATE FUNCTION image_gen_internal.open_cancel_requests(in_hand bigint[]) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.seq FROM image_gen_internal.cancel_requests c
  UNION
  -- One that had not begun is canceled without the worker. (Whether it has a row in the queue says nothing: that may have been truncated.)
  SELECT h.seq FROM unnest($1) AS h(seq) WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.seq = h.seq AND j.finished_at IS NULL)
$$;
COMMENT ON FUNCTION image_gen_internal.open_cancel_requests(bigint[]) IS 'Jobs that a user wants stopped; of those that the worker has read and not begun (in_hand), also those that are over.';

CREATE FUNCTION image_gen_internal.blob_bytes(hash text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT b.bytes FROM image_gen_internal.blobs b WHERE b.sha256 = $1
$$;
COMMENT ON FUNCTION image_gen_internal.blob_bytes(text) IS 'The bytes of an image that is kept.';

SET LOCAL search_path = image_gen, pg_temp;
