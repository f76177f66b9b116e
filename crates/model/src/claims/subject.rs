//! Whom a token is about.

use crate::client::Client;
use crate::traits::Traits;
use crate::user::User;

/// Whom a token is about: its `sub`.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Somebody who logged in.
    User(&'a User),
    /// A client that asks for itself.
    Client(&'a Client),
}

impl<'a> Subject<'a> {
    /// What it is called in tokens.
    pub fn sub(&self) -> String {
        match self {
            Self::User(user) => user.id.to_string(),
            Self::Client(client) => client.client_id.to_string(),
        }
    }

    /// The user, if it is one.
    pub const fn user(&self) -> Option<&'a User> {
        match self {
            Self::User(user) => Some(user),
            Self::Client(_) => None,
        }
    }

    /// Its groups and attributes.
    pub const fn traits(&self) -> &'a Traits {
        match self {
            Self::User(user) => &user.traits,
            Self::Client(client) => &client.traits,
        }
    }
}
