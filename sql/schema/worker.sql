-- What the worker knows of itself and of providers.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen_internal.provider_breakers (
  provider        text COLLATE "C" NOT NULL,
  model           text COLLATE "C" NOT NULL,
  state           text NOT NULL CHECK (state IN ('up', 'down', 'recovering')),
  since           timestamptz NOT NULL,
  failures        integer NOT NULL,
  last_error_code text,
  last_error_at   timestamptz,
  PRIMARY KEY (provider, model)
) WITH (fillfactor = 50);
COMMENT ON COLUMN image_gen_internal.provider_breakers.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen_internal.provider_breakers.model IS 'models.name; empty for the provider as a whole.';
COMMENT ON COLUMN image_gen_internal.provider_breakers.state IS 'up, down (not called) or recovering (single probes).';
COMMENT ON COLUMN image_gen_internal.provider_breakers.since IS 'Since when.';
COMMENT ON COLUMN image_gen_internal.provider_breakers.failures IS 'In a row.';
COMMENT ON COLUMN image_gen_internal.provider_breakers.last_error_code IS 'For programs; see README.';
COMMENT ON COLUMN image_gen_internal.provider_breakers.last_error_at IS 'When the last call failed.';
COMMENT ON TABLE image_gen_internal.provider_breakers IS 'What the worker knows of providers that have failed. Read it through the view provider_health.';

CREATE TABLE image_gen.provider_balances (
  provider   text COLLATE "C" NOT NULL,
  key_name   text COLLATE "C" NOT NULL DEFAULT '',
  amount     numeric NOT NULL,
  credits    numeric,
  checked_at timestamptz NOT NULL,
  PRIMARY KEY (provider, key_name)
) WITH (fillfactor = 50);
COMMENT ON TABLE image_gen.provider_balances IS 'What providers say is left on their accounts, each behind a key. Read it through the views provider_health and provider_keys.';
COMMENT ON COLUMN image_gen.provider_balances.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.provider_balances.key_name IS 'Which of its keys asked; empty where it has none.';
COMMENT ON COLUMN image_gen.provider_balances.amount IS 'USD; below 0 is a debt.';
COMMENT ON COLUMN image_gen.provider_balances.credits IS 'In the provider''s own credits, where it counts in those.';
COMMENT ON COLUMN image_gen.provider_balances.checked_at IS 'When it said so.';

CREATE TABLE image_gen_internal.worker_state (
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
INSERT INTO image_gen_internal.worker_state DEFAULT VALUES;
COMMENT ON TABLE image_gen_internal.worker_state IS 'One row: the current life of this database''s worker. Read it through the view worker_status.';
COMMENT ON COLUMN image_gen_internal.worker_state.truncated_by IS 'The transaction that truncated the queue last: open jobs that are older have lost their row.';
COMMENT ON COLUMN image_gen_internal.worker_state.all_over_to IS 'Every job up to this jobs.seq was over when the worker last looked for open jobs that have no row in the queue.';

-- Not advisory locks: those of any number can be taken by any role, and held for ever.
CREATE TABLE image_gen_internal.locks (
  name text COLLATE "C" PRIMARY KEY
);
INSERT INTO image_gen_internal.locks (name) VALUES ('retention');
COMMENT ON TABLE image_gen_internal.locks IS 'Rows that functions lock so that one of them runs at a time. No role has any right on it.';
COMMENT ON COLUMN image_gen_internal.locks.name IS 'retention: jobs are pruned, or jobs and charges are read together.';

SET LOCAL search_path = image_gen, pg_temp;
