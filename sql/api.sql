-- What users call, and what they read.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.generate(
  prompt text, model text DEFAULT NULL, negative_prompt text DEFAULT NULL, width integer DEFAULT NULL,
  height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL, seed bigint DEFAULT NULL,
  guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL,
  quality text DEFAULT NULL, reference_image text DEFAULT NULL, consistency_mode text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_generate';
COMMENT ON FUNCTION image_gen.generate IS
'Queues new pictures from a prompt, in the caller''s transaction, and returns at once. Nothing is sent before COMMIT.
prompt: what should be in the picture. model: a name or alias of image_gen.models, or provider:model, which nobody stands in for. NULL: a model that writes legibly where the prompt
quotes more than one word, a fast one for quality => ''draft'', what serves the priority best, else image_gen.default_model.
width, height: pixels, both or none. aspect_ratio: W:H, where no size is given. seed: 0 to 2147483647, chosen and recorded when NULL.
guidance, steps, quality, negative_prompt: sent where the model has them, else a warning. n: 1 to 10 pictures.
metadata: a JSON object of the caller''s own, never sent; campaign, shot and ticket (at most 255 characters each) become columns of the asset.
provider_preferences: {"preferred": [], "only": false, "weights": {}, "blocked": []}, merged with the setting image_gen.provider_preferences.
priority: quality, control, speed, variety, cost or privacy (own back ends only). options: parameters of one provider, by name.
idempotency_key: the same key returns the same job. deadline: not sent after it. max_cost: USD for all its calls together; refused when the estimate is higher, and no call is made that would go beyond it.
allow_unpriced: take a model whose price nobody knows although a budget or max_cost applies.
Errors: 22023 bad argument, 42704 unknown model or provider, 0A000 not supported, 53400 max_cost or a budget exceeded, 23505 key with other arguments.';

CREATE FUNCTION image_gen.edit(
  image text, prompt text DEFAULT NULL, mask text DEFAULT NULL, mode text DEFAULT NULL, strength double precision DEFAULT NULL,
  border_top integer DEFAULT NULL, border_right integer DEFAULT NULL, border_bottom integer DEFAULT NULL,
  border_left integer DEFAULT NULL, model text DEFAULT NULL, negative_prompt text DEFAULT NULL, width integer DEFAULT NULL,
  height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL, seed bigint DEFAULT NULL,
  guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL, quality text DEFAULT NULL,
  reference_image text DEFAULT NULL, consistency_mode text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_edit';
COMMENT ON FUNCTION image_gen.edit IS
'Queues a change of a picture. image: an https URL, a data: URI, asset:ID, or job:gen_... (the job then waits for that one).
mode: img2img makes the whole picture anew from itself and the prompt; inpaint changes what the mask marks; outpaint adds border_... pixels around it.
NULL is inpaint where there is a mask, outpaint where there is a border, else img2img. mask: white is changed, black is kept, of the picture''s size; where a mask has transparent pixels those are changed, whatever its colours.
strength: 0 keeps everything, 1 nothing. The other arguments are those of generate(). model NULL is the first provider''s usual one for the mode.';

CREATE FUNCTION image_gen.upscale(
  image text, scale integer DEFAULT 2, prompt text DEFAULT NULL, model text DEFAULT NULL, negative_prompt text DEFAULT NULL,
  seed bigint DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_upscale';
COMMENT ON FUNCTION image_gen.upscale IS
'Queues the same picture, larger. scale: 2 or 4, for both sides. prompt: only for models that draw details anew.
The other arguments are those of generate() and edit().';

CREATE FUNCTION image_gen._variation(
  image text, variance double precision, prompt text, model text, negative_prompt text, width integer, height integer, aspect_ratio text,
  seed bigint, guidance double precision, steps integer, quality text, metadata jsonb, provider_preferences jsonb, options jsonb,
  priority text, idempotency_key text, deadline timestamptz, max_cost numeric, allow_unpriced boolean)
RETURNS image_gen.receipt
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_variation';
COMMENT ON FUNCTION image_gen._variation IS 'Queues one of the variations of variate().';

CREATE FUNCTION image_gen.variate(
  image text, n integer DEFAULT 3, variance double precision DEFAULT NULL, prompt text DEFAULT NULL, model text DEFAULT NULL,
  negative_prompt text DEFAULT NULL, width integer DEFAULT NULL, height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL,
  seed bigint DEFAULT NULL, guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, quality text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false)
RETURNS SETOF image_gen.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF n IS NULL OR n NOT BETWEEN 1 AND 10 THEN
    RAISE EXCEPTION 'n is %, but 1 to 10 variations are possible', n USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Call it again for more.';
  ELSIF seed NOT BETWEEN 0 AND 2147483647 THEN
    RAISE EXCEPTION 'seed % is out of range', seed USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use 0 to 2147483647, or leave it out: a seed is then chosen and recorded.';
  END IF;
  -- A job each: they are drawn side by side, and each has a seed, a cost and an end of its own.
  FOR i IN 1..n LOOP
    RETURN NEXT image_gen._variation($1, $3, $4, $5, $6, $7, $8, $9, image_gen.derive_seed($10, 'variation ' || i), $11, $12, $13, $14, $15, $16, $17,
                                     $18 || '#' || i, $19, $20, $21);
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen.variate IS
'Queues variations of a picture and returns one row, and one job, for each. n: 1 to 10. variance: 0 strays not at all, 1 as far as it likes.
seed: the base; each variation has a seed derived from it. max_cost and idempotency_key (with #1, #2 ... appended) count for each.
The other arguments are those of generate() and edit().';

CREATE FUNCTION image_gen.transfer_style(
  image text, style_image text, prompt text DEFAULT NULL, strength double precision DEFAULT NULL, model text DEFAULT NULL,
  negative_prompt text DEFAULT NULL, width integer DEFAULT NULL, height integer DEFAULT NULL, aspect_ratio text DEFAULT NULL,
  seed bigint DEFAULT NULL, guidance double precision DEFAULT NULL, steps integer DEFAULT NULL, n integer DEFAULT NULL,
  quality text DEFAULT NULL,
  metadata jsonb DEFAULT NULL, provider_preferences jsonb DEFAULT NULL, options jsonb DEFAULT NULL,
  priority text DEFAULT NULL, idempotency_key text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
  max_cost numeric DEFAULT NULL, allow_unpriced boolean DEFAULT false)
RETURNS image_gen.receipt
LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'image_gen_transfer_style';
COMMENT ON FUNCTION image_gen.transfer_style IS
'Queues the first picture in the style of the second. strength: how much of the style, 0 to 1, where the model can be told.
The other arguments are those of generate() and edit().';

CREATE VIEW image_gen.job_status WITH (security_invoker = true) AS
SELECT j.id, j.status,
       -- What all have in common is looked up once a statement, and only where it is needed.
       CASE WHEN j.status IN ('queued', 'running', 'needs_review') THEN image_gen._waiting_for(j.id, (SELECT image_gen._standing())) END AS waiting_for,
       j.operation, CASE WHEN j.status <> 'queued' THEN coalesce(a.model, j.model) ELSE j.model END AS model, a.provider, j.prompt, j.seed, r.url, r.urls, j.error_code, j.error_message,
       j.billed_cost, j.known_cost, j.currency, j.cost_source, coalesce(a.number, 0) AS attempts, j.metadata, j.warnings,
       j.estimated_seconds, j.created_at, j.finished_at
  FROM image_gen.jobs j
  LEFT JOIN LATERAL (SELECT t.provider, t.model, t.number FROM image_gen.attempts t
                      WHERE t.job_id = j.id ORDER BY t.number DESC LIMIT 1) a ON true
  LEFT JOIN LATERAL (SELECT min(c.url) FILTER (WHERE c.position = 1) AS url, array_agg(c.url ORDER BY c.position) AS urls
                       FROM image_gen.campaign_assets c WHERE c.job_id = j.id) r ON true;
COMMENT ON VIEW image_gen.job_status IS
'One row a job with its result: what status(), recent() and wait() return. waiting_for says of one that is not finished, or waits for a person, why: see the type wait_reason.';

CREATE FUNCTION image_gen._no_such_job(id text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'job "%" does not exist, or is not yours', id USING ERRCODE = 'undefined_object',
    HINT = 'SELECT * FROM image_gen.recent() lists your jobs. Of those that were pruned, campaign_assets keeps the pictures.';
END $$;
COMMENT ON FUNCTION image_gen._no_such_job(text) IS 'The error (42704) of a job that is not there, or not for the caller to see.';

CREATE FUNCTION image_gen.status(id text) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
  IF NOT FOUND THEN
    PERFORM image_gen._no_such_job($1);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.status(text) IS 'One job with its result. Error 42704 when it does not exist or is not visible to the caller.';

CREATE FUNCTION image_gen.status(ids text[]) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- One snapshot: what is found here is there below.
  PERFORM image_gen._no_such_job(m.id)
     FROM (SELECT u.id FROM unnest($1) WITH ORDINALITY u(id, position)
            WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = u.id) ORDER BY u.position LIMIT 1) m;
  RETURN QUERY SELECT s.* FROM unnest($1) WITH ORDINALITY u(id, position)
                CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = u.id OFFSET 0) s ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.status(text[]) IS
'These jobs with their results: one row for each id, in the order given, twice for one that is named twice. When any of them does not exist or is not visible to the caller it is error 42704,
as for one, and no rows.';

-- PostgreSQL's own functions, which say nothing about what they are given: LEAKPROOF, so that an index on them is of use to those
-- who see their own rows only (src/leakproof.rs).
CREATE FUNCTION image_gen._entry(metadata jsonb, key text) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'image_gen_entry';
COMMENT ON FUNCTION image_gen._entry(jsonb, text) IS 'metadata ->> key, for indexes.';
CREATE FUNCTION image_gen._start_of(words text, characters integer) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'image_gen_start_of';
COMMENT ON FUNCTION image_gen._start_of(text, integer) IS 'left(words, characters), for indexes: an entry of an index has a largest size.';

-- Nothing of it changes after the job is queued, so the updates of a job leave it alone.
CREATE INDEX jobs_campaign ON image_gen.jobs (image_gen._start_of(image_gen._entry(metadata, 'campaign'), 100), owner, seq)
 WHERE image_gen._start_of(image_gen._entry(metadata, 'campaign'), 100) IS NOT NULL;

CREATE FUNCTION image_gen._newest(most integer, statuses text[], of_campaign text, matching jsonb, of_model text, before text) RETURNS TABLE (id text, seq bigint)
-- By the indexes that have them in order, and no further than asked: without statistics all of them, sorted, look cheaper.
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  -- One that is not there any more is where its id would stand.
  end_seq bigint := CASE WHEN before IS NOT NULL THEN
    coalesce((SELECT j.seq FROM image_gen.jobs j WHERE j.id = before), (SELECT j.seq + 1 FROM image_gen.jobs j WHERE j.id < before ORDER BY j.id DESC LIMIT 1), 0) END;
BEGIN
  IF of_campaign IS NULL THEN
    RETURN QUERY
    SELECT j.id::text, j.seq FROM image_gen.jobs j
     WHERE (statuses IS NULL OR j.status = ANY (statuses)) AND (matching IS NULL OR j.metadata @> matching) AND (of_model IS NULL OR j.model = of_model)
       AND (end_seq IS NULL OR j.seq < end_seq)
     ORDER BY j.seq DESC LIMIT most;
  ELSE
    -- Of each owner whose jobs are seen, by the index.
    RETURN QUERY
    WITH RECURSIVE owners AS (
      (SELECT j.owner FROM image_gen.jobs j
        WHERE image_gen._start_of(image_gen._entry(j.metadata, 'campaign'), 100) = image_gen._start_of(of_campaign, 100) ORDER BY j.owner LIMIT 1)
      UNION ALL
      SELECT n.owner FROM owners o
       CROSS JOIN LATERAL (SELECT j.owner FROM image_gen.jobs j
                            WHERE image_gen._start_of(image_gen._entry(j.metadata, 'campaign'), 100) = image_gen._start_of(of_campaign, 100)
                              AND j.owner > o.owner ORDER BY j.owner LIMIT 1) n
    )
    SELECT n.id::text, n.seq FROM owners o
     CROSS JOIN LATERAL (SELECT j.id, j.seq FROM image_gen.jobs j
                          WHERE image_gen._start_of(image_gen._entry(j.metadata, 'campaign'), 100) = image_gen._start_of(of_campaign, 100)
                            AND j.owner = o.owner AND j.metadata ->> 'campaign' = of_campaign AND (statuses IS NULL OR j.status = ANY (statuses))
                            AND (matching IS NULL OR j.metadata @> matching) AND (of_model IS NULL OR j.model = of_model)
                            AND (end_seq IS NULL OR j.seq < end_seq)
                          ORDER BY j.seq DESC LIMIT most) n
     ORDER BY n.seq DESC LIMIT most;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._newest(integer, text[], text, jsonb, text, text) IS
'The newest jobs that the caller sees, the newest first: of these states, of a campaign, whose metadata contain something, of a model, older than one. What is NULL does not matter.';

CREATE FUNCTION image_gen.recent(n integer DEFAULT 20, status text DEFAULT NULL, campaign text DEFAULT NULL)
RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
  RETURN QUERY
  SELECT s.* FROM image_gen._newest(least(greatest(n, 0), 1000), CASE WHEN $2 IS NOT NULL THEN ARRAY[$2] END, $3, NULL, NULL, NULL) WITH ORDINALITY r(id, seq, place)
   CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = r.id OFFSET 0) s ORDER BY r.place;
END $$;
COMMENT ON FUNCTION image_gen.recent(integer, text, text) IS 'The caller''s newest jobs, at most 1000.';

CREATE FUNCTION image_gen.wait(ids text[], timeout interval DEFAULT '5 minutes')
RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ends timestamptz := clock_timestamp() + timeout;
  seen bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'wait() cannot see other transactions under %', current_setting('transaction_isolation')
      USING ERRCODE = 'feature_not_supported', HINT = 'Call it in a READ COMMITTED transaction, or LISTEN image_gen.';
  END IF;
  PERFORM image_gen._no_such_job(u) FROM unnest(ids) u WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = u) LIMIT 1;
  IF EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.created_at = now() AND image_gen._is_uncommitted(j.seq)) THEN
    RAISE EXCEPTION 'a job of this transaction starts at COMMIT: waiting for it here would never end'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'COMMIT first, then call wait().';
  END IF;
  LOOP
    -- The counter is read before the look, so a job that ends in between is not missed.
    seen := image_gen._completions();
    EXIT WHEN NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.status IN ('queued', 'running'))
           OR clock_timestamp() >= ends;
    PERFORM image_gen._await_completion(seen, coalesce(extract(epoch FROM ends - clock_timestamp()), 60));
  END LOOP;
  RETURN QUERY SELECT s.* FROM unnest(ids) WITH ORDINALITY u(id, position)
                 JOIN image_gen.job_status s ON s.id = u.id ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.wait(text[], interval) IS
'Sleeps until all these jobs are finished or the timeout (NULL: none) is over, then returns them in the order given; unfinished ones still say queued or running.
It does not poll: the worker wakes it. The calling statement keeps its snapshot while it waits, so keep timeouts to minutes.';

CREATE FUNCTION image_gen.cancel(id text) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT c.* FROM image_gen.cancel(ARRAY[$1]) c;
END $$;
COMMENT ON FUNCTION image_gen.cancel(text) IS
'Stops a job. One that waits is canceled at once and costs nothing. One in flight is canceled by the worker after COMMIT; what the provider
charges for it stays on the bill. A finished job stays as it is. Error 42704 when it does not exist, or is another''s and the caller is no administrator.';

CREATE FUNCTION image_gen.cancel(ids text[]) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen._caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
BEGIN
  PERFORM image_gen._no_such_job(m.id)
     FROM (SELECT u.id FROM unnest($1) WITH ORDINALITY u(id, position)
            WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = u.id AND (j.owner = caller OR sees_all)) ORDER BY u.position LIMIT 1) m;
  -- The last one first: a job that waits for the picture of another is canceled before that one, and not failed by it. And two
  -- sessions with the same jobs meet at the same one.
  PERFORM image_gen._cancel(o.id)
     FROM (SELECT j.id FROM image_gen.jobs j WHERE j.id = ANY ($1) AND j.status IN ('queued', 'running') ORDER BY j.seq DESC OFFSET 0) o;
  RETURN QUERY SELECT s.* FROM unnest($1) WITH ORDINALITY u(id, position)
                CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = u.id OFFSET 0) s ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.cancel(text[]) IS
'Stops these jobs, as cancel(id) stops one, and returns one row for each id, in the order given. When any of them does not exist, or is another''s and the caller is no administrator, it is
error 42704 and none is stopped. Jobs that wait for the picture of another one of them are canceled as well.';

CREATE FUNCTION image_gen.picture(asset_id bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT b.bytes FROM image_gen.campaign_assets a JOIN image_gen.blobs b ON b.sha256 = a.sha256 WHERE a.id = $1
$$;
COMMENT ON FUNCTION image_gen.picture(bigint) IS 'The bytes of an asset, or NULL when they are not kept in the database (image_gen.keep_bytes).';

CREATE VIEW image_gen.queue_stats AS
SELECT count(*) FILTER (WHERE q.state = 'ready' AND q.ready_at <= clock_timestamp()) AS ready,
       count(*) FILTER (WHERE q.state = 'ready' AND q.ready_at > clock_timestamp() OR q.state = 'alone') AS waiting,
       count(*) FILTER (WHERE q.state = 'running') AS in_flight,
       count(*) FILTER (WHERE q.state = 'waiting') AS blocked,
       (SELECT j.created_at FROM image_gen.jobs j
         WHERE j.seq = (SELECT min(r.seq) FROM image_gen.queue r WHERE r.state = 'ready')) AS oldest_ready
  FROM image_gen.queue q;
COMMENT ON VIEW image_gen.queue_stats IS 'How many jobs wait, how many are put off, how many are in flight, how many are blocked until another job has its picture. No rows of anybody''s are shown.';

CREATE VIEW image_gen.worker_status AS
SELECT image_gen._is_worker(w.pid) AS running, w.mode, w.pid, w.started_at AS running_since, w.epoch,
       s.in_flight, w.in_flight_cap, w.cap_reason, s.ready, s.oldest_ready, w.configured AS configured_keys,
       w.last_error, w.last_error_at, image_gen._held() AS held
  FROM image_gen.worker_state w
 CROSS JOIN image_gen.queue_stats s;
COMMENT ON VIEW image_gen.worker_status IS 'Is the worker running, since when, in which life (epoch), what it has in flight, how much it may and why, what waits, what went wrong last. held: why no paid work may run here, NULL when it may; image_gen.resume() ends that.';

SET LOCAL search_path = image_gen, pg_temp;
