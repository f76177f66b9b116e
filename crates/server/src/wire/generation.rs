//! One configuration while it serves.
//!
//! A reload makes the next one by difference: gateways, targets and connections that are declared as before are carried
//! over, with their sessions, lists, keys and streams. Requests under way stay with the generation that they began with;
//! what of it was not carried over ends when the next one has taken over.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use auth::AuthServer;
use gateway::issuers::Issuers;
use gateway::session::SessionKey;
use gateway::settings::{Revoke, Revoked};
use model::gateway::{Authorization as Admits, Gateway};
use net::edge::Site;
use net::edge::hosts::{Reach, Table};
use net::edge::proxy::Proxy;
use net::egress::client::Client;
use net::egress::pool::{self, Pool};
use oauth::discovery::PROTECTED_RESOURCE;
use store::Store;

use crate::config::convert::egress;
use crate::config::gateway as section;
use crate::config::own_realm::issues;
use crate::config::realm::Realm;
use crate::config::scalar::WebUrl;
use crate::config::{Config, Loaded, binding};
use crate::demo::mcp_server::DemoMcpServer;
use crate::documents::Document;
use crate::routes::{Claim, Routes};
use crate::wire::foundation::{Foundation, wall_clock};
use crate::wire::outgoing::{self, Connectors};
use crate::wire::plan::Plan;

/// One configuration while it serves.
pub(crate) struct Generation {
    /// Who answers for which host.
    pub(crate) table: Table,
    outgoing: Outgoing,
    authorization: Option<Authorization>,
    gateways: Vec<Serving>,
}

/// The authorization server of a generation. It outlives generations: what it counts and knows goes on.
struct Authorization {
    server: AuthServer,
    /// What it serves when the generation takes over.
    realms: Vec<model::realm::Realm>,
    outgoing: auth::Outgoing,
}

/// What outgoing requests are made with.
#[derive(Clone)]
struct Outgoing {
    /// What decides about them: two that are declared alike are the same.
    declared: String,
    connectors: Connectors,
    /// Connections to upstreams.
    pool: Pool,
}

/// A gateway while it serves.
struct Serving {
    /// What it was made from, with what files and variables said then.
    declared: Gateway,
    gateway: gateway::Gateway,
}

impl Outgoing {
    /// That of `before` if it is declared just so, or else a new one.
    fn kept_or_new(
        loaded: &Loaded,
        foundation: &Foundation,
        before: Option<&Generation>,
    ) -> anyhow::Result<Self> {
        let declared = outgoing::declared(loaded, foundation.local_ca_pem())?;
        let kept = before.map(|before| &before.outgoing);
        if let Some(kept) = kept.filter(|kept| kept.declared == declared) {
            return Ok(kept.clone());
        }
        let connectors = outgoing::connectors(
            loaded,
            foundation.local_ca_pem(),
            &foundation.resolvers,
            &foundation.shares.outgoing,
        )?;
        let pool = Pool::new(
            Arc::clone(&connectors.operators),
            egress::convert(&loaded.config),
            pool::Settings {
                max_idle: foundation.idle_connections(),
                ..pool::Settings::default()
            },
        );
        Ok(Self {
            declared,
            connectors,
            pool,
        })
    }
}

impl Generation {
    /// Makes everything that `plan` describes and that is not there already, and starts its background work.
    pub(crate) async fn start(
        plan: &Plan,
        foundation: &Foundation,
        before: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let outgoing = Outgoing::kept_or_new(&plan.loaded, foundation, before)?;
        let making = Making {
            plan,
            foundation,
            outgoing: &outgoing,
        };
        let mut services = Services {
            config: &plan.loaded.config,
            hosts: BTreeMap::new(),
        };
        making.documents(&mut services)?;
        making.demo_mcp_server(&mut services);
        let authorization = making.authorization(before, &mut services).await?;
        let gateways = making.gateways(before, &mut services)?;
        making.proxies(&mut services)?;
        // Last, so that it takes nothing from anybody.
        if let Some(Authorization { server, .. }) = &authorization {
            making.realms_at_origins(server, &mut services);
        }
        for serving in &gateways {
            serving.gateway.start();
        }
        Ok(Self {
            table: services.table(),
            outgoing,
            authorization,
            gateways,
        })
    }

    /// Whether what outgoing requests are made with is declared as before, with what files say now.
    pub(crate) fn is_outgoing_declared_so(
        &self,
        loaded: &Loaded,
        foundation: &Foundation,
    ) -> anyhow::Result<bool> {
        let declared = outgoing::declared(loaded, foundation.local_ca_pem())?;
        Ok(self.outgoing.declared == declared)
    }

    /// Waits a little for what new targets have.
    pub(crate) async fn settle(&self) {
        let gateways = self.gateways.iter().map(|serving| serving.gateway.settle());
        futures_util::future::join_all(gateways).await;
    }

    /// Takes over: nothing can fail any more.
    pub(crate) fn take_over(&self, foundation: &Foundation) {
        let Some(Authorization {
            server,
            realms,
            outgoing,
        }) = &self.authorization
        else {
            return;
        };
        server.replace_realms(realms.clone(), outgoing.clone());
        let server = server.clone();
        foundation.tasks.spawn(async move {
            if let Err(error) = server.prepare_rest().await {
                tracing::error!(%error, "the keys for ID tokens are made when they are needed");
            }
        });
    }

    /// The gateway that another declaration is to change.
    fn serving(&self, declared: &Gateway) -> Option<&Serving> {
        let same = |serving: &&Serving| serving.declared.name == declared.name;
        self.gateways.iter().find(same)
    }

    /// Closes connections that were not used for long.
    pub(crate) fn sweep(&self) {
        self.outgoing.pool.sweep();
    }

    /// The gateways, for who asks how they fare.
    pub(crate) fn gateways(&self) -> Vec<gateway::Gateway> {
        let gateways = self.gateways.iter();
        gateways.map(|serving| serving.gateway.clone()).collect()
    }

    /// Ends what is not carried over into the next generation, which has taken over; with none, everything.
    pub(crate) async fn give_way(&self, next: Option<&Self>) {
        for serving in &self.gateways {
            let next = next.and_then(|next| next.serving(&serving.declared));
            let next = next.map(|next| &next.gateway);
            serving.gateway.give_way(next).await;
        }
    }
}

/// What a generation is made of.
struct Making<'a> {
    plan: &'a Plan,
    foundation: &'a Foundation,
    outgoing: &'a Outgoing,
}

impl<'a> Making<'a> {
    fn config(&self) -> &'a Config {
        &self.plan.loaded.config
    }

    fn documents(&self, services: &mut Services<'_>) -> anyhow::Result<()> {
        for (url, content) in &self.plan.documents {
            let site: Arc<dyn Site> = Arc::new(Document::new(content)?);
            services.offer(url, binding::exact_claims(url), &site);
        }
        Ok(())
    }

    fn demo_mcp_server(&self, services: &mut Services<'_>) {
        let demo = self.config().demo_mcp_server.as_ref();
        if let Some(url) = demo.and_then(|demo| demo.url.as_ref()) {
            let site: Arc<dyn Site> = Arc::new(DemoMcpServer::new());
            services.offer(url, binding::exact_claims(url), &site);
        }
    }

    /// The authorization server, which is the one of `before` if there was one; with the sites of its realms.
    async fn authorization(
        &self,
        before: Option<&Generation>,
        services: &mut Services<'_>,
    ) -> anyhow::Result<Option<Authorization>> {
        let realms: Vec<_> = self
            .plan
            .realms
            .iter()
            .map(|one| one.realm.clone())
            .collect();
        if realms.is_empty() {
            return Ok(None);
        }
        let outgoing = auth::Outgoing {
            operators: Arc::clone(&self.outgoing.connectors.operators),
            strangers: Arc::clone(&self.outgoing.connectors.strangers),
            operators_rules: egress::convert(self.config()),
        };
        let before = before.and_then(|before| before.authorization.as_ref());
        let server = if let Some(before) = before {
            before.server.clone()
        } else {
            let settings = auth::Settings::new(realms.clone());
            AuthServer::new(self.lent_to_auth(outgoing.clone()), settings)
        };
        server
            .prepare_for(&realms)
            .await
            .context("the signing keys can't be had")?;
        for declared in &self.config().realms {
            let url = declared.realm.url();
            let site: Arc<dyn Site> = Arc::new(server.realm(declared.realm.name.as_str()));
            services.offer(&url, binding::realm_claims(&url), &site);
        }
        Ok(Some(Authorization {
            server,
            realms,
            outgoing,
        }))
    }

    fn lent_to_auth(&self, outgoing: auth::Outgoing) -> auth::Parts {
        let foundation = self.foundation;
        auth::Parts {
            store: foundation.store.clone(),
            clock: Arc::clone(&foundation.clock),
            outgoing,
            wall: wall_clock(&foundation.clock),
            metrics: foundation.auth.clone(),
            passwords: foundation.passwords.clone(),
            declared_users: foundation.declared_users.clone(),
        }
    }

    /// The gateways: those of `before` that are declared as they were, and what did not change of the others.
    fn gateways(
        &self,
        before: Option<&Generation>,
        services: &mut Services<'_>,
    ) -> anyhow::Result<Vec<Serving>> {
        let parts = self.lent_to_gateways();
        // Targets can be kept only with their connections.
        let before = before.filter(|before| before.outgoing.declared == self.outgoing.declared);
        let mut gateways = Vec::new();
        for declared in &self.plan.gateways {
            let gateway = match before.and_then(|before| before.serving(declared)) {
                Some(kept) if kept.declared == *declared => kept.gateway.clone(),
                changed => gateway::Gateway::following(
                    declared.clone(),
                    parts.clone(),
                    changed.map(|changed| &changed.gateway),
                )
                .with_context(|| format!("gateway `{}` can't be made", declared.name))?,
            };
            let url = &declared.url;
            let site: Arc<dyn Site> = Arc::new(gateway.clone());
            services.offer(url, binding::gateway_claims(url), &site);
            services.offer_if_free(url, &Claim::Exact(PROTECTED_RESOURCE.to_owned()), &site);
            gateways.push(Serving {
                declared: declared.clone(),
                gateway,
            });
        }
        Ok(gateways)
    }

    fn lent_to_gateways(&self) -> gateway::settings::Parts {
        let foundation = self.foundation;
        let documents = Client::new(
            Arc::clone(&self.outgoing.connectors.operators),
            egress::convert(self.config()),
        );
        gateway::settings::Parts {
            clock: Arc::clone(&foundation.clock),
            issuers: Arc::new(Issuers::new(&foundation.issuers, &documents)),
            pool: self.outgoing.pool.clone(),
            session_keys: vec![SessionKey::new(foundation.session_key)],
            memory: Arc::clone(&foundation.memory),
            revoked: revoked(&foundation.store),
            revoke: revoke(&foundation.store),
            tasks: foundation.tasks.clone(),
            stop: foundation.stopped(),
            metrics: Arc::clone(&foundation.gateway),
        }
    }

    fn proxies(&self, services: &mut Services<'_>) -> anyhow::Result<()> {
        for proxy in &self.config().proxies {
            let upstream = self
                .outgoing
                .pool
                .upstream(&proxy.upstream.0)
                .with_context(|| format!("the upstream `{}` can't be used", proxy.upstream))?;
            let site: Arc<dyn Site> = Arc::new(Proxy::new(upstream));
            services.offer(&proxy.url, binding::proxy_claims(&proxy.url), &site);
        }
        Ok(())
    }

    /// Puts realms where clients look for them that know only the origin of a gateway.
    fn realms_at_origins(&self, server: &AuthServer, services: &mut Services<'_>) {
        for (url, realm) in origins_with_one_realm(self.config()) {
            let name = realm.realm.name.clone();
            let site: Arc<dyn Site> = Arc::new(server.at_origin(name));
            for path in auth::ORIGIN_PATHS {
                services.offer_if_nobody_answers(url, path, &site);
            }
        }
    }
}

/// The origins of gateways that all have one and the same realm of ours among their authorization servers, and no other of
/// ours: there its metadata is found by clients that look for it at the origin of the MCP server (MCP 2025-03-26).
fn origins_with_one_realm(config: &Config) -> Vec<(&WebUrl, &Realm)> {
    let mut origins: Vec<(&WebUrl, Option<&Realm>)> = Vec::new();
    for gateway in &config.gateways {
        let realm = only_realm_of(config, gateway);
        let origin = gateway.url.0.origin();
        match origins.iter_mut().find(|(url, _)| url.0.origin() == origin) {
            None => origins.push((&gateway.url, realm)),
            Some((_, first)) => {
                let name = |realm: &Realm| realm.realm.name.clone();
                if first.map(name) != realm.map(name) {
                    *first = None;
                }
            }
        }
    }
    origins
        .into_iter()
        .filter_map(|(url, realm)| Some((url, realm?)))
        .collect()
}

/// The realm of ours whose tokens a gateway accepts, if that is one.
fn only_realm_of<'c>(config: &'c Config, gateway: &section::Gateway) -> Option<&'c Realm> {
    let Admits::Tokens(authorizers) = gateway.authorization() else {
        return None;
    };
    let mut ours = config.realms.iter().filter(|realm| {
        authorizers
            .iter()
            .any(|authorizer| issues(realm, &authorizer.discovery_url))
    });
    let first = ours.next()?;
    ours.next().is_none().then_some(first)
}

/// Asks the store's memory whether a token was revoked.
fn revoked(store: &Store) -> Revoked {
    let store = store.clone();
    Arc::new(move |jti| store.revocations().is_revoked(jti))
}

/// Writes into the store's log of revocations.
fn revoke(store: &Store) -> Revoke {
    let store = store.clone();
    Arc::new(move |id, until| {
        let store = store.clone();
        Box::pin(async move {
            store::revocation::revoke(&store, &id, until).await?;
            Ok(())
        })
    })
}

/// Services on their way into the table.
struct Services<'c> {
    config: &'c Config,
    hosts: BTreeMap<(Reach, &'c str, String), Routes>,
}

impl<'c> Services<'c> {
    /// Puts a service on every listener where its URL arrives. What somebody has already is left to them, and said.
    fn offer(
        &mut self,
        url: &WebUrl,
        claims: impl IntoIterator<Item = Claim>,
        site: &Arc<dyn Site>,
    ) {
        for claim in claims {
            if !self.offer_if_free(url, &claim, site) {
                tracing::warn!(url = %url, "{claim} of `{}` belong to another service", url.host());
            }
        }
    }

    /// Like `offer`, but nobody minds if it belongs to another service.
    fn offer_if_free(&mut self, url: &WebUrl, claim: &Claim, site: &Arc<dyn Site>) -> bool {
        let mut free = true;
        let config: &'c Config = self.config;
        for listener in &config.listeners {
            let Some(reach) = binding::reach(config, listener, url) else {
                continue;
            };
            for view in binding::views(listener, reach) {
                let place = (view, listener.name.0.as_str(), url.host().to_owned());
                let routes = self.hosts.entry(place).or_default();
                free &= routes.claim(claim, Arc::clone(site));
            }
        }
        free
    }

    /// Puts a service on a path that would be answered by nobody else.
    fn offer_if_nobody_answers(&mut self, url: &WebUrl, path: &str, site: &Arc<dyn Site>) {
        let config: &'c Config = self.config;
        for listener in &config.listeners {
            let Some(reach) = binding::reach(config, listener, url) else {
                continue;
            };
            for view in binding::views(listener, reach) {
                let place = (view, listener.name.0.as_str(), url.host().to_owned());
                let routes = self.hosts.entry(place).or_default();
                if !routes.answers(path) {
                    routes.claim(&Claim::Exact(path.to_owned()), Arc::clone(site));
                }
            }
        }
    }

    fn table(self) -> Table {
        let mut table = Table::new();
        for ((reach, listener, host), routes) in self.hosts {
            table.insert_for(reach, listener, &host, Arc::new(routes));
        }
        table
    }
}
