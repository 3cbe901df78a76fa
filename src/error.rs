//! Every sentence an operator can get.
//!
//! Sentences quote the operator's own policy, never a request and never a key.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::key_error::KeyError;
use crate::policy::problem::Problem;

/// What is wrong with a policy, a file, a key or a code, in sentences for the operator.
///
/// A policy's error has one line for every mistake in it.
pub struct Error(Kind);

enum Kind {
    Policy {
        path: Option<PathBuf>,
        lines: Vec<String>,
    },
    #[cfg(feature = "toml")]
    Unreadable {
        path: PathBuf,
        why: std::io::ErrorKind,
    },
    Keys(KeyError),
    Code,
}

impl Error {
    /// `text` is what the places of the problems count in.
    pub(crate) fn policy(path: Option<&Path>, text: Option<&str>, problems: &[Problem]) -> Self {
        let lines = problems.iter().map(|problem| problem.line(text)).collect();
        Self(Kind::Policy { path: path.map(Path::to_owned), lines })
    }

    #[cfg(feature = "toml")]
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(Kind::Unreadable { path: path.to_owned(), why: error.kind() })
    }

    pub(crate) const fn keys(error: KeyError) -> Self {
        Self(Kind::Keys(error))
    }

    pub(crate) const fn code() -> Self {
        Self(Kind::Code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Policy { path, lines } => policy(f, path.as_deref(), lines),
            #[cfg(feature = "toml")]
            Kind::Unreadable { path, why } => {
                write!(f, "{}: cannot read the policy: {why}", path.display())
            }
            Kind::Keys(error) => error.fmt(f),
            Kind::Code => {
                f.write_str("expected an error code of 1 to 64 of the characters a-z 0-9 _ .")
            }
        }
    }
}

fn policy(f: &mut fmt::Formatter<'_>, path: Option<&Path>, lines: &[String]) -> fmt::Result {
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            f.write_str("\n")?;
        }
        match path {
            Some(path) => write!(f, "{}: {line}", path.display())?,
            None => write!(f, "policy: {line}")?,
        }
    }
    Ok(())
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Error").field(&self.to_string()).finish()
    }
}

impl std::error::Error for Error {}
