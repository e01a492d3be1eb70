-- Totals of what was spent, so that reports need not read the whole history.
--
--   spending_totals    by owner, campaign and ticket: cost_by_campaign, cost_by_ticket, credits()
--   spending_days      by day, of jobs that went the same way: cost_report()
--   spending_mark      every job up to this number is in both, except those in
--   spending_left_out  jobs that are not over yet, or that were taken out again because something about them is changed
--
-- Reports add up these and the rows of the jobs that are not in them. The worker folds jobs in, a few at a time, long after they
-- have ended (fold_spending); nothing is written for it while a job runs. Whatever changes a job that is over takes it out first
-- (unfold_jobs), in the same transaction: what is taken out are further rows, so that no session waits for another; only a fold, which
-- takes milliseconds, is waited for. check_budgets() proves the sums from the rows.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.unfolded_jobs() RETURNS SETOF bigint
LANGUAGE plpgsql STABLE ROWS 500 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT j.seq FROM image_gen.jobs j WHERE j.seq > (SELECT m.folded_to FROM image_gen_internal.spending_mark m)
  UNION ALL
  SELECT l.seq FROM image_gen_internal.spending_left_out l;
END $$;
COMMENT ON FUNCTION image_gen_internal.unfolded_jobs() IS 'jobs.seq of all jobs that are not in spending_totals and spending_days.';

CREATE FUNCTION image_gen_internal.unfolded_attempts()
RETURNS TABLE (unit text, weight bigint, calls bigint, retries bigint, first_call timestamptz, last_call timestamptz, owner regrole, campaign text, ticket text, operation text,
               provider text, model text, status text, error_code text, images bigint, billed_cost numeric, currency text, cost_source text)
LANGUAGE plpgsql STABLE ROWS 500 SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
  -- LATERAL with OFFSET: whatever the planner believes, a few jobs are looked up one by one.
  RETURN QUERY
  SELECT j.id::text, 1::bigint, a.calls, a.retries, a.created_at, a.created_at, j.owner, j.metadata ->> 'campaign', j.metadata ->> 'ticket', j.operation::text,
         a.provider::text, a.model::text, a.status::text, a.error_code::text,
         a.images, a.billed_cost::numeric, a.currency::text, a.cost_source::text
    FROM image_gen_internal.unfolded_jobs() u(seq)
   CROSS JOIN LATERAL (SELECT k.id, k.owner, k.metadata, k.operation FROM image_gen.jobs k WHERE k.seq = u.seq OFFSET 0) j
   CROSS JOIN LATERAL (SELECT t.* FROM image_gen_internal.counted_attempts t WHERE t.job_id = j.id OFFSET 0) a
  UNION ALL
  SELECT r.story, r.jobs, r.calls, r.retries, r.first_call, r.last_call, r.owner, r.campaign, r.ticket, r.operation, r.provider, r.model, r.status, r.error_code,
         r.images, r.billed_cost, r.currency, r.cost_source
    FROM image_gen_internal.spending_archive r WHERE NOT r.folded;
END $$;
COMMENT ON FUNCTION image_gen_internal.unfolded_attempts() IS
'The calls that are over and not in spending_totals and spending_days, as far as the caller may see them; unit stands for as many jobs as weight says.';

CREATE FUNCTION image_gen_internal.visible_spending_days() RETURNS SETOF date
LANGUAGE plpgsql STABLE ROWS 100 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- From day to day by the index: the rows of each are not walked through.
  RETURN QUERY
  WITH RECURSIVE days AS (
    (SELECT d.day FROM image_gen_internal.spending_days d ORDER BY d.day LIMIT 1)
    UNION ALL
    SELECT n.day FROM days l CROSS JOIN LATERAL (SELECT d.day FROM image_gen_internal.spending_days d WHERE d.day > l.day ORDER BY d.day LIMIT 1) n
  )
  SELECT l.day FROM days l;
END $$;
COMMENT ON FUNCTION image_gen_internal.visible_spending_days() IS 'The days that spending_days has.';

CREATE FUNCTION image_gen_internal.edge_attempts(lows timestamptz[], highs timestamptz[], whole date[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (unit text, weight bigint, calls bigint, retries bigint, first_call timestamptz, owner regrole, campaign text, ticket text, operation text,
               provider text, model text, status text, error_code text, images bigint, billed_cost numeric, currency text, cost_source text)
LANGUAGE plpgsql STABLE ROWS 10000 SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
  -- A job with calls on both sides of an edge counts once: all its calls are given, and those that whole days have are taken off.
  RETURN QUERY
  WITH hit AS MATERIALIZED (
    SELECT DISTINCT a.job_id
      FROM unnest(lows, highs) e(low, high)
     CROSS JOIN LATERAL (SELECT t.job_id FROM image_gen.attempts t WHERE t.created_at >= e.low AND t.created_at < e.high OFFSET 0) a
  ), calls AS MATERIALIZED (
    SELECT j.id::text AS unit, 1::bigint AS weight, a.calls, a.retries, a.created_at AS first_call, j.owner, j.metadata ->> 'campaign' AS campaign,
           j.metadata ->> 'ticket' AS ticket, j.operation::text AS operation, a.provider::text AS provider, a.model::text AS model, a.status::text AS status,
           a.error_code::text AS error_code,
           a.images, a.billed_cost::numeric AS billed_cost, a.currency::text AS currency, a.cost_source::text AS cost_source
      FROM hit h
     CROSS JOIN LATERAL (SELECT k.id, k.seq, k.owner, k.metadata, k.operation FROM image_gen.jobs k WHERE k.id = h.job_id OFFSET 0) j
     CROSS JOIN LATERAL (SELECT t.* FROM image_gen_internal.counted_attempts t WHERE t.job_id = j.id OFFSET 0) a
     WHERE j.seq NOT IN (SELECT u FROM image_gen_internal.unfolded_jobs() u)
    UNION ALL
    SELECT r.story, r.jobs, r.calls, r.retries, r.first_call, r.owner, r.campaign, r.ticket, r.operation, r.provider, r.model, r.status, r.error_code, r.images,
           r.billed_cost, r.currency, r.cost_source
      FROM image_gen_internal.spending_archive r
     WHERE r.folded AND EXISTS (SELECT FROM image_gen_internal.spending_archive o CROSS JOIN unnest(lows, highs) e(low, high)
                                 WHERE o.story = r.story AND o.first_call >= e.low AND o.first_call < e.high)
  )
  SELECT c.* FROM calls c WHERE (from_time IS NULL OR c.first_call >= from_time) AND (to_time IS NULL OR c.first_call < to_time)
  UNION ALL
  SELECT 'less ' || c.unit, -c.weight, -c.calls, -c.retries, c.first_call, c.owner, c.campaign, c.ticket, c.operation, c.provider, c.model, c.status, c.error_code,
         -c.images, -c.billed_cost, c.currency, c.cost_source
    FROM calls c WHERE (c.first_call AT TIME ZONE 'UTC')::date = ANY (whole);
END $$;
COMMENT ON FUNCTION image_gen_internal.edge_attempts(timestamptz[], timestamptz[], date[], timestamptz, timestamptz) IS
'The calls within a period of jobs with a call between two of these times, beside what spending_days has of them on whole days.';

CREATE VIEW image_gen_internal.spending_by_ticket WITH (security_invoker = true) AS
SELECT u.owner, u.campaign, u.ticket, u.currency, sum(u.jobs) AS jobs, sum(u.images) AS images, sum(u.calls) AS calls, sum(u.billed) AS billed,
       sum(u.unknown_costs) AS unknown_costs, sum(u.refusals) AS refusals, sum(u.retries) AS retries, sum(u.wasted) AS wasted,
       min(u.first_call) AS first_call, max(u.last_call) AS last_call
  FROM (SELECT t.owner, t.campaign, t.ticket, t.currency, t.jobs, t.images, t.calls, t.billed, t.unknown_costs, t.refusals, t.retries, t.wasted,
               t.first_call, t.last_call
          FROM image_gen_internal.spending_totals t
        UNION ALL
        SELECT c.owner, c.campaign, c.ticket, c.currency, max(c.weight), sum(c.images), sum(c.calls), coalesce(sum(c.billed_cost), 0),
               coalesce(sum(c.weight) FILTER (WHERE c.billed_cost IS NULL), 0), coalesce(sum(c.weight) FILTER (WHERE c.status = 'refused'), 0),
               sum(c.retries), coalesce(sum(c.billed_cost) FILTER (WHERE c.status <> 'succeeded'), 0),
               min(c.first_call), max(c.last_call)
          FROM image_gen_internal.unfolded_attempts() c GROUP BY c.owner, c.campaign, c.ticket, c.currency, c.unit) u
 GROUP BY u.owner, u.campaign, u.ticket, u.currency HAVING sum(u.jobs) <> 0;
COMMENT ON VIEW image_gen_internal.spending_by_ticket IS 'What the calls of all jobs cost, by owner, campaign, ticket and currency.';

CREATE FUNCTION image_gen_internal.add_spending(seqs bigint[], stories text[], sign integer, at_entry bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH calls AS MATERIALIZED (
    SELECT j.id AS unit, 1::bigint AS weight, a.number, a.calls, a.retries, a.created_at AS first_call, a.created_at AS last_call, j.owner,
           j.metadata ->> 'campaign' AS campaign, j.metadata ->> 'ticket' AS ticket, j.operation, a.provider, a.model, a.status, a.error_code,
           a.images, a.billed_cost, a.currency, a.cost_source
      FROM unnest(seqs) u(seq)
     CROSS JOIN LATERAL (SELECT k.id, k.owner, k.metadata, k.operation FROM image_gen.jobs k WHERE k.seq = u.seq OFFSET 0) j
     CROSS JOIN LATERAL (SELECT t.* FROM image_gen_internal.counted_attempts t WHERE t.job_id = j.id OFFSET 0) a
    UNION ALL
    SELECT r.story, r.jobs, r.number, r.calls, r.retries, r.first_call, r.last_call, r.owner, r.campaign, r.ticket, r.operation, r.provider, r.model, r.status,
           r.error_code, r.images, r.billed_cost, r.currency, r.cost_source
      FROM image_gen_internal.spending_archive r WHERE r.story = ANY (stories)
  ), totals AS (
    INSERT INTO image_gen_internal.spending_totals AS t (key, entry, owner, campaign, ticket, currency, jobs, images, calls, billed, unknown_costs, refusals,
                                                retries, wasted, first_call, last_call)
    SELECT sha256(convert_to(jsonb_build_array(u.owner::oid, u.campaign, u.ticket, u.currency)::text, 'UTF8')), at_entry, u.owner, u.campaign, u.ticket,
           u.currency, sign * sum(u.jobs), sign * sum(u.images), sign * sum(u.calls), sign * sum(u.billed), sign * sum(u.unknown_costs),
           sign * sum(u.refusals), sign * sum(u.retries), sign * sum(u.wasted),
           -- What is taken out is counted elsewhere from then on, at the same times.
           CASE WHEN sign > 0 THEN min(u.first_call) END, CASE WHEN sign > 0 THEN max(u.last_call) END
      FROM (SELECT c.owner, c.campaign, c.ticket, c.currency, max(c.weight) AS jobs, sum(c.images) AS images, sum(c.calls) AS calls,
                   coalesce(sum(c.billed_cost), 0) AS billed, coalesce(sum(c.weight) FILTER (WHERE c.billed_cost IS NULL), 0) AS unknown_costs,
                   coalesce(sum(c.weight) FILTER (WHERE c.status = 'refused'), 0) AS refusals,
                   sum(c.retries) AS retries,
                   coalesce(sum(c.billed_cost) FILTER (WHERE c.status <> 'succeeded'), 0) AS wasted,
                   min(c.first_call) AS first_call, max(c.last_call) AS last_call
              FROM calls c GROUP BY c.owner, c.campaign, c.ticket, c.currency, c.unit) u
     GROUP BY u.owner, u.campaign, u.ticket, u.currency
    ON CONFLICT ON CONSTRAINT spending_totals_pkey DO UPDATE
       SET jobs = t.jobs + excluded.jobs, images = t.images + excluded.images, calls = t.calls + excluded.calls, billed = t.billed + excluded.billed,
           unknown_costs = t.unknown_costs + excluded.unknown_costs, refusals = t.refusals + excluded.refusals,
           retries = t.retries + excluded.retries, wasted = t.wasted + excluded.wasted,
           first_call = least(t.first_call, excluded.first_call), last_call = greatest(t.last_call, excluded.last_call)
  ), ways AS (
    SELECT c.unit, sha256(convert_to(jsonb_agg(jsonb_build_array(c.owner::oid, c.campaign, c.ticket, c.operation, c.number, c.provider, c.model, c.status,
             c.error_code, c.currency, c.cost_source, (c.first_call AT TIME ZONE 'UTC')::date) ORDER BY c.number)::text, 'UTF8')) AS story
      FROM calls c GROUP BY c.unit
  )
  INSERT INTO image_gen_internal.spending_days AS d (story, number, entry, day, jobs, calls, retries, owner, campaign, ticket, operation, provider, model, status, error_code,
                                            images, billed_cost, currency, cost_source)
  SELECT w.story, c.number, at_entry, (c.first_call AT TIME ZONE 'UTC')::date AS day, sign * sum(c.weight), sign * sum(c.calls), sign * sum(c.retries), c.owner, c.campaign, c.ticket, c.operation,
         c.provider, c.model, c.status, c.error_code, sign * sum(c.images), sign * sum(c.billed_cost), c.currency, c.cost_source
    FROM calls c JOIN ways w ON w.unit = c.unit
   GROUP BY w.story, c.number, day, c.owner, c.campaign, c.ticket, c.operation, c.provider, c.model, c.status, c.error_code, c.currency, c.cost_source
  ON CONFLICT ON CONSTRAINT spending_days_pkey DO UPDATE
     SET jobs = d.jobs + excluded.jobs, calls = d.calls + excluded.calls, retries = d.retries + excluded.retries,
         images = d.images + excluded.images, billed_cost = d.billed_cost + excluded.billed_cost;
END $$;
COMMENT ON FUNCTION image_gen_internal.add_spending(bigint[], text[], integer, bigint) IS
'Adds the calls of these jobs and stories of spending_archive to spending_totals and spending_days (sign 1), or rows that take them out (sign -1).';

CREATE FUNCTION image_gen_internal.fold_spending(at_most integer) RETURNS boolean
-- In the order of the index, and no further than asked.
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
  mark image_gen_internal.spending_mark;
  drawn bigint;
  drawing text[];
  new_mark bigint;
  seqs bigint[];
  finished bigint[];
  stories text[];
  more boolean;
BEGIN
  -- Without a lock, so that looking in vain costs no transaction id.
  SELECT m.* INTO STRICT mark FROM image_gen_internal.spending_mark m;
  IF NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.seq > mark.folded_to)
     AND NOT EXISTS (SELECT FROM image_gen_internal.spending_archive r WHERE NOT r.folded)
     AND NOT EXISTS (SELECT FROM image_gen_internal.spending_totals t WHERE t.entry <> 0)
     AND NOT EXISTS (SELECT FROM image_gen_internal.spending_left_out l LEFT JOIN image_gen.jobs j ON j.seq = l.seq
                      WHERE j.seq IS NULL OR j.status NOT IN ('queued', 'running', 'needs_review')) THEN
    RETURN false;
  END IF;
  -- A session that is changing a job that is over is left alone, and waits for us.
  SELECT m.* INTO mark FROM image_gen_internal.spending_mark m FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- Numbers are committed out of order. A transaction that has taken one holds a lock on the sequence until it ends: when all that
  -- held one after a number was taken are gone, no job up to that number comes any more.
  SELECT s.last_value - CASE WHEN s.is_called THEN 0 ELSE 1 END INTO drawn FROM image_gen.jobs_seq_seq s;
  SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}') INTO drawing
    FROM pg_locks l
   WHERE l.locktype = 'relation' AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
     AND l.relation = 'image_gen.jobs_seq_seq'::regclass AND l.mode = 'RowExclusiveLock';
  new_mark := CASE WHEN drawing = '{}' THEN drawn WHEN NOT drawing && mark.seen_by THEN mark.seen_to ELSE mark.folded_to END;
  IF NOT drawing && mark.seen_by THEN
    mark.seen_to := drawn;
    mark.seen_by := drawing;
  END IF;

  SELECT array_agg(j.seq), count(*) = at_most, CASE WHEN count(*) = at_most THEN max(j.seq) ELSE greatest(new_mark, mark.folded_to) END
    INTO seqs, more, new_mark
    FROM (SELECT k.seq FROM image_gen.jobs k WHERE k.seq > mark.folded_to AND k.seq <= new_mark ORDER BY k.seq LIMIT at_most) j;
  DELETE FROM image_gen_internal.spending_left_out l WHERE NOT EXISTS (SELECT FROM image_gen.jobs j WHERE j.seq = l.seq);
  seqs := seqs || ARRAY(
    SELECT l.seq FROM image_gen_internal.spending_left_out l JOIN image_gen.jobs j ON j.seq = l.seq
     WHERE j.status NOT IN ('queued', 'running', 'needs_review') LIMIT at_most);
  SELECT array_agg(u.seq) INTO finished
    FROM unnest(seqs) u(seq)
   CROSS JOIN LATERAL (SELECT k.id, k.status FROM image_gen.jobs k WHERE k.seq = u.seq OFFSET 0) j
   CROSS JOIN LATERAL (SELECT count(*) AS calls FROM image_gen.attempts t WHERE t.job_id = j.id AND t.status = 'running') a
   WHERE j.status IN ('succeeded', 'failed', 'canceled') AND a.calls = 0;
  -- All calls of a story at once.
  SELECT array_agg(DISTINCT r.story) INTO stories
    FROM (SELECT a.story FROM image_gen_internal.spending_archive a WHERE NOT a.folded ORDER BY a.story LIMIT at_most) r;

  PERFORM image_gen_internal.add_spending(finished, stories, 1, 0);
  UPDATE image_gen_internal.spending_archive r SET folded = true WHERE r.story = ANY (stories) AND NOT r.folded;
  DELETE FROM image_gen_internal.spending_left_out l WHERE l.seq = ANY (finished);
  INSERT INTO image_gen_internal.spending_left_out (seq)
  SELECT u.seq FROM unnest(seqs) u(seq) EXCEPT SELECT f.seq FROM unnest(finished) f(seq)
  ON CONFLICT ON CONSTRAINT spending_left_out_pkey DO NOTHING;

  -- What was taken out since is taken off, and what has nothing left goes.
  WITH gone AS (
    DELETE FROM image_gen_internal.spending_totals t WHERE t.entry <> 0 RETURNING t.*
  ), less AS (
    SELECT g.key, sum(g.jobs) AS jobs, sum(g.images) AS images, sum(g.calls) AS calls, sum(g.billed) AS billed, sum(g.unknown_costs) AS unknown_costs,
           sum(g.refusals) AS refusals, sum(g.retries) AS retries, sum(g.wasted) AS wasted
      FROM gone g GROUP BY g.key
  )
  UPDATE image_gen_internal.spending_totals t
     SET jobs = t.jobs + l.jobs, images = t.images + l.images, calls = t.calls + l.calls, billed = t.billed + l.billed,
         unknown_costs = t.unknown_costs + l.unknown_costs, refusals = t.refusals + l.refusals, retries = t.retries + l.retries,
         wasted = t.wasted + l.wasted
    FROM less l WHERE t.key = l.key AND t.entry = 0;
  WITH gone AS (
    DELETE FROM image_gen_internal.spending_days d WHERE d.entry <> 0 RETURNING d.*
  ), less AS (
    SELECT g.story, g.number, sum(g.jobs) AS jobs, sum(g.calls) AS calls, sum(g.retries) AS retries, sum(g.images) AS images, sum(g.billed_cost) AS billed_cost FROM gone g GROUP BY g.story, g.number
  )
  UPDATE image_gen_internal.spending_days d
     SET jobs = d.jobs + l.jobs, calls = d.calls + l.calls, retries = d.retries + l.retries, images = d.images + l.images, billed_cost = d.billed_cost + l.billed_cost
    FROM less l WHERE d.story = l.story AND d.number = l.number AND d.entry = 0;
  DELETE FROM image_gen_internal.spending_totals t WHERE t.jobs = 0;
  DELETE FROM image_gen_internal.spending_days d WHERE d.jobs = 0;
  UPDATE image_gen_internal.spending_mark m SET folded_to = new_mark, seen_to = mark.seen_to, seen_by = mark.seen_by;
  RETURN more OR finished IS NOT NULL OR stories IS NOT NULL;
END $$;
COMMENT ON FUNCTION image_gen_internal.fold_spending(integer) IS
'Puts some of the jobs that are over into spending_totals and spending_days; whether there may be more. Waits for no session.';

CREATE FUNCTION image_gen_internal.unfold_jobs(ids text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
  mark bigint;
  taken bigint[];
BEGIN
  -- Held until the end of the transaction. A fold changes the row: who has read an older one under REPEATABLE READ gets an error.
  SELECT m.folded_to INTO mark FROM image_gen_internal.spending_mark m FOR SHARE;
  WITH new AS (
    INSERT INTO image_gen_internal.spending_left_out (seq) SELECT j.seq FROM image_gen.jobs j WHERE j.id = ANY (ids) AND j.seq <= mark ORDER BY j.seq
    ON CONFLICT ON CONSTRAINT spending_left_out_pkey DO NOTHING RETURNING seq)
  SELECT array_agg(n.seq) INTO taken FROM new n;
  IF taken IS NOT NULL THEN
    PERFORM image_gen_internal.add_spending(taken, NULL, -1, nextval('image_gen_internal.spending_entries'));
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.unfold_jobs(text[]) IS 'Takes jobs out of spending_totals and spending_days, because something about them is about to change: reports read their rows until they are folded in again.';

CREATE FUNCTION image_gen_internal.reset_spending() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM image_gen_internal.spending_mark m FOR UPDATE;
  DELETE FROM image_gen_internal.spending_totals;
  DELETE FROM image_gen_internal.spending_days;
  DELETE FROM image_gen_internal.spending_left_out;
  UPDATE image_gen_internal.spending_archive r SET folded = false WHERE r.folded;
  UPDATE image_gen_internal.spending_mark m SET folded_to = 0, seen_to = 0, seen_by = '{}';
END $$;
COMMENT ON FUNCTION image_gen_internal.reset_spending() IS 'Empties spending_totals and spending_days: reports read all rows until the worker has folded them in again.';

-- What changes a job that is over. Of calls that end nothing is called: the conditions are looked at first.
CREATE FUNCTION image_gen_internal.on_spending_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The worker changes calls of jobs that are not over, and of none that is in the totals: it waits for no session.
  IF NOT EXISTS (SELECT FROM image_gen_internal.worker_state w JOIN pg_stat_get_activity(pg_backend_pid()) a ON a.pid = w.pid
                  WHERE a.backend_type <> 'client backend') THEN
    PERFORM image_gen_internal.unfold_jobs(ARRAY[OLD.job_id]);
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_spending_change() IS 'Takes the job of a row that is about to change out of the totals.';
CREATE TRIGGER spending_changes BEFORE UPDATE ON image_gen.attempts FOR EACH ROW
  WHEN (OLD.status <> 'running' AND (OLD.billed_cost, OLD.currency, OLD.cost_source, OLD.status, OLD.error_code, OLD.provider, OLD.model, OLD.sends)
                    IS DISTINCT FROM (NEW.billed_cost, NEW.currency, NEW.cost_source, NEW.status, NEW.error_code, NEW.provider, NEW.model, NEW.sends))
  EXECUTE FUNCTION image_gen_internal.on_spending_change();
CREATE TRIGGER spending_changes BEFORE DELETE ON image_gen.campaign_assets FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_spending_change();

-- By hand, past our functions: rare, and not worth keeping the times of first and last calls for each job.
CREATE FUNCTION image_gen_internal.on_spending_loss() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_seq bigint;
BEGIN
  IF TG_LEVEL = 'STATEMENT' THEN
    PERFORM image_gen_internal.reset_spending();
    RETURN NULL;
  ELSIF TG_TABLE_NAME = 'jobs' THEN
    this_seq := OLD.seq;
  ELSE
    SELECT j.seq INTO this_seq FROM image_gen.jobs j WHERE j.id = OLD.job_id;
  END IF;
  IF this_seq <= (SELECT m.folded_to FROM image_gen_internal.spending_mark m) AND NOT EXISTS (SELECT FROM image_gen_internal.spending_left_out l WHERE l.seq = this_seq) THEN
    PERFORM image_gen_internal.reset_spending();
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION image_gen_internal.on_spending_loss() IS 'Empties the totals where a job that is in them is removed or made another''s. (prune() takes its jobs out first.)';
CREATE TRIGGER spending_lost BEFORE DELETE ON image_gen.jobs FOR EACH ROW EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_moved BEFORE UPDATE OF metadata, owner, operation ON image_gen.jobs FOR EACH ROW
  WHEN ((OLD.metadata, OLD.owner, OLD.operation) IS DISTINCT FROM (NEW.metadata, NEW.owner, NEW.operation)) EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_lost BEFORE DELETE ON image_gen.attempts FOR EACH ROW WHEN (OLD.status <> 'running') EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_moved BEFORE UPDATE OF job_id, number, created_at ON image_gen.attempts FOR EACH ROW
  WHEN ((OLD.job_id, OLD.number, OLD.created_at) IS DISTINCT FROM (NEW.job_id, NEW.number, NEW.created_at)) EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.jobs FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.attempts FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen.campaign_assets FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss();
CREATE TRIGGER spending_emptied AFTER TRUNCATE ON image_gen_internal.spending_archive FOR EACH STATEMENT EXECUTE FUNCTION image_gen_internal.on_spending_loss();
-- Also where the worker leaves out the triggers of others.
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger t WHERE t.tgname LIKE 'spending\_%' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', one.relation, one.tgname);
  END LOOP;
END $$;

CREATE FUNCTION image_gen_internal.spending_discrepancies() RETURNS TABLE (problem text, booked numeric, computed numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  -- From the rows of all calls, whether they are in the totals or not.
  RETURN QUERY
  WITH calls AS (
    SELECT s.*, s.at AS first_call FROM image_gen_internal.spending_rows s
  ), plain AS (
    SELECT u.owner, u.campaign, u.ticket, u.currency, sum(u.jobs) AS jobs, sum(u.images) AS images, sum(u.calls) AS calls, sum(u.billed) AS billed,
           sum(u.unknown_costs) AS unknown_costs, sum(u.refusals) AS refusals, sum(u.retries) AS retries, sum(u.wasted) AS wasted,
           min(u.first_call) AS first_call, max(u.last_call) AS last_call
      FROM (SELECT c.owner, c.campaign, c.ticket, c.currency, max(c.jobs) AS jobs, sum(c.images) AS images, sum(c.calls) AS calls,
                   coalesce(sum(c.billed_cost), 0) AS billed, count(*) FILTER (WHERE c.billed_cost IS NULL) AS unknown_costs,
                   coalesce(sum(c.jobs) FILTER (WHERE c.status = 'refused'), 0) AS refusals,
                   sum(c.retries) AS retries,
                   coalesce(sum(c.billed_cost) FILTER (WHERE c.status <> 'succeeded'), 0) AS wasted, min(c.first_call) AS first_call,
                   max(c.last_call) AS last_call
              FROM calls c GROUP BY c.owner, c.campaign, c.ticket, c.currency, c.job_id) u
     GROUP BY u.owner, u.campaign, u.ticket, u.currency
  )
  SELECT format('total of %s differs from its calls', jsonb_build_array(image_gen_internal.role_name(coalesce(t.owner, p.owner)), coalesce(t.campaign, p.campaign), coalesce(t.ticket, p.ticket))), t.billed, p.billed
    FROM image_gen_internal.spending_by_ticket t
    FULL JOIN plain p ON p.owner = t.owner AND p.currency = t.currency AND coalesce(p.campaign, '') = coalesce(t.campaign, '') AND (p.campaign IS NULL) = (t.campaign IS NULL)
                     AND coalesce(p.ticket, '') = coalesce(t.ticket, '') AND (p.ticket IS NULL) = (t.ticket IS NULL)
   WHERE (t.jobs, t.images, t.calls, t.billed, t.unknown_costs, t.refusals, t.retries, t.wasted, t.first_call, t.last_call)
     IS DISTINCT FROM (p.jobs, p.images, p.calls, p.billed, p.unknown_costs, p.refusals, p.retries, p.wasted, p.first_call, p.last_call);
END $$;
COMMENT ON FUNCTION image_gen_internal.spending_discrepancies() IS 'What spending_totals and the calls that are not in it come to, where that is not the sum over all calls.';

SET LOCAL search_path = image_gen, pg_temp;
