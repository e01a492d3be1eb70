//! The ways to end something.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use super::field::Field;
use crate::cluster::Mode;
use crate::process::{is_alive, try_kill9};
use crate::wait::{eventually, secs, wait_until};

/// How long the network is away: a first retry finds it still gone, the last one does not.
const OUTAGE: Duration = Duration::from_millis(700);

/// What is killed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kill {
    /// `pg_terminate_backend` on the worker.
    Terminate,
    /// SIGKILL on the worker: the whole server recovers.
    Worker,
    /// `pg_ctl stop -m immediate`, and a start.
    Immediate,
    /// SIGKILL on the postmaster, and a start.
    Postmaster,
    /// The network: connections break, and new ones are refused for a while.
    Network,
    /// The provider: as above, and it has forgotten every task when it is back.
    Provider,
}

impl Kill {
    /// All of them.
    pub const ALL: [Kill; 6] =
        [Kill::Terminate, Kill::Worker, Kill::Immediate, Kill::Postmaster, Kill::Network, Kill::Provider];

    /// True when the worker gets no chance to write anything down.
    pub fn is_sudden(self) -> bool {
        matches!(self, Kill::Worker | Kill::Immediate | Kill::Postmaster)
    }

    /// Kills, lets go what was held, and waits until it is back.
    pub fn strike(self, field: &Field) {
        let cluster = &field.stage.cluster;
        let worker = match self {
            // It may be just starting.
            Kill::Terminate | Kill::Worker => eventually("a worker", secs(60), || field.any_worker()),
            _ => 0,
        };
        match self {
            Kill::Terminate => {
                // A poison may have ended it, and everybody's sessions, meanwhile.
                let told =
                    field.connect("postgres").try_rows(&format!("SELECT pg_terminate_backend({worker})"));
                drop(told);
                // A worker that must end is not held.
                wait_until("the worker ends", secs(20), || !is_alive(worker));
            }
            Kill::Worker => cluster.crash(worker),
            Kill::Immediate => drop(cluster.stop(Mode::Immediate)),
            Kill::Postmaster => {
                let worker = field.any_worker();
                let left = cluster.kill_postmaster();
                if let Some(held) = worker.filter(|_| field.holds_transaction()) {
                    try_kill9(held);
                }
                wait_until("all processes end", secs(20), || !left.iter().any(|pid| is_alive(*pid)));
            }
            Kill::Network => field.stage.sim.cut_off(true),
            Kill::Provider => {
                field.stage.sim.cut_off(true);
                field.stage.sim.lose_state();
            }
        }
        field.let_go();
        match self {
            Kill::Immediate | Kill::Postmaster => cluster.start_again(),
            Kill::Network | Kill::Provider => {
                sleep(OUTAGE);
                field.stage.sim.cut_off(false);
            }
            Kill::Terminate | Kill::Worker => {}
        }
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kill::Terminate => "terminate",
            Kill::Worker => "kill -9 worker",
            Kill::Immediate => "immediate stop",
            Kill::Postmaster => "kill -9 postmaster",
            Kill::Network => "network cut",
            Kill::Provider => "provider crash",
        })
    }
}
