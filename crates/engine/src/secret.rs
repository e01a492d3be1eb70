//! Keys that cannot be printed.

use std::fmt;

/// A provider's key. `Debug` prints `***`, and there is no `Display` and no serialisation: the only way to
/// the text is [`Key::reveal`], called where a header is written.
#[derive(Clone)]
pub struct Key(secrecy::SecretString);

impl Key {
    /// Wraps the text of a key. Surrounding white space (a trailing newline in a file) is not part of it.
    pub fn new(text: &str) -> Self {
        Key(secrecy::SecretString::from(text.trim()))
    }

    /// The text itself, for the one line that writes it into a header.
    pub fn reveal(&self) -> &str {
        use secrecy::ExposeSecret;
        self.0.expose_secret()
    }

    /// True when there is nothing in it: an empty environment variable is not a key.
    pub fn is_empty(&self) -> bool {
        self.reveal().is_empty()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_prints_itself() {
        let key = Key::new(" sk-very-secret\n");
        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(format!("{:?}", Some(&key)), "Some(***)");
        assert_eq!(key.reveal(), "sk-very-secret");
    }
}
