//! The server as sites: which realm a request is for, and the request in its context.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode, Uri};
use model::realm::Realm;
use net::body::Body;
use net::edge::hosts::host_of;
use net::edge::{Peer, Site};
use tower::ServiceExt as _;

use crate::cx::{App, Cx};
use crate::failure::Internal;
use crate::headers;
use crate::keys::Need;
use crate::realm::ServedRealm;
use crate::settings::{Outgoing, Parts, Settings};

/// The authorization server, as a site for all hosts of its realms.
#[derive(Debug, Clone)]
pub struct AuthServer {
    pub(crate) app: Arc<App>,
    router: Router,
}

impl AuthServer {
    /// Puts the server together; the router knows every URL below an issuer.
    pub(crate) fn with_routes(parts: Parts, settings: Settings, router: Router) -> Self {
        Self {
            app: Arc::new(App::new(parts, settings)),
            router,
        }
    }

    /// Makes the keys for the access tokens of the realms that are served, or reads them. Without it, the first request that
    /// needs a key does so.
    ///
    /// # Errors
    /// If the store fails, or a key can't be made.
    pub async fn prepare(&self) -> Result<(), Internal> {
        for realm in self.app.realms().iter() {
            self.prepare_keys(&realm.config, Need::AccessTokens).await?;
        }
        Ok(())
    }

    /// The same for realms that are to be served.
    ///
    /// # Errors
    /// If the store fails, or a key can't be made.
    pub async fn prepare_for(&self, realms: &[Realm]) -> Result<(), Internal> {
        for realm in realms {
            self.prepare_keys(realm, Need::AccessTokens).await?;
        }
        Ok(())
    }

    /// Makes the other keys, which can take a second, so that no request has to wait for them.
    ///
    /// # Errors
    /// If the store fails, or a key can't be made.
    pub async fn prepare_rest(&self) -> Result<(), Internal> {
        for realm in self.app.realms().iter() {
            self.prepare_keys(&realm.config, Need::All).await?;
        }
        Ok(())
    }

    async fn prepare_keys(&self, realm: &Realm, need: Need) -> Result<(), Internal> {
        let now = self.app.clock.now();
        self.app.keys.of(&self.app.store, realm, need, now).await?;
        Ok(())
    }

    /// Serves these realms from now on, and dials out with this; requests under way keep what they began with. A realm that
    /// did not change goes on with what it knows.
    pub fn replace_realms(&self, realms: Vec<Realm>, outgoing: Outgoing) {
        self.app.replace_realms(realms, outgoing);
    }

    /// What dials out now.
    pub fn outgoing(&self) -> Outgoing {
        self.app.realms().outgoing().clone()
    }

    /// The hosts of the realms, without ports: where this site wants to be found.
    pub fn hosts(&self) -> Vec<String> {
        self.app.realms().hosts()
    }

    /// Whether a path of a host belongs to a realm, for who serves several sites under one host.
    pub fn serves(&self, host: &str, uri: &Uri) -> bool {
        self.app.realms().find(host, None, uri).is_some()
    }

    /// The site of one realm and nothing else, for who has found out which realm a request is for: a host
    /// may have another name outside, and a port another number (SEC-84).
    pub fn realm(&self, name: &str) -> RealmSite {
        RealmSite {
            server: self.clone(),
            realm: name.into(),
        }
    }

    async fn answer(
        &self,
        request: http::Request<Body>,
        peer: Peer,
        realm: Option<&str>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let located = if let Some(name) = realm {
            self.app.realms().find_in(name, &parts.uri)
        } else {
            let probe = http::Request::from_parts(parts.clone(), ());
            let port = port_of(&parts);
            host_of(&probe)
                .ok()
                .and_then(|host| self.app.realms().find(&host, port, &parts.uri))
        };
        let Some(located) = located else {
            return headers::bare(StatusCode::NOT_FOUND, "not found\n").map(Body::new);
        };
        let request = http::Request::from_parts(parts, body);
        self.answer_in(located.realm, located.target, request, peer)
            .await
    }

    /// Answers for a realm; the target is the path and query within it.
    pub(crate) async fn answer_in(
        &self,
        realm: Arc<ServedRealm>,
        target: Uri,
        request: http::Request<Body>,
        peer: Peer,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let cx = Cx::new(Arc::clone(&self.app), realm, peer, &parts.headers);
        parts.uri = target;
        parts.extensions.insert(cx);
        let request = Request::from_parts(parts, axum::body::Body::new(body));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

/// The port that the request was sent to, as the client wrote it.
fn port_of(parts: &http::request::Parts) -> Option<u16> {
    let stated = parts
        .headers
        .get(http::header::HOST)
        .and_then(|value| value.to_str().ok());
    let authority = parts
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or(stated)?;
    authority.parse::<http::uri::Authority>().ok()?.port_u16()
}

impl Site for AuthServer {
    fn call(&self, request: http::Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.answer(request, peer.clone(), None).boxed()
    }
}

/// One realm of the server; made by [`AuthServer::realm`].
#[derive(Debug, Clone)]
pub struct RealmSite {
    server: AuthServer,
    realm: Box<str>,
}

impl Site for RealmSite {
    fn call(&self, request: http::Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.server
            .answer(request, peer.clone(), Some(&self.realm))
            .boxed()
    }
}
