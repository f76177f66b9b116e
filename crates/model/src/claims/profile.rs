//! The scope `profile` (OpenID Connect Core §5.4).

use super::Claims;
use crate::user::User;

pub(super) fn apply(user: &User, claims: &mut Claims) {
    claims.insert(
        "preferred_username".to_owned(),
        user.username.as_str().into(),
    );
    if let Some(name) = &user.name {
        claims.insert("name".to_owned(), name.as_str().into());
    }
}
