//! What targets list, and since when, as metrics: asked for when somebody looks.

use std::fmt;
use std::sync::Arc;

use gateway::ListState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::readiness::Readiness;

/// Shows the lists of the gateways that are served.
#[derive(Debug)]
pub(crate) struct Lists(pub(crate) Arc<Readiness>);

impl Collector for Lists {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gateways = self.0.gateways();
        let mut states: Vec<(&str, ListState)> = Vec::new();
        for gateway in &gateways {
            let lists = gateway.lists().into_iter();
            states.extend(lists.map(|state| (gateway.name(), state)));
        }
        let mut ages = encoder.encode_descriptor(
            "gateway_list_age",
            "Since a target last listed what it has",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (gateway, state) in &states {
            let Some(age) = state.age else { continue };
            ConstGauge::new(age.as_secs_f64())
                .encode(ages.encode_family(&labels(gateway, state))?)?;
        }
        let mut entries = encoder.encode_descriptor(
            "gateway_list_entries",
            "What a target last listed",
            None,
            MetricType::Gauge,
        )?;
        for (gateway, state) in &states {
            let Some(count) = state.entries else { continue };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(entries.encode_family(&labels(gateway, state))?)?;
        }
        Ok(())
    }
}

fn labels<'a>(gateway: &'a str, state: &'a ListState) -> [(&'static str, &'a str); 3] {
    [
        ("gateway", gateway),
        ("target", &state.target),
        ("list", state.feature.word()),
    ]
}
