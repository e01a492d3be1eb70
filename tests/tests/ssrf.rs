//! One table of URLs that lead into one's own network, or look as if they did not, through every door by which a URL comes in. Behind
//! each address of this machine something listens that must never hear of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};

use image_gen_tests::wait::secs;
use image_gen_tests::{Options, S3, Session, Stage, wait_until};
use serde_json::{Value, json};

/// PORT is where something listens, at all addresses of this machine.
const DENIED: [&str; 93] = [
    // Loopback, as it is.
    "http://127.0.0.1:PORT/a.png",
    "https://127.0.0.1:PORT/a.png",
    "http://localhost:PORT/a.png",
    "https://localhost:PORT/a.png",
    "https://LOCALHOST:PORT/a.png",
    "https://LocalHost.:PORT/a.png",
    "https://localhost.:PORT/a.png",
    "https://127.0.0.1.:PORT/a.png",
    "https://127.127.127.127:PORT/a.png",
    "https://0.0.0.0:PORT/a.png",
    "https://[::1]:PORT/a.png",
    "http://[::1]:PORT/a.png",
    "https://[::]:PORT/a.png",
    "https://[0:0:0:0:0:0:0:1]:PORT/a.png",
    "https://[0000::0001]:PORT/a.png",
    // The same number, written otherwise.
    "https://127.1:PORT/a.png",
    "https://127.0.1:PORT/a.png",
    "https://2130706433:PORT/a.png",
    "https://0x7f000001:PORT/a.png",
    "https://0x7f.0.0.1:PORT/a.png",
    "https://0x7f.1:PORT/a.png",
    "https://0177.0.0.1:PORT/a.png",
    "https://017700000001:PORT/a.png",
    "https://0177.0x0.0.0x1:PORT/a.png",
    "https://0:PORT/a.png",
    "https://0x0:PORT/a.png",
    // Within an address of the other protocol.
    "https://[::ffff:127.0.0.1]:PORT/a.png",
    "https://[::ffff:7f00:1]:PORT/a.png",
    "https://[::FFFF:0x7f.0.0.1]:PORT/a.png",
    "https://[::127.0.0.1]:PORT/a.png",
    "https://[64:ff9b::127.0.0.1]:PORT/a.png",
    "https://[64:ff9b::7f00:1]:PORT/a.png",
    "https://[64:ff9b:1::7f00:1]:PORT/a.png",
    "https://[2002:7f00:1::]:PORT/a.png",
    "https://[2001:0:7f00:1::]:PORT/a.png",
    "https://[::ffff:0:127.0.0.1]:PORT/a.png",
    // Private, shared, local, reserved.
    "https://10.0.0.1:PORT/a.png",
    "https://172.16.0.1:PORT/a.png",
    "https://172.31.255.255:PORT/a.png",
    "https://192.168.0.1:PORT/a.png",
    "https://100.64.0.1:PORT/a.png",
    "https://192.0.0.1:PORT/a.png",
    "https://192.0.2.1:PORT/a.png",
    "https://198.18.0.1:PORT/a.png",
    "https://198.51.100.1:PORT/a.png",
    "https://203.0.113.7:PORT/a.png",
    "https://224.0.0.1:PORT/a.png",
    "https://240.0.0.1:PORT/a.png",
    "https://255.255.255.255:PORT/a.png",
    "https://[fe80::1]:PORT/a.png",
    "https://[fe80::1%25lo]:PORT/a.png",
    "https://[fe80::1%lo]:PORT/a.png",
    "https://[fc00::1]:PORT/a.png",
    "https://[ff02::1]:PORT/a.png",
    "https://[2001:db8::1]:PORT/a.png",
    "https://[3fff::1]:PORT/a.png",
    "https://[100::1]:PORT/a.png",
    // The metadata of clouds.
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://[::ffff:169.254.169.254]/",
    "https://[fd00:ec2::254]/latest/",
    "http://metadata.google.internal/computeMetadata/v1/",
    // Whose host is it?
    "https://user@localhost:PORT/a.png",
    "https://user:secret@127.0.0.1:PORT/a.png",
    "https://example.com@127.0.0.1:PORT/a.png",
    "https://127.0.0.1:PORT@example.com/a.png",
    "https://example.com\\@127.0.0.1:PORT/a.png",
    "https://127.0.0.1:PORT\\@example.com/a.png",
    "https://127.0.0.1:PORT#@example.com/a.png",
    "https:\\\\127.0.0.1:PORT\\a.png",
    "https:127.0.0.1:PORT/a.png",
    "https:///127.0.0.1:PORT/a.png",
    "//127.0.0.1:PORT/a.png",
    // Characters that become others.
    "https://127\u{3002}0\u{3002}0\u{3002}1:PORT/a.png",
    "https://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}:PORT/a.png",
    "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1:PORT/a.png",
    "https://\u{24db}ocalhost:PORT/a.png",
    "https://%6c%6f%63%61%6c%68%6f%73%74:PORT/a.png",
    "https://%31%32%37.0.0.1:PORT/a.png",
    "https://local\thost:PORT/a.png",
    "https://local\nhost:PORT/a.png",
    "https://127.0.0.1\r\n:PORT/a.png",
    " https://127.0.0.1:PORT/a.png",
    // Other schemes, and other services.
    "ftp://127.0.0.1:PORT/a.png",
    "gopher://127.0.0.1:PORT/_x",
    "file:///etc/passwd",
    "dict://127.0.0.1:PORT/x",
    "https://localhost:22/a.png",
    "https://localhost:25/a.png",
    "https://127.0.0.1:99999/a.png",
];

/// What must not be reached.
struct Trap {
    listener: TcpListener,
    port: u16,
}

impl Trap {
    fn set() -> Self {
        // Both protocols: every address of this machine, however it is written, leads here.
        let listener = TcpListener::bind("[::]:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let trap = Trap { listener, port };
        for address in
            [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))]
        {
            TcpStream::connect(address).unwrap();
            assert!(trap.was_reached(), "it hears what comes to {address}");
        }
        trap
    }

    fn was_reached(&self) -> bool {
        match self.listener.accept() {
            Ok(_) => true,
            Err(why) => {
                assert_eq!(why.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    fn urls(&self) -> Vec<String> {
        DENIED.iter().map(|url| url.replace("PORT", &self.port.to_string())).collect()
    }

    /// A server whose environment has proxies that lead into the trap. Only the simulator may be called.
    fn stage(&self, lines: &[&str]) -> Stage {
        let mut options = Options::all_keys(lines);
        options.allowed_hosts = String::new();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            options.env.push((name.into(), format!("http://127.0.0.1:{}", self.port)));
        }
        options.env.extend(S3::env());
        options.env.push(("HOOK_SECRET".into(), "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into()));
        let stage = Stage::with(options);
        let (_, url) = stage.sim.providers().remove(0);
        let sim = url.split("://").nth(1).unwrap().split('/').next().unwrap();
        stage.cluster.configure(&format!("image_gen.allowed_provider_hosts = '{sim}'"));
        stage.cluster.reload();
        stage.sim.configure(&json!({"render_seconds": 0.0}));
        // What is allowed passes, without a proxy.
        let mut alice = stage.alice();
        wait_until("providers may be called", secs(30), || {
            let id = alice.generate_with("prompt => 'allowed', model => 'bfl:flux-1.1-pro'");
            alice.done(&id).status == "succeeded"
        });
        assert!(!self.was_reached(), "a proxy of the environment was used");
        stage
    }
}

/// What an ALTER SYSTEM SET sets.
fn admin_value(set: &str) -> String {
    set.split('\'').nth(1).unwrap().to_owned()
}

/// A text as a literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Lets a role say a URL. What it is told at once is an error of its own; what is queued fails, and makes no image.
fn is_denied(session: &mut Session, door: &str, url: &str) {
    let sql = door.replace("URL", &quoted(url));
    match session.try_rows(&sql) {
        Err(why) => {
            let code = why.code().map(|code| code.code().to_owned()).unwrap_or_default();
            assert!(["22023", "42704"].contains(&code.as_str()), "{sql}: {why:?}");
        }
        Ok(rows) => {
            for row in rows {
                let job = session.done(&row[0]);
                assert!(job.status == "failed" && job.error_code == "invalid_request", "{sql}: {job:?}");
            }
        }
    }
}

#[test]
fn no_url_that_a_role_can_say_leads_into_ones_own_network() {
    let trap = Trap::set();
    let stage = trap.stage(&[]);
    let mut alice = stage.alice();
    let submits = stage.sim.submits();
    let photo = "(SELECT 'asset:' || min(id) FROM image_gen.campaign_assets)";
    let doors = [
        "SELECT id FROM image_gen.edit(URL, 'x', model => 'bfl:flux-2-pro')".to_owned(),
        format!("SELECT id FROM image_gen.edit({photo}, 'x', mask => URL, model => 'bfl:flux-1-fill-pro')"),
        "SELECT id FROM image_gen.upscale(URL, model => 'stability:stability-upscale-fast')".to_owned(),
        "SELECT id FROM image_gen.variate(URL, 1, model => 'bfl:flux-2-pro')".to_owned(),
        format!("SELECT id FROM image_gen.transfer_style({photo}, URL, model => 'stability:stability-style-transfer')"),
        "SELECT id FROM image_gen.generate('x', reference_image => URL, model => 'bfl:flux-2-pro')".to_owned(),
        "SELECT id FROM image_gen.generate('x', reference_images => ARRAY[URL], model => 'bfl:flux-2-pro')".to_owned(),
        r#"SELECT id FROM image_gen.generate_batch(jsonb_build_array(jsonb_build_object('prompt', 'x', 'shot', 'a', 'reference_image', URL)), '{"model": "bfl:flux-2-pro"}')"#.to_owned(),
        "SELECT s.id FROM (SELECT image_gen.set_style('trap', reference_images => ARRAY[URL])) t, LATERAL image_gen.generate('x', style => 'trap', model => 'bfl:flux-2-pro') s WHERE t IS NOT NULL".to_owned(),
        "SELECT id FROM image_gen.promote((SELECT id FROM image_gen.recent(1)), 'bfl:flux-2-pro', jsonb_build_object('reference_image', URL))".to_owned(),
        "SELECT id FROM image_gen.regenerate((SELECT min(id) FROM image_gen.campaign_assets), jsonb_build_object('reference_image', URL, 'model', 'bfl:flux-2-pro'))".to_owned(),
    ];
    for door in &doors {
        for url in trap.urls() {
            is_denied(&mut alice, door, &url);
        }
        assert!(!trap.was_reached(), "{door}");
    }
    // A character is made with it at once, and its sheet is drawn later.
    for (n, url) in trap.urls().iter().enumerate() {
        let made =
            alice.try_rows(&format!("SELECT image_gen.create_character('c{n}', 'a girl', {})", quoted(url)));
        if made.is_ok() {
            is_denied(
                &mut alice,
                &format!(
                    "SELECT min(id) FROM image_gen.character_sheet('c{n}', expressions => '{{happy}}', model => 'bfl:flux-2-pro') WHERE URL <> ''"
                ),
                url,
            );
        }
    }
    assert!(!trap.was_reached(), "characters");
    assert_eq!(stage.sim.submits(), submits, "nothing of it was sent to a provider");
}

#[test]
fn no_answer_of_a_provider_leads_into_ones_own_network() {
    let trap = Trap::set();
    // A provider whose answers lead astray is left alone after a few of them: here each is looked at.
    let stage = trap.stage(&["image_gen.breaker_failures = 0"]);
    let mut alice = stage.alice();
    // Where each provider says where its image is, or where its task is to be asked for, or called off.
    let image = |url: &str| json!({"url": url, "image_url": {"url": url}});
    type Answer<'a> = &'a dyn Fn(&str) -> Value;
    let doors: [(&str, &str, &str, Answer<'_>); 9] = [
        (
            "bfl:flux-1.1-pro",
            "bfl",
            "poll",
            &|url| json!({"id": "t", "status": "Ready", "result": {"sample": url}}),
        ),
        ("fal:flux-dev", "fal", "poll", &|url| json!({"status": "COMPLETED", "images": [image(url)]})),
        (
            "replicate:flux-dev",
            "replicate",
            "poll",
            &|url| json!({"id": "t", "status": "succeeded", "output": [url]}),
        ),
        (
            "ideogram:ideogram-3",
            "ideogram",
            "submit",
            &|url| json!({"created": "2026-11-30T00:00:00Z", "data": [{"url": url, "is_image_safe": true, "prompt": "x", "resolution": "1024x1024", "seed": 1}]}),
        ),
        ("openai:gpt-image-2", "openai", "submit", &|url| json!({"created": 1, "data": [{"url": url}]})),
        (
            "openrouter:gemini-nano-banana-2.1",
            "openrouter",
            "submit",
            &|url| json!({"id": "t", "created": 1, "data": [{"url": url}], "choices": [{"message": {"images": [image(url)]}}]}),
        ),
        ("bfl:flux-1.1-pro", "bfl", "submit", &|url| json!({"id": "t", "polling_url": url})),
        (
            "fal:flux-dev",
            "fal",
            "submit",
            &|url| json!({"request_id": "t", "status": "IN_QUEUE", "status_url": url, "response_url": url, "cancel_url": url}),
        ),
        (
            "replicate:flux-dev",
            "replicate",
            "submit",
            &|url| json!({"id": "t", "status": "starting", "urls": {"get": url, "cancel": url}}),
        ),
    ];
    for (n, (model, provider, phase, answer)) in doors.iter().enumerate() {
        for (m, url) in trap.urls().iter().enumerate() {
            let prompt = format!("door {n}, url {m}.");
            stage.sim.rule(json!({"provider": provider, "phase": phase, "prompt_contains": prompt,
                "fault": {"kind": "status", "code": 200, "body": answer(url)}}));
        }
        let ids = alice.column(&format!(
            "SELECT g.id FROM generate_series(0, {}) m CROSS JOIN LATERAL image_gen.generate('door {n}, url ' || m || '.', model => '{model}', width => 1024, height => 1024) g",
            DENIED.len() - 1
        ));
        for job in alice.all_done(&ids) {
            assert!(["failed", "needs_review"].contains(&job.status.as_str()), "{provider} {phase}: {job:?}");
        }
        assert!(!trap.was_reached(), "{provider} {phase}");
        stage.sim.clear_rules();
    }
    // An image that has moved there: what is delivered is the address that the provider gave, and nothing is fetched.
    for (m, url) in trap.urls().iter().enumerate() {
        stage.sim.rule(json!({"provider": "bfl", "phase": "picture", "prompt_contains": format!("moved {m}."), "fault": {"kind": "redirect", "to": url}}));
    }
    let ids = alice.column(&format!(
        "SELECT g.id FROM generate_series(0, {}) m CROSS JOIN LATERAL image_gen.generate('moved ' || m || '.', model => 'bfl:flux-1.1-pro') g",
        DENIED.len() - 1
    ));
    alice.all_done(&ids);
    assert!(!trap.was_reached(), "redirects");
    assert_eq!(
        alice.number(&format!(
            "SELECT count(*) FROM image_gen.campaign_assets WHERE strpos(url, ':{}') > 0",
            trap.port
        )),
        0
    );
    stage.check_money();
}

#[test]
fn no_setting_or_row_of_an_administrator_leads_there_unless_it_is_listed() {
    let trap = Trap::set();
    let store = std::env::temp_dir().join(format!("image_gen_ssrf_{}", std::process::id()));
    std::fs::create_dir_all(&store).unwrap();
    image_gen_tests::cluster::give_to_server(&store);
    let stage = trap.stage(&[
        &format!("image_gen.asset_store = 'file://{}'", store.display()),
        "image_gen.rescan_interval = '200ms'",
        "image_gen.balance_interval = 0",
    ]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let urls = trap.urls();
    let as_array: Vec<String> = urls.iter().map(|url| quoted(url)).collect();
    let as_array = as_array.join(", ");

    // Where images are copied from: also what was stored before there were rules.
    wait_until("what is there is copied", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen.copies") == 0
    });
    let made = admin.number("SELECT count(*) FROM image_gen.campaign_assets");
    admin.run(&format!(
        "INSERT INTO image_gen.campaign_assets (job_id, position, url, provider, model, seed, prompt, cost_source, owner)
         SELECT a.job_id, 100 + u.n, u.url, a.provider, a.model, a.seed, a.prompt, a.cost_source, a.owner
           FROM (SELECT * FROM image_gen.campaign_assets ORDER BY id LIMIT 1) a, unnest(ARRAY[{as_array}]) WITH ORDINALITY AS u(url, n)"
    ));
    admin.run("SELECT image_gen.copy_assets()");
    wait_until("each was tried", secs(120), || {
        admin.number("SELECT count(*) FROM image_gen.copies WHERE last_error IS NOT NULL")
            == urls.len() as i64
    });
    assert_eq!(
        admin.number("SELECT count(*) FROM image_gen.campaign_assets WHERE mirrored_at IS NOT NULL"),
        made
    );
    assert!(!trap.was_reached(), "copies");
    admin.run("DELETE FROM image_gen.campaign_assets WHERE position > 100");

    // Receivers of messages.
    let mut hooks = 0;
    for url in &urls {
        let insert =
            format!("INSERT INTO image_gen.webhooks (url, key_name) VALUES ({}, 'HOOK_SECRET')", quoted(url));
        match admin.try_rows(&insert) {
            Ok(_) => hooks += 1,
            Err(why) => assert!(["22023", "23514"].contains(&why.code().unwrap().code()), "{url}: {why:?}"),
        }
    }
    let id = alice.generate_with("prompt => 'told', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(&[id]);
    wait_until("each receiver was tried", secs(120), || {
        admin.number(
            "SELECT count(*) FROM image_gen.webhook_deliveries WHERE tries > 0 AND last_error IS NOT NULL",
        ) == hooks
    });
    assert!(!trap.was_reached(), "webhooks");
    admin.run("DELETE FROM image_gen.webhooks");

    // Where a key is sent.
    for url in &urls {
        let aimed = admin
            .try_rows(&format!("UPDATE image_gen.providers SET base_url = {} WHERE id = 'bfl'", quoted(url)));
        if aimed.is_ok() {
            let id = alice.generate_with("prompt => 'aimed', model => 'bfl:flux-1.1-pro'");
            let job = alice.done(&id);
            assert_eq!(job.status, "failed", "{url}: {job:?}");
        }
    }
    assert!(!trap.was_reached(), "base_url");
    assert_eq!(
        alice.number("SELECT count(*) FROM image_gen.attempts WHERE prompt = 'aimed' AND billed_cost <> 0"),
        0
    );

    // Where images are copied to.
    admin.run("UPDATE image_gen.providers SET base_url = NULL WHERE id = 'bfl'; DELETE FROM image_gen_internal.copy_queue");
    let mut opened = 0;
    for url in &urls {
        let origin = url.rsplit_once('/').map_or(url.as_str(), |(origin, _)| origin);
        let encoded: String = origin.bytes().map(|b| format!("%{b:02x}")).collect();
        let set = format!("ALTER SYSTEM SET image_gen.asset_store = 's3://images/live?endpoint={encoded}'");
        if let Err(why) = admin.try_rows(&set) {
            assert_eq!(why.code().unwrap().code(), "22023", "{url}: {why:?}");
            continue;
        }
        opened += 1;
        stage.cluster.reload();
        let address = admin_value(&set);
        wait_until("it is the store", secs(30), || admin.text("SHOW image_gen.asset_store") == address);
        admin.run("DELETE FROM image_gen_internal.copy_queue; INSERT INTO image_gen_internal.copy_queue (asset_id, expires_at) SELECT min(id), 'infinity' FROM image_gen.campaign_assets; SELECT image_gen_internal.tell_worker('copies')");
        wait_until("it was tried", secs(60), || {
            admin.number("SELECT count(*) FROM image_gen_internal.copy_queue WHERE last_error IS NOT NULL")
                == 1
        });
    }
    assert!(!trap.was_reached(), "stores");
    assert!(opened > 10, "{opened} are addresses of a store, as far as one can say");
    admin.run("ALTER SYSTEM RESET image_gen.asset_store");
    let _ = std::fs::remove_dir_all(&store);
}
