//! Finished files become `….jsonl.gz`, for `zcat` and every other reader of gzip.
//!
//! The rule: at every moment the lines are complete in exactly one file that counts. The compressed file
//! gets its name only when it is whole and on the disk; then the plain one goes. A crash in between is
//! put right at the next start.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::file;
use super::name::{Form, Name};
use crate::retention::Retention;

pub(crate) fn pack_at(retention: &Retention, now: Duration) -> io::Result<()> {
    for name in retention.finished_at(now)? {
        pack(retention, name)?;
    }
    Ok(())
}

fn pack(retention: &Retention, name: Name) -> io::Result<()> {
    let path = |form| retention.path(name.with_form(form));
    let (Some(plain), Some(part)) =
        (file::claim(&path(Form::Plain), false)?, file::claim(&path(Form::Part), true)?)
    else {
        return Ok(());
    };
    if let Err(error) = copy(&plain, &part) {
        fs::remove_file(path(Form::Part))?;
        return Err(error);
    }
    fs::rename(path(Form::Part), path(Form::Gzip))?;
    sync(&path(Form::Gzip))?;
    fs::remove_file(path(Form::Plain))
}

fn copy(mut plain: &File, part: &File) -> io::Result<()> {
    part.set_len(0)?;
    let mut encoder = GzEncoder::new(part, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?.sync_all()
}

/// Makes the new name as lasting as the bytes.
fn sync(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
