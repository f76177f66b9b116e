//! Whether the URLs that a configuration has called may be called by it: what an address or a configured name leads to is
//! known before anything is started. Other names are looked up when they are called.

use std::net::{IpAddr, Ipv4Addr};

use net::egress::rules::{Destination, Refusal, Rules, SpecialUse};

use crate::config::convert;
use crate::config::file::Config;
use crate::config::gateway as section;
use crate::config::loaded::Loaded;
use crate::config::problem::{Problem, Problems};
use crate::config::scalar::WebUrl;

/// Notes every URL that leads where nothing of this configuration may call. What leads to this machine itself is returned as
/// a warning: nobody else is reached by it, and a first try is rarely finished. Calls of it are refused all the same.
pub(crate) fn check(loaded: &Loaded, problems: &mut Problems<'_>) -> Vec<Problem> {
    let mut warnings = loaded.problems();
    if !problems.know_all_of("egress") {
        return Vec::new();
    }
    let rules = convert::egress::convert(&loaded.config);
    for (path, url) in called(&loaded.config) {
        let Err(refusal) = look(&rules, &loaded.config, url) else {
            continue;
        };
        let to_this_machine = matches!(
            refusal,
            Refusal::SpecialUse {
                block: SpecialUse::Loopback,
                ..
            }
        );
        let (message, hint) = match refusal {
            Refusal::SpecialUse { address, block } => (
                match url.0.host() {
                    Some(url::Host::Domain(name)) => {
                        format!("`{name}` leads to {address}, which is special-use ({block})")
                    }
                    _ => format!("{address} is special-use ({block})"),
                },
                format!(
                    "if that is meant, add `{}` to `egress.allow_networks`",
                    ipnet::IpNet::from(address)
                ),
            ),
            other => (
                format!("`{}` can't be called: {other}", url.host()),
                "`egress` says what may be called".to_owned(),
            ),
        };
        if to_this_machine {
            warnings.note(path, format!("{message}, and not called"), hint);
        } else {
            problems.note(path, message, hint);
        }
    }
    for path in secrets_in_the_clear(&loaded.config) {
        let hint = "use `https`, or see to it that nobody listens on the way".to_owned();
        warnings.note(
            path,
            "secrets are sent there that anybody on the way can read",
            hint,
        );
    }
    warnings.into_sorted()
}

/// The URLs of targets on other machines that are sent a secret without TLS.
fn secrets_in_the_clear(config: &Config) -> Vec<String> {
    let stays_here = |url: &WebUrl| {
        let Ok(destination) = Destination::of(&url.0) else {
            return false;
        };
        let written = destination.host.parse().ok();
        let address = written.or_else(|| known_address(config, &destination));
        address.is_some_and(|address: IpAddr| address.is_loopback())
    };
    let mut paths = Vec::new();
    for (index, gateway) in config.gateways.iter().enumerate() {
        for (at, target) in gateway.targets.iter().enumerate() {
            let has_secret = target.headers.iter().any(|header| header.secret.is_some());
            for (key, url) in target.kind.urls() {
                if has_secret && !url.is_https() && !stays_here(url) {
                    paths.push(format!("gateways[{index}].targets[{at}].{key}"));
                }
            }
        }
    }
    paths
}

/// Each URL that the program calls by itself, with its path in the configuration.
fn called(config: &Config) -> Vec<(String, &WebUrl)> {
    let mut all = Vec::new();
    for (index, gateway) in config.gateways.iter().enumerate() {
        let gateway_at = format!("gateways[{index}]");
        for (path, authorizer) in section::authorizers(gateway, &gateway_at) {
            all.push((format!("{path}.discovery_url"), &authorizer.discovery_url));
        }
        for (at, target) in gateway.targets.iter().enumerate() {
            let urls = target.kind.urls();
            all.extend(urls.map(|(key, url)| (format!("{gateway_at}.targets[{at}].{key}"), url)));
        }
    }
    for (index, proxy) in config.proxies.iter().enumerate() {
        all.push((format!("proxies[{index}].upstream"), &proxy.upstream));
    }
    all
}

fn look(rules: &Rules, config: &Config, url: &WebUrl) -> Result<(), Refusal> {
    let destination = rules.check_url(&url.0)?;
    match known_address(config, &destination) {
        Some(address) => rules.check_address(address),
        None => Ok(()),
    }
}

/// Where a name leads, as far as that is known without asking: by the configuration, or because it means this machine
/// (RFC 6761 §6.3).
fn known_address(config: &Config, destination: &Destination) -> Option<IpAddr> {
    let host = destination.host.as_ref();
    let with_port = format!("{host}:{}", destination.port);
    let configured = config.egress.hosts.iter().find(|(name, _)| {
        let name = name.to_lowercase();
        name == with_port || name == host
    });
    if let Some((_, address)) = configured {
        return Some(address.0.ip());
    }
    let this_machine = host == "localhost" || host.ends_with(".localhost");
    this_machine.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
