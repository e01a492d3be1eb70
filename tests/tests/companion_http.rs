//! Agents over HTTP: who is let in, as whom, and how often.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::companion::{Can, Http, run, token};
use image_gen_tests::{Options, Stage};
use serde_json::{Value, json};

/// A stage with BFL alone, budgets, and a login for the companion that may become alice or bob.
fn stage() -> Stage {
    let stage = Stage::with(Options::conf(&["image_gen.keep_bytes = all"]));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    admin.run("CREATE ROLE companion LOGIN NOINHERIT");
    admin.run("GRANT image_gen_user, alice, bob TO companion");
    // Looking up a token is a right of its own; NOINHERIT leaves the login without those of alice.
    admin.run("GRANT USAGE ON SCHEMA image_gen TO companion");
    admin.run("GRANT EXECUTE ON FUNCTION image_gen.token_identity TO companion");
    admin.run("SELECT image_gen.set_budget('role', 'alice', 5)");
    admin.run("SELECT image_gen.set_budget('role', 'bob', 0.05)");
    stage
}

fn cup(shot: &str) -> Value {
    json!({"prompt": "a cup", "model": "flux-1.1-pro", "metadata": {"shot": shot}})
}

#[test]
fn each_request_is_its_tokens_role_with_that_roles_rows_and_budgets() {
    let stage = stage();
    let (alice, bob) = (token(&stage, "alice", "read,spend"), token(&stage, "bob", "read,spend"));
    let server = Http::start(&stage, "companion", &["mcp", "--http"]);
    let one = server.call(&alice, "generate_image", cup("a"));
    let id = one["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("{one}")).to_owned();
    assert_eq!(
        stage.admin().text("SELECT string_agg(owner::text || '/' || login, ',') FROM image_gen.jobs"),
        "alice/companion"
    );
    let settled = server.call(&alice, "settle", json!({"ids": [id], "wait_seconds": 45}));
    assert!(settled["structuredContent"]["done"]["a"]["seed"].is_i64(), "{settled}");
    assert_eq!(
        server.call(&bob, "get_generation", json!({"id": id}))["structuredContent"]["error"]["code"],
        "not_found"
    );
    server.call(&bob, "generate_image", cup("b"));
    let refused = server.call(&bob, "generate_image", cup("c"));
    assert_eq!(refused["structuredContent"]["error"]["code"], "budget_exceeded", "{refused}");
    // The role does not outlast its request.
    assert_eq!(
        server.call(&alice, "list_recent_generations", json!({}))["structuredContent"]["generations"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let bobs = stage.bob().column("SELECT id FROM image_gen.jobs");
    stage.bob().all_succeed(&bobs);
    assert_eq!(stage.admin().text("SELECT sum(billed_cost) FROM image_gen.jobs"), stage.sim.billed());
    let log = server.stop();
    assert!(!log.contains(&alice) && !log.contains(&bob) && !log.contains("a cup"), "{log}");
    stage.check_money();
}

#[test]
fn no_one_is_let_in_without_a_token_that_is_valid_now() {
    let stage = stage();
    let good = token(&stage, "alice", "read");
    let server = Http::start(&stage, "companion", &["mcp", "--http", "--rate", "1000"]);
    let list =
        |token: &str, more: &[(&str, &str)]| server.ask(token, Can::Nothing, "tools/list", json!({}), more);
    assert_eq!(list(&good, &[]).status, 200);
    let none = server.send("POST", "/mcp", &[("Content-Type", "application/json")], "{}");
    assert!(none.status == 401 && none.headers.contains("www-authenticate: bearer"), "{none:?}");
    for wrong in
        ["", "igt_", "alice", &good[..good.len() - 1], &format!("igt_{}", "0".repeat(64)), "' OR true --"]
    {
        assert_eq!(list(wrong, &[]).status, 401, "{wrong}");
    }
    // Of a web page somewhere, and by a name that was made to lead here.
    assert_eq!(list(&good, &[("Origin", "https://evil.example")]).status, 403);
    assert_eq!(list(&good, &[("Host", "evil.example")]).status, 403);
    // What its scopes do not say it cannot do.
    let spent = server.call(&good, "generate_image", cup("a"));
    assert_eq!(spent["structuredContent"]["error"]["code"], "forbidden", "{spent}");
    let decided = server.call(&good, "resolve_review", json!({"id": "gen_x", "action": "reject"}));
    assert_eq!(decided["structuredContent"]["error"]["code"], "forbidden");
    // Ended, too old, of a role that the companion is no member of any more, or that is a superuser now.
    let mut admin = stage.admin();
    let old = token(&stage, "alice", "read");
    admin.run("UPDATE image_gen.access_tokens SET expires_at = clock_timestamp() - interval '1 s' WHERE id = (SELECT max(id) FROM image_gen.access_tokens)");
    assert_eq!(list(&old, &[]).status, 401);
    admin.run("REVOKE alice FROM companion");
    assert_eq!(list(&good, &[]).status, 401);
    admin.run("GRANT alice TO companion");
    assert_eq!(list(&good, &[]).status, 200);
    admin.run("ALTER ROLE alice SUPERUSER");
    assert_eq!(list(&good, &[]).status, 401);
    admin.run("ALTER ROLE alice NOSUPERUSER");
    let listed = run(&stage, "postgres", &["token", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(!listed.to_string().contains("igt_"), "nothing shows a token again: {listed}");
    assert!(run(&stage, "postgres", &["token", "revoke", &listed[0]["id"].to_string()]).status.success());
    assert_eq!(list(&good, &[]).status, 401);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 0);
    // What is kept of a token does not let anyone in, and only administrators see that there is one.
    assert_eq!(stage.alice().sqlstate("SELECT * FROM image_gen.access_tokens"), "42501");
    assert_eq!(stage.alice().sqlstate("SELECT image_gen.create_token('alice')"), "42501");
    for (role, state) in [("postgres", "42501"), ("nobody_at_all", "42704"), ("mallory", "22023")] {
        assert_eq!(admin.sqlstate(&format!("SELECT image_gen.create_token('{role}')")), state, "{role}");
    }
}

#[test]
fn whoever_asks_too_often_waits_and_holds_up_no_one_else() {
    let stage = stage();
    let (alice, bob) = (token(&stage, "alice", "read"), token(&stage, "bob", "read"));
    let server = Http::start(&stage, "companion", &["mcp", "--http", "--rate", "1"]);
    let list = |token: &str| server.ask(token, Can::Nothing, "tools/list", json!({}), &[]).status;
    let mut asked = 0;
    while list(&alice) == 200 {
        asked += 1;
        assert!(asked < 1000, "no limit");
    }
    assert!(asked >= 3, "{asked}");
    assert_eq!(list(&bob), 200);
    let mut guessed = 0;
    while server.send("POST", "/mcp", &[("Authorization", "Bearer igt_no")], "").status == 401 {
        guessed += 1;
        assert!(guessed < 10_000, "no limit");
    }
    assert_eq!(list(&bob), 200, "guessing at this address keeps no token out");
}
