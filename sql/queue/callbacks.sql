-- Callbacks that are due.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.resolve_callback(signature text, OUT function oid, OUT owner oid, OUT called text)
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
COMMENT ON FUNCTION image_gen_internal.resolve_callback(text) IS 'A function of an administrator''s own that may be called, the role that it runs as, and its quoted name. An error says why it may not.';

CREATE FUNCTION image_gen_internal.queue_callbacks(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM image_gen.finish_hooks) THEN
    INSERT INTO image_gen_internal.callback_queue (hook, job_id, key, status, awaits_approval)
    SELECT h.id, j.id, e.key, j.status, d.approve
      FROM unnest(ids) AS i(id)
     CROSS JOIN LATERAL (SELECT n.attachment, n.key FROM image_gen.attachment_entries n WHERE n.job_id = i.id AND n.state = 'queued' OFFSET 0) e
      JOIN image_gen.jobs j ON j.id = i.id AND j.status = 'succeeded'
      JOIN image_gen.attachment_definitions d ON d.id = e.attachment
      JOIN image_gen.finish_hooks h ON h.attachment = d.id
    UNION ALL
    SELECT h.id, j.id, NULL, j.status, false
      FROM image_gen.jobs j
      JOIN image_gen.finish_hooks h
        ON h.attachment IS NULL AND jsonb_build_object('status', j.status, 'operation', j.operation, 'model', j.model, 'owner', image_gen_internal.role_name(j.owner), 'metadata', j.metadata) @> h.filter
     WHERE j.id = ANY (ids) AND j.finished_at IS NOT NULL;
    IF FOUND THEN
      PERFORM image_gen_internal.tell_worker('callbacks');
    END IF;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.queue_callbacks(text[]) IS 'Queues the callbacks of jobs that have just ended, in the transaction that ends them.';

CREATE FUNCTION image_gen_internal.next_callback_in() RETURNS double precision
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT min(greatest(extract(epoch FROM n.due_at - clock_timestamp()), 0))
            FROM image_gen.finish_hooks h
           CROSS JOIN LATERAL (SELECT c.due_at FROM image_gen_internal.callback_queue c WHERE c.hook = h.id AND NOT c.failed AND NOT c.awaits_approval ORDER BY c.due_at LIMIT 1) n);
END $$;
COMMENT ON FUNCTION image_gen_internal.next_callback_in() IS 'In how many seconds the next callback is due; NULL when there is none.';

CREATE FUNCTION image_gen_internal.take_callback(OUT id bigint, OUT hook bigint, OUT signature text, OUT owner regrole, OUT event jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  due record;
  key jsonb;
BEGIN
  -- The registration that was called least recently comes first: a slow one does not keep the others waiting.
  SELECT n.id, n.job_id, n.key, n.status, h.id AS hook, h.function, h.owner, h.attachment INTO due
    FROM image_gen.finish_hooks h
   CROSS JOIN LATERAL (SELECT c.id, c.job_id, c.key, c.status FROM image_gen_internal.callback_queue c
                        WHERE c.hook = h.id AND NOT c.failed AND NOT c.awaits_approval AND c.due_at <= clock_timestamp() ORDER BY c.due_at LIMIT 1) n
   ORDER BY h.last_run_at NULLS FIRST, h.id LIMIT 1;
  IF due IS NULL THEN
    RETURN;
  END IF;
  -- Before it is called: a call that ends its process has been one, too.
  UPDATE image_gen_internal.callback_queue c
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
    key := due.key;
    IF NOT EXISTS (SELECT FROM image_gen.attachment_entries a WHERE a.attachment = due.attachment AND a.key = due.key AND a.job_id = due.job_id AND a.state = 'queued') THEN
      -- The row has asked for another image since: this one is not written.
      RETURN;
    END IF;
    -- Wherever it is now.
    signature := coalesce((image_gen_internal.attachment_function(due.attachment, 'store', 'jsonb'::regtype)).called || '(jsonb)', signature);
  END IF;
  SELECT jsonb_build_object(
           'job', jsonb_build_object('id', j.id, 'status', due.status, 'operation', j.operation, 'model', j.model, 'owner', image_gen_internal.role_name(j.owner),
                    'metadata', j.metadata, 'error_code', j.error_code, 'error_message', j.error_message, 'billed_cost', j.billed_cost,
                    'currency', j.currency, 'cost_source', j.cost_source, 'created_at', j.created_at, 'finished_at', j.finished_at),
           'assets', coalesce((SELECT jsonb_agg(to_jsonb(a) ORDER BY a.position) FROM image_gen.campaign_assets a WHERE a.job_id = j.id), '[]'))
         || CASE WHEN key IS NULL THEN '{}' ELSE jsonb_build_object('attachment', jsonb_build_object('id', due.attachment, 'key', key)) END
    INTO event FROM image_gen.jobs j WHERE j.id = due.job_id;
END $$;
COMMENT ON FUNCTION image_gen_internal.take_callback() IS 'Begins the next callback that is due: what to call, as which role, with what. NULL when there is none; event is NULL when its job was pruned, or nothing is to be written any more.';

CREATE FUNCTION image_gen_internal.callback_done(done bigint, answer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ended record;
BEGIN
  DELETE FROM image_gen_internal.callback_queue c WHERE c.id = done RETURNING c.hook, c.job_id, c.key INTO ended;
  IF answer IS NOT NULL THEN
    -- A session that is just asking for another image holds the row: then that is what it says.
    UPDATE image_gen.attachment_entries e
       SET state = CASE answer WHEN '0' THEN 'gone' ELSE 'written' END, changed_at = clock_timestamp(),
           asset_id = (SELECT a.id FROM image_gen.campaign_assets a WHERE a.job_id = e.job_id ORDER BY a.position LIMIT 1)
     WHERE (e.attachment, e.key) IN (SELECT k.attachment, k.key FROM image_gen.attachment_entries k JOIN image_gen.finish_hooks h ON h.attachment = k.attachment
                                      WHERE h.id = ended.hook AND k.key = ended.key AND k.job_id = ended.job_id AND k.state = 'queued' FOR UPDATE OF k SKIP LOCKED);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.callback_done(bigint, text) IS
'A callback has succeeded: in the transaction that it ran in. answer: what the function returned, of an attached table how many rows it has written.';

CREATE FUNCTION image_gen_internal.callback_failed(failed_one bigint, hook bigint, error text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen_internal.callback_queue c SET last_error = left(error, 500) WHERE c.id = failed_one;
  UPDATE image_gen.finish_hooks h SET failures = h.failures + 1, last_error = left(error, 500)
   WHERE h.id = (SELECT l.id FROM image_gen.finish_hooks l WHERE l.id = $2 FOR UPDATE SKIP LOCKED);
END $$;
COMMENT ON FUNCTION image_gen_internal.callback_failed(bigint, bigint, text) IS 'A callback has failed: it is called again later, or given up.';

SET LOCAL search_path = image_gen, pg_temp;
