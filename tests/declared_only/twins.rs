//! Non-interference (A2): two exchanges that agree on the declared, reduced values give the same
//! bytes, whatever else differs.

use std::cell::RefCell;

use http::header::HeaderName;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tower_privacy_log::{Address, AppTreatment, Field, Path, PrivacyLogLayer, Referer, Status};

use crate::exchange::{Came, Ending, Exchange, Given, METHODS, Pair, Segment, Side};
use crate::markers::{marker, percent_encoded};
use crate::oracle::prefix;
use crate::policies::{Declared, Dice, HOSTS, name};
use crate::readers::{Readers, Written};
use crate::{nonce, random_exchange, random_policy};

const POLICIES: u32 = 2_000;

#[test]
fn what_is_undeclared_changes_no_byte() {
    let readers = Readers::start();
    let config =
        ProptestConfig { cases: POLICIES, failure_persistence: None, ..ProptestConfig::default() };
    let number = RefCell::new(0);
    let cases = (random_policy(), random_exchange(), vec(random_exchange(), 2));
    TestRunner::new(config)
        .run(&cases, |(policy, bytes, others)| {
            let number = &mut *number.borrow_mut();
            let declared = Declared::random(&mut Dice::new(&policy), true);
            let layer = PrivacyLogLayer::new(&declared.policy()).expect("keys in memory");
            let one = Exchange::random(&mut Dice::new(&bytes), &nonce(number));
            let first = played(&layer, &one, &readers);
            for bytes in others {
                let other = Exchange::random(&mut Dice::new(&bytes), &nonce(number));
                let twin = other.made_like(&one, &declared);
                agree(&declared, [&one, &twin], &first, &layer, &readers);
            }
            Ok(())
        })
        .unwrap();
}

fn played(layer: &PrivacyLogLayer, exchange: &Exchange, readers: &Readers) -> Written {
    exchange.play(layer);
    readers.take()
}

/// Once more if midnight came between: a timestamp's precision is a day here, and so is a key's life.
fn agree(
    declared: &Declared,
    pair: [&Exchange; 2],
    first: &Written,
    layer: &PrivacyLogLayer,
    readers: &Readers,
) {
    let second = played(layer, pair[1], readers);
    if !same(pair, first, &second) {
        let first = played(layer, pair[0], readers);
        let second = played(layer, pair[1], readers);
        let context =
            || format!("{declared:#?}\n{pair:#?}\n{}\n---\n{}", first.ours(), second.ours());
        assert!(same(pair, &first, &second), "{}", context());
    }
}

/// The sink's bytes, and those of subscribers when both failed or neither: they write the level.
fn same([one, other]: [&Exchange; 2], first: &Written, second: &Written) -> bool {
    first.lines == second.lines && (one.level() != other.level() || first.ours() == second.ours())
}

impl Exchange {
    /// This exchange, with as much of `model` as the policy lets one see.
    fn made_like(mut self, model: &Self, declared: &Declared) -> Self {
        let effective = self.shared_client(model, declared);
        for field in declared.fields() {
            self.share(field, model);
        }
        let rounds = |field: &Field| match field {
            Field::RequestBodySize { round } => Some(*round),
            _ => None,
        };
        self.upload =
            rounded_alike(model.upload, self.upload, declared.fields().filter_map(rounds));
        if let Some(client) = effective {
            self.client = client;
        }
        self.share_outcome(model, declared);
        self.share_app(model, declared);
        self.share_path(model, declared);
        self.share_query(model, declared);
        self.share_referer(model, declared);
        if declared.logs.iter().any(|log| log.consent) {
            self.consent.clone_from(&model.consent);
        }
        if declared.logs.iter().any(|log| log.gpc) {
            self.gpc = model.gpc;
        }
        self
    }

    fn share(&mut self, field: &Field, model: &Self) {
        match field {
            Field::RequestMethod if METHODS.contains(&model.method.as_str()) => {
                self.method.clone_from(&model.method)
            }
            Field::RequestMethod => self.method = self.mark("me"),
            Field::Route => self.route.clone_from(&model.route),
            Field::UrlScheme => {
                let scheme = model.told.or(model.absolute);
                if self.announced {
                    (self.absolute, self.told) = (scheme, None);
                } else {
                    (self.absolute, self.told) = (None, scheme)
                }
                if scheme.is_none() {
                    self.told = None;
                }
            }
            Field::ProtocolVersion => self.version = model.version,
            Field::ServerAddress { .. } if HOSTS.contains(&model.host.as_str()) => {
                self.host.clone_from(&model.host)
            }
            Field::ServerAddress { .. } => self.host = format!("{}.example.com", self.mark("ho")),
            Field::UserAgentOriginal { .. } => self.agent = model.agent.clone(),
            Field::UserAgentName
            | Field::UserAgentVersion
            | Field::UserAgentOs
            | Field::DeviceType => {
                self.agent.kind = model.agent.kind;
            }
            Field::BrowserLanguage { .. } => self.language.0 = model.language.0,
            Field::RequestBodySize { .. } => self.announced = model.announced,
            _ => {}
        }
    }

    /// The client's address beyond what is declared of it, seen through any network.
    fn shared_client(&mut self, model: &Self, declared: &Declared) -> Option<std::net::IpAddr> {
        let (mut ipv4, mut ipv6) = (0, 0);
        for field in declared.fields() {
            let (most4, most6) = match field {
                Field::ClientAddress(Address::Truncate { ipv4, ipv6, .. }) => (*ipv4, *ipv6),
                Field::ClientAddress(_) => (32, 128),
                Field::ClientPseudonym { ipv6 } => (32, *ipv6),
                _ => continue,
            };
            (ipv4, ipv6) = (ipv4.max(most4), ipv6.max(most6));
        }
        if ipv4 == 0 {
            return None;
        }
        let Some(client) = model.client(declared.forwarded) else {
            (self.proxied, self.garbled) = (true, true);
            return None;
        };
        self.garbled = false;
        self.proxied &= declared.forwarded;
        Some(mixed(client, self.client, ipv4, ipv6))
    }

    fn share_outcome(&mut self, model: &Self, declared: &Declared) {
        let names: Vec<&str> = declared.fields().map(name).collect();
        let has = |name: &str| names.contains(&name);
        let late = |side: Option<Side>| side == Some(Side::Response);
        let consents = declared.logs.iter().any(|log| log.consent)
            && late(model.consent.as_ref().map(|consent| consent.0));
        let routed = has("http.route") && late(model.route.as_ref().map(|route| route.0));
        let told = [
            "http.response.status_code",
            "http.response.body.size",
            "rpc.grpc.status_code",
            "error.type",
        ];
        if !told.into_iter().any(has) && !consents && !routed {
            return;
        }
        let (own, code) = (self.end.clone(), self.end.code.take());
        self.end = model.end.clone();
        let quiet = |method: &str| ["HEAD", "CONNECT"].contains(&method);
        if quiet(&model.method) || quiet(&self.method) {
            self.method.clone_from(&model.method);
        }
        if !has("error.type") {
            self.end.code = code;
        }
        let rounds = declared.fields().filter_map(|field| match field {
            Field::ResponseBodySize { round } => Some(*round),
            _ => None,
        });
        self.end.reply = rounded_alike(model.end.reply, own.reply, rounds);
        if !has("rpc.grpc.status_code") {
            self.end.grpc = own.grpc;
        }
        let exact = declared.fields().any(|field| matches!(field, Field::StatusCode(Status::Keep)));
        let plain = [200, 201, 206, 400, 401, 404, 405, 413, 431];
        let free = plain.contains(&model.end.status) && plain.contains(&own.status);
        if !exact && free && own.status / 100 == model.end.status / 100 {
            self.end.status = own.status;
        }
        if !has("error.type") && self.end.ending == Ending::CutBody {
            self.end.ending = Ending::Truncated;
        }
    }

    fn share_app(&mut self, model: &Self, declared: &Declared) {
        let own = std::mem::take(&mut self.app);
        let declares = |name: &str| {
            let fields = declared.logs.iter().flat_map(|log| &log.app);
            fields
                .filter(|(known, _)| *known == name)
                .map(|(_, treatment)| treatment)
                .collect::<Vec<_>>()
        };
        self.app = own.into_iter().filter(|(name, _)| declares(name).is_empty()).collect();
        for (name, given) in &model.app {
            let treatments = declares(name);
            let listed = treatments.iter().any(|treatment| {
                !matches!(treatment, AppTreatment::Allow(allow) if !allow.contains(&given.plain()))
            });
            match (treatments.is_empty(), listed) {
                (true, _) => {}
                (false, true) => self.app.push((name, given.clone())),
                (false, false) => self.app.push((name, Given::Text(self.mark("aa")))),
            }
        }
        self.app.reverse();
    }

    fn share_path(&mut self, model: &Self, declared: &Declared) {
        let depth = declared.fields().filter_map(|field| match field {
            Field::UrlPath(Path::Depth(depth)) => Some(usize::from(*depth)),
            Field::UrlPath(_) => Some(usize::MAX),
            _ => None,
        });
        let Some(depth) = depth.max() else { return };
        if depth == usize::MAX {
            self.segments.clone_from(&model.segments);
            return;
        }
        let beyond = self.segments.split_off(self.segments.len().min(depth));
        let parameter = self.mark("sp");
        let kept = model.segments.iter().take(depth).enumerate().map(|(at, segment)| Segment {
            text: segment.text.clone(),
            parameter: (at % 2 == 0).then(|| parameter.clone()),
        });
        self.segments = kept.collect();
        if self.segments.len() == depth {
            self.segments.extend(beyond);
        }
    }

    fn share_query(&mut self, model: &Self, declared: &Declared) {
        let allowed = declared.fields().filter_map(|field| match field {
            Field::UrlQuery { allow } => Some(allow),
            _ => None,
        });
        let allowed: Vec<&String> = allowed.flatten().collect();
        let is_allowed = |pair: &Pair| allowed.iter().any(|key| *key == pair.key);
        if allowed.is_empty() {
            return;
        }
        let own = std::mem::take(&mut self.pairs);
        let mut junk = own.into_iter().filter(|pair| !is_allowed(pair));
        for pair in model.pairs.iter().filter(|pair| is_allowed(pair)) {
            self.pairs.extend(junk.next());
            let mut pair = pair.clone();
            pair.sent = percent_encoded(pair.key);
            if pair.key == "sig" {
                pair.value = self.mark("qx");
            }
            self.pairs.push(pair);
        }
        self.pairs.extend(junk);
    }

    fn share_referer(&mut self, model: &Self, declared: &Declared) {
        let own = self.came.clone();
        let most = declared.fields().filter_map(|field| match field {
            Field::Referer(Referer::Relation) => Some(0),
            Field::Referer(Referer::Origin) => Some(1),
            Field::Referer(_) => Some(2),
            _ => None,
        });
        let Some(most) = most.max() else { return };
        let fresh = self.mark("rp");
        let path = |path: &String| if most == 2 { path.clone() } else { fresh.clone() };
        self.came = match (&model.came, own) {
            (Came::Nowhere, _) => Came::Nowhere,
            (Came::Own { path: old }, _) => Came::Own { path: path(old) },
            (Came::Internal(_), own @ Came::Internal(_)) => own,
            (Came::Other(_), own @ Came::Other(_)) => own,
            (Came::Internal(kind), _) => Came::Internal((kind + 1) % 4),
            (Came::Site { .. } | Came::Other(_), own @ (Came::Site { .. } | Came::Other(_)))
                if most == 0 =>
            {
                own
            }
            (Came::Other(kind), _) => Came::Other((kind + 1) % 5),
            (Came::Site { scheme, host, port, path: old }, _) => {
                Came::Site { scheme, host: host.to_uppercase(), port: *port, path: path(old) }
            }
        };
    }
}

/// A size that rounds to the same as the model's.
fn rounded_alike(model: usize, own: usize, rounds: impl Iterator<Item = u64>) -> usize {
    let mut rounds: Vec<usize> =
        rounds.map(|round| usize::try_from(round).expect("small")).collect();
    rounds.dedup();
    match rounds.as_slice() {
        [] => own,
        [round] => model.next_multiple_of(*round).saturating_sub(own % round),
        _ => model,
    }
}

/// `client` as far as it is declared, `other` behind that.
fn mixed(
    client: std::net::IpAddr,
    other: std::net::IpAddr,
    ipv4: u8,
    ipv6: u8,
) -> std::net::IpAddr {
    use std::net::IpAddr::{V4, V6};
    match (prefix(client, ipv4, ipv6), other) {
        (V4(kept), V4(other)) => {
            let mask = u32::MAX.checked_shr(u32::from(ipv4)).unwrap_or(0);
            V4((u32::from(kept) | u32::from(other) & mask).into())
        }
        (V6(kept), V6(other)) => {
            let mask = u128::MAX.checked_shr(u32::from(ipv6)).unwrap_or(0);
            V6((u128::from(kept) | u128::from(other) & mask).into())
        }
        _ => client,
    }
}

/// The header a client may send, in another order: what is read does not depend on it.
#[test]
fn headers_that_nobody_declared_may_come_in_any_number() {
    use http_body_util::Empty;
    use tower::{Layer, ServiceExt, service_fn};

    let readers = Readers::start();
    let policy = crate::support::policy(
        "\"http.request.method\" = \"keep\"\n\"url.path\" = { depth = 1 }\n\"http.request.header.referer\" = \"origin\"\n\"browser.language\" = { allow = [\"en\"] }",
    );
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let send = |count: usize, backwards: bool| {
        let mut names: Vec<String> =
            (0..count).map(|at| format!("x-{}", marker("hn", &format!("{at:04}")))).collect();
        names.extend(["referer", "accept-language"].map(str::to_owned));
        if backwards {
            names.reverse();
        }
        let mut request = http::Request::new(Empty::<bytes::Bytes>::new());
        *request.uri_mut() = "/a/b".parse().unwrap();
        for name in names {
            let value = match name.as_str() {
                "referer" => "https://news.example.org/story".to_owned(),
                "accept-language" => "en".to_owned(),
                _ => marker("hv", &name[name.len() - 4..]),
            };
            request
                .headers_mut()
                .append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let service = layer.layer(service_fn(|_: http::Request<Empty<bytes::Bytes>>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
        }));
        drop(futures_util::FutureExt::now_or_never(service.oneshot(request)).unwrap().unwrap());
        readers.take().ours()
    };
    let plain = send(0, false);
    assert!(plain.contains("https://news.example.org"), "{plain}");
    for count in [0, 1, 7, 500] {
        assert_eq!(send(count, true), plain);
        assert_eq!(send(count, false), plain);
    }
}
