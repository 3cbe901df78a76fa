//! TOML text to a tree that knows its lines.
//!
//! The `toml` crate parses and goes on after a mistake; this file keeps the order of the text,
//! which its tables do not, and turns its complaints into ours. Where the text is no TOML, what
//! it means is not guessed: the tree is left out.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error as Complaint};

use super::node::{Entry, Node, Value};
use super::problem::{Problem, is_secret, join, position};
use super::read::TWICE;

/// With problems, a tree means that they do not stand in the way of others.
pub(crate) fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let (table, mut complaints) = DeTable::parse_recoverable(text);
    complaints.sort_by_key(start);
    if complaints.iter().all(is_slip) {
        let node = Node { at: Some(0..0), value: entries(table.get_ref()) };
        return (Some(node), complaints.iter().map(|complaint| problem(text, complaint)).collect());
    }
    (None, broken(text, &complaints))
}

/// One problem for each line, and none after a bracket that was left open: what follows is a guess.
fn broken(text: &str, complaints: &[Complaint]) -> Vec<Problem> {
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    for complaint in complaints {
        let (line, _) = position(text, start(complaint));
        if !lines.contains(&line) {
            lines.push(line);
            problems.push(problem(text, complaint));
        }
        if open(complaint).is_some() {
            break;
        }
    }
    problems
}

const DUPLICATE: &str = "duplicate key";
const UNQUOTED: &str = "string values must be quoted";

fn start(complaint: &Complaint) -> usize {
    complaint.span().unwrap_or_default().start
}

/// What a reader can see past.
fn is_slip(complaint: &Complaint) -> bool {
    complaint.message() == DUPLICATE || is_unquoted(complaint)
}

fn is_unquoted(complaint: &Complaint) -> bool {
    complaint.message().starts_with(UNQUOTED) && complaint.span().is_some_and(|at| !at.is_empty())
}

/// What would have closed the bracket that was left open.
fn open(complaint: &Complaint) -> Option<char> {
    let message = complaint.message();
    let is = |words: &[&str]| words.iter().any(|word| message.starts_with(word));
    if is(&["missing comma between array", "unclosed array,"]) {
        return Some(']');
    }
    is(&["missing comma between key-value", "unclosed inline table"]).then_some('}')
}

fn problem(text: &str, complaint: &Complaint) -> Problem {
    let at = complaint.span().unwrap_or_default();
    if let Some(bracket) = open(complaint) {
        let end = text.get(..at.start).unwrap_or(text).trim_end().len();
        let sentence = format!("not valid TOML: expected , or {bracket} here");
        return Problem::new(Some(end..end), key_at(text, end), sentence);
    }
    let mut key = key_at(text, at.start);
    if complaint.message() == DUPLICATE {
        let name = text.get(at.clone()).unwrap_or_default();
        let named = key == name || key.ends_with(&format!(".{name}"));
        key = if named { key } else { join(&key, name.trim_matches(['"', '\''])) };
    }
    Problem::new(Some(at), key, sentence(complaint))
}

fn sentence(complaint: &Complaint) -> String {
    const NUMBERS: [&str; 7] =
        ["float", "mantissa", "exponent", "integer", "date", "time", "offset"];
    let message = complaint.message();
    let kind = message.strip_prefix("invalid ").unwrap_or_default();
    if message == DUPLICATE {
        TWICE.to_owned()
    } else if is_unquoted(complaint) {
        "expected text in quotes, found it without quotes".to_owned()
    } else if message.starts_with(UNQUOTED) {
        "expected a value after =, found nothing".to_owned()
    } else if NUMBERS.iter().any(|number| kind.starts_with(number)) {
        "not valid TOML: neither a number nor a date; expected text in quotes".to_owned()
    } else {
        format!("not valid TOML: {message}")
    }
}

/// The key whose line holds this place, as it is written there; `policy` above the first.
fn key_at(text: &str, at: usize) -> String {
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |more| at + more);
    let mut own = None;
    for line in text.get(..end).unwrap_or(text).lines().rev() {
        if let Some(header) = header(line) {
            return own.map_or_else(|| header.to_owned(), |own| format!("{header}.{own}"));
        }
        own = own.or_else(|| assigned(line));
    }
    own.unwrap_or("policy").to_owned()
}

fn header(line: &str) -> Option<&str> {
    let name = written(line.trim_start().strip_prefix('[')?.trim_start_matches('['));
    (!name.is_empty() && !name.starts_with(['"', '\''])).then_some(name)
}

fn assigned(line: &str) -> Option<&str> {
    let name = written(line.trim_start());
    let rest = line.trim_start().get(name.len()..)?.trim_start();
    (!name.is_empty() && rest.starts_with(['=', ':', '{'])).then_some(name)
}

fn written(text: &str) -> &str {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '"' | '\'');
    let end = text.find(|c| !part(c)).unwrap_or(text.len());
    text.get(..end).filter(|name| !is_secret(name)).unwrap_or_default()
}

fn entries(table: &DeTable<'_>) -> Value {
    let mut entries: Vec<Entry> = table.iter().map(|(key, value)| entry(key, value)).collect();
    entries.sort_by_key(|entry| entry.at.as_ref().map(|at| at.start));
    Value::Table(entries)
}

fn entry(key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> Entry {
    Entry { key: key.get_ref().to_string(), at: Some(key.span()), node: node(value) }
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    Node { at: Some(value.span()), value: plain(value.get_ref()) }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map_or(Value::Other("a number that is too large"), Value::Whole),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(truth) => Value::Truth(*truth),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(values) => Value::List(values.iter().map(node).collect()),
        DeValue::Table(table) => entries(table),
    }
}
