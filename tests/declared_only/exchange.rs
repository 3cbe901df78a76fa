//! One exchange with a marker in every place, and the server that plays it.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tower_privacy_log::{Consent, ErrorCode, LogFields, PeerAddr, PrivacyLogLayer, Route};

use crate::markers::{base64, marker, percent_encoded};
use crate::policies::{APP, Dice, HOSTS, LOGS};

#[derive(Clone, Debug)]
pub struct Exchange {
    pub nonce: String,
    pub method: String,
    pub version: Version,
    /// The scheme of an absolute-form target.
    pub absolute: Option<&'static str>,
    /// What a TLS server puts into the extensions.
    pub told: Option<&'static str>,
    pub host: String,
    pub segments: Vec<Segment>,
    pub pairs: Vec<Pair>,
    pub came: Came,
    pub agent: Agent,
    pub language: (Language, usize),
    pub client: IpAddr,
    pub embedding: usize,
    pub proxied: bool,
    pub garbled: bool,
    pub route: Option<(Side, String)>,
    pub consent: Option<(Side, Vec<&'static str>)>,
    pub gpc: bool,
    pub app: Vec<(&'static str, Given)>,
    pub announced: bool,
    pub upload: usize,
    pub end: Outcome,
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub text: String,
    pub parameter: Option<String>,
}

/// A query's pair: its key decoded and as it is sent.
#[derive(Clone, Debug)]
pub struct Pair {
    pub key: &'static str,
    pub sent: String,
    pub value: String,
}

#[derive(Clone, Debug)]
pub enum Came {
    Nowhere,
    Own { path: String },
    Site { scheme: &'static str, host: String, port: Option<u16>, path: String },
    Internal(usize),
    Other(usize),
}

#[derive(Clone, Debug)]
pub struct Agent {
    pub kind: usize,
    pub minor: usize,
    pub tail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    None,
    De,
    En,
    Unlisted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    Text(String),
    Number(i64),
    Float(f64),
    Truth(bool),
}

/// How it goes on after the request.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ending: Ending,
    pub status: u16,
    pub code: Option<String>,
    pub reply: usize,
    pub measured: bool,
    pub grpc: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Aborted,
    CutBody,
    Truncated,
    BodyError,
    ServiceError,
    PanicInCall,
    PanicInFuture,
    PanicInBody,
}

pub const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

const ENDINGS: [Ending; 12] = [
    Ending::Complete,
    Ending::Complete,
    Ending::Complete,
    Ending::Complete,
    Ending::Aborted,
    Ending::CutBody,
    Ending::Truncated,
    Ending::BodyError,
    Ending::ServiceError,
    Ending::PanicInCall,
    Ending::PanicInFuture,
    Ending::PanicInBody,
];

const STATUSES: [u16; 13] = [200, 201, 101, 204, 206, 304, 400, 401, 404, 405, 413, 431, 500];
const VERSIONS: [Version; 4] =
    [Version::HTTP_11, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3];

impl Exchange {
    pub fn random(dice: &mut Dice<'_>, nonce: &str) -> Self {
        let mark = |place: &str| marker(place, nonce);
        let method = dice.roll(METHODS.len() + 2);
        let method = METHODS.get(method).map_or_else(|| mark("me"), |known| (*known).to_owned());
        Self {
            nonce: nonce.to_owned(),
            method,
            version: dice.pick(&VERSIONS),
            absolute: dice.pick(&[None, None, Some("http"), Some("https")]),
            told: dice.pick(&[None, Some("https"), Some("http")]),
            host: dice.pick(&[
                HOSTS[0].to_owned(),
                HOSTS[1].to_owned(),
                format!("{}.example.net", mark("ho")),
            ]),
            segments: (0..dice.roll(5)).map(|at| Segment::random(dice, at, nonce)).collect(),
            pairs: (0..dice.roll(7)).map(|_| Pair::random(dice, nonce)).collect(),
            came: Came::random(dice, nonce),
            agent: Agent { kind: dice.roll(4), minor: dice.roll(100), tail: mark("ua") },
            language: (
                dice.pick(&[Language::De, Language::En, Language::Unlisted, Language::None]),
                dice.roll(2),
            ),
            client: client(dice),
            embedding: dice.roll(5),
            proxied: dice.coin(),
            garbled: dice.roll(8) == 7,
            route: dice
                .pick(&[None, Some(Side::Request), Some(Side::Response)])
                .map(|side| (side, format!("/{}/{{id}}", mark("rt")))),
            consent: dice
                .pick(&[None, Some(Side::Request), Some(Side::Response)])
                .map(|side| (side, LOGS.into_iter().filter(|_| dice.coin()).collect())),
            gpc: dice.roll(3) == 2,
            app: APP
                .into_iter()
                .enumerate()
                .filter_map(|(at, name)| {
                    dice.coin().then(|| (name, Given::random(dice, at, nonce)))
                })
                .collect(),
            announced: dice.coin(),
            upload: dice.roll(256) * 9,
            end: Outcome::random(dice, nonce),
        }
    }

    pub fn mark(&self, place: &str) -> String {
        marker(place, &self.nonce)
    }

    /// Whose address the client's is when forwarding headers count or not.
    pub fn client(&self, forwarded: bool) -> Option<IpAddr> {
        match (self.proxied, forwarded) {
            (false, _) => Some(self.client),
            (true, false) => Some(PROXY),
            (true, true) => (!self.garbled).then_some(self.client),
        }
    }

    fn peer(&self) -> IpAddr {
        if self.proxied { PROXY } else { embedded(self.client, self.embedding) }
    }

    pub fn path(&self) -> String {
        let segments = self.segments.iter().map(|segment| match &segment.parameter {
            Some(parameter) => format!("/{};x={parameter}", segment.text),
            None => format!("/{}", segment.text),
        });
        let path: String = segments.collect();
        if path.is_empty() { "/".to_owned() } else { path }
    }

    fn target(&self) -> String {
        let mut target = String::new();
        if let Some(scheme) = self.absolute {
            let (user, host) = (self.mark("us"), self.host.to_uppercase());
            target = format!("{scheme}://{user}:{}@{host}:8443", percent_encoded(&user));
        }
        target.push_str(&self.path());
        for (at, pair) in self.pairs.iter().enumerate() {
            target.push(if at == 0 { '?' } else { ['&', ';'][at % 2] });
            target.push_str(&format!("{}={}", pair.sent, pair.value));
        }
        if self.pairs.is_empty() {
            target.push_str(&format!("?{}", self.mark("bq")));
        }
        format!("{target}#{}", self.mark("fr"))
    }

    fn headers(&self, headers: &mut HeaderMap) {
        let mark = |place: &str| self.mark(place);
        let mut put = |name: String, value: String| {
            let name: http::HeaderName = name.parse().expect("a header's name");
            headers
                .append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
        };
        let own = if self.absolute.is_some() {
            format!("{}.example", mark("h2"))
        } else {
            self.host.clone()
        };
        put("host".into(), format!("{own}:8443"));
        put("cookie".into(), format!("sid={}; b={}", mark("ck"), base64(&mark("ck"))));
        put(
            "authorization".into(),
            format!("Basic {}", base64(&format!("{}:{}", mark("au"), mark("pw")))),
        );
        put("proxy-authorization".into(), format!("Bearer {}", mark("pa")));
        for name in [
            "x-api-key",
            "x-request-id",
            "traceparent",
            "tracestate",
            "baggage",
            "origin",
            "from",
            "via",
        ] {
            put(name.into(), mark("hd"));
        }
        for name in
            ["x-real-ip", "cf-connecting-ip", "true-client-ip", "fly-client-ip", "x-client-ip"]
        {
            put(name.into(), mark("ip"));
        }
        put("forwarded".into(), format!("for={};host={}", mark("fw"), mark("fh")));
        put("x-forwarded-host".into(), mark("fh"));
        put("x-forwarded-proto".into(), mark("fp"));
        put("x-forwarded-for".into(), self.forwarded_for());
        put(mark("hn"), percent_encoded(&mark("hv")));
        put("sec-gpc".into(), if self.gpc { "1".into() } else { mark("gp") });
        put("content-type".into(), format!("multipart/form-data; boundary={}", mark("ct")));
        put("user-agent".into(), self.agent.text());
        put("sec-ch-ua".into(), format!("\"{}\";v=\"8\"", mark("ch")));
        put("sec-ch-ua-platform".into(), format!("\"{}\"", mark("ch")));
        put("sec-ch-ua-model".into(), format!("\"{}\"", mark("ch")));
        for (name, value) in
            [("referer", self.referer()), ("accept-language", self.accept_language())]
        {
            if let Some(value) = value {
                put(name.into(), value);
            }
        }
        if self.announced {
            put("content-length".into(), self.upload.to_string());
        }
    }

    fn forwarded_for(&self) -> String {
        let told = embedded(self.client, self.embedding);
        match (self.proxied, self.garbled) {
            (false, _) => format!("{}, 203.0.113.99", self.mark("xf")),
            (true, true) => format!("{told}, {}", self.mark("xf")),
            (true, false) => format!("{}, {told}, 10.9.8.7", self.mark("xf")),
        }
    }

    fn referer(&self) -> Option<String> {
        let mark = |place: &str| self.mark(place);
        let (user, query, fragment) = (mark("ru"), mark("rq"), mark("rf"));
        let behind = format!("?token={query}&{query}#{fragment}");
        Some(match &self.came {
            Came::Nowhere => return None,
            Came::Own { path } => format!("https://{user}:{user}@{}/{path}{behind}", self.host),
            Came::Site { scheme, host, port, path } => {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{scheme}://{user}@{host}{port}/{path}{behind}")
            }
            Came::Internal(kind) => match kind {
                0 => format!("http://192.0.2.77/{query}"),
                1 => format!("https://{}/{behind}", mark("ri")),
                2 => format!("https://{}.local/{behind}", mark("ri")),
                _ => format!("https://[2001:db8::9]:8443/{behind}"),
            },
            Came::Other(kind) => match kind {
                0 => format!("android-app://{query}"),
                1 => format!("{}.example.org/{query}", mark("ri")),
                2 => format!("data:text/html;base64,{}", base64(&query)),
                3 => format!("https://{}.example.org:{query}/", mark("ri")),
                _ => format!("https://{}%00.example.org/{behind}", mark("ri")),
            },
        })
    }

    fn accept_language(&self) -> Option<String> {
        let (language, spelling) = self.language;
        let spellings = match language {
            Language::None => [None, Some(self.mark("la"))],
            Language::De => [Some("de-CH, en;q=0.8".into()), Some("fr;q=0.2, DE".into())],
            Language::En => [Some("en".into()), Some("de;q=0.1, en-GB;q=0.9, *;q=0.5".into())],
            Language::Unlisted => [Some("fr".into()), Some("nl-BE, de;q=0.3".into())],
        };
        spellings[spelling].clone()
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let body = self.mark("bd").repeat(1 + self.upload / 16);
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.target())
            .version(self.version)
            .body(Full::new(Bytes::from(body)))
            .unwrap_or_else(|error| panic!("{error}: {}", self.target()));
        self.headers(request.headers_mut());
        let extensions = request.extensions_mut();
        extensions.insert(PeerAddr(SocketAddr::new(self.peer(), 40_000)));
        extensions.insert(Secret(self.mark("ex")));
        if let Some(scheme) = self.told {
            extensions.insert(if scheme == "http" {
                http::uri::Scheme::HTTP
            } else {
                http::uri::Scheme::HTTPS
            });
        }
        self.tell(Side::Request, extensions);
        request
    }

    fn tell(&self, side: Side, extensions: &mut http::Extensions) {
        if let Some((_, template)) = self.route.as_ref().filter(|route| route.0 == side) {
            extensions.insert(Route::new(template.as_str()));
        }
        if let Some((_, logs)) = self.consent.as_ref().filter(|consent| consent.0 == side) {
            let consent = Consent::to(self.mark("co"));
            extensions.insert(logs.iter().fold(consent, |consent, log| consent.and(*log)));
        }
    }

    /// What a handler says of its exchange, wrong beginnings included.
    fn add(&self, fields: &LogFields) {
        for (name, given) in &self.app {
            fields.set(name, self.mark("ae"));
            match given {
                Given::Text(text) => fields.set(name, text),
                Given::Number(number) => fields.set(name, *number),
                Given::Float(number) => fields.set(name, *number),
                Given::Truth(truth) => fields.set(name, *truth),
            }
        }
        for name in ["undeclared", "log", "policy", "level", "client.address", "timestamp"] {
            fields.set(name, self.mark("av"));
        }
        fields.set(&self.mark("an"), self.mark("av"));
    }

    fn response(&self) -> Response<Reply> {
        let mark = |place: &str| self.mark(place);
        let end = &self.end;
        let mut response = Response::builder()
            .status(end.status)
            .header("set-cookie", format!("sid={}", mark("sc")))
            .header("location", format!("https://{}/{}", mark("lo"), mark("lo")))
            .header("www-authenticate", format!("Basic realm={}", mark("wa")))
            .header("etag", mark("et"))
            .header(mark("rn"), mark("rv"))
            .header("grpc-message", mark("gm"));
        if end.grpc.is_some() {
            response = response.header("content-type", "application/grpc+proto");
        }
        match end.ending {
            Ending::Truncated => response = response.header("content-length", end.reply + 10),
            Ending::Complete if end.measured => {
                response = response.header("content-length", end.reply)
            }
            _ => {}
        }
        let mut response = response.body(self.reply()).expect("a response");
        self.tell(Side::Response, response.extensions_mut());
        response.extensions_mut().insert(Secret(mark("ey")));
        if let Some(code) = &end.code {
            response.extensions_mut().insert(ErrorCode::new(code).expect("a code"));
        }
        response
    }

    fn reply(&self) -> Reply {
        let text = self.mark("rb").repeat(1 + self.end.reply / 11);
        let bytes = Bytes::from(text).slice(..self.end.reply);
        let half = bytes.len() / 2;
        let frames = [bytes.slice(..half), bytes.slice(half..)];
        let frames = frames.into_iter().filter(|frame| !frame.is_empty()).collect();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", self.mark("tr").parse().expect("a value"));
        trailers.insert("grpc-message", self.mark("tm").parse().expect("a value"));
        trailers.insert("grpc-status", self.end.grpc.unwrap_or(7).into());
        Reply { frames, ending: self.end.ending, trailers: Some(trailers), secret: self.mark("be") }
    }

    /// Plays the exchange through the layer, inside of tower-http's span and an own one.
    pub fn play(&self, layer: &PrivacyLogLayer) {
        let span = tracing::info_span!("reset", uri = %format!("/reset?token={}", self.mark("sp")));
        let _entered = span.enter();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.serve(layer))) {
            assert!(panic.is::<Planned>(), "a panic of our own");
        }
    }

    fn serve(&self, layer: &PrivacyLogLayer) {
        let inner = service_fn(|request: Request<Full<Bytes>>| {
            if let Some(fields) = request.extensions().get::<LogFields>() {
                self.add(fields);
            }
            if self.end.ending == Ending::PanicInCall {
                resume_unwind(Box::new(Planned(self.mark("pn"))));
            }
            self.answer()
        });
        let spans = DefaultMakeSpan::new()
            .level(tracing::Level::INFO)
            .include_headers(self.nonce.ends_with('0'));
        let service = TraceLayer::new_for_http().make_span_with(spans).layer(layer.layer(inner));
        let answer = pin!(service.oneshot(self.request()));
        if let Poll::Ready(Ok(response)) = poll_once(answer) {
            self.drain(response);
        }
    }

    async fn answer(&self) -> Result<Response<Reply>, Failure> {
        match self.end.ending {
            Ending::Aborted => pending().await,
            Ending::ServiceError => Err(Failure::deep(&self.mark("er"))),
            Ending::PanicInFuture => resume_unwind(Box::new(Planned(self.mark("pn")))),
            _ => Ok(self.response()),
        }
    }

    /// What a server does with a body: nothing where none may be sent.
    fn drain(&self, response: Response<impl Body>) {
        let mut body = pin!(response.into_body());
        while !self.is_bodiless() {
            match poll_once(body.as_mut().frame()) {
                Poll::Ready(Some(Ok(_))) => {}
                _ => return,
            }
        }
    }

    pub fn is_bodiless(&self) -> bool {
        let status = self.end.status;
        let tunnel = self.method == "CONNECT" && (200..300).contains(&status);
        self.method == "HEAD" || [101, 204, 304].contains(&status) || tunnel
    }

    /// Whether a response's head came.
    pub fn has_head(&self) -> bool {
        !matches!(
            self.end.ending,
            Ending::Aborted | Ending::ServiceError | Ending::PanicInCall | Ending::PanicInFuture
        )
    }

    /// What `error.type` says of the ending, nothing if it was a complete one.
    pub fn failure(&self) -> Option<&'static str> {
        match self.end.ending {
            Ending::Aborted => Some("aborted"),
            Ending::ServiceError => Some("service_error"),
            Ending::PanicInCall | Ending::PanicInFuture => Some("panic"),
            _ if self.is_bodiless() => None,
            Ending::Complete => None,
            Ending::CutBody => Some("aborted"),
            Ending::Truncated => Some("truncated"),
            Ending::BodyError => Some("body_error"),
            Ending::PanicInBody => Some("panic"),
        }
    }

    pub fn level(&self) -> &'static str {
        let failed = self.has_head() && self.end.status >= 500;
        match self.failure() {
            Some("service_error" | "panic" | "body_error") => "ERROR",
            _ if failed => "ERROR",
            _ => "INFO",
        }
    }
}

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 33));

/// The payload of a panic that the exchange asked for.
#[expect(dead_code, reason = "nobody is to read it")]
struct Planned(String);

/// An extension that only the application knows.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "nobody is to read it")]
struct Secret(String);

fn client(dice: &mut Dice<'_>) -> IpAddr {
    let mut byte = || u8::try_from(20 + dice.roll(200)).expect("below 256");
    let (v4, a, b, c, d) = (byte() % 2 == 0, byte(), byte(), byte(), byte());
    if v4 {
        return Ipv4Addr::new(198, a, b, c).into();
    }
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0x2a02, pair(a, b), pair(c, d), pair(b, a), pair(d, c), 7, pair(a, d), pair(c, b))
        .into()
}

/// The same client, seen through another network.
pub fn embedded(client: IpAddr, how: usize) -> IpAddr {
    let IpAddr::V4(v4) = client else { return client };
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match how {
        0 => client,
        1 => v4.to_ipv6_mapped().into(),
        2 => Ipv6Addr::new(0x2002, high, low, 5, 0, 0, 0, 1).into(),
        3 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into(),
        _ => Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low).into(),
    }
}

impl Segment {
    fn random(dice: &mut Dice<'_>, at: usize, nonce: &str) -> Self {
        let places = ["s0", "s1", "s2", "s3"];
        Self {
            text: marker(places[at], nonce),
            parameter: (dice.roll(4) == 3).then(|| marker("sp", nonce)),
        }
    }
}

impl Pair {
    fn random(dice: &mut Dice<'_>, nonce: &str) -> Self {
        let unread = marker("qx", nonce);
        let encoded = percent_encoded(&unread);
        let choices: [(&'static str, &str, String); 15] = [
            ("page", "page", marker("qp", nonce)),
            ("q", "q", marker("qq", nonce)),
            ("a b", "a+b", marker("qb", nonce)),
            ("page", "p%61ge", marker("qp", nonce)),
            ("sig", "sig", unread.clone()),
            ("password", "passwor%64", unread.clone()),
            ("a", "a=1;token", unread.clone()),
            ("token[]", "token[]", unread.clone()),
            ("\0token", "%00token", unread.clone()),
            ("page\0", "page%00", unread.clone()),
            ("Page", "Page", encoded),
            ("pag", "pag", unread.clone()),
            ("page[]", "page[]", unread.clone()),
            ("%70age", "%2570age", unread),
            ("", "", marker("qe", nonce)),
        ];
        let (key, sent, value) = dice.pick(&choices);
        Self { key, sent: sent.to_owned(), value }
    }
}

impl Came {
    fn random(dice: &mut Dice<'_>, nonce: &str) -> Self {
        let path = marker("rp", nonce);
        match dice.roll(6) {
            0 => Self::Nowhere,
            1 => Self::Own { path },
            2 => Self::Internal(dice.roll(4)),
            3 => Self::Other(dice.roll(5)),
            _ => Self::Site {
                scheme: dice.pick(&["https", "http"]),
                host: format!("{}.example.org", marker("rh", nonce)),
                port: dice.pick(&[None, Some(8443)]),
                path,
            },
        }
    }
}

impl Agent {
    pub fn text(&self) -> String {
        let Self { kind, minor, tail } = self;
        match kind {
            0 => format!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.{minor}.1 Safari/537.36 {tail}"
            ),
            1 => format!(
                "Mozilla/5.0 (Windows NT 10.0; {tail}; rv:121.0) Gecko/20100101 Firefox/121.{minor}"
            ),
            2 => format!("curl/8.{minor} {tail}"),
            _ => format!("{tail}/{minor}"),
        }
    }
}

impl Given {
    fn random(dice: &mut Dice<'_>, at: usize, nonce: &str) -> Self {
        let places = ["a0", "a1", "a2", "a3", "a4", "a5"];
        match dice.roll(8) {
            0 => Self::Number(i64::try_from(dice.roll(9)).expect("small") - 2),
            1 => Self::Float(0.25),
            2 => Self::Truth(dice.coin()),
            3 => Self::Text("basic".to_owned()),
            4 => Self::Text(format!("{} \u{202e}\\é\u{1b}", marker(places[at], nonce))),
            _ => Self::Text(marker(places[at], nonce)),
        }
    }
}

impl Outcome {
    fn random(dice: &mut Dice<'_>, nonce: &str) -> Self {
        Self {
            ending: dice.pick(&ENDINGS),
            status: dice.pick(&STATUSES),
            code: (dice.roll(3) == 2).then(|| format!("upload.{}", marker("ec", nonce))),
            reply: dice.roll(256) * 9,
            measured: dice.coin(),
            grpc: dice.pick(&[None, Some(0), Some(5)]),
        }
    }
}

/// A response's body that ends as the exchange says.
pub struct Reply {
    frames: VecDeque<Bytes>,
    ending: Ending,
    trailers: Option<HeaderMap>,
    secret: String,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match self.ending {
            Ending::Complete => {
                Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Ending::CutBody => Poll::Pending,
            Ending::BodyError => Poll::Ready(Some(Err(Failure::deep(&self.secret)))),
            Ending::PanicInBody => resume_unwind(Box::new(Planned(self.secret.clone()))),
            _ => Poll::Ready(None),
        }
    }
}

/// An error that quotes its marker, three causes deep.
#[derive(Debug)]
pub struct Failure {
    text: String,
    cause: Option<Box<Failure>>,
}

impl Failure {
    pub fn deep(secret: &str) -> Self {
        let one = |cause| Self { text: format!("no such user: {secret}@example.com"), cause };
        one(Some(Box::new(one(Some(Box::new(one(None)))))))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
