//! Makes sure that a request comes from the client it names (OAuth 2.1 §2.4, RFC 7523 §3, CI-14).

use http::HeaderMap;
use model::client::{Client, KeySource, Provenance};
use model::clock::Timestamp;
use model::registration;
use oauth::auth_method::AuthMethod;
use oauth::client_id::ClientId;
use oauth::error::{ErrorCode, OauthError};
use oauth::form::Form;
use oauth::jose::alg::AlgSet;
use oauth::jose::claims::{Claims, ClaimsError};
use oauth::jose::jwk::JwkSet;
use oauth::jose::jws::JwsError;
use oauth::jose::jwt::{AbsentType, AcceptedTypes, JwtError, PLAIN, VerifiedJwt};

use crate::answer::Refusal;
use crate::client::credentials::{self, Presented};
use crate::client::refusal::ClientRefusal;
use crate::client::{FindError, Purpose};
use crate::cx::Cx;
use crate::failure::Internal;
use crate::guesses::Secret;

/// The types that clients give their assertions, where they give one. Access tokens are none of them (SEC-40).
const ASSERTION_TYPES: AcceptedTypes<'static> = AcceptedTypes {
    named: &[PLAIN, "client-authentication+jwt", "oauth-client-auth+jwt"],
    absent: AbsentType::Accepted,
};
/// How far ahead the `exp` of an assertion may lie, in seconds: what libraries set by default is at most this. Its `jti` is
/// remembered for as long, so that it works only once however long it lives (SEC-52).
const MAX_AHEAD: i64 = 3600;
/// How much clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// The longest `jti`, in bytes.
const MAX_JTI: usize = 512;

/// Why an assertion was refused (RFC 7523 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionRefusal {
    /// Its form, type, key or signature.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Its dates, or a claim that is missing.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Issuer and subject are not the client.
    #[error("`iss` and `sub` must both be the client id")]
    OtherClient,
    /// The audience is somebody else, or somebody else too.
    #[error("`aud` must be the issuer or the token endpoint of this server, and nothing else")]
    OtherAudience,
    /// It lives too long.
    #[error("`exp` lies more than an hour ahead")]
    TooLong,
    /// `jti` is absurdly long.
    #[error("`jti` is longer than {MAX_JTI} bytes")]
    LongTokenId,
    /// It was used before.
    #[error("`jti` was used before")]
    Replayed,
    /// The keys of the client cannot be had.
    #[error("the keys of the client could not be fetched")]
    NoKeys,
}

impl From<AssertionRefusal> for Refusal {
    fn from(refusal: AssertionRefusal) -> Self {
        Self::Oauth(OauthError::new(
            ErrorCode::InvalidClient,
            format!("`client_assertion`: {refusal}"),
        ))
    }
}

/// Finds the client that sends this request, and makes sure of it.
pub(crate) async fn authenticate(
    cx: &Cx,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Client, Refusal> {
    let credentials = credentials::read(headers, form)?;
    let mut found = super::find(cx, &credentials.client_id, Purpose::Token).await;
    if let (Err(FindError::Refused(ClientRefusal::Unknown)), Some(otherwise)) =
        (&found, &credentials.otherwise)
    {
        found = super::find(cx, otherwise, Purpose::Token).await;
    }
    let client = match found {
        Ok(known) => known.client,
        Err(FindError::Refused(refusal)) => {
            tracing::info!(client.id = %credentials.client_id, error = %refusal, cause = refusal.cause().map(tracing::field::display), "client refused");
            return Err(OauthError::new(code_of(&refusal), refusal.to_string()).into());
        }
        Err(FindError::Internal(internal)) => return Err(internal.into()),
    };
    let method = method_of(&credentials.presented);
    if !client.authentication.permits(method) {
        return Err(not_permitted(&client, method).into());
    }
    match &credentials.presented {
        Presented::Nothing => {}
        Presented::Basic(secret) => check_secret(cx, &client, || {
            secret.matches(|secret| client.authentication.secret_matches(secret))
        })?,
        Presented::Post(secret) => check_secret(cx, &client, || {
            client.authentication.secret_matches(secret.expose())
        })?,
        Presented::Assertion(assertion) => check_assertion(cx, &client, assertion.expose()).await?,
    }
    if let Provenance::Registered { expires_at, .. } = client.provenance
        && registration::needs_touch(expires_at, cx.now)
    {
        store::registration::touch(&cx.app.store, &client.client_id, cx.now)
            .await
            .map_err(Internal::new)?;
    }
    Ok(client)
}

/// Guessing is slow (SEC-53).
fn check_secret(cx: &Cx, client: &Client, is_right: impl FnOnce() -> bool) -> Result<(), Refusal> {
    let secret = Secret::OfClient(client.client_id.clone());
    let guesses = &cx.app.guesses;
    if guesses.check(secret, cx.peer.address, cx.now, is_right)? {
        return Ok(());
    }
    Err(OauthError::new(ErrorCode::InvalidClient, "the client secret is wrong").into())
}

/// A document that cannot be had at the moment says nothing about the client: it shall try again, and keep its tokens.
fn code_of(refusal: &ClientRefusal) -> ErrorCode {
    match refusal {
        ClientRefusal::Unreachable(_) => ErrorCode::TemporarilyUnavailable,
        ClientRefusal::Status(status) if status.is_server_error() => {
            ErrorCode::TemporarilyUnavailable
        }
        refusal => refusal.code(),
    }
}

const fn method_of(presented: &Presented) -> AuthMethod {
    match presented {
        Presented::Nothing => AuthMethod::None,
        Presented::Basic(_) => AuthMethod::ClientSecretBasic,
        Presented::Post(_) => AuthMethod::ClientSecretPost,
        Presented::Assertion(_) => AuthMethod::PrivateKeyJwt,
    }
}

fn not_permitted(client: &Client, method: AuthMethod) -> OauthError {
    let permitted = client
        .authentication
        .methods
        .iter()
        .map(|method| method.as_str())
        .collect::<Vec<_>>()
        .join("`, `");
    OauthError::new(
        ErrorCode::InvalidClient,
        format!("the client may not authenticate by `{method}`; hint: use `{permitted}`"),
    )
}

async fn check_assertion(cx: &Cx, client: &Client, assertion: &str) -> Result<(), Refusal> {
    let source = client
        .authentication
        .keys
        .as_ref()
        .ok_or(AssertionRefusal::NoKeys)?;
    let verified = verify(cx, client, source, assertion).await?;
    let issuer = &cx.realm.config.issuer;
    let ours = [issuer.as_str().to_owned(), issuer.join("/token")];
    let single_use = decide(verified.claims(), &client.client_id, &ours, cx.now)?;
    let first = store::assertion::use_once(
        &cx.app.store,
        &client.client_id,
        &single_use.token_id,
        single_use.until,
    )
    .await
    .map_err(Internal::new)?;
    if first {
        Ok(())
    } else {
        Err(AssertionRefusal::Replayed.into())
    }
}

/// Verifies with the client's keys; an unknown `kid` makes them be fetched once more (SEC-44).
async fn verify(
    cx: &Cx,
    client: &Client,
    source: &KeySource,
    assertion: &str,
) -> Result<VerifiedJwt, Refusal> {
    let check = |keys: &JwkSet| {
        VerifiedJwt::verify(assertion, keys, AlgSet::ALL, ASSERTION_TYPES)
            .map_err(AssertionRefusal::Jwt)
    };
    match source {
        KeySource::Inline(text) => {
            let keys = JwkSet::parse(text.as_bytes()).map_err(Internal::new)?;
            Ok(check(&keys)?)
        }
        KeySource::Uri(url) => {
            let keys = cx
                .realm
                .key_sets
                .get(client, url, cx.peer.address)
                .await
                .ok_or(AssertionRefusal::NoKeys)?;
            match check(&keys) {
                Err(AssertionRefusal::Jwt(JwtError::Signature(JwsError::UnknownKey))) => {
                    let keys = cx
                        .realm
                        .key_sets
                        .refresh(client, url, cx.peer.address)
                        .await
                        .ok_or(AssertionRefusal::NoKeys)?;
                    Ok(check(&keys)?)
                }
                outcome => Ok(outcome?),
            }
        }
    }
}

/// What must be remembered so that an assertion works only once.
#[derive(Debug, PartialEq, Eq)]
struct SingleUse {
    token_id: String,
    until: Timestamp,
}

/// The rules of RFC 7523 §3 about the claims of an assertion whose signature is good.
fn decide(
    claims: &Claims,
    client_id: &ClientId,
    ours: &[String],
    now: Timestamp,
) -> Result<SingleUse, AssertionRefusal> {
    if claims.issuer() != Some(client_id.as_str()) || claims.subject() != Some(client_id.as_str()) {
        return Err(AssertionRefusal::OtherClient);
    }
    // A second audience could replay it here, or we there.
    if claims.audience().is_empty()
        || !claims
            .audience()
            .iter()
            .all(|audience| ours.contains(audience))
    {
        return Err(AssertionRefusal::OtherAudience);
    }
    claims.check_dates(now.seconds(), LEEWAY)?;
    let expires_at = claims
        .expires_at()
        .ok_or(ClaimsError::Missing { claim: "exp" })?;
    if expires_at > now.seconds().saturating_add(MAX_AHEAD + LEEWAY) {
        return Err(AssertionRefusal::TooLong);
    }
    let token_id = claims
        .token_id()
        .filter(|id| !id.is_empty())
        .ok_or(ClaimsError::Missing { claim: "jti" })?;
    if token_id.len() > MAX_JTI {
        return Err(AssertionRefusal::LongTokenId);
    }
    Ok(SingleUse {
        token_id: token_id.to_owned(),
        until: Timestamp::from_seconds(expires_at.saturating_add(LEEWAY + 1)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_000_000;

    /// A good assertion with these claims put over it; `null` takes one away.
    fn decided(over: Value) -> Result<SingleUse, AssertionRefusal> {
        let mut claims = json!({ "iss": "c", "sub": "c", "aud": "https://as.example", "exp": NOW + 60, "iat": NOW, "jti": "1" });
        let Value::Object(over) = over else {
            panic!("claims are an object")
        };
        for (name, value) in over {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(&name);
            } else {
                claims[name] = value;
            }
        }
        let ours = [
            "https://as.example".to_owned(),
            "https://as.example/token".to_owned(),
        ];
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        decide(
            &claims,
            &"c".parse().unwrap(),
            &ours,
            Timestamp::from_seconds(NOW),
        )
    }

    // SEC-52
    #[test]
    fn issuer_and_token_endpoint_are_both_audiences() {
        for audience in [
            json!("https://as.example"),
            json!("https://as.example/token"),
            json!(["https://as.example", "https://as.example/token"]),
        ] {
            assert!(decided(json!({ "aud": audience })).is_ok(), "{audience}");
        }
    }

    // SEC-52
    #[test]
    fn another_audience_is_refused_even_beside_ours() {
        for audience in [
            json!("https://other.example"),
            json!(["https://as.example", "https://other.example"]),
            json!([]),
            json!("https://as.example/"),
            Value::Null,
        ] {
            assert_eq!(
                decided(json!({ "aud": audience })),
                Err(AssertionRefusal::OtherAudience)
            );
        }
    }

    // SEC-52
    #[test]
    fn an_assertion_about_another_client_is_refused() {
        assert_eq!(
            decided(json!({ "iss": "d" })),
            Err(AssertionRefusal::OtherClient)
        );
        assert_eq!(
            decided(json!({ "sub": "d" })),
            Err(AssertionRefusal::OtherClient)
        );
        assert_eq!(
            decided(json!({ "iss": null })),
            Err(AssertionRefusal::OtherClient)
        );
    }

    // SEC-52
    #[test]
    fn an_assertion_lives_at_most_an_hour() {
        for ahead in [60, 300, 3600] {
            assert!(decided(json!({ "exp": NOW + ahead })).is_ok(), "{ahead}");
        }
        assert_eq!(
            decided(json!({ "exp": NOW + 3600 + LEEWAY + 1 })),
            Err(AssertionRefusal::TooLong)
        );
        assert_eq!(
            decided(json!({ "exp": NOW - 60 })),
            Err(AssertionRefusal::Claims(ClaimsError::Expired))
        );
        assert_eq!(
            decided(json!({ "exp": null })),
            Err(AssertionRefusal::Claims(ClaimsError::Missing {
                claim: "exp"
            }))
        );
        assert_eq!(
            decided(json!({ "nbf": NOW + 120 })),
            Err(AssertionRefusal::Claims(ClaimsError::NotYetValid))
        );
    }

    // SEC-52
    #[test]
    fn an_assertion_needs_an_id_that_is_remembered_until_it_expires() {
        assert_eq!(
            decided(json!({ "jti": null })),
            Err(AssertionRefusal::Claims(ClaimsError::Missing {
                claim: "jti"
            }))
        );
        assert_eq!(
            decided(json!({ "jti": "" })),
            Err(AssertionRefusal::Claims(ClaimsError::Missing {
                claim: "jti"
            }))
        );
        assert_eq!(
            decided(json!({ "jti": "x".repeat(MAX_JTI + 1) })),
            Err(AssertionRefusal::LongTokenId)
        );
        assert!(decided(json!({})).unwrap().until > Timestamp::from_seconds(NOW + 60 + LEEWAY));
    }
}
