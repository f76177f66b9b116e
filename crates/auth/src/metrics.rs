//! What the authorization server counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of the front half: what people and clients went through.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Authorization requests.
    pub(crate) authorizations: Counter,
    /// Codes issued.
    pub(crate) codes: Counter,
    /// Refusals sent to clients by redirect.
    pub(crate) refusals: Counter,
    /// Successful logins.
    pub(crate) logins: Counter,
    /// Failed logins.
    pub(crate) logins_failed: Counter,
    /// Logins refused without a look at the password, after too many failures.
    pub(crate) logins_delayed: Counter,
    /// Consents given.
    pub(crate) consents: Counter,
    /// Clients that registered themselves.
    pub(crate) registrations: Counter,
    /// Codes redeemed.
    pub(crate) codes_redeemed: Counter,
    /// Refreshes that gave tokens.
    pub(crate) refreshes: Counter,
    /// Token requests that were refused.
    pub(crate) token_refusals: Counter,
    /// Grants revoked, for whatever reason.
    pub(crate) families_revoked: Counter,
}

impl Metrics {
    /// Makes the counters known.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("auth");
        registry.register(
            "authorizations",
            "Authorization requests",
            self.authorizations.clone(),
        );
        registry.register("codes", "Authorization codes issued", self.codes.clone());
        registry.register(
            "refusals",
            "Authorization requests refused by redirect",
            self.refusals.clone(),
        );
        registry.register("logins", "Successful logins", self.logins.clone());
        registry.register("logins_failed", "Failed logins", self.logins_failed.clone());
        registry.register(
            "logins_delayed",
            "Logins refused after too many failures",
            self.logins_delayed.clone(),
        );
        registry.register("consents", "Consents given", self.consents.clone());
        registry.register(
            "registrations",
            "Clients that registered themselves",
            self.registrations.clone(),
        );
        registry.register(
            "codes_redeemed",
            "Authorization codes redeemed",
            self.codes_redeemed.clone(),
        );
        registry.register(
            "refreshes",
            "Refreshes that gave tokens",
            self.refreshes.clone(),
        );
        registry.register(
            "token_refusals",
            "Token requests refused",
            self.token_refusals.clone(),
        );
        registry.register(
            "families_revoked",
            "Grants revoked",
            self.families_revoked.clone(),
        );
    }
}
