//! An HTTP/1.1 client of raw bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exchange::{Ask, Client, Peer, until};

pub async fn exchange(peer: Peer<'_>, ask: Ask, client: Client) {
    let mut stream = connect(peer.at).await;
    stream.write_all(request(ask).as_bytes()).await.expect("the request is sent");
    match client {
        Client::Reads => drop(rest(&mut stream).await),
        Client::LeavesBody => body(&mut stream).await,
        Client::LeavesHead => called(peer).await,
        Client::HalfCloses => {
            called(peer).await;
            stream.shutdown().await.expect("half of it is closed");
            rest(&mut stream).await;
        }
        Client::HalfClosesBody => {
            body(&mut stream).await;
            stream.shutdown().await.expect("half of it is closed");
            rest(&mut stream).await;
        }
        Client::ResetsHead => {
            called(peer).await;
            stream.set_zero_linger().expect("a reset instead of an end");
        }
        Client::ResetsBody => {
            body(&mut stream).await;
            stream.set_zero_linger().expect("a reset instead of an end");
        }
        Client::Tunnels => tunnel(peer, &mut stream).await,
    }
}

pub async fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).await.expect("the server listens");
    stream.set_nodelay(true).expect("small segments go at once");
    stream
}

fn request(ask: Ask) -> String {
    let line = match ask {
        Ask::Get | Ask::Upgrade => "GET / HTTP/1.1",
        Ask::Head => "HEAD / HTTP/1.1",
        Ask::Upload => "POST / HTTP/1.1",
        Ask::Connect | Ask::ExtendedConnect => "CONNECT example.com:443 HTTP/1.1",
    };
    let rest = match ask {
        Ask::Get | Ask::Head => "te: trailers\r\nconnection: close\r\n\r\n",
        Ask::Upgrade => "connection: upgrade\r\nupgrade: echo\r\n\r\n",
        Ask::Upload => "content-length: 100\r\n\r\n0123456789",
        Ask::Connect | Ask::ExtendedConnect => "connection: close\r\n\r\n",
    };
    format!("{line}\r\nhost: example.com\r\n{rest}")
}

/// All that comes until the server closes or breaks off.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).expect("a response of ASCII")
}

/// The service has the request.
async fn called(peer: Peer<'_>) {
    until("the service is called", || peer.seen.calls() > 0).await;
}

/// The head and something of the body.
async fn body(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let begun = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains('x'))
    };
    while !begun(&bytes) {
        let more = stream.read_buf(&mut bytes).await.expect("the response is sent");
        assert!(more > 0, "the body does not end here");
    }
}

async fn tunnel(peer: Peer<'_>, stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let more = stream.read_buf(&mut bytes).await.expect("the head is sent");
        assert!(more > 0, "the tunnel is open");
    }
    stream.write_all(b"ping").await.expect("the tunnel takes bytes");
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.expect("the tunnel gives them back");
    assert_eq!(&back, b"ping");
    assert_eq!(peer.written.records().len(), 1, "the record does not wait for the tunnel's end");
}
