//! `gateways` into `model::gateway`.

use std::path::Path;

use model::gateway::{Authorization, Authorizer, Gateway};
use model::target::{Target, TargetKind};
use oauth::jose::alg::AlgSet;

use crate::config::convert::{headers, parse, parse_all, realm};
use crate::config::gateway;
use crate::config::problem::Problems;

/// The gateway. Relative paths of secrets start at `directory`.
pub(crate) fn convert(
    from: &gateway::Gateway,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Gateway> {
    let name = parse(&from.name.0, &format!("{path}.name"), problems);
    let authorizers = from
        .authorizers(path)
        .into_iter()
        .map(|(path, one)| authorizer(one, &path, problems))
        .collect();
    let authorization = if from.danger_no_authorization {
        Authorization::DangerNone
    } else {
        Authorization::Tokens(authorizers)
    };
    let targets = from
        .targets
        .iter()
        .enumerate()
        .filter_map(|(index, one)| {
            let path = format!("{path}.targets[{index}]");
            target(one, &path, directory, problems)
        })
        .collect();
    for (index, origin) in from.allowed_origins.iter().enumerate() {
        if !is_origin(origin) {
            let hint =
                "write scheme, host and port as a browser does: https://app.example.com, chrome-extension://abcdefgh".to_owned();
            problems.note(
                format!("{path}.allowed_origins[{index}]"),
                format!("`{origin}` is not the origin of a web page"),
                hint,
            );
        }
    }
    let resource_policy = from.resource_policy.as_ref().map(|policy| {
        check_resource_policy(policy, &format!("{path}.resource_policy"), problems);
        policy.to_string()
    });
    Some(Gateway {
        name: name?,
        url: from.url.0.clone(),
        authorization,
        tool_names: from.tool_names,
        targets,
        allowed_origins: from.allowed_origins.clone(),
        resource_policy,
        caller_limits: from.caller_limits,
        limits: from.limits,
    })
}

/// Whether a text is an origin as browsers and web views send it. Those of extensions and web views have a scheme of their
/// own, of which URL libraries know no origin.
fn is_origin(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    if url.origin().is_tuple() {
        return url.has_host() && url.origin().ascii_serialization() == *text;
    }
    let is_authority = |authority: &str| {
        !authority.is_empty()
            && authority
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    };
    text.split_once("://")
        .is_some_and(|(scheme, authority)| scheme == url.scheme() && is_authority(authority))
}

fn authorizer(from: &gateway::Authorizer, path: &str, problems: &mut Problems<'_>) -> Authorizer {
    let discovery = from.discovery_url.0.path();
    if !discovery.contains("/.well-known/") {
        let message = format!(
            "`{}` is not the URL of a discovery document",
            from.discovery_url
        );
        let hint = "it has /.well-known/openid-configuration or /.well-known/oauth-authorization-server in it".to_owned();
        problems.note(format!("{path}.discovery_url"), message, hint);
    }
    Authorizer {
        discovery_url: from.discovery_url.0.clone(),
        issuer: from.issuer.clone(),
        allowed_audiences: from.allowed_audiences.clone(),
        allowed_scopes: realm::scope_set(
            &from.allowed_scopes,
            &format!("{path}.allowed_scopes"),
            problems,
        ),
        allowed_clients: parse_all(
            &from.allowed_clients,
            &format!("{path}.allowed_clients"),
            problems,
        ),
        allowed_algorithms: match from.allowed_algorithms.as_slice() {
            [] => AlgSet::ALL,
            some => AlgSet::of(some),
        },
        custom_claims: from.custom_claims.clone(),
        danger_any_audience: from.danger_any_audience,
    }
}

fn target(
    from: &gateway::Target,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Target> {
    let name = parse(&from.name.0, &format!("{path}.name"), problems);
    Some(Target {
        name: name?,
        kind: TargetKind::Mcp {
            url: from.mcp.url.0.clone(),
        },
        timeouts: from.timeouts,
        limits: from.limits,
        circuit_breaker: from.circuit_breaker,
        freshness: from.freshness,
        headers: headers::convert(&from.headers, path, directory, problems),
    })
}

fn check_resource_policy(policy: &serde_json::Value, path: &str, problems: &mut Problems<'_>) {
    if let Err(faults) = policy::resource::ResourcePolicy::from_value(policy) {
        for fault in faults.0 {
            let at = if fault.path.is_empty() {
                path.to_owned()
            } else {
                format!("{path}.{}", fault.path)
            };
            problems.note(at, fault.what.to_string(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    // SEC-62
    #[test]
    fn origins_of_pages_extensions_and_web_views_are_origins() {
        for origin in [
            "https://app.example.com",
            "http://localhost:6274",
            "chrome-extension://abcdefghijklmnop",
            "moz-extension://8f0c5d3e-1b2c-4d5e-8f90-123456789abc",
            "vscode-webview://1a2b3c",
            "tauri://localhost",
            "app://obsidian.md",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for text in [
            "null",
            "*",
            "app.example.com",
            "https://app.example.com/",
            "https://APP.example.com",
            "chrome-extension://abc/page.html",
            "chrome-extension://",
            "chrome-extension:abc",
            "chrome-extension://a@b",
            "file:///",
        ] {
            assert!(!is_origin(text), "{text}");
        }
    }
}
