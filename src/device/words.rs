//! Reads a user-agent text word by word and tells what each one says.
//!
//! A word is a run of letters, whatever its case, so that digits glued to it (`Android4.0`) still are its
//! number. It is folded into an integer and looked up in a table that is laid out at compile time: one
//! look a word, no allocation, no regular expression. Nothing of a word is kept.

use super::letters::{Words, key};
use super::vocabulary::{Entry, OTHER_BOT, Sign, VOCABULARY};

/// Versions above are nobody's: they are absent, so that the number cannot carry a message.
pub(super) const NEWEST: u16 = 999;

/// Hands each word that says something to `note`, with the text behind it, from left to right.
pub(super) fn read(text: &[u8], mut note: impl FnMut(Sign, &[u8])) {
    let (mut last, start) =
        if text.starts_with(START) { (key("mozilla"), START.len()) } else { (0, 0) };
    let mut words = Words::behind(text, start);
    for _ in 0..MOST {
        let Some((word, end)) = words.next() else { return };
        let (before, after) = text.split_at_checked(end).unwrap_or_default();
        let sign = match entry(word) {
            Some(entry) => entry.sign(last, after),
            None => ends_robotically(before).then(|| robotic(word)).flatten(),
        };
        if let Some(sign) = sign {
            note(sign, after);
        }
        last = word;
        if after.first() == Some(&b'/') && after.starts_with(BOAST) {
            words.skip_to(end + BOAST.len());
        }
    }
}

/// The words that are heard; one text in ten thousand has more.
const MOST: usize = 40;

const START: &[u8] = b"Mozilla/5.0 (";

/// What nearly every browser says and none means.
const BOAST: &[u8] = b"/537.36 (KHTML, like Gecko) ";

const LIKE: u128 = key("like");

impl Entry {
    #[inline]
    fn sign(&self, last: u128, after: &[u8]) -> Option<Sign> {
        if last == LIKE {
            return None;
        }
        if self.last == Some(last) {
            return Some(self.paired);
        }
        match self.only {
            Some(only) => self.alone.filter(|_| number(after) == Some(only)),
            None => self.alone.filter(|sign| !sign.is_glued(after)),
        }
    }
}

fn entry(word: u128) -> Option<&'static Entry> {
    let mut slot = slot(word);
    loop {
        let entry = VOCABULARY.get(usize::from(*SLOTS.get(slot)?))?;
        if entry.word == word {
            return Some(entry);
        }
        slot += 1;
    }
}

const EMPTY: u8 = u8::MAX;

/// Where each word of the vocabulary stands, by [`slot`] or soon after it; [`EMPTY`] ends a search.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "fails the build, not a request"
)]
static SLOTS: [u8; 1032] = {
    assert!(VOCABULARY.len() < EMPTY as usize);
    let mut slots = [EMPTY; 1032];
    let mut at = 0;
    while at < VOCABULARY.len() {
        let mut slot = slot(VOCABULARY[at].word);
        while slots[slot] != EMPTY {
            assert!(
                VOCABULARY[slots[slot] as usize].word != VOCABULARY[at].word,
                "a word stands twice"
            );
            slot += 1;
        }
        slots[slot] = at as u8;
        at += 1;
    }
    slots
};

/// A number below 1 024.
#[allow(clippy::cast_possible_truncation, reason = "a hash")]
const fn slot(word: u128) -> usize {
    let half = (word >> 64) as u64 ^ word as u64;
    (half.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

/// Whether robots call themselves by words with this last letter.
#[inline]
fn ends_robotically(text: &[u8]) -> bool {
    text.last().is_some_and(|letter| LAST_LETTERS & bit(*letter) != 0)
}

/// Robots that nobody listed end as robots call themselves; CUBOT makes phones.
#[inline(never)]
fn robotic(word: u128) -> Option<Sign> {
    let end = word << (word.leading_zeros() & !7);
    let is_robotic = word != CUBOT && ROBOTIC.iter().any(|(mask, robotic)| end & mask == *robotic);
    is_robotic.then_some(OTHER_BOT)
}

const CUBOT: u128 = key("cubot");

/// Each end of a word, highest as it is there, and the mask that leaves as much of a word.
const ROBOTIC: [(u128, u128); 12] = [
    ending("bot"),
    ending("bots"),
    ending("spider"),
    ending("crawler"),
    ending("crawl"),
    ending("slurp"),
    ending("fetcher"),
    ending("scraper"),
    ending("checker"),
    ending("validator"),
    ending("archiver"),
    ending("monitoring"),
];

const LAST_LETTERS: u32 = bit(b't') | bit(b's') | bit(b'r') | bit(b'l') | bit(b'p') | bit(b'g');

const fn ending(text: &str) -> (u128, u128) {
    let above = 128 - 8 * text.len();
    (u128::MAX << above, key(text) << above)
}

const fn bit(letter: u8) -> u32 {
    1 << (letter & 31)
}

/// The whole number that follows a word, at once or after one separator, if it can be a major version.
pub(super) fn number(after: &[u8]) -> Option<u16> {
    match after {
        [b'/' | b' ' | b':', digits @ ..] | digits => major(digits),
    }
}

pub(super) fn major(text: &[u8]) -> Option<u16> {
    let mut digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let first = u16::from(digits.next()? - b'0');
    digits.try_fold(first, |value, digit| {
        let value = value * 10 + u16::from(digit - b'0');
        (value <= NEWEST).then_some(value)
    })
}
