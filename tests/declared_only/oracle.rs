//! What a record may say of an exchange: written from the documentation, without the crate's code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde_json::{Value, json};
use tower_privacy_log::{Address, AppTreatment, Field, Path, Referer, Status};

use crate::exchange::{Came, Exchange, Given, Language, METHODS, Side};
use crate::markers::plainly_found;
use crate::policies::{Declared, DeclaredLog};

pub enum Expected {
    Absent,
    Is(Value),
    /// A value in the shape that this function accepts.
    Fits(fn(&Value) -> bool),
    /// Absent or a short word or number from a closed list.
    Maybe,
    /// Whole multiples of this many milliseconds, written as seconds.
    Steps(u64),
}

impl DeclaredLog {
    /// Whether this log gets a record of the exchange.
    pub fn wants(&self, exchange: &Exchange) -> bool {
        let refused = self.gpc && exchange.gpc;
        let consented = exchange.consent.as_ref().is_some_and(|(side, logs)| {
            logs.contains(&self.name) && (*side == Side::Request || exchange.has_head())
        });
        !refused && (!self.consent || consented)
    }

    /// Every declared name with what its value has to be.
    pub fn expected(
        &self,
        declared: &Declared,
        exchange: &Exchange,
    ) -> Vec<(&'static str, Expected)> {
        let fields = self
            .fields
            .iter()
            .map(|field| (crate::policies::name(field), exchange.field(field, declared)));
        let app = self.app.iter().map(|(name, treatment)| (*name, exchange.added(name, treatment)));
        fields.chain(app).collect()
    }
}

impl Declared {
    /// The markers that may stand somewhere in the records of this exchange.
    pub fn allowed(&self, exchange: &Exchange) -> Vec<String> {
        let logs = self.logs.iter().filter(|log| log.wants(exchange));
        let values = logs.flat_map(|log| log.expected(self, exchange));
        values
            .flat_map(|(_, value)| match value {
                Expected::Is(Value::String(text)) => plainly_found(&text).collect(),
                _ => Vec::new(),
            })
            .collect()
    }

    /// Whether whole addresses, or nearly so, are declared.
    pub fn shows_addresses(&self) -> bool {
        self.fields().any(|field| {
            matches!(
                field,
                Field::ClientAddress(
                    Address::Keep { .. } | Address::Truncate { accept_risk: Some(_), .. }
                )
            )
        })
    }
}

impl Expected {
    pub fn holds(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Absent | Self::Maybe, None) => true,
            (Self::Is(expected), Some(value)) => expected == value,
            (Self::Fits(fits), Some(value)) => fits(value),
            (Self::Maybe, Some(value)) => {
                value.is_u64() || value.as_str().is_some_and(|word| word.len() < 20)
            }
            (Self::Steps(step), Some(value)) => value.as_f64().is_some_and(|seconds| {
                let steps = seconds * 1000.0 / (*step as f64);
                seconds >= 0.0 && (steps - steps.round()).abs() < 1e-6
            }),
            (Self::Absent, Some(_)) | (_, None) => false,
        }
    }
}

fn known<T: Into<Value>>(value: Option<T>) -> Expected {
    value.map_or(Expected::Absent, |value| Expected::Is(value.into()))
}

impl Exchange {
    fn field(&self, field: &Field, declared: &Declared) -> Expected {
        let client = self.client(declared.forwarded);
        match field {
            Field::Timestamp { .. } => Expected::Fits(is_timestamp),
            Field::ClientAddress(address) => {
                known(client.map(|client| reduced(client, address).to_string()))
            }
            Field::ClientPseudonym { .. } => {
                client.map_or(Expected::Absent, |_| Expected::Fits(is_pseudonym))
            }
            Field::RequestMethod => {
                let known = METHODS.contains(&self.method.as_str());
                Expected::Is(json!(if known { &self.method } else { "_OTHER" }))
            }
            Field::Route => known(self.seen_route()),
            Field::UrlPath(Path::Keep { .. }) => Expected::Is(json!(self.path())),
            Field::UrlPath(Path::Depth(depth)) => {
                Expected::Is(json!(self.leading(usize::from(*depth))))
            }
            Field::UrlQuery { allow } => known(self.query(allow)),
            Field::UrlScheme => known(self.told.or(self.absolute)),
            Field::ProtocolVersion => {
                let versions = [
                    ("HTTP/1.0", "1.0"),
                    ("HTTP/1.1", "1.1"),
                    ("HTTP/2.0", "2"),
                    ("HTTP/3.0", "3"),
                ];
                known(
                    versions
                        .iter()
                        .find(|known| known.0 == format!("{:?}", self.version))
                        .map(|known| known.1),
                )
            }
            Field::ServerAddress { allow } => Expected::Is(json!(if allow.contains(&self.host) {
                self.host.as_str()
            } else {
                "_OTHER"
            })),
            Field::StatusCode(Status::Keep) => known(self.has_head().then_some(self.end.status)),
            Field::StatusCode(_) => {
                known(self.has_head().then(|| format!("{}xx", self.end.status / 100)))
            }
            Field::Referer(treatment) => known(self.origin(treatment)),
            Field::UserAgentName
            | Field::UserAgentVersion
            | Field::UserAgentOs
            | Field::DeviceType => Expected::Maybe,
            Field::UserAgentOriginal { .. } => Expected::Is(json!(self.agent.text())),
            Field::BrowserLanguage { .. } => known(match self.language.0 {
                Language::None => None,
                Language::De => Some("de"),
                Language::En => Some("en"),
                Language::Unlisted => Some("_OTHER"),
            }),
            Field::RequestDuration { precision } => Expected::Steps(millis(*precision)),
            Field::RequestBodySize { round } => {
                known(self.announced.then(|| round_up(self.upload, *round)))
            }
            Field::ResponseBodySize { round } => {
                let sent = if self.is_bodiless() { 0 } else { self.end.reply };
                known(self.has_head().then(|| round_up(sent, *round)))
            }
            Field::GrpcStatus => {
                let came = self.has_head()
                    && !self.is_bodiless()
                    && self.end.ending == crate::exchange::Ending::Complete;
                known(self.end.grpc.filter(|_| came))
            }
            Field::ErrorType => known(self.error()),
            _ => unreachable!("a field that this test does not know"),
        }
    }

    fn seen_route(&self) -> Option<String> {
        let route =
            self.route.as_ref().filter(|(side, _)| *side == Side::Request || self.has_head());
        route.map(|(_, template)| template.clone())
    }

    fn leading(&self, depth: usize) -> String {
        let segments = self.segments.iter().take(depth).map(|segment| format!("/{}", segment.text));
        let path: String = segments.collect();
        if path.is_empty() { "/".to_owned() } else { path }
    }

    fn query(&self, allow: &[String]) -> Option<String> {
        let pairs = self.pairs.iter().filter(|pair| allow.iter().any(|key| key == pair.key));
        let pairs = pairs.map(|pair| match pair.key {
            "sig" => "sig=REDACTED".to_owned(),
            "a b" => format!("a%20b={}", pair.value),
            key => format!("{key}={}", pair.value),
        });
        let pairs: Vec<String> = pairs.collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    fn origin(&self, treatment: &Referer) -> Option<String> {
        let (word, path) = match &self.came {
            Came::Nowhere => return None,
            Came::Own { path } => ("self".to_owned(), Some(path)),
            Came::Internal(_) => ("internal".to_owned(), None),
            Came::Other(_) => ("other".to_owned(), None),
            Came::Site { scheme, host, port, path } => {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                (format!("{scheme}://{host}{port}"), Some(path))
            }
        };
        Some(match (treatment, path) {
            (Referer::Relation, _) if word != "self" && word != "internal" => "external".to_owned(),
            (Referer::Path { .. }, Some(path)) => format!("{word}/{path}"),
            _ => word,
        })
    }

    fn error(&self) -> Option<String> {
        let server = || (self.end.status >= 500).then(|| self.end.status.to_string());
        let complete = || self.end.code.clone().or_else(server);
        self.failure().map(str::to_owned).or_else(complete)
    }

    fn added(&self, name: &str, treatment: &AppTreatment) -> Expected {
        let Some((_, given)) = self.app.iter().find(|(known, _)| *known == name) else {
            return Expected::Absent;
        };
        match treatment {
            AppTreatment::Pseudonymize => Expected::Fits(is_pseudonym),
            AppTreatment::Allow(allow) => {
                let plain = given.plain();
                Expected::Is(json!(if allow.contains(&plain) {
                    plain
                } else {
                    "_OTHER".to_owned()
                }))
            }
            _ => Expected::Is(match given {
                Given::Text(text) => json!(
                    text.replace('\\', "\\\\")
                        .replace('\u{202e}', "\\u{202e}")
                        .replace('\u{1b}', "\\u{1b}")
                ),
                Given::Number(number) => json!(number),
                Given::Float(number) => json!(number),
                Given::Truth(truth) => json!(truth),
            }),
        }
    }
}

impl Given {
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

fn millis(precision: Duration) -> u64 {
    u64::try_from(precision.as_millis()).expect("at most a day")
}

fn round_up(bytes: usize, round: u64) -> u64 {
    u64::try_from(bytes).expect("small").next_multiple_of(round)
}

fn reduced(client: IpAddr, address: &Address) -> IpAddr {
    match address {
        Address::Truncate { ipv4, ipv6, .. } => prefix(client, *ipv4, *ipv6),
        _ => client,
    }
}

pub fn prefix(client: IpAddr, ipv4: u8, ipv6: u8) -> IpAddr {
    match client {
        IpAddr::V4(address) => {
            Ipv4Addr::from(u32::from(address) >> (32 - ipv4) << (32 - ipv4)).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from(u128::from(address) >> (128 - ipv6) << (128 - ipv6)).into()
        }
    }
}

fn is_timestamp(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z'))
}

fn is_pseudonym(value: &Value) -> bool {
    let parts = value.as_str().and_then(|text| text.split_once('.'));
    parts.is_some_and(|(epoch, hash)| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        epoch.parse::<u32>().is_ok() && hash.len() == 32 && hash.bytes().all(hex)
    })
}
