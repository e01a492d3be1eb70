-- Whose jobs are whose. An owner is a role by its oid, as everywhere in PostgreSQL: a rename changes nothing, and what a role that
-- was dropped had is its own still, until an administrator gives it to another one.

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION image_gen.reassign_jobs(from_role text, to_role text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old regrole := image_gen_internal.role_oid($1, dropped => true);
  new regrole := image_gen_internal.role_oid($2);
  waiting text[];
  in_flight text[];
  moved bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  IF old = new THEN
    RAISE EXCEPTION 'from_role and to_role are the same role' USING ERRCODE = 'invalid_parameter_value', HINT = 'Name the role that is to have the jobs as to_role.';
  END IF;
  -- No job is pruned meanwhile.
  PERFORM FROM image_gen_internal.locks l WHERE l.name = 'retention' FOR UPDATE;
  -- The worker writes what is in flight, and must not wait for this transaction.
  SELECT array_agg(l.job_id) INTO waiting
    FROM (SELECT q.job_id FROM image_gen_internal.queue q WHERE q.owner = old AND q.state <> 'running' FOR UPDATE SKIP LOCKED) l;
  SELECT array_agg(q.job_id) INTO in_flight FROM image_gen_internal.queue q WHERE q.owner = old AND q.job_id <> ALL (coalesce(waiting, '{}'));
  in_flight := coalesce(in_flight, '{}');
  -- An idempotency key that the new owner has used means the new owner's job.
  UPDATE image_gen.jobs j SET idempotency_key = NULL, request_hash = NULL
   WHERE j.owner = old AND j.id <> ALL (in_flight) AND j.idempotency_key IS NOT NULL
     AND EXISTS (SELECT FROM image_gen.jobs o WHERE o.owner = new AND o.idempotency_key = j.idempotency_key);
  UPDATE image_gen.jobs j SET owner = new, login = CASE WHEN j.login = old THEN new ELSE j.login END WHERE j.owner = old AND j.id <> ALL (in_flight);
  GET DIAGNOSTICS moved = ROW_COUNT;
  UPDATE image_gen_internal.queue q SET owner = new WHERE q.owner = old AND q.job_id = ANY (waiting);
  UPDATE image_gen.attempts a SET owner = new WHERE a.owner = old AND a.job_id <> ALL (in_flight);
  UPDATE image_gen.campaign_assets a SET owner = new WHERE a.owner = old AND a.job_id <> ALL (in_flight);
  INSERT INTO image_gen.stored_images (owner, sha256, content_type, width, height, byte_size, created_at)
  SELECT new, s.sha256, s.content_type, s.width, s.height, s.byte_size, s.created_at FROM image_gen.stored_images s WHERE s.owner = old
  ON CONFLICT ON CONSTRAINT stored_images_pkey DO NOTHING;
  DELETE FROM image_gen.stored_images s WHERE s.owner = old;
  UPDATE image_gen_internal.budget_charges c SET owner = new WHERE c.owner = old AND c.job_id <> ALL (in_flight);
  UPDATE image_gen_internal.spending_archive s SET owner = new WHERE s.owner = old;
  IF EXISTS (SELECT FROM image_gen.budgets b WHERE b.scope = 'role') THEN
    -- They count in the limits of the new owner; what they used up of the old one's stays used up.
    PERFORM image_gen_internal.charge_jobs(ARRAY(SELECT j.id::text FROM image_gen.jobs j WHERE j.owner = new), true);
  END IF;
  -- What was folded of the archive has the old owner.
  PERFORM image_gen_internal.reset_spending();
  PERFORM image_gen_internal.record_audit('jobs.reassigned', $1, jsonb_build_object('to', image_gen_internal.role_name(new), 'jobs', moved));
  PERFORM image_gen_internal.wake((SELECT min(q.seq) FROM image_gen_internal.queue q WHERE q.job_id = ANY (waiting)));
  IF in_flight <> '{}' THEN
    RAISE NOTICE '% jobs of role "%" are in flight and stay where they are', cardinality(in_flight), $1 USING HINT = 'Call it again when they have ended.';
  END IF;
  RETURN moved;
END $$;
COMMENT ON FUNCTION image_gen.reassign_jobs(text, text) IS
'Gives all jobs of a role, with their calls, images and what was spent, to another role; returns how many jobs. from_role: a name, or the oid of a role that was dropped, as owner shows it.
Jobs in flight stay (with a NOTICE): call it again when they have ended. An idempotency key that the new owner has used as well is taken off the job that comes. The jobs count in the limits
of the new owner from then on. REASSIGN OWNED and DROP OWNED leave rows alone: call this before DROP ROLE, or afterwards. For administrators. Errors: 42501, 42704, 22023.';

SET LOCAL search_path = image_gen, pg_temp;
