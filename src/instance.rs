//! Which database this is: what `image_gen_internal.instance` remembers of where paid work was allowed.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::LocalKey;
use std::time::UNIX_EPOCH;

use pgrx::prelude::*;

use crate::snapshot;
use crate::statement::Statement;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// This cluster, its timeline, this database, its data folder, and the version of this library.
#[pg_extern(schema = "image_gen_internal", stable, parallel_unsafe)]
pub fn instance_identity() -> TableIterator<
    'static,
    (
        name!(system, String),
        name!(timeline, i64),
        name!(database, i64),
        name!(files, String),
        name!(version, String),
    ),
> {
    // SAFETY: plain look-ups in shared memory and in this session; a standby has no timeline of its own to write on.
    let (system, timeline, database) = unsafe {
        let timeline = if pg_sys::RecoveryInProgress() { 0 } else { pg_sys::GetWALInsertionTimeLine() };
        (pg_sys::GetSystemIdentifier(), timeline, pg_sys::MyDatabaseId.to_u32())
    };
    TableIterator::once((
        system.to_string(),
        i64::from(timeline),
        i64::from(database),
        files().to_owned(),
        VERSION.to_owned(),
    ))
}

/// Tells a data folder from its copies. `PG_VERSION` is written by initdb and never again; a copy of the file is another
/// file, born later. (A snapshot of the whole volume is not told apart.)
fn files() -> &'static str {
    // Asked once in the life of a process: a data folder is not exchanged under a running server.
    static FILES: OnceLock<String> = OnceLock::new();
    FILES.get_or_init(read_files)
}

fn read_files() -> String {
    // SAFETY: set before any session starts, never changed.
    let folder = unsafe { std::ffi::CStr::from_ptr(pg_sys::DataDir) }.to_string_lossy();
    let Ok(facts) = std::fs::metadata(Path::new(&*folder).join("PG_VERSION")) else {
        return "unknown".into();
    };
    let born = facts.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or_else(|| "unknown".into(), |at| at.as_micros().to_string());
    format!("inode {} born {born}", facts.ino())
}

/// Whether paid work may run here, and under which row of instance a job is queued.
#[derive(Clone)]
pub struct Standing {
    /// `queue.instance`.
    pub id: String,
    /// Why no paid work may run here.
    pub fenced: Option<String>,
}

/// Where there is no row that is of here.
const NOWHERE: &str = "00000000-0000-0000-0000-000000000000";

/// What a session knows of its standing, and since when.
struct Known {
    /// Until instance is changed.
    generation: u64,
    /// And for this transaction only; `None` is for all.
    transaction: Option<pg_sys::TimestampTz>,
    standing: Standing,
}

thread_local! {
    static ADOPT: Statement = Statement::new("SELECT image_gen_internal.adopt_template_copy()", &[]);
    static FENCE: Statement = Statement::new("SELECT image_gen_internal.fence_reason()", &[]);
    static ID: Statement = Statement::new("SELECT image_gen_internal.instance_id()::text", &[]);
    static STANDING: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// How a job stands that is queued now. A fresh copy of a template is made an instance of its own.
pub fn settled() -> Standing {
    known(false, &ADOPT)
}

/// How this database stands, for its worker; `afresh` is asked again, whatever is known.
pub fn of_worker(afresh: bool) -> Standing {
    known(afresh, &FENCE)
}

fn one(statement: &Statement) -> Option<String> {
    statement.run(&[], |row| row.get::<String>(1)).pop().flatten()
}

/// What is known, or what the statement says.
fn known(afresh: bool, ask: &'static LocalKey<Statement>) -> Standing {
    // SAFETY: in a transaction.
    let (transaction, isolation) =
        unsafe { (pg_sys::GetCurrentTransactionStartTimestamp(), pg_sys::XactIsoLevel as u32) };
    let generation = snapshot::generation();
    let valid =
        |k: &&Known| !afresh && k.generation == generation && k.transaction.is_none_or(|t| t == transaction);
    if let Some(standing) = STANDING.with_borrow(|k| k.as_ref().filter(valid).map(|k| k.standing.clone())) {
        return standing;
    }
    // One after the other: the second one sees what the first has written.
    let fenced = ask.with(one);
    let standing = Standing { id: ID.with(one).unwrap_or_else(|| NOWHERE.to_owned()), fenced };
    // While a server runs as a primary neither it nor the library of a session becomes another one, so what may work here
    // stays so until instance is changed. A fence can end by other means, and a snapshot from before a change does not show it.
    let lasting = standing.fenced.is_none() && isolation <= pg_sys::XACT_READ_COMMITTED;
    let transaction = (!lasting).then_some(transaction);
    STANDING.set(Some(Known { generation, transaction, standing: standing.clone() }));
    standing
}
