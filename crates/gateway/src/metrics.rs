//! What gateways count. Whatever is counted for each request is found once, when a gateway is made: counting then takes
//! neither a lock nor memory.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mcp::era::Era;
use mcp::method::Method;
use net::edge::remarks::Remarks;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use targets::error::CallError;
use targets::reply::{Answer, Outcome, Reply};

/// Counters of all gateways of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    /// Those of `requests` that were needed, by method and era.
    served: [[OnceLock<Counter>; 2]; Method::ALL.len()],
    pub(crate) refusals: Family<RefusalLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    seconds: Family<TargetLabels, Latency>,
}

/// A served request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    era: &'static str,
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusalLabels {
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    gateway: Arc<str>,
    target: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    gateway: Arc<str>,
    target: Arc<str>,
}

impl Metrics {
    /// Makes the counters visible.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_requests",
            "Requests served, by method and era",
            self.requests.clone(),
        );
        registry.register(
            "gateway_refusals",
            "Requests refused, by reason",
            self.refusals.clone(),
        );
        registry.register(
            "gateway_calls",
            "Calls to targets, by how they ended",
            self.calls.clone(),
        );
        registry.register(
            "gateway_call_seconds",
            "Time until the answer of a target, or the first message of its stream",
            self.seconds.clone(),
        );
    }

    /// Counts a request that was served.
    pub(crate) fn count_request(&self, method: Method, era: Era) {
        let (place, word) = match era {
            Era::Session => (0, "session"),
            Era::Stateless => (1, "stateless"),
        };
        let eras = self.served.get(method as usize);
        let Some(counter) = eras.and_then(|eras| eras.get(place)) else {
            return;
        };
        let made = || {
            let labels = RequestLabels {
                method: method.as_str(),
                era: word,
            };
            self.requests.get_or_create_owned(&labels)
        };
        counter.get_or_init(made).inc();
    }

    /// What is counted about the calls of a gateway to a target.
    pub(crate) fn calls(&self, gateway: &Arc<str>, target: &Arc<str>) -> Calls {
        Calls {
            ends: End::ALL.map(|end| {
                self.calls.get_or_create_owned(&CallLabels {
                    gateway: Arc::clone(gateway),
                    target: Arc::clone(target),
                    outcome: end.as_str(),
                })
            }),
            seconds: self.seconds.get_or_create_owned(&TargetLabels {
                gateway: Arc::clone(gateway),
                target: Arc::clone(target),
            }),
        }
    }
}

/// What is counted about the calls of one gateway to one target.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    ends: [Counter; End::ALL.len()],
    seconds: Latency,
}

impl Calls {
    /// Counts a call that ended after this long.
    pub(crate) fn count(&self, end: End, took: Duration) {
        if let Some(counter) = self.ends.get(end as usize) {
            counter.inc();
        }
        self.seconds.observe(took);
    }
}

/// How a call ended, as far as that is known when its answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a result, or a stream that may lead to one.
    Answered,
    /// With a result of which the tool says that it failed.
    ToolFailed,
    /// With a JSON-RPC error.
    Error,
    /// There was no connection, or it broke.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// With an HTTP status, or not at all because the target is spared.
    Refused,
    /// With something that is no answer.
    Broken,
    /// The caller took it back.
    Cancelled,
}

impl End {
    const ALL: [Self; 8] = [
        Self::Answered,
        Self::ToolFailed,
        Self::Error,
        Self::Unreachable,
        Self::TimedOut,
        Self::Refused,
        Self::Broken,
        Self::Cancelled,
    ];

    /// How a reply looks.
    pub(crate) fn of(reply: &Result<Reply, CallError>) -> Self {
        match reply {
            Ok(Reply::Stream(_)) => Self::Answered,
            Ok(Reply::One(answer)) => Self::of_answer(answer),
            Err(error) => Self::of_failure(error),
        }
    }

    /// How an answer looks.
    pub(crate) fn of_answer(answer: &Answer) -> Self {
        match &answer.outcome {
            Outcome::Error { .. } => Self::Error,
            Outcome::Result(_) if answer.tool_failed => Self::ToolFailed,
            Outcome::Result(_) => Self::Answered,
        }
    }

    /// What a call without an answer looks like.
    pub(crate) fn of_failure(error: &CallError) -> Self {
        match error {
            CallError::Unreachable(_) | CallError::NoAnswer(_) | CallError::ClosedMidStream => {
                Self::Unreachable
            }
            CallError::TimedOut(_) => Self::TimedOut,
            CallError::Cancelled => Self::Cancelled,
            CallError::TooLarge { .. }
            | CallError::NoCommonVersion { .. }
            | CallError::ProtocolViolation(_)
            | CallError::ListTooLong(_) => Self::Broken,
            // Its own refusals, and ours where it is spared.
            _ => Self::Refused,
        }
    }

    /// Whether the call failed, and it was not the caller who ended it.
    pub(crate) const fn is_failure(self) -> bool {
        !matches!(self, Self::Answered | Self::Cancelled)
    }

    /// Says in the line about a request at which target it failed, and how, if it did.
    pub(crate) fn remark(self, target: &Arc<str>, remarks: &mut Remarks) {
        if self.is_failure() {
            // Not `target`: in a log of JSON that is the module that speaks.
            remarks.add("target.name", Arc::clone(target));
            remarks.add(Remarks::FAILURE, self.as_str().into());
        }
    }

    /// The word for logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ToolFailed => "tool_failed",
            Self::Error => "error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The upper bounds of the buckets of a [`Latency`], in seconds.
const BOUNDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// A histogram of durations, counted without a lock.
#[derive(Clone, Debug, Default)]
pub struct Latency(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// One for each bound, and one for what is beyond all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let counts = self.0.counts.iter();
        let buckets: Vec<(f64, u64)> = bounds
            .zip(counts.map(|count| count.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.micros.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_gateway_target_and_end_and_how_long_they_took() {
        let metrics = Metrics::default();
        let mut registry = Registry::with_prefix("sekisho");
        metrics.register(&mut registry);
        let [calls, _] = ["a", "b"].map(|target| metrics.calls(&"g".into(), &target.into()));
        calls.count(End::Answered, Duration::from_millis(3));
        calls.count(End::Answered, Duration::from_secs(100));
        calls.count(End::TimedOut, Duration::from_millis(1));
        metrics.count_request(Method::ToolsCall, Era::Stateless);
        metrics.count_request(Method::ToolsCall, Era::Stateless);
        metrics.count_request(Method::Ping, Era::Session);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"sekisho_gateway_calls_total{gateway="g",target="a",outcome="answered"} 2"#,
            r#"sekisho_gateway_calls_total{gateway="g",target="a",outcome="timed_out"} 1"#,
            r#"sekisho_gateway_calls_total{gateway="g",target="b",outcome="answered"} 0"#,
            r#"sekisho_gateway_requests_total{method="tools/call",era="stateless"} 2"#,
            r#"sekisho_gateway_requests_total{method="ping",era="session"} 1"#,
            r#"sekisho_gateway_call_seconds_sum{gateway="g",target="a"} 100.004"#,
            r#"sekisho_gateway_call_seconds_count{gateway="g",target="a"} 3"#,
            r#"sekisho_gateway_call_seconds_bucket{le="0.001",gateway="g",target="a"} 1"#,
            r#"sekisho_gateway_call_seconds_bucket{le="0.005",gateway="g",target="a"} 2"#,
            r#"sekisho_gateway_call_seconds_bucket{le="+Inf",gateway="g",target="a"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_method_has_a_place() {
        for (method, word) in Method::ALL {
            assert!((method as usize) < Method::ALL.len(), "{word}");
        }
    }

    #[test]
    fn each_end_is_counted_where_its_word_is() {
        for (place, end) in End::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, place, "{}", end.as_str());
        }
    }
}
