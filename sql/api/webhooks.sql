-- Webhooks: what has become of jobs, sent to other systems as signed messages (https://www.standardwebhooks.com). Deliveries are rows,
-- queued in the transaction that ends a job, and sent by a process of their own: no render waits for a receiver.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE DOMAIN image_gen.delivery_state AS text CONSTRAINT delivery_state_check CHECK (VALUE IN ('pending', 'delivered', 'failed'));
COMMENT ON DOMAIN image_gen.delivery_state IS 'How a delivery to a webhook stands.';

CREATE TABLE image_gen.webhooks (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  url        text NOT NULL CONSTRAINT webhooks_url_check CHECK (url ~ '^https?://[^/@ ]+(/[^ ]*)?$' AND length(url) <= 2000),
  events     text[] NOT NULL DEFAULT '{job.succeeded,job.failed,job.needs_review,job.canceled}'
               CONSTRAINT webhooks_events_check CHECK (events <@ '{job.succeeded,job.failed,job.needs_review,job.canceled}' AND cardinality(events) > 0),
  key_name   text NOT NULL CONSTRAINT webhooks_key_name_check CHECK (key_name ~ '^[A-Z][A-Z0-9_]{0,62}$'),
  filter     image_gen.jsonb_object NOT NULL DEFAULT '{}',
  enabled    boolean NOT NULL DEFAULT true,
  created_by regrole NOT NULL DEFAULT image_gen_internal.caller(),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE image_gen.webhooks IS 'Receivers that are told how jobs end. Administrators insert, change and delete rows; jobs that end from then on are sent.';
COMMENT ON COLUMN image_gen.webhooks.id IS 'For redrive().';
COMMENT ON COLUMN image_gen.webhooks.url IS 'Where messages are posted to: public and https, unless image_gen.allowed_webhook_hosts names its host. Redirects are not followed.';
COMMENT ON COLUMN image_gen.webhooks.events IS 'Which of job.succeeded, job.failed, job.needs_review, job.canceled.';
COMMENT ON COLUMN image_gen.webhooks.key_name IS 'Name of the line in image_gen.secrets_file, or of the environment variable, that has the secret: whsec_ and base64 of 24 to 64 bytes. Never the secret.';
COMMENT ON COLUMN image_gen.webhooks.filter IS 'Only jobs whose facts contain this: {"operation", "model", "owner", "metadata"}; {} is all.';
COMMENT ON COLUMN image_gen.webhooks.enabled IS 'Off: nothing is queued for it, nor sent.';
COMMENT ON COLUMN image_gen.webhooks.created_by IS 'The role that made it.';
COMMENT ON COLUMN image_gen.webhooks.created_at IS 'When.';

CREATE TABLE image_gen.webhook_deliveries (
  id           text COLLATE "C" PRIMARY KEY DEFAULT 'msg_' || substr(image_gen_internal.new_job_id(), 5),
  webhook      bigint NOT NULL,
  job_id       text COLLATE "C" NOT NULL,
  event        text NOT NULL,
  status       image_gen.delivery_state NOT NULL DEFAULT 'pending',
  tries        integer NOT NULL DEFAULT 0,
  due_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  payload      jsonb,
  http_status  integer,
  last_error   text,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  delivered_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_due ON image_gen.webhook_deliveries (webhook, due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_job ON image_gen.webhook_deliveries (job_id);
COMMENT ON TABLE image_gen.webhook_deliveries IS
'Messages to webhooks: one for each webhook and end of a job, however often it is sent. A receiver may get one more than once, with the same id. Kept for 30 days.';
COMMENT ON COLUMN image_gen.webhook_deliveries.id IS 'The header webhook-id: the same at every try.';
COMMENT ON COLUMN image_gen.webhook_deliveries.webhook IS 'webhooks.id. No foreign key: the transaction that stores an image waits for no lock on a webhook.';
COMMENT ON COLUMN image_gen.webhook_deliveries.job_id IS 'jobs.id.';
COMMENT ON COLUMN image_gen.webhook_deliveries.event IS 'The type of the message.';
COMMENT ON COLUMN image_gen.webhook_deliveries.status IS 'pending, delivered (2xx) or failed (given up after a day, or 410: see redrive()).';
COMMENT ON COLUMN image_gen.webhook_deliveries.tries IS 'How often it was sent.';
COMMENT ON COLUMN image_gen.webhook_deliveries.due_at IS 'Not sent before: 30 s after the first try, doubled up to 30 min.';
COMMENT ON COLUMN image_gen.webhook_deliveries.payload IS 'The body, as it was made for the first try.';
COMMENT ON COLUMN image_gen.webhook_deliveries.http_status IS 'Of the last answer.';
COMMENT ON COLUMN image_gen.webhook_deliveries.last_error IS 'Of the last try.';
COMMENT ON COLUMN image_gen.webhook_deliveries.created_at IS 'When the job ended.';
COMMENT ON COLUMN image_gen.webhook_deliveries.delivered_at IS 'When the receiver said that it has it.';
SELECT pg_catalog.pg_extension_config_dump('image_gen.webhooks', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.webhooks_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('image_gen.webhook_deliveries', '');

CREATE FUNCTION image_gen_internal.on_webhook_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.check_webhook_url(NEW.url);
  RETURN NEW;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_webhook_change() IS 'An error for an address that messages may not be sent to, where that can be seen in the URL.';
CREATE TRIGGER check_url BEFORE INSERT OR UPDATE OF url ON image_gen.webhooks FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_webhook_change();

CREATE FUNCTION image_gen_internal.queue_deliveries(ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO image_gen.webhook_deliveries (webhook, job_id, event)
  SELECT w.id, j.id, 'job.' || j.status
    FROM image_gen.jobs j
    JOIN image_gen.webhooks w
      ON w.enabled AND 'job.' || j.status = ANY (w.events)
     AND jsonb_build_object('operation', j.operation, 'model', j.model, 'owner', image_gen_internal.role_name(j.owner), 'metadata', j.metadata) @> w.filter
   WHERE j.id = ANY (ids) AND j.finished_at IS NOT NULL;
  IF FOUND THEN
    PERFORM image_gen_internal.tell_worker('webhooks');
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.queue_deliveries(text[]) IS 'Queues the messages about jobs that have just ended, in the transaction that ends them.';

CREATE FUNCTION image_gen_internal.next_delivery_in() RETURNS double precision
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT min(greatest(extract(epoch FROM n.due_at - clock_timestamp()), 0))
            FROM image_gen.webhooks w
           CROSS JOIN LATERAL (SELECT d.due_at FROM image_gen.webhook_deliveries d WHERE d.webhook = w.id AND d.status = 'pending' ORDER BY d.due_at LIMIT 1) n
           WHERE w.enabled);
END $$;
COMMENT ON FUNCTION image_gen_internal.next_delivery_in() IS 'In how many seconds the next message to a webhook is due; NULL when there is none.';

CREATE FUNCTION image_gen_internal.take_deliveries(busy bigint[], counts integer[], most integer, each integer)
RETURNS TABLE (id text, webhook bigint, url text, key_name text, payload text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- So many of each webhook at a time: one that does not answer keeps no other waiting.
  RETURN QUERY
  WITH due AS (
    SELECT n.id FROM image_gen.webhooks w
      LEFT JOIN unnest(busy, counts) AS b(webhook, count) ON b.webhook = w.id
     CROSS JOIN LATERAL (SELECT d.id, row_number() OVER (ORDER BY d.due_at) AS number
                           FROM (SELECT p.id, p.due_at FROM image_gen.webhook_deliveries p
                                  WHERE p.webhook = w.id AND p.status = 'pending' AND p.due_at <= clock_timestamp()
                                  ORDER BY p.due_at LIMIT greatest(each - coalesce(b.count, 0), 0)) d) n
     WHERE w.enabled ORDER BY n.number, w.id LIMIT most
  ), taken AS (
    -- Before it is sent: a try that ends its process has been one, too.
    UPDATE image_gen.webhook_deliveries d
       SET tries = d.tries + 1, due_at = clock_timestamp() + make_interval(secs => least(30 * 2 ^ least(d.tries, 10), 1800)),
           payload = coalesce(d.payload, (
             SELECT jsonb_build_object('type', d.event, 'timestamp', to_char(j.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                      'data', jsonb_build_object('id', j.id, 'status', substr(d.event, 5), 'operation', j.operation, 'model', j.model, 'owner', image_gen_internal.role_name(j.owner),
                        'campaign', left(j.metadata ->> 'campaign', 255), 'shot', left(j.metadata ->> 'shot', 255), 'ticket', left(j.metadata ->> 'ticket', 255),
                        'error_code', j.error_code, 'error_message', left(j.error_message, 500), 'billed_cost', j.billed_cost::text, 'currency', j.currency, 'traceparent', j.traceparent,
                        'assets', coalesce((SELECT jsonb_agg(jsonb_build_object('id', a.id, 'url', coalesce(a.mirror_url, a.url)) ORDER BY a.position)
                                              FROM image_gen.campaign_assets a WHERE a.job_id = j.id AND length(a.url) <= 4000), '[]')))
               FROM image_gen.jobs j WHERE j.id = d.job_id),
             jsonb_build_object('type', d.event, 'timestamp', to_char(d.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', jsonb_build_object('id', d.job_id)))
     WHERE d.id IN (SELECT u.id FROM due u) AND d.status = 'pending'
    RETURNING d.id, d.webhook, d.payload)
  SELECT t.id, t.webhook, w.url, w.key_name, t.payload::text FROM taken t JOIN image_gen.webhooks w ON w.id = t.webhook;
END $$;
COMMENT ON FUNCTION image_gen_internal.take_deliveries(bigint[], integer[], integer, integer) IS
'Takes messages that are due, at most so many, and of each webhook no more than each, with those that are on their way (busy, counts). Their next try is written down before this one.';

CREATE FUNCTION image_gen_internal.record_deliveries(ids text[], statuses integer[], errors text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE image_gen.webhook_deliveries d
     SET http_status = i.status, last_error = left(i.error, 500), delivered_at = CASE WHEN i.error IS NULL THEN clock_timestamp() END,
         status = CASE WHEN i.error IS NULL THEN 'delivered' WHEN i.status = 410 OR d.created_at < clock_timestamp() - interval '1 day' THEN 'failed' ELSE 'pending' END
    FROM unnest(ids, statuses, errors) AS i(id, status, error)
   WHERE d.id = i.id AND d.status = 'pending';
END $$;
COMMENT ON FUNCTION image_gen_internal.record_deliveries(text[], integer[], text[]) IS 'Writes down what receivers have answered: without an error it is delivered.';

CREATE FUNCTION image_gen_internal.prune_deliveries() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM image_gen.webhook_deliveries d WHERE d.status <> 'pending' AND d.created_at < clock_timestamp() - interval '30 days';
END $$;
COMMENT ON FUNCTION image_gen_internal.prune_deliveries() IS 'Removes deliveries that ended long ago.';

CREATE FUNCTION image_gen.redrive(delivery text DEFAULT NULL, webhook bigint DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  again integer;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  -- The day begins again; what the receiver may have already keeps its id.
  UPDATE image_gen.webhook_deliveries d SET status = 'pending', due_at = clock_timestamp(), created_at = clock_timestamp(), delivered_at = NULL
   WHERE CASE WHEN redrive.delivery IS NOT NULL THEN d.id = redrive.delivery ELSE d.status <> 'delivered' AND (redrive.webhook IS NULL OR d.webhook = redrive.webhook) END;
  GET DIAGNOSTICS again = ROW_COUNT;
  PERFORM image_gen_internal.tell_worker('webhooks');
  RETURN again;
END $$;
COMMENT ON FUNCTION image_gen.redrive(text, bigint) IS
'Sends messages again at once: one delivery, also one that was delivered; or all of a webhook, or (both NULL) of all webhooks, that are not delivered. Returns how many. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
