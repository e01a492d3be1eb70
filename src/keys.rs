//! Provider keys: from the secrets file, else from the server's environment. They exist in the worker's memory
//! only, as a type that cannot be printed.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use image_gen_engine::provider::TABLE;
use image_gen_engine::secret::Key;

/// The keys of one moment.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    file: HashMap<String, Key>,
}

/// A secrets file larger than this is a mistake.
const MAX_FILE_BYTES: u64 = 64 * 1024;

impl Keys {
    /// Reads the secrets file; an empty path means that there is none. On an error the caller keeps the keys
    /// it has.
    pub fn load(path: &str) -> Result<Keys, String> {
        if path.is_empty() {
            return Ok(Keys::default());
        }
        let refuse = |why: String| format!("image_gen.secrets_file is not used: {why}");
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC).bits() as i32)
            .open(path)
            .map_err(|e| refuse(e.to_string()))?;
        let facts = file.metadata().map_err(|e| refuse(e.to_string()))?;
        if !facts.is_file() || facts.len() > MAX_FILE_BYTES {
            return Err(refuse("it is not a regular file of at most 64 kB".into()));
        }
        if facts.mode() & 0o077 != 0 {
            return Err(refuse(format!("others may read it (mode {:o}): chmod 600", facts.mode() & 0o7777)));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| refuse(e.to_string()))?;
        let mut keys = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Only the line's number goes into the error: its text may be a key.
            let (name, value) =
                line.split_once('=').ok_or(refuse(format!("line {} is not NAME=value", number + 1)))?;
            keys.insert(name.trim().to_owned(), Key::new(value));
        }
        Ok(Keys { file: keys })
    }

    /// The key of this name; an empty one is none.
    pub fn get(&self, name: &str) -> Option<Key> {
        let from_environment = || std::env::var(name).ok().map(|value| Key::new(&value));
        self.file.get(name).cloned().or_else(from_environment).filter(|key| !key.is_empty())
    }

    /// The names (never the keys) that are there: all of the file, and the adapters' own in the environment.
    pub fn names(&self) -> Vec<String> {
        let own = TABLE.iter().flat_map(|p| [p.key_name(), p.address_name()]).flatten().map(str::to_owned);
        let mut names: Vec<String> =
            self.file.keys().cloned().chain(own).filter(|n| self.get(n).is_some()).collect();
        names.sort();
        names.dedup();
        names
    }
}
