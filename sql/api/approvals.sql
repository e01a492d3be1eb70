-- A person's word about images that policy_rules want one to see.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen_internal.waiting_approvals()
RETURNS TABLE (asset_id bigint, why text, requested_at timestamptz, job_id text, campaign text, shot text, prompt text, model text, url text, thumbnail bytea, owner regrole)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  caller regrole := image_gen_internal.caller();
  sees_all boolean := image_gen_internal.may_review(caller);
BEGIN
  RETURN QUERY
  SELECT p.asset_id, p.why, p.requested_at, a.job_id::text, a.campaign, a.shot, a.prompt, a.model::text, coalesce(a.mirror_url, a.url), t.bytes, a.owner
    FROM image_gen.approvals p JOIN image_gen.campaign_assets a ON a.id = p.asset_id
    LEFT JOIN image_gen_internal.thumbnails t ON t.sha256 = a.sha256
   WHERE p.state = 'pending' AND (a.owner = caller OR sees_all);
END $$;
COMMENT ON FUNCTION image_gen_internal.waiting_approvals() IS 'Images that wait for a person: the caller''s own, for reviewers and administrators all.';

CREATE VIEW image_gen.approval_queue AS SELECT w.* FROM image_gen_internal.waiting_approvals() w;
COMMENT ON VIEW image_gen.approval_queue IS
'Images that wait for approve_asset() or reject_asset(), why, and what they look like (thumbnail). Users see their own, members of image_gen_reviewer and of image_gen_admin all.';

CREATE FUNCTION image_gen_internal.decide_asset(asset bigint, new_state text, words text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller regrole := image_gen_internal.caller();
  reviews boolean := image_gen_internal.may_review(caller);
  made record;
BEGIN
  SELECT a.id, a.job_id, p.state INTO made
    FROM image_gen.campaign_assets a LEFT JOIN image_gen.approvals p ON p.asset_id = a.id WHERE a.id = asset AND (a.owner = caller OR reviews) FOR NO KEY UPDATE OF a;
  IF made.id IS NULL THEN
    PERFORM image_gen_internal.raise_no_such_asset(asset);
  ELSIF made.state IS NULL THEN
    RAISE EXCEPTION 'asset % waits for no approval', asset USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'SELECT * FROM image_gen.approval_queue lists what does.';
  ELSIF NOT reviews AND (new_state = 'approved' OR made.state <> 'pending') THEN
    RAISE EXCEPTION 'only a reviewer may approve an image, or change what was decided' USING ERRCODE = 'insufficient_privilege',
      HINT = 'Ask a member of image_gen_reviewer or image_gen_admin. Who owns it may reject it while it waits.';
  ELSIF char_length(words) > 1000 THEN
    RAISE EXCEPTION 'the note has % characters, at most 1000 are possible', char_length(words) USING ERRCODE = 'invalid_parameter_value', HINT = 'Shorten it.';
  END IF;
  UPDATE image_gen.approvals p SET state = new_state, decided_by = image_gen_internal.role_name(caller), decided_at = clock_timestamp(), note = words WHERE p.asset_id = asset;
  IF new_state = 'rejected' THEN
    DELETE FROM image_gen.picks k WHERE k.asset_id = asset;
  END IF;
  -- The row of an attached table that the image is for.
  IF EXISTS (SELECT FROM image_gen_internal.callback_queue c WHERE c.job_id = made.job_id AND c.awaits_approval) THEN
    PERFORM image_gen_internal.resolve_approval(made.job_id, CASE new_state WHEN 'approved' THEN 'approve' ELSE 'reject' END, words, caller);
  END IF;
END $$;
COMMENT ON FUNCTION image_gen_internal.decide_asset(bigint, text, text) IS 'Writes down what a person says of an image, and lets follow what waits for that.';

CREATE FUNCTION image_gen.approve_asset(asset bigint, note text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.decide_asset($1, 'approved', $2);
END $$;
COMMENT ON FUNCTION image_gen.approve_asset(bigint, text) IS
'A person has seen the image, and it may be final. For members of image_gen_reviewer and image_gen_admin. Errors: 42704 where there is no such image, 55000 where it waits for no approval, 42501.';

CREATE FUNCTION image_gen.reject_asset(asset bigint, note text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM image_gen_internal.decide_asset($1, 'rejected', $2);
END $$;
COMMENT ON FUNCTION image_gen.reject_asset(bigint, text) IS
'The image is not to be final: it stays a candidate, is not written to an attached table, and is no pick any more. For reviewers and administrators, and for its owner while it waits. Errors as approve_asset().';

SET LOCAL search_path = image_gen, pg_temp;
