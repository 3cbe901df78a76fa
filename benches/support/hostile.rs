//! Requests that want to be expensive: 8 KiB of a forwarding header, of a path or of a referrer.

/// The size of every one of them.
pub const SIZE: usize = 8192;

/// `part` as often as it fits.
pub fn filled(part: &str) -> String {
    part.repeat(SIZE / part.len())
}
