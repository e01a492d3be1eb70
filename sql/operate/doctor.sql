-- What an administrator asks when something does not work: a checklist, and a question to a provider.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.doctor(thorough boolean DEFAULT false) RETURNS TABLE (name text, status image_gen.check_state, detail text, fix text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  RETURN QUERY SELECT f.* FROM image_gen_internal.check_server() f;
  RETURN QUERY SELECT f.* FROM image_gen_internal.check_settings() f;
  RETURN QUERY SELECT f.* FROM image_gen_internal.check_providers() f;
  RETURN QUERY SELECT f.* FROM image_gen_internal.check_work(coalesce(doctor.thorough, false)) f;
END $$;
COMMENT ON FUNCTION image_gen.doctor(boolean) IS
'A checklist of this database''s installation, with what to do about each line that is not ok: the server, the worker, settings, keys, providers as the worker has seen them, models, money, stores,
webhooks, callbacks and what waits for a person. No provider is asked (see check_provider()), and no key is shown. thorough: the books are proved as well (check_budgets()), which reads all jobs.
SELECT * FROM image_gen.doctor() WHERE status <> ''ok'' is what is to be done. For administrators.';

CREATE FUNCTION image_gen.check_provider(id text, timeout interval DEFAULT '5 s')
RETURNS TABLE (status image_gen.check_state, standing text, http_status integer, answered_in interval, detail text, fix text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  seconds double precision := extract(epoch FROM timeout);
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF check_provider.id IS NULL THEN
    RAISE EXCEPTION 'id is NULL' USING ERRCODE = 'null_value_not_allowed', HINT = 'SELECT id FROM image_gen.providers lists them.';
  ELSIF seconds IS NULL OR seconds < 0.1 OR seconds > 60 THEN
    RAISE EXCEPTION 'timeout is %', coalesce(timeout::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time from 0.1 to 60 seconds.';
  END IF;
  RETURN QUERY
  SELECT CASE WHEN p.standing IN ('ready', 'reachable', 'nothing_to_ask') THEN 'ok' WHEN p.standing = 'unwell' THEN 'warning' ELSE 'failure' END::image_gen.check_state,
         p.standing, p.http_status, make_interval(secs => p.seconds),
         concat_ws(': ', CASE p.standing
           WHEN 'ready' THEN 'it answers, and takes the key' WHEN 'reachable' THEN 'it answers; it has no free question that shows whether the key is right' WHEN 'unwell' THEN 'it answers, and cannot work just now'
           WHEN 'unauthorised' THEN 'it does not take the key' WHEN 'out_of_credit' THEN 'the account is empty' WHEN 'unreachable' THEN 'it cannot be reached' END, p.message),
         CASE p.standing
           WHEN 'unwell' THEN 'Jobs go elsewhere, or wait: nothing is to be done unless it lasts.'
           WHEN 'unauthorised' THEN 'Put a right key into image_gen.secrets_file, and SELECT pg_reload_conf().'
           WHEN 'out_of_credit' THEN 'Top the account up at the provider.'
           WHEN 'unreachable' THEN 'Look at the network, the name server and the firewall of this machine, at providers.base_url, and at image_gen.allowed_provider_hosts for a host of one''s own.'
           WHEN 'no_key' THEN 'Put a line NAME=key into image_gen.secrets_file, and SELECT pg_reload_conf().'
           WHEN 'no_address' THEN 'Put its address into image_gen.secrets_file, or into providers.base_url.' END
    FROM image_gen_internal.probe_provider(check_provider.id, seconds) p;
END $$;
COMMENT ON FUNCTION image_gen.check_provider(text, interval) IS
'Asks a provider now, from this session, a question that costs nothing: whether it is there and takes its key. standing: ready, reachable (nothing free shows whether the key is right), unwell, unauthorised,
out_of_credit, unreachable, no_key, no_address or nothing_to_ask. timeout: 0.1 to 60 s; it can be canceled. It goes where jobs may go (image_gen.allowed_provider_hosts) and changes nothing: circuits are
the worker''s. For administrators. Errors: 42704, 22004, 22023.';

SET LOCAL search_path = image_gen, pg_temp;
