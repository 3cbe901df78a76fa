//! A record as events: every step's value, typed, for every log that gets one.
//!
//! A value is written once, into the event's line; what has to be formatted, or would have to be copied,
//! is then read from there. So a record needs no heap. A value that is not there is left out.

use std::str;

use http::StatusCode;
use tracing::field::Value;

use crate::app::AppValue;
use crate::event::{Outside, Site, alone, outside_spans};
use crate::field::Status;
use crate::json::{self, Key};
use crate::line::{Line, lend};
use crate::plan::{LogPlan, Plan, Step};
use crate::pseudonym::Pseudonym;
use crate::record::{End, Record, Reduced, Template};
use crate::text::Text;
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
            13..=32 => emission.few::<32>(),
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
    #[expect(clippy::needless_late_init, reason = "it outlives the parts that read it")]
    fn few<const N: usize>(&self) {
        let bytes;
        let mut parts = [const { Part::Absent }; N];
        let parts = parts.get_mut(..self.log.steps.len()).unwrap_or_default();
        self.write(parts);
        bytes = self.line.bytes.borrow();
        self.send(parts, &mut [None; N], &bytes);
    }

    /// More fields than a stack should hold.
    #[expect(clippy::needless_late_init, reason = "it outlives the parts that read it")]
    fn many(&self) {
        let bytes;
        let mut parts: Vec<Part<'_>> = self.log.steps.iter().map(|_| Part::Absent).collect();
        self.write(&mut parts);
        bytes = self.line.bytes.borrow();
        self.send(&mut parts, &mut vec![None; self.log.steps.len()], &bytes);
    }

    fn write<'l>(&self, parts: &mut [Part<'l>])
    where
        'e: 'l,
    {
        let mut line = self.line.bytes.borrow_mut();
        line.clear();
        let Self { plan, record, log, added, time, .. } = *self;
        let mut writer = Writer { plan, record, log, added, time, line: &mut line };
        for ((step, key), part) in log.steps.iter().zip(parts) {
            *part = writer.part(*step, key);
        }
        json::close(&mut line);
    }

    fn send<'p, 'l: 'p>(
        &self,
        parts: &'p mut [Part<'l>],
        values: &mut [Option<&'p dyn Value>],
        line: &'l [u8],
    ) {
        let count = parts.len();
        for (part, value) in parts.iter_mut().zip(&mut *values) {
            *value = part.value(line);
        }
        self.outside.event(self.site, values.get(..count).unwrap_or_default(), self.line);
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

/// A value, or where it stands in the line.
enum Part<'r> {
    Absent,
    Text(&'r str),
    /// From and to.
    Written(usize, usize),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Truth(bool),
}

impl<'r> Part<'r> {
    fn value<'p>(&'p mut self, line: &'r [u8]) -> Option<&'p dyn Value> {
        if let Self::Written(start, end) = *self {
            let text = line.get(start..end).and_then(|text| str::from_utf8(text).ok());
            *self = text.map_or(Self::Absent, Self::Text);
        }
        // Most are texts.
        if let Self::Text(text) = self {
            return Some(text);
        }
        match self {
            Self::Absent | Self::Written(..) | Self::Text(_) => None,
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
    line: &'s mut Vec<u8>,
}

impl<'r> Writer<'r, '_> {
    fn part(&mut self, step: Step, key: &Key) -> Part<'r> {
        let record = self.record;
        match step {
            Step::Log => {
                self.line.extend_from_slice(&self.log.head);
                Part::Text(&self.log.name)
            }
            // Written with the log's name.
            Step::Policy => Part::Text(&self.plan.reference),
            Step::Timestamp => self.word(key, self.time),
            Step::Reduced(at) => {
                record.reduced.get(at).map_or(Part::Absent, |value| self.reduced(key, value))
            }
            Step::App(at) => self.added.get(at).map_or(Part::Absent, |value| self.app(key, value)),
            Step::Method => self.word(key, Some(record.method)),
            Step::Route => {
                record.route.as_ref().map_or(Part::Absent, |route| self.route(key, route))
            }
            Step::Scheme => self.word(key, record.scheme),
            Step::Version => self.word(key, record.version),
            Step::Status(Status::Keep) => self.status(key, record.status),
            Step::Status(Status::Class) => self.word(key, record.status.and_then(class)),
            Step::AgentName => self.word(key, record.device.map(|device| device.name.as_str())),
            Step::AgentVersion => self.number(key, record.device.and_then(|device| device.version)),
            Step::AgentOs => self.word(key, record.device.map(|device| device.system.as_str())),
            Step::DeviceType => self.word(key, record.device.map(|device| device.kind.as_str())),
            Step::Duration(step) => record.lasted.map_or(Part::Absent, |lasted| {
                self.thousandths(key, lasted - lasted.checked_rem(step).unwrap_or(0))
            }),
            Step::RequestSize(round) => self.rounded(key, record.received(), round),
            Step::ResponseSize(round) => {
                self.rounded(key, record.status.map(|_| record.sent), round)
            }
            Step::GrpcStatus => self.number(key, record.grpc),
            Step::ErrorType => self.error(key),
        }
    }

    fn reduced(&mut self, key: &Key, value: &'r Reduced) -> Part<'r> {
        match value {
            Reduced::Absent => Part::Absent,
            Reduced::Text(text) => self.safe(key, text),
            Reduced::Pseudonym(pseudonym) => self.pseudonym(key, *pseudonym),
        }
    }

    fn app(&mut self, key: &Key, value: &'r AppValue) -> Part<'r> {
        match value {
            AppValue::Absent => Part::Absent,
            AppValue::Text(text) => self.safe(key, text),
            AppValue::Signed(number) => self.signed(key, *number),
            AppValue::Unsigned(number) => self.unsigned(key, *number),
            AppValue::Float(number) => self.float(key, *number),
            AppValue::Truth(truth) => {
                self.bare(key, if *truth { b"true" } else { b"false" });
                Part::Truth(*truth)
            }
            AppValue::Pseudonym(pseudonym) => self.pseudonym(key, *pseudonym),
        }
    }

    fn pseudonym(&mut self, key: &Key, pseudonym: Pseudonym) -> Part<'r> {
        self.written(key, |line| {
            line.extend_from_slice(pseudonym.text(&mut [0; Pseudonym::LENGTH]).as_bytes());
        })
    }

    /// What ended the exchange, else the application's code, else a 5xx number.
    fn error(&mut self, key: &Key) -> Part<'r> {
        let record = self.record;
        let word = match record.end {
            End::Panic => "panic",
            End::Aborted => "aborted",
            End::Truncated => "truncated",
            End::BodyError => "body_error",
            End::ServiceError => "service_error",
            End::Complete => match (&record.code, record.status) {
                (Some(code), _) => code.as_str(),
                (None, Some(status)) if status.is_server_error() => {
                    return self
                        .written(key, |line| line.extend_from_slice(status.as_str().as_bytes()));
                }
                (None, _) => return Part::Absent,
            },
        };
        self.word(key, Some(word))
    }

    fn safe(&mut self, key: &Key, text: &'r Text) -> Part<'r> {
        if text.is_word() {
            self.word(key, Some(text.as_str()))
        } else {
            self.escaped(key, text.as_str())
        }
    }

    fn route(&mut self, key: &Key, route: &'r Template) -> Part<'r> {
        match route {
            Template::Escaped(text) => self.safe(key, text),
            template => self.word(key, Some(template.as_str())),
        }
    }

    #[cold]
    fn escaped(&mut self, key: &Key, text: &'r str) -> Part<'r> {
        self.written(key, |line| json::escape(text, line));
        Part::Text(text)
    }

    /// A word that is safe in a line and in JSON as it stands.
    fn word(&mut self, key: &Key, word: Option<&'r str>) -> Part<'r> {
        word.map_or(Part::Absent, |word| {
            self.written(key, |line| line.extend_from_slice(word.as_bytes()));
            Part::Text(word)
        })
    }

    /// Text that needs no escape.
    #[inline]
    fn written(&mut self, key: &Key, write: impl FnOnce(&mut Vec<u8>)) -> Part<'r> {
        key.open(self.line);
        let start = self.line.len();
        write(self.line);
        let end = self.line.len();
        self.line.push(b'"');
        Part::Written(start, end)
    }

    fn number(&mut self, key: &Key, number: Option<impl Into<i64>>) -> Part<'r> {
        number.map_or(Part::Absent, |number| self.signed(key, number.into()))
    }

    fn status(&mut self, key: &Key, status: Option<StatusCode>) -> Part<'r> {
        status.map_or(Part::Absent, |status| {
            key.name(self.line);
            json::three_digits(status.as_u16(), self.line);
            Part::Signed(status.as_u16().into())
        })
    }

    fn signed(&mut self, key: &Key, number: i64) -> Part<'r> {
        self.bare(key, itoa::Buffer::new().format(number).as_bytes());
        Part::Signed(number)
    }

    fn unsigned(&mut self, key: &Key, number: u64) -> Part<'r> {
        self.bare(key, itoa::Buffer::new().format(number).as_bytes());
        Part::Unsigned(number)
    }

    fn float(&mut self, key: &Key, number: f64) -> Part<'r> {
        if number.is_finite() {
            self.bare(key, b"");
            json::decimal(number, self.line);
        }
        Part::Float(number)
    }

    fn thousandths(&mut self, key: &Key, count: u32) -> Part<'r> {
        key.name(self.line);
        json::thousandths(count, self.line);
        Part::Float(f64::from(count) / 1000.0)
    }

    fn rounded(&mut self, key: &Key, bytes: Option<u64>, round: u64) -> Part<'r> {
        bytes.map_or(Part::Absent, |bytes| {
            self.unsigned(key, bytes.div_ceil(round).saturating_mul(round))
        })
    }

    fn bare(&mut self, key: &Key, value: &[u8]) {
        key.name(self.line);
        self.line.extend_from_slice(value);
    }
}

fn class(status: StatusCode) -> Option<&'static str> {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    classes.get(usize::from(status.as_u16() / 100).checked_sub(1)?).copied()
}
