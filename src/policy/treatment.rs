//! What may stand behind a field's name, and what it becomes.
//!
//! A treatment is a word (`"keep"`), a word with a reason (`{ keep = true, accept_risk = "…" }`)
//! or keys (`{ ipv4 = 24, ipv6 = 48 }`). What weakens privacy is refused without the reason, and
//! a reason without need. [`forms`] names every treatment; whatever is not there is refused.

use std::time::Duration;

use super::given::Given;
use super::node::Entry;
use super::problem::{nearest, quoted, unknown};
use super::read::Reader;
use crate::field::{Address, AppTreatment, Field, Name, Path, Referer, Status};
use crate::host::Host;

pub(super) const RISK: &str = "accept_risk";
const KEEP: &str = r#"{ keep = true, accept_risk = "…" }"#;
const PATH: &str = r#"{ path = true, accept_risk = "…" }"#;
const LONG: &str = "an address longer than /24 or /64";

/// One treatment: its word, the keys that go with it, and how they are read.
pub(super) struct Form {
    pub(super) word: &'static str,
    pub(super) keys: &'static [&'static str],
    read: fn(&Given<'_>, &mut Reader) -> Option<Field>,
}

impl Form {
    const fn new(
        word: &'static str,
        keys: &'static [&'static str],
        read: fn(&Given<'_>, &mut Reader) -> Option<Field>,
    ) -> Self {
        Self { word, keys, read }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.word == key || self.keys.contains(&key)
    }
}

/// A constant list of one field's treatments, of which the first is the field's own.
macro_rules! forms {
    ($($word:literal $keys:expr => $read:expr),+) => {
        const { &[$(Form::new($word, &$keys, $read)),+] }
    };
}

const fn forms(name: Name) -> &'static [Form] {
    match name {
        Name::Timestamp => forms!["precision" ["precision"] => timestamp],
        Name::ClientAddress => forms![
            "truncate" ["ipv4", "ipv6", RISK] => truncate,
            "keep" [RISK] => address
        ],
        Name::ClientPseudonym => forms!["pseudonymize" ["ipv6"] => pseudonym],
        Name::RequestMethod => forms!["keep" [] => |_, _| Some(Field::RequestMethod)],
        Name::Route => forms!["keep" [] => |_, _| Some(Field::Route)],
        Name::UrlPath => forms!["depth" ["depth"] => depth, "keep" [RISK] => path],
        Name::UrlQuery => forms!["allow" ["allow"] => query],
        Name::UrlScheme => forms!["keep" [] => |_, _| Some(Field::UrlScheme)],
        Name::ProtocolVersion => forms!["keep" [] => |_, _| Some(Field::ProtocolVersion)],
        Name::ServerAddress => forms!["allow" ["allow"] => host],
        Name::StatusCode => forms![
            "keep" [] => |_, _| Some(Field::StatusCode(Status::Keep)),
            "class" [] => |_, _| Some(Field::StatusCode(Status::Class))
        ],
        Name::Referer => forms![
            "origin" [] => |_, _| Some(Field::Referer(Referer::Origin)),
            "relation" [] => |_, _| Some(Field::Referer(Referer::Relation)),
            "path" [RISK] => referer
        ],
        Name::UserAgentName => forms!["keep" [] => |_, _| Some(Field::UserAgentName)],
        Name::UserAgentVersion => forms!["keep" [] => |_, _| Some(Field::UserAgentVersion)],
        Name::UserAgentOs => forms!["keep" [] => |_, _| Some(Field::UserAgentOs)],
        Name::DeviceType => forms!["keep" [] => |_, _| Some(Field::DeviceType)],
        Name::UserAgentOriginal => forms!["keep" [RISK] => user_agent],
        Name::BrowserLanguage => forms!["allow" ["allow"] => language],
        Name::RequestDuration => forms!["precision" ["precision"] => duration],
        Name::RequestBodySize => forms!["round" ["round"] => |given, reader| {
            given.round(reader).map(|round| Field::RequestBodySize { round })
        }],
        Name::ResponseBodySize => forms!["round" ["round"] => |given, reader| {
            given.round(reader).map(|round| Field::ResponseBodySize { round })
        }],
        Name::GrpcStatus => forms!["keep" [] => |_, _| Some(Field::GrpcStatus)],
        Name::ErrorType => forms!["keep" [] => |_, _| Some(Field::ErrorType)],
    }
}

fn timestamp(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let precision = given.precision(reader, Duration::from_secs(1))?;
    Some(Field::Timestamp { precision })
}

fn duration(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let precision = given.precision(reader, Duration::from_millis(1))?;
    Some(Field::RequestDuration { precision })
}

fn truncate(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let ipv4 = given.number(reader, "ipv4", 1..=32, 24);
    let ipv6 = given.number(reader, "ipv6", 1..=128, 48);
    let (ipv4, ipv6) = (u8::try_from(ipv4?).ok()?, u8::try_from(ipv6?).ok()?);
    let is_weak = ipv4 > 24 || ipv6 > 64;
    let accept_risk = match given.find(RISK) {
        Some(entry) if !is_weak => {
            let sentence = "is needed beyond /24 or /64 only; expected none";
            reader.problem(&entry.at, given.inner(RISK), sentence);
            return None;
        }
        None if !is_weak => None,
        _ => Some(given.accept_risk(reader, LONG, "accept_risk = \"…\" beside it")?),
    };
    Some(Field::ClientAddress(Address::Truncate { ipv4, ipv6, accept_risk }))
}

fn address(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let accept_risk = given.accept_risk(reader, "the whole address", KEEP)?;
    Some(Field::ClientAddress(Address::Keep { accept_risk }))
}

fn pseudonym(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let ipv6 = given.number(reader, "ipv6", 1..=64, 64)?;
    Some(Field::ClientPseudonym { ipv6: u8::try_from(ipv6).ok()? })
}

fn depth(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let entry = given.needed(reader, "depth")?;
    let depth = given.ranged(reader, entry, 1..=16)?;
    Some(Field::UrlPath(Path::Depth(u8::try_from(depth).ok()?)))
}

fn path(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let accept_risk = given.accept_risk(reader, "the whole path", KEEP)?;
    Some(Field::UrlPath(Path::Keep { accept_risk }))
}

fn referer(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let accept_risk = given.accept_risk(reader, "a referrer's path", PATH)?;
    Some(Field::Referer(Referer::Path { accept_risk }))
}

fn user_agent(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let accept_risk = given.accept_risk(reader, "the whole header", KEEP)?;
    Some(Field::UserAgentOriginal { accept_risk })
}

fn query(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let is_key = |key: &str| !key.chars().any(char::is_control);
    let allow = given.allow(reader, is_key, "a query key such as \"page\"")?;
    Some(Field::UrlQuery { allow })
}

fn host(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let expected = "a host in lower case without port, such as \"example.com\"";
    Some(Field::ServerAddress { allow: given.allow(reader, is_host, expected)? })
}

fn is_host(host: &str) -> bool {
    let fits = |c: char| {
        c.is_ascii_lowercase()
            || c.is_ascii_digit()
            || matches!(c, '.' | '-' | '_' | ':' | '[' | ']')
    };
    host.chars().all(fits) && !host.ends_with('.') && Host::parse(host).is_some()
}

fn language(given: &Given<'_>, reader: &mut Reader) -> Option<Field> {
    let is_language = |tag: &str| {
        (2..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let expected = "a language in lower case without region, such as \"en\"";
    Some(Field::BrowserLanguage { allow: given.allow(reader, is_language, expected)? })
}

/// The field that a catalogue name with its treatment declares.
pub(super) fn field(reader: &mut Reader, path: String, entry: &Entry, name: Name) -> Option<Field> {
    let forms = forms(name);
    let given = Given::new(reader, path, entry, name.treatments())?;
    let form = given.form(reader, forms)?;
    given.only(reader, forms, form)?;
    (form.read)(&given, reader)
}

pub(super) fn app_field(reader: &mut Reader, path: String, entry: &Entry) -> Option<AppTreatment> {
    const WORDS: [&str; 2] = ["keep", "pseudonymize"];
    let given = Given::new(reader, path, entry, APP_TREATMENTS)?;
    if let Some(word) = given.word {
        let nearest = nearest(word, WORDS);
        let sentence = match word {
            "keep" => return Some(AppTreatment::Keep),
            "pseudonymize" => return Some(AppTreatment::Pseudonymize),
            _ => unknown(&format!("treatment {}", quoted(word)), nearest, APP_TREATMENTS),
        };
        reader.problem(&entry.node.at, given.path, sentence);
        return None;
    }
    let form = Form::new("allow", &["allow"], |_, _| None);
    given.only(reader, std::slice::from_ref(&form), &form)?;
    given.allow(reader, |_| true, "a value").map(AppTreatment::Allow)
}

const APP_TREATMENTS: &str = r#""keep", "pseudonymize" or { allow = ["…"] }"#;
