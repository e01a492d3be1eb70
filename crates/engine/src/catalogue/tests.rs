//! The data file, and snapshots of the rows that it becomes.

use super::*;
use serde_json::json;
use std::collections::HashSet;

#[test]
fn the_data_files_are_well_formed() {
    for adapter in provider::TABLE {
        let (_, models) = read(adapter.kind(), adapter.catalogue()).unwrap();
        assert!(!models.is_empty(), "{}", adapter.kind());
    }
    let catalogue = shipped();
    let mut seen = HashSet::new();
    for model in &catalogue.model {
        let name = (model.kind.as_str(), model.name.as_str());
        assert!(seen.insert(name), "{name:?} is there twice");
        assert!(provider::find(&model.kind).is_some(), "{name:?}: no such adapter");
        assert_eq!(model.successor.is_none(), model.sizes.is_some(), "{name:?}: sizes or a successor");
        for task in &model.default_for {
            let special = ["character", "reference_images"].contains(&task.as_str());
            let known = special || model.operations.iter().any(|t| t.as_str() == task);
            assert!(known, "{name:?} is the default for {task}, which it does not do");
        }
        if let Some(successor) = &model.successor {
            let found = catalogue.model.iter().any(|m| m.name == *successor && m.successor.is_none());
            assert!(found, "{name:?}: successor {successor} does not exist");
        }
    }
    for provider in &catalogue.provider {
        assert!(provider::find(&provider.id).is_some(), "{}", provider.id);
    }
    for adapter in provider::TABLE {
        assert!(catalogue.provider.iter().any(|p| p.id == adapter.kind()), "{}", adapter.kind());
        for task in Task::ALL {
            let defaults = catalogue
                .model
                .iter()
                .filter(|m| m.kind == adapter.kind() && m.default_for.iter().any(|t| t == task.as_str()));
            assert!(defaults.count() <= 1, "{}: two defaults for {}", adapter.kind(), task.as_str());
        }
    }
}

#[test]
fn every_name_is_free_of_doubt() {
    // An alias must not be the name of another model at the same kind of provider, nor the alias of a second one.
    let catalogue = shipped();
    for model in &catalogue.model {
        for alias in &model.aliases {
            let others = catalogue.model.iter().filter(|m| {
                m.name != model.name
                    && m.kind == model.kind
                    && (m.name == *alias || m.aliases.contains(alias))
            });
            assert_eq!(others.count(), 0, "{alias} of {} at {}", model.name, model.kind);
            assert_eq!(*alias, alias.to_lowercase(), "aliases are in lower case");
        }
    }
}

/// A database's rows: the data file at the shipped providers, with these rows besides, as (table, row).
pub(crate) fn rows(keys: &[&str], more: &[(&str, Value)]) -> Rows {
    let catalogue = shipped();
    let mut rows = Rows::default();
    let mut add = |table: &str, row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows.add(table, &text("name"), &text("provider_kind"), &row.to_string()).unwrap();
    };
    for p in &catalogue.provider {
        let row = json!({"id": p.id, "kind": p.id, "enabled": true, "priority": p.priority});
        add("providers", &row);
    }
    let mut id = 0;
    for m in &catalogue.model {
        add(
            "models",
            &json!({
                "name": m.name, "provider_kind": m.kind, "remote_name": m.remote_name.as_ref().unwrap_or(&m.name),
                "api": m.api, "aliases": m.aliases, "operations": m.operations, "default_for": m.default_for,
                "sizes": m.sizes, "prompt_chars": m.prompt_chars, "max_n": m.max_n, "parameters": m.parameters,
                "fixed": m.fixed, "typical_seconds": m.typical_seconds, "successor": m.successor, "ends_on": m.ends_on
            }),
        );
        for p in &m.prices {
            id -= 1;
            add(
                "prices",
                &json!({
                    "id": id, "provider_kind": m.kind, "model": m.name, "unit": p.unit, "quality": p.quality,
                    "amount": p.amount, "currency": "USD", "origin": "catalogue"
                }),
            );
        }
    }
    add("keys", &json!(keys));
    for (table, row) in more {
        add(table, row);
    }
    rows
}

fn names(candidates: &[Candidate]) -> Vec<String> {
    candidates.iter().map(Candidate::name).collect()
}

const GENERATE: Need = Need { task: Task::Generate, character: false, references: false };

#[test]
fn a_name_an_alias_and_a_retired_name_are_the_model_that_is_used() {
    let snapshot = Snapshot::from(rows(&[], &[]));
    let model = |asked: &str| snapshot.resolve(asked).map(|r| (r.provider, r.model, r.warning.is_some()));
    let of = |name: &str| Ok((None, name.to_owned(), false));
    assert_eq!(model("flux-1.1-pro"), of("flux-1.1-pro"));
    assert_eq!(model("  FLUX-1.1-Pro "), of("flux-1.1-pro"));
    assert_eq!(model("bfl:flux-1.1-pro"), Ok((Some("bfl".into()), "flux-1.1-pro".into(), false)));
    let retired = snapshot.resolve("dall-e-3").unwrap();
    assert!(
        retired.warning.is_some_and(|w| w.code == "successor" && w.message.contains("dall-e-3 is retired"))
    );
    assert!(snapshot.named(&retired.model).all(|m| m.successor.is_none()));
    // What is said of a day holds on the day on which it is said.
    let said = |day: &str| {
        let mut rows = rows(&[], &[]);
        rows.add("day", "", "", &json!(day).to_string()).unwrap();
        Snapshot::from(rows).resolve("gpt-image-1.5").unwrap().warning.unwrap().message
    };
    let used = "gpt-image-2.6-flare is used";
    assert_eq!(said("2026-11-30"), format!("gpt-image-1.5 ends on 2026-12-01: {used} already"));
    assert_eq!(said("2026-12-01"), format!("gpt-image-1.5 is retired (2026-12-01): {used} instead"));
    // An alias of two kinds is the one that can be used, else the one that comes first.
    let own = |keys: &[&str]| Snapshot::from(rows(keys, &[])).resolve("sdxl").unwrap().model;
    assert_eq!(own(&["STABILITY_API_KEY"]), "stable-image-core");
    assert_eq!(own(&["STABLE_DIFFUSION_LOCAL_BASE_URL"]), "sd-xl-base");
    assert_eq!(own(&["STABLE_DIFFUSION_LOCAL_BASE_URL", "STABILITY_API_KEY"]), "stable-image-core");
    assert_eq!(own(&[]), "stable-image-core");
    // A model without a row is reached through its provider's `*`, and only there.
    assert_eq!(model("replicate:owner/name"), Ok((Some("replicate".into()), "owner/name".into(), false)));
    for unknown in
        ["", "no-such-model", "nobody:flux-1.1-pro", "bfl:", "bfl:no-such-model", "*", "owner/name"]
    {
        assert!(snapshot.resolve(unknown).unwrap_err().unknown, "{unknown}");
    }
    assert!(snapshot.resolve("flux-1.1-prox").unwrap_err().hint.starts_with("Near it: flux-1"));
}

#[test]
fn successors_in_a_circle_end() {
    let retired = |name: &str, successor: &str| {
        (
            "models",
            json!({
                "name": name, "provider_kind": "bfl", "remote_name": name, "aliases": [], "operations": [], "default_for": [],
                "sizes": null, "max_n": 1, "parameters": {}, "fixed": {}, "typical_seconds": 1, "successor": successor
            }),
        )
    };
    let snapshot = Snapshot::from(rows(&[], &[retired("ring-a", "ring-b"), retired("ring-b", "ring-a")]));
    assert!(snapshot.resolve("ring-a").unwrap_err().unknown);
}

#[test]
fn offers_come_in_the_administrators_order_and_stand_ins_last() {
    let second = ("providers", json!({"id": "bfl-eu", "kind": "bfl", "enabled": true, "priority": 1}));
    let off = ("providers", json!({"id": "bfl-us", "kind": "bfl", "enabled": false, "priority": 0}));
    let snapshot = Snapshot::from(rows(&[], &[second, off]));
    let offers = snapshot.offers("flux-1.1-pro", None, false).unwrap();
    assert_eq!(names(&offers)[..2], ["bfl-eu:flux-1.1-pro", "bfl:flux-1.1-pro"]);
    assert_eq!(names(&snapshot.offers("flux-1.1-pro", None, true).unwrap())[0], "bfl-us:flux-1.1-pro");
    assert_eq!(names(&snapshot.offers("flux-1.1-pro", Some("bfl"), false).unwrap()), ["bfl:flux-1.1-pro"]);
    assert!(offers[0].prices.iter().any(|p| p.amount > Decimal::ZERO), "the kind's prices are every row's");
    // Those that only stand in come last, and only where there is a key.
    let keys = |p: &Provider| matches!(p.id.as_str(), "bfl" | "openai");
    let all = snapshot.candidates(GENERATE, Some("flux-1.1-pro"), None, &keys).unwrap();
    let own = all.iter().position(|c| c.stands_in).unwrap();
    assert!(all[..own].iter().all(|c| c.model == "flux-1.1-pro"));
    assert_eq!(all[own..].iter().map(|c| c.provider.as_str()).collect::<Vec<_>>(), ["openai"]);
    let open = snapshot.candidates(GENERATE, None, None, &|_| false).unwrap();
    assert!(open.len() > 5 && open.iter().all(|c| !c.stands_in && c.kind != "preview"));
    let one = snapshot.candidates(GENERATE, Some("flux-1.1-pro"), Some("bfl"), &|_| true).unwrap();
    assert_eq!(names(&one), ["bfl:flux-1.1-pro"]);
}

#[test]
fn one_price_of_an_administrator_puts_those_of_the_catalogue_aside() {
    let own = |id: i64, amount: &str, quality: Value| {
        (
            "prices",
            json!({
                "id": id, "provider_kind": "bfl", "model": "flux-1.1-pro", "unit": "image", "quality": quality, "amount": amount,
                "currency": "USD", "origin": "admin"
            }),
        )
    };
    let snapshot = Snapshot::from(rows(&[], &[own(1, "0.5", json!(null)), own(2, "0.6", json!(null))]));
    let offers = snapshot.offers("flux-1.1-pro", Some("bfl"), false).unwrap();
    let amounts: Vec<String> = offers[0].prices.iter().map(|p| p.amount.to_string()).collect();
    assert_eq!(amounts, ["0.6", "0.5"], "the later one holds");
}

#[test]
fn a_row_that_cannot_be_read_fails_alone() {
    let broken = |name: &str, seconds: Value, default_for: &[&str]| {
        (
            "models",
            json!({
                "name": name, "provider_kind": "openai", "remote_name": name, "aliases": [], "operations": ["generate"],
                "default_for": default_for, "sizes": {"free": {}}, "max_n": 1, "parameters": {}, "fixed": {},
                "typical_seconds": seconds
            }),
        )
    };
    let mut all =
        rows(&[], &[broken("aa-broken", json!(1), &["generate"]), broken("broken-2", json!("x"), &[])]);
    let huge = format!("{{\"name\": \"huge\", \"typical_seconds\": 1e400{}}}", "0");
    all.add("models", "huge", "openai", &huge).unwrap();
    let snapshot = Snapshot::from(all);
    for name in ["aa-broken", "broken-2", "huge"] {
        let wrong = snapshot.offers(name, None, false).unwrap_err();
        assert!(wrong.message.contains("image_gen.models") && !wrong.unknown, "{name}: {wrong}");
    }
    // Its provider has no usual model then; all others are as they were.
    let all = snapshot.candidates(GENERATE, Some("flux-1.1-pro"), None, &|_| true).unwrap();
    assert!(all.len() > 5 && all.iter().all(|c| c.model != "aa-broken"));
}

#[test]
fn the_first_rule_that_holds_decides_and_is_not_given_up_for_a_key() {
    let rule = |rule: &str, needs_text: Value, models: &[&str]| {
        (
            "model_rules",
            json!({"rule": rule, "needs_text": needs_text, "models": models, "reason": "because"}),
        )
    };
    let rules = [
        rule("text", json!(true), &["gpt-image-2", "ideogram-v2"]),
        rule("usual", json!(null), &["flux-1.1-pro"]),
    ];
    let text = Wish { needs_text: true, ..Wish::default() };
    let chosen = |keys: &[&str], wish: Wish<'_>| Snapshot::from(rows(keys, &rules)).choose(wish).unwrap();
    assert_eq!(chosen(&["IDEOGRAM_API_KEY"], text).model.as_deref(), Some("ideogram-v2"));
    assert_eq!(chosen(&["BFL_API_KEY"], Wish::default()).model.as_deref(), Some("flux-1.1-pro"));
    let none = chosen(&["BFL_API_KEY"], text);
    assert_eq!((none.model, none.rule.as_deref()), (None, Some("text")));
    assert!(none.reason.is_some_and(|r| r.contains("IDEOGRAM_API_KEY") && r.contains("OPENAI_API_KEY")));
    let cheapest = chosen(&["BFL_API_KEY"], Wish { priority: Some("cost"), ..Wish::default() });
    assert!(cheapest.model.is_some_and(|m| m.starts_with("bfl:")));
    assert!(Snapshot::default().choose(Wish { priority: Some("luck"), ..Wish::default() }).is_err());
}
