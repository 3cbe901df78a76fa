//! A tree to a declaration, or every mistake in it.
//!
//! Reading goes on after a mistake, so that one run names them all. Nothing is guessed: what is
//! unknown, out of range or given twice is a problem with its place and what was expected.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::node::{Entry, Node, Place, Value};
use super::problem::{Problem, choice, suggestion};
use super::{
    Client, ClientSource, Controller, Declaration, Keys, LegalBasis, Log, Pseudonyms, Purpose,
    Signal, TrustedProxy, duration, treatment,
};
use crate::client::Nat64;

const DAY: Duration = Duration::from_secs(86_400);

/// Header sources with what each holds: a list of addresses, or one.
pub(crate) const SOURCES: [&str; 6] = [
    "x-forwarded-for",
    "forwarded",
    "cf-connecting-ip",
    "true-client-ip",
    "fly-client-ip",
    "x-real-ip",
];

pub(super) fn declaration(node: &Node) -> Result<Declaration, Vec<Problem>> {
    let mut reader = Reader::default();
    let declaration = reader.declaration(node);
    reader.problems.sort_by_key(Problem::start);
    match declaration {
        Some(declaration) if reader.problems.is_empty() => Ok(declaration),
        _ => Err(reader.problems),
    }
}

#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
}

/// One table with the path that error sentences call it by.
pub(super) struct Section<'n> {
    path: String,
    at: Place,
    entries: &'n [Entry],
}

impl<'n> Section<'n> {
    pub(super) fn find(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn entries(&self) -> &'n [Entry] {
        self.entries
    }
}

fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let quoted = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("\"{key}\"")
    };
    if path.is_empty() { quoted } else { format!("{path}.{quoted}") }
}

impl Reader {
    pub(super) fn problem(&mut self, at: &Place, key: String, sentence: impl Into<String>) {
        self.problems.push(Problem::new(at.clone(), key, sentence));
    }

    /// `None` also stands for a value that was refused: the problem is noted.
    fn declaration(&mut self, node: &Node) -> Option<Declaration> {
        let top = self.section("", &None, node)?;
        self.only(&top, &["policy", "controller", "client", "pseudonyms", "log"]);
        let id =
            self.needed(&top, "policy", "\"shop-2025-01-01\"").and_then(|entry| self.id(entry));
        let controller = top.find("controller").and_then(|entry| self.controller(entry));
        let client =
            top.find("client").map_or_else(|| Some(Client::default()), |entry| self.client(entry));
        let pseudonyms = top
            .find("pseudonyms")
            .map_or_else(|| Some(Pseudonyms::default()), |entry| self.pseudonyms(entry));
        let logs = self.logs(&top);
        let mut declaration = Declaration {
            id: id?,
            controller,
            client: client?,
            pseudonyms: pseudonyms?,
            logs: logs?,
            digest: [0; 32],
        };
        declaration.digest = declaration.canonical_digest();
        Some(declaration)
    }

    fn id(&mut self, entry: &Entry) -> Option<String> {
        let id = self.text("policy".to_owned(), &entry.node)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=64).contains(&id.len()) && id.chars().all(fits) {
            return Some(id.to_owned());
        }
        let sentence = "expected 1 to 64 of the characters A-Z a-z 0-9 . _ -";
        self.problem(&entry.node.at, "policy".to_owned(), sentence);
        None
    }

    fn controller(&mut self, entry: &Entry) -> Option<Controller> {
        let section = self.section("controller", &entry.at, &entry.node)?;
        self.only(&section, &["name", "contact"]);
        let name = self.sentence(&section, "name", "the controller's name");
        let contact = self.sentence(&section, "contact", "how to reach the controller");
        Some(Controller { name: name?, contact: contact? })
    }

    fn client(&mut self, entry: &Entry) -> Option<Client> {
        let section = self.section("client", &entry.at, &entry.node)?;
        self.only(&section, &["source", "trusted_proxies", "nat64_prefixes"]);
        let source = section
            .find("source")
            .map_or(Some(ClientSource::Peer), |entry| self.source(&section, entry));
        let trusted_proxies = self.each(&section, "trusted_proxies", Self::trusted_proxy);
        let nat64_prefixes = self.each(&section, "nat64_prefixes", Self::nat64_prefix);
        Some(Client {
            source: source?,
            trusted_proxies: trusted_proxies?,
            nat64_prefixes: nat64_prefixes?,
        })
    }

    fn source(&mut self, section: &Section<'_>, entry: &Entry) -> Option<ClientSource> {
        let word = self.text(section.key("source"), &entry.node)?;
        if word == "peer" {
            return Some(ClientSource::Peer);
        }
        if let Some(name) = SOURCES.into_iter().find(|name| *name == word) {
            return Some(ClientSource::Header(name));
        }
        let known: Vec<&str> = std::iter::once("peer").chain(SOURCES).collect();
        self.unknown_word(section.key("source"), &entry.node.at, word, &known);
        None
    }

    fn trusted_proxy(&mut self, key: String, node: &Node) -> Option<TrustedProxy> {
        let text = self.text(key.clone(), node)?;
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        if let Ok(net) = net {
            return Some(TrustedProxy::Prefix(net.trunc()));
        }
        let sentence = format!(
            "\"{text}\" is not an address or a prefix; expected such as \"192.0.2.0/24\" (at most /32) or \"2001:db8::/32\" (at most /128)"
        );
        self.problem(&node.at, key, sentence);
        None
    }

    fn nat64_prefix(&mut self, key: String, node: &Node) -> Option<Ipv6Net> {
        let text = self.text(key.clone(), node)?;
        let net = text.parse::<Ipv6Net>().ok().filter(|net| Nat64::new(*net).is_some());
        if net.is_none() {
            let sentence = format!(
                "\"{text}\" is not a NAT64 prefix; expected an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052)"
            );
            self.problem(&node.at, key, sentence);
        }
        net.map(|net| net.trunc())
    }

    fn pseudonyms(&mut self, entry: &Entry) -> Option<Pseudonyms> {
        let section = self.section("pseudonyms", &entry.at, &entry.node)?;
        self.only(&section, &["keys", "rotate", "forget"]);
        let default = Pseudonyms::default();
        let keys =
            section.find("keys").map_or(Some(default.keys), |entry| self.keys(&section, entry));
        let rotate = section
            .find("rotate")
            .map_or(Some(default.rotate), |entry| self.rotate(&section, entry));
        let forget = match section.find("forget") {
            Some(entry) => self.duration(section.key("forget"), &entry.node),
            None => rotate.map(|rotate| default.forget.max(rotate)),
        };
        let (rotate, forget) = (rotate?, forget?);
        if forget < rotate {
            let at = section.find("forget").map_or(&None, |entry| &entry.node.at);
            let sentence =
                format!("expected at least the time of rotate, {}", duration::write(rotate));
            self.problem(at, section.key("forget"), sentence);
        }
        Some(Pseudonyms { keys: keys?, rotate, forget })
    }

    /// Never quotes what it found: it could be a key.
    fn keys(&mut self, section: &Section<'_>, entry: &Entry) -> Option<Keys> {
        let expected = "expected \"memory\", { file = \"PATH\" } or { env = \"NAME\" }";
        let refused = |reader: &mut Self| {
            reader.problem(&entry.node.at, section.key("keys"), expected);
            None
        };
        match &entry.node.value {
            Value::Text(word) if word == "memory" => Some(Keys::Memory),
            Value::Table(entries) => match entries.as_slice() {
                [Entry { key, node: Node { value: Value::Text(text), .. }, .. }]
                    if !text.is_empty() =>
                {
                    match key.as_str() {
                        "file" => Some(Keys::File(text.clone())),
                        "env" if is_variable(text) => Some(Keys::Env(text.clone())),
                        _ => refused(self),
                    }
                }
                _ => refused(self),
            },
            _ => refused(self),
        }
    }

    fn rotate(&mut self, section: &Section<'_>, entry: &Entry) -> Option<Duration> {
        let rotate = self.duration(section.key("rotate"), &entry.node)?;
        if rotate.subsec_nanos() != 0 {
            self.problem(
                &entry.node.at,
                section.key("rotate"),
                "expected whole seconds, at least \"1s\"",
            );
            return None;
        }
        Some(rotate)
    }

    fn logs(&mut self, top: &Section<'_>) -> Option<Vec<Log>> {
        let entry = self.needed(top, "log", "a log such as [log.access]")?;
        let section = self.section("log", &entry.at, &entry.node)?;
        self.twice(&section);
        if section.entries.is_empty() {
            self.problem(
                &entry.at,
                "log".to_owned(),
                "expected at least one log such as [log.access]",
            );
        }
        let logs: Vec<Option<Log>> =
            section.entries.iter().map(|entry| self.log(&section, entry)).collect();
        logs.into_iter().collect()
    }

    fn log(&mut self, logs: &Section<'_>, entry: &Entry) -> Option<Log> {
        let path = logs.key(&entry.key);
        let mut log = Log::new(self.log_name(&path, entry));
        let section = self.section(&path, &entry.at, &entry.node)?;
        self.only(&section, &LOG_KEYS);
        let purpose = self.purpose(&section);
        let basis = self.legal_basis(&section);
        let retention = self
            .needed(&section, "retention", "such as \"30d\"")
            .and_then(|entry| self.duration(section.key("retention"), &entry.node));
        log.recipients = self.each(&section, "recipients", Self::recipient)?;
        log.respect = self.each(&section, "respect", Self::signal)?;
        log.fields = treatment::fields(self, &section);
        log.app_fields = treatment::app_fields(self, &section);
        if log.fields.is_empty() && log.app_fields.is_empty() && section.find("fields").is_none() {
            let sentence = "is missing; expected what this log records, such as \"timestamp\" = { precision = \"1s\" }";
            self.problem(&section.at, section.key("fields"), sentence);
        }
        log.purpose = purpose?;
        log.legal_basis = Some(basis?);
        log.retention = Some(retention?);
        Some(log)
    }

    fn log_name<'e>(&mut self, path: &str, entry: &'e Entry) -> &'e str {
        let name = entry.key.as_str();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !(starts && name.len() <= 32 && name.chars().all(fits)) {
            let sentence =
                "expected a log's name of 1 to 32 of the characters a-z 0-9 _ -, a letter first";
            self.problem(&entry.at, path.to_owned(), sentence);
        }
        name
    }

    fn purpose(&mut self, section: &Section<'_>) -> Option<Vec<Purpose>> {
        let entry = self.needed(section, "purpose", "such as [\"security\"]")?;
        let purposes = self.each(section, "purpose", |reader, key, node| {
            reader.word(key, node, Purpose::WORDS, Purpose::parse)
        })?;
        if purposes.is_empty() && matches!(entry.node.value, Value::List(_)) {
            let sentence = format!("expected at least one of {}", choice(Purpose::WORDS));
            self.problem(&entry.node.at, section.key("purpose"), sentence);
        }
        Some(purposes)
    }

    fn legal_basis(&mut self, section: &Section<'_>) -> Option<LegalBasis> {
        let entry = self.needed(section, "legal_basis", "such as \"legitimate-interests\"")?;
        let key = section.key("legal_basis");
        let word = self.word(key, &entry.node, LegalBasis::WORDS, |word| {
            LegalBasis::WORDS.iter().copied().find(|known| *known == word)
        })?;
        let basis = match word {
            "consent" => LegalBasis::Consent,
            "contract" => LegalBasis::Contract,
            "legal-obligation" => LegalBasis::LegalObligation,
            "vital-interests" => LegalBasis::VitalInterests,
            "public-task" => LegalBasis::PublicTask,
            _ => {
                let interest = self.sentence(
                    section,
                    "interest",
                    "the interest pursued, which \"legitimate-interests\" has to name",
                )?;
                return Some(LegalBasis::LegitimateInterests { interest });
            }
        };
        if let Some(interest) = section.find("interest") {
            let sentence = format!(
                "goes with legal_basis = \"legitimate-interests\" only, not with \"{word}\""
            );
            self.problem(&interest.at, section.key("interest"), sentence);
        }
        Some(basis)
    }

    fn recipient(&mut self, key: String, node: &Node) -> Option<String> {
        self.said(key, node, "who receives the lines")
    }

    fn signal(&mut self, key: String, node: &Node) -> Option<Signal> {
        self.word(key, node, Signal::WORDS, Signal::parse)
    }

    /// A table, without keys given twice.
    pub(super) fn section<'n>(
        &mut self,
        path: &str,
        at: &Place,
        node: &'n Node,
    ) -> Option<Section<'n>> {
        if let Value::Table(entries) = &node.value {
            return Some(Section { path: path.to_owned(), at: at.clone(), entries });
        }
        let key = if path.is_empty() { "policy" } else { path };
        self.problem(&node.at, key.to_owned(), format!("expected a table, found {}", node.kind()));
        None
    }

    /// Complains of every other key, and of keys given twice.
    pub(super) fn only(&mut self, section: &Section<'_>, known: &[&str]) {
        for entry in section.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = suggestion(&entry.key, known.iter().copied());
            let sentence = format!("unknown key{hint}; expected {}", choice(known));
            let sentence = if hint.is_empty() { sentence } else { format!("unknown key{hint}") };
            self.problem(&entry.at, section.key(&entry.key), sentence);
        }
        self.twice(section);
    }

    /// TOML has its own complaint; other formats and the builder come here.
    pub(super) fn twice(&mut self, section: &Section<'_>) {
        for (at, entry) in section.entries.iter().enumerate() {
            if section.entries.iter().take(at).any(|earlier| earlier.key == entry.key) {
                self.problem(&entry.at, section.key(&entry.key), "is given twice");
            }
        }
    }

    pub(super) fn needed<'n>(
        &mut self,
        section: &Section<'n>,
        key: &str,
        expected: &str,
    ) -> Option<&'n Entry> {
        let found = section.find(key);
        if found.is_none() {
            self.problem(&section.at, section.key(key), format!("is missing; expected {expected}"));
        }
        found
    }

    pub(super) fn text<'n>(&mut self, key: String, node: &'n Node) -> Option<&'n str> {
        if let Value::Text(text) = &node.value {
            return Some(text);
        }
        self.problem(&node.at, key, format!("expected a text, found {}", node.kind()));
        None
    }

    /// A text for people, which is not blank.
    pub(super) fn said(&mut self, key: String, node: &Node, meaning: &str) -> Option<String> {
        let text = self.text(key.clone(), node)?.trim();
        if text.is_empty() {
            self.problem(&node.at, key, format!("expected {meaning}, found nothing"));
            return None;
        }
        Some(text.to_owned())
    }

    fn sentence(&mut self, section: &Section<'_>, key: &str, meaning: &str) -> Option<String> {
        let entry = self.needed(section, key, meaning)?;
        self.said(section.key(key), &entry.node, meaning)
    }

    pub(super) fn duration(&mut self, key: String, node: &Node) -> Option<Duration> {
        let text = self.text(key.clone(), node)?;
        let duration = duration::parse(text);
        if duration.is_none() {
            self.problem(&node.at, key, format!("{}, found \"{text}\"", duration::EXPECTED));
        }
        duration
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
            self.unknown_word(key, &node.at, word, known);
        }
        parsed
    }

    pub(super) fn unknown_word(&mut self, key: String, at: &Place, word: &str, known: &[&str]) {
        let hint = suggestion(word, known.iter().copied());
        let sentence = if hint.is_empty() {
            format!("unknown word \"{word}\"; expected {}", choice(known))
        } else {
            format!("unknown word \"{word}\"{hint}")
        };
        self.problem(at, key, sentence);
    }

    /// An optional list, its members read one by one, each once.
    pub(super) fn each<T: PartialEq>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl Fn(&mut Self, String, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(entry) = section.find(key) else { return Some(Vec::new()) };
        let Value::List(nodes) = &entry.node.value else {
            let sentence = format!("expected a list, found {}", entry.node.kind());
            self.problem(&entry.node.at, section.key(key), sentence);
            return None;
        };
        let mut items = Vec::new();
        let mut whole = true;
        for node in nodes {
            match read(self, section.key(key), node) {
                Some(item) if items.contains(&item) => {
                    self.problem(&node.at, section.key(key), "is listed twice");
                }
                Some(item) => items.push(item),
                None => whole = false,
            }
        }
        whole.then_some(items)
    }
}

const LOG_KEYS: [&str; 8] = [
    "purpose",
    "legal_basis",
    "interest",
    "retention",
    "recipients",
    "respect",
    "fields",
    "app_fields",
];

fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= 128 && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl Default for Client {
    fn default() -> Self {
        Self { source: ClientSource::Peer, trusted_proxies: Vec::new(), nat64_prefixes: Vec::new() }
    }
}

impl Default for Pseudonyms {
    fn default() -> Self {
        Self { keys: Keys::Memory, rotate: DAY, forget: 7 * DAY }
    }
}
