-- Is this the database that was allowed to do paid work?

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.instance_id() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A job can be queued while the worker is fenced, even where nothing is known: resume() finds it.
  RETURN coalesce((SELECT h.id FROM image_gen_internal.instance h CROSS JOIN image_gen_internal.instance_identity() n
                    ORDER BY (h.system, h.timeline, h.database, h.files) = (n.system, n.timeline, n.database, n.files) DESC,
                             h.allowed_at DESC LIMIT 1),
                  '00000000-0000-0000-0000-000000000000');
END $$;
COMMENT ON FUNCTION image_gen_internal.instance_id() IS 'The row of instance that is this database.';
ALTER TABLE image_gen_internal.queue ALTER COLUMN instance SET DEFAULT image_gen_internal.instance_id();

CREATE FUNCTION image_gen_internal.fence_reason() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  version text;
  rows bigint;
  known image_gen_internal.instance;
  here record;
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN 'this server is a standby';
  END IF;
  SELECT e.extversion INTO version FROM pg_extension e WHERE e.extname = 'image_gen';
  SELECT count(*) INTO rows FROM image_gen_internal.instance;
  SELECT h.* INTO known FROM image_gen_internal.instance h LIMIT 1;
  SELECT n.* INTO here FROM image_gen_internal.instance_identity() n;
  RETURN CASE
    WHEN version <> here.version THEN
      format('the library is of version %s and the extension of version %s: ALTER EXTENSION image_gen UPDATE', here.version, version)
    WHEN rows = 0 THEN 'paid work was never allowed here'
    WHEN rows > 1 THEN 'rows of a dump were restored'
    WHEN known.system <> here.system THEN 'this is another cluster than the one that was allowed (restored, or upgraded)'
    WHEN known.timeline <> here.timeline THEN
      format('the server was promoted or recovered from a backup (timeline %s, not %s)', here.timeline, known.timeline)
    WHEN known.database <> here.database THEN 'this database is a copy of the one that was allowed'
    WHEN known.files <> here.files THEN 'the data folder is a copy of the one that was allowed'
  END;
END $$;
COMMENT ON FUNCTION image_gen_internal.fence_reason() IS 'Why no paid work may run here; NULL when it may.';

CREATE FUNCTION image_gen_internal.adopt_template_copy() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  why text := image_gen_internal.fence_reason();
  here record;
BEGIN
  IF why IS NULL OR EXISTS (SELECT FROM image_gen.jobs) OR EXISTS (SELECT FROM image_gen_internal.queue) THEN
    RETURN why;
  END IF;
  -- A database made from a template that has the extension: nothing was ever asked there. (A restored dump has two rows.)
  SELECT n.* INTO here FROM image_gen_internal.instance_identity() n;
  UPDATE image_gen_internal.instance h SET id = gen_random_uuid(), database = here.database, allowed_at = clock_timestamp()
   WHERE (h.system, h.timeline, h.files) = (here.system, here.timeline, here.files) AND h.database <> here.database
     AND (SELECT count(*) FROM image_gen_internal.instance) = 1;
  RETURN image_gen_internal.fence_reason();
END $$;
COMMENT ON FUNCTION image_gen_internal.adopt_template_copy() IS 'Makes a fresh copy of a template an instance of its own. Why no paid work may run here; NULL when it may.';

CREATE FUNCTION image_gen_internal.fence(pid integer, mode text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  why text := image_gen_internal.adopt_template_copy();
BEGIN
  IF why IS NOT NULL THEN
    -- So that it is seen, and that resume() can wake it.
    UPDATE image_gen_internal.worker_state w SET pid = $1, mode = $2, started_at = clock_timestamp() WHERE w.pid IS DISTINCT FROM $1;
  END IF;
  RETURN why;
END $$;
COMMENT ON FUNCTION image_gen_internal.fence(integer, text) IS 'Why a worker that starts must be fenced, and notes that it is there; NULL when it may go on.';

CREATE FUNCTION image_gen.resume(note text DEFAULT NULL)
RETURNS TABLE (requeued integer, followed integer, ended integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kept uuid;
  adopted bigint[];
  why text;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby: it runs no jobs' USING ERRCODE = 'read_only_sql_transaction',
      HINT = 'Promote it first, and stop the primary.';
  ELSIF EXISTS (SELECT FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
                 WHERE s.subenabled AND r.srrelid IN ('image_gen.jobs'::regclass, 'image_gen.attempts'::regclass, 'image_gen_internal.queue'::regclass)) THEN
    RAISE EXCEPTION 'the jobs of this database come from a publisher, who works on them'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Stop the publisher and disable the subscription first.';
  END IF;
  LOCK TABLE image_gen_internal.instance IN SHARE ROW EXCLUSIVE MODE;
  SELECT h.id INTO kept FROM image_gen_internal.instance h JOIN image_gen_internal.instance_identity() n
      ON (h.system, h.timeline, h.database, h.files) = (n.system, n.timeline, n.database, n.files)
   ORDER BY h.allowed_at DESC LIMIT 1;
  DELETE FROM image_gen_internal.instance h WHERE h.id IS DISTINCT FROM kept;
  IF kept IS NULL THEN
    INSERT INTO image_gen_internal.instance (system, timeline, database, files, allowed_by, note)
    SELECT n.system, n.timeline, n.database, n.files, image_gen_internal.role_name(image_gen_internal.caller()), resume.note FROM image_gen_internal.instance_identity() n
    RETURNING id INTO kept;
  ELSE
    UPDATE image_gen_internal.instance h SET allowed_at = clock_timestamp(), allowed_by = image_gen_internal.role_name(image_gen_internal.caller()), note = resume.note WHERE h.id = kept;
  END IF;
  -- A restore may have brought any jobs, in any order.
  PERFORM image_gen_internal.reset_spending();
  -- A dump has what attachments are made of, and not that it goes with their tables and columns.
  PERFORM image_gen_internal.bind_attachment(d.id) FROM image_gen.attachment_definitions d;
  adopted := image_gen_internal.adopt_foreign_jobs(kept);
  why := image_gen_internal.fence_reason();
  IF why IS NOT NULL THEN
    RAISE EXCEPTION 'paid work stays fenced: %', why USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'Put that right first; the worker looks again by itself.';
  END IF;
  RAISE LOG 'image_gen: % allows paid work in database %', image_gen_internal.role_name(image_gen_internal.caller()), concat_ws(': ', current_database(), quote_literal(resume.note));
  PERFORM image_gen_internal.record_audit('work.resumed', current_database(), jsonb_build_object('note', note, 'jobs', coalesce(cardinality(adopted), 0)));
  PERFORM image_gen_internal.wake(1);
  RETURN QUERY
  SELECT count(*) FILTER (WHERE q.seq IS NOT NULL AND NOT f.followed)::integer, count(*) FILTER (WHERE f.followed)::integer,
         count(*) FILTER (WHERE q.seq IS NULL)::integer
    FROM unnest(adopted) a LEFT JOIN image_gen_internal.queue q ON q.seq = a
   CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM image_gen.attempts t WHERE t.job_id = q.job_id AND t.status = 'running') AS followed) f;
END $$;
COMMENT ON FUNCTION image_gen.resume(text) IS
'Allows paid work in this database from now on, when it is a restored, cloned or promoted one, and takes over its unfinished jobs: those never sent are queued
(requeued), those that a provider has accepted are followed by their remote id (followed), those whose fate is unknown are left to a person (needs_review; ended).
No other copy of this database may be working on the same jobs: stop it first, or both send what was waiting. note: why, for instance and the server''s log.
Calling it where nothing is fenced does no harm: it finds jobs that a restore has left behind. Errors: 25006 on a standby, 55000 where a subscription feeds the jobs.';

SET LOCAL search_path = image_gen, pg_temp;
