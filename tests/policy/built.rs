//! The builder says everything that TOML says, and its mistakes have a key instead of a line.

use std::time::Duration;

use tower_privacy_log::{
    Address, AppTreatment, Builder, Field, Keys, LegalBasis, Log, Path, Policy, Purpose, Referer,
    Signal, Status,
};

use crate::{SECRET, good, hex, parsed};

const DAY: Duration = Duration::from_secs(86_400);

fn because(interest: &str) -> LegalBasis {
    LegalBasis::LegitimateInterests { interest: interest.to_owned() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn built_design() -> Builder {
    let access = Log::new("access")
        .purpose(Purpose::Security)
        .purpose(Purpose::FraudPrevention)
        .legal_basis(because("keeping the service available and secure"))
        .retention(30 * DAY)
        .recipient("Cloudflare (hosting)")
        .field(Field::Timestamp { precision: Duration::from_secs(1) })
        .field(Field::ClientPseudonym { ipv6: 64 })
        .field(Field::RequestMethod)
        .field(Field::Route)
        .field(Field::StatusCode(Status::Keep))
        .field(Field::Referer(Referer::Origin))
        .field(Field::ErrorType)
        .app_field("generation.model", AppTreatment::Keep)
        .app_field("user.hash", AppTreatment::Pseudonymize);
    let usage = Log::new("usage")
        .purpose(Purpose::UsageAnalytics)
        .legal_basis(LegalBasis::Consent)
        .respect(Signal::SecGpc)
        .retention(90 * DAY)
        .field(Field::Timestamp { precision: DAY })
        .field(Field::Route)
        .field(Field::UserAgentName);
    Policy::builder()
        .id("imgs2-2025-01-01")
        .controller("imgs2", "privacy@imgs2.example")
        .client_source("cf-connecting-ip")
        .trusted_proxy("173.245.48.0/20")
        .trusted_proxy("2400:cb00::/32")
        .keys(Keys::Memory)
        .rotate(DAY)
        .forget(7 * DAY)
        .log(access)
        .log(usage)
}

fn built_everything() -> Builder {
    Policy::builder()
        .id("All.2026_01-31")
        .controller("Bücher & Co", "privacy@example.com")
        .client_source("x-forwarded-for")
        .trusted_proxy("2001:db8:1::1")
        .trusted_proxy("192.0.2.0/24")
        .trusted_proxy("198.51.100.7")
        .trusted_proxy("2001:db8::/32")
        .nat64_prefix("2001:db8:64::/96")
        .nat64_prefix("2001:db8:32::/48")
        .keys(Keys::File("/etc/shop/privacy.keys".to_owned()))
        .rotate(DAY / 2)
        .forget(2 * DAY)
        .log(everything_life())
        .log(everything_law())
        .log(everything_usage())
        .log(everything_paths())
        .log(everything_access())
}

fn everything_access() -> Log {
    let log = Log::new("access")
        .purpose(Purpose::Security)
        .purpose(Purpose::MisusePrevention)
        .purpose(Purpose::FraudPrevention)
        .legal_basis(because("keeping the service available and secure"))
        .retention(30 * DAY)
        .recipient("Example Hosting (hosting)")
        .recipient("Example Mail (alerts)")
        .respect(Signal::SecGpc)
        .app_field("generation.model", AppTreatment::Keep)
        .app_field("user.hash", AppTreatment::Pseudonymize)
        .app_field("user.plan", AppTreatment::Allow(words(&["free", "paid"])));
    everything_fields().into_iter().fold(log, Log::field)
}

fn everything_fields() -> Vec<Field> {
    vec![
        Field::ErrorType,
        Field::GrpcStatus,
        Field::ResponseBodySize { round: 4096 },
        Field::RequestBodySize { round: 512 },
        Field::RequestDuration { precision: Duration::from_millis(10) },
        Field::BrowserLanguage { allow: words(&["en", "de"]) },
        Field::UserAgentOriginal { accept_risk: "a bot is being hunted".to_owned() },
        Field::DeviceType,
        Field::UserAgentOs,
        Field::UserAgentVersion,
        Field::UserAgentName,
        Field::Referer(Referer::Path { accept_risk: "links to moved pages".to_owned() }),
        Field::StatusCode(Status::Keep),
        Field::ServerAddress { allow: words(&["example.com", "[2001:db8::1]", "192.0.2.1"]) },
        Field::ProtocolVersion,
        Field::UrlScheme,
        Field::UrlQuery { allow: words(&["page", "größe"]) },
        Field::UrlPath(Path::Depth(2)),
        Field::Route,
        Field::RequestMethod,
        Field::ClientPseudonym { ipv6: 56 },
        Field::ClientAddress(Address::Truncate {
            ipv4: 28,
            ipv6: 56,
            accept_risk: Some("abuse reports name /28 networks".to_owned()),
        }),
        Field::Timestamp { precision: Duration::from_millis(1) },
    ]
}

fn everything_paths() -> Log {
    let asked = "the network's operator asks for it".to_owned();
    let needed = "no route says enough".to_owned();
    Log::new("paths")
        .purpose(Purpose::ServiceProvision)
        .purpose(Purpose::ServiceMonitoring)
        .purpose(Purpose::Robustness)
        .legal_basis(LegalBasis::PublicTask)
        .retention(DAY * 3 / 2)
        .field(Field::Timestamp { precision: Duration::from_secs(1) })
        .field(Field::ClientAddress(Address::Keep { accept_risk: asked }))
        .field(Field::ClientPseudonym { ipv6: 64 })
        .field(Field::UrlPath(Path::Keep { accept_risk: needed }))
        .field(Field::StatusCode(Status::Class))
        .field(Field::Referer(Referer::Relation))
        .field(Field::RequestDuration { precision: Duration::from_millis(1) })
        .field(Field::RequestBodySize { round: 1024 })
}

fn everything_usage() -> Log {
    let address = Address::Truncate { ipv4: 24, ipv6: 48, accept_risk: None };
    Log::new("usage")
        .purpose(Purpose::UsageAnalytics)
        .purpose(Purpose::RightsFulfilment)
        .purpose(Purpose::LegalCompliance)
        .legal_basis(LegalBasis::Consent)
        .retention(Duration::from_millis(500))
        .field(Field::ClientAddress(address))
        .field(Field::Referer(Referer::Origin))
}

fn everything_law() -> Log {
    Log::new("law")
        .purpose(Purpose::LegalCompliance)
        .legal_basis(LegalBasis::LegalObligation)
        .retention(364 * DAY)
        .app_field("order.number", AppTreatment::Keep)
}

fn everything_life() -> Log {
    Log::new("life")
        .purpose(Purpose::Security)
        .legal_basis(LegalBasis::VitalInterests)
        .retention(DAY / 24)
        .field(Field::ErrorType)
}

fn minimal_log(name: &str) -> Log {
    Log::new(name)
        .purpose(Purpose::ServiceMonitoring)
        .legal_basis(LegalBasis::Contract)
        .retention(30 * DAY)
        .field(Field::Route)
}

fn built_minimal() -> Builder {
    Policy::builder().id("shop-1").log(minimal_log("access"))
}

#[test]
fn the_builder_says_everything_that_toml_says() {
    for (name, built) in [
        ("design", built_design()),
        ("everything", built_everything()),
        ("minimal", built_minimal()),
    ] {
        let built = built.build().unwrap();
        assert_eq!(built, parsed(&good(name)), "{name}");
        assert_eq!(hex(built.digest()), hex(parsed(&good(name)).digest()));
    }
    let keys = good("minimal") + "[pseudonyms]\nkeys = { env = \"SHOP_KEYS\" }\n";
    let built = built_minimal().keys(Keys::Env("SHOP_KEYS".to_owned())).build().unwrap();
    assert_eq!(built, parsed(&keys));
}

fn refused(built: Builder, sentence: &str) {
    assert_eq!(built.build().map_err(|error| error.to_string()), Err(sentence.to_owned()));
}

#[test]
fn the_builders_mistakes_have_a_key_and_no_line() {
    let nanoseconds = Duration::from_nanos(1500);
    for (built, sentence) in [
        (
            Policy::builder().log(minimal_log("access")),
            "policy: policy: is missing; expected for example policy = \"shop-2025-01-01\"",
        ),
        (
            Policy::builder().id("shop-1"),
            "policy: log: expected at least a log with a name, such as [log.access]",
        ),
        (
            built_minimal().id("shop 1"),
            "policy: policy: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -; found \"shop 1\"",
        ),
        (
            built_minimal().log(minimal_log("access")),
            "policy: log.access: is given twice; expected once",
        ),
        (
            built_minimal().log(minimal_log("Usage")),
            "policy: log.Usage: expected a log's name of 1 to 32 of the characters a-z 0-9 _ -, a letter first",
        ),
        (
            built_minimal().log(minimal_log("usage").purpose(Purpose::ServiceMonitoring)),
            "policy: log.usage.purpose: \"service-monitoring\" is listed twice; expected once",
        ),
        (
            built_minimal().log(minimal_log("usage").legal_basis(because(" "))),
            "policy: log.usage.interest: expected the interest pursued, found nothing",
        ),
        (
            built_minimal().log(minimal_log("usage").retention(nanoseconds)),
            "policy: log.usage.retention: expected a whole number above zero and ms, s, m, h, d or w in quotes, such as \"30d\"; found \"1500ns\"",
        ),
        (
            built_minimal().log(minimal_log("usage").recipient("")),
            "policy: log.usage.recipients: expected who receives the lines, found nothing",
        ),
        (
            built_minimal().log(
                Log::new("usage")
                    .purpose(Purpose::Security)
                    .legal_basis(LegalBasis::Contract)
                    .retention(DAY),
            ),
            "policy: log.usage.fields: expected at least one field",
        ),
        (
            built_minimal().controller("Shop", ""),
            "policy: controller.contact: expected a way to reach them, found nothing",
        ),
        (
            built_minimal().client_source("x-client"),
            "policy: client.source: unknown word \"x-client\"; expected \"peer\", \"x-forwarded-for\", \"forwarded\", \"cf-connecting-ip\", \"true-client-ip\", \"fly-client-ip\" or \"x-real-ip\"",
        ),
        (
            built_minimal().trusted_proxy("192.0.2.0/33"),
            "policy: client.trusted_proxies: expected an IPv4 prefix from /0 to /32; found \"192.0.2.0/33\"",
        ),
        (
            built_minimal().forget(DAY / 2),
            "policy: pseudonyms.forget: expected at least the time of rotate, \"1d\"; found \"12h\"",
        ),
        (
            built_minimal().rotate(Duration::from_millis(1500)),
            "policy: pseudonyms.rotate: expected whole seconds, at least \"1s\"; found \"1500ms\"",
        ),
    ] {
        refused(built, sentence);
    }
}

#[test]
fn the_builders_mistakes_in_fields_have_a_key_and_no_line() {
    let with =
        |field: Field| Policy::builder().id("shop-1").log(minimal_log("access").field(field));
    for (built, sentence) in [
        (
            with(Field::Route),
            "policy: log.access.fields.\"http.route\": is given twice; expected once",
        ),
        (
            with(Field::UrlPath(Path::Depth(0))),
            "policy: log.access.fields.\"url.path\".depth: expected a number from 1 to 16, found 0",
        ),
        (
            with(Field::UserAgentOriginal { accept_risk: String::new() }),
            "policy: log.access.fields.\"user_agent.original\".accept_risk: expected the reason for which the risk is accepted, found nothing",
        ),
        (
            with(Field::ClientAddress(Address::Truncate { ipv4: 32, ipv6: 48, accept_risk: None })),
            "policy: log.access.fields.\"client.address\": an address longer than /24 or /64 needs a written reason; expected accept_risk = \"…\" beside it",
        ),
        (
            with(Field::UrlQuery { allow: Vec::new() }),
            "policy: log.access.fields.\"url.query\".allow: expected at least a query key such as \"page\", found an empty list",
        ),
        (
            with(Field::RequestBodySize { round: u64::MAX }),
            "policy: log.access.fields.\"http.request.body.size\".round: expected a number from 1 to 1099511627776, found a number that is too large",
        ),
        (
            built_minimal().log(minimal_log("usage").app_field("http.route", AppTreatment::Keep)),
            "policy: log.usage.app_fields.\"http.route\": is a field of the catalogue; expected under fields",
        ),
        (
            built_minimal()
                .log(minimal_log("usage").app_field("a", AppTreatment::Allow(Vec::new()))),
            "policy: log.usage.app_fields.a.allow: expected at least a value, found an empty list",
        ),
        (
            built_minimal().keys(Keys::File(SECRET.to_owned())),
            "policy: pseudonyms.keys: expected \"memory\", { file = \"PATH\" } or { env = \"NAME\" }; a key itself never stands in a policy, so what was found is not shown",
        ),
    ] {
        refused(built, sentence);
    }
}
