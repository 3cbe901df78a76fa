//! Reads a user-agent text word by word and tells what each one says.
//!
//! A word is a run of letters, whatever its case, so that digits glued to it (`Android4.0`) still are its
//! number. It is folded into an integer and looked up in a table that is laid out at compile time: one
//! look a word, no allocation, no regular expression. Nothing of a word is kept.

use super::letters::{Letters, Shapes, Window, key};
use super::vocabulary::{Entry, OTHER_BOT, Sign, VOCABULARY};

/// Versions above are nobody's: they are absent, so that the number cannot carry a message.
pub(super) const NEWEST: u16 = 999;

/// Hands each word that says something to `note`, with the text behind it, from left to right.
pub(super) fn read(text: &[u8], mut note: impl FnMut(Sign, &[u8])) {
    let (mut last, mut at) =
        if text.starts_with(START) { (SILENT, START.len()) } else { (NONE, 0) };
    let mut left = MOST;
    while at < text.len() {
        let mut window = Window::at(text, at);
        at += loop {
            let word = match window.next() {
                Ok(word) => word,
                Err(places) => break places,
            };
            if window.is_of(word, &KNOWN) || ROBOTIC_LETTERS.has(window.last(word)) {
                let key = window.key(word);
                let after = text.get(at + word.end()..).unwrap_or_default();
                if let Some(sign) = sign(key, last, after) {
                    note(sign, after);
                }
                last = key;
            } else {
                last = SILENT;
            }
            left -= 1;
            if left == 0 {
                return;
            }
            if window.behind(word) == b'/'
                && text.get(at + word.end()..).is_some_and(|after| after.starts_with(BOAST))
                && let Err(places) = window.skip_to(word.end() + BOAST.len())
            {
                break places;
            }
        };
    }
}

#[inline]
fn sign(word: u128, last: u128, after: &[u8]) -> Option<Sign> {
    match entry(word) {
        Some(entry) => entry.sign(last, after),
        None => robotic(word),
    }
}

/// Before the first word.
const NONE: u128 = key("");

/// Any word that no other one asks for.
const SILENT: u128 = key("mozilla");

/// The words that say something, or that others ask for; most are told not to be among them by their length.
static KNOWN: Shapes = {
    let (mut shapes, mut at) = (Shapes::none().with(LIKE), 0);
    while at < VOCABULARY.len() {
        #[expect(clippy::indexing_slicing, reason = "fails the build, not a request")]
        let entry = VOCABULARY[at];
        shapes = shapes.with(entry.word);
        if let Some(last) = entry.last
            && last != NONE
        {
            shapes = shapes.with(last);
        }
        at += 1;
    }
    shapes
};

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

/// With what those ends end.
static ROBOTIC_LETTERS: Letters = Letters::of("tsrlpg");

const fn ending(text: &str) -> (u128, u128) {
    let above = 128 - 8 * text.len();
    (u128::MAX << above, key(text) << above)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As texts are read, with every word looked up.
    fn all(text: &str, mut note: impl FnMut(Sign, &[u8])) {
        let (mut last, mut at) = (NONE, 0);
        let mut rest = text.replace(std::str::from_utf8(BOAST).unwrap(), &" ".repeat(BOAST.len()));
        rest.push(' ');
        for (end, word) in rest.split(|c: char| !c.is_ascii_alphabetic()).map(|word| {
            at += word.len() + 1;
            (at - 1, key(&word.to_ascii_lowercase()))
        }) {
            if word == NONE {
                continue;
            }
            let after = text.as_bytes().get(end..).unwrap_or_default();
            sign(word, last, after).into_iter().for_each(|sign| note(sign, after));
            last = word;
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "like",
            "Windows",
            "Phone",
            "Opera",
            "Mini",
            "UC",
            "Browser",
            "Java",
            "python",
            "urllib",
            "Apache",
            "HttpClient",
            "Go-http",
            "client",
            "libwww",
            "perl",
            "org_bot",
            "Firefox",
            "x",
            "rv",
            "Gecko",
            "FooBot",
            "spiders",
            "monitoring",
            "cubot",
            "S60",
            "facebookexternalhit",
            "ebookexternalhit",
            "Chrome/537.36 (KHTML, like Gecko) Safari",
            "Mozilla/5.0 (",
        ]);
        prop::collection::vec((word, "[ /;]|/1|60|-"), 0..20)
            .prop_map(|words| words.into_iter().map(|(word, end)| [word, &end].concat()).collect())
    }

    proptest! {
        #[test]
        fn words_that_are_passed_over_say_nothing(text in texts()) {
            let (mut heard, mut every) = (Vec::new(), Vec::new());
            let seen = |sign: Sign, after: &[u8]| (sign.agent, sign.system, sign.kind, after.len());
            read(text.as_bytes(), |sign, after| heard.push(seen(sign, after)));
            all(&text, |sign, after| every.push(seen(sign, after)));
            prop_assert_eq!(heard.as_slice(), every.get(..heard.len()).unwrap_or_default());
            prop_assert!(heard.len() == every.len() || text.len() > 2 * MOST);
        }
    }
}
