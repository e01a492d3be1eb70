-- Where paid work may run. A restored, cloned or promoted database holds jobs that another one may be working on: it does
-- nothing until an administrator says that it is the one (resume). Two marks, for two ways of copying:
--   home        which cluster, timeline, database and data folder was allowed last: a copy of the files is another one
--   queue.home  under which row of home a job was queued: rows that came by a dump or by logical replication are not of here

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.home (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  system     text NOT NULL,
  timeline   bigint NOT NULL,
  database   bigint NOT NULL,
  files      text NOT NULL,
  allowed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  allowed_by name NOT NULL,
  note       text
);
COMMENT ON TABLE image_gen.home IS
'Where paid work may run: one row, and it is this database. Another row, or a second one (it came with a dump), holds the worker until resume().';
COMMENT ON COLUMN image_gen.home.id IS 'queue.home of the jobs that were queued under it.';
COMMENT ON COLUMN image_gen.home.system IS 'The cluster''s system identifier.';
COMMENT ON COLUMN image_gen.home.timeline IS 'Its timeline: promotion and recovery from a backup begin a new one, a restart or a crash does not.';
COMMENT ON COLUMN image_gen.home.database IS 'The oid of the database.';
COMMENT ON COLUMN image_gen.home.files IS 'Inode and birth of a file in the data folder that is written once: in a copy they are others.';
COMMENT ON COLUMN image_gen.home.allowed_at IS 'When the extension was created here, or resume() was called last.';
COMMENT ON COLUMN image_gen.home.allowed_by IS 'By whom.';
COMMENT ON COLUMN image_gen.home.note IS 'What resume() was told.';

INSERT INTO image_gen.home (system, timeline, database, files, allowed_by)
SELECT n.system, n.timeline, n.database, n.files, image_gen._role_name(image_gen._caller()) FROM image_gen._here() n;

-- Dumped, so that a restored database knows that it is one; jobs in the queue with all they know, for resume().
SELECT pg_catalog.pg_extension_config_dump('image_gen.home', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.queue', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.cancels', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.waits', '');

-- Each session remembers for a transaction which home it is at.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.home FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.home EXECUTE FUNCTION image_gen._catalogue_changed();
ALTER TABLE image_gen.home ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied;

CREATE FUNCTION image_gen._home() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A job can be queued while the worker is held, even where nothing is known: resume() finds it.
  RETURN coalesce((SELECT h.id FROM image_gen.home h CROSS JOIN image_gen._here() n
                    ORDER BY (h.system, h.timeline, h.database, h.files) = (n.system, n.timeline, n.database, n.files) DESC,
                             h.allowed_at DESC LIMIT 1),
                  '00000000-0000-0000-0000-000000000000');
END $$;
COMMENT ON FUNCTION image_gen._home() IS 'The row of home that is this database.';
ALTER TABLE image_gen.queue ALTER COLUMN home SET DEFAULT image_gen._home();

CREATE FUNCTION image_gen._held() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  version text;
  rows bigint;
  known image_gen.home;
  here record;
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN 'this server is a standby';
  END IF;
  SELECT e.extversion INTO version FROM pg_extension e WHERE e.extname = 'image_gen';
  SELECT count(*) INTO rows FROM image_gen.home;
  SELECT h.* INTO known FROM image_gen.home h LIMIT 1;
  SELECT n.* INTO here FROM image_gen._here() n;
  RETURN CASE
    WHEN version <> here.version THEN
      format('the library is of version %s and the extension of version %s: ALTER EXTENSION image_gen UPDATE', here.version, version)
    WHEN rows = 0 THEN 'nobody has allowed paid work here'
    WHEN rows > 1 THEN 'rows of a dump were restored'
    WHEN known.system <> here.system THEN 'this is another cluster than the one that was allowed (restored, or upgraded)'
    WHEN known.timeline <> here.timeline THEN
      format('the server was promoted or recovered from a backup (timeline %s, not %s)', here.timeline, known.timeline)
    WHEN known.database <> here.database THEN 'this database is a copy of the one that was allowed'
    WHEN known.files <> here.files THEN 'the data folder is a copy of the one that was allowed'
  END;
END $$;
COMMENT ON FUNCTION image_gen._held() IS 'Why no paid work may run here; NULL when it may.';

CREATE FUNCTION image_gen._settle_in() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  why text := image_gen._held();
  here record;
BEGIN
  IF why IS NULL OR EXISTS (SELECT FROM image_gen.jobs) OR EXISTS (SELECT FROM image_gen.queue) THEN
    RETURN why;
  END IF;
  -- A database made from a template that has the extension: nothing was ever asked there. (A restored dump has two rows.)
  SELECT n.* INTO here FROM image_gen._here() n;
  UPDATE image_gen.home h SET id = gen_random_uuid(), database = here.database, allowed_at = clock_timestamp()
   WHERE (h.system, h.timeline, h.files) = (here.system, here.timeline, here.files) AND h.database <> here.database
     AND (SELECT count(*) FROM image_gen.home) = 1;
  RETURN image_gen._held();
END $$;
COMMENT ON FUNCTION image_gen._settle_in() IS 'Makes a fresh copy of a template its own home. Why no paid work may run here; NULL when it may.';

CREATE FUNCTION image_gen._hold(pid integer, mode text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  why text := image_gen._settle_in();
BEGIN
  IF why IS NOT NULL THEN
    -- So that it is seen, and that resume() can wake it.
    UPDATE image_gen.worker_state w SET pid = $1, mode = $2, started_at = clock_timestamp() WHERE w.pid IS DISTINCT FROM $1;
  END IF;
  RETURN why;
END $$;
COMMENT ON FUNCTION image_gen._hold(integer, text) IS 'Why a worker that starts must be held, and notes that it is there; NULL when it may go on.';

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
                 WHERE s.subenabled AND r.srrelid IN ('image_gen.jobs'::regclass, 'image_gen.attempts'::regclass, 'image_gen.queue'::regclass)) THEN
    RAISE EXCEPTION 'the jobs of this database come from a publisher, who works on them'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Stop the publisher and disable the subscription first.';
  END IF;
  LOCK TABLE image_gen.home IN SHARE ROW EXCLUSIVE MODE;
  SELECT h.id INTO kept FROM image_gen.home h JOIN image_gen._here() n
      ON (h.system, h.timeline, h.database, h.files) = (n.system, n.timeline, n.database, n.files)
   ORDER BY h.allowed_at DESC LIMIT 1;
  DELETE FROM image_gen.home h WHERE h.id IS DISTINCT FROM kept;
  IF kept IS NULL THEN
    INSERT INTO image_gen.home (system, timeline, database, files, allowed_by, note)
    SELECT n.system, n.timeline, n.database, n.files, image_gen._role_name(image_gen._caller()), resume.note FROM image_gen._here() n
    RETURNING id INTO kept;
  ELSE
    UPDATE image_gen.home h SET allowed_at = clock_timestamp(), allowed_by = image_gen._role_name(image_gen._caller()), note = resume.note WHERE h.id = kept;
  END IF;
  -- A restore may have brought any jobs, in any order.
  PERFORM image_gen._forget_spending();
  adopted := image_gen._adopt(kept);
  why := image_gen._held();
  IF why IS NOT NULL THEN
    RAISE EXCEPTION 'paid work stays held: %', why USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'Put that right first; the worker looks again by itself.';
  END IF;
  RAISE LOG 'image_gen: % allows paid work in database %', image_gen._role_name(image_gen._caller()), concat_ws(': ', current_database(), quote_literal(resume.note));
  PERFORM image_gen._wake(1);
  RETURN QUERY
  SELECT count(*) FILTER (WHERE q.seq IS NOT NULL AND NOT f.followed)::integer, count(*) FILTER (WHERE f.followed)::integer,
         count(*) FILTER (WHERE q.seq IS NULL)::integer
    FROM unnest(adopted) a LEFT JOIN image_gen.queue q ON q.seq = a
   CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM image_gen.attempts t WHERE t.job_id = q.job_id AND t.status = 'running') AS followed) f;
END $$;
COMMENT ON FUNCTION image_gen.resume(text) IS
'Allows paid work in this database from now on, when it is a restored, cloned or promoted one, and takes over its unfinished jobs: those never sent are queued
(requeued), those that a provider has accepted are followed by their remote id (followed), those whose fate nobody knows are left to a person (needs_review; ended).
No other copy of this database may be working on the same jobs: stop it first, or both send what was waiting. note: why, for home and the server''s log.
Calling it where nothing is held does no harm: it finds jobs that a restore has left behind. Errors: 25006 on a standby, 55000 where a subscription feeds the jobs.';

SET LOCAL search_path = image_gen, pg_temp;
