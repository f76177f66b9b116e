//! Picks the site by listener, host name, and the way by which a request came.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::body::Body;
use crate::boxed::in_place;
use crate::edge::{Arrival, Peer, Site, path};

/// Which site answers for which host on which listener.
#[derive(Clone, Default)]
pub struct Table {
    listeners: HashMap<Box<str>, Names>,
}

#[derive(Clone, Default)]
struct Names {
    exact: HashMap<Box<str>, Sites>,
    any: Option<Arc<dyn Site>>,
}

/// The sites of one host of a listener, by who may reach them.
#[derive(Clone, Default)]
struct Sites {
    everybody: Option<Arc<dyn Site>>,
    https: Option<Arc<dyn Site>>,
    http: Option<Arc<dyn Site>>,
}

/// Who may reach a site (SEC-84).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Whoever can connect to the listener.
    Everybody,
    /// Trusted proxies, for clients that they served over `https` or `http`.
    Proxies {
        /// Which of both.
        https: bool,
    },
}

impl Sites {
    const fn of(&mut self, reach: Reach) -> &mut Option<Arc<dyn Site>> {
        match reach {
            Reach::Everybody => &mut self.everybody,
            Reach::Proxies { https: true } => &mut self.https,
            Reach::Proxies { https: false } => &mut self.http,
        }
    }

    /// A proxy that does not say how its client came is taken to have used TLS where there is such a site.
    fn find(&self, arrival: Arrival) -> Option<&Arc<dyn Site>> {
        let proxied = match arrival {
            Arrival::Direct => None,
            Arrival::Proxied { https: Some(true) } => self.https.as_ref(),
            Arrival::Proxied { https: Some(false) } => self.http.as_ref(),
            Arrival::Proxied { https: None } => self.https.as_ref().or(self.http.as_ref()),
        };
        proxied.or(self.everybody.as_ref())
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for (listener, names) in &self.listeners {
            map.entry(listener, &names.exact.keys().collect::<Vec<_>>());
        }
        map.finish()
    }
}

impl Table {
    /// An empty table: every host is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a site behind a host of a listener, for everybody: a name or an address, without port; an
    /// IPv6 address with or without brackets. Replaces what was there.
    pub fn insert(&mut self, listener: &str, host: &str, site: Arc<dyn Site>) {
        self.insert_for(Reach::Everybody, listener, host, site);
    }

    /// Like [`Self::insert`], for these only, who meet it before what is there for everybody.
    pub fn insert_for(&mut self, reach: Reach, listener: &str, host: &str, site: Arc<dyn Site>) {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.');
        let names = self.listeners.entry(listener.into()).or_default();
        let sites = names.exact.entry(host.to_ascii_lowercase().into());
        *sites.or_default().of(reach) = Some(site);
    }

    /// Puts a site behind every other host of a listener: for management, not for strangers.
    pub fn insert_any_host(&mut self, listener: &str, site: Arc<dyn Site>) {
        self.listeners.entry(listener.into()).or_default().any = Some(site);
    }

    /// Whether something is served at this host for trusted proxies and what they say.
    fn serves_proxies(&self, listener: &str, host: &str) -> bool {
        let names = self.listeners.get(listener);
        names
            .and_then(|names| names.exact.get(host))
            .is_some_and(|sites| sites.https.is_some() || sites.http.is_some())
    }

    /// The site of a host, which is a name in lower case or an address without brackets.
    pub fn find(&self, listener: &str, host: &str, arrival: Arrival) -> Option<&Arc<dyn Site>> {
        let names = self.listeners.get(listener)?;
        let named = names.exact.get(host).and_then(|sites| sites.find(arrival));
        named.or(names.any.as_ref())
    }
}

/// The host that a trusted proxy says it was asked for, in an extension of the request. It counts only where the request's
/// own host is none that proxies are served for here: proxies pass on what a client says in `X-Forwarded-Host`, and a client
/// must not leave its host by that (SEC-84).
#[derive(Clone, Debug)]
pub(crate) struct ToldHost(pub(crate) HeaderValue);

/// The host by which a site was looked for, in an extension of the answer, where it is one that a proxy told: what the log
/// should say instead of the request's own.
#[derive(Clone, Debug)]
pub struct AskedHost(pub HeaderValue);

/// Makes the host that a trusted proxy was asked for the host of the request.
fn ask_for<B>(request: &mut Request<B>, host: HeaderValue) {
    let path = request.uri().path_and_query().cloned();
    if request.uri().authority().is_some()
        && let Some(path) = path
    {
        *request.uri_mut() = path.into();
    }
    request.headers_mut().insert(header::HOST, host);
}

/// A site that hands requests to other sites by host (SEC-62).
pub struct Hosts {
    table: ArcSwap<Table>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hosts").field(&self.table.load()).finish()
    }
}

impl Hosts {
    /// Routes by this table.
    pub fn new(table: Table) -> Self {
        Self {
            table: ArcSwap::from_pointee(table),
        }
    }

    /// Replaces the table; requests under way keep their site.
    pub fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
    }
}

impl Site for Hosts {
    fn call(&self, mut request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        let table = self.table.load();
        let mut asked = None;
        if let Some(ToldHost(told)) = request.extensions_mut().remove()
            && !host_of(&request).is_ok_and(|host| table.serves_proxies(&peer.listener, &host))
        {
            asked = Some(AskedHost(told.clone()));
            ask_for(&mut request, told);
        }
        let site = match find(&table, &request, peer) {
            Ok(site) => site,
            Err(unserved) => {
                let mut response = unserved.response(peer);
                if let Some(asked) = asked {
                    response.extensions_mut().insert(asked);
                }
                return std::future::ready(response).boxed();
            }
        };
        drop(table);
        let peer = peer.clone();
        in_place(|| async move {
            let mut response = site.call(request, &peer).await;
            if let Some(asked) = asked {
                response.extensions_mut().insert(asked);
            }
            response
        })
    }
}

/// The site that a request is for.
fn find(table: &Table, request: &Request<Body>, peer: &Peer) -> Result<Arc<dyn Site>, Unserved> {
    let host = host_of(request)?;
    if path::has_dot_segments(request.uri().path()) {
        return Err(Unserved::DotSegments);
    }
    let site = table.find(&peer.listener, &host, peer.arrival);
    let site = site.ok_or(Unserved::UnknownHost)?;
    Ok(Arc::clone(site.at(request.uri().path()).unwrap_or(site)))
}

/// Why no site is asked.
enum Unserved {
    /// It is not known which.
    Host(HostError),
    /// Sites would disagree about the path.
    DotSegments,
    /// There is none for this host here, or not this way.
    UnknownHost,
}

impl From<HostError> for Unserved {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl Unserved {
    fn response(&self, peer: &Peer) -> Response<Body> {
        match self {
            Self::Host(error) => plain(StatusCode::BAD_REQUEST, format!("Bad request: {error}.\n")),
            Self::DotSegments => plain(
                StatusCode::BAD_REQUEST,
                "Bad request: the path has dot segments (RFC 3986 section 3.3); hint: resolve them first.\n",
            ),
            Self::UnknownHost => {
                tracing::debug!(
                    listener = %peer.listener, arrival = ?peer.arrival,
                    "request for a host that is not served here, or not this way"
                );
                plain(
                    StatusCode::MISDIRECTED_REQUEST,
                    "No site is configured for this host name here.\n",
                )
            }
        }
    }
}

/// A short answer in plain text.
pub fn plain(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why a request's host is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No `Host` header and no authority.
    #[error("request names no host")]
    Missing,
    /// Several `Host` headers, or one that contradicts the authority.
    #[error("request names several hosts")]
    Several,
    /// Not a host with an optional port.
    #[error("host is malformed")]
    Malformed,
}

/// The host that a request asks for: lower case, without port, brackets and final dot.
///
/// In HTTP/2 and in absolute form the authority counts; a `Host` beside it must agree
/// (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub fn host_of<B>(request: &Request<B>) -> Result<Cow<'_, str>, HostError> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let stated = values.next();
    if values.next().is_some() {
        return Err(HostError::Several);
    }
    match (request.uri().authority(), stated) {
        (None, None) => Err(HostError::Missing),
        (None, Some(stated)) => host_of_text(stated.to_str().map_err(|_| HostError::Malformed)?),
        (Some(authority), None) => host_of_text(authority.as_str()),
        (Some(authority), Some(stated)) => {
            let agreed = stated
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes());
            // A CONNECT names whom to reach, not whom it speaks to.
            if agreed || request.method() == Method::CONNECT {
                host_of_text(authority.as_str())
            } else {
                Err(HostError::Several)
            }
        }
    }
}

fn host_of_text(text: &str) -> Result<Cow<'_, str>, HostError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(HostError::Malformed)?;
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| HostError::Malformed)?;
        (Cow::Owned(address.to_string()), rest.strip_prefix(':'))
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let proper = !host.is_empty()
            && host.len() <= 253
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !proper {
            return Err(HostError::Malformed);
        }
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            (Cow::Owned(host.to_ascii_lowercase()), port)
        } else {
            (Cow::Borrowed(host), port)
        }
    };
    match port {
        None | Some("") => {}
        Some(port) if port.len() <= 5 && port.parse::<u16>().is_ok() => {}
        Some(_) => return Err(HostError::Malformed),
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(uri: &str, hosts: &[&str]) -> Result<String, HostError> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        host_of(&request.body(()).unwrap()).map(Cow::into_owned)
    }

    #[test]
    fn the_host_header_names_the_host() {
        assert_eq!(host("/", &["a.example"]).unwrap(), "a.example");
        assert_eq!(host("/", &["A.Example:8443"]).unwrap(), "a.example");
        assert_eq!(host("/", &["a.example."]).unwrap(), "a.example");
        assert_eq!(host("/", &["127.0.0.1:80"]).unwrap(), "127.0.0.1");
        assert_eq!(host("/", &["[::1]:80"]).unwrap(), "::1");
    }

    #[test]
    fn the_authority_names_the_host() {
        assert_eq!(host("http://a.example:80/", &[]).unwrap(), "a.example");
        assert_eq!(
            host("http://a.example/", &["A.example"]).unwrap(),
            "a.example"
        );
    }

    // SEC-59, SEC-62
    #[test]
    fn two_hosts_are_refused() {
        assert_eq!(
            host("/", &["a.example", "a.example"]),
            Err(HostError::Several)
        );
        assert_eq!(
            host("http://a.example/", &["b.example"]),
            Err(HostError::Several)
        );
    }

    // SEC-62
    #[test]
    fn a_request_without_host_is_refused() {
        assert_eq!(host("/", &[]), Err(HostError::Missing));
    }

    // SEC-62
    #[test]
    fn a_malformed_host_is_refused() {
        for bad in [
            "", ":80", "a b", "a/b", "a@b", "a:99999", "a:8x", "[::1", "[zz]", "a,b", "a%2e",
        ] {
            assert_eq!(host("/", &[bad]), Err(HostError::Malformed), "{bad}");
        }
    }
}
