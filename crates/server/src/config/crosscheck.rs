//! What no single key shows: duplicates, URLs that no listener serves, names that nobody defines.

use std::collections::BTreeMap;

use model::client_policy::Mode;
use model::realm::{Lifetimes, SigningAlgorithm};
use model::registration;
use model::registration::RegistrationPolicy;
use model::span::Span;
use net::edge::hosts::Reach;

use crate::config::binding::{self, Service};
use crate::config::file::Config;
use crate::config::gateway::{self as section, Gateway};
use crate::config::listener::Listener;
use crate::config::loaded::Loaded;
use crate::config::no_authorization;
use crate::config::offers;
use crate::config::own_realm;
use crate::config::problem::{Problems, suggest};
use crate::config::realm::{Authentication, Realm};
use crate::config::secret::Source;
use crate::routes::Claim;

/// Notes everything in `loaded` that does not go together.
pub(crate) fn crosscheck(loaded: &Loaded, problems: &mut Problems<'_>) {
    let config = &loaded.config;
    check_listeners(config, problems);
    check_urls(config, problems);
    for (index, realm) in config.realms.iter().enumerate() {
        check_realm(realm, &format!("realms[{index}]"), problems);
    }
    check_gateways(config, problems);
    for (index, gateway) in config.gateways.iter().enumerate() {
        let path = format!("gateways[{index}]");
        for (at, authorizer) in section::authorizers(gateway, &path) {
            own_realm::check(config, (gateway, &path), (authorizer, &at), problems);
        }
    }
    for (index, proxy) in config.proxies.iter().enumerate() {
        if proxy.upstream.0.path() != "/" || proxy.upstream.0.query().is_some() {
            let path = format!("proxies[{index}].upstream");
            problems.note(
                path,
                "an upstream is an origin, without path",
                "paths stay as they are: put the path into `url`".to_owned(),
            );
        }
    }
    if let Some(demo) = &config.demo_mcp_server
        && demo.address.is_some() == demo.url.is_some()
    {
        problems.note(
            "demo_mcp_server",
            "exactly one of `address` and `url` is expected",
            None,
        );
    }
    let all_is_known = [
        "realms",
        "gateways",
        "documents",
        "proxies",
        "demo_mcp_server",
    ]
    .iter()
    .all(|part| problems.know_all_of(part));
    if binding::services(config).is_empty() && config.demo_mcp_server.is_none() && all_is_known {
        let hint = "declare a realm, a gateway, a document or a proxy; `sekisho config show --demo` shows all of them".to_owned();
        problems.note("", "there is nothing to serve", hint);
    }
}

fn check_listeners(config: &Config, problems: &mut Problems<'_>) {
    if config.listeners.is_empty()
        && !binding::services(config).is_empty()
        && problems.know_all_of("listeners")
    {
        problems.note("listeners", "at least one listener is expected", None);
    }
    no_duplicates(
        "listeners",
        "name",
        config.listeners.iter().map(|one| one.name.0.as_str()),
        problems,
    );
    let mut addresses: BTreeMap<_, String> = BTreeMap::new();
    let listening = config
        .listeners
        .iter()
        .enumerate()
        .map(|(index, one)| (format!("listeners[{index}].address"), one.address.0));
    let management = problems
        .know_all_of("management")
        .then(|| ("management.address".to_owned(), config.management.address.0));
    let demo = config
        .demo_mcp_server
        .iter()
        .filter_map(|one| one.address.as_ref())
        .map(|one| ("demo_mcp_server.address".to_owned(), one.0));
    for (path, address) in listening
        .chain(management)
        .chain(demo)
        .filter(|(_, address)| address.port() != 0)
    {
        if let Some(other) = addresses.get(&address) {
            let other = problems.written(other);
            problems.note(
                path,
                format!("`{address}` is taken by `{other}`"),
                "give each its own port".to_owned(),
            );
        } else {
            addresses.insert(address, path);
        }
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        let Some(tls) = &listener.tls else { continue };
        let path = format!("listeners[{index}].tls");
        let files = tls.certificate_file.is_some() || tls.key_file.is_some();
        if tls.local_ca && files {
            problems.note(
                path,
                "`local_ca` and certificate files exclude each other",
                None,
            );
        } else if !tls.local_ca && (tls.certificate_file.is_none() || tls.key_file.is_none()) {
            let hint = "give `certificate_file` and `key_file`, or `local_ca: true`".to_owned();
            problems.note(path, "there is no certificate", hint);
        }
    }
}

fn check_urls(config: &Config, problems: &mut Problems<'_>) {
    let services = binding::services(config);
    // Where a URL arrives depends on all of them.
    let all_listeners = problems.know_all_of("listeners");
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for Service { path, url, .. } in &services {
        if url.0.query().is_some() {
            problems.note(path.clone(), "a URL that is served has no query", None);
        }
        let arrives = |listener| binding::reach(config, listener, url).is_some();
        if all_listeners && !config.listeners.is_empty() && !config.listeners.iter().any(arrives) {
            let scheme = if url.is_https() { "https" } else { "http" };
            let listeners: Vec<String> = config.listeners.iter().map(describe_listener).collect();
            let message = format!("no listener serves {scheme} on port {}", url.port());
            let hint = format!(
                "listeners are {}; change the URL, add a listener, or give `trusted_proxies` or `public_port` if something in front maps it",
                listeners.join(", ")
            );
            problems.note(path.clone(), message, hint);
        }
        if let Some(other) = seen.get(url.plain()) {
            let other = problems.written(other);
            problems.note(
                path.clone(),
                format!("`{url}` is served by `{other}` already"),
                "each service needs a URL of its own".to_owned(),
            );
        } else {
            seen.insert(url.plain(), path);
        }
    }
    for listener in config.listeners.iter().filter(|_| all_listeners) {
        check_clashes(config, listener, &services, problems);
    }
}

/// Whether each request to a listener is for one service only: what scheme and port tell apart outside, something in
/// front may have made the same.
fn check_clashes(
    config: &Config,
    listener: &Listener,
    services: &[Service],
    problems: &mut Problems<'_>,
) {
    let mut taken: BTreeMap<(Reach, &str, &Claim), usize> = BTreeMap::new();
    for (index, service) in services.iter().enumerate() {
        let Some(reach) = binding::reach(config, listener, &service.url) else {
            continue;
        };
        let views = binding::views(listener, reach);
        let mut wanted = views.iter().flat_map(|view| {
            let host = service.url.host();
            service.claims.iter().map(move |claim| (*view, host, claim))
        });
        let clash = wanted.find_map(|place| {
            let owner = *taken.entry(place).or_insert(index);
            let other = services.get(owner).filter(|_| owner != index)?;
            Some((other, place.2))
        });
        if let Some((other, claim)) = clash
            && other.url.plain() != service.url.plain()
        {
            let (at, line) = (problems.written(&other.path), problems.line_of(&other.path));
            problems.note(
                service.path.clone(),
                format!(
                    "`{}` can't be told from `{}` ({at}, line {line}) at listener `{}`: both want {claim} of `{}`",
                    service.url,
                    other.url,
                    listener.name,
                    service.url.host()
                ),
                "give one of them another host name or path, or keep it from this listener by `hosts`".to_owned(),
            );
        }
    }
}

fn describe_listener(listener: &Listener) -> String {
    let scheme = if listener.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let port = binding::port(listener);
    format!("`{}` ({scheme} on port {port})", listener.name.0)
}

fn check_realm(declared: &Realm, path: &str, problems: &mut Problems<'_>) {
    let realm = &declared.realm;
    let scopes: Vec<&str> = realm
        .scopes
        .iter()
        .map(|scope| scope.name.as_str())
        .collect();
    no_duplicates(
        &format!("{path}.scopes"),
        "name",
        scopes.iter().copied(),
        problems,
    );
    no_duplicates(
        &format!("{path}.resources"),
        "uri",
        realm.resources.iter().map(|one| one.uri.as_str()),
        problems,
    );
    no_duplicates(
        &format!("{path}.users"),
        "username",
        declared.users.iter().map(|one| one.username.as_str()),
        problems,
    );
    no_duplicates(
        &format!("{path}.clients"),
        "client_id",
        realm.clients.iter().map(|one| one.client_id.as_str()),
        problems,
    );
    let url_path = realm.issuer.path();
    let expected = format!("/realms/{}", realm.name);
    if !url_path.is_empty() && url_path != expected {
        let message = format!(
            "`{}` is neither an origin nor does it end in `{expected}`",
            realm.issuer
        );
        problems.note(
            format!("{path}.url"),
            message,
            format!("the path of a realm's URL is `{expected}` or nothing"),
        );
    }
    let all_scopes = problems.know_all_of(&format!("{path}.scopes"));
    for (index, resource) in realm.resources.iter().enumerate().filter(|_| all_scopes) {
        for (at, scope) in resource.default_scopes.iter().enumerate() {
            let scope = scope.as_str();
            if !scopes.contains(&scope) {
                let at = format!("{path}.resources[{index}].default_scopes[{at}]");
                problems.note(
                    at,
                    format!("the realm has no scope `{scope}`"),
                    suggest(scope, &scopes),
                );
            }
        }
    }
    check_registration(
        &realm.registration,
        &format!("{path}.registration"),
        problems,
    );
    for (index, client) in realm.clients.iter().enumerate() {
        let at = format!("{path}.clients[{index}]");
        let wants_secret = matches!(
            client.authentication,
            Authentication::ClientSecretBasic | Authentication::ClientSecretPost
        );
        if wants_secret != client.secret.is_some() {
            let message = if wants_secret {
                "`secret` is missing"
            } else {
                "`secret` is not used with this `authentication`"
            };
            problems.note(
                at.clone(),
                message,
                "client_secret_basic and client_secret_post have a secret, others don't".to_owned(),
            );
        }
        if client.only_this_authentication && !wants_secret {
            problems.note(
                format!("{at}.only_this_authentication"),
                "there is no other way for this client anyway",
                "it is for client_secret_basic and client_secret_post".to_owned(),
            );
        }
        if let Some(algorithm) = client.id_token_signed_response_alg
            && algorithm != SigningAlgorithm::Rs256
            && algorithm != realm.signing_algorithm
        {
            problems.note(
                format!("{at}.id_token_signed_response_alg"),
                "the realm has no key of this algorithm",
                "use RS256, or the `signing_algorithm` of the realm".to_owned(),
            );
        }
        let wants_keys = client.authentication == Authentication::PrivateKeyJwt;
        if wants_keys != client.jwks.is_some() {
            let message = if wants_keys {
                "`jwks` is missing"
            } else {
                "`jwks` is not used with this `authentication`"
            };
            problems.note(
                at,
                message,
                "private_key_jwt has public keys, others don't".to_owned(),
            );
        }
    }
    let cimd = &realm.cimd;
    if cimd.mode == Mode::Allowlist && cimd.trusted_domains.is_empty() {
        problems.note(
            format!("{path}.cimd"),
            "mode `allowlist` without `trusted_domains` accepts nobody",
            None,
        );
    }
    if cimd.restrict_same_domain && cimd.trusted_domains.is_empty() {
        problems.note(
            format!("{path}.cimd"),
            "`restrict_same_domain` needs `trusted_domains`",
            None,
        );
    }
    if cimd.cache.min > cimd.cache.max {
        problems.note(
            format!("{path}.cimd.cache"),
            format!(
                "min `{}` is longer than max `{}`",
                Span(cimd.cache.min),
                Span(cimd.cache.max)
            ),
            None,
        );
    }
    check_lifetimes(&realm.lifetimes, &format!("{path}.lifetimes"), problems);
}

fn check_lifetimes(lifetimes: &Lifetimes, path: &str, problems: &mut Problems<'_>) {
    for (name, shorter, longer_name, longer) in [
        (
            "refresh_idle",
            lifetimes.refresh_idle,
            "refresh_absolute",
            lifetimes.refresh_absolute,
        ),
        (
            "session_idle",
            lifetimes.session_idle,
            "session_absolute",
            lifetimes.session_absolute,
        ),
    ] {
        if shorter > longer {
            let (shorter, longer) = (Span(shorter), Span(longer));
            let message = format!("{name} `{shorter}` is longer than {longer_name} `{longer}`");
            problems.note(path, message, None);
        }
    }
    for (name, lifetime, longest, hint) in [
        (
            "code",
            lifetimes.code,
            Lifetimes::LONGEST_CODE,
            "a client redeems its code at once: leave it out for `1m`",
        ),
        (
            "access_token",
            lifetimes.access_token,
            Lifetimes::LONGEST_ACCESS_TOKEN,
            "clients renew it with their refresh token: leave it out for `10m`",
        ),
        (
            "refresh_grace",
            lifetimes.refresh_grace,
            Lifetimes::LONGEST_REFRESH_GRACE,
            "until it is over, nobody notices a stolen token: leave it out for `2m`",
        ),
        (
            "interaction",
            lifetimes.interaction,
            Lifetimes::LONGEST_INTERACTION,
            "nobody comes back to a login so much later: leave it out for `30m`",
        ),
    ] {
        if lifetime > longest {
            problems.note(
                format!("{path}.{name}"),
                format!("`{}` is longer than `{}`", Span(lifetime), Span(longest)),
                hint.to_owned(),
            );
        }
    }
}

fn check_registration(
    registration: &RegistrationPolicy<Source>,
    path: &str,
    problems: &mut Problems<'_>,
) {
    let tokens = format!("{path}.initial_access_tokens");
    let has_tokens = !registration.initial_access_tokens.is_empty();
    if registration.mode == registration::Mode::Token && !has_tokens {
        problems.note(
            tokens,
            "`initial_access_tokens` is missing",
            "name at least one, or set the mode to `open` or `off`".to_owned(),
        );
    } else if registration.mode != registration::Mode::Token && has_tokens {
        problems.note(
            tokens,
            "nobody is asked for these",
            "set `mode: token`".to_owned(),
        );
    }
    for (name, bound) in [
        ("unused_per_address", registration.unused_per_address),
        ("unused", registration.unused),
    ] {
        if bound == 0 {
            problems.note(
                format!("{path}.{name}"),
                "nobody could register",
                "set `mode: off` if that is meant".to_owned(),
            );
        }
    }
}

fn check_gateways(config: &Config, problems: &mut Problems<'_>) {
    no_duplicates(
        "realms",
        "name",
        config.realms.iter().map(|one| one.realm.name.as_str()),
        problems,
    );
    no_duplicates(
        "gateways",
        "name",
        config.gateways.iter().map(|one| one.name.as_str()),
        problems,
    );
    for (index, gateway) in config.gateways.iter().enumerate() {
        let path = format!("gateways[{index}]");
        no_duplicates(
            &format!("{path}.targets"),
            "name",
            gateway.targets.iter().map(|one| one.name.as_str()),
            problems,
        );
        offers::check(gateway, &path, problems);
        check_authorizers(gateway, &path, problems);
        no_authorization::check(config, gateway, &path, problems);
    }
}

fn check_authorizers(gateway: &Gateway, path: &str, problems: &mut Problems<'_>) {
    let all = section::authorizers(gateway, path);
    if all.is_empty() && gateway.authorizer.is_some() {
        let hint = "an entry is an issuer with its `discovery_url`".to_owned();
        problems.note(
            format!("{path}.authorizer"),
            "at least one issuer is expected",
            hint,
        );
    }
    let mut issuers: BTreeMap<String, &str> = BTreeMap::new();
    for (at, authorizer) in &all {
        if authorizer.allowed_audiences.is_empty()
            && authorizer.allowed_clients.is_empty()
            && !authorizer.danger_any_audience
        {
            let hint = "name the audience that your authorization server puts into tokens for this gateway; if it puts none into any token, name `allowed_clients`".to_owned();
            problems.note(
                at.clone(),
                "`allowed_audiences` is missing: any token of the issuer would be accepted",
                hint,
            );
        }
        let issuer =
            gateway::issuers::name_of(&authorizer.discovery_url.0, authorizer.issuer.as_deref());
        let issuer = issuer.trim_end_matches('/').to_owned();
        if let Some(other) = issuers.get(&issuer) {
            let other = problems.written(other);
            problems.note(
                at.clone(),
                format!("the issuer `{issuer}` has its rules in `{other}` already"),
                "a token is judged by one set of rules: put both into one entry".to_owned(),
            );
        } else {
            issuers.insert(issuer, at);
        }
    }
}

fn no_duplicates<'a>(
    list: &str,
    key: &str,
    values: impl Iterator<Item = &'a str>,
    problems: &mut Problems<'_>,
) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        if let Some(first) = seen.get(value) {
            let first = problems.written(&format!("{list}[{first}]"));
            problems.note(
                format!("{list}[{index}].{key}"),
                format!("`{value}` is declared twice"),
                format!("the first is {first}"),
            );
        } else {
            seen.insert(value, index);
        }
    }
}
