//! Keys that cannot be printed, and the file that they are written in.

use std::collections::HashMap;
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

/// The base and the number of a name such as `BFL_API_KEY_2`: one of several keys for the same thing.
pub fn numbered(name: &str) -> Option<(&str, u32)> {
    let (base, digits) = name.rsplit_once('_')?;
    let plain = !base.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (plain && !digits.starts_with('0')).then_some((base, number))
}

/// What a secrets file says.
#[derive(Debug, Default)]
pub struct SecretsFile {
    /// The keys by name. An empty one says that there is none.
    pub keys: HashMap<String, Key>,
    /// Lines that are not understood, each with what is wrong. They hold nothing of the line but a name, because the rest
    /// may be a key.
    pub problems: Vec<String>,
}

impl SecretsFile {
    /// Reads lines of `NAME=value`, as shells and service managers write them: `export` before it, quotes around the value,
    /// comments, empty lines. In double quotes a backslash keeps `"` and `\` from having a meaning; in single quotes, and
    /// without quotes, nothing but the end and ` #` has one. Nothing is substituted. A line that is not understood gives no
    /// key, and so does a name that comes twice.
    pub fn read(bytes: &[u8]) -> Self {
        let mut file = SecretsFile::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            match assignment(line.strip_suffix(b"\r").unwrap_or(line)) {
                Ok(None) => {}
                Ok(Some((name, _))) if seen.contains_key(name) => {
                    let first = seen.get(name).copied().unwrap_or_default();
                    file.problems.push(format!("line {number} sets {name} again, after line {first}"));
                    file.keys.remove(name);
                }
                Ok(Some((name, value))) => {
                    seen.insert(name.to_owned(), number);
                    file.keys.insert(name.to_owned(), Key::new(&value));
                }
                Err(why) => file.problems.push(format!("line {number} {why}")),
            }
        }
        file
    }
}

/// The name and the value of a line; `None` of one that has none.
fn assignment(line: &[u8]) -> Result<Option<(&str, String)>, String> {
    const SHAPE: &str = "is not NAME=value";
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return Ok(None);
    }
    if let Some(odd) = line.chars().find(|c| is_invisible(*c)) {
        return Err(format!("has the invisible character U+{:04X}{}", u32::from(odd), called(odd)));
    }
    let line = line.trim();
    let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or(SHAPE)?;
    let name = name.trim_start();
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    if name.is_empty() || !is_name(name.trim_end()) {
        return Err(SHAPE.to_owned());
    }
    let name = name.trim_end();
    let value = value.trim();
    let (value, rest) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            quoted(&value[1..], quote).ok_or(format!("({name}) has a quote that does not end"))?
        }
        _ => {
            // A # within a key is part of it.
            let end = if value.starts_with('#') { Some(0) } else { value.find(" #").or(value.find("\t#")) };
            let (value, comment) = value.split_at(end.unwrap_or(value.len()));
            let value = value.trim_end();
            if value.contains(char::is_whitespace) {
                return Err(format!("({name}) has a space in its value: quote the value"));
            }
            (value.to_owned(), comment)
        }
    };
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err(format!("({name}) has something after its value"));
    }
    Ok(Some((name, value)))
}

/// What stands before the closing quote, and what after it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' if quote == '"' => match chars.clone().next() {
                Some((_, escaped @ ('"' | '\\'))) => {
                    value.push(escaped);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            _ if char == quote => return Some((value, &text[at + 1..])),
            _ => value.push(char),
        }
    }
    None
}

/// What no key has, and what copying from a page or an editor brings along.
fn is_invisible(char: char) -> bool {
    char.is_control() && char != '\t'
        || matches!(char, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn called(char: char) -> &'static str {
    match char {
        '\0' => " (NUL)",
        '\r' => " (carriage return)",
        '\u{feff}' => " (byte-order mark)",
        '\u{a0}' => " (no-break space)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let file = SecretsFile::read(text.as_bytes());
        assert!(file.problems.is_empty(), "{text:?}: {:?}", file.problems);
        let mut keys: Vec<_> = file.keys.iter().map(|(n, k)| (n.clone(), k.reveal().to_owned())).collect();
        keys.sort();
        keys
    }

    #[test]
    fn a_secrets_file_is_read_as_people_write_it() {
        for (line, value) in [
            ("K=v", "v"),
            ("  K = v  ", "v"),
            ("export K=v", "v"),
            ("export\tK='v w'", "v w"),
            ("K=\"v\"", "v"),
            ("K='v'   # mine", "v"),
            ("K=v # mine", "v"),
            ("K=v\t# mine", "v"),
            ("K=a#b", "a#b"),
            ("K=a=b==", "a=b=="),
            ("K=\"a \\\"b\\\\ \\n # $HOME\"", "a \"b\\ \\n # $HOME"),
            ("K='a\\'", "a\\"),
            ("K=id:secret\r", "id:secret"),
            ("K=", ""),
            ("K=\"\"", ""),
            ("K=# none", ""),
            ("# comment\n\n   # another\nK=v\n", "v"),
        ] {
            assert_eq!(read(line), [("K".to_owned(), value.to_owned())], "{line:?}");
        }
        assert_eq!(read("A=1\nB_2=2\nexport_c=3").len(), 3);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_line_that_is_not_understood_is_named_and_gives_no_key() {
        for (line, why) in [
            ("K", "line 2 is not NAME=value"),
            ("=v", "line 2 is not NAME=value"),
            ("K-1=v", "line 2 is not NAME=value"),
            ("1K=v", "line 2 is not NAME=value"),
            ("set K=v", "line 2 is not NAME=value"),
            ("K=secret word", "line 2 (K) has a space"),
            ("K=\"secret", "line 2 (K) has a quote that does not end"),
            ("K='secret' word", "line 2 (K) has something after its value"),
            ("K=sec\0ret", "line 2 has the invisible character U+0000 (NUL)"),
            ("\u{feff}K=secret", "line 2 has the invisible character U+FEFF (byte-order mark)"),
            ("K=secret\u{feff}", "line 2 has the invisible character U+FEFF (byte-order mark)"),
            ("K=sec\rret", "line 2 has the invisible character U+000D (carriage return)"),
            ("K=secret\u{200b}", "line 2 has the invisible character U+200B"),
            ("GOOD=2", "line 2 sets GOOD again, after line 1"),
        ] {
            let file = SecretsFile::read(format!("GOOD=1\n{line}\nALSO=1").as_bytes());
            assert!(
                file.problems.len() == 1 && file.problems[0].starts_with(why),
                "{line:?}: {:?}",
                file.problems
            );
            assert!(!file.problems[0].contains("sec"), "{:?}", file.problems);
            assert!(file.keys.contains_key("ALSO") && !file.keys.contains_key("K"), "{line:?}");
        }
        let file = SecretsFile::read(b"A=1\nK=\xff\xfe\n");
        assert_eq!(file.problems, ["line 2 is not UTF-8"]);
        // Saved as UTF-16.
        assert!(SecretsFile::read(b"\xff\xfeK\0=\0v\0").keys.is_empty());
    }

    #[test]
    fn a_key_never_prints_itself() {
        let key = Key::new(" sk-very-secret\n");
        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(format!("{:?}", Some(&key)), "Some(***)");
        assert_eq!(key.reveal(), "sk-very-secret");
    }
}
