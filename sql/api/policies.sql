-- What a role may do beside its budget. What policies come to for one role is added up in crates/engine/src/allowance.rs.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.role_oid(role text, dropped boolean DEFAULT false) RETURNS regrole
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = $1);
BEGIN
  IF found IS NULL AND dropped AND role ~ '^[1-9][0-9]{0,9}$' AND role::bigint < 4294967296
     AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role::oid) THEN
    found := role::oid;
  ELSIF found IS NULL THEN
    RAISE EXCEPTION 'role "%" does not exist', coalesce(role, 'NULL') USING ERRCODE = 'undefined_object', HINT = 'Use a login, or a role that logins are members of.';
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION image_gen_internal.role_oid(text, boolean) IS 'A role by its name, or an error. dropped: also one that is gone, by its oid.';

CREATE FUNCTION image_gen_internal.may_use_campaign(caller regrole, booked_campaign text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM image_gen.campaign_grants g WHERE g.campaign = booked_campaign) OR image_gen_internal.is_campaign_granted(caller, booked_campaign);
END $$;
COMMENT ON FUNCTION image_gen_internal.may_use_campaign(regrole, text) IS 'Whether a role may queue jobs for a campaign: it is open, or granted to it.';

CREATE FUNCTION image_gen_internal.is_campaign_granted(caller regrole, granted_campaign text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN pg_has_role(caller, 'image_gen_admin', 'member')
      OR EXISTS (SELECT FROM image_gen.campaign_grants g WHERE g.campaign = granted_campaign AND pg_has_role(caller, g.role::oid, 'member'));
END $$;
COMMENT ON FUNCTION image_gen_internal.is_campaign_granted(regrole, text) IS 'Whether a campaign was granted to a role, or it is an administrator.';

CREATE FUNCTION image_gen_internal.check_campaign(caller regrole, metadata jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF metadata ? 'campaign' AND NOT image_gen_internal.may_use_campaign(caller, metadata ->> 'campaign') THEN
    RAISE EXCEPTION 'role "%" may not book on campaign "%"', image_gen_internal.role_name(caller), left(metadata ->> 'campaign', 200) USING ERRCODE = 'insufficient_privilege',
      HINT = 'Name another campaign, or ask an administrator for image_gen.grant_campaign().';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_campaign(regrole, jsonb) IS 'An error (42501) where a campaign is not open to a role.';

CREATE FUNCTION image_gen.set_role_policy(role text, allow_unpriced boolean DEFAULT false, allowed_options text[] DEFAULT '{*}', note text DEFAULT NULL,
                                          allowed_providers text[] DEFAULT '{*}', allowed_models text[] DEFAULT '{*}', allowed_operations text[] DEFAULT '{*}',
                                          max_queued integer DEFAULT NULL, max_in_flight integer DEFAULT NULL, requests_per_minute integer DEFAULT NULL)
RETURNS image_gen.role_policies
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  policy image_gen.role_policies;
  unknown text;
  models text[];
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF $2 IS NULL OR $3 IS NULL OR array_position($3, NULL) IS NOT NULL OR cardinality($3) > 1000 THEN
    RAISE EXCEPTION 'a policy needs allow_unpriced and a list of options' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example allowed_options => ''{*,safety_tolerance}'': all that lower no filter, and that one.';
  ELSIF $5 IS NULL OR $6 IS NULL OR $7 IS NULL OR array_position($5 || $6 || $7, NULL) IS NOT NULL OR cardinality($5 || $6 || $7) > 1000 THEN
    RAISE EXCEPTION 'a policy needs lists of providers, models and operations' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example allowed_providers => ''{bfl,fal}''; ''{*}'' is all, ''{}'' is none.';
  ELSIF $8 < 0 OR $9 < 1 OR $10 < 0 THEN
    RAISE EXCEPTION 'a limit is below what is possible' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'max_queued and requests_per_minute are from 0 up (0 is none at all), max_in_flight from 1 up; leave out what is not to be limited.';
  END IF;
  SELECT p INTO unknown FROM unnest($5) p WHERE p <> '*' AND NOT EXISTS (SELECT FROM image_gen.providers o WHERE o.id = p) LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'provider "%" does not exist', left(unknown, 200) USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM image_gen.providers lists all.';
  END IF;
  SELECT o INTO unknown FROM unnest($7) o WHERE o NOT IN ('*', 'generate', 'edit', 'upscale', 'variate', 'transfer_style') LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'operation "%" does not exist', left(unknown, 200) USING ERRCODE = 'undefined_object', HINT = 'Use some of: generate, edit, upscale, variate, transfer_style; * for all.';
  END IF;
  -- As jobs have them: aliases and retired names resolved.
  models := ARRAY(SELECT CASE m WHEN '*' THEN m ELSE (SELECT concat_ws(':', r.provider, r.model) FROM image_gen_internal.resolve_model(m) r) END FROM unnest($6) m);
  -- Roles that are gone leave rows behind.
  DELETE FROM image_gen.role_policies p WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.role);
  INSERT INTO image_gen.role_policies AS p (role, allow_unpriced, allowed_options, allowed_providers, allowed_models, allowed_operations, max_queued, max_in_flight, requests_per_minute, note, set_by)
  VALUES (image_gen_internal.role_oid($1), $2, $3, $5, models, $7, $8, $9, $10, $4, image_gen_internal.role_name(image_gen_internal.caller()))
  ON CONFLICT ON CONSTRAINT role_policies_pkey DO UPDATE
     SET allow_unpriced = excluded.allow_unpriced, allowed_options = excluded.allowed_options, allowed_providers = excluded.allowed_providers, allowed_models = excluded.allowed_models,
         allowed_operations = excluded.allowed_operations, max_queued = excluded.max_queued, max_in_flight = excluded.max_in_flight, requests_per_minute = excluded.requests_per_minute,
         note = excluded.note, set_by = excluded.set_by, set_at = clock_timestamp()
  RETURNING p.* INTO policy;
  RETURN policy;
END $$;
COMMENT ON FUNCTION image_gen.set_role_policy IS
'What a role and its members may ask for: allow_unpriced; the options that they may pass on to providers (* is all that lower no safety filter; a name is that option whatever it does; an
empty list is none); providers, models and operations; how many jobs each may have queued, in flight, and queue within a minute. It takes the place of what was set before, and holds for jobs that
wait already when they are sent. What a role may spend is set_budget(). Errors: 42704 for a name that does not exist. For administrators.';

CREATE FUNCTION image_gen.drop_role_policy(role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  DELETE FROM image_gen.role_policies p WHERE p.role = image_gen_internal.role_oid($1) OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.role);
END $$;
COMMENT ON FUNCTION image_gen.drop_role_policy(text) IS 'Removes what set_role_policy() said of a role: then it may do what every user may. For administrators.';

CREATE FUNCTION image_gen.effective_policy(role text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  asked regrole := image_gen_internal.caller();
BEGIN
  IF role IS NOT NULL THEN
    PERFORM image_gen_internal.require_admin(asked);
    asked := image_gen_internal.role_oid(role);
  END IF;
  RETURN image_gen_internal.allowance_of(asked)
      || jsonb_build_object('spend_limits', (SELECT jsonb_agg(jsonb_build_object('role', b.role::text, 'period', CASE b.period WHEN 'rolling' THEN b.rolling::text ELSE b.period END, 'amount', b.amount) ORDER BY b.id)
                                               FROM image_gen.budgets b WHERE b.scope = 'role' AND pg_has_role(asked, b.role::oid, 'member')));
END $$;
COMMENT ON FUNCTION image_gen.effective_policy(text) IS
'What the caller may ask for, all its memberships added up: providers, models, operations and options by name (* is all; options NULL is every one), granted_providers, closed_providers (they need a grant), limits
(NULL is none), and the budgets of its roles in USD (spend_limits). role: another one, for administrators.';

CREATE FUNCTION image_gen.request_provider(provider text, note text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
BEGIN
  IF NOT EXISTS (SELECT FROM image_gen.providers p WHERE p.id = $1) THEN
    RAISE EXCEPTION 'provider "%" does not exist', coalesce(left($1, 200), 'NULL') USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM image_gen.providers lists all.';
  ELSIF char_length($2) > 1000 THEN
    RAISE EXCEPTION 'the note has % characters, at most 1000 are possible', char_length($2) USING ERRCODE = 'invalid_parameter_value', HINT = 'Shorten it.';
  END IF;
  INSERT INTO image_gen.provider_access AS a (provider, role, requested_at, request_note) VALUES ($1, caller, clock_timestamp(), $2)
  ON CONFLICT ON CONSTRAINT provider_access_pkey DO UPDATE SET request_note = excluded.request_note WHERE a.granted_at IS NULL;
END $$;
COMMENT ON FUNCTION image_gen.request_provider(text, text) IS
'Asks for the use of a provider that the caller''s role may not use: an administrator finds it in provider_access, and answers with grant_provider() or revoke_provider(). Errors: 42704 for a provider that does not exist.';

CREATE FUNCTION image_gen.grant_provider(provider text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF NOT EXISTS (SELECT FROM image_gen.providers p WHERE p.id = $1) THEN
    RAISE EXCEPTION 'provider "%" does not exist', coalesce(left($1, 200), 'NULL') USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM image_gen.providers lists all.';
  END IF;
  INSERT INTO image_gen.provider_access AS a (provider, role, granted_by, granted_at)
  VALUES ($1, image_gen_internal.role_oid($2), image_gen_internal.role_name(image_gen_internal.caller()), clock_timestamp())
  ON CONFLICT ON CONSTRAINT provider_access_pkey DO UPDATE SET granted_by = excluded.granted_by, granted_at = excluded.granted_at WHERE a.granted_at IS NULL;
END $$;
COMMENT ON FUNCTION image_gen.grant_provider(text, text) IS 'Lets the members of a role spend a provider''s key, whatever role_policies says, and where the provider needs_approval. For administrators.';

CREATE FUNCTION image_gen.revoke_provider(provider text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  DELETE FROM image_gen.provider_access a WHERE a.provider = $1 AND (a.role = image_gen_internal.role_oid($2, dropped => true) OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.role));
END $$;
COMMENT ON FUNCTION image_gen.revoke_provider(text, text) IS
'Takes a provider from a role, or turns its request down. Jobs that wait are not sent there any more; what was accepted is followed. For administrators.';

CREATE FUNCTION image_gen.grant_campaign(campaign text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF coalesce(campaign, '') = '' OR octet_length(campaign) > 1024 THEN
    RAISE EXCEPTION 'a campaign is named by 1 to 1024 bytes' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give what jobs have as metadata ->> ''campaign''.';
  END IF;
  INSERT INTO image_gen.campaign_grants (campaign, role, granted_by) VALUES ($1, image_gen_internal.role_oid($2), image_gen_internal.role_name(image_gen_internal.caller()))
  ON CONFLICT ON CONSTRAINT campaign_grants_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen.grant_campaign(text, text) IS
'Lets the members of a role book on a campaign. The first grant closes the campaign to all others: grant it to image_gen_user to leave it open and show all how its budget stands. For administrators.';

CREATE FUNCTION image_gen.revoke_campaign(campaign text, role text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  DELETE FROM image_gen.campaign_grants g WHERE g.campaign = $1 AND ($2 IS NULL OR g.role = image_gen_internal.role_oid($2));
  IF FOUND AND NOT EXISTS (SELECT FROM image_gen.campaign_grants g WHERE g.campaign = $1) THEN
    RAISE NOTICE 'campaign "%" is open to every user again', left($1, 200) USING HINT = 'Grant it to image_gen_admin to close it.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.revoke_campaign(text, text) IS 'Takes a campaign from a role, or (NULL) from all: a campaign without grants is open to every user. What is queued stays. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
