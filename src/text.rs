//! Making text safe for a log line.
//!
//! A [`Text`] is always safe: no control, bidi, invisible or separator character, no private use, at
//! most 256 characters. What is unsafe becomes an escape (`\n`, `\u{202e}`) and a backslash is
//! doubled, so that two different texts never look alike and a reader can undo it. Whoever calls has
//! reduced the value before: this file hides nothing, it only keeps one value inside one line
//! (CWE-117, CWE-150) and shows what would not show itself (CVE-2021-42574).
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

use std::fmt;
use std::str;

use arrayvec::ArrayString;

use crate::fixed::Fixed;
use crate::scan;

/// The most characters that a text can have, escapes counted as they are written.
pub(crate) const LONGEST: usize = 256;
const INLINE: usize = 48;

/// A text that may be written: safe, short, and without heap up to 48 bytes.
#[derive(Clone)]
pub(crate) struct Text(Form);

#[derive(Clone)]
enum Form {
    Fixed(&'static Fixed),
    /// Without a quote and a backslash.
    Word(ArrayString<INLINE>),
    Short(ArrayString<INLINE>),
    Long {
        text: String,
        is_word: bool,
    },
}

/// How a text is put into JSON.
pub(crate) enum Written<'t> {
    Fixed(&'static Fixed),
    /// As it stands.
    Word(&'t str),
    Escaped(&'t str),
}

impl Text {
    /// The text as it can be written, cut after 256 characters; no more of `raw` is read than that needs.
    pub(crate) fn new(raw: &str) -> Self {
        Self::plain(raw).unwrap_or_else(|| {
            let mut draft = Draft::new();
            draft.push(raw);
            draft.finish()
        })
    }

    /// `None` when the bytes, as far as 256 characters can reach, are not UTF-8.
    pub(crate) fn from_utf8(raw: &[u8]) -> Option<Self> {
        let read = raw.get(..LONGEST * 4).unwrap_or(raw);
        match str::from_utf8(read) {
            Ok(text) => Some(Self::new(text)),
            Err(cut) if cut.error_len().is_none() && read.len() < raw.len() => {
                Self::from_utf8(read.get(..cut.valid_up_to())?)
            }
            Err(_) => None,
        }
    }

    /// One of our own words, which are safe as they stand.
    pub(crate) const fn fixed(word: &'static Fixed) -> Self {
        Self(Form::Fixed(word))
    }

    /// Plain ASCII without quotes, at most 256 bytes of it.
    pub(crate) fn word(word: &str) -> Self {
        debug_assert!(is_word(word), "written as it is, in JSON too");
        Self(match ArrayString::from(word) {
            Ok(word) => Form::Word(word),
            Err(_) => Form::Long { text: word.to_owned(), is_word: true },
        })
    }

    /// The same, of two parts.
    pub(crate) fn word_of(start: &str, end: &str) -> Self {
        let mut word = ArrayString::new_const();
        if word.try_push_str(start).and_then(|()| word.try_push_str(end)).is_ok() {
            debug_assert!(is_word(&word), "written as it is, in JSON too");
            return Self(Form::Word(word));
        }
        Self::word(&[start, end].concat())
    }

    /// The same of at most 48 bytes, made where it stays.
    #[inline]
    pub(crate) fn short_word(word: &str) -> Option<Self> {
        debug_assert!(is_word(word), "written as it is, in JSON too");
        let mut text = Some(Self(Form::Word(ArrayString::new_const())));
        if let Some(Self(Form::Word(short))) = &mut text
            && short.try_push_str(word).is_ok()
        {
            return text;
        }
        None
    }

    /// The text as it is written best.
    #[inline]
    pub(crate) fn written(&self) -> Written<'_> {
        match &self.0 {
            Form::Fixed(word) => Written::Fixed(word),
            Form::Word(text) => Written::Word(text),
            Form::Long { text, is_word: true } => Written::Word(text),
            Form::Short(text) => Written::Escaped(text),
            Form::Long { text, is_word: false } => Written::Escaped(text),
        }
    }

    /// The text, if it needs no escape in JSON; one that needs none may be told to.
    #[inline]
    pub(crate) fn as_word(&self) -> Option<&str> {
        match &self.0 {
            Form::Word(text) => Some(text),
            Form::Fixed(word) => Some(word.text),
            Form::Long { text, is_word: true } => Some(text),
            Form::Short(_) | Form::Long { .. } => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Form::Fixed(word) => word.text,
            Form::Word(text) | Form::Short(text) => text,
            Form::Long { text, .. } => text,
        }
    }

    #[expect(clippy::needless_bitwise_bool, reason = "without branches it becomes vector code")]
    fn plain(raw: &str) -> Option<Self> {
        let mut bytes = [b' '; INLINE];
        bytes.get_mut(..raw.len())?.copy_from_slice(raw.as_bytes());
        let (plain, is_word) = bytes.iter().fold((true, true), |(plain, word), &byte| {
            (plain & is_plain(byte), word & (byte != b'"'))
        });
        let short = || ArrayString::from(raw).ok();
        let form = if is_word { Form::Word } else { Form::Short };
        plain.then(short)?.map(|text| Self(form(text)))
    }

    #[inline]
    fn append(&mut self, safe: &str) {
        match &mut self.0 {
            Form::Long { text, .. } => return text.push_str(safe),
            Form::Word(text) | Form::Short(text) => {
                if text.try_push_str(safe).is_ok() {
                    return;
                }
            }
            Form::Fixed(_) => {}
        }
        let mut text = String::with_capacity(LONGEST.max(self.as_str().len() + safe.len()));
        text.push_str(self.as_str());
        text.push_str(safe);
        self.0 = Form::Long { text, is_word: false };
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Whether `raw` is safe, short and ASCII, and has no quote: it can be written as it stands, in JSON too.
pub(crate) fn is_word(raw: &str) -> bool {
    raw.len() <= LONGEST && raw.bytes().all(|byte| WORD[usize::from(byte)])
}

static WORD: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] = is_plain(byte) && byte != b'"';
        byte += 1;
    }
    table
};

/// A text being put together; what comes after the 256th character is dropped.
pub(crate) struct Draft {
    text: Text,
    room: usize,
    is_word: bool,
}

impl Draft {
    pub(crate) const fn new() -> Self {
        Self { text: Text(Form::Word(ArrayString::new_const())), room: LONGEST, is_word: true }
    }

    pub(crate) fn start(atom: &str) -> Self {
        let mut draft = Self::new();
        draft.push_whole(atom);
        draft
    }

    /// Whether nothing more will be taken.
    pub(crate) const fn is_full(&self) -> bool {
        self.room == 0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.room == LONGEST
    }

    /// How many characters will still be taken.
    pub(crate) const fn room(&self) -> usize {
        self.room
    }

    /// Takes nothing more.
    pub(crate) const fn fill(&mut self) {
        self.room = 0;
    }

    pub(crate) fn push(&mut self, raw: &str) {
        let (plain, has_quote) = plain_run(raw, self.room);
        let mut safe = Safe { end: plain, chars: plain, has_quote };
        if plain < raw.len().min(self.room) {
            safe.take(raw, self.room);
        }
        let (whole, rest) = raw.split_at_checked(safe.end).unwrap_or_default();
        self.text.append(whole);
        self.is_word &= !safe.has_quote;
        self.room -= safe.chars;
        if !rest.is_empty() && !self.is_full() {
            self.push_mixed(rest);
        }
    }

    /// Takes plain ASCII whole, or not at all and nothing after it.
    pub(crate) fn push_whole(&mut self, atom: &str) {
        debug_assert!(is_word(atom), "only plain ASCII is taken as it is");
        self.take(atom);
    }

    pub(crate) fn make_ascii_lowercase(&mut self) {
        match &mut self.text.0 {
            Form::Word(text) | Form::Short(text) => text.make_ascii_lowercase(),
            Form::Long { text, .. } => text.make_ascii_lowercase(),
            Form::Fixed(_) => {}
        }
    }

    pub(crate) fn finish(self) -> Text {
        match self.text.0 {
            Form::Word(text) if !self.is_word => Text(Form::Short(text)),
            Form::Long { text, .. } => Text(Form::Long { text, is_word: self.is_word }),
            form => Text(form),
        }
    }

    fn push_mixed(&mut self, raw: &str) {
        let text = std::mem::replace(&mut self.text, Text(Form::Fixed(Fixed::EMPTY)));
        let mut line = Line::new(text, self.room);
        let mut at = 0;
        while line.room > 0
            && let Some(&byte) = raw.as_bytes().get(at)
        {
            at += if byte < 0x80 { line.push_ascii(byte) } else { line.push_others(raw, at) };
        }
        self.room = line.room;
        self.is_word &= line.is_word;
        self.text = line.finish();
    }

    #[inline]
    fn take(&mut self, atom: &str) {
        match self.room.checked_sub(atom.len()) {
            Some(room) => {
                self.text.append(atom);
                self.room = room;
            }
            None => self.room = 0,
        }
    }
}

/// A text and the ASCII that is to follow it, which is checked many at a time.
struct Line {
    text: Text,
    room: usize,
    ascii: Aligned,
    len: usize,
    is_word: bool,
}

/// Whole words are checked several times faster than a text by itself.
#[repr(align(16))]
struct Aligned([u8; LONGEST + LONGEST_ESCAPE]);

/// Of `\u{10ffff}` and what is written with it.
const LONGEST_ESCAPE: usize = 16;

impl Line {
    const fn new(text: Text, room: usize) -> Self {
        Self { text, room, ascii: Aligned([b' '; LONGEST + LONGEST_ESCAPE]), len: 0, is_word: true }
    }

    fn finish(mut self) -> Text {
        self.flush();
        self.text
    }

    fn flush(&mut self) {
        let whole = self.ascii.0.get(..self.len.next_multiple_of(16)).unwrap_or_default();
        let ascii = str::from_utf8(whole).ok().and_then(|ascii| ascii.get(..self.len));
        self.text.append(ascii.unwrap_or_default());
        self.len = 0;
    }

    #[inline]
    fn push_ascii(&mut self, byte: u8) -> usize {
        self.is_word &= WORD[usize::from(byte)];
        match byte {
            b'\\' => self.push_pair(b'\\'),
            b'\t' => self.push_pair(b't'),
            b'\n' => self.push_pair(b'n'),
            b'\r' => self.push_pair(b'r'),
            0x20..=0x7e => self.put([byte; 16], 1),
            _ => self.push_code(u32::from(byte)),
        }
        1
    }

    fn push_others(&mut self, raw: &str, at: usize) -> usize {
        if let Err(code) = width(raw, at) {
            self.is_word = false;
            return self.push_run(code, raw.as_bytes().get(at..).unwrap_or_default());
        }
        let mut safe = Safe { end: at, chars: 0, has_quote: false };
        safe.take(raw, self.room);
        self.flush();
        self.is_word &= !safe.has_quote;
        self.text.append(raw.get(at..safe.end).unwrap_or_default());
        self.room -= safe.chars;
        safe.end - at
    }

    /// The character that `raw` begins with as often as it stands there.
    #[inline]
    fn push_run(&mut self, code: u32, raw: &[u8]) -> usize {
        let (escape, len) = escape(code);
        match raw.first() {
            Some(..0xe0) => self.put_each::<2>(raw, escape, len),
            Some(..0xf0) => self.put_each::<3>(raw, escape, len),
            _ => self.put_each::<4>(raw, escape, len),
        }
    }

    #[inline]
    fn put_each<const N: usize>(&mut self, raw: &[u8], escape: [u8; 16], len: usize) -> usize {
        let Some((first, mut rest)) = raw.split_first_chunk::<N>() else { return raw.len() };
        self.put(escape, len);
        while self.room >= len
            && let Some((next, behind)) = rest.split_first_chunk()
            && next == first
        {
            self.put(escape, len);
            rest = behind;
        }
        raw.len() - rest.len()
    }

    #[inline]
    fn push_pair(&mut self, letter: u8) {
        self.put(std::array::from_fn(|at| if at == 0 { b'\\' } else { letter }), 2);
    }

    #[inline]
    fn push_code(&mut self, code: u32) {
        let (escape, len) = escape(code);
        self.put(escape, len);
    }

    /// The first `len` bytes whole, or nothing and nothing after it.
    #[inline]
    fn put(&mut self, bytes: [u8; 16], len: usize) {
        let Some(room) = self.room.checked_sub(len) else {
            self.room = 0;
            return;
        };
        let free = self.ascii.0.get_mut(self.len..);
        if let Some(place) = free.and_then(|free| free.first_chunk_mut()) {
            *place = bytes;
            self.len += len;
        }
        self.room = room;
    }
}

/// `\u{…}`, and how long it is.
fn escape(code: u32) -> ([u8; 16], usize) {
    let digits = (code | 1).ilog2() / 4 + 1;
    let behind = u64::from(b'}') << (64 - 8 * (digits + 1));
    let digits_behind = hex(code) << (64 - 8 * digits) | behind;
    let start = u128::from(u32::from_be_bytes(*b"\0\\u{")) << 104;
    ((start | u128::from(digits_behind) << 40).to_be_bytes(), digits as usize + 4)
}

/// The six hexadecimal digits of a character's code, the last in the lowest byte.
fn hex(code: u32) -> u64 {
    let [low, middle, high, _] = code.to_le_bytes();
    let pair = |byte: u8| u64::from(HEX[usize::from(byte)]);
    pair(high) << 32 | pair(middle) << 16 | pair(low)
}

/// The two digits of every byte.
static HEX: [u16; 256] = {
    let digits = b"0123456789abcdef";
    let (mut pairs, mut byte) = ([0; 256], 0);
    while byte < 256 {
        pairs[byte] = u16::from_be_bytes([digits[byte >> 4], digits[byte & 15]]);
        byte += 1;
    }
    pairs
};

/// How many plain bytes `raw` begins with, at most `room`, and whether a quote is among them.
fn plain_run(raw: &str, room: usize) -> (usize, bool) {
    let bytes = raw.as_bytes().get(..room).unwrap_or(raw.as_bytes());
    let (mut len, mut has_quote) = plain_blocks::<64>(bytes);
    let (more, has_another) = plain_blocks::<16>(bytes.get(len..).unwrap_or_default());
    (len, has_quote) = (len + more, has_quote | has_another);
    for &byte in bytes.get(len..).unwrap_or_default().iter().take_while(|&&byte| is_plain(byte)) {
        (len, has_quote) = (len + 1, has_quote || byte == b'"');
    }
    (len, has_quote)
}

#[expect(clippy::needless_bitwise_bool, reason = "without branches it becomes vector code")]
fn plain_blocks<const N: usize>(bytes: &[u8]) -> (usize, bool) {
    let (mut len, mut has_quote) = (0, false);
    for block in bytes.as_chunks::<N>().0 {
        let (is_plain, quote) = block.iter().fold((true, false), |(plain, quote), &byte| {
            (plain & is_plain(byte), quote | (byte == b'"'))
        });
        if !is_plain {
            break;
        }
        (len, has_quote) = (len + N, has_quote | quote);
    }
    (len, has_quote)
}

/// Characters that are safe as they stand.
#[derive(Clone, Copy)]
struct Safe {
    /// Where they end.
    end: usize,
    chars: usize,
    has_quote: bool,
}

impl Safe {
    /// As many more as follow, at most `room` in all.
    fn take(&mut self, raw: &str, room: usize) {
        if width(raw, self.end).is_err() {
            return;
        }
        self.take_blocks::<64>(raw, room);
        self.take_blocks::<16>(raw, room);
        if self.chars > 0 {
            let inner = raw.as_bytes().get(self.end..).unwrap_or_default();
            self.end += inner.iter().take_while(|&&byte| is_inner(byte)).count();
        }
        while self.chars < room
            && let Some(&lead) = raw.as_bytes().get(self.end)
            && let Ok(width) = width(raw, self.end)
        {
            self.end += width;
            self.chars += 1;
            self.has_quote |= lead == b'"';
        }
    }

    /// As many blocks as hold nothing that needs a closer look; the last one can end inside of a character.
    #[inline]
    fn take_blocks<const N: usize>(&mut self, raw: &str, room: usize) {
        for block in raw.as_bytes().get(self.end..).unwrap_or_default().as_chunks::<N>().0 {
            if self.has_quote && scan::any(block, needs_look) {
                break;
            }
            if !self.has_quote && scan::any(block, needs_look_or_is_quote) {
                self.has_quote = scan::any(block, |byte| byte == b'"');
                if !self.has_quote || scan::any(block, needs_look) {
                    break;
                }
            }
            let begun = N - usize::from(inner(block));
            if self.chars + begun > room {
                self.end += end_of(block, room - self.chars);
                self.chars = room;
                break;
            }
            (self.end, self.chars) = (self.end + N, self.chars + begun);
        }
    }
}

fn inner<const N: usize>(block: &[u8; N]) -> u8 {
    block.iter().fold(0, |inner, &byte| inner + u8::from(is_inner(byte)))
}

/// Where so many characters end; another one follows.
fn end_of(block: &[u8], mut chars: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let mut end = 0;
    for word in block.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        let begin = (!word >> 7 | word >> 6) & ONES;
        let Some(left) = chars.checked_sub((begin.wrapping_mul(ONES) >> 56) as usize) else {
            break;
        };
        (end, chars) = (end + 8, left);
    }
    let rest = block.get(end..).unwrap_or_default();
    let mut is_taken = |byte: &u8| {
        let begins = usize::from(!is_inner(*byte));
        chars.checked_sub(begins).map(|left| chars = left).is_some()
    };
    end + rest.iter().take_while(|byte| is_taken(byte)).count()
}

/// Whether it stands in the middle of a character or at its end.
const fn is_inner(byte: u8) -> bool {
    byte.cast_signed() < -0x40
}

#[expect(clippy::needless_bitwise_bool, reason = "without branches it becomes vector code")]
const fn needs_look_or_is_quote(byte: u8) -> bool {
    needs_look(byte) | (byte == b'"')
}

/// Whether it is unsafe, or begins characters of which some are; see [`SAFE`].
#[expect(clippy::needless_bitwise_bool, reason = "without branches it becomes vector code")]
const fn needs_look(byte: u8) -> bool {
    // A range that is moved up to the greatest number takes one comparison. The first one goes from 0xee
    // over the end to the last control character, the second one from 0xd8 to 0xe3.
    (byte.wrapping_add(0x7f - 0x1f).cast_signed() > 0x4d)
        | (byte.wrapping_add(0x7f_u8.wrapping_sub(0xe3)).cast_signed() > 0x73)
        | (byte == 0xc2)
        | (byte == 0xcd)
        | (byte == 0x7f)
        | (byte == b'\\')
}

/// The length of this character, or its code when it is unsafe.
#[inline]
fn width(raw: &str, at: usize) -> Result<usize, u32> {
    let lead = raw.as_bytes().get(at).copied().unwrap_or_default();
    match SAFE[usize::from(lead)] {
        0 => closer_look(raw, at, lead),
        width => Ok(usize::from(width)),
    }
}

fn closer_look(raw: &str, at: usize, lead: u8) -> Result<usize, u32> {
    let inner =
        |place| u32::from(raw.as_bytes().get(at + place).copied().unwrap_or_default() & 0x3f);
    let first = |bits: u32| u32::from(lead) & ((1 << bits) - 1);
    let (code, width) = match lead {
        0..0x80 => (u32::from(lead), 1),
        0x80..0xe0 => (first(5) << 6 | inner(1), 2),
        0xe0..0xf0 => (first(4) << 12 | inner(1) << 6 | inner(2), 3),
        0xf0.. => (first(3) << 18 | inner(1) << 12 | inner(2) << 6 | inner(3), 4),
    };
    if is_unsafe(code) { Err(code) } else { Ok(width) }
}

/// By its first byte: the length of a character that needs no closer look, or 0.
static SAFE: [u8; 256] = {
    let mut widths = [0; 256];
    let mut lead = 0;
    while lead < 256 {
        widths[lead] = match lead {
            0x5c => 0,
            0x20..=0x7e => 1,
            0xc3..=0xcc | 0xce..=0xd7 | 0xd9 | 0xda | 0xdd..=0xdf => 2,
            0xe4..=0xed => 3,
            _ => 0,
        };
        lead += 1;
    }
    widths
};

const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'\\'
}

/// Unicode's Cc, Cf, Zl, Zp, Co, noncharacters and `Default_Ignorable_Code_Point` (16.0 and 17.0),
/// the object replacement character, which has no shape of its own, and our own backslash.
const fn is_unsafe(c: u32) -> bool {
    match c >> 8 {
        0x00 => matches!(c, 0..=0x1f | 0x5c | 0x7f..=0x9f | 0xad),
        0x03 => c == 0x34f,
        0x06 => matches!(c, 0x600..=0x605 | 0x61c | 0x6dd),
        0x07 => c == 0x70f,
        0x08 => matches!(c, 0x890 | 0x891 | 0x8e2),
        0x11 => matches!(c, 0x115f | 0x1160),
        0x17 => matches!(c, 0x17b4 | 0x17b5),
        0x18 => matches!(c, 0x180b..=0x180f),
        0x20 => matches!(c, 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f),
        0x31 => c == 0x3164,
        0xfd => matches!(c, 0xfdd0..=0xfdef),
        0xfe => matches!(c, 0xfe00..=0xfe0f | 0xfeff),
        0xff => matches!(c, 0xffa0 | 0xfff0..=0xfffc | 0xfffe..),
        0x110 => matches!(c, 0x110bd | 0x110cd),
        0x134 => matches!(c, 0x13430..=0x1343f),
        0x1bc => matches!(c, 0x1bca0..=0x1bca3),
        0x1d1 => matches!(c, 0x1d173..=0x1d17a),
        0xe0..=0xf8 | 0xe00..=0xe0f | 0xf00.. => true,
        _ => c & 0xfffe == 0xfffe,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Undoes the escape; `None` when the text is not one that we write.
    pub(crate) fn unescape(text: &str) -> Option<String> {
        let mut raw = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            raw.push(match (c, if c == '\\' { chars.next() } else { None }) {
                ('\\', Some('\\')) => '\\',
                ('\\', Some('t')) => '\t',
                ('\\', Some('n')) => '\n',
                ('\\', Some('r')) => '\r',
                ('\\', Some('u')) => {
                    let hex: String = chars.by_ref().skip(1).take_while(|&c| c != '}').collect();
                    char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?
                }
                ('\\', _) => return None,
                _ => c,
            });
        }
        Some(raw)
    }

    pub(crate) fn assert_safe(text: &str) {
        assert!(text.chars().count() <= LONGEST);
        assert!(!text.chars().any(|c| c != '\\' && is_unsafe(u32::from(c))), "{text:?}");
        assert!(unescape(text).is_some(), "{text:?}");
    }

    fn any_text() -> impl Strategy<Value = String> {
        let troubles = "\u{0}\t\n\r\u{1b}\u{7f}\u{85}\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200d}\u{202e}\u{2028}\
             \u{2066}\u{fe0f}\u{feff}\u{fff9}\u{e000}\u{e0041}\u{e0100}\u{10ffff}\\";
        let trouble = proptest::sample::select(troubles.chars().collect::<Vec<_>>());
        let c = prop_oneof![trouble, proptest::char::range(' ', '~'), any::<char>()];
        proptest::collection::vec(c, 0..600).prop_map(|chars| chars.into_iter().collect())
    }

    #[test]
    fn every_vector_is_escaped_as_written() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../tests/vectors/text.json")).unwrap();
        for vector in vectors {
            let raw = vector["input"].as_str().unwrap();
            assert_eq!(Text::new(raw).as_str(), vector["escaped"].as_str().unwrap());
            assert!(!is_word(raw) || raw == vector["escaped"].as_str().unwrap());
        }
    }

    #[test]
    fn each_of_these_characters_is_written_as_an_escape() {
        let ranges = [
            (0, 0x1f),
            (0x7f, 0x9f),
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x600, 0x605),
            (0x61c, 0x61c),
            (0x115f, 0x1160),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x200b, 0x200f),
            (0x2028, 0x202e),
            (0x2060, 0x206f),
            (0x3164, 0x3164),
            (0xe000, 0xf8ff),
            (0xfdd0, 0xfdef),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff0, 0xfffc),
            (0xfffe, 0xffff),
            (0x1bca0, 0x1bca3),
            (0x1d173, 0x1d17a),
            (0x1fffe, 0x1ffff),
            (0xe0000, 0xe0fff),
            (0xf0000, 0x10_ffff),
        ];
        for c in
            ranges.into_iter().flat_map(|(first, last)| first..=last).filter_map(char::from_u32)
        {
            let written = Text::new(&format!("a{c}b"));
            assert!(
                written.as_str().starts_with(r"a\") && written.as_str().ends_with('b'),
                "{written:?}"
            );
            assert!(written.as_str().is_ascii());
            assert_eq!(unescape(written.as_str()).unwrap(), format!("a{c}b"));
        }
    }

    #[test]
    fn every_character_is_escaped_if_it_is_unsafe_and_only_then() {
        for c in '\0'..=char::MAX {
            let raw = format!("é{c}");
            assert_eq!(Text::new(&raw).as_str() != raw, is_unsafe(u32::from(c)), "{c:?}");
        }
    }

    #[test]
    fn letters_marks_and_emoji_stay_as_they_are() {
        for raw in [
            "café",
            "cafe\u{301}",
            "Ünïcödé",
            "日本語",
            "한국어",
            "हिन्दी",
            "עברית",
            "العربية",
            "ไทย",
            "🦀",
            "👍🏽",
            "🇪🇺",
            "£€",
            "\u{a0}",
            "\u{3000}",
            "\u{fffd}",
            "\u{20000}",
        ] {
            assert_eq!(Text::new(raw).as_str(), raw);
            assert!(!is_word(raw) || raw.is_ascii());
        }
    }

    #[test]
    fn a_text_is_cut_after_256_characters_and_never_inside_an_escape() {
        assert_eq!(Text::new(&"x".repeat(9000)).as_str(), "x".repeat(256));
        assert_eq!(Text::new(&"é".repeat(9000)).as_str(), "é".repeat(256));
        assert_eq!(Text::new(&"🦀".repeat(9000)).as_str(), "🦀".repeat(256));
        assert_eq!(Text::new(&"\\".repeat(9000)).as_str(), "\\".repeat(256));
        assert_eq!(Text::new(&format!("{}\\{}", "x".repeat(255), "y")).as_str(), "x".repeat(255));
        assert_eq!(Text::new(&"\u{feff}".repeat(9000)).as_str(), r"\u{feff}".repeat(32));
        assert_eq!(Text::new(&format!("{}\u{202e}ab", "x".repeat(250))).as_str(), "x".repeat(250));
        assert_eq!(Text::new(&format!("{}\u{202e}ab", "x".repeat(246))).as_str().len(), 256);
    }

    #[test]
    fn texts_around_the_inline_length_are_whole() {
        for len in 0..100 {
            for c in ["x", "é", "日", "\\", "\u{1}"] {
                let raw = c.repeat(len);
                let text = Text::new(&raw);
                assert!(
                    unescape(text.as_str()).unwrap() == raw || text.as_str().chars().count() > 250
                );
            }
        }
        assert!(size_of::<Text>() <= 56);
        assert!(matches!(Text::new(&"x".repeat(48)).0, Form::Word(_) | Form::Short(_)));
        assert!(matches!(Text::new(&"é".repeat(24)).0, Form::Word(_) | Form::Short(_)));
        assert!(matches!(Text::new(&"\n".repeat(24)).0, Form::Word(_) | Form::Short(_)));
    }

    #[test]
    fn bytes_that_are_not_utf8_give_no_text() {
        assert_eq!(Text::from_utf8(b"caf\xe9"), None);
        assert_eq!(Text::from_utf8(b"caf\xc3"), None);
        assert_eq!(Text::from_utf8("café".as_bytes()), Some(Text::new("café")));
        let long = format!("x{}", "🦀".repeat(2000));
        assert_eq!(Text::from_utf8(long.as_bytes()), Some(Text::new(&long)));
        let exact = format!("x{}", "🦀".repeat(255));
        assert_eq!(Text::from_utf8(exact.as_bytes()), Some(Text::new(&exact)));
        assert_eq!(Text::from_utf8(&[exact.as_bytes(), b"\xf0\x9f\xa6"].concat()[..1024]), None);
    }

    proptest! {
        #[test]
        fn a_word_needs_no_escape(text in "([ -~é漢\\PC]{0,9}|[é漢]{0,90}\"?){0,6}") {
            let text = Text::new(&text);
            if let Some(word) = text.as_word() {
                prop_assert!(!word.contains(['"', '\\']), "{word}");
            }
        }

        #[test]
        fn a_text_is_always_safe(raw in any_text()) {
            assert_safe(Text::new(&raw).as_str());
            prop_assert!(!is_word(&raw) || Text::new(&raw).as_str() == raw);
        }

        #[test]
        fn the_escape_can_be_undone_so_that_no_two_texts_look_alike(raw in any_text()) {
            let undone = unescape(Text::new(&raw).as_str()).unwrap();
            prop_assert!(raw.starts_with(&undone));
            let next = raw[undone.len()..].chars().next();
            let room = LONGEST - Text::new(&raw).as_str().chars().count();
            prop_assert!(next.is_none_or(|c| Text::new(&c.to_string()).as_str().chars().count() > room));
        }

        #[test]
        fn pushing_parts_is_pushing_the_whole(one in any_text(), other in any_text()) {
            let mut draft = Draft::new();
            draft.push(&one);
            draft.push(&other);
            prop_assert_eq!(draft.finish(), Text::new(&format!("{one}{other}")));
        }
    }
}
