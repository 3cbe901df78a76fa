//! One copy of the demo as a process of its own, its lines read while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

pub struct Copy {
    child: Child,
    address: SocketAddr,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
    stderr: BufReader<ChildStderr>,
}

pub fn demo(policy: &Path, variables: &[(&str, &str)]) -> Command {
    let tests = std::env::current_exe().expect("a test has a path");
    let folder = tests.ancestors().nth(2).expect("tests are two levels below the profile's folder");
    let mut command = Command::new(folder.join("examples").join("axum"));
    command.args(["--listen", "127.0.0.1:0", "--policy"]).arg(policy);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Copy {
    pub fn start(policy: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = demo(policy, variables)
            .spawn()
            .expect("`cargo test`, or `cargo build --example axum`, builds the demo");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stdout, into) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&lines));
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // What a killed process wrote last may be cut off.
                if let Ok(line) = serde_json::from_str(&line) {
                    into.lock().unwrap().push(line);
                }
            }
        });
        Self { child, address, lines, reader: Some(reader), stderr }
    }

    /// One request of that client.
    pub fn ask(&self, target: &str, client: &str) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nhost: demo.test\r\nconnection: close\r\nx-real-ip: {client}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// `kill -9`; the lines that got out.
    pub fn kill(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.end().0
    }

    /// Ctrl-C; all lines, and what went to stderr.
    pub fn stop(mut self) -> (Vec<Value>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.end()
    }

    fn end(&mut self) -> (Vec<Value>, String) {
        let mut errors = String::new();
        self.stderr.read_to_string(&mut errors).unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (self.lines(), errors)
    }
}

impl Drop for Copy {
    /// A failed test leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
