//! The assets of jobs: their rows, small copies, bytes, and what the store has of them or is to have.

use image_gen_engine::picture::{Blank, Facts};
use image_gen_engine::run::{Picture, Stored};
use pgrx::pg_sys::{
    self, BYTEAARRAYOID, BYTEAOID, INT4ARRAYOID, INT8ARRAYOID, JSONBARRAYOID, TEXTARRAYOID, TEXTOID,
};

use super::columns::{Text, function, json, text};
use crate::settings;
use crate::statement::{Statement, argument};

/// Writes the assets of jobs, and the bytes that are kept.
pub fn deliver(jobs: Vec<(&str, &[Picture])>) {
    static TYPES: [pg_sys::Oid; 14] = [
        TEXTARRAYOID,
        INT4ARRAYOID,
        TEXTARRAYOID,
        INT8ARRAYOID,
        INT8ARRAYOID,
        INT4ARRAYOID,
        INT4ARRAYOID,
        TEXTARRAYOID,
        INT8ARRAYOID,
        TEXTARRAYOID,
        INT8ARRAYOID,
        TEXTARRAYOID,
        JSONBARRAYOID,
        TEXTARRAYOID,
    ];
    thread_local! {
        static DELIVER: Statement = function("insert_assets", &TYPES);
        static COPY: Statement = function("queue_copies", &[TEXTARRAYOID, INT4ARRAYOID]);
        static UPLOADED: Statement = function(
            "record_uploads",
            &[TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID],
        );
        static KEEP: Statement = function("store_blob", &[TEXTOID, TEXTOID, BYTEAOID]);
    }
    let pictures: Vec<(&str, &Picture)> =
        jobs.into_iter().flat_map(|(job, pictures)| pictures.iter().map(move |p| (job, p))).collect();
    if pictures.is_empty() {
        return;
    }
    let facts = || pictures.iter().map(|(_, picture)| picture.facts.as_ref());
    let arguments = [
        argument(pictures.iter().map(|(job, _)| Text(job)).collect::<Vec<_>>()),
        argument(pictures.iter().map(|(_, picture)| picture.position as i32).collect::<Vec<_>>()),
        argument(pictures.iter().map(|(_, picture)| text(&picture.url)).collect::<Vec<_>>()),
        argument(
            pictures
                .iter()
                .map(|(_, picture)| picture.lifetime.map(|l| l.as_secs() as i64))
                .collect::<Vec<_>>(),
        ),
        argument(pictures.iter().map(|(_, picture)| picture.seed).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.width).map(|w| w as i32)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.height).map(|h| h as i32)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.map(|f| Text(&f.content_type))).collect::<Vec<_>>()),
        argument(facts().map(|f| f.map(|f| f.byte_size as i64)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.map(|f| Text(&f.sha256))).collect::<Vec<_>>()),
        // The 64 bits as they are.
        argument(facts().map(|f| f.and_then(|f| f.perceptual_hash).map(|h| h as i64)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.blank).map(Blank::as_str)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| f.marks.credentials.as_ref()).map(json)).collect::<Vec<_>>()),
        argument(facts().map(|f| f.and_then(|f| text(&f.marks.digital_source_type))).collect::<Vec<_>>()),
    ];
    DELIVER.with(|deliver| deliver.run(&arguments, |_| ()));
    keep_thumbnails(&pictures);
    let stored: Vec<(&str, u32, &Stored)> = pictures
        .iter()
        .filter_map(|(job, picture)| Some((*job, picture.position, picture.stored.as_ref()?)))
        .collect();
    if !stored.is_empty() {
        let column = |of: fn(&Stored) -> &str| {
            argument(stored.iter().map(|(_, _, stored)| Text(of(stored))).collect::<Vec<_>>())
        };
        let arguments = [
            argument(stored.iter().map(|(job, ..)| Text(job)).collect::<Vec<_>>()),
            argument(stored.iter().map(|(_, position, _)| *position as i32).collect::<Vec<_>>()),
            column(|stored| &stored.identity),
            column(|stored| &stored.address),
            column(|stored| &stored.name),
            column(|stored| &stored.url),
        ];
        UPLOADED.with(|uploaded| uploaded.run(&arguments, |_| ()));
    }
    let rest = || pictures.iter().filter(|(_, picture)| picture.stored.is_none());
    if rest().next().is_some() && !settings::text(&settings::ASSET_STORE).is_empty() {
        let arguments = [
            argument(rest().map(|(job, _)| Text(job)).collect::<Vec<_>>()),
            argument(rest().map(|(_, picture)| picture.position as i32).collect::<Vec<_>>()),
        ];
        COPY.with(|copy| copy.run(&arguments, |_| ()));
    }
    for (_, picture) in &pictures {
        if let (Some(facts), Some(bytes)) = (&picture.facts, &picture.bytes) {
            let arguments = [
                argument(Text(&facts.sha256)),
                argument(Text(&facts.content_type)),
                argument(bytes.as_slice()),
            ];
            KEEP.with(|keep| keep.run(&arguments, |_| ()));
        }
    }
}

/// Writes the small copies of images.
fn keep_thumbnails(pictures: &[(&str, &Picture)]) {
    thread_local! {
        static KEEP: Statement = function("store_thumbnails", &[TEXTARRAYOID, TEXTARRAYOID, BYTEAARRAYOID]);
    }
    let kept: Vec<(&Facts, &[u8])> = pictures
        .iter()
        .filter_map(|(_, picture)| Some((picture.facts.as_ref()?, picture.thumbnail.as_deref()?)))
        .collect();
    if kept.is_empty() {
        return;
    }
    // An image that is small is its own small copy.
    let media_type =
        |facts: &Facts| if facts.is_small() { facts.content_type.clone() } else { "image/jpeg".to_owned() };
    let arguments = [
        argument(kept.iter().map(|(facts, _)| facts.sha256.clone()).collect::<Vec<_>>()),
        argument(kept.iter().map(|(facts, _)| media_type(facts)).collect::<Vec<_>>()),
        argument(kept.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>()),
    ];
    KEEP.with(|keep| keep.run(&arguments, |_| ()));
}
