//! Provider keys: where they come from, when they stop being used, and that they are kept, logged and shown nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use image_gen_tests::cluster::{give_to_server, write_private};
use image_gen_tests::stage::DATABASE;
use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Options, Stage};
use serde_json::json;

/// A key with whatever has a meaning in some encoding.
const KEY: &str = "sk-Secret_0aB9/xYz+7Q~Kk";

/// How a service may repeat the key.
fn forms() -> Vec<String> {
    let each = |write: fn(u8) -> String| KEY.bytes().map(write).collect::<String>();
    let mut forms = vec![
        KEY.to_owned(),
        KEY.to_uppercase(),
        KEY.to_lowercase(),
        each(|b| format!("\\u{b:04x}")),
        each(|b| format!("%{b:02X}")),
        each(|b| format!("&#{b};")),
        each(|b| format!("{b:02x}")),
        KEY.replace('/', "\\/"),
        KEY.replace('/', "%2f").replace('+', "%2B"),
    ];
    for before in ["", "a", "a:", "Bearer "] {
        let text = format!("{before}{KEY}");
        forms.extend([STANDARD.encode(&text), URL_SAFE.encode(&text)]);
    }
    forms
}

/// What of a text must be found nowhere: the key, in whatever case, and what is longest of its base64.
fn remains(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut found = vec![];
    let key = KEY.to_lowercase();
    let hexadecimal: String = KEY.bytes().map(|b| format!("{b:02x}")).collect();
    let escaped: String = KEY.bytes().map(|b| format!("\\u{b:04x}")).collect();
    let percent: String = KEY.bytes().map(|b| format!("%{b:02x}")).collect();
    for (form, part) in [(key, 8), (hexadecimal, 16), (escaped, 48), (percent, 24)] {
        found.extend(
            (0..=form.len() - part).map(|at| form[at..at + part].to_owned()).filter(|p| lower.contains(p)),
        );
    }
    for before in 0..3 {
        let encoded = STANDARD.encode([&"a".repeat(before), KEY].concat());
        for form in [encoded.clone(), encoded.replace('+', "-").replace('/', "_")] {
            let inner = &form[4..form.len() - 4];
            found.extend(
                (0..=inner.len() - 12).map(|at| inner[at..at + 12].to_owned()).filter(|p| text.contains(p)),
            );
        }
    }
    found
}

#[test]
fn a_key_that_an_answer_repeats_in_whatever_form_is_kept_logged_and_shown_nowhere() {
    let mut options = Options::conf(&[
        "log_statement = 'all'",
        "log_min_messages = debug1",
        "log_error_verbosity = verbose",
        "image_gen.breaker_failures = 0",
    ]);
    options.env.retain(|(name, _)| name != "BFL_API_KEY");
    options.env.push(("BFL_API_KEY".into(), KEY.into()));
    let stage = Stage::with(options);
    let mut alice = stage.alice();
    let mut ids = vec![];
    let mut says = |phase: &str, code: u16, body: serde_json::Value| {
        let prompt = format!("[{}]", ids.len());
        let fault = json!({"kind": "status", "code": code, "body": body});
        stage.sim.rule(json!({"phase": phase, "prompt_contains": prompt, "fault": fault}));
        ids.push(alice.generate_with(&format!("prompt => '{prompt}', model => 'bfl:flux-1.1-pro'")));
    };
    let url = stage.sim.bfl();
    for form in forms() {
        let raw = serde_json::Value::String;
        // Plain text, JSON whose decoding makes the key of it, and JSON whose decoding leaves an escape.
        says("submit", 400, raw(format!("the key {form} is not good")));
        says("submit", 401, raw(format!("{{\"detail\": \"{}\"}}", form.replace("\\/", "/"))));
        says("submit", 422, json!({"detail": [{"msg": form, "loc": ["header", form]}]}));
        // Words of a failed task, and of a success.
        says(
            "poll",
            200,
            json!({"id": "t", "status": "Error", "details": {"message": format!("upstream: {form}")}}),
        );
        // Where they are kept for later: an id, an address.
        says(
            "submit",
            200,
            json!({"id": form, "polling_url": format!("{url}/eu1/v1/get_result?id={form}"), "cost": 4}),
        );
        says(
            "poll",
            200,
            json!({"id": "t", "status": "Ready", "result": {"sample": format!("{url}/{form}/picture.png?sig={form}")}}),
        );
    }
    // Cut in the middle of a key, before and behind all that is kept of a message.
    for length in [480, 490, 495, 4000, 64 * 1024 - 10, 256 * 1024 - 10, 1 << 20] {
        says("submit", 400, json!(format!("{} {KEY} and more", "x".repeat(length))));
        says("submit", 500, json!({"detail": format!("{} {KEY}", "y ".repeat(length / 2))}));
    }
    assert!(ids.len() > 100);
    for id in &ids {
        alice.run(&format!("SELECT * FROM image_gen.wait('{{{id}}}', '60 s')"));
    }
    let jobs = alice.all_done(&ids);
    let masked = alice.number("SELECT count(*) FROM image_gen.attempts WHERE attempts::text LIKE '%***%'");
    assert!(masked > 40, "{masked} of {} show that something was taken out: {jobs:?}", ids.len());
    assert!(stage.sim.submits_of("[0]").iter().all(|e| e["headers"].to_string().contains("***")));

    let dump = stage.cluster.dump(DATABASE, &[]);
    assert!(dump.contains("[0]"));
    assert_eq!(remains(&dump), [""; 0], "in a dump of the database");
    assert_eq!(remains(&stage.cluster.log()), [""; 0], "in the server's log");
    let shown = stage.admin().text("SELECT w::text FROM image_gen.worker_status w");
    assert_eq!(remains(&shown), [""; 0], "in worker_status");
}

/// The place of a secrets file, and nothing there.
fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("image_gen_{name}_{}", std::process::id()));
    clear(&path);
    path
}

fn clear(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir(path);
}

#[test]
fn a_key_that_is_taken_away_stops_being_used_and_what_was_accepted_waits_for_it() {
    // worker failure modes 28 and 65
    let path = place("taken");
    let text = "BFL_API_KEY=file-key\n";
    write_private(&path, text, 0o600);
    let stage = Stage::conf(&[&format!("image_gen.secrets_file = '{}'", path.display())]);
    stage.sim.configure(&json!({"keys": ["file-key"]}));
    let worker = stage.worker();
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let keys = "SELECT configured_keys FROM image_gen.worker_status";
    assert_eq!(admin.text(keys), "{BFL_API_KEY,OPENAI_API_KEY}");
    let run = |program: &str, arguments: &[&str]| {
        assert!(Command::new(program).args(arguments).arg(&path).status().unwrap().success(), "{program}");
        give_to_server(&path);
    };
    let elsewhere = path.with_extension("elsewhere");
    write_private(&elsewhere, text, 0o600);
    let takings: [(&str, &dyn Fn()); 7] = [
        ("No such file", &|| clear(&path)),
        ("chmod 600", &|| write_private(&path, text, 0o640)),
        ("a FIFO", &|| run("mkfifo", &["-m", "600"])),
        ("a directory", &|| std::fs::create_dir(&path).unwrap()),
        ("a symbolic link", &|| std::os::unix::fs::symlink(&elsewhere, &path).unwrap()),
        ("larger than 64 kB", &|| write_private(&path, &"# \n".repeat(30_000), 0o600)),
        ("a symbolic link", &|| std::os::unix::fs::symlink("/dev/zero", &path).unwrap()),
    ];
    for (n, (says, take)) in takings.iter().enumerate() {
        stage.sim.configure(&json!({"render_seconds": 1.0}));
        let accepted = alice.generate(&format!("accepted {n}"));
        stage.submitted(stage.sim.submits().max(1));
        wait_until("it is accepted", secs(20), || {
            alice.truth(&format!(
                "SELECT count(remote_id) = 1 FROM image_gen.attempts WHERE job_id = '{accepted}'"
            ))
        });
        clear(&path);
        take();
        stage.cluster.reload();
        // Also those of the environment: they may be another account's.
        wait_until(says, secs(20), || admin.text(keys) == "{}");
        let error = admin.text("SELECT last_error FROM image_gen.worker_status");
        assert!(error.contains(says), "{says}: {error}");
        let before = stage.sim.submits();
        let id = alice.generate_with("prompt => 'without a key', model => 'bfl:flux-1.1-pro'");
        let job = alice.done(&id);
        assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "auth"), "{says}: {job:?}");
        assert_eq!(stage.sim.submits(), before, "{says}");
        clear(&path);
        write_private(&path, text, 0o600);
        stage.cluster.reload();
        wait_until("it is back", secs(20), || admin.text(keys) == "{BFL_API_KEY,OPENAI_API_KEY}");
        alice.all_succeed(&[accepted]);
    }
    assert_eq!(stage.worker(), worker, "the same worker all the time");
    assert!(!stage.cluster.log().contains("file-key"));
    stage.check_money();
    for path in [path, elsewhere] {
        clear(&path);
    }
}

#[test]
fn a_line_that_is_not_understood_costs_its_own_key_only() {
    let path = place("lines");
    let lines = "# keys\nexport BFL_API_KEY=\"quoted-key\"   # ours\nFAL_API_KEY=nul\0key\n\u{feff}GEMINI_API_KEY=marked-key\nOPENAI_API_KEY=\n";
    write_private(&path, lines, 0o600);
    let stage = Stage::conf(&[&format!("image_gen.secrets_file = '{}'", path.display())]);
    stage.sim.configure(&json!({"keys": ["quoted-key"]}));
    stage.sentinel();
    let status =
        stage.admin().rows("SELECT configured_keys, last_error FROM image_gen.worker_status").remove(0);
    // An empty one switches that of the environment off.
    assert_eq!(status[0], "{BFL_API_KEY}");
    for says in
        ["line 3 has the invisible character U+0000 (NUL)", "line 4 has the invisible character U+FEFF"]
    {
        assert!(status[1].contains(says), "{status:?}");
    }
    for secret in ["quoted-key", "nul", "marked-key"] {
        assert!(
            !status[1].contains(secret) && !stage.cluster.log().contains(&format!("={secret}")),
            "{secret}"
        );
    }
    // What was put right is not shown any more.
    write_private(&path, "BFL_API_KEY=quoted-key\n", 0o600);
    let mut admin = stage.admin();
    admin.run("SELECT pg_reload_conf()");
    wait_until("the error is over", secs(10), || {
        admin.truth("SELECT last_error IS NULL AND last_error_at IS NULL FROM image_gen.worker_status")
    });
    clear(&path);
}
