//! The closed catalogue: what can be declared, and how each field may be reduced.
//!
//! A [`Field`] carries its treatment, so a field with a treatment that it does not have cannot
//! be written down. Names are OpenTelemetry's where it has one. This file knows nothing of
//! requests; `record.rs` captures, `policy` reads and checks numbers and reasons.

use std::time::Duration;

/// A catalogue field together with the treatment that reduces it before it may be written.
///
/// What weakens privacy carries a written reason, `accept_risk`, which is part of the policy
/// and of its record of processing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// `timestamp`: when the request started; UTC, RFC 3339, rounded down to `precision`
    /// (1 ms to 1 day).
    Timestamp {
        /// Rounded down to a multiple of this since the Unix epoch.
        precision: Duration,
    },
    /// `client.address`: the resolved client's address, or a part of it.
    ClientAddress(Address),
    /// `client.pseudonym`: the client's address hashed under the key of the current epoch,
    /// written `EPOCH.32HEX`. IPv6 addresses are cut to `ipv6` bits (1 to 64) first.
    ClientPseudonym {
        /// Leading bits of an IPv6 address that are hashed.
        ipv6: u8,
    },
    /// `http.request.method`: one of the registered methods, else `_OTHER`.
    RequestMethod,
    /// `http.route`: the router's template, never the path.
    Route,
    /// `url.path`: leading segments of the path, or all of it.
    UrlPath(Path),
    /// `url.query`: the pairs whose decoded key is listed.
    UrlQuery {
        /// Keys that may stay.
        allow: Vec<String>,
    },
    /// `url.scheme`: `http` or `https`.
    UrlScheme,
    /// `network.protocol.version`: `1.0`, `1.1`, `2`, `3`.
    ProtocolVersion,
    /// `server.address`: the requested host when listed, else `_OTHER`.
    ServerAddress {
        /// Hosts that may be named.
        allow: Vec<String>,
    },
    /// `http.response.status_code`: the number, or its class.
    StatusCode(Status),
    /// `http.request.header.referer`: where the visitor came from.
    Referer(Referer),
    /// `user_agent.name`: from a closed list.
    UserAgentName,
    /// `user_agent.version`: the major version, a number.
    UserAgentVersion,
    /// `user_agent.os.name`: from a closed list.
    UserAgentOs,
    /// `device.type`: from a closed list.
    DeviceType,
    /// `user_agent.original`: the header as sent.
    UserAgentOriginal {
        /// Why the whole header is needed.
        accept_risk: String,
    },
    /// `browser.language`: the preferred primary subtag when listed, else `_OTHER`.
    BrowserLanguage {
        /// Primary subtags that may be named.
        allow: Vec<String>,
    },
    /// `http.server.request.duration`: seconds until the last body byte, rounded down to
    /// `precision` (1 ms to 1 day).
    RequestDuration {
        /// Rounded down to a multiple of this.
        precision: Duration,
    },
    /// `http.request.body.size`: bytes that the service read, rounded up.
    RequestBodySize {
        /// Rounded up to a multiple of this many bytes.
        round: u64,
    },
    /// `http.response.body.size`: bytes handed to the server, rounded up.
    ResponseBodySize {
        /// Rounded up to a multiple of this many bytes.
        round: u64,
    },
    /// `rpc.grpc.status_code`: from the trailers, else from the head; `application/grpc` only.
    GrpcStatus,
    /// `error.type`: a stable code, never a message.
    ErrorType,
}

/// How much of the client's address may stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// Host bits are zeroed behind these prefixes. Longer than /24 or /64 needs the reason.
    Truncate {
        /// Leading bits of an IPv4 address that stay, 1 to 32.
        ipv4: u8,
        /// Leading bits of an IPv6 address that stay, 1 to 128.
        ipv6: u8,
        /// Why more than /24 or /64 is needed.
        accept_risk: Option<String>,
    },
    /// The whole address.
    Keep {
        /// Why the whole address is needed.
        accept_risk: String,
    },
}

/// How much of the path may stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Path {
    /// This many leading segments, 1 to 16.
    Depth(u8),
    /// All of it.
    Keep {
        /// Why the whole path is needed.
        accept_risk: String,
    },
}

/// How exact the status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The number.
    Keep,
    /// `1xx` to `5xx`.
    Class,
}

/// How much of the referring URL may stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Referer {
    /// Scheme, host and port; `self`, `internal` or `other` where there is no public one.
    Origin,
    /// `self`, `internal` or `external`.
    Relation,
    /// Origin and path, never the query.
    Path {
        /// Why the path is needed.
        accept_risk: String,
    },
}

/// How a field that the application adds is reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppTreatment {
    /// As the application gives it.
    Keep,
    /// Hashed under the key of the current epoch, written `EPOCH.32HEX`.
    Pseudonymize,
    /// One of these values, else `_OTHER`.
    Allow(Vec<String>),
}

/// The catalogue's names, in the order in which a record lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::enum_variant_names, reason = "OpenTelemetry's name ends so")]
pub(crate) enum Name {
    Timestamp,
    ClientAddress,
    ClientPseudonym,
    RequestMethod,
    Route,
    UrlPath,
    UrlQuery,
    UrlScheme,
    ProtocolVersion,
    ServerAddress,
    StatusCode,
    Referer,
    UserAgentName,
    UserAgentVersion,
    UserAgentOs,
    DeviceType,
    UserAgentOriginal,
    BrowserLanguage,
    RequestDuration,
    RequestBodySize,
    ResponseBodySize,
    GrpcStatus,
    ErrorType,
}

impl Name {
    pub(crate) const ALL: [Self; 23] = [
        Self::Timestamp,
        Self::ClientAddress,
        Self::ClientPseudonym,
        Self::RequestMethod,
        Self::Route,
        Self::UrlPath,
        Self::UrlQuery,
        Self::UrlScheme,
        Self::ProtocolVersion,
        Self::ServerAddress,
        Self::StatusCode,
        Self::Referer,
        Self::UserAgentName,
        Self::UserAgentVersion,
        Self::UserAgentOs,
        Self::DeviceType,
        Self::UserAgentOriginal,
        Self::BrowserLanguage,
        Self::RequestDuration,
        Self::RequestBodySize,
        Self::ResponseBodySize,
        Self::GrpcStatus,
        Self::ErrorType,
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::ClientAddress => "client.address",
            Self::ClientPseudonym => "client.pseudonym",
            Self::RequestMethod => "http.request.method",
            Self::Route => "http.route",
            Self::UrlPath => "url.path",
            Self::UrlQuery => "url.query",
            Self::UrlScheme => "url.scheme",
            Self::ProtocolVersion => "network.protocol.version",
            Self::ServerAddress => "server.address",
            Self::StatusCode => "http.response.status_code",
            Self::Referer => "http.request.header.referer",
            Self::UserAgentName => "user_agent.name",
            Self::UserAgentVersion => "user_agent.version",
            Self::UserAgentOs => "user_agent.os.name",
            Self::DeviceType => "device.type",
            Self::UserAgentOriginal => "user_agent.original",
            Self::BrowserLanguage => "browser.language",
            Self::RequestDuration => "http.server.request.duration",
            Self::RequestBodySize => "http.request.body.size",
            Self::ResponseBodySize => "http.response.body.size",
            Self::GrpcStatus => "rpc.grpc.status_code",
            Self::ErrorType => "error.type",
        }
    }

    /// How its treatments are written in a policy.
    pub(crate) const fn treatments(self) -> &'static str {
        match self {
            Self::Timestamp => r#"{ precision = "1s" }, from 1ms to 1d"#,
            Self::ClientAddress => {
                r#""truncate", { ipv4 = 24, ipv6 = 48 } or { keep = true, accept_risk = "…" }"#
            }
            Self::ClientPseudonym => r#""pseudonymize" or { ipv6 = 64 }"#,
            Self::UrlPath => r#"{ depth = 1 } or { keep = true, accept_risk = "…" }"#,
            Self::UrlQuery => r#"{ allow = ["page"] }"#,
            Self::ServerAddress => r#"{ allow = ["example.com"] }"#,
            Self::StatusCode => r#""keep" or "class""#,
            Self::Referer => r#""origin", "relation" or { path = true, accept_risk = "…" }"#,
            Self::UserAgentOriginal => r#"{ keep = true, accept_risk = "…" }"#,
            Self::BrowserLanguage => r#"{ allow = ["en", "de"] }"#,
            Self::RequestDuration => r#"{ precision = "1ms" }, from 1ms to 1d"#,
            Self::RequestBodySize | Self::ResponseBodySize => "{ round = 1024 }",
            Self::RequestMethod
            | Self::Route
            | Self::UrlScheme
            | Self::ProtocolVersion
            | Self::UserAgentName
            | Self::UserAgentVersion
            | Self::UserAgentOs
            | Self::DeviceType
            | Self::GrpcStatus
            | Self::ErrorType => r#""keep""#,
        }
    }

    /// What is written, for the README's table and the schema.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Timestamp => "when the request started; UTC, RFC 3339, rounded down",
            Self::ClientAddress => "the client's address, host bits zeroed, or all of it",
            Self::ClientPseudonym => {
                "`EPOCH.32HEX`: the client's address hashed under a key that is destroyed"
            }
            Self::RequestMethod => "a known method, else `_OTHER`",
            Self::Route => "the router's template, never the path; absent when nothing matched",
            Self::UrlPath => "leading segments of the path, or all of it",
            Self::UrlQuery => {
                "the pairs whose decoded key is listed; values of signatures and credentials are `REDACTED`"
            }
            Self::UrlScheme => "`http` or `https`; absent when nobody says it",
            Self::ProtocolVersion => "`0.9`, `1.0`, `1.1`, `2` or `3`",
            Self::ServerAddress => "the requested host when it is listed, else `_OTHER`",
            Self::StatusCode => "the number, or `1xx` to `5xx`",
            Self::Referer => {
                "the origin, its relation (`self`, `internal`, `external`), or origin and path"
            }
            Self::UserAgentName => "browser, tool or bot from a closed list, else `_OTHER`",
            Self::UserAgentVersion => "the major version, a number",
            Self::UserAgentOs => "system from a closed list, else `_OTHER`",
            Self::DeviceType => "`desktop`, `mobile`, `tablet`, `tv`, `bot`, else `_OTHER`",
            Self::UserAgentOriginal => "the header as it came",
            Self::BrowserLanguage => {
                "the preferred language, without region, when it is listed, else `_OTHER`"
            }
            Self::RequestDuration => "seconds until the last body byte, rounded down",
            Self::RequestBodySize => {
                "bytes that the service read (`CountBodyLayer`), else what `Content-Length` announced; rounded up"
            }
            Self::ResponseBodySize => "bytes handed to the server, rounded up",
            Self::GrpcStatus => {
                "the number from the trailers, else from the head; `application/grpc` only"
            }
            Self::ErrorType => {
                "`panic`, `aborted`, `truncated`, `body_error`, `service_error`, the application's code, or a 5xx status as text"
            }
        }
    }
}

impl Field {
    /// Every name that a log can declare, in the order in which a record lists them.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub const NAMES: &'static [&'static str] = &{
        let mut names = [""; Name::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Name::ALL[at].as_str();
            at += 1;
        }
        names
    };

    /// How a policy writes this name's treatments, the one that the bare word means first;
    /// `None` for a name that is not in the catalogue.
    #[must_use]
    pub fn treatments(name: &str) -> Option<&'static str> {
        Name::parse(name).map(Name::treatments)
    }

    /// What a record says under this name; `None` for a name that is not in the catalogue.
    #[must_use]
    pub fn meaning(name: &str) -> Option<&'static str> {
        Name::parse(name).map(Name::meaning)
    }

    pub(crate) const fn name(&self) -> Name {
        match self {
            Self::Timestamp { .. } => Name::Timestamp,
            Self::ClientAddress(_) => Name::ClientAddress,
            Self::ClientPseudonym { .. } => Name::ClientPseudonym,
            Self::RequestMethod => Name::RequestMethod,
            Self::Route => Name::Route,
            Self::UrlPath(_) => Name::UrlPath,
            Self::UrlQuery { .. } => Name::UrlQuery,
            Self::UrlScheme => Name::UrlScheme,
            Self::ProtocolVersion => Name::ProtocolVersion,
            Self::ServerAddress { .. } => Name::ServerAddress,
            Self::StatusCode(_) => Name::StatusCode,
            Self::Referer(_) => Name::Referer,
            Self::UserAgentName => Name::UserAgentName,
            Self::UserAgentVersion => Name::UserAgentVersion,
            Self::UserAgentOs => Name::UserAgentOs,
            Self::DeviceType => Name::DeviceType,
            Self::UserAgentOriginal { .. } => Name::UserAgentOriginal,
            Self::BrowserLanguage { .. } => Name::BrowserLanguage,
            Self::RequestDuration { .. } => Name::RequestDuration,
            Self::RequestBodySize { .. } => Name::RequestBodySize,
            Self::ResponseBodySize { .. } => Name::ResponseBodySize,
            Self::GrpcStatus => Name::GrpcStatus,
            Self::ErrorType => Name::ErrorType,
        }
    }
}

/// Why a name that people try to declare has no field, if it is one of those.
pub(crate) fn refused(name: &str) -> Option<&'static str> {
    let header = name
        .strip_prefix("http.request.header.")
        .or_else(|| name.strip_prefix("http.response.header."))
        .unwrap_or(name);
    Some(match header {
        "authorization"
        | "proxy-authorization"
        | "x-api-key"
        | "x-csrf-token"
        | "x-auth-token"
        | "www-authenticate"
        | "proxy-authenticate" => "credentials cannot be declared",
        "cookie" | "set-cookie" => "cookies cannot be declared",
        "x-forwarded-for" | "forwarded" | "x-real-ip" | "cf-connecting-ip" | "true-client-ip"
        | "fly-client-ip" => {
            "raw forwarding headers cannot be declared; declare \"client.address\" and name the header in [client] source"
        }
        "http.request.body"
        | "http.response.body"
        | "http.request.body.content"
        | "http.response.body.content" => "bodies cannot be declared",
        "traceparent" | "tracestate" | "baggage" | "x-request-id" | "trace_id" | "trace.id" => {
            "identifiers that a client sends cannot be declared"
        }
        "screen.resolution"
        | "screen.width"
        | "screen.height"
        | "device.screen_resolution"
        | "browser.screen_resolution" => "a server cannot see the screen, so it cannot be declared",
        "user-agent" => {
            "the header is declared in parts: \"user_agent.name\", \"user_agent.version\", \"user_agent.os.name\" or \"device.type\""
        }
        "accept-language" => "the header is declared as \"browser.language\"",
        "url.full" | "http.target" | "http.url" => {
            "whole URLs cannot be declared; declare \"http.route\", \"url.path\" or \"url.query\""
        }
        _ => return None,
    })
}
