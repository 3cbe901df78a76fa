//! An HTTP/2 client of frames.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use tokio::task::{JoinHandle, spawn_local};

use crate::client1;
use crate::exchange::{Ask, Client, Peer, until};

/// A connection that closes at once when it is dropped.
pub struct Connection {
    pub requests: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub async fn exchange(peer: Peer<'_>, ask: Ask, client: Client) {
    let mut connection = connect(peer.at).await;
    let (response, mut request) = connection.send(ask).await;
    match client {
        Client::Reads => drop(rest(response).await),
        Client::LeavesBody => drop(body(response).await),
        Client::LeavesHead => called(peer).await,
        Client::ResetsHead => {
            called(peer).await;
            request.send_reset(Reason::CANCEL);
            until("the record is written", || !peer.written.records().is_empty()).await;
        }
        Client::ResetsBody => {
            let _unread = body(response).await;
            request.send_reset(Reason::CANCEL);
            until("the record is written", || !peer.written.records().is_empty()).await;
        }
        Client::Tunnels => tunnel(peer, response, &mut request).await,
        Client::HalfCloses | Client::HalfClosesBody => {
            panic!("HTTP/2 has half-closed streams only, and every GET is one")
        }
    }
}

pub async fn connect(at: SocketAddr) -> Connection {
    let stream = client1::connect(at).await;
    let (requests, connection) = Builder::new().handshake(stream).await.expect("HTTP/2 is spoken");
    let driver = spawn_local(async {
        let _ = connection.await;
    });
    Connection { requests, driver }
}

impl Connection {
    pub async fn send(&mut self, ask: Ask) -> (ResponseFuture, SendStream<Bytes>) {
        self.requests = self.requests.clone().ready().await.expect("a stream is free");
        if ask == Ask::ExtendedConnect {
            let requests = &self.requests;
            until("SETTINGS are known", || requests.is_extended_connect_protocol_enabled()).await;
        }
        let stays_open = matches!(ask, Ask::Upload | Ask::Connect | Ask::ExtendedConnect);
        let sent = self.requests.send_request(request(ask), !stays_open);
        let (response, mut stream) = sent.expect("the request is sent");
        if ask == Ask::Upload {
            stream.send_data(Bytes::from_static(b"0123456789"), false).expect("data is sent");
        }
        (response, stream)
    }
}

fn request(ask: Ask) -> Request<()> {
    let request = Request::builder();
    let request = match ask {
        Ask::Get | Ask::Upgrade => request.method("GET").uri("http://example.com/"),
        Ask::Head => request.method("HEAD").uri("http://example.com/"),
        Ask::Upload => {
            request.method("POST").uri("http://example.com/").header("content-length", "100")
        }
        Ask::Connect => request.method("CONNECT").uri("example.com:443"),
        Ask::ExtendedConnect => {
            let protocol = h2::ext::Protocol::from_static("echo");
            request.method("CONNECT").uri("http://example.com/").extension(protocol)
        }
    };
    request.body(()).expect("the request is valid")
}

/// The whole body, or what comes before the server breaks off; `None` if there is no head.
pub async fn rest(response: ResponseFuture) -> Option<(u16, usize)> {
    let response = response.await.ok()?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(Ok(data)) = body.data().await {
        bytes += data.len();
        body.flow_control().release_capacity(data.len()).expect("the window opens again");
    }
    let _ = body.trailers().await;
    Some((status, bytes))
}

async fn called(peer: Peer<'_>) {
    until("the service is called", || peer.seen.calls() > 0).await;
}

/// The head and something of the body; the window stays closed.
pub async fn body(response: ResponseFuture) -> RecvStream {
    let mut body = response.await.expect("the head is sent").into_body();
    body.data().await.expect("a body").expect("data");
    body
}

async fn tunnel(peer: Peer<'_>, response: ResponseFuture, stream: &mut SendStream<Bytes>) {
    let mut back = response.await.expect("the head is sent").into_body();
    stream.send_data(Bytes::from_static(b"ping"), false).expect("the tunnel takes bytes");
    let bytes = back.data().await.expect("the tunnel is open").expect("the tunnel gives them back");
    assert_eq!(&bytes[..], b"ping");
    assert_eq!(peer.written.records().len(), 1, "the record does not wait for the tunnel's end");
}
