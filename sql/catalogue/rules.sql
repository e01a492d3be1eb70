-- What is shipped beside models and prices: the steps after a refusal, softer words, and which model suits what.

SET LOCAL search_path = pg_catalog, pg_temp;

INSERT INTO image_gen.refusal_steps (step, action, origin) VALUES
  (1, 'rewrite', 'catalogue'), (2, 'switch_model', 'catalogue'), (3, 'review', 'catalogue');

-- Classifiers are nervous about words that are harmless in a shop: bodies, skin, sleep, injuries, brands. What photographers say is
-- left alone: a product shot of, shot at golden hour.
INSERT INTO image_gen.rewrite_rules (position, pattern, replacement, note, origin) VALUES
  (10, '\m(a|an) (young |old |beautiful |attractive |pretty )*(woman|man|girl|boy|lady|guy|teenager|teen)\M', 'a person', 'no age, sex or looks', 'catalogue'),
  (11, '\m(young |beautiful |attractive |pretty )*(women|men|girls|boys|ladies|guys|teenagers|teens)\M', 'people', 'no age, sex or looks', 'catalogue'),
  (12, '\m(young |old |beautiful |attractive |pretty )*(woman|man|girl|boy|lady|guy|teenager|teen)\M', 'person', 'no age, sex or looks', 'catalogue'),
  (20, '\m(with )?(her |his |their )?eyes (are )?closed\M', 'calm expression', 'asleep or dead looks alike', 'catalogue'),
  (21, '\m(asleep|sleeping|unconscious)\M', 'resting', NULL, 'catalogue'),
  (30, '\m(and )?(is )?(back)?lit from behind\M', 'backlit golden hour, head and shoulders only', 'silhouettes of bodies', 'catalogue'),
  (40, '\m(bare|naked|nude|exposed) (skin|shoulders|back|legs|arms|feet|body)\M', 'simple clothing', NULL, 'catalogue'),
  (41, '\m(naked|nude|topless|undressed|lingerie|bikini)\M', 'fully clothed', NULL, 'catalogue'),
  (42, '\m(sexy|seductive|sensual|erotic|provocative)\M', 'elegant', NULL, 'catalogue'),
  (50, '\mskin\M', 'complexion', NULL, 'catalogue'),
  (51, '\m(body|bodies|anatomy|anatomical)\M', 'figure', NULL, 'catalogue'),
  (60, '\m(blood|bloody|gore|gory)\M', 'red', NULL, 'catalogue'),
  (61, '\m(kill|killing|dead|corpse|murder|wound|wounded|injured)\M', 'still', NULL, 'catalogue'),
  (62, '\m(gun|guns|rifle|pistol|weapon|weapons|knife|knives)\M', 'tool', NULL, 'catalogue'),
  (63, '\mshooting of\M|\m(shooting|shot) at\M(?! *(f/|iso|[0-9]|(an? |the )?(very )?(low|high|wide|eye|close|golden|blue|night|dawn|dusk|noon|midday|sun)))', 'picture of', NULL, 'catalogue'),
  (70, '(?c)\min the style of [A-Z][[:alpha:]]+( [A-Z][[:alpha:]]+)*', 'in a distinctive style', 'living artists', 'catalogue');

INSERT INTO image_gen.model_rules (position, rule, needs_text, photoreal, draft, stylized, editing, priority, models, reason, origin) VALUES
  (10, 'privacy',  NULL, NULL, NULL, NULL, NULL, 'privacy', '{a1111:sd-local,comfyui:sd-xl-base}', 'nothing leaves the machine', 'catalogue'),
  (20, 'editing',  NULL, NULL, NULL, NULL, true, NULL, '{flux-2-pro,gpt-image-2.6-flare,flux-kontext-pro,sd3.5-large,gemini-nano-banana-2.1}',
   'an image is there: a text-to-image call would be the wrong shape', 'catalogue'),
  (30, 'text',     true, NULL, NULL, NULL, NULL, NULL, '{gpt-image-2.6-flare,ideogram-4.5,ideogram-v2,ideogram-v3-turbo,gemini-nano-banana-2.1}',
   'legible text: FLUX and SDXL mangle anything longer than a single word', 'catalogue'),
  (40, 'draft',    NULL, NULL, true, NULL, NULL, NULL, '{sdxl-lightning,flux-schnell,flux-2-klein-4b,sd3.5-flash}',
   'a first look in less than three seconds', 'catalogue'),
  (50, 'stylized', NULL, NULL, NULL, true, NULL, NULL, '{playground-v2.5,hidream-i1-full,hidream-i1-dev,flux-2-flex}',
   'illustrations and posters: better at what is not photoreal than FLUX', 'catalogue'),
  (60, 'quality',  NULL, NULL, NULL, NULL, NULL, 'quality', '{gpt-image-2.6-sunburst,gpt-image-2.6-flare,gemini-3-pro-image,flux-2-max}', 'highest fidelity and prompt adherence', 'catalogue'),
  (61, 'control',  NULL, NULL, NULL, NULL, NULL, 'control', '{stable-image-ultra,sd3.5-large,sd-local}', 'negative prompts, style presets, guidance', 'catalogue'),
  (62, 'speed',    NULL, NULL, NULL, NULL, NULL, 'speed', '{flux-2-klein-4b,flux-schnell,flux-1.1-pro}', 'fast with strong quality', 'catalogue'),
  (63, 'variety',  NULL, NULL, NULL, NULL, NULL, 'variety', '{replicate:flux-dev,fal:flux-dev}', 'many community models beside it', 'catalogue'),
  (70, 'photoreal', NULL, true, NULL, NULL, NULL, NULL, '{flux-1.1-pro,flux-2-pro}', 'photoreal products without text, 6 to 12 seconds', 'catalogue'),
  (90, 'usual',    NULL, NULL, NULL, NULL, NULL, NULL, '{flux-1.1-pro,gpt-image-2.6-flare,stable-image-core,flux-dev,gemini-nano-banana-2.1,ideogram-4.5,sd-local,sd-xl-base}',
   'nothing special was asked for', 'catalogue');

SET LOCAL search_path = image_gen, pg_temp;
