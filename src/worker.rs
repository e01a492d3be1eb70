//! The worker of one database: this thread talks to Postgres in short transactions and sleeps on a wait event set,
//! the other one ([`io`]) talks HTTP. No transaction, lock or snapshot is held while a provider works.

mod callbacks;
mod clock_jump;
mod fence;
mod fold;
mod helper;
mod io;
mod lanes;
mod limits;
mod process;
mod prune;
mod quarantine;
mod queue;
mod sweep;
mod trace;
mod transaction;
mod transitions;
mod user_code;
mod wait_set;
mod webhooks;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use image_gen_engine::cost::Sanity;
use image_gen_engine::egress::Egress;
use image_gen_engine::redact::Redactor;
use pgrx::prelude::*;
use rust_decimal::Decimal;

use crate::keys::Keys;
use crate::settings;
use crate::shared::{self, CALLBACKS, CANCEL, RECONCILE, Slot, WEBHOOKS, WORK};
use clock_jump::ClockJump;
use fold::Folder;
use helper::Helper;
use io::{Command, Commit, Config, Io, Load, Report, Rewrite};
use lanes::Lanes;
use prune::Pruner;
use quarantine::{Quarantine, Turn};
use queue::{Estimates, Note};
use sweep::Pass;
pub use trace::forget;
use transaction::Failed;
use transitions::Outcome;
use wait_set::WaitSet;

/// How many reports go into one transaction.
const FLUSH: usize = 500;
/// How many jobs one claim takes.
const CLAIM: usize = 500;
/// How long the last transactions of an ending worker wait for a lock, in milliseconds.
const LAST_LOCK_WAIT: i32 = 100;
/// The pause after an error that may pass.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How many jobs one look for lost rows of the queue reads, and one look for bytes that are not needed.
const SWEEP: i32 = 1000;
/// In steps of so many it is remembered up to where all jobs are over.
const HISTORY: i64 = 10_000;
/// Jobs that an earlier life had put off are looked for this soon after the start.
const FIRST_RESCAN: Duration = Duration::from_secs(10);

/// The worker's main function; its argument is the oid of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn image_gen_worker_main(arg: pg_sys::Datum) {
    process::install_signal_handlers();
    let database = pg_sys::Oid::from(arg.value() as u32);
    // SAFETY: once, at the start. As the bootstrap superuser, because a role without LOGIN cannot connect before
    // PostgreSQL 17; every transaction then runs as image_gen_worker.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0) };
    process::pin_settings(process::Code::Ours);
    user_code::watch_triggers();
    crate::pause::start();
    let end = serve(database);
    process::end(end);
}

/// Why a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The extension is not in this database (any more).
    Absent,
    /// Another worker of this database runs.
    Duplicate,
    /// It was told to, or cannot go on: it is started again.
    Restart,
}

fn serve(database: pg_sys::Oid) -> End {
    let extension = match transaction::extension() {
        Ok(extension) => extension,
        Err(Failed::Gone) => {
            if let Some(slot) = shared::get().and_then(|s| s.slot(database)) {
                slot.leave(true);
            }
            return End::Absent;
        }
        Err(Failed::Error(_) | Failed::Poison(_)) => return End::Restart,
    };
    let slot = match process::be_the_only_one(database, extension) {
        Ok(slot) => slot,
        Err(()) => return End::Duplicate,
    };
    let mode = if slot.is_some() { "preloaded" } else { "dynamic" };
    let wait_set = WaitSet::new();
    let before = trace::begin(database, extension);
    rest(&before, &wait_set);
    match fence::until_allowed(extension, slot, mode, &wait_set) {
        Ok(()) => {}
        Err(Failed::Gone) => return absent_or_restart(slot),
        Err(Failed::Error(why) | Failed::Poison(why)) => return cannot_start(&why),
    }
    if process::must_stop() {
        return End::Restart;
    }
    let limit = limits::raise(settings::MAX_IN_FLIGHT.get());
    let (keys, wrong_with_keys) = load_keys();
    let epoch = match queue::start_epoch(extension, mode, &limit, &keys.names(), &before.in_hand) {
        Ok(epoch) => epoch,
        Err(Failed::Gone) => return End::Absent,
        Err(Failed::Error(why) | Failed::Poison(why)) => return cannot_start(&why),
    };
    trace::charged();
    process::show_name(&format!("epoch {epoch}"));
    if let Some(slot) = slot {
        // Jobs whose fate the last life did not learn have ended just now.
        slot.complete();
    }
    let all_over_to = match queue::all_over_to(extension) {
        Ok(seq) => seq,
        Err(Failed::Gone) => return absent_or_restart(slot),
        Err(Failed::Error(why) | Failed::Poison(why)) => return cannot_start(&why),
    };
    let io = match Io::start(config(keys.clone()), limit.cap, &wait_set) {
        Ok(io) => io,
        Err(why) => {
            log!("image_gen: the worker cannot start its network thread: {why}");
            return End::Restart;
        }
    };
    let now = Instant::now();
    let mut worker = Worker {
        extension,
        epoch,
        slot,
        cap: limit.cap,
        redactor: Redactor::new(keys.all()),
        io,
        in_flight: HashMap::new(),
        flights: 0,
        pending: VecDeque::new(),
        loads: vec![],
        unanswered: vec![],
        rewriter_rests: None,
        rewrites: VecDeque::new(),
        rewriter_next: now,
        callbacks: callbacks::helper(now),
        webhooks: webhooks::helper(now),
        lost: vec![],
        watermark: 0,
        more: true,
        lanes: Lanes::default(),
        quarantine: Quarantine::new(),
        look_for_suspects: true,
        estimates: Estimates::default(),
        cancels: true,
        put_off: BTreeMap::new(),
        rescan: now + FIRST_RESCAN.min(Duration::from_millis(settings::RESCAN_INTERVAL.get() as u64)),
        fenced: None,
        pruner: Pruner::new(now),
        folder: Folder::default(),
        lost_rows: Pass::new(now),
        all_over_to: (all_over_to, all_over_to),
        first_open: None,
        inputs: Pass::new(now),
        wall: ClockJump::new(),
        last_log: None,
    };
    wrong_with_keys.iter().for_each(|why| worker.complain(why));
    match worker.run(&wait_set) {
        End::Absent => absent_or_restart(slot),
        end => end,
    }
}

/// After a crash: the longer, the more lives in a row ended like that. It survives a restart of the whole server, which each of
/// them is.
fn rest(before: &trace::Before, wait_set: &WaitSet) {
    let longest = || Duration::from_secs(settings::MAX_RESTART_PAUSE.get() as u64);
    let start = Instant::now();
    let left = |longest| before.pause(longest).saturating_sub(start.elapsed());
    if before.deaths > 0 {
        let pause = before.pause(longest()).as_secs();
        let times = if before.deaths == 1 { "once" } else { &format!("{} times in a row", before.deaths) };
        log!("image_gen: the worker has crashed {times}; it begins again in {pause} s");
        process::show_name("rests after a crash");
    }
    while !process::must_stop() && !left(longest()).is_zero() {
        wait_set.sleep(left(longest()));
        if process::must_reload() {
            process::read_config_file();
        }
    }
}

/// The end of a worker whose extension is gone. Dropped and created again is another extension: the next life serves it.
fn absent_or_restart(slot: Option<&'static Slot>) -> End {
    if !matches!(transaction::extension(), Err(Failed::Gone)) {
        return End::Restart;
    }
    // SAFETY: set when the process connected.
    forget(unsafe { pg_sys::MyDatabaseId });
    if let Some(slot) = slot {
        slot.leave(true);
    }
    End::Absent
}

fn cannot_start(why: &str) -> End {
    log!("image_gen: the worker cannot start: {why}");
    End::Restart
}

fn config(keys: Keys) -> Config {
    let own_machine = io::own_machine(&keys);
    Config {
        keys,
        egress: Egress { own_machine, ..settings::egress() },
        keep_all_bytes: settings::KEEP_BYTES.get() == settings::KeepBytes::All,
        preview_when_unconfigured: settings::PREVIEW_WHEN_UNCONFIGURED.get(),
        resend_uncertain: settings::ON_UNCERTAIN.get() == settings::OnUncertain::Retry,
        max_refusals: settings::MAX_REFUSALS.get() as u32,
        sanity: Sanity {
            factor: decimal(settings::COST_SANITY_FACTOR.get()),
            ceiling: decimal(settings::COST_SANITY_CEILING.get()),
        },
        breaker_failures: settings::BREAKER_FAILURES.get() as u32,
        outage_timeout: Duration::from_secs(settings::OUTAGE_TIMEOUT.get() as u64),
        balance_interval: Duration::from_secs(settings::BALANCE_INTERVAL.get() as u64),
    }
}

/// What a setting says; its bounds keep it within those of a decimal.
fn decimal(setting: f64) -> Decimal {
    Decimal::try_from(setting).unwrap_or(Decimal::TEN)
}

/// The keys of now, with what is wrong with their file.
fn load_keys() -> (Keys, Option<String>) {
    Keys::load(&settings::text(&settings::SECRETS_FILE))
}

/// How often reading an image may fail.
const LOAD_TRIES: u32 = 3;
/// How long a rewriting function is left alone after an error.
const REWRITER_REST: Duration = Duration::from_secs(60);

/// A rewrite that takes so long is followed by a pause, in rewrites.
const SLOW_REWRITE: Duration = Duration::from_millis(50);
const REWRITER_PAUSES: u32 = 4;

/// A job with the network thread.
struct Flight {
    /// A job that goes back to the queue can be handed over again before its old task has said good-bye.
    number: u64,
    /// Whose it is.
    owner: pg_sys::Oid,
    /// Its end, or its return to the queue, is durable.
    settled: bool,
}

struct Worker {
    extension: pg_sys::Oid,
    epoch: i64,
    slot: Option<&'static Slot>,
    cap: usize,
    /// Takes keys out of what is logged and shown.
    redactor: Redactor,
    io: Io,
    /// What is with the network thread.
    in_flight: HashMap<i64, Flight>,
    /// How many jobs were handed over so far.
    flights: u64,
    /// What the network thread wants durable and is not yet.
    pending: VecDeque<Commit>,
    /// Images that the network thread wants and does not have yet.
    loads: Vec<Load>,
    /// Prompts whose softer words the next life looks for.
    unanswered: Vec<Rewrite>,
    /// After an error `image_gen.prompt_rewriter` is left alone until then.
    rewriter_rests: Option<Instant>,
    /// Prompts that wait for softer words, and when the next one has its turn: the administrator's function has a share of this thread.
    rewrites: VecDeque<Rewrite>,
    rewriter_next: Instant,
    /// The process that calls registered functions.
    callbacks: Helper,
    /// The process that sends messages to webhooks.
    webhooks: Helper,
    /// Jobs whose task ended and left them open.
    lost: Vec<i64>,
    /// Every ready job up to here was claimed. New ones have a higher seq; what commits late says so itself.
    watermark: i64,
    /// The last claim left something behind.
    more: bool,
    /// Whose turn it is when there is more than fits.
    lanes: Lanes,
    /// Jobs that were in hand when a worker died.
    quarantine: Quarantine,
    look_for_suspects: bool,
    /// How long images really take.
    estimates: Estimates,
    /// There may be jobs in flight that a user wants stopped.
    cancels: bool,
    /// Jobs that were put off, by when they are due.
    put_off: BTreeMap<Instant, i64>,
    rescan: Instant,
    /// Why nothing more is claimed.
    fenced: Option<String>,
    pruner: Pruner,
    folder: Folder,
    /// The look for open jobs that have lost their row in the queue.
    lost_rows: Pass<i64>,
    /// Every job up to here is over: as is known now, and as is written down.
    all_over_to: (i64, i64),
    /// The first open job that this pass has seen.
    first_open: Option<i64>,
    /// The look for bytes that no job needs any more.
    inputs: Pass<String>,
    wall: ClockJump,
    last_log: Option<(Instant, String)>,
}

impl Worker {
    /// Each round is bounded: finished work first, then new work, then sleep.
    fn run(&mut self, wait_set: &WaitSet) -> End {
        loop {
            trace::turn();
            if process::must_stop() {
                return self.stop(wait_set);
            }
            if process::must_reload() {
                self.reload();
            }
            let round = self.flush().and_then(|more| self.look(more));
            self.prune();
            if let Err(why) = self.sweep() {
                self.note_failure::<()>(why);
            }
            let pause = match round {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.pause(),
                Err(Failed::Gone) => return End::Absent,
                // What a SIGTERM cancelled is no error, and no reason to pause.
                Err(_) if process::must_stop() => Duration::ZERO,
                Err(Failed::Error(why) | Failed::Poison(why)) => {
                    self.complain(&why);
                    AFTER_ERROR
                }
            };
            if !pause.is_zero() {
                transaction::report_statistics();
            }
            wait_set.sleep(pause);
        }
    }

    fn pause(&self) -> Duration {
        let due = self.put_off.keys().next().copied().into_iter();
        let due = due.chain(self.pruner.due()).chain(self.folder.due()).chain(self.quarantine.wakes());
        let due = due
            .chain(self.lost_rows.due())
            .chain(self.inputs.due())
            .chain(self.callbacks.due())
            .chain(self.webhooks.due());
        let due = due.chain((!self.rewrites.is_empty()).then_some(self.rewriter_next));
        let due = due.fold(self.rescan, Instant::min);
        due.saturating_duration_since(Instant::now())
    }

    /// Writes down what the network thread reports; true when there is more.
    fn flush(&mut self) -> Result<bool, Failed> {
        let mut ended = vec![];
        let room = FLUSH.saturating_sub(self.pending.len());
        let reports = self.io.reports(room);
        let full = reports.len() == room;
        for report in reports {
            match report {
                Report::Commit(commit) => self.pending.push_back(commit),
                Report::Rewrite(rewrite) => self.rewrites.push_back(rewrite),
                Report::Health(rows) => {
                    for (row, news) in rows.iter().filter_map(|row| row.news.map(|news| (row, news))) {
                        let whom = [row.provider.as_str(), row.model.as_str()].join(" ");
                        let why = row.last_error_code.filter(|_| row.state != "up");
                        let why = why.map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
                        log!("image_gen: provider {} is {news}{why}", whom.trim_end());
                    }
                    if let Err(why) = queue::health(self.extension, rows) {
                        self.note_failure::<()>(why);
                    }
                }
                Report::Balance(balance) => {
                    if let Err(why) = queue::balance(self.extension, &balance) {
                        self.note_failure::<()>(why);
                    }
                }
                Report::Load(load) => self.loads.push(load),
                Report::Ended { seq, number } => ended.push((seq, number)),
            }
        }
        let mut outcome = Outcome::default();
        let written = self.write(&mut outcome);
        self.after(outcome);
        // A task that ended with its job open was refused (a cancel came first) or panicked: it must be decided about.
        let mut lost = vec![];
        for (seq, number) in ended {
            if self.in_flight.get(&seq).is_some_and(|flight| flight.number == number) {
                let flight = self.in_flight.remove(&seq);
                lost.extend(flight.filter(|flight| !flight.settled).map(|_| seq));
            }
        }
        self.lost.extend(lost);
        self.soften();
        written?;
        self.load();
        if !self.lost.is_empty() && !process::must_stop() {
            queue::take_over(self.extension, self.epoch, self.lost.clone())?;
            self.look_for_suspects |= !self.quarantine.is_empty();
            // That its row is gone may be why a job was lost.
            self.look_for_lost_rows(self.lost.iter().copied().min().unwrap_or(1));
            self.go_back_to(self.lost.iter().copied().min().unwrap_or(0));
            self.lost.clear();
            self.more = true;
            self.cancels = true;
            self.tell_waiters();
        }
        Ok(full)
    }

    /// Makes durable what is pending: in one transaction, but for jobs that a worker died with.
    fn write(&mut self, outcome: &mut Outcome) -> Result<(), Failed> {
        let mut record = |commits: &mut VecDeque<Commit>| match commits.is_empty() {
            true => Ok(()),
            false => transitions::record(self.extension, self.epoch, commits, outcome),
        };
        if self.quarantine.is_empty() {
            return record(&mut self.pending);
        }
        let (suspects, mut others): (VecDeque<_>, VecDeque<_>) =
            self.pending.drain(..).partition(|commit| self.quarantine.suspects(commit.seq));
        let mut written = record(&mut others);
        self.pending = others;
        for suspect in suspects {
            let mut one = VecDeque::from([suspect]);
            if written.is_ok() {
                written = record(&mut one);
            }
            self.pending.append(&mut one);
        }
        written
    }

    /// Reads the images that are wanted. One that cannot be read is tried again by the next rounds, and given up in the end:
    /// only its own job suffers.
    fn load(&mut self) {
        for mut load in std::mem::take(&mut self.loads) {
            let bytes = match queue::bytes(self.extension, &load.sha256) {
                Ok(bytes) => bytes,
                Err(Failed::Error(_)) if load.failures < LOAD_TRIES => {
                    load.failures += 1;
                    self.more = true;
                    self.loads.push(load);
                    continue;
                }
                Err(why) => self.note_failure(why),
            };
            // A task that is gone needs no answer.
            let _ = load.done.send(bytes);
        }
    }

    /// Something went wrong that no other job has to suffer from. (A dropped extension is noticed by what follows.)
    fn note_failure<T>(&mut self, failed: Failed) -> Option<T> {
        if let Failed::Error(why) | Failed::Poison(why) = failed {
            self.complain(&why);
        }
        None
    }

    /// Looks for softer words for the prompts that wait for them. A function that takes long has its turn less often.
    fn soften(&mut self) {
        while Instant::now() >= self.rewriter_next
            && let Some(rewrite) = self.rewrites.pop_front()
        {
            let start = Instant::now();
            match self.rewrite(&rewrite) {
                // A SIGTERM has cancelled the question: the next life asks it again. No answer is not "nothing softer".
                _ if process::must_stop() => self.unanswered.push(rewrite),
                Ok(prompt) => drop(rewrite.done.send(prompt)),
                // What goes wrong with these is theirs alone.
                Err(why) => {
                    let nothing = self.note_failure(why);
                    let _ = rewrite.done.send(nothing);
                }
            }
            let took = start.elapsed();
            if took >= SLOW_REWRITE {
                self.rewriter_next = Instant::now() + took * REWRITER_PAUSES;
            }
        }
    }

    /// A softer prompt: from the administrator's own function, else from the rules.
    fn rewrite(&mut self, refused: &Rewrite) -> Result<Option<String>, Failed> {
        let function = settings::text(&settings::PROMPT_REWRITER);
        let rests = self.rewriter_rests.is_some_and(|until| Instant::now() < until);
        if !function.is_empty() && !rests {
            match queue::rewrite_by(self.extension, &function, refused) {
                Ok(Some(prompt)) => return Ok(Some(prompt)),
                Ok(None) => {}
                Err(Failed::Gone) => return Err(Failed::Gone),
                Err(Failed::Error(why) | Failed::Poison(why)) => {
                    // It may be slow rather than wrong: other jobs do not wait for it again and again.
                    self.rewriter_rests = Some(Instant::now() + REWRITER_REST);
                    self.complain(&format!("image_gen.prompt_rewriter: {why}"));
                }
            }
        }
        queue::rewrite(self.extension, &refused.prompt)
    }

    fn after(&mut self, outcome: Outcome) {
        let now = Instant::now();
        for (seq, after) in outcome.put_off {
            self.settle(seq);
            self.look_for_suspects |= self.quarantine.suspects(seq);
            // One entry for all that are due at the same moment: going back to the lowest finds the others.
            self.put_off.entry(now + after).and_modify(|lowest| *lowest = seq.min(*lowest)).or_insert(seq);
        }
        if !outcome.closed.is_empty() {
            self.tell_waiters();
        }
        self.folder.ended(outcome.closed.len(), now);
        outcome.closed.into_iter().for_each(|seq| self.settle(seq));
        for why in outcome.errors {
            self.complain(&why);
        }
    }

    /// Wakes the sessions that wait for jobs to end.
    fn tell_waiters(&self) {
        if let Some(slot) = self.slot {
            slot.complete();
        }
    }

    fn settle(&mut self, seq: i64) {
        if let Some(flight) = self.in_flight.get_mut(&seq) {
            flight.settled = true;
        }
    }

    /// Looks for work where there may be some; true when there is more.
    fn look(&mut self, more_reports: bool) -> Result<bool, Failed> {
        let now = Instant::now();
        if let Some(back) = self.wall.set_back() {
            log!("image_gen: the clock was set back by {} s", back.as_secs());
            queue::clock_set_back(self.extension, back)?;
        }
        // Without shared memory every wake may mean anything.
        let (told, min_seq) = self.slot.map_or((WORK | CANCEL, 1), Slot::told);
        if told & WORK != 0 {
            if self.slot.is_some() {
                // A job that was over may be open again.
                self.all_over_to.0 = self.all_over_to.0.min(min_seq.saturating_sub(1));
            }
            self.go_back_to(min_seq);
            self.more = true;
        }
        if told & CALLBACKS != 0 {
            self.callbacks.want();
        }
        if told & WEBHOOKS != 0 {
            self.webhooks.want();
        }
        if told & RECONCILE != 0 {
            self.look_for_lost_rows(1);
        }
        while let Some(entry) = self.put_off.first_entry().filter(|e| *e.key() <= now) {
            let seq = entry.remove();
            self.go_back_to(seq);
            self.more = true;
        }
        let rescan = now >= self.rescan;
        self.cancels |= rescan || told & CANCEL != 0;
        if rescan {
            self.rescan = now + Duration::from_millis(settings::RESCAN_INTERVAL.get() as u64);
            self.watermark = 0;
            self.more = true;
            // A dump can be restored into a database that is at work: then nothing more is claimed.
            let fenced = queue::fenced(self.extension)?;
            if fenced != self.fenced {
                fenced.iter().for_each(|why| fence::say(why));
                self.fenced = fenced;
            }
            if self.fenced.is_none() {
                self.pruner.wake(now);
                self.folder.wake(now);
                self.lost_rows.wake(self.all_over_to.0, now);
                self.inputs.wake(String::new(), now);
                // Those that failed are called again, and those that came without a wake-up.
                if queue::callbacks_due(self.extension)?.is_some_and(|due| due < FIRST_RESCAN) {
                    self.callbacks.want();
                }
                if webhooks::due(self.extension)?.is_some_and(|due| due < FIRST_RESCAN) {
                    self.webhooks.want();
                }
            }
        }
        self.callbacks.tend(now);
        self.webhooks.tend(now);
        if self.look_for_suspects || rescan {
            self.quarantine.seen(queue::suspects(self.extension)?, now);
            self.look_for_suspects = false;
        }
        let turn = self.quarantine.turn(now, self.in_flight.len(), |seq| self.in_flight.contains_key(&seq));
        if turn == Turn::One {
            let job = queue::claim_alone(self.extension, self.epoch, &mut self.estimates)?;
            self.quarantine.began(job.as_ref().map(|job| job.seq), now);
            job.into_iter().for_each(|job| self.hand_over(job));
        }
        let room = match turn {
            Turn::All => self.cap.saturating_sub(self.in_flight.len()).min(CLAIM),
            Turn::None | Turn::One => 0,
        };
        if self.more && room > 0 {
            self.claim(room)?;
        } else if rescan {
            transaction::check(self.extension)?;
        }
        if std::mem::take(&mut self.cancels) && !self.in_flight.is_empty() {
            for seq in queue::cancellations(self.extension, self.epoch)? {
                self.io.send(Command::Cancel(seq));
            }
        }
        Ok(more_reports || (self.more && room > 0 && self.in_flight.len() < self.cap))
    }

    /// Removes a few jobs that are kept for no longer, and folds a few that are over, where it is time for that.
    fn prune(&mut self) {
        if user_code::triggers_rest() {
            return;
        }
        for step in [self.pruner.step(self.extension), self.folder.step(self.extension)] {
            if let Err(why) = step {
                // A dropped extension is noticed by what follows.
                self.note_failure::<()>(why);
            }
        }
    }

    /// Looks for open jobs without a row in the queue, from this one on.
    fn look_for_lost_rows(&mut self, from: i64) {
        self.first_open = None;
        self.all_over_to.0 = self.all_over_to.0.min(from.saturating_sub(1));
        self.lost_rows.begin(self.all_over_to.0, Instant::now());
    }

    /// One step of each look that is due.
    fn sweep(&mut self) -> Result<(), Failed> {
        let rescan = Duration::from_millis(settings::RESCAN_INTERVAL.get() as u64);
        let start = Instant::now();
        if let Some(after) = self.lost_rows.step(start) {
            let in_flight = self.in_flight.keys().copied().collect();
            let looked = queue::reconcile(self.extension, self.epoch, in_flight, after, SWEEP)?;
            self.lost_rows.done(start, looked.last, rescan);
            if let Some(first) = looked.found.iter().min() {
                log!(
                    "image_gen: {} open jobs had lost their row in the queue, and go on",
                    looked.found.len()
                );
                self.go_back_to(*first);
                self.more = true;
            }
            self.first_open = self.first_open.or(looked.first_open);
            let over = match (self.first_open, looked.last) {
                (Some(first), _) => first - 1,
                (None, Some(last)) => last,
                (None, None) => after,
            };
            self.all_over_to.0 = self.all_over_to.0.max(over);
            if looked.last.is_none() {
                self.first_open = None;
            }
            if self.all_over_to.0 >= self.all_over_to.1 + HISTORY {
                queue::note_all_over(self.extension, self.all_over_to.0)?;
                self.all_over_to.1 = self.all_over_to.0;
            }
        }
        let start = Instant::now();
        if let Some(after) = self.inputs.step(start) {
            let last = queue::sweep_inputs(self.extension, &after, SWEEP)?;
            self.inputs.done(start, last, rescan);
        }
        Ok(())
    }

    fn go_back_to(&mut self, seq: i64) {
        self.watermark = self.watermark.min(seq.saturating_sub(1));
        self.lanes.go_back_to(seq);
    }

    fn claim(&mut self, room: usize) -> Result<(), Failed> {
        let now = Instant::now();
        if self.lanes.is_due(now) {
            let waiting = queue::waiting(self.extension)?;
            self.lanes.seen(waiting, now, now.elapsed());
        }
        let in_flight = self.in_flight.values().map(|flight| flight.owner);
        let lanes = self.lanes.for_claim(in_flight);
        let by_lanes = lanes.is_some();
        let claimed =
            queue::claim(self.extension, self.epoch, room, self.watermark, lanes, &mut self.estimates)?;
        let full = claimed.len() == room;
        // What is not in the lanes is found in the order of the queue.
        self.more = full || by_lanes;
        self.lanes.crowd(full);
        for job in claimed {
            if by_lanes {
                self.lanes.claimed(job.owner, job.seq);
            } else {
                self.watermark = self.watermark.max(job.seq);
            }
            self.hand_over(job);
        }
        Ok(())
    }

    /// Gives a claimed job to the network thread.
    fn hand_over(&mut self, job: queue::Claimed) {
        self.flights += 1;
        let number = self.flights;
        let flight = Flight { number, owner: job.owner, settled: false };
        self.in_flight.insert(job.seq, flight);
        self.io.send(Command::Run { job: Box::new(job), number });
    }

    fn reload(&mut self) {
        process::read_config_file();
        let (keys, error) = load_keys();
        if let Some(why) = &error {
            warning!("{why}");
        }
        self.redactor = self.redactor.with(keys.all());
        self.rewriter_rests = None;
        self.last_log = None;
        let limit = limits::raise(settings::MAX_IN_FLIGHT.get());
        self.cap = limit.cap;
        self.more = true;
        self.pruner = Pruner::new(Instant::now());
        self.pruner.wake(Instant::now());
        // What was wrong was put right, or it will be said again.
        let error = error.or_else(|| Some(String::new()));
        let note = Note { keys: Some(keys.names()), error, limit: Some(limit) };
        self.io.send(Command::Configure(Box::new(config(keys))));
        if let Err(Failed::Error(why)) = queue::note(self.extension, note) {
            self.complain(&why);
        }
    }

    /// Logs an error, the same one at most once a minute, and shows it in worker_status.
    fn complain(&mut self, why: &str) {
        let now = Instant::now();
        if let Some((at, last)) = &self.last_log
            && last == why
            && now.duration_since(*at) < Duration::from_secs(60)
        {
            return;
        }
        let mut shown = why.to_owned();
        self.redactor.clean_excerpt(&mut shown);
        log!("image_gen: {shown}");
        // If this fails too, the log has the reason of both.
        let _ = queue::note(self.extension, Note { error: Some(shown), ..Note::default() });
        self.last_log = Some((now, why.to_owned()));
    }

    /// No new work; what was just sent gets a moment to be answered; what is accepted is resumed by the next life.
    fn stop(&mut self, wait_set: &WaitSet) -> End {
        self.io.send(Command::Stop);
        process::wait_for_locks_at_most(LAST_LOCK_WAIT);
        let ends = Instant::now() + Duration::from_millis(settings::SHUTDOWN_GRACE.get() as u64);
        while !self.in_flight.is_empty() && Instant::now() < ends {
            if let Err(Failed::Gone) = self.flush() {
                return End::Absent;
            }
            wait_set.sleep(ends.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        }
        End::Restart
    }
}
