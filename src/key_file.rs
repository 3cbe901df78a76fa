//! The key file: one link of the ratchet as text, readable by its owner only.
//!
//! ```text
//! privacy-log keys 1                  version of this format
//! rotate 86400                        seconds that one key is used
//! epoch 20645                         the oldest epoch that can still be computed
//! chain 1bcf26c1425b9c12…             its chain key, 64 lower-case hexadecimal digits
//! check 5f0c2a91d3e4b7a6              start of a SHA-256 over the four lines above
//! ```
//!
//! Rule C6: a mode wider than 0600 is refused; a change is a new file, synced and renamed over the old one
//! under a lock on the folder, so a reader or a crash finds one or the other. What the disk, its snapshots
//! or a backup keep of the old one is not in reach from here.

use crate::pseudonym::{Chain, Epoch, STEPS, Span, unix, whole};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{error, fmt, mem, str, thread};
use zeroize::Zeroizing;

const VERSION: &str = "privacy-log keys 1";
/// Longer than any text of this version, so that reading needs no growing buffer.
const LONGEST: usize = 256;
/// How often, ten milliseconds apart, a folder that another process holds is tried.
const TRIES: u32 = 200;

/// What a key file says about itself; the key stays in the file.
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
    pub fn create(path: impl AsRef<Path>, rotate: Duration) -> Result<KeyFile, KeyError> {
        Self::create_at(path.as_ref(), rotate, SystemTime::now())
    }

    fn create_at(path: &Path, rotate: Duration, now: SystemTime) -> Result<KeyFile, KeyError> {
        let new = || {
            let rotate = whole(rotate)?;
            let link = Link { rotate, chain: Chain::random(unix(now) / rotate)? };
            let slot = Slot::new(path.to_owned());
            if path.symlink_metadata().is_ok() {
                return Err(Fault::Exists);
            }
            slot.write(&link.text(), None).map_err(Fault::Write)?;
            Ok(link.describe(path))
        };
        new().map_err(|fault| KeyError::file(path, fault))
    }

    /// Reads and checks a key file.
    ///
    /// # Errors
    /// The file is missing, too open or malformed.
    pub fn read(path: impl AsRef<Path>) -> Result<KeyFile, KeyError> {
        let path = path.as_ref();
        let opened = open(path).map_err(|fault| KeyError::file(path, fault));
        opened.map(|(_, link)| link.describe(path))
    }

    /// Destroys the keys of every epoch that began more than `forget` ago, and says how many those were.
    ///
    /// However far behind the file is, it is moved; a million epochs take about a second.
    ///
    /// # Errors
    /// As for [`KeyFile::read`], and when the file is ahead of the clock or cannot be written.
    pub fn advance(&mut self, forget: Duration) -> Result<u64, KeyError> {
        self.advance_at(forget, SystemTime::now())
    }

    fn advance_at(&mut self, forget: Duration, now: SystemTime) -> Result<u64, KeyError> {
        let moved = || {
            let slot = Slot::at(&self.path)?;
            let (like, mut link) = slot.open()?;
            let (stored, span) = (link.chain.epoch, Span::new(self.rotate(), forget)?);
            link.fits(span)?;
            link.not_ahead(unix(now))?;
            link.move_to(span.oldest(unix(now) / link.rotate), &slot, &like)?;
            Ok((stored, link.describe(&self.path)))
        };
        let (stored, described) = moved().map_err(|fault| KeyError::file(&self.path, fault))?;
        *self = described;
        Ok(self.epoch - stored)
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long one key is used.
    #[must_use]
    pub fn rotate(&self) -> Duration {
        Duration::from_secs(self.rotate)
    }

    /// The oldest epoch whose pseudonyms can still be computed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Every epoch that the file can still compute, oldest first, up to the present one.
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
    let moved = link.move_to(span.oldest(epoch), &slot, &like);
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
        link.move_to(span.oldest(head.epoch), &slot, &like)?;
        Ok((link.chain.epoch > head.epoch).then_some(link.chain))
    };
    forward().map_err(|fault| KeyError::file(path, fault))
}

/// What a key text says.
pub(crate) struct Link {
    rotate: u64,
    chain: Chain,
}

impl Link {
    pub(crate) fn into_chain(self) -> Chain {
        self.chain
    }

    /// Whether a process with this policy and clock may start from it.
    pub(crate) fn due(&self, span: Span, seconds: u64) -> Result<(), Fault> {
        self.fits(span)?;
        self.not_ahead(seconds)?;
        self.near(seconds / span.rotate)
    }

    fn fits(&self, span: Span) -> Result<(), Fault> {
        let (stored, policy) = (self.rotate, span.rotate);
        if stored == policy { Ok(()) } else { Err(Fault::Differs { stored, policy }) }
    }

    fn not_ahead(&self, seconds: u64) -> Result<(), Fault> {
        let (stored, clock) = (self.chain.epoch, seconds / self.rotate);
        let latest = seconds.saturating_add(Span::slack(self.rotate)) / self.rotate;
        if stored <= latest { Ok(()) } else { Err(Fault::Ahead { stored, clock }) }
    }

    fn near(&self, clock: u64) -> Result<(), Fault> {
        let stored = self.chain.epoch;
        if clock.saturating_sub(stored) <= STEPS {
            Ok(())
        } else {
            Err(Fault::Behind { stored, clock })
        }
    }

    /// Whether the older of the two links leads to the other one.
    fn same_chain(&self, span: Span, head: &Chain) -> Result<(), Fault> {
        self.due(span, head.epoch.saturating_mul(span.rotate))?;
        let last = head.epoch.max(self.chain.epoch);
        let (mut ours, mut stored) = (head.copy(), self.chain.copy());
        ours.advance(last);
        stored.advance(last);
        if ours.same(&stored) { Ok(()) } else { Err(Fault::Replaced) }
    }

    /// Destroys what came before `oldest`: in this link whatever happens, on the disk if it can be written.
    fn move_to(&mut self, oldest: u64, slot: &Slot, like: &Metadata) -> Result<(), Fault> {
        slot.sweep();
        let stored = self.chain.epoch;
        if stored >= oldest {
            return Ok(());
        }
        self.chain.advance(oldest);
        slot.write(&self.text(), Some(like)).map_err(|error| Fault::Held { stored, oldest, error })
    }

    fn text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut digits = Zeroizing::new([0; 64]);
        hex(self.chain.bytes(), &mut *digits);
        text.extend_from_slice(
            format!("{VERSION}\nrotate {}\nepoch {}\nchain ", self.rotate, self.chain.epoch)
                .as_bytes(),
        );
        text.extend_from_slice(&*digits);
        text.push(b'\n');
        let check = check(&text);
        text.extend_from_slice(b"check ");
        text.extend_from_slice(&check);
        text.push(b'\n');
        text
    }

    fn describe(&self, path: &Path) -> KeyFile {
        KeyFile { path: path.to_owned(), rotate: self.rotate, epoch: self.chain.epoch }
    }
}

/// Reads the text of a key; the errors name what was expected, never what was found.
pub(crate) fn parse(text: &[u8]) -> Result<Link, Fault> {
    let mut rest = text;
    let version = line(&mut rest, VERSION).filter(|more| more.is_empty());
    version.ok_or(Fault::Line(1, "`privacy-log keys 1`"))?;
    let rotate = line(&mut rest, "rotate ").and_then(number).filter(|rotate| *rotate > 0);
    let rotate = rotate.ok_or(Fault::Line(2, "`rotate` and a number of seconds"))?;
    let epoch =
        line(&mut rest, "epoch ").and_then(number).ok_or(Fault::Line(3, "`epoch` and a number"))?;
    let chain = line(&mut rest, "chain ").and_then(|digits| unhex(digits, epoch));
    let chain = chain.ok_or(Fault::Line(4, "`chain` and 64 lower-case hexadecimal digits"))?;
    let covered = text.len() - rest.len();
    let found = line(&mut rest, "check ").filter(|digits| digits.len() == 16);
    let found = found.ok_or(Fault::Line(5, "`check` and 16 lower-case hexadecimal digits"))?;
    if !rest.is_empty() {
        return Err(Fault::Line(6, "nothing"));
    }
    if text.get(..covered).is_none_or(|lines| check(lines) != found) {
        return Err(Fault::Check);
    }
    if chain.bytes() == &[0; 32] { Err(Fault::Zero) } else { Ok(Link { rotate, chain }) }
}

fn line<'t>(rest: &mut &'t [u8], name: &str) -> Option<&'t [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, more) = rest.split_at(end);
    *rest = more.get(1..).unwrap_or_default();
    line.strip_prefix(name.as_bytes())
}

fn number(digits: &[u8]) -> Option<u64> {
    let one_way = digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    str::from_utf8(digits).ok().filter(|_| one_way)?.parse().ok()
}

/// The start of a hash under a prefix of its own, which nothing else computes.
fn check(lines: &[u8]) -> [u8; 16] {
    let hash =
        Sha256::new().chain_update(b"privacy-log key file check\0").chain_update(lines).finalize();
    let mut digits = [0; 16];
    hex(&hash, &mut digits);
    digits
}

/// Writes two lower-case digits per byte, as many as `digits` takes.
pub(crate) fn hex(bytes: &[u8], digits: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn unhex(digits: &[u8], epoch: u64) -> Option<Chain> {
    let value = |digit: &u8| {
        DIGITS.iter().position(|known| known == digit).and_then(|at| u8::try_from(at).ok())
    };
    let mut valid = digits.len() == 64;
    let chain = Chain::new(epoch, |key| {
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let halves = pair.first().and_then(value).zip(pair.last().and_then(value));
            *byte = halves.map_or(0, |(high, low)| high << 4 | low);
            valid &= halves.is_some();
        }
    });
    valid.then_some(chain)
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
    fn at(path: &Path) -> Result<Slot, Fault> {
        fs::canonicalize(path).map(Slot::new).map_err(Fault::Read)
    }

    fn new(target: PathBuf) -> Slot {
        let lock = lock(folder(&target));
        Slot { target, lock }
    }

    fn open(&self) -> Result<(Metadata, Link), Fault> {
        open(&self.target)
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
        let prefix = self.prefix();
        for entry in fs::read_dir(folder(&self.target)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
                && name.as_encoded_bytes().ends_with(b".tmp")
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn temporary(&self) -> io::Result<PathBuf> {
        let (mut random, mut digits) = ([0; 8], [0; 16]);
        getrandom::fill(&mut random)?;
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

pub(crate) fn place(path: &Path) -> String {
    format!("key file {}", path.display())
}

/// Why keys cannot be used, or what the operator must know; it holds no part of a key.
#[derive(Debug)]
pub struct KeyError {
    place: String,
    fault: Fault,
}

impl KeyError {
    pub(crate) fn new(place: &str, fault: Fault) -> KeyError {
        KeyError { place: place.to_owned(), fault }
    }

    fn file(path: &Path, fault: Fault) -> KeyError {
        KeyError { place: place(path), fault }
    }

    pub(crate) fn kind(&self) -> mem::Discriminant<Fault> {
        mem::discriminant(&self.fault)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault.line() {
            Some(line) => write!(f, "{}, line {line}: {}", self.place, self.fault),
            None => write!(f, "{}: {}", self.place, self.fault),
        }
    }
}

impl error::Error for KeyError {}

#[derive(Debug)]
pub(crate) enum Fault {
    Random(getrandom::Error),
    Rotate,
    Many(u64),
    Unset,
    Read(io::Error),
    Write(io::Error),
    Exists,
    Shape,
    Mode(u32),
    Line(u8, &'static str),
    Zero,
    Check,
    Differs { stored: u64, policy: u64 },
    Ahead { stored: u64, clock: u64 },
    Behind { stored: u64, clock: u64 },
    Held { stored: u64, oldest: u64, error: io::Error },
    Stale { stored: u64, oldest: u64 },
    Replaced,
    Back { newest: u64, clock: u64 },
    Leap { newest: u64, clock: u64 },
}

impl Fault {
    fn line(&self) -> Option<u8> {
        match self {
            Fault::Line(line, _) => Some(*line),
            Fault::Differs { .. } => Some(2),
            Fault::Ahead { .. } | Fault::Behind { .. } => Some(3),
            Fault::Zero => Some(4),
            Fault::Check => Some(5),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Random(error) => write!(f, "the system gives no randomness: {error}"),
            Fault::Rotate => f.write_str("`rotate` must be a whole number of seconds, at least 1s"),
            Fault::Many(keep) => {
                write!(f, "`forget` spans {keep} epochs of `rotate`, more than {STEPS}")
            }
            Fault::Unset => f.write_str("is not set; expected the text of a key file"),
            Fault::Read(error) => write!(f, "cannot be read: {error}"),
            Fault::Write(error) => write!(f, "cannot be written: {error}"),
            Fault::Exists => f.write_str("exists already and is left as it is"),
            Fault::Shape => f.write_str("expected a regular file of five short lines"),
            Fault::Mode(mode) => {
                write!(f, "mode {mode:04o} is wider than 0600; run `chmod 600` on it")
            }
            Fault::Line(_, expected) => write!(f, "expected {expected}"),
            Fault::Zero => f.write_str("the chain key is all zero"),
            Fault::Check => f.write_str(
                "the check value does not fit the lines above: the text is torn or was edited",
            ),
            Fault::Differs { stored, policy } => {
                write!(f, "`rotate` is {stored}s here and {policy}s in the policy")
            }
            Fault::Ahead { stored, clock } => write!(
                f,
                "epoch {stored} is ahead of the clock's {clock}, and what came before it is gone; \
                 set the clock or make a new key"
            ),
            Fault::Behind { stored, clock } => write!(
                f,
                "epoch {stored} is more than {STEPS} steps behind the clock's {clock}; \
                 run `privacy-log keys advance` or make a new key"
            ),
            Fault::Held { stored, oldest, error } => write!(
                f,
                "cannot be moved from epoch {stored} to {oldest}, so keys that are due stay in it \
                 while this process goes on in memory: {error}"
            ),
            Fault::Stale { stored, oldest } => write!(
                f,
                "still gives every key since epoch {stored}, where `forget` ends at {oldest}; \
                 replace it by a text that was moved forward"
            ),
            Fault::Replaced => f.write_str(
                "was replaced by a key of another chain, which is left as it is; \
                 this process goes on with its own until it starts again",
            ),
            Fault::Back { newest, clock } => write!(
                f,
                "the clock went back to epoch {clock}; the newest key, of epoch {newest}, serves until it is past"
            ),
            Fault::Leap { newest, clock } => write!(
                f,
                "the clock went from epoch {newest} to {clock}, over a year at once; there are no pseudonyms \
                 until it is back or this process starts again"
            ),
        }
    }
}
