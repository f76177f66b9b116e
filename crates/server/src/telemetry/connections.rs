//! What is counted about connections: how many there are, and how often there was no place for one.

use std::fmt;
use std::hash::Hash;

use net::edge::places::{NoPlace, Places};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::wire::descriptors::Shares;

/// Asks the places when the metrics are read, so that a connection costs nothing more.
#[derive(Debug)]
pub(crate) struct Connections(pub(crate) Shares);

/// How many are taken, and how often there was none because of all and because of one.
fn counts<K: Eq + Hash + Clone>(places: &Places<K>) -> (u64, [u64; 2]) {
    let taken = u64::try_from(places.taken()).unwrap_or(u64::MAX);
    let refused = [NoPlace::Full, NoPlace::Share].map(|why| places.refused(why));
    (taken, refused)
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(shares) = self;
        let sides = [
            ("incoming", counts(&shares.incoming)),
            ("outgoing", counts(&shares.outgoing)),
            ("management", counts(&shares.management)),
        ];
        let mut gauge = encoder.encode_descriptor(
            "connections",
            "Connections at the moment",
            None,
            MetricType::Gauge,
        )?;
        for (side, (taken, _)) in &sides {
            let taken = ConstGauge::new(i64::try_from(*taken).unwrap_or(i64::MAX));
            taken.encode(gauge.encode_family(&[("side", *side)])?)?;
        }
        let mut counter = encoder.encode_descriptor(
            "connections_refused",
            "Connections for which there was no place, because all were taken (`full`) or all of one address or server (`share`)",
            None,
            MetricType::Counter,
        )?;
        for (side, (_, [full, share])) in &sides {
            for (reason, count) in [("full", *full), ("share", *share)] {
                let labels = [("side", *side), ("reason", reason)];
                ConstCounter::new(count).encode(counter.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
