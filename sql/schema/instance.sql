-- Where paid work may run. A restored, cloned or promoted database holds jobs that another one may be working on: it does
-- nothing until an administrator says that it is the one (resume). Two marks, for two ways of copying:
--   instance        which cluster, timeline, database and data folder was allowed last: a copy of the files is another one
--   queue.instance  under which row of instance a job was queued: rows that came by a dump or by logical replication are not of here

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen_internal.instance (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  system     text NOT NULL,
  timeline   bigint NOT NULL,
  database   bigint NOT NULL,
  files      text NOT NULL,
  allowed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  allowed_by name NOT NULL,
  note       text
);
COMMENT ON TABLE image_gen_internal.instance IS
'Where paid work may run: one row, and it is this database. Another row, or a second one (it came with a dump), holds the worker until resume().';
COMMENT ON COLUMN image_gen_internal.instance.id IS 'queue.instance of the jobs that were queued under it.';
COMMENT ON COLUMN image_gen_internal.instance.system IS 'The cluster''s system identifier.';
COMMENT ON COLUMN image_gen_internal.instance.timeline IS 'Its timeline: promotion and recovery from a backup begin a new one, a restart or a crash does not.';
COMMENT ON COLUMN image_gen_internal.instance.database IS 'The oid of the database.';
COMMENT ON COLUMN image_gen_internal.instance.files IS 'Inode and birth of a file in the data folder that is written once: in a copy they are others.';
COMMENT ON COLUMN image_gen_internal.instance.allowed_at IS 'When the extension was created here, or resume() was called last.';
COMMENT ON COLUMN image_gen_internal.instance.allowed_by IS 'By whom.';
COMMENT ON COLUMN image_gen_internal.instance.note IS 'What resume() was told.';

INSERT INTO image_gen_internal.instance (system, timeline, database, files, allowed_by)
SELECT n.system, n.timeline, n.database, n.files, image_gen_internal.role_name(image_gen_internal.caller()) FROM image_gen_internal.instance_identity() n;

-- Each session remembers for a transaction which instance it is at.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen_internal.instance FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen_internal.instance EXECUTE FUNCTION image_gen_internal.catalogue_changed();
ALTER TABLE image_gen_internal.instance ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied;

-- Dumped, so that a restored database knows that it is one; jobs in the queue with all they know, for resume().
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.instance', '');

SET LOCAL search_path = image_gen, pg_temp;
