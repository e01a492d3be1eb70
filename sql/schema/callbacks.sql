-- Code of the administrator's own: functions that are called for finished jobs (on_finish), and the function that softens refused
-- prompts. An image is delivered and committed first; then its callbacks run, from a queue of their own, in a process of their
-- own, each in a transaction of its own, with the rights of the function's owner and a time limit. No such code ever runs as a
-- superuser or as the worker's role.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.finish_hooks (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  function    text NOT NULL,
  owner       regrole NOT NULL,
  filter      image_gen.jsonb_object NOT NULL DEFAULT '{}',
  created_by  name NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_run_at timestamptz,
  runs        bigint NOT NULL DEFAULT 0,
  failures    bigint NOT NULL DEFAULT 0,
  last_error  text,
  attachment  bigint,
  UNIQUE (function, filter)
) WITH (fillfactor = 50);
COMMENT ON TABLE image_gen.finish_hooks IS 'Functions that are called for finished jobs: see on_finish().';
COMMENT ON COLUMN image_gen.finish_hooks.id IS 'For drop_on_finish() and retry_callbacks().';
COMMENT ON COLUMN image_gen.finish_hooks.function IS 'schema.name(jsonb). Kept as text: it survives a dump and an upgrade.';
COMMENT ON COLUMN image_gen.finish_hooks.owner IS 'The function''s owner when it was registered, as which it runs. Another owner''s function of the same name is not called.';
COMMENT ON COLUMN image_gen.finish_hooks.filter IS 'Only jobs whose facts contain this: {"status", "operation", "model", "owner", "metadata"}; {} is all.';
COMMENT ON COLUMN image_gen.finish_hooks.created_by IS 'The role that registered it.';
COMMENT ON COLUMN image_gen.finish_hooks.created_at IS 'When.';
COMMENT ON COLUMN image_gen.finish_hooks.last_run_at IS 'When it was last called.';
COMMENT ON COLUMN image_gen.finish_hooks.runs IS 'How often it was called.';
COMMENT ON COLUMN image_gen.finish_hooks.failures IS 'How often it failed.';
COMMENT ON COLUMN image_gen.finish_hooks.last_error IS 'Of its last failure.';
COMMENT ON COLUMN image_gen.finish_hooks.attachment IS 'attachments.id, where it writes images back into an attached table; NULL for a function of on_finish().';

CREATE TABLE image_gen_internal.callback_queue (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hook       bigint NOT NULL,
  job_id     text COLLATE "C" NOT NULL,
  key        jsonb,
  status     text NOT NULL,
  tries      integer NOT NULL DEFAULT 0,
  due_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  failed     boolean NOT NULL DEFAULT false,
  awaits_approval boolean NOT NULL DEFAULT false,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
CREATE INDEX callback_queue_due ON image_gen_internal.callback_queue (hook, due_at) WHERE NOT failed AND NOT awaits_approval;
CREATE INDEX callback_queue_job ON image_gen_internal.callback_queue (job_id);
COMMENT ON TABLE image_gen_internal.callback_queue IS 'Calls of registered functions that are due, or have failed for good. Read it through the view callbacks. A call that succeeded leaves no row.';
COMMENT ON COLUMN image_gen_internal.callback_queue.id IS 'Grows with time.';
COMMENT ON COLUMN image_gen_internal.callback_queue.hook IS 'finish_hooks.id. No foreign key: the transaction that stores an image waits for no lock on a registration.';
COMMENT ON COLUMN image_gen_internal.callback_queue.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen_internal.callback_queue.key IS 'The row of an attached table that the image is written to; NULL for a function of on_finish().';
COMMENT ON COLUMN image_gen_internal.callback_queue.status IS 'How the job ended, this time.';
COMMENT ON COLUMN image_gen_internal.callback_queue.tries IS 'How often it was begun.';
COMMENT ON COLUMN image_gen_internal.callback_queue.due_at IS 'Not called before.';
COMMENT ON COLUMN image_gen_internal.callback_queue.failed IS 'Given up after eight tries: see retry_callbacks().';
COMMENT ON COLUMN image_gen_internal.callback_queue.awaits_approval IS 'A reviewer looks at the image first: see resolve_review().';
COMMENT ON COLUMN image_gen_internal.callback_queue.last_error IS 'Of the last try.';
COMMENT ON COLUMN image_gen_internal.callback_queue.created_at IS 'When the job ended.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.finish_hooks', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.finish_hooks_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.callback_queue', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen_internal.callback_queue_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
