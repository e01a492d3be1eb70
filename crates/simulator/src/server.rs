//! The listening socket and its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Config;
use crate::ledger::{Totals, Wanted};
use crate::rule::Rule;
use crate::service;
use crate::world::World;

/// A running simulator. It ends when dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    world: Arc<World>,
    /// True while it cannot be reached.
    cut: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Simulator {
    /// Starts on a free port of this machine.
    pub async fn start(config: Config) -> io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), config).await
    }

    /// Starts on this address. Port 0 means a free one.
    pub async fn listen(address: SocketAddr, config: Config) -> io::Result<Self> {
        let listener = bind(address)?;
        let address = listener.local_addr()?;
        let world = Arc::new(World::new(config, address.to_string()));
        let (cut, is_cut) = watch::channel(false);
        let listening = tokio::spawn(listen(listener, address, world.clone(), is_cut));
        Ok(Self { address, world, cut, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`. A provider's base URL is this and its own: `/bfl`, `/openai/v1` …
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The configuration now.
    pub fn config(&self) -> Config {
        Config::clone(&self.world.config())
    }

    /// Changes the configuration.
    pub fn set_config(&self, config: Config) {
        self.world.set_config(config);
    }

    /// Adds a rule and gives its id.
    pub fn add_rule(&self, rule: Rule) -> u64 {
        self.world.rules().add(rule)
    }

    /// Takes all rules away.
    pub fn clear_rules(&self) {
        self.world.rules().clear();
    }

    /// What happened and what it cost, since the start or the last reset.
    pub fn totals(&self) -> Totals {
        self.world.ledger().totals()
    }

    /// The requests remembered, oldest first, as `GET /_sim/ledger` shows them.
    pub fn entries(&self) -> Vec<Value> {
        let (texts, _) = self.world.ledger().page(&Wanted::default(), usize::MAX);
        texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
    }

    /// Cuts it off from the network, or lets it back: connections are gone, and new ones are refused.
    pub fn cut_off(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// Loses what a crash would lose: tasks, images and uploads. Ledger, rules and configuration are the test's, and stay.
    pub fn lose_state(&self) {
        self.world.lose_state();
    }

    /// Forgets ledger, rules and tasks; keeps the configuration.
    pub fn reset(&self) {
        self.world.reset();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Ends the connections too: the task owns them.
        self.listening.abort();
    }
}

/// Listens while it is not cut off. Connections end with the listener.
async fn listen(
    listener: TcpListener,
    address: SocketAddr,
    world: Arc<World>,
    mut is_cut: watch::Receiver<bool>,
) {
    let mut listener = Some(listener);
    loop {
        let open = match listener.take() {
            Some(listener) => listener,
            None => match bind(address) {
                Ok(listener) => listener,
                // Another process may have the port for a moment.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        let mut connections = JoinSet::new();
        tokio::select! {
            () = accept(&open, &mut connections, world.clone()) => {}
            _ = is_cut.wait_for(|cut| *cut) => {}
        }
        // The last connection is gone before the first one is refused: a client that is refused knows that nothing is on its way.
        connections.shutdown().await;
        drop(open);
        // The simulator that is gone needs no listener.
        if is_cut.wait_for(|cut| !*cut).await.is_err() {
            return;
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn accept(listener: &TcpListener, connections: &mut JoinSet<()>, world: Arc<World>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, world.clone()));
                }
                // Out of file descriptors, most likely: some will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, world: Arc<World>) {
    // Without it small answers may wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| service::serve(world.clone(), request));
    // The error is a scripted one, or the client's own doing; the ledger tells.
    let _ =
        http1::Builder::new().max_buf_size(64 * 1024).serve_connection(TokioIo::new(stream), service).await;
}
