-- Every bad input is refused at once, with a SQLSTATE, what is wrong and what to write instead; nothing is queued.
BEGIN;
CREATE ROLE image_gen_regress_user;
GRANT image_gen_user TO image_gen_regress_user;
-- One provider can be asked: nobody else takes what it refuses.
UPDATE image_gen_internal.worker_state SET configured = '{BFL_API_KEY}';

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  message text;
  hint text;
BEGIN
  EXECUTE statement;
  RETURN 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  RETURN format(E'%s: %s\n    %s', sqlstate, message, coalesce(nullif(hint, ''), 'NO HINT'));
END $$;
CREATE FUNCTION pg_temp.generate(VARIADIC arguments text[]) RETURNS TABLE (call text, answer text) LANGUAGE sql AS $$
  SELECT a, pg_temp.refused('SELECT * FROM image_gen.generate(' || a || ')') FROM unnest(arguments) a
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\n    '
SET ROLE image_gen_regress_user;

-- The prompt (S26).
SELECT * FROM pg_temp.generate('NULL', $$''$$, $$E' \n\t'$$, $$repeat('x', 32001)$$, $$repeat('ä', 32001)$$);

-- The size (S28, S122, S125).
SELECT * FROM pg_temp.generate(
  $$'x', width => 0, height => 1024$$, $$'x', width => 1024, height => -1$$, $$'x', width => 100000, height => 100000$$,
  $$'x', width => 1024$$, $$'x', height => 1024$$, $$'x', width => 128, height => 128$$, $$'x', width => 1472, height => 512$$,
  $$'x', 'openai:gpt-image-2', width => 640, height => 640$$, $$'x', 'openai:gpt-image-2', width => 3840, height => 3840$$);
SELECT * FROM pg_temp.generate(
  $$'x', aspect_ratio => 'wide'$$, $$'x', aspect_ratio => ''$$, $$'x', aspect_ratio => '16x9'$$, $$'x', aspect_ratio => '0:1'$$,
  $$'x', aspect_ratio => '-16:9'$$, $$'x', aspect_ratio => '100:1'$$, $$'x', aspect_ratio => 'NaN:1'$$, $$'x', aspect_ratio => 'inf:inf'$$);

-- The model (S25, S92).
SELECT * FROM pg_temp.generate(
  $$'x', model => 'no-such-model'$$, $$'x', model => ''$$, $$'x', model => 'nobody:flux-1.1-pro'$$, $$'x', model => 'bfl:'$$,
  $$'x', model => 'bfl:no-such-model'$$, $$'x', model => 'bfl:gpt-image-2'$$, $$'x', model => 'openai:flux-1.1-pro'$$,
  $$'x', model => 'flux-1.1-prox'$$, $$'x', model => 'fal:no-such-model'$$, $$'x', model => 'replicate:no-owner'$$);

-- How many (P21).
SELECT * FROM pg_temp.generate($$'x', n => 0$$, $$'x', n => -1$$, $$'x', n => 11$$, $$'x', 'gpt-image-2', n => 11$$);

-- Seed, steps, guidance (S29, S30, S31).
SELECT * FROM pg_temp.generate(
  $$'x', seed => -1$$, $$'x', seed => 2147483648$$, $$'x', seed => 9223372036854775807$$, $$'x', seed => -9223372036854775808$$,
  $$'x', steps => 0$$, $$'x', steps => -1$$, $$'x', steps => 10001$$,
  $$'x', guidance => -1$$, $$'x', guidance => 100.5$$);
-- The answer speaks of what was given, not of another number.
SELECT call, left(answer, 5) || ', speaks of -1: ' || (answer LIKE '% is -1%')
  FROM pg_temp.generate($$'x', guidance => 'NaN'$$, $$'x', guidance => 'Infinity'$$, $$'x', guidance => '-Infinity'$$);

-- Words out of a list (S99, S110 to S112).
SELECT * FROM pg_temp.generate($$'x', priority => 'luck'$$, $$'x', priority => ''$$, $$'x', consistency_mode => 'exact'$$, $$'x', consistency_mode => 'STRICT'$$);

-- Metadata and options (S32).
SELECT * FROM pg_temp.generate(
  $$'x', metadata => '[]'$$, $$'x', metadata => '"hero"'$$, $$'x', metadata => 'null'$$, $$'x', metadata => '7'$$,
  $$'x', metadata => jsonb_build_object('a', repeat('x', 65536))$$,
  $$'x', options => '[]'$$, $$'x', options => '7'$$);

-- Wishes about providers (S127 to S130).
SELECT * FROM pg_temp.generate(
  $$'x', provider_preferences => '[]'$$, $$'x', provider_preferences => '"bfl"'$$,
  $$'x', provider_preferences => '{"prefered": ["bfl"]}'$$, $$'x', provider_preferences => '{"preferred": "bfl"}'$$,
  $$'x', provider_preferences => '{"preferred": ["nobody"]}'$$, $$'x', provider_preferences => '{"blocked": ["nobody"]}'$$,
  $$'x', provider_preferences => '{"weights": {"nobody": 1}}'$$,
  $$'x', provider_preferences => '{"weights": {"bfl": -0.5}}'$$, $$'x', provider_preferences => '{"weights": {"bfl": "much"}}'$$,
  $$'x', provider_preferences => '{"weights": {"a1111": 0, "bfl": 0, "comfyui": 0, "fal": 0, "google": 0, "ideogram": 0, "openai": 0, "openrouter": 0, "preview": 0, "replicate": 0, "stability": 0}}'$$,
  $$'x', provider_preferences => '{"only": true}'$$,
  $$'x', provider_preferences => '{"preferred": [], "only": true}'$$);
-- blocked beats everything, an explicitly named provider too.
SELECT * FROM pg_temp.generate(
  $$'x', 'bfl:flux-1.1-pro', provider_preferences => '{"blocked": ["bfl"]}'$$,
  $$'x', provider_preferences => '{"preferred": ["bfl"], "blocked": ["bfl", "fal", "replicate"]}'$$,
  $$'x', provider_preferences => '{"preferred": ["openai"], "only": true}'$$,
  $$'x', provider_preferences => '{"preferred": ["bfl"], "only": true, "blocked": ["bfl"]}'$$);
-- A number that no double holds is the caller's mistake, too: not an internal error.
SELECT call, left(answer, 5) FROM pg_temp.generate(
  $$'x', provider_preferences => '{"weights": {"bfl": 1e999}}'$$, $$'x', options => '{"safety_tolerance": 1e999}'$$);

-- Deadline (S2).
SELECT * FROM pg_temp.generate($$'x', deadline => '2001-01-01 00:00+00'$$, $$'x', deadline => '-infinity'$$);

-- Money (S6, S12, P3).
SELECT * FROM pg_temp.generate(
  $$'x', max_cost => -0.01$$, $$'x', max_cost => 0.0399$$, $$'x', max_cost => 0$$,
  $$'x', 'gpt-image-2', quality => 'hd', n => 4, max_cost => 0.50$$,
  $$'x', 'fal:flux-2-max', max_cost => 100$$);

-- No amount is no limit, so it is not taken for one.
SELECT call, left(answer, 5) FROM pg_temp.generate($$'x', max_cost => 'NaN'$$);

-- Idempotency key (P1).
SELECT * FROM pg_temp.generate($$'x', idempotency_key => ''$$, $$'x', idempotency_key => repeat('k', 256)$$);

-- Jobs that are not there, or not the caller's (N7).
SELECT s, pg_temp.refused(s) FROM unnest(ARRAY[
  $$SELECT * FROM image_gen.status('gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0')$$, $$SELECT * FROM image_gen.status(NULL)$$,
  $$SELECT * FROM image_gen.cancel('gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0')$$,
  $$SELECT * FROM image_gen.wait('{gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0}')$$]) s;

-- A default that does not exist.
SET image_gen.default_model = 'no-such-model';
SELECT * FROM pg_temp.generate($$'x'$$);
RESET image_gen.default_model;

-- What an administrator has changed.
RESET ROLE;
UPDATE image_gen.models SET prompt_chars = 4 WHERE name = 'flux-1.1-pro';
INSERT INTO image_gen.providers (id, kind) VALUES ('elsewhere', 'unheard-of');
INSERT INTO image_gen.models (name, provider_kind, remote_name, sizes)
VALUES ('unheard-of-1', 'unheard-of', 'x', '{"fixed": [[512, 512]]}'), ('broken-1', 'preview', 'x', '{"free": {}}');
UPDATE image_gen.providers SET enabled = false WHERE id IN ('openai', 'fal', 'openrouter');
SET ROLE image_gen_regress_user;
SELECT * FROM pg_temp.generate($$'12345'$$, $$'x', 'unheard-of-1'$$, $$'x', 'broken-1'$$, $$'x', 'gpt-image-2'$$, $$'x', 'openai:gpt-image-2'$$, $$'x', 'dall-e-3'$$);

-- Who has no role of image_gen can do nothing (N22).
RESET ROLE;
CREATE ROLE image_gen_regress_nobody;
SET ROLE image_gen_regress_nobody;
SELECT * FROM pg_temp.generate($$'x'$$);
RESET ROLE;

-- Nothing was queued.
SELECT count(*) FROM image_gen.jobs;
SELECT count(*) FROM image_gen_internal.queue;
ROLLBACK;
