-- What follows a refusal by a safety filter.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.refusal_steps (
  step   image_gen.positive PRIMARY KEY,
  action text NOT NULL CHECK (action IN ('rewrite', 'switch_model', 'review', 'fail')),
  model  text COLLATE "C",
  origin image_gen.origin NOT NULL DEFAULT 'admin',
  CONSTRAINT model_to_switch_to CHECK (model IS NULL OR action = 'switch_model')
);
COMMENT ON TABLE image_gen.refusal_steps IS 'What follows a refusal by a safety filter, step by step. A refusal never moves along the route of providers by itself.';
COMMENT ON COLUMN image_gen.refusal_steps.step IS 'The order.';
COMMENT ON COLUMN image_gen.refusal_steps.action IS 'rewrite: a softer prompt, same model and seed. switch_model: another model, same seed and prompt. review: a person decides. fail: the job fails. A step that changes nothing is left out.';
COMMENT ON COLUMN image_gen.refusal_steps.model IS 'For switch_model: this one; NULL is the next one of the route. A name that does not exist is left out.';
COMMENT ON COLUMN image_gen.refusal_steps.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TABLE image_gen.rewrite_rules (
  position    image_gen.positive PRIMARY KEY,
  pattern     text NOT NULL,
  replacement text NOT NULL,
  enabled     boolean NOT NULL DEFAULT true,
  note        text,
  origin      image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.rewrite_rules IS 'Softer words for those that make safety filters nervous. All that match are applied, in order.';
COMMENT ON COLUMN image_gen.rewrite_rules.position IS 'The order. A row of an administrator takes the place of the shipped one at its position.';
COMMENT ON COLUMN image_gen.rewrite_rules.pattern IS 'A POSIX regular expression, whatever the case. \m and \M are the edges of a word.';
COMMENT ON COLUMN image_gen.rewrite_rules.replacement IS 'What stands there instead; \1 is the first group of the pattern.';
COMMENT ON COLUMN image_gen.rewrite_rules.enabled IS 'Off: left out.';
COMMENT ON COLUMN image_gen.rewrite_rules.note IS 'For people.';
COMMENT ON COLUMN image_gen.rewrite_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.refusal_steps FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();

-- A pattern that is no regular expression is refused when it is written, not when a job depends on it.
CREATE FUNCTION image_gen_internal.check_pattern() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM regexp_replace('', NEW.pattern, NEW.replacement, 'gi');
  RETURN NEW;
END $$;
CREATE TRIGGER try_pattern BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_pattern();

SELECT pg_catalog.pg_extension_config_dump('image_gen.refusal_steps', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.rewrite_rules', $$WHERE origin = 'admin'$$);

SET LOCAL search_path = image_gen, pg_temp;
