//! What providers keep between requests besides tasks: uploaded files, and notes about tasks.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use serde_json::Value;

/// So much is kept, in bytes; the oldest goes first.
const MOST_BYTES: usize = 256 << 20;

/// A bounded store of bytes by name. Names begin with the provider's.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    things: HashMap<String, Bytes>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Shelf {
    pub(crate) fn put(&mut self, name: &str, thing: Bytes) {
        self.bytes += thing.len();
        match self.things.insert(name.to_owned(), thing) {
            // It keeps its place, so that what is put here again and again does not fill the order.
            Some(old) => self.bytes -= old.len(),
            None => self.order.push_back(name.to_owned()),
        }
        while self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.take(&oldest);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Bytes> {
        self.things.get(name).cloned()
    }

    /// Removes it. Says whether it was there.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        let Some(thing) = self.things.remove(name) else { return false };
        self.bytes -= thing.len();
        true
    }

    pub(crate) fn put_note(&mut self, name: &str, note: &Value) {
        self.put(name, Bytes::from(note.to_string()));
    }

    /// The note of that name, `null` if there is none.
    pub(crate) fn note(&self, name: &str) -> Value {
        self.get(name).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let mut shelf = Shelf::default();
        for n in 0..300 {
            shelf.put(&n.to_string(), Bytes::from(vec![0; 1 << 20]));
        }
        assert!(shelf.get("0").is_none() && shelf.get("299").is_some() && shelf.bytes <= MOST_BYTES);
        assert!(shelf.take("299") && !shelf.take("299"));
        assert_eq!(shelf.note("299"), Value::Null);
    }
}
