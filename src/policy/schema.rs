//! A JSON Schema of the policy, for editors: it completes keys and words and marks mistakes early.
//!
//! Everything that the reader takes is valid under it, and what it can judge it refuses as the
//! reader does; the reader alone decides. It cannot compare two values (`forget` with `rotate`),
//! nor tell two spellings of one thing. Nothing here is used while requests are served.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::declaration::SOURCES;
use super::fields::RESERVED;
use super::log::{MOST_LOGS, TAKEN};
use super::{LegalBasis, Policy, Purpose, Signal, duration};
use crate::field::{Field, Name};
use crate::presets::Preset;

const DAY: Duration = Duration::from_secs(86_400);

impl JsonSchema for Policy {
    fn schema_name() -> Cow<'static, str> {
        "Policy".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Policy").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What may be logged, why, and for how long (tower-privacy-log)",
            "type": "object",
            "required": ["policy", "log"],
            "additionalProperties": false,
            "properties": {
                "policy": {
                    "description": "The policy's name; every record carries it with a short digest",
                    "type": "string",
                    "pattern": "^[A-Za-z0-9._-]{1,64}$",
                },
                "controller": controller(),
                "client": client(),
                "pseudonyms": pseudonyms(),
                "log": {
                    "description": "Streams of records, each with one purpose, legal basis and retention",
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": MOST_LOGS,
                    "propertyNames": { "pattern": "^[a-z][a-z0-9_-]{0,31}$", "not": { "const": TAKEN } },
                    "additionalProperties": log(),
                },
            },
        })
    }
}

fn controller() -> Schema {
    json_schema!({
        "description": "Who is responsible, and how to reach them",
        "type": "object",
        "required": ["name", "contact"],
        "additionalProperties": false,
        "properties": { "name": said("The controller's name"), "contact": said("A way to reach them") },
    })
}

fn client() -> Schema {
    let sources: Vec<&str> = std::iter::once("peer").chain(SOURCES).collect();
    json_schema!({
        "description": "Whose address is the client's",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "source": {
                "description": "The connection's peer, or the header that trusted proxies fill",
                "enum": sources,
                "default": "peer",
            },
            "trusted_proxies": list("Proxies whose header is believed; none by default", &json_schema!({
                "anyOf": [
                    { "enum": Preset::WORDS },
                    { "type": "string", "pattern": IPV4 },
                    { "type": "string", "pattern": format!("{IPV6}(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$") },
                ],
            })),
            "nat64_prefixes": list("The operator's NAT64 prefixes (RFC 6052)", &json_schema!({
                "type": "string",
                "pattern": format!("{IPV6}/(32|40|48|56|64|96)$"),
            })),
        },
    })
}

const IPV4: &str = concat!(
    r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}",
    r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(/(3[0-2]|[12]?[0-9]))?$"
);
/// Every address, and much that is none.
const IPV6: &str = "^[0-9A-Fa-f]{0,4}:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*";

fn pseudonyms() -> Schema {
    json_schema!({
        "description": "The keys under which pseudonyms are hashed",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "keys": {
                "description": "Where the keys are; a key itself never stands in a policy",
                "default": "memory",
                "anyOf": [
                    { "const": "memory" },
                    only("file", &json_schema!({
                        "type": "string",
                        "pattern": r"\S",
                        "not": { "pattern": r"^\s*[0-9A-Fa-f]{64}\s*$" },
                    })),
                    only("env", &json_schema!({
                        "type": "string",
                        "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
                        "not": { "pattern": "[A-Za-z0-9]{32}" },
                    })),
                ],
            },
            "rotate": seconds("How long one key is used", "1d"),
            "forget": seconds("After this a key cannot be recovered; at least `rotate`", "7d"),
        },
    })
}

fn log() -> Schema {
    json_schema!({
        "type": "object",
        "required": ["purpose", "legal_basis", "retention"],
        "additionalProperties": false,
        "properties": {
            "purpose": words("Why the lines are kept", Purpose::WORDS, 1),
            "legal_basis": {
                "description": "The ground in GDPR Art. 6(1)",
                "enum": LegalBasis::WORDS,
            },
            "interest": said("The interest pursued, with \"legitimate-interests\""),
            "retention": {
                "description": "How long a line may exist, such as \"30d\"",
                "type": "string",
                "pattern": lasting(duration::LONGEST),
            },
            "recipients": list("Who receives the lines", &said("A recipient")),
            "respect": words("Signals that keep a request out of this log", Signal::WORDS, 0),
            "fields": fields(),
            "app_fields": app_fields(),
        },
        "anyOf": [
            { "required": ["fields"], "properties": { "fields": { "minProperties": 1 } } },
            { "required": ["app_fields"], "properties": { "app_fields": { "minProperties": 1 } } },
        ],
        "if": {
            "required": ["legal_basis"],
            "properties": { "legal_basis": { "const": "legitimate-interests" } },
        },
        "then": { "required": ["interest"] },
        "else": { "properties": { "interest": false } },
    })
}

fn fields() -> Schema {
    let mut properties = Schema::default();
    for name in Name::ALL {
        let mut field = treatments(name);
        let description = format!("{}. Expected {}", name.meaning(), name.treatments());
        field.insert("description".to_owned(), description.into());
        properties.insert(name.as_str().to_owned(), field.to_value());
    }
    json_schema!({
        "description": "What a record of this log says; nothing else is written",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn app_fields() -> Schema {
    json_schema!({
        "description": "What handlers may add through LogFields; anything else they add is dropped",
        "type": "object",
        "propertyNames": {
            "pattern": "^[A-Za-z][A-Za-z0-9._-]{0,63}$",
            "not": { "anyOf": [{ "enum": Field::NAMES }, { "enum": RESERVED }] },
        },
        "additionalProperties": {
            "anyOf": [{ "enum": ["keep", "pseudonymize"] }, allow("")],
        },
    })
}

/// What may stand behind a field's name: what `treatment::forms` reads.
fn treatments(name: Name) -> Schema {
    match name {
        Name::Timestamp | Name::RequestDuration => {
            let precision = json_schema!({ "type": "string", "pattern": lasting(DAY) });
            any(&["precision"], &[only("precision", &precision)])
        }
        Name::ClientAddress => any(&["truncate"], &[truncate(), long(), at_risk("keep")]),
        Name::ClientPseudonym => any(&["pseudonymize"], &[pseudonymize()]),
        Name::UrlPath => any(&[], &[only("depth", &whole(1, 16)), at_risk("keep")]),
        Name::UrlQuery => any(&[], &[allow(r"^[^\u0000-\u001f\u007f-\u009f]*$")]),
        Name::ServerAddress => any(&[], &[allow(r"^[a-z0-9._:\[\]-]*[a-z0-9_:\]-]$")]),
        Name::StatusCode => any(&["keep", "class"], &[meant("keep"), meant("class")]),
        Name::Referer => {
            any(&["origin", "relation"], &[meant("origin"), meant("relation"), at_risk("path")])
        }
        Name::UserAgentOriginal => any(&[], &[at_risk("keep")]),
        Name::BrowserLanguage => any(&[], &[allow("^[a-z]{2,8}$")]),
        Name::RequestBodySize | Name::ResponseBodySize => {
            any(&["round"], &[only("round", &whole(1, 1 << 40))])
        }
        Name::RequestMethod
        | Name::Route
        | Name::UrlScheme
        | Name::ProtocolVersion
        | Name::UserAgentName
        | Name::UserAgentVersion
        | Name::UserAgentOs
        | Name::DeviceType
        | Name::GrpcStatus
        | Name::ErrorType => any(&["keep"], &[meant("keep")]),
    }
}

fn truncate() -> Schema {
    let prefixes = json_schema!({
        "truncate": { "const": true },
        "ipv4": whole(1, 24),
        "ipv6": whole(1, 64),
    });
    table(&[], &prefixes)
}

/// Longer than /24 or /64, which needs the reason.
fn long() -> Schema {
    let prefixes = json_schema!({
        "truncate": { "const": true },
        "ipv4": whole(1, 32),
        "ipv6": whole(1, 128),
        "accept_risk": said(RISK),
    });
    let mut table = table(&["accept_risk"], &prefixes);
    let long = json_schema!({ "anyOf": [
        { "required": ["ipv4"], "properties": { "ipv4": { "minimum": 25 } } },
        { "required": ["ipv6"], "properties": { "ipv6": { "minimum": 65 } } },
    ]});
    table.ensure_object().extend(long.as_object().cloned().unwrap_or_default());
    table
}

const RISK: &str = "Why the risk is accepted; stands in the record of processing";

fn pseudonymize() -> Schema {
    table(&[], &json_schema!({ "pseudonymize": { "const": true }, "ipv6": whole(1, 64) }))
}

fn any(words: &[&str], tables: &[Schema]) -> Schema {
    let words = (!words.is_empty()).then(|| json_schema!({ "enum": words }));
    let choices: Vec<Schema> = words.into_iter().chain(tables.iter().cloned()).collect();
    json_schema!({ "anyOf": choices })
}

fn table(required: &[&str], properties: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn only(key: &str, value: &Schema) -> Schema {
    table(&[key], &json_schema!({ key: value }))
}

fn meant(word: &str) -> Schema {
    only(word, &json_schema!({ "const": true }))
}

fn at_risk(word: &str) -> Schema {
    table(
        &[word, "accept_risk"],
        &json_schema!({ word: { "const": true }, "accept_risk": said(RISK) }),
    )
}

fn allow(pattern: &str) -> Schema {
    only(
        "allow",
        &json_schema!({
            "type": "array",
            "minItems": 1,
            "uniqueItems": true,
            "items": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": pattern },
        }),
    )
}

fn list(description: &str, items: &Schema) -> Schema {
    json_schema!({
        "description": description, "type": "array", "uniqueItems": true, "items": items,
    })
}

fn words(description: &str, words: &[&str], least: u32) -> Schema {
    json_schema!({
        "description": description,
        "type": "array",
        "minItems": least,
        "uniqueItems": true,
        "items": { "enum": words },
    })
}

fn said(description: &str) -> Schema {
    json_schema!({ "description": description, "type": "string", "pattern": r"\S" })
}

fn whole(least: u64, most: u64) -> Schema {
    json_schema!({ "type": "integer", "minimum": least, "maximum": most })
}

/// Whole seconds, at least one.
fn seconds(description: &str, default: &str) -> Schema {
    let most = duration::LONGEST.as_secs().into();
    let units = [units(duration::LONGEST, &UNITS[1..]), vec![format!("({})000ms", up_to(most))]];
    json_schema!({
        "description": description,
        "type": "string",
        "pattern": format!("^0*({})$", units.concat().join("|")),
        "default": default,
    })
}

const UNITS: [&str; 6] = ["ms", "s", "m", "h", "d", "w"];

fn lasting(longest: Duration) -> String {
    format!("^0*({})$", units(longest, &UNITS).join("|"))
}

/// For every unit a pattern of the numbers from 1 that do not exceed `longest`.
fn units(longest: Duration, units: &[&str]) -> Vec<String> {
    let numbers = |unit: &&str| {
        let one = duration::parse(&format!("1{unit}"))?;
        let most = longest.as_millis() / one.as_millis();
        (most > 0).then(|| format!("({}){unit}", up_to(most)))
    };
    units.iter().filter_map(numbers).collect()
}

/// The numbers from 1 to `most`, without leading zeros: by the first digit that is smaller.
fn up_to(most: u128) -> String {
    let digits = most.to_string();
    let mut choices = vec![digits.clone()];
    for (at, digit) in digits.char_indices() {
        let least = if at == 0 { '1' } else { '0' };
        let (same, behind) = (&digits[..at], digits.len() - at - 1);
        if let Some(below) = char::from_u32(u32::from(digit) - 1).filter(|below| *below >= least) {
            choices.push(format!("{same}[{least}-{below}]{}", any_digits(behind, behind)));
        }
    }
    if digits.len() > 1 {
        choices.push(format!("[1-9]{}", any_digits(0, digits.len() - 2)));
    }
    choices.join("|")
}

fn any_digits(least: usize, most: usize) -> String {
    match (least, most) {
        (_, 0) => String::new(),
        (1, 1) => "[0-9]".to_owned(),
        (least, most) if least == most => format!("[0-9]{{{most}}}"),
        (least, most) => format!("[0-9]{{{least},{most}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_up_to_the_most_are_told_by_their_digits() {
        assert_eq!(up_to(1), "1");
        assert_eq!(up_to(24), "24|[1-1][0-9]|2[0-3]|[1-9]");
        assert_eq!(
            up_to(5214),
            "5214|[1-4][0-9]{3}|5[0-1][0-9]{2}|52[0-0][0-9]|521[0-3]|[1-9][0-9]{0,2}"
        );
    }
}
