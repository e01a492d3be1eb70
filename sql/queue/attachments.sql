-- Image columns that fill themselves: rows of an attached table queue their images in the transaction that writes them, and
-- get the image's URL and id back.
--
-- attach() makes ordinary objects that belong to the table's owner and depend on the table: triggers, and three SQL functions whose
-- bodies are parsed (BEGIN ATOMIC), so that a column can be renamed, and a dump knows all of it. What runs as the superuser
-- never evaluates any of them: prompts are made (src/attach.rs), and images are written back (queue/callbacks.sql), as the owner.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Copies a row, where there is room for a thousand; what is collected is queued at the end of the statement.
CREATE FUNCTION image_gen.attached_row() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'image_gen_attached_row';
COMMENT ON FUNCTION image_gen.attached_row() IS 'The trigger of attach() for a row that is new, or whose columns in the prompt have changed.';
CREATE FUNCTION image_gen.attached_statement() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'image_gen_attached_statement';
COMMENT ON FUNCTION image_gen.attached_statement() IS 'The trigger of attach() that queues what a statement has collected.';

CREATE FUNCTION image_gen_internal.attachment_function(of_id bigint, what text, argument oid, OUT function oid, OUT called text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- By what it takes, and whose it is: the table and its schema may have been renamed.
  SELECT p.oid, format('%I.%I', n.nspname, p.proname) INTO function, called
    FROM image_gen.attachment_definitions d
    JOIN pg_proc p ON p.proname = format('image_gen_%s_%s', what, d.id) AND p.proowner = d.owner AND p.prokind = 'f' AND NOT p.proretset
                  AND p.pronargs = 1 AND p.proargtypes[0] = argument
    JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE d.id = of_id ORDER BY p.oid LIMIT 1;
END $$;
COMMENT ON FUNCTION image_gen_internal.attachment_function(bigint, text, oid) IS
'A function of an attachment (row, prompt or store) that takes this type and belongs to the attachment''s owner, and its quoted name; NULL where there is none.';

CREATE FUNCTION image_gen_internal.attachment_problem(d image_gen.attachment_definitions) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  rowtype oid := (SELECT c.reltype FROM pg_class c WHERE c.oid = d.relation);
  role record;
  missing text;
BEGIN
  SELECT r.rolname, r.rolsuper INTO role FROM pg_roles r WHERE r.oid = d.owner;
  IF rowtype IS NULL THEN
    RETURN format('table %s was dropped', d.relation_name);
  ELSIF role.rolname IS NULL THEN
    RETURN format('its owner (oid %s) was dropped', d.owner::oid);
  ELSIF role.rolsuper THEN
    RETURN format('its owner %s is a superuser, and nothing runs with such rights', role.rolname);
  ELSIF NOT has_function_privilege(d.owner, 'image_gen.generate'::regproc, 'EXECUTE') THEN
    RETURN format('its owner %s is no member of image_gen_user', role.rolname);
  END IF;
  SELECT string_agg(f.what, ', ') INTO missing
    FROM (VALUES ('row', rowtype), ('prompt', rowtype), ('store', 'jsonb'::regtype::oid)) AS f(what, argument)
   WHERE (image_gen_internal.attachment_function(d.id, f.what, f.argument)).function IS NULL;
  IF missing IS NOT NULL THEN
    RETURN format('its functions (%s) are gone, with a column that they need, or belong to another role: attach the table again', missing);
  END IF;
  SELECT string_agg(t.name, ', ') INTO missing
    FROM (VALUES ('new'), ('changed'), ('statement')) AS t(name)
   WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = d.relation AND g.tgname = format('image_gen_%s_%s', d.id, t.name) AND g.tgenabled <> 'D');
  IF missing IS NOT NULL THEN
    RETURN format('its triggers (%s) are gone or disabled: attach the table again', missing);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.attachment_problem(image_gen.attachment_definitions) IS 'Why an attachment does not work; NULL where it does.';

CREATE FUNCTION image_gen_internal.attachment_plan(of_id bigint, leaf oid, OUT owner oid, OUT arguments text, OUT paused boolean, OUT root text,
                                           OUT element oid, OUT row_function text, OUT prompt_function text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d image_gen.attachment_definitions;
  of_rows record;
  of_prompts record;
  able oid;
BEGIN
  SELECT s.* INTO d FROM image_gen.attachment_definitions s WHERE s.id = of_id;
  -- Any role may make a trigger of ours on a table of its own: only the attached table and its partitions count.
  IF d.id IS NULL OR NOT (d.relation = leaf OR d.relation IN (SELECT a.relid FROM pg_partition_ancestors(leaf) a)) THEN
    RETURN;
  END IF;
  SELECT r.oid INTO able FROM pg_roles r
   WHERE r.oid = d.owner AND NOT r.rolsuper AND has_function_privilege(r.oid, 'image_gen.generate'::regproc, 'EXECUTE');
  SELECT c.reltype, format('%I.%I', n.nspname, c.relname) INTO element, root FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = d.relation;
  of_rows := image_gen_internal.attachment_function(of_id, 'row', element);
  of_prompts := image_gen_internal.attachment_function(of_id, 'prompt', element);
  SELECT c.reltype INTO element FROM pg_class c WHERE c.oid = leaf;
  IF able IS NULL OR of_rows.called IS NULL OR of_prompts.called IS NULL THEN
    RETURN;
  END IF;
  owner := d.owner;
  arguments := d.arguments::text;
  paused := d.paused;
  row_function := of_rows.called;
  prompt_function := of_prompts.called;
END $$;
COMMENT ON FUNCTION image_gen_internal.attachment_plan(bigint, oid) IS
'How the rows of a table (leaf: the attached one, or a partition of it) are made into jobs. owner is NULL where they are not: see _attachment_problem().';

CREATE FUNCTION image_gen_internal.attachment_before(of_id bigint, keys jsonb[]) RETURNS TABLE (number integer, prompt_hash bytea, state text, job_id text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT k.n::integer, e.prompt_hash, e.state::text, e.job_id
    FROM unnest(keys) WITH ORDINALITY AS k(key, n)
   CROSS JOIN LATERAL (SELECT s.* FROM image_gen.attachment_entries s WHERE s.attachment = of_id AND s.key = k.key OFFSET 0) e;
END $$;
COMMENT ON FUNCTION image_gen_internal.attachment_before(bigint, jsonb[]) IS 'What is known of rows, each by its number from 1.';

CREATE FUNCTION image_gen_internal.note_attached(of_id bigint, keys jsonb[], states text[], hashes bytea[], jobs text[], codes text[], messages text[], replaced text[], reused boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.attachment_entries AS e (attachment, key, state, prompt_hash, job_id, error_code, error_message)
  SELECT of_id, i.key, i.state, i.hash, i.job, i.code, i.message
    -- The same row may be changed twice before it is looked at.
    FROM (SELECT DISTINCT ON (u.key) u.* FROM unnest(keys, states, hashes, jobs, codes, messages) WITH ORDINALITY AS u(key, state, hash, job, code, message, n)
           ORDER BY u.key, u.n DESC) i
  ON CONFLICT ON CONSTRAINT attachment_entries_pkey DO UPDATE
     SET state = excluded.state, prompt_hash = excluded.prompt_hash, job_id = coalesce(excluded.job_id, e.job_id),
         error_code = excluded.error_code, error_message = excluded.error_message, changed_at = clock_timestamp();
  -- What no row wants any more is not rendered.
  PERFORM image_gen_internal.cancel_job(r.id) FROM unnest(replaced) AS r(id)
    WHERE NOT EXISTS (SELECT FROM image_gen.attachment_entries e WHERE e.job_id = r.id AND e.state = 'queued');
  IF reused THEN
    -- An image that is there already has no end of a job to come.
    INSERT INTO image_gen_internal.callback_queue (hook, job_id, key, status, awaits_approval)
    SELECT h.id, j.id, e.key, j.status, d.approve
      FROM unnest(keys, jobs) AS i(key, job)
      JOIN image_gen.attachment_entries e ON e.attachment = of_id AND e.key = i.key AND e.job_id = i.job AND e.state = 'queued'
      JOIN image_gen.jobs j ON j.id = i.job AND j.status = 'succeeded'
      JOIN image_gen.attachment_definitions d ON d.id = of_id
      JOIN image_gen.finish_hooks h ON h.attachment = d.id;
    PERFORM image_gen_internal.tell_worker('callbacks');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.note_attached(bigint, jsonb[], text[], bytea[], text[], text[], text[], text[], boolean) IS
'Writes down what became of rows, calls off the jobs that they have replaced, and (reused) writes images that are there already back.';

CREATE FUNCTION image_gen_internal.check_attachment(wanted bigint) RETURNS image_gen.attachment_definitions
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  d image_gen.attachment_definitions;
BEGIN
  SELECT s.* INTO d FROM image_gen.attachment_definitions s
   WHERE s.id = wanted
     AND (pg_has_role(caller, 'image_gen_admin', 'member')
          OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = s.owner AND pg_has_role(caller, r.oid, 'member'))
          OR EXISTS (SELECT FROM pg_class c WHERE c.oid = s.relation AND pg_has_role(caller, c.relowner, 'usage')));
  IF d.id IS NULL THEN
    RAISE EXCEPTION 'attachment % does not exist, or is not yours', coalesce(wanted::text, 'NULL') USING ERRCODE = 'undefined_object',
      HINT = 'SELECT id, relation, into_column FROM image_gen.attachments lists yours.';
  END IF;
  RETURN d;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_attachment(bigint) IS 'An attachment that the caller may change: its owner''s members, the table''s owner, administrators. Else error 42704.';

CREATE FUNCTION image_gen_internal.define_attachment(relation regclass, expression text, into_column name, asset_column name, key_columns name[], arguments jsonb, approve boolean,
                                             owner regrole) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  defined bigint;
  hook bigint;
BEGIN
  IF NOT pg_has_role(caller, (SELECT c.relowner FROM pg_class c WHERE c.oid = $1), 'usage') OR NOT pg_has_role(caller, $8, 'member') THEN
    RAISE EXCEPTION 'table % or role % is not yours', $1, $8 USING ERRCODE = 'insufficient_privilege', HINT = 'Call image_gen.attach().';
  END IF;
  INSERT INTO image_gen.attachment_definitions (relation, relation_name, prompt, into_column, asset_column, key_columns, arguments, approve, owner, created_by)
  SELECT c.oid, format('%I.%I', n.nspname, c.relname), $2, $3, $4, $5, $6, $7, $8, image_gen_internal.caller()
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
  RETURNING id INTO defined;
  INSERT INTO image_gen.finish_hooks (function, owner, filter, created_by, attachment)
  SELECT format('%I.%I(jsonb)', n.nspname, 'image_gen_store_' || defined), $8, '{}', image_gen_internal.role_name(caller), defined
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1;
  RETURN defined;
END $$;
COMMENT ON FUNCTION image_gen_internal.define_attachment(regclass, text, name, name, name[], jsonb, boolean, regrole) IS 'Writes an attachment down, for attach(); its id.';

CREATE FUNCTION image_gen_internal.bind_attachment(defined bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d image_gen.attachment_definitions := image_gen_internal.check_attachment(defined);
  rowtype oid := (SELECT c.reltype FROM pg_class c WHERE c.oid = d.relation);
  part record;
BEGIN
  -- A table, or a column, that is dropped takes along what was made for it, as an index goes with its column: no view of the
  -- attachment stands in the way of a CMS that drops a collection or a field.
  FOR part IN
    SELECT 'pg_proc'::regclass::oid AS class, (image_gen_internal.attachment_function(d.id, f.what, f.argument)).function AS id
      FROM (VALUES ('row', rowtype), ('prompt', rowtype), ('store', 'jsonb'::regtype::oid)) AS f(what, argument)
    UNION ALL
    SELECT 'pg_trigger'::regclass, g.oid FROM pg_trigger g WHERE g.tgrelid = d.relation AND g.tgname LIKE format('image\_gen\_%s\_%%', d.id)
  LOOP
    PERFORM image_gen_internal.goes_with(part.class, part.id, d.relation, e.refobjsubid)
       FROM (SELECT p.refobjsubid FROM pg_depend p
              WHERE p.classid = part.class AND p.objid = part.id AND p.deptype = 'n' AND p.refclassid = 'pg_class'::regclass AND p.refobjid = d.relation
             UNION SELECT 0) e
      WHERE part.id IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = part.class AND p.objid = part.id AND p.deptype = 'a'
                                                  AND p.refclassid = 'pg_class'::regclass AND p.refobjid = d.relation AND p.refobjsubid = e.refobjsubid);
  END LOOP;
END $$;
COMMENT ON FUNCTION image_gen_internal.bind_attachment(bigint) IS 'Lets the functions and triggers of an attachment go when its table, or a column that they need, is dropped.';

CREATE FUNCTION image_gen_internal.template_expression(template text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts text[];
  part text;
BEGIN
  FOR part IN SELECT m[1] FROM regexp_matches(template, '(\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}])', 'g') AS m LOOP
    IF part IN ('{{', '}}') THEN
      parts := parts || quote_literal(left(part, 1));
    ELSIF part IN ('{', '}', '{}') THEN
      RAISE EXCEPTION 'a brace of the template is not closed, or has no column in it' USING ERRCODE = 'invalid_parameter_value',
        HINT = 'Write for example ''editorial illustration for {title}''; {{ and }} are braces.';
    ELSIF left(part, 1) = '{' THEN
      parts := parts || format('NULLIF(pg_catalog.btrim((image_gen_row.%I)::pg_catalog.text), '''')', btrim(part, '{} '));
    ELSE
      parts := parts || quote_literal(part);
    END IF;
  END LOOP;
  RETURN array_to_string(parts, ' OPERATOR(pg_catalog.||) ');
END $$;
COMMENT ON FUNCTION image_gen_internal.template_expression(text) IS 'A template with {column}s as an expression; one that is NULL or blank makes it NULL.';

CREATE FUNCTION image_gen_internal.remove_attachment(removed bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d image_gen.attachment_definitions := image_gen_internal.check_attachment(removed);
BEGIN
  DELETE FROM image_gen_internal.callback_queue c USING image_gen.finish_hooks h WHERE h.attachment = d.id AND c.hook = h.id;
  DELETE FROM image_gen.finish_hooks h WHERE h.attachment = d.id;
  DELETE FROM image_gen.attachment_entries e WHERE e.attachment = d.id;
  DELETE FROM image_gen.attachment_definitions s WHERE s.id = d.id;
END $$;
COMMENT ON FUNCTION image_gen_internal.remove_attachment(bigint) IS 'Forgets an attachment, for detach().';

CREATE FUNCTION image_gen_internal.attachment_callback(of_job text, of_key jsonb, OUT id bigint, OUT awaits_approval boolean, OUT failed boolean, OUT last_error text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
BEGIN
  SELECT c.id, c.awaits_approval, c.failed, c.last_error INTO id, awaits_approval, failed, last_error
    FROM image_gen_internal.callback_queue c JOIN image_gen.finish_hooks h ON h.id = c.hook JOIN image_gen.attachment_definitions d ON d.id = h.attachment
   WHERE c.job_id = of_job AND c.key = of_key AND (d.owner = caller OR image_gen_internal.may_review(caller)) LIMIT 1;
END $$;
COMMENT ON FUNCTION image_gen_internal.attachment_callback(text, jsonb) IS 'What is still to be written back of a job, where the caller may see it.';

SET LOCAL search_path = image_gen, pg_temp;
