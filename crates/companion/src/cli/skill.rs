//! The skill that agents are given.

use std::fs;
use std::path::PathBuf;

use clap::Subcommand;

use crate::fault::{Code, Fault};

/// The skill, as it is in this program.
pub const SKILL: &str = include_str!("../../../../skills/image-gen/SKILL.md");

/// What to do with it.
#[derive(Debug, Subcommand)]
pub enum Skill {
    /// Write it into a folder of skills, as image-gen/SKILL.md: what is there is replaced.
    Install {
        /// Such as .claude/skills.
        folder: PathBuf,
    },
    /// Write it to standard output.
    Show,
}

/// Does it.
pub fn run(skill: Skill) -> Result<(), Fault> {
    match skill {
        Skill::Show => super::write_out(SKILL.as_bytes()),
        Skill::Install { folder } => {
            let folder = folder.join("image-gen");
            let file = folder.join("SKILL.md");
            let wrong = |error: std::io::Error| {
                Fault::new(
                    Code::InvalidRequest,
                    format!("{}: {error}", file.display()),
                    "Name a folder that you may write to.",
                )
            };
            fs::create_dir_all(&folder).map_err(wrong)?;
            fs::write(&file, SKILL).map_err(wrong)?;
            super::write_out(format!("{}\n", file.display()).as_bytes())
        }
    }
}
