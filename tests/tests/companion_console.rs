//! The web page for people: who is let in, what they see, what their buttons do, and that nothing of what others wrote runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use image_gen_tests::companion::{Http, Reply, run, token};
use image_gen_tests::{Options, Stage};
use serde_json::json;

fn stage() -> Stage {
    let stage = Stage::with(Options::conf(&["image_gen.keep_bytes = all"]));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET enabled = false WHERE id <> 'bfl'");
    admin.run("CREATE ROLE companion LOGIN NOINHERIT");
    admin.run("GRANT alice, bob TO companion");
    admin.run("GRANT USAGE ON SCHEMA image_gen TO companion");
    admin.run("GRANT EXECUTE ON FUNCTION image_gen.token_identity TO companion");
    stage
}

/// A browser that knows one cookie.
struct Browser<'a> {
    server: &'a Http,
    cookie: String,
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let of = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{}={}", of(name), of(value))).collect::<Vec<_>>().join("&")
}

impl<'a> Browser<'a> {
    fn enter(server: &'a Http, fields: &[(&str, &str)]) -> Result<Self, Reply> {
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let reply = server.send("POST", "/login", &form, &encoded(fields));
        let set = reply.headers.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let (303, Some(set)) = (reply.status, set) else { return Err(reply) };
        assert!(
            set.contains("; httponly") && set.contains("; samesite=strict") && set.contains("; path=/"),
            "{set}"
        );
        // Of the header as it is: its value has capitals.
        let cookie = reply.cookie.clone();
        Ok(Browser { server, cookie })
    }

    fn get(&self, path: &str) -> Reply {
        self.server.send("GET", path, &[("Cookie", &self.cookie)], "")
    }

    fn page(&self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(reply.headers.contains("content-security-policy: default-src 'none'"), "{path}");
        reply.body
    }

    fn csrf(&self, path: &str) -> String {
        let page = self.page(path);
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split_once('"').unwrap().0.to_owned()
    }

    fn post(&self, path: &str, fields: &[(&str, &str)], more: &[(&str, &str)]) -> Reply {
        let mut headers =
            vec![("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", self.cookie.as_str())];
        headers.extend_from_slice(more);
        self.server.send("POST", path, &headers, &encoded(fields))
    }
}

#[test]
fn a_person_logs_in_sees_a_launch_resolves_a_review_picks_a_variant_and_the_budget_moves() {
    let stage = stage();
    stage.admin().run("SELECT image_gen.set_budget('role', 'alice', 1)");
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "forbidden", "fault": "refuse"}));
    let secret = token(&stage, "alice", "read,spend,review");
    let server = Http::start(&stage, "companion", &["console"]);
    let person = Browser::enter(&server, &[("token", &secret)]).unwrap_or_else(|reply| panic!("{reply:?}"));
    assert!(person.page("/").contains("Nothing was queued yet."));
    // What is over is told to the page that is open, by one message that says nothing.
    let mut open = TcpStream::connect(server.address()).unwrap();
    write!(open, "GET /events HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", server.address(), person.cookie)
        .unwrap();
    let mut told = BufReader::new(open).lines().map(Result::unwrap);
    assert!(told.next().unwrap().contains("200"));
    let mut alice = stage.alice();
    let ids = alice.column(
        "SELECT id FROM unnest('{a cup,forbidden fruit}'::text[]) WITH ORDINALITY p(prompt, n), LATERAL image_gen.generate(p.prompt, model => 'bfl:flux-1.1-pro',
           metadata => jsonb_build_object('campaign', 'spring & co', 'shot', 'shot ' || n)) g",
    );
    alice.all_done(&ids);
    assert!(told.any(|line| line == "data: changed"));
    let sheet = person.page("/campaign?name=spring%20%26%20co");
    assert!(
        sheet.contains("spring &amp; co")
            && sheet.contains("needs_review")
            && sheet.contains("<img src=\"/image/"),
        "{sheet}"
    );
    let job = person.page(&format!("/job/{}", ids[1]));
    assert!(
        job.contains("forbidden fruit") && job.contains("safety_filter") && job.contains("refused"),
        "{job}"
    );
    let asset = alice.text("SELECT min(id) FROM image_gen.campaign_assets");
    let image = person.get(&format!("/image/{asset}"));
    assert!(image.status == 200 && image.headers.contains("content-type: image/jpeg"), "{}", image.headers);
    // The review: again in other words.
    let reviews = person.page("/reviews");
    assert!(reviews.contains("forbidden fruit") && reviews.contains("Again in other words"), "{reviews}");
    let csrf = person.csrf("/reviews");
    let resolved = person.post(
        &format!("/reviews/{}", ids[1]),
        &[("csrf", &csrf), ("action", "rewrite"), ("prompt", "an apple")],
        &[],
    );
    assert_eq!(resolved.status, 303, "{resolved:?}");
    alice.all_succeed(&ids[1..]);
    assert_eq!(
        alice.text(&format!("SELECT prompt FROM image_gen.campaign_assets WHERE job_id = '{}'", ids[1])),
        "an apple"
    );
    // A set, of which one is picked.
    let set = alice.column("SELECT id FROM image_gen.generate_variants('a bottle', n => 2, vary => 'seed', model => 'bfl:flux-1.1-pro')");
    alice.all_succeed(&set);
    let best = alice.text("SELECT max(asset_id) FROM image_gen.variants");
    assert_eq!(person.post(&format!("/pick/{best}"), &[("csrf", &person.csrf("/sets"))], &[]).status, 303);
    assert_eq!(alice.text(&format!("SELECT state FROM image_gen.variants WHERE asset_id = {best}")), "final");
    assert!(person.page("/sets").contains("class=\"final\""));
    // The budget moves as the bill does, and the chart has today.
    let money = person.page("/money");
    let spent = alice.text("SELECT trim_scale(spent) FROM image_gen.credits() WHERE scope = 'role:alice'");
    assert_eq!(spent, stage.sim.billed());
    assert!(
        money.contains(&format!("spent {spent}, reserved 0 of 1 USD")) && money.contains("<rect "),
        "{money}"
    );
    assert!(person.page("/health").contains("flux-1.1-pro"));
    stage.check_money();
}

#[test]
fn no_page_is_anothers_and_no_form_of_another_does_anything() {
    let stage = stage();
    let mut alice = stage.alice();
    let id = alice.generate_with(
        "prompt => 'a cup', model => 'bfl:flux-1.1-pro', metadata => '{\"campaign\": \"secret\"}'",
    );
    alice.all_succeed(std::slice::from_ref(&id));
    let asset = alice.text("SELECT min(id) FROM image_gen.campaign_assets");
    let (hers, his) = (token(&stage, "alice", "read,spend"), token(&stage, "bob", "read,spend,review"));
    let server = Http::start(&stage, "companion", &["console"]);
    // No one, and who makes something up.
    for path in [
        "/",
        "/reviews",
        "/sets",
        "/money",
        "/health",
        "/campaign?name=secret",
        &format!("/job/{id}"),
        &format!("/image/{asset}"),
        "/events",
    ] {
        for cookie in ["", "image_gen_console=x", "image_gen_console=rs1.e30.e30"] {
            let reply = server.send("GET", path, &[("Cookie", cookie)], "");
            assert!(reply.status == 303 && reply.headers.contains("location: /login"), "{path}: {reply:?}");
        }
    }
    for fields in [
        [("token", "igt_no"), ("role", ""), ("password", "")],
        [("token", ""), ("role", "alice"), ("password", "x")],
        [("token", ""), ("role", "postgres"), ("password", "x")],
    ] {
        // Of this server every password is right, as it asks for none: that is no proof.
        let reply = Browser::enter(&server, &fields).err().expect("no one is let in");
        assert!(reply.status == 401 && !reply.headers.contains("set-cookie"), "{reply:?}");
    }
    let alice_there =
        Browser::enter(&server, &[("token", &hers)]).unwrap_or_else(|reply| panic!("{reply:?}"));
    let bob_there = Browser::enter(&server, &[("token", &his)]).unwrap_or_else(|reply| panic!("{reply:?}"));
    // Each login is a session of its own, whatever the browser had before.
    let again = Browser::enter(&server, &[("token", &hers)]).unwrap_or_else(|reply| panic!("{reply:?}"));
    assert_ne!(again.cookie, alice_there.cookie);
    assert!(!bob_there.page("/").contains("secret"));
    for path in [
        "/campaign?name=secret",
        &format!("/job/{id}"),
        &format!("/image/{asset}"),
        &format!("/image/{asset}/whole"),
    ] {
        assert_eq!(alice_there.get(path).status, 200, "{path}");
        assert_eq!(bob_there.get(path).status, 404, "{path}");
    }
    // A form without the word of its session, with another's, or from another page.
    stage.sim.configure(&json!({"render_seconds": 60.0}));
    let slow = alice.generate_with("prompt => 'slow', model => 'bfl:flux-1.1-pro'");
    let cancel = format!("/job/{slow}/cancel");
    let foreign = bob_there.csrf("/");
    for csrf in ["", "x", foreign.as_str(), again.csrf("/").as_str()] {
        assert_eq!(alice_there.post(&cancel, &[("csrf", csrf)], &[]).status, 403, "{csrf}");
    }
    let good = alice_there.csrf("/");
    assert_eq!(
        alice_there.post(&cancel, &[("csrf", &good)], &[("Origin", "https://evil.example")]).status,
        403
    );
    assert_eq!(alice_there.post(&cancel, &[("csrf", &good)], &[("Host", "evil.example")]).status, 403);
    assert_eq!(bob_there.post(&cancel, &[("csrf", &foreign)], &[]).status, 404, "it is not his");
    assert!(alice.job(&slow).status != "canceled");
    // A scope that the token has not.
    assert_eq!(
        alice_there.post(&format!("/reviews/{slow}"), &[("csrf", &good), ("action", "reject")], &[]).status,
        403
    );
    assert_eq!(alice_there.post(&cancel, &[("csrf", &good)], &[]).status, 303);
    alice.all_done(std::slice::from_ref(&slow));
    assert_eq!(alice.job(&slow).status, "canceled");
    // A token that is revoked ends its sessions.
    let first = stage.admin().text("SELECT min(id) FROM image_gen.access_tokens");
    assert!(run(&stage, "postgres", &["token", "revoke", &first]).status.success());
    assert_eq!(alice_there.get("/").status, 303);
    let log = server.stop();
    assert!(!log.contains(&hers) && !log.contains(&his), "{log}");
}

/// What runs where it is not escaped, in one context or another.
const HOSTILE: [&str; 20] = [
    "<script>document.title='broken'</script>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "\" onmouseover=\"alert(1)",
    "' autofocus onfocus='alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "<style>@import 'http://127.0.0.1:9/x'</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil.example><button>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!--<script>-->alert(1)//",
];

#[test]
fn twenty_hostile_strings_in_every_text_are_words_on_every_page() {
    let stage = stage();
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": "refused", "fault": "refuse"}));
    let mut alice = stage.alice();
    let secret = token(&stage, "alice", "read,spend,review");
    let quoted = |text: &str| text.replace('\'', "''");
    let mut ids = vec![];
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let refused = if n % 2 == 0 { "" } else { " refused" };
        ids.push(alice.generate_with(&format!(
            "prompt => '{0}{refused}', model => 'bfl:flux-1.1-pro', metadata => jsonb_build_object('campaign', '{0}', 'shot', '{0}', 'ticket', '{0}', '{0}', '{0}')",
            quoted(hostile)
        )));
    }
    alice.all_done(&ids);
    let server = Http::start(&stage, "companion", &["console"]);
    let person = Browser::enter(&server, &[("token", &secret)]).unwrap_or_else(|reply| panic!("{reply:?}"));
    let mut pages = vec![
        "/".to_owned(),
        "/reviews".to_owned(),
        "/sets".to_owned(),
        "/money".to_owned(),
        "/health".to_owned(),
    ];
    pages.extend(ids.iter().map(|id| format!("/job/{id}")));
    pages.extend(
        HOSTILE
            .iter()
            .map(|name| format!("/campaign?name={}", encoded(&[("x", name)]).split_once('=').unwrap().1)),
    );
    for path in &pages {
        let page = person.page(path);
        // The only script is ours, by its address; nothing else that runs, loads or leads away begins a tag.
        assert_eq!(page.matches("<script").count(), 1, "{path}: {page}");
        assert!(page.contains("<script src=\"/console.js\"></script>"), "{path}");
        for begins in [
            "<svg/",
            "<iframe",
            "<style",
            "<base",
            "<a href=javascript",
            "<img src=x",
            "<form action=//",
            "onmouseover=\"alert",
            "<!--",
        ] {
            assert!(!page.contains(begins), "{path}: {begins}");
        }
        assert_eq!(page.matches("<meta").count(), 2, "{path}");
    }
    let all: String = pages.iter().map(|path| person.page(path)).collect();
    for hostile in HOSTILE {
        let words =
            hostile.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        assert!(all.contains(&words), "it is shown, as words: {hostile}");
    }
}
