//! Which well-known URLs to ask for an issuer's or a resource's metadata, in which order.

use url::Url;

use crate::issuer::Issuer;

/// The well-known name of RFC 8414.
pub const OAUTH_SERVER: &str = "/.well-known/oauth-authorization-server";
/// The well-known name of OpenID Connect Discovery.
pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
/// The well-known name of RFC 9728.
pub const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// Where to look for the metadata of an authorization server, best first (CL-2).
///
/// With a path: RFC 8414 inserted, OpenID inserted, OpenID appended. Without: RFC 8414, OpenID.
pub fn server_metadata_urls(issuer: &Issuer) -> Vec<String> {
    let (origin, path) = (issuer.origin(), issuer.path());
    let mut urls = vec![
        format!("{origin}{OAUTH_SERVER}{path}"),
        format!("{origin}{OPENID_CONFIGURATION}{path}"),
    ];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}{OPENID_CONFIGURATION}"));
    }
    urls
}

/// Where to look for the metadata of a protected resource: the form with its path first, then the root (RS-2, CL-1).
pub fn resource_metadata_urls(resource: &Url) -> Vec<String> {
    let origin = resource.origin().ascii_serialization();
    let mut urls = vec![resource_metadata_url(resource)];
    let root = format!("{origin}{PROTECTED_RESOURCE}");
    if !urls.contains(&root) {
        urls.push(root);
    }
    urls
}

/// The one URL that RFC 9728 §3.1 gives a resource: the well-known name inserted before its path and query.
pub fn resource_metadata_url(resource: &Url) -> String {
    let origin = resource.origin().ascii_serialization();
    let path = resource.path().trim_end_matches('/');
    let query = resource
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    format!("{origin}{PROTECTED_RESOURCE}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // CL-2
    #[test]
    fn servers_are_probed_in_the_order_of_the_specification() {
        assert_eq!(
            server_metadata_urls(&"https://as.example/realms/x".parse().unwrap()),
            [
                "https://as.example/.well-known/oauth-authorization-server/realms/x",
                "https://as.example/.well-known/openid-configuration/realms/x",
                "https://as.example/realms/x/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            server_metadata_urls(&"https://as.example/".parse().unwrap()),
            [
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ]
        );
    }

    // RS-2, CL-1
    #[test]
    fn resources_have_both_forms() {
        let urls = |text: &str| resource_metadata_urls(&Url::parse(text).unwrap());
        assert_eq!(
            urls("http://127.0.0.1:8480/mcp"),
            [
                "http://127.0.0.1:8480/.well-known/oauth-protected-resource/mcp",
                "http://127.0.0.1:8480/.well-known/oauth-protected-resource",
            ]
        );
        assert_eq!(
            urls("https://h/"),
            ["https://h/.well-known/oauth-protected-resource"]
        );
    }
}
