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
use gateway::settings::{Revoked, Settings};
use net::edge::Site;
use net::edge::hosts::Table;
use net::edge::proxy::Proxy;
use net::egress::client::Client;
use net::egress::pool::{self, Pool};
use oauth::discovery::PROTECTED_RESOURCE;
use store::Store;

use crate::config::Loaded;
use crate::config::crosscheck::arrives_at;
use crate::config::gateway::Gateway;
use crate::config::listener::Listener;
use crate::config::scalar::WebUrl;
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
    gateways: Vec<Serving>,
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
    /// The section of the configuration that it was made from.
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
        let connectors =
            outgoing::connectors(loaded, foundation.local_ca_pem(), &foundation.resolvers)?;
        let pool = Pool::new(
            Arc::clone(&connectors.operators),
            outgoing::operators_rules(loaded),
            pool::Settings::default(),
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
        let loaded = &plan.loaded;
        let outgoing = Outgoing::kept_or_new(loaded, foundation, before)?;
        let mut services = Services {
            listeners: &loaded.config.listeners,
            hosts: BTreeMap::new(),
        };

        for (url, content) in &plan.documents {
            services.offer(
                url,
                [Claim::Exact(url.0.path().to_owned())],
                &(Arc::new(Document::new(content)?) as Arc<dyn Site>),
            );
        }
        if let Some(url) = loaded
            .config
            .demo_mcp_server
            .as_ref()
            .and_then(|demo| demo.url.as_ref())
        {
            services.offer(
                url,
                [Claim::Exact(url.0.path().to_owned())],
                &(Arc::new(DemoMcpServer::new()) as Arc<dyn Site>),
            );
        }
        if !plan.realms.is_empty() {
            let parts = auth::Parts {
                store: foundation.store.clone(),
                clock: Arc::clone(&foundation.clock),
                connector: Arc::clone(&outgoing.connectors.operators),
                strangers: Arc::clone(&outgoing.connectors.strangers),
                wall: wall_clock(&foundation.clock),
                metrics: foundation.auth.clone(),
                passwords: foundation.passwords.clone(),
                declared_users: foundation.declared_users.clone(),
            };
            let realms = plan.realms.iter().map(|(realm, _)| realm.clone()).collect();
            let settings = auth::Settings {
                operators_rules: outgoing::operators_rules(loaded),
                ..auth::Settings::new(realms)
            };
            let server = AuthServer::new(parts, settings);
            server
                .prepare()
                .await
                .context("the signing keys can't be had")?;
            let site: Arc<dyn Site> = Arc::new(server);
            for realm in &loaded.config.realms {
                services.offer(&realm.url, realm_claims(realm.url.0.path()), &site);
            }
        }
        let documents = Client::new(
            Arc::clone(&outgoing.connectors.operators),
            outgoing::operators_rules(loaded),
        );
        let parts = gateway::settings::Parts {
            clock: Arc::clone(&foundation.clock),
            issuers: Arc::new(Issuers::new(&foundation.issuers, &documents)),
            pool: outgoing.pool.clone(),
            session_keys: vec![SessionKey::new(foundation.session_key)],
            memory: Arc::clone(&foundation.memory),
            revoked: revoked(&foundation.store),
            tasks: foundation.tasks.clone(),
            stop: foundation.stopped(),
            metrics: Arc::clone(&foundation.gateway),
        };
        let mut gateways = Vec::new();
        for (configured, section) in plan.gateways.iter().zip(&loaded.config.gateways) {
            // Targets can be kept only with their connections.
            let before = before
                .filter(|before| before.outgoing.declared == outgoing.declared)
                .and_then(|before| before.serving(section));
            let gateway = match before {
                Some(kept) if kept.declared == *section => kept.gateway.clone(),
                changed => gateway::Gateway::following(
                    Settings::new(configured.clone()),
                    parts.clone(),
                    changed.map(|changed| &changed.gateway),
                )
                .with_context(|| format!("gateway `{}` can't be made", configured.name))?,
            };
            let claims = [
                Claim::Exact(section.url.0.path().to_owned()),
                Claim::Exact(format!("{}/", gateway.endpoint_path())),
                Claim::Exact(gateway.metadata_path().to_owned()),
            ];
            services.offer(
                &section.url,
                claims,
                &(Arc::new(gateway.clone()) as Arc<dyn Site>),
            );
            services.offer_if_free(
                &section.url,
                &Claim::Exact(PROTECTED_RESOURCE.to_owned()),
                &(Arc::new(gateway.clone()) as Arc<dyn Site>),
            );
            gateways.push(Serving {
                declared: section.clone(),
                gateway,
            });
        }
        for proxy in &loaded.config.proxies {
            let upstream = outgoing
                .pool
                .upstream(&proxy.upstream.0)
                .with_context(|| format!("the upstream `{}` can't be used", proxy.upstream))?;
            let claim = match proxy.url.0.path() {
                "/" => Claim::Rest,
                path => Claim::Below(path.trim_end_matches('/').to_owned()),
            };
            services.offer(
                &proxy.url,
                [claim],
                &(Arc::new(Proxy::new(upstream)) as Arc<dyn Site>),
            );
        }
        for serving in &gateways {
            serving.gateway.start();
        }
        Ok(Self {
            table: services.table(),
            outgoing,
            gateways,
        })
    }

    /// The gateway that another declaration is to change.
    fn serving(&self, section: &Gateway) -> Option<&Serving> {
        let same = |serving: &&Serving| serving.declared.name == section.name;
        self.gateways.iter().find(same)
    }

    /// Closes connections that were not used for long.
    pub(crate) fn sweep(&self) {
        self.outgoing.pool.sweep();
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

/// What a realm wants of its host: all of it, or its path and the discovery documents that stand before that path.
fn realm_claims(path: &str) -> Vec<Claim> {
    match path {
        "/" => vec![Claim::Rest],
        path => vec![
            Claim::Below(path.to_owned()),
            Claim::Exact(format!("/.well-known/oauth-authorization-server{path}")),
            Claim::Exact(format!("/.well-known/openid-configuration{path}")),
        ],
    }
}

/// Asks the store's memory whether a token was revoked.
fn revoked(store: &Store) -> Revoked {
    let store = store.clone();
    Arc::new(move |jti| store.revocations().is_revoked(jti))
}

/// Services on their way into the table.
struct Services<'c> {
    listeners: &'c [Listener],
    hosts: BTreeMap<(&'c str, String), Routes>,
}

impl Services<'_> {
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
        for listener in self
            .listeners
            .iter()
            .filter(|listener| arrives_at(url, listener))
        {
            let routes = self
                .hosts
                .entry((listener.name.0.as_str(), url.host().to_owned()))
                .or_default();
            free &= routes.claim(claim, Arc::clone(site));
        }
        free
    }

    fn table(self) -> Table {
        let mut table = Table::new();
        for ((listener, host), routes) in self.hosts {
            table.insert(listener, &host, Arc::new(routes));
        }
        table
    }
}
