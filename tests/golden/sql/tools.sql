-- The four tools, held against the walkthrough's JSON key by key; the worker's part is played by hand (S3, S24 to S35, S43 to S50, S81).
-- Committed, because settle() waits for what others do; so it is the last of these tests.
\set ECHO none
\getenv tests PG_ABS_SRCDIR
\set worker :tests '/../sql/worker.sql'
\i :worker
\set ECHO all
CREATE ROLE image_gen_regress_user;
CREATE ROLE image_gen_regress_other;
GRANT image_gen_user TO image_gen_regress_user, image_gen_regress_other;
-- The types of the values of an object, by key.
CREATE FUNCTION pg_temp.shape(document jsonb) RETURNS jsonb LANGUAGE sql AS
  $$ SELECT jsonb_object_agg(e.key, jsonb_typeof(e.value)) FROM jsonb_each(document) e $$;
CREATE FUNCTION pg_temp.failed(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN 'it did not';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;
CREATE TEMP TABLE ours (shot text PRIMARY KEY, answer jsonb);
CREATE TEMP TABLE theirs (request jsonb, answer jsonb);
INSERT INTO theirs VALUES (
  '{"tool": "generate_image",
    "arguments": {
      "model": "flux-1.1-pro",
      "prompt": "studio product shot of matte black over-ear headphones on a brushed concrete plinth, soft top light from camera left, shallow depth of field, no text, no logo overlays, color palette: charcoal, warm grey, single amber accent",
      "negative_prompt": "watermark, text, logo, hands, person, low quality, deformed",
      "width": 1024, "height": 1024, "seed": 73104, "guidance": 3.5, "steps": 28,
      "metadata": {"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}}}',
  '{"id": "gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0", "status": "queued", "model": "flux-1.1-pro", "estimated_seconds": 9, "created_at": "2026-04-30T09:17:42Z"}');
GRANT ALL ON ours, theirs TO image_gen_regress_user;
SET ROLE image_gen_regress_user;

-- Step 1: may it be spent?
SELECT jsonb_pretty(image_gen.get_credits());

-- Step 2: four calls, and four answers at once. They have the keys of the walkthrough's, of the same types, and no others.
INSERT INTO ours
SELECT s.shot, image_gen.generate_image(jsonb_set(jsonb_set(t.request, '{arguments,metadata,shot}', to_jsonb(s.shot)), '{arguments,seed}',
                                                  to_jsonb(CASE s.shot WHEN 'hero' THEN 73104 ELSE image_gen.derive_seed(73104, s.shot) END)))
  FROM theirs t CROSS JOIN unnest('{hero,lifestyle,detail,social}'::text[]) s(shot);
SELECT o.shot, pg_temp.shape(o.answer) = pg_temp.shape(t.answer) AS same_shape,
       o.answer -> 'status' = t.answer -> 'status' AND o.answer -> 'model' = t.answer -> 'model' AND o.answer -> 'estimated_seconds' = t.answer -> 'estimated_seconds' AS same_values,
       o.answer ->> 'id' ~ '^gen_[0-9A-HJKMNP-TV-Z]{26}$' AS id, o.answer ->> 'created_at' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$' AS created_at,
       (o.answer ->> 'created_at')::timestamptz = date_trunc('second', j.created_at) AS as_queued
  FROM ours o CROSS JOIN theirs t JOIN image_gen.jobs j ON j.id = o.answer ->> 'id' ORDER BY o.shot;
-- What was asked is what is queued: the metadata beside it, and no argument lost.
SELECT j.prompt = t.request #>> '{arguments,prompt}' AS prompt, j.parameters, j.seed, j.metadata
  FROM image_gen.jobs j CROSS JOIN theirs t WHERE j.metadata ->> 'shot' = 'hero';

-- Step 3: asked at once, it says when to ask again: after the estimate.
SELECT g.answer ->> 'status' AS status, (g.answer ->> 'next_poll_ms')::integer BETWEEN 1000 AND 9000 AS after_the_estimate, g.answer -> 'output_url' AS output_url, g.answer -> 'error' AS error, g.answer -> 'seed' AS seed,
       g.answer -> 'billed_cost' AS billed_cost, g.answer -> 'warnings' AS warnings
  FROM ours o CROSS JOIN LATERAL (SELECT image_gen.get_generation(o.answer ->> 'id') AS answer) g WHERE o.shot = 'hero';

-- Step 4: three are rendered, the lifestyle shot is refused.
RESET ROLE;
SELECT count(*) FROM image_gen_internal.claim(1, 100, 0);
SELECT t.record(1, jsonb_agg(jsonb_build_object('seq', j.seq, 'entries', jsonb_build_array(
         jsonb_build_object('entry', 'begin', 'number', 1, 'provider', 'bfl', 'model', 'flux-1.1-pro', 'prompt', j.prompt, 'seed', j.seed, 'seed_honored', true, 'warnings', '[]'::jsonb,
                            'estimated_cost', '0.04'))))) IS NOT NULL AS begun FROM image_gen.jobs j;
-- Sent: it is counted from then.
SELECT image_gen.get_generation(o.answer ->> 'id') ->> 'status' AS status, (image_gen.get_generation(o.answer ->> 'id') ->> 'next_poll_ms')::integer BETWEEN 1000 AND 9000 AS after_the_estimate FROM ours o WHERE o.shot = 'hero';
UPDATE image_gen.attempts SET sent_at = clock_timestamp() - interval '9.5 s';
SELECT image_gen.get_generation(o.answer ->> 'id') -> 'next_poll_ms' AS next_poll_ms FROM ours o WHERE o.shot = 'hero';
SELECT count(*) AS ended FROM t.record(1, (SELECT jsonb_agg(jsonb_build_object('seq', j.seq, 'entries', jsonb_build_array(
         jsonb_build_object('entry', 'end', 'number', 1, 'status', CASE WHEN refused THEN 'refused' ELSE 'succeeded' END, 'http_status', 200, 'warnings', '[]'::jsonb, 'render_seconds', 9,
                            'failed', CASE WHEN refused THEN '{"code": "safety_filter", "message": "refused"}'::jsonb END,
                            'cost', '{"amount": "0.04", "currency": "USD", "source": "priced"}'::jsonb),
         jsonb_build_object('entry', 'close', 'status', CASE WHEN refused THEN 'failed' ELSE 'succeeded' END,
                            'failed', CASE WHEN refused THEN '{"code": "safety_filter", "message": "refused"}'::jsonb END,
                            'images', CASE WHEN refused THEN '[]' ELSE jsonb_build_array(jsonb_build_object('url', 'https://delivery.example/' || (j.metadata ->> 'shot') || '.png', 'width', 1024, 'height', 1024,
                                                                    'content_type', 'image/png', 'byte_size', 10, 'sha256', repeat('a', 64))) END))))
    FROM (SELECT i.*, i.metadata ->> 'shot' = 'lifestyle' AS refused FROM image_gen.jobs i) j));
SET ROLE image_gen_regress_user;
-- What the walkthrough's loop reads: status, output_url, seed, error.code; and the billed cost, which every answer has.
SELECT o.shot, g.answer ->> 'status' AS status, g.answer ->> 'output_url' AS output_url, g.answer -> 'seed' AS seed, g.answer #>> '{error,code}' AS code, g.answer -> 'billed_cost' AS billed_cost,
       g.answer -> 'next_poll_ms' AS next_poll_ms
  FROM ours o CROSS JOIN LATERAL (SELECT image_gen.get_generation(o.answer ->> 'id') AS answer) g ORDER BY o.shot;
SELECT jsonb_pretty(image_gen.get_generation(o.answer ->> 'id') - '{id,created_at,finished_at,prompt,warnings}'::text[]) FROM ours o WHERE o.shot = 'hero';
-- All keys are in the schema, and none is missing.
SELECT array_agg(DISTINCT k ORDER BY k) = (SELECT array_agg(p ORDER BY p) FROM image_gen.tool_schemas() t, jsonb_object_keys(t.output_schema -> 'properties') p WHERE t.tool = 'get_generation') AS as_the_schema
  FROM ours o, jsonb_object_keys(image_gen.get_generation(o.answer ->> 'id')) k;
-- settle(): {done, failed} by shot, in the shape of the loop's.
SELECT jsonb_pretty(image_gen.settle(ARRAY(SELECT answer ->> 'id' FROM ours ORDER BY shot)));
SELECT image_gen.settle('{}');

-- What waits for a person has failed for now; what was canceled has failed.
SELECT image_gen.generate_image('{"prompt": "waits", "model": "preview", "seed": 1}') ->> 'id' AS waits \gset
SELECT image_gen.generate_image('{"prompt": "gone", "model": "preview", "seed": 1, "metadata": {"shot": "gone"}}') ->> 'id' AS gone \gset
SELECT status FROM image_gen.cancel(:'gone');
RESET ROLE;
SELECT image_gen_internal.close_job(:'waits', 'needs_review', 'safety_filter', 'refused three times');
SET ROLE image_gen_regress_user;
SELECT g - '{id,created_at,finished_at,estimated_seconds}'::text[] AS generation FROM image_gen.get_generation(:'waits') g;
SELECT g -> 'status' AS status, g -> 'error' AS error, g -> 'needs_review' AS needs_review FROM image_gen.get_generation(:'gone') g;
SELECT s #- ARRAY['failed', :'waits'] AS settled, s #>> ARRAY['failed', :'waits'] AS waits FROM image_gen.settle(ARRAY[:'gone', :'waits']) s;

-- list_recent_generations(): the newest first, page by page, by what they are.
SELECT jsonb_agg(g ->> 'prompt' ORDER BY place) FROM jsonb_array_elements(image_gen.list_recent_generations(2) -> 'generations') WITH ORDINALITY l(g, place);
WITH RECURSIVE page AS (
  SELECT 1 AS number, image_gen.list_recent_generations(4) AS answer
  UNION ALL
  SELECT number + 1, image_gen.list_recent_generations(4, before => answer ->> 'next_before') FROM page WHERE answer ->> 'next_before' IS NOT NULL
)
SELECT number, jsonb_array_length(answer -> 'generations') AS generations, answer ->> 'next_before' IS NULL AS last,
       (SELECT jsonb_agg(coalesce(g #>> '{metadata,shot}', g ->> 'prompt') ORDER BY place) FROM jsonb_array_elements(answer -> 'generations') WITH ORDINALITY l(g, place)) AS shots FROM page;
SELECT f AS filters, (SELECT jsonb_agg(coalesce(g #>> '{metadata,shot}', g ->> 'prompt') ORDER BY place)
                        FROM jsonb_array_elements(image_gen.list_recent_generations(filters => f::jsonb) -> 'generations') WITH ORDINALITY l(g, place)) AS shots
  FROM unnest(ARRAY['{}', '{"status": "succeeded"}', '{"status": "failed"}', '{"campaign": "aurora-launch", "status": "failed"}', '{"shot": "hero"}', '{"ticket": "MKT-2241", "model": "flux-1.1-pro"}',
                    '{"metadata": {"shot": "gone"}}', '{"model": "nothing"}', '{"status": null}']) f;
SELECT jsonb_array_length(image_gen.list_recent_generations(before => 'gen_00000000000000000000000000') -> 'generations') AS older_than_all,
       jsonb_array_length(image_gen.list_recent_generations(before => 'gen_7ZZZZZZZZZZZZZZZZZZZZZZZZZ') -> 'generations') AS older_than_none;
-- Others see nothing of it.
SET ROLE image_gen_regress_other;
SELECT image_gen.list_recent_generations();
SELECT pg_temp.failed(format('SELECT image_gen.get_generation(%L)', :'gone')) AS get_generation, pg_temp.failed(format('SELECT image_gen.settle(ARRAY[%L])', :'gone')) AS settle;

-- With a limit.
RESET ROLE;
SELECT FROM image_gen.set_budget('workspace', NULL, 5, 'month');
SELECT FROM image_gen.set_budget('role', 'image_gen_regress_other', 1);
SELECT FROM image_gen.set_budget('campaign', 'aurora-launch', 0.2);
SET ROLE image_gen_regress_other;
SELECT g - 'limits' AS credits, (SELECT jsonb_agg(l ->> 'scope' ORDER BY l ->> 'scope') FROM jsonb_array_elements(g -> 'limits') l) AS limits FROM image_gen.get_credits() g;
RESET ROLE;

-- Errors: what is wrong, where, and what to write instead.
SET ROLE image_gen_regress_user;
SELECT image_gen.generate_image('{"prompt": "x", "widht": 1024}');
SELECT image_gen.generate_image('{"prompt": "x", "width": "1024"}');
SELECT image_gen.generate_image('{"tool": "generate_image", "arguments": {"prompt": "x", "metadata": [1]}}');
SELECT image_gen.generate_image('{"tool": "get_generation", "arguments": {"id": "x"}}');
SELECT image_gen.generate_image('{"model": "flux-1.1-pro"}');
SELECT image_gen.generate_image('["a cat"]');
SELECT image_gen.generate_image('{"prompt": "x", "deadline": "tomorrow"}');
SELECT image_gen.generate_image('{"prompt": "x", "width": 1024}');
SELECT image_gen.generate_image('{"prompt": "x", "model": "no-such-model"}');
SELECT image_gen.generate_image(NULL);
SELECT image_gen.get_generation('gen_00000000000000000000000000');
SELECT image_gen.list_recent_generations(0);
SELECT image_gen.list_recent_generations(filters => '{"state": "failed"}');
SELECT image_gen.list_recent_generations(filters => '{"status": "canceled"}');
SELECT image_gen.list_recent_generations(filters => '7');
SELECT tool, input_schema -> 'required' AS required, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(input_schema -> 'properties') k) AS arguments FROM image_gen.tool_schemas();
-- The same key, the same generation.
SELECT image_gen.generate_image(c) = image_gen.generate_image(c) AS same FROM (SELECT '{"prompt": "once", "model": "preview", "idempotency_key": "k", "max_cost": 0.5, "deadline": "2100-01-01T00:00:00+01:00"}'::jsonb AS c) o;
SELECT idempotency_key, max_cost, deadline AT TIME ZONE 'UTC' AS deadline_utc FROM image_gen.jobs WHERE prompt = 'once';
