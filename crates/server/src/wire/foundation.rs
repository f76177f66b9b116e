//! What outlives a configuration: the store, the clock, certificates, counters.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use auth::DeclaredUsers;
use auth::password_pool::PasswordPool;
use model::clock::{Clock, SystemClock};
use net::edge::workers::Workers;
use net::egress::documents::WallClock;
use net::egress::pool;
use oauth::causes::with_causes;
use prometheus_client::registry::Registry;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, Watch};
use crate::readiness::Readiness;
use crate::telemetry::connections::Connections;
use crate::telemetry::lists::Lists;
use crate::telemetry::request_log::RequestLog;
use crate::telemetry::store_health::StoreHealth;
use crate::wire::database::{self, Begin};
use crate::wire::descriptors::{self, Shares};
use crate::wire::listening::Keeper;
use crate::wire::outgoing::Resolvers;
use crate::wire::plan::Plan;
use crate::wire::{removed_users, sealing, users};

/// How often what has expired is looked for.
const CLEANUP: Duration = Duration::from_mins(10);

/// What outlives a configuration.
pub(crate) struct Foundation {
    /// Tells the time on which all nodes agree.
    pub(crate) clock: Arc<dyn Clock>,
    /// Tells the time of this machine.
    local: Arc<dyn Clock>,
    /// Serve the connections of all listeners.
    pub(crate) workers: Arc<Workers>,
    /// How many connections each side may have.
    pub(crate) shares: Shares,
    /// The certificates of all listeners.
    pub(crate) certificates: Keeper,
    /// The database.
    pub(crate) store: Store,
    /// Seals session ids of gateways.
    pub(crate) session_key: [u8; 32],
    /// Checks and hashes passwords.
    pub(crate) passwords: PasswordPool,
    /// Whether the users of the configuration can log in.
    pub(crate) declared_users: DeclaredUsers,
    /// Whether requests are welcome.
    pub(crate) readiness: Arc<Readiness>,
    /// Marks which declared secret a password was made of.
    declared_secrets: [u8; 32],
    /// What gateways remember of clients.
    pub(crate) memory: Arc<gateway::memory::Memory>,
    /// What the issuers that gateways trust have said.
    pub(crate) issuers: gateway::issuers::Known,
    /// Look names up.
    pub(crate) resolvers: Resolvers,
    /// Watches over everything that is served.
    pub(crate) watch: Arc<Watch>,
    /// What is counted by authorization servers.
    pub(crate) auth: auth::Metrics,
    /// What is counted by gateways.
    pub(crate) gateway: Arc<gateway::metrics::Metrics>,
    /// Background work, so that the end can wait for it.
    pub(crate) tasks: TaskTracker,
    /// Ends the background work of the foundation itself.
    stop: CancellationToken,
}

impl Foundation {
    /// Opens everything, and makes what is made on first use.
    pub(crate) async fn lay(
        plan: &Plan,
        log: RequestLog,
        ready: Arc<AtomicBool>,
    ) -> anyhow::Result<(Self, Registry)> {
        let local: Arc<dyn Clock> = Arc::new(SystemClock);
        let shares = Shares::of(descriptors::raise_limit(), &plan.loaded.config);
        let certificates = Keeper::open(&plan.loaded, wall(&*local)).await?;
        let (store, key) = database::open(&plan.storage, Begin::IfNew).await?;
        // What its clock says must be known before it counts; whatever else is wrong is watched.
        let _ = store::health::look(&store, &*local).await;
        let clock = store::health::clock(&store, Arc::clone(&local));
        let mut registry = Registry::with_prefix("sekisho");
        registry.register(
            "log_lines_dropped",
            "Lines of the log that were dropped because its reader did not keep up",
            log.dropped(),
        );
        registry.register_collector(Box::new(Connections(shares.clone())));
        registry.register_collector(Box::new(StoreHealth(store.clone())));
        let metrics = access::Metrics::register(&mut registry);
        let auth = auth::Metrics::default();
        auth.register(&mut registry);
        let gateway = Arc::new(gateway::metrics::Metrics::default());
        gateway.register(&mut registry);
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random).context("the system gives no random bytes")?;
        let process = u32::from_le_bytes(random);
        let declared_users = DeclaredUsers::default();
        let readiness = Readiness::new(ready, store.clone(), declared_users.clone());
        let readiness = Arc::new(readiness);
        registry.register_collector(Box::new(Lists(Arc::clone(&readiness))));
        let foundation = Self {
            watch: Watch::new(metrics, log, Arc::clone(&local), process),
            workers: Arc::new(workers(plan)?),
            shares,
            certificates,
            session_key: sealing::derived(&key, "gateway sessions")?,
            passwords: PasswordPool::default(),
            readiness,
            declared_users,
            declared_secrets: sealing::derived(&key, "declared secrets of users")?,
            memory: Arc::default(),
            issuers: gateway::issuers::Known::new(&wall_clock(&local)),
            resolvers: Resolvers::default(),
            store,
            clock,
            local,
            auth,
            gateway,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Ok((foundation, registry))
    }

    /// Starts what runs beside the requests.
    pub(crate) fn start(&self) {
        store::health::watch(
            &self.store,
            Arc::clone(&self.local),
            &self.tasks,
            self.stop.clone(),
        );
        store::revocation::tail(
            &self.store,
            Arc::clone(&self.clock),
            &self.tasks,
            self.stop.clone(),
        );
        let (store, clock, stop) = (
            self.store.clone(),
            Arc::clone(&self.clock),
            self.stop.clone(),
        );
        self.tasks.spawn(async move {
            let mut ticks =
                tokio::time::interval_at(tokio::time::Instant::now() + CLEANUP, CLEANUP);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                match store::cleanup::run(&store, clock.now()).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::debug!(rows, "what had expired was deleted"),
                    // That is said where the database is watched.
                    Err(error) if error.is_outage() => {}
                    Err(error) => tracing::error!(
                        error = with_causes(&error),
                        "what has expired could not be deleted"
                    ),
                }
            }
        });
    }

    /// Brings the store up to what the configuration declares.
    pub(crate) async fn reconcile_users(&self, plan: &Plan) -> anyhow::Result<()> {
        // Whoever must not get in any more comes first: the passwords of others take a while.
        removed_users::settle(&self.store, plan, self.clock.now()).await?;
        let declaring = users::Declaring {
            store: &self.store,
            passwords: &self.passwords,
            key: &self.declared_secrets,
            now: self.clock.now(),
        };
        declaring.reconcile(&plan.realms).await?;
        removed_users::note(&self.store, plan).await?;
        self.declared_users.arrived();
        Ok(())
    }

    /// Ends background work, waits for it this long, and closes the store.
    pub(crate) async fn end(self, patience: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("background work did not end in time");
        }
        self.store.close().await;
    }

    /// Becomes cancelled when everything ends.
    pub(crate) fn stopped(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// How many unused connections to one server each worker keeps: together they leave room for other servers.
    pub(crate) fn idle_connections(&self) -> usize {
        let share = self.shares.outgoing.limits().all / (8 * self.workers.count());
        share.clamp(1, pool::Settings::default().max_idle)
    }

    /// The wall time, for certificates.
    pub(crate) fn wall(&self) -> SystemTime {
        wall(&*self.local)
    }

    /// The certificate of the local CA.
    pub(crate) fn local_ca_pem(&self) -> Option<&str> {
        self.certificates
            .local_ca()
            .map(net::edge::local_ca::LocalCa::certificate_pem)
    }
}

/// The wall clock for HTTP dates.
pub(crate) fn wall_clock(clock: &Arc<dyn Clock>) -> WallClock {
    let clock = Arc::clone(clock);
    Arc::new(move || wall(&*clock))
}

/// A clock's time as the standard library's.
pub(crate) fn wall(clock: &dyn Clock) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(clock.now().millis()).unwrap_or_default())
}

/// As many threads as the configuration says, or one for each processor that we may use.
fn workers(plan: &Plan) -> anyhow::Result<Workers> {
    let count = match plan.loaded.config.worker_threads {
        Some(count) => count.into(),
        None => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    Workers::start(count).context("the system gives no threads")
}
