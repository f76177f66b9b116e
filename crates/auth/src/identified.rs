//! Who asks, for the log's line about a request: a client that is one of the realm's, a user who has proved to be it, and
//! nobody whose name was only typed.

use axum::response::Response;
use model::user::User;
use net::edge::remarks::Remarks;
use oauth::client_id::ClientId;

use crate::interaction::session::Browser;

/// Those who are known so far.
#[derive(Debug, Default)]
pub(crate) struct Identified(Remarks);

impl Identified {
    /// The client exists here, and has authenticated where that is asked for.
    pub(crate) fn client(&mut self, id: &ClientId) {
        self.0.add("client", id.as_str().into());
    }

    /// The user is signed in, or has granted what is used.
    pub(crate) fn user(&mut self, user: &User) {
        self.0.add("user", user.username.as_str().into());
    }

    /// Whoever is signed in at this browser.
    pub(crate) fn browser(&mut self, browser: Option<&Browser>) {
        if let Some(Browser { user, .. }) = browser {
            self.user(user);
        }
    }

    /// The answer, with their names beside it.
    pub(crate) fn said_beside(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self.0);
        response
    }
}
