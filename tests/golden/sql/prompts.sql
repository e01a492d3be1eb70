-- Prompts built and looked over, and what everyday requests ask for: all without spending (S15, S27, S39, S40, S73 to S76, S101 to S109, S116 to S121).
BEGIN;
\set ON_ERROR_ROLLBACK on
CREATE ROLE image_gen_regress_user;
GRANT image_gen_user TO image_gen_regress_user;
SET ROLE image_gen_regress_user;

-- The subject first; what is left to the model is named.
SELECT * FROM image_gen.build_prompt('a red panda sitting on a mossy branch');
SELECT prompt, missing, advice FROM image_gen.build_prompt(' A  cozy cabin in the mountains. ', style => 'photorealistic,', composition => 'wide establishing shot', lighting => 'golden hour',
  atmosphere => 'serene', palette => 'amber, pine green', details => 'smoke from the chimney', words => '"Bean There"');
SELECT * FROM image_gen.build_prompt(E' \n');
SELECT * FROM image_gen.build_prompt(NULL);

-- Words that make filters nervous, whatever the model.
SELECT * FROM image_gen.lint_prompt('a woman wearing the headphones, eyes closed, lit from behind');
SELECT count(*) FROM image_gen.lint_prompt('studio product shot of matte black over-ear headphones on a brushed concrete plinth');
-- Useful ranges (S39, S40): 2.5 to 5 and 20 to 40, edges included.
SELECT p AS parameters, l.rule, l.word, l.softer, l.note
  FROM unnest(ARRAY['{"guidance": 2.4}', '{"guidance": 2.5}', '{"guidance": 5}', '{"guidance": 5.1}', '{"steps": 19}', '{"steps": 20}', '{"steps": 40}', '{"steps": 41}', '{"guidance": 3.5, "steps": 28}']) p
  LEFT JOIN LATERAL image_gen.lint_prompt('matte black headphones on a plinth', 'flux-dev', p::jsonb) l ON l.rule IN ('guidance', 'steps');
-- Text on models that mangle it (S15), and what a model does not take (S27).
SELECT m AS model, l.rule, l.softer, l.note FROM unnest('{flux-1.1-pro,gpt-image-2,ideogram-4.5}'::text[]) m
  LEFT JOIN LATERAL image_gen.lint_prompt('a shop sign that says "Bean There Coffee"', m, '{"negative_prompt": "blur"}') l ON true;
SELECT rule, note FROM image_gen.lint_prompt('a cat', 'flux-1.1-pro', '{"width": 99999, "height": 10}');
SELECT rule, left(note, 60) AS note FROM image_gen.lint_prompt(repeat('long ', 8000), 'flux-1.1-pro');
-- A sheet from seeds alone (S73), with and without an image; more than two approvers (S76); regulated (S75); not specific.
SELECT l.* FROM unnest(ARRAY['{"seed": 7}', '{"seed": 7, "reference_image": "asset:1"}', '{"reference_image": null}']) p CROSS JOIN LATERAL image_gen.lint_prompt('character sheet of the same girl in six poses', NULL, p::jsonb) l
 WHERE l.rule = 'character_by_seed';
SELECT rule, word FROM image_gen.lint_prompt('poster', NULL, '{"approvers": 3}');
SELECT rule, word FROM image_gen.lint_prompt('a chest x-ray shown by a senator');
SELECT rule, word FROM image_gen.lint_prompt('An animal.');
SELECT * FROM image_gen.lint_prompt('x', 'no-such-model');
SELECT * FROM image_gen.lint_prompt('x', NULL, '[]');
-- Rules are rows: an administrator's take the place of the shipped ones.
RESET ROLE;
INSERT INTO image_gen.lint_rules (position, rule, pattern, message) VALUES (20, 'house', '\macme\M', 'ours is written ACME');
SELECT rule, word, note FROM image_gen.lint_prompt('acme headphones on a plinth', 'flux-dev', '{"guidance": 9}') WHERE rule IN ('house', 'guidance');
INSERT INTO image_gen.lint_rules (position, rule, pattern, message) VALUES (200, 'broken', '(', 'x');
SET ROLE image_gen_regress_user;

-- The seven requests of the skill, with the phrase that decides.
SELECT c.operation, c.arguments, c.needs, c.rule, c.phrase
  FROM unnest(ARRAY[
    'Generate a photorealistic image of a cozy cabin in the mountains at sunset.',
    'Create a professional logo for a coffee shop called ''Bean There'' - vector illustration style, clean lines.',
    'Edit this photo: make the sky more dramatic with storm clouds.',
    'Remove the person from the background of this product photo.',
    'Upscale this thumbnail to 4x resolution for print.',
    'Show me 3 variations of this hero image with different color palettes.',
    'Generate a 16:9 cinematic landscape of a neon-lit Tokyo street at night in the rain.']) WITH ORDINALITY r(request, place)
 CROSS JOIN LATERAL image_gen.classify_request(r.request) c ORDER BY r.place;
-- More phrasings. No rows: each is what it should be.
CREATE TEMP TABLE phrasings (expected text, request text);
INSERT INTO phrasings VALUES
  ('generate', 'draw me a fox in the snow'), ('generate', 'Please imagine a city on Mars'), ('generate', 'Could you create an image of a sailing ship at dawn?'),
  ('generate', 'paint a bowl of lemons in watercolor'), ('generate', 'I need a picture of a lighthouse'), ('generate', 'a bowl of ramen, steam rising'),
  ('generate', 'Design a poster for a jazz night in the style of the 1950s'), ('generate', 'Create a man removing his hat'), ('generate', 'render a high-resolution wallpaper of mountains'),
  ('generate', 'Generate an illustration of an expanding universe'), ('generate', 'can you sketch a robot that changes a tire'), ('generate', 'visualise the new office kitchen'),
  ('generate', 'We want to create a 4k desktop background with dunes'), ('generate', 'illustrate a child who extends a hand'), ('generate', 'make me an icon of a paper plane'),
  ('edit img2img', 'Change the background of this picture to a beach'), ('edit img2img', 'modify my photo so it looks like winter'), ('edit img2img', 'Transform this sketch into a realistic photo'),
  ('edit img2img', 'make it night'), ('edit img2img', 'Make the sky more dramatic'), ('edit img2img', 'turn this photo into a cartoon'), ('edit img2img', 'adjust the colors, they are too cold'),
  ('edit img2img', 'Add a red scarf to the snowman'), ('edit img2img', 'convert it to black and white'), ('edit img2img', 'recolor the jacket in blue'), ('edit img2img', 'put a hat on him'),
  ('edit img2img', 'swap the sofa for an armchair'), ('edit img2img', 'brighten the picture a little'),
  ('edit inpaint', 'Remove the lamp post behind her'), ('edit inpaint', 'erase the logo on the cup'), ('edit inpaint', 'Fill in the empty corner with grass'), ('edit inpaint', 'fix this area, it is smudged'),
  ('edit inpaint', 'get rid of the tourists'), ('edit inpaint', 'take out the watermark'), ('edit inpaint', 'fix the hands'), ('edit inpaint', 'clean up the scratches on the old photo'),
  ('edit inpaint', 'inpaint the masked region'), ('edit inpaint', 'replace this area with a window'), ('edit inpaint', 'delete the car on the left'),
  ('edit outpaint', 'Extend the borders of the picture'), ('edit outpaint', 'expand the image to the left'), ('edit outpaint', 'outpaint this to 16:9'), ('edit outpaint', 'zoom out a bit so that we see the whole house'),
  ('edit outpaint', 'uncrop it'), ('edit outpaint', 'add more space above for a headline'), ('edit outpaint', 'continue the scene beyond the frame'), ('edit outpaint', 'widen the shot'),
  ('upscale 2', 'Make it higher resolution'), ('upscale 2', 'make this sharper'), ('upscale 2', 'enlarge the thumbnail'), ('upscale 4', 'quadruple the resolution'), ('upscale 4', 'upscale to 4K'),
  ('upscale 2', 'sharpen it'), ('upscale 2', 'double the resolution please'), ('upscale 4', 'I want it 4x larger'), ('upscale 2', 'increase the resolution of the logo'),
  ('variate 3', 'show me alternatives'), ('variate 3', 'give me variations of this'), ('variate 4', 'four versions of this poster please'), ('variate 5', '5 different options'), ('variate 3', 'more like this'),
  ('variate 2', 'I''d like to see a couple of takes'), ('variate 3', 'Create variations of this image'), ('variate 2', 'two alternative versions of the banner'),
  ('transfer_style', 'Make it look like this style'), ('transfer_style', 'apply this style to my photo'), ('transfer_style', 'restyle the portrait'), ('transfer_style', 'transfer the style of the second image'),
  ('transfer_style', 'make my photo look like that painting'), ('transfer_style', 'use the same look for this picture'), ('transfer_style', 'match the aesthetic of the reference'),
  ('generate strict', 'The same character but laughing'), ('generate strict', 'same person in a different pose'), ('generate strict', 'draw the same girl on a bicycle'), ('generate strict', 'this character with an angry expression'),
  ('generate strict', 'my mascot in a new outfit'),
  ('character_sheet', 'Generate a character sheet for a space pirate'), ('character_sheet', 'I want an expression sheet of her'), ('character_sheet', 'create a turnaround sheet');
SELECT count(*) >= 60 AS sixty, count(DISTINCT expected) AS kinds FROM phrasings;
SELECT p.expected, concat_ws(' ', c.operation, coalesce(c.arguments ->> 'mode', c.arguments ->> 'scale', c.arguments ->> 'n', c.arguments ->> 'consistency_mode')) AS found, c.rule, c.phrase, p.request
  FROM phrasings p CROSS JOIN LATERAL image_gen.classify_request(p.request) c
 WHERE p.expected <> concat_ws(' ', c.operation, coalesce(c.arguments ->> 'mode', c.arguments ->> 'scale', c.arguments ->> 'n', c.arguments ->> 'consistency_mode'));
-- The phrase is in the request; where none decides it is NULL.
SELECT count(*) FROM phrasings p CROSS JOIN LATERAL image_gen.classify_request(p.request) c WHERE position(c.phrase IN p.request) = 0;
SELECT * FROM image_gen.classify_request('a bowl of ramen');
SELECT * FROM image_gen.classify_request(NULL);
ROLLBACK;
