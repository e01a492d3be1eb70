//! The process that copies images to `image_gen.asset_store`: one of its own, so that no render waits for a store. Its main thread
//! takes images that are due, those first whose URL ends first, and writes down what came of them, in short transactions; another one
//! copies, behind the same egress filter as all other requests. It also removes objects that no asset has any more.

mod queue;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image_gen_store::{Address, Store, Template};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

use super::audit;
use super::config::load_keys;
use super::helper::Helper;
use super::process;
use super::transaction::{self, Failed};
use super::wait_set::WaitSet;
use crate::keys::Keys;
use crate::{pause, settings};
use queue::Taken;
pub use queue::due;
pub use work::Target;
use work::{Hands, Outcome, Task};

/// Images that are on their way at a time: of each a few megabytes are in memory, or all of it where the database has it.
const MOST: usize = 4;
/// It waits so long for the next image before it ends; longer, where one is due within a minute.
const LINGER: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(60);

/// The process, as the worker sees it.
pub fn helper(now: Instant) -> Helper {
    Helper::new("image_gen copies", "image_gen_copies_main", now)
}

/// The process's main function; its argument is the oid of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn image_gen_copies_main(arg: pg_sys::Datum) {
    process::die_on_sigterm();
    // SAFETY: once, at the start, as the worker does.
    unsafe {
        let database = pg_sys::Oid::from(arg.value() as u32);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
    }
    process::pin_settings(process::Code::Ours);
    pause::start();
    let Ok(extension) = transaction::extension() else { return };
    match serve(extension) {
        Ok(()) | Err(Failed::Gone) => {}
        Err(Failed::Error(why) | Failed::Poison(why)) => log!("image_gen: copies: {why}"),
    }
}

/// What the settings say.
struct Stores {
    keys: Keys,
    /// Where images go, with its number; the error is why they cannot. `None`: nowhere.
    target: Option<(i32, Result<Arc<Target>, String>)>,
    /// By their addresses.
    open: HashMap<String, Result<Store, String>>,
}

impl Stores {
    fn load(extension: pg_sys::Oid, hands: &Hands, keys: Keys) -> Result<Self, Failed> {
        let mut stores = Stores { keys, target: None, open: HashMap::new() };
        // What cannot be read never becomes the value of a setting.
        if let Ok(address) = Address::parse(&settings::text(&settings::ASSET_STORE)) {
            let number = queue::number(extension, &address)?;
            let target = stores.open(&address.to_string(), hands).and_then(|store| {
                let template = Template::parse(&settings::text(&settings::ASSET_NAME))?;
                let public = settings::text(&settings::ASSET_PUBLIC_URL);
                Ok(Arc::new(Target { number, store, template, public }))
            });
            stores.target = Some((number, target));
        }
        Ok(stores)
    }

    fn open(&mut self, address: &str, hands: &Hands) -> Result<Store, String> {
        let keys = &self.keys;
        let open = || Store::open(&Address::parse(address)?, |name| keys.get(name), &hands.driver);
        self.open.entry(address.to_owned()).or_insert_with(open).clone()
    }
}

/// What is on its way.
#[derive(Default)]
struct Busy {
    /// Assets, each with its hash.
    copies: HashMap<i64, Option<String>>,
    removals: HashSet<i64>,
    /// A store is being compared with the database.
    sweep: bool,
}

fn serve(extension: pg_sys::Oid) -> Result<(), Failed> {
    let wait_set = WaitSet::new();
    let keys = load_keys().0;
    let hands = Hands::start(&keys, wait_set.wake_handle()).map_err(Failed::Error)?;
    let mut stores = Stores::load(extension, &hands, keys)?;
    let (mut busy, mut idle_since) = (Busy::default(), Instant::now());
    // While a store takes nothing it is asked with one image at a time.
    let mut well = true;
    loop {
        if BackgroundWorker::sighup_received() {
            process::read_config_file();
            let keys = load_keys().0;
            hands.driver.open(settings::egress());
            hands.driver.redact(hands.driver.redactor().with(keys.all()));
            stores = Stores::load(extension, &hands, keys)?;
        }
        let mut outcomes: Vec<Outcome> = hands.outcomes.try_iter().collect();
        for outcome in &outcomes {
            match outcome {
                Outcome::Copied { asset, .. } => {
                    busy.copies.remove(asset);
                    well = true;
                }
                Outcome::Failed { asset, by_store, .. } => {
                    busy.copies.remove(asset);
                    well &= !by_store;
                }
                Outcome::Removed { object, .. } => drop(busy.removals.remove(object)),
                Outcome::Listed { .. } => busy.sweep = false,
            }
        }
        let number = stores.target.as_ref().map(|(number, _)| *number);
        if let Some(number) = number {
            let room = if well { MOST } else { 1 };
            let taken = queue::take(extension, number, &busy.copies, room.saturating_sub(busy.copies.len()))?;
            for taken in taken {
                idle_since = Instant::now();
                match task(extension, &mut stores, &hands, taken)? {
                    (asset, sha256, Ok(task)) => {
                        busy.copies.insert(asset, sha256);
                        hands.give(task);
                    }
                    (asset, _, Err(error)) => {
                        outcomes.push(Outcome::Failed { asset, error, gone: false, by_store: true });
                    }
                }
            }
        }
        for doomed in queue::take_doomed(extension, &busy.removals, MOST.saturating_sub(busy.removals.len()))?
        {
            idle_since = Instant::now();
            match stores.open(&doomed.address, &hands) {
                Ok(store) => {
                    busy.removals.insert(doomed.object);
                    hands.give(Task::Remove { store, object: doomed.object, name: doomed.name });
                }
                Err(error) => outcomes.push(Outcome::Removed { object: doomed.object, error: Some(error) }),
            }
        }
        queue::record(extension, outcomes)?;
        audit::denials(extension, hands.driver.denials())?;
        if let Some((number, Ok(target))) = &stores.target
            && !busy.sweep
            && let Some((sweep, after)) = queue::take_sweep(extension, *number)?
        {
            (busy.sweep, idle_since) = (true, Instant::now());
            hands.give(Task::List { target: target.clone(), sweep, after });
        }
        let mut sleep = SOON;
        if busy.copies.is_empty() && busy.removals.is_empty() && !busy.sweep {
            let due = due(extension)?.filter(|due| *due < SOON);
            let idle = idle_since.elapsed();
            if (due.is_none() || number.is_none()) && idle >= LINGER {
                return Ok(());
            }
            sleep = due.unwrap_or(LINGER.saturating_sub(idle)).max(Duration::from_millis(50));
        }
        transaction::report_statistics();
        wait_set.sleep(sleep);
    }
}

/// What is to be done for an image, with its bytes where the database has them.
#[allow(clippy::type_complexity)] // the asset, its hash, and what to do
fn task(
    extension: pg_sys::Oid,
    stores: &mut Stores,
    hands: &Hands,
    taken: Taken,
) -> Result<(i64, Option<String>, Result<Task, String>), Failed> {
    let (asset, sha256) = (taken.asset, taken.sha256.clone());
    let target = match &stores.target {
        Some((_, Ok(target))) => target.clone(),
        Some((_, Err(why))) => return Ok((asset, sha256, Err(why.clone()))),
        None => return Ok((asset, sha256, Err("image_gen.asset_store is empty".into()))),
    };
    let bytes = match &taken.sha256 {
        Some(hash) if taken.kept && taken.name.is_none() => super::queue::bytes(extension, hash)?,
        _ => None,
    };
    let from = match &taken.from {
        Some((address, name)) => match stores.open(address, hands) {
            Ok(store) => Some((store, name.clone())),
            Err(why) => return Ok((asset, sha256, Err(why))),
        },
        None => None,
    };
    Ok((asset, sha256, Ok(Task::Copy { target, taken: Box::new(taken), bytes, from })))
}
