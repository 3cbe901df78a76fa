//! Percent-encoding: reading and writing of single bytes (RFC 3986 §2.1, read as the URL standard does).
//!
//! A `%` without two hexadecimal digits stands for itself. Nothing is decoded twice.

/// The bytes that `text` stands for, with `plus` for every `+`.
pub(crate) fn decoded(text: &str, plus: u8) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        let (byte, behind) = match first {
            b'%' => pair(tail).zip(tail.get(2..)).unwrap_or((first, tail)),
            b'+' => (plus, tail),
            _ => (first, tail),
        };
        rest = behind;
        Some(byte)
    })
}

/// The byte that two leading hexadecimal digits stand for.
pub(crate) fn pair(digits: &[u8]) -> Option<u8> {
    match digits {
        [high, low, ..] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    }
}

/// `%` and the two digits of a byte.
pub(crate) const fn encoded(byte: u8) -> [u8; 3] {
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' - 10 + nibble }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<u8> {
        decoded(text, b' ').collect()
    }

    #[test]
    fn what_is_not_encoded_stands_for_itself() {
        assert_eq!(read("a%41%e2%82%AC+b"), "aA€ b".as_bytes());
        assert_eq!(read("%zz%4%"), b"%zz%4%");
        assert_eq!(read("%2541"), b"%41");
        assert_eq!(read("%2B"), b"+");
        assert_eq!(read("%+1%é"), "% 1%é".as_bytes());
    }

    #[test]
    fn every_byte_can_be_written_and_read_again() {
        for byte in 0..=255 {
            let text = encoded(byte);
            assert_eq!(read(std::str::from_utf8(&text).unwrap()), [byte]);
        }
    }
}
