//! `policy`, `[controller]`, `[client]` and `[pseudonyms]`: a tree to a declaration, or every
//! mistake in it.
//!
//! Each part is read to its end before any is given up. A value under `keys` is never quoted.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::node::{Entry, Node, Value};
use super::problem::{Problem, choice, is_secret, nearest, quoted, unknown};
use super::read::{Reader, Section, Table};
use super::{
    Client, ClientSource, Controller, Declaration, Keys, Pseudonyms, TrustedProxy, duration,
};
use crate::client::Nat64;
use crate::keys::STEPS;
use crate::presets::Preset;

const DAY: Duration = Duration::from_secs(86_400);

/// Header sources: the first two hold lists of addresses, the others one.
pub(super) const SOURCES: [&str; 6] = [
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
    let problems = reader.problems();
    declaration.filter(|_| problems.is_empty()).ok_or(problems)
}

impl Reader {
    fn declaration(&mut self, node: &Node) -> Option<Declaration> {
        let top = self.top(node)?;
        let id = self.id(&top);
        let controller = top.find("controller").map(|entry| self.controller(entry));
        let client = top.find("client").map_or(Some(Client::default()), |entry| self.client(entry));
        let pseudonyms = top
            .find("pseudonyms")
            .map_or(Some(Pseudonyms::default()), |entry| self.pseudonyms(entry));
        let logs = self.logs(&top);
        let mut declaration = Declaration {
            id: id?,
            controller: controller.flatten(),
            client: client?,
            pseudonyms: pseudonyms?,
            logs: logs?,
            digest: [0; 32],
        };
        declaration.digest = declaration.canonical_digest();
        Some(declaration)
    }

    fn top<'n>(&mut self, node: &'n Node) -> Option<Section<'n>> {
        if !matches!(node.value, Value::Table(_)) {
            let sentence = format!("expected a table, found {}", node.kind());
            self.problem(&node.at, "policy".to_owned(), sentence);
            return None;
        }
        let top = self.section("", &node.at, node)?;
        self.only(&top, Table::Top);
        Some(top)
    }

    fn id(&mut self, top: &Section<'_>) -> Option<String> {
        let entry = self.needed(top, "policy", "policy = \"shop-2025-01-01\"")?;
        let id = self.text("policy".to_owned(), &entry.node)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=64).contains(&id.len()) && id.chars().all(fits) {
            return Some(id.to_owned());
        }
        let expected = "expected 1 to 64 of the characters A-Z a-z 0-9 . _ -";
        let sentence = format!("{expected}; found {}", quoted(id));
        self.problem(&entry.node.at, "policy".to_owned(), sentence);
        None
    }

    fn controller(&mut self, entry: &Entry) -> Option<Controller> {
        let section = self.table("controller", entry, Table::Controller)?;
        let mut said = |key, example, meaning| {
            let entry = self.needed(&section, key, example)?;
            self.said(section.key(key), &entry.node, meaning)
        };
        let name = said("name", "name = \"Example Ltd\"", "the controller's name");
        let contact = said("contact", "contact = \"privacy@example.com\"", "a way to reach them");
        Some(Controller { name: name?, contact: contact? })
    }

    fn client(&mut self, entry: &Entry) -> Option<Client> {
        let section = self.table("client", entry, Table::Client)?;
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
        let known: Vec<&str> = std::iter::once("peer").chain(SOURCES).collect();
        self.word(section.key("source"), &entry.node, &known, |word| {
            let header = SOURCES.into_iter().find(|name| *name == word).map(ClientSource::Header);
            if word == "peer" { Some(ClientSource::Peer) } else { header }
        })
    }

    fn trusted_proxy(&mut self, key: String, node: &Node) -> Option<TrustedProxy> {
        let text = self.text(key.clone(), node)?;
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let prefix = net.ok().map(|net| TrustedProxy::Prefix(net.trunc()));
        let proxy = prefix.or_else(|| Preset::parse(text).map(TrustedProxy::Preset));
        if proxy.is_none() {
            self.problem(&node.at, key, expected_proxy(text));
        }
        proxy
    }

    fn nat64_prefix(&mut self, key: String, node: &Node) -> Option<Ipv6Net> {
        let text = self.text(key.clone(), node)?;
        let net = text.parse::<Ipv6Net>().ok().filter(|net| Nat64::new(*net).is_some());
        if net.is_none() {
            let sentence = format!(
                "expected an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 whose bits 64 to 71 are zero (RFC 6052); found {}",
                quoted(text)
            );
            self.problem(&node.at, key, sentence);
        }
        net.map(|net| net.trunc())
    }

    fn pseudonyms(&mut self, entry: &Entry) -> Option<Pseudonyms> {
        let section = self.table("pseudonyms", entry, Table::Pseudonyms)?;
        let default = Pseudonyms::default();
        let keys =
            section.find("keys").map_or(Some(default.keys), |entry| self.keys(&section, entry));
        let mut seconds = |key| section.find(key).map(|entry| self.seconds(&section, key, entry));
        let rotate = seconds("rotate").unwrap_or(Some(default.rotate));
        let forget =
            seconds("forget").unwrap_or_else(|| rotate.map(|rotate| default.forget.max(rotate)));
        let (rotate, forget) = (rotate?, forget?);
        self.span(&section, rotate, forget);
        Some(Pseudonyms { keys: keys?, rotate, forget })
    }

    fn span(&mut self, section: &Section<'_>, rotate: Duration, forget: Duration) {
        let entry = section.find("forget").or_else(|| section.find("rotate"));
        let Some(entry) = entry else { return };
        let (used, kept) = (duration::write(rotate), duration::write(forget));
        let sentence = if forget < rotate {
            format!("expected at least the time of rotate, \"{used}\"; found \"{kept}\"")
        } else if forget.as_secs() / rotate.as_secs().max(1) > STEPS {
            format!("expected at most {STEPS} times rotate, \"{used}\"; found \"{kept}\"")
        } else {
            return;
        };
        self.problem(&entry.node.at, section.key(&entry.key), sentence);
    }

    fn keys(&mut self, section: &Section<'_>, entry: &Entry) -> Option<Keys> {
        let keys = named_keys(&entry.node);
        if keys.is_none() {
            let sentence = "expected \"memory\", { file = \"PATH\" } or { env = \"NAME\" }; a key itself never stands in a policy, so what was found is not shown";
            self.problem(&entry.node.at, section.key("keys"), sentence);
        }
        keys
    }

    fn seconds(&mut self, section: &Section<'_>, key: &str, entry: &Entry) -> Option<Duration> {
        let duration = self.duration(section.key(key), &entry.node)?;
        if duration.subsec_nanos() == 0 {
            return Some(duration);
        }
        let sentence = format!(
            "expected whole seconds, at least \"1s\"; found \"{}\"",
            duration::write(duration)
        );
        self.problem(&entry.node.at, section.key(key), sentence);
        None
    }
}

fn expected_proxy(text: &str) -> String {
    if let Some(nearest) = nearest(text, Preset::WORDS.iter().copied()) {
        let word = format!("word {}", quoted(text));
        let choice = choice(Preset::WORDS);
        return unknown(&word, Some(nearest), &format!("{choice}, an address or a prefix"));
    }
    format!("{}; found {}", expected_prefix(text), quoted(text))
}

fn expected_prefix(text: &str) -> &'static str {
    match text.split_once('/').map(|(address, _)| address.parse()) {
        Some(Ok(IpAddr::V4(_))) => "expected an IPv4 prefix from /0 to /32",
        Some(Ok(IpAddr::V6(_))) => "expected an IPv6 prefix from /0 to /128",
        _ => {
            "expected an address, a prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\", or a word such as \"private\""
        }
    }
}

fn named_keys(node: &Node) -> Option<Keys> {
    if matches!(&node.value, Value::Text(word) if word == "memory") {
        return Some(Keys::Memory);
    }
    let Value::Table(entries) = &node.value else { return None };
    let [Entry { key, node: Node { value: Value::Text(text), .. }, .. }] = entries.as_slice()
    else {
        return None;
    };
    match key.as_str() {
        "file" if !text.trim().is_empty() && !is_key(text) => Some(Keys::File(text.clone())),
        "env" if is_variable(text) && !is_secret(text) => Some(Keys::Env(text.clone())),
        _ => None,
    }
}

fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = |c: char| fits(c) && !c.is_ascii_digit();
    name.len() <= 128 && name.starts_with(first) && name.chars().all(fits)
}

/// A path could be long as well; one part of 64 hexadecimal digits is no path.
fn is_key(path: &str) -> bool {
    path.trim().len() == 64 && path.trim().bytes().all(|byte| byte.is_ascii_hexdigit())
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
