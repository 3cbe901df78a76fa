//! What stands behind a field's name, read as one of its treatments.
//!
//! A key that the treatment does not have is refused, and so is a number out of its range. It
//! does not know which field it is read for.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration;
use super::node::{Entry, Node, Value};
use super::problem::{nearest, quoted, unknown};
use super::read::{Reader, Section};
use super::treatment::{Form, RISK};

/// What stands behind a field's name.
pub(super) struct Given<'n> {
    pub(super) path: String,
    pub(super) entry: &'n Entry,
    /// How the field's treatments are written.
    expected: &'static str,
    /// `"keep"`, when there is no table.
    pub(super) word: Option<&'n str>,
    section: Section<'n>,
}

impl<'n> Given<'n> {
    pub(super) fn new(
        reader: &mut Reader,
        path: String,
        entry: &'n Entry,
        expected: &'static str,
    ) -> Option<Self> {
        let (word, entries) = match &entry.node.value {
            Value::Text(word) => (Some(word.as_str()), [].as_slice()),
            Value::Table(entries) if !entries.is_empty() => (None, entries.as_slice()),
            Value::Table(_)
            | Value::Whole(_)
            | Value::Truth(_)
            | Value::List(_)
            | Value::Other(_) => {
                let sentence = format!("expected {expected}; found {}", entry.node.kind());
                reader.problem(&entry.node.at, path, sentence);
                return None;
            }
        };
        let section = match word {
            Some(_) => Section { path: path.clone(), at: entry.at.clone(), entries },
            None => reader.section(&path, &entry.at, &entry.node)?,
        };
        Some(Self { path, entry, expected, word, section })
    }

    /// The treatment that is meant: by its word, by `WORD = true`, or by its keys.
    pub(super) fn form(
        &self,
        reader: &mut Reader,
        forms: &'static [Form],
    ) -> Option<&'static Form> {
        let Some(word) = self.word else { return self.table_form(reader, forms) };
        let form = forms.iter().find(|form| form.word == word);
        if form.is_none() {
            let words: Vec<&str> = forms.iter().map(|form| form.word).collect();
            let what = format!("treatment {}", quoted(word));
            let sentence = unknown(&what, nearest(word, words), self.expected);
            reader.problem(&self.entry.node.at, self.path.clone(), sentence);
        }
        form
    }

    fn table_form(&self, reader: &mut Reader, forms: &'static [Form]) -> Option<&'static Form> {
        for form in forms.iter().filter(|form| !form.keys.contains(&form.word)) {
            let Some(entry) = self.find(form.word) else { continue };
            if matches!(entry.node.value, Value::Truth(true)) {
                return Some(form);
            }
            let sentence = format!("expected true, found {}", entry.node.kind());
            reader.problem(&entry.node.at, self.inner(form.word), sentence);
            return None;
        }
        let has =
            |form: &&Form| form.keys.iter().any(|key| *key != RISK && self.find(key).is_some());
        let form = forms.iter().find(has).or_else(|| forms.first())?;
        if form.keys == [RISK] && self.find(RISK).is_some() {
            let sentence = format!("a reason alone is no treatment; expected {}", self.expected);
            reader.problem(&self.entry.node.at, self.path.clone(), sentence);
            return None;
        }
        Some(form)
    }

    /// Whether the table has the keys of this treatment and no others.
    pub(super) fn only(&self, reader: &mut Reader, forms: &[Form], form: &Form) -> Option<()> {
        let mut fits = Some(());
        for entry in self.section.entries.iter().filter(|entry| !form.has(&entry.key)) {
            fits = None;
            let sentence = self.surplus(forms, form, &entry.key);
            reader.problem(&entry.at, self.inner(&entry.key), sentence);
        }
        fits
    }

    fn surplus(&self, forms: &[Form], form: &Form, key: &str) -> String {
        if key == RISK {
            return format!("goes with what weakens privacy only; expected {}", self.expected);
        }
        if forms.iter().any(|other| other.has(key)) {
            return format!("does not go with \"{}\"; expected {}", form.word, self.expected);
        }
        let known = forms.iter().flat_map(|form| form.keys.iter().copied().chain([form.word]));
        unknown("key", nearest(key, known), self.expected)
    }

    pub(super) fn find(&self, key: &str) -> Option<&'n Entry> {
        self.section.find(key)
    }

    pub(super) fn inner(&self, key: &str) -> String {
        self.section.key(key)
    }

    pub(super) fn needed(&self, reader: &mut Reader, key: &str) -> Option<&'n Entry> {
        let found = self.find(key);
        if found.is_none() {
            let sentence = format!("needs {key}; expected {}", self.expected);
            reader.problem(&self.entry.node.at, self.path.clone(), sentence);
        }
        found
    }

    pub(super) fn precision(&self, reader: &mut Reader, default: Duration) -> Option<Duration> {
        let Some(entry) = self.find("precision") else { return Some(default) };
        if let Value::Text(text) = &entry.node.value
            && let Some(precision) = duration::parse(text)
            && precision <= Duration::from_secs(86_400)
        {
            return Some(precision);
        }
        let sentence = format!(
            "expected a time from \"1ms\" to \"1d\" in quotes, found {}",
            entry.node.shown()
        );
        reader.problem(&entry.node.at, self.inner("precision"), sentence);
        None
    }

    pub(super) fn accept_risk(
        &self,
        reader: &mut Reader,
        what: &str,
        expected: &str,
    ) -> Option<String> {
        if let Some(entry) = self.find(RISK) {
            let meaning = "the reason for which the risk is accepted";
            return reader.said(self.inner(RISK), &entry.node, meaning);
        }
        let sentence = format!("{what} needs a written reason; expected {expected}");
        reader.problem(&self.entry.node.at, self.path.clone(), sentence);
        None
    }

    pub(super) fn round(&self, reader: &mut Reader) -> Option<u64> {
        let round = self.number(reader, "round", 1..=1 << 40, 1024)?;
        u64::try_from(round).ok()
    }

    pub(super) fn number(
        &self,
        reader: &mut Reader,
        key: &str,
        range: RangeInclusive<i64>,
        default: i64,
    ) -> Option<i64> {
        self.find(key).map_or(Some(default), |entry| self.ranged(reader, entry, range))
    }

    pub(super) fn ranged(
        &self,
        reader: &mut Reader,
        entry: &Entry,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let found = if let Value::Whole(number) = entry.node.value {
            if range.contains(&number) {
                return Some(number);
            }
            number.to_string()
        } else {
            entry.node.kind().to_owned()
        };
        let (least, most) = (range.start(), range.end());
        let sentence = format!("expected a number from {least} to {most}, found {found}");
        reader.problem(&entry.node.at, self.inner(&entry.key), sentence);
        None
    }

    pub(super) fn allow(
        &self,
        reader: &mut Reader,
        fits: fn(&str) -> bool,
        meaning: &str,
    ) -> Option<Vec<String>> {
        let entry = self.needed(reader, "allow")?;
        let read = |reader: &mut Reader, key: String, node: &Node| {
            let text = reader.text(key.clone(), node)?;
            if !text.is_empty() && text.chars().count() <= 256 && fits(text) {
                return Some(text.to_owned());
            }
            let sentence = format!("expected {meaning}; found {}", quoted(text));
            reader.problem(&node.at, key, sentence);
            None
        };
        let list = reader.each(&self.section, "allow", read)?;
        if list.is_empty() {
            let sentence = format!("expected at least {meaning}, found an empty list");
            reader.problem(&entry.node.at, self.inner("allow"), sentence);
            return None;
        }
        Some(list)
    }
}
