//! The walk's own small server: its client metadata documents, and the callback for a real browser.
//!
//! One browser window serves the whole walk: whoever comes back from the authorization server waits at `/onward`, and is sent
//! on to the next authorization request when there is one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response, StatusCode, header};
use net::body::Body;
use net::edge::listen::{Listener, Settings};
use net::edge::{Peer, Site};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::browser::Ending;
use crate::web::{Actor, Record};

/// What the client calls itself on consent pages.
pub(crate) const CLIENT_NAME: &str = "Sekisho verify";

/// How long a person may take to log in.
const FIRST: Duration = Duration::from_mins(5);
/// How long the same window may take for another request, for which nobody logs in again.
const LATER: Duration = Duration::from_mins(1);
/// How often a person is told that the walk waits.
const REMINDER: Duration = Duration::from_secs(15);
/// How long a waiting window is held before it asks anew.
const HOLD: Duration = Duration::from_secs(20);

/// Where the waiting browser window goes next.
#[derive(Debug, Clone)]
enum Onward {
    /// Nowhere yet.
    Wait,
    /// To an authorization request.
    To(Url),
    /// The walk is over.
    Done,
}

/// The running server; it ends when this is dropped.
pub(crate) struct Host {
    origin: Url,
    callback: Url,
    callbacks: Mutex<mpsc::Receiver<Vec<(String, String)>>>,
    window: Arc<Window>,
    record: Record,
    stop: CancellationToken,
}

/// The person's browser window, as far as this server has to do with it.
struct Window {
    /// Whether it has come back from the authorization server at least once.
    waits: AtomicBool,
    onward: watch::Sender<Onward>,
    dismissed: Notify,
}

impl Host {
    /// Starts serving on `address`, with the callback at `path`.
    pub(crate) async fn start(
        address: SocketAddr,
        path: &str,
        record: Record,
    ) -> std::io::Result<Self> {
        let listener = Listener::bind(Settings::plain("verify", address)).await?;
        let origin = Url::parse(&format!("http://{}/", listener.address()))
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let (sender, callbacks) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let window = Arc::new(Window {
            waits: AtomicBool::new(false),
            onward: watch::Sender::new(Onward::Wait),
            dismissed: Notify::new(),
        });
        let callback = origin
            .join(path)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let site = Arc::new(Pages {
            origin: origin.clone(),
            callback: callback.clone(),
            sender,
            window: Arc::clone(&window),
            record: record.clone(),
        });
        let tracker = TaskTracker::new();
        tracker.spawn(listener.serve(site, stop.clone()));
        Ok(Self {
            origin,
            callback,
            callbacks: Mutex::new(callbacks),
            window,
            record,
            stop,
        })
    }

    /// The URL of a metadata document; `name` tells several clients apart.
    pub(crate) fn document_url(&self, name: &str) -> Option<Url> {
        self.origin.join(&format!("clients/{name}.json")).ok()
    }

    /// The redirect URI of all its clients.
    pub(crate) fn redirect_uri(&self) -> &Url {
        &self.callback
    }

    /// Sends the person's browser to an authorization request, and waits until it comes back. The first time a window is
    /// opened; later on the same window is sent on.
    pub(crate) async fn person(&self, url: &Url, open: fn(&Url), tell: fn(&str)) -> Ending {
        let mut callbacks = self.callbacks.lock().await;
        while callbacks.try_recv().is_ok() {} // reloads of earlier answers
        let line = format!("GET {} (in the person's browser)", url.path());
        let ends = (Actor::Browser, Actor::AuthorizationServer);
        let place = self.record.begin(ends, line);
        let later = self.window.waits.load(Ordering::Acquire);
        let patience = if later { LATER } else { FIRST };
        if later {
            self.window.onward.send_replace(Onward::To(url.clone()));
        } else {
            open(url);
        }
        let mut waited = Duration::ZERO;
        while waited < patience {
            if let Ok(Some(parameters)) = tokio::time::timeout(REMINDER, callbacks.recv()).await {
                self.record.end(place, "came back".to_owned());
                return Ending::Redirected(parameters);
            }
            waited += REMINDER;
            let left = patience.saturating_sub(waited).as_secs();
            tell(&format!("waiting for the browser, {left} s more"));
        }
        Ending::Broken("nobody came back from the browser".to_owned())
    }

    /// Tells the waiting window that the walk is over.
    pub(crate) async fn dismiss(&self) {
        if self.window.waits.load(Ordering::Acquire) {
            let told = self.window.dismissed.notified();
            self.window.onward.send_replace(Onward::Done);
            // A window that somebody closed is not waited for.
            let _ = tokio::time::timeout(Duration::from_secs(2), told).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Pages {
    origin: Url,
    callback: Url,
    sender: mpsc::Sender<Vec<(String, String)>>,
    window: Arc<Window>,
    record: Record,
}

impl Pages {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if path == self.callback.path() {
            let query = request.uri().query().unwrap_or_default();
            let parameters = url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            self.window.waits.store(true, Ordering::Release);
            // A full queue means that nobody waits for this browser any more.
            let _ = self.sender.try_send(parameters);
            return leading_to("/onward");
        }
        if path == "/onward" {
            return self.onward().await;
        }
        if path.starts_with("/clients/")
            && let Ok(url) = self.origin.join(path)
        {
            return self.document(path, &url);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }

    /// Holds the window until there is another request for it, or the walk is over.
    async fn onward(&self) -> Response<Body> {
        let mut way = self.window.onward.subscribe();
        let decided = way.wait_for(|onward| !matches!(onward, Onward::Wait));
        let onward = tokio::time::timeout(HOLD, decided)
            .await
            .ok()
            .and_then(Result::ok)
            .map_or(Onward::Wait, |onward| onward.clone());
        match onward {
            Onward::To(url) => {
                self.window.onward.send_replace(Onward::Wait);
                leading_to(url.as_str())
            }
            Onward::Wait => leading_to("/onward"),
            Onward::Done => {
                self.window.dismissed.notify_one();
                page(
                    "text/plain; charset=utf-8",
                    "The walk is over; you can close this page.\n".to_owned(),
                )
            }
        }
    }

    fn document(&self, path: &str, url: &Url) -> Response<Body> {
        let ends = (Actor::AuthorizationServer, Actor::Client);
        let line = format!("GET {path} (client metadata document)");
        let place = self.record.begin(ends, line);
        self.record.end(place, StatusCode::OK.to_string());
        let document = serde_json::json!({
            "client_id": url.as_str(),
            "client_name": CLIENT_NAME,
            "redirect_uris": [self.callback.as_str()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        });
        page("application/json", document.to_string())
    }
}

impl Site for Pages {
    fn call(&self, request: Request<Body>, _peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.answer(request).boxed()
    }
}

fn page(kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// A page that leads on by itself. A redirect would do, but browsers give up after some twenty in a row.
fn leading_to(location: &str) -> Response<Body> {
    let escaped = location
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;");
    page(
        "text/html; charset=utf-8",
        format!(
            "<!doctype html><meta name=\"referrer\" content=\"no-referrer\">\
             <meta http-equiv=\"refresh\" content=\"0; url={escaped}\"><title>Sekisho verify</title>\
             <p>More questions follow; this page goes on by itself.\n"
        ),
    )
}
