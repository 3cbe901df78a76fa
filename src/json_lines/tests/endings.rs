//! The last flush: it waits for slow readers and for faults that end, and at the deadline it counts what is lost.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tracing::Dispatch;
use tracing::dispatcher::with_default;

use super::super::{Flush, JsonLines, Options};
use super::support::{Memory, dispatch, emit, read, site, wait_for};

/// Many times what a pipe holds.
const MANY: u64 = 3_000;
const FOREVER: Duration = Duration::from_secs(600);
/// More than the deadline and less than patience; a busy machine may need most of it.
const BOUND: Duration = Duration::from_secs(8);

fn open(writer: impl Write + Send + 'static, linger: Duration) -> (Dispatch, Flush) {
    let options = Options { linger, ..Options::default() };
    let (layer, flush) = JsonLines::to_writer(writer, options).unwrap();
    (dispatch(layer), flush)
}

fn fill(dispatch: &Dispatch, markers: std::ops::Range<u64>) {
    with_default(dispatch, || markers.for_each(|n| emit(site("access"), n)));
}

fn pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    (reader, writer)
}

/// Reads to the end in small portions.
fn slowly(mut reader: PipeReader) -> JoinHandle<String> {
    thread::spawn(move || {
        let (mut text, mut block) = (Vec::new(), [0; 4096]);
        loop {
            match reader.read(&mut block).unwrap() {
                0 => return String::from_utf8(text).unwrap(),
                count => text.extend_from_slice(&block[..count]),
            }
            thread::sleep(Duration::from_millis(1));
        }
    })
}

/// A writer that fails until some time has passed.
fn failing(kind: io::ErrorKind, time: Duration) -> Memory {
    let start = Instant::now();
    Memory::with(
        move |bytes| {
            if start.elapsed() < time { Err(kind.into()) } else { Ok(bytes.len()) }
        },
    )
}

#[test]
fn a_slow_reader_of_a_pipe_that_does_not_block_gets_every_line_and_is_no_fault() {
    let (reader, writer) = pipe();
    let text = slowly(reader);
    let (dispatch, flush) = open(writer, FOREVER);
    fill(&dispatch, 0..MANY);
    let stats = flush.finish();
    assert_eq!((stats.written, stats.dropped, stats.queued, stats.failed), (MANY, 0, 0, 0));
    drop(dispatch);
    assert_eq!(read(&text.join().unwrap()), ((0..MANY).collect(), 0));
}

#[test]
fn a_pipe_that_does_not_block_is_written_on_without_a_flush() {
    let (reader, writer) = pipe();
    let text = slowly(reader);
    let (dispatch, flush) = open(writer, FOREVER);
    fill(&dispatch, 0..MANY);
    wait_for(|| flush.stats().written == MANY);
    assert_eq!(flush.stats().failed, 0);
    drop((flush, dispatch));
    assert_eq!(read(&text.join().unwrap()), ((0..MANY).collect(), 0));
}

#[test]
fn lines_after_the_guard_are_waited_for_when_the_layer_goes() {
    let (reader, writer) = pipe();
    let text = slowly(reader);
    let (dispatch, flush) = open(writer, FOREVER);
    drop(flush);
    fill(&dispatch, 0..MANY);
    drop(dispatch);
    assert_eq!(read(&text.join().unwrap()), ((0..MANY).collect(), 0));
}

#[test]
fn a_reader_that_never_reads_costs_what_is_left_at_the_deadline_and_no_line_is_torn() {
    let (mut reader, mut writer) = pipe();
    let linger = Duration::from_millis(300);
    // In portions, so that the pipe is full in the middle of a line.
    let portions = Memory::with(move |bytes| writer.write(&bytes[..bytes.len().min(1000)]));
    let (dispatch, flush) = open(portions, linger);
    fill(&dispatch, 0..MANY);
    let start = Instant::now();
    let stats = flush.finish();
    assert!(start.elapsed() >= linger && start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert_eq!(stats.written + stats.dropped + stats.queued, MANY, "{stats:?}");
    assert!(stats.dropped > 1_000 && stats.queued <= 1 && stats.failed == 0, "{stats:?}");
    // Should the reader come back while the program still runs, it is told.
    let mut text = Vec::new();
    while !text.ends_with(format!("{}}}\n", stats.dropped).as_bytes()) {
        let mut block = [0; 4096];
        let count = reader.read(&mut block).unwrap();
        text.extend_from_slice(&block[..count]);
    }
    fill(&dispatch, MANY..MANY + 10);
    drop(dispatch);
    reader.read_to_end(&mut text).unwrap();
    let (markers, dropped) = read(std::str::from_utf8(&text).unwrap());
    assert_eq!(dropped, stats.dropped);
    let kept = (0..MANY - dropped).chain(MANY..MANY + 10);
    assert_eq!(markers, kept.collect::<Vec<_>>());
}

#[test]
fn a_writer_that_does_not_come_back_holds_up_neither_the_guard_nor_the_layer() {
    let (reader, writer) = io::pipe().unwrap();
    let (dispatch, flush) = open(writer, Duration::from_millis(200));
    fill(&dispatch, 0..MANY);
    let start = Instant::now();
    assert_eq!(flush.flush().unwrap_err().kind(), io::ErrorKind::TimedOut);
    let stats = flush.finish();
    assert!(stats.queued > 1_000, "{stats:?}");
    drop(dispatch);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    let text = slowly(reader).join().unwrap();
    assert_eq!(read(&text), ((0..MANY).collect(), 0), "what is written later is whole");
}

#[test]
fn a_fault_that_ends_in_time_costs_nothing() {
    let memory = failing(io::ErrorKind::StorageFull, Duration::from_millis(500));
    let (dispatch, flush) = open(memory.clone(), FOREVER);
    fill(&dispatch, 0..MANY);
    assert_eq!(flush.flush().unwrap_err().kind(), io::ErrorKind::StorageFull, "told at once");
    drop(flush);
    assert_eq!(read(&memory.text()), ((0..MANY).collect(), 0));
}

#[test]
fn a_fault_that_lasts_ends_the_wait_at_the_deadline() {
    let memory = failing(io::ErrorKind::StorageFull, FOREVER);
    let linger = Duration::from_millis(300);
    let (dispatch, flush) = open(memory, linger);
    fill(&dispatch, 0..MANY);
    let start = Instant::now();
    let stats = flush.finish();
    assert!(start.elapsed() >= linger && start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert_eq!((stats.written, stats.dropped, stats.queued), (0, MANY, 0));
    drop(dispatch);
    assert!(start.elapsed() < BOUND, "the time is given once: {:?}", start.elapsed());
}

#[test]
fn a_pipe_that_nobody_reads_any_more_is_not_waited_for() {
    let (reader, writer) = pipe();
    drop(reader);
    let (dispatch, flush) = open(writer, FOREVER);
    fill(&dispatch, 0..MANY);
    let start = Instant::now();
    let stats = flush.finish();
    drop(dispatch);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert_eq!((stats.written, stats.dropped, stats.queued), (0, MANY, 0));
}
