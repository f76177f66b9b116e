//! Believes an access token of this very server: for the endpoints that are resources themselves.

use model::clock::Timestamp;
use oauth::jose::alg::AlgSet;
use oauth::jose::claims::{Claims, ClaimsError};
use oauth::jose::jwt::{ACCESS_TOKEN, AbsentType, AcceptedTypes, JwtError, VerifiedJwt};

use crate::keys::RealmKeys;

const TYPES: AcceptedTypes<'static> = AcceptedTypes {
    named: &[ACCESS_TOKEN],
    absent: AbsentType::Refused,
};
/// Nodes' clocks differ a little, in seconds.
const LEEWAY: i64 = 10;

/// Verifies type, signature and issuer. Whether it has expired or was revoked is not asked here.
pub(crate) fn verify_signature(
    token: &str,
    keys: &RealmKeys,
    issuer: &str,
) -> Result<Claims, JwtError> {
    let claims = VerifiedJwt::verify(token, keys.published(), AlgSet::ALL, TYPES)?.into_claims();
    claims.check_issuer(issuer)?;
    Ok(claims)
}

/// Checks the dates.
pub(crate) fn check_dates(claims: &Claims, now: Timestamp) -> Result<(), ClaimsError> {
    claims.check_dates(now.seconds(), LEEWAY)
}
