//! What is in the log after things went wrong: a killed process, a full disk, lost permission.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tracing::dispatcher::with_default;

use super::super::{Flush, Options, Overflow};
use super::support::{emit, files, open, read, site, wait_for};

/// Says to a test of this program that it is the child process of another one, and where its folder is.
const FOLDER: &str = "PRIVACY_LOG_TEST_FOLDER";
const FIRST: &str = "PRIVACY_LOG_TEST_FIRST";

fn text(dir: &Path) -> String {
    super::support::text(&files(dir, "access"))
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// This test program again, running one test as a child.
fn again(exe: &Path, test: &str, dir: &Path) -> Command {
    let mut command = Command::new(exe);
    let test = format!("json_lines::tests::faults::{test}");
    command.args(["--exact", &test, "--nocapture", "--test-threads=1"]).env(FOLDER, dir);
    command
}

/// Writes until killed and says what was flushed; two threads, one of which never waits.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let (dispatch, flush) =
        open(dir.as_ref(), Options { max_file: 3_000_000, ..Options::default() });
    let site = site("access");
    thread::scope(|scope| {
        scope.spawn(|| {
            with_default(&dispatch, || {
                for n in 500_000.. {
                    emit(site, first + n);
                    if n % 64 == 0 {
                        thread::sleep(Duration::from_micros(300));
                    }
                }
            });
        });
        with_default(&dispatch, || {
            for n in 0.. {
                emit(site, first + n);
                if n % 50 == 49 {
                    flush.flush().unwrap();
                    writeln!(io::stdout(), "\nflushed {n}").unwrap();
                }
            }
        });
    });
}

fn number(line: &str) -> Option<u64> {
    line.strip_prefix("flushed ")?.parse().ok()
}

#[test]
fn a_killed_process_leaves_no_torn_line_and_loses_nothing_that_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut flushed = Vec::new();
    for round in 0..20_u64 {
        let mut child = again(&exe, "child_that_is_killed", dir.path())
            .env(FIRST, (round * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = lines.filter_map(|line| number(&line));
        let first = acknowledged.next().expect("it flushes before it is killed");
        thread::sleep(Duration::from_micros(round * 997 % 23_000));
        child.kill().unwrap();
        flushed.push(acknowledged.last().unwrap_or(first));
        child.wait().unwrap();
    }
    let (_dispatch, _flush) = open(dir.path(), Options::default());
    let (markers, dropped) = read(&text(dir.path()));
    let there: HashSet<u64> = markers.iter().copied().collect();
    assert_eq!(there.len(), markers.len(), "a line is there twice");
    for (round, last) in flushed.iter().enumerate() {
        let missing: Vec<_> = (0..=*last)
            .map(|n| round as u64 * 1_000_000 + n)
            .filter(|n| !there.contains(n))
            .collect();
        assert!(missing.is_empty() || dropped > 0, "round {round}: {missing:?}");
    }
    assert_eq!(dropped, 0);
}

/// A small file system of its own; none where this user may not mount.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs", dir.path().to_str()?])
            .then_some(Self(dir))
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn remount(&self, how: &str) -> bool {
        run("mount", &["-o", &format!("remount,{how}"), self.path().to_str().unwrap()])
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

/// Every record is in the log or in its count of dropped ones, and the statistics say the same.
fn agree(dir: &Path, flush: &Flush, emitted: u64) {
    let text = text(dir);
    let (markers, dropped) = read(&text);
    let once: HashSet<u64> = markers.iter().copied().collect();
    let stats = flush.stats();
    assert_eq!(once.len(), markers.len(), "a line is there twice");
    assert_eq!(markers.len() as u64 + dropped, emitted, "{stats:?}");
    assert_eq!((stats.written, stats.dropped, stats.queued), (markers.len() as u64, dropped, 0));
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_writing_resumes() {
    let Some(disk) = Small::new() else { return eprintln!("not run: no right to mount") };
    let options = Options { buffer: 64 << 10, overflow: Overflow::Block, ..Options::default() };
    let (dispatch, flush) = open(disk.path(), options);
    let (site, start) = (site("access"), Instant::now());
    with_default(&dispatch, || (0..20_000).for_each(|n| emit(site, n)));
    assert!(flush.flush().is_err());
    assert!(start.elapsed() < Duration::from_secs(10));
    let full = text(disk.path());
    assert!(full.ends_with('\n') && full.len() > 200_000, "{}", full.len());
    assert!(disk.remount("size=64m"));
    wait_for(|| flush.flush().is_ok());
    with_default(&dispatch, || (20_000..20_100).for_each(|n| emit(site, n)));
    flush.flush().unwrap();
    agree(disk.path(), &flush, 20_100);
    assert!(flush.stats().dropped > 1000 && flush.stats().failed > 0);
}

#[test]
fn a_short_full_disk_costs_nothing() {
    let Some(disk) = Small::new() else { return eprintln!("not run: no right to mount") };
    let (dispatch, flush) = open(disk.path(), Options::default());
    with_default(&dispatch, || (0..5_000).for_each(|n| emit(site("access"), n)));
    assert!(flush.flush().is_err());
    assert!(disk.remount("size=64m"));
    wait_for(|| flush.stats().queued == 0);
    agree(disk.path(), &flush, 5_000);
    assert_eq!(flush.stats().dropped, 0);
}

#[test]
fn a_read_only_file_system_is_a_fault_until_it_is_writable_again() {
    let Some(disk) = Small::new() else { return eprintln!("not run: no right to mount") };
    let (dispatch, flush) = open(disk.path(), Options::default());
    with_default(&dispatch, || (0..100).for_each(|n| emit(site("access"), n)));
    flush.flush().unwrap();
    flush.reopen();
    flush.flush().unwrap();
    assert!(disk.remount("ro"));
    with_default(&dispatch, || (100..200).for_each(|n| emit(site("access"), n)));
    assert_eq!(flush.flush().unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    assert!(disk.remount("rw"));
    wait_for(|| flush.stats().queued == 0);
    agree(disk.path(), &flush, 200);
}

#[test]
fn child_without_the_rights_of_root() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = Path::new(&dir);
    let (dispatch, flush) =
        open(dir, Options { max_file: 20_000, buffer: 64 << 10, ..Options::default() });
    let allow =
        |mode| fs::set_permissions(dir.join("access"), fs::Permissions::from_mode(mode)).unwrap();
    let site = site("access");
    with_default(&dispatch, || (0..50).for_each(|n| emit(site, n)));
    flush.flush().unwrap();
    allow(0);
    let start = Instant::now();
    with_default(&dispatch, || (50..20_000).for_each(|n| emit(site, n)));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(flush.flush().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    allow(0o700);
    wait_for(|| flush.flush().is_ok());
    agree(dir, &flush, 20_000);
    assert!(flush.stats().dropped > 0);
}

#[test]
fn lost_permission_is_a_fault_until_it_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    let child = "child_without_the_rights_of_root";
    let is_root = rustix::process::geteuid().is_root();
    let status = if is_root {
        chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
        chown(&home, Some(65_534), Some(65_534)).unwrap();
        let exe = dir.path().join("exe");
        fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
        again(&exe, child, &home).uid(65_534).gid(65_534).status()
    } else {
        again(&std::env::current_exe().unwrap(), child, &home).status()
    };
    assert!(status.unwrap().success());
}

#[test]
fn a_removed_folder_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, flush) = open(dir.path(), Options::default());
    let site = site("access");
    with_default(&dispatch, || {
        for n in 0..20 {
            emit(site, n);
            flush.flush().unwrap();
            fs::remove_dir_all(dir.path().join("access")).unwrap();
        }
    });
    with_default(&dispatch, || emit(site, 20));
    flush.flush().unwrap();
    assert_eq!(read(&text(dir.path())).0, [20]);
    // A file where the folder should be is a fault like any other.
    fs::remove_dir_all(dir.path().join("access")).unwrap();
    fs::write(dir.path().join("access"), "").unwrap();
    with_default(&dispatch, || emit(site, 21));
    assert!(flush.flush().is_err());
    fs::remove_file(dir.path().join("access")).unwrap();
    wait_for(|| flush.flush().is_ok());
    assert_eq!(read(&text(dir.path())).0, [21]);
}
