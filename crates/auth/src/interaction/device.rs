//! The device cookie: a browser that has logged in before is not held up by what others do to its account, or at its
//! address (SEC-87; OWASP, "device cookies").
//!
//! It is sealed, and says which users have logged in with it, and with which password. It lets nobody in: all it is good
//! for is a counter of failures of its own. Whoever knows a password can have any number of cookies: when it changes, none
//! of them is good for anything any more.

use axum::response::Response;
use http::HeaderMap;
use model::clock::Timestamp;
use model::password::PasswordHash;
use model::secret::TokenHash;
use model::user::{User, Username};

use crate::cx::Cx;
use crate::failure::Internal;

/// Binds a sealed value to its use.
const PURPOSE: &str = "auth/device";
/// How long a browser is known after its last login, in seconds.
const LIFETIME: i64 = 180 * 24 * 60 * 60;
/// So many users of one browser are known, those who logged in last.
const MAX_USERS: usize = 8;
const ID: usize = 16;
const TIME: usize = 8;
const NAME: usize = 32;

/// A browser, by its cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Names it in counters.
    id: [u8; ID],
    /// Who has logged in with it, the last one first.
    users: Vec<TokenHash>,
}

/// The cookie: several realms may share a host.
fn cookie_name(cx: &Cx) -> String {
    format!("sekisho-device-{}", cx.realm.config.name)
}

/// A user as the cookie knows them. The realm is in it, as a cookie of one realm can be renamed to that of another.
fn named(cx: &Cx, username: &Username, password: &PasswordHash) -> TokenHash {
    let realm = cx.realm.config.name.as_str();
    TokenHash::of_all(&[realm, username.as_str(), password.as_str()])
}

/// The browser of the request, if it has logged in before.
pub(crate) fn of_browser(cx: &Cx, headers: &HeaderMap) -> Option<Device> {
    let value = cx.realm.cookies().get(headers, &cookie_name(cx))?;
    let plain = cx.app.store.sealer().open_text(PURPOSE, value).ok()?;
    Device::decode(plain.expose(), cx.now)
}

/// Remembers, in the browser, that the user has logged in with it.
pub(crate) fn remember(
    cx: &Cx,
    headers: &HeaderMap,
    response: &mut Response,
    user: &User,
) -> Result<(), Internal> {
    let Some(password) = &user.password else {
        return Ok(());
    };
    let device = match of_browser(cx, headers) {
        Some(device) => device,
        None => Device {
            id: cx.random()?,
            users: Vec::new(),
        },
    };
    let encoded = device
        .with(named(cx, &user.username, password))
        .encode(cx.now);
    let value = cx
        .app
        .store
        .sealer()
        .seal_text(PURPOSE, &encoded)
        .map_err(Internal::new)?;
    cx.realm
        .cookies()
        .set(response, &cookie_name(cx), &value, Some(LIFETIME));
    Ok(())
}

impl Device {
    /// What names it in a counter of failures of this user, if they have logged in with it, and with the password that they
    /// have now.
    pub(crate) fn known_for(
        &self,
        cx: &Cx,
        username: &Username,
        password: &PasswordHash,
    ) -> Option<String> {
        self.users
            .contains(&named(cx, username, password))
            .then(|| TokenHash::of(self.id).to_string())
    }

    fn with(mut self, user: TokenHash) -> Self {
        self.users.retain(|known| *known != user);
        self.users.insert(0, user);
        self.users.truncate(MAX_USERS);
        self
    }

    fn encode(&self, now: Timestamp) -> Vec<u8> {
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&now.seconds().to_be_bytes());
        for user in &self.users {
            bytes.extend_from_slice(user.as_bytes());
        }
        bytes
    }

    /// Nothing if it is too old, or not ours.
    fn decode(bytes: &[u8], now: Timestamp) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<ID>()?;
        let (set_at, mut rest) = rest.split_first_chunk::<TIME>()?;
        let set_at = Timestamp::from_seconds(i64::from_be_bytes(*set_at));
        if now.since(set_at).as_secs() > LIFETIME.unsigned_abs() {
            return None;
        }
        let mut users = Vec::new();
        while let Some((user, more)) = rest.split_first_chunk::<NAME>() {
            users.push(TokenHash::from_bytes(*user));
            rest = more;
        }
        rest.is_empty().then_some(Self { id: *id, users })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn user(n: usize) -> TokenHash {
        TokenHash::of(n.to_string())
    }

    #[test]
    fn the_last_users_are_remembered_for_half_a_year() {
        let mut device = Device {
            id: [7; ID],
            users: Vec::new(),
        };
        for n in [1, 2, 3, 1, 4, 5, 6, 7, 8, 9] {
            device = device.with(user(n));
        }
        assert_eq!(device.users, [9, 8, 7, 6, 5, 4, 1, 3].map(user));
        let encoded = device.encode(NOW);
        let day = Duration::from_hours(24);
        assert_eq!(Device::decode(&encoded, NOW + 180 * day), Some(device));
        assert_eq!(Device::decode(&encoded, NOW + 181 * day), None);
        for cut in [0, 15, 23, 25, encoded.len() - 1] {
            assert_eq!(Device::decode(&encoded[..cut], NOW), None, "{cut}");
        }
    }
}
