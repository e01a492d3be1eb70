//! The process that sends messages to webhooks: one of its own, so that no render, and no callback, waits for a receiver. Its main
//! thread takes messages that are due and writes down what came of them, in short transactions; another one sends them, behind the
//! same egress filter as all other requests.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use image_gen_engine::http::TransportError;
use image_gen_engine::http::driver::Driver;
use image_gen_engine::redact::Redactor;
use image_gen_engine::secret::Key;
use image_gen_engine::webhook;
use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

use super::audit;
use super::helper::Helper;
use super::io::SignalMask;
use super::process;
use super::transaction::{self, Failed, as_worker};
use super::wait_set::{WaitSet, WakeHandle};
use crate::keys::Keys;
use crate::settings;

/// Messages that are on their way at a time, and those of one webhook.
const MOST: i32 = 64;
const EACH: i32 = 8;
/// It waits so long for the next message before it ends; longer, where one is due within a minute.
const LINGER: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(60);

/// The process, as the worker sees it.
pub fn helper(now: Instant) -> Helper {
    Helper::new("image_gen webhooks", "image_gen_webhooks_main", now)
}

/// A message that is due.
struct Message {
    id: String,
    webhook: i64,
    url: String,
    key_name: String,
    payload: String,
    /// `None`: there is none of this name.
    key: Option<Key>,
}

/// What came of a try.
struct Outcome {
    id: String,
    webhook: i64,
    http_status: Option<u16>,
    /// `None`: the receiver has it.
    error: Option<String>,
}

/// The process's main function; its argument is the oid of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn image_gen_webhooks_main(arg: pg_sys::Datum) {
    process::die_on_sigterm();
    // SAFETY: once, at the start, as the worker does.
    unsafe {
        let database = pg_sys::Oid::from(arg.value() as u32);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
    }
    process::pin_settings(process::Code::Ours);
    let Ok(extension) = transaction::extension() else { return };
    match serve(extension) {
        Ok(()) | Err(Failed::Gone) => {}
        Err(Failed::Error(why) | Failed::Poison(why)) => log!("image_gen: webhooks: {why}"),
    }
}

fn serve(extension: pg_sys::Oid) -> Result<(), Failed> {
    let wait_set = WaitSet::new();
    let (mut keys, _) = load_keys();
    let sender = Sender::start(&keys, wait_set.wake_handle()).map_err(Failed::Error)?;
    let mut busy: HashMap<i64, i32> = HashMap::new();
    let mut idle_since = Instant::now();
    loop {
        if BackgroundWorker::sighup_received() {
            process::read_config_file();
            keys = load_keys().0;
            sender.driver.open(settings::egress());
            sender.driver.redact(sender.driver.redactor().with(keys.all()));
        }
        let outcomes: Vec<Outcome> = sender.outcomes.try_iter().collect();
        for outcome in &outcomes {
            if let Some(count) = busy.get_mut(&outcome.webhook) {
                *count -= 1;
            }
        }
        busy.retain(|_, count| *count > 0);
        record(extension, &outcomes)?;
        audit::denials(extension, sender.driver.denials())?;
        let taken = take(extension, &busy, MOST - busy.values().sum::<i32>())?;
        if !taken.is_empty() {
            idle_since = Instant::now();
        }
        for mut message in taken {
            *busy.entry(message.webhook).or_default() += 1;
            message.key = keys.get(&message.key_name);
            let _ = sender.messages.send(message);
        }
        let mut pause = SOON;
        if busy.is_empty() {
            let due = due(extension)?.filter(|due| *due < SOON);
            let idle = idle_since.elapsed();
            if due.is_none() && idle >= LINGER {
                return as_worker(extension, "forget deliveries", || {
                    Spi::run("SELECT image_gen_internal.prune_deliveries()").map_err(spi)
                });
            }
            pause = due.unwrap_or(LINGER.saturating_sub(idle)).max(Duration::from_millis(10));
        }
        transaction::report_statistics();
        wait_set.sleep(pause);
    }
}

fn load_keys() -> (Keys, Option<String>) {
    Keys::load(&settings::text(&settings::SECRETS_FILE))
}

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

/// In how long the next message is due.
pub fn due(extension: pg_sys::Oid) -> Result<Option<Duration>, Failed> {
    as_worker(extension, "look for webhooks", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.next_delivery_in()", Some(1), &[])?
                .first()
                .get_one::<f64>()
        })
        .map(|due| due.and_then(|s| Duration::try_from_secs_f64(s).ok()))
        .map_err(spi)
    })
}

fn take(extension: pg_sys::Oid, busy: &HashMap<i64, i32>, room: i32) -> Result<Vec<Message>, Failed> {
    if room <= 0 {
        return Ok(vec![]);
    }
    let (webhooks, counts): (Vec<i64>, Vec<i32>) =
        busy.iter().map(|(webhook, count)| (*webhook, *count)).unzip();
    as_worker(extension, "take webhooks", || {
        Spi::connect_mut(|client| {
            let arguments = [webhooks.into(), counts.into(), room.into(), EACH.into()];
            let rows = client.update(
                "SELECT id, webhook, url, key_name, payload FROM image_gen_internal.take_deliveries($1, $2, $3, $4)",
                None,
                &arguments,
            )?;
            let mut messages = vec![];
            for row in rows {
                let text = |at| row.get::<String>(at).map(Option::unwrap_or_default);
                messages.push(Message {
                    id: text(1)?,
                    webhook: row.get::<i64>(2)?.unwrap_or_default(),
                    url: text(3)?,
                    key_name: text(4)?,
                    payload: text(5)?,
                    key: None,
                });
            }
            Ok(messages)
        })
        .map_err(spi)
    })
}

fn record(extension: pg_sys::Oid, outcomes: &[Outcome]) -> Result<(), Failed> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = outcomes.iter().map(|o| o.id.as_str()).collect();
    let statuses: Vec<Option<i32>> = outcomes.iter().map(|o| o.http_status.map(i32::from)).collect();
    let errors: Vec<Option<&str>> = outcomes.iter().map(|o| o.error.as_deref()).collect();
    as_worker(extension, "record webhooks", || {
        Spi::connect_mut(|client| {
            let arguments = [ids.into(), statuses.into(), errors.into()];
            client
                .update("SELECT image_gen_internal.record_deliveries($1, $2, $3)", None, &arguments)
                .map(drop)
        })
        .map_err(spi)
    })
}

/// The thread that sends.
struct Sender {
    driver: Driver,
    messages: tokio::sync::mpsc::UnboundedSender<Message>,
    outcomes: mpsc::Receiver<Outcome>,
}

impl Sender {
    /// With all signals blocked: those of Postgres are the main thread's.
    fn start(keys: &Keys, wake_handle: WakeHandle) -> Result<Sender, String> {
        let driver = Driver::new(settings::egress())?;
        driver.redact(Redactor::new(keys.all()));
        let (messages, mut inbox) = tokio::sync::mpsc::unbounded_channel::<Message>();
        let (outbox, outcomes) = mpsc::channel();
        let shared = driver.clone();
        let all = SignalMask::block_all();
        let thread = std::thread::Builder::new().name("image_gen hooks".into()).spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async move {
                while let Some(message) = inbox.recv().await {
                    let (driver, outbox, wake_handle) = (shared.clone(), outbox.clone(), wake_handle.clone());
                    tokio::spawn(async move {
                        let (http_status, error) = send(&driver, &message).await;
                        let _ = outbox.send(Outcome {
                            id: message.id,
                            webhook: message.webhook,
                            http_status,
                            error,
                        });
                        wake_handle.wake();
                    });
                }
            });
        });
        drop(all);
        thread.map_err(|e| e.to_string())?;
        Ok(Sender { driver, messages, outcomes })
    }
}

/// One try. Where the receiver has it there is no error.
async fn send(driver: &Driver, message: &Message) -> (Option<u16>, Option<String>) {
    let Some(key) = &message.key else {
        return (None, Some(format!("there is no key {}", message.key_name)));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let payload = serde_json::from_str(&message.payload).map_err(|e| e.to_string());
    let request = payload.and_then(|payload| webhook::request(&message.url, &message.id, now, payload, key));
    match request {
        Err(why) => (None, Some(why)),
        Ok(request) => match driver.send(&request, None).await {
            Ok(response) if response.is_success() => (Some(response.status), None),
            Ok(response) => {
                (Some(response.status), Some(format!("the receiver answered {}", response.status)))
            }
            Err(
                TransportError::NotSent(why)
                | TransportError::MaybeSent(why)
                | TransportError::Forbidden(why),
            ) => (None, Some(why)),
            Err(TransportError::TooLarge) => (None, Some("the receiver's answer is too large".into())),
        },
    }
}
