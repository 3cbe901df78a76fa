//! The files of one log, one after another.
//!
//! The rule: files hold whole lines. What an error leaves of a line is cut off again, and what a crash
//! left is cut off before anything is appended. A file is begun for each period and each `max_file`
//! bytes, is never begun again once it is finished, and is never shared: who finds a file in use
//! takes the next number. It deletes nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::clock::Clock;
use super::file;
use super::name::{Form, Name, Period};
use super::output::write_all;

const MAX_NUMBER: u32 = 99_999;

pub(crate) struct Series {
    folder: PathBuf,
    log: String,
    period: Period,
    max_file: u64,
    durable: bool,
    clock: Clock,
    finished: Option<Sender<()>>,
    floor: Option<Name>,
    open: Option<Open>,
}

struct Open {
    file: File,
    path: PathBuf,
    name: Name,
    size: u64,
    unsynced_folder: bool,
}

impl Series {
    pub(crate) fn new(folder: PathBuf, log: String, retention: Duration, clock: Clock) -> Self {
        Self {
            folder,
            log,
            period: Period::of(retention),
            max_file: u64::MAX,
            durable: false,
            clock,
            finished: None,
            floor: None,
            open: None,
        }
    }

    pub(crate) fn with_limits(self, max_file: u64, durable: bool) -> Self {
        Self { max_file: max_file.max(1), durable, ..self }
    }

    /// Tells `finished` about every file that gets no more lines.
    pub(crate) fn telling(self, finished: Sender<()>) -> Self {
        Self { finished: Some(finished), ..self }
    }

    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Writes whole lines; what is not done is not in any file.
    pub(crate) fn put(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        self.put_at(lines, self.clock.now())
    }

    pub(crate) fn put_at(&mut self, lines: &[u8], now: Duration) -> (usize, io::Result<()>) {
        let mut done = 0;
        while let Some(rest) = lines.get(done..).filter(|rest| !rest.is_empty()) {
            let (count, result) = self.append(rest, now);
            done += count;
            if result.is_err() {
                // Opened anew, the file is checked and mended first.
                self.open = None;
                return (done, result);
            }
        }
        (done, Ok(()))
    }

    fn append(&mut self, lines: &[u8], now: Duration) -> (usize, io::Result<()>) {
        let max_file = self.max_file;
        match self.file_for(first_line(lines), now) {
            Ok(open) => open.append(fitting(lines, max_file.saturating_sub(open.size))),
            Err(error) => (0, Err(error)),
        }
    }

    fn file_for(&mut self, line: u64, now: Duration) -> io::Result<&mut Open> {
        let max_file = self.max_file;
        self.finish_if(|open| open.is_over(now) || !open.has_room(line, max_file))?;
        let open = match self.open.take() {
            Some(open) if file::is_at(&open.file, &open.path) => open,
            _ => self.begin(now, line)?,
        };
        Ok(self.open.insert(open))
    }

    fn begin(&self, now: Duration, line: u64) -> io::Result<Open> {
        file::make_folder(&self.folder)?;
        let first = Name::new(self.period, now);
        let floor =
            self.floor.filter(|last| last.is_same_period(first)).map_or(0, |last| last.number + 1);
        for number in floor..=MAX_NUMBER {
            if let Some(open) = self.claim(first.with_number(number))?
                && open.has_room(line, self.max_file)
            {
                return Ok(open);
            }
        }
        Err(io::Error::other("too many files for one period"))
    }

    fn claim(&self, name: Name) -> io::Result<Option<Open>> {
        let path = self.folder.join(name.write(&self.log));
        let Some(file) = file::claim(&path, true)? else {
            return Ok(None);
        };
        file::mend(&file)?;
        let size = file.metadata()?.len();
        // Looked for under the lock, which the compressing thread holds until the plain file is gone.
        if fs::symlink_metadata(self.folder.join(name.with_form(Form::Gzip).write(&self.log)))
            .is_ok()
        {
            if size == 0 {
                fs::remove_file(path)?;
            }
            return Ok(None);
        }
        Ok(Some(Open { file, path, name, size, unsynced_folder: true }))
    }

    fn finish_if(&mut self, over: impl Fn(&Open) -> bool) -> io::Result<()> {
        let Some(open) = self.open.take_if(|open| over(open)) else {
            return Ok(());
        };
        self.floor = Some(open.name);
        let synced = if self.durable { open.file.sync_data() } else { Ok(()) };
        drop(open);
        if let Some(finished) = &self.finished {
            // Nobody listens while the program ends.
            let _ = finished.send(());
        }
        synced
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.file.sync_data()?;
        if open.unsynced_folder {
            File::open(&self.folder)?.sync_all()?;
            open.unsynced_folder = false;
        }
        Ok(())
    }

    pub(crate) fn reopen(&mut self) {
        if self.durable {
            // The lines are written; what a sync can lose is counted when the next one fails.
            let _ = self.sync();
        }
        self.open = None;
    }

    /// Finishes the file when its period is over, so that it can be deleted in time without new lines.
    pub(crate) fn tick(&mut self) -> io::Result<()> {
        self.tick_at(self.clock.now())
    }

    pub(crate) fn tick_at(&mut self, now: Duration) -> io::Result<()> {
        self.finish_if(|open| open.is_over(now))
    }

    pub(crate) fn rests(&self) -> Option<Duration> {
        Some(self.open.as_ref()?.name.end().saturating_sub(self.clock.now()))
    }
}

impl Open {
    fn is_over(&self, now: Duration) -> bool {
        now < self.name.start() || self.name.end() <= now
    }

    const fn has_room(&self, line: u64, max_file: u64) -> bool {
        self.size == 0 || self.size.saturating_add(line) <= max_file
    }

    fn append(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let (written, result) = write_all(lines, |rest| self.file.write(rest));
        if result.is_ok() {
            self.size += written as u64;
            return (written, Ok(()));
        }
        let whole = end_of_lines(lines.get(..written).unwrap_or_default());
        self.size += whole as u64;
        if whole < written {
            // If this fails too, the next opening mends it.
            let _ = self.cut((written - whole) as u64);
        }
        (whole, result)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        self.file.set_len(length.saturating_sub(bytes))
    }
}

fn first_line(lines: &[u8]) -> u64 {
    lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1) as u64
}

/// As many whole lines as `room` bytes hold, but at least one.
fn fitting(lines: &[u8], room: u64) -> &[u8] {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    let end = match end_of_lines(lines.get(..room).unwrap_or_default()) {
        0 => usize::try_from(first_line(lines)).unwrap_or(lines.len()),
        end => end,
    };
    lines.get(..end).unwrap_or(lines)
}

fn end_of_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_767_323_045); // 2026-01-02T03:04:05Z
    const DAY: Duration = Duration::from_secs(86_400);

    fn series(folder: &tempfile::TempDir, max_file: u64) -> Series {
        let series =
            Series::new(folder.path().to_owned(), "access".to_owned(), DAY, Clock::default());
        series.with_limits(max_file, false)
    }

    fn put(series: &mut Series, lines: &str, now: Duration) {
        let (done, result) = series.put_at(lines.as_bytes(), now);
        assert_eq!((done, result.is_ok()), (lines.len(), true));
    }

    fn text(folder: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[test]
    fn nothing_is_appended_to_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = series(&folder, 1000);
        fs::write(folder.path().join("access-2026-01-02T03.jsonl"), "{}\n{\"torn").unwrap();
        put(&mut series, "{\"n\":1}\n", NOW);
        assert_eq!(text(&folder, "access-2026-01-02T03.jsonl"), "{}\n{\"n\":1}\n");
    }

    #[test]
    fn a_new_hour_is_a_new_file_and_a_finished_file_gets_no_more_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = series(&folder, 20);
        put(&mut series, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", NOW);
        series.reopen();
        put(&mut series, "{\"n\":4}\n", NOW);
        put(&mut series, "{\"n\":5}\n", NOW + Duration::from_secs(3600));
        assert_eq!(text(&folder, "access-2026-01-02T03.jsonl"), "{\"n\":1}\n{\"n\":2}\n");
        assert_eq!(text(&folder, "access-2026-01-02T03.1.jsonl"), "{\"n\":3}\n{\"n\":4}\n");
        assert_eq!(text(&folder, "access-2026-01-02T04.jsonl"), "{\"n\":5}\n");
    }

    #[test]
    fn a_line_longer_than_a_file_may_be_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = series(&folder, 10);
        let long = format!("{{\"n\":{}}}\n", "1".repeat(50));
        put(&mut series, &format!("{{}}\n{long}{{}}\n"), NOW);
        assert_eq!(text(&folder, "access-2026-01-02T03.1.jsonl"), long);
        assert_eq!(text(&folder, "access-2026-01-02T03.2.jsonl"), "{}\n");
    }

    #[test]
    fn a_file_that_is_compressed_already_is_not_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("access-2026-01-02T03.jsonl.gz"), "").unwrap();
        put(&mut series(&folder, 1000), "{}\n", NOW);
        assert_eq!(text(&folder, "access-2026-01-02T03.1.jsonl"), "{}\n");
        assert!(!folder.path().join("access-2026-01-02T03.jsonl").exists());
    }
}
