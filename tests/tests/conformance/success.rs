//! Every task of every provider gives its image.

use image_gen_tests::Session;
use image_gen_tests::picture::{facts, sha256};
use serde_json::Value;

use crate::calls::{EXTENDED, Pictures, SEED, SIZE, asked};
use crate::matrix::{Offer, Round, Wrong, money, offers, stage};

#[test]
fn every_task_of_every_provider_gives_its_picture() {
    // S82 to S88 at every provider of S92 to S98; prompt-less calls are the second round.
    let stage = stage();
    let (offers, pictures, mut alice) = (offers(&stage), Pictures::default(), stage.alice());
    // S89: ten providers, which all draw; S138: two of them do not enlarge.
    let kinds = |task: &str| -> Vec<&str> {
        offers.iter().filter(|o| o.task == task).map(|o| o.kind.as_str()).collect()
    };
    assert_eq!(kinds("generate").len(), 10);
    assert!(!kinds("upscale").iter().any(|k| ["openai", "openrouter"].contains(k)));
    let mut wrong = Wrong::default();
    for (name, prompt) in [("said", "a teapot"), ("unsaid", "")] {
        let round = Round::new(&stage, name, &offers);
        let all = round.run(&mut alice, |offer, target| pictures.call(offer, target, prompt));
        for (offer, stored) in round.offers().iter().zip(&all) {
            let Some(stored) = wrong.call(offer, stored) else { continue };
            let submits = round.submits(offer);
            check_delivery(&mut wrong, &mut alice, &round, offer, stored);
            check_size(&mut wrong, offer, stored);
            check_seed(&mut wrong, &mut alice, offer, stored, &submits);
            check_inputs(&mut wrong, offer, &pictures, &submits);
            if prompt.is_empty() {
                let codes: Vec<&Value> = stored["attempts"][0]["warnings"]
                    .as_array()
                    .map(|w| w.iter().map(|w| &w["code"]).collect())
                    .unwrap_or_default();
                let quiet = offer.task == "character" || !codes.iter().any(|c| *c == "unsupported");
                wrong.unless(offer, quiet, || format!("warns of what nobody asked for: {codes:?}"));
            }
        }
    }
    wrong.report();
    stage.check_money();
}

#[test]
fn a_picture_is_enlarged_by_exactly_the_factor_asked_for() {
    // S86
    let stage = stage();
    let (pictures, mut alice) = (Pictures::default(), stage.alice());
    let mut seen = vec![];
    for scale in [2, 4] {
        let can = |offer: &Offer| offer.task == "upscale" && offer.scales().contains(&scale);
        let offers: Vec<Offer> = offers(&stage).into_iter().filter(can).collect();
        let round = Round::new(&stage, &format!("x{scale}"), &offers);
        let all = round.run(&mut alice, |offer, target| pictures.call_scaled(offer, target, "", scale));
        for (offer, stored) in round.offers().iter().zip(&all) {
            let asset = &stored.as_ref().expect("nothing turned down")["assets"][0];
            seen.push((offer.kind.clone(), scale, asset["width"].as_i64(), asset["height"].as_i64()));
        }
    }
    let (width, height) = (i64::from(SIZE.0), i64::from(SIZE.1));
    for (kind, scale, wide, high) in &seen {
        assert_eq!((*wide, *high), (Some(width * scale), Some(height * scale)), "{kind} by {scale}");
    }
    let by = |factor| seen.iter().filter(|s| s.1 == factor).map(|s| s.0.as_str()).collect::<Vec<_>>();
    assert_eq!(by(2), ["a1111", "comfyui", "fal", "ideogram", "replicate"]);
    assert_eq!(by(4), ["a1111", "comfyui", "fal", "replicate", "stability"]);
}

#[test]
fn what_is_booked_is_what_was_billed() {
    // Promise 3: as the provider reports it, else as the price table says, else unknown.
    let stage = stage();
    let (offers, pictures, mut alice) = (offers(&stage), Pictures::default(), stage.alice());
    let mut wrong = Wrong::default();
    let round = Round::new(&stage, "money", &offers);
    let all = round.run(&mut alice, |offer, target| pictures.call(offer, target, "a teapot"));
    for (offer, stored) in round.offers().iter().zip(&all) {
        let Some(stored) = wrong.call(offer, stored) else { continue };
        let (job, submits) = (&stored["job"], round.submits(offer));
        let billed: i64 = submits.iter().filter_map(|e| money(&e["billed"])).sum();
        let (booked, source) = (money(&job["billed_cost"]), job["cost_source"].as_str().unwrap_or("none"));
        let right = if source == "unknown" { !offer.is_priced() } else { booked == Some(billed) };
        wrong.unless(offer, right, || format!("booked {booked:?} ({source}), billed {billed}, in 1e-8 USD"));
    }
    stage.check_money();
    wrong.report();
}

fn check_delivery(wrong: &mut Wrong, alice: &mut Session, round: &Round, offer: &Offer, stored: &Value) {
    let (job, asset, attempt) = (&stored["job"], &stored["assets"][0], &stored["attempts"][0]);
    wrong.unless(offer, job["status"] == "succeeded", || {
        format!("{}: {} {}", job["status"], job["error_code"], job["error_message"])
    });
    let count = |name: &str| stored[name].as_array().map_or(0, Vec::len);
    let once = (count("attempts"), count("assets"), round.submits(offer).len()) == (1, 1, 1);
    wrong.unless(offer, once, || {
        format!(
            "{} attempts, {} assets, {} submits",
            count("attempts"),
            count("assets"),
            round.submits(offer).len()
        )
    });
    let (provider, model) = (attempt["provider"].as_str(), attempt["model"].as_str());
    let made_by = format!("{}:{}", provider.unwrap_or_default(), model.unwrap_or_default());
    wrong.unless(offer, made_by == round.target(offer), || format!("made by {made_by}"));
    let Some(id) = asset["id"].as_i64() else { return };
    let bytes: Option<Vec<u8>> = alice.query_one("SELECT image_gen.asset_bytes($1)", &[&id]).unwrap().get(0);
    let bytes = bytes.unwrap_or_default();
    let (width, height, content_type) = facts(&bytes).unwrap_or_default();
    let really = serde_json::json!([width, height, content_type, bytes.len(), sha256(&bytes)]);
    let says = serde_json::json!([
        asset["width"],
        asset["height"],
        asset["content_type"],
        asset["byte_size"],
        asset["sha256"]
    ]);
    wrong.unless(offer, really == says, || format!("the image is {really}, its row says {says}"));
    let said = asset["prompt"].as_str().is_some_and(|p| !p.is_empty());
    wrong.unless(offer, said, || "the asset has no prompt".into());
}

/// The size fits the call and the catalogue.
fn check_size(wrong: &mut Wrong, offer: &Offer, stored: &Value) {
    let side = |name: &str| stored["assets"][0][name].as_u64().unwrap_or(0);
    let (width, height) = (side("width"), side("height"));
    let (source, extended) =
        ((u64::from(SIZE.0), u64::from(SIZE.1)), (u64::from(EXTENDED.0), u64::from(EXTENDED.1)));
    let rule = &offer.row["sizes"];
    let task = offer.task.as_str();
    let exact = match task {
        "outpaint" => Some(extended),
        "upscale" => {
            let scale = offer.scales().last().copied().unwrap_or(0) as u64;
            Some((source.0 * scale, source.1 * scale))
        }
        _ if rule == "source" => Some(source),
        _ => None,
    };
    if let Some(exact) = exact {
        wrong.unless(offer, (width, height) == exact, || format!("{width}x{height}, not {exact:?}"));
        return;
    }
    let from_source = !matches!(task, "generate" | "character" | "reference_images");
    if from_source && (width, height) == source {
        return;
    }
    wrong.unless(offer, is_allowed(rule, width, height), || format!("{width}x{height} is none of {rule}"));
    let wanted = if from_source { source } else { asked(offer) };
    let off = ratio(width, height) / ratio(wanted.0, wanted.1);
    wrong.unless(offer, (0.9..1.1).contains(&off), || {
        format!("{width}x{height} is not in the ratio of {wanted:?}")
    });
}

fn ratio(width: u64, height: u64) -> f64 {
    width as f64 / height.max(1) as f64
}

/// Whether a rule of the catalogue knows this size.
fn is_allowed(rule: &Value, width: u64, height: u64) -> bool {
    if let Some(all) = rule["fixed"].as_array() {
        return all.iter().any(|s| *s == serde_json::json!([width, height]));
    }
    if let Some(all) = rule["ratios"]["ratios"].as_array() {
        let listed = |text: &str| {
            let (w, h) = text.split_once(':').unwrap();
            ratio(w.parse().unwrap(), h.parse().unwrap())
        };
        let near = |r: &Value| (0.92..1.08).contains(&(ratio(width, height) / listed(r.as_str().unwrap())));
        let pixels = (width * height) as f64 / rule["ratios"]["pixels"].as_f64().unwrap();
        return all.iter().any(near) && (0.7..1.4).contains(&pixels);
    }
    let free = &rule["free"];
    let number = |name: &str, or: u64| free[name].as_u64().unwrap_or(or);
    let fits = |side: u64| {
        (number("min", 1)..=number("max", 0)).contains(&side) && side.is_multiple_of(number("step", 1))
    };
    let pixels = number("min_pixels", 0)..=number("max_pixels", u64::MAX);
    fits(width) && fits(height) && pixels.contains(&(width * height))
}

/// The seed is the one asked for wherever the model has one, and a warning says where it has none.
fn check_seed(wrong: &mut Wrong, alice: &mut Session, offer: &Offer, stored: &Value, submits: &[Value]) {
    let (attempt, asset) = (&stored["attempts"][0], &stored["assets"][0]);
    let asked = match offer.task.as_str() {
        "variate" => alice.number(&format!("SELECT image_gen.derive_seed({SEED}, 'variation 1')")),
        _ => SEED,
    };
    wrong.unless(offer, stored["job"]["seed"] == asked, || {
        format!("the job's seed is {}", stored["job"]["seed"])
    });
    let honored = attempt["seed_honored"] == true;
    wrong.unless(offer, honored == offer.takes("seed"), || format!("seed_honored is {honored}"));
    let drawn = submits.first().map(|e| e["seed"].clone()).unwrap_or_default();
    if honored {
        let right = drawn == asked && asset["seed"] == asked;
        wrong.unless(offer, right, || {
            format!("asked for seed {asked}, drawn {drawn}, stored {}", asset["seed"])
        });
    } else {
        let warned = attempt["warnings"].to_string().contains("seed_ignored");
        wrong.unless(offer, warned && drawn != asked, || {
            format!("drawn with seed {drawn}: {}", attempt["warnings"])
        });
        wrong.unless(offer, asset["seed"].is_i64(), || "the asset has no seed".into());
    }
}

/// The images arrived, byte for byte where nobody has to change them.
fn check_inputs(wrong: &mut Wrong, offer: &Offer, pictures: &Pictures, submits: &[Value]) {
    let arrived = submits.first().and_then(|e| e["inputs"].as_array()).cloned().unwrap_or_default();
    let given = pictures.of(&offer.task);
    for (name, png) in &given {
        // A mask is recoloured; masks.rs looks at what it marks.
        let same =
            |i: &Value| if *name == "mask" { i["marks"].is_object() } else { i["sha256"] == sha256(png) };
        wrong.unless(offer, arrived.iter().any(same), || format!("the {name} did not arrive: {arrived:?}"));
    }
    wrong.unless(offer, arrived.len() == given.len(), || {
        format!("{} images arrived: {arrived:?}", arrived.len())
    });
}
