//! From the bare endpoint to the authorization server's metadata and keys.

use serde_json::{Value, json};
use url::Url;

use crate::check::{Unanswerable, Verdict};
use crate::session::{ResourceSeen, ServerSeen, Session};
use crate::web::{Actor, Answer};

const RESOURCE: (Actor, Actor) = (Actor::Client, Actor::Gateway);
const SERVER: (Actor, Actor) = (Actor::Client, Actor::AuthorizationServer);

/// The message that a client begins with.
pub(super) fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "sekisho-verify", "version": env!("CARGO_PKG_VERSION") }
        }
    })
}

/// A request without a token meets a challenge that says where to go.
pub(super) async fn challenge(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let answer = match session
        .mcp("without a token", None, &initialize(), &[])
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("the MCP endpoint does not answer: {error}"),
                "check the URL, and that the host name resolves and its certificate is trusted here",
            ));
        }
    };
    if answer.status.as_u16() != 401 {
        return Ok(Verdict::fail(
            format!("a request without a token got {}", answer.status),
            "the endpoint must answer 401 with a `WWW-Authenticate` challenge",
        ));
    }
    let challenges = challenges(&answer);
    let Some(bearer) = challenges.into_iter().find(|one| one.is("Bearer")) else {
        return Ok(Verdict::fail(
            "401 without a Bearer challenge",
            "send `WWW-Authenticate: Bearer resource_metadata=\"…\"`",
        ));
    };
    session.challenge_scope = bearer.get("scope").map(str::to_owned);
    session.metadata_url = bearer
        .get("resource_metadata")
        .and_then(|text| Url::parse(text).ok());
    Ok(match &session.metadata_url {
        Some(url) => Verdict::ok(format!("401 with `resource_metadata` {url}")),
        None => Verdict::warn(
            "the challenge has no absolute `resource_metadata` URL",
            "many clients look nowhere else; always send it",
        ),
    })
}

/// All challenges of an answer.
pub(super) fn challenges(answer: &Answer) -> Vec<oauth::challenge::Challenge> {
    answer
        .headers
        .get_all("www-authenticate")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|text| oauth::challenge::Challenge::parse_all(text).ok())
        .flatten()
        .collect()
}

/// The challenge says which scope to ask for.
pub(super) fn challenge_scope(session: &Session) -> Result<Verdict, Unanswerable> {
    if session.challenge_scope.is_none() && session.metadata_url.is_none() {
        return Err(Unanswerable {
            missing: "a challenge",
        });
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
    let mut candidates: Vec<Url> = session.metadata_url.iter().cloned().collect();
    candidates.extend(resource_candidates(&session.options.url));
    for url in candidates {
        let Ok(answer) = session.web.get(RESOURCE, "", &url).await else {
            continue;
        };
        let Some(document) = answer.status.is_success().then(|| answer.json()).flatten() else {
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
        "no protected resource metadata was found",
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
        .ok_or(Unanswerable {
            missing: "an issuer",
        })?;
    let Some(candidates) = server_candidates(&issuer) else {
        return Ok(Verdict::fail(
            format!("the issuer `{issuer}` is not a URL"),
            "`authorization_servers` lists issuer URLs",
        ));
    };
    let mut found = Vec::new();
    for url in candidates {
        let answer = match session.web.get(SERVER, "", &url).await {
            Ok(answer) => answer,
            Err(error) => {
                found.push(format!("{url}: {}", with_causes(&error)));
                continue;
            }
        };
        if !answer.status.is_success() {
            found.push(format!("{url}: {}", answer.status.as_u16()));
            continue;
        }
        let Some(metadata) = answer.json() else {
            found.push(format!("{url}: no JSON"));
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
        format!("no metadata for issuer {issuer}: {}", found.join(", ")),
        "serve RFC 8414 or OpenID Connect discovery for exactly this issuer",
    ))
}

/// An error with its causes: that a connection failed is less than half of it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Every form that some client probes.
pub(super) async fn server_metadata_urls(session: &Session) -> Result<Verdict, Unanswerable> {
    let issuer = session.server()?.issuer.clone();
    let mut urls = server_candidates(&issuer).ok_or(Unanswerable {
        missing: "an issuer that is a URL",
    })?;
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

/// Of these URLs, the ones that do not answer with a JSON object.
async fn missing(session: &Session, ends: (Actor, Actor), urls: Vec<Url>) -> Vec<String> {
    let mut gaps = Vec::new();
    for url in urls {
        let found = match session.web.get(ends, "", &url).await {
            Ok(answer) => {
                answer.status.is_success() && answer.json().is_some_and(|value| value.is_object())
            }
            Err(_) => false,
        };
        if !found {
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
