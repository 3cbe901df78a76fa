//! Finds the words of a text, sixty-four bytes at a time.
//!
//! A word is a run of letters of ASCII, whatever their case. Which bytes of a window are letters is told
//! without branches, one bit a byte; where words begin and end is counted in those bits.
#![allow(
    clippy::indexing_slicing,
    reason = "a table of 32 is indexed by five bits, or while building"
)]

use std::num::NonZeroU64;

/// A part of a text, and the words that are left to read in it.
pub(super) struct Window {
    /// As many zeros as letters of a word are told, then the text; zeros stand for what it does not have.
    bytes: [u8; LETTERS + WINDOW],
    /// A bit for each letter that has not been read.
    left: u64,
}

/// Where in a window a word stands.
#[derive(Clone, Copy)]
pub(super) struct Word {
    start: usize,
    end: usize,
}

const WINDOW: usize = 64;

/// So many letters of a word are told, its last ones.
const LETTERS: usize = 16;

impl Window {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; LETTERS + WINDOW], left: 0 }
    }

    /// Goes to a place in the text.
    #[inline]
    pub(super) fn go(&mut self, text: &[u8], at: usize) {
        let Some(bytes) = self.bytes.last_chunk_mut() else { return };
        let rest = text.get(at..).unwrap_or_default();
        let rest = rest.get(..WINDOW).unwrap_or(rest);
        *bytes = [0; WINDOW];
        if let Some(place) = bytes.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        self.left = letters(bytes);
    }

    /// The next word that ends here, or how many places on another window has to begin.
    #[inline]
    pub(super) const fn next(&mut self) -> Result<Word, usize> {
        let Some(left) = NonZeroU64::new(self.left) else {
            return Err(WINDOW);
        };
        let start = left.trailing_zeros() as usize;
        // A bit that is added to a run of bits goes behind it.
        let Some(behind) = NonZeroU64::new(self.left.wrapping_add(1 << start)) else {
            // It may go on. Of one that fills the window, the letters that count are still to come.
            return Err(if start == 0 { WINDOW - LETTERS } else { start });
        };
        self.left &= behind.get();
        Ok(Word { start, end: behind.trailing_zeros() as usize })
    }

    /// Leaves out what stands before a place, which is not before the end of the last word.
    #[inline]
    pub(super) const fn skip_to(&mut self, place: usize) -> Result<(), usize> {
        if place >= WINDOW {
            return Err(place);
        }
        self.left &= u64::MAX << place;
        Ok(())
    }

    /// A word's letters, as [`key`] gives them.
    #[inline]
    pub(super) fn key(&self, word: Word) -> u128 {
        let letters = self.bytes.get(word.end..).and_then(<[u8]>::first_chunk);
        let letters = u128::from_le_bytes(*letters.unwrap_or(&[0; LETTERS]));
        let mask = LAST.get(LETTERS.min(word.len())).copied().unwrap_or_default();
        (letters | u128::from_le_bytes([0x20; LETTERS])) & mask
    }

    /// Whether a word of this length that begins with this letter may be one of these.
    #[inline]
    pub(super) fn is_of(&self, word: Word, shapes: &Shapes) -> bool {
        shapes.0[usize::from(self.byte(word.start) & 31)] >> word.len() & 1 != 0
    }

    /// A word's last letter, in either case.
    #[inline]
    pub(super) fn last(&self, word: Word) -> u8 {
        self.bytes.get(word.end + LETTERS - 1).copied().unwrap_or_default()
    }

    /// The byte behind a word.
    #[inline]
    pub(super) fn behind(&self, word: Word) -> u8 {
        self.byte(word.end)
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(LETTERS + at).copied().unwrap_or_default()
    }
}

impl Word {
    #[inline]
    pub(super) const fn end(self) -> usize {
        self.end
    }

    #[inline]
    pub(super) const fn len(self) -> usize {
        self.end - self.start
    }
}

/// How long words are, a bit for each length, by their first letter. Longer words than are told may be any.
pub(super) struct Shapes([u64; 32]);

impl Shapes {
    pub(super) const fn none() -> Self {
        Self([u64::MAX << (LETTERS + 1); 32])
    }

    /// With a word as [`key`] gives it.
    pub(super) const fn with(mut self, key: u128) -> Self {
        let above = key.trailing_zeros() as usize & !7;
        self.0[((key >> above) & 31) as usize] |= 1 << (LETTERS - above / 8);
        self
    }
}

/// A set of letters, whatever their case.
pub(super) struct Letters([bool; 32]);

impl Letters {
    pub(super) const fn of(letters: &str) -> Self {
        let (mut set, mut letters) = ([false; 32], letters.as_bytes());
        while let [letter, rest @ ..] = letters {
            set[(*letter & 31) as usize] = true;
            letters = rest;
        }
        Self(set)
    }

    #[inline]
    pub(super) fn has(&self, letter: u8) -> bool {
        self.0[usize::from(letter & 31)]
    }
}

/// Masks that leave as many letters at the end.
static LAST: [u128; LETTERS + 1] = {
    let (mut masks, mut len) = ([0; LETTERS + 1], 1);
    while len <= LETTERS {
        masks[len] = u128::MAX << (128 - 8 * len);
        len += 1;
    }
    masks
};

/// A bit for each letter, the first byte's lowest.
fn letters(bytes: &[u8; WINDOW]) -> u64 {
    let tops = bytes.map(|byte| if byte.is_ascii_alphabetic() { 0x80 } else { 0 });
    let (tops, _) = tops.as_chunks();
    // The product has each byte's top bit among its own highest eight.
    tops.iter().rev().fold(0, |bits, tops| {
        let lowest = u64::from_le_bytes(*tops) >> 7;
        bits << 8 | lowest.wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// A word as texts are folded into: its last sixteen letters, the last one highest.
pub(super) const fn key(word: &str) -> u128 {
    let (mut letters, mut word) = (word.as_bytes(), 0);
    while let [letter, rest @ ..] = letters {
        word = word >> 8 | (*letter as u128) << 120;
        letters = rest;
    }
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the words of a text are defined.
    fn split(text: &[u8]) -> Vec<(u128, usize)> {
        let (mut words, mut word) = (Vec::new(), String::new());
        for (at, byte) in text.iter().chain([&0]).enumerate() {
            if byte.is_ascii_alphabetic() {
                word.push(char::from(byte.to_ascii_lowercase()));
            } else if !word.is_empty() {
                words.push((key(&word), at));
                word.clear();
            }
        }
        words
    }

    /// As texts are read: every word, and where it ends; `skip` goes on from there.
    fn told(
        text: &[u8],
        mut at: usize,
        mut skip: impl FnMut(usize) -> usize,
    ) -> Vec<(u128, usize)> {
        let (mut words, mut window) = (Vec::new(), Window::new());
        while at < text.len() {
            window.go(text, at);
            at += loop {
                let word = match window.next() {
                    Ok(word) => word,
                    Err(places) => break places,
                };
                let (key, end) = (window.key(word), at + word.end);
                assert_eq!(window.behind(word), text.get(end).copied().unwrap_or_default());
                assert_eq!(window.last(word), text[end - 1]);
                assert!(window.is_of(word, &Shapes::none().with(key)));
                words.push((key, end));
                if let Err(places) = window.skip_to(skip(end) - at) {
                    break places;
                }
            };
        }
        words
    }

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(b"azAZmM@[`{/1 \x00\x7f\xc1\xe1".to_vec());
        let run = (byte, prop_oneof![4 => 1..4_usize, 2 => 1..30_usize, 1 => 1..200_usize]);
        let runs = prop::collection::vec(run, 0..60);
        runs.prop_map(|runs| runs.into_iter().flat_map(|(byte, len)| vec![byte; len]).collect())
    }

    proptest! {
        #[test]
        fn windows_agree_with_single_bytes(text in texts(), start in 0..100_usize, skips: u64) {
            let start = start.min(text.len());
            let expected = split(&text[start..]);
            let expected: Vec<_> = expected.iter().map(|(word, end)| (*word, end + start)).collect();
            prop_assert_eq!(told(&text, start, |end| end), expected);

            let mut turn = 0;
            let mut skip = |end: usize| {
                turn += 1;
                let far = if skips >> (turn % 64) & 1 == 1 { 28 * turn } else { 0 };
                (end + far).min(text.len())
            };
            let mut expected = Vec::new();
            let mut at = 0;
            while let Some((word, end)) = split(&text[at..]).first() {
                expected.push((*word, end + at));
                at = skip(end + at);
            }
            turn = 0;
            let skip = |end: usize| {
                turn += 1;
                let far = if skips >> (turn % 64) & 1 == 1 { 28 * turn } else { 0 };
                (end + far).min(text.len())
            };
            prop_assert_eq!(told(&text, 0, skip), expected);
        }
    }
}
