#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod app;
mod buffer;
mod client;
mod count;
mod device;
mod emit;
mod error;
mod event;
mod exchange;
mod field;
mod fixed;
mod forwarded;
#[cfg(fuzzing)]
#[doc(hidden)]
#[allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "not part of the crate"
)]
pub mod fuzz;
mod host;
mod json;
#[cfg(feature = "json-lines")]
mod json_lines;
mod key_error;
mod key_file;
mod key_text;
mod keys;
mod language;
mod line;
mod listed;
mod middleware;
mod percent;
mod plan;
mod policy;
mod presets;
mod pseudonym;
mod record;
#[cfg(feature = "json-lines")]
mod retention;
mod scan;
mod text;
mod timestamp;
mod url;
mod work;

pub use app::{Consent, ErrorCode, FieldValue, LogFields, PeerAddr, Route};
pub use count::{CountBody, CountBodyLayer, CountedBody};
pub use error::Error;
pub use field::{Address, AppTreatment, Field, Path, Referer, Status};
#[cfg(feature = "json-lines")]
pub use json_lines::{Compress, Flush, JsonLines, Options, Overflow, Stats};
pub use key_file::KeyFile;
pub use middleware::{PrivacyLog, PrivacyLogLayer, ResponseBody, ResponseFuture};
pub use policy::{Builder, Keys, LegalBasis, Log, Policy, Purpose, Signal};
