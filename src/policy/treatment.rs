//! `[log.NAME.fields]` and `[log.NAME.app_fields]`: names with their treatments.
//!
//! A treatment is a word (`"keep"`), a word with a reason (`{ keep = true, accept_risk = "…" }`)
//! or options (`{ ipv4 = 24, ipv6 = 48 }`). What weakens privacy is refused without the reason.

use std::time::Duration;

use super::node::{Entry, Node, Value};
use super::problem::nearest;
use super::read::{Reader, Section};
use crate::field::{Address, AppTreatment, Field, Name, Path, Referer, Status, refused};

/// Names that formatters or this crate write beside the fields.
const RESERVED: [&str; 14] = [
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
    let Some(entry) = log.find("fields") else { return Vec::new() };
    let Some(section) = reader.section(&log.key("fields"), &entry.at, &entry.node) else {
        return Vec::new();
    };
    reader.twice(&section);
    if section.entries().is_empty() && log.find("app_fields").is_none() {
        reader.problem(&entry.at, log.key("fields"), "expected at least one field");
    }
    let mut fields: Vec<Field> =
        section.entries().iter().filter_map(|entry| field(reader, &section, entry)).collect();
    fields.sort_by_key(Field::name);
    fields
}

fn field(reader: &mut Reader, section: &Section<'_>, entry: &Entry) -> Option<Field> {
    if let Some(name) = Name::parse(&entry.key) {
        return Treatment::read(reader, section, entry, name)?.field(reader);
    }
    if let Value::Table(entries) = &entry.node.value {
        return unquoted(reader, section, entry, entries);
    }
    let sentence = unknown(&entry.key);
    reader.problem(&entry.at, section.key(&entry.key), sentence);
    None
}

fn unknown(key: &str) -> String {
    if let Some(why) = refused(&key.to_ascii_lowercase()) {
        return why.to_owned();
    }
    match nearest(key, Name::ALL.map(Name::as_str)) {
        Some(known) => format!("unknown field; did you mean \"{known}\"?"),
        None => "unknown field; the catalogue of fields is in the documentation, and what the application adds itself belongs in app_fields".to_owned(),
    }
}

/// TOML reads `client.address = …` as a table `client`: shows the quotes that are missing.
fn unquoted(
    reader: &mut Reader,
    section: &Section<'_>,
    entry: &Entry,
    entries: &[Entry],
) -> Option<Field> {
    let mut names = Vec::new();
    dotted(&entry.key, entries, &mut names);
    let names: Vec<&String> = names.iter().filter(|name| Name::parse(name).is_some()).collect();
    if names.is_empty() {
        let sentence = unknown(&entry.key);
        reader.problem(&entry.at, section.key(&entry.key), sentence);
    }
    for name in names {
        let sentence = format!("the dots in a field's name need quotes: write \"{name}\" = …");
        reader.problem(&entry.at, section.key(&entry.key), sentence);
    }
    None
}

fn dotted(prefix: &str, entries: &[Entry], names: &mut Vec<String>) {
    for entry in entries {
        let name = format!("{prefix}.{}", entry.key);
        if let Value::Table(inner) = &entry.node.value {
            dotted(&name, inner, names);
        }
        names.push(name);
    }
}

pub(super) fn app_fields(reader: &mut Reader, log: &Section<'_>) -> Vec<(String, AppTreatment)> {
    let Some(entry) = log.find("app_fields") else { return Vec::new() };
    let Some(section) = reader.section(&log.key("app_fields"), &entry.at, &entry.node) else {
        return Vec::new();
    };
    reader.twice(&section);
    let mut fields: Vec<(String, AppTreatment)> = Vec::new();
    for entry in section.entries() {
        let lower = entry.key.to_ascii_lowercase();
        if fields.iter().any(|(name, _)| *name != entry.key && name.to_ascii_lowercase() == lower) {
            let sentence = "differs from another app field only in upper and lower case";
            reader.problem(&entry.at, section.key(&entry.key), sentence);
        }
        if let Some(treatment) = app_field(reader, &section, entry) {
            fields.push((entry.key.clone(), treatment));
        }
    }
    fields
}

fn app_field(reader: &mut Reader, section: &Section<'_>, entry: &Entry) -> Option<AppTreatment> {
    let key = section.key(&entry.key);
    if let Some(sentence) = refused_app_name(&entry.key) {
        reader.problem(&entry.at, key, sentence);
        return None;
    }
    match &entry.node.value {
        Value::Text(word) if word == "keep" => Some(AppTreatment::Keep),
        Value::Text(word) if word == "pseudonymize" => Some(AppTreatment::Pseudonymize),
        Value::Text(word) => {
            reader.unknown_word(key, &entry.node.at, word, &["keep", "pseudonymize"]);
            None
        }
        Value::Table(entries) if entries.iter().all(|inner| inner.key == "allow") => {
            let inner = reader.section(&key, &entry.at, &entry.node)?;
            allow(reader, &inner, AppTreatment::Allow, |_| true, "a value")
        }
        Value::Table(entries) => {
            let mut names = Vec::new();
            dotted(&entry.key, entries, &mut names);
            let name = names.first().cloned().unwrap_or_default();
            let sentence = format!("the dots in a field's name need quotes: write \"{name}\" = …");
            reader.problem(&entry.at, key, sentence);
            None
        }
        Value::Whole(_) | Value::Truth(_) | Value::List(_) | Value::Other(_) => {
            let sentence = format!(
                "expected \"keep\", \"pseudonymize\" or {{ allow = [\"…\"] }}, found {}",
                entry.node.kind()
            );
            reader.problem(&entry.node.at, key, sentence);
            None
        }
    }
}

fn refused_app_name(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if Name::parse(&lower).is_some() {
        return Some("is the name of a catalogue field; declare it under fields".to_owned());
    }
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Some("is a name that log formats use themselves".to_owned());
    }
    if !(letter && name.len() <= 64 && name.chars().all(fits)) {
        return Some(
            "expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ -, a letter first"
                .to_owned(),
        );
    }
    refused(&lower).map(str::to_owned)
}

/// What stands behind a field's name.
struct Treatment<'n> {
    name: Name,
    key: String,
    entry: &'n Entry,
    /// `"keep"`, or the key of `{ keep = true }`.
    word: Option<&'n str>,
    options: Option<Section<'n>>,
}

impl<'n> Treatment<'n> {
    fn read(
        reader: &mut Reader,
        section: &Section<'_>,
        entry: &'n Entry,
        name: Name,
    ) -> Option<Self> {
        let key = section.key(&entry.key);
        match &entry.node.value {
            Value::Text(word) => Some(Self { name, key, entry, word: Some(word), options: None }),
            Value::Table(entries) => {
                let options = reader.section(&key, &entry.at, &entry.node)?;
                let word =
                    entries.iter().find(|inner| matches!(inner.node.value, Value::Truth(true)));
                let word = word.map(|inner| inner.key.as_str());
                let treatment = Self { name, key, entry, word, options: Some(options) };
                treatment.only(reader).then_some(treatment)
            }
            Value::Whole(_) | Value::Truth(_) | Value::List(_) | Value::Other(_) => {
                let sentence =
                    format!("expected {}, found {}", name.treatments(), entry.node.kind());
                reader.problem(&entry.node.at, key, sentence);
                None
            }
        }
    }

    /// Whether the table has the keys of this field's treatments and no others.
    fn only(&self, reader: &mut Reader) -> bool {
        let Some(options) = &self.options else { return true };
        reader.twice(options);
        let known = keys(self.name, self.word);
        let mut fits = true;
        for entry in options.entries() {
            let key = entry.key.as_str();
            if Some(key) == self.word || known.contains(&key) {
                continue;
            }
            fits = false;
            let hint = nearest(key, known.iter().copied());
            let sentence = match hint {
                Some(known) => format!("unknown option; did you mean \"{known}\"?"),
                None => format!("unknown option; expected {}", self.name.treatments()),
            };
            reader.problem(&entry.at, options.key(key), sentence);
        }
        fits
    }

    fn field(&self, reader: &mut Reader) -> Option<Field> {
        match (self.name, self.word) {
            (Name::Timestamp, Some("precision") | None) => {
                let precision = self.precision(reader, Duration::from_secs(1))?;
                Some(Field::Timestamp { precision })
            }
            (Name::RequestDuration, Some("precision") | None) => {
                let precision = self.precision(reader, Duration::from_millis(1))?;
                Some(Field::RequestDuration { precision })
            }
            (Name::ClientAddress, Some("truncate") | None) => {
                self.truncate(reader).map(Field::ClientAddress)
            }
            (Name::ClientAddress, Some("keep")) => {
                let accept_risk = self.accept_risk(reader, "the whole address")?;
                Some(Field::ClientAddress(Address::Keep { accept_risk }))
            }
            (Name::ClientPseudonym, Some("pseudonymize") | None) => {
                let ipv6 = self.number(reader, "ipv6", 1..=64, 64)?;
                Some(Field::ClientPseudonym { ipv6: u8::try_from(ipv6).ok()? })
            }
            (Name::RequestMethod, Some("keep")) => Some(Field::RequestMethod),
            (Name::Route, Some("keep")) => Some(Field::Route),
            (Name::UrlPath, None) => {
                let depth = self.option(reader, "depth")?;
                let depth = self.ranged(reader, depth, 1..=16)?;
                Some(Field::UrlPath(Path::Depth(u8::try_from(depth).ok()?)))
            }
            (Name::UrlPath, Some("keep")) => {
                let accept_risk = self.accept_risk(reader, "the whole path")?;
                Some(Field::UrlPath(Path::Keep { accept_risk }))
            }
            (Name::UrlQuery, None) => {
                self.allow(reader, |allow| Field::UrlQuery { allow }, is_query_key, "a query key")
            }
            (Name::UrlScheme, Some("keep")) => Some(Field::UrlScheme),
            (Name::ProtocolVersion, Some("keep")) => Some(Field::ProtocolVersion),
            (Name::ServerAddress, None) => self.allow(
                reader,
                |allow| Field::ServerAddress { allow },
                is_host,
                "a host name in lower case, without port",
            ),
            (Name::StatusCode, Some("keep")) => Some(Field::StatusCode(Status::Keep)),
            (Name::StatusCode, Some("class")) => Some(Field::StatusCode(Status::Class)),
            (Name::Referer, Some("origin")) => Some(Field::Referer(Referer::Origin)),
            (Name::Referer, Some("relation")) => Some(Field::Referer(Referer::Relation)),
            (Name::Referer, Some("path")) => {
                let accept_risk = self.accept_risk(reader, "a referrer's path")?;
                Some(Field::Referer(Referer::Path { accept_risk }))
            }
            (Name::UserAgentName, Some("keep")) => Some(Field::UserAgentName),
            (Name::UserAgentVersion, Some("keep")) => Some(Field::UserAgentVersion),
            (Name::UserAgentOs, Some("keep")) => Some(Field::UserAgentOs),
            (Name::DeviceType, Some("keep")) => Some(Field::DeviceType),
            (Name::UserAgentOriginal, Some("keep")) => {
                let accept_risk = self.accept_risk(reader, "the whole user agent")?;
                Some(Field::UserAgentOriginal { accept_risk })
            }
            (Name::BrowserLanguage, None) => self.allow(
                reader,
                |allow| Field::BrowserLanguage { allow },
                is_language,
                "a primary language subtag in lower case, such as \"en\"",
            ),
            (Name::RequestBodySize, Some("round") | None) => {
                self.round(reader).map(|round| Field::RequestBodySize { round })
            }
            (Name::ResponseBodySize, Some("round") | None) => {
                self.round(reader).map(|round| Field::ResponseBodySize { round })
            }
            (Name::GrpcStatus, Some("keep")) => Some(Field::GrpcStatus),
            (Name::ErrorType, Some("keep")) => Some(Field::ErrorType),
            (name, word) => {
                let sentence = word.map_or_else(
                    || format!("expected {}", name.treatments()),
                    |word| format!("unknown treatment \"{word}\"; expected {}", name.treatments()),
                );
                reader.problem(&self.entry.node.at, self.key.clone(), sentence);
                None
            }
        }
    }

    fn find(&self, key: &str) -> Option<&'n Entry> {
        self.options.as_ref().and_then(|options| options.find(key))
    }

    fn option(&self, reader: &mut Reader, key: &str) -> Option<&'n Entry> {
        let found = self.find(key);
        if found.is_none() {
            let sentence = format!("expected {}", self.name.treatments());
            reader.problem(&self.entry.node.at, self.key.clone(), sentence);
        }
        found
    }

    fn precision(&self, reader: &mut Reader, default: Duration) -> Option<Duration> {
        let Some(entry) = self.find("precision") else {
            if self.word.is_none() {
                self.option(reader, "precision");
                return None;
            }
            return Some(default);
        };
        let key = self.option_key("precision");
        let precision = reader.duration(key.clone(), &entry.node)?;
        if precision > Duration::from_secs(86_400) {
            reader.problem(&entry.node.at, key, "expected a time from 1ms to 1d");
            return None;
        }
        Some(precision)
    }

    fn truncate(&self, reader: &mut Reader) -> Option<Address> {
        let ipv4 = self.number(reader, "ipv4", 1..=32, 24);
        let ipv6 = self.number(reader, "ipv6", 1..=128, 48);
        let (ipv4, ipv6) = (u8::try_from(ipv4?).ok()?, u8::try_from(ipv6?).ok()?);
        let accept_risk = match self.find("accept_risk") {
            None if ipv4 <= 24 && ipv6 <= 64 => None,
            _ => Some(self.accept_risk(reader, "an address longer than /24 or /64")?),
        };
        Some(Address::Truncate { ipv4, ipv6, accept_risk })
    }

    fn accept_risk(&self, reader: &mut Reader, what: &str) -> Option<String> {
        let Some(entry) = self.find("accept_risk") else {
            let sentence =
                format!("{what} weakens privacy and needs a written reason: accept_risk = \"…\"");
            reader.problem(&self.entry.node.at, self.key.clone(), sentence);
            return None;
        };
        reader.said(
            self.option_key("accept_risk"),
            &entry.node,
            "the reason for which the risk is accepted",
        )
    }

    fn round(&self, reader: &mut Reader) -> Option<u64> {
        let round = self.number(reader, "round", 1..=1 << 40, 1024)?;
        u64::try_from(round).ok()
    }

    fn number(
        &self,
        reader: &mut Reader,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
        default: i64,
    ) -> Option<i64> {
        match self.find(key) {
            Some(entry) => self.ranged(reader, entry, range),
            None => Some(default),
        }
    }

    fn ranged(
        &self,
        reader: &mut Reader,
        entry: &Entry,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let (least, most) = (range.start(), range.end());
        let found = match entry.node.value {
            Value::Whole(number) if range.contains(&number) => return Some(number),
            Value::Whole(number) => number.to_string(),
            _ => entry.node.kind().to_owned(),
        };
        let sentence = format!("expected a number from {least} to {most}, found {found}");
        reader.problem(&entry.node.at, self.option_key(&entry.key), sentence);
        None
    }

    fn allow<T>(
        &self,
        reader: &mut Reader,
        make: impl Fn(Vec<String>) -> T,
        fits: fn(&str) -> bool,
        meaning: &str,
    ) -> Option<T> {
        self.option(reader, "allow")?;
        allow(reader, self.options.as_ref()?, make, fits, meaning)
    }

    fn option_key(&self, key: &str) -> String {
        self.options.as_ref().map_or_else(|| self.key.clone(), |options| options.key(key))
    }
}

/// The options that a field takes with this word.
const fn keys(name: Name, word: Option<&str>) -> &'static [&'static str] {
    match (name, word) {
        (Name::Timestamp | Name::RequestDuration, _) => &["precision"],
        (Name::ClientAddress, None) => &["ipv4", "ipv6", "accept_risk"],
        (Name::ClientPseudonym, _) => &["ipv6"],
        (Name::UrlPath, None) => &["depth"],
        (Name::UrlQuery | Name::ServerAddress | Name::BrowserLanguage, _) => &["allow"],
        (Name::RequestBodySize | Name::ResponseBodySize, _) => &["round"],
        (
            Name::ClientAddress | Name::UrlPath | Name::Referer | Name::UserAgentOriginal,
            Some(_),
        ) => &["accept_risk"],
        _ => &[],
    }
}

fn allow<T>(
    reader: &mut Reader,
    section: &Section<'_>,
    make: impl Fn(Vec<String>) -> T,
    fits: fn(&str) -> bool,
    meaning: &str,
) -> Option<T> {
    let read = |reader: &mut Reader, key: String, node: &Node| {
        let text = reader.said(key.clone(), node, meaning)?;
        if !fits(&text) || text.chars().count() > 256 {
            reader.problem(&node.at, key, format!("expected {meaning}, found \"{text}\""));
            return None;
        }
        Some(text)
    };
    let list = reader.each(section, "allow", read)?;
    if list.is_empty() {
        let at = section.find("allow").map_or(&None, |entry| &entry.node.at);
        reader.problem(at, section.key("allow"), format!("expected at least {meaning}"));
        return None;
    }
    Some(make(list))
}

fn is_query_key(key: &str) -> bool {
    !key.chars().any(char::is_control)
}

fn is_host(host: &str) -> bool {
    let fits = |c: char| {
        c.is_ascii_lowercase()
            || c.is_ascii_digit()
            || matches!(c, '.' | '-' | '_' | ':' | '[' | ']')
    };
    let port = host.rsplit(']').next().unwrap_or_default().contains(':');
    host.chars().all(fits) && !port && !host.ends_with('.')
}

fn is_language(tag: &str) -> bool {
    (2..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_lowercase())
}
