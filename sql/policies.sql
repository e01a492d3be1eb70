-- What a role may do beyond, or short of, what every user may: an administrator's word. As with privileges, a role has what any
-- role has that it is a member of. (Who may review and correct money is in review.sql and costs.sql.)

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.role_policies (
  role            regrole PRIMARY KEY,
  allow_unpriced  boolean NOT NULL DEFAULT false,
  allowed_options text[] NOT NULL DEFAULT '{*}' CHECK (array_position(allowed_options, NULL) IS NULL AND cardinality(allowed_options) <= 1000),
  note            text,
  set_by          name NOT NULL,
  set_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.role_policies IS
'What roles may ask for: written by set_role_policy(). It holds for the role''s members too; of several rows, what any of them allows is allowed. A role without a row may use all options that
lower no safety filter, and no model without a price where a budget or max_cost applies. Administrators may ask for all.';
COMMENT ON COLUMN image_gen.role_policies.role IS 'The role, by oid: it survives ALTER ROLE ... RENAME, and a new role of an old name does not inherit it.';
COMMENT ON COLUMN image_gen.role_policies.allow_unpriced IS 'Whether it may say allow_unpriced => true: calls whose price is unknown although a budget or max_cost applies.';
COMMENT ON COLUMN image_gen.role_policies.allowed_options IS 'Names for the argument options. * is all that lower no safety filter of a provider; a name is that option whatever it does.';
COMMENT ON COLUMN image_gen.role_policies.note IS 'For people.';
COMMENT ON COLUMN image_gen.role_policies.set_by IS 'The administrator who set it.';
COMMENT ON COLUMN image_gen.role_policies.set_at IS 'When it was set last.';

CREATE TABLE image_gen.campaign_grants (
  campaign   text COLLATE "C" NOT NULL CHECK (campaign <> '' AND octet_length(campaign) <= 1024),
  role       regrole NOT NULL,
  granted_by name NOT NULL,
  granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (campaign, role)
);
COMMENT ON TABLE image_gen.campaign_grants IS
'Who may book on a campaign: written by grant_campaign() and revoke_campaign(). A campaign without a row is open to every user; with one, only members of its roles (and administrators) queue
jobs whose metadata names it, and only they see how its budget stands.';
COMMENT ON COLUMN image_gen.campaign_grants.campaign IS 'metadata ->> ''campaign''.';
COMMENT ON COLUMN image_gen.campaign_grants.role IS 'A role whose members may book on it.';
COMMENT ON COLUMN image_gen.campaign_grants.granted_by IS 'The administrator who granted it.';
COMMENT ON COLUMN image_gen.campaign_grants.granted_at IS 'When.';
-- Each process keeps with its copy of the catalogue which campaigns are granted at all: of the others nothing is asked.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.campaign_grants FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.campaign_grants EXECUTE FUNCTION image_gen._catalogue_changed();
ALTER TABLE image_gen.campaign_grants ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied;

CREATE FUNCTION image_gen._role_policy(caller regrole, OUT allow_unpriced boolean, OUT allowed_options text[])
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
COMMENT ON FUNCTION image_gen._role_policy(regrole) IS 'What a role may ask for, with all that it is a member of. allowed_options NULL is everything.';

CREATE FUNCTION image_gen._check_policy(caller regrole, options jsonb, allow_unpriced boolean) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  policy record;
BEGIN
  IF coalesce(options, '{}') = '{}' AND allow_unpriced IS NOT TRUE THEN
    RETURN;
  END IF;
  SELECT p.* INTO policy FROM image_gen._role_policy(caller) p;
  IF allow_unpriced AND NOT policy.allow_unpriced THEN
    RAISE EXCEPTION 'allow_unpriced is not granted to role "%"', image_gen._role_name(caller) USING ERRCODE = 'insufficient_privilege',
      HINT = 'Leave it out: it is needed only where a budget or max_cost applies to a model without a price. An administrator grants it with image_gen.set_role_policy(), or adds a row to image_gen.prices.';
  ELSIF policy.allowed_options IS NOT NULL AND options IS NOT NULL THEN
    PERFORM image_gen._check_options(options::text, policy.allowed_options);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._check_policy(regrole, jsonb, boolean) IS 'An error (42501) where a role asks for what its policy does not allow.';

CREATE FUNCTION image_gen._may_book(caller regrole, booked_campaign text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM image_gen.campaign_grants g WHERE g.campaign = booked_campaign) OR image_gen._is_granted(caller, booked_campaign);
END $$;
COMMENT ON FUNCTION image_gen._may_book(regrole, text) IS 'Whether a role may queue jobs for a campaign: it is open, or granted to it.';

CREATE FUNCTION image_gen._is_granted(caller regrole, granted_campaign text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN pg_has_role(caller, 'image_gen_admin', 'member')
      OR EXISTS (SELECT FROM image_gen.campaign_grants g WHERE g.campaign = granted_campaign AND pg_has_role(caller, g.role::oid, 'member'));
END $$;
COMMENT ON FUNCTION image_gen._is_granted(regrole, text) IS 'Whether a campaign was granted to a role, or it is an administrator.';

CREATE FUNCTION image_gen._check_booking(caller regrole, metadata jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF metadata ? 'campaign' AND NOT image_gen._may_book(caller, metadata ->> 'campaign') THEN
    RAISE EXCEPTION 'role "%" may not book on campaign "%"', image_gen._role_name(caller), left(metadata ->> 'campaign', 200) USING ERRCODE = 'insufficient_privilege',
      HINT = 'Name another campaign, or ask an administrator for image_gen.grant_campaign().';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen._check_booking(regrole, jsonb) IS 'An error (42501) where a campaign is not open to a role.';

CREATE FUNCTION image_gen.set_role_policy(role text, allow_unpriced boolean DEFAULT false, allowed_options text[] DEFAULT '{*}', note text DEFAULT NULL)
RETURNS image_gen.role_policies
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  policy image_gen.role_policies;
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  IF $2 IS NULL OR $3 IS NULL OR array_position($3, NULL) IS NOT NULL OR cardinality($3) > 1000 THEN
    RAISE EXCEPTION 'a policy needs allow_unpriced and a list of options' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Write for example allowed_options => ''{*,safety_tolerance}'': all that lower no filter, and that one.';
  END IF;
  -- Roles that are gone leave rows behind.
  DELETE FROM image_gen.role_policies p WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.role);
  INSERT INTO image_gen.role_policies AS p (role, allow_unpriced, allowed_options, note, set_by)
  VALUES (image_gen._role_oid($1), $2, $3, $4, image_gen._role_name(image_gen._caller()))
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
  PERFORM image_gen._administers(image_gen._caller());
  DELETE FROM image_gen.role_policies p WHERE p.role = image_gen._role_oid($1) OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.role);
END $$;
COMMENT ON FUNCTION image_gen.drop_role_policy(text) IS 'Removes what set_role_policy() said of a role: then it may do what every user may. For administrators.';

CREATE FUNCTION image_gen.grant_campaign(campaign text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  IF coalesce(campaign, '') = '' OR octet_length(campaign) > 1024 THEN
    RAISE EXCEPTION 'a campaign is named by 1 to 1024 bytes' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give what jobs have as metadata ->> ''campaign''.';
  END IF;
  INSERT INTO image_gen.campaign_grants (campaign, role, granted_by) VALUES ($1, image_gen._role_oid($2), image_gen._role_name(image_gen._caller()))
  ON CONFLICT ON CONSTRAINT campaign_grants_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION image_gen.grant_campaign(text, text) IS
'Lets the members of a role book on a campaign. The first grant closes the campaign to all others: grant it to image_gen_user to leave it open and show all how its budget stands. For administrators.';

CREATE FUNCTION image_gen.revoke_campaign(campaign text, role text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen._administers(image_gen._caller());
  DELETE FROM image_gen.campaign_grants g WHERE g.campaign = $1 AND ($2 IS NULL OR g.role = image_gen._role_oid($2));
  IF FOUND AND NOT EXISTS (SELECT FROM image_gen.campaign_grants g WHERE g.campaign = $1) THEN
    RAISE NOTICE 'campaign "%" is open to every user again', left($1, 200) USING HINT = 'Grant it to image_gen_admin to close it.';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen.revoke_campaign(text, text) IS 'Takes a campaign from a role, or (NULL) from all: a campaign without grants is open to every user. What is queued stays. For administrators.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.role_policies', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_grants', '');

SET LOCAL search_path = image_gen, pg_temp;
