//! Where lines go: any writer, or a series of files.
//!
//! The rule: `put` says exactly how many bytes were taken, whatever the error, so that the next attempt
//! goes on at that byte; a line is never torn by it and never written twice. It does not retry.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::series::Series;

pub(crate) enum Output {
    Stream(Stream),
    Series(Box<Series>),
}

impl Output {
    /// Writes whole lines, or the rest of one; returns how many bytes need not be offered again.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        match self {
            Self::Stream(stream) => stream.put(bytes),
            Self::Series(series) => series.put(bytes),
        }
    }

    /// Writes one line; true when it need not be offered again, even if the rest of it is still owed.
    pub(crate) fn put_whole(&mut self, line: &[u8]) -> (bool, io::Result<()>) {
        let (done, result) = self.put(line);
        if let Self::Stream(stream) = self
            && done > 0
        {
            stream.owed.extend_from_slice(line.get(done..).unwrap_or_default());
        }
        (done > 0, result)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::Series(_) => Ok(()),
        }
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::Series(series) => series.sync(),
        }
    }

    pub(crate) fn reopen(&mut self) {
        match self {
            Self::Stream(_) => {}
            Self::Series(series) => series.reopen(),
        }
    }

    /// Does what the time of day asks for.
    pub(crate) fn tick(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Series(series) => series.tick(),
        }
    }

    /// How long until `tick` is needed.
    pub(crate) fn rests(&self) -> Option<Duration> {
        match self {
            Self::Stream(_) => None,
            Self::Series(series) => series.rests(),
        }
    }

    pub(crate) fn takes(&self, log: &str) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Series(series) => series.log() == log,
        }
    }

    /// The log's name in reports; a stream carries every log.
    pub(crate) fn log(&self) -> &str {
        match self {
            Self::Stream(_) => "*",
            Self::Series(series) => series.log(),
        }
    }
}

pub(crate) struct Stream {
    writer: Box<dyn Write + Send>,
    owed: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Box::new(writer), owed: Vec::new() }
    }

    fn put(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let owed = std::mem::take(&mut self.owed);
        let (done, result) = self.write(&owed);
        if result.is_err() {
            self.owed = owed.get(done..).unwrap_or_default().to_vec();
            return (0, result);
        }
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        write_all(bytes, |rest| caught(|| self.writer.write(rest)))
    }

    fn flush(&mut self) -> io::Result<()> {
        caught(|| self.writer.flush())
    }
}

/// Writes until everything is out or an error says otherwise; returns how much is out.
pub(crate) fn write_all(
    bytes: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> (usize, io::Result<()>) {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => done += count.min(rest.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// A writer of the application may panic; that is a fault like any other.
fn caught<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Takes one byte at a time and fails before every second one.
    #[derive(Clone, Default)]
    struct Hesitant(Arc<Mutex<(Vec<u8>, bool)>>);

    impl Write for Hesitant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (taken, fails) = &mut *self.0.lock().unwrap();
            *fails = !*fails;
            match bytes.first() {
                Some(byte) if !*fails => taken.push(*byte),
                _ => return Err(io::ErrorKind::StorageFull.into()),
            }
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_rest_of_a_line_comes_before_everything_else() {
        let writer = Hesitant::default();
        let mut output = Output::Stream(Stream::new(writer.clone()));
        for line in ["{\"a\":1}\n", "{\"b\":2}\n"] {
            while !output.put_whole(line.as_bytes()).0 {}
        }
        let (mut rest, mut count) = (&b"{}\n"[..], 0);
        while !rest.is_empty() && count < 1000 {
            rest = &rest[output.put(rest).0..];
            count += 1;
        }
        assert_eq!(writer.0.lock().unwrap().0, b"{\"a\":1}\n{\"b\":2}\n{}\n");
    }
}
