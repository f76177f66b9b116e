//! The tools of the demonstration's MCP server: how they are listed and what they do.

use mcp::raw::{Kind, Raw, quote};

/// The definitions, as they are listed.
pub(super) const DEFINITIONS: [&str; 4] = [
    r#"{"name":"add_numbers","description":"Add two numbers together","inputSchema":{"properties":{"a":{"title":"A","type":"integer"},"b":{"title":"B","type":"integer"}},"required":["a","b"],"title":"add_numbersArguments","type":"object"},"outputSchema":{"properties":{"result":{"title":"Result","type":"integer"}},"required":["result"],"title":"add_numbersOutput","type":"object"}}"#,
    r#"{"name":"multiply_numbers","description":"Multiply two numbers together","inputSchema":{"properties":{"a":{"title":"A","type":"integer"},"b":{"title":"B","type":"integer"}},"required":["a","b"],"title":"multiply_numbersArguments","type":"object"},"outputSchema":{"properties":{"result":{"title":"Result","type":"integer"}},"required":["result"],"title":"multiply_numbersOutput","type":"object"}}"#,
    r#"{"name":"greet_user","description":"Greet a user by name","inputSchema":{"properties":{"name":{"title":"Name","type":"string"}},"required":["name"],"title":"greet_userArguments","type":"object"},"outputSchema":{"properties":{"result":{"title":"Result","type":"string"}},"required":["result"],"title":"greet_userOutput","type":"object"}}"#,
    r#"{"name":"count_slowly","description":"Count up to a number, two steps a second, and report the progress","inputSchema":{"properties":{"to":{"maximum":100,"minimum":1,"title":"To","type":"integer"}},"required":["to"],"title":"count_slowlyArguments","type":"object"},"outputSchema":{"properties":{"result":{"title":"Result","type":"integer"}},"required":["result"],"title":"count_slowlyOutput","type":"object"}}"#,
];

const FARTHEST: u64 = 100;

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The members of its result.
    Done(String),
    /// It takes time.
    Counting(Count),
}

/// A count from one up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// The last number.
    pub(super) to: u64,
}

impl Count {
    /// Members of the result.
    pub(super) fn result(self) -> String {
        success(&self.to.to_string(), &self.to.to_string())
    }

    /// `notifications/progress` for a number.
    pub(super) fn progress(self, number: u64, token: &str) -> Vec<u8> {
        let params = format!(
            r#"{{"progressToken":{token},"progress":{number},"total":{},"message":"{number} of {}"}}"#,
            self.to, self.to
        );
        mcp::jsonrpc::notification("notifications/progress", Some(&params))
    }
}

/// Why arguments are not accepted, in words for the model that made them.
type Fault = String;

/// Calls a tool; `None` if there is none with this name.
pub(super) fn call(name: &str, arguments: Option<Raw<'_>>) -> Option<Work> {
    let arguments = Arguments(arguments);
    let outcome = match name {
        "add_numbers" => arguments.calculate(i128::checked_add),
        "multiply_numbers" => arguments.calculate(i128::checked_mul),
        "greet_user" => arguments.text("name").map(|name| {
            let greeting = format!("Hello, {name}! Nice to meet you.");
            Work::Done(success(&greeting, &quote(&greeting)))
        }),
        "count_slowly" => arguments.count(),
        _ => return None,
    };
    Some(outcome.unwrap_or_else(|fault| {
        let text = quote(&format!("Error executing tool {name}: {fault}"));
        Work::Done(format!(
            r#""content":[{{"type":"text","text":{text}}}],"isError":true"#
        ))
    }))
}

/// Members of a success. `value` is JSON text.
fn success(text: &str, value: &str) -> String {
    let text = quote(text);
    format!(
        r#""content":[{{"type":"text","text":{text}}}],"structuredContent":{{"result":{value}}},"isError":false"#
    )
}

#[derive(Clone, Copy)]
struct Arguments<'a>(Option<Raw<'a>>);

impl<'a> Arguments<'a> {
    fn value(self, name: &str) -> Result<Raw<'a>, Fault> {
        let Some(arguments) = self.0 else {
            return Err(format!("`{name}` is missing"));
        };
        if !arguments.is_object() {
            return Err("`arguments` must be an object".to_owned());
        }
        let mut found = arguments
            .members()
            .into_iter()
            .flatten()
            .filter(|member| member.is(name));
        match (found.next(), found.next()) {
            (Some(member), None) => Ok(member.value),
            (None, _) => Err(format!("`{name}` is missing")),
            (Some(_), Some(_)) => Err(format!("`{name}` is there twice")),
        }
    }

    fn text(self, name: &str) -> Result<String, Fault> {
        let value = self.value(name)?;
        let text = value
            .text()
            .ok_or_else(|| wrong_type(name, "a string", value))?;
        Ok(text.into_owned())
    }

    fn integer(self, name: &str) -> Result<i128, Fault> {
        let value = self.value(name)?;
        if value.kind() != Kind::Number {
            return Err(wrong_type(name, "an integer", value));
        }
        if let Ok(number) = value.as_str().parse() {
            return Ok(number);
        }
        integral(value.as_str())
            .ok_or_else(|| format!("`{name}` must be an integer of at most 38 digits"))
    }

    fn calculate(self, operation: fn(i128, i128) -> Option<i128>) -> Result<Work, Fault> {
        let (a, b) = (self.integer("a")?, self.integer("b")?);
        let result = operation(a, b)
            .ok_or("the result has too many digits")?
            .to_string();
        Ok(Work::Done(success(&result, &result)))
    }

    fn count(self) -> Result<Work, Fault> {
        let to = u64::try_from(self.integer("to")?)
            .ok()
            .filter(|to| (1..=FARTHEST).contains(to));
        let to = to.ok_or_else(|| format!("`to` must be between 1 and {FARTHEST}"))?;
        Ok(Work::Counting(Count { to }))
    }
}

/// `2.0` and `2e0` are integers too (JSON Schema, "integer").
fn integral(text: &str) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "an integer within ±2⁵³")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
}

fn wrong_type(name: &str, expected: &str, found: Raw<'_>) -> Fault {
    let found = match found.kind() {
        Kind::Object => "an object",
        Kind::Array => "an array",
        Kind::String => "a string",
        Kind::Number => "a number",
        Kind::Bool => "a boolean",
        Kind::Null => "null",
    };
    format!("`{name}` must be {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &str, arguments: &str) -> String {
        let arguments = Raw::parse(arguments).expect("JSON");
        match call(name, Some(arguments)).expect("a tool") {
            Work::Done(members) => format!("{{{members}}}"),
            Work::Counting(count) => format!("counting to {}", count.to),
        }
    }

    fn result(name: &str, arguments: &str) -> serde_json::Value {
        let tree: serde_json::Value = serde_json::from_str(&done(name, arguments)).expect("JSON");
        assert_eq!(tree["isError"], false, "{tree}");
        tree["structuredContent"]["result"].clone()
    }

    fn error(name: &str, arguments: &str) -> String {
        let tree: serde_json::Value = serde_json::from_str(&done(name, arguments)).expect("JSON");
        assert_eq!(tree["isError"], true, "{tree}");
        assert!(tree.get("structuredContent").is_none());
        tree["content"][0]["text"]
            .as_str()
            .expect("a text")
            .to_owned()
    }

    #[test]
    fn the_articles_calls_have_the_articles_results() {
        assert_eq!(result("add_numbers", r#"{"a":2,"b":3}"#), 5);
        assert_eq!(result("multiply_numbers", r#"{"a":2,"b":3}"#), 6);
        assert_eq!(
            result("greet_user", r#"{"name":"Alice"}"#),
            "Hello, Alice! Nice to meet you."
        );
    }

    #[test]
    fn text_and_structure_say_the_same() {
        assert_eq!(
            done("add_numbers", r#"{"a":-2,"b":3.0}"#),
            r#"{"content":[{"type":"text","text":"1"}],"structuredContent":{"result":1},"isError":false}"#
        );
    }

    #[test]
    fn wrong_arguments_are_explained() {
        for (name, arguments, fault) in [
            ("add_numbers", "{}", "`a` is missing"),
            ("add_numbers", r#"{"a":1}"#, "`b` is missing"),
            (
                "add_numbers",
                r#"{"a":1,"b":"2"}"#,
                "`b` must be an integer, found a string",
            ),
            (
                "add_numbers",
                r#"{"a":1,"b":null}"#,
                "`b` must be an integer, found null",
            ),
            (
                "add_numbers",
                r#"{"a":1,"b":1.5}"#,
                "`b` must be an integer of at most 38 digits",
            ),
            (
                "add_numbers",
                r#"{"a":1,"b":1e400}"#,
                "`b` must be an integer of at most 38 digits",
            ),
            (
                "add_numbers",
                r#"{"a":1,"a":1,"b":1}"#,
                "`a` is there twice",
            ),
            ("add_numbers", "[1,2]", "`arguments` must be an object"),
            (
                "greet_user",
                r#"{"name":1}"#,
                "`name` must be a string, found a number",
            ),
            (
                "count_slowly",
                r#"{"to":0}"#,
                "`to` must be between 1 and 100",
            ),
            (
                "count_slowly",
                r#"{"to":101}"#,
                "`to` must be between 1 and 100",
            ),
        ] {
            assert_eq!(
                error(name, arguments),
                format!("Error executing tool {name}: {fault}")
            );
        }
        let largest = i128::MAX;
        let arguments = format!(r#"{{"a":{largest},"b":{largest}}}"#);
        for name in ["add_numbers", "multiply_numbers"] {
            assert!(error(name, &arguments).ends_with("the result has too many digits"));
        }
    }

    #[test]
    fn names_with_quotes_stay_json() {
        assert_eq!(
            result("greet_user", r#"{"name":"\"}\n世"}"#),
            "Hello, \"}\n世! Nice to meet you."
        );
    }

    #[test]
    fn a_tool_that_is_not_there_is_none() {
        assert_eq!(call("nope", None), None);
    }

    #[test]
    fn definitions_are_valid_tools_with_objects_for_schemas() {
        for definition in DEFINITIONS {
            let raw = Raw::parse(definition).expect("JSON");
            let tool = mcp::tool::Tool::parse(raw, mcp::era::Era::Stateless).expect("a tool");
            let arguments = Raw::parse("{}").expect("JSON");
            assert!(call(&tool.name, Some(arguments)).is_some(), "{}", tool.name);
            for schema in ["inputSchema", "outputSchema"] {
                let schema = raw.get(schema).expect("a schema");
                assert_eq!(
                    schema.get("type").and_then(Raw::text).as_deref(),
                    Some("object")
                );
            }
        }
    }
}
