-- What a request on its way into the queue asks of the database; the rest of its way is in src/submit.rs.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.resolve_inputs(numbers integer[], roles text[], image_references text[], parents text[], caller regrole)
RETURNS TABLE (number integer, role text, job text, unfinished boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  one record;
  other record;
  made_by text;
  sees_all boolean := pg_has_role(caller, 'image_gen_admin', 'member');
  lost record;
BEGIN
  FOR one IN SELECT i.number, i.role, i.reference, i.parent FROM unnest(numbers, roles, image_references, parents) AS i(number, role, reference, parent) LOOP
    IF one.reference LIKE 'job:%' THEN
      SELECT j.id, j.status, j.owner INTO other FROM image_gen.jobs j WHERE j.id = substr(one.reference, 5);
      IF other.id IS NULL OR NOT (other.owner = caller OR sees_all) THEN
        RAISE EXCEPTION '%: job "%" does not exist, or is not yours', one.role, substr(one.reference, 5) USING ERRCODE = 'undefined_object',
          HINT = 'SELECT * FROM image_gen.recent() lists your jobs. The image of one that was pruned is asset:ID of campaign_assets.';
      ELSIF other.status IN ('failed', 'canceled') THEN
        RAISE EXCEPTION '%: job % ended as % and has no image', one.role, other.id, other.status
          USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Name a job that succeeded or is still under way.';
      END IF;
      number := one.number;
      role := one.role;
      job := other.id;
      unfinished := other.status <> 'succeeded';
      RETURN NEXT;
    ELSE
      SELECT a.job_id INTO made_by
        FROM image_gen.campaign_assets a
       WHERE CASE WHEN one.reference LIKE 'asset:%' THEN a.id = substr(one.reference, 7)::bigint
                  ELSE a.sha256 = substr(one.reference, 18) END
         AND (a.owner = caller OR sees_all)
       LIMIT 1;
      IF NOT FOUND
         -- What came along with the job that is made again.
         AND NOT EXISTS (SELECT FROM image_gen_internal.job_inputs i WHERE i.job_id = one.parent AND one.reference = 'image-gen:sha256:' || i.sha256)
         AND NOT EXISTS (SELECT FROM image_gen.stored_images s WHERE s.sha256 = substr(one.reference, 18) AND (s.owner = caller OR sees_all) AND one.reference LIKE 'image-gen:sha256:%')
      THEN
        RAISE EXCEPTION '%: "%" does not exist, or is not yours', one.role, one.reference USING ERRCODE = 'undefined_object',
          HINT = 'SELECT id, shot, url FROM image_gen.campaign_assets lists your images.';
      ELSIF one.reference LIKE 'asset:%' THEN
        number := one.number;
        role := one.role;
        job := made_by;
        unfinished := false;
        RETURN NEXT;
      END IF;
    END IF;
    -- An image that cannot be had any more is said now, and not when its job is run.
    SELECT a.id, a.provider, a.url_expires_at INTO lost
      FROM image_gen.campaign_assets a
     WHERE CASE WHEN one.reference LIKE 'asset:%' THEN a.id = substr(one.reference, 7)::bigint
                WHEN one.reference LIKE 'job:%' THEN a.job_id = substr(one.reference, 5) AND a.position = 1 END
       AND a.mirror_url IS NULL AND a.url_expires_at <= clock_timestamp()
       AND NOT EXISTS (SELECT FROM image_gen_internal.blobs b WHERE b.sha256 = a.sha256);
    IF FOUND THEN
      RAISE EXCEPTION '%: the image of asset % is not there any more: its URL at % ended on %, and its bytes were not kept',
        one.role, lost.id, lost.provider, lost.url_expires_at USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Put a URL where it is into mirror_url of campaign_assets, or make it again; image_gen.keep_bytes keeps the bytes of new images.';
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.resolve_inputs(integer[], text[], text[], text[], regrole) IS
'The jobs whose images requests need, each by its number, as what, and whether it is unfinished. parents: the jobs that are made again. An error for an image that the caller may not see.';

CREATE FUNCTION image_gen_internal.check_queue_quota(caller regrole, most bigint, new bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  open bigint := (SELECT count(*) FROM (SELECT FROM image_gen_internal.queue q WHERE q.owner = caller LIMIT most) o);
BEGIN
  IF open >= most THEN
    RAISE EXCEPTION 'role "%" has % jobs queued or in flight, and may have no more', image_gen_internal.role_name(caller), open USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Wait until some have ended, cancel() some, or ask an administrator to raise image_gen.max_queued_per_role or the policy of the role.';
  ELSIF open + new > most THEN
    RAISE EXCEPTION 'role "%" has % jobs queued or in flight, and may have % more, not %', image_gen_internal.role_name(caller), open, most - open, new USING ERRCODE = 'configuration_limit_exceeded',
      HINT = 'Queue fewer at once, cancel() some, or ask an administrator to raise image_gen.max_queued_per_role or the policy of the role.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_queue_quota(regrole, bigint, bigint) IS 'An error for a role that would have too many jobs: role_policies.max_queued, else image_gen.max_queued_per_role.';

CREATE FUNCTION image_gen_internal.check_request_rate(caller regrole, most bigint, new bigint, since text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  recent bigint := (SELECT count(*) FROM (SELECT j.id FROM image_gen.jobs j WHERE j.owner = caller ORDER BY j.seq DESC LIMIT most) o WHERE o.id::text COLLATE "C" >= since);
BEGIN
  IF recent + new > most THEN
    RAISE EXCEPTION 'role "%" has queued % jobs within a minute, and may queue % more, not %', image_gen_internal.role_name(caller), recent, most - recent, new
      USING ERRCODE = 'configuration_limit_exceeded', HINT = 'Wait a minute, or ask an administrator for another requests_per_minute: image_gen.set_role_policy().';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_request_rate(regrole, bigint, bigint, text) IS
'An error for a role that would queue too many jobs within a minute: role_policies.requests_per_minute. since: the lowest id that a job of the last minute can have.';

CREATE TYPE image_gen.receipt AS (
  id text, status text, model text, estimated_seconds numeric, estimated_cost numeric, created_at timestamptz, warnings jsonb);
COMMENT ON TYPE image_gen.receipt IS 'What queueing a job returns. Costs are in USD; NULL is unknown. warnings: [{"code", "message"}].';

SET LOCAL search_path = image_gen, pg_temp;
