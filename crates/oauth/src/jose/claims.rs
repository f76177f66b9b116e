//! The claims of a token (RFC 7519 §4, RFC 9068 §2.2), and the checks that every verifier makes.

use serde_json::{Map, Value};

use crate::json_object::parse_object;

/// The most seconds of clock difference that are tolerated (SEC-41).
pub const MAX_LEEWAY: i64 = 60;
/// The largest date that is believed: the end of the year 9999.
pub const MAX_DATE: i64 = 253_402_300_799;
/// The deepest nesting of claims.
const MAX_DEPTH: usize = 32;

/// Why claims were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Not one JSON object with distinct members.
    #[error("the claims are not a JSON object")]
    NotObject,
    /// A registered claim has the wrong type.
    #[error("the claim `{claim}` has the wrong type")]
    WrongType {
        /// Which.
        claim: &'static str,
    },
    /// A date that is no number between 1970 and 9999.
    #[error("the claim `{claim}` is not a date")]
    BadDate {
        /// Which.
        claim: &'static str,
    },
    /// A claim that must be there is not, or is empty.
    #[error("the claim `{claim}` is missing")]
    Missing {
        /// Which.
        claim: &'static str,
    },
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` lies in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// Another issuer.
    #[error("the token is of another issuer")]
    OtherIssuer,
    /// Not for us.
    #[error("the token is for another audience")]
    OtherAudience,
}

/// The claims of one token. Those that no RFC registered are kept as they came.
#[derive(Clone, PartialEq)]
pub struct Claims {
    members: Map<String, Value>,
    audience: Vec<String>,
    expires_at: Option<i64>,
    not_before: Option<i64>,
    issued_at: Option<i64>,
}

/// Claims are personal, so only their names are shown.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.members.keys()).finish()
    }
}

impl Claims {
    /// Reads claims. One that is null is absent; of the others, those must have their type by which a token is judged.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimsError> {
        let mut members = parse_object(bytes, MAX_DEPTH).map_err(|_| ClaimsError::NotObject)?;
        members.retain(|_, value| !value.is_null());
        for claim in ["iss", "sub"] {
            if members.get(claim).is_some_and(|value| !value.is_string()) {
                return Err(ClaimsError::WrongType { claim });
            }
        }
        let audience = match members.get("aud") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many
                .iter()
                .filter_map(|one| one.as_str().map(ToOwned::to_owned))
                .collect(),
            Some(_) => return Err(ClaimsError::WrongType { claim: "aud" }),
        };
        let (expires_at, not_before, issued_at) = (
            date(&members, "exp")?,
            date(&members, "nbf")?,
            date(&members, "iat")?,
        );
        Ok(Self {
            members,
            audience,
            expires_at,
            not_before,
            issued_at,
        })
    }

    /// Any claim, as it came.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// A claim within claims: `realm_access.roles` is `roles` in `realm_access`. A claim that is called by the whole
    /// name, dots and all, goes first, and so on inwards.
    pub fn at(&self, path: &str) -> Option<&Value> {
        within(&self.members, path)
    }

    /// Any claim that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// All claims.
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub").filter(|subject| !subject.is_empty())
    }

    /// `aud`, whether it was a string or an array.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// `exp`, in seconds.
    pub const fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// `nbf`, in seconds.
    pub const fn not_before(&self) -> Option<i64> {
        self.not_before
    }

    /// `iat`, in seconds.
    pub const fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }

    /// `jti`, if it is a string.
    pub fn token_id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// `client_id` (RFC 9068 §2.2), or what an issuer uses instead: `azp`, Okta's `cid`, `appid` of Entra's first
    /// version.
    pub fn client_id(&self) -> Option<&str> {
        ["client_id", "azp", "cid", "appid"]
            .into_iter()
            .find_map(|claim| self.text(claim))
    }

    /// The scopes of `scope`, or of `scp` where an issuer uses that instead; a string or an array.
    pub fn scopes(&self) -> Vec<&str> {
        fn words(text: &str) -> impl Iterator<Item = &str> {
            text.split(' ').filter(|scope| !scope.is_empty())
        }
        let of = |claim| match self.get(claim) {
            Some(Value::String(list)) => words(list).collect(),
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(Value::as_str)
                .flat_map(words)
                .collect(),
            _ => Vec::new(),
        };
        let scopes: Vec<&str> = of("scope");
        if scopes.is_empty() { of("scp") } else { scopes }
    }

    /// Whether this scope was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().contains(&scope)
    }

    /// Checks `exp` (which must be there), `nbf` and `iat` against `now`, in seconds. A leeway beyond [`MAX_LEEWAY`]
    /// counts as that.
    pub fn check_dates(&self, now: i64, leeway: i64) -> Result<(), ClaimsError> {
        let leeway = leeway.clamp(0, MAX_LEEWAY);
        let expires_at = self
            .expires_at
            .ok_or(ClaimsError::Missing { claim: "exp" })?;
        if now >= expires_at.saturating_add(leeway) {
            return Err(ClaimsError::Expired);
        }
        let latest = now.saturating_add(leeway);
        if self
            .not_before
            .is_some_and(|not_before| not_before > latest)
        {
            return Err(ClaimsError::NotYetValid);
        }
        if self.issued_at.is_some_and(|issued_at| issued_at > latest) {
            return Err(ClaimsError::IssuedInFuture);
        }
        Ok(())
    }

    /// Checks `iss`, byte by byte.
    pub fn check_issuer(&self, issuer: &str) -> Result<(), ClaimsError> {
        match self.issuer() {
            None => Err(ClaimsError::Missing { claim: "iss" }),
            Some(named) if named == issuer => Ok(()),
            Some(_) => Err(ClaimsError::OtherIssuer),
        }
    }

    /// Checks that some member of `aud` is acceptable.
    pub fn check_audience(&self, acceptable: impl Fn(&str) -> bool) -> Result<(), ClaimsError> {
        if self.audience.is_empty() {
            return Err(ClaimsError::Missing { claim: "aud" });
        }
        if self.audience.iter().any(|audience| acceptable(audience)) {
            Ok(())
        } else {
            Err(ClaimsError::OtherAudience)
        }
    }
}

fn within<'v>(members: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    members.get(path).or_else(|| {
        path.rmatch_indices('.').find_map(|(at, _)| {
            let (outer, inner) = path.split_at_checked(at)?;
            let claims = members.get(outer)?.as_object()?;
            within(claims, inner.strip_prefix('.')?)
        })
    })
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction; some issuers put it in quotes.
fn date(members: &Map<String, Value>, claim: &'static str) -> Result<Option<i64>, ClaimsError> {
    let Some(value) = members.get(claim) else {
        return Ok(None);
    };
    let seconds = value
        .as_i64()
        .or_else(|| value.as_f64().and_then(whole_seconds))
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    seconds
        .filter(|seconds| (0..=MAX_DATE).contains(seconds))
        .map(Some)
        .ok_or(ClaimsError::BadDate { claim })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range was checked, and the fraction is to go"
)]
fn whole_seconds(seconds: f64) -> Option<i64> {
    (0.0..=253_402_300_799.0)
        .contains(&seconds)
        .then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::parse(json.as_bytes()).unwrap()
    }

    // SEC-41
    #[test]
    fn audiences_are_strings_or_arrays() {
        for json in [r#"{"aud":"a"}"#, r#"{"aud":["b","a"]}"#] {
            assert_eq!(
                claims(json).check_audience(|audience| audience == "a"),
                Ok(())
            );
            assert_eq!(
                claims(json).check_audience(|audience| audience == "c"),
                Err(ClaimsError::OtherAudience)
            );
        }
        for json in ["{}", r#"{"aud":[]}"#] {
            assert_eq!(
                claims(json).check_audience(|_| true),
                Err(ClaimsError::Missing { claim: "aud" })
            );
        }
        for json in [r#"{"aud":1}"#, r#"{"aud":{"a":1}}"#] {
            assert_eq!(
                Claims::parse(json.as_bytes()),
                Err(ClaimsError::WrongType { claim: "aud" })
            );
        }
        assert_eq!(claims(r#"{"aud":["a",1,null]}"#).audience(), ["a"]);
    }

    // SEC-41
    #[test]
    fn the_issuer_is_compared_byte_by_byte() {
        let token = claims(r#"{"iss":"https://a"}"#);
        assert_eq!(token.check_issuer("https://a"), Ok(()));
        assert_eq!(
            token.check_issuer("https://a/"),
            Err(ClaimsError::OtherIssuer)
        );
        assert_eq!(
            claims("{}").check_issuer("https://a"),
            Err(ClaimsError::Missing { claim: "iss" })
        );
    }

    // SEC-41
    #[test]
    fn dates_are_checked_with_bounded_leeway() {
        let token = claims(r#"{"exp":1000,"nbf":500,"iat":500.9}"#);
        assert_eq!(token.check_dates(999, 0), Ok(()));
        assert_eq!(token.check_dates(1000, 0), Err(ClaimsError::Expired));
        assert_eq!(token.check_dates(1059, 3600), Ok(()));
        assert_eq!(token.check_dates(1060, 3600), Err(ClaimsError::Expired));
        assert_eq!(token.check_dates(499, 0), Err(ClaimsError::NotYetValid));
        assert_eq!(token.check_dates(440, 60), Ok(()));
        assert_eq!(
            claims(r#"{"exp":1000,"iat":600}"#).check_dates(500, 60),
            Err(ClaimsError::IssuedInFuture)
        );
        assert_eq!(
            claims("{}").check_dates(0, 0),
            Err(ClaimsError::Missing { claim: "exp" })
        );
    }

    // SEC-41
    #[test]
    fn dates_outside_the_bounds_are_refused() {
        for bad in [
            "-1",
            "1e300",
            "\"-1000\"",
            "\"tomorrow\"",
            "\"\"",
            "true",
            "253402300800",
            "9223372036854775808",
        ] {
            let parsed = Claims::parse(format!(r#"{{"exp":{bad}}}"#).as_bytes());
            assert_eq!(parsed, Err(ClaimsError::BadDate { claim: "exp" }), "{bad}");
        }
    }

    #[test]
    fn scopes_and_clients_are_found_under_both_names() {
        assert_eq!(claims(r#"{"scope":"a  b"}"#).scopes(), ["a", "b"]);
        assert_eq!(claims(r#"{"scp":["a","b"]}"#).scopes(), ["a", "b"]);
        assert_eq!(claims(r#"{"azp":"x"}"#).client_id(), Some("x"));
        assert_eq!(
            claims(r#"{"azp":"x","client_id":"y"}"#).client_id(),
            Some("y")
        );
        assert!(!claims(r#"{"scope":"mcp:toolsx"}"#).has_scope("mcp:tools"));
        assert_eq!(claims(r#"{"scope":"","scp":"a b"}"#).scopes(), ["a", "b"]);
        assert_eq!(
            claims(r#"{"scope":["a b","c",1]}"#).scopes(),
            ["a", "b", "c"]
        );
        assert_eq!(claims(r#"{"cid":"okta"}"#).client_id(), Some("okta"));
        assert_eq!(claims(r#"{"appid":"entra"}"#).client_id(), Some("entra"));
    }

    #[test]
    fn a_claim_that_is_null_is_absent() {
        let token = claims(
            r#"{"iss":null,"sub":null,"aud":null,"exp":1000,"nbf":null,"iat":null,"jti":null,"client_id":null,
                "azp":"x","scope":null,"scp":"a","cnf":null,"at_hash":null}"#,
        );
        assert_eq!(token.check_dates(0, 0), Ok(()));
        assert_eq!(
            token.check_issuer("i"),
            Err(ClaimsError::Missing { claim: "iss" })
        );
        assert_eq!(
            token.check_audience(|_| true),
            Err(ClaimsError::Missing { claim: "aud" })
        );
        assert_eq!((token.subject(), token.token_id()), (None, None));
        assert_eq!((token.client_id(), token.scopes()), (Some("x"), vec!["a"]));
        assert!(token.get("cnf").is_none() && token.get("at_hash").is_none());
        assert_eq!(
            claims(r#"{"exp":null}"#).check_dates(0, 0),
            Err(ClaimsError::Missing { claim: "exp" })
        );
    }

    #[test]
    fn claims_of_another_type_that_decide_nothing_are_absent() {
        let token = claims(r#"{"sub":"s","jti":7,"client_id":7,"azp":"x","exp":"1000"}"#);
        assert_eq!((token.token_id(), token.client_id()), (None, Some("x")));
        assert_eq!(token.check_dates(999, 0), Ok(()));
        assert_eq!(token.check_dates(1000, 0), Err(ClaimsError::Expired));
        for (json, claim) in [(r#"{"sub":7}"#, "sub"), (r#"{"iss":["i"]}"#, "iss")] {
            assert_eq!(
                Claims::parse(json.as_bytes()),
                Err(ClaimsError::WrongType { claim })
            );
        }
    }

    #[test]
    fn a_path_leads_into_claims_and_a_name_with_dots_goes_first() {
        let token = claims(
            r#"{"realm_access":{"roles":["a"]},"resource_access":{"my.app":{"roles":["b"]}},
                "https://x.example/roles":["c"],"https://x.example/more":{"roles":["d"]},
                "both.roles":["e"],"both":{"roles":["f"]},"text":"t"}"#,
        );
        let at = |path: &str| token.at(path).and_then(|found| found.get(0)?.as_str());
        assert_eq!(at("realm_access.roles"), Some("a"));
        assert_eq!(at("resource_access.my.app.roles"), Some("b"));
        assert_eq!(at("https://x.example/roles"), Some("c"));
        assert_eq!(at("https://x.example/more.roles"), Some("d"));
        assert_eq!(at("both.roles"), Some("e"));
        for nowhere in [
            "realm_access.other",
            "realm_access.roles.0",
            "text.x",
            ".",
            "",
        ] {
            assert_eq!(token.at(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn members_that_occur_twice_are_refused() {
        assert_eq!(
            Claims::parse(br#"{"iss":"a","iss":"b"}"#),
            Err(ClaimsError::NotObject)
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,60}|\\{\"(exp|aud|iat)\":[0-9eE.+-]{1,12}\\}") {
            let _ = Claims::parse(text.as_bytes());
        }

        // SEC-41
        #[test]
        fn an_expired_token_is_never_accepted(exp in 0_i64..MAX_DATE, late in 60_i64..1_000_000, leeway: i64) {
            prop_assert_eq!(claims(&format!("{{\"exp\":{exp}}}")).check_dates(exp + late, leeway), Err(ClaimsError::Expired));
        }
    }
}
