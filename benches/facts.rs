//! What can be told without valgrind, for the gate: heap allocations of an exchange, bytes that the layer keeps
//! for one in flight, and two ratios of times. One line of JSON each; `python3 benches/gate.py`.
//!
//! Times are only compared with times of the same run, taken in turn, and of each the shortest counts. The
//! shorter what is timed, the likelier it is that nobody else wanted the processor meanwhile.

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};
use support::scenario::{ALL, bare, json_lines_8, json_lines_pseudonym, json_lines_rig};
use support::{EIGHT, Rig, processor};
use tower::{Layer as _, Service, service_fn};
use tower_privacy_log::PrivacyLogLayer;

const ROUNDS: usize = 31;
const EXCHANGES: usize = 1000;

/// How often everything is made anew, since where it lies in memory matters too.
const PLACES: usize = 24;
const SHORT: usize = 200;

fn main() {
    for (name, rig) in ALL {
        fact("allocations", name, allocations(&mut *rig()));
    }
    let (future, body) = wrappers();
    fact("bytes", "future", future);
    fact("bytes", "body", body);
    fact("bytes", "record", record());
    fact("ratios", "pseudonym_per_sha256_block", pseudonym());
    fact("ratios", "two_threads_per_one", two_threads());
}

fn fact(kind: &str, name: &str, value: f64) {
    println!("{}", serde_json::json!({ "kind": kind, "name": name, "value": value }));
}

/// Of one exchange, on the request's thread.
fn allocations(rig: &mut dyn Rig) -> f64 {
    let _listening = tracing::dispatcher::set_default(rig.dispatch());
    rig.ready(EXCHANGES);
    rig.run();
    rig.ready(EXCHANGES);
    let counted = allocation_counter::measure(|| rig.run());
    float(counted.count_total) / float(EXCHANGES as u64)
}

/// How much larger the layer's future and body are than what they wrap.
fn wrappers() -> (f64, f64) {
    type Answer = Response<Full<Bytes>>;
    type Future = Ready<Result<Answer, Infallible>>;
    let inner = service_fn(|_: Request<()>| -> Future { ready(Ok(Response::default())) });
    fn sizes<S: Service<Request<()>, Response = Response<R>>, R>(_: &S) -> (u64, u64) {
        (size_of::<S::Future>() as u64, size_of::<R>() as u64)
    }
    let policy = support::text("", &[EIGHT]).parse().expect("the benchmark's policy is valid");
    let layer = PrivacyLogLayer::new(&policy).expect("keys in memory can be had");
    let (outer, inner) = (sizes(&layer.layer(inner)), sizes(&inner));
    (float(outer.0 - inner.0), float(outer.1 - inner.1))
}

/// The heap of a record whose exchange is in flight, when no record is there to be used again.
fn record() -> f64 {
    let rig = json_lines_8();
    let _listening = tracing::dispatcher::set_default(rig.dispatch());
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let policy = support::text("", &[EIGHT]).parse().expect("the benchmark's policy is valid");
    let mut service =
        PrivacyLogLayer::new(&policy).expect("keys in memory can be had").layer(inner);
    let mut flying = Vec::with_capacity(EXCHANGES);
    let counted = allocation_counter::measure(|| {
        flying.extend((0..EXCHANGES).map(|_| service.call(Request::new(()))));
    });
    float(counted.bytes_total) / float(EXCHANGES as u64)
}

/// What a pseudonym costs more than a truncated address, in blocks of SHA-256: the middle of many comparisons,
/// because one of them is a small difference of times.
fn pseudonym() -> f64 {
    let mut found = Vec::new();
    for _ in 0..PLACES {
        let (mut truncated, mut pseudonym) = (json_lines_8(), json_lines_pseudonym());
        for _ in 0..ROUNDS {
            let times = [timed(&mut *truncated), timed(&mut *pseudonym), blocks()];
            let [truncated, pseudonym, blocks] = times.map(|time| time.as_secs_f64());
            found.push((pseudonym - truncated) / blocks);
        }
    }
    found.sort_by(f64::total_cmp);
    found[found.len() / 2]
}

fn timed(rig: &mut dyn Rig) -> Duration {
    let _listening = tracing::dispatcher::set_default(rig.dispatch());
    rig.ready(SHORT);
    let start = Instant::now();
    rig.run();
    start.elapsed()
}

/// As many blocks as there are exchanges.
fn blocks() -> Duration {
    let start = Instant::now();
    for number in 0..SHORT {
        black_box(Sha256::digest(black_box(number.to_ne_bytes())));
    }
    start.elapsed()
}

/// What a record costs each of two threads, per what it costs one: the time of a processor, so that it does not
/// matter who else wants one.
fn two_threads() -> f64 {
    let mut shortest = [[Duration::MAX; 2]; 2];
    for _ in 0..ROUNDS {
        for threads in [1, 2] {
            let times = [on(threads, true), on(threads, false)];
            let shortest = &mut shortest[threads - 1];
            *shortest = std::array::from_fn(|at| shortest[at].min(times[at]));
        }
    }
    let [one, two] = shortest.map(|[logged, bare]| (logged - bare).as_secs_f64());
    two / one
}

/// The time that a thread needs for its exchanges while so many threads have theirs.
fn on(threads: usize, logged: bool) -> Duration {
    const EACH: usize = 4 * EXCHANGES;
    let start = Barrier::new(threads);
    let shared = logged.then(|| json_lines_rig("", &[EIGHT]));
    let work = || {
        let mut rig: Box<dyn Rig> = match &shared {
            Some(shared) => Box::new(shared.another()),
            None => bare(),
        };
        let _listening = tracing::dispatcher::set_default(rig.dispatch());
        rig.ready(EXCHANGES);
        rig.run();
        rig.ready(EACH);
        start.wait();
        let start = processor();
        rig.run();
        processor() - start
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let times = running.into_iter().map(|thread| thread.join().expect("a thread ends well"));
        times.sum::<Duration>() / u32::try_from(threads).expect("there are two at most")
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn float(count: u64) -> f64 {
    count as f64
}
