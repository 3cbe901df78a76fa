//! Finds the words of a text, sixty-four bytes at a time.
//!
//! A word is a run of letters of ASCII, whatever their case. Which bytes of a window are letters is told
//! without branches, one bit a byte; where words begin and end is counted in those bits.

/// The words of a text, each with the place behind it.
pub(super) struct Words<'a> {
    text: &'a [u8],
    /// Where in the text the window begins.
    at: usize,
    /// Zeros stand for what the text does not have.
    window: [u8; WINDOW + LETTERS],
    /// A bit for each letter of the window that has not been read.
    left: u64,
}

const WINDOW: usize = 64;

/// So many letters of a word are told, its last ones.
const LETTERS: usize = 16;

impl<'a> Words<'a> {
    #[inline]
    pub(super) fn behind(text: &'a [u8], at: usize) -> Self {
        let mut words = Self { text, at, window: [0; WINDOW + LETTERS], left: 0 };
        words.look();
        words
    }

    /// Goes on at a place that is not before the end of the last word.
    #[inline]
    pub(super) fn skip_to(&mut self, at: usize) {
        let places = at - self.at;
        if places < WINDOW {
            self.left &= u64::MAX << places;
        } else {
            self.look_at(at);
        }
    }

    #[inline(never)]
    fn look_at(&mut self, at: usize) {
        self.at = at;
        self.window = [0; WINDOW + LETTERS];
        self.look();
    }

    /// Fills the window, which is empty.
    #[inline]
    fn look(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rest = rest.get(..self.window.len()).unwrap_or(rest);
        if let Some(place) = self.window.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        self.left = self.window.first_chunk().map_or(0, letters);
    }

    fn word(&self, start: usize, end: usize) -> u128 {
        let len = LETTERS.min(end - start);
        let letters = self.window.get(end - len..).and_then(<[u8]>::first_chunk);
        let letters = u128::from_le_bytes(*letters.unwrap_or(&[0; LETTERS]));
        (letters | u128::from_le_bytes([0x20; LETTERS]))
            & FIRST.get(len).copied().unwrap_or_default()
    }
}

impl Iterator for Words<'_> {
    type Item = (u128, usize);

    /// A word as [`key`] gives it, and where it ends.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.left.trailing_zeros() as usize;
            if start == WINDOW {
                let next = self.at + WINDOW;
                if next >= self.text.len() {
                    return None;
                }
                self.look_at(next);
                continue;
            }
            let end = start + (!(self.left >> start)).trailing_zeros() as usize;
            if end < WINDOW {
                self.left &= u64::MAX << end;
                return Some((self.word(start, end), self.at + end));
            }
            // It may go on. Of one that fills the window, the letters that count are still to come.
            self.look_at(self.at + if start == 0 { WINDOW - LETTERS } else { start });
        }
    }
}

/// Masks that leave as many of a word's first letters.
static FIRST: [u128; LETTERS + 1] = {
    let (mut masks, mut len) = ([0; LETTERS + 1], 1);
    while len <= LETTERS {
        #[expect(clippy::indexing_slicing, reason = "fails the build, not a request")]
        {
            masks[len] = u128::MAX >> (128 - 8 * len);
        }
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

/// A word as texts are folded into: the last sixteen letters, the first one lowest.
pub(super) const fn key(word: &str) -> u128 {
    let (mut letters, mut word, mut len) = (word.as_bytes(), 0, 0);
    while let [letter, rest @ ..] = letters {
        if len == LETTERS {
            word >>= 8;
            len -= 1;
        }
        word |= (*letter as u128) << (8 * len);
        (letters, len) = (rest, len + 1);
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
            let all: Vec<_> = Words::behind(&text, start).collect();
            let expected = split(&text[start..]);
            prop_assert_eq!(&all, &expected.iter().map(|(word, end)| (*word, end + start)).collect::<Vec<_>>());

            let mut words = Words::behind(&text, 0);
            let mut at = 0;
            for turn in 0.. {
                let next = split(&text[at..]).first().map(|(word, end)| (*word, end + at));
                prop_assert_eq!(words.next(), next);
                let Some((_, end)) = next else { break };
                let skip = if skips >> (turn % 64) & 1 == 1 { 28 * (turn + 1) } else { 0 };
                at = (end + skip).min(text.len());
                words.skip_to(at);
            }
        }
    }
}
