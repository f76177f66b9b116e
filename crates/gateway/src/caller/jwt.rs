//! Which tokens count: signature, type, issuer, dates, audience, client, scopes and claims (SEC-37 to SEC-41).

use std::sync::Arc;

use model::clock::Timestamp;
use model::gateway::CustomClaim;
use oauth::jose::alg::AlgSet;
use oauth::jose::claims::{Claims, ClaimsError};
use oauth::jose::jws::JwsError;
use oauth::jose::jwt::{ACCESS_TOKEN, AbsentType, AcceptedTypes, JwtError, PLAIN, UnverifiedJwt};
use serde_json::Value;

use super::keys::Trust;

/// Tolerated difference of clocks, in seconds (SEC-41).
pub(crate) const LEEWAY: i64 = 30;

/// Access tokens by name, and tokens that say nothing about what they are: most issuers' access tokens (SEC-40).
const TYPES: AcceptedTypes<'static> = AcceptedTypes {
    named: &[ACCESS_TOKEN, PLAIN],
    absent: AbsentType::Accepted,
};

/// Why a token does not count. All are `invalid_token` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    /// Another scheme, or no token after it.
    #[error("expected `Authorization: Bearer` with a token")]
    NotBearer,
    /// Form, algorithm, key, signature or type.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Issuer, audience or dates.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Signed with a key that its issuer does not publish.
    #[error("the token is signed with a key that its issuer does not publish")]
    UnknownKey,
    /// An ID token, a refresh token, a logout token.
    #[error("the token is no access token")]
    NotAccessToken,
    /// Bound to a key, and we can't check the proof (SEC-47).
    #[error("the token is bound to a key and is no bearer token")]
    Bound,
    /// Revoked before it expired.
    #[error("the token was revoked")]
    Revoked,
}

/// Whom a token must be for.
#[derive(Debug)]
pub(crate) enum Audience {
    /// One of these.
    OneOf(Vec<String>),
    /// Nobody is named: the issuer puts no `aud` into its tokens, and the client decides. A token that does name
    /// somebody is for somebody else.
    Unnamed,
    /// Anybody (`danger_any_audience`).
    Any,
}

/// What the operator demands of the tokens of an issuer.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) audience: Audience,
    /// By which the token may be signed.
    pub(crate) algorithms: AlgSet,
    /// All of these.
    pub(crate) scopes: Vec<String>,
    /// One of these; empty: any.
    pub(crate) clients: Vec<String>,
    /// All of these.
    pub(crate) claims: Vec<CustomClaim>,
}

/// What is kept of a token that counts.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) issuer: Box<str>,
    pub(crate) subject: Arc<str>,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) token_id: Option<Box<str>>,
    pub(crate) expires_at: i64,
}

/// What comes of a token.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted(Verified),
    /// Perhaps newer keys help.
    UnknownKey,
    Refused(TokenFault),
    LacksScope,
    ClientNotAllowed,
    LacksClaim,
}

pub(crate) fn parse(token: &str) -> Result<UnverifiedJwt<'_>, TokenFault> {
    Ok(UnverifiedJwt::parse(token)?)
}

impl Rules {
    pub(crate) fn verify(
        &self,
        unverified: &UnverifiedJwt<'_>,
        trust: &Trust,
        now: Timestamp,
    ) -> Verdict {
        // Somebody else's token never makes us look for keys.
        let claims = unverified.unverified_claims();
        if let Err(error) = claims.check_issuer(&trust.issuer) {
            say_other_issuer(claims, &trust.issuer);
            return Verdict::Refused(error.into());
        }
        let nameless = unverified.header().kid.is_none();
        let verified = match unverified
            .clone()
            .verify(&trust.keys, self.algorithms, TYPES)
        {
            Ok(verified) => verified,
            Err(JwtError::Signature(JwsError::UnknownKey)) => return Verdict::UnknownKey,
            Err(JwtError::Signature(JwsError::BadSignature)) if nameless => {
                return Verdict::UnknownKey;
            }
            Err(error) => {
                if error == JwtError::OtherType {
                    let typ = unverified.header().typ.as_deref();
                    tracing::info!(
                        claim = "typ",
                        named = typ.unwrap_or_default(),
                        allowed = TYPES.named.join(", "),
                        "a token is of another type"
                    );
                }
                return Verdict::Refused(error.into());
            }
        };
        let named_access = verified.header().typ.as_deref() == Some(ACCESS_TOKEN);
        self.judge(verified.claims(), named_access, now)
    }

    fn judge(&self, claims: &Claims, named_access: bool, now: Timestamp) -> Verdict {
        let checked =
            claims
                .check_dates(now.seconds(), LEEWAY)
                .and_then(|()| match &self.audience {
                    Audience::Any => Ok(()),
                    Audience::OneOf(allowed) => claims.check_audience(|audience| {
                        allowed.iter().any(|own| same_audience(own, audience))
                    }),
                    Audience::Unnamed if names_nobody(claims) => Ok(()),
                    Audience::Unnamed => Err(ClaimsError::OtherAudience),
                });
        if let Err(error) = checked {
            if error == ClaimsError::OtherAudience {
                tracing::info!(
                    claim = "aud",
                    named = claims.audience().join(", "),
                    allowed = ?self.audience,
                    "a token is for another audience"
                );
            }
            return Verdict::Refused(error.into());
        }
        let mark = marks_another(claims).filter(|_| !named_access);
        if let Some(claim) = mark {
            tracing::info!(claim, "a claim says that a token is no access token");
            return Verdict::Refused(TokenFault::NotAccessToken);
        }
        if claims.get("cnf").is_some() {
            return Verdict::Refused(TokenFault::Bound);
        }
        let (Some(issuer), Some(subject), Some(expires_at)) =
            (claims.issuer(), claims.subject(), claims.expires_at())
        else {
            return Verdict::Refused(ClaimsError::Missing { claim: "sub" }.into());
        };
        let client = claims.client_id();
        let client_allowed = self.clients.is_empty()
            || client.is_some_and(|client| self.clients.iter().any(|allowed| allowed == client));
        if !client_allowed {
            tracing::info!(
                client = client.unwrap_or_default(),
                allowed = self.clients.join(", "),
                "a token is of a client that is not allowed"
            );
            return Verdict::ClientNotAllowed;
        }
        let unmet = self
            .claims
            .iter()
            .find(|rule| !rule.is_met_by(claims.at(&rule.name)));
        if let Some(rule) = unmet {
            tracing::info!(claim = rule.name, expected = ?rule.rule, "a token lacks a claim");
            return Verdict::LacksClaim;
        }
        let scopes = claims.scopes();
        if !self
            .scopes
            .iter()
            .all(|needed| scopes.contains(&needed.as_str()))
        {
            tracing::info!(
                granted = scopes.join(" "),
                needed = self.scopes.join(" "),
                "a token lacks a scope"
            );
            return Verdict::LacksScope;
        }
        Verdict::Accepted(Verified {
            issuer: issuer.into(),
            subject: subject.into(),
            client: client.map(Into::into),
            token_id: claims.token_id().map(Into::into),
            expires_at,
        })
    }
}

/// Whether there is no `aud`. One that can't be read is somebody's.
fn names_nobody(claims: &Claims) -> bool {
    match claims.get("aud") {
        None => true,
        Some(Value::Array(audiences)) => audiences.is_empty(),
        Some(_) => false,
    }
}

/// Byte for byte; only a URL without a path may have its slash or not (RFC 3986 §6.2.3).
fn same_audience(own: &str, audience: &str) -> bool {
    own == audience || bare_origin(own).is_some_and(|origin| Some(origin) == bare_origin(audience))
}

fn bare_origin(text: &str) -> Option<&str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    (!rest.is_empty() && !rest.contains(['/', '?', '#'])).then_some(text)
}

/// The claim by which a token is recognized as an ID token, a refresh token or a logout token (SEC-40).
fn marks_another(claims: &Claims) -> Option<&'static str> {
    // Keycloak says what a token is in `typ`, Cognito in `token_use`.
    let is_access = |typ: &str| {
        ["bearer", "dpop"]
            .iter()
            .any(|one| typ.eq_ignore_ascii_case(one))
    };
    if claims.text("typ").is_some_and(|typ| !is_access(typ)) {
        return Some("typ");
    }
    if claims
        .text("token_use")
        .is_some_and(|usage| usage != "access")
    {
        return Some("token_use");
    }
    let marks = ["at_hash", "c_hash", "s_hash", "events"];
    marks.into_iter().find(|mark| claims.get(mark).is_some())
}

/// Says in the log which issuer a token names, and which would be trusted.
pub(super) fn say_other_issuer(claims: &Claims, trusted: &str) {
    tracing::info!(
        claim = "iss",
        named = claims.issuer().unwrap_or_default(),
        trusted,
        "a token names another issuer"
    );
}

#[cfg(test)]
mod tests {
    use model::gateway::ClaimRule;

    use super::*;

    fn rules() -> Rules {
        Rules {
            audience: Audience::OneOf(vec!["gateway".to_owned(), "https://h".to_owned()]),
            algorithms: AlgSet::ALL,
            scopes: vec!["mcp:tools".to_owned()],
            clients: Vec::new(),
            claims: Vec::new(),
        }
    }

    fn judged(rules: &Rules, json: &str) -> String {
        let claims = Claims::parse(json.as_bytes()).unwrap();
        match rules.judge(&claims, false, Timestamp::from_seconds(1000)) {
            Verdict::Accepted(_) => "accepted".to_owned(),
            Verdict::Refused(fault) => format!("{fault:?}"),
            other => format!("{other:?}"),
        }
    }

    const GOOD: &str = r#""iss":"i","sub":"s","exp":1100,"scope":"openid mcp:tools","azp":"c""#;

    // RS-7, SEC-37
    #[test]
    fn the_audience_must_be_one_of_ours() {
        let with = |aud: &str| judged(&rules(), &format!(r#"{{{GOOD},"aud":{aud}}}"#));
        for aud in [
            r#""gateway""#,
            r#"["x","gateway"]"#,
            r#""https://h/""#,
            r#""https://h""#,
        ] {
            assert_eq!(with(aud), "accepted", "{aud}");
        }
        for aud in [
            r#""other""#,
            r#""gateway/""#,
            r#""https://h/a""#,
            r#"["x"]"#,
            r#""GATEWAY""#,
        ] {
            assert_eq!(with(aud), "Claims(OtherAudience)", "{aud}");
        }
        assert_eq!(
            judged(&rules(), &format!("{{{GOOD}}}")),
            r#"Claims(Missing { claim: "aud" })"#
        );
    }

    // SEC-40
    #[test]
    fn recognizable_id_tokens_are_no_access_tokens() {
        let nulls =
            format!(r#"{{{GOOD},"aud":"gateway","at_hash":null,"events":null,"cnf":null}}"#);
        assert_eq!(judged(&rules(), &nulls), "accepted");
        for mark in [
            r#""typ":"ID""#,
            r#""typ":"Refresh""#,
            r#""token_use":"id""#,
            r#""at_hash":"x""#,
            r#""events":{}"#,
        ] {
            let json = format!(r#"{{{GOOD},"aud":"gateway",{mark}}}"#);
            assert_eq!(judged(&rules(), &json), "NotAccessToken", "{mark}");
        }
        let keycloak = format!(r#"{{{GOOD},"aud":"gateway","typ":"Bearer"}}"#);
        assert_eq!(judged(&rules(), &keycloak), "accepted");
    }

    // SEC-47
    #[test]
    fn a_token_bound_to_a_key_is_no_bearer_token() {
        let json = format!(r#"{{{GOOD},"aud":"gateway","cnf":{{"jkt":"x"}}}}"#);
        assert_eq!(judged(&rules(), &json), "Bound");
    }

    // RS-12, RS-14
    #[test]
    fn all_configured_scopes_are_needed() {
        let mut rules = rules();
        rules.scopes.push("openid".to_owned());
        let json = format!(r#"{{{GOOD},"aud":"gateway"}}"#);
        assert_eq!(judged(&rules, &json), "accepted");
        rules.scopes.push("admin".to_owned());
        assert_eq!(judged(&rules, &json), "LacksScope");
    }

    #[test]
    fn clients_are_found_where_issuers_put_them() {
        let mut rules = rules();
        rules.clients = vec!["c".to_owned()];
        let with = |rules: &Rules, client: &str| {
            let good = GOOD.replace(r#""azp":"c""#, client);
            judged(rules, &format!(r#"{{{good},"aud":"gateway"}}"#))
        };
        for client in [
            r#""client_id":"c""#,
            r#""azp":"c""#,
            r#""cid":"c""#,
            r#""appid":"c""#,
            r#""client_id":null,"azp":"c""#,
            r#""client_id":7,"cid":"c""#,
        ] {
            assert_eq!(with(&rules, client), "accepted", "{client}");
        }
        for client in [
            r#""client_id":"d","azp":"c""#,
            r#""azp":["c"]"#,
            r#""appid":null"#,
            r#""app":"c""#,
        ] {
            assert_eq!(with(&rules, client), "ClientNotAllowed", "{client}");
        }
    }

    // RS-7, SEC-37
    #[test]
    fn where_the_issuer_names_no_audience_the_client_decides() {
        let mut rules = rules();
        rules.audience = Audience::Unnamed;
        rules.clients = vec!["c".to_owned()];
        let with = |more: &str| judged(&rules, &format!("{{{GOOD}{more}}}"));
        for nobody in [
            "",
            r#","aud":null"#,
            r#","aud":[]"#,
            r#","token_use":"access""#,
        ] {
            assert_eq!(with(nobody), "accepted", "{nobody}");
        }
        for somebody in [
            r#","aud":"gateway""#,
            r#","aud":["x"]"#,
            r#","aud":"c""#,
            r#","aud":"""#,
            r#","aud":[7]"#,
        ] {
            assert_eq!(with(somebody), "Claims(OtherAudience)", "{somebody}");
        }
        assert_eq!(with(r#","client_id":"d""#), "ClientNotAllowed");
        assert_eq!(with(r#","token_use":"id""#), "NotAccessToken");
    }

    #[test]
    fn custom_claims_have_their_three_operators() {
        let json = format!(
            r#"{{{GOOD},"aud":"gateway","team":"red","groups":["a","b"],"realm_access":{{"roles":["r"]}}}}"#
        );
        let with = |name: &str, rule: ClaimRule| {
            let mut rules = rules();
            rules.claims = vec![CustomClaim {
                name: name.into(),
                rule,
            }];
            judged(&rules, &json)
        };
        assert_eq!(with("team", ClaimRule::Equals("red".into())), "accepted");
        assert_eq!(with("team", ClaimRule::Equals("re".into())), "LacksClaim");
        assert_eq!(with("groups", ClaimRule::Contains("b".into())), "accepted");
        assert_eq!(
            with("groups", ClaimRule::Contains("c".into())),
            "LacksClaim"
        );
        assert_eq!(
            with("team", ClaimRule::Contains("red".into())),
            "LacksClaim"
        );
        assert_eq!(
            with(
                "groups",
                ClaimRule::ContainsAny(vec!["x".into(), "a".into()])
            ),
            "accepted"
        );
        assert_eq!(
            with("absent", ClaimRule::ContainsAny(vec!["x".into()])),
            "LacksClaim"
        );
        assert_eq!(
            with("realm_access.roles", ClaimRule::Contains("r".into())),
            "accepted"
        );
        assert_eq!(
            with("realm_access.groups", ClaimRule::Contains("r".into())),
            "LacksClaim"
        );
    }
}
