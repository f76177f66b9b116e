//! Refreshes: strict rotation that survives lost answers and races (OAuth 2.1 §4.3; the rules are [`model::refresh`]).

use model::claims::subject::Subject;
use model::client::Client;
use model::refresh::{self, Rule};
use model::scope_grant::{self, OPENID};
use oauth::error::{ErrorCode, OauthError};
use oauth::request::token::RefreshRequest;
use oauth::response::token::TokenResponse;
use store::family::Refreshed;

use crate::answer::Refusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::token::{issue, refusal};

/// Refreshes for a client that was authenticated.
pub(super) async fn refresh(
    cx: &Cx,
    client: &Client,
    request: &RefreshRequest,
    identified: &mut Identified,
) -> Result<TokenResponse, Refusal> {
    if !client.may_refresh {
        return Err(OauthError::new(
            ErrorCode::UnauthorizedClient,
            "the client does not have the grant type `refresh_token`",
        )
        .into());
    }
    let (store, lifetimes) = (&cx.app.store, &cx.realm.config.lifetimes);
    let loaded = store::family::by_token(store, &request.refresh_token)
        .await
        .map_err(Internal::new)?;
    let (family, presented) = loaded
        .filter(|(family, _)| family.granted.terms.realm == cx.realm.config.name)
        .ok_or_else(refusal::unknown_refresh_token)?;

    // What would pass must also ask for no more than was granted and still exists, before anything moves: a request for
    // too much does not cost the client its token (SEC-38). What would not pass goes on to where a replay has its
    // consequences.
    let mut narrowed = None;
    if refresh::decide(&family, &presented, &client.client_id, lifetimes, cx.now).is_ok() {
        let realm = &cx.realm.config;
        let scope =
            scope_grant::present_scopes(realm, &family.granted.terms.scope, request.scope.as_ref())
                .map_err(OauthError::from)?;
        let resources = scope_grant::present_resources(
            realm,
            &family.granted.terms.resources,
            &request.resources,
        )
        .map_err(OauthError::from)?;
        let user = issue::user(cx, family.granted.user).await?;
        identified.user(&user);
        narrowed = Some((scope, resources, user));
    }

    let rotated = store::family::rotate(store, &presented, &client.client_id, lifetimes, cx.now)
        .await
        .map_err(Internal::new)?;
    let (refreshed, (scope, resources, user)) = match (rotated.refreshed(), narrowed) {
        (Ok(refreshed), Some(narrowed)) => (refreshed, narrowed),
        (Err(refusal), _) => {
            if refusal == refresh::Refusal::Reused {
                cx.app.metrics.families_revoked.inc();
                tracing::warn!(family.id = %family.id, "grant revoked: a refresh token was used twice");
            }
            return Err(refusal::refresh_refused(refusal).into());
        }
        // A family that would not let a token pass never does so later.
        (Ok(_), None) => return Err(refusal::unknown_refresh_token().into()),
    };
    count(cx, &refreshed);
    let tokens = issue::tokens(
        cx,
        &issue::Order {
            client,
            subject: Subject::User(&user),
            family: refreshed.family.id,
            auth_time: Some(refreshed.family.granted.auth_time),
            session: refreshed.family.granted.session,
            scope: &scope,
            resources: &resources,
            // One comes where it is asked for by name, and nowhere else: its signature costs more than all the rest
            // (OpenID Connect Core §12.2 leaves it to us).
            id_token: refreshed.family.granted.terms.id_token
                && request
                    .scope
                    .as_ref()
                    .is_some_and(|scope| scope.contains(OPENID)),
            nonce: None,
            refresh_token: Some(refreshed.token.expose().clone()),
        },
    )
    .await?;
    Ok(tokens)
}

fn count(cx: &Cx, refreshed: &Refreshed) {
    cx.app.metrics.refreshes.inc();
    let family = refreshed.family.id;
    match refreshed.rule {
        Rule::Rotate => tracing::debug!(family.id = %family, "refresh token rotated"),
        Rule::Repeat => tracing::info!(family.id = %family, "refresh repeated within the grace"),
        Rule::Branch => {
            tracing::info!(family.id = %family, "refresh answer was lost; successor replaced");
        }
        Rule::FastForward => {
            tracing::warn!(family.id = %family, "a refresh token is ahead of the store, which was set back: was a backup restored?");
        }
    }
}
