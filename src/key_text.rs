//! One link of the ratchet as text, for the key file and for a variable.
//!
//! ```text
//! privacy-log keys 1                  version of this format
//! rotate 86400                        seconds that one key is used
//! epoch 20645                         the oldest epoch that can still be computed
//! chain 1bcf26c1425b9c12…             its chain key, 64 lower-case hexadecimal digits
//! check 5f0c2a91d3e4b7a6              start of a SHA-256 over `privacy-log key file check`, a zero byte, and the four lines above
//! ```
//!
//! There is one way to write a link, and anything else is refused (rule C6) without being quoted.

use crate::key_error::Fault;
use crate::key_file::LONGEST;
use crate::keys::{STEPS, Span};
use crate::pseudonym::{Chain, HEX, hex, slack};
use sha2::{Digest, Sha256};
use std::str;
use zeroize::Zeroizing;

const VERSION: &str = "privacy-log keys 1";

/// What a key text says.
pub(crate) struct Link {
    pub(crate) rotate: u64,
    pub(crate) chain: Chain,
}

impl Link {
    /// Whether a process with this policy and clock may start from it.
    pub(crate) fn due(&self, span: Span, seconds: u64) -> Result<(), Fault> {
        self.fits(span)?;
        self.not_ahead(seconds)?;
        self.near(seconds / span.rotate)
    }

    pub(crate) const fn fits(&self, span: Span) -> Result<(), Fault> {
        let (stored, policy) = (self.rotate, span.rotate);
        if stored == policy { Ok(()) } else { Err(Fault::Differs { stored, policy }) }
    }

    pub(crate) fn not_ahead(&self, seconds: u64) -> Result<(), Fault> {
        let (stored, clock) = (self.chain.epoch, seconds / self.rotate);
        let latest = seconds.saturating_add(slack(self.rotate)) / self.rotate;
        if stored <= latest { Ok(()) } else { Err(Fault::Ahead { stored, clock }) }
    }

    const fn near(&self, clock: u64) -> Result<(), Fault> {
        let stored = self.chain.epoch;
        if clock.saturating_sub(stored) <= STEPS {
            Ok(())
        } else {
            Err(Fault::Behind { stored, clock })
        }
    }

    /// Whether the older of the two links leads to the other one.
    pub(crate) fn same_chain(&self, span: Span, head: &Chain) -> Result<(), Fault> {
        self.due(span, head.epoch.saturating_mul(span.rotate))?;
        let last = head.epoch.max(self.chain.epoch);
        let (mut ours, mut stored) = (head.copy(), self.chain.copy());
        ours.advance(last);
        stored.advance(last);
        if ours.same(&stored) { Ok(()) } else { Err(Fault::Replaced) }
    }

    pub(crate) fn text(&self) -> Zeroizing<Vec<u8>> {
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

fn unhex(digits: &[u8], epoch: u64) -> Option<Chain> {
    let value = |digit: &u8| {
        HEX.iter().position(|known| known == digit).and_then(|at| u8::try_from(at).ok())
    };
    let mut valid = digits.len() == 64;
    let chain = Chain::new(epoch, |key| {
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let halves = pair.first().and_then(value).zip(pair.last().and_then(value));
            *byte = halves.map_or(0, |(high, low)| (high << 4) | low);
            valid &= halves.is_some();
        }
    });
    valid.then_some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_error::KeyError;

    fn link() -> Link {
        Link {
            rotate: 86_400,
            chain: Chain::new(20_645, |key| key.iter_mut().zip(0..).for_each(|(to, n)| *to = n)),
        }
    }

    fn fault(text: &str) -> String {
        KeyError::new("key", parse(text.as_bytes()).map(|_| ()).unwrap_err()).to_string()
    }

    /// The five lines of `link`, with one of them replaced and the check value of the result.
    fn with(number: usize, line: &str) -> String {
        let text = String::from_utf8(link().text().to_vec()).unwrap();
        let mut lines: Vec<&str> = text.lines().take(4).collect();
        lines[number - 1] = line;
        let text = lines.join("\n") + "\n";
        let check = check(text.as_bytes());
        format!("{text}check {}\n", str::from_utf8(&check).unwrap())
    }

    #[test]
    fn the_text_is_five_documented_lines() {
        let text = String::from_utf8(link().text().to_vec()).unwrap();
        let expected = "privacy-log keys 1\nrotate 86400\nepoch 20645\n\
            chain 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\ncheck b5bce71e9716c59d\n";
        assert_eq!(text, expected);
        let read = parse(text.as_bytes()).unwrap();
        assert!(read.rotate == 86_400 && read.chain.same(&link().chain));
        assert!(parse(text.trim_end().as_bytes()).is_ok(), "a shell takes the last line end away");
    }

    #[test]
    fn the_longest_text_fits_without_growing() {
        let text = Link { rotate: u64::MAX, chain: Chain::new(u64::MAX, |key| key[0] = 1) }.text();
        assert!(text.len() < LONGEST && text.capacity() == LONGEST);
        assert!(parse(&text).is_ok());
    }

    #[test]
    fn a_text_changed_in_any_byte_or_cut_anywhere_is_refused() {
        let text = link().text().to_vec();
        for at in 0..text.len() {
            assert!(at == text.len() - 1 || parse(&text[..at]).is_err(), "cut at {at}");
            let mut edited = text.clone();
            for byte in (0..=255).filter(|byte| *byte != text[at]) {
                edited[at] = byte;
                assert!(parse(&edited).is_err(), "byte {at} as {byte}");
            }
        }
    }

    #[test]
    fn each_line_is_named_with_what_was_expected() {
        let chain = "key, line 4: expected `chain` and 64 lower-case hexadecimal digits";
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        for (text, sentence) in [
            (String::new(), "key, line 1: expected `privacy-log keys 1`"),
            ("\u{feff}privacy-log keys 1\n".into(), "key, line 1: expected `privacy-log keys 1`"),
            (with(1, "privacy-log keys 2"), "key, line 1: expected `privacy-log keys 1`"),
            (with(1, "privacy-log keys 1\r"), "key, line 1: expected `privacy-log keys 1`"),
            (with(2, "rotate 0"), "key, line 2: expected `rotate` and a number of seconds"),
            (with(2, "rotate 1d"), "key, line 2: expected `rotate` and a number of seconds"),
            (with(2, "rotate"), "key, line 2: expected `rotate` and a number of seconds"),
            (with(3, "epoch +5"), "key, line 3: expected `epoch` and a number"),
            (with(3, "epoch 05"), "key, line 3: expected `epoch` and a number"),
            (with(3, "epoch -1"), "key, line 3: expected `epoch` and a number"),
            (with(3, "epoch "), "key, line 3: expected `epoch` and a number"),
            (with(3, "epoch 18446744073709551616"), "key, line 3: expected `epoch` and a number"),
            (with(4, &format!("chain {}", &key[..62])), chain),
            (with(4, &format!("chain {}", &key[..63])), chain),
            (with(4, &format!("chain {key}00")), chain),
            (with(4, &format!("chain {}", key.to_uppercase())), chain),
            (with(4, &format!("chain {}g", &key[..63])), chain),
            (with(4, "chain"), chain),
            (
                with(4, &format!("chain {}", "0".repeat(64))),
                "key, line 4: the chain key is all zero",
            ),
            (with(4, &format!("chain {key}")) + "x", "key, line 6: expected nothing"),
        ] {
            assert_eq!(fault(&text), sentence);
        }
        let edited = with(4, &format!("chain {key}")).replace("epoch 20645", "epoch 20646");
        let sentence = "key, line 5: the check value does not fit the lines above: the text is torn or was edited";
        assert_eq!(fault(&edited), sentence);
    }

    proptest::proptest! {
        #[test]
        fn any_link_is_read_as_it_was_written(rotate in 1..=u64::MAX, epoch: u64, key: [u8; 32]) {
            let link = Link { rotate, chain: Chain::new(epoch, |into| *into = key) };
            let read = parse(&link.text());
            proptest::prop_assert_eq!(read.is_ok(), key != [0; 32]);
            if let Ok(read) = read {
                proptest::prop_assert!(read.rotate == rotate && read.chain.same(&link.chain));
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: Vec<u8>) {
            proptest::prop_assert!(parse(&text).is_err());
        }
    }
}
