-- edit(), upscale(), variate(), transfer_style(): what is queued, what is refused, and jobs that wait for other jobs' images.
\set ON_ERROR_ROLLBACK on
BEGIN;
-- Entries of jobs, as the worker writes them: t.record().
\set ECHO none
\getenv tests PG_ABS_SRCDIR
\set worker :tests '/../sql/worker.sql'
\i :worker
\set ECHO all
CREATE ROLE image_gen_regress_user;
CREATE ROLE image_gen_regress_other;
CREATE ROLE image_gen_regress_admin;
GRANT image_gen_user TO image_gen_regress_user, image_gen_regress_other;
GRANT image_gen_admin TO image_gen_regress_admin;
CREATE VIEW pg_temp.newest AS SELECT * FROM image_gen.jobs ORDER BY seq DESC LIMIT 1;
GRANT SELECT ON pg_temp.newest TO PUBLIC;
CREATE FUNCTION pg_temp.warnings(warnings jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(w ->> 'code' || ': ' || (w ->> 'message'), E'\n'), 'none') FROM jsonb_array_elements(warnings) w
$$;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  message text;
  hint text;
BEGIN
  EXECUTE statement;
  -- Undone, so that nothing is left of it.
  RAISE EXCEPTION 'NOT REFUSED' USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
  RETURN 'NOT REFUSED';
WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  RETURN format(E'%s: %s\n    %s', sqlstate, message, coalesce(nullif(hint, ''), 'NO HINT'));
END $$;
CREATE FUNCTION pg_temp.calls(function text, VARIADIC arguments text[]) RETURNS TABLE (call text, answer text) LANGUAGE sql AS $$
  SELECT a, pg_temp.refused(format('SELECT * FROM image_gen.%s(%s)', function, a)) FROM unnest(arguments) a
$$;
-- A call with these arguments, and the row that it wrote.
CREATE FUNCTION pg_temp.job(call text) RETURNS image_gen.jobs LANGUAGE plpgsql AS $$
DECLARE
  new_id text;
  job image_gen.jobs;
BEGIN
  EXECUTE 'SELECT id FROM image_gen.' || call INTO STRICT new_id;
  SELECT * INTO STRICT job FROM image_gen.jobs j WHERE j.id = new_id;
  RETURN job;
END $$;

-- In the worker's place: a job of this prompt is sent, and ends like this, with one image where it succeeds.
CREATE FUNCTION pg_temp.ends(of_prompt text, status text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  job image_gen.jobs;
BEGIN
  PERFORM image_gen_internal.claim(1, 100, 0);
  SELECT * INTO STRICT job FROM image_gen.jobs j WHERE j.prompt = of_prompt;
  RETURN EXISTS (SELECT FROM t.record(1, jsonb_build_array(jsonb_build_object('seq', job.seq, 'job_id', job.id, 'begins', true, 'entries',
    jsonb_build_array(
      jsonb_build_object('entry', 'begin', 'number', 1, 'provider', 'bfl', 'model', job.model, 'prompt', job.prompt, 'seed', job.seed,
                         'seed_honored', true, 'warnings', '[]'::jsonb, 'progress', '{}'::jsonb),
      jsonb_build_object('entry', 'end', 'number', 1, 'status', CASE status WHEN 'succeeded' THEN 'succeeded' ELSE 'refused' END, 'http_status', 200,
                         'tokens', NULL, 'seed', NULL, 'render_seconds', NULL, 'warnings', '[]'::jsonb,
                         'failed', CASE WHEN status <> 'succeeded' THEN '{"code": "safety_filter", "message": "no"}'::jsonb END,
                         'cost', '{"amount": "0.04", "currency": "USD", "source": "reported"}'::jsonb),
      jsonb_build_object('entry', 'close', 'status', status,
                         'failed', CASE WHEN status <> 'succeeded' THEN '{"code": "safety_filter", "message": "no"}'::jsonb END,
                         'images', CASE WHEN status = 'succeeded' THEN jsonb_build_array(jsonb_build_object(
                           'url', 'https://delivery.example/' || replace(job.prompt, ' ', '-') || '.png', 'lifetime_seconds', 600,
                           'sha256', encode(sha256(convert_to(job.prompt, 'UTF8')), 'hex'), 'width', 64, 'height', 64,
                           'content_type', 'image/png', 'byte_size', 100, 'inline', false)) ELSE '[]' END))))));
END $$;
CREATE VIEW pg_temp.state AS
SELECT j.prompt, j.status, j.error_code, regexp_replace(j.error_message, 'gen_[0-9A-Z]{26}', 'gen_…') AS error_message, q.state AS queue,
       (SELECT string_agg(n.prompt, ', ' ORDER BY n.prompt) FROM image_gen_internal.job_dependencies w JOIN image_gen.jobs n ON n.id = w.needs WHERE w.seq = j.seq) AS waits_for
  FROM image_gen.jobs j LEFT JOIN image_gen_internal.queue q ON q.seq = j.seq ORDER BY j.seq;

\set url '''https://example.com/room.png'''
-- One transparent pixel.
\set pixel '''data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=='''
SET ROLE image_gen_regress_user;

-- Which kind of edit it is: said, or clear from what came with it (S85, S101 to S104). Who does it: the first usual model.
SELECT g.c AS call, j.operation, j.task, j.parameters ->> 'mode' AS mode, j.model, j.provider, j.estimated_cost, j.estimated_seconds::float8 AS seconds,
       pg_temp.warnings(j.warnings) AS warnings
  FROM unnest(ARRAY[
    $$edit('https://e.com/a.png', 'at night')$$, $$edit('https://e.com/a.png', 'at night', mode => 'img2img', strength => 0.6)$$,
    $$edit('https://e.com/a.png', 'a vase', mask => 'https://e.com/m.png')$$, $$edit('https://e.com/a.png', mask => 'https://e.com/m.png', mode => 'inpaint')$$,
    $$edit('https://e.com/a.png', 'more beach', border_left => 256, border_right => 256)$$, $$edit('https://e.com/a.png', border_top => 1, mode => 'outpaint')$$
  ]) WITH ORDINALITY g(c, o) CROSS JOIN LATERAL pg_temp.job(g.c) j ORDER BY o;
-- The others. A prompt that nobody wrote is in the row all the same (S65).
SELECT g.c AS call, j.operation, j.task, j.prompt, j.model, j.estimated_cost, j.estimated_seconds::float8 AS seconds, pg_temp.warnings(j.warnings) AS warnings
  FROM unnest(ARRAY[
    $$upscale('https://e.com/a.png')$$, $$upscale('https://e.com/a.png', 4)$$, $$upscale('https://e.com/a.png', prompt => 'sharp eyes', model => 'stability-upscale-conservative')$$,
    $$variate('https://e.com/a.png', 1)$$, $$variate('https://e.com/a.png', 1, 0.3, 'in red')$$,
    $$transfer_style('https://e.com/a.png', 'https://e.com/s.png')$$, $$transfer_style('https://e.com/a.png', 'https://e.com/s.png', 'as a woodcut', 0.8)$$
  ]) WITH ORDINALITY g(c, o) CROSS JOIN LATERAL pg_temp.job(g.c) j ORDER BY o;
-- Each usual model is one that can do its task, and each kind of provider has one at most for each.
SELECT m.name, m.provider_kind, t FROM image_gen.models m CROSS JOIN LATERAL unnest(m.default_for) t
 WHERE t NOT IN ('character', 'reference_images') AND NOT t = ANY (m.operations) OR m.successor IS NOT NULL;
SELECT m.provider_kind, t, count(*) FROM image_gen.models m CROSS JOIN LATERAL unnest(m.default_for) t GROUP BY 1, 2 HAVING count(*) > 1;

-- All arguments are kept.
SELECT count(*) FROM image_gen.edit(
  image => :url, prompt => 'hero', mask => 'https://example.com/mask.png', mode => 'inpaint', strength => 0.75, model => 'flux-fill-pro', negative_prompt => 'text',
  width => 1024, height => 768, aspect_ratio => '4:3', seed => 73104, guidance => 30, steps => 28, n => 1, quality => 'hd',
  reference_image => 'https://example.com/ref.png', consistency_mode => 'balanced', metadata => '{"campaign": "aurora", "shot": "hero"}',
  provider_preferences => '{"preferred": ["bfl"]}', options => '{"safety_tolerance": 2}', priority => 'quality', idempotency_key => 'all of it',
  deadline => '2100-01-01 00:00+00', max_cost => 1);
SELECT operation, task, prompt, seed, model, priority, max_cost, metadata, preferences, jsonb_pretty(parameters) AS parameters FROM pg_temp.newest;
SELECT parameters FROM pg_temp.job($$edit('https://e.com/a.png', 'x', border_top => 1, border_right => 2, border_bottom => 3, border_left => 4096, seed => 0)$$);

-- Variations: a row and a job for each, a seed of its own for each, derived from the base (S87, S106, S21).
SELECT count(*), count(DISTINCT id) AS ids, array_agg(id) AS variations FROM image_gen.variate(:url) \gset
SELECT :count AS rows, :ids AS ids, count(DISTINCT seed) AS seeds FROM image_gen.jobs WHERE id = ANY (:'variations');
SELECT count(*) FROM image_gen.variate(:url, 4, 0.5, seed => 73104, idempotency_key => 'v');
SELECT idempotency_key, seed, seed = image_gen.derive_seed(73104, 'variation ' || row_number() OVER (ORDER BY seq)) AS derived, parameters - 'image' AS parameters
  FROM image_gen.jobs WHERE idempotency_key LIKE 'v#%' ORDER BY seq;
-- The same call again: the same jobs. One more of them: only that is new (P1).
SELECT count(*) AS before FROM image_gen.jobs \gset
SELECT count(*) FROM image_gen.variate(:url, 4, 0.5, seed => 73104, idempotency_key => 'v');
SELECT count(*) - :before AS new FROM image_gen.jobs;
SELECT count(*) FROM image_gen.variate(:url, 5, 0.5, seed => 73104, idempotency_key => 'v');
SELECT count(*) - :before AS new FROM image_gen.jobs;

-- Who does it depends on the keys that are there (S90), on preferences (S127, S128, S130) and on the priority (S99).
RESET ROLE;
CREATE TABLE pg_temp.calls AS SELECT * FROM unnest(ARRAY[
  $$edit('https://e.com/a.png', 'at night'%s)$$, $$edit('https://e.com/a.png', mask => 'https://e.com/m.png'%s)$$, $$edit('https://e.com/a.png', border_top => 64%s)$$,
  $$upscale('https://e.com/a.png'%s)$$, $$variate('https://e.com/a.png', 1%s)$$, $$transfer_style('https://e.com/a.png', 'https://e.com/s.png'%s)$$]) WITH ORDINALITY c(call, o);
GRANT SELECT ON pg_temp.calls TO PUBLIC;
CREATE FUNCTION pg_temp.who(arguments text, keys text[]) RETURNS TABLE (img2img text, inpaint text, outpaint text, upscale text, variate text, transfer_style text) LANGUAGE plpgsql AS $$
DECLARE
  answers text[];
  one record;
BEGIN
  UPDATE image_gen_internal.worker_state SET configured = keys;
  SET LOCAL ROLE image_gen_regress_user;
  FOR one IN SELECT c.call FROM pg_temp.calls c ORDER BY o LOOP
    BEGIN
      answers := answers || (SELECT j.model || CASE WHEN j.warnings @> '[{"code": "not_configured"}]' THEN ' (no key)' ELSE '' END FROM pg_temp.job(format(one.call, arguments)) j);
    EXCEPTION WHEN feature_not_supported THEN
      answers := answers || 'nobody'::text;
    WHEN invalid_parameter_value THEN
      answers := answers || sqlerrm;
    END;
  END LOOP;
  RESET ROLE;
  RETURN QUERY SELECT answers[1], answers[2], answers[3], answers[4], answers[5], answers[6];
END $$;
SELECT k AS keys, w.* FROM unnest('{BFL_API_KEY,OPENAI_API_KEY,STABILITY_API_KEY,FAL_API_KEY,REPLICATE_API_TOKEN,OPENROUTER_API_KEY,GEMINI_API_KEY,IDEOGRAM_API_KEY,STABLE_DIFFUSION_LOCAL_BASE_URL}'::text[]) WITH ORDINALITY k(k, o)
 CROSS JOIN LATERAL pg_temp.who('', ARRAY[k.k]) w ORDER BY o;
SELECT a AS arguments, w.* FROM unnest(ARRAY[
    $$, provider_preferences => '{"preferred": ["stability"]}'$$, $$, provider_preferences => '{"blocked": ["bfl"]}'$$,
    $$, provider_preferences => '{"preferred": ["openai"], "only": true}'$$, $$, priority => 'quality'$$, $$, priority => 'control'$$, $$, priority => 'cost'$$,
    $$, priority => 'privacy'$$, $$, model => 'gpt-image'$$, $$, model => 'flux-1.1-pro'$$]) WITH ORDINALITY a(a, o)
 CROSS JOIN LATERAL pg_temp.who(a.a, NULL) w ORDER BY o;
-- Nobody has a key: it is queued, and says so (P20).
SELECT * FROM pg_temp.who('', '{}');
UPDATE image_gen_internal.worker_state SET configured = NULL;

-- Every bad input is refused at once, with a SQLSTATE, what is wrong and what to write instead; nothing is queued.
DELETE FROM image_gen.jobs;
DELETE FROM image_gen_internal.queue;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\n    '
SET ROLE image_gen_regress_user;
-- The image (S19, S84).
SELECT * FROM pg_temp.calls('edit', $$NULL, 'x'$$, $$'', 'x'$$, $$'room.png', 'x'$$, $$'ftp://e.com/a.png', 'x'$$, $$'file:///etc/passwd', 'x'$$, $$'http://e.com/a.png', 'x'$$,
  $$'https://127.0.0.2/a.png', 'x'$$, $$'https://169.254.169.254/latest/meta-data', 'x'$$, $$'https://[::1]/a.png', 'x'$$, $$'https://user:pass@e.com/a.png', 'x'$$, $$'https://e.com/' || repeat('a', 4096), 'x'$$);
SELECT * FROM pg_temp.calls('edit', $$'asset:', 'x'$$, $$'asset:0', 'x'$$, $$'asset:-1', 'x'$$, $$'asset:x', 'x'$$, $$'asset:99999999999999999999', 'x'$$, $$'asset:1', 'x'$$,
  $$'job:', 'x'$$, $$'job:7', 'x'$$, $$'job:gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0', 'x'$$, $$'image-gen:sha256:7', 'x'$$, $$'image-gen:sha256:' || repeat('a', 64), 'x'$$);
SELECT * FROM pg_temp.calls('edit', $$'data:image/png,raw', 'x'$$, $$'data:image/png;base64,%%', 'x'$$, $$'data:image/png;base64,', 'x'$$, $$'data:text/plain;base64,aGVsbG8=', 'x'$$,
  $$'data:image/png;base64,' || repeat('A', 36000000), 'x'$$);
-- What kind of edit it is.
SELECT * FROM pg_temp.calls('edit', $$'https://e.com/a.png'$$, $$'https://e.com/a.png', ' '$$, $$'https://e.com/a.png', 'x', mode => 'erase'$$, $$'https://e.com/a.png', 'x', mode => ''$$,
  $$'https://e.com/a.png', 'x', mode => 'inpaint'$$, $$'https://e.com/a.png', 'x', mode => 'outpaint'$$,
  $$'https://e.com/a.png', 'x', mode => 'img2img', mask => 'https://e.com/m.png'$$, $$'https://e.com/a.png', 'x', mode => 'outpaint', border_top => 9, mask => 'https://e.com/m.png'$$,
  $$'https://e.com/a.png', 'x', mode => 'img2img', border_top => 9$$, $$'https://e.com/a.png', 'x', mask => 'https://e.com/m.png', border_left => 9$$,
  $$'https://e.com/a.png', 'x', mask => 'here'$$);
-- Numbers.
SELECT * FROM pg_temp.calls('edit', $$'https://e.com/a.png', 'x', border_top => -1$$, $$'https://e.com/a.png', 'x', border_right => 4097$$, $$'https://e.com/a.png', 'x', border_bottom => 2147483647$$,
  $$'https://e.com/a.png', 'x', border_left => -2147483648$$, $$'https://e.com/a.png', 'x', strength => -0.1$$, $$'https://e.com/a.png', 'x', strength => 1.1$$, $$'https://e.com/a.png', 'x', strength => 'NaN'$$,
  $$'https://e.com/a.png', 'x', guidance => 'Infinity'$$, $$'https://e.com/a.png', 'x', n => 11$$, $$'https://e.com/a.png', 'x', seed => -1$$, $$'https://e.com/a.png', 'x', width => 100$$,
  $$'https://e.com/a.png', 'x', max_cost => 0$$, $$'https://e.com/a.png', 'x', deadline => '2001-01-01 00:00+00'$$, $$'https://e.com/a.png', 'x', metadata => '[]'$$, $$'https://e.com/a.png', 'x', options => '7'$$,
  $$'https://e.com/a.png', 'x', priority => 'luck'$$, $$'https://e.com/a.png', 'x', consistency_mode => 'exact'$$, $$'https://e.com/a.png', 'x', idempotency_key => ''$$,
  $$'https://e.com/a.png', 'x', provider_preferences => '{"blocked": ["nobody"]}'$$, $$'https://e.com/a.png', 'x', model => 'no-such-model'$$);
SELECT * FROM pg_temp.calls('upscale', $$NULL$$, $$'https://e.com/a.png', 3$$, $$'https://e.com/a.png', 0$$, $$'https://e.com/a.png', 8$$, $$'https://e.com/a.png', -2$$, $$'https://e.com/a.png', seed => 2147483648$$);
SELECT * FROM pg_temp.calls('variate', $$NULL$$, $$'https://e.com/a.png', 0$$, $$'https://e.com/a.png', 11$$, $$'https://e.com/a.png', -1$$, $$'https://e.com/a.png', NULL$$, $$'https://e.com/a.png', variance => 1.01$$,
  $$'https://e.com/a.png', variance => 'NaN'$$, $$'https://e.com/a.png', seed => -1$$);
SELECT * FROM pg_temp.calls('transfer_style', $$NULL, 'https://e.com/s.png'$$, $$'https://e.com/a.png', NULL$$, $$'https://e.com/a.png', 'cubism'$$, $$'https://e.com/a.png', 'https://e.com/s.png', strength => 2$$);
-- What a model cannot do, with models that can (S137, S138).
SELECT * FROM pg_temp.calls('edit', $$'https://e.com/a.png', 'x', model => 'bfl:flux-1.1-pro'$$, $$'https://e.com/a.png', 'x', model => 'openai:gpt-image', border_top => 9, provider_preferences => '{"blocked": ["openai"]}'$$,
  $$'https://e.com/a.png', 'x', mask => 'https://e.com/m.png', priority => 'privacy', provider_preferences => '{"blocked": ["a1111", "comfyui"]}'$$);
SELECT * FROM pg_temp.calls('upscale', $$'https://e.com/a.png', model => 'openai:gpt-image'$$, $$'https://e.com/a.png', provider_preferences => '{"preferred": ["openai", "openrouter"], "only": true}'$$);
SELECT * FROM pg_temp.calls('transfer_style', $$'https://e.com/a.png', 'https://e.com/s.png', model => 'fal:real-esrgan'$$);
-- generate() takes no image to work on; a reference is one.
SELECT * FROM pg_temp.calls('generate', $$'x', image => 'https://e.com/a.png'$$, $$'x', reference_image => 'me.png'$$, $$'x', reference_image => 'asset:1'$$, $$'x', reference_image => 'job:gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0'$$,
  $$'x', reference_image => 'https://10.0.0.1/me.png'$$);
-- Who has no role of image_gen can do nothing (N22).
RESET ROLE;
CREATE ROLE image_gen_regress_nobody;
SET ROLE image_gen_regress_nobody;
SELECT f, left(answer, 5) FROM unnest('{edit,upscale,variate}'::text[]) f CROSS JOIN LATERAL pg_temp.calls(f, $$'https://e.com/a.png'$$)
UNION ALL SELECT call, left(answer, 5) FROM pg_temp.calls('transfer_style', $$'https://e.com/a.png', 'https://e.com/s.png'$$);
RESET ROLE;
SELECT (SELECT count(*) FROM image_gen.jobs) AS jobs, (SELECT count(*) FROM image_gen_internal.queue) AS queued, (SELECT count(*) FROM image_gen_internal.job_dependencies) AS waits, (SELECT count(*) FROM image_gen_internal.blobs) AS blobs;
\pset tuples_only off
\pset format aligned

-- A host that the administrator allows (here 127.0.0.1) may be private, and may do without https.
SHOW image_gen.allowed_image_hosts;
SELECT count(*) FROM unnest('{http://127.0.0.1/a.png,https://127.0.0.1:8443/a.png}'::text[]) u CROSS JOIN LATERAL image_gen.edit(u, 'x');
DELETE FROM image_gen.jobs;
DELETE FROM image_gen_internal.queue;

-- Bytes that come along are kept under their hash, once; the job says where they are, not what.
SET ROLE image_gen_regress_user;
SELECT length(parameters ->> 'image') AS length, left(parameters ->> 'image', 17) AS scheme, parameters ->> 'image' = parameters ->> 'mask' AS same
  FROM pg_temp.job(format($$edit(%L, 'with bytes', mask => %L)$$, :pixel, :pixel));
SELECT count(*) AS mine FROM image_gen_internal.blobs;
RESET ROLE;
SELECT content_type, octet_length(bytes) AS bytes, sha256 = encode(sha256(bytes), 'hex') AS under_its_hash FROM image_gen_internal.blobs;
SELECT j.job -> 'images' AS images FROM t.claimed(1, 100, 0) j;
-- Its name alone gives nobody the image: not even whom it came from, as long as it is no asset of his.
SELECT 'image-gen:sha256:' || sha256 AS stored FROM image_gen_internal.blobs \gset
SET ROLE image_gen_regress_other;
SELECT left(pg_temp.refused(format($$SELECT image_gen.upscale(%L)$$, :'stored')), 5) AS other;
SET ROLE image_gen_regress_user;
SELECT left(pg_temp.refused(format($$SELECT image_gen.upscale(%L)$$, :'stored')), 5) AS own;
RESET ROLE;
SELECT pg_temp.ends('with bytes', 'succeeded');

-- Images of one's own jobs, by asset: and by job:. Others' are not there (N7); an administrator sees all.
SET ROLE image_gen_regress_user;
SELECT image_gen.generate('room', seed => 1) IS NOT NULL AS queued;
RESET ROLE;
SELECT pg_temp.ends('room', 'succeeded');
SELECT id AS room, 'asset:' || (SELECT a.id FROM image_gen.campaign_assets a WHERE a.job_id = j.id) AS asset,
       'image-gen:sha256:' || (SELECT a.sha256 FROM image_gen.campaign_assets a WHERE a.job_id = j.id) AS stored FROM image_gen.jobs j WHERE prompt = 'room' \gset
CREATE FUNCTION pg_temp.seen(VARIADIC refs text[]) RETURNS TABLE (reference text, answer text) LANGUAGE plpgsql AS $$
BEGIN
  FOREACH reference IN ARRAY refs LOOP
    answer := pg_temp.refused(format('SELECT image_gen.upscale(%L)', reference));
    answer := regexp_replace(answer, E'gen_[0-9A-Z]{26}|asset:\\d+|sha256:[0-9a-f]{64}', '…', 'g');
    reference := substring(reference FROM '^[a-z:-]+');
    RETURN NEXT;
  END LOOP;
END $$;
SET ROLE image_gen_regress_user;
SELECT * FROM pg_temp.seen(:'asset', 'job:' || :'room', :'stored');
SET ROLE image_gen_regress_other;
SELECT * FROM pg_temp.seen(:'asset', 'job:' || :'room', :'stored');
SELECT left(pg_temp.refused(format('SELECT image_gen.%s', c)), 5) AS every_argument_is_looked_at
  FROM unnest(ARRAY[format($$edit('https://e.com/a.png', 'x', mask => %L)$$, :'asset'), format($$transfer_style('https://e.com/a.png', %L)$$, :'asset'),
                    format($$generate('x', reference_image => %L)$$, :'asset'), format($$variate(%L, 2)$$, 'job:' || :'room')]) c;
SET ROLE image_gen_regress_admin;
SELECT * FROM pg_temp.seen(:'asset', 'job:' || :'room', :'stored');
RESET ROLE;
-- Where the worker finds them: at the lasting copy, else where the provider has them; in the database where they are kept.
SELECT id AS asset_id FROM image_gen.campaign_assets WHERE job_id = :'room' \gset
SELECT image_gen_internal.input_location(:'asset') AS by_asset, image_gen_internal.input_location('job:' || :'room') = image_gen_internal.input_location(:'asset') AS by_job, image_gen_internal.input_location('https://e.com/a.png') AS by_url,
       image_gen_internal.input_location('asset:' || 9223372036854775807) AS gone;
SAVEPOINT s;
UPDATE image_gen.campaign_assets SET mirror_url = 'https://mirror.example/room.png' WHERE id = :asset_id;
SELECT image_gen_internal.input_location(:'asset') AS mirrored;
UPDATE image_gen.campaign_assets SET sha256 = (SELECT b.sha256 FROM image_gen_internal.blobs b), url = 'image-gen:sha256:' || (SELECT b.sha256 FROM image_gen_internal.blobs b), mirror_url = NULL WHERE id = :asset_id;
SELECT image_gen_internal.input_location(:'asset') - 'stored' AS kept_only, image_gen_internal.input_location(:'asset') ? 'stored' AS stored;
ROLLBACK TO s;

-- A job that needs another's image waits for it, is not claimed before, and then gets it (S139).
SET ROLE image_gen_regress_user;
SELECT image_gen.generate('portrait', seed => 2) IS NOT NULL AS queued;
RESET ROLE;
SELECT id AS portrait FROM image_gen.jobs WHERE prompt = 'portrait' \gset
SET ROLE image_gen_regress_user;
SELECT status FROM image_gen.edit('job:' || :'portrait', 'portrait at night');
SELECT status FROM image_gen.upscale('job:' || :'portrait', prompt => 'portrait larger');
RESET ROLE;
SELECT id AS night FROM image_gen.jobs WHERE prompt = 'portrait at night' \gset
SET ROLE image_gen_regress_user;
SELECT status FROM image_gen.transfer_style('job:' || :'night', 'job:' || :'portrait', 'portrait as a woodcut');
SELECT status FROM image_gen.generate('the same woman, laughing', reference_image => 'job:' || :'portrait', consistency_mode => 'strict');
SELECT ready, in_flight, blocked FROM image_gen.queue_stats;
RESET ROLE;
SELECT * FROM pg_temp.state WHERE queue IS NOT NULL AND prompt ~ 'portrait|woman';
SELECT (j.job #>> '{request,prompt}') AS claimed FROM t.claimed(1, 100, 0) j WHERE j.job #>> '{request,prompt}' ~ 'portrait|woman';
SELECT pg_temp.ends('portrait', 'succeeded');
SELECT * FROM pg_temp.state WHERE prompt ~ 'portrait|woman';
SELECT (j.job #>> '{request,prompt}') AS claimed, j.job -> 'images' AS images FROM t.claimed(1, 100, 0) j;
-- The needed job failed: so do all that wait for it, at once, for nothing, and whoever waits for them.
SELECT pg_temp.ends('portrait at night', 'failed');
SELECT * FROM pg_temp.state WHERE prompt ~ 'portrait|woman';
SELECT billed_cost, cost_source, finished_at IS NOT NULL AS done FROM image_gen.jobs WHERE prompt = 'portrait as a woodcut';
SELECT count(*) AS waits FROM image_gen_internal.job_dependencies;
-- What has no image and never will cannot be asked for.
SET ROLE image_gen_regress_user;
SELECT regexp_replace(pg_temp.refused(format('SELECT image_gen.upscale(%L)', 'job:' || :'night')), 'gen_[0-9A-Z]{26}', 'gen_…') AS failed;

-- A job in review keeps those that need it waiting, until somebody decides. Canceled: they fail. One that waits can be canceled itself.
SELECT image_gen.generate(p) IS NOT NULL AS queued FROM unnest('{first,second,third}'::text[]) p;
RESET ROLE;
SELECT max(id) FILTER (WHERE prompt = 'first') AS first, max(id) FILTER (WHERE prompt = 'second') AS second, max(id) FILTER (WHERE prompt = 'third') AS third FROM image_gen.jobs \gset
SET ROLE image_gen_regress_user;
SELECT status FROM image_gen.edit('job:' || :'first', 'first anew');
SELECT status FROM image_gen.edit('job:' || :'second', 'second anew');
SELECT status FROM image_gen.edit('job:' || :'third', 'third anew');
SELECT status FROM image_gen.edit('job:' || :'third', 'third never');
RESET ROLE;
SELECT pg_temp.ends('first', 'needs_review'), pg_temp.ends('second', 'needs_review');
SELECT status, error_code FROM image_gen.cancel((SELECT id FROM image_gen.jobs WHERE prompt = 'third never'));
SELECT * FROM pg_temp.state WHERE prompt ~ 'first|second|third';
SET ROLE image_gen_regress_user;
-- Also one that only begins to need it now.
SELECT status FROM image_gen.edit('job:' || :'first', 'first once more');
SELECT status, url FROM image_gen.resolve_review(:'first', 'approve', url => 'https://mine.example/first.png');
SELECT status, error_code FROM image_gen.resolve_review(:'second', 'reject');
RESET ROLE;
UPDATE image_gen_internal.queue SET state = 'ready', epoch = NULL WHERE job_id = :'third';
SELECT status FROM image_gen.cancel(:'third');
SELECT * FROM pg_temp.state WHERE prompt ~ 'first|second|third';
SELECT (j.job #>> '{request,prompt}') AS claimed, j.job -> 'images' AS images FROM t.claimed(1, 100, 0) j WHERE j.job #>> '{request,prompt}' ~ 'first|second|third';
SELECT count(*) AS waits FROM image_gen_internal.job_dependencies;
-- The database of the needed one is gone: whoever waits for it is told by the next look at all of them.
SET ROLE image_gen_regress_user;
SELECT image_gen.generate('lost') IS NOT NULL AS queued;
SELECT status FROM image_gen.edit('job:' || (SELECT id FROM image_gen.jobs WHERE prompt = 'lost'), 'lost anew');
RESET ROLE;
DELETE FROM image_gen_internal.queue WHERE job_id = (SELECT id FROM image_gen.jobs WHERE prompt = 'lost');
DELETE FROM image_gen.jobs WHERE prompt = 'lost';
SELECT image_gen_internal.check_dependencies(true);
SELECT * FROM pg_temp.state WHERE prompt ~ 'lost';

-- The operation is part of what a key stands for (P1).
SET ROLE image_gen_regress_user;
SELECT count(*) FROM image_gen.upscale(:url, idempotency_key => 'one');
SELECT left(pg_temp.refused($$SELECT image_gen.edit('https://example.com/room.png', mask => 'https://e.com/m.png', idempotency_key => 'one')$$), 5);
SELECT count(*) AS same FROM image_gen.jobs WHERE id = (SELECT id FROM image_gen.upscale(:url, idempotency_key => 'one')) AND idempotency_key = 'one';
SELECT left(pg_temp.refused($$SELECT image_gen.upscale('https://example.com/room.png', 4, idempotency_key => 'one')$$), 5);
RESET ROLE;
ROLLBACK;
SELECT count(*) FROM image_gen.jobs;
