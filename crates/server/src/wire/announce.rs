//! What is said at start-up: what is listening, for which hosts, what is disabled, and what is dangerous.

use std::net::SocketAddr;

use model::client_policy::Mode;

use crate::config::convert::listener::hosts;
use crate::config::listener::Listener;
use crate::config::realm::UsersRemoved;
use crate::wire::plan::Plan;

/// Says where a listener is and for whom.
pub(crate) fn listener(plan: &Plan, listener: &Listener, address: SocketAddr) {
    let scheme = if listener.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let hosts = hosts(&plan.loaded.config, listener).join(", ");
    if hosts.is_empty() {
        tracing::warn!(
            listener = listener.name.0,
            "nothing is served on {scheme}://{address}: no URL of the configuration arrives there"
        );
        return;
    }
    tracing::info!(
        listener = listener.name.0,
        hosts,
        "listening on {scheme}://{address} for {hosts}"
    );
}

/// Says what the configuration makes of the program.
pub(crate) fn configuration(plan: &Plan) {
    let config = &plan.loaded.config;
    for declared in &config.realms {
        let realm = &declared.realm;
        let clients = match realm.cimd.mode {
            Mode::Off => "client metadata documents are off",
            Mode::Allowlist => "client metadata documents of trusted domains",
            Mode::Approval => "client metadata documents that an operator approved",
            Mode::Open => "client metadata documents of anybody",
        };
        tracing::info!(
            realm = realm.name.as_str(),
            issuer = realm.issuer.as_str(),
            clients,
            "realm `{}` is the issuer {}",
            realm.name.as_str(),
            realm.issuer
        );
        let fate = match declared.users_removed {
            UsersRemoved::Disable => "disabled",
            UsersRemoved::Keep => "kept",
        };
        tracing::info!(
            realm = realm.name.as_str(),
            "users who are taken out of the configuration are {fate} (`users_removed`)"
        );
    }
    for gateway in &config.gateways {
        let targets: Vec<&str> = gateway
            .targets
            .iter()
            .map(|target| target.name.as_str())
            .collect();
        tracing::info!(
            gateway = gateway.name.as_str(),
            url = gateway.url.plain(),
            targets = targets.join(", "),
            "gateway `{}` is at {}",
            gateway.name,
            gateway.url
        );
    }
    for (section, absent) in [
        ("authorization server", config.realms.is_empty()),
        ("gateway", config.gateways.is_empty()),
        ("documents", config.documents.is_empty()),
    ] {
        if absent {
            tracing::info!("disabled: {section}");
        }
    }
    for warning in &plan.warnings {
        tracing::warn!(
            line = warning.line,
            hint = warning.hint,
            "{}: {}",
            warning.path,
            warning.message
        );
    }
    for danger in &plan.dangers {
        tracing::warn!(
            switch = danger.path,
            "danger: {}: {}",
            danger.path,
            danger.meaning
        );
    }
}
