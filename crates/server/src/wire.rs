//! The only place where everything meets: from a configuration to a running program, and from that to its end.
//!
//! Requests go: listener (`net::edge::listen`) → `access` (number, log, count) → host name (`net::edge::hosts`) → path
//! (`routes`) → the service. Two things live longer than a configuration: the sockets and the store ([`foundation`]).
//! Everything else is a [`generation`], of which a reload carries over what did not change.

mod announce;
pub(crate) mod database;
pub(crate) mod descriptors;
mod foundation;
mod generation;
mod listening;
mod outgoing;
pub(crate) mod plan;
mod removed_users;
mod sealing;
mod signals;
mod unchangeable;
pub(crate) mod users;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use net::edge::hosts::{Hosts, Table};
use net::edge::{Site, listen};
use oauth::causes::with_causes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::by_name::ByName;
use crate::config::listener::Listener as Configured;
use crate::config::{Invalid, Loaded};
use crate::control;
use crate::control::server::{ControlSocket, Desk};
use crate::demo::mcp_server::DemoMcpServer;
use crate::files;
use crate::management::Management;
use crate::readiness::Served;
use crate::telemetry::request_log::RequestLog;
use crate::wire::foundation::Foundation;
use crate::wire::generation::Generation;
use crate::wire::plan::Plan;
use crate::wire::signals::{Signals, Told};

/// How often unused connections are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// How often certificates are looked at.
const RENEWAL: Duration = Duration::from_hours(6);

/// How soon after a signal another one is taken for its echo.
const ECHO: Duration = Duration::from_secs(1);

/// How long background work may take to end once nobody asks for it any more.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Where the configuration can be read again.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Nowhere.
    Fixed,
    /// In this file.
    File(PathBuf),
}

/// The addresses that are listened on, with their real ports.
#[derive(Debug, Serialize)]
pub(crate) struct Addresses {
    /// Of the listeners, by name.
    listeners: BTreeMap<String, SocketAddr>,
    /// Of the management listener.
    management: SocketAddr,
}

/// Runs until a signal ends it. `on_ready` is called once, when requests are answered.
pub(crate) async fn run(
    plan: Plan,
    source: &Source,
    log: RequestLog,
    on_ready: impl FnOnce(&Addresses) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals can't be listened for")?;
    let ready = Arc::new(AtomicBool::new(false));
    let plan = Arc::new(plan);
    let (mut foundation, registry) = Foundation::lay(&plan, log, Arc::clone(&ready)).await?;
    let sockets = Sockets::bind(&plan, &mut foundation).await?;
    let generation = Generation::start(&plan, &foundation, None).await?;
    generation.take_over(&foundation);
    foundation.readiness.serves(served(&plan, &generation));
    let hosts = Arc::new(Hosts::new(generation.table.clone()));
    let serving = Serving::default();
    // What is asked until the end: by operators, and by our own gateways.
    let serving_to_the_end = Serving::default();
    let addresses = sockets.addresses();
    for bound in &sockets.listeners {
        announce::listener(&plan, &bound.configured, bound.listener.address());
    }
    tracing::info!("listening on http://{} for operators", addresses.management);
    announce::configuration(&plan);

    for Bound { listener, .. } in sockets.listeners {
        let access = Access::new(
            Arc::clone(&hosts) as Arc<dyn Site>,
            Arc::clone(&foundation.watch),
            Arc::clone(listener.name()),
        );
        serving.serve(listener, Arc::new(access));
    }
    let management = Management::new(registry, Arc::clone(&foundation.readiness));
    let names = plan.loaded.config.management.hosts.clone();
    let management = ByName::new(Arc::new(management), addresses.management, names);
    serving_to_the_end.serve(sockets.management, Arc::new(management));
    if let Some(listener) = sockets.demo_mcp_server {
        let mut table = Table::new();
        table.insert_any_host("demo-mcp-server", Arc::new(DemoMcpServer::new()));
        let site = Access::new(
            Arc::new(Hosts::new(table)),
            Arc::clone(&foundation.watch),
            Arc::clone(listener.name()),
        );
        serving_to_the_end.serve(listener, Arc::new(site));
    }
    foundation.start();
    // Hashing the passwords of many users takes a while, in which everything else is served and signals are heeded.
    let mut told_to_reload = false;
    let mut told_to_end = tokio::select! {
        reconciled = foundation.reconcile_users(&plan) => {
            reconciled?;
            false
        }
        () = async { while signals.next().await != Told::End { told_to_reload = true; } } => true,
    };
    let current = Arc::new(ArcSwap::new(Arc::clone(&plan)));
    if !told_to_end {
        if let Some(path) = control::place(&plan) {
            let desk = Desk {
                plan: Arc::clone(&current),
                store: foundation.store.clone(),
                clock: Arc::clone(&foundation.clock),
                readiness: Arc::clone(&foundation.readiness),
            };
            serving_to_the_end.take_commands(path, desk).await;
        }
        ready.store(true, Ordering::Relaxed);
        on_ready(&addresses)?;
    }

    let mut running = Running {
        plan,
        current,
        generation,
        hosts,
        foundation,
    };
    let mut sweep = tokio::time::interval(SWEEP);
    let mut renewal = tokio::time::interval_at(tokio::time::Instant::now() + RENEWAL, RENEWAL);
    while !told_to_end {
        if std::mem::take(&mut told_to_reload) {
            match source {
                Source::File(path) => running.reload(path).await,
                Source::Fixed => tracing::warn!("there is no configuration file to read again"),
            }
        }
        tokio::select! {
            told = signals.next() => match told {
                Told::End => told_to_end = true,
                Told::Reload => told_to_reload = true,
            },
            _ = sweep.tick() => running.generation.sweep(),
            _ = renewal.tick() => running.renew_certificates().await,
        }
    }
    ready.store(false, Ordering::Relaxed);
    let lame_duck = &running.plan.loaded.config.shutdown.lame_duck;
    let in_order = async {
        if !lame_duck.0.is_zero() {
            tracing::info!(
                "told to end: requests are taken for another {lame_duck}, while `/readyz` sends them elsewhere"
            );
            tokio::time::sleep(lame_duck.0).await;
        }
        tracing::info!("ending: requests under way are answered, new ones are not taken");
        // Streams that wait for news end properly, before their connections are told to.
        running.generation.give_way(None).await;
        serving.end().await;
    };
    tokio::select! {
        () = in_order => {}
        () = insisted(&mut signals) => {
            tracing::warn!("told once more: ending at once");
            running.generation.give_way(None).await;
            // Connections without a request end by themselves; what is left is not waited for.
            if tokio::time::timeout(ECHO, serving.end()).await.is_err() {
                let left = running.foundation.shares.incoming.taken();
                serving.cut.fetch_add(left.max(1), Ordering::Relaxed);
            }
        }
    }
    if tokio::time::timeout(LAST_PATIENCE, serving_to_the_end.end())
        .await
        .is_err()
    {
        tracing::warn!("an operator's request did not end in time");
    }
    running.foundation.end(LAST_PATIENCE).await;
    tracing::info!("ended");
    match serving.cut.load(Ordering::Relaxed) {
        0 => Ok(()),
        connections => Err(CutShort { connections }.into()),
    }
}

/// Everything ended, but not everything that was under way was answered.
#[derive(Debug, thiserror::Error)]
#[error("requests under way on {connections} connections were cut; hint: see `shutdown.drain`")]
pub(crate) struct CutShort {
    connections: usize,
}

/// What readiness is judged by while this configuration serves.
fn served(plan: &Plan, generation: &Generation) -> Served {
    Served {
        realms: !plan.realms.is_empty(),
        gateways: generation.gateways(),
        needs: plan.loaded.config.management.ready_needs.clone(),
    }
}

/// Waits for a signal that says once more to end. Some who send signals send each twice; that counts once.
async fn insisted(signals: &mut Signals) {
    let begun = tokio::time::Instant::now();
    while signals.next().await != Told::End || begun.elapsed() < ECHO {}
}

/// A listener of the configuration that is bound.
struct Bound {
    configured: Configured,
    listener: listen::Listener,
}

/// Sockets that are bound and not served yet.
struct Sockets {
    listeners: Vec<Bound>,
    management: listen::Listener,
    demo_mcp_server: Option<listen::Listener>,
}

impl Sockets {
    /// Binds all addresses, or none.
    async fn bind(plan: &Plan, foundation: &mut Foundation) -> anyhow::Result<Self> {
        let config = &plan.loaded.config;
        let mut listeners = Vec::new();
        for (index, listener) in config.listeners.iter().enumerate() {
            let settings = listen::Settings {
                workers: Some(Arc::clone(&foundation.workers)),
                ..foundation
                    .certificates
                    .settings(&plan.loaded, index, listener, &foundation.shares.incoming)
                    .await?
            };
            listeners.push(Bound {
                configured: listener.clone(),
                listener: bind(settings).await?,
            });
        }
        let management = listen::Settings {
            places: Arc::clone(&foundation.shares.management),
            ..plain("management", config.management.address.0)
        };
        let management = bind(management).await?;
        let demo_mcp_server = match config
            .demo_mcp_server
            .as_ref()
            .and_then(|demo| demo.address.as_ref())
        {
            Some(address) => {
                let settings = listen::Settings {
                    workers: Some(Arc::clone(&foundation.workers)),
                    places: Arc::clone(&foundation.shares.demo),
                    ..plain("demo-mcp-server", address.0)
                };
                Some(bind(settings).await?)
            }
            None => None,
        };
        Ok(Self {
            listeners,
            management,
            demo_mcp_server,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            listeners: self
                .listeners
                .iter()
                .map(|bound| (bound.configured.name.0.clone(), bound.listener.address()))
                .collect(),
            management: self.management.address(),
        }
    }
}

async fn bind(settings: listen::Settings) -> anyhow::Result<listen::Listener> {
    let (name, address) = (Arc::clone(&settings.name), settings.address);
    let bound = listen::Listener::bind(settings).await;
    bound.map_err(|error| {
        anyhow::anyhow!(
            "the listener `{name}` can't listen on {address}: {}",
            files::reason(&error)
        )
    })
}

/// A listener of our own, beside those of the configuration.
fn plain(name: &str, address: SocketAddr) -> listen::Settings {
    listen::Settings::plain(name, address)
}

/// Listeners that are being served, and end together.
#[derive(Default)]
struct Serving {
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Connections that did not end by themselves.
    cut: Arc<AtomicUsize>,
}

impl Serving {
    fn serve(&self, listener: listen::Listener, site: Arc<dyn Site>) {
        let (stop, all_cut) = (self.stop.clone(), Arc::clone(&self.cut));
        self.tracker.spawn(async move {
            let cut = listener.serve(site, stop).await;
            all_cut.fetch_add(cut, Ordering::Relaxed);
            if cut > 0 {
                tracing::warn!(
                    connections = cut,
                    "connections outlasted the time to end and were cut"
                );
            }
        });
    }

    /// Takes what commands ask for, at a socket of operators, if there can be one.
    async fn take_commands(&self, path: PathBuf, desk: Desk) {
        match ControlSocket::bind(path.clone()).await {
            Ok(socket) => {
                tracing::info!("commands are taken at `{}`", socket.path().display());
                self.tracker.spawn(socket.serve(desk, self.stop.clone()));
            }
            Err(error) => tracing::warn!(
                error = with_causes(&*error),
                "no commands are taken at `{}`; those that write to the database need another way",
                path.display()
            ),
        }
    }

    /// Takes no more requests, and waits for those under way.
    async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// What runs, and what a reload replaces in it.
struct Running {
    plan: Arc<Plan>,
    /// The same, for who asks meanwhile.
    current: Arc<ArcSwap<Plan>>,
    generation: Generation,
    hosts: Arc<Hosts>,
    foundation: Foundation,
}

impl Running {
    /// Replaces the configuration by what is in the file now, or says why not.
    async fn reload(&mut self, path: &std::path::Path) {
        let replaced = match self.read_again(path) {
            Ok(plan) => match self.is_the_same(&plan) {
                Ok(true) => return self.go_on().await,
                Ok(false) => self.replace(plan).await,
                Err(error) => Err(error),
            },
            Err(invalid) => {
                for problem in &invalid.problems {
                    tracing::error!(
                        file = problem.file,
                        line = problem.line,
                        path = problem.path,
                        hint = problem.hint.as_deref().unwrap_or_default(),
                        "{}:{}: {}: {}",
                        problem.file,
                        problem.line,
                        problem.path,
                        problem.message,
                    );
                }
                Err(anyhow::anyhow!(
                    "{} problems in `{}`",
                    invalid.problems.len(),
                    path.display()
                ))
            }
        };
        match replaced {
            Ok(()) => tracing::info!("the configuration was replaced"),
            Err(error) => tracing::error!(
                error = with_causes(&*error),
                "the configuration was not replaced"
            ),
        }
    }

    fn read_again(&self, path: &std::path::Path) -> Result<Plan, Invalid> {
        let plan = Plan::new(Loaded::read(path)?)?;
        unchangeable::check(&self.plan.loaded, &plan.loaded)?;
        Ok(plan)
    }

    /// Goes on as before. Certificates may have come into the same files.
    async fn go_on(&self) {
        self.renew_certificates().await;
        tracing::info!(
            "the configuration says what it said: nothing was replaced; the files of certificates are read again"
        );
    }

    fn is_the_same(&self, plan: &Plan) -> anyhow::Result<bool> {
        Ok(self.plan.says_the_same(plan)
            && self
                .generation
                .is_outgoing_declared_so(&plan.loaded, &self.foundation)?)
    }

    async fn replace(&mut self, plan: Plan) -> anyhow::Result<()> {
        let before = Some(&self.generation);
        let generation = Generation::start(&plan, &self.foundation, before).await?;
        generation.settle().await;
        if let Err(error) = self.prepare(&plan).await {
            generation.give_way(before).await;
            return Err(error);
        }
        generation.take_over(&self.foundation);
        self.hosts.replace(generation.table.clone());
        self.foundation.readiness.serves(served(&plan, &generation));
        self.generation.give_way(Some(&generation)).await;
        self.generation = generation;
        self.plan = Arc::new(plan);
        self.current.store(Arc::clone(&self.plan));
        announce::configuration(&self.plan);
        Ok(())
    }

    /// What can still fail before the new configuration takes over.
    async fn prepare(&self, plan: &Plan) -> anyhow::Result<()> {
        self.foundation
            .certificates
            .renew(&plan.loaded, self.foundation.wall())
            .await?;
        self.foundation.reconcile_users(plan).await
    }

    async fn renew_certificates(&self) {
        if let Err(error) = self
            .foundation
            .certificates
            .renew(&self.plan.loaded, self.foundation.wall())
            .await
        {
            tracing::error!(
                error = with_causes(&*error),
                "certificates could not be renewed"
            );
        }
    }
}
