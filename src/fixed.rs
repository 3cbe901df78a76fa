//! Our own words: what a closed list can say, ready to be written.
//!
//! A word that a policy declares becomes one of them: it is leaked once, and shared by every policy that
//! declares it.

use std::sync::{Mutex, PoisonError};

/// A word that is safe in JSON as it stands, and the same with the quote behind it.
///
/// Copied whole and cut, it needs no look at its length.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) text: &'static str,
    quoted: [u8; Self::ROOM],
    /// With the quote.
    len: usize,
}

impl Fixed {
    pub(crate) const ROOM: usize = 32;

    pub(crate) const EMPTY: &'static Self = &Self::new("");
    pub(crate) const OTHER: &'static Self = &Self::new("_OTHER");

    #[allow(clippy::indexing_slicing, reason = "fails the build, not a request")]
    pub(crate) const fn new(text: &'static str) -> Self {
        let (mut quoted, mut at) = ([0; Self::ROOM], 0);
        while at < text.len() {
            let byte = text.as_bytes()[at];
            assert!(is_plain(byte), "needs an escape");
            quoted[at] = byte;
            at += 1;
        }
        quoted[at] = b'"';
        Self { text, quoted, len: at + 1 }
    }

    /// A declared word, if it is short and needs no escape.
    pub(crate) fn of(word: &str) -> Option<&'static Self> {
        static DECLARED: Mutex<Vec<&Fixed>> = Mutex::new(Vec::new());
        if word.len() >= Self::ROOM || !word.bytes().all(is_plain) {
            return None;
        }
        let mut declared = DECLARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = declared.iter().find(|known| known.text == word) {
            return Some(known);
        }
        let new = &*Box::leak(Box::new(Self::new(word.to_owned().leak())));
        declared.push(new);
        Some(new)
    }

    #[inline]
    pub(crate) const fn quoted(&self) -> &[u8; Self::ROOM] {
        &self.quoted
    }

    /// How much of it counts.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

const fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte < 0x7f && byte != b'"' && byte != b'\\'
}

impl Default for &'static Fixed {
    fn default() -> Self {
        Fixed::EMPTY
    }
}

impl PartialEq for Fixed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Fixed {}
