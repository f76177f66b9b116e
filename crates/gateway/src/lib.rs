//! The gateway's data plane: one MCP endpoint, who may call it, which tools it has, and where a call goes.
//!
//! Read downwards, once, for a `tools/call`: [`endpoint`] (HTTP, media types, envelope, era), `caller` (from a token to a
//! caller), `method/call` (the story), `catalog` (which tool, where), `relay` (the way back). Whatever refuses,
//! refuses through `refusal`, the one mapping to JSON-RPC and HTTP.
//!
//! | Module | What for |
//! |---|---|
//! | `settings` | what a gateway is lent |
//! | `cx` | what a request may reach |
//! | `endpoint` | the order of all checks |
//! | `origin`, `cors`, `media` | what browsers and media types ask for |
//! | `issuers` | who makes the tokens: asked once for all gateways |
//! | `caller` | bearer tokens, keys of issuers, challenges, protected resource metadata |
//! | `spelling` | the endpoint's URL with and without a slash at its end |
//! | `session`, `session_id`, `revocation`, `memory` | sealed sessions of legacy clients, and what is remembered of them |
//! | `seal` | seals what clients keep for us |
//! | `flights`, `detach` | cancellation for legacy clients, calls that outlive them |
//! | `client`, `input`, `asks`, `parked` | what targets ask of clients in the middle of a call, in each era |
//! | `tasks` | sealed ids of tasks |
//! | `subscribed` | which resources a client wants to hear of |
//! | `method` | one file per method |
//! | `behind`, `handover` | targets that outlive a configuration, and streams that do |
//! | `catalog` | what all targets offer, as snapshots |
//! | `capabilities` | what a gateway says that it can do |
//! | `relay` | answers and event streams of targets, in the client's era |
//! | `quota` | how much one caller may have under way |
//! | `refusal`, `metrics` | what is refused, what is counted |
//!
//! To add a method of a feature: its shape in [`mcp::feature`]; any other: a file in `method/`, an arm in
//! `endpoint::Post::request`. To add a reason to refuse: a variant of
//! `refusal::Refusal`; the compiler lists the rest.

mod asks;
mod behind;
mod caller;
mod capabilities;
mod catalog;
mod client;
mod cors;
mod cx;
mod detach;
mod endpoint;
mod flights;
mod handover;
mod input;
pub mod issuers;
mod list_state;
mod media;
pub mod memory;
mod method;
pub mod metrics;
mod origin;
mod parked;
mod quota;
mod refusal;
mod relay;
mod resumable;
mod revocation;
mod seal;
pub mod session;
mod session_id;
pub mod settings;
mod spelling;
mod subscribed;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response, StatusCode};
use mcp::feature::Feature;
use model::gateway::{Authorization, Gateway as Configured};
use net::body::Body;
use net::boxed::in_place;
use net::edge::{Peer, Site};
use oauth::discovery::PROTECTED_RESOURCE;
use oauth::scope::ScopeSet;
use policy::decide::Policies;
use policy::resource::ResourcePolicy;
use targets::Target;

use self::behind::Behind;
use self::caller::jwt::{Audience, Rules};
use self::caller::{Authorizer, Identification, metadata};
pub use self::catalog::TargetState;
use self::catalog::entry::Measured;
use self::catalog::{Catalogs, Making};
use self::cx::Cx;
use self::detach::Background;
use self::handover::{Admission, Handover};
use self::issuers::{IssuerState, Issuers};
pub use self::list_state::ListState;
use self::origin::Origins;
use self::quota::Quotas;
use self::seal::Seal;
use self::session::{Revocation, Sessions};
use self::settings::{Parts, SettingsError};
use self::spelling::Spelling;

/// One gateway: a site that answers its endpoint and its metadata, and 404 elsewhere.
#[derive(Clone, Debug)]
pub struct Gateway {
    cx: Arc<Cx>,
    paths: Arc<Paths>,
}

/// How long a gateway that is to take another's place waits for lists of tools.
const SETTLING: Duration = Duration::from_secs(2);

/// The paths that a gateway answers.
#[derive(Debug)]
struct Paths {
    endpoint: Box<str>,
    /// Whether the operator spelled it with a slash at its end.
    has_slash: bool,
}

impl Gateway {
    /// Makes a gateway; nothing is fetched or spawned before [`Self::start`] or the first request.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(configured: Configured, parts: Parts) -> Result<Self, SettingsError> {
        Self::following(configured, parts, None)
    }

    /// Makes a gateway that is to take another's place. Targets that are declared as they were there are kept, with their
    /// connections, sessions and lists; so both must have the same pool.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn following(
        configured: Configured,
        parts: Parts,
        before: Option<&Self>,
    ) -> Result<Self, SettingsError> {
        let gateway = configured;
        let limits = gateway.limits;
        let admission = Admission::of(&gateway);
        let scopes = match gateway.authorization() {
            Authorization::Tokens([first, ..]) => asked_for(&first.allowed_scopes),
            Authorization::Tokens([]) | Authorization::DangerNone => ScopeSet::default(),
        };
        let url = &gateway.url.0;
        let spellings = spelling::both(url, &scopes);
        let identification = match gateway.authorization() {
            Authorization::Tokens(configured) => Identification::by_tokens(
                authorizers(configured, &parts.issuers, &spellings)?,
                Arc::clone(&parts.revoked),
                limits.verified_tokens,
            ),
            Authorization::DangerNone => Identification::none(),
        };
        let policy = gateway
            .resource_policy
            .as_ref()
            .map(ResourcePolicy::from_value)
            .transpose();
        let mut behind = Vec::with_capacity(gateway.targets.len());
        for target in &gateway.targets {
            let kept = before.map_or(&[][..], |before| &before.cx.behind);
            let made =
                Behind::kept_or_new(target.clone(), kept, &parts.pool, &parts.tasks, &parts.stop);
            behind.push(made.map_err(|refusal| SettingsError::Target {
                target: target.name.to_string(),
                refusal,
            })?);
        }
        let name = gateway.name.to_string();
        let server_info = format!(
            r#"{{"name":{},"title":"Sekisho","version":"{}"}}"#,
            mcp::raw::quote(&name),
            env!("CARGO_PKG_VERSION")
        );
        let paths = Paths {
            endpoint: url.path().trim_end_matches('/').into(),
            has_slash: url.path().len() > 1 && url.path().ends_with('/'),
        };
        let name: Arc<str> = name.into();
        let measured = behind.iter().map(|one| Measured {
            target: one.target.clone(),
            calls: Arc::new(parts.metrics.calls(&name, one.target.name())),
        });
        let making = Making {
            gateway: &name,
            names: gateway.tool_names,
            server_info: &server_info,
            page_size: limits.page_size,
        };
        let seal = Arc::new(Seal::new(&parts.session_keys, &name));
        let cx = Cx {
            spellings,
            scopes: scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            origins: Origins::new(url, &gateway.allowed_origins),
            identification,
            policies: Policies::new(policy.map_err(SettingsError::Policy)?),
            catalogs: Catalogs::new(&making, measured.collect()),
            sessions: Sessions::new(
                Arc::clone(&seal),
                limits.session,
                Arc::clone(&parts.memory),
                Revocation {
                    revoked: parts.revoked,
                    revoke: parts.revoke,
                },
            ),
            behind,
            admission,
            handover: Handover::new(),
            seal,
            flights: Arc::clone(&parts.memory.flights),
            asks: Arc::clone(&parts.memory.asks),
            parked: Arc::clone(&parts.memory.parked),
            memory: parts.memory,
            background: Arc::new(Background::new(parts.tasks.clone())),
            quotas: Quotas::new(gateway.caller_limits),
            limits,
            server_info: server_info.into(),
            clock: parts.clock,
            tasks: parts.tasks,
            stop: parts.stop.child_token(),
            stop_of_all: parts.stop,
            metrics: parts.metrics,
            name,
        };
        Ok(Self {
            cx: Arc::new(cx),
            paths: Arc::new(paths),
        })
    }

    /// Begins to keep the list of tools and the keys of the issuers current, until the process stops. What was begun before
    /// a reload goes on.
    pub fn start(&self) {
        for issuer in self.cx.identification.issuers() {
            issuer.keep(&self.cx.tasks, &self.cx.stop_of_all);
        }
        for one in &self.cx.behind {
            one.start(&self.cx.tasks);
        }
        self.cx.catalogs.start(&self.cx.tasks, &self.cx.stop);
    }

    /// Waits until all targets were asked for their tools, with or without success, but not for long: so that one that is
    /// declared anew has its tools when the gateway takes another's place, and nobody sees them vanish and come back.
    pub async fn settle(&self) {
        let listed = self.cx.behind.iter().map(|one| one.target.asked_once());
        let _ = tokio::time::timeout(SETTLING, join_all(listed)).await;
        self.cx.catalogs.rebuild().await;
    }

    /// How it stands with the keys of its issuers: without any, it can't judge a token.
    pub fn issuers(&self) -> Vec<IssuerState> {
        self.cx
            .identification
            .issuers()
            .map(|issuer| issuer.state())
            .collect()
    }

    /// How it stands with its targets: what a target that fails can't do is to be read here, too.
    pub fn targets(&self) -> Vec<TargetState> {
        self.cx.catalogs.states()
    }

    /// How it stands with the lists of its targets.
    pub fn lists(&self) -> Vec<ListState> {
        let of = |target: &Target| {
            let target = target.clone();
            Feature::ALL.map(move |feature| ListState::of(&target, feature))
        };
        let targets = self.cx.behind.iter();
        targets.flat_map(|one| of(&one.target)).collect()
    }

    /// Asks its targets, or the one of this name, for their lists; what became of it shows in [`Self::lists`]. `false` if there
    /// is none of this name.
    pub async fn sync(&self, name: Option<&str>) -> bool {
        let all = self.cx.behind.iter().map(|one| &one.target);
        let meant: Vec<_> = all
            .filter(|target| name.is_none_or(|name| **target.name() == *name))
            .collect();
        let asking = meant.iter().map(|target| async move {
            // The first finds out what it speaks, for all.
            for feature in Feature::ALL {
                target.sync(feature).await;
            }
        });
        join_all(asking).await;
        self.cx.catalogs.rebuild().await;
        !meant.is_empty()
    }

    /// Gives way to the gateway that takes its place, if one does. Streams go on there, and are told if the list of tools
    /// is another one; they end where it is decided differently who may call. What is not carried over ends. Requests
    /// under way are answered.
    pub async fn give_way(&self, next: Option<&Self>) {
        let going_on = match next {
            Some(next) if Arc::ptr_eq(&self.cx, &next.cx) => return,
            Some(next) => {
                next.cx.catalogs.rebuild().await;
                self.cx.give_way(&next.cx);
                &next.cx.behind[..]
            }
            None => &[],
        };
        for one in &self.cx.behind {
            one.end_unless_among(going_on);
        }
        self.cx.stop.cancel();
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.cx.name
    }
}

impl Site for Gateway {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        let peer = peer.clone();
        in_place(|| async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path();
            let [plain, slashed] = &self.cx.spellings;
            let asked_for = if path == PROTECTED_RESOURCE {
                Some(if self.paths.has_slash { slashed } else { plain })
            } else {
                [plain, slashed]
                    .into_iter()
                    .find(|one| *one.metadata == *path)
            };
            if path.trim_end_matches('/') == &*self.paths.endpoint {
                let spelling = if path.ends_with('/') { slashed } else { plain };
                endpoint::answer(&self.cx, spelling, parts, body, &peer).await
            } else if let Some(spelling) = asked_for
                && self.cx.identification.asks_for_tokens()
            {
                metadata::answer(&self.cx, spelling, &parts.method, &parts.headers).await
            } else {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        })
    }
}

/// A token that is good for a longer time is not ours to ask for (RS-15).
fn asked_for(allowed: &ScopeSet) -> ScopeSet {
    let scopes = allowed.iter();
    scopes
        .filter(|scope| scope.as_str() != "offline_access")
        .cloned()
        .collect()
}

/// The issuers that a gateway trusts, and what it demands of the tokens of each.
fn authorizers(
    configured: &[model::gateway::Authorizer],
    issuers: &Issuers,
    spellings: &[Spelling; 2],
) -> Result<Vec<Authorizer>, SettingsError> {
    let mut all: Vec<Authorizer> = Vec::with_capacity(configured.len());
    for one in configured {
        let issuer = issuers.issuer(&one.discovery_url.0, one.issuer.as_deref());
        if all.iter().any(|other| other.issuer.may_be(issuer.name())) {
            return Err(SettingsError::IssuerTwice {
                issuer: issuer.name().to_owned(),
            });
        }
        let audience = if one.danger_any_audience {
            Audience::Any
        } else if !one.allowed_audiences.is_empty() {
            Audience::OneOf(spelling::with_other_spellings(
                one.allowed_audiences.clone(),
                spellings,
            ))
        } else if !one.allowed_clients.is_empty() {
            Audience::Unnamed
        } else {
            return Err(SettingsError::NoAudience);
        };
        let scopes = asked_for(&one.allowed_scopes);
        let texts = |scopes: &ScopeSet| {
            scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect()
        };
        let rules = Rules {
            audience,
            algorithms: one.algorithms(),
            scopes: texts(&scopes),
            clients: one
                .allowed_clients
                .iter()
                .map(|client| client.as_str().to_owned())
                .collect(),
            claims: one.custom_claims.clone(),
        };
        all.push(Authorizer {
            issuer,
            rules,
            scopes,
        });
    }
    if all.is_empty() {
        return Err(SettingsError::NoIssuer);
    }
    Ok(all)
}
