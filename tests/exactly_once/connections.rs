//! What a table of single exchanges cannot say: several on one connection, half-closed and older
//! connections, uploads, several logs, time, shutdown, and nobody listening.

use std::convert::Infallible;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_privacy_log::{LogFields, Policy, PrivacyLogLayer};

use crate::exchange::{
    Ask, Client, Expected, Http, OBSERVED, Peer, Row, Server, broken, complete, headless,
    listening, number, observed, on_this_thread, row, text, until,
};
use crate::service::{Answer, Head, Outer, Seen, Step, answer, frames, stream, whole};
use crate::support::{Written, policy};
use crate::{client1, client2};

/// What was written when `client` was done with these answers and all was dropped.
fn played<F: AsyncFnOnce(Peer<'_>)>(http: Http, answers: Vec<Answer>, client: F) -> Vec<Value> {
    played_with(http, answers, &observed(), false, client)
}

fn played_with<F: AsyncFnOnce(Peer<'_>)>(
    http: Http,
    answers: Vec<Answer>,
    policy: &Policy,
    half_close: bool,
    client: F,
) -> Vec<Value> {
    let (written, _listening) = listening();
    let seen = Seen::default();
    on_this_thread(async {
        let server = Server::with(http, Outer::Nothing, answers, &seen, policy, half_close).await;
        client(Peer { at: server.at, seen: &seen, written: &written }).await;
        server.closed().await;
    });
    written.records()
}

fn statuses(records: &[Value]) -> Vec<Option<i64>> {
    records.iter().map(|record| number(record, "http.response.status_code")).collect()
}

fn errors(records: &[Value]) -> Vec<Option<&str>> {
    records.iter().map(|record| record.get("error.type").map(text)).collect()
}

fn only(records: &[Value], expected: &Expected, handed: u64) {
    assert_eq!(records.len(), 1, "{records:#?}");
    expected.check(&records[0], handed);
}

fn head(head: Head) -> Answer {
    Answer::Head(head)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: example.com\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n";

async fn sent(peer: Peer<'_>, request: &str) -> tokio::net::TcpStream {
    let mut stream = client1::connect(peer.at).await;
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    stream
}

async fn recorded(written: &Written, count: usize) {
    until("the records are written", || written.records().len() >= count).await;
}

#[test]
fn two_requests_on_one_kept_connection_give_two_records() {
    let answers = vec![head(answer(200, whole(5))), head(answer(404, frames(2, 3)))];
    let records = played(Http::One, answers, async |peer| {
        let mut stream = sent(peer, GET).await;
        recorded(peer.written, 1).await;
        stream.write_all(LAST.as_bytes()).await.expect("the second request is sent");
        client1::rest(&mut stream).await;
    });
    assert_eq!(statuses(&records), [Some(200), Some(404)]);
    assert_eq!(errors(&records), [None, None]);
}

#[test]
fn an_idle_connection_that_closes_gives_no_more_records() {
    let records = played(Http::One, vec![head(answer(200, whole(5)))], async |peer| {
        let _stream = sent(peer, GET).await;
        recorded(peer.written, 1).await;
    });
    only(&records, &complete(200, 5), 5);
}

#[test]
fn pipelined_requests_give_a_record_each() {
    let answers = vec![
        head(answer(200, frames(2, 5))),
        head(answer(204, whole(0))),
        head(answer(500, whole(1))),
    ];
    let records = played(Http::One, answers, async |peer| {
        let mut stream = sent(peer, &[GET, GET, LAST].concat()).await;
        client1::rest(&mut stream).await;
    });
    assert_eq!(statuses(&records), [Some(200), Some(204), Some(500)]);
    assert_eq!(errors(&records), [None, None, Some("500")]);
}

#[test]
fn a_pipelined_request_that_the_service_never_saw_has_no_record() {
    let records =
        played(Http::One, vec![Answer::Fail, head(answer(200, whole(5)))], async |peer| {
            let mut stream = sent(peer, &[GET, LAST].concat()).await;
            client1::rest(&mut stream).await;
            assert_eq!(peer.seen.calls(), 1);
        });
    only(&records, &headless("service_error"), 0);
}

#[test]
fn bytes_that_are_no_request_give_no_record() {
    let records = played(Http::One, vec![head(answer(200, whole(5)))], async |peer| {
        let mut stream = sent(peer, "this is no request\r\n\r\n").await;
        assert!(client1::rest(&mut stream).await.starts_with("HTTP/1.1 400"));
    });
    assert_eq!(records, [] as [Value; 0]);
}

#[test]
fn http_1_0_is_complete_when_the_server_closes() {
    let records = played(Http::One, vec![head(answer(200, frames(2, 5)))], async |peer| {
        let mut stream = sent(peer, "GET / HTTP/1.0\r\n\r\n").await;
        assert!(client1::rest(&mut stream).await.ends_with("\r\n\r\nxxxxxxxxxx"));
    });
    only(&records, &complete(200, 10), 10);
    assert_eq!(text(&records[0]["network.protocol.version"]), "1.0");
}

#[test]
fn http_1_0_gets_no_trailers_and_is_complete() {
    let body = stream([Step::Data(5), Step::Trailers("grpc-status", "5")]);
    let records = played(Http::One, vec![head(answer(200, body))], async |peer| {
        let mut stream = sent(peer, "GET / HTTP/1.0\r\n\r\n").await;
        client1::rest(&mut stream).await;
    });
    only(&records, &complete(200, 5), 5);
}

#[test]
fn a_client_half_closed_before_the_head_aborts() {
    let never = crate::unanswered(Answer::Never, "aborted");
    never.client(Client::HalfCloses).play(Http::One);
}

#[test]
fn a_client_half_closed_in_the_body_aborts_with_status() {
    let body = stream([Step::Data(5), Step::Forever]);
    let aborted = row(answer(200, body), broken("aborted", 200, 5));
    aborted.client(Client::HalfClosesBody).play(Http::One);
}

#[test]
fn a_server_that_allows_half_closed_clients_completes_their_exchange() {
    let answers = vec![head(answer(200, frames(2, 5)).after(50))];
    let records = played_with(Http::One, answers, &observed(), true, async |peer| {
        client1::exchange(peer, Ask::Get, Client::HalfCloses).await;
    });
    only(&records, &complete(200, 10), 10);
}

#[test]
fn a_body_longer_than_content_length_is_complete() {
    let answers = vec![head(answer(200, frames(1, 15)).with("content-length", "10"))];
    let records = played(Http::One, answers, async |peer| {
        let mut stream = sent(peer, LAST).await;
        assert!(client1::rest(&mut stream).await.ends_with("\r\n\r\nxxxxxxxxxx"));
    });
    only(&records, &complete(200, 15), 15);
}

#[test]
fn a_service_that_fails_because_its_client_is_gone_has_failed() {
    for http in [Http::One, Http::Two] {
        let fails = Answer::Needs(answer(200, whole(5)));
        let row = crate::unanswered(fails, "service_error");
        row.ask(Ask::Upload).client(Client::LeavesHead).play(http);
    }
}

/// hyper's HTTP/1 takes the answer for a client that is gone, its HTTP/2 does not.
#[test]
fn an_answer_to_a_client_that_is_gone_is_what_the_server_took_of_it() {
    let replies = |expected| Row {
        answer: Answer::Reads(answer(400, whole(5))),
        ..row(answer(400, whole(5)), expected).ask(Ask::Upload).client(Client::LeavesHead)
    };
    replies(complete(400, 5)).play(Http::One);
    replies(broken("aborted", 400, 0)).play(Http::Two);
}

#[test]
fn an_answer_before_the_upload_has_ended_is_complete() {
    let records = played(Http::One, vec![head(answer(413, whole(5)))], async |peer| {
        client1::exchange(peer, Ask::Upload, Client::Reads).await;
    });
    only(&records, &complete(413, 5), 5);
    row(answer(413, whole(5)), complete(413, 5)).ask(Ask::Upload).play(Http::Two);
}

#[test]
fn an_extended_connect_is_complete_with_its_head() {
    crate::tunnel(Ask::ExtendedConnect, 200).play(Http::Two);
}

#[test]
fn a_stream_that_is_reset_does_not_touch_its_neighbours() {
    let waits = stream([Step::Data(5), Step::Forever]);
    let answers = vec![head(answer(200, waits)), head(answer(201, whole(7)))];
    let records = played(Http::Two, answers, async |peer| {
        let mut connection = client2::connect(peer.at).await;
        let (first, mut request) = connection.send(Ask::Get).await;
        let body = client2::body(first).await;
        let (second, _) = connection.send(Ask::Get).await;
        assert_eq!(client2::rest(second).await, Some((201, 7)));
        recorded(peer.written, 1).await;
        request.send_reset(h2::Reason::CANCEL);
        recorded(peer.written, 2).await;
        drop((body, connection));
    });
    assert_eq!(statuses(&records), [Some(201), Some(200)]);
    assert_eq!(errors(&records), [None, Some("aborted")]);
}

#[test]
fn a_panic_in_call_takes_the_connection_and_every_exchange_on_it_has_a_record() {
    let records = played(Http::Two, vec![Answer::Never, Answer::PanicInCall], async |peer| {
        let mut connection = client2::connect(peer.at).await;
        let (first, _request) = connection.send(Ask::Get).await;
        until("the first is at work", || peer.seen.calls() == 1).await;
        let (second, _) = connection.send(Ask::Get).await;
        assert_eq!(client2::rest(second).await, None);
        assert_eq!(client2::rest(first).await, None);
        recorded(peer.written, 2).await;
    });
    assert_eq!(errors(&records), [Some("panic"), Some("aborted")]);
}

#[test]
fn a_hundred_exchanges_on_one_connection_give_a_hundred_records() {
    // h2's client takes many small frames for an attack.
    let answers = vec![head(answer(200, frames(3, 500)).after(5))];
    let records = played(Http::Two, answers, async |peer| {
        let mut connection = client2::connect(peer.at).await;
        let mut sent = Vec::new();
        for _ in 0..100 {
            sent.push(connection.send(Ask::Get).await);
        }
        for (response, _) in sent {
            assert_eq!(client2::rest(response).await, Some((200, 1500)));
        }
    });
    assert_eq!(records.len(), 100);
    for record in &records {
        complete(200, 1500).check(record, 1500);
    }
}

#[test]
fn each_of_two_logs_has_one_record_of_every_ending() {
    let wanted: [(Answer, Expected); 5] = [
        (head(answer(200, frames(2, 5))), complete(200, 10)),
        (Answer::Fail, headless("service_error")),
        (Answer::PanicInCall, headless("panic")),
        (Answer::PanicInFuture, headless("panic")),
        (head(answer(200, stream([Step::Data(10), Step::Error]))), broken("body_error", 200, 10)),
    ];
    for http in [Http::One, Http::Two] {
        for (answer, expected) in wanted.clone() {
            let records =
                played_with(http, vec![answer], &two_logs(), false, async |peer| match http {
                    Http::One => client1::exchange(peer, Ask::Get, Client::Reads).await,
                    Http::Two => client2::exchange(peer, Ask::Get, Client::Reads).await,
                });
            let logs: Vec<&str> = records.iter().map(|record| text(&record["log"])).collect();
            assert_eq!(logs, ["access", "errors"]);
            for record in &records {
                expected.check(record, 10);
            }
        }
    }
}

fn two_logs() -> Policy {
    let log = |name: &str| {
        format!(
            "[log.{name}]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\n\
             retention = \"30d\"\n[log.{name}.fields]\n{OBSERVED}\n"
        )
    };
    let text = format!("policy = \"two-1\"\n{}{}", log("access"), log("errors"));
    text.parse().expect("the test's policy is valid")
}

fn seconds(record: &Value) -> f64 {
    record["http.server.request.duration"].as_f64().expect("seconds")
}

#[test]
fn the_duration_counts_until_the_last_body_byte() {
    let body = stream([Step::Data(5), Step::Pause(150), Step::Data(5)]);
    for http in [Http::One, Http::Two] {
        let answers = vec![head(answer(200, body.clone()).after(150))];
        let records = played(http, answers, async |peer| match http {
            Http::One => client1::exchange(peer, Ask::Get, Client::Reads).await,
            Http::Two => client2::exchange(peer, Ask::Get, Client::Reads).await,
        });
        only(&records, &complete(200, 10), 10);
        assert!((0.3..20.0).contains(&seconds(&records[0])), "{records:?}");
    }
}

#[test]
fn the_duration_does_not_count_what_follows_the_last_body_byte() {
    let body = frames(2, 5).of_length(10);
    let open = Duration::from_secs(2);
    let records = played(Http::One, vec![head(answer(200, body))], async |peer| {
        let _kept = sent(peer, GET).await;
        recorded(peer.written, 1).await;
        sleep(open).await;
    });
    only(&records, &complete(200, 10), 10);
    assert!(seconds(&records[0]) < open.as_secs_f64(), "{records:?}");
}

#[test]
fn the_duration_of_a_tunnel_is_that_of_its_head() {
    let records = played(Http::Two, vec![Answer::Tunnel(200)], async |peer| {
        let mut connection = client2::connect(peer.at).await;
        let (response, _tunnel) = connection.send(Ask::Connect).await;
        let _body = response.await.expect("the tunnel is open").into_body();
        recorded(peer.written, 1).await;
        sleep(Duration::from_secs(2)).await;
    });
    only(&records, &complete(200, 0), 0);
    assert!(seconds(&records[0]) < 2.0, "{records:?}");
}

#[test]
fn exchanges_that_a_shutdown_cuts_off_are_aborted() {
    let waits = stream([Step::Data(5), Step::Forever]);
    for (answer, expected) in [
        (Answer::Never, headless("aborted")),
        (head(answer(200, waits)), broken("aborted", 200, 5)),
    ] {
        for http in [Http::One, Http::Two] {
            let (written, _listening) = listening();
            let seen = Seen::default();
            on_this_thread(async {
                let server = Server::start(http, Outer::Nothing, vec![answer.clone()], &seen).await;
                let begun = || seen.calls() == 1 && (expected.status.is_none() || seen.polls() > 1);
                match http {
                    Http::One => {
                        let mut stream = client1::connect(server.at).await;
                        stream.write_all(GET.as_bytes()).await.expect("the request is sent");
                        until("the exchange has begun", begun).await;
                        assert_eq!(written.records().len(), 0);
                    }
                    Http::Two => {
                        let mut connection = client2::connect(server.at).await;
                        let _sent = connection.send(Ask::Get).await;
                        until("the exchange has begun", begun).await;
                        assert_eq!(written.records().len(), 0);
                    }
                }
            });
            only(&written.records(), &expected, 5);
        }
    }
}

#[test]
fn without_a_subscriber_the_service_answers_and_nothing_is_kept_for_later() {
    for http in [Http::One, Http::Two] {
        let seen = Seen::default();
        on_this_thread(async {
            let answers = vec![head(answer(200, frames(2, 5)))];
            let server = Server::start(http, Outer::Nothing, answers, &seen).await;
            match http {
                Http::One => {
                    let mut stream = client1::connect(server.at).await;
                    stream.write_all(LAST.as_bytes()).await.expect("the request is sent");
                    let text = client1::rest(&mut stream).await;
                    assert!(text.starts_with("HTTP/1.1 200") && text.contains("xxxxx"), "{text}");
                }
                Http::Two => {
                    let mut connection = client2::connect(server.at).await;
                    let (response, _) = connection.send(Ask::Get).await;
                    assert_eq!(client2::rest(response).await, Some((200, 10)));
                }
            }
            server.closed().await;
        });
        let (written, _listening) = listening();
        assert_eq!((seen.handed(), seen.bodies_dropped()), (10, 1));
        assert_eq!(written.text(), "");
    }
}

/// A process of its own, since a subscriber of any thread counts as somebody who listens.
#[test]
fn while_nobody_listens_there_is_no_work() {
    if std::env::var_os("NOBODY_LISTENS").is_some() {
        return alone();
    }
    let this = "connections::while_nobody_listens_there_is_no_work";
    let mut alone = Command::new(std::env::current_exe().expect("the tests have a path"));
    let output = alone.args(["--exact", this]).env("NOBODY_LISTENS", "1").output();
    let output = output.expect("the tests can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The layer judges what handlers add only for a record.
fn alone() {
    let app = "[log.access.app_fields]\n\"generation.model\" = \"keep\"";
    let layer = PrivacyLogLayer::new(&policy(&[OBSERVED, app].concat())).expect("a layer");
    let exchange = || {
        let service = layer.layer(tower::service_fn(handler));
        on_this_thread(service.oneshot(Request::new(()))).expect("the service cannot fail");
    };
    exchange();
    assert_eq!(layer.dropped(), 0);
    let (written, _listening) = listening();
    exchange();
    assert_eq!((layer.dropped(), written.records().len()), (1, 1));
}

#[expect(clippy::disallowed_methods, reason = "a handler takes what the layer gave it")]
async fn handler(request: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
    request
        .extensions()
        .get::<LogFields>()
        .expect("the policy has app fields")
        .set("undeclared", 1);
    Ok(Response::default())
}
