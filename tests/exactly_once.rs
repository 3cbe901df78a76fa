//! Every exchange gives exactly one record in each log, whatever ends it.
//!
//! Each row of the table is played over real sockets, once in HTTP/1 and once in HTTP/2, against
//! hyper's own servers. A row passes when one record is there after the connection and the
//! runtime are gone, with the right `error.type`, level, status, gRPC status and number of bytes,
//! and when the server left the body where the table says that it does.

#![allow(
    clippy::indexing_slicing,
    clippy::missing_const_for_fn,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "exactly_once/client1.rs"]
mod client1;
#[path = "exactly_once/client2.rs"]
mod client2;
#[path = "exactly_once/connections.rs"]
mod connections;
#[path = "exactly_once/exchange.rs"]
mod exchange;
#[path = "exactly_once/service.rs"]
mod service;
mod support;

use exchange::{Ask, Client, Http, Left, Row, broken, complete, headless, row};
use service::{Answer, Outer, Step, answer, frames, stream, whole};

/// More than all socket buffers between server and client hold.
const ENDLESS: usize = 4096;
const FRAME: usize = 16 * 1024;
const ENDLESS_BYTES: u64 = 4096 * 16 * 1024;

macro_rules! rows {
    ($table:ident: $($name:ident: $row:expr;)*) => {
        mod $table {
            mod over_http_1 {
                use super::super::*;
                $(#[test] fn $name() { play($row, Http::One); })*
            }
            mod over_http_2 {
                use super::super::*;
                $(#[test] fn $name() { play($row, Http::Two); })*
            }
        }
    };
}

fn play(row: impl FnOnce(Http) -> Row, http: Http) {
    row(http).play(http);
}

// The table of endings; where the protocols differ, so does the row.
rows! {
    endings:

    a_whole_body_is_complete: |_| row(answer(200, whole(5)), complete(200, 5)).left(Left::Midway);

    an_empty_body_is_complete: |_| row(answer(200, whole(0)), complete(200, 0)).left(Left::Unpolled);

    a_stream_without_length_is_complete_at_its_end: |_| {
        row(answer(200, frames(3, 5)), complete(200, 15)).left(Left::Ended)
    };

    a_stream_that_says_when_it_ends_is_complete_with_its_last_frame: |_| {
        row(answer(200, frames(2, 5).that_ends()), complete(200, 10)).left(Left::Midway)
    };

    an_empty_stream_is_complete: |_| row(answer(200, stream([])), complete(200, 0)).left(Left::Ended);

    a_stream_with_content_length_is_complete_with_its_last_byte: |http| {
        let head = answer(200, frames(2, 5)).with("content-length", "10");
        row(head, complete(200, 10)).left(after_last_byte(http))
    };

    a_stream_that_knows_its_length_is_complete_with_its_last_byte: |http| {
        row(answer(200, frames(2, 5).of_length(10)), complete(200, 10)).left(after_last_byte(http))
    };

    a_body_shorter_than_content_length_is_truncated: |_| {
        let head = answer(200, frames(1, 5)).with("content-length", "10");
        row(head, broken("truncated", 200, 5)).left(Left::Ended)
    };

    a_body_shorter_than_it_said_itself_is_truncated: |_| {
        row(answer(200, frames(1, 5).of_length(10)), broken("truncated", 200, 5)).left(Left::Ended)
    };

    an_empty_body_under_a_content_length_is_what_hyper_makes_of_it: |http| {
        let head = answer(200, whole(0)).with("content-length", "10");
        // HTTP/1 corrects the length to 0; HTTP/2 breaks what it promised.
        let corrected = http == Http::One;
        row(head, if corrected { complete(200, 0) } else { broken("truncated", 200, 0) })
    };

    trailers_do_not_make_a_short_body_whole: |_| {
        let body = stream([Step::Data(5), Step::Trailers("grpc-status", "0")]);
        row(grpc(body).with("content-length", "10"), broken("truncated", 200, 5).grpc(0))
    };

    an_answer_to_head_is_complete_with_its_head: |http| {
        bodiless(http, row(answer(200, whole(5)), complete(200, polled(http, 5))).ask(Ask::Head))
    };

    a_stream_in_answer_to_head_is_complete: |http| {
        let head = answer(200, frames(2, 5)).with("content-length", "10");
        let record = complete(200, polled(http, 10));
        let row = row(head, record).ask(Ask::Head);
        row.left(if http == Http::One { Left::Unpolled } else { Left::Ended })
    };

    an_answer_to_head_without_its_body_is_complete: |_| {
        let head = answer(200, whole(0)).with("content-length", "1000");
        row(head, complete(200, 0)).ask(Ask::Head).left(Left::Unpolled)
    };

    a_204_with_a_body_is_complete: |http| {
        bodiless(http, row(answer(204, whole(5)), complete(204, polled(http, 5))))
    };

    a_204_is_complete: |_| row(answer(204, whole(0)), complete(204, 0)).left(Left::Unpolled);

    a_304_with_a_body_is_complete: |http| {
        bodiless(http, row(answer(304, whole(5)), complete(304, polled(http, 5))))
    };

    a_304_that_names_a_length_is_complete: |_| {
        let head = answer(304, whole(0)).with("content-length", "1000");
        row(head, complete(304, 0)).left(Left::Unpolled)
    };

    trailers_complete_a_body_and_give_the_grpc_status: |_| {
        let body = stream([Step::Data(5), Step::Trailers("grpc-status", "5")]);
        row(grpc(body), complete(200, 5).grpc(5)).left(Left::Midway)
    };

    trailers_without_data_complete_a_body: |_| {
        row(grpc(stream([Step::Trailers("grpc-status", "0")])), complete(200, 0).grpc(0))
    };

    a_grpc_status_in_the_head_is_one_too: |_| {
        row(grpc(whole(0)).with("grpc-status", "14"), complete(200, 0).grpc(14))
    };

    the_grpc_status_of_the_trailers_is_the_later_one: |_| {
        let body = stream([Step::Data(5), Step::Trailers("grpc-status", "13")]);
        row(grpc(body).with("grpc-status", "0"), complete(200, 5).grpc(13))
    };

    trailers_of_another_type_have_no_grpc_status: |_| {
        let body = stream([Step::Data(5), Step::Trailers("grpc-status", "5")]);
        row(answer(200, body).with("trailer", "grpc-status"), complete(200, 5)).left(Left::Midway)
    };

    a_client_gone_before_the_head_aborts: |_| {
        unanswered(Answer::Never, "aborted").client(Client::LeavesHead)
    };

    a_client_that_resets_before_the_head_aborts: |_| {
        unanswered(Answer::Never, "aborted").client(Client::ResetsHead)
    };

    a_client_gone_in_the_body_aborts_with_status: |_| endless().client(Client::LeavesBody);

    a_client_that_resets_in_the_body_aborts_with_status: |_| endless().client(Client::ResetsBody);

    a_client_gone_while_the_body_waits_aborts_with_status: |_| {
        let body = stream([Step::Data(5), Step::Forever]);
        row(answer(200, body), broken("aborted", 200, 5)).client(Client::LeavesBody)
    };

    a_client_gone_before_all_of_content_length_aborts: |_| {
        let body = stream([Step::Data(5), Step::Forever]);
        let head = answer(200, body).with("content-length", "10");
        row(head, broken("aborted", 200, 5)).client(Client::ResetsBody)
    };

    a_client_gone_from_a_500_is_aborted_and_still_a_failure: |_| {
        let body = stream([Step::Data(5), Step::Forever]);
        row(answer(500, body), broken("aborted", 500, 5)).client(Client::LeavesBody)
    };

    a_panic_in_call_is_a_panic: |_| unanswered(Answer::PanicInCall, "panic");

    a_panic_in_the_handler_is_a_panic: |_| unanswered(Answer::PanicInFuture, "panic");

    a_panic_in_the_body_is_a_panic: |_| {
        let body = stream([Step::Data(5), Step::Pause(5), Step::Panic]);
        row(answer(200, body), broken("panic", 200, 5))
    };

    a_panic_at_the_first_poll_of_the_body_is_a_panic: |_| {
        row(answer(200, stream([Step::Panic])), broken("panic", 200, 0))
    };

    a_swallowed_panic_in_call_is_a_panic: |_| {
        unanswered(Answer::PanicInCall, "panic").outer(Outer::CatchesPanics)
    };

    a_swallowed_panic_in_the_handler_is_a_panic: |_| {
        unanswered(Answer::PanicInFuture, "panic").outer(Outer::CatchesPanics)
    };

    a_swallowed_panic_in_the_body_is_a_panic: |_| {
        let body = stream([Step::Data(5), Step::Pause(5), Step::Panic]);
        row(answer(200, body), broken("panic", 200, 5)).outer(Outer::CatchesPanics)
    };

    a_service_error_is_one: |_| unanswered(Answer::Fail, "service_error");

    a_body_error_is_one: |_| {
        let body = stream([Step::Data(5), Step::Data(5), Step::Error]);
        row(answer(200, body), broken("body_error", 200, 10))
    };

    a_body_error_before_any_byte_is_one: |_| {
        row(answer(200, stream([Step::Error])), broken("body_error", 200, 0))
    };

    an_upgrade_is_complete_with_its_head: |http| {
        let (ask, status) = if http == Http::One { (Ask::Upgrade, 101) } else { (Ask::Connect, 200) };
        tunnel(ask, status)
    };

    a_connect_is_complete_with_its_head: |_| tunnel(Ask::Connect, 200);

    a_refused_connect_is_an_answer_as_any_other: |_| {
        row(answer(403, whole(5)), complete(403, 5)).ask(Ask::Connect).client(Client::Reads)
    };
}

// What stands around the layer, and what the application says.
rows! {
    surroundings:

    a_timeout_outside_aborts: |_| unanswered(Answer::Never, "aborted").outer(Outer::Timeout(30));

    a_timeout_that_is_not_reached_changes_nothing: |_| {
        row(answer(200, whole(5)).after(5), complete(200, 5)).outer(Outer::Timeout(30_000))
    };

    a_future_dropped_before_its_first_poll_aborts: |_| {
        unanswered(Answer::Never, "aborted").outer(Outer::DropsFuture)
    };

    a_body_dropped_outside_before_any_poll_aborts: |_| {
        let row = row(answer(200, whole(5)), broken("aborted", 200, 0));
        row.outer(Outer::DropsBody).left(Left::Unpolled)
    };

    a_stream_dropped_outside_before_any_poll_aborts: |_| {
        let row = row(answer(200, frames(2, 5)), broken("aborted", 200, 0));
        row.outer(Outer::DropsBody).left(Left::Unpolled)
    };

    an_empty_body_dropped_outside_is_complete: |_| {
        row(answer(200, whole(0)), complete(200, 0)).outer(Outer::DropsBody)
    };

    a_mebibyte_in_many_frames_is_counted_to_the_byte: |_| {
        row(answer(200, frames(1024, 1024)), complete(200, 1 << 20)).left(Left::Ended)
    };

    a_mebibyte_in_one_frame_is_counted_to_the_byte: |_| {
        row(answer(200, whole(1 << 20)), complete(200, 1 << 20)).left(Left::Midway)
    };

    empty_frames_end_nothing: |_| {
        let steps = [0, 5, 0, 5, 0].map(Step::Data);
        row(answer(200, stream(steps)), complete(200, 10)).left(Left::Ended)
    };

    a_5xx_is_an_error_of_its_number: |_| row(answer(503, whole(5)), broken("503", 503, 5));

    a_4xx_is_no_error: |_| row(answer(404, whole(5)), complete(404, 5));

    the_application_can_name_its_errors: |_| {
        let head = answer(413, whole(5)).code("upload.too_large");
        row(head, broken("upload.too_large", 413, 5))
    };

    the_applications_name_comes_before_the_number: |_| {
        row(answer(500, whole(5)).code("db.down"), broken("db.down", 500, 5))
    };

    a_worse_ending_comes_before_the_applications_name: |_| {
        let head = answer(500, stream([Step::Data(5), Step::Error])).code("db.down");
        row(head, broken("body_error", 500, 5))
    };
}

/// HTTP/1 stops after the announced bytes; HTTP/2 asks for the end.
fn after_last_byte(http: Http) -> Left {
    if http == Http::One { Left::Midway } else { Left::Ended }
}

/// hyper's HTTP/2 hands on a body where there should be none, its HTTP/1 does not poll it.
fn bodiless(http: Http, row: Row) -> Row {
    row.left(if http == Http::One { Left::Unpolled } else { Left::Midway })
}

fn polled(http: Http, bytes: u64) -> u64 {
    if http == Http::One { 0 } else { bytes }
}

fn grpc(body: service::Script) -> service::Head {
    answer(200, body).with("content-type", "application/grpc").with("trailer", "grpc-status")
}

fn unanswered(answer: Answer, error: &'static str) -> Row {
    Row { answer, ..row(service::answer(200, whole(0)), headless(error)) }
}

fn endless() -> Row {
    let record = broken("aborted", 200, 0).part_of(ENDLESS_BYTES);
    row(answer(200, frames(ENDLESS, FRAME)), record).left(Left::Midway)
}

fn tunnel(ask: Ask, status: u16) -> Row {
    let record = complete(status, 0);
    let row = Row { answer: Answer::Tunnel(status), ..row(answer(200, whole(0)), record) };
    row.ask(ask).client(Client::Tunnels).left(Left::Unpolled)
}
