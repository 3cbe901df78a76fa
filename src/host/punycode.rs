//! A-labels of usual letters, which IDNA would leave as they are.
//!
//! Asking for IDNA costs some 1 500 instructions a label. An A-label whose letters are all of [`is_letter`]
//! is decoded here, and what its letters are is enough: each is valid (UTS 46) and stands for itself, none
//! composes with another (NFC), none is a mark, a joiner, or written from right to left, wherever they stand.
//! Whatever else it has, an ASCII-only or broken A-label too, is left to IDNA.
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

/// Whether IDNA takes a name of letters, digits, `-`, `_` and dots, and changes nothing but its case.
pub(super) fn is_usual(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((prefix, behind)) = rest.split_first_chunk() {
        rest = if is_prefix(*prefix) {
            match behind_usual(behind, 0).or_else(|| behind_plain(behind)) {
                Some(behind) => behind,
                None => return false,
            }
        } else {
            behind_label(rest)
        };
    }
    true
}

const fn is_prefix(bytes: [u8; 4]) -> bool {
    // Nothing else in a name becomes a hyphen by that.
    u32::from_le_bytes(bytes) | 0x2020_2020 == u32::from_le_bytes(*b"xn--")
}

fn behind_label(text: &[u8]) -> &[u8] {
    let len = text.iter().take_while(|byte| **byte != b'.').count();
    text.get(len + 1..).unwrap_or_default()
}

/// What follows a label whose last hyphen stands between letters that are not encoded and all others.
#[cold]
fn behind_plain(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|byte| **byte != b'.').count();
    let hyphen = text.get(..len)?.iter().rposition(|byte| *byte == b'-')?;
    behind_usual(text.get(hyphen + 1..)?, u64::try_from(hyphen).ok().filter(|&plain| plain > 0)?)
}

/// What follows a label that goes on here and encodes usual letters, beside so many that are plain.
fn behind_usual(mut text: &[u8], plain: u64) -> Option<&[u8]> {
    let (mut decoder, mut before) = (Decoder { code: 128, at: 0, bias: 72, len: plain }, 0);
    text = decoder.read_first(text)?;
    loop {
        if !is_letter(decoder.code) {
            return None;
        }
        match text.split_first() {
            None => return Some(text),
            Some((b'.', behind)) => return Some(behind),
            Some(_) => {
                decoder.go_on(before);
                before = decoder.at;
                text = decoder.read(text)?;
            }
        }
    }
}

/// Reads code points by RFC 3492 §6.2, and not where they stand.
struct Decoder {
    code: u64,
    at: u64,
    bias: u64,
    len: u64,
}

const BASE: u64 = 36;
const MOST: u64 = 26;
/// With as many digits no number overflows, and no letter of ours takes more.
const MOST_DIGITS: u64 = 6;

impl Decoder {
    /// With the bias that is known, the weight of each digit is, and the least one that another one follows.
    #[inline]
    fn read_first<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let known = [(1, 1), (35, 1), (1225, 26), (12_250, 26), (122_500, 26)];
        for ((weight, least), (at, first)) in known.into_iter().zip(text.iter().enumerate()) {
            let digit = DIGITS[usize::from(*first)];
            if digit == NONE {
                return None;
            }
            self.at += digit * weight;
            if digit < least {
                self.len += 1;
                self.code += self.at / self.len;
                return text.get(at + 1..);
            }
        }
        None
    }

    #[inline]
    fn read<'a>(&mut self, mut text: &'a [u8]) -> Option<&'a [u8]> {
        let (mut weight, mut place) = (1, BASE);
        while let Some((first, rest)) = text.split_first() {
            let digit = DIGITS[usize::from(*first)];
            if digit == NONE || place > BASE * MOST_DIGITS {
                return None;
            }
            text = rest;
            self.at += digit * weight;
            let least = place.saturating_sub(self.bias).clamp(1, MOST);
            if digit < least {
                self.len += 1;
                self.code += self.at / self.len;
                return Some(text);
            }
            weight *= BASE - least;
            place += BASE;
        }
        None
    }

    const fn go_on(&mut self, before: u64) {
        self.bias = adapted(self.at - before, self.len, before == 0);
        self.at = self.at % self.len + 1;
    }
}

const NONE: u64 = u64::MAX;

static DIGITS: [u64; 256] = {
    let (mut digits, mut letter) = ([NONE; 256], 0);
    while letter < 26 {
        digits[b'a' as usize + letter] = letter as u64;
        digits[b'A' as usize + letter] = letter as u64;
        letter += 1;
    }
    let mut number = 0;
    while number < 10 {
        digits[b'0' as usize + number] = number as u64 + 26;
        number += 1;
    }
    digits
};

/// RFC 3492 §6.1.
const fn adapted(delta: u64, len: u64, is_first: bool) -> u64 {
    let mut delta = if is_first { delta / 700 } else { delta / 2 };
    delta += delta / len;
    let mut bias = 0;
    while delta > (BASE - 1) * MOST / 2 {
        delta /= BASE - 1;
        bias += BASE;
    }
    bias + BASE * delta / (delta + 38)
}

/// Small letters of Latin, Greek and Cyrillic, kana, Han and Hangul.
const fn is_letter(code: u64) -> bool {
    matches!(
        code,
        0xdf..=0xf6
            | 0xf8..=0xff
            | 0x3b1..=0x3c9
            | 0x430..=0x45f
            | 0x3041..=0x3096
            | 0x30a1..=0x30fa
            | 0x30fc
            | 0x4e00..=0x9fa5
            | 0xac00..=0xd7a3
    )
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use idna::AsciiDenyList;
    use proptest::prelude::*;

    use super::*;

    fn letters() -> Vec<char> {
        (0..=0xffff).filter(|code| is_letter(u64::from(*code))).filter_map(char::from_u32).collect()
    }

    fn ascii(name: &str) -> Option<Cow<'_, str>> {
        idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::URL).ok()
    }

    fn assert_unchanged(name: &str) {
        assert!(is_usual(name.as_bytes()), "{name}");
        assert!(matches!(ascii(name), Some(Cow::Borrowed(same)) if same == name), "{name}");
    }

    fn encoded(label: &str) -> String {
        format!("xn--{}", idna::punycode::encode_str(label).unwrap())
    }

    #[test]
    fn every_usual_letter_stands_for_itself() {
        for letter in letters() {
            for label in [format!("{letter}"), format!("a{letter}-b"), format!("{letter}{letter}")]
            {
                assert_unchanged(&encoded(&label));
                assert_eq!(ascii(&label).as_deref(), Some(&*encoded(&label)));
            }
        }
    }

    #[test]
    fn every_two_letters_that_are_no_syllables_stand_for_themselves() {
        let few: Vec<_> = letters().into_iter().filter(|letter| *letter < '\u{4e10}').collect();
        for one in &few {
            for other in &few {
                assert_unchanged(&encoded(&format!("{one}{other}")));
            }
        }
    }

    #[test]
    fn a_short_label_is_usual_only_if_idna_leaves_it() {
        let signs: Vec<_> =
            (b'a'..=b'z').chain(b'0'..=b'9').chain(*b"-_A").map(char::from).collect();
        let mut usual = 0;
        let mut check = |label: &str| {
            let name = format!("xn--{label}");
            usual += usize::from(is_usual(name.as_bytes()));
            let is_left = ascii(&name).is_some_and(|text| text.eq_ignore_ascii_case(&name));
            assert!(!is_usual(name.as_bytes()) || is_left, "{name}");
        };
        check("");
        for one in &signs {
            check(&format!("{one}"));
            for two in &signs {
                check(&format!("{one}{two}"));
                for three in &signs {
                    check(&format!("{one}{two}{three}"));
                }
            }
        }
        assert!(usual > 100, "{usual}");
    }

    fn any_label() -> impl Strategy<Value = String> {
        let letter = proptest::sample::select(letters());
        let near = (0xa0..0x600_u32).prop_filter_map("a letter", char::from_u32);
        let c = prop_oneof![
            8 => letter,
            2 => proptest::char::range('a', 'z'),
            1 => near,
            1 => any::<char>(),
            1 => proptest::sample::select(vec!['-', '\u{200d}', '\u{301}', '\u{11a8}', 'א', 'A', '1'])
        ];
        let text =
            proptest::collection::vec(c, 1..9).prop_map(|all| encoded(&String::from_iter(all)));
        prop_oneof![4 => text, 1 => "xn--[a-z0-9]{0,12}", 1 => "[Xx][nN]--[a-z0-9-]{0,12}", 1 => "[a-z_0-9-]{1,5}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_usual_name_is_one_that_idna_leaves(labels in proptest::collection::vec(any_label(), 1..4), dot in "[.]?") {
            let name = labels.join(".") + &dot;
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let name = if name.bytes().all(is_part) { name } else { "a".to_owned() };
            if is_usual(name.as_bytes()) {
                prop_assert_eq!(ascii(&name).map(Cow::into_owned), Some(name.to_ascii_lowercase()));
            }
        }

        #[test]
        fn a_name_of_usual_letters_is_usual(label in proptest::collection::vec(proptest::sample::select(letters()), 1..6)) {
            assert_unchanged(&encoded(&String::from_iter(label)));
        }
    }
}
