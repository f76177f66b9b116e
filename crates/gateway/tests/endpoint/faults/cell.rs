//! One request of the matrix: what is asked for, how, and what came of it.

use std::time::Duration;

use mcp::era::Era;
use mcp::error::Code;
use serde_json::{Value, json};

use crate::messages::Messages;
use crate::world::{Actor, Answer, LEGACY, MODERN, modern};

/// What every fault says that says anything. No client is to see it.
pub(super) const SECRET: &str = "SECRET-MARKER";

/// The codes of a target that failed, and of one that took too long.
pub(super) const FAILED: &[i64] = &[-31502];
pub(super) const TIMED_OUT: &[i64] = &[-31504];

/// How what is asked for is found, and so what a fault means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A list, under this word.
    List(&'static str),
    /// Something of a name, which says whose it is.
    Named,
    /// Something of a URI, which anybody could have.
    Located,
    /// A task, whose id says where it is.
    Task,
    /// `resources/subscribe`
    Subscribe,
    /// `subscriptions/listen`
    Listen,
    /// `logging/setLevel`, and a call after that.
    Level,
}

/// A method, and who asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) eras: &'static [&'static str],
}

const fn method(name: &'static str, kind: Kind, eras: &'static [&'static str]) -> Method {
    Method { name, kind, eras }
}

const BOTH: &[&str] = &[MODERN, LEGACY];

pub(super) const METHODS: &[Method] = &[
    method("tools/list", Kind::List("tools"), BOTH),
    method("tools/call", Kind::Named, BOTH),
    method("prompts/list", Kind::List("prompts"), BOTH),
    method("prompts/get", Kind::Named, BOTH),
    method("resources/list", Kind::List("resources"), BOTH),
    method(
        "resources/templates/list",
        Kind::List("resourceTemplates"),
        BOTH,
    ),
    method("resources/read", Kind::Located, BOTH),
    method("completion/complete", Kind::Named, BOTH),
    method("tasks/get", Kind::Task, &[MODERN]),
    method("subscriptions/listen", Kind::Listen, &[MODERN]),
    method("resources/subscribe", Kind::Subscribe, &[LEGACY]),
    method("logging/setLevel", Kind::Level, &[LEGACY]),
];

/// A request of the matrix.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) method: Method,
    /// Of the client.
    pub(super) era: &'static str,
    /// Of the request: no two are alike.
    pub(super) id: usize,
    /// Of the target: no client is to see that either.
    pub(super) address: String,
    /// What it is called where it fails.
    pub(super) title: String,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) enum Came {
    Result(Value),
    /// With this error.
    Refusal(Value),
}

impl Came {
    /// The code of the refusal.
    pub(super) fn code(&self) -> Option<i64> {
        match self {
            Self::Result(_) => None,
            Self::Refusal(error) => error["code"].as_i64(),
        }
    }
}

impl Cell {
    /// Asks, and sees to it that there is one answer, of the form that all have.
    pub(super) async fn ask(&self, actor: &Actor<'_>, params: Value) -> Came {
        let asking = self.ask_without_end(actor, params);
        let limit = Duration::from_secs(20);
        let came = tokio::time::timeout(limit, asking).await;
        came.unwrap_or_else(|_| panic!("{}: hangs", self.title))
    }

    async fn ask_without_end(&self, actor: &Actor<'_>, params: Value) -> Came {
        let name = self.method.name;
        let (headers, body) = if self.era == MODERN {
            modern(name, params)
        } else {
            let headers = vec![("mcp-protocol-version", LEGACY.to_owned())];
            let body = json!({"jsonrpc": "2.0", "method": name, "params": params});
            (headers, body.to_string())
        };
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["id"] = json!(self.id);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = actor.post(&headers, body.to_string()).await;
        assert!(
            !format!("{:?}", answer.headers).contains(SECRET),
            "{}",
            self.title
        );
        if self.method.kind == Kind::Listen {
            return self.acknowledged(answer).await;
        }
        self.judge(answer).await
    }

    fn tells_nothing(&self, message: &Value) {
        let text = message.to_string();
        let tells = text.contains(SECRET) || text.contains(&self.address);
        assert!(!tells, "{}: {text}", self.title);
    }

    /// What a stream begins with; it is not read further.
    async fn acknowledged(&self, answer: Answer) -> Came {
        assert_eq!(answer.status, 200, "{}", self.title);
        let first = Messages::of(answer).next().await.unwrap();
        let (title, method) = (&self.title, "notifications/subscriptions/acknowledged");
        assert_eq!(first["method"], method, "{title}: {first}");
        self.tells_nothing(&first);
        Came::Result(first["params"]["notifications"].clone())
    }

    /// One answer, with a result or with an error that is defined.
    async fn judge(&self, answer: Answer) -> Came {
        let title = &self.title;
        let status = answer.status.as_u16();
        let is_stream = answer.header("content-type") == "text/event-stream";
        let messages = if is_stream {
            answer.messages().await
        } else {
            vec![answer.json().await]
        };
        for message in &messages {
            self.tells_nothing(message);
        }
        let answers = messages.iter().filter(|one| one.get("id").is_some());
        assert_eq!(answers.count(), 1, "{title}: {messages:?}");
        let last = messages.last().unwrap();
        assert_eq!(last["id"], self.id, "{title}: {last}");
        assert_eq!(last["jsonrpc"], "2.0", "{title}: {last}");
        let (result, error) = (&last["result"], &last["error"]);
        if error.is_null() {
            assert!(result.is_object(), "{title}: {last}");
            assert_eq!(status, 200, "{title}: {last}");
            return Came::Result(result.clone());
        }
        assert!(result.is_null(), "{title}: {last}");
        let code = error["code"].as_i64();
        let code = code.unwrap_or_else(|| panic!("{title}: {last}"));
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{title}: {last}");
        let era = if self.era == MODERN {
            Era::Stateless
        } else {
            Era::Session
        };
        let own = if is_stream {
            200
        } else {
            Code(code).http_status(era)
        };
        assert_eq!(status, own, "{title}: {last}");
        Came::Refusal(error.clone())
    }
}
