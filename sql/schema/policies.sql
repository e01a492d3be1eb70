-- What a role may do beyond, or short of, what every user may: an administrator's word. As with privileges, a role has what any
-- role has that it is a member of. (Who may review and correct money is in api/reviews.sql and reports/costs.sql.)

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.role_policies (
  role            regrole PRIMARY KEY,
  allow_unpriced  boolean NOT NULL DEFAULT false,
  allowed_options text[] NOT NULL DEFAULT '{*}' CHECK (array_position(allowed_options, NULL) IS NULL AND cardinality(allowed_options) <= 1000),
  allowed_providers   text[] NOT NULL DEFAULT '{*}' CHECK (array_position(allowed_providers, NULL) IS NULL AND cardinality(allowed_providers) <= 1000),
  allowed_models      text[] NOT NULL DEFAULT '{*}' CHECK (array_position(allowed_models, NULL) IS NULL AND cardinality(allowed_models) <= 1000),
  allowed_operations  text[] NOT NULL DEFAULT '{*}' CHECK (allowed_operations <@ '{*,generate,edit,upscale,variate,transfer_style}'),
  max_queued          integer CHECK (max_queued >= 0),
  max_in_flight       integer CHECK (max_in_flight > 0),
  requests_per_minute integer CHECK (requests_per_minute >= 0),
  note            text,
  set_by          name NOT NULL,
  set_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.role_policies IS
'What roles may ask for: written by set_role_policy(). It holds for the role''s members too; of several rows, what any of them allows is allowed. A role without a row may use all options that
lower no safety filter, and no model without a price where a budget or max_cost applies. Administrators may ask for all. What a role may spend is a budget: set_budget(''role'', ...).';
COMMENT ON COLUMN image_gen.role_policies.role IS 'The role, by oid: it survives ALTER ROLE ... RENAME, and a new role of an old name does not inherit it.';
COMMENT ON COLUMN image_gen.role_policies.allow_unpriced IS 'Whether it may say allow_unpriced => true: calls whose price is unknown although a budget or max_cost applies.';
COMMENT ON COLUMN image_gen.role_policies.allowed_options IS 'Names for the argument options. * is all that lower no safety filter of a provider; a name is that option whatever it does.';
COMMENT ON COLUMN image_gen.role_policies.allowed_providers IS 'providers.id of those that its jobs may be sent to; * is all.';
COMMENT ON COLUMN image_gen.role_policies.allowed_models IS 'models.name, or provider:model for one provider alone; * is all.';
COMMENT ON COLUMN image_gen.role_policies.allowed_operations IS 'generate, edit, upscale, variate, transfer_style; * is all.';
COMMENT ON COLUMN image_gen.role_policies.max_queued IS 'The most jobs that one role may have queued or in flight; NULL is no word: image_gen.max_queued_per_role. Of several rows the highest holds.';
COMMENT ON COLUMN image_gen.role_policies.max_in_flight IS 'The most jobs of one role that are worked on at a time; the others wait in the queue. NULL is no limit. Of several rows the highest holds.';
COMMENT ON COLUMN image_gen.role_policies.requests_per_minute IS 'The most jobs that one role may queue within a minute; NULL is no limit. Of several rows the highest holds.';
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

CREATE TABLE image_gen.provider_access (
  provider     text COLLATE "C" NOT NULL,
  role         regrole NOT NULL,
  requested_at timestamptz,
  request_note text CHECK (char_length(request_note) <= 1000),
  granted_by   name,
  granted_at   timestamptz,
  PRIMARY KEY (provider, role),
  CONSTRAINT granted_by_one CHECK ((granted_by IS NULL) = (granted_at IS NULL)),
  CONSTRAINT requested_or_granted CHECK (requested_at IS NOT NULL OR granted_at IS NOT NULL)
);
COMMENT ON TABLE image_gen.provider_access IS
'Whose jobs may spend the keys of providers: requests (request_provider()), and what administrators have granted (grant_provider()). A grant adds to what role_policies allows, and is what a provider with
needs_approval asks for. Users see their own rows.';
COMMENT ON COLUMN image_gen.provider_access.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.provider_access.role IS 'The role that asks, or whose members may use it: by oid.';
COMMENT ON COLUMN image_gen.provider_access.requested_at IS 'When it was asked for; NULL where it was granted unasked.';
COMMENT ON COLUMN image_gen.provider_access.request_note IS 'What for, in the words of who asks.';
COMMENT ON COLUMN image_gen.provider_access.granted_by IS 'The administrator who granted it; NULL while it is only asked for.';
COMMENT ON COLUMN image_gen.provider_access.granted_at IS 'When.';

-- What may be in an image.
CREATE DOMAIN image_gen.policy_action AS text CONSTRAINT policy_action_check CHECK (VALUE IN ('warn', 'approve', 'review', 'block'));
COMMENT ON DOMAIN image_gen.policy_action IS 'What follows where a rule applies. warn: the caller is told. approve: a person approves the image before it is final. review: a person decides before anything is sent. block: the job is refused.';
CREATE TABLE image_gen.policy_rules (
  position image_gen.positive PRIMARY KEY,
  rule     text NOT NULL UNIQUE CHECK (rule <> '' AND char_length(rule) <= 100),
  class    text NOT NULL CHECK (class <> '' AND char_length(class) <= 100),
  pattern  text NOT NULL,
  action   image_gen.policy_action NOT NULL DEFAULT 'warn',
  message  text NOT NULL CHECK (char_length(message) <= 300),
  enabled  boolean NOT NULL DEFAULT true,
  origin   image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.policy_rules IS
'What may be asked for, by the words of a prompt (with its style, and again when it is rewritten): rows that block, ask for a person, or warn, before anything is sent. They hold for every role. Shipped
rows warn, but for one. Administrators change, add and switch off rows; those that hold when a job is sent decide, too.';
COMMENT ON COLUMN image_gen.policy_rules.position IS 'The order. A row of an administrator takes the place of the shipped one at its position, or of its name.';
COMMENT ON COLUMN image_gen.policy_rules.rule IS 'Its name, which errors and warnings say.';
COMMENT ON COLUMN image_gen.policy_rules.class IS 'What it is about: shipped are real people, medical, legal, political, explicit.';
COMMENT ON COLUMN image_gen.policy_rules.pattern IS 'A regular expression of the Rust crate regex, whatever the case: its time grows with the text alone, so it has no back references and no look-around. \b is the edge of a word. At most 2000 characters.';
COMMENT ON COLUMN image_gen.policy_rules.action IS 'What follows; of several rules that apply the gravest: block, review, approve, warn.';
COMMENT ON COLUMN image_gen.policy_rules.message IS 'What is said, for people.';
COMMENT ON COLUMN image_gen.policy_rules.enabled IS 'Off: left out.';
COMMENT ON COLUMN image_gen.policy_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';
CREATE FUNCTION image_gen_internal.check_policy_rule() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.check_content_pattern(NEW.pattern);
  IF TG_OP = 'INSERT' AND (SELECT count(*) FROM image_gen.policy_rules) >= 500 THEN
    RAISE EXCEPTION 'there are 500 rules already' USING ERRCODE = 'program_limit_exceeded', HINT = 'Put several words into one pattern: one|two|three.';
  END IF;
  RETURN NEW;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_policy_rule() IS 'An error for a rule that cannot be used.';
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.policy_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row();
CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.policy_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_policy_rule();
INSERT INTO image_gen.policy_rules (position, rule, class, pattern, action, message, origin) VALUES
  (10, 'children', 'explicit', '\b(?:nude|naked|undressed|topless|sexual(?:ly|ized|ised)?|erotic|porn(?:o|ographic|ography)?)\b.*\b(?:child(?:ren)?|kids?|minors?|toddlers?|bab(?:y|ies)|(?:school|little|young|underage) ?(?:girl|boy)s?|teen(?:ager)?s?)\b|\b(?:child(?:ren)?|kids?|minors?|toddlers?|(?:school|little|young|underage) ?(?:girl|boy)s?|teen(?:ager)?s?)\b.*\b(?:nude|naked|undressed|topless|sexual(?:ly|ized|ised)?|erotic|porn(?:o|ographic|ography)?)\b',
   'block', 'no sexual images of children', 'catalogue'),
  (20, 'explicit', 'explicit', '\b(?:nud(?:e|es|ity)|naked|porn(?:o|ographic|ography)?|nsfw|erotic(?:a|ally)?|sexual(?:ly)? explicit|sex (?:act|scene)s?)\b', 'warn', 'sexually explicit images are refused by most providers', 'catalogue'),
  (30, 'real people', 'real people', '\b(?:deep ?fakes?|face ?swaps?|celebrit(?:y|ies)|look ?alikes?)\b|\b(?:photo(?:graph)?|picture|portrait|image|video still)s? of (?:the )?(?:(?:former|prime|current) )?(?:president|minister|chancellor|pope|king|queen|prince(?:ss)?|senator|governor|mayor)\b',
   'warn', 'an image of a real person needs the consent of that person', 'catalogue'),
  (40, 'medical', 'medical', '\b(?:x-?rays?|radiographs?|mri scans?|ct scans?|ultrasound scans?|mammograms?|biops(?:y|ies)|patholog(?:y|ical) slides?|autops(?:y|ies)|open wounds?|surgical (?:site|field)s?)\b',
   'warn', 'an image that looks like a medical finding must not be taken for one', 'catalogue'),
  (50, 'legal', 'legal', '\b(?:mug ?shots?|passports?|identity cards?|id cards?|driv(?:er''?s|ing) licen[cs]es?|bank ?notes?|court ?room (?:photo|sketche|evidence)s?|crime scenes?|police evidence|birth certificates?)\b',
   'warn', 'an image that looks like a document or like evidence can be forgery', 'catalogue'),
  (60, 'political', 'political', '\b(?:election (?:poster|campaign|ad|night)s?|ballots?|voting booths?|campaign rall(?:y|ies)|propaganda|political (?:ad|poster|rally|protest)s?|party leaders?)\b',
   'warn', 'political images are refused by some providers, and are to be marked as generated', 'catalogue');

-- Each process keeps these with its copy of the catalogue, and which campaigns are granted at all: of the others nothing is asked.
DO $$
DECLARE
  kept text;
BEGIN
  FOREACH kept IN ARRAY ARRAY['role_policies', 'provider_access', 'policy_rules'] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.%I FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed()', kept);
    EXECUTE pg_catalog.format('CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.%I EXECUTE FUNCTION image_gen_internal.catalogue_changed()', kept);
    EXECUTE pg_catalog.format('ALTER TABLE image_gen.%I ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied', kept);
  END LOOP;
END $$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON image_gen.campaign_grants FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.campaign_grants EXECUTE FUNCTION image_gen_internal.catalogue_changed();
ALTER TABLE image_gen.campaign_grants ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER emptied;

SELECT pg_catalog.pg_extension_config_dump('image_gen.role_policies', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_grants', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.provider_access', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.policy_rules', $$WHERE origin = 'admin'$$);

SET LOCAL search_path = image_gen, pg_temp;
