//! What the operator decides about the sink, in code.
//!
//! The rule: every default is safe for requests (nobody waits for a disk) and honest (what is missing is
//! counted). How long lines may exist is not decided here but in the policy.

use std::time::Duration;

/// How [`JsonLines`](super::JsonLines) trades memory, delay and safety.
///
/// ```
/// use tower_privacy_log::{Options, Overflow};
///
/// let options = Options { overflow: Overflow::Block, ..Options::default() };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What happens to a line when `buffer` is full.
    pub overflow: Overflow,
    /// How many bytes of lines may wait in memory, at most.
    pub buffer: usize,
    /// A line is written at most this much later; what a killed process can lose.
    pub interval: Duration,
    /// How often files are synced to the disk; what a power failure can lose. `None` leaves it to the system.
    pub sync: Option<Duration>,
    /// How long a flush waits for an output that takes no lines; what the last one leaves then counts as dropped.
    pub linger: Duration,
    /// The size at which a file is closed and the next one of the same hour begins, in bytes.
    pub max_file: u64,
    /// What is done with closed files.
    pub compress: Compress,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            overflow: Overflow::Drop,
            buffer: 8 << 20,
            interval: Duration::from_millis(10),
            sync: None,
            linger: Duration::from_secs(5),
            max_file: 1 << 30,
            compress: Compress::No,
        }
    }
}

/// What happens to a line when the disk is slower than the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is dropped and counted, and the log says how many are missing: `{"log":"access","dropped":7}`.
    Drop,
    /// The request waits for room. During a fault nobody waits; lines are dropped as with `Drop`.
    Block,
}

/// What is done with a file after its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compress {
    /// It stays as it is.
    No,
    /// It becomes `….jsonl.gz`.
    #[cfg(feature = "gzip")]
    Gzip,
}
