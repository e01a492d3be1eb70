-- The state machine in the database, driven by hand in the place of the worker, with the worker's own rights (N4, N7, N22).
\set ON_ERROR_ROLLBACK on
BEGIN;
-- Entries of jobs, as the worker writes them: t.record().
\set ECHO none
\getenv tests PG_ABS_SRCDIR
\set worker :tests '/../sql/worker.sql'
\i :worker
\set ECHO all
CREATE ROLE image_gen_regress_user;
GRANT image_gen_user TO image_gen_regress_user;

-- Queues a job as an ordinary user. Jobs are named by their prompt from here on.
CREATE FUNCTION pg_temp.queue(prompt text, arguments text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  caller name := current_setting('role');
BEGIN
  SET LOCAL ROLE image_gen_regress_user;
  EXECUTE format('SELECT id FROM image_gen.generate(%L%s, seed => 7, metadata => %L)', prompt, arguments, '{"campaign": "aurora", "shot": "hero", "ticket": "T-1"}');
  EXECUTE format('SET LOCAL ROLE %I', caller);
END $$;
CREATE FUNCTION pg_temp.claim(epoch bigint, at_most int DEFAULT 100, after_seq bigint DEFAULT 0) RETURNS TABLE (prompt text, job jsonb) LANGUAGE sql AS $$
  SELECT job #>> '{request,prompt}', job FROM t.claimed($1, $2, $3)
$$;
-- Writes entries for one job; the answer is whether the job was this epoch's.
CREATE FUNCTION pg_temp.journal(epoch bigint, of_prompt text, VARIADIC entries jsonb[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  job image_gen.jobs;
BEGIN
  SELECT * INTO STRICT job FROM image_gen.jobs j WHERE j.prompt = of_prompt;
  RETURN EXISTS (SELECT FROM t.record(epoch, jsonb_build_array(jsonb_build_object(
           'seq', job.seq, 'job_id', job.id, 'begins', to_jsonb(entries) @> '[{"entry": "begin"}]', 'entries', to_jsonb(entries)))));
END $$;
CREATE FUNCTION pg_temp.begin_(of_prompt text, number int DEFAULT 1, provider text DEFAULT 'bfl') RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('entry', 'begin', 'number', number, 'provider', provider, 'model', 'flux-1.1-pro', 'prompt', of_prompt,
                            'seed', 7, 'seed_honored', true, 'warnings', '[]'::jsonb, 'estimated_cost', '0.04', 'progress', jsonb_build_object('tries', number))
$$;
CREATE FUNCTION pg_temp.accepted(number int DEFAULT 1, cost text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('entry', 'checkpoint', 'number', number, 'http_status', 200,
                            'remote', jsonb_build_object('id', 'task-' || number, 'poll_url', 'https://api.bfl.ai/v1/get_result?id=task-' || number),
                            'cost', CASE WHEN cost IS NOT NULL THEN jsonb_build_object('amount', cost, 'currency', 'USD', 'source', 'reported') END)
$$;
CREATE FUNCTION pg_temp.ended(number int, status text, amount text, source text, code text DEFAULT NULL, seconds numeric DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('entry', 'end', 'number', number, 'status', status, 'http_status', 200, 'tokens', NULL, 'seed', NULL, 'warnings', '[]'::jsonb,
                            'failed', CASE WHEN code IS NOT NULL THEN jsonb_build_object('code', code, 'message', 'because') END,
                            'cost', jsonb_build_object('amount', amount, 'currency', 'USD', 'source', source), 'render_seconds', seconds)
$$;
CREATE FUNCTION pg_temp.closed(status text, images int DEFAULT 0, code text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('entry', 'close', 'status', status,
                            'failed', CASE WHEN code IS NOT NULL THEN jsonb_build_object('code', code, 'message', 'because') END,
                            'images', (SELECT coalesce(jsonb_agg(jsonb_build_object('url', 'https://delivery.example/' || i || '.png', 'lifetime_seconds', 600,
                                           'sha256', repeat(i::text, 64), 'width', 1024, 'height', 768, 'content_type', 'image/png', 'byte_size', 100 + i, 'inline', false)), '[]')
                                           FROM generate_series(1, images) i))
$$;
CREATE VIEW pg_temp.state AS
SELECT j.prompt, j.status, j.error_code, j.billed_cost AS cost, j.cost_source AS source, q.state AS queue, q.epoch, q.attempts AS begun, q.progress,
       EXISTS (SELECT FROM image_gen_internal.cancel_requests c WHERE c.seq = q.seq) AS cancel, j.finished_at IS NOT NULL AS done,
       (SELECT string_agg(a.status || coalesce(' ' || a.error_code, '') || coalesce(' ' || a.billed_cost, '') || ' ' || a.cost_source, ', ' ORDER BY a.number)
          FROM image_gen.attempts a WHERE a.job_id = j.id) AS attempts
  FROM image_gen.jobs j LEFT JOIN image_gen_internal.queue q ON q.seq = j.seq ORDER BY j.seq;
GRANT SELECT ON pg_temp.state TO PUBLIC;

SET LOCAL ROLE image_gen_worker;
SELECT image_gen_internal.start_epoch(4711, 'preloaded', 100, 'image_gen.max_in_flight', '{BFL_API_KEY}', 'review') AS epoch;
SELECT epoch, pid, mode, in_flight_cap, cap_reason, configured, started_at IS NOT NULL AS started, last_error FROM image_gen_internal.worker_state;
SELECT image_gen_internal.record_worker_state('{BFL_API_KEY,OPENAI_API_KEY}', 'the network is down', NULL, NULL);
RESET ROLE;
-- What an administrator sees of it (P28): nobody has this pid, so nothing runs.
SELECT running, mode, pid, epoch, in_flight, in_flight_cap, cap_reason, ready, configured_keys, last_error, last_error_at IS NOT NULL AS dated
  FROM image_gen.worker_status;
SET LOCAL ROLE image_gen_worker;

-- From queued to succeeded, and what is written at each step (P2: the remote id before the first poll).
SELECT pg_temp.queue('simple');
SELECT * FROM pg_temp.state;
SELECT job AS claimed FROM pg_temp.claim(1) \gset
SELECT jsonb_pretty(:'claimed'::jsonb) AS job;
SELECT * FROM pg_temp.state;
SELECT count(*) AS nothing_is_claimed_twice FROM pg_temp.claim(1);
SELECT pg_temp.journal(1, 'simple', pg_temp.begin_('simple'));
SELECT * FROM pg_temp.state;
SELECT pg_temp.journal(1, 'simple', pg_temp.accepted(1, '0.04'));
SELECT remote_id, poll_url, http_status, billed_cost, cost_source, status, epoch FROM image_gen.attempts;
SELECT pg_temp.journal(1, 'simple', pg_temp.ended(1, 'succeeded', '0.04', 'reported', NULL, 8.5), pg_temp.closed('succeeded', 1));
SELECT * FROM pg_temp.state;
SELECT position, campaign, shot, ticket, url, url_expires_at > now() AS expires, provider, model, seed, prompt, width, height, content_type, byte_size,
       left(sha256, 4) AS sha256, billed_cost, currency, cost_source, metadata, owner FROM image_gen.campaign_assets;
RESET ROLE;
SELECT scope, spent, unknown_costs, reserved FROM image_gen.credits();
SET LOCAL ROLE image_gen_regress_user;
SELECT scope, spent, unknown_costs, reserved FROM image_gen.credits();
SELECT status, provider, url, urls, billed_cost, cost_source, attempts FROM image_gen.recent(1);
SET LOCAL ROLE image_gen_worker;
-- A second end or close of a finished job changes nothing.
SELECT pg_temp.journal(1, 'simple', pg_temp.ended(1, 'failed', '9', 'reported', 'unknown'), pg_temp.closed('failed', 0, 'unknown'));
SELECT image_gen_internal.close_job((SELECT id FROM image_gen.jobs WHERE prompt = 'simple'), 'failed', 'unknown', 'no');
SELECT * FROM pg_temp.state;

-- A life whose successor has begun begins nothing, and an entry of another life than that which has the job in flight is ignored (N4).
SELECT pg_temp.queue('disowned');
SELECT prompt FROM pg_temp.claim(1);
SELECT pg_temp.journal(0, 'disowned', pg_temp.begin_('disowned')), pg_temp.journal(0, 'disowned', pg_temp.closed('failed', 0, 'unknown'));
SELECT pg_temp.journal(1, 'disowned', pg_temp.begin_('disowned')) AS begun;
SELECT pg_temp.journal(0, 'disowned', pg_temp.closed('failed', 0, 'unknown')), pg_temp.journal(2, 'disowned', pg_temp.closed('failed', 0, 'unknown'));
SELECT pg_temp.queue('waiting');
SELECT * FROM pg_temp.state WHERE prompt IN ('disowned', 'waiting');
-- In one flush, each for itself: one of these is over.
SELECT count(*) AS owned FROM t.record(1, (SELECT jsonb_agg(jsonb_build_object('seq', seq, 'job_id', id,
         'entries', jsonb_build_array(pg_temp.accepted()))) FROM image_gen.jobs WHERE prompt IN ('disowned', 'simple')));
SELECT * FROM pg_temp.state WHERE prompt IN ('disowned', 'waiting');

-- Cancelled while waiting: over at once, for nothing. So it is between claim and begin: the worker finds it gone (P8).
RESET ROLE;
SELECT image_gen_internal.cancel_job(id) FROM image_gen.jobs WHERE prompt = 'waiting';
SET LOCAL ROLE image_gen_worker;
SELECT pg_temp.queue('stopped');
SELECT prompt FROM pg_temp.claim(1);
RESET ROLE;
SELECT image_gen_internal.cancel_job(id) FROM image_gen.jobs WHERE prompt = 'stopped';
SELECT image_gen_internal.cancel_job(id) FROM image_gen.jobs WHERE prompt = 'simple';
SET LOCAL ROLE image_gen_worker;
SELECT prompt FROM image_gen_internal.open_cancel_requests(t.in_hand()) c JOIN image_gen.jobs j ON j.seq = c;
SELECT pg_temp.journal(1, 'stopped', pg_temp.begin_('stopped')) AS not_begun;
SELECT pg_temp.journal(1, 'stopped', pg_temp.closed('canceled', 0, 'canceled'));
-- Cancelled in flight: what was begun goes on to its end, and what it cost stays on the bill.
RESET ROLE;
SELECT image_gen_internal.cancel_job(id) FROM image_gen.jobs WHERE prompt = 'disowned';
SET LOCAL ROLE image_gen_worker;
SELECT prompt FROM image_gen_internal.open_cancel_requests('{}') c JOIN image_gen.jobs j ON j.seq = c;
SELECT pg_temp.journal(1, 'disowned', pg_temp.ended(1, 'canceled', NULL, 'unknown', 'canceled'), pg_temp.closed('canceled', 0, 'canceled'));
SELECT * FROM pg_temp.state WHERE prompt IN ('waiting', 'stopped', 'disowned');

-- Put off: its turn comes again later, its place is free, and its progress is kept (P7).
SELECT pg_temp.queue('later');
SELECT prompt FROM pg_temp.claim(1);
SELECT pg_temp.journal(1, 'later', pg_temp.begin_('later'), pg_temp.ended(1, 'failed', '0', 'priced', 'rate_limited'),
                       '{"entry": "later", "after_seconds": 3600.5, "progress": {"failed": ["bfl:flux-1.1-pro"]}}');
SELECT * FROM pg_temp.state WHERE prompt = 'later';
SELECT round(extract(epoch FROM ready_at - clock_timestamp())) BETWEEN 3590 AND 3601 AS in_an_hour FROM image_gen_internal.queue;
SELECT count(*) AS not_yet FROM pg_temp.claim(1);
RESET ROLE;
SELECT ready, waiting, in_flight FROM image_gen.queue_stats;
SET LOCAL ROLE image_gen_worker;
UPDATE image_gen_internal.queue SET ready_at = clock_timestamp();
SELECT prompt, job -> 'attempts' AS attempts, job -> 'progress' AS progress, job -> 'resume' AS resume FROM pg_temp.claim(1);
-- The cost of a job is the sum over its attempts (S57, S71), refused ones too; unknown is said (P3).
SELECT pg_temp.journal(1, 'later', pg_temp.begin_('later', 2), pg_temp.ended(2, 'refused', '0.04', 'reported', 'safety_filter'));
SELECT pg_temp.journal(1, 'later', pg_temp.begin_('later', 3), pg_temp.ended(3, 'succeeded', '0.06', 'priced'), pg_temp.closed('succeeded', 3));
SELECT * FROM pg_temp.state WHERE prompt = 'later';
-- Three images of 0.10: the shares add up exactly.
SELECT a.position, a.billed_cost, a.cost_source FROM image_gen.campaign_assets a JOIN image_gen.jobs j ON j.id = a.job_id WHERE j.prompt = 'later' ORDER BY 1;
SELECT sum(a.billed_cost) = j.billed_cost AS adds_up FROM image_gen.campaign_assets a JOIN image_gen.jobs j ON j.id = a.job_id WHERE j.prompt = 'later' GROUP BY j.billed_cost;
-- So for every number of images and awkward amounts: no image costs less than nothing, the first carries the rest.
SAVEPOINT shares;
RESET ROLE;
CREATE FUNCTION pg_temp.shares(amount numeric, images int) RETURNS TABLE (total numeric, smallest numeric, spread numeric) LANGUAGE plpgsql AS $$
DECLARE
  simple text := (SELECT id FROM image_gen.jobs WHERE prompt = 'simple');
BEGIN
  DELETE FROM image_gen.campaign_assets WHERE job_id = simple;
  UPDATE image_gen.jobs SET billed_cost = amount WHERE id = simple;
  PERFORM image_gen_internal.insert_assets(array_agg(simple), array_agg(i), array_agg('https://delivery.example/' || i), NULL, NULL, NULL, NULL, NULL, NULL, NULL) FROM generate_series(1, images) i;
  RETURN QUERY SELECT sum(a.billed_cost), min(a.billed_cost), max(a.billed_cost) - min(a.billed_cost) FROM image_gen.campaign_assets a WHERE a.job_id = simple;
END $$;
SELECT bool_and(s.total = v.amount) AS adds_up, bool_and(s.smallest >= 0) AS none_is_negative, max(s.spread) AS largest_difference, count(*) AS cases
  FROM unnest('{0.10,0.04,0.000001,0.0000005,0,1,0.03048192,12345.678901234}'::numeric[]) v(amount) CROSS JOIN generate_series(1, 10) n
 CROSS JOIN LATERAL pg_temp.shares(v.amount, n) s;
ROLLBACK TO shares;
-- Three images in three calls (P21): what one has made is there at once, and has its share when all are over. It is canceled between two.
SAVEPOINT split;
RESET ROLE;
CREATE VIEW pg_temp.parts AS
SELECT j.prompt, j.status, j.error_code, j.billed_cost AS cost, j.warnings -> -1 ->> 'message' AS told, q.progress, a.position, a.attempt, a.billed_cost, a.cost_source
  FROM image_gen.jobs j LEFT JOIN image_gen_internal.queue q ON q.seq = j.seq LEFT JOIN image_gen.campaign_assets a ON a.job_id = j.id
 WHERE j.prompt LIKE 'split%' ORDER BY j.seq, a.position;
GRANT SELECT ON pg_temp.parts TO PUBLIC;
CREATE FUNCTION pg_temp.part(number int) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('entry', 'later', 'after_seconds', 0, 'progress', jsonb_build_object('asked', number, 'delivered', number),
                            'images', (SELECT jsonb_agg(i || jsonb_build_object('position', number)) FROM jsonb_array_elements(pg_temp.closed('succeeded', 1) -> 'images') i))
$$;
SET LOCAL ROLE image_gen_worker;
SELECT pg_temp.queue('split', ', n => 3'), pg_temp.queue('split, and its row in the queue is gone', ', n => 3');
SELECT prompt FROM pg_temp.claim(1);
SELECT pg_temp.journal(1, prompt, pg_temp.begin_(prompt), pg_temp.ended(1, 'succeeded', '0.05', 'reported'), pg_temp.part(1)) FROM image_gen.jobs WHERE prompt LIKE 'split%';
SELECT * FROM pg_temp.parts;
SELECT prompt FROM pg_temp.claim(1) ORDER BY 1;
SELECT pg_temp.journal(1, prompt, pg_temp.begin_(prompt, 2), pg_temp.ended(2, 'succeeded', '0.04', 'reported'), pg_temp.part(2)) FROM image_gen.jobs WHERE prompt LIKE 'split%';
RESET ROLE;
SELECT image_gen_internal.cancel_job(id) FROM image_gen.jobs WHERE prompt = 'split';
DELETE FROM image_gen_internal.queue q USING image_gen.jobs j WHERE j.seq = q.seq AND j.prompt LIKE 'split,%';
SET LOCAL ROLE image_gen_worker;
SELECT r.lost FROM image_gen.jobs j CROSS JOIN LATERAL image_gen_internal.reconcile(1, ARRAY[j.seq], j.seq - 1, 1, 'review') r WHERE j.prompt LIKE 'split,%';
SELECT * FROM pg_temp.parts;
ROLLBACK TO split;

-- An attempt of unknown cost makes the job's cost unknown, not zero.
SELECT pg_temp.queue('unknown cost');
SELECT prompt FROM pg_temp.claim(1);
SELECT pg_temp.journal(1, 'unknown cost', pg_temp.begin_('unknown cost'), pg_temp.ended(1, 'succeeded', NULL, 'unknown'), pg_temp.closed('succeeded', 2));
SELECT * FROM pg_temp.state WHERE prompt = 'unknown cost';
SELECT a.position, a.billed_cost, a.cost_source FROM image_gen.campaign_assets a JOIN image_gen.jobs j ON j.id = a.job_id WHERE j.prompt = 'unknown cost' ORDER BY 1;

-- Bytes are kept once, under their hash; the worker cannot change them.
SELECT image_gen_internal.store_blob(repeat('1', 64), 'image/png', 'bytes'), image_gen_internal.store_blob(repeat('1', 64), 'image/png', 'others');
RESET ROLE;
SELECT content_type, bytes FROM image_gen_internal.blobs;
SET LOCAL ROLE image_gen_regress_user;
SELECT convert_from(image_gen.asset_bytes(a.id), 'UTF8') AS mine FROM image_gen.campaign_assets a WHERE a.position = 1 ORDER BY id LIMIT 1;

-- The estimate follows what renders take: slow ones raise it by more than fast ones lower it (N12).
RESET ROLE;
DELETE FROM image_gen_internal.render_estimates;
CREATE FUNCTION pg_temp.rendered(seconds numeric[]) RETURNS TABLE (render numeric, estimate numeric, samples bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOREACH render IN ARRAY seconds LOOP
    PERFORM image_gen_internal.update_estimates('{bfl}', '{flux-1.1-pro}', '{""}', ARRAY[render]);
    SELECT t.seconds, t.samples INTO estimate, samples FROM image_gen_internal.render_estimates t WHERE t.provider = 'bfl' AND t.model = 'flux-1.1-pro';
    RETURN NEXT;
  END LOOP;
END $$;
GRANT ALL ON FUNCTION pg_temp.rendered TO image_gen_worker;
SET LOCAL ROLE image_gen_worker;
SELECT * FROM pg_temp.rendered('{9, 5, 10, 7, 20, 5, 11.5, 1000, NULL, 0}');
SELECT pg_temp.queue('after learning');
SELECT estimated_seconds FROM image_gen.jobs WHERE prompt = 'after learning';
-- 500 renders of 4 to 8 seconds: near their third quartile, 7.
SELECT estimate BETWEEN 6.5 AND 7.5 AS settles FROM pg_temp.rendered(ARRAY(SELECT 4 + (i * 37 % 100) * 0.04 FROM generate_series(1, 500) i)) WITH ORDINALITY r(render, estimate, samples, i) ORDER BY i DESC LIMIT 1;
-- A class of renders, of about the same size and steps, has an estimate of its own once it has four; the others have that of all (N12).
SELECT FROM image_gen_internal.update_estimates(array_fill('bfl'::text, '{4}'), array_fill('flux-1.1-pro'::text, '{4}'), array_fill('1.00 MP, 32 steps'::text, '{4}'), '{20,21,22,23}');
SELECT image_gen_internal.render_class(1024, 1024, 28) AS class, image_gen_internal.render_class(NULL, NULL, NULL) = '' AS none;
RESET ROLE;
SELECT a AS asked, e.estimated_seconds = (SELECT t.seconds FROM image_gen_internal.render_estimates t WHERE t.model = 'flux-1.1-pro' AND t.class = c) AS of_its_class, c AS class
  FROM (VALUES ('{"width": 1024, "height": 1024, "steps": 28}'::jsonb, '1.00 MP, 32 steps'), ('{"width": 1024, "height": 1024}', ''), ('{}', '')) v(a, c)
 CROSS JOIN LATERAL image_gen.estimate('generate', a || '{"prompt": "x", "model": "bfl:flux-1.1-pro"}') e;
DELETE FROM image_gen_internal.render_estimates;

-- What a new life of the worker finds (P2, N4).
SET LOCAL ROLE image_gen_worker;
SELECT pg_temp.queue(p) FROM unnest('{accepted,sent,not sent,put off,stop wanted}'::text[]) p;
SELECT pg_temp.queue('drawing', ', ''preview''');
SELECT prompt FROM pg_temp.claim(1);
SELECT pg_temp.queue('never claimed');
SELECT pg_temp.journal(1, 'accepted', pg_temp.begin_('accepted'), pg_temp.accepted(1, '0.04')), pg_temp.journal(1, 'sent', pg_temp.begin_('sent')),
       pg_temp.journal(1, 'put off', '{"entry": "later", "after_seconds": 60}'), pg_temp.journal(1, 'drawing', pg_temp.begin_('drawing', 1, 'preview'));
RESET ROLE;
INSERT INTO image_gen_internal.cancel_requests (seq) SELECT j.seq FROM image_gen.jobs j WHERE j.prompt = 'stop wanted';
SET LOCAL ROLE image_gen_worker;
SAVEPOINT before;
SELECT * FROM pg_temp.state WHERE NOT done;
SELECT image_gen_internal.start_epoch(4712, 'dynamic', 50, 'open files', '{}', 'review') AS epoch, set_config('t.in_hand', '', true) AS in_hand;
-- Accepted: resumed by its remote id. Sent, fate unknown: a person decides. Not sent: again. A preview was sent nowhere.
SELECT * FROM pg_temp.state WHERE prompt IN ('accepted', 'sent', 'not sent', 'put off', 'stop wanted', 'drawing', 'never claimed', 'after learning');
SELECT error_message FROM image_gen.jobs WHERE prompt = 'sent';
-- The money for what may have been accepted stays reserved, and its cost is not known.
SET LOCAL ROLE image_gen_regress_user;
SELECT c.reserved = (SELECT sum(r.reserved) FROM image_gen.reservations r) AS reservation_kept, c.unknown_costs FROM image_gen.credits() c;
SELECT j.prompt, r.reason, r.reserved FROM image_gen.reservations r JOIN image_gen.jobs j ON j.id = r.job_id ORDER BY j.seq;
SET LOCAL ROLE image_gen_worker;
SELECT prompt, job -> 'attempts' AS attempts, nullif(job -> 'resume', 'null') - 'sent_at' AS resume, job #> '{resume,sent_at}' IS NOT NULL AS sent_at FROM pg_temp.claim(2);
-- The life before has nothing to say any more.
SELECT pg_temp.journal(1, 'accepted', pg_temp.ended(1, 'failed', '0', 'priced', 'unknown'), pg_temp.closed('failed', 0, 'unknown'));
SELECT pg_temp.journal(2, 'accepted', pg_temp.ended(1, 'succeeded', '0.04', 'reported'), pg_temp.closed('succeeded', 1));
SELECT pg_temp.journal(2, 'stop wanted', pg_temp.begin_('stop wanted')) AS not_begun;
SELECT image_gen_internal.rescue_jobs(2, ARRAY(SELECT j.seq FROM image_gen.jobs j WHERE j.prompt = 'stop wanted'), 'review');
SELECT * FROM pg_temp.state WHERE prompt IN ('accepted', 'stop wanted');
-- Where the administrator has decided for it: sent again, with the uncertain attempt on record.
ROLLBACK TO before;
SELECT image_gen_internal.start_epoch(4712, 'dynamic', 50, 'open files', '{}', 'retry') AS epoch, set_config('t.in_hand', '', true) AS in_hand;
SELECT * FROM pg_temp.state WHERE prompt = 'sent';
SELECT prompt, job -> 'attempts' AS attempts, job -> 'resume' AS resume FROM pg_temp.claim(2) WHERE prompt = 'sent';
SELECT pg_temp.journal(2, 'sent', pg_temp.begin_('sent', 2), pg_temp.ended(2, 'succeeded', '0.04', 'reported'), pg_temp.closed('succeeded', 1));
SELECT * FROM pg_temp.state WHERE prompt = 'sent';
ROLLBACK TO before;

-- A deadline of infinity, refused at the call or taken for none, holds nobody up (S2).
SAVEPOINT infinity;
DO $$ BEGIN PERFORM pg_temp.queue('endless', ', deadline => ''infinity'''); EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$;
SELECT pg_temp.queue('with a deadline', ', deadline => ''2100-01-01 00:00+00''');
SELECT prompt, job -> 'deadline' AS deadline_ms FROM pg_temp.claim(3) WHERE prompt = 'with a deadline';
ROLLBACK TO infinity;

-- What the worker cannot do.
\set VERBOSITY sqlstate
DELETE FROM image_gen.jobs;
DELETE FROM image_gen.attempts;
UPDATE image_gen.campaign_assets SET billed_cost = 0;
UPDATE image_gen_internal.blobs SET bytes = '';
UPDATE image_gen.providers SET base_url = 'https://evil.example';
UPDATE image_gen.refusal_steps SET action = 'fail';
UPDATE image_gen.rewrite_rules SET replacement = 'x';
INSERT INTO image_gen.reviews (job_id) VALUES ('x');
SELECT image_gen.generate('x');
SELECT image_gen.resolve_review('x', 'retry');
SELECT image_gen.explain('generate', '{"prompt": "x"}');
\set VERBOSITY default
RESET ROLE;

-- Rows that make no sense are refused by the tables themselves, whoever writes them.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  violated text;
BEGIN
  EXECUTE statement;
  RAISE EXCEPTION 'not refused';
EXCEPTION WHEN raise_exception THEN
  RETURN 'NOT REFUSED';
WHEN integrity_constraint_violation THEN
  GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
  RETURN sqlstate || ' ' || coalesce(nullif(violated, ''), '(not null)');
END $$;
SELECT s AS "UPDATE image_gen.jobs SET …", pg_temp.refused('UPDATE image_gen.jobs SET ' || s || ' WHERE prompt = ''simple''') FROM unnest(ARRAY[
  $$status = 'done'$$, $$status = 'queued'$$, $$finished_at = NULL$$, $$status = 'failed'$$, $$error_code = 'unknown'$$, $$seed = -1$$, $$seed = 2147483648$$,
  $$seed = NULL$$, $$prompt = NULL$$, $$id = 'gen_1'$$, $$id = 'gen_01HWX2K8Y4N5R7P9Q1B3T6V8MU'$$, $$metadata = '[]'$$, $$operation = 'dream'$$, $$task = 'dream'$$, $$priority = 'luck'$$, $$billed_cost = -1$$, $$cost_source = 'guessed'$$,
  $$billed_cost = 'NaN'$$]) s;
SELECT s AS "UPDATE image_gen.attempts SET …", pg_temp.refused('UPDATE image_gen.attempts SET ' || s || ' WHERE prompt = ''simple''') FROM unnest(ARRAY[
  $$status = 'done'$$, $$status = 'running'$$, $$finished_at = NULL$$, $$billed_cost = NULL$$, $$cost_source = 'unknown'$$, $$billed_cost = -0.01$$, $$remote_id = NULL$$,
  $$poll_url = NULL$$, $$number = 0$$, $$seed_honored = NULL$$, $$billed_cost = 'NaN'$$]) s;
SELECT s AS "UPDATE image_gen_internal.queue SET …", pg_temp.refused('UPDATE image_gen_internal.queue SET ' || s || ' WHERE job_id = (SELECT id FROM image_gen.jobs WHERE prompt = ''accepted'')') FROM unnest(ARRAY[
  $$state = 'done'$$, $$state = 'ready'$$, $$state = 'waiting'$$, $$epoch = NULL$$, $$progress = NULL$$]) s;
-- Seed, model, prompt and URL of an asset are never missing (S65, S67).
SELECT s AS "UPDATE image_gen.campaign_assets SET …", pg_temp.refused('UPDATE image_gen.campaign_assets SET ' || s) FROM unnest(ARRAY[
  $$url = NULL$$, $$seed = NULL$$, $$model = NULL$$, $$prompt = NULL$$, $$position = 0$$, $$position = 1$$, $$billed_cost = -1$$, $$cost_source = NULL$$, $$billed_cost = 'NaN'$$]) s;
SELECT s AS statement, pg_temp.refused(s) FROM unnest(ARRAY[
  $$INSERT INTO image_gen.providers (id, kind) VALUES ('Big Name', 'bfl')$$,
  $$INSERT INTO image_gen.providers (id, kind, base_url) VALUES ('x', 'bfl', 'ftp://x')$$,
  $$INSERT INTO image_gen.providers (id, kind, base_url) VALUES ('x', 'bfl', 'https://user:password@x')$$,
  $$INSERT INTO image_gen.providers (id, kind, key_name) VALUES ('x', 'bfl', 'sk-a-real-key')$$,
  $$INSERT INTO image_gen.providers (id, kind, max_in_flight) VALUES ('x', 'bfl', 0)$$,
  $$INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'x', 'image', -1)$$,
  $$INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'x', 'image', 'NaN')$$,
  $$INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'x', 'image', 'Infinity')$$,
  $$INSERT INTO image_gen.prices (provider_kind, model, unit, amount, valid_from, valid_to) VALUES ('bfl', 'x', 'image', 1, '2026-01-02', '2026-01-02')$$,
  $$INSERT INTO image_gen.models (name, provider_kind, remote_name) VALUES ('x', 'bfl', 'x')$$,
  $$INSERT INTO image_gen.models (name, provider_kind, remote_name, sizes, max_n) VALUES ('x', 'bfl', 'x', '{}', 11)$$,
  $$INSERT INTO image_gen.models (name, provider_kind, remote_name, sizes, operations) VALUES ('x', 'bfl', 'x', '{}', '{dream}')$$,
  $$INSERT INTO image_gen.models (name, provider_kind, remote_name, sizes, default_for) VALUES ('x', 'bfl', 'x', '{}', '{dream}')$$,
  $$INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'x', 'dream', 1)$$,
  $$INSERT INTO image_gen_internal.provider_breakers (provider, model, state, since, failures) VALUES ('bfl', 'x', 'tired', now(), 1)$$,
  $$INSERT INTO image_gen.reviews (job_id) VALUES ('gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0')$$,
  $$INSERT INTO image_gen.refusal_steps (step, action) VALUES (9, 'pray')$$,
  $$INSERT INTO image_gen.refusal_steps (step, action, model) VALUES (9, 'rewrite', 'flux-dev')$$,
  $$INSERT INTO image_gen.refusal_steps (step, action) VALUES (0, 'review')$$,
  $$INSERT INTO image_gen.model_rules (position, rule, models, reason) VALUES (0, 'x', '{}', 'x')$$,
  $$INSERT INTO image_gen_internal.worker_state DEFAULT VALUES$$]) s;
-- One image at each place of a job, one number an attempt (N3).
SELECT pg_temp.refused($$INSERT INTO image_gen.campaign_assets (job_id, position, url, provider, model, seed, prompt, cost_source, owner)
  SELECT job_id, position, url, provider, model, seed, prompt, cost_source, owner FROM image_gen.campaign_assets WHERE prompt = 'simple'$$),
       pg_temp.refused($$INSERT INTO image_gen.attempts (job_id, number, provider, model, prompt, seed, seed_honored, owner, epoch)
  SELECT job_id, number, provider, model, prompt, seed, seed_honored, owner, epoch FROM image_gen.attempts WHERE prompt = 'simple'$$);

-- In every job that is over, the cost is the sum over its attempts, and over its assets (S71, N3).
SELECT j.prompt FROM image_gen.jobs j
 WHERE j.finished_at IS NOT NULL
   AND (j.known_cost IS DISTINCT FROM (SELECT sum(billed_cost) FROM image_gen.attempts WHERE job_id = j.id)
        OR j.status = 'succeeded' AND j.known_cost IS DISTINCT FROM (SELECT sum(known_cost) FROM image_gen.campaign_assets WHERE job_id = j.id));

-- Claiming stays fast: the query of claim() itself reads the partial index of what is ready, also in its generic plan (N19).
SELECT 'PREPARE claim (bigint, int, uuid, bigint[], oid[]) AS ' || replace(replace(replace(replace(replace(substring(p.prosrc FROM 'chosen := ARRAY\((.*?)\);'), 'after_seq', '$1'), 'at_most', '$2'), 'this_instance', '$3'), 'in_hand', '$4'), 'paused', '$5') AS prepare
  FROM pg_proc p WHERE p.oid = 'image_gen_internal.claim'::regproc \gset
:prepare;
CREATE FUNCTION pg_temp.plan_of_claim(mode text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  PERFORM set_config('plan_cache_mode', mode, true);
  EXECUTE 'EXPLAIN (FORMAT JSON) EXECUTE claim (0, 100, image_gen_internal.instance_id(), ''{7}'', NULL)' INTO plan;
  RETURN (SELECT string_agg(m[1], ' < ') FROM regexp_matches(plan::text, '"(?:Node Type|Index Name)": "([^"]+)"', 'g') m);
END $$;
DELETE FROM image_gen_internal.queue;
INSERT INTO image_gen_internal.queue (seq, job_id, owner) SELECT i, 'x', 'image_gen_user' FROM generate_series(1, 10000) i;
SELECT pg_temp.plan_of_claim('force_generic_plan') AS never_analyzed;
ANALYZE image_gen_internal.queue;
SELECT pg_temp.plan_of_claim('force_generic_plan') AS all_ready;
SELECT pg_temp.plan_of_claim('force_custom_plan') AS all_ready_first_calls;
UPDATE image_gen_internal.queue SET state = 'running', epoch = 1 WHERE seq % 100 > 0;
SELECT pg_temp.plan_of_claim('force_generic_plan') AS nearly_all_in_flight;
ANALYZE image_gen_internal.queue;
SELECT pg_temp.plan_of_claim('force_generic_plan') AS nearly_all_in_flight_analyzed;
UPDATE image_gen_internal.queue SET state = 'running', epoch = 1 WHERE state = 'ready';
ANALYZE image_gen_internal.queue;
SELECT pg_temp.plan_of_claim('force_generic_plan') AS all_in_flight;
-- A poll changes no index: only the partial one knows the state, none knows what changes while a job is in flight.
SELECT indexdef FROM pg_indexes WHERE schemaname = 'image_gen' AND tablename = 'queue' ORDER BY 1;
ROLLBACK;
SELECT count(*) FROM image_gen.jobs;
