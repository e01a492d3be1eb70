-- Why a job is not finished: computed when it is read, from what is there anyway.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TYPE image_gen.wait_reason AS (code text, message text, provider text, job_id text, until timestamptz);
COMMENT ON TYPE image_gen.wait_reason IS
'What a job waits for. code, for programs:
  commit    the end of the transaction that queued it
  turn      its place in the queue, or the worker, which makes its request ready
  job       the image of another job: job_id
  places    as many are at the provider as may be
  rate      the provider was sent as many requests as it takes in a minute
  circuit   the provider is left alone after failures (down), or calls are let through one by one (recovering)
  retry     the provider turned it away, and is asked again
  budget    another session is at a budget that it counts in, or the budget has not enough and a person decides
  provider  the provider, which has the request or makes the image
  person    a decision: resolve_review()
  cancel    the worker, which is stopping it
  worker    a worker: none runs in this database
  paused    an administrator, who has paused its role, its provider or everything: unpause()
  fenced    resume(): no paid work may run here
message, for people. provider: which. until: not before then; NULL is unknown.';

CREATE FUNCTION image_gen_internal.wait_reason(code text, message text, provider text DEFAULT NULL, job_id text DEFAULT NULL,
                                  until timestamptz DEFAULT NULL) RETURNS image_gen.wait_reason
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (code, message, provider, job_id, until)::image_gen.wait_reason;
END $$;
COMMENT ON FUNCTION image_gen_internal.wait_reason(text, text, text, text, timestamptz) IS 'A wait_reason.';

CREATE FUNCTION image_gen_internal.key_count(provider text) RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT greatest(count(*), 1)
            FROM image_gen.providers p
           CROSS JOIN image_gen_internal.worker_state w
           CROSS JOIN LATERAL image_gen_internal.keys_of_provider(p.kind, p.base_url, p.key_name, w.configured,
                                ARRAY(SELECT o.key_name FROM image_gen.providers o WHERE o.id <> p.id AND o.key_name IS NOT NULL)) k
           WHERE p.id = $1);
END $$;
COMMENT ON FUNCTION image_gen_internal.key_count(text) IS 'How many keys a provider can be called with; 1 where it wants none.';

CREATE FUNCTION image_gen_internal.queue_standing() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The limits of a provider are those of each of its keys.
  RETURN jsonb_build_object(
    'fenced', image_gen_internal.fence_reason(),
    'instance', image_gen_internal.instance_id(),
    'worker', (SELECT image_gen_internal.is_worker(w.pid) FROM image_gen_internal.worker_state w),
    'full', (
      SELECT jsonb_object_agg(p.id, p.max_in_flight * image_gen_internal.key_count(p.id))
        FROM (SELECT a.provider, count(*) AS inside
                FROM image_gen_internal.queue q
               CROSS JOIN LATERAL (SELECT t.provider FROM image_gen.attempts t
                                    WHERE t.job_id = q.job_id AND t.status = 'running' OFFSET 0) a
               WHERE q.state = 'running' GROUP BY a.provider) f
        JOIN image_gen.providers p ON p.id = f.provider AND f.inside >= p.max_in_flight * image_gen_internal.key_count(p.id)),
    'paused', (SELECT jsonb_object_agg(coalesce(z.provider, z.role::oid::text, ''), coalesce(z.note, '')) FROM image_gen.pauses z),
    'failing', (SELECT true FROM image_gen_internal.provider_breakers b WHERE b.state <> 'up' LIMIT 1),
    -- The worker lets a tenth of a minute's requests go at once, and the others at an even pace.
    'paced', (
      SELECT jsonb_object_agg(r.id, r.next)
        FROM (SELECT p.id, max(a.sent_at) + interval '1 minute' / (p.requests_per_minute * k.count) AS next
                FROM (SELECT t.provider, t.sent_at FROM image_gen.attempts t ORDER BY t.id DESC LIMIT 1000) a
                JOIN image_gen.providers p ON p.id = a.provider AND p.requests_per_minute IS NOT NULL
               CROSS JOIN LATERAL (SELECT image_gen_internal.key_count(p.id) AS count OFFSET 0) k
               WHERE a.sent_at > clock_timestamp() - greatest(interval '6 s', interval '1 minute' / (p.requests_per_minute * k.count))
               GROUP BY p.id, k.count HAVING count(*) >= greatest(p.requests_per_minute * k.count / 10, 1)) r));
END $$;
COMMENT ON FUNCTION image_gen_internal.queue_standing() IS
'What all jobs wait for in common: the fence, the worker, and providers that let none in just now. For waiting_for().';

CREATE FUNCTION image_gen_internal.next_candidates(job image_gen.jobs, progress jsonb)
RETURNS TABLE (rank bigint, provider text, circuit text, error_code text, turned_away boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  request text := (job.parameters || jsonb_build_object('prompt', job.prompt, 'seed', job.seed))::text;
  chosen text := progress ->> 'chosen';
BEGIN
  -- As the worker does it: what a refusal or a person chose comes first, then the route without what is behind the job.
  RETURN QUERY
  SELECT r.rank, c.provider, coalesce(nullif(m.state, 'up'), nullif(p.state, 'up')),
         CASE WHEN m.state <> 'up' THEN m.last_error_code ELSE p.last_error_code END,
         coalesce(progress -> 'outages' ? r.name, false)
    FROM unnest(chosen || image_gen_internal.plan_route(job.id, job.operation, request, job.model, job.model_is_open, job.provider, job.priority,
                                           job.preferences::text, job.max_cost, job.owner)) WITH ORDINALITY r(name, rank)
   CROSS JOIN LATERAL (SELECT split_part(r.name, ':', 1), substr(r.name, strpos(r.name, ':') + 1)) AS c(provider, model)
    LEFT JOIN image_gen_internal.provider_breakers m ON m.provider = c.provider AND m.model = c.model
    LEFT JOIN image_gen_internal.provider_breakers p ON p.provider = c.provider AND p.model = ''
   WHERE r.name = chosen
      OR r.name IS NOT NULL AND NOT coalesce(progress -> 'failed' ? r.name, false)
         AND NOT coalesce(progress -> 'refused' ? r.name, false);
END $$;
COMMENT ON FUNCTION image_gen_internal.next_candidates(image_gen.jobs, jsonb) IS
'Which providers a job in the queue may be sent to, in order; circuit: down or recovering, where it is not closed, and the error that opened it.';

CREATE FUNCTION image_gen_internal.waiting_for(waiting_id text, standing jsonb) RETURNS image_gen.wait_reason
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  job image_gen.jobs;
  entry image_gen_internal.queue;
  call image_gen.attempts;
  next record;
  needed text;
  ahead bigint;
  place text;
BEGIN
  SELECT j.* INTO job FROM image_gen.jobs j WHERE j.id = waiting_id AND j.status IN ('queued', 'running', 'needs_review');
  IF job.id IS NULL
     OR NOT (job.owner = caller OR pg_has_role(caller, 'image_gen_admin', 'member')
             OR image_gen_internal.may_review(caller)
                AND (job.status = 'needs_review' OR EXISTS (SELECT FROM image_gen.reviews r WHERE r.job_id = job.id))) THEN
    RETURN NULL;
  ELSIF job.status = 'needs_review' THEN
    RETURN image_gen_internal.wait_reason(CASE job.error_code WHEN 'budget_exceeded' THEN 'budget' ELSE 'person' END,
      format('a person decides about it (%s)', job.error_code) || coalesce((
        SELECT format(', and %s looks at it', image_gen_internal.role_name(r.claimed_by)) FROM image_gen.reviews r
         WHERE r.job_id = job.id AND r.resolved_at IS NULL), ': image_gen.resolve_review()'));
  END IF;

  SELECT q.* INTO entry FROM image_gen_internal.queue q WHERE q.seq = job.seq AND q.job_id = job.id;
  IF entry.seq IS NULL THEN
    RETURN image_gen_internal.wait_reason('fenced', 'it has no row in the queue of this database; image_gen.resume() gives it one');
  ELSIF standing ->> 'fenced' IS NOT NULL THEN
    RETURN image_gen_internal.wait_reason('fenced', format('%s; image_gen.resume() allows paid work here', standing ->> 'fenced'));
  ELSIF entry.instance::text <> standing ->> 'instance' THEN
    RETURN image_gen_internal.wait_reason('fenced', 'it was queued in another database; image_gen.resume() takes it over');
  ELSIF job.created_at = now() AND image_gen_internal.is_uncommitted(job.seq) THEN
    RETURN image_gen_internal.wait_reason('commit', 'it starts when this transaction is committed');
  ELSIF EXISTS (SELECT FROM image_gen_internal.cancel_requests c WHERE c.seq = job.seq) THEN
    RETURN image_gen_internal.wait_reason('cancel', 'it is being stopped');
  ELSIF entry.state = 'waiting' THEN
    SELECT min(w.needs) INTO needed FROM image_gen_internal.job_dependencies w WHERE w.seq = job.seq;
    RETURN image_gen_internal.wait_reason('job', format('the image of job %s goes into it', needed), job_id => needed);
  ELSIF (standing ->> 'worker')::boolean IS NOT TRUE THEN
    RETURN image_gen_internal.wait_reason('worker', 'no worker runs in this database');
  ELSIF entry.state IN ('ready', 'alone') AND standing -> 'paused' ?| ARRAY['', job.owner::oid::text]
        AND NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = job.id AND a.status = 'running') THEN
    RETURN image_gen_internal.wait_reason('paused', concat_ws(': ', CASE WHEN standing -> 'paused' ? '' THEN 'everything is paused' ELSE format('%s is paused', image_gen_internal.role_name(job.owner)) END,
                                                              nullif(coalesce(standing #>> ARRAY['paused', ''], standing #>> ARRAY['paused', job.owner::oid::text]), '')));
  ELSIF entry.state = 'alone' THEN
    RETURN image_gen_internal.wait_reason('turn', format('it runs alone: the worker ended %s times with it in hand', entry.deaths),
      until => CASE WHEN entry.ready_at > clock_timestamp() THEN entry.ready_at END);
  END IF;

  SELECT a.* INTO call FROM image_gen.attempts a WHERE a.job_id = job.id ORDER BY a.number DESC LIMIT 1;
  IF entry.state = 'running' AND call.status = 'running' THEN
    RETURN image_gen_internal.wait_reason('provider', format(CASE WHEN call.remote_id IS NULL THEN '%s has the request'
                                                     ELSE '%s makes the image' END, call.provider), call.provider);
  ELSIF entry.state = 'ready' AND entry.ready_at > clock_timestamp() THEN
    -- Put off: by the provider that it comes back to.
    SELECT c.* INTO next FROM image_gen_internal.next_candidates(job, entry.progress) c
     ORDER BY c.turned_away DESC, c.circuit IS NULL, c.rank LIMIT 1;
    IF standing -> 'paused' ? next.provider THEN
      RETURN image_gen_internal.wait_reason('paused', concat_ws(': ', format('%s is paused', next.provider), nullif(standing #>> ARRAY['paused', next.provider], '')), next.provider);
    ELSIF next.circuit IS NOT NULL THEN
      RETURN image_gen_internal.wait_reason('circuit', format('%s is %s (%s)', next.provider, next.circuit, next.error_code),
                               next.provider, until => entry.ready_at);
    ELSIF next.turned_away THEN
      RETURN image_gen_internal.wait_reason('retry', format('%s has turned it away (%s)', next.provider, call.error_code),
                               next.provider, until => entry.ready_at);
    ELSIF EXISTS (SELECT FROM image_gen_internal.budgets_of_job(job.owner, job.metadata, job.batch, job.login)) THEN
      RETURN image_gen_internal.wait_reason('budget', 'another session is at a budget that it counts in', until => entry.ready_at);
    END IF;
    RETURN image_gen_internal.wait_reason('turn', 'it was put off', until => entry.ready_at);
  END IF;

  -- No call has begun: it stands at the first provider that is not left alone, or before it.
  IF entry.state = 'running' THEN
    place := 'the worker makes its next request ready';
  ELSE
    SELECT count(*) INTO ahead
      FROM (SELECT FROM image_gen_internal.queue q
             WHERE q.state = 'ready' AND q.seq > 0 AND q.owner = job.owner AND q.seq < job.seq LIMIT 1000) b;
    place := format('jobs of %s before it in the queue: %s%s', image_gen_internal.role_name(job.owner), ahead, CASE ahead WHEN 1000 THEN ' or more' ELSE '' END);
  END IF;
  IF 'null' <> ANY (ARRAY[standing -> 'failing', standing -> 'full', standing -> 'paced']) THEN
    SELECT c.* INTO next FROM image_gen_internal.next_candidates(job, entry.progress) c
     ORDER BY c.circuit IS NOT DISTINCT FROM 'down', c.rank LIMIT 1;
    IF next.circuit IS NOT NULL THEN
      RETURN image_gen_internal.wait_reason('circuit', format('%s is %s (%s); %s', next.provider, next.circuit, next.error_code, place), next.provider);
    ELSIF standing -> 'full' ? next.provider THEN
      RETURN image_gen_internal.wait_reason('places', format('%s takes %s at a time, and has as many; %s', next.provider,
                                                standing #>> ARRAY['full', next.provider], place), next.provider);
    ELSIF standing -> 'paced' ? next.provider THEN
      RETURN image_gen_internal.wait_reason('rate', format('%s was sent as many requests as it takes in a minute; %s', next.provider, place),
                               next.provider, until => (standing #>> ARRAY['paced', next.provider])::timestamptz);
    END IF;
  END IF;
  RETURN image_gen_internal.wait_reason('turn', place);
END $$;
COMMENT ON FUNCTION image_gen_internal.waiting_for(text, jsonb) IS
'What a job waits for, by what queue_standing() says; NULL for one that is over, and for one that the caller may not see.';

SET LOCAL search_path = image_gen, pg_temp;
