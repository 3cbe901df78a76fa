//! What an application tells the layer, through request and response extensions.
//!
//! Values are reduced when they are set: only what the policy declares, in its reduced form, is
//! kept until the record is emitted. What is undeclared is counted and gone.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::event::outside_spans;
use crate::plan::Plan;
use crate::pseudonym::Epoch;
use crate::text::{self, Text};

/// The peer's address, for servers without axum's `ConnectInfo`: put it into the request
/// extensions before the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The matched route's template, for routers other than axum's: put it into the request
/// extensions before the layer, or into the response extensions.
///
/// # Privacy
///
/// The template (`/users/{id}`), never the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    template: Arc<str>,
    is_word: bool,
}

impl Route {
    /// The template as the router knows it. Clones are cheaper than new ones.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        let template = template.into();
        Self { is_word: text::is_word(&template), template }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.template
    }

    /// Whether it can be written as it stands.
    pub(crate) const fn is_word(&self) -> bool {
        self.is_word
    }
}

/// The application's own stable code for an error; put it into the response extensions.
///
/// It becomes `error.type`, unless the exchange ended worse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(Arc<str>);

impl ErrorCode {
    /// A code of 1 to 64 of the characters `a-z 0-9 _ .`, such as `upload.too_large`.
    ///
    /// # Errors
    ///
    /// When it has other characters, none, or too many. The error does not repeat the code.
    pub fn new(code: &str) -> Result<Self, Error> {
        let fits = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.')
        };
        if (1..=64).contains(&code.len()) && code.bytes().all(fits) {
            return Ok(Self(code.into()));
        }
        Err(Error::code())
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The visitor's consent to the logs of these names, whose legal basis is `consent`; put it into
/// the request or response extensions.
///
/// Without it such a log has no record of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent(Vec<Arc<str>>);

impl Consent {
    /// Consent to one log.
    pub fn to(log: impl Into<Arc<str>>) -> Self {
        Self(vec![log.into()])
    }

    /// And to another one.
    #[must_use]
    pub fn and(mut self, log: impl Into<Arc<str>>) -> Self {
        self.0.push(log.into());
        self
    }

    pub(crate) fn covers(&self, log: &str) -> bool {
        self.0.iter().any(|name| **name == *log)
    }
}

/// Takes the fields that a handler adds to the record of its exchange.
///
/// The layer puts one into the extensions of every request when its policy declares app fields.
/// With the feature `axum` it is an extractor that never fails; elsewhere it is
/// `request.extensions().get::<LogFields>()`. Values may be added until the record is emitted,
/// which is when the response body ends.
#[derive(Clone, Default)]
pub struct LogFields(Option<Arc<Added>>);

struct Added {
    plan: Arc<Plan>,
    epoch: Option<Arc<Epoch>>,
    values: Mutex<Vec<AppValue>>,
}

impl LogFields {
    pub(crate) fn new(plan: Arc<Plan>, epoch: Option<Arc<Epoch>>) -> Self {
        let values = Mutex::new(Vec::new());
        Self(Some(Arc::new(Added { plan, epoch, values })))
    }

    /// Adds a field; a later value replaces an earlier one.
    ///
    /// # Privacy
    ///
    /// Nothing of an undeclared field is kept; only its name may be shown, once, in a debug
    /// build's warning.
    pub fn set<'v>(&self, name: &str, value: impl Into<FieldValue<'v>>) {
        if let Some(added) = &self.0 {
            added.set(name, &value.into());
        }
    }

    /// Every value, in the order of the plan's app slots.
    pub(crate) fn take(&self) -> Vec<AppValue> {
        let added = self.0.as_ref();
        added.map_or_else(Vec::new, |added| std::mem::take(&mut *added.values()))
    }
}

impl Added {
    fn set(&self, name: &str, value: &FieldValue<'_>) {
        let slots = self.plan.app_slots(name);
        if slots.is_empty() {
            self.undeclared(name);
            return;
        }
        let mut values = self.values();
        values.resize_with(self.plan.app.len(), || AppValue::Absent);
        for slot in slots {
            if let (Some(kept), Some(app)) = (values.get_mut(*slot), self.plan.app.get(*slot)) {
                *kept = app.reduce(value, self.epoch.as_deref());
            }
        }
    }

    fn values(&self) -> MutexGuard<'_, Vec<AppValue>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn undeclared(&self, name: &str) {
        self.plan.dropped.fetch_add(1, Ordering::Relaxed);
        if cfg!(debug_assertions) && self.plan.warns(name) {
            let name = Text::new(name);
            let name = name.as_str();
            outside_spans(|_| {
                tracing::warn!(target: "tower_privacy_log", name, "a field that no log declares was dropped");
            });
        }
    }
}

impl fmt::Debug for LogFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFields").finish_non_exhaustive()
    }
}

#[cfg(feature = "axum")]
impl<S: Sync> axum_core::extract::FromRequestParts<S> for LogFields {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// A value that a handler adds: text, an integer, a float or a truth.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FieldValue<'v> {
    /// Made safe and cut to 256 characters.
    Text(Cow<'v, str>),
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// A number with a fraction; the field is absent if it is not finite.
    Float(f64),
    /// True or false.
    Truth(bool),
}

impl<'v> From<&'v str> for FieldValue<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text.into())
    }
}

impl<'v> From<&'v String> for FieldValue<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for FieldValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for FieldValue<'_> {
    fn from(number: usize) -> Self {
        Self::Unsigned(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<isize> for FieldValue<'_> {
    fn from(number: isize) -> Self {
        Self::Signed(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

macro_rules! from {
    ($($variant:ident: $($from:ty)*;)*) => {$($(
        impl From<$from> for FieldValue<'_> {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*)*};
}

from! {
    Signed: i8 i16 i32 i64;
    Unsigned: u8 u16 u32 u64;
    Float: f32 f64;
    Truth: bool;
}

/// What is left of a value after its treatment.
#[derive(Clone)]
pub(crate) enum AppValue {
    Absent,
    Text(Text),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Truth(bool),
}
