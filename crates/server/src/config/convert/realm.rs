//! `realms` into `model::realm`, and the users that they declare.

use std::collections::BTreeMap;
use std::path::Path;

use model::client::{Authentication, Client, KeySource, Provenance};
use model::mail::MailAddress;
use model::realm::{ClientScope, Realm, ResourceServer, SigningAlgorithm};
use model::registration::RegistrationPolicy;
use model::secret::{Secret, TokenHash};
use model::traits::{Attribute, AttributeName, Group, Traits};
use model::user::Username;
use oauth::auth_method::AuthMethod;
use oauth::client_id::ClientId;
use oauth::jose::jwk::JwkSet;
use oauth::redirect_uri::RedirectUri;
use oauth::scope::{Scope, ScopeSet};

use crate::config::convert::{parse, parse_all};
use crate::config::problem::Problems;
use crate::config::realm::UsersRemoved;
use crate::config::{realm, secret};

/// The shortest initial access token.
const SHORTEST_TOKEN: usize = 16;

/// A user that the configuration declares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeclaredUser {
    /// What is typed into the login page.
    pub(crate) username: Username,
    /// The password, unless it is set otherwise.
    pub(crate) password: Option<Secret<String>>,
    /// The full name.
    pub(crate) name: Option<String>,
    /// The mail address.
    pub(crate) email: Option<String>,
    /// The groups and attributes.
    pub(crate) traits: Traits,
}

/// A realm, with whom the configuration declares in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeclaredRealm {
    /// The realm.
    pub(crate) realm: Realm,
    /// Its users.
    pub(crate) users: Vec<DeclaredUser>,
    /// What becomes of users that were declared before.
    pub(crate) users_removed: UsersRemoved,
}

/// The realm and its users. Relative paths of secrets start at `directory`.
pub(crate) fn convert(
    from: &realm::Realm,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<DeclaredRealm> {
    let name = parse(&from.name.0, &format!("{path}.name"), problems);
    let issuer = parse(from.url.plain(), &format!("{path}.url"), problems);
    let scopes = from
        .scopes
        .iter()
        .enumerate()
        .filter_map(|(index, one)| scope(one, &format!("{path}.scopes[{index}]"), problems))
        .collect();
    let resources = from
        .resources
        .iter()
        .enumerate()
        .filter_map(|(index, one)| resource(one, &format!("{path}.resources[{index}]"), problems))
        .collect();
    let clients = from
        .clients
        .iter()
        .enumerate()
        .filter_map(|(index, one)| {
            client(
                one,
                &format!("{path}.clients[{index}]"),
                directory,
                problems,
            )
        })
        .collect();
    let users = from
        .users
        .iter()
        .enumerate()
        .filter_map(|(index, one)| {
            user(one, &format!("{path}.users[{index}]"), directory, problems)
        })
        .collect();
    let mut realm = Realm::new(name?, issuer?);
    realm.signing_algorithm = from.signing_algorithm;
    realm.display_name.clone_from(&from.display_name);
    realm.lifetimes = from.lifetimes;
    realm.scopes = scopes;
    realm.resources = resources;
    realm.clients = clients;
    realm.cimd = from.cimd.clone();
    realm.logout_ends = from.logout_ends;
    realm.registration = registration_policy(
        &from.registration,
        &format!("{path}.registration"),
        directory,
        problems,
    );
    realm.danger_pkce_optional = from.danger_pkce_optional;
    Some(DeclaredRealm {
        realm,
        users,
        users_removed: from.users_removed,
    })
}

fn scope(from: &realm::Scope, path: &str, problems: &mut Problems<'_>) -> Option<ClientScope> {
    let name: Scope = parse(&from.name, &format!("{path}.name"), problems)?;
    let mut scope = ClientScope::new(name, from.kind);
    match &from.consent_text {
        None => {}
        Some(realm::ConsentText::Same(text)) => scope.consent_text = Some(text.clone()),
        Some(realm::ConsentText::ByLanguage(realm::ByLanguage { en, ja })) => {
            scope.consent_text = en.clone().or_else(|| ja.clone());
            let texts = [("en", en), ("ja", ja)];
            scope.consent_texts = texts
                .into_iter()
                .filter_map(|(tag, text)| Some((tag.to_owned(), text.clone()?)))
                .collect();
        }
    }
    scope.audiences.clone_from(&from.audiences);
    scope.claims.extend(from.claims.iter().cloned());
    Some(scope)
}

fn resource(
    from: &realm::Resource,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<ResourceServer> {
    let uri = parse(from.uri.plain(), &format!("{path}.uri"), problems);
    let default_scopes = scope_set(
        &from.default_scopes,
        &format!("{path}.default_scopes"),
        problems,
    );
    Some(ResourceServer {
        uri: uri?,
        default_scopes,
    })
}

/// A list of scope names as a set.
pub(super) fn scope_set(names: &[String], path: &str, problems: &mut Problems<'_>) -> ScopeSet {
    let mut set = ScopeSet::new();
    for scope in parse_all(names, path, problems) {
        set.insert(scope);
    }
    set
}

fn client(
    from: &realm::Client,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Client> {
    let client_id: Option<ClientId> =
        parse(&from.client_id, &format!("{path}.client_id"), problems);
    if client_id.as_ref().is_some_and(ClientId::looks_like_url) {
        problems.note(
            format!("{path}.client_id"),
            format!(
                "`{}` is taken for the URL of a metadata document",
                from.client_id
            ),
            "give it a plain name; who may come with a document is said by `cimd`".to_owned(),
        );
    }
    let redirect_uris = return_addresses(
        &from.redirect_uris,
        &format!("{path}.redirect_uris"),
        problems,
    );
    let post_logout_redirect_uris = return_addresses(
        &from.post_logout_redirect_uris,
        &format!("{path}.post_logout_redirect_uris"),
        problems,
    );
    let secret = from
        .secret
        .as_ref()
        .and_then(|source| client_secret(source, &format!("{path}.secret"), directory, problems));
    let authentication = match from.authentication {
        realm::Authentication::None => Authentication::none(),
        realm::Authentication::ClientSecretBasic | realm::Authentication::ClientSecretPost => {
            let mut authentication = Authentication::secret(&secret?);
            let method = match from.authentication {
                realm::Authentication::ClientSecretPost => AuthMethod::ClientSecretPost,
                _ => AuthMethod::ClientSecretBasic,
            };
            if from.only_this_authentication {
                authentication.methods = vec![method];
            }
            authentication
        }
        realm::Authentication::PrivateKeyJwt => {
            let jwks = serde_json::Value::Object(from.jwks.clone()?);
            if let Some(fault) = fault_of_keys(&jwks) {
                problems.note(
                    format!("{path}.jwks"),
                    fault,
                    "write a JSON Web Key Set: { keys: [ … ] }".to_owned(),
                );
            }
            Authentication::private_key_jwt(KeySource::Inline(jwks.to_string()))
        }
    };
    Some(Client {
        client_id: client_id?,
        name: from.name.clone(),
        provenance: Provenance::Configured,
        authentication,
        redirect_uris,
        post_logout_redirect_uris,
        id_token_algorithm: from
            .id_token_signed_response_alg
            .unwrap_or(SigningAlgorithm::default_of_id_tokens()),
        may_refresh: true,
        skip_consent: from.skip_consent,
        traits: traits(&from.groups, &from.attributes, path, problems),
    })
}

/// What is wrong with a key set by which nobody could log in.
fn fault_of_keys(jwks: &serde_json::Value) -> Option<String> {
    match JwkSet::from_value(jwks) {
        Err(error) => Some(error.to_string()),
        Ok(keys) if keys.keys().is_empty() => Some(match keys.left_out() {
            [first, ..] => format!("no key can be used: {}", first.reason),
            [] => "there is no key for signatures".to_owned(),
        }),
        Ok(_) => None,
    }
}

/// Where a registered client may have browsers sent. Whoever writes a private-use scheme into the list, as
/// `cursor://callback` (RFC 8252 §7.1), allows it to that client; what merely lacks a scheme, as `localhost:6274/cb`,
/// stays a mistake.
fn return_addresses(texts: &[String], path: &str, problems: &mut Problems<'_>) -> Vec<RedirectUri> {
    let mut uris = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let scheme = text
            .split_once(":/")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        match RedirectUri::parse_with_schemes(text, &[scheme.as_deref().unwrap_or_default()]) {
            Ok(uri) => uris.push(uri),
            Err(error) => problems.note(
                format!("{path}[{index}]"),
                format!("`{text}` can't be used: {error}"),
                "write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`"
                    .to_owned(),
            ),
        }
    }
    uris
}

fn user(
    from: &realm::User,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<DeclaredUser> {
    let username = parse(&from.username, &format!("{path}.username"), problems);
    let password = match &from.password {
        None => None,
        Some(source) => {
            let password = read_secret(source, &format!("{path}.password"), directory, problems)?;
            if password.expose().len() > model::password::MAX_LENGTH {
                problems.note(
                    format!("{path}.password"),
                    format!(
                        "the password is longer than {} bytes",
                        model::password::MAX_LENGTH
                    ),
                    None,
                );
            }
            Some(password)
        }
    };
    let email = match &from.email {
        None => None,
        Some(text) => Some(parse::<MailAddress>(
            text,
            &format!("{path}.email"),
            problems,
        )?),
    };
    Some(DeclaredUser {
        username: username?,
        password,
        name: from.name.clone(),
        email: email.map(|address| address.to_string()),
        traits: traits(&from.groups, &from.attributes, path, problems),
    })
}

/// The groups and attributes of a user or a client.
fn traits(
    groups: &[Group],
    attributes: &BTreeMap<String, Attribute>,
    path: &str,
    problems: &mut Problems<'_>,
) -> Traits {
    let mut named = BTreeMap::new();
    for (name, attribute) in attributes {
        let at = format!("{path}.attributes.{name}");
        if let Some(name) = parse::<AttributeName>(name, &at, problems) {
            named.insert(name, attribute.clone());
        }
    }
    let traits = Traits {
        groups: groups.iter().cloned().collect(),
        attributes: named,
    };
    if let Err(much) = traits.check() {
        problems.note(path, much.to_string(), None);
    }
    traits
}

/// The fewest bytes of a client's secret. Guesses are slowed down, but a secret of a few letters is found all the same.
const SHORTEST_SECRET: usize = 8;

/// Reads the secret of a client; one that is too short is noted (RFC 6749 §10.10).
fn client_secret(
    source: &secret::Source,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Secret<String>> {
    let secret = read_secret(source, path, directory, problems)?;
    if secret.expose().len() < SHORTEST_SECRET {
        problems.note(
            path,
            format!("the secret of a client has at least {SHORTEST_SECRET} characters"),
            "draw one at random: `openssl rand -base64 32`".to_owned(),
        );
        return None;
    }
    Some(secret)
}

/// Reads a secret; a failure is noted.
pub(super) fn read_secret(
    source: &secret::Source,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Secret<String>> {
    match source.read(directory) {
        Ok(text) => Some(Secret::new(text)),
        Err(missing) => {
            problems.note(path, missing.to_string(), None);
            None
        }
    }
}

fn registration_policy(
    from: &RegistrationPolicy<secret::Source>,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> RegistrationPolicy {
    let mut tokens = Vec::new();
    for (index, source) in from.initial_access_tokens.iter().enumerate() {
        let at = format!("{path}.initial_access_tokens[{index}]");
        let Some(token) = read_secret(source, &at, directory, problems) else {
            continue;
        };
        if token.expose().len() < SHORTEST_TOKEN {
            problems.note(
                at,
                format!("the token has fewer than {SHORTEST_TOKEN} characters"),
                "anybody may guess at it: use `openssl rand -base64 32`".to_owned(),
            );
        }
        tokens.push(TokenHash::of(token.expose()));
    }
    for (index, scheme) in from.private_schemes.iter().enumerate() {
        let probe = format!("{scheme}:/callback");
        let is_scheme = RedirectUri::parse_with_schemes(&probe, &[scheme.as_str()])
            .is_ok_and(|uri| uri.is_private_scheme() && uri.display_host() == scheme);
        if !is_scheme {
            problems.note(
                format!("{path}.private_schemes[{index}]"),
                format!("`{scheme}` is not the scheme of an application"),
                "write it in lower case and without `://`, as `cursor`".to_owned(),
            );
        }
    }
    from.clone().with_tokens(tokens)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use model::registration;

    use super::*;
    use crate::config::Loaded;
    use crate::wire::plan::Plan;

    const HEAD: &str = "\
listeners: [ { name: main, address: '127.0.0.1:8480' } ]
store: { url: 'sqlite::memory:' }
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
";

    fn planned(rest: &str) -> Result<Realm, String> {
        let text = format!("{HEAD}{rest}");
        let loaded = Loaded::parse(&text, "f.yaml", PathBuf::new()).unwrap();
        let plan = Plan::new(loaded).map_err(|invalid| invalid.to_string())?;
        let realm = plan.realms.into_iter().next().unwrap().realm;
        Ok(realm)
    }

    fn methods(keys: &str) -> Vec<AuthMethod> {
        let client = format!(
            "    clients: [ {{ client_id: c, redirect_uris: [ 'http://localhost/cb' ], secret: {{ danger_literal: a-long-enough-secret-of-a-client }}, {keys} }} ]\n"
        );
        let realm = planned(&client).unwrap();
        let client = realm.clients.into_iter().next().unwrap();
        client.authentication.methods
    }

    #[test]
    fn a_secret_may_be_sent_either_way_unless_the_operator_insists() {
        let either = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
        assert_eq!(methods("authentication: client_secret_basic"), either);
        assert_eq!(methods("authentication: client_secret_post"), either);
        let insisting = "authentication: client_secret_post, only_this_authentication: true";
        assert_eq!(methods(insisting), [AuthMethod::ClientSecretPost]);
    }

    // SEC-33
    #[test]
    fn clients_register_themselves_only_where_the_operator_says_so() {
        let realm = planned("").unwrap();
        assert_eq!(realm.registration.mode, registration::Mode::Off);
        let open = planned(
            "    registration: { mode: open, trusted_domains: [ '*.a.example' ], private_schemes: [ cursor ] }\n",
        );
        let policy = open.unwrap().registration;
        assert_eq!(policy.mode, registration::Mode::Open);
        assert_eq!(policy.private_schemes, ["cursor"]);
        assert!(policy.admits(&"https://b.a.example/cb".parse().unwrap()));
        let token = planned(
            "    registration: { mode: token, initial_access_tokens: [ { danger_literal: sixteen-letters-or-more } ] }\n",
        );
        let policy = token.unwrap().registration;
        assert!(policy.knows_token("sixteen-letters-or-more") && !policy.knows_token(""));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (keys, message) in [
            (
                "registration: { mode: token }",
                "`initial_access_tokens` is missing",
            ),
            (
                "registration: { mode: open, initial_access_tokens: [ { danger_literal: sixteen-letters-or-more } ] }",
                "nobody is asked for these",
            ),
            (
                "registration: { mode: token, initial_access_tokens: [ { danger_literal: short } ] }",
                "fewer than 16 characters",
            ),
            (
                "registration: { private_schemes: [ 'https' ] }",
                "not the scheme of an application",
            ),
            (
                "registration: { private_schemes: [ 'javascript' ] }",
                "not the scheme of an application",
            ),
            ("registration: { unused: 0 }", "nobody could register"),
            (
                "clients: [ { client_id: c, redirect_uris: [ 'http://localhost/cb' ], only_this_authentication: true } ]",
                "no other way for this client",
            ),
            (
                "clients: [ { client_id: c, redirect_uris: [ 'http://localhost/cb' ], id_token_signed_response_alg: EdDSA } ]",
                "no key of this algorithm",
            ),
        ] {
            let problems = planned(&format!("    {keys}\n")).unwrap_err();
            assert!(problems.contains(message), "{keys}: {problems}");
        }
    }

    #[test]
    fn a_client_says_what_its_id_tokens_are_signed_with() {
        let client = "clients: [ { client_id: c, redirect_uris: [ 'http://localhost/cb' ]";
        for (keys, expected) in [
            ("", SigningAlgorithm::Rs256),
            (
                ", id_token_signed_response_alg: ES256",
                SigningAlgorithm::Es256,
            ),
        ] {
            let realm = planned(&format!("    {client}{keys} }} ]\n")).unwrap();
            assert_eq!(realm.clients[0].id_token_algorithm, expected);
        }
    }
}
