-- How a job stands; waiting for it, calling it off, its image.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE VIEW image_gen.job_status WITH (security_invoker = true) AS
SELECT j.id, j.status,
       -- What all have in common is looked up once a statement, and only where it is needed.
       CASE WHEN j.status IN ('queued', 'running', 'needs_review') THEN image_gen_internal.waiting_for(j.id, (SELECT image_gen_internal.queue_standing())) END AS waiting_for,
       j.operation, CASE WHEN j.status <> 'queued' THEN coalesce(a.model, j.model) ELSE j.model END AS model, a.provider, j.prompt, j.seed, r.url, r.urls, j.error_code, j.error_message,
       j.billed_cost, j.known_cost, j.currency, j.cost_source, coalesce(a.number, 0) AS attempts, j.metadata,
       -- What the call says, beside what was known when the job was queued.
       CASE WHEN a.warnings IS NULL OR a.warnings <@ j.warnings THEN j.warnings
            ELSE j.warnings || (SELECT jsonb_agg(w) FROM jsonb_array_elements(a.warnings) w WHERE NOT j.warnings @> jsonb_build_array(w)) END AS warnings,
       j.estimated_seconds, j.created_at, j.finished_at
  FROM image_gen.jobs j
  LEFT JOIN LATERAL (SELECT t.provider, t.model, t.number, t.warnings FROM image_gen.attempts t
                      WHERE t.job_id = j.id ORDER BY t.number DESC LIMIT 1) a ON true
  LEFT JOIN LATERAL (SELECT min(c.url) FILTER (WHERE c.position = 1) AS url, array_agg(c.url ORDER BY c.position) AS urls
                       FROM image_gen.campaign_assets c WHERE c.job_id = j.id) r ON true;
COMMENT ON VIEW image_gen.job_status IS
'One row a job with its result: what status(), recent() and wait() return. warnings: those of the job, and of its last call. waiting_for says of one that is not finished, or waits for a person, why: see the type wait_reason.';

CREATE FUNCTION image_gen_internal.raise_no_such_job(id text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'job "%" does not exist, or is not yours', id USING ERRCODE = 'undefined_object',
    HINT = 'SELECT * FROM image_gen.recent() lists your jobs. Of those that were pruned, campaign_assets keeps the images.';
END $$;
COMMENT ON FUNCTION image_gen_internal.raise_no_such_job(text) IS 'The error (42704) of a job that is not there, or not for the caller to see.';

CREATE FUNCTION image_gen.status(id text) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
  IF NOT FOUND THEN
    PERFORM image_gen_internal.raise_no_such_job($1);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.status(text) IS 'One job with its result. Error 42704 when it does not exist or is not visible to the caller.';

CREATE FUNCTION image_gen.status(ids text[]) RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- One snapshot: what is found here is there below.
  PERFORM image_gen_internal.raise_no_such_job(m.id)
     FROM (SELECT u.id FROM unnest($1) WITH ORDINALITY u(id, position)
            WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = u.id) ORDER BY u.position LIMIT 1) m;
  RETURN QUERY SELECT s.* FROM unnest($1) WITH ORDINALITY u(id, position)
                CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = u.id OFFSET 0) s ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.status(text[]) IS
'These jobs with their results: one row for each id, in the order given, twice for one that is named twice. When any of them does not exist or is not visible to the caller it is error 42704,
as for one, and no rows.';

CREATE FUNCTION image_gen_internal.newest_jobs(most integer, statuses text[], of_campaign text, matching jsonb, of_model text, before text) RETURNS TABLE (id text, seq bigint)
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
        WHERE image_gen_internal.abbreviate(image_gen_internal.metadata_entry(j.metadata, 'campaign'), 100) = image_gen_internal.abbreviate(of_campaign, 100) ORDER BY j.owner LIMIT 1)
      UNION ALL
      SELECT n.owner FROM owners o
       CROSS JOIN LATERAL (SELECT j.owner FROM image_gen.jobs j
                            WHERE image_gen_internal.abbreviate(image_gen_internal.metadata_entry(j.metadata, 'campaign'), 100) = image_gen_internal.abbreviate(of_campaign, 100)
                              AND j.owner > o.owner ORDER BY j.owner LIMIT 1) n
    )
    SELECT n.id::text, n.seq FROM owners o
     CROSS JOIN LATERAL (SELECT j.id, j.seq FROM image_gen.jobs j
                          WHERE image_gen_internal.abbreviate(image_gen_internal.metadata_entry(j.metadata, 'campaign'), 100) = image_gen_internal.abbreviate(of_campaign, 100)
                            AND j.owner = o.owner AND j.metadata ->> 'campaign' = of_campaign AND (statuses IS NULL OR j.status = ANY (statuses))
                            AND (matching IS NULL OR j.metadata @> matching) AND (of_model IS NULL OR j.model = of_model)
                            AND (end_seq IS NULL OR j.seq < end_seq)
                          ORDER BY j.seq DESC LIMIT most) n
     ORDER BY n.seq DESC LIMIT most;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.newest_jobs(integer, text[], text, jsonb, text, text) IS
'The newest jobs that the caller sees, the newest first: of these states, of a campaign, whose metadata contain something, of a model, older than one. What is NULL does not matter.';

CREATE FUNCTION image_gen.recent(n integer DEFAULT 20, status text DEFAULT NULL, campaign text DEFAULT NULL)
RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
  IF $2 NOT IN ('queued', 'running', 'succeeded', 'failed', 'canceled', 'needs_review') THEN
    RAISE EXCEPTION 'status ''%'' does not exist', left($2, 100) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use one of: queued, running, succeeded, failed, canceled, needs_review; or NULL for all.';
  END IF;
  RETURN QUERY
  SELECT s.* FROM image_gen_internal.newest_jobs(least(greatest(n, 0), 1000), CASE WHEN $2 IS NOT NULL THEN ARRAY[$2] END, $3, NULL, NULL, NULL) WITH ORDINALITY r(id, seq, place)
   CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = r.id OFFSET 0) s ORDER BY r.place;
END $$;
COMMENT ON FUNCTION image_gen.recent(integer, text, text) IS 'The caller''s newest jobs (an administrator''s: those of all), at most 1000. status and campaign: only those. Error 22023 for a status that does not exist.';

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
  PERFORM image_gen_internal.raise_no_such_job(u) FROM unnest(ids) u WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = u) LIMIT 1;
  IF EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.created_at = now() AND image_gen_internal.is_uncommitted(j.seq)) THEN
    RAISE EXCEPTION 'a job of this transaction starts at COMMIT: waiting for it here would never end'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'COMMIT first, then call wait().';
  END IF;
  LOOP
    -- The counter is read before the look, so a job that ends in between is not missed.
    seen := image_gen_internal.completions();
    EXIT WHEN NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.status IN ('queued', 'running'))
           OR clock_timestamp() >= ends;
    PERFORM image_gen_internal.await_completion(seen, coalesce(extract(epoch FROM ends - clock_timestamp()), 60));
  END LOOP;
  RETURN QUERY SELECT s.* FROM unnest(ids) WITH ORDINALITY u(id, position)
                 JOIN image_gen.job_status s ON s.id = u.id ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.wait(text[], interval) IS
'Sleeps until all these jobs are finished or the timeout (NULL: none) is over, then returns them in the order given; unfinished ones still say queued or running.
It does not poll: the worker wakes it. The calling statement keeps its snapshot while it waits, so keep timeouts to minutes. And so a table that it is joined with in the same statement is
seen as it was before: read campaign_assets in the next statement, or take url and urls from here.';

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
  caller regrole := image_gen_internal.caller();
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
BEGIN
  PERFORM image_gen_internal.raise_no_such_job(m.id)
     FROM (SELECT u.id FROM unnest($1) WITH ORDINALITY u(id, position)
            WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = u.id AND (j.owner = caller OR sees_all)) ORDER BY u.position LIMIT 1) m;
  -- The last one first: a job that waits for the image of another is canceled before that one, and not failed by it. And two
  -- sessions with the same jobs meet at the same one.
  PERFORM image_gen_internal.cancel_job(o.id)
     FROM (SELECT j.id FROM image_gen.jobs j WHERE j.id = ANY ($1) AND j.status IN ('queued', 'running') ORDER BY j.seq DESC OFFSET 0) o;
  RETURN QUERY SELECT s.* FROM unnest($1) WITH ORDINALITY u(id, position)
                CROSS JOIN LATERAL (SELECT t.* FROM image_gen.job_status t WHERE t.id = u.id OFFSET 0) s ORDER BY u.position;
END $$;
COMMENT ON FUNCTION image_gen.cancel(text[]) IS
'Stops these jobs, as cancel(id) stops one, and returns one row for each id, in the order given. When any of them does not exist, or is another''s and the caller is no administrator, it is
error 42704 and none is stopped. Jobs that wait for the image of another one of them are canceled as well.';

SET LOCAL search_path = image_gen, pg_temp;