//! The authorization endpoint: what it must refuse, and the code that it gives.

use url::Url;

use crate::browser::Ending;
use crate::check::{Unanswerable, Verdict};
use crate::session::{Challenge, Code, NoCode, ResponseSeen, Session, Variation};
use crate::web::plain;

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
    proper_request_works(session)?;
    let (ending, _, _) = session.probe(variation).await?;
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
        return Err(Unanswerable::Missing("a foreign redirect URI"));
    };
    let mut other_path = registered;
    other_path.set_path("/somewhere/else");
    proper_request_works(session)?;
    let mut refusals = Vec::new();
    for uri in [foreign, other_path] {
        let variation = Variation {
            redirect_uri: Some(&uri),
            ..Variation::default()
        };
        let (ending, _, _) = session.probe(variation).await?;
        if let Ending::Redirected(_) = ending {
            return Ok(Verdict::fail(
                format!("the browser was sent to {uri}, which the client did not register"),
                "show an error page instead; compare redirect URIs exactly (loopback ports excepted)",
            ));
        }
        refusals.push(refused(&ending, &format!("a request with {uri}")));
    }
    let doubtful = |verdict: &Verdict| !matches!(verdict, Verdict::Ok(_));
    Ok(match refusals.iter().position(doubtful) {
        Some(place) => refusals.swap_remove(place),
        None => Verdict::ok("an error page, and no redirect"),
    })
}

/// A scope that nobody may have is refused, or at least not granted.
pub(super) async fn refused_scope(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let scope = session.options.refused_scope.clone();
    let variation = Variation {
        scope: Some(&scope),
        ..Variation::default()
    };
    proper_request_works(session)?;
    let (ending, verifier, _) = session.probe(variation).await?;
    let Some(code) = ending.parameter("code") else {
        return Ok(refused(&ending, &format!("a request for `{scope}`")));
    };
    let code = Code {
        text: code.to_owned(),
        verifier,
        scope: Some(scope.clone()),
        iss: None,
    };
    let answer = match session.redeem(&code, &[]).await? {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::warn(
                format!("a code for `{scope}` was given, and its exchange got no answer: {error}"),
                "refuse it with `invalid_scope`",
            ));
        }
    };
    let granted = Session::read_tokens(&answer, code.scope.as_deref()).map(|tokens| tokens.scope);
    Ok(match granted {
        None => Verdict::warn(
            format!(
                "`{scope}` is refused as late as the token endpoint: {}",
                answer.described()
            ),
            "`invalid_scope` at the authorization endpoint tells the client what is wrong",
        ),
        Some(granted)
            if granted
                .iter()
                .flat_map(|text| text.split(' '))
                .any(|one| one == scope) =>
        {
            Verdict::fail(
                format!("`{scope}` was granted"),
                "an unknown scope is `invalid_scope`, or left out of the grant and of `scope` in the answer",
            )
        }
        Some(_) => Verdict::warn(
            format!("`{scope}` was left out of the grant without an error"),
            "`invalid_scope` tells the client what is wrong",
        ),
    })
}

/// Login, consent, and back to the client with a code.
pub(super) async fn code(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let code = match session.early_code.take() {
        Some(code) => Ok(code),
        None => session.fresh_code(Variation::default()).await,
    };
    Ok(match code {
        Ok(code) => {
            session.response = Some(ResponseSeen {
                iss: code.iss.clone(),
            });
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
            format!("no code: {}", ending.described()),
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
    let response = session
        .response
        .clone()
        .ok_or(Unanswerable::Missing("an authorization response"))?;
    let scope = session.options.refused_scope.clone();
    let (ending, _, _) = session
        .probe(Variation {
            scope: Some(&scope),
            ..Variation::default()
        })
        .await?;
    let mut seen = vec![("the response", response.iss)];
    if ending.parameter("error").is_some() {
        let iss = ending.parameter("iss").map(str::to_owned);
        seen.push(("the error response", iss));
    }
    let mut absent = Vec::new();
    for (what, iss) in seen {
        match iss {
            Some(iss) if iss == issuer => {}
            Some(iss) => {
                return Ok(Verdict::fail(
                    format!("{what} has `iss={}`, the issuer is {issuer}", plain(&iss)),
                    "clients compare without normalization and must refuse",
                ));
            }
            None => absent.push(what),
        }
    }
    Ok(match (absent.as_slice(), promised) {
        ([], _) => Verdict::ok("equal to the issuer"),
        (some, true) => Verdict::fail(
            format!(
                "there is no `iss` in {}, although the metadata promises it",
                some.join(" and ")
            ),
            "send it in every authorization response, errors included",
        ),
        (some, false) => Verdict::warn(
            format!("there is no `iss` in {}", some.join(" and ")),
            "send it (RFC 9207), and say so in the metadata",
        ),
    })
}

/// What must be refused proves something only where a proper request is not.
fn proper_request_works(session: &Session) -> Result<(), Unanswerable> {
    if session.code.is_some() || session.tokens.is_some() {
        return Ok(());
    }
    Err(Unanswerable::Missing(
        "an authorization that succeeds, to compare with",
    ))
}

/// A refusal before or after the redirect URI was trusted: an error in a redirect, or a page that says so with its status.
fn refused(ending: &Ending, what: &str) -> Verdict {
    match ending {
        Ending::Redirected(_) if ending.parameter("error").is_some() => {
            Verdict::ok(format!("{what} is refused: {}", ending.described()))
        }
        Ending::Page(answer) if answer.status.is_client_error() => {
            Verdict::ok(format!("{what} is refused: {}", ending.described()))
        }
        Ending::Redirected(_) | Ending::Page(_) => Verdict::warn(
            format!("{what} ended with {}", ending.described()),
            "refuse it with an OAuth error, or with a page and a status that say so",
        ),
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
