//! Jobs on a real server for images on this machine: `make real`. What it draws does not matter (see `scripts/blank-weights.py`), what is
//! said to it and made of its answers does; and what becomes of jobs when it is killed in the middle of a render.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken run ends the program")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use image_gen_tests::picture::{Mask, data_uri, photo};
use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Session, Stage};

/// sd-server of stable-diffusion.cpp.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(port: u16) -> Self {
        let setting = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name}: see scripts/real"));
        let process = Command::new(setting("SD_SERVER"))
            .args(["--model", &setting("SD_MODEL"), "--listen-port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server that can be started");
        let server = Server { process, port };
        let took =
            wait_until("the server answers", secs(120), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        println!("sd-server answers after {took:.0?}");
        server
    }

    fn kill(mut self) -> u16 {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for a job, which may take minutes here, and says how long it took.
fn ended(session: &mut Session, what: &str, call: &str) -> String {
    let start = Instant::now();
    let id = session.text(&format!("SELECT id FROM image_gen.{call}"));
    session.run(&format!("SELECT FROM image_gen.wait('{{{id}}}', '10 min')"));
    let job = session.job(&id);
    let images = session.column(&format!(
        "SELECT format('%sx%s seed %s', width, height, seed) FROM image_gen.campaign_assets WHERE job_id = '{id}' ORDER BY position"
    ));
    let warnings = session.column(&format!(
        "SELECT DISTINCT w ->> 'code' FROM image_gen.attempts a, jsonb_array_elements(a.warnings) w WHERE a.job_id = '{id}' ORDER BY 1"
    ));
    println!(
        "{what}: {} {} {} after {:.1?}, {} calls, {images:?}, warnings {warnings:?}",
        job.status,
        job.error_code,
        job.error_message,
        start.elapsed(),
        job.attempts
    );
    assert!(["0", ""].contains(&job.billed_cost.as_str()), "one's own machine sends no bill: {job:?}");
    id
}

fn succeeds(session: &mut Session, what: &str, call: &str, images: i64, size: (u32, u32)) {
    let id = ended(session, what, call);
    let made = format!(
        "SELECT count(*) FROM image_gen.campaign_assets WHERE job_id = '{id}' AND (width, height) = ({}, {}) AND sha256 IS NOT NULL",
        size.0, size.1
    );
    assert_eq!(session.number(&made), images, "{what}: images of {size:?}");
    assert_eq!(session.job(&id).status, "succeeded", "{what}");
}

fn main() {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let server = Server::start(port);
    let stage = Stage::conf(&["image_gen.keep_bytes = 'all'"]);
    stage.admin().run(&format!(
        "UPDATE image_gen.providers SET enabled = id = 'a1111';
         UPDATE image_gen.providers SET base_url = 'http://127.0.0.1:{port}' WHERE id = 'a1111'"
    ));
    let mut alice = stage.alice();
    let model = "model => 'a1111:sd-local', steps => 1";
    let image = data_uri(&photo(128, 64, 1));
    let mask = data_uri(&Mask::new(128, 64, |x, _| x < 64).png);
    succeeds(
        &mut alice,
        "generate",
        &format!("generate('a lamp', {model}, width => 64, height => 64, seed => 7)"),
        1,
        (64, 64),
    );
    succeeds(
        &mut alice,
        "three images",
        &format!("generate('a lamp', {model}, width => 64, height => 64, n => 3)"),
        3,
        (64, 64),
    );
    succeeds(&mut alice, "edit", &format!("edit('{image}', 'a lamp', {model})"), 1, (128, 64));
    succeeds(
        &mut alice,
        "inpaint",
        &format!("edit('{image}', 'a lamp', mask => '{mask}', {model})"),
        1,
        (128, 64),
    );
    succeeds(&mut alice, "variate", &format!("variate('{image}', n => 1, {model})"), 1, (128, 64));
    succeeds(
        &mut alice,
        "outpaint",
        &format!("edit('{image}', 'a lamp', border_left => 64, border_right => 64, {model})"),
        1,
        (256, 64),
    );
    // This server has nothing to enlarge with: that is an end, and none without words.
    let id = ended(
        &mut alice,
        "upscale",
        &format!("upscale('{image}', scale => 2, model => 'a1111:r-esrgan-4x')"),
    );
    let job = alice.job(&id);
    assert!(job.status == "failed" && !job.error_message.is_empty(), "{job:?}");

    // Killed in the middle of a render that takes long enough, and started again.
    let long = format!("generate('a lamp', {model}, width => 512, height => 512)")
        .replace("steps => 1", "steps => 4");
    let id = alice.text(&format!("SELECT id FROM image_gen.{long}"));
    wait_until("the render has begun", secs(20), || {
        alice.truth(&format!(
            "SELECT EXISTS (SELECT FROM image_gen.attempts WHERE job_id = '{id}' AND status = 'running')"
        ))
    });
    let port = server.kill();
    wait_until("the worker has noticed", secs(30), || {
        alice.truth(&format!(
            "SELECT EXISTS (SELECT FROM image_gen.attempts WHERE job_id = '{id}' AND status <> 'running')"
        ))
    });
    let _server = Server::start(port);
    alice.run(&format!("SELECT FROM image_gen.wait('{{{id}}}', '10 min')"));
    let job = alice.job(&id);
    println!("killed in the middle: {} {} after {} calls", job.status, job.error_message, job.attempts);
    assert_eq!(job.status, "succeeded", "{job:?}");
    stage.check_money();
    println!("all is well");
}
