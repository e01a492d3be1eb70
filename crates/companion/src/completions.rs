//! Hearing of jobs that are over: one connection listens for all who wait.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::{AsyncMessage, Config, NoTls};

use crate::database::{Caller, Database};
use crate::fault::Fault;

/// Some wait this long between two looks however much is over, so that many who wait do not ask without a pause.
const BREATH: Duration = Duration::from_millis(200);
/// A look that nothing has asked for, in case that a message was lost.
const SAFETY_NET: Duration = Duration::from_secs(5);

/// What is heard.
#[derive(Clone)]
pub struct Completions {
    heard: watch::Receiver<u64>,
}

impl Completions {
    /// Listens until all who wait are gone.
    pub fn listen(config: Config) -> Self {
        let (sender, heard) = watch::channel(0);
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(100);
            while !sender.is_closed() {
                match follow(&config, &sender).await {
                    Ok(()) => pause = Duration::from_millis(100),
                    Err(error) => tracing::warn!("not listening for a while: {error}"),
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
        });
        Completions { heard }
    }

    /// One more of those who hear.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.heard.clone()
    }

    /// Waits until none of these jobs is queued or running, or the time is over. `tell` is called now and then with the seconds so far.
    pub async fn wait(
        &self,
        database: &Database,
        caller: &Caller,
        ids: &[String],
        limit: Duration,
        mut tell: impl FnMut(f64) + Send,
    ) -> Result<(), Fault> {
        let began = Instant::now();
        let end = began + limit;
        let mut heard = self.subscribe();
        loop {
            heard.borrow_and_update();
            let sql = "SELECT count(*) FILTER (WHERE s.status IN ('queued', 'running')) FROM image_gen.status($1::text[]) s";
            let rows = database.rows(caller, sql, &[&ids]).await?;
            let open: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
            if open == 0 || Instant::now() >= end {
                return Ok(());
            }
            tell(began.elapsed().as_secs_f64());
            let look = end.min(Instant::now() + SAFETY_NET);
            // Nothing changed, or the sender is gone: the safety net looks.
            if let Ok(Err(_)) = timeout_at(look, heard.changed()).await {
                tokio::time::sleep_until(look).await;
            }
            tokio::time::sleep_until(end.min(Instant::now() + BREATH)).await;
        }
    }
}

/// Listens on one connection until it ends.
async fn follow(config: &Config, sender: &watch::Sender<u64>) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let listening = async {
        client.batch_execute("LISTEN image_gen").await?;
        // What was said before this is not heard: all look once.
        sender.send_modify(|count| *count += 1);
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    let messages = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => sender.send_modify(|count| *count += 1),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    };
    tokio::select! {
        ended = listening => ended,
        ended = messages => ended,
        () = sender.closed() => Ok(()),
    }
}
