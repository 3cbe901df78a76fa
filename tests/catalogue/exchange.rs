//! An exchange told in JSON, and the service that plays it without a socket.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use serde::Deserialize;
use tower::{Layer, ServiceExt, service_fn};
use tower_privacy_log::{CountBodyLayer, ErrorCode, PeerAddr, PrivacyLogLayer, Route};

/// What is not told is an HTTP/1.1 `GET /` without headers that is answered with an empty 200.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    method: Option<String>,
    target: Option<String>,
    version: Option<String>,
    headers: BTreeMap<String, String>,
    peer: Option<String>,
    route: Option<String>,
    /// What a server that knows its scheme puts into the extensions.
    scheme: Option<String>,
    body: String,
    /// Whether `CountBodyLayer` wraps the request's body.
    counted: bool,
    /// Whether the service leaves the request's body alone.
    unread: bool,
    response: Reply,
    ends: Ends,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reply {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: String,
    trailers: Option<BTreeMap<String, String>>,
    code: Option<String>,
    route: Option<String>,
    /// Milliseconds before the last frame.
    wait: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Ends {
    #[default]
    Complete,
    /// The server drops the body without asking for it, as for `HEAD` and 204.
    Unpolled,
    Aborted,
    AbortedInBody,
    BodyError,
    ServiceError,
    Panic,
}

type Answer = Response<StreamBody<stream::BoxStream<'static, io::Result<Frame<Bytes>>>>>;

impl Exchange {
    pub async fn play(&self, layer: &PrivacyLogLayer) {
        let request = self.request();
        if self.counted {
            let inner = CountBodyLayer.layer(service_fn(|request| self.answer(request)));
            self.finish(layer.layer(inner).oneshot(request)).await;
        } else {
            let inner = service_fn(|request| self.answer(request));
            self.finish(layer.layer(inner).oneshot(request)).await;
        }
    }

    async fn finish<B: Body>(&self, answer: impl Future<Output = Result<Response<B>, io::Error>>) {
        if self.ends == Ends::Aborted {
            let mut answer = pin!(answer);
            assert!(answer.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
            return;
        }
        let Ok(Ok(response)) = AssertUnwindSafe(answer).catch_unwind().await else { return };
        let mut body = pin!(response.into_body());
        match self.ends {
            Ends::Unpolled => {}
            Ends::AbortedInBody => drop(body.frame().await),
            _ => while let Some(Ok(_)) = body.frame().await {},
        }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(self.method.as_deref().unwrap_or("GET"))
            .uri(self.target.as_deref().unwrap_or("/"))
            .version(version(self.version.as_deref().unwrap_or("1.1")))
            .body(Full::new(Bytes::from(self.body.clone())))
            .expect("a request");
        request.headers_mut().extend(headers(&self.headers));
        let extensions = request.extensions_mut();
        if let Some(peer) = &self.peer {
            extensions.insert(PeerAddr(peer.parse().expect("a peer")));
        }
        if let Some(route) = &self.route {
            extensions.insert(Route::new(route.as_str()));
        }
        if let Some(scheme) = &self.scheme {
            extensions.insert(scheme.parse::<Scheme>().expect("a scheme"));
        }
        request
    }

    async fn answer<B: Body>(&self, request: Request<B>) -> io::Result<Answer> {
        match self.ends {
            Ends::Aborted => std::future::pending().await,
            Ends::ServiceError => return Err(io::Error::other("who@example.com")),
            Ends::Panic => resume_unwind(Box::new("who@example.com")),
            _ => {}
        }
        if !self.unread {
            let _ = request.into_body().collect().await;
        }
        let reply = &self.response;
        let body = StreamBody::new(self.frames().boxed());
        let mut response = Response::new(body);
        *response.status_mut() = reply.status.unwrap_or(200).try_into().expect("a status");
        response.headers_mut().extend(headers(&reply.headers));
        if let Some(code) = &reply.code {
            response.extensions_mut().insert(ErrorCode::new(code).expect("a code"));
        }
        if let Some(route) = &reply.route {
            response.extensions_mut().insert(Route::new(route.as_str()));
        }
        Ok(response)
    }

    fn frames(&self) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send + use<> {
        let reply = &self.response;
        let mut frames = Vec::new();
        if !reply.body.is_empty() {
            frames.push(Ok(Frame::data(Bytes::from(reply.body.clone()))));
        }
        if self.ends == Ends::BodyError {
            frames.push(Err(io::Error::other("who@example.com")));
        }
        let trailers = reply.trailers.as_ref();
        frames.extend(trailers.map(|trailers| Ok(Frame::trailers(headers(trailers)))));
        let wait = reply.wait;
        stream::iter(frames).then(move |frame| async move {
            if wait > 0 {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            frame
        })
    }
}

fn version(text: &str) -> Version {
    match text {
        "0.9" => Version::HTTP_09,
        "1.0" => Version::HTTP_10,
        "1.1" => Version::HTTP_11,
        "2" => Version::HTTP_2,
        "3" => Version::HTTP_3,
        _ => panic!("no version: {text}"),
    }
}

fn headers(told: &BTreeMap<String, String>) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        let name: HeaderName = name.parse().expect("a header's name");
        (name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"))
    };
    told.iter().map(header).collect()
}

/// The names that the metadata of every event has listed.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<Vec<Vec<&'static str>>>>);

impl Names {
    pub fn push(&self, names: Vec<&'static str>) {
        self.0.lock().unwrap().push(names);
    }

    pub fn take(&self) -> Vec<Vec<&'static str>> {
        let names = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(!names.is_empty(), "no event came");
        names
    }
}
