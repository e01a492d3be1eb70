//! Where requests may go that are not to the public internet: host and port, for providers and for images.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::TcpListener;

use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Options, Sim, Stage};
use serde_json::json;

/// `host:port` of a URL.
fn authority(url: &str) -> &str {
    url.split("://").nth(1).unwrap().split('/').next().unwrap()
}

/// Two ports of this machine: behind one something listens, behind the other nothing does.
fn ports() -> (TcpListener, u16, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (listener, open, closed)
}

#[test]
fn what_is_allowed_for_providers_opens_no_other_port_and_no_picture() {
    let stage = Stage::with(Options { allowed_hosts: String::new(), ..Options::default() });
    let sim = authority(&stage.sim.bfl()).to_owned();
    stage.cluster.configure(&format!("image_gen.allowed_provider_hosts = '{sim}'"));
    stage.cluster.reload();
    let mut alice = stage.alice();
    let job = alice.generate_with("prompt => 'fine', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(&[job]);
    // The image was at the provider's own address, so it could be looked at.
    let picture = alice.text("SELECT url FROM image_gen.campaign_assets WHERE width > 0");
    assert_eq!(authority(&picture), sim);

    let (listener, open, closed) = ports();
    // A literal address is an error at once: the same one, whatever listens.
    let refused = |alice: &mut image_gen_tests::Session, url: &str, port: &str| {
        let error = alice.error(&format!("SELECT image_gen.edit('{url}', 'x')"));
        assert_eq!(error.code().code(), "22023", "{url}: {error:?}");
        assert!(error.hint().unwrap().contains("image_gen.allowed_image_hosts"), "{error:?}");
        error.message().replace(port, "PORT")
    };
    let said = [open, closed].map(|port| {
        let port = port.to_string();
        [
            "http://127.0.0.1",
            "https://127.0.0.1",
            "http://localhost",
            "http://[::1]",
            "https://[::ffff:127.0.0.1]",
        ]
        .map(|host| refused(&mut alice, &format!("{host}:{port}/a.png"), &port))
    });
    assert_eq!(said[0], said[1]);
    // So is the very address that providers may have.
    refused(&mut alice, &picture, "");
    // A name is looked up when it is connected to.
    let ends = [open, closed].map(|port| {
        let id = alice.text(&format!("SELECT id FROM image_gen.edit('https://localhost:{port}/a.png', 'x')"));
        let job = alice.done(&id);
        (job.status, job.error_code, job.error_message.replace(&port.to_string(), "PORT"))
    });
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].0, "failed");
    // Nor does an answer lead there.
    for (n, port) in [open, closed].into_iter().enumerate() {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://127.0.0.1:{port}/a.png");
            let body = json!({"id": "t", "status": "Ready", "result": {"sample": url}});
            let prompt = format!("[{scheme} {n}]");
            stage.sim.rule(json!({"phase": "poll", "prompt_contains": prompt, "fault": {"kind": "status", "code": 200, "body": body}}));
            let id = alice.generate_with(&format!("prompt => '{prompt}', model => 'bfl:flux-1.1-pro'"));
            alice.all_done(&[id]);
        }
    }
    assert!(listener.accept().is_err_and(|e| e.kind() == ErrorKind::WouldBlock), "it was connected to");

    // Images have a list of their own.
    stage.cluster.configure(&format!("image_gen.allowed_image_hosts = '{sim}'"));
    stage.cluster.reload();
    let edit = format!("SELECT id FROM image_gen.edit('{picture}', 'x', model => 'bfl:flux-2-pro')");
    wait_until("images may be there", secs(20), || alice.try_rows(&edit).is_ok());
    let edits = alice.column("SELECT id FROM image_gen.jobs WHERE operation = 'edit' AND status <> 'failed'");
    alice.all_succeed(&edits);
    // A list that cannot be read changes nothing.
    stage.cluster.configure("image_gen.allowed_image_hosts = 'http://127.0.0.1'");
    stage.cluster.reload();
    wait_until("it is refused", secs(20), || {
        stage.cluster.log().contains("'http://127.0.0.1' is not host, host:port")
    });
    assert_eq!(stage.admin().text("SHOW image_gen.allowed_image_hosts"), sim);
}

#[test]
fn the_own_machines_address_opens_itself_for_its_own_provider_only() {
    let own = Sim::start();
    let url = own.providers().into_iter().find(|(kind, _)| *kind == "a1111").unwrap().1;
    let mut options = Options { allowed_hosts: String::new(), ..Options::default() };
    options.env.push(("STABLE_DIFFUSION_LOCAL_BASE_URL".into(), url.clone()));
    let stage = Stage::with(options);
    own.configure(&json!({"render_seconds": 0.05}));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.providers SET base_url = NULL WHERE kind IN ('a1111', 'comfyui')");
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'at home', priority => 'privacy', width => 256, height => 256");
    alice.all_succeed(&[id]);
    assert_eq!(own.totals().all.submits, 1);
    let before = own.totals().all.requests;
    // No image is fetched from there, and no other provider is called there.
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.edit('{url}/a.png', 'x')")), "22023");
    admin.run(&format!("UPDATE image_gen.providers SET base_url = '{url}' WHERE id = 'bfl'"));
    let id = alice.generate_with("prompt => 'elsewhere', model => 'bfl:flux-1.1-pro'");
    let job = alice.done(&id);
    assert_eq!(job.status, "failed", "{job:?}");
    assert!(job.error_message.contains("image_gen.allowed_provider_hosts"), "{job:?}");
    assert_eq!(own.totals().all.requests, before);
}
