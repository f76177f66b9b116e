//! From the bare endpoint to the authorization server's metadata and keys.

use http::StatusCode;
use serde_json::Value;
use url::Url;

use crate::check::{Unanswerable, Verdict};
use crate::checks::mistaken;
use crate::checks::said::{challenges, initialize, is_json_rpc};
use crate::session::{ResourceSeen, ServerSeen, Session};
use crate::web::{Actor, Answer, NoAnswer, plain};

const RESOURCE: (Actor, Actor) = (Actor::Client, Actor::Gateway);
const SERVER: (Actor, Actor) = (Actor::Client, Actor::AuthorizationServer);

/// A request without a token meets a challenge that says where to go.
pub(super) async fn challenge(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let asked = session
        .mcp("without a token", None, &initialize(), &[])
        .await;
    let unauthorized = |answer: &Answer| answer.status == StatusCode::UNAUTHORIZED;
    let answer = match asked {
        Ok(answer) if unauthorized(&answer) => answer,
        Ok(answer) if answer.status != StatusCode::FORBIDDEN && is_json_rpc(&answer) => {
            session.open = true;
            return Ok(Verdict::warn(
                "the endpoint answers without a token: it has no authorization",
                "right for what everybody may use, or what something in front of it protects; wrong for anything else",
            ));
        }
        other => {
            let seen = match &other {
                Ok(answer) => format!("a request without a token got {}", answer.described()),
                Err(error) => format!("the MCP endpoint does not answer: {error}"),
            };
            let hint = match (mistaken::instead(session, &other).await, &other) {
                (Some(hint), _) => hint,
                (None, Ok(_)) => {
                    "the endpoint must answer 401 with a `WWW-Authenticate` challenge".to_owned()
                }
                (None, Err(_)) => {
                    "check the URL, and that the host name resolves and something listens there"
                        .to_owned()
                }
            };
            return Ok(Verdict::fail(seen, hint));
        }
    };
    let challenges = match challenges(&answer) {
        Ok(challenges) => challenges,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("401 with a challenge that can't be read: {error}"),
                "see RFC 9110 §11.6.1 for the grammar of `WWW-Authenticate`",
            ));
        }
    };
    let Some(bearer) = challenges.into_iter().find(|one| one.is("Bearer")) else {
        return Ok(Verdict::fail(
            "401 without a Bearer challenge",
            "send `WWW-Authenticate: Bearer resource_metadata=\"…\"`",
        ));
    };
    session.challenge_scope = bearer.get("scope").map(str::to_owned);
    session.metadata_urls = bearer
        .all("resource_metadata")
        .filter_map(|text| Url::parse(text).ok())
        .collect();
    if let Some(twice) = bearer.repeated() {
        return Ok(Verdict::fail(
            format!("the challenge has the parameter `{}` twice", plain(twice)),
            "a name occurs once in a challenge (RFC 9110 §11.2): some clients take the first value, some the last, some none",
        ));
    }
    Ok(match session.metadata_urls.first() {
        Some(url) => Verdict::ok(format!("401 with `resource_metadata` {url}")),
        None => Verdict::warn(
            "the challenge has no absolute `resource_metadata` URL",
            "many clients look nowhere else; always send it",
        ),
    })
}

/// The challenge says which scope to ask for.
pub(super) fn challenge_scope(session: &Session) -> Result<Verdict, Unanswerable> {
    if session.challenge_scope.is_none() && session.metadata_urls.is_empty() {
        return Err(Unanswerable::Missing("a challenge"));
    }
    Ok(match &session.challenge_scope {
        Some(scope) => Verdict::ok(format!("the challenge asks for `{scope}`")),
        None => Verdict::warn(
            "the challenge names no scope",
            "clients then ask for everything in `scopes_supported`, or for nothing",
        ),
    })
}

/// RFC 9728 metadata that names this very endpoint.
pub(super) async fn resource_metadata(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let mut candidates = session.metadata_urls.clone();
    candidates.extend(resource_candidates(&session.options.url));
    let mut gone = Vec::new();
    for url in candidates {
        let answer = session.web.get(RESOURCE, "", &url).await;
        let Some(document) = document_of(&answer) else {
            gone.push((url, answer));
            continue;
        };
        let texts = |name: &str| -> Vec<String> {
            document
                .get(name)
                .and_then(Value::as_array)
                .map(|list| {
                    list.iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default()
        };
        let seen = ResourceSeen {
            resource: document
                .get("resource")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            authorization_servers: texts("authorization_servers"),
            scopes_supported: texts("scopes_supported"),
        };
        let verdict = if seen.authorization_servers.is_empty() {
            Verdict::fail(
                "the metadata names no authorization server",
                "list at least one issuer in `authorization_servers`",
            )
        } else if seen.resource.trim_end_matches('/')
            == session.options.url.as_str().trim_end_matches('/')
        {
            Verdict::ok(format!("`resource` is {}", seen.resource))
        } else {
            Verdict::fail(
                format!(
                    "`resource` is `{}`, not the URL that was asked",
                    seen.resource
                ),
                "strict clients compare it with the URL they were given, byte for byte",
            )
        };
        session.resource = Some(seen);
        return Ok(verdict);
    }
    Ok(Verdict::fail(
        format!("no protected resource metadata was found{}", tried(&gone)),
        "serve it at /.well-known/oauth-protected-resource, followed by the endpoint's path",
    ))
}

/// Both well-known forms, because clients try both.
pub(super) async fn resource_metadata_urls(session: &Session) -> Result<Verdict, Unanswerable> {
    session.resource()?;
    let urls = resource_candidates(&session.options.url);
    let missing = missing(session, RESOURCE, urls).await;
    Ok(match missing.as_slice() {
        [] => Verdict::ok("found at the path form and at the root"),
        gaps => Verdict::warn(
            format!("not found at {}", gaps.join(" and ")),
            "clients that ignore the challenge probe these URLs",
        ),
    })
}

/// Authorization server metadata whose issuer is the one that led here.
pub(super) async fn server_metadata(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let issuer = session
        .resource()?
        .authorization_servers
        .first()
        .cloned()
        .ok_or(Unanswerable::Missing("an issuer"))?;
    let Some(candidates) = server_candidates(&issuer) else {
        return Ok(Verdict::fail(
            format!("the issuer `{issuer}` is not a URL"),
            "`authorization_servers` lists issuer URLs",
        ));
    };
    let mut gone = Vec::new();
    for url in candidates {
        let answer = session.web.get(SERVER, "", &url).await;
        let Some(metadata) = document_of(&answer) else {
            gone.push((url, answer));
            continue;
        };
        let endpoint = |name: &str| {
            metadata
                .get(name)
                .and_then(Value::as_str)
                .and_then(|text| Url::parse(text).ok())
                // Whoever opens another kind of URL runs what a stranger chose (CL-19).
                .filter(|url| matches!(url.scheme(), "http" | "https"))
        };
        let (Some(authorization_endpoint), Some(token_endpoint)) = (
            endpoint("authorization_endpoint"),
            endpoint("token_endpoint"),
        ) else {
            return Ok(Verdict::fail(
                format!(
                    "{url} has no `authorization_endpoint` or no `token_endpoint` that is an http(s) URL"
                ),
                "both are required (RFC 8414 §2), and clients must open nothing else",
            ));
        };
        let named = metadata
            .get("issuer")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let verdict = if named == issuer {
            Verdict::ok(format!("issuer {issuer}"))
        } else {
            Verdict::fail(
                format!("the metadata says issuer `{named}`, the gateway said `{issuer}`"),
                "they must be equal, trailing slash included; clients must refuse otherwise",
            )
        };
        session.server = Some(ServerSeen {
            issuer,
            authorization_endpoint,
            token_endpoint,
            metadata,
        });
        return Ok(verdict);
    }
    Ok(Verdict::fail(
        format!("no metadata for issuer {issuer}{}", tried(&gone)),
        "serve RFC 8414 or OpenID Connect discovery for exactly this issuer",
    ))
}

/// Every form that some client probes.
pub(super) async fn server_metadata_urls(session: &Session) -> Result<Verdict, Unanswerable> {
    let issuer = session.server()?.issuer.clone();
    let mut urls =
        server_candidates(&issuer).ok_or(Unanswerable::Missing("an issuer that is a URL"))?;
    urls.extend(appended(&issuer));
    urls.dedup();
    let missing = missing(session, SERVER, urls).await;
    Ok(match missing.as_slice() {
        [] => Verdict::ok("RFC 8414 and OpenID Connect forms, root-inserted and appended"),
        gaps => Verdict::warn(
            format!("not found at {}", gaps.join(", ")),
            "some clients probe only one of the forms",
        ),
    })
}

/// HTTPS, except on loopback.
pub(super) fn transport_security(session: &Session) -> Result<Verdict, Unanswerable> {
    let server = session.server()?;
    let urls = [
        &session.options.url,
        &server.authorization_endpoint,
        &server.token_endpoint,
    ];
    let plain: Vec<&str> = urls
        .into_iter()
        .filter(|url| url.scheme() != "https" && !is_loopback(url))
        .map(Url::as_str)
        .collect();
    Ok(match plain.as_slice() {
        [] => Verdict::ok("HTTPS, or loopback"),
        some => Verdict::fail(
            format!("plain HTTP at {}", some.join(", ")),
            "tokens travel over these URLs; serve them over HTTPS",
        ),
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Clients must refuse a server that does not list S256.
pub(super) fn pkce_advertised(session: &Session) -> Result<Verdict, Unanswerable> {
    let server = session.server()?;
    let member = "code_challenge_methods_supported";
    Ok(if !server.lists(member, "S256") {
        Verdict::fail(
            "`code_challenge_methods_supported` does not list S256",
            "clients must refuse to continue without it",
        )
    } else if server.lists(member, "plain") {
        Verdict::warn(
            "`plain` is offered beside S256",
            "OAuth 2.1 clients never need it; an attacker may",
        )
    } else {
        Verdict::ok("S256 only")
    })
}

/// The promise to send `iss`.
pub(super) fn iss_advertised(session: &Session) -> Result<Verdict, Unanswerable> {
    Ok(
        if session
            .server()?
            .says("authorization_response_iss_parameter_supported")
        {
            Verdict::ok("`authorization_response_iss_parameter_supported` is true")
        } else {
            Verdict::warn(
                "`iss` in authorization responses is not promised",
                "it is what protects clients of several servers from mix-up",
            )
        },
    )
}

/// Public keys to verify tokens with.
pub(super) async fn keys(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let Some(url) = session
        .server()?
        .metadata
        .get("jwks_uri")
        .and_then(Value::as_str)
        .and_then(|text| Url::parse(text).ok())
    else {
        return Ok(Verdict::warn(
            "no `jwks_uri`",
            "needed unless access tokens are opaque",
        ));
    };
    let document = match session.web.get(SERVER, "", &url).await {
        Ok(answer) => answer.json(),
        Err(_) => None,
    };
    let count = document
        .as_ref()
        .and_then(|keys| keys.get("keys")?.as_array().map(Vec::len));
    Ok(match (document, count) {
        (Some(document), Some(count)) if count > 0 => {
            let private = ["d", "p", "q", "k"];
            let leaked = document
                .get("keys")
                .and_then(Value::as_array)
                .is_some_and(|keys| {
                    keys.iter()
                        .any(|key| private.iter().any(|name| key.get(name).is_some()))
                });
            session.jwks = Some(document);
            if leaked {
                Verdict::fail(
                    "the key set contains private key material",
                    "replace these keys at once",
                )
            } else {
                Verdict::ok(format!("{count} public key(s)"))
            }
        }
        _ => Verdict::fail("no keys at `jwks_uri`", "publish a JWK Set there"),
    })
}

/// The JSON object of a successful answer.
fn document_of(answer: &Result<Answer, NoAnswer>) -> Option<Value> {
    let answer = answer.as_ref().ok()?;
    let document = answer.status.is_success().then(|| answer.json()).flatten();
    document.filter(Value::is_object)
}

/// What the places that were tried said.
fn tried(places: &[(Url, Result<Answer, NoAnswer>)]) -> String {
    let said = |(url, answer): &(Url, Result<Answer, NoAnswer>)| match answer {
        Ok(answer) => format!("{url}: {}", answer.described()),
        Err(error) => format!("{url}: {error}"),
    };
    match places {
        [] => String::new(),
        places => format!(
            ": {}",
            places.iter().map(said).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Of these URLs, the ones that do not answer with a JSON object.
async fn missing(session: &Session, ends: (Actor, Actor), urls: Vec<Url>) -> Vec<String> {
    let mut gaps = Vec::new();
    for url in urls {
        if document_of(&session.web.get(ends, "", &url).await).is_none() {
            gaps.push(url.path().to_owned());
        }
    }
    gaps
}

/// The URLs at which clients look for the gateway's metadata.
fn resource_candidates(resource: &Url) -> Vec<Url> {
    parsed(&oauth::discovery::resource_metadata_urls(resource))
}

/// The URLs at which clients look for an issuer's metadata, in their order (CL-2).
fn server_candidates(issuer: &str) -> Option<Vec<Url>> {
    let issuer = issuer.parse().ok()?;
    Some(parsed(&oauth::discovery::server_metadata_urls(&issuer)))
}

fn parsed(urls: &[String]) -> Vec<Url> {
    urls.iter().filter_map(|url| Url::parse(url).ok()).collect()
}

/// The RFC 8414 name behind the issuer's path, where some clients look although no specification says so.
fn appended(issuer: &str) -> Option<Url> {
    Url::parse(&format!("{issuer}/.well-known/oauth-authorization-server")).ok()
}
