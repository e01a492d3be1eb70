//! What this process keeps of the catalogue, and how it learns that it is out of date.
//!
//! A trigger on each table of the catalogue sends an invalidation of one relation (`providers`); PostgreSQL delivers it to
//! every session: at COMMIT to the others, at the next command to the one that made the change, and at the end of a
//! transaction or subtransaction that is rolled back once more. Nothing is read as long as nothing was changed.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use image_gen_engine::catalogue::{Rows, Snapshot};
use pgrx::prelude::*;

use crate::statement::{Statement, argument};
use crate::wake;

/// All of the catalogue: a table's name, a model's name and kind, and the row.
const CATALOGUE: &str = "
  SELECT 'providers', NULL, NULL, jsonb_build_object('id', p.id, 'kind', p.kind, 'base_url', p.base_url, 'key_name', p.key_name,
           'enabled', p.enabled, 'priority', p.priority, 'max_in_flight', p.max_in_flight, 'requests_per_minute', p.requests_per_minute, 'needs_approval', p.needs_approval)::text
    FROM image_gen.providers p
  UNION ALL SELECT 'models', m.name, m.provider_kind, to_jsonb(m)::text FROM image_gen.models m
  UNION ALL SELECT 'prices', NULL, NULL, jsonb_build_object('id', r.id, 'provider_kind', r.provider_kind, 'model', r.model, 'unit', r.unit,
                     'quality', r.quality, 'amount', r.amount::text, 'currency', r.currency, 'origin', r.origin)::text
    FROM image_gen.prices r WHERE $1 >= r.valid_from AND $1 < r.valid_to
  UNION ALL SELECT 'model_rules', NULL, NULL, to_jsonb(r)::text FROM image_gen.model_rules r
  UNION ALL SELECT 'refusal_steps', NULL, NULL, to_jsonb(l)::text FROM image_gen.refusal_steps l
  UNION ALL SELECT DISTINCT 'campaign_grants', g.campaign, NULL, NULL FROM image_gen.campaign_grants g
  UNION ALL SELECT 'pauses', NULL, NULL, jsonb_build_object('provider', z.provider, 'role', z.role::oid::bigint)::text FROM image_gen.pauses z
  UNION ALL SELECT 'role_policies', NULL, NULL, (to_jsonb(p) || jsonb_build_object('role', p.role::oid::bigint))::text FROM image_gen.role_policies p
  UNION ALL SELECT 'provider_access', NULL, NULL, jsonb_build_object('role', a.role::oid::bigint, 'provider', a.provider)::text
    FROM image_gen.provider_access a WHERE a.granted_at IS NOT NULL
  UNION ALL SELECT 'policy_rules', NULL, NULL, to_jsonb(r)::text FROM image_gen.policy_rules r WHERE r.enabled
  UNION ALL SELECT 'day', NULL, NULL, to_jsonb($1)::text
  UNION ALL SELECT 'keys', NULL, NULL, coalesce(to_jsonb(w.configured), 'null')::text FROM image_gen_internal.worker_state w";

/// How often a catalogue that changes while it is read is read again.
const TRIES: usize = 10;

struct Copy {
    generation: u64,
    /// Prices are those of a day.
    day: pg_sys::DateADT,
    snapshot: Arc<Snapshot>,
}

thread_local! {
    static READ: Statement = Statement::new(CATALOGUE, &[pg_sys::DATEOID]);
    /// Moved by every invalidation.
    static GENERATION: Cell<u64> = const { Cell::new(1) };
    static COPY: RefCell<Option<Copy>> = const { RefCell::new(None) };
    /// The relation whose invalidation means the catalogue's.
    static RELATION: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::InvalidOid) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Called by PostgreSQL in the middle of anything, also while a transaction is rolled back: only a counter moves.
unsafe extern "C-unwind" fn invalidated(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    // InvalidOid is everything.
    if relation == pg_sys::InvalidOid || relation == RELATION.get() {
        GENERATION.set(GENERATION.get() + 1);
    }
}

fn relation() -> pg_sys::Oid {
    // SAFETY: look-ups in the system caches, in a transaction.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"image_gen".as_ptr(), true);
        pg_sys::get_relname_relid(c"providers".as_ptr(), schema)
    }
}

/// Moves on whenever the catalogue or the instance may have changed, seen from this session. In a transaction.
pub fn generation() -> u64 {
    // SAFETY: registered once in the life of a process, with a function that stays. Messages are taken in here, because a
    // session that takes no new lock does not look for them itself.
    unsafe {
        if !REGISTERED.replace(true) {
            pg_sys::CacheRegisterRelcacheCallback(Some(invalidated), pg_sys::Datum::from(0));
        }
        pg_sys::AcceptInvalidationMessages();
    }
    if RELATION.get() == pg_sys::InvalidOid {
        // From here on its invalidations count.
        RELATION.set(relation());
    }
    GENERATION.get()
}

/// The catalogue as this session sees it now, with the prices of today.
pub fn current() -> Arc<Snapshot> {
    // SAFETY: today in the session's time zone, as current_date has it.
    let day = unsafe { pg_sys::GetSQLCurrentDate() };
    for _ in 0..TRIES {
        let generation = generation();
        let valid = |copy: &&Copy| (copy.generation, copy.day) == (generation, day);
        if let Some(snapshot) = COPY.with_borrow(|c| c.as_ref().filter(valid).map(|c| c.snapshot.clone())) {
            return snapshot;
        }
        // Before it is read: what is changed meanwhile makes the copy out of date at once. The oid is another one after
        // DROP and CREATE EXTENSION; the drop has sent an invalidation of the old one.
        RELATION.set(relation());
        let snapshot = Arc::new(load(day));
        COPY.set(Some(Copy { generation, day, snapshot }));
    }
    // It changes faster than it can be read: what was read last is a moment old.
    COPY.with_borrow(|c| c.as_ref().map(|c| c.snapshot.clone())).unwrap_or_default()
}

fn load(day: pg_sys::DateADT) -> Snapshot {
    let mut rows = Rows::default();
    let mut wrong = None;
    let day = Some(pg_sys::Datum::from(day));
    READ.with(|read| {
        read.read_latest(&[day], |row| {
            let text = |column| row.get::<&str>(column).unwrap_or_default();
            if let Err(why) = rows.add(text(1), text(2), text(3), text(4)) {
                wrong.get_or_insert(why);
            }
        })
    });
    if let Some(why) = wrong {
        // The rest is as it was: one row does not stop all jobs.
        warning!("image_gen: {why}");
    }
    rows.into()
}

/// How old a measured time may be, in microseconds: the worker reads them as often.
const FRESH: i64 = 1_000_000;

/// Measured times, read at a moment.
type Measured = (pg_sys::TimestampTz, Vec<([String; 3], Option<f64>)>);

thread_local! {
    static MEASURED: RefCell<Measured> = const { RefCell::new((0, vec![])) };
}

/// How long images of a model take here at a provider, in seconds, where that was measured: a second ago at most, or later by
/// this session itself. Those of the class count where there are four, else all.
pub fn seconds(provider: &str, model: &str, class: &str) -> Option<f64> {
    thread_local! {
        static SECONDS: Statement = Statement::new(
            "SELECT t.seconds::float8 FROM image_gen_internal.render_estimates t
              WHERE t.provider = $1 AND t.model = $2 AND (t.class = '' OR t.class = $3 AND t.samples >= 4) ORDER BY t.class = '' LIMIT 1",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
        );
    }
    // SAFETY: the clock. (Not the statement's time: a procedure that commits is one statement, however long.)
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let known = MEASURED.with_borrow_mut(|(at, all)| {
        if !(*at..*at + FRESH).contains(&now) {
            (*at, *all) = (now, vec![]);
        }
        all.iter().find(|(of, _)| *of == [provider, model, class]).map(|(_, seconds)| *seconds)
    });
    known.unwrap_or_else(|| {
        let rows = SECONDS.with(|s| {
            s.run(&[argument(provider), argument(model), argument(class)], |row| row.get::<f64>(1))
        });
        let seconds = rows.into_iter().flatten().next();
        MEASURED.with_borrow_mut(|(_, all)| all.push(([provider, model, class].map(str::to_owned), seconds)));
        seconds
    })
}

/// What this session has changed of the measured times it sees at once.
pub fn forget_estimates() {
    MEASURED.set((0, vec![]));
}

/// What is kept is read again: who was told of a change by other means may be ahead of its invalidation.
pub fn forget() {
    GENERATION.set(GENERATION.get() + 1);
}

/// The catalogue was changed: every session hears of it, and the worker though it sleeps.
pub fn announce_change() {
    wake::catalogue_changed();
    let relation = relation();
    if relation != pg_sys::InvalidOid {
        // SAFETY: an oid of a relation that is there.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
    }
}
