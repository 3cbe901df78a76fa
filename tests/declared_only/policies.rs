//! Random policies, and what each of them declares in the test's own words.

use std::time::Duration;

use tower_privacy_log::{
    Address, AppTreatment, Field, LegalBasis, Log, Path, Policy, Purpose, Referer, Signal, Status,
};

/// Random bytes as a row of decisions, so that proptest shrinks towards the first choices.
pub struct Dice<'d> {
    bytes: &'d [u8],
    at: usize,
}

impl<'d> Dice<'d> {
    pub fn new(bytes: &'d [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A number below `most`; zero when all bytes are used up.
    pub fn roll(&mut self, most: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % most
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())].clone()
    }

    pub fn coin(&mut self) -> bool {
        self.roll(2) == 1
    }
}

/// What one policy declares.
#[derive(Debug)]
pub struct Declared {
    pub forwarded: bool,
    pub logs: Vec<DeclaredLog>,
}

#[derive(Debug)]
pub struct DeclaredLog {
    pub name: &'static str,
    pub consent: bool,
    pub gpc: bool,
    pub fields: Vec<Field>,
    pub app: Vec<(&'static str, AppTreatment)>,
}

pub const LOGS: [&str; 3] = ["access", "usage-1", "audit"];
pub const APP: [&str; 6] =
    ["generation.model", "user.hash", "cart.size", "Flag-On", "ratio", "plan.name"];
pub const HOSTS: [&str; 2] = ["app.example.com", "shop.example.com"];
pub const TRUSTED: &str = "10.0.0.0/8";
const FIELDS: usize = 23;

impl Declared {
    /// `steady` leaves out what the clock decides: a policy for comparing two exchanges.
    pub fn random(dice: &mut Dice<'_>, steady: bool) -> Self {
        let forwarded = dice.coin();
        let count = 1 + dice.roll(3);
        let logs = LOGS.iter().take(count).map(|name| DeclaredLog::random(name, dice, steady));
        Self { forwarded, logs: logs.collect() }
    }

    pub fn policy(&self) -> Policy {
        let mut builder = Policy::builder().id("canary-1");
        if self.forwarded {
            builder = builder.client_source("x-forwarded-for").trusted_proxy(TRUSTED);
        }
        for log in &self.logs {
            builder = builder.log(log.log());
        }
        builder.build().expect("the test builds valid policies")
    }

    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.logs.iter().flat_map(|log| &log.fields)
    }
}

/// One of 256 sets of names: a call-site lives as long as the process, so that thousands of sets
/// would test how long a list of call-sites can be.
struct Names {
    random: u64,
    share: u64,
}

impl Names {
    fn number(set: usize) -> Self {
        let set = u64::try_from(set).expect("below 256");
        Self { random: set, share: 1 + set % 4 }
    }

    fn have(&mut self) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33 & 3 < self.share
    }
}

impl DeclaredLog {
    fn random(name: &'static str, dice: &mut Dice<'_>, steady: bool) -> Self {
        let mut names = Names::number(dice.roll(256));
        let mut fields: Vec<Field> = Vec::new();
        for number in 0..FIELDS {
            if names.have() {
                fields.push(field(number, dice, steady));
            }
        }
        let mut app = Vec::new();
        for name in APP {
            if names.have() {
                app.push((name, app_treatment(dice)));
            }
        }
        if fields.is_empty() && app.is_empty() {
            fields.push(Field::RequestMethod);
        }
        Self { name, consent: dice.roll(4) == 3, gpc: dice.roll(4) == 3, fields, app }
    }

    fn log(&self) -> Log {
        let basis = if self.consent { LegalBasis::Consent } else { LegalBasis::Contract };
        let mut log = Log::new(self.name)
            .purpose(Purpose::ServiceMonitoring)
            .legal_basis(basis)
            .retention(Duration::from_secs(86_400));
        if self.gpc {
            log = log.respect(Signal::SecGpc);
        }
        for field in &self.fields {
            log = log.field(field.clone());
        }
        for (name, treatment) in &self.app {
            log = log.app_field(*name, treatment.clone());
        }
        log
    }
}

pub fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn app_treatment(dice: &mut Dice<'_>) -> AppTreatment {
    match dice.roll(3) {
        0 => AppTreatment::Allow(list(&["basic", "7", "true"])),
        1 => AppTreatment::Pseudonymize,
        _ => AppTreatment::Keep,
    }
}

fn precision(dice: &mut Dice<'_>, steady: bool) -> Duration {
    let day = 86_400_000;
    Duration::from_millis(if steady { day } else { dice.pick(&[day, 3_600_000, 1000, 100, 1]) })
}

fn field(number: usize, dice: &mut Dice<'_>, steady: bool) -> Field {
    let accept_risk = "the test wants to see it".to_owned();
    match number {
        0 => Field::RequestMethod,
        1 => Field::Timestamp { precision: precision(dice, steady) },
        2 => Field::ClientAddress(match dice.roll(4) {
            0 => Address::Truncate { ipv4: 24, ipv6: 48, accept_risk: None },
            1 => Address::Truncate { ipv4: 8, ipv6: 33, accept_risk: None },
            2 => Address::Truncate { ipv4: 31, ipv6: 65, accept_risk: Some(accept_risk) },
            _ => Address::Keep { accept_risk },
        }),
        3 => Field::ClientPseudonym { ipv6: dice.pick(&[64, 48, 1]) },
        4 => Field::Route,
        5 => Field::UrlPath(match dice.roll(4) {
            0 => Path::Keep { accept_risk },
            depth => Path::Depth(u8::try_from(depth).unwrap()),
        }),
        6 => Field::UrlQuery {
            allow: dice.pick(&[
                list(&["page"]),
                list(&["q", "page"]),
                list(&["sig", "page"]),
                list(&["a b"]),
            ]),
        },
        7 => Field::UrlScheme,
        8 => Field::ProtocolVersion,
        9 => Field::ServerAddress { allow: dice.pick(&[list(&HOSTS), list(&HOSTS[..1])]) },
        10 => Field::StatusCode(dice.pick(&[Status::Keep, Status::Class])),
        11 => Field::Referer(dice.pick(&[
            Referer::Origin,
            Referer::Relation,
            Referer::Path { accept_risk },
        ])),
        12 => Field::UserAgentName,
        13 => Field::UserAgentVersion,
        14 => Field::UserAgentOs,
        15 => Field::DeviceType,
        16 => Field::UserAgentOriginal { accept_risk },
        17 => Field::BrowserLanguage { allow: list(&["de", "en"]) },
        18 => Field::RequestDuration { precision: precision(dice, steady) },
        19 => Field::RequestBodySize { round: dice.pick(&[1024, 100, 1]) },
        20 => Field::ResponseBodySize { round: dice.pick(&[1024, 100, 1]) },
        21 => Field::GrpcStatus,
        _ => Field::ErrorType,
    }
}

/// The catalogue's names once more, from the documentation.
pub fn name(field: &Field) -> &'static str {
    match field {
        Field::Timestamp { .. } => "timestamp",
        Field::ClientAddress(_) => "client.address",
        Field::ClientPseudonym { .. } => "client.pseudonym",
        Field::RequestMethod => "http.request.method",
        Field::Route => "http.route",
        Field::UrlPath(_) => "url.path",
        Field::UrlQuery { .. } => "url.query",
        Field::UrlScheme => "url.scheme",
        Field::ProtocolVersion => "network.protocol.version",
        Field::ServerAddress { .. } => "server.address",
        Field::StatusCode(_) => "http.response.status_code",
        Field::Referer(_) => "http.request.header.referer",
        Field::UserAgentName => "user_agent.name",
        Field::UserAgentVersion => "user_agent.version",
        Field::UserAgentOs => "user_agent.os.name",
        Field::DeviceType => "device.type",
        Field::UserAgentOriginal { .. } => "user_agent.original",
        Field::BrowserLanguage { .. } => "browser.language",
        Field::RequestDuration { .. } => "http.server.request.duration",
        Field::RequestBodySize { .. } => "http.request.body.size",
        Field::ResponseBodySize { .. } => "http.response.body.size",
        Field::GrpcStatus => "rpc.grpc.status_code",
        Field::ErrorType => "error.type",
        _ => unreachable!("a field that this test does not know"),
    }
}
