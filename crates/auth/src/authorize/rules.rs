//! The one ordered table of authorization rules: each is a pure function of the request and of what was loaded.
//!
//! Before these, [`AuthorizationRequest::parse`] has refused what is malformed: request objects, other response types and
//! modes, a challenge method other than `S256`, broken scopes, resources, `prompt` and `max_age`.

use model::client::Client;
use model::realm::Realm;
use model::scope_grant::{self, Granted};
use oauth::error::{ErrorCode, OauthError};
use oauth::request::authorization::AuthorizationRequest;
use oauth::resource::Resource;

/// What the rules may look at beside the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded<'a> {
    pub(crate) realm: &'a Realm,
    pub(crate) client: &'a Client,
}

/// A rule: its name for the log, and the check.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) check: fn(&AuthorizationRequest, &Loaded<'_>) -> Result<(), OauthError>,
}

/// The rules. Order is the order of application, and each of them refuses by redirect.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "pkce",
        check: pkce,
    }, // OAuth 2.1 §4.1.1, RFC 7636 §4.4.1
    Rule {
        name: "resource",
        check: resource,
    }, // RFC 8707 §2
    Rule {
        name: "scope",
        check: scope,
    }, // RFC 6749 §3.3
    Rule {
        name: "nonce",
        check: nonce,
    }, // what has to fit into a cookie
];

/// What a request that passed all rules would be granted.
#[derive(Debug, Clone)]
pub(crate) struct Grantable {
    pub(crate) granted: Granted,
    pub(crate) resources: Vec<Resource>,
}

/// Applies all rules, then works out what is asked for.
pub(crate) fn apply(
    request: &AuthorizationRequest,
    loaded: &Loaded<'_>,
) -> Result<Grantable, OauthError> {
    for rule in RULES {
        (rule.check)(request, loaded).inspect_err(|error| {
            tracing::info!(rule = rule.name, client.id = %loaded.client.client_id, %error, "authorization request refused");
        })?;
    }
    let resources = scope_grant::resolve_resources(loaded.realm, &request.resources)
        .map_err(|refusal| refused(&refusal))?;
    let granted = scope_grant::grant_scopes(loaded.realm, request.scope.as_ref(), &resources)
        .map_err(|refusal| refused(&refusal))?;
    Ok(Grantable {
        granted,
        resources: resources
            .into_iter()
            .map(|resource| resource.uri.clone())
            .collect(),
    })
}

fn refused(refusal: &scope_grant::Refusal) -> OauthError {
    use scope_grant::Refusal;

    let code = match refusal {
        Refusal::UnknownScope(_) | Refusal::ScopeNotGranted(_) => ErrorCode::InvalidScope,
        Refusal::UnknownResource(_)
        | Refusal::ResourceNotGranted(_)
        | Refusal::ResourceAmbiguous => ErrorCode::InvalidTarget,
    };
    OauthError::new(code, refusal.to_string())
}

/// A challenge must be there, save where the operator dangerously does without (AS-28, SEC-1).
fn pkce(request: &AuthorizationRequest, loaded: &Loaded<'_>) -> Result<(), OauthError> {
    if request.code_challenge.is_some()
        || loaded
            .client
            .may_omit_pkce(loaded.realm.danger_pkce_optional)
    {
        return Ok(());
    }
    Err(OauthError::new(
        ErrorCode::InvalidRequest,
        "`code_challenge` is missing; hint: send `code_challenge` and `code_challenge_method=S256` (OAuth 2.1 section 4.1.1)",
    ))
}

/// Every resource must be one of the realm's (AS-29, SEC-38).
fn resource(request: &AuthorizationRequest, loaded: &Loaded<'_>) -> Result<(), OauthError> {
    scope_grant::resolve_resources(loaded.realm, &request.resources)
        .map(drop)
        .map_err(|refusal| refused(&refusal))
}

/// Every scope must be one of the realm's (SEC-20).
fn scope(request: &AuthorizationRequest, loaded: &Loaded<'_>) -> Result<(), OauthError> {
    let resources = scope_grant::resolve_resources(loaded.realm, &request.resources)
        .map_err(|refusal| refused(&refusal))?;
    scope_grant::grant_scopes(loaded.realm, request.scope.as_ref(), &resources)
        .map(drop)
        .map_err(|refusal| refused(&refusal))
}

/// The nonce travels in the cookie of the flow and in the ID token, so it is bounded more tightly than its grammar.
fn nonce(request: &AuthorizationRequest, _: &Loaded<'_>) -> Result<(), OauthError> {
    match &request.nonce {
        Some(nonce) if nonce.len() > 512 => Err(OauthError::new(
            ErrorCode::InvalidRequest,
            "`nonce` is longer than 512 bytes",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use model::client::{Authentication, Provenance};
    use model::realm::{ClientScope, ResourceServer, ScopeKind, SigningAlgorithm};
    use model::secret::Secret;
    use oauth::form::Form;

    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn realm(resources: &[&str]) -> Realm {
        let mut realm = Realm::new(
            "r".parse().unwrap(),
            "https://auth.example/realms/r".parse().unwrap(),
        );
        realm.scopes.push(ClientScope::new(
            "mcp:tools".parse().unwrap(),
            ScopeKind::Optional,
        ));
        realm.resources = resources
            .iter()
            .map(|uri| ResourceServer {
                uri: uri.parse().unwrap(),
                default_scopes: "mcp:tools".parse().unwrap(),
            })
            .collect();
        realm
    }

    fn client(authentication: Authentication) -> Client {
        Client {
            client_id: "c".parse().unwrap(),
            name: None,
            provenance: Provenance::Configured,
            authentication,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            id_token_algorithm: SigningAlgorithm::Rs256,
            may_refresh: true,
            skip_consent: false,
            traits: model::traits::Traits::default(),
        }
    }

    fn request(extra: &[(&str, &str)]) -> AuthorizationRequest {
        let mut pairs = vec![
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(extra);
        AuthorizationRequest::parse(&Form::from_pairs(pairs)).unwrap()
    }

    fn outcome(
        realm: &Realm,
        client: &Client,
        request: &AuthorizationRequest,
    ) -> Result<String, ErrorCode> {
        apply(request, &Loaded { realm, client })
            .map(|grantable| grantable.granted.scope.to_string())
            .map_err(|error| error.code())
    }

    // AS-28, SEC-1
    #[test]
    fn a_request_without_challenge_is_refused() {
        let mut realm = realm(&[]);
        let request =
            AuthorizationRequest::parse(&Form::from_pairs([("response_type", "code")])).unwrap();
        assert_eq!(
            outcome(&realm, &client(Authentication::none()), &request),
            Err(ErrorCode::InvalidRequest)
        );
        let confidential = client(Authentication::secret(&Secret::new("s".to_owned())));
        assert_eq!(
            outcome(&realm, &confidential, &request),
            Err(ErrorCode::InvalidRequest)
        );
        realm.danger_pkce_optional = true;
        assert_eq!(
            outcome(&realm, &client(Authentication::none()), &request),
            Err(ErrorCode::InvalidRequest)
        );
        assert!(outcome(&realm, &confidential, &request).is_ok());
    }

    // AS-29, AS-30, SEC-38
    #[test]
    fn an_unknown_resource_is_an_invalid_target() {
        let realm = realm(&["https://gw.example/mcp"]);
        let public = client(Authentication::none());
        let asked = |resource| outcome(&realm, &public, &request(&[("resource", resource)]));
        assert_eq!(
            asked("https://gw.example/other"),
            Err(ErrorCode::InvalidTarget)
        );
        assert!(asked("https://gw.example/mcp").is_ok());
        assert!(asked("HTTPS://GW.example:443/mcp/").is_ok());
    }

    // SEC-38
    #[test]
    fn without_a_resource_there_must_be_no_choice() {
        let public = client(Authentication::none());
        assert!(outcome(&realm(&["https://gw.example/a"]), &public, &request(&[])).is_ok());
        let two = realm(&["https://gw.example/a", "https://gw.example/b"]);
        assert_eq!(
            outcome(&two, &public, &request(&[])),
            Err(ErrorCode::InvalidTarget)
        );
    }

    // AS-31, AS-32
    #[test]
    fn scopes_are_defaulted_completed_and_checked() {
        let realm = realm(&["https://gw.example/mcp"]);
        let public = client(Authentication::none());
        let asked = |scope| outcome(&realm, &public, &request(&[("scope", scope)]));
        assert_eq!(asked("mcp:tools").unwrap(), "profile email mcp:tools");
        assert_eq!(asked("").unwrap(), "profile email mcp:tools");
        assert_eq!(
            asked("mcp:tools offline_access").unwrap(),
            "profile email mcp:tools"
        );
        assert_eq!(asked("mcp:fail"), Err(ErrorCode::InvalidScope));
    }

    #[test]
    fn a_nonce_that_does_not_fit_is_refused() {
        let realm = realm(&[]);
        let request = request(&[("nonce", &"n".repeat(513))]);
        assert_eq!(
            outcome(&realm, &client(Authentication::none()), &request),
            Err(ErrorCode::InvalidRequest)
        );
    }
}
