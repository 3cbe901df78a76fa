//! Paths and queries as most requests have them: short, and every byte stands for itself.
//!
//! What is read here is written as it stands, which is what the general readers would write. Whatever has
//! more to it, an encoded byte, a quote, a signature, is left to them.

use super::{is_plain, is_secret};
use crate::scan;

/// A text has room for as much without heap.
const LONGEST: usize = 48;

/// What is much longer is seldom usual.
const READ: usize = 128;

/// Why a query is left to the general reader.
pub(super) struct Unusual;

/// The `depth` leading segments, of which there is at least one.
pub(super) fn path(path: &str, depth: u8) -> Option<&str> {
    let mut left = depth.checked_sub(1).filter(|_| path.len() <= READ)?;
    let (mut end, bytes) = (1, path.as_bytes());
    if !path.starts_with('/') {
        return None;
    }
    loop {
        end += before(bytes.get(end..)?, SLASH | AND | OTHER);
        match bytes.get(end) {
            Some(b'/') if left > 0 => left -= 1,
            None | Some(b'/') => break,
            Some(_) => return None,
        }
        end += 1;
    }
    path.get(..end).filter(|kept| kept.len() <= LONGEST)
}

/// How many bytes stand before the first one of these kinds.
#[inline]
fn before(text: &[u8], kinds: u8) -> usize {
    text.iter().position(|byte| kind(*byte) & kinds != 0).unwrap_or(text.len())
}

/// The declared pairs, where nothing stands between them.
pub(super) fn query<'q>(
    query: &'q str,
    allow: &[impl AsRef<str>],
) -> Result<Option<&'q str>, Unusual> {
    if query.len() > LONGEST {
        return Err(Unusual);
    }
    // What is kept ends behind the first byte, if anything is.
    let (mut first, mut last) = (0, 0);
    let mut rest = query.as_bytes();
    loop {
        let (key, len) = pair(rest)?;
        let key = rest.get(..key).filter(|key| key.len() <= scan::SHORT).ok_or(Unusual)?;
        let is_key = |name: &&str| scan::same_short(name.as_bytes(), key);
        let declared = allow.iter().map(AsRef::as_ref).find(is_key);
        if let Some(name) = declared.filter(|name| !name.is_empty()) {
            if len == query.len() && !is_secret(name) {
                return Ok(Some(query));
            }
            let start = query.len() - rest.len();
            if is_secret(name) || last != 0 && last + 1 != start {
                return Err(Unusual);
            }
            first = if last == 0 { start } else { first };
            last = start + len;
        }
        match rest.get(len..) {
            Some([_, behind @ ..]) => rest = behind,
            _ => break,
        }
    }
    Ok(query.get(first..last).filter(|_| last != 0))
}

/// How long the key of the pair is that begins here, and how long the pair.
#[inline]
fn pair(text: &[u8]) -> Result<(usize, usize), Unusual> {
    let key = before(text, EQUALS | AND | OTHER);
    let len = match text.get(key..) {
        Some([b'=', value @ ..]) => key + 1 + before(value, AND | OTHER),
        _ => key,
    };
    match text.get(len) {
        None | Some(b'&') => Ok((key, len)),
        Some(_) => Err(Unusual),
    }
}

const PLAIN: u8 = 0;
const SLASH: u8 = 1;
const EQUALS: u8 = 2;
const AND: u8 = 4;
const OTHER: u8 = 8;

#[inline]
fn kind(byte: u8) -> u8 {
    KINDS.get(usize::from(byte)).copied().unwrap_or(OTHER)
}

static KINDS: [u8; 256] = {
    let (mut kinds, mut byte) = ([OTHER; 256], 0_u8);
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "fails the build, not a request")]
        {
            kinds[byte as usize] = match byte {
                b'/' => SLASH,
                b'=' => EQUALS,
                b'&' => AND,
                // A space, in keys.
                b'+' => OTHER,
                _ if is_plain(byte) => PLAIN,
                _ => OTHER,
            };
        }
        byte += 1;
    }
    kinds
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{any_path, any_query};
    use super::*;
    use crate::text::Text;

    const ALLOW: [&str; 7] = ["a", "bc", "", "sig", "a=", "x y", "%61"];

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[/&=ab]{0,12}(a=[b-d/]{0,3}&?){0,3}[/&=abc]{0,12}",
            1 => "[/&=+abc]{0,60}",
            1 => "[a-c/&;?%=+\\\\\"#é ]{0,20}",
            1 => "(&?(a|bc|sig|x|x[+]y|aa)=[a-z]{0,9}){0,9}",
        ]
    }

    proptest! {
        #[test]
        fn usual_paths_are_read_as_all_are(text in text(), depth in 1..6_u8) {
            let text = format!("/{text}");
            if let Some(usual) = path(&text, depth) {
                prop_assert_eq!(Some(Text::word(usual)), any_path(&text, depth));
            }
        }

        #[test]
        fn usual_queries_are_read_as_all_are(text in text()) {
            if let Ok(usual) = query(&text, &ALLOW) {
                prop_assert_eq!(usual.map(Text::word), any_query(&text, &ALLOW));
            }
        }
    }

    #[test]
    fn the_usual_is_usual() {
        assert_eq!(path("/users/42", 1), Some("/users"));
        assert_eq!(path("/users/42/", 3), Some("/users/42/"));
        let kept = query("x=/1&a=b=c&bc&y", &ALLOW);
        assert_eq!(kept.ok().flatten(), Some("a=b=c&bc"));
    }
}
