//! The worker of one database: this thread talks to Postgres in short transactions and sleeps on a wait event set,
//! the other one ([`io`]) talks HTTP. No transaction, lock or snapshot is held while a provider works.
//!
//! Each round: what the network thread reports is made durable ([`recorder`]), then what may be claimed is
//! ([`image_gen_engine::scheduler`]), then a step of what can wait ([`upkeep`]), then sleep.

mod audit;
mod callbacks;
mod clock_jump;
mod complaints;
mod config;
mod copies;
mod fence;
mod fold;
mod held;
mod helper;
mod io;
mod limits;
mod process;
mod prune;
mod quarantine;
mod queue;
mod recorder;
mod rewriter;
mod start;
mod sweep;
mod trace;
mod transaction;
mod transitions;
mod upkeep;
mod user_code;
mod wait_set;
mod webhooks;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use image_gen_engine::redact::Redactor;
use image_gen_engine::scheduler::{Cursor, Scheduler};
use pgrx::prelude::*;

use crate::keys::Keys;
use crate::settings;
use crate::shared::{CALLBACKS, CANCEL, CATALOGUE, COPIES, RECONCILE, Slot, WEBHOOKS, WORK};
use clock_jump::ClockJump;
use complaints::Complaints;
use config::{config, load_keys};
use held::Held;
use helper::Helper;
use io::{Command, Io, Load, Report};
pub use io::{SignalMask, monotonic, own_machine};
use quarantine::{Quarantine, Turn};
use queue::{Estimates, Note};
use recorder::Recorder;
use rewriter::Rewriter;
use start::End;
pub use trace::forget;
use transaction::Failed;
use transitions::Outcome;
use upkeep::Upkeep;
use wait_set::WaitSet;

/// How many jobs one claim takes.
const CLAIM: usize = 500;
/// How long the last transactions of an ending worker wait for a lock, in milliseconds.
const LAST_LOCK_WAIT: i32 = 100;
/// The pause after an error that may pass.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// A job whose task ended and left it open is looked at again after this: what held it up, a session that is just canceling
/// it for instance, may hold it up again.
const AFTER_LOSS: Duration = Duration::from_secs(1);
/// Jobs that an earlier life had put off are looked for this soon after the start.
const FIRST_RESCAN: Duration = Duration::from_secs(10);
/// How often reading an image may fail.
const LOAD_TRIES: u32 = 3;

/// A job with the network thread.
struct Flight {
    /// A job that goes back to the queue can be handed over again before its old task has said good-bye.
    number: u64,
    /// Whose it is.
    owner: pg_sys::Oid,
    /// Its end, or its return to the queue, is durable.
    durable: bool,
}

/// What was found out at the start.
struct Life {
    extension: pg_sys::Oid,
    epoch: i64,
    slot: Option<&'static Slot>,
    /// Every job up to here was over when the worker before last looked.
    all_over_to: i64,
}

struct Worker {
    extension: pg_sys::Oid,
    epoch: i64,
    slot: Option<&'static Slot>,
    cap: usize,
    io: Io,
    complaints: Complaints,
    scheduler: Scheduler,
    recorder: Recorder,
    rewriter: Rewriter,
    upkeep: Upkeep,
    /// What is with the network thread.
    in_flight: HashMap<i64, Flight>,
    /// What of that is ready in the queue still: a claim must not bring it again.
    in_hand: HashSet<i64>,
    /// What waits for its role to have fewer in flight.
    held: Held,
    /// How many jobs were handed over so far.
    flights: u64,
    /// Images that the network thread wants and does not have yet.
    loads: Vec<Load>,
    /// Jobs whose task ended and left them open.
    lost: Vec<i64>,
    /// Jobs that were in hand when a worker died.
    quarantine: Quarantine,
    look_for_suspects: bool,
    /// How long images really take.
    estimates: Estimates,
    /// There may be jobs in flight that a user wants stopped.
    cancels: bool,
    /// The network thread has jobs, and limits of providers that may be of before a change.
    limits: bool,
    /// Why nothing more is claimed.
    fenced: Option<String>,
    /// The process that calls registered functions.
    callbacks: Helper,
    /// The process that sends messages to webhooks.
    webhooks: Helper,
    /// The process that copies images to a store.
    copies: Helper,
    wall: ClockJump,
    /// Those of the last reload.
    keys: Keys,
}

impl Worker {
    fn new(life: Life, cap: usize, io: Io, keys: Keys) -> Self {
        let now = Instant::now();
        Worker {
            extension: life.extension,
            epoch: life.epoch,
            slot: life.slot,
            cap,
            io,
            complaints: Complaints::new(Redactor::new(keys.all())),
            scheduler: Scheduler::new(now + FIRST_RESCAN.min(rescan_interval())),
            recorder: Recorder::default(),
            rewriter: Rewriter::new(now),
            upkeep: Upkeep::new(life.all_over_to, now),
            in_flight: HashMap::new(),
            in_hand: HashSet::new(),
            held: Held::default(),
            flights: 0,
            loads: vec![],
            lost: vec![],
            quarantine: Quarantine::new(),
            look_for_suspects: true,
            estimates: Estimates::default(),
            cancels: true,
            limits: false,
            fenced: None,
            callbacks: callbacks::helper(now),
            webhooks: webhooks::helper(now),
            copies: copies::helper(now),
            wall: ClockJump::new(),
            keys,
        }
    }

    /// Each round is bounded: finished work first, then new work, then sleep.
    fn run(&mut self, wait_set: &WaitSet) -> End {
        loop {
            trace::turn();
            if let Some(slot) = self.slot {
                slot.give_sign();
            }
            if process::must_stop() {
                return self.stop(wait_set);
            }
            if process::must_reload() {
                self.reload();
            }
            let round = self.flush().and_then(|more| self.look(more));
            self.maintain();
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
        let due = [
            self.upkeep.due(),
            self.quarantine.wakes(),
            self.callbacks.due(),
            self.webhooks.due(),
            self.copies.due(),
            self.rewriter.due(),
            self.io.denials.due(Instant::now()),
        ];
        let due = due.into_iter().flatten().fold(self.scheduler.due(), Instant::min);
        due.saturating_duration_since(Instant::now())
    }

    /// Writes down what the network thread reports; true when there is more.
    fn flush(&mut self) -> Result<bool, Failed> {
        let mut ended = vec![];
        let room = self.recorder.room();
        let reports = self.io.reports(room);
        let full = reports.len() == room;
        for report in reports {
            match report {
                Report::Commit(commit) => self.recorder.push(commit),
                Report::Rewrite(rewrite) => self.rewriter.want(rewrite),
                Report::Health(rows) => self.record_health(rows),
                Report::Balance(balance) => {
                    if let Err(why) = queue::balance(self.extension, &balance) {
                        self.note::<()>(why);
                    }
                }
                Report::Benched(name, why) => {
                    log!(
                        "image_gen: key {name} is not used for a while ({}), others of its provider are",
                        why.as_str()
                    );
                }
                Report::Load(load) => self.loads.push(load),
                Report::Label(label) => {
                    let labels = match queue::labels(self.extension, &label.job_id) {
                        Ok(labels) => labels,
                        Err(why) => self.note(why),
                    };
                    // Without them its bytes go where they always went.
                    let _ = label.done.send(labels);
                }
                Report::Ended { seq, number } => ended.push((seq, number)),
            }
        }
        let mut outcome = Outcome::default();
        let written = self.recorder.write(self.extension, self.epoch, &self.quarantine, &mut outcome);
        self.after(outcome);
        // A task that ended with its job open was refused (a cancel came first) or panicked: it must be decided about.
        for (seq, number) in ended {
            if self.in_flight.get(&seq).is_some_and(|flight| flight.number == number)
                && self.in_flight.remove(&seq).is_some_and(|flight| !flight.durable)
            {
                self.in_hand.remove(&seq);
                self.lost.push(seq);
            }
        }
        self.rewriter.step(self.extension, &mut self.complaints);
        written?;
        self.load();
        self.rescue_lost()?;
        Ok(full)
    }

    /// Logs changes of the circuit breakers, and writes them down.
    fn record_health(&mut self, rows: Vec<image_gen_engine::health::Row>) {
        for (row, news) in rows.iter().filter_map(|row| row.news.map(|news| (row, news))) {
            let whom = [row.provider.as_str(), row.model.as_str()].join(" ");
            let why = row.last_error_code.filter(|_| row.state != "up");
            let why = why.map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
            log!("image_gen: provider {} is {news}{why}", whom.trim_end());
        }
        if let Err(why) = queue::health(self.extension, rows) {
            self.note::<()>(why);
        }
    }

    /// Decides about jobs whose task ended and left them open.
    fn rescue_lost(&mut self) -> Result<(), Failed> {
        let Some(first) = self.lost.iter().copied().min().filter(|_| !process::must_stop()) else {
            return Ok(());
        };
        queue::take_over(self.extension, self.epoch, self.lost.clone())?;
        self.look_for_suspects |= !self.quarantine.is_empty();
        // That its row is gone may be why a job was lost.
        let now = Instant::now();
        self.upkeep.look_for_lost_rows(first, now);
        self.scheduler.put_off(first, now + AFTER_LOSS);
        self.lost.clear();
        self.cancels = true;
        self.tell_waiters();
        Ok(())
    }

    /// Reads the images that are wanted. One that cannot be read is tried again by the next rounds, and given up in the end:
    /// only its own job suffers.
    fn load(&mut self) {
        for mut load in std::mem::take(&mut self.loads) {
            let bytes = match queue::image(self.extension, &load.sha256) {
                Ok(bytes) => bytes,
                Err(Failed::Error(_)) if load.failures < LOAD_TRIES => {
                    load.failures += 1;
                    self.scheduler.look_again();
                    self.loads.push(load);
                    continue;
                }
                Err(why) => self.note(why),
            };
            // A task that is gone needs no answer.
            let _ = load.done.send(bytes);
        }
    }

    /// What follows from what is durable now.
    fn after(&mut self, outcome: Outcome) {
        let now = Instant::now();
        for seq in outcome.begun {
            self.in_hand.remove(&seq);
        }
        for (seq, after) in outcome.put_off {
            self.mark_durable(seq);
            self.look_for_suspects |= self.quarantine.suspects(seq);
            self.scheduler.put_off(seq, now + after);
        }
        if !outcome.closed.is_empty() {
            self.tell_waiters();
        }
        self.upkeep.ended(outcome.closed.len(), now);
        outcome.closed.into_iter().for_each(|seq| self.mark_durable(seq));
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

    fn mark_durable(&mut self, seq: i64) {
        self.in_hand.remove(&seq);
        if let Some(flight) = self.in_flight.get_mut(&seq) {
            flight.durable = true;
        }
    }

    /// Looks for work where there may be some; true when there is more.
    fn look(&mut self, more_reports: bool) -> Result<bool, Failed> {
        let now = Instant::now();
        if let Some(back) = self.wall.set_back() {
            log!("image_gen: the clock was set back by {} s", back.as_secs());
            queue::clock_set_back(self.extension, back)?;
        }
        self.listen(now);
        if self.limits && !self.in_flight.is_empty() {
            self.io.send(Command::Limits(queue::catalogue_now(self.extension)?));
        }
        self.limits = false;
        self.scheduler.release(now);
        let rescan = self.scheduler.rescan(now, rescan_interval());
        if rescan {
            self.cancels = true;
            self.rescan(now)?;
        }
        self.callbacks.tend(now);
        self.webhooks.tend(now);
        self.copies.tend(now);
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
        if turn == Turn::All {
            self.release();
        }
        let room = match turn {
            Turn::All => self.cap.saturating_sub(self.in_flight.len()).min(CLAIM),
            Turn::None | Turn::One => 0,
        };
        if self.scheduler.has_more() && room > 0 {
            self.claim(room)?;
        } else if rescan {
            transaction::check(self.extension)?;
        }
        if std::mem::take(&mut self.cancels) && !self.in_flight.is_empty() {
            for seq in queue::cancellations(self.extension, self.in_hand())? {
                self.io.send(Command::Cancel(seq));
            }
        }
        Ok(more_reports || (self.scheduler.has_more() && room > 0 && self.in_flight.len() < self.cap))
    }

    /// What committing sessions have said. Without shared memory every wake may mean anything.
    fn listen(&mut self, now: Instant) {
        let (told, min_seq) = self.slot.map_or((WORK | CANCEL | CATALOGUE, 1), Slot::told);
        if told & WORK != 0 {
            if self.slot.is_some() {
                self.upkeep.reopened(min_seq);
            }
            self.scheduler.go_back_to(min_seq);
        }
        if told & CALLBACKS != 0 {
            self.callbacks.want();
        }
        if told & WEBHOOKS != 0 {
            self.webhooks.want();
        }
        if told & COPIES != 0 {
            self.copies.want();
        }
        if told & RECONCILE != 0 {
            self.upkeep.look_for_lost_rows(1, now);
        }
        self.cancels |= told & CANCEL != 0;
        if told & CATALOGUE != 0 {
            self.limits = true;
            let (held, first) = self.held.let_go();
            self.in_hand.retain(|seq| !held.contains(seq));
            first.into_iter().for_each(|first| self.scheduler.go_back_to(first));
        }
    }

    /// From time to time: whether it may still work, and what no wake-up tells.
    fn rescan(&mut self, now: Instant) -> Result<(), Failed> {
        // A dump can be restored into a database that is at work: then nothing more is claimed.
        let fenced = queue::fenced(self.extension)?;
        if fenced != self.fenced {
            fenced.iter().for_each(|why| fence::say(why));
            self.fenced = fenced;
        }
        if self.fenced.is_none() {
            self.upkeep.wake(now);
            // Those that failed are called again, and those that came without a wake-up.
            if queue::callbacks_due(self.extension)?.is_some_and(|due| due < FIRST_RESCAN) {
                self.callbacks.want();
            }
            if webhooks::due(self.extension)?.is_some_and(|due| due < FIRST_RESCAN) {
                self.webhooks.want();
            }
            if copies::due(self.extension)?.is_some_and(|due| due < FIRST_RESCAN) {
                self.copies.want();
            }
        }
        Ok(())
    }

    /// A step of what can wait.
    fn maintain(&mut self) {
        self.upkeep.prune(self.extension, &mut self.complaints);
        if let Err(why) = audit::denials(self.extension, &self.io.denials) {
            self.note::<()>(why);
        }
        // A job that was put off is in the queue again, also while its task still says good-bye.
        let in_flight =
            || self.in_flight.iter().filter(|(_, flight)| !flight.durable).map(|(seq, _)| *seq).collect();
        match self.upkeep.sweep(self.extension, self.epoch, in_flight) {
            Ok(Some(found)) => self.scheduler.go_back_to(found),
            Ok(None) => {}
            Err(why) => {
                self.note::<()>(why);
            }
        }
    }

    /// What was read from the queue and has not begun.
    fn in_hand(&self) -> Vec<i64> {
        self.in_hand.iter().copied().collect()
    }

    fn claim(&mut self, room: usize) -> Result<(), Failed> {
        let now = Instant::now();
        if self.scheduler.tenants().is_due(now) {
            let waiting = queue::waiting(self.extension)?;
            let waiting = waiting.into_iter().map(|(owner, first)| (owner.to_u32(), first)).collect();
            self.scheduler.tenants().seen(waiting, now, now.elapsed());
        }
        let in_hand = self.in_hand();
        let in_flight = self.in_flight.values().map(|flight| flight.owner.to_u32());
        let (after, cursors) = self.scheduler.claim_from(in_flight);
        let by_turns = cursors.is_some();
        let worth = |cursor: &&Cursor| !self.held.is_full(cursor.owner);
        let cursors = cursors.map(|all| all.iter().filter(worth).cloned().collect::<Vec<_>>());
        let claimed = queue::claim(
            self.extension,
            self.epoch,
            room,
            after,
            cursors.as_deref(),
            in_hand,
            &mut self.estimates,
        )?;
        self.scheduler.claimed(claimed.iter().map(|job| (job.owner.to_u32(), job.seq)), room, by_turns);
        claimed.into_iter().for_each(|job| self.admit(job));
        Ok(())
    }

    /// Hands a job over, or keeps it back where its role has as many in flight as it may. (What is at a provider is followed.)
    fn admit(&mut self, job: queue::Claimed) {
        let most = job.allowance.max_in_flight.filter(|_| job.under_way.is_none());
        if most.is_none_or(|most| self.room_of(job.owner, most) > 0) {
            return self.hand_over(job);
        }
        let seq = job.seq;
        if self.held.hold(job) {
            self.in_hand.insert(seq);
        }
    }

    /// How many more jobs a role may have in flight.
    fn room_of(&self, owner: pg_sys::Oid, most: u32) -> usize {
        let inside =
            self.in_flight.values().filter(|flight| flight.owner == owner && !flight.durable).count();
        (most as usize).saturating_sub(inside)
    }

    /// Hands over what was kept back and may go now.
    fn release(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        let (released, again) = held.release(|owner, most| self.room_of(owner, most));
        self.held = held;
        released.into_iter().for_each(|job| self.hand_over(job));
        if let Some(first) = again {
            self.scheduler.go_back_to(first);
        }
    }

    /// Gives a claimed job to the network thread.
    fn hand_over(&mut self, job: queue::Claimed) {
        self.flights += 1;
        let number = self.flights;
        self.in_flight.insert(job.seq, Flight { number, owner: job.owner, durable: false });
        if job.under_way.is_none() {
            self.in_hand.insert(job.seq);
        }
        self.io.send(Command::Run { job: Box::new(job), number });
    }

    fn reload(&mut self) {
        process::read_config_file();
        let (keys, error) = load_keys();
        if let Some(why) = &error {
            warning!("{why}");
        }
        self.complaints.reload(&keys);
        self.rewriter.retry();
        let limit = limits::raise(settings::MAX_IN_FLIGHT.get());
        self.cap = limit.cap;
        self.scheduler.look_again();
        self.upkeep.reload(Instant::now());
        // What was wrong was put right, or it will be said again.
        let error = error.or_else(|| Some(String::new()));
        let note = Note { keys: Some(keys.names()), error, limit: Some(limit) };
        let replaced = keys.replaced(&self.keys);
        self.keys = keys.clone();
        self.io.send(Command::Configure(Box::new(config(keys))));
        if let Err(why) = audit::replaced_keys(self.extension, replaced) {
            self.note::<()>(why);
        }
        if let Err(Failed::Error(why)) = queue::note(self.extension, note) {
            self.complain(&why);
        }
    }

    fn complain(&mut self, why: &str) {
        self.complaints.say(self.extension, why);
    }

    fn note<T>(&mut self, failed: Failed) -> Option<T> {
        self.complaints.note(self.extension, failed)
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

/// How often the whole queue is read again, for what no wake-up told.
fn rescan_interval() -> Duration {
    Duration::from_millis(settings::RESCAN_INTERVAL.get() as u64)
}
