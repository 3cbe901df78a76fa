//! What the sink does to a file: open, lock, mend, compare.
//!
//! The rule: only regular files, never through a symbolic link, and only under an exclusive lock, so
//! that a file which another process writes to is left alone. A lock ends with its process, however
//! that ends. Where the file system knows no locks, there is one process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::name;

const BLOCK: u64 = 64 * 1024;

/// Makes the folder for one log; nobody but the owner may look into it.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Opens a file for appending; none when there is none, it is in use, or it is not a regular file.
pub(crate) fn claim(path: &Path, create: bool) -> io::Result<Option<File>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(create)
        .mode(0o600)
        .custom_flags(flags)
        .open(path);
    match opened {
        Ok(file) if file.metadata()?.is_file() && lock(&file) && is_at(&file, path) => {
            Ok(Some(file))
        }
        Ok(_) => Ok(None),
        Err(error) if is_foreign(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !create => Ok(None),
        Err(error) => Err(error),
    }
}

/// The errors of opening something that is not a regular file.
fn is_foreign(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV)
    )
}

fn lock(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
}

/// Whether `path` still leads to `file`, which may have been moved, removed or replaced.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) => {
            return !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        }
    };
    file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// Cuts off what follows the last line end; true when there was something.
pub(crate) fn mend(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        read(file, start, end, &mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end < length)
}

/// The newest timestamp among the last lines of the file, if they have one.
pub(crate) fn newest(file: &File) -> Option<Duration> {
    const KEY: &[u8] = b"{\"timestamp\":\"";
    let length = file.metadata().ok()?.len();
    let mut block = Vec::new();
    read(file, length.saturating_sub(BLOCK), length, &mut block).ok()?;
    let lines = block.split(|&byte| byte == b'\n');
    lines.filter_map(|line| name::parse_timestamp(line.strip_prefix(KEY)?)).max()
}

fn read(file: &File, start: u64, end: u64, block: &mut Vec<u8>) -> io::Result<()> {
    block.resize(usize::try_from(end - start).unwrap_or_default(), 0);
    file.read_exact_at(block, start)
}
