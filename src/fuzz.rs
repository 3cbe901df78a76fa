//! What the fuzz targets run: no input panics, and what is safe stays as it is.

use std::net::{IpAddr, Ipv6Addr};

use crate::client::{Clients, Nat64, Source, canonical, truncate};
use crate::device::{Hints, classify};
use crate::text::Text;
use crate::{address, host, key_text, language, url};

const HOST: Option<&[u8]> = Some(b"app.example.com");

/// Two inputs from one.
fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    (&input[..at], input.get(at + 1..).unwrap_or_default())
}

fn words(input: &[u8]) -> Vec<String> {
    input
        .split(|byte| *byte == b' ')
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

fn safe(text: &str) {
    assert!(text.chars().count() <= 256);
    assert!(
        !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
    );
}

pub fn text(input: &[u8]) {
    let Ok(raw) = std::str::from_utf8(input) else { return };
    let text = Text::new(raw);
    safe(text.as_str());
    assert!(!crate::text::is_word(raw) || raw == text.as_str());
}

pub fn referrer(input: &[u8]) {
    let origin = url::origin(input, HOST);
    let again = origin.as_ref().map(|text| url::origin(text.as_str().as_bytes(), HOST).unwrap());
    if let (Some(once), Some(twice)) = (&origin, &again) {
        safe(once.as_str());
        let word = ["self", "internal", "other"].contains(&once.as_str());
        assert!(word || once.as_str() == twice.as_str());
    }
    assert_eq!(url::relation(input, HOST).is_some(), origin.is_some());
    url::referrer_path(input, HOST).iter().for_each(|text| safe(text.as_str()));
}

pub fn query(input: &[u8]) {
    let (query, allow) = split(input);
    let text = url::query(&String::from_utf8_lossy(query), &words(allow));
    text.iter().for_each(|text| safe(text.as_str()));
}

pub fn path(input: &[u8]) {
    let depth = input.first().map_or(1, |byte| byte % 16 + 1);
    let once = url::path(&String::from_utf8_lossy(input), depth);
    once.iter().for_each(|text| safe(text.as_str()));
}

pub fn host(input: &[u8]) {
    let (authority, allow) = split(input);
    let allow = words(allow);
    let word = host::host(&String::from_utf8_lossy(authority), &allow).word(&allow).to_owned();
    assert!(word == "_OTHER" || allow.contains(&word));
}

pub fn language(input: &[u8]) {
    let (accept, allow) = split(input);
    let allow = words(allow);
    let languages = language::Languages::new(&allow);
    let found = language::language(accept, &languages).map(|found| found.word(&allow).to_owned());
    assert!(found.is_none_or(|word| word == "_OTHER" || allow.contains(&word)));
}

pub fn device(input: &[u8]) {
    let (agent, rest) = split(input);
    let (brands, rest) = split(rest);
    let (mobile, platform) = split(rest);
    let hints = Hints {
        user_agent: Some(agent),
        brands: Some(brands),
        mobile: Some(mobile),
        platform: Some(platform),
    };
    let _ = classify(&hints);
}

/// The walk through trusted hops; then canonical form and truncation, each stable.
pub fn resolve(input: &[u8]) {
    walk(Source::XForwardedFor, input);
    walk(Source::Single, input);
    let Some(bytes) = input.first_chunk::<16>() else { return };
    let nat64 = Nat64::new("2001:db8:122:300::/56".parse().unwrap());
    let address =
        canonical(IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(*bytes))), nat64.as_slice());
    assert_eq!(canonical(address, nat64.as_slice()), address);
    let cut = truncate(address, input[0] % 33, input[1] % 129);
    assert_eq!(truncate(cut, input[0] % 33, input[1] % 129), cut);
    assert_eq!(address::text(cut).as_str(), cut.to_string());
}

pub fn forwarded(input: &[u8]) {
    walk(Source::Forwarded, input);
}

fn walk(source: Source, input: &[u8]) {
    let clients = Clients::new(source, ["10.0.0.0/8".parse().unwrap()], []);
    let values: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    if let Ok(client) = clients.resolve(IpAddr::from([10, 0, 0, 1]), values.into_iter()) {
        assert_eq!(canonical(client, &[]), client);
    }
}

pub fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<crate::Policy>() {
        Ok(policy) => assert!(policy.reference().starts_with(policy.id())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub fn key_file(input: &[u8]) {
    if let Err(fault) = key_text::parse(input) {
        let _ = fault;
    }
}
