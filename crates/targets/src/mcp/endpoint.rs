//! Where requests to the server are sent, as far as it says itself.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwapOption;
use http::Response;
use http::header::LOCATION;
use http::uri::PathAndQuery;
use net::body::Body;
use url::Url;

/// Where requests are sent to.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) target: Arc<str>,
    /// As configured.
    pub(super) url: Url,
    path: PathAndQuery,
    /// Where the server redirects to, within its origin.
    moved: ArcSwapOption<PathAndQuery>,
    /// Something was served there: until then a redirect may come, and a request may have to be sent twice.
    pub(super) settled: AtomicBool,
}

pub(super) fn path_of(url: &Url) -> PathAndQuery {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    // A parsed URL has a path that is a valid one of HTTP.
    path.parse()
        .unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

impl Endpoint {
    /// As configured.
    pub(super) fn of(target: &Arc<str>, url: &Url) -> Self {
        Self {
            target: Arc::clone(target),
            url: url.clone(),
            path: path_of(url),
            moved: ArcSwapOption::empty(),
            settled: AtomicBool::new(false),
        }
    }

    /// Takes up a redirect within the origin, so that the next request goes there; `false` if it leads elsewhere.
    ///
    /// 307 and 308 keep the method. 301 and 302 are sent for a slash at the end as well; otherwise they mean a page for
    /// people, of a login for instance.
    pub(super) fn follow(&self, response: &Response<Body>) -> bool {
        let status = response.status().as_u16();
        let Some(to) = self.leads_to(response) else {
            return false;
        };
        let only_a_slash = to.path().trim_end_matches('/') == self.url.path().trim_end_matches('/');
        let followed = match status {
            307 | 308 => true,
            301 | 302 => only_a_slash,
            _ => false,
        };
        let path = path_of(&to);
        let already_there = self.path() == path;
        if !(self.is_origin_of(&to) && followed) || already_there {
            return false;
        }
        tracing::warn!(
            target.name = %self.target, to = path.path(),
            "target `{}` redirects within its origin, to `{}`; hint: make that the path of its URL",
            self.target, path.path(),
        );
        self.moved.store(Some(Arc::new(path)));
        true
    }

    /// Whether a URL that the server names leads to itself.
    pub(super) fn is_origin_of(&self, to: &Url) -> bool {
        let same_host = to.host() == self.url.host();
        // Behind something that ends TLS, servers write the scheme and port that they know themselves.
        let same_port = to.port_or_known_default() == self.url.port_or_known_default()
            || to.port().is_none() && self.url.port().is_none();
        same_host && same_port
    }

    pub(super) fn path(&self) -> PathAndQuery {
        let moved = self.moved.load();
        moved.as_deref().unwrap_or(&self.path).clone()
    }

    fn leads_to(&self, response: &Response<Body>) -> Option<Url> {
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        self.url.join(location).ok()
    }
}
