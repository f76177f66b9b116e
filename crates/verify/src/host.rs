//! The walk's own small server: its client metadata documents, and the callback for a real browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use http::{Request, Response, StatusCode, header};
use net::body::Body;
use net::edge::listen::{Limits, Listener, Settings};
use net::edge::{Peer, Site};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::web::{Actor, Record};

/// What the client calls itself on consent pages.
const CLIENT_NAME: &str = "Sekisho verify";

/// The running server; it ends when this is dropped.
pub(crate) struct Host {
    origin: Url,
    callbacks: Mutex<mpsc::Receiver<Vec<(String, String)>>>,
    stop: CancellationToken,
}

impl Host {
    /// Starts serving on `address`.
    pub(crate) async fn start(address: SocketAddr, record: Record) -> std::io::Result<Self> {
        let listener = Listener::bind(Settings {
            name: Arc::from("verify"),
            address,
            tls: None,
            trusted_proxies: net::edge::client_ip::TrustedProxies::default(),
            limits: Limits::default(),
            workers: None,
        })
        .await?;
        let origin = Url::parse(&format!("http://{}/", listener.address()))
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let (sender, callbacks) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let site = Arc::new(Pages {
            origin: origin.clone(),
            sender,
            record,
        });
        let tracker = TaskTracker::new();
        tracker.spawn(listener.serve(site, stop.clone()));
        Ok(Self {
            origin,
            callbacks: Mutex::new(callbacks),
            stop,
        })
    }

    /// The URL of a metadata document; `name` tells several clients apart.
    pub(crate) fn document_url(&self, name: &str) -> Option<Url> {
        self.origin.join(&format!("clients/{name}.json")).ok()
    }

    /// The redirect URI of all its clients.
    pub(crate) fn redirect_uri(&self) -> Option<Url> {
        self.origin.join("callback").ok()
    }

    /// Waits for a browser to come back.
    pub(crate) async fn callback(&self, wait: Duration) -> Option<Vec<(String, String)>> {
        let mut callbacks = self.callbacks.lock().await;
        tokio::time::timeout(wait, callbacks.recv()).await.ok()?
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Pages {
    origin: Url,
    sender: mpsc::Sender<Vec<(String, String)>>,
    record: Record,
}

impl Pages {
    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if path == "/callback" {
            let query = request.uri().query().unwrap_or_default();
            let parameters = url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            // A full queue means that nobody waits for this browser any more.
            let _ = self.sender.try_send(parameters);
            return page(
                "text/plain; charset=utf-8",
                "You can close this page.\n".to_owned(),
            );
        }
        if path.starts_with("/clients/")
            && let Ok(url) = self.origin.join(path)
        {
            let ends = (Actor::AuthorizationServer, Actor::Client);
            let line = format!("GET {path} (client metadata document)");
            let place = self.record.begin(ends, line);
            self.record.end(place, StatusCode::OK.to_string());
            let document = serde_json::json!({
                "client_id": url.as_str(),
                "client_name": CLIENT_NAME,
                "redirect_uris": [self.origin.join("callback").map(String::from).unwrap_or_default()],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
                "application_type": "native",
            });
            return page("application/json", document.to_string());
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }
}

impl Site for Pages {
    fn call(&self, request: Request<Body>, _peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        ready(self.answer(&request)).boxed()
    }
}

fn page(kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
