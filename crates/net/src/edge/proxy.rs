//! A site in front of somebody else's server.

use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::body::Body;
use crate::edge::hosts::plain;
use crate::edge::pace::TooSlow;
use crate::edge::{Peer, Site};
use crate::egress::connect::ConnectError;
use crate::egress::pool::{SendError, Upstream};
use crate::hop_by_hop;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What only a proxy says, and a client may say to pretend (SEC-58, SEC-85): about where a request comes from, what
/// it was for, and who showed which certificate. Nothing of it is passed on; some of it is said anew.
const CLAIMS: [&str; 22] = [
    "forwarded",
    "proxy", // Becomes HTTP_PROXY in CGI.
    "client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
    "remote-user",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-azure-clientip",
    "x-appengine-user-ip",
    "x-host",
    "x-http-host-override",
    "x-override-url",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-client-cert",
    "x-arr-clientcert",
];

/// Beginnings of such names.
const FAMILIES: [&str; 5] = [
    "x-forwarded",
    "x-original-",
    "x-envoy-",
    "x-ssl-client",
    "ssl-client",
];

/// Whether a header may not be passed on. In CGI and its successors (WSGI, Rack, PHP) `_` and `-` are the same, so a
/// name with `_` passes for another one.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.contains('_')
        || CLAIMS.contains(&name)
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// In the extensions of an answer: it is somebody else's, whose headers are left as they are.
#[derive(Clone, Copy, Debug)]
pub struct PassedOn;

/// Forwards every request to one upstream, path and query unchanged, bodies streaming both ways.
///
/// The upstream sees its own name in `Host`, and the original in `X-Forwarded-Host`.
#[derive(Clone, Debug)]
pub struct Proxy {
    upstream: Upstream,
}

impl Proxy {
    /// A proxy to `upstream`.
    pub const fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    async fn forward(&self, request: Request<Body>) -> Response<Body> {
        match self.upstream.send(request).await {
            Ok(mut response) => {
                hop_by_hop::remove(response.headers_mut());
                response.extensions_mut().insert(PassedOn);
                response
            }
            Err(error) => refuse(&error, &self.upstream),
        }
    }
}

impl Site for Proxy {
    fn call(&self, mut request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        if request.method() == Method::CONNECT {
            let answer = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "CONNECT is not served here.\n",
            );
            return std::future::ready(answer).boxed();
        }
        let host = original_host(&request);
        let headers = request.headers_mut();
        hop_by_hop::remove(headers);
        say_for_whom(headers, host, peer);
        self.forward(request).boxed()
    }
}

fn original_host(request: &Request<Body>) -> Option<HeaderValue> {
    match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(header::HOST).cloned(),
    }
}

fn say_for_whom(headers: &mut HeaderMap, host: Option<HeaderValue>, peer: &Peer) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
    if let Ok(address) = HeaderValue::try_from(peer.address.to_string()) {
        headers.insert(FORWARDED_FOR, address);
    }
    let scheme = if peer.tls { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host);
    }
}

fn refuse(error: &SendError, upstream: &Upstream) -> Response<Body> {
    if TooSlow::is_cause_of(error) {
        return plain(
            StatusCode::REQUEST_TIMEOUT,
            "The body of the request comes too slowly.\n",
        );
    }
    let cause = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    let host = &upstream.destination().host;
    tracing::warn!(upstream = %host, %error, cause, "upstream `{host}` gave no answer");
    match error {
        SendError::TimedOut | SendError::Connect(ConnectError::TimedOut) => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "The server behind this address did not answer in time.\n",
        ),
        SendError::Connect(ConnectError::NoPlace) => {
            let mut response = plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "There are too many requests to the server behind this address at the moment.\n",
            );
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        SendError::Connect(_) | SendError::Protocol(_) => plain(
            StatusCode::BAD_GATEWAY,
            "The server behind this address can't be reached or gave no proper answer.\n",
        ),
    }
}
