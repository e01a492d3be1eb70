-- Who has changed what decides about money, keys, addresses and rights. Rows are only added, in the transaction of the change, so what
-- is rolled back leaves none; nothing is written for a job. (What was refused is an ERROR, which takes the caller's transaction back:
-- the server's log has it.)

SET LOCAL search_path = pg_catalog, pg_temp;

-- No number: a restore writes rows of its own while those of the dump come in.
CREATE TABLE image_gen.audit_log (
  id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  role    name NOT NULL,
  login   name NOT NULL,
  action  text COLLATE "C" NOT NULL CONSTRAINT audit_log_action_check CHECK (action ~ '^[a-z_]+[.][a-z_]+$'),
  object  text NOT NULL,
  details image_gen.jsonb_object NOT NULL DEFAULT '{}',
  times   bigint NOT NULL DEFAULT 1 CONSTRAINT audit_log_times_check CHECK (times > 0)
);
CREATE INDEX audit_log_at ON image_gen.audit_log (at);
CREATE INDEX audit_log_purged ON image_gen.audit_log (at) WHERE action = 'audit.purged';
COMMENT ON TABLE image_gen.audit_log IS
'Who has changed what decides about money, keys, addresses and rights, and what was turned away: rows are only added, see docs/roles.md. Members of image_gen_admin read it, and remove what is old with
purge_audit_log(), which is in it, too.';
COMMENT ON COLUMN image_gen.audit_log.id IS 'Random.';
COMMENT ON COLUMN image_gen.audit_log.at IS 'When.';
COMMENT ON COLUMN image_gen.audit_log.role IS 'The role in effect (SET ROLE, else the login), by its name then; image_gen_worker where the worker did it by itself.';
COMMENT ON COLUMN image_gen.audit_log.login IS 'The role that the session was logged in as.';
COMMENT ON COLUMN image_gen.audit_log.action IS 'What was done: the kind of thing, a dot, and created, changed, removed, or another verb.';
COMMENT ON COLUMN image_gen.audit_log.object IS 'To which one: an id, a name, a host and port.';
COMMENT ON COLUMN image_gen.audit_log.details IS '{"old", "new"}: of a change, the columns that differ; else what there is to say. Never a key, a prompt or an image.';
COMMENT ON COLUMN image_gen.audit_log.times IS 'How often, where the same is folded: requests that were turned away.';

CREATE FUNCTION image_gen_internal.keep_audit_log() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- What the log itself says was removed may go; that it says so stays for ever.
  IF TG_OP = 'DELETE' THEN
    IF OLD.action <> 'audit.purged'
       AND EXISTS (SELECT FROM image_gen.audit_log p WHERE p.action = 'audit.purged' AND p.at >= OLD.at AND (p.details ->> 'before')::timestamptz > OLD.at) THEN
      RETURN OLD;
    END IF;
  END IF;
  RAISE EXCEPTION 'rows of image_gen.audit_log are only added' USING ERRCODE = 'insufficient_privilege', HINT = 'image_gen.purge_audit_log() removes what is old, and says so.';
END $$;
COMMENT ON FUNCTION image_gen_internal.keep_audit_log() IS 'An error for a change of audit_log.';
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON image_gen.audit_log FOR EACH ROW EXECUTE FUNCTION image_gen_internal.keep_audit_log();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON image_gen.audit_log EXECUTE FUNCTION image_gen_internal.keep_audit_log();
ALTER TABLE image_gen.audit_log ENABLE ALWAYS TRIGGER kept, ENABLE ALWAYS TRIGGER kept_whole;

CREATE FUNCTION image_gen_internal.record_audit(action text, object text, details jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.audit_log (role, login, action, object, details)
  VALUES (image_gen_internal.role_name(image_gen_internal.caller()), session_user, $1, coalesce($2, ''), coalesce($3, '{}'));
END $$;
COMMENT ON FUNCTION image_gen_internal.record_audit(text, text, jsonb) IS 'Writes down what the caller has done.';

CREATE FUNCTION image_gen_internal.audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kind text := TG_ARGV[0];
  keys text[] := TG_ARGV[1];
  columns text[] := TG_ARGV[2];
  before jsonb;
  after jsonb;
  changed text[];
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM image_gen_internal.record_audit(kind || '.emptied', format('%s.%s', TG_TABLE_SCHEMA, TG_TABLE_NAME));
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    before := to_jsonb(OLD);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    after := to_jsonb(NEW);
  END IF;
  changed := ARRAY(SELECT c FROM unnest(keys || columns) c WHERE before -> c IS DISTINCT FROM after -> c);
  IF changed <> '{}' THEN
    PERFORM image_gen_internal.record_audit(
      kind || CASE TG_OP WHEN 'INSERT' THEN '.created' WHEN 'UPDATE' THEN '.changed' ELSE '.removed' END,
      (SELECT string_agg(coalesce(coalesce(before, after) ->> k, '-'), ' ' ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS u(k, n)),
      jsonb_strip_nulls(jsonb_build_object('old', (SELECT jsonb_object_agg(c, before -> c) FROM unnest(changed) c WHERE before IS NOT NULL),
                                           'new', (SELECT jsonb_object_agg(c, after -> c) FROM unnest(changed) c WHERE after IS NOT NULL))));
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.audit_change() IS
'Writes a change of a row into audit_log. Arguments: the kind of thing, the columns that name one, and the columns whose changes are written down.';

CREATE FUNCTION image_gen_internal.record_denials(destinations text[], targets text[], times bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.audit_log (role, login, action, object, details, times)
  SELECT 'image_gen_worker', 'image_gen_worker', 'egress.denied', coalesce(d.target, '(others)'), jsonb_build_object('destination', d.destination), d.times
    FROM unnest($1, $2, $3) AS d(destination, target, times);
END $$;
COMMENT ON FUNCTION image_gen_internal.record_denials(text[], text[], bigint[]) IS 'Writes down which requests were turned away, folded by target.';

CREATE FUNCTION image_gen_internal.record_key_reload(replaced text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.audit_log (role, login, action, object, details)
  SELECT 'image_gen_worker', 'image_gen_worker', 'key.replaced', r.name, '{}' FROM unnest($1) AS r(name);
END $$;
COMMENT ON FUNCTION image_gen_internal.record_key_reload(text[]) IS 'Writes down which keys have another value since the last reload: their names.';

CREATE FUNCTION image_gen_internal.audit_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.audit_log (role, login, action, object)
  SELECT 'image_gen_worker', 'image_gen_worker', CASE WHEN n.name = ANY (NEW.configured) THEN 'key.added' ELSE 'key.removed' END, n.name
    FROM (SELECT unnest(NEW.configured) EXCEPT SELECT unnest(OLD.configured) UNION ALL (SELECT unnest(OLD.configured) EXCEPT SELECT unnest(NEW.configured))) AS n(name)
   ORDER BY n.name;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.audit_keys() IS 'Writes down which keys the worker has since now, and which no longer: their names.';
CREATE TRIGGER audited AFTER UPDATE ON image_gen_internal.worker_state FOR EACH ROW
  WHEN (OLD.configured IS DISTINCT FROM NEW.configured) EXECUTE FUNCTION image_gen_internal.audit_keys();
ALTER TABLE image_gen_internal.worker_state ENABLE ALWAYS TRIGGER audited;

SELECT pg_catalog.pg_extension_config_dump('image_gen.audit_log', '');

SET LOCAL search_path = image_gen, pg_temp;
