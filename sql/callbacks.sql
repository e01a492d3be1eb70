-- Code of the administrator's own: functions that are called for finished jobs (on_finish), and the function that softens refused
-- prompts. A picture is delivered and committed first; then its callbacks run, from a queue of their own, in a process of their
-- own, each in a transaction of its own, with the rights of the function's owner and a time limit. No such code ever runs as a
-- superuser or as the worker's role.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.finish_hooks (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  function    text NOT NULL,
  owner       regrole NOT NULL,
  filter      image_gen.json_object NOT NULL DEFAULT '{}',
  created_by  name NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_run_at timestamptz,
  runs        bigint NOT NULL DEFAULT 0,
  failures    bigint NOT NULL DEFAULT 0,
  last_error  text,
  attachment  bigint,
  UNIQUE (function, filter)
) WITH (fillfactor = 50);
COMMENT ON TABLE image_gen.finish_hooks IS 'Functions that are called for finished jobs: see on_finish().';
COMMENT ON COLUMN image_gen.finish_hooks.id IS 'For drop_on_finish() and retry_callbacks().';
COMMENT ON COLUMN image_gen.finish_hooks.function IS 'schema.name(jsonb). Kept as text: it survives a dump and an upgrade.';
COMMENT ON COLUMN image_gen.finish_hooks.owner IS 'The function''s owner when it was registered, as which it runs. Another owner''s function of the same name is not called.';
COMMENT ON COLUMN image_gen.finish_hooks.filter IS 'Only jobs whose facts contain this: {"status", "operation", "model", "owner", "metadata"}; {} is all.';
COMMENT ON COLUMN image_gen.finish_hooks.created_by IS 'The role that registered it.';
COMMENT ON COLUMN image_gen.finish_hooks.created_at IS 'When.';
COMMENT ON COLUMN image_gen.finish_hooks.last_run_at IS 'When it was last called.';
COMMENT ON COLUMN image_gen.finish_hooks.runs IS 'How often it was called.';
COMMENT ON COLUMN image_gen.finish_hooks.failures IS 'How often it failed.';
COMMENT ON COLUMN image_gen.finish_hooks.last_error IS 'Of its last failure.';
COMMENT ON COLUMN image_gen.finish_hooks.attachment IS 'attachments.id, where it writes pictures back into an attached table; NULL for a function of on_finish().';

CREATE TABLE image_gen.callback_queue (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hook       bigint NOT NULL,
  job_id     text COLLATE "C" NOT NULL,
  status     text NOT NULL,
  tries      integer NOT NULL DEFAULT 0,
  due_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  failed     boolean NOT NULL DEFAULT false,
  awaits_approval boolean NOT NULL DEFAULT false,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
CREATE INDEX callback_queue_due ON image_gen.callback_queue (hook, due_at) WHERE NOT failed AND NOT awaits_approval;
CREATE INDEX callback_queue_job ON image_gen.callback_queue (job_id);
COMMENT ON TABLE image_gen.callback_queue IS 'Calls of registered functions that are due, or have failed for good. Read it through the view callbacks. A call that succeeded leaves no row.';
COMMENT ON COLUMN image_gen.callback_queue.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.callback_queue.hook IS 'finish_hooks.id. No foreign key: the transaction that stores a picture waits for no lock on a registration.';
COMMENT ON COLUMN image_gen.callback_queue.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.callback_queue.status IS 'How the job ended, this time.';
COMMENT ON COLUMN image_gen.callback_queue.tries IS 'How often it was begun.';
COMMENT ON COLUMN image_gen.callback_queue.due_at IS 'Not called before.';
COMMENT ON COLUMN image_gen.callback_queue.failed IS 'Given up after eight tries: see retry_callbacks().';
COMMENT ON COLUMN image_gen.callback_queue.awaits_approval IS 'A reviewer looks at the picture first: see resolve_review().';
COMMENT ON COLUMN image_gen.callback_queue.last_error IS 'Of the last try.';
COMMENT ON COLUMN image_gen.callback_queue.created_at IS 'When the job ended.';
SELECT pg_catalog.pg_extension_config_dump('image_gen.finish_hooks', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.finish_hooks_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.callback_queue', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.callback_queue_id_seq', '');

CREATE FUNCTION image_gen._callable(signature text, OUT function oid, OUT owner oid, OUT called text)
-- The worker's role may have no right to look into the function's schema; whom it is called as needs one.
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_one record;
BEGIN
  SELECT p.oid, p.proowner, p.prokind, p.proretset, r.rolsuper, r.rolname, format('%I.%I', n.nspname, p.proname) AS called
    INTO found_one
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
   WHERE p.oid = to_regprocedure(signature);
  IF found_one IS NULL THEN
    RAISE EXCEPTION 'function % does not exist', signature USING ERRCODE = 'undefined_function', HINT = 'Create it, or register another one.';
  ELSIF found_one.prokind <> 'f' OR found_one.proretset THEN
    RAISE EXCEPTION '% is not a function that returns one value', signature USING ERRCODE = 'wrong_object_type',
      HINT = 'Use a plain function: no procedure, no aggregate, no set.';
  ELSIF found_one.rolsuper THEN
    RAISE EXCEPTION '% belongs to the superuser %, and is not run with its rights', signature, found_one.rolname
      USING ERRCODE = 'insufficient_privilege',
            HINT = 'ALTER FUNCTION ... OWNER TO a role that has the rights the function needs, and no more.';
  END IF;
  function := found_one.oid;
  owner := found_one.proowner;
  called := found_one.called;
END $$;
COMMENT ON FUNCTION image_gen._callable(text) IS 'A function of an administrator''s own that may be called, the role that it runs as, and its quoted name. An error says why it may not.';

CREATE FUNCTION image_gen.on_finish(function regprocedure, filter jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen._caller();
  signature text := on_finish.function::text;
  owner oid;
  hook bigint;
  stranger text;
BEGIN
  PERFORM image_gen._administers(caller);
  IF signature IS NULL OR filter IS NULL THEN
    RAISE EXCEPTION 'a function and a filter are needed' USING ERRCODE = 'null_value_not_allowed', HINT = 'Write for example (''cms.publish(jsonb)'', ''{"status": "succeeded"}'').';
  END IF;
  -- With its schema, whatever the search_path of this function shows without one.
  SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) INTO signature
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = on_finish.function;
  IF NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = on_finish.function AND p.pronargs = 1 AND p.proargtypes[0] = 'jsonb'::regtype) THEN
    RAISE EXCEPTION '% does not take one jsonb', signature USING ERRCODE = 'invalid_function_definition',
      HINT = 'It is called with {"job": ..., "assets": [...]}: declare it as (event jsonb).';
  END IF;
  SELECT format('%I.%I(jsonb)', n.nspname, p.proname) INTO signature
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = on_finish.function;
  SELECT c.owner INTO owner FROM image_gen._callable(signature) c;
  IF NOT pg_has_role(caller, owner, 'MEMBER') THEN
    RAISE EXCEPTION '% runs as %, and % is no member of that role', signature, image_gen._role_name(owner), image_gen._role_name(caller) USING ERRCODE = 'insufficient_privilege',
      HINT = 'Let its owner, a member of its owner, or a superuser register it.';
  END IF;
  SELECT k INTO stranger FROM jsonb_object_keys(CASE jsonb_typeof(filter) WHEN 'object' THEN filter ELSE '{"?": 1}' END) k
   WHERE k NOT IN ('status', 'operation', 'model', 'owner', 'metadata') LIMIT 1;
  IF stranger IS NOT NULL THEN
    RAISE EXCEPTION 'filter is no object of status, operation, model, owner and metadata' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'For example {"status": "succeeded", "metadata": {"campaign": "spring"}}; {} is every job.';
  END IF;
  INSERT INTO image_gen.finish_hooks AS h (function, owner, filter, created_by)
  VALUES (signature, owner, filter, image_gen._role_name(caller))
  ON CONFLICT ON CONSTRAINT finish_hooks_function_filter_key DO UPDATE SET owner = excluded.owner, created_by = excluded.created_by
  RETURNING h.id INTO hook;
  RETURN hook;
END $$;
COMMENT ON FUNCTION image_gen.on_finish(regprocedure, jsonb) IS
'Registers a function (event jsonb) that is called once for each job that ends from now on; returns the number of the registration. event: {"job": {id, status, operation, model, owner, metadata,
error_code, error_message, billed_cost, currency, cost_source, created_at, finished_at}, "assets": [{id, position, url, mirror_url, provider, model, seed, prompt, width, height, content_type,
byte_size, sha256, billed_cost, ...}]}. filter: only jobs that contain it ({"status", "operation", "model", "owner", "metadata"}). The function runs after the job is committed, in a
transaction of its own, as its owner (never a superuser), within image_gen.callback_timeout; what it writes and that it has run commit together. After an error it is called again, eight times
within some hours; view callbacks shows what is due and what failed. For administrators who are members of the function''s owner. Errors: 42501, 42883, 42P13, 22023.';

CREATE FUNCTION image_gen.drop_on_finish(id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  DELETE FROM image_gen.callback_queue c WHERE c.hook = $1;
  DELETE FROM image_gen.finish_hooks h WHERE h.id = $1;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION image_gen.drop_on_finish(bigint) IS 'Ends a registration of on_finish(), with the calls that are due; false when there is none of this number. For administrators.';

CREATE FUNCTION image_gen.retry_callbacks(hook bigint DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  again integer;
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  UPDATE image_gen.callback_queue c SET failed = false, tries = 0, due_at = clock_timestamp()
   WHERE (retry_callbacks.hook IS NULL OR c.hook = retry_callbacks.hook) AND (c.failed OR c.tries > 0);
  GET DIAGNOSTICS again = ROW_COUNT;
  PERFORM image_gen._tell('callbacks');
  RETURN again;
END $$;
COMMENT ON FUNCTION image_gen.retry_callbacks(bigint) IS 'Calls the functions again that have failed: of one registration, or (NULL) of all. Returns how many calls. For administrators.';

CREATE VIEW image_gen.callbacks AS
SELECT c.id, c.hook, h.function, h.owner, c.job_id, c.status,
       CASE WHEN c.failed THEN 'failed' WHEN c.awaits_approval THEN 'awaits_approval' WHEN c.tries > 0 THEN 'again' ELSE 'due' END AS state, c.tries, c.due_at, c.last_error, c.created_at
  FROM image_gen.callback_queue c LEFT JOIN image_gen.finish_hooks h ON h.id = c.hook;
COMMENT ON VIEW image_gen.callbacks IS
'Calls of functions registered with on_finish() that have not succeeded yet, and of those that write into attached tables: due, awaits_approval, again (after an
error, at due_at) or failed (given up; see retry_callbacks).';

CREATE FUNCTION image_gen._due_callbacks(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM image_gen.finish_hooks) THEN
    INSERT INTO image_gen.callback_queue (hook, job_id, status, awaits_approval)
    SELECT h.id, j.id, j.status, d.approve
      FROM unnest(ids) AS i(id)
     CROSS JOIN LATERAL (SELECT e.attachment FROM image_gen.attachment_entries e WHERE e.job_id = i.id AND e.state = 'queued' OFFSET 0) e
      JOIN image_gen.jobs j ON j.id = i.id AND j.status = 'succeeded'
      JOIN image_gen.attachment_definitions d ON d.id = e.attachment
      JOIN image_gen.finish_hooks h ON h.attachment = d.id
    UNION ALL
    SELECT h.id, j.id, j.status, false
      FROM image_gen.jobs j
      JOIN image_gen.finish_hooks h
        ON h.attachment IS NULL AND jsonb_build_object('status', j.status, 'operation', j.operation, 'model', j.model, 'owner', image_gen._role_name(j.owner), 'metadata', j.metadata) @> h.filter
     WHERE j.id = ANY (ids) AND j.finished_at IS NOT NULL;
    IF FOUND THEN
      PERFORM image_gen._tell('callbacks');
    END IF;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._due_callbacks(text[]) IS 'Queues the callbacks of jobs that have just ended, in the transaction that ends them.';

CREATE FUNCTION image_gen._callbacks_due() RETURNS double precision
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT min(greatest(extract(epoch FROM n.due_at - clock_timestamp()), 0))
            FROM image_gen.finish_hooks h
           CROSS JOIN LATERAL (SELECT c.due_at FROM image_gen.callback_queue c WHERE c.hook = h.id AND NOT c.failed AND NOT c.awaits_approval ORDER BY c.due_at LIMIT 1) n);
END $$;
COMMENT ON FUNCTION image_gen._callbacks_due() IS 'In how many seconds the next callback is due; NULL when there is none.';

CREATE FUNCTION image_gen._next_callback(OUT id bigint, OUT hook bigint, OUT signature text, OUT owner regrole, OUT event jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  due record;
  key jsonb;
BEGIN
  -- The registration that was called least recently comes first: a slow one does not keep the others waiting.
  SELECT n.id, n.job_id, n.status, h.id AS hook, h.function, h.owner, h.attachment INTO due
    FROM image_gen.finish_hooks h
   CROSS JOIN LATERAL (SELECT c.id, c.job_id, c.status FROM image_gen.callback_queue c
                        WHERE c.hook = h.id AND NOT c.failed AND NOT c.awaits_approval AND c.due_at <= clock_timestamp() ORDER BY c.due_at LIMIT 1) n
   ORDER BY h.last_run_at NULLS FIRST, h.id LIMIT 1;
  IF due IS NULL THEN
    RETURN;
  END IF;
  -- Before it is called: a call that ends its process has been one, too.
  UPDATE image_gen.callback_queue c
     SET tries = c.tries + 1, due_at = clock_timestamp() + make_interval(secs => least(5 * 4 ^ c.tries, 7200)),
         failed = c.tries >= 7, last_error = 'it did not end, and was ended'
   WHERE c.id = due.id;
  UPDATE image_gen.finish_hooks h SET last_run_at = clock_timestamp(), runs = h.runs + 1
   WHERE h.id = (SELECT l.id FROM image_gen.finish_hooks l WHERE l.id = due.hook FOR UPDATE SKIP LOCKED);
  id := due.id;
  hook := due.hook;
  signature := due.function;
  owner := due.owner;
  IF due.attachment IS NOT NULL THEN
    SELECT a.key INTO key FROM image_gen.attachment_entries a WHERE a.job_id = due.job_id AND a.attachment = due.attachment AND a.state = 'queued';
    IF NOT FOUND THEN
      -- The row has asked for another picture since: this one is not written.
      RETURN;
    END IF;
    -- Wherever it is now.
    signature := coalesce((image_gen._attachment_function(due.attachment, 'store', 'jsonb'::regtype)).called || '(jsonb)', signature);
  END IF;
  SELECT jsonb_build_object(
           'job', jsonb_build_object('id', j.id, 'status', due.status, 'operation', j.operation, 'model', j.model, 'owner', image_gen._role_name(j.owner),
                    'metadata', j.metadata, 'error_code', j.error_code, 'error_message', j.error_message, 'billed_cost', j.billed_cost,
                    'currency', j.currency, 'cost_source', j.cost_source, 'created_at', j.created_at, 'finished_at', j.finished_at),
           'assets', coalesce((SELECT jsonb_agg(to_jsonb(a) ORDER BY a.position) FROM image_gen.campaign_assets a WHERE a.job_id = j.id), '[]'))
         || CASE WHEN key IS NULL THEN '{}' ELSE jsonb_build_object('attachment', jsonb_build_object('id', due.attachment, 'key', key)) END
    INTO event FROM image_gen.jobs j WHERE j.id = due.job_id;
END $$;
COMMENT ON FUNCTION image_gen._next_callback() IS 'Begins the next callback that is due: what to call, as which role, with what. NULL when there is none; event is NULL when its job was pruned, or nothing is to be written any more.';

CREATE FUNCTION image_gen._callback_done(done bigint, answer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ended record;
BEGIN
  DELETE FROM image_gen.callback_queue c WHERE c.id = done RETURNING c.hook, c.job_id INTO ended;
  IF answer IS NOT NULL THEN
    -- A session that is just asking for another picture holds the row: then that is what it says.
    UPDATE image_gen.attachment_entries e
       SET state = CASE answer WHEN '0' THEN 'gone' ELSE 'written' END, changed_at = clock_timestamp(),
           asset_id = (SELECT a.id FROM image_gen.campaign_assets a WHERE a.job_id = e.job_id ORDER BY a.position LIMIT 1)
     WHERE (e.attachment, e.key) IN (SELECT k.attachment, k.key FROM image_gen.attachment_entries k JOIN image_gen.finish_hooks h ON h.attachment = k.attachment
                                      WHERE h.id = ended.hook AND k.job_id = ended.job_id AND k.state = 'queued' FOR UPDATE OF k SKIP LOCKED);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._callback_done(bigint, text) IS
'A callback has succeeded: in the transaction that it ran in. answer: what the function returned, of an attached table how many rows it has written.';

CREATE FUNCTION image_gen._callback_failed(failed_one bigint, hook bigint, error text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.callback_queue c SET last_error = left(error, 500) WHERE c.id = failed_one;
  UPDATE image_gen.finish_hooks h SET failures = h.failures + 1, last_error = left(error, 500)
   WHERE h.id = (SELECT l.id FROM image_gen.finish_hooks l WHERE l.id = $2 FOR UPDATE SKIP LOCKED);
END $$;
COMMENT ON FUNCTION image_gen._callback_failed(bigint, bigint, text) IS 'A callback has failed: it is called again later, or given up.';

SET LOCAL search_path = image_gen, pg_temp;
