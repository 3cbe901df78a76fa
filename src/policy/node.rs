//! The tree that every form of a policy passes through: TOML text, serde and the builder.
//!
//! One reader turns it into a policy, so the three forms cannot differ. A node knows where it
//! stood in the text, when there was a text. It judges nothing.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::problem::quoted;

pub(crate) type Place = Option<Range<usize>>;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Truth(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// Something that no key of a policy takes, by its name for error sentences.
    Other(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into()).into()
    }

    pub(crate) fn whole(number: impl Into<i64>) -> Self {
        Value::Whole(number.into()).into()
    }

    pub(crate) fn list<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Value::List(texts.into_iter().map(Self::text).collect()).into()
    }

    pub(crate) fn table<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let entry = |(key, node): (K, Self)| Entry { key: key.into(), at: None, node };
        Value::Table(entries.into_iter().map(entry).collect()).into()
    }

    /// What it is, for "expected …, found …".
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Whole(_) => "a number",
            Value::Truth(true) => "true",
            Value::Truth(false) => "false",
            Value::List(_) => "a list",
            Value::Table(entries) if entries.is_empty() => "an empty table",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Table(entries) if entries.is_empty())
    }

    /// A text as it may be shown, else what it is.
    pub(crate) fn shown(&self) -> String {
        if let Value::Text(text) = &self.value {
            return quoted(text);
        }
        self.kind().to_owned()
    }

    /// The same tree with every table in order of its keys.
    pub(crate) fn sorted(mut self) -> Self {
        match &mut self.value {
            Value::Table(entries) => {
                *entries = std::mem::take(entries)
                    .into_iter()
                    .map(|entry| Entry { node: entry.node.sorted(), ..entry })
                    .collect();
                entries.sort_by(|a, b| a.key.cmp(&b.key));
            }
            Value::Text(_)
            | Value::Whole(_)
            | Value::Truth(_)
            | Value::List(_)
            | Value::Other(_) => {}
        }
        self
    }

    /// An unambiguous text of the tree, the input of the digest: texts stand behind their length.
    pub(crate) fn canonical(&self, out: &mut String) {
        match &self.value {
            Value::Text(text) => measured(text, out),
            Value::Whole(number) => out.push_str(&number.to_string()),
            Value::Truth(truth) => out.push_str(&truth.to_string()),
            Value::List(nodes) => bracketed(out, '[', nodes, ']', Self::canonical),
            Value::Table(entries) => bracketed(out, '{', entries, '}', |entry, out| {
                measured(&entry.key, out);
                entry.node.canonical(out);
            }),
            Value::Other(kind) => out.push_str(kind),
        }
    }
}

fn measured(text: &str, out: &mut String) {
    out.push_str(&format!("{}:{text}", text.len()));
}

fn bracketed<T>(
    out: &mut String,
    open: char,
    items: &[T],
    close: char,
    each: impl Fn(&T, &mut String),
) {
    out.push(open);
    for item in items {
        each(item, out);
        out.push(',');
    }
    out.push(close);
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self { at: None, value }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Whole(number) => serializer.serialize_i64(*number),
            Value::Truth(truth) => serializer.serialize_bool(*truth),
            Value::List(nodes) => serializer.collect_seq(nodes),
            Value::Table(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for entry in entries {
                    map.serialize_entry(&entry.key, &entry.node)?;
                }
                map.end()
            }
            Value::Other(kind) => serializer.serialize_str(kind),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        let whole = i64::try_from(number).map(Value::Whole);
        Ok(whole.unwrap_or(Value::Other("a number that is too large")).into())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Value::Truth(truth).into())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Value::Other("a number with a fraction").into())
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Value::Other("nothing").into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry()? {
            entries.push(Entry { key, at: None, node });
        }
        Ok(Value::Table(entries).into())
    }
}
