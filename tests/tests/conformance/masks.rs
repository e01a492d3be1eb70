//! A mask marks the same pixels at every provider, whatever colours the provider wants it in.

use image_gen_tests::picture::{Mask, data_uri};
use serde_json::{Value, json};

use crate::calls::{BORDERS, EXTENDED, Pictures, SIZE, borders};
use crate::matrix::{Offer, Round, Wrong, offers, stage};

/// The masks among the images that arrived, and the sizes of all.
fn arrived(round: &Round, offer: &Offer) -> (Vec<Value>, Vec<(u64, u64)>) {
    let submits = round.submits(offer);
    let inputs = submits.first().and_then(|e| e["inputs"].as_array()).cloned().unwrap_or_default();
    let side = |i: &Value, name: &str| i[name].as_u64().unwrap_or(0);
    let sizes = inputs.iter().map(|i| (side(i, "width"), side(i, "height"))).collect();
    (inputs.iter().map(|i| i["marks"].clone()).filter(|m| !m.is_null()).collect(), sizes)
}

fn check_mask(wrong: &mut Wrong, round: &Round, offer: &Offer, mask: &Mask) {
    let (marks, sizes) = arrived(round, offer);
    let expected = json!([{"edited": mask.edited, "sha256": mask.sha256}]);
    wrong.unless(offer, json!(marks) == expected, || format!("marked {marks:?}, not {expected}"));
    let same = sizes.windows(2).all(|pair| pair[0] == pair[1]);
    wrong.unless(offer, same && sizes.len() == 2, || format!("the image and its mask arrived as {sizes:?}"));
}

#[test]
fn what_is_white_is_edited_at_every_provider() {
    // S84: white, black or transparent there, white is edited here.
    let stage = stage();
    let (pictures, mut alice, mut wrong) = (Pictures::default(), stage.alice(), Wrong::default());
    let offers: Vec<Offer> = offers(&stage).into_iter().filter(|o| o.task == "inpaint").collect();
    let round = Round::new(&stage, "masks", &offers);
    let all = round.run(&mut alice, |offer, target| pictures.call(offer, target, "a teapot"));
    for (offer, stored) in offers.iter().zip(&all) {
        let Some(stored) = wrong.call(offer, stored) else { continue };
        check_mask(&mut wrong, &round, offer, &pictures.mask);
        let adjusted = stored["attempts"].to_string().contains("the mask");
        wrong.unless(offer, !adjusted, || format!("warnings: {}", stored["attempts"][0]["warnings"]));
    }
    // A mask of another size is made to fit, and a warning says so.
    let (width, height) = SIZE;
    let half =
        Pictures { mask: Mask::new(width / 2, height / 2, |x, y| x < 30 || y > 80), ..Pictures::default() };
    let fitted = Mask::new(width, height, |x, y| x < 60 || y > 161);
    let round = Round::new(&stage, "halves", &offers);
    let all = round.run(&mut alice, |offer, target| half.call(offer, target, "a teapot"));
    for (offer, stored) in offers.iter().zip(&all) {
        let Some(stored) = wrong.call(offer, stored) else { continue };
        check_mask(&mut wrong, &round, offer, &fitted);
        let warnings = &stored["attempts"][0]["warnings"];
        let told = warnings.to_string().contains("the mask was resized");
        wrong.unless(offer, told, || format!("warnings: {warnings}"));
    }
    wrong.report();
    let kinds: Vec<&str> = offers.iter().map(|o| o.kind.as_str()).collect();
    assert_eq!(kinds, ["a1111", "bfl", "comfyui", "fal", "ideogram", "openai", "replicate", "stability"]);
}

#[test]
fn outpainting_by_padding_marks_exactly_the_new_border() {
    // S85: a model that inpaints can outpaint.
    let stage = stage();
    let (pictures, mut alice, mut wrong) = (Pictures::default(), stage.alice(), Wrong::default());
    let all = offers(&stage);
    let has_own = |o: &Offer| all.iter().any(|x| x.kind == o.kind && x.task == "outpaint");
    let offers: Vec<Offer> = all.iter().filter(|o| o.task == "inpaint" && !has_own(o)).cloned().collect();
    let round = Round::new(&stage, "padded", &offers);
    let results = round.run(&mut alice, |_, target| {
        let image = data_uri(&pictures.image);
        format!("edit(model => '{target}', image => '{image}', prompt => 'a teapot', {})", borders())
    });
    let [top, _, _, left] = BORDERS;
    let inside = |x: u32, y: u32| (left..left + SIZE.0).contains(&x) && (top..top + SIZE.1).contains(&y);
    let border = Mask::new(EXTENDED.0, EXTENDED.1, |x, y| !inside(x, y));
    let extended = (u64::from(EXTENDED.0), u64::from(EXTENDED.1));
    for (offer, stored) in offers.iter().zip(&results) {
        let Some(stored) = wrong.call(offer, stored) else { continue };
        let (job, asset) = (&stored["job"], &stored["assets"][0]);
        wrong.unless(offer, job["status"] == "succeeded" && job["task"] == "outpaint", || job.to_string());
        check_mask(&mut wrong, &round, offer, &border);
        let (_, sizes) = arrived(&round, offer);
        wrong.unless(offer, sizes.first() == Some(&extended), || format!("sent as {sizes:?}"));
        if offer.row["sizes"] == "source" {
            let made = (asset["width"].as_u64(), asset["height"].as_u64());
            wrong.unless(offer, made == (Some(extended.0), Some(extended.1)), || format!("made {made:?}"));
        }
    }
    wrong.report();
    let kinds: Vec<&str> = offers.iter().map(|o| o.kind.as_str()).collect();
    assert_eq!(kinds, ["a1111", "ideogram", "openai", "replicate"]);
}
