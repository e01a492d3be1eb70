-- Styles: what a brand adds to each of its prompts.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.set_style(name text, prefix text DEFAULT NULL, suffix text DEFAULT NULL, negative text DEFAULT NULL, palette text DEFAULT NULL,
  reference_images text[] DEFAULT NULL, models text[] DEFAULT NULL)
RETURNS image_gen.styles
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  bad text;
  result image_gen.styles;
BEGIN
  IF coalesce(btrim($1), '') = '' OR length($1) > 100 THEN
    RAISE EXCEPTION 'a style needs a name of 1 to 100 characters' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example image_gen.set_style(''acme'', prefix => ''studio photograph of'').';
  END IF;
  SELECT p.part INTO bad FROM (VALUES ('prefix', $2), ('suffix', $3), ('negative', $4), ('palette', $5)) p(part, words) WHERE length(p.words) > 4000 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'the % of a style has more than 4000 characters', bad USING ERRCODE = 'invalid_parameter_value', HINT = 'It is added to each prompt: shorten it.';
  ELSIF cardinality($6) > 16 OR cardinality($7) > 100 OR array_position($6, NULL) IS NOT NULL OR array_position($7, NULL) IS NOT NULL THEN
    RAISE EXCEPTION 'a style has at most 16 reference_images and 100 models, and none that is NULL' USING ERRCODE = 'invalid_parameter_value', HINT = 'Name the most important.';
  END IF;
  PERFORM image_gen_internal.check_kept_reference('reference_images', r.reference) FROM unnest($6) AS r(reference);
  -- A name that does not exist is said now, and not by each request.
  PERFORM image_gen_internal.resolve_model(m.name) FROM unnest($7) AS m(name);
  INSERT INTO image_gen.styles AS s (owner, name, prefix, suffix, negative, palette, reference_images, models)
  VALUES (image_gen_internal.caller(), $1, nullif($2, ''), nullif($3, ''), nullif($4, ''), nullif($5, ''), coalesce($6, '{}'), coalesce($7, '{}'))
  ON CONFLICT ON CONSTRAINT styles_pkey DO UPDATE
     SET prefix = excluded.prefix, suffix = excluded.suffix, negative = excluded.negative, palette = excluded.palette, reference_images = excluded.reference_images,
         models = excluded.models, changed_at = excluded.changed_at
  RETURNING s.* INTO result;
  RETURN result;
END $$;
COMMENT ON FUNCTION image_gen.set_style IS
'Makes a style of the caller''s, or changes all of it: style => ''name'' puts prefix and suffix around the prompt, adds negative to the negative_prompt, the palette as words, and reference_images after those of the
request; models are the only ones that may be used. The prompt that results is what the job has. Errors: 22023 bad argument, 42704 unknown model.';

CREATE FUNCTION image_gen.drop_style(name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM image_gen.styles s WHERE s.owner = image_gen_internal.caller() AND s.name = $1;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION image_gen.drop_style(text) IS 'Removes a style of the caller''s; returns whether there was one. Jobs keep what they had of it.';

CREATE FUNCTION image_gen.styled_prompt(prompt text, style text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT image_gen_internal.styled_prompt($1, f.style) FROM image_gen_internal.find_styles(image_gen_internal.caller(), ARRAY[$2]) f);
END $$;
COMMENT ON FUNCTION image_gen.styled_prompt(text, text) IS 'The prompt that a job with this style has. Error 22023 for a style that does not exist.';

SET LOCAL search_path = image_gen, pg_temp;
