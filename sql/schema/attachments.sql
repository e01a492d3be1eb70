-- Attached tables, and what became of their rows.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE DOMAIN image_gen.attachment_state AS text
  CONSTRAINT attachment_state_check CHECK (VALUE IN ('queued', 'written', 'refused', 'waiting', 'rejected', 'gone'));
COMMENT ON DOMAIN image_gen.attachment_state IS 'What became of a row of an attached table.';

CREATE TABLE image_gen.attachment_definitions (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  relation      regclass NOT NULL,
  relation_name text NOT NULL,
  into_column   name NOT NULL,
  asset_column  name,
  key_columns   name[] NOT NULL,
  prompt        text NOT NULL,
  arguments     image_gen.jsonb_object NOT NULL DEFAULT '{}',
  approve       boolean NOT NULL DEFAULT false,
  paused        boolean NOT NULL DEFAULT false,
  owner         regrole NOT NULL,
  created_by    regrole NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.attachment_definitions IS 'Attached tables. Read it through the view attachments.';
COMMENT ON COLUMN image_gen.attachment_definitions.id IS 'In the names of its triggers (image_gen_ID_...) and functions (image_gen_prompt_ID, ...).';
COMMENT ON COLUMN image_gen.attachment_definitions.relation IS 'The table.';
COMMENT ON COLUMN image_gen.attachment_definitions.relation_name IS 'As it was called when it was attached.';
COMMENT ON COLUMN image_gen.attachment_definitions.into_column IS 'Gets the URL; by its name when it was attached, as the other columns.';
COMMENT ON COLUMN image_gen.attachment_definitions.asset_column IS 'Gets campaign_assets.id.';
COMMENT ON COLUMN image_gen.attachment_definitions.key_columns IS 'What tells its rows apart.';
COMMENT ON COLUMN image_gen.attachment_definitions.prompt IS 'The expression, as it was written.';
COMMENT ON COLUMN image_gen.attachment_definitions.arguments IS 'Further arguments of generate(), the same for each row.';
COMMENT ON COLUMN image_gen.attachment_definitions.approve IS 'A person looks at an image before it is written back.';
COMMENT ON COLUMN image_gen.attachment_definitions.paused IS 'Rows queue nothing, and wait for backfill().';
COMMENT ON COLUMN image_gen.attachment_definitions.owner IS 'Whose jobs they are, and as whom the table is read and written.';
COMMENT ON COLUMN image_gen.attachment_definitions.created_by IS 'Who attached it.';
COMMENT ON COLUMN image_gen.attachment_definitions.created_at IS 'When.';

CREATE TABLE image_gen.attachment_entries (
  attachment    bigint NOT NULL,
  key           jsonb NOT NULL,
  state         image_gen.attachment_state NOT NULL,
  prompt_hash   bytea,
  job_id        text COLLATE "C",
  asset_id      bigint,
  error_code    text,
  error_message text,
  changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (attachment, key)
) WITH (fillfactor = 80);
CREATE INDEX attachment_entries_job ON image_gen.attachment_entries (job_id);
COMMENT ON TABLE image_gen.attachment_entries IS 'Rows of attached tables that have asked for an image. Read it through the view attachment_rows.';
COMMENT ON COLUMN image_gen.attachment_entries.attachment IS 'attachment_definitions.id. No foreign key: COPY would check it for each row.';
COMMENT ON COLUMN image_gen.attachment_entries.key IS 'The values of its key columns, as a JSON array.';
COMMENT ON COLUMN image_gen.attachment_entries.state IS 'queued: see its job. written: the row has its image. refused: not queued, see its error. waiting: for backfill(). rejected: by a reviewer. gone: the row is not there any more.';
COMMENT ON COLUMN image_gen.attachment_entries.prompt_hash IS 'SHA-256 of the prompt: the same one queues nothing.';
COMMENT ON COLUMN image_gen.attachment_entries.job_id IS 'jobs.id of its newest job.';
COMMENT ON COLUMN image_gen.attachment_entries.asset_id IS 'campaign_assets.id of what was written back last.';
COMMENT ON COLUMN image_gen.attachment_entries.error_code IS 'Why nothing was queued, for programs.';
COMMENT ON COLUMN image_gen.attachment_entries.error_message IS 'Why, for people.';
COMMENT ON COLUMN image_gen.attachment_entries.changed_at IS 'When this was written.';
SELECT pg_catalog.pg_extension_config_dump('image_gen.attachment_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.attachment_definitions_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.attachment_entries', '');

SET LOCAL search_path = image_gen, pg_temp;
