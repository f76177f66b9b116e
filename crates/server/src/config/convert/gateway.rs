//! `gateways` with the secrets of their targets, and what is wrong with them.

use std::path::Path;

use model::gateway::{Authorizer, Gateway};

use crate::config::convert::headers;
use crate::config::gateway as section;
use crate::config::problem::Problems;

/// The gateway. Relative paths of secrets start at `directory`.
pub(crate) fn convert(
    from: &section::Gateway,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Gateway {
    for (path, authorizer) in section::authorizers(from, path) {
        check_discovery(authorizer, &path, problems);
    }
    let targets = from.targets.iter().enumerate();
    let targets = targets
        .map(|(index, target)| {
            let path = format!("{path}.targets[{index}]");
            let headers = headers::convert(&target.headers, &path, directory, problems);
            target.clone().with_headers(headers)
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
    if let Some(policy) = &from.resource_policy {
        check_resource_policy(policy, &format!("{path}.resource_policy"), problems);
    }
    from.clone().with_targets(targets)
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

fn check_discovery(authorizer: &Authorizer, path: &str, problems: &mut Problems<'_>) {
    let url = &authorizer.discovery_url;
    if !url.0.path().contains("/.well-known/") {
        problems.note(
            format!("{path}.discovery_url"),
            format!("`{url}` is not the URL of a discovery document"),
            "it has /.well-known/openid-configuration or /.well-known/oauth-authorization-server in it".to_owned(),
        );
    }
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
