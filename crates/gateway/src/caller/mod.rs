//! Who calls: from an `Authorization` header to a [`Caller`], through a cache of verified tokens; or, without authorization,
//! everybody on this machine.
//!
//! The token itself never leaves this module: [`InboundToken`] is neither a header value nor printable, and what the
//! rest of the gateway gets to know is a [`Caller`] (RS-8, SEC-36).

mod cache;
pub(crate) mod challenge;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod metadata;
mod who;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Uri, header};
use model::clock::Timestamp;
use model::secret::TokenHash;
use net::edge::forwarded::{Dialect, TrustedProxies};
use net::edge::{Arrival, Peer};
use oauth::jose::claims::{Claims, ClaimsError};
use oauth::scope::ScopeSet;

use self::cache::{By, VerifiedTokens};
use self::jwt::{Rules, TokenFault, Verdict};
use self::keys::Issuer;
pub(crate) use self::who::Caller;
use crate::refusal::Refusal;
use crate::revocation::Revoked;

/// A bearer token as it came in. It can be hashed and verified, and nothing else.
struct InboundToken<'a>(&'a str);

/// An issuer, and what is demanded of its tokens.
#[derive(Debug)]
pub(crate) struct Authorizer {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) rules: Rules,
    /// All that a token of this issuer needs.
    pub(crate) scopes: ScopeSet,
}

/// Decides who calls.
#[derive(Debug)]
pub(crate) enum Identification {
    /// By a token.
    Tokens(Box<Tokens>),
    /// Nobody is asked. Tokens that come along are not looked at, and go no further than any other (SEC-36).
    None(Box<ThisMachine>),
}

/// Everybody on this machine.
#[derive(Debug)]
pub(crate) struct ThisMachine {
    anybody: Arc<Caller>,
    /// Proxies on this machine, in each way to say for whom they ask. They are believed where it is somebody else's request.
    proxies: [TrustedProxies; 2],
}

/// Decides whose tokens are good.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// No two of one issuer: a token is judged by the rules of the issuer that it names, and by no other's.
    authorizers: Vec<Authorizer>,
    verified: VerifiedTokens,
    revoked: RevokedCheck,
}

struct RevokedCheck(Revoked);

impl std::fmt::Debug for RevokedCheck {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Revoked(..)")
    }
}

impl Identification {
    pub(crate) fn by_tokens(
        authorizers: Vec<Authorizer>,
        revoked: Revoked,
        capacity: usize,
    ) -> Self {
        Self::Tokens(Box::new(Tokens {
            authorizers,
            verified: VerifiedTokens::new(capacity),
            revoked: RevokedCheck(revoked),
        }))
    }

    /// For a gateway without authorization.
    pub(crate) fn none() -> Self {
        let proxies = [Dialect::XForwarded, Dialect::Forwarded].map(TrustedProxies::on_loopback);
        Self::None(Box::new(ThisMachine {
            anybody: Arc::new(Caller::anybody()),
            proxies,
        }))
    }

    pub(crate) fn asks_for_tokens(&self) -> bool {
        matches!(self, Self::Tokens(_))
    }

    /// The issuers, in the order of the configuration.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        let authorizers = match self {
            Self::Tokens(tokens) => tokens.authorizers.as_slice(),
            Self::None(_) => &[],
        };
        authorizers.iter().map(|authorizer| &authorizer.issuer)
    }

    /// Who sent this request.
    pub(crate) async fn identify(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Arc<Caller>, Refusal> {
        match self {
            Self::Tokens(tokens) => tokens.identify(uri, headers, now).await,
            Self::None(machine) if machine.is_home_of(peer, headers) => {
                Ok(Arc::clone(&machine.anybody))
            }
            Self::None(_) => Err(Refusal::NotOfThisMachine),
        }
    }

    /// Whether a caller identified before would still be let in, as far as time and revocation go.
    pub(crate) fn still_good(&self, caller: &Caller, now: Timestamp) -> bool {
        match self {
            Self::Tokens(tokens) => tokens.still_good(caller, now),
            Self::None(_) => true,
        }
    }
}

impl ThisMachine {
    /// Whether somebody connected from this very machine, and does not speak for others: a tunnel to somewhere else is on
    /// this machine, too. What listens is checked with the configuration; this holds whatever that was.
    fn is_home_of(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let is_here = |address: IpAddr| address.to_canonical().is_loopback();
        peer.arrival == Arrival::Direct
            && is_here(peer.address)
            && self
                .proxies
                .iter()
                .all(|proxies| is_here(proxies.told(peer.address, headers).address))
    }
}

impl Tokens {
    /// Who sent this request (RS-6, RS-7, RS-10).
    async fn identify(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Arc<Caller>, Refusal> {
        let token = bearer(uri, headers)?;
        let hash = hash(&token);
        let known = self.verified.find(&hash, now, |by| self.still_holds(by));
        let caller = if let Some(caller) = known {
            caller
        } else {
            // Rare, and large: boxed, so that a request with a known token stays small.
            let (caller, by) = Box::pin(self.verify(&token, now)).await?;
            self.verified.keep(hash, Arc::clone(&caller), now, by);
            caller
        };
        // Asked on every request, whatever the cache says (SEC-46).
        if caller
            .token_id
            .as_deref()
            .is_some_and(|id| (self.revoked.0)(id))
        {
            return Err(Refusal::InvalidToken(TokenFault::Revoked));
        }
        Ok(caller)
    }

    fn still_good(&self, caller: &Caller, now: Timestamp) -> bool {
        let revoked = caller
            .token_id
            .as_deref()
            .is_some_and(|id| (self.revoked.0)(id));
        !revoked && now.seconds() < caller.expires_at.saturating_add(jwt::LEEWAY)
    }

    /// Whether the keys that a token was verified with are still those of its issuer.
    fn still_holds(&self, by: By) -> bool {
        self.authorizers
            .get(by.issuer)
            .is_some_and(|authorizer| authorizer.issuer.epoch() == by.epoch)
    }

    /// The issuer that a token names, before anything of it is believed (SEC-41).
    fn named_by(&self, claims: &Claims) -> Result<(usize, &Authorizer), ClaimsError> {
        let named = claims
            .issuer()
            .ok_or(ClaimsError::Missing { claim: "iss" })?;
        self.authorizers
            .iter()
            .enumerate()
            .find(|(_, authorizer)| authorizer.issuer.may_be(named))
            .ok_or(ClaimsError::OtherIssuer)
    }

    async fn verify(
        &self,
        token: &InboundToken<'_>,
        now: Timestamp,
    ) -> Result<(Arc<Caller>, By), Refusal> {
        let unverified = jwt::parse(token.0).map_err(Refusal::InvalidToken)?;
        let (index, Authorizer { issuer, rules, .. }) =
            match self.named_by(unverified.unverified_claims()) {
                Ok(named) => named,
                Err(error) => {
                    let trusted: Vec<_> = self
                        .authorizers
                        .iter()
                        .map(|one| one.issuer.name())
                        .collect();
                    jwt::say_other_issuer(unverified.unverified_claims(), &trusted.join(", "));
                    return Err(Refusal::InvalidToken(error.into()));
                }
            };
        let trust = issuer.current().await.map_err(Refusal::NoKeys)?;
        let (verdict, epoch) = match rules.verify(&unverified, &trust, now) {
            // Perhaps the issuer has new keys. How often that is looked up has its budget (SEC-44).
            Verdict::UnknownKey => {
                let trust = issuer.refreshed().await.map_err(Refusal::NoKeys)?;
                (rules.verify(&unverified, &trust, now), trust.epoch)
            }
            verdict => (verdict, trust.epoch),
        };
        match verdict {
            // Of the keys that verified it, not of those that came meanwhile (SEC-43).
            Verdict::Accepted(verified) => Ok((
                Arc::new(Caller::new(verified)),
                By {
                    issuer: index,
                    epoch,
                },
            )),
            Verdict::UnknownKey => {
                tracing::info!(
                    issuer = issuer.name(),
                    kid = unverified.header().kid.as_deref().unwrap_or_default(),
                    "the issuer publishes no key with which a token is signed"
                );
                Err(Refusal::InvalidToken(TokenFault::UnknownKey))
            }
            Verdict::Refused(fault) => Err(Refusal::InvalidToken(fault)),
            Verdict::LacksScope => Err(Refusal::InsufficientScope(self.scopes_of(index))),
            Verdict::ClientNotAllowed => Err(Refusal::ClientNotAllowed),
            Verdict::LacksClaim => Err(Refusal::ClaimNotAllowed),
        }
    }

    fn scopes_of(&self, index: usize) -> ScopeSet {
        self.authorizers
            .get(index)
            .map(|authorizer| authorizer.scopes.clone())
            .unwrap_or_default()
    }
}

/// The bearer token of a request; only the header counts (RS-9).
fn bearer<'a>(uri: &Uri, headers: &'a HeaderMap) -> Result<InboundToken<'a>, Refusal> {
    if uri.query().is_some_and(names_access_token) {
        return Err(Refusal::TokenInQuery);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Refusal::NoToken),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(Refusal::SeveralTokens),
    };
    value
        .to_str()
        .ok()
        .and_then(oauth::bearer::token)
        .map(InboundToken)
        .ok_or(Refusal::InvalidToken(TokenFault::NotBearer))
}

/// Whether a query has a parameter `access_token`, in any percent-encoding.
fn names_access_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

fn hash(token: &InboundToken<'_>) -> [u8; 32] {
    *TokenHash::of(token.0).as_bytes()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Caller, jwt};

    /// A caller who was never verified.
    pub(crate) fn caller(subject: &str) -> Caller {
        Caller::new(jwt::Verified {
            issuer: "https://issuer.example".into(),
            subject: subject.into(),
            client: Some("client".into()),
            token_id: None,
            expires_at: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(uri: &str, authorization: &[&'static str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        let uri: Uri = uri.parse().unwrap();
        bearer(&uri, &headers)
            .map(|token| token.0.to_owned())
            .map_err(|refusal| refusal.name())
    }

    #[test]
    fn texts_that_run_together_are_not_the_same_caller() {
        let of = |issuer: &str, subject: &str, client: &str| {
            let caller = Caller::new(jwt::Verified {
                issuer: issuer.into(),
                subject: subject.into(),
                client: Some(client.into()),
                token_id: None,
                expires_at: 0,
            });
            caller.fingerprint
        };
        assert_eq!(of("i", "s", "c"), of("i", "s", "c"));
        assert_ne!(of("i", "a\0b", "c"), of("i", "a", "b\0c"));
        assert_ne!(of("i", "ab", "c"), of("i", "a", "bc"));
        assert_ne!(of("i", "a", ""), of("i", "", "a"));
    }

    #[test]
    fn the_scheme_is_taken_in_any_case() {
        assert_eq!(found("/mcp", &["bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(found("/mcp", &["Bearer  abc "]), Ok("abc".to_owned()));
    }

    // RS-9
    #[test]
    fn a_token_in_the_query_is_refused_even_beside_a_good_one() {
        assert_eq!(
            found("/mcp?access_token=x", &["Bearer abc"]),
            Err("token_in_query")
        );
        assert_eq!(found("/mcp?a=b&%61ccess_token", &[]), Err("token_in_query"));
        assert_eq!(
            found("/mcp?my_access_token=x", &["Bearer abc"]),
            Ok("abc".to_owned())
        );
    }

    #[test]
    fn other_credentials_are_no_bearer_tokens() {
        assert_eq!(found("/mcp", &[]), Err("no_token"));
        assert_eq!(found("/mcp", &["Basic abc"]), Err("invalid_token"));
        assert_eq!(found("/mcp", &["Bearer"]), Err("invalid_token"));
        assert_eq!(found("/mcp", &["Bearer  "]), Err("invalid_token"));
        assert_eq!(
            found("/mcp", &["Bearer a", "Bearer a"]),
            Err("several_tokens")
        );
    }
}
