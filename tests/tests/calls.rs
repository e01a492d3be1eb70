//! What callers are told: warnings, errors, and what became of a job.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Options, Session, Stage};

/// What is said while a statement runs that has to do with the worker.
fn said(session: &mut Session, sql: &str) -> usize {
    let before = session.notices().len();
    session.run(sql);
    session.notices().split_off(before).into_iter().filter(|notice| notice.contains("no worker")).count()
}

#[test]
fn a_call_while_no_worker_runs_is_a_warning_once_a_statement() {
    // The launcher takes the only place.
    let stage = Stage::conf(&["max_worker_processes = 1"]);
    let mut alice = stage.alice();
    let several = "SELECT count(*) FROM generate_series(1, 3) n, LATERAL image_gen.generate('shot ' || n) g";
    let batch = "SELECT count(*) FROM image_gen.generate_batch('[{\"shot\": \"a\", \"prompt\": \"x\"}, {\"shot\": \"b\", \"prompt\": \"x\"}]')";
    for sql in [several, several, batch, "SELECT image_gen.generate('x', idempotency_key => 'k')"] {
        assert_eq!(said(&mut alice, sql), 1, "{sql}");
    }
    assert!(
        !stage.cluster.log().contains("no worker of image_gen"),
        "the log is not for what each call says"
    );
    let known = "SELECT image_gen.generate('x', idempotency_key => 'k')";
    assert_eq!(said(&mut alice, known), 0, "nothing new was queued");
    assert_eq!(alice.text("SELECT (waiting_for).code FROM image_gen.recent(1)"), "worker");
}

#[test]
fn nothing_is_said_where_a_worker_runs() {
    let stage = Stage::start();
    stage.worker();
    assert_eq!(said(&mut stage.alice(), "SELECT image_gen.generate('x')"), 0);
}

#[test]
fn errors_of_a_call_come_without_the_context_of_what_is_inside() {
    let stage = Stage::start();
    stage.admin().run("SELECT image_gen.set_budget('workspace', NULL, 0)");
    let mut alice = stage.alice();
    for (call, code) in [
        ("SELECT image_gen.generate('x')", "53400"),
        ("SELECT image_gen.generate('x', allow_unpriced => true)", "42501"),
        ("SELECT image_gen.edit('asset:1', 'x')", "42704"),
        ("SELECT image_gen.upscale('job:gen_none')", "22023"),
        ("SELECT image_gen.transfer_style('asset:1', 'asset:2')", "42704"),
        ("SELECT image_gen.generate('x', width => -1)", "22023"),
        ("SELECT * FROM image_gen.generate_batch('[{\"shot\": \"a\", \"prompt\": \"x\"}]')", "53400"),
    ] {
        let error = alice.error(call);
        assert_eq!((error.code().code(), error.where_()), (code, None), "{call}: {error:?}");
        assert!(error.hint().is_some(), "{call}: {error:?}");
    }
    // So do those of the functions in PL/pgSQL.
    let mut admin = stage.admin();
    for (by_admin, call, code) in [
        (false, "SELECT * FROM image_gen.status('gen_none')", "42704"),
        (false, "SELECT * FROM image_gen.status('{gen_none}'::text[])", "42704"),
        (false, "SELECT * FROM image_gen.cancel('gen_none')", "42704"),
        (false, "SELECT * FROM image_gen.wait('{gen_none}')", "42704"),
        (false, "SELECT * FROM image_gen.recent(status => 'odd')", "22023"),
        (false, "SELECT * FROM image_gen.cost_report(dimensions => '{odd}')", "22023"),
        (false, "SELECT * FROM image_gen.set_budget('workspace', NULL, 1)", "42501"),
        (false, "SELECT * FROM image_gen.resolve_review('gen_none', 'approve')", "42704"),
        (true, "SELECT * FROM image_gen.set_budget('odd', NULL, 1)", "22023"),
        (true, "SELECT * FROM image_gen.set_budget('workspace', NULL, -1)", "22023"),
        (true, "SELECT * FROM image_gen.set_role_policy('nobody_here', allow_unpriced => true)", "42704"),
        (true, "SELECT image_gen.settle_cost('gen_none', 1, 1)", "42704"),
        (true, "SELECT image_gen.prune('-1 day')", "22023"),
        (true, "SELECT image_gen.reassign_jobs('nobody_here', 'alice')", "42704"),
    ] {
        let error = if by_admin { admin.error(call) } else { alice.error(call) };
        assert_eq!((error.code().code(), error.where_()), (code, None), "{call}: {error:?}");
    }
    // What others raise inside keeps its code, and what can be caught is caught as ever.
    admin.run(
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ123', DETAIL = 'why', HINT = 'how'; END $$;
         CREATE TRIGGER no BEFORE UPDATE ON image_gen.budgets FOR EACH ROW EXECUTE FUNCTION public.no()",
    );
    let error = admin.error("SELECT image_gen.set_budget('workspace', NULL, 5)");
    let told = (error.code().code(), error.message(), error.detail(), error.hint(), error.where_());
    assert_eq!(told, ("ZZ123", "no", Some("why"), Some("how"), None));
    admin.run("DROP FUNCTION public.no() CASCADE");
    admin.run(
        "DO $$ BEGIN FOR n IN 1 .. 100 LOOP BEGIN PERFORM image_gen.status('gen_none'); EXCEPTION WHEN undefined_object THEN NULL; END; END LOOP; END $$",
    );
    // Of a wrapper of one's own, its lines alone.
    alice.run("CREATE FUNCTION pg_temp.wrapper() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT id FROM image_gen.generate('x')); END $$");
    let error = alice.error("SELECT pg_temp.wrapper()");
    assert!(error.where_().is_some_and(|context| !context.contains("image_gen._")), "{error:?}");
    alice.run("CREATE FUNCTION pg_temp.other() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT status FROM image_gen.cancel('gen_none')); END $$");
    let error = alice.error("SELECT pg_temp.other()");
    let lines = error.where_().map(|context| context.lines().filter(|l| l.starts_with("PL/pgSQL")).count());
    assert!(error.where_().is_some_and(|context| context.contains("other() line 1")), "{error:?}");
    assert_eq!(lines, Some(1), "{error:?}");
}

#[test]
fn a_preview_that_stands_in_says_so() {
    let options = Options { env: vec![], ..Options::conf(&["image_gen.preview_when_unconfigured = on"]) };
    let stage = Stage::with(options);
    let mut alice = stage.alice();
    let (stands_in, asked_for) = (
        alice.generate_with("'a fox', model => 'flux-1.1-pro'"),
        alice.generate_with("'a fox', model => 'preview'"),
    );
    alice.all_succeed(&[stands_in.clone(), asked_for.clone()]);
    for (id, expected) in [(stands_in, "t"), (asked_for, "f")] {
        let says = |warnings: &str| format!("{warnings} @> '[{{\"code\": \"preview\"}}]'");
        let row = alice.rows(&format!(
            "SELECT {}, {}, {}, {} FROM image_gen.status('{id}') s JOIN image_gen.campaign_assets a ON a.job_id = s.id
               JOIN image_gen.recent() r ON r.id = s.id, image_gen.wait(ARRAY['{id}']) w",
            says("s.warnings"), says("a.warnings"), says("r.warnings"), says("w.warnings")
        ));
        assert_eq!(row, [[expected; 4]], "{id}");
    }
}

#[test]
fn what_a_call_warns_of_is_shown_with_its_job_and_its_picture() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    // A provider that answers with fewer images than were asked for says so in its answer alone.
    let id = alice.generate_with("'a fox', model => 'flux-1.1-pro', guidance => 3");
    alice.all_succeed(std::slice::from_ref(&id));
    stage.admin().run(&format!(
        "UPDATE image_gen.attempts SET warnings = warnings || '[{{\"code\": \"adjusted\", \"message\": \"by the call\"}}]' WHERE job_id = '{id}'"
    ));
    let shown = alice.text(&format!(
        "SELECT string_agg(w ->> 'code', ' ' ORDER BY w ->> 'code') FROM image_gen.status('{id}') s, jsonb_array_elements(s.warnings) w"
    ));
    assert_eq!(shown, "adjusted unsupported", "once each");
    let kept = alice.text(&format!(
        "SELECT warnings #>> '{{0,code}}' FROM image_gen.campaign_assets WHERE job_id = '{id}'"
    ));
    assert_eq!(kept, "unsupported");
}

#[test]
fn a_status_that_does_not_exist_is_an_error() {
    let stage = Stage::start();
    let error = stage.alice().error("SELECT * FROM image_gen.recent(5, 'bogus')");
    assert_eq!(error.code().code(), "22023");
    assert!(error.hint().unwrap().contains("needs_review"), "{error:?}");
}

#[test]
fn the_first_shot_of_a_list_has_the_base_seed_and_none_of_an_object() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    let listed = "SELECT string_agg(shot || CASE seed WHEN 7 THEN ' base' WHEN image_gen.derive_seed(7, shot) THEN ' derived' END, ', ' ORDER BY shot)
                    FROM image_gen.generate_batch($1, '{\"seed\": 7, \"model\": \"preview\"}')";
    let shots = |shots: &str| listed.replace("$1", &format!("'{shots}'"));
    let list = "[{\"shot\": \"hero\", \"prompt\": \"x\"}, {\"shot\": \"a\", \"prompt\": \"y\"}]";
    assert_eq!(alice.text(&shots(list)), "a derived, hero base");
    let object = "{\"hero\": {\"prompt\": \"x\"}, \"a\": {\"prompt\": \"y\"}}";
    assert_eq!(alice.text(&shots(object)), "a derived, hero derived");
}

#[test]
fn a_provider_without_its_key_is_not_called_healthy() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    let id = stage.alice().generate("a fox");
    stage.alice().all_succeed(&[id]);
    let health = "SELECT DISTINCT state FROM image_gen.provider_health";
    assert_eq!(stage.alice().column(health), ["up"]);
    admin.run("UPDATE image_gen.providers SET key_name = 'NO_SUCH_KEY' WHERE id = 'bfl'");
    assert_eq!(stage.alice().column(health), ["not_configured"]);
}
