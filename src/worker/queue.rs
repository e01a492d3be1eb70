//! Typed calls of the functions in `sql/queue/`. They are called through SELECT, so that looking for work costs no
//! transaction id when there is none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::health;
use image_gen_engine::scheduler::Cursor;
use pgrx::JsonB;
use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

use super::io::{Balance, Labels, Loaded, Rewrite};
use super::limits::Limit;
use super::transaction::{Failed, as_worker, within};
use super::user_code;
use crate::statement::{Row, Statement, argument};
use crate::{instance, settings, snapshot};

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

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

fn on_uncertain() -> &'static str {
    match settings::ON_UNCERTAIN.get() {
        settings::OnUncertain::Review => "review",
        settings::OnUncertain::Retry => "retry",
    }
}

/// Why a worker that starts here must be held; `None` when it may go on.
pub fn hold(extension: pg_sys::Oid, mode: &str) -> Result<Option<String>, Failed> {
    within(extension, "look whether it may work", || {
        Spi::connect(|client| {
            // SAFETY: this process's own pid.
            let pid = unsafe { pg_sys::MyProcPid };
            let call = "SELECT image_gen_internal.fence($1, $2)";
            client.select(call, Some(1), &[pid.into(), mode.into()])?.first().get_one::<String>()
        })
        .map_err(spi)
    })
}

/// Why no paid work may run here any more.
pub fn fenced(extension: pg_sys::Oid) -> Result<Option<String>, Failed> {
    within(extension, "look whether it may work", || Ok(instance::of_worker(true).fenced))
}

/// Begins this life of the worker, and charges jobs with the death of the one before: those that were in hand.
pub fn start_epoch(
    extension: pg_sys::Oid,
    mode: &str,
    limit: &Limit,
    keys: &[String],
    in_hand: &[i64],
) -> Result<i64, Failed> {
    let (epoch, deaths) = within(extension, "begin an epoch", || {
        let deaths = record_deaths(in_hand).map_err(spi)?;
        let epoch = Spi::connect(|client| {
            // SAFETY: this process's own pid.
            let pid = unsafe { pg_sys::MyProcPid };
            let arguments = [
                pid.into(),
                mode.into(),
                (limit.cap as i32).into(),
                limit.reason.as_str().into(),
                keys.to_vec().into(),
                on_uncertain().into(),
            ];
            let call = "SELECT image_gen_internal.start_epoch($1, $2, $3, $4, $5, $6)";
            client.select(call, Some(1), &arguments)?.first().get_one::<i64>()
        });
        let epoch = epoch.map_err(spi)?;
        let epoch =
            epoch.ok_or_else(|| Failed::Error("image_gen_internal.worker_state has no row".into()))?;
        Ok((epoch, deaths))
    })?;
    for (job, deaths) in deaths {
        log!("image_gen: the worker died with job {job} in hand ({deaths} times so far)");
    }
    Ok(epoch)
}

fn record_deaths(in_hand: &[i64]) -> spi::Result<Vec<(String, i16)>> {
    let mut deaths = vec![];
    if !in_hand.is_empty() {
        Spi::connect(|client| {
            let call = "SELECT job_id, deaths FROM image_gen_internal.record_deaths($1)";
            for row in client.select(call, None, &[in_hand.to_vec().into()])? {
                deaths.extend(row.get::<String>(1)?.zip(row.get::<i16>(2)?));
            }
            Ok::<_, spi::Error>(())
        })?;
    }
    Ok(deaths)
}

/// Jobs that were in hand when a worker died and have not ended since; of those that must run alone, in how long each is ready.
pub fn suspects(extension: pg_sys::Oid) -> Result<Vec<(i64, Option<Duration>)>, Failed> {
    within(extension, "look for suspects", || {
        Spi::connect(|client| {
            let mut suspects = vec![];
            for row in client.select("SELECT seq, ready_in FROM image_gen_internal.suspects()", None, &[])? {
                if let Some(seq) = row.get::<i64>(1)? {
                    let ready_in = row.get::<f64>(2)?.and_then(|s| Duration::try_from_secs_f64(s).ok());
                    suspects.push((seq, ready_in));
                }
            }
            Ok(suspects)
        })
        .map_err(spi)
    })
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
        cancel_url, cost::text, claimed_cost::text, (extract(epoch FROM sent_at) * 1000)::bigint, model_is_open
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
        claimed.iter_mut().for_each(|job| job.catalogue = catalogue.clone());
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

/// Jobs that a user wants stopped; of those in hand that have not begun, also those that are over.
pub fn cancellations(extension: pg_sys::Oid, in_hand: Vec<i64>) -> Result<Vec<i64>, Failed> {
    within(extension, "look for cancels", || {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT * FROM image_gen_internal.open_cancel_requests($1)",
                None,
                &[in_hand.into()],
            )?;
            rows.map(|row| row.get::<i64>(1)).collect::<Result<Vec<_>, _>>()
        })
        .map(|found| found.into_iter().flatten().collect())
        .map_err(spi)
    })
}

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

/// Shows the health of providers.
pub fn health(extension: pg_sys::Oid, rows: Vec<health::Row>) -> Result<(), Failed> {
    let rows = serde_json::to_value(rows).unwrap_or_default();
    within(extension, "write health", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.record_breakers($1)", None, &[JsonB(rows).into()])
                .map(drop)
        })
        .map_err(spi)
    })
}

/// Shows what is left on an account.
pub fn balance(extension: pg_sys::Oid, balance: &Balance) -> Result<(), Failed> {
    within(extension, "write a balance", || {
        Spi::connect(|client| {
            let digits = |amount: Decimal| amount.to_string();
            let arguments = [
                balance.provider.as_str().into(),
                digits(balance.amount).into(),
                balance.credits.map(digits).into(),
            ];
            let call = "SELECT image_gen_internal.record_account_balance($1, $2::numeric, $3::numeric)";
            client.select(call, None, &arguments).map(drop)
        })
        .map_err(spi)
    })
}

/// A softer prompt by the rules; `None` when none applies.
pub fn rewrite(extension: pg_sys::Oid, prompt: &str) -> Result<Option<String>, Failed> {
    within(extension, "rewrite a prompt", || {
        Spi::connect(|client| {
            let call = "SELECT nullif(image_gen.rewrite_prompt($1), $1)";
            client.select(call, Some(1), &[prompt.into()])?.first().get_one::<String>()
        })
        .map_err(spi)
    })
}

/// A softer prompt by the administrator's own function, which runs as its owner and gets two seconds.
pub fn rewrite_by(
    extension: pg_sys::Oid,
    function: &str,
    refused: &Rewrite,
) -> Result<Option<String>, Failed> {
    let context = json!({"job_id": refused.job_id, "refused_by": refused.refused_by});
    let signature =
        if function.contains('(') { function.to_owned() } else { format!("{function}(text, jsonb)") };
    as_worker(extension, "call image_gen.prompt_rewriter", || {
        user_code::call(&signature, None, Duration::from_secs(2), |name| {
            Spi::connect_mut(|client| {
                let arguments = [refused.prompt.as_str().into(), JsonB(context).into()];
                let call = format!("SELECT {name}($1, $2)::text");
                client.update(&call, Some(1), &arguments)?.first().get_one::<String>()
            })
            .map_err(spi)
        })
    })
}

/// In how long the next callback is due.
pub fn callbacks_due(extension: pg_sys::Oid) -> Result<Option<Duration>, Failed> {
    within(extension, "look for callbacks", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.next_callback_in()", Some(1), &[])?
                .first()
                .get_one::<f64>()
        })
        .map(|due| due.and_then(|s| Duration::try_from_secs_f64(s).ok()))
        .map_err(spi)
    })
}

/// Decides about jobs in flight that no task follows any more.
pub fn take_over(extension: pg_sys::Oid, epoch: i64, lost: Vec<i64>) -> Result<(), Failed> {
    within(extension, "take over", || {
        Spi::connect(|client| {
            let arguments = [epoch.into(), lost.into(), on_uncertain().into()];
            client.select("SELECT image_gen_internal.rescue_jobs($1, $2, $3)", None, &arguments).map(drop)
        })
        .map_err(spi)
    })
}

/// Up to where every job was over when the worker last looked.
pub fn all_over_to(extension: pg_sys::Oid) -> Result<i64, Failed> {
    within(extension, "look where history ends", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.finished_up_to()", Some(1), &[])?
                .first()
                .get_one::<i64>()
        })
        .map(Option::unwrap_or_default)
        .map_err(spi)
    })
}

/// Remembers that.
pub fn note_all_over(extension: pg_sys::Oid, to: i64) -> Result<(), Failed> {
    within(extension, "note where history ends", || {
        Spi::connect(|client| {
            client.select("SELECT image_gen_internal.record_finished_up_to($1)", None, &[to.into()]).map(drop)
        })
        .map_err(spi)
    })
}

/// What a look at some jobs has found.
#[derive(Debug)]
pub struct Reconciled {
    /// The last one; `None` when there are no more.
    pub last: Option<i64>,
    /// The first that is not over.
    pub first_open: Option<i64>,
    /// Open ones without a row in the queue, which have one again: those that were not in flight.
    pub found: Vec<i64>,
}

/// Gives open jobs that have no row in the queue their row back: some of those after a seq.
pub fn reconcile(
    extension: pg_sys::Oid,
    epoch: i64,
    in_flight: Vec<i64>,
    after: i64,
    at_most: i32,
) -> Result<Reconciled, Failed> {
    within(extension, "reconcile the queue", || {
        Spi::connect(|client| {
            let arguments =
                [epoch.into(), in_flight.into(), after.into(), at_most.into(), on_uncertain().into()];
            let call =
                "SELECT last_seq, first_open, lost FROM image_gen_internal.reconcile($1, $2, $3, $4, $5)";
            let row = client.select(call, Some(1), &arguments)?.first();
            Ok(Reconciled {
                last: row.get(1)?,
                first_open: row.get(2)?,
                found: row.get::<Vec<i64>>(3)?.unwrap_or_default(),
            })
        })
        .map_err(spi)
    })
}

/// Removes bytes of images that no job needs any more, looking at some after a hash; gives where to go on.
pub fn sweep_inputs(extension: pg_sys::Oid, after: &str, at_most: i32) -> Result<Option<String>, Failed> {
    within(extension, "sweep inputs", || {
        Spi::connect(|client| {
            let call = "SELECT last_hash FROM image_gen_internal.sweep_inputs($1, $2)";
            client.select(call, Some(1), &[after.into(), at_most.into()])?.first().get_one::<String>()
        })
        .map_err(spi)
    })
}

/// Removes some of the jobs that ended so many minutes ago or earlier; gives where to go on, or `None` when there are no more.
pub fn prune(extension: pg_sys::Oid, minutes: i32, after: i64, at_most: i32) -> Result<Option<i64>, Failed> {
    within(extension, "prune", || {
        Spi::connect(|client| {
            // What a crash undoes is done again: no session waits for the disk.
            let hurry = "SELECT pg_catalog.set_config('synchronous_commit', 'off', true)";
            client.select(hurry, None, &[])?;
            let arguments = [minutes.into(), after.into(), at_most.into()];
            let call = "SELECT last_seq FROM image_gen_internal.prune_jobs(clock_timestamp() - make_interval(mins => $1), $2, $3)";
            client.select(call, Some(1), &arguments)?.first().get_one::<i64>()
        })
        .map_err(spi)
    })
}

/// Lets jobs that were put off not wait for a clock that was set back.
pub fn clock_set_back(extension: pg_sys::Oid, by: Duration) -> Result<(), Failed> {
    within(extension, "follow the clock", || {
        Spi::connect(|client| {
            let call = "SELECT image_gen_internal.clock_set_back($1)";
            client.select(call, None, &[by.as_secs_f64().into()]).map(drop)
        })
        .map_err(spi)
    })
}

/// What worker_status should show; `None` leaves it as it is.
#[derive(Default)]
pub struct Note {
    /// Names of the keys that are there.
    pub keys: Option<Vec<String>>,
    /// What went wrong; empty where nothing is wrong any more.
    pub error: Option<String>,
    /// How much may be in flight.
    pub limit: Option<Limit>,
}

/// Shows it.
pub fn note(extension: pg_sys::Oid, note: Note) -> Result<(), Failed> {
    within(extension, "note", || {
        Spi::connect(|client| {
            let (cap, reason) = note.limit.map(|l| (l.cap as i32, l.reason)).unzip();
            let arguments = [note.keys.into(), note.error.into(), cap.into(), reason.into()];
            client
                .select("SELECT image_gen_internal.record_worker_state($1, $2, $3, $4)", None, &arguments)
                .map(drop)
        })
        .map_err(spi)
    })
}
