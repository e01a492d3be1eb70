-- Characters, and the sheets that show them.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.characters (
  owner           regrole NOT NULL,
  name            text COLLATE "C" NOT NULL CHECK (name <> '' AND length(name) <= 100),
  description     text NOT NULL CHECK (description <> '' AND length(description) <= 8000),
  reference_image text CHECK (length(reference_image) <= 4096),
  seed            image_gen.seed NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (owner, name)
);
COMMENT ON TABLE image_gen.characters IS 'Characters that are to look the same in many images: written by create_character() and drop_character().';
COMMENT ON COLUMN image_gen.characters.owner IS 'Whose it is.';
COMMENT ON COLUMN image_gen.characters.name IS 'What character_sheet() calls it.';
COMMENT ON COLUMN image_gen.characters.description IS 'What it looks like: repeated in each prompt.';
COMMENT ON COLUMN image_gen.characters.reference_image IS 'An image of it, from which its portrait is made: a URL, asset:ID or job:gen_....';
COMMENT ON COLUMN image_gen.characters.seed IS 'The seed of all images of a sheet.';
COMMENT ON COLUMN image_gen.characters.created_at IS 'When it was made.';

CREATE TABLE image_gen.character_sheets (
  id              text COLLATE "C" PRIMARY KEY,
  owner           regrole NOT NULL,
  character_name  text COLLATE "C" NOT NULL,
  description     text NOT NULL,
  reference_image text,
  seed            image_gen.seed NOT NULL,
  expressions     text[] NOT NULL,
  arguments       image_gen.jsonb_object NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX character_sheets_character ON image_gen.character_sheets (owner, character_name, created_at);
COMMENT ON TABLE image_gen.character_sheets IS 'The sheets of character_sheet(), each with what it was asked for; its images are jobs of the batch of its id.';
COMMENT ON COLUMN image_gen.character_sheets.id IS 'sheet_ and a ULID: jobs.batch.';
COMMENT ON COLUMN image_gen.character_sheets.owner IS 'Whose it is.';
COMMENT ON COLUMN image_gen.character_sheets.character_name IS 'characters.name.';
COMMENT ON COLUMN image_gen.character_sheets.description IS 'As it was then.';
COMMENT ON COLUMN image_gen.character_sheets.reference_image IS 'As it was then.';
COMMENT ON COLUMN image_gen.character_sheets.seed IS 'As it was then.';
COMMENT ON COLUMN image_gen.character_sheets.expressions IS 'One image for each.';
COMMENT ON COLUMN image_gen.character_sheets.arguments IS 'Further arguments of generate(), the same for each image.';
COMMENT ON COLUMN image_gen.character_sheets.created_at IS 'When it was asked for first.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.characters', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.character_sheets', '');

SET LOCAL search_path = image_gen, pg_temp;
