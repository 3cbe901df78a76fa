//! What the operator declares; parsed once, valid ever after.
//!
//! TOML text, serde and the builder all become one tree ([`node`]) that one reader ([`read`])
//! turns into a [`Policy`]; a policy that exists is valid. Keys are named here, never held.

mod builder;
mod declaration;
pub(crate) mod duration;
mod fields;
mod given;
mod lint;
mod log;
mod node;
pub(crate) mod problem;
mod read;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "toml")]
mod toml;
mod treatment;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::error::Error;
use crate::field::{AppTreatment, Field};
use crate::presets::Preset;
pub use builder::Builder;
use node::Node;
use problem::Problem;

/// A valid declaration of what may be logged, why, and for how long.
///
/// Parse it from TOML (`text.parse()`, [`Policy::read`]), take it from any serde format, or
/// build it with [`Policy::builder`]. Two policies are equal when they declare the same,
/// whatever their comments, order and spelling of defaults. Clones are cheap.
#[derive(Clone)]
pub struct Policy {
    declaration: Arc<Declaration>,
}

pub(crate) struct Declaration {
    pub(crate) id: String,
    pub(crate) controller: Option<Controller>,
    pub(crate) client: Client,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) logs: Vec<Log>,
    pub(crate) digest: [u8; 32],
}

#[derive(Clone)]
pub(crate) struct Controller {
    pub(crate) name: String,
    pub(crate) contact: String,
}

pub(crate) struct Client {
    pub(crate) source: ClientSource,
    pub(crate) trusted_proxies: Vec<TrustedProxy>,
    pub(crate) nat64_prefixes: Vec<ipnet::Ipv6Net>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientSource {
    Peer,
    Header(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrustedProxy {
    Prefix(IpNet),
    Preset(Preset),
}

impl TrustedProxy {
    pub(crate) fn prefixes(&self) -> Vec<IpNet> {
        match self {
            Self::Prefix(prefix) => vec![*prefix],
            Self::Preset(preset) => preset.prefixes().collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pseudonyms {
    pub(crate) keys: Keys,
    pub(crate) rotate: Duration,
    pub(crate) forget: Duration,
}

/// Where the keys of the pseudonyms come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys {
    /// Random keys in this process only.
    Memory,
    /// A key file that replicas and restarts share.
    File(String),
    /// The text of a key file in an environment variable of this name.
    Env(String),
}

/// One stream of records with one set of purposes, one legal basis and one retention.
///
/// ```
/// use std::time::Duration;
/// use tower_privacy_log::{Field, LegalBasis, Log, Policy, Purpose};
///
/// let access = Log::new("access")
///     .purpose(Purpose::ServiceMonitoring)
///     .legal_basis(LegalBasis::Contract)
///     .retention(Duration::from_secs(30 * 86_400))
///     .field(Field::RequestMethod)
///     .field(Field::Route);
/// let policy = Policy::builder().id("shop-1").log(access).build()?;
/// # Ok::<(), tower_privacy_log::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Log {
    pub(crate) name: String,
    pub(crate) purpose: Vec<Purpose>,
    pub(crate) legal_basis: Option<LegalBasis>,
    pub(crate) retention: Option<Duration>,
    pub(crate) recipients: Vec<String>,
    pub(crate) respect: Vec<Signal>,
    pub(crate) fields: Vec<Field>,
    pub(crate) app_fields: Vec<(String, AppTreatment)>,
}

impl Log {
    /// A log of this name, `[a-z][a-z0-9_-]{0,31}` but not `retention`, that declares nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            purpose: Vec::new(),
            legal_basis: None,
            retention: None,
            recipients: Vec::new(),
            respect: Vec::new(),
            fields: Vec::new(),
            app_fields: Vec::new(),
        }
    }

    /// Adds a purpose; at least one is needed.
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose.push(purpose);
        self
    }

    /// Sets the legal basis; one is needed.
    pub fn legal_basis(mut self, basis: LegalBasis) -> Self {
        self.legal_basis = Some(basis);
        self
    }

    /// Sets how long a line may exist, in whole milliseconds; needed.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Adds somebody who receives this log's lines.
    pub fn recipient(mut self, recipient: impl Into<String>) -> Self {
        self.recipients.push(recipient.into());
        self
    }

    /// No record in this log when the request sends this signal.
    pub fn respect(mut self, signal: Signal) -> Self {
        self.respect.push(signal);
        self
    }

    /// Declares a field; at least one field or app field is needed.
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Declares a field that the application may add through [`LogFields`](crate::LogFields).
    pub fn app_field(mut self, name: impl Into<String>, treatment: AppTreatment) -> Self {
        self.app_fields.push((name.into(), treatment));
        self
    }
}

/// A closed list of words, each tied to a term of a public vocabulary.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$each])* $variant,)+ }

        impl $name {
            pub(crate) const WORDS: &[&str] = &[$($word,)+];

            pub(crate) fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// The word that a policy uses.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// Why a log is kept, in terms of the W3C Data Privacy Vocabulary 2.3.
    Purpose {
        /// dpv:EnforceSecurity
        Security = "security",
        /// dpv:MisusePreventionAndDetection
        MisusePrevention = "misuse-prevention",
        /// dpv:FraudPreventionAndDetection
        FraudPrevention = "fraud-prevention",
        /// dpv:TechnicalServiceProvision
        ServiceProvision = "service-provision",
        /// dpv:ServiceMonitoring
        ServiceMonitoring = "service-monitoring",
        /// dpv:IncreaseServiceRobustness
        Robustness = "robustness",
        /// dpv:ServiceUsageAnalytics
        UsageAnalytics = "usage-analytics",
        /// dpv:RightsFulfilment
        RightsFulfilment = "rights-fulfilment",
        /// dpv:LegalCompliance
        LegalCompliance = "legal-compliance",
    }
}

words! {
    /// What a visitor's browser can say that a log respects.
    Signal {
        /// `Sec-GPC: 1`, Global Privacy Control.
        SecGpc = "sec-gpc",
    }
}

/// The ground in GDPR Art. 6(1) on which a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LegalBasis {
    /// Art. 6(1)(a): only requests for which the application put a
    /// [`Consent`](crate::Consent) are recorded.
    Consent,
    /// Art. 6(1)(b)
    Contract,
    /// Art. 6(1)(c)
    LegalObligation,
    /// Art. 6(1)(d)
    VitalInterests,
    /// Art. 6(1)(e)
    PublicTask,
    /// Art. 6(1)(f), which must name the interest.
    LegitimateInterests {
        /// The interest pursued.
        interest: String,
    },
}

impl LegalBasis {
    pub(crate) const WORDS: &[&str] = &[
        "consent",
        "contract",
        "legal-obligation",
        "vital-interests",
        "public-task",
        "legitimate-interests",
    ];

    /// Without an interest, which stands in a key of its own.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "consent" => Self::Consent,
            "contract" => Self::Contract,
            "legal-obligation" => Self::LegalObligation,
            "vital-interests" => Self::VitalInterests,
            "public-task" => Self::PublicTask,
            "legitimate-interests" => Self::LegitimateInterests { interest: String::new() },
            _ => return None,
        })
    }

    /// The word that a policy uses.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Contract => "contract",
            Self::LegalObligation => "legal-obligation",
            Self::VitalInterests => "vital-interests",
            Self::PublicTask => "public-task",
            Self::LegitimateInterests { .. } => "legitimate-interests",
        }
    }
}

impl Policy {
    /// Starts a policy in Rust.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or with every mistake in it by line, column and key.
    #[cfg(feature = "toml")]
    pub fn read(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::unreadable(path, &error))?;
        Self::parse(Some(path), &text)
    }

    #[cfg(feature = "toml")]
    fn parse(path: Option<&std::path::Path>, text: &str) -> Result<Self, Error> {
        let (node, mut problems) = toml::parse(text);
        let policy = node.map_or_else(|| Err(Vec::new()), |node| Self::from_node(&node));
        match policy {
            Ok(policy) if problems.is_empty() => return Ok(policy),
            Ok(_) => {}
            Err(others) => {
                let known: Vec<usize> = problems.iter().map(Problem::start).collect();
                problems.extend(others.into_iter().filter(|p| !known.contains(&p.start())));
            }
        }
        problems.sort_by_key(Problem::start);
        Err(Error::policy(path, Some(text), &problems))
    }

    fn from_node(node: &Node) -> Result<Self, Vec<Problem>> {
        let declaration = Arc::new(declaration::declaration(node)?);
        Ok(Self { declaration })
    }

    /// The policy's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.declaration.id
    }

    /// SHA-256 over the canonical form, which ignores comments, order and spelling of defaults.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.declaration.digest
    }

    /// What every record carries: the name and the first 8 hex digits of the digest.
    #[must_use]
    pub fn reference(&self) -> String {
        let [a, b, c, d, ..] = self.declaration.digest;
        format!("{}@{a:02x}{b:02x}{c:02x}{d:02x}", self.declaration.id)
    }

    /// Every log's name with its retention.
    #[cfg(feature = "json-lines")]
    pub(crate) fn retentions(&self) -> impl Iterator<Item = (String, Duration)> {
        let logs = self.declaration.logs.iter();
        logs.map(|log| (log.name.clone(), log.retention.unwrap_or_default()))
    }

    pub(crate) fn declaration(&self) -> &Declaration {
        &self.declaration
    }
}

#[cfg(feature = "toml")]
impl std::str::FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(None, text)
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.declaration.digest == other.declaration.digest
    }
}

impl Eq for Policy {}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Policy").field(&self.reference()).finish()
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.declaration.node().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        Self::from_node(&node)
            .map_err(|problems| D::Error::custom(Error::policy(None, None, &problems)))
    }
}
