-- Review by a person: what a safety filter refused for good, and what may or may not have been billed.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.pending_approvals() RETURNS TABLE (
  id image_gen.job_id, operation image_gen.operation, url text, key jsonb, relation text, metadata jsonb, prompt text, model text, seed image_gen.seed, known_cost numeric,
  cost_source image_gen.cost_source, currency text, owner regrole,
  claimed_by regrole, claimed_at timestamptz, created_at timestamptz, finished_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := image_gen_internal.may_review(caller);
BEGIN
  RETURN QUERY
  SELECT j.id, j.operation, a.url, e.key, d.relation_name, j.metadata::jsonb, coalesce(a.prompt, j.prompt), coalesce(a.model, j.model), j.seed, j.known_cost,
         j.cost_source, j.currency, j.owner, r.claimed_by, r.claimed_at, j.created_at, j.finished_at
    FROM image_gen_internal.callback_queue c
    JOIN image_gen.finish_hooks h ON h.id = c.hook
    JOIN image_gen.attachment_definitions d ON d.id = h.attachment
    JOIN image_gen.attachment_entries e ON e.attachment = d.id AND e.key = c.key AND e.job_id = c.job_id AND e.state = 'queued'
    JOIN image_gen.jobs j ON j.id = c.job_id
    LEFT JOIN image_gen.campaign_assets a ON a.job_id = j.id AND a.position = 1
    LEFT JOIN image_gen.reviews r ON r.job_id = j.id AND r.resolved_at IS NULL
   WHERE c.awaits_approval AND (j.owner = caller OR sees_all);
END $$;
COMMENT ON FUNCTION image_gen_internal.pending_approvals() IS 'Images that wait for a person before they are written to an attached table: the caller''s own, for reviewers and administrators all.';

CREATE VIEW image_gen.review_queue WITH (security_invoker = true) AS
SELECT j.id, j.operation, j.error_code AS why, j.error_message, j.metadata ->> 'campaign' AS campaign, j.metadata ->> 'shot' AS shot,
       j.prompt, j.model, j.seed, t.prompts_tried, t.calls, j.known_cost AS spent, j.cost_source, j.currency, j.owner,
       r.claimed_by, r.claimed_at, j.created_at, j.finished_at AS waiting_since
  FROM image_gen.jobs j
  LEFT JOIN image_gen.reviews r ON r.job_id = j.id AND r.resolved_at IS NULL
 CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT a.prompt) AS prompts_tried,
           coalesce(jsonb_agg(jsonb_build_object('number', a.number, 'provider', a.provider, 'model', a.model, 'status', a.status,
                                                 'code', a.error_code, 'message', a.error_message, 'prompt', a.prompt,
                                                 'billed_cost', a.billed_cost, 'claimed_cost', a.claimed_cost, 'currency', a.currency,
                                                 'cost_source', a.cost_source) ORDER BY a.number), '[]') AS calls
      FROM image_gen.attempts a WHERE a.job_id = j.id) t
 WHERE j.status = 'needs_review'
UNION ALL
SELECT w.id, w.operation, 'approval', format('image %s is to be written to row %s of %s', w.url, w.key, w.relation), w.metadata ->> 'campaign', w.metadata ->> 'shot',
       w.prompt, w.model COLLATE "C", w.seed, ARRAY[w.prompt], '[]', w.known_cost, w.cost_source, w.currency, w.owner, w.claimed_by, w.claimed_at, w.created_at, w.finished_at
  FROM image_gen_internal.pending_approvals() w;
COMMENT ON VIEW image_gen.review_queue IS
'Jobs that wait for a person: why (content_policy: a rule of policy_rules wants one before anything is sent; safety_filter: refused to the end; uncertain, timeout: it may have been billed; approval: its image is to be
written to an attached table), all that was tried, what it cost so far as far as that is known, and who looks at it.
Users see their own, members of image_gen_reviewer and of image_gen_admin all.';

CREATE FUNCTION image_gen_internal.may_review(caller regrole) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_has_role(caller, 'image_gen_reviewer', 'member') OR pg_has_role(caller, 'image_gen_admin', 'member')
$$;
COMMENT ON FUNCTION image_gen_internal.may_review(regrole) IS 'Whether a role reviews the jobs of others, and says what calls of unknown cost were billed.';

CREATE FUNCTION image_gen_internal.check_review(caller regrole, reviewed_id text, action text, cost_given boolean) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF image_gen_internal.may_review(caller) THEN
    RETURN;
  ELSIF cost_given THEN
    RAISE EXCEPTION 'only a reviewer may say what a call was billed' USING ERRCODE = 'insufficient_privilege',
      HINT = 'Leave billed_cost out, or ask a member of image_gen_reviewer or image_gen_admin.';
  ELSIF action NOT IN ('reject', 'rewrite') AND EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = reviewed_id AND j.error_code = 'content_policy') THEN
    -- (A rewritten prompt is held against the rules again.)
    RAISE EXCEPTION 'job % waits for a person because of what it asks for: only a reviewer may decide that', reviewed_id USING ERRCODE = 'insufficient_privilege',
      HINT = 'Rewrite its prompt, reject it, or ask a member of image_gen_reviewer or image_gen_admin.';
  ELSIF action <> 'reject' AND EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = reviewed_id AND a.billed_cost IS NULL AND a.status <> 'refused') THEN
    -- (A refusal has made no image, whatever it costs: what it was expected to cost stays reserved.)
    -- To go on from here is to say that the call was not billed, or that its image is there.
    RAISE EXCEPTION 'a call of job % may have been billed: only a reviewer may decide that', reviewed_id USING ERRCODE = 'insufficient_privilege',
      HINT = 'Ask a member of image_gen_reviewer or image_gen_admin; or reject the job: what the call was expected to cost then stays reserved until an administrator says settle_cost().';
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.check_review(regrole, text, text, boolean) IS 'An error (42501) where the owner of a job decides about money, or about what policy_rules leave to a reviewer: docs/roles.md.';

CREATE FUNCTION image_gen.claim_review(n integer DEFAULT 1, stale interval DEFAULT '30 minutes') RETURNS SETOF image_gen.review_queue
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  taken text[];
BEGIN
  SELECT array_agg(p.id) INTO taken FROM (
    SELECT j.id FROM image_gen.jobs j LEFT JOIN image_gen.reviews r ON r.job_id = j.id AND r.resolved_at IS NULL
     WHERE (j.status = 'needs_review' AND (j.owner = caller OR image_gen_internal.may_review(caller)) OR j.id IN (SELECT w.id FROM image_gen_internal.pending_approvals() w))
       AND (r.claimed_by IS NULL OR r.claimed_at < clock_timestamp() - stale)
     ORDER BY j.finished_at, j.seq LIMIT least(greatest(n, 0), 100)
       FOR UPDATE OF j SKIP LOCKED) p;
  -- A concurrent session may have claimed one of them between the look and the lock.
  WITH mine AS (
    INSERT INTO image_gen.reviews AS r (job_id, claimed_by, claimed_at)
    SELECT t, caller, clock_timestamp() FROM unnest(taken) t
    ON CONFLICT (job_id) DO UPDATE
       SET claimed_by = excluded.claimed_by, claimed_at = excluded.claimed_at, action = NULL, note = NULL, resolved_by = NULL, resolved_at = NULL
     WHERE r.resolved_at IS NOT NULL OR r.claimed_by IS NULL OR r.claimed_at < clock_timestamp() - stale
    RETURNING r.job_id)
  SELECT array_agg(m.job_id) INTO taken FROM mine m;
  RETURN QUERY SELECT q.* FROM image_gen.review_queue q WHERE q.id = ANY (taken) ORDER BY q.waiting_since, q.id;
END $$;
COMMENT ON FUNCTION image_gen.claim_review(integer, interval) IS
'Takes the oldest unclaimed jobs, so that several reviewers never get the same one. A claim older than stale is free again.';

CREATE FUNCTION image_gen.resolve_review(
  id text, action text, prompt text DEFAULT NULL, model text DEFAULT NULL, url text DEFAULT NULL, billed_cost numeric DEFAULT NULL,
  note text DEFAULT NULL)
RETURNS SETOF image_gen.job_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  job image_gen.jobs;
  review image_gen.reviews;
  last image_gen.attempts;
  target record;
BEGIN
  SELECT j.* INTO job FROM image_gen.jobs j
   WHERE j.id = $1 AND (j.owner = caller OR image_gen_internal.may_review(caller)) FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'job "%" does not exist, or is not yours', $1 USING ERRCODE = 'undefined_object',
      HINT = 'SELECT * FROM image_gen.review_queue lists what waits for a person.';
  ELSIF job.status = 'succeeded' AND EXISTS (SELECT FROM image_gen_internal.callback_queue c WHERE c.job_id = job.id AND c.awaits_approval) THEN
    PERFORM image_gen_internal.resolve_approval(job.id, action, note, caller);
    RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
    RETURN;
  ELSIF job.status <> 'needs_review' THEN
    RAISE EXCEPTION 'job % is % and is not awaiting review', $1, job.status USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'SELECT * FROM image_gen.review_queue lists what waits for a person.';
  ELSIF $2 IS NULL OR $2 NOT IN ('approve', 'reject', 'rewrite', 'switch_model', 'retry') THEN
    RAISE EXCEPTION 'action ''%'' does not exist', $2 USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use one of: approve (here is the image), reject (no image), rewrite (with a prompt), switch_model (with a model), retry.';
  ELSIF $2 = 'approve' AND $5 IS NULL OR $2 = 'rewrite' AND coalesce(image_gen_internal.is_blank_prompt($3), true) OR $2 = 'switch_model' AND $4 IS NULL THEN
    RAISE EXCEPTION '% needs %', $2, CASE $2 WHEN 'approve' THEN 'the url of the image' WHEN 'rewrite' THEN 'a prompt' ELSE 'a model' END
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Give it by name, for example prompt => ''...'', model => ''...'' or url => ''https://...''.';
  ELSIF length($3) > 32000 THEN
    RAISE EXCEPTION 'the prompt has % characters, at most 32000 are possible', length($3) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Shorten the prompt.';
  ELSIF $5 IS NOT NULL AND $5 !~ '^https://' THEN
    RAISE EXCEPTION 'url is not an https URL' USING ERRCODE = 'invalid_parameter_value', HINT = 'Store the image somewhere and give its https URL.';
  END IF;
  PERFORM image_gen_internal.check_amount('billed_cost', $6, 'Give what the provider charged, in USD; 0 when nothing.');
  PERFORM image_gen_internal.check_review(caller, $1, $2, $6 IS NOT NULL);
  SELECT r.* INTO review FROM image_gen.reviews r WHERE r.job_id = $1 AND r.resolved_at IS NULL;
  IF review.claimed_by <> caller AND review.claimed_at > clock_timestamp() - interval '30 minutes' THEN
    RAISE EXCEPTION '% has been looking at job % since %', image_gen_internal.role_name(review.claimed_by), $1, review.claimed_at USING ERRCODE = 'lock_not_available',
      HINT = 'Take another one with image_gen.claim_review(), or wait until the claim is 30 minutes old.';
  END IF;

  SELECT a.* INTO last FROM image_gen.attempts a WHERE a.job_id = $1 ORDER BY a.number DESC LIMIT 1;
  IF $2 = 'approve' AND last.status IS DISTINCT FROM 'uncertain' THEN
    -- The calls keep their story: the image is the person's.
    PERFORM image_gen_internal.add_manual_asset($1, caller, trim_scale($6));
  ELSIF last.billed_cost IS NULL AND $6 IS NOT NULL THEN
    -- What the reviewer has found out about the call whose end was unknown.
    PERFORM image_gen_internal.record_cost($1, last.number, $6, 'review', $7, false);
  ELSIF $6 <> last.billed_cost THEN
    RAISE EXCEPTION 'the cost of call % is known', last.number USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'What is booked is corrected by an administrator: image_gen.settle_cost().';
  END IF;
  CASE $2
  WHEN 'approve' THEN
    PERFORM image_gen_internal.close_review($1, 'succeeded', NULL, NULL, $5);
  WHEN 'reject' THEN
    PERFORM image_gen_internal.close_review($1, 'failed', job.error_code, coalesce($7, 'rejected by ' || image_gen_internal.role_name(caller)), NULL);
  ELSE
    IF $2 = 'switch_model' THEN
      SELECT r.* INTO target FROM image_gen_internal.resolve_model($4, job.task) r;
      IF NOT target.offered THEN
        RAISE EXCEPTION 'no provider offers model "%" for this task: %', $4, job.task USING ERRCODE = 'feature_not_supported',
          HINT = 'image_gen.models.operations says what each model can do.';
      END IF;
      PERFORM image_gen_internal.retarget_job($1, target.model, target.provider);
    END IF;
    PERFORM image_gen_internal.requeue_reviewed($1, jsonb_strip_nulls(jsonb_build_object(
      'prompt', coalesce($3, nullif(last.prompt, job.prompt)),
      'cleared', CASE WHEN image_gen_internal.may_review(caller) THEN true END,
      'chosen', CASE WHEN $2 <> 'switch_model' AND last.id IS NOT NULL THEN last.provider || ':' || last.model END)));
  END CASE;
  INSERT INTO image_gen.reviews AS r (job_id, claimed_by, claimed_at, action, note, resolved_by, resolved_at)
  VALUES ($1, caller, clock_timestamp(), $2, $7, image_gen_internal.role_name(caller), clock_timestamp())
  ON CONFLICT (job_id) DO UPDATE SET action = excluded.action, note = excluded.note, resolved_by = excluded.resolved_by, resolved_at = excluded.resolved_at;
  RETURN QUERY SELECT s.* FROM image_gen.job_status s WHERE s.id = $1;
END $$;
COMMENT ON FUNCTION image_gen.resolve_review IS
'Decides about a job that waits for a person. approve: here is the image (url), which the provider has
delivered after all, or the person has brought (then an attempt of provider person stands for it); where its image is to be written to an attached table (why: approval), let it be
written, without a url. reject: no image; the job fails.
rewrite: again with this prompt. switch_model: again with this model. retry: again as it was. Those three resume the same job with the same seed.
billed_cost: what the provider charged for the last call, where that was unknown. Who decided, when and why is kept in image_gen.reviews. The owner of a job may reject it, and where
no call may have made an image that was billed do all the rest; billed_cost, and whatever follows a call that may have been billed, is the word of members of image_gen_reviewer and
image_gen_admin: else error 42501.';

CREATE FUNCTION image_gen_internal.resolve_approval(resolved_id text, action text, note text, caller regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  other image_gen.reviews;
BEGIN
  SELECT r.* INTO other FROM image_gen.reviews r WHERE r.job_id = resolved_id AND r.resolved_at IS NULL AND r.claimed_by <> caller AND r.claimed_at > clock_timestamp() - interval '30 minutes';
  IF other.job_id IS NOT NULL THEN
    RAISE EXCEPTION '% has been looking at job % since %', image_gen_internal.role_name(other.claimed_by), resolved_id, other.claimed_at USING ERRCODE = 'lock_not_available',
      HINT = 'Take another one with image_gen.claim_review(), or wait until the claim is 30 minutes old.';
  END IF;
  CASE action
  WHEN 'approve' THEN
    UPDATE image_gen_internal.callback_queue c SET awaits_approval = false, due_at = clock_timestamp() WHERE c.job_id = resolved_id AND c.awaits_approval;
    PERFORM image_gen_internal.tell_worker('callbacks');
  WHEN 'reject' THEN
    UPDATE image_gen.attachment_entries e SET state = 'rejected', error_code = 'rejected', error_message = coalesce(note, 'rejected by ' || image_gen_internal.role_name(caller)), changed_at = clock_timestamp()
     WHERE e.job_id = resolved_id AND e.state = 'queued'
       AND e.attachment IN (SELECT h.attachment FROM image_gen_internal.callback_queue c JOIN image_gen.finish_hooks h ON h.id = c.hook WHERE c.job_id = resolved_id AND c.awaits_approval);
    DELETE FROM image_gen_internal.callback_queue c WHERE c.job_id = resolved_id AND c.awaits_approval;
  ELSE
    RAISE EXCEPTION 'the image of job % can be approved or rejected, and nothing else', resolved_id USING ERRCODE = 'invalid_parameter_value',
      HINT = 'After reject, change the prompt of the row to have another image.';
  END CASE;
  INSERT INTO image_gen.reviews AS r (job_id, claimed_by, claimed_at, action, note, resolved_by, resolved_at)
  VALUES (resolved_id, caller, clock_timestamp(), action, note, image_gen_internal.role_name(caller), clock_timestamp())
  ON CONFLICT (job_id) DO UPDATE SET action = excluded.action, note = excluded.note, resolved_by = excluded.resolved_by, resolved_at = excluded.resolved_at;
END $$;
COMMENT ON FUNCTION image_gen_internal.resolve_approval(text, text, text, regrole) IS 'A person''s word about an image that is to be written to an attached table.';

SET LOCAL search_path = image_gen, pg_temp;