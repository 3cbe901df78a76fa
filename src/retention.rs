//! Deletes log files when the retention of their log is over, and no others.
//!
//! The rule: a file goes when its newest possible record is older than the retention. For a file that
//! is there at the start, that record is as old as the name says, or the newest timestamp inside if that
//! is later; the wall clock is believed at this one moment. From then on only counted time makes a
//! file older, so that setting the clock deletes nothing early and keeps nothing longer. A file whose
//! name lies in the future is given the present name, since no record is newer than now. Files with
//! other names, links, and files in use are not touched. Size, number and `mtime` do not count.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::json_lines::file;
use crate::json_lines::name::{Form, Name, Period};

/// A clock that shows less was never set; names are not changed after it.
const SET: Duration = Duration::from_secs(1_735_689_600); // 2025-01-01

pub(crate) struct Retention {
    folder: PathBuf,
    log: String,
    length: Duration,
    newest: BTreeMap<Name, Duration>,
}

/// What one look at the folder did.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) deleted: u64,
    /// Why a file that is due could not be deleted.
    pub(crate) fault: Option<io::Error>,
    /// When the next file is due, from now.
    pub(crate) next: Option<Duration>,
}

impl Retention {
    pub(crate) const fn new(folder: PathBuf, log: String, length: Duration) -> Self {
        Self { folder, log, length, newest: BTreeMap::new() }
    }

    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Cuts torn lines off, removes unfinished compressions and renames files from the future.
    ///
    /// Returns how many lines were cut.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or a file cannot be mended.
    pub(crate) fn adopt_at(&mut self, now: Duration) -> io::Result<u64> {
        let mut torn = 0;
        for name in self.names()? {
            let path = self.path(name);
            let Some(file) = file::claim(&path, false)? else {
                continue;
            };
            match name.form {
                Form::Part => fs::remove_file(&path)?,
                Form::Plain => torn += u64::from(file::mend(&file)?),
                Form::Gzip => self.drop_twin(name)?,
            }
            if name.form != Form::Part && name.start() > now && now >= SET {
                self.rename(name, now)?;
            }
        }
        Ok(torn)
    }

    /// A crash between compressing and removing leaves the lines twice; the compressed ones are complete.
    fn drop_twin(&self, name: Name) -> io::Result<()> {
        let twin = self.path(name.with_form(Form::Plain));
        match file::claim(&twin, false) {
            Ok(Some(_)) => fs::remove_file(twin),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, name: Name, now: Duration) -> io::Result<()> {
        let present = Name::new(Period::of(self.length), now).with_form(name.form);
        let is_free = |name: &Name| {
            let free = |form| fs::symlink_metadata(self.path(name.with_form(form))).is_err();
            free(Form::Plain) && free(Form::Gzip)
        };
        match (1..u32::MAX).map(|number| present.with_number(number)).find(is_free) {
            Some(free) => fs::rename(self.path(name), self.path(free)),
            None => Ok(()),
        }
    }

    /// Deletes what is due.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read; a file that cannot be deleted is a fault in the result.
    pub(crate) fn prune_at(&mut self, now: Duration) -> io::Result<Pruned> {
        let names = self.names()?;
        self.newest.retain(|name, _| names.binary_search(name).is_ok());
        let mut pruned = Pruned::default();
        for name in names {
            self.judge(name, now, &mut pruned);
        }
        Ok(pruned)
    }

    fn judge(&mut self, name: Name, now: Duration, pruned: &mut Pruned) {
        let Some(newest) = self.newest_record(name, now) else {
            return;
        };
        let age = now.saturating_sub(newest);
        if let Some(left) = self.length.checked_sub(age).filter(|left| !left.is_zero()) {
            pruned.next = Some(pruned.next.map_or(left, |next| next.min(left)));
            return;
        }
        match self.delete(name) {
            Ok(deleted) => pruned.deleted += u64::from(deleted),
            Err(error) => pruned.fault = Some(error),
        }
    }

    /// When the newest record of a file that gets no more lines was written, in counted time.
    fn newest_record(&mut self, name: Name, now: Duration) -> Option<Duration> {
        if is_present(name, now) {
            return None;
        }
        if let Some(newest) = self.newest.get(&name) {
            return Some(*newest);
        }
        let file = file::claim(&self.path(name), false).ok()??;
        let mut newest = name.end().min(now);
        if now.saturating_sub(newest) >= self.length {
            let inside = file::newest(&file).filter(|inside| *inside <= now);
            newest = newest.max(inside.unwrap_or_default());
        }
        self.newest.insert(name, newest);
        Some(newest)
    }

    fn delete(&mut self, name: Name) -> io::Result<bool> {
        let path = self.path(name);
        let Some(_file) = file::claim(&path, false)? else {
            return Ok(false);
        };
        fs::remove_file(path)?;
        self.newest.remove(&name);
        Ok(true)
    }

    /// The files that the sink has named, in order.
    pub(crate) fn names(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|text| Name::parse(&self.log, text));
            names.extend(name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())));
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn path(&self, name: Name) -> PathBuf {
        self.folder.join(name.write(&self.log))
    }

    /// The plain files that get no more lines.
    #[cfg(feature = "gzip")]
    pub(crate) fn finished_at(&self, now: Duration) -> io::Result<Vec<Name>> {
        let is_finished = |name: &Name| name.form == Form::Plain && !is_present(*name, now);
        Ok(self.names()?.into_iter().filter(is_finished).collect())
    }
}

/// Whether the sink may still append to files of this name.
fn is_present(name: Name, now: Duration) -> bool {
    name.start() <= now && now < name.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_lines::clock::Clock;
    use crate::json_lines::series::Series;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    const START: u64 = 1_767_323_045; // 2026-01-02T03:04:05Z

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn retention(folder: &tempfile::TempDir, seconds: u64) -> Retention {
        Retention::new(folder.path().to_owned(), "access".to_owned(), at(seconds))
    }

    fn put(folder: &tempfile::TempDir, name: &str, text: &str) {
        fs::write(folder.path().join(name), text).unwrap();
    }

    fn left(folder: &tempfile::TempDir) -> BTreeSet<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_goes_at_the_moment_when_its_newest_possible_record_is_past_the_retention() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, "access-2026-01-02T03.jsonl", "{}\n");
        let mut retention = retention(&folder, DAY);
        let due = START / HOUR * HOUR + HOUR + DAY;
        let pruned = retention.prune_at(at(due - 1)).unwrap();
        assert_eq!((pruned.deleted, pruned.next), (0, Some(at(1))));
        assert_eq!(retention.prune_at(at(due)).unwrap().deleted, 1);
        assert!(left(&folder).is_empty());
    }

    #[test]
    fn a_file_that_may_still_get_lines_does_not_age() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, "access-2026-01-02T03.jsonl", "{}\n");
        let mut retention = retention(&folder, DAY);
        assert_eq!(retention.prune_at(at(START)).unwrap().next, None);
        assert_eq!(retention.prune_at(at(START + DAY)).unwrap().deleted, 0);
        assert_eq!(retention.prune_at(at(START + DAY + HOUR)).unwrap().deleted, 1);
    }

    #[test]
    fn the_newest_timestamp_inside_keeps_a_file_that_the_name_would_delete() {
        let folder = tempfile::tempdir().unwrap();
        let line = "{\"timestamp\":\"2026-01-02T03:00:00Z\",\"log\":\"access\"}\n";
        put(&folder, "access-2025-01-02T03.jsonl", line);
        put(
            &folder,
            "access-2025-01-02T03.1.jsonl",
            "{\"timestamp\":\"2099-01-02T03:00:00Z\"}\n{}\n",
        );
        let mut retention = retention(&folder, DAY);
        assert_eq!(retention.prune_at(at(START)).unwrap().deleted, 1);
        assert_eq!(left(&folder), ["access-2025-01-02T03.jsonl".to_owned()].into());
        assert_eq!(retention.prune_at(at(START + DAY)).unwrap().deleted, 1);
    }

    #[test]
    fn what_the_sink_has_not_named_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let others = [
            "access.jsonl",
            "access-2000-01-01T00.jsonl.bak",
            "usage-2000-01-01T00.jsonl",
            "access-2000-01-01T00.log",
            "access-2000-01-01T00.00.jsonl",
            "access-2000-02-30T00.jsonl",
            ".access-2000-01-01T00.jsonl",
        ];
        others.iter().for_each(|other| put(&folder, other, "torn"));
        fs::create_dir(folder.path().join("access-2000-01-01T01.jsonl")).unwrap();
        symlink(
            folder.path().join("access.jsonl"),
            folder.path().join("access-2000-01-01T02.jsonl"),
        )
        .unwrap();
        symlink("nowhere", folder.path().join("access-2000-01-01T03.jsonl")).unwrap();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            folder.path().join("access-2000-01-01T04.jsonl"),
            0o600.into(),
        )
        .unwrap();
        let before = left(&folder);
        let mut retention = retention(&folder, HOUR);
        assert_eq!(retention.adopt_at(at(START)).unwrap(), 0);
        assert_eq!(retention.prune_at(at(START)).unwrap().deleted, 0);
        assert_eq!(left(&folder), before);
        others.iter().for_each(|other| {
            assert_eq!(fs::read_to_string(folder.path().join(other)).unwrap(), "torn");
        });
    }

    #[test]
    fn a_file_in_use_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, "access-2000-01-01T00.jsonl", "{}\ntorn");
        let user = file::claim(&folder.path().join("access-2000-01-01T00.jsonl"), false).unwrap();
        let mut retention = retention(&folder, HOUR);
        assert_eq!(retention.adopt_at(at(START)).unwrap(), 0);
        assert_eq!(retention.prune_at(at(START)).unwrap().deleted, 0);
        drop(user);
        assert_eq!(retention.adopt_at(at(START)).unwrap(), 1);
        assert_eq!(
            fs::read_to_string(folder.path().join("access-2000-01-01T00.jsonl")).unwrap(),
            "{}\n"
        );
        assert_eq!(retention.prune_at(at(START)).unwrap().deleted, 1);
    }

    #[test]
    fn a_torn_line_is_cut_off_wherever_the_last_line_end_is() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(200_000);
        for (n, (before, after, cut)) in [
            ("{}\n{\"a\":1", "{}\n", 1),
            ("{\"a\":1", "", 1),
            ("", "", 0),
            ("{}\n", "{}\n", 0),
            ("{}\n\0\0\0", "{}\n", 1),
            (&format!("{{}}\n{long}"), "{}\n", 1),
            (&long, "", 1),
            ("{}\n{}\n{", "{}\n{}\n", 1),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("access-2026-01-02T0{n}.jsonl");
            put(&folder, &name, before);
            assert_eq!(
                retention(&folder, DAY).adopt_at(at(START + DAY)).unwrap(),
                cut,
                "{before:.20}"
            );
            assert_eq!(fs::read_to_string(folder.path().join(&name)).unwrap(), after);
        }
    }

    #[test]
    fn a_file_from_the_future_is_named_after_the_present_unless_the_clock_was_never_set() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, "access-2036-01-02T03.jsonl", "{}\n");
        put(&folder, "access-2026-01-02T03.jsonl", "{}\n");
        let mut retention = retention(&folder, DAY);
        retention.adopt_at(at(1000)).unwrap();
        assert!(left(&folder).contains("access-2036-01-02T03.jsonl"));
        retention.adopt_at(at(START)).unwrap();
        let expected = ["access-2026-01-02T03.1.jsonl", "access-2026-01-02T03.jsonl"];
        assert_eq!(left(&folder), expected.map(str::to_owned).into());
    }

    #[test]
    fn an_unfinished_compression_is_removed_and_a_finished_one_replaces_its_source() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "access-2026-01-02T01.jsonl",
            "access-2026-01-02T01.jsonl.gz.part",
            "access-2026-01-02T02.jsonl",
            "access-2026-01-02T02.jsonl.gz",
        ] {
            put(&folder, name, "{}\n");
        }
        retention(&folder, DAY).adopt_at(at(START)).unwrap();
        let expected = ["access-2026-01-02T01.jsonl", "access-2026-01-02T02.jsonl.gz"];
        assert_eq!(left(&folder), expected.map(str::to_owned).into());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u8),
        Pass(u8),
        Jump(i32),
        Restart,
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (1..5_u8).prop_map(Step::Write),
            3 => any::<u8>().prop_map(Step::Pass),
            4 => (1..6_u8).prop_map(Step::Pass),
            2 => (-400 * 86_400..400 * 86_400).prop_map(Step::Jump),
            1 => Just(Step::Restart),
            1 => Just(Step::Reopen),
        ]
    }

    /// A sink whose time is given. The clock on the wall is right whenever the process starts.
    struct World {
        folder: tempfile::TempDir,
        clock: Clock,
        retention: Retention,
        series: Series,
        length: u64,
        now: u64,
        error: i64,
        written: Vec<u64>,
    }

    impl World {
        fn new(length: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (retention, series) = Self::sink(&folder, length);
            let clock = Clock::new_at(at(START), at(0));
            Self {
                folder,
                clock,
                retention,
                series,
                length,
                now: START,
                error: 0,
                written: Vec::new(),
            }
        }

        fn sink(folder: &tempfile::TempDir, length: u64) -> (Retention, Series) {
            let series = Series::new(
                folder.path().to_owned(),
                "access".to_owned(),
                at(length),
                Default::default(),
            );
            (retention(folder, length), series.with_limits(100, false))
        }

        fn wall(&self) -> Duration {
            at(self.now.saturating_add_signed(self.error))
        }

        fn counted(&self) -> Duration {
            at(self.now - START)
        }

        fn time(&self) -> Duration {
            self.clock.now_at(self.counted())
        }

        fn take(&mut self, step: &Step) {
            match step {
                Step::Write(count) => (0..*count).for_each(|_| self.write()),
                Step::Pass(share) => self.pass(self.length * u64::from(*share) / 200),
                Step::Jump(seconds) => self.error += i64::from(*seconds),
                Step::Restart => {
                    (self.retention, self.series) = Self::sink(&self.folder, self.length);
                    self.error = 0;
                    self.clock = Clock::new_at(self.wall(), self.counted());
                    self.retention.adopt_at(self.time()).unwrap();
                    self.look();
                }
                Step::Reopen => self.series.reopen(),
            }
        }

        fn write(&mut self) {
            let line = format!("{{\"n\":{}}}\n", self.written.len());
            let (done, result) = self.series.put_at(line.as_bytes(), self.time());
            assert_eq!((done, result.is_ok()), (line.len(), true));
            self.written.push(self.now);
        }

        /// The keeper looks when told so, and when the next file is due.
        fn pass(&mut self, seconds: u64) {
            let end = self.now + seconds;
            while self.now < end {
                let wait = self.look().as_secs().clamp(1, self.length / 24);
                self.now = end.min(self.now + wait);
            }
            self.look();
        }

        /// What is there is judged before anything is deleted, too: until now it existed.
        fn look(&mut self) -> Duration {
            self.check();
            self.series.tick_at(self.time()).unwrap();
            let next = self.retention.prune_at(self.time()).unwrap().next;
            self.check();
            next.unwrap_or(Duration::MAX)
        }

        fn check(&self) {
            let mut there = BTreeSet::new();
            for name in left(&self.folder) {
                for line in fs::read_to_string(self.folder.path().join(name)).unwrap().lines() {
                    let number = line
                        .trim_start_matches("{\"n\":")
                        .trim_end_matches('}')
                        .parse::<usize>()
                        .unwrap();
                    assert!(there.insert(number), "{number} is there twice");
                }
            }
            for (number, written) in self.written.iter().enumerate() {
                let age = self.now - written;
                assert!(
                    age >= self.length || there.contains(&number),
                    "{number} deleted after {age} s"
                );
                assert!(
                    age <= self.length + self.length / 24 || !there.contains(&number),
                    "{number} kept for {age} s"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn nothing_older_exists_and_nothing_younger_is_deleted(
            length in prop_oneof![Just(30 * DAY), Just(20 * DAY), Just(DAY), Just(20 * HOUR), Just(1440), Just(1200), 24..5000_u64],
            steps in prop::collection::vec(step(), 1..40),
        ) {
            let mut world = World::new(length);
            for step in &steps {
                world.take(step);
                world.check();
            }
            world.pass(length + length / 24 + 1);
            prop_assert!(left(&world.folder).is_empty());
        }
    }
}
