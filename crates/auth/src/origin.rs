//! A realm at an origin that is not its own: that of a gateway whose only authorization server it is.
//!
//! Clients of the revision 2025-03-26 of MCP look for the authorization server at the origin of the MCP server, and if
//! there is no metadata, they try `/authorize`, `/token` and `/register` there. The issuer stays that of the realm; and
//! browsers are sent on to it, because the cookies are there, with the form that they may have sent (RFC 6749 §3.1).

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use model::realm::RealmName;
use net::body::Body;
use net::edge::{Peer, Site};

use crate::headers;
use crate::server::AuthServer;

/// The paths at that origin.
pub const PATHS: [&str; 5] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    AUTHORIZE,
    "/token",
    "/register",
];
const AUTHORIZE: &str = "/authorize";

/// A realm under [`PATHS`] of another origin.
#[derive(Debug, Clone)]
pub struct AtOrigin {
    server: AuthServer,
    realm: RealmName,
}

impl AuthServer {
    /// A realm under [`PATHS`] of an origin that is not its own.
    pub fn at_origin(&self, realm: RealmName) -> AtOrigin {
        AtOrigin {
            server: self.clone(),
            realm,
        }
    }
}

impl AtOrigin {
    async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        let Some(realm) = self.server.app.realms().by_name(&self.realm) else {
            return headers::bare(http::StatusCode::NOT_FOUND, "not found\n").map(Body::new);
        };
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        if request.uri().path() == AUTHORIZE {
            let there = realm.config.issuer.join(target);
            let redirect = if request.method() == Method::POST {
                headers::temporary_redirect(&there)
            } else {
                headers::see_other(&there)
            };
            return redirect.map(Body::new);
        }
        let target: Uri = target.parse().unwrap_or_default();
        self.server.answer_in(realm, target, request, peer).await
    }
}

impl Site for AtOrigin {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.answer(request, peer.clone()).boxed()
    }
}
