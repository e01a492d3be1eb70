//! What a session asks of a store: a signed URL, and the bytes of an object. Keys are read for the moment, and forgotten.

use std::time::Duration;

use image_gen_engine::http::driver::Driver;
use image_gen_engine::input::{MAX_INPUT_BYTES, STORED};
use image_gen_engine::picture;
use image_gen_store::{Address, Store};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::errors::{self, Code};
use crate::keys::Keys;
use crate::{session, settings};

/// How long a session waits for a store.
const LONGEST: Duration = Duration::from_secs(30);

/// What tells a store from others, however it is opened.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
pub fn store_identity(address: &str) -> String {
    Address::parse(address).map_or_else(|why| fail(address, &why), |address| address.identity())
}

/// What the bytes of an image are, and what it is called when it is kept.
#[pg_extern(schema = "image_gen_internal", immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of a row
pub fn inspect_image(
    image: &[u8],
) -> TableIterator<
    'static,
    (
        name!(reference, String),
        name!(sha256, String),
        name!(content_type, String),
        name!(width, Option<i32>),
        name!(height, Option<i32>),
    ),
> {
    if image.len() > MAX_INPUT_BYTES {
        let message = format!("the image has {} bytes, and may have {MAX_INPUT_BYTES} at most", image.len());
        errors::fail(Code::TooLarge, &message, "Store a smaller one: providers take no larger ones.");
    }
    match picture::inspect(image) {
        Ok(facts) => TableIterator::once((
            format!("{STORED}{}", facts.sha256),
            facts.sha256,
            facts.content_type,
            facts.width.map(|w| w as i32),
            facts.height.map(|h| h as i32),
        )),
        Err(flaw) => errors::fail(
            Code::Argument,
            &format!("the image cannot be read: {flaw}"),
            "Give the bytes of a PNG, JPEG, WebP or GIF.",
        ),
    }
}

/// A URL with which anyone can read an object for so many seconds.
#[pg_extern(schema = "image_gen_internal", stable, strict, parallel_restricted)]
pub fn sign_object(address: &str, name: &str, seconds: f64) -> String {
    let (lasts, object) = (Duration::from_secs_f64(seconds.clamp(1.0, 604_800.0)), name.to_owned());
    let signed = with_store(address, move |store| Box::pin(async move { store.sign(&object, lasts).await }));
    signed.unwrap_or_else(|why| fail(address, &why))
}

/// The bytes of an object, which has at most so many.
#[pg_extern(schema = "image_gen_internal", stable, strict, parallel_restricted)]
pub fn read_object(address: &str, name: &str, most: i64) -> Vec<u8> {
    let (most, object) = (u64::try_from(most).unwrap_or(0), name.to_owned());
    let read = with_store(address, move |store| {
        Box::pin(async move {
            let read = tokio::time::timeout(LONGEST, store.read(&object, most)).await;
            read.map_err(|_| format!("no answer within {} s", LONGEST.as_secs()))?
                .map_err(|why| why.message())
        })
    });
    read.unwrap_or_else(|why| fail(address, &why))
}

type Work<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, String>>>>;

fn with_store<T: Send + 'static>(
    address: &str,
    work: impl FnOnce(Store) -> Work<T> + Send + 'static,
) -> Result<T, String> {
    let address = Address::parse(address)?;
    let keys = Keys::load(&settings::text(&settings::SECRETS_FILE)).0;
    let driver = Driver::new(settings::egress())?;
    let store = Store::open(&address, |name| keys.get(name), &driver)?;
    let (shown, redactor) = (address.clone(), driver.redactor());
    let worked = session::aside("image_gen store", move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        runtime.map_err(|why| why.to_string())?.block_on(work(store))
    });
    worked.map_err(|why| {
        let mut why = shown.without_endpoint(&why);
        redactor.clean_excerpt(&mut why);
        why
    })
}

fn fail(address: &str, why: &str) -> ! {
    let place = address.split('?').next().unwrap_or_default();
    ErrorReport::new(PgSqlErrorCode::ERRCODE_IO_ERROR, format!("{place} cannot be asked: {why}"), "image_gen")
        .set_hint("An administrator can look at image_gen.asset_store, its keys in image_gen.secrets_file, and image_gen.allowed_provider_hosts.")
        .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}
