//! `[log.NAME]`: why its lines are kept, for how long, for whom, and what stands in them.
//!
//! A log without purpose, legal basis or retention is refused, and one that records nothing.

use super::node::{Entry, Node, Value};
use super::problem::choice;
use super::read::{Reader, Section, Table};
use super::{LegalBasis, Log, Purpose, Signal, fields};

/// A record holds one bit for each log.
pub(crate) const MOST_LOGS: usize = 32;

/// The event that reports deletions has the target that this log's records would have.
pub(crate) const TAKEN: &str = "retention";

const NAMED: &str = "a log with a name, such as [log.access]";

impl Reader {
    pub(super) fn logs(&mut self, top: &Section<'_>) -> Option<Vec<Log>> {
        let entry = self.needed(
            top,
            "log",
            "[log.access] with its purpose, legal_basis, retention and fields",
        )?;
        let section = self.section("log", &entry.at, &entry.node)?;
        if section.entries.is_empty() {
            self.problem(&entry.at, "log".to_owned(), format!("expected at least {NAMED}"));
        }
        if let Some(surplus) = section.entries.get(MOST_LOGS) {
            let sentence = format!(
                "expected at most {MOST_LOGS} logs in a policy, found {}",
                section.entries.len()
            );
            self.problem(&surplus.at, section.key(&surplus.key), sentence);
        }
        let (nameless, named): (Vec<_>, Vec<_>) =
            section.entries.iter().partition(|entry| is_nameless(entry));
        if let Some(entry) = nameless.first() {
            let sentence = format!("stands in no log; expected {NAMED}");
            self.problem(&entry.at, section.key(&entry.key), sentence);
        }
        let logs: Vec<Option<Log>> =
            named.into_iter().map(|entry| self.log(&section, entry)).collect();
        logs.into_iter().collect()
    }

    fn log(&mut self, logs: &Section<'_>, entry: &Entry) -> Option<Log> {
        self.log_name(logs, entry);
        let section = self.table(&logs.key(&entry.key), entry, Table::Log)?;
        let mut log = Log::new(&entry.key);
        let purpose = self.purpose(&section);
        let basis = self.legal_basis(&section);
        let retention = self
            .needed(&section, "retention", "retention = \"30d\"")
            .and_then(|entry| self.duration(section.key("retention"), &entry.node));
        let recipients = self.each(&section, "recipients", Self::recipient);
        let respect = self.each(&section, "respect", Self::signal);
        log.fields = fields::fields(self, &section);
        log.app_fields = fields::app_fields(self, &section);
        self.something(&section);
        log.purpose = purpose?;
        log.legal_basis = Some(basis?);
        log.retention = Some(retention?);
        log.recipients = recipients?;
        log.respect = respect?;
        Some(log)
    }

    fn log_name(&mut self, logs: &Section<'_>, entry: &Entry) {
        let name = entry.key.as_str();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        let sentence = if name == TAKEN {
            "expected another name; what is deleted is reported under this one"
        } else if starts && name.len() <= 32 && name.chars().all(fits) {
            return;
        } else {
            "expected a log's name of 1 to 32 of the characters a-z 0-9 _ -, a letter first"
        };
        self.problem(&entry.at, logs.key(name), sentence);
    }

    fn purpose(&mut self, section: &Section<'_>) -> Option<Vec<Purpose>> {
        let entry = self.needed(section, "purpose", "purpose = [\"security\"]")?;
        let purposes = self.each(section, "purpose", |reader, key, node| {
            reader.word(key, node, Purpose::WORDS, Purpose::parse)
        })?;
        if purposes.is_empty() {
            let sentence = format!("expected at least one of {}", choice(Purpose::WORDS));
            self.problem(&entry.node.at, section.key("purpose"), sentence);
        }
        Some(purposes)
    }

    fn legal_basis(&mut self, section: &Section<'_>) -> Option<LegalBasis> {
        let entry = self.needed(section, "legal_basis", "legal_basis = \"contract\"")?;
        let key = section.key("legal_basis");
        let basis = self.word(key, &entry.node, LegalBasis::WORDS, LegalBasis::parse)?;
        if let LegalBasis::LegitimateInterests { .. } = basis {
            let interest = self.interest(section)?;
            return Some(LegalBasis::LegitimateInterests { interest });
        }
        if let Some(interest) = section.find("interest") {
            let sentence = format!(
                "goes with legal_basis = \"legitimate-interests\" only; expected none with \"{}\"",
                basis.as_str()
            );
            self.problem(&interest.at, section.key("interest"), sentence);
        }
        Some(basis)
    }

    fn interest(&mut self, section: &Section<'_>) -> Option<String> {
        let example = "interest = \"keeping the service available\", which \"legitimate-interests\" has to name";
        let entry = self.needed(section, "interest", example)?;
        self.said(section.key("interest"), &entry.node, "the interest pursued")
    }

    fn recipient(&mut self, key: String, node: &Node) -> Option<String> {
        self.said(key, node, "who receives the lines")
    }

    fn signal(&mut self, key: String, node: &Node) -> Option<Signal> {
        self.word(key, node, Signal::WORDS, Signal::parse)
    }

    fn something(&mut self, section: &Section<'_>) {
        let (fields, app_fields) = (section.find("fields"), section.find("app_fields"));
        if let Some(entry) = fields.or(app_fields)
            && [fields, app_fields].into_iter().flatten().all(|entry| entry.node.is_empty())
        {
            let sentence = "expected at least one field";
            self.problem(&entry.at, section.key(&entry.key), sentence);
        }
        if app_fields.is_none() {
            let example = format!("\"http.route\" = \"keep\" under [{}.fields]", section.path);
            self.needed(section, "fields", &example);
        }
    }
}

/// `[log]` with a log's keys in it, or `[log.fields]`: the name was left out.
fn is_nameless(entry: &Entry) -> bool {
    let is_key = |key: &str| Table::Log.keys().contains(&key);
    let Value::Table(entries) = &entry.node.value else { return is_key(&entry.key) };
    matches!(entry.key.as_str(), "fields" | "app_fields")
        && !entries.iter().any(|inner| is_key(&inner.key))
}
