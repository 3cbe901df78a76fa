//! Every sentence about keys that an operator can get, as the reason not to start or as a warning.
//!
//! It names the file or variable, the line, and what was expected there. What was found is quoted only
//! where it is a number that cannot be part of a key (rule C6).

use crate::keys::STEPS;
use std::path::Path;
use std::{error, fmt, io, mem};

/// Why keys cannot be used, or what the operator must know; it holds no part of a key.
#[derive(Debug)]
pub struct KeyError {
    place: String,
    fault: Fault,
}

impl KeyError {
    pub(crate) fn new(place: &str, fault: Fault) -> Self {
        Self { place: place.to_owned(), fault }
    }

    pub(crate) fn file(path: &Path, fault: Fault) -> Self {
        Self { place: format!("key file {}", path.display()), fault }
    }

    pub(crate) const fn kind(&self) -> mem::Discriminant<Fault> {
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
    const fn line(&self) -> Option<u8> {
        match self {
            Self::Line(line, _) => Some(*line),
            Self::Differs { .. } => Some(2),
            Self::Ahead { .. } | Self::Behind { .. } => Some(3),
            Self::Zero => Some(4),
            Self::Check => Some(5),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(error) => write!(f, "the system gives no randomness: {error}"),
            Self::Rotate => f.write_str("`rotate` must be a whole number of seconds, at least 1s"),
            Self::Many(keep) => {
                write!(f, "`forget` spans {keep} epochs of `rotate`, more than {STEPS}")
            }
            Self::Unset => f.write_str("is not set; expected the text of a key file"),
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::Write(error) => write!(f, "cannot be written: {error}"),
            Self::Exists => f.write_str("exists already and is left as it is"),
            Self::Shape => f.write_str("expected a regular file of five short lines"),
            Self::Mode(mode) => {
                write!(f, "mode {mode:04o} is wider than 0600; run `chmod 600` on it")
            }
            Self::Line(_, expected) => write!(f, "expected {expected}"),
            Self::Zero => f.write_str("the chain key is all zero"),
            Self::Check => f.write_str(
                "the check value does not fit the lines above: the text is torn or was edited",
            ),
            Self::Differs { stored, policy } => {
                write!(f, "`rotate` is {stored}s here and {policy}s in the policy")
            }
            Self::Ahead { stored, clock } => write!(
                f,
                "epoch {stored} is ahead of the clock's {clock}, and what came before it is gone; \
                 set the clock or make a new key"
            ),
            Self::Behind { stored, clock } => write!(
                f,
                "epoch {stored} is more than {STEPS} steps behind the clock's {clock}; \
                 run `privacy-log keys advance` or make a new key"
            ),
            Self::Held { stored, oldest, error } => write!(
                f,
                "cannot be moved from epoch {stored} to {oldest}, so keys that are due can still be made from it: {error}"
            ),
            Self::Stale { stored, oldest } => write!(
                f,
                "still gives every key since epoch {stored}, where `forget` ends at {oldest}; \
                 replace it by a text that was moved forward"
            ),
            Self::Replaced => f.write_str(
                "was replaced by a key of another chain, which is left as it is; \
                 this process goes on with its own until it starts again",
            ),
            Self::Back { newest, clock } => write!(
                f,
                "the clock went back to epoch {clock}; the newest key, of epoch {newest}, serves until it is past"
            ),
            Self::Leap { newest, clock } => write!(
                f,
                "the clock went from epoch {newest} to {clock}, over a year at once; there are no pseudonyms \
                 until it is back or this process starts again"
            ),
        }
    }
}
