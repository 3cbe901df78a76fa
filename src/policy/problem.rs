//! One mistake in a policy: where it stands and what was expected.
//!
//! Sentences are for the operator and quote the operator's own file only; a value that could be
//! a key by mistake is not quoted.

use super::node::Place;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    at: Place,
    key: String,
    sentence: String,
}

impl Problem {
    /// `key` is the whole path, such as `log.access.fields."client.address"`.
    pub(crate) fn new(at: Place, key: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { at, key: key.into(), sentence: sentence.into() }
    }

    pub(crate) fn start(&self) -> usize {
        self.at.as_ref().map_or(0, |at| at.start)
    }

    /// `line 3, column 1: KEY: SENTENCE`, without a place when there was no text.
    pub(crate) fn line(&self, text: Option<&str>) -> String {
        let mut line = String::new();
        if let (Some(at), Some(text)) = (&self.at, text) {
            let (row, column) = position(text, at.start);
            line.push_str(&format!("line {row}, column {column}: "));
        }
        if !self.key.is_empty() {
            line.push_str(&self.key);
            line.push_str(": ");
        }
        line.push_str(&self.sentence);
        line
    }
}

/// Line and column, both from one, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let row = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (row, column)
}

/// The known word that was most likely meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&word, &known.to_ascii_lowercase()), known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `; did you mean "…"?` or nothing.
pub(crate) fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(word, known).map_or_else(String::new, |known| format!("; did you mean \"{known}\"?"))
}

/// `"a", "b" or "c"`.
pub(crate) fn choice(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
