//! Jobs that are ready, and what the network thread must know of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image_gen_engine::allowance::Allowance;
use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::scheduler::Cursor;
use pgrx::prelude::*;

use super::spi;
use crate::statement::{Row, Statement, argument};
use crate::submit::rights;
use crate::worker::transaction::{Failed, within};
use crate::{instance, snapshot};

/// A job that was read from the queue, with all that the network thread must know. What is JSON here is read there, where a row that cannot be
/// read fails alone.
#[derive(Debug)]
pub struct Claimed {
    /// Its place in the queue.
    pub seq: i64,
    /// `gen_…`
    pub id: String,
    /// Whose it is.
    pub owner: pg_sys::Oid,
    /// What to do.
    pub operation: String,
    /// What should be in the image.
    pub prompt: String,
    /// What it begins from.
    pub seed: i64,
    /// The rest of the request, as JSON.
    pub parameters: String,
    /// Where the images are that go in, by role, as JSON.
    pub inputs: Option<String>,
    /// Not sent after this moment.
    pub deadline: Option<i64>,
    /// How many attempts are behind it.
    pub attempts: i32,
    /// How far it has come, as JSON.
    pub progress: String,
    /// Which candidates the caller prefers, as JSON.
    pub preferences: Option<String>,
    /// Which model was asked for, and where.
    pub model: String,
    /// None was asked for: it is the first that could do it.
    pub model_is_open: bool,
    /// Where, if the caller said.
    pub provider: Option<String>,
    /// The most that it may cost.
    pub max_cost: Option<String>,
    /// What matters most.
    pub priority: Option<String>,
    /// The attempt that an earlier life of the worker left under way.
    pub under_way: Option<UnderWay>,
    /// The catalogue of that moment.
    pub catalogue: Catalogue,
    /// What its owner may ask for.
    pub allowance: Arc<Allowance>,
}

/// An attempt that an earlier life of the worker left under way.
#[derive(Debug)]
pub struct UnderWay {
    /// Its number.
    pub number: i32,
    /// Where it was sent.
    pub provider: String,
    /// Which model was asked.
    pub model: String,
    /// The name of the key that it was sent with.
    pub key_name: Option<String>,
    /// Without one, no answer has come, and the provider is asked.
    pub remote_id: Option<String>,
    /// Where to ask for the task.
    pub poll_url: Option<String>,
    /// Where its result is.
    pub result_url: Option<String>,
    /// Where to stop it.
    pub cancel_url: Option<String>,
    /// What the provider said that it costs.
    pub cost: Option<String>,
    /// What was told and is not believed.
    pub claimed: Option<String>,
    /// When it was sent, in milliseconds of Unix time.
    pub sent_at: i64,
}

impl Claimed {
    fn read(row: &Row) -> Option<Self> {
        let under_way = row.get(17).and_then(|number| {
            Some(UnderWay {
                number,
                provider: row.get(18)?,
                model: row.get(19)?,
                key_name: row.get(28),
                remote_id: row.get(20),
                poll_url: row.get(21),
                result_url: row.get(22),
                cancel_url: row.get(23),
                cost: row.get(24),
                claimed: row.get(25),
                sent_at: row.get(26)?,
            })
        });
        Some(Claimed {
            seq: row.get(1)?,
            id: row.get(2)?,
            owner: row.get(3)?,
            operation: row.get(4)?,
            prompt: row.get(5)?,
            seed: row.get(6)?,
            parameters: row.get(7)?,
            inputs: row.get(8),
            deadline: row.get(9),
            attempts: row.get(10)?,
            progress: row.get(11)?,
            preferences: row.get(12),
            model: row.get(13)?,
            model_is_open: row.get(27)?,
            provider: row.get(14),
            max_cost: row.get(15),
            priority: row.get(16),
            under_way,
            catalogue: Catalogue::default(),
            allowance: Arc::default(),
        })
    }
}

/// The catalogue, and how long images really take.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Providers, models, prices and rules.
    pub snapshot: Arc<Snapshot>,
    /// Seconds, by provider and model.
    pub seconds: Seconds,
}

/// Takes the next job that must run alone.
pub fn claim_alone(
    extension: pg_sys::Oid,
    epoch: i64,
    estimates: &mut Estimates,
) -> Result<Option<Claimed>, Failed> {
    within(extension, "claim a job that runs alone", || {
        let chosen = Spi::connect(|client| {
            let call = "SELECT image_gen_internal.isolate_next_suspect()";
            client.select(call, Some(1), &[])?.first().get_one::<i64>()
        });
        let Some(seq) = chosen.map_err(spi)? else { return Ok(None) };
        match claimed(epoch, 1, seq - 1, None, vec![], estimates)?.pop() {
            Some(job) if job.seq == seq => Ok(Some(job)),
            // Rolled back: it waits on.
            _ => Err(Failed::Error(format!("the job with seq {seq} cannot be claimed"))),
        }
    })
}

/// Reads ready jobs after the watermark, or by turns of tenants: those that are not in hand already.
pub fn claim(
    extension: pg_sys::Oid,
    epoch: i64,
    room: usize,
    watermark: i64,
    cursors: Option<&[Cursor]>,
    in_hand: Vec<i64>,
    estimates: &mut Estimates,
) -> Result<Vec<Claimed>, Failed> {
    within(extension, "claim", || claimed(epoch, room, watermark, cursors, in_hand, estimates))
}

fn claimed(
    epoch: i64,
    room: usize,
    watermark: i64,
    cursors: Option<&[Cursor]>,
    in_hand: Vec<i64>,
    estimates: &mut Estimates,
) -> Result<Vec<Claimed>, Failed> {
    let standing = instance::of_worker(false);
    if standing.fenced.is_some() {
        return Ok(vec![]);
    }
    // The latest possible moment is none.
    const CLAIM: &str = "SELECT seq, id, owner::oid, operation, prompt, seed, parameters::text, inputs::text,
        CASE WHEN isfinite(deadline) THEN (extract(epoch FROM deadline) * 1000)::bigint END, attempts, progress::text,
        preferences::text, model, provider, max_cost::text, priority, number, sent_to, sent_model, remote_id, poll_url, result_url,
        cancel_url, cost::text, claimed_cost::text, (extract(epoch FROM sent_at) * 1000)::bigint, model_is_open, key_name
        FROM image_gen_internal.claim($1, $2, $3, $4, $5, $6, $7::uuid, $8, $9)";
    static TYPES: [pg_sys::Oid; 9] = [
        pg_sys::INT8OID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
        pg_sys::OIDARRAYOID,
        pg_sys::INT8ARRAYOID,
        pg_sys::INT8ARRAYOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INT8ARRAYOID,
    ];
    thread_local!(static STATEMENT: Statement = Statement::new(CLAIM, &TYPES));
    let column = |of: fn(&Cursor) -> i64| cursors.map(|all| all.iter().map(of).collect::<Vec<_>>());
    let arguments = [
        argument(epoch),
        argument(room as i32),
        argument(watermark),
        argument(cursors.map(|all| all.iter().map(|one| pg_sys::Oid::from(one.owner)).collect::<Vec<_>>())),
        argument(column(|one| one.after)),
        argument(column(|one| one.in_flight as i64)),
        argument(standing.id),
        argument(instance::VERSION),
        argument(in_hand),
    ];
    let claimed = STATEMENT.with(|claim| claim.run(&arguments, Claimed::read));
    let mut claimed: Vec<Claimed> = claimed.into_iter().flatten().collect();
    if !claimed.is_empty() {
        let catalogue = Catalogue { snapshot: snapshot::current(), seconds: estimates.current()? };
        let mut known: HashMap<pg_sys::Oid, Arc<Allowance>> = HashMap::new();
        for job in &mut claimed {
            let snapshot = &catalogue.snapshot;
            let allowance =
                known.entry(job.owner).or_insert_with(|| rights::allowance(snapshot, job.owner).into());
            job.allowance = allowance.clone();
            job.catalogue = catalogue.clone();
        }
    }
    Ok(claimed)
}

/// The catalogue as it is now, although its invalidation may not be here yet.
pub fn catalogue_now(extension: pg_sys::Oid) -> Result<Arc<Snapshot>, Failed> {
    within(extension, "read the catalogue", || {
        snapshot::forget();
        Ok(snapshot::current())
    })
}

/// How long images really take, read again now and then: every finished job changes it a little.
#[derive(Default)]
pub struct Estimates(Option<(Instant, Seconds)>);

/// Seconds of a render by provider, model and class.
pub type Seconds = Arc<HashMap<(String, String, String), f64>>;

/// How long estimates are believed.
const BELIEVED: Duration = Duration::from_secs(1);

impl Estimates {
    fn current(&mut self) -> Result<Seconds, Failed> {
        if let Some((at, seconds)) = &self.0
            && at.elapsed() < BELIEVED
        {
            return Ok(seconds.clone());
        }
        let read = Spi::connect(|client| {
            let mut seconds = HashMap::new();
            let all = "SELECT t.provider, t.model, t.class, t.seconds::float8 FROM image_gen_internal.render_estimates t WHERE t.class = '' OR t.samples >= 4";
            for row in client.select(all, None, &[])? {
                if let (Some(provider), Some(model), Some(class), Some(s)) =
                    (row.get::<String>(1)?, row.get::<String>(2)?, row.get::<String>(3)?, row.get::<f64>(4)?)
                {
                    seconds.insert((provider, model, class), s);
                }
            }
            Ok(seconds)
        });
        let seconds = Arc::new(read.map_err(spi)?);
        self.0 = Some((Instant::now(), seconds.clone()));
        Ok(seconds)
    }
}

/// The roles that have ready jobs, and the first job of each.
pub fn waiting(extension: pg_sys::Oid) -> Result<Vec<(pg_sys::Oid, i64)>, Failed> {
    within(extension, "look who waits", || {
        Spi::connect(|client| {
            let mut waiting = vec![];
            for row in client.select(
                "SELECT owner::oid, first FROM image_gen_internal.waiting_tenants()",
                None,
                &[],
            )? {
                if let (Some(owner), Some(first)) = (row.get::<pg_sys::Oid>(1)?, row.get::<i64>(2)?) {
                    waiting.push((owner, first));
                }
            }
            Ok(waiting)
        })
        .map_err(spi)
    })
}
