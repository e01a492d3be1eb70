//! The extension's SQL, file after file, in the order in which it is installed. The functions of this library come after
//! the types of `schema/base.sql` and before everything else.

use pgrx::prelude::*;

/// The schema of the machinery, for `#[pg_extern(schema = ...)]`. `schema/base.sql` makes it, and fails where it exists; what is
/// generated for this finds it there.
#[pg_schema]
mod image_gen_internal {
    use pgrx::prelude::*;

    use crate::snapshot;

    /// The trigger of the table of measured times.
    #[pg_trigger]
    fn estimates_changed<'a>(
        trigger: &'a PgTrigger<'a>,
    ) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, spi::Error> {
        snapshot::forget_estimates();
        Ok(trigger.new().or(trigger.old()))
    }

    /// The trigger of the catalogue's tables.
    #[pg_trigger]
    fn catalogue_changed<'a>(
        trigger: &'a PgTrigger<'a>,
    ) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, spi::Error> {
        snapshot::announce_change();
        Ok(trigger.new().or(trigger.old()))
    }
}

extension_sql_file!("../sql/schema/base.sql", name = "schema_base", bootstrap);
extension_sql_file!(
    "../sql/schema/catalogue.sql",
    name = "schema_catalogue",
    requires = [
        attach::goes_with,
        attach::place::backfill,
        checkup::missing_keys,
        checkup::preferences_problem,
        checkup::provider_facts,
        checkup::secrets_problem,
        checkup::server_facts,
        checkup::webhook_problem,
        instance::instance_identity,
        plan::admission::choose_candidates,
        plan::admission::derive_seed,
        plan::admission::explain_request,
        plan::admission::model_capabilities,
        plan::admission::is_configured,
        plan::admission::plan_route,
        plan::admission::resolve_model,
        plan::caller,
        plan::check_catalogue,
        plan::can_be_asked,
        plan::check_model,
        plan::allowance_of,
        plan::check_content_pattern,
        plan::check_webhook_url,
        plan::render_class,
        plan::is_blank_prompt,
        plan::is_local_kind,
        plan::needs_text,
        plan::new_job_id,
        plan::perceptual_hash,
        plan::price_usage,
        plan::provider_kinds,
        provider_keys::keys_of_provider,
        plan::render_contact_sheet,
        plan::shipped_catalogue,
        plan::styled_prompt,
        image_gen_internal::catalogue_changed,
        image_gen_internal::estimates_changed,
        probe::probe_provider,
        stores::inspect_image,
        stores::read_object,
        stores::sign_object,
        stores::store_identity,
        submit::estimate_request,
        submit::shots::read_shots,
        tools::tool_list,
        tools::list_arguments,
        tools::next_poll_ms,
        wake::completions,
        wake::is_uncommitted,
        wake::is_worker,
        wake::tell_worker,
        wake::wake,
        wake::worker_answers
    ]
);
extension_sql_file!("../sql/schema/refusals.sql", name = "schema_refusals", requires = ["schema_catalogue"]);
extension_sql_file!("../sql/schema/jobs.sql", name = "schema_jobs", requires = ["schema_refusals"]);
extension_sql_file!("../sql/schema/queue.sql", name = "schema_queue", requires = ["schema_jobs"]);
extension_sql_file!("../sql/schema/attempts.sql", name = "schema_attempts", requires = ["schema_queue"]);
extension_sql_file!("../sql/schema/assets.sql", name = "schema_assets", requires = ["schema_attempts"]);
extension_sql_file!("../sql/schema/approvals.sql", name = "schema_approvals", requires = ["schema_assets"]);
extension_sql_file!("../sql/schema/reviews.sql", name = "schema_reviews", requires = ["schema_approvals"]);
extension_sql_file!("../sql/schema/worker.sql", name = "schema_worker", requires = ["schema_reviews"]);
extension_sql_file!("../sql/schema/pauses.sql", name = "schema_pauses", requires = ["schema_worker"]);
extension_sql_file!("../sql/schema/instance.sql", name = "schema_instance", requires = ["schema_pauses"]);
extension_sql_file!("../sql/schema/budgets.sql", name = "schema_budgets", requires = ["schema_instance"]);
extension_sql_file!("../sql/schema/audit.sql", name = "schema_audit", requires = ["schema_budgets"]);
extension_sql_file!("../sql/schema/policies.sql", name = "schema_policies", requires = ["schema_audit"]);
extension_sql_file!("../sql/schema/styles.sql", name = "schema_styles", requires = ["schema_policies"]);
extension_sql_file!("../sql/schema/characters.sql", name = "schema_characters", requires = ["schema_styles"]);
extension_sql_file!(
    "../sql/schema/callbacks.sql",
    name = "schema_callbacks",
    requires = ["schema_characters"]
);
extension_sql_file!("../sql/schema/reuses.sql", name = "schema_reuses", requires = ["schema_callbacks"]);
extension_sql_file!("../sql/schema/spending.sql", name = "schema_spending", requires = ["schema_reuses"]);
extension_sql_file!("../sql/schema/invoices.sql", name = "schema_invoices", requires = ["schema_spending"]);
extension_sql_file!("../sql/schema/stores.sql", name = "schema_stores", requires = ["schema_invoices"]);
extension_sql_file!("../sql/catalogue/load.sql", name = "catalogue_load", requires = ["schema_stores"]);
extension_sql_file!("../sql/catalogue/rules.sql", name = "catalogue_rules", requires = ["catalogue_load"]);
extension_sql_file!(
    "../sql/catalogue/changes.sql",
    name = "catalogue_changes",
    requires = ["catalogue_rules"]
);
extension_sql_file!(
    "../sql/budgets/standings.sql",
    name = "budgets_standings",
    requires = ["catalogue_changes"]
);
extension_sql_file!("../sql/budgets/reserve.sql", name = "budgets_reserve", requires = ["budgets_standings"]);
extension_sql_file!("../sql/queue/instance.sql", name = "queue_instance", requires = ["budgets_reserve"]);
extension_sql_file!(
    "../sql/queue/dependencies.sql",
    name = "queue_dependencies",
    requires = ["queue_instance"]
);
extension_sql_file!("../sql/queue/rescue.sql", name = "queue_rescue", requires = ["queue_dependencies"]);
extension_sql_file!("../sql/queue/claim.sql", name = "queue_claim", requires = ["queue_rescue"]);
extension_sql_file!("../sql/queue/begin.sql", name = "queue_begin", requires = ["queue_claim"]);
extension_sql_file!("../sql/queue/checkpoint.sql", name = "queue_checkpoint", requires = ["queue_begin"]);
extension_sql_file!("../sql/queue/requeue.sql", name = "queue_requeue", requires = ["queue_checkpoint"]);
extension_sql_file!("../sql/queue/close.sql", name = "queue_close", requires = ["queue_requeue"]);
extension_sql_file!("../sql/queue/finish.sql", name = "queue_finish", requires = ["queue_close"]);
extension_sql_file!("../sql/queue/cancel.sql", name = "queue_cancel", requires = ["queue_finish"]);
extension_sql_file!("../sql/queue/record.sql", name = "queue_record", requires = ["queue_cancel"]);
extension_sql_file!("../sql/queue/deaths.sql", name = "queue_deaths", requires = ["queue_record"]);
extension_sql_file!("../sql/queue/reconcile.sql", name = "queue_reconcile", requires = ["queue_deaths"]);
extension_sql_file!("../sql/queue/callbacks.sql", name = "queue_callbacks", requires = ["queue_reconcile"]);
extension_sql_file!("../sql/queue/enqueue.sql", name = "queue_enqueue", requires = ["queue_callbacks"]);
extension_sql_file!("../sql/queue/reuse.sql", name = "queue_reuse", requires = ["queue_enqueue"]);
extension_sql_file!("../sql/queue/waiting.sql", name = "queue_waiting", requires = ["queue_reuse"]);
extension_sql_file!("../sql/queue/retention.sql", name = "queue_retention", requires = ["queue_waiting"]);
extension_sql_file!("../sql/queue/reviewed.sql", name = "queue_reviewed", requires = ["queue_retention"]);
extension_sql_file!("../sql/queue/styles.sql", name = "queue_styles", requires = ["queue_reviewed"]);
extension_sql_file!("../sql/queue/copies.sql", name = "queue_copies", requires = ["queue_styles"]);
extension_sql_file!("../sql/api/operations.sql", name = "api_operations", requires = ["queue_copies"]);
extension_sql_file!("../sql/api/status.sql", name = "api_status", requires = ["api_operations"]);
extension_sql_file!("../sql/api/choose.sql", name = "api_choose", requires = ["api_status"]);
extension_sql_file!("../sql/api/batch.sql", name = "api_batch", requires = ["api_choose"]);
extension_sql_file!("../sql/api/tools.sql", name = "api_tools", requires = ["api_batch"]);
extension_sql_file!("../sql/api/sets.sql", name = "api_sets", requires = ["api_tools"]);
extension_sql_file!("../sql/api/story.sql", name = "api_story", requires = ["api_sets"]);
extension_sql_file!("../sql/api/contact_sheet.sql", name = "api_contact_sheet", requires = ["api_story"]);
extension_sql_file!("../sql/api/styles.sql", name = "api_styles", requires = ["api_contact_sheet"]);
extension_sql_file!("../sql/api/characters.sql", name = "api_characters", requires = ["api_styles"]);
extension_sql_file!("../sql/api/prompts.sql", name = "api_prompts", requires = ["api_characters"]);
extension_sql_file!("../sql/api/budgets.sql", name = "api_budgets", requires = ["api_prompts"]);
extension_sql_file!("../sql/api/policies.sql", name = "api_policies", requires = ["api_budgets"]);
extension_sql_file!("../sql/api/callbacks.sql", name = "api_callbacks", requires = ["api_policies"]);
extension_sql_file!("../sql/api/operate.sql", name = "api_operate", requires = ["api_callbacks"]);
extension_sql_file!("../sql/reports/calls.sql", name = "reports_calls", requires = ["api_operate"]);
extension_sql_file!("../sql/reports/rollup.sql", name = "reports_rollup", requires = ["reports_calls"]);
extension_sql_file!("../sql/api/ownership.sql", name = "api_ownership", requires = ["reports_rollup"]);
extension_sql_file!("../sql/reports/costs.sql", name = "reports_costs", requires = ["api_ownership"]);
extension_sql_file!("../sql/reports/invoices.sql", name = "reports_invoices", requires = ["reports_costs"]);
extension_sql_file!("../sql/api/reviews.sql", name = "api_reviews", requires = ["reports_invoices"]);
extension_sql_file!("../sql/api/approvals.sql", name = "api_approvals", requires = ["api_reviews"]);
extension_sql_file!("../sql/api/webhooks.sql", name = "api_webhooks", requires = ["api_approvals"]);
extension_sql_file!(
    "../sql/schema/attachments.sql",
    name = "schema_attachments",
    requires = ["api_webhooks"]
);
extension_sql_file!(
    "../sql/queue/attachments.sql",
    name = "queue_attachments",
    requires = ["schema_attachments"]
);
extension_sql_file!("../sql/api/attachments.sql", name = "api_attachments", requires = ["queue_attachments"]);
extension_sql_file!("../sql/api/stores.sql", name = "api_stores", requires = ["api_attachments"]);
extension_sql_file!("../sql/schema/tokens.sql", name = "schema_tokens", requires = ["api_stores"]);
extension_sql_file!("../sql/api/agents.sql", name = "api_agents", requires = ["schema_tokens"]);
extension_sql_file!("../sql/operate/server.sql", name = "operate_server", requires = ["api_agents"]);
extension_sql_file!("../sql/operate/pauses.sql", name = "operate_pauses", requires = ["operate_server"]);
extension_sql_file!(
    "../sql/operate/monitoring.sql",
    name = "operate_monitoring",
    requires = ["operate_pauses"]
);
extension_sql_file!("../sql/operate/work.sql", name = "operate_work", requires = ["operate_monitoring"]);
extension_sql_file!("../sql/operate/catalogue.sql", name = "operate_catalogue", requires = ["operate_work"]);
extension_sql_file!("../sql/operate/doctor.sql", name = "operate_doctor", requires = ["operate_catalogue"]);
extension_sql_file!("../sql/api/forget.sql", name = "api_forget", requires = ["operate_doctor"]);
extension_sql_file!("../sql/api/audit.sql", name = "api_audit", requires = ["api_forget"]);
extension_sql_file!("../sql/grants.sql", name = "grants", finalize);
