-- Styles: what a job keeps of one, what lint_prompt() sees, and what is refused with which words.
\set ON_ERROR_ROLLBACK on
BEGIN;
CREATE ROLE image_gen_regress_user;
GRANT image_gen_user TO image_gen_regress_user;
SET ROLE image_gen_regress_user;
CREATE VIEW pg_temp.newest AS SELECT * FROM image_gen.jobs ORDER BY seq DESC LIMIT 1;

SELECT image_gen.generate('a kettle', style => 'acme');
SELECT name, prefix, suffix, negative, palette, reference_images, models
  FROM image_gen.set_style('acme', prefix => 'studio photograph of', suffix => 'soft light', negative => 'text', palette => 'sand, sage',
                           reference_images => '{https://example.com/palette.png}', models => '{flux-2-pro,google:gemini-3-pro-image}');
SELECT count(*) FROM (SELECT image_gen.generate('a kettle', style => 'acme', negative_prompt => 'fog', seed => 7)) q;
SELECT model, prompt FROM pg_temp.newest;
SELECT jsonb_pretty(parameters) FROM pg_temp.newest;
SELECT provider, model, included FROM image_gen.explain('generate', '{"prompt": "a kettle", "style": "acme"}') WHERE model <> '' ORDER BY position;
SELECT rule, word, note FROM image_gen.lint_prompt('an animal', 'flux-2-pro', '{"style": "acme"}');
SELECT rule, word FROM image_gen.lint_prompt('an animal');

SELECT image_gen.generate('x', style => 'acme', model => 'flux-1.1-pro');
SELECT image_gen.generate('x', style => 'acme', provider_preferences => '{"blocked": ["bfl", "fal", "replicate", "openrouter", "google"]}');
SELECT image_gen.generate('x', style => 'other');
SELECT image_gen.generate(' ', style => 'acme');
SELECT image_gen.set_style('bad', models => '{flux-2-proo}');
SELECT image_gen.set_style('bad', reference_images => '{me.png}');
SELECT image_gen.drop_style('acme');
SELECT image_gen.drop_style('acme');
SELECT image_gen.generate('x', style => 'acme');
ROLLBACK;
