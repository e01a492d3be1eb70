-- Money: budgets, estimates, batches, reports, invoices: what they answer, what they refuse, and to whom.
\set ON_ERROR_ROLLBACK on
BEGIN;
CREATE ROLE image_gen_regress_user;
CREATE ROLE image_gen_regress_other;
CREATE ROLE image_gen_regress_team;
CREATE ROLE image_gen_regress_admin;
GRANT image_gen_user TO image_gen_regress_user, image_gen_regress_other;
GRANT image_gen_regress_team TO image_gen_regress_user;
GRANT image_gen_admin TO image_gen_regress_admin;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  message text;
  detail text;
  hint text;
BEGIN
  EXECUTE statement;
  -- Undone, so that nothing is left of it.
  RAISE EXCEPTION 'NOT REFUSED' USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
  RETURN 'NOT REFUSED';
WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN regexp_replace(format(E'%s: %s%s\n    %s', sqlstate, message, CASE WHEN detail <> '' THEN E'\n    (' || detail || ')' ELSE '' END,
                               coalesce(nullif(hint, ''), 'NO HINT')), '(gen|bat)_[0-9A-Z]{26}', '\1_…', 'g');
END $$;
UPDATE image_gen_internal.worker_state SET configured = '{BFL_API_KEY,FAL_API_KEY,IDEOGRAM_API_KEY,OPENAI_API_KEY,STABILITY_API_KEY}';

-- What is wrong with a limit is said, with what would be right.
SELECT pg_temp.refused(statement) FROM (VALUES
  ($$SELECT image_gen.set_budget(NULL, NULL, 1)$$),
  ($$SELECT image_gen.set_budget('user', 'x', 1)$$),
  ($$SELECT image_gen.set_budget('batch', 'x', 1)$$),
  ($$SELECT image_gen.grant_credits(1, 'batch', 'bat_x')$$),
  ($$SELECT image_gen.set_budget('metadata:', 'x', 1)$$),
  ($$SELECT image_gen.set_budget('workspace', 'x', 1)$$),
  ($$SELECT image_gen.set_budget('campaign', NULL, 1)$$),
  ($$SELECT image_gen.set_budget('metadata:team', '', 1)$$),
  ($$SELECT image_gen.set_budget('role', 'nobody-here', 1)$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, -1)$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 'NaN')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 'Infinity')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, 'fortnight')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, '30 seconds')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, '-1 day')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, NULL)$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, 'day', time_zone => 'Mars/Base')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, 'day', time_zone => NULL)$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, until => '2020-01-01')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 1, until => '2999-01-01')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, NULL)$$),
  ($$SELECT image_gen.grant_credits(0)$$),
  ($$SELECT image_gen.grant_credits(NULL)$$),
  ($$SELECT image_gen.grant_credits(1, 'workspace', period => 'month')$$),
  ($$SELECT image_gen.grant_credits(1, until => '2020-01-01')$$),
  ($$SELECT image_gen.grant_credits(1, 'role')$$)) AS t(statement);

-- One after the other: limits, grants, other amounts for a while.
SELECT * FROM image_gen.set_budget('workspace', NULL, 10, note => 'all of it');
SELECT * FROM image_gen.set_budget('workspace', NULL, 2.5, 'month', time_zone => 'Europe/Berlin');
SELECT * FROM image_gen.set_budget('role', 'image_gen_regress_team', 3, '30 days');
SELECT * FROM image_gen.set_budget('role', 'image_gen_regress_other', 4, 'rolling 24 hours');
SELECT * FROM image_gen.set_budget('metadata:campaign', 'aurora', 0.2);
SELECT * FROM image_gen.set_budget('metadata:team', 'red', 1, 'week');
SELECT * FROM image_gen.set_budget('campaign', 'aurora', 0.45, until => clock_timestamp() + '1 day');
SELECT * FROM image_gen.grant_credits(0.05, 'campaign', 'aurora');
SELECT * FROM image_gen.grant_credits(7, 'ticket', 'MKT-1', note => 'paid in advance');
SELECT pg_temp.refused($$SELECT image_gen.grant_credits(1)$$);
SELECT * FROM image_gen.grant_credits(1, period => 'month');
SELECT scope, key, role, period, rolling, time_zone, amount, note, counts_from > '-infinity' AS counts_from, set_by FROM image_gen.budgets ORDER BY id;
SELECT b.scope, c.kind, c.amount, isfinite(c.valid_until) AS ends, c.note FROM image_gen.budget_changes c JOIN image_gen.budgets b ON b.id = c.budget_id ORDER BY c.id;

-- What something would cost (S10, S11).
SELECT * FROM image_gen.estimate('generate', '{"prompt": "x", "model": "bfl:flux-1.1-pro"}');
SELECT * FROM image_gen.estimate('generate', '{"prompt": "x", "model": "ideogram:ideogram-v2a", "n": 4, "max_cost": 0.3}');
SELECT * FROM image_gen.estimate('generate', '{"prompt": "x", "model": "fal:flux-2-dev"}');
SELECT * FROM image_gen.estimate_batch('{"hero": {"prompt": "a"}, "lifestyle": {"prompt": "b"}, "detail": {"prompt": "c"}, "square": {"prompt": "d"}}', '{"model": "bfl:flux-1.1-pro"}');
SELECT * FROM image_gen.estimate_batch('[{"shot": "x", "prompt": "x", "model": "fal:flux-2-dev"}, {"shot": "y", "prompt": "y", "model": "bfl:flux-1.1-pro"}]');
SELECT pg_temp.refused(statement) FROM (VALUES
  ($$SELECT image_gen.estimate('paint', '{}')$$),
  ($$SELECT image_gen.estimate('generate', NULL)$$),
  ($$SELECT image_gen.estimate('generate', '[]')$$),
  ($$SELECT image_gen.estimate('generate', '{"prompt": "x", "model": "no-such-model"}')$$),
  ($$SELECT image_gen.generate_batch('[{"shot": "x", "operation": "paint"}]')$$),
  ($$SELECT image_gen.generate_batch(NULL)$$),
  ($$SELECT image_gen.generate_batch('[]')$$),
  ($$SELECT image_gen.generate_batch('"hero"')$$),
  ($$SELECT image_gen.generate_batch('[{"prompt": "no name"}]')$$),
  ($$SELECT image_gen.generate_batch('{"hero": "not an object"}')$$),
  ($$SELECT image_gen.generate_batch('[{"shot": "a", "prompt": "x"}, {"shot": "a", "prompt": "y"}]')$$),
  ($$SELECT image_gen.generate_batch('{"a": {"prompt": "x"}}', '[]')$$),
  ($$SELECT image_gen.generate_batch('{"a": {"prompt": "x"}}', '{"seed": -1}')$$),
  ($$SELECT image_gen.generate_batch('{"a": {"prompt": "x"}}', max_cost => -1)$$),
  ($$SELECT image_gen.generate_batch('{"a": {"prompt": "x"}}', max_cost => 'NaN')$$),
  ($$SELECT image_gen.generate_batch((SELECT jsonb_agg(jsonb_build_object('shot', n, 'prompt', 'x')) FROM generate_series(1, 501) n))$$)) AS t(statement);

-- An ordinary user sees the workspace, himself, his teams, and what his jobs count in; and changes nothing.
SET ROLE image_gen_regress_user;
SELECT model, estimated_cost FROM image_gen.generate('a lamp', model => 'bfl:flux-1.1-pro', metadata => '{"campaign": "aurora", "shot": "hero"}');
SELECT shot, model, estimated_cost FROM image_gen.generate_batch('{"a": {"prompt": "x"}, "b": {"prompt": "y"}}', '{"model": "bfl:flux-1.1-pro", "metadata": {"team": "red"}}', max_cost => 0.09);
SELECT regexp_replace(scope, 'bat_.*', 'bat_…') AS scope, currency, spent, unknown_costs, reserved, limit_amount, available, unlimited, period, since < now() AS since, isfinite(until) AS ends
  FROM image_gen.credits();
SELECT reserved, reason, campaign, ticket, regexp_replace(budgets::text, 'bat_[0-9A-Z]+', 'bat_…') AS budgets, owner FROM image_gen.reservations ORDER BY job_id;
SELECT pg_temp.refused(statement) FROM (VALUES
  ($$SELECT image_gen.generate_batch('{"a": {"prompt": "x"}, "b": {"prompt": "y"}, "c": {"prompt": "z"}}', '{"model": "bfl:flux-1.1-pro", "metadata": {"team": "red"}}', max_cost => 0.13)$$),
  ($$SELECT image_gen.generate('x', model => 'openai:gpt-image-2', quality => 'high', n => 10, metadata => '{"campaign": "aurora"}')$$),
  ($$SELECT image_gen.generate('x', model => 'fal:flux-2-dev')$$),
  ($$SELECT image_gen.set_budget('workspace', NULL, 100)$$),
  ($$SELECT image_gen.grant_credits(100)$$),
  ($$SELECT image_gen.check_budgets()$$),
  ($$SELECT image_gen.recount_budgets()$$),
  ($$SELECT image_gen.settle_cost('x', 1, 0)$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-01-01', '2026-02-01', 1)$$),
  ($$SELECT * FROM image_gen.budgets$$),
  ($$SELECT * FROM image_gen_internal.budget_charges$$),
  ($$SELECT * FROM image_gen.invoice_diff$$),
  ($$INSERT INTO image_gen.budget_changes (budget_id, kind, amount, valid_until, made_by) VALUES (1, 'grant', 1, 'infinity', 'me')$$),
  ($$SELECT image_gen_internal.reserve('{}', false)$$),
  ($$SELECT image_gen_internal.post_charges()$$)) AS t(statement);
SET ROLE image_gen_regress_other;
SELECT scope, spent, reserved, available, unlimited FROM image_gen.credits();
SELECT * FROM image_gen.reservations;
SELECT * FROM image_gen.cost_by_campaign;

-- Administrators see all, and settle what was unknown.
SET ROLE image_gen_regress_admin;
SELECT regexp_replace(scope, 'bat_.*', 'bat_…') AS scope, spent, reserved, available FROM image_gen.credits();
RESET ROLE;
WITH jobs AS (SELECT j.id, j.prompt, j.seed, j.owner, row_number() OVER (ORDER BY j.seq) AS n FROM image_gen.jobs j WHERE j.owner = 'image_gen_regress_user'::regrole)
INSERT INTO image_gen.attempts (job_id, number, provider, model, status, error_code, remote_id, poll_url, prompt, seed, seed_honored, billed_cost, cost_source, estimated_cost, owner, epoch, finished_at, created_at)
SELECT id, 1, 'bfl', 'flux-1.1-pro', CASE n WHEN 1 THEN 'refused' WHEN 2 THEN 'uncertain' ELSE 'failed' END, CASE n WHEN 1 THEN 'safety_filter' ELSE 'unknown' END, 'r' || n, 'https://x', prompt, seed, true,
       CASE n WHEN 2 THEN NULL ELSE 0.04 END, CASE n WHEN 2 THEN 'unknown' ELSE 'reported' END, 0.04, owner, 0, now(), '2026-03-15 12:00Z' FROM jobs;
SELECT image_gen_internal.close_job(id, 'failed', 'unknown', 'x') FROM image_gen.jobs WHERE owner = 'image_gen_regress_user'::regrole ORDER BY seq;
DELETE FROM image_gen_internal.queue q USING image_gen.jobs j WHERE j.id = q.job_id AND j.finished_at IS NOT NULL;
SET ROLE image_gen_regress_admin;
SELECT * FROM image_gen.check_budgets();
SELECT scope, spent, unknown_costs, reserved, available FROM image_gen.credits() WHERE scope NOT LIKE 'batch:%';
SELECT reserved, reason FROM image_gen.reservations;
SELECT pg_temp.refused(statement) FROM (VALUES
  ($$SELECT image_gen.settle_cost('gen_x', 1, 0)$$),
  ($$SELECT image_gen.settle_cost((SELECT job_id FROM image_gen.attempts WHERE remote_id = 'r2'), 1, -1)$$),
  ($$SELECT image_gen.settle_cost((SELECT job_id FROM image_gen.attempts WHERE remote_id = 'r2'), 1, NULL)$$),
  ($$SELECT image_gen.settle_cost((SELECT job_id FROM image_gen.attempts WHERE remote_id = 'r1'), 1, 4.01)$$),
  ($$SELECT image_gen.settle_cost((SELECT job_id FROM image_gen.attempts WHERE remote_id = 'r1'), 1, 1e30)$$),
  ($$SELECT image_gen.import_invoice('nobody', '2026-03-01', '2026-04-01', 1)$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-04-01', '2026-03-01', 1)$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01')$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', 'NaN')$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', 1, currency => 'euro')$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', lines => '{}')$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', lines => '[{"amount": 1}]')$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', lines => '[{"remote_id": "x", "amount": -1}]')$$),
  ($$SELECT image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', lines => '[{"remote_id": "x", "amount": "1"}]')$$)) AS t(statement);
SELECT matched, settled FROM image_gen.import_invoice('bfl', '2026-03-01', '2026-04-01', 0.2,
  '[{"remote_id": "r1", "amount": 0.05}, {"remote_id": "r2", "amount": 0.035}, {"remote_id": "elsewhere", "amount": 0.1}]', note => 'INV-7');
SELECT remote_id, number, what, invoiced, booked, difference, unknown_costs, currency FROM image_gen.invoice_diff ORDER BY what, remote_id;
SELECT scope, spent, unknown_costs, reserved, available FROM image_gen.credits() WHERE scope NOT LIKE 'batch:%';
SELECT * FROM image_gen.check_budgets();
SELECT image_gen.recount_budgets();

-- Reports.
SET timezone = 'UTC';
SELECT * FROM image_gen.cost_report(dimensions => '{quarter,campaign}', designer_rate => 80);
SELECT dimension, calls, billed, restated_cost FROM image_gen.cost_report('2026-03-01', '2026-04-01', '{metadata:team,status}', restated => true);
SELECT * FROM image_gen.cost_report('2026-04-01');
SELECT campaign, currency, jobs, images, calls, billed, unknown_costs, refusals, retries, wasted FROM image_gen.cost_by_campaign ORDER BY 1;
SELECT ticket, billed FROM image_gen.cost_by_ticket;
SELECT pg_temp.refused(statement) FROM (VALUES
  ($$SELECT image_gen.cost_report(dimensions => '{colour}')$$),
  ($$SELECT image_gen.cost_report(dimensions => '{NULL}')$$),
  ($$SELECT image_gen.cost_report(dimensions => ARRAY[NULL])$$),
  ($$SELECT image_gen.cost_report(designer_rate => -1)$$),
  ($$SELECT image_gen.cost_report(designer_rate => 80, designer_minutes => 'NaN')$$)) AS t(statement);
RESET ROLE;
SELECT * FROM image_gen.set_budget('campaign', 'aurora', NULL);
SELECT count(*) FROM image_gen.budgets WHERE scope = 'campaign';
ROLLBACK;
