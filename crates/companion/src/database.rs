//! Connections, and transactions as a caller.

use std::env;
use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction};
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

use crate::fault::{Code, Fault};

/// No statement of ours takes longer: what waits, waits outside of the database.
const STATEMENT_TIMEOUT: &str = "30s";

/// What a token, or a login, lets its holder do, within what its role may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// See.
    Read,
    /// Queue, cancel, pick.
    Spend,
    /// Decide what waits for a person.
    Review,
}

impl Scope {
    /// As it is written in access_tokens.scopes.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Spend => "spend",
            Scope::Review => "review",
        }
    }
}

/// On whose behalf a statement runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The role that it becomes; `None` is the login's own.
    pub role: Option<String>,
    /// What its token allows; `None` is all that the role may.
    pub scopes: Option<Vec<String>>,
    /// The token, by its id.
    pub token: Option<i64>,
}

impl Caller {
    /// The login itself, or a role that it is a member of.
    pub fn of_role(role: Option<String>) -> Self {
        Caller { role, scopes: None, token: None }
    }

    /// Fails where its token does not allow it.
    pub fn check(&self, scope: Scope) -> Result<(), Fault> {
        match &self.scopes {
            Some(scopes) if !scopes.iter().any(|s| s == scope.word()) => Err(Fault::new(
                Code::Forbidden,
                format!("the token has not the scope {}", scope.word()),
                "An administrator makes another one: image-gen token create.",
            )),
            _ => Ok(()),
        }
    }

    /// What its signed statements are bound to.
    pub fn name(&self) -> String {
        format!("{}/{}", self.role.as_deref().unwrap_or_default(), self.token.unwrap_or_default())
    }
}

/// The database.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    config: Config,
}

impl Database {
    /// The one of this connection string, else that of the variables that libpq knows. Connects when it is asked something.
    pub fn new(address: Option<&str>, connections: usize) -> Result<Self, Fault> {
        let mut config = match address {
            Some(address) => Config::from_str(address).map_err(|error| {
                Fault::new(
                    Code::InvalidRequest,
                    format!("the connection string is not understood: {error}"),
                    "Write postgresql://user@host:5432/database, or host=... dbname=...",
                )
            })?,
            None => Config::new(),
        };
        from_environment(&mut config)?;
        config.application_name("image-gen").connect_timeout(Duration::from_secs(10));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), NoTls, recycling);
        let pool = Pool::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_secs(10)))
            .create_timeout(Some(Duration::from_secs(15)))
            .build()
            .map_err(|error| Fault::new(Code::Unreachable, error.to_string(), ""))?;
        Ok(Database { pool, config })
    }

    /// How it is connected to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A connection.
    pub async fn connection(&self) -> Result<Object, Fault> {
        Ok(self.pool.get().await?)
    }

    /// The rows of one statement, in a transaction as this caller.
    pub async fn rows(
        &self,
        caller: &Caller,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let mut connection = self.connection().await?;
        let transaction = begin(&mut connection, caller).await?;
        let statement = transaction.prepare_cached(sql).await?;
        let rows = transaction.query(&statement, parameters).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// The one value of a statement that is JSON, in a transaction as this caller.
    pub async fn json(
        &self,
        caller: &Caller,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Value, Fault> {
        let rows = self.rows(caller, sql, parameters).await?;
        first(&rows)
    }
}

/// A transaction as this caller. Dropped, it is rolled back.
pub async fn begin<'a>(connection: &'a mut Object, caller: &Caller) -> Result<Transaction<'a>, Fault> {
    let transaction = connection.transaction().await?;
    let statement = transaction
        .prepare_cached("SELECT set_config('statement_timeout', $1, true), set_config('role', coalesce($2, current_setting('role')), true)")
        .await?;
    transaction.query(&statement, &[&STATEMENT_TIMEOUT, &caller.role]).await?;
    Ok(transaction)
}

/// The JSON in the first column of the first row.
pub fn first(rows: &[Row]) -> Result<Value, Fault> {
    match rows.first() {
        Some(row) => Ok(row.try_get::<_, Option<Value>>(0)?.unwrap_or(Value::Null)),
        None => Err(Fault::new(Code::NotFound, "there is no such row", "Look at list_recent_generations.")),
    }
}

/// What the connection string leaves open, as libpq finds it.
fn from_environment(config: &mut Config) -> Result<(), Fault> {
    let said = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if config.get_hosts().is_empty() {
        config.host(said("PGHOST").unwrap_or_else(|| "/var/run/postgresql".to_owned()));
    }
    if config.get_ports().is_empty()
        && let Some(port) = said("PGPORT")
    {
        let port = port.parse().map_err(|_| {
            Fault::new(Code::InvalidRequest, format!("PGPORT is {port:?}"), "Use a number, such as 5432.")
        })?;
        config.port(port);
    }
    if config.get_user().is_none() {
        config.user(said("PGUSER").or_else(|| said("USER")).unwrap_or_else(|| "postgres".to_owned()));
    }
    if config.get_password().is_none()
        && let Some(password) = said("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_dbname().is_none()
        && let Some(name) = said("PGDATABASE")
    {
        config.dbname(name);
    }
    Ok(())
}
