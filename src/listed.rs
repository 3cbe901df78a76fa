//! Words out of a closed list: what is not declared is `_OTHER`, whatever it says.

use crate::fixed::Fixed;
use crate::text::Text;

/// A declared list, with each of its words as it is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Words {
    declared: Box<[String]>,
    written: Box<[Text]>,
    /// What nearly every word is, ready to be written.
    fixed: Box<[Option<&'static Fixed>]>,
}

impl Words {
    pub(crate) fn new(words: &[String]) -> Self {
        Self {
            declared: words.into(),
            written: words.iter().map(|word| Text::new(word)).collect(),
            fixed: words.iter().map(|word| Fixed::of(word)).collect(),
        }
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.declared
    }

    /// What a place is written as; always something, and an option so that it need not be moved into one.
    #[inline]
    pub(crate) fn text(&self, listed: Listed) -> Option<Text> {
        let Listed::At(place) = listed else { return Some(Text::fixed(Fixed::OTHER)) };
        match self.fixed.get(place) {
            Some(Some(word)) => Some(Text::fixed(word)),
            Some(None) => self.long(place),
            None => Some(Text::fixed(Fixed::OTHER)),
        }
    }

    /// The word of a place, if it is ready to be written.
    pub(crate) fn ready(&self, listed: Listed) -> Option<&'static Fixed> {
        match listed {
            Listed::At(place) => *self.fixed.get(place)?,
            Listed::Other => Some(Fixed::OTHER),
        }
    }

    #[inline(never)]
    fn long(&self, place: usize) -> Option<Text> {
        self.written.get(place).cloned()
    }
}

/// A place in a declared list, or nowhere in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    At(usize),
    Other,
}

impl Listed {
    /// Where `word` is declared; the case of ASCII letters does not matter.
    #[cfg(test)]
    pub(crate) fn of(word: &[u8], allow: &[impl AsRef<str>]) -> Self {
        let is = |entry: &str| entry.as_bytes().eq_ignore_ascii_case(word);
        let declared = allow.iter().position(|entry| is(entry.as_ref()));
        declared.map_or(Self::Other, Listed::At)
    }

    /// The word as it was declared.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn word<S: AsRef<str>>(self, allow: &[S]) -> &str {
        match self {
            Self::At(place) => allow.get(place).map_or("_OTHER", S::as_ref),
            Self::Other => "_OTHER",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_word_is_written_as_it_was_declared() {
        let allow = ["en", "De"];
        assert_eq!(Listed::of(b"EN", &allow).word(&allow), "en");
        assert_eq!(Listed::of(b"de", &allow).word(&allow), "De");
        assert_eq!(Listed::of(b"fr", &allow).word(&allow), "_OTHER");
        assert_eq!(Listed::At(7).word(&allow), "_OTHER");
        let words = Words::new(&allow.map(str::to_owned));
        assert_eq!(words.text(Listed::of(b"DE", words.words())).unwrap().as_str(), "De");
        assert_eq!(words.text(Listed::Other).unwrap().as_str(), "_OTHER");
        assert_eq!(words.text(Listed::At(7)).unwrap().as_str(), "_OTHER");
    }
}
