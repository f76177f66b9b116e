//! `params` of a request: what methods share of them, looked for once.

use bytes::Bytes;

use crate::edit::{Change, changed};
use crate::input;
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
    /// [`input::REQUEST_STATE`]
    pub request_state: Option<Raw<'a>>,
    /// [`input::INPUT_RESPONSES`]
    pub input_responses: Option<Raw<'a>>,
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
        let keys = [
            "_meta",
            "name",
            "arguments",
            input::REQUEST_STATE,
            input::INPUT_RESPONSES,
        ];
        let ([_, name, arguments, request_state, input_responses], _end) =
            raw::pick_at_start(params.as_str(), keys, read)?;
        Ok(Self {
            raw: Some(params),
            meta,
            name,
            arguments,
            request_state,
            input_responses,
        })
    }
}

/// The parameters of a `tools/call`, to be kept. They share the bytes of the message that they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallParams {
    raw: OwnedRaw,
    arguments: Option<OwnedRaw>,
    progress_token: Option<OwnedRaw>,
    is_repeated: bool,
}

impl CallParams {
    /// Those of `params`, which borrow from `message`. None if there are none.
    pub fn of(message: &Bytes, params: &Params<'_>) -> Option<Self> {
        let owned = |raw| OwnedRaw::of(message, raw);
        Some(Self {
            raw: owned(params.raw?),
            arguments: params.arguments.filter(|raw| !raw.is_null()).map(owned),
            progress_token: params.meta.valid_progress_token().map(owned),
            is_repeated: params.request_state.is_some() || params.input_responses.is_some(),
        })
    }

    /// The same, as they are sent again with what a server asked for: a JSON object of answers, and the string that it wants
    /// given again, as JSON. What there was of these before is replaced.
    #[must_use]
    pub fn answering(&self, responses: Option<&str>, state: Option<Raw<'_>>) -> Self {
        let [responses_key, state_key] = [input::INPUT_RESPONSES, input::REQUEST_STATE];
        let changes = [
            match responses {
                Some(json) => Change::set(responses_key, json),
                None => Change::remove(responses_key),
            },
            match state {
                Some(state) => Change::set(state_key, state.as_str()),
                None => Change::remove(state_key),
            },
        ];
        self.with(&changes)
    }

    /// The same with changes.
    #[must_use]
    pub fn with(&self, changes: &[Change<'_>]) -> Self {
        let message = Bytes::from(changed(self.raw(), changes));
        let text = std::str::from_utf8(&message).map(Raw::trusted).ok();
        // What was read once is read again.
        let params = Params::of(text).unwrap_or_default();
        Self::of(&message, &params).unwrap_or_else(|| self.clone())
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

    /// Whether they have what belongs to a request that is sent again (2026-07-28).
    pub const fn is_repeated(&self) -> bool {
        self.is_repeated
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
            r#"{"requestState":"a","requestState":"b"}"#,
            r#"{"inputResponses":{},"inputresponses":{}}"#,
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

    // UC-5
    #[test]
    fn a_request_that_is_sent_again_has_the_answers_and_the_state_as_it_came() {
        let message = Bytes::from_static(
            br#"{"name":"a","requestState":"old","arguments":{"x":1.0},"inputResponses":{"k":{}}}"#,
        );
        let text = std::str::from_utf8(&message).unwrap();
        let params = Params::of(Some(Raw::parse(text).unwrap())).unwrap();
        let first = CallParams::of(&message, &params).unwrap();
        assert!(first.is_repeated());
        let state = Raw::parse(r#""\u0061 b""#).unwrap();
        let again = first.answering(Some(r#"{"n":{"action":"accept"}}"#), Some(state));
        insta::assert_snapshot!(again.raw().as_str(), @r#"{"name":"a","requestState":"\u0061 b","arguments":{"x":1.0},"inputResponses":{"n":{"action":"accept"}}}"#);
        assert_eq!(again.arguments().unwrap().as_str(), r#"{"x":1.0}"#);
        let nothing = first.answering(None, None);
        assert_eq!(
            nothing.raw().as_str(),
            r#"{"name":"a","arguments":{"x":1.0}}"#
        );
        assert!(!nothing.is_repeated());
    }
}
