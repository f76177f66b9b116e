//! How the store fares, as metrics: asked for when somebody looks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use store::Store;

/// Shows the health of a store.
#[derive(Debug)]
pub(crate) struct StoreHealth(pub(crate) Store);

impl Collector for StoreHealth {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let available = i64::from(self.0.failure().is_none());
        let ahead = self.0.clock_ahead();
        for (name, help, value) in [
            (
                "store_available",
                "Whether the database answered and could be written to when it was last looked at",
                available,
            ),
            (
                "store_clock_ahead_milliseconds",
                "By how much the database's clock is ahead of this machine's, where that counts",
                ahead,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}
