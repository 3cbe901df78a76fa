//! Guarantee: a process without requests turns its keys in time and says what its operator must know about
//! them; it stops when the layer is gone.
//!
//! One test, since it owns the process: its subscriber is everybody's, and its threads are counted.

mod support;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use support::Written;
use tower_privacy_log::{KeyFile, Policy, PrivacyLogLayer};
use tracing_subscriber::layer::SubscriberExt;

const SECOND: Duration = Duration::from_secs(1);

fn policy(key: &Path) -> Policy {
    let text = format!(
        "policy = \"idle-1\"\n[pseudonyms]\nkeys = {{ file = {key:?} }}\nrotate = \"1s\"\nforget = \"2s\"\n\
         [log.access]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"1d\"\n\
         [log.access.fields]\n\"client.pseudonym\" = \"pseudonymize\"\n"
    );
    text.parse().unwrap()
}

fn epoch(key: &Path) -> u64 {
    KeyFile::read(key).expect("the file is always whole").epoch()
}

/// At once, so that nobody finds it missing.
fn replace(key: &Path) {
    let other = key.with_extension("new");
    KeyFile::create(&other, SECOND).unwrap();
    fs::rename(other, key).unwrap();
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(10), "took too long");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many threads of this process look after keys; none where the system does not tell.
fn threads() -> usize {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("privacy-log-")).count()
}

#[test]
fn keys_turn_without_a_request_until_the_layer_is_gone() {
    let written = Written::default();
    let json = tracing_subscriber::fmt::layer().json().with_writer(written.clone());
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(json)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("privacy.key");
    KeyFile::create(&key, SECOND).unwrap();
    let first = epoch(&key);

    let layer = PrivacyLogLayer::new(&policy(&key)).unwrap();
    let clone = layer.clone();
    wait_for(|| epoch(&key) >= first + 2);
    drop(layer);
    wait_for(|| epoch(&key) >= first + 3);
    assert_eq!(written.text(), "", "nothing to say");

    replace(&key);
    wait_for(|| written.text().contains("was replaced by a key of another chain"));
    wait_for(|| cfg!(not(target_os = "linux")) || threads() > 0);

    drop(clone);
    wait_for(|| threads() == 0);
    replace(&key);
    let last = epoch(&key);
    thread::sleep(SECOND * 5 / 2);
    assert_eq!(epoch(&key), last, "nobody is left to move it");
    assert_eq!(written.text().lines().count(), 1, "{}", written.text());
}
