//! A record as events: every step's value, typed, for every log that gets one.
//!
//! A value is written once, into the event's line, and lent to the event from where the record has it. So
//! a record needs no heap. A value that is not there is left out.

use http::StatusCode;
use tracing::field::Value;

use crate::app::AppValue;
use crate::buffer::Buffer;
use crate::event::{Outside, Site, alone, outside_spans};
use crate::field::Status;
use crate::fixed::Fixed;
use crate::json::{self, Key};
use crate::line::{Line, lend};
use crate::plan::{LogPlan, Plan, Step};
use crate::record::{End, Record, Template};
use crate::text::{Text, Written};
use crate::timestamp;

pub(crate) fn emit(plan: &Plan, record: &Record) {
    if record.logs == 0 {
        return;
    }
    // Taken, so that a subscriber which adds a field meanwhile is late and not stuck.
    let added = record.fields.take();
    outside_spans(|outside| {
        for (at, log) in (0..).zip(&plan.logs) {
            if record.logs & 1 << at != 0 {
                alone(|| event(plan, record, log, &added, outside));
            }
        }
    });
}

fn event(plan: &Plan, record: &Record, log: &LogPlan, added: &[AppValue], outside: &Outside) {
    let site = site(record, log);
    if !site.wanted() {
        return;
    }
    let time = log.precision.zip(record.at).map(|(precision, at)| timestamp::text(at, precision));
    let time = time.as_deref();
    lend(|line| {
        let emission = Emission { plan, record, log, added, outside, site, time, line };
        match log.steps.len() {
            ..=12 => emission.few::<12>(),
            13..=24 => emission.few::<24>(),
            25..=32 => emission.few::<32>(),
            _ => emission.many(),
        }
    });
}

struct Emission<'e> {
    plan: &'e Plan,
    record: &'e Record,
    log: &'e LogPlan,
    added: &'e [AppValue],
    outside: &'e Outside,
    site: &'static Site,
    time: Option<&'e str>,
    line: &'e Line,
}

impl<'e> Emission<'e> {
    fn few<const N: usize>(&self) {
        let mut parts = [const { Part::Absent }; N];
        let mut values = [None; N];
        let count = self.log.steps.len();
        self.send(
            parts.get_mut(..count).unwrap_or_default(),
            values.get_mut(..count).unwrap_or_default(),
        );
    }

    /// More fields than a stack should hold.
    fn many(&self) {
        let mut parts: Vec<Part<'_>> = self.log.steps.iter().map(|_| Part::Absent).collect();
        self.send(&mut parts, &mut vec![None; self.log.steps.len()]);
    }

    fn send<'p>(&self, parts: &'p mut [Part<'e>], values: &mut [Option<&'p dyn Value>]) {
        self.write(parts, values);
        // Whoever emits meanwhile gets another line.
        let _used = self.line.buffer.borrow();
        self.outside.event(self.site, values, self.line);
    }

    fn write<'p>(&self, parts: &'p mut [Part<'e>], values: &mut [Option<&'p dyn Value>]) {
        let mut line = self.line.buffer.borrow_mut();
        line.clear();
        let Self { plan, record, log, added, time, .. } = *self;
        let mut writer = Writer { plan, record, log, added, time, line: &mut line };
        let (mut parts, mut values) = (parts.iter_mut(), values.iter_mut());
        for (step, key) in &log.steps {
            let Some(part) = parts.next() else { break };
            let Some(value) = values.next() else { break };
            *value = writer.value(*step, key, part);
        }
        line.close();
    }
}

fn site(record: &Record, log: &LogPlan) -> &'static Site {
    let failed = match record.end {
        End::Panic | End::BodyError | End::ServiceError => true,
        End::Complete | End::Aborted | End::Truncated => {
            record.status.is_some_and(|status| status.is_server_error())
        }
    };
    if failed { log.failed } else { log.calm }
}

/// A value as the event borrows it.
enum Part<'r> {
    Absent,
    Text(&'r str),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Truth(bool),
}

impl Part<'_> {
    #[inline]
    fn lend(self, place: &mut Self) -> Option<&dyn Value> {
        *place = self;
        match place {
            Self::Absent => None,
            Self::Text(text) => Some(text),
            Self::Signed(number) => Some(number),
            Self::Unsigned(number) => Some(number),
            Self::Float(number) => Some(number),
            Self::Truth(truth) => Some(truth),
        }
    }
}

/// Writes `,"name":value` per field; the first comma becomes the brace.
struct Writer<'r, 's> {
    plan: &'r Plan,
    record: &'r Record,
    log: &'r LogPlan,
    added: &'r [AppValue],
    time: Option<&'r str>,
    line: &'s mut Buffer,
}

impl<'r> Writer<'r, '_> {
    /// Writes a field, if the record has it, and puts its value where the event can borrow it.
    #[inline]
    fn value<'p>(
        &mut self,
        step: Step,
        key: &Key,
        place: &'p mut Part<'r>,
    ) -> Option<&'p dyn Value> {
        let record = self.record;
        // Most are words, which are written in one place.
        let word = match step {
            Step::Timestamp => return self.timestamp(key).lend(place),
            Step::Reduced(at) => {
                let text = record.reduced.get(at)?.as_ref()?;
                match text.written() {
                    Written::Word(word) => Some(word),
                    Written::Fixed(word) => return Some(self.fixed(key, word)),
                    Written::Escaped(text) => return self.escaped(key, text).lend(place),
                }
            }
            Step::Method => return Some(self.fixed(key, record.method)),
            Step::Route => {
                let route = record.route.as_ref()?;
                if let Template::Escaped(text) = route {
                    return self.text(key, text).lend(place);
                }
                Some(route.as_str())
            }
            Step::Scheme => return Some(self.fixed(key, record.scheme?)),
            Step::Version => return Some(self.fixed(key, record.version?)),
            Step::AgentName => return Some(self.fixed(key, record.device?.name.word())),
            Step::AgentOs => return Some(self.fixed(key, record.device?.system.word())),
            Step::DeviceType => return Some(self.fixed(key, record.device?.kind.word())),
            Step::Status(Status::Class) => record.status.and_then(class),
            Step::ErrorType => self.error(),
            Step::Log => return self.head().lend(place),
            // Written with the log's name.
            Step::Policy => return Part::Text(&self.plan.reference).lend(place),
            Step::App(at) => return self.app(key, self.added.get(at)?).lend(place),
            Step::Status(Status::Keep) => return self.status(key, record.status?).lend(place),
            Step::AgentVersion => return self.signed(key, record.device?.version?).lend(place),
            Step::Duration(step) => return self.lasted(key, record.lasted?, step).lend(place),
            Step::RequestSize(round) => {
                return self.rounded(key, record.received()?, round).lend(place);
            }
            Step::ResponseSize(round) => {
                record.status?;
                return self.rounded(key, record.sent, round).lend(place);
            }
            Step::GrpcStatus => return self.signed(key, record.grpc?.into()).lend(place),
        }?;
        self.line.word(key, word);
        Part::Text(word).lend(place)
    }

    #[inline]
    fn fixed(&mut self, key: &Key, word: &'static Fixed) -> &'static dyn Value {
        self.line.fixed(key, word);
        &word.text
    }

    #[inline(never)]
    fn timestamp(&mut self, key: &Key) -> Part<'r> {
        let Some(time) = self.time else { return Part::Absent };
        self.line.word(key, time);
        Part::Text(time)
    }

    fn head(&mut self) -> Part<'r> {
        self.line.append(&self.log.head);
        Part::Text(&self.log.name)
    }

    fn app(&mut self, key: &Key, value: &'r AppValue) -> Part<'r> {
        match value {
            AppValue::Absent => Part::Absent,
            AppValue::Text(text) => self.text(key, text),
            AppValue::Signed(number) => {
                self.line.signed(key, *number);
                Part::Signed(*number)
            }
            AppValue::Unsigned(number) => self.unsigned(key, *number),
            AppValue::Float(number) => self.float(key, *number),
            AppValue::Truth(truth) => {
                self.line.bare(key, if *truth { b"true" } else { b"false" });
                Part::Truth(*truth)
            }
        }
    }

    /// What ended the exchange, else the application's code, else a 5xx number.
    fn error(&self) -> Option<&'r str> {
        let record = self.record;
        match record.end {
            End::Panic => Some("panic"),
            End::Aborted => Some("aborted"),
            End::Truncated => Some("truncated"),
            End::BodyError => Some("body_error"),
            End::ServiceError => Some("service_error"),
            End::Complete => match (&record.code, &record.status) {
                (Some(code), _) => Some(code.as_str()),
                (None, Some(status)) if status.is_server_error() => Some(status.as_str()),
                (None, _) => None,
            },
        }
    }

    #[cold]
    fn text(&mut self, key: &Key, text: &'r Text) -> Part<'r> {
        let Some(word) = text.as_word() else {
            return self.escaped(key, text.as_str());
        };
        self.line.word(key, word);
        Part::Text(word)
    }

    #[cold]
    fn escaped(&mut self, key: &Key, text: &'r str) -> Part<'r> {
        self.line.append(key.text());
        self.line.with(|line| json::escape(text, line));
        self.line.append(b"\"");
        Part::Text(text)
    }

    fn status(&mut self, key: &Key, status: StatusCode) -> Part<'r> {
        self.line.bare(key, &json::three_digits(status.as_u16()));
        Part::Signed(status.as_u16().into())
    }

    #[inline]
    fn unsigned(&mut self, key: &Key, number: u64) -> Part<'r> {
        self.line.number(key, number);
        Part::Unsigned(number)
    }

    #[inline]
    fn signed(&mut self, key: &Key, number: u16) -> Part<'r> {
        self.line.number(key, number.into());
        Part::Signed(number.into())
    }

    #[inline]
    fn rounded(&mut self, key: &Key, bytes: u64, round: u64) -> Part<'r> {
        self.unsigned(key, bytes.div_ceil(round).saturating_mul(round))
    }

    fn lasted(&mut self, key: &Key, lasted: u32, step: u32) -> Part<'r> {
        let count = lasted - lasted.checked_rem(step).unwrap_or(0);
        self.line.bare(key, &json::thousandths(count));
        Part::Float(f64::from(count) / 1000.0)
    }

    #[cold]
    fn float(&mut self, key: &Key, number: f64) -> Part<'r> {
        if number.is_finite() {
            self.line.append(key.name());
            self.line.with(|line| json::decimal(number, line));
        }
        Part::Float(number)
    }
}

fn class(status: StatusCode) -> Option<&'static str> {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    classes.get(usize::from(status.as_u16() / 100).checked_sub(1)?).copied()
}
