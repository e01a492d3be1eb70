-- What the companion asks before it lets an agent spend, and whom it lets in.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.spending_consent(operation text, arguments jsonb,
  OUT estimated_cost numeric, OUT currency text, OUT needs_confirmation boolean, OUT within_budget boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  caller regrole := image_gen_internal.caller();
  booked jsonb := CASE WHEN jsonb_typeof(arguments -> 'metadata') = 'object' THEN arguments -> 'metadata' ELSE '{}' END;
BEGIN
  SELECT e.estimated_cost, e.currency INTO estimated_cost, currency FROM image_gen.estimate(operation, arguments) e;
  needs_confirmation := coalesce(estimated_cost > current_setting('image_gen.mcp_confirm_above')::numeric, true);
  within_budget := EXISTS (SELECT FROM image_gen_internal.budgets_of_job(caller, booked, NULL, quote_ident(session_user)::regrole));
END $$;
COMMENT ON FUNCTION image_gen.spending_consent(text, jsonb) IS
'What is asked before an agent''s call is made: its estimate, whether that is above image_gen.mcp_confirm_above or unknown (needs_confirmation), and whether any budget limits it (within_budget: of the
workspace, of a role that the caller or its login is, of the campaign, ticket or other metadata of the arguments). It queues nothing. operation, arguments and errors: those of estimate().';

CREATE FUNCTION image_gen.spending_consent(id text,
  OUT estimated_cost numeric, OUT currency text, OUT needs_confirmation boolean, OUT within_budget boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  caller regrole := image_gen_internal.caller();
  job image_gen.jobs;
BEGIN
  SELECT j.* INTO job FROM image_gen.jobs j WHERE j.id = $1 AND (j.owner = caller OR image_gen_internal.may_review(caller));
  IF job.id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_job($1);
  END IF;
  estimated_cost := job.estimated_cost;
  currency := job.currency;
  needs_confirmation := coalesce(estimated_cost > current_setting('image_gen.mcp_confirm_above')::numeric, true);
  within_budget := EXISTS (SELECT FROM image_gen_internal.budgets_of_job(job.owner, job.metadata, job.batch, job.login));
END $$;
COMMENT ON FUNCTION image_gen.spending_consent(text) IS
'The same for a job that is to be made once more, see resolve_review(): the caller''s own, for reviewers and administrators any. Error 42704 as status().';

CREATE FUNCTION image_gen.create_token(role text, scopes text[] DEFAULT '{read,spend}', valid_for interval DEFAULT '90 days', note text DEFAULT NULL,
  OUT id bigint, OUT token text, OUT expires_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  caller regrole := image_gen_internal.caller();
  of_role regrole := image_gen_internal.role_oid(role);
BEGIN
  PERFORM image_gen_internal.require_admin(caller);
  IF (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = of_role) THEN
    RAISE EXCEPTION 'no token is made for a superuser' USING ERRCODE = 'insufficient_privilege', HINT = 'Make a role for the agent, and GRANT image_gen_user TO it.';
  ELSIF NOT pg_has_role(caller, of_role::oid, 'member') THEN
    RAISE EXCEPTION 'you are no member of role "%"', role USING ERRCODE = 'insufficient_privilege', HINT = 'A token gives what its role may do: only its members hand that out.';
  ELSIF NOT (pg_has_role(of_role::oid, 'image_gen_user', 'member') OR pg_has_role(of_role::oid, 'image_gen_reviewer', 'member') OR pg_has_role(of_role::oid, 'image_gen_admin', 'member')) THEN
    RAISE EXCEPTION 'role "%" may not use image_gen', role USING ERRCODE = 'invalid_parameter_value', HINT = format('GRANT image_gen_user TO %I', role);
  ELSIF scopes IS NULL OR cardinality(scopes) = 0 OR NOT scopes <@ '{read,spend,review}' THEN
    RAISE EXCEPTION 'scopes are %', coalesce(scopes::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Use some of: read, spend, review.';
  ELSIF valid_for IS NULL OR valid_for <= interval '0' OR valid_for > interval '366 days' THEN
    RAISE EXCEPTION 'valid_for is %', coalesce(valid_for::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time of up to a year, such as 90 days.';
  ELSIF length(note) > 1000 THEN
    RAISE EXCEPTION 'the note has % characters', length(note) USING ERRCODE = 'invalid_parameter_value', HINT = 'At most 1000 are kept.';
  END IF;
  -- 244 bits from the operating system.
  token := 'igt_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  INSERT INTO image_gen.access_tokens AS t (token_hash, role, scopes, note, created_by, expires_at)
  VALUES (sha256(convert_to(token, 'UTF8')), of_role, ARRAY(SELECT DISTINCT s FROM unnest(scopes) s ORDER BY s), note, image_gen_internal.role_name(caller), clock_timestamp() + valid_for)
  RETURNING t.id, t.expires_at INTO id, expires_at;
END $$;
COMMENT ON FUNCTION image_gen.create_token(text, text[], interval, text) IS
'Makes a token with which the companion lets a request in as this role, and returns it: it is shown this once. scopes: read (see), spend (queue, cancel, pick), review (decide what waits for a person).
valid_for: up to 366 days. For administrators who are members of the role; none is made for a superuser. Errors: 42501, 42704, 22023.';

CREATE FUNCTION image_gen.revoke_token(id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  UPDATE image_gen.access_tokens t SET revoked_at = clock_timestamp() WHERE t.id = $1 AND t.revoked_at IS NULL;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION image_gen.revoke_token(bigint) IS 'Ends a token from its next request on. false where there is none that is not ended. For administrators.';

CREATE FUNCTION image_gen.token_identity(token_hash bytea) RETURNS TABLE (id bigint, role name, scopes text[], expires_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
BEGIN
  RETURN QUERY
  SELECT t.id, r.rolname, t.scopes, t.expires_at
    FROM image_gen.access_tokens t JOIN pg_roles r ON r.oid = t.role
   WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND t.expires_at > clock_timestamp()
     AND NOT r.rolsuper AND pg_has_role(caller, t.role::oid, 'member');
END $$;
COMMENT ON FUNCTION image_gen.token_identity(bytea) IS
'Whose token has this SHA-256, and what it may do: no row where there is none, it has expired or was revoked, or the caller is no member of its role and so could not become it.';

SET LOCAL search_path = image_gen, pg_temp;
