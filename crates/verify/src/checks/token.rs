//! The token endpoint: the exchange, what it must refuse, and refresh.

use crate::check::{Unanswerable, Verdict};
use crate::forge::UnverifiedJwt;
use crate::session::{Code, NoCode, Session, Tokens, Variation};
use crate::web::{Answer, NoAnswer};

/// The longest lifetime that still counts as short (AS-18), in seconds.
const SHORT: i64 = 3600;

/// A second code for a question that may burn it.
async fn another_code(session: &mut Session) -> Result<Code, Unanswerable> {
    session.tokens()?;
    match session.fresh_code(Variation::default()).await {
        Ok(code) => Ok(code),
        Err(NoCode::Unanswerable(missing)) => Err(missing),
        Err(NoCode::Ended(_) | NoCode::StateChanged) => {
            Err(Unanswerable::Missing("a second authorization code"))
        }
    }
}

/// Redeeming with somebody else's verifier fails.
pub(super) async fn wrong_verifier(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let code = another_code(session).await?;
    let wrong = "a".repeat(43);
    let answer = session.redeem(&code, &[("code_verifier", &wrong)]).await?;
    let verdict = refused(
        answer,
        &["invalid_grant"],
        "a code with a wrong `code_verifier`",
        "PKCE is not enforced at the token endpoint: compare the verifier with the challenge",
    );
    if !matches!(verdict, Verdict::Ok(_)) {
        return Ok(verdict);
    }
    let code = another_code(session).await?;
    let answer = session.redeem(&code, &[("code_verifier", "")]).await?;
    Ok(refused(
        answer,
        &["invalid_grant", "invalid_request"],
        "a code without its `code_verifier`",
        "PKCE is not enforced at the token endpoint: require the verifier",
    ))
}

/// A resource that was not granted is `invalid_target`.
pub(super) async fn wrong_resource(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let code = another_code(session).await?;
    let other = "https://other.example/mcp";
    let answer = session.redeem(&code, &[("resource", other)]).await?;
    Ok(match answer {
        Ok(answer) if answer.status.is_success() => {
            let foreign = Session::read_tokens(&answer, None)
                .and_then(|tokens| tokens.jwt)
                .is_some_and(|jwt| jwt.audience().contains(&other));
            if foreign {
                Verdict::fail(
                    "a token was issued for a resource that nobody granted",
                    "answer `invalid_target` (RFC 8707 §2.2)",
                )
            } else {
                Verdict::warn(
                    "another `resource` than the authorized one was ignored",
                    "answer `invalid_target`, so that clients notice",
                )
            }
        }
        answer => refused(
            answer,
            &["invalid_target"],
            "a foreign `resource`",
            "answer `invalid_target`",
        ),
    })
}

/// Code for tokens.
pub(super) async fn exchange(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let code = session
        .code
        .take()
        .ok_or(Unanswerable::Missing("an authorization code"))?;
    let answer = match session.redeem(&code, &[]).await? {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("the token endpoint does not answer: {error}"),
                "check the URL in the metadata",
            ));
        }
    };
    if !answer.status.is_success() {
        return Ok(Verdict::fail(
            answer.described(),
            "the exchange with a proper verifier, redirect URI and resource must succeed",
        ));
    }
    let Some(tokens) = Session::read_tokens(&answer, code.scope.as_deref()) else {
        return Ok(Verdict::fail(
            "the answer has no `access_token`",
            "see OAuth 2.1 §3.2.3",
        ));
    };
    let kind = answer
        .json()
        .and_then(|body| Some(body.get("token_type")?.as_str()?.to_owned()))
        .unwrap_or_default();
    let with_refresh = tokens.refresh.is_some();
    session.tokens = Some(tokens);
    Ok(if !kind.eq_ignore_ascii_case("Bearer") {
        Verdict::fail(
            format!("`token_type` is `{kind}`"),
            "a token without proof of possession is `Bearer`",
        )
    } else if !answer
        .header("cache-control")
        .is_some_and(|value| value.contains("no-store"))
    {
        Verdict::fail(
            "the answer may be cached",
            "send `Cache-Control: no-store` (OAuth 2.1 §3.2.3)",
        )
    } else if with_refresh {
        Verdict::ok("an access token and a refresh token")
    } else {
        Verdict::ok("an access token")
    })
}

/// Issuer, audience and lifetime of the access token.
pub(super) fn claims(session: &Session) -> Result<Verdict, Unanswerable> {
    let issuer = &session.server()?.issuer;
    let jwt = session.jwt()?;
    if jwt.text("iss") != Some(issuer) {
        return Ok(Verdict::fail(
            "`iss` is not the issuer",
            "it must be the issuer, byte for byte",
        ));
    }
    let audience = jwt.audience();
    if audience.is_empty() {
        return Ok(Verdict::fail(
            "the token has no audience",
            "bind it to the resource (RFC 8707 §2)",
        ));
    }
    let lifetime = jwt.seconds("exp").map(|exp| exp - (session.options.now)());
    Ok(match lifetime {
        None => Verdict::fail("the token never expires", "add `exp`"),
        Some(seconds) if seconds > SHORT => Verdict::warn(
            format!("the token lives for {seconds} s"),
            "short lifetimes bound the damage of a stolen token",
        ),
        Some(seconds) => Verdict::ok(format!("for {}, {seconds} s", audience.join(" and "))),
    })
}

/// A code works once; using it again ends what it gave.
pub(super) async fn replayed_code(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let code = another_code(session).await?;
    let first = session.redeem(&code, &[]).await?;
    let tokens = first
        .ok()
        .as_ref()
        .and_then(|answer| Session::read_tokens(answer, code.scope.as_deref()));
    let Some(tokens) = tokens else {
        return Err(Unanswerable::Missing("a second exchange"));
    };
    let again = session.redeem(&code, &[]).await?;
    let verdict = refused(
        again,
        &["invalid_grant"],
        "a code used twice",
        "a code is single use",
    );
    if !matches!(verdict, Verdict::Ok(_)) {
        return Ok(verdict);
    }
    Ok(match refresh_with(session, &tokens).await? {
        None => Verdict::ok("refused; without a refresh token, what it gave ends by itself"),
        Some(Ok(answer)) if answer.status.is_success() => Verdict::warn(
            "the second use is refused, but the tokens of the first live on",
            "a replayed code may be stolen: revoke what it gave",
        ),
        Some(Ok(answer)) if answer.oauth_error().as_deref() == Some("invalid_grant") => {
            Verdict::ok("refused, and the refresh token it gave is dead")
        }
        Some(Ok(answer)) => Verdict::warn(
            format!(
                "the second use is refused; whether its refresh token lives on is open: {}",
                answer.described()
            ),
            "clients expect `invalid_grant` for a refresh token that was revoked",
        ),
        Some(Err(error)) => Verdict::warn(
            format!(
                "the second use is refused; whether its refresh token lives on is open: {error}"
            ),
            "look into the authorization server's log",
        ),
    })
}

/// Refresh gives new tokens and turns the old refresh token over.
pub(super) async fn refresh(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let tokens = session.tokens()?.clone();
    let Some(answer) = refresh_with(session, &tokens).await? else {
        return Ok(Verdict::warn(
            "no refresh token was issued",
            "the user logs in again whenever the access token expires",
        ));
    };
    let answer = match answer {
        Ok(answer) if answer.status.is_success() => answer,
        Ok(answer) => {
            return Ok(Verdict::fail(
                format!("refresh failed: {}", answer.described()),
                "a fresh refresh token must work",
            ));
        }
        Err(error) => {
            return Ok(Verdict::fail(
                format!("refresh got no answer: {error}"),
                "a fresh refresh token must work",
            ));
        }
    };
    let Some(mut renewed) = Session::read_tokens(&answer, tokens.scope.as_deref()) else {
        return Ok(Verdict::fail(
            "the answer has no `access_token`",
            "see OAuth 2.1 §4.3",
        ));
    };
    let rotated = renewed.refresh.is_some() && renewed.refresh != tokens.refresh;
    renewed.id = renewed.id.or(tokens.id);
    renewed.refresh = renewed.refresh.or(tokens.refresh);
    session.tokens = Some(renewed);
    Ok(if rotated {
        Verdict::ok("new tokens; the refresh token was rotated")
    } else {
        Verdict::warn(
            "the refresh token was not rotated",
            "public clients need rotation or sender-constrained tokens",
        )
    })
}

/// Asks for new tokens; `None` without a refresh token.
async fn refresh_with(
    session: &Session,
    tokens: &Tokens,
) -> Result<Option<Result<Answer, NoAnswer>>, Unanswerable> {
    let Some(refresh) = &tokens.refresh else {
        return Ok(None);
    };
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    let answer = session
        .token_request("(refresh_token)", &fields, &[])
        .await?;
    Ok(Some(answer))
}

/// A refusal with one of these errors.
fn refused(answer: Result<Answer, NoAnswer>, errors: &[&str], what: &str, hint: &str) -> Verdict {
    match answer {
        Err(error) => Verdict::warn(
            format!("{what} got no answer: {error}"),
            "refuse with an OAuth error",
        ),
        Ok(answer) if answer.status.is_success() => {
            Verdict::fail(format!("{what} was accepted"), hint)
        }
        Ok(answer) => {
            let error = answer.oauth_error().unwrap_or_default();
            if errors.contains(&error.as_str()) {
                Verdict::ok(format!("{what} is refused with `{error}`"))
            } else {
                Verdict::warn(
                    format!("{what} is refused with {}", answer.described()),
                    format!("clients expect `{}`", errors.join("` or `")),
                )
            }
        }
    }
}

/// The claims of a token, for messages.
pub(super) fn audience_of(token: &UnverifiedJwt) -> String {
    token.audience().join(" and ")
}
