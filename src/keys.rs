//! Provider keys: from the secrets file, else from the server's environment. They exist in the worker's memory
//! only, as a type that cannot be printed.
//!
//! A key that is taken away stops being used at the next reload. That is why a secrets file that is set and cannot be used
//! leaves the worker without any key: neither with those that it had, nor with those of the environment, which may be another
//! account's. What has been accepted by then is asked for again once there is a key.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use image_gen_engine::provider::TABLE;
use image_gen_engine::secret::{Key, SecretsFile, numbered};
use rustix::fs::OFlags;

/// The keys of one moment.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    file: HashMap<String, Key>,
    /// Names in the environment that end with a number, as those of a pool do.
    numbered: Vec<String>,
    /// No key is used, because the file that decides about them is not there.
    locked: bool,
}

/// A secrets file larger than this is a mistake.
const MAX_FILE_BYTES: u64 = 64 * 1024;

impl Keys {
    /// Reads the secrets file; an empty path means that there is none. With what is wrong: the whole file, and then there are no
    /// keys, or some of its lines, and then there are all others.
    pub fn load(path: &str) -> (Keys, Option<String>) {
        if path.is_empty() {
            return (Keys { numbered: numbered_variables(), ..Keys::default() }, None);
        }
        match read(path) {
            Ok(bytes) => {
                let SecretsFile { keys, problems } = SecretsFile::read(&bytes);
                let wrong = format!("image_gen.secrets_file: {}", problems.join("; "));
                (
                    Keys { file: keys, numbered: numbered_variables(), locked: false },
                    (!problems.is_empty()).then_some(wrong),
                )
            }
            Err(why) => {
                let wrong = format!("image_gen.secrets_file cannot be used, so no key is: {why}");
                (Keys { locked: true, ..Keys::default() }, Some(wrong))
            }
        }
    }

    /// The key of this name; an empty one is none, also where the environment has one.
    pub fn get(&self, name: &str) -> Option<Key> {
        let from_environment =
            || std::env::var(name).ok().map(|value| Key::new(&value)).filter(|_| !self.locked);
        self.file.get(name).cloned().or_else(from_environment).filter(|key| !key.is_empty())
    }

    /// The names of the keys that are there under a name: itself, and the name with a number, `NAME_1` and so on, in their order.
    pub fn pool(&self, name: &str) -> Vec<String> {
        let of_name =
            |other: &String| numbered(other).filter(|(base, _)| *base == name).map(|(_, number)| number);
        let numbers: BTreeSet<u32> = self.file.keys().chain(&self.numbered).filter_map(of_name).collect();
        let all = std::iter::once(name.to_owned()).chain(numbers.into_iter().map(|n| format!("{name}_{n}")));
        all.filter(|name| self.get(name).is_some()).collect()
    }

    /// Whether there is a key under this name, alone or as one of a pool.
    pub fn has(&self, name: &str) -> bool {
        !self.pool(name).is_empty()
    }

    /// The names (never the keys) that are there: all of the file, and the adapters' own in the environment. With a numbered one comes
    /// the name that it is used under.
    pub fn names(&self) -> Vec<String> {
        let own = TABLE.iter().flat_map(|p| [p.key_name(), p.address_name()]).flatten().map(str::to_owned);
        let listed: BTreeSet<String> = self.file.keys().cloned().chain(own).collect();
        let bases = listed.iter().filter_map(|name| numbered(name)).map(|(base, _)| base.to_owned());
        let used: BTreeSet<String> =
            bases.chain(listed.iter().cloned()).filter(|name| self.has(name)).collect();
        let all: BTreeSet<String> =
            used.iter().flat_map(|name| self.pool(name)).chain(used.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// The names of keys that have another value than among earlier ones.
    pub fn replaced(&self, earlier: &Keys) -> Vec<String> {
        let other = |name: &String| match (self.get(name), earlier.get(name)) {
            (Some(now), Some(before)) => now.reveal() != before.reveal(),
            _ => false,
        };
        self.names().into_iter().filter(other).collect()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Key> + '_ {
        self.names().into_iter().filter_map(|name| self.get(&name))
    }
}

/// The names of environment variables that may be keys of a pool. None of their values is looked at.
fn numbered_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| numbered(name).is_some()).collect()
}

/// The bytes of a file that is ours alone. Whatever is at the path is opened without waiting for anything, and looked at through
/// what was opened.
fn read(path: &str) -> Result<Vec<u8>, String> {
    // O_NONBLOCK: a FIFO without a writer would hold the worker up.
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => "it is a symbolic link: give the path of the file itself".to_owned(),
        Some(libc::ENXIO) => "it is not a regular file but a socket or a device".to_owned(),
        _ => error.to_string(),
    })?;
    let facts = file.metadata().map_err(|e| e.to_string())?;
    let kind = facts.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a FIFO",
            () => "a device",
        };
        return Err(format!("it is not a regular file but {what}"));
    }
    let me = rustix::process::geteuid().as_raw();
    if facts.uid() != me && facts.uid() != 0 {
        return Err(format!(
            "it belongs to the user with id {}, not to the server's user or root: chown it",
            facts.uid()
        ));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(format!("others may read it (mode {:o}): chmod 600", facts.mode() & 0o7777));
    }
    // One byte more tells a file that is too large, also one that grows meanwhile.
    let mut bytes = vec![];
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} kB", MAX_FILE_BYTES / 1024));
    }
    Ok(bytes)
}
