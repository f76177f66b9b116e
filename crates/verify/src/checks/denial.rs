//! Requests that a resource server must refuse, each with one thing wrong.

use serde_json::{Value, json};

use crate::browser::{Ending, Person};
use crate::check::{Unanswerable, Verdict};
use crate::checks::token::audience_of;
use crate::checks::transport::{self, reason};
use crate::forge::{StrangersKey, public_key_pem};
use crate::session::{NoCode, Session, Tokens, Variation, fresh_text, message_of};
use crate::web::{Answer, Answered, NoAnswer, plain};

/// Leeway for clocks that a gateway may grant (SEC-41), and a little more.
const LEEWAY: i64 = 65;

/// Sends `tools/list` with this token and expects 401.
async fn must_refuse(
    session: &Session,
    token: &str,
    what: &str,
    hint: &str,
) -> Result<Verdict, Unanswerable> {
    good_token_works(session).await?;
    Ok(match list(session, Some(token), &[]).await? {
        Err(error) => no_answer(what, &error, "refuse with 401"),
        Ok(answer) => judged(&answer, 401, what, hint),
    })
}

/// The positive control: the same request with the token that was given for it is answered, at this very moment. Where it is
/// not, a refusal proves nothing.
async fn good_token_works(session: &Session) -> Result<(), Unanswerable> {
    let token = session.bearer()?;
    match list(session, token.as_deref(), &[]).await? {
        Ok(answer) if is_answered(&answer) => Ok(()),
        _ => Err(Unanswerable::Missing(
            "a `tools/list` that is answered, to compare with",
        )),
    }
}

/// Whether a request succeeded: with a result, and no error.
fn is_answered(answer: &Answer) -> bool {
    answer.status.is_success()
        && message_of(answer).is_some_and(|message| message.get("result").is_some())
}

/// A request that is neither granted nor refused.
fn no_answer(what: &str, error: &NoAnswer, hint: &str) -> Verdict {
    Verdict::fail(format!("{what} got no answer: {error}"), hint)
}

/// A `tools/list` in the era that works.
async fn list(
    session: &Session,
    token: Option<&str>,
    more: &[(&str, &str)],
) -> Result<Answered, Unanswerable> {
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
    Ok(session.mcp("(tools/list)", token, &message, &all).await)
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

/// Tokens of the same user that were asked for in another way.
enum OtherTokens {
    Made(Tokens),
    /// Why the server makes none.
    Refused(String),
}

/// Tokens of the same user, asked for in another way; where there are none, why the question does not apply.
async fn other_tokens(
    session: &mut Session,
    variation: Variation<'_>,
    changes: &[(&str, &str)],
) -> Result<OtherTokens, Unanswerable> {
    let nothing = Unanswerable::Missing("an answer to a request for another token");
    let code = match session.fresh_code(variation).await {
        Ok(code) => code,
        Err(NoCode::Ended(ending)) => {
            let refused = ending.parameter("error").is_some()
                || matches!(&*ending, Ending::Page(answer) if answer.status.is_client_error());
            return if refused {
                Ok(OtherTokens::Refused(ending.described()))
            } else {
                Err(nothing)
            };
        }
        Err(NoCode::StateChanged | NoCode::Unanswerable(_)) => return Err(nothing),
    };
    let Ok(answer) = session.redeem(&code, changes).await? else {
        return Err(nothing);
    };
    match Session::read_tokens(&answer, code.scope.as_deref()) {
        Some(tokens) => Ok(OtherTokens::Made(tokens)),
        None if answer.status.is_client_error() => Ok(OtherTokens::Refused(answer.described())),
        None => Err(nothing),
    }
}

/// A token of the same issuer and user that was made for something else.
pub(super) async fn wrong_audience(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let good = session.jwt()?.clone();
    let variation = Variation {
        scope: Some("openid"),
        without_resource: true,
        ..Variation::default()
    };
    let tokens = match other_tokens(session, variation, &[("resource", "")]).await? {
        OtherTokens::Made(tokens) => tokens,
        OtherTokens::Refused(why) => {
            return Ok(Verdict::inapplicable(format!(
                "the authorization server gives no token without this gateway's scope: {why}"
            )));
        }
    };
    let Some(jwt) = &tokens.jwt else {
        return Err(Unanswerable::Missing(
            "a token for something else that is a JWT",
        ));
    };
    let (audience, usual) = (plain(&audience_of(jwt)), plain(&audience_of(&good)));
    let what = format!("a token for `{audience}` (a good one is for `{usual}`)");
    good_token_works(session).await?;
    let verdict = match list(session, Some(&tokens.access), &[]).await? {
        Ok(answer) => audience_verdict(
            &answer,
            &what,
            "the gateway does not check the audience: a token made for any other service opens it",
        ),
        Err(error) => no_answer(&what, &error, "refuse with 401"),
    };
    // A token for this very resource may be accepted, however little was asked for.
    let resource = session.resource()?.resource.as_str();
    Ok(match verdict {
        Verdict::Fail { .. } if jwt.audience().contains(&resource) => Verdict::inapplicable(
            format!("the authorization server makes every token for `{audience}`"),
        ),
        verdict => verdict,
    })
}

/// An ID token is not an access token, whoever signed it.
pub(super) async fn id_token(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let variation = Variation {
        scope: Some("openid"),
        ..Variation::default()
    };
    let id = match session.tokens()?.id.clone() {
        Some(id) => Some(id),
        None => match other_tokens(session, variation, &[]).await? {
            OtherTokens::Made(tokens) => tokens.id,
            OtherTokens::Refused(why) => {
                return Ok(Verdict::inapplicable(format!(
                    "the authorization server issues no ID tokens to this client: {why}"
                )));
            }
        },
    };
    let Some(id) = id else {
        return Ok(Verdict::inapplicable(
            "the authorization server issues no ID tokens to this client",
        ));
    };
    let what = "an ID token, whose audience is the client";
    good_token_works(session).await?;
    Ok(match list(session, Some(&id), &[]).await? {
        Ok(answer) => audience_verdict(
            &answer,
            what,
            "the gateway does not check the audience: any token of this issuer opens it",
        ),
        Err(error) => no_answer(what, &error, "refuse with 401"),
    })
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
        .map_err(|_| Unanswerable::Missing("a key to forge with"))
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
        .ok_or(Unanswerable::Missing("the token's RSA or P-256 key"))?;
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
    good_token_works(session).await?;
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
    let what = "a token in the query";
    Ok(match answer {
        Ok(answer) if answer.status.as_u16() == 400 => {
            Verdict::ok("a token in the query is refused with 400")
        }
        Ok(answer) => judged(
            &answer,
            401,
            what,
            "URLs end up in logs; take tokens from the Authorization header only",
        ),
        Err(error) => no_answer(what, &error, "refuse with 401"),
    })
}

/// A good token, but from a page of somebody else's site.
pub(super) async fn foreign_origin(session: &Session) -> Result<Verdict, Unanswerable> {
    let token = session.bearer()?;
    good_token_works(session).await?;
    let what = "a request from a foreign `Origin`";
    let origin = [("origin", "https://attacker.example")];
    Ok(match list(session, token.as_deref(), &origin).await? {
        Ok(answer) => judged(
            &answer,
            403,
            what,
            "answer 403 unless the origin is configured (DNS rebinding)",
        ),
        Err(error) => no_answer(what, &error, "answer 403"),
    })
}

/// A session that never was.
pub(super) async fn unknown_session(session: &Session) -> Result<Verdict, Unanswerable> {
    own_session_works(session).await?;
    let token = session.bearer()?;
    let made_up = fresh_text()?;
    let what = "an unknown session id";
    Ok(
        match session_request(session, token.as_deref(), &made_up).await {
            Ok(answer) => judged(
                &answer,
                404,
                what,
                "answer 404, so that clients initialize again",
            ),
            Err(error) => no_answer(what, &error, "answer 404"),
        },
    )
}

/// The positive control of sessions: one's own is accepted.
async fn own_session_works(session: &Session) -> Result<String, Unanswerable> {
    let Some(id) = session.legacy_id.clone() else {
        return Err(Unanswerable::Inapplicable("the gateway has no session ids"));
    };
    let token = session.bearer()?;
    match session_request(session, token.as_deref(), &id).await {
        Ok(answer) if is_answered(&answer) => Ok(id),
        _ => Err(Unanswerable::Missing(
            "a session that is accepted, to compare with",
        )),
    }
}

/// A session that belongs to somebody else.
pub(super) async fn foreign_session(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let id = own_session_works(session).await?;
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
        && session.registration_is_not_used()
        && let (Some(host), Some(client)) = (&session.host, &mut session.client)
        && let Some(document) = host.document_url("second")
    {
        client.client_id = document.into();
    }
    let by_document = session.host.is_some() && session.registration_is_not_used();
    let tokens = if other_person.is_none() && !by_document {
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
        return Err(Unanswerable::Missing("a token of somebody else"));
    }
    let whose = if other_person.is_some() {
        "a session of another user"
    } else {
        "a session of another client"
    };
    Ok(match session_request(session, Some(&token), &id).await {
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
        Err(error) => no_answer(whose, &error, "answer 404"),
    })
}

async fn someone_elses_token(session: &mut Session) -> Option<String> {
    let code = session.fresh_code(Variation::default()).await.ok()?;
    let answer = session.redeem(&code, &[]).await.ok()?.ok()?;
    Some(Session::read_tokens(&answer, None)?.access)
}

async fn session_request(session: &Session, token: Option<&str>, id: &str) -> Answered {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let headers = [
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", id),
    ];
    session
        .mcp("(tools/list in a session)", token, &message, &headers)
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
        good_token_works(session).await?;
        (session.options.tell)(&format!("waiting {wait} s for the token to expire"));
        tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
        let token = session.tokens()?.access.clone();
        let what = "a token after its `exp`";
        return Ok(match list(session, Some(&token), &[]).await? {
            Ok(answer) => judged(
                &answer,
                401,
                what,
                "check `exp` with at most a minute of leeway",
            ),
            Err(error) => no_answer(what, &error, "refuse with 401"),
        });
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
