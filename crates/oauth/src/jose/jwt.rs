//! JSON Web Tokens: a signature, a type and claims (RFC 7519, RFC 8725).

use crate::jose::alg::AlgSet;
use crate::jose::claims::{Claims, ClaimsError};
use crate::jose::jwk::JwkSet;
use crate::jose::jws::{Header, JwsError, UnverifiedJws};

/// `typ` of access tokens (RFC 9068 §2.1).
pub const ACCESS_TOKEN: &str = "at+jwt";
/// `typ` of ID tokens and of tokens without a type of their own.
pub const PLAIN: &str = "jwt";
/// `typ` of client assertions, where clients send one.
pub const CLIENT_ASSERTION: &str = "client-authentication+jwt";

/// Why a JWT was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Its form, algorithm, key or signature.
    #[error(transparent)]
    Signature(#[from] JwsError),
    /// It is of another type (SEC-40).
    #[error("the token is of another type")]
    OtherType,
    /// Its claims.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

/// Which `typ` a verifier accepts. There is no default (SEC-40).
#[derive(Clone, Copy, Debug)]
pub struct AcceptedTypes<'a> {
    /// In lower case, without `application/`.
    pub named: &'a [&'a str],
    /// Whether a token without `typ` passes.
    pub absent: AbsentType,
}

/// What to do with a token without `typ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentType {
    /// Refuse it.
    Refused,
    /// Accept it.
    Accepted,
}

impl AcceptedTypes<'_> {
    /// Whether a header is of an accepted type.
    pub fn contains(&self, header: &Header) -> bool {
        match &header.typ {
            None => self.absent == AbsentType::Accepted,
            Some(typ) => self.named.contains(&typ.as_str()),
        }
    }
}

/// A parsed token that nobody should believe yet.
#[derive(Clone, Debug)]
pub struct UnverifiedJwt<'a> {
    jws: UnverifiedJws<'a>,
    claims: Claims,
}

impl<'a> UnverifiedJwt<'a> {
    /// Takes a token apart.
    pub fn parse(token: &'a str) -> Result<Self, JwtError> {
        let jws = UnverifiedJws::parse(token)?;
        let claims = Claims::parse(jws.payload())?;
        Ok(Self { jws, claims })
    }

    /// The header, unverified: for finding the key.
    pub const fn header(&self) -> &Header {
        self.jws.header()
    }

    /// The claims, unverified: for finding whose keys to ask.
    pub const fn unverified_claims(&self) -> &Claims {
        &self.claims
    }

    /// Verifies type and signature. Issuer, audience and dates are the caller's to check, on the result.
    pub fn verify(
        self,
        keys: &JwkSet,
        accepted: AlgSet,
        types: AcceptedTypes<'_>,
    ) -> Result<VerifiedJwt, JwtError> {
        if !types.contains(self.jws.header()) {
            return Err(JwtError::OtherType);
        }
        self.jws.verify(keys, accepted)?;
        Ok(VerifiedJwt {
            header: self.jws.header().clone(),
            claims: self.claims,
        })
    }
}

/// A token whose signature is good. Its dates, issuer and audience are not checked by that.
#[derive(Clone, Debug)]
pub struct VerifiedJwt {
    header: Header,
    claims: Claims,
}

impl VerifiedJwt {
    /// Parses and verifies in one go.
    pub fn verify(
        token: &str,
        keys: &JwkSet,
        accepted: AlgSet,
        types: AcceptedTypes<'_>,
    ) -> Result<Self, JwtError> {
        UnverifiedJwt::parse(token)?.verify(keys, accepted, types)
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The claims.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Keeps only the claims.
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}
