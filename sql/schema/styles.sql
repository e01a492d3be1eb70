-- Styles: what a brand adds to each of its prompts.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.styles (
  owner            regrole NOT NULL,
  name             text COLLATE "C" NOT NULL CHECK (name <> '' AND length(name) <= 100),
  prefix           text CHECK (length(prefix) <= 4000),
  suffix           text CHECK (length(suffix) <= 4000),
  negative         text CHECK (length(negative) <= 4000),
  palette          text CHECK (length(palette) <= 4000),
  reference_images text[] NOT NULL DEFAULT '{}' CHECK (cardinality(reference_images) <= 16 AND array_position(reference_images, NULL) IS NULL),
  models           text[] NOT NULL DEFAULT '{}' CHECK (cardinality(models) <= 100 AND array_position(models, NULL) IS NULL),
  changed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (owner, name)
);
COMMENT ON TABLE image_gen.styles IS
'What style => ''name'' adds to a request: written by set_style() and drop_style(). A role uses its own styles, and those of roles that it is a member of; its own come first. What a job used of its style is
in jobs.parameters, so that a change here changes no earlier job, nor what is made again from one.';
COMMENT ON COLUMN image_gen.styles.owner IS 'Whose it is.';
COMMENT ON COLUMN image_gen.styles.name IS 'What requests call it.';
COMMENT ON COLUMN image_gen.styles.prefix IS 'Words before the prompt.';
COMMENT ON COLUMN image_gen.styles.suffix IS 'Words after it.';
COMMENT ON COLUMN image_gen.styles.negative IS 'What should not be in the image, beside what the caller says.';
COMMENT ON COLUMN image_gen.styles.palette IS 'Its colors, as a prompt names them.';
COMMENT ON COLUMN image_gen.styles.reference_images IS 'Images to look at, after those of the caller: URLs, asset:ID or job:gen_....';
COMMENT ON COLUMN image_gen.styles.models IS 'The only models that may be used, by name, alias or provider:model, the first to be tried first; empty is any.';
COMMENT ON COLUMN image_gen.styles.changed_at IS 'When it was set last.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.styles', '');

SET LOCAL search_path = image_gen, pg_temp;
