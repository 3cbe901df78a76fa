//! Guarantee: a record reaches the subscriber of its thread, whenever that was made, and whoever asked first.
//!
//! One test, because a process in which there ever were two subscribers shows nothing here.

use std::convert::Infallible;
use std::future::ready;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_privacy_log::{JsonLines, Options, Policy, PrivacyLogLayer};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

const POLICY: &str = r#"
policy = "late-1"
[log.access]
purpose = ["security"]
legal_basis = "contract"
retention = "30d"
[log.access.fields]
"http.request.method" = "keep"
"#;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn exchange(layer: &PrivacyLogLayer) {
    let hello =
        |_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    let answer = layer.layer(service_fn(hello)).oneshot(Request::new(()));
    drop(answer.now_or_never().unwrap().unwrap());
}

#[test]
fn a_subscriber_made_before_the_layer_and_entered_after_other_threads_hears_every_record() {
    let written = Written::default();
    let (lines, flush) = JsonLines::to_writer(written.clone(), Options::default()).unwrap();
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(lines));
    let layer = PrivacyLogLayer::new(&POLICY.parse::<Policy>().unwrap()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| exchange(&layer)).join().unwrap();
    });
    tracing::dispatcher::with_default(&subscriber, || exchange(&layer));
    flush.flush().unwrap();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
}
