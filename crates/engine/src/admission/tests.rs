//! Admission over the shipped catalogue.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::tests::rows;
use crate::failure::Failure;

/// Keys that are there (`None`: not known), and what renders take.
#[derive(Default)]
struct Known(Option<Vec<&'static str>>, BTreeMap<String, f64>);

impl Surroundings for Known {
    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|keys| keys.contains(&name))
    }

    fn seconds(&self, provider: &str, model: &str, _: &str) -> Option<f64> {
        self.1.get(&format!("{provider}:{model}")).copied()
    }
}

fn keys(names: &[&'static str]) -> Known {
    Known(Some(names.to_vec()), BTreeMap::new())
}

fn request(more: Value) -> Request {
    let mut json = json!({"prompt": "a cup", "seed": 7});
    for (key, value) in more.as_object().unwrap() {
        json[key] = value.clone();
    }
    serde_json::from_value(json).unwrap()
}

struct Case {
    purpose: Purpose,
    operation: Operation,
    request: Request,
    model: Option<&'static str>,
    wishes: Value,
    priority: Option<Priority>,
    max_cost: Option<Decimal>,
    own: Option<OwnBackEnd>,
    preview: bool,
    allowance: Allowance,
}

impl Case {
    fn new(purpose: Purpose) -> Self {
        Case {
            purpose,
            operation: Operation::Generate,
            request: request(json!({})),
            model: None,
            wishes: json!({}),
            priority: None,
            max_cost: None,
            own: None,
            preview: false,
            allowance: Allowance::default(),
        }
    }

    fn admit(&self, snapshot: &Snapshot, known: &Known) -> Result<Admission, Rejection> {
        let default = "flux-1.1-pro";
        let target = Target::of(snapshot, self.operation, &self.request, self.priority, self.model, default)?;
        let query = Query {
            purpose: self.purpose,
            job_id: "gen_1",
            operation: self.operation,
            allowance: &self.allowance,
            need: Need::of(&self.request, self.operation),
            request: &self.request,
            target: &target,
            priority: self.priority,
            max_cost: self.max_cost,
            allow_unpriced: false,
            own: self.own.clone(),
            preview: self.preview,
        };
        let wishes = serde_json::from_value(self.wishes.clone()).unwrap();
        admit(snapshot, &query, &wishes, known)
    }
}

/// What is asked about a plain job that is to be sent.
fn to_run<'a>(request: &'a Request, target: &'a Target) -> Query<'a> {
    static ALL: LazyLock<Allowance> = LazyLock::new(Allowance::default);
    Query {
        purpose: Purpose::Run,
        job_id: "gen_1",
        operation: Operation::Generate,
        allowance: &ALL,
        need: Need::of(request, Operation::Generate),
        request,
        target,
        priority: None,
        max_cost: None,
        allow_unpriced: false,
        own: None,
        preview: false,
    }
}

fn snapshot() -> Snapshot {
    Snapshot::from(rows(&[], &[]))
}

fn first(admission: &Admission) -> String {
    admission.first().map(Candidate::name).unwrap_or_default()
}

#[test]
fn a_job_goes_to_the_first_that_is_ready_and_says_what_that_costs() {
    let case = Case::new(Purpose::Queue);
    let at = |known: &Known| first(&case.admit(&snapshot(), known).unwrap());
    assert_eq!(at(&Known::default()), "bfl:flux-1.1-pro", "as long as no worker has said what it has");
    assert_eq!(at(&keys(&["BFL_API_KEY"])), "bfl:flux-1.1-pro");
    assert_eq!(at(&keys(&["FAL_API_KEY"])), "fal:flux-1.1-pro");
    let admission = case.admit(&snapshot(), &keys(&["BFL_API_KEY"])).unwrap();
    assert_eq!(admission.cost().unwrap().to_string(), "0.04");
    assert!(admission.warnings.is_empty());
    // Without any key it is queued all the same, and the caller is told.
    let admission = case.admit(&snapshot(), &keys(&[])).unwrap();
    assert_eq!(admission.warnings[0].code, "not_configured");
}

#[test]
fn what_is_named_is_queued_for_it_alone_and_others_stand_in_when_it_runs() {
    let named = |purpose| Case { model: Some("bfl:flux-1.1-pro"), ..Case::new(purpose) };
    let all = keys(&["BFL_API_KEY", "OPENAI_API_KEY"]);
    assert_eq!(named(Purpose::Queue).admit(&snapshot(), &all).unwrap().route.len(), 1);
    assert_eq!(
        named(Purpose::Run).admit(&snapshot(), &all).unwrap().route.len(),
        1,
        "the provider is named, too"
    );
    let model = |purpose| Case { model: Some("flux-1.1-pro"), ..Case::new(purpose) };
    let run = model(Purpose::Run).admit(&snapshot(), &all).unwrap();
    assert_eq!(first(&run), "bfl:flux-1.1-pro");
    assert!(run.route.last().is_some_and(|c| c.stands_in && c.provider == "openai"));
    // None stands in for a model that itself cannot be tried.
    let none = model(Purpose::Run).admit(&snapshot(), &keys(&["OPENAI_API_KEY"])).unwrap_err();
    assert_eq!(none.failure().failure, Failure::Unauthorized);
    assert!(none.failure().message.contains("bfl has no key (BFL_API_KEY)"), "{:?}", none.failure());
}

#[test]
fn the_words_of_a_request_choose_its_model() {
    let rule = json!({"rule": "text", "needs_text": true, "models": ["gpt-image-2"], "reason": "legible"});
    let snapshot = Snapshot::from(rows(&["OPENAI_API_KEY", "BFL_API_KEY"], &[("model_rules", rule)]));
    let case = |prompt: &str, priority| Case {
        request: request(json!({"prompt": prompt})),
        priority,
        ..Case::new(Purpose::Queue)
    };
    let known = keys(&["OPENAI_API_KEY", "BFL_API_KEY"]);
    let sign = "a sign that says 'OPEN ALL NIGHT'";
    assert!(first(&case(sign, None).admit(&snapshot, &known).unwrap()).starts_with("openai:gpt-image"));
    assert!(first(&case("a cup", None).admit(&snapshot, &known).unwrap()).starts_with("bfl:"));
    let speed = case(sign, Some(Priority::Speed)).admit(&snapshot, &known).unwrap();
    assert!(first(&speed).starts_with("bfl:"), "what matters most to the caller comes before");
    assert_eq!(speed.warnings[0].code, "text_in_picture");
}

#[test]
fn a_limit_is_kept_when_queueing_and_when_running() {
    let limit = |purpose, cents| Case { max_cost: Some(Decimal::new(cents, 2)), ..Case::new(purpose) };
    let known = keys(&["BFL_API_KEY"]);
    assert_eq!(limit(Purpose::Queue, 3).admit(&snapshot(), &known).unwrap_err().kind, Kind::Budget);
    assert!(limit(Purpose::Queue, 4).admit(&snapshot(), &known).is_ok());
    let run = Case { model: Some("flux-1.1-pro"), ..limit(Purpose::Run, 3) };
    let why = run.admit(&snapshot(), &known).unwrap_err().failure();
    assert!(why.message.contains("would cost more than max_cost"), "{why:?}");
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_its_own_words() {
    let small = Case { request: request(json!({"width": 128, "height": 128})), ..Case::new(Purpose::Queue) };
    let wrong = small.admit(&snapshot(), &keys(&["BFL_API_KEY"])).unwrap_err();
    assert_eq!(wrong.kind, Kind::Argument);
    assert!(wrong.invalid.message.contains("128x128") && wrong.invalid.hint.contains("steps"), "{wrong:?}");
    let blocked = Case { wishes: json!({"blocked": ["bfl"]}), ..Case::new(Purpose::Queue) };
    let wrong = blocked.admit(&snapshot(), &keys(&["BFL_API_KEY"])).unwrap_err();
    assert_eq!(wrong.kind, Kind::NotSupported);
    assert!(wrong.invalid.message.contains("bfl:flux-1.1-pro: blocked"), "{wrong:?}");
    // Another that can make it takes it where the choice is open.
    let both = small.admit(&snapshot(), &keys(&["BFL_API_KEY", "STABILITY_API_KEY", "FAL_API_KEY"]));
    assert!(both.is_err() || !first(&both.unwrap()).starts_with("bfl"));
}

#[test]
fn explained_is_every_candidate() {
    let explained = Case::new(Purpose::Explain).admit(&snapshot(), &keys(&["BFL_API_KEY"])).unwrap();
    let queued = Case::new(Purpose::Queue).admit(&snapshot(), &keys(&["BFL_API_KEY"])).unwrap();
    assert_eq!(first(&explained), first(&queued));
    let count = |a: &Admission| a.route.len() + a.excluded.len();
    assert!(count(&explained) >= count(&queued));
    let weighed = Case { wishes: json!({"weights": {"fal": 1000, "bfl": 0}}), ..Case::new(Purpose::Explain) };
    let all = keys(&["BFL_API_KEY", "FAL_API_KEY"]);
    assert_eq!(first(&weighed.admit(&snapshot(), &all).unwrap()), "bfl:flux-1.1-pro", "before the draw");
    let drawn = Case { purpose: Purpose::Queue, ..weighed }.admit(&snapshot(), &all).unwrap();
    assert_eq!(first(&drawn), "fal:flux-1.1-pro");
}

#[test]
fn learnt_seconds_take_the_place_of_the_catalogues() {
    let mut known = keys(&["BFL_API_KEY"]);
    known.1.insert("bfl:flux-1.1-pro".into(), 2.5);
    for purpose in [Purpose::Queue, Purpose::Run, Purpose::Explain] {
        let case = Case { model: Some("flux-1.1-pro"), ..Case::new(purpose) };
        let admission = case.admit(&snapshot(), &known).unwrap();
        assert_eq!(admission.first().unwrap().typical_seconds, 2.5, "{purpose:?}");
    }
}

#[test]
fn an_own_back_end_is_where_it_answers_and_of_the_kind_that_answers() {
    let own = |kind| Some(OwnBackEnd { address: "http://here:1".into(), kind });
    let case = |kind| Case { model: Some("a1111:sd-local"), own: own(kind), ..Case::new(Purpose::Run) };
    let known = keys(&["STABLE_DIFFUSION_LOCAL_BASE_URL"]);
    for kind in [None, Some("a1111")] {
        let run = case(kind).admit(&snapshot(), &known).unwrap();
        assert_eq!(run.first().and_then(|c| c.base_url.as_deref()), Some("http://here:1"), "{kind:?}");
    }
    let gone = case(Some("comfyui")).admit(&snapshot(), &known);
    assert!(gone.is_err_and(|why| why.excluded.is_empty()));
}

#[test]
fn a_preview_takes_the_place_of_a_model_without_a_key_where_that_is_wanted() {
    let case = Case { model: Some("flux-1.1-pro"), preview: true, ..Case::new(Purpose::Run) };
    let run = case.admit(&snapshot(), &keys(&[])).unwrap();
    assert_eq!(run.route[0].name(), "preview:flux-1.1-pro");
    let edit = Case {
        operation: Operation::Edit,
        request: request(json!({"image": "asset:1", "mode": "img2img"})),
        model: Some("flux-kontext-pro"),
        ..case
    };
    assert!(edit.admit(&snapshot(), &keys(&[])).is_err());
}

#[test]
fn a_job_for_a_model_of_ones_own_machine_does_not_leave_it() {
    // F10: named alone or with its provider, whatever is well elsewhere.
    let all = keys(&[
        "STABLE_DIFFUSION_LOCAL_BASE_URL",
        "BFL_API_KEY",
        "FAL_API_KEY",
        "STABILITY_API_KEY",
        "OPENAI_API_KEY",
    ]);
    let names = |case: &Case| -> Vec<String> {
        let admission = case.admit(&snapshot(), &all).unwrap();
        admission.route.iter().map(|c| c.kind.clone()).collect()
    };
    let leaves = |kinds: &[String]| kinds.iter().any(|kind| !provider::is_local(kind));
    for model in ["sd-local", "a1111:sd-local", "comfyui:sd-xl-base"] {
        for purpose in [Purpose::Run, Purpose::Explain] {
            let named = Case { model: Some(model), ..Case::new(purpose) };
            assert!(!leaves(&names(&named)), "{model}: {:?}", names(&named));
            let preferred = Case { wishes: json!({"preferred": ["bfl"]}), ..named };
            assert!(
                names(&preferred).contains(&"bfl".to_owned()) || model.contains(':'),
                "{model}: it is allowed"
            );
        }
    }
    let open = Case { own: None, ..Case::new(Purpose::Run) };
    assert!(leaves(&names(&open)), "an open choice may go anywhere");
}

#[test]
fn a_queued_job_whose_model_was_left_open_keeps_the_callers_order() {
    let wanted = request(json!({}));
    let all = keys(&["BFL_API_KEY", "FAL_API_KEY", "OPENAI_API_KEY"]);
    let order = |open: bool| -> Vec<String> {
        let target = Target::queued("flux-1.1-pro".into(), None, open);
        let query = to_run(&wanted, &target);
        let wishes = serde_json::from_value(json!({"preferred": ["openai"]})).unwrap();
        let admission = admit(&snapshot(), &query, &wishes, &all).unwrap();
        admission.route.iter().map(|c| c.provider.clone()).collect()
    };
    assert_eq!(order(true)[0], "openai", "what the caller prefers comes first");
    assert_eq!(order(false)[0], "bfl", "a model that was named comes first");
}

#[test]
fn a_model_that_one_provider_alone_has_is_asked_for_there_only() {
    let gateway = json!({"id": "gateway", "kind": "openai", "base_url": "http://10.0.0.1/v1", "key_name": "NONE",
                         "enabled": true, "priority": 5, "max_in_flight": null, "requests_per_minute": null});
    let own = json!({"name": "house-style", "provider_kind": "openai", "provider": "gateway", "remote_name": "house",
                     "api": null, "aliases": [], "operations": ["generate"], "default_for": [], "sizes": {"fixed": [[1024, 1024]]},
                     "prompt_chars": null, "max_n": 1, "parameters": {"prompt": true}, "fixed": {}, "typical_seconds": 5,
                     "successor": null, "ends_on": null});
    let snapshot = Snapshot::from(rows(&[], &[("providers", gateway), ("models", own)]));
    let case = Case { model: Some("house-style"), ..Case::new(Purpose::Run) };
    let admission = case.admit(&snapshot, &keys(&["OPENAI_API_KEY"])).unwrap();
    assert_eq!(first(&admission), "gateway:house-style");
    let offered = |c: &&Candidate| c.model == "house-style";
    assert_eq!(admission.route.iter().filter(offered).count(), 1, "openai itself is not asked for it");
    let elsewhere = Case { model: Some("openai:house-style"), ..Case::new(Purpose::Run) };
    assert!(elsewhere.admit(&snapshot, &keys(&["OPENAI_API_KEY"])).is_err());
}

#[test]
fn what_follows_a_refusal_has_the_candidates_of_the_models_that_it_names() {
    let step = |action: &str, model: Value| ("refusal_steps", json!({"action": action, "model": model}));
    let steps = [
        step("rewrite", json!(null)),
        step("switch_model", json!("gpt-image-2")),
        step("switch_model", json!("no-such-model")),
        step("switch_model", json!(null)),
        step("review", json!(null)),
    ];
    let snapshot = Snapshot::from(rows(&[], &steps));
    let wanted = request(json!({}));
    let target = Target::queued("flux-1.1-pro".into(), None, false);
    let query = to_run(&wanted, &target);
    let candidates = |wishes: Value| -> Vec<Option<usize>> {
        let wishes = serde_json::from_value(wishes).unwrap();
        let steps = ladder(&snapshot, &query, &wishes, &keys(&["OPENAI_API_KEY"]));
        assert!(matches!(steps[..], [RefusalStep::Rewrite, .., RefusalStep::Review]));
        let of = |step: &RefusalStep| match step {
            RefusalStep::SwitchModel { candidates } => Some(candidates.as_ref().map(Vec::len)),
            _ => None,
        };
        steps.iter().filter_map(of).collect()
    };
    assert_eq!(candidates(json!({})), [Some(1), Some(0), None]);
    assert_eq!(candidates(json!({"blocked": ["openai"]})), [Some(0), Some(0), None]);
}

#[test]
fn several_references_go_to_who_takes_most_of_them() {
    let snapshot = Snapshot::from(rows(&[], &[]));
    let three = || request(json!({"reference_images": ["asset:1", "asset:2", "asset:3"]}));
    let first = |known: &Known, case: &Case| {
        let admission = case.admit(&snapshot, known).unwrap();
        let ignored = admission.warnings.iter().any(|w| w.code == "reference_ignored");
        (admission.first().unwrap().name(), ignored)
    };
    let open = Case { request: three(), ..Case::new(Purpose::Queue) };
    // A provider's usual model is another one then, and who ignores them comes last.
    assert_eq!(first(&keys(&["BFL_API_KEY"]), &open), ("bfl:flux-2-pro".into(), false));
    let both = keys(&["STABILITY_API_KEY", "GEMINI_API_KEY"]);
    assert_eq!(first(&both, &open), ("google:gemini-nano-banana-2.1".into(), false));
    assert!(first(&keys(&["STABILITY_API_KEY"]), &open).1);
    // What is named is named, and of its providers the one that takes most comes first; a wish weighs more.
    let named =
        Case { model: Some("flux-kontext-pro"), ..Case { request: three(), ..Case::new(Purpose::Queue) } };
    let all = keys(&["FAL_API_KEY", "BFL_API_KEY"]);
    assert_eq!(first(&all, &named), ("bfl:flux-kontext-pro".into(), false));
    let wished = Case { wishes: json!({"preferred": ["fal"]}), ..named };
    assert_eq!(first(&all, &wished), ("fal:flux-kontext-pro".into(), true));
}

#[test]
fn a_style_narrows_the_route_to_what_it_allows() {
    let snapshot = Snapshot::from(rows(&[], &[]));
    let styled = |models: &[&str], purpose: Purpose| Case {
        request: request(json!({"style": {"name": "acme", "models": models}})),
        ..Case::new(purpose)
    };
    let all = Known::default();
    let route = |case: &Case| -> Vec<String> {
        let admission = case.admit(&snapshot, &all).unwrap();
        admission.route.iter().map(Candidate::name).collect()
    };
    let allowed = ["openai:gpt-image-2", "flux-kontext-pro"];
    let expected =
        ["openai:gpt-image-2", "bfl:flux-kontext-pro", "fal:flux-kontext-pro", "replicate:flux-kontext-pro"];
    assert_eq!(route(&styled(&allowed, Purpose::Explain)), expected);
    let first = styled(&allowed, Purpose::Queue).admit(&snapshot, &all).unwrap();
    assert_eq!(first.first().unwrap().name(), "openai:gpt-image-2");
    // What is named must be among them, and only what is allowed stands in.
    let named = Case { model: Some("flux-kontext-pro"), ..styled(&allowed, Purpose::Run) };
    assert!(route(&named).iter().all(|name| name.ends_with("flux-kontext-pro")));
    let other = Case { model: Some("flux-1.1-pro"), ..styled(&allowed, Purpose::Queue) };
    let refused = other.admit(&snapshot, &all).unwrap_err();
    assert_eq!(refused.kind, Kind::Argument);
    assert_eq!(refused.invalid.message, "style 'acme' does not allow model 'flux-1.1-pro'");
    assert!(refused.invalid.hint.contains("openai:gpt-image-2, flux-kontext-pro"));
    // One that is gone since is passed over; where none is left it is said.
    assert_eq!(route(&styled(&["no-such-model", "bfl:flux-2-pro"], Purpose::Run)), ["bfl:flux-2-pro"]);
    let none = styled(&["no-such-model"], Purpose::Run).admit(&snapshot, &all).unwrap_err();
    assert_eq!(none.invalid.message, "no enabled provider offers what style 'acme' allows");
    let blocked = Case { wishes: json!({"blocked": ["bfl"]}), ..styled(&["bfl:flux-2-pro"], Purpose::Queue) };
    let blocked = blocked.admit(&snapshot, &all).unwrap_err();
    assert!(blocked.invalid.hint.starts_with("Style 'acme' allows only bfl:flux-2-pro"), "{blocked:?}");
}

/// What a role with one policy may ask for.
fn allowance(fields: Value) -> Allowance {
    let mut row = json!({
        "role": 1, "allow_unpriced": false, "allowed_options": ["*"], "allowed_providers": ["*"], "allowed_models": ["*"],
        "allowed_operations": ["*"]
    });
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut rows = rows(&[], &[]);
    rows.add("role_policies", "", "", &row.to_string()).unwrap();
    Snapshot::from(rows).allowance(|role| role == 1)
}

#[test]
fn a_role_is_kept_to_what_its_policy_allows_and_told_why() {
    let all = keys(&["BFL_API_KEY", "OPENAI_API_KEY", "FAL_API_KEY"]);
    let case = |purpose, fields: Value| Case { allowance: allowance(fields), ..Case::new(purpose) };
    // An open choice goes to what is left,
    let only = json!({"allowed_providers": ["openai"]});
    let admission = case(Purpose::Queue, only.clone()).admit(&snapshot(), &all).unwrap();
    assert_eq!(admission.first().unwrap().provider, "openai");
    // and what is out is explained.
    let explained = case(Purpose::Explain, only.clone()).admit(&snapshot(), &all).unwrap();
    assert!(explained.excluded.iter().any(|(c, why)| c.provider == "bfl" && why.as_str() == "not_allowed"));
    assert!(explained.route.iter().all(|c| c.provider == "openai"));
    // What is named is refused, when it is queued and, where the policy came later, when it is to be sent.
    for (purpose, named) in [Purpose::Queue, Purpose::Run]
        .into_iter()
        .flat_map(|p| [(p, "bfl:flux-1.1-pro"), (p, "flux-1.1-pro")])
    {
        let named = Case { model: Some(named), ..case(purpose, json!({"allowed_providers": ["google"]})) };
        let rejection = named.admit(&snapshot(), &all).unwrap_err();
        assert_eq!(rejection.kind, Kind::Forbidden, "{rejection:?}");
        assert!(rejection.invalid.hint.contains("request_provider('"), "{rejection:?}");
        assert_eq!(rejection.failure().failure, Failure::NotAllowed);
    }
    let operation =
        case(Purpose::Run, json!({"allowed_operations": ["edit"]})).admit(&snapshot(), &all).unwrap_err();
    assert_eq!((operation.kind, operation.failure().failure), (Kind::Forbidden, Failure::NotAllowed));
    let models = case(Purpose::Run, json!({"allowed_models": ["openai:gpt-image-2.6-flare"]}));
    let admission = models.admit(&snapshot(), &all).unwrap();
    assert!(
        admission.route.iter().all(|c| c.name() == "openai:gpt-image-2.6-flare"),
        "{:?}",
        admission.route
    );
}
