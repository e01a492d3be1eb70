//! Images as resources: `image_gen://asset/ID`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::answer;
use crate::database::{Caller, Database};
use crate::fault::{Code, Fault};
use crate::preview::{self, Preview};
use crate::statements;

/// A larger image is shown by its preview and its address.
const MOST_BYTES: i64 = 16 << 20;

/// What a client may read without having been given a link.
pub fn template() -> ResourceTemplate {
    ResourceTemplate::new("image_gen://asset/{id}", "asset")
        .with_description("An image, by the id of its asset.")
}

/// The newest images.
pub async fn list(database: &Database, caller: &Caller) -> Result<Vec<Resource>, Fault> {
    let listed = database.json(caller, statements::NEWEST_ASSETS, &[]).await?;
    Ok(listed.as_array().into_iter().flatten().filter_map(answer::link).collect())
}

/// The images of some jobs.
pub async fn images(database: &Database, caller: &Caller, ids: &[String]) -> Result<Vec<Value>, Fault> {
    let rows = database.rows(caller, statements::ASSETS, &[&ids]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// An image, small enough for a model; `None` where its bytes are not in the database.
pub async fn preview(database: &Database, caller: &Caller, image: &Value) -> Result<Option<Preview>, Fault> {
    let Some(id) = image.get("id").and_then(Value::as_i64) else { return Ok(None) };
    let small = bytes(database, caller, "SELECT image_gen.thumbnail($1)", id).await?;
    let kept = image.get("kept") == Some(&Value::Bool(true)) && size(image) <= MOST_BYTES;
    let bytes = match small {
        Some(small) => small,
        // It was made before there were small copies, or they are switched off.
        None if kept => match bytes(database, caller, "SELECT image_gen.asset_bytes($1)", id).await? {
            Some(bytes) => bytes,
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    // Decoding takes a processor, and others wait for their answers.
    spawn_blocking(move || preview::preview(&bytes))
        .await
        .map_err(|error| Fault::new(Code::Database, format!("the image cannot be read: {error}"), ""))
}

/// A resource by its address.
pub async fn read(database: &Database, caller: &Caller, uri: &str) -> Result<ReadResourceResult, Fault> {
    let missing =
        || Fault::new(Code::NotFound, "there is no such resource", "resources/list has the newest images.");
    let id =
        uri.strip_prefix("image_gen://asset/").and_then(|id| id.parse::<i64>().ok()).ok_or_else(missing)?;
    let rows = database.rows(caller, statements::ASSET, &[&id]).await?;
    let row = rows.first().ok_or_else(missing)?;
    let image: Value = row.try_get(0)?;
    let whole = match size(&image) <= MOST_BYTES {
        true => bytes(database, caller, "SELECT image_gen.asset_bytes($1)", id).await?,
        false => None,
    };
    let kind = image.get("content_type").and_then(Value::as_str).unwrap_or("application/octet-stream");
    let mut contents = vec![];
    match whole {
        Some(bytes) => {
            contents.push(ResourceContents::blob(STANDARD.encode(bytes), uri).with_mime_type(kind))
        }
        None => {
            if let Some(preview) = preview(database, caller, &image).await? {
                let blob = ResourceContents::blob(STANDARD.encode(preview.bytes), uri);
                contents.push(blob.with_mime_type(preview.content_type));
            }
            // The bytes are elsewhere: where, is what can be said.
            let said = answer::fitted(image.clone()).to_string();
            contents.push(ResourceContents::text(said, uri).with_mime_type("application/json"));
        }
    }
    Ok(ReadResourceResult::new(contents))
}

fn size(image: &Value) -> i64 {
    image.get("byte_size").and_then(Value::as_i64).unwrap_or(i64::MAX)
}

async fn bytes(database: &Database, caller: &Caller, sql: &str, id: i64) -> Result<Option<Vec<u8>>, Fault> {
    let rows = database.rows(caller, sql, &[&id]).await?;
    match rows.first() {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(None),
    }
}
