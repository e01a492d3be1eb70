//! The crash matrix in short: `make matrix` plays all of it, and hundreds of random kills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::Stage;
use image_gen_tests::matrix::kill::Kill;
use image_gen_tests::matrix::point::Point;
use image_gen_tests::matrix::{grid, storm};

/// Each cell is what it must be, and no promise is broken.
fn play(kill: Kill, points: &[Point]) {
    let (cells, report) = grid::play(kill, points);
    let (table, wrong) = grid::table(&cells);
    println!("{table}\n{report}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn a_worker_that_is_told_to_end_at_any_place_writes_down_what_it_knows() {
    // N3, N4, P1, P2, worker failure modes 1, 5 and 52
    play(Kill::Terminate, &Point::ALL);
}

#[test]
fn a_worker_killed_at_any_place_is_succeeded_without_loss() {
    // N3, N4, P1, P2, worker failure modes 2, 3, 52 and 59
    play(Kill::Worker, &Point::ALL);
}

#[test]
fn a_server_killed_where_money_is_at_stake_comes_back_without_loss() {
    // N4, worker failure modes 21 and 22
    play(Kill::Postmaster, &[Point::Begun, Point::Answered, Point::FlushFinish]);
}

#[test]
fn a_provider_that_is_gone_for_a_moment_is_paid_once() {
    // N4, worker failure mode 45
    play(Kill::Network, &[Point::Begun, Point::Sent, Point::Polling]);
}

#[test]
fn random_kills_lose_nothing_and_pay_nothing_twice() {
    // N3, N4, worker failure modes 1 to 7, 45, 52, 53 and 59
    let report = storm::play(25, 1);
    println!("{report}");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn no_role_can_hold_the_worker_of_a_running_server() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    for command in ["SET", "SET LOCAL", "ALTER SYSTEM SET", "ALTER DATABASE shop SET", "ALTER ROLE alice SET"]
    {
        let refused = admin.sqlstate(&format!("{command} image_gen.pause_points = '/tmp'"));
        assert_eq!(refused, "55P02", "{command}");
    }
    assert_eq!(admin.number("SELECT count(*) FROM pg_settings WHERE name = 'image_gen.pause_points'"), 0);
    assert_eq!(stage.alice().sqlstate("SHOW image_gen.pause_points"), "42501");
}
