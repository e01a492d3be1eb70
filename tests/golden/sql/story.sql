-- The story of an image: provenance, marks, images that look alike, and what is refused with which words.
\set ON_ERROR_ROLLBACK on
BEGIN;
CREATE ROLE image_gen_regress_user;
GRANT image_gen_user TO image_gen_regress_user;
SET ROLE image_gen_regress_user;
SELECT count(*) FROM (SELECT image_gen.generate('a kettle', model => 'flux-1.1-pro', seed => 7, width => 1024, height => 768, metadata => '{"campaign": "spring", "shot": "hero", "disclosure": "Made with AI"}')) q;
SELECT count(*) FROM (SELECT image_gen.generate('a kettle, rain', model => 'flux-1.1-pro', seed => 8, metadata => '{"campaign": "spring", "shot": "<b>rain</b>"}')) q;
RESET ROLE;

-- As the worker writes them: one reworded after a refusal, and delivered.
DELETE FROM image_gen_internal.queue;
INSERT INTO image_gen.attempts (job_id, number, provider, model, status, error_code, error_message, prompt, seed, seed_honored, billed_cost, cost_source, owner, epoch, finished_at)
SELECT j.id, n, 'bfl', 'flux-1.1-pro', CASE n WHEN 1 THEN 'refused' ELSE 'succeeded' END, CASE n WHEN 1 THEN 'safety_filter' END, CASE n WHEN 1 THEN 'moderated' END,
       CASE n WHEN 1 THEN j.prompt ELSE j.prompt || ', softly' END, j.seed, true, 0.04, 'priced', j.owner, 1, now()
  FROM image_gen.jobs j, generate_series(1, 2) n WHERE j.prompt LIKE 'a kettle%' AND (n = 2 OR j.prompt = 'a kettle');
SELECT count(image_gen_internal.close_job(j.id, 'succeeded', NULL, NULL)) FROM image_gen.jobs j WHERE j.prompt LIKE 'a kettle%';
SELECT count(image_gen_internal.insert_assets(ARRAY[j.id::text], '{1}', ARRAY['https://x.example/' || j.seed], NULL, NULL, '{1024}', '{768}', '{image/png}', '{100000}',
         ARRAY[repeat(j.seed::text, 64)], ARRAY[CASE j.seed WHEN 7 THEN 255 ELSE -256 END]::bigint[], ARRAY[NULL, 'black']::text[],
         ARRAY[CASE j.seed WHEN 7 THEN '{"claim_generator": "Painter 3", "signer": "Acme Ltd"}' END]::jsonb[],
         ARRAY[CASE j.seed WHEN 7 THEN 'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia' END]))
  FROM image_gen.jobs j WHERE j.prompt LIKE 'a kettle%';
SELECT min(id) FILTER (WHERE seed = 7) AS hero, min(id) FILTER (WHERE seed = 8) AS rain FROM image_gen.campaign_assets WHERE campaign = 'spring' \gset

SET ROLE image_gen_regress_user;
\x on
SELECT asset_id = :hero AS same, asked_by, operation, campaign, shot, asked_prompt, style, prompt, provider, model, seed, seed_honored, parameters, refusals, billed_cost, known_cost,
       cost_source, parents, children, width, height, content_type, sha256, perceptual_hash, blank, url, content_credentials, digital_source_type, disclosure, job_is_pruned
  FROM image_gen.provenance(:hero);
\x off
SELECT c.call - 'sent_at' AS call FROM image_gen.provenance(:hero) p, jsonb_array_elements(p.calls) WITH ORDINALITY c(call, n) ORDER BY n;
SELECT campaign, shot, asset_id = :rain AS rain, looked_at FROM image_gen.marks;
SELECT image_gen.set_disclosure(ARRAY[:rain, :hero], 'Made with AI') AS changed;
SELECT count(*) AS unmarked FROM image_gen.marks;
SELECT image_gen.hash_distance(255, -256) AS far, image_gen.hash_distance(-1, 0) AS all, image_gen.hash_distance(255, 127) AS near, image_gen.hash_distance(NULL, 1) AS unknown;
SELECT asset_id = :rain AS rain, distance FROM image_gen.similar_assets(:hero, 64);
SELECT count(*) AS near FROM image_gen.similar_assets(:hero);
SELECT asset_id = :rain AS rain, distance FROM image_gen.similar_assets(:hero, 64, 'spring');
SELECT count(*) AS elsewhere FROM image_gen.similar_assets(:hero, 64, 'autumn');

-- The same request once more: what was sent, and not what was asked first.

SELECT status, model FROM image_gen.regenerate(:hero, '{"width": 512, "height": 512}');
SELECT id IS NOT NULL AS queued FROM image_gen.regenerate(:hero);
SELECT prompt, provider, model, seed, parameters, relation, parent IS NOT NULL AS has_parent FROM image_gen.jobs WHERE relation = 'regenerate' ORDER BY seq;

-- A page, with what it is made of escaped.
SELECT image_gen.contact_sheet('spring') LIKE '%&lt;b&gt;rain&lt;/b&gt;%' AS escaped, image_gen.contact_sheet('spring') LIKE '%<b>rain%' AS raw,
       image_gen.contact_sheet('spring', at_most => 1) LIKE '%Only the first 1 of%' AS says_that_there_is_more;

SELECT image_gen.contact_sheet();
SELECT image_gen.contact_sheet('spring', at_most => 501);
SELECT image_gen.similar_assets(:hero, 65);
SELECT image_gen.similar_assets(0);
SELECT image_gen.provenance(0);
SELECT image_gen.regenerate(0);
SELECT image_gen.regenerate(:hero, '[]');
SELECT image_gen.set_disclosure('{0}', 'x');
SELECT image_gen.set_disclosure(ARRAY[:hero], ' ');
SELECT image_gen.thumbnail(:hero) IS NULL AS none;
ROLLBACK;
