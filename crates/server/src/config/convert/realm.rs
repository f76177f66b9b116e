//! `realms` with their secrets, and what is wrong with them.

use std::path::Path;

use model::client::{Authentication, Client, KeySource, Provenance};
use model::realm::SigningAlgorithm;
use model::registration::RegistrationPolicy;
use model::secret::{Secret, TokenHash};
use model::traits::Traits;
use oauth::auth_method::AuthMethod;
use oauth::jose::jwk::JwkSet;
use oauth::redirect_uri::RedirectUri;

use crate::config::problem::Problems;
use crate::config::realm::{self as section, DeclaredRealm, User};
use crate::config::secret::Source;

/// The shortest initial access token.
const SHORTEST_TOKEN: usize = 16;

/// The realm and its users. Relative paths of secrets start at `directory`.
pub(crate) fn convert(
    from: &section::Realm,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> DeclaredRealm {
    let clients = from.realm.clients.iter().enumerate();
    let clients = clients
        .filter_map(|(index, one)| {
            let path = format!("{path}.clients[{index}]");
            client(one, &path, directory, problems)
        })
        .collect();
    let users = from.users.iter().enumerate();
    let users = users
        .filter_map(|(index, one)| {
            user(one, &format!("{path}.users[{index}]"), directory, problems)
        })
        .collect();
    let registration = registration_policy(
        &from.realm.registration,
        &format!("{path}.registration"),
        directory,
        problems,
    );
    DeclaredRealm {
        realm: from.realm.clone().with(clients, registration),
        users,
        users_removed: from.users_removed,
        min_password_length: from.min_password_length,
    }
}

fn client(
    from: &section::Client,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Client> {
    if from.client_id.looks_like_url() {
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
        section::Authentication::None => Authentication::none(),
        section::Authentication::ClientSecretBasic | section::Authentication::ClientSecretPost => {
            let mut authentication = Authentication::secret(&secret?);
            let method = match from.authentication {
                section::Authentication::ClientSecretPost => AuthMethod::ClientSecretPost,
                _ => AuthMethod::ClientSecretBasic,
            };
            if from.only_this_authentication {
                authentication.methods = vec![method];
            }
            authentication
        }
        section::Authentication::PrivateKeyJwt => {
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
        client_id: from.client_id.clone(),
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
        traits: traits(&from.traits, path, problems),
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
    from: &User<Source>,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<User> {
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
    traits(&from.traits, path, problems);
    Some(from.clone().with_password(password))
}

/// The groups and attributes of a user or a client; too much of them is noted.
fn traits(traits: &Traits, path: &str, problems: &mut Problems<'_>) -> Traits {
    if let Err(much) = traits.check() {
        problems.note(path, much.to_string(), None);
    }
    traits.clone()
}

/// The fewest bytes of a client's secret. Guesses are slowed down, but a secret of a few letters is found all the same.
const SHORTEST_SECRET: usize = 8;

/// Reads the secret of a client; one that is too short is noted (RFC 6749 §10.10).
fn client_secret(
    source: &Source,
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
    source: &Source,
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
    from: &RegistrationPolicy<Source>,
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

    use model::realm::Realm;
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
