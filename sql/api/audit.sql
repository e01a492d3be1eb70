-- What is written into audit_log, and how what is old leaves it. (A change of a row is seen whoever makes it, also a superuser with UPDATE.)

SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT * FROM (VALUES
      ('providers', 'provider', 'id', 'kind,base_url,key_name,enabled,max_in_flight,requests_per_minute,options,needs_approval'),
      ('role_policies', 'policy', 'role', 'allow_unpriced,allowed_options,allowed_providers,allowed_models,allowed_operations,max_queued,max_in_flight,requests_per_minute,note'),
      ('provider_access', 'provider_access', 'provider,role', 'granted_by'),
      ('policy_rules', 'policy_rule', 'rule', 'position,class,pattern,action,message,enabled'),
      ('campaign_grants', 'campaign', 'campaign,role', ''),
      ('budget_changes', 'budget_amount', 'budget_id', 'kind,amount,valid_from,valid_until,note'),
      ('webhooks', 'webhook', 'id', 'url,events,key_name,filter,enabled'),
      ('finish_hooks', 'finish_hook', 'id', 'function,owner,filter'),
      ('access_tokens', 'access_token', 'id', 'role,scopes,note,expires_at,revoked_at'),
      ('refusal_steps', 'refusal_step', 'step', 'action,model'),
      ('prices', 'price', 'provider_kind,model', 'unit,quality,amount,currency,valid_from,valid_to')
    ) AS a(relation, kind, keys, columns)
  LOOP
    EXECUTE format('CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON image_gen.%I FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change(%L, %L, %L)',
                   one.relation, one.kind, '{' || one.keys || '}', '{' || one.columns || '}');
    EXECUTE format('CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.%I EXECUTE FUNCTION image_gen_internal.audit_change(%L)', one.relation, one.kind);
    EXECUTE format('ALTER TABLE image_gen.%I ENABLE ALWAYS TRIGGER audited, ENABLE ALWAYS TRIGGER audited_whole', one.relation);
  END LOOP;
END $$;

-- The cap of a batch comes and goes with the batch.
CREATE TRIGGER audited_new AFTER INSERT ON image_gen.budgets FOR EACH ROW
  WHEN (NEW.scope <> 'batch') EXECUTE FUNCTION image_gen_internal.audit_change('budget', '{scope,key,role,period}', '{amount,rolling,time_zone,note}');
CREATE TRIGGER audited AFTER UPDATE ON image_gen.budgets FOR EACH ROW
  EXECUTE FUNCTION image_gen_internal.audit_change('budget', '{scope,key,role,period}', '{amount,rolling,time_zone,note}');
CREATE TRIGGER audited_gone AFTER DELETE ON image_gen.budgets FOR EACH ROW
  WHEN (OLD.scope <> 'batch') EXECUTE FUNCTION image_gen_internal.audit_change('budget', '{scope,key,role,period}', '{amount,rolling,time_zone,note}');
CREATE TRIGGER audited_whole AFTER TRUNCATE ON image_gen.budgets EXECUTE FUNCTION image_gen_internal.audit_change('budget');
ALTER TABLE image_gen.budgets ENABLE ALWAYS TRIGGER audited_new, ENABLE ALWAYS TRIGGER audited, ENABLE ALWAYS TRIGGER audited_gone, ENABLE ALWAYS TRIGGER audited_whole;

-- A claim is no decision. (What a decision says is in reviews; a note may be about a person.)
CREATE TRIGGER audited_new AFTER INSERT ON image_gen.reviews FOR EACH ROW
  WHEN (NEW.resolved_at IS NOT NULL) EXECUTE FUNCTION image_gen_internal.audit_change('review', '{job_id}', '{action,resolved_by,resolved_at}');
CREATE TRIGGER audited AFTER UPDATE ON image_gen.reviews FOR EACH ROW
  WHEN (NEW.resolved_at IS NOT NULL AND NEW.resolved_at IS DISTINCT FROM OLD.resolved_at)
  EXECUTE FUNCTION image_gen_internal.audit_change('review', '{job_id}', '{action,resolved_by,resolved_at}');
ALTER TABLE image_gen.reviews ENABLE ALWAYS TRIGGER audited_new, ENABLE ALWAYS TRIGGER audited;

CREATE TRIGGER audited AFTER UPDATE ON image_gen.approvals FOR EACH ROW EXECUTE FUNCTION image_gen_internal.audit_change('approval', '{asset_id}', '{state,decided_by,decided_at}');
ALTER TABLE image_gen.approvals ENABLE ALWAYS TRIGGER audited;

CREATE TRIGGER audited AFTER UPDATE ON image_gen.attachment_definitions FOR EACH ROW
  WHEN (NEW.paused <> OLD.paused) EXECUTE FUNCTION image_gen_internal.audit_change('attachment', '{id}', '{paused}');
ALTER TABLE image_gen.attachment_definitions ENABLE ALWAYS TRIGGER audited;

CREATE FUNCTION image_gen.purge_audit_log(older_than interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cut timestamptz := date_trunc('milliseconds', clock_timestamp() - older_than);
  removed bigint;
BEGIN
  PERFORM image_gen_internal.require_admin(image_gen_internal.caller());
  -- Who has just done something cannot take it out again.
  IF older_than IS NULL OR cut > clock_timestamp() - interval '30 days' THEN
    RAISE EXCEPTION 'older_than is %', coalesce(older_than::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an age of 30 days or more, such as ''1 year''.';
  END IF;
  SELECT count(*) INTO removed FROM image_gen.audit_log l WHERE l.at < cut AND l.action <> 'audit.purged';
  PERFORM image_gen_internal.record_audit('audit.purged', 'audit_log', jsonb_build_object('before', cut, 'rows', removed));
  DELETE FROM image_gen.audit_log l WHERE l.at < cut AND l.action <> 'audit.purged';
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $$;
COMMENT ON FUNCTION image_gen.purge_audit_log(interval) IS
'Removes rows of audit_log that are at least so old, 30 days or more; returns how many. That it was called, by whom and up to when, is a row that stays. For administrators.';

SET LOCAL search_path = image_gen, pg_temp;
