//! Which service answers where: at which listeners a URL arrives, for whom, and which paths its service has there.
//!
//! A listener serves what is bound to it: URLs of its own scheme and port, for everybody. Other URLs have something in
//! front that maps them, so they are served to trusted proxies only, and to no others (SEC-84). A URL that is some
//! listener's own does not arrive at others, unless their `hosts` ask for it.

use net::edge::hosts::Reach;
use oauth::discovery::PROTECTED_RESOURCE;

use crate::config::file::Config;
use crate::config::listener::Listener;
use crate::config::scalar::WebUrl;
use crate::routes::Claim;

/// A URL that is served, and what its service wants there.
#[derive(Debug)]
pub(crate) struct Service {
    /// The path of the URL in the configuration.
    pub(crate) path: String,
    /// The URL.
    pub(crate) url: WebUrl,
    /// The paths of its host that belong to it.
    pub(crate) claims: Vec<Claim>,
}

/// Everything that is served.
pub(crate) fn services(config: &Config) -> Vec<Service> {
    let mut all = Vec::new();
    let mut add = |path: String, url: &WebUrl, claims| {
        let url = url.clone();
        all.push(Service { path, url, claims });
    };
    for (index, realm) in config.realms.iter().enumerate() {
        let url = realm.realm.url();
        add(format!("realms[{index}].url"), &url, realm_claims(&url));
    }
    for (index, document) in config.documents.iter().enumerate() {
        let claims = exact_claims(&document.url);
        add(format!("documents[{index}].url"), &document.url, claims);
    }
    for (index, gateway) in config.gateways.iter().enumerate() {
        let claims = gateway_claims(&gateway.url);
        add(format!("gateways[{index}].url"), &gateway.url, claims);
    }
    for (index, proxy) in config.proxies.iter().enumerate() {
        let claims = proxy_claims(&proxy.url);
        add(format!("proxies[{index}].url"), &proxy.url, claims);
    }
    if let Some(demo) = &config.demo_mcp_server
        && let Some(url) = &demo.url
    {
        add("demo_mcp_server.url".to_owned(), url, exact_claims(url));
    }
    all
}

/// What a realm wants of its host: all of it, or its path and the discovery documents that stand before that path.
pub(crate) fn realm_claims(url: &WebUrl) -> Vec<Claim> {
    match url.0.path() {
        "/" => vec![Claim::Rest],
        path => vec![
            Claim::Below(path.to_owned()),
            Claim::Exact(format!("/.well-known/oauth-authorization-server{path}")),
            Claim::Exact(format!("/.well-known/openid-configuration{path}")),
        ],
    }
}

/// What a gateway wants: its endpoint, with and without a slash, and the metadata of each (RFC 9728 §3.1).
pub(crate) fn gateway_claims(url: &WebUrl) -> Vec<Claim> {
    let endpoint = url.0.path().trim_end_matches('/');
    let mut claims = vec![
        Claim::Exact(endpoint.to_owned()),
        Claim::Exact(format!("{endpoint}/")),
        Claim::Exact(format!("{PROTECTED_RESOURCE}{endpoint}")),
    ];
    if !endpoint.is_empty() {
        claims.push(Claim::Exact(format!("{PROTECTED_RESOURCE}{endpoint}/")));
    }
    claims
}

/// What a proxy wants: all that nobody else has, or everything below its path.
pub(crate) fn proxy_claims(url: &WebUrl) -> Vec<Claim> {
    vec![match url.0.path() {
        "/" => Claim::Rest,
        path => Claim::Below(path.trim_end_matches('/').to_owned()),
    }]
}

/// What a single document or endpoint wants: its path.
pub(crate) fn exact_claims(url: &WebUrl) -> Vec<Claim> {
    vec![Claim::Exact(url.0.path().to_owned())]
}

/// Who reaches the service of `url` at `listener`; nobody, if it does not arrive there.
pub(crate) fn reach(config: &Config, listener: &Listener, url: &WebUrl) -> Option<Reach> {
    if is_own(listener, url) {
        return Some(Reach::Everybody);
    }
    let asked_for = !listener.hosts.is_empty();
    let elsewhere = config.listeners.iter().any(|other| is_own(other, url));
    let mapped = !listener.trusted_proxies.is_empty()
        && is_wanted(listener, url)
        && (asked_for || !elsewhere);
    mapped.then_some(Reach::Proxies {
        https: url.is_https(),
    })
}

/// Those among whom a service with this reach is looked for: everybody's services are there for proxies, too.
pub(crate) fn views(listener: &Listener, reach: Reach) -> Vec<Reach> {
    let proxies = [true, false].map(|https| Reach::Proxies { https });
    match reach {
        Reach::Everybody if listener.trusted_proxies.is_empty() => vec![reach],
        Reach::Everybody => [&[reach], &proxies[..]].concat(),
        Reach::Proxies { .. } => vec![reach],
    }
}

/// The port in the URLs of a listener.
pub(crate) fn port(listener: &Listener) -> u16 {
    listener
        .public_port
        .unwrap_or_else(|| listener.address.0.port())
}

/// Whether clients that follow the URL connect to this listener.
fn is_own(listener: &Listener, url: &WebUrl) -> bool {
    url.is_https() == listener.tls.is_some()
        && url.port() == port(listener)
        && is_wanted(listener, url)
}

fn is_wanted(listener: &Listener, url: &WebUrl) -> bool {
    listener.hosts.is_empty()
        || listener
            .hosts
            .iter()
            .any(|pattern| pattern.fits(url.host()))
}
