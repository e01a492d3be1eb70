-- The styles that requests name.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.check_kept_reference(argument text, reference text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF reference !~ '^(asset:[1-9][0-9]{0,17}|job:gen_[0-9A-Z]{26}|https?://[^ ]+)$' OR length(reference) > 4096 THEN
    RAISE EXCEPTION '%: ''%'' is no image that can be kept by its name', argument, left(reference, 80) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give an https URL, ''asset:ID'' of a row in campaign_assets, or ''job:gen_...''.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_kept_reference(text, text) IS 'An error for an image that a row cannot keep: one that came along as a data: URI.';

-- Not PL/pgSQL: it becomes part of the queries that use it.
CREATE FUNCTION image_gen_internal.usable_styles(caller regrole) RETURNS SETOF image_gen.styles
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT s.* FROM image_gen.styles s WHERE s.owner = caller OR pg_has_role(caller, s.owner::oid, 'member');
END;
COMMENT ON FUNCTION image_gen_internal.usable_styles(regrole) IS 'The styles that a role may use: its own, and those of roles that it is a member of.';

CREATE FUNCTION image_gen_internal.find_styles(caller regrole, names text[]) RETURNS TABLE (name text, style text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  missing text;
  others text;
BEGIN
  RETURN QUERY
  SELECT DISTINCT ON (s.name) s.name,
         jsonb_strip_nulls(jsonb_build_object('name', s.name, 'prefix', s.prefix, 'suffix', s.suffix, 'negative', s.negative, 'palette', s.palette,
                                              'reference_images', s.reference_images, 'models', s.models))::text
    FROM image_gen_internal.usable_styles(caller) s
   WHERE s.name = ANY (names)
   ORDER BY s.name, s.owner = caller DESC, image_gen_internal.role_name(s.owner);
  SELECT n INTO missing FROM unnest(names) n WHERE NOT EXISTS (SELECT FROM image_gen_internal.usable_styles(caller) s WHERE s.name = n) LIMIT 1;
  IF FOUND THEN
    SELECT string_agg(DISTINCT s.name, ', ') INTO others FROM image_gen_internal.usable_styles(caller) s;
    RAISE EXCEPTION 'style "%" does not exist', left(missing, 100) USING ERRCODE = 'invalid_parameter_value',
      HINT = coalesce('There are: ' || left(others, 1000) || '.', 'There is none yet: image_gen.set_style() makes one.');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.find_styles(regrole, text[]) IS 'Styles that a role may use, by name, each as JSON; its own come before those of roles that it is a member of. An error (22023) for one that is not there.';

SET LOCAL search_path = image_gen, pg_temp;
