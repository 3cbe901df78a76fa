//! `[log.NAME.fields]` and `[log.NAME.app_fields]`: which names may stand there.
//!
//! A name of the catalogue or one that an application may use; what is neither gets the nearest
//! name, the reason why it cannot be declared, or the quotes that TOML wants around dots.

use super::node::{Entry, Node, Value};
use super::problem::{choice, join, nearest};
use super::read::{Reader, Section};
use super::treatment;
use crate::field::{AppTreatment, Field, Name, refused};

/// Names that formatters or this crate write beside the fields.
pub(super) const RESERVED: [&str; 14] = [
    "log",
    "policy",
    "time",
    "level",
    "target",
    "span",
    "spans",
    "fields",
    "message",
    "filename",
    "line_number",
    "threadName",
    "threadId",
    "dropped",
];

pub(super) fn fields(reader: &mut Reader, log: &Section<'_>) -> Vec<Field> {
    let Some(section) = section(reader, log, "fields") else { return Vec::new() };
    let mut fields: Vec<Field> =
        section.entries.iter().filter_map(|entry| field(reader, &section, entry)).collect();
    fields.sort_by_key(Field::name);
    fields
}

fn section<'n>(reader: &mut Reader, log: &Section<'n>, key: &str) -> Option<Section<'n>> {
    let entry = log.find(key)?;
    reader.section(&log.key(key), &entry.at, &entry.node)
}

fn field(reader: &mut Reader, section: &Section<'_>, entry: &Entry) -> Option<Field> {
    let path = section.key(&entry.key);
    if let Some(name) = Name::parse(&entry.key) {
        return treatment::field(reader, path, entry, name);
    }
    let unquoted = leaves(&path, &entry.key, &entry.node);
    if unquoted.is_empty() && reader.misplaced(section, entry) {
        return None;
    }
    if unquoted.is_empty() {
        reader.problem(&entry.at, path, unknown_field(&entry.key));
    }
    for leaf in unquoted {
        let sentence =
            Name::parse(&leaf.name).map_or_else(|| unknown_field(&leaf.name), |_| leaf.quotes());
        reader.problem(&leaf.entry.at, leaf.path, sentence);
    }
    None
}

fn unknown_field(name: &str) -> String {
    let names = Name::ALL.map(Name::as_str);
    if let Some(why) = refused(&name.to_ascii_lowercase()) {
        return why.to_owned();
    }
    if let Some(known) = nearest(name, names) {
        return format!("unknown field; did you mean \"{known}\"?");
    }
    let all = choice(&names);
    format!("unknown field; what the application adds belongs in app_fields, else expected {all}")
}

/// One key of the nested tables that TOML makes of `client.address = …` without quotes.
struct Leaf<'n> {
    path: String,
    name: String,
    entry: &'n Entry,
}

impl Leaf<'_> {
    fn quotes(&self) -> String {
        format!("the dots in a field's name need quotes; expected \"{}\" = …", self.name)
    }
}

fn leaves<'n>(path: &str, name: &str, node: &'n Node) -> Vec<Leaf<'n>> {
    let Value::Table(entries) = &node.value else { return Vec::new() };
    if is_treatment(entries) {
        return Vec::new();
    }
    let mut leaves = Vec::new();
    for entry in entries {
        let name = format!("{name}.{}", entry.key);
        let path = join(path, &entry.key);
        let inner = self::leaves(&path, &name, &entry.node);
        if inner.is_empty() || Name::parse(&name).is_some() {
            leaves.push(Leaf { path, name, entry });
        } else {
            leaves.extend(inner);
        }
    }
    leaves
}

/// No part of a catalogue name is one of these words.
fn is_treatment(entries: &[Entry]) -> bool {
    const KEYS: [&str; 9] =
        ["precision", "ipv4", "ipv6", "depth", "allow", "round", "keep", "accept_risk", "truncate"];
    entries.iter().any(|entry| KEYS.contains(&entry.key.as_str()))
}

pub(super) fn app_fields(reader: &mut Reader, log: &Section<'_>) -> Vec<(String, AppTreatment)> {
    let Some(section) = section(reader, log, "app_fields") else { return Vec::new() };
    let mut fields = Vec::new();
    for (at, entry) in section.entries.iter().enumerate() {
        if let Some(earlier) =
            section.entries.iter().take(at).find(|earlier| collide(earlier, entry))
        {
            let sentence = format!(
                "differs from \"{}\" in upper and lower case only; expected another name",
                earlier.key
            );
            reader.problem(&entry.at, section.key(&entry.key), sentence);
        }
        let treatment = app_field(reader, &section, entry);
        fields.extend(treatment.map(|treatment| (entry.key.clone(), treatment)));
    }
    fields
}

fn collide(earlier: &Entry, entry: &Entry) -> bool {
    earlier.key != entry.key && earlier.key.eq_ignore_ascii_case(&entry.key)
}

fn app_field(reader: &mut Reader, section: &Section<'_>, entry: &Entry) -> Option<AppTreatment> {
    let path = section.key(&entry.key);
    let unquoted = leaves(&path, &entry.key, &entry.node);
    if unquoted.iter().any(|leaf| matches!(leaf.entry.node.value, Value::Text(_))) {
        for leaf in unquoted {
            let sentence = refused_app_name(&leaf.name).unwrap_or_else(|| leaf.quotes());
            reader.problem(&leaf.entry.at, leaf.path, sentence);
        }
        return None;
    }
    if let Some(sentence) = refused_app_name(&entry.key) {
        reader.problem(&entry.at, path, sentence);
        return None;
    }
    treatment::app_field(reader, path, entry)
}

fn refused_app_name(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if Name::parse(&lower).is_some() {
        return Some("is a field of the catalogue; expected under fields".to_owned());
    }
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Some("is a name that log lines use themselves; expected another one".to_owned());
    }
    if !(letter && name.len() <= 64 && name.chars().all(fits)) {
        let expected =
            "expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ -, a letter first";
        return Some(expected.to_owned());
    }
    refused(&lower).map(str::to_owned)
}
