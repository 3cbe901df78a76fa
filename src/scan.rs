//! Finds where runs of bytes end in texts of kilobytes, a block at a time.
//!
//! A block is looked at as a whole and without branches, so that the compiler can compare all of its
//! bytes at once: that is what keeps kilobytes of padding cheap. What a byte means, its caller knows.
#![expect(
    clippy::inline_always,
    reason = "blocks are compared in registers only where they are read"
)]

/// What is left of a text without the bytes at its end that are to be skipped.
#[inline(always)]
pub(crate) fn trim(text: &[u8], skip: impl Fn(u8) -> bool + Copy) -> &[u8] {
    match text {
        [.., byte] if skip(*byte) => long(text, skip),
        _ => text,
    }
}

#[inline(never)]
fn long(text: &[u8], skip: impl Fn(u8) -> bool + Copy) -> &[u8] {
    let others =
        |block: &[u8; 16]| u128::from_le_bytes(block.map(|byte| if skip(byte) { 0 } else { 0xff }));
    let mut rest = text;
    while let Some((before, block)) = rest.split_last_chunk::<64>()
        && !any(block, |byte| !skip(byte))
    {
        rest = before;
    }
    while let Some((before, block)) = rest.split_last_chunk() {
        match others(block) {
            0 => rest = before,
            others => return before_zeros(rest, others),
        }
    }
    short(rest, text.first_chunk().map(others), skip)
}

/// What is left of fewer than sixteen bytes; `others` are those of the block that begins with them, if there is one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "there are fewer than sixteen bytes")]
fn short(text: &[u8], others: Option<u128>, skip: impl Fn(u8) -> bool) -> &[u8] {
    let Some(others) = others else {
        let len = text.iter().rposition(|byte| !skip(*byte)).map_or(0, |at| at + 1);
        return text.get(..len).unwrap_or_default();
    };
    // The text's last byte becomes the highest.
    before_zeros(text, others.unbounded_shl(128 - 8 * text.len() as u32))
}

/// Without as many bytes as the highest of these are zero.
#[inline(always)]
fn before_zeros(text: &[u8], others: u128) -> &[u8] {
    let zeros = others.leading_zeros() as usize / 8;
    text.get(..text.len().saturating_sub(zeros)).unwrap_or_default()
}

/// Longer texts are not the same for [`same_short`].
pub(crate) const SHORT: usize = 32;

/// Whether two short texts are the same, without a call: by their beginnings and their ends.
#[inline]
pub(crate) fn same_short(text: &[u8], other: &[u8]) -> bool {
    text.len() == other.len()
        && match text.len() {
            0 => true,
            1..4 => ends::<1>(text) == ends(other) && text.get(1) == other.get(1),
            4..8 => ends::<4>(text) == ends(other),
            8..=16 => ends::<8>(text) == ends(other),
            17..=SHORT => ends::<16>(text) == ends(other),
            _ => false,
        }
}

#[inline(always)]
fn ends<const N: usize>(text: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (text.first_chunk(), text.last_chunk())
}

/// How many bytes a text has up to the last stop, that one included.
#[inline]
pub(crate) fn last(mut text: &[u8], is_stop: impl Fn(u8) -> bool) -> usize {
    while let Some((before, block)) = text.split_last_chunk::<16>() {
        let stops = u128::from_le_bytes(block.map(|byte| if is_stop(byte) { 0xff } else { 0 }));
        if stops != 0 {
            return text.len() - stops.leading_zeros() as usize / 8;
        }
        text = before;
    }
    text.iter().rposition(|byte| is_stop(*byte)).map_or(0, |at| at + 1)
}

pub(crate) fn any<const N: usize>(block: &[u8; N], is_stop: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(false, |any, byte| any | is_stop(*byte))
}

/// How many bytes stand before the first stop.
pub(crate) fn first(text: &[u8], is_stop: impl Fn(u8) -> bool) -> usize {
    let is_clear = |block: &&[u8; 16]| !any(block, &is_stop);
    let blocks = text.as_chunks().0.iter().take_while(is_clear).count() * 16;
    let rest = text.get(blocks..).unwrap_or_default();
    blocks + rest.iter().take_while(|byte| !is_stop(**byte)).count()
}

/// The same, for a stop that is expected far behind.
pub(crate) fn first_far(text: &[u8], is_stop: impl Fn(u8) -> bool) -> usize {
    let is_clear = |block: &&[u8; 32]| !any(block, &is_stop);
    let blocks = text.as_chunks().0.iter().take_while(is_clear).count() * 32;
    blocks + first(text.get(blocks..).unwrap_or_default(), is_stop)
}

pub(crate) fn is_ascii(text: &[u8]) -> bool {
    if text.len() < 128 {
        return text.is_ascii();
    }
    let (large, rest) = text.as_chunks::<1024>();
    let (blocks, rest) = rest.as_chunks::<128>();
    large.iter().all(all_ascii) && blocks.iter().all(all_ascii) && rest.is_ascii()
}

fn all_ascii<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(0, |all, byte| all | byte) < 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop::sample::select(vec![b' ', b',', b'a', b'\t', 0xff]), 0..200_usize);
        let runs = prop::collection::vec(run, 0..5);
        runs.prop_map(|runs| runs.into_iter().flat_map(|(byte, len)| vec![byte; len]).collect())
    }

    proptest! {
        #[test]
        fn short_texts_are_the_same_by_all_their_bytes(text in "[ab]{0,34}", at in 0..34_usize, other in "[ab]{0,4}") {
            let text = text.as_bytes();
            let mut changed = text.to_owned();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
            }
            prop_assert_eq!(same_short(text, text), text.len() <= SHORT);
            prop_assert_eq!(same_short(text, &changed), text.len() <= SHORT && at >= text.len());
            prop_assert_eq!(same_short(text, other.as_bytes()), text == other.as_bytes());
        }

        #[test]
        fn blocks_agree_with_single_bytes(text in texts(), byte in prop::sample::select(vec![b' ', b',', b'a'])) {
            let place = |found: Option<usize>| found.map_or(0, |at| at + 1);
            let is = |other: u8| other == byte;
            prop_assert_eq!(last(&text, is), place(text.iter().rposition(|other| is(*other))));
            prop_assert_eq!(trim(&text, is).len(), place(text.iter().rposition(|other| !is(*other))));
            let found = text.iter().position(|other| is(*other));
            prop_assert_eq!(first(&text, is), found.unwrap_or(text.len()));
            prop_assert_eq!(first_far(&text, is), found.unwrap_or(text.len()));
            prop_assert_eq!(is_ascii(&text), text.is_ascii());
        }
    }
}
