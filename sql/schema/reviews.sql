-- What a person decides.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.reviews (
  job_id      text COLLATE "C" PRIMARY KEY REFERENCES image_gen.jobs ON DELETE CASCADE,
  claimed_by  regrole,
  claimed_at  timestamptz,
  action      text,
  note        text,
  resolved_by name,
  resolved_at timestamptz
);
COMMENT ON TABLE image_gen.reviews IS 'Who looks at which job, and what came of it. Written by claim_review() and resolve_review().';
COMMENT ON COLUMN image_gen.reviews.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.reviews.claimed_by IS 'Who looks at it.';
COMMENT ON COLUMN image_gen.reviews.claimed_at IS 'Since when.';
COMMENT ON COLUMN image_gen.reviews.action IS 'What was decided last.';
COMMENT ON COLUMN image_gen.reviews.note IS 'Why, in the reviewer''s words.';
COMMENT ON COLUMN image_gen.reviews.resolved_by IS 'Who decided.';
COMMENT ON COLUMN image_gen.reviews.resolved_at IS 'When.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.reviews', '');

SET LOCAL search_path = image_gen, pg_temp;
