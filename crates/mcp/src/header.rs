//! Mirrored HTTP headers: their names, their value encoding, and whether they say what the body says.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::era::ProtocolVersion;
use crate::method::Method;
use crate::raw::Raw;

/// `MCP-Protocol-Version`, lower-case as HTTP libraries keep it.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// `Mcp-Method`
pub const METHOD: &str = "mcp-method";
/// `Mcp-Name`
pub const NAME: &str = "mcp-name";
/// `Mcp-Session-Id`: session era only.
pub const SESSION_ID: &str = "mcp-session-id";
/// `Last-Event-ID`: session era only.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// What the names of parameter headers begin with.
pub const PARAM_PREFIX: &str = "mcp-param-";

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// A header that is expected at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// Not sent.
    Absent,
    /// Sent once, with this value.
    Once(&'a [u8]),
    /// Sent several times.
    Repeated,
}

impl<'a> Field<'a> {
    /// From all values sent under one name.
    pub fn of(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}

/// The standard mirrored headers of a request.
#[derive(Clone, Copy, Debug)]
pub struct Mirrored<'a> {
    /// `MCP-Protocol-Version`
    pub protocol_version: Field<'a>,
    /// `Mcp-Method`
    pub method: Field<'a>,
    /// `Mcp-Name`
    pub name: Field<'a>,
}

/// Which header disagrees with the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// `MCP-Protocol-Version`
    ProtocolVersion,
    /// `Mcp-Method`
    Method,
    /// `Mcp-Name`
    Name,
    /// `Mcp-Param-…`, with the part after the prefix as the tool spells it.
    Param(Box<str>),
}

impl std::fmt::Display for Header {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ProtocolVersion => formatter.write_str("MCP-Protocol-Version"),
            Self::Method => formatter.write_str("Mcp-Method"),
            Self::Name => formatter.write_str("Mcp-Name"),
            Self::Param(name) => write!(formatter, "Mcp-Param-{name}"),
        }
    }
}

/// How a header disagrees with the body. All are `HeaderMismatch` (-32020, HTTP 400) on the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Required, and not there.
    #[error("the header {0} is missing")]
    Missing(Header),
    /// There, and the body has no such value.
    #[error("the header {0} has no counterpart in the body")]
    Unexpected(Header),
    /// More than once.
    #[error("the header {0} occurs more than once")]
    Repeated(Header),
    /// Bytes that are not allowed, or a broken `=?base64?…?=`.
    #[error("the value of the header {0} is malformed")]
    Malformed(Header),
    /// Another value than in the body.
    #[error("the header {0} differs from the body")]
    Different(Header),
}

/// A header value that is neither plain ASCII nor a proper `=?base64?…?=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither plain ASCII nor well-formed `=?base64?…?=`")]
pub struct MalformedValue;

/// The text that a header value stands for ("Value Encoding").
pub fn decode_value(value: &[u8]) -> Result<Cow<'_, str>, MalformedValue> {
    let plain = value.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\t'));
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|_| plain)
        .ok_or(MalformedValue)?;
    let encoded = text
        .strip_prefix(SENTINEL_START)
        .and_then(|rest| rest.strip_suffix(SENTINEL_END));
    match encoded {
        None => Ok(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).map_err(|_| MalformedValue)?;
            String::from_utf8(bytes)
                .map(Cow::Owned)
                .map_err(|_| MalformedValue)
        }
    }
}

/// The header value that stands for `text`: itself where that is safe, `=?base64?…?=` otherwise.
pub fn encode_value(text: &str) -> Cow<'_, str> {
    let safe_bytes = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t'));
    let padded = text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']);
    let looks_encoded = text.starts_with(SENTINEL_START) && text.ends_with(SENTINEL_END);
    if safe_bytes && !padded && !looks_encoded {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(SENTINEL_START.len() + text.len().div_ceil(3) * 4 + 2);
    out.push_str(SENTINEL_START);
    STANDARD.encode_string(text, &mut out);
    out.push_str(SENTINEL_END);
    Cow::Owned(out)
}

/// The version that the header names, as text; `Err` if it can't be one value of a version.
pub fn stated_version(field: Field<'_>) -> Result<Option<&str>, Mismatch> {
    match field {
        Field::Absent => Ok(None),
        Field::Repeated => Err(Mismatch::Repeated(Header::ProtocolVersion)),
        Field::Once(value) => std::str::from_utf8(value)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
            .map(Some)
            .ok_or(Mismatch::Malformed(Header::ProtocolVersion)),
    }
}

/// Checks the mirrored headers of a modern request against its body (TM-4, TM-5, SEC-65).
///
/// `stated` is the version in the body's `_meta`. `params` are those of the body.
pub fn check(
    headers: &Mirrored<'_>,
    stated: &str,
    method: &str,
    params: Option<Raw<'_>>,
) -> Result<(), Mismatch> {
    let member = Method::parse(method).and_then(Method::mirrored_member);
    let in_body = member.and_then(|member| params.and_then(|params| params.get(member)));
    check_against(headers, stated, method, in_body)
}

/// The same, with the member of `params` that `Mcp-Name` mirrors ([`Method::mirrored_member`]) found already.
pub fn check_against(
    headers: &Mirrored<'_>,
    stated: &str,
    method: &str,
    in_body: Option<Raw<'_>>,
) -> Result<(), Mismatch> {
    match stated_version(headers.protocol_version)? {
        None => return Err(Mismatch::Missing(Header::ProtocolVersion)),
        Some(version) if version != stated => {
            return Err(Mismatch::Different(Header::ProtocolVersion));
        }
        Some(_) => {}
    }
    match headers.method {
        Field::Absent => return Err(Mismatch::Missing(Header::Method)),
        Field::Repeated => return Err(Mismatch::Repeated(Header::Method)),
        Field::Once(value) if value != method.as_bytes() => {
            return Err(Mismatch::Different(Header::Method));
        }
        Field::Once(_) => {}
    }
    if Method::parse(method)
        .and_then(Method::mirrored_member)
        .is_none()
    {
        return Ok(());
    }
    let in_body = in_body.and_then(Raw::text);
    let value = match headers.name {
        Field::Absent => return Err(Mismatch::Missing(Header::Name)),
        Field::Repeated => return Err(Mismatch::Repeated(Header::Name)),
        Field::Once(value) => value,
    };
    let decoded = decode_value(value).map_err(|_| Mismatch::Malformed(Header::Name))?;
    match in_body {
        None => Err(Mismatch::Unexpected(Header::Name)),
        Some(name) if name != decoded => Err(Mismatch::Different(Header::Name)),
        Some(_) => Ok(()),
    }
}

/// The standard headers for a request that we send, from its body (UC-3): name and value.
pub fn for_request<'a>(
    version: ProtocolVersion,
    method: &'a str,
    name: Option<&'a str>,
) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
    let modern = version.era() == crate::era::Era::Stateless;
    [
        Some((PROTOCOL_VERSION, Cow::Borrowed(version.as_str()))),
        modern.then_some((METHOD, Cow::Borrowed(method))),
        name.filter(|_| modern)
            .map(|name| (NAME, encode_value(name))),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // TM-5
    #[test]
    fn values_are_encoded_as_the_specification_shows() {
        let cases = [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ];
        for (text, encoded) in cases {
            assert_eq!(encode_value(text), encoded);
            assert_eq!(decode_value(encoded.as_bytes()).unwrap(), text);
        }
    }

    // TM-5
    #[test]
    fn broken_values_are_malformed() {
        for value in [
            &b"=?base64?!!!?="[..],
            b"=?base64?/w==?=",
            b"\xc3\xa9",
            b"a\x01b",
        ] {
            assert_eq!(decode_value(value), Err(MalformedValue), "{value:?}");
        }
    }

    const PARAMS: &str = r#"{"name":"greet"}"#;

    fn checked(version: Field<'_>, method: Field<'_>, name: Field<'_>) -> Result<(), Mismatch> {
        let headers = Mirrored {
            protocol_version: version,
            method,
            name,
        };
        check(
            &headers,
            "2026-07-28",
            "tools/call",
            Some(Raw::parse(PARAMS).unwrap()),
        )
    }

    const VERSION: Field<'_> = Field::Once(b"2026-07-28");
    const CALL: Field<'_> = Field::Once(b"tools/call");
    const GREET: Field<'_> = Field::Once(b"greet");

    // TM-4, TM-5
    #[test]
    fn headers_that_say_what_the_body_says_pass() {
        assert_eq!(checked(VERSION, CALL, GREET), Ok(()));
        assert_eq!(
            checked(VERSION, CALL, Field::Once(b"=?base64?Z3JlZXQ=?=")),
            Ok(())
        );
    }

    // TM-4
    #[test]
    fn the_version_header_must_be_there_once_and_equal_the_body() {
        let version = Header::ProtocolVersion;
        assert_eq!(
            checked(Field::Absent, CALL, GREET),
            Err(Mismatch::Missing(version.clone()))
        );
        assert_eq!(
            checked(Field::Repeated, CALL, GREET),
            Err(Mismatch::Repeated(version.clone()))
        );
        assert_eq!(
            checked(Field::Once(b"2025-11-25"), CALL, GREET),
            Err(Mismatch::Different(version.clone()))
        );
        assert_eq!(
            checked(Field::Once(b"\xff"), CALL, GREET),
            Err(Mismatch::Malformed(version))
        );
    }

    // TM-5
    #[test]
    fn the_method_header_must_be_there_once_and_equal_the_body_in_its_case() {
        assert_eq!(
            checked(VERSION, Field::Absent, GREET),
            Err(Mismatch::Missing(Header::Method))
        );
        assert_eq!(
            checked(VERSION, Field::Repeated, GREET),
            Err(Mismatch::Repeated(Header::Method))
        );
        assert_eq!(
            checked(VERSION, Field::Once(b"Tools/Call"), GREET),
            Err(Mismatch::Different(Header::Method))
        );
    }

    // TM-5, SEC-65
    #[test]
    fn the_name_header_must_be_there_once_and_equal_the_body() {
        assert_eq!(
            checked(VERSION, CALL, Field::Absent),
            Err(Mismatch::Missing(Header::Name))
        );
        assert_eq!(
            checked(VERSION, CALL, Field::Repeated),
            Err(Mismatch::Repeated(Header::Name))
        );
        assert_eq!(
            checked(VERSION, CALL, Field::Once(b"other")),
            Err(Mismatch::Different(Header::Name))
        );
        assert_eq!(
            checked(VERSION, CALL, Field::Once(b"\xff")),
            Err(Mismatch::Malformed(Header::Name))
        );
    }

    #[test]
    fn methods_without_a_name_need_no_name_header() {
        let headers = Mirrored {
            protocol_version: VERSION,
            method: Field::Once(b"tools/list"),
            name: Field::Absent,
        };
        assert_eq!(check(&headers, "2026-07-28", "tools/list", None), Ok(()));
    }

    // UC-3
    #[test]
    fn legacy_requests_carry_the_version_only() {
        let sent: Vec<_> =
            for_request(ProtocolVersion::V2025_11_25, "tools/call", Some("a")).collect();
        assert_eq!(sent, [(PROTOCOL_VERSION, Cow::Borrowed("2025-11-25"))]);
        assert_eq!(
            for_request(ProtocolVersion::LATEST, "tools/call", Some("é")).count(),
            3
        );
    }

    proptest! {
        #[test]
        fn every_text_survives_the_header(text in any::<String>()) {
            let encoded = encode_value(&text).into_owned();
            prop_assert_eq!(decode_value(encoded.as_bytes()).unwrap(), text);
        }
    }
}
