-- What a role may do beyond its budget.

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

CREATE FUNCTION image_gen_internal.role_policy(caller regrole, OUT allow_unpriced boolean, OUT allowed_options text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_has_role(caller, 'image_gen_admin', 'member') THEN
    allow_unpriced := true;  -- and no list: all options
    RETURN;
  END IF;
  SELECT coalesce(bool_or(p.allow_unpriced), false), CASE WHEN count(*) = 0 THEN '{*}' ELSE coalesce(array_agg(o.name) FILTER (WHERE o.name IS NOT NULL), '{}') END
    INTO allow_unpriced, allowed_options
    FROM image_gen.role_policies p LEFT JOIN LATERAL unnest(p.allowed_options) AS o(name) ON true
   WHERE pg_has_role(caller, p.role::oid, 'member');
END $$;
COMMENT ON FUNCTION image_gen_internal.role_policy(regrole) IS 'What a role may ask for, with all that it is a member of. allowed_options NULL is everything.';

CREATE FUNCTION image_gen_internal.check_role_policy(caller regrole, options jsonb, allow_unpriced boolean) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  policy record;
BEGIN
  IF coalesce(options, '{}') = '{}' AND allow_unpriced IS NOT TRUE THEN
    RETURN;
  END IF;
  SELECT p.* INTO policy FROM image_gen_internal.role_policy(caller) p;
  IF allow_unpriced AND NOT policy.allow_unpriced THEN
    RAISE EXCEPTION 'allow_unpriced is not granted to role "%"', image_gen_internal.role_name(caller) USING ERRCODE = 'insufficient_privilege',
      HINT = 'Leave it out: it is needed only where a budget or max_cost applies to a model without a price. An administrator grants it with image_gen.set_role_policy(), or adds a row to image_gen.prices.';
  ELSIF policy.allowed_options IS NOT NULL AND options IS NOT NULL THEN
    PERFORM image_gen_internal.check_options(options::text, policy.allowed_options);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_role_policy(regrole, jsonb, boolean) IS 'An error (42501) where a role asks for what its policy does not allow.';

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

CREATE FUNCTION image_gen.set_role_policy(role text, allow_unpriced boolean DEFAULT false, allowed_options text[] DEFAULT '{*}', note text DEFAULT NULL)
RETURNS image_gen.role_policies
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  policy image_gen.role_policies;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF $2 IS NULL OR $3 IS NULL OR array_position($3, NULL) IS NOT NULL OR cardinality($3) > 1000 THEN
    RAISE EXCEPTION 'a policy needs allow_unpriced and a list of options' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example allowed_options => ''{*,safety_tolerance}'': all that lower no filter, and that one.';
  END IF;
  -- Roles that are gone leave rows behind.
  DELETE FROM image_gen.role_policies p WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.role);
  INSERT INTO image_gen.role_policies AS p (role, allow_unpriced, allowed_options, note, set_by)
  VALUES (image_gen_internal.role_oid($1), $2, $3, $4, image_gen_internal.role_name(image_gen_internal.caller()))
  ON CONFLICT ON CONSTRAINT role_policies_pkey DO UPDATE
     SET allow_unpriced = excluded.allow_unpriced, allowed_options = excluded.allowed_options, note = excluded.note, set_by = excluded.set_by, set_at = clock_timestamp()
  RETURNING p.* INTO policy;
  RETURN policy;
END $$;
COMMENT ON FUNCTION image_gen.set_role_policy IS
'What a role and its members may ask for: allow_unpriced, and the options that they may pass on to providers (* is all that lower no safety filter; a name is that option whatever it does; an
empty list is none). It takes the place of what was set before. For administrators.';

CREATE FUNCTION image_gen.drop_role_policy(role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  DELETE FROM image_gen.role_policies p WHERE p.role = image_gen_internal.role_oid($1) OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.role);
END $$;
COMMENT ON FUNCTION image_gen.drop_role_policy(text) IS 'Removes what set_role_policy() said of a role: then it may do what every user may. For administrators.';

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
