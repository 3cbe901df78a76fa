//! Guarantee: whatever happens to the disk, every request is answered; after the cure lines flow again by themselves, and
//! what is missing is counted in the log. The victim is the demo; more faults are beside the sink's source.
#![allow(dead_code, reason = "the crash test uses the rest of the demo")]

#[path = "sink_crash/demo.rs"]
mod demo;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use demo::{Demo, ask, program};
use serde_json::Value;

/// Files of one second, which are closed when it is over, so that a file system can become read-only.
const POLICY: &str = "policy = \"faults-1\"\n[log.access]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\n\
    retention = \"10m\"\n[log.access.app_fields]\n\"generation.model\" = \"keep\"\n";
const NOBODY: u32 = 65_534;

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(15), "took too long");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A small file system of its own; none where this user may not mount.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str()?;
        run("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs", place]).then_some(Self(dir))
    }

    fn remount(&self, how: &str) -> bool {
        run("mount", &["-o", &format!("remount,{how}"), self.0.path().to_str().unwrap()])
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.path().to_str().unwrap()]);
    }
}

/// A demo that has written its first lines, and the number of the next marker.
struct Service {
    demo: Demo,
    connection: TcpStream,
    asked: u64,
}

impl Service {
    fn start(command: &mut Command, folder: &Path) -> Self {
        let policy = folder.join("policy.toml");
        fs::write(&policy, POLICY).unwrap();
        let demo = Demo::run(command.arg("--policy").arg(policy));
        let connection = TcpStream::connect(demo.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut service = Self { demo, connection, asked: 0 };
        service.ask(20);
        service
    }

    /// Every request has its answer, soon.
    fn ask(&mut self, count: u64) {
        let start = Instant::now();
        for _ in 0..count {
            ask(&mut self.connection, self.asked).expect("an answer");
            self.asked += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    /// Ctrl-C, once every record is in the log or counted there.
    fn end(mut self, logs: &Path, missing: u64) {
        wait_for(|| markers(logs).0.len() as u64 + markers(logs).1 + missing == self.asked);
        let (mut found, dropped) = markers(logs);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len() as u64 + dropped + missing, self.asked, "none is there twice");
        assert!(run("kill", &["-INT", &self.demo.child.id().to_string()]));
        assert!(self.demo.child.wait().unwrap().success() || dropped > 0);
    }
}

/// The markers in the log, and the sum of its dropped counts.
fn markers(logs: &Path) -> (Vec<u64>, u64) {
    let (mut markers, mut dropped) = (Vec::new(), 0);
    for file in fs::read_dir(logs.join("access")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let record: Value = serde_json::from_str(line).expect("a whole record");
            match record["dropped"].as_u64() {
                Some(count) => dropped += count,
                None => {
                    markers.push(record["generation.model"].as_str().unwrap()[1..].parse().unwrap())
                }
            }
        }
    }
    (markers, dropped)
}

fn written(logs: &Path, count: u64) {
    wait_for(|| markers(logs).0.len() as u64 == count);
}

fn command(logs: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("--log-dir").arg(logs);
    command
}

#[test]
fn a_full_disk_stops_no_request_and_its_lines_come_when_there_is_room() {
    let Some(disk) = Small::new() else { return eprintln!("not run: no right to mount") };
    let (logs, folder) = (disk.0.path(), tempfile::tempdir().unwrap());
    let mut service = Service::start(&mut command(logs), folder.path());
    written(logs, 20);
    let filler = logs.join("filler");
    assert!(fs::write(&filler, vec![0; 1 << 20]).is_err(), "the disk is full");
    service.ask(2_000);
    assert!(markers(logs).0.len() < 500, "it has no room for all");
    fs::remove_file(filler).unwrap();
    assert!(disk.remount("size=16m"));
    service.ask(20);
    service.end(logs, 0);
}

#[test]
fn a_read_only_file_system_stops_no_request_and_its_lines_come_when_it_is_writable() {
    let Some(disk) = Small::new() else { return eprintln!("not run: no right to mount") };
    let (logs, folder) = (disk.0.path(), tempfile::tempdir().unwrap());
    let mut service = Service::start(&mut command(logs), folder.path());
    written(logs, 20);
    wait_for(|| disk.remount("ro"));
    service.ask(300);
    assert_eq!(markers(logs).0.len(), 20);
    assert!(disk.remount("rw"));
    service.ask(20);
    service.end(logs, 0);
}

#[test]
fn a_removed_folder_stops_no_request_and_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let mut service = Service::start(&mut command(&logs), folder.path());
    written(&logs, 20);
    fs::remove_dir_all(&logs).unwrap();
    // Something else in its place cannot be written to.
    fs::write(&logs, "").unwrap();
    service.ask(300);
    fs::remove_file(&logs).unwrap();
    service.ask(20);
    service.end(&logs, 20);
}

#[test]
fn lost_permission_stops_no_request_and_its_lines_come_when_it_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, demo) = (folder.path().join("logs"), folder.path().join("demo"));
    fs::create_dir(&logs).unwrap();
    fs::copy(program(), &demo).unwrap();
    let mut command = Command::new(demo);
    command.arg("--log-dir").arg(&logs);
    // Root is refused nothing, so the demo is somebody else.
    if fs::metadata(folder.path())
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
    {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        chown(&logs, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut service = Service::start(&mut command, folder.path());
    written(&logs, 20);
    let allow = |mode| {
        fs::set_permissions(logs.join("access"), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(0);
    // The open file is its own until its second is over.
    thread::sleep(Duration::from_millis(1_500));
    service.ask(300);
    allow(0o700);
    service.ask(20);
    service.end(&logs, 0);
}
