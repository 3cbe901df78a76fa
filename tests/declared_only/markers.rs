//! Markers: words that occur nowhere else, and the search for them in every encoding.

use std::fmt::Write as _;

/// What base64 makes of the start of a marker, by the place of its first byte in a group of three.
const BASE64: [&str; 3] = ["enFrdm", "pxa3Zt", "6cWt2b"];

/// What all markers begin with; long enough that no encoding of it occurs by chance.
const START: &str = "zqkvm";
const LENGTH: usize = START.len() + 2 + 4;

/// The marker of a place (two characters) in one exchange (four characters).
pub fn marker(place: &str, nonce: &str) -> String {
    assert_eq!((place.len(), nonce.len()), (2, 4));
    format!("{START}{place}{nonce}")
}

/// Every marker that some reading of `text` gives, as `PLACE` + `NONCE`.
pub fn found(text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for reading in readings(text) {
        for (at, _) in reading.match_indices(START) {
            let word = reading.get(at + START.len()..at + LENGTH).unwrap_or("cut off");
            seen.push(word.to_owned());
        }
    }
    seen.sort();
    seen.dedup();
    seen
}

/// The same, of a text that nothing has encoded.
pub fn plainly_found(text: &str) -> impl Iterator<Item = String> {
    let words = text.match_indices(START).map(|(at, _)| text.get(at + START.len()..at + LENGTH));
    words.flatten().map(str::to_owned)
}

/// Whether four characters in a row of this marker can be read: for markers that a cut may shorten.
pub fn shows_part(text: &str, marker: &str) -> bool {
    let parts: Vec<&str> = (0..marker.len() - 3).map(|at| &marker[at..at + 4]).collect();
    readings(text).iter().any(|reading| parts.iter().any(|part| reading.contains(part)))
}

/// The text in lower case, undone from percent, JSON, hex, base64 and byte lists.
fn readings(text: &str) -> Vec<String> {
    let plain = unescaped(text);
    let mut readings = vec![text.to_ascii_lowercase()];
    let mut decoded = plain.into_bytes();
    for _ in 0..3 {
        readings.push(lower(&decoded));
        let again = percent_decoded(&decoded);
        if again == decoded {
            break;
        }
        decoded = again;
    }
    if readings[0].contains("7a716b") {
        readings.extend(unhexed(text));
    }
    if BASE64.iter().any(|part| text.contains(part)) {
        readings.extend(unbased(text));
    }
    readings.extend(unlisted(text));
    readings
}

fn lower(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_ascii_lowercase()
}

pub fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "%{byte:02x}");
        out
    })
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let pair = pair.and_then(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        out.push(pair.unwrap_or(byte));
        at += if pair.is_some() { 3 } else { 1 };
    }
    out
}

/// `\u007a`, `\u{7a}` and `\x7a` read as what they stand for.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = escape(part).unwrap_or((None, part));
        out.extend(c);
        out.push_str(rest);
    }
    out
}

fn escape(part: &str) -> Option<(Option<char>, &str)> {
    let (digits, rest) = match part.as_bytes() {
        [b'u', b'{', ..] => part.get(2..)?.split_once('}')?,
        [b'u', ..] => (part.get(1..5)?, part.get(5..)?),
        [b'x', ..] => (part.get(1..3)?, part.get(3..)?),
        _ => return None,
    };
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?), rest))
}

fn unhexed(text: &str) -> Vec<String> {
    let run = |byte: u8| byte.is_ascii_hexdigit();
    let mut out = Vec::new();
    for run in runs(text, run, 2 * START.len()) {
        for run in [run, &run[1..]] {
            let pairs = run.as_bytes().chunks_exact(2);
            let bytes =
                pairs.filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
            out.push(lower(&bytes.collect::<Vec<_>>()));
        }
    }
    out
}

/// Both alphabets, at every alignment.
fn unbased(text: &str) -> Vec<String> {
    let run = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let mut out = Vec::new();
    for run in runs(text, run, 8) {
        for skip in 0..4.min(run.len()) {
            out.push(lower(&base64_decoded(&run.as_bytes()[skip..])));
        }
    }
    out
}

pub fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    out
}

fn base64_decoded(text: &[u8]) -> Vec<u8> {
    let six = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for chunk in text.chunks(4) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(six(*byte)));
        let bits = bits << (6 * (4 - chunk.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    out
}

/// `[122, 113, …]`, as `Debug` shows bytes.
fn unlisted(text: &str) -> Option<String> {
    if !text.contains("122, 113") {
        return None;
    }
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    Some(lower(&numbers.collect::<Vec<u8>>()))
}

fn runs(text: &str, is_part: impl Fn(u8) -> bool, shortest: usize) -> Vec<&str> {
    let parts = text.split(|c: char| !u8::try_from(c).is_ok_and(&is_part));
    parts.filter(|run| run.len() >= shortest).collect()
}

#[test]
fn the_search_finds_a_marker_in_every_encoding() {
    let word = marker("pl", "ace0");
    let bytes = word.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    let hex: String = word.bytes().map(|byte| format!("{byte:02X}")).collect();
    let json: String = word.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let rust: String = word.bytes().map(|byte| format!("\\u{{{byte:x}}}")).collect();
    for hidden in [
        word.clone(),
        word.to_uppercase(),
        percent_encoded(&word),
        percent_encoded(&percent_encoded(&word)),
        base64(&word),
        base64(&format!("a{word}b")),
        base64(&format!("ab{word}:x")),
        hex.clone(),
        format!("f{hex}"),
        json,
        rust,
        format!("[{bytes}]"),
    ] {
        assert_eq!(found(&format!("{{\"a\":\"{hidden}\"}}")), ["place0"], "{hidden}");
    }
    assert!(shows_part("…kvmp…", &word) && !shows_part("…kv…", &word));
    assert!(found("nothing of the kind").is_empty());
}
