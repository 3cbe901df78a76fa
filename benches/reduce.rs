//! Each reduction alone: what one field costs, and what a hostile value makes of it.
//!
//! `cargo bench --bench reduce`

mod support;

/// Private modules that know neither tower, tracing, serde nor the policy stand here as in the crate.
#[path = "../src"]
#[allow(
    dead_code,
    unused_imports,
    unfulfilled_lint_expectations,
    reason = "only some of it is called"
)]
mod leaves {
    pub mod address;
    pub mod client;
    pub mod device;
    pub mod fixed;
    pub mod forwarded;
    pub mod host;
    pub mod listed;
    pub mod percent;
    pub mod pseudonym;
    pub mod scan;
    pub mod text;
    pub mod url;
    pub mod work;
}

/// Why there is no key; the crate's own has more reasons, and knows about files.
mod key_error {
    #[derive(Debug)]
    #[allow(dead_code, reason = "it is printed only")]
    pub enum Fault {
        Random(getrandom::Error),
    }
}

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use client::{Clients, Nat64, Source, canonical, truncate};
use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use device::{Hints, classify};
use ipnet::IpNet;
use leaves::{
    address, client, device, fixed, forwarded, host, listed, percent, pseudonym, scan, text, url,
    work,
};
use pseudonym::Epoch;
use sha2::{Digest as _, Sha256};
use support::hostile::{self, Content};
use text::Text;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 77));
const HOST: Option<&[u8]> = Some(b"app.example.com");

fn addresses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("address");
    let nat64: Vec<_> =
        "2001:db8:122:300::/56".parse().ok().and_then(Nat64::new).into_iter().collect();
    let epoch = Epoch::random(1, 86400).expect("the system has random bytes");
    for text in [
        "198.51.100.77",
        "2001:db8:85a3::8a2e:370:7334",
        "::ffff:198.51.100.77",
        "2002:c633:644d::1",
    ] {
        let address: IpAddr = text.parse().expect("an address");
        group.bench_function(format!("canonicalize/{text}"), |bencher| {
            bencher.iter(|| canonical(black_box(address), black_box(&nat64)));
        });
        group.bench_function(format!("truncate/{text}"), |bencher| {
            bencher.iter(|| truncate(black_box(address), black_box(24), black_box(48)));
        });
        group.bench_function(format!("pseudonymize/{text}"), |bencher| {
            bencher.iter(|| epoch.address(black_box(address), black_box(64)));
        });
        group.bench_function(format!("write/{text}"), |bencher| {
            bencher.iter(|| address::text(black_box(address)).as_str().len());
        });
    }
    group.bench_function("one SHA-256 block", |bencher| {
        bencher.iter(|| Sha256::digest(black_box([0; 8])));
    });
    group.finish();
}

fn clients(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client");
    for prefixes in [0, 1, 10, 1000] {
        for hops in [1, 5, 50] {
            // The client is the leftmost; all others are trusted, if anybody is.
            let list = format!("203.0.113.9{}", ", 198.51.100.7".repeat(hops - 1));
            let name = format!("{prefixes} prefixes/{hops} hops");
            walk(&mut group, &name, Source::XForwardedFor, prefixes, &[list]);
        }
    }
    all(&mut group, Source::XForwardedFor, "x-forwarded-for", hostile::X_FORWARDED_FOR);
    all(&mut group, Source::Forwarded, "forwarded", hostile::FORWARDED);
    all(&mut group, Source::Single, "single", hostile::SINGLE);
    group.finish();
}

fn all(
    group: &mut BenchmarkGroup<'_, WallTime>,
    source: Source,
    header: &str,
    contents: &[Content<Vec<String>>],
) {
    for (content, values) in contents {
        walk(group, &format!("{header}/8 KiB/{content}"), source, 10, &values());
    }
}

/// The peer and the hops are trusted, unless nobody is.
fn walk(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    source: Source,
    prefixes: usize,
    values: &[String],
) {
    let known = ["198.51.100.0/24", "10.0.0.0/8", "fd00::/8"]
        .map(|prefix| prefix.parse().expect("a prefix"));
    let others = (0..prefixes).map(|at| {
        IpNet::new([172, (at >> 7) as u8, (at << 1) as u8, 0].into(), 24).expect("a prefix")
    });
    let clients = Clients::new(source, known.into_iter().chain(others).take(prefixes), []);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            clients.resolve(black_box(PEER), black_box(values).iter().map(String::as_bytes)).is_ok()
        });
    });
}

fn referrers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("referrer");
    let usual = [
        ("external", "https://www.example.com/a/b?c"),
        ("self", "https://app.example.com/users/42"),
        ("beyond ascii", "https://bücher.example/a"),
        ("address", "http://10.0.0.1:8080/"),
        ("app", "android-app://com.example.app"),
    ];
    for (name, value) in usual
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .chain(named(hostile::REFERRERS))
    {
        let value = value.as_bytes();
        group.bench_function(format!("origin/{name}"), |bencher| {
            bencher.iter(|| url::origin(black_box(value), HOST).is_some());
        });
        group.bench_function(format!("path/{name}"), |bencher| {
            bencher.iter(|| url::referrer_path(black_box(value), HOST).is_some());
        });
    }
    group.bench_function("relation/external", |bencher| {
        bencher.iter(|| url::relation(black_box(b"https://www.example.com/a/b?c"), HOST).is_some());
    });
    group.finish();
}

fn named(contents: &'static [Content<String>]) -> impl Iterator<Item = (String, String)> {
    contents.iter().map(|(name, value)| (format!("8 KiB/{name}"), value()))
}

fn urls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("url");
    for (name, path) in
        [("usual".to_owned(), "/users/42/edit".to_owned())].into_iter().chain(named(hostile::PATHS))
    {
        group.bench_function(format!("path/{name}"), |bencher| {
            bencher.iter(|| url::path(black_box(&path), black_box(16)).is_some());
        });
    }
    let allow = ["page".to_owned(), "sort".to_owned()];
    let queries = [
        ("one pair", "page=1".to_owned()),
        ("four pairs", "page=1&token=s3cr3t&sort=name&utm_source=x".to_owned()),
        ("encoded", "p%61ge=%C3%A9&sort=a+b".to_owned()),
        ("8 KiB of pairs", hostile::filled("page=1&")),
        ("8 KiB of letters", hostile::filled("a")),
        ("8 KiB of ampersands", hostile::filled("&")),
        ("8 KiB of encoded keys", hostile::filled("%70%61%67%65&")),
        ("8 KiB of one value", format!("page={}", hostile::filled("%41"))),
    ];
    for (name, query) in &queries {
        group.bench_function(format!("query/{name}"), |bencher| {
            bencher.iter(|| url::query(black_box(query), black_box(&allow)).is_some());
        });
    }
    group.finish();
}

fn devices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("user agent");
    let agents = [
        (
            "Firefox",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
        ),
        (
            "Chrome on Android",
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/138.0.0.0 Mobile Safari/537.36"
                .to_owned(),
        ),
        (
            "a bot",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)".to_owned(),
        ),
        ("curl", "curl/8.14.1".to_owned()),
        ("8 KiB of letters", hostile::filled("a")),
        ("8 KiB of words", hostile::filled("a/1 ")),
        ("8 KiB of brackets", hostile::filled("(; ")),
    ];
    for (name, agent) in &agents {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let user_agent = Some(black_box(agent).as_bytes());
                classify(&Hints { user_agent, brands: None, mobile: None, platform: None })
                    .is_some()
            });
        });
    }
    group.finish();
}

fn texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text");
    let texts = [
        ("route", "/users/{id}".to_owned()),
        ("100 letters", "a".repeat(100)),
        ("8 KiB of letters", hostile::filled("a")),
        ("8 KiB of backslashes", hostile::filled("\\")),
        ("8 KiB of bidi marks", hostile::filled("\u{202e}")),
        ("8 KiB of umlauts", hostile::filled("ü")),
    ];
    for (name, text) in &texts {
        group.bench_function(*name, |bencher| bencher.iter(|| Text::new(black_box(text))));
    }
    group.finish();
}

/// There are many, and each is short.
fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(50)
}

criterion_group! {
    name = benches;
    config = quick();
    targets = addresses, clients, referrers, urls, devices, texts
}
criterion_main!(benches);
