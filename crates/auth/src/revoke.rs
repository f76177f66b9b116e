//! Token revocation (RFC 7009): a refresh token takes its whole grant with it, an access token only itself.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use model::client::Client;
use model::clock::Timestamp;
use model::refresh::Family;

use crate::access_token;
use crate::answer::{self, Refusal, Tried};
use crate::client::{authenticate, credentials};
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::keys::Need;
use crate::request_body;
use crate::token;

/// What verifiers tolerate of differing clocks, and a little more.
const LEEWAY: Duration = Duration::from_mins(2);

/// `POST /revoke`
pub(crate) async fn post_revoke(cx: Cx, headers: HeaderMap, uri: Uri, body: Body) -> Response {
    let mut identified = Identified::default();
    let response = match revoke(&cx, &headers, &uri, body, &mut identified).await {
        Ok(()) => answer::empty(StatusCode::OK),
        Err(refusal) => {
            if let Refusal::Oauth(error) = &refusal {
                tracing::info!(%error, "revocation refused");
            }
            let tried = if credentials::tried_basic(&headers) {
                Tried::Basic
            } else {
                Tried::Otherwise
            };
            answer::refuse(&cx, &refusal, tried)
        }
    };
    identified.said_beside(response)
}

async fn revoke(
    cx: &Cx,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
    identified: &mut Identified,
) -> Result<(), Refusal> {
    token::refuse_query(uri)?;
    let form = request_body::read_form(headers, body).await?;
    let presented = form.require("token")?;
    let client = authenticate::authenticate(cx, headers, &form).await?;
    identified.client(&client.client_id);
    // The two kinds cannot be confused, so that `token_type_hint` is not needed (RFC 7009 §2.1). A token that is
    // unknown, or somebody else's, is none of this client's: nothing happens, and nothing is told (RFC 7009 §2.2).
    if presented.contains('.') {
        access_token(cx, &client, presented).await?;
    } else {
        refresh_token(cx, &client, presented).await?;
    }
    Ok(())
}

async fn refresh_token(cx: &Cx, client: &Client, presented: &str) -> Result<(), Internal> {
    let found = store::family::by_token(&cx.app.store, presented)
        .await
        .map_err(Internal::new)?;
    let own = |family: &Family| {
        family.granted.terms.realm == cx.realm.config.name
            && family.granted.terms.client_id == client.client_id
    };
    match found {
        Some((family, _)) if own(&family) => {
            token::revoke_family(cx, family.id, "the client asked for it").await
        }
        _ => Ok(()),
    }
}

async fn access_token(cx: &Cx, client: &Client, unverified_jwt: &str) -> Result<(), Internal> {
    let keys = cx.keys(Need::AccessTokens).await?;
    let Ok(claims) =
        access_token::verify_signature(unverified_jwt, &keys, cx.realm.config.issuer.as_str())
    else {
        return Ok(());
    };
    let (Some(token_id), Some(expires_at)) = (claims.token_id(), claims.expires_at()) else {
        return Ok(());
    };
    let until = Timestamp::from_seconds(expires_at);
    if claims.client_id() == Some(client.client_id.as_str()) && until > cx.now {
        let revoked = store::revocation::revoke(&cx.app.store, token_id, until + LEEWAY)
            .await
            .map_err(Internal::new)?;
        if revoked {
            tracing::info!(client.id = %client.client_id, "access token revoked");
        }
    }
    Ok(())
}
