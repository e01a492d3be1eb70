-- generate(): what is queued, what is warned about, what it will cost. Nothing runs here: no worker, and all is rolled back.
\set ON_ERROR_ROLLBACK on
BEGIN;
CREATE ROLE image_gen_regress_user;
CREATE ROLE image_gen_regress_other;
GRANT image_gen_user TO image_gen_regress_user, image_gen_regress_other;
CREATE VIEW pg_temp.newest AS SELECT * FROM image_gen.jobs ORDER BY seq DESC LIMIT 1;
CREATE FUNCTION pg_temp.warnings(job jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(w ->> 'code' || ': ' || (w ->> 'message'), E'\n'), 'none') FROM jsonb_array_elements(job) w
$$;
GRANT SELECT ON pg_temp.newest TO PUBLIC;
-- A call of generate() with these arguments, and the row that it wrote.
CREATE FUNCTION pg_temp.job(arguments text) RETURNS image_gen.jobs LANGUAGE plpgsql AS $$
DECLARE
  new_id text;
  job image_gen.jobs;
BEGIN
  EXECUTE 'SELECT id FROM image_gen.generate(' || arguments || ')' INTO STRICT new_id;
  SELECT * INTO STRICT job FROM image_gen.jobs j WHERE j.id = new_id;
  RETURN job;
END $$;
SET ROLE image_gen_regress_user;

-- A fresh role: nothing spent, nothing reserved, no limit (S9).
SELECT * FROM image_gen.credits();

-- The defaults (S16, S33, S35): at once, 0.04 USD, 9 s.
SELECT status, model, estimated_seconds::float8, estimated_cost, created_at = now() AS created_now, warnings
  FROM image_gen.generate('an amber serum bottle on wet slate');
SELECT operation, prompt, provider, parameters, metadata, preferences, owner, idempotency_key, deadline, max_cost, currency,
       error_code, billed_cost, cost_source, finished_at, seed = image_gen.derive_seed(0, id) AS seed_from_id
  FROM image_gen.jobs;
SELECT scope, spent, unknown_costs, reserved, limit_amount, available, unlimited FROM image_gen.credits();

-- What is returned is what is in the table, and what status(), recent() and the view show.
WITH g AS (SELECT * FROM image_gen.generate('one more', seed => 7))
SELECT g.model, g.status FROM g;
SELECT s.status, s.prompt, s.seed, s.attempts, s.url, s.urls, s.billed_cost, s.finished_at
  FROM pg_temp.newest n CROSS JOIN image_gen.status(n.id) s;
SELECT r.prompt FROM image_gen.recent(1) r;
SELECT count(*) FROM image_gen.recent(0);
SELECT count(*) FROM image_gen.recent(status => 'queued');
SELECT count(*) FROM image_gen.recent(status => 'failed');

-- The id: gen_ and 26 characters of Crockford's alphabet, each larger than the one before (S34).
SELECT bool_and(id ~ '^gen_[0-7][0-9A-HJKMNP-TV-Z]{25}$') AS shape,
       bool_and(id COLLATE "C" > before COLLATE "C") IS NOT FALSE AS monotonic, count(DISTINCT id) AS ids
  FROM (SELECT id, lag(id) OVER (ORDER BY i) AS before
          FROM (SELECT i, (image_gen.generate('x')).id FROM generate_series(1, 300) i) g) g;

-- All arguments are kept (S25 to S32, S84, S110, S120).
SELECT warnings = '[]' AS no_warnings FROM image_gen.generate(
  prompt => 'hero', model => 'flux-1.1-pro', negative_prompt => 'text, watermark', width => 1024, height => 1024,
  aspect_ratio => '1:1', seed => 73104, guidance => 3.5, steps => 28, n => 1, quality => 'hd',
  reference_image => 'https://example.com/ref.png', consistency_mode => 'strict',
  metadata => '{"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}',
  provider_preferences => '{"preferred": ["bfl"], "weights": {"bfl": 0.7, "fal": 0, "openai": 0, "replicate": 0}, "blocked": ["openai"]}',
  options => '{"safety_tolerance": 2, "nonsense": true}', priority => 'speed', idempotency_key => 'hero-1',
  deadline => '2100-01-01 00:00+00', max_cost => 0.04);
SELECT prompt, seed, model, idempotency_key, deadline AT TIME ZONE 'UTC' AS deadline_utc, max_cost FROM pg_temp.newest;
SELECT jsonb_pretty(parameters) AS parameters, jsonb_pretty(metadata) AS metadata, jsonb_pretty(preferences) AS preferences FROM pg_temp.newest;
-- What the model does not take is said, each (S27, S115, P12).
SELECT pg_temp.warnings(warnings) AS warnings FROM pg_temp.newest;

-- A reference image that nobody can use is not lost in silence either (S115).
SELECT model, pg_temp.warnings(warnings) AS warnings
  FROM unnest('{stability:stable-image-core,openai:gpt-image-2,bfl:flux-dev}'::text[]) m CROSS JOIN LATERAL image_gen.generate('x', m, reference_image => 'https://example.com/ref.png', seed => 1);

-- Edges of what is allowed.
SELECT a AS arguments, pg_temp.warnings(j.warnings) AS warnings, j.parameters
  FROM unnest(ARRAY['width => 256, height => 256', 'width => 1440, height => 1440', 'width => 1000, height => 1000', 'width => 257, height => 300']) a
 CROSS JOIN LATERAL pg_temp.job($$'x', $$ || a) j;
SELECT r AS ratio, pg_temp.warnings(warnings) AS warnings
  FROM unnest('{1:1,16:9,9:16,4:3,3:4,21:9,20:1}'::text[]) r CROSS JOIN LATERAL image_gen.generate('x', aspect_ratio => r);
SELECT seed FROM pg_temp.job($$'x', seed => 0$$);
SELECT seed FROM pg_temp.job($$'x', seed => 2147483647$$);
SELECT length(prompt) FROM pg_temp.job($$repeat('ä', 32000)$$);
SELECT length(idempotency_key) FROM pg_temp.job($$'x', idempotency_key => repeat('k', 255)$$);
SELECT estimated_cost FROM image_gen.generate('x', 'preview', max_cost => 0);
-- An empty negative prompt is none; a prompt is kept as it is.
SELECT prompt, parameters, warnings FROM pg_temp.job($$E' a  cat\n', negative_prompt => ' '$$);

-- Warnings by model: flux-1.1-pro has no steps, no guidance, no negative prompt; flux-dev has ranges; gpt-image takes no seed.
SELECT model, pg_temp.warnings(warnings) AS warnings
  FROM unnest('{flux-1.1-pro,flux-dev,gpt-image-2,preview}'::text[]) m
 CROSS JOIN LATERAL image_gen.generate('x', m, negative_prompt => 'text', guidance => 7.5, steps => 60, seed => 1);

-- Names: aliases, provider:model, upper case (S25).
SELECT asked, j.model, j.provider
  FROM unnest('{flux-pro-1.1,black-forest-labs/flux-1.1-pro,FLUX-1.1-Pro," flux-dev ",bfl:flux-1.1-pro,BFL:flux-pro-1.1,openai:gpt-image,gpt-image-2.6,preview:preview}'::text[]) asked
 CROSS JOIN LATERAL pg_temp.job(format('%L, %L', 'x', asked)) j;
-- Retired names go to their successor, and say so, with the day in ISO order whatever the session's DateStyle (S92, S119, P17, F7).
SELECT asked, g.model, w ->> 'code' AS code, w ->> 'message' AS message
  FROM unnest('{dall-e-2,dall-e-3,gpt-image-1,openai:dall-e-3}'::text[]) asked
 CROSS JOIN LATERAL image_gen.generate('x', asked) g
 CROSS JOIN LATERAL jsonb_array_elements(g.warnings) w WHERE w ->> 'code' = 'successor';
-- Of one that ends on a certain day it depends on the day what is said.
SELECT asked, g.model, w ->> 'code' AS code
  FROM unnest('{gpt-image-1-mini,gpt-image-1.5,chatgpt-image-latest}'::text[]) asked
 CROSS JOIN LATERAL image_gen.generate('x', asked) g
 CROSS JOIN LATERAL jsonb_array_elements(g.warnings) w WHERE w ->> 'code' = 'successor';

-- Also when the successor is retired itself. A name that two kinds of provider use is the named provider's.
SAVEPOINT s;
RESET ROLE;
UPDATE image_gen.models SET successor = 'gpt-image-2' WHERE name = 'gpt-image-2.6-flare';
INSERT INTO image_gen.models (name, provider_kind, remote_name, aliases, sizes) VALUES
  ('hero-a', 'openai', 'a', '{hero}', '{"fixed": [[512, 512]]}'), ('hero-b', 'bfl', 'b', '{hero}', '{"fixed": [[512, 512]]}');
SET ROLE image_gen_regress_user;
SELECT model FROM image_gen.generate('x', 'openai:hero');
SELECT model FROM image_gen.generate('x', 'bfl:hero');
SELECT model FROM image_gen.generate('x', 'dall-e-3');
ROLLBACK TO s;

-- Estimates: four FLUX 1.1 pro are 0.16 (S10); n multiplies; hd is the model's high and costs as much (S120); no price is no estimate (P3).
SELECT sum(estimated_cost) AS four_shots FROM generate_series(1, 4) i, LATERAL image_gen.generate('x', seed => i, width => 1024, height => 1024);
SELECT v.*, estimated_cost
  FROM (VALUES ('gpt-image-2', 'low', 1), ('gpt-image-2', 'medium', 1), ('gpt-image-2', 'high', 1), ('gpt-image-2', 'hd', 1), ('gpt-image-2', 'standard', 1),
               ('gpt-image-2', 'draft', 1), ('gpt-image-2', 'high', 4), ('gpt-image-2', NULL, 1),
               ('gpt-image', 'hd', 1), ('gpt-image', 'max', 10), ('flux-dev', NULL, 1), ('flux-2-pro', NULL, 1), ('preview', NULL, 10)) v(asked, quality, n)
 CROSS JOIN LATERAL image_gen.generate('x', asked, quality => v.quality, n => v.n);
-- A price holds from its first day to the day before its last.
RESET ROLE;
INSERT INTO image_gen.prices (provider_kind, model, unit, amount, valid_from, valid_to) VALUES
  ('bfl', 'flux-2-pro', 'megapixel', 0.03, current_date, current_date + 1), ('bfl', 'flux-2-pro', 'image', 5, current_date - 9, current_date),
  ('bfl', 'flux-2-pro', 'image', 6, current_date + 1, current_date + 2);
SET ROLE image_gen_regress_user;
SELECT w AS width, estimated_cost FROM unnest('{1000,2000}'::int[]) w, LATERAL image_gen.generate('x', 'flux-2-pro', width => w, height => 1000);

-- A provider without a key is known before the job runs, once a worker has said which keys it has (P20).
RESET ROLE;
UPDATE image_gen_internal.worker_state SET configured = '{OPENAI_API_KEY}';
SET ROLE image_gen_regress_user;
SELECT m, pg_temp.warnings(warnings) AS warnings
  FROM unnest('{flux-1.1-pro,gpt-image-2,preview}'::text[]) m, LATERAL image_gen.generate('x', m, seed => 1);
RESET ROLE;
UPDATE image_gen_internal.worker_state SET configured = NULL;

-- A second endpoint of the same kind: preferred comes first, only makes it exclusive, blocked is never used (S127, S128, S130).
-- The estimate shows who is at the head. (Nobody else has a key.)
INSERT INTO image_gen.providers (id, kind, priority) VALUES ('bfl-eu', 'bfl', 5), ('bfl-us', 'bfl', 6);
UPDATE image_gen_internal.worker_state SET configured = '{BFL_API_KEY}';
INSERT INTO image_gen_internal.render_estimates (provider, model, seconds, samples) VALUES ('bfl', 'flux-1.1-pro', 1, 9), ('bfl-eu', 'flux-1.1-pro', 2, 9), ('bfl-us', 'flux-1.1-pro', 3, 9);
SET ROLE image_gen_regress_user;
SELECT p AS preferences, CASE r.estimated_seconds WHEN 1 THEN 'bfl' WHEN 2 THEN 'bfl-eu' WHEN 3 THEN 'bfl-us' END AS head
  FROM unnest(ARRAY['null', '{}', '{"preferred": []}', '{"preferred": ["bfl"]}', '{"preferred": ["bfl-us", "bfl-us", "bfl"]}',
                    '{"preferred": ["openai"]}', '{"preferred": ["openai", "bfl-us"], "only": true}', '{"blocked": ["bfl-eu"]}',
                    '{"preferred": ["bfl-eu", "bfl"], "blocked": ["bfl-eu"]}', '{"weights": {"bfl": 1, "bfl-eu": 0, "bfl-us": 0}}',
                    '{"weights": {"bfl": 0, "bfl-eu": 0}}']::jsonb[]) p
 CROSS JOIN LATERAL image_gen.generate('x', provider_preferences => p) r;
-- The provider named in the model is the only one.
SELECT estimated_seconds::float8 FROM image_gen.generate('x', 'bfl-us:flux-1.1-pro', provider_preferences => '{"preferred": ["bfl"]}');
-- Weights draw the head in proportion; 300 jobs are within five standard deviations (S129).
SELECT count(*) FILTER (WHERE estimated_seconds = 1) BETWEEN 170 AND 250 AS about_seven_tenths, count(*) FILTER (WHERE estimated_seconds = 3) AS never
  FROM generate_series(1, 300) i, LATERAL image_gen.generate('x', seed => i, provider_preferences => '{"weights": {"bfl": 0.7, "bfl-eu": 0.3, "bfl-us": 0}}');

RESET ROLE;
UPDATE image_gen_internal.worker_state SET configured = NULL;
SET ROLE image_gen_regress_user;

-- The default model is the caller's own setting.
SET image_gen.default_model = 'preview:preview';
SELECT model, provider FROM pg_temp.job($$'x'$$);
SET image_gen.default_model = 'replicate:stability-ai/sdxl';
SELECT model, provider FROM pg_temp.job($$'x'$$);
SET image_gen.default_model = 'GPT-Image';
SELECT model, provider FROM pg_temp.job($$'x'$$);
RESET image_gen.default_model;

-- Derived seeds are a promise: if these change, campaigns cannot be repeated (S21). From sha256sum, not from image_gen:
--   printf 'image_gen.seed\0%s\0%s' 73104 lifestyle | sha256sum, first 8 digits, without the top bit
SELECT l AS label, image_gen.derive_seed(73104, l) FROM unnest('{lifestyle,detail,social_square,"",détail}'::text[]) l;
SELECT image_gen.derive_seed(NULL, 'x') IS NULL AND image_gen.derive_seed(1, NULL) IS NULL AS strict;

-- One key, one job (P1).
SELECT count(*) AS before FROM image_gen.jobs \gset
SELECT count(DISTINCT id) AS ids, count(*) AS calls
  FROM generate_series(1, 3) i, LATERAL image_gen.generate(left('keyed' || i, 5), seed => 5, metadata => '{"b": 1, "a": 2}', idempotency_key => 'k1');
SELECT count(*) - :before AS new_jobs FROM image_gen.jobs;
-- The order of keys in JSON is no difference.
SELECT count(DISTINCT id) AS ids FROM (
  SELECT id FROM image_gen.generate('keyed', seed => 5, metadata => '{"a": 2, "b": 1}', idempotency_key => 'k1')
  UNION ALL SELECT id FROM image_gen.jobs WHERE idempotency_key = 'k1') i;
-- No metadata and empty metadata are the same.
SELECT count(DISTINCT id) AS ids FROM (
  SELECT id FROM image_gen.generate('x', idempotency_key => 'k2') UNION ALL SELECT id FROM image_gen.generate('x', metadata => '{}', idempotency_key => 'k2')) i;
-- The same moment and the same amount, written differently, are the same.
SELECT id AS k3 FROM image_gen.generate('x', deadline => '2100-01-01 00:00+00', max_cost => 0.1, idempotency_key => 'k3') \gset
SAVEPOINT s;
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT id = :'k3' AS same_job FROM image_gen.generate('x', deadline => '2100-01-01 00:00+00', max_cost => 0.1, idempotency_key => 'k3');
ROLLBACK TO s;
SELECT id = :'k3' AS same_job FROM image_gen.generate('x', deadline => '2100-01-01 00:00+00', max_cost => 0.10, idempotency_key => 'k3');
ROLLBACK TO s;
-- Who asks again after the deadline, having lost the first answer, gets the same job.
SELECT clock_timestamp() + interval '100 ms' AS soon \gset
SELECT id AS k4 FROM image_gen.generate('x', deadline => :'soon', idempotency_key => 'k4') \gset
SELECT pg_sleep(0.15);
SELECT id = :'k4' AS same_job FROM image_gen.generate('x', deadline => :'soon', idempotency_key => 'k4');
ROLLBACK TO s;
-- Other arguments are an error, not another image.
\set VERBOSITY terse
SELECT * FROM image_gen.generate('something else', seed => 5, metadata => '{"b": 1, "a": 2}', idempotency_key => 'k1');
\echo :SQLSTATE
ROLLBACK TO s;
SELECT * FROM image_gen.generate('keyed', seed => 5, metadata => '{"b": 1, "a": 2}', idempotency_key => 'k1', n => 1);
\echo :SQLSTATE
ROLLBACK TO s;
\set VERBOSITY default
-- A key is its owner's: another role's is another job, and theirs alone (N7).
SET ROLE image_gen_regress_other;
SELECT count(*) FROM image_gen.generate('mine', idempotency_key => 'k1');
SELECT prompt, owner FROM image_gen.jobs;
SELECT count(*) FROM image_gen.recent();
SELECT reserved FROM image_gen.credits();
SET ROLE image_gen_regress_user;
SELECT count(*) FROM image_gen.jobs WHERE owner <> current_user::regrole;
-- Nobody gets around the functions.
SAVEPOINT s;
INSERT INTO image_gen.jobs (id, operation, prompt, model, seed, owner) VALUES ('gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0', 'generate', 'x', 'x', 1, current_user::regrole);
ROLLBACK TO s;
UPDATE image_gen.jobs SET billed_cost = 0;
ROLLBACK TO s;
SELECT * FROM image_gen_internal.queue;
ROLLBACK TO s;
SELECT image_gen_internal.cancel_job('x');
ROLLBACK TO s;
UPDATE image_gen.providers SET base_url = 'https://evil.example';
ROLLBACK TO s;
SELECT count(*) > 0 AS everybody_sees_how_much_waits FROM image_gen.queue_stats WHERE ready > 0;

-- An administrator sees all and changes the catalogue, but not where keys are sent (P16).
RESET ROLE;
CREATE ROLE image_gen_regress_admin;
GRANT image_gen_admin TO image_gen_regress_admin;
SET ROLE image_gen_regress_admin;
SELECT count(DISTINCT owner) AS owners FROM image_gen.jobs;
UPDATE image_gen.providers SET enabled = true, priority = 3 WHERE id = 'bfl-eu';
SAVEPOINT s;
UPDATE image_gen.providers SET base_url = 'https://evil.example';
ROLLBACK TO s;
UPDATE image_gen.jobs SET status = 'queued';
ROLLBACK TO s;

-- A job's owner is the role in effect, also through a wrapper that runs with its definer's rights.
RESET ROLE;
CREATE FUNCTION public.wrapper() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT id FROM image_gen.generate('wrapped') $$;
SET ROLE image_gen_regress_other;
SELECT public.wrapper() AS wrapped \gset
SELECT owner FROM image_gen.jobs WHERE id = :'wrapped';

-- cancel(): a waiting job ends at once, twice is once, others' jobs are not there (P8).
SELECT status, error_code, error_message, attempts, billed_cost FROM image_gen.cancel(:'wrapped');
SELECT status FROM image_gen.cancel(:'wrapped');
SELECT reserved FROM image_gen.credits();
RESET ROLE;
SELECT id AS keyed FROM image_gen.jobs WHERE prompt = 'keyed' \gset
SET ROLE image_gen_regress_other;
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT * FROM image_gen.cancel(:'keyed');
ROLLBACK TO s;
SELECT * FROM image_gen.status(:'keyed');
ROLLBACK TO s;
SET ROLE image_gen_regress_admin;
SELECT status FROM image_gen.cancel(:'keyed');
RESET ROLE;

-- status(ids), cancel(ids): a row for each id in the order given, all or none, and the same error as for one. Jobs that wait
-- for another one of them are canceled too, not failed by its end.
SET ROLE image_gen_regress_other;
\set VERBOSITY default
SELECT (image_gen.generate('of a set')).id AS one \gset
SELECT (image_gen.edit('job:' || :'one', 'darker')).id AS two \gset
SELECT (image_gen.generate('of a set, too')).id AS three \gset
SELECT prompt, status, (waiting_for).code, replace((waiting_for).message, :'one', 'one') AS waits_for,
       (waiting_for).job_id = :'one' AS for_one FROM image_gen.status(ARRAY[:'three', :'one', :'two', :'one']);
SELECT count(*) AS none FROM image_gen.status('{}'::text[]);
SELECT count(*) AS none FROM image_gen.cancel(NULL::text[]);
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT prompt, status FROM image_gen.status(ARRAY[:'one', :'keyed']);
ROLLBACK TO s;
SELECT prompt, status FROM image_gen.cancel(ARRAY[:'one', NULL]);
ROLLBACK TO s;
SELECT prompt, status FROM image_gen.cancel(ARRAY[:'one', :'keyed', :'three']);
ROLLBACK TO s;
\set VERBOSITY default
SELECT prompt, status FROM image_gen.cancel(ARRAY[:'two', :'wrapped', :'one', :'two']);
SELECT prompt, status, error_code FROM image_gen.status(ARRAY[:'one', :'two', :'three']);
RESET ROLE;
SAVEPOINT s;
\set VERBOSITY sqlstate

-- wait(): not for what this transaction has queued itself.
SELECT * FROM image_gen.wait(ARRAY[(image_gen.generate('x')).id]);
ROLLBACK TO s;
RESET ROLE;
\set VERBOSITY default
SELECT count(*) FROM image_gen.wait('{}');

-- Metadata: containment uses the GIN index (S32, S42).
CREATE FUNCTION pg_temp.indexes(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT JSON) ' || statement INTO plan;
  RETURN (SELECT coalesce(string_agg(m[1], ', '), 'none') FROM regexp_matches(plan::text, '"Index Name": "([^"]+)"', 'g') m);
END $$;
SET LOCAL enable_seqscan = off;
SELECT pg_temp.indexes($$SELECT id FROM image_gen.jobs WHERE metadata @> '{"campaign": "aurora-launch"}'$$);
SELECT pg_temp.indexes($$SELECT id FROM image_gen.campaign_assets WHERE ticket = 'MKT-2241'$$);
SELECT pg_temp.indexes($$SELECT id FROM image_gen.campaign_assets WHERE campaign = 'aurora-launch' AND shot = 'hero'$$);
SELECT prompt FROM image_gen.jobs WHERE metadata @> '{"campaign": "aurora-launch"}';
SELECT count(*) FROM image_gen.recent(campaign => 'aurora-launch');
SET ROLE image_gen_regress_admin;
SELECT pg_temp.indexes($$SELECT id FROM image_gen.jobs WHERE metadata @> '{"campaign": "aurora-launch"}'$$);
-- An ordinary user's own jobs come first: @> may not look at others'.
SET ROLE image_gen_regress_user;
SELECT pg_temp.indexes($$SELECT id FROM image_gen.jobs WHERE metadata @> '{"campaign": "aurora-launch"}'$$);
RESET ROLE;

ROLLBACK;
SELECT count(*) FROM image_gen.jobs;
