//! Reads the low-entropy client hints (User-Agent Client Hints; structured fields, RFC 9651).
//!
//! A list that is malformed, longer than [`LIMIT`] or not made of strings names nothing, and so does a brand
//! that is not listed: the invented ones (GREASE) need no rule of their own. High-entropy hints are not read.

use super::words::major;
use super::{Agent, LIMIT, System};

/// The product that a `Sec-CH-UA` list names, if the list is one and we know a brand of it.
pub(super) fn brand(list: &[u8]) -> Option<(Agent, Option<u16>)> {
    let mut rest = Some(list).filter(|list| list.len() <= LIMIT)?.trim_ascii();
    let mut best: Option<(Agent, Option<u16>)> = None;
    loop {
        let (name, after) = string(rest)?;
        let (version, after) = parameters(after)?;
        if let Some(known) = branded(name)
            && best.is_none_or(|(agent, _)| weight(known) > weight(agent))
        {
            best = Some((known, version));
        }
        rest = after.trim_ascii_start();
        if rest.is_empty() {
            return best;
        }
        rest = rest.strip_prefix(b",")?.trim_ascii_start();
    }
}

/// Lists come shuffled: the answer must not depend on the order.
fn weight(agent: Agent) -> (bool, bool, Agent) {
    (agent != Agent::Chromium, !agent.is_engine(), agent)
}

fn branded(name: &[u8]) -> Option<Agent> {
    Some(match name {
        b"Chromium" => Agent::Chromium,
        b"Android WebView" | b"Microsoft Edge WebView2" => Agent::WebView,
        b"Google Chrome" => Agent::Chrome,
        b"Microsoft Edge" => Agent::Edge,
        b"Opera" | b"Opera GX" | b"OperaMobile" => Agent::Opera,
        b"Samsung Internet" => Agent::SamsungInternet,
        b"Amazon Silk" => Agent::Silk,
        b"HuaweiBrowser" => Agent::HuaweiBrowser,
        b"Whale" => Agent::Whale,
        b"YaBrowser" | b"Yandex" => Agent::Yandex,
        b"Vivaldi" => Agent::Vivaldi,
        b"Brave" => Agent::Brave,
        b"DuckDuckGo" => Agent::DuckDuckGo,
        b"HeadlessChrome" => Agent::HeadlessChrome,
        _ => return None,
    })
}

/// The system of a `Sec-CH-UA-Platform`, a single string.
pub(super) fn platform(value: &[u8]) -> Option<System> {
    match value {
        b"\"Windows\"" => Some(System::Windows),
        b"\"macOS\"" => Some(System::MacOs),
        b"\"Linux\"" => Some(System::Linux),
        b"\"Android\"" => Some(System::Android),
        b"\"iOS\"" => Some(System::Ios),
        b"\"Chrome OS\"" | b"\"Chromium OS\"" => Some(System::ChromeOs),
        _ => None,
    }
}

/// One structured-field string (RFC 9651, 3.3.3), still escaped: no brand we know has an escape.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut end = 0;
    loop {
        match text.get(end)? {
            b'"' => return Some((text.get(..end)?, text.get(end + 1..)?)),
            b'\\' if matches!(text.get(end + 1)?, b'"' | b'\\') => end += 2,
            b'\\' => return None,
            b' '..=b'~' => end += 1,
            _ => return None,
        }
    }
}

/// The parameters of a brand, all of them strings; the last `v` counts.
fn parameters(mut text: &[u8]) -> Option<(Option<u16>, &[u8])> {
    let mut version = None;
    while let Some(after) = text.strip_prefix(b";") {
        let after = after.trim_ascii_start();
        let equals = after.iter().position(|byte| *byte == b'=')?;
        let (key, after) = after.split_at(equals);
        let (value, after) = string(after.strip_prefix(b"=")?)?;
        if key == b"v" {
            version = major(value);
        }
        text = after;
    }
    Some((version, text))
}
