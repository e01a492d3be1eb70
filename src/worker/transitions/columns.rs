//! What a round writes, function by function: for each argument an array, with a place in it for each job.

use std::cell::OnceCell;
use std::time::Duration;

use image_gen_engine::failure::Failed;
use image_gen_engine::run::{JobStatus, Transition};
use pgrx::JsonB;
use pgrx::datum::IntoDatum;
use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde::Serialize;

use super::Verdict;
use crate::statement::{Row, Statement, argument};

/// A text that goes into the database, which has no place for a NUL.
pub struct Text<'a>(pub &'a str);

impl IntoDatum for Text<'_> {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        if self.0.contains('\0') {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_UNTRANSLATABLE_CHARACTER,
                "a text with a NUL cannot be stored"
            );
        }
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

pub fn text(text: &Option<String>) -> Option<Text<'_>> {
    text.as_deref().map(Text)
}

/// An amount, with all its digits. Within a transaction, which its memory belongs to.
fn numeric(amount: Decimal) -> Option<AnyNumeric> {
    AnyNumeric::try_from(amount.to_string().as_str()).ok()
}

pub fn json(value: &impl Serialize) -> JsonB {
    JsonB(serde_json::to_value(value).unwrap_or_default())
}

/// `SELECT * FROM image_gen_internal.NAME($1, …)`, for as many arguments as there are types.
pub fn function(name: &str, types: &[pg_sys::Oid]) -> Statement {
    let arguments: Vec<String> = (1..=types.len()).map(|n| format!("${n}")).collect();
    Statement::new(&format!("SELECT * FROM image_gen_internal.{name}({})", arguments.join(", ")), types)
}

/// The arguments of a function that come after the epoch, in its order: each a column with a value for each job.
macro_rules! columns {
    ($name:ident $(<$life:lifetime>)? of $function:literal { $($column:ident: $of:ty,)* }) => {
        #[derive(Default)]
        pub struct $name $(<$life>)? {
            $($column: Vec<$of>,)*
        }

        impl $(<$life>)? $name $(<$life>)? {
            /// Calls the function once for all jobs, if there are any.
            fn call<R>(self, epoch: i64, read: impl FnMut(&Row) -> R) -> Vec<R> {
                thread_local!(static STATEMENT: OnceCell<Statement> = const { OnceCell::new() });
                if self.seq.is_empty() {
                    return vec![];
                }
                STATEMENT.with(|statement| {
                    let types = || [i64::type_oid(), $(<Vec<$of>>::type_oid(),)*];
                    let statement = statement.get_or_init(|| function($function, &types()));
                    statement.run(&[argument(epoch), $(argument(self.$column),)*], read)
                })
            }
        }
    };
}

/// The jobs that are ours, of a function that answers with an array of them.
fn ours(rows: Vec<Option<Vec<i64>>>) -> Vec<i64> {
    rows.into_iter().flatten().flatten().collect()
}

columns!(Begins<'a> of "begin" {
    seq: i64,
    number: i32,
    provider: Text<'a>,
    model: Text<'a>,
    prompt: Text<'a>,
    seed: i64,
    seed_honored: bool,
    warnings: JsonB,
    estimated_cost: Option<AnyNumeric>,
    progress: JsonB,
    estimated_rest: Option<AnyNumeric>,
    key_name: Option<Text<'a>>,
});

impl<'a> Begins<'a> {
    pub fn add(&mut self, seq: i64, transition: &'a Transition) {
        let Transition::Begin {
            number,
            provider,
            model,
            key_name,
            prompt,
            seed,
            seed_honored,
            warnings,
            estimated_cost,
            estimated_rest,
            progress,
        } = transition
        else {
            return;
        };
        self.seq.push(seq);
        self.number.push(*number as i32);
        self.provider.push(Text(provider));
        self.model.push(Text(model));
        self.prompt.push(Text(prompt));
        self.seed.push(*seed);
        self.seed_honored.push(*seed_honored);
        self.warnings.push(json(warnings));
        self.estimated_cost.push(estimated_cost.and_then(numeric));
        self.progress.push(json(progress));
        self.estimated_rest.push(estimated_rest.and_then(numeric));
        self.key_name.push(text(key_name));
    }

    /// What the database says to each that is ours.
    pub fn write(self, epoch: i64) -> Vec<(i64, Verdict)> {
        let verdict = |row: &Row| {
            let verdict = match row.get::<String>(2).as_deref() {
                Some("over") => Verdict::Over,
                Some("busy") => Verdict::Busy,
                _ => Verdict::Written,
            };
            row.get(1).map(|seq| (seq, verdict))
        };
        self.call(epoch, verdict).into_iter().flatten().collect()
    }
}

columns!(Checkpoints<'a> of "checkpoint" {
    seq: i64,
    number: i32,
    remote_id: Text<'a>,
    poll_url: Text<'a>,
    result_url: Option<Text<'a>>,
    cancel_url: Option<Text<'a>>,
    http_status: i32,
    amount: Option<AnyNumeric>,
    claimed: Option<AnyNumeric>,
    source: Option<&'static str>,
    currency: Option<Text<'a>>,
});

impl<'a> Checkpoints<'a> {
    pub fn add(&mut self, seq: i64, transition: &'a Transition) {
        let Transition::Checkpoint { number, remote, cost, http_status } = transition else { return };
        let cost = cost.as_ref();
        self.seq.push(seq);
        self.number.push(*number as i32);
        self.remote_id.push(Text(&remote.id));
        self.poll_url.push(Text(&remote.poll_url));
        self.result_url.push(text(&remote.result_url));
        self.cancel_url.push(text(&remote.cancel_url));
        self.http_status.push(i32::from(*http_status));
        self.amount.push(cost.and_then(|c| c.amount).and_then(numeric));
        self.claimed.push(cost.and_then(|c| c.claimed).and_then(numeric));
        self.source.push(cost.map(|c| c.source.as_str()));
        self.currency.push(cost.map(|c| Text(&c.currency)));
    }

    /// Those that are ours.
    pub fn write(self, epoch: i64) -> Vec<i64> {
        ours(self.call(epoch, |row| row.get(1)))
    }
}

columns!(Ends<'a> of "end_attempts" {
    seq: i64,
    number: i32,
    status: &'static str,
    code: Option<&'static str>,
    message: Option<Text<'a>>,
    http_status: Option<i32>,
    amount: Option<AnyNumeric>,
    claimed: Option<AnyNumeric>,
    source: &'static str,
    currency: Text<'a>,
    usage: Option<JsonB>,
    tokens: Option<JsonB>,
    render_seconds: Option<f64>,
    seed: Option<i64>,
    warnings: JsonB,
    unsent: bool,
    joins: Option<i32>,
});

impl<'a> Ends<'a> {
    pub fn add(&mut self, seq: i64, transition: &'a Transition) {
        let Transition::End {
            number,
            status,
            failed,
            http_status,
            cost,
            usage,
            tokens,
            render_seconds,
            seed: made_with,
            warnings,
            unsent,
            joins,
        } = transition
        else {
            return;
        };
        self.seq.push(seq);
        self.number.push(*number as i32);
        self.status.push(status.as_str());
        self.code.push(failed.as_ref().map(|f| f.failure.code().as_str()));
        self.message.push(failed.as_ref().map(|f| Text(&f.message)));
        self.http_status.push(http_status.map(i32::from));
        self.amount.push(cost.amount.and_then(numeric));
        self.claimed.push(cost.claimed.and_then(numeric));
        self.source.push(cost.source.as_str());
        self.currency.push(Text(&cost.currency));
        self.usage.push(usage.as_ref().map(json));
        self.tokens.push(tokens.as_ref().map(json));
        self.render_seconds.push(*render_seconds);
        self.seed.push(*made_with);
        self.warnings.push(json(warnings));
        self.unsent.push(*unsent);
        self.joins.push(joins.map(|number| number as i32));
    }

    /// Which are ours, what becomes of their jobs says.
    pub fn write(self, epoch: i64) {
        self.call(epoch, |_| ());
    }
}

columns!(Requeues of "requeue" {
    seq: i64,
    delay: f64,
    progress: JsonB,
});

impl Requeues {
    pub fn add(&mut self, seq: i64, after: Duration, progress: &impl Serialize) {
        self.seq.push(seq);
        self.delay.push(after.as_secs_f64());
        self.progress.push(json(progress));
    }

    /// Those that are ours.
    pub fn write(self, epoch: i64) -> Vec<i64> {
        ours(self.call(epoch, |row| row.get(1)))
    }
}

columns!(Finishes<'a> of "finish" {
    seq: i64,
    status: &'static str,
    code: Option<&'static str>,
    message: Option<Text<'a>>,
});

impl<'a> Finishes<'a> {
    pub fn add(&mut self, seq: i64, status: JobStatus, failed: Option<&'a Failed>) {
        self.seq.push(seq);
        self.status.push(status.as_str());
        self.code.push(failed.map(|f| f.failure.code().as_str()));
        self.message.push(failed.map(|f| Text(&f.message)));
    }

    /// Those that are ours.
    pub fn write(self, epoch: i64) -> Vec<i64> {
        ours(self.call(epoch, |row| row.get(1)))
    }
}
