//! Making text safe for a log line.
//!
//! A [`Text`] is always safe: no control, bidi, invisible or separator character, no private use, at
//! most 256 characters. What is unsafe becomes an escape (`\n`, `\u{202e}`) and a backslash is
//! doubled, so that two different texts never look alike and a reader can undo it. Whoever calls has
//! reduced the value before: this file hides nothing, it only keeps one value inside one line
//! (CWE-117, CWE-150) and shows what would not show itself (CVE-2021-42574).

use std::borrow::Cow;
use std::fmt;
use std::str;

/// The most characters that a text can have, escapes counted as they are written.
pub(crate) const LONGEST: usize = 256;
const INLINE: usize = 46;

/// A text that may be written: safe, short, and without heap up to 46 bytes.
#[derive(Clone)]
pub(crate) struct Text(Form);

#[derive(Clone)]
enum Form {
    Fixed(&'static str),
    Short { len: u8, bytes: [u8; INLINE] },
    Long(String),
}

impl Text {
    /// The text as it can be written, cut after 256 characters; no more of `raw` is read than that needs.
    pub(crate) fn new(raw: &str) -> Text {
        Text::plain(raw).unwrap_or_else(|| {
            let mut draft = Draft::new();
            draft.push(raw);
            draft.finish()
        })
    }

    /// `None` when the bytes, as far as 256 characters can reach, are not UTF-8.
    pub(crate) fn from_utf8(raw: &[u8]) -> Option<Text> {
        let read = raw.get(..LONGEST * 4).unwrap_or(raw);
        match str::from_utf8(read) {
            Ok(text) => Some(Text::new(text)),
            Err(cut) if cut.error_len().is_none() && read.len() < raw.len() => {
                Text::from_utf8(read.get(..cut.valid_up_to())?)
            }
            Err(_) => None,
        }
    }

    /// One of our own words, which are safe as they stand.
    pub(crate) const fn fixed(word: &'static str) -> Text {
        Text(Form::Fixed(word))
    }

    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Form::Fixed(word) => word,
            Form::Short { len, bytes } => {
                let used = bytes.get(..usize::from(*len)).unwrap_or_default();
                str::from_utf8(used).unwrap_or_default()
            }
            Form::Long(text) => text,
        }
    }

    fn plain(raw: &str) -> Option<Text> {
        let mut bytes = [b' '; INLINE];
        bytes.get_mut(..raw.len())?.copy_from_slice(raw.as_bytes());
        let plain = bytes.iter().fold(true, |all, &byte| all & is_plain(byte));
        let len = u8::try_from(raw.len()).ok()?;
        plain.then_some(Text(Form::Short { len, bytes }))
    }

    fn append(&mut self, safe: &str) {
        match &mut self.0 {
            Form::Long(text) => return text.push_str(safe),
            Form::Short { len, bytes } => {
                let start = usize::from(*len);
                let end = start + safe.len();
                if let (Some(free), Ok(filled)) = (bytes.get_mut(start..end), u8::try_from(end)) {
                    free.copy_from_slice(safe.as_bytes());
                    *len = filled;
                    return;
                }
            }
            Form::Fixed(_) => {}
        }
        let mut text = String::with_capacity(LONGEST);
        text.push_str(self.as_str());
        text.push_str(safe);
        self.0 = Form::Long(text);
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The safe form of `raw`, borrowed when there is nothing to escape.
pub(crate) fn escape(raw: &str) -> Cow<'_, str> {
    let (run, chars) = clean(raw, LONGEST);
    if run.len() == raw.len() || chars == LONGEST {
        return Cow::Borrowed(run);
    }
    Cow::Owned(Text::new(raw).as_str().to_owned())
}

/// A place in a declared list, or `_OTHER`: the way in which a closed list leaves nothing else over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    At(usize),
    Other,
}

impl Listed {
    /// Where `word` is declared; the case of ASCII letters does not matter.
    pub(crate) fn of(word: &str, allow: &[impl AsRef<str>]) -> Listed {
        let declared = allow.iter().position(|entry| entry.as_ref().eq_ignore_ascii_case(word));
        declared.map_or(Listed::Other, Listed::At)
    }

    /// The word as it was declared.
    pub(crate) fn word<S: AsRef<str>>(self, allow: &[S]) -> &str {
        match self {
            Listed::At(place) => allow.get(place).map_or("_OTHER", S::as_ref),
            Listed::Other => "_OTHER",
        }
    }
}

/// A text being put together; what comes after the 256th character is dropped.
pub(crate) struct Draft {
    text: Text,
    room: usize,
}

impl Draft {
    pub(crate) fn new() -> Draft {
        let bytes = [0; INLINE];
        let text = Text(Form::Short { len: 0, bytes });
        Draft { text, room: LONGEST }
    }

    pub(crate) fn start(atom: &str) -> Draft {
        let mut draft = Draft::new();
        draft.push_whole(atom);
        draft
    }

    /// Whether nothing more will be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.room == 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.room == LONGEST
    }

    pub(crate) fn push(&mut self, raw: &str) {
        let mut rest = raw;
        while !self.is_full() {
            let (run, chars) = clean(rest, self.room);
            self.text.append(run);
            self.room -= chars;
            let mut unsafe_from = rest.get(run.len()..).unwrap_or_default().chars();
            let Some(next) = unsafe_from.next() else { return };
            self.push_escape(next);
            rest = unsafe_from.as_str();
        }
    }

    /// Takes plain ASCII whole, or not at all and nothing after it.
    pub(crate) fn push_whole(&mut self, atom: &str) {
        debug_assert!(atom.bytes().all(is_plain), "only plain ASCII is taken as it is");
        self.take(atom);
    }

    pub(crate) fn make_ascii_lowercase(&mut self) {
        match &mut self.text.0 {
            Form::Short { bytes, .. } => bytes.make_ascii_lowercase(),
            Form::Long(text) => text.make_ascii_lowercase(),
            Form::Fixed(_) => {}
        }
    }

    pub(crate) fn finish(self) -> Text {
        self.text
    }

    fn push_escape(&mut self, unsafe_char: char) {
        match unsafe_char {
            '\\' => self.take(r"\\"),
            '\t' => self.take(r"\t"),
            '\n' => self.take(r"\n"),
            '\r' => self.take(r"\r"),
            _ => {
                let mut bytes = [0; 10];
                let escape = unsafe_char.escape_unicode();
                let len = escape.len();
                for (byte, c) in bytes.iter_mut().zip(escape) {
                    *byte = u8::try_from(c).unwrap_or_default();
                }
                self.take(str::from_utf8(bytes.get(..len).unwrap_or_default()).unwrap_or_default());
            }
        }
    }

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

/// The leading part of `raw` that is safe as it stands, and its characters: at most `room`.
fn clean(raw: &str, room: usize) -> (&str, usize) {
    let bytes = raw.as_bytes();
    let (mut end, mut chars) = (0, 0);
    while let Some(&lead) = bytes.get(end)
        && chars < room
    {
        end += match SAFE[usize::from(lead)] {
            0 => match raw.get(end..).and_then(|rest| rest.chars().next()) {
                Some(c) if !is_unsafe(c) => c.len_utf8(),
                _ => break,
            },
            width => usize::from(width),
        };
        chars += 1;
    }
    (raw.get(..end).unwrap_or_default(), chars)
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

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'\\'
}

/// Unicode's Cc, Cf, Zl, Zp, Co, noncharacters and `Default_Ignorable_Code_Point` (16.0 and 17.0),
/// the object replacement character, which has no shape of its own, and our own backslash.
fn is_unsafe(c: char) -> bool {
    let c = u32::from(c);
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
