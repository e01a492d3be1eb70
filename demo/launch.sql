-- Four launch shots for a pair of headphones: queued in one transaction, followed to the end, and accounted for.
-- Run by an ordinary role that is a member of image_gen_user:  psql -f demo/launch.sql
\set QUIET on
\pset pager off
\pset footer off
\pset linestyle unicode
\pset border 2
\pset null '∅'
\pset format wrapped
\pset columns 118

\set look 'soft top light from camera left, shallow depth of field, no text, no logo overlays, color palette: charcoal, warm grey, single amber accent'
SELECT jsonb_build_array(
    jsonb_build_object('shot', 'hero', 'prompt', 'studio product shot of matte black over-ear headphones on a brushed concrete plinth, ' || :'look'),
    jsonb_build_object('shot', 'lifestyle', 'prompt', 'a woman wearing the headphones, eyes closed, lit from behind, matte black over-ear headphones, ' || :'look'),
    jsonb_build_object('shot', 'detail', 'prompt', 'macro shot of the ear cushion and hinge of matte black over-ear headphones, stitched seam in focus, ' || :'look'),
    jsonb_build_object('shot', 'social', 'prompt', 'matte black over-ear headphones hanging in mid-air before a warm grey wall, room above for a headline, ' || :'look')) AS shots,
  '{"model": "flux-1.1-pro", "width": 1024, "height": 1024, "seed": 73104, "guidance": 3.5, "steps": 28,
    "negative_prompt": "watermark, text, logo, hands, person, low quality, deformed",
    "metadata": {"campaign": "aurora-launch", "ticket": "MKT-2241"}}'::jsonb AS defaults \gset

\echo '\n1. Before: what it would cost, and what may be spent\n'
SELECT e.jobs, e.estimated_cost, e.with_buffer, e.highest_cost, c.spent, c.reserved, coalesce(c.available::text, 'unlimited') AS available
  FROM image_gen.estimate_batch(:'shots', :'defaults') e CROSS JOIN image_gen.credits() c;

\echo '2. Four shots, all or none, for 0.18 USD at most; nothing is sent before COMMIT\n'
BEGIN;
SELECT shot, id, status, seed, estimated_seconds AS seconds, estimated_cost AS cost
  FROM image_gen.generate_batch(:'shots', :'defaults', max_cost => 0.18);
SELECT array_agg(id ORDER BY seq) AS ids FROM image_gen.jobs WHERE created_at = now() \gset
COMMIT;

\echo '3. Wait for all of them: they run side by side\n'
SELECT metadata ->> 'shot' AS shot, status, seed, attempts, billed_cost AS cost,
       extract(epoch FROM finished_at - created_at)::numeric(6, 1) AS seconds
  FROM image_gen.wait(:'ids', timeout => '2 minutes');

\echo '4. What was refused, and what became of it: softer words, the same seed, one more render\n'
SELECT j.metadata ->> 'shot' AS shot, a.number AS call, a.status, a.seed, trim_scale(a.billed_cost) AS cost,
       left(a.prompt, 98) AS "the prompt that was sent", a.error_message AS why
  FROM image_gen.jobs j JOIN image_gen.attempts a ON a.job_id = j.id
 WHERE j.id = ANY (:'ids') AND EXISTS (SELECT FROM image_gen.attempts r WHERE r.job_id = j.id AND r.status = 'refused')
 ORDER BY j.seq, a.number;

\echo '5. The images\n'
SELECT id, shot, provider, model, seed, width, height, byte_size AS bytes, trim_scale(billed_cost) AS cost
  FROM image_gen.campaign_assets WHERE job_id = ANY (:'ids') ORDER BY job_id;

\echo '6. Where did this hero shot come from?\n'
\x on
SELECT j.owner AS "asked by", j.created_at AS "at", c.provider, c.model, c.seed, c.prompt, c.negative_prompt,
       (SELECT string_agg(w ->> 'message', '; ') FROM jsonb_array_elements(j.warnings) AS w) AS warnings,
       t.remote_id AS "provider's id", trim_scale(c.billed_cost) AS cost, c.currency, c.cost_source, c.sha256
  FROM image_gen.campaign_assets c
  JOIN image_gen.jobs j ON j.id = c.job_id
  JOIN image_gen.attempts t ON t.job_id = c.job_id AND t.status = 'succeeded'
 WHERE c.campaign = 'aurora-launch' AND c.shot = 'hero' ORDER BY c.id DESC LIMIT 1;
\x off

\echo '7. What it cost, refused calls included: by campaign, by ticket, and beside a designer at 80 USD an hour\n'
SELECT campaign, jobs, images, calls, refusals, billed, currency, unknown_costs FROM image_gen.cost_by_campaign;
SELECT ticket, jobs, images, calls, refusals, billed, currency, unknown_costs FROM image_gen.cost_by_ticket;
SELECT dimension, calls, billed, wasted, designer_cost, saved
  FROM image_gen.cost_report(dimensions => '{campaign,quarter}', designer_rate => 80);
