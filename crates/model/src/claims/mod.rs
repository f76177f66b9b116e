//! What tokens say: the claims of access and ID tokens and of the user information, by the mappers of their scopes.

mod audience;
pub mod mapper;
pub mod subject;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;

pub use self::mapper::Claims;
use self::mapper::TokenKind;
use self::subject::Subject;
use crate::clock::Timestamp;
use crate::id::Id;
use crate::realm::Realm;
use crate::refresh::Family;
use crate::session::Session;
use crate::user::User;

/// What a token is made from.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// The issuer, with its scopes and lifetimes.
    pub realm: &'a Realm,
    /// Whom the token is about.
    pub subject: Subject<'a>,
    /// Whom it is issued to.
    pub client_id: &'a ClientId,
    /// What was granted, or less.
    pub scope: &'a ScopeSet,
    /// When the user logged in, if it is about one.
    pub auth_time: Option<Timestamp>,
    /// The login session.
    pub session: Option<Id<Session>>,
}

/// A `jti` that belongs to a grant family, so that revoking the family revokes the token: `<family>.<random>`.
pub fn token_id(family: Id<Family>, random: &[u8; 16]) -> String {
    format!("{family}.{}", URL_SAFE_NO_PAD.encode(random))
}

/// The claims of an access token (RFC 9068 §2.2).
pub fn access_token(
    grounds: &Grounds<'_>,
    resources: &[Resource],
    jti: &str,
    now: Timestamp,
) -> Claims {
    let mut claims = base(grounds, now);
    claims.insert(
        "aud".to_owned(),
        audience::of(grounds.realm, grounds.scope, resources).into(),
    );
    claims.insert("jti".to_owned(), jti.into());
    claims.insert("client_id".to_owned(), grounds.client_id.as_str().into());
    claims.insert("scope".to_owned(), grounds.scope.to_string().into());
    map(
        grounds.realm,
        grounds.subject,
        grounds.scope,
        TokenKind::AccessToken,
        &mut claims,
    );
    claims
}

/// The claims of an ID token (OpenID Connect Core §2).
pub fn id_token(grounds: &Grounds<'_>, nonce: Option<&str>, now: Timestamp) -> Claims {
    let mut claims = base(grounds, now);
    claims.insert("aud".to_owned(), grounds.client_id.as_str().into());
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    map(
        grounds.realm,
        grounds.subject,
        grounds.scope,
        TokenKind::IdToken,
        &mut claims,
    );
    claims
}

/// The claims of the user information (OpenID Connect Core §5.3.2).
pub fn user_info(realm: &Realm, user: &User, scope: &ScopeSet) -> Claims {
    let mut claims = Claims::new();
    claims.insert("sub".to_owned(), user.id.to_string().into());
    let subject = Subject::User(user);
    map(realm, subject, scope, TokenKind::Userinfo, &mut claims);
    claims
}

fn base(grounds: &Grounds<'_>, now: Timestamp) -> Claims {
    let mut claims = Claims::new();
    claims.insert("iss".to_owned(), grounds.realm.issuer.as_str().into());
    claims.insert("sub".to_owned(), grounds.subject.sub().into());
    claims.insert("iat".to_owned(), now.seconds().into());
    claims.insert(
        "exp".to_owned(),
        (now + grounds.realm.lifetimes.access_token)
            .seconds()
            .into(),
    );
    if let Some(auth_time) = grounds.auth_time {
        claims.insert("auth_time".to_owned(), auth_time.seconds().into());
    }
    if let Some(session) = grounds.session {
        claims.insert("sid".to_owned(), session.to_string().into());
    }
    claims
}

fn map(
    realm: &Realm,
    subject: Subject<'_>,
    scope: &ScopeSet,
    kind: TokenKind,
    claims: &mut Claims,
) {
    for granted in realm
        .scopes
        .iter()
        .filter(|candidate| scope.contains(candidate.name.as_str()))
    {
        for mapper in granted.mappers() {
            mapper.apply(subject, kind, claims);
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
        user.profile.name = Some("Alice".to_owned());
        user.profile.email = Some("alice@example.com".parse().unwrap());
        user
    }

    fn show(scope: &str, make: impl Fn(&Grounds<'_>) -> Claims) -> String {
        let (realm, user) = (realm(), user());
        let grounds = Grounds {
            realm: &realm,
            subject: Subject::User(&user),
            client_id: &"https://c.example/m.json".parse().unwrap(),
            scope: &scope.parse().unwrap(),
            auth_time: Some(Timestamp::from_seconds(900)),
            session: Some(Id::from_bytes([2; 16])),
        };
        serde_json::to_string_pretty(&make(&grounds)).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    // SEC-40, SEC-45
    #[test]
    fn an_access_token_says_whom_it_is_for_and_nothing_private() {
        let resource: Resource = "https://gw.example/mcp".parse().unwrap();
        let jti = token_id(Id::from_bytes([3; 16]), &[4; 16]);
        insta::assert_snapshot!(show("openid profile email mcp:tools", |grounds| {
            access_token(grounds, std::slice::from_ref(&resource), &jti, NOW)
        }),);
    }

    #[test]
    fn an_id_token_is_for_the_client_and_describes_the_user() {
        insta::assert_snapshot!(show("openid profile email", |grounds| id_token(
            grounds,
            Some("n-1"),
            NOW
        )));
    }

    #[test]
    fn user_information_follows_the_scope() {
        insta::assert_snapshot!(show("openid email", |grounds| user_info(
            grounds.realm,
            grounds.subject.user().unwrap(),
            grounds.scope
        )));
    }
}
