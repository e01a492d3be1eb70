-- Run once, as the superuser, in the database that POSTGRES_DB names.
CREATE EXTENSION image_gen;
UPDATE image_gen.providers p SET base_url = 'http://simulator:8080' || s.path
  FROM (VALUES ('a1111', '/a1111'), ('bfl', '/bfl'), ('comfyui', '/comfyui'), ('fal', '/fal'), ('google', '/google/v1beta'),
               ('ideogram', '/ideogram'), ('openai', '/openai/v1'), ('openrouter', '/openrouter/api/v1'),
               ('replicate', '/replicate/v1'), ('stability', '/stability')) AS s (id, path)
 WHERE p.id = s.id;
CREATE ROLE marketing LOGIN PASSWORD 'marketing' IN ROLE image_gen_user;
