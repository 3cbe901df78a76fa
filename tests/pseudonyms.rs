//! A pseudonym lasts exactly as long as its key, and nobody but the holder of a live key can make it.
//!
//! RULES C1 to C6 from outside: the expected values are derived here, from the text of the key file.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the tests are the application"
)]

mod support;

#[path = "pseudonyms/copy.rs"]
mod copy;
#[path = "pseudonyms/fleet.rs"]
mod fleet;
#[path = "pseudonyms/ratchet.rs"]
mod ratchet;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use copy::Copy;
use http::{Request, Response};
use http_body_util::Empty;
use ratchet::{Link, address};
use serde_json::Value;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_privacy_log::{KeyFile, LogFields, PeerAddr, Policy, PrivacyLogLayer};

/// A rotation that no test sees the end of.
const NEVER: &str = "3650d";
const DECADE: Duration = Duration::from_secs(3650 * 86_400);
const SECOND: Duration = Duration::from_secs(1);

fn text(keys: &str, rotate: &str, forget: &str) -> String {
    format!(
        "policy = \"pseudonyms-1\"\n[client]\nsource = \"x-real-ip\"\n\
         trusted_proxies = [\"loopback\"]\n\
         [pseudonyms]\nkeys = {keys}\nrotate = \"{rotate}\"\nforget = \"{forget}\"\n\
         [log.access]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"1d\"\n\
         [log.access.fields]\n\"client.pseudonym\" = \"pseudonymize\"\n\"http.route\" = \"keep\"\n\
         [log.access.app_fields]\n\"user.hash\" = \"pseudonymize\"\n\"order.id\" = \"pseudonymize\"\n"
    )
}

fn in_file(path: &Path) -> String {
    format!("{{ file = {:?} }}", path.to_str().unwrap())
}

fn policy(keys: &str, rotate: &str, forget: &str) -> Policy {
    text(keys, rotate, forget).parse().unwrap()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The record of one exchange in which the handler sets both app fields to `value`.
async fn record(layer: &PrivacyLogLayer, peer: IpAddr, value: &'static str) -> Value {
    let (written, _guard) = support::written();
    exchange(layer, peer, value).await;
    written.records().pop().expect("a record")
}

async fn exchange(layer: &PrivacyLogLayer, peer: IpAddr, value: &'static str) {
    let request = Request::builder()
        .extension(PeerAddr(SocketAddr::new(peer, 40_000)))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut inner = layer.layer(service_fn(async |request: Request<Empty<Bytes>>| {
        let fields = request.extensions().get::<LogFields>().unwrap();
        fields.set("user.hash", value);
        fields.set("order.id", value);
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    drop(inner.ready().await.unwrap().call(request).await.unwrap());
}

async fn pseudonym(layer: &PrivacyLogLayer, peer: &str) -> String {
    let record = record(layer, peer.parse().unwrap(), "ada").await;
    record["client.pseudonym"].as_str().expect("a pseudonym").to_owned()
}

fn epoch(pseudonym: &str) -> u64 {
    pseudonym.split_once('.').expect("EPOCH.32HEX").0.parse().expect("a number")
}

#[tokio::test]
async fn a_pseudonym_lasts_exactly_as_long_as_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.key");
    KeyFile::create(&path, SECOND).unwrap();
    let first = Link::read(&path);
    let policy = policy(&in_file(&path), "1s", "2s");
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let mut seen = BTreeMap::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen.len() < 5 {
        assert!(Instant::now() < deadline, "only {seen:?}");
        let before = seconds();
        let pseudonym = pseudonym(&layer, "198.51.100.7").await;
        let now = epoch(&pseudonym);
        assert!((before..=seconds()).contains(&now), "{pseudonym} between {before} and now");
        let expected = first.at(now).pseudonym("client.address", &address("198.51.100.7"));
        assert_eq!(pseudonym, expected);
        if seen.insert(now, pseudonym).is_none() {
            let restarted = PrivacyLogLayer::new(&policy).unwrap();
            let again = self::pseudonym(&restarted, "198.51.100.7").await;
            assert_eq!(
                again,
                first.at(epoch(&again)).pseudonym("client.address", &address("198.51.100.7"))
            );
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let mut texts: Vec<&String> = seen.values().collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), seen.len(), "each epoch has its own");
    let newest = *seen.keys().max().unwrap();
    let kept = Link::read(&path);
    assert!(kept.epoch + 1 >= newest, "{} is kept in epoch {newest}", kept.epoch);
    assert_eq!(kept.chain, first.at(kept.epoch).chain, "it is a later link of the same chain");
}

#[tokio::test]
async fn one_subscriber_has_one_pseudonym_and_a_field_its_own() {
    let layer = PrivacyLogLayer::new(&policy("\"memory\"", NEVER, NEVER)).unwrap();
    let one = pseudonym(&layer, "2001:db8:1:2::1").await;
    assert_eq!(pseudonym(&layer, "2001:db8:1:2:ffff:eeee:dddd:cccc").await, one);
    assert_ne!(pseudonym(&layer, "2001:db8:1:3::1").await, one);
    let client = pseudonym(&layer, "198.51.100.7").await;
    assert_eq!(pseudonym(&layer, "2002:c633:6407::1").await, client);
    assert_ne!(pseudonym(&layer, "198.51.100.8").await, client);
    let record = record(&layer, "198.51.100.7".parse().unwrap(), "198.51.100.7").await;
    let tags: Vec<&str> = ["client.pseudonym", "user.hash", "order.id"]
        .iter()
        .map(|field| record[*field].as_str().unwrap())
        .collect();
    assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2], "{tags:?}");
    for tag in &tags {
        let hex = tag.split_once('.').unwrap().1;
        assert!(hex.len() == 32 && hex.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
    }
}

#[tokio::test]
async fn keys_in_memory_are_shared_by_clones_of_a_layer_only() {
    let policy = policy("\"memory\"", NEVER, NEVER);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let one = pseudonym(&layer, "198.51.100.7").await;
    assert_eq!(pseudonym(&layer.clone(), "198.51.100.7").await, one);
    let other = PrivacyLogLayer::new(&policy).unwrap();
    assert_ne!(pseudonym(&other, "198.51.100.7").await, one);
}

#[tokio::test]
async fn the_pseudonyms_of_a_file_follow_from_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.key");
    KeyFile::create(&path, DECADE).unwrap();
    let link = Link::read(&path);
    let layer = PrivacyLogLayer::new(&policy(&in_file(&path), NEVER, NEVER)).unwrap();
    for peer in ["198.51.100.7", "2001:db8:1:2::1", "::1"] {
        let record = record(&layer, peer.parse().unwrap(), "ada").await;
        let expected = |field: &str, value: &[u8]| link.pseudonym(field, value);
        assert_eq!(record["user.hash"], expected("user.hash", b"ada"));
        assert_eq!(record["order.id"], expected("order.id", b"ada"));
        match record.get("client.pseudonym") {
            Some(found) => assert_eq!(*found, expected("client.address", &address(peer))),
            None => assert_eq!(peer, "::1", "a trusted proxy that names no client has none"),
        }
    }
}

#[test]
fn a_variable_gives_the_pseudonyms_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.key");
    KeyFile::create(&path, DECADE).unwrap();
    let link = Link::read(&path);
    let expected = link.pseudonym("client.address", &address("198.51.100.7"));
    let key = fs::read_to_string(&path).unwrap();
    for (name, keys) in [("file", in_file(&path)), ("env", "{ env = \"PRIVACY_KEY\" }".into())] {
        let policy = folder.path().join(format!("{name}.toml"));
        fs::write(&policy, text(&keys, NEVER, NEVER)).unwrap();
        let copy = Copy::start(&policy, &[("PRIVACY_KEY", &key)]);
        copy.ask("/health", "198.51.100.7");
        let (lines, errors) = copy.stop();
        assert_eq!(lines.len(), 1, "{name}: {errors}");
        assert_eq!(lines[0]["client.pseudonym"], expected, "{name}");
        link.is_hidden_in(&format!("{lines:?}{errors}"));
    }
}

#[test]
fn a_broken_variable_stops_the_start_and_shows_nothing_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.key");
    KeyFile::create(&path, DECADE).unwrap();
    let link = Link::read(&path);
    let policy = folder.path().join("env.toml");
    fs::write(&policy, text("{ env = \"PRIVACY_KEY\" }", NEVER, NEVER)).unwrap();
    let key = fs::read_to_string(&path).unwrap();
    for broken in [key.replace("rotate", "rotare"), key.replace("check ", "check 0"), key + "\nx"] {
        let output = copy::demo(&policy, &[("PRIVACY_KEY", &broken)]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.starts_with("key variable PRIVACY_KEY, line "), "{errors}");
        link.is_hidden_in(&errors);
    }
}

#[tokio::test]
async fn no_error_and_no_debug_shows_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.key");
    let file = KeyFile::create(&path, DECADE).unwrap();
    let link = Link::read(&path);
    let policy = policy(&in_file(&path), NEVER, NEVER);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let shown = format!("{file:?} {policy:?} {layer:?} {layer:#?} {service:?}");
    link.is_hidden_in(&shown);
    link.is_hidden_in(&serde_json::to_string(&policy).unwrap());
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let swapped = [lines[0], lines[1], lines[3], lines[2], lines[4]].join("\n");
    let broken = [
        whole[..whole.len() / 2].to_owned(),
        whole.replace("epoch ", "epoch 9"),
        whole.replace("rotate ", "rotate 1"),
        whole.replace("chain ", "chain x"),
        whole.replace("check ", "check x"),
        whole.to_uppercase(),
        format!("{}{whole}", lines[3]),
        swapped,
    ];
    for text in broken {
        fs::write(&path, &text).unwrap();
        let error = PrivacyLogLayer::new(&policy).expect_err("a broken file stops the start");
        let read = KeyFile::read(&path).expect_err("it cannot be read either");
        link.is_hidden_in(&format!("{error} {error:?} {error:#?} {read} {read:?} {read:#?}"));
    }
    fs::write(&path, &whole).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = PrivacyLogLayer::new(&policy).expect_err("a file that others may read");
    assert!(error.to_string().contains("mode 0640 is wider than 0600"), "{error}");
    link.is_hidden_in(&format!("{error} {error:?}"));
}

#[tokio::test]
async fn a_key_that_was_replaced_is_said_once_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.key");
    KeyFile::create(&path, SECOND).unwrap();
    let first = Link::read(&path);
    let layer = PrivacyLogLayer::new(&policy(&in_file(&path), "1s", "2s")).unwrap();
    fs::remove_file(&path).unwrap();
    KeyFile::create(&path, SECOND).unwrap();
    let second = Link::read(&path);
    let (written, _guard) = support::written();
    let deadline = Instant::now() + Duration::from_secs(10);
    let said = || written.text().matches("was replaced by a key of another chain").count();
    while said() == 0 {
        assert!(Instant::now() < deadline, "{}", written.text());
        exchange(&layer, "198.51.100.7".parse().unwrap(), "ada").await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let more = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < more {
        exchange(&layer, "198.51.100.7".parse().unwrap(), "ada").await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(said(), 1, "{}", written.text());
    for record in written.records() {
        let pseudonym = record["client.pseudonym"].as_str().unwrap();
        let expected =
            first.at(epoch(pseudonym)).pseudonym("client.address", &address("198.51.100.7"));
        assert_eq!(pseudonym, expected, "it goes on with its own");
    }
    first.is_hidden_in(&written.text());
    second.is_hidden_in(&written.text());
    assert_eq!(Link::read(&path).chain, second.chain, "the new key is left as it is");
}
