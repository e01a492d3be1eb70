-- What was asked.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.jobs (
  id                image_gen.job_id PRIMARY KEY,
  seq               bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  operation         image_gen.operation NOT NULL,
  task              image_gen.task NOT NULL,
  status            image_gen.job_state NOT NULL DEFAULT 'queued',
  prompt            text NOT NULL,
  model             text COLLATE "C" NOT NULL,
  model_is_open     boolean NOT NULL DEFAULT false,
  provider          text COLLATE "C",
  seed              image_gen.seed NOT NULL,
  parameters        jsonb NOT NULL DEFAULT '{}',
  metadata          image_gen.jsonb_object NOT NULL DEFAULT '{}',
  preferences       jsonb,
  priority          image_gen.priority,
  owner             regrole NOT NULL,
  login             regrole NOT NULL DEFAULT quote_ident(session_user)::regrole,
  idempotency_key   text,
  request_hash      bytea,
  fingerprint       bytea,
  deadline          timestamptz,
  max_cost          image_gen.cost,
  allow_unpriced    boolean NOT NULL DEFAULT false,
  batch             text COLLATE "C",
  parent            text COLLATE "C",
  relation          text,
  estimated_seconds numeric,
  estimated_cost    numeric,
  currency          text NOT NULL DEFAULT 'USD',
  warnings          jsonb NOT NULL DEFAULT '[]',
  error_code        text,
  error_message     text,
  billed_cost       image_gen.cost,
  known_cost        numeric,
  cost_source       image_gen.cost_source,
  created_at        timestamptz NOT NULL DEFAULT now(),
  finished_at       timestamptz,
  traceparent       text COLLATE "C" DEFAULT nullif(current_setting('image_gen.traceparent', true), ''),
  erased_at         timestamptz
) WITH (fillfactor = 80);
-- Rules between columns. A job begins with the defaults, which obey them; as CHECKs they would be prepared again for every job that
-- is queued, a fifth of what that costs.
CREATE TRIGGER finished_when_over AFTER UPDATE OF status, finished_at ON image_gen.jobs FOR EACH ROW
  WHEN ((NEW.finished_at IS NULL) <> (NEW.status IN ('queued', 'running'))) EXECUTE FUNCTION image_gen_internal.raise_rule_violation();
CREATE TRIGGER error_code_without_picture AFTER UPDATE OF status, error_code ON image_gen.jobs FOR EACH ROW
  WHEN ((NEW.error_code IS NULL) <> (NEW.status IN ('queued', 'running', 'succeeded'))) EXECUTE FUNCTION image_gen_internal.raise_rule_violation();
ALTER TABLE image_gen.jobs ENABLE ALWAYS TRIGGER finished_when_over, ENABLE ALWAYS TRIGGER error_code_without_picture;
CREATE UNIQUE INDEX jobs_idempotency ON image_gen.jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_fingerprint ON image_gen.jobs (owner, fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX jobs_owner ON image_gen.jobs (owner, seq);
CREATE INDEX jobs_batch ON image_gen.jobs (batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_parent ON image_gen.jobs (parent) WHERE parent IS NOT NULL;
-- Whatever two sessions see of each other, a shot is made again once.
CREATE UNIQUE INDEX jobs_rerun ON image_gen.jobs (parent) WHERE relation = 'rerun';
CREATE INDEX jobs_metadata ON image_gen.jobs USING gin (metadata jsonb_path_ops);
COMMENT ON TABLE image_gen.jobs IS 'What was asked: one row a job. Written by the functions of this extension only.';
COMMENT ON COLUMN image_gen.jobs.id IS 'gen_ and a ULID: sorts by time.';
COMMENT ON COLUMN image_gen.jobs.seq IS 'The order of the queue.';
COMMENT ON COLUMN image_gen.jobs.model_is_open IS 'No model was named: its route is that of explain(), and begins with the providers of model only where the caller prefers no others.';
COMMENT ON COLUMN image_gen.jobs.provider IS 'Set when the caller named one (provider:model).';
COMMENT ON COLUMN image_gen.jobs.seed IS 'The caller''s, or one derived from the job''s id.';
COMMENT ON COLUMN image_gen.jobs.parameters IS 'The checked request without prompt and seed. style: its name, what was used of it, and what the caller wrote without it.';
COMMENT ON COLUMN image_gen.jobs.metadata IS 'The caller''s own; never sent to a provider. campaign, shot and ticket are copied to the asset.';
COMMENT ON COLUMN image_gen.jobs.owner IS 'The role in effect in the session that queued it (SET ROLE, else the login), by oid: it survives ALTER ROLE ... RENAME, and a new role of an old name has none of it. Of a role that was dropped the oid is shown: see reassign_jobs().';
COMMENT ON COLUMN image_gen.jobs.login IS 'The role that the session was logged in as: its budgets count too.';
COMMENT ON COLUMN image_gen.jobs.billed_cost IS 'Sum over its attempts; NULL when the cost of any of them is unknown, and while it is not finished.';
COMMENT ON COLUMN image_gen.jobs.known_cost IS 'Sum over those of its attempts whose cost is known: the same as billed_cost where all are.';
COMMENT ON COLUMN image_gen.jobs.cost_source IS 'unknown when the cost of any attempt is unknown.';
COMMENT ON COLUMN image_gen.jobs.operation IS 'generate, edit, upscale, variate or transfer_style.';
COMMENT ON COLUMN image_gen.jobs.task IS 'What a model must be able to do: the operation, for an edit its mode, and character for a strict reference image.';
COMMENT ON COLUMN image_gen.jobs.status IS 'queued, running, succeeded, failed, needs_review or canceled.';
COMMENT ON COLUMN image_gen.jobs.prompt IS 'As the caller wrote it, with its style; what was really sent is in attempts.';
COMMENT ON COLUMN image_gen.jobs.model IS 'models.name, aliases and retired names resolved; where model_is_open, that of the first candidate when it was queued.';
COMMENT ON COLUMN image_gen.jobs.preferences IS 'provider_preferences, merged with the setting image_gen.provider_preferences.';
COMMENT ON COLUMN image_gen.jobs.priority IS 'What mattered most to the caller, where the choice was left open.';
COMMENT ON COLUMN image_gen.jobs.idempotency_key IS 'Unique for its owner.';
COMMENT ON COLUMN image_gen.jobs.request_hash IS 'SHA-256 of the arguments, where there is a key: the same key with others is an error.';
COMMENT ON COLUMN image_gen.jobs.fingerprint IS 'SHA-256 of what decides the image, where reuse was said: the same request may have this job''s image.';
COMMENT ON COLUMN image_gen.jobs.deadline IS 'Not sent after it.';
COMMENT ON COLUMN image_gen.jobs.max_cost IS 'USD for all its calls together: none is made that is expected to go beyond it.';
COMMENT ON COLUMN image_gen.jobs.allow_unpriced IS 'Calls of unknown price may be made although a budget or max_cost applies.';
COMMENT ON COLUMN image_gen.jobs.batch IS 'The generate_batch() (bat_...), generate_variants() (set_...) or character_sheet() (sheet_...) that it came with.';
COMMENT ON COLUMN image_gen.jobs.parent IS 'jobs.id of the job that it comes from: whose image it changes, or which it makes again.';
COMMENT ON COLUMN image_gen.jobs.relation IS 'rerun, promote or regenerate, where it makes its parent again; NULL where its operation says how it comes from it.';
COMMENT ON COLUMN image_gen.jobs.estimated_seconds IS 'For the render, when it was queued.';
COMMENT ON COLUMN image_gen.jobs.estimated_cost IS 'When it was queued; NULL is unknown.';
COMMENT ON COLUMN image_gen.jobs.currency IS 'ISO 4217, of all amounts of the row.';
COMMENT ON COLUMN image_gen.jobs.warnings IS '[{"code", "message"}]: what will not happen as asked.';
COMMENT ON COLUMN image_gen.jobs.error_code IS 'For programs; see README. NULL unless it ended without an image.';
COMMENT ON COLUMN image_gen.jobs.error_message IS 'For people.';
COMMENT ON COLUMN image_gen.jobs.created_at IS 'Start of the transaction that queued it.';
COMMENT ON COLUMN image_gen.jobs.traceparent IS 'The setting image_gen.traceparent of the session that queued it: what it belongs to in a distributed trace (W3C Trace Context). Sent on to webhooks.';
COMMENT ON COLUMN image_gen.jobs.finished_at IS 'NULL while it is queued or running.';
COMMENT ON COLUMN image_gen.jobs.erased_at IS 'When forget() erased its words; it cannot be made again.';

-- Nothing of it changes after the job is queued, so the updates of a job leave it alone.
CREATE INDEX jobs_campaign ON image_gen.jobs (image_gen_internal.abbreviate(image_gen_internal.metadata_entry(metadata, 'campaign'), 100), owner, seq)
 WHERE image_gen_internal.abbreviate(image_gen_internal.metadata_entry(metadata, 'campaign'), 100) IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('image_gen.jobs', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.jobs_seq_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
