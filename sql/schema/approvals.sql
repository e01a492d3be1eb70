-- Images that a person approves before they are final, where a row of policy_rules asks for that.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE DOMAIN image_gen.approval_state AS text CONSTRAINT approval_state_check CHECK (VALUE IN ('pending', 'approved', 'rejected'));
COMMENT ON DOMAIN image_gen.approval_state IS 'What a person has said of an image.';

CREATE TABLE image_gen.approvals (
  asset_id     bigint PRIMARY KEY REFERENCES image_gen.campaign_assets ON DELETE CASCADE,
  state        image_gen.approval_state NOT NULL DEFAULT 'pending',
  why          text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  decided_by   name,
  decided_at   timestamptz,
  note         text CHECK (char_length(note) <= 1000),
  CONSTRAINT decided_by_one CHECK ((state = 'pending') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL))
);
CREATE INDEX approvals_pending ON image_gen.approvals (requested_at) WHERE state = 'pending';
COMMENT ON TABLE image_gen.approvals IS
'Images that a rule of policy_rules (approve) wants a person to see: until one approves it, an image cannot be picked as final and is not written to an attached table. Decided with approve_asset() and
reject_asset(); approval_queue lists what waits. Who sees the image sees its row.';
COMMENT ON COLUMN image_gen.approvals.asset_id IS 'campaign_assets.id.';
COMMENT ON COLUMN image_gen.approvals.state IS 'pending, approved or rejected.';
COMMENT ON COLUMN image_gen.approvals.why IS 'What the rule says.';
COMMENT ON COLUMN image_gen.approvals.requested_at IS 'When the image was delivered.';
COMMENT ON COLUMN image_gen.approvals.decided_by IS 'Who decided last.';
COMMENT ON COLUMN image_gen.approvals.decided_at IS 'When.';
COMMENT ON COLUMN image_gen.approvals.note IS 'Why, in the words of who decided.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.approvals', '');

SET LOCAL search_path = image_gen, pg_temp;
