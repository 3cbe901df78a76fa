//! The words for lists of proxies that `trusted_proxies` takes beside addresses and prefixes.
//!
//! A policy keeps the word, and so does its digest; the list is this release's. A list that is too
//! short costs the addresses of some clients and never believes a header that it should not.
//!
//! | word | list | source |
//! |---|---|---|
//! | `cloudflare` | etag `38f79d050aa027e3be3865e495dcc9bc`, in public copies of 2026-08-17 to 2026-09-21 | <https://www.cloudflare.com/ips/>, <https://api.cloudflare.com/client/v4/ips> |
//! | `private` | registry of 2026-11 | RFC 1918 §3, RFC 4193 §3.1 |
//! | `loopback` | registry of 2026-11 | RFC 1122 §3.2.1.3, RFC 4291 §2.5.3 |

use ipnet::IpNet;

/// Whose addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// The addresses from which Cloudflare connects to the servers behind it.
    Cloudflare,
    /// Networks of one's own. Not the carriers' shared space 100.64.0.0/10 (RFC 6598), where
    /// strangers are neighbours, and not link-local, which anybody on the wire may take: who has
    /// proxies there names their prefix.
    Private,
    /// This machine.
    Loopback,
}

const CLOUDFLARE: &[&str] = &[
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];

impl Preset {
    pub(crate) const WORDS: &[&str] = &["cloudflare", "private", "loopback"];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "cloudflare" => Self::Cloudflare,
            "private" => Self::Private,
            "loopback" => Self::Loopback,
            _ => return None,
        })
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Private => "private",
            Self::Loopback => "loopback",
        }
    }

    pub(crate) fn prefixes(self) -> impl Iterator<Item = IpNet> {
        let list = match self {
            Self::Cloudflare => CLOUDFLARE,
            Self::Private => PRIVATE,
            Self::Loopback => LOOPBACK,
        };
        list.iter().map(|prefix| prefix.parse().expect("presets are lists of prefixes"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn trusts(preset: Preset, address: &str) -> bool {
        let address: IpAddr = address.parse().unwrap();
        preset.prefixes().any(|prefix| prefix.contains(&address))
    }

    fn all() -> impl Iterator<Item = Preset> {
        Preset::WORDS.iter().map(|word| Preset::parse(word).expect("each word is a preset"))
    }

    #[test]
    fn each_word_is_read_as_it_is_written() {
        assert!(all().zip(Preset::WORDS).all(|(preset, word)| preset.as_str() == *word));
        assert_eq!(Preset::parse("Private"), None);
    }

    #[test]
    fn every_prefix_is_exact_and_no_two_overlap() {
        for preset in all() {
            let prefixes: Vec<IpNet> = preset.prefixes().collect();
            assert!(prefixes.iter().all(|prefix| *prefix == prefix.trunc()), "{preset:?}");
            for (at, prefix) in prefixes.iter().enumerate() {
                let others = prefixes.iter().skip(at + 1);
                assert!(
                    others.clone().all(|other| !prefix.contains(other) && !other.contains(prefix)),
                    "{prefix}"
                );
            }
        }
        let counts: Vec<usize> = all().map(|preset| preset.prefixes().count()).collect();
        assert_eq!(counts, [22, 4, 2]);
    }

    #[test]
    fn cloudflare_ends_where_its_list_ends() {
        for inside in ["104.16.0.1", "104.27.255.255", "172.71.255.255", "2606:4700::1"] {
            assert!(trusts(Preset::Cloudflare, inside), "{inside}");
        }
        for outside in ["104.28.0.0", "104.15.255.255", "172.72.0.0", "2606:4701::1", "1.1.1.1"] {
            assert!(!trusts(Preset::Cloudflare, outside), "{outside}");
        }
    }

    #[test]
    fn private_is_neither_shared_nor_link_local_nor_this_machine() {
        for inside in ["10.255.0.1", "172.31.255.255", "192.168.0.1", "fd12:3456::1"] {
            assert!(trusts(Preset::Private, inside), "{inside}");
        }
        for outside in ["100.64.0.1", "169.254.1.1", "fe80::1", "127.0.0.1", "172.32.0.0", "::1"] {
            assert!(!trusts(Preset::Private, outside), "{outside}");
        }
        assert!(trusts(Preset::Loopback, "127.8.8.8") && trusts(Preset::Loopback, "::1"));
        assert!(!trusts(Preset::Loopback, "::2") && !trusts(Preset::Loopback, "128.0.0.1"));
    }
}
