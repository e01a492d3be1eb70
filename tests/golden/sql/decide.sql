-- What decides: choose_model(), needs_text(), rewrite_prompt(), lint_prompt(), explain(), preferences, and the person at the end.
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
CREATE ROLE image_gen_regress_second;
GRANT image_gen_user TO image_gen_regress_user, image_gen_regress_other;
GRANT image_gen_admin TO image_gen_regress_admin, image_gen_regress_second;
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
  RETURN regexp_replace(format(E'%s: %s\n    %s', sqlstate, message, coalesce(nullif(hint, ''), 'NO HINT')), 'gen_[0-9A-Z]{26}', 'gen_…', 'g');
END $$;
-- Who has keys, as the worker would say it.
CREATE FUNCTION pg_temp.keys(VARIADIC names text[]) RETURNS void LANGUAGE sql AS $$ UPDATE image_gen_internal.worker_state SET configured = names $$;
CREATE FUNCTION pg_temp.all_keys() RETURNS text[] LANGUAGE sql AS $$
  SELECT '{BFL_API_KEY,FAL_API_KEY,GEMINI_API_KEY,IDEOGRAM_API_KEY,OPENAI_API_KEY,OPENROUTER_API_KEY,REPLICATE_API_TOKEN,STABILITY_API_KEY,STABLE_DIFFUSION_LOCAL_BASE_URL}'::text[]
$$;

-- The rules name models that exist, are no retired names, and can do what the rule is about (S14).
SELECT r.rule, n AS name FROM image_gen.model_rules r CROSS JOIN LATERAL unnest(r.models) n
 WHERE NOT EXISTS (
   SELECT FROM image_gen.models m
    WHERE (m.name = regexp_replace(n, '^[a-z0-9]+:', '') OR regexp_replace(n, '^[a-z0-9]+:', '') = ANY (m.aliases)) AND m.successor IS NULL
      AND (strpos(n, ':') = 0 OR m.provider_kind = split_part(n, ':', 1))
      AND CASE WHEN r.editing THEN 'img2img' ELSE 'generate' END = ANY (m.operations));
SELECT position, rule, concat_ws(', ', CASE WHEN needs_text THEN 'needs_text' END, CASE WHEN photoreal THEN 'photoreal' END, CASE WHEN draft THEN 'draft' END,
         CASE WHEN stylized THEN 'stylized' END, CASE WHEN editing THEN 'editing' END, 'priority ' || priority) AS when_, models
  FROM image_gen.model_rules ORDER BY 1;

-- Each rule, with every key and with none (S15 to S19, S92 to S99).
CREATE TABLE pg_temp.wishes (o serial, wish text);
INSERT INTO pg_temp.wishes (wish) VALUES (''), ('needs_text => true'), ('photoreal => true'), ('draft => true'), ('stylized => true'), ('editing => true'),
  ('priority => ''quality'''), ('priority => ''control'''), ('priority => ''speed'''), ('priority => ''variety'''), ('priority => ''cost'''), ('priority => ''privacy'''),
  ('needs_text => NULL, photoreal => NULL');
GRANT SELECT ON pg_temp.wishes TO PUBLIC;
CREATE FUNCTION pg_temp.choice(wish text) RETURNS TABLE (model text, rule text, reason text, configured boolean) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT * FROM image_gen.choose_model(%s)', wish);
END $$;
SELECT pg_temp.keys(VARIADIC pg_temp.all_keys());
SET ROLE image_gen_regress_user;
SELECT w.wish, c.model, c.rule, c.configured, c.reason FROM pg_temp.wishes w CROSS JOIN LATERAL pg_temp.choice(w.wish) c ORDER BY w.o;
-- Where several hold, the first in order decides: an edit with text is an edit, private text is private.
SELECT w AS wish, c.model, c.rule FROM unnest('{"needs_text => true, editing => true","needs_text => true, draft => true","draft => true, photoreal => true","needs_text => true, priority => ''privacy''","photoreal => true, priority => ''speed''"}'::text[]) WITH ORDINALITY w(w, o)
 CROSS JOIN LATERAL pg_temp.choice(w.w) c ORDER BY o;
RESET ROLE;
SELECT pg_temp.keys(VARIADIC '{}');
SET ROLE image_gen_regress_user;
SELECT c.model, c.rule, c.configured, c.reason FROM pg_temp.wishes w CROSS JOIN LATERAL pg_temp.choice(w.wish) c WHERE w.o < 13 ORDER BY w.o;
RESET ROLE;
-- One key alone: a rule is not given up for what somebody happens to have a key for.
CREATE FUNCTION pg_temp.with_key(name text) RETURNS TABLE (usual text, text_ text, draft text, stylized text, editing text, quality text, privacy text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_temp.keys(name);
  RETURN QUERY SELECT (image_gen.choose_model()).model, (image_gen.choose_model(needs_text => true)).model, (image_gen.choose_model(draft => true)).model,
    (image_gen.choose_model(stylized => true)).model, (image_gen.choose_model(editing => true)).model, (image_gen.choose_model(priority => 'quality')).model,
    (image_gen.choose_model(priority => 'privacy')).model;
END $$;
SELECT k.k AS key, w.* FROM unnest(pg_temp.all_keys()) WITH ORDINALITY k(k, o) CROSS JOIN LATERAL pg_temp.with_key(k.k) w ORDER BY o;
-- Before a worker has said anything, nobody is known to have a key.
UPDATE image_gen_internal.worker_state SET configured = NULL;
SELECT model, rule, configured FROM image_gen.choose_model();
SELECT pg_temp.refused($$SELECT image_gen.choose_model(priority => 'luck')$$);
SAVEPOINT changed;
-- A provider that is off counts as one without a key. A key of another name counts where the provider says so.
SELECT pg_temp.keys('BFL_API_KEY', 'STUDIO_KEY');
UPDATE image_gen.providers SET enabled = false WHERE id = 'bfl';
SELECT model, configured FROM image_gen.choose_model();
UPDATE image_gen.providers SET key_name = 'STUDIO_KEY' WHERE id = 'openai';
SELECT model, configured FROM image_gen.choose_model();
UPDATE image_gen.providers SET enabled = true WHERE id = 'bfl';
-- An administrator's rule comes where he puts it, and replaces the one of the same name or place.
SET ROLE image_gen_regress_admin;
INSERT INTO image_gen.model_rules (position, rule, draft, models, reason) VALUES (5, 'house', true, '{flux-2-pro}', 'the house style');
SELECT model, rule, reason FROM image_gen.choose_model(draft => true);
INSERT INTO image_gen.model_rules (position, rule, draft, models, reason) VALUES (41, 'draft', true, '{flux-dev}', 'cheaper here');
DELETE FROM image_gen.model_rules WHERE rule = 'house';
SELECT model, rule, reason FROM image_gen.choose_model(draft => true);
SELECT position, rule, origin FROM image_gen.model_rules WHERE draft;
ROLLBACK TO changed;
SET ROLE image_gen_regress_user;
\set VERBOSITY sqlstate
DELETE FROM image_gen.model_rules;
DELETE FROM image_gen.refusal_steps;
UPDATE image_gen.rewrite_rules SET enabled = false;
INSERT INTO image_gen.reviews (job_id) VALUES ('x');
UPDATE image_gen_internal.provider_breakers SET state = 'up';
\set VERBOSITY default
RESET ROLE;

-- generate() without a model asks the same rules: quoted words go to a model that writes, drafts to a fast one (S15, S17, S126).
CREATE FUNCTION pg_temp.chosen(arguments text) RETURNS TABLE (model text, warnings text) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format($q$SELECT g.model, (SELECT coalesce(string_agg(w ->> 'code', ', '), '') FROM jsonb_array_elements(g.warnings) w) FROM image_gen.generate(%s) g$q$, arguments);
END $$;
CREATE TABLE pg_temp.prompts AS SELECT * FROM unnest(ARRAY[
  $$'a cup'$$, $$'a sign that says "OPEN ALL NIGHT"'$$, $$'a sign that says "OPEN"'$$, $$'a logo for a shop called ''Bean There'''$$, $$'the artist''s studio, 5" nails'$$,
  $$'a cup', quality => 'draft'$$, $$'a sign that says "OPEN ALL NIGHT"', quality => 'draft'$$,
  $$'a sign that says "OPEN ALL NIGHT"', 'flux-1.1-pro'$$, $$'a cup', priority => 'quality'$$, $$'a cup', priority => 'cost'$$, $$'a cup', priority => 'privacy'$$,
  $$'a cup', reference_image => 'https://e.com/me.png', consistency_mode => 'strict'$$]) WITH ORDINALITY p(call, o);
SELECT pg_temp.keys(VARIADIC pg_temp.all_keys());
SELECT p.call, c.* FROM pg_temp.prompts p CROSS JOIN LATERAL pg_temp.chosen(p.call) c ORDER BY o;
-- With the two keys of a small shop.
SELECT pg_temp.keys('BFL_API_KEY', 'OPENAI_API_KEY');
SELECT p.call, c.* FROM pg_temp.prompts p CROSS JOIN LATERAL pg_temp.chosen(p.call) c WHERE p.call !~ 'privacy' ORDER BY o;
-- Nobody here keeps it private, and who could has no address yet: that is said at once.
SELECT pg_temp.refused($$SELECT image_gen.generate('a cup', priority => 'privacy')$$);
-- With a key that serves none of these rules the usual model is taken, and a warning says what will come of it.
SELECT pg_temp.keys('BFL_API_KEY');
SELECT p.call, c.* FROM pg_temp.prompts p CROSS JOIN LATERAL pg_temp.chosen(p.call) c WHERE p.call ~ 'sign|draft' ORDER BY o;
DELETE FROM image_gen_internal.queue;
DELETE FROM image_gen.jobs;

-- Which prompts ask for text.
SELECT p AS prompt, image_gen.needs_text(p) FROM unnest(ARRAY['a cat', 'a sign that says "OPEN"', 'a sign that says "OPEN NOW"', 'un cartel que dice «ABIERTO SIEMPRE»', 'ein Schild: “Heute Ruhetag”',
  'a shop called ''Bean There''', 'a dog''s bowl in the artists'' studio', 'a 5" by 7" print', '"', '', '" "', '"a b']) p;
SELECT image_gen.needs_text(NULL) IS NULL AS strict;

-- Softer words (S54, S56: the walkthrough's own sentence).
SELECT image_gen.rewrite_prompt('a woman wearing the headphones, eyes closed, lit from behind') AS softer,
       image_gen.rewrite_prompt('a woman wearing the headphones, eyes closed, lit from behind')
         = 'a person wearing the headphones, calm expression, backlit golden hour, head and shoulders only' AS as_written;
SELECT p AS prompt, image_gen.rewrite_prompt(p) AS softer, image_gen.rewrite_prompt(image_gen.rewrite_prompt(p)) = image_gen.rewrite_prompt(p) AS settled
  FROM unnest(ARRAY['A woman with her eyes closed', 'An old man and a young woman, skin detail', 'two beautiful girls sleeping', 'bare shoulders, sexy', 'a naked body', 'blood on a knife',
    'shot of whisky in the style of Van Gogh', 'product shot of a headphone, backlit from behind', 'Skin', 'a cup in the style of watercolor painting, blue', 'skinny jeans on a mannequin, a bodyguard and a manual', 'an amber serum bottle on wet slate',
    'A close-up shot of a mug, shot at f/2.8', 'shot at golden hour, shooting at night', 'portraits shot at 85 mm from a low angle', 'people being shot at', 'the shooting of a bear', 'SHOOTING AT CLAY PIGEONS',
    'Woman at dusk. A young man waits. THE WOMAN SLEEPING', 'old man, the lady and BLOOD']) p;
-- What nothing applies to is not touched, not even its blanks.
SELECT image_gen.rewrite_prompt(E'  an amber\n bottle ') = E'  an amber\n bottle ' AS untouched, image_gen.rewrite_prompt('') = '' AS empty, image_gen.rewrite_prompt(NULL) IS NULL AS null_;
-- What lint_prompt() names is what rewrite_prompt() changes, before money is spent (S53).
SELECT * FROM image_gen.lint_prompt('A woman wearing the headphones, eyes closed, lit from behind, bare skin');
SELECT count(*) FROM image_gen.lint_prompt('an amber serum bottle on wet slate');
SELECT count(*) FROM image_gen.rewrite_rules r WHERE r.replacement ~* r.pattern;
-- Rules of an administrator, in order among the others; one that is off does nothing.
SET ROLE image_gen_regress_admin;
INSERT INTO image_gen.rewrite_rules (position, pattern, replacement, note) VALUES (1, '\mAcme (\w+)', 'a brand of \1', 'a trade mark'), (99, '\mcalm expression\M', 'serene look', NULL);
UPDATE image_gen.rewrite_rules SET enabled = false WHERE replacement IN ('a person', 'person');
SELECT image_gen.rewrite_prompt('a woman with an acme laptop, eyes closed');
SELECT word, softer, note FROM image_gen.lint_prompt('a woman with an acme laptop, eyes closed');
-- One at the place of a shipped one replaces it.
INSERT INTO image_gen.rewrite_rules (position, pattern, replacement) VALUES (50, '\mskin\M', 'surface');
SELECT image_gen.rewrite_prompt('skin');
SELECT origin, count(*) FROM image_gen.rewrite_rules GROUP BY 1 ORDER BY 1;
-- A pattern that is none is refused when it is written, not when a job needs it.
SELECT left(pg_temp.refused($$INSERT INTO image_gen.rewrite_rules (position, pattern, replacement) VALUES (5, '(', 'x')$$), 5);
SELECT left(pg_temp.refused($$UPDATE image_gen.rewrite_rules SET pattern = '[a' WHERE position = 50$$), 5);
RESET ROLE;
DELETE FROM image_gen.rewrite_rules WHERE pattern IN ('(', '[a');

-- The ladder: an administrator's step takes the place of the one that is shipped.
SELECT step, action, model, origin FROM image_gen.refusal_steps ORDER BY 1;
SAVEPOINT ladder;
SET ROLE image_gen_regress_admin;
INSERT INTO image_gen.refusal_steps (step, action, model) VALUES (2, 'switch_model', 'ideogram-v3-turbo');
UPDATE image_gen.refusal_steps SET action = 'fail' WHERE step = 3;
RESET ROLE;
SELECT step, action, model, origin FROM image_gen.refusal_steps ORDER BY 1;
ROLLBACK TO ladder;

-- explain(): the route without sending anything: who, in which order, why not, what it would cost (S127 to S134).
CREATE FUNCTION pg_temp.why(reason text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(reason, 'gen_[0-9A-Z]{26}', 'gen_…') $$;
SELECT pg_temp.keys('BFL_API_KEY', 'OPENAI_API_KEY', 'REPLICATE_API_TOKEN');
SET ROLE image_gen_regress_user;
SELECT count(*) FILTER (WHERE included) AS in_, count(*) FILTER (WHERE NOT included) AS out, bool_and(included = (position IS NOT NULL)) AS numbered,
       sum(probability) AS probability, bool_and(request IS NOT NULL) FILTER (WHERE included) AS requests
  FROM image_gen.explain('generate', '{"prompt": "a cup"}');
SELECT position, provider, model, included, pg_temp.why(reason) AS reason, probability, estimated_cost, estimated_seconds
  FROM image_gen.explain('generate', '{"prompt": "a cup"}');
-- Nothing was queued, kept or sent; no key is in it.
SELECT count(*) FROM image_gen.jobs;
SELECT provider, request - 'body' AS request, request -> 'body' AS body FROM image_gen.explain('generate', '{"prompt": "a cup", "width": 1024, "height": 768, "seed": 7}') WHERE included;
CREATE FUNCTION pg_temp.route(operation text, arguments jsonb) RETURNS TABLE (route text, left_out text) LANGUAGE sql AS $$
  SELECT string_agg(provider || ':' || model || CASE WHEN probability > 0 THEN ' ' || round(probability, 2) ELSE '' END, ', ' ORDER BY position) FILTER (WHERE included),
         string_agg(provider || coalesce(':' || model, '') || ' ' || reason, E'\n' ORDER BY provider, model) FILTER (WHERE NOT included)
    FROM image_gen.explain(operation, arguments)
$$;
SELECT a AS arguments, r.* FROM unnest(ARRAY[
  '{"prompt": "a cup", "provider_preferences": {"blocked": ["bfl"]}}', '{"prompt": "a cup", "provider_preferences": {"preferred": ["openai"]}}',
  '{"prompt": "a cup", "provider_preferences": {"preferred": ["replicate"], "only": true}}', '{"prompt": "a cup", "provider_preferences": {"weights": {"bfl": 3, "replicate": 1}}}',
  '{"prompt": "a cup", "provider_preferences": {"weights": {"bfl": 0}}}', '{"prompt": "a cup", "provider_preferences": {"weights": {"openai": 0.7, "replicate": 0.3, "bfl": 0}}}', '{"prompt": "a cup", "max_cost": 0.02}', '{"prompt": "a cup", "priority": "quality"}',
  '{"prompt": "a cup", "priority": "cost"}', '{"prompt": "a cup", "priority": "privacy"}', '{"prompt": "a cup", "model": "openai:gpt-image"}', '{"prompt": "a cup", "model": "dall-e-3"}',
  '{"prompt": "a sign that says \"OPEN ALL NIGHT\""}', '{"prompt": "a cup", "quality": "draft"}', '{"prompt": "a cup", "n": 4}', '{"prompt": "a cup", "n": 4, "model": "flux-1.1-pro"}', '{"prompt": "a cup", "width": 3840, "height": 2160}']::jsonb[]) WITH ORDINALITY a(a, o)
 CROSS JOIN LATERAL pg_temp.route('generate', a.a) r ORDER BY o;
SELECT o.operation, o.arguments, r.* FROM (VALUES
  (1, 'edit', '{"image": "https://e.com/a.png", "prompt": "at night"}'), (2, 'edit', '{"image": "https://e.com/a.png", "prompt": "a vase", "mask": "https://e.com/m.png"}'),
  (3, 'edit', '{"image": "https://e.com/a.png", "border_left": 256, "border_top": 8}'), (4, 'upscale', '{"image": "https://e.com/a.png", "scale": 4}'),
  (5, 'variate', '{"image": "https://e.com/a.png"}'), (6, 'transfer_style', '{"image": "https://e.com/a.png", "style_image": "https://e.com/s.png"}'),
  (7, 'upscale', '{"image": "https://e.com/a.png", "model": "openai:gpt-image"}')) o(o, operation, arguments)
 CROSS JOIN LATERAL pg_temp.route(o.operation, o.arguments::jsonb) r ORDER BY o.o;
-- The estimate is the one of the receipt.
SELECT e.model = g.model AS same_model, e.estimated_cost = g.estimated_cost AS same_cost
  FROM image_gen.explain('generate', '{"prompt": "a cup"}') e CROSS JOIN image_gen.generate('a cup') g WHERE e.position = 1;
SELECT s AS call, pg_temp.refused('SELECT * FROM image_gen.explain(' || s || ')') AS answer FROM unnest(ARRAY[
  $$'generate', '[]'$$, $$'dream', '{"prompt": "x"}'$$, $$'generate', '{}'$$, $$'generate', '{"prompt": "x", "promt": 1}'$$, $$'generate', '{"prompt": "x", "width": "wide"}'$$,
  $$'generate', '{"prompt": "x", "model": "no-such-model"}'$$, $$'generate', '{"prompt": "x", "provider_preferences": {"only": true}}'$$, $$'edit', '{"image": "x.png", "prompt": "x"}'$$,
  $$'generate', '{"prompt": "x", "max_cost": "much"}'$$, $$NULL, '{"prompt": "x"}'$$, $$'generate', NULL$$]) s;

-- A setting's preferences hold for all of a session's jobs; a request's win, key by key, but what either blocks is blocked (S132, S133).
SET image_gen.provider_preferences = '{"preferred": ["replicate"], "weights": {"bfl": 0}, "blocked": ["openai"]}';
SELECT a AS arguments, r.* FROM unnest(ARRAY['{"prompt": "a cup"}', '{"prompt": "a cup", "provider_preferences": {"preferred": ["bfl"], "weights": {}}}',
  '{"prompt": "a cup", "provider_preferences": {"blocked": ["replicate"]}}', '{"prompt": "a cup", "provider_preferences": {"blocked": []}}']::jsonb[]) WITH ORDINALITY a(a, o)
 CROSS JOIN LATERAL pg_temp.route('generate', a.a) r ORDER BY o;
SELECT count(*) FROM image_gen.generate('inherits');
SELECT count(*) FROM image_gen.generate('overrides', provider_preferences => '{"preferred": ["bfl"], "only": true, "blocked": ["fal"]}');
SELECT prompt, preferences FROM image_gen.jobs WHERE prompt IN ('inherits', 'overrides') ORDER BY seq;
-- only belongs to the list that it was written with.
SET image_gen.provider_preferences = '{"preferred": ["replicate"], "only": true}';
SELECT a AS arguments, r.route FROM unnest(ARRAY['{"prompt": "a cup"}', '{"prompt": "a cup", "provider_preferences": {"preferred": ["bfl"]}}', '{"prompt": "a cup", "provider_preferences": {"only": false}}']::jsonb[]) WITH ORDINALITY a(a, o)
 CROSS JOIN LATERAL pg_temp.route('generate', a.a) r ORDER BY o;
-- What makes no sense is an error of whoever queues a job, as in a request.
SET image_gen.provider_preferences = '{"prefered": ["bfl"]}';
SELECT pg_temp.refused($$SELECT image_gen.generate('x')$$);
SET image_gen.provider_preferences = 'bfl';
SELECT pg_temp.refused($$SELECT image_gen.generate('x')$$);
SET image_gen.provider_preferences = '{"blocked": ["nobody"]}';
SELECT pg_temp.refused($$SELECT image_gen.generate('x')$$);
RESET image_gen.provider_preferences;
RESET ROLE;
DELETE FROM image_gen_internal.queue;
DELETE FROM image_gen.jobs;

-- The person at the end. Jobs by their prompt, sent and refused, or sent with an end that nobody knows (S60).
CREATE FUNCTION pg_temp.reviewed(of_prompt text, code text, amount text, calls int DEFAULT 2) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  job image_gen.jobs;
  entries jsonb := '[]';
BEGIN
  SELECT * INTO STRICT job FROM image_gen.jobs j WHERE j.prompt = of_prompt;
  FOR i IN 1..calls LOOP
    entries := entries || jsonb_build_object('entry', 'begin', 'number', i, 'provider', 'bfl', 'model', CASE i WHEN 1 THEN 'flux-1.1-pro' ELSE 'flux-2-pro' END,
        'prompt', CASE i WHEN 1 THEN job.prompt ELSE 'softer ' || job.prompt END, 'seed', job.seed, 'seed_honored', true, 'warnings', '[]'::jsonb, 'progress', '{"tries": 1}'::jsonb)
      || jsonb_build_object('entry', 'end', 'number', i, 'status', CASE code WHEN 'safety_filter' THEN 'refused' ELSE 'uncertain' END, 'http_status', 200, 'tokens', NULL, 'seed', NULL,
        'render_seconds', NULL, 'warnings', '[]'::jsonb, 'failed', jsonb_build_object('code', code, 'message', 'because'),
        'cost', jsonb_build_object('amount', amount, 'currency', 'USD', 'source', CASE WHEN amount IS NULL THEN 'unknown' ELSE 'reported' END));
  END LOOP;
  entries := entries || jsonb_build_object('entry', 'close', 'status', 'needs_review', 'failed', jsonb_build_object('code', code, 'message', 'because'), 'images', '[]'::jsonb);
  RETURN EXISTS (SELECT FROM t.record(1, jsonb_build_array(jsonb_build_object('seq', job.seq, 'job_id', job.id, 'begins', true, 'entries', entries))));
END $$;
CREATE FUNCTION pg_temp.id(of_prompt text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT id FROM image_gen.jobs WHERE prompt = of_prompt $$;
CREATE VIEW pg_temp.state AS
SELECT j.prompt, j.status, j.error_code AS code, j.error_message AS message, j.model, j.provider, j.billed_cost AS cost, j.cost_source AS source, q.state AS queue, q.attempts AS begun, q.progress,
       r.claimed_by, r.action, r.note, r.resolved_by, r.resolved_at IS NOT NULL AS resolved
  FROM image_gen.jobs j LEFT JOIN image_gen_internal.queue q ON q.seq = j.seq LEFT JOIN image_gen.reviews r ON r.job_id = j.id ORDER BY j.seq;
SET ROLE image_gen_regress_user;
SELECT count(*) FROM unnest('{approved,paid,unpriced,brought,rejected,rewritten,switched,pinned,retried,waiting}'::text[]) WITH ORDINALITY p(p, o)
 CROSS JOIN LATERAL image_gen.generate(p, seed => o, metadata => '{"campaign": "aurora", "shot": "hero"}') g;
SET ROLE image_gen_regress_other;
SELECT count(*) FROM image_gen.generate('of another', seed => 11);
RESET ROLE;
SELECT count(*) FROM t.claimed(1, 100, 0);
SELECT pg_temp.reviewed(p, CASE p WHEN 'approved' THEN 'uncertain' WHEN 'paid' THEN 'timeout' WHEN 'unpriced' THEN 'uncertain' ELSE 'safety_filter' END,
                        CASE WHEN p NOT IN ('approved', 'paid', 'unpriced') THEN '0.04' END, CASE p WHEN 'paid' THEN 1 ELSE 2 END)
  FROM unnest('{approved,paid,unpriced,brought,rejected,rewritten,switched,pinned,retried,of another}'::text[]) p;
-- All that was tried, and what it cost so far; each sees his own, an administrator all.
SET ROLE image_gen_regress_user;
SELECT operation, why, error_message, campaign, shot, prompt, model, seed, prompts_tried, spent, cost_source, owner, claimed_by FROM image_gen.review_queue ORDER BY seed;
SELECT jsonb_pretty(calls) AS calls FROM image_gen.review_queue WHERE prompt = 'approved';
SET ROLE image_gen_regress_other;
SELECT prompt FROM image_gen.review_queue;
SET ROLE image_gen_regress_admin;
SELECT count(*), count(DISTINCT owner) AS owners FROM image_gen.review_queue;

-- Claims: the oldest that nobody looks at; two never get the same; what is one's own only, for an ordinary user.
SELECT prompt, claimed_by FROM image_gen.claim_review(2);
SET ROLE image_gen_regress_second;
SELECT prompt, claimed_by FROM image_gen.claim_review(2);
SET ROLE image_gen_regress_other;
SELECT prompt, claimed_by FROM image_gen.claim_review(100);
SELECT prompt FROM image_gen.claim_review(100);
SET ROLE image_gen_regress_admin;
SELECT count(*) AS none FROM image_gen.claim_review(0);
SELECT count(*) AS none FROM image_gen.claim_review(-5);
SELECT count(*) AS the_rest FROM image_gen.claim_review(100);
SELECT count(*) AS none FROM image_gen.claim_review(100);
-- A claim that is old is free again.
SET ROLE image_gen_regress_second;
SELECT count(*) AS taken_over FROM image_gen.claim_review(100, '0 s');
SET ROLE image_gen_regress_admin;
SELECT count(*) AS still_taken FROM image_gen.claim_review(100);
RESET ROLE;
UPDATE image_gen.reviews SET claimed_at = claimed_at - interval '31 min';
SET ROLE image_gen_regress_admin;
SELECT count(*) AS after_half_an_hour FROM image_gen.claim_review(100);

-- What is no decision is refused.
CREATE FUNCTION pg_temp.decided(of_prompt text, VARIADIC arguments text[]) RETURNS TABLE (call text, answer text) LANGUAGE sql AS $$
  SELECT a, pg_temp.refused(format('SELECT * FROM image_gen.resolve_review(%L, %s)', coalesce(pg_temp.id(of_prompt), of_prompt), a)) FROM unnest(arguments) a
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\n    '
SELECT * FROM pg_temp.decided('approved', $$NULL$$, $$'forget'$$, $$'approve'$$, $$'approve', url => ''$$, $$'approve', url => 'http://e.com/a.png'$$, $$'approve', url => 'a.png'$$, $$'rewrite'$$, $$'rewrite', prompt => E' \n'$$, $$'rewrite', prompt => E'\u200b\ufeff'$$,
  $$'rewrite', prompt => repeat('x', 32001)$$, $$'switch_model'$$, $$'switch_model', model => 'no-such-model'$$, $$'switch_model', model => 'bfl:gpt-image-2'$$, $$'switch_model', model => 'real-esrgan'$$, $$'retry', billed_cost => -1$$, $$'retry', billed_cost => 'NaN'$$, $$'retry', billed_cost => 'Infinity'$$);
SELECT * FROM pg_temp.decided('waiting', $$'retry'$$);
SELECT * FROM pg_temp.decided('gen_01HWX2K8Y4N5R7P9Q1B3T6V8M0', $$'retry'$$);
SET ROLE image_gen_regress_other;
SELECT * FROM pg_temp.decided('approved', $$'retry'$$);
-- Somebody else looks at it.
SET ROLE image_gen_regress_second;
SELECT call, regexp_replace(answer, 'since [^\n]*', 'since …') FROM pg_temp.decided('approved', $$'retry'$$);
\pset tuples_only off
\pset format aligned
RESET ROLE;
SELECT count(*) FROM image_gen.reviews WHERE resolved_at IS NOT NULL OR claimed_by <> 'image_gen_regress_admin'::regrole;

-- approve: it was made after all. What it cost is the reviewer's word; the calls of before keep theirs.
SET ROLE image_gen_regress_admin;
SELECT status, url, error_code, error_message, billed_cost, cost_source FROM image_gen.resolve_review(pg_temp.id('approved'), 'approve', url => 'https://mine.example/a.png', billed_cost => 0.05, note => 'found it in the dashboard');
SELECT status, url, billed_cost, cost_source FROM image_gen.resolve_review(pg_temp.id('paid'), 'approve', url => 'https://mine.example/b.png', billed_cost => 0.04);
SELECT status, url, billed_cost, cost_source FROM image_gen.resolve_review(pg_temp.id('unpriced'), 'approve', url => 'https://mine.example/c.png');
-- An image in the place of one that was refused is the person's own work: an attempt of its own, the refused calls keep their story.
SELECT status, provider, url, attempts, billed_cost, cost_source FROM image_gen.resolve_review(pg_temp.id('brought'), 'approve', url => 'https://mine.example/d.png', billed_cost => 1.5);
-- reject: no image. The reason is the reviewer's.
SELECT status, url, error_code, error_message, billed_cost, cost_source FROM image_gen.resolve_review(pg_temp.id('rejected'), 'reject', note => 'off brand');
-- rewrite, switch_model, retry: the same job goes on with the same seed, and the ladder begins anew.
SELECT status, model, seed, error_code, billed_cost FROM image_gen.resolve_review(pg_temp.id('rewritten'), 'rewrite', prompt => 'a person, calm');
SELECT status, model, seed, error_code FROM image_gen.resolve_review(pg_temp.id('switched'), 'switch_model', model => 'gpt-image');
SELECT status, model, seed, error_code FROM image_gen.resolve_review(pg_temp.id('pinned'), 'switch_model', model => 'openai:gpt-image', prompt => 'a softer pin');
SELECT status, model, seed, error_code FROM image_gen.resolve_review(pg_temp.id('retried'), 'retry', billed_cost => 0);
-- What is booked is not changed by a reviewer.
SELECT status, model, seed, error_code FROM image_gen.resolve_review(pg_temp.id('retried'), 'retry');
-- Its owner may decide, too, once nobody else looks at it.
SET ROLE image_gen_regress_other;
SELECT call, left(answer, 5) FROM pg_temp.decided('of another', $$'retry'$$);
RESET ROLE;
UPDATE image_gen.reviews SET claimed_at = claimed_at - interval '31 min' WHERE job_id = pg_temp.id('of another');
SET ROLE image_gen_regress_other;
SELECT status, error_message FROM image_gen.resolve_review(pg_temp.id('of another'), 'reject');
RESET ROLE;
SELECT * FROM pg_temp.state;
SELECT j.prompt, a.number, a.provider, a.model, a.status, a.error_code, a.billed_cost, a.cost_source, a.warnings FROM image_gen.attempts a JOIN image_gen.jobs j ON j.id = a.job_id ORDER BY j.seq, a.number;
SELECT j.prompt, a.url, a.seed, a.model, a.provider, a.prompt AS made_from, a.billed_cost, a.cost_source, a.campaign, a.width FROM image_gen.campaign_assets a JOIN image_gen.jobs j ON j.id = a.job_id ORDER BY j.seq;
-- Nothing of it is decided twice.
SET ROLE image_gen_regress_admin;
SELECT p, pg_temp.refused(format('SELECT image_gen.resolve_review(%L, %L)', pg_temp.id(p), 'retry')) FROM unnest('{approved,rejected,rewritten}'::text[]) p;
SELECT count(*) FROM image_gen.review_queue;
RESET ROLE;
-- What the worker gets: the number of calls goes on, the seed is the same, the prompt and the place are the reviewer's.
SELECT j.job #>> '{request,prompt}' AS prompt, j.job #> '{request,seed}' AS seed, j.job -> 'attempts' AS attempts, j.job -> 'progress' AS progress,
       j.job ->> 'model' AS model, j.job ->> 'provider' AS provider FROM t.claimed(1, 100, 0) j;
-- Refused once more: in review once more, and free for all.
SELECT image_gen_internal.close_job(pg_temp.id('rewritten'), 'needs_review', 'safety_filter', 'again');
DELETE FROM image_gen_internal.queue WHERE job_id = pg_temp.id('rewritten');
SET ROLE image_gen_regress_second;
SELECT prompt, claimed_by FROM image_gen.claim_review(100);
SELECT status FROM image_gen.resolve_review(pg_temp.id('rewritten'), 'reject', note => 'enough');
RESET ROLE;
SELECT action, note, claimed_by, resolved_by FROM image_gen.reviews WHERE job_id = pg_temp.id('rewritten');
-- In every job that is over, the cost is the sum over its attempts, and over its assets (S71).
SELECT j.prompt FROM image_gen.jobs j
 WHERE j.finished_at IS NOT NULL
   AND (j.known_cost IS DISTINCT FROM (SELECT sum(billed_cost) FROM image_gen.attempts WHERE job_id = j.id)
        OR j.status = 'succeeded' AND j.known_cost IS DISTINCT FROM (SELECT sum(known_cost) FROM image_gen.campaign_assets WHERE job_id = j.id));

-- How providers are doing, for everybody: states, calls and rates, no rows of anybody's (P28).
SELECT count(*) FROM t.record(1, (SELECT jsonb_agg(jsonb_build_object('seq', j.seq, 'job_id', j.id, 'begins', true, 'entries', jsonb_build_array(
  jsonb_build_object('entry', 'begin', 'number', 1, 'provider', 'openai', 'model', 'gpt-image-2', 'prompt', j.prompt, 'seed', j.seed, 'seed_honored', false, 'warnings', '[]'::jsonb, 'progress', '{}'::jsonb))))
  FROM image_gen.jobs j WHERE j.prompt = 'waiting'));
SET ROLE image_gen_worker;
SELECT image_gen_internal.record_breakers('[{"provider": "openai", "model": "", "state": "down", "since": 1760000000000, "failures": 1, "last_error_code": "auth", "last_error_at": 1760000000000},
                                {"provider": "bfl", "model": "flux-2-pro", "state": "recovering", "since": 1760000000000, "failures": 5, "last_error_code": "overloaded", "last_error_at": 1760000001000}]');
SELECT image_gen_internal.record_breakers('[{"provider": "bfl", "model": "flux-2-pro", "state": "up", "since": 1760000002000, "failures": 0, "last_error_code": "overloaded", "last_error_at": 1760000001000}]');
RESET ROLE;
UPDATE image_gen.attempts SET render_seconds = number WHERE status = 'succeeded';
SET ROLE image_gen_regress_other;
SELECT provider, model, state, since AT TIME ZONE 'UTC' AS since, in_flight, max_in_flight, last_error_code, last_error_at AT TIME ZONE 'UTC' AS last_error_at, calls, success_rate, p50_seconds, p95_seconds
  FROM image_gen.provider_health ORDER BY 1, 2;
RESET ROLE;
-- A new life of the worker knows nobody to be unwell.
SELECT image_gen_internal.start_epoch(1, 'test', 100, 'test', '{}', 'review') > 0 AS begun;
SELECT provider, model, state FROM image_gen_internal.provider_breakers;

-- What each model really does with each parameter (P12).
SELECT task, parameter, state, sent_as FROM image_gen.capabilities WHERE provider = 'bfl' AND model = 'flux-fill-pro' AND state <> 'unsupported' ORDER BY 1, 2;
ROLLBACK;
SELECT count(*) FROM image_gen.jobs;
