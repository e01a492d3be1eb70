-- The catalogue: providers, models and list prices as published. An administrator's own rows have origin 'admin'.

INSERT INTO image_gen.providers (id, kind, priority, max_in_flight, origin) VALUES
  ('bfl',     'bfl',     10,   24,   'catalogue'),    -- 24 active tasks a key (BFL documentation)
  ('openai',  'openai',  20,   NULL, 'catalogue'),
  ('preview', 'preview', 1000, NULL, 'catalogue');

INSERT INTO image_gen.models
  (name, provider_kind, remote_name, aliases, sizes, prompt_chars, max_n, parameters, typical_seconds, best_for, origin)
VALUES
  ('flux-1.1-pro', 'bfl', 'flux-pro-1.1', '{flux-pro-1.1,black-forest-labs/flux-1.1-pro}',
   '{"free": {"min": 256, "max": 1440, "step": 32, "default": [1024, 1024]}}', NULL, 1,
   '{"seed": true}', 9, 'photoreal products without text', 'catalogue'),
  ('flux-dev', 'bfl', 'flux-dev', '{black-forest-labs/flux-dev}',
   '{"free": {"min": 256, "max": 1440, "step": 32, "default": [1024, 1024]}}', NULL, 1,
   '{"seed": true, "steps": [1, 50], "guidance": [1.5, 5]}', 7, 'drafts with control over steps and guidance', 'catalogue'),
  ('flux-2-pro', 'bfl', 'flux-2-pro', '{}',
   '{"free": {"min": 64, "max": 2048, "step": 16, "max_pixels": 4194304, "default": [1024, 1024]}}', NULL, 1,
   '{"seed": true}', 10, 'photoreal pictures, several references', 'catalogue'),
  ('gpt-image-2.6-flare', 'openai', 'gpt-image-2.6-flare', '{gpt-image,gpt-image-2.6}',
   '{"free": {"min": 480, "max": 3840, "step": 16, "min_pixels": 655360, "max_pixels": 8294400, "default": [1024, 1024]}}',
   32000, 10, '{"quality": ["low", "medium", "high", "xhigh", "max"]}', 10, 'text in the picture, prompt adherence', 'catalogue'),
  ('gpt-image-2', 'openai', 'gpt-image-2', '{}',
   '{"free": {"min": 480, "max": 3840, "step": 16, "min_pixels": 655360, "max_pixels": 8294400, "default": [1024, 1024]}}',
   32000, 10, '{"quality": ["low", "medium", "high"]}', 40, 'text in the picture', 'catalogue'),
  ('preview', 'preview', 'preview', '{}',
   '{"free": {"min": 16, "max": 2048, "step": 1, "default": [1024, 1024]}}', NULL, 10,
   '{"seed": true}', 1, 'trying image_gen without a key; marked as a preview', 'catalogue');

-- Retired names stay valid: they go to their successor with a warning. The dates are the vendor's.
INSERT INTO image_gen.models (name, provider_kind, remote_name, aliases, successor, ends_on, prompt_chars, max_n, origin) VALUES
  ('dall-e-2',         'openai', 'dall-e-2',         '{}', 'gpt-image-2.6-flare', '2026-05-12', 1000, 10, 'catalogue'),
  ('dall-e-3',         'openai', 'dall-e-3',         '{}', 'gpt-image-2.6-flare', '2026-05-12', 4000, 1,  'catalogue'),
  ('gpt-image-1',      'openai', 'gpt-image-1',      '{}', 'gpt-image-2.6-flare', '2026-10-23', 32000, 10, 'catalogue'),
  ('gpt-image-1-mini', 'openai', 'gpt-image-1-mini', '{}', 'gpt-image-2.6-flare', '2026-12-01', 32000, 10, 'catalogue'),
  ('gpt-image-1.5',    'openai', 'gpt-image-1.5',    '{chatgpt-image-latest}', 'gpt-image-2.6-flare', '2026-12-01', 32000, 10, 'catalogue');

INSERT INTO image_gen.prices (provider_kind, model, unit, quality, amount, source, origin) VALUES
  ('bfl', 'flux-1.1-pro', 'image', NULL, 0.04,  'BFL pricing page, 2026-02', 'catalogue'),
  ('bfl', 'flux-dev',     'image', NULL, 0.025, 'BFL pricing page, 2025', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'text_in_mtok',   NULL, 5.00,  'OpenAI pricing, 2026-11', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image_in_mtok',  NULL, 8.00,  'OpenAI pricing, 2026-11', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image_out_mtok', NULL, 30.00, 'OpenAI pricing, 2026-11', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image', 'low',    0.006, 'token rates x the 2.5 model''s tokens at 1024x1024, 2026-09', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image', 'medium', 0.013, 'token rates x the 2.5 model''s tokens at 1024x1024, 2026-09', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image', 'high',   0.053, 'token rates x the 2.5 model''s tokens at 1024x1024, 2026-09', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image', 'xhigh',  0.094, 'token rates x the 2.5 model''s tokens at 1024x1024, 2026-09', 'catalogue'),
  ('openai', 'gpt-image-2.6-flare', 'image', 'max',    0.211, 'token rates x the 2.5 model''s tokens at 1024x1024, 2026-09', 'catalogue'),
  ('openai', 'gpt-image-2', 'text_in_mtok',   NULL, 5.00,  'OpenAI pricing, 2026-11', 'catalogue'),
  ('openai', 'gpt-image-2', 'image_in_mtok',  NULL, 8.00,  'OpenAI pricing, 2026-11', 'catalogue'),
  ('openai', 'gpt-image-2', 'image_out_mtok', NULL, 30.00, 'OpenAI pricing, 2026-11', 'catalogue'),
  ('openai', 'gpt-image-2', 'image', 'low',    0.006, 'OpenAI pricing, 2026-05', 'catalogue'),
  ('openai', 'gpt-image-2', 'image', 'medium', 0.053, 'OpenAI pricing, 2026-05', 'catalogue'),
  ('openai', 'gpt-image-2', 'image', 'high',   0.211, 'OpenAI pricing, 2026-05', 'catalogue'),
  ('preview', 'preview', 'image', NULL, 0, 'drawn by the extension itself', 'catalogue');
