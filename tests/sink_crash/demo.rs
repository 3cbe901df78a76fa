//! The demo as a process that writes into a folder, and requests with markers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Demo {
    pub child: Child,
    pub address: SocketAddr,
}

/// The built demo.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("a test has a path");
    let folder = tests.ancestors().nth(2).expect("tests are two levels below the profile's folder");
    folder.join("examples").join("axum")
}

impl Demo {
    pub fn start(logs: &Path, arguments: &[&str]) -> Self {
        Self::run(Command::new(program()).arg("--log-dir").arg(logs).args(arguments))
    }

    pub fn run(command: &mut Command) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo test builds the examples");
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").expect("the first line");
        Self { address: address.parse().unwrap(), child }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs until it is killed");
        self.child.wait().unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for a record with this marker, and reads the whole answer.
pub fn ask(stream: &mut TcpStream, marker: u64) -> io::Result<()> {
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
