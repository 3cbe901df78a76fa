//! Keyed hashing: an address or value becomes `EPOCH.32HEX` under the key of one epoch.
//!
//! Rules C1 to C5: HMAC-SHA-256 cut to 128 bits, the field's name inside the hash, and keys that follow
//! from the one before or from nothing. Keys are overwritten when dropped and have no text form. Choosing
//! the epoch is the business of `keys`, and making an address canonical that of `client`.
#![expect(clippy::indexing_slicing, reason = "buffers are as long as their parts")]

use crate::key_error::Fault;
use crate::text::Text;
use arrayvec::ArrayString;
use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// One link of the ratchet: every later epoch follows from it, no earlier one does.
pub(crate) struct Chain {
    pub(crate) epoch: u64,
    key: Box<Zeroizing<[u8; 32]>>,
}

impl Chain {
    pub(crate) fn new(epoch: u64, fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        fill(&mut key);
        Self { epoch, key }
    }

    pub(crate) fn random(epoch: u64) -> Result<Self, Fault> {
        let mut filled = Ok(());
        let chain = Self::new(epoch, |key| filled = getrandom::fill(key));
        filled.map(|()| chain).map_err(Fault::Random)
    }

    pub(crate) fn copy(&self) -> Self {
        Self::new(self.epoch, |key| *key = **self.key)
    }

    /// Forgets every epoch before `epoch`.
    pub(crate) fn advance(&mut self, epoch: u64) {
        while self.epoch < epoch {
            expand(keyed(self.bytes()), b"ratchet/v1", &mut self.key);
            self.epoch += 1;
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.key == other.key
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) fn epoch(&self, rotate: u64) -> Epoch {
        let mut key = Zeroizing::new([0; 32]);
        expand(keyed(self.bytes()), b"epoch-key/v1", &mut key);
        Epoch::new(self.epoch, rotate, &key)
    }
}

/// One epoch: its number, the seconds it serves, and a hash that has taken in the key.
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) rotate: u64,
    earliest: u64,
    pub(crate) until: u64,
    start: Start,
    mac: Hmac<Sha256>,
    /// The same, which has taken in the field of addresses as well.
    client: Hmac<Sha256>,
}

/// `EPOCH.`
type Start = ArrayString<21>;

impl Epoch {
    fn new(number: u64, rotate: u64, key: &[u8; 32]) -> Self {
        let start = number.saturating_mul(rotate);
        let (earliest, until) = (start.saturating_sub(slack(rotate)), start.saturating_add(rotate));
        let mac = keyed(key);
        let client = of_field(mac.clone(), CLIENT);
        Self { number, rotate, earliest, until, start: start_of(number), mac, client }
    }

    pub(crate) fn random(number: u64, rotate: u64) -> Result<Self, Fault> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(Fault::Random)?;
        Ok(Self::new(number, rotate, &key))
    }

    /// Whether this is the key for that second, or near enough before it for clocks that disagree.
    pub(crate) const fn serves(&self, seconds: u64) -> bool {
        self.earliest <= seconds && seconds < self.until
    }

    /// Hashes a client's canonical address: IPv4 whole, IPv6 at the prefix `ipv6`.
    ///
    /// # Privacy
    /// The result identifies the subscriber until the key is forgotten, and links their records inside one epoch.
    pub(crate) fn address(&self, addr: IpAddr, ipv6: u8) -> Pseudonym {
        let mut block = [0; 18];
        let length = match addr {
            IpAddr::V4(addr) => {
                block[..2].copy_from_slice(&[4, 32]);
                block[2..6].copy_from_slice(&addr.octets());
                6
            }
            IpAddr::V6(addr) => {
                let length = ipv6.min(128);
                let mask = u128::MAX.checked_shl(u32::from(128 - length)).unwrap_or(0);
                block[..2].copy_from_slice(&[6, length]);
                block[2..].copy_from_slice(&(addr.to_bits() & mask).to_be_bytes());
                18
            }
        };
        self.finished(self.client.clone(), &block[..length])
    }

    /// Hashes any other value; equal values of two fields have nothing in common.
    pub(crate) fn value(&self, field: &str, value: &[u8]) -> Pseudonym {
        self.finished(of_field(self.mac.clone(), field), value)
    }

    fn finished(&self, mut mac: Hmac<Sha256>, value: &[u8]) -> Pseudonym {
        Mac::update(&mut mac, value);
        let mut tag = [0; 16];
        tag.copy_from_slice(&mac.finalize_fixed()[..16]);
        Pseudonym { start: self.start, tag }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A keyed hash, cut to 128 bits, with the epoch whose key made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pseudonym {
    start: Start,
    tag: [u8; 16],
}

impl Pseudonym {
    /// `EPOCH.32HEX`
    pub(crate) fn written(&self) -> Text {
        let digits = self.tag.map(pair);
        Text::word_of(&self.start, std::str::from_utf8(digits.as_flattened()).unwrap_or_default())
    }
}

/// Writes two lower-case digits per byte, as many as `digits` takes.
pub(crate) fn hex(bytes: &[u8], digits: &mut [u8]) {
    for (byte, digits) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        digits.copy_from_slice(&pair(*byte));
    }
}

pub(crate) const HEX: &[u8; 16] = b"0123456789abcdef";

/// Without a table, so that many are made at once.
#[inline]
fn pair(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| digit + if digit < 10 { b'0' } else { b'a' - 10 })
}

fn start_of(epoch: u64) -> Start {
    let mut start = Start::new();
    start.push_str(itoa::Buffer::new().format(epoch));
    start.push('.');
    start
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

const CLIENT: &str = "client.address";

fn of_field(mut mac: Hmac<Sha256>, field: &str) -> Hmac<Sha256> {
    for part in [field, "/v1\0"] {
        Mac::update(&mut mac, part.as_bytes());
    }
    mac
}

/// HKDF-Expand (RFC 5869) of 32 bytes, which is one HMAC.
fn expand(mut mac: Hmac<Sha256>, label: &[u8], out: &mut [u8; 32]) {
    Mac::update(&mut mac, label);
    Mac::update(&mut mac, &[1]);
    mac.finalize_into(out.into());
}

/// How many seconds a key may serve beyond its own, for clocks that disagree or went back.
pub(crate) fn slack(rotate: u64) -> u64 {
    rotate.max(3_600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::mem::needs_drop;
    use zeroize::ZeroizeOnDrop;

    fn rows(text: &str) -> Vec<Value> {
        serde_json::from_str(text).unwrap()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        let digits = value.as_str().unwrap();
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    }

    fn epoch(key: [u8; 32]) -> Epoch {
        Epoch::new(20_645, 86_400, &key)
    }

    fn text(pseudonym: Pseudonym) -> String {
        pseudonym.written().as_str().to_owned()
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        for row in rows(include_str!("../tests/vectors/hmac_sha256_rfc4231.json")) {
            let mac = keyed(&bytes(&row["key"])).chain_update(bytes(&row["data"]));
            assert!(mac.finalize_fixed().starts_with(&bytes(&row["tag"])));
        }
    }

    #[test]
    fn pseudonyms_agree_with_the_vectors() {
        for row in rows(include_str!("../tests/vectors/pseudonym.json")) {
            let key: [u8; 32] = bytes(&row["key"]).try_into().unwrap();
            let addr: IpAddr = row["input"].as_str().unwrap().parse().unwrap();
            let found = epoch(key).address(addr.to_canonical(), 64);
            assert_eq!(found.tag[..], bytes(&row["tag"]));
            assert_eq!(text(found), format!("20645.{}", row["tag"].as_str().unwrap()));
            let whole = keyed(&key).chain_update(bytes(&row["message"])).finalize_fixed();
            assert_eq!(found.tag, whole[..16]);
        }
    }

    #[test]
    fn the_ratchet_agrees_with_the_vectors() {
        let rows = rows(include_str!("../tests/vectors/ratchet.json"));
        let mut chain = Chain::new(0, |key| *key = bytes(&rows[0]["chain"]).try_into().unwrap());
        for row in &rows {
            chain.advance(row["n"].as_u64().unwrap());
            assert_eq!(chain.bytes()[..], bytes(&row["chain"]));
            let found = chain.epoch(1).address("192.0.2.1".parse().unwrap(), 64);
            assert_eq!(found.tag[..], bytes(&row["tag_192_0_2_1"]));
            let key: [u8; 32] = bytes(&row["epoch_key"]).try_into().unwrap();
            assert_eq!(epoch(key).address("192.0.2.1".parse().unwrap(), 64).tag, found.tag);
        }
    }

    #[test]
    fn the_text_is_the_epoch_a_dot_and_32_digits() {
        let (tag, digits) = ([0xab; 16], "ab".repeat(16));
        for epoch in [0, 1, 9, 10, 99, 100, 20_645, u64::MAX - 1, u64::MAX] {
            assert_eq!(
                text(Pseudonym { start: start_of(epoch), tag }),
                format!("{epoch}.{digits}")
            );
        }
    }

    #[test]
    fn an_epoch_serves_its_own_seconds_and_no_later_one() {
        let epoch = Epoch::new(10, 86_400, &[1; 32]);
        assert!(epoch.serves(864_000) && epoch.serves(864_000 + 86_399));
        assert!(!epoch.serves(864_000 + 86_400));
        assert!(epoch.serves(864_000 - 86_400) && !epoch.serves(864_000 - 86_401));
        assert!(Epoch::new(u64::MAX, u64::MAX, &[1; 32]).serves(u64::MAX - 1), "no overflow");
    }

    #[test]
    fn keys_are_overwritten_when_dropped() {
        fn overwritten<T: ZeroizeOnDrop>(_: Option<T>) {}
        overwritten::<Zeroizing<[u8; 32]>>(None);
        overwritten::<<Sha256 as hmac::digest::block_api::CoreProxy>::Core>(None);
        overwritten::<hmac::digest::block_api::Buffer<hmac::block_api::HmacCore<Sha256>>>(None);
        assert!(needs_drop::<Hmac<Sha256>>() && needs_drop::<Epoch>() && needs_drop::<Chain>());
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", epoch([7; 32])), "Epoch { number: 20645, .. }");
    }

    proptest! {
        #[test]
        fn an_ipv4_pseudonym_is_of_the_whole_address(key: [u8; 32], a: [u8; 4], b: [u8; 4], ipv6: u8) {
            let hash = |addr: [u8; 4]| epoch(key).address(addr.into(), ipv6);
            prop_assert_eq!(a == b, hash(a) == hash(b));
            prop_assert_eq!(hash(a), epoch(key).address(a.into(), 64));
        }

        #[test]
        fn an_ipv6_pseudonym_is_of_the_prefix(key: [u8; 32], a: u128, b: u128, length in 0..=128_u8, keep in 0..=128_u32) {
            let mask = u128::MAX.checked_shl(128 - keep).unwrap_or(0);
            let b = (a & mask) | (b & !mask);
            let hash = |addr: u128| epoch(key).address(IpAddr::V6(addr.into()), length);
            let shift = 128 - u32::from(length);
            let agree = a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0);
            prop_assert_eq!(agree, hash(a) == hash(b));
        }

        #[test]
        fn every_part_of_the_message_counts(key: [u8; 32], other: [u8; 32], addr: u128, value: Vec<u8>) {
            let (addr, here) = (IpAddr::V6(addr.into()), epoch(key));
            prop_assert_ne!(here.address(addr, 64), here.address(addr, 56));
            prop_assert_ne!(here.value(CLIENT, &value), here.value("user.hash", &value));
            prop_assert_eq!(key == other, here.value(CLIENT, &value) == epoch(other).value(CLIENT, &value));
            let message = [b"user.hash/v1\0", &value[..]].concat();
            let whole = keyed(&key).chain_update(message).finalize_fixed();
            prop_assert_eq!(&here.value("user.hash", &value).tag[..], &whole[..16]);
        }

        #[test]
        fn a_prefix_out_of_range_is_a_whole_address(addr: u128, length in 128..=255_u8) {
            let hash = |length| epoch([1; 32]).address(IpAddr::V6(addr.into()), length);
            prop_assert_eq!(hash(128), hash(length));
        }

        #[test]
        fn two_places_on_one_chain_agree_on_every_later_epoch(key: [u8; 32], n in 0..50_u64, k in 0..50_u64, more in 0..50_u64) {
            let mut here = Chain::new(0, |into| *into = key);
            here.advance(n);
            let mut there = here.copy();
            there.advance(n + k);
            here.advance(n + k + more);
            there.advance(n + k + more);
            prop_assert!(here.same(&there));
            prop_assert_eq!(here.epoch(1).value("f", b"v"), there.epoch(1).value("f", b"v"));
        }

        #[test]
        fn a_chain_never_turns_back(key: [u8; 32], n in 1..50_u64, back in 0..50_u64) {
            let mut chain = Chain::new(0, |into| *into = key);
            chain.advance(n);
            let before = chain.copy();
            chain.advance(back.min(n));
            prop_assert!(chain.same(&before));
        }
    }
}
