//! What outlives a configuration: the store, the clock, certificates, counters.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::clock::{Clock, SystemClock};
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use crate::access;
use crate::wire::listening::Keeper;
use crate::wire::sealing;
use crate::wire::plan::Plan;

/// What outlives a configuration.
pub(crate) struct Foundation {
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The certificates of all listeners.
    pub(crate) certificates: Keeper,
    /// The database.
    pub(crate) store: Store,
    /// Seals session ids of gateways.
    pub(crate) session_key: [u8; 32],
    /// What is counted about requests.
    pub(crate) access: access::Metrics,
    /// What is counted by gateways.
    pub(crate) gateway: Arc<gateway::metrics::Metrics>,
    /// Background work of services, so that the end can wait for it.
    pub(crate) tasks: TaskTracker,
    /// Tells this process from others.
    pub(crate) process: u32,
}

impl Foundation {
    /// Opens everything, and makes what is made on first use.
    pub(crate) async fn lay(plan: &Plan) -> anyhow::Result<(Self, Registry)> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let certificates = Keeper::open(&plan.loaded, wall(&*clock)).await?;
        let key = sealing::key(&plan.storage.key)?;
        let session_key = sealing::derived(&key, "gateway sessions")?;
        let store = Store;
        let mut registry = Registry::default();
        let access = access::Metrics::register(&mut registry);
        let gateway = Arc::new(gateway::metrics::Metrics::default());
        gateway.register(&mut registry);
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random)?;
        let process = u32::from_le_bytes(random);
        let tasks = TaskTracker::new();
        Ok((Self { clock, certificates, store, session_key, access, gateway, tasks, process }, registry))
    }

    pub(crate) async fn reconcile_users(&self, _: &Plan) -> anyhow::Result<()> { Ok(()) }
    pub(crate) async fn close(self) {}

    /// The wall time, for certificates and HTTP dates.
    pub(crate) fn wall(&self) -> SystemTime {
        wall(&*self.clock)
    }

    /// The certificate of the local CA.
    pub(crate) fn local_ca_pem(&self) -> Option<&str> {
        self.certificates.local_ca().map(net::edge::local_ca::LocalCa::certificate_pem)
    }
}

fn wall(clock: &dyn Clock) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now().millis()).unwrap_or_default())
}

#[derive(Clone)] pub(crate) struct Store;
impl Store { pub(crate) async fn ping(&self) -> anyhow::Result<()> { Ok(()) } }
