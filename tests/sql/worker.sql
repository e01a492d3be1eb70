-- In the worker's place: entries of jobs, which tests write by hand as JSON, become calls of the worker's functions, as
-- src/worker/transitions.rs makes them: one call for all jobs that have an entry of the same kind.
CREATE SCHEMA t;
GRANT USAGE ON SCHEMA t TO PUBLIC;

-- items: [{"seq", "entries": [{"entry": "begin" | "checkpoint" | "end" | "later" | "close", ...}]}]. The answer: which jobs are this epoch's, and what a begin was told.
CREATE FUNCTION t.record(this_epoch bigint, items jsonb) RETURNS TABLE (seq bigint, verdict text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  verdicts jsonb := '{}';
  ours bigint[];
  e jsonb[];
  s bigint[];
BEGIN
  FOR position IN 1 .. (SELECT max(jsonb_array_length(i -> 'entries')) FROM jsonb_array_elements(items) i) LOOP
    FOR kind IN 1 .. 5 LOOP
      -- What follows an intent that was not written is not written either.
      SELECT array_agg(i.value -> 'entries' -> (position - 1) ORDER BY i.value -> 'seq'), array_agg((i.value ->> 'seq')::bigint ORDER BY i.value -> 'seq') INTO e, s
        FROM jsonb_array_elements(items) i
       WHERE i.value -> 'entries' -> (position - 1) ->> 'entry' = (ARRAY['checkpoint', 'end', 'later', 'close', 'begin'])[kind]
         AND (position = 1 OR verdicts ->> (i.value ->> 'seq') = 'ours');
      CONTINUE WHEN s IS NULL;
      ours := CASE kind
        WHEN 1 THEN image_gen_internal.checkpoint(this_epoch, s, ARRAY(SELECT (x ->> 'number')::int FROM unnest(e) x), ARRAY(SELECT x #>> '{remote,id}' FROM unnest(e) x),
          ARRAY(SELECT x #>> '{remote,poll_url}' FROM unnest(e) x), ARRAY(SELECT x #>> '{remote,result_url}' FROM unnest(e) x), ARRAY(SELECT x #>> '{remote,cancel_url}' FROM unnest(e) x),
          ARRAY(SELECT (x ->> 'http_status')::int FROM unnest(e) x), ARRAY(SELECT (x #>> '{cost,amount}')::numeric FROM unnest(e) x),
          ARRAY(SELECT (x #>> '{cost,claimed}')::numeric FROM unnest(e) x), ARRAY(SELECT x #>> '{cost,source}' FROM unnest(e) x), ARRAY(SELECT x #>> '{cost,currency}' FROM unnest(e) x))
        WHEN 2 THEN image_gen_internal.end_attempts(this_epoch, s, ARRAY(SELECT (x ->> 'number')::int FROM unnest(e) x), ARRAY(SELECT x ->> 'status' FROM unnest(e) x),
          ARRAY(SELECT x #>> '{failed,code}' FROM unnest(e) x), ARRAY(SELECT x #>> '{failed,message}' FROM unnest(e) x), ARRAY(SELECT (x ->> 'http_status')::int FROM unnest(e) x),
          ARRAY(SELECT (x #>> '{cost,amount}')::numeric FROM unnest(e) x), ARRAY(SELECT (x #>> '{cost,claimed}')::numeric FROM unnest(e) x),
          ARRAY(SELECT x #>> '{cost,source}' FROM unnest(e) x), ARRAY(SELECT x #>> '{cost,currency}' FROM unnest(e) x),
          ARRAY(SELECT nullif(x -> 'work', 'null') FROM unnest(e) x), ARRAY(SELECT nullif(x -> 'tokens', 'null') FROM unnest(e) x),
          ARRAY(SELECT (x ->> 'render_seconds')::float8 FROM unnest(e) x), ARRAY(SELECT (x ->> 'seed')::bigint FROM unnest(e) x), ARRAY(SELECT x -> 'warnings' FROM unnest(e) x),
          ARRAY(SELECT coalesce((x ->> 'unsent')::boolean, false) FROM unnest(e) x), ARRAY(SELECT (x ->> 'joins')::int FROM unnest(e) x))
        WHEN 3 THEN image_gen_internal.requeue(this_epoch, s, ARRAY(SELECT (x ->> 'after_seconds')::float8 FROM unnest(e) x), ARRAY(SELECT x -> 'progress' FROM unnest(e) x))
        WHEN 4 THEN image_gen_internal.finish(this_epoch, s, ARRAY(SELECT x ->> 'status' FROM unnest(e) x), ARRAY(SELECT x #>> '{failed,code}' FROM unnest(e) x),
          ARRAY(SELECT x #>> '{failed,message}' FROM unnest(e) x))
      END;
      IF kind < 5 THEN
        verdicts := verdicts || coalesce((SELECT jsonb_object_agg(o, 'ours') FROM unnest(ours) o), '{}');
      ELSE
        verdicts := verdicts || coalesce((SELECT jsonb_object_agg(b.seq, b.verdict) FROM image_gen_internal.begin(this_epoch, s, ARRAY(SELECT (x ->> 'number')::int FROM unnest(e) x),
          ARRAY(SELECT x ->> 'provider' FROM unnest(e) x), ARRAY(SELECT x ->> 'model' FROM unnest(e) x), ARRAY(SELECT x ->> 'prompt' FROM unnest(e) x),
          ARRAY(SELECT (x ->> 'seed')::bigint FROM unnest(e) x), ARRAY(SELECT (x ->> 'seed_honored')::boolean FROM unnest(e) x), ARRAY(SELECT x -> 'warnings' FROM unnest(e) x),
          ARRAY(SELECT (x ->> 'estimated_cost')::numeric FROM unnest(e) x), ARRAY(SELECT x -> 'progress' FROM unnest(e) x),
          ARRAY(SELECT (x ->> 'estimated_rest')::numeric FROM unnest(e) x)) b), '{}');
      END IF;
      IF kind IN (3, 4) THEN
        PERFORM image_gen_internal.insert_assets(array_agg(j.id ORDER BY j.id, p.position), array_agg(coalesce((p.value ->> 'position')::int, p.position::int) ORDER BY j.id, p.position), array_agg(p.value ->> 'url' ORDER BY j.id, p.position),
                                   array_agg((p.value ->> 'lifetime_seconds')::bigint ORDER BY j.id, p.position), array_agg((p.value ->> 'seed')::bigint ORDER BY j.id, p.position),
                                   array_agg((p.value ->> 'width')::int ORDER BY j.id, p.position), array_agg((p.value ->> 'height')::int ORDER BY j.id, p.position),
                                   array_agg(p.value ->> 'content_type' ORDER BY j.id, p.position), array_agg((p.value ->> 'byte_size')::bigint ORDER BY j.id, p.position),
                                   array_agg(p.value ->> 'sha256' ORDER BY j.id, p.position))
           FROM unnest(s, e) AS c(seq, entry) CROSS JOIN LATERAL (SELECT o.id FROM image_gen.jobs o WHERE o.seq = c.seq OFFSET 0) j CROSS JOIN LATERAL jsonb_array_elements(c.entry -> 'images') WITH ORDINALITY AS p(value, position)
          WHERE c.seq = ANY (ours) AND coalesce(c.entry ->> 'status', 'succeeded') = 'succeeded';
      END IF;
    END LOOP;
  END LOOP;
  PERFORM set_config('t.in_hand', ARRAY(SELECT h FROM unnest(t.in_hand()) h WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(items) i WHERE (i ->> 'seq')::bigint = h))::text, false);
  RETURN QUERY SELECT v.key::bigint, v.value FROM jsonb_each_text(verdicts) v;
END $$;

-- Reads jobs from the queue: what the worker gets to know of each, as a document. What this session has in hand it remembers, as the worker does.
CREATE FUNCTION t.in_hand() RETURNS bigint[] LANGUAGE sql AS $$ SELECT coalesce(nullif(current_setting('t.in_hand', true), ''), '{}')::bigint[] $$;
CREATE FUNCTION t.claimed(this_epoch bigint, at_most integer DEFAULT 100, after_seq bigint DEFAULT 0) RETURNS TABLE (seq bigint, id text, owner regrole, job jsonb) LANGUAGE sql AS $$
  SELECT c.seq, c.id, c.owner, jsonb_build_object(
           'operation', c.operation, 'request', c.parameters || jsonb_build_object('prompt', c.prompt, 'seed', c.seed), 'images', c.inputs,
           'deadline', CASE WHEN isfinite(c.deadline) THEN (extract(epoch FROM c.deadline) * 1000)::bigint END,
           'attempts', c.attempts, 'progress', c.progress, 'preferences', c.preferences, 'model', c.model, 'provider', c.provider, 'max_cost', c.max_cost::text, 'priority', c.priority,
           'resume', CASE WHEN c.number IS NOT NULL THEN
             jsonb_build_object('number', c.number, 'provider', c.sent_to, 'model', c.sent_model, 'remote_id', c.remote_id, 'poll_url', c.poll_url, 'result_url', c.result_url,
                                'cancel_url', c.cancel_url, 'cost', c.cost::text, 'claimed', c.claimed_cost::text, 'sent_at', (extract(epoch FROM c.sent_at) * 1000)::bigint) END)
    FROM image_gen_internal.claim($1, $2, $3, in_hand => t.in_hand()) c
   WHERE set_config('t.in_hand', (t.in_hand() || c.seq)::text, false) IS NOT NULL
$$;
