//! The machine's clock is set while jobs are on their way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image_gen_tests::sim::micros;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, wait_until};
use serde_json::json;

/// Stands between the server and the C library: the clock is as many seconds off as a file says. Nothing else changes,
/// so that timers go on as they do when an administrator sets the clock. (What links Rust programs also compiles this.)
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) {
  char text[32] = "";
  int file = open(getenv("CLOCK_SHIFT_FILE"), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
  close(file);
  return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
  return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return failed;
}
time_t time(time_t *to) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (to) *to = exact.tv_sec;
  return exact.tv_sec;
}
"#;

/// A clock that can be set.
struct Clock {
    folder: PathBuf,
}

impl Clock {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("image_gen_clock_{}_{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("shim.c"), SHIM).unwrap();
        let clock = Clock { folder };
        clock.set(0);
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.file("shim.so")).arg(clock.file("shim.c"));
        assert!(compiler.status().expect("a C compiler").success());
        clock
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// So many seconds before or after the true time.
    fn set(&self, seconds: i64) {
        // Replaced as a whole: the server reads it all the time.
        fs::write(self.file("new"), seconds.to_string()).unwrap();
        fs::rename(self.file("new"), self.file("shift")).unwrap();
    }

    fn stage(&self, lines: &[&str]) -> Stage {
        let text = |path: &Path| path.display().to_string();
        let mut options = Options::conf(lines);
        options.env.push(("LD_PRELOAD".into(), text(&self.file("shim.so"))));
        options.env.push(("CLOCK_SHIFT_FILE".into(), text(&self.file("shift"))));
        let stage = Stage::with(options);
        self.set(86_400);
        let ahead = stage.admin().number("SELECT extract(epoch FROM clock_timestamp())::bigint");
        self.set(0);
        let now = stage.admin().number("SELECT extract(epoch FROM clock_timestamp())::bigint");
        assert!((86_300..86_500).contains(&(ahead - now)), "the server does not see this clock");
        stage
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn no_job_gives_up_because_the_clock_was_set() {
    // worker failure mode 55: an hour is longer than any job is waited for.
    let clock = Clock::new("flight");
    let stage = clock.stage(&[]);
    stage.sim.configure(&json!({"render_seconds": 4.0}));
    let mut admin = stage.admin();
    admin.run("UPDATE image_gen.models SET typical_seconds = 1");
    stage.worker();
    let mut alice = stage.alice();
    for (round, shift) in [3600, -3600, 0].into_iter().enumerate() {
        let ids: Vec<String> = (0..3)
            .map(|n| {
                alice.generate_with(&format!(
                    "prompt => 'round {round} shot {n}', deadline => now() + interval '30 minutes'"
                ))
            })
            .collect();
        wait_until("they are rendered", secs(20), || {
            admin.number(
                "SELECT count(*) FROM image_gen.attempts WHERE status = 'running' AND remote_id IS NOT NULL",
            ) == 3
        });
        clock.set(shift);
        // One that is queued by the new time, with a deadline of the new time.
        let new = alice.generate_with(
            "prompt => 'after it was set', deadline => clock_timestamp() + interval '5 minutes'",
        );
        alice.all_succeed(&ids);
        alice.all_succeed(&[new]);
    }
    assert_eq!((stage.sim.submits(), stage.sim.billed().as_str()), (12, "0.48"));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.attempts WHERE status <> 'succeeded'"), 0);
    stage.check_money();
}

#[test]
fn a_clock_that_is_set_back_does_not_make_jobs_wait() {
    // worker failure mode 55: the provider said two seconds, and not two seconds and an hour.
    let clock = Clock::new("put_off");
    let stage = clock.stage(&["image_gen.rescan_interval = '1h'", "image_gen.breaker_failures = 0"]);
    stage.worker();
    let fault = json!({"kind": "rate_limited", "retry_after": 5});
    stage.sim.rule(json!({"phase": "submit", "times": 1, "prompt_contains": "put off", "fault": fault}));
    let mut alice = stage.alice();
    let id = alice.generate_with("prompt => 'put off', model => 'bfl:flux-1.1-pro'");
    let mut admin = stage.admin();
    wait_until("it is put off", secs(20), || {
        admin
            .truth("SELECT count(*) = 1 FROM image_gen_internal.queue WHERE state = 'ready' AND attempts = 1")
    });
    clock.set(-3600);
    let job = alice.done(&id);
    assert_eq!((job.status.as_str(), job.attempts.as_str()), ("succeeded", "2"), "{job:?}");
    assert_eq!(micros(&job.billed_cost), 40_000);
    assert!(stage.cluster.log().contains("the clock was set back by 3"));
    stage.check_money();
}

#[test]
fn a_shut_door_opens_again_whatever_the_clock_says() {
    // worker failure mode 55: the pause of a provider that is down is measured, not read from the clock.
    let clock = Clock::new("door");
    let stage = clock.stage(&[]);
    stage.worker();
    let status = json!({"kind": "rate_limited", "retry_after": 4});
    stage.sim.rule(json!({"provider": "bfl", "phase": "submit", "times": 1, "fault": status}));
    let mut alice = stage.alice();
    let first = alice.generate_with("prompt => 'first', model => 'bfl:flux-1.1-pro'");
    let mut admin = stage.admin();
    wait_until("the circuit is open", secs(20), || {
        admin.truth("SELECT count(*) = 1 FROM image_gen_internal.provider_breakers WHERE state = 'down'")
    });
    clock.set(-3600);
    // At the same circuit, and from now on.
    let second = alice.generate_with("prompt => 'second', model => 'bfl:flux-1.1-pro'");
    alice.all_succeed(&[first, second]);
    assert_eq!(stage.sim.billed(), "0.08");
}
