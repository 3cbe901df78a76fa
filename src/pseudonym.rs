//! Keyed hashing, and the only holder of keys.
//!
//! An address or value becomes `EPOCH.32HEX` under the key of one epoch, and that key can be recovered
//! by nobody once `forget` has passed (RULES C1-C6). A key comes from memory (random, one at a time) or
//! from a ratchet that only turns forward. A running process holds the newest link alone; what is older,
//! and still inside `forget`, is in the key file and nowhere else. Nothing here reads a clock: who gets
//! no request turns nothing. Canonical addresses and the file's bytes are the business of others.

use crate::key_file::{self, Fault, KeyError};
use arc_swap::{ArcSwap, Guard};
use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};
use std::{fmt, mem, thread};
use zeroize::Zeroizing;

/// Steps that a start makes up for: 48 days of `rotate = "1s"`, eight years of `"1m"`; about a second.
pub(crate) const STEPS: u64 = 1 << 22;
/// Steps that a request may take itself, about a millisecond; more is done beside it.
const INLINE: u64 = 1 << 12;
/// A clock that leaps further than this under a running ratchet is wrong until a start confirms it.
const LEAP: u64 = 366 * 86_400;

/// The keys of one policy; a clone shares them.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Ring>);

/// The newest epoch, borrowed without touching a shared counter.
pub(crate) type Current = Guard<Arc<Epoch>>;

impl Keys {
    /// Keys that exist in this process only: an independent random one per epoch, the newest kept.
    ///
    /// # Errors
    /// `rotate` is not whole seconds, or the system gives no randomness.
    pub(crate) fn memory(rotate: Duration, now: SystemTime) -> Result<Keys, KeyError> {
        let place = "keys in memory".to_owned();
        let first = whole(rotate).and_then(|rotate| Epoch::random(unix(now) / rotate, rotate));
        let first = first.map_err(|fault| KeyError::new(&place, fault))?;
        Ok(Keys(Arc::new(Ring::new(first, Source::Random, Origin::Memory, place))))
    }

    /// Keys from a file, which is moved forward at once and at every epoch change where it can be written.
    ///
    /// # Errors
    /// The file is missing, too open, malformed, of another `rotate`, ahead of the clock, or so far
    /// behind it that making up for it would hold the start. Not being able to write is a [`Keys::warning`].
    pub(crate) fn file(
        path: &Path,
        rotate: Duration,
        forget: Duration,
        now: SystemTime,
    ) -> Result<Keys, KeyError> {
        let place = key_file::place(path);
        let span = Span::new(rotate, forget).map_err(|fault| KeyError::new(&place, fault))?;
        let (head, late) = key_file::start(path, span, unix(now))?;
        let origin = Origin::File(path.to_owned(), span);
        let ring = Ring::new(head.epoch(span.rotate), Source::Ratchet(head), origin, place);
        late.into_iter().for_each(|warning| ring.warnings.add(warning));
        Ok(Keys(Arc::new(ring)))
    }

    /// Keys from a variable that holds the text of a key file; it is never written back.
    ///
    /// # Errors
    /// As for [`Keys::file`].
    pub(crate) fn env(
        name: &str,
        rotate: Duration,
        forget: Duration,
        now: SystemTime,
    ) -> Result<Keys, KeyError> {
        let place = format!("key variable {name}");
        let opened = Span::new(rotate, forget).and_then(|span| {
            let text = std::env::var_os(name).ok_or(Fault::Unset)?;
            let text = Zeroizing::new(text.into_encoded_bytes());
            let link = key_file::parse(&text)?;
            link.due(span, unix(now)).map(|()| (span, link.into_chain()))
        });
        let (span, mut head) = opened.map_err(|fault| KeyError::new(&place, fault))?;
        let origin = Origin::Variable(head.epoch, span);
        head.advance(unix(now) / span.rotate);
        let ring = Ring::new(head.epoch(span.rotate), Source::Ratchet(head), origin, place);
        ring.write_forward();
        Ok(Keys(Arc::new(ring)))
    }

    /// The key to hash with at `now`: a load, unless the epoch changed since the last call.
    ///
    /// A clock that went back gets the newest key and its number. `None` means that there is no key for
    /// this moment, so nothing may be written: no randomness, a ratchet still catching up, or a leap.
    pub(crate) fn current(&self, now: SystemTime) -> Option<Current> {
        let seconds = unix(now);
        let newest = self.0.newest.load();
        if (newest.earliest..newest.until).contains(&seconds) {
            return Some(newest);
        }
        Ring::turn(&self.0, seconds)
    }

    /// The next thing the operator must hear; each kind is said once. A load when there is none.
    pub(crate) fn warning(&self) -> Option<KeyError> {
        self.0.warnings.next()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys { .. }")
    }
}

/// How long a key is used, and how many epochs, the present one included, can still be computed.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) rotate: u64,
    keep: u64,
}

impl Span {
    /// Counts `forget` from the start of an epoch, so that nothing written outlives it; at least the present is kept.
    pub(crate) fn new(rotate: Duration, forget: Duration) -> Result<Span, Fault> {
        let rotate = whole(rotate)?;
        let keep = (forget.as_secs() / rotate).max(1);
        if keep > STEPS { Err(Fault::Many(keep)) } else { Ok(Span { rotate, keep }) }
    }

    /// The oldest epoch whose key may exist while `epoch` is the present one.
    pub(crate) fn oldest(self, epoch: u64) -> u64 {
        epoch.saturating_sub(self.keep - 1)
    }

    /// How many seconds a stored epoch may be ahead of the clock: then its key serves that much longer.
    pub(crate) fn slack(rotate: u64) -> u64 {
        rotate.max(3_600)
    }
}

struct Ring {
    rotate: u64,
    newest: ArcSwap<Epoch>,
    source: Mutex<Source>,
    origin: Origin,
    place: String,
    tended: AtomicBool,
    warnings: Warnings,
}

/// What the next key is made from.
enum Source {
    Random,
    Ratchet(Chain),
}

/// Where the first key came from, and what is to be kept forward there.
enum Origin {
    Memory,
    Variable(u64, Span),
    File(PathBuf, Span),
}

impl Ring {
    fn new(first: Epoch, source: Source, origin: Origin, place: String) -> Ring {
        let rotate = first.rotate;
        let (newest, source) = (ArcSwap::from_pointee(first), Mutex::new(source));
        Ring {
            rotate,
            newest,
            source,
            origin,
            place,
            tended: AtomicBool::new(false),
            warnings: Warnings::default(),
        }
    }

    #[cold]
    fn turn(ring: &Arc<Ring>, seconds: u64) -> Option<Current> {
        let newest = ring.newest.load();
        let epoch = seconds / ring.rotate;
        if seconds < newest.until {
            ring.warn(Fault::Back { newest: newest.number, clock: epoch });
            return Some(newest);
        }
        let ratchet = !matches!(ring.origin, Origin::Memory);
        if ratchet && seconds.saturating_sub(newest.until) >= LEAP {
            ring.warn(Fault::Leap { newest: newest.number, clock: epoch });
            return None;
        }
        if ratchet && epoch.saturating_sub(newest.number) > INLINE {
            Ring::tend(ring, epoch);
            return None;
        }
        ring.turn_to(epoch)?;
        Ring::tend(ring, epoch);
        Some(ring.newest.load())
    }

    /// Moves to `epoch` unless another thread is about to; then its result, old or new, serves.
    fn turn_to(&self, epoch: u64) -> Option<()> {
        let mut source = match self.source.try_lock() {
            Ok(source) => source,
            Err(TryLockError::Poisoned(source)) => source.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(()),
        };
        if self.newest.load().number >= epoch {
            return Some(());
        }
        let next = match &mut *source {
            Source::Random => {
                Epoch::random(epoch, self.rotate).map_err(|fault| self.warn(fault)).ok()?
            }
            Source::Ratchet(head) => {
                head.advance(epoch);
                head.epoch(self.rotate)
            }
        };
        self.newest.store(Arc::new(next));
        Some(())
    }

    /// Starts the thread that does what no request waits for, unless it is at work; a later epoch tries again.
    fn tend(ring: &Arc<Ring>, epoch: u64) {
        if matches!(ring.origin, Origin::Memory) || ring.tended.swap(true, Ordering::AcqRel) {
            return;
        }
        let worker = Arc::clone(ring);
        let thread = thread::Builder::new().name("privacy-log-keys".into());
        if thread.spawn(move || worker.work(epoch)).is_err() {
            ring.tended.store(false, Ordering::Release);
        }
    }

    /// Catches up, moves the file forward, and once more if the epoch changed meanwhile.
    fn work(&self, epoch: u64) {
        self.catch_up(epoch);
        loop {
            let done = self.newest.load().number;
            self.write_forward();
            self.tended.store(false, Ordering::Release);
            if self.newest.load().number == done || self.tended.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    fn catch_up(&self, epoch: u64) {
        if let Some(mut head) = self.head().filter(|head| head.epoch < epoch) {
            head.advance(epoch);
            self.take(head);
        }
    }

    fn write_forward(&self) {
        let Some(head) = self.head() else { return };
        match &self.origin {
            Origin::Memory => {}
            Origin::Variable(stored, span) => {
                if *stored < span.oldest(head.epoch) {
                    self.warn(Fault::Stale { stored: *stored, oldest: span.oldest(head.epoch) });
                }
            }
            Origin::File(path, span) => match key_file::forward(path, *span, &head) {
                Ok(further) => further.into_iter().for_each(|head| self.take(head)),
                Err(warning) => self.warnings.add(warning),
            },
        }
    }

    /// Makes a link further along the same chain the newest one.
    fn take(&self, further: Chain) {
        let mut source = self.lock();
        if matches!(&*source, Source::Ratchet(head) if head.epoch < further.epoch) {
            self.newest.store(Arc::new(further.epoch(self.rotate)));
            *source = Source::Ratchet(further);
        }
    }

    fn head(&self) -> Option<Chain> {
        match &*self.lock() {
            Source::Random => None,
            Source::Ratchet(head) => Some(head.copy()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, fault: Fault) {
        if !self.warnings.said(&fault) {
            self.warnings.add(KeyError::new(&self.place, fault));
        }
    }
}

#[derive(Default)]
struct Warnings {
    waiting: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    kinds: Vec<mem::Discriminant<Fault>>,
    waiting: Vec<KeyError>,
}

impl Warnings {
    /// Also true while another thread is saying something: what lasts is said the next time.
    fn said(&self, fault: &Fault) -> bool {
        self.said.try_lock().map_or(true, |said| said.kinds.contains(&mem::discriminant(fault)))
    }

    fn add(&self, warning: KeyError) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.kinds.contains(&warning.kind()) {
            said.kinds.push(warning.kind());
            said.waiting.push(warning);
            self.waiting.store(true, Ordering::Release);
        }
    }

    fn next(&self) -> Option<KeyError> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (!said.waiting.is_empty()).then(|| said.waiting.remove(0));
        self.waiting.store(!said.waiting.is_empty(), Ordering::Release);
        next
    }
}

/// One link of the ratchet: every later epoch follows from it, no earlier one does.
pub(crate) struct Chain {
    pub(crate) epoch: u64,
    key: Box<Zeroizing<[u8; 32]>>,
}

impl Chain {
    pub(crate) fn new(epoch: u64, fill: impl FnOnce(&mut [u8; 32])) -> Chain {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        fill(&mut key);
        Chain { epoch, key }
    }

    pub(crate) fn random(epoch: u64) -> Result<Chain, Fault> {
        let mut filled = Ok(());
        let chain = Chain::new(epoch, |key| filled = getrandom::fill(key));
        filled.map(|()| chain).map_err(Fault::Random)
    }

    pub(crate) fn copy(&self) -> Chain {
        Chain::new(self.epoch, |key| *key = **self.key)
    }

    /// Forgets every epoch before `epoch`.
    pub(crate) fn advance(&mut self, epoch: u64) {
        while self.epoch < epoch {
            expand(&keyed(&self.key), b"ratchet/v1", &mut self.key);
            self.epoch += 1;
        }
    }

    pub(crate) fn same(&self, other: &Chain) -> bool {
        self.epoch == other.epoch && self.key == other.key
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) fn epoch(&self, rotate: u64) -> Epoch {
        let mut key = Zeroizing::new([0; 32]);
        expand(&keyed(&self.key), b"epoch-key/v1", &mut key);
        Epoch::new(self.epoch, rotate, &key)
    }
}

/// One epoch: its number, the seconds it serves, and a hash that has taken in the key.
pub(crate) struct Epoch {
    number: u64,
    rotate: u64,
    earliest: u64,
    until: u64,
    mac: Hmac<Sha256>,
}

impl Epoch {
    fn new(number: u64, rotate: u64, key: &[u8; 32]) -> Epoch {
        let start = number.saturating_mul(rotate);
        let (earliest, until) =
            (start.saturating_sub(Span::slack(rotate)), start.saturating_add(rotate));
        Epoch { number, rotate, earliest, until, mac: keyed(key) }
    }

    fn random(number: u64, rotate: u64) -> Result<Epoch, Fault> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(Fault::Random)?;
        Ok(Epoch::new(number, rotate, &key))
    }

    /// Hashes a canonical address: IPv4 whole, IPv6 at the prefix `ipv6`.
    ///
    /// # Privacy
    /// The result identifies the subscriber until the key is forgotten, and links their records inside one epoch.
    pub(crate) fn address(&self, field: &str, addr: IpAddr, ipv6: u8) -> Pseudonym {
        let mut block = [0; 18];
        let length = match addr {
            IpAddr::V4(addr) => {
                block[..2].copy_from_slice(&[4, 32]);
                block[2..6].copy_from_slice(&addr.octets());
                6
            }
            IpAddr::V6(addr) => {
                let length = ipv6.min(128);
                let mask = u128::MAX.checked_shl(u32::from(128 - length)).unwrap_or(0);
                block[..2].copy_from_slice(&[6, length]);
                block[2..].copy_from_slice(&(addr.to_bits() & mask).to_be_bytes());
                18
            }
        };
        self.value(field, &block[..length])
    }

    /// Hashes any other value; equal values of two fields have nothing in common.
    pub(crate) fn value(&self, field: &str, value: &[u8]) -> Pseudonym {
        let mut mac = self.mac.clone();
        for part in [field.as_bytes(), b"/v1\0", value] {
            Mac::update(&mut mac, part);
        }
        let mut tag = [0; 16];
        tag.copy_from_slice(&mac.finalize_fixed()[..16]);
        Pseudonym { epoch: self.number, tag }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A keyed hash, cut to 128 bits, with the epoch whose key made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pseudonym {
    epoch: u64,
    tag: [u8; 16],
}

impl Pseudonym {
    /// The longest text: twenty digits, a dot, 32 hexadecimal digits.
    pub(crate) const LENGTH: usize = 53;

    /// Writes `EPOCH.32HEX` to the end of `buffer`.
    pub(crate) fn text<'b>(&self, buffer: &'b mut [u8; Self::LENGTH]) -> &'b str {
        let (number, tag) = buffer.split_at_mut(21);
        key_file::hex(&self.tag, tag);
        number[20] = b'.';
        let start = decimal(self.epoch, &mut number[..20]);
        std::str::from_utf8(&buffer[start..]).unwrap_or_default()
    }
}

/// Writes `number` to the end of `digits` and says where it starts.
fn decimal(mut number: u64, digits: &mut [u8]) -> usize {
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    start
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// HKDF-Expand (RFC 5869) of 32 bytes, which is one HMAC.
fn expand(key: &Hmac<Sha256>, label: &[u8], out: &mut [u8; 32]) {
    let mut mac = key.clone();
    Mac::update(&mut mac, label);
    Mac::update(&mut mac, &[1]);
    mac.finalize_into(out.into());
}

/// Epochs are counted in whole seconds.
pub(crate) fn whole(rotate: Duration) -> Result<u64, Fault> {
    match (rotate.as_secs(), rotate.subsec_nanos()) {
        (seconds @ 1.., 0) => Ok(seconds),
        _ => Err(Fault::Rotate),
    }
}

pub(crate) fn unix(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
