//! The line that every answered request gets, and the request's id on every other line that is written meanwhile.
//!
//! There may be tens of thousands of these lines a second, so they are written without the machinery that events take.

use std::fmt::{self, Write as _};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use model::clock::Timestamp;
use net::body::{Body, BoxError};
use net::edge::remarks::Remarks;
use prometheus_client::metrics::counter::Counter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::LogFormat;
use crate::telemetry::lines::Lines;
use crate::telemetry::{harmless::quoted, moment};

/// What `RUST_LOG` calls these lines.
const TARGET: &str = "sekisho::access";

/// Tells a request from all others: a random number of the process, and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// Of the process.
    pub(crate) process: u32,
    /// Of the request in it.
    pub(crate) number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(Self::LONGEST);
        self.push(&mut text);
        f.write_str(&text)
    }
}

impl RequestId {
    /// Bytes of its text at most.
    pub(crate) const LONGEST: usize = 29;

    /// Appends its text: eight hexadecimal digits, `-`, a decimal number.
    pub(crate) fn push(self, text: &mut String) {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        for shift in (0..32).step_by(4).rev() {
            let digit = (self.process >> shift) & 0xf;
            text.extend(DIGITS.get(digit as usize));
        }
        text.push('-');
        moment::number(text, i64::try_from(self.number).unwrap_or(i64::MAX));
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Does something in the name of a request: lines that are logged meanwhile carry its id.
pub(crate) fn within<F: Future>(id: RequestId, doing: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, doing)
}

/// The same for the body of an answer that is still being made while it is sent. Others have nothing more to say.
pub(crate) fn body_within(id: RequestId, body: Body) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    Body::new(Within { id, body })
}

/// A body, each piece of which is made in the name of a request.
struct Within {
    id: RequestId,
    body: Body,
}

impl http_body::Body for Within {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let id = self.id;
        CURRENT.sync_scope(id, || Pin::new(&mut self.body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answered request. The query is not part of it: codes and tokens travel there.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    /// When it was answered.
    pub(crate) at: Timestamp,
    /// Which one it was: the text of its [`RequestId`].
    pub(crate) id: &'a str,
    /// The method.
    pub(crate) method: &'a str,
    /// What the client called the host, or a trusted proxy for it.
    pub(crate) host: &'a str,
    /// The path without the query.
    pub(crate) path: &'a str,
    /// The status of the answer.
    pub(crate) status: u16,
    /// Microseconds until the headers of the answer.
    pub(crate) micros: u64,
    /// The client.
    pub(crate) peer: IpAddr,
    /// The listener.
    pub(crate) listener: &'a str,
    /// What the site said about it.
    pub(crate) remarks: Option<&'a Remarks>,
}

impl Answered<'_> {
    /// Whether it is our failure, or that of a target.
    fn has_failed(&self) -> bool {
        self.status >= 500 || self.remarks.is_some_and(Remarks::tell_of_failure)
    }

    fn level(&self) -> &'static str {
        if self.has_failed() { "WARN" } else { "INFO" }
    }
}

/// Writes lines about requests.
#[derive(Clone)]
pub(crate) struct RequestLog {
    pub(super) lines: Lines,
    pub(super) format: LogFormat,
}

impl RequestLog {
    /// Whether `RUST_LOG` wants these lines.
    pub(crate) fn is_wanted() -> bool {
        tracing::enabled!(target: TARGET, Level::INFO)
    }

    /// Writes one.
    pub(crate) fn write(&self, answered: &Answered<'_>) {
        let mut line = String::with_capacity(320);
        match self.format {
            LogFormat::Text => text(&mut line, answered),
            LogFormat::Json => json(&mut line, answered),
        }
        self.lines.push_about_request(line.as_bytes());
    }

    /// Counts the lines of the whole log that nobody read in time.
    pub(crate) fn dropped(&self) -> Counter<u64, AtomicU64> {
        self.lines.dropped()
    }
}

fn text(line: &mut String, answered: &Answered<'_>) {
    moment::push(line, answered.at);
    line.push_str("  ");
    line.push_str(answered.level());
    line.push(' ');
    line.push_str(TARGET);
    line.push_str(": answered method=");
    line.push_str(answered.method);
    line.push_str(" host=");
    quoted(line, answered.host);
    line.push_str(" path=");
    quoted(line, answered.path);
    line.push_str(" status=");
    moment::number(line, answered.status.into());
    line.push_str(" ms=");
    millis(line, answered.micros);
    line.push_str(" listener=");
    quoted(line, answered.listener);
    line.push_str(" peer=");
    address(line, answered.peer);
    line.push_str(" request=");
    line.push_str(answered.id);
    for (name, value) in answered.remarks.into_iter().flat_map(Remarks::iter) {
        line.push(' ');
        line.push_str(name);
        line.push('=');
        quoted(line, value);
    }
}

fn json(line: &mut String, answered: &Answered<'_>) {
    line.push_str("{\"timestamp\":\"");
    moment::push(line, answered.at);
    line.push_str("\",\"level\":\"");
    line.push_str(answered.level());
    line.push_str("\",\"message\":\"answered\",\"method\":");
    quoted(line, answered.method);
    line.push_str(",\"host\":");
    quoted(line, answered.host);
    line.push_str(",\"path\":");
    quoted(line, answered.path);
    line.push_str(",\"status\":");
    moment::number(line, answered.status.into());
    line.push_str(",\"ms\":");
    millis(line, answered.micros);
    line.push_str(",\"listener\":");
    quoted(line, answered.listener);
    line.push_str(",\"target\":\"");
    line.push_str(TARGET);
    line.push_str("\",\"peer\":\"");
    address(line, answered.peer);
    line.push_str("\",\"request\":\"");
    line.push_str(answered.id);
    line.push('"');
    for (name, value) in answered.remarks.into_iter().flat_map(Remarks::iter) {
        line.push_str(",\"");
        line.push_str(name);
        line.push_str("\":");
        quoted(line, value);
    }
    line.push('}');
}

fn address(line: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            moment::number(line, first.into());
            for octet in rest {
                line.push('.');
                moment::number(line, octet.into());
            }
        }
        IpAddr::V6(address) => {
            // Writing to a string does not fail.
            let _ = write!(line, "{address}");
        }
    }
}

/// Milliseconds with one decimal.
fn millis(line: &mut String, micros: u64) {
    let tenths = i64::try_from(micros / 100).unwrap_or(i64::MAX);
    moment::number(line, tenths / 10);
    line.push('.');
    moment::number(line, tenths % 10);
}

/// Formats events as `inner` does, and adds the id of the request in whose name they happen.
pub(super) struct WithRequest<F> {
    pub(super) inner: F,
    pub(super) format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Ok(id) = CURRENT.try_with(|id| *id) else {
            return self.inner.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match (self.format, line.strip_suffix('}')) {
            (LogFormat::Json, Some(open)) => writeln!(writer, "{open},\"request\":\"{id}\"}}"),
            _ => writeln!(writer, "{line} request={id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(path: &str) -> Answered<'_> {
        Answered {
            at: Timestamp::from_millis(1_795_394_458_123),
            id: "000000ab-7",
            method: "GET",
            host: "a.example",
            path,
            status: 404,
            micros: 12_340,
            peer: [192, 0, 2, 1].into(),
            listener: "main",
            remarks: None,
        }
    }

    #[test]
    fn a_line_says_who_asked_for_what_and_what_was_answered() {
        let mut line = String::new();
        text(&mut line, &answered("/x"));
        insta::assert_snapshot!(line, @r#"2026-11-23T00:40:58.123Z  INFO sekisho::access: answered method=GET host="a.example" path="/x" status=404 ms=12.3 listener="main" peer=192.0.2.1 request=000000ab-7"#);
    }

    #[test]
    fn a_json_line_is_json_whatever_the_path() {
        for path in [
            "/x",
            "/\"quoted\"",
            "/back\\slash",
            "/\u{7f}\u{1}",
            "/\u{65e5}\u{672c}",
        ] {
            let mut line = String::new();
            json(&mut line, &answered(path));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&value["status"], &value["ms"]),
                (&404.into(), &12.3.into()),
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_says_what_the_site_said() {
        let mut remarks = Remarks::default();
        remarks.add("subject", "a \"b\"".into());
        remarks.add("tool", "add".into());
        let answered = Answered {
            remarks: Some(&remarks),
            ..answered("/mcp")
        };
        let mut line = String::new();
        text(&mut line, &answered);
        assert!(
            line.ends_with(r#" request=000000ab-7 subject="a \"b\"" tool="add""#),
            "{line}"
        );
        line.clear();
        json(&mut line, &answered);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&value["subject"], &value["tool"]),
            (&"a \"b\"".into(), &"add".into())
        );
    }

    // What a parser does with a member that is there twice is anybody's guess.
    #[test]
    fn a_json_line_has_each_member_once() {
        let mut remarks = Remarks::default();
        for name in ["gateway", "target.name", Remarks::FAILURE] {
            remarks.add(name, "x".into());
        }
        let mut line = String::new();
        json(
            &mut line,
            &Answered {
                remarks: Some(&remarks),
                ..answered("/mcp")
            },
        );
        let names = line.split(",\"").filter_map(|member| {
            let (name, _) = member.trim_start_matches("{\"").split_once("\":")?;
            Some(name)
        });
        let names: Vec<&str> = names.collect();
        let once: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert!(names.contains(&"target") && names.contains(&"target.name"));
        assert_eq!(names.len(), once.len(), "{names:?}");
    }

    #[test]
    fn a_request_that_failed_looks_like_it() {
        let level = |status, failure: Option<&str>| {
            let mut remarks = Remarks::default();
            if let Some(failure) = failure {
                remarks.add(Remarks::FAILURE, failure.into());
            }
            let answered = Answered {
                status,
                remarks: Some(&remarks),
                ..answered("/mcp")
            };
            let (mut line, mut object) = (String::new(), String::new());
            text(&mut line, &answered);
            json(&mut object, &answered);
            let object: serde_json::Value = serde_json::from_str(&object).unwrap();
            let level = object["level"].as_str().unwrap().to_owned();
            assert!(
                line.contains(&format!("  {level} sekisho::access")),
                "{line}"
            );
            level
        };
        assert_eq!([level(200, None), level(404, None)], ["INFO", "INFO"]);
        assert_eq!(
            [level(503, None), level(200, Some("timed_out"))],
            ["WARN", "WARN"]
        );
    }

    #[test]
    fn a_path_cannot_end_its_quotes() {
        let mut line = String::new();
        text(&mut line, &answered("/x\" status=200 \n"));
        assert!(line.contains(r#"path="/x\" status=200 \u000a""#), "{line}");
    }
}
