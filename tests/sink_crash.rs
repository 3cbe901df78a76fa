//! Guarantee: `kill -9` under load leaves no torn line after the restart, loses only the last moment, and nothing is in
//! the log twice. The victim is the demo.
//!
//! A loaded machine may keep the writing thread from its turn for any time, so what has to be there is told by what
//! came after it, not by a clock: the thread takes all that waits, writes it, and only then takes more. How long
//! the last moment is, is judged by the median of all kills.

#[path = "sink_crash/demo.rs"]
mod demo;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use demo::{Demo, ask};
use serde_json::Value;

const KILLS: usize = 50;
const ALL: Duration = Duration::from_secs(60);

/// `Options::interval` is 10 ms; a moment is three turns of the writing thread and what a busy machine adds.
const MOMENT: Duration = Duration::from_millis(100);

struct Asked {
    marker: u64,
    sent: Instant,
    /// When the next request of the connection was answered, so that the record was certainly handed over.
    recorded: Option<Instant>,
}

/// Asks with one marker after another until the server is gone.
fn load(address: SocketAddr, first: u64) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return asked };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for marker in first.. {
        let sent = Instant::now();
        let answered = ask(&mut stream, marker);
        if let (Some(last), true) = (asked.last_mut(), answered.is_ok()) {
            last.recorded = Some(Instant::now());
        }
        asked.push(Asked { marker, sent, recorded: None });
        if answered.is_err() {
            break;
        }
    }
    asked
}

/// Follows the files from now on until the end of the demo; when each marker was first seen there.
fn watch(logs: &Path, ended: &AtomicBool) -> HashMap<u64, Instant> {
    let length = |file: &Path| fs::metadata(file).map_or(0, |about| about.len());
    let mut read: HashMap<PathBuf, u64> =
        files(logs).into_iter().map(|file| (file.clone(), length(&file))).collect();
    let mut seen = HashMap::new();
    while !ended.load(Ordering::Relaxed) {
        for path in files(logs) {
            let done = read.entry(path.clone()).or_default();
            let mut bytes = Vec::new();
            let mut file = fs::File::open(&path).unwrap();
            file.seek(SeekFrom::Start(*done)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            let now = Instant::now();
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            *done += whole as u64;
            let lines = std::str::from_utf8(&bytes[..whole]).unwrap().lines();
            seen.extend(lines.map(|line| (marker(line), now)));
        }
        thread::sleep(Duration::from_millis(2));
    }
    seen
}

fn marker(line: &str) -> u64 {
    let record: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(record.get("dropped"), None);
    let model = record["generation.model"].as_str().expect("every request names one");
    model[1..].parse().expect("a marker")
}

/// The lines of all files, which have to be whole.
fn lines(logs: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for file in files(logs) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "torn: {:?}", text.lines().last());
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

fn files(logs: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(logs.join("access")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What a kill in the middle of a write leaves, which is too rare to wait for.
fn tear(logs: &Path) {
    for file in files(logs) {
        let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(b"{\"timestamp\":\"2026-01-02T03:0").unwrap();
    }
}

/// One life of the demo.
struct Round {
    asked: Vec<Asked>,
    seen: HashMap<u64, Instant>,
    killed: Instant,
}

impl Round {
    fn run(logs: &Path, first: u64, life: Duration) -> Self {
        let mut demo = Demo::start(logs, &[]);
        let (address, ended) = (demo.address, Arc::new(AtomicBool::new(false)));
        let watch = {
            let (logs, ended) = (logs.to_owned(), Arc::clone(&ended));
            thread::spawn(move || watch(&logs, &ended))
        };
        let clients: Vec<_> = (0..2)
            .map(|client| thread::spawn(move || load(address, first + client * 500_000)))
            .collect();
        thread::sleep(life);
        let killed = Instant::now();
        demo.kill();
        ended.store(true, Ordering::Relaxed);
        let asked = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        Self { asked, seen: watch.join().unwrap(), killed }
    }

    /// The latest request among those that `fits`.
    fn latest(&self, fits: impl Fn(&Asked) -> bool) -> Option<Instant> {
        self.asked.iter().filter(|asked| fits(asked)).map(|asked| asked.sent).max()
    }

    /// The moment before which everything that was recorded is certainly written.
    ///
    /// What is in the log was taken in some turn. What was sent after it had been seen there was taken in a later
    /// turn, and what was sent after that had been seen, in one later still; that one came after everything of the
    /// turn in between, which is the last that may have taken what was recorded before the first of the three.
    fn certain(&self, there: &HashSet<u64>) -> Option<Instant> {
        let seen_before = |asked: &Asked, end: Instant| {
            self.seen.get(&asked.marker).is_some_and(|seen| *seen < end)
        };
        let third = self.latest(|asked| there.contains(&asked.marker))?;
        let second = self.latest(|asked| seen_before(asked, third))?;
        self.latest(|asked| seen_before(asked, second))
    }
}

#[test]
fn a_killed_demo_loses_the_last_moment_and_nothing_else() {
    let logs = tempfile::tempdir().unwrap();
    let (start, mut rounds) = (Instant::now(), Vec::new());
    let mut random = u64::from(std::process::id()) | 1;
    while rounds.len() < KILLS && start.elapsed() < ALL {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let life = Duration::from_millis(200 + (random >> 33) % 400);
        rounds.push(Round::run(logs.path(), rounds.len() as u64 * 1_000_000, life));
        if rounds.len() % 3 == 0 {
            tear(logs.path());
        }
    }
    assert!(rounds.len() >= 10, "{} in {:?}", rounds.len(), start.elapsed());

    Demo::start(logs.path(), &[]).kill();
    let mut there = HashSet::new();
    for line in lines(logs.path()) {
        let marker = marker(&line);
        assert!(there.insert(marker), "{marker} is there twice");
    }
    let (mut needed, mut moments) = (0, Vec::new());
    for round in &rounds {
        let gone: Vec<_> = round.seen.keys().filter(|marker| !there.contains(marker)).collect();
        assert!(gone.is_empty(), "seen before the kill and gone after it: {gone:?}");
        let Some(certain) = round.certain(&there) else { continue };
        let recorded =
            round.asked.iter().filter(|asked| asked.recorded.is_some_and(|at| at < certain));
        let recorded: Vec<u64> = recorded.map(|asked| asked.marker).collect();
        let missing: Vec<_> = recorded.iter().filter(|marker| !there.contains(marker)).collect();
        assert!(missing.is_empty(), "what came later is there: {missing:?}");
        needed += recorded.len();
        moments.push(round.killed.saturating_duration_since(certain));
    }
    moments.sort_unstable();
    assert!(needed > 100 && moments.len() > rounds.len() / 2, "{needed} in {}", moments.len());
    assert!(moments[moments.len() / 2] < MOMENT, "{moments:?}");
}
