//! The scope `email` (OpenID Connect Core §5.4).

use super::Claims;
use crate::user::User;

pub(super) fn apply(user: &User, claims: &mut Claims) {
    if let Some(email) = &user.email {
        claims.insert("email".to_owned(), email.as_str().into());
        claims.insert("email_verified".to_owned(), user.email_verified.into());
    }
}
