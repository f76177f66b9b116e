//! Load from threads, one connection each: as fast as answers come, or at a fixed pace.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of a benchmark are far below 2^52, and never negative"
)]

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::http::Connection;
use crate::shell::clock;

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) requests: u64,
    pub(super) seconds: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Sample {
    /// Requests per second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// How a load is shaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) connections: usize,
    pub(super) length: Duration,
    /// Requests per second over all connections; none means as fast as answers come.
    pub(super) pace: Option<u32>,
}

/// Sends the same request over and over; every answer must be 200 and contain `expected`.
pub(super) fn run(
    address: SocketAddr,
    request: &[u8],
    expected: &[u8],
    shape: Shape,
) -> Result<Sample> {
    let started = clock();
    let parts: Vec<Result<Vec<u32>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shape.connections)
            .map(|index| scope.spawn(move || one(address, request, expected, shape, index)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| bail!("a load thread ended badly"))
            })
            .collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    all.sort_unstable();
    Ok(Sample {
        requests: all.len() as u64,
        seconds,
        p50: quantile(&all, 0.50)?,
        p99: quantile(&all, 0.99)?,
    })
}

/// The latencies of one connection, in microseconds.
fn one(
    address: SocketAddr,
    request: &[u8],
    expected: &[u8],
    shape: Shape,
    index: usize,
) -> Result<Vec<u32>> {
    let mut connection = Connection::open(address)?;
    let mut latencies = Vec::with_capacity(1 << 16);
    let gap = shape
        .pace
        .map(|pace| Duration::from_secs_f64(shape.connections as f64 / f64::from(pace)));
    let begin = clock();
    // Connections take turns, so that a paced load is even.
    let mut due = gap.map_or(Duration::ZERO, |gap| {
        gap.mul_f64(index as f64 / shape.connections as f64)
    });
    loop {
        if let Some(gap) = gap {
            if let Some(wait) = due.checked_sub(begin.elapsed()) {
                std::thread::sleep(wait);
            }
            due += gap;
        }
        let sent = begin.elapsed();
        if sent >= shape.length {
            return Ok(latencies);
        }
        let answer = connection.round_trip(request)?;
        if answer.status != 200 || !contains(&answer.body, expected) {
            bail!(
                "an answer that was not expected: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        latencies.push(
            u32::try_from(begin.elapsed().saturating_sub(sent).as_micros()).unwrap_or(u32::MAX),
        );
    }
}

fn contains(body: &[u8], expected: &[u8]) -> bool {
    body.windows(expected.len())
        .any(|window| window == expected)
}

fn quantile(sorted: &[u32], share: f64) -> Result<Duration> {
    let index = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    let micros = sorted.get(index).context("no requests")?;
    Ok(Duration::from_micros(u64::from(*micros)))
}
