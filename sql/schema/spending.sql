-- What was spent: the attempts of pruned jobs, and the totals that reports read.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen_internal.spending_archive (
  story       text COLLATE "C" NOT NULL,
  number      integer NOT NULL,
  jobs        bigint NOT NULL CHECK (jobs > 0),
  calls       bigint NOT NULL,
  retries     bigint NOT NULL,
  first_call  timestamptz NOT NULL,
  last_call   timestamptz NOT NULL,
  owner       regrole NOT NULL,
  campaign    text,
  ticket      text,
  operation   text NOT NULL,
  provider    text COLLATE "C" NOT NULL,
  model       text COLLATE "C" NOT NULL,
  status      text NOT NULL,
  error_code  text,
  images      bigint NOT NULL,
  billed_cost image_gen.cost NOT NULL,
  currency    text NOT NULL,
  cost_source text NOT NULL,
  usage        jsonb,
  PRIMARY KEY (story, number)
);
COMMENT ON TABLE image_gen_internal.spending_archive IS
'What the calls of pruned jobs cost: a row for each call of jobs that went the same way (same owner, campaign, ticket, operation; each of their calls at the same place, in the same
quarter of an hour, with the same end). Rows are only added. The cost reports read it; shot, batch and other metadata are not kept.';
COMMENT ON COLUMN image_gen_internal.spending_archive.story IS 'The id of the first of these jobs.';
COMMENT ON COLUMN image_gen_internal.spending_archive.number IS 'Which call of each of these jobs, from 1.';
COMMENT ON COLUMN image_gen_internal.spending_archive.jobs IS 'How many jobs these were: so many attempts are in this row, one of each.';
COMMENT ON COLUMN image_gen_internal.spending_archive.calls IS 'How many calls those stand for.';
COMMENT ON COLUMN image_gen_internal.spending_archive.retries IS 'How many of them were made again.';
COMMENT ON COLUMN image_gen_internal.spending_archive.first_call IS 'When the first of these calls began.';
COMMENT ON COLUMN image_gen_internal.spending_archive.last_call IS 'When the last one began: in the same quarter of an hour, so both are on the same day in every time zone.';
COMMENT ON COLUMN image_gen_internal.spending_archive.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen_internal.spending_archive.campaign IS 'metadata ->> campaign.';
COMMENT ON COLUMN image_gen_internal.spending_archive.ticket IS 'metadata ->> ticket.';
COMMENT ON COLUMN image_gen_internal.spending_archive.operation IS 'jobs.operation.';
COMMENT ON COLUMN image_gen_internal.spending_archive.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen_internal.spending_archive.model IS 'models.name.';
COMMENT ON COLUMN image_gen_internal.spending_archive.status IS 'attempts.status.';
COMMENT ON COLUMN image_gen_internal.spending_archive.error_code IS 'For programs; see README.';
COMMENT ON COLUMN image_gen_internal.spending_archive.images IS 'How many images all these calls made.';
COMMENT ON COLUMN image_gen_internal.spending_archive.billed_cost IS 'Of all these calls together. Never unknown: jobs with a call of unknown cost are not pruned.';
COMMENT ON COLUMN image_gen_internal.spending_archive.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen_internal.spending_archive.cost_source IS 'reported or priced.';
COMMENT ON COLUMN image_gen_internal.spending_archive.usage IS 'attempts.usage of each of these calls: the same one.';

CREATE TABLE image_gen_internal.spending_totals (
  key           bytea NOT NULL,
  entry         bigint NOT NULL,
  owner         regrole NOT NULL,
  campaign      text,
  ticket        text,
  currency      text NOT NULL,
  jobs          bigint NOT NULL,
  images        bigint NOT NULL,
  calls         bigint NOT NULL,
  billed        numeric NOT NULL,
  unknown_costs bigint NOT NULL,
  refusals      bigint NOT NULL,
  retries       bigint NOT NULL,
  wasted        numeric NOT NULL,
  first_call    timestamptz,
  last_call     timestamptz,
  PRIMARY KEY (key, entry)
) WITH (fillfactor = 50);
CREATE INDEX spending_totals_owner ON image_gen_internal.spending_totals (owner);
COMMENT ON TABLE image_gen_internal.spending_totals IS
'What the calls of jobs that are over cost together, by owner, campaign, ticket and currency. Read it through cost_by_campaign and cost_by_ticket, which add what is not in it yet.';
COMMENT ON COLUMN image_gen_internal.spending_totals.key IS 'SHA-256 of owner, campaign, ticket and currency.';
COMMENT ON COLUMN image_gen_internal.spending_totals.entry IS '0, or the number of a row that takes something out of that one.';
COMMENT ON COLUMN image_gen_internal.spending_totals.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen_internal.spending_totals.campaign IS 'metadata ->> campaign.';
COMMENT ON COLUMN image_gen_internal.spending_totals.ticket IS 'metadata ->> ticket.';
COMMENT ON COLUMN image_gen_internal.spending_totals.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen_internal.spending_totals.jobs IS 'Jobs with a call in this currency.';
COMMENT ON COLUMN image_gen_internal.spending_totals.images IS 'Images that they made.';
COMMENT ON COLUMN image_gen_internal.spending_totals.calls IS 'Their calls.';
COMMENT ON COLUMN image_gen_internal.spending_totals.billed IS 'What those cost, as far as it is known.';
COMMENT ON COLUMN image_gen_internal.spending_totals.unknown_costs IS 'Of how many it is not.';
COMMENT ON COLUMN image_gen_internal.spending_totals.refusals IS 'How many were refused.';
COMMENT ON COLUMN image_gen_internal.spending_totals.retries IS 'How many were made again.';
COMMENT ON COLUMN image_gen_internal.spending_totals.wasted IS 'What was billed for calls that made no image, as far as it is known.';
COMMENT ON COLUMN image_gen_internal.spending_totals.first_call IS 'When the first of these calls began.';
COMMENT ON COLUMN image_gen_internal.spending_totals.last_call IS 'When the last one began.';

CREATE TABLE image_gen_internal.spending_days (
  story       bytea NOT NULL,
  number      integer NOT NULL,
  entry       bigint NOT NULL,
  day         date NOT NULL,
  jobs        bigint NOT NULL,
  calls       bigint NOT NULL,
  retries     bigint NOT NULL,
  owner       regrole NOT NULL,
  campaign    text,
  ticket      text,
  operation   text NOT NULL,
  provider    text COLLATE "C" NOT NULL,
  model       text COLLATE "C" NOT NULL,
  status      text NOT NULL,
  error_code  text,
  images      bigint NOT NULL,
  billed_cost numeric,
  currency    text NOT NULL,
  cost_source text NOT NULL,
  PRIMARY KEY (story, number, entry)
) WITH (fillfactor = 70);
CREATE INDEX spending_days_day ON image_gen_internal.spending_days (day);
COMMENT ON TABLE image_gen_internal.spending_days IS
'The calls of jobs that are over: a row for each call of jobs that went the same way (same owner, campaign, ticket, operation; each of their calls at the same place, on the same day, with
the same end). cost_report() reads it instead of each call, and adds what is not in it yet.';
COMMENT ON COLUMN image_gen_internal.spending_days.story IS 'SHA-256 of the way these jobs went.';
COMMENT ON COLUMN image_gen_internal.spending_days.number IS 'Which call of each of these jobs, from 1.';
COMMENT ON COLUMN image_gen_internal.spending_days.entry IS '0, or the number of a row that takes something out of that one.';
COMMENT ON COLUMN image_gen_internal.spending_days.day IS 'When these calls began, in UTC.';
COMMENT ON COLUMN image_gen_internal.spending_days.jobs IS 'How many jobs these were: so many attempts are in this row, one of each.';
COMMENT ON COLUMN image_gen_internal.spending_days.calls IS 'How many calls those stand for.';
COMMENT ON COLUMN image_gen_internal.spending_days.retries IS 'How many of them were made again.';
COMMENT ON COLUMN image_gen_internal.spending_days.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen_internal.spending_days.campaign IS 'metadata ->> campaign.';
COMMENT ON COLUMN image_gen_internal.spending_days.ticket IS 'metadata ->> ticket.';
COMMENT ON COLUMN image_gen_internal.spending_days.operation IS 'jobs.operation.';
COMMENT ON COLUMN image_gen_internal.spending_days.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen_internal.spending_days.model IS 'models.name.';
COMMENT ON COLUMN image_gen_internal.spending_days.status IS 'attempts.status.';
COMMENT ON COLUMN image_gen_internal.spending_days.error_code IS 'For programs; see README.';
COMMENT ON COLUMN image_gen_internal.spending_days.images IS 'How many images all these calls made.';
COMMENT ON COLUMN image_gen_internal.spending_days.billed_cost IS 'Of all these calls together; NULL when it is unknown of each.';
COMMENT ON COLUMN image_gen_internal.spending_days.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen_internal.spending_days.cost_source IS 'reported, priced or unknown.';

CREATE TABLE image_gen_internal.spending_mark (
  one       boolean PRIMARY KEY DEFAULT true CHECK (one),
  folded_to bigint NOT NULL DEFAULT 0,
  seen_to   bigint NOT NULL DEFAULT 0,
  seen_by   text[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20);
INSERT INTO image_gen_internal.spending_mark DEFAULT VALUES;
COMMENT ON TABLE image_gen_internal.spending_mark IS 'One row: which jobs are in spending_totals and spending_days. A session that changes a job that is over holds it, so that none is folded in meanwhile.';
COMMENT ON COLUMN image_gen_internal.spending_mark.folded_to IS 'Every job up to this jobs.seq, except those in spending_left_out.';
COMMENT ON COLUMN image_gen_internal.spending_mark.seen_to IS 'Up to this jobs.seq each is committed, or gone, as soon as the transactions of seen_by have ended.';
COMMENT ON COLUMN image_gen_internal.spending_mark.seen_by IS 'The transactions that had taken a number then: pg_locks.virtualtransaction.';

CREATE TABLE image_gen_internal.spending_left_out (
  seq bigint PRIMARY KEY
) WITH (fillfactor = 70);
COMMENT ON TABLE image_gen_internal.spending_left_out IS 'Jobs up to spending_mark.folded_to that are not in spending_totals and spending_days.';
COMMENT ON COLUMN image_gen_internal.spending_left_out.seq IS 'jobs.seq.';

CREATE SEQUENCE image_gen_internal.spending_entries;

ALTER TABLE image_gen_internal.spending_archive ADD COLUMN folded boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN image_gen_internal.spending_archive.folded IS 'Whether these calls are in spending_totals and spending_days. (Not in a restored database: those are computed anew.)';
-- A dump brings the calls and not the totals.
CREATE FUNCTION image_gen_internal.mark_unfolded() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.folded := false;
  RETURN NEW;
END $$;
COMMENT ON FUNCTION image_gen_internal.mark_unfolded() IS 'Lets the worker fold in what a restored dump says of another database''s totals.';
CREATE TRIGGER spending_restored BEFORE INSERT ON image_gen_internal.spending_archive FOR EACH ROW WHEN (NEW.folded) EXECUTE FUNCTION image_gen_internal.mark_unfolded();
CREATE INDEX spending_archive_unfolded ON image_gen_internal.spending_archive (story) WHERE NOT folded;

SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.spending_archive', '');

SET LOCAL search_path = image_gen, pg_temp;
