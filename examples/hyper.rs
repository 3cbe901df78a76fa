//! The layer around a hyper service, without axum: the application names the peer and the route.
//!
//! `cargo run --example hyper`, then `curl http://127.0.0.1:3000/users/42`

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_privacy_log::{JsonLines, Options, PeerAddr, Policy, PrivacyLogLayer, Route};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (lines, _flush) = JsonLines::to_writer(std::io::stdout(), Options::default())?;
    tracing_subscriber::registry().with(lines).init();
    let policy = Policy::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/imgs2.toml"))?;
    let layer = PrivacyLogLayer::new(&policy)?;

    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 3000))).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        // Outside of the layer, so that the layer finds both in the request's extensions.
        let mut logged = layer.layer(service_fn(answer));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            if let Some(route) = route(request.uri().path()) {
                request.extensions_mut().insert(route);
            }
            tower::Service::call(&mut logged, request)
        });
        tokio::spawn(async move {
            let service = TowerToHyperService::new(service);
            // How a connection ends is in the record of its exchange.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// What a router would know.
fn route(path: &str) -> Option<Route> {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", ""] => Some(Route::new("/")),
        ["", "users", _] => Some(Route::new("/users/{id}")),
        _ => None,
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let known = route(request.uri().path()).is_some();
    let (status, text) =
        if known { (StatusCode::OK, "hello\n") } else { (StatusCode::NOT_FOUND, "nothing here\n") };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
