-- Who may do what. PUBLIC gets nothing; users see their own rows; the worker is not a superuser.

SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['image_gen_user', 'image_gen_reviewer', 'image_gen_admin', 'image_gen_worker'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = role) THEN
      EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role);
    END IF;
  END LOOP;
  -- Roles outlive the extension, and are there when it comes to a second database. What another role has prepared is no role
  -- of ours: who can be the worker could write every table.
  IF EXISTS (SELECT FROM pg_roles r
              WHERE r.rolname = 'image_gen_worker'
                AND (r.rolsuper OR r.rolbypassrls OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                     OR EXISTS (SELECT FROM pg_auth_members m WHERE r.oid IN (m.roleid, m.member)))) THEN
    RAISE EXCEPTION 'role image_gen_worker exists already and is not a plain role without members'
      USING ERRCODE = 'invalid_role_specification',
            HINT = 'It must have no LOGIN, SUPERUSER, BYPASSRLS, CREATEROLE, CREATEDB or REPLICATION, no members, and be a member of nothing. Alter it, or drop it.';
  END IF;
END $$;

REVOKE ALL ON SCHEMA image_gen, image_gen_internal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA image_gen, image_gen_internal FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA image_gen, image_gen_internal FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA image_gen, image_gen_internal FROM PUBLIC;
REVOKE ALL ON TYPE image_gen.receipt, image_gen.wait_reason, image_gen_internal.budget_standing, image_gen_internal.claimed_job, image_gen_internal.finding, image_gen_internal.catalogue_line FROM PUBLIC;
-- Who reads our tables can make a table from what it reads: that needs the types of the columns.
GRANT EXECUTE ON FUNCTION image_gen_internal.is_job_id TO image_gen_user, image_gen_reviewer, image_gen_admin;
GRANT USAGE ON TYPE image_gen.wait_reason TO image_gen_user, image_gen_reviewer, image_gen_admin;
DO $$
DECLARE
  domain regtype;
BEGIN
  FOR domain IN SELECT t.oid FROM pg_type t WHERE t.typnamespace = 'image_gen'::regnamespace AND t.typtype = 'd' LOOP
    EXECUTE format('REVOKE ALL ON DOMAIN %s FROM PUBLIC', domain);
    EXECUTE format('GRANT USAGE ON DOMAIN %s TO image_gen_user, image_gen_reviewer, image_gen_admin', domain);
  END LOOP;
END $$;

-- Functions that run with the caller's rights, and the views, use some of the machinery; what of it a role may use is granted below.
GRANT USAGE ON SCHEMA image_gen, image_gen_internal TO image_gen_user, image_gen_reviewer, image_gen_admin, image_gen_worker;

-- Users: submit, follow, see their own.
GRANT SELECT ON image_gen.jobs, image_gen.attempts, image_gen.campaign_assets, image_gen_internal.blobs, image_gen_internal.thumbnails, image_gen.marks, image_gen.job_status,
                image_gen.providers, image_gen.provider_kinds, image_gen.models, image_gen.prices, image_gen_internal.render_estimates,
                image_gen.refusal_steps, image_gen.rewrite_rules, image_gen.model_rules, image_gen.reviews, image_gen.review_queue,
                image_gen.provider_health, image_gen.provider_keys, image_gen.capabilities, image_gen.queue_stats, image_gen.worker_status, image_gen.reservations, image_gen.cost_reviews,
                image_gen.spending, image_gen_internal.counted_attempts, image_gen_internal.spending_archive, image_gen_internal.spending_totals, image_gen_internal.spending_days, image_gen_internal.spending_by_ticket, image_gen_internal.spending_rows, image_gen.cost_by_campaign, image_gen.cost_by_ticket,
                image_gen.estimate_calibration, image_gen.batches, image_gen.variants, image_gen.cost_by_set, image_gen.palettes, image_gen.picks, image_gen.lint_rules, image_gen.request_rules TO image_gen_user, image_gen_admin;
GRANT EXECUTE ON FUNCTION
  image_gen.generate, image_gen.edit, image_gen.upscale, image_gen.variate, image_gen.transfer_style,
  image_gen.status(text), image_gen.status(text[]), image_gen_internal.raise_no_such_job, image_gen_internal.queue_standing, image_gen_internal.waiting_for, image_gen_internal.metadata_entry, image_gen_internal.abbreviate, image_gen_internal.newest_jobs, image_gen.recent, image_gen.wait, image_gen.cancel(text), image_gen.cancel(text[]), image_gen.credits, image_gen.asset_bytes, image_gen.asset_url, image_gen.store_image, image_gen.drop_image, image_gen_internal.stored_bytes,
  image_gen.generate_batch, image_gen.estimate, image_gen.estimate_batch, image_gen.cost_report, image_gen_internal.restate_cost, image_gen_internal.unfolded_jobs, image_gen_internal.unfolded_attempts, image_gen_internal.visible_spending_days, image_gen_internal.edge_attempts, image_gen_internal.visible_reservations, image_gen_internal.visible_cost_reviews,
  image_gen.choose_model, image_gen.explain, image_gen.rewrite_prompt, image_gen.lint_prompt, image_gen.build_prompt, image_gen_internal.is_blank_prompt, image_gen.classify_request, image_gen.needs_text,
  image_gen.tool_schemas, image_gen.generate_image, image_gen.get_generation, image_gen.list_recent_generations, image_gen.get_credits, image_gen.settle, image_gen.settle_batch,
  image_gen.thumbnail, image_gen.provenance, image_gen.regenerate, image_gen.similar_assets, image_gen.hash_distance, image_gen.set_disclosure, image_gen.contact_sheet, image_gen_internal.render_contact_sheet,
  image_gen.set_style, image_gen.drop_style, image_gen.styled_prompt,
  image_gen.create_character, image_gen.drop_character, image_gen.character_sheet, image_gen.sheet_report,
  image_gen_internal.sheet_jobs, image_gen_internal.sheet_shots, image_gen_internal.image_distance, image_gen_internal.cosine_distance, image_gen_internal.perceptual_hash,
  image_gen.rerun_batch, image_gen.promote, image_gen.generate_variants, image_gen.pick, image_gen.lineage,
  image_gen_internal.raise_no_such_batch, image_gen_internal.set_of, image_gen_internal.raise_no_such_asset,
  image_gen_internal.tool_list, image_gen_internal.list_arguments, image_gen_internal.next_poll_ms, image_gen_internal.iso_time, image_gen_internal.tool_status, image_gen_internal.generation,
  image_gen.claim_review, image_gen.resolve_review, image_gen_internal.pending_approvals, image_gen_internal.model_capabilities, image_gen_internal.provider_kinds, image_gen.derive_seed, image_gen_internal.completions, image_gen_internal.await_completion, image_gen_internal.is_uncommitted, image_gen_internal.is_worker, image_gen_internal.fence_reason, image_gen_internal.current_role_oid, image_gen_internal.role_name, image_gen_internal.is_configured, image_gen_internal.keys_of_provider
  TO image_gen_user, image_gen_admin;

GRANT SELECT ON image_gen.reuses, image_gen.styles, image_gen.characters, image_gen.character_sheets TO image_gen_user, image_gen_admin;

-- The companion: whom it lets in, and what an agent is asked before it spends.
GRANT EXECUTE ON FUNCTION image_gen.spending_consent(text, jsonb), image_gen.spending_consent(text) TO image_gen_user, image_gen_reviewer, image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.token_identity TO image_gen_user, image_gen_reviewer, image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.create_token, image_gen.revoke_token TO image_gen_admin;
GRANT SELECT (id, role, scopes, note, created_by, created_at, expires_at, revoked_at) ON image_gen.access_tokens TO image_gen_admin;

-- Attached tables. Triggers need no right to fire; to make one needs it.
GRANT SELECT ON image_gen.attachment_definitions, image_gen.attachment_entries, image_gen.attachments, image_gen.attachment_rows TO image_gen_user, image_gen_admin;
GRANT EXECUTE ON FUNCTION
  image_gen.attach, image_gen.detach, image_gen.pause_attachment, image_gen.backfill, image_gen.attached_row, image_gen.attached_statement,
  image_gen_internal.attachment_function, image_gen_internal.attachment_problem, image_gen_internal.attachment_callback, image_gen_internal.check_attachment, image_gen_internal.define_attachment,
  image_gen_internal.bind_attachment, image_gen_internal.template_expression, image_gen_internal.remove_attachment
  TO image_gen_user, image_gen_admin;

-- What is copied to a store.
GRANT SELECT ON image_gen.stored_images, image_gen.copies, image_gen.expiring_assets, image_gen_internal.copy_queue TO image_gen_user, image_gen_admin;
GRANT SELECT ON image_gen.store_sweeps, image_gen.store_orphans, image_gen.stores, image_gen_internal.stored_objects, image_gen_internal.stores TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.copy_assets, image_gen.sweep_store TO image_gen_admin;
GRANT SELECT, INSERT ON image_gen_internal.copy_queue TO image_gen_worker;

-- Reviewers: what waits for a person, of all roles, and calls of unknown cost.
GRANT SELECT ON image_gen.jobs, image_gen.attempts, image_gen.campaign_assets, image_gen.reviews, image_gen.review_queue, image_gen.job_status, image_gen.cost_reviews
  TO image_gen_reviewer;
GRANT EXECUTE ON FUNCTION image_gen.claim_review, image_gen.resolve_review, image_gen_internal.pending_approvals, image_gen.status(text), image_gen.status(text[]), image_gen_internal.raise_no_such_job, image_gen_internal.queue_standing, image_gen_internal.waiting_for, image_gen_internal.visible_cost_reviews,
  image_gen_internal.fence_reason, image_gen_internal.current_role_oid, image_gen_internal.role_name TO image_gen_reviewer;

-- Administrators: the catalogue. Not where keys are sent (providers.base_url, key_name): that is the superuser's.
GRANT INSERT, UPDATE, DELETE ON image_gen.models, image_gen.prices, image_gen.refusal_steps, image_gen.rewrite_rules, image_gen.model_rules, image_gen.palettes,
  image_gen.lint_rules, image_gen.request_rules TO image_gen_admin;
GRANT UPDATE (enabled, priority, max_in_flight, requests_per_minute, options, needs_approval) ON image_gen.providers TO image_gen_admin;
GRANT SELECT ON image_gen_internal.queue, image_gen_internal.job_dependencies, image_gen_internal.cancel_requests, image_gen_internal.worker_state, image_gen.budgets, image_gen.budget_changes, image_gen_internal.budget_totals, image_gen_internal.budget_charges, image_gen_internal.budget_entries,
                image_gen.invoices, image_gen.invoice_lines, image_gen.invoice_diff, image_gen.cost_corrections, image_gen.role_policies, image_gen.campaign_grants, image_gen_internal.instance
  TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.set_budget, image_gen.grant_credits, image_gen.check_budgets, image_gen.recount_budgets, image_gen.settle_cost,
  image_gen.import_invoice, image_gen.resume, image_gen.prune, image_gen.set_role_policy, image_gen.drop_role_policy, image_gen.grant_campaign, image_gen.revoke_campaign,
  image_gen.reassign_jobs, image_gen.on_finish, image_gen.drop_on_finish, image_gen.retry_callbacks, image_gen_internal.check_model TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.check_worker TO image_gen_user, image_gen_admin;
-- Figures for monitoring: no rows of anyone.
GRANT USAGE ON SCHEMA image_gen, image_gen_internal TO pg_monitor;
GRANT EXECUTE ON FUNCTION image_gen_internal.is_worker, image_gen_internal.fence_reason, image_gen_internal.is_configured, image_gen_internal.budget_figures TO image_gen_admin, pg_monitor;
GRANT SELECT ON image_gen.queue_stats, image_gen.worker_status, image_gen.provider_health, image_gen.call_stats, image_gen.throughput, image_gen.budget_stats, image_gen.backlogs, image_gen.circuit_stats
  TO image_gen_admin, pg_monitor;
GRANT EXECUTE ON FUNCTION image_gen.check_worker TO pg_monitor;
GRANT SELECT ON image_gen.pauses TO image_gen_admin, image_gen_worker;
GRANT EXECUTE ON FUNCTION image_gen.pause, image_gen.unpause, image_gen.shipped_catalogue, image_gen.import_catalogue, image_gen.catalogue_status, image_gen_internal.shipped_catalogue TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.doctor, image_gen.check_provider, image_gen.start_worker TO image_gen_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON image_gen.webhooks TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.redrive, image_gen_internal.caller TO image_gen_admin;
GRANT SELECT ON image_gen.audit_log TO image_gen_admin;
GRANT SELECT ON image_gen.approvals, image_gen.approval_queue TO image_gen_user, image_gen_reviewer, image_gen_admin;
GRANT SELECT, INSERT ON image_gen.approvals TO image_gen_worker;
GRANT EXECUTE ON FUNCTION image_gen.approve_asset, image_gen.reject_asset, image_gen_internal.waiting_approvals TO image_gen_user, image_gen_reviewer, image_gen_admin;
GRANT SELECT ON image_gen.provider_access, image_gen.policy_rules TO image_gen_user, image_gen_admin, image_gen_worker;
GRANT SELECT ON image_gen.role_policies TO image_gen_worker;
GRANT INSERT, UPDATE, DELETE ON image_gen.policy_rules TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen_internal.check_content_pattern TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.effective_policy, image_gen.request_provider, image_gen.forget TO image_gen_user, image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.grant_provider, image_gen.revoke_provider TO image_gen_admin;
GRANT EXECUTE ON FUNCTION image_gen.purge_audit_log TO image_gen_admin;
GRANT SELECT ON image_gen.webhook_deliveries, image_gen.finish_hooks, image_gen.callbacks, image_gen_internal.spending_mark, image_gen_internal.spending_left_out TO image_gen_admin;

-- The worker: what the functions in queue/ do, and no more.
GRANT SELECT, INSERT, UPDATE, DELETE ON image_gen_internal.queue, image_gen_internal.job_dependencies TO image_gen_worker;
GRANT SELECT, DELETE ON image_gen_internal.cancel_requests TO image_gen_worker;
GRANT SELECT, UPDATE ON image_gen.jobs, image_gen_internal.worker_state TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE ON image_gen.attempts, image_gen_internal.render_estimates TO image_gen_worker;
GRANT SELECT, INSERT ON image_gen.campaign_assets, image_gen_internal.blobs, image_gen_internal.thumbnails TO image_gen_worker;
GRANT SELECT ON image_gen.providers, image_gen.models, image_gen.prices, image_gen.model_rules, image_gen.refusal_steps, image_gen.rewrite_rules
  TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON image_gen_internal.provider_breakers TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE ON image_gen.provider_balances TO image_gen_worker;
GRANT SELECT ON image_gen.budgets, image_gen.budget_changes, image_gen.campaign_grants TO image_gen_worker;
GRANT SELECT, UPDATE ON image_gen_internal.budget_totals TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE ON image_gen_internal.budget_charges TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON image_gen_internal.budget_entries TO image_gen_worker;
GRANT SELECT, UPDATE ON image_gen.finish_hooks TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON image_gen_internal.callback_queue TO image_gen_worker;
GRANT SELECT ON image_gen.webhooks TO image_gen_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON image_gen.webhook_deliveries TO image_gen_worker;
GRANT EXECUTE ON FUNCTION image_gen_internal.queue_deliveries, image_gen_internal.next_delivery_in, image_gen_internal.take_deliveries, image_gen_internal.record_deliveries, image_gen_internal.prune_deliveries,
  image_gen_internal.new_job_id, image_gen_internal.role_name TO image_gen_worker;
GRANT SELECT ON image_gen.attachment_definitions TO image_gen_worker;
GRANT SELECT, UPDATE ON image_gen.attachment_entries TO image_gen_worker;
GRANT EXECUTE ON FUNCTION image_gen_internal.attachment_function TO image_gen_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA image_gen_internal TO image_gen_worker;
GRANT EXECUTE ON FUNCTION image_gen.rewrite_prompt TO image_gen_worker;

ALTER TABLE image_gen.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.campaign_assets ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen_internal.blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.stored_images ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen_internal.thumbnails ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen_internal.copy_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.picks ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen_internal.spending_archive ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen_internal.spending_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen_internal.spending_totals ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.provider_access ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.reuses ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.access_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.styles ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.characters ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.character_sheets ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.attachment_definitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE image_gen.attachment_entries ENABLE ROW LEVEL SECURITY;

CREATE POLICY own ON image_gen.jobs FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen.attempts FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen.campaign_assets FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen_internal.spending_archive FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen_internal.spending_days FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen_internal.spending_totals FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen_internal.blobs FOR SELECT TO image_gen_user
  USING (EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = blobs.sha256 AND a.owner = image_gen_internal.current_role_oid()));
CREATE POLICY own ON image_gen_internal.thumbnails FOR SELECT TO image_gen_user
  USING (EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.sha256 = thumbnails.sha256 AND a.owner = image_gen_internal.current_role_oid()));

-- As with privileges, a role has the styles of roles that it is a member of.
CREATE POLICY own ON image_gen.styles FOR SELECT TO image_gen_user USING (pg_has_role(owner::oid, 'member'));
CREATE POLICY own ON image_gen.characters FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen.character_sheets FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen.reuses FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen.attachment_definitions FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY own ON image_gen.attachment_entries FOR SELECT TO image_gen_user
  USING (EXISTS (SELECT FROM image_gen.attachment_definitions d WHERE d.id = attachment));

CREATE POLICY own ON image_gen.reviews FOR SELECT TO image_gen_user
  USING (EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = reviews.job_id AND j.owner = image_gen_internal.current_role_oid()));

-- Who sees the image.
CREATE POLICY seen ON image_gen.approvals FOR SELECT TO image_gen_user, image_gen_admin USING (EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = approvals.asset_id));
CREATE POLICY reviewed ON image_gen.approvals FOR SELECT TO image_gen_reviewer USING (true);
CREATE POLICY worker ON image_gen.approvals TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY every ON image_gen.webhooks TO image_gen_admin USING (true) WITH CHECK (true);
CREATE POLICY worker ON image_gen.webhooks FOR SELECT TO image_gen_worker USING (true);
CREATE POLICY every ON image_gen.webhook_deliveries FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY worker ON image_gen.webhook_deliveries TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY seen ON image_gen.picks FOR SELECT USING (EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = picks.asset_id));

CREATE POLICY reviewed ON image_gen.jobs FOR SELECT TO image_gen_reviewer USING (status = 'needs_review');
CREATE POLICY reviewed ON image_gen.attempts FOR SELECT TO image_gen_reviewer
  USING (EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = attempts.job_id AND j.status = 'needs_review'));
CREATE POLICY reviewed ON image_gen.reviews FOR SELECT TO image_gen_reviewer
  USING (EXISTS (SELECT FROM image_gen.jobs j WHERE j.id = reviews.job_id AND j.status = 'needs_review'));

CREATE POLICY own ON image_gen_internal.copy_queue FOR SELECT TO image_gen_user
  USING (EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.id = asset_id AND a.owner = image_gen_internal.current_role_oid()));
CREATE POLICY own ON image_gen.stored_images FOR SELECT TO image_gen_user USING (owner = image_gen_internal.current_role_oid());
CREATE POLICY every ON image_gen.access_tokens FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.stored_images FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen_internal.copy_queue FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY worker ON image_gen_internal.copy_queue TO image_gen_worker USING (true) WITH CHECK (true);

CREATE POLICY own ON image_gen.provider_access FOR SELECT TO image_gen_user USING (pg_has_role(role::oid, 'member'));
CREATE POLICY every ON image_gen.provider_access FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY worker ON image_gen.provider_access FOR SELECT TO image_gen_worker USING (true);
CREATE POLICY every ON image_gen.characters FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.character_sheets FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.styles FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.reuses FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.attachment_definitions FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.attachment_entries FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.reviews FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.jobs FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.attempts FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen.campaign_assets FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen_internal.spending_archive FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen_internal.spending_days FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen_internal.spending_totals FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen_internal.blobs FOR SELECT TO image_gen_admin USING (true);
CREATE POLICY every ON image_gen_internal.thumbnails FOR SELECT TO image_gen_admin USING (true);

CREATE POLICY worker ON image_gen.jobs TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON image_gen.attempts TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON image_gen.campaign_assets TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON image_gen.attachment_definitions FOR SELECT TO image_gen_worker USING (true);
CREATE POLICY worker ON image_gen.attachment_entries TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON image_gen_internal.blobs TO image_gen_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON image_gen_internal.thumbnails TO image_gen_worker USING (true) WITH CHECK (true);

COMMENT ON FUNCTION image_gen.derive_seed(bigint, text) IS
'The seed of a named relative of a seed: the same two always give the same one, 0 to 2147483647, on every machine and in every version.';

-- What a session can set must not change what is asked of a provider, nor what a function says: numbers are written with all
-- their digits, and the text of a function means what it says. The time zone is left to the session: its days are the ones of
-- its reports.
DO $$
DECLARE
  callable regprocedure;
BEGIN
  FOR callable IN
    SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE p.pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND l.lanname IN ('plpgsql', 'sql') AND p.prosqlbody IS NULL
       AND (p.prorettype = 'trigger'::regtype OR has_function_privilege('image_gen_user', p.oid, 'EXECUTE')
            OR has_function_privilege('image_gen_admin', p.oid, 'EXECUTE'))
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET extra_float_digits = 1 SET standard_conforming_strings = on SET DateStyle = ''ISO, MDY''
                    SET IntervalStyle = postgres SET bytea_output = hex SET transform_null_equals = off', callable);
  END LOOP;
END $$;

-- Last: the worker of this database starts when this transaction commits.
SELECT image_gen_internal.start_worker();
