//! A policy said in Rust: the same tree that TOML becomes, and so the same reader and sentences.
//!
//! It judges nothing; [`Builder::build`] names the mistakes by key, as there is no line.

use std::time::Duration;

use super::node::Node;
use super::write::{controller_node, logs_node};
use super::{Keys, Log, Policy, duration};
use crate::error::Error;

/// Builds a [`Policy`] in Rust; says everything that the TOML form says.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    id: Option<String>,
    controller: Option<[String; 2]>,
    source: Option<String>,
    trusted_proxies: Vec<String>,
    nat64_prefixes: Vec<String>,
    keys: Option<Keys>,
    rotate: Option<Duration>,
    forget: Option<Duration>,
    logs: Vec<Log>,
}

impl Builder {
    /// The policy's name, `[A-Za-z0-9._-]{1,64}`; needed.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Who is responsible, and how to reach them.
    pub fn controller(mut self, name: impl Into<String>, contact: impl Into<String>) -> Self {
        self.controller = Some([name.into(), contact.into()]);
        self
    }

    /// Whose address is the client's: `peer` (default), `x-forwarded-for`, `forwarded` or a
    /// single-address header.
    pub fn client_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A proxy whose forwarding header is believed: an address, a prefix, or one of the words
    /// `cloudflare`, `private` and `loopback`.
    pub fn trusted_proxy(mut self, prefix: impl Into<String>) -> Self {
        self.trusted_proxies.push(prefix.into());
        self
    }

    /// An operator's NAT64 prefix (RFC 6052) whose embedded IPv4 address is unwrapped.
    pub fn nat64_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.nat64_prefixes.push(prefix.into());
        self
    }

    /// Where the keys of the pseudonyms come from; memory by default.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// How long one key is used, in whole seconds; a day by default.
    pub const fn rotate(mut self, rotate: Duration) -> Self {
        self.rotate = Some(rotate);
        self
    }

    /// After how long nobody can recover a key; a week by default.
    pub const fn forget(mut self, forget: Duration) -> Self {
        self.forget = Some(forget);
        self
    }

    /// Adds a log; at least one is needed.
    pub fn log(mut self, log: Log) -> Self {
        self.logs.push(log);
        self
    }

    /// The policy, if everything in it holds.
    ///
    /// # Errors
    ///
    /// Names every mistake by its key, with what was expected.
    pub fn build(self) -> Result<Policy, Error> {
        Policy::from_node(&self.node()).map_err(|problems| Error::policy(None, None, &problems))
    }
}

impl Builder {
    /// Only what was said: the reader supplies the defaults and misses what is missing.
    pub(crate) fn node(&self) -> Node {
        let mut entries = Vec::new();
        entries.extend(self.id.iter().map(|id| ("policy", Node::text(id))));
        if let Some([name, contact]) = &self.controller {
            entries.push(("controller", controller_node(name, contact)));
        }
        entries.push(("client", self.client_node()));
        entries.push(("pseudonyms", self.pseudonyms_node()));
        entries.push(("log", logs_node(&self.logs)));
        Node::table(entries)
    }

    fn client_node(&self) -> Node {
        let mut entries = Vec::new();
        entries.extend(self.source.iter().map(|source| ("source", Node::text(source))));
        entries.push(("trusted_proxies", Node::list(&self.trusted_proxies)));
        entries.push(("nat64_prefixes", Node::list(&self.nat64_prefixes)));
        Node::table(entries)
    }

    fn pseudonyms_node(&self) -> Node {
        let duration = |duration: Duration| Node::text(duration::write(duration));
        let mut entries = Vec::new();
        entries.extend(self.keys.iter().map(|keys| ("keys", keys.node())));
        entries.extend(self.rotate.map(|rotate| ("rotate", duration(rotate))));
        entries.extend(self.forget.map(|forget| ("forget", duration(forget))));
        Node::table(entries)
    }
}
