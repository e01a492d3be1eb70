//! What is learnt of providers, and what that does to those that want to call them.

use super::*;

const DOWN: Failure = Failure::Overloaded { after: None };

/// A job that could go elsewhere.
const CHOOSY: Caller = Caller { ticket: 0, seq: 0, tries: 0, alone: false };

fn is_open(health: &mut Health, now: i64) -> bool {
    enter(health, "m", now).is_ok()
}

/// Asks for one that could go elsewhere: is it a probe, or when and why not?
fn enter(health: &mut Health, model: &str, now: i64) -> Result<bool, (Duration, ErrorCode)> {
    match health.ask("a", model, CHOOSY, now) {
        Verdict::Admitted(permit) => Ok(permit.rounds.iter().any(Option::is_some)),
        Verdict::Refused { after, code } => Err((after, code)),
        Verdict::Waiting => panic!("it could go elsewhere"),
    }
}

/// What a call that was let in in this round gives back.
fn permit(health: &Health) -> Permit {
    let rounds = keys("a", "m").map(|key| health.circuits.get(&key).map(|circuit| circuit.round));
    Permit { provider: "a".into(), model: "m".into(), rounds }
}

fn leave(health: &mut Health) {
    health.leave(&permit(health));
}

fn broken() -> Health {
    let mut health = Health::default();
    for _ in 0..5 {
        health.observe("a", "m", Some(&DOWN), 5, 0);
    }
    health
}

#[test]
fn a_dead_provider_is_left_alone_and_probed_by_one() {
    let mut health = broken();
    assert!(!is_open(&mut health, 0) && !is_open(&mut health, 9_999));
    // Other models and other providers are not touched.
    assert_eq!(enter(&mut health, "other", 0), Ok(false));
    assert!(matches!(health.ask("b", "m", CHOOSY, 0), Verdict::Admitted(_)));
    let inside = (0..500).filter(|_| is_open(&mut health, 10_000)).count();
    assert_eq!(inside, 1, "one probe for all jobs");
    health.observe("a", "m", Some(&DOWN), 5, 10_500);
    leave(&mut health);
    assert!(!is_open(&mut health, 30_499), "the pause doubles");
    assert!(is_open(&mut health, 30_500));
}

#[test]
fn in_a_minute_of_outage_a_handful_of_probes_goes_out() {
    let (mut health, mut probes) = (broken(), 0);
    for now in (0..60_000).step_by(100) {
        for _ in 0..5 {
            if is_open(&mut health, now) {
                probes += 1;
                health.observe("a", "m", Some(&DOWN), 5, now);
                leave(&mut health);
            }
        }
    }
    assert!((2..=3).contains(&probes), "{probes}");
}

#[test]
fn recovery_is_gradual() {
    let mut health = broken();
    let mut admitted = vec![];
    for round in 0..8 {
        let now = 10_000 + round * 1_000;
        let inside = (0..1_000).filter(|_| is_open(&mut health, now)).count();
        admitted.push(inside);
        health.observe("a", "m", None, 5, now);
        (0..inside).for_each(|_| leave(&mut health));
    }
    assert_eq!(admitted[..7], [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(admitted[7], 1_000);
}

#[test]
fn what_says_nothing_about_health_changes_nothing() {
    let mut health = Health::default();
    for failure in [Failure::Refused, Failure::Invalid, Failure::Canceled, Failure::Broken] {
        for _ in 0..20 {
            health.observe("a", "m", Some(&failure), 5, 0);
        }
    }
    assert!(is_open(&mut health, 0));
    for _ in 0..20 {
        health.observe("a", "m", Some(&DOWN), 0, 0);
    }
    assert!(is_open(&mut health, 0), "0 switches the breaker off");
}

#[test]
fn a_provider_that_says_later_is_asked_later_and_an_account_stops_all_its_models() {
    let mut health = Health::default();
    health.observe("a", "m", Some(&Failure::RateLimited { after: Some(Duration::from_secs(7)) }), 5, 0);
    assert_eq!(enter(&mut health, "m", 1_000), Err((Duration::from_secs(6), ErrorCode::RateLimited)));
    assert!(is_open(&mut health, 7_000));
    health.observe("a", "m", Some(&Failure::Unauthorized), 5, 8_000);
    health.observe("a", "m", Some(&Failure::Unauthorized), 5, 8_000);
    assert!(matches!(enter(&mut health, "other", 9_000), Err((_, ErrorCode::Auth))));
    health.forget_accounts(9_000);
    assert_eq!(enter(&mut health, "other", 9_000), Ok(false));
    assert!(
        health
            .changes(9_000)
            .iter()
            .any(|row| row.provider == "a" && row.state == "up" && row.since == 9_000)
    );
    // News are told once, however often the keys are read again.
    health.forget_accounts(10_000);
    assert!(health.changes(9_000).is_empty());
}

#[test]
fn the_first_word_of_an_empty_account_shuts_the_whole_provider() {
    let mut health = Health::default();
    health.observe("a", "m", Some(&Failure::OutOfCredit), 5, 0);
    let shut = |after| Err((Duration::from_secs(after), ErrorCode::InsufficientCredits));
    assert_eq!(enter(&mut health, "other", 0), shut(300));
    assert!(matches!(health.ask("b", "m", CHOOSY, 0), Verdict::Admitted(_)));
    // Between probes it stays shut for as long.
    let mut now = 0;
    for _ in 0..4 {
        now += 300_000;
        assert_eq!(enter(&mut health, "m", now), Ok(true));
        health.observe("a", "m", Some(&Failure::OutOfCredit), 5, now);
        leave(&mut health);
        assert_eq!(enter(&mut health, "m", now), shut(300));
    }
    // A probe that is paid for shows that there is credit again.
    assert_eq!(enter(&mut health, "m", now + 300_000), Ok(true));
    health.observe("a", "m", None, 5, now + 300_000);
    assert_eq!(enter(&mut health, "m", now + 300_000), Ok(true));
}

#[test]
fn a_balance_opens_and_shuts_a_provider() {
    let mut health = Health::default();
    health.observe("a", "m", Some(&Failure::OutOfCredit), 5, 0);
    assert_eq!(health.changes(0).len(), 1);
    health.credit("a", true, 5, 1_000);
    assert_eq!(enter(&mut health, "m", 1_000), Ok(false));
    let rows = health.changes(0);
    assert_eq!((rows.len(), rows[0].state, rows[0].failures, rows[0].since), (1, "up", 0, 1_000));
    health.credit("a", true, 5, 2_000);
    assert!(health.changes(0).is_empty(), "the same again is no news");

    health.credit("a", false, 5, 3_000);
    let rows = health.changes(0);
    assert_eq!((rows[0].provider.as_str(), rows[0].model.as_str(), rows[0].state), ("a", "", "down"));
    assert_eq!(rows[0].last_error_code, Some(ErrorCode::InsufficientCredits));
    health.credit("a", false, 5, 200_000);
    assert!(health.changes(0).is_empty());
    assert!(matches!(enter(&mut health, "m", 499_999), Err((_, ErrorCode::InsufficientCredits))));
    assert_eq!(enter(&mut health, "m", 500_000), Ok(true));
    // Word of an empty account shuts it again while the probe is out, and the probe's leaving is harmless.
    health.credit("a", false, 5, 500_001);
    leave(&mut health);
    assert!(!is_open(&mut health, 500_002));
}

#[test]
fn credit_mends_nothing_but_an_empty_account() {
    let mut health = Health::default();
    health.observe("a", "m", Some(&Failure::Unauthorized), 1, 0);
    health.credit("a", true, 5, 1);
    assert!(matches!(enter(&mut health, "m", 1), Err((_, ErrorCode::Auth))));
    let mut down = broken();
    down.credit("a", true, 5, 1);
    assert!(!is_open(&mut down, 1), "an overloaded model stays shut");
}

#[test]
fn a_breaker_that_is_switched_off_is_off_for_empty_accounts_too() {
    let mut health = Health::default();
    for _ in 0..20 {
        health.observe("a", "m", Some(&Failure::OutOfCredit), 0, 0);
    }
    health.credit("a", false, 0, 0);
    assert_eq!(enter(&mut health, "m", 0), Ok(false));
}

fn alone(seq: i64, tries: u32) -> Caller {
    Caller { ticket: seq as u64, seq, tries, alone: true }
}

/// Who is let in of those that wait.
fn admitted(decided: Vec<(u64, Verdict)>) -> Vec<u64> {
    decided.into_iter().filter(|(_, v)| matches!(v, Verdict::Admitted(_))).map(|(ticket, _)| ticket).collect()
}

#[test]
fn jobs_that_have_nowhere_else_to_go_are_let_in_in_the_order_of_the_queue() {
    let mut health = broken();
    for seq in [5, 3, 4, 2, 6] {
        assert_eq!(health.ask("a", "m", alone(seq, 0), 10_000), Verdict::Waiting);
    }
    assert_eq!(health.next_decision(10_000), Some(10_100), "who comes at the same moment is waited for");
    assert!(health.decide(10_000).is_empty());
    assert_eq!(admitted(health.decide(10_100)), [2]);
    assert!(health.decide(10_200).is_empty() && health.next_decision(10_200).is_none());
    assert_eq!(health.ask("a", "m", alone(1, 0), 10_300), Verdict::Waiting);
    health.observe("a", "m", None, 5, 10_400);
    leave(&mut health);
    assert_eq!(admitted(health.decide(10_400)), [1, 3]);
    health.withdraw("a", "m", 4);
    health.observe("a", "m", None, 5, 10_500);
    assert_eq!(admitted(health.decide(10_500)), [5, 6]);
}

#[test]
fn a_job_that_is_always_refused_starves_no_other() {
    // Job 1 is turned away whenever it is the probe; it is the first of the queue.
    let mut health = broken();
    let (mut now, mut tries, mut probes) = (10_000, [0; 6], vec![]);
    for _ in 0..12 {
        for seq in 1..=5 {
            assert_eq!(health.ask("a", "m", alone(seq, tries[seq as usize]), now), Verdict::Waiting);
        }
        let probe = admitted(health.decide(now + 100))[0];
        probes.push(probe);
        tries[probe as usize] += 1;
        health.observe("a", "m", Some(&DOWN), 5, now + 200);
        leave(&mut health);
        // The others are told to come back.
        assert_eq!(health.decide(now + 200).len(), 4);
        now += 20_000;
    }
    assert_eq!(probes, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]);
}

#[test]
fn those_that_wait_come_back_in_groups_and_in_their_order() {
    let mut health = broken();
    let told: Vec<u64> = (1..=120)
        .map(|seq| match health.ask("a", "m", alone(seq, 0), 0) {
            Verdict::Refused { after, .. } => after.as_millis() as u64,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(told.is_sorted());
    assert_eq!((told[0], told[49], told[50], told[119]), (10_000, 10_000, 10_500, 11_000));
}

#[test]
fn an_outage_is_probed_ever_more_rarely_but_soon_enough_for_those_that_wait() {
    let limited = Failure::RateLimited { after: None };
    let pauses = |alone: bool| {
        let mut health = Health::default();
        let (mut now, mut pauses) = (0, vec![]);
        for n in 0..12 {
            health.observe("a", "m", Some(&limited), 5, now);
            let caller = Caller { alone, ..self::alone(n, 0) };
            let Verdict::Refused { after, .. } = health.ask("a", "m", caller, now) else { panic!() };
            pauses.push(after.as_secs());
            now += after.as_millis() as i64;
            match health.ask("a", "m", caller, now) {
                Verdict::Admitted(_) => {}
                Verdict::Waiting => assert_eq!(admitted(health.decide(now + 100)).len(), 1),
                Verdict::Refused { .. } => panic!("it is due"),
            }
        }
        pauses
    };
    assert_eq!(pauses(false), [1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120]);
    assert_eq!(pauses(true), [1, 2, 4, 8, 15, 15, 15, 15, 15, 15, 15, 15]);
}

#[test]
fn a_provider_that_limited_calls_recovers_with_each_one_that_it_accepts() {
    let limited = Failure::RateLimited { after: None };
    let mut health = Health::default();
    health.observe("a", "m", Some(&limited), 5, 0);
    assert!(is_open(&mut health, 1_000) && !is_open(&mut health, 1_000));
    health.accepted("a", "m", 1_100);
    assert!(is_open(&mut health, 1_100) && !is_open(&mut health, 1_100), "two at a time");
    // What was overloaded has to finish something first.
    let mut down = broken();
    assert!(is_open(&mut down, 10_000));
    down.accepted("a", "m", 10_100);
    assert!(!is_open(&mut down, 10_100));
}

#[test]
fn a_quota_that_resets_in_hours_shuts_the_model_for_as_long() {
    let mut health = Health::default();
    let quota = Failure::RateLimited { after: Some(Duration::from_secs(7_200)) };
    health.observe("a", "m", Some(&quota), 5, 0);
    let Verdict::Refused { after, code } = health.ask("a", "m", alone(1, 0), 0) else { panic!() };
    assert_eq!((after.as_secs(), code), (7_200, ErrorCode::InsufficientCredits));
    assert!(enter(&mut health, "other", 0).is_ok());
}

#[test]
fn a_permit_from_before_an_outage_is_worth_nothing_after_it() {
    let mut health = Health::default();
    let Verdict::Admitted(before) = health.ask("a", "m", CHOOSY, 0) else { panic!() };
    assert!(health.is_valid(&before));
    for _ in 0..5 {
        health.observe("a", "m", Some(&DOWN), 5, 0);
    }
    assert!(!health.is_valid(&before));
    let Verdict::Admitted(probe) = health.ask("a", "m", CHOOSY, 10_000) else { panic!() };
    assert!(health.is_valid(&probe) && !health.is_valid(&before));
    health.leave(&before);
    assert!(!is_open(&mut health, 10_000), "one that came earlier does not make room for a second probe");
    health.leave(&probe);
    assert!(is_open(&mut health, 10_000));
}

#[test]
fn an_hour_of_flapping_is_a_handful_of_lines_in_the_log() {
    let mut health = Health::default();
    let mut lines = vec![];
    let mut now = 0;
    while now < 2 * HOUR {
        for _ in 0..5 {
            health.observe("a", "m", Some(&DOWN), 5, now);
        }
        lines.extend(health.changes(now).into_iter().filter_map(|row| row.news.map(|news| (now, news))));
        now += 10_000;
        for _ in 0..8 {
            assert!(is_open(&mut health, now));
            health.observe("a", "m", None, 5, now);
            leave(&mut health);
        }
        lines.extend(health.changes(now).into_iter().filter_map(|row| row.news.map(|news| (now, news))));
        now += 30_000;
    }
    assert!((4..=10).contains(&lines.len()), "{lines:?}");
    assert!(lines[0].1 == "down" && lines[1].1 == "up" && lines[3].1.contains("changes often"), "{lines:?}");
    // An outage with a hundred probes is one line.
    let mut steady = Health::default();
    let mut lines = 0;
    for n in 0..100 {
        let now = n * 120_000;
        (0..5).for_each(|_| steady.observe("a", "m", Some(&DOWN), 5, now));
        enter(&mut steady, "m", now + 119_999).ok();
        lines += steady.changes(now).iter().filter(|row| row.news.is_some()).count();
    }
    assert_eq!(lines, 1);
}
