//! Guarantee: a value appears in output only if its field is declared in that log, and then only
//! in its reduced form (A1); what is undeclared changes no byte (A2).
//!
//! The canary test: markers in every place of an exchange, random policies, and the bytes that
//! subscribers and the sink have written. `oracle` says where a marker may stand; everywhere else
//! it must not be found, in no encoding. Leak cases and endings have tests of their own below.
#![allow(clippy::filter_map_bool_then, reason = "the dice are rolled in order")]
#![allow(clippy::disallowed_methods, reason = "the tests are the application")]

mod support;

#[path = "declared_only/endings.rs"]
mod endings;
#[path = "declared_only/exchange.rs"]
mod exchange;
#[path = "declared_only/leaks.rs"]
mod leaks;
#[path = "declared_only/markers.rs"]
mod markers;
#[path = "declared_only/oracle.rs"]
mod oracle;
#[path = "declared_only/policies.rs"]
mod policies;
#[path = "declared_only/readers.rs"]
mod readers;
#[path = "declared_only/silence.rs"]
mod silence;
#[path = "declared_only/twins.rs"]
mod twins;

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tower_privacy_log::PrivacyLogLayer;

use exchange::{Exchange, embedded};
use markers::found;
use oracle::Expected;
use policies::{Declared, DeclaredLog, Dice};
use readers::{Line, Readers, Written};

/// Policies, and what happens under each of them.
const POLICIES: u32 = 5_000;
const EXCHANGES: usize = 3;

fn random_policy() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 150)
}

fn random_exchange() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 100)
}

/// A different word for every exchange, so that what stayed from an earlier one is found too.
fn nonce(number: &mut usize) -> String {
    *number += 1;
    format!("{:04}", *number % 10_000)
}

#[test]
fn a_marker_appears_only_where_its_field_is_declared_and_reduced() {
    let readers = Readers::start();
    let config =
        ProptestConfig { cases: POLICIES, failure_persistence: None, ..ProptestConfig::default() };
    let cases = (random_policy(), vec(random_exchange(), EXCHANGES));
    let (mut number, mut seen) = (0, BTreeSet::new());
    let count = std::cell::RefCell::new((&mut number, &mut seen));
    TestRunner::new(config)
        .run(&cases, |(policy, exchanges)| {
            let (number, seen) = &mut *count.borrow_mut();
            let declared = Declared::random(&mut Dice::new(&policy), false);
            let layer = PrivacyLogLayer::new(&declared.policy()).expect("keys in memory");
            for bytes in exchanges {
                let exchange = Exchange::random(&mut Dice::new(&bytes), &nonce(number));
                exchange.play(&layer);
                let written = readers.take();
                check(&declared, &exchange, &written);
                seen.extend(found(&written.lines).into_iter().map(|word| word[..2].to_owned()));
            }
            Ok(())
        })
        .unwrap();
    assert!(number >= 5_000, "{number} exchanges");
    let visible = "a0 a1 a2 a3 a4 a5 ec qb qp qq rh rp rt s0 s1 s2 s3 sp ua";
    assert_eq!(
        seen,
        visible.split(' ').map(str::to_owned).collect(),
        "a marker that may be seen never was"
    );
}

fn check(declared: &Declared, exchange: &Exchange, written: &Written) {
    let context = || format!("{declared:#?}\n{exchange:#?}\n{}", written.ours());
    let wanted: Vec<&DeclaredLog> =
        declared.logs.iter().filter(|log| log.wants(exchange)).collect();
    let records = written.records();
    assert!(
        records
            .iter()
            .all(|line| line.value("level").is_some_and(|level| level == exchange.level()))
    );
    for lines in [records, written.sink_records()] {
        let names: Vec<&str> =
            lines.iter().filter_map(|line| line.value("log")?.as_str()).collect();
        assert!(names.iter().eq(wanted.iter().map(|log| &log.name)), "{names:?} {}", context());
        for (log, line) in wanted.iter().zip(&lines) {
            check_line(&log.expected(declared, exchange), line, &context);
        }
    }
    let (allowed, ours) = (declared.allowed(exchange), written.ours());
    for word in found(&ours) {
        assert!(allowed.contains(&word), "{word} is not declared: {}", context());
    }
    if !declared.shows_addresses() {
        for address in (0..5).map(|how| embedded(exchange.client, how).to_string()) {
            assert!(!ours.contains(&address), "{address} {}", context());
        }
    }
}

/// Every key is declared, none comes twice, and every value is what it has to be.
fn check_line(expected: &[(&str, Expected)], line: &Line, context: &impl Fn() -> String) {
    let mut keys: Vec<&str> = line.pairs.iter().map(|(key, _)| key.as_str()).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "a key comes twice: {} {}", line.text, context());
    for key in keys {
        let own = ["log", "policy", "level", "target"].contains(&key);
        assert!(own || expected.iter().any(|(name, _)| *name == key), "{key} {}", context());
    }
    for (name, expected) in expected {
        let value = line.value(name);
        assert!(expected.holds(value), "{name} is {value:?}: {}", context());
    }
}
