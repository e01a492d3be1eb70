//! What the shipped catalogue charges, held against what the vendors publish: to the digit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_engine::catalogue::{Model, shipped};
use image_gen_engine::cost::{USD, Unit, Usage, price};
use image_gen_engine::http::Body;
use image_gen_engine::job::{Request, Task};
use image_gen_engine::provider::Submission;
use image_gen_engine::route::fits;
use rust_decimal::Decimal;
use serde_json::{Value, json};

const MP: u64 = 1024 * 1024;

/// The price of some work at a model of the catalogue; "unknown" where it does not say.
fn priced(kind: &str, model: &str, work: Value) -> String {
    let candidate = shipped().candidate(kind, model).unwrap_or_else(|| panic!("no {model} at {kind}"));
    let usage: Usage = serde_json::from_value(work).unwrap();
    match price(&candidate.prices, &usage) {
        Some(money) => {
            assert_eq!(money.currency, USD, "{kind}:{model}");
            money.amount.normalize().to_string()
        }
        None => "unknown".into(),
    }
}

/// One row of a vendor's list: provider, model, work, amount in USD.
type Row = (&'static str, &'static str, Value, &'static str);

fn check(rows: &[Row]) {
    for (kind, model, work, amount) in rows {
        assert_eq!(priced(kind, model, work.clone()), *amount, "{kind}:{model} {work}");
    }
}

fn images(n: u32) -> Value {
    json!({"images": n})
}

fn of_quality(quality: &str) -> Value {
    json!({"images": 1, "quality": quality})
}

/// One image of so many pixels, from images of so many.
fn pixels(out: u64, inputs: &[u64]) -> Value {
    json!({"images": 1, "pixels": out, "inputs": inputs})
}

/// Of what was read, so much came from the provider's cache.
fn with_cached(mut work: Value, text: u64, image: u64) -> Value {
    work["tokens"]["text_cached"] = json!(text);
    work["tokens"]["image_cached"] = json!(image);
    work
}

fn seconds(seconds: f64) -> Value {
    json!({"images": 1, "seconds": seconds})
}

fn tokens(text_in: u64, image_in: u64, image_out: u64, text_out: u64) -> Value {
    let counts =
        json!({"text_in": text_in, "image_in": image_in, "image_out": image_out, "text_out": text_out});
    json!({"images": 1, "quality": "1K", "tokens": counts})
}

#[test]
fn pictures_have_the_prices_that_are_published_for_one() {
    // P3, S10: four renders of FLUX 1.1 pro cost 0.16.
    check(&[
        ("bfl", "flux-1.1-pro", images(4), "0.16"),
        ("bfl", "flux-1.1-pro", pixels(1440 * 1440, &[4 * MP]), "0.04"),
        ("bfl", "flux-1.1-pro-ultra", images(1), "0.06"),
        ("bfl", "flux-dev", images(1), "0.025"),
        ("bfl", "flux-kontext-pro", images(1), "0.04"),
        ("bfl", "flux-kontext-max", images(1), "0.08"),
        ("bfl", "flux-fill-pro", images(1), "0.05"),
        ("bfl", "flux-1-expand-pro", images(1), "0.05"),
        ("fal", "flux-1.1-pro-ultra", images(2), "0.12"),
        ("fal", "flux-kontext-pro", images(1), "0.04"),
        ("fal", "flux-kontext-max", images(1), "0.08"),
        ("fal", "ideogram-v2", images(1), "0.08"),
        ("fal", "ideogram-v3-turbo", images(1), "0.03"),
        ("fal", "ideogram-v3-balanced", images(1), "0.06"),
        ("fal", "ideogram-v3-quality", images(1), "0.09"),
        ("fal", "nano-banana-2", images(1), "0.08"),
        ("fal", "nano-banana-pro", images(1), "0.15"),
        ("replicate", "flux-1.1-pro", images(4), "0.16"),
        ("replicate", "flux-dev", images(1), "0.025"),
        ("replicate", "flux-schnell", images(4), "0.012"),
        ("replicate", "flux-kontext-pro", images(1), "0.04"),
        ("replicate", "flux-kontext-max", images(1), "0.08"),
        ("replicate", "flux-fill-pro", images(1), "0.05"),
        ("replicate", "flux-fill-dev", images(1), "0.04"),
        ("replicate", "flux-redux-dev", images(1), "0.025"),
        ("replicate", "ideogram-v2", images(1), "0.08"),
        ("replicate", "ideogram-v2-turbo", images(1), "0.05"),
        ("replicate", "ideogram-v3-turbo", images(1), "0.03"),
        ("replicate", "ideogram-v3-balanced", images(1), "0.06"),
        ("replicate", "ideogram-v3-quality", images(1), "0.09"),
        ("ideogram", "ideogram-v2", images(1), "0.08"),
        ("ideogram", "ideogram-v2-turbo", images(1), "0.05"),
        ("ideogram", "ideogram-v2a", images(1), "0.04"),
        ("ideogram", "ideogram-v2a-turbo", images(1), "0.025"),
        ("ideogram", "ideogram-v1", images(1), "0.06"),
        ("ideogram", "ideogram-v1-turbo", images(1), "0.02"),
    ]);
}

#[test]
fn stability_charges_a_flat_number_of_credits_of_a_cent() {
    for (model, credits) in [
        ("stable-image-core", "3"),
        ("stable-image-ultra", "8"),
        ("sd3.5-large", "6.5"),
        ("sd3.5-large-turbo", "4"),
        ("sd3.5-medium", "3.5"),
        ("sd3.5-flash", "2.5"),
        ("stability-inpaint", "5"),
        ("stability-erase", "5"),
        ("stability-outpaint", "4"),
        ("stability-search-replace", "5"),
        ("stability-search-recolor", "5"),
        ("stability-structure", "5"),
        ("stability-sketch", "5"),
        ("stability-style-guide", "5"),
        ("stability-style-transfer", "8"),
        ("stability-upscale-fast", "2"),
        ("stability-upscale-conservative", "40"),
        ("stability-upscale-creative", "60"),
    ] {
        let dollars = credits.parse::<Decimal>().unwrap() * Decimal::new(1, 2);
        let flat = dollars.normalize().to_string();
        for work in [images(1), pixels(64 * 64, &[]), pixels(9 * MP, &[MP, MP])] {
            assert_eq!(priced("stability", model, work), flat, "{model}");
        }
    }
}

#[test]
fn a_first_megapixel_and_further_ones_in_and_out_are_rounded_up() {
    let none: &[u64] = &[];
    check(&[
        ("bfl", "flux-2-pro", pixels(1, none), "0.03"),
        ("bfl", "flux-2-pro", pixels(1024 * 1024, none), "0.03"),
        ("bfl", "flux-2-pro", pixels(1025 * 1024, none), "0.045"),
        ("bfl", "flux-2-pro", pixels(2048 * 2048, none), "0.075"),
        ("bfl", "flux-2-pro", pixels(1024 * 1024, &[1024 * 1024]), "0.045"),
        ("bfl", "flux-2-pro", pixels(1024 * 1024, &[1025 * 1024]), "0.06"),
        ("bfl", "flux-2-pro", pixels(1025 * 1024, &[1, MP]), "0.075"),
        ("bfl", "flux-2-max", pixels(MP, none), "0.07"),
        ("bfl", "flux-2-max", pixels(4 * MP, &[MP]), "0.19"),
        ("bfl", "flux-2-flex", pixels(MP, none), "0.05"),
        ("bfl", "flux-2-flex", pixels(2 * MP, &[MP]), "0.15"),
        ("bfl", "flux-2-klein-4b", pixels(MP, none), "0.014"),
        ("bfl", "flux-2-klein-4b", pixels(2 * MP, &[MP]), "0.016"),
        ("bfl", "flux-2-klein-9b", pixels(MP, none), "0.015"),
        ("bfl", "flux-2-klein-9b", pixels(2 * MP, &[MP]), "0.019"),
        ("fal", "flux-2-pro", pixels(1920 * 1080, none), "0.045"),
        ("fal", "flux-2-pro-outpaint", pixels(MP, &[MP]), "0.045"),
        ("openrouter", "flux-2-pro", pixels(MP, &[MP]), "0.045"),
        ("openrouter", "flux-2-klein-4b", pixels(2 * MP, none), "0.015"),
        ("replicate", "flux-2-pro", pixels(2 * MP, none), "0.045"),
        ("replicate", "flux-2-flex", pixels(2 * MP, none), "0.1"),
        // Without the size it is unknown.
        ("bfl", "flux-2-pro", images(1), "unknown"),
    ]);
}

#[test]
fn begun_megapixels_and_begun_seconds_count_in_full() {
    check(&[
        ("fal", "flux-dev", pixels(MP, &[]), "0.025"),
        ("fal", "flux-dev", pixels(512 * 512, &[]), "0.025"),
        ("fal", "flux-dev", pixels(MP + 1, &[]), "0.05"),
        ("fal", "flux-dev", json!({"images": 4, "pixels": MP}), "0.1"),
        ("fal", "flux-schnell", pixels(MP, &[]), "0.003"),
        ("fal", "flux-1.1-pro", json!({"images": 4, "pixels": MP}), "0.16"),
        ("fal", "flux-fill-pro", pixels(2 * MP, &[]), "0.1"),
        ("fal", "flux-redux-dev", pixels(MP, &[]), "0.025"),
        ("fal", "flux-dev-img2img", pixels(MP, &[MP]), "0.03"),
        ("fal", "hidream-i1-full", pixels(MP, &[]), "0.05"),
        ("fal", "hidream-i1-dev", pixels(MP, &[]), "0.03"),
        ("fal", "hidream-i1-fast", pixels(MP, &[]), "0.01"),
        ("fal", "clarity-upscaler", pixels(4 * MP, &[MP]), "0.12"),
        ("fal", "flux-pulid", pixels(MP, &[]), "0.033"),
        ("fal", "instant-character", pixels(MP, &[]), "0.1"),
        ("fal", "real-esrgan", seconds(1.0), "0.0011"),
        ("fal", "real-esrgan", seconds(1.001), "0.0022"),
        ("fal", "aura-sr", seconds(0.2), "0.0011"),
        ("fal", "sdxl-lightning", seconds(3.5), "0.0044"),
        ("fal", "playground-v2.5", seconds(10.0), "0.011"),
        ("fal", "playground-v2.5", images(1), "unknown"),
        // By the second as well, listed by the vendor as what a usual run costs.
        ("replicate", "sdxl-lightning", seconds(9.0), "0.0014"),
        ("replicate", "playground-v2.5", images(1), "0.003"),
        ("replicate", "real-esrgan", images(1), "0.002"),
        ("replicate", "pulid", images(1), "0.02"),
    ]);
}

#[test]
fn counted_tokens_come_before_the_price_of_a_picture() {
    // P30
    for model in ["gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.6-flare", "gpt-image-2.6-sunburst"] {
        check(&[
            ("openai", model, tokens(9, 0, 196, 0), "0.005925"),
            ("openai", model, tokens(50, 0, 1056, 0), "0.03193"),
            ("openai", model, tokens(50, 323, 1756, 0), "0.055514"),
            ("openai", model, tokens(1_000_000, 1_000_000, 1_000_000, 0), "43"),
            (
                "openai",
                model,
                with_cached(tokens(1_000_000, 1_000_000, 1_000_000, 0), 1_000_000, 1_000_000),
                "33.25",
            ),
            ("openai", model, with_cached(tokens(1_000_000, 1_000_000, 1_000_000, 0), 400_000, 0), "41.5"),
            // Nothing is listed for text that it writes.
            ("openai", model, tokens(9, 0, 196, 1), "unknown"),
        ]);
    }
    check(&[
        ("google", "gemini-nano-banana-2.1", tokens(5, 0, 1120, 0), "0.0336075"),
        ("google", "gemini-nano-banana-2.1", tokens(5, 560, 1120, 100), "0.0351975"),
        // No rate is listed for what is cached: the full one.
        ("google", "gemini-nano-banana-2.1", with_cached(tokens(5, 560, 1120, 100), 5, 560), "0.0351975"),
        // No rate is listed for its tokens: the price of an image counts.
        ("google", "gemini-3-pro-image", tokens(5, 0, 1120, 0), "0.134"),
    ]);
}

#[test]
fn a_quality_has_the_price_of_its_own_row() {
    check(&[
        ("openai", "gpt-image-2.5-flare", of_quality("low"), "0.006"),
        ("openai", "gpt-image-2.5-flare", of_quality("medium"), "0.013"),
        ("openai", "gpt-image-2.5-flare", of_quality("high"), "0.053"),
        ("openai", "gpt-image-2.5-flare", of_quality("xhigh"), "0.094"),
        ("openai", "gpt-image-2.5-flare", of_quality("max"), "0.211"),
        ("openai", "gpt-image-2", of_quality("low"), "0.006"),
        ("openai", "gpt-image-2", of_quality("medium"), "0.053"),
        ("openai", "gpt-image-2", of_quality("high"), "0.211"),
        ("openai", "gpt-image-2", of_quality("max"), "unknown"),
        ("google", "gemini-nano-banana-2.1", of_quality("1K"), "0.0336"),
        ("google", "gemini-nano-banana-2.1", of_quality("4K"), "unknown"),
        ("google", "gemini-3-pro-image", of_quality("2K"), "0.134"),
        ("google", "gemini-3-pro-image", of_quality("4K"), "0.24"),
        ("openrouter", "gemini-nano-banana-2.1", of_quality("1K"), "0.0336"),
        ("openrouter", "gemini-3-pro-image", of_quality("4K"), "0.24"),
        ("openrouter", "gpt-image-2", of_quality("high"), "0.211"),
        ("ideogram", "ideogram-4.5", of_quality("low"), "0.03"),
        ("ideogram", "ideogram-4.5", of_quality("medium"), "0.06"),
        ("ideogram", "ideogram-4.5", of_quality("high"), "0.1"),
        ("ideogram", "ideogram-4.5-edit", of_quality("very_low"), "0.008"),
        ("ideogram", "ideogram-4.5-edit", of_quality("high"), "0.22"),
        ("ideogram", "ideogram-4", of_quality("turbo"), "0.03"),
        ("ideogram", "ideogram-4", of_quality("default"), "0.06"),
        ("ideogram", "ideogram-4", of_quality("quality"), "0.1"),
        ("ideogram", "ideogram-3", of_quality("FLASH"), "0.03"),
        ("ideogram", "ideogram-3", of_quality("TURBO"), "0.03"),
        ("ideogram", "ideogram-3", of_quality("DEFAULT"), "0.06"),
        ("ideogram", "ideogram-3", of_quality("QUALITY"), "0.09"),
        ("ideogram", "ideogram-3-character", of_quality("TURBO"), "0.1"),
        ("ideogram", "ideogram-3-character", of_quality("DEFAULT"), "0.15"),
        ("ideogram", "ideogram-3-character", of_quality("QUALITY"), "0.2"),
    ]);
}

#[test]
fn ones_own_machine_costs_nothing_and_says_so() {
    for model in &shipped().model {
        if !matches!(model.kind.as_str(), "a1111" | "comfyui" | "preview") || model.successor.is_some() {
            continue;
        }
        // A known zero: not "unknown", which a budget cannot let pass.
        assert_eq!(priced(&model.kind, &model.name, images(3)), "0", "{}:{}", model.kind, model.name);
        let own = |source: &str| source.contains("own machine") || source.contains("extension itself");
        assert!(model.prices.iter().all(|p| own(&p.source)), "{}:{}", model.kind, model.name);
    }
}

#[test]
fn no_paid_model_is_free_and_every_price_has_a_source_with_its_year() {
    let local = |m: &&Model| !matches!(m.kind.as_str(), "a1111" | "comfyui" | "preview");
    for model in shipped().model.iter().filter(local) {
        for price in &model.prices {
            assert!(price.amount > Decimal::ZERO, "{}:{}", model.kind, model.name);
            assert!(price.source.contains("202"), "{}:{}: {}", model.kind, model.name, price.source);
        }
        let units: Vec<Unit> = model.prices.iter().map(|p| p.unit).collect();
        let first = units.contains(&Unit::FirstMegapixel);
        assert_eq!(first, units.contains(&Unit::FurtherMegapixel), "{}:{}", model.kind, model.name);
        assert_eq!(
            units.contains(&Unit::TextInMtok),
            units.contains(&Unit::ImageOutMtok),
            "{}:{}",
            model.kind,
            model.name
        );
    }
}

/// What a request for an image of this quality is expected to cost, and the quality that is sent.
fn estimate(kind: &str, model: &str, quality: &str) -> (Option<String>, Value) {
    let candidate = shipped().candidate(kind, model).unwrap();
    let request: Request =
        serde_json::from_value(json!({"prompt": "a cat", "seed": 7, "quality": quality})).unwrap();
    let (prepared, cost) = fits(&candidate, Task::Generate, &request, None).unwrap();
    let Submission::Http(http) = prepared.submission else { panic!("{kind}:{model} is drawn here") };
    let sent = match http.body {
        Body::Json(body) => body["quality"].clone(),
        _ => Value::Null,
    };
    (cost.map(|c| c.normalize().to_string()), sent)
}

#[test]
fn hd_is_the_high_quality_of_what_followed_dall_e_and_costs_what_that_costs() {
    // S120
    let old = shipped().model.iter().find(|m| m.kind == "openai" && m.name == "dall-e-3").unwrap();
    let successor = old.successor.as_deref().unwrap();
    assert_eq!(estimate("openai", successor, "standard"), (Some("0.013".into()), json!("medium")));
    assert_eq!(estimate("openai", successor, "hd"), (Some("0.053".into()), json!("high")));
    assert_eq!(estimate("openai", "gpt-image-2", "standard"), (Some("0.053".into()), json!("medium")));
    assert_eq!(estimate("openai", "gpt-image-2", "hd"), (Some("0.211".into()), json!("high")));
}

#[test]
fn a_better_quality_is_never_expected_to_be_cheaper() {
    let mut dearer = 0;
    for candidate in shipped().candidates() {
        if !candidate.operations.contains(&Task::Generate)
            || candidate.parameter("quality", Task::Generate).is_none()
        {
            continue;
        }
        let expected = |quality: &str| {
            let request = json!({"prompt": "a cat", "seed": 7, "quality": quality});
            let request: Request = serde_json::from_value(request).unwrap();
            fits(&candidate, Task::Generate, &request, None).ok().and_then(|(_, cost)| cost)
        };
        let steps = ["draft", "standard", "hd"].map(expected);
        for pair in steps.windows(2) {
            if let [Some(less), Some(more)] = pair {
                assert!(less <= more, "{}: {steps:?}", candidate.name());
                dearer += u32::from(less < more);
            }
        }
    }
    assert!(dearer >= 10, "{dearer}");
}

#[test]
fn the_expected_cost_of_four_is_four_times_that_of_one() {
    // S10: where the price is of an image, and the model makes several in a call.
    for candidate in shipped().candidates().filter(|c| c.max_n >= 4) {
        if !candidate.operations.contains(&Task::Generate) {
            continue;
        }
        let expected = |n: u32| {
            let request = json!({"prompt": "a cat", "seed": 7, "n": n});
            let request: Request = serde_json::from_value(request).unwrap();
            fits(&candidate, Task::Generate, &request, None).ok().and_then(|(_, cost)| cost)
        };
        if candidate.prices.iter().any(|p| p.unit == Unit::Second) {
            continue;
        }
        assert_eq!(expected(4), expected(1).map(|one| one * Decimal::from(4)), "{}", candidate.name());
    }
}
