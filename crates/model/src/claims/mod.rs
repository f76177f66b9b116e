//! What tokens say: the claims of access and ID tokens and of the user information, by the mappers of their scopes.

mod audience;
pub mod mapper;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;

pub use self::mapper::Claims;
use crate::clock::Timestamp;
use crate::id::Id;
use crate::realm::Realm;
use crate::refresh::Family;
use crate::session::Session;
use crate::user::User;

/// What a token is made from.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The issuer, with its scopes and lifetimes.
    pub realm: &'a Realm,
    /// Whom the token is about.
    pub user: &'a User,
    /// Whom it is issued to.
    pub client_id: &'a ClientId,
    /// What was granted, or less.
    pub scope: &'a ScopeSet,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The login session.
    pub session: Option<Id<Session>>,
}

/// A `jti` that belongs to a grant family, so that revoking the family revokes the token: `<family>.<random>`.
pub fn token_id(family: Id<Family>, random: &[u8; 16]) -> String {
    format!("{family}.{}", URL_SAFE_NO_PAD.encode(random))
}

/// The claims of an access token (RFC 9068 §2.2).
pub fn access_token(
    subject: &Subject<'_>,
    resources: &[Resource],
    jti: &str,
    now: Timestamp,
) -> Claims {
    let mut claims = base(subject, now);
    claims.insert(
        "aud".to_owned(),
        audience::of(subject.realm, subject.scope, resources).into(),
    );
    claims.insert("jti".to_owned(), jti.into());
    claims.insert("client_id".to_owned(), subject.client_id.as_str().into());
    claims.insert("scope".to_owned(), subject.scope.to_string().into());
    claims
}

/// The claims of an ID token (OpenID Connect Core §2).
pub fn id_token(subject: &Subject<'_>, nonce: Option<&str>, now: Timestamp) -> Claims {
    let mut claims = base(subject, now);
    claims.insert("aud".to_owned(), subject.client_id.as_str().into());
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    map(subject.realm, subject.user, subject.scope, &mut claims);
    claims
}

/// The claims of the user information (OpenID Connect Core §5.3.2).
pub fn user_info(realm: &Realm, user: &User, scope: &ScopeSet) -> Claims {
    let mut claims = Claims::new();
    claims.insert("sub".to_owned(), user.id.to_string().into());
    map(realm, user, scope, &mut claims);
    claims
}

fn base(subject: &Subject<'_>, now: Timestamp) -> Claims {
    let mut claims = Claims::new();
    claims.insert("iss".to_owned(), subject.realm.issuer.as_str().into());
    claims.insert("sub".to_owned(), subject.user.id.to_string().into());
    claims.insert("iat".to_owned(), now.seconds().into());
    claims.insert(
        "exp".to_owned(),
        (now + subject.realm.lifetimes.access_token)
            .seconds()
            .into(),
    );
    claims.insert("auth_time".to_owned(), subject.auth_time.seconds().into());
    if let Some(session) = subject.session {
        claims.insert("sid".to_owned(), session.to_string().into());
    }
    claims
}

fn map(realm: &Realm, user: &User, scope: &ScopeSet, claims: &mut Claims) {
    for granted in realm
        .scopes
        .iter()
        .filter(|candidate| scope.contains(candidate.name.as_str()))
    {
        for mapper in &granted.claims {
            mapper.apply(user, claims);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realm::{ClientScope, ScopeKind};

    fn realm() -> Realm {
        let mut realm = Realm::new(
            "mcp-demo".parse().unwrap(),
            "https://as.example/realms/mcp-demo".parse().unwrap(),
        );
        let mut tools = ClientScope::new("mcp:tools".parse().unwrap(), ScopeKind::Optional);
        tools.audiences.push("mcp-gateway-demo".to_owned());
        realm.scopes.push(tools);
        realm
    }

    fn user() -> User {
        let mut user = User::new(
            Id::from_bytes([1; 16]),
            "mcp-demo".parse().unwrap(),
            "alice".parse().unwrap(),
            Timestamp::default(),
        );
        user.name = Some("Alice".to_owned());
        user.email = Some("alice@example.com".to_owned());
        user
    }

    fn show(scope: &str, make: impl Fn(&Subject<'_>) -> Claims) -> String {
        let (realm, user) = (realm(), user());
        let subject = Subject {
            realm: &realm,
            user: &user,
            client_id: &"https://c.example/m.json".parse().unwrap(),
            scope: &scope.parse().unwrap(),
            auth_time: Timestamp::from_seconds(900),
            session: Some(Id::from_bytes([2; 16])),
        };
        serde_json::to_string_pretty(&make(&subject)).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    // SEC-40, SEC-45
    #[test]
    fn an_access_token_says_whom_it_is_for_and_nothing_private() {
        let resource: Resource = "https://gw.example/mcp".parse().unwrap();
        let jti = token_id(Id::from_bytes([3; 16]), &[4; 16]);
        insta::assert_snapshot!(show("openid profile email mcp:tools", |subject| {
            access_token(subject, std::slice::from_ref(&resource), &jti, NOW)
        }),);
    }

    #[test]
    fn an_id_token_is_for_the_client_and_describes_the_user() {
        insta::assert_snapshot!(show("openid profile email", |subject| id_token(
            subject,
            Some("n-1"),
            NOW
        )));
    }

    #[test]
    fn user_information_follows_the_scope() {
        insta::assert_snapshot!(show("openid email", |subject| user_info(
            subject.realm,
            subject.user,
            subject.scope
        )));
    }
}
