//! Words out of a closed list: what is not declared is `_OTHER`, whatever it says.

/// A place in a declared list, or nowhere in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    At(usize),
    Other,
}

impl Listed {
    /// Where `word` is declared; the case of ASCII letters does not matter.
    pub(crate) fn of(word: &str, allow: &[impl AsRef<str>]) -> Self {
        let declared = allow.iter().position(|entry| entry.as_ref().eq_ignore_ascii_case(word));
        declared.map_or(Self::Other, Listed::At)
    }

    /// The word as it was declared.
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
        assert_eq!(Listed::of("EN", &allow).word(&allow), "en");
        assert_eq!(Listed::of("de", &allow).word(&allow), "De");
        assert_eq!(Listed::of("fr", &allow).word(&allow), "_OTHER");
        assert_eq!(Listed::At(7).word(&allow), "_OTHER");
    }
}
