//! Reading a tree goes on after a mistake, so that one run names them all.
//!
//! Nothing is guessed: what is unknown, out of range or given twice is a problem with its place
//! and what was expected. One mistake is one problem: a key that is missing because it was
//! misspelt or stands elsewhere is not missed as well.

use std::time::Duration;

use super::duration;
use super::node::{Entry, Node, Place, Value};
use super::problem::{Problem, choice, join, nearest, quoted, unknown};

/// Collects problems. A reading that gives `None` has noted why.
#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
    missing: Vec<(String, Problem)>,
    /// Keys that were meant by what stands there instead: `log.access.retention`, or, when it is
    /// not known in which table, `retention`.
    meant: Vec<String>,
}

/// One table with the path that error sentences call it by.
pub(super) struct Section<'n> {
    pub(super) path: String,
    pub(super) at: Place,
    pub(super) entries: &'n [Entry],
}

impl<'n> Section<'n> {
    pub(super) fn find(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

const TOP: &[&str] = &["policy", "controller", "client", "pseudonyms", "log"];
const CONTROLLER: &[&str] = &["name", "contact"];
const CLIENT: &[&str] = &["source", "trusted_proxies", "nat64_prefixes"];
const PSEUDONYMS: &[&str] = &["keys", "rotate", "forget"];
const LOG: &[&str] = &[
    "purpose",
    "legal_basis",
    "interest",
    "retention",
    "recipients",
    "respect",
    "fields",
    "app_fields",
];

/// A table whose keys are known.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Top,
    Controller,
    Client,
    Pseudonyms,
    Log,
}

impl Table {
    const ALL: [Self; 5] = [Self::Top, Self::Controller, Self::Client, Self::Pseudonyms, Self::Log];

    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Top => TOP,
            Self::Controller => CONTROLLER,
            Self::Client => CLIENT,
            Self::Pseudonyms => PSEUDONYMS,
            Self::Log => LOG,
        }
    }

    const fn place(self) -> &'static str {
        match self {
            Self::Top => "at the top of the policy, above the first [table]",
            Self::Controller => "in [controller]",
            Self::Client => "in [client]",
            Self::Pseudonyms => "in [pseudonyms]",
            Self::Log => "in a log such as [log.access], above its fields",
        }
    }

    /// Where a key belongs that stands in the wrong table.
    pub(super) fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.keys().contains(&key))
    }
}

impl Reader {
    pub(super) fn problem(&mut self, at: &Place, key: String, sentence: impl Into<String>) {
        self.problems.push(Problem::new(at.clone(), key, sentence));
    }

    /// In the order of the text.
    pub(super) fn problems(self) -> Vec<Problem> {
        let Self { mut problems, missing, meant } = self;
        let is_meant = |key: &str| {
            let last = key.rsplit('.').next().unwrap_or(key);
            meant.iter().any(|meant| meant == key || meant == last)
        };
        let missing = missing.into_iter().filter(|(key, _)| !is_meant(key));
        problems.extend(missing.map(|(_, problem)| problem));
        problems.sort_by_key(Problem::start);
        problems
    }

    /// A table without keys that are unknown or given twice.
    pub(super) fn table<'n>(
        &mut self,
        path: &str,
        entry: &'n Entry,
        table: Table,
    ) -> Option<Section<'n>> {
        let section = self.section(path, &entry.at, &entry.node)?;
        self.only(&section, table);
        Some(section)
    }

    /// A table without keys given twice.
    pub(super) fn section<'n>(
        &mut self,
        path: &str,
        at: &Place,
        node: &'n Node,
    ) -> Option<Section<'n>> {
        let Value::Table(entries) = &node.value else {
            let sentence = format!("expected a table, [{path}], found {}", node.kind());
            self.problem(&node.at, path.to_owned(), sentence);
            return None;
        };
        let section = Section { path: path.to_owned(), at: at.clone(), entries };
        self.twice(&section);
        Some(section)
    }

    pub(super) fn only(&mut self, section: &Section<'_>, table: Table) {
        let known = table.keys();
        for entry in section.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            if self.misplaced(section, entry) {
                continue;
            }
            let nearest = nearest(&entry.key, known.iter().copied());
            self.meant.extend(nearest.map(|key| section.key(key)));
            let sentence = unknown("key", nearest, &choice(known));
            self.problem(&entry.at, section.key(&entry.key), sentence);
        }
    }

    /// Whether this is the key of another table, and says so.
    pub(super) fn misplaced(&mut self, section: &Section<'_>, entry: &Entry) -> bool {
        let Some(home) = Table::of(&entry.key) else { return false };
        let log = section.path.strip_suffix(".fields").filter(|_| matches!(home, Table::Log));
        self.meant.push(log.map_or_else(|| entry.key.clone(), |log| join(log, &entry.key)));
        let sentence = format!("stands in the wrong table; it belongs {}", home.place());
        self.problem(&entry.at, section.key(&entry.key), sentence);
        true
    }

    /// TOML has its own complaint; other formats and the builder come here.
    fn twice(&mut self, section: &Section<'_>) {
        for (at, entry) in section.entries.iter().enumerate() {
            if section.entries.iter().take(at).any(|earlier| earlier.key == entry.key) {
                self.problem(&entry.at, section.key(&entry.key), TWICE);
            }
        }
    }

    pub(super) fn needed<'n>(
        &mut self,
        section: &Section<'n>,
        key: &str,
        example: &str,
    ) -> Option<&'n Entry> {
        let found = section.find(key);
        if found.is_none() {
            let key = section.key(key);
            let sentence = format!("is missing; expected for example {example}");
            self.missing.push((key.clone(), Problem::new(section.at.clone(), key, sentence)));
        }
        found
    }

    pub(super) fn text<'n>(&mut self, key: String, node: &'n Node) -> Option<&'n str> {
        if let Value::Text(text) = &node.value {
            return Some(text);
        }
        self.problem(&node.at, key, format!("expected text in quotes, found {}", node.kind()));
        None
    }

    /// A text for people, which is not blank.
    pub(super) fn said(&mut self, key: String, node: &Node, meaning: &str) -> Option<String> {
        let text = self.text(key.clone(), node)?.trim();
        if !text.contains(char::is_alphanumeric) {
            self.problem(&node.at, key, format!("expected {meaning}, found nothing"));
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn duration(&mut self, key: String, node: &Node) -> Option<Duration> {
        if let Value::Text(text) = &node.value
            && let Some(duration) = duration::parse(text)
        {
            return self.lifetime(key, node, duration);
        }
        self.problem(&node.at, key, format!("{}; found {}", duration::EXPECTED, node.shown()));
        None
    }

    fn lifetime(&mut self, key: String, node: &Node, duration: Duration) -> Option<Duration> {
        if duration <= duration::LONGEST {
            return Some(duration);
        }
        let longest = duration::write(duration::LONGEST);
        self.problem(&node.at, key, format!("expected at most \"{longest}\", a hundred years"));
        None
    }

    /// A word from a closed list.
    pub(super) fn word<T>(
        &mut self,
        key: String,
        node: &Node,
        known: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let word = self.text(key.clone(), node)?;
        let parsed = parse(word);
        if parsed.is_none() {
            let what = format!("word {}", quoted(word));
            let sentence = unknown(&what, nearest(word, known.iter().copied()), &choice(known));
            self.problem(&node.at, key, sentence);
        }
        parsed
    }

    /// An optional list, its members read one by one, each once.
    pub(super) fn each<T: PartialEq>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl Fn(&mut Self, String, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(entry) = section.find(key) else { return Some(Vec::new()) };
        let nodes = self.list(section.key(key), &entry.node)?;
        let mut items = Vec::new();
        let mut whole = true;
        for node in nodes {
            match read(self, section.key(key), node) {
                Some(item) if items.contains(&item) => {
                    self.problem(
                        &node.at,
                        section.key(key),
                        node.shown() + " is listed twice; expected once",
                    );
                }
                Some(item) => items.push(item),
                None => whole = false,
            }
        }
        whole.then_some(items)
    }

    fn list<'n>(&mut self, key: String, node: &'n Node) -> Option<&'n [Node]> {
        let sentence = match &node.value {
            Value::List(nodes) => return Some(nodes),
            Value::Text(text) => format!("expected a list, found text; write [{}]", quoted(text)),
            Value::Whole(_) | Value::Truth(_) | Value::Table(_) | Value::Other(_) => {
                format!("expected a list in [ ], found {}", node.kind())
            }
        };
        self.problem(&node.at, key, sentence);
        None
    }
}

pub(super) const TWICE: &str = "is given twice; expected once";
