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
pub use middleware::{PrivacyLog, PrivacyLogLayer, ResponseBody, ResponseFuture};
pub use policy::{Builder, Keys, LegalBasis, Log, Policy, Purpose, Signal};
