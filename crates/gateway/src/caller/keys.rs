//! An issuer and its keys: asked for in the background and at need, kept, renewed when they rotate (SEC-43, SEC-44).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use net::egress::client::Fetched;
use net::egress::documents::{Document, DocumentError, Documents, Origin};
use oauth::causes::with_causes;
use oauth::jose::jwk::{JwkSet, JwkSetError};
use oauth::metadata::server::{ServerMetadata, ServerMetadataError};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// How often it is seen to that the keys of an issuer are at hand and fresh.
const RENEWAL: Duration = Duration::from_secs(15);

/// The same while they are not; how often that really means asking is for the cache to say.
const RETRY: Duration = Duration::from_millis(500);

/// The most keys that a log line names.
const NAMED: usize = 8;

/// How it stands with an issuer of a gateway, for who asks whether the gateway can work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// Its name.
    pub issuer: Box<str>,
    /// Whether its keys are at hand, be they those from before an outage.
    pub has_keys: bool,
    /// Why they could not be had or renewed just now.
    pub last_error: Option<Box<str>>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The discovery document.
    #[error("the discovery document can't be had")]
    Discovery(#[source] DocumentError<ServerMetadataError>),
    /// It speaks of somebody else (RFC 8414 §3.3).
    #[error(
        "the discovery document names the issuer `{named}`, and its URL says `{expected}`; hint: if that is right, configure `authorizer.issuer: {named}`"
    )]
    OtherIssuer { named: Box<str>, expected: Box<str> },
    /// It has no usable `jwks_uri`.
    #[error("the discovery document names no key set")]
    NoKeySet,
    /// The document came over HTTPS and its keys would not: whoever is on the way could give keys of their own.
    #[error("the discovery document is fetched over https and names a key set over `{0}`")]
    InsecureKeySet(Box<str>),
    /// The key set.
    #[error("the key set can't be had")]
    KeySet(#[source] DocumentError<JwkSetError>),
}

/// What is needed of a discovery document.
#[derive(Debug)]
pub(crate) struct Discovered {
    issuer: Box<str>,
    jwks_uri: Option<Box<str>>,
    /// Members that are not what they should be, for the log.
    skipped: Vec<String>,
}

/// Whom we believe, and by which keys.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) issuer: Box<str>,
    pub(crate) keys: Arc<JwkSet>,
    /// Which keys these are; what they verified is believed while [`Issuer::epoch`] is the same.
    pub(crate) epoch: u64,
    /// They are those from before: the issuer is away.
    is_stale: bool,
}

/// An issuer that gateways trust.
#[derive(Debug)]
pub(crate) struct Issuer {
    discovery_url: Url,
    /// What the document must name.
    name: Box<str>,
    discovery: Arc<Documents<Discovered, ServerMetadataError>>,
    key_sets: Arc<Documents<JwkSet, JwkSetError>>,
    /// Changes whenever the keys do: verifications made before then are not believed any more.
    epoch: AtomicU64,
    /// Somebody sees to the keys already.
    is_kept: AtomicBool,
    state: Mutex<IssuerState>,
    /// The revisions of the documents about which the log has been told.
    told: [AtomicU64; 2],
}

impl Issuer {
    pub(crate) fn new(
        discovery_url: Url,
        name: Box<str>,
        discovery: Arc<Documents<Discovered, ServerMetadataError>>,
        key_sets: Arc<Documents<JwkSet, JwkSetError>>,
    ) -> Self {
        let state = IssuerState {
            issuer: name.clone(),
            has_keys: false,
            last_error: None,
        };
        Self {
            discovery_url,
            name,
            discovery,
            key_sets,
            epoch: AtomicU64::new(0),
            is_kept: AtomicBool::new(false),
            state: Mutex::new(state),
            told: Default::default(),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The issuer, as its discovery document spells it.
    pub(crate) async fn spelled(&self) -> Result<Box<str>, KeysError> {
        Ok(self.discovered().await?.issuer.clone())
    }

    /// What the issuer must be called, known without its document.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a token that names this issuer may be one of ours: if not, nobody need ask for keys.
    pub(crate) fn may_be(&self, named: &str) -> bool {
        is_same(named, &self.name)
    }

    /// How it stands with the keys.
    pub(crate) fn state(&self) -> IssuerState {
        self.state.lock().clone()
    }

    /// Sees to it that the keys are at hand, from now until the stop or until no gateway has this issuer any more, however
    /// many gateways ask for that: they are fetched before a token needs them, renewed when they expire, and after a failure asked for again and again.
    pub(crate) fn keep(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
        if self.is_kept.swap(true, Ordering::Relaxed) {
            return;
        }
        let (issuer, stop) = (Arc::downgrade(self), stop.clone());
        tasks.spawn(async move {
            while let Some(issuer) = issuer.upgrade() {
                let outcome = tokio::select! {
                    () = stop.cancelled() => return,
                    outcome = issuer.current() => outcome,
                };
                let pause = if issuer.note(outcome) { RENEWAL } else { RETRY };
                drop(issuer);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// Takes down how it stands, and says in the log what has changed. Whether all is well.
    fn note(&self, outcome: Result<Trust, KeysError>) -> bool {
        let now = match outcome {
            Ok(trust) => IssuerState {
                issuer: trust.issuer,
                has_keys: true,
                last_error: trust.is_stale.then(|| "the issuer does not answer".into()),
            },
            Err(error) => IssuerState {
                issuer: self.name.clone(),
                has_keys: false,
                last_error: Some(with_causes(&error).into()),
            },
        };
        let well = now.last_error.is_none();
        let before = std::mem::replace(&mut *self.state.lock(), now.clone());
        let issuer = &now.issuer;
        match (&now.last_error, &before.last_error) {
            (None, Some(_)) => tracing::info!(%issuer, "the keys of an issuer can be had again"),
            (Some(error), known) if known.is_none() || before.has_keys != now.has_keys => {
                if now.has_keys {
                    tracing::warn!(%issuer, error, "the keys of an issuer can't be renewed; those from before are used");
                } else {
                    tracing::warn!(%issuer, error, "the keys of an issuer can't be had; they are asked for again until they can");
                }
            }
            _ => {}
        }
        well
    }

    /// Issuer and keys, from memory where they are fresh.
    pub(crate) async fn current(&self) -> Result<Trust, KeysError> {
        let discovered = self.discovered().await?;
        let url = self.key_set_of(discovered.jwks_uri.as_deref())?;
        let document = self.key_sets.get(&url, None, parse_keys).await;
        self.trust(&discovered, document)
    }

    /// The same, fetched again within the budget: a token names a key that is not there (SEC-44).
    pub(crate) async fn refreshed(&self) -> Result<Trust, KeysError> {
        let discovered = self.discovered().await?;
        let url = self.key_set_of(discovered.jwks_uri.as_deref())?;
        let document = self.key_sets.refresh(&url, None, parse_keys).await;
        match self.trust(&discovered, document) {
            Ok(trust) => Ok(trust),
            // A refresh that fails takes nothing away from what we have.
            Err(_) => self.current().await,
        }
    }

    async fn discovered(&self) -> Result<Arc<Discovered>, KeysError> {
        let url = &self.discovery_url;
        if let Some(discovered) = self.discovery.cached(url)
            && is_same(&discovered.issuer, &self.name)
        {
            return Ok(discovered);
        }
        let mut document = self.discovery.get(url, None, parse_discovery).await;
        if let Ok(known) = &document
            && !is_same(&known.value.issuer, &self.name)
        {
            // Perhaps that has been put right meanwhile.
            document = self.discovery.refresh(url, None, parse_discovery).await;
        }
        let document = document.map_err(KeysError::Discovery)?;
        let discovered = document.value;
        if !is_same(&discovered.issuer, &self.name) {
            return Err(KeysError::OtherIssuer {
                named: discovered.issuer.clone(),
                expected: self.name.clone(),
            });
        }
        if self.is_news(0, document.revision) && !discovered.skipped.is_empty() {
            tracing::info!(
                issuer = %self.name, members = discovered.skipped.join(" "),
                "members of a discovery document are not what they should be and were skipped"
            );
        }
        Ok(discovered)
    }

    fn key_set_of(&self, jwks_uri: Option<&str>) -> Result<Url, KeysError> {
        let url = jwks_uri
            .and_then(|uri| Url::parse(uri).ok())
            .ok_or(KeysError::NoKeySet)?;
        if self.discovery_url.scheme() == "https" && url.scheme() != "https" {
            return Err(KeysError::InsecureKeySet(url.scheme().into()));
        }
        Ok(url)
    }

    fn trust(
        &self,
        discovered: &Discovered,
        document: Result<Document<JwkSet>, DocumentError<JwkSetError>>,
    ) -> Result<Trust, KeysError> {
        let document = document.map_err(KeysError::KeySet)?;
        self.epoch.fetch_max(document.revision, Ordering::AcqRel);
        let left_out = document.value.left_out();
        if self.is_news(1, document.revision) && !left_out.is_empty() {
            let named: Vec<String> = left_out
                .iter()
                .take(NAMED)
                .map(|key| {
                    let kid = key.kid.as_deref().unwrap_or_default();
                    format!("`{}`: {}", kid.escape_debug(), key.reason)
                })
                .collect();
            tracing::info!(
                issuer = %self.name, count = left_out.len(), keys = named.join("; "),
                "keys of an issuer can't be used here and were left out"
            );
        }
        Ok(Trust {
            issuer: discovered.issuer.clone(),
            keys: document.value,
            epoch: document.revision,
            is_stale: document.origin == Origin::Stale,
        })
    }

    /// Whether this revision of a document is seen for the first time.
    fn is_news(&self, document: usize, revision: u64) -> bool {
        self.told
            .get(document)
            .is_some_and(|told| told.swap(revision, Ordering::Relaxed) != revision)
    }
}

fn parse_discovery(fetched: &Fetched) -> Result<Discovered, ServerMetadataError> {
    let (metadata, skipped) = ServerMetadata::parse_any(&fetched.body)?;
    Ok(Discovered {
        issuer: metadata.issuer.into(),
        jwks_uri: metadata.jwks_uri.map(Into::into),
        skipped,
    })
}

fn parse_keys(fetched: &Fetched) -> Result<JwkSet, JwkSetError> {
    JwkSet::parse(&fetched.body)
}

/// A slash at the end says nothing: there are issuers with it whose discovery URL can't show it.
fn is_same(named: &str, expected: &str) -> bool {
    named.trim_end_matches('/') == expected.trim_end_matches('/')
}

/// The issuer whose document is at this URL (RFC 8414 §3.1, OpenID Connect Discovery §4).
pub(crate) fn issuer_of(discovery_url: &Url) -> String {
    let text = discovery_url.as_str();
    for name in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        if let Some((before, after)) = text.split_once(name) {
            return format!("{before}{after}");
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use net::egress::client::Client;
    use net::egress::connect::{Connector, ExtraRoots};
    use net::egress::resolve::SystemResolver;
    use net::egress::rules::Rules;

    use super::*;
    use crate::issuers::{Issuers, Known};

    /// An issuer that nobody has asked yet.
    fn issuer(discovery_url: &str) -> Arc<Issuer> {
        let connector = Connector::new(Arc::new(SystemResolver::default()), ExtraRoots::default());
        let client = Client::new(Arc::new(connector), Rules::default());
        let known = Known::new(&(Arc::new(|| SystemTime::UNIX_EPOCH) as _));
        Issuers::new(&known, &client).issuer(&discovery_url.parse().unwrap(), None)
    }

    // GE-3, SEC-39
    #[test]
    fn keys_are_fetched_as_safely_as_the_document_that_names_them() {
        let found = |discovery: &str, jwks_uri: Option<&str>| {
            issuer(discovery)
                .key_set_of(jwks_uri)
                .map(|url| url.to_string())
                .map_err(|error| error.to_string())
        };
        let (https, http) = (
            "https://a.example/.well-known/openid-configuration",
            "http://127.0.0.1:8480/.well-known/openid-configuration",
        );
        let elsewhere = "https://keys.example/jwks";
        assert_eq!(found(https, Some(elsewhere)).unwrap(), elsewhere);
        assert_eq!(found(http, Some(elsewhere)).unwrap(), elsewhere);
        let plain = "http://127.0.0.1:8480/jwks";
        assert_eq!(found(http, Some(plain)).unwrap(), plain);
        assert!(
            found(https, Some(plain))
                .unwrap_err()
                .contains("over `http`")
        );
        for nowhere in [None, Some(""), Some("jwks")] {
            assert!(
                found(https, nowhere)
                    .unwrap_err()
                    .contains("names no key set")
            );
        }
    }

    #[test]
    fn the_log_is_told_once_of_each_content() {
        let issuer = issuer("https://a.example/.well-known/openid-configuration");
        assert!(issuer.is_news(0, 1) && !issuer.is_news(0, 1));
        assert!(issuer.is_news(1, 1) && issuer.is_news(0, 2) && !issuer.is_news(1, 1));
    }

    #[test]
    fn the_issuer_is_read_off_the_url_of_its_document() {
        let of = |url: &str| issuer_of(&Url::parse(url).unwrap());
        let issuer = "https://auth.example.com/realms/a";
        for url in [
            "https://auth.example.com/realms/a/.well-known/openid-configuration",
            "https://auth.example.com/.well-known/openid-configuration/realms/a",
            "https://auth.example.com/.well-known/oauth-authorization-server/realms/a",
        ] {
            assert_eq!(of(url), issuer, "{url}");
        }
    }
}
