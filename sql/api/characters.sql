-- The same character in many images: a portrait, from it each expression and the whole figure, as a graph of ordinary jobs.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.create_character(name text, description text, reference_image text DEFAULT NULL, seed bigint DEFAULT NULL) RETURNS image_gen.characters
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  result image_gen.characters;
BEGIN
  IF coalesce(btrim($1), '') = '' OR length($1) > 100 THEN
    RAISE EXCEPTION 'a character needs a name of 1 to 100 characters' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example create_character(''mira'', ''a girl of ten with red braids, freckles and a green coat'').';
  ELSIF $2 IS NULL OR image_gen_internal.is_blank_prompt($2) OR length($2) > 8000 THEN
    RAISE EXCEPTION 'a character needs a description of 1 to 8000 characters' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'It is repeated in each prompt: say what must be the same in each image.';
  ELSIF $4 NOT BETWEEN 0 AND 2147483647 THEN
    RAISE EXCEPTION 'seed % is out of range', $4 USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 0 to 2147483647, or leave it out: a seed is then chosen and recorded.';
  END IF;
  PERFORM image_gen_internal.check_kept_reference('reference_image', $3);
  INSERT INTO image_gen.characters AS c (owner, name, description, reference_image, seed)
  VALUES (image_gen_internal.caller(), $1, $2, $3, coalesce($4, image_gen.derive_seed(0, image_gen_internal.new_job_id())))
  ON CONFLICT ON CONSTRAINT characters_pkey DO NOTHING
  RETURNING c.* INTO result;
  IF result.name IS NULL THEN
    RAISE EXCEPTION 'character "%" exists already', $1 USING ERRCODE = 'duplicate_object', HINT = 'Use another name, or drop_character() first: what was made of it stays.';
  END IF;
  RETURN result;
END $$;
COMMENT ON FUNCTION image_gen.create_character(text, text, text, bigint) IS
'Makes a character of the caller''s for character_sheet(). description: what must be the same in each image. reference_image: an image of it, as a URL, asset:ID or job:gen_.... seed: of all its images,
chosen and recorded when NULL. Errors: 22023 bad argument, 42710 the name is taken.';

CREATE FUNCTION image_gen.drop_character(name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM image_gen.characters c WHERE c.owner = image_gen_internal.caller() AND c.name = $1;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION image_gen.drop_character(text) IS 'Removes a character of the caller''s; returns whether there was one. Its sheets and their images stay.';

CREATE FUNCTION image_gen_internal.sheet_shots(sheet image_gen.character_sheets) RETURNS TABLE (place integer, shot text, stage text, consistency text, prompt text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The description first: models weigh the first words most.
  RETURN QUERY
  SELECT 0, 'portrait', 'portrait', CASE WHEN sheet.reference_image IS NOT NULL THEN 'strict' END,
         sheet.description || ', neutral expression, portrait of head and shoulders, facing the viewer, plain background'
  UNION ALL
  SELECT e.place::integer, e.expression, 'expression', 'strict',
         sheet.description || ', ' || e.expression || ' expression, portrait of head and shoulders, facing the viewer, plain background'
    FROM unnest(sheet.expressions) WITH ORDINALITY AS e(expression, place)
  UNION ALL
  SELECT 1 + cardinality(sheet.expressions), 'full_body', 'full_body', 'balanced', sheet.description || ', full body from head to feet, standing, neutral pose, plain background';
END $$;
COMMENT ON FUNCTION image_gen_internal.sheet_shots(image_gen.character_sheets) IS 'The images of a sheet, in the order in which they are made.';

CREATE FUNCTION image_gen_internal.sheet_jobs(sheet image_gen.character_sheets)
RETURNS TABLE (place integer, shot text, stage text, consistency text, prompt text, job_id text, job_state text, asset_id bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- An image stays when its job is pruned, and is not made again.
  RETURN QUERY
  SELECT s.place, s.shot, s.stage, s.consistency, s.prompt, coalesce(a.job_id, j.id::text), CASE WHEN a.id IS NOT NULL THEN 'succeeded' ELSE j.status::text END, a.id
    FROM image_gen_internal.sheet_shots(sheet) s
    LEFT JOIN LATERAL (SELECT c.id, c.job_id FROM image_gen.campaign_assets c WHERE c.batch = sheet.id AND c.shot = s.shot ORDER BY c.id DESC LIMIT 1) a ON true
    LEFT JOIN LATERAL (SELECT t.id, t.status FROM image_gen.jobs t WHERE t.batch = sheet.id AND t.metadata ->> 'shot' = s.shot ORDER BY t.seq DESC LIMIT 1) j ON true
   ORDER BY s.place;
END $$;
COMMENT ON FUNCTION image_gen_internal.sheet_jobs(image_gen.character_sheets) IS 'The images of a sheet, each with its last job and its asset, where there are any that the caller sees.';

CREATE FUNCTION image_gen_internal.queue_sheet(sheet image_gen.character_sheets, first boolean, cap numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  asked jsonb;
  portrait text;
  portrait_image text;
BEGIN
  IF NOT first THEN
    SELECT s.job_id, coalesce('asset:' || s.asset_id, 'job:' || s.job_id) INTO portrait, portrait_image FROM image_gen_internal.sheet_jobs(sheet) s WHERE s.stage = 'portrait';
  END IF;
  -- What is there or under way stays; what is missing, has failed or was canceled is asked for, once more.
  SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('operation', 'generate', 'label', s.shot, 'parent', CASE WHEN s.job_id IS NOT NULL THEN s.job_id WHEN NOT first THEN portrait END,
                     'relation', CASE WHEN s.job_id IS NOT NULL THEN 'rerun' END))
                   || jsonb_build_object(
                        'metadata', coalesce(sheet.arguments -> 'metadata', '{}') || jsonb_build_object('shot', s.shot),
                        'arguments', (sheet.arguments - 'metadata')
                                     || jsonb_strip_nulls(jsonb_build_object('prompt', s.prompt, 'seed', sheet.seed, 'consistency_mode', s.consistency,
                                          'reference_image', CASE WHEN first THEN sheet.reference_image ELSE portrait_image END))) ORDER BY s.place)
    INTO asked
    FROM image_gen_internal.sheet_jobs(sheet) s
   WHERE (s.stage = 'portrait') = first AND coalesce(s.job_state, 'failed') IN ('failed', 'canceled');
  IF asked IS NOT NULL THEN
    PERFORM FROM image_gen_internal.queue_derived(asked, sheet.id, cap);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.queue_sheet(image_gen.character_sheets, boolean, numeric) IS 'Queues what a sheet lacks: its portrait (first), or what is made from that.';

CREATE FUNCTION image_gen.character_sheet(name text, expressions text[] DEFAULT '{happy,sad,angry,surprised}', model text DEFAULT NULL, arguments jsonb DEFAULT NULL,
  max_cost numeric DEFAULT NULL)
RETURNS TABLE (sheet text, stage text, shot text, id text, status text, seed bigint, estimated_cost numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  same jsonb := coalesce($4, '{}');
  wanted image_gen.characters;
  found_sheet image_gen.character_sheets;
  cap numeric;
BEGIN
  IF jsonb_typeof(same) <> 'object' OR same ?| '{prompt,model,seed,reference_image,consistency_mode,n,max_cost,idempotency_key}' OR jsonb_typeof(same -> 'metadata') <> 'object' THEN
    RAISE EXCEPTION 'arguments is no object of arguments that a sheet leaves open' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example ''{"width": 1024, "height": 1024, "style": "acme"}''; prompt, seed, reference_image and consistency_mode follow from the character.';
  ELSIF coalesce(cardinality($2), 0) NOT BETWEEN 1 AND 20 OR array_position($2, NULL) IS NOT NULL OR (SELECT count(DISTINCT e) <> count(*) FROM unnest($2) e)
        OR EXISTS (SELECT FROM unnest($2) e WHERE image_gen_internal.is_blank_prompt(e) OR length(e) > 100 OR e IN ('portrait', 'full_body')) THEN
    RAISE EXCEPTION 'expressions are 1 to 20 different words of at most 100 characters' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example ''{happy,sad,"looking up, surprised"}''.';
  END IF;
  -- One session at a time, until COMMIT: two would make the same images.
  SELECT c.* INTO wanted FROM image_gen.characters c WHERE c.owner = caller AND c.name = $1 FOR NO KEY UPDATE;
  IF wanted.name IS NULL THEN
    RAISE EXCEPTION 'character "%" does not exist, or is not yours', coalesce(left($1, 100), 'NULL') USING ERRCODE = 'undefined_object',
      HINT = coalesce('There are: ' || (SELECT left(string_agg(c.name, ', ' ORDER BY c.name), 1000) FROM image_gen.characters c WHERE c.owner = caller) || '.',
                      'There is none yet: image_gen.create_character() makes one.');
  END IF;
  same := same || jsonb_strip_nulls(jsonb_build_object('model', $3));
  SELECT s.* INTO found_sheet FROM image_gen.character_sheets s
   WHERE s.owner = caller AND s.character_name = wanted.name AND s.description = wanted.description AND s.reference_image IS NOT DISTINCT FROM wanted.reference_image
     AND s.seed = wanted.seed AND s.expressions = $2 AND s.arguments = same
   ORDER BY s.created_at DESC LIMIT 1;
  IF found_sheet.id IS NULL THEN
    INSERT INTO image_gen.character_sheets AS s (id, owner, character_name, description, reference_image, seed, expressions, arguments)
    VALUES ('sheet_' || substr(image_gen_internal.new_job_id(), 5), caller, wanted.name, wanted.description, wanted.reference_image, wanted.seed, $2, same)
    RETURNING s.* INTO found_sheet;
    cap := $5;
  END IF;
  PERFORM image_gen_internal.queue_sheet(found_sheet, true, cap);
  PERFORM image_gen_internal.queue_sheet(found_sheet, false, NULL);
  RETURN QUERY
  SELECT found_sheet.id, s.stage, s.shot, s.job_id, s.job_state, found_sheet.seed::bigint, j.estimated_cost
    FROM image_gen_internal.sheet_jobs(found_sheet) s LEFT JOIN image_gen.jobs j ON j.id = s.job_id ORDER BY s.place;
END $$;
COMMENT ON FUNCTION image_gen.character_sheet IS
'Queues the sheet of a character of the caller''s, all or none: a portrait, from it each of the expressions (reference_image, consistency_mode strict) and a full body (balanced), with one seed and the
description in each prompt; returns a row for each image. What needs the portrait waits for it. The same call once more queues only what is missing, has failed or was canceled. arguments: others of
generate(), by name, for all of them. max_cost: USD for the whole sheet, however often it goes on; that of its first call counts. sheet_report() says how it stands. Errors: 42704 no such character, 22023, and those of generate().';

CREATE FUNCTION image_gen_internal.cosine_distance(one double precision[], other double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF cardinality(one) IS DISTINCT FROM cardinality(other) THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT 1 - sum(a.x * b.x) / nullif(sqrt(sum(a.x * a.x)) * sqrt(sum(b.x * b.x)), 0)
            FROM unnest(one) WITH ORDINALITY AS a(x, n) JOIN unnest(other) WITH ORDINALITY AS b(x, n) USING (n));
END $$;
COMMENT ON FUNCTION image_gen_internal.cosine_distance(double precision[], double precision[]) IS '0 for the same direction, 2 for the opposite one; NULL where it is none.';

CREATE FUNCTION image_gen_internal.image_distance(one bytea, other bytea, OUT measured_by text, OUT distance numeric, OUT note text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  named text := nullif(current_setting('image_gen.embedding_function', true), '');
  embedding regprocedure := to_regprocedure(named || '(bytea)');
  first double precision[];
  second double precision[];
BEGIN
  IF one IS NULL OR other IS NULL THEN
    note := 'not measured: the bytes of both images are needed, see image_gen.keep_bytes';
    RETURN;
  END IF;
  IF named IS NOT NULL AND embedding IS NULL THEN
    note := format('not measured: there is no function %s(bytea)', named);
    RETURN;
  ELSIF named IS NOT NULL THEN
    -- As the caller, and whatever it does the report goes on.
    BEGIN
      EXECUTE format('SELECT %1$s($1)::pg_catalog.float8[], %1$s($2)::pg_catalog.float8[]', embedding::regproc) INTO first, second USING one, other;
      distance := round(image_gen_internal.cosine_distance(first, second)::numeric, 4);
      measured_by := CASE WHEN distance IS NOT NULL THEN named END;
      note := CASE WHEN distance IS NULL THEN 'not measured: the embeddings cannot be compared' END;
    EXCEPTION WHEN OTHERS THEN
      note := format('not measured: %s: %s', named, SQLERRM);
    END;
    RETURN;
  END IF;
  BEGIN
    distance := round(bit_count((image_gen_internal.perceptual_hash(one) # image_gen_internal.perceptual_hash(other))::bit(64)) / 64.0, 4);
    measured_by := 'perceptual_hash';
    note := 'how alike the images are as a whole: no face is compared';
  EXCEPTION WHEN invalid_parameter_value THEN
    note := 'not measured: ' || SQLERRM;
  END;
END $$;
COMMENT ON FUNCTION image_gen_internal.image_distance(bytea, bytea) IS
'How far two images are apart, from 0, and by what that was measured: the function of image_gen.embedding_function, else perceptual_hash. NULL where it cannot be measured, and why.';

CREATE FUNCTION image_gen.sheet_report(sheet text)
RETURNS TABLE (stage text, shot text, id text, status text, error_code text, asset_id bigint, url text, model text, seed bigint, billed_cost numeric, consistency_mode text,
               measured_by text, distance numeric, note text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  of_sheet image_gen.character_sheets;
BEGIN
  SELECT s.* INTO of_sheet FROM image_gen.character_sheets s WHERE s.id = $1;
  IF of_sheet.id IS NULL THEN
    RAISE EXCEPTION 'sheet "%" does not exist, or is not yours', coalesce(left($1, 100), 'NULL') USING ERRCODE = 'undefined_object',
      HINT = 'SELECT id, character_name, expressions FROM image_gen.character_sheets lists yours.';
  END IF;
  RETURN QUERY
  WITH images AS MATERIALIZED (
    SELECT s.*, j.error_code, a.url, coalesce(a.model, j.model) AS model, coalesce(a.seed, j.seed::bigint) AS seed, coalesce(a.billed_cost, j.billed_cost) AS billed_cost,
           image_gen.asset_bytes(a.id) AS bytes
      FROM image_gen_internal.sheet_jobs(of_sheet) s
      LEFT JOIN LATERAL (SELECT t.* FROM image_gen.jobs t WHERE t.id = s.job_id OFFSET 0) j ON true
      LEFT JOIN LATERAL (SELECT c.* FROM image_gen.campaign_assets c WHERE c.id = s.asset_id OFFSET 0) a ON true
  )
  SELECT i.stage, i.shot, i.job_id, i.job_state, i.error_code, i.asset_id, i.url, i.model, i.seed, i.billed_cost::numeric, i.consistency, d.measured_by, d.distance,
         coalesce(d.note, CASE WHEN i.job_id IS NULL THEN 'missing: character_sheet() queues it' WHEN i.job_state IN ('failed', 'canceled') THEN 'character_sheet() queues it once more' END)
    FROM images i
    LEFT JOIN images p ON p.stage = 'portrait'
    LEFT JOIN LATERAL image_gen_internal.image_distance(p.bytes, i.bytes) d ON i.stage <> 'portrait' AND i.asset_id IS NOT NULL
   ORDER BY i.place;
END $$;
COMMENT ON FUNCTION image_gen.sheet_report(text) IS
'How a sheet of character_sheet() stands: a row for each image, with its distance from the portrait, 0 where they are alike, and by what that was measured (measured_by): the function that the superuser
names in image_gen.embedding_function (cosine distance), else perceptual_hash (the part of 64 bits that differ), which sees the image as a whole and no face. NULL, with a note, where it was not
measured. Error 42704.';

SET LOCAL search_path = image_gen, pg_temp;
