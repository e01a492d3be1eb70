//! Who may see and do what, and where requests may go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::TcpListener;

use image_gen_tests::cluster::{BFL_KEY, OPENAI_KEY};
use image_gen_tests::sim::micros;
use image_gen_tests::{Options, Stage};
use serde_json::json;

#[test]
fn public_has_nothing() {
    // N22
    let stage = Stage::start();
    let mut admin = stage.admin();
    let granted = admin.rows(
        "SELECT o.name, x.privilege_type
           FROM (SELECT 'schema ' || nspname AS name, coalesce(nspacl, acldefault('n', nspowner)) AS acl
                   FROM pg_namespace WHERE nspname IN ('image_gen', 'image_gen_internal')
                 UNION ALL
                 SELECT c.oid::regclass::text, coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))
                   FROM pg_class c WHERE c.relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f')
                 UNION ALL
                 SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
                   FROM pg_proc p WHERE p.pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)) o,
                aclexplode(o.acl) x
          WHERE x.grantee = 0",
    );
    assert!(granted.is_empty(), "{granted:?}");
    assert!(admin.number("SELECT count(*) FROM pg_proc WHERE pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)") > 20);

    let mut mallory = stage.connect("mallory");
    for call in [
        "SELECT image_gen.generate(prompt => 'x')",
        "SELECT * FROM image_gen.jobs",
        "SELECT * FROM image_gen.worker_status",
        "SELECT image_gen_internal.wake(1)",
    ] {
        assert_eq!(mallory.sqlstate(call), "42501", "{call}");
    }
}

#[test]
fn roles_are_what_they_should_be() {
    // N22, worker failure mode 68
    let stage = Stage::start();
    let roles = stage.admin().rows(
        "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles
          WHERE rolname LIKE 'image_gen%' ORDER BY 1",
    );
    let names: Vec<&str> = roles.iter().map(|r| r[0].as_str()).collect();
    assert_eq!(names, ["image_gen_admin", "image_gen_reviewer", "image_gen_user", "image_gen_worker"]);
    assert!(roles.iter().all(|r| r[1..].iter().all(|can| can == "f")), "{roles:?}");
    // Definer functions pin their search_path, and belong to no ordinary user.
    let loose = stage.admin().column(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace)
            AND prosecdef AND NOT coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
    );
    assert!(loose.is_empty(), "{loose:?}");
}

#[test]
fn users_see_their_own_rows_only() {
    // N7, worker failure mode 61
    let stage = Stage::start();
    let mut alice = stage.alice();
    let id = alice.generate_with(
        "prompt => 'a secret product', model => 'gpt-image', metadata => '{\"campaign\": \"secret\"}'",
    );
    alice.all_succeed(std::slice::from_ref(&id));
    let asset = alice.text("SELECT id FROM image_gen.campaign_assets");
    assert!(alice.number(&format!("SELECT length(image_gen.asset_bytes({asset}))")) > 100);

    let mut bob = stage.bob();
    for table in [
        "image_gen.jobs",
        "image_gen.attempts",
        "image_gen.campaign_assets",
        "image_gen_internal.blobs",
        "image_gen.job_status",
    ] {
        assert!(alice.number(&format!("SELECT count(*) FROM {table}")) > 0, "{table}");
        assert_eq!(bob.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(bob.sqlstate(&format!("SELECT * FROM image_gen.status('{id}')")), "42704");
    assert!(bob.rows("SELECT * FROM image_gen.recent()").is_empty());
    assert_eq!(bob.text(&format!("SELECT image_gen.asset_bytes({asset})")), "");
    assert_eq!(bob.rows("SELECT spent, unknown_costs, reserved FROM image_gen.credits()"), [["0", "0", "0"]]);
    assert!(!bob.text("SELECT q::text FROM image_gen.queue_stats q").contains("secret"));
    // An error must not tell what a row contains, and a cheap function must not look before the policy does.
    bob.run("SET client_min_messages = 'debug5'");
    bob.rows("SELECT prompt::int FROM image_gen.jobs");

    // The image of bob's identical job is the same blob: each still sees it through his own asset only.
    let same = bob.generate_with("prompt => 'a secret product', model => 'gpt-image'");
    bob.all_succeed(&[same]);
    assert_eq!(bob.number("SELECT count(*) FROM image_gen_internal.blobs"), 1);
    assert_eq!(bob.text(&format!("SELECT image_gen.asset_bytes({asset})")), "");
    // An administrator sees all.
    stage.admin().run("CREATE ROLE carol LOGIN; GRANT image_gen_admin TO carol");
    assert_eq!(stage.connect("carol").number("SELECT count(DISTINCT owner) FROM image_gen.jobs"), 2);
}

#[test]
fn users_can_make_tables_of_what_they_read() {
    // A domain asks its function with the rights of the session that writes the row.
    let stage = Stage::start();
    stage.admin().run("CREATE SCHEMA own AUTHORIZATION alice");
    let mut alice = stage.alice();
    let id = alice.generate("kept elsewhere");
    alice.run("CREATE TABLE own.jobs AS SELECT * FROM image_gen.jobs");
    alice.run("INSERT INTO own.jobs SELECT * FROM image_gen.jobs");
    assert_eq!(alice.number(&format!("SELECT count(*) FROM own.jobs WHERE id = '{id}'")), 2);
    assert_eq!(alice.sqlstate("UPDATE own.jobs SET id = 'gen_1'"), "23514");
}

#[test]
fn users_write_through_the_functions_only() {
    // worker failure mode 61
    let stage = Stage::start();
    let mut alice = stage.alice();
    let id = alice.generate("mine");
    alice.all_succeed(std::slice::from_ref(&id));
    let tables = stage.admin().column(
        "SELECT relname FROM pg_class WHERE relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND relkind IN ('r', 'v') ORDER BY 1",
    );
    assert!(tables.len() >= 12, "{tables:?}");
    let rights = stage.admin().rows(
        "SELECT c.relname, r FROM pg_class c, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) r
          WHERE c.relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND c.relkind IN ('r', 'v') AND has_table_privilege('alice', c.oid, r)",
    );
    assert!(rights.is_empty(), "{rights:?}");
    assert_eq!(alice.sqlstate("UPDATE image_gen.jobs SET owner = 'bob'"), "42501");
    assert_eq!(alice.sqlstate("UPDATE image_gen.providers SET base_url = 'http://evil'"), "42501");

    // Of the internal functions, only those that status(), wait(), the tools, worker_status, capabilities, the review queue and the reports
    // of costs call in the caller's name, which change nothing; and those of attach() and detach(), which look whose the table is.
    let internal = stage.admin().column(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'image_gen_internal'::regnamespace
            AND has_function_privilege('alice', oid, 'EXECUTE') ORDER BY 1",
    );
    assert_eq!(
        internal,
        [
            "abbreviate",
            "attachment_callback",
            "attachment_function",
            "attachment_problem",
            "await_completion",
            "bind_attachment",
            "check_attachment",
            "completions",
            "cosine_distance",
            "current_role_oid",
            "define_attachment",
            "edge_attempts",
            "fence_reason",
            "generation",
            "image_distance",
            "is_blank_prompt",
            "is_configured",
            "is_job_id",
            "is_uncommitted",
            "is_worker",
            "iso_time",
            "keys_of_provider",
            "list_arguments",
            "metadata_entry",
            "model_capabilities",
            "newest_jobs",
            "next_poll_ms",
            "pending_approvals",
            "perceptual_hash",
            "provider_kinds",
            "queue_standing",
            "raise_no_such_asset",
            "raise_no_such_batch",
            "raise_no_such_job",
            "remove_attachment",
            "render_contact_sheet",
            "restate_cost",
            "role_name",
            "set_of",
            "sheet_jobs",
            "sheet_shots",
            "stored_bytes",
            "template_expression",
            "tool_list",
            "tool_status",
            "unfolded_attempts",
            "unfolded_jobs",
            "visible_cost_reviews",
            "visible_reservations",
            "visible_spending_days",
            "waiting_approvals",
            "waiting_for"
        ]
    );
    for call in [
        "finish(1, '{1}', '{failed}', '{unknown}', '{no}')",
        "claim(1, 1, 0)",
        "cancel_job('x')",
        "wake(1)",
        "resolve_inputs('{1}', '{image}', '{job:x}', '{NULL}', 'bob')",
    ] {
        assert_eq!(alice.sqlstate(&format!("SELECT image_gen_internal.{call}")), "42501", "{call}");
    }
    assert_eq!(alice.sqlstate("SET ROLE image_gen_worker"), "42501");
    // What decides where keys go and which files are read is the superuser's.
    for setting in [
        "image_gen.allowed_provider_hosts = 'evil'",
        "image_gen.allowed_image_hosts = 'evil'",
        "image_gen.secrets_file = '/etc/passwd'",
        "image_gen.on_uncertain = 'retry'",
    ] {
        assert!(matches!(alice.sqlstate(&format!("SET {setting}")).as_str(), "42501" | "55P02"), "{setting}");
    }
    assert_eq!(alice.sqlstate("SHOW image_gen.secrets_file"), "42501");
    assert_eq!(alice.sqlstate(&format!("SELECT pg_terminate_backend({})", stage.worker())), "42501");
    // An administrator of the catalogue cannot send keys elsewhere.
    stage.admin().run("CREATE ROLE carol LOGIN; GRANT image_gen_admin TO carol");
    let mut carol = stage.connect("carol");
    carol.run("UPDATE image_gen.providers SET max_in_flight = 5 WHERE id = 'bfl'");
    for column in ["base_url = 'http://evil'", "key_name = 'PATH'", "kind = 'openai'"] {
        assert_eq!(carol.sqlstate(&format!("UPDATE image_gen.providers SET {column}")), "42501", "{column}");
    }
}

#[test]
fn the_worker_is_no_superuser_and_cannot_become_one() {
    // worker failure modes 68 and 69
    let stage = Stage::start();
    stage.admin().run(
        "CREATE TABLE public.seen (who text, super text, reset text, setrole text, setsession text);
         GRANT INSERT ON public.seen TO image_gen_worker;
         CREATE FUNCTION public.attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
           EXECUTE command;
           RETURN current_user;
         EXCEPTION WHEN OTHERS THEN
           RETURN 'refused';
         END $$;
         CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO public.seen VALUES (
             current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
             public.attempt('RESET ROLE'), public.attempt('SET ROLE postgres'),
             public.attempt('SET SESSION AUTHORIZATION DEFAULT'));
           RETURN NEW;
         END $$;
         CREATE TRIGGER spy BEFORE INSERT ON image_gen.campaign_assets FOR EACH ROW EXECUTE FUNCTION public.spy()",
    );
    stage.sentinel();
    let seen = stage.admin().rows("SELECT * FROM public.seen");
    assert_eq!(seen[0][..2], ["image_gen_worker", "false"]);
    assert!(seen[0][2..].iter().all(|who| who == "refused" || who == "image_gen_worker"), "{seen:?}");
}

#[test]
fn a_failing_trigger_on_our_tables_loses_no_picture() {
    // worker failure modes 5, 6 and 69: the image is paid for, so it is written without the trigger.
    let stage = Stage::start();
    stage.admin().run(
        "CREATE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           IF NEW.prompt LIKE '%poison%' THEN RAISE 'poisoned'; END IF;
           NEW.metadata := NEW.metadata || '{\"seen\": true}';
           RETURN NEW;
         END $$;
         CREATE TRIGGER poison BEFORE INSERT ON image_gen.campaign_assets FOR EACH ROW EXECUTE FUNCTION public.poison()",
    );
    let mut alice = stage.alice();
    let ids: Vec<String> = ["one", "poison", "two"].map(|p| alice.generate(p)).to_vec();
    alice.all_succeed(&ids);
    let mut admin = stage.admin();
    assert_eq!(
        admin.column(
            "SELECT (metadata ? 'seen')::text FROM image_gen.campaign_assets ORDER BY prompt = 'poison'"
        ),
        ["true", "true", "false"],
        "only the one that failed was left out"
    );
    let why = admin.text("SELECT last_error FROM image_gen.worker_status");
    assert!(why.contains("poisoned") && why.contains("without triggers"), "{why}");
    assert_eq!(stage.sim.submits(), 3);
    stage.check_money();
}

#[test]
fn a_sleeping_trigger_on_our_tables_holds_up_neither_pictures_nor_its_own_drop() {
    // worker failure mode 69
    let stage = Stage::start();
    let worker = stage.worker();
    let mut admin = stage.admin();
    for table in ["campaign_assets", "attempts", "jobs"] {
        admin.run(&format!(
            "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON image_gen.{table} FOR EACH ROW
                WHEN (session_user = 'postgres' AND pg_backend_pid() = {worker}) EXECUTE FUNCTION public.slow()"
        ));
        let mut alice = stage.alice();
        let ids: Vec<String> = (0..10).map(|n| alice.generate(&format!("{table} {n}"))).collect();
        alice.all_succeed(&ids);
        admin.run("SET statement_timeout = '20 s'");
        admin.run(&format!("DROP TRIGGER slow ON image_gen.{table}"));
        assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs j WHERE NOT EXISTS (SELECT FROM image_gen.campaign_assets a WHERE a.job_id = j.id)"), 0, "{table}");
    }
    assert_eq!((stage.worker(), stage.sim.submits()), (worker, 30));
    let why = admin.text("SELECT last_error FROM image_gen.worker_status");
    assert!(why.contains("left out for a minute"), "{why}");
    let said = stage.cluster.log().lines().filter(|l| l.contains("left out for a minute")).count();
    assert!(said <= 3, "{said} lines");
    stage.check_money();
}

#[test]
fn keys_are_nowhere_but_in_the_header() {
    // worker failure mode 65, P16
    let stage =
        Stage::conf(&["log_statement = 'all'", "log_min_messages = debug1", "log_error_verbosity = verbose"]);
    let mut alice = stage.alice();
    stage.sim.rule(json!({"prompt_contains": "[401]", "fault": {"kind": "status", "code": 401}}));
    stage.sim.rule(json!({"prompt_contains": "[drop]", "phase": "submit", "fault": "drop_after_accept"}));
    for (provider, body) in [
        ("bfl", json!({"detail": format!("bad key {BFL_KEY} given")})),
        ("openai", json!({"error": {"message": format!("Incorrect API key provided: {OPENAI_KEY}.")}})),
    ] {
        stage.sim.rule(json!({"provider": provider, "prompt_contains": "[echo]", "fault": {"kind": "status", "code": 401, "body": body}}));
    }
    let ids: Vec<String> = ["fine", "[401]", "[drop]"].map(|p| alice.generate(p)).to_vec();
    let open = alice.generate_with("prompt => 'fine', model => 'gpt-image'");
    alice.all_done(&ids);
    alice.all_succeed(&[open]);
    // A provider that repeats the key in its error must not bring it into our tables. (The next one is asked then.)
    let echoed = ["bfl:flux-1.1-pro", "openai:gpt-image", "flux-1.1-pro"]
        .map(|model| alice.generate_with(&format!("prompt => '[echo]', model => '{model}'")));
    for (job, refused) in alice.all_done(&echoed).iter().zip([true, true, false]) {
        assert_eq!(job.error_code == "auth", refused, "{job:?}");
    }
    assert_eq!(
        alice.number(
            "SELECT count(*) FROM image_gen.attempts WHERE prompt = '[echo]' AND error_message LIKE '%***%'"
        ),
        4
    );

    let mut admin = stage.admin();
    let tables = admin.column(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND relkind IN ('r', 'v')",
    );
    for key in [BFL_KEY, OPENAI_KEY] {
        for table in tables.iter().map(String::as_str).chain(["pg_settings", "pg_stat_activity"]) {
            // The key is put together by the server, so that this query is not what it finds.
            let (left, right) = key.split_at(5);
            let found =
                admin.rows(&format!("SELECT t FROM {table} t WHERE t::text LIKE '%{left}' || '{right}%'"));
            assert!(found.is_empty(), "{key} is in {table}: {found:?}");
        }
        assert!(!stage.cluster.log().contains(key), "{key} is in the server's log");
        assert!(
            !stage.sim.entries().iter().any(|e| e["body"].to_string().contains(key)),
            "{key} is in a body"
        );
    }
    let headers = stage.sim.submits_of("fine").iter().map(|e| e["headers"].to_string()).collect::<String>();
    assert!(headers.contains("***") && !headers.contains(BFL_KEY), "{headers}");
}

#[test]
fn a_callers_search_path_changes_nothing() {
    // worker failure mode 62
    let stage = Stage::start();
    stage.admin().run("CREATE SCHEMA evil AUTHORIZATION alice; GRANT TEMPORARY ON DATABASE shop TO alice");
    let mut alice = stage.alice();
    for function in [
        "now() RETURNS timestamptz",
        "clock_timestamp() RETURNS timestamptz",
        "lower(text) RETURNS text",
        "btrim(text) RETURNS text",
        "length(text) RETURNS int",
        "sha256(bytea) RETURNS bytea",
        "jsonb_typeof(jsonb) RETURNS text",
        "jsonb_strip_nulls(jsonb) RETURNS jsonb",
        "split_part(text, text, int) RETURNS text",
        "octet_length(text) RETURNS int",
        "convert_to(text, name) RETURNS bytea",
        "strpos(text, text) RETURNS int",
        "caller() RETURNS regrole",
        "least_evil(text, text) RETURNS boolean",
        "pg_has_role(oid, name, text) RETURNS boolean",
    ] {
        alice.run(&format!(
            "CREATE FUNCTION evil.{function} LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$"
        ));
    }
    alice.run("CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.least_evil)");
    alice.run("CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.least_evil)");
    alice.run("CREATE TEMP TABLE jobs (id text); CREATE TEMP TABLE providers (id text); CREATE TEMP TABLE models (name text)");
    alice.run("SET search_path = evil, pg_temp, pg_catalog, image_gen");
    let id = alice.generate_with(
        "prompt => 'plain', idempotency_key => 'k', metadata => '{\"campaign\": \"c\"}', max_cost => 1",
    );
    alice.run(&format!("SELECT * FROM image_gen.status('{id}')"));
    alice.run("SELECT * FROM image_gen.recent(5, 'queued', 'c')");
    alice.run(&format!("SELECT * FROM image_gen.wait('{{{id}}}', '20 s')"));
    alice.run(&format!("SELECT * FROM image_gen.cancel('{id}')"));
    alice.run("SELECT * FROM image_gen.credits()");
    assert_eq!(alice.job(&id).status, "succeeded");
    assert_eq!(stage.sim.submits(), 1);
}

/// An address of this machine that nobody is allowed to contact, and that knows when somebody does.
struct Trap(TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Trap(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    fn is_untouched(&self) -> bool {
        self.0.accept().is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }
}

#[test]
fn an_answer_cannot_lead_into_the_servers_own_network() {
    // P15, worker failure modes 56 and 64
    let stage = Stage::start();
    let trap = Trap::set();
    let port = trap.0.local_addr().unwrap().port();
    let mut alice = stage.alice();
    let mut pictures = vec![];
    for (n, host) in [
        "127.0.0.2",
        "[::ffff:127.0.0.2]",
        "2130706434",
        "0x7f000002",
        "0.0.0.0",
        "169.254.169.254",
        "user@127.0.0.2",
        "[::1]",
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("http://{host}:{port}/picture.png");
        let body = json!({"id": "t", "status": "Ready", "result": {"sample": url}});
        let prompt = format!("[image {n}]");
        stage.sim.rule(json!({"phase": "poll", "prompt_contains": prompt, "fault": {"kind": "status", "code": 200, "body": body}}));
        pictures.push(alice.generate(&prompt));
    }
    // No image for those who show it, no figure for what it may have cost, and a person decides.
    for id in &pictures {
        let job = alice.done(id);
        let end = (job.status.as_str(), job.error_code.as_str(), job.cost_source.as_str());
        assert_eq!(end, ("needs_review", "provider_error", "unknown"), "{job:?}");
    }
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.campaign_assets"), 0);

    // A polling URL at another host would carry the key there.
    let accepted = json!({"id": "t", "polling_url": format!("{}/v1/get_result?id=t", trap.url()), "cost": 4});
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "[poll]", "fault": {"kind": "status", "code": 200, "body": accepted}}));
    let id = alice.generate("[poll]");
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("needs_review", "uncertain"), "{job:?}");

    for phase in ["submit", "poll", "picture"] {
        let prompt = format!("[redirected {phase}]");
        stage.sim.rule(json!({"phase": phase, "prompt_contains": prompt, "times": 3, "fault": {"kind": "redirect", "to": trap.url()}}));
        let id = alice.generate(&prompt);
        alice.all_done(&[id]);
    }
    assert!(trap.is_untouched());
}

#[test]
fn loopback_is_forbidden_unless_it_is_allowed() {
    // worker failure mode 64
    let stage = Stage::with(Options { allowed_hosts: "192.0.2.1".into(), ..Options::default() });
    let mut alice = stage.alice();
    let id = alice.generate("nowhere");
    let job = alice.done(&id);
    // No outage: it is not waited for.
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "not_supported"), "{job:?}");
    assert!(job.error_message.contains("could not be sent"), "{job:?}");
    assert_eq!(micros(&job.billed_cost), 0, "it provably was not sent");
    assert_eq!(stage.sim.totals().all.requests, 0);
}

#[test]
fn a_proxy_in_the_servers_environment_is_ignored() {
    // worker failure mode 57
    let trap = Trap::set();
    let mut options = Options::default();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        options.env.push((name.into(), trap.url()));
    }
    let stage = Stage::with(options);
    stage.sentinel();
    assert!(trap.is_untouched());
}

#[test]
fn what_a_provider_says_is_data() {
    // worker failure modes 6, 49 and 66
    let stage = Stage::start();
    let mut alice = stage.alice();
    let evil =
        "'); DROP TABLE image_gen.jobs; --\n2030-01-01 LOG:  forged\u{0}\r\u{1b}[31m https://x/y?sig=SECRET";
    let body = json!({"detail": evil});
    stage
        .sim
        .rule(json!({"prompt_contains": "[says]", "fault": {"kind": "status", "code": 400, "body": body}}));
    let id =
        alice.generate("[says] '); DROP TABLE image_gen.attempts; -- \u{1f600}".replace('\'', "''").as_str());
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "invalid_request"), "{job:?}");
    assert!(job.error_message.contains("DROP TABLE") && !job.error_message.contains("SECRET"), "{job:?}");
    assert!(!job.error_message.chars().any(char::is_control), "{job:?}");

    // A NUL in an id cannot be stored: that job ends, the others do not notice.
    for (n, task) in ["a\u{0}b", "'; DROP TABLE x", &"long".repeat(100_000)].into_iter().enumerate() {
        let url = format!("{}/eu1/v1/get_result?id=t", stage.sim.bfl());
        let body = json!({"id": task, "polling_url": url, "cost": 4});
        let prompt = format!("[task {n}]");
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": prompt, "fault": {"kind": "status", "code": 200, "body": body}}));
        let id = alice.generate(&prompt);
        let job = alice.done(&id);
        assert!(matches!(job.status.as_str(), "failed" | "needs_review"), "{n}: {job:?}");
        assert_eq!(stage.sim.submits_of(&prompt).len(), 1);
    }
    stage.sentinel();
    assert!(!stage.cluster.log().lines().any(|l| l.starts_with("2030-01-01")), "a forged line in the log");
}
