//! A gateway in front of fake servers, an issuer, and callers who hold tokens.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use gateway::Gateway;
use gateway::issuers::{Issuers, Known};
use gateway::memory::{Memory, Open};
use gateway::metrics::Metrics;
use gateway::session::SessionKey;
use gateway::settings::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use model::clock::{Clock as _, TestClock, Timestamp};
use model::gateway::{
    Authorizer, Authorizers, CallerLimits, Gateway as Configured, Limits, ToolNames,
};
use model::target::{Target, TargetKind};
use net::body::Body;
use net::edge::{Peer, Site as _};
use net::egress::client::Client;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::pool::{self, Pool};
use net::egress::resolve::SystemResolver;
use net::egress::rules::Rules;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::fake_idp::FakeIdp;
use testkit::fake_mcp::{FakeMcp, Script};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const AUDIENCE: &str = "mcp-gateway-demo";
pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const LEGACY: &str = "2025-11-25";

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: FakeMcp,
    pub(crate) idp: FakeIdp,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) revoked: Arc<Mutex<Vec<String>>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) memory: Arc<Memory>,
    /// What a reload finds again.
    pub(crate) parts: Parts,
}

/// A test that leaves anything behind fails: what outlasts its request in a test does so for users.
impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        if !std::thread::panicking() {
            tokio::task::block_in_place(|| Handle::current().block_on(self.leaves_nothing()));
        }
    }
}

/// An upstream of this kind behind a gateway with the article's settings.
pub(crate) async fn world(script: Script) -> World {
    world_with(script, |_| {}).await
}

/// Before a target of the session era, one of the stateless era, and one of both, each changed like this.
pub(crate) async fn in_each_era(change: impl Fn(Script) -> Script) -> Vec<World> {
    let mut all = Vec::new();
    for script in [Script::legacy(), Script::modern(), Script::dual()] {
        all.push(world(change(script)).await);
    }
    all
}

pub(crate) async fn world_with(script: Script, change: impl FnOnce(&mut Configured)) -> World {
    let upstream = FakeMcp::start(script).await.unwrap();
    let idp = FakeIdp::start().await.unwrap();
    let settings = settings(&idp, &[("my-mcp-server", upstream.url())]);
    assemble(upstream, idp, settings, change)
}

/// A world whose gateway never heard of its issuer.
pub(crate) async fn world_with_its_issuer_down() -> World {
    let upstream = FakeMcp::start(Script::dual()).await.unwrap();
    let idp = FakeIdp::start().await.unwrap();
    idp.break_down(true);
    let settings = settings(&idp, &[("my-mcp-server", upstream.url())]);
    assemble(upstream, idp, settings, |_| {})
}

pub(crate) fn settings(idp: &FakeIdp, targets: &[(&str, String)]) -> Configured {
    let targets = targets.iter().map(|(name, url)| {
        let url = url.parse().unwrap();
        Target::new(name.parse().unwrap(), TargetKind::mcp(url))
    });
    Configured {
        name: "demo".parse().unwrap(),
        url: "http://127.0.0.1:8480/mcp".parse().unwrap(),
        authorizer: Some(Authorizers::Several(vec![trust(idp)])),
        danger_no_authorization: false,
        tool_names: ToolNames::Prefixed,
        targets: targets.collect(),
        allowed_origins: vec!["https://app.example".to_owned()],
        resource_policy: None,
        caller_limits: CallerLimits::default(),
        limits: Limits::default(),
    }
}

/// The article's rules for the tokens of an issuer.
pub(crate) fn trust(idp: &FakeIdp) -> Authorizer {
    Authorizer {
        discovery_url: idp.discovery_url().parse().unwrap(),
        issuer: None,
        allowed_audiences: vec![AUDIENCE.to_owned()],
        allowed_scopes: "mcp:tools".parse().unwrap(),
        allowed_clients: Vec::new(),
        allowed_algorithms: Vec::new(),
        custom_claims: Vec::new(),
        danger_any_audience: false,
    }
}

/// The rules for the tokens of the issuers.
pub(crate) fn authorizers(settings: &mut Configured) -> &mut Vec<Authorizer> {
    match &mut settings.authorizer {
        Some(Authorizers::Several(authorizers)) => authorizers,
        other => panic!("{other:?}"),
    }
}

/// The rules for the tokens of the first issuer.
pub(crate) fn authorizer(settings: &mut Configured) -> &mut Authorizer {
    authorizers(settings).first_mut().unwrap()
}

pub(crate) fn assemble(
    upstream: FakeMcp,
    idp: FakeIdp,
    mut settings: Configured,
    change: impl FnOnce(&mut Configured),
) -> World {
    for target in &mut settings.targets {
        target.timeouts.handshake = Duration::from_secs(5);
    }
    change(&mut settings);
    let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
    let revoked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let parts = parts(&clock, &revoked, &tasks, &stop);
    let memory = Arc::clone(&parts.memory);
    let gateway = Gateway::new(settings, parts.clone()).unwrap();
    gateway.start();
    World {
        gateway,
        upstream,
        idp,
        clock,
        revoked,
        tasks,
        stop,
        memory,
        parts,
    }
}

/// What issuers have said: nothing yet.
pub(crate) fn known() -> Known {
    Known::new(&(Arc::new(|| SystemTime::UNIX_EPOCH) as _))
}

pub(crate) fn parts(
    clock: &Arc<TestClock>,
    revoked: &Arc<Mutex<Vec<String>>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Parts {
    let connector = Arc::new(Connector::new(
        Arc::new(SystemResolver::default()),
        ExtraRoots::default(),
    ));
    let rules = Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ports: None,
    };
    let list = Arc::clone(revoked);
    Parts {
        clock: Arc::clone(clock) as _,
        issuers: Arc::new(Issuers::new(
            &known(),
            &Client::new(Arc::clone(&connector), rules.clone()),
        )),
        pool: Pool::new(connector, rules, pool::Settings::default()),
        session_keys: vec![SessionKey::new([7; 32])],
        memory: Arc::default(),
        revoke: {
            let list = Arc::clone(revoked);
            Arc::new(move |id, _| {
                list.lock().push(id);
                Box::pin(async { Ok(()) })
            })
        },
        revoked: Arc::new(move |id: &str| {
            let family = id.split('.').next().unwrap_or_default();
            list.lock()
                .iter()
                .any(|known| known == id || known == family)
        }),
        tasks: tasks.clone(),
        stop: stop.clone(),
        metrics: Arc::new(Metrics::default()),
    }
}

impl World {
    /// All background work ends when told so, and nothing is kept of streams and calls whose clients are gone.
    async fn leaves_nothing(&self) {
        self.tasks.close();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.tasks.wait()).await;
        assert!(ended.is_ok(), "{} tasks are left", self.tasks.len());
        let nothing = Open {
            calls: 0,
            streams: 0,
            asks: 0,
            parked: 0,
            subscribed: 0,
            resumable: 0,
        };
        assert_eq!(self.memory.open(), nothing);
        let closed = |upstream: &FakeMcp| upstream.open_streams() == 0;
        self.upstream.until("no stream", closed).await.unwrap();
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().seconds()
    }

    /// Claims that pass.
    pub(crate) fn claims(&self) -> Value {
        self.idp.claims(AUDIENCE, self.now())
    }

    /// Claims that pass, but for this one.
    pub(crate) fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    pub(crate) fn token(&self) -> String {
        self.idp.token(&self.claims()).unwrap()
    }

    /// Puts a new gateway into the place of the old one, as a reload does.
    pub(crate) fn reload(&mut self) {
        let settings = settings(&self.idp, &[("my-mcp-server", self.upstream.url())]);
        let parts = Parts {
            memory: Arc::clone(&self.memory),
            ..parts(&self.clock, &self.revoked, &self.tasks, &self.stop)
        };
        self.gateway = Gateway::new(settings, parts).unwrap();
        self.gateway.start();
    }

    /// The gateway at another node: it shares what is stored, and remembers nothing itself.
    pub(crate) fn another_node(&self) -> Gateway {
        let mut settings = settings(&self.idp, &[("my-mcp-server", self.upstream.url())]);
        settings.limits.keep_alive = Duration::from_millis(20);
        let parts = Parts {
            memory: Arc::default(),
            ..self.parts.clone()
        };
        let gateway = Gateway::new(settings, parts).unwrap();
        gateway.start();
        gateway
    }

    /// Puts a gateway into the place of the old one that is declared a little differently.
    pub(crate) async fn reload_with(&mut self, change: impl FnOnce(&mut Configured)) {
        let mut settings = settings(&self.idp, &[("my-mcp-server", self.upstream.url())]);
        for target in &mut settings.targets {
            target.timeouts.handshake = Duration::from_secs(5);
        }
        change(&mut settings);
        let parts = self.parts.clone();
        let next = Gateway::following(settings, parts, Some(&self.gateway)).unwrap();
        next.start();
        self.gateway.give_way(Some(&next)).await;
        self.gateway = next;
    }

    /// The actor who may do everything.
    pub(crate) fn alice(&self) -> Actor<'_> {
        Actor {
            world: self,
            token: Some(self.token()),
            headers: Vec::new(),
            peer: peer(),
        }
    }

    /// What Alice is answered when she asks in this era.
    pub(crate) async fn ask(&self, era: &str, method: &str, params: Value) -> Value {
        let alice = self.alice();
        let answer = if era == MODERN {
            alice.modern(method, params).await
        } else {
            alice.legacy(method, params).await
        };
        answer.json().await
    }

    pub(crate) fn mallory(&self) -> Actor<'_> {
        self.holder(
            self.idp
                .token(&self.claims_with("sub", json!("mallory")))
                .unwrap(),
        )
    }

    pub(crate) fn holder(&self, token: String) -> Actor<'_> {
        Actor {
            token: Some(token),
            ..self.stranger()
        }
    }

    pub(crate) fn stranger(&self) -> Actor<'_> {
        Actor {
            world: self,
            token: None,
            headers: Vec::new(),
            peer: peer(),
        }
    }
}

pub(crate) fn peer() -> Peer {
    Peer {
        address: IpAddr::from([192, 0, 2, 7]),
        listener: "main".into(),
        arrival: net::edge::Arrival::Direct,
        tls: false,
        client_certificate: false,
    }
}

/// Somebody who sends requests, with or without a token.
#[derive(Clone)]
pub(crate) struct Actor<'a> {
    world: &'a World,
    token: Option<String>,
    headers: Vec<(&'static str, String)>,
    pub(crate) peer: Peer,
}

impl Actor<'_> {
    /// Sends this header with everything.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn from(mut self, address: [u8; 4]) -> Self {
        self.peer.address = IpAddr::from(address);
        self
    }

    /// Sends anything anywhere; the headers of the actor replace those given.
    pub(crate) async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        let map = request.headers_mut();
        if let Some(token) = &self.token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            map.insert(http::header::AUTHORIZATION, value);
        }
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        for (name, value) in headers.iter().copied().chain(own) {
            let name = http::HeaderName::try_from(name).unwrap();
            map.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let response = self.world.gateway.call(request, &self.peer).await;
        Answer::of(response)
    }

    /// POSTs a body as JSON.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut all = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        all.extend_from_slice(headers);
        self.send(Method::POST, "/mcp", &all, Body::full(body.into()))
            .await
    }

    /// A modern request, with everything that belongs to one.
    pub(crate) async fn modern(&self, method: &str, params: Value) -> Answer {
        let (headers, body) = modern(method, params);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.post(&headers, body).await
    }

    /// A legacy request.
    pub(crate) async fn legacy(&self, method: &str, params: Value) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post(&[("mcp-protocol-version", LEGACY)], body.to_string())
            .await
    }

    /// `initialize`; the session id.
    pub(crate) async fn initialize(&self) -> String {
        self.initialize_with(json!({})).await
    }

    /// The same of a client that can be asked.
    pub(crate) async fn initialize_with(&self, capabilities: Value) -> String {
        let params = json!({"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
        let answer = self.legacy("initialize", params).await;
        assert_eq!(answer.status, 200);
        answer.header("mcp-session-id").to_owned()
    }

    /// Calls a tool in an era.
    pub(crate) async fn call(&self, era: &str, tool: &str, arguments: Value) -> Answer {
        let params = json!({"name": format!("my-mcp-server___{tool}"), "arguments": arguments});
        if era == MODERN {
            self.modern("tools/call", params).await
        } else {
            self.legacy("tools/call", params).await
        }
    }
}

/// Headers and body of a modern request.
pub(crate) fn modern(method: &str, mut params: Value) -> (Vec<(&'static str, String)>, String) {
    let mut headers = vec![
        ("mcp-protocol-version", MODERN.to_owned()),
        ("mcp-method", method.to_owned()),
    ];
    let named = match method {
        "resources/read" => "uri",
        _ => "name",
    };
    if let Some(name) = params.get(named).and_then(Value::as_str) {
        headers.push(("mcp-name", name.to_owned()));
    }
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    });
    let merged = match params.get("_meta").cloned() {
        Some(Value::Object(own)) => {
            let mut merged = meta.as_object().unwrap().clone();
            merged.extend(own);
            Value::Object(merged)
        }
        _ => meta,
    };
    params["_meta"] = merged;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    (headers, body.to_string())
}

/// A tree for assertions; the fake server sends numbers that no tree can hold.
fn parse(message: &[u8]) -> Value {
    let text = String::from_utf8(message.to_vec())
        .unwrap()
        .replace("1E400", "null");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// An answer whose body has not been read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Body,
}

impl Answer {
    fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) async fn text(self) -> String {
        let read = tokio::time::timeout(Duration::from_secs(20), self.body.collect());
        let bytes = read.await.expect("the body ends").unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// The body as JSON; of an event stream, the last message.
    pub(crate) async fn json(self) -> Value {
        let events = self.header("content-type") == "text/event-stream";
        if events {
            return self.messages().await.pop().unwrap_or(Value::Null);
        }
        parse(self.text().await.as_bytes())
    }

    /// All messages of an event stream.
    pub(crate) async fn messages(self) -> Vec<Value> {
        let text = self.text().await;
        let mut events = Vec::new();
        mcp::sse::Decoder::new(mcp::sse::Limits::default())
            .push(text.as_bytes(), &mut events)
            .unwrap();
        events.iter().map(|event| parse(&event.data)).collect()
    }

    /// The body, piece by piece.
    pub(crate) fn stream(self) -> impl futures_util::Stream<Item = Bytes> + Unpin {
        Box::pin(
            http_body_util::BodyStream::new(self.body)
                .filter_map(async |frame| frame.ok().and_then(|frame| frame.into_data().ok())),
        )
    }

    /// HTTP status and JSON-RPC error code.
    pub(crate) async fn refusal(self) -> (u16, i64) {
        let status = self.status.as_u16();
        let body = self.json().await;
        (status, body["error"]["code"].as_i64().unwrap_or(0))
    }
}
