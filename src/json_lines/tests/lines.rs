//! What arrives at an output: every record once, valid, in order, or counted.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tracing::dispatcher::with_default;
use tracing::{Dispatch, Level};

use super::super::{Flush, JsonLines, Options, Overflow};
use super::support::{self, Memory, dispatch, emit, files, read, record, site, wait_for};
use crate::event::Site;

fn open(memory: &Memory, options: Options) -> (Dispatch, Flush) {
    let (layer, flush) = JsonLines::to_writer(memory.clone(), options).unwrap();
    (dispatch(layer), flush)
}

#[test]
fn a_line_holds_the_fields_in_the_order_of_the_call_site_and_nothing_else() {
    let memory = Memory::new();
    let (dispatch, flush) = open(&memory, Options::default());
    let names = ["timestamp", "log", "absent", "n", "i", "f", "b", "nan", "text"];
    let site = Site::intern("access", Level::INFO, &names);
    with_default(&dispatch, || {
        let span = tracing::info_span!("outer", uri = "/reset?token=M");
        let _in = span.enter();
        tracing::info!(target: "privacy_log::access", secret = "M", "not ours");
        record(
            site,
            &[
                Some(&"2026-01-02T03:04:05Z"),
                Some(&"access"),
                None,
                Some(&u64::MAX),
                Some(&i64::MIN),
                Some(&0.25_f64),
                Some(&true),
                Some(&f64::NAN),
                Some(&"a\"b\\c\nd\u{1}"),
            ],
        );
        record(Site::intern("access", Level::ERROR, &[]), &[]);
    });
    flush.flush().unwrap();
    assert_eq!(
        memory.text(),
        concat!(
            r#"{"timestamp":"2026-01-02T03:04:05Z","log":"access","n":18446744073709551615,"i":-9223372036854775808,"#,
            r#""f":0.25,"b":true,"text":"a\"b\\c\nd\u0001"}"#,
            "\n{}\n",
        )
    );
}

/// Every line is compared with the one that is expected, which a parser has read once.
#[test]
fn a_million_records_of_eight_threads_are_in_the_files_once_each_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { overflow: Overflow::Block, max_file: 50 << 20, ..Options::default() };
    let (dispatch, flush) = support::open(dir.path(), options);
    let site = site("access");
    thread::scope(|scope| {
        for part in 1..=8 {
            let dispatch = &dispatch;
            scope.spawn(move || {
                with_default(dispatch, || {
                    (0..125_000).for_each(|n| emit(site, part * 1_000_000 + n));
                });
            });
        }
    });
    flush.flush().unwrap();
    let stats = flush.stats();
    assert_eq!((stats.written, stats.dropped, stats.queued, stats.failed), (1_000_000, 0, 0, 0));

    let expected = support::line("access", 1_234_567);
    assert_eq!(read(&format!("{expected}\n")).0, [1_234_567]);
    let (before, after) = expected.split_once("1234567").unwrap();
    let marker = |line: &[u8]| {
        let digits = line.strip_prefix(before.as_bytes())?.strip_suffix(after.as_bytes())?;
        std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
    };
    let (mut next, mut bytes) = ([0; 9], 0);
    for file in files(dir.path(), "access") {
        let text = fs::read(file).unwrap();
        assert_eq!(text.last(), Some(&b'\n'));
        bytes += text.len() as u64;
        for line in text[..text.len() - 1].split(|&byte| byte == b'\n') {
            let marker = marker(line).unwrap_or_else(|| panic!("{}", line.escape_ascii()));
            let part = usize::try_from(marker / 1_000_000).unwrap();
            assert_eq!(marker % 1_000_000, next[part]);
            next[part] += 1;
        }
    }
    assert_eq!(next, [0, 125_000, 125_000, 125_000, 125_000, 125_000, 125_000, 125_000, 125_000]);
    assert_eq!(stats.bytes, bytes);
}

#[test]
fn a_line_of_a_quiet_server_appears_at_once() {
    let memory = Memory::new();
    let (dispatch, _flush) = open(&memory, Options::default());
    let mut waits = Vec::new();
    for n in 0..30 {
        // The thread that wrote the line is gone, and no other event comes.
        thread::scope(|scope| {
            scope.spawn(|| with_default(&dispatch, || emit(site("access"), n))).join().unwrap();
        });
        waits.push(wait_for(|| memory.lines() as u64 == n + 1));
        thread::sleep(Duration::from_millis(n % 7 * 5));
    }
    waits.sort_unstable();
    // A busy machine may hold up a few of them, but not most.
    assert!(waits[15] < Duration::from_millis(100), "{waits:?}");
}

#[test]
fn lines_of_different_threads_are_in_the_order_of_their_hand_over_while_it_is_calm() {
    let memory = Memory::new();
    let (dispatch, flush) = open(&memory, Options::default());
    for n in 0..200 {
        thread::scope(|scope| {
            scope.spawn(|| with_default(&dispatch, || emit(site("access"), n)));
        });
        if n % 20 == 0 {
            flush.flush().unwrap();
        }
    }
    flush.flush().unwrap();
    assert_eq!(read(&memory.text()).0, (0..200).collect::<Vec<_>>());
}

#[test]
fn lines_of_a_panicking_thread_are_written() {
    struct OnDrop(&'static Site);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            emit(self.0, 2);
        }
    }
    let memory = Memory::new();
    let (dispatch, _flush) = open(&memory, Options::default());
    let died = thread::spawn(move || {
        with_default(&dispatch, || {
            let _record = OnDrop(site("access"));
            emit(site("access"), 1);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    });
    assert!(died.join().is_err());
    wait_for(|| memory.lines() == 2);
}

#[test]
fn a_slow_writer_loses_nothing_silently() {
    let memory = Memory::with(|bytes| {
        thread::sleep(Duration::from_millis(4));
        Ok(bytes.len())
    });
    let (dispatch, flush) = open(&memory, Options { buffer: 64 << 10, ..Options::default() });
    let site = site("access");
    thread::scope(|scope| {
        for part in 0..4 {
            let dispatch = &dispatch;
            scope.spawn(move || {
                with_default(dispatch, || {
                    (0..15_000).for_each(|n| emit(site, part * 1_000_000 + n));
                });
            });
        }
    });
    flush.flush().unwrap();
    let (mut markers, missing) = read(&memory.text());
    let stats = flush.stats();
    assert!(missing > 0);
    assert_eq!((stats.dropped, stats.written), (missing, markers.len() as u64));
    assert_eq!(stats.written + missing, 60_000);
    markers.sort_unstable();
    markers.dedup();
    assert_eq!(markers.len() as u64, stats.written);
}

#[test]
fn blocking_waits_for_a_slow_writer_and_drops_nothing() {
    let memory = Memory::with(|bytes| {
        thread::sleep(Duration::from_micros(300));
        Ok(bytes.len().min(5_000))
    });
    let options = Options { buffer: 64 << 10, overflow: Overflow::Block, ..Options::default() };
    let (dispatch, flush) = open(&memory, options);
    let site = site("access");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| with_default(&dispatch, || (0..5_000).for_each(|n| emit(site, n))));
        }
    });
    flush.flush().unwrap();
    assert_eq!(read(&memory.text()).0.len(), 20_000);
    assert_eq!(flush.stats().dropped, 0);
}

#[test]
fn short_writes_and_errors_in_the_middle_tear_no_line_and_repeat_none() {
    let calls = AtomicUsize::new(0);
    let memory = Memory::with(move |bytes| match calls.fetch_add(1, Ordering::Relaxed) % 5 {
        0 => Ok(bytes.len().min(7)),
        1 => Ok(bytes.len().min(333)),
        2 => Err(io::ErrorKind::Interrupted.into()),
        3 => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(1),
    });
    let (dispatch, flush) = open(&memory, Options::default());
    with_default(&dispatch, || {
        for n in 0..300 {
            emit(site("access"), n);
            let _ = flush.flush();
        }
    });
    wait_for(|| flush.flush().is_ok());
    assert_eq!(read(&memory.text()), ((0..300).collect(), 0));
    assert!(flush.stats().failed > 10);
}

#[test]
fn a_long_fault_costs_lines_that_the_log_then_counts_and_never_stops_a_request() {
    let broken = Arc::new(AtomicBool::new(true));
    let memory = Memory::with({
        let broken = Arc::clone(&broken);
        move |bytes| {
            if broken.load(Ordering::Acquire) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(bytes.len())
        }
    });
    let options = Options { buffer: 64 << 10, overflow: Overflow::Block, ..Options::default() };
    let (dispatch, flush) = open(&memory, options);
    let (access, usage) = (site("access"), site("usage"));
    let start = Instant::now();
    with_default(&dispatch, || {
        (0..20_000).for_each(|n| emit(if n % 4 == 0 { usage } else { access }, n));
    });
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(flush.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    broken.store(false, Ordering::Release);
    wait_for(|| flush.stats().queued == 0);
    flush.flush().unwrap();
    let text = memory.text();
    let (markers, missing) = read(&text);
    assert_eq!(markers.len() as u64 + missing, 20_000);
    assert_eq!((flush.stats().dropped, flush.stats().written), (missing, markers.len() as u64));
    for log in ["access", "usage"] {
        assert_eq!(text.matches(&format!("{{\"log\":\"{log}\",\"dropped\":")).count(), 1);
    }
    let written = markers.iter().filter(|n| *n % 4 == 0).count();
    assert!(text.contains(&format!("{{\"log\":\"usage\",\"dropped\":{}}}\n", 5_000 - written)));
}

#[test]
fn a_panicking_writer_is_a_fault_and_not_the_end() {
    let calls = AtomicUsize::new(0);
    let memory = Memory::with(move |bytes| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok(bytes.len())
    });
    let (dispatch, flush) = open(&memory, Options::default());
    with_default(&dispatch, || emit(site("access"), 7));
    wait_for(|| flush.flush().is_ok());
    assert_eq!(read(&memory.text()).0, [7]);
}

#[test]
fn dropping_the_guard_writes_everything_and_later_lines_still_arrive() {
    let memory = Memory::new();
    let options = Options { interval: Duration::from_secs(3600), ..Options::default() };
    let (dispatch, flush) = open(&memory, options);
    with_default(&dispatch, || (0..1000).for_each(|n| emit(site("access"), n)));
    drop(flush);
    assert_eq!(read(&memory.text()).0.len(), 1000);
    with_default(&dispatch, || emit(site("access"), 1000));
    drop(dispatch);
    assert_eq!(read(&memory.text()).0.len(), 1001);
}

#[test]
fn lines_longer_than_a_chunk_are_whole() {
    let memory = Memory::new();
    let options = Options { buffer: 16 << 10, overflow: Overflow::Block, ..Options::default() };
    let (dispatch, flush) = open(&memory, options);
    let names = ["http.response.status_code", "text"];
    let site = Site::intern("access", Level::INFO, &names);
    let long = "x".repeat(100_000);
    with_default(&dispatch, || {
        for n in 0..20_u64 {
            record(site, &[Some(&n), Some(&long.as_str())]);
            record(site, &[Some(&(100 + n)), Some(&"short")]);
        }
    });
    flush.flush().unwrap();
    assert_eq!(read(&memory.text()).0.len(), 40);
}

#[test]
fn an_event_that_only_looks_like_a_record_is_not_written() {
    let memory = Memory::new();
    let (dispatch, flush) = open(&memory, Options::default());
    with_default(&dispatch, || {
        emit(site("access"), 1);
        tracing::info!(target: "privacy_log::access", log = "access", policy = "test-1@00000000", "http.route" = "/");
        tracing::event!(name: "privacy_log", target: "privacy_log::access", Level::INFO, log = "access", policy = "x");
    });
    flush.flush().unwrap();
    assert_eq!(memory.lines(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn every_line_is_read_back_as_what_was_recorded(
        texts in proptest::collection::vec(proptest::prelude::any::<(String, i64, bool)>(), 1..20),
        name in ".{1,12}",
    ) {
        let memory = Memory::new();
        let (dispatch, flush) = open(&memory, Options::default());
        let name = format!("t{name}");
        let site = Site::intern("access", Level::INFO, &["log", &name, "i", "b"]);
        with_default(&dispatch, || for (text, i, b) in &texts {
            record(site, &[Some(&"access"), Some(&text.as_str()), Some(i), Some(b)]);
        });
        flush.flush().unwrap();
        let written = memory.text();
        assert_eq!(written.matches('\n').count(), texts.len());
        for (line, (text, i, b)) in written.lines().zip(&texts) {
            let expected = serde_json::json!({"log": "access", &name: text, "i": i, "b": b});
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap(), expected);
        }
    }
}
