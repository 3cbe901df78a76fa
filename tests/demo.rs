//! The demo, seen from outside: its routes, its lines, its end; nothing on stdout but records.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// What no output may have: every request below carries it everywhere.
const SECRET: &str = "canary9f3k";

struct Demo {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<std::process::ChildStderr>,
}

fn demo(arguments: &[&str]) -> Command {
    let tests = std::env::current_exe().expect("a test has a path");
    let folder = tests.ancestors().nth(2).expect("tests are two levels below the profile's folder");
    let mut command = Command::new(folder.join("examples").join("axum"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut child = demo(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .spawn()
            .expect("cargo test builds the examples");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").expect("the first line");
        Self { child, address: address.parse().unwrap(), stderr }
    }

    /// One request on its own connection; what came back.
    fn request(&self, method: &str, target: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: demo.test\r\nconnection: close\r\n\
             cookie: session={SECRET}\r\nuser-agent: {SECRET}\r\nauthorization: Bearer {SECRET}\r\n\
             referer: https://{SECRET}:{SECRET}@Example.com/{SECRET}?{SECRET}\r\n\
             x-forwarded-for: 198.51.100.9\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ctrl-C; what the process has written in all its life.
    fn stop(mut self) -> (Output, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let mut errors = String::new();
        self.stderr.read_to_string(&mut errors).unwrap();
        (self.child.wait_with_output().unwrap(), errors)
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("stdout holds JSON lines only"))
        .collect()
}

fn keys(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

const ALWAYS: [&str; 6] = [
    "timestamp",
    "log",
    "policy",
    "client.pseudonym",
    "http.request.method",
    "http.request.header.referer",
];

type Fields = &'static [(&'static str, &'static str)];

/// A route, how to ask for it, and the declared fields that its line has beside [`ALWAYS`].
const ROUTES: [(&str, &str, Fields); 9] = [
    ("GET", "/", &[("http.route", "\"/\""), ("http.response.status_code", "200")]),
    (
        "GET",
        "/users/canary9f3k",
        &[("http.route", "\"/users/{id}\""), ("http.response.status_code", "200")],
    ),
    (
        "GET",
        "/fail",
        &[
            ("http.route", "\"/fail\""),
            ("http.response.status_code", "500"),
            ("error.type", "\"500\""),
        ],
    ),
    ("GET", "/panic", &[("http.route", "\"/panic\""), ("error.type", "\"panic\"")]),
    (
        "GET",
        "/stream?chunks=3&ms=5&x=canary9f3k",
        &[("http.route", "\"/stream\""), ("http.response.status_code", "200")],
    ),
    ("POST", "/upload", &[("http.route", "\"/upload\""), ("http.response.status_code", "200")]),
    (
        "GET",
        "/generate?model=sdxl&user=canary9f3k",
        &[
            ("http.route", "\"/generate\""),
            ("http.response.status_code", "200"),
            ("generation.model", "\"sdxl\""),
            ("user.hash", ""),
        ],
    ),
    ("GET", "/health", &[("http.route", "\"/health\""), ("http.response.status_code", "200")]),
    ("GET", "/canary9f3k?canary9f3k", &[("http.response.status_code", "404")]),
];

#[test]
fn every_route_gives_one_line_with_the_declared_keys_and_no_other_output() {
    let demo = Demo::start(&[]);
    for (method, target, _) in ROUTES {
        demo.request(method, target, if method == "POST" { SECRET } else { "" });
    }
    let (output, errors) = demo.stop();
    assert!(output.status.success(), "Ctrl-C is an orderly end: {:?} {errors}", output.status);
    let lines = lines(&output.stdout);
    assert_eq!(lines.len(), ROUTES.len());
    for (line, (_, target, fields)) in lines.iter().zip(ROUTES) {
        let expected: BTreeSet<&str> =
            ALWAYS.into_iter().chain(fields.iter().map(|(name, _)| *name)).collect();
        assert_eq!(keys(line), expected, "{target}");
        assert_eq!(line["http.request.header.referer"], "https://example.com");
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            assert_eq!(line[*name].to_string(), *value, "{target}");
        }
    }
    let written = format!("{}{errors}", String::from_utf8_lossy(&output.stdout));
    // None of them can be part of a pseudonym.
    for secret in
        [SECRET, "127.0.0.1", "198.51.100.9", "203.0.113.7", "ada@", "Ada", "s3cr3t", "4111 1111"]
    {
        assert!(!written.contains(secret), "{secret} was written");
    }
}

#[test]
fn the_page_shows_a_visitor_its_own_requests_beside_their_records() {
    let demo = Demo::start(&[]);
    let first = demo.request("GET", "/", "");
    let cookie =
        first.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let mut stream = TcpStream::connect(demo.address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: demo.test\r\nconnection: close\r\ncookie: {cookie}\r\nx-mine: <b>mine</b>\r\n\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let mut stream = TcpStream::connect(demo.address).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nhost: demo.test\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n"
    )
    .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("&lt;b&gt;mine&lt;/b&gt;"), "what was sent, escaped");
    assert!(page.contains("http.response.status_code"), "what was logged");
    assert!(
        !demo.request("GET", "/", "").contains("x-mine"),
        "another visitor's requests are not shown"
    );
    demo.stop();
}

#[test]
fn a_broken_policy_stops_the_start_with_its_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("broken.toml");
    std::fs::write(
        &path,
        "policy = \"x\"\n[log.access.fields]\n\"cleint.address\" = \"truncate\"\n",
    )
    .unwrap();
    let output = demo(&["--policy", path.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("broken.toml: line 3, column 1: "), "{errors}");
    assert!(errors.contains("did you mean \"client.address\"?"), "{errors}");
    let missing = demo(&["--policy", "/nowhere/at/all.toml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("/nowhere/at/all.toml"));
}

#[test]
fn what_a_policy_does_not_mean_is_warned_of_after_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("warned.toml");
    std::fs::write(
        &path,
        "policy = \"x\"\n[client]\nsource = \"forwarded\"\n[log.access]\npurpose = [\"security\"]\n\
         legal_basis = \"contract\"\nretention = \"1d\"\n[log.access.fields]\n\"client.address\" = \"truncate\"\n",
    )
    .unwrap();
    let (output, errors) = Demo::start(&["--policy", path.to_str().unwrap()]).stop();
    assert!(output.status.success());
    let warned: Vec<&str> = errors.lines().collect();
    assert!(warned[0].starts_with("warning: client.trusted_proxies: "), "{errors}");
    let policy: tower_privacy_log::Policy = std::fs::read_to_string(path).unwrap().parse().unwrap();
    assert_eq!(warned.len(), policy.warnings().len());
}

#[test]
fn lines_that_nobody_reads_are_told_of_and_stop_no_request() {
    let mut demo = Demo::start(&[]);
    drop(demo.child.stdout.take());
    for _ in 0..3 {
        assert!(demo.request("GET", "/health", "").starts_with("HTTP/1.1 200"));
    }
    let (output, errors) = demo.stop();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("log lines cannot be written log=\"*\" error=\"broken pipe\""),
        "{errors}"
    );
    assert!(errors.ends_with("\n3 records could not be written\n"), "{errors}");
    assert!(!errors.contains(SECRET), "{errors}");
}

#[test]
fn an_open_response_is_flushed_as_aborted_at_the_end() {
    let demo = Demo::start(&[]);
    let mut stream = TcpStream::connect(demo.address).unwrap();
    write!(stream, "GET /stream?chunks=10000&ms=20 HTTP/1.1\r\nhost: demo.test\r\n\r\n").unwrap();
    let mut first = [0; 256];
    assert!(stream.read(&mut first).unwrap() > 0);
    let (output, _) = demo.stop();
    let lines = lines(&output.stdout);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["error.type"], "aborted");
    assert_eq!(lines[0]["http.response.status_code"], 200);
}

#[test]
fn the_default_policy_is_in_the_repository() {
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/imgs2.toml").is_file());
}
