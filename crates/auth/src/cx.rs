//! What a request may reach: the parts of the server that outlive it, and the facts that belong to it alone.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::FromRequestParts;
use http::header;
use http::request;
use model::clock::{Clock, Timestamp};
use model::realm::RealmName;
use net::edge::Peer;
use net::egress::budget::Budgets;
use net::egress::documents::WallClock;

use crate::buckets::Buckets;
use crate::client::documents::Documents;
use crate::client::key_sets::KeySets;
use crate::declared_users::DeclaredUsers;
use crate::failure::Internal;
use crate::guesses::Guesses;
use crate::keys::{Keys, Need, RealmKeys};
use crate::metrics::Metrics;
use crate::pages::Frame;
use crate::password_pool::PasswordPool;
use crate::queues::Queues;
use crate::realm::{Realms, ServedRealm};
use crate::settings::{Outgoing, Parts, Settings};
use crate::texts::Language;

/// Everything that outlives a request.
pub(crate) struct App {
    pub(crate) store: store::Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) passwords: PasswordPool,
    pub(crate) declared_users: DeclaredUsers,
    /// Logins of one address, one after the other.
    pub(crate) logins: Queues,
    /// Wrong secrets of clients and wrong initial access tokens, lately.
    pub(crate) guesses: Guesses,
    /// Changed and deleted registrations of a realm, lately, by site.
    pub(crate) registration_changes: Buckets<(RealmName, String)>,
    pub(crate) metrics: Metrics,
    pub(crate) keys: Keys,
    budgets: Arc<Budgets>,
    wall: WallClock,
    realms: ArcSwap<Realms>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("realms", &self.realms.load())
            .finish_non_exhaustive()
    }
}

impl App {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts, settings: Settings) -> Self {
        let app = Self {
            store: parts.store,
            clock: parts.clock,
            passwords: parts.passwords,
            declared_users: parts.declared_users,
            logins: Queues::default(),
            guesses: Guesses::default(),
            registration_changes: Buckets::default(),
            metrics: parts.metrics,
            keys: Keys::default(),
            budgets: Arc::new(Budgets::new(settings.budgets)),
            wall: parts.wall,
            realms: ArcSwap::from_pointee(Realms::none(parts.outgoing.clone())),
        };
        app.replace_realms(settings.realms, parts.outgoing);
        app
    }

    /// Serves these realms from now on; requests under way keep theirs. What did not change of a realm goes on with its
    /// caches.
    pub(crate) fn replace_realms(&self, realms: Vec<model::realm::Realm>, outgoing: Outgoing) {
        let before = self.realms();
        let served = realms.into_iter().map(|realm| {
            if let Some(kept) = before.kept(&realm, &outgoing) {
                return kept;
            }
            let documents = Documents::new(
                &realm,
                Arc::clone(&outgoing.strangers),
                Arc::clone(&self.budgets),
                Arc::clone(&self.wall),
            );
            let key_sets = KeySets::new(&realm.cimd, &outgoing, &self.budgets, &self.wall);
            Arc::new(ServedRealm::new(realm, documents, key_sets))
        });
        let served = served.collect();
        self.realms.store(Arc::new(Realms::new(served, outgoing)));
    }

    /// The realms as of now.
    pub(crate) fn realms(&self) -> Arc<Realms> {
        self.realms.load_full()
    }
}

/// One request: what it may reach, and what is true of it.
#[derive(Debug, Clone)]
pub(crate) struct Cx {
    pub(crate) app: Arc<App>,
    /// The realm that is asked.
    pub(crate) realm: Arc<ServedRealm>,
    /// Who asks.
    pub(crate) peer: Peer,
    /// When. The same moment for the whole request.
    pub(crate) now: Timestamp,
    /// The language of its pages.
    pub(crate) language: Language,
}

impl Cx {
    /// The context of a request that has arrived.
    pub(crate) fn new(
        app: Arc<App>,
        realm: Arc<ServedRealm>,
        peer: Peer,
        headers: &http::HeaderMap,
    ) -> Self {
        let accepted = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        let now = app.clock.now();
        Self {
            app,
            realm,
            peer,
            now,
            language: Language::from_accept_language(accepted),
        }
    }

    /// What every page of this request has around its content.
    pub(crate) fn frame(&self) -> Frame {
        Frame::new(&self.realm, self.language)
    }

    /// The keys of the realm.
    pub(crate) async fn keys(&self, need: Need) -> Result<Arc<RealmKeys>, Internal> {
        self.app
            .keys
            .of(&self.app.store, &self.realm.config, need, self.now)
            .await
    }

    /// Random bytes.
    #[expect(
        clippy::unused_self,
        reason = "randomness is reached through the context, like time"
    )]
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], Internal> {
        let mut bytes = [0; N];
        aws_lc_rs::rand::fill(&mut bytes).map_err(Internal::new)?;
        Ok(bytes)
    }
}

/// The context was put into the request before it was routed.
impl<S: Sync> FromRequestParts<S> for Cx {
    type Rejection = http::StatusCode;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &S,
    ) -> Result<Self, http::StatusCode> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)
    }
}
