//! TOML text to a tree that knows its lines.
//!
//! The `toml` crate parses; this file keeps the order of the text, which its tables do not, and
//! turns its complaints into ours.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error as Complaint};

use super::node::{Entry, Node, Value};
use super::problem::Problem;

pub(crate) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let (table, complaints) = DeTable::parse_recoverable(text);
    if complaints.is_empty() {
        return Ok(entries(table.get_ref()).into());
    }
    Err(complaints.iter().map(problem).collect())
}

fn problem(complaint: &Complaint) -> Problem {
    Problem::new(complaint.span(), "", format!("not valid TOML: {}", complaint.message()))
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
            .map_or(Value::Other("a number too large"), Value::Whole),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(truth) => Value::Truth(*truth),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(values) => Value::List(values.iter().map(node).collect()),
        DeValue::Table(table) => entries(table),
    }
}
