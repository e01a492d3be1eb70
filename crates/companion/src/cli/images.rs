//! Images as files.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Value, json};

use super::{Session, plain, write_out};
use crate::fault::{Code, Fault};
use crate::statements;

/// `image-gen open`.
#[derive(Debug, Args)]
pub struct Open {
    /// Of generate.
    id: String,
    /// Where images are saved.
    #[arg(short, long, default_value = ".")]
    out: PathBuf,
    /// Open nothing: say where they are.
    #[arg(long)]
    print: bool,
}

/// `image-gen sheet`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Sheet {
    /// Of this campaign.
    #[arg(long, required_unless_present = "batch")]
    campaign: Option<String>,
    /// Of this batch.
    #[arg(long)]
    batch: Option<String>,
    /// The file; - is standard output.
    #[arg(short, long, default_value = "-")]
    out: String,
}

/// Saves the images of a job, and gives their files; of one whose bytes are not in the database, its address.
pub async fn save(session: &Session, id: &str, folder: &Path) -> Result<Vec<String>, Fault> {
    let rows = session.database.rows(&session.caller, statements::ASSETS, &[&vec![id.to_owned()]]).await?;
    let mut saved = vec![];
    for row in rows {
        let image: Value = row.try_get(0)?;
        let asset = image["id"].as_i64().unwrap_or_default();
        let rows =
            session.database.rows(&session.caller, "SELECT image_gen.asset_bytes($1)", &[&asset]).await?;
        let bytes: Option<Vec<u8>> = rows.first().map_or(Ok(None), |row| row.try_get(0))?;
        match bytes {
            Some(bytes) => saved.push(write_new(folder, &stem(&image), extension(&image), &bytes)?),
            None => saved.push(plain(&image["url"])),
        }
    }
    Ok(saved)
}

/// What a file is called: what its shot is called, of letters that are harmless everywhere.
fn stem(image: &Value) -> String {
    let named = image["shot"].as_str().unwrap_or_default();
    let plain: String = named
        .chars()
        .take(80)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let plain = plain.trim_matches(['_', '-']);
    match plain.is_empty() {
        true => image["job_id"].as_str().unwrap_or("image").to_owned(),
        false => plain.to_owned(),
    }
}

fn extension(image: &Value) -> &'static str {
    match image["content_type"].as_str() {
        Some("image/jpeg") => "jpg",
        Some("image/webp") => "webp",
        Some("image/gif") => "gif",
        Some("image/svg+xml") => "svg",
        _ => "png",
    }
}

/// Writes a file that was not there: what is there is never written over.
fn write_new(folder: &Path, stem: &str, extension: &str, bytes: &[u8]) -> Result<String, Fault> {
    let wrong = |path: &Path, error: std::io::Error| {
        Fault::new(
            Code::InvalidRequest,
            format!("{}: {error}", path.display()),
            "Choose another folder with --out.",
        )
    };
    fs::create_dir_all(folder).map_err(|error| wrong(folder, error))?;
    for number in 1..10_000 {
        let name = match number {
            1 => format!("{stem}.{extension}"),
            number => format!("{stem}-{number}.{extension}"),
        };
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(bytes).map_err(|error| wrong(&path, error))?;
                return Ok(path.display().to_string());
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(wrong(&path, error)),
        }
    }
    Err(Fault::new(
        Code::InvalidRequest,
        "there are too many files of this name",
        "Choose another folder with --out.",
    ))
}

/// Saves the images of a generation, and opens the first.
pub async fn open(session: &Session, asked: Open) -> Result<(), Fault> {
    let generation = session.tool("get_generation", &json!({"id": asked.id})).await?;
    let saved = save(session, &asked.id, &asked.out).await?;
    let Some(first) = saved.first() else {
        let said = format!("there is no image: it is {}", plain(&generation["status"]));
        return Err(Fault::new(Code::WrongState, said, "image-gen wait"));
    };
    if !asked.print {
        let viewer = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let started = Command::new(viewer).arg(first).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.map_err(|error| {
            Fault::new(
                Code::NotSupported,
                format!("{viewer}: {error}"),
                "Say --print, and open the file yourself.",
            )
        })?;
    }
    session.say(&json!({"id": asked.id, "files": saved}), &saved)
}

/// Writes a contact sheet.
pub async fn sheet(session: &Session, asked: Sheet) -> Result<(), Fault> {
    let sql = "SELECT to_jsonb(image_gen.contact_sheet(campaign => $1, batch => $2))";
    let page = session.database.json(&session.caller, sql, &[&asked.campaign, &asked.batch]).await?;
    let page = page.as_str().unwrap_or_default();
    if asked.out == "-" {
        return write_out(page.as_bytes());
    }
    let wrong = |error: std::io::Error| {
        Fault::new(Code::InvalidRequest, format!("{}: {error}", asked.out), "Choose another file with --out.")
    };
    fs::write(&asked.out, page).map_err(wrong)?;
    session.say(&json!({"file": asked.out}), std::slice::from_ref(&asked.out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_its_shot_whatever_that_is_called() {
        for (shot, stem_is) in [
            (json!("hero"), "hero"),
            (json!("../../etc/passwd"), "etc_passwd"),
            (json!("Über Größe"), "ber_gr__e"),
            (json!("-rf"), "rf"),
            (json!("..."), "gen_1"),
            (json!(null), "gen_1"),
        ] {
            assert_eq!(stem(&json!({"shot": shot, "job_id": "gen_1"})), stem_is, "{shot}");
        }
    }
}
