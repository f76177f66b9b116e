//! Claims about whom a token is about, by the scopes that give them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claims::subject::Subject;
use crate::text::setting;
use crate::traits::{Attribute, AttributeName};

/// Claims by name, ready to be signed.
pub type Claims = BTreeMap<String, Value>;

/// Claims that say who issued a token, for whom and for how long: no mapper can set them.
const OURS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "azp",
    "scope",
    "auth_time",
    "sid",
    "nonce",
    "acr",
    "amr",
    "cnf",
    "act",
    "may_act",
    "at_hash",
    "c_hash",
    "events",
    "token_use",
];

/// The name of a claim that this server does not set itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimName(String);

/// A text that can't name a mapped claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a claim that this server does not set itself")]
pub struct BadClaimName;

impl FromStr for ClaimName {
    type Err = BadClaimName;

    fn from_str(text: &str) -> Result<Self, BadClaimName> {
        let fits = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits && !OURS.contains(&text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadClaimName)
        }
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    ClaimName,
    "claim-name",
    "the name of a claim that this server does not set itself",
    "groups"
);

/// A claim that tokens get with a scope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "ClaimMapper")]
#[serde(deny_unknown_fields)]
pub struct Mapper {
    /// Its name. What this server says itself, as `sub`, `aud` and `scope`, can't be set.
    pub claim: ClaimName,
    /// Where its value comes from. Who has none gets no claim.
    pub from: Source,
    /// Which tokens get it. Default: all. Who asks for a token can read none of it but from the ID token and the user information.
    #[serde(default = "everywhere")]
    pub tokens: Vec<TokenKind>,
}

fn everywhere() -> Vec<TokenKind> {
    vec![
        TokenKind::AccessToken,
        TokenKind::IdToken,
        TokenKind::Userinfo,
    ]
}

/// Where the value of a claim comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "ClaimSource")]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The groups, as a list.
    Groups,
    /// What a user types to log in.
    Username,
    /// The full name.
    Name,
    /// The mail address.
    Email,
    /// Whether somebody made sure that the mail address is theirs.
    EmailVerified,
    /// An attribute: a text, or a list of texts.
    Attribute(AttributeName),
    /// The same for everybody.
    Value(Value),
}

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// What resources get (RFC 9068).
    AccessToken,
    /// What clients get (OpenID Connect Core §2).
    IdToken,
    /// What clients ask for (OpenID Connect Core §5.3).
    Userinfo,
}

impl Mapper {
    /// The mappers of the scope `profile` (OpenID Connect Core §5.4).
    pub(crate) fn of_profile() -> Vec<Self> {
        vec![
            Self::for_clients("preferred_username", Source::Username),
            Self::for_clients("name", Source::Name),
        ]
    }

    /// The mappers of the scope `email` (OpenID Connect Core §5.4).
    pub(crate) fn of_email() -> Vec<Self> {
        vec![
            Self::for_clients("email", Source::Email),
            Self::for_clients("email_verified", Source::EmailVerified),
        ]
    }

    /// Resources know a user by `sub`; who they are is for the client that they use.
    fn for_clients(claim: &str, from: Source) -> Self {
        Self {
            claim: ClaimName(claim.to_owned()),
            from,
            tokens: vec![TokenKind::IdToken, TokenKind::Userinfo],
        }
    }

    /// Adds the claim, unless a mapper before it did.
    pub(super) fn apply(&self, subject: Subject<'_>, kind: TokenKind, claims: &mut Claims) {
        if self.tokens.contains(&kind)
            && let Some(value) = self.from.value(subject)
        {
            claims.entry(self.claim.to_string()).or_insert(value);
        }
    }
}

impl Source {
    fn value(&self, subject: Subject<'_>) -> Option<Value> {
        let user = subject.user();
        match self {
            Self::Groups => {
                let groups = &subject.traits().groups;
                let groups = groups.iter().map(ToString::to_string);
                Some(groups.collect::<Vec<_>>().into()).filter(|list| *list != Value::Array(vec![]))
            }
            Self::Username => Some(user?.username.as_str().into()),
            Self::Name => Some(user?.profile.name.as_deref()?.into()),
            Self::Email => Some(user?.profile.email.as_ref()?.as_str().into()),
            Self::EmailVerified => {
                let user = user.filter(|user| user.profile.email.is_some())?;
                Some(user.email_verified.into())
            }
            Self::Attribute(name) => Some(match subject.traits().attributes.get(name)? {
                Attribute::One(text) => text.as_str().into(),
                Attribute::Several(texts) => texts.clone().into(),
            }),
            Self::Value(value) => Some(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::Id;
    use crate::user::User;

    fn mapped(mappers: &str, kind: TokenKind) -> Value {
        let mappers: Vec<Mapper> = serde_json::from_str(mappers).unwrap();
        let mut user = User::new(
            Id::from_bytes([1; 16]),
            "demo".parse().unwrap(),
            "alice".parse().unwrap(),
            Timestamp::default(),
        );
        user.traits = serde_json::from_str(
            r#"{"groups":["b","a"],"attributes":{"dept":"sales","phone":["1","2"]}}"#,
        )
        .unwrap();
        let mut claims = Claims::new();
        for mapper in &mappers {
            mapper.apply(Subject::User(&user), kind, &mut claims);
        }
        serde_json::to_value(claims).unwrap()
    }

    #[test]
    fn a_claim_has_its_value_as_it_was_written_and_is_left_out_where_there_is_none() {
        let mappers = r#"[
            {"claim":"groups","from":"groups"},
            {"claim":"department","from":{"attribute":"dept"}},
            {"claim":"phones","from":{"attribute":"phone"}},
            {"claim":"cost_center","from":{"attribute":"cost center"}},
            {"claim":"tenant","from":{"value":{"id":7}}},
            {"claim":"tenant","from":{"value":"later"}},
            {"claim":"name","from":"name"},
            {"claim":"login","from":"username","tokens":["id_token"]}
        ]"#;
        let expected = serde_json::json!({
            "groups": ["a", "b"], "department": "sales", "phones": ["1", "2"], "tenant": {"id": 7},
        });
        assert_eq!(mapped(mappers, TokenKind::AccessToken), expected);
        assert_eq!(mapped(mappers, TokenKind::IdToken)["login"], "alice");
    }

    // SEC-37
    #[test]
    fn what_this_server_says_itself_is_said_by_nobody_else() {
        for ours in ["sub", "aud", "scope", "client_id", "cnf", "", "a\nb"] {
            assert_eq!(ours.parse::<ClaimName>(), Err(BadClaimName), "{ours}");
        }
    }
}
