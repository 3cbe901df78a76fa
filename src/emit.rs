//! A record as events: every step's value, typed, for every log that gets one.
//!
//! Text that has to be formatted is put into one buffer per thread, so that a record needs no
//! heap. A value that is not there is left out.

use std::cell::RefCell;

use smallvec::SmallVec;
use tracing::field::Value;

use crate::app::AppValue;
use crate::event::{Outside, Site, alone, outside_spans};
use crate::field::Status;
use crate::plan::{LogPlan, Step};
use crate::pseudonym::Pseudonym;
use crate::record::{End, Record, Reduced};
use crate::{address, text, timestamp};

pub(crate) fn emit(record: &Record) {
    if record.logs == 0 {
        return;
    }
    outside_spans(|outside| {
        for (at, log) in (0..).zip(&record.plan.logs) {
            if record.logs & 1 << at != 0 {
                alone(|| event(record, log, outside));
            }
        }
    });
}

thread_local! {
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

fn event(record: &Record, log: &LogPlan, outside: &Outside) {
    let site = site(record, log);
    if !site.wanted() {
        return;
    }
    // A thread that ends may have lost its buffer already.
    let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    scratch.clear();
    record.fields.with(|added| {
        let mut parts = parts(record, log, added, &mut scratch);
        for part in &mut parts {
            part.read(&scratch);
        }
        let values: SmallVec<[Option<&dyn Value>; PARTS]> = parts.iter().map(Part::value).collect();
        outside.event(site, &values);
    });
    let _ = SCRATCH.try_with(|buffer| buffer.replace(scratch));
}

/// More than this many fields need heap.
const PARTS: usize = 24;

fn parts<'r>(
    record: &'r Record,
    log: &'r LogPlan,
    added: &'r [AppValue],
    scratch: &mut String,
) -> SmallVec<[Part<'r>; PARTS]> {
    let mut writer = Writer { record, log, added, scratch };
    log.steps.iter().map(|step| writer.part(*step)).collect()
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

/// A value, or where it stands in the scratch text.
#[derive(Clone)]
enum Part<'r> {
    Absent,
    Text(&'r str),
    /// From and to.
    Written(u32, u32),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Truth(bool),
}

impl<'r> Part<'r> {
    /// What was written into the scratch text becomes a part of it.
    fn read(&mut self, scratch: &'r str) {
        if let Self::Written(start, end) = *self {
            *self = Self::Text(scratch.get(start as usize..end as usize).unwrap_or_default());
        }
    }

    fn value(&self) -> Option<&dyn Value> {
        match self {
            Self::Absent | Self::Written(..) => None,
            Self::Text(text) => Some(text),
            Self::Signed(number) => Some(number),
            Self::Unsigned(number) => Some(number),
            Self::Float(number) => Some(number),
            Self::Truth(truth) => Some(truth),
        }
    }
}

struct Writer<'r, 's> {
    record: &'r Record,
    log: &'r LogPlan,
    added: &'r [AppValue],
    scratch: &'s mut String,
}

impl<'r> Writer<'r, '_> {
    fn part(&mut self, step: Step) -> Part<'r> {
        let record = self.record;
        match step {
            Step::Log => Part::Text(&self.log.name),
            Step::Policy => Part::Text(&record.plan.reference),
            Step::Timestamp(precision) => match record.at.count() {
                Some(at) => self.written(|out| timestamp::write(at, precision, out)),
                None => Part::Absent,
            },
            Step::Reduced(at) => {
                record.reduced.get(at).map_or(Part::Absent, |value| self.reduced(value))
            }
            Step::App(at) => self.added.get(at).map_or(Part::Absent, |value| self.app(value)),
            Step::Method => Part::Text(record.method()),
            Step::Route => {
                record.route.as_ref().map_or(Part::Absent, |route| self.safe(route.as_str()))
            }
            Step::Scheme => word(record.scheme()),
            Step::Version => word(record.version()),
            Step::Status(Status::Keep) => number(record.status.map(|status| status.as_u16())),
            Step::Status(Status::Class) => word(record.status.and_then(class)),
            Step::AgentName => word(record.device.map(|device| device.name.as_str())),
            Step::AgentVersion => number(record.device.and_then(|device| device.version)),
            Step::AgentOs => word(record.device.map(|device| device.system.as_str())),
            Step::DeviceType => word(record.device.map(|device| device.kind.as_str())),
            Step::Duration(precision) => record.lasted.map_or(Part::Absent, |lasted| {
                let millis = timestamp::floor(u64::from(lasted), precision);
                Part::Float(u32::try_from(millis).map_or(0.0, f64::from) / 1000.0)
            }),
            Step::RequestSize(round) => rounded(record.received(), round),
            Step::ResponseSize(round) => rounded(record.status.map(|_| record.sent), round),
            Step::GrpcStatus => number(record.grpc),
            Step::ErrorType => self.error(),
        }
    }

    fn reduced(&mut self, value: &'r Reduced) -> Part<'r> {
        match value {
            Reduced::Absent => Part::Absent,
            Reduced::Text(text) => Part::Text(text.as_str()),
            Reduced::Address(address) => self.written(|out| {
                out.push_str(address::text(*address, &mut [0; 45]));
            }),
            Reduced::Pseudonym(pseudonym) => self.pseudonym(*pseudonym),
        }
    }

    fn app(&mut self, value: &'r AppValue) -> Part<'r> {
        match value {
            AppValue::Absent => Part::Absent,
            AppValue::Text(text) => Part::Text(text.as_str()),
            AppValue::Signed(number) => Part::Signed(*number),
            AppValue::Unsigned(number) => Part::Unsigned(*number),
            AppValue::Float(number) => Part::Float(*number),
            AppValue::Truth(truth) => Part::Truth(*truth),
            AppValue::Pseudonym(pseudonym) => self.pseudonym(*pseudonym),
        }
    }

    fn pseudonym(&mut self, pseudonym: Pseudonym) -> Part<'r> {
        self.written(|out| out.push_str(pseudonym.text(&mut [0; Pseudonym::LENGTH])))
    }

    /// What ended the exchange, else the application's code, else a 5xx number.
    fn error(&mut self) -> Part<'r> {
        let record = self.record;
        match record.end {
            End::Panic => Part::Text("panic"),
            End::Aborted => Part::Text("aborted"),
            End::Truncated => Part::Text("truncated"),
            End::BodyError => Part::Text("body_error"),
            End::ServiceError => Part::Text("service_error"),
            End::Complete => match (&record.code, record.status) {
                (Some(code), _) => Part::Text(code.as_str()),
                (None, Some(status)) if status.is_server_error() => {
                    self.written(|out| out.push_str(status.as_str()))
                }
                (None, _) => Part::Absent,
            },
        }
    }

    fn safe(&mut self, raw: &'r str) -> Part<'r> {
        match text::escape(raw) {
            std::borrow::Cow::Borrowed(text) => Part::Text(text),
            std::borrow::Cow::Owned(text) => self.written(|out| out.push_str(&text)),
        }
    }

    fn written(&mut self, write: impl FnOnce(&mut String)) -> Part<'r> {
        let start = self.scratch.len();
        write(self.scratch);
        match (u32::try_from(start), u32::try_from(self.scratch.len())) {
            (Ok(start), Ok(end)) => Part::Written(start, end),
            _ => Part::Absent,
        }
    }
}

fn word(word: Option<&'static str>) -> Part<'static> {
    word.map_or(Part::Absent, Part::Text)
}

fn number(number: Option<impl Into<i64>>) -> Part<'static> {
    number.map_or(Part::Absent, |number| Part::Signed(number.into()))
}

fn class(status: http::StatusCode) -> Option<&'static str> {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    classes.get(usize::from(status.as_u16() / 100).checked_sub(1)?).copied()
}

fn rounded(bytes: Option<u64>, round: u64) -> Part<'static> {
    bytes.map_or(Part::Absent, |bytes| Part::Unsigned(bytes.div_ceil(round).saturating_mul(round)))
}
