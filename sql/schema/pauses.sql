-- What is not called for a while, because an administrator has said so.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.pauses (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider  text COLLATE "C",
  role      regrole,
  note      text,
  paused_by name NOT NULL,
  paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT provider_or_role CHECK (provider IS NULL OR role IS NULL),
  CONSTRAINT one_pause_each UNIQUE NULLS NOT DISTINCT (provider, role)
);
COMMENT ON TABLE image_gen.pauses IS 'Providers that are not called, roles whose jobs are not begun, or (both NULL) no job at all, until unpause(). Written by pause() and unpause(). For administrators.';
COMMENT ON COLUMN image_gen.pauses.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.pauses.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.pauses.role IS 'Whose jobs wait.';
COMMENT ON COLUMN image_gen.pauses.note IS 'Why.';
COMMENT ON COLUMN image_gen.pauses.paused_by IS 'The role that called pause().';
COMMENT ON COLUMN image_gen.pauses.paused_at IS 'Since when.';
SELECT pg_catalog.pg_extension_config_dump('image_gen.pauses', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.pauses_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
