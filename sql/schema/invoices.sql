-- What providers billed, and what people said about costs.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE image_gen.cost_corrections (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id        text COLLATE "C" NOT NULL,
  number        integer NOT NULL,
  amount_before numeric,
  amount        numeric,
  currency      text NOT NULL,
  way           text NOT NULL CHECK (way IN ('settle_cost', 'review', 'invoice', 'update')),
  note          text,
  made_by       name NOT NULL,
  made_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cost_corrections_call ON image_gen.cost_corrections (job_id, number, id);
COMMENT ON TABLE image_gen.cost_corrections IS
'What people and invoices have said about the costs of calls, one row for each word, also of jobs that were pruned since. Rows are only added: a wrong one is corrected by a further one.';
COMMENT ON COLUMN image_gen.cost_corrections.id IS 'Grows with time: of a call, the last one counts.';
COMMENT ON COLUMN image_gen.cost_corrections.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.cost_corrections.number IS 'attempts.number.';
COMMENT ON COLUMN image_gen.cost_corrections.amount_before IS 'What was booked before; NULL was unknown.';
COMMENT ON COLUMN image_gen.cost_corrections.amount IS 'What is booked since; NULL is unknown again.';
COMMENT ON COLUMN image_gen.cost_corrections.currency IS 'ISO 4217, of both amounts.';
COMMENT ON COLUMN image_gen.cost_corrections.way IS 'settle_cost; review: resolve_review(); invoice: import_invoice(); update: an UPDATE of the table, which check_budgets() reports.';
COMMENT ON COLUMN image_gen.cost_corrections.note IS 'Why, in the words of whom made_by names.';
COMMENT ON COLUMN image_gen.cost_corrections.made_by IS 'The role that made it.';
COMMENT ON COLUMN image_gen.cost_corrections.made_at IS 'When.';

CREATE TABLE image_gen.invoices (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider    text COLLATE "C" NOT NULL,
  period_from timestamptz NOT NULL,
  period_to   timestamptz NOT NULL CONSTRAINT ends_after_it_begins CHECK (period_to > period_from),
  amount      image_gen.amount NOT NULL,
  currency    image_gen.currency NOT NULL DEFAULT 'USD',
  note        text,
  imported_by name NOT NULL,
  imported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.invoices IS 'What providers say they charged. Written by import_invoice(), compared by invoice_diff.';
COMMENT ON COLUMN image_gen.invoices.id IS 'For invoice_lines.';
COMMENT ON COLUMN image_gen.invoices.provider IS 'providers.id.';
COMMENT ON COLUMN image_gen.invoices.period_from IS 'The first moment it is about.';
COMMENT ON COLUMN image_gen.invoices.period_to IS 'The first moment that it is not about any more.';
COMMENT ON COLUMN image_gen.invoices.amount IS 'The total.';
COMMENT ON COLUMN image_gen.invoices.currency IS 'ISO 4217.';
COMMENT ON COLUMN image_gen.invoices.note IS 'For people, such as the invoice''s number.';
COMMENT ON COLUMN image_gen.invoices.imported_by IS 'Who imported it.';
COMMENT ON COLUMN image_gen.invoices.imported_at IS 'When.';

CREATE TABLE image_gen.invoice_lines (
  invoice_id bigint NOT NULL REFERENCES image_gen.invoices ON DELETE CASCADE,
  line       integer NOT NULL,
  remote_id  text COLLATE "C" NOT NULL,
  amount     image_gen.amount NOT NULL,
  PRIMARY KEY (invoice_id, line)
);
CREATE INDEX invoice_lines_request ON image_gen.invoice_lines (remote_id);
COMMENT ON TABLE image_gen.invoice_lines IS 'The lines of an invoice that name a request.';
COMMENT ON COLUMN image_gen.invoice_lines.invoice_id IS 'invoices.id.';
COMMENT ON COLUMN image_gen.invoice_lines.line IS 'From 1.';
COMMENT ON COLUMN image_gen.invoice_lines.remote_id IS 'The provider''s id of the request: attempts.remote_id.';
COMMENT ON COLUMN image_gen.invoice_lines.amount IS 'In the invoice''s currency.';

SELECT pg_catalog.pg_extension_config_dump('image_gen.cost_corrections', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.cost_corrections_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoices', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoice_lines', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.invoices_id_seq', '');

SET LOCAL search_path = image_gen, pg_temp;
