//! Request logs that hold what your privacy policy declares, and nothing else.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod app;
mod client;
mod device;
mod emit;
mod error;
mod event;
mod field;
mod forwarded;
mod host;
#[cfg(feature = "json-lines")]
mod json_lines;
mod key_file;
mod language;
mod middleware;
mod percent;
mod plan;
mod policy;
mod pseudonym;
mod record;
mod text;
mod timestamp;
mod url;

pub use app::{Consent, ErrorCode, FieldValue, LogFields, PeerAddr, Route};
pub use error::Error;
pub use field::{Address, AppTreatment, Field, Path, Referer, Status};
#[cfg(feature = "json-lines")]
pub use json_lines::{Flush, JsonLines, Options};
pub use key_file::KeyFile;
pub use middleware::{PrivacyLog, PrivacyLogLayer, ResponseBody, ResponseFuture};
pub use policy::{Builder, Keys, LegalBasis, Log, Policy, Purpose, Signal};
