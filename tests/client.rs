//! The client is the party whose word a trusted proxy vouches for, in one form however it travels.
//!
//! Seen from outside, through the layer: RULES B1, B2, B4, B5, B6 and B7, with the shared vectors.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the tests are the application"
)]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use proptest::prelude::*;
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_privacy_log::{PeerAddr, Policy, PrivacyLogLayer};

const SINGLE: [&str; 4] = ["cf-connecting-ip", "true-client-ip", "fly-client-ip", "x-real-ip"];
const PROXY: &str = "10.0.0.1";

/// Three logs that keep the address whole, cut it to /24 or /48, and cut it to /16 or /32.
fn policy(source: &str, trusted: &[String], nat64: &[String]) -> Policy {
    let log = |name: &str, fields: &str| {
        format!(
            "[log.{name}]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\n\
             retention = \"1d\"\n[log.{name}.fields]\n{fields}\n"
        )
    };
    let whole = "\"client.address\" = { keep = true, accept_risk = \"a test\" }\n\
                 \"client.pseudonym\" = \"pseudonymize\"";
    let text = format!(
        "policy = \"client-1\"\n[client]\nsource = {source:?}\ntrusted_proxies = {trusted:?}\n\
         nat64_prefixes = {nat64:?}\n{}{}{}",
        log("whole", whole),
        log("cut", "\"client.address\" = \"truncate\""),
        log("short", "\"client.address\" = { ipv4 = 16, ipv6 = 32 }"),
    );
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// A layer around nothing.
struct Client {
    layer: PrivacyLogLayer,
    runtime: tokio::runtime::Runtime,
}

/// The three records of one exchange.
#[derive(Debug, PartialEq)]
struct Seen {
    text: String,
    whole: Option<String>,
    pseudonym: Option<String>,
    cut: Option<String>,
    short: Option<String>,
}

impl Client {
    fn new(source: &str, trusted: &[&str]) -> Self {
        Self::of(&policy(source, &texts(trusted), &[]))
    }

    fn of(policy: &Policy) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { layer: PrivacyLogLayer::new(policy).unwrap(), runtime }
    }

    fn see(&self, peer: IpAddr, headers: &[(&str, &[u8])]) -> Seen {
        let mut request = Request::new(Empty::<bytes::Bytes>::new());
        request.extensions_mut().insert(PeerAddr(SocketAddr::new(peer, 40_000)));
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let (written, _guard) = support::written();
        let service = self.layer.layer(service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
        }));
        drop(self.runtime.block_on(service.oneshot(request)));
        let records = written.records();
        let of = |log: &str, field: &str| {
            let record = records.iter().find(|record| record["log"] == log).expect("a record");
            record.get(field).map(|value| value.as_str().expect("text").to_owned())
        };
        Seen {
            text: written.text(),
            whole: of("whole", "client.address"),
            pseudonym: of("whole", "client.pseudonym"),
            cut: of("cut", "client.address"),
            short: of("short", "client.address"),
        }
    }

    /// The whole address that was told for a list in the policy's header.
    fn told(&self, peer: &str, headers: &[(&str, &str)]) -> Option<String> {
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.see(peer.parse().unwrap(), &headers).whole
    }
}

fn list(value: &Value) -> Vec<String> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn lists_give_what_the_vectors_say(source: &str, vectors: &str) {
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let client = Client::of(&policy(source, &list(&vector["trusted"]), &[]));
        let values = list(&vector["headers"]);
        let headers: Vec<(&str, &str)> =
            values.iter().map(|value| (source, value.as_str())).collect();
        let told = client.told(vector["peer"].as_str().unwrap(), &headers);
        assert_eq!(told.as_deref(), vector["expect"].as_str(), "{vector}");
    }
}

#[test]
fn a_list_of_addresses_is_walked_as_the_vectors_say() {
    lists_give_what_the_vectors_say(
        "x-forwarded-for",
        include_str!("vectors/x_forwarded_for.json"),
    );
}

#[test]
fn a_forwarded_header_is_walked_as_the_vectors_say() {
    lists_give_what_the_vectors_say("forwarded", include_str!("vectors/forwarded.json"));
}

#[test]
fn an_address_is_canonical_before_it_is_cut_as_the_vectors_say() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("vectors/client_address.json")).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let nat64 = list(&vector["nat64_prefixes"]);
        let input = vector["input"].as_str().unwrap();
        let peer = Client::of(&policy("peer", &[], &nat64)).see(input.parse().unwrap(), &[]);
        let proxied = Client::of(&policy("x-real-ip", &texts(&[PROXY]), &nat64));
        let proxied = proxied.see(PROXY.parse().unwrap(), &[("x-real-ip", input.as_bytes())]);
        for seen in [peer, proxied] {
            assert_eq!(seen.whole.as_deref(), vector["canonical"].as_str(), "{vector}");
            assert_eq!(seen.cut.as_deref(), vector["truncate_24_48"].as_str(), "{vector}");
            assert_eq!(seen.short.as_deref(), vector["truncate_16_32"].as_str(), "{vector}");
        }
    }
}

#[test]
fn nobody_is_believed_unless_the_policy_names_them() {
    let all: Vec<&str> = SINGLE.into_iter().chain(["x-forwarded-for", "forwarded"]).collect();
    let forged: Vec<(&str, &[u8])> = all
        .iter()
        .map(|name| (*name, if *name == "forwarded" { &b"for=1.2.3.4"[..] } else { b"1.2.3.4" }))
        .collect();
    for source in all.iter().copied().chain(["peer"]) {
        for trusted in [&[][..], &["192.0.2.0/24"]] {
            let client = Client::new(source, trusted);
            let peer = "203.0.113.9".parse().unwrap();
            let bare = client.see(peer, &[]);
            assert_eq!(bare.whole.as_deref(), Some("203.0.113.9"), "{source}");
            assert_eq!(client.see(peer, &forged), bare, "{source} {trusted:?}");
        }
    }
}

#[test]
fn a_trusted_proxy_is_believed_in_the_one_configured_header_only() {
    for source in SINGLE {
        let client = Client::new(source, &[PROXY]);
        let others: Vec<(&str, &str)> = SINGLE
            .into_iter()
            .filter(|name| *name != source)
            .map(|name| (name, "1.2.3.4"))
            .collect();
        let lists = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")];
        let all = [&others[..], &lists, &[(source, "198.51.100.7")]].concat();
        assert_eq!(client.told(PROXY, &all).as_deref(), Some("198.51.100.7"), "{source}");
        let without = [&others[..], &lists].concat();
        assert_eq!(client.told(PROXY, &without), None, "{source}");
    }
}

#[test]
fn a_single_address_header_that_is_not_one_address_makes_the_client_absent() {
    let odd = [
        "",
        " ",
        ",",
        "unknown",
        "_hidden",
        "198.51.100.7, 198.51.100.8",
        "198.51.100.7,",
        "198.51.100.7:443",
        "[2001:db8::1]",
        "2001:db8::1%eth0",
        "198.51.100.007",
        "example.com",
        "for=198.51.100.7",
        "198.51.100.7/24",
        "\"198.51.100.7\"",
    ];
    for source in SINGLE {
        let client = Client::new(source, &[PROXY]);
        let absent = client.see(PROXY.parse().unwrap(), &[]);
        assert_eq!((&absent.whole, &absent.pseudonym, &absent.cut), (&None, &None, &None));
        for value in odd {
            let seen = client.see(PROXY.parse().unwrap(), &[(source, value.as_bytes())]);
            assert_eq!(seen, absent, "{source}: {value}");
        }
        let twice = [(source, "198.51.100.7"), (source, "198.51.100.7")];
        assert_eq!(client.told(PROXY, &twice), None, "{source}");
        let spaced = [(source, " \t2001:DB8::1 ")];
        assert_eq!(client.told(PROXY, &spaced).as_deref(), Some("2001:db8::1"), "{source}");
    }
}

#[test]
fn a_missing_list_means_the_peer_and_a_list_of_proxies_its_leftmost() {
    for (source, element) in [("x-forwarded-for", ""), ("forwarded", "for=")] {
        let client = Client::new(source, &["10.0.0.0/8"]);
        for values in [&[][..], &[""], &[" , ,"], &["", ","]] {
            let headers: Vec<_> = values.iter().map(|value| (source, *value)).collect();
            assert_eq!(client.told(PROXY, &headers).as_deref(), Some(PROXY), "{source} {values:?}");
        }
        let list = format!("{element}10.0.0.9,, {element}10.0.0.8 ,");
        assert_eq!(client.told(PROXY, &[(source, &list)]).as_deref(), Some("10.0.0.9"));
    }
}

#[test]
fn a_list_is_read_up_to_thirty_two_elements_and_eight_kilobytes() {
    let client = Client::new("x-forwarded-for", &["10.0.0.0/8"]);
    let told = |list: &str| client.told(PROXY, &[("x-forwarded-for", list)]);
    let proxies = |count| vec!["10.0.0.2"; count].join(",");
    let client = Some("198.51.100.7".to_owned());
    assert_eq!(told(&format!("198.51.100.7,{}", proxies(31))), client);
    assert_eq!(told(&format!("198.51.100.7,{}", proxies(32))), None);
    assert_eq!(told(&format!("198.51.100.7{}", " ".repeat(8180))), client);
    assert_eq!(told(&format!("198.51.100.7{}", " ".repeat(8200))), None);
    assert_eq!(told(&format!("{}198.51.100.7", "x,".repeat(9000))), client);
}

#[test]
fn thousands_of_proxies_are_told_from_their_neighbours() {
    let prefixes: Vec<String> = (0..5000_u32)
        .map(|n| format!("10.{}.{}.{}/31", n >> 12, (n >> 4) & 255, (n & 15) * 16))
        .collect();
    let client = Client::of(&policy("x-real-ip", &prefixes, &[]));
    for (peer, believed) in
        [("10.0.0.0", true), ("10.1.56.113", true), ("10.1.56.114", false), ("10.2.0.0", false)]
    {
        let told = client.told(peer, &[("x-real-ip", "198.51.100.7")]);
        assert_eq!(told.as_deref(), Some(if believed { "198.51.100.7" } else { peer }), "{peer}");
    }
}

#[test]
fn the_preset_words_are_believed_like_the_prefixes_they_stand_for() {
    for (word, inside, outside) in [
        ("cloudflare", ["173.245.48.1", "2606:4700::6810:1"], ["173.245.64.1", "2606:4701::1"]),
        ("private", ["172.16.0.1", "fd00::1"], ["100.64.0.1", "fe80::1"]),
        ("loopback", ["127.0.0.53", "::1"], ["128.0.0.1", "::2"]),
    ] {
        let client = Client::new("cf-connecting-ip", &[word]);
        let headers = [("cf-connecting-ip", "198.51.100.7")];
        for peer in inside {
            assert_eq!(client.told(peer, &headers).as_deref(), Some("198.51.100.7"), "{peer}");
        }
        for peer in outside {
            assert_eq!(client.told(peer, &headers).as_deref(), Some(peer));
        }
    }
    let stacked = Client::new("x-forwarded-for", &["loopback", "cloudflare"]);
    let list = [("x-forwarded-for", "1.2.3.4, 198.51.100.7, 172.68.0.9")];
    assert_eq!(stacked.told("::ffff:127.0.0.1", &list).as_deref(), Some("198.51.100.7"));
}

#[test]
fn a_policy_keeps_a_presets_word() {
    let word = policy("x-real-ip", &texts(&["private"]), &[]);
    let list = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
    let spelt = policy("x-real-ip", &texts(&list), &[]);
    assert_ne!(word.digest(), spelt.digest());
    let json = serde_json::to_value(&word).unwrap();
    assert_eq!(json["client"]["trusted_proxies"], serde_json::json!(["private"]));
    assert_eq!(serde_json::from_value::<Policy>(json).unwrap(), word);
}

/// RFC 6052 §2.2: after the prefix, around the octet of bits 64 to 71.
fn nat64(prefix: Ipv6Addr, length: usize, inner: Ipv4Addr) -> Ipv6Addr {
    let mut octets = prefix.octets();
    let places = (length / 8..16).filter(|at| *at != 8);
    for (at, octet) in places.zip(inner.octets()) {
        octets[at] = octet;
    }
    octets.into()
}

const OPERATOR: [(&str, usize); 6] = [
    ("2001:db8::", 32),
    ("2001:db9:100::", 40),
    ("2001:dba:122::", 48),
    ("2001:dbb:122:300::", 56),
    ("2001:dbc:122:344::", 64),
    ("2001:dbd:122:344::", 96),
];

/// Every way in which an IPv4 address travels inside an IPv6 one; `noise` fills what is free.
fn embeddings(inner: Ipv4Addr, noise: u64) -> Vec<IpAddr> {
    let bits = u128::from(inner.to_bits());
    let noise = u128::from(noise);
    let mut all: Vec<Ipv6Addr> = vec![
        inner.to_ipv6_mapped(),
        ((0x0064_ff9b_u128 << 96) | bits).into(),
        ((0x2002_u128 << 112) | (bits << 80) | noise).into(),
        ((0x2001_0000_u128 << 96) | ((noise & 0xffff_ffff_ffff) << 32) | (bits ^ 0xffff_ffff))
            .into(),
    ];
    all.extend(OPERATOR.map(|(prefix, length)| nat64(prefix.parse().unwrap(), length, inner)));
    all.into_iter().map(IpAddr::V6).chain([IpAddr::V4(inner)]).collect()
}

fn with_operator(source: &str, trusted: &[&str]) -> Client {
    let nat64 = OPERATOR.map(|(prefix, length)| format!("{prefix}/{length}"));
    Client::of(&policy(source, &texts(trusted), &nat64))
}

fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) }
}

/// What a client can put at the left of a list: a header's bytes, with the signs that matter often.
fn left() -> impl Strategy<Value = Vec<u8>> {
    let sign = prop::sample::select(&b"\",;=\\ \t:[]_.0123456789for"[..]);
    let byte = prop_oneof![4 => sign, 1 => 0x20..0x7f_u8, 1 => 0x80..=0xff_u8];
    let known = prop::sample::select(vec![
        &b"for=\""[..],
        b"for=\"\\",
        b"unknown",
        b"1.2.3.4",
        b"for=1.2.3.4",
        b"10.0.0.1",
        b"for=10.0.0.1",
    ]);
    prop_oneof![
        3 => prop::collection::vec(byte, 0..80),
        1 => known.clone().prop_map(<[u8]>::to_vec),
        1 => (known, 1..2000_usize).prop_map(|(part, times)| [part, b","].concat().repeat(times)),
    ]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn an_ipv4_address_is_itself_however_it_travels(inner: u32, noise: u64) {
        let inner = Ipv4Addr::from(inner);
        let peer = with_operator("peer", &[]);
        let list = with_operator("x-forwarded-for", &[PROXY]);
        let forwarded = with_operator("forwarded", &[PROXY]);
        prop_assume!(inner != Ipv4Addr::new(10, 0, 0, 1));
        let plain = peer.see(inner.into(), &[]).whole;
        prop_assert_eq!(plain.as_ref(), Some(&inner.to_string()));
        for address in embeddings(inner, noise) {
            prop_assert_eq!(&peer.see(address, &[]).whole, &plain, "{}", address);
            let proxy = PROXY.parse().unwrap();
            let text = address.to_string();
            let told = list.see(proxy, &[("x-forwarded-for", text.as_bytes())]);
            prop_assert_eq!(&told.whole, &plain, "{}", address);
            let node = match address {
                IpAddr::V4(address) => format!("for={address}"),
                IpAddr::V6(address) => format!("for=\"[{address}]\""),
            };
            let told = forwarded.see(proxy, &[("forwarded", node.as_bytes())]);
            prop_assert_eq!(&told.whole, &plain, "{}", address);
        }
    }

    #[test]
    fn equal_truncated_addresses_give_equal_lines_however_they_travel(
        network in 0_u32..1 << 24, hosts: [u8; 2], noise: u64,
    ) {
        let client = with_operator("peer", &[]);
        let [one, two] = hosts.map(|host| Ipv4Addr::from((network << 8) | u32::from(host)));
        let cut = Ipv4Addr::from(network << 8).to_string();
        let first = client.see(one.into(), &[]);
        prop_assert_eq!(first.cut.as_ref(), Some(&cut));
        for address in embeddings(two, noise) {
            let seen = client.see(address, &[]);
            prop_assert_eq!(&seen.cut, &first.cut, "{}", address);
            prop_assert_eq!(&seen.short, &first.short, "{}", address);
            prop_assert_eq!(seen.pseudonym == first.pseudonym, one == two, "{}", address);
        }
    }

    #[test]
    fn a_proxy_is_trusted_however_its_address_travels(inner: u32, noise: u64) {
        let inner = Ipv4Addr::from(inner);
        let trusted = format!("{inner}/32");
        let client = with_operator("x-real-ip", &[&trusted]);
        for address in embeddings(inner, noise) {
            let told = client.see(address, &[("x-real-ip", b"192.0.2.77")]).whole;
            prop_assert_eq!(told.as_deref(), Some("192.0.2.77"), "{}", address);
        }
    }

    #[test]
    fn what_stands_left_of_the_client_changes_nothing(
        left in left(), apart: bool, other: u32, proxies in 0..3_usize, quoted: bool,
        stop in prop::sample::select(vec!["", "unknown", "_hidden", "garbage"]),
    ) {
        let source = if quoted { "forwarded" } else { "x-forwarded-for" };
        let client = Client::new(source, &["10.0.0.0/8"]);
        let peer = PROXY.parse().unwrap();
        let other = Ipv4Addr::from(other | 0x8000_0000).to_string();
        let stop = if stop.is_empty() { &other } else { stop };
        let name = if quoted { "for=" } else { "" };
        let mut right = format!("{name}{stop}");
        right.extend(std::iter::repeat_n(format!(", {name}10.0.0.2"), proxies));
        let alone = client.see(peer, &[(source, right.as_bytes())]);
        prop_assert_eq!(alone.whole.as_ref(), Some(&other).filter(|other| *other == stop));
        let both = if apart {
            client.see(peer, &[(source, &left), (source, right.as_bytes())])
        } else {
            client.see(peer, &[(source, &[&left, &b","[..], right.as_bytes()].concat())])
        };
        prop_assert_eq!(alone.text, both.text);
    }
}
