//! A policy as a tree again: for serde, for the builder, and for the digest.
//!
//! Defaults are written out, so that two spellings of one declaration give one tree.

use sha2::{Digest, Sha256};

use super::node::{Node, Value};
use super::{
    Client, ClientSource, Declaration, Keys, LegalBasis, Log, Pseudonyms, TrustedProxy, duration,
};
use crate::field::{Address, AppTreatment, Field, Path, Referer, Status};

impl Declaration {
    pub(crate) fn node(&self) -> Node {
        let mut entries = vec![("policy", Node::text(&self.id))];
        if let Some(controller) = &self.controller {
            entries.push(("controller", controller_node(&controller.name, &controller.contact)));
        }
        entries.push(("client", self.client.node()));
        entries.push(("pseudonyms", self.pseudonyms.node()));
        entries.push(("log", logs_node(&self.logs)));
        Node::table(entries)
    }

    /// Order does not count: tables and lists that mean sets are sorted.
    pub(crate) fn canonical_digest(&self) -> [u8; 32] {
        let mut text = String::from("tower-privacy-log/policy/v1\n");
        self.node().sorted().canonical(&mut text);
        Sha256::digest(text).into()
    }
}

impl Client {
    fn node(&self) -> Node {
        let source = match self.source {
            ClientSource::Peer => "peer",
            ClientSource::Header(name) => name,
        };
        let trusted = self.trusted_proxies.iter().map(TrustedProxy::to_string);
        let nat64 = self.nat64_prefixes.iter().map(ToString::to_string);
        Node::table([
            ("source", Node::text(source)),
            ("trusted_proxies", Node::list(sorted(trusted))),
            ("nat64_prefixes", Node::list(sorted(nat64))),
        ])
    }
}

impl std::fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Preset(preset) => f.write_str(preset.as_str()),
        }
    }
}

impl Pseudonyms {
    fn node(&self) -> Node {
        Node::table([
            ("keys", self.keys.node()),
            ("rotate", Node::text(duration::write(self.rotate))),
            ("forget", Node::text(duration::write(self.forget))),
        ])
    }
}

impl Keys {
    pub(super) fn node(&self) -> Node {
        match self {
            Self::Memory => Node::text("memory"),
            Self::File(path) => Node::table([("file", Node::text(path))]),
            Self::Env(name) => Node::table([("env", Node::text(name))]),
        }
    }
}

impl Log {
    fn node(&self) -> Node {
        let purpose = self.purpose.iter().map(|purpose| purpose.as_str());
        let mut entries = vec![("purpose", Node::list(sorted(purpose)))];
        if let Some(basis) = &self.legal_basis {
            entries.push(("legal_basis", Node::text(basis.as_str())));
        }
        if let Some(LegalBasis::LegitimateInterests { interest }) = &self.legal_basis {
            entries.push(("interest", Node::text(interest)));
        }
        if let Some(retention) = self.retention {
            entries.push(("retention", Node::text(duration::write(retention))));
        }
        entries.push(("recipients", Node::list(sorted(self.recipients.iter().cloned()))));
        entries.push((
            "respect",
            Node::list(sorted(self.respect.iter().map(|signal| signal.as_str()))),
        ));
        let fields = self.fields.iter().map(|field| (field.name().as_str(), field.node()));
        entries.push(("fields", Node::table(fields)));
        let app_fields = self.app_fields.iter().map(|(name, treatment)| (name, treatment.node()));
        entries.push(("app_fields", Node::table(app_fields)));
        Node::table(entries)
    }
}

impl Field {
    fn node(&self) -> Node {
        let precision =
            |duration| Node::table([("precision", Node::text(duration::write(duration)))]);
        match self {
            Self::Timestamp { precision: each } | Self::RequestDuration { precision: each } => {
                precision(*each)
            }
            Self::ClientAddress(address) => address.node(),
            Self::ClientPseudonym { ipv6 } => Node::table([("ipv6", Node::whole(*ipv6))]),
            Self::UrlPath(Path::Depth(depth)) => Node::table([("depth", Node::whole(*depth))]),
            Self::UrlPath(Path::Keep { accept_risk }) | Self::UserAgentOriginal { accept_risk } => {
                at_risk("keep", accept_risk)
            }
            Self::UrlQuery { allow }
            | Self::ServerAddress { allow }
            | Self::BrowserLanguage { allow } => allow_node(allow),
            Self::StatusCode(Status::Class) => Node::text("class"),
            Self::Referer(Referer::Origin) => Node::text("origin"),
            Self::Referer(Referer::Relation) => Node::text("relation"),
            Self::Referer(Referer::Path { accept_risk }) => at_risk("path", accept_risk),
            Self::RequestBodySize { round } | Self::ResponseBodySize { round } => {
                Node::table([("round", size(*round))])
            }
            Self::StatusCode(Status::Keep)
            | Self::RequestMethod
            | Self::Route
            | Self::UrlScheme
            | Self::ProtocolVersion
            | Self::UserAgentName
            | Self::UserAgentVersion
            | Self::UserAgentOs
            | Self::DeviceType
            | Self::GrpcStatus
            | Self::ErrorType => Node::text("keep"),
        }
    }
}

impl Address {
    fn node(&self) -> Node {
        match self {
            Self::Keep { accept_risk } => at_risk("keep", accept_risk),
            Self::Truncate { ipv4, ipv6, accept_risk } => {
                let mut entries = vec![("ipv4", Node::whole(*ipv4)), ("ipv6", Node::whole(*ipv6))];
                entries.extend(accept_risk.iter().map(|why| ("accept_risk", Node::text(why))));
                Node::table(entries)
            }
        }
    }
}

impl AppTreatment {
    fn node(&self) -> Node {
        match self {
            Self::Keep => Node::text("keep"),
            Self::Pseudonymize => Node::text("pseudonymize"),
            Self::Allow(allow) => allow_node(allow),
        }
    }
}

pub(super) fn controller_node(name: &str, contact: &str) -> Node {
    Node::table([("name", Node::text(name)), ("contact", Node::text(contact))])
}

pub(super) fn logs_node(logs: &[Log]) -> Node {
    Node::table(logs.iter().map(|log| (&log.name, log.node())))
}

fn at_risk(word: &str, accept_risk: &str) -> Node {
    Node::table([(word, Value::Truth(true).into()), ("accept_risk", Node::text(accept_risk))])
}

fn size(bytes: u64) -> Node {
    let whole = i64::try_from(bytes).map(Value::Whole);
    whole.unwrap_or(Value::Other("a number that is too large")).into()
}

fn allow_node(allow: &[String]) -> Node {
    Node::table([("allow", Node::list(sorted(allow.iter().cloned())))])
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}
