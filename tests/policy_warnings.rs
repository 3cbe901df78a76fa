//! A policy that is valid and likely not meant gets warnings with key and reason, to the letter.
#![allow(clippy::panic, reason = "the tests are the application")]

use tower_privacy_log::Policy;

const LOG: &str = "purpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"1d\"\n";

fn warnings(client: &str, field: &str) -> Vec<String> {
    let text = format!(
        "policy = \"shop-1\"\n{client}\n[log.access]\n{LOG}[log.access.fields]\n\
         \"http.route\" = \"keep\"\n{field}\n"
    );
    text.parse::<Policy>().unwrap_or_else(|error| panic!("{error}\n{text}")).warnings()
}

#[test]
fn a_policy_that_is_meant_has_no_warning() {
    for client in [
        "",
        "[client]\nsource = \"peer\"",
        "[client]\nsource = \"forwarded\"\ntrusted_proxies = [\"2001:db8::/32\"]",
        "[client]\nsource = \"cf-connecting-ip\"\ntrusted_proxies = [\"cloudflare\"]",
        "[client]\nsource = \"x-real-ip\"\ntrusted_proxies = [\"64:ff9b::c000:200/120\"]",
        "[pseudonyms]\nkeys = \"memory\"\nrotate = \"1h\"",
    ] {
        assert_eq!(warnings(client, ""), [""; 0], "{client}");
    }
    let pseudonym = "\"client.pseudonym\" = \"pseudonymize\"";
    assert_eq!(warnings("[pseudonyms]\nkeys = { file = \"k\" }", pseudonym), [""; 0]);
    let app = "[log.access.app_fields]\n\"user.hash\" = \"pseudonymize\"";
    assert_eq!(warnings("[pseudonyms]\nkeys = { env = \"K\" }", app), [""; 0]);
}

#[test]
fn a_header_that_nobody_is_believed_in_is_warned_of() {
    for source in ["x-forwarded-for", "forwarded", "fly-client-ip"] {
        let expected = format!(
            "client.trusted_proxies: names no proxy, so the header {source} of client.source is never believed and the peer counts as the client"
        );
        assert_eq!(warnings(&format!("[client]\nsource = \"{source}\""), ""), [expected]);
    }
}

#[test]
fn proxies_without_a_header_are_warned_of() {
    let expected = "client.source: is \"peer\", so trusted_proxies has no effect and a proxy counts as the client; name the header that the proxies send";
    for client in
        ["trusted_proxies = [\"private\"]", "source = \"peer\"\ntrusted_proxies = [\"10.0.0.1\"]"]
    {
        assert_eq!(warnings(&format!("[client]\n{client}"), ""), [expected]);
    }
}

#[test]
fn a_prefix_that_is_left_out_is_warned_of() {
    for (nat64, prefix) in [
        ("", "2002::/16"),
        ("", "64:ff9b::/96"),
        ("", "2001:0:4136:e378::/64"),
        ("2001:db8:100::/40", "2001:db8:100::/40"),
    ] {
        let client = format!(
            "[client]\nsource = \"x-real-ip\"\ntrusted_proxies = [\"{prefix}\", \"10.0.0.1\"]\nnat64_prefixes = [{}]",
            if nat64.is_empty() { String::new() } else { format!("\"{nat64}\"") },
        );
        let expected = format!(
            "client.trusted_proxies: \"{prefix}\" embeds every IPv4 address and fixes no bit of one, so it is left out; name the proxy's own prefix"
        );
        assert_eq!(warnings(&client, ""), [expected]);
    }
    let alone = warnings("[client]\nsource = \"x-real-ip\"\ntrusted_proxies = [\"2002::/16\"]", "");
    assert_eq!(alone.len(), 2);
    assert!(alone[1].contains("names no proxy"), "{alone:?}");
}

#[test]
fn trust_in_everybody_is_warned_of() {
    for prefix in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
        let client = format!("[client]\nsource = \"x-real-ip\"\ntrusted_proxies = [\"{prefix}\"]");
        let prefix = if prefix == "::ffff:0:0/96" { "::ffff:0.0.0.0/96" } else { prefix };
        let expected = format!(
            "client.trusted_proxies: \"{prefix}\" trusts everybody, so any client can write its own address"
        );
        assert_eq!(warnings(&client, ""), [expected]);
    }
}

#[test]
fn an_ipv6_prefix_of_one_household_is_warned_of_unless_it_has_its_reason() {
    for (treatment, prefix) in [
        ("\"truncate\"", Some(48)),
        ("{ ipv4 = 16, ipv6 = 56 }", Some(56)),
        ("{ ipv6 = 64 }", Some(64)),
        ("{ ipv6 = 47 }", None),
        ("{ ipv6 = 32 }", None),
        ("{ keep = true, accept_risk = \"abuse reports name addresses\" }", None),
        ("{ ipv6 = 128, accept_risk = \"abuse reports name addresses\" }", None),
    ] {
        let expected = prefix.map(|prefix| format!(
            "log.access.fields.\"client.address\": an IPv6 /{prefix} can be one household (RIPE-690); ipv6 = 32 is a provider's whole network"
        ));
        let found = warnings("", &format!("\"client.address\" = {treatment}"));
        assert_eq!(found, Vec::from_iter(expected), "{treatment}");
    }
}

#[test]
fn a_key_that_no_log_uses_is_warned_of() {
    let expected = "pseudonyms.keys: no log declares a pseudonym, so the key is not opened and nothing moves it forward";
    for keys in ["{ file = \"privacy.key\" }", "{ env = \"PRIVACY_KEY\" }"] {
        assert_eq!(warnings(&format!("[pseudonyms]\nkeys = {keys}"), ""), [expected]);
    }
}
