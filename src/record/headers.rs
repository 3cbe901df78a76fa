//! The request headers that are reduced, found by their names.
//!
//! The first value of a name counts. Looking up a name that `http` has no number for costs as much as
//! passing several headers, and nobody sends all of the client hints: a request with few headers is read
//! from the first one to the last, once, when hints are wanted.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

use http::header::{ACCEPT_LANGUAGE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::device::Hints;

/// Passing more headers would cost more than looking names up.
const FEW: usize = 24;

pub(super) enum Headers<'r> {
    Unread(&'r HeaderMap),
    Read(Read<'r>),
}

#[derive(Default)]
pub(super) struct Read<'r> {
    host: Option<&'r [u8]>,
    referer: Option<&'r [u8]>,
    accept_language: Option<&'r [u8]>,
    hints: Hints<'r>,
}

static BRANDS: HeaderName = HeaderName::from_static("sec-ch-ua");
static MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
static PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

impl<'r> Headers<'r> {
    #[inline]
    pub(super) fn of(map: &'r HeaderMap, with_hints: bool) -> Self {
        if with_hints && map.len() <= FEW { Self::Read(Read::all(map)) } else { Self::Unread(map) }
    }

    pub(super) fn host(&self) -> Option<&'r [u8]> {
        self.either(&HOST, |read| read.host)
    }

    pub(super) fn referer(&self) -> Option<&'r [u8]> {
        self.either(&REFERER, |read| read.referer)
    }

    pub(super) fn accept_language(&self) -> Option<&'r [u8]> {
        self.either(&ACCEPT_LANGUAGE, |read| read.accept_language)
    }

    pub(super) fn user_agent(&self) -> Option<&'r [u8]> {
        self.either(&USER_AGENT, |read| read.hints.user_agent)
    }

    pub(super) fn hints(&self) -> Hints<'r> {
        match self {
            Self::Read(read) => read.hints,
            Self::Unread(map) => Hints {
                user_agent: first(map, &USER_AGENT),
                brands: first(map, &BRANDS),
                mobile: first(map, &MOBILE),
                platform: first(map, &PLATFORM),
            },
        }
    }

    #[inline]
    fn either(
        &self,
        name: &HeaderName,
        read: impl FnOnce(&Read<'r>) -> Option<&'r [u8]>,
    ) -> Option<&'r [u8]> {
        match self {
            Self::Read(headers) => read(headers),
            Self::Unread(map) => first(map, name),
        }
    }
}

fn first<'r>(map: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    map.get(name).map(HeaderValue::as_bytes)
}

impl<'r> Read<'r> {
    #[inline(never)]
    fn all(map: &'r HeaderMap) -> Self {
        let mut read = Self::default();
        for (name, value) in map {
            if let Some(place) = read.place(name) {
                place.get_or_insert(value.as_bytes());
            }
        }
        read
    }

    /// Names that `http` has a number for are told without their text.
    #[inline]
    fn place(&mut self, name: &HeaderName) -> Option<&mut Option<&'r [u8]>> {
        if *name == HOST {
            return Some(&mut self.host);
        }
        if *name == REFERER {
            return Some(&mut self.referer);
        }
        if *name == USER_AGENT {
            return Some(&mut self.hints.user_agent);
        }
        if *name == ACCEPT_LANGUAGE {
            return Some(&mut self.accept_language);
        }
        Some(match name.as_str() {
            "sec-ch-ua" => &mut self.hints.brands,
            "sec-ch-ua-mobile" => &mut self.hints.mobile,
            "sec-ch-ua-platform" => &mut self.hints.platform,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requests() -> impl Strategy<Value = HeaderMap> {
        let name = prop::sample::select(vec![
            "host",
            "referer",
            "user-agent",
            "accept-language",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "sec-ch-ua-model",
            "accept",
            "hosts",
            "x",
        ]);
        let header = (name, "[ab]{0,2}");
        prop::collection::vec(header, 0..40).prop_map(|headers| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value.parse().unwrap());
            }
            map
        })
    }

    proptest! {
        #[test]
        fn reading_all_headers_agrees_with_looking_names_up(map in requests()) {
            let read = Headers::Read(Read::all(&map));
            let unread = Headers::of(&map, false);
            prop_assert_eq!(read.host(), unread.host());
            prop_assert_eq!(read.referer(), unread.referer());
            prop_assert_eq!(read.accept_language(), unread.accept_language());
            prop_assert_eq!(read.user_agent(), unread.user_agent());
            let (read, unread) = (read.hints(), unread.hints());
            prop_assert_eq!(read.user_agent, unread.user_agent);
            prop_assert_eq!(read.brands, unread.brands);
            prop_assert_eq!(read.mobile, unread.mobile);
            prop_assert_eq!(read.platform, unread.platform);
        }
    }
}
