//! What is in the folder: names, modes, whole lines, one owner per file.

use std::collections::BTreeSet;
use std::fs;
#[cfg(feature = "gzip")]
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tracing::dispatcher::with_default;

use super::super::{JsonLines, Options, Overflow};
use super::support::{dispatch, emit, files, name, open, policy, read, site, text, wait_for};

fn sorted(text: &str) -> Vec<u64> {
    let mut markers = read(text).0;
    markers.sort_unstable();
    markers
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn each_log_has_a_folder_and_files_of_its_own_that_only_the_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/here");
    let policy = policy(&[("access", "1d"), ("usage", "90d")]);
    let (layer, flush) = JsonLines::to_folder(&dir, &policy, Options::default()).unwrap();
    let (dispatch, usage) = (dispatch(layer), site("usage"));
    with_default(&dispatch, || {
        (0..10).for_each(|n| emit(site("access"), n));
        (10..15).for_each(|n| emit(usage, n));
        emit(site("other"), 99);
    });
    flush.flush().unwrap();
    assert_eq!(read(&text(&files(&dir, "access"))).0, (0..10).collect::<Vec<_>>());
    assert_eq!(read(&text(&files(&dir, "usage"))).0, (10..15).collect::<Vec<_>>());
    assert_eq!((flush.stats().written, flush.stats().dropped), (15, 1));
    let hourly = files(&dir, "access").remove(0);
    let daily = files(&dir, "usage").remove(0);
    assert_eq!(name(&hourly).len(), "access-2026-01-02T03.jsonl".len());
    assert_eq!(name(&daily).len(), "usage-2026-01-02.jsonl".len());
    assert_eq!((mode(&dir.join("access")), mode(&hourly), mode(&daily)), (0o700, 0o600, 0o600));
}

#[test]
fn a_restart_appends_to_the_file_of_the_hour_and_cuts_a_torn_line_off() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let (dispatch, flush) = open(dir.path(), Options::default());
        assert_eq!(flush.stats().torn, u64::from(round > 0));
        with_default(&dispatch, || emit(site("access"), round));
        drop((dispatch, flush));
        let file = files(dir.path(), "access").pop().unwrap();
        let torn = format!("{}{{\"torn", fs::read_to_string(&file).unwrap());
        fs::write(&file, torn).unwrap();
    }
    let (_dispatch, _flush) = open(dir.path(), Options::default());
    assert_eq!(read(&text(&files(dir.path(), "access"))).0, [0, 1, 2]);
}

#[test]
fn a_file_ends_before_its_size_limit_and_the_next_has_the_next_number() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { max_file: 10_000, ..Options::default() };
    let (dispatch, flush) = open(dir.path(), options());
    with_default(&dispatch, || (0..500).for_each(|n| emit(site("access"), n)));
    flush.flush().unwrap();
    drop((dispatch, flush));
    let (dispatch, _) = open(dir.path(), options());
    with_default(&dispatch, || (500..1000).for_each(|n| emit(site("access"), n)));
    drop(dispatch);
    let files = files(dir.path(), "access");
    assert_eq!(sorted(&text(&files)), (0..1000).collect::<Vec<_>>());
    assert!(files.len() > 10);
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 10_000));
    assert!(files.iter().any(|file| file.to_str().unwrap().ends_with(".11.jsonl")));
    // Every file but the last is full: the restart went on in the unfinished one.
    let small = files.iter().filter(|file| fs::metadata(file).unwrap().len() < 9_000).count();
    assert!(small <= 1, "{small}");
}

#[test]
fn moving_or_removing_a_file_loses_no_later_line() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, flush) = open(dir.path(), Options::default());
    let site = site("access");
    let away = dir.path().join("away.jsonl");
    with_default(&dispatch, || {
        emit(site, 1);
        flush.flush().unwrap();
        fs::rename(files(dir.path(), "access").remove(0), &away).unwrap();
        emit(site, 2);
        flush.flush().unwrap();
        flush.reopen();
        emit(site, 3);
        flush.flush().unwrap();
        assert_eq!(read(&text(std::slice::from_ref(&away))).0, [1]);
        assert_eq!(read(&text(&files(dir.path(), "access"))).0, [2, 3]);
        fs::remove_dir_all(dir.path()).unwrap();
        emit(site, 4);
        flush.flush().unwrap();
        assert_eq!(read(&text(&files(dir.path(), "access"))).0, [4]);
    });
    assert_eq!((flush.stats().failed, flush.stats().dropped), (0, 0));
}

#[test]
fn moving_files_away_under_load_loses_no_line_and_repeats_none() {
    let dir = tempfile::tempdir().unwrap();
    let away = tempfile::tempdir_in(dir.path()).unwrap();
    let (dispatch, flush) =
        open(dir.path(), Options { overflow: Overflow::Block, ..Options::default() });
    let site = site("access");
    thread::scope(|scope| {
        let (dispatch, flush) = (&dispatch, &flush);
        let load =
            scope.spawn(move || with_default(dispatch, || (0..30_000).for_each(|n| emit(site, n))));
        let mut moved = 0;
        while !load.is_finished() {
            for file in files(dir.path(), "access") {
                fs::rename(file, away.path().join(moved.to_string())).unwrap();
                moved += 1;
            }
            if moved % 2 == 0 {
                flush.reopen();
            }
            thread::sleep(Duration::from_millis(3));
        }
        assert!(moved > 3);
    });
    flush.flush().unwrap();
    let mut all = files(dir.path(), "access");
    all.extend(fs::read_dir(away.path()).unwrap().map(|entry| entry.unwrap().path()));
    assert_eq!(sorted(&text(&all)), (0..30_000).collect::<Vec<_>>());
}

#[test]
fn two_sinks_in_one_folder_write_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let one = open(dir.path(), Options::default());
    with_default(&one.0, || emit(site("access"), 1));
    one.1.flush().unwrap();
    let two = open(dir.path(), Options::default());
    with_default(&two.0, || emit(site("access"), 2));
    two.1.flush().unwrap();
    with_default(&one.0, || emit(site("access"), 3));
    one.1.flush().unwrap();
    let files = files(dir.path(), "access");
    let read_all: BTreeSet<Vec<u64>> =
        files.iter().map(|file| read(&fs::read_to_string(file).unwrap()).0).collect();
    assert_eq!(read_all, [vec![1, 3], vec![2]].into());
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, flush) = open(dir.path(), Options::default());
    with_default(&dispatch, || emit(site("access"), 1));
    flush.flush().unwrap();
    let file = files(dir.path(), "access").remove(0);
    let target = dir.path().join("target");
    fs::write(&target, "precious").unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&target, &file).unwrap();
    with_default(&dispatch, || emit(site("access"), 2));
    flush.flush().unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    let other = files(dir.path(), "access").into_iter().find(|other| *other != file).unwrap();
    assert_eq!(read(&text(std::slice::from_ref(&other))).0, [2]);
    // Nor does a link that leads nowhere make a file there.
    let nowhere = dir.path().join("nowhere");
    fs::remove_file(&other).unwrap();
    symlink(&nowhere, &other).unwrap();
    with_default(&dispatch, || emit(site("access"), 3));
    flush.flush().unwrap();
    assert!(!nowhere.exists());
}

#[test]
fn files_past_retention_are_deleted_at_the_start_and_by_the_timer_without_requests() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("access")).unwrap();
    let put = |name: &str| fs::write(dir.path().join("access").join(name), "{}\n").unwrap();
    put("access-2001-01-01T00.jsonl");
    put("access-2001-01-01T01.jsonl.gz");
    put("other-2001-01-01T00.jsonl");
    let (_dispatch, flush) = open(dir.path(), Options::default());
    assert_eq!((files(dir.path(), "access").len(), flush.stats().deleted), (1, 2));

    let retention = Duration::from_secs(1);
    let policy = policy(&[("short", "1s")]);
    let (layer, flush) = JsonLines::to_folder(dir.path(), &policy, Options::default()).unwrap();
    let start = Instant::now();
    with_default(&dispatch(layer), || emit(site("short"), 1));
    flush.flush().unwrap();
    assert_eq!(files(dir.path(), "short").len(), 1);
    wait_for(|| files(dir.path(), "short").is_empty());
    assert!(start.elapsed() >= retention, "deleted early");
    assert!(start.elapsed() <= retention + Duration::from_millis(2500), "deleted late");
    wait_for(|| flush.stats().deleted == 1);
}

/// A sync that cannot open the folder of a new file is a fault, which shows that there was one.
#[test]
fn durable_mode_syncs_file_and_folder_in_time_and_at_a_flush() {
    let opened = |sync| {
        let dir = tempfile::tempdir().unwrap();
        let (dispatch, flush) = open(dir.path(), Options { sync, ..Options::default() });
        with_default(&dispatch, || emit(site("access"), 1));
        wait_for(|| flush.stats().written == 1);
        fs::remove_dir_all(dir.path()).unwrap();
        (dispatch, flush)
    };
    let (_dispatch, flush) = opened(None);
    assert!(flush.flush().is_ok(), "the system syncs when it likes");
    let (_dispatch, flush) = opened(Some(Duration::from_secs(3600)));
    assert!(flush.flush().is_err());
    let (_dispatch, flush) = opened(Some(Duration::from_secs(1)));
    wait_for(|| flush.stats().failed > 0);
}

#[test]
fn durable_mode_writes_the_same_lines() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { sync: Some(Duration::from_millis(20)), max_file: 5_000, ..Options::default() };
    let (dispatch, flush) = open(dir.path(), options);
    with_default(&dispatch, || (0..200).for_each(|n| emit(site("access"), n)));
    flush.flush().unwrap();
    assert_eq!(sorted(&text(&files(dir.path(), "access"))), (0..200).collect::<Vec<_>>());
}

#[cfg(feature = "gzip")]
#[test]
fn finished_files_are_compressed_and_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let policy = policy(&[("access", "10m")]);
    let options =
        Options { compress: super::super::Compress::Gzip, max_file: 20_000, ..Options::default() };
    let (layer, flush) = JsonLines::to_folder(dir.path(), &policy, options).unwrap();
    let dispatch = dispatch(layer);
    let start = Instant::now();
    let mut n = 0;
    while start.elapsed() < Duration::from_millis(2500) {
        with_default(&dispatch, || {
            (0..50).for_each(|_| {
                emit(site("access"), n);
                n += 1;
            });
        });
        thread::sleep(Duration::from_millis(10));
    }
    flush.flush().unwrap();
    wait_for(|| {
        files(dir.path(), "access").iter().filter(|file| file.extension().unwrap() == "gz").count()
            > 3
    });
    drop((dispatch, flush));
    let mut all = String::new();
    for file in files(dir.path(), "access") {
        let mut raw = fs::File::open(&file).unwrap();
        if file.extension().unwrap().to_str().unwrap() == "gz" {
            flate2::read::GzDecoder::new(raw).read_to_string(&mut all)
        } else {
            raw.read_to_string(&mut all)
        }
        .unwrap();
    }
    assert_eq!(sorted(&all), (0..n).collect::<Vec<_>>());
}
