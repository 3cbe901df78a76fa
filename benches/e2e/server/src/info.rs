//! A logging middleware as people write it: one `info!` with the same fields as the policy, reduced by hand.

#![expect(clippy::disallowed_methods, reason = "this is what people write instead")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::header::REFERER;
use axum::middleware::Next;
use axum::response::Response;

pub async fn log(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let referer = request.headers().get(REFERER).and_then(|value| value.to_str().ok());
    let referer = referer.map(origin).map(str::to_owned);
    let response = next.run(request).await;
    tracing::info!(
        client.address = %truncate(peer.ip()),
        http.request.method = %method,
        http.route = route.as_str(),
        http.response.status_code = response.status().as_u16(),
        http.request.header.referer = referer.as_deref(),
        http.server.request.duration = start.elapsed().as_secs_f64(),
    );
    response
}

/// Everything before the path.
fn origin(referer: &str) -> &str {
    let host = referer.find("://").map_or(0, |at| at + 3);
    let end = referer[host..].find(['/', '?', '#']).map_or(referer.len(), |at| host + at);
    &referer[..end]
}

/// A /24, or a /48.
fn truncate(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (!0 << 8))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 80))),
    }
}
