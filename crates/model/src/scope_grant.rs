//! Which scopes and resources a request is granted, and how a later request may narrow them.

use oauth::error::{ErrorCode, OauthError, shown};
use oauth::resource::Resource;
use oauth::scope::{Scope, ScopeSet};

use crate::realm::{Realm, ResourceServer, ScopeKind};

/// Asks for an ID token.
pub const OPENID: &str = "openid";
/// Accepted and ignored: whether there are refresh tokens is the server's decision (AS-32).
pub const OFFLINE_ACCESS: &str = "offline_access";

/// Why a request for scopes or resources was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A scope that the realm does not know (`invalid_scope`).
    #[error("the scope `{}` is unknown", shown(.0.as_str()))]
    UnknownScope(Scope),
    /// A scope beyond what was granted (`invalid_scope`).
    #[error("the scope `{}` was not granted", shown(.0.as_str()))]
    ScopeNotGranted(Scope),
    /// A resource that the realm does not know (`invalid_target`, RFC 8707 §2).
    #[error("the resource `{}` is unknown", shown(.0.as_str()))]
    UnknownResource(Resource),
    /// A resource beyond what was granted (`invalid_target`, RFC 8707 §2.2).
    #[error("the resource `{}` was not granted", shown(.0.as_str()))]
    ResourceNotGranted(Resource),
    /// No resource was named, and the realm has several (`invalid_target`, SEC-38).
    #[error("`resource` is missing, and there is more than one to choose from")]
    ResourceAmbiguous,
}

impl From<Refusal> for OauthError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::UnknownScope(_) | Refusal::ScopeNotGranted(_) => ErrorCode::InvalidScope,
            Refusal::UnknownResource(_)
            | Refusal::ResourceNotGranted(_)
            | Refusal::ResourceAmbiguous => ErrorCode::InvalidTarget,
        };
        Self::new(code, refusal.to_string())
    }
}

/// The scopes that a request is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// `openid` first if it was asked for, then the realm's default scopes, then what else was asked for, in its order.
    pub scope: ScopeSet,
    /// Whether `openid` was among what was requested: only then is there an ID token.
    pub openid_requested: bool,
}

/// Decides the scopes of an authorization request for resources that [`resolve_resources`] found. Without `scope`, or
/// with an empty one, the default scopes of the resources are requested.
pub fn grant_scopes(
    realm: &Realm,
    requested: Option<&ScopeSet>,
    resources: &[&ResourceServer],
) -> Result<Scopes, Refusal> {
    let defaults;
    let requested = if let Some(scope) = requested.filter(|scope| !scope.is_empty()) {
        scope
    } else {
        defaults = resources.iter().fold(ScopeSet::new(), |all, resource| {
            all.union(&resource.default_scopes)
        });
        &defaults
    };
    let mut scope = ScopeSet::new();
    for openid in requested.iter().filter(|scope| scope.as_str() == OPENID) {
        scope.insert(openid.clone());
    }
    for default in realm
        .scopes
        .iter()
        .filter(|scope| scope.kind == ScopeKind::Default)
    {
        scope.insert(default.name.clone());
    }
    for wanted in requested
        .iter()
        .filter(|wanted| wanted.as_str() != OFFLINE_ACCESS)
    {
        if wanted.as_str() != OPENID && realm.scope(wanted.as_str()).is_none() {
            return Err(Refusal::UnknownScope(wanted.clone()));
        }
        scope.insert(wanted.clone());
    }
    Ok(Scopes {
        scope,
        openid_requested: requested.contains(OPENID),
    })
}

/// Finds the resources of an authorization request. Without any, the realm's only one is meant (SEC-38).
pub fn resolve_resources<'realm>(
    realm: &'realm Realm,
    requested: &[Resource],
) -> Result<Vec<&'realm ResourceServer>, Refusal> {
    if requested.is_empty() {
        return if realm.resources.len() > 1 {
            Err(Refusal::ResourceAmbiguous)
        } else {
            Ok(realm.resources.iter().collect())
        };
    }
    let mut found: Vec<&ResourceServer> = Vec::new();
    for uri in requested {
        let resource = realm
            .resource(uri)
            .ok_or_else(|| Refusal::UnknownResource(uri.clone()))?;
        if !found.iter().any(|known| known.uri == resource.uri) {
            found.push(resource);
        }
    }
    Ok(found)
}

/// The scopes of a refresh (OAuth 2.1 §4.3.1): those granted, or those requested if every one was granted.
pub fn narrow_scopes(
    granted: &ScopeSet,
    requested: Option<&ScopeSet>,
) -> Result<ScopeSet, Refusal> {
    let Some(requested) = requested.filter(|scope| !scope.is_empty()) else {
        return Ok(granted.clone());
    };
    let beyond =
        |scope: &&Scope| !granted.contains(scope.as_str()) && scope.as_str() != OFFLINE_ACCESS;
    match requested.iter().find(beyond) {
        Some(scope) => Err(Refusal::ScopeNotGranted(scope.clone())),
        None => Ok(granted.intersection(requested)),
    }
}

/// The resources of a token request (RFC 8707 §2.2): those granted, or those requested if every one was granted.
pub fn narrow_resources(
    granted: &[Resource],
    requested: &[Resource],
) -> Result<Vec<Resource>, Refusal> {
    if let Some(beyond) = requested.iter().find(|uri| !granted.contains(uri)) {
        return Err(Refusal::ResourceNotGranted(beyond.clone()));
    }
    // In the spelling that was granted, so that `aud` has one.
    let kept = granted
        .iter()
        .filter(|uri| requested.is_empty() || requested.contains(uri));
    Ok(kept.cloned().collect())
}

/// The scopes of a token request, as [`narrow_scopes`] finds them, that the realm still has. Those that were removed are
/// left out; if nothing else is left, the first of them is refused (`invalid_scope`).
pub fn present_scopes(
    realm: &Realm,
    granted: &ScopeSet,
    requested: Option<&ScopeSet>,
) -> Result<ScopeSet, Refusal> {
    let narrowed = narrow_scopes(granted, requested)?;
    let mut present = ScopeSet::new();
    for scope in &narrowed {
        if scope.as_str() == OPENID || realm.scope(scope.as_str()).is_some() {
            present.insert(scope.clone());
        }
    }
    match narrowed.iter().next() {
        Some(gone) if present.is_empty() => Err(Refusal::UnknownScope(gone.clone())),
        _ => Ok(present),
    }
}

/// The resources of a token request, as [`narrow_resources`] finds them, that the realm still has. One that was removed
/// is refused where it was asked for, and where nothing else is left (`invalid_target`, RFC 8707 §2.2).
pub fn present_resources(
    realm: &Realm,
    granted: &[Resource],
    requested: &[Resource],
) -> Result<Vec<Resource>, Refusal> {
    let (present, gone): (Vec<_>, Vec<_>) = narrow_resources(granted, requested)?
        .into_iter()
        .partition(|uri| realm.resource(uri).is_some());
    match gone.into_iter().next() {
        Some(gone) if present.is_empty() || !requested.is_empty() => {
            Err(Refusal::UnknownResource(gone))
        }
        _ => Ok(present),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realm::ClientScope;

    fn realm() -> Realm {
        let mut realm = Realm::new(
            "mcp-demo".parse().unwrap(),
            "https://as.example/realms/mcp-demo".parse().unwrap(),
        );
        realm.scopes.push(ClientScope::new(
            "mcp:tools".parse().unwrap(),
            ScopeKind::Optional,
        ));
        realm.resources.push(ResourceServer {
            uri: "https://gw.example/mcp".parse().unwrap(),
            default_scopes: "mcp:tools".parse().unwrap(),
        });
        realm
    }

    fn granted(realm: &Realm, scope: &str) -> Result<(String, bool), Refusal> {
        let resources = resolve_resources(realm, &[])?;
        let granted = grant_scopes(realm, Some(&scope.parse().unwrap()), &resources)?;
        Ok((granted.scope.to_string(), granted.openid_requested))
    }

    // AS-31, OpenID Connect Core §3.1.2.1
    #[test]
    fn default_scopes_are_added_and_openid_only_where_it_was_asked_for() {
        for (asked, scope, openid) in [
            ("openid mcp:tools", "openid profile email mcp:tools", true),
            ("mcp:tools openid", "openid profile email mcp:tools", true),
            ("mcp:tools", "profile email mcp:tools", false),
            ("mcp:tools offline_access", "profile email mcp:tools", false),
            ("profile", "profile email", false),
        ] {
            assert_eq!(granted(&realm(), asked), Ok((scope.to_owned(), openid)));
        }
    }

    #[test]
    fn without_a_scope_the_defaults_of_the_resource_are_granted() {
        let realm = realm();
        let resources = resolve_resources(&realm, &[]).unwrap();
        let granted = grant_scopes(&realm, None, &resources).unwrap();
        assert_eq!(granted.scope.to_string(), "profile email mcp:tools");
        assert!(!granted.openid_requested);
        assert_eq!(
            grant_scopes(&realm, Some(&ScopeSet::new()), &resources),
            Ok(granted)
        );
    }

    #[test]
    fn an_unknown_scope_is_refused() {
        assert_eq!(
            granted(&realm(), "mcp:fail"),
            Err(Refusal::UnknownScope("mcp:fail".parse().unwrap()))
        );
    }

    // SEC-38, AS-29
    #[test]
    fn resources_are_found_or_refused() {
        let mut realm = realm();
        let known: Resource = "https://GW.example/mcp/".parse().unwrap();
        let unknown: Resource = "https://other.example/mcp".parse().unwrap();
        assert_eq!(
            resolve_resources(&realm, &[known.clone(), known.clone()])
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            resolve_resources(&realm, &[known, unknown.clone()]),
            Err(Refusal::UnknownResource(unknown))
        );
        realm.resources.push(ResourceServer {
            uri: "https://gw.example/b".parse().unwrap(),
            default_scopes: ScopeSet::new(),
        });
        assert_eq!(
            resolve_resources(&realm, &[]),
            Err(Refusal::ResourceAmbiguous)
        );
        realm.resources.clear();
        assert_eq!(resolve_resources(&realm, &[]), Ok(Vec::new()));
    }

    #[test]
    fn a_refresh_may_narrow_scopes_but_not_widen_them() {
        let granted: ScopeSet = "openid profile mcp:tools".parse().unwrap();
        let narrow = |text: &str| {
            narrow_scopes(&granted, Some(&text.parse().unwrap())).map(|scope| scope.to_string())
        };
        assert_eq!(narrow_scopes(&granted, None), Ok(granted.clone()));
        assert_eq!(
            narrow("mcp:tools openid"),
            Ok("openid mcp:tools".to_owned())
        );
        assert_eq!(
            narrow("mcp:tools offline_access"),
            Ok("mcp:tools".to_owned())
        );
        assert_eq!(
            narrow("mcp:tools email"),
            Err(Refusal::ScopeNotGranted("email".parse().unwrap()))
        );
    }

    // SEC-38, AS-29
    #[test]
    fn a_token_request_may_narrow_resources_but_not_widen_them() {
        let granted: Vec<Resource> = ["https://gw.example/a", "https://gw.example/b"]
            .map(|uri| uri.parse().unwrap())
            .to_vec();
        let b: Resource = "HTTPS://gw.example/b/".parse().unwrap();
        assert_eq!(narrow_resources(&granted, &[]), Ok(granted.clone()));
        assert_eq!(
            narrow_resources(&granted, &[b])
                .unwrap()
                .first()
                .unwrap()
                .as_str(),
            "https://gw.example/b"
        );
        let c: Resource = "https://gw.example/c".parse().unwrap();
        assert_eq!(
            narrow_resources(&granted, std::slice::from_ref(&c)),
            Err(Refusal::ResourceNotGranted(c.clone()))
        );
        assert_eq!(
            narrow_resources(&[], std::slice::from_ref(&c)),
            Err(Refusal::ResourceNotGranted(c))
        );
    }

    // SEC-38, AS-29
    #[test]
    fn what_the_realm_no_longer_has_is_not_granted_anew() {
        let realm = realm();
        let scopes = |granted: &str, requested: Option<&str>| {
            let requested: Option<ScopeSet> = requested.map(|text| text.parse().unwrap());
            present_scopes(&realm, &granted.parse().unwrap(), requested.as_ref())
                .map(|scope| scope.to_string())
        };
        let kept = Ok("openid mcp:tools".to_owned());
        assert_eq!(scopes("openid mcp:tools admin", None), kept);
        assert_eq!(
            scopes("openid mcp:tools admin", Some("openid mcp:tools admin")),
            kept
        );
        let gone = Refusal::UnknownScope("admin".parse().unwrap());
        assert_eq!(scopes("openid admin", Some("admin")), Err(gone));

        let here: Resource = "https://gw.example/mcp".parse().unwrap();
        let gone: Resource = "https://gw.example/gone".parse().unwrap();
        let both = [gone.clone(), here.clone()];
        let refused = Err(Refusal::UnknownResource(gone.clone()));
        assert_eq!(
            present_resources(&realm, &both, &[]),
            Ok(vec![here.clone()])
        );
        assert_eq!(
            present_resources(&realm, &both, std::slice::from_ref(&here)),
            Ok(vec![here])
        );
        assert_eq!(present_resources(&realm, &both, &both), refused);
        assert_eq!(
            present_resources(&realm, std::slice::from_ref(&gone), &[]),
            refused
        );
        assert_eq!(present_resources(&realm, &[], &[]), Ok(Vec::new()));
    }
}
