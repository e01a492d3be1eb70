-- Tables. Who may change what is in security.sql; what changes a job's state is in queue.sql, nowhere else.
--
-- Each of these files pins its search path, and names all of ours with their schema. Between them stand the functions of the
-- library, as generated: they are made in image_gen, which is the search path at the end of each file.

SET LOCAL search_path = pg_catalog, pg_temp;

-- CREATE EXTENSION adopts a schema that already exists. One that another role has prepared could hold what ours would use
-- (functions, operators, types, whatever has a schema: all of it depends on that), or let that role put something in
-- meanwhile, so it is refused.
DO $$
DECLARE
  schema_id oid;
  squatter text;
BEGIN
  IF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'image_gen needs a database whose encoding is UTF8, and this one has %', getdatabaseencoding()
      USING ERRCODE = 'feature_not_supported', DETAIL = 'Prompts, and what providers answer, can have any character of Unicode.',
            HINT = 'CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8'' makes one that can have it.';
  END IF;
  SELECT n.oid INTO STRICT schema_id FROM pg_namespace n WHERE n.nspname = 'image_gen';
  SELECT pg_describe_object(d.classid, d.objid, d.objsubid) INTO squatter
    FROM pg_depend d
   WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = schema_id
     AND NOT (d.classid = 'pg_extension'::regclass AND d.objid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'image_gen'))
   LIMIT 1;
  IF squatter IS NOT NULL
     OR EXISTS (SELECT FROM pg_namespace n LEFT JOIN pg_roles r ON r.oid = n.nspowner
                 WHERE n.oid = schema_id AND r.rolname IS DISTINCT FROM current_user)
     OR EXISTS (SELECT FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) x WHERE n.oid = schema_id AND x.grantee <> n.nspowner AND x.privilege_type = 'CREATE')
  THEN
    RAISE EXCEPTION 'schema image_gen exists already and is not an empty schema of this user alone'
      USING ERRCODE = 'duplicate_schema', DETAIL = coalesce('It has ' || squatter || '.', 'Its owner is another role, or other roles may create in it.'),
            HINT = 'Look at what is in it, then drop or rename it.';
  END IF;
END $$;

-- Domains: what stands in several tables, or on the way of every job. The rule of a domain is prepared once in the life of a
-- session, a CHECK of a table in every statement that writes to it: on the way of every job that is a third of what queueing costs.
CREATE DOMAIN image_gen.job_id AS text COLLATE "C" CONSTRAINT job_id_check CHECK (VALUE ~ '^gen_[0-9A-HJKMNP-TV-Z]{26}$');
COMMENT ON DOMAIN image_gen.job_id IS 'gen_ and a ULID: sorts by time.';
CREATE DOMAIN image_gen.operation AS text
  CONSTRAINT operation_check CHECK (VALUE IN ('generate', 'edit', 'upscale', 'variate', 'transfer_style'));
COMMENT ON DOMAIN image_gen.operation IS 'What a job does to pictures: the name of the function that queues it.';
CREATE DOMAIN image_gen.task AS text
  CONSTRAINT task_check CHECK (VALUE IN ('generate', 'character', 'img2img', 'inpaint', 'outpaint', 'upscale', 'variate', 'transfer_style'));
COMMENT ON DOMAIN image_gen.task IS 'What a model must be able to do for a job.';
CREATE DOMAIN image_gen.job_state AS text
  CONSTRAINT job_state_check CHECK (VALUE IN ('queued', 'running', 'succeeded', 'failed', 'needs_review', 'canceled'));
COMMENT ON DOMAIN image_gen.job_state IS 'How far a job has come. (job_status is the view of a job with its result.)';
CREATE DOMAIN image_gen.attempt_state AS text
  CONSTRAINT attempt_state_check CHECK (VALUE IN ('running', 'succeeded', 'failed', 'refused', 'uncertain', 'canceled'));
COMMENT ON DOMAIN image_gen.attempt_state IS 'How a call stands, or has ended.';
CREATE DOMAIN image_gen.queue_state AS text CONSTRAINT queue_state_check CHECK (VALUE IN ('waiting', 'ready', 'alone', 'running'));
COMMENT ON DOMAIN image_gen.queue_state IS 'What a job in the queue waits for.';
CREATE DOMAIN image_gen.priority AS text
  CONSTRAINT priority_check CHECK (VALUE IN ('quality', 'control', 'speed', 'variety', 'cost', 'privacy'));
COMMENT ON DOMAIN image_gen.priority IS 'What matters most to a caller who leaves the choice of a model open.';
CREATE DOMAIN image_gen.seed AS bigint CONSTRAINT seed_check CHECK (VALUE BETWEEN 0 AND 2147483647);
COMMENT ON DOMAIN image_gen.seed IS 'What a picture begins from: 0 to 2147483647.';
CREATE DOMAIN image_gen.json_object AS jsonb CONSTRAINT json_object_check CHECK (jsonb_typeof(VALUE) = 'object');
COMMENT ON DOMAIN image_gen.json_object IS 'A JSON object, not an array or a single value.';
CREATE DOMAIN image_gen.cost AS numeric CONSTRAINT cost_check CHECK (VALUE >= 0 AND VALUE < 'Infinity');
COMMENT ON DOMAIN image_gen.cost IS 'What something costs, or may cost: from 0 up. NULL is unknown, or no limit.';
CREATE DOMAIN image_gen.cost_source AS text CONSTRAINT cost_source_check CHECK (VALUE IN ('reported', 'priced', 'unknown'));
COMMENT ON DOMAIN image_gen.cost_source IS 'Where a cost comes from. reported: the provider said so. priced: computed. unknown.';
CREATE DOMAIN image_gen.amount AS numeric
  CONSTRAINT amount_check CHECK (VALUE >= 0 AND VALUE < 1e9 AND scale(trim_scale(VALUE)) <= 18);
COMMENT ON DOMAIN image_gen.amount IS 'An amount of money that a person or a provider says: from 0 up, below 1,000,000,000, at most 18 digits after the point.';
CREATE DOMAIN image_gen.currency AS text CONSTRAINT currency_check CHECK (VALUE ~ '^[A-Z]{3}$');
COMMENT ON DOMAIN image_gen.currency IS 'ISO 4217.';
CREATE DOMAIN image_gen.positive AS integer CONSTRAINT positive_check CHECK (VALUE > 0);
COMMENT ON DOMAIN image_gen.positive IS 'From 1 up.';
CREATE DOMAIN image_gen.origin AS text CONSTRAINT origin_check CHECK (VALUE IN ('catalogue', 'admin'));
COMMENT ON DOMAIN image_gen.origin IS 'Of a row of the catalogue. catalogue: as shipped. admin: written or changed here.';

CREATE FUNCTION image_gen._role_name(role oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT r.rolname FROM pg_roles r WHERE r.oid = role), role::text);
END $$;
COMMENT ON FUNCTION image_gen._role_name(oid) IS 'The name of a role as it is, without quotes; of one that was dropped, its oid.';

CREATE TABLE image_gen.providers (
  id                  text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_-]{0,62}$'),
  kind                text NOT NULL,
  base_url            text CHECK (base_url ~ '^https?://[^/@ ]+(/[^ ]*)?$'),
  key_name            text CHECK (key_name ~ '^[A-Z][A-Z0-9_]{0,62}$'),
  enabled             boolean NOT NULL DEFAULT true,
  priority            integer NOT NULL DEFAULT 100,
  max_in_flight       image_gen.positive,
  requests_per_minute image_gen.positive,
  options             image_gen.json_object NOT NULL DEFAULT '{}',
  origin              image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.providers IS 'Endpoints that make pictures. Rows may share an adapter kind: an OpenAI-compatible endpoint is one more row.';
COMMENT ON COLUMN image_gen.providers.kind IS 'The adapter: bfl, openai, stability, fal, replicate, openrouter, google, ideogram, a1111, comfyui or preview.';
COMMENT ON COLUMN image_gen.providers.base_url IS 'NULL is the real service. Only a superuser may change it: it decides where the key is sent.';
COMMENT ON COLUMN image_gen.providers.key_name IS 'Name of the environment variable or of the line in image_gen.secrets_file; NULL is the adapter''s own, NONE is for a server that wants none. Never a key.';
COMMENT ON COLUMN image_gen.providers.priority IS 'Lower is tried first where the caller has no preference.';
COMMENT ON COLUMN image_gen.providers.max_in_flight IS 'Most tasks submitted and not finished; NULL is no limit. BFL documents 24.';
COMMENT ON COLUMN image_gen.providers.requests_per_minute IS 'Most submissions in a minute; NULL is no limit.';

CREATE TABLE image_gen.models (
  name            text COLLATE "C" NOT NULL CHECK (name ~ '^([a-z0-9][a-z0-9._/-]{0,127}|[*])$'),
  provider_kind   text NOT NULL,
  provider        text COLLATE "C",
  remote_name     text NOT NULL,
  api             text,
  aliases         text[] NOT NULL DEFAULT '{}',
  operations      text[] NOT NULL DEFAULT '{generate}'
                    CHECK (operations <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style}'),
  default_for     text[] NOT NULL DEFAULT '{}'
                    CHECK (default_for <@ '{generate,img2img,inpaint,outpaint,upscale,variate,transfer_style,character}'),
  sizes           jsonb,
  prompt_chars    image_gen.positive,
  max_n           integer NOT NULL DEFAULT 1 CHECK (max_n BETWEEN 1 AND 10),
  parameters      image_gen.json_object NOT NULL DEFAULT '{"prompt": true}',
  fixed           image_gen.json_object NOT NULL DEFAULT '{}',
  typical_seconds numeric NOT NULL DEFAULT 10 CHECK (typical_seconds > 0 AND typical_seconds < 'Infinity'),
  best_for        text,
  successor       text,
  ends_on         date,
  origin          image_gen.origin NOT NULL DEFAULT 'admin',
  PRIMARY KEY (name, provider_kind),
  CONSTRAINT sizes_unless_retired CHECK (successor IS NOT NULL OR sizes IS NOT NULL)
);
COMMENT ON TABLE image_gen.models IS 'The catalogue: one row for each model at each kind of provider.';
COMMENT ON COLUMN image_gen.models.provider IS 'The only provider that has it, such as a gateway of the same kind; NULL is every provider of the kind.';
COMMENT ON COLUMN image_gen.models.remote_name IS 'The model''s name at the provider.';
COMMENT ON COLUMN image_gen.models.api IS 'Which of the adapter''s protocols it speaks, where there are several; NULL is the usual one.';
COMMENT ON COLUMN image_gen.models.default_for IS 'The tasks for which it is its provider''s usual choice; character is a reference picture with consistency_mode strict.';
COMMENT ON COLUMN image_gen.models.fixed IS 'Fields that every request of this model has. Of comfyui, workflow is a graph as its API takes it, with {{prompt}}, {{seed}}, {{width}}, {{height}}, {{image}} and what else parameters write in the places that a request fills.';
COMMENT ON COLUMN image_gen.models.sizes IS '{"free": {"min", "max", "step", "min_pixels", "max_pixels", "max_ratio", "default": [w, h]}} in pixels, {"fixed": [[w, h], ...]} or {"ratios": {"ratios": ["1:1", ...], "pixels": n}}, the default first, or "source": that of the picture that goes in.';
COMMENT ON COLUMN image_gen.models.prompt_chars IS 'Longest prompt, in characters; NULL is the general limit of 32000.';
COMMENT ON COLUMN image_gen.models.max_n IS 'Most pictures in one call.';
COMMENT ON COLUMN image_gen.models.parameters IS 'What it takes, by our name: true, a range [1, 50], a choice ["low", "high"], the provider''s name "guidance_scale", or an object of as, range, values, words, default, text, list, invert, times, form, weight, weights, only, required. What is not listed is unsupported.';
COMMENT ON COLUMN image_gen.models.typical_seconds IS 'Seconds for one picture, until this database has measured its own.';
COMMENT ON COLUMN image_gen.models.successor IS 'Set for a retired model: its jobs go to this one, with a warning.';
COMMENT ON COLUMN image_gen.models.ends_on IS 'The day the provider shuts it down.';

-- A row that an administrator has touched is his: it is dumped, and a restore puts it in the place of the catalogue's.
CREATE FUNCTION image_gen._own_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    NEW.origin := 'admin';
    IF TG_TABLE_NAME = 'prices' AND OLD.origin = 'catalogue' THEN
      -- Shipped rows have negative ids, which are another row's in the next version.
      NEW.id := nextval('image_gen.prices_id_seq');
    END IF;
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'ladder' THEN
    DELETE FROM image_gen.ladder l WHERE l.rung = NEW.rung AND l.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'model_rules' THEN
    DELETE FROM image_gen.model_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'rewrite_rules' THEN
    DELETE FROM image_gen.rewrite_rules r WHERE r.position = NEW.position AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'palettes' THEN
    DELETE FROM image_gen.palettes p WHERE p.position = NEW.position AND p.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'lint_rules' THEN
    DELETE FROM image_gen.lint_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'request_rules' THEN
    DELETE FROM image_gen.request_rules r WHERE (r.position = NEW.position OR r.rule = NEW.rule) AND r.origin = 'catalogue';
  ELSIF TG_TABLE_NAME = 'prices' THEN
    NULL;  -- a price of an administrator puts those of the catalogue aside where it is read
  ELSIF NEW.origin = 'admin' AND TG_TABLE_NAME = 'providers' THEN
    DELETE FROM image_gen.providers p WHERE p.id = NEW.id AND p.origin = 'catalogue';
  ELSIF NEW.origin = 'admin' THEN
    DELETE FROM image_gen.models m WHERE m.name = NEW.name AND m.provider_kind = NEW.provider_kind AND m.origin = 'catalogue';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.providers FOR EACH ROW EXECUTE FUNCTION image_gen._own_row();
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.models FOR EACH ROW EXECUTE FUNCTION image_gen._own_row();
COMMENT ON COLUMN image_gen.providers.origin IS 'catalogue: as shipped. admin: written or changed here.';
COMMENT ON COLUMN image_gen.models.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TABLE image_gen.prices (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider_kind text NOT NULL,
  model         text COLLATE "C" NOT NULL,
  unit          text NOT NULL CHECK (unit IN ('image', 'megapixel', 'begun_megapixel', 'first_megapixel', 'further_megapixel', 'second', 'text_in_mtok', 'image_in_mtok', 'image_out_mtok', 'text_out_mtok')),
  quality       text,
  amount        image_gen.amount NOT NULL,
  currency      image_gen.currency NOT NULL DEFAULT 'USD',
  valid_from    date NOT NULL DEFAULT '-infinity',
  valid_to      date NOT NULL DEFAULT 'infinity' CONSTRAINT ends_after_it_begins CHECK (valid_to > valid_from),
  source        text,
  origin        image_gen.origin NOT NULL DEFAULT 'admin'
);
CREATE TRIGGER own_row BEFORE UPDATE ON image_gen.prices FOR EACH ROW EXECUTE FUNCTION image_gen._own_row();
CREATE INDEX prices_model ON image_gen.prices (model, provider_kind);
COMMENT ON TABLE image_gen.prices IS 'List prices with the days they are valid on and where they come from.';
COMMENT ON COLUMN image_gen.prices.unit IS 'What the amount is charged for: an image; a million pixels; a begun megapixel (of 1024 x 1024); the first and each further begun megapixel, inputs included; a begun second of computing; a million tokens (mtok).';
COMMENT ON COLUMN image_gen.prices.quality IS 'Only for this quality, in the provider''s own word; NULL is any.';
COMMENT ON COLUMN image_gen.prices.valid_to IS 'The first day on which it no longer holds.';

CREATE TABLE image_gen.timings (
  provider text COLLATE "C" NOT NULL,
  model    text COLLATE "C" NOT NULL,
  seconds  numeric NOT NULL,
  samples  bigint NOT NULL,
  PRIMARY KEY (provider, model)
) WITH (fillfactor = 50);
COMMENT ON TABLE image_gen.timings IS 'How long a picture takes here: a running estimate of the 75th percentile of finished renders, in seconds.';

CREATE FUNCTION image_gen._refuse_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'new row for relation "%" violates the rule "%"', TG_TABLE_NAME, TG_NAME
    USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END $$;
COMMENT ON FUNCTION image_gen._refuse_row() IS 'The error of a rule between columns: the trigger says when, and its name is the rule''s.';

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
  metadata          image_gen.json_object NOT NULL DEFAULT '{}',
  preferences       jsonb,
  priority          image_gen.priority,
  owner             regrole NOT NULL,
  login             regrole NOT NULL DEFAULT quote_ident(session_user)::regrole,
  idempotency_key   text,
  request_hash      bytea,
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
  finished_at       timestamptz
) WITH (fillfactor = 80);
-- Rules between columns. A job begins with the defaults, which obey them; as CHECKs they would be prepared again for every job that
-- is queued, a fifth of what that costs.
CREATE TRIGGER finished_when_over AFTER UPDATE OF status, finished_at ON image_gen.jobs FOR EACH ROW
  WHEN ((NEW.finished_at IS NULL) <> (NEW.status IN ('queued', 'running'))) EXECUTE FUNCTION image_gen._refuse_row();
CREATE TRIGGER error_code_without_picture AFTER UPDATE OF status, error_code ON image_gen.jobs FOR EACH ROW
  WHEN ((NEW.error_code IS NULL) <> (NEW.status IN ('queued', 'running', 'succeeded'))) EXECUTE FUNCTION image_gen._refuse_row();
ALTER TABLE image_gen.jobs ENABLE ALWAYS TRIGGER finished_when_over, ENABLE ALWAYS TRIGGER error_code_without_picture;
CREATE UNIQUE INDEX jobs_idempotency ON image_gen.jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_owner ON image_gen.jobs (owner, seq);
CREATE INDEX jobs_batch ON image_gen.jobs (batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_parent ON image_gen.jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX jobs_metadata ON image_gen.jobs USING gin (metadata jsonb_path_ops);
COMMENT ON TABLE image_gen.jobs IS 'What was asked: one row a job. Written by the functions of this extension only.';
COMMENT ON COLUMN image_gen.jobs.id IS 'gen_ and a ULID: sorts by time.';
COMMENT ON COLUMN image_gen.jobs.seq IS 'The order of the queue.';
COMMENT ON COLUMN image_gen.jobs.model_is_open IS 'No model was named: its route is that of explain(), and begins with the providers of model only where the caller prefers no others.';
COMMENT ON COLUMN image_gen.jobs.provider IS 'Set when the caller named one (provider:model).';
COMMENT ON COLUMN image_gen.jobs.seed IS 'The caller''s, or one derived from the job''s id.';
COMMENT ON COLUMN image_gen.jobs.parameters IS 'The checked request without prompt and seed.';
COMMENT ON COLUMN image_gen.jobs.metadata IS 'The caller''s own; never sent to a provider. campaign, shot and ticket are copied to the asset.';
COMMENT ON COLUMN image_gen.jobs.owner IS 'The role in effect in the session that queued it (SET ROLE, else the login), by oid: it survives ALTER ROLE ... RENAME, and a new role of an old name has none of it. Of a role that was dropped the oid is shown: see reassign_jobs().';
COMMENT ON COLUMN image_gen.jobs.login IS 'The role that the session was logged in as: its budgets count too.';
COMMENT ON COLUMN image_gen.jobs.billed_cost IS 'Sum over its attempts; NULL when the cost of any of them is unknown, and while it is not finished.';
COMMENT ON COLUMN image_gen.jobs.known_cost IS 'Sum over those of its attempts whose cost is known: the same as billed_cost where all are.';
COMMENT ON COLUMN image_gen.jobs.cost_source IS 'unknown when the cost of any attempt is unknown.';

CREATE TABLE image_gen.queue (
  -- Looser than the index of what is ready, so that the planner never takes it for that one.
  seq              bigint PRIMARY KEY WITH (fillfactor = 50),
  job_id           text COLLATE "C" NOT NULL,
  owner            regrole NOT NULL,
  state            image_gen.queue_state NOT NULL DEFAULT 'ready',
  epoch            bigint,
  ready_at         timestamptz NOT NULL DEFAULT now(),
  attempts         integer NOT NULL DEFAULT 0,
  progress         jsonb NOT NULL DEFAULT '{}',
  home             uuid NOT NULL,
  deaths           smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
CREATE TRIGGER epoch_while_running AFTER UPDATE OF state, epoch ON image_gen.queue FOR EACH ROW
  WHEN ((NEW.state = 'running') <> (NEW.epoch IS NOT NULL)) EXECUTE FUNCTION image_gen._refuse_row();
ALTER TABLE image_gen.queue ENABLE ALWAYS TRIGGER epoch_while_running;
-- Ready rows only: what is in flight costs nothing to skip. No index on what changes while a job is in flight.
CREATE INDEX queue_ready ON image_gen.queue (seq) WHERE state = 'ready';
-- For turns, when more is ready than fits. (seq > 0 is always so; who does not say it cannot be led astray by this index.)
CREATE INDEX queue_lanes ON image_gen.queue (owner, seq) WHERE state = 'ready' AND seq > 0;
-- Nearly always empty.
CREATE INDEX queue_deaths ON image_gen.queue (seq) WHERE deaths > 0;
COMMENT ON TABLE image_gen.queue IS 'Jobs that wait or are in flight: small and hot. A finished job has no row here.';
COMMENT ON COLUMN image_gen.queue.owner IS 'jobs.owner: each has its turn.';
COMMENT ON COLUMN image_gen.queue.state IS 'waiting: for a picture of another job. ready: for its turn. alone: for a turn with nothing else in flight. running: in flight.';
COMMENT ON COLUMN image_gen.queue.epoch IS 'The life of the worker that has it in flight.';
COMMENT ON COLUMN image_gen.queue.progress IS 'How far it has come along its route and up its ladder, in the words of the engine.';
COMMENT ON COLUMN image_gen.queue.deaths IS 'How many lives of the worker ended by a crash with this job in hand: after two it runs alone, after three a person decides.';
COMMENT ON COLUMN image_gen.queue.home IS 'home.id of where it was queued: what a dump or a publisher brought is not run here.';

-- A table of its own: who calls a job off and leaves his transaction open holds no row that the worker writes.
CREATE TABLE image_gen.cancels (
  seq          bigint PRIMARY KEY,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.cancels IS 'Jobs in flight that a user wants stopped.';
COMMENT ON COLUMN image_gen.cancels.seq IS 'queue.seq.';
COMMENT ON COLUMN image_gen.cancels.requested_at IS 'Since when.';

CREATE TABLE image_gen.waits (
  needs   text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL,
  checked boolean NOT NULL DEFAULT false,
  PRIMARY KEY (needs, seq)
) WITH (fillfactor = 70);
CREATE INDEX waits_seq ON image_gen.waits (seq);
CREATE INDEX waits_unchecked ON image_gen.waits (seq) WHERE NOT checked;
COMMENT ON COLUMN image_gen.waits.needs IS 'jobs.id.';
COMMENT ON COLUMN image_gen.waits.seq IS 'queue.seq.';
COMMENT ON TABLE image_gen.waits IS 'Which job in the queue (seq) waits for the picture of which other job (needs).';
COMMENT ON COLUMN image_gen.waits.checked IS 'Whether the worker has looked if the other job had ended before this row could be seen.';

CREATE TABLE image_gen.attempts (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id         text COLLATE "C" NOT NULL REFERENCES image_gen.jobs ON DELETE CASCADE,
  number         image_gen.positive NOT NULL,
  provider       text COLLATE "C" NOT NULL,
  model          text COLLATE "C" NOT NULL,
  status         image_gen.attempt_state NOT NULL DEFAULT 'running',
  error_code     text,
  error_message  text,
  http_status    integer,
  remote_id      text,
  poll_url       text,
  result_url     text,
  cancel_url     text,
  prompt         text NOT NULL,
  seed           bigint NOT NULL,
  seed_honored   boolean NOT NULL,
  billed_cost    image_gen.cost,
  currency       text NOT NULL DEFAULT 'USD',
  cost_source    image_gen.cost_source NOT NULL DEFAULT 'unknown',
  claimed_cost   numeric,
  estimated_cost numeric,
  work           jsonb,
  tokens         jsonb,
  render_seconds numeric,
  warnings       jsonb NOT NULL DEFAULT '[]',
  owner          regrole NOT NULL,
  epoch          bigint NOT NULL,
  sends          integer NOT NULL DEFAULT 1 CHECK (sends >= 0),
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at    timestamptz,
  UNIQUE (job_id, number),
  CONSTRAINT cost_has_a_source CHECK ((billed_cost IS NULL) = (cost_source = 'unknown')),
  CONSTRAINT finished_when_over CHECK ((finished_at IS NULL) = (status = 'running')),
  CONSTRAINT poll_url_with_remote_id CHECK ((remote_id IS NULL) = (poll_url IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX attempts_recent ON image_gen.attempts USING brin (created_at);
CREATE INDEX attempts_unknown ON image_gen.attempts (job_id) WHERE billed_cost IS NULL AND status <> 'running';
CREATE UNIQUE INDEX attempts_one_winner ON image_gen.attempts (job_id) WHERE status = 'succeeded';
COMMENT ON TABLE image_gen.attempts IS 'Calls to providers: one row a call, never deleted alone (see prune). The row is committed before the request is sent. Calls that a provider in an outage turned away are one row, see sends.';
COMMENT ON COLUMN image_gen.attempts.status IS 'uncertain: sent, and nobody knows whether it was accepted. It is never sent again by itself.';
COMMENT ON COLUMN image_gen.attempts.remote_id IS 'The provider''s id of the task, committed before the first poll.';
COMMENT ON COLUMN image_gen.attempts.seed_honored IS 'Whether the request carried the seed.';
COMMENT ON COLUMN image_gen.attempts.billed_cost IS 'What the provider said, else computed from a price, else NULL: unknown.';
COMMENT ON COLUMN image_gen.attempts.claimed_cost IS 'A figure that was not believed, because it is far beyond the estimate (image_gen.cost_sanity_factor): the cost is unknown until settle_cost() says it. In currency.';
COMMENT ON COLUMN image_gen.attempts.sent_at IS 'When the intent to send was written; the last one of several.';
COMMENT ON COLUMN image_gen.attempts.sends IS 'How often the request was sent: more than once where the provider turned it away, at no cost, in one outage; 0 where it is known never to have left.';

CREATE TABLE image_gen.campaign_assets (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id          text COLLATE "C" NOT NULL,
  position        image_gen.positive NOT NULL,
  campaign        text,
  shot            text,
  ticket          text,
  url             text NOT NULL,
  url_expires_at  timestamptz,
  mirror_url      text,
  provider        text COLLATE "C" NOT NULL,
  model           text COLLATE "C" NOT NULL,
  seed            bigint NOT NULL,
  prompt          text NOT NULL,
  negative_prompt text,
  width           integer,
  height          integer,
  content_type    text,
  byte_size       bigint,
  sha256          text COLLATE "C",
  billed_cost     image_gen.cost,
  known_cost      numeric,
  currency        text NOT NULL DEFAULT 'USD',
  cost_source     image_gen.cost_source NOT NULL,
  metadata        jsonb NOT NULL DEFAULT '{}',
  batch           text COLLATE "C",
  parent          text COLLATE "C",
  relation        text,
  owner           regrole NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (job_id, position)
);
CREATE INDEX campaign_assets_campaign ON image_gen.campaign_assets (campaign, shot);
CREATE INDEX campaign_assets_ticket ON image_gen.campaign_assets (ticket);
CREATE INDEX campaign_assets_batch ON image_gen.campaign_assets (batch) WHERE batch IS NOT NULL;
CREATE INDEX campaign_assets_parent ON image_gen.campaign_assets (parent) WHERE parent IS NOT NULL;
CREATE INDEX campaign_assets_sha256 ON image_gen.campaign_assets (sha256);
COMMENT ON TABLE image_gen.campaign_assets IS 'Finished pictures: one row each, with all that is needed to make it again. No foreign key to jobs: jobs are pruned, assets are kept.';
COMMENT ON COLUMN image_gen.campaign_assets.url IS 'Where the provider has it, or image-gen:sha256:... for bytes kept in image_gen.blobs.';
COMMENT ON COLUMN image_gen.campaign_assets.url_expires_at IS 'When the provider deletes it; NULL when it says nothing.';
COMMENT ON COLUMN image_gen.campaign_assets.width IS 'Pixels, from the bytes; NULL when the picture could not be fetched.';
COMMENT ON COLUMN image_gen.campaign_assets.billed_cost IS 'This picture''s share of jobs.billed_cost; the shares add up exactly. NULL when that is unknown.';
COMMENT ON COLUMN image_gen.campaign_assets.known_cost IS 'This picture''s share of jobs.known_cost.';

CREATE TABLE image_gen.ladder (
  rung   image_gen.positive PRIMARY KEY,
  action text NOT NULL CHECK (action IN ('rewrite', 'switch_model', 'review', 'fail')),
  model  text COLLATE "C",
  origin image_gen.origin NOT NULL DEFAULT 'admin',
  CONSTRAINT model_to_switch_to CHECK (model IS NULL OR action = 'switch_model')
);
COMMENT ON TABLE image_gen.ladder IS 'What follows a refusal by a safety filter, rung by rung. A refusal never moves along the route of providers by itself.';
COMMENT ON COLUMN image_gen.ladder.rung IS 'The order.';
COMMENT ON COLUMN image_gen.ladder.action IS 'rewrite: a softer prompt, same model and seed. switch_model: another model, same seed and prompt. review: a person decides. fail: the job fails. A rung that changes nothing is left out.';
COMMENT ON COLUMN image_gen.ladder.model IS 'For switch_model: this one; NULL is the next one of the route. A name that does not exist is left out.';
COMMENT ON COLUMN image_gen.ladder.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TABLE image_gen.rewrite_rules (
  position    image_gen.positive PRIMARY KEY,
  pattern     text NOT NULL,
  replacement text NOT NULL,
  enabled     boolean NOT NULL DEFAULT true,
  note        text,
  origin      image_gen.origin NOT NULL DEFAULT 'admin'
);
COMMENT ON TABLE image_gen.rewrite_rules IS 'Softer words for those that make safety filters nervous. All that match are applied, in order.';
COMMENT ON COLUMN image_gen.rewrite_rules.position IS 'The order. A row of an administrator takes the place of the shipped one at its position.';
COMMENT ON COLUMN image_gen.rewrite_rules.pattern IS 'A POSIX regular expression, whatever the case. \m and \M are the edges of a word.';
COMMENT ON COLUMN image_gen.rewrite_rules.replacement IS 'What stands there instead; \1 is the first group of the pattern.';
COMMENT ON COLUMN image_gen.rewrite_rules.enabled IS 'Off: left out.';
COMMENT ON COLUMN image_gen.rewrite_rules.note IS 'For people.';
COMMENT ON COLUMN image_gen.rewrite_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.ladder FOR EACH ROW EXECUTE FUNCTION image_gen._own_row();
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen._own_row();

-- A pattern that is no regular expression is refused when it is written, not when a job depends on it.
CREATE FUNCTION image_gen._try_pattern() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM regexp_replace('', NEW.pattern, NEW.replacement, 'gi');
  RETURN NEW;
END $$;
CREATE TRIGGER try_pattern BEFORE INSERT OR UPDATE ON image_gen.rewrite_rules FOR EACH ROW EXECUTE FUNCTION image_gen._try_pattern();

CREATE TABLE image_gen.model_rules (
  position   image_gen.positive PRIMARY KEY,
  rule       text NOT NULL UNIQUE,
  needs_text boolean,
  photoreal  boolean,
  draft      boolean,
  stylized   boolean,
  editing    boolean,
  priority   text,
  models     text[] NOT NULL,
  reason     text NOT NULL,
  origin     image_gen.origin NOT NULL DEFAULT 'admin'
);
CREATE TRIGGER own_row BEFORE INSERT OR UPDATE ON image_gen.model_rules FOR EACH ROW EXECUTE FUNCTION image_gen._own_row();
COMMENT ON TABLE image_gen.model_rules IS 'The decision tree of choose_model(): the first row whose conditions hold, and one of whose models is configured, decides.';
COMMENT ON COLUMN image_gen.model_rules.position IS 'The order.';
COMMENT ON COLUMN image_gen.model_rules.rule IS 'Its name, which choose_model() returns.';
COMMENT ON COLUMN image_gen.model_rules.needs_text IS 'Legible text in the picture. A condition that is NULL always holds.';
COMMENT ON COLUMN image_gen.model_rules.photoreal IS 'A photograph, or what looks like one.';
COMMENT ON COLUMN image_gen.model_rules.draft IS 'A thumbnail, a mood board, a first try.';
COMMENT ON COLUMN image_gen.model_rules.stylized IS 'An illustration or a poster.';
COMMENT ON COLUMN image_gen.model_rules.editing IS 'A picture is there and is to be changed.';
COMMENT ON COLUMN image_gen.model_rules.priority IS 'quality, control, speed, variety, cost or privacy.';
COMMENT ON COLUMN image_gen.model_rules.models IS 'Names of image_gen.models (or provider:model), the best first.';
COMMENT ON COLUMN image_gen.model_rules.reason IS 'For people.';
COMMENT ON COLUMN image_gen.model_rules.origin IS 'catalogue: as shipped. admin: written or changed here.';

CREATE TABLE image_gen.health (
  provider        text COLLATE "C" NOT NULL,
  model           text COLLATE "C" NOT NULL,
  state           text NOT NULL CHECK (state IN ('up', 'down', 'recovering')),
  since           timestamptz NOT NULL,
  failures        integer NOT NULL,
  last_error_code text,
  last_error_at   timestamptz,
  PRIMARY KEY (provider, model)
) WITH (fillfactor = 50);
COMMENT ON COLUMN image_gen.health.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.health.model IS 'models.name; empty for the provider as a whole.';
COMMENT ON COLUMN image_gen.health.state IS 'up, down (nobody asks) or recovering (a few ask).';
COMMENT ON COLUMN image_gen.health.since IS 'Since when.';
COMMENT ON COLUMN image_gen.health.failures IS 'In a row.';
COMMENT ON COLUMN image_gen.health.last_error_code IS 'For programs; see README.';
COMMENT ON COLUMN image_gen.health.last_error_at IS 'When the last call failed.';
COMMENT ON TABLE image_gen.health IS 'What the worker knows of providers that have failed. Read it through the view provider_health.';

CREATE TABLE image_gen.provider_balances (
  provider   text COLLATE "C" PRIMARY KEY,
  amount     numeric NOT NULL,
  credits    numeric,
  checked_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE image_gen.provider_balances IS 'What providers say is left on their accounts. Read it through the view provider_health.';
COMMENT ON COLUMN image_gen.provider_balances.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.provider_balances.amount IS 'USD; below 0 is a debt.';
COMMENT ON COLUMN image_gen.provider_balances.credits IS 'In the provider''s own credits, where it counts in those.';
COMMENT ON COLUMN image_gen.provider_balances.checked_at IS 'When it said so.';

CREATE TABLE image_gen.reviews (
  job_id      text COLLATE "C" PRIMARY KEY REFERENCES image_gen.jobs ON DELETE CASCADE,
  claimed_by  regrole,
  claimed_at  timestamptz,
  action      text,
  note        text,
  resolved_by name,
  resolved_at timestamptz
);
COMMENT ON TABLE image_gen.reviews IS 'Who looks at which job, and what came of it. Written by claim_review() and resolve_review().';
COMMENT ON COLUMN image_gen.reviews.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.reviews.claimed_by IS 'Who looks at it.';
COMMENT ON COLUMN image_gen.reviews.claimed_at IS 'Since when.';
COMMENT ON COLUMN image_gen.reviews.action IS 'What was decided last.';
COMMENT ON COLUMN image_gen.reviews.note IS 'Why, in the reviewer''s words.';
COMMENT ON COLUMN image_gen.reviews.resolved_by IS 'Who decided.';
COMMENT ON COLUMN image_gen.reviews.resolved_at IS 'When.';

CREATE TABLE image_gen.blobs (
  sha256       text COLLATE "C" PRIMARY KEY,
  content_type text NOT NULL,
  bytes        bytea NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Pictures are compressed already: trying again costs time and saves nothing.
ALTER TABLE image_gen.blobs ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE image_gen.blobs IS 'Bytes of pictures by their SHA-256: the same picture is stored once.';

CREATE TABLE image_gen.worker_state (
  one           boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch         bigint NOT NULL DEFAULT 0,
  pid           integer,
  started_at    timestamptz,
  mode          text,
  in_flight_cap integer,
  cap_reason    text,
  configured    text[],
  last_error    text,
  last_error_at timestamptz,
  all_over_to   bigint NOT NULL DEFAULT 0,
  truncated_by  xid
) WITH (fillfactor = 20);
INSERT INTO image_gen.worker_state DEFAULT VALUES;
COMMENT ON TABLE image_gen.worker_state IS 'One row: the current life of this database''s worker. Read it through the view worker_status.';
COMMENT ON COLUMN image_gen.worker_state.truncated_by IS 'The transaction that truncated the queue last: open jobs that are older have lost their row.';
COMMENT ON COLUMN image_gen.worker_state.all_over_to IS 'Every job up to this jobs.seq was over when the worker last looked for open jobs that have no row in the queue.';

-- Not advisory locks: those of any number can be taken by any role, and held for ever.
CREATE TABLE image_gen.locks (
  name text COLLATE "C" PRIMARY KEY
);
INSERT INTO image_gen.locks (name) VALUES ('retention');
COMMENT ON TABLE image_gen.locks IS 'Rows that functions lock so that one of them runs at a time. No role has any right on it.';
COMMENT ON COLUMN image_gen.locks.name IS 'retention: jobs are pruned, or jobs and charges are read together.';

-- The rest of the columns that users read.
COMMENT ON COLUMN image_gen.providers.id IS 'How jobs, preferences and provider:model name it.';
COMMENT ON COLUMN image_gen.providers.enabled IS 'Off: gets no new jobs. What it has accepted is still followed to its end.';
COMMENT ON COLUMN image_gen.providers.options IS 'For the adapter; none are known so far.';
COMMENT ON COLUMN image_gen.models.name IS 'The name in the catalogue. * stands for every model of the provider that has no row: write provider:name.';
COMMENT ON COLUMN image_gen.models.provider_kind IS 'The kind of provider that this row is about (providers.kind).';
COMMENT ON COLUMN image_gen.models.aliases IS 'Other names, in lower case.';
COMMENT ON COLUMN image_gen.models.operations IS 'What it can do: generate, img2img, inpaint, outpaint (the three kinds of edit), upscale, variate, transfer_style.';
COMMENT ON COLUMN image_gen.models.best_for IS 'For people.';
COMMENT ON COLUMN image_gen.prices.id IS 'Later rows win where two are valid. Shipped ones are negative.';
COMMENT ON COLUMN image_gen.prices.provider_kind IS 'providers.kind.';
COMMENT ON COLUMN image_gen.prices.model IS 'models.name.';
COMMENT ON COLUMN image_gen.prices.amount IS 'Per unit.';
COMMENT ON COLUMN image_gen.prices.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.prices.valid_from IS 'The first day on which it holds.';
COMMENT ON COLUMN image_gen.prices.source IS 'Where the figure comes from, with its date.';
COMMENT ON COLUMN image_gen.prices.origin IS 'catalogue: as shipped. admin: written here; it comes before the catalogue''s.';
COMMENT ON COLUMN image_gen.timings.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.timings.model IS 'models.name.';
COMMENT ON COLUMN image_gen.timings.seconds IS 'The estimate.';
COMMENT ON COLUMN image_gen.timings.samples IS 'Renders behind it.';
COMMENT ON COLUMN image_gen.jobs.operation IS 'generate, edit, upscale, variate or transfer_style.';
COMMENT ON COLUMN image_gen.jobs.task IS 'What a model must be able to do: the operation, for an edit its mode, and character for a strict reference picture.';
COMMENT ON COLUMN image_gen.jobs.status IS 'queued, running, succeeded, failed, needs_review or canceled.';
COMMENT ON COLUMN image_gen.jobs.prompt IS 'As the caller wrote it; what was really sent is in attempts.';
COMMENT ON COLUMN image_gen.jobs.model IS 'models.name, aliases and retired names resolved; where model_is_open, that of the first candidate when it was queued.';
COMMENT ON COLUMN image_gen.jobs.preferences IS 'provider_preferences, merged with the setting image_gen.provider_preferences.';
COMMENT ON COLUMN image_gen.jobs.priority IS 'What mattered most to the caller, where he left the choice open.';
COMMENT ON COLUMN image_gen.jobs.idempotency_key IS 'Unique for its owner.';
COMMENT ON COLUMN image_gen.jobs.request_hash IS 'SHA-256 of the arguments, where there is a key: the same key with others is an error.';
COMMENT ON COLUMN image_gen.jobs.deadline IS 'Not sent after it.';
COMMENT ON COLUMN image_gen.jobs.max_cost IS 'USD for all its calls together: none is made that is expected to go beyond it.';
COMMENT ON COLUMN image_gen.jobs.allow_unpriced IS 'Calls whose price nobody knows may be made although a budget or max_cost applies.';
COMMENT ON COLUMN image_gen.jobs.batch IS 'The generate_batch() (bat_...) or generate_variants() (set_...) that it came with.';
COMMENT ON COLUMN image_gen.jobs.parent IS 'jobs.id of the job that it comes from: whose picture it changes, or which it makes again.';
COMMENT ON COLUMN image_gen.jobs.relation IS 'rerun or promote, where it makes its parent again; NULL where its operation says how it comes from it.';
COMMENT ON COLUMN image_gen.jobs.estimated_seconds IS 'For the render, when it was queued.';
COMMENT ON COLUMN image_gen.jobs.estimated_cost IS 'When it was queued; NULL is unknown.';
COMMENT ON COLUMN image_gen.jobs.currency IS 'ISO 4217, of all amounts of the row.';
COMMENT ON COLUMN image_gen.jobs.warnings IS '[{"code", "message"}]: what will not happen as asked.';
COMMENT ON COLUMN image_gen.jobs.error_code IS 'For programs; see README. NULL unless it ended without a picture.';
COMMENT ON COLUMN image_gen.jobs.error_message IS 'For people.';
COMMENT ON COLUMN image_gen.jobs.created_at IS 'Start of the transaction that queued it.';
COMMENT ON COLUMN image_gen.jobs.finished_at IS 'NULL while it is queued or running.';
COMMENT ON COLUMN image_gen.attempts.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.attempts.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.attempts.number IS 'Within its job, from 1.';
COMMENT ON COLUMN image_gen.attempts.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.attempts.model IS 'models.name.';
COMMENT ON COLUMN image_gen.attempts.error_code IS 'For programs; see README.';
COMMENT ON COLUMN image_gen.attempts.error_message IS 'For people: the provider''s words cut to one line, without keys and query strings.';
COMMENT ON COLUMN image_gen.attempts.http_status IS 'Of the last answer.';
COMMENT ON COLUMN image_gen.attempts.poll_url IS 'Where the provider wants to be asked.';
COMMENT ON COLUMN image_gen.attempts.result_url IS 'Where it has the result, when that is another place.';
COMMENT ON COLUMN image_gen.attempts.cancel_url IS 'Where the task can be called off.';
COMMENT ON COLUMN image_gen.attempts.prompt IS 'What was sent.';
COMMENT ON COLUMN image_gen.attempts.seed IS 'As the provider reports it, else as sent.';
COMMENT ON COLUMN image_gen.attempts.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.attempts.cost_source IS 'reported: the provider said so. priced: computed. unknown.';
COMMENT ON COLUMN image_gen.attempts.estimated_cost IS 'USD, expected before it was sent; NULL is unknown.';
COMMENT ON COLUMN image_gen.attempts.work IS 'What a price was, or would have been, applied to: {"images", "pixels", "inputs", "seconds", "quality", "tokens"}; NULL where no price decides.';
COMMENT ON COLUMN image_gen.attempts.tokens IS '{"text_in", "image_in", "image_out"}, where the provider counts them.';
COMMENT ON COLUMN image_gen.attempts.render_seconds IS 'As the provider reports it, else from send to picture.';
COMMENT ON COLUMN image_gen.attempts.warnings IS '[{"code", "message"}].';
COMMENT ON COLUMN image_gen.attempts.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen.attempts.epoch IS 'The life of the worker that sent it.';
COMMENT ON COLUMN image_gen.attempts.created_at IS 'When the row was written.';
COMMENT ON COLUMN image_gen.attempts.finished_at IS 'NULL while it is running.';
COMMENT ON COLUMN image_gen.campaign_assets.id IS 'For picture(id).';
COMMENT ON COLUMN image_gen.campaign_assets.job_id IS 'The job that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.position IS 'Within its job, from 1.';
COMMENT ON COLUMN image_gen.campaign_assets.campaign IS 'metadata ->> campaign.';
COMMENT ON COLUMN image_gen.campaign_assets.shot IS 'metadata ->> shot.';
COMMENT ON COLUMN image_gen.campaign_assets.ticket IS 'metadata ->> ticket.';
COMMENT ON COLUMN image_gen.campaign_assets.mirror_url IS 'A lasting copy; NULL when there is none.';
COMMENT ON COLUMN image_gen.campaign_assets.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.campaign_assets.model IS 'models.name.';
COMMENT ON COLUMN image_gen.campaign_assets.seed IS 'Of the attempt that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.prompt IS 'Of the attempt that made it.';
COMMENT ON COLUMN image_gen.campaign_assets.negative_prompt IS 'As asked; whether it was sent is in the warnings.';
COMMENT ON COLUMN image_gen.campaign_assets.height IS 'Pixels, from the bytes.';
COMMENT ON COLUMN image_gen.campaign_assets.content_type IS 'From the bytes.';
COMMENT ON COLUMN image_gen.campaign_assets.byte_size IS 'Bytes.';
COMMENT ON COLUMN image_gen.campaign_assets.sha256 IS 'Of the bytes, hexadecimal.';
COMMENT ON COLUMN image_gen.campaign_assets.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.campaign_assets.cost_source IS 'unknown when the cost of any attempt is.';
COMMENT ON COLUMN image_gen.campaign_assets.metadata IS 'The job''s.';
COMMENT ON COLUMN image_gen.campaign_assets.batch IS 'jobs.batch.';
COMMENT ON COLUMN image_gen.campaign_assets.parent IS 'jobs.parent.';
COMMENT ON COLUMN image_gen.campaign_assets.relation IS 'jobs.relation.';
COMMENT ON COLUMN image_gen.campaign_assets.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen.campaign_assets.created_at IS 'When it was delivered.';
COMMENT ON COLUMN image_gen.blobs.sha256 IS 'Of the bytes, hexadecimal.';
COMMENT ON COLUMN image_gen.blobs.content_type IS 'From the bytes.';
COMMENT ON COLUMN image_gen.blobs.bytes IS 'The picture.';
COMMENT ON COLUMN image_gen.blobs.created_at IS 'When it was first stored.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.providers', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.models', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.prices', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.ladder', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.model_rules', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.rewrite_rules', $$WHERE origin = 'admin'$$);
SELECT pg_catalog.pg_extension_config_dump('image_gen.reviews', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.timings', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.jobs', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.attempts', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_assets', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.blobs', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.jobs_seq_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.attempts_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.campaign_assets_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.prices_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
