-- What doctor() looks at: the server that this database runs in, its settings and its worker.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE DOMAIN image_gen.check_state AS text CONSTRAINT check_state_check CHECK (VALUE IN ('ok', 'warning', 'failure'));
COMMENT ON DOMAIN image_gen.check_state IS 'How a check came out. warning: it works, and will not always. failure: something does not work, or is not safe.';

CREATE TYPE image_gen_internal.finding AS (name text, status image_gen.check_state, detail text, fix text);
COMMENT ON TYPE image_gen_internal.finding IS 'A line of doctor().';

CREATE FUNCTION image_gen_internal.finding(name text, severity text, problem text, fix text, otherwise text) RETURNS image_gen_internal.finding
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE WHEN problem IS NULL THEN (name, 'ok', otherwise, NULL)::image_gen_internal.finding ELSE (name, severity, problem, fix)::image_gen_internal.finding END;
END $$;
COMMENT ON FUNCTION image_gen_internal.finding(text, text, text, text, text) IS 'A line of doctor(): the problem, its severity and its fix; without a problem ok, and what is otherwise so.';

CREATE FUNCTION image_gen_internal.processes_in_use() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Background processes of extensions and parallel queries have any type but these.
  RETURN (SELECT count(*) FROM pg_stat_activity a
           WHERE a.backend_type NOT IN ('client backend', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer', 'startup', 'walreceiver', 'walsender', 'walwriter',
                                        'archiver', 'walsummarizer', 'slotsync worker', 'standalone backend', 'io worker'));
END $$;
COMMENT ON FUNCTION image_gen_internal.processes_in_use() IS 'How many processes count towards max_worker_processes just now.';

CREATE FUNCTION image_gen.check_worker(timeout interval DEFAULT '10 s', OUT status image_gen.check_state, OUT pid integer, OUT answered_in interval, OUT detail text, OUT fix text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  seconds double precision := extract(epoch FROM timeout);
  facts record;
  known record;
  processes bigint;
BEGIN
  IF seconds IS NULL OR seconds < 0 OR seconds > 60 THEN
    RAISE EXCEPTION 'timeout is %', coalesce(timeout::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time from 0 to 60 seconds.';
  END IF;
  SELECT f.* INTO facts FROM image_gen_internal.server_facts() f;
  SELECT w.pid, w.started_at, image_gen_internal.is_worker(w.pid) AS runs INTO known FROM image_gen_internal.worker_state w;
  IF pg_is_in_recovery() THEN
    SELECT 'ok', 'this server is a standby: the worker runs on the primary' INTO status, detail;
  ELSIF known.runs THEN
    pid := known.pid;
    IF NOT facts.preloaded THEN
      SELECT 'ok', format('worker %s runs since %s; without preloading it cannot be asked for a sign of life', known.pid, known.started_at) INTO status, detail;
      RETURN;
    END IF;
    answered_in := make_interval(secs => image_gen_internal.worker_answers(seconds));
    IF answered_in IS NOT NULL THEN
      SELECT 'ok', format('worker %s runs since %s and answers', known.pid, known.started_at) INTO status, detail;
    ELSE
      SELECT 'failure', format('worker %s is there and has not answered within %s s', known.pid, seconds),
        format('Look at it in pg_stat_activity (wait_event) and at the server''s log; SELECT pg_terminate_backend(%s) starts another one, which loses nothing.', known.pid) INTO status, detail, fix;
    END IF;
  ELSE
    processes := image_gen_internal.processes_in_use();
    status := 'failure';
    IF (SELECT d.datistemplate OR NOT d.datallowconn FROM pg_database d WHERE d.datname = current_database()) THEN
      SELECT 'no worker runs: this database is a template, or lets no one connect', 'ALTER DATABASE ... IS_TEMPLATE false ALLOW_CONNECTIONS true' INTO detail, fix;
    ELSIF processes >= current_setting('max_worker_processes')::bigint THEN
      SELECT format('no worker runs: all %s processes of max_worker_processes are in use', processes), 'Raise max_worker_processes in postgresql.conf and restart the server.' INTO detail, fix;
    ELSIF NOT facts.has_room THEN
      SELECT 'no worker runs: 64 databases of this server have one already', 'Drop the extension in databases that do not need it.' INTO detail, fix;
    ELSIF NOT facts.preloaded THEN
      SELECT 'no worker runs: the library is not preloaded, so nothing has started one since the server was started',
        'Add image_gen to shared_preload_libraries in postgresql.conf and restart; until then SELECT image_gen.start_worker() starts one.' INTO detail, fix;
    ELSE
      SELECT 'no worker runs', 'It is started again by itself, after a crash with a growing pause (image_gen.max_restart_pause); the server''s log says why it ended.' INTO detail, fix;
    END IF;
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.check_worker(interval) IS
'Whether this database''s worker runs and goes round its loop: it is asked for a sign of life and given so long (0 to 60 s). status: ok or failure; answered_in: how long that took; fix: what to do.
For monitoring: a worker that is dead, missing or hangs is seen within the timeout. Errors: 22023.';

CREATE FUNCTION image_gen.start_worker() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  PERFORM image_gen_internal.start_worker();
END $$;
COMMENT ON FUNCTION image_gen.start_worker() IS
'Starts this database''s worker at COMMIT, where none runs; a second one ends by itself. Needed after a restart of a server that does not preload the library. For administrators.';

CREATE FUNCTION image_gen_internal.check_server() RETURNS SETOF image_gen_internal.finding
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  facts record;
  worker record;
  known record;
  fence text := image_gen_internal.fence_reason();
  versions record;
  ahead timestamptz;
  used bigint;
  sessions bigint;
BEGIN
  SELECT f.* INTO facts FROM image_gen_internal.server_facts() f;
  SELECT c.* INTO worker FROM image_gen.check_worker('2 s') c;
  SELECT w.* INTO known FROM image_gen_internal.worker_state w;
  SELECT n.version AS library, e.extversion AS extension INTO versions FROM image_gen_internal.instance_identity() n, pg_extension e WHERE e.extname = 'image_gen';
  used := image_gen_internal.processes_in_use();
  SELECT count(*) INTO sessions FROM pg_stat_activity a WHERE a.backend_type = 'client backend';
  RETURN NEXT image_gen_internal.finding('preloading', 'warning', CASE WHEN NOT facts.preloaded THEN 'image_gen is not in shared_preload_libraries: the worker ends with this run of the server' END,
    'Add image_gen to shared_preload_libraries in postgresql.conf and restart the server.', 'the library is preloaded');
  RETURN NEXT image_gen_internal.finding('launcher', 'failure',
    CASE WHEN facts.preloaded AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.backend_type = 'image_gen launcher') THEN 'the launcher does not run: no worker is started again' END,
    'Raise max_worker_processes, look at the server''s log for why it ended, and restart the server.', CASE WHEN facts.preloaded THEN 'the launcher runs' ELSE 'not used without preloading' END);
  RETURN NEXT ('worker', worker.status, worker.detail, worker.fix)::image_gen_internal.finding;
  RETURN NEXT image_gen_internal.finding('worker errors', 'warning', CASE WHEN known.last_error <> '' THEN format('%s (%s)', known.last_error, known.last_error_at) END,
    'Put that right, then SELECT pg_reload_conf(): what is wrong still is said again.', 'none');
  RETURN NEXT image_gen_internal.finding('versions', 'failure',
    CASE WHEN versions.library <> versions.extension THEN format('the library is of version %s and the extension of version %s', versions.library, versions.extension) END,
    'ALTER EXTENSION image_gen UPDATE; where the library is the older one, install the newer one and restart the server.', versions.library);
  RETURN NEXT image_gen_internal.finding('fence', 'failure', fence, 'Where no other copy of this database works on its jobs: SELECT image_gen.resume(''why''). See docs/copies.md.', 'paid work may run here');
  RETURN NEXT image_gen_internal.finding('worker processes', 'warning',
    CASE WHEN used + 3 > current_setting('max_worker_processes')::bigint
         THEN format('%s of max_worker_processes = %s are in use; callbacks, webhooks and copies need one each while they have something to do', used, current_setting('max_worker_processes')) END,
    'Raise max_worker_processes in postgresql.conf by 3 for each database with image_gen, and restart the server.', format('%s of %s in use', used, current_setting('max_worker_processes')));
  RETURN NEXT image_gen_internal.finding('connections', 'warning',
    CASE WHEN sessions > 0.9 * current_setting('max_connections')::bigint THEN format('%s of max_connections = %s are in use', sessions, current_setting('max_connections')) END,
    'Pool the sessions, or raise max_connections. Each wait() holds one: settle() and webhooks need none meanwhile.', format('%s of %s in use', sessions, current_setting('max_connections')));
  RETURN NEXT image_gen_internal.finding('open files', 'warning', CASE WHEN known.cap_reason LIKE '%open files%' THEN known.cap_reason END,
    'Raise the limit of the server''s service (LimitNOFILE= of systemd, ulimit -n) and restart it, or lower image_gen.max_in_flight.', format('enough for %s jobs in flight', known.in_flight_cap));
  SELECT max(t) INTO ahead FROM unnest(ARRAY[known.started_at, pg_postmaster_start_time(), (SELECT j.created_at FROM image_gen.jobs j ORDER BY j.seq DESC LIMIT 1)]) t;
  RETURN NEXT image_gen_internal.finding('clock', 'failure', CASE WHEN ahead > clock_timestamp() + interval '1 s' THEN format('the clock is behind: it was %s here already', ahead) END,
    'Let the machine''s clock follow a time server (NTP), and set it right. Budgets and deadlines go by it.', 'not behind what was written down');
  RETURN NEXT image_gen_internal.finding('durability', 'failure',
    CASE WHEN current_setting('fsync') = 'off' THEN 'fsync is off: after a crash of the machine a request that was sent can be forgotten, and paid for again'
         WHEN current_setting('full_page_writes') = 'off' THEN 'full_page_writes is off: after a crash of the machine tables can be broken' END,
    'Set fsync = on and full_page_writes = on in postgresql.conf, and reload.', 'fsync and full_page_writes are on');
  RETURN NEXT image_gen_internal.finding('wal_level', 'warning',
    CASE WHEN current_setting('wal_level') = 'minimal' THEN 'wal_level is minimal: there can be no standby and no backup to a point in time, so what is in flight dies with the machine' END,
    'Set wal_level = replica in postgresql.conf and restart the server.', current_setting('wal_level'));
  RETURN NEXT image_gen_internal.finding('certificates', 'failure', CASE WHEN facts.authorities = 0 THEN 'this machine trusts no certificate authority: nothing can be asked over https' END,
    'Install the package ca-certificates, and restart the server.', format('%s authorities are trusted', facts.authorities));
  RETURN NEXT image_gen_internal.finding('keys', 'failure', image_gen_internal.secrets_problem(),
    'Put the file right (its own user, mode 0600, lines NAME=value), then SELECT pg_reload_conf().',
    CASE WHEN coalesce(current_setting('image_gen.secrets_file', true), '') = '' THEN 'from the server''s environment; image_gen.secrets_file is not set' ELSE 'the file is readable, and by its owner only' END);
  RETURN NEXT image_gen_internal.finding('pause points', 'failure', CASE WHEN facts.pause_points THEN 'image_gen.pause_points is set: files in a folder hold the worker' END,
    'Remove image_gen.pause_points from postgresql.conf and restart the server. It is for tests.', 'none');
END $$;
COMMENT ON FUNCTION image_gen_internal.check_server() IS 'The lines of doctor() about the server, this database''s place in it and the worker.';

CREATE FUNCTION image_gen_internal.check_settings() RETURNS SETOF image_gen_internal.finding
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found boolean := false;
  wrong image_gen_internal.finding;
  setting text;
  problem text;
  model record;
BEGIN
  FOR wrong IN SELECT (u.line).* FROM (
    -- image_gen.pause_points is shown nowhere.
    SELECT image_gen_internal.finding('setting ' || f.name, 'warning', format('%s:%s sets it, and this version has no such setting: it does nothing', f.sourcefile, f.sourceline),
             'SHOW ALL lists those that there are; correct or remove the line.', NULL)
      FROM pg_file_settings f WHERE f.name LIKE 'image\_gen.%' AND f.name <> 'image_gen.pause_points' AND NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = f.name)
    UNION ALL
    SELECT image_gen_internal.finding('setting ' || f.name, 'failure', format('%s:%s is not in effect: %s', f.sourcefile, f.sourceline, coalesce(f.error, 'the server has not read it')),
             'Correct the line, then SELECT pg_reload_conf().', NULL)
      FROM pg_file_settings f JOIN pg_settings s ON s.name = f.name WHERE f.name LIKE 'image\_gen.%' AND f.error IS NOT NULL AND NOT s.pending_restart
    UNION ALL
    SELECT image_gen_internal.finding('setting ' || s.name, 'warning', 'it was changed, and waits for a restart of the server', 'Restart the server.', NULL)
      FROM pg_settings s WHERE s.pending_restart AND (s.name LIKE 'image\_gen.%' OR s.name IN ('shared_preload_libraries', 'max_worker_processes', 'wal_level'))
    UNION ALL
    SELECT image_gen_internal.finding('setting ' || n.name, 'warning',
             format('it is set for %s, where it does nothing: %s', concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname),
                    CASE WHEN s.name IS NULL THEN 'this version has no such setting' ELSE 'only postgresql.conf can set it' END),
             format('ALTER %s RESET %s;%s', CASE WHEN r.rolname IS NULL THEN format('DATABASE %I', d.datname) ELSE concat_ws(' IN DATABASE ', format('ROLE %I', r.rolname), quote_ident(d.datname)) END,
                    n.name, CASE WHEN s.name IS NULL THEN '' ELSE ' set it in postgresql.conf' END), NULL)
      FROM pg_db_role_setting g CROSS JOIN LATERAL unnest(g.setconfig) AS c(line) CROSS JOIN LATERAL (SELECT split_part(c.line, '=', 1)) AS n(name)
      LEFT JOIN pg_database d ON d.oid = g.setdatabase LEFT JOIN pg_roles r ON r.oid = g.setrole LEFT JOIN pg_settings s ON s.name = n.name
     WHERE n.name LIKE 'image\_gen.%' AND (g.setdatabase = 0 OR d.datname = current_database()) AND (s.name IS NULL OR s.context IN ('sighup', 'postmaster'))
    UNION ALL
    SELECT image_gen_internal.finding('setting ' || n.name, 'warning', 'it does nothing without image_gen.asset_store', 'Set image_gen.asset_store too, or remove it.', NULL)
      FROM unnest('{image_gen.asset_name,image_gen.asset_public_url}'::text[]) AS n(name)
     WHERE coalesce(current_setting('image_gen.asset_store', true), '') = '' AND coalesce(current_setting(n.name, true), '') <> ''
    UNION ALL
    SELECT image_gen_internal.finding('setting image_gen.on_uncertain', 'warning', 'it is retry: a request of unknown fate is sent again, and may be paid twice', 'Set it to review, so that a person decides.', NULL)
     WHERE current_setting('image_gen.on_uncertain', true) = 'retry'
    UNION ALL
    SELECT image_gen_internal.finding('setting image_gen.preview_when_unconfigured', 'warning', 'it is on: a job whose model has no key gets a drawn preview in place of an image', 'Set it to off where images are wanted.', NULL)
     WHERE current_setting('image_gen.preview_when_unconfigured', true) = 'on'
    UNION ALL
    SELECT image_gen_internal.finding('setting image_gen.outage_timeout', 'warning', 'it is 0: a job fails at the first outage that it cannot go around', 'Set it to how long a job may wait, such as 1h.', NULL)
     WHERE current_setting('image_gen.outage_timeout', true) IN ('0', '0s')) AS u(line)
  LOOP
    found := true;
    RETURN NEXT wrong;
  END LOOP;
  setting := nullif(current_setting('image_gen.prompt_rewriter', true), '');
  IF setting IS NOT NULL THEN
    problem := NULL;
    SELECT CASE WHEN bool_and(r.rolsuper) THEN 'its owner is a superuser, so it is not called' END INTO problem
      FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE p.oid = to_regprocedure(setting || '(text,jsonb)') HAVING count(*) > 0;
    IF to_regprocedure(setting || '(text,jsonb)') IS NULL THEN
      problem := format('there is no function %s(text, jsonb): prompts are softened by the rules alone', setting);
    END IF;
    IF problem IS NOT NULL THEN
      found := true;
      RETURN NEXT image_gen_internal.finding('setting image_gen.prompt_rewriter', 'failure', problem,
        'Make the function (prompt text, context jsonb) returns text, owned by a role that is no superuser, and name it with its schema; or remove the setting.', NULL);
    END IF;
  END IF;
  setting := nullif(current_setting('image_gen.embedding_function', true), '');
  IF setting IS NOT NULL AND to_regprocedure(setting || '(bytea)') IS NULL THEN
    found := true;
    RETURN NEXT image_gen_internal.finding('setting image_gen.embedding_function', 'failure', format('there is no function %s(bytea): images are compared as a whole', setting),
      'Make the function (image bytea) returns double precision[] and name it with its schema; or remove the setting.', NULL);
  END IF;
  BEGIN
    SELECT r.* INTO model FROM image_gen_internal.resolve_model(current_setting('image_gen.default_model', true), 'generate') r;
    problem := CASE WHEN NOT model.offered THEN format('no enabled provider offers %s', model.model) END;
  EXCEPTION WHEN undefined_object OR invalid_parameter_value OR feature_not_supported THEN
    problem := sqlerrm;
  END;
  IF problem IS NOT NULL THEN
    found := true;
    RETURN NEXT image_gen_internal.finding('setting image_gen.default_model', 'failure', problem || ': a job without a model of its own is an error', 'Name one of image_gen.models, or provider:model.', NULL);
  END IF;
  problem := image_gen_internal.preferences_problem();
  IF problem IS NOT NULL THEN
    found := true;
    RETURN NEXT image_gen_internal.finding('setting image_gen.provider_preferences', 'failure', problem || ': every job is an error', 'Give an object of preferred, only, weights and blocked, with ids of image_gen.providers.', NULL);
  END IF;
  IF NOT found THEN
    RETURN NEXT image_gen_internal.finding('settings', 'ok', NULL, NULL, 'all that are set have an effect');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_settings() IS 'The lines of doctor() about settings: those that do nothing, name what is not there, or are not safe.';

SET LOCAL search_path = image_gen, pg_temp;
