//! Translating there and back is the identity on what both eras can say.

use mcp::capability::ClientCapabilities;
use mcp::id::OwnedId;
use mcp::input::{Input, InputRequired, write_responses, write_result};
use mcp::method::Method;
use mcp::raw::Raw;
use mcp::result::{legacy_response, modern_response};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Numbers as servers write them: some are more than a reader's number can hold.
const NUMBERS: [&str; 6] = ["0", "-1", "1.0", "1e2", "12345678901234567890123", "1E400"];

/// Any JSON text.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|it| it.to_string()),
        proptest::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
        text(),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(" , "))),
            members(inner).prop_map(|all| format!("{{{all}}}")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|it| serde_json::to_string(&it).unwrap())
}

/// Members that mean nothing in either era, as text.
fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    btree_map("x-[a-z]{1,6}", value, 0..4).prop_map(|all| {
        let all = all
            .iter()
            .map(|(key, value)| format!(r#""{key}": {value}"#));
        all.collect::<Vec<_>>().join(",")
    })
}

/// A result as servers of both eras can give it, with the method that it is of.
fn result() -> impl Strategy<Value = (Method, String)> {
    let block = (text(), members(value()))
        .prop_map(|(text, more)| join(&[&format!(r#""type":"text","text":{text}"#), &more]));
    let content = vec(block, 0..3).prop_map(|all| {
        let all: Vec<_> = all.iter().map(|block| format!("{{{block}}}")).collect();
        format!("[{}]", all.join(","))
    });
    let tool = (
        content,
        any::<Option<bool>>(),
        proptest::option::of(members(value())),
    )
        .prop_map(|(content, failed, structured)| {
            let failed = failed
                .map(|it| format!(r#""isError":{it}"#))
                .unwrap_or_default();
            let structured = structured.map(|it| format!(r#""structuredContent":{{{it}}}"#));
            let structured = structured.unwrap_or_default();
            let content = format!(r#""content":{content}"#);
            (Method::ToolsCall, join(&[&content, &failed, &structured]))
        });
    let prompt = (proptest::option::of(text()), value()).prop_map(|(description, messages)| {
        let description = description.map(|it| format!(r#""description":{it}"#));
        let messages = format!(r#""messages":{messages}"#);
        (
            Method::PromptsGet,
            join(&[&description.unwrap_or_default(), &messages]),
        )
    });
    let resource = value().prop_map(|it| (Method::ResourcesRead, format!(r#""contents":{it}"#)));
    let completion = value().prop_map(|it| (Method::Complete, format!(r#""completion":{it}"#)));
    let meta = proptest::option::of(members(value()));
    (
        prop_oneof![tool, prompt, resource, completion],
        members(value()),
        meta,
    )
        .prop_map(|((method, own), more, meta)| {
            let meta = meta
                .map(|it| format!(r#""_meta":{{{it}}}"#))
                .unwrap_or_default();
            (method, format!("{{{}}}", join(&[&own, &more, &meta])))
        })
}

fn join(parts: &[&str]) -> String {
    let parts = parts.iter().copied().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(",")
}

/// The result of a response, as text.
fn result_of(response: &[u8]) -> String {
    let text = std::str::from_utf8(response).unwrap();
    let result = Raw::parse(text).unwrap().get("result").unwrap();
    result.as_str().to_owned()
}

/// The members of an object, each as it is written; an empty `_meta` says nothing.
fn written(object: &str) -> Vec<(String, String)> {
    let members = Raw::parse(object).unwrap().members().unwrap();
    let members = members.map(|one| {
        (
            one.key().unwrap().into_owned(),
            one.value.as_str().to_owned(),
        )
    });
    let is_empty = |(key, value): &(String, String)| key == "_meta" && value == "{}";
    members.filter(|one| !is_empty(one)).collect()
}

proptest! {
    // TM-16: of a server of the session era, through a client of the other, and back.
    #[test]
    fn a_result_of_the_session_era_is_itself_again((method, result) in result()) {
        let id = OwnedId::number(1);
        let there = modern_response(id.borrow(), method, Raw::parse(&result).unwrap(), r#"{"name":"g"}"#);
        let there = result_of(&there);
        let back = legacy_response(id.borrow(), method, Raw::parse(&there).unwrap());
        prop_assert_eq!(written(&result_of(&back)), written(&result));
    }

    // TM-16: what only the stateless era says (`resultType`, who serves, how long it may be kept) is said once more.
    #[test]
    fn a_result_of_the_stateless_era_is_itself_again((method, result) in result()) {
        let id = OwnedId::number(1);
        let info = r#"{"name":"g"}"#;
        let modern = result_of(&modern_response(id.borrow(), method, Raw::parse(&result).unwrap(), info));
        let there = result_of(&legacy_response(id.borrow(), method, Raw::parse(&modern).unwrap()));
        let back = result_of(&modern_response(id.borrow(), method, Raw::parse(&there).unwrap(), info));
        let sorted = |text: &str| {
            let mut all = written(text);
            all.retain(|(key, _)| key != "_meta");
            all.sort();
            all
        };
        prop_assert_eq!(sorted(&back), sorted(&modern));
        let meta = |text: &str| {
            let meta = Raw::parse(text).unwrap().get("_meta").unwrap();
            let mut all = written(meta.as_str());
            all.sort();
            all
        };
        prop_assert_eq!(meta(&back), meta(&modern));
    }

    // TM-18, TM-19: questions of a server's own become members of a result, and those become questions again.
    #[test]
    fn questions_are_themselves_again(
        asked in btree_map(any::<String>(), (0..3_usize, proptest::option::of(members(value()))), 1..8),
        state in any::<String>(),
    ) {
        let inputs = [Input::Elicitation, Input::Sampling, Input::Roots];
        let asked: Vec<_> = asked
            .into_iter()
            .map(|(key, (input, params))| (key, inputs[input], params.map(|it| format!("{{{it}}}"))))
            .collect();
        let questions = asked.iter().map(|(key, input, params)| {
            let params = params.as_deref().map(|it| Raw::parse(it).unwrap());
            (key.as_str(), *input, params)
        });
        let there = write_result(questions, &state, "");
        let back = InputRequired::of(Raw::parse(&there).unwrap()).unwrap();
        prop_assert_eq!(back.state.unwrap().text().unwrap(), state);
        let back: Vec<_> = back
            .questions
            .iter()
            .map(|one| (one.key.to_string(), one.input, one.params.map(|it| it.as_str().to_owned())))
            .collect();
        prop_assert_eq!(back, asked);
    }

    // TM-18
    #[test]
    fn answers_are_themselves_again(answers in btree_map(any::<String>(), members(value()), 0..8)) {
        let answers: Vec<_> = answers.into_iter().map(|(key, it)| (key, format!("{{{it}}}"))).collect();
        let given = answers.iter().map(|(key, it)| (key.as_str(), Raw::parse(it).unwrap()));
        prop_assert_eq!(written(&write_responses(given)), answers);
    }

    // UC-12: what a client declared with a request, or when its session began, is declared to a server of the other era.
    #[test]
    fn what_is_declared_is_itself_again(bits in any::<u16>()) {
        let declared = ClientCapabilities::from_bits(bits);
        let there = declared.to_json();
        let back = ClientCapabilities::of(Raw::parse(&there).unwrap());
        // Without sampling there is nothing more of it; tasks are of the stateless era alone.
        let sampling = ClientCapabilities::SAMPLING
            .and(ClientCapabilities::SAMPLING_TOOLS)
            .and(ClientCapabilities::SAMPLING_CONTEXT);
        let of_sampling = if declared.has(ClientCapabilities::SAMPLING) { 0 } else { sampling.bits() };
        let unsaid = of_sampling | ClientCapabilities::TASKS.bits();
        prop_assert_eq!(back.bits(), declared.bits() & !unsaid);
    }
}
