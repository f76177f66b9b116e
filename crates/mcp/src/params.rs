//! `params` of a request: what methods share of them, looked for once.

use bytes::Bytes;

use crate::meta::RequestMeta;
use crate::raw::{self, AmbiguousKey, OwnedRaw, Raw};

/// The parameters of a request as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// All of them: an object, if there.
    pub raw: Option<Raw<'a>>,
    /// `_meta`
    pub meta: RequestMeta<'a>,
    /// `name`
    pub name: Option<Raw<'a>>,
    /// `arguments`
    pub arguments: Option<Raw<'a>>,
}

impl<'a> Params<'a> {
    /// Looks at the parameters; an error if one of the members looked for occurs twice, or in another case.
    pub fn of(raw: Option<Raw<'a>>) -> Result<Self, AmbiguousKey> {
        let Some(params) = raw.filter(|raw| raw.is_object()) else {
            return Ok(Self::default());
        };
        let mut meta = RequestMeta::default();
        let read = |key, value: &'a str| {
            if key != "_meta" || !value.starts_with('{') {
                return Ok(None);
            }
            let (read, end) = RequestMeta::at_start(value)?;
            meta = read;
            Ok(Some(end))
        };
        let keys = ["_meta", "name", "arguments"];
        let ([_, name, arguments], _end) = raw::pick_at_start(params.as_str(), keys, read)?;
        Ok(Self {
            raw: Some(params),
            meta,
            name,
            arguments,
        })
    }
}

/// The parameters of a `tools/call`, to be kept. They share the bytes of the message that they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallParams {
    raw: OwnedRaw,
    arguments: Option<OwnedRaw>,
    progress_token: Option<OwnedRaw>,
    log_level: Option<OwnedRaw>,
}

impl CallParams {
    /// Those of `params`, which borrow from `message`. None if there are none.
    pub fn of(message: &Bytes, params: &Params<'_>) -> Option<Self> {
        let owned = |raw| OwnedRaw::of(message, raw);
        Some(Self {
            raw: owned(params.raw?),
            arguments: params.arguments.filter(|raw| !raw.is_null()).map(owned),
            progress_token: params.meta.valid_progress_token().map(owned),
            log_level: params.meta.valid_log_level().map(owned),
        })
    }

    /// All of them: an object.
    pub fn raw(&self) -> Raw<'_> {
        self.raw.borrow()
    }

    /// What the tool is called with; `null` is nothing.
    pub fn arguments(&self) -> Option<Raw<'_>> {
        self.arguments.as_ref().map(OwnedRaw::borrow)
    }

    /// Whether the tool is called with anything.
    pub const fn has_arguments(&self) -> bool {
        self.arguments.is_some()
    }

    /// A string or a number, if the client wants to hear of progress.
    pub fn progress_token(&self) -> Option<Raw<'_>> {
        self.progress_token.as_ref().map(OwnedRaw::borrow)
    }

    /// A string, if the client wants log messages of this call (2026-07-28).
    pub fn log_level(&self) -> Option<Raw<'_>> {
        self.log_level.as_ref().map(OwnedRaw::borrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_count_once_are_refused_twice_and_in_another_case() {
        for text in [
            r#"{"name":"a","name":"b"}"#,
            r#"{"arguments":{},"_meta":{},"_meta":{}}"#,
            r#"{"_meta":{"progressToken":1,"progressToken":2}}"#,
            r#"{"name":"a","Name":"b"}"#,
            r#"{"name":"a","argument\u017f":{}}"#,
            r#"{"_META":{}}"#,
            r#"{"_meta":{"ProgressToken":1}}"#,
        ] {
            assert!(
                Params::of(Some(Raw::parse(text).unwrap())).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_kept_is_what_came() {
        let message =
            Bytes::from_static(br#"{"arguments":{"a":1.0},"_meta":{"progressToken":"p"}}"#);
        let text = std::str::from_utf8(&message).unwrap();
        let params = Params::of(Some(Raw::parse(text).unwrap())).unwrap();
        let kept = CallParams::of(&message, &params).unwrap();
        assert_eq!(kept.raw().as_str(), text);
        assert_eq!(kept.arguments().unwrap().as_str(), r#"{"a":1.0}"#);
        assert_eq!(kept.progress_token().unwrap().as_str(), r#""p""#);
        assert_eq!(CallParams::of(&message, &Params::default()), None);
    }
}
