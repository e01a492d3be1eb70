//! `image_gen.*` settings. A key is never the value of a setting: settings can be read and are logged.

use std::ffi::{CStr, CString, c_char, c_void};

use image_gen_engine::egress::{AllowedHosts, Egress};
use image_gen_engine::http::origin;
use image_gen_engine::trace_context;
use image_gen_store::{Address, Template};
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

/// Which bytes of finished images are kept in `image_gen_internal.blobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum KeepBytes {
    /// Those that came in an answer: they exist nowhere else.
    #[name = c"inline"]
    Inline,
    /// All.
    #[name = c"all"]
    All,
}

/// What becomes of images where there is a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum Storing {
    /// They are copied, and keep the provider's URL as well.
    #[name = c"both"]
    Both,
    /// They are copied, and their URL is that of the copy.
    #[name = c"copy"]
    Copy,
    /// They stay where they are.
    #[name = c"url"]
    Url,
}

impl From<Storing> for image_gen_engine::job::Storing {
    fn from(storing: Storing) -> Self {
        match storing {
            Storing::Both => Self::Both,
            Storing::Copy => Self::Copy,
            Storing::Url => Self::Url,
        }
    }
}

/// What follows a send whose fate is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum OnUncertain {
    /// A person decides.
    #[name = c"review"]
    Review,
    /// It is sent again, at the risk of paying twice.
    #[name = c"retry"]
    Retry,
}

/// What is said of an image that is of another format than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum UnexpectedFormats {
    /// A warning at the image and at its call.
    #[name = c"warn"]
    Warn,
    /// Nothing.
    #[name = c"accept"]
    Accept,
}

pub static MAX_IN_FLIGHT: GucSetting<i32> = GucSetting::<i32>::new(2000);
pub static RESCAN_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(30_000);
pub static SHUTDOWN_GRACE: GucSetting<i32> = GucSetting::<i32>::new(700);
pub static SECRETS_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ALLOWED_PROVIDER_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ALLOWED_IMAGE_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ALLOWED_WEBHOOK_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ASSET_STORE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static STORE: GucSetting<Storing> = GucSetting::<Storing>::new(Storing::Both);
pub static ASSET_NAME: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ASSET_PUBLIC_URL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static DEFAULT_MODEL: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"flux-1.1-pro"));
pub static PREVIEW_WHEN_UNCONFIGURED: GucSetting<bool> = GucSetting::<bool>::new(false);
pub static KEEP_BYTES: GucSetting<KeepBytes> = GucSetting::<KeepBytes>::new(KeepBytes::Inline);
pub static THUMBNAILS: GucSetting<bool> = GucSetting::<bool>::new(true);
pub static UNEXPECTED_FORMATS: GucSetting<UnexpectedFormats> =
    GucSetting::<UnexpectedFormats>::new(UnexpectedFormats::Warn);
/// Read by SQL alone.
static DISCLOSURE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ON_UNCERTAIN: GucSetting<OnUncertain> = GucSetting::<OnUncertain>::new(OnUncertain::Review);
pub static MAX_REFUSALS: GucSetting<i32> = GucSetting::<i32>::new(3);
pub static BREAKER_FAILURES: GucSetting<i32> = GucSetting::<i32>::new(5);
pub static OUTAGE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(3600);
/// Read by SQL alone.
static MCP_CONFIRM_ABOVE: GucSetting<f64> = GucSetting::<f64>::new(0.25);
/// Read by SQL alone.
static EMBEDDING_FUNCTION: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static PROMPT_REWRITER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static BALANCE_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(600);
pub static RETAIN_JOBS: GucSetting<i32> = GucSetting::<i32>::new(0);
pub static RETRY_BUFFER: GucSetting<f64> = GucSetting::<f64>::new(0.10);
pub static MIN_HEADROOM: GucSetting<f64> = GucSetting::<f64>::new(0.25);
pub static COST_SANITY_FACTOR: GucSetting<f64> = GucSetting::<f64>::new(10.0);
pub static COST_SANITY_CEILING: GucSetting<f64> = GucSetting::<f64>::new(10.0);
pub static BUDGET_LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(10_000);
pub static PAUSE_POINTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static MAX_QUEUED_PER_ROLE: GucSetting<i32> = GucSetting::<i32>::new(0);
pub static CALLBACK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(2_000);
pub static MAX_RESTART_PAUSE: GucSetting<i32> = GucSetting::<i32>::new(300);
/// Read by SQL alone.
static TRACEPARENT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static PREFERENCES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// The text of a setting, empty when it is not set.
pub fn text(setting: &GucSetting<Option<CString>>) -> String {
    setting.get().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What an administrator has opened; the own machine's address is not a setting.
pub fn egress() -> Egress {
    // A value that is no list never becomes the setting's.
    let hosts = |setting| AllowedHosts::parse(&text(setting)).unwrap_or_default();
    Egress {
        providers: hosts(&ALLOWED_PROVIDER_HOSTS),
        images: hosts(&ALLOWED_IMAGE_HOSTS),
        webhooks: hosts(&ALLOWED_WEBHOOK_HOSTS),
        own_machine: None,
    }
}

/// Refuses a list that cannot be read, and says why.
#[pg_guard]
unsafe extern "C-unwind" fn check_hosts(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: Postgres gives a pointer to the new value.
    unsafe { check(value, |list| AllowedHosts::parse(list).map(drop)) }
}

/// Refuses the address of a store that cannot be read, and says why.
#[pg_guard]
unsafe extern "C-unwind" fn check_store(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let read = |text: &str| if text.is_empty() { Ok(()) } else { Address::parse(text).map(drop) };
    // SAFETY: Postgres gives a pointer to the new value.
    unsafe { check(value, read) }
}

/// Refuses a template of names that could give two images one name.
#[pg_guard]
unsafe extern "C-unwind" fn check_asset_name(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: Postgres gives a pointer to the new value.
    unsafe { check(value, |text| Template::parse(text).map(drop)) }
}

/// Refuses what is no beginning of a URL.
#[pg_guard]
unsafe extern "C-unwind" fn check_public_url(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let read = |text: &str| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#');
        let fine = text.is_empty() || origin(text).is_some() && !text.contains(odd) && text.len() <= 1000;
        if fine { Ok(()) } else { Err("it is not like https://host/folder".to_owned()) }
    };
    // SAFETY: Postgres gives a pointer to the new value.
    unsafe { check(value, read) }
}

/// Refuses what is no `traceparent` as the W3C has it: it is sent on.
#[pg_guard]
unsafe extern "C-unwind" fn check_traceparent(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let read = |text: &str| {
        if text.is_empty() || trace_context::is_traceparent(text) {
            Ok(())
        } else {
            Err("it is not like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned())
        }
    };
    // SAFETY: Postgres gives a pointer to the new value.
    unsafe { check(value, read) }
}

/// Whether a new value can be read; why not is the detail of the error.
///
/// # Safety
/// The value is NULL or NUL-terminated.
unsafe fn check(value: *mut *mut c_char, read: impl FnOnce(&str) -> Result<(), String>) -> bool {
    // SAFETY: as above.
    let text = unsafe { (*value).as_ref().map(|text| CStr::from_ptr(text).to_string_lossy().into_owned()) };
    let Err(why) = read(&text.unwrap_or_default()) else { return true };
    let why = CString::new(why).unwrap_or_default();
    // SAFETY: a copy in the current memory context, as Postgres's own macro makes it.
    unsafe { pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(why.as_ptr()) };
    false
}

/// Defines the settings and reserves the prefix, so that a misspelt name is an error.
pub fn define() {
    GucRegistry::define_int_guc(
        c"image_gen.max_in_flight",
        c"Most jobs that one worker has in flight.",
        c"The worker takes less when the file limit does not allow it; worker_status says so.",
        &MAX_IN_FLIGHT,
        1,
        100_000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"image_gen.rescan_interval",
        c"How often the worker looks for jobs that it was not woken for.",
        c"A safety net for PREPARE TRANSACTION and direct inserts: a commit wakes the worker at once.",
        &RESCAN_INTERVAL,
        100,
        3_600_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"image_gen.shutdown_grace",
        c"How long a worker that must end waits for answers to requests it has just sent.",
        c"Requests without an answer by then become uncertain.",
        &SHUTDOWN_GRACE,
        0,
        60_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"image_gen.callback_timeout",
        c"How long a function that was registered with on_finish() may take.",
        c"It is canceled then, and called again later.",
        &CALLBACK_TIMEOUT,
        10,
        600_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"image_gen.max_restart_pause",
        c"The longest pause before a worker that has crashed begins again.",
        c"It is a second after the first crash, and doubles with each further one; a worker that lives for five minutes begins anew. 0 is no pause.",
        &MAX_RESTART_PAUSE,
        0,
        3600,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_string_guc(
        c"image_gen.secrets_file",
        c"File of NAME=value lines with provider keys, readable by the server's user only (mode 0600).",
        c"Read again at every reload. Environment variables of the server are used where it has no line.",
        &SECRETS_FILE,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY | GucFlags::DISALLOW_IN_AUTO_FILE,
    );
    // SAFETY: the check hook has the signature that Postgres calls, and does not unwind.
    unsafe {
        for (name, short, setting) in [
            (
                c"image_gen.allowed_provider_hosts",
                c"Providers that may be called although they are loopback, private, or speak plain http.",
                &ALLOWED_PROVIDER_HOSTS,
            ),
            (
                c"image_gen.allowed_image_hosts",
                c"Hosts from which images may be fetched although they are loopback, private, or speak plain http.",
                &ALLOWED_IMAGE_HOSTS,
            ),
            (
                c"image_gen.allowed_webhook_hosts",
                c"Receivers of webhooks that may be called although they are loopback, private, or speak plain http.",
                &ALLOWED_WEBHOOK_HOSTS,
            ),
        ] {
            GucRegistry::define_string_guc_with_hooks(
                name,
                short,
                c"Comma-separated host (at the port of the URL's scheme), host:port or host:*.",
                setting,
                GucContext::Sighup,
                GucFlags::SUPERUSER_ONLY,
                Some(check_hosts),
                None,
                None,
            );
        }
    }
    // SAFETY: the check hooks have the signature that Postgres calls, and do not unwind.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"image_gen.asset_store",
            c"Where finished images are copied to: s3://bucket/folder, gs://bucket, az://container?account=name or file:///folder; empty keeps none.",
            c"Options: endpoint, region, style=virtual, keys. Its keys are in image_gen.secrets_file, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for instance.",
            &ASSET_STORE,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
            Some(check_store),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"image_gen.asset_name",
            c"What images are called in image_gen.asset_store; empty is {campaign}/{shot}/{job}.{ext}.",
            c"Places: campaign, shot, ticket, job, position, sha256, provider, model, date, ext; one of job and sha256 must be there.",
            &ASSET_NAME,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
            Some(check_asset_name),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"image_gen.asset_public_url",
            c"Where everyone can read what is in image_gen.asset_store: what mirror_url begins with.",
            c"Empty where there is no such place: then asset_url() gives URLs that are good for a while.",
            &ASSET_PUBLIC_URL,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
            Some(check_public_url),
            None,
            None,
        );
    }
    GucRegistry::define_enum_guc(
        c"image_gen.store",
        c"What becomes of the images of jobs whose caller does not say it: both, copy, or url.",
        c"Where there is an image_gen.asset_store. both: a copy is made, and the provider's URL kept. copy: the URL becomes that of the copy. url: none is made.",
        &STORE,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"image_gen.default_model",
        c"The model of a job whose caller names none.",
        c"A name or alias of image_gen.models, or provider:model.",
        &DEFAULT_MODEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"image_gen.preview_when_unconfigured",
        c"Draw a marked preview at no cost when no provider of the model has a key.",
        c"For trying the extension; off means that such a job fails.",
        &PREVIEW_WHEN_UNCONFIGURED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"image_gen.keep_bytes",
        c"Which images are stored in the database: those that came inline, or all.",
        c"Images at a provider's URL are otherwise only there, until it expires.",
        &KEEP_BYTES,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"image_gen.thumbnails",
        c"Keep a small copy of each image in the database: a JPEG of at most 512 pixels and 40 kB.",
        c"For thumbnail() and contact_sheet(). An image that is no larger is its own; it is kept once.",
        &THUMBNAILS,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"image_gen.unexpected_formats",
        c"What is said of an image of another format than was asked for, or that cannot be looked at here, or is animated: warn or accept.",
        c"It is delivered either way: it is paid for. warn: a warning unexpected_format at the image and at its call.",
        &UNEXPECTED_FORMATS,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"image_gen.disclosure",
        c"Words that new images are to be published with, where their job's metadata has no disclosure.",
        c"For example 'Image made with AI'. Kept in campaign_assets.disclosure; NULL: none.",
        &DISCLOSURE,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"image_gen.on_uncertain",
        c"What follows a request that was sent and whose fate is unknown after a restart.",
        c"review leaves it to a person; retry sends it again and may pay twice.",
        &ON_UNCERTAIN,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_int_guc(
        c"image_gen.max_refusals",
        c"After so many refusals of a job a person decides.",
        c"What follows each refusal before that is in image_gen.refusal_steps.",
        &MAX_REFUSALS,
        1,
        10,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"image_gen.breaker_failures",
        c"A provider is left alone after so many failures in a row; 0 switches this off.",
        c"It is probed after a pause of 10 s, doubled up to 2 min, or 15 s where jobs have nowhere else to go; see image_gen.provider_health.",
        &BREAKER_FAILURES,
        0,
        1000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"image_gen.outage_timeout",
        c"How long a job waits for a provider that is down, restarts or turns calls away, when it has nowhere else to go.",
        c"From its first failed call on, in which it is tried four times at least; then it fails. A deadline ends it earlier.",
        &OUTAGE_TIMEOUT,
        0,
        604_800,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_string_guc(
        c"image_gen.embedding_function",
        c"Function (bytea) returns double precision[] that sheet_report() measures how alike images are with.",
        c"Its name, with its schema. It runs with the rights of who asks for the report. NULL: images are compared as a whole, by a perceptual hash.",
        &EMBEDDING_FUNCTION,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"image_gen.prompt_rewriter",
        c"Function (prompt text, context jsonb) returns text that softens a refused prompt.",
        c"It runs as its owner, who may be no superuser, and has two seconds. NULL leaves the prompt to image_gen.rewrite_rules; an error, for a minute.",
        &PROMPT_REWRITER,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"image_gen.provider_preferences",
        c"What provider_preferences of a job are merged with: preferred, only, weights, blocked.",
        c"Set it for the cluster, a database, a role or a session. A job's own keys win; blocked is the union.",
        &PREFERENCES,
        GucContext::Userset,
        GucFlags::default(),
    );
    // SAFETY: the check hook has the signature that Postgres calls, and does not unwind.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"image_gen.traceparent",
            c"The traceparent of W3C Trace Context that jobs of this session carry.",
            c"Kept in jobs.traceparent, and sent on with messages to webhooks. Set it for a session or a transaction.",
            &TRACEPARENT,
            GucContext::Userset,
            GucFlags::default(),
            Some(check_traceparent),
            None,
            None,
        );
    }
    GucRegistry::define_int_guc(
        c"image_gen.balance_interval",
        c"How old the balance of a provider's account may get while it is being called; 0 never asks.",
        c"Only for providers that say it. An account that is empty is looked at every minute while jobs wait.",
        &BALANCE_INTERVAL,
        0,
        86_400,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"image_gen.retain_jobs",
        c"How long jobs are kept after their end; 0 keeps them for ever.",
        c"The worker removes older ones with their calls, a few at a time, and never assets. What they cost stays in the reports.",
        &RETAIN_JOBS,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_float_guc(
        c"image_gen.retry_buffer",
        c"The part of its estimate that a batch must have available on top of it.",
        c"0.10 is 10 %. Where a budget applies; for calls that are refused, billed, and made again.",
        &RETRY_BUFFER,
        0.0,
        10.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_float_guc(
        c"image_gen.min_headroom",
        c"What must be available, in USD, before a batch is queued.",
        c"Where a budget applies, however small the batch is.",
        &MIN_HEADROOM,
        0.0,
        1_000_000.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_float_guc(
        c"image_gen.mcp_confirm_above",
        c"The estimate, in USD, above which an agent's call asks a person before it is made.",
        c"What the companion's MCP server does (spending_consent()); a call of unknown price always asks. 0 asks for all that cost anything.",
        &MCP_CONFIRM_ABOVE,
        0.0,
        1_000_000.0,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"image_gen.budget_lock_timeout",
        c"How long a session waits for a budget that another open transaction has locked; 0 waits without an end.",
        c"A shorter lock_timeout of the session counts instead. Then the call fails with 55P03 and names the other session.",
        &BUDGET_LOCK_TIMEOUT,
        0,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_float_guc(
        c"image_gen.cost_sanity_factor",
        c"So many times the estimate of a call a cost may be before it counts as unknown.",
        c"No matter where the figure comes from. It is shown in image_gen.cost_reviews, and settle_cost() says what it really was.",
        &COST_SANITY_FACTOR,
        1.0,
        1_000_000.0,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_float_guc(
        c"image_gen.cost_sanity_ceiling",
        c"The highest cost of a call without an estimate before it counts as unknown.",
        c"In the currency of the figure. See image_gen.cost_sanity_factor.",
        &COST_SANITY_CEILING,
        0.0,
        1_000_000.0,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // SAFETY: a plain flag, set before any process is forked. Later such a setting cannot be defined.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        GucRegistry::define_string_guc(
            c"image_gen.pause_points",
            c"For tests: the folder whose files hold the worker at named places.",
            c"Only the configuration of a starting server can have it. Never set it where jobs matter.",
            &PAUSE_POINTS,
            GucContext::Postmaster,
            GucFlags::SUPERUSER_ONLY | GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_AUTO_FILE,
        );
    }
    GucRegistry::define_int_guc(
        c"image_gen.max_queued_per_role",
        c"Most jobs of one role that are queued or in flight; 0 is no limit.",
        c"Set it for the cluster, a database or a role. With a limit, each call counts that role's jobs.",
        &MAX_QUEUED_PER_ROLE,
        0,
        10_000_000,
        GucContext::Suset,
        GucFlags::default(),
    );
    // SAFETY: a static NUL-terminated name, on the main thread, at load time.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"image_gen".as_ptr()) };
}
