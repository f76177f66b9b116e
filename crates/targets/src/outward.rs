//! What requests to a target carry besides what they are about: the credential and the labels that its operator wrote.
//!
//! Nothing of a caller is ever among it (SEC-36): it is made from the target's declaration, before there is any caller.

use http::HeaderMap;
use net::egress::pool::Upstream;

/// What a target is shown. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outward {
    headers: HeaderMap,
}

impl Outward {
    /// These headers, with every request.
    pub const fn new(headers: HeaderMap) -> Self {
        Self { headers }
    }

    /// The upstream, shown this with every request besides `headers`, which stand where both have one.
    pub(crate) fn towards(&self, upstream: Upstream, headers: &HeaderMap) -> Upstream {
        let mut all = self.headers.clone();
        for name in headers.keys() {
            all.remove(name);
        }
        for (name, value) in headers {
            all.append(name, value.clone());
        }
        upstream.with_headers(&all)
    }
}
