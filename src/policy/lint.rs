//! What a valid policy says that its author may not mean: warnings, each with key and reason.
//!
//! A warning stops nothing. What is certainly wrong is an error already; what weakens privacy has
//! its written reason (`accept_risk`) and is not warned of again.

use ipnet::IpNet;

use super::problem::join;
use super::{ClientSource, Declaration, Keys, Log, Policy, TrustedProxy};
use crate::client::{Nat64, canonical_net};
use crate::field::{Address, AppTreatment, Field, Name};

/// From here on an IPv6 prefix is what a single customer gets.
const HOUSEHOLD: u8 = 48;

impl Policy {
    /// What is likely not meant, as `KEY: REASON`; none of it stops a start.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_privacy_log::{Field, LegalBasis, Log, Policy, Purpose};
    /// # let access = Log::new("access")
    /// #     .purpose(Purpose::Security)
    /// #     .legal_basis(LegalBasis::Contract)
    /// #     .retention(Duration::from_secs(86_400))
    /// #     .field(Field::Route);
    /// let policy = Policy::builder().id("shop-1").client_source("forwarded").log(access).build()?;
    /// assert!(policy.warnings()[0].starts_with("client.trusted_proxies: "));
    /// # Ok::<(), tower_privacy_log::Error>(())
    /// ```
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let declaration = self.declaration();
        let mut warnings = declaration.proxies();
        warnings.extend(declaration.unused_keys());
        warnings.extend(declaration.logs.iter().filter_map(household));
        warnings
    }
}

impl Declaration {
    fn proxies(&self) -> Vec<String> {
        let key = "client.trusted_proxies";
        let named = &self.client.trusted_proxies;
        let mut warnings: Vec<String> = named
            .iter()
            .filter_map(|proxy| Some(format!("{key}: {}", self.doubt(proxy)?)))
            .collect();
        let believed = named.iter().any(|proxy| self.is_believed(proxy));
        match self.client.source {
            ClientSource::Header(name) if !believed => warnings.push(format!(
                "{key}: names no proxy, so the header {name} of client.source is never believed and the peer counts as the client"
            )),
            ClientSource::Peer if !named.is_empty() => warnings.push(
                "client.source: is \"peer\", so trusted_proxies has no effect and a proxy counts as the client; name the header that the proxies send"
                    .to_owned(),
            ),
            ClientSource::Header(_) | ClientSource::Peer => {}
        }
        warnings
    }

    fn doubt(&self, proxy: &TrustedProxy) -> Option<String> {
        let TrustedProxy::Prefix(prefix) = proxy else { return None };
        if !self.is_believed(proxy) {
            return Some(format!(
                "\"{prefix}\" embeds every IPv4 address and fixes no bit of one, so it is left out; name the proxy's own prefix"
            ));
        }
        let everybody = self.canonical(*prefix).is_some_and(|prefix| prefix.prefix_len() == 0);
        everybody.then(|| {
            format!("\"{prefix}\" trusts everybody, so any client can write its own address")
        })
    }

    fn is_believed(&self, proxy: &TrustedProxy) -> bool {
        match proxy {
            TrustedProxy::Prefix(prefix) => self.canonical(*prefix).is_some(),
            TrustedProxy::Preset(_) => true,
        }
    }

    fn canonical(&self, prefix: IpNet) -> Option<IpNet> {
        let nat64 = self.client.nat64_prefixes.iter().filter_map(|prefix| Nat64::new(*prefix));
        canonical_net(prefix, &nat64.collect::<Vec<_>>())
    }

    fn unused_keys(&self) -> Option<String> {
        let is_shared = self.pseudonyms.keys != Keys::Memory;
        (is_shared && !self.logs.iter().any(pseudonymizes)).then(|| {
            "pseudonyms.keys: no log declares a pseudonym, so the key is not opened and nothing moves it forward"
                .to_owned()
        })
    }
}

fn pseudonymizes(log: &Log) -> bool {
    log.fields.iter().any(|field| matches!(field, Field::ClientPseudonym { .. }))
        || log.app_fields.iter().any(|(_, treatment)| *treatment == AppTreatment::Pseudonymize)
}

/// RIPE-690 §4.2 recommends a /48 or a /56 for each customer.
fn household(log: &Log) -> Option<String> {
    let truncated = |field: &Field| {
        let Field::ClientAddress(Address::Truncate { ipv6, accept_risk: None, .. }) = field else {
            return None;
        };
        (*ipv6 >= HOUSEHOLD).then_some(*ipv6)
    };
    let prefix = log.fields.iter().find_map(truncated)?;
    let fields = format!("{}.fields", join("log", &log.name));
    let key = join(&fields, Name::ClientAddress.as_str());
    Some(format!(
        "{key}: an IPv6 /{prefix} can be one household (RIPE-690); ipv6 = 32 is a provider's whole network"
    ))
}
