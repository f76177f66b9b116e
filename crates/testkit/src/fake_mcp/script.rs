//! What a fake server does.

use std::time::Duration;

use serde_json::{Value, json};

use super::seen::Seen;

/// Which protocol eras the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Only 2026-07-28.
    Modern,
    /// Only 2025-11-25 and earlier.
    Legacy,
    /// Both, by what arrives.
    Both,
}

/// How ordinary requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// `application/json`
    Json,
    /// `text/event-stream` with one event
    Sse,
}

/// Something to do instead of the ordinary answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Wait, then answer as usual.
    Slow(Duration),
    /// Wait, then do something else.
    After(Duration, Box<Self>),
    /// Never answer.
    Hang,
    /// Send the head of an SSE answer, then nothing.
    HangAfterHead,
    /// Close the connection without an answer.
    Close,
    /// Send one progress notification over SSE, then close.
    CloseMidStream,
    /// Announce a longer JSON body than is sent, then close.
    Truncate,
    /// An HTTP answer, as it is written here.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Content-Type`; none if empty.
        content_type: &'static str,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
        /// The body. `$ID` stands for the JSON text of the request's id.
        body: String,
    },
    /// An SSE answer with exactly these bytes; `$ID` stands for the request's id.
    Events(String),
    /// An SSE line of so many bytes that does not end.
    EndlessLine(usize),
    /// So many bytes of a JSON body, and never its last one.
    HugeJson(usize),
    /// Progress notifications at this interval, for ever.
    Drip(Duration),
    /// Reject with -32020 unless the header is there.
    DemandHeader(&'static str),
    /// Do it for requests like these only, and answer others as usual.
    When(Condition, Box<Self>),
}

/// What a request is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Its body does not have this text.
    BodyLacks(String),
    /// It does not have this header.
    HeaderLacks(&'static str),
    /// It has this header with this value.
    HeaderIs(&'static str, String),
    /// It is for this path.
    PathIs(&'static str),
}

impl Condition {
    pub(super) fn holds(&self, seen: &Seen) -> bool {
        match self {
            Self::BodyLacks(text) => !seen.body.contains(text),
            Self::HeaderLacks(name) => seen.header(name).is_none(),
            Self::HeaderIs(name, value) => seen.header(name) == Some(value),
            Self::PathIs(path) => seen.path == *path,
        }
    }
}

impl Act {
    /// A JSON body with status 200.
    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    /// Unless the body has this text.
    pub fn unless(text: &str, act: Self) -> Self {
        Self::When(Condition::BodyLacks(text.to_owned()), Box::new(act))
    }

    /// Unless the header is there.
    pub fn unless_header(name: &'static str, act: Self) -> Self {
        Self::When(Condition::HeaderLacks(name), Box::new(act))
    }

    /// If the header has this value.
    pub fn with_header(name: &'static str, value: String, act: Self) -> Self {
        Self::When(Condition::HeaderIs(name, value), Box::new(act))
    }

    /// For requests to this path.
    pub fn at_path(path: &'static str, act: Self) -> Self {
        Self::When(Condition::PathIs(path), Box::new(act))
    }

    /// A JSON body with a status.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        let content_type = "application/json";
        Self::Answer {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

/// What the server is and does.
#[derive(Debug, Clone)]
pub struct Script {
    /// Eras.
    pub speaks: Speaks,
    /// The modern versions it implements.
    pub modern_versions: Vec<String>,
    /// The legacy version it answers when it does not know the one asked for.
    pub legacy_version: String,
    /// Does it hand out `Mcp-Session-Id`s, and insist on them? (legacy)
    pub sessions: bool,
    /// JSON or SSE.
    pub answers: Answers,
    /// Tools per page of `tools/list`.
    pub page_size: usize,
    /// The tools, as they are listed.
    pub tools: Vec<Value>,
    /// The prompts, as they are listed; without any, it does not declare that it could have some.
    pub prompts: Vec<Value>,
    /// The resources, as they are listed; without any, and without templates, it does not declare that it could have some.
    pub resources: Vec<Value>,
    /// The templates of resources, as they are listed.
    pub resource_templates: Vec<Value>,
    /// Does it complete arguments?
    pub completes: bool,
    /// Does it take note of which log messages are wanted? (legacy)
    pub logs: bool,
    /// Does it tell of updates of resources?
    pub subscribes: bool,
    /// Does it declare and send `list_changed` of all that it has?
    pub list_changed: bool,
    /// `ttlMs` of `tools/list` (modern).
    pub ttl_ms: u64,
    /// Does it find members of a message without regard to case, as servers in Go do?
    pub ignores_case: bool,
    /// Does it speak the transport of 2024-11-05 only, and where does it want messages?
    pub pair: Option<String>,
    /// Closes a connection after its first answer, without having said so.
    pub closes_unsaid: bool,
    /// By `method` or `method tool`: what to do instead, the first entry that fits.
    pub acts: Vec<(String, Act)>,
}

impl Script {
    /// A server of the stateless era that answers JSON.
    pub fn modern() -> Self {
        Self {
            speaks: Speaks::Modern,
            ..Self::dual()
        }
    }

    /// A server of the session era that answers JSON and has sessions.
    pub fn legacy() -> Self {
        Self {
            speaks: Speaks::Legacy,
            ..Self::dual()
        }
    }

    /// A server of the session era without sessions, as `FastMCP` with `stateless_http=True`.
    pub fn legacy_without_sessions() -> Self {
        Self {
            sessions: false,
            ..Self::legacy()
        }
    }

    /// A server of the session era on the transport of 2024-11-05.
    pub fn pair() -> Self {
        Self {
            pair: Some("/messages".to_owned()),
            ..Self::legacy()
        }
    }

    /// A server of both eras.
    pub fn dual() -> Self {
        Self {
            speaks: Speaks::Both,
            modern_versions: vec!["2026-07-28".to_owned()],
            legacy_version: "2025-11-25".to_owned(),
            sessions: true,
            answers: Answers::Json,
            page_size: 100,
            tools: vec![
                tool("echo"),
                tool("progress"),
                tool("headers"),
                tool("ask"),
                json!({
                    "name": "query",
                    "inputSchema": {"type": "object", "properties": {
                        "region": {"type": "string", "x-mcp-header": "Region"},
                        "limit": {"type": "integer"},
                    }},
                }),
            ],
            prompts: Vec::new(),
            resources: Vec::new(),
            resource_templates: Vec::new(),
            completes: false,
            logs: false,
            subscribes: false,
            list_changed: true,
            ttl_ms: 60_000,
            ignores_case: false,
            pair: None,
            closes_unsaid: false,
            acts: Vec::new(),
        }
    }

    /// Answers over SSE.
    pub fn over_sse(mut self) -> Self {
        self.answers = Answers::Sse;
        self
    }

    /// Finds members without regard to case.
    pub fn ignoring_case(mut self) -> Self {
        self.ignores_case = true;
        self
    }

    /// Does something else for a method (`tools/list`), or for a tool (`tools/call my_tool`). The
    /// HTTP verbs `GET` and `DELETE` can be named too.
    pub fn on(mut self, what: &str, act: Act) -> Self {
        self.acts.push((what.to_owned(), act));
        self
    }

    /// These tools, by name, instead of the usual ones.
    pub fn with_tools(mut self, tools: Vec<Value>) -> Self {
        self.tools = tools;
        self
    }

    /// These prompts, by name and whatever else they say.
    pub fn with_prompts(mut self, prompts: Vec<Value>) -> Self {
        self.prompts = prompts;
        self
    }

    /// These resources and these templates of some.
    pub fn with_resources(mut self, resources: Vec<Value>, templates: Vec<Value>) -> Self {
        self.resources = resources;
        self.resource_templates = templates;
        self
    }

    /// The capabilities that it has.
    pub(super) fn has(&self) -> Vec<&'static str> {
        let mut has = vec!["tools"];
        if !self.prompts.is_empty() {
            has.push("prompts");
        }
        if !self.resources.is_empty() || !self.resource_templates.is_empty() {
            has.push("resources");
        }
        has
    }

    /// What it says that it can do.
    pub(super) fn capabilities(&self) -> Value {
        let has = self.has().into_iter();
        let stated = has.map(|one| (one.to_owned(), json!({"listChanged": self.list_changed})));
        let mut stated: serde_json::Map<_, _> = stated.collect();
        if self.subscribes
            && let Some(resources) = stated.get_mut("resources").and_then(Value::as_object_mut)
        {
            resources.insert("subscribe".to_owned(), json!(true));
        }
        if self.completes {
            stated.insert("completions".to_owned(), json!({}));
        }
        if self.logs {
            stated.insert("logging".to_owned(), json!({}));
        }
        stated.into()
    }

    /// The list that a method asks for, with the word for it, if it has such things.
    pub(super) fn listed_by(&self, method: &str) -> Option<(&'static str, &[Value])> {
        let (capability, word, all) = match method {
            "tools/list" => ("tools", "tools", &self.tools),
            "prompts/list" => ("prompts", "prompts", &self.prompts),
            "resources/list" => ("resources", "resources", &self.resources),
            "resources/templates/list" => {
                ("resources", "resourceTemplates", &self.resource_templates)
            }
            _ => return None,
        };
        self.has().contains(&capability).then_some((word, all))
    }

    pub(super) fn act(&self, method: &str, tool: Option<&str>) -> Option<Act> {
        let of_tool = tool.map(|tool| format!("{method} {tool}"));
        let fits = |what: &String| what == method || Some(what) == of_tool.as_ref();
        self.acts
            .iter()
            .find(|(what, _)| fits(what))
            .map(|(_, act)| act.clone())
    }
}

/// A tool definition with a name and a schema that accepts any object.
pub fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("The tool {name}."), "inputSchema": {"type": "object"}})
}
