//! Whether a realm of this very configuration can make the tokens that a gateway wants.

use model::gateway::Authorizer;

use crate::config::file::Config;
use crate::config::gateway::Gateway;
use crate::config::problem::{Problems, suggest};
use crate::config::realm::Realm;
use crate::config::scalar::WebUrl;

/// Whether a discovery document is that of this realm.
pub(crate) fn issues(realm: &Realm, discovery: &WebUrl) -> bool {
    let issuer = &realm.realm.issuer;
    discovery
        .plain()
        .strip_prefix(issuer.as_str())
        .is_some_and(|rest| rest.starts_with("/.well-known/"))
        || (issuer.url().origin() == discovery.0.origin()
            && !issuer.path().is_empty()
            && discovery.0.path().ends_with(issuer.path()))
}

/// Notes what `gateway` wants of tokens that a realm of this configuration does not put into them.
pub(super) fn check(
    config: &Config,
    (gateway, path): (&Gateway, &str),
    (authorizer, at): (&Authorizer, &str),
    problems: &mut Problems<'_>,
) {
    let discovery = &authorizer.discovery_url;
    let mut realms = config.realms.iter().enumerate();
    let found = realms.find(|(_, realm)| issues(realm, discovery));
    // Otherwise, another realm may be the one that is meant.
    let Some((index, declared)) = found.filter(|_| problems.know_all_of("realms")) else {
        return;
    };
    let realm = &declared.realm;
    let [all_scopes, all_resources] = ["scopes", "resources"]
        .map(|list| problems.know_all_of(&format!("realms[{index}].{list}")));
    let name = realm.name.as_str();
    let url = gateway.url.plain();
    if all_resources
        && !realm
            .resources
            .iter()
            .any(|resource| resource.uri.as_str() == url)
    {
        let hint = format!("MCP clients ask for it by name (RFC 8707): add {{ uri: \"{url}\" }}");
        let message =
            format!("realm `{name}` makes no tokens for `{url}`: it is not among its `resources`");
        problems.note(format!("{path}.url"), message, hint);
    }
    let audiences: Vec<&str> = realm
        .resources
        .iter()
        .map(|resource| resource.uri.as_str())
        .chain(
            realm
                .scopes
                .iter()
                .flat_map(|scope| scope.audiences.iter().map(String::as_str)),
        )
        .collect();
    let wanted = &authorizer.allowed_audiences;
    if all_scopes
        && all_resources
        && !wanted.is_empty()
        && !wanted
            .iter()
            .any(|audience| audiences.contains(&audience.as_str()))
    {
        let message = format!("no token of realm `{name}` is for any of these");
        let hint = format!(
            "its resources and the `audiences` of its scopes are {}",
            audiences.join(", ")
        );
        problems.note(format!("{at}.allowed_audiences"), message, hint);
    }
    let scopes: Vec<&str> = realm
        .scopes
        .iter()
        .map(|scope| scope.name.as_str())
        .collect();
    let checked = authorizer.allowed_scopes.iter().enumerate();
    for (index, scope) in checked.filter(|_| all_scopes) {
        let scope = scope.as_str();
        if !scopes.contains(&scope) && scope != "openid" {
            let at = format!("{at}.allowed_scopes[{index}]");
            problems.note(
                at,
                format!("realm `{name}` has no scope `{scope}`"),
                suggest(scope, &scopes),
            );
        }
    }
}
