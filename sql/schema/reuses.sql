-- What was asked again within the time that reuse allows, and delivered from an earlier job.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.reuses (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id   text COLLATE "C" NOT NULL,
  owner    regrole NOT NULL,
  saved    numeric,
  currency text NOT NULL,
  metadata image_gen.jsonb_object NOT NULL,
  at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reuses_owner ON image_gen.reuses (owner, at);
COMMENT ON TABLE image_gen.reuses IS 'Calls with reuse that were given the image of an earlier job, and what that saved.';
COMMENT ON COLUMN image_gen.reuses.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.reuses.job_id IS 'jobs.id of the earlier job.';
COMMENT ON COLUMN image_gen.reuses.owner IS 'Its owner, who called.';
COMMENT ON COLUMN image_gen.reuses.saved IS 'What the earlier job was billed, or is estimated at while that is not known; NULL is unknown.';
COMMENT ON COLUMN image_gen.reuses.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.reuses.metadata IS 'Of the call that was not made.';
COMMENT ON COLUMN image_gen.reuses.at IS 'When.';
SELECT pg_catalog.pg_extension_config_dump('image_gen.reuses', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.reuses_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
