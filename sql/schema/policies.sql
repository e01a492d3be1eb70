-- What a role may do beyond, or short of, what every user may: an administrator's word. As with privileges, a role has what any
-- role has that it is a member of. (Who may review and correct money is in api/reviews.sql and reports/costs.sql.)

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
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.campaign_grants FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.campaign_grants EXECUTE FUNCTION image_gen_internal.catalogue_changed();
ALTER TABLE image_gen.campaign_grants ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied;

SELECT pg_catalog.pg_extension_config_dump('image_gen.role_policies', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_grants', '');

SET LOCAL search_path = image_gen, pg_temp;
