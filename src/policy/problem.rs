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
        let Self { at, key, sentence } = self;
        match (at, text) {
            (Some(at), Some(text)) => {
                let (row, column) = position(text, at.start);
                format!("line {row}, column {column}: {key}: {sentence}")
            }
            _ => format!("{key}: {sentence}"),
        }
    }
}

/// Line and column, both from one, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text).trim_start_matches('\u{feff}');
    let row = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (row, column)
}

/// A key's path with one more part, quoted where TOML needs it.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_bare = !key.is_empty() && key.chars().all(bare) && !is_secret(key);
    let part = if is_bare { key.to_owned() } else { quoted(key) };
    if path.is_empty() { part } else { format!("{path}.{part}") }
}

/// A text of the policy in quotes, on one line and not too long; `"…"` when it could be a key.
pub(crate) fn quoted(text: &str) -> String {
    if is_secret(text) {
        return "\"…\"".to_owned();
    }
    let short: String = text.chars().take(64).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug().to_string().replace("\\'", "'"))
}

/// Long runs of digits and letters are what pasted keys look like, in hexadecimal and in base64.
pub(crate) fn is_secret(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    text.split(|c| !part(c)).any(|run| run.len() >= 32)
}

/// `unknown key; did you mean "…"? Expected "a" or "b"`.
pub(crate) fn unknown(what: &str, nearest: Option<&str>, expected: &str) -> String {
    match nearest {
        Some(nearest) => format!("unknown {what}; did you mean \"{nearest}\"? Expected {expected}"),
        None => format!("unknown {what}; expected {expected}"),
    }
}

/// The known word that was most likely meant; the last part of a dotted name is enough.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    let near = |known: &str| {
        let distance = strsim::osa_distance(&word, &known.to_ascii_lowercase().replace('_', "-"));
        (distance <= most(known)).then_some(distance)
    };
    let last = |known: &str| near(known.rsplit('.').next().unwrap_or(known));
    let rank = |known: &'k str| {
        let whole = near(known).map(|distance| (0, distance));
        whole.or_else(|| last(known).map(|distance| (1, distance))).map(|rank| (rank, known))
    };
    known.into_iter().filter_map(rank).min_by_key(|(rank, _)| *rank).map(|(_, known)| known)
}

/// How many slips of the keyboard still mean this word.
fn most(known: &str) -> usize {
    (known.len() / 3).clamp(1, 6)
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
