-- The schema as it is installed. A change here is a change for every user and needs an upgrade script.
-- After a wanted change: UPDATE_EXPECT=1 cargo test -p image_gen_tests --test sql
\set ECHO none

TABLE attachment_definitions (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  relation regclass NOT NULL,
  relation_name text NOT NULL,
  into_column name NOT NULL,
  asset_column name,
  key_columns name[] NOT NULL,
  prompt text NOT NULL,
  arguments image_gen.json_object NOT NULL DEFAULT '{}'::jsonb,
  approve boolean NOT NULL DEFAULT false,
  paused boolean NOT NULL DEFAULT false,
  owner regrole NOT NULL,
  created_by regrole NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  attachment_definitions_pkey PRIMARY KEY (id)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)
  POLICY worker FOR SELECT TO image_gen_worker USING true

TABLE attachment_entries (
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

TABLE attempts (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job_id text COLLATE "C" NOT NULL,
  number image_gen.positive NOT NULL,
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
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
  work jsonb,
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
  CREATE UNIQUE INDEX attempts_one_winner ON image_gen.attempts USING btree (job_id) WHERE ((status)::text = 'succeeded'::text)
  CREATE INDEX attempts_recent ON image_gen.attempts USING brin (created_at)
  CREATE INDEX attempts_unknown ON image_gen.attempts USING btree (job_id) WHERE ((billed_cost IS NULL) AND ((status)::text <> 'running'::text))
  CREATE TRIGGER note_update AFTER UPDATE OF billed_cost ON image_gen.attempts FOR EACH ROW WHEN ((((old.status)::text <> 'running'::text) AND ((old.billed_cost)::numeric IS DISTINCT FROM (new.billed_cost)::numeric))) EXECUTE FUNCTION image_gen._note_update()
  CREATE TRIGGER spending_changes BEFORE UPDATE ON image_gen.attempts FOR EACH ROW WHEN ((((old.status)::text <> 'running'::text) AND ((((((((old.billed_cost)::numeric IS DISTINCT FROM (new.billed_cost)::numeric) OR (old.currency IS DISTINCT FROM new.currency)) OR ((old.cost_source)::text IS DISTINCT FROM (new.cost_source)::text)) OR ((old.status)::text IS DISTINCT FROM (new.status)::text)) OR (old.error_code IS DISTINCT FROM new.error_code)) OR (old.provider IS DISTINCT FROM new.provider)) OR (old.model IS DISTINCT FROM new.model)))) EXECUTE FUNCTION image_gen._spending_changes() ALWAYS
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.attempts FOR EACH STATEMENT EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  CREATE TRIGGER spending_lost BEFORE DELETE ON image_gen.attempts FOR EACH ROW WHEN (((old.status)::text <> 'running'::text)) EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  CREATE TRIGGER spending_moved BEFORE UPDATE OF job_id, number, created_at ON image_gen.attempts FOR EACH ROW WHEN ((((old.job_id IS DISTINCT FROM new.job_id) OR ((old.number)::integer IS DISTINCT FROM (new.number)::integer)) OR (old.created_at IS DISTINCT FROM new.created_at))) EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING (EXISTS ( SELECT
   FROM image_gen.jobs j
  WHERE (((j.id)::text = attempts.job_id) AND ((j.status)::text = 'needs_review'::text))))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE blobs (
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
  WHERE ((a.sha256 = blobs.sha256) AND ((a.owner)::oid = (image_gen._current_role())::oid))))
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE budget_changes (
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

TABLE budget_totals (
  budget_id bigint NOT NULL,
  since timestamp with time zone NOT NULL,
  spent numeric NOT NULL DEFAULT 0,
  held numeric NOT NULL DEFAULT 0,
  unsure bigint[],
  newer bigint
) WITH (fillfactor=20)
  budget_totals_pkey PRIMARY KEY (budget_id)
  CREATE INDEX budget_totals_fresh ON image_gen.budget_totals USING btree (budget_id) WHERE (newer IS NOT NULL)

TABLE budgets (
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

TABLE callback_queue (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  hook bigint NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  status text NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  failed boolean NOT NULL DEFAULT false,
  awaits_approval boolean NOT NULL DEFAULT false,
  last_error text,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor=70)
  callback_queue_pkey PRIMARY KEY (id)
  CREATE INDEX callback_queue_due ON image_gen.callback_queue USING btree (hook, due_at) WHERE ((NOT failed) AND (NOT awaits_approval))
  CREATE INDEX callback_queue_job ON image_gen.callback_queue USING btree (job_id)

TABLE campaign_assets (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job_id text COLLATE "C" NOT NULL,
  position image_gen.positive NOT NULL,
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
  metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
  batch text COLLATE "C",
  parent text COLLATE "C",
  relation text,
  owner regrole NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  campaign_assets_job_id_position_key UNIQUE (job_id, "position")
  campaign_assets_pkey PRIMARY KEY (id)
  CREATE INDEX campaign_assets_batch ON image_gen.campaign_assets USING btree (batch) WHERE (batch IS NOT NULL)
  CREATE INDEX campaign_assets_campaign ON image_gen.campaign_assets USING btree (campaign, shot)
  CREATE INDEX campaign_assets_parent ON image_gen.campaign_assets USING btree (parent) WHERE (parent IS NOT NULL)
  CREATE INDEX campaign_assets_sha256 ON image_gen.campaign_assets USING btree (sha256)
  CREATE INDEX campaign_assets_ticket ON image_gen.campaign_assets USING btree (ticket)
  CREATE TRIGGER spending_changes BEFORE DELETE ON image_gen.campaign_assets FOR EACH ROW EXECUTE FUNCTION image_gen._spending_changes() ALWAYS
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.campaign_assets FOR EACH STATEMENT EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE campaign_grants (
  campaign text COLLATE "C" NOT NULL,
  role regrole NOT NULL,
  granted_by name NOT NULL,
  granted_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  campaign_grants_campaign_check CHECK (((campaign <> ''::text) AND (octet_length(campaign) <= 1024)))
  campaign_grants_pkey PRIMARY KEY (campaign, role)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.campaign_grants FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.campaign_grants FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS

TABLE cancels (
  seq bigint NOT NULL,
  requested_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  cancels_pkey PRIMARY KEY (seq)

TABLE charges (
  job_id text COLLATE "C" NOT NULL,
  budget_id bigint NOT NULL,
  owner regrole NOT NULL,
  at timestamp with time zone NOT NULL,
  held numeric NOT NULL,
  spent numeric NOT NULL,
  booked_held numeric NOT NULL,
  booked_spent numeric NOT NULL,
  pruned boolean NOT NULL DEFAULT false
) WITH (fillfactor=70)
  charges_pkey PRIMARY KEY (job_id, budget_id)
  CREATE INDEX charges_pruned ON image_gen.charges USING btree (budget_id, at) WHERE pruned
  CREATE INDEX charges_unbooked ON image_gen.charges USING btree (budget_id) WHERE ((held <> booked_held) OR (spent <> booked_spent))
  CREATE INDEX charges_window ON image_gen.charges USING btree (budget_id, at)

TABLE cost_corrections (
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
  CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON image_gen.cost_corrections FOR EACH STATEMENT EXECUTE FUNCTION image_gen._append_only()

TABLE finish_hooks (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  function text NOT NULL,
  owner regrole NOT NULL,
  filter image_gen.json_object NOT NULL DEFAULT '{}'::jsonb,
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

TABLE health (
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  state text NOT NULL,
  since timestamp with time zone NOT NULL,
  failures integer NOT NULL,
  last_error_code text,
  last_error_at timestamp with time zone
) WITH (fillfactor=50)
  health_pkey PRIMARY KEY (provider, model)
  health_state_check CHECK ((state = ANY (ARRAY['up'::text, 'down'::text, 'recovering'::text])))

TABLE home (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  system text NOT NULL,
  timeline bigint NOT NULL,
  database bigint NOT NULL,
  files text NOT NULL,
  allowed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  allowed_by name NOT NULL,
  note text
)
  home_pkey PRIMARY KEY (id)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.home FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.home FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS

TABLE invoice_lines (
  invoice_id bigint NOT NULL,
  line integer NOT NULL,
  remote_id text COLLATE "C" NOT NULL,
  amount image_gen.amount NOT NULL
)
  invoice_lines_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES image_gen.invoices(id) ON DELETE CASCADE
  invoice_lines_pkey PRIMARY KEY (invoice_id, line)
  CREATE INDEX invoice_lines_request ON image_gen.invoice_lines USING btree (remote_id)

TABLE invoices (
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

TABLE job_inputs (
  sha256 text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL
)
  job_inputs_pkey PRIMARY KEY (sha256, job_id)

TABLE jobs (
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
  metadata image_gen.json_object NOT NULL DEFAULT '{}'::jsonb,
  preferences jsonb,
  priority image_gen.priority,
  owner regrole NOT NULL,
  login regrole NOT NULL DEFAULT (quote_ident((SESSION_USER)::text))::regrole,
  idempotency_key text,
  request_hash bytea,
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
  finished_at timestamp with time zone
) WITH (fillfactor=80)
  jobs_pkey PRIMARY KEY (id)
  jobs_seq_key UNIQUE (seq)
  CREATE INDEX jobs_batch ON image_gen.jobs USING btree (batch) WHERE (batch IS NOT NULL)
  CREATE INDEX jobs_campaign ON image_gen.jobs USING btree (image_gen._start_of(image_gen._entry((metadata)::jsonb, 'campaign'::text), 100), owner, seq) WHERE (image_gen._start_of(image_gen._entry((metadata)::jsonb, 'campaign'::text), 100) IS NOT NULL)
  CREATE UNIQUE INDEX jobs_idempotency ON image_gen.jobs USING btree (owner, idempotency_key) WHERE (idempotency_key IS NOT NULL)
  CREATE INDEX jobs_metadata ON image_gen.jobs USING gin (metadata jsonb_path_ops)
  CREATE INDEX jobs_owner ON image_gen.jobs USING btree (owner, seq)
  CREATE INDEX jobs_parent ON image_gen.jobs USING btree (parent) WHERE (parent IS NOT NULL)
  CREATE TRIGGER error_code_without_picture AFTER UPDATE OF status, error_code ON image_gen.jobs FOR EACH ROW WHEN (((new.error_code IS NULL) <> ((new.status)::text = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text])))) EXECUTE FUNCTION image_gen._refuse_row() ALWAYS
  CREATE TRIGGER finished_when_over AFTER UPDATE OF status, finished_at ON image_gen.jobs FOR EACH ROW WHEN (((new.finished_at IS NULL) <> ((new.status)::text = ANY (ARRAY['queued'::text, 'running'::text])))) EXECUTE FUNCTION image_gen._refuse_row() ALWAYS
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.jobs FOR EACH STATEMENT EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  CREATE TRIGGER spending_lost BEFORE DELETE ON image_gen.jobs FOR EACH ROW EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  CREATE TRIGGER spending_moved BEFORE UPDATE OF metadata, owner, operation ON image_gen.jobs FOR EACH ROW WHEN (((((old.metadata)::jsonb IS DISTINCT FROM (new.metadata)::jsonb) OR ((old.owner)::oid IS DISTINCT FROM (new.owner)::oid)) OR ((old.operation)::text IS DISTINCT FROM (new.operation)::text))) EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING ((status)::text = 'needs_review'::text)
  POLICY worker FOR ALL TO image_gen_worker USING true CHECK true

TABLE ladder (
  rung image_gen.positive NOT NULL,
  action text NOT NULL,
  model text COLLATE "C",
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  ladder_action_check CHECK ((action = ANY (ARRAY['rewrite'::text, 'switch_model'::text, 'review'::text, 'fail'::text])))
  ladder_pkey PRIMARY KEY (rung)
  model_to_switch_to CHECK (((model IS NULL) OR (action = 'switch_model'::text)))
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.ladder FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.ladder FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.ladder FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()

TABLE lint_rules (
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
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.lint_rules FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()
  CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.lint_rules FOR EACH ROW EXECUTE FUNCTION image_gen._try_rule()

TABLE locks (
  name text COLLATE "C" NOT NULL
)
  locks_pkey PRIMARY KEY (name)

TABLE model_rules (
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
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.model_rules FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.model_rules FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.model_rules FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()

TABLE models (
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
  parameters image_gen.json_object NOT NULL DEFAULT '{"prompt": true}'::jsonb,
  fixed image_gen.json_object NOT NULL DEFAULT '{}'::jsonb,
  typical_seconds numeric NOT NULL DEFAULT 10,
  best_for text,
  successor text,
  ends_on date,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  models_default_for_check CHECK ((default_for <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style,character}'::text[]))
  models_max_n_check CHECK (((max_n >= 1) AND (max_n <= 10)))
  models_name_check CHECK ((name ~ '^([a-z0-9][a-z0-9._/-]{0,127}|[*])$'::text))
  models_operations_check CHECK ((operations <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style}'::text[]))
  models_pkey PRIMARY KEY (name, provider_kind)
  models_typical_seconds_check CHECK (((typical_seconds > (0)::numeric) AND (typical_seconds < 'Infinity'::numeric)))
  sizes_unless_retired CHECK (((successor IS NOT NULL) OR (sizes IS NOT NULL)))
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.models FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.models FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()
  CREATE TRIGGER try_workflow BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW WHEN (((new.fixed)::jsonb ? 'workflow'::text)) EXECUTE FUNCTION image_gen._try_workflow()

TABLE palettes (
  position image_gen.positive NOT NULL,
  palette text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  palettes_palette_check CHECK ((palette <> ''::text))
  palettes_pkey PRIMARY KEY ("position")
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.palettes FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()

TABLE picks (
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

TABLE prices (
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
  prices_unit_check CHECK ((unit = ANY (ARRAY['image'::text, 'megapixel'::text, 'begun_megapixel'::text, 'first_megapixel'::text, 'further_megapixel'::text, 'second'::text, 'text_in_mtok'::text, 'image_in_mtok'::text, 'image_out_mtok'::text, 'text_out_mtok'::text])))
  CREATE INDEX prices_model ON image_gen.prices USING btree (model, provider_kind)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.prices FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()

TABLE provider_balances (
  provider text COLLATE "C" NOT NULL,
  amount numeric NOT NULL,
  credits numeric,
  checked_at timestamp with time zone NOT NULL
) WITH (fillfactor=50)
  provider_balances_pkey PRIMARY KEY (provider)

TABLE providers (
  id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  base_url text,
  key_name text,
  enabled boolean NOT NULL DEFAULT true,
  priority integer NOT NULL DEFAULT 100,
  max_in_flight image_gen.positive,
  requests_per_minute image_gen.positive,
  options image_gen.json_object NOT NULL DEFAULT '{}'::jsonb,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  providers_base_url_check CHECK ((base_url ~ '^https?://[^/@ ]+(/[^ ]*)?$'::text))
  providers_id_check CHECK ((id ~ '^[a-z][a-z0-9_-]{0,62}$'::text))
  providers_key_name_check CHECK ((key_name ~ '^[A-Z][A-Z0-9_]{0,62}$'::text))
  providers_pkey PRIMARY KEY (id)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER emptied AFTER TRUNCATE ON image_gen.providers FOR EACH STATEMENT EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()

TABLE queue (
  seq bigint NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  owner regrole NOT NULL,
  state image_gen.queue_state NOT NULL DEFAULT 'ready'::text,
  epoch bigint,
  ready_at timestamp with time zone NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  progress jsonb NOT NULL DEFAULT '{}'::jsonb,
  home uuid NOT NULL DEFAULT image_gen._home(),
  deaths smallint NOT NULL DEFAULT 0
) WITH (fillfactor=70, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=10000)
  queue_pkey PRIMARY KEY (seq)
  CREATE INDEX queue_deaths ON image_gen.queue USING btree (seq) WHERE (deaths > 0)
  CREATE INDEX queue_lanes ON image_gen.queue USING btree (owner, seq) WHERE (((state)::text = 'ready'::text) AND (seq > 0))
  CREATE INDEX queue_ready ON image_gen.queue USING btree (seq) WHERE ((state)::text = 'ready'::text)
  CREATE TRIGGER epoch_while_running AFTER UPDATE OF state, epoch ON image_gen.queue FOR EACH ROW WHEN ((((new.state)::text = 'running'::text) <> (new.epoch IS NOT NULL))) EXECUTE FUNCTION image_gen._refuse_row() ALWAYS
  CREATE TRIGGER queue_truncated AFTER TRUNCATE ON image_gen.queue FOR EACH STATEMENT EXECUTE FUNCTION image_gen._queue_truncated()

TABLE request_rules (
  position image_gen.positive NOT NULL,
  rule text NOT NULL,
  pattern text NOT NULL,
  unless text,
  operation text NOT NULL,
  arguments image_gen.json_object NOT NULL DEFAULT '{}'::jsonb,
  needs text[] NOT NULL DEFAULT '{}'::text[],
  reason text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  request_rules_operation_check CHECK ((operation = ANY (ARRAY['generate'::text, 'edit'::text, 'upscale'::text, 'variate'::text, 'transfer_style'::text, 'character_sheet'::text])))
  request_rules_pkey PRIMARY KEY ("position")
  request_rules_rule_key UNIQUE (rule)
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.request_rules FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()
  CREATE TRIGGER try_rule BEFORE INSERT OR UPDATE ON image_gen.request_rules FOR EACH ROW EXECUTE FUNCTION image_gen._try_rule()

TABLE reviews (
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
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING (EXISTS ( SELECT
   FROM image_gen.jobs j
  WHERE (((j.id)::text = reviews.job_id) AND ((j.owner)::oid = (image_gen._current_role())::oid))))
  POLICY reviewed FOR SELECT TO image_gen_reviewer USING (EXISTS ( SELECT
   FROM image_gen.jobs j
  WHERE (((j.id)::text = reviews.job_id) AND ((j.status)::text = 'needs_review'::text))))

TABLE rewrite_rules (
  position image_gen.positive NOT NULL,
  pattern text NOT NULL,
  replacement text NOT NULL,
  enabled boolean NOT NULL DEFAULT true,
  note text,
  origin image_gen.origin NOT NULL DEFAULT 'admin'::text
)
  rewrite_rules_pkey PRIMARY KEY ("position")
  CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen._own_row()
  CREATE TRIGGER try_pattern BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen._try_pattern()

TABLE role_policies (
  role regrole NOT NULL,
  allow_unpriced boolean NOT NULL DEFAULT false,
  allowed_options text[] NOT NULL DEFAULT '{*}'::text[],
  note text,
  set_by name NOT NULL,
  set_at timestamp with time zone NOT NULL DEFAULT clock_timestamp()
)
  role_policies_allowed_options_check CHECK (((array_position(allowed_options, NULL::text) IS NULL) AND (cardinality(allowed_options) <= 1000)))
  role_policies_pkey PRIMARY KEY (role)

TABLE spending_archive (
  story text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  calls bigint NOT NULL,
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
  work jsonb,
  folded boolean NOT NULL DEFAULT false
)
  spending_archive_calls_check CHECK ((calls > 0))
  spending_archive_pkey PRIMARY KEY (story, number)
  CREATE INDEX spending_archive_unfolded ON image_gen.spending_archive USING btree (story) WHERE (NOT folded)
  CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.spending_archive FOR EACH STATEMENT EXECUTE FUNCTION image_gen._spending_lost() ALWAYS
  CREATE TRIGGER spending_restored BEFORE INSERT ON image_gen.spending_archive FOR EACH ROW WHEN (new.folded) EXECUTE FUNCTION image_gen._not_folded() ALWAYS
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)

TABLE spending_days (
  story bytea NOT NULL,
  number integer NOT NULL,
  entry bigint NOT NULL,
  day date NOT NULL,
  calls bigint NOT NULL,
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
  CREATE INDEX spending_days_day ON image_gen.spending_days USING btree (day)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)

TABLE spending_left_out (
  seq bigint NOT NULL
) WITH (fillfactor=70)
  spending_left_out_pkey PRIMARY KEY (seq)

TABLE spending_mark (
  one boolean NOT NULL DEFAULT true,
  folded_to bigint NOT NULL DEFAULT 0,
  seen_to bigint NOT NULL DEFAULT 0,
  seen_by text[] NOT NULL DEFAULT '{}'::text[]
) WITH (fillfactor=20)
  spending_mark_one_check CHECK (one)
  spending_mark_pkey PRIMARY KEY (one)

TABLE spending_totals (
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
  CREATE INDEX spending_totals_owner ON image_gen.spending_totals USING btree (owner)
  ROW LEVEL SECURITY
  POLICY every FOR SELECT TO image_gen_admin USING true
  POLICY own FOR SELECT TO image_gen_user USING ((owner)::oid = (image_gen._current_role())::oid)

TABLE timings (
  provider text COLLATE "C" NOT NULL,
  model text COLLATE "C" NOT NULL,
  seconds numeric NOT NULL,
  samples bigint NOT NULL
) WITH (fillfactor=50)
  timings_pkey PRIMARY KEY (provider, model)
  CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE ON image_gen.timings FOR EACH STATEMENT EXECUTE FUNCTION image_gen._timings_changed()

TABLE waits (
  needs text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  checked boolean NOT NULL DEFAULT false
) WITH (fillfactor=70)
  waits_pkey PRIMARY KEY (needs, seq)
  CREATE INDEX waits_seq ON image_gen.waits USING btree (seq)
  CREATE INDEX waits_unchecked ON image_gen.waits USING btree (seq) WHERE (NOT checked)

TABLE worker_state (
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
  CREATE TRIGGER changed AFTER UPDATE ON image_gen.worker_state FOR EACH ROW WHEN ((old.configured IS DISTINCT FROM new.configured)) EXECUTE FUNCTION image_gen._catalogue_changed() ALWAYS

VIEW _spending (at timestamp with time zone, last_call timestamp with time zone, owner regrole, campaign text, ticket text, shot text, metadata jsonb, batch text, operation text, provider text, model text, job_id text, number integer, calls bigint, status text, error_code text, images bigint, billed_cost image_gen.cost, currency text, cost_source text, work jsonb) WITH (security_invoker=true)

VIEW _spending_by_ticket (owner regrole, campaign text, ticket text, currency text, jobs numeric, images numeric, calls numeric, billed numeric, unknown_costs numeric, refusals numeric, retries numeric, wasted numeric, first_call timestamp with time zone, last_call timestamp with time zone) WITH (security_invoker=true)

VIEW attachment_rows (attachment bigint, relation text, key jsonb, state text, error_code text, error_message text, job_id text, asset_id bigint, billed_cost image_gen.cost, changed_at timestamp with time zone) WITH (security_invoker=true)

VIEW attachments (id bigint, relation text, into_column name, asset_column name, key_columns name[], prompt text, arguments image_gen.json_object, approve boolean, owner text, state text, problem text, rows bigint, written bigint, under_way bigint, refused bigint, failed bigint, waiting bigint, created_by text, created_at timestamp with time zone) WITH (security_invoker=true)

VIEW batches (batch text, shot text, id image_gen.job_id, status image_gen.job_state, waiting_for image_gen.wait_reason, model text, seed image_gen.seed, url text, error_code text, billed_cost image_gen.cost, known_cost numeric, currency text, created_at timestamp with time zone, finished_at timestamp with time zone) WITH (security_invoker=true)

VIEW callbacks (id bigint, hook bigint, function text, owner regrole, job_id text, status text, state text, tries integer, due_at timestamp with time zone, last_error text, created_at timestamp with time zone)

VIEW capabilities (provider text, model text, task text, parameter text, state text, sent_as text)

VIEW cost_by_campaign (campaign text, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint, wasted numeric, first_call timestamp with time zone, last_call timestamp with time zone) WITH (security_invoker=true)

VIEW cost_by_set (set_id text, variants bigint, pictures bigint, open bigint, final_asset bigint, billed numeric, known_cost numeric, cost_per_final numeric, currency text) WITH (security_invoker=true)

VIEW cost_by_ticket (ticket text, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint, wasted numeric, first_call timestamp with time zone, last_call timestamp with time zone) WITH (security_invoker=true)

VIEW cost_reviews (job_id text, number integer, why text, claimed_cost numeric, currency text, estimated_cost numeric, held numeric, owner regrole, job_status text, provider text, model text, status text, error_code text, remote_id text, campaign text, ticket text, finished_at timestamp with time zone, age interval)

VIEW invoice_diff (invoice_id bigint, provider text, period_from timestamp with time zone, period_to timestamp with time zone, remote_id text, job_id text, number integer, what text, invoiced numeric, booked numeric, difference numeric, unknown_costs bigint, currency image_gen.currency) WITH (security_invoker=true)

VIEW job_status (id image_gen.job_id, status image_gen.job_state, waiting_for image_gen.wait_reason, operation image_gen.operation, model text, provider text, prompt text, seed image_gen.seed, url text, urls text[], error_code text, error_message text, billed_cost image_gen.cost, known_cost numeric, currency text, cost_source image_gen.cost_source, attempts integer, metadata image_gen.json_object, warnings jsonb, estimated_seconds numeric, created_at timestamp with time zone, finished_at timestamp with time zone) WITH (security_invoker=true)

VIEW provider_health (provider text, model text, state text, since timestamp with time zone, in_flight bigint, max_in_flight image_gen.positive, last_error_code text, last_error_at timestamp with time zone, calls bigint, success_rate numeric, p50_seconds numeric, p95_seconds numeric, balance numeric, balance_credits numeric, balance_at timestamp with time zone)

VIEW queue_stats (ready bigint, waiting bigint, in_flight bigint, blocked bigint, oldest_ready timestamp with time zone)

VIEW reservations (job_id text, held numeric, reason text, since timestamp with time zone, age interval, campaign text, ticket text, budgets text[], owner regrole)

VIEW review_queue (id image_gen.job_id, operation image_gen.operation, why text, error_message text, campaign text, shot text, prompt text, model text, seed image_gen.seed, prompts_tried text[], calls jsonb, spent numeric, cost_source image_gen.cost_source, currency text, owner regrole, claimed_by regrole, claimed_at timestamp with time zone, created_at timestamp with time zone, waiting_since timestamp with time zone) WITH (security_invoker=true)

VIEW spending (at timestamp with time zone, owner regrole, campaign text, ticket text, shot text, metadata image_gen.json_object, batch text, operation image_gen.operation, provider text, model text, job_id text, number image_gen.positive, status image_gen.attempt_state, error_code text, images bigint, billed_cost image_gen.cost, currency text, cost_source image_gen.cost_source, estimated_cost numeric, tokens jsonb, work jsonb, remote_id text) WITH (security_invoker=true)

VIEW variants (set_id text, asset_id bigint, job_id text, position image_gen.positive, state text, url text, model text, seed bigint, prompt text, billed_cost image_gen.cost, known_cost numeric, currency text, created_at timestamp with time zone) WITH (security_invoker=true)

VIEW worker_status (running boolean, mode text, pid integer, running_since timestamp with time zone, epoch bigint, in_flight bigint, in_flight_cap integer, cap_reason text, ready bigint, oldest_ready timestamp with time zone, configured_keys text[], last_error text, last_error_at timestamp with time zone, held text)

TYPE _balance (budget_id bigint, name text, limit_amount numeric, spent numeric, held numeric, available numeric, since timestamp with time zone, until timestamp with time zone)

TYPE _claimed (seq bigint, id text, owner regrole, operation text, prompt text, seed bigint, parameters jsonb, inputs jsonb, deadline timestamp with time zone, attempts integer, progress jsonb, preferences jsonb, model text, model_is_open boolean, provider text, max_cost numeric, priority text, number integer, sent_to text, sent_model text, remote_id text, poll_url text, result_url text, cancel_url text, cost numeric, claimed_cost numeric, sent_at timestamp with time zone)

TYPE receipt (id text, status text, model text, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb)

TYPE wait_reason (code text, message text, provider text, job_id text, until timestamp with time zone)

DOMAIN amount numeric CONSTRAINT amount_check CHECK (((VALUE >= (0)::numeric) AND (VALUE < '1000000000'::numeric) AND (scale(trim_scale(VALUE)) <= 18)))
DOMAIN attachment_state text CONSTRAINT attachment_state_check CHECK ((VALUE = ANY (ARRAY['queued'::text, 'written'::text, 'refused'::text, 'waiting'::text, 'rejected'::text, 'gone'::text])))
DOMAIN attempt_state text CONSTRAINT attempt_state_check CHECK ((VALUE = ANY (ARRAY['running'::text, 'succeeded'::text, 'failed'::text, 'refused'::text, 'uncertain'::text, 'canceled'::text])))
DOMAIN cost numeric CONSTRAINT cost_check CHECK (((VALUE >= (0)::numeric) AND (VALUE < 'Infinity'::numeric)))
DOMAIN cost_source text CONSTRAINT cost_source_check CHECK ((VALUE = ANY (ARRAY['reported'::text, 'priced'::text, 'unknown'::text])))
DOMAIN currency text CONSTRAINT currency_check CHECK ((VALUE ~ '^[A-Z]{3}$'::text))
DOMAIN job_id text COLLATE "C" CONSTRAINT job_id_check CHECK ((VALUE ~ '^gen_[0-9A-HJKMNP-TV-Z]{26}$'::text))
DOMAIN job_state text CONSTRAINT job_state_check CHECK ((VALUE = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'needs_review'::text, 'canceled'::text])))
DOMAIN json_object jsonb CONSTRAINT json_object_check CHECK ((jsonb_typeof(VALUE) = 'object'::text))
DOMAIN operation text CONSTRAINT operation_check CHECK ((VALUE = ANY (ARRAY['generate'::text, 'edit'::text, 'upscale'::text, 'variate'::text, 'transfer_style'::text])))
DOMAIN origin text CONSTRAINT origin_check CHECK ((VALUE = ANY (ARRAY['catalogue'::text, 'admin'::text])))
DOMAIN positive integer CONSTRAINT positive_check CHECK ((VALUE > 0))
DOMAIN priority text CONSTRAINT priority_check CHECK ((VALUE = ANY (ARRAY['quality'::text, 'control'::text, 'speed'::text, 'variety'::text, 'cost'::text, 'privacy'::text])))
DOMAIN queue_state text CONSTRAINT queue_state_check CHECK ((VALUE = ANY (ARRAY['waiting'::text, 'ready'::text, 'alone'::text, 'running'::text])))
DOMAIN seed bigint CONSTRAINT seed_check CHECK (((VALUE >= 0) AND (VALUE <= 2147483647)))
DOMAIN task text CONSTRAINT task_check CHECK ((VALUE = ANY (ARRAY['generate'::text, 'character'::text, 'img2img'::text, 'inpaint'::text, 'outpaint'::text, 'upscale'::text, 'variate'::text, 'transfer_style'::text])))

FUNCTION _add_spending(seqs bigint[], stories text[], sign integer, at_entry bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _administers(caller regrole) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _adopt(this_home uuid) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _afford(asking_id text, needed numeric, patient boolean DEFAULT false) RETURNS text VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _all_over_to() RETURNS bigint STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _append_only() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _applicable(owner regrole, metadata jsonb, batch text, login regrole DEFAULT NULL::regrole) RETURNS SETOF bigint STABLE SET search_path=pg_catalog, pg_temp SET plan_cache_mode=force_generic_plan
FUNCTION _approvals() RETURNS TABLE(id image_gen.job_id, operation image_gen.operation, url text, key jsonb, relation text, metadata jsonb, prompt text, model text, seed image_gen.seed, known_cost numeric, cost_source image_gen.cost_source, currency text, owner regrole, claimed_by regrole, claimed_at timestamp with time zone, created_at timestamp with time zone, finished_at timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _archive(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _arguments_of(job image_gen.jobs) RETURNS jsonb IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION _attachment_before(of_id bigint, keys jsonb[]) RETURNS TABLE(number integer, prompt_hash bytea, state text, job_id text) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _attachment_callback(of_job text, OUT id bigint, OUT awaits_approval boolean, OUT failed boolean, OUT last_error text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _attachment_function(of_id bigint, what text, argument oid, OUT function oid, OUT called text) RETURNS record STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _attachment_plan(of_id bigint, leaf oid, OUT owner oid, OUT arguments text, OUT paused boolean, OUT root text, OUT element oid, OUT row_function text, OUT prompt_function text) RETURNS record STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _attachment_problem(d image_gen.attachment_definitions) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _await_completion(seen bigint, seconds double precision) RETURNS void VOLATILE STRICT
FUNCTION _backfill(attachment bigint, relation oid, most integer, retry_failed boolean) RETURNS TABLE(queued integer, refused integer) VOLATILE STRICT
FUNCTION _balances(wanted bigint[], at timestamp with time zone) RETURNS SETOF image_gen._balance STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _begin(this_epoch bigint, seqs bigint[], numbers integer[], providers text[], models text[], prompts text[], seeds bigint[], seeds_honored boolean[], warned jsonb[], estimates numeric[], progress_made jsonb[]) RETURNS TABLE(seq bigint, verdict text) VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _bind_attachment(defined bigint) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _book() RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _bounded(what text, amount numeric, hint text) RETURNS numeric IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION _bring(brought_id text, bringer regrole, cost numeric) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _budget_holders() RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _budget_name(budget image_gen.budgets) RETURNS text STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _bytes(hash text) RETURNS bytea STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _callable(signature text, OUT function oid, OUT owner oid, OUT called text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _callback_done(done bigint, answer text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _callback_failed(failed_one bigint, hook bigint, error text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _callbacks_due() RETURNS double precision STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _caller() RETURNS regrole STABLE STRICT PARALLEL SAFE
FUNCTION _can_be_asked(kind text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _cancel(canceled_id text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _cancellations(this_epoch bigint) RETURNS SETOF bigint STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _capabilities(provider text, model text) RETURNS jsonb VOLATILE STRICT SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _catalogue() RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _catalogue_changed() RETURNS trigger VOLATILE
FUNCTION _charge(charged_id text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _charge_all(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _check_attachment(wanted bigint) RETURNS image_gen.attachment_definitions STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _check_booking(caller regrole, metadata jsonb) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _check_model(kind text, parameters text, fixed text) RETURNS void IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _check_options(options text, allowed text[]) RETURNS void IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _check_policy(caller regrole, options jsonb, allow_unpriced boolean) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _check_review(caller regrole, reviewed_id text, action text, cost_given boolean) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _check_waits(every_one boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _checkpoint(this_epoch bigint, seqs bigint[], numbers integer[], remote_ids text[], poll_urls text[], result_urls text[], cancel_urls text[], http_statuses integer[], amounts numeric[], claimed numeric[], sources text[], currencies text[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _choose(needs_text boolean, photoreal boolean, draft boolean, stylized boolean, editing boolean, priority text) RETURNS TABLE(model text, rule text, reason text) VOLATILE
FUNCTION _claim(this_epoch bigint, at_most integer, after_seq bigint, owners oid[] DEFAULT NULL::oid[], afters bigint[] DEFAULT NULL::bigint[], counts bigint[] DEFAULT NULL::bigint[], this_home uuid DEFAULT NULL::uuid, library text DEFAULT NULL::text) RETURNS SETOF image_gen._claimed VOLATILE SET search_path=pg_catalog, pg_temp SET enable_bitmapscan=off
FUNCTION _clock_set_back(seconds double precision) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _close(closed_id text, new_status text, code text, message text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _close_jobs(ids text[], statuses text[], codes text[], messages text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _completions() RETURNS bigint VOLATILE STRICT
FUNCTION _conclude(concluded_id text, new_status text, code text, message text, picture_url text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _cost_of(counted_id text) RETURNS TABLE(total numeric, known numeric, source text, currency text) STABLE
FUNCTION _cost_reviews() RETURNS TABLE(job_id text, number integer, why text, claimed_cost numeric, currency text, estimated_cost numeric, held numeric, owner regrole, job_status text, provider text, model text, status text, error_code text, remote_id text, campaign text, ticket text, finished_at timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _count_in(new_budget bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _current_role() RETURNS regrole STABLE STRICT PARALLEL SAFE
FUNCTION _define_attachment(relation regclass, expression text, into_column name, asset_column name, key_columns name[], arguments jsonb, approve boolean, owner regrole) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _deliver(ids text[], positions integer[], urls text[], lifetimes bigint[], seeds bigint[], widths integer[], heights integer[], content_types text[], byte_sizes bigint[], hashes text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _due_callbacks(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _edge_calls(lows timestamp with time zone[], highs timestamp with time zone[], whole date[], from_time timestamp with time zone, to_time timestamp with time zone) RETURNS TABLE(unit text, weight bigint, number integer, first_call timestamp with time zone, owner regrole, campaign text, ticket text, operation text, provider text, model text, status text, error_code text, images bigint, billed_cost numeric, currency text, cost_source text) STABLE SET search_path=pg_catalog, pg_temp SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _end(this_epoch bigint, seqs bigint[], numbers integer[], statuses text[], codes text[], messages text[], http_statuses integer[], amounts numeric[], claimed numeric[], sources text[], currencies text[], work_done jsonb[], tokens_used jsonb[], renders double precision[], seeds bigint[], warned jsonb[], unsent boolean[], joins integer[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _entry(metadata jsonb, key text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _estimate(operation text, arguments text) RETURNS TABLE(model text, provider text, estimated_cost numeric, estimated_seconds numeric, warnings jsonb) VOLATILE
FUNCTION _explain(operation text, arguments text, max_cost numeric) RETURNS jsonb VOLATILE
FUNCTION _finish(this_epoch bigint, seqs bigint[], statuses text[], codes text[], messages text[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _fold_spending(at_most integer) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET enable_bitmapscan=off SET jit=off
FUNCTION _forget_spending() RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _generate_image(arguments jsonb) RETURNS image_gen.receipt VOLATILE SET search_path=pg_catalog, pg_temp SET DateStyle=ISO, MDY
FUNCTION _generation(job image_gen.job_status) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _goes_with(class oid, object oid, relation oid, "column" integer) RETURNS void VOLATILE STRICT
FUNCTION _held() RETURNS text STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _here() RETURNS TABLE(system text, timeline bigint, database bigint, files text, version text) STABLE STRICT
FUNCTION _hold(pid integer, mode text) RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _home() RETURNS uuid STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _inherit_inputs(new_jobs text[], parents text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _is_blank(prompt text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _is_granted(caller regrole, granted_campaign text) RETURNS boolean STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _is_local(kind text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _is_plausible(call image_gen.attempts, amount numeric, times numeric) RETURNS boolean STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _is_uncommitted(seq bigint) RETURNS boolean VOLATILE STRICT
FUNCTION _is_worker(pid integer) RETURNS boolean VOLATILE
FUNCTION _iso(at timestamp with time zone) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _join_attempt(of_job text, joining integer, earlier integer) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _keep(hash text, media_type text, picture bytea) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _keep_input(new_job text, hash text, media_type text, picture bytea) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _learn(providers text[], models text[], renders numeric[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _let_go(needed text, ended_as text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _let_one_run_alone() RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _limit_of(budget image_gen.budgets, at timestamp with time zone) RETURNS numeric STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _list_arguments(arguments jsonb) RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _load_catalogue() RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _lock_attempts(ids text[], numbers integer[]) RETURNS tid[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _lock_budgets(wanted bigint[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _lock_flight(this_epoch bigint, seqs bigint[], OUT places tid[], OUT ids text[]) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _lock_jobs(ids text[]) RETURNS tid[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _made_again(job image_gen.jobs, relation text, changed jsonb) RETURNS jsonb IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION _make_room(caller regrole, most bigint, new bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _may_book(caller regrole, booked_campaign text) RETURNS boolean STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _may_review(caller regrole) RETURNS boolean STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _min_headroom() RETURNS numeric STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _needs(numbers integer[], roles text[], picture_references text[], parents text[], caller regrole) RETURNS TABLE(number integer, role text, job text, unfinished boolean) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _new_job_id() RETURNS text VOLATILE STRICT
FUNCTION _newest(most integer, statuses text[], of_campaign text, matching jsonb, of_model text, before text) RETURNS TABLE(id text, seq bigint) STABLE SET search_path=pg_catalog, pg_temp SET enable_seqscan=off SET enable_bitmapscan=off SET enable_sort=off SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _next_callback(OUT id bigint, OUT hook bigint, OUT signature text, OUT owner regrole, OUT event jsonb) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _next_candidates(job image_gen.jobs, progress jsonb) RETURNS TABLE(rank bigint, provider text, circuit text, error_code text, turned_away boolean) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _next_poll_ms(estimate double precision, elapsed double precision) RETURNS integer IMMUTABLE PARALLEL SAFE
FUNCTION _no_such_batch(batch text) RETURNS void STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _no_such_job(id text) RETURNS void STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _not_folded() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _note(configured text[], error text, in_flight_cap integer, cap_reason text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _note_all_over(to_seq bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _note_attached(of_id bigint, keys jsonb[], states text[], hashes bytea[], jobs text[], codes text[], messages text[], replaced text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _note_balance(provider text, amount numeric, credits numeric) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _note_health(rows jsonb) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _note_update() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _owed(owing_id text, OUT held numeric, OUT spent numeric) RETURNS record STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _own_row() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _place(reference text) RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _price(prices jsonb, work jsonb) RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _prices_on(model text, kind text, on_day date) RETURNS TABLE(price jsonb, origin text, id bigint) STABLE
FUNCTION _prune(older_than timestamp with time zone, after_seq bigint, at_most integer, OUT pruned integer, OUT last_seq bigint) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET lock_timeout=200ms
FUNCTION _pruned_of(owner regrole) RETURNS text STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _queue_derived(requests jsonb, batch text, max_cost numeric) RETURNS TABLE(label text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb, batch_id text) VOLATILE SET search_path=pg_catalog, pg_temp SET DateStyle=ISO, MDY
FUNCTION _queue_truncated() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _reason(code text, message text, provider text DEFAULT NULL::text, job_id text DEFAULT NULL::text, until timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS image_gen.wait_reason IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION _reconcile(this_epoch bigint, in_flight bigint[], after_seq bigint, at_most integer, on_uncertain text, OUT last_seq bigint, OUT first_open bigint, OUT lost bigint[]) RETURNS record VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _record_deaths(in_hand bigint[]) RETURNS TABLE(seq bigint, job_id text, deaths smallint) VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _recount(recounted_id text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _refuse(balance image_gen._balance, needed numeric, required numeric) RETURNS void STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _refuse_row() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _release(ids text[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _remove_attachment(removed bigint) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _reopen(reopened_id text, new_progress jsonb) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _requeue(this_epoch bigint, seqs bigint[], delays double precision[], progress_made jsonb[]) RETURNS bigint[] VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _reservations() RETURNS TABLE(job_id text, held numeric, reason text, since timestamp with time zone, campaign text, ticket text, budgets text[], owner regrole) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _reserve(ids text[], headroom boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _resolve_approval(resolved_id text, action text, note text, caller regrole) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _resolve_model(asked text, task text DEFAULT NULL::text) RETURNS TABLE(provider text, model text, offered boolean) VOLATILE
FUNCTION _restated(provider text, model text, at timestamp with time zone, booked numeric, booked_currency text, work jsonb, calls bigint, OUT amount numeric, OUT currency text) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _restore_waits(seqs bigint[]) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _retarget(target_id text, new_model text, new_provider text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _retry_buffer() RETURNS numeric STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _role_name(role oid) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _role_oid(role text, dropped boolean DEFAULT false) RETURNS regrole STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _role_policy(caller regrole, OUT allow_unpriced boolean, OUT allowed_options text[]) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _roll(locked bigint[], at timestamp with time zone) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _rolling(asked text) RETURNS interval IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION _route(job_id text, operation text, request text, model text, model_is_open boolean, provider text, priority text, preferences text, max_cost numeric) RETURNS text[] VOLATILE
FUNCTION _scope(asked text, key text) RETURNS text STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _sees_budget(caller regrole, budget image_gen.budgets) RETURNS boolean STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _set_of(job_id text, batch text) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _settle(settled_id text, settled_number integer, amount numeric, way text, note text, force boolean) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _settle_in() RETURNS text VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _share(total numeric, pictures bigint, "position" bigint) RETURNS numeric IMMUTABLE
FUNCTION _shots(shots text, defaults text) RETURNS TABLE(shot text, operation text, arguments text) STABLE
FUNCTION _since(budget image_gen.budgets, at timestamp with time zone) RETURNS timestamp with time zone STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _spending_changes() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _spending_days_of() RETURNS SETOF date STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _spending_lost() RETURNS trigger VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _standing() RETURNS jsonb STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _start_epoch(pid integer, mode text, in_flight_cap integer, cap_reason text, configured text[], on_uncertain text) RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _start_of(words text, characters integer) RETURNS text IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _start_worker() RETURNS void VOLATILE STRICT
FUNCTION _suspects() RETURNS TABLE(seq bigint, ready_in double precision) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _sweep_inputs(after_hash text, at_most integer, OUT last_hash text, OUT removed integer) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION _take_out(ids text[]) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET jit=off
FUNCTION _take_over(this_epoch bigint, lost bigint[], on_uncertain text) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _tell(what text) RETURNS void VOLATILE STRICT
FUNCTION _template_expression(template text) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _timings_changed() RETURNS trigger VOLATILE
FUNCTION _tool_status(status text) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _tools() RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
FUNCTION _try_pattern() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _try_rule() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _try_workflow() RETURNS trigger VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _unfolded() RETURNS SETOF bigint STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _unfolded_calls() RETURNS TABLE(unit text, weight bigint, number integer, first_call timestamp with time zone, last_call timestamp with time zone, owner regrole, campaign text, ticket text, operation text, provider text, model text, status text, error_code text, images bigint, billed_cost numeric, currency text, cost_source text) STABLE SET search_path=pg_catalog, pg_temp SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _until(budget image_gen.budgets, at timestamp with time zone) RETURNS timestamp with time zone STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _usd(amount numeric) RETURNS text IMMUTABLE SET search_path=pg_catalog, pg_temp
FUNCTION _variation(image text, variance double precision, prompt text, model text, negative_prompt text, width integer, height integer, aspect_ratio text, seed bigint, guidance double precision, steps integer, quality text, metadata jsonb, provider_preferences jsonb, options jsonb, priority text, idempotency_key text, deadline timestamp with time zone, max_cost numeric, allow_unpriced boolean) RETURNS image_gen.receipt VOLATILE SET search_path=pg_catalog, pg_temp
FUNCTION _waiting() RETURNS TABLE(owner regrole, first bigint) STABLE SET search_path=pg_catalog, pg_temp SET enable_bitmapscan=off
FUNCTION _waiting_for(waiting_id text, standing jsonb) RETURNS image_gen.wait_reason STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION _wake(seq bigint) RETURNS void VOLATILE
FUNCTION _wrong_costs() RETURNS TABLE(kind text, problem text, booked numeric, computed numeric, job_id text) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION _wrong_totals() RETURNS TABLE(problem text, booked numeric, computed numeric) STABLE SET search_path=pg_catalog, pg_temp
FUNCTION attach(relation regclass, prompt text DEFAULT NULL::text, into_column name DEFAULT NULL::name, template text DEFAULT NULL::text, asset_column name DEFAULT NULL::name, key_columns name[] DEFAULT NULL::name[], arguments jsonb DEFAULT '{}'::jsonb, approve boolean DEFAULT false, run_as name DEFAULT NULL::name) RETURNS bigint VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION attached_row() RETURNS trigger VOLATILE
FUNCTION attached_statement() RETURNS trigger VOLATILE
FUNCTION backfill(attachment bigint, n integer DEFAULT 100, max_cost numeric DEFAULT NULL::numeric, retry_failed boolean DEFAULT false, OUT queued integer, OUT refused integer, OUT estimated_cost numeric) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION build_prompt(subject text, style text DEFAULT NULL::text, composition text DEFAULT NULL::text, lighting text DEFAULT NULL::text, atmosphere text DEFAULT NULL::text, palette text DEFAULT NULL::text, details text DEFAULT NULL::text, words text DEFAULT NULL::text, OUT prompt text, OUT missing text[], OUT advice text) RETURNS record IMMUTABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION cancel(id text) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION cancel(ids text[]) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION check_budgets() RETURNS TABLE(budget text, problem text, booked numeric, computed numeric, job_id text) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION choose_model(needs_text boolean DEFAULT false, photoreal boolean DEFAULT false, draft boolean DEFAULT false, stylized boolean DEFAULT false, editing boolean DEFAULT false, priority text DEFAULT NULL::text, OUT model text, OUT rule text, OUT reason text, OUT configured boolean) RETURNS record STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION claim_review(n integer DEFAULT 1, stale interval DEFAULT '@ 30 mins'::interval) RETURNS SETOF image_gen.review_queue VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION classify_request(request text, OUT operation text, OUT arguments jsonb, OUT needs text[], OUT rule text, OUT phrase text, OUT reason text) RETURNS record STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION cost_report(from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone, dimensions text[] DEFAULT '{}'::text[], restated boolean DEFAULT false, designer_rate numeric DEFAULT NULL::numeric, designer_minutes numeric DEFAULT 22.5) RETURNS TABLE(dimension jsonb, currency text, jobs bigint, images bigint, calls bigint, billed numeric, known_cost numeric, unknown_costs bigint, refusals bigint, retries bigint, wasted numeric, restated_cost numeric, designer_rate_per_hour numeric, designer_minutes_per_image numeric, designer_cost numeric, saved numeric) STABLE SET search_path=pg_catalog, pg_temp SET jit=off SET work_mem=64MB SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION credits() RETURNS TABLE(scope text, currency text, spent numeric, unknown_costs bigint, reserved numeric, limit_amount numeric, available numeric, unlimited boolean, period text, since timestamp with time zone, until timestamp with time zone) STABLE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION derive_seed(base bigint, label text) RETURNS bigint IMMUTABLE STRICT PARALLEL SAFE
FUNCTION detach(attachment bigint) RETURNS void VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION drop_on_finish(id bigint) RETURNS boolean VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION drop_role_policy(role text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION edit(image text, prompt text DEFAULT NULL::text, mask text DEFAULT NULL::text, mode text DEFAULT NULL::text, strength double precision DEFAULT NULL::double precision, border_top integer DEFAULT NULL::integer, border_right integer DEFAULT NULL::integer, border_bottom integer DEFAULT NULL::integer, border_left integer DEFAULT NULL::integer, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, n integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, reference_image text DEFAULT NULL::text, consistency_mode text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION estimate(operation text DEFAULT 'generate'::text, arguments jsonb DEFAULT NULL::jsonb, OUT model text, OUT provider text, OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric, OUT currency text, OUT estimated_seconds numeric, OUT warnings jsonb) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION estimate_batch(shots jsonb, defaults jsonb DEFAULT NULL::jsonb, OUT jobs integer, OUT images integer, OUT estimated_cost numeric, OUT with_buffer numeric, OUT highest_cost numeric, OUT needed numeric, OUT currency text, OUT unpriced integer) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION explain(operation text, arguments jsonb) RETURNS TABLE("position" integer, provider text, model text, included boolean, reason text, probability numeric, estimated_cost numeric, estimated_seconds numeric, warnings jsonb, request jsonb) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION generate(prompt text, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, n integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, reference_image text DEFAULT NULL::text, consistency_mode text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION generate_batch(shots jsonb, defaults jsonb DEFAULT NULL::jsonb, max_cost numeric DEFAULT NULL::numeric, idempotency_key text DEFAULT NULL::text) RETURNS TABLE(shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb, batch text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET DateStyle=ISO, MDY
FUNCTION generate_image(arguments jsonb) RETURNS jsonb VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION generate_variants(prompt text, n integer DEFAULT NULL::integer, vary text DEFAULT 'seed'::text, choices text[] DEFAULT NULL::text[], model text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, arguments jsonb DEFAULT NULL::jsonb, max_cost numeric DEFAULT NULL::numeric) RETURNS TABLE(variant text, id text, status text, model_name text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb, set_id text) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION get_credits() RETURNS jsonb STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION get_generation(id text) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION grant_campaign(campaign text, role text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION grant_credits(amount numeric, scope text DEFAULT 'workspace'::text, key text DEFAULT NULL::text, period text DEFAULT NULL::text, until timestamp with time zone DEFAULT NULL::timestamp with time zone, note text DEFAULT NULL::text) RETURNS TABLE(budget text, limit_amount numeric, spent numeric, reserved numeric, available numeric) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION import_invoice(provider text, period_from timestamp with time zone, period_to timestamp with time zone, amount numeric DEFAULT NULL::numeric, lines jsonb DEFAULT NULL::jsonb, currency text DEFAULT 'USD'::text, note text DEFAULT NULL::text, OUT invoice_id bigint, OUT matched bigint, OUT settled bigint) RETURNS record VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION lineage(asset bigint) RETURNS TABLE(generation integer, relation text, job_id text, asset_id bigint, parent text, status text, model text, seed bigint, prompt text, url text, created_at timestamp with time zone) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION lint_prompt(prompt text, model text DEFAULT NULL::text, parameters jsonb DEFAULT NULL::jsonb) RETURNS TABLE(rule text, word text, softer text, note text) VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION list_recent_generations("limit" integer DEFAULT 20, filters jsonb DEFAULT NULL::jsonb, before text DEFAULT NULL::text) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION needs_text(prompt text) RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
FUNCTION on_finish(function regprocedure, filter jsonb DEFAULT '{}'::jsonb) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION pause_attachment(attachment bigint, paused boolean DEFAULT true) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION pick(asset bigint) RETURNS SETOF image_gen.variants VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION picture(asset_id bigint) RETURNS bytea STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION promote(job text, model text, changed jsonb DEFAULT NULL::jsonb) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION prune(older_than interval, at_most integer DEFAULT 10000) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION reassign_jobs(from_role text, to_role text) RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION recent(n integer DEFAULT 20, status text DEFAULT NULL::text, campaign text DEFAULT NULL::text) RETURNS SETOF image_gen.job_status STABLE SET search_path=pg_catalog, pg_temp SET enable_seqscan=off SET enable_bitmapscan=off SET enable_sort=off SET jit=off SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION recount_budgets() RETURNS bigint VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION rerun_batch(batch text) RETURNS TABLE(shot text, id text, status text, model text, seed bigint, estimated_seconds numeric, estimated_cost numeric, created_at timestamp with time zone, warnings jsonb) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION resolve_review(id text, action text, prompt text DEFAULT NULL::text, model text DEFAULT NULL::text, url text DEFAULT NULL::text, billed_cost numeric DEFAULT NULL::numeric, note text DEFAULT NULL::text) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION resume(note text DEFAULT NULL::text) RETURNS TABLE(requeued integer, followed integer, ended integer) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION retry_callbacks(hook bigint DEFAULT NULL::bigint) RETURNS integer VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION revoke_campaign(campaign text, role text DEFAULT NULL::text) RETURNS void VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION rewrite_prompt(prompt text) RETURNS text STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION set_budget(scope text, key text, amount numeric, period text DEFAULT 'total'::text, until timestamp with time zone DEFAULT NULL::timestamp with time zone, time_zone text DEFAULT 'UTC'::text, note text DEFAULT NULL::text) RETURNS TABLE(budget text, limit_amount numeric, spent numeric, reserved numeric, available numeric) VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION set_role_policy(role text, allow_unpriced boolean DEFAULT false, allowed_options text[] DEFAULT '{*}'::text[], note text DEFAULT NULL::text) RETURNS image_gen.role_policies VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION settle(ids text[], timeout interval DEFAULT '@ 5 mins'::interval) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION settle_batch(batch text, timeout interval DEFAULT '@ 5 mins'::interval) RETURNS jsonb VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION settle_cost(job_id text, number integer, billed_cost numeric, note text DEFAULT NULL::text, force boolean DEFAULT false) RETURNS SETOF image_gen.job_status VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION status(id text) RETURNS SETOF image_gen.job_status STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION status(ids text[]) RETURNS SETOF image_gen.job_status STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION tool_schemas() RETURNS TABLE(tool text, description text, input_schema jsonb, output_schema jsonb) STABLE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION transfer_style(image text, style_image text, prompt text DEFAULT NULL::text, strength double precision DEFAULT NULL::double precision, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, n integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION upscale(image text, scale integer DEFAULT 2, prompt text DEFAULT NULL::text, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false) RETURNS image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp
FUNCTION variate(image text, n integer DEFAULT 3, variance double precision DEFAULT NULL::double precision, prompt text DEFAULT NULL::text, model text DEFAULT NULL::text, negative_prompt text DEFAULT NULL::text, width integer DEFAULT NULL::integer, height integer DEFAULT NULL::integer, aspect_ratio text DEFAULT NULL::text, seed bigint DEFAULT NULL::bigint, guidance double precision DEFAULT NULL::double precision, steps integer DEFAULT NULL::integer, quality text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, provider_preferences jsonb DEFAULT NULL::jsonb, options jsonb DEFAULT NULL::jsonb, priority text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, max_cost numeric DEFAULT NULL::numeric, allow_unpriced boolean DEFAULT false) RETURNS SETOF image_gen.receipt VOLATILE SECURITY DEFINER SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off
FUNCTION wait(ids text[], timeout interval DEFAULT '@ 5 mins'::interval) RETURNS SETOF image_gen.job_status VOLATILE SET search_path=pg_catalog, pg_temp SET extra_float_digits=1 SET standard_conforming_strings=on SET DateStyle=ISO, MDY SET IntervalStyle=postgres SET bytea_output=hex SET transform_null_equals=off

GRANT USAGE ON DOMAIN amount TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN attachment_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN attempt_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN cost TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN cost_source TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN currency TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN job_id TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN job_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN json_object TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN operation TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN origin TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN positive TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN priority TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN queue_state TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN seed TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT USAGE ON DOMAIN task TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION _afford TO image_gen_worker
GRANT EXECUTE ON FUNCTION _all_over_to TO image_gen_worker
GRANT EXECUTE ON FUNCTION _applicable TO image_gen_worker
GRANT EXECUTE ON FUNCTION _approvals TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION _attachment_callback TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _attachment_function TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION _attachment_problem TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _await_completion TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _balances TO image_gen_worker
GRANT EXECUTE ON FUNCTION _begin TO image_gen_worker
GRANT EXECUTE ON FUNCTION _bind_attachment TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _book TO image_gen_worker
GRANT EXECUTE ON FUNCTION _budget_name TO image_gen_worker
GRANT EXECUTE ON FUNCTION _bytes TO image_gen_worker
GRANT EXECUTE ON FUNCTION _callable TO image_gen_worker
GRANT EXECUTE ON FUNCTION _callback_done TO image_gen_worker
GRANT EXECUTE ON FUNCTION _callback_failed TO image_gen_worker
GRANT EXECUTE ON FUNCTION _callbacks_due TO image_gen_worker
GRANT EXECUTE ON FUNCTION _can_be_asked TO image_gen_worker
GRANT EXECUTE ON FUNCTION _cancellations TO image_gen_worker
GRANT EXECUTE ON FUNCTION _capabilities TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _charge TO image_gen_worker
GRANT EXECUTE ON FUNCTION _charge_all TO image_gen_worker
GRANT EXECUTE ON FUNCTION _check_attachment TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _check_model TO image_gen_admin
GRANT EXECUTE ON FUNCTION _check_waits TO image_gen_worker
GRANT EXECUTE ON FUNCTION _checkpoint TO image_gen_worker
GRANT EXECUTE ON FUNCTION _claim TO image_gen_worker
GRANT EXECUTE ON FUNCTION _clock_set_back TO image_gen_worker
GRANT EXECUTE ON FUNCTION _close TO image_gen_worker
GRANT EXECUTE ON FUNCTION _close_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION _completions TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _cost_of TO image_gen_worker
GRANT EXECUTE ON FUNCTION _cost_reviews TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION _current_role TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION _define_attachment TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _deliver TO image_gen_worker
GRANT EXECUTE ON FUNCTION _due_callbacks TO image_gen_worker
GRANT EXECUTE ON FUNCTION _edge_calls TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _end TO image_gen_worker
GRANT EXECUTE ON FUNCTION _entry TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION _finish TO image_gen_worker
GRANT EXECUTE ON FUNCTION _fold_spending TO image_gen_worker
GRANT EXECUTE ON FUNCTION _generation TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _held TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION _hold TO image_gen_worker
GRANT EXECUTE ON FUNCTION _home TO image_gen_worker
GRANT EXECUTE ON FUNCTION _is_blank TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _is_local TO image_gen_worker
GRANT EXECUTE ON FUNCTION _is_uncommitted TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _is_worker TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _iso TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _join_attempt TO image_gen_worker
GRANT EXECUTE ON FUNCTION _keep TO image_gen_worker
GRANT EXECUTE ON FUNCTION _learn TO image_gen_worker
GRANT EXECUTE ON FUNCTION _let_go TO image_gen_worker
GRANT EXECUTE ON FUNCTION _let_one_run_alone TO image_gen_worker
GRANT EXECUTE ON FUNCTION _limit_of TO image_gen_worker
GRANT EXECUTE ON FUNCTION _list_arguments TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _lock_attempts TO image_gen_worker
GRANT EXECUTE ON FUNCTION _lock_flight TO image_gen_worker
GRANT EXECUTE ON FUNCTION _lock_jobs TO image_gen_worker
GRANT EXECUTE ON FUNCTION _newest TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _next_callback TO image_gen_worker
GRANT EXECUTE ON FUNCTION _next_poll_ms TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _no_such_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _no_such_job TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION _note TO image_gen_worker
GRANT EXECUTE ON FUNCTION _note_all_over TO image_gen_worker
GRANT EXECUTE ON FUNCTION _note_balance TO image_gen_worker
GRANT EXECUTE ON FUNCTION _note_health TO image_gen_worker
GRANT EXECUTE ON FUNCTION _owed TO image_gen_worker
GRANT EXECUTE ON FUNCTION _place TO image_gen_worker
GRANT EXECUTE ON FUNCTION _prune TO image_gen_worker
GRANT EXECUTE ON FUNCTION _pruned_of TO image_gen_worker
GRANT EXECUTE ON FUNCTION _reconcile TO image_gen_worker
GRANT EXECUTE ON FUNCTION _record_deaths TO image_gen_worker
GRANT EXECUTE ON FUNCTION _remove_attachment TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _requeue TO image_gen_worker
GRANT EXECUTE ON FUNCTION _reservations TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _restated TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _restore_waits TO image_gen_worker
GRANT EXECUTE ON FUNCTION _role_name TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION _roll TO image_gen_worker
GRANT EXECUTE ON FUNCTION _set_of TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _share TO image_gen_worker
GRANT EXECUTE ON FUNCTION _since TO image_gen_worker
GRANT EXECUTE ON FUNCTION _spending_days_of TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _standing TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION _start_epoch TO image_gen_worker
GRANT EXECUTE ON FUNCTION _start_of TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION _suspects TO image_gen_worker
GRANT EXECUTE ON FUNCTION _sweep_inputs TO image_gen_worker
GRANT EXECUTE ON FUNCTION _take_over TO image_gen_worker
GRANT EXECUTE ON FUNCTION _tell TO image_gen_worker
GRANT EXECUTE ON FUNCTION _template_expression TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _tool_status TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _tools TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _unfolded TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _unfolded_calls TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION _until TO image_gen_worker
GRANT EXECUTE ON FUNCTION _waiting TO image_gen_worker
GRANT EXECUTE ON FUNCTION _waiting_for TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION _wake TO image_gen_worker
GRANT EXECUTE ON FUNCTION attach TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION attached_row TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION attached_statement TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION backfill TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION build_prompt TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION cancel(id text) TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION cancel(ids text[]) TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION check_budgets TO image_gen_admin
GRANT EXECUTE ON FUNCTION choose_model TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION claim_review TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION classify_request TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION cost_report TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION credits TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION derive_seed TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION detach TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION drop_on_finish TO image_gen_admin
GRANT EXECUTE ON FUNCTION drop_role_policy TO image_gen_admin
GRANT EXECUTE ON FUNCTION edit TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION estimate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION estimate_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION explain TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION generate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION generate_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION generate_image TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION generate_variants TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION get_credits TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION get_generation TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION grant_campaign TO image_gen_admin
GRANT EXECUTE ON FUNCTION grant_credits TO image_gen_admin
GRANT EXECUTE ON FUNCTION import_invoice TO image_gen_admin
GRANT EXECUTE ON FUNCTION lineage TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION lint_prompt TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION list_recent_generations TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION needs_text TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION on_finish TO image_gen_admin
GRANT EXECUTE ON FUNCTION pause_attachment TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION pick TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION picture TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION promote TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION prune TO image_gen_admin
GRANT EXECUTE ON FUNCTION reassign_jobs TO image_gen_admin
GRANT EXECUTE ON FUNCTION recent TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION recount_budgets TO image_gen_admin
GRANT EXECUTE ON FUNCTION rerun_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION resolve_review TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION resume TO image_gen_admin
GRANT EXECUTE ON FUNCTION retry_callbacks TO image_gen_admin
GRANT EXECUTE ON FUNCTION revoke_campaign TO image_gen_admin
GRANT EXECUTE ON FUNCTION rewrite_prompt TO image_gen_admin, image_gen_user, image_gen_worker
GRANT EXECUTE ON FUNCTION set_budget TO image_gen_admin
GRANT EXECUTE ON FUNCTION set_role_policy TO image_gen_admin
GRANT EXECUTE ON FUNCTION settle TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION settle_batch TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION settle_cost TO image_gen_admin
GRANT EXECUTE ON FUNCTION status(id text) TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION status(ids text[]) TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT EXECUTE ON FUNCTION tool_schemas TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION transfer_style TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION upscale TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION variate TO image_gen_admin, image_gen_user
GRANT EXECUTE ON FUNCTION wait TO image_gen_admin, image_gen_user
GRANT USAGE ON SCHEMA image_gen TO image_gen_admin, image_gen_reviewer, image_gen_user, image_gen_worker
GRANT SELECT ON _spending TO image_gen_admin, image_gen_user
GRANT SELECT ON _spending_by_ticket TO image_gen_admin, image_gen_user
GRANT SELECT ON attachment_definitions TO image_gen_admin, image_gen_user, image_gen_worker
GRANT SELECT ON attachment_entries TO image_gen_admin, image_gen_user
GRANT SELECT, UPDATE ON attachment_entries TO image_gen_worker
GRANT SELECT ON attachment_rows TO image_gen_admin, image_gen_user
GRANT SELECT ON attachments TO image_gen_admin, image_gen_user
GRANT INSERT, SELECT, UPDATE ON attempts TO image_gen_worker
GRANT SELECT ON attempts TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON batches TO image_gen_admin, image_gen_user
GRANT INSERT, SELECT ON blobs TO image_gen_worker
GRANT SELECT ON blobs TO image_gen_admin, image_gen_user
GRANT SELECT ON budget_changes TO image_gen_admin, image_gen_worker
GRANT SELECT ON budget_totals TO image_gen_admin
GRANT SELECT, UPDATE ON budget_totals TO image_gen_worker
GRANT SELECT ON budgets TO image_gen_admin, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON callback_queue TO image_gen_worker
GRANT SELECT ON callbacks TO image_gen_admin
GRANT INSERT, SELECT ON campaign_assets TO image_gen_worker
GRANT SELECT ON campaign_assets TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON campaign_grants TO image_gen_admin, image_gen_worker
GRANT DELETE, SELECT ON cancels TO image_gen_worker
GRANT SELECT ON cancels TO image_gen_admin
GRANT SELECT ON capabilities TO image_gen_admin, image_gen_user
GRANT INSERT, SELECT, UPDATE ON charges TO image_gen_worker
GRANT SELECT ON charges TO image_gen_admin
GRANT SELECT ON cost_by_campaign TO image_gen_admin, image_gen_user
GRANT SELECT ON cost_by_set TO image_gen_admin, image_gen_user
GRANT SELECT ON cost_by_ticket TO image_gen_admin, image_gen_user
GRANT SELECT ON cost_corrections TO image_gen_admin
GRANT SELECT ON cost_reviews TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON finish_hooks TO image_gen_admin
GRANT SELECT, UPDATE ON finish_hooks TO image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON health TO image_gen_worker
GRANT SELECT ON home TO image_gen_admin
GRANT SELECT ON invoice_diff TO image_gen_admin
GRANT SELECT ON invoice_lines TO image_gen_admin
GRANT SELECT ON invoices TO image_gen_admin
GRANT SELECT ON job_status TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON jobs TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT, UPDATE ON jobs TO image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON ladder TO image_gen_admin
GRANT SELECT ON ladder TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON lint_rules TO image_gen_admin
GRANT SELECT ON lint_rules TO image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON model_rules TO image_gen_admin
GRANT SELECT ON model_rules TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON models TO image_gen_admin
GRANT SELECT ON models TO image_gen_user, image_gen_worker
GRANT DELETE, INSERT, SELECT, UPDATE ON palettes TO image_gen_admin
GRANT SELECT ON palettes TO image_gen_user
GRANT SELECT ON picks TO image_gen_admin, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON prices TO image_gen_admin
GRANT SELECT ON prices TO image_gen_user, image_gen_worker
GRANT INSERT, SELECT, UPDATE ON provider_balances TO image_gen_worker
GRANT SELECT ON provider_health TO image_gen_admin, image_gen_user
GRANT SELECT ON providers TO image_gen_admin, image_gen_user, image_gen_worker
GRANT UPDATE ON providers (enabled) TO image_gen_admin
GRANT UPDATE ON providers (max_in_flight) TO image_gen_admin
GRANT UPDATE ON providers (options) TO image_gen_admin
GRANT UPDATE ON providers (priority) TO image_gen_admin
GRANT UPDATE ON providers (requests_per_minute) TO image_gen_admin
GRANT DELETE, INSERT, SELECT, UPDATE ON queue TO image_gen_worker
GRANT SELECT ON queue TO image_gen_admin
GRANT SELECT ON queue_stats TO image_gen_admin, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON request_rules TO image_gen_admin
GRANT SELECT ON request_rules TO image_gen_user
GRANT SELECT ON reservations TO image_gen_admin, image_gen_user
GRANT SELECT ON review_queue TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT SELECT ON reviews TO image_gen_admin, image_gen_reviewer, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON rewrite_rules TO image_gen_admin
GRANT SELECT ON rewrite_rules TO image_gen_user, image_gen_worker
GRANT SELECT ON role_policies TO image_gen_admin
GRANT SELECT ON spending TO image_gen_admin, image_gen_user
GRANT SELECT ON spending_archive TO image_gen_admin, image_gen_user
GRANT SELECT ON spending_days TO image_gen_admin, image_gen_user
GRANT SELECT ON spending_left_out TO image_gen_admin
GRANT SELECT ON spending_mark TO image_gen_admin
GRANT SELECT ON spending_totals TO image_gen_admin, image_gen_user
GRANT INSERT, SELECT, UPDATE ON timings TO image_gen_worker
GRANT SELECT ON timings TO image_gen_admin, image_gen_user
GRANT SELECT ON variants TO image_gen_admin, image_gen_user
GRANT DELETE, INSERT, SELECT, UPDATE ON waits TO image_gen_worker
GRANT SELECT ON waits TO image_gen_admin
GRANT SELECT ON worker_state TO image_gen_admin
GRANT SELECT, UPDATE ON worker_state TO image_gen_worker
GRANT SELECT ON worker_status TO image_gen_admin, image_gen_user

SETTING image_gen.allowed_image_hosts string = NULL (sighup)
SETTING image_gen.allowed_provider_hosts string = NULL (sighup)
SETTING image_gen.balance_interval integer = '600' (sighup)
SETTING image_gen.breaker_failures integer = '5' (sighup)
SETTING image_gen.budget_lock_timeout integer = '10000' (user)
SETTING image_gen.callback_timeout integer = '2000' (sighup)
SETTING image_gen.cost_sanity_ceiling real = '10' (sighup)
SETTING image_gen.cost_sanity_factor real = '10' (sighup)
SETTING image_gen.default_model string = 'flux-1.1-pro' (user)
SETTING image_gen.keep_bytes enum = 'inline' (sighup)
SETTING image_gen.max_in_flight integer = '2000' (sighup)
SETTING image_gen.max_queued_per_role integer = '0' (superuser)
SETTING image_gen.max_refusals integer = '3' (sighup)
SETTING image_gen.max_restart_pause integer = '300' (sighup)
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
