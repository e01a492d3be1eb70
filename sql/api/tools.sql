-- The four tools of an agent, as functions from JSON to JSON. Their shapes are those of crates/tools, from which their schemas come.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.tool_schemas() RETURNS TABLE (tool text, description text, input_schema jsonb, output_schema jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT t.one ->> 'name', t.one ->> 'description', t.one -> 'input_schema', t.one -> 'output_schema'
    FROM jsonb_array_elements(image_gen_internal.tool_list()) AS t(one);
END $$;
COMMENT ON FUNCTION image_gen.tool_schemas() IS
'The four tools of an agent, each with its description and the JSON Schemas (draft 2020-12, without references) of its arguments and of its answer: what a server that speaks to models offers them.
The functions of the same names are these tools.';

CREATE FUNCTION image_gen_internal.iso_time(at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
END $$;
COMMENT ON FUNCTION image_gen_internal.iso_time(timestamptz) IS 'A time as ISO 8601 has it, in UTC, to the second.';

CREATE FUNCTION image_gen_internal.tool_status(status text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A client that asks until it is succeeded or failed comes to an end.
  RETURN CASE WHEN status IN ('canceled', 'needs_review') THEN 'failed' ELSE status END;
END $$;
COMMENT ON FUNCTION image_gen_internal.tool_status(text) IS 'How a job stands, as the tools say it: queued, running, succeeded or failed.';

CREATE FUNCTION image_gen_internal.generate_image(arguments jsonb) RETURNS image_gen.receipt
LANGUAGE c SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, MDY' AS 'MODULE_PATHNAME', 'image_gen_generate_image';
COMMENT ON FUNCTION image_gen_internal.generate_image(jsonb) IS 'Queues the image of generate_image().';

CREATE FUNCTION image_gen.generate_image(arguments jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  receipt image_gen.receipt := image_gen_internal.generate_image(arguments);
BEGIN
  RETURN jsonb_build_object('id', receipt.id, 'status', image_gen_internal.tool_status(receipt.status), 'model', receipt.model,
                            'estimated_seconds', trim_scale(receipt.estimated_seconds), 'created_at', image_gen_internal.iso_time(receipt.created_at));
END $$;
COMMENT ON FUNCTION image_gen.generate_image(jsonb) IS
'Queues an image, as generate() does, and returns {"id", "status", "model", "estimated_seconds", "created_at"}. arguments: those of generate(), by name, alone or as
{"tool": "generate_image", "arguments": {...}}; tool_schemas() describes them. What the model will not do as asked is in the warnings of get_generation().
Errors: 22023 with the JSON path of an argument that is not known, missing or of another type, and those of generate().';

CREATE FUNCTION image_gen_internal.generation(job image_gen.job_status) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wire text := image_gen_internal.tool_status(job.status);
  since timestamptz := job.created_at;
BEGIN
  IF job.status = 'running' THEN
    -- Of a render the time is counted from when it was sent.
    since := coalesce((SELECT a.sent_at FROM image_gen.attempts a WHERE a.job_id = job.id AND a.status = 'running'), since);
  END IF;
  RETURN jsonb_build_object(
    'id', job.id, 'status', wire, 'model', job.model, 'provider', job.provider, 'prompt', job.prompt, 'seed', job.seed,
    'output_url', job.url, 'output_urls', coalesce(to_jsonb(job.urls), '[]'),
    'error', CASE WHEN wire = 'failed' THEN jsonb_build_object('code', coalesce(job.error_code, 'unknown'), 'message', job.error_message) END,
    'needs_review', job.status = 'needs_review', 'billed_cost', trim_scale(job.billed_cost), 'currency', job.currency,
    'estimated_seconds', trim_scale(job.estimated_seconds),
    'next_poll_ms', CASE WHEN wire IN ('queued', 'running') THEN
                      image_gen_internal.next_poll_ms(job.estimated_seconds::float8, extract(epoch FROM clock_timestamp() - since)::float8) END,
    'metadata', job.metadata, 'warnings', job.warnings, 'created_at', image_gen_internal.iso_time(job.created_at), 'finished_at', image_gen_internal.iso_time(job.finished_at));
END $$;
COMMENT ON FUNCTION image_gen_internal.generation(image_gen.job_status) IS 'A job as the tools show it.';

CREATE FUNCTION image_gen.get_generation(id text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT image_gen_internal.generation(s) FROM image_gen.status($1) s);
END $$;
COMMENT ON FUNCTION image_gen.get_generation(text) IS
'How a job stands: {"id", "status", "output_url", "seed", "error": {"code", "message"}, "billed_cost", "next_poll_ms", ...}, see tool_schemas(). status is queued, running, succeeded or failed;
a canceled job has failed with the code canceled, and one that waits for a person with its own code and needs_review true. next_poll_ms: when to ask again, at first after the estimate,
then half as long again each time, at most 8000; null where it is over. It writes nothing. Error 42704 as status().';

CREATE FUNCTION image_gen.list_recent_generations("limit" integer DEFAULT 20, filters jsonb DEFAULT NULL, before text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  asked jsonb := image_gen_internal.list_arguments(jsonb_strip_nulls(jsonb_build_object('limit', $1, 'before', $3)) || jsonb_build_object('filters', $2));
  wanted jsonb := coalesce(nullif(asked -> 'filters', 'null'), '{}');
  most integer := coalesce((asked ->> 'limit')::integer, 20);
  statuses text[] := CASE WHEN wanted ->> 'status' = 'failed' THEN '{failed,canceled,needs_review}' ELSE ARRAY[wanted ->> 'status'] END;
  matching jsonb := coalesce(nullif(wanted -> 'metadata', 'null'), '{}')
                    || jsonb_strip_nulls(jsonb_build_object('campaign', wanted -> 'campaign', 'shot', wanted -> 'shot', 'ticket', wanted -> 'ticket'));
  page jsonb;
  number bigint;
  last text;
BEGIN
  WITH newest AS MATERIALIZED (
    SELECT n.id, n.seq
      FROM image_gen_internal.newest_jobs(most + 1, nullif(statuses, '{NULL}'), matching ->> 'campaign', matching, wanted ->> 'model', before) n
  ), shown AS (
    SELECT n.id, n.seq FROM newest n ORDER BY n.seq DESC LIMIT most
  )
  SELECT jsonb_agg(image_gen_internal.generation(s.job) ORDER BY n.seq DESC), (SELECT count(*) FROM newest), (SELECT l.id FROM shown l ORDER BY l.seq LIMIT 1)
    INTO page, number, last
    FROM shown n CROSS JOIN LATERAL (SELECT t AS job FROM image_gen.job_status t WHERE t.id = n.id OFFSET 0) s;
  RETURN jsonb_build_object('generations', coalesce(page, '[]'), 'next_before', CASE WHEN number > most THEN last END);
END $$;
COMMENT ON FUNCTION image_gen.list_recent_generations(integer, jsonb, text) IS
'The newest jobs that the caller sees, the newest first: {"generations": [as of get_generation()], "next_before"}. limit: 1 to 100. before: only those older than this id; next_before of a page is
the before of the next, null on the last one. filters: {"status", "model", "campaign", "shot", "ticket", "metadata"}, all of which must be so; metadata is what theirs must contain.
Errors: 22023 with the JSON path of what is not known or of another type.';

CREATE FUNCTION image_gen.get_credits() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object(
             -- The limits that hold whatever a job is for: of the workspace, and of roles that the caller is.
             'available', trim_scale(min(c.available) FILTER (WHERE c.applies)),
             'unlimited', coalesce(bool_and(c.unlimited) FILTER (WHERE c.applies), true), 'currency', 'USD',
             'limits', coalesce(jsonb_agg(jsonb_build_object('scope', c.scope, 'period', c.period, 'limit', trim_scale(c.limit_amount), 'spent', trim_scale(c.spent),
                                                             'reserved', trim_scale(c.reserved), 'available', trim_scale(c.available))), '[]'))
      FROM (SELECT b.*, b.scope = 'workspace'
                   OR EXISTS (SELECT FROM pg_roles r WHERE 'role:' || r.rolname = b.scope AND pg_has_role(r.oid, 'member')) AS applies
              FROM image_gen.credits() b) c);
END $$;
COMMENT ON FUNCTION image_gen.get_credits() IS
'What may still be spent: {"available", "unlimited", "currency", "limits": [{"scope", "period", "limit", "spent", "reserved", "available"}]}, in USD. available is the least of the limits that hold
whatever a job is for (of the workspace and of the caller''s roles), null where there is none; limits has those of credits(), for campaigns and tickets too.';

CREATE FUNCTION image_gen.settle(ids text[], timeout interval DEFAULT '5 minutes') RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object(
             'done', coalesce(jsonb_object_agg(s.shot, jsonb_build_object('url', s.url, 'seed', s.seed)) FILTER (WHERE s.status = 'succeeded'), '{}'),
             'failed', coalesce(jsonb_object_agg(s.shot, coalesce(s.error_code, 'unknown')) FILTER (WHERE s.status = 'failed'), '{}'))
           || CASE WHEN bool_or(s.status IN ('queued', 'running'))
                   THEN jsonb_build_object('pending', jsonb_agg(s.shot) FILTER (WHERE s.status IN ('queued', 'running'))) ELSE '{}' END
      FROM (SELECT coalesce(w.metadata ->> 'shot', w.id) AS shot, image_gen_internal.tool_status(w.status) AS status, w.url, w.seed, w.error_code
              FROM image_gen.wait(ids, timeout) w) s);
END $$;
COMMENT ON FUNCTION image_gen.settle(text[], interval) IS
'Waits for jobs, as wait() does, and returns {"done": {shot: {"url", "seed"}}, "failed": {shot: code}}, by metadata.shot, or by the id of a job that has none. Of two jobs of one shot the later in the
list counts. The code is that of the error, unknown where there is none; of a job that waits for a person, why it does. What the timeout left is listed as "pending".';

SET LOCAL search_path = image_gen, pg_temp;
