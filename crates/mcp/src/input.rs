//! What a server asks of the client in the middle of a request: elicitation, sampling, roots.
//!
//! In the session era these are requests of the server's own. In the stateless era they stand in a result that says
//! `input_required`, under keys of the server's choice, and the client sends its request again with what came of them.

use std::borrow::Cow;

use crate::capability::ClientCapabilities;
use crate::method::Method;
use crate::raw::{Ambiguous, Kind, Raw, write_string};

/// What a server may ask of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `elicitation/create`: something that a person enters, or does at a URL.
    Elicitation,
    /// `sampling/createMessage`: what the client's model says.
    Sampling,
    /// `roots/list`: where the client works.
    Roots,
}

/// The member of a request, and of its result, that names what a server must be given again.
pub const REQUEST_STATE: &str = "requestState";
/// The member of a repeated request that has the answers.
pub const INPUT_RESPONSES: &str = "inputResponses";
/// The member of a result that has the questions.
pub const INPUT_REQUESTS: &str = "inputRequests";

/// Questions in one result; nobody puts more to a person at once.
pub const MOST: usize = 32;

impl Input {
    const ALL: [Self; 3] = [Self::Elicitation, Self::Sampling, Self::Roots];

    /// The method that asks for it.
    pub const fn method(self) -> Method {
        match self {
            Self::Elicitation => Method::Elicit,
            Self::Sampling => Method::CreateMessage,
            Self::Roots => Method::RootsList,
        }
    }

    /// What a method asks for, if it asks for input.
    pub fn by(method: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|input| input.method().as_str() == method)
    }

    /// Whether a client that declared this much can be asked for it, with these parameters (UC-12, TM-19).
    pub fn is_declared(self, params: Option<Raw<'_>>, declared: ClientCapabilities) -> bool {
        let member = |name| params.and_then(|params| params.get(name));
        let needed = match self {
            Self::Elicitation => match member("mode").and_then(Raw::text).as_deref() {
                Some("url") => ClientCapabilities::URL,
                _ => ClientCapabilities::FORM,
            },
            Self::Sampling => match member("tools").or_else(|| member("toolChoice")) {
                Some(tools) if !tools.is_null() => {
                    ClientCapabilities::SAMPLING.and(ClientCapabilities::SAMPLING_TOOLS)
                }
                _ => ClientCapabilities::SAMPLING,
            },
            Self::Roots => ClientCapabilities::ROOTS,
        };
        declared.has(needed)
    }

    /// The capability that it needs, as a `ClientCapabilities` object (TM-9).
    pub const fn required(self) -> &'static str {
        match self {
            Self::Elicitation => r#"{"elicitation":{}}"#,
            Self::Sampling => r#"{"sampling":{}}"#,
            Self::Roots => r#"{"roots":{}}"#,
        }
    }
}

/// One question of a result that says `input_required`.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Under which the answer is given.
    pub key: Cow<'a, str>,
    /// What is asked for.
    pub input: Input,
    /// An object, if there.
    pub params: Option<Raw<'a>>,
}

/// A result that says `input_required`.
#[derive(Clone, Debug)]
pub struct InputRequired<'a> {
    /// In the server's order.
    pub questions: Vec<Question<'a>>,
    /// What must be given again, if there: a string.
    pub state: Option<Raw<'a>>,
}

/// Why a result that says `input_required` can't be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInput {
    /// A member twice, or in another case (SEC-81).
    #[error("a member that several readers understand differently")]
    Ambiguous,
    /// Neither questions nor a state.
    #[error("neither `inputRequests` nor `requestState`")]
    Nothing,
    /// `inputRequests` is no object, or has too many members.
    #[error("`inputRequests` is no object with at most {MOST} members")]
    Requests,
    /// Something else than elicitation, sampling or roots (TM-19).
    #[error("a request that is none of those a client can be asked")]
    Unknown,
    /// `requestState` is no string.
    #[error("`requestState` is no string")]
    State,
}

impl From<Ambiguous> for InvalidInput {
    fn from(Ambiguous: Ambiguous) -> Self {
        Self::Ambiguous
    }
}

impl<'a> InputRequired<'a> {
    /// Reads the result.
    ///
    /// # Errors
    /// See [`InvalidInput`].
    pub fn of(result: Raw<'a>) -> Result<Self, InvalidInput> {
        let there = |raw: Option<Raw<'a>>| raw.filter(|raw| !raw.is_null());
        let requests = there(result.only(INPUT_REQUESTS)?);
        let state = there(result.only(REQUEST_STATE)?);
        if state.is_some_and(|state| state.kind() != Kind::String) {
            return Err(InvalidInput::State);
        }
        if requests.is_none() && state.is_none() {
            return Err(InvalidInput::Nothing);
        }
        let mut questions = Vec::new();
        if let Some(requests) = requests {
            for member in requests.members().ok_or(InvalidInput::Requests)? {
                if questions.len() == MOST {
                    return Err(InvalidInput::Requests);
                }
                let key = member.key().ok_or(InvalidInput::Requests)?;
                let method = member.value.get("method").and_then(Raw::text);
                questions.push(Question {
                    key,
                    input: method
                        .and_then(|method| Input::by(&method))
                        .ok_or(InvalidInput::Unknown)?,
                    params: member.value.get("params").filter(|raw| raw.is_object()),
                });
            }
        }
        Ok(Self { questions, state })
    }
}

/// Writes the result that asks a stateless client: questions by key, method and parameters, the state, and what is to follow
/// (with its leading comma).
pub fn write_result<'a>(
    questions: impl Iterator<Item = (&'a str, Input, Option<Raw<'a>>)>,
    state: &str,
    rest: &str,
) -> String {
    let mut out = String::from(r#"{"resultType":"input_required","inputRequests":{"#);
    for (at, (key, input, params)) in questions.enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(&mut out, key);
        out.push_str(r#":{"method":"#);
        write_string(&mut out, input.method().as_str());
        if let Some(params) = params {
            out.push_str(r#","params":"#);
            out.push_str(params.as_str());
        }
        out.push('}');
    }
    out.push_str(r#"},"requestState":"#);
    write_string(&mut out, state);
    out.push_str(rest);
    out.push('}');
    out
}

/// Writes the member `inputResponses` of a repeated request: an object of answers by key.
pub fn write_responses<'a>(answers: impl Iterator<Item = (&'a str, Raw<'a>)>) -> String {
    let mut out = String::from("{");
    for (at, (key, answer)) in answers.enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(&mut out, key);
        out.push(':');
        out.push_str(answer.as_str());
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Result<InputRequired<'static>, InvalidInput> {
        InputRequired::of(Raw::parse(text).unwrap())
    }

    // TM-19
    #[test]
    fn questions_are_read_in_order_and_others_than_the_three_are_refused() {
        let found = of(
            r#"{"inputRequests":{"b":{"method":"roots/list"},"a\n":{"method":"elicitation/create","params":{"message":"?"}}},"requestState":"s"}"#,
        )
        .unwrap();
        let [roots, form] = &found.questions[..] else {
            panic!("two questions")
        };
        assert_eq!((roots.key.as_ref(), roots.input), ("b", Input::Roots));
        assert_eq!((form.key.as_ref(), form.input), ("a\n", Input::Elicitation));
        assert_eq!(form.params.unwrap().as_str(), r#"{"message":"?"}"#);
        assert_eq!(found.state.unwrap().as_str(), r#""s""#);
        assert!(of(r#"{"requestState":"s"}"#).unwrap().questions.is_empty());
        for (text, fault) in [
            ("{}", InvalidInput::Nothing),
            (r#"{"inputRequests":null}"#, InvalidInput::Nothing),
            (r#"{"inputRequests":[]}"#, InvalidInput::Requests),
            (r#"{"requestState":1}"#, InvalidInput::State),
            (
                r#"{"requestState":"a","RequestState":"b"}"#,
                InvalidInput::Ambiguous,
            ),
            (
                r#"{"inputRequests":{"a":{"method":"tools/call"}}}"#,
                InvalidInput::Unknown,
            ),
            (r#"{"inputRequests":{"a":1}}"#, InvalidInput::Unknown),
        ] {
            assert_eq!(of(text).unwrap_err(), fault, "{text}");
        }
    }

    // UC-12
    #[test]
    fn a_client_is_asked_for_what_it_declared_and_nothing_else() {
        let asked = |input: Input, params: &'static str, capabilities: &'static str| {
            let declared = ClientCapabilities::of(Raw::parse(capabilities).unwrap());
            input.is_declared(Some(Raw::parse(params).unwrap()), declared)
        };
        let form = r#"{"mode":"form"}"#;
        assert!(asked(Input::Elicitation, "{}", r#"{"elicitation":{}}"#));
        assert!(asked(
            Input::Elicitation,
            form,
            r#"{"elicitation":{"form":{}}}"#
        ));
        let url = r#"{"mode":"url"}"#;
        assert!(!asked(Input::Elicitation, url, r#"{"elicitation":{}}"#));
        assert!(asked(
            Input::Elicitation,
            url,
            r#"{"elicitation":{"url":{}}}"#
        ));
        assert!(!asked(
            Input::Elicitation,
            form,
            r#"{"elicitation":{"url":{}}}"#
        ));
        assert!(asked(Input::Sampling, "{}", r#"{"sampling":{}}"#));
        let tools = r#"{"tools":[]}"#;
        assert!(!asked(Input::Sampling, tools, r#"{"sampling":{}}"#));
        assert!(asked(
            Input::Sampling,
            tools,
            r#"{"sampling":{"tools":{}}}"#
        ));
        assert!(!asked(Input::Roots, "{}", r#"{"sampling":{}}"#));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let params = Raw::parse(r#"{"message":"?"}"#).unwrap();
        let questions = [
            ("a\"", Input::Elicitation, Some(params)),
            ("b", Input::Roots, None),
        ];
        let text = write_result(questions.into_iter(), "s", r#","_meta":{}"#);
        insta::assert_snapshot!(text, @r#"{"resultType":"input_required","inputRequests":{"a\"":{"method":"elicitation/create","params":{"message":"?"}},"b":{"method":"roots/list"}},"requestState":"s","_meta":{}}"#);
        let found = InputRequired::of(Raw::parse(&text).unwrap()).unwrap();
        assert_eq!(found.questions.len(), 2);
        let answers =
            write_responses([("a\"", params), ("b", Raw::parse("{}").unwrap())].into_iter());
        insta::assert_snapshot!(answers, @r#"{"a\"":{"message":"?"},"b":{}}"#);
    }
}
