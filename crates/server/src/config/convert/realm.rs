//! `realms` into `model::realm`, and the users that they declare.

use std::path::Path;

use model::client::{Authentication, Client, KeySource, Provenance};
use model::client_policy::{CacheBounds, CimdPolicy, DomainPattern, Mode};
use model::mail::MailAddress;
use model::realm::{
    ClientScope, Lifetimes, LogoutEnds, Realm, ResourceServer, ScopeKind, SigningAlgorithm,
};
use model::secret::Secret;
use model::user::Username;
use oauth::auth_method::AuthMethod;
use oauth::client_id::ClientId;
use oauth::jose::jwk::JwkSet;
use oauth::redirect_uri::RedirectUri;
use oauth::scope::{Scope, ScopeSet};

use crate::config::convert::{parse, parse_all};
use crate::config::problem::Problems;
use crate::config::{cimd, realm, scalar, secret};

/// A user that the configuration declares.
#[derive(Clone, Debug)]
pub(crate) struct DeclaredUser {
    /// What is typed into the login page.
    pub(crate) username: Username,
    /// The password, unless it is set otherwise.
    pub(crate) password: Option<Secret<String>>,
    /// The full name.
    pub(crate) name: Option<String>,
    /// The mail address.
    pub(crate) email: Option<String>,
}

/// The realm and its users. Relative paths of secrets start at `directory`.
pub(crate) fn convert(
    from: &realm::Realm,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<(Realm, Vec<DeclaredUser>)> {
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
    realm.signing_algorithm = match from.signing_algorithm {
        realm::SigningAlgorithm::ES256 => SigningAlgorithm::Es256,
        realm::SigningAlgorithm::RS256 => SigningAlgorithm::Rs256,
        realm::SigningAlgorithm::EdDSA => SigningAlgorithm::EdDsa,
    };
    realm.display_name.clone_from(&from.display_name);
    realm.lifetimes = lifetimes(&from.lifetimes);
    realm.scopes = scopes;
    realm.resources = resources;
    realm.clients = clients;
    realm.cimd = cimd_policy(&from.cimd, &format!("{path}.cimd"), problems);
    realm.logout_ends = match from.logout_ends {
        realm::LogoutEnds::Session => LogoutEnds::Session,
        realm::LogoutEnds::SessionAndTokens => LogoutEnds::SessionAndTokens,
    };
    realm.danger_pkce_optional = from.danger_pkce_optional;
    Some((realm, users))
}

fn lifetimes(from: &realm::Lifetimes) -> Lifetimes {
    Lifetimes {
        code: from.code.0,
        access_token: from.access_token.0,
        refresh_idle: from.refresh_idle.0,
        refresh_absolute: from.refresh_absolute.0,
        refresh_grace: from.refresh_grace.0,
        session_idle: from.session_idle.0,
        session_absolute: from.session_absolute.0,
        ..Lifetimes::default()
    }
}

fn scope(from: &realm::Scope, path: &str, problems: &mut Problems<'_>) -> Option<ClientScope> {
    let name: Scope = parse(&from.name, &format!("{path}.name"), problems)?;
    let kind = match from.kind {
        realm::ScopeKind::Default => ScopeKind::Default,
        realm::ScopeKind::Optional => ScopeKind::Optional,
    };
    let mut scope = ClientScope::new(name, kind);
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
            authentication.methods = vec![method];
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
        may_refresh: true,
        skip_consent: from.skip_consent,
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
    })
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

fn cimd_policy(from: &cimd::Cimd, path: &str, problems: &mut Problems<'_>) -> CimdPolicy {
    let mut trusted_domains: Vec<DomainPattern> = Vec::new();
    for (index, scalar::HostPattern(pattern)) in from.trusted_domains.iter().enumerate() {
        trusted_domains.extend(parse::<DomainPattern>(
            pattern,
            &format!("{path}.trusted_domains[{index}]"),
            problems,
        ));
    }
    CimdPolicy {
        mode: match from.mode {
            cimd::Mode::Off => Mode::Off,
            cimd::Mode::Allowlist => Mode::Allowlist,
            cimd::Mode::Approval => Mode::Approval,
            cimd::Mode::Open => Mode::Open,
        },
        allow_http: from.allow_http,
        trusted_domains,
        restrict_same_domain: from.restrict_same_domain,
        required_properties: from.required_properties.clone(),
        only_confidential: from.only_confidential,
        ports: (!from.danger_any_port).then(|| from.ports.clone()),
        danger_allow_networks: from
            .danger_allow_networks
            .iter()
            .map(|network| network.0)
            .collect(),
        cache: CacheBounds {
            min: from.cache.min.0,
            max: from.cache.max.0,
        },
    }
}
