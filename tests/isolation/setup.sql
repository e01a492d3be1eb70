-- What the isolation specs share, beside sql/worker.sql. Their database has no worker: the sessions play its part.
CREATE TABLE t.got (session text, id text);

-- Queues a job. Jobs are named by their prompt: seq and id differ from run to run.
CREATE FUNCTION t.queue(prompt text) RETURNS text LANGUAGE sql AS $$ SELECT status FROM image_gen.generate($1, seed => 7) $$;
-- The place of a job in the queue.
CREATE FUNCTION t.seq(prompt text) RETURNS bigint LANGUAGE sql AS $$ SELECT j.seq FROM image_gen.jobs j WHERE j.prompt = $1 $$;
CREATE FUNCTION t.claim(epoch bigint, at_most int DEFAULT 100, after_seq bigint DEFAULT 0) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT job #>> '{request,prompt}' FROM t.claimed($1, $2, $3)
$$;
-- Queues a change of another job's image.
CREATE FUNCTION t.edit(prompt text, of_prompt text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT e.status FROM image_gen.jobs j CROSS JOIN LATERAL image_gen.edit('job:' || j.id, $1, seed => 7) e WHERE j.prompt = $2);
END $$;
-- A reviewer takes jobs, and decides about one.
CREATE FUNCTION t.claim_review(n int, stale interval DEFAULT '30 minutes') RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(c.prompt, ', ' ORDER BY c.prompt) FROM image_gen.claim_review($1, $2) c
$$;
CREATE FUNCTION t.resolve(prompt text, action text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT r.status FROM image_gen.jobs j CROSS JOIN LATERAL image_gen.resolve_review(j.id, $2, url => CASE $2 WHEN 'approve' THEN 'https://mine.example/1.png' END) r
           WHERE j.prompt = $1);
EXCEPTION WHEN object_not_in_prerequisite_state OR lock_not_available THEN
  RETURN sqlstate;
END $$;
CREATE FUNCTION t.cancel(prompt text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT c.status FROM image_gen.jobs j CROSS JOIN LATERAL image_gen.cancel(j.id) c WHERE j.prompt = $1);
END $$;
CREATE FUNCTION t.start_epoch(on_uncertain text DEFAULT 'review') RETURNS bigint LANGUAGE sql AS $$
  SELECT image_gen_internal.start_epoch(1, 'test', 100, 'test', '{}', $1)
$$;
-- Writes one commit of the worker's journal for a job; the answer is whether the job was this epoch's.
CREATE FUNCTION t.journal(epoch bigint, prompt text, VARIADIC entries text[]) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (SELECT FROM t.record($1, (
    SELECT jsonb_build_array(jsonb_build_object('seq', j.seq, 'job_id', j.id, 'begins', 'begin' = ANY ($3), 'entries', (
      SELECT jsonb_agg(CASE e
        WHEN 'begin' THEN jsonb_build_object('entry', 'begin', 'number', 1, 'provider', 'bfl', 'model', 'flux-1.1-pro', 'prompt', $2,
                                             'seed', 7, 'seed_honored', true, 'warnings', '[]'::jsonb)
        WHEN 'accepted' THEN '{"entry": "checkpoint", "number": 1, "http_status": 200, "cost": null,
                               "remote": {"id": "task-1", "poll_url": "https://api.bfl.ai/v1/get_result?id=task-1"}}'
        WHEN 'done' THEN '{"entry": "end", "number": 1, "status": "succeeded", "failed": null, "http_status": 200, "tokens": null, "seed": null,
                           "render_seconds": null, "warnings": [], "cost": {"amount": "0.04", "currency": "USD", "source": "priced"}}'
        WHEN 'close' THEN '{"entry": "close", "status": "succeeded", "failed": null,
                            "images": [{"url": "https://delivery.example/1.png", "lifetime_seconds": 600, "inline": false}]}'
        WHEN 'refused' THEN '{"entry": "end", "number": 1, "status": "refused", "failed": {"code": "safety_filter", "message": "no"}, "http_status": 200,
                              "tokens": null, "seed": null, "render_seconds": null, "warnings": [], "cost": {"amount": "0", "currency": "USD", "source": "priced"}}'
        WHEN 'review' THEN '{"entry": "close", "status": "needs_review", "failed": {"code": "safety_filter", "message": "no"}, "images": []}'
        WHEN 'fail' THEN '{"entry": "close", "status": "failed", "failed": {"code": "safety_filter", "message": "no"}, "images": []}'
        END::jsonb ORDER BY o) FROM unnest($3) WITH ORDINALITY AS u(e, o))))
      FROM image_gen.jobs j WHERE j.prompt = $2)))
$$;
CREATE VIEW t.state AS
SELECT j.prompt, j.status, j.error_code AS error, q.state AS queue, q.epoch, EXISTS (SELECT FROM image_gen_internal.cancel_requests c WHERE c.seq = q.seq) AS cancel,
       (SELECT string_agg(a.status || CASE WHEN a.remote_id IS NULL THEN '' ELSE ' with id' END, ', ' ORDER BY a.number)
          FROM image_gen.attempts a WHERE a.job_id = j.id) AS attempts,
       (SELECT count(*) FROM image_gen.campaign_assets a WHERE a.job_id = j.id) AS assets
  FROM image_gen.jobs j LEFT JOIN image_gen_internal.queue q ON q.seq = j.seq ORDER BY j.prompt;
CREATE PROCEDURE t.reset() LANGUAGE sql AS $$
  DELETE FROM image_gen_internal.job_dependencies; DELETE FROM image_gen_internal.queue; DELETE FROM image_gen.campaign_assets; DELETE FROM image_gen.jobs; DELETE FROM t.got;
  UPDATE image_gen_internal.worker_state SET epoch = 1;
$$;
