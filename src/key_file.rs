//! The key file: one link of the ratchet, readable by its owner only and replaced as a whole.
//!
//! Rule C6: a mode wider than 0600 is refused; a change is a new file, synced and renamed over the old one
//! under a lock on the folder, so a reader or a crash finds one or the other, and never an older one. What
//! the disk, its snapshots or a backup keep of a replaced file is not in reach from here.

use crate::error::Error;
use crate::key_error::{Fault, KeyError};
use crate::key_text::{Link, parse};
use crate::keys::{Span, unix, whole};
use crate::pseudonym::{Chain, Epoch, HEX, hex};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Longer than any text of this version, so that reading needs no growing buffer.
pub(crate) const LONGEST: usize = 256;
/// How often, ten milliseconds apart, a folder that another process holds is tried.
const TRIES: u32 = 200;

/// What a key file says about itself; the key stays in the file.
///
/// A symbolic link is followed, and the mode of its target counts: a mounted secret that a group may read
/// is refused (give it mode 0400 and the service as its owner, or use a variable).
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    rotate: u64,
    epoch: u64,
}

impl KeyFile {
    /// Makes a key file with a random key that starts at the present epoch.
    ///
    /// # Errors
    /// Something is there already, `rotate` is not whole seconds, or the file cannot be written.
    pub fn create(path: impl AsRef<Path>, rotate: Duration) -> Result<Self, Error> {
        Self::create_at(path.as_ref(), rotate, SystemTime::now()).map_err(Error::keys)
    }

    fn create_at(path: &Path, rotate: Duration, now: SystemTime) -> Result<Self, KeyError> {
        let new = || {
            let rotate = whole(rotate)?;
            let link = Link { rotate, chain: Chain::random(unix(now) / rotate)? };
            let slot = Slot::new(path.to_owned());
            if path.symlink_metadata().is_ok() {
                return Err(Fault::Exists);
            }
            slot.write(&link.text(), None).map_err(Fault::Write)?;
            Ok(Self::of(path, &link))
        };
        new().map_err(|fault| KeyError::file(path, fault))
    }

    /// Reads and checks a key file.
    ///
    /// # Errors
    /// The file is missing, too open or malformed.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let opened = open(path).map_err(|fault| KeyError::file(path, fault));
        opened.map(|(_, link)| Self::of(path, &link))
    }

    /// Destroys the keys of every epoch that began more than `forget` ago, and says how many those were.
    ///
    /// However far behind the file is, it is moved; a million epochs take about a second.
    ///
    /// # Errors
    /// As for [`KeyFile::read`], and when the file is ahead of the clock or cannot be written.
    pub fn advance(&mut self, forget: Duration) -> Result<u64, Error> {
        self.advance_at(forget, SystemTime::now()).map_err(Error::keys)
    }

    fn advance_at(&mut self, forget: Duration, now: SystemTime) -> Result<u64, KeyError> {
        let moved = || {
            let slot = Slot::at(&self.path)?;
            let (like, mut link) = slot.open()?;
            let (stored, span) = (link.chain.epoch, Span::new(self.rotate(), forget)?);
            link.fits(span)?;
            link.not_ahead(unix(now))?;
            let oldest = span.oldest(unix(now) / link.rotate);
            slot.move_on(&mut link, oldest, &like)?;
            Ok((stored, Self::of(&self.path, &link)))
        };
        let (stored, described) = moved().map_err(|fault| KeyError::file(&self.path, fault))?;
        *self = described;
        Ok(self.epoch - stored)
    }

    fn of(path: &Path, link: &Link) -> Self {
        Self { path: path.to_owned(), rotate: link.rotate, epoch: link.chain.epoch }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long one key is used.
    #[must_use]
    pub const fn rotate(&self) -> Duration {
        Duration::from_secs(self.rotate)
    }

    /// The oldest epoch whose pseudonyms can still be computed.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Every epoch that the file can still compute, oldest first, up to the present one.
#[cfg_attr(not(test), expect(dead_code, reason = "the commands find and erase will ask for it"))]
pub(crate) fn live(path: &Path, now: SystemTime) -> Result<impl Iterator<Item = Epoch>, KeyError> {
    let opened = open(path).and_then(|(_, link)| link.not_ahead(unix(now)).map(|()| link));
    let Link { rotate, mut chain } = opened.map_err(|fault| KeyError::file(path, fault))?;
    let last = (unix(now) / rotate).max(chain.epoch);
    Ok((chain.epoch..=last).map(move |epoch| {
        chain.advance(epoch);
        chain.epoch(rotate)
    }))
}

/// Opens the file of a policy, moves it forward, and returns the newest link with what prevented the move.
pub(crate) fn start(
    path: &Path,
    span: Span,
    seconds: u64,
) -> Result<(Chain, Option<KeyError>), KeyError> {
    let at = |fault| KeyError::file(path, fault);
    let slot = Slot::at(path).map_err(at)?;
    let (like, mut link) = slot.open().map_err(at)?;
    link.due(span, seconds).map_err(at)?;
    let epoch = seconds / span.rotate;
    let moved = slot.move_on(&mut link, span.oldest(epoch), &like);
    link.chain.advance(epoch);
    Ok((link.chain, moved.err().map(at)))
}

/// Moves the file forward under a running process whose newest link is `head`, if it is still of the same
/// chain; returns its link if another process took it further than `head`.
pub(crate) fn forward(path: &Path, span: Span, head: &Chain) -> Result<Option<Chain>, KeyError> {
    let forward = || {
        let slot = Slot::at(path)?;
        let (like, mut link) = slot.open()?;
        link.same_chain(span, head)?;
        slot.move_on(&mut link, span.oldest(head.epoch), &like)?;
        Ok((link.chain.epoch > head.epoch).then_some(link.chain))
    };
    forward().map_err(|fault| KeyError::file(path, fault))
}

fn open(path: &Path) -> Result<(Metadata, Link), Fault> {
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let mut file =
        OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(Fault::Read)?;
    let about = file.metadata().map_err(Fault::Read)?;
    if !about.is_file() {
        return Err(Fault::Shape);
    }
    if about.mode() & 0o7777 & !0o600 != 0 {
        return Err(Fault::Mode(about.mode() & 0o7777));
    }
    let mut text = Zeroizing::new([0; LONGEST]);
    let length = fill(&mut file, &mut *text).map_err(Fault::Read)?;
    text.get(..length).ok_or(Fault::Shape).and_then(parse).map(|link| (about, link))
}

fn fill(file: &mut File, text: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Where a key file is, symbolic links resolved, with a lock on its folder that ends with the process.
struct Slot {
    target: PathBuf,
    lock: io::Result<Option<File>>,
}

impl Slot {
    fn at(path: &Path) -> Result<Self, Fault> {
        fs::canonicalize(path).map(Self::new).map_err(Fault::Read)
    }

    fn new(target: PathBuf) -> Self {
        let lock = lock(folder(&target));
        Self { target, lock }
    }

    fn open(&self) -> Result<(Metadata, Link), Fault> {
        open(&self.target)
    }

    /// Destroys what came before `oldest`: in the link whatever happens, on the disk if it can be written.
    fn move_on(&self, link: &mut Link, oldest: u64, like: &Metadata) -> Result<(), Fault> {
        self.sweep();
        let stored = link.chain.epoch;
        if stored >= oldest {
            return Ok(());
        }
        link.chain.advance(oldest);
        self.write(&link.text(), Some(like)).map_err(|error| Fault::Held { stored, oldest, error })
    }

    /// Puts `text` in the place of the file, with the mode and owner of `like`.
    fn write(&self, text: &[u8], like: Option<&Metadata>) -> io::Result<()> {
        if let Err(error) = &self.lock {
            return Err(error.kind().into());
        }
        let temporary = self.temporary()?;
        let written =
            write_new(&temporary, text, like).and_then(|()| fs::rename(&temporary, &self.target));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        File::open(folder(&self.target))?.sync_all()
    }

    /// Removes what a killed process left: under the lock nobody else is writing.
    fn sweep(&self) {
        let Ok(Some(_)) = self.lock else { return };
        for entry in fs::read_dir(folder(&self.target)).into_iter().flatten().flatten() {
            if self.left(&entry.file_name()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn left(&self, name: &OsStr) -> bool {
        let (name, prefix) = (name.as_encoded_bytes(), self.prefix());
        let random = name
            .strip_prefix(prefix.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(b".tmp"));
        random.is_some_and(|random| {
            random.len() == 16 && random.iter().all(|digit| HEX.contains(digit))
        })
    }

    fn temporary(&self) -> io::Result<PathBuf> {
        let (mut random, mut digits) = ([0; 8], [0; 16]);
        getrandom::fill(&mut random)
            .map_err(|_| io::Error::other("the system gives no randomness"))?;
        hex(&random, &mut digits);
        let mut name = self.prefix();
        name.push(format!("{}.tmp", String::from_utf8_lossy(&digits)));
        Ok(folder(&self.target).join(name))
    }

    fn prefix(&self) -> OsString {
        let mut prefix = OsString::from(".");
        prefix.push(self.target.file_name().unwrap_or_default());
        prefix.push(".");
        prefix
    }
}

fn write_new(path: &Path, text: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mode = like.map_or(0o600, |like| like.mode() & 0o600);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    if let Some(like) = like {
        keep_owner(&file, like)?;
    }
    file.write_all(text)?;
    file.sync_all()
}

/// A file that root moves forward stays readable for the service that owns it.
fn keep_owner(file: &File, like: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

fn folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Nothing where the folder or its file system takes no lock: then a rename is still whole, if not in order.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let Ok(file) = File::open(folder) else { return Ok(None) };
    for _ in 0..TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK | Errno::INTR) => thread::sleep(Duration::from_millis(10)),
            Err(_) => return Ok(None),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::UNIX_EPOCH;
    use std::{env, io::BufRead, str};
    use tempfile::TempDir;

    const DAY: Duration = Duration::from_secs(86_400);
    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn day(number: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(number * 86_400)
    }

    fn new_file(folder: &TempDir, rotate: Duration, now: SystemTime) -> PathBuf {
        let path = folder.path().join("privacy.key");
        KeyFile::create_at(&path, rotate, now).unwrap();
        path
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn chain(path: &Path) -> Chain {
        open(path).unwrap().1.chain
    }

    fn advance(path: &Path, forget: Duration, now: SystemTime) -> Result<u64, KeyError> {
        KeyFile::read(path)?.advance_at(forget, now)
    }

    #[test]
    fn a_new_file_is_private_random_and_starts_at_the_present_epoch() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(20_645));
        let file = KeyFile::read(&path).unwrap();
        assert_eq!((file.path(), file.rotate(), file.epoch()), (path.as_path(), DAY, 20_645));
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(folder.path()), ["privacy.key"]);
        let other = TempDir::new().unwrap();
        assert!(!chain(&path).same(&chain(&new_file(&other, DAY, day(20_645)))));
    }

    #[test]
    fn the_public_functions_use_the_present() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("k");
        let mut file = KeyFile::create(&path, DAY).unwrap();
        assert_eq!(file.epoch(), unix(SystemTime::now()) / 86_400);
        assert_eq!(file.advance(WEEK).unwrap(), 0);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(1));
        let before = fs::read(&path).unwrap();
        let error = KeyFile::create(&path, DAY).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("key file {}: exists already and is left as it is", path.display())
        );
        assert_eq!(fs::read(&path).unwrap(), before);
        let dangling = folder.path().join("link");
        symlink("nowhere", &dangling).unwrap();
        assert!(KeyFile::create(&dangling, DAY).is_err());
    }

    #[test]
    fn any_mode_wider_than_0600_is_refused_and_any_other_read() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(1));
        for wide in [0o644, 0o640, 0o604, 0o610, 0o601, 0o700, 0o660, 0o4600, 0o1600] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            let error = KeyFile::read(&path).unwrap_err().to_string();
            let mode = format!("mode {wide:04o} is wider than 0600; run `chmod 600` on it");
            assert_eq!(error, format!("key file {}: {mode}", path.display()));
        }
        for narrow in [0o400, 0o600] {
            fs::set_permissions(&path, fs::Permissions::from_mode(narrow)).unwrap();
            KeyFile::read(&path).unwrap();
            advance(&path, WEEK, day(30 + u64::from(narrow))).unwrap();
            assert_eq!(mode(&path), narrow, "moving it forward kept its mode");
        }
    }

    #[test]
    fn a_missing_file_a_folder_and_a_pipe_are_refused_without_waiting() {
        let folder = TempDir::new().unwrap();
        let missing = folder.path().join("missing");
        let error = KeyFile::read(&missing).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "key file {}: cannot be read: No such file or directory (os error 2)",
                missing.display()
            )
        );
        assert!(KeyFile::read(folder.path()).is_err());
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
        assert!(
            KeyFile::read(&pipe)
                .unwrap_err()
                .to_string()
                .ends_with("expected a regular file of five short lines")
        );
    }

    #[test]
    fn a_long_file_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(1));
        for more in [1, 100, 10_000_000] {
            let mut text = open(&path).unwrap().1.text().to_vec();
            text.extend(std::iter::repeat_n(b'\n', more));
            let long = folder.path().join(more.to_string());
            write_new(&long, &text, None).unwrap();
            assert!(KeyFile::read(&long).is_err());
        }
    }

    #[test]
    fn advancing_destroys_exactly_what_is_due() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        let mut expected = chain(&path);
        for (now, destroyed, epoch) in
            [(100, 0, 100), (106, 0, 100), (107, 1, 101), (200, 93, 194), (150, 0, 194)]
        {
            if now == 150 {
                assert!(
                    advance(&path, WEEK, day(now))
                        .unwrap_err()
                        .to_string()
                        .contains("line 3: epoch 194 is ahead")
                );
                continue;
            }
            assert_eq!(advance(&path, WEEK, day(now)).unwrap(), destroyed);
            expected.advance(epoch);
            assert!(chain(&path).same(&expected));
        }
    }

    #[test]
    fn the_live_epochs_are_those_inside_forget() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        advance(&path, WEEK, day(200)).unwrap();
        let live: Vec<u64> = live(&path, day(200)).unwrap().map(|epoch| epoch.number).collect();
        assert_eq!(live, [194, 195, 196, 197, 198, 199, 200]);
    }

    #[test]
    fn a_symbolic_link_is_read_through_and_stays_a_link() {
        let folder = TempDir::new().unwrap();
        let real = TempDir::new().unwrap();
        let target = new_file(&real, DAY, day(100));
        let link = folder.path().join("link");
        symlink(&target, &link).unwrap();
        assert_eq!(advance(&link, DAY, day(110)).unwrap(), 10);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(KeyFile::read(&target).unwrap().epoch(), 110);
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(KeyFile::read(&link).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        let strangers = [
            ".privacy.key.tmp",
            ".privacy.key.0123.tmp",
            ".other.key.0123456789abcdef.tmp",
            "x.tmp",
        ];
        for name in strangers.iter().chain(&[".privacy.key.0123456789abcdef.tmp"]) {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        advance(&path, WEEK, day(100)).unwrap();
        let mut left = names(folder.path());
        left.retain(|name| !strangers.contains(&name.as_str()));
        assert_eq!(left, ["privacy.key"]);
        assert_eq!(names(folder.path()).len(), 5);
    }

    #[test]
    fn a_held_folder_is_not_waited_for_for_ever_and_the_file_stays() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        let held = lock(folder.path()).unwrap();
        let error = advance(&path, DAY, day(101)).unwrap_err().to_string();
        assert!(error.contains("cannot be moved from epoch 100 to 101"), "{error}");
        let span = Span::new(DAY, DAY).unwrap();
        let (newest, late) = start(&path, span, unix(day(101))).unwrap();
        assert_eq!((newest.epoch, late.is_some()), (101, true));
        assert_eq!(chain(&path).epoch, 100);
        drop(held);
        assert_eq!(advance(&path, DAY, day(101)).unwrap(), 1);
    }

    #[test]
    fn threads_that_advance_at_once_leave_a_valid_file_that_never_goes_back() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, Duration::from_secs(1), UNIX_EPOCH);
        let origin = chain(&path);
        thread::scope(|scope| {
            for late in 0..4 {
                let (path, origin) = (&path, &origin);
                scope.spawn(move || race(path, origin, late, 60));
            }
        });
        assert_eq!(names(folder.path()), ["privacy.key"]);
    }

    /// Advances through `steps` seconds, `late` behind the others, and watches the file.
    fn race(path: &Path, origin: &Chain, late: u64, steps: u64) {
        let mut seen = 0;
        for second in late..steps {
            advance(path, Duration::from_secs(1), UNIX_EPOCH + Duration::from_secs(second - late))
                .unwrap();
            let found = chain(path);
            let mut expected = origin.copy();
            expected.advance(found.epoch);
            assert!(found.same(&expected) && found.epoch >= seen.max(second - late));
            seen = found.epoch;
        }
    }

    #[test]
    fn child() {
        let (Ok(path), Ok(late)) = (env::var("CHILD_PATH"), env::var("CHILD_LATE")) else { return };
        let (path, mut seen) = (Path::new(&path), 0);
        println!("ready");
        for second in 0..env::var("CHILD_STEPS").unwrap().parse::<u64>().unwrap() {
            let now = UNIX_EPOCH + Duration::from_secs(KeyFile::read(path).unwrap().epoch() + 1);
            let _ = advance(
                path,
                Duration::from_secs(1),
                now - Duration::from_secs(late.parse().unwrap()),
            );
            let found = KeyFile::read(path).unwrap().epoch();
            assert!(found >= seen, "step {second}: the file went back");
            seen = found;
        }
    }

    fn child_of(path: &Path, late: u64, steps: u64) -> Child {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "key_file::tests::child", "--nocapture"]);
        command
            .env("CHILD_PATH", path)
            .env("CHILD_LATE", late.to_string())
            .env("CHILD_STEPS", steps.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = io::BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("ready")));
        child
    }

    #[test]
    fn processes_that_advance_at_once_leave_a_valid_file_that_never_goes_back() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, Duration::from_secs(1), UNIX_EPOCH);
        let mut expected = chain(&path);
        let children: Vec<Child> = [0, 1, 0].map(|late| child_of(&path, late, 150)).into();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let found = chain(&path);
        assert!(found.epoch >= 150);
        expected.advance(found.epoch);
        assert!(found.same(&expected));
    }

    #[test]
    fn a_process_killed_at_any_point_leaves_the_old_file_or_the_new_one() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, Duration::from_secs(1), UNIX_EPOCH);
        let (mut expected, mut leftovers) = (chain(&path), 0);
        for round in 0..200_u64 {
            let mut child = child_of(&path, 0, u64::MAX);
            thread::sleep(Duration::from_micros(round * 7919 % 12_000));
            child.kill().unwrap();
            child.wait().unwrap();
            let found = chain(&path);
            assert!(found.epoch >= expected.epoch);
            expected.advance(found.epoch);
            assert!(found.same(&expected));
            for name in names(folder.path()) {
                assert_eq!(mode(&folder.path().join(&name)) & !0o600, 0, "{name}");
                leftovers += usize::from(name != "privacy.key");
            }
        }
        assert!(expected.epoch > 0, "the children did nothing");
        println!("{} epochs, {leftovers} leftovers seen", expected.epoch);
        advance(&path, WEEK, UNIX_EPOCH + Duration::from_secs(expected.epoch)).unwrap();
        assert_eq!(names(folder.path()), ["privacy.key"]);
    }

    #[test]
    fn child_without_rights() {
        let Ok(path) = env::var("CHILD_PATH") else { return };
        let (path, span) = (Path::new(&path), Span::new(DAY, DAY).unwrap());
        let (head, late) = start(path, span, unix(day(101))).unwrap();
        assert_eq!((head.epoch, chain(path).epoch), (101, 100));
        assert!(late.unwrap().to_string().ends_with("Permission denied (os error 13)"));
    }

    #[test]
    fn a_folder_without_write_permission_still_starts_with_a_warning() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "key_file::tests::child_without_rights"]).env("CHILD_PATH", &path);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            command.uid(65_534).gid(65_534);
        } else {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        }
        let status = command.stdout(Stdio::null()).status().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_file_that_root_moves_forward_keeps_its_owner() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        if std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).is_ok() {
            advance(&path, DAY, day(101)).unwrap();
            let about = fs::metadata(&path).unwrap();
            assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (65_534, 65_534, 0o600));
        }
    }

    #[test]
    fn nothing_shows_the_key() {
        let folder = TempDir::new().unwrap();
        let path = new_file(&folder, DAY, day(100));
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        let key = text.lines().nth(3).and_then(|line| line.strip_prefix("chain ")).unwrap();
        let file = KeyFile::read(&path).unwrap();
        let broken = folder.path().join("broken");
        let mut shown = format!("{file:?}");
        for cut in 0..text.len() - 1 {
            let _ = fs::remove_file(&broken);
            write_new(&broken, &text.as_bytes()[..cut], None).unwrap();
            let error = KeyFile::read(&broken).unwrap_err();
            shown.extend([error.to_string(), format!("{error:?}")]);
        }
        assert!(
            key.as_bytes().windows(8).all(|part| !shown.contains(str::from_utf8(part).unwrap()))
        );
    }
}
