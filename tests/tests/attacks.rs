//! What a role may try to have our functions run its code, or to see what is not its own. The functions are those of the catalogs: a
//! new one is attacked, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::cluster::{BFL_KEY, OPENAI_KEY};
use image_gen_tests::{Options, Session, Stage};
use serde_json::json;

/// Functions and operators in a schema, with the very arguments of those of pg_catalog that our code names: whoever finds a name
/// through a search_path that begins there runs them.
fn shadow(session: &mut Session, schema: &str, bodies: &str) -> usize {
    let functions = session.column(&format!(
        "SELECT format('CREATE FUNCTION {schema}.%I(%s) RETURNS %s LANGUAGE plpgsql AS $x$ BEGIN RAISE EXCEPTION ''hijacked %s''; END $x$',
                       p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), p.proname)
           FROM pg_proc p
          WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
            AND {bodies} ~ ('\\m' || p.proname || '\\(')
            AND NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')
            AND p.proallargtypes IS NULL"
    ));
    let operators = session.column(&format!(
        "SELECT format('CREATE FUNCTION {schema}.op_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $x$ BEGIN RAISE EXCEPTION ''hijacked operator''; END $x$;
                        CREATE OPERATOR {schema}.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = {schema}.op_%s)',
                       o.oid, l, r, format_type(o.oprresult, NULL), o.oprname, l, r, o.oid)
           FROM pg_operator o CROSS JOIN LATERAL (SELECT format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r) t
          WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname IN ('=', '<>', '<', '>', '<=', '>=', '||', '->>', '->', '@>', '~', '+', '-', '?')
            AND o.oprleft <> 0 AND (SELECT bool_and(y.typtype <> 'p') FROM pg_type y WHERE y.oid IN (o.oprleft, o.oprright, o.oprresult))"
    ));
    let mut made = 0;
    for statement in functions.iter().chain(&operators) {
        // Some names are the parser's own.
        made += usize::from(session.try_rows(statement).is_ok());
    }
    made
}

/// What our functions are made of, as one text.
const BODIES: &str = "(SELECT string_agg(p.prosrc, ' ') FROM pg_proc p WHERE p.pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace))";

/// Calls of every function of ours that the session's role may call, with NULLs, with plain values, and with quotes in all texts.
fn calls(session: &mut Session, definer_only: bool) -> Vec<String> {
    let which = if definer_only { "p.prosecdef" } else { "true" };
    let mut calls = vec![];
    for text in ["NULL", "plain", "quoted"] {
        calls.extend(session.column(&format!(
            "SELECT format('SELECT * FROM %s.%I(%s)', p.pronamespace::regnamespace, p.proname,
                      (SELECT string_agg(CASE WHEN '{text}' = 'NULL' THEN 'NULL::' || format_type(t, NULL)
                          ELSE format('%L::%s', CASE
                            WHEN format_type(t, NULL) IN ('text', 'name') THEN CASE '{text}' WHEN 'plain' THEN 'x' ELSE 'x''; ALTER ROLE ' || current_user || ' SUPERUSER; --$$%s%I' END
                            WHEN format_type(t, NULL) LIKE '%[]' THEN '{{}}'
                            WHEN format_type(t, NULL) IN ('jsonb', 'json') THEN CASE '{text}' WHEN 'plain' THEN '{{}}' ELSE '{{\"prompt\": \"x''; ALTER ROLE alice SUPERUSER; --\", \"operation\": \"generate\"}}' END
                            WHEN format_type(t, NULL) = 'interval' THEN '40 days'
                            WHEN format_type(t, NULL) LIKE 'timestamp%' THEN '2030-01-01'
                            WHEN format_type(t, NULL) = 'boolean' THEN 'false'
                            WHEN format_type(t, NULL) = 'bytea' THEN '\\x00'
                            WHEN format_type(t, NULL) = 'regrole' THEN current_user
                            ELSE '1' END, format_type(t, NULL)) END, ', ' ORDER BY o)
                         FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(t, o)))
               FROM pg_proc p
              WHERE p.pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND {which} AND p.prokind = 'f'
                AND has_function_privilege(p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
                AND NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[]) t JOIN pg_type y ON y.oid = t WHERE y.typtype IN ('p', 'c'))
              ORDER BY p.oid"
        )));
    }
    calls
}

#[test]
fn no_function_that_runs_with_more_rights_finds_what_its_caller_has_put_in_its_way() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    admin.run("CREATE ROLE carol LOGIN; GRANT image_gen_admin, image_gen_user TO carol; CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO alice, carol");
    assert!(shadow(&mut admin, "evil", BODIES) > 300);
    admin.run("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA evil TO PUBLIC");
    for (user, least) in [("alice", 30), ("carol", 60)] {
        let mut session = stage.connect(user);
        let all = calls(&mut session, true);
        assert!(all.len() > 3 * least, "{user}: {}", all.len());
        // Tables and types of our names, where temporary ones are found first.
        for table in admin.column("SELECT DISTINCT relname FROM pg_class WHERE relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND relkind IN ('r', 'v')") {
            session.run(&format!("CREATE TEMP TABLE {table} (trap int)"));
        }
        session.run("SET statement_timeout = '20 s'; SET search_path = evil, pg_temp, public, pg_catalog");
        let mut ran = 0;
        for call in &all {
            match session.try_rows(&format!("BEGIN; {call}; ROLLBACK")) {
                Ok(_) => ran += 1,
                Err(e) => {
                    let error =
                        e.as_db_error().unwrap_or_else(|| panic!("{call}: the connection is lost: {e:?}"));
                    assert!(!error.message().contains("hijacked"), "{user}: {call}: {error:?}");
                    assert_ne!(error.code().code(), "XX000", "{user}: {call}: {error:?}");
                    session.run("ROLLBACK");
                }
            }
        }
        assert!(ran > least / 2, "{user}: {ran} of {} came to their end", all.len());
    }
    stage.sentinel();
}

#[test]
fn what_lies_in_wait_in_public_runs_in_no_create_extension() {
    let stage = Stage::start();
    let bodies = stage.admin().text(&format!("SELECT {BODIES}"));
    let mut admin = stage.cluster.admin("postgres");
    admin.run("CREATE DATABASE bait");
    let mut owner = stage.cluster.admin("bait");
    owner.run("GRANT CREATE ON SCHEMA public TO mallory; CREATE TABLE public.bodies (body text); GRANT SELECT ON public.bodies TO mallory");
    owner.execute("INSERT INTO public.bodies VALUES ($1)", &[&bodies]).unwrap();
    let mut mallory = stage.cluster.connect("mallory", "bait");
    assert!(shadow(&mut mallory, "public", "(SELECT b.body FROM public.bodies b)") > 300);
    mallory.run("CREATE TABLE public.jobs (id text); CREATE DOMAIN public.job_id AS text CHECK (false)");
    owner.run("SET search_path = public, pg_catalog");
    owner.run("CREATE EXTENSION image_gen");
    let foreign = owner.column(
        "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) c.relowner
          WHERE c.relnamespace OPERATOR(pg_catalog.=) 'image_gen'::pg_catalog.regnamespace AND r.rolname OPERATOR(pg_catalog.=) 'mallory'",
    );
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn an_administrator_cannot_become_a_superuser_nor_read_a_key() {
    let stage = Stage::start();
    stage.sentinel();
    let mut admin = stage.admin();
    admin.run("CREATE ROLE carol LOGIN; GRANT image_gen_admin, image_gen_user TO carol; CREATE SCHEMA own AUTHORIZATION carol");
    let mut carol = stage.connect("carol");
    carol.run("SET statement_timeout = '20 s'");
    let mut shown = String::new();
    for call in calls(&mut carol, false) {
        match carol.try_rows(&call) {
            Ok(rows) => shown.push_str(&format!("{rows:?}")),
            Err(e) => shown.push_str(&format!("{:?}", e.as_db_error().expect("the connection stays"))),
        }
    }
    carol.run(
        "CREATE FUNCTION own.climb(event jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE carol SUPERUSER'; END $$;
         CREATE FUNCTION own.soft(prompt text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$",
    );
    for attempt in [
        "ALTER ROLE carol SUPERUSER",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE image_gen_worker",
        "GRANT image_gen_worker TO carol",
        "ALTER SYSTEM SET image_gen.secrets_file = '/tmp/x'",
        "SET image_gen.secrets_file = '/tmp/x'",
        "SHOW image_gen.secrets_file",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY own.x FROM PROGRAM 'id'",
        "UPDATE image_gen.providers SET base_url = 'https://evil.example'",
        "UPDATE image_gen.providers SET key_name = 'PATH'",
        "INSERT INTO image_gen.providers (id, kind, base_url, key_name) VALUES ('evil', 'openai', 'https://evil.example', 'BFL_API_KEY')",
        "DELETE FROM image_gen.providers",
        "ALTER FUNCTION image_gen.prune(interval, integer) OWNER TO carol",
        "CREATE OR REPLACE FUNCTION image_gen.prune(interval, integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER EXTENSION image_gen UPDATE",
        "DROP EXTENSION image_gen",
        "SELECT image_gen_internal.record_audit('x.y', 'z')",
        "INSERT INTO image_gen.role_policies (role, set_by) VALUES ('carol', 'x')",
        "SELECT image_gen.on_finish('pg_catalog.pg_reload_conf()')",
    ] {
        let state = carol.sqlstate(attempt);
        assert!(
            matches!(state.as_str(), "42501" | "55P02" | "42883" | "42P01" | "42P13" | "42704"),
            "{attempt}: {state}"
        );
    }
    // Where messages go is an administrator's to say, and they are signed with what its name says: a provider's key is no secret of a webhook.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let hook = format!(
        "INSERT INTO image_gen.webhooks (url, key_name) VALUES ('https://localhost:{port}/', 'BFL_API_KEY')"
    );
    carol.run(&hook);
    // Its function runs as itself.
    carol.run("SELECT image_gen.on_finish('own.climb(jsonb)')");
    stage.sentinel();
    image_gen_tests::wait_until("its function was called", image_gen_tests::wait::secs(30), || {
        admin.number("SELECT failures FROM image_gen.finish_hooks WHERE function = 'own.climb(jsonb)'") > 0
    });
    assert_eq!(admin.column("SELECT rolname FROM pg_roles WHERE rolsuper"), ["postgres"]);
    assert!(listener.accept().is_err(), "nobody was told anything");
    shown.push_str(&carol.text("SELECT string_agg(d::text, ' ') FROM image_gen.webhook_deliveries d"));
    for table in carol.column("SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND c.relkind IN ('r', 'v') AND has_table_privilege(c.oid, 'SELECT')") {
        shown.push_str(&carol.text(&format!("SELECT string_agg(x::text, ' ') FROM {table} x")));
    }
    assert!(shown.len() > 10_000);
    for key in [BFL_KEY, OPENAI_KEY] {
        assert!(!shown.contains(key) && !stage.cluster.log().contains(key));
    }
}

#[test]
fn nothing_of_another_role_is_seen_through_any_table_view_function_plan_error_or_statistics() {
    let stage = Stage::conf(&["image_gen.keep_bytes = all"]);
    let mut alice = stage.alice();
    let mut admin = stage.admin();
    admin.run("GRANT CREATE ON DATABASE shop TO bob; SELECT image_gen.set_budget('campaign', 'hush-campaign', 10); SELECT image_gen.grant_campaign('hush-campaign', 'alice')");
    alice.run("SELECT image_gen.set_style('hush-style', suffix => 'hush'); SELECT image_gen.create_character('hush-name', 'hush-description'); SELECT image_gen.request_provider('bfl', 'hush-note')");
    let id = alice.generate_with("prompt => 'hush-prompt', metadata => '{\"campaign\": \"hush-campaign\", \"ticket\": \"hush-ticket\", \"shot\": \"hush-shot\"}', idempotency_key => 'hush-key', model => 'gpt-image'");
    alice.all_succeed(std::slice::from_ref(&id));
    stage.sim.rule(json!({"prompt_contains": "hush-failing", "fault": {"kind": "status", "code": 400, "body": {"detail": "hush-error"}}}));
    let failed = alice.generate("hush-failing");
    alice.done(&failed);
    alice.run("SELECT image_gen.generate_variants('hush-variant', n => 2)");
    admin.run("ANALYZE");
    let asset = alice.text("SELECT max(id) FROM image_gen.campaign_assets");

    let mut bob = stage.bob();
    let own = bob.generate("his own");
    bob.all_succeed(&[own]);
    // The secret is there to be found: who owns it finds it.
    let relations = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND c.relkind IN ('r', 'v') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1";
    let found = |session: &mut Session, relation: &str| {
        session.number(&format!(
            "SELECT count(*) FROM {relation} x WHERE x::text LIKE '%hush%' OR x::text LIKE '%{id}%'"
        ))
    };
    let all = bob.column(relations);
    let hers: Vec<&String> = all.iter().filter(|relation| found(&mut alice, relation) > 0).collect();
    assert!(hers.len() >= 15, "{hers:?}");
    for relation in &all {
        assert_eq!(found(&mut bob, relation), 0, "{relation}");
    }
    // Nor does a function of his see a row before the policy does, however cheap it says it is.
    bob.run(
        "CREATE SCHEMA peep; CREATE FUNCTION peep.at(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'seen %', $1; IF $1::text LIKE '%hush%' THEN RAISE EXCEPTION 'peeped'; END IF; RETURN true; END $$;
         CREATE FUNCTION peep.eq(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN IF $1 LIKE '%hush%' THEN RAISE EXCEPTION 'peeped'; END IF; RETURN true; END $$;
         CREATE OPERATOR peep.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = peep.eq)",
    );
    for relation in &all {
        for condition in
            ["peep.at(x)", "x::text OPERATOR(peep.===) 'x'", "(x::text || '/')::text LIKE '%hush%'"]
        {
            for explain in ["", "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) "] {
                let said =
                    bob.try_rows(&format!("{explain}SELECT count(*) FROM {relation} x WHERE {condition}"));
                match said {
                    Ok(rows) => {
                        assert!(!format!("{rows:?}").contains("hush-"), "{relation}: {condition}: {rows:?}")
                    }
                    Err(e) => assert!(
                        !e.as_db_error().unwrap().message().contains("peeped"),
                        "{relation}: {condition}: {e:?}"
                    ),
                }
            }
        }
    }
    // A join that fails early, a cast that fails, a division by a length.
    for leak in [
        "SELECT 1 / (length(prompt) - length('hush-prompt')) FROM image_gen.jobs",
        "SELECT prompt::int FROM image_gen.jobs WHERE prompt LIKE 'hush%'",
        "SELECT (metadata ->> 'campaign')::int FROM image_gen.campaign_assets WHERE campaign LIKE 'hush%'",
    ] {
        assert!(bob.try_rows(leak).is_ok(), "{leak}");
    }
    // What the planner knows of values, and what others run.
    assert_eq!(bob.number("SELECT count(*) FROM pg_stats WHERE schemaname IN ('image_gen', 'image_gen_internal') AND pg_stats::text LIKE '%hush%'"), 0);
    assert!(admin.number("SELECT count(*) FROM pg_stats WHERE schemaname IN ('image_gen', 'image_gen_internal') AND pg_stats::text LIKE '%hush%'") > 0);
    assert_eq!(
        bob.number(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%hush%' AND pid <> pg_backend_pid()"
        ),
        0
    );
    // Whether something of another is there or not, the answer is the same.
    let missing = "gen_00000000000000000000000000";
    for (there, not) in [
        (format!("status('{id}')"), format!("status('{missing}')")),
        (format!("cancel('{id}')"), format!("cancel('{missing}')")),
        (format!("forget(job => '{id}')"), format!("forget(job => '{missing}')")),
        (format!("regenerate({asset})"), "regenerate(999999)".to_owned()),
        (format!("provenance({asset})"), "provenance(999999)".to_owned()),
        (format!("forget(asset => {asset})"), "forget(asset => 999999)".to_owned()),
        (format!("pick({asset})"), "pick(999999)".to_owned()),
        (format!("approve_asset({asset})"), "approve_asset(999999)".to_owned()),
        (format!("asset_url({asset})"), "asset_url(999999)".to_owned()),
        (format!("edit('asset:{asset}', 'x')"), "edit('asset:999999', 'x')".to_owned()),
        (format!("edit('job:{id}', 'x')"), format!("edit('job:{missing}', 'x')")),
        ("generate('x', style => 'hush-style')".to_owned(), "generate('x', style => 'no-style')".to_owned()),
    ] {
        let say = |session: &mut Session, call: &str| {
            let error = session.error(&format!("SELECT * FROM image_gen.{call}"));
            let text = format!("{} {} {:?}", error.code().code(), error.message(), error.hint());
            text.replace(&id, missing).replace(&asset, "999999").replace("hush-style", "no-style")
        };
        assert_eq!(say(&mut bob, &there), say(&mut bob, &not), "{there}");
    }
    assert_eq!(
        bob.rows("SELECT * FROM image_gen.forget(metadata => '{\"ticket\": \"hush-ticket\"}')"),
        [["0", "0", "0", "0", ""]]
    );
    assert_eq!(alice.text(&format!("SELECT prompt FROM image_gen.jobs WHERE id = '{id}'")), "hush-prompt");
}

#[test]
fn words_of_a_provider_forge_no_line_of_the_log_and_no_statement() {
    let stage = Stage::with(Options::conf(&["log_min_messages = debug1", "log_line_prefix = ''"]));
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let words = [
        "%s%s%n%p %1$s",
        "x\n2030-01-01 00:00:00 UTC [1] FATAL:  forged line",
        "x\r\nERROR:  forged line",
        "\u{1b}]0;owned\u{7}\u{1b}[2J",
        "'); UPDATE image_gen.jobs SET owner = 'mallory'; --",
        "$$; DROP TABLE image_gen.attempts; $$",
        "\\'; COPY (SELECT 1) TO PROGRAM 'id'; --",
        "{\"code\": \"approval\"}",
        "\u{2028}\u{2029}\u{85}forged line",
        "%(prompt)s ${jndi:ldap://127.0.0.1/x}",
    ];
    let mut ids = vec![];
    for (n, word) in words.iter().enumerate() {
        for (phase, code, body) in [
            ("submit", 400, json!({"detail": word})),
            ("submit", 500, json!({"detail": [{"msg": word, "loc": [word]}]})),
            ("submit", 429, json!({"error": {"message": word, "code": word}})),
            ("poll", 200, json!({"id": "t", "status": "Error", "details": {"message": word}})),
        ] {
            let prompt = format!("[{n} {phase} {code} {}]", ids.len());
            let times = if code == 200 { json!(null) } else { json!(1) };
            stage.sim.rule(json!({"phase": phase, "prompt_contains": prompt, "times": times, "fault": {"kind": "status", "code": code, "body": body}}));
            ids.push(alice.generate_with(&format!(
                "prompt => '{prompt}', model => 'bfl:flux-1.1-pro', deadline => now() + interval '5 s'"
            )));
        }
    }
    alice.all_done(&ids);
    let log = stage.cluster.log();
    for line in log.lines() {
        assert!(!line.starts_with("2030-01-01") && !line.starts_with("ERROR:  forged"), "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\u{7}'), "{line:?}");
    }
    let control = "SELECT count(*) FROM (SELECT error_message FROM image_gen.jobs UNION ALL SELECT error_message FROM image_gen.attempts UNION ALL SELECT last_error FROM image_gen.worker_status) m WHERE error_message ~ '[\\x01-\\x1f\\x7f]'";
    assert_eq!(admin.number(control), 0);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs WHERE owner <> 'alice'::regrole"), 0);
    stage.check_money();
}
