//! A policy's tracing call-sites: metadata with the declared names only.
//!
//! A call-site is leaked once for each target, level and list of names, and shared by every
//! policy that has the same. It is registered when it is first used, as those of macros are: before, the
//! subscriber that will hear it may not be anybody's yet. Events leave the entered spans first, because formatters print a
//! span's fields beside any event (a request's URI, for example) even if it has no parent.

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "json-lines")]
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::callsite::{Callsite, Identifier, rebuild_interest_cache, register};
use tracing::field::{FieldSet, Value};
use tracing::level_filters::LevelFilter;
use tracing::metadata::Kind;
use tracing::span::Id;
use tracing::subscriber::{Interest, NoSubscriber};
use tracing::{Dispatch, Event, Level, Metadata, dispatcher};

#[cfg(feature = "json-lines")]
use crate::json::Key;
use crate::line::Line;

/// One call-site, alive as long as the process.
pub(crate) struct Site {
    log: &'static str,
    /// The names as a JSON line has them.
    #[cfg(feature = "json-lines")]
    keys: Box<[Key]>,
    metadata: OnceLock<Metadata<'static>>,
    interest: AtomicU8,
    /// Whether the interest is an answer of all subscribers.
    settled: AtomicBool,
    next: OnceLock<&'static Self>,
}

const NEVER: u8 = 0;
const SOMETIMES: u8 = 1;
const ALWAYS: u8 = 2;
/// Not registered yet.
const NEW: u8 = 3;

const TARGET: &str = "privacy_log::";

static FIRST: OnceLock<&'static Site> = OnceLock::new();

impl Site {
    /// The call-site for these names; made and registered if there was none.
    pub(crate) fn intern(log: &str, level: Level, names: &[&str]) -> &'static Self {
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |site: &&Self| {
            let metadata = site.metadata();
            site.log == log
                && *metadata.level() == level
                && metadata.fields().iter().map(|f| f.name()).eq(names.iter().copied())
        };
        all().find(same).unwrap_or_else(|| Self::leak(log, level, names))
    }

    fn leak(log: &str, level: Level, names: &[&str]) -> &'static Self {
        let target: &'static str = format!("{TARGET}{log}").leak();
        let names: Vec<&'static str> = names.iter().map(|name| &*name.to_string().leak()).collect();
        let site: &'static Self = Box::leak(Box::new(Self {
            log: target.strip_prefix(TARGET).unwrap_or_default(),
            #[cfg(feature = "json-lines")]
            keys: names.iter().map(|name| Key::new(name)).collect(),
            metadata: OnceLock::new(),
            interest: AtomicU8::new(NEW),
            settled: AtomicBool::new(false),
            next: OnceLock::new(),
        }));
        let fields = FieldSet::new(names.leak(), Identifier(site));
        site.metadata.get_or_init(|| {
            Metadata::new("privacy_log", target, level, None, None, None, fields, Kind::EVENT)
        });
        let last = all().last().map_or(&FIRST, |site| &site.next);
        last.get_or_init(|| site);
        site
    }

    #[cold]
    fn register(&'static self) {
        // Whoever comes while another thread registers emits, and is heard if anybody listens.
        let new =
            self.interest.compare_exchange(NEW, SOMETIMES, Ordering::AcqRel, Ordering::Relaxed);
        if new.is_err() {
            return;
        }
        register(self);
        // As long as there is one subscriber, tracing-core asks that of the calling thread, which may be
        // none, on behalf of every other thread. While there is a second one it asks all.
        if self.interest.load(Ordering::Relaxed) == NEVER {
            let second = Dispatch::new(NoSubscriber::default());
            let heard = self.interest.load(Ordering::Relaxed) != NEVER;
            drop(second);
            rebuild_interest_cache();
            if heard && self.interest.load(Ordering::Relaxed) == NEVER {
                self.interest.store(SOMETIMES, Ordering::Relaxed);
            }
        }
        self.settled.store(true, Ordering::Release);
    }

    /// The call-site that this metadata belongs to, if it is one of ours.
    #[cfg(feature = "json-lines")]
    pub(crate) fn of(metadata: &Metadata<'_>) -> Option<&'static Self> {
        all().find(|site| ptr::addr_eq(ptr::from_ref(site.metadata()), ptr::from_ref(metadata)))
    }

    /// The log's name.
    #[cfg(feature = "json-lines")]
    pub(crate) const fn log(&self) -> &'static str {
        self.log
    }

    #[cfg(feature = "json-lines")]
    pub(crate) const fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether anybody might want an event of this call-site. A filter that decides event by
    /// event is not asked: per-layer filters take the next event for the one asked about.
    pub(crate) fn wanted(&'static self) -> bool {
        if *self.metadata().level() > LevelFilter::current() {
            return false;
        }
        if self.interest.load(Ordering::Relaxed) == NEW {
            self.register();
        }
        self.interest.load(Ordering::Relaxed) != NEVER || !self.settled.load(Ordering::Acquire)
    }
}

fn all() -> impl Iterator<Item = &'static Site> {
    std::iter::successors(FIRST.get().copied(), |site| site.next.get().copied())
}

impl Callsite for Site {
    fn set_interest(&self, interest: Interest) {
        let interest = match (interest.is_never(), interest.is_always()) {
            (true, _) => NEVER,
            (_, true) => ALWAYS,
            _ => SOMETIMES,
        };
        self.interest.store(interest, Ordering::Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata.get().expect("a site is given its metadata before anybody sees it")
    }
}

/// Runs `emit` outside of every span, for events through [`Outside::event`].
///
/// A subscriber that panics loses its event, not the request or, when a record is dropped by a
/// panic already, the process.
pub(crate) fn outside_spans(emit: impl FnOnce(&Outside)) {
    alone(|| {
        let outside = Outside::leave(dispatcher::get_default(Clone::clone));
        emit(&outside);
    });
}

/// Runs a part whose panic is nobody else's.
pub(crate) fn alone(part: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(part));
}

/// The current dispatcher with the entered spans left until this is dropped.
///
/// It is a clone because an event inside of `get_default` would be lost.
pub(crate) struct Outside {
    dispatch: Dispatch,
    left: Vec<Id>,
}

/// More than anybody nests; a bound for subscribers whose `exit` does not.
const DEEPEST: usize = 1024;

impl Outside {
    fn leave(dispatch: Dispatch) -> Self {
        let mut outside = Self { dispatch, left: Vec::new() };
        while outside.left.len() < DEEPEST {
            let Some(id) = outside.dispatch.current_span().id().cloned() else { break };
            let id = outside.dispatch.clone_span(&id);
            outside.dispatch.exit(&id);
            outside.left.push(id);
        }
        outside
    }

    /// One event of this call-site, whose line this is; a `None` is a field that the event does not have.
    pub(crate) fn event(&self, site: &'static Site, values: &[Option<&dyn Value>], line: &Line) {
        let metadata =
            site.metadata.get().expect("a site is given its metadata before anybody sees it");
        let always = site.interest.load(Ordering::Relaxed) == ALWAYS;
        if always || self.dispatch.enabled(metadata) {
            let values = metadata.fields().value_set_all(values);
            let event = Event::new_child_of(None, metadata, &values);
            line.with(&event, || self.dispatch.event(&event));
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        while let Some(id) = self.left.pop() {
            self.dispatch.enter(&id);
            self.dispatch.try_close(id);
        }
    }
}
