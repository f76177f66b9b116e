//! The authorization endpoint: what it must refuse, and the code that it gives.

use url::Url;

use crate::browser::Ending;
use crate::check::{Unanswerable, Verdict};
use crate::session::{Challenge, Code, NoCode, Session, Variation};

/// A request without a challenge gives no code.
pub(super) async fn missing_pkce(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let variation = Variation {
        challenge: Challenge::Missing,
        ..Variation::default()
    };
    refused_without_pkce(session, variation, "without a `code_challenge`").await
}

/// `plain` gives no code.
pub(super) async fn plain_pkce(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let variation = Variation {
        challenge: Challenge::Plain,
        ..Variation::default()
    };
    refused_without_pkce(session, variation, "with `code_challenge_method=plain`").await
}

async fn refused_without_pkce(
    session: &mut Session,
    variation: Variation<'_>,
    how: &str,
) -> Result<Verdict, Unanswerable> {
    let (ending, _, _) = session.authorize(variation).await?;
    Ok(match ending.parameter("code") {
        Some(_) => Verdict::fail(
            format!("a request {how} got a code: PKCE is not enforced"),
            "require PKCE with S256 from every client at the authorization endpoint",
        ),
        None => refused(&ending, &format!("a request {how}")),
    })
}

/// A redirect URI that the client never registered gets nothing, not even an error.
pub(super) async fn unregistered_redirect(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let registered = session.client()?.redirect_uri.clone();
    let Ok(foreign) = Url::parse("https://attacker.example/callback") else {
        return Err(Unanswerable {
            missing: "a foreign redirect URI",
        });
    };
    let mut other_path = registered;
    other_path.set_path("/somewhere/else");
    for uri in [foreign, other_path] {
        let variation = Variation {
            redirect_uri: Some(&uri),
            ..Variation::default()
        };
        let (ending, _, _) = session.authorize(variation).await?;
        if let Ending::Redirected(_) = ending {
            return Ok(Verdict::fail(
                format!("the browser was sent to {uri}, which the client did not register"),
                "show an error page instead; compare redirect URIs exactly (loopback ports excepted)",
            ));
        }
    }
    Ok(Verdict::ok("an error page, and no redirect"))
}

/// A scope that nobody may have is refused, or at least not granted.
pub(super) async fn refused_scope(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let scope = session.options.refused_scope.clone();
    let variation = Variation {
        scope: Some(&scope),
        ..Variation::default()
    };
    let code = match session.fresh_code(variation).await {
        Ok(code) => code,
        Err(NoCode::Unanswerable(missing)) => return Err(missing),
        Err(NoCode::StateChanged) => {
            return Ok(Verdict::fail(
                "`state` came back changed",
                "return it byte for byte",
            ));
        }
        Err(NoCode::Ended(ending)) => {
            return Ok(refused(&ending, &format!("a request for `{scope}`")));
        }
    };
    let granted = match session.redeem(&code, &[]).await? {
        Ok(answer) => answer
            .json()
            .and_then(|body| Some(body.get("scope")?.as_str()?.to_owned())),
        Err(_) => None,
    };
    Ok(match granted {
        Some(granted) if granted.split(' ').any(|one| one == scope) => Verdict::fail(
            format!("`{scope}` was granted"),
            "an unknown scope is `invalid_scope`, or left out of the grant",
        ),
        _ => Verdict::warn(
            format!("`{scope}` was left out of the grant without an error"),
            "`invalid_scope` tells the client what is wrong",
        ),
    })
}

/// Login, consent, and back to the client with a code.
pub(super) async fn code(session: &mut Session) -> Result<Verdict, Unanswerable> {
    Ok(match session.fresh_code(Variation::default()).await {
        Ok(code) => {
            session.code = Some(code);
            Verdict::ok("a code, and `state` unchanged")
        }
        Err(NoCode::Unanswerable(missing)) => return Err(missing),
        Err(NoCode::StateChanged) => {
            Verdict::fail("`state` came back changed", "return it byte for byte")
        }
        Err(NoCode::Ended(ending)) if matches!(*ending, Ending::AskedToLogin) => Verdict::fail(
            "the login page appeared, but no user was given",
            "say who logs in, or let a browser be opened",
        ),
        Err(NoCode::Ended(ending)) if matches!(*ending, Ending::AskedElsewhere(_)) => {
            Verdict::fail(
                ending.described(),
                "keep the login page and its form on one origin, or leave out the user and log in with a browser",
            )
        }
        Err(NoCode::Ended(ending)) => Verdict::fail(
            format!("no code: {}{}", ending.described(), explained(&ending)),
            "read the page or the error description; the password, the client or the scope may be wrong",
        ),
    })
}

/// `iss` in the response, equal to the issuer; also in an error response.
pub(super) async fn iss(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let issuer = session.server()?.issuer.clone();
    let promised = session
        .server()?
        .says("authorization_response_iss_parameter_supported");
    let scope = session.options.refused_scope.clone();
    let mut absent = Vec::new();
    for (what, scope) in [
        ("the response", None),
        ("the error response", Some(scope.as_str())),
    ] {
        let (ending, verifier, _) = session
            .authorize(Variation {
                scope,
                ..Variation::default()
            })
            .await?;
        if !matches!(ending, Ending::Redirected(_)) {
            continue;
        }
        match ending.parameter("iss") {
            Some(iss) if iss == issuer => {}
            Some(iss) => {
                return Ok(Verdict::fail(
                    format!("{what} has `iss={iss}`, the issuer is {issuer}"),
                    "clients compare without normalization and must refuse",
                ));
            }
            None => absent.push(what),
        }
        if let Some(code) = ending.parameter("code") {
            session.code = Some(Code {
                code: code.to_owned(),
                verifier,
            });
        }
    }
    Ok(match (absent.as_slice(), promised) {
        ([], _) => Verdict::ok("equal to the issuer"),
        (some, true) => Verdict::fail(
            format!(
                "{} has no `iss`, although the metadata promises it",
                some.join(" and ")
            ),
            "send it in every authorization response, errors included",
        ),
        (some, false) => Verdict::warn(
            format!("{} has no `iss`", some.join(" and ")),
            "send it (RFC 9207), and say so in the metadata",
        ),
    })
}

/// A refusal before or after the redirect URI was trusted.
fn refused(ending: &Ending, what: &str) -> Verdict {
    match ending {
        Ending::Redirected(_) | Ending::Page(_) => {
            Verdict::ok(format!("{what} is refused: {}", ending.described()))
        }
        Ending::AskedToLogin
        | Ending::AskedElsewhere(_)
        | Ending::TooManySteps
        | Ending::Broken(_) => Verdict::warn(
            format!(
                "{what} could not be followed to its end: {}",
                ending.described()
            ),
            "give a user, so that the walk can see whether a code comes out",
        ),
    }
}

/// The server's own words about an error.
fn explained(ending: &Ending) -> String {
    match ending.parameter("error_description") {
        Some(description) => format!(" ({description})"),
        None => String::new(),
    }
}
