//! A connection, with answers as text.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use postgres::error::DbError;
use postgres::{Client, SimpleQueryMessage};

/// What the server tells a session besides answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    pub(crate) fn push(&self, notice: &str) {
        self.0.lock().unwrap().push(notice.to_owned());
    }
}

/// A connection.
pub struct Session(Client, Notices);

/// A job as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its status.
    pub status: String,
    /// Its error code, empty when there is none.
    pub error_code: String,
    /// Its error message, empty when there is none.
    pub error_message: String,
    /// What it cost; empty when unknown.
    pub billed_cost: String,
    /// Where that comes from.
    pub cost_source: String,
    /// How many attempts it had.
    pub attempts: String,
    /// Where its image is.
    pub url: String,
}

impl Session {
    pub(crate) fn new(client: Client, notices: Notices) -> Self {
        Session(client, notices)
    }

    /// The notices so far.
    ///
    /// # Panics
    /// Never.
    pub fn notices(&self) -> Vec<String> {
        self.1.0.lock().unwrap().clone()
    }

    /// The process that serves this session.
    ///
    /// # Panics
    /// When the session is gone.
    pub fn pid(&mut self) -> i32 {
        self.text("SELECT pg_backend_pid()").parse().unwrap()
    }

    /// All rows of a statement, NULL as an empty text.
    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, postgres::Error> {
        let messages = self.0.simple_query(sql)?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// All rows of a statement, NULL as an empty text.
    ///
    /// # Panics
    /// On an error.
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        self.try_rows(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    }

    /// Runs a statement.
    ///
    /// # Panics
    /// On an error.
    pub fn run(&mut self, sql: &str) {
        self.rows(sql);
    }

    /// The first column of all rows.
    ///
    /// # Panics
    /// On an error.
    pub fn column(&mut self, sql: &str) -> Vec<String> {
        self.rows(sql).into_iter().filter_map(|row| row.into_iter().next()).collect()
    }

    /// The first column of the first row; empty when it is NULL or there is no row.
    ///
    /// # Panics
    /// On an error.
    pub fn text(&mut self, sql: &str) -> String {
        self.column(sql).into_iter().next().unwrap_or_default()
    }

    /// The first column of the first row as a number.
    ///
    /// # Panics
    /// On an error, or when it is none.
    pub fn number(&mut self, sql: &str) -> i64 {
        let text = self.text(sql);
        text.parse().unwrap_or_else(|_| panic!("{sql}: {text:?} is no number"))
    }

    /// True when the statement says `t`.
    ///
    /// # Panics
    /// On an error.
    pub fn truth(&mut self, sql: &str) -> bool {
        self.text(sql) == "t"
    }

    /// The error of a statement that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn error(&mut self, sql: &str) -> DbError {
        match self.try_rows(sql) {
            Ok(rows) => panic!("{sql}: must fail, but gave {rows:?}"),
            Err(e) => e.as_db_error().cloned().unwrap_or_else(|| panic!("{sql}: {e:?}")),
        }
    }

    /// The SQLSTATE of a statement that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn sqlstate(&mut self, sql: &str) -> String {
        self.error(sql).code().code().to_owned()
    }

    /// Queues a job of the default model and gives its id.
    pub fn generate(&mut self, prompt: &str) -> String {
        self.generate_with(&format!("prompt => '{prompt}'"))
    }

    /// Queues a job with these arguments and gives its id.
    pub fn generate_with(&mut self, arguments: &str) -> String {
        self.text(&format!("SELECT id FROM image_gen.generate({arguments})"))
    }

    /// One job.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn job(&mut self, id: &str) -> Job {
        let sql = format!(
            "SELECT status, error_code, error_message, billed_cost, cost_source, attempts, url FROM image_gen.status('{id}')"
        );
        let row = self.rows(&sql).into_iter().next().expect("status() gives a row");
        let [status, error_code, error_message, billed_cost, cost_source, attempts, url] =
            row.try_into().expect("seven columns");
        Job { status, error_code, error_message, billed_cost, cost_source, attempts, url }
    }

    /// Waits until a job has ended, and gives it.
    ///
    /// # Panics
    /// When it has not ended after 30 s.
    pub fn done(&mut self, id: &str) -> Job {
        self.all_done(&[id.to_owned()]).remove(0)
    }

    /// Waits until all these jobs have ended, and gives them in the same order.
    ///
    /// # Panics
    /// When they have not ended after 60 s.
    pub fn all_done(&mut self, ids: &[String]) -> Vec<Job> {
        let waited =
            self.column(&format!("SELECT status FROM image_gen.wait('{{{}}}', '60 s')", ids.join(",")));
        assert!(!waited.iter().any(|s| s == "queued" || s == "running"), "not ended: {waited:?}");
        ids.iter().map(|id| self.job(id)).collect()
    }

    /// Waits until all these jobs have succeeded.
    ///
    /// # Panics
    /// When one has not.
    pub fn all_succeed(&mut self, ids: &[String]) {
        for (job, id) in self.all_done(ids).iter().zip(ids) {
            assert_eq!(job.status, "succeeded", "{id}: {job:?}");
        }
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.0
    }
}
