//! Images that the database keeps or knows of.

use pgrx::prelude::*;

use super::spi;
use crate::worker::io::{Labels, Loaded};
use crate::worker::transaction::{Failed, within};

/// The bytes of an image that the database keeps.
pub fn bytes(extension: pg_sys::Oid, sha256: &str) -> Result<Option<Vec<u8>>, Failed> {
    within(extension, "read an image", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.blob_bytes($1)", Some(1), &[sha256.into()])?
                .first()
                .get_one::<Vec<u8>>()
        })
        .map_err(spi)
    })
}

/// An image that the database keeps, or where it is.
pub fn image(extension: pg_sys::Oid, sha256: &str) -> Result<Option<Loaded>, Failed> {
    if let Some(bytes) = bytes(extension, sha256)? {
        return Ok(Some(Loaded::Bytes(bytes)));
    }
    within(extension, "look for an image", || {
        Spi::connect(|client| {
            let call = "SELECT address, name FROM image_gen_internal.object_place($1)";
            let row = client.select(call, Some(1), &[sha256.into()])?.first();
            let place = row.get::<String>(1)?.zip(row.get::<String>(2)?);
            Ok(place.map(|(address, name)| Loaded::Object { address, name }))
        })
        .map_err(spi)
    })
}

/// What names of a job's objects are made from.
pub fn labels(extension: pg_sys::Oid, job_id: &str) -> Result<Option<Labels>, Failed> {
    within(extension, "read labels", || {
        Spi::connect(|client| {
            let call = "SELECT left(j.metadata ->> 'campaign', 255), left(j.metadata ->> 'shot', 255), left(j.metadata ->> 'ticket', 255),
                               to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM image_gen.jobs j WHERE j.id = $1";
            let row = client.select(call, Some(1), &[job_id.into()])?.first();
            let date = row.get::<String>(4)?;
            let (campaign, shot, ticket) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(date.map(|date| Labels { campaign, shot, ticket, date }))
        })
        .map_err(spi)
    })
}
