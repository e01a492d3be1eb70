-- The schema as it is installed. A change here is a change for every user and needs an upgrade script.
-- After a wanted change: UPDATE_EXPECT=1 cargo test -p image_gen_tests --test sql
\set ECHO none

TABLE image_gen.access_tokens (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  token_hash bytea NOT NULL,
  role regrole NOT NULL,
  scopes text[] NOT NULL,
  note text,
  created_by name NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamp with time zone NOT NULL,
  revoked_at timestamp with time zone
)
  access_tokens_note_check CHECK ((length(note) <= 1000))
  access_tokens_pkey PRIMARY KEY (id)
  access_tokens_scopes_check CHECK (((cardinality(scopes) > 0) AND (scopes <@ '{read,spend,review}'::text[])))
  access_tokens_token_hash_check CHECK ((octet_length(token_hash) = 32))
  access_tokens_token_hash_key UNIQUE (token_hash)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.access_tokens FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('access_token', '{id}', '{role,scopes,note,expires_at,revoked_at}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.access_tokens FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('access_token') ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true

TABLE image_gen.approvals (
  asset_id bigint NOT NULL,
  state image_gen.approval_state NOT NULL DEFAULT 'pending'::text,
  why text NOT NULL,
  requested_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  decided_by name,
  decided_at timestamp with time zone,
  note text
)
  approvals_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES image_gen.campaign_assets(id) ON DELETE CASCADE
  approvals_note_check CHECK ((char_length(note) <= 1000))
  approvals_pkey PRIMARY KEY (asset_id)
  decided_by_one CHECK (((((state)::text = 'pending'::text) = (decided_by IS NULL)) AND ((decided_by IS NULL) = (decided_at IS NULL))))
  CREATE INDEX approvals_pending ON image_gen.approvals USING btree (requested_at) WHERE ((state)::text = 'pending'::text)
  CREATE TRIGGER audited AFTER UPDATE ON image_gen.approvals FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('approval', '{asset_id}', '{state,decided_by,decided_at}') ALWAYS
  ROW LEVEL SECURITY
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING true
  POLICY seen FOR SELECT TO image_gen_admin, image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.campaign_assets a
  WHERE (a.id = approvals.asset_id)))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen.attachment_definitions (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  relation regclass NOT NULL,
  relation_name text NOT NULL,
  into_column name NOT NULL,
  asset_column name,
  key_columns name[] NOT NULL,
  prompt text NOT NULL,
  arguments image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  approve boolean NOT NULL DEFAULT false,
  paused boolean NOT NULL DEFAULT false,
  owner regrole NOT NULL,
  created_by regrole NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  attachment_definitions_pkey PRIMARY KEY (id)
  CREATE TRIGGER audited AFTER UPDATE ON image_gen.attachment_definitions FOR EACH ROW WHEN ((new.paused <> old.paused)) EXECUTE FUNCTION image_gen_internal.audit_change('attachment', '{id}', '{paused}') ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)
  POLICY worker FOR SELECT TO image_gen_worker USING true

TABLE image_gen.attachment_entries (
  attachment bigint NOT NULL,
  key jsonb NOT NULL,
  state image_gen.attachment_state NOT NULL,
  prompt_hash bytea,
  job_id text COLLATE "C",
  asset_id bigint,
  error_code text,
  error_message text,
  changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor=80)
  attachment_entries_pkey PRIMARY KEY (attachment, key)
  CREATE INDEX attachment_entries_job ON image_gen.attachment_entries USING btree (job_id)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.attachment_definitions d
  WHERE (d.id = attachment_entries.attachment)))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen.attempts (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job_id text COLLATE "C" NOT NULL,
  number image_gen.positive NOT NULL,
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  key_name text COLLATE "C",
  status image_gen.attempt_state NOT NULL DEFAULT 'running'::text,
  error_code text,
  error_message text,
  http_status integer,
  remote_id text,
  poll_url text,
  result_url text,
  cancel_url text,
  prompt text NOT NULL,
  seed bigint NOT NULL,
  seed_honored boolean NOT NULL,
  billed_cost image_gen.cost,
  currency text NOT NULL DEFAULT 'USD'::text,
  cost_source image_gen.cost_source NOT NULL DEFAULT 'unknown'::text,
  claimed_cost numeric,
  estimated_cost numeric,
  estimated_rest numeric,
  usage jsonb,
  tokens jsonb,
  render_seconds numeric,
  warnings jsonb NOT NULL DEFAULT '[]'::jsonb,
  owner regrole NOT NULL,
  epoch bigint NOT NULL,
  sends integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  sent_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamp with time zone
) WITH (fillfactor=70)
  attempts_job_id_fkey FOREIGN KEY (job_id) REFERENCES image_gen.jobs(id) ON DELETE CASCADE
  attempts_job_id_number_key UNIQUE (job_id, number)
  attempts_pkey PRIMARY KEY (id)
  attempts_sends_check CHECK ((sends >= 0))
  cost_has_a_source CHECK (((billed_cost IS NULL) = ((cost_source)::text = 'unknown'::text)))
  finished_when_over CHECK (((finished_at IS NULL) = ((status)::text = 'running'::text)))
  poll_url_with_remote_id CHECK (((remote_id IS NULL) = (poll_url IS NULL)))
  CREATE INDEX attempts_recent ON image_gen.attempts USING brin (created_at)
  CREATE INDEX attempts_unknown ON image_gen.attempts USING btree (job_id) WHERE ((billed_cost IS NULL) AND ((status)::text <> 'running'::text))
  CREATE TRIGGER note_update AFTER UPDATE OF billed_cost ON image_gen.attempts FOR EACH ROW WHEN ((((old.status)::text <> 'running'::text) AND ((old.billed_cost)::numeric IS DISTINCT FROM (new.billed_cost)::numeric))) EXECUTE FUNCTION image_gen_internal.note_cost_change()
  CREATE TRIGGER spending_changes BEFORE UPDATE ON image_gen.attempts FOR EACH ROW WHEN ((((old.status)::text <> 'running'::text) AND (((((((((old.billed_cost)::numeric IS DISTINCT FROM (new.billed_cost)::numeric) OR (old.currency IS DISTINCT FROM new.currency)) OR ((old.cost_source)::text IS DISTINCT FROM (new.cost_source)::text)) OR ((old.status)::text IS DISTINCT FROM (new.status)::text)) OR (old.error_code IS DISTINCT FROM new.error_code)) OR (old.provider IS DISTINCT FROM new.provider)) OR (old.model IS DISTINCT FROM new.model)) OR (old.sends IS DISTINCT FROM new.sends)))) EXECUTE FUNCTION image_gen_internal.on_spending_change() ALWAYS
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.attempts FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  CREATE TRIGGER spending_lost BEFORE DELETE ON image_gen.attempts FOR EACH ROW WHEN (((old.status)::text <> 'running'::text)) EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  CREATE TRIGGER spending_moved BEFORE UPDATE OF job_id, number, created_at ON image_gen.attempts FOR EACH ROW WHEN ((((old.job_id IS DISTINCT FROM new.job_id) OR ((old.number)::integer IS DISTINCT FROM (new.number)::integer)) OR (old.created_at IS DISTINCT FROM new.created_at))) EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING (EXISTS ( SELECT
   FROM image_gen.jobs j
  WHERE (((j.id)::text = attempts.job_id) AND ((j.status)::text = 'needs_review'::text))))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen.audit_log (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  role name NOT NULL,
  login name NOT NULL,
  action text COLLATE "C" NOT NULL,
  object text NOT NULL,
  details image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  times bigint NOT NULL DEFAULT 1
)
  audit_log_action_check CHECK ((action ~ '^[a-z_]+[.][a-z_]+$'::text))
  audit_log_pkey PRIMARY KEY (id)
  audit_log_times_check CHECK ((times > 0))
  CREATE INDEX audit_log_at ON image_gen.audit_log USING btree (at)
  CREATE INDEX audit_log_purged ON image_gen.audit_log USING btree (at) WHERE (action = 'audit.purged'::text)
  CREATE TRIGGER kept BEFORE DELETE OR UPDATE ON image_gen.audit_log FOR EACH ROW EXECUTE FUNCTION image_gen_internal.keep_audit_log() ALWAYS
  CREATE TRIGGER kept_whole BEFORE TRUNCATE ON image_gen.audit_log FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.keep_audit_log() ALWAYS

TABLE image_gen.budget_changes (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  budget_id bigint NOT NULL,
  kind text NOT NULL,
  amount image_gen.amount NOT NULL,
  valid_from timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  valid_until timestamp with time zone NOT NULL,
  note text,
  made_by name NOT NULL,
  made_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  budget_changes_kind_check CHECK ((kind = ANY (ARRAY['grant'::text, 'override'::text])))
  budget_changes_pkey PRIMARY KEY (id)
  ends_after_it_begins CHECK ((valid_until > valid_from))
  CREATE INDEX budget_changes_budget ON image_gen.budget_changes USING btree (budget_id, valid_until)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.budget_changes FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('budget_amount', '{budget_id}', '{kind,amount,valid_from,valid_until,note}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.budget_changes FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('budget_amount') ALWAYS

TABLE image_gen.budgets (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  scope text COLLATE "C" NOT NULL,
  key text COLLATE "C",
  role regrole,
  period text NOT NULL DEFAULT 'total'::text,
  rolling interval,
  time_zone text NOT NULL DEFAULT 'UTC'::text,
  amount image_gen.amount NOT NULL,
  counts_from timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
  note text,
  set_by name NOT NULL,
  set_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  budgets_period_check CHECK ((period = ANY (ARRAY['total'::text, 'day'::text, 'week'::text, 'month'::text, 'quarter'::text, 'year'::text, 'rolling'::text])))
  budgets_pkey PRIMARY KEY (id)
  budgets_rolling_check CHECK ((rolling > '@ 0'::interval))
  budgets_scope_check CHECK (((scope = ANY (ARRAY['workspace'::text, 'role'::text, 'campaign'::text, 'ticket'::text, 'batch'::text])) OR (scope ~ '^metadata:.'::text)))
  key_of_its_scope CHECK ((((scope = ANY (ARRAY['workspace'::text, 'role'::text])) = (key IS NULL)) AND ((scope = 'role'::text) = (role IS NOT NULL))))
  length_of_a_rolling_period CHECK (((period = 'rolling'::text) = (rolling IS NOT NULL)))
  CREATE UNIQUE INDEX budgets_one ON image_gen.budgets USING btree (scope, COALESCE(key, ''::text), COALESCE((role)::oid, (0)::oid), period, COALESCE(rolling, '@ 0'::interval))
  CREATE TRIGGER audited AFTER UPDATE ON image_gen.budgets FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('budget', '{scope,key,role,period}', '{amount,rolling,time_zone,note}') ALWAYS
  CREATE TRIGGER audited_gone AFTER DELETE ON image_gen.budgets FOR EACH ROW WHEN ((old.scope <> 'batch'::text)) EXECUTE FUNCTION image_gen_internal.audit_change('budget', '{scope,key,role,period}', '{amount,rolling,time_zone,note}') ALWAYS
  CREATE TRIGGER audited_new AFTER INSERT ON image_gen.budgets FOR EACH ROW WHEN ((new.scope <> 'batch'::text)) EXECUTE FUNCTION image_gen_internal.audit_change('budget', '{scope,key,role,period}', '{amount,rolling,time_zone,note}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.budgets FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('budget') ALWAYS

TABLE image_gen.campaign_assets (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job_id text COLLATE "C" NOT NULL,
  position image_gen.positive NOT NULL,
  attempt image_gen.positive NOT NULL DEFAULT 1,
  campaign text,
  shot text,
  ticket text,
  url text NOT NULL,
  url_expires_at timestamp with time zone,
  mirror_url text,
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  seed bigint NOT NULL,
  prompt text NOT NULL,
  negative_prompt text,
  width integer,
  height integer,
  content_type text,
  byte_size bigint,
  sha256 text COLLATE "C",
  billed_cost image_gen.cost,
  known_cost numeric,
  currency text NOT NULL DEFAULT 'USD'::text,
  cost_source image_gen.cost_source NOT NULL,
  warnings jsonb NOT NULL DEFAULT '[]'::jsonb,
  metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
  batch text COLLATE "C",
  parent text COLLATE "C",
  relation text,
  owner regrole NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  perceptual_hash bigint,
  blank text COLLATE "C",
  content_credentials jsonb,
  digital_source_type text COLLATE "C",
  disclosure text,
  erased_at timestamp with time zone,
  mirrored_at timestamp with time zone
)
  campaign_assets_job_id_position_key UNIQUE (job_id, "position")
  campaign_assets_pkey PRIMARY KEY (id)
  CREATE INDEX campaign_assets_batch ON image_gen.campaign_assets USING btree (batch) WHERE (batch IS NOT NULL)
  CREATE INDEX campaign_assets_campaign ON image_gen.campaign_assets USING btree (campaign, shot)
  CREATE INDEX campaign_assets_expiring ON image_gen.campaign_assets USING btree (url_expires_at) WHERE ((mirror_url IS NULL) AND (url_expires_at IS NOT NULL))
  CREATE INDEX campaign_assets_look ON image_gen.campaign_assets USING btree (owner, perceptual_hash) INCLUDE (id) WHERE (perceptual_hash IS NOT NULL)
  CREATE INDEX campaign_assets_parent ON image_gen.campaign_assets USING btree (parent) WHERE (parent IS NOT NULL)
  CREATE INDEX campaign_assets_sha256 ON image_gen.campaign_assets USING btree (sha256)
  CREATE INDEX campaign_assets_ticket ON image_gen.campaign_assets USING btree (ticket)
  CREATE TRIGGER forget_all_copies AFTER TRUNCATE ON image_gen.campaign_assets FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_assets_deleted()
  CREATE TRIGGER forget_copies AFTER DELETE ON image_gen.campaign_assets REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_assets_deleted()
  CREATE TRIGGER spending_changes BEFORE DELETE ON image_gen.campaign_assets FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_spending_change() ALWAYS
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.campaign_assets FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen.campaign_grants (
  campaign text COLLATE "C" NOT NULL,
  role regrole NOT NULL,
  granted_by name NOT NULL,
  granted_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  campaign_grants_campaign_check CHECK (((campaign <> ''::text) AND (octet_length(campaign) <= 1024)))
  campaign_grants_pkey PRIMARY KEY (campaign, role)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.campaign_grants FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('campaign', '{campaign,role}', '{}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.campaign_grants FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('campaign') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.campaign_grants FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.campaign_grants FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS

TABLE image_gen.character_sheets (
  id text COLLATE "C" NOT NULL,
  owner regrole NOT NULL,
  character_name text COLLATE "C" NOT NULL,
  description text NOT NULL,
  reference_image text,
  seed image_gen.seed NOT NULL,
  expressions text[] NOT NULL,
  arguments image_gen.jsonb_object NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  character_sheets_pkey PRIMARY KEY (id)
  CREATE INDEX character_sheets_character ON image_gen.character_sheets USING btree (owner, character_name, created_at)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen.characters (
  owner regrole NOT NULL,
  name text COLLATE "C" NOT NULL,
  description text NOT NULL,
  reference_image text,
  seed image_gen.seed NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  characters_description_check CHECK (((description <> ''::text) AND (length(description) <= 8000)))
  characters_name_check CHECK (((name <> ''::text) AND (length(name) <= 100)))
  characters_pkey PRIMARY KEY (owner, name)
  characters_reference_image_check CHECK ((length(reference_image) <= 4096))
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen.cost_corrections (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job_id text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  amount_before numeric,
  amount numeric,
  currency text NOT NULL,
  way text NOT NULL,
  note text,
  made_by name NOT NULL,
  made_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  cost_corrections_pkey PRIMARY KEY (id)
  cost_corrections_way_check CHECK ((way = ANY (ARRAY['settle_cost'::text, 'review'::text, 'invoice'::text, 'update'::text])))
  CREATE INDEX cost_corrections_call ON image_gen.cost_corrections USING btree (job_id, number, id)
  CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON image_gen.cost_corrections FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.raise_append_only()

TABLE image_gen.finish_hooks (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  function text NOT NULL,
  owner regrole NOT NULL,
  filter image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  created_by name NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  last_run_at timestamp with time zone,
  runs bigint NOT NULL DEFAULT 0,
  failures bigint NOT NULL DEFAULT 0,
  last_error text,
  attachment bigint
) WITH (fillfactor=50)
  finish_hooks_function_filter_key UNIQUE (function, filter)
  finish_hooks_pkey PRIMARY KEY (id)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.finish_hooks FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('finish_hook', '{id}', '{function,owner,filter}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.finish_hooks FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('finish_hook') ALWAYS

TABLE image_gen.invoice_lines (
  invoice_id bigint NOT NULL,
  line integer NOT NULL,
  remote_id text COLLATE "C" NOT NULL,
  amount image_gen.amount NOT NULL
)
  invoice_lines_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES image_gen.invoices(id) ON DELETE CASCADE
  invoice_lines_pkey PRIMARY KEY (invoice_id, line)
  CREATE INDEX invoice_lines_request ON image_gen.invoice_lines USING btree (remote_id)

TABLE image_gen.invoices (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  provider text COLLATE "C" NOT NULL,
  period_from timestamp with time zone NOT NULL,
  period_to timestamp with time zone NOT NULL,
  amount image_gen.amount NOT NULL,
  currency image_gen.currency NOT NULL DEFAULT 'USD'::text,
  note text,
  imported_by name NOT NULL,
  imported_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  ends_after_it_begins CHECK ((period_to > period_from))
  invoices_pkey PRIMARY KEY (id)

TABLE image_gen.jobs (
  id image_gen.job_id NOT NULL,
  seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  operation image_gen.operation NOT NULL,
  task image_gen.task NOT NULL,
  status image_gen.job_state NOT NULL DEFAULT 'queued'::text,
  prompt text NOT NULL,
  model text COLLATE "C" NOT NULL,
  model_is_open boolean NOT NULL DEFAULT false,
  provider text COLLATE "C",
  seed image_gen.seed NOT NULL,
  parameters jsonb NOT NULL DEFAULT '{}'::jsonb,
  metadata image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  preferences jsonb,
  priority image_gen.priority,
  owner regrole NOT NULL,
  login regrole NOT NULL DEFAULT (quote_ident((SESSION_USER)::text))::regrole,
  idempotency_key text,
  request_hash bytea,
  fingerprint bytea,
  deadline timestamp with time zone,
  max_cost image_gen.cost,
  allow_unpriced boolean NOT NULL DEFAULT false,
  batch text COLLATE "C",
  parent text COLLATE "C",
  relation text,
  estimated_seconds numeric,
  estimated_cost numeric,
  currency text NOT NULL DEFAULT 'USD'::text,
  warnings jsonb NOT NULL DEFAULT '[]'::jsonb,
  error_code text,
  error_message text,
  billed_cost image_gen.cost,
  known_cost numeric,
  cost_source image_gen.cost_source,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  finished_at timestamp with time zone,
  traceparent text COLLATE "C" DEFAULT NULLIF(current_setting('image_gen.traceparent'::text, true), ''::text),
  erased_at timestamp with time zone
) WITH (fillfactor=80)
  jobs_pkey PRIMARY KEY (id)
  jobs_seq_key UNIQUE (seq)
  CREATE INDEX jobs_batch ON image_gen.jobs USING btree (batch) WHERE (batch IS NOT NULL)
  CREATE INDEX jobs_campaign ON image_gen.jobs USING btree (image_gen_internal.abbreviate(image_gen_internal.metadata_entry((metadata)::jsonb, 'campaign'::text), 100), owner, seq) WHERE (image_gen_internal.abbreviate(image_gen_internal.metadata_entry((metadata)::jsonb, 'campaign'::text), 100) IS NOT NULL)
  CREATE INDEX jobs_fingerprint ON image_gen.jobs USING btree (owner, fingerprint) WHERE (fingerprint IS NOT NULL)
  CREATE UNIQUE INDEX jobs_idempotency ON image_gen.jobs USING btree (owner, idempotency_key) WHERE (idempotency_key IS NOT NULL)
  CREATE INDEX jobs_metadata ON image_gen.jobs USING gin (metadata jsonb_path_ops)
  CREATE INDEX jobs_owner ON image_gen.jobs USING btree (owner, seq)
  CREATE INDEX jobs_parent ON image_gen.jobs USING btree (parent) WHERE (parent IS NOT NULL)
  CREATE UNIQUE INDEX jobs_rerun ON image_gen.jobs USING btree (parent) WHERE (relation = 'rerun'::text)
  CREATE TRIGGER error_code_without_picture AFTER UPDATE OF status, error_code ON image_gen.jobs FOR EACH ROW WHEN (((new.error_code IS NULL) <> ((new.status)::text = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text])))) EXECUTE FUNCTION image_gen_internal.raise_rule_violation() ALWAYS
  CREATE TRIGGER finished_when_over AFTER UPDATE OF status, finished_at ON image_gen.jobs FOR EACH ROW WHEN (((new.finished_at IS NULL) <> ((new.status)::text = ANY (ARRAY['queued'::text, 'running'::text])))) EXECUTE FUNCTION image_gen_internal.raise_rule_violation() ALWAYS
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.jobs FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  CREATE TRIGGER spending_lost BEFORE DELETE ON image_gen.jobs FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  CREATE TRIGGER spending_moved BEFORE UPDATE OF metadata, owner, operation ON image_gen.jobs FOR EACH ROW WHEN (((((old.metadata)::jsonb IS DISTINCT FROM (new.metadata)::jsonb) OR ((old.owner)::oid IS DISTINCT FROM (new.owner)::oid)) OR ((old.operation)::text IS DISTINCT FROM (new.operation)::text))) EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING ((status)::text = 'needs_review'::text)
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen.lint_rules (
  position image_gen.positive NOT NULL,
  rule text NOT NULL,
  pattern text,
  unless text,
  models text[],
  parameter text,
  low numeric,
  high numeric,
  without text[],
  message text NOT NULL,
  instead text,
  enabled boolean NOT NULL DEFAULT true,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  lint_rules_pkey PRIMARY KEY ("position")
  lint_rules_rule_key UNIQUE (rule)
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.lint_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()
  CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.lint_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_rule()

TABLE image_gen.model_rules (
  position image_gen.positive NOT NULL,
  rule text NOT NULL,
  needs_text boolean,
  photoreal boolean,
  draft boolean,
  stylized boolean,
  editing boolean,
  priority text,
  models text[] NOT NULL,
  reason text NOT NULL,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  model_rules_pkey PRIMARY KEY ("position")
  model_rules_rule_key UNIQUE (rule)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.model_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.model_rules FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.model_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()

TABLE image_gen.models (
  name text COLLATE "C" NOT NULL,
  provider_kind text NOT NULL,
  provider text COLLATE "C",
  remote_name text NOT NULL,
  api text,
  aliases text[] NOT NULL DEFAULT '{}'::text[],
  operations text[] NOT NULL DEFAULT '{generate}'::text[],
  default_for text[] NOT NULL DEFAULT '{}'::text[],
  sizes jsonb,
  prompt_chars image_gen.positive,
  max_n integer NOT NULL DEFAULT 1,
  parameters image_gen.jsonb_object NOT NULL DEFAULT '{"prompt": true}'::jsonb,
  fixed image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  typical_seconds numeric NOT NULL DEFAULT 10,
  best_for text,
  successor text,
  ends_on date,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  models_default_for_check CHECK ((default_for <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style,character,reference_images}'::text[]))
  models_max_n_check CHECK (((max_n >= 1) AND (max_n <= 10)))
  models_name_check CHECK ((name ~ '^([a-z0-9][a-z0-9._/-]{0,127}|[*])$'::text))
  models_operations_check CHECK ((operations <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style}'::text[]))
  models_pkey PRIMARY KEY (name, provider_kind)
  models_typical_seconds_check CHECK (((typical_seconds > (0)::numeric) AND (typical_seconds < 'Infinity'::numeric)))
  sizes_unless_retired CHECK (((successor IS NOT NULL) OR (sizes IS NOT NULL)))
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.models FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.models FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()
  CREATE TRIGGER try_workflow BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW WHEN (((new.fixed)::jsonb ? 'workflow'::text)) EXECUTE FUNCTION image_gen_internal.check_workflow()

TABLE image_gen.palettes (
  position image_gen.positive NOT NULL,
  palette text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  palettes_palette_check CHECK ((palette <> ''::text))
  palettes_pkey PRIMARY KEY ("position")
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.palettes FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()

TABLE image_gen.pauses (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  provider text COLLATE "C",
  role regrole,
  note text,
  paused_by name NOT NULL,
  paused_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  one_pause_each UNIQUE NULLS NOT DISTINCT (provider, role)
  pauses_pkey PRIMARY KEY (id)
  provider_or_role CHECK (((provider IS NULL) OR (role IS NULL)))
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.pauses FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.pauses FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS

TABLE image_gen.picks (
  set_id text COLLATE "C" NOT NULL,
  asset_id bigint NOT NULL,
  picked_by name NOT NULL,
  picked_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  picks_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES image_gen.campaign_assets(id) ON DELETE CASCADE
  picks_asset_id_key UNIQUE (asset_id)
  picks_pkey PRIMARY KEY (set_id)
  ROW LEVEL SECURITY
  POLICY seen FOR SELECT TO public USING (EXISTS ( SELECT
   FROM image_gen.campaign_assets a
  WHERE (a.id = picks.asset_id)))

TABLE image_gen.policy_rules (
  position image_gen.positive NOT NULL,
  rule text NOT NULL,
  class text NOT NULL,
  pattern text NOT NULL,
  action image_gen.policy_action NOT NULL DEFAULT 'warn'::text,
  message text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  policy_rules_class_check CHECK (((class <> ''::text) AND (char_length(class) <= 100)))
  policy_rules_message_check CHECK ((char_length(message) <= 300))
  policy_rules_pkey PRIMARY KEY ("position")
  policy_rules_rule_check CHECK (((rule <> ''::text) AND (char_length(rule) <= 100)))
  policy_rules_rule_key UNIQUE (rule)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.policy_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('policy_rule', '{rule}', '{position,class,pattern,action,message,enabled}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.policy_rules FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('policy_rule') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.policy_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.policy_rules FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.policy_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()
  CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.policy_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_policy_rule()

TABLE image_gen.prices (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  provider_kind text NOT NULL,
  model text COLLATE "C" NOT NULL,
  unit text NOT NULL,
  quality text,
  amount image_gen.amount NOT NULL,
  currency image_gen.currency NOT NULL DEFAULT 'USD'::text,
  valid_from date NOT NULL DEFAULT '-infinity'::date,
  valid_to date NOT NULL DEFAULT 'infinity'::date,
  source text,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  ends_after_it_begins CHECK ((valid_to > valid_from))
  prices_pkey PRIMARY KEY (id)
  prices_unit_check CHECK ((unit = ANY (ARRAY['image'::text, 'megapixel'::text, 'begun_megapixel'::text, 'first_megapixel'::text, 'further_megapixel'::text, 'second'::text, 'text_in_mtok'::text, 'image_in_mtok'::text, 'text_cached_mtok'::text, 'image_cached_mtok'::text, 'image_out_mtok'::text, 'text_out_mtok'::text])))
  CREATE INDEX prices_model ON image_gen.prices USING btree (model, provider_kind)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('price', '{provider_kind,model}', '{unit,quality,amount,currency,valid_from,valid_to}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.prices FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('price') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.prices FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()

TABLE image_gen.provider_access (
  provider text COLLATE "C" NOT NULL,
  role regrole NOT NULL,
  requested_at timestamp with time zone,
  request_note text,
  granted_by name,
  granted_at timestamp with time zone
)
  granted_by_one CHECK (((granted_by IS NULL) = (granted_at IS NULL)))
  provider_access_pkey PRIMARY KEY (provider, role)
  provider_access_request_note_check CHECK ((char_length(request_note) <= 1000))
  requested_or_granted CHECK (((requested_at IS NOT NULL) OR (granted_at IS NOT NULL)))
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.provider_access FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('provider_access', '{provider,role}', '{granted_by}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.provider_access FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('provider_access') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.provider_access FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.provider_access FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING pg_has_role((role)::oid, 'member'::text)
  POLICY worker FOR SELECT TO image_gen_worker USING true

TABLE image_gen.provider_balances (
  provider text COLLATE "C" NOT NULL,
  key_name text COLLATE "C" NOT NULL DEFAULT ''::text,
  amount numeric NOT NULL,
  credits numeric,
  checked_at timestamp with time zone NOT NULL
) WITH (fillfactor=50)
  provider_balances_pkey PRIMARY KEY (provider, key_name)

TABLE image_gen.providers (
  id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  base_url text,
  key_name text,
  enabled boolean NOT NULL DEFAULT true,
  priority integer NOT NULL DEFAULT 100,
  max_in_flight image_gen.positive,
  requests_per_minute image_gen.positive,
  options image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  needs_approval boolean NOT NULL DEFAULT false,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  providers_base_url_check CHECK ((base_url ~ '^https?://[^/@ ]+(/[^ ]*)?$'::text))
  providers_id_check CHECK ((id ~ '^[a-z][a-z0-9_-]{0,62}$'::text))
  providers_key_name_check CHECK ((key_name ~ '^[A-Z][A-Z0-9_]{0,62}$'::text))
  providers_pkey PRIMARY KEY (id)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('provider', '{id}', '{kind,base_url,key_name,enabled,max_in_flight,requests_per_minute,options,needs_approval}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.providers FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('provider') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.providers FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()

TABLE image_gen.refusal_steps (
  step image_gen.positive NOT NULL,
  action text NOT NULL,
  model text COLLATE "C",
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  model_to_switch_to CHECK (((model IS NULL) OR (action = 'switch_model'::text)))
  refusal_steps_action_check CHECK ((action = ANY (ARRAY['rewrite'::text, 'switch_model'::text, 'review'::text, 'fail'::text])))
  refusal_steps_pkey PRIMARY KEY (step)
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.refusal_steps FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('refusal_step', '{step}', '{action,model}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.refusal_steps FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('refusal_step') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.refusal_steps FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.refusal_steps FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.refusal_steps FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()

TABLE image_gen.request_rules (
  position image_gen.positive NOT NULL,
  rule text NOT NULL,
  pattern text NOT NULL,
  unless text,
  operation text NOT NULL,
  arguments image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  needs text[] NOT NULL DEFAULT '{}'::text[],
  reason text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  request_rules_operation_check CHECK ((operation = ANY (ARRAY['generate'::text, 'edit'::text, 'upscale'::text, 'variate'::text, 'transfer_style'::text, 'character_sheet'::text])))
  request_rules_pkey PRIMARY KEY ("position")
  request_rules_rule_key UNIQUE (rule)
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.request_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()
  CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.request_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_rule()

TABLE image_gen.reuses (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job_id text COLLATE "C" NOT NULL,
  owner regrole NOT NULL,
  saved numeric,
  currency text NOT NULL,
  metadata image_gen.jsonb_object NOT NULL,
  at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  reuses_pkey PRIMARY KEY (id)
  CREATE INDEX reuses_owner ON image_gen.reuses USING btree (owner, at)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen.reviews (
  job_id text COLLATE "C" NOT NULL,
  claimed_by regrole,
  claimed_at timestamp with time zone,
  action text,
  note text,
  resolved_by name,
  resolved_at timestamp with time zone
)
  reviews_job_id_fkey FOREIGN KEY (job_id) REFERENCES image_gen.jobs(id) ON DELETE CASCADE
  reviews_pkey PRIMARY KEY (job_id)
  CREATE TRIGGER audited AFTER UPDATE ON image_gen.reviews FOR EACH ROW WHEN (((new.resolved_at IS NOT NULL) AND (new.resolved_at IS DISTINCT FROM old.resolved_at))) EXECUTE FUNCTION image_gen_internal.audit_change('review', '{job_id}', '{action,resolved_by,resolved_at}') ALWAYS
  CREATE TRIGGER audited_new AFTER INSERT ON image_gen.reviews FOR EACH ROW WHEN ((new.resolved_at IS NOT NULL)) EXECUTE FUNCTION image_gen_internal.audit_change('review', '{job_id}', '{action,resolved_by,resolved_at}') ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.jobs j
  WHERE (((j.id)::text = reviews.job_id) AND ((j.owner)::oid = (image_gen_internal.current_role_oid())::oid))))
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING (EXISTS ( SELECT
   FROM image_gen.jobs j
  WHERE (((j.id)::text = reviews.job_id) AND ((j.status)::text = 'needs_review'::text))))

TABLE image_gen.rewrite_rules (
  position image_gen.positive NOT NULL,
  pattern text NOT NULL,
  replacement text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  note text,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  rewrite_rules_pkey PRIMARY KEY ("position")
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.claim_catalogue_row()
  CREATE TRIGGER try_pattern BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen_internal.check_pattern()

TABLE image_gen.role_policies (
  role regrole NOT NULL,
  allow_unpriced boolean NOT NULL DEFAULT false,
  allowed_options text[] NOT NULL DEFAULT '{*}'::text[],
  allowed_providers text[] NOT NULL DEFAULT '{*}'::text[],
  allowed_models text[] NOT NULL DEFAULT '{*}'::text[],
  allowed_operations text[] NOT NULL DEFAULT '{*}'::text[],
  max_queued integer,
  max_in_flight integer,
  requests_per_minute integer,
  note text,
  set_by name NOT NULL,
  set_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  role_policies_allowed_models_check CHECK (((array_position(allowed_models, NULL::text) IS NULL) AND (cardinality(allowed_models) <= 1000)))
  role_policies_allowed_operations_check CHECK ((allowed_operations <@ '{*,generate,edit,upscale,variate,transfer_style}'::text[]))
  role_policies_allowed_options_check CHECK (((array_position(allowed_options, NULL::text) IS NULL) AND (cardinality(allowed_options) <= 1000)))
  role_policies_allowed_providers_check CHECK (((array_position(allowed_providers, NULL::text) IS NULL) AND (cardinality(allowed_providers) <= 1000)))
  role_policies_max_in_flight_check CHECK ((max_in_flight > 0))
  role_policies_max_queued_check CHECK ((max_queued >= 0))
  role_policies_pkey PRIMARY KEY (role)
  role_policies_requests_per_minute_check CHECK ((requests_per_minute >= 0))
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.role_policies FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('policy', '{role}', '{allow_unpriced,allowed_options,allowed_providers,allowed_models,allowed_operations,max_queued,max_in_flight,requests_per_minute,note}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.role_policies FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('policy') ALWAYS
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.role_policies FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.role_policies FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS

TABLE image_gen.store_orphans (
  store integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  byte_size bigint NOT NULL,
  modified_at timestamp with time zone NOT NULL,
  found_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  store_orphans_pkey PRIMARY KEY (store, name)

TABLE image_gen.store_sweeps (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  store integer NOT NULL,
  remove boolean NOT NULL,
  requested_by regrole NOT NULL,
  requested_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamp with time zone,
  seen bigint NOT NULL DEFAULT 0,
  orphans bigint NOT NULL DEFAULT 0,
  removed bigint NOT NULL DEFAULT 0,
  missing bigint NOT NULL DEFAULT 0,
  after_name text COLLATE "C" NOT NULL DEFAULT ''::text,
  due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  last_error text
)
  store_sweeps_pkey PRIMARY KEY (id)

TABLE image_gen.stored_images (
  owner regrole NOT NULL,
  sha256 text COLLATE "C" NOT NULL,
  reference text NOT NULL DEFAULT ('image-gen:sha256:'::text || sha256),
  content_type text NOT NULL,
  width integer,
  height integer,
  byte_size bigint NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  stored_images_pkey PRIMARY KEY (sha256, owner)
  CREATE INDEX stored_images_owner ON image_gen.stored_images USING btree (owner, created_at)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen.styles (
  owner regrole NOT NULL,
  name text COLLATE "C" NOT NULL,
  prefix text,
  suffix text,
  negative text,
  palette text,
  reference_images text[] NOT NULL DEFAULT '{}'::text[],
  models text[] NOT NULL DEFAULT '{}'::text[],
  changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  styles_models_check CHECK (((cardinality(models) <= 100) AND (array_position(models, NULL::text) IS NULL)))
  styles_name_check CHECK (((name <> ''::text) AND (length(name) <= 100)))
  styles_negative_check CHECK ((length(negative) <= 4000))
  styles_palette_check CHECK ((length(palette) <= 4000))
  styles_pkey PRIMARY KEY (owner, name)
  styles_prefix_check CHECK ((length(prefix) <= 4000))
  styles_reference_images_check CHECK (((cardinality(reference_images) <= 16) AND (array_position(reference_images, NULL::text) IS NULL)))
  styles_suffix_check CHECK ((length(suffix) <= 4000))
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING pg_has_role((owner)::oid, 'member'::text)

TABLE image_gen.webhook_deliveries (
  id text COLLATE "C" NOT NULL DEFAULT ('msg_'::text || substr(image_gen_internal.new_job_id(), 5)),
  webhook bigint NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  event text NOT NULL,
  status image_gen.delivery_state NOT NULL DEFAULT 'pending'::text,
  tries integer NOT NULL DEFAULT 0,
  due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  payload jsonb,
  http_status integer,
  last_error text,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  delivered_at timestamp with time zone
) WITH (fillfactor=70)
  webhook_deliveries_pkey PRIMARY KEY (id)
  CREATE INDEX webhook_deliveries_due ON image_gen.webhook_deliveries USING btree (webhook, due_at) WHERE ((status)::text = 'pending'::text)
  CREATE INDEX webhook_deliveries_job ON image_gen.webhook_deliveries USING btree (job_id)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen.webhooks (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  url text NOT NULL,
  events text[] NOT NULL DEFAULT '{job.succeeded,job.failed,job.needs_review,job.canceled}'::text[],
  key_name text NOT NULL,
  filter image_gen.jsonb_object NOT NULL DEFAULT '{}'::jsonb,
  enabled boolean NOT NULL DEFAULT true,
  created_by regrole NOT NULL DEFAULT image_gen_internal.caller(),
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  webhooks_events_check CHECK (((events <@ '{job.succeeded,job.failed,job.needs_review,job.canceled}'::text[]) AND (cardinality(events) > 0)))
  webhooks_key_name_check CHECK ((key_name ~ '^[A-Z][A-Z0-9_]{0,62}$'::text))
  webhooks_pkey PRIMARY KEY (id)
  webhooks_url_check CHECK (((url ~ '^https?://[^/@ ]+(/[^ ]*)?$'::text) AND (length(url) <= 2000)))
  CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON image_gen.webhooks FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('webhook', '{id}', '{url,events,key_name,filter,enabled}') ALWAYS
  CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.webhooks FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.audit_change('webhook') ALWAYS
  CREATE TRIGGER check_url BEFORE INSERT OR UPDATE OF url ON image_gen.webhooks FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_webhook_change()
  ROW LEVEL SECURITY
  POLICY every FOR ALL TO image_gen_admin USING true CHECK true
  POLICY worker FOR SELECT TO image_gen_worker USING true

TABLE image_gen_internal.blobs (
  sha256 text COLLATE "C" NOT NULL,
  content_type text NOT NULL,
  bytes bytea STORAGE EXTERNAL NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  blobs_pkey PRIMARY KEY (sha256)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.campaign_assets a
  WHERE ((a.sha256 = blobs.sha256) AND ((a.owner)::oid = (image_gen_internal.current_role_oid())::oid))))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen_internal.budget_charges (
  job_id text COLLATE "C" NOT NULL,
  budget_id bigint NOT NULL,
  owner regrole NOT NULL,
  at timestamp with time zone NOT NULL,
  reserved numeric NOT NULL,
  spent numeric NOT NULL,
  pruned boolean NOT NULL DEFAULT false
) WITH (fillfactor=70)
  budget_charges_pkey PRIMARY KEY (job_id, budget_id)
  CREATE INDEX budget_charges_pruned ON image_gen_internal.budget_charges USING btree (budget_id, at) WHERE pruned
  CREATE INDEX budget_charges_window ON image_gen_internal.budget_charges USING btree (budget_id, at)

TABLE image_gen_internal.budget_entries (
  budget_id bigint NOT NULL,
  at timestamp with time zone,
  reserved numeric NOT NULL,
  spent numeric NOT NULL
)
  CREATE INDEX budget_entries_budget ON image_gen_internal.budget_entries USING btree (budget_id)

TABLE image_gen_internal.budget_totals (
  budget_id bigint NOT NULL,
  since timestamp with time zone NOT NULL,
  spent numeric NOT NULL DEFAULT 0,
  reserved numeric NOT NULL DEFAULT 0,
  unsure bigint[],
  newer bigint
) WITH (fillfactor=20)
  budget_totals_pkey PRIMARY KEY (budget_id)
  CREATE INDEX budget_totals_fresh ON image_gen_internal.budget_totals USING btree (budget_id) WHERE (newer IS NOT NULL)

TABLE image_gen_internal.callback_queue (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  hook bigint NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  key jsonb,
  status text NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  failed boolean NOT NULL DEFAULT false,
  awaits_approval boolean NOT NULL DEFAULT false,
  last_error text,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor=70)
  callback_queue_pkey PRIMARY KEY (id)
  CREATE INDEX callback_queue_due ON image_gen_internal.callback_queue USING btree (hook, due_at) WHERE ((NOT failed) AND (NOT awaits_approval))
  CREATE INDEX callback_queue_job ON image_gen_internal.callback_queue USING btree (job_id)

TABLE image_gen_internal.cancel_requests (
  seq bigint NOT NULL,
  requested_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  cancel_requests_pkey PRIMARY KEY (seq)

TABLE image_gen_internal.catalogue_imports (
  published date NOT NULL,
  catalogue jsonb NOT NULL,
  pinned boolean NOT NULL DEFAULT false,
  note text,
  imported_by name NOT NULL,
  imported_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  CREATE TRIGGER load AFTER INSERT ON image_gen_internal.catalogue_imports FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_catalogue_import()

TABLE image_gen_internal.copy_queue (
  asset_id bigint NOT NULL,
  policy text NOT NULL DEFAULT 'both'::text,
  expires_at timestamp with time zone NOT NULL DEFAULT 'infinity'::timestamp with time zone,
  moves_from bigint,
  lost boolean NOT NULL DEFAULT false,
  told boolean NOT NULL DEFAULT false,
  tries integer NOT NULL DEFAULT 0,
  due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  last_error text,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor=70)
  copy_queue_pkey PRIMARY KEY (asset_id)
  copy_queue_policy_check CHECK ((policy = ANY (ARRAY['copy'::text, 'both'::text])))
  CREATE INDEX copy_queue_due ON image_gen_internal.copy_queue USING btree (due_at) WHERE (NOT lost)
  CREATE INDEX copy_queue_order ON image_gen_internal.copy_queue USING btree (expires_at, asset_id) WHERE (NOT lost)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.campaign_assets a
  WHERE ((a.id = copy_queue.asset_id) AND ((a.owner)::oid = (image_gen_internal.current_role_oid())::oid))))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen_internal.instance (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  system text NOT NULL,
  timeline bigint NOT NULL,
  database bigint NOT NULL,
  files text NOT NULL,
  allowed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  allowed_by name NOT NULL,
  note text
)
  instance_pkey PRIMARY KEY (id)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen_internal.instance FOR EACH ROW EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen_internal.instance FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS

TABLE image_gen_internal.job_dependencies (
  needs text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  checked boolean NOT NULL DEFAULT false
) WITH (fillfactor=70)
  job_dependencies_pkey PRIMARY KEY (needs, seq)
  CREATE INDEX job_dependencies_seq ON image_gen_internal.job_dependencies USING btree (seq)
  CREATE INDEX job_dependencies_unchecked ON image_gen_internal.job_dependencies USING btree (seq) WHERE (NOT checked)

TABLE image_gen_internal.job_inputs (
  sha256 text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL
)
  job_inputs_pkey PRIMARY KEY (sha256, job_id)

TABLE image_gen_internal.locks (
  name text COLLATE "C" NOT NULL
)
  locks_pkey PRIMARY KEY (name)

TABLE image_gen_internal.provider_breakers (
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  state text NOT NULL,
  since timestamp with time zone NOT NULL,
  failures integer NOT NULL,
  last_error_code text,
  last_error_at timestamp with time zone
) WITH (fillfactor=50)
  provider_breakers_pkey PRIMARY KEY (provider, model)
  provider_breakers_state_check CHECK ((state = ANY (ARRAY['up'::text, 'down'::text, 'recovering'::text])))

TABLE image_gen_internal.queue (
  seq bigint NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  owner regrole NOT NULL,
  state image_gen.queue_state NOT NULL DEFAULT 'ready'::text,
  epoch bigint,
  ready_at timestamp with time zone NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  progress jsonb NOT NULL DEFAULT '{}'::jsonb,
  instance uuid NOT NULL DEFAULT image_gen_internal.instance_id(),
  deaths smallint NOT NULL DEFAULT 0
) WITH (fillfactor=70, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=10000)
  queue_pkey PRIMARY KEY (seq)
  CREATE INDEX queue_deaths ON image_gen_internal.queue USING btree (seq) WHERE (deaths > 0)
  CREATE INDEX queue_ready ON image_gen_internal.queue USING btree (seq) WHERE ((state)::text = 'ready'::text)
  CREATE INDEX queue_tenants ON image_gen_internal.queue USING btree (owner, seq) WHERE (((state)::text = 'ready'::text) AND (seq > 0))
  CREATE TRIGGER epoch_while_running AFTER UPDATE OF state, epoch ON image_gen_internal.queue FOR EACH ROW WHEN ((((new.state)::text = 'running'::text) <> (new.epoch IS NOT NULL))) EXECUTE FUNCTION image_gen_internal.raise_rule_violation() ALWAYS
  CREATE TRIGGER queue_truncated AFTER TRUNCATE ON image_gen_internal.queue FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_queue_truncate()

TABLE image_gen_internal.render_estimates (
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  class text COLLATE "C" NOT NULL DEFAULT ''::text,
  seconds numeric NOT NULL,
  samples bigint NOT NULL
) WITH (fillfactor=50)
  render_estimates_pkey PRIMARY KEY (provider, model, class)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen_internal.render_estimates FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.estimates_changed()

TABLE image_gen_internal.spending_archive (
  story text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  jobs bigint NOT NULL,
  calls bigint NOT NULL,
  retries bigint NOT NULL,
  first_call timestamp with time zone NOT NULL,
  last_call timestamp with time zone NOT NULL,
  owner regrole NOT NULL,
  campaign text,
  ticket text,
  operation text NOT NULL,
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  status text NOT NULL,
  error_code text,
  images bigint NOT NULL,
  billed_cost image_gen.cost NOT NULL,
  currency text NOT NULL,
  cost_source text NOT NULL,
  usage jsonb,
  folded boolean NOT NULL DEFAULT false
)
  spending_archive_jobs_check CHECK ((jobs > 0))
  spending_archive_pkey PRIMARY KEY (story, number)
  CREATE INDEX spending_archive_unfolded ON image_gen_internal.spending_archive USING btree (story) WHERE (NOT folded)
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen_internal.spending_archive FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss() ALWAYS
  CREATE TRIGGER spending_restored BEFORE INSERT ON image_gen_internal.spending_archive FOR EACH ROW WHEN (new.folded) EXECUTE FUNCTION image_gen_internal.mark_unfolded() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen_internal.spending_days (
  story bytea NOT NULL,
  number integer NOT NULL,
  entry bigint NOT NULL,
  day date NOT NULL,
  jobs bigint NOT NULL,
  calls bigint NOT NULL,
  retries bigint NOT NULL,
  owner regrole NOT NULL,
  campaign text,
  ticket text,
  operation text NOT NULL,
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  status text NOT NULL,
  error_code text,
  images bigint NOT NULL,
  billed_cost numeric,
  currency text NOT NULL,
  cost_source text NOT NULL
) WITH (fillfactor=70)
  spending_days_pkey PRIMARY KEY (story, number, entry)
  CREATE INDEX spending_days_day ON image_gen_internal.spending_days USING btree (day)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen_internal.spending_left_out (
  seq bigint NOT NULL
) WITH (fillfactor=70)
  spending_left_out_pkey PRIMARY KEY (seq)

TABLE image_gen_internal.spending_mark (
  one boolean NOT NULL DEFAULT true,
  folded_to bigint NOT NULL DEFAULT 0,
  seen_to bigint NOT NULL DEFAULT 0,
  seen_by text[] NOT NULL DEFAULT '{}'::text[]
) WITH (fillfactor=20)
  spending_mark_one_check CHECK (one)
  spending_mark_pkey PRIMARY KEY (one)

TABLE image_gen_internal.spending_totals (
  key bytea NOT NULL,
  entry bigint NOT NULL,
  owner regrole NOT NULL,
  campaign text,
  ticket text,
  currency text NOT NULL,
  jobs bigint NOT NULL,
  images bigint NOT NULL,
  calls bigint NOT NULL,
  billed numeric NOT NULL,
  unknown_costs bigint NOT NULL,
  refusals bigint NOT NULL,
  retries bigint NOT NULL,
  wasted numeric NOT NULL,
  first_call timestamp with time zone,
  last_call timestamp with time zone
) WITH (fillfactor=50)
  spending_totals_pkey PRIMARY KEY (key, entry)
  CREATE INDEX spending_totals_owner ON image_gen_internal.spending_totals USING btree (owner)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen_internal.current_role_oid())::oid)

TABLE image_gen_internal.stored_objects (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  store integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  sha256 text COLLATE "C" NOT NULL,
  byte_size bigint NOT NULL,
  content_type text,
  instance uuid NOT NULL,
  stored_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  doomed_at timestamp with time zone,
  due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  tries integer NOT NULL DEFAULT 0,
  last_error text,
  seen_at timestamp with time zone
)
  stored_objects_pkey PRIMARY KEY (id)
  stored_objects_store_fkey FOREIGN KEY (store) REFERENCES image_gen_internal.stores(id)
  stored_objects_store_name_key UNIQUE (store, name)
  CREATE INDEX stored_objects_doomed ON image_gen_internal.stored_objects USING btree (due_at) WHERE (doomed_at IS NOT NULL)
  CREATE INDEX stored_objects_sha256 ON image_gen_internal.stored_objects USING btree (sha256)

TABLE image_gen_internal.stores (
  id integer NOT NULL GENERATED ALWAYS AS IDENTITY,
  identity text COLLATE "C" NOT NULL,
  address text NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  stores_identity_key UNIQUE (identity)
  stores_pkey PRIMARY KEY (id)

TABLE image_gen_internal.thumbnails (
  sha256 text COLLATE "C" NOT NULL,
  content_type text NOT NULL,
  bytes bytea STORAGE EXTERNAL NOT NULL
)
  thumbnails_pkey PRIMARY KEY (sha256)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.campaign_assets a
  WHERE ((a.sha256 = thumbnails.sha256) AND ((a.owner)::oid = (image_gen_internal.current_role_oid())::oid))))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE image_gen_internal.worker_state (
  one boolean NOT NULL DEFAULT true,
  epoch bigint NOT NULL DEFAULT 0,
  pid integer,
  started_at timestamp with time zone,
  mode text,
  in_flight_cap integer,
  cap_reason text,
  configured text[],
  last_error text,
  last_error_at timestamp with time zone,
  all_over_to bigint NOT NULL DEFAULT 0,
  truncated_by xid
) WITH (fillfactor=20)
  worker_state_one_check CHECK (one)
  worker_state_pkey PRIMARY KEY (one)
  CREATE TRIGGER audited AFTER UPDATE ON image_gen_internal.worker_state FOR EACH ROW WHEN ((old.configured IS DISTINCT FROM new.configured)) EXECUTE FUNCTION image_gen_internal.audit_keys() ALWAYS
  CREATE TRIGGER changed AFTER UPDATE ON image_gen_internal.worker_state FOR EACH ROW WHEN ((old.configured IS DISTINCT FROM new.configured)) EXECUTE FUNCTION image_gen_internal.catalogue_changed() ALWAYS

VIEW image_gen.approval_queue (asset_id bigint, why text, requested_at timestamp with time zone, job_id text, campaign text, shot text, prompt text, model text, url text, thumbnail bytea, owner regrole)

VIEW image_gen.attachment_rows (attachment bigint, relation text, key jsonb, state text, error_code text, error_message text, job_id text, asset_id bigint, billed_cost image_gen.cost, changed_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.attachments (id bigint, relation text, into_column name, asset_column name, key_columns name[], prompt text, arguments image_gen.jsonb_object, approve boolean, owner text, state text, problem text, rows bigint, written bigint, under_way bigint, refused bigint, failed bigint, waiting bigint, created_by text, created_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.backlogs (kind text, waiting bigint, failing bigint, given_up bigint, oldest timestamp with time zone)

VIEW image_gen.batches (batch text, shot text, id image_gen.job_id, status image_gen.job_state, waiting_for image_gen.wait_reason, model text, seed image_gen.seed, url text, error_code text, billed_cost image_gen.cost, known_cost numeric, currency text, created_at timestamp with time zone, finished_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.budget_stats (budget text, scope text, period text, limit_amount numeric, spent numeric, reserved numeric, available numeric, since timestamp with time zone)

VIEW image_gen.call_stats (provider text, model text, status text, error_code text, currency text, calls bigint, billed numeric, unknown_costs bigint, p50_seconds numeric, p95_seconds numeric)

VIEW image_gen.callbacks (id bigint, hook bigint, function text, owner regrole, job_id text, status text, state text, tries integer, due_at timestamp with time zone, last_error text, created_at timestamp with time zone)

VIEW image_gen.capabilities (provider text, model text, task text, parameter text, state text, sent_as text)

VIEW image_gen.circuit_stats (provider text, configured boolean, enabled boolean, paused boolean, circuit text, since timestamp with time zone, last_error_code text, balance numeric, balance_at timestamp with time zone)

VIEW image_gen.copies (asset_id bigint, state text, tries integer, due_at timestamp with time zone, url_expires_at timestamp with time zone, last_error text, created_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.cost_by_campaign (campaign text, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint, wasted numeric, first_call timestamp with time zone, last_call timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.cost_by_set (set_id text, variants bigint, images bigint, open bigint, final_asset bigint, billed numeric, known_cost numeric, cost_per_final numeric, currency text) WITH (security_invoker=true)

VIEW image_gen.cost_by_ticket (ticket text, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint, wasted numeric, first_call timestamp with time zone, last_call timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.cost_reviews (job_id text, number integer, why text, claimed_cost numeric, currency text, estimated_cost numeric, reserved numeric, owner regrole, job_status text, provider text, model text, status text, error_code text, remote_id text, campaign text, ticket text, finished_at timestamp with time zone, age interval)

VIEW image_gen.estimate_calibration (provider text, model text, decile integer, renders bigint, predicted_seconds numeric, taken_seconds numeric, within numeric) WITH (security_invoker=true)

VIEW image_gen.expiring_assets (id bigint, job_id text, campaign text, shot text, provider text, url text, url_expires_at timestamp with time zone, expires_in interval, state text, tries integer, last_error text) WITH (security_invoker=true)

VIEW image_gen.invoice_diff (invoice_id bigint, provider text, period_from timestamp with time zone, period_to timestamp with time zone, remote_id text, job_id text, number integer, what text, invoiced numeric, booked numeric, difference numeric, unknown_costs bigint, currency image_gen.currency) WITH (security_invoker=true)

VIEW image_gen.job_status (id image_gen.job_id, status image_gen.job_state, waiting_for image_gen.wait_reason, operation image_gen.operation, model text, provider text, prompt text, seed image_gen.seed, url text, urls text[], error_code text, error_message text, billed_cost image_gen.cost, known_cost numeric, currency text, cost_source image_gen.cost_source, attempts integer, metadata image_gen.jsonb_object, warnings jsonb, estimated_seconds numeric, created_at timestamp with time zone, finished_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.marks (campaign text, shot text, asset_id bigint, provider text, model text, url text, looked_at boolean, owner regrole, created_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.provider_health (provider text, model text, state text, since timestamp with time zone, in_flight bigint, max_in_flight image_gen.positive, last_error_code text, last_error_at timestamp with time zone, calls bigint, success_rate numeric, p50_seconds numeric, p95_seconds numeric, balance numeric, balance_credits numeric, balance_at timestamp with time zone)

VIEW image_gen.provider_keys (provider text, key_name text, state text, last_error_code text, rests_until timestamp with time zone, failures bigint, in_flight bigint, max_in_flight image_gen.positive, calls bigint, succeeded bigint, balance numeric, balance_credits numeric, balance_at timestamp with time zone)

VIEW image_gen.provider_kinds (kind text, base_url text, key_name text, address_name text, local boolean, draws boolean, can_be_asked boolean, serves jsonb)

VIEW image_gen.queue_stats (ready bigint, waiting bigint, in_flight bigint, blocked bigint, oldest_ready timestamp with time zone)

VIEW image_gen.reservations (job_id text, reserved numeric, reason text, since timestamp with time zone, age interval, campaign text, ticket text, budgets text[], owner regrole)

VIEW image_gen.review_queue (id image_gen.job_id, operation image_gen.operation, why text, error_message text, campaign text, shot text, prompt text, model text, seed image_gen.seed, prompts_tried text[], calls jsonb, spent numeric, cost_source image_gen.cost_source, currency text, owner regrole, claimed_by regrole, claimed_at timestamp with time zone, created_at timestamp with time zone, waiting_since timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.spending (at timestamp with time zone, owner regrole, campaign text, ticket text, shot text, metadata image_gen.jsonb_object, batch text, operation image_gen.operation, provider text, model text, job_id text, number image_gen.positive, status image_gen.attempt_state, error_code text, images bigint, billed_cost image_gen.cost, currency text, cost_source image_gen.cost_source, estimated_cost numeric, tokens jsonb, usage jsonb, remote_id text, calls bigint, retries bigint) WITH (security_invoker=true)

VIEW image_gen.stores (id integer, address text, objects bigint, bytes numeric, to_remove bigint, last_error text, created_at timestamp with time zone)

VIEW image_gen.throughput (minute timestamp with time zone, calls bigint, succeeded bigint, refused bigint, failed bigint)

VIEW image_gen.variants (set_id text, asset_id bigint, job_id text, position image_gen.positive, state text, url text, model text, seed bigint, prompt text, billed_cost image_gen.cost, known_cost numeric, currency text, created_at timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen.worker_status (running boolean, mode text, pid integer, running_since timestamp with time zone, epoch bigint, in_flight bigint, in_flight_cap integer, cap_reason text, ready bigint, oldest_ready timestamp with time zone, configured_keys text[], last_error text, last_error_at timestamp with time zone, fenced text)

VIEW image_gen_internal.counted_attempts (id bigint, job_id text, number image_gen.positive, provider text, model text, key_name text, status image_gen.attempt_state, error_code text, error_message text, http_status integer, remote_id text, poll_url text, result_url text, cancel_url text, prompt text, seed bigint, seed_honored boolean, billed_cost image_gen.cost, currency text, cost_source image_gen.cost_source, claimed_cost numeric, estimated_cost numeric, estimated_rest numeric, usage jsonb, tokens jsonb, render_seconds numeric, warnings jsonb, owner regrole, epoch bigint, sends integer, created_at timestamp with time zone, sent_at timestamp with time zone, finished_at timestamp with time zone, images bigint, calls bigint, retries bigint) WITH (security_invoker=true)

VIEW image_gen_internal.spending_by_ticket (owner regrole, campaign text, ticket text, currency text, jobs numeric, images numeric, calls numeric, billed numeric, unknown_costs numeric, refusals numeric, retries numeric, wasted numeric, first_call timestamp with time zone, last_call timestamp with time zone) WITH (security_invoker=true)

VIEW image_gen_internal.spending_rows (at timestamp with time zone, last_call timestamp with time zone, owner regrole, campaign text, ticket text, shot text, metadata jsonb, batch text, operation text, provider text, model text, job_id text, number integer, jobs bigint, calls bigint, retries bigint, status text, error_code text, images bigint, billed_cost image_gen.cost, currency text, cost_source text, usage jsonb) WITH (security_invoker=true)

TYPE image_gen.receipt (id text, status text, model text, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb)

TYPE image_gen.wait_reason (code text, message text, provider text, job_id text, until timestamp with time zone)

TYPE image_gen_internal.budget_standing (budget_id bigint, limit_amount numeric, spent numeric, reserved numeric, available numeric, since timestamp with time zone)

TYPE image_gen_internal.catalogue_line (kind text, name text, field text, value text)

TYPE image_gen_internal.claimed_job (seq bigint, id text, owner regrole, operation text, prompt text, seed bigint, parameters jsonb, inputs jsonb, deadline timestamp with time zone, attempts integer, progress jsonb, preferences jsonb, model text, model_is_open boolean, provider text, max_cost numeric, priority text, number integer, sent_to text, sent_model text, remote_id text, poll_url text, result_url text, cancel_url text, cost numeric, claimed_cost numeric, sent_at timestamp with time zone, key_name text)

TYPE image_gen_internal.finding (name text, status image_gen.check_state, detail text, fix text)

DOMAIN image_gen.amount numeric CONSTRAINT amount_check CHECK (((VALUE >= (0)::numeric) AND (VALUE < '1000000000'::numeric) AND (scale(trim_scale(VALUE)) <= 18)))
DOMAIN image_gen.approval_state text CONSTRAINT approval_state_check CHECK ((VALUE = ANY (ARRAY['pending'::text, 'approved'::text, 'rejected'::text])))
DOMAIN image_gen.attachment_state text CONSTRAINT attachment_state_check CHECK ((VALUE = ANY (ARRAY['queued'::text, 'written'::text, 'refused'::text, 'waiting'::text, 'rejected'::text, 'gone'::text])))
DOMAIN image_gen.attempt_state text CONSTRAINT attempt_state_check CHECK ((VALUE = ANY (ARRAY['running'::text, 'succeeded'::text, 'failed'::text, 'refused'::text, 'uncertain'::text, 'canceled'::text])))
DOMAIN image_gen.check_state text CONSTRAINT check_state_check CHECK ((VALUE = ANY (ARRAY['ok'::text, 'warning'::text, 'failure'::text])))
DOMAIN image_gen.cost numeric CONSTRAINT cost_check CHECK (((VALUE >= (0)::numeric) AND (VALUE < 'Infinity'::numeric)))
DOMAIN image_gen.cost_source text CONSTRAINT cost_source_check CHECK ((VALUE = ANY (ARRAY['reported'::text, 'priced'::text, 'unknown'::text])))
DOMAIN image_gen.currency text CONSTRAINT currency_check CHECK ((VALUE ~ '^[A-Z]{3}$'::text))
DOMAIN image_gen.delivery_state text CONSTRAINT delivery_state_check CHECK ((VALUE = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
DOMAIN image_gen.job_id text COLLATE "C" CONSTRAINT job_id_check CHECK (image_gen_internal.is_job_id(VALUE))
DOMAIN image_gen.job_state text CONSTRAINT job_state_check CHECK ((VALUE = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'needs_review'::text, 'canceled'::text])))
DOMAIN image_gen.jsonb_object jsonb CONSTRAINT jsonb_object_check CHECK ((jsonb_typeof(VALUE) = 'object'::text))
DOMAIN image_gen.operation text CONSTRAINT operation_check CHECK ((VALUE = ANY (ARRAY['generate'::text, 'edit'::text, 'upscale'::text, 'variate'::text, 'transfer_style'::text])))
DOMAIN image_gen.origin text CONSTRAINT origin_check CHECK ((VALUE = ANY (ARRAY['catalogue'::text, 'admin'::text])))
DOMAIN image_gen.policy_action text CONSTRAINT policy_action_check CHECK ((VALUE = ANY (ARRAY['warn'::text, 'approve'::text, 'review'::text, 'block'::text])))
DOMAIN image_gen.positive integer CONSTRAINT positive_check CHECK ((VALUE > 0))
DOMAIN image_gen.priority text CONSTRAINT priority_check CHECK ((VALUE = ANY (ARRAY['quality'::text, 'control'::text, 'speed'::text, 'variety'::text, 'cost'::text, 'privacy'::text])))
DOMAIN image_gen.queue_state text CONSTRAINT queue_state_check CHECK ((VALUE = ANY (ARRAY['waiting'::text, 'ready'::text, 'alone'::text, 'running'::text])))
DOMAIN image_gen.seed bigint CONSTRAINT seed_check CHECK (((VALUE >= 0) AND (VALUE <= 2147483647)))
DOMAIN image_gen.task text CONSTRAINT task_check CHECK ((VALUE = ANY (ARRAY['generate'::text, 'character'::text, 'img2img'::text, 'inpaint'::text, 'outpaint'::text, 'upscale'::text, 'variate'::text, 'transfer_style'::text])))

FUNCTION image_gen.approve_asset(asset bigint, note text DEFAULT NULL::text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.asset_bytes(asset_id bigint) RETURNS bytea STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.asset_url(asset_id bigint, expires interval DEFAULT '@ 1 hour'::interval) RETURNS text STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.attach(relation regclass, prompt text DEFAULT NULL::text, into_column name DEFAULT NULL::name, template text DEFAULT NULL::text, asset_column name DEFAULT NULL::name, key_columns name[] DEFAULT NULL::name[], arguments jsonb DEFAULT '{}'::jsonb, approve boolean DEFAULT false, run_as name DEFAULT NULL::name) RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.attached_row() RETURNS trigger VOLATILE
FUNCTION image_gen.attached_statement() RETURNS trigger VOLATILE
FUNCTION image_gen.backfill(attachment bigint, n integer DEFAULT 100, max_cost numeric DEFAULT NULL::numeric, retry_failed boolean DEFAULT false, OUT queued integer, OUT refused integer, OUT estimated_cost numeric) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.build_prompt(subject text, style text DEFAULT NULL::text, composition text DEFAULT NULL::text, lighting text DEFAULT NULL::text, atmosphere text DEFAULT NULL::text, palette text DEFAULT NULL::text, details text DEFAULT NULL::text, words text DEFAULT NULL::text, OUT prompt text, OUT missing text[], OUT advice text) RETURNS record IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.cancel(id text) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.cancel(ids text[]) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.catalogue_status(OUT published date, OUT age_days integer, OUT source text, OUT installed_at timestamp with time zone, OUT installed_by text, OUT note text, OUT providers bigint, OUT models bigint, OUT own_rows bigint, OUT ending jsonb) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.character_sheet(name text, expressions text[] DEFAULT '{happy,sad,angry,surprised}'::text[], model text DEFAULT NULL::text, arguments jsonb DEFAULT NULL::jsonb, max_cost numeric DEFAULT NULL::numeric) RETURNS TABLE(sheet text, stage text, shot text, id text, status text, seed bigint, estimated_cost numeric) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.check_budgets() RETURNS TABLE(budget text, problem text, booked numeric, computed numeric, job_id text) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.check_provider(id text, timeout interval DEFAULT '@ 5 secs'::interval) RETURNS TABLE(status image_gen.check_state, standing text, http_status integer, answered_in interval, detail text, fix text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.check_worker(timeout interval DEFAULT '@ 10 secs'::interval, OUT status image_gen.check_state, OUT pid integer, OUT answered_in interval, OUT detail text, OUT fix text) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.choose_model(needs_text boolean DEFAULT false, photoreal boolean DEFAULT false, draft boolean DEFAULT false, stylized boolean DEFAULT false, editing boolean DEFAULT false, priority text DEFAULT NULL::text, OUT model text, OUT rule text, OUT reason text, OUT configured boolean) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.claim_review(n integer DEFAULT 1, stale interval DEFAULT '@ 30 mins'::interval) RETURNS SETOF image_gen.review_queue VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.classify_request(request text, OUT operation text, OUT arguments jsonb, OUT needs text[], OUT rule text, OUT phrase text, OUT reason text) RETURNS record STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.contact_sheet(campaign text DEFAULT NULL::text, batch text DEFAULT NULL::text, at_most integer DEFAULT 200) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.copy_assets(at_most bigint DEFAULT NULL::bigint) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.cost_report(from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone, dimensions text[] DEFAULT '{}'::text[], restated boolean DEFAULT false, designer_rate numeric DEFAULT NULL::numeric, designer_minutes numeric DEFAULT 22.5) RETURNS TABLE(dimension jsonb, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint, wasted numeric, restated_cost numeric, designer_rate_per_hour numeric, designer_minutes_per_image numeric, designer_cost numeric, saved numeric) STABLE SET search_path=pg_catalog, pg_temp SET jit=off SET work_mem=64MB SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.create_character(name text, description text, reference_image text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint) RETURNS image_gen.characters VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.create_token(role text, scopes text[] DEFAULT '{read,spend}'::text[], valid_for interval DEFAULT '@ 90 days'::interval, note text DEFAULT NULL::text, OUT id bigint, OUT token text, OUT expires_at timestamp with time zone) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.credits() RETURNS TABLE(scope text, currency text, spent numeric, unknown_costs bigint, reserved numeric, limit_amount numeric, available numeric, unlimited boolean, period text, since timestamp with time zone, until timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.derive_seed(base bigint, label text) RETURNS bigint IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen.detach(attachment bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.doctor(thorough boolean DEFAULT false) RETURNS TABLE(name text, status image_gen.check_state, detail text, fix text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.drop_character(name text) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.drop_image(reference text) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.drop_on_finish(id bigint) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.drop_role_policy(role text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.drop_style(name text) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.edit(image text, prompt text DEFAULT NULL::text, mask text DEFAULT NULL::text, mode text DEFAULT NULL::text, strength double precision DEFAULT NULL::double precision, border_top integer DEFAULT NULL::integer, border_right integer DEFAULT NULL::integer, border_bottom integer DEFAULT NULL::integer, border_left integer DEFAULT NULL::integer, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, n integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, reference_image text DEFAULT NULL::text, consistency_mode text DEFAULT NULL::text, reference_images text[] DEFAULT NULL::text[], style text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL::interval, store text DEFAULT NULL::text) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen.effective_policy(role text DEFAULT NULL::text) RETURNS jsonb STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.estimate(operation text DEFAULT 'generate'::text, arguments jsonb DEFAULT NULL::jsonb, OUT model text, OUT provider text, OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric, OUT currency text, OUT estimated_seconds numeric, OUT warnings jsonb) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.estimate_batch(shots jsonb, defaults jsonb DEFAULT NULL::jsonb, OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric, OUT needed numeric, OUT currency text, OUT unpriced integer) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.explain(operation text, arguments jsonb) RETURNS TABLE("position" integer, provider text, model text, included boolean, reason text, probability numeric, estimated_cost numeric, estimated_seconds numeric, warnings jsonb, request jsonb) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.forget(job text DEFAULT NULL::text, asset bigint DEFAULT NULL::bigint, metadata jsonb DEFAULT NULL::jsonb) RETURNS TABLE(jobs bigint, assets bigint, stored_objects bigint, open_jobs bigint, at_providers jsonb) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.generate(prompt text, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, n integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, reference_image text DEFAULT NULL::text, consistency_mode text DEFAULT NULL::text, reference_images text[] DEFAULT NULL::text[], style text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL::interval, store text DEFAULT NULL::text) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen.generate_batch(shots jsonb, defaults jsonb DEFAULT NULL::jsonb, max_cost numeric DEFAULT NULL::numeric, idempotency_key text DEFAULT NULL::text) RETURNS TABLE(shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb, batch text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET DateStyle=ISO, MDY
FUNCTION image_gen.generate_image(arguments jsonb) RETURNS jsonb VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.generate_variants(prompt text, n integer DEFAULT NULL::integer, vary text DEFAULT 'seed'::text, choices text[] DEFAULT NULL::text[], model text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, arguments jsonb DEFAULT NULL::jsonb, max_cost numeric DEFAULT NULL::numeric) RETURNS TABLE(variant text, id text, status text, model_name text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb, set_id text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.get_credits() RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.get_generation(id text) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.grant_campaign(campaign text, role text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.grant_credits(amount numeric, scope text DEFAULT 'workspace'::text, key text DEFAULT NULL::text, period text DEFAULT NULL::text, until timestamp with time zone DEFAULT NULL::timestamp with time zone, note text DEFAULT NULL::text) RETURNS TABLE(budget text, limit_amount numeric, spent numeric, reserved numeric, available numeric) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.grant_provider(provider text, role text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.hash_distance(one bigint, other bigint) RETURNS integer IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen.import_catalogue(catalogue jsonb, dry_run boolean DEFAULT false, allow_older boolean DEFAULT false, note text DEFAULT NULL::text) RETURNS TABLE(change text, kind text, name text, field text, before text, after text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.import_invoice(provider text, period_from timestamp with time zone, period_to timestamp with time zone, amount numeric DEFAULT NULL::numeric, lines jsonb DEFAULT NULL::jsonb, currency text DEFAULT 'USD'::text, note text DEFAULT NULL::text, OUT invoice_id bigint, OUT matched bigint, OUT settled bigint) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.lineage(asset bigint) RETURNS TABLE(generation integer, relation text, job_id text, asset_id bigint, parent text, status text, model text, seed bigint, prompt text, url text, created_at timestamp with time zone) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.lint_prompt(prompt text, model text DEFAULT NULL::text, parameters jsonb DEFAULT NULL::jsonb) RETURNS TABLE(rule text, word text, softer text, note text) VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.list_recent_generations("limit" integer DEFAULT 20, filters jsonb DEFAULT NULL::jsonb, before text DEFAULT NULL::text) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.needs_text(prompt text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen.on_finish(function regprocedure, filter jsonb DEFAULT '{}'::jsonb) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.pause(provider text DEFAULT NULL::text, role text DEFAULT NULL::text, note text DEFAULT NULL::text) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.pause_attachment(attachment bigint, paused boolean DEFAULT true) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.pick(asset bigint) RETURNS SETOF image_gen.variants VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.promote(job text, model text, changed jsonb DEFAULT NULL::jsonb) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.provenance(asset bigint) RETURNS TABLE(asset_id bigint, job_id text, asked_by text, asked_at timestamp with time zone, delivered_at timestamp with time zone, operation text, campaign text, shot text, ticket text, asked_prompt text, style text, prompt text, negative_prompt text, provider text, model text, remote_id text, seed bigint, seed_honored boolean, parameters jsonb, metadata jsonb, calls jsonb, refusals bigint, billed_cost numeric, known_cost numeric, currency text, cost_source text, parents jsonb, children jsonb, width integer, height integer, content_type text, byte_size bigint, sha256 text, perceptual_hash bigint, blank text, url text, content_credentials jsonb, digital_source_type text, disclosure text, warnings jsonb, job_is_pruned boolean, approval jsonb, review jsonb) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.prune(older_than interval, at_most integer DEFAULT 10000) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.purge_audit_log(older_than interval) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.reassign_jobs(from_role text, to_role text) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.recent(n integer DEFAULT 20, status text DEFAULT NULL::text, campaign text DEFAULT NULL::text) RETURNS SETOF image_gen.job_status STABLE SET search_path=pg_catalog, pg_temp SET enable_seqscan=off SET enable_bitmapscan=off SET enable_sort=off SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.recount_budgets() RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.redrive(delivery text DEFAULT NULL::text, webhook bigint DEFAULT NULL::bigint) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.regenerate(asset bigint, changed jsonb DEFAULT NULL::jsonb) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.reject_asset(asset bigint, note text DEFAULT NULL::text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.request_provider(provider text, note text DEFAULT NULL::text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.rerun_batch(batch text) RETURNS TABLE(shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.resolve_review(id text, action text, prompt text DEFAULT NULL::text, model text DEFAULT NULL::text, url text DEFAULT NULL::text, billed_cost numeric DEFAULT NULL::numeric, note text DEFAULT NULL::text) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.resume(note text DEFAULT NULL::text) RETURNS TABLE(requeued integer, followed integer, ended integer) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.retry_callbacks(hook bigint DEFAULT NULL::bigint) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.revoke_campaign(campaign text, role text DEFAULT NULL::text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.revoke_provider(provider text, role text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.revoke_token(id bigint) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.rewrite_prompt(prompt text) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.set_budget(scope text, key text, amount numeric, period text DEFAULT 'total'::text, until timestamp with time zone DEFAULT NULL::timestamp with time zone, time_zone text DEFAULT 'UTC'::text, note text DEFAULT NULL::text) RETURNS TABLE(budget text, limit_amount numeric, spent numeric, reserved numeric, available numeric) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.set_disclosure(assets bigint[], disclosure text) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.set_role_policy(role text, allow_unpriced boolean DEFAULT false, allowed_options text[] DEFAULT '{*}'::text[], note text DEFAULT NULL::text, allowed_providers text[] DEFAULT '{*}'::text[], allowed_models text[] DEFAULT '{*}'::text[], allowed_operations text[] DEFAULT '{*}'::text[], max_queued integer DEFAULT NULL::integer, max_in_flight integer DEFAULT NULL::integer, requests_per_minute integer DEFAULT NULL::integer) RETURNS image_gen.role_policies VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.set_style(name text, prefix text DEFAULT NULL::text, suffix text DEFAULT NULL::text, negative text DEFAULT NULL::text, palette text DEFAULT NULL::text, reference_images text[] DEFAULT NULL::text[], models text[] DEFAULT NULL::text[]) RETURNS image_gen.styles VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.settle(ids text[], timeout interval DEFAULT '@ 5 mins'::interval) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.settle_batch(batch text, timeout interval DEFAULT '@ 5 mins'::interval) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.settle_cost(job_id text, number integer, billed_cost numeric, note text DEFAULT NULL::text, force boolean DEFAULT false) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.sheet_report(sheet text) RETURNS TABLE(stage text, shot text, id text, status text, error_code text, asset_id bigint, url text, model text, seed bigint, billed_cost numeric, consistency_mode text, measured_by text, distance numeric, note text) VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.shipped_catalogue() RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.similar_assets(asset bigint, within integer DEFAULT 10, campaign text DEFAULT NULL::text) RETURNS TABLE(asset_id bigint, distance integer, job_id text, of_campaign text, shot text, prompt text, url text) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.spending_consent(id text, OUT estimated_cost numeric, OUT currency text, OUT needs_confirmation boolean, OUT within_budget boolean) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.spending_consent(operation text, arguments jsonb, OUT estimated_cost numeric, OUT currency text, OUT needs_confirmation boolean, OUT within_budget boolean) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.start_worker() RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.status(id text) RETURNS SETOF image_gen.job_status STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.status(ids text[]) RETURNS SETOF image_gen.job_status STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.store_image(image bytea) RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.styled_prompt(prompt text, style text) RETURNS text STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.sweep_store(remove boolean DEFAULT false) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.thumbnail(asset bigint) RETURNS bytea STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.token_identity(token_hash bytea) RETURNS TABLE(id bigint, role name, scopes text[], expires_at timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.tool_schemas() RETURNS TABLE(tool text, description text, input_schema jsonb, output_schema jsonb) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.transfer_style(image text, style_image text, prompt text DEFAULT NULL::text, strength double precision DEFAULT NULL::double precision, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, n integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, style text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL::interval, store text DEFAULT NULL::text) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen.unpause(provider text DEFAULT NULL::text, role text DEFAULT NULL::text) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.upscale(image text, scale integer DEFAULT 2, prompt text DEFAULT NULL::text, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, style text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false, reuse interval DEFAULT NULL::interval, store text DEFAULT NULL::text) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen.variate(image text, n integer DEFAULT 3, variance double precision DEFAULT NULL::double precision, prompt text DEFAULT NULL::text, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, style text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false, store text DEFAULT NULL::text) RETURNS SETOF image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen.wait(ids text[], timeout interval DEFAULT '@ 5 mins'::interval) RETURNS SETOF image_gen.job_status VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.abbreviate(words text, characters integer) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.add_manual_asset(brought_id text, bringer regrole, cost numeric) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.add_reserved("into" bigint[], amounts numeric[]) RETURNS void VOLATILE STRICT
FUNCTION image_gen_internal.add_spending(seqs bigint[], stories text[], sign integer, at_entry bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.adopt_foreign_jobs(this_instance uuid) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.adopt_template_copy() RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.allowance_of(role oid) RETURNS jsonb STABLE STRICT
FUNCTION image_gen_internal.archive_attempts(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.arguments_of(job image_gen.jobs) RETURNS jsonb IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.attachment_before(of_id bigint, keys jsonb[]) RETURNS TABLE(number integer, prompt_hash bytea, state text, job_id text) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.attachment_callback(of_job text, of_key jsonb, OUT id bigint, OUT awaits_approval boolean, OUT failed boolean, OUT last_error text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.attachment_function(of_id bigint, what text, argument oid, OUT function oid, OUT called text) RETURNS record STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.attachment_plan(of_id bigint, leaf oid, OUT owner oid, OUT arguments text, OUT paused boolean, OUT root text, OUT element oid, OUT row_function text, OUT prompt_function text) RETURNS record STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.attachment_problem(d image_gen.attachment_definitions) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.audit_change() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.audit_keys() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.await_completion(seen bigint, seconds double precision) RETURNS void VOLATILE STRICT
FUNCTION image_gen_internal.backfill(attachment bigint, relation oid, most integer, retry_failed boolean) RETURNS TABLE(queued integer, refused integer) VOLATILE STRICT
FUNCTION image_gen_internal.begin(this_epoch bigint, seqs bigint[], numbers integer[], providers text[], models text[], prompts text[], seeds bigint[], seeds_honored boolean[], warned jsonb[], estimates numeric[], progress_made jsonb[], estimated_rests numeric[] DEFAULT NULL::numeric[], key_names text[] DEFAULT NULL::text[]) RETURNS TABLE(seq bigint, verdict text) VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.bind_attachment(defined bigint) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.blob_bytes(hash text) RETURNS bytea STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.budget_figures() RETURNS TABLE(budget text, scope text, period text, limit_amount numeric, spent numeric, reserved numeric, available numeric, since timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.budget_lock_holders() RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.budget_name(budget image_gen.budgets) RETURNS text STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.budget_scope(asked text, key text) RETURNS text STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.budget_standings(wanted bigint[], at timestamp with time zone) RETURNS SETOF image_gen_internal.budget_standing STABLE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION image_gen_internal.budgets_of_job(owner regrole, metadata jsonb, batch text, login regrole DEFAULT NULL::regrole) RETURNS SETOF bigint STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.budgets_of_jobs(owners regrole[], logins regrole[], metadata jsonb[], batches text[]) RETURNS TABLE(n bigint, budget_id bigint) STABLE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION image_gen_internal.callback_done(done bigint, answer text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.callback_failed(failed_one bigint, hook bigint, error text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.caller() RETURNS regrole STABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.can_be_asked(kind text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.cancel_job(canceled_id text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.catalogue_changed() RETURNS trigger VOLATILE
FUNCTION image_gen_internal.catalogue_changes(before image_gen_internal.catalogue_line[]) RETURNS TABLE(change text, kind text, name text, field text, before_value text, after_value text) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.catalogue_lines() RETURNS SETOF image_gen_internal.catalogue_line STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.charge_existing_jobs(new_budget bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.charge_jobs(ids text[], anew boolean DEFAULT false) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION image_gen_internal.charge_missed_jobs() RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_amount(what text, amount numeric, hint text) RETURNS numeric IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_attachment(wanted bigint) RETURNS image_gen.attachment_definitions STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.check_campaign(caller regrole, metadata jsonb) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_catalogue(file jsonb) RETURNS text[] IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.check_content_pattern(pattern text) RETURNS void IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.check_dependencies(every_one boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_kept_reference(argument text, reference text) RETURNS void IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_model(kind text, parameters text, fixed text) RETURNS void IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.check_pattern() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.check_policy_rule() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.check_providers() RETURNS SETOF image_gen_internal.finding VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_queue_quota(caller regrole, most bigint, new bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_request_rate(caller regrole, most bigint, new bigint, since text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_review(caller regrole, reviewed_id text, action text, cost_given boolean) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_rule() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.check_server() RETURNS SETOF image_gen_internal.finding VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_settings() RETURNS SETOF image_gen_internal.finding VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_webhook_url(url text) RETURNS void STABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.check_work(thorough boolean) RETURNS SETOF image_gen_internal.finding VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.check_workflow() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.checkpoint(this_epoch bigint, seqs bigint[], numbers integer[], remote_ids text[], poll_urls text[], result_urls text[], cancel_urls text[], http_statuses integer[], amounts numeric[], claimed numeric[], sources text[], currencies text[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.choose_candidates(needs_text boolean, photoreal boolean, draft boolean, stylized boolean, editing boolean, priority text) RETURNS TABLE(model text, rule text, reason text) VOLATILE
FUNCTION image_gen_internal.claim(this_epoch bigint, at_most integer, after_seq bigint, owners oid[] DEFAULT NULL::oid[], afters bigint[] DEFAULT NULL::bigint[], counts bigint[] DEFAULT NULL::bigint[], this_instance uuid DEFAULT NULL::uuid, library text DEFAULT NULL::text, in_hand bigint[] DEFAULT '{}'::bigint[]) RETURNS SETOF image_gen_internal.claimed_job VOLATILE SET search_path=pg_catalog, pg_temp SET enable_bitmapscan=off
FUNCTION image_gen_internal.claim_catalogue_row() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.clock_set_back(seconds double precision) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.close_job(closed_id text, new_status text, code text, message text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.close_jobs(ids text[], statuses text[], codes text[], messages text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.close_review(concluded_id text, new_status text, code text, message text, image_url text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.completions() RETURNS bigint VOLATILE STRICT
FUNCTION image_gen_internal.cosine_distance(one double precision[], other double precision[]) RETURNS double precision IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.cost_discrepancies() RETURNS TABLE(kind text, problem text, booked numeric, computed numeric, job_id text) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.cost_share(total numeric, images bigint, "position" bigint) RETURNS numeric IMMUTABLE
FUNCTION image_gen_internal.current_catalogue(OUT catalogue jsonb, OUT published date, OUT source text, OUT installed_by name, OUT installed_at timestamp with time zone, OUT note text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.current_role_oid() RETURNS regrole STABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.decide_asset(asset bigint, new_state text, words text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.define_attachment(relation regclass, expression text, into_column name, asset_column name, key_columns name[], arguments jsonb, approve boolean, owner regrole) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.drop_blobs(hashes text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.earlier_jobs(caller regrole, fingerprints bytea[], since timestamp with time zone[]) RETURNS TABLE(id text, status text, model text, estimated_seconds numeric, created_at timestamp with time zone, warnings jsonb, seed bigint, batch text, number integer) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.edge_attempts(lows timestamp with time zone[], highs timestamp with time zone[], whole date[], from_time timestamp with time zone, to_time timestamp with time zone) RETURNS TABLE(unit text, weight bigint, calls bigint, retries bigint, first_call timestamp with time zone, owner regrole, campaign text, ticket text, operation text, provider text, model text, status text, error_code text, images bigint, billed_cost numeric, currency text, cost_source text) STABLE SET search_path=pg_catalog, pg_temp SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.end_attempts(this_epoch bigint, seqs bigint[], numbers integer[], statuses text[], codes text[], messages text[], http_statuses integer[], amounts numeric[], claimed numeric[], sources text[], currencies text[], work_done jsonb[], tokens_used jsonb[], renders double precision[], seeds bigint[], warned jsonb[], unsent boolean[], joins integer[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.erase_images(assets bigint[], OUT objects bigint) RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.erase_jobs(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.estimate_request(operation text, arguments text) RETURNS TABLE(model text, provider text, estimated_cost numeric, estimated_seconds numeric, warnings jsonb) VOLATILE
FUNCTION image_gen_internal.estimates_changed() RETURNS trigger VOLATILE
FUNCTION image_gen_internal.explain_request(operation text, arguments text, max_cost numeric) RETURNS jsonb VOLATILE
FUNCTION image_gen_internal.fence(pid integer, mode text) RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.fence_reason() RETURNS text STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.find_object(asset_id bigint, OUT found_id bigint, OUT asset_url text, OUT asset_expires_at timestamp with time zone, OUT address text, OUT name text, OUT byte_size bigint) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.find_styles(caller regrole, names text[]) RETURNS TABLE(name text, style text) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.finding(name text, severity text, problem text, fix text, otherwise text) RETURNS image_gen_internal.finding IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.finish(this_epoch bigint, seqs bigint[], statuses text[], codes text[], messages text[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.finish_sweep(this_sweep bigint) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.finished_up_to() RETURNS bigint STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.fold_spending(at_most integer) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET enable_bitmapscan=off SET jit=off
FUNCTION image_gen_internal.format_usd(amount numeric) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.generate_image(arguments jsonb) RETURNS image_gen.receipt VOLATILE SET search_path=pg_catalog, pg_temp SET DateStyle=ISO, MDY
FUNCTION image_gen_internal.generation(job image_gen.job_status) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.goes_with(class oid, object oid, relation oid, "column" integer) RETURNS void VOLATILE STRICT
FUNCTION image_gen_internal.hold_budgets(locked bigint[]) RETURNS void VOLATILE STRICT
FUNCTION image_gen_internal.holds_budgets(wanted bigint[]) RETURNS boolean VOLATILE STRICT
FUNCTION image_gen_internal.image_distance(one bytea, other bytea, OUT measured_by text, OUT distance numeric, OUT note text) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.inherit_inputs(new_jobs text[], parents text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.input_location(reference text) RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.input_references(parameters jsonb) RETURNS TABLE(role text, reference text) IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.insert_assets(ids text[], positions integer[], urls text[], lifetimes bigint[], seeds bigint[], widths integer[], heights integer[], content_types text[], byte_sizes bigint[], hashes text[], looks bigint[] DEFAULT NULL::bigint[], blanks text[] DEFAULT NULL::text[], credentials jsonb[] DEFAULT NULL::jsonb[], source_types text[] DEFAULT NULL::text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.inspect_image(image bytea) RETURNS TABLE(reference text, sha256 text, content_type text, width integer, height integer) IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.instance_id() RETURNS uuid STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.instance_identity() RETURNS TABLE(system text, timeline bigint, database bigint, files text, version text) STABLE STRICT
FUNCTION image_gen_internal.is_blank_prompt(prompt text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.is_campaign_granted(caller regrole, granted_campaign text) RETURNS boolean STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.is_configured(provider text) RETURNS boolean STABLE STRICT SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.is_job_id(id text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.is_local_kind(kind text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.is_plausible_cost(call image_gen.attempts, amount numeric, times numeric) RETURNS boolean STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.is_uncommitted(seq bigint) RETURNS boolean VOLATILE STRICT
FUNCTION image_gen_internal.is_worker(pid integer) RETURNS boolean VOLATILE
FUNCTION image_gen_internal.iso_time(at timestamp with time zone) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.isolate_next_suspect() RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.job_cost(counted_id text) RETURNS TABLE(total numeric, known numeric, source text, currency text) STABLE
FUNCTION image_gen_internal.job_exposure(owing_id text) RETURNS TABLE(reserved numeric, spent numeric) STABLE
FUNCTION image_gen_internal.join_attempt(of_job text, joining integer, earlier integer) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.keep_audit_log() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.kept_metadata(metadata jsonb) RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.key_count(provider text) RETURNS integer STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.keys_of_provider(kind text, base_url text, key_name text, configured text[], others text[]) RETURNS TABLE(key_name text, state text, last_error_code text, rest_seconds double precision, failures bigint, in_flight bigint) VOLATILE
FUNCTION image_gen_internal.list_arguments(arguments jsonb) RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.load_catalogue() RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.lock_attempts(ids text[], numbers integer[]) RETURNS tid[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.lock_budgets(wanted bigint[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.lock_in_flight(this_epoch bigint, seqs bigint[], OUT places tid[], OUT ids text[]) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.lock_jobs(ids text[]) RETURNS tid[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.look_at_bytes(hashes text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.mark_unfolded() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.may_begin(entry image_gen_internal.queue, paused oid[]) RETURNS boolean STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.may_review(caller regrole) RETURNS boolean STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.may_use_campaign(caller regrole, booked_campaign text) RETURNS boolean STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.metadata_entry(metadata jsonb, key text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.min_headroom() RETURNS numeric STABLE
FUNCTION image_gen_internal.missing_keys(names text[]) RETURNS text[] VOLATILE STRICT
FUNCTION image_gen_internal.model_capabilities(provider text, model text) RETURNS jsonb VOLATILE STRICT SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.models_in_use() RETURNS TABLE(provider text, model text, why text) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.new_job_id() RETURNS text VOLATILE STRICT
FUNCTION image_gen_internal.newest_jobs(most integer, statuses text[], of_campaign text, matching jsonb, of_model text, before text) RETURNS TABLE(id text, seq bigint) STABLE SET search_path=pg_catalog, pg_temp SET enable_seqscan=off SET enable_bitmapscan=off SET enable_sort=off SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.next_callback_in() RETURNS double precision STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.next_candidates(job image_gen.jobs, progress jsonb) RETURNS TABLE(rank bigint, provider text, circuit text, error_code text, turned_away boolean) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.next_copy_in() RETURNS double precision STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.next_delivery_in() RETURNS double precision STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.next_poll_ms(estimate double precision, elapsed double precision) RETURNS integer IMMUTABLE PARALLEL SAFE
FUNCTION image_gen_internal.note_attached(of_id bigint, keys jsonb[], states text[], hashes bytea[], jobs text[], codes text[], messages text[], replaced text[], reused boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.note_cost_change() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.object_place(hash text, OUT address text, OUT name text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.on_assets_deleted() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.on_catalogue_import() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.on_queue_truncate() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.on_spending_change() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.on_spending_loss() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.on_webhook_change() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.open_cancel_requests(in_hand bigint[]) RETURNS SETOF bigint STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.pending_approvals() RETURNS TABLE(id image_gen.job_id, operation image_gen.operation, url text, key jsonb, relation text, metadata jsonb, prompt text, model text, seed image_gen.seed, known_cost numeric, cost_source image_gen.cost_source, currency text, owner regrole, claimed_by regrole, claimed_at timestamp with time zone, created_at timestamp with time zone, finished_at timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.perceptual_hash(image bytea) RETURNS bigint IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.period_end(budget image_gen.budgets, at timestamp with time zone) RETURNS timestamp with time zone STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.period_start(budget image_gen.budgets, at timestamp with time zone) RETURNS timestamp with time zone STABLE
FUNCTION image_gen_internal.plan_route(job_id text, operation text, request text, model text, model_is_open boolean, provider text, priority text, preferences text, max_cost numeric, owner oid) RETURNS text[] VOLATILE
FUNCTION image_gen_internal.post_charges() RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION image_gen_internal.preferences_problem() RETURNS text VOLATILE STRICT
FUNCTION image_gen_internal.price_usage(prices jsonb, usage jsonb) RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.prices_on(model text, kind text, on_day date) RETURNS TABLE(price jsonb, origin text, id bigint) STABLE
FUNCTION image_gen_internal.probe_provider(id text, at_most double precision) RETURNS TABLE(standing text, http_status integer, seconds double precision, message text) VOLATILE STRICT
FUNCTION image_gen_internal.processes_in_use() RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.progress_by_images(of_job text) RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.provider_facts() RETURNS TABLE(id text, known boolean, draws boolean, bills boolean, needs text[], missing text[], forbidden text) VOLATILE STRICT
FUNCTION image_gen_internal.provider_kinds() RETURNS TABLE(kind text, base_url text, key_name text, address_name text, local boolean, draws boolean, can_be_asked boolean, serves jsonb) IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.prune_deliveries() RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.prune_jobs(older_than timestamp with time zone, after_seq bigint, at_most integer, OUT pruned integer, OUT last_seq bigint) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET lock_timeout=200ms
FUNCTION image_gen_internal.pruned_job_id(owner regrole) RETURNS text STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.queue_callbacks(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.queue_copies(ids text[], positions integer[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.queue_deliveries(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.queue_derived(requests jsonb, batch text, max_cost numeric) RETURNS TABLE(label text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb, batch_id text) VOLATILE SET search_path=pg_catalog, pg_temp SET DateStyle=ISO, MDY
FUNCTION image_gen_internal.queue_sheet(sheet image_gen.character_sheets, first boolean, cap numeric) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.queue_standing() RETURNS jsonb STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.queue_variation(image text, variance double precision, prompt text, model text, negative_prompt text, width integer, height integer, aspect_ratio text, seed bigint, guidance double precision, steps integer, quality text, style text, metadata jsonb, provider_preferences jsonb, options jsonb, priority text, idempotency_key text, deadline timestamp with time zone, max_cost numeric, allow_unpriced boolean, reuse interval, store text) RETURNS image_gen.receipt VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.raise_append_only() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.raise_budget_exceeded(balance image_gen_internal.budget_standing, needed numeric, required numeric) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.raise_charges(raised_id text, in_budgets bigint[], total numeric) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.raise_no_such_asset(asset bigint) RETURNS void STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.raise_no_such_batch(batch text) RETURNS void STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.raise_no_such_job(id text) RETURNS void STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.raise_rule_violation() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.read_object(address text, name text, most bigint) RETURNS bytea STABLE STRICT PARALLEL RESTRICTED
FUNCTION image_gen_internal.read_shots(shots text, defaults text) RETURNS TABLE(shot text, operation text, arguments text) STABLE
FUNCTION image_gen_internal.recompute_cost(recounted_id text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.reconcile(this_epoch bigint, in_flight bigint[], after_seq bigint, at_most integer, on_uncertain text, OUT last_seq bigint, OUT first_open bigint, OUT lost bigint[]) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_account_balance(provider text, key_name text, amount numeric, credits numeric) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_audit(action text, object text, details jsonb DEFAULT '{}'::jsonb) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_breakers(rows jsonb) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_copies(this_store integer, ids bigint[], names text[], urls text[], hashes text[], sizes bigint[], types text[], widths integer[], heights integer[], were_there boolean[], moved bigint[], keeps_bytes boolean) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_cost(settled_id text, settled_number integer, amount numeric, way text, note text, force boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_deaths(in_hand bigint[]) RETURNS TABLE(seq bigint, job_id text, deaths smallint) VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_deliveries(ids text[], statuses integer[], errors text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_denials(destinations text[], targets text[], times bigint[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_failed_copies(ids bigint[], errors text[], gone boolean[]) RETURNS SETOF bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_finished_up_to(to_seq bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_key_reload(replaced text[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_removed(ids bigint[], errors text[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_reuses(ids text[], metadata jsonb[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_store(identity text, address text) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_sweep(this_sweep bigint, names text[], sizes bigint[], modified double precision[], whole boolean, error text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_uploads(ids text[], positions integer[], identities text[], addresses text[], names text[], urls text[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.record_worker_state(configured text[], error text, in_flight_cap integer, cap_reason text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.release_charges(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.release_dependents(needed text, ended_as text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.remade_request(job image_gen.jobs, relation text, usual jsonb DEFAULT '{}'::jsonb, changed jsonb DEFAULT NULL::jsonb, fixed jsonb DEFAULT '{}'::jsonb) RETURNS jsonb IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.remove_attachment(removed bigint) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.render_class(width integer, height integer, steps integer) RETURNS text IMMUTABLE PARALLEL SAFE
FUNCTION image_gen_internal.render_contact_sheet(sheet jsonb) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.requeue(this_epoch bigint, seqs bigint[], delays double precision[], progress_made jsonb[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.requeue_reviewed(reopened_id text, new_progress jsonb) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.require_admin(caller regrole) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.rescue_jobs(this_epoch bigint, lost bigint[], on_uncertain text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.reserve(ids text[], headroom boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION image_gen_internal.reserve_for_attempts(ids text[], needed numeric[], patient boolean DEFAULT false) RETURNS text[] VOLATILE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION image_gen_internal.reset_spending() RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.resolve_approval(resolved_id text, action text, note text, caller regrole) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.resolve_callback(signature text, OUT function oid, OUT owner oid, OUT called text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.resolve_inputs(numbers integer[], roles text[], image_references text[], parents text[], caller regrole) RETURNS TABLE(number integer, role text, job text, unfinished boolean) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.resolve_model(asked text, task text DEFAULT NULL::text) RETURNS TABLE(provider text, model text, offered boolean) VOLATILE
FUNCTION image_gen_internal.restate_cost(provider text, model text, at timestamp with time zone, booked numeric, booked_currency text, usage jsonb, calls bigint, OUT amount numeric, OUT currency text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.restore_dependencies(seqs bigint[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.retarget_job(target_id text, new_model text, new_provider text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.retry_buffer() RETURNS numeric STABLE
FUNCTION image_gen_internal.role_name(role oid) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.role_oid(role text, dropped boolean DEFAULT false) RETURNS regrole STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.roll_periods(locked bigint[], at timestamp with time zone) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.rolling_period(asked text) RETURNS interval IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.secrets_problem() RETURNS text VOLATILE STRICT
FUNCTION image_gen_internal.sees_budget(caller regrole, budget image_gen.budgets) RETURNS boolean STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.server_facts() RETURNS TABLE(preloaded boolean, launched boolean, has_room boolean, authorities integer, pause_points boolean) VOLATILE STRICT
FUNCTION image_gen_internal.set_of(job_id text, batch text) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.share_costs(ids text[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.sheet_jobs(sheet image_gen.character_sheets) RETURNS TABLE(place integer, shot text, stage text, consistency text, prompt text, job_id text, job_state text, asset_id bigint) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.sheet_shots(sheet image_gen.character_sheets) RETURNS TABLE(place integer, shot text, stage text, consistency text, prompt text) IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.shipped_catalogue() RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.sign_object(address text, name text, seconds double precision) RETURNS text STABLE STRICT PARALLEL RESTRICTED
FUNCTION image_gen_internal.spending_discrepancies() RETURNS TABLE(problem text, booked numeric, computed numeric) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.start_epoch(pid integer, mode text, in_flight_cap integer, cap_reason text, configured text[], on_uncertain text) RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.start_worker() RETURNS void VOLATILE STRICT
FUNCTION image_gen_internal.store_blob(hash text, media_type text, image bytea) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.store_identity(address text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.store_job_input(new_job text, hash text, media_type text, image bytea) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.store_thumbnails(hashes text[], media_types text[], images bytea[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.stored_bytes(asset_id bigint) RETURNS bytea STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.styled_prompt(prompt text, style text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.suspects() RETURNS TABLE(seq bigint, ready_in double precision) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.sweep_inputs(after_hash text, at_most integer, OUT last_hash text, OUT removed integer) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.take_callback(OUT id bigint, OUT hook bigint, OUT signature text, OUT owner regrole, OUT event jsonb) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.take_copies(this_store integer, busy bigint[], busy_hashes text[], most integer) RETURNS TABLE(asset_id bigint, job_id text, "position" integer, campaign text, shot text, ticket text, provider text, model text, made_on text, url text, base_url text, sha256 text, content_type text, kept boolean, name text, moves_from bigint, from_address text, from_name text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.take_deliveries(busy bigint[], counts integer[], most integer, each integer) RETURNS TABLE(id text, webhook bigint, url text, key_name text, payload text) VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.take_doomed(busy bigint[], most integer) RETURNS TABLE(id bigint, address text, name text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.take_sweep(this_store integer, OUT id bigint, OUT after_name text) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.take_up(this_epoch bigint, seqs bigint[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.tell_worker(what text) RETURNS void VOLATILE STRICT
FUNCTION image_gen_internal.template_expression(template text) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.tool_list() RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION image_gen_internal.tool_status(status text) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.unfold_jobs(ids text[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET jit=off
FUNCTION image_gen_internal.unfolded_attempts() RETURNS TABLE(unit text, weight bigint, calls bigint, retries bigint, first_call timestamp with time zone, last_call timestamp with time zone, owner regrole, campaign text, ticket text, operation text, provider text, model text, status text, error_code text, images bigint, billed_cost numeric, currency text, cost_source text) STABLE SET search_path=pg_catalog, pg_temp SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.unfolded_jobs() RETURNS SETOF bigint STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.unwritten_reserved(budget bigint) RETURNS numeric STABLE STRICT
FUNCTION image_gen_internal.update_estimates(providers text[], models text[], classes text[], renders numeric[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.usable_styles(caller regrole) RETURNS SETOF image_gen.styles STABLE
FUNCTION image_gen_internal.visible_cost_reviews() RETURNS TABLE(job_id text, number integer, why text, claimed_cost numeric, currency text, estimated_cost numeric, reserved numeric, owner regrole, job_status text, provider text, model text, status text, error_code text, remote_id text, campaign text, ticket text, finished_at timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.visible_reservations() RETURNS TABLE(job_id text, reserved numeric, reason text, since timestamp with time zone, campaign text, ticket text, budgets text[], owner regrole) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.visible_spending_days() RETURNS SETOF date STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.wait_reason(code text, message text, provider text DEFAULT NULL::text, job_id text DEFAULT NULL::text, until timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS image_gen.wait_reason IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION image_gen_internal.waiting_approvals() RETURNS TABLE(asset_id bigint, why text, requested_at timestamp with time zone, job_id text, campaign text, shot text, prompt text, model text, url text, thumbnail bytea, owner regrole) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.waiting_for(waiting_id text, standing jsonb) RETURNS image_gen.wait_reason STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION image_gen_internal.waiting_tenants() RETURNS TABLE(owner regrole, first bigint) STABLE SET search_path=pg_catalog, pg_temp SET enable_bitmapscan=off
FUNCTION image_gen_internal.wake(seq bigint) RETURNS void VOLATILE
FUNCTION image_gen_internal.webhook_problem(url text) RETURNS text VOLATILE STRICT
FUNCTION image_gen_internal.without_words(warnings jsonb) RETURNS jsonb IMMUTABLE
FUNCTION image_gen_internal.worker_answers(seconds double precision) RETURNS double precision VOLATILE STRICT

GRANT USAGE ON DOMAIN image_gen.amount TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.approval_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.attachment_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.attempt_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.check_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.cost TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.cost_source TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.currency TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.delivery_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.job_id TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.job_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.jsonb_object TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.operation TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.origin TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.policy_action TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.positive TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.priority TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.queue_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.seed TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN image_gen.task TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.approve_asset TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.asset_bytes TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.asset_url TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.attach TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.attached_row TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.attached_statement TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.backfill TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.build_prompt TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.cancel(id text) TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.cancel(ids text[]) TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.catalogue_status TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.character_sheet TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.check_budgets TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.check_provider TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.check_worker TO image_gen_admin, image_gen_user, pg_monitor
GRANT EXECUTE ON FUNCTION image_gen.choose_model TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.claim_review TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.classify_request TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.contact_sheet TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.copy_assets TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.cost_report TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.create_character TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.create_token TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.credits TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.derive_seed TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.detach TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.doctor TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.drop_character TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.drop_image TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.drop_on_finish TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.drop_role_policy TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.drop_style TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.edit TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.effective_policy TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.estimate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.estimate_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.explain TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.forget TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.generate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.generate_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.generate_image TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.generate_variants TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.get_credits TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.get_generation TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.grant_campaign TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.grant_credits TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.grant_provider TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.hash_distance TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.import_catalogue TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.import_invoice TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.lineage TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.lint_prompt TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.list_recent_generations TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.needs_text TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.on_finish TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.pause TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.pause_attachment TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.pick TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.promote TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.provenance TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.prune TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.purge_audit_log TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.reassign_jobs TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.recent TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.recount_budgets TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.redrive TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.regenerate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.reject_asset TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.request_provider TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.rerun_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.resolve_review TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.resume TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.retry_callbacks TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.revoke_campaign TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.revoke_provider TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.revoke_token TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.rewrite_prompt TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen.set_budget TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.set_disclosure TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.set_role_policy TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.set_style TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.settle TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.settle_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.settle_cost TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.sheet_report TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.shipped_catalogue TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.similar_assets TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.spending_consent(id text, OUT estimated_cost numeric, OUT currency text, OUT needs_confirmation boolean, OUT within_budget boolean) TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.spending_consent(operation text, arguments jsonb, OUT estimated_cost numeric, OUT currency text, OUT needs_confirmation boolean, OUT within_budget boolean) TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.start_worker TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.status(id text) TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.status(ids text[]) TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.store_image TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.styled_prompt TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.sweep_store TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.thumbnail TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.token_identity TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.tool_schemas TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.transfer_style TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.unpause TO image_gen_admin
GRANT EXECUTE ON FUNCTION image_gen.upscale TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.variate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen.wait TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION image_gen_internal.abbreviate TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.add_manual_asset TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.add_reserved TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.add_spending TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.adopt_foreign_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.adopt_template_copy TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.allowance_of TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.archive_attempts TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.arguments_of TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.attachment_before TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.attachment_callback TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.attachment_function TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.attachment_plan TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.attachment_problem TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.audit_change TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.audit_keys TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.await_completion TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.backfill TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.begin TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.bind_attachment TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.blob_bytes TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.budget_figures TO image_gen_admin, image_gen_worker, pg_monitor
GRANT EXECUTE ON FUNCTION image_gen_internal.budget_lock_holders TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.budget_name TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.budget_scope TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.budget_standings TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.budgets_of_job TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.budgets_of_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.callback_done TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.callback_failed TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.caller TO image_gen_admin, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.can_be_asked TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.cancel_job TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.catalogue_changed TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.catalogue_changes TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.catalogue_lines TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.charge_existing_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.charge_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.charge_missed_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_amount TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_attachment TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_campaign TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_catalogue TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_content_pattern TO image_gen_admin, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_dependencies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_kept_reference TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_model TO image_gen_admin, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_pattern TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_policy_rule TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_providers TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_queue_quota TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_request_rate TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_review TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_rule TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_server TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_settings TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_webhook_url TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_work TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.check_workflow TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.checkpoint TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.choose_candidates TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.claim TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.claim_catalogue_row TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.clock_set_back TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.close_job TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.close_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.close_review TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.completions TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.cosine_distance TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.cost_discrepancies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.cost_share TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.current_catalogue TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.current_role_oid TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.decide_asset TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.define_attachment TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.drop_blobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.earlier_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.edge_attempts TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.end_attempts TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.erase_images TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.erase_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.estimate_request TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.estimates_changed TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.explain_request TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.fence TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.fence_reason TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker, pg_monitor
GRANT EXECUTE ON FUNCTION image_gen_internal.find_object TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.find_styles TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.finding TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.finish TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.finish_sweep TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.finished_up_to TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.fold_spending TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.format_usd TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.generate_image TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.generation TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.goes_with TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.hold_budgets TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.holds_budgets TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.image_distance TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.inherit_inputs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.input_location TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.input_references TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.insert_assets TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.inspect_image TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.instance_id TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.instance_identity TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_blank_prompt TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_campaign_granted TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_configured TO image_gen_admin, image_gen_user, image_gen_worker, pg_monitor
GRANT EXECUTE ON FUNCTION image_gen_internal.is_job_id TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_local_kind TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_plausible_cost TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_uncommitted TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.is_worker TO image_gen_admin, image_gen_user, image_gen_worker, pg_monitor
GRANT EXECUTE ON FUNCTION image_gen_internal.iso_time TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.isolate_next_suspect TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.job_cost TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.job_exposure TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.join_attempt TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.keep_audit_log TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.kept_metadata TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.key_count TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.keys_of_provider TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.list_arguments TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.load_catalogue TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.lock_attempts TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.lock_budgets TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.lock_in_flight TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.lock_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.look_at_bytes TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.mark_unfolded TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.may_begin TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.may_review TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.may_use_campaign TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.metadata_entry TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.min_headroom TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.missing_keys TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.model_capabilities TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.models_in_use TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.new_job_id TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.newest_jobs TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.next_callback_in TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.next_candidates TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.next_copy_in TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.next_delivery_in TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.next_poll_ms TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.note_attached TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.note_cost_change TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.object_place TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.on_assets_deleted TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.on_catalogue_import TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.on_queue_truncate TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.on_spending_change TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.on_spending_loss TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.on_webhook_change TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.open_cancel_requests TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.pending_approvals TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.perceptual_hash TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.period_end TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.period_start TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.plan_route TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.post_charges TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.preferences_problem TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.price_usage TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.prices_on TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.probe_provider TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.processes_in_use TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.progress_by_images TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.provider_facts TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.provider_kinds TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.prune_deliveries TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.prune_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.pruned_job_id TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_callbacks TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_copies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_deliveries TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_derived TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_sheet TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_standing TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_variation TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_append_only TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_budget_exceeded TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_charges TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_no_such_asset TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_no_such_batch TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_no_such_job TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.raise_rule_violation TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.read_object TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.read_shots TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.recompute_cost TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.reconcile TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_account_balance TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_audit TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_breakers TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_copies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_cost TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_deaths TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_deliveries TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_denials TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_failed_copies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_finished_up_to TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_key_reload TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_removed TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_reuses TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_store TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_sweep TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_uploads TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.record_worker_state TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.release_charges TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.release_dependents TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.remade_request TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.remove_attachment TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.render_class TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.render_contact_sheet TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.requeue TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.requeue_reviewed TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.require_admin TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.rescue_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.reserve TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.reserve_for_attempts TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.reset_spending TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.resolve_approval TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.resolve_callback TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.resolve_inputs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.resolve_model TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.restate_cost TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.restore_dependencies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.retarget_job TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.retry_buffer TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.role_name TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.role_oid TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.roll_periods TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.rolling_period TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.secrets_problem TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.sees_budget TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.server_facts TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.set_of TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.share_costs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.sheet_jobs TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.sheet_shots TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.shipped_catalogue TO image_gen_admin, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.sign_object TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.spending_discrepancies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.start_epoch TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.start_worker TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.store_blob TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.store_identity TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.store_job_input TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.store_thumbnails TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.stored_bytes TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.styled_prompt TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.suspects TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.sweep_inputs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.take_callback TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.take_copies TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.take_deliveries TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.take_doomed TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.take_sweep TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.take_up TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.tell_worker TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.template_expression TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.tool_list TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.tool_status TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.unfold_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.unfolded_attempts TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.unfolded_jobs TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.unwritten_reserved TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.update_estimates TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.usable_styles TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.visible_cost_reviews TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.visible_reservations TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.visible_spending_days TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.wait_reason TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.waiting_approvals TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.waiting_for TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.waiting_tenants TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.wake TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.webhook_problem TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.without_words TO image_gen_worker
GRANT EXECUTE ON FUNCTION image_gen_internal.worker_answers TO image_gen_worker
GRANT USAGE ON SCHEMA image_gen TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker, pg_monitor
GRANT USAGE ON SCHEMA image_gen_internal TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker, pg_monitor
GRANT SELECT ON image_gen.access_tokens (created_at) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (created_by) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (expires_at) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (id) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (note) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (revoked_at) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (role) TO image_gen_admin
GRANT SELECT ON image_gen.access_tokens (scopes) TO image_gen_admin
GRANT SELECT ON image_gen.approval_queue TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT INSERT, SELECT ON image_gen.approvals TO image_gen_worker
GRANT SELECT ON image_gen.approvals TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON image_gen.attachment_definitions TO image_gen_admin, image_gen_user, image_gen_worker
GRANT SELECT ON image_gen.attachment_entries TO image_gen_admin, image_gen_user
GRANT SELECT, UPDATE ON image_gen.attachment_entries TO image_gen_worker
GRANT SELECT ON image_gen.attachment_rows TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.attachments TO image_gen_admin, image_gen_user
GRANT INSERT, SELECT, UPDATE ON image_gen.attempts TO image_gen_worker
GRANT SELECT ON image_gen.attempts TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON image_gen.audit_log TO image_gen_admin
GRANT SELECT ON image_gen.backlogs TO image_gen_admin, pg_monitor
GRANT SELECT ON image_gen.batches TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.budget_changes TO image_gen_admin, image_gen_worker
GRANT SELECT ON image_gen.budget_stats TO image_gen_admin, pg_monitor
GRANT SELECT ON image_gen.budgets TO image_gen_admin, image_gen_worker
GRANT SELECT ON image_gen.call_stats TO image_gen_admin, pg_monitor
GRANT SELECT ON image_gen.callbacks TO image_gen_admin
GRANT INSERT, SELECT ON image_gen.campaign_assets TO image_gen_worker
GRANT SELECT ON image_gen.campaign_assets TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON image_gen.campaign_grants TO image_gen_admin, image_gen_worker
GRANT SELECT ON image_gen.capabilities TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.character_sheets TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.characters TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.circuit_stats TO image_gen_admin, pg_monitor
GRANT SELECT ON image_gen.copies TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.cost_by_campaign TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.cost_by_set TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.cost_by_ticket TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.cost_corrections TO image_gen_admin
GRANT SELECT ON image_gen.cost_reviews TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON image_gen.estimate_calibration TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.expiring_assets TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.finish_hooks TO image_gen_admin
GRANT SELECT, UPDATE ON image_gen.finish_hooks TO image_gen_worker
GRANT SELECT ON image_gen.invoice_diff TO image_gen_admin
GRANT SELECT ON image_gen.invoice_lines TO image_gen_admin
GRANT SELECT ON image_gen.invoices TO image_gen_admin
GRANT SELECT ON image_gen.job_status TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON image_gen.jobs TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT, UPDATE ON image_gen.jobs TO image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.lint_rules TO image_gen_admin
GRANT SELECT ON image_gen.lint_rules TO image_gen_user
GRANT SELECT ON image_gen.marks TO image_gen_admin, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.model_rules TO image_gen_admin
GRANT SELECT ON image_gen.model_rules TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.models TO image_gen_admin
GRANT SELECT ON image_gen.models TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.palettes TO image_gen_admin
GRANT SELECT ON image_gen.palettes TO image_gen_user
GRANT SELECT ON image_gen.pauses TO image_gen_admin, image_gen_worker
GRANT SELECT ON image_gen.picks TO image_gen_admin, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.policy_rules TO image_gen_admin
GRANT SELECT ON image_gen.policy_rules TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.prices TO image_gen_admin
GRANT SELECT ON image_gen.prices TO image_gen_user, image_gen_worker
GRANT SELECT ON image_gen.provider_access TO image_gen_admin, image_gen_user, image_gen_worker
GRANT INSERT, SELECT, UPDATE ON image_gen.provider_balances TO image_gen_worker
GRANT SELECT ON image_gen.provider_health TO image_gen_admin, image_gen_user, pg_monitor
GRANT SELECT ON image_gen.provider_keys TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.provider_kinds TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.providers TO image_gen_admin, image_gen_user, image_gen_worker
GRANT UPDATE ON image_gen.providers (enabled) TO image_gen_admin
GRANT UPDATE ON image_gen.providers (max_in_flight) TO image_gen_admin
GRANT UPDATE ON image_gen.providers (needs_approval) TO image_gen_admin
GRANT UPDATE ON image_gen.providers (options) TO image_gen_admin
GRANT UPDATE ON image_gen.providers (priority) TO image_gen_admin
GRANT UPDATE ON image_gen.providers (requests_per_minute) TO image_gen_admin
GRANT SELECT ON image_gen.queue_stats TO image_gen_admin, image_gen_user, pg_monitor
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.refusal_steps TO image_gen_admin
GRANT SELECT ON image_gen.refusal_steps TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.request_rules TO image_gen_admin
GRANT SELECT ON image_gen.request_rules TO image_gen_user
GRANT SELECT ON image_gen.reservations TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.reuses TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.review_queue TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON image_gen.reviews TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.rewrite_rules TO image_gen_admin
GRANT SELECT ON image_gen.rewrite_rules TO image_gen_user, image_gen_worker
GRANT SELECT ON image_gen.role_policies TO image_gen_admin, image_gen_worker
GRANT SELECT ON image_gen.spending TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.store_orphans TO image_gen_admin
GRANT SELECT ON image_gen.store_sweeps TO image_gen_admin
GRANT SELECT ON image_gen.stored_images TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.stores TO image_gen_admin
GRANT SELECT ON image_gen.styles TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen.throughput TO image_gen_admin, pg_monitor
GRANT SELECT ON image_gen.variants TO image_gen_admin, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.webhook_deliveries TO image_gen_worker
GRANT SELECT ON image_gen.webhook_deliveries TO image_gen_admin
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen.webhooks TO image_gen_admin
GRANT SELECT ON image_gen.webhooks TO image_gen_worker
GRANT SELECT ON image_gen.worker_status TO image_gen_admin, image_gen_user, pg_monitor
GRANT INSERT, SELECT ON image_gen_internal.blobs TO image_gen_worker
GRANT SELECT ON image_gen_internal.blobs TO image_gen_admin, image_gen_user
GRANT INSERT, SELECT, UPDATE ON image_gen_internal.budget_charges TO image_gen_worker
GRANT SELECT ON image_gen_internal.budget_charges TO image_gen_admin
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen_internal.budget_entries TO image_gen_worker
GRANT SELECT ON image_gen_internal.budget_entries TO image_gen_admin
GRANT SELECT ON image_gen_internal.budget_totals TO image_gen_admin
GRANT SELECT, UPDATE ON image_gen_internal.budget_totals TO image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen_internal.callback_queue TO image_gen_worker
GRANT DELETE, SELECT ON image_gen_internal.cancel_requests TO image_gen_worker
GRANT SELECT ON image_gen_internal.cancel_requests TO image_gen_admin
GRANT INSERT, SELECT ON image_gen_internal.copy_queue TO image_gen_worker
GRANT SELECT ON image_gen_internal.copy_queue TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.counted_attempts TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.instance TO image_gen_admin
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen_internal.job_dependencies TO image_gen_worker
GRANT SELECT ON image_gen_internal.job_dependencies TO image_gen_admin
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen_internal.provider_breakers TO image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON image_gen_internal.queue TO image_gen_worker
GRANT SELECT ON image_gen_internal.queue TO image_gen_admin
GRANT INSERT, SELECT, UPDATE ON image_gen_internal.render_estimates TO image_gen_worker
GRANT SELECT ON image_gen_internal.render_estimates TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.spending_archive TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.spending_by_ticket TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.spending_days TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.spending_left_out TO image_gen_admin
GRANT SELECT ON image_gen_internal.spending_mark TO image_gen_admin
GRANT SELECT ON image_gen_internal.spending_rows TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.spending_totals TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.stored_objects TO image_gen_admin
GRANT SELECT ON image_gen_internal.stores TO image_gen_admin
GRANT INSERT, SELECT ON image_gen_internal.thumbnails TO image_gen_worker
GRANT SELECT ON image_gen_internal.thumbnails TO image_gen_admin, image_gen_user
GRANT SELECT ON image_gen_internal.worker_state TO image_gen_admin
GRANT SELECT, UPDATE ON image_gen_internal.worker_state TO image_gen_worker

SETTING image_gen.allowed_image_hosts string = NULL (sighup)
SETTING image_gen.allowed_provider_hosts string = NULL (sighup)
SETTING image_gen.allowed_webhook_hosts string = NULL (sighup)
SETTING image_gen.asset_name string = NULL (sighup)
SETTING image_gen.asset_public_url string = NULL (sighup)
SETTING image_gen.asset_store string = NULL (sighup)
SETTING image_gen.balance_interval integer = '600' (sighup)
SETTING image_gen.breaker_failures integer = '5' (sighup)
SETTING image_gen.budget_lock_timeout integer = '10000' (user)
SETTING image_gen.callback_timeout integer = '2000' (sighup)
SETTING image_gen.cost_sanity_ceiling real = '10' (sighup)
SETTING image_gen.cost_sanity_factor real = '10' (sighup)
SETTING image_gen.default_model string = 'flux-1.1-pro' (user)
SETTING image_gen.disclosure string = NULL (sighup)
SETTING image_gen.embedding_function string = NULL (superuser)
SETTING image_gen.keep_bytes enum = 'inline' (sighup)
SETTING image_gen.max_in_flight integer = '2000' (sighup)
SETTING image_gen.max_queued_per_role integer = '0' (superuser)
SETTING image_gen.max_refusals integer = '3' (sighup)
SETTING image_gen.max_restart_pause integer = '300' (sighup)
SETTING image_gen.mcp_confirm_above real = '0.25' (superuser)
SETTING image_gen.min_headroom real = '0.25' (superuser)
SETTING image_gen.on_uncertain enum = 'review' (sighup)
SETTING image_gen.outage_timeout integer = '3600' (sighup)
SETTING image_gen.preview_when_unconfigured bool = 'off' (sighup)
SETTING image_gen.prompt_rewriter string = NULL (sighup)
SETTING image_gen.provider_preferences string = NULL (user)
SETTING image_gen.rescan_interval integer = '30000' (sighup)
SETTING image_gen.retain_jobs integer = '0' (sighup)
SETTING image_gen.retry_buffer real = '0.1' (superuser)
SETTING image_gen.secrets_file string = NULL (sighup)
SETTING image_gen.shutdown_grace integer = '700' (sighup)
SETTING image_gen.store enum = 'both' (user)
SETTING image_gen.thumbnails bool = 'on' (sighup)
SETTING image_gen.traceparent string = NULL (user)
SETTING image_gen.unexpected_formats enum = 'warn' (sighup)
