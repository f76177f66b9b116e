//! How much fetching strangers may cause.

use std::time::Duration;

/// The budgets of SEC-27.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Fetches at the same time.
    pub in_flight: usize,
    /// Fetches at the same time per origin.
    pub in_flight_per_origin: usize,
    /// Fetches per minute per origin.
    pub per_origin: u32,
    /// Fetches per minute per source address.
    pub per_source: u32,
    /// How long a fetch waits for its turn.
    pub patience: Duration,
}

/// Which budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetRefusal {
    /// Too many fetches at the same time.
    #[error("too many fetches at the same time")]
    Busy,
    /// Too many fetches from this origin at the same time.
    #[error("too many fetches from this origin at the same time")]
    OriginBusy,
    /// Too many fetches from this origin in the last minute.
    #[error("too many fetches from this origin")]
    OriginRate,
    /// This source address caused too many fetches in the last minute.
    #[error("too many fetches caused by this address")]
    SourceRate,
}

/// Counts fetches, over several caches.
#[derive(Debug)]
pub struct Budgets {}

impl Budgets {
    /// Full budgets.
    pub fn new(settings: BudgetSettings) -> Self {
        todo!()
    }
}
