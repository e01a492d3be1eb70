//! Resolves the names of hosts to addresses that may be contacted.

use std::collections::HashMap;
use std::error::Error as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::egress::{Forbidden, Reach, is_own_machine};

pub(super) fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<Forbidden>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Resolves names to the addresses that may be used, so that the address that was checked is the one that is connected to.
pub(super) struct Guard {
    reach: Reach,
    lookup: fn(&str) -> std::io::Result<Vec<SocketAddr>>,
    /// Who looks up each host just now.
    busy: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// So many lookups of one host at a time: a name server that does not answer holds up its own hosts, and no others.
const LOOKUPS_OF_A_HOST: usize = 2;

impl Guard {
    pub(super) fn new(reach: Reach) -> Self {
        let lookup = |host: &str| (host, 0).to_socket_addrs().map(Iterator::collect);
        Guard { reach, lookup, busy: Mutex::default() }
    }

    fn turn(&self, host: &str) -> Arc<Semaphore> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = busy.get(host).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Semaphore::new(LOOKUPS_OF_A_HOST));
        busy.insert(host.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (turn, lookup, reach) = (self.turn(&host), self.lookup, self.reach);
        Box::pin(async move {
            if reach == Reach::Public && is_own_machine(&host) {
                return Err(Forbidden(host).into());
            }
            let turn = turn.acquire_owned().await?;
            let asked = host.clone();
            // The system's lookup blocks its thread, also after the caller has given up: its turn ends with the thread's work.
            let found = tokio::task::spawn_blocking(move || {
                let found = lookup(&asked);
                drop(turn);
                found
            });
            let usable: Vec<SocketAddr> =
                found.await??.into_iter().filter(|a| reach.admits(a.ip())).collect();
            if usable.is_empty() {
                return Err(Forbidden(host).into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build().unwrap()
    }

    #[test]
    fn a_name_server_that_does_not_answer_holds_up_its_own_hosts_only() {
        // worker failure mode 50
        fn lookup(host: &str) -> std::io::Result<Vec<SocketAddr>> {
            static SLOW: AtomicUsize = AtomicUsize::new(0);
            if host == "slow.example" {
                assert!(
                    SLOW.fetch_add(1, Ordering::SeqCst) < LOOKUPS_OF_A_HOST,
                    "too many threads for one host"
                );
                std::thread::sleep(Duration::from_millis(500));
                SLOW.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(vec![SocketAddr::from(([93, 184, 216, 34], 0))])
        }
        let guard = Guard { lookup, ..Guard::new(Reach::Public) };
        let resolve = |host: &str| guard.resolve(host.parse().unwrap());
        runtime().block_on(async {
            let slow: Vec<_> = (0..20).map(|_| tokio::spawn(resolve("slow.example"))).collect();
            tokio::task::yield_now().await;
            let quick = tokio::time::timeout(Duration::from_millis(400), resolve("quick.example"));
            assert_eq!(quick.await.expect("it does not wait for the others").unwrap().count(), 1);
            slow.iter().for_each(tokio::task::JoinHandle::abort);
        });
    }

    #[test]
    fn a_name_that_leads_elsewhere_the_next_time_is_looked_up_once_for_each_connection() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        fn lookup(_: &str) -> std::io::Result<Vec<SocketAddr>> {
            let first = TIMES.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![SocketAddr::from((if first { [93, 184, 216, 34] } else { [127, 0, 0, 1] }, 0))])
        }
        let guard = Guard { lookup, ..Guard::new(Reach::Public) };
        let found = || runtime().block_on(guard.resolve("rebinds.example".parse().unwrap()));
        // What was checked is what is connected to: there is no second look between the two.
        assert_eq!(found().unwrap().map(|a| a.ip().to_string()).collect::<Vec<_>>(), ["93.184.216.34"]);
        assert_eq!(TIMES.load(Ordering::SeqCst), 1);
        assert!(found().is_err(), "and the next one is checked as well");
    }

    #[test]
    fn a_name_that_leads_to_a_private_address_is_not_used() {
        // worker failure modes 50 and 64: what is checked is what is connected to, however the name changes.
        fn lookup(host: &str) -> std::io::Result<Vec<SocketAddr>> {
            match host {
                "private.example" => Ok(vec![
                    SocketAddr::from(([10, 0, 0, 1], 0)),
                    SocketAddr::from(([169, 254, 169, 254], 0)),
                ]),
                "both.example" => {
                    Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([93, 184, 216, 34], 0))])
                }
                "six.example" => Ok(vec!["[2606:2800:220:1::1]:0".parse().unwrap()]),
                _ => Err(std::io::Error::other("no such host")),
            }
        }
        let guard = Guard { lookup, ..Guard::new(Reach::Public) };
        let found = |host: &str| {
            let resolving = guard.resolve(host.parse().unwrap());
            runtime().block_on(resolving).map(|all| all.map(|a| a.ip().to_string()).collect::<Vec<_>>())
        };
        assert!(found("private.example").is_err() && found("none.example").is_err());
        // Not every system's lookup knows these; whether it does must make no difference.
        for host in ["localhost", "LocalHost.", "a.localhost"] {
            assert!(found(host).unwrap_err().is::<Forbidden>(), "{host}");
        }
        assert_eq!(found("both.example").unwrap(), ["93.184.216.34"]);
        assert_eq!(found("six.example").unwrap(), ["2606:2800:220:1::1"]);
    }
}
