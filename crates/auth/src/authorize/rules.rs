//! Everything that is checked of an authorization request once it is known who asks and where the answer goes: one ordered
//! table. Each rule reads its parameters and writes what they would be granted, or refuses by redirect.

use model::client::Client;
use model::granted::Terms;
use model::realm::{Realm, ResourceServer};
use model::scope_grant;
use oauth::error::{ErrorCode, OauthError};
use oauth::form::Form;
use oauth::pkce::CodeChallenge;
use oauth::prompt::Prompt;
use oauth::request::authorization as parameter;
use oauth::scope::ScopeSet;

/// The longest nonce, in bytes: it travels in the cookie of the flow and in the ID token.
const LONGEST_NONCE: usize = 512;

/// What the rules may look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) form: &'a Form,
    pub(crate) realm: &'a Realm,
    pub(crate) client: &'a Client,
}

/// What a request would be granted, and how its pages should be. Rule by rule it becomes complete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grantable<'a> {
    pub(crate) challenge: Option<CodeChallenge>,
    resources: Vec<&'a ResourceServer>,
    pub(crate) scope: ScopeSet,
    id_token: bool,
    nonce: Option<String>,
    pub(crate) prompt: Prompt,
    pub(crate) max_age: Option<u32>,
    pub(crate) login_hint: Option<String>,
    pub(crate) ui_locales: Option<String>,
}

impl Grantable<'_> {
    /// What it would be granted.
    pub(crate) fn terms(&self, asked: &Asked<'_>) -> Terms {
        Terms {
            realm: asked.realm.name.clone(),
            client_id: asked.client.client_id.clone(),
            scope: self.scope.clone(),
            id_token: self.id_token,
            resources: self.resources.iter().map(|one| one.uri.clone()).collect(),
            nonce: self.nonce.clone(),
        }
    }
}

type Check = for<'a> fn(&mut Grantable<'a>, &Asked<'a>) -> Result<(), OauthError>;

/// The rules by their names in the log. Order is the order of application.
#[rustfmt::skip] // a table
pub(crate) const RULES: &[(&str, Check)] = &[
    // OpenID Connect Core §6
    ("request", |_, asked| parameter::no_request_object(asked.form)),
    ("request_uri", |_, asked| parameter::no_request_uri(asked.form)),
    // OAuth 2.1 §4.1.1, OAuth 2.0 Multiple Response Type Encoding Practices §2.1
    ("response_type", |_, asked| parameter::response_type(asked.form).map(drop)),
    ("response_mode", |_, asked| parameter::response_mode(asked.form).map(drop)),
    // OAuth 2.1 §4.1.1, RFC 7636 §4.4.1
    ("pkce", pkce),
    // RFC 8707 §2
    ("resource", resource),
    // RFC 6749 §3.3
    ("scope", scope),
    // OpenID Connect Core §3.1.2.1; a hint that does not fit is none
    ("nonce", |to, asked| parameter::nonce(asked.form, LONGEST_NONCE).map(|nonce| to.nonce = nonce)),
    ("prompt", |to, asked| parameter::prompt(asked.form).map(|prompt| to.prompt = prompt)),
    ("max_age", |to, asked| parameter::max_age(asked.form).map(|max_age| to.max_age = max_age)),
    ("hints", |to, asked| {
        to.login_hint = parameter::hint(asked.form, "login_hint", 200);
        to.ui_locales = parameter::hint(asked.form, "ui_locales", 100);
        Ok(())
    }),
];

/// Applies all rules.
pub(crate) fn apply<'a>(asked: &Asked<'a>) -> Result<Grantable<'a>, OauthError> {
    let mut grantable = Grantable::default();
    for (rule, check) in RULES {
        check(&mut grantable, asked).inspect_err(|error| {
            tracing::info!(rule, client.id = %asked.client.client_id, %error, "authorization request refused");
        })?;
    }
    Ok(grantable)
}

/// A challenge must be there, save where the operator dangerously does without (AS-28, SEC-1).
fn pkce(to: &mut Grantable<'_>, asked: &Asked<'_>) -> Result<(), OauthError> {
    to.challenge = parameter::code_challenge(asked.form)?;
    let may_omit = || asked.client.may_omit_pkce(asked.realm.danger_pkce_optional);
    if to.challenge.is_some() || may_omit() {
        return Ok(());
    }
    Err(OauthError::new(
        ErrorCode::InvalidRequest,
        "`code_challenge` is missing; hint: send `code_challenge` and `code_challenge_method=S256` (OAuth 2.1 section 4.1.1)",
    ))
}

/// Every resource must be one of the realm's (AS-29, SEC-38).
fn resource<'a>(to: &mut Grantable<'a>, asked: &Asked<'a>) -> Result<(), OauthError> {
    let requested = parameter::resources(asked.form)?;
    to.resources = scope_grant::resolve_resources(asked.realm, &requested)?;
    Ok(())
}

/// Every scope must be one of the realm's (SEC-20).
fn scope(to: &mut Grantable<'_>, asked: &Asked<'_>) -> Result<(), OauthError> {
    let requested = parameter::scope(asked.form)?;
    let scopes = scope_grant::grant_scopes(asked.realm, requested.as_ref(), &to.resources)?;
    (to.scope, to.id_token) = (scopes.scope, scopes.openid_requested);
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::client::{Authentication, Provenance};
    use model::realm::{ClientScope, ScopeKind, SigningAlgorithm};
    use model::secret::Secret;

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

    fn request(extra: &[(&str, &str)]) -> Form {
        let mut pairs = vec![
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(extra);
        Form::from_pairs(pairs)
    }

    fn outcome(realm: &Realm, client: &Client, form: &Form) -> Result<String, ErrorCode> {
        let asked = Asked {
            form,
            realm,
            client,
        };
        apply(&asked)
            .map(|grantable| grantable.scope.to_string())
            .map_err(|error| error.code())
    }

    // AS-28, SEC-1
    #[test]
    fn a_request_without_challenge_is_refused() {
        let mut realm = realm(&[]);
        let request = Form::from_pairs([("response_type", "code")]);
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
