//! Reads a user-agent text word by word and tells what each one says.
//!
//! A word is a run of letters, whatever its case, so that digits glued to it (`Android4.0`) still are its
//! number. It is folded into an integer and looked up in a table that is laid out at compile time: one
//! look a word, no allocation, no regular expression. Nothing of a word is kept.

use super::letters::{Letters, Shapes, Window, key};
use super::vocabulary::{Entry, OTHER_BOT, Sign, VOCABULARY};

/// Versions above are nobody's: they are absent, so that the number cannot carry a message.
pub(super) const NEWEST: u16 = 999;

/// Hands each word that says something to `note`, with the place behind it, from left to right.
pub(super) fn read(text: &[u8], mut note: impl FnMut(&Sign, usize)) {
    let (mut last, mut at) =
        if text.starts_with(START) { (SILENT, START.len()) } else { (FIRST, 0) };
    let (mut left, mut window) = (MOST, Window::new());
    while at < text.len() {
        window.go(text, at);
        at += loop {
            let word = match window.next() {
                Ok(word) => word,
                Err(places) => break places,
            };
            if window.is_of(word, &KNOWN)
                || word.len() >= SHORTEST_END && ROBOTIC_LETTERS.has(window.last(word))
            {
                let end = at + word.end();
                let (place, sign) = sign(window.key(word), last, window.behind(word), || {
                    text.get(end..).unwrap_or_default()
                });
                if let Some(sign) = sign {
                    note(sign, end);
                }
                last = place;
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

/// Where a word stands, and what it says behind the last one, before a byte and the text from there.
#[inline]
fn sign<'t>(
    word: u128,
    last: u8,
    behind: u8,
    after: impl Fn() -> &'t [u8],
) -> (u8, Option<&'static Sign>) {
    let mut slot = slot(word);
    loop {
        let place = SLOTS.get(slot).copied().unwrap_or(SILENT);
        match VOCABULARY.get(usize::from(place)) {
            Some(entry) if entry.word == word => {
                return (place, entry.sign(place, last, behind, after));
            }
            Some(_) => slot += 1,
            None => return (SILENT, robotic(word)),
        }
    }
}

/// Any word that no other one asks for.
const SILENT: u8 = u8::MAX;

/// Before the first word.
const FIRST: u8 = SILENT - 1;

/// Nothing that can have stood before.
const NOTHING: u8 = SILENT - 2;

const LIKE: u8 = place("like");

const fn place(word: &str) -> u8 {
    place_of(key(word))
}

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "fails the build, not a request"
)]
const fn place_of(word: u128) -> u8 {
    let mut at = 0;
    while VOCABULARY[at].word != word {
        at += 1;
    }
    at as u8
}

/// The words that say something, or that others ask for; most are told not to be among them by their length.
static KNOWN: Shapes = {
    let (mut shapes, mut at) = (Shapes::none(), 0);
    while at < VOCABULARY.len() {
        #[expect(clippy::indexing_slicing, reason = "fails the build, not a request")]
        {
            shapes = shapes.with(VOCABULARY[at].word);
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

impl Entry {
    #[inline]
    fn sign<'t>(
        &self,
        place: u8,
        last: u8,
        behind: u8,
        after: impl Fn() -> &'t [u8],
    ) -> Option<&Sign> {
        if last == LIKE {
            return None;
        }
        if LASTS.get(usize::from(place)) == Some(&last) {
            return Some(&self.paired);
        }
        let alone = self.alone.as_ref()?;
        let says = match self.only {
            Some(only) => number(after()) == Some(only),
            None => !alone.is_glued(behind),
        };
        says.then_some(alone)
    }
}

/// Where the word stands that each word of the vocabulary asks for.
#[allow(clippy::indexing_slicing, reason = "fails the build, not a request")]
static LASTS: [u8; VOCABULARY.len()] = {
    let (mut lasts, mut at) = ([NOTHING; VOCABULARY.len()], 0);
    while at < VOCABULARY.len() {
        lasts[at] = match VOCABULARY[at].last {
            None => NOTHING,
            Some(0) => FIRST,
            Some(last) => place_of(last),
        };
        at += 1;
    }
    lasts
};

/// Where each word of the vocabulary stands, by [`slot`] or soon after it; [`SILENT`] ends a search.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "fails the build, not a request"
)]
static SLOTS: [u8; 1032] = {
    assert!(VOCABULARY.len() <= NOTHING as usize);
    let mut slots = [SILENT; 1032];
    let mut at = 0;
    while at < VOCABULARY.len() {
        let mut slot = slot(VOCABULARY[at].word);
        while slots[slot] != SILENT {
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
fn robotic(word: u128) -> Option<&'static Sign> {
    let is_robotic = word != CUBOT && ROBOTIC.iter().any(|(mask, robotic)| word & mask == *robotic);
    is_robotic.then_some(&OTHER_BOT)
}

const CUBOT: u128 = key("cubot");

/// Each end of a word, and the mask that leaves as much of a word.
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

const SHORTEST_END: usize = "bot".len();

/// With what those ends end.
static ROBOTIC_LETTERS: Letters = Letters::of("tsrlpg");

const fn ending(text: &str) -> (u128, u128) {
    (u128::MAX << (128 - 8 * text.len()), key(text))
}

/// The whole number that follows a word, at once or after one separator, if it can be a major version.
pub(super) fn number(after: &[u8]) -> Option<u16> {
    match after {
        [b'/' | b' ' | b':', digits @ ..] | digits => major(digits),
    }
}

#[inline]
pub(super) fn major(text: &[u8]) -> Option<u16> {
    match text.first_chunk::<4>() {
        Some([b'0'..=b'9', _, _, b'0'..=b'9']) | None => any_major(text),
        Some([first, second, third, _]) => few_digits(*first, *second, *third),
    }
}

#[inline]
fn few_digits(first: u8, second: u8, third: u8) -> Option<u16> {
    let digit = |byte: u8| Some(u16::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit <= 9);
    let first = digit(first)?;
    let Some(second) = digit(second) else { return Some(first) };
    let Some(third) = digit(third) else { return Some(first * 10 + second) };
    Some(first * 100 + second * 10 + third)
}

#[inline]
fn any_major(text: &[u8]) -> Option<u16> {
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
    fn all(text: &str, mut note: impl FnMut(&Sign, &[u8])) {
        let (mut last, mut at) = (FIRST, 0);
        let mut rest = text.replace(std::str::from_utf8(BOAST).unwrap(), &" ".repeat(BOAST.len()));
        rest.push(' ');
        for (end, word) in rest.split(|c: char| !c.is_ascii_alphabetic()).map(|word| {
            at += word.len() + 1;
            (at - 1, key(&word.to_ascii_lowercase()))
        }) {
            if word == key("") {
                continue;
            }
            let after = text.as_bytes().get(end..).unwrap_or_default();
            let behind = after.first().copied().unwrap_or_default();
            let (place, sign) = sign(word, last, behind, || after);
            sign.into_iter().for_each(|sign| note(sign, after));
            last = place;
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
        fn short_numbers_are_read_as_all_are(text in "[0-9/:.]{0,6}") {
            prop_assert_eq!(major(text.as_bytes()), any_major(text.as_bytes()));
        }

        #[test]
        fn words_that_are_passed_over_say_nothing(text in texts()) {
            let (mut heard, mut every) = (Vec::new(), Vec::new());
            let seen = |sign: &Sign, after: &[u8]| (sign.agent, sign.system, sign.kind, after.len());
            let bytes = text.as_bytes();
            read(bytes, |sign, end| heard.push(seen(sign, &bytes[end..])));
            all(&text, |sign, after| every.push(seen(sign, after)));
            prop_assert_eq!(heard.as_slice(), every.get(..heard.len()).unwrap_or_default());
            prop_assert!(heard.len() == every.len() || text.len() > 2 * MOST);
        }
    }
}
