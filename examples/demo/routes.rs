//! The demo's routes: each one ends an exchange in its own way.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tower_privacy_log::{Consent, ErrorCode, LogFields};

use crate::page;

/// What `/upload` takes.
const MOST_BYTES: usize = 64 << 20;

pub fn router() -> Router {
    Router::new()
        .route("/", get(page::home))
        .route("/users/{id}", get(user))
        .route("/fail", get(fail))
        .route("/panic", get(panic))
        .route("/stream", get(stream))
        .route("/upload", post(upload))
        .route("/generate", get(generate))
        .route("/consent", post(agree))
        .route("/health", get(|| async { "ok\n" }))
}

async fn user(Path(_): Path<String>) -> &'static str {
    "A user's page. Its path is in no log, only the route /users/{id}.\n"
}

/// An error as applications have them: its text is for nobody's log.
async fn fail() -> Response {
    let text = "could not charge the card 4111 1111 1111 1111 of Ada Lovelace \
                <ada@example.com>: token=s3cr3t refused at 203.0.113.7\n";
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

async fn panic() -> Response {
    panic!("session of ada@example.com from 203.0.113.7 has no token s3cr3t");
}

#[derive(Deserialize)]
#[serde(default)]
struct Chunks {
    chunks: u32,
    ms: u64,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { chunks: 5, ms: 200 }
    }
}

/// A chunked, slow body; at most ten thousand chunks, ten seconds apart.
async fn stream(Query(Chunks { chunks, ms }): Query<Chunks>) -> Body {
    let pause = Duration::from_millis(ms.min(10_000));
    let chunks = stream::iter(0..chunks.min(10_000)).then(move |chunk| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, Infallible>(Bytes::from(format!("chunk {chunk}\n")))
    });
    Body::from_stream(chunks)
}

async fn upload(request: Request) -> Response {
    let mut body = request.into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len(),
            Err(_) => return coded(StatusCode::BAD_REQUEST, "upload.broken"),
        }
        if bytes > MOST_BYTES {
            return coded(StatusCode::PAYLOAD_TOO_LARGE, "upload.too_large");
        }
    }
    format!("{bytes} bytes\n").into_response()
}

/// A response with the application's own code for `error.type`.
fn coded(status: StatusCode, code: &'static str) -> Response {
    let code = ErrorCode::new(code).expect("the code is well-formed");
    (status, axum::Extension(code)).into_response()
}

#[derive(Deserialize)]
struct Generate {
    model: Option<String>,
    user: Option<String>,
}

async fn generate(fields: LogFields, Query(wanted): Query<Generate>) -> &'static str {
    if let Some(model) = wanted.model {
        fields.set("generation.model", model);
    }
    fields.set("user.hash", wanted.user.as_deref().unwrap_or("ada"));
    fields.set("user.email", "ada@example.com");
    "Generated. The field user.email is undeclared, so it was dropped.\n"
}

/// Records consent in a cookie and goes back to the page.
async fn agree(headers: HeaderMap) -> impl IntoResponse {
    let cookie = if agreed(&headers) { "consent=no" } else { "consent=usage" };
    let cookie = format!("{cookie}; Path=/; SameSite=Lax; HttpOnly; Max-Age=3600");
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())])
}

pub fn agreed(headers: &HeaderMap) -> bool {
    cookies(headers).any(|cookie| cookie == "consent=usage")
}

pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values =
        headers.get_all(COOKIE).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    values.flat_map(|value| value.split("; "))
}

/// Tells the layer of the consent that the visitor gave before.
pub async fn consent(mut request: Request, next: Next) -> Response {
    if agreed(request.headers()) {
        request.extensions_mut().insert(Consent::to("usage"));
    }
    next.run(request).await
}
