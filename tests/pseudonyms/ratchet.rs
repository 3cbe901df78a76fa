//! The ratchet of RULES C1, C2 and C4, told a second time: from the text of a key file to a pseudonym.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a key file holds.
#[derive(Clone)]
pub struct Link {
    pub epoch: u64,
    pub chain: [u8; 32],
}

impl Link {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no line {name}"))
        };
        let digits = value("chain ");
        let mut chain = [0; 32];
        for (at, byte) in chain.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
        }
        Self { epoch: value("epoch ").parse().unwrap(), chain }
    }

    /// The link of a later epoch.
    pub fn at(&self, epoch: u64) -> Self {
        assert!(epoch >= self.epoch, "the ratchet turns forward only");
        let turn = |chain: [u8; 32], _| expand(&chain, b"ratchet/v1");
        Self { epoch, chain: (self.epoch..epoch).fold(self.chain, turn) }
    }

    pub fn pseudonym(&self, field: &str, value: &[u8]) -> String {
        let key = expand(&self.chain, b"epoch-key/v1");
        let tag = mac(&key, &[field.as_bytes(), b"/v1\0", value]);
        format!("{}.{}", self.epoch, hex(&tag[..16]))
    }

    /// Panics if a part of this link's keys, or of the next ones', can be read in `output`.
    pub fn is_hidden_in(&self, output: &str) {
        for link in (0..4).map(|more| self.at(self.epoch + more)) {
            for key in [link.chain, expand(&link.chain, b"epoch-key/v1")] {
                let digits = hex(&key);
                for part in digits.as_bytes().windows(12) {
                    let part = str::from_utf8(part).unwrap();
                    let shown = output.contains(part) || output.contains(&part.to_uppercase());
                    assert!(!shown, "a part of a key is in: {output}");
                }
                for part in key.windows(4) {
                    let list = format!("{part:?}");
                    assert!(
                        !output.contains(list.trim_matches(['[', ']'])),
                        "a key is in: {output}"
                    );
                }
            }
        }
    }
}

/// The family, the prefix length and the address with its host bits zero.
pub fn address(text: &str) -> Vec<u8> {
    match text.parse().unwrap() {
        IpAddr::V4(address) => [&[4, 32], &address.octets()[..]].concat(),
        IpAddr::V6(address) => [&[6, 64], &address.octets()[..8], &[0; 8]].concat(),
    }
}

/// HKDF-Expand (RFC 5869 §2.3) to one block of 32 bytes.
fn expand(key: &[u8], info: &[u8]) -> [u8; 32] {
    mac(key, &[info, &[1]])
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        Mac::update(&mut mac, part);
    }
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        digits.push_str(&format!("{byte:02x}"));
        digits
    })
}
