//! HTTP as the walk speaks it: bounded, without redirects, and every exchange written down.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use net::egress::client::{Client, FetchError, Fetched, Limits};
use oauth::causes::with_causes;
use oauth::metadata::display_name::is_hidden;
use parking_lot::Mutex;
use url::Url;

use crate::html;

/// Who takes part in the flow, as drawn in the diagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The person's browser (or the script that plays it).
    Browser,
    /// This program.
    Client,
    /// The MCP endpoint under test.
    Gateway,
    /// The authorization server.
    AuthorizationServer,
}

impl Actor {
    /// From left to right.
    pub const ALL: [Self; 4] = [
        Self::Browser,
        Self::Client,
        Self::Gateway,
        Self::AuthorizationServer,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Browser => "Browser",
            Self::Client => "MCP client",
            Self::Gateway => "MCP gateway",
            Self::AuthorizationServer => "Authorization server",
        }
    }

    /// For diagram sources.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::AuthorizationServer => "as",
        }
    }
}

/// One request and its answer, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Who asked.
    pub from: Actor,
    /// Who answered.
    pub to: Actor,
    /// Method, path and what it is about; never a query or a body.
    pub request: String,
    /// Status, or why there was no answer.
    pub answer: String,
}

/// The exchanges of a walk in the order in which they began; the walk's own server writes into it, too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Exchange>>>);

impl Record {
    /// Writes down that an exchange began; returns its place.
    pub(crate) fn begin(&self, (from, to): (Actor, Actor), request: String) -> usize {
        let mut exchanges = self.0.lock();
        exchanges.push(Exchange {
            from,
            to,
            request,
            answer: "(no answer)".to_owned(),
        });
        exchanges.len() - 1
    }

    /// Writes down how the exchange at a place ended.
    pub(crate) fn end(&self, place: usize, answer: String) {
        if let Some(exchange) = self.0.lock().get_mut(place) {
            exchange.answer = answer;
        }
    }

    /// Everything written so far; the record starts anew.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// An answer with its body as text.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's text, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as a JSON value.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The `error` member of an OAuth error body.
    pub(crate) fn oauth_error(&self) -> Option<String> {
        Some(plain(self.json()?.get("error")?.as_str()?))
    }

    /// The words with which an answer explains itself: `error_description` or `error` of JSON, the text of a page.
    pub(crate) fn words(&self) -> Option<String> {
        let words = match self.json() {
            Some(body) => {
                let text = |name: &str| body.get(name)?.as_str();
                match (text("error"), text("error_description")) {
                    (Some(error), Some(description)) => format!("{error}, {description}"),
                    (Some(only), None) | (None, Some(only)) => only.to_owned(),
                    (None, None) => return None,
                }
            }
            None => html::text(&String::from_utf8_lossy(&self.body)),
        };
        Some(plain(&words)).filter(|words| !words.is_empty())
    }

    /// The status and [`words`](Self::words), in one phrase.
    pub(crate) fn described(&self) -> String {
        match self.words() {
            Some(words) => format!("{} “{words}”", self.status),
            None => self.status.to_string(),
        }
    }
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) FetchError);

/// What became of an exchange with a deployment: for a check that there is none can be a finding.
pub(crate) type Answered = Result<Answer, NoAnswer>;

impl NoAnswer {
    /// Whether the certificate is one that nothing here vouches for.
    pub(crate) fn is_untrusted_certificate(&self) -> bool {
        matches!(&self.0, FetchError::Connect(error) if error.is_untrusted_certificate())
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&with_causes(&self.0))
    }
}

/// What a stranger wrote, fit for a line on a terminal: no control or direction characters, at most 300 bytes.
pub(crate) fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    for c in words.chars().filter(|c| !is_hidden(*c)) {
        if out.len() + c.len_utf8() > 300 {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

/// Bounds for every exchange: large enough for a tool list, small enough to end.
const LIMITS: Limits = Limits {
    deadline: Duration::from_secs(30),
    max_bytes: 4 * 1024 * 1024,
};

/// The HTTP client of a walk.
pub(crate) struct Web {
    client: Client,
    pub(crate) record: Record,
}

impl Web {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            record: Record::default(),
        }
    }

    /// Sends one request and writes the exchange down as `about`.
    pub(crate) async fn send(
        &self,
        ends: (Actor, Actor),
        about: &str,
        url: &Url,
        request: Request<Bytes>,
    ) -> Result<Answer, NoAnswer> {
        let line = format!("{} {} {about}", request.method(), url.path());
        let place = self.record.begin(ends, line.trim_end().to_owned());
        let outcome = self.client.fetch(url, request, LIMITS).await;
        let outcome = outcome.map_err(NoAnswer);
        let answer = match &outcome {
            Ok(fetched) => described(fetched),
            Err(error) => error.to_string(),
        };
        self.record.end(place, answer);
        outcome.map(|fetched| Answer {
            url: fetched.url,
            status: fetched.status,
            headers: fetched.headers,
            body: fetched.body,
        })
    }

    /// A GET of a metadata document.
    pub(crate) async fn get(
        &self,
        ends: (Actor, Actor),
        about: &str,
        url: &Url,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::new(Bytes::new());
        request.headers_mut().insert(
            http::header::ACCEPT,
            http::HeaderValue::from_static("application/json"),
        );
        self.send(ends, about, url, request).await
    }

    /// A POST of a form.
    pub(crate) async fn post_form(
        &self,
        ends: (Actor, Actor),
        about: &str,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<Answer, NoAnswer> {
        let body = oauth::form::encode(fields.iter().copied());
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(
            http::header::ACCEPT,
            http::HeaderValue::from_static("application/json"),
        );
        self.send(ends, about, url, request).await
    }

    /// A POST of a JSON object.
    pub(crate) async fn post_json(
        &self,
        ends: (Actor, Actor),
        about: &str,
        url: &Url,
        body: &serde_json::Value,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        let json = http::HeaderValue::from_static("application/json");
        let headers = request.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, json.clone());
        headers.insert(http::header::ACCEPT, json);
        self.send(ends, about, url, request).await
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

/// The status, and for a redirect where to (without its query).
fn described(fetched: &Fetched) -> String {
    let target = fetched
        .headers
        .get(http::header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|location| location.split(['?', '#']).next());
    match target {
        Some(target) => format!("{} to {target}", fetched.status),
        None => fetched.status.to_string(),
    }
}
