//! Whether requests are welcome: of each half by itself, from facts that are at hand, so that asking costs nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use auth::DeclaredUsers;
use gateway::Gateway;
use oauth::causes::with_causes;
use store::Store;

use crate::config::listener::Need;

/// Which part of the program is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// All that the configuration serves.
    Whole,
    /// The gateways.
    Gateway,
    /// The authorization server.
    Auth,
}

/// What readiness is judged by.
pub(crate) struct Readiness {
    ready: Arc<AtomicBool>,
    store: Store,
    declared_users: DeclaredUsers,
    served: ArcSwap<Served>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

/// What the present configuration serves, and what it says about readiness.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Whether there is a realm.
    pub(crate) realms: bool,
    /// All gateways.
    pub(crate) gateways: Vec<Gateway>,
    /// What is decisive, besides what always is.
    pub(crate) needs: Vec<Need>,
}

/// One fact.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// What it is about.
    what: String,
    /// What is wrong, if anything.
    fault: Option<String>,
    /// Whether that is enough not to be ready.
    decisive: bool,
}

impl Fact {
    fn is_fatal(&self) -> bool {
        self.decisive && self.fault.is_some()
    }
}

/// `[+]` is in order, `[-]` is not, and `[!]` is not but keeps nobody away.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            None => write!(f, "[+] {}", self.what),
            Some(fault) if self.decisive => write!(f, "[-] {}: {fault}", self.what),
            Some(fault) => write!(f, "[!] {}: {fault}", self.what),
        }
    }
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether requests are welcome.
    pub(crate) ready: bool,
    facts: Vec<Fact>,
}

impl Verdict {
    fn of(facts: Vec<Fact>) -> Self {
        Self {
            ready: !facts.iter().any(Fact::is_fatal),
            facts,
        }
    }

    /// What is in the way; with `verbose`, everything that was looked at.
    pub(crate) fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for fact in &self.facts {
            if verbose || fact.is_fatal() {
                text.push_str(&fact.to_string());
                text.push('\n');
            }
        }
        text.push_str(if self.ready { "ready\n" } else { "not ready\n" });
        text
    }
}

impl Readiness {
    /// `ready` says whether new requests are welcome at all: not before everything listens, and not while draining.
    pub(crate) fn new(ready: Arc<AtomicBool>, store: Store, declared_users: DeclaredUsers) -> Self {
        Self {
            ready,
            store,
            declared_users,
            served: ArcSwap::default(),
        }
    }

    /// From now on, this is what is served.
    pub(crate) fn serves(&self, served: Served) {
        self.served.store(Arc::new(served));
    }

    /// The gateways that are served now.
    pub(crate) fn gateways(&self) -> Vec<Gateway> {
        self.served.load().gateways.clone()
    }

    /// Judges.
    pub(crate) fn of(&self, half: Half) -> Verdict {
        let served = self.served.load();
        let serving = self.ready.load(Ordering::Relaxed);
        let mut facts = vec![Fact {
            what: "serving".to_owned(),
            fault: (!serving).then(|| "starting or ending".to_owned()),
            decisive: true,
        }];
        if half != Half::Gateway {
            facts.extend(self.auth(&served));
        }
        if half != Half::Auth {
            for gateway in &served.gateways {
                facts.extend(of_gateway(gateway, &served.needs));
            }
        }
        Verdict::of(facts)
    }

    /// What the authorization server needs. Gateways know in memory what was revoked, and go on without the store.
    fn auth(&self, served: &Served) -> Vec<Fact> {
        let failure = self.store.failure();
        let users = served.realms && !self.declared_users.are_there();
        vec![
            Fact {
                what: "store".to_owned(),
                fault: failure.map(|error| with_causes(&*error)),
                decisive: served.realms,
            },
            Fact {
                what: "declared users".to_owned(),
                fault: users.then(|| "their passwords are being hashed".to_owned()),
                decisive: true,
            },
        ]
    }
}

fn of_gateway(gateway: &Gateway, needs: &[Need]) -> Vec<Fact> {
    let name = gateway.name();
    let issuers = gateway.issuers().into_iter().map(|issuer| Fact {
        what: format!("gateway `{name}`, keys of {}", issuer.issuer),
        fault: (!issuer.has_keys).then(|| match issuer.last_error {
            Some(error) => error.into(),
            None => "not fetched yet".to_owned(),
        }),
        decisive: needs.contains(&Need::GatewayKeys),
    });
    let targets = gateway.targets().into_iter().map(|target| Fact {
        what: format!("gateway `{name}`, target `{}`", target.name),
        fault: target.failure.map(|error| with_causes(&error)),
        decisive: needs.contains(&Need::Targets),
    });
    issuers.chain(targets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(what: &str, fault: Option<&str>, decisive: bool) -> Fact {
        Fact {
            what: what.to_owned(),
            fault: fault.map(str::to_owned),
            decisive,
        }
    }

    // SEC-90
    #[test]
    fn what_is_in_the_way_is_said_and_all_that_was_looked_at_on_demand() {
        let well = Verdict::of(vec![
            fact("store", None, true),
            fact("target `a`", Some("refused"), false),
        ]);
        assert!(well.ready);
        insta::assert_snapshot!(well.text(false), @"ready");
        insta::assert_snapshot!(well.text(true), @r"
        [+] store
        [!] target `a`: refused
        ready
        ");
        let ill = Verdict::of(vec![
            fact("store", Some("no room"), true),
            fact("target `a`", Some("refused"), false),
        ]);
        assert!(!ill.ready);
        insta::assert_snapshot!(ill.text(false), @r"
        [-] store: no room
        not ready
        ");
    }

    // SEC-90
    #[tokio::test]
    async fn without_its_store_the_authorization_server_is_not_ready_and_gateways_are() {
        let store = store::testing::open().await;
        let users = DeclaredUsers::default();
        let ready = Arc::new(AtomicBool::new(true));
        let readiness = Readiness::new(Arc::clone(&ready), store.clone(), users.clone());
        readiness.serves(Served {
            realms: true,
            ..Served::default()
        });
        let all = |expected: [bool; 3]| {
            let halves = [Half::Whole, Half::Gateway, Half::Auth];
            assert_eq!(halves.map(|half| readiness.of(half).ready), expected);
        };
        all([false, true, false]);
        users.arrived();
        all([true; 3]);
        store.close().await;
        let clock = model::clock::SystemClock;
        assert!(store::health::look(&store, &clock).await.is_err());
        all([false, true, false]);
        ready.store(false, Ordering::Relaxed);
        all([false; 3]);
    }
}
