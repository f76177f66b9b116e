//! The audience of an access token: the resources it was requested for, and what the granted scopes add.

use oauth::resource::Resource;
use oauth::scope::ScopeSet;

use crate::realm::Realm;

/// Each audience once; resources first, as the realm spells them.
pub(super) fn of(realm: &Realm, scope: &ScopeSet, resources: &[Resource]) -> Vec<String> {
    let mut audience: Vec<String> = Vec::new();
    let named = resources.iter().map(|uri| {
        realm
            .resource(uri)
            .map_or(uri, |resource| &resource.uri)
            .as_str()
    });
    let mapped = realm
        .scopes
        .iter()
        .filter(|candidate| scope.contains(candidate.name.as_str()))
        .flat_map(|granted| granted.audiences.iter().map(String::as_str));
    for one in named.chain(mapped) {
        if !audience.iter().any(|known| known == one) {
            audience.push(one.to_owned());
        }
    }
    audience
}

#[cfg(test)]
mod tests {
    use oauth::scope::ScopeSet;

    use super::*;
    use crate::realm::{ClientScope, ResourceServer, ScopeKind};

    // SEC-37
    #[test]
    fn scopes_that_were_not_granted_add_no_audience() {
        let mut realm = Realm::new("a".parse().unwrap(), "https://as.example".parse().unwrap());
        for (scope, audience) in [("one", "gw-1"), ("two", "gw-2"), ("three", "gw-1")] {
            let mut scope = ClientScope::new(scope.parse().unwrap(), ScopeKind::Optional);
            scope.audiences.push(audience.to_owned());
            realm.scopes.push(scope);
        }
        realm.resources.push(ResourceServer {
            uri: "https://gw.example/mcp".parse().unwrap(),
            default_scopes: ScopeSet::new(),
        });
        let audience = of(
            &realm,
            &"one three".parse().unwrap(),
            &["https://gw.example/mcp/".parse().unwrap()],
        );
        assert_eq!(audience, ["https://gw.example/mcp", "gw-1"]);
    }
}
