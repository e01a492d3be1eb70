//! Typed calls of the functions in `sql/queue/copies.sql`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use image_gen_store::Address;
use pgrx::prelude::*;

use super::super::transaction::{Failed, as_worker};
use super::work::{Outcome, PAGE};
use crate::settings;

/// An image that is to be copied.
pub struct Taken {
    /// `campaign_assets.id`
    pub asset: i64,
    pub job: String,
    pub position: i32,
    pub campaign: Option<String>,
    pub shot: Option<String>,
    pub ticket: Option<String>,
    pub provider: String,
    pub model: String,
    /// YYYY-MM-DD
    pub made_on: String,
    /// Where its provider has it.
    pub url: String,
    /// Where its provider is called.
    pub base_url: Option<String>,
    pub sha256: Option<String>,
    pub content_type: Option<String>,
    /// The database has its bytes.
    pub kept: bool,
    /// What the store has it as already.
    pub name: Option<String>,
    /// `stored_objects.id` of what it replaces.
    pub moves_from: Option<i64>,
    /// Where that is: a store's address, and a name.
    pub from: Option<(String, String)>,
}

/// An object that no asset has any more.
pub struct Doomed {
    pub object: i64,
    pub address: String,
    pub name: String,
}

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

/// In how long the next image is due.
pub fn due(extension: pg_sys::Oid) -> Result<Option<Duration>, Failed> {
    as_worker(extension, "look for copies", || {
        Spi::connect(|client| {
            client.select("SELECT image_gen_internal.next_copy_in()", Some(1), &[])?.first().get_one::<f64>()
        })
        .map(|due| due.and_then(|s| Duration::try_from_secs_f64(s).ok()))
        .map_err(spi)
    })
}

/// The number of a store.
pub fn number(extension: pg_sys::Oid, address: &Address) -> Result<i32, Failed> {
    as_worker(extension, "look for a store", || {
        Spi::connect_mut(|client| {
            let arguments = [address.identity().into(), address.to_string().into()];
            let call = "SELECT image_gen_internal.record_store($1, $2)";
            client.update(call, Some(1), &arguments)?.first().get_one::<i32>()
        })
        .map(Option::unwrap_or_default)
        .map_err(spi)
    })
}

/// Takes images that are due.
pub fn take(
    extension: pg_sys::Oid,
    store: i32,
    busy: &HashMap<i64, Option<String>>,
    room: usize,
) -> Result<Vec<Taken>, Failed> {
    if room == 0 {
        return Ok(vec![]);
    }
    let ids: Vec<i64> = busy.keys().copied().collect();
    let hashes: Vec<&str> = busy.values().flatten().map(String::as_str).collect();
    as_worker(extension, "take copies", || {
        Spi::connect_mut(|client| {
            let arguments = [store.into(), ids.into(), hashes.into(), (room as i32).into()];
            let call = "SELECT asset_id, job_id, position, campaign, shot, ticket, provider, model, made_on, url, base_url, sha256, content_type, kept, name,
                               moves_from, from_address, from_name
                          FROM image_gen_internal.take_copies($1, $2, $3, $4)";
            let mut taken = vec![];
            for row in client.update(call, None, &arguments)? {
                let text = |at| row.get::<String>(at);
                taken.push(Taken {
                    asset: row.get(1)?.unwrap_or_default(),
                    job: text(2)?.unwrap_or_default(),
                    position: row.get(3)?.unwrap_or(1),
                    campaign: text(4)?,
                    shot: text(5)?,
                    ticket: text(6)?,
                    provider: text(7)?.unwrap_or_default(),
                    model: text(8)?.unwrap_or_default(),
                    made_on: text(9)?.unwrap_or_default(),
                    url: text(10)?.unwrap_or_default(),
                    base_url: text(11)?,
                    sha256: text(12)?,
                    content_type: text(13)?,
                    kept: row.get(14)?.unwrap_or_default(),
                    name: text(15)?,
                    moves_from: row.get(16)?,
                    from: text(17)?.zip(text(18)?),
                });
            }
            Ok(taken)
        })
        .map_err(spi)
    })
}

/// Takes objects that are to be removed.
pub fn take_doomed(extension: pg_sys::Oid, busy: &HashSet<i64>, room: usize) -> Result<Vec<Doomed>, Failed> {
    if room == 0 {
        return Ok(vec![]);
    }
    let busy: Vec<i64> = busy.iter().copied().collect();
    as_worker(extension, "take objects", || {
        Spi::connect_mut(|client| {
            let arguments = [busy.into(), (room as i32).into()];
            let call = "SELECT id, address, name FROM image_gen_internal.take_doomed($1, $2)";
            let mut doomed = vec![];
            for row in client.update(call, None, &arguments)? {
                let text = |at| row.get::<String>(at).map(Option::unwrap_or_default);
                let object = row.get(1)?.unwrap_or_default();
                doomed.push(Doomed { object, address: text(2)?, name: text(3)? });
            }
            Ok(doomed)
        })
        .map_err(spi)
    })
}

/// Writes down what came of images and objects.
pub fn record(extension: pg_sys::Oid, outcomes: Vec<Outcome>) -> Result<(), Failed> {
    let mut stores: HashMap<i32, Copied> = HashMap::new();
    let (mut failed, mut removed) = (Lost::default(), (vec![], vec![]));
    for outcome in outcomes {
        match outcome {
            Outcome::Removed { object, error } => {
                removed.0.push(object);
                removed.1.push(error);
            }
            Outcome::Listed { sweep, objects } => record_sweep(extension, sweep, objects)?,
            Outcome::Failed { asset, error, gone, by_store: _ } => {
                failed.asset.push(asset);
                failed.error.push(error);
                failed.gone.push(gone);
            }
            Outcome::Copied {
                store,
                asset,
                name,
                url,
                sha256,
                byte_size,
                content_type,
                size,
                was_there,
                moved,
            } => {
                let copied = stores.entry(store).or_default();
                copied.asset.push(asset);
                copied.name.push(name);
                copied.url.push(url);
                copied.sha256.push(sha256);
                copied.byte_size.push(byte_size as i64);
                copied.content_type.push(content_type);
                copied.width.push(size.map(|(width, _)| width as i32));
                copied.height.push(size.map(|(_, height)| height as i32));
                copied.was_there.push(was_there);
                copied.moved.push(moved);
            }
        }
    }
    for (store, copied) in stores {
        copied.record(extension, store)?;
    }
    if !failed.asset.is_empty() {
        failed.record(extension)?;
    }
    if !removed.0.is_empty() {
        as_worker(extension, "record removals", || {
            Spi::connect_mut(|client| {
                let call = "SELECT image_gen_internal.record_removed($1, $2)";
                client.update(call, None, &[removed.0.into(), removed.1.into()]).map(drop)
            })
            .map_err(spi)
        })?;
    }
    Ok(())
}

/// The sweep that is to go on, and after which name.
pub fn take_sweep(extension: pg_sys::Oid, store: i32) -> Result<Option<(i64, String)>, Failed> {
    as_worker(extension, "take a sweep", || {
        Spi::connect_mut(|client| {
            let call = "SELECT id, after_name FROM image_gen_internal.take_sweep($1)";
            let row = client.update(call, Some(1), &[store.into()])?.first();
            Ok(row.get::<i64>(1)?.zip(row.get::<String>(2)?))
        })
        .map_err(spi)
    })
}

fn record_sweep(
    extension: pg_sys::Oid,
    sweep: i64,
    objects: Result<Vec<(String, u64, i64)>, String>,
) -> Result<(), Failed> {
    let (objects, error) = match objects {
        Ok(objects) => (objects, None),
        Err(why) => (vec![], Some(why)),
    };
    let whole = objects.len() < PAGE;
    let sizes: Vec<i64> = objects.iter().map(|(_, size, _)| *size as i64).collect();
    let modified: Vec<f64> = objects.iter().map(|(_, _, at)| *at as f64).collect();
    let names: Vec<String> = objects.into_iter().map(|(name, ..)| name).collect();
    as_worker(extension, "record a sweep", || {
        Spi::connect_mut(|client| {
            let arguments =
                [sweep.into(), names.into(), sizes.into(), modified.into(), whole.into(), error.into()];
            let call = "SELECT image_gen_internal.record_sweep($1, $2, $3, $4, $5, $6)";
            client.update(call, None, &arguments).map(drop)
        })
        .map_err(spi)
    })
}

#[derive(Default)]
struct Copied {
    asset: Vec<i64>,
    name: Vec<String>,
    url: Vec<String>,
    sha256: Vec<String>,
    byte_size: Vec<i64>,
    content_type: Vec<Option<String>>,
    width: Vec<Option<i32>>,
    height: Vec<Option<i32>>,
    was_there: Vec<bool>,
    moved: Vec<Option<i64>>,
}

impl Copied {
    fn record(self, extension: pg_sys::Oid, store: i32) -> Result<(), Failed> {
        as_worker(extension, "record copies", || {
            Spi::connect_mut(|client| {
                let arguments = [
                    store.into(),
                    self.asset.into(),
                    self.name.into(),
                    self.url.into(),
                    self.sha256.into(),
                    self.byte_size.into(),
                    self.content_type.into(),
                    self.width.into(),
                    self.height.into(),
                    self.was_there.into(),
                    self.moved.into(),
                    (settings::KEEP_BYTES.get() == settings::KeepBytes::All).into(),
                ];
                let call =
                    "SELECT image_gen_internal.record_copies($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
                client.update(call, None, &arguments).map(drop)
            })
            .map_err(spi)
        })
    }
}

#[derive(Default)]
struct Lost {
    asset: Vec<i64>,
    error: Vec<String>,
    gone: Vec<bool>,
}

impl Lost {
    fn record(self, extension: pg_sys::Oid) -> Result<(), Failed> {
        let why: HashMap<i64, String> = self.asset.iter().copied().zip(self.error.iter().cloned()).collect();
        let expired = as_worker(extension, "record failed copies", || {
            Spi::connect_mut(|client| {
                let arguments = [self.asset.into(), self.error.into(), self.gone.into()];
                let call = "SELECT * FROM image_gen_internal.record_failed_copies($1, $2, $3)";
                let rows = client.update(call, None, &arguments)?;
                rows.map(|row| row.get::<i64>(1)).collect::<Result<Vec<_>, _>>()
            })
            .map_err(spi)
        })?;
        for asset in expired.into_iter().flatten() {
            let why = why.get(&asset).map(String::as_str).unwrap_or_default();
            warning!("image_gen: the URL of asset {asset} ended before there was a copy of its image: {why}");
        }
        Ok(())
    }
}
