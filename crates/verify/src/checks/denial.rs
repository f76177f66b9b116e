//! Requests that a resource server must refuse, each with one thing wrong.

use serde_json::{Value, json};

use crate::browser::Person;
use crate::check::{Unanswerable, Verdict};
use crate::checks::token::audience_of;
use crate::checks::transport::{self, reason};
use crate::forge::{StrangersKey, public_key_pem};
use crate::session::{Session, Variation, fresh_text, message_of};
use crate::web::Answer;

/// Leeway for clocks that a gateway may grant (SEC-41), and a little more.
const LEEWAY: i64 = 65;

/// Sends `tools/list` with this token and expects 401.
async fn must_refuse(
    session: &Session,
    token: &str,
    what: &str,
    hint: &str,
) -> Result<Verdict, Unanswerable> {
    Ok(match list(session, token, &[]).await? {
        Err(error) => Verdict::fail(format!("{what} got no answer: {error}"), "refuse with 401"),
        Ok(answer) => judged(&answer, 401, what, hint),
    })
}

/// A `tools/list` in the era that works.
async fn list(
    session: &Session,
    token: &str,
    more: &[(&str, &str)],
) -> Result<Result<Answer, String>, Unanswerable> {
    session.tokens()?;
    let (message, headers) = if session.stateless == Some(true) {
        transport::stateless_request("tools/list", json!({}))
    } else {
        let mut headers = vec![("mcp-protocol-version", "2025-11-25".to_owned())];
        headers.extend(session.legacy_id.clone().map(|id| ("mcp-session-id", id)));
        (
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
            headers,
        )
    };
    let mut all: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    all.extend(more);
    Ok(session
        .mcp("(tools/list)", Some(token), &message, &all)
        .await)
}

/// Whether a refusal is the right one.
fn judged(answer: &Answer, expected: u16, what: &str, hint: &str) -> Verdict {
    let status = answer.status.as_u16();
    let accepted = answer.status.is_success()
        && message_of(answer).is_none_or(|message| message.get("error").is_none());
    if accepted {
        Verdict::fail(format!("{what} was accepted"), hint)
    } else if status == expected {
        Verdict::ok(format!("{what} is refused with {status}"))
    } else {
        Verdict::warn(
            format!("{what} is refused with {}{}", answer.status, reason(answer)),
            format!("clients expect {expected}"),
        )
    }
}

/// Something that is no token at all.
pub(super) async fn garbage(session: &Session) -> Result<Verdict, Unanswerable> {
    must_refuse(
        session,
        "garbage",
        "a token that is no token",
        "verify tokens before anything else",
    )
    .await
}

/// A token of the same issuer and user that was made for something else.
pub(super) async fn wrong_audience(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let good = audience_of(session.jwt()?);
    let variation = Variation {
        scope: Some("openid"),
        without_resource: true,
        ..Variation::default()
    };
    let Ok(code) = session.fresh_code(variation).await else {
        return Ok(Verdict::ok(
            "the authorization server gives no token without this gateway's scope",
        ));
    };
    let Ok(answer) = session.redeem(&code, &[("resource", "")]).await? else {
        return Err(Unanswerable {
            missing: "a token for something else",
        });
    };
    let Some(tokens) = Session::read_tokens(&answer) else {
        return Ok(Verdict::ok(
            "the authorization server gives no token without this gateway's scope",
        ));
    };
    let Some(jwt) = &tokens.jwt else {
        return Err(Unanswerable {
            missing: "a token for something else that is a JWT",
        });
    };
    let audience = audience_of(jwt);
    let what = format!("a token for `{audience}` (a good one is for `{good}`)");
    let hint =
        "the gateway does not check the audience: a token made for any other service opens it";
    let answer = match list(session, &tokens.access, &[]).await? {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("{what} got no answer: {error}"),
                "refuse with 401",
            ));
        }
    };
    Ok(audience_verdict(&answer, &what, hint))
}

/// An ID token is not an access token, whoever signed it.
pub(super) async fn id_token(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let variation = Variation {
        scope: Some("openid"),
        ..Variation::default()
    };
    let id = match session.tokens()?.id.clone() {
        Some(id) => Some(id),
        None => match session.fresh_code(variation).await {
            Ok(code) => session
                .redeem(&code, &[])
                .await?
                .ok()
                .as_ref()
                .and_then(Session::read_tokens)
                .and_then(|tokens| tokens.id),
            Err(_) => None,
        },
    };
    let Some(id) = id else {
        return Ok(Verdict::ok(
            "the authorization server issues no ID tokens to this client",
        ));
    };
    let answer = match list(session, &id, &[]).await? {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("an ID token got no answer: {error}"),
                "refuse with 401",
            ));
        }
    };
    Ok(audience_verdict(
        &answer,
        "an ID token, whose audience is the client",
        "the gateway does not check the audience: any token of this issuer opens it",
    ))
}

/// 401 is right. 403 says that the audience was accepted and only the scope was missing.
fn audience_verdict(answer: &Answer, what: &str, hint: &str) -> Verdict {
    let scope_only =
        answer.status.as_u16() == 403 && reason(answer).starts_with(": insufficient_scope");
    if scope_only {
        return Verdict::fail(
            format!("{what} was refused only for its scope, not for its audience"),
            hint,
        );
    }
    judged(answer, 401, what, hint)
}

/// The claims of a good token, but another issuer's name and key.
pub(super) async fn wrong_issuer(session: &Session) -> Result<Verdict, Unanswerable> {
    let token = forged(session, "iss", "https://issuer.example".into())?;
    must_refuse(
        session,
        &token,
        "a token of another issuer",
        "compare `iss` exactly, and use only that issuer's keys",
    )
    .await
}

/// The claims of a good token, signed with a key that the issuer never published.
pub(super) async fn foreign_signature(session: &Session) -> Result<Verdict, Unanswerable> {
    let subject = session
        .jwt()?
        .claims
        .get("sub")
        .cloned()
        .unwrap_or(Value::Null);
    let token = forged(session, "sub", subject)?;
    must_refuse(
        session,
        &token,
        "a token signed by a stranger",
        "verify the signature with the issuer's keys",
    )
    .await
}

fn forged(session: &Session, claim: &str, value: Value) -> Result<String, Unanswerable> {
    let jwt = session.jwt()?.with(claim, value);
    StrangersKey::generate()
        .and_then(|key| jwt.signed_by(&key))
        .map_err(|_| Unanswerable {
            missing: "a key to forge with",
        })
}

/// `alg: none`.
pub(super) async fn alg_none(session: &Session) -> Result<Verdict, Unanswerable> {
    let token = session.jwt()?.unsigned();
    must_refuse(
        session,
        &token,
        "an unsigned token (`alg: none`)",
        "allow only the algorithms that the issuer uses",
    )
    .await
}

/// HS256 with the public key as the secret.
pub(super) async fn public_key_as_secret(session: &Session) -> Result<Verdict, Unanswerable> {
    let jwt = session.jwt()?.clone();
    let keys = session
        .jwks
        .as_ref()
        .and_then(|jwks| jwks.get("keys")?.as_array().cloned())
        .unwrap_or_default();
    let kid = jwt.header.get("kid");
    let key = keys
        .iter()
        .find(|key| key.get("kid") == kid)
        .and_then(public_key_pem)
        .ok_or(Unanswerable {
            missing: "the token's RSA or P-256 key",
        })?;
    let token = jwt.keyed_with(key.as_bytes());
    must_refuse(
        session,
        &token,
        "a token signed with HS256 and the public key",
        "bind each key to its algorithm",
    )
    .await
}

/// A good token, but in the URL.
pub(super) async fn token_in_query(session: &Session) -> Result<Verdict, Unanswerable> {
    let token = session.tokens()?.access.clone();
    let mut url = session.options.url.clone();
    url.query_pairs_mut().append_pair("access_token", &token);
    let (message, headers) = transport::stateless_request("tools/list", json!({}));
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = session
        .mcp_at(&url, "(token in the query)", None, &message, &headers)
        .await;
    Ok(match answer {
        Ok(answer) if answer.status.as_u16() == 400 => {
            Verdict::ok("a token in the query is refused with 400")
        }
        Ok(answer) => judged(
            &answer,
            401,
            "a token in the query",
            "URLs end up in logs; take tokens from the Authorization header only",
        ),
        Err(error) => Verdict::fail(format!("no answer: {error}"), "refuse with 401"),
    })
}

/// A good token, but from a page of somebody else's site.
pub(super) async fn foreign_origin(session: &Session) -> Result<Verdict, Unanswerable> {
    let token = session.tokens()?.access.clone();
    Ok(
        match list(session, &token, &[("origin", "https://attacker.example")]).await? {
            Ok(answer) => judged(
                &answer,
                403,
                "a request from a foreign `Origin`",
                "answer 403 unless the origin is configured (DNS rebinding)",
            ),
            Err(error) => Verdict::fail(format!("no answer: {error}"), "answer 403"),
        },
    )
}

/// A session that never was.
pub(super) async fn unknown_session(session: &Session) -> Result<Verdict, Unanswerable> {
    session.legacy_id.as_ref().ok_or(Unanswerable {
        missing: "a gateway with session ids",
    })?;
    let token = session.tokens()?.access.clone();
    let made_up = fresh_text()?;
    Ok(match session_request(session, &token, &made_up).await {
        Ok(answer) => judged(
            &answer,
            404,
            "an unknown session id",
            "answer 404, so that clients initialize again",
        ),
        Err(error) => Verdict::fail(format!("no answer: {error}"), "answer 404"),
    })
}

/// A session that belongs to somebody else.
pub(super) async fn foreign_session(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let id = session.legacy_id.clone().ok_or(Unanswerable {
        missing: "a gateway with session ids",
    })?;
    let other_person = session.options.other_user.clone();
    let mine = session.tokens()?.clone();
    // Without a second person, another client of the same person is the nearest thing.
    let (person, client) = (std::mem::take(&mut session.person), session.client.clone());
    session.person = match (&other_person, &session.options.user) {
        (Some(other), _) => Person::new(Some((other.name.clone(), other.password.clone()))),
        (None, Some(user)) => Person::new(Some((user.name.clone(), user.password.clone()))),
        (None, None) => Person::default(),
    };
    if other_person.is_none()
        && let (Some(host), Some(client)) = (&session.host, &mut session.client)
        && let Some(document) = host.document_url("second")
    {
        client.client_id = document.into();
    }
    let same_principal = other_person.is_none() && session.host.is_none();
    let tokens = if same_principal {
        None
    } else {
        someone_elses_token(session).await
    };
    session.person = person;
    session.client = client;
    let Some(token) = tokens else {
        return Ok(Verdict::warn(
            "not tried: no token of somebody else could be had",
            "name a second user to have this question asked",
        ));
    };
    if token == mine.access {
        return Err(Unanswerable {
            missing: "a token of somebody else",
        });
    }
    let whose = if other_person.is_some() {
        "a session of another user"
    } else {
        "a session of another client"
    };
    Ok(match session_request(session, &token, &id).await {
        Ok(answer) if other_person.is_none() && answer.status.is_success() => Verdict::warn(
            format!("{whose} was accepted"),
            "sessions that are bound to the client as well are harder to steal",
        ),
        Ok(answer) => judged(
            &answer,
            404,
            whose,
            "bind a session to the user, and check it on every request",
        ),
        Err(error) => Verdict::fail(format!("no answer: {error}"), "answer 404"),
    })
}

async fn someone_elses_token(session: &mut Session) -> Option<String> {
    let code = session.fresh_code(Variation::default()).await.ok()?;
    let answer = session.redeem(&code, &[]).await.ok()?.ok()?;
    Some(Session::read_tokens(&answer)?.access)
}

async fn session_request(session: &Session, token: &str, id: &str) -> Result<Answer, String> {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let headers = [
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", id),
    ];
    session
        .mcp("(somebody else's session)", Some(token), &message, &headers)
        .await
}

/// A token after its time: a real one if there is time to wait for it, a forged one otherwise.
pub(super) async fn expired(session: &Session) -> Result<Verdict, Unanswerable> {
    let jwt = session.jwt()?.clone();
    let now = (session.options.now)();
    let left = jwt
        .seconds("exp")
        .unwrap_or(i64::MAX)
        .saturating_sub(now)
        .saturating_add(LEEWAY);
    let wait = u64::try_from(left.max(0)).unwrap_or(u64::MAX);
    if wait <= session.options.max_wait.as_secs() {
        tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
        let token = session.tokens()?.access.clone();
        return must_refuse(
            session,
            &token,
            "a token after its `exp`",
            "check `exp` with at most a minute of leeway",
        )
        .await;
    }
    let token = forged(session, "exp", (now - 3600).into())?;
    must_refuse(
        session,
        &token,
        "an expired token (signed by a stranger: the real one lives too long to wait for)",
        "check `exp`",
    )
    .await
}
