//! The bytes of a line that is being written, field by field.
//!
//! A field is a name and a short value nearly always: there is always room for one more of those, so that
//! name, value and quote are put there with one look at the length. The room is used again, and is never
//! read beyond what has been written.

use crate::fixed::Fixed;
use crate::json::{self, Key};

#[derive(Default)]
pub(crate) struct Buffer {
    room: Vec<u8>,
    len: usize,
}

/// Room for a name of [`Key::SHORT`] bytes, a value of up to 63 and a quote.
const FIELD: usize = Key::SHORT + VALUE;
const VALUE: usize = 64;

impl Buffer {
    pub(crate) const fn new() -> Self {
        Self { room: Vec::new(), len: 0 }
    }

    pub(crate) const fn clear(&mut self) {
        self.len = 0;
    }

    #[cfg(any(feature = "json-lines", test))]
    pub(crate) fn written(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// A value that is safe in JSON as it stands, between quotes.
    #[inline]
    pub(crate) fn word(&mut self, key: &Key, word: &str) {
        if self.short(key, key.len(), word.as_bytes()).is_some() {
            self.len += 1;
        } else {
            self.long(key.text(), word.as_bytes(), b"\"");
        }
    }

    /// One of our own words, between quotes.
    #[inline]
    pub(crate) fn fixed(&mut self, key: &Key, word: &Fixed) {
        if self.short_fixed(key, word).is_none() {
            self.long(key.text(), word.text.as_bytes(), b"\"");
        }
    }

    #[inline]
    fn short_fixed(&mut self, key: &Key, word: &Fixed) -> Option<()> {
        let room: &mut [u8; FIELD] = self.room.get_mut(self.len..)?.first_chunk_mut()?;
        if key.len() > Key::SHORT {
            return None;
        }
        *room.first_chunk_mut()? = *key.short();
        *room.get_mut(key.len()..)?.first_chunk_mut()? = *word.quoted();
        self.len += key.len() + word.len();
        Some(())
    }

    /// A value without quotes.
    #[inline]
    pub(crate) fn bare(&mut self, key: &Key, value: &[u8]) {
        if self.short(key, key.len() - 1, value).is_none() {
            self.long(key.name(), value, b"");
        }
    }

    /// A number without quotes.
    #[inline(never)]
    pub(crate) fn number(&mut self, key: &Key, number: u64) {
        if self.short_number(key, number).is_none() {
            self.long(key.name(), itoa::Buffer::new().format(number).as_bytes(), b"");
        }
    }

    #[inline(never)]
    pub(crate) fn signed(&mut self, key: &Key, number: i64) {
        self.bare(key, itoa::Buffer::new().format(number).as_bytes());
    }

    #[inline]
    fn short_number(&mut self, key: &Key, number: u64) -> Option<()> {
        let room: &mut [u8; FIELD] = self.room.get_mut(self.len..)?.first_chunk_mut()?;
        let number = u32::try_from(number).ok().filter(|number| *number < json::EIGHT_DIGITS)?;
        let name = key.len() - 1;
        if name > Key::SHORT {
            return None;
        }
        let (digits, len) = json::digits(number);
        *room.first_chunk_mut()? = *key.short();
        *room.get_mut(name..)?.first_chunk_mut()? = digits;
        self.len += name + len;
        Some(())
    }

    /// Name and value, with a quote behind them that does not count yet.
    #[inline]
    fn short(&mut self, key: &Key, name: usize, value: &[u8]) -> Option<()> {
        let room: &mut [u8; FIELD] = self.room.get_mut(self.len..)?.first_chunk_mut()?;
        if name > Key::SHORT {
            return None;
        }
        *room.first_chunk_mut()? = *key.short();
        let room: &mut [u8; VALUE] = room.get_mut(name..)?.first_chunk_mut()?;
        copy(room, value)?;
        *room.get_mut(value.len())? = b'"';
        self.len += name + value.len();
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn long(&mut self, name: &[u8], value: &[u8], end: &[u8]) {
        for part in [name, value, end] {
            self.append(part);
        }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if self.room.len() < end + FIELD {
            self.grow(end);
        }
        if let Some(room) = self.room.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        self.room.resize((end + FIELD).next_power_of_two(), 0);
    }

    /// Has something written that is not a short field.
    pub(crate) fn with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.room.truncate(self.len);
        write(&mut self.room);
        self.len = self.room.len();
        self.grow(self.len);
    }

    /// Ends the line, whose fields each began with a comma.
    pub(crate) fn close(&mut self) {
        if self.len == 0 {
            self.append(b",");
        }
        if let Some(comma) = self.room.first_mut() {
            *comma = b'{';
        }
        self.append(b"}\n");
    }
}

/// Copies a short value without a call: its beginning and its end, which may overlap.
#[inline]
fn copy(room: &mut [u8; VALUE], value: &[u8]) -> Option<()> {
    match value.len() {
        0 => Some(()),
        1..4 => ends::<1>(room, value).and_then(|()| {
            let middle = value.len() / 2;
            *room.get_mut(middle)? = *value.get(middle)?;
            Some(())
        }),
        4..8 => ends::<4>(room, value),
        8..=16 => ends::<8>(room, value),
        17..=32 => ends::<16>(room, value),
        33..VALUE => ends::<32>(room, value),
        _ => None,
    }
}

#[inline]
fn ends<const N: usize>(room: &mut [u8; VALUE], value: &[u8]) -> Option<()> {
    *room.first_chunk_mut::<N>()? = *value.first_chunk()?;
    *room.get_mut(..value.len())?.last_chunk_mut::<N>()? = *value.last_chunk()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static FIXED: Fixed = Fixed::new("one of our own words, 31 bytes!");

    proptest! {
        #[test]
        fn fields_of_every_length_follow_each_other(
            fields in prop::collection::vec((1..70_usize, 0..90_usize, 0..6_usize), 0..40)
        ) {
            let mut buffer = Buffer::new();
            for _ in 0..2 {
                buffer.clear();
                let mut expected = Vec::new();
                for (name, value, kind) in &fields {
                    let (key, value) = ("n".repeat(*name), "0123456789".repeat(9)[..*value].to_owned());
                    let value = if *kind == 4 { FIXED.text.to_owned() } else { value };
                    let text = match kind {
                        0 | 4 => format!(",\"{key}\":\"{value}\""),
                        1 => format!(",\"{key}\":{value}"),
                        5 => format!(",\"{key}\":{}", value.len() as u64 * 10_u64.pow(*name as u32 % 17)),
                        _ => value.clone(),
                    };
                    expected.extend_from_slice(text.as_bytes());
                    match kind {
                        0 => buffer.word(&Key::new(&key), &value),
                        1 => buffer.bare(&Key::new(&key), value.as_bytes()),
                        2 => buffer.append(value.as_bytes()),
                        5 => buffer.number(&Key::new(&key), value.len() as u64 * 10_u64.pow(*name as u32 % 17)),
                        4 => buffer.fixed(&Key::new(&key), &FIXED),
                        _ => buffer.with(|line| line.extend_from_slice(value.as_bytes())),
                    }
                    prop_assert_eq!(buffer.written(), &expected[..]);
                }
            }
        }
    }

    #[test]
    fn a_closed_line_is_an_object() {
        let mut buffer = Buffer::new();
        buffer.close();
        assert_eq!(buffer.written(), b"{}\n");
        buffer.clear();
        buffer.word(&Key::new("a"), "b");
        buffer.close();
        assert_eq!(buffer.written(), b"{\"a\":\"b\"}\n");
    }
}
