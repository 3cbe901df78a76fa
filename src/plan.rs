//! A policy compiled for the request path: what to capture, how to reduce it, where it goes.
//!
//! A reduction that several logs share is done once. An undeclared field has no step and no
//! slot, so it costs nothing and cannot be written.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use http::HeaderName;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level, dispatcher};

use crate::app::{AppValue, FieldValue};
use crate::client::{Clients, Nat64, Source, Unknown};
use crate::error::Error;
use crate::event::{Site, outside_spans};
use crate::field::{Address, AppTreatment, Field, Path, Referer, Status};
use crate::fixed::Fixed;
use crate::host::Hosts;
use crate::json::Key;
use crate::key_error::KeyError;
use crate::keys::{Current, Keys};
use crate::language::Languages;
use crate::policy::{
    ClientSource, Declaration, Keys as Where, LegalBasis, Log, Policy, Signal, TrustedProxy,
};
use crate::pseudonym::Epoch;
use crate::text::Text;

pub(crate) struct Plan {
    pub(crate) reference: Box<str>,
    pub(crate) clients: Clients,
    pub(crate) client_header: Option<HeaderName>,
    pub(crate) keys: Option<Keys>,
    pub(crate) reductions: Box<[Reduction]>,
    pub(crate) app: Box<[AppField]>,
    pub(crate) logs: Box<[LogPlan]>,
    pub(crate) needs: Needs,
    pub(crate) dropped: AtomicU64,
    pub(crate) unknown: AtomicU64,
    warned: Mutex<Vec<u64>>,
}

/// What some log declares, so that the rest is not even looked at.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each part of a request")]
pub(crate) struct Needs {
    pub(crate) client: bool,
    pub(crate) host: bool,
    pub(crate) route: bool,
    pub(crate) scheme: bool,
    pub(crate) gpc: bool,
    pub(crate) consent: bool,
    pub(crate) device: bool,
    pub(crate) duration: bool,
    pub(crate) grpc: bool,
    pub(crate) request_size: bool,
    pub(crate) app: bool,
    pub(crate) app_pseudonym: bool,
}

pub(crate) struct LogPlan {
    pub(crate) name: Box<str>,
    pub(crate) consent: bool,
    pub(crate) respects_gpc: bool,
    /// Each value with its name.
    pub(crate) steps: Box<[(Step, Key)]>,
    /// How fine its timestamp is in milliseconds, if it has one.
    pub(crate) precision: Option<u64>,
    /// `log` and `policy` as every line has them.
    pub(crate) head: Box<[u8]>,
    pub(crate) calm: &'static Site,
    pub(crate) failed: &'static Site,
}

/// What a request is reduced to at its start.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reduction {
    Address { ipv4: u8, ipv6: u8 },
    Pseudonym { ipv6: u8 },
    Path(Path),
    Query(Vec<String>),
    Host(Hosts),
    Referer(Referer),
    UserAgent,
    Language(Languages),
}

/// One value of a record, in the order in which the event lists them.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Log,
    Policy,
    Timestamp,
    /// An index into the plan's reductions.
    Reduced(usize),
    /// An index into the plan's app fields.
    App(usize),
    Method,
    Route,
    Scheme,
    Version,
    Status(Status),
    AgentName,
    AgentVersion,
    AgentOs,
    DeviceType,
    /// Its precision in milliseconds.
    Duration(u32),
    RequestSize(u64),
    ResponseSize(u64),
    GrpcStatus,
    ErrorType,
}

pub(crate) struct AppField {
    name: Box<str>,
    treatment: AppTreatment,
    slots: Box<[usize]>,
}

impl Plan {
    pub(crate) fn new(policy: &Policy) -> Result<Self, Error> {
        let declaration = policy.declaration();
        let mut draft = Draft::default();
        let reference = policy.reference();
        let logs = declaration.logs.iter().map(|log| draft.log(log, &reference)).collect();
        let app = draft.app_fields();
        let keys = draft.needs_keys().then(|| keys(declaration)).transpose()?;
        if let Some(keys) = &keys {
            keys.turn_unasked(warn_of);
        }
        Ok(Self {
            reference: reference.into(),
            clients: clients(declaration),
            client_header: client_header(declaration),
            keys,
            reductions: draft.reductions.into(),
            app,
            logs,
            needs: draft.needs,
            dropped: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            warned: Mutex::default(),
        })
    }

    /// A bit for every log that somebody listens to.
    #[inline]
    pub(crate) fn listening(&self) -> u32 {
        if LevelFilter::current() == LevelFilter::OFF { 0 } else { self.asked() }
    }

    fn asked(&self) -> u32 {
        let wanted = |log: &LogPlan| log.calm.wanted() || log.failed.wanted();
        (0..).zip(&self.logs).filter(|(_, log)| wanted(log)).fold(0, |all, (at, _)| all | 1 << at)
    }

    /// The key of this moment. What the operator has to know about the keys is said here, once.
    pub(crate) fn epoch(&self, now: SystemTime) -> Option<Current> {
        let keys = self.keys.as_ref()?;
        keys.warning().iter().for_each(warn);
        keys.current(now)
    }

    /// Counts an address that could not be told; the reason says nothing of what was sent.
    pub(crate) fn count(&self, _: Unknown) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// The slots that an app field of this name fills.
    pub(crate) fn app_slots(&self, name: &str) -> &[usize] {
        let found = self.app.iter().find(|field| *field.name == *name);
        found.map_or(&[], |field| &field.slots)
    }

    /// Whether this undeclared name has not been warned of; remembers a bounded number.
    pub(crate) fn warns(&self, name: &str) -> bool {
        use std::hash::{BuildHasher, RandomState};
        static SEED: std::sync::OnceLock<RandomState> = std::sync::OnceLock::new();
        let hash = SEED.get_or_init(RandomState::new).hash_one(name);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let new = warned.len() < 64 && !warned.contains(&hash);
        if new {
            warned.push(hash);
        }
        new
    }
}

impl AppField {
    /// What may be kept of a value.
    pub(crate) fn reduce(&self, value: &FieldValue<'_>, epoch: Option<&Epoch>) -> AppValue {
        match &self.treatment {
            AppTreatment::Keep => keep(value),
            AppTreatment::Pseudonymize => match epoch {
                Some(epoch) => {
                    AppValue::Text(epoch.value(&self.name, plain(value).as_bytes()).written())
                }
                None => AppValue::Absent,
            },
            AppTreatment::Allow(allow) => {
                let value = plain(value);
                let listed = allow.iter().find(|listed| **listed == *value);
                AppValue::Text(listed.map_or(Text::fixed(Fixed::OTHER), |listed| Text::new(listed)))
            }
        }
    }
}

fn keep(value: &FieldValue<'_>) -> AppValue {
    match value {
        FieldValue::Text(text) => AppValue::Text(Text::new(text)),
        FieldValue::Signed(number) => AppValue::Signed(*number),
        FieldValue::Unsigned(number) => AppValue::Unsigned(*number),
        FieldValue::Float(number) if number.is_finite() => AppValue::Float(*number),
        FieldValue::Float(_) => AppValue::Absent,
        FieldValue::Truth(truth) => AppValue::Truth(*truth),
    }
}

/// A value as text, for comparing and hashing.
fn plain<'v>(value: &'v FieldValue<'_>) -> std::borrow::Cow<'v, str> {
    match value {
        FieldValue::Text(text) => text.as_ref().into(),
        FieldValue::Signed(number) => number.to_string().into(),
        FieldValue::Unsigned(number) => number.to_string().into(),
        FieldValue::Float(number) => number.to_string().into(),
        FieldValue::Truth(truth) => truth.to_string().into(),
    }
}

/// What the logs share, while they are compiled one after the other.
#[derive(Default)]
struct Draft {
    reductions: Vec<Reduction>,
    app: Vec<(String, AppTreatment)>,
    needs: Needs,
}

impl Draft {
    fn log(&mut self, log: &Log, reference: &str) -> LogPlan {
        let consent = log.legal_basis == Some(LegalBasis::Consent);
        let respects_gpc = log.respect.contains(&Signal::SecGpc);
        self.needs.consent |= consent;
        self.needs.gpc |= respects_gpc;
        let mut names = vec!["log", "policy"];
        let mut steps = vec![Step::Log, Step::Policy];
        for field in &log.fields {
            let step = self.step(field);
            let first = matches!(step, Step::Timestamp);
            let at = if first { 0 } else { steps.len() };
            names.insert(at, field.name().as_str());
            steps.insert(at, step);
        }
        for (name, treatment) in &log.app_fields {
            names.push(name);
            steps.push(Step::App(self.app(name, treatment)));
        }
        LogPlan {
            name: log.name.as_str().into(),
            consent,
            respects_gpc,
            steps: steps.into_iter().zip(names.iter().map(|name| Key::new(name))).collect(),
            precision: log.fields.iter().find_map(precision),
            head: head(&log.name, reference),
            calm: Site::intern(&log.name, Level::INFO, &names),
            failed: Site::intern(&log.name, Level::ERROR, &names),
        }
    }

    fn step(&mut self, field: &Field) -> Step {
        match field {
            Field::Timestamp { .. } => Step::Timestamp,
            Field::ClientAddress(Address::Truncate { ipv4, ipv6, .. }) => {
                self.client(Reduction::Address { ipv4: *ipv4, ipv6: *ipv6 })
            }
            Field::ClientAddress(Address::Keep { .. }) => {
                self.client(Reduction::Address { ipv4: 32, ipv6: 128 })
            }
            Field::ClientPseudonym { ipv6 } => self.client(Reduction::Pseudonym { ipv6: *ipv6 }),
            Field::RequestMethod => Step::Method,
            Field::Route => {
                self.needs.route = true;
                Step::Route
            }
            Field::UrlPath(path) => self.reduced(Reduction::Path(path.clone())),
            Field::UrlQuery { allow } => self.reduced(Reduction::Query(allow.clone())),
            Field::UrlScheme => {
                self.needs.scheme = true;
                Step::Scheme
            }
            Field::ProtocolVersion => Step::Version,
            Field::ServerAddress { allow } => self.reduced(Reduction::Host(Hosts::new(allow))),
            Field::StatusCode(status) => Step::Status(*status),
            Field::Referer(referer) => self.reduced(Reduction::Referer(referer.clone())),
            Field::UserAgentName => self.device(Step::AgentName),
            Field::UserAgentVersion => self.device(Step::AgentVersion),
            Field::UserAgentOs => self.device(Step::AgentOs),
            Field::DeviceType => self.device(Step::DeviceType),
            Field::UserAgentOriginal { .. } => self.reduced(Reduction::UserAgent),
            Field::BrowserLanguage { allow } => {
                self.reduced(Reduction::Language(Languages::new(allow)))
            }
            Field::RequestDuration { precision } => {
                self.needs.duration = true;
                Step::Duration(u32::try_from(precision.as_millis()).unwrap_or(u32::MAX))
            }
            Field::RequestBodySize { round } => {
                self.needs.request_size = true;
                Step::RequestSize(*round)
            }
            Field::ResponseBodySize { round } => Step::ResponseSize(*round),
            Field::GrpcStatus => {
                self.needs.grpc = true;
                Step::GrpcStatus
            }
            Field::ErrorType => Step::ErrorType,
        }
    }

    fn client(&mut self, reduction: Reduction) -> Step {
        self.needs.client = true;
        self.reduced(reduction)
    }

    const fn device(&mut self, step: Step) -> Step {
        self.needs.device = true;
        step
    }

    fn reduced(&mut self, reduction: Reduction) -> Step {
        self.needs.host |= matches!(reduction, Reduction::Host(_) | Reduction::Referer(_));
        Step::Reduced(slot(&mut self.reductions, reduction))
    }

    fn app(&mut self, name: &str, treatment: &AppTreatment) -> usize {
        self.needs.app = true;
        self.needs.app_pseudonym |= *treatment == AppTreatment::Pseudonymize;
        slot(&mut self.app, (name.to_owned(), treatment.clone()))
    }

    fn app_fields(&mut self) -> Box<[AppField]> {
        let app = std::mem::take(&mut self.app);
        let slots = |wanted: &str| {
            let named = app.iter().enumerate().filter(|(_, (name, _))| name == wanted);
            named.map(|(at, _)| at).collect()
        };
        let field = |(name, treatment): &(String, AppTreatment)| AppField {
            name: name.as_str().into(),
            treatment: treatment.clone(),
            slots: slots(name),
        };
        app.iter().map(field).collect()
    }

    fn needs_keys(&self) -> bool {
        let pseudonym = |reduction: &Reduction| matches!(reduction, Reduction::Pseudonym { .. });
        self.needs.app_pseudonym || self.reductions.iter().any(pseudonym)
    }
}

fn precision(field: &Field) -> Option<u64> {
    let Field::Timestamp { precision } = field else { return None };
    u64::try_from(precision.as_millis()).ok()
}

/// Both are words that need no escape: a policy checks them.
fn head(log: &str, reference: &str) -> Box<[u8]> {
    format!(",\"log\":\"{log}\",\"policy\":\"{reference}\"").into_bytes().into()
}

/// Where an item stands in a list of different ones; it is added if it is new.
fn slot<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    let found = items.iter().position(|known| *known == item);
    found.unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

fn clients(declaration: &Declaration) -> Clients {
    let client = &declaration.client;
    let source = match client.source {
        ClientSource::Peer => Source::Peer,
        ClientSource::Header("x-forwarded-for") => Source::XForwardedFor,
        ClientSource::Header("forwarded") => Source::Forwarded,
        ClientSource::Header(_) => Source::Single,
    };
    let prefixes = client.trusted_proxies.iter().flat_map(TrustedProxy::prefixes);
    let nat64 = client.nat64_prefixes.iter().filter_map(|prefix| Nat64::new(*prefix));
    Clients::new(source, prefixes, nat64)
}

const fn client_header(declaration: &Declaration) -> Option<HeaderName> {
    match declaration.client.source {
        ClientSource::Peer => None,
        ClientSource::Header(name) => Some(HeaderName::from_static(name)),
    }
}

fn keys(declaration: &Declaration) -> Result<Keys, Error> {
    let pseudonyms = &declaration.pseudonyms;
    let (rotate, forget) = (pseudonyms.rotate, pseudonyms.forget);
    let now = SystemTime::now();
    match &pseudonyms.keys {
        Where::Memory => Keys::memory(rotate, now),
        Where::File(path) => Keys::file(path.as_ref(), rotate, forget, now),
        Where::Env(name) => Keys::env(name, rotate, forget, now),
    }
    .map_err(Error::keys)
}

/// Says what a process without requests would keep to itself; it waits until somebody listens.
fn warn_of(keys: &Keys) {
    if !dispatcher::get_default(Dispatch::is::<NoSubscriber>) {
        std::iter::from_fn(|| keys.warning()).for_each(|warning| warn(&warning));
    }
}

fn warn(warning: &KeyError) {
    outside_spans(|_| tracing::warn!(target: "tower_privacy_log", "{warning}"));
}
