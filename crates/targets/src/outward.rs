//! What requests to a target carry besides what they are about: the credential and the labels that its operator wrote.
//!
//! Nothing of a caller is ever among it (SEC-36): it is made from the target's declaration, before there is any caller.

use http::HeaderMap;
use model::target::Target;
use net::egress::pool::Upstream;

/// What a target is shown. The default is nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outward {
    headers: HeaderMap,
}

impl Outward {
    /// What a declaration says.
    pub(crate) fn of(declared: &Target) -> Self {
        Self {
            headers: declared.headers.clone(),
        }
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
