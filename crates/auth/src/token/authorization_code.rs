//! Redeems an authorization code: once, by its client, with its verifier (OAuth 2.1 §4.1.3; SEC-1 to SEC-5).

use model::claims::subject::Subject;
use model::client::Client;
use model::grant::{self, CodeRedemption, Grant};
use model::granted::Granted;
use model::id::Id;
use model::refresh::{Family, Position};
use model::scope_grant;
use model::secret::{Secret, TokenHash};
use oauth::error::OauthError;
use oauth::redirect_uri::RedirectUri;
use oauth::request::token::CodeRequest;
use oauth::response::token::TokenResponse;
use store::grant::Redemption;

use crate::answer::Refusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::token::{family, issue, refusal};

/// Redeems a code for a client that was authenticated.
pub(super) async fn redeem(
    cx: &Cx,
    client: &Client,
    request: &CodeRequest,
    identified: &mut Identified,
) -> Result<TokenResponse, Refusal> {
    let redirect_uri = request
        .redirect_uri
        .as_deref()
        .map(read_redirect_uri)
        .transpose()?;
    let redemption = CodeRedemption {
        client_id: &client.client_id,
        redirect_uri: redirect_uri.as_ref(),
        verifier: request.code_verifier.as_ref(),
        resources: &request.resources,
    };

    let code = TokenHash::of(&request.code);
    let store = &cx.app.store;
    let loaded = store::grant::load(store, code)
        .await
        .map_err(Internal::new)?;
    let grant = loaded
        .filter(|grant| grant.granted.terms.realm == cx.realm.config.name)
        .ok_or_else(refusal::unknown_code)?;

    let redeemed = match grant::decide(&grant, &redemption, cx.now) {
        Ok(redeemed) => redeemed,
        Err(refusal) => {
            // The same client with the right verifier: what came of the code may be in two hands (SEC-3).
            if let grant::Refusal::Replayed { family } = refusal {
                family::revoke_family(cx, family, "a code was used twice").await?;
            }
            return Err(refusal::code_refused(&refusal).into());
        }
    };
    // What the operator has removed since then is in no new token; a refusal leaves the code usable (SEC-38, SEC-4).
    let realm = &cx.realm.config;
    let scope = scope_grant::present_scopes(realm, &grant.granted.terms.scope, None)
        .map_err(OauthError::from)?;
    let resources = scope_grant::present_resources(realm, &redeemed.resources, &request.resources)
        .map_err(OauthError::from)?;

    let user = issue::user(cx, grant.granted.user).await?;
    identified.user(&user);
    let family = found_family(cx, client, &grant)?;
    let tokens = issue::tokens(
        cx,
        &issue::Order {
            client,
            subject: Subject::User(&user),
            family: family.id,
            auth_time: Some(family.granted.auth_time),
            session: family.granted.session,
            scope: &scope,
            resources: &resources,
            id_token: family.granted.terms.id_token,
            nonce: grant.granted.terms.nonce.as_deref(),
            refresh_token: family.granted.may_refresh.then(|| {
                family
                    .token(store.refresh_key(), family.position)
                    .expose()
                    .clone()
            }),
        },
    )
    .await?;

    match store::grant::redeem(store, code, &family, cx.now)
        .await
        .map_err(Internal::new)?
    {
        Redemption::First => {}
        Redemption::Gone => return Err(refusal::unknown_code().into()),
        // Somebody redeemed it between our reading and our writing: a replay all the same (SEC-3).
        Redemption::Replayed { family } => {
            family::revoke_family(cx, family, "a code was used twice at the same time").await?;
            return Err(refusal::code_refused(&grant::Refusal::Replayed { family }).into());
        }
    }
    cx.app.metrics.codes_redeemed.inc();
    tracing::info!(
        client.id = %client.client_id, user.id = %user.id, user.name = %user.username, family.id = %family.id, %scope,
        "redeemed a code"
    );
    Ok(tokens)
}

/// As in the authorization request, any scheme that was registered passes; comparing decides.
fn read_redirect_uri(text: &str) -> Result<RedirectUri, Refusal> {
    RedirectUri::parse_requested(text)
        .map_err(|_| refusal::code_refused(&grant::Refusal::OtherRedirectUri).into())
}

/// The family of everything that comes of this code; also one without refresh tokens has access tokens to revoke.
fn found_family(cx: &Cx, client: &Client, grant: &Grant) -> Result<Family, Internal> {
    let lifetimes = &cx.realm.config.lifetimes;
    let may_refresh = grant.granted.may_refresh && client.may_refresh;
    let lives = |lifetime| {
        if may_refresh {
            cx.now + lifetime
        } else {
            cx.now
        }
    };
    Ok(Family {
        id: Id::new(cx.now, cx.random()?),
        granted: Granted {
            may_refresh,
            ..grant.granted.clone()
        },
        position: Position::default(),
        previous: None,
        rotated_at: cx.now,
        created_at: cx.now,
        idle_expires_at: lives(lifetimes.refresh_idle),
        absolute_expires_at: lives(lifetimes.refresh_absolute),
        revoked_at: None,
        secret: Secret::new(cx.random()?),
    })
}
