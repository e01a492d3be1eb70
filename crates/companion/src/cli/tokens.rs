//! Tokens for HTTP.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Session, plain};
use crate::fault::{Code, Fault};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make one, and show it: this once.
    Create {
        /// The role that requests with it run as.
        #[arg(long = "for")]
        of: String,
        /// read, spend, review.
        #[arg(long, value_delimiter = ',', default_value = "read,spend")]
        scopes: Vec<String>,
        /// How long it is good for.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(i32).range(1..=366))]
        days: i32,
        /// For people.
        #[arg(long)]
        note: Option<String>,
    },
    /// Those that there are.
    List,
    /// End one.
    Revoke {
        /// Its number in the list.
        id: i64,
    },
}

/// Does it.
pub async fn run(session: &Session, token: Token) -> Result<(), Fault> {
    let (database, caller) = (&session.database, &session.caller);
    match token {
        Token::Create { of, scopes, days, note } => {
            let sql =
                "SELECT to_jsonb(t) FROM image_gen.create_token($1, $2, make_interval(days => $3), $4) AS t";
            let made = database.json(caller, sql, &[&of, &scopes, &days, &note]).await?;
            // Alone on its line, so that a script can take it; it is shown this once.
            session.say(&made, &[plain(&made["token"])])
        }
        Token::List => {
            let sql = "SELECT coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'role', image_gen_internal.role_name(t.role), 'scopes', t.scopes, 'note', t.note, \
                 'expires_at', t.expires_at, 'revoked_at', t.revoked_at) ORDER BY t.id), '[]') FROM image_gen.access_tokens t";
            let listed = database.json(caller, sql, &[]).await?;
            let lines: Vec<String> = listed.as_array().into_iter().flatten().map(line).collect();
            session.say(&listed, &lines)
        }
        Token::Revoke { id } => {
            let ended = database.json(caller, "SELECT to_jsonb(image_gen.revoke_token($1))", &[&id]).await?;
            if ended != Value::Bool(true) {
                return Err(Fault::new(
                    Code::NotFound,
                    format!("there is no token {id} that is not ended"),
                    "image-gen token list",
                ));
            }
            session.say(&json!({"revoked": id}), &[format!("token {id} is of no use from now on")])
        }
    }
}

fn line(token: &Value) -> String {
    let ended = if token["revoked_at"].is_null() { "" } else { ", revoked" };
    let scopes: Vec<String> = token["scopes"].as_array().into_iter().flatten().map(plain).collect();
    format!(
        "{}: {}, {}, until {}{ended} {}",
        plain(&token["id"]),
        plain(&token["role"]),
        scopes.join("+"),
        plain(&token["expires_at"]),
        plain(&token["note"])
    )
}
