-- Limits: what may be spent, what is reserved for jobs under way, what is spent. Each figure follows from jobs and attempts:
-- job_exposure() says for one job what counts, charges has that for each budget that the job counts in, and budget_totals adds
-- it up, so that no reader has to.
--
--   queueing      locks the totals of the budgets that apply (no budget, no lock), checks them, and holds the estimate; the totals
--                 are written once, before COMMIT (src/transaction_budgets.rs)
--   a call        may need more than is reserved: the worker takes it before it writes down the intent to send, or does not send
--   the end       what was billed counts; what has no known cost stays reserved until it is recorded (settle_cost)
--
-- The totals of a budget stay locked until the transaction of who queues ends, however long that takes. The worker never
-- waits for them: it changes charges, adds the difference to budget_entries, and puts these into the totals when no session
-- holds them. A budget stands at
--
--   its totals + entries of its period - charges of the time since which its period has moved on
--
-- which is the same sum whatever of it has been put where.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.budgets (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  scope      text COLLATE "C" NOT NULL CHECK (scope IN ('workspace', 'role', 'campaign', 'ticket', 'batch') OR scope ~ '^metadata:.'),
  key        text COLLATE "C",
  role       regrole,
  period     text NOT NULL DEFAULT 'total' CHECK (period IN ('total', 'day', 'week', 'month', 'quarter', 'year', 'rolling')),
  rolling    interval CHECK (rolling > interval '0'),
  time_zone  text NOT NULL DEFAULT 'UTC',
  amount     image_gen.amount NOT NULL,
  counts_from timestamptz NOT NULL DEFAULT '-infinity',
  note       text,
  set_by     name NOT NULL,
  set_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT key_of_its_scope CHECK ((scope IN ('workspace', 'role')) = (key IS NULL) AND (scope = 'role') = (role IS NOT NULL)),
  CONSTRAINT length_of_a_rolling_period CHECK ((period = 'rolling') = (rolling IS NOT NULL))
);
CREATE UNIQUE INDEX budgets_one ON image_gen.budgets (scope, coalesce(key, ''), coalesce(role::oid, 0), period, coalesce(rolling, interval '0'));
COMMENT ON TABLE image_gen.budgets IS 'Limits in USD. All that apply to a job must have room for it. Written by set_budget() and grant_credits().';
COMMENT ON COLUMN image_gen.budgets.id IS 'For budget_changes and charges.';
COMMENT ON COLUMN image_gen.budgets.scope IS 'workspace: everything. role: jobs of this role and of its members, and those of sessions that were logged in as one of them. campaign, ticket, metadata:NAME: jobs with this metadata. batch: max_cost of a generate_batch(), by jobs.batch.';
COMMENT ON COLUMN image_gen.budgets.key IS 'Which campaign, ticket ...; NULL for the workspace and roles.';
COMMENT ON COLUMN image_gen.budgets.role IS 'Which role, by oid; NULL for all other scopes.';
COMMENT ON COLUMN image_gen.budgets.period IS 'total; day, week, month, quarter or year of the calendar; or rolling. A job counts in the period in which it was queued.';
COMMENT ON COLUMN image_gen.budgets.rolling IS 'The length of a rolling period.';
COMMENT ON COLUMN image_gen.budgets.time_zone IS 'Where a day of the calendar begins.';
COMMENT ON COLUMN image_gen.budgets.amount IS 'USD for a period.';
COMMENT ON COLUMN image_gen.budgets.counts_from IS 'Jobs queued before do not count.';
COMMENT ON COLUMN image_gen.budgets.note IS 'For people.';
COMMENT ON COLUMN image_gen.budgets.set_by IS 'Who set it.';
COMMENT ON COLUMN image_gen.budgets.set_at IS 'When it was set last.';

CREATE TABLE image_gen.budget_changes (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  budget_id   bigint NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('grant', 'override')),
  amount      image_gen.amount NOT NULL,
  valid_from  timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_until timestamptz NOT NULL CONSTRAINT ends_after_it_begins CHECK (valid_until > valid_from),
  note        text,
  made_by     name NOT NULL,
  made_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX budget_changes_budget ON image_gen.budget_changes (budget_id, valid_until);
COMMENT ON TABLE image_gen.budget_changes IS 'Additions to budgets (grant) and amounts that stand in for theirs for a while (override; the newest counts). Rows are only added.';
COMMENT ON COLUMN image_gen.budget_changes.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.budget_changes.budget_id IS 'budgets.id.';
COMMENT ON COLUMN image_gen.budget_changes.kind IS 'grant: added to the amount. override: in its place.';
COMMENT ON COLUMN image_gen.budget_changes.amount IS 'USD.';
COMMENT ON COLUMN image_gen.budget_changes.valid_from IS 'From when on it counts.';
COMMENT ON COLUMN image_gen.budget_changes.valid_until IS 'Until when.';
COMMENT ON COLUMN image_gen.budget_changes.note IS 'For people.';
COMMENT ON COLUMN image_gen.budget_changes.made_by IS 'Who made it.';
COMMENT ON COLUMN image_gen.budget_changes.made_at IS 'When.';

CREATE TABLE image_gen_internal.budget_totals (
  budget_id bigint PRIMARY KEY,
  since     timestamptz NOT NULL,
  spent     numeric NOT NULL DEFAULT 0,
  reserved      numeric NOT NULL DEFAULT 0,
  unsure    bigint[],
  newer     bigint
) WITH (fillfactor = 20);
CREATE INDEX budget_totals_fresh ON image_gen_internal.budget_totals (budget_id) WHERE newer IS NOT NULL;
COMMENT ON TABLE image_gen_internal.budget_totals IS 'The sums over the charges of a budget from a moment on, less what is in budget_entries. Its row is the lock of the budget.';
COMMENT ON COLUMN image_gen_internal.budget_totals.since IS 'From when on charges are in it. The worker moves it on with the period.';
COMMENT ON COLUMN image_gen_internal.budget_totals.unsure IS 'Of a new budget until the worker has seen it: jobs.seq of those that were under way when it was counted.';
COMMENT ON COLUMN image_gen_internal.budget_totals.newer IS 'And the last jobs.seq then: later jobs may have ended without knowing of it.';

CREATE TABLE image_gen_internal.budget_charges (
  job_id    text COLLATE "C" NOT NULL,
  budget_id bigint NOT NULL,
  owner     regrole NOT NULL,
  at        timestamptz NOT NULL,
  reserved  numeric NOT NULL,
  spent     numeric NOT NULL,
  pruned    boolean NOT NULL DEFAULT false,
  PRIMARY KEY (job_id, budget_id)
) WITH (fillfactor = 70);
CREATE INDEX budget_charges_window ON image_gen_internal.budget_charges (budget_id, at);
CREATE INDEX budget_charges_pruned ON image_gen_internal.budget_charges (budget_id, at) WHERE pruned;
COMMENT ON TABLE image_gen_internal.budget_charges IS 'What each job holds and has spent in each budget that it counts in. Written under the lock of the job.';
COMMENT ON COLUMN image_gen_internal.budget_charges.at IS 'When the job was queued: the period that it counts in.';
COMMENT ON COLUMN image_gen_internal.budget_charges.pruned IS 'Its job was pruned. For a total: all pruned jobs of an owner.';

CREATE TABLE image_gen_internal.budget_entries (
  budget_id bigint NOT NULL,
  at        timestamptz,
  reserved  numeric NOT NULL,
  spent     numeric NOT NULL
);
CREATE INDEX budget_entries_budget ON image_gen_internal.budget_entries (budget_id);
COMMENT ON TABLE image_gen_internal.budget_entries IS
'By how much charges were changed since budget_totals was written. Added without a lock; the worker puts them into the totals that no session has locked, and those of each other budget into one.';
COMMENT ON COLUMN image_gen_internal.budget_entries.at IS
'That of the charge: it counts unless the period has moved past it. NULL: it counts. (The worker writes these: it alone moves periods on.)';

SELECT pg_catalog.pg_extension_config_dump('image_gen.budgets', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budget_changes', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.budget_totals', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.budget_charges', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.budget_entries', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budgets_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.budget_changes_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
