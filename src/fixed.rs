//! Our own words: what a closed list can say, ready to be written.

/// A word that is safe in JSON as it stands, and the same with the quote behind it.
///
/// Copied whole and cut, it needs no look at its length.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) text: &'static str,
    quoted: [u8; Self::ROOM],
}

impl Fixed {
    pub(crate) const ROOM: usize = 32;

    #[allow(clippy::indexing_slicing, reason = "fails the build, not a request")]
    pub(crate) const fn new(text: &'static str) -> Self {
        let (mut quoted, mut at) = ([0; Self::ROOM], 0);
        while at < text.len() {
            let byte = text.as_bytes()[at];
            assert!(
                byte >= b' ' && byte < 0x7f && byte != b'"' && byte != b'\\',
                "needs an escape"
            );
            quoted[at] = byte;
            at += 1;
        }
        quoted[at] = b'"';
        Self { text, quoted }
    }

    #[inline]
    pub(crate) const fn quoted(&self) -> &[u8; Self::ROOM] {
        &self.quoted
    }
}

impl Default for &'static Fixed {
    fn default() -> Self {
        static EMPTY: Fixed = Fixed::new("");
        &EMPTY
    }
}

impl PartialEq for Fixed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Fixed {}
