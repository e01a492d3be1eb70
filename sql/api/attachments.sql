-- Attaching a table, and how its rows stand.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.attach(relation regclass, prompt text DEFAULT NULL, into_column name DEFAULT NULL, template text DEFAULT NULL, asset_column name DEFAULT NULL,
                                 key_columns name[] DEFAULT NULL, arguments jsonb DEFAULT '{}', approve boolean DEFAULT false, run_as name DEFAULT NULL) RETURNS bigint
-- As its caller: it makes functions and triggers with the caller's rights, and no others.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  target record;
  role record;
  keys record;
  used record;
  id bigint;
  wrong text;
  expression text := coalesce(prompt, image_gen_internal.template_expression(template));
BEGIN
  IF relation IS NULL OR into_column IS NULL OR (prompt IS NULL) = (template IS NULL) OR arguments IS NULL OR approve IS NULL THEN
    RAISE EXCEPTION 'a table, into_column, and either prompt or template are needed' USING ERRCODE = 'null_value_not_allowed',
      HINT = 'Write for example attach(''articles'', template => ''editorial illustration for {title}'', into_column => ''image_url'').';
  END IF;
  SELECT c.oid, n.nspname AS schema, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS called, c.relkind, c.relpersistence, c.relowner, r.rolname AS owner, r.rolsuper
    INTO target
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = relation;
  IF target.relkind IS NULL OR target.relkind NOT IN ('r', 'p') OR target.relpersistence = 't' OR target.schema IN ('pg_catalog', 'information_schema', 'image_gen') THEN
    RAISE EXCEPTION '% is no table that can be attached', relation USING ERRCODE = 'wrong_object_type',
      HINT = 'Attach a table or a partitioned table of your own that is not temporary.';
  ELSIF NOT pg_has_role(target.relowner, 'usage') THEN
    RAISE EXCEPTION 'must be owner of table %', target.called USING ERRCODE = 'insufficient_privilege', HINT = 'Let its owner attach it.';
  END IF;

  -- As whom.
  SELECT r.oid, r.rolname AS name, r.rolsuper INTO role FROM pg_roles r WHERE r.rolname = coalesce(run_as, target.owner);
  IF role.oid IS NULL THEN
    RAISE EXCEPTION 'role "%" does not exist', run_as USING ERRCODE = 'undefined_object', HINT = 'Name a role that may read and update the table.';
  ELSIF role.rolsuper THEN
    RAISE EXCEPTION '% is a superuser, and nothing is made or written with such rights', role.name USING ERRCODE = 'insufficient_privilege',
      HINT = format('Name a plain role: CREATE ROLE cms_images; GRANT image_gen_user TO cms_images; GRANT SELECT, UPDATE ON %s TO cms_images; then run_as => ''cms_images''.', target.called);
  ELSIF NOT pg_has_role(role.oid, 'member') THEN
    RAISE EXCEPTION 'must be a member of role "%"', role.name USING ERRCODE = 'insufficient_privilege', HINT = 'Leave run_as out: then it is the table''s owner.';
  ELSIF NOT has_schema_privilege(role.oid, 'image_gen', 'USAGE') OR NOT has_function_privilege(role.oid, 'image_gen.generate'::regproc, 'EXECUTE') THEN
    RAISE EXCEPTION 'role "%" may not queue images', role.name USING ERRCODE = 'insufficient_privilege', HINT = format('GRANT image_gen_user TO %I;', role.name);
  ELSIF NOT has_schema_privilege(role.oid, target.schema, 'USAGE') THEN
    RAISE EXCEPTION 'role "%" may not use schema %', role.name, target.schema USING ERRCODE = 'insufficient_privilege',
      HINT = format('GRANT USAGE ON SCHEMA %I TO %I;', target.schema, role.name);
  END IF;

  -- Which row, and where to.
  SELECT array_agg(a.attname ORDER BY k.n) AS names,
         string_agg(CASE WHEN t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN format('($1).%I', a.attname)
                         ELSE format('($1).%I::pg_catalog.text', a.attname) END, ', ' ORDER BY k.n) AS made,
         string_agg(format('image_gen_row.%I = ($1 OPERATOR(pg_catalog.#>>) ''{attachment,key,%s}'')::%s', a.attname, k.n - 1, format_type(a.atttypid, a.atttypmod)), ' AND ' ORDER BY k.n) AS found
    INTO keys
    FROM (SELECT u.name, u.n FROM unnest(key_columns) WITH ORDINALITY AS u(name, n)
          UNION ALL
          SELECT a.attname, i.n FROM pg_index x CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS i(attnum, n)
            JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = i.attnum
           WHERE key_columns IS NULL AND x.indrelid = target.oid AND x.indisprimary AND i.n <= x.indnkeyatts) k
    JOIN pg_attribute a ON a.attrelid = target.oid AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid;
  IF keys.names IS NULL OR cardinality(keys.names) <> coalesce(cardinality(key_columns), cardinality(keys.names)) THEN
    RAISE EXCEPTION 'table % has no primary key, or no such key columns', target.called USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give it a primary key, or name the columns of a unique index: key_columns => ''{slug,lang}''.';
  ELSIF NOT EXISTS (SELECT FROM pg_index x
                     WHERE x.indrelid = target.oid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL AND x.indnkeyatts = cardinality(keys.names)
                       AND (SELECT bool_and(a.attname = ANY (keys.names)) FROM unnest(x.indkey::smallint[]) WITH ORDINALITY AS i(attnum, n)
                              JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = i.attnum WHERE i.n <= x.indnkeyatts)) THEN
    RAISE EXCEPTION 'no unique index of % has exactly the columns %', target.called, keys.names USING ERRCODE = 'invalid_parameter_value',
      HINT = 'An image is written to one row: name the columns of a primary key or of a unique index.';
  END IF;
  SELECT w.name INTO wrong FROM unnest(ARRAY[into_column, asset_column]) AS w(name)
    LEFT JOIN pg_attribute a ON a.attrelid = target.oid AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   WHERE w.name IS NOT NULL AND (a.attnum IS NULL OR w.name = ANY (keys.names) OR NOT has_column_privilege(role.oid, target.oid, w.name::text, 'UPDATE')) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'column "%" of % cannot be written', wrong, target.called USING ERRCODE = 'invalid_column_reference',
      HINT = format('Name a column that is there, is not generated and is no key, and that %s may update.', role.name);
  END IF;
  IF jsonb_typeof(arguments) <> 'object' OR arguments ?| '{prompt,idempotency_key,deadline,operation}' THEN
    RAISE EXCEPTION 'arguments is no object, or has prompt, idempotency_key, deadline or operation in it' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example arguments => ''{"model": "flux-1.1-pro", "width": 1024, "height": 768, "metadata": {"campaign": "blog"}}''.';
  END IF;
  PERFORM FROM image_gen.estimate('generate', arguments || '{"prompt": "a row"}');

  id := image_gen_internal.define_attachment(target.oid, coalesce(prompt, template), into_column, asset_column, keys.names, arguments, approve, role.oid::regrole);

  -- Its names mean what they mean beside the table, whatever the session's search_path. A view tells which columns it reads.
  PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', target.schema), true);
  EXECUTE format('CREATE VIEW %I.%I AS SELECT (%s)::pg_catalog.text AS prompt FROM %s AS image_gen_row', target.schema, 'image_gen_probe_' || id, expression, target.called);
  SELECT array_agg(a.attname ORDER BY a.attnum) AS names,
         string_agg(format('($1).%I', a.attname), ', ' ORDER BY a.attnum) AS shown,
         -- Values that are equal and are not written alike make different prompts.
         string_agg(CASE WHEN (t.typtype = 'e' OR b.oid IN ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype, 'uuid'::regtype,
                                                            'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'bytea'::regtype))
                              AND coalesce(l.collisdeterministic, true)
                         THEN format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', a.attname)
                         ELSE format('OLD.%1$I::pg_catalog.text COLLATE pg_catalog."C" IS DISTINCT FROM NEW.%1$I::pg_catalog.text COLLATE pg_catalog."C"', a.attname) END, ' OR ' ORDER BY a.attnum) AS differ
    INTO used
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
   WHERE a.attrelid = target.oid AND NOT a.attisdropped
     AND a.attnum IN (SELECT d.refobjsubid FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                       WHERE w.ev_class = format('%I.%I', target.schema, 'image_gen_probe_' || id)::regclass
                         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = target.oid AND d.refobjsubid > 0);
  EXECUTE format('DROP VIEW %I.%I', target.schema, 'image_gen_probe_' || id);
  IF used.names IS NULL THEN
    RAISE EXCEPTION 'the prompt names no column of %', target.called USING ERRCODE = 'invalid_column_reference',
      HINT = 'Name columns by their plain names, not the whole row.';
  ELSIF into_column = ANY (used.names) OR asset_column = ANY (used.names) THEN
    RAISE EXCEPTION 'the prompt reads the column that its image is written to' USING ERRCODE = 'invalid_column_reference', HINT = 'Each image would ask for another one.';
  END IF;
  -- Their argument has a name: a dump cannot say one without beside those that have.
  EXECUTE format('CREATE FUNCTION %I.%I(image_gen_record %s, OUT key pg_catalog.jsonb, OUT filled pg_catalog.bool) LANGUAGE sql STABLE BEGIN ATOMIC
                  SELECT pg_catalog.jsonb_build_array(%s), ($1).%I IS NOT NULL; END',
                 target.schema, 'image_gen_row_' || id, target.called, keys.made, into_column);
  EXECUTE format('CREATE FUNCTION %I.%I(image_gen_record %s) RETURNS pg_catalog.text LANGUAGE sql STABLE BEGIN ATOMIC
                  SELECT (%s)::pg_catalog.text FROM (SELECT %s) AS image_gen_row; END',
                 target.schema, 'image_gen_prompt_' || id, target.called, expression, used.shown);
  EXECUTE format('CREATE FUNCTION %I.%I(event pg_catalog.jsonb) RETURNS pg_catalog.int8 LANGUAGE sql BEGIN ATOMIC
                  WITH written AS (
                    UPDATE %s AS image_gen_row SET %I = coalesce($1 OPERATOR(pg_catalog.#>>) ''{assets,0,mirror_url}'', $1 OPERATOR(pg_catalog.#>>) ''{assets,0,url}'')%s
                     WHERE %s RETURNING 1)
                  SELECT count(*) FROM written; END',
                 target.schema, 'image_gen_store_' || id, target.called, into_column,
                 CASE WHEN asset_column IS NULL THEN '' ELSE format(', %I = ($1 OPERATOR(pg_catalog.#>>) ''{assets,0,id}'')::pg_catalog.int8', asset_column) END, keys.found);
  EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION image_gen.attached_row(%L)', format('image_gen_%s_new', id), target.called, id);
  EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION image_gen.attached_row(%L)',
                 format('image_gen_%s_changed', id), target.called, used.differ, id);
  EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION image_gen.attached_statement(%L)',
                 format('image_gen_%s_statement', id), target.called, id);
  PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
  FOR wrong IN
    SELECT format('%I.%I(%s)', target.schema, format('image_gen_%s_%s', f.what, id), f.argument)
      FROM (VALUES ('row', target.called), ('prompt', target.called), ('store', 'jsonb')) AS f(what, argument)
  LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', wrong);
    IF role.name <> current_user THEN
      EXECUTE format('ALTER FUNCTION %s OWNER TO %I', wrong, role.name);
    END IF;
  END LOOP;
  SELECT a.name INTO wrong FROM unnest(keys.names || used.names) AS a(name) WHERE NOT has_column_privilege(role.oid, target.oid, a.name::text, 'SELECT') LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'role "%" may not read column "%" of %', role.name, wrong, target.called USING ERRCODE = 'insufficient_privilege',
      HINT = format('GRANT SELECT ON %s TO %I;', target.called, role.name);
  END IF;
  PERFORM image_gen_internal.bind_attachment(id);
  RETURN id;
END $$;
COMMENT ON FUNCTION image_gen.attach IS
'Makes an image column fill itself; returns the number of the attachment. From now on a row that is inserted, or whose prompt changes, queues an image in the transaction that writes it, and gets
the URL in into_column (and campaign_assets.id in asset_column) when it is there. A row whose prompt is the same queues nothing. A row that cannot be queued (no prompt, no budget) is saved all
the same: the view attachment_rows says why, and backfill() tries again.
prompt: an SQL expression over the columns of the table, by their plain names; names of functions and tables are looked up in pg_catalog and in the table''s schema. Or template:
''editorial illustration for {title}'', where a column that is NULL or blank makes no prompt. key_columns: of a unique index; NULL is the primary key. arguments: further arguments of generate(), by name, the same for each row.
approve: an image waits in review_queue until resolve_review() approves or rejects it. run_as: the role whose jobs they are, and as which the prompt is evaluated and the image is written;
NULL is the owner of the table. Never a superuser; it must be a member of image_gen_user, and may read and update the columns. For the owner of the table, who must be a member of run_as and may
create functions in its schema (image_gen_row_ID, image_gen_prompt_ID, image_gen_store_ID). Existing rows: see backfill(). Errors: 42501, 42809, 42P10, 22023, 22004, 42704, and those of generate().';

CREATE FUNCTION image_gen.detach(attachment bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d image_gen.attachment_definitions := image_gen_internal.check_attachment(attachment);
  part text;
BEGIN
  FOR part IN
    SELECT format('DROP TRIGGER %I ON %s', g.tgname, d.relation) FROM pg_trigger g
     WHERE g.tgrelid = d.relation AND g.tgname IN (format('image_gen_%s_new', d.id), format('image_gen_%s_changed', d.id), format('image_gen_%s_statement', d.id))
    UNION ALL
    SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
     WHERE p.proname IN (format('image_gen_row_%s', d.id), format('image_gen_prompt_%s', d.id), format('image_gen_store_%s', d.id)) AND p.proowner = d.owner
  LOOP
    EXECUTE part;
  END LOOP;
  PERFORM image_gen_internal.remove_attachment(d.id);
END $$;
COMMENT ON FUNCTION image_gen.detach(bigint) IS
'Ends an attachment: its triggers and functions are dropped, what was written stays, and jobs under way go on without being written back. For the owner of the table; when that was dropped,
for administrators and members of the attachment''s owner. Error 42704 when there is no such attachment, or it is not the caller''s.';

CREATE FUNCTION image_gen.pause_attachment(attachment bigint, paused boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d image_gen.attachment_definitions := image_gen_internal.check_attachment(attachment);
BEGIN
  UPDATE image_gen.attachment_definitions s SET paused = coalesce($2, true) WHERE s.id = d.id;
END $$;
COMMENT ON FUNCTION image_gen.pause_attachment(bigint, boolean) IS
'Lets rows of an attached table queue nothing until it is called with paused => false: they are noted as waiting, and backfill() queues them then. Error 42704.';

CREATE FUNCTION image_gen.backfill(attachment bigint, n integer DEFAULT 100, max_cost numeric DEFAULT NULL, retry_failed boolean DEFAULT false,
                                   OUT queued integer, OUT refused integer, OUT estimated_cost numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  d image_gen.attachment_definitions := image_gen_internal.check_attachment(attachment);
  problem text := image_gen_internal.attachment_problem(d);
  one numeric;
  most integer := least(greatest(n, 0), 10000);
BEGIN
  IF problem IS NOT NULL OR d.paused THEN
    RAISE EXCEPTION 'attachment % does not work: %', d.id, coalesce(problem, 'it is paused') USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'SELECT problem FROM image_gen.attachments says why; pause_attachment(id, false) lets a paused one go on.';
  END IF;
  PERFORM image_gen_internal.check_amount('max_cost', max_cost, 'Give USD for this batch, from 0 up, or leave it out.');
  SELECT e.estimated_cost INTO one FROM image_gen.estimate('generate', d.arguments || '{"prompt": "a row"}') e;
  IF max_cost IS NOT NULL THEN
    IF one IS NULL THEN
      RAISE EXCEPTION 'the cost of an image of attachment % is unknown, so max_cost cannot be kept', d.id USING ERRCODE = 'configuration_limit_exceeded',
        HINT = 'Leave max_cost out, choose a model with a price, or add one to image_gen.prices.';
    ELSIF one > 0 THEN
      most := least(most, floor(max_cost / one));
    END IF;
  END IF;
  SELECT b.queued, b.refused INTO queued, refused FROM image_gen_internal.backfill(d.id, d.relation, most, coalesce(retry_failed, false)) b;
  estimated_cost := trim_scale(queued * one);
END $$;
COMMENT ON FUNCTION image_gen.backfill(bigint, integer, numeric, boolean) IS
'Queues images for up to n rows (at most 10000) of an attached table that have none: whose column is NULL and that have not asked yet, and those that wait or were refused for want of
money or room. retry_failed: also those whose prompt was no good, and whose job has failed. max_cost: USD that the batch may be expected to cost. Call it again until queued is 0. refused: how many rows could not be queued; see attachment_rows.';

CREATE VIEW image_gen.attachment_rows WITH (security_invoker = true) AS
SELECT e.attachment, d.relation_name AS relation, e.key,
       CASE WHEN e.state <> 'queued' THEN e.state::text WHEN j.id IS NULL THEN 'gone' WHEN j.status <> 'succeeded' THEN j.status::text
            WHEN c.awaits_approval THEN 'awaits_approval' WHEN c.failed THEN 'not_written' ELSE 'writing' END AS state,
       CASE WHEN e.state <> 'queued' THEN e.error_code WHEN c.last_error IS NOT NULL THEN 'write_back' ELSE j.error_code END AS error_code,
       CASE WHEN e.state <> 'queued' THEN e.error_message ELSE coalesce(c.last_error, j.error_message) END AS error_message,
       e.job_id, e.asset_id, j.billed_cost, e.changed_at
  FROM image_gen.attachment_entries e
  JOIN image_gen.attachment_definitions d ON d.id = e.attachment
  LEFT JOIN image_gen.jobs j ON j.id = e.job_id
  LEFT JOIN LATERAL image_gen_internal.attachment_callback(CASE WHEN e.state = 'queued' AND j.status = 'succeeded' THEN e.job_id END, e.key) c ON true;
COMMENT ON VIEW image_gen.attachment_rows IS
'Rows of attached tables that have asked for an image, by their key. state: refused (nothing was queued: error_code and error_message say why), waiting (for backfill()), queued, running,
needs_review, failed, canceled (as their job), awaits_approval, writing (on its way back), not_written (given up: see retry_callbacks()), written, rejected (by a reviewer), gone (the row or its
job is not there any more). Users see their own, administrators all.';
COMMENT ON COLUMN image_gen.attachment_rows.attachment IS 'attachments.id.';
COMMENT ON COLUMN image_gen.attachment_rows.key IS 'The values of its key columns, as a JSON array.';

CREATE VIEW image_gen.attachments WITH (security_invoker = true) AS
SELECT d.id, coalesce(c.oid::regclass::text, d.relation_name) AS relation, d.into_column, d.asset_column, d.key_columns, d.prompt, d.arguments, d.approve,
       image_gen_internal.role_name(d.owner) AS owner, CASE WHEN p.problem IS NOT NULL THEN 'broken' WHEN d.paused THEN 'paused' ELSE 'active' END AS state, p.problem,
       r.rows, r.written, r.under_way, r.refused, r.failed, r.waiting, image_gen_internal.role_name(d.created_by) AS created_by, d.created_at
  FROM image_gen.attachment_definitions d
  LEFT JOIN pg_class c ON c.oid = d.relation
 CROSS JOIN LATERAL (SELECT image_gen_internal.attachment_problem(d) AS problem) p
 CROSS JOIN LATERAL (
   SELECT count(*) AS rows, count(*) FILTER (WHERE e.state = 'written') AS written, count(*) FILTER (WHERE e.state = 'refused') AS refused,
          count(*) FILTER (WHERE e.state = 'waiting') AS waiting,
          count(*) FILTER (WHERE e.state = 'queued' AND j.status IN ('failed', 'canceled')) AS failed,
          count(*) FILTER (WHERE e.state = 'queued' AND j.status NOT IN ('failed', 'canceled')) AS under_way
     FROM image_gen.attachment_entries e LEFT JOIN image_gen.jobs j ON j.id = e.job_id WHERE e.attachment = d.id) r;
COMMENT ON VIEW image_gen.attachments IS
'Attached tables, and how they stand. state: active, paused, or broken: then problem says what is missing (a dropped table, column or role). rows: how many have asked for an image; of these written,
under_way (their job, an approval or the way back), refused (nothing was queued), failed (their job), waiting (for backfill()): attachment_rows has each. Users see their own, administrators all.';
COMMENT ON COLUMN image_gen.attachments.id IS 'For detach(), pause_attachment() and backfill().';

SET LOCAL search_path = image_gen, pg_temp;
