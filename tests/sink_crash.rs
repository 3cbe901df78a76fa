//! Guarantee: `kill -9` under load leaves no torn line after the restart, loses only what was answered in the last
//! moment, and nothing is in the log twice. The victim is the demo.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const KILLS: u64 = 50;
const ALL: Duration = Duration::from_secs(60);

/// `Options::interval` is 10 ms. The rest is for a busy machine: the record is made after the answer was sent, and
/// the thread that writes needs its turn.
const LATEST: Duration = Duration::from_millis(250);

struct Demo {
    child: Child,
    address: SocketAddr,
}

impl Demo {
    fn start(logs: &Path) -> Self {
        let tests = std::env::current_exe().expect("a test has a path");
        let folder =
            tests.ancestors().nth(2).expect("tests are two levels below the profile's folder");
        let mut child = Command::new(folder.join("examples").join("axum"))
            .args(["--listen", "127.0.0.1:0", "--log-dir"])
            .arg(logs)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo test builds the examples");
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").expect("the first line");
        Self { child, address: address.parse().unwrap() }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs until it is killed");
        self.child.wait().unwrap();
    }
}

/// Asks with one marker after another until the server is gone; when each answer was there.
fn load(address: SocketAddr, first: u64) -> Vec<(u64, Instant)> {
    let mut answered = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return answered };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for marker in first.. {
        match ask(&mut stream, marker) {
            Ok(()) => answered.push((marker, Instant::now())),
            Err(_) => break,
        }
    }
    answered
}

fn ask(stream: &mut TcpStream, marker: u64) -> io::Result<()> {
    let request = format!("GET /generate?model=m{marker} HTTP/1.1\r\nhost: demo.test\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut block = [0; 1024];
    // The body ends with a line of its own.
    while !answer.ends_with(b"dropped.\n") {
        match stream.read(&mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&block[..count]),
        }
    }
    Ok(())
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

#[test]
fn a_killed_demo_loses_the_last_moment_and_nothing_else() {
    let logs = tempfile::tempdir().unwrap();
    let (start, mut needed, mut kills) = (Instant::now(), Vec::new(), 0);
    let mut random = u64::from(std::process::id()) | 1;
    while kills < KILLS && start.elapsed() < ALL {
        let demo = Demo::start(logs.path());
        let (address, first) = (demo.address, kills * 1_000_000);
        let clients: Vec<_> = (0..2)
            .map(|client| thread::spawn(move || load(address, first + client * 500_000)))
            .collect();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_millis(200 + (random >> 33) % 400));
        let killed = Instant::now();
        demo.kill();
        let answers = clients.into_iter().flat_map(|client| client.join().unwrap());
        needed.extend(answers.filter(|(_, at)| *at + LATEST < killed).map(|(marker, _)| marker));
        kills += 1;
        if kills % 3 == 0 {
            tear(logs.path());
        }
    }
    assert!(kills >= 10, "{kills} in {:?}", start.elapsed());

    Demo::start(logs.path()).kill();
    let mut there = HashSet::new();
    for line in lines(logs.path()) {
        let record: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(record.get("dropped"), None);
        let model = record["generation.model"].as_str().expect("every request names one");
        assert!(there.insert(model[1..].parse::<u64>().unwrap()), "{model} is there twice");
    }
    let missing: Vec<_> = needed.iter().filter(|marker| !there.contains(marker)).collect();
    // On a machine that starves the writing thread of its turn, a round may lose more than its last moment.
    let starved: HashSet<u64> = missing.iter().map(|marker| *marker / 1_000_000).collect();
    let few = starved.len() as u64 <= kills / 10;
    assert!(few, "{} of {} are missing: {missing:?}", missing.len(), needed.len());
    assert!(needed.len() > 100, "{} answers", needed.len());
}
