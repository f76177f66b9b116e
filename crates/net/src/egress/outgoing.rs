//! A request on the data path, as whoever sends it makes it.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request};

use crate::body::Body;

/// Header fields as they are sent. They are written out as they are added and never looked at again, so that there is no
/// table of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// None yet, and room for some.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a field. What the connection says by itself (the host, and how the body ends) is left out.
    pub fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        if matches!(
            *name,
            header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING
        ) {
            return;
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// Adds these, too.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&HeaderMap> for Fields {
    fn from(headers: &HeaderMap) -> Self {
        let mut fields = Self::with_capacity(headers.len() * 64);
        for (name, value) in headers {
            fields.add(name, value);
        }
        fields
    }
}

/// There may be secrets among them.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fields({} bytes)", self.0.len())
    }
}

/// A request to an upstream.
#[derive(Debug)]
pub struct Outgoing {
    /// Its verb.
    pub method: Method,
    /// Where at the upstream.
    pub path: PathAndQuery,
    /// What is said besides the upstream's own lines; none of the same names.
    pub fields: Fields,
    /// Of any kind.
    pub body: Body,
    /// Sending it twice does no harm, whatever its method says.
    pub repeatable: bool,
}

impl Outgoing {
    /// Whether sending it twice does no harm (RFC 9110 §9.2.2).
    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable || matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// A copy, to be sent on another connection if the first one turns out to be dead: only of what may be sent twice.
    pub(crate) fn copy_if_repeatable(&self) -> Option<Self> {
        self.is_repeatable().then(|| self.copy()).flatten()
    }

    /// A copy, of what is in memory.
    pub fn copy(&self) -> Option<Self> {
        Some(Self {
            method: self.method.clone(),
            path: self.path.clone(),
            fields: self.fields.clone(),
            body: Body::full(self.body.as_bytes()?),
            repeatable: self.repeatable,
        })
    }
}

/// Whatever the form of its URI, the path and query of it count.
impl From<Request<Body>> for Outgoing {
    fn from(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query;
        Self {
            method: parts.method,
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            fields: Fields::from(&parts.headers),
            body,
            repeatable: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_connection_says_itself_is_left_out() {
        let request = Request::post("https://elsewhere.example/mcp?a=b")
            .header("host", "elsewhere.example")
            .header("content-length", "99")
            .header("transfer-encoding", "gzip")
            .header("x-a", "1")
            .body(Body::full("hello"))
            .unwrap();
        let outgoing = Outgoing::from(request);
        assert_eq!(outgoing.path, "/mcp?a=b");
        assert_eq!(outgoing.fields.as_bytes(), b"x-a: 1\r\n");
        assert_eq!(format!("{:?}", outgoing.fields), "Fields(8 bytes)");
    }
}
