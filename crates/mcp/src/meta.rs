//! `_meta`: the keys that the protocol reserves, and what a modern request says about itself.

use std::borrow::Cow;

use crate::edit::Change;
use crate::raw::{self, AmbiguousKey, Kind, Raw};

/// Version of a request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Who sends a request.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the sender of a request can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Which log messages the sender wants.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Which subscription a notification belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// Who sends a result.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Asks for progress notifications.
pub const PROGRESS_TOKEN: &str = "progressToken";

/// The levels of log messages, least first (RFC 5424 §6.2.1).
pub const LOG_LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// How important a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogLevel(u8);

impl LogLevel {
    /// The least: whoever asks for it gets all.
    pub const DEBUG: Self = Self(0);
    /// What a client is interested in that did not say.
    pub const INFO: Self = Self(1);

    /// The level of this name; none for other names.
    pub fn of(raw: Raw<'_>) -> Option<Self> {
        let name = raw.text()?;
        let position = LOG_LEVELS.iter().position(|level| *level == name)?;
        u8::try_from(position).ok().map(Self)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        let levels = LOG_LEVELS.get(usize::from(self.0));
        levels.copied().unwrap_or_default()
    }

    /// Its place among the levels, the least first.
    pub const fn rank(self) -> u8 {
        self.0
    }
}

/// Takes the keys out of a `_meta` that speak of one hop and are never passed on to the next: each edge writes its own.
/// Other keys under the reserved prefix belong to extensions and pass.
pub const WITHOUT_HOP_KEYS: [Change<'static>; 6] = [
    Change::remove(PROTOCOL_VERSION),
    Change::remove(CLIENT_INFO),
    Change::remove(CLIENT_CAPABILITIES),
    Change::remove(LOG_LEVEL),
    Change::remove(SUBSCRIPTION_ID),
    Change::remove(SERVER_INFO),
];

/// The same, and what becomes of one more key.
pub const fn without_hop_keys_and(more: Change<'_>) -> [Change<'_>; 7] {
    let [version, info, capabilities, level, subscription, server] = WITHOUT_HOP_KEYS;
    [
        version,
        info,
        capabilities,
        level,
        subscription,
        server,
        more,
    ]
}

/// The per-request metadata of a request, looked at but not judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestMeta<'a> {
    /// [`PROTOCOL_VERSION`]
    pub protocol_version: Option<Raw<'a>>,
    /// [`CLIENT_CAPABILITIES`]
    pub client_capabilities: Option<Raw<'a>>,
    /// [`CLIENT_INFO`]
    pub client_info: Option<Raw<'a>>,
    /// [`LOG_LEVEL`]
    pub log_level: Option<Raw<'a>>,
    /// [`PROGRESS_TOKEN`]
    pub progress_token: Option<Raw<'a>>,
}

/// What is missing or wrong in the metadata of a modern request: -32602 with HTTP 400 (TM-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMeta {
    /// A key twice, or in another case.
    #[error("`params` or `_meta`: {0}")]
    Ambiguous(AmbiguousKey),
    /// No protocol version, or not a string.
    #[error("`_meta` lacks `io.modelcontextprotocol/protocolVersion`")]
    NoProtocolVersion,
    /// No capabilities, or not an object.
    #[error("`_meta` lacks `io.modelcontextprotocol/clientCapabilities`")]
    NoClientCapabilities,
}

/// What a modern request must say.
#[derive(Clone, Debug)]
pub struct ModernMeta<'a> {
    /// The version as text, served or not.
    pub protocol_version: Cow<'a, str>,
    /// An object.
    pub client_capabilities: Raw<'a>,
}

impl<'a> RequestMeta<'a> {
    /// From the value of `params._meta`. Keys of one hop that a request has no use for are looked at as well: they are
    /// taken out by name before it goes on.
    pub fn of(meta: Option<Raw<'a>>) -> Result<Self, AmbiguousKey> {
        let Some(raw) = meta.filter(|raw| raw.is_object()) else {
            return Ok(Self::default());
        };
        let (meta, _end) = Self::at_start(raw.as_str())?;
        Ok(meta)
    }

    /// The same of an object that `text` begins with; and where it ends.
    pub(crate) fn at_start(text: &'a str) -> Result<(Self, usize), AmbiguousKey> {
        let keys = [
            PROTOCOL_VERSION,
            CLIENT_CAPABILITIES,
            CLIENT_INFO,
            LOG_LEVEL,
            PROGRESS_TOKEN,
            SUBSCRIPTION_ID,
            SERVER_INFO,
        ];
        let (
            [
                protocol_version,
                client_capabilities,
                client_info,
                log_level,
                progress_token,
                _,
                _,
            ],
            end,
        ) = raw::pick_at_start(text, keys, |_, _| Ok(None))?;
        let meta = Self {
            protocol_version,
            client_capabilities,
            client_info,
            log_level,
            progress_token,
        };
        Ok((meta, end))
    }

    /// Whether the request carries modern metadata, complete or not: it then is a modern request.
    pub fn is_modern(&self) -> bool {
        self.protocol_version.is_some() || self.client_capabilities.is_some()
    }

    /// The progress token, if it is a string or a number.
    pub fn valid_progress_token(&self) -> Option<Raw<'a>> {
        self.progress_token
            .filter(|token| matches!(token.kind(), Kind::String | Kind::Number))
    }

    /// The level of the log messages that are asked for, if it is one (RFC 5424 §6.2.1).
    pub fn valid_log_level(&self) -> Option<LogLevel> {
        self.log_level.and_then(LogLevel::of)
    }

    /// Checks that everything required is there (TM-8). `clientInfo` is not required.
    pub fn modern(&self) -> Result<ModernMeta<'a>, InvalidMeta> {
        let protocol_version = self
            .protocol_version
            .and_then(Raw::text)
            .ok_or(InvalidMeta::NoProtocolVersion)?;
        let client_capabilities = self
            .client_capabilities
            .filter(|raw| raw.is_object())
            .ok_or(InvalidMeta::NoClientCapabilities)?;
        Ok(ModernMeta {
            protocol_version,
            client_capabilities,
        })
    }
}

/// Whether a message may hold reserved keys at all: a quick look at its bytes, before a careful one.
pub fn mentions_reserved(message: &[u8]) -> bool {
    // An escape can hide the word, so that it has to be looked at carefully, too.
    memchr::memmem::find(message, b"modelcontextprotocol").is_some()
        || memchr::memmem::find(message, b"\\u").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::changed;

    fn meta(text: &str) -> RequestMeta<'_> {
        RequestMeta::of(Some(Raw::parse(text).unwrap())).unwrap()
    }

    // SEC-81
    #[test]
    fn every_key_that_is_decided_about_or_taken_out_is_refused_in_another_case() {
        let removed = [SUBSCRIPTION_ID, SERVER_INFO];
        let looked_at = [
            PROTOCOL_VERSION,
            CLIENT_INFO,
            CLIENT_CAPABILITIES,
            LOG_LEVEL,
            PROGRESS_TOKEN,
        ];
        for key in looked_at.into_iter().chain(removed) {
            let text = format!(r#"{{"{}":{{}}}}"#, key.to_uppercase());
            let refused = RequestMeta::of(Some(Raw::parse(&text).unwrap())).unwrap_err();
            assert_eq!(refused, AmbiguousKey::OtherCase(key));
        }
    }

    // TM-8
    #[test]
    fn version_and_capabilities_are_required_and_client_info_is_not() {
        let version = format!("\"{PROTOCOL_VERSION}\":\"2026-07-28\"");
        let capabilities = format!("\"{CLIENT_CAPABILITIES}\":{{}}");
        assert!(
            meta(&format!("{{{version},{capabilities}}}"))
                .modern()
                .is_ok()
        );
        assert_eq!(
            meta(&format!("{{{version}}}")).modern().unwrap_err(),
            InvalidMeta::NoClientCapabilities
        );
        assert_eq!(
            meta(&format!("{{{capabilities}}}")).modern().unwrap_err(),
            InvalidMeta::NoProtocolVersion
        );
    }

    #[test]
    fn a_request_without_modern_metadata_is_not_modern() {
        assert!(!meta(r#"{"progressToken":1}"#).is_modern());
        assert!(!RequestMeta::of(None).unwrap().is_modern());
    }

    #[test]
    fn hop_keys_are_taken_out_and_everything_else_stays() {
        let text = format!(
            r#"{{ "traceparent" : "00-1", "{CLIENT_INFO}":{{"name":"x"}},"io.modelcontextprotocol/related-task":{{"id":1.0}}}}"#
        );
        insta::assert_snapshot!(
            changed(Raw::parse(&text).unwrap(), &WITHOUT_HOP_KEYS),
            @r#"{ "traceparent" : "00-1","io.modelcontextprotocol/related-task":{"id":1.0}}"#
        );
    }
}
