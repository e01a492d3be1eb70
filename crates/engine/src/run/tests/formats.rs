//! What comes is not always what was asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const AVIF: &[u8] = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf";
const SVG: &[u8] =
    b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"8\" height=\"8\"/>";

fn drawn(format: image::ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(32, 24, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, 99]))
        .write_to(&mut file, format)
        .unwrap();
    file.into_inner()
}

fn gif_of_two_frames() -> Vec<u8> {
    let mut file = std::io::Cursor::new(vec![]);
    let frame = |red| {
        image::Frame::new(image::RgbaImage::from_fn(8, 8, |x, y| image::Rgba([red, x as u8, y as u8, 255])))
    };
    image::codecs::gif::GifEncoder::new(&mut file).encode_frames([frame(9), frame(200)]).unwrap();
    file.into_inner()
}

/// A job at an adapter that asks for PNG.
fn asks_for_png(kind: &str, terms: Terms) -> Run {
    let mut candidate = candidate(kind);
    candidate.remote_name = "gpt-image-2.6-flare".into();
    let parameters = Arc::make_mut(&mut candidate.parameters);
    parameters.insert("options".into(), serde_json::from_value(json!(["output_format"])).unwrap());
    let mut job = job();
    job.request.options.insert("output_format".into(), json!("png"));
    Run::new(job, plan_of(candidate), 0).unwrap().on_terms(terms)
}

/// What was delivered of these bytes: its type and width, and what is said of it.
fn delivered(kind: &str, came: &[u8], terms: Terms) -> Option<(String, Option<u32>, Vec<String>)> {
    let answers = match kind {
        "openai" => {
            vec![json_answer(200, json!({"created": 1, "data": [{"b64_json": STANDARD.encode(came)}]}))]
        }
        _ => [vec![accepted(), ready()], vec![bytes(came.to_vec()); 4]].concat(),
    };
    let mut world = World::of(asks_for_png(kind, terms), answers);
    world.go();
    let warnings = world.transitions.iter().find_map(|entry| match entry {
        Transition::End { status: AttemptStatus::Succeeded, warnings, .. } => Some(warnings),
        _ => None,
    })?;
    let said = warnings.iter().filter(|w| w.code == "unexpected_format").map(|w| w.message.clone()).collect();
    let Some(Transition::Close { pictures, .. }) = world.transitions.last() else {
        panic!("{:?}", world.log)
    };
    let facts = pictures[0].facts.as_ref()?;
    assert_eq!(
        (facts.byte_size, pictures[0].bytes.as_deref()),
        (came.len() as u64, Some(came)),
        "as they came"
    );
    Some((facts.content_type.clone(), facts.width, said))
}

#[test]
fn an_image_of_another_format_is_delivered_and_that_is_said_inline_and_at_a_url() {
    use image::ImageFormat::{Jpeg, Png, WebP};
    for kind in ["openai", "bfl"] {
        let look = |came: &[u8]| delivered(kind, came, Terms::default()).unwrap();
        assert_eq!(look(&drawn(Png)), ("image/png".into(), Some(32), vec![]), "{kind}");
        for (format, found) in [(Jpeg, "image/jpeg"), (WebP, "image/webp")] {
            let (content_type, width, said) = look(&drawn(format));
            assert_eq!((content_type.as_str(), width), (found, Some(32)), "{kind}");
            assert_eq!(said, [format!("image 1 is {found}, and image/png was asked for")]);
        }
        let (content_type, width, said) = look(&gif_of_two_frames());
        assert_eq!((content_type.as_str(), width, said.len()), ("image/gif", Some(8), 2), "{kind}: {said:?}");
        assert!(said[1].contains("several frames"), "{said:?}");
        // What cannot be looked at is paid for as well.
        for (came, found) in [(AVIF, "image/avif"), (SVG, "image/svg+xml")] {
            let (content_type, width, said) = look(came);
            assert_eq!((content_type.as_str(), width), (found, None), "{kind}");
            assert!(said.len() == 2 && said[1].contains("cannot be looked at here"), "{said:?}");
        }
        // What is no image is none, whatever was asked for.
        assert_eq!(delivered(kind, b"<html>wait</html>", Terms::default()), None, "{kind}");
        let quiet = Terms { warn_of_formats: false, ..Terms::default() };
        assert_eq!(delivered(kind, &drawn(WebP), quiet), Some(("image/webp".into(), Some(32), vec![])));
    }
}

#[test]
fn the_format_that_a_request_names_is_found_wherever_an_adapter_writes_it() {
    let mut seen = std::collections::BTreeSet::new();
    for mut candidate in crate::catalogue::shipped().candidates() {
        let known = candidate.parameters.get("options").map(|p| p.values.clone()).unwrap_or_default();
        let Some(name) = ["output_format", "format"].into_iter().find(|name| known.contains(&json!(name)))
        else {
            continue;
        };
        // Some ask for a format themselves, where the caller asks for none.
        Arc::make_mut(&mut candidate.fixed).remove(name);
        for (word, content_type) in [("png", "image/png"), ("webp", "image/webp"), ("jpeg", "image/jpeg")] {
            let mut request: Request = serde_json::from_value(json!({"prompt": "a cat", "seed": 7})).unwrap();
            request.options.insert(name.into(), json!(word));
            let (inputs, found) = (Inputs::stand_ins(&request), BTreeMap::new());
            for task in candidate.operations.clone() {
                let call = Call {
                    task,
                    request: &request,
                    candidate: &candidate,
                    inputs: &inputs,
                    found: &found,
                    tag: "gen_1-1",
                };
                let adapter = provider::find(&candidate.kind).unwrap();
                // Some need an image that is not there.
                let Ok(prepared) = adapter.prepare(&call) else { continue };
                assert_eq!(
                    provider::asked_format(&prepared.submission),
                    Some(content_type),
                    "{} {task:?}",
                    candidate.name()
                );
                seen.insert(candidate.kind.clone());
            }
        }
    }
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert!(
        ["bfl", "fal", "openai", "replicate", "stability"].iter().all(|kind| seen.contains(kind)),
        "{seen:?}"
    );
}
