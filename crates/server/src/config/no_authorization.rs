//! Who may call a gateway is said in one way; and a gateway that asks nobody is within reach of its own machine only.
//!
//! What keeps others away is that they can't connect (the listeners), that nobody lets them in by name (no trusted
//! proxies), and that no page of theirs is served under a name that they own (the URL: DNS rebinding, SEC-62).

use crate::config::binding;
use crate::config::file::Config;
use crate::config::gateway::Gateway;
use crate::config::listener::Listener;
use crate::config::problem::Problems;
use crate::config::scalar::WebUrl;

/// Notes what is wrong with how `gateway`, at `path`, says who may call.
pub(super) fn check(config: &Config, gateway: &Gateway, path: &str, problems: &mut Problems<'_>) {
    let switch = format!("{path}.danger_no_authorization");
    match (&gateway.authorizer, gateway.danger_no_authorization) {
        (Some(_), false) => {}
        (None, false) => {
            let hint = "name the issuer whose tokens are accepted; only where every program on this machine may call, write `danger_no_authorization: true` instead";
            problems.note(path, "`authorizer` is missing", hint.to_owned());
        }
        (Some(_), true) => {
            let hint = "leave one of them out: with the switch, no token is asked for";
            problems.note(
                switch,
                "`authorizer` and `danger_no_authorization` exclude each other",
                hint.to_owned(),
            );
        }
        (None, true) => check_reach(config, gateway, (path, &switch), problems),
    }
}

fn check_reach(
    config: &Config,
    gateway: &Gateway,
    (path, switch): (&str, &str),
    problems: &mut Problems<'_>,
) {
    let url = &gateway.url;
    if !is_of_this_machine(url) {
        problems.note(
            format!("{path}.url"),
            format!("without authorization, `{}` is for others than this machine", url.host()),
            "use 127.0.0.1, [::1] or a name that ends in `localhost`, or give the gateway an `authorizer`".to_owned(),
        );
    }
    // Where a URL arrives depends on all of them.
    if !problems.know_all_of("listeners") {
        return;
    }
    for listener in &config.listeners {
        if binding::reach(config, listener, url).is_none() {
            continue;
        }
        if let Some((message, hint)) = lets_others_in(listener) {
            problems.note(switch, message, hint.to_owned());
        }
    }
}

/// How others than this machine get to a listener, and what to do about it.
fn lets_others_in(listener: &Listener) -> Option<(String, &'static str)> {
    let name = &listener.name.0;
    let address = &listener.address;
    if !address.0.ip().to_canonical().is_loopback() {
        return Some((
            format!(
                "the gateway's URL arrives at listener `{name}`, which others reach at `{address}`"
            ),
            "bind the listener to a loopback address such as 127.0.0.1, or give the gateway an `authorizer`",
        ));
    }
    (!listener.trusted_proxies.is_empty()).then(|| {
        (
            format!("the gateway's URL arrives at listener `{name}`, whose `trusted_proxies` let others in"),
            "serve the gateway at a listener without them, or give it an `authorizer`",
        )
    })
}

/// Whether a URL means this machine to everybody (RFC 6761 §6.3).
fn is_of_this_machine(url: &WebUrl) -> bool {
    match url.0.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}
