//! Three copies of a service share one key file: they agree without talking, through rotations, a
//! `kill -9` and a restart, and the file forgets in time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tower_privacy_log::KeyFile;

use super::copy::Copy;
use super::ratchet::{Link, address};
use super::{epoch, in_file, seconds, text};

const ROTATE: u64 = 2;
const FORGET: u64 = 4;
const BOUND: Duration = Duration::from_secs(30);

/// A request's route tells whose it was.
const HOME: (&str, &str) = ("/health", "198.51.100.7");
const ROAMING: &str = "/users/{id}";

/// The pseudonyms of one route, by epoch.
type Seen = BTreeMap<(u64, String), BTreeSet<String>>;

#[test]
fn three_copies_agree_through_five_rotations_a_kill_and_a_restart() {
    let started = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let (policy, key) = (folder.path().join("privacy.toml"), folder.path().join("privacy.key"));
    KeyFile::create(&key, Duration::from_secs(ROTATE)).unwrap();
    let first = Link::read(&key);
    let keys = in_file(&key);
    fs::write(&policy, text(&keys, &format!("{ROTATE}s"), &format!("{FORGET}s"))).unwrap();
    let mut fleet = Fleet::start(&policy);
    let mut killed_in = None;
    while fleet.shared().len() < 6 {
        assert!(started.elapsed() < BOUND, "shared so far: {:?}", fleet.shared());
        fleet.ask();
        forgets(&key, &first);
        let now = seconds() / ROTATE;
        match killed_in {
            None if fleet.shared().len() >= 2 => {
                fleet.kill(1);
                killed_in = Some(now);
            }
            Some(then) if now > then => fleet.restart(1),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(killed_in.is_some(), "one was killed on the way");
    let all = fleet.stop();
    agree(&all, &first);
    assert!(started.elapsed() < BOUND, "it took {:?}", started.elapsed());
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["privacy.key", "privacy.toml"], "nothing temporary is left");
}

/// The file can be read at any moment, and soon after a rotation it holds no key past `forget`.
fn forgets(key: &Path, first: &Link) {
    let deadline = Instant::now() + Duration::from_secs(ROTATE);
    loop {
        let oldest = KeyFile::read(key).expect("the file is always whole").epoch();
        let age = seconds().saturating_sub(oldest * ROTATE);
        if age < FORGET {
            assert!(oldest >= first.epoch);
            return;
        }
        assert!(Instant::now() < deadline, "the file holds a key of {age} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every pseudonym is the one that the first link leads to, whoever wrote it.
fn agree(seen: &[Seen], first: &Link) {
    for ((number, route), found) in seen.iter().flatten() {
        let client = if route == ROAMING { "2001:db8:1:2::1" } else { HOME.1 };
        let expected = first.at(*number).pseudonym("client.address", &address(client));
        assert_eq!(found.iter().collect::<Vec<_>>(), [&expected], "{route} in {number}");
    }
}

struct Fleet {
    policy: PathBuf,
    copies: Vec<Option<Copy>>,
    /// What those that are gone have written, by place.
    gone: Vec<Vec<Value>>,
    outputs: String,
}

impl Fleet {
    fn start(policy: &Path) -> Self {
        let copies = (0..3).map(|_| Some(Copy::start(policy, &[]))).collect();
        Self {
            policy: policy.to_owned(),
            copies,
            gone: vec![Vec::new(); 3],
            outputs: String::new(),
        }
    }

    /// One client asks everybody; another one has moved within its network each time.
    fn ask(&self) {
        for (at, copy) in self.copies.iter().enumerate() {
            let Some(copy) = copy else { continue };
            copy.ask(HOME.0, HOME.1);
            copy.ask("/users/1", &format!("2001:db8:1:2:{at}::{at}"));
        }
    }

    fn kill(&mut self, at: usize) {
        let copy = self.copies[at].take().expect("it runs");
        self.gone[at].extend(copy.kill());
    }

    fn restart(&mut self, at: usize) {
        if self.copies[at].is_none() {
            self.copies[at] = Some(Copy::start(&self.policy, &[]));
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let lines = |(copy, gone): (&Option<Copy>, &Vec<Value>)| {
            let running = copy.as_ref().map(Copy::lines).unwrap_or_default();
            gone.iter().chain(&running).fold(Seen::new(), noted)
        };
        self.copies.iter().zip(&self.gone).map(lines).collect()
    }

    /// The epochs in which all three have answered the same client.
    fn shared(&self) -> BTreeSet<u64> {
        let epochs = |seen: Seen| {
            let home = seen.into_keys().filter(|(_, route)| route == HOME.0);
            home.map(|(number, _)| number).collect::<BTreeSet<u64>>()
        };
        let all = self.seen().into_iter().map(epochs);
        all.reduce(|one, other| &one & &other).unwrap_or_default()
    }

    fn stop(mut self) -> Vec<Seen> {
        for (copy, gone) in self.copies.iter_mut().zip(&mut self.gone) {
            let (lines, errors) = copy.take().expect("all run again").stop();
            gone.extend(lines);
            self.outputs.push_str(&errors);
        }
        assert_eq!(self.outputs, "", "nobody had anything to warn of");
        self.seen()
    }
}

fn noted(mut seen: Seen, line: &Value) -> Seen {
    let pseudonym = line["client.pseudonym"].as_str().expect("each line has its pseudonym");
    let route = line["http.route"].as_str().expect("a route").to_owned();
    seen.entry((epoch(pseudonym), route)).or_default().insert(pseudonym.to_owned());
    seen
}
