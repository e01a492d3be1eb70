-- Calls to providers.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.attempts (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id         text COLLATE "C" NOT NULL REFERENCES image_gen.jobs ON DELETE CASCADE,
  number         image_gen.positive NOT NULL,
  provider       text COLLATE "C" NOT NULL,
  model          text COLLATE "C" NOT NULL,
  key_name       text COLLATE "C",
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
  estimated_rest numeric,
  usage           jsonb,
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
COMMENT ON TABLE image_gen.attempts IS 'Calls to providers: one row a call, never deleted alone (see prune). The row is committed before the request is sent. Calls that a provider in an outage turned away are one row, see sends.';
COMMENT ON COLUMN image_gen.attempts.status IS 'uncertain: sent, and unknown whether it was accepted. It is never sent again by itself.';
COMMENT ON COLUMN image_gen.attempts.remote_id IS 'The provider''s id of the task, committed before the first poll.';
COMMENT ON COLUMN image_gen.attempts.seed_honored IS 'Whether the request carried the seed.';
COMMENT ON COLUMN image_gen.attempts.billed_cost IS 'What the provider said, else computed from a price, else NULL: unknown.';
COMMENT ON COLUMN image_gen.attempts.claimed_cost IS 'A figure that was not believed, because it is far beyond the estimate (image_gen.cost_sanity_factor): the cost is unknown until settle_cost() says it. In currency.';
COMMENT ON COLUMN image_gen.attempts.sent_at IS 'When the intent to send was written; the last one of several.';
COMMENT ON COLUMN image_gen.attempts.sends IS 'How often the request was sent: more than once where the provider turned it away, at no cost, in one outage; 0 where it is known never to have left.';
COMMENT ON COLUMN image_gen.attempts.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen.attempts.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.attempts.number IS 'Within its job, from 1.';
COMMENT ON COLUMN image_gen.attempts.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.attempts.model IS 'models.name.';
COMMENT ON COLUMN image_gen.attempts.key_name IS 'The name of the key that it was sent with, one of those of its provider (provider_keys); NULL where it wants none. Its task is asked for, and called off, with the same one. Never the key.';
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
COMMENT ON COLUMN image_gen.attempts.estimated_rest IS 'USD, expected for the calls after it, where the images that are wanted take several; NULL is unknown.';
COMMENT ON COLUMN image_gen.attempts.usage IS 'What a price was, or would have been, applied to: {"images", "pixels", "inputs", "seconds", "quality", "tokens"}; NULL where no price decides.';
COMMENT ON COLUMN image_gen.attempts.tokens IS '{"text_in", "image_in", "image_out"}, where the provider counts them.';
COMMENT ON COLUMN image_gen.attempts.render_seconds IS 'As the provider reports it, else from send to image.';
COMMENT ON COLUMN image_gen.attempts.warnings IS '[{"code", "message"}].';
COMMENT ON COLUMN image_gen.attempts.owner IS 'jobs.owner.';
COMMENT ON COLUMN image_gen.attempts.epoch IS 'The life of the worker that sent it.';
COMMENT ON COLUMN image_gen.attempts.created_at IS 'When the row was written.';
COMMENT ON COLUMN image_gen.attempts.finished_at IS 'NULL while it is running.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.attempts', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.attempts_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
