-- Jobs that wait or are in flight. Only the functions in queue/ change the state of a job:
--
--   src/submit.rs         new -> queued, in the caller's transaction
--   release_dependents    a job that waited for another -> ready | failed
--   claim                 a plain read: what the worker has in hand and has not begun is still queued
--   begin                 queued | running -> running, and an attempt
--   checkpoint, end_attempts, requeue, finish
--                         queued | running -> queued | succeeded | failed | needs_review | canceled
--   cancel_job            queued -> canceled; running -> a request that the worker acts on
--   rescue_jobs           running, and no worker follows it -> queued (to resume or to begin) | needs_review | canceled
--   adopt_foreign_jobs    queued or running elsewhere -> as rescue_jobs
--   requeue_reviewed      needs_review -> queued
--   close_review          needs_review -> succeeded | failed | canceled
--
-- Each change is guarded: a row is touched only in the state, and for the epoch, that the caller expects.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen_internal.queue (
  -- Looser than the index of what is ready, so that the planner never takes it for that one.
  seq              bigint PRIMARY KEY WITH (fillfactor = 50),
  job_id           text COLLATE "C" NOT NULL,
  owner            regrole NOT NULL,
  state            image_gen.queue_state NOT NULL DEFAULT 'ready',
  epoch            bigint,
  ready_at         timestamptz NOT NULL DEFAULT now(),
  attempts         integer NOT NULL DEFAULT 0,
  progress         jsonb NOT NULL DEFAULT '{}',
  instance         uuid NOT NULL,
  deaths           smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
CREATE TRIGGER epoch_while_running AFTER UPDATE OF state, epoch ON image_gen_internal.queue FOR EACH ROW
  WHEN ((NEW.state = 'running') <> (NEW.epoch IS NOT NULL)) EXECUTE FUNCTION image_gen_internal.raise_rule_violation();
ALTER TABLE image_gen_internal.queue ENABLE ALWAYS TRIGGER epoch_while_running;
-- Ready rows only: what is in flight costs nothing to skip. No index on what changes while a job is in flight.
CREATE INDEX queue_ready ON image_gen_internal.queue (seq) WHERE state = 'ready';
-- For turns, when more is ready than fits. (seq > 0 is always so; who does not say it cannot be led astray by this index.)
CREATE INDEX queue_tenants ON image_gen_internal.queue (owner, seq) WHERE state = 'ready' AND seq > 0;
-- Nearly always empty.
CREATE INDEX queue_deaths ON image_gen_internal.queue (seq) WHERE deaths > 0;
COMMENT ON TABLE image_gen_internal.queue IS 'Jobs that wait or are in flight: small and hot. A finished job has no row here.';
COMMENT ON COLUMN image_gen_internal.queue.owner IS 'jobs.owner: each has its turn.';
COMMENT ON COLUMN image_gen_internal.queue.state IS 'waiting: for an image of another job. ready: for its turn. alone: for a turn with nothing else in flight. running: in flight, from its first call on.';
COMMENT ON COLUMN image_gen_internal.queue.epoch IS 'The life of the worker that has it in flight.';
COMMENT ON COLUMN image_gen_internal.queue.progress IS 'How far it has come along its route and up its ladder, in the words of the engine.';
COMMENT ON COLUMN image_gen_internal.queue.deaths IS 'How many lives of the worker ended by a crash with this job in hand: after two it runs alone, after three a person decides.';
COMMENT ON COLUMN image_gen_internal.queue.instance IS 'instance.id of where it was queued: what a dump or a publisher brought is not run here.';

-- A table of its own: a session that cancels a job and leaves its transaction open holds no row that the worker writes.
CREATE TABLE image_gen_internal.cancel_requests (
  seq          bigint PRIMARY KEY,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen_internal.cancel_requests IS 'Jobs in flight that a user wants stopped.';
COMMENT ON COLUMN image_gen_internal.cancel_requests.seq IS 'queue.seq.';
COMMENT ON COLUMN image_gen_internal.cancel_requests.requested_at IS 'Since when.';

CREATE TABLE image_gen_internal.job_dependencies (
  needs   text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL,
  checked boolean NOT NULL DEFAULT false,
  PRIMARY KEY (needs, seq)
) WITH (fillfactor = 70);
CREATE INDEX job_dependencies_seq ON image_gen_internal.job_dependencies (seq);
CREATE INDEX job_dependencies_unchecked ON image_gen_internal.job_dependencies (seq) WHERE NOT checked;
COMMENT ON COLUMN image_gen_internal.job_dependencies.needs IS 'jobs.id.';
COMMENT ON COLUMN image_gen_internal.job_dependencies.seq IS 'queue.seq.';
COMMENT ON TABLE image_gen_internal.job_dependencies IS 'Which job in the queue (seq) waits for the image of which other job (needs).';
COMMENT ON COLUMN image_gen_internal.job_dependencies.checked IS 'Whether the worker has looked if the other job had ended before this row could be seen.';

CREATE TABLE image_gen_internal.job_inputs (
  sha256 text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (sha256, job_id)
);
COMMENT ON TABLE image_gen_internal.job_inputs IS 'Which job came with which image of its own (a data: URI, kept in blobs). A row goes when its job is canceled or pruned, and the bytes with the last row. Rows of no job (dropped, deleted by ...) are images that are to be looked at for that.';
COMMENT ON COLUMN image_gen_internal.job_inputs.sha256 IS 'blobs.sha256.';
COMMENT ON COLUMN image_gen_internal.job_inputs.job_id IS 'jobs.id. No foreign key: the row outlives a job that is pruned, until the bytes are seen to.';

SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.queue', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.cancel_requests', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.job_dependencies', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.job_inputs', '');

SET LOCAL search_path = image_gen, pg_temp;
