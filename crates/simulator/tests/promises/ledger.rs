use serde_json::{Value, json};

use crate::client::*;

#[tokio::test]
async fn every_request_is_booked_and_the_sums_are_right() {
    let sim = start(json!({})).await;
    for seed in 0..4 {
        let url = submitted(&sim, json!({"prompt": "a cat", "seed": seed})).await;
        let sample = settle(&sim, &url).await["result"]["sample"].as_str().unwrap().to_owned();
        get(&sim, &sample).await;
    }
    openai(&sim, json!({"model": "gpt-image-2", "prompt": "1234", "quality": "low"})).await;
    bfl(&sim, "flux-pro-1.1", json!({"prompt": "nude"})).await;
    bfl(&sim, "flux-pro-1.1", json!({"prompt": ""})).await;
    let ledger = admin(&sim, "GET", "ledger", Value::Null).await.json();
    let totals = &ledger["totals"];
    let counts = [
        "requests",
        "submits",
        "accepted",
        "refused",
        "rejected",
        "polls",
        "pictures",
        "billed_calls",
        "faults",
    ];
    let counts: Vec<_> = counts.map(|c| totals[c].as_u64().unwrap()).into();
    assert_eq!(counts, [15, 7, 6, 1, 1, 4, 4, 5, 0]);
    assert_eq!(totals["billed"], "0.165885");
    assert_eq!(
        (&totals["by_provider"]["bfl"]["billed"], &totals["by_provider"]["openai"]["billed"]),
        (&json!("0.16"), &json!("0.005885"))
    );
    let entries = ledger["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 15);
    let first = &entries[0];
    assert_eq!(
        (&first["n"], &first["phase"], &first["outcome"], &first["billed"], &first["status"]),
        (&json!(1), &json!("submit"), &json!("accepted"), &json!("0.04"), &json!(200))
    );
    assert_eq!(
        (&first["prompt"], &first["seed"], &first["model"], &first["method"]),
        (&json!("a cat"), &json!(0), &json!("flux-pro-1.1"), &json!("POST"))
    );
    assert_eq!((&first["headers"]["x-key"], &first["body"]["prompt"]), (&json!("***"), &json!("a cat")));
    assert!(first["at_us"].as_u64().unwrap() <= first["done_us"].as_u64().unwrap());
    assert_eq!(
        (&entries[1]["phase"], &entries[1]["remote_id"], &entries[1]["prompt"]),
        (&json!("poll"), &first["remote_id"], &json!("a cat"))
    );
    assert_eq!((&entries[2]["phase"], &entries[2]["outcome"]), (&json!("picture"), &json!("delivered")));
    assert!(entries[2]["path"].as_str().unwrap().contains("sig=***"));
    assert!(!ledger.to_string().contains("test-key"));
    assert_eq!(&admin(&sim, "GET", "ledger/totals", Value::Null).await.json(), totals);
}

#[tokio::test]
async fn entries_can_be_filtered_while_totals_stay_whole() {
    let sim = start(json!({})).await;
    let url = submitted(&sim, json!({"prompt": "a"})).await;
    settle(&sim, &url).await;
    openai(&sim, json!({"model": "gpt-image-2", "prompt": "a"})).await;
    for (query, numbers) in [
        ("", vec![1, 2, 3]),
        ("?provider=bfl", vec![1, 2]),
        ("?phase=submit", vec![1, 3]),
        ("?provider=bfl&phase=poll", vec![2]),
        ("?since=2", vec![3]),
        ("?since=99", vec![]),
    ] {
        let ledger = admin(&sim, "GET", &format!("ledger{query}"), Value::Null).await.json();
        let seen: Vec<_> =
            ledger["entries"].as_array().unwrap().iter().map(|e| e["n"].as_i64().unwrap()).collect();
        assert_eq!((seen, &ledger["totals"]["requests"]), (numbers, &json!(3)), "{query}");
    }
    assert_eq!(admin(&sim, "GET", "ledger?phase=x", Value::Null).await.status, 400);
}

#[tokio::test]
async fn a_long_ledger_is_sent_whole_and_a_limited_one_keeps_its_sums() {
    let sim = start(json!({"ledger_limit": 1200})).await;
    for _ in 0..1300 {
        get(&sim, "/bfl/v1/credits").await;
    }
    let ledger = admin(&sim, "GET", "ledger", Value::Null).await.json();
    assert_eq!(
        (ledger["entries"].as_array().unwrap().len(), &ledger["totals"]["requests"]),
        (1200, &json!(1300))
    );
    assert_eq!((&ledger["entries"][0]["n"], &ledger["entries"][1199]["n"]), (&json!(101), &json!(1300)));
}

#[tokio::test]
async fn a_reset_forgets_everything_but_the_configuration() {
    let sim = start(json!({"seed": 5})).await;
    fault(&sim, json!("state_key"));
    let url = submitted(&sim, json!({"prompt": "a"})).await;
    assert_eq!(admin(&sim, "POST", "reset", Value::Null).await.status, 200);
    assert_eq!(sim.totals().all.requests, 0);
    assert_eq!(get(&sim, &url).await.json()["status"], "Task not found");
    assert_eq!(admin(&sim, "GET", "config", Value::Null).await.json()["seed"], 5);
    assert_eq!(admin(&sim, "PUT", "config", json!({"nonsense": 1})).await.status, 400);
    assert_eq!(admin(&sim, "GET", "health", Value::Null).await.json()["status"], "ok");
    assert_eq!(admin(&sim, "GET", "nothing", Value::Null).await.status, 404);
}

#[tokio::test]
async fn the_same_prompt_and_seed_give_the_same_picture_in_another_simulator() {
    let mut files = Vec::new();
    for seed in [7, 7, 8] {
        let sim = start(json!({})).await;
        let url = submitted(&sim, json!({"prompt": "a cat", "seed": seed})).await;
        let sample = settle(&sim, &url).await["result"]["sample"].as_str().unwrap().to_owned();
        files.push(get(&sim, &sample).await.bytes);
    }
    assert!(files[0] == files[1] && files[0] != files[2]);
}
