//! The machine driven through every kind of answer: which transitions are durable before which request leaves.

mod formats;
mod keys;
mod money;
mod outage;
mod parts;
mod route;

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;
use crate::failure::ErrorCode;
use crate::seed;

/// A world that answers requests from a script and writes down, in order, what happened.
struct World {
    run: Run,
    now: i64,
    answers: VecDeque<Result<HttpResponse, TransportError>>,
    /// `begin`, `checkpoint`, `end failed`, `close succeeded`, `later`, `POST /path`, `GET /path`, `wait 9s`.
    log: Vec<String>,
    transitions: Vec<Transition>,
    /// What the database keeps.
    stored: Option<Vec<u8>>,
    /// Candidates whose circuit is open.
    unwell: Vec<String>,
    /// Places at candidates are not written down.
    quiet: bool,
    /// The key that candidates are entered with.
    pass: Pass,
    /// What the budget says to the next intents to send; to those after them it says nothing.
    budget: VecDeque<Event>,
}

fn candidate(kind: &str) -> Candidate {
    serde_json::from_value(json!({
        "provider": kind, "kind": kind, "model": "m", "remote_name": "flux-pro-1.1", "operations": ["generate"],
        "base_url": "http://sim:1", "parameters": {"seed": true}, "typical_seconds": 9, "max_n": 4,
        "sizes": {"free": {"min": 16, "max": 1440, "step": 16, "default": [64, 64]}},
        "prices": [{"unit": "image", "amount": "0.04"}]
    }))
    .unwrap()
}

fn job() -> Job {
    let request = serde_json::from_value(json!({"prompt": "a cat", "seed": 7})).unwrap();
    Job { id: "gen_1".into(), operation: Operation::Generate, request, pictures: vec![], deadline: None }
}

fn plan_of(candidate: Candidate) -> Plan {
    Plan {
        route: vec![candidate],
        ladder: vec![],
        max_refusals: 3,
        progress: Progress::default(),
        ceiling: None,
        content: Arc::default(),
    }
}

fn plan(kind: &str) -> Plan {
    plan_of(candidate(kind))
}

/// A run of this candidate alone.
fn alone(candidate: Candidate) -> Run {
    Run::new(job(), plan_of(candidate), 0).unwrap()
}

/// The progress of a job that a candidate has turned away so often, since the beginning of time.
fn turned_away(candidate: &str, tries: u32, attempt: Option<u32>) -> Progress {
    let outage = crate::progress::Outage { tries, since: 0, attempt };
    Progress { outages: BTreeMap::from([(candidate.to_owned(), outage)]), ..Progress::default() }
}

fn json_answer(status: u16, body: Value) -> Result<HttpResponse, TransportError> {
    Ok(HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() })
}

fn accepted() -> Result<HttpResponse, TransportError> {
    json_answer(200, json!({"id": "T", "polling_url": "http://sim:1/eu/get_result?id=T", "cost": 4}))
}

fn status(status: &str) -> Result<HttpResponse, TransportError> {
    json_answer(200, json!({"id": "T", "status": status, "result": null}))
}

fn ready() -> Result<HttpResponse, TransportError> {
    json_answer(
        200,
        json!({"id": "T", "status": "Ready", "result": {"sample": "http://cdn:2/x.png?sig=s", "seed": 7}}),
    )
}

fn png() -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(64, 64).write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn bytes(body: Vec<u8>) -> Result<HttpResponse, TransportError> {
    Ok(HttpResponse { status: 200, headers: vec![], body })
}

impl World {
    fn new(kind: &str, answers: Vec<Result<HttpResponse, TransportError>>) -> Self {
        World::of(Run::new(job(), plan(kind), 0).unwrap(), answers)
    }

    fn of(run: Run, answers: Vec<Result<HttpResponse, TransportError>>) -> Self {
        World {
            run,
            now: 1_000,
            answers: answers.into(),
            log: vec![],
            transitions: vec![],
            stored: None,
            unwell: vec![],
            quiet: true,
            pass: Pass::default(),
            budget: VecDeque::new(),
        }
    }

    /// Runs until the machine stops, or until `stop` matches the log's last line.
    fn go(&mut self) -> &mut Self {
        self.from(Event::Start, "never")
    }

    fn from(&mut self, first: Event, stop: &str) -> &mut Self {
        let mut event = first;
        for _ in 0..1_000 {
            let step = self.run.on(event, self.now);
            event = match step {
                Step::Stop => return self,
                Step::Commit(transitions)
                    if matches!(transitions[..], [Transition::Begin { .. }]) && !self.budget.is_empty() =>
                {
                    let answer = self.budget.pop_front().unwrap();
                    self.log.push(format!("{answer:?}").to_lowercase());
                    answer
                }
                Step::Commit(transitions) => {
                    let known = matches!(
                        &transitions[..],
                        [Transition::Begin { .. }
                            | Transition::Checkpoint { .. }
                            | Transition::Later { .. }
                            | Transition::Close { .. }]
                            | [Transition::End { .. }, Transition::Later { .. } | Transition::Close { .. }]
                    );
                    assert!(known, "the worker does not know how to write {transitions:?}");
                    for transition in &transitions {
                        let line = match transition {
                            Transition::Begin { .. } => "begin".to_owned(),
                            Transition::Checkpoint { .. } => "checkpoint".to_owned(),
                            Transition::End { status, .. } => format!("end {status:?}").to_lowercase(),
                            Transition::Later { .. } => "later".to_owned(),
                            Transition::Close { status, .. } => format!("close {status:?}").to_lowercase(),
                        };
                        self.log.push(line);
                    }
                    self.transitions.extend(transitions);
                    Event::Committed
                }
                Step::Enter => {
                    let name = self.run.candidate().name();
                    let shut = self.unwell.contains(&name);
                    if !self.quiet {
                        self.log.push(format!("{} {name}", if shut { "shut at" } else { "enter" }));
                    }
                    match shut {
                        true => Event::Shut { after: Duration::from_secs(10), code: ErrorCode::Overloaded },
                        false => Event::Entered { renders: Renders::default(), key: self.pass.clone() },
                    }
                }
                Step::Rewrite { prompt, refused_by } => {
                    self.log.push(format!("rewrite for {refused_by}"));
                    Event::Rewritten(prompt.contains("cat").then(|| prompt.replace("cat", "small animal")))
                }
                Step::Load { sha256 } => {
                    self.log.push(format!("load {sha256}"));
                    Event::Loaded(self.stored.clone())
                }
                Step::Send { request, key_name } => {
                    let path = request.url.split_once("://").unwrap().1.split_once('/').unwrap().1.to_owned();
                    let path = path.split('?').next().unwrap().to_owned();
                    self.log.push(format!("{:?} /{path}", request.method).to_uppercase().to_lowercase());
                    let own = request.url.starts_with("http://sim:1") && !path.starts_with("view");
                    let keyed = self.run.provider().is_some_and(|p| p.key_name().is_some());
                    assert_eq!(key_name.is_some(), own && keyed, "{}", request.url);
                    self.now += 50;
                    Event::Answer(self.answers.pop_front().unwrap_or_else(|| status("Pending")))
                }
                Step::Wait(pause) => {
                    self.log.push(format!("wait {}", pause.as_secs_f64()));
                    self.now += pause.as_millis() as i64;
                    Event::Elapsed
                }
                Step::Compute => Event::Compute,
            };
            if self.log.last().is_some_and(|l| l.starts_with(stop)) {
                return self;
            }
        }
        panic!("no end: {:?}", self.log);
    }

    fn end(&self) -> (AttemptStatus, Option<ErrorCode>, Option<String>) {
        let end = self.transitions.iter().rev().find_map(|e| match e {
            Transition::End { status, failed, cost, .. } => {
                let code = failed.as_ref().map(|f| f.failure.code());
                Some((*status, code, cost.amount.map(|a| a.normalize().to_string())))
            }
            _ => None,
        });
        end.unwrap()
    }
}

#[test]
fn the_intent_is_durable_before_the_send_and_the_remote_id_before_the_first_poll() {
    let mut world = World::new("bfl", vec![accepted(), status("Pending"), ready(), bytes(png())]);
    world.go();
    assert_eq!(
        world.log,
        [
            "begin",
            "post /v1/flux-pro-1.1",
            "checkpoint",
            "wait 2.95",
            "get /eu/get_result",
            "wait 0.915",
            "get /eu/get_result",
            "get /x.png",
            "end succeeded",
            "close succeeded"
        ]
    );
    assert_eq!(world.end(), (AttemptStatus::Succeeded, None, Some("0.04".into())));
    let Some(Transition::Close { pictures, .. }) = world.transitions.last() else { panic!() };
    assert_eq!(pictures[0].facts.as_ref().unwrap().content_type, "image/png");
}

#[test]
fn a_restart_after_the_checkpoint_polls_and_never_submits() {
    let remote = Remote::new("T", "http://sim:1/eu/get_result?id=T");
    let cost = Some(Cost::reported("0.04".parse().unwrap()));
    let run = Run::resume(job(), plan("bfl"), candidate("bfl"), 1, Some(remote), cost, 0).unwrap();
    let mut world = World::of(run, vec![ready(), bytes(png())]);
    world.go();
    assert_eq!(world.log, ["get /eu/get_result", "get /x.png", "end succeeded", "close succeeded"]);
    assert_eq!(world.end().2.as_deref(), Some("0.04"));
}

#[test]
fn a_send_without_an_answer_is_uncertain_and_never_repeated() {
    let mut world = World::new("bfl", vec![Err(TransportError::MaybeSent("reset".into()))]);
    world.go();
    assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end uncertain", "close needsreview"]);
    assert_eq!(world.end(), (AttemptStatus::Uncertain, Some(ErrorCode::Uncertain), None));
}

#[test]
fn a_worker_that_must_end_says_that_it_did_not_send() {
    let progress = turned_away("bfl:m", 3, Some(1));
    let mut world = World::of(Run::new(job(), Plan { progress, ..plan("bfl") }, 3).unwrap(), vec![]);
    world.from(Event::Start, "begin");
    assert!(!world.run.is_submitting(), "not before the intent is durable");
    assert!(matches!(world.run.on(Event::Committed, 0), Step::Send { .. }));
    assert!(world.run.is_submitting());
    world.from(Event::Halted, "never");
    assert_eq!(world.log, ["begin", "end failed", "later"]);
    assert_eq!(world.end(), (AttemptStatus::Failed, Some(ErrorCode::Overloaded), Some("0".into())));
    let Some(Transition::Later { after: Duration::ZERO, progress, .. }) = world.transitions.last() else {
        panic!()
    };
    assert_eq!(progress.outages["bfl:m"].tries, 3, "it is no try of the provider's");
}

#[test]
fn a_call_that_was_canceled_before_it_left_is_free_and_known_not_to_have_left() {
    let mut world = World::new("bfl", vec![]);
    world.from(Event::Start, "post");
    world.from(Event::Withdrawn, "never");
    assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end canceled", "close canceled"]);
    assert_eq!(world.end(), (AttemptStatus::Canceled, Some(ErrorCode::Canceled), Some("0".into())));
    assert!(matches!(world.transitions[1], Transition::End { unsent: true, .. }));
}

/// Everything but the pauses.
fn without_pauses(log: &[String]) -> Vec<&str> {
    log.iter().map(String::as_str).filter(|line| !line.starts_with("wait")).collect()
}

#[test]
fn what_we_named_is_asked_for_before_it_is_sent_again() {
    let mut local = candidate("comfyui");
    local.remote_name = "sd_xl_base_1.0.safetensors".into();
    let resumed = || Run::resume(job(), plan_of(local.clone()), local.clone(), 1, None, None, 0).unwrap();
    let named = provider::find("comfyui").unwrap().named_task("http://sim:1", "gen_1-1").unwrap().id;
    let queue = |running: Value| json_answer(200, json!({"queue_running": running, "queue_pending": []}));
    let images = json!({"9": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}});
    let history = json!({(named.clone()): {"status": {"status_str": "success"}, "outputs": images}});
    let there = || {
        vec![
            queue(json!([[1, named, {}, {}, []]])),
            queue(json!([])),
            json_answer(200, history.clone()),
            bytes(png()),
        ]
    };
    let asked = format!("get /history/{named}");
    let followed =
        ["get /queue", "checkpoint", "get /queue", &asked, "get /view", "end succeeded", "close succeeded"];
    // It is there: it becomes a task like any other, in this life of the worker and in the next.
    let lost = vec![Err(TransportError::MaybeSent("reset".into()))];
    let mut world = World::of(alone(local.clone()), [lost, there()].concat());
    world.go();
    assert_eq!(without_pauses(&world.log), [&["begin", "post /prompt"], &followed[..]].concat());
    let mut world = World::of(resumed(), there());
    world.go();
    assert_eq!(without_pauses(&world.log), followed);
    // It is not there, and that is no matter of lag: it never arrived, which costs a try and no money.
    let nothing = [queue(json!([])), json_answer(200, json!({}))];
    let mut world = World::of(resumed(), nothing.iter().cycle().take(40).cloned().collect());
    world.go();
    assert_eq!(world.end(), (AttemptStatus::Failed, Some(ErrorCode::Overloaded), Some("0".into())));
    let log = without_pauses(&world.log);
    assert_eq!(log.last(), Some(&"later"));
    assert!(log.iter().filter(|l| l.starts_with("get /history")).count() > 1, "{log:?}");
    assert!(!log.iter().any(|l| *l == "checkpoint" || l.starts_with("post")), "{log:?}");
    // No other provider can be asked.
    assert!(Run::resume(job(), plan("bfl"), candidate("bfl"), 1, None, None, 0).is_none());
}

#[test]
fn what_was_provably_not_started_goes_back_to_the_queue_and_gives_up_in_the_end() {
    let busy = || json_answer(429, json!({"detail": "too many"}));
    for answer in [busy(), json_answer(503, json!({})), Err(TransportError::NotSent("refused".into()))] {
        let mut world = World::new("bfl", vec![answer.clone()]);
        world.go();
        assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end failed", "later"]);
        assert_eq!(world.end().2.as_deref(), Some("0"));
        let tried = Plan { progress: turned_away("bfl:m", 3, Some(3)), ..plan("bfl") };
        let run = Run::new(job(), tried, 3)
            .unwrap()
            .on_terms(Terms { patience: Duration::ZERO, ..Terms::default() });
        let mut last = World::of(run, vec![answer]);
        last.go();
        assert_eq!(last.log.last().unwrap(), "close failed");
        let Some(Transition::Begin { number, .. }) = last.transitions.first() else { panic!() };
        assert_eq!(*number, 4);
    }
}

#[test]
fn a_refusal_costs_what_the_provider_says_and_ends_the_job() {
    // F6: both moderation states are ends, not "still pending".
    for state in ["Request Moderated", "Content Moderated"] {
        let mut world = World::new("bfl", vec![accepted(), status(state)]);
        world.go();
        assert_eq!(world.end(), (AttemptStatus::Refused, Some(ErrorCode::SafetyFilter), Some("0".into())));
        // Without a ladder a person decides.
        assert_eq!(world.log.last().unwrap(), "close needsreview");
    }
}

#[test]
fn a_lost_poll_is_only_a_late_one() {
    let trouble = vec![
        accepted(),
        Err(TransportError::MaybeSent("reset".into())),
        json_answer(500, json!({})),
        json_answer(401, json!({"detail": "Not authenticated"})),
        json_answer(200, json!("garbage")),
        ready(),
        bytes(png()),
    ];
    let mut world = World::new("bfl", trouble);
    world.go();
    assert_eq!(world.log.iter().filter(|l| l.starts_with("post")).count(), 1);
    assert_eq!(world.end().0, AttemptStatus::Succeeded);
}

#[test]
fn not_found_right_after_acceptance_is_lag_and_later_an_end() {
    let mut young = candidate("bfl");
    young.typical_seconds = 1.0;
    let mut world = World::of(
        alone(young),
        vec![accepted(), json_answer(404, json!({"status": "Task not found"})), ready(), bytes(png())],
    );
    world.go();
    assert_eq!(world.end().0, AttemptStatus::Succeeded);
    let gone = || json_answer(404, json!({"status": "Task not found"}));
    let mut world = World::new("bfl", [vec![accepted()], vec![gone(); 5]].concat());
    world.go();
    assert_eq!(world.end(), (AttemptStatus::Failed, Some(ErrorCode::NotFound), None));
}

#[test]
fn a_task_that_never_ends_is_given_to_a_person() {
    let mut world = World::new("bfl", vec![accepted()]);
    world.go();
    assert_eq!(world.end(), (AttemptStatus::Uncertain, Some(ErrorCode::Timeout), Some("0.04".into())));
    assert_eq!(world.log.last().unwrap(), "close needsreview");
}

#[test]
fn a_picture_that_cannot_be_fetched_is_delivered_with_a_warning() {
    let lost = || Err(TransportError::NotSent("forbidden address".into()));
    let mut world = World::new("bfl", vec![accepted(), ready(), lost(), lost(), lost(), lost()]);
    world.go();
    assert_eq!(world.end().0, AttemptStatus::Succeeded);
    let Some(Transition::End { warnings, .. }) = world.transitions.iter().rev().nth(1) else { panic!() };
    assert_eq!(warnings.last().unwrap().code, "unverified");
}

#[test]
fn the_address_of_a_paid_picture_is_delivered_when_what_is_there_cannot_be_read() {
    let cut = png()[..60].to_vec();
    for page in [b"<html>wait</html>".to_vec(), vec![], cut] {
        let answers = [vec![accepted(), ready()], (0..4).map(|_| bytes(page.clone())).collect()].concat();
        let mut world = World::new("bfl", answers);
        world.go();
        assert_eq!(world.log.iter().filter(|line| line.starts_with("get /x.png")).count(), 4);
        assert_eq!(world.end(), (AttemptStatus::Succeeded, None, Some("0.04".into())));
        let Some(Transition::Close { pictures, .. }) = world.transitions.last() else { panic!() };
        assert_eq!(
            (pictures[0].url.as_deref(), &pictures[0].facts),
            (Some("http://cdn:2/x.png?sig=s"), &None)
        );
        let warned = world.transitions.iter().any(|transition| match transition {
            Transition::End { warnings, .. } => warnings.iter().any(|w| w.code == "unverified"),
            _ => false,
        });
        assert!(warned);
    }
}

#[test]
fn a_half_picture_is_fetched_again() {
    let half = png()[..60].to_vec();
    let mut world = World::new("bfl", vec![accepted(), ready(), bytes(half), bytes(png())]);
    world.go();
    let Some(Transition::Close { pictures, .. }) = world.transitions.last() else { panic!() };
    assert_eq!(pictures[0].facts.as_ref().unwrap().pixels(), Some(64 * 64));
}

#[test]
fn a_picture_that_has_moved_is_fetched_from_there_and_nowhere_else() {
    let moved = |to: &str| {
        Ok(HttpResponse { status: 302, headers: vec![("location".into(), to.into())], body: vec![] })
    };
    let mut world = World::new("bfl", vec![accepted(), ready(), moved("/y.png"), bytes(png())]);
    world.go();
    let fetched: Vec<_> = world.log.iter().filter(|line| line.contains(".png")).collect();
    assert_eq!(fetched, ["get /x.png", "get /y.png"]);
    let Some(Transition::Close { pictures, .. }) = world.transitions.last() else { panic!() };
    assert_eq!(pictures[0].url.as_deref(), Some("http://cdn:2/x.png?sig=s"));
    let forbidden = || Err(TransportError::Forbidden("10.0.0.1 is not public".into()));
    for answers in
        [vec![moved("http://10.0.0.1/y"), forbidden()], vec![moved("javascript:x")], vec![forbidden()]]
    {
        let mut world = World::new("bfl", [vec![accepted(), ready()], answers].concat());
        world.go();
        assert_eq!(world.end(), (AttemptStatus::Failed, Some(ErrorCode::ProviderError), None));
        let Some(Transition::Close { status, pictures, .. }) = world.transitions.last() else { panic!() };
        assert_eq!((*status, pictures.len()), (JobStatus::NeedsReview, 0));
    }
    let mut world = World::new("bfl", [vec![accepted(), ready()], vec![moved("/x.png"); 30]].concat());
    world.go();
    assert!(world.log.iter().filter(|line| line.starts_with("get /x.png")).count() <= 16);
}

#[test]
fn bytes_in_an_answer_that_are_no_whole_picture_are_no_success_and_stay_on_the_bill() {
    use base64::Engine as _;
    for spoilt in [b"no image".to_vec(), png()[..60].to_vec()] {
        let encoded = base64::engine::general_purpose::STANDARD.encode(spoilt);
        let answer = json_answer(200, json!({"created": 1, "data": [{"b64_json": encoded}]}));
        let mut world = World::new("openai", vec![answer]);
        world.go();
        assert_eq!(world.end(), (AttemptStatus::Failed, Some(ErrorCode::ProviderError), Some("0.04".into())));
    }
}

#[test]
fn a_key_is_never_sent_to_a_polling_host_that_is_not_the_providers() {
    let evil = json_answer(200, json!({"id": "T", "polling_url": "http://169.254.169.254/x", "cost": 4}));
    let mut world = World::new("bfl", vec![evil]);
    world.go();
    assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end uncertain", "close needsreview"]);
}

#[test]
fn a_deadline_that_passed_costs_nothing() {
    // S2
    let late = Job { deadline: Some(999), ..job() };
    let mut world = World::of(Run::new(late, plan("bfl"), 0).unwrap(), vec![]);
    world.go();
    assert_eq!(world.log, ["close failed"]);
}

#[test]
fn cancel_says_what_it_could_still_save() {
    let mut world = World::new("bfl", vec![]);
    world.from(Event::Cancel, "never");
    assert_eq!(world.log, ["close canceled"]);

    let mut world = World::new("bfl", vec![accepted()]);
    world.from(Event::Start, "wait");
    world.from(Event::Cancel, "never");
    assert_eq!(world.log.last().unwrap(), "close canceled");
    assert_eq!(world.end(), (AttemptStatus::Canceled, Some(ErrorCode::Canceled), Some("0.04".into())));

    let mut world = World::new("bfl", vec![]);
    world.from(Event::Start, "post");
    world.from(Event::Cancel, "never");
    assert_eq!(world.end(), (AttemptStatus::Uncertain, Some(ErrorCode::Canceled), None));
}

#[test]
fn a_cancel_takes_as_many_requests_as_the_provider_needs() {
    let comfy = || {
        let comfy = crate::catalogue::shipped().candidate("comfyui", "sd-xl-base").unwrap();
        let base_url = Some("http://sim:1".into());
        let queued = json_answer(200, json!({"prompt_id": "I"}));
        let mut world = World::of(alone(Candidate { base_url, ..comfy }), vec![queued]);
        world.from(Event::Start, "wait");
        world.log.clear();
        world
    };
    let queue = |running: Value| json_answer(200, json!({"queue_running": running, "queue_pending": []}));
    let done = || bytes(vec![]);
    for (running, asked) in [
        (json!([[1, "I", {}, {}, ["9"]]]), &["post /queue", "get /queue", "post /interrupt"][..]),
        (json!([[1, "another", {}, {}, ["9"]]]), &["post /queue", "get /queue"]),
    ] {
        let mut world = comfy();
        world.answers = VecDeque::from([done(), queue(running), done()]);
        world.from(Event::Cancel, "never");
        assert_eq!(world.log, [asked, &["end canceled", "close canceled"]].concat());
    }
    // Where no answer comes, nothing more is asked.
    let mut world = comfy();
    world.answers = VecDeque::from([Err(TransportError::MaybeSent("reset".into()))]);
    world.from(Event::Cancel, "never");
    assert_eq!(world.log, ["post /queue", "end canceled", "close canceled"]);
}

#[test]
fn a_reference_that_the_candidate_does_not_use_is_not_fetched() {
    let mut with_reference = job();
    with_reference.request.reference_image = Some("http://cdn:2/gone.png".into());
    let location = InputLocation { stored: None, url: Some("http://cdn:2/gone.png".into()) };
    with_reference.pictures = vec![(Role::ReferenceImage, location)];
    let mut world = World::of(Run::new(with_reference.clone(), plan("bfl"), 0).unwrap(), vec![accepted()]);
    world.from(Event::Start, "checkpoint");
    assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "checkpoint"]);
    let Some(Transition::Begin { warnings, .. }) = world.transitions.first() else { panic!() };
    assert!(warnings.iter().any(|w| w.code == "reference_ignored"), "{warnings:?}");
    // Where it is used it must be there.
    let flux = crate::catalogue::shipped().candidate("bfl", "flux-2-pro").unwrap();
    let flux = Candidate { base_url: Some("http://sim:1".into()), ..flux };
    let gone = Ok(HttpResponse { status: 404, headers: vec![], body: vec![] });
    let mut world = World::of(Run::new(with_reference, plan_of(flux), 0).unwrap(), vec![gone]);
    world.go();
    assert_eq!(world.log, ["get /gone.png", "close failed"]);
}

#[test]
fn references_beyond_what_the_candidate_takes_are_not_fetched_and_all_together_are_bounded() {
    let mut several = job();
    let url = |at: usize| format!("http://cdn:2/{at}.png");
    several.request.reference_images = (0..3).map(url).collect();
    several.pictures = (0..3)
        .map(|at| (Role::Reference(at as u8), InputLocation { stored: None, url: Some(url(at)) }))
        .collect();
    let model = |most: u32| {
        let flux = crate::catalogue::shipped().candidate("bfl", "flux-2-pro").unwrap();
        let mut parameters = (*flux.parameters).clone();
        parameters.get_mut("reference_images").unwrap().most = Some(most);
        Candidate { base_url: Some("http://sim:1".into()), parameters: parameters.into(), ..flux }
    };
    let answers = vec![bytes(png()), bytes(png()), accepted()];
    let mut world = World::of(Run::new(several.clone(), plan_of(model(2)), 0).unwrap(), answers);
    world.from(Event::Start, "checkpoint");
    assert_eq!(world.log, ["get /0.png", "get /1.png", "begin", "post /v1/flux-2-pro", "checkpoint"]);
    // What is padded is an image still.
    let large = || {
        let mut file = png();
        file.resize(24 << 20, 0);
        bytes(file)
    };
    let answers = vec![large(), large(), large()];
    let mut world = World::of(Run::new(several, plan_of(model(8)), 0).unwrap(), answers);
    world.go();
    assert_eq!(world.log, ["get /0.png", "get /1.png", "get /2.png", "close failed"]);
}

#[test]
fn a_job_that_is_no_longer_ours_is_dropped_before_it_is_sent() {
    let mut run = alone(candidate("bfl"));
    assert_eq!(run.on(Event::Start, 0), Step::Enter);
    assert!(matches!(
        run.on(Event::Entered { renders: Renders::default(), key: Pass::default() }, 0),
        Step::Commit(_)
    ));
    assert_eq!(run.on(Event::Disowned, 0), Step::Stop);
}

#[test]
fn the_preview_needs_no_network_and_costs_nothing() {
    let mut world = World::new("preview", vec![]);
    world.go();
    assert_eq!(world.log, ["begin", "end succeeded", "close succeeded"]);
    assert_eq!(world.end().2.as_deref(), Some("0"));
}

#[test]
fn no_order_of_answers_sends_a_submission_twice_or_leaves_a_job_open() {
    // Every sequence of up to five answers out of eleven kinds: one POST at most, and always an end.
    let kinds: Vec<Result<HttpResponse, TransportError>> = vec![
        accepted(),
        status("Pending"),
        ready(),
        bytes(png()),
        status("Error"),
        status("Content Moderated"),
        json_answer(429, json!({})),
        json_answer(500, json!({})),
        json_answer(404, json!({})),
        Err(TransportError::NotSent("x".into())),
        Err(TransportError::MaybeSent("x".into())),
    ];
    for case in 0..4_000_u32 {
        let pick =
            |i: u32| kinds[(seed::fraction(&case.to_string(), i) * kinds.len() as f64) as usize].clone();
        let mut world = World::new("bfl", (0..5).map(pick).collect());
        world.go();
        assert!(world.log.iter().filter(|l| l.starts_with("post")).count() <= 1, "{:?}", world.log);
        let last = world.log.last().unwrap();
        assert!(last.starts_with("close") || last == "later", "{:?}", world.log);
        assert_eq!(world.log[0], "begin");
    }
}

#[test]
fn an_administrator_can_choose_to_send_an_ambiguous_request_again() {
    let run = alone(candidate("bfl")).on_terms(Terms { resend_uncertain: true, ..Terms::default() });
    let mut world = World::of(run, vec![Err(TransportError::MaybeSent("reset".into()))]);
    world.go();
    assert_eq!(world.log, ["begin", "post /v1/flux-pro-1.1", "end uncertain", "later"]);
    assert_eq!(world.end().2, None);
}

#[test]
fn pictures_that_go_in_are_here_before_anything_is_sent() {
    let mut edit = job();
    edit.operation = Operation::Edit;
    edit.pictures = vec![(Role::Image, InputLocation { stored: Some("ab".into()), url: None })];
    let flux = crate::catalogue::shipped().candidate("bfl", "flux-2-pro").unwrap();
    let flux = Candidate { base_url: Some("http://sim:1".into()), ..flux };
    let mut world = World::of(Run::new(edit.clone(), plan_of(flux.clone()), 0).unwrap(), vec![accepted()]);
    world.stored = Some(png());
    world.from(Event::Start, "checkpoint");
    assert_eq!(world.log, ["load ab", "begin", "post /v1/flux-2-pro", "checkpoint"]);
    // One that is not there costs nothing.
    let mut world = World::of(Run::new(edit, plan_of(flux), 0).unwrap(), vec![]);
    world.go();
    assert_eq!(world.log, ["load ab", "close failed"]);
}

#[test]
fn a_task_that_failed_for_good_is_not_asked_again_whatever_the_failure() {
    let created = || json_answer(201, json!({"id": "P", "urls": {"get": "http://sim:1/p/P"}}));
    let failed = |error: &str| json_answer(200, json!({"id": "P", "status": "failed", "error": error}));
    let replicate = Candidate { remote_name: "acme/model".into(), ..candidate("replicate") };
    for (error, code, last) in [
        ("Invalid input (E006)", ErrorCode::InvalidRequest, "close failed"),
        ("Service is busy (E003)", ErrorCode::Overloaded, "later"),
    ] {
        let mut world = World::of(alone(replicate.clone()), vec![created(), failed(error)]);
        world.go();
        assert_eq!(world.log.iter().filter(|l| l.starts_with("get")).count(), 1);
        assert_eq!((world.end().1, world.log.last().unwrap().as_str()), (Some(code), last), "{error}");
    }
    // The run's own error in place of its result, and then a gateway's.
    let fal = Candidate { remote_name: "fal-ai/x".into(), ..candidate("fal") };
    let detail = json!({"detail": [{"msg": "busy", "type": "downstream_service_unavailable"}]});
    let accepted = || {
        vec![json_answer(200, json!({"request_id": "R"})), json_answer(200, json!({"status": "COMPLETED"}))]
    };
    let mut own = World::of(alone(fal.clone()), [accepted(), vec![json_answer(500, detail)]].concat());
    own.go();
    assert_eq!((own.end().1, own.log.last().unwrap().as_str()), (Some(ErrorCode::Overloaded), "later"));
    let finished = vec![
        json_answer(502, json!("bad gateway")),
        json_answer(200, json!({"status": "COMPLETED"})),
        json_answer(200, json!({"images": [{"url": "http://cdn:2/x.png"}]})),
        bytes(png()),
    ];
    let mut gateway = World::of(alone(fal), [accepted(), finished].concat());
    gateway.go();
    assert_eq!(gateway.end().0, AttemptStatus::Succeeded);
}
