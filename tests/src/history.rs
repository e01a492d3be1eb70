//! Finished jobs of the past, written straight into the tables: millions in a minute or two.

use crate::session::Session;

/// The roles whose jobs they are; the first of them has two in five.
pub const OWNERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Writes finished jobs of the last so many days, in a hundred campaigns with seven tickets each: one in twenty was sent on by
/// its first provider, one in a hundred was refused and billed, one in a thousand has a call of unknown cost.
///
/// # Panics
/// On an error.
pub fn fill(admin: &mut Session, jobs: u64, days: u32) {
    for owner in OWNERS {
        admin.run(&format!(
            "DO $$ BEGIN IF to_regrole('{owner}') IS NULL THEN CREATE ROLE {owner} LOGIN; END IF; GRANT image_gen_user TO {owner}; END $$"
        ));
    }
    let prefix = format!(
        "gen_{:0>2}",
        admin.number("SELECT count(DISTINCT left(id, 6)) FROM image_gen.jobs WHERE id LIKE 'gen_0%'")
    );
    // Triggers and foreign keys would be looked at a million times for nothing.
    admin.run("SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '256MB'");
    admin.run(&format!(
        "INSERT INTO image_gen.jobs (id, operation, task, status, prompt, model, seed, metadata, parameters, owner, estimated_cost,
                                     error_code, billed_cost, known_cost, cost_source, created_at, finished_at)
         SELECT '{prefix}' || lpad(n::text, 24, '0'), 'generate', 'generate', CASE WHEN n % 100 = 7 THEN 'failed' ELSE 'succeeded' END,
                'one of many, number ' || n, (ARRAY['flux-1.1-pro', 'flux-2-pro', 'gpt-image-2'])[1 + c % 3], n % 2147483647,
                jsonb_build_object('campaign', 'campaign ' || c, 'ticket', format('T-%s', c * 7 + n / 100 % 7), 'shot', 'shot ' || n % 4),
                '{{\"width\": 1024, \"height\": 1024}}', (ARRAY['alice', 'alice', 'bob', 'carol', 'dave'])[1 + c % 5]::regrole, 0.04,
                CASE WHEN n % 100 = 7 THEN 'safety_filter' END, nullif(cost, 0), nullif(cost, 0), CASE WHEN cost > 0 THEN 'priced' ELSE 'unknown' END, at, at + interval '8 seconds'
           FROM generate_series(1, {jobs}) n,
                LATERAL (SELECT (n::bigint * 7919 % 100)::int AS c, now() - interval '{days} days' * (1 - n::numeric / {jobs}) - interval '10 minutes' AS at,
                              CASE WHEN n % 20 = 3 THEN 0.05 WHEN n % 1000 <> 11 THEN 0.04 ELSE 0 END AS cost) x"
    ));
    admin.run(&format!(
        "INSERT INTO image_gen.attempts (job_id, number, provider, model, status, error_code, prompt, seed, seed_honored, billed_cost, cost_source,
                                         estimated_cost, render_seconds, remote_id, poll_url, owner, epoch, created_at, sent_at, finished_at)
         SELECT j.id, a.number, a.provider, j.model, a.status, a.error_code, j.prompt, j.seed, true, a.cost,
                CASE WHEN a.cost IS NULL THEN 'unknown' ELSE 'priced' END, 0.04, CASE WHEN a.status = 'succeeded' THEN 3 + j.seed % 50 / 10.0 END,
                CASE WHEN a.status <> 'failed' THEN 'task ' || j.seq END, CASE WHEN a.status <> 'failed' THEN 'https://poll/' || j.seq END,
                j.owner, 1, j.created_at + a.number * interval '1 second', j.created_at + a.number * interval '1 second', j.finished_at
           FROM (SELECT *, right(id, 9)::bigint AS n FROM image_gen.jobs WHERE id LIKE '{prefix}%' ORDER BY seq) j,
                LATERAL (SELECT 1 AS number, CASE WHEN j.model LIKE 'gpt%' THEN 'openai' ELSE 'bfl' END AS provider,
                                CASE WHEN n % 20 = 3 THEN 'failed' WHEN n % 100 = 7 THEN 'refused' ELSE 'succeeded' END AS status,
                                CASE WHEN n % 20 = 3 THEN 'overloaded' WHEN n % 100 = 7 THEN 'safety_filter' END AS error_code,
                                CASE WHEN n % 20 = 3 THEN 0 WHEN n % 1000 <> 11 THEN 0.04 END AS cost
                         UNION ALL
                         SELECT 2, 'fal', 'succeeded', NULL, 0.05 WHERE n % 20 = 3) a"
    ));
    admin.run(&format!(
        "INSERT INTO image_gen.campaign_assets (job_id, position, attempt, campaign, shot, ticket, url, provider, model, seed, prompt, width, height,
                                                billed_cost, known_cost, cost_source, metadata, owner, created_at)
         SELECT j.id, 1, a.number, j.metadata ->> 'campaign', j.metadata ->> 'shot', j.metadata ->> 'ticket', 'https://pictures/' || j.seq, a.provider, a.model,
                a.seed, a.prompt, 1024, 1024, j.billed_cost, j.known_cost, j.cost_source, j.metadata, j.owner, j.finished_at
           FROM image_gen.jobs j JOIN image_gen.attempts a ON a.job_id = j.id AND a.status = 'succeeded' WHERE j.id LIKE '{prefix}%'"
    ));
    admin.run("RESET session_replication_role; RESET synchronous_commit; RESET work_mem");
}
