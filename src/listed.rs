//! Words out of a closed list: what is not declared is `_OTHER`, whatever it says.

use crate::text::Text;

/// A declared list, with each of its words as it is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Words {
    words: Box<[String]>,
    texts: Box<[Text]>,
}

impl Words {
    pub(crate) fn new(words: &[String]) -> Self {
        Self { words: words.into(), texts: words.iter().map(|word| Text::new(word)).collect() }
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    pub(crate) fn text(&self, listed: Listed) -> Text {
        match listed {
            Listed::At(place) => self.texts.get(place).cloned(),
            Listed::Other => None,
        }
        .unwrap_or(Text::fixed("_OTHER"))
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
        assert_eq!(words.text(Listed::of(b"DE", words.words())).as_str(), "De");
        assert_eq!(words.text(Listed::Other).as_str(), "_OTHER");
        assert_eq!(words.text(Listed::At(7)).as_str(), "_OTHER");
    }
}
