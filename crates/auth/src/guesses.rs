//! How often secrets may be guessed from one network: each ten times at once, and ten times a minute from then on. A
//! network that never guesses wrong is never held up, whatever others do.

use std::net::IpAddr;
use std::time::Duration;

use model::clock::Timestamp;
use model::rate::{Limit, TooOften};
use model::realm::RealmName;
use oauth::client_id::ClientId;

use crate::buckets::Buckets;
use crate::source;

/// Wrong ones from one network.
const GUESSES: Limit = Limit {
    burst: 10,
    period: Duration::from_mins(1),
};

/// What can be guessed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Secret {
    /// The secret of a client.
    OfClient(ClientId),
    /// An initial access token of a realm.
    InitialAccessToken(RealmName),
}

/// The networks that have guessed wrong in the last minute.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Buckets<(Secret, String)>);

impl Guesses {
    /// Whether a secret is the right one, if this network may still try.
    pub(crate) fn check(
        &self,
        secret: Secret,
        from: IpAddr,
        now: Timestamp,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, TooOften> {
        let name = (secret, source::name(from));
        self.0.spend(name, &GUESSES, now, is_right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn client(id: &str) -> ClientId {
        id.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn check(
        guesses: &Guesses,
        client: &ClientId,
        from: IpAddr,
        now: Timestamp,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, TooOften> {
        guesses.check(Secret::OfClient(client.clone()), from, now, is_right)
    }

    // SEC-53
    #[test]
    fn after_ten_wrong_guesses_even_the_right_one_has_to_wait() {
        let guesses = Guesses::default();
        let (app, here) = (client("app"), address("192.0.2.1"));
        for _ in 0..10 {
            assert_eq!(check(&guesses, &app, here, at(0), || false), Ok(false));
        }
        let refused = check(&guesses, &app, here, at(0), || true).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(6));
        assert_eq!(check(&guesses, &app, here, at(6), || true), Ok(true));
        // The right one costs nothing, and excuses no wrong one.
        assert_eq!(check(&guesses, &app, here, at(6), || false), Ok(false));
        assert!(check(&guesses, &app, here, at(6), || true).is_err());
    }

    // SEC-53, SEC-87
    #[test]
    fn other_networks_and_other_clients_are_not_held_up() {
        let guesses = Guesses::default();
        let app = client("app");
        for _ in 0..10 {
            assert_eq!(
                check(&guesses, &app, address("192.0.2.1"), at(0), || false),
                Ok(false)
            );
        }
        assert_eq!(
            check(&guesses, &app, address("192.0.2.2"), at(0), || true),
            Ok(true)
        );
        assert_eq!(
            check(
                &guesses,
                &client("other"),
                address("192.0.2.1"),
                at(0),
                || true
            ),
            Ok(true)
        );
    }
}
