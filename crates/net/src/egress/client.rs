//! One request, one bounded answer: no redirects, no compression, one deadline for everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use tokio::time::Instant;
use url::Url;

use crate::body::{Body, BodyError, BoxError, read_bounded};
use crate::egress::connect::{ConnectError, Connector};
use crate::egress::h1::request::Lines;
use crate::egress::live::{Home, Live};
use crate::egress::rules::{Destination, Rules};
use crate::media;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For everything together: resolve, connect, headers, body (SEC-26).
    pub deadline: Duration,
    /// Bytes of body at most, counted as they arrive (SEC-24).
    pub max_bytes: usize,
}

impl Limits {
    /// Client metadata documents: 5 s, 5 KiB (CI-16).
    pub const CLIENT_METADATA: Self = Self {
        deadline: Duration::from_secs(5),
        max_bytes: 5 * 1024,
    };
    /// Key sets and metadata of servers: 5 s, 64 KiB.
    pub const SERVER_METADATA: Self = Self {
        deadline: Duration::from_secs(5),
        max_bytes: 64 * 1024,
    };
}

/// An answer, read to its end. Its status may be anything: redirects are not followed (SEC-23).
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What was asked for.
    pub url: Url,
    /// The status as it came.
    pub status: StatusCode,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The address that was connected to.
    pub remote: SocketAddr,
}

/// Why a fetch gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The deadline passed.
    #[error("no complete answer in time")]
    TimedOut,
    /// The body is larger than allowed.
    #[error("answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is compressed although that was not asked for (SEC-25).
    #[error("answer has a content encoding")]
    Encoded,
    /// The origin broke the protocol or closed early.
    #[error("answer is not proper HTTP or breaks off")]
    Protocol(#[source] BoxError),
    /// The task that fetched died.
    #[error("fetch ended early")]
    Ended(#[from] tokio::task::JoinError),
}

/// Fetches small things under one set of rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    connector: Arc<Connector>,
    rules: Arc<Rules>,
}

/// A one-shot connection ends with its answer.
enum Homeless {}

impl Home for Homeless {
    fn take_back(self, _live: Box<Live>) {}
}

impl Client {
    /// A client for one kind of use.
    pub fn new(connector: Arc<Connector>, rules: Rules) -> Self {
        Self {
            connector,
            rules: Arc::new(rules),
        }
    }

    /// The rules it obeys.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Sends `request` to `url` (the request's own URI is ignored) and reads the answer.
    ///
    /// `Host`, `Connection` and `Accept-Encoding: identity` are set here (SEC-25).
    pub async fn fetch(
        &self,
        url: &Url,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Fetched, FetchError> {
        let destination = self.rules.check_url(url).map_err(ConnectError::from)?;
        let deadline = Instant::now() + limits.deadline;
        tokio::time::timeout_at(
            deadline,
            self.exchange(url, &destination, request, limits, deadline),
        )
        .await
        .map_err(|_elapsed| FetchError::TimedOut)?
    }

    /// A GET for JSON.
    pub async fn get(&self, url: &Url, limits: Limits) -> Result<Fetched, FetchError> {
        self.fetch(url, json_request(), limits).await
    }

    async fn exchange(
        &self,
        url: &Url,
        destination: &Destination,
        request: Request<Bytes>,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Fetched, FetchError> {
        let authority = HeaderValue::try_from(destination.authority())
            .map_err(|cause| FetchError::Protocol(cause.into()))?;
        let mut request = request.map(Body::full);
        *request.uri_mut() = path_of(url)
            .parse()
            .map_err(|cause: http::uri::InvalidUri| FetchError::Protocol(cause.into()))?;
        let lines = Lines::new(&authority, &HeaderMap::new());
        let headers = request.headers_mut();
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));

        let dialled = self
            .connector
            .connect(destination, &self.rules, deadline)
            .await?;
        let live = Live::open(dialled);
        let answer = live
            .exchange(Box::new(request.into()), &lines)
            .await
            .map_err(|failed| FetchError::Protocol(failed.cause))?;
        let remote = answer.remote();
        let (parts, body) = answer.into_response::<Homeless>(None).into_parts();
        if is_encoded(&parts.headers) {
            return Err(FetchError::Encoded);
        }
        let body = read_bounded(body, limits.max_bytes, limits.deadline)
            .await
            .map_err(|error| match error {
                BodyError::TooLarge { limit } => FetchError::TooLarge { limit },
                BodyError::Stalled => FetchError::TimedOut,
                BodyError::Interrupted(cause) => FetchError::Protocol(cause),
            })?;
        Ok(Fetched {
            url: url.clone(),
            status: parts.status,
            headers: parts.headers,
            body,
            remote,
        })
    }
}

/// A GET that asks for JSON.
pub(crate) fn json_request() -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("sekisho"));
    request
}

fn path_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Whether the body is compressed. Some servers name there what is no coding but the charset, or nothing.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    const PLAIN: [&[u8]; 5] = [b"identity", b"", b"none", b"utf-8", b"utf8"];
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|encoding| {
            let encoding = encoding.as_bytes().trim_ascii();
            !PLAIN
                .iter()
                .any(|plain| encoding.eq_ignore_ascii_case(plain))
        })
}

/// Whether a `Content-Type` says JSON: `application/json` or `application/<something>+json` (CI-6).
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(essence) = str::from_utf8(media::essence(value.as_bytes())) else {
        return false;
    };
    match essence.to_ascii_lowercase().strip_prefix("application/") {
        Some("json") => true,
        Some(subtype) => subtype.strip_suffix("+json").is_some_and(|prefix| {
            !prefix.is_empty()
                && prefix
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b',')
        }),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        headers
    }

    // SEC-25
    #[test]
    fn what_is_called_an_encoding_may_be_none() {
        let encoded = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            is_encoded(&headers)
        };
        for plain in ["identity", "Identity ", "", "none", "utf-8", "UTF-8"] {
            assert!(!encoded(plain), "{plain}");
        }
        for other in [
            "gzip",
            "br",
            "zstd",
            "deflate",
            "x-gzip",
            "aws-chunked",
            "gzip, identity",
        ] {
            assert!(encoded(other), "{other}");
        }
    }

    // CI-6
    #[test]
    fn json_and_its_dialects_are_json() {
        for value in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/cimd+json",
            "application/jwk-set+json",
        ] {
            assert!(is_json(&typed(value)), "{value}");
        }
    }

    // CI-6
    #[test]
    fn everything_else_is_not_json() {
        for value in [
            "text/json",
            "text/html",
            "application/+json",
            "application/jsonp",
            "application/json, application/x-www-form-urlencoded",
            "application/json+x",
            "",
        ] {
            assert!(!is_json(&typed(value)), "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
        let mut twice = typed("application/json");
        twice.append(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        assert!(!is_json(&twice));
    }
}
