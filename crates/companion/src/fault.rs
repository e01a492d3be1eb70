//! Why something is not done. Programs read the code, people the message and the hint.

use image_gen_tools::read::Mistake;
use serde_json::{Value, json};
use tokio_postgres::error::DbError;

/// What kind of fault it is. Each is one word for programs and one exit code for shells: what is here once cannot differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An argument is wrong.
    InvalidRequest,
    /// It does not exist, or is another's.
    NotFound,
    /// No provider could do it.
    NotSupported,
    /// A budget, or another limit, has no room.
    BudgetExceeded,
    /// The same idempotency key with other arguments.
    Conflict,
    /// The role, or the token, may not.
    Forbidden,
    /// It stands otherwise than it would have to.
    WrongState,
    /// Others hold what it needs: try again.
    Busy,
    /// A person must say yes first, and there is no way to ask.
    ConfirmationRequired,
    /// A person said no.
    Declined,
    /// The database, or the extension in it, is not there.
    Unreachable,
    /// Anything else that the database says.
    Database,
}

impl Code {
    /// All of them, with the word, the exit code and what it means.
    pub const ALL: [(Code, &'static str, u8, &'static str); 12] = [
        (Code::Database, "database", 1, "anything else that the database says"),
        (Code::InvalidRequest, "invalid_request", 2, "an argument is wrong"),
        (Code::NotFound, "not_found", 3, "it does not exist, or is another's"),
        (Code::NotSupported, "not_supported", 4, "no provider could do it"),
        (Code::BudgetExceeded, "budget_exceeded", 5, "a budget, max_cost or the number of jobs"),
        (Code::Conflict, "conflict", 6, "an idempotency key with other arguments"),
        (Code::Forbidden, "forbidden", 7, "the role or the token may not"),
        (Code::WrongState, "wrong_state", 8, "it stands otherwise than it would have to"),
        (Code::Busy, "busy", 9, "others hold what it needs: try again"),
        (Code::ConfirmationRequired, "confirmation_required", 10, "a person or a budget must allow it first"),
        (Code::Declined, "declined", 11, "a person said no"),
        (Code::Unreachable, "unreachable", 12, "the database, or the extension in it, is not there"),
    ];

    fn row(self) -> (Code, &'static str, u8, &'static str) {
        Self::ALL.into_iter().find(|row| row.0 == self).unwrap_or(Self::ALL[0])
    }

    /// The word for programs.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// The exit code of the command line.
    pub fn exit(self) -> u8 {
        self.row().2
    }

    fn of_sqlstate(state: &str) -> Self {
        match state {
            "42704" => Code::NotFound,
            "0A000" => Code::NotSupported,
            "53400" => Code::BudgetExceeded,
            "23505" => Code::Conflict,
            "42501" | "28000" | "28P01" => Code::Forbidden,
            "55000" => Code::WrongState,
            "55P03" | "40001" | "40P01" | "57014" | "53300" => Code::Busy,
            "3F000" | "42883" | "42P01" | "3D000" | "57P01" | "57P02" | "57P03" => Code::Unreachable,
            _ if state.starts_with("22") => Code::InvalidRequest,
            _ if state.starts_with("08") => Code::Unreachable,
            _ => Code::Database,
        }
    }
}

/// A fault.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind.
    pub code: Code,
    /// What PostgreSQL calls it, where it was asked.
    pub sqlstate: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do instead; empty where nothing is known.
    pub hint: String,
}

impl Fault {
    /// A fault that the database has not seen.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Fault { code, sqlstate: None, message: message.into(), hint: hint.into() }
    }

    /// As programs read it.
    pub fn json(&self) -> Value {
        json!({"error": {"code": self.code.word(), "sqlstate": self.sqlstate, "message": self.message, "hint": self.hint}})
    }
}

impl From<&DbError> for Fault {
    fn from(error: &DbError) -> Self {
        let code = Code::of_sqlstate(error.code().code());
        let hint = match (error.hint(), code) {
            (Some(hint), _) => hint,
            (None, Code::Unreachable) => {
                "Is it the right database, and is the extension in it? CREATE EXTENSION image_gen."
            }
            (None, Code::Forbidden) => "GRANT image_gen_user TO the role, or use another one.",
            (None, Code::Busy) => "Try again.",
            (None, _) => "",
        };
        Fault {
            code,
            sqlstate: Some(error.code().code().to_owned()),
            message: error.message().to_owned(),
            hint: hint.to_owned(),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(said) => said.into(),
            // Neither names the password.
            None => Fault::new(
                Code::Unreachable,
                format!("the database does not answer: {error}"),
                "Is it running? Look at --database and the PG... variables.",
            ),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Fault {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                Fault::new(Code::Busy, "all connections are in use", "Try again.")
            }
            other => {
                Fault::new(Code::Unreachable, format!("no connection: {other}"), "Is the database running?")
            }
        }
    }
}

impl From<Mistake> for Fault {
    fn from(mistake: Mistake) -> Self {
        Fault::new(Code::InvalidRequest, mistake.to_string(), mistake.hint)
    }
}
