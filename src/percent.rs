//! Percent-encoding: reading and writing of single bytes (RFC 3986 §2.1, read as the URL standard does).
//!
//! A `%` without two hexadecimal digits stands for itself. Nothing is decoded twice.
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

/// The bytes that `text` stands for, with `plus` for every `+`.
pub(crate) fn decoded(text: &str, plus: u8) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        if let [b'%', high, low, behind @ ..] = rest
            && let Some(byte) = pair(&[*high, *low])
        {
            rest = behind;
            return Some(byte);
        }
        let (&first, behind) = rest.split_first()?;
        rest = behind;
        Some(if first == b'+' { plus } else { first })
    })
}

/// The bytes that `text` stands for, if there is room for them; a `+` stands for itself.
pub(crate) fn decoded_into<'a>(room: &'a mut [u8], text: &str) -> Option<&'a [u8]> {
    let (mut rest, mut len) = (text.as_bytes(), 0);
    loop {
        let count = triplets(rest, room.get_mut(len..)?);
        rest = rest.get(3 * count..)?;
        len += count;
        let Some((first, behind)) = rest.split_first() else { return room.get(..len) };
        *room.get_mut(len)? = *first;
        (rest, len) = (behind, len + 1);
    }
}

/// How many encoded bytes `text` begins with, for which there is room.
fn triplets(text: &[u8], room: &mut [u8]) -> usize {
    let mut count = 0;
    for ([percent, high, low], place) in text.as_chunks().0.iter().zip(room) {
        let byte = HIGH[usize::from(*high)] | LOW[usize::from(*low)];
        let Ok(byte) = u8::try_from(byte) else { break };
        if *percent != b'%' {
            break;
        }
        *place = byte;
        count += 1;
    }
    count
}

/// What a digit stands for in its place, or more than a byte.
static HIGH: [u16; 256] = digits(4);
static LOW: [u16; 256] = digits(0);

const fn digits(shift: u8) -> [u16; 256] {
    let (mut digits, mut byte) = ([0x100; 256], 0);
    while byte < 256 {
        if NIBBLES[byte] < 16 {
            digits[byte] = (NIBBLES[byte] as u16) << shift;
        }
        byte += 1;
    }
    digits
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

fn nibble(digit: u8) -> Option<u8> {
    let nibble = NIBBLES[usize::from(digit)];
    (nibble < 16).then_some(nibble)
}

const NIBBLES: [u8; 256] = {
    let (mut nibbles, mut nibble) = ([u8::MAX; 256], 0);
    while nibble < 16 {
        let digit = digit(nibble);
        nibbles[digit as usize] = nibble;
        nibbles[digit.to_ascii_lowercase() as usize] = nibble;
        nibble += 1;
    }
    nibbles
};

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
    fn what_is_decoded_at_once_is_what_is_decoded_byte_by_byte() {
        for text in ["", "a", "%", "%4", "%41", "%zz%4%", "a%2B+%é%C3%a9", "%%41%4g%G4%411"] {
            let expected: Vec<_> = decoded(text, b'+').collect();
            for room in 0..20 {
                let mut room = vec![0; room];
                let fits = expected.len() <= room.len();
                assert_eq!(decoded_into(&mut room, text), fits.then_some(&expected[..]), "{text}");
            }
        }
    }

    #[test]
    fn every_byte_can_be_written_and_read_again() {
        for byte in 0..=255 {
            let text = encoded(byte);
            assert_eq!(read(std::str::from_utf8(&text).unwrap()), [byte]);
        }
    }
}
