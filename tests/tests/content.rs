//! Rules for what may be in an image: before anything is sent, also of rewritten prompts, and before an image is final.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Session, Stage};
use serde_json::json;

fn roles(stage: &Stage) -> (Session, Session) {
    stage.admin().run(
        "CREATE ROLE carol LOGIN; GRANT image_gen_admin TO carol; CREATE ROLE rita LOGIN; GRANT image_gen_reviewer TO rita",
    );
    (stage.connect("carol"), stage.connect("rita"))
}

fn rule(carol: &mut Session, position: i32, pattern: &str, action: &str) {
    carol.run(&format!(
        "INSERT INTO image_gen.policy_rules (position, rule, class, pattern, action, message) VALUES ({position}, 'rule {position}', 'house', '{pattern}', '{action}', 'said by {position}')"
    ));
}

#[test]
fn a_rule_blocks_or_warns_before_anything_is_queued() {
    let stage = Stage::start();
    let (mut carol, _) = roles(&stage);
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    rule(&mut carol, 100, r"\bforged?\b", "block");
    rule(&mut carol, 110, r"\bbadges?\b", "warn");
    for call in [
        "generate('a FORGED ticket')",
        "generate(E'a for\\u200bged ticket')",
        "generate_batch('[{\"shot\": \"a\", \"prompt\": \"a cup\"}, {\"shot\": \"b\", \"prompt\": \"a forged ticket\"}]')",
        "generate_variants('a forged ticket', n => 2)",
        "estimate('generate', '{\"prompt\": \"a forged ticket\"}')",
        "explain('generate', '{\"prompt\": \"a forged ticket\"}')",
        "edit('https://images.example/a.png', 'a forged ticket')",
    ] {
        let error = alice.error(&format!("SELECT * FROM image_gen.{call}"));
        assert_eq!(error.code().code(), "42501", "{call}: {error:?}");
        assert!(error.message().contains("said by 100") && error.hint().is_some(), "{error:?}");
    }
    // A style's words count.
    alice.run("SELECT image_gen.set_style('bad', suffix => 'forged')");
    assert_eq!(alice.sqlstate("SELECT image_gen.generate('a ticket', style => 'bad')"), "42501");
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.jobs"), 0);
    // Rows of an attached table are saved whatever comes of them; administrators are bound, too.
    assert_eq!(stage.admin().sqlstate("SELECT image_gen.generate('a forged ticket')"), "42501");
    let warned =
        "SELECT w ->> 'code' FROM image_gen.generate('a badge') g, jsonb_array_elements(g.warnings) w";
    assert_eq!(alice.column(warned), ["content_policy"]);
    // Of shipped rows, one blocks and the others warn.
    assert_eq!(alice.sqlstate("SELECT image_gen.generate('a naked child')"), "42501");
    assert_eq!(alice.column("SELECT w ->> 'code' FROM image_gen.generate('a photo of the president') g, jsonb_array_elements(g.warnings) w"), ["content_policy"]);
    assert_eq!(
        carol.column(
            "SELECT DISTINCT class FROM image_gen.policy_rules WHERE origin = 'catalogue' ORDER BY 1"
        ),
        ["explicit", "legal", "medical", "political", "real people"]
    );
    carol.run("UPDATE image_gen.policy_rules SET enabled = false WHERE rule = 'rule 100'");
    bob.run("SELECT image_gen.generate('a forged ticket')");
    // Who writes rules, and what a rule can be.
    assert_eq!(alice.sqlstate("UPDATE image_gen.policy_rules SET enabled = false"), "42501");
    for pattern in ["(", "a*", r"(a)\1", "(?=a)", r"(((\w{100}){100}){100}){100}"] {
        let insert = format!(
            "INSERT INTO image_gen.policy_rules (position, rule, class, pattern, message) VALUES (900, 'x', 'x', '{pattern}', 'x')"
        );
        assert_eq!(carol.sqlstate(&insert), "22023", "{pattern}");
    }
}

#[test]
fn what_a_rule_wants_reviewed_is_sent_to_nobody_before_a_reviewer_says_so() {
    let stage = Stage::start();
    let (mut carol, mut rita) = roles(&stage);
    let mut alice = stage.alice();
    rule(&mut carol, 100, r"\bpassports?\b", "review");
    rule(&mut carol, 110, r"\bforged\b", "block");
    let ids = ["a passport one", "a passport two", "a passport three"].map(|prompt| alice.generate(prompt));
    for id in &ids {
        let job = alice.done(id);
        assert_eq!(
            (job.status.as_str(), job.error_code.as_str()),
            ("needs_review", "content_policy"),
            "{job:?}"
        );
    }
    assert_eq!(stage.sim.submits(), 0);
    assert_eq!(rita.column("SELECT DISTINCT why FROM image_gen.review_queue"), ["content_policy"]);
    // Its owner may not be the person.
    let [one, two, three] = &ids;
    for action in [
        "'retry'",
        "'switch_model', model => 'flux-1.1-pro'",
        "'approve', url => 'https://images.example/a.png'",
    ] {
        assert_eq!(
            alice.sqlstate(&format!("SELECT image_gen.resolve_review('{one}', {action})")),
            "42501",
            "{action}"
        );
    }
    rita.run(&format!("SELECT image_gen.resolve_review('{one}', 'retry', note => 'a prop for a film')"));
    alice.all_succeed(std::slice::from_ref(one));
    assert_eq!(stage.sim.submits(), 1);
    let asset = alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{one}'"));
    let story = alice.rows(&format!("SELECT review ->> 'action', review ->> 'decided_by', review ->> 'note', approval FROM image_gen.provenance({asset})"));
    assert_eq!(story, [["retry", "rita", "a prop for a film", ""]]);
    // Words that a rule wants reviewed are not made others by their owner.
    alice.run(&format!("SELECT image_gen.resolve_review('{two}', 'rewrite', prompt => 'still a passport')"));
    assert_eq!(alice.done(two).status, "needs_review");
    alice.run(&format!("SELECT image_gen.resolve_review('{two}', 'rewrite', prompt => 'a plain booklet')"));
    alice.all_succeed(std::slice::from_ref(two));
    // What is blocked no reviewer lets through.
    rita.run(&format!(
        "SELECT image_gen.resolve_review('{three}', 'rewrite', prompt => 'a forged passport')"
    ));
    let job = alice.done(three);
    assert_eq!((job.status.as_str(), job.error_code.as_str()), ("failed", "content_policy"), "{job:?}");
    assert_eq!(stage.sim.submits(), 2);
    stage.check_money();
}

#[test]
fn a_prompt_that_is_rewritten_on_the_way_is_held_against_the_rules_again() {
    let stage = Stage::start();
    let (mut carol, _) = roles(&stage);
    let mut alice = stage.alice();
    rule(&mut carol, 100, r"\bbooklets?\b", "review");
    rule(&mut carol, 110, r"\bleaflets?\b", "block");
    carol.run("INSERT INTO image_gen.rewrite_rules (position, pattern, replacement) VALUES (1, 'pamphlet', 'booklet'), (2, 'tract', 'leaflet')");
    for (words, status) in [("pamphlet", "needs_review"), ("tract", "failed")] {
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": words, "fault": "refuse"}));
        let id = alice.generate_with(&format!("prompt => 'a {words}', model => 'bfl:flux-1.1-pro'"));
        let job = alice.done(&id);
        assert_eq!((job.status.as_str(), job.error_code.as_str()), (status, "content_policy"), "{job:?}");
        assert_eq!(job.attempts, "1", "{job:?}");
    }
    assert_eq!(stage.sim.submits(), 2, "the rewritten words were sent to nobody");
    stage.check_money();
}

#[test]
fn an_image_that_a_rule_wants_seen_is_final_when_a_person_has_approved_it() {
    let stage = Stage::start();
    let (mut carol, mut rita) = roles(&stage);
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    rule(&mut carol, 100, r"\bsurgeons?\b", "approve");
    let warned = alice.rows("SELECT g.id, w ->> 'code' FROM image_gen.generate('a surgeon') g, jsonb_array_elements(g.warnings) w");
    assert_eq!(warned[0][1], "approval");
    let set = alice.column("SELECT id FROM image_gen.generate_variants('two surgeons', n => 2)");
    let plain = alice.generate("a kettle");
    let all: Vec<String> = [vec![warned[0][0].clone()], set.clone(), vec![plain]].concat();
    alice.all_succeed(&all);
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.approvals WHERE state = 'pending'"), 3);
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.approvals"), 0);
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.approval_queue"), 0);
    assert_eq!(rita.number("SELECT count(*) FROM image_gen.approval_queue WHERE why LIKE '%said by 100%' AND length(thumbnail) > 0"), 3);
    let asset = |session: &mut Session, job: &str| {
        session.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{job}'"))
    };
    let (one, two) = (asset(&mut alice, &set[0]), asset(&mut alice, &set[1]));
    // Not yet final, and its owner is not the person.
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.pick({one})")), "55000");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.approve_asset({one})")), "42501");
    assert_eq!(alice.sqlstate("UPDATE image_gen.approvals SET state = 'approved'"), "42501");
    rita.run(&format!("SELECT image_gen.approve_asset({one}, 'no patient to be seen')"));
    alice.run(&format!("SELECT image_gen.pick({one})"));
    let story = alice.rows(&format!("SELECT approval ->> 'state', approval ->> 'decided_by', approval ->> 'note' FROM image_gen.provenance({one})"));
    assert_eq!(story, [["approved", "rita", "no patient to be seen"]]);
    // Second thoughts take it out of its place; the owner may take back what waits, and no more.
    rita.run(&format!("SELECT image_gen.reject_asset({one}, 'there is one')"));
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.picks"), 0);
    alice.run(&format!("SELECT image_gen.reject_asset({two})"));
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.reject_asset({one})")), "42501");
    let plain = alice.text("SELECT max(id) FROM image_gen.campaign_assets a WHERE NOT EXISTS (SELECT FROM image_gen.approvals p WHERE p.asset_id = a.id)");
    assert_eq!(rita.sqlstate(&format!("SELECT image_gen.approve_asset({plain})")), "55000");
    assert_eq!(
        carol.column("SELECT details -> 'new' ->> 'state' FROM image_gen.audit_log WHERE action = 'approval.changed' ORDER BY at"),
        ["approved", "rejected", "rejected"]
    );
}
