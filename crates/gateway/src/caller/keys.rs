//! The issuer of a discovery URL and its keys: fetched when first needed, kept, renewed when they rotate (SEC-43, SEC-44).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use net::egress::budget::Budgets;
use net::egress::client::Client;
use net::egress::documents::{DocumentError, Documents, Settings, WallClock};
use oauth::jose::jwk::{JwkSet, JwkSetError};
use oauth::metadata::server::{ServerMetadata, ServerMetadataError};
use url::Url;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The discovery document.
    #[error("the discovery document can't be had")]
    Discovery(#[source] DocumentError<DiscoveryFault>),
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

/// What is wrong with a discovery document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryFault {
    /// It is not valid.
    #[error(transparent)]
    Metadata(#[from] ServerMetadataError),
    /// It speaks of somebody else (RFC 8414 §3.3).
    #[error(
        "it names the issuer `{named}`, and its URL says `{expected}`; hint: if that is right, configure `authorizer.issuer: {named}`"
    )]
    OtherIssuer { named: Box<str>, expected: Box<str> },
}

/// Whom we believe, and by which keys.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) issuer: Box<str>,
    pub(crate) keys: Arc<JwkSet>,
    /// Which keys these are; what they verified is believed while [`Keys::epoch`] is the same.
    pub(crate) epoch: u64,
}

#[derive(Debug)]
pub(crate) struct Keys {
    discovery_url: Url,
    /// What the document must name.
    issuer: Box<str>,
    discovery: Documents<ServerMetadata, DiscoveryFault>,
    key_sets: Documents<JwkSet, JwkSetError>,
    /// Changes whenever the keys do: verifications made before then are not believed any more.
    epoch: AtomicU64,
}

impl Keys {
    pub(crate) fn new(
        discovery_url: Url,
        issuer: Option<&str>,
        client: &Client,
        budgets: &Arc<Budgets>,
        wall: &WallClock,
    ) -> Self {
        let settings = Settings::SERVER_METADATA;
        Self {
            issuer: match issuer {
                Some(configured) => configured.into(),
                None => issuer_of(&discovery_url).into(),
            },
            discovery_url,
            discovery: Documents::new(
                client.clone(),
                settings.clone(),
                Arc::clone(budgets),
                Arc::clone(wall),
            ),
            key_sets: Documents::new(
                client.clone(),
                settings,
                Arc::clone(budgets),
                Arc::clone(wall),
            ),
            epoch: AtomicU64::new(0),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The issuer, as its discovery document spells it.
    pub(crate) async fn issuer(&self) -> Result<Box<str>, KeysError> {
        Ok(self.metadata().await?.issuer.as_str().into())
    }

    /// What the issuer must be called, known without its document.
    pub(crate) fn expected_issuer(&self) -> &str {
        &self.issuer
    }

    /// Issuer and keys, from memory where they are fresh.
    pub(crate) async fn current(&self) -> Result<Trust, KeysError> {
        let (metadata, url) = self.key_set_url().await?;
        let document = self
            .key_sets
            .get(&url, None, |fetched| JwkSet::parse(&fetched.body))
            .await;
        self.trust(&metadata, document)
    }

    /// The same, fetched again within the budget: a token names a key that is not there (SEC-44).
    pub(crate) async fn refreshed(&self) -> Result<Trust, KeysError> {
        let (metadata, url) = self.key_set_url().await?;
        let document = self
            .key_sets
            .refresh(&url, None, |fetched| JwkSet::parse(&fetched.body))
            .await;
        match self.trust(&metadata, document) {
            Ok(trust) => Ok(trust),
            // A refresh that fails takes nothing away from what we have.
            Err(_) => self.current().await,
        }
    }

    async fn metadata(&self) -> Result<Arc<ServerMetadata>, KeysError> {
        if let Some(metadata) = self.discovery.cached(&self.discovery_url) {
            return Ok(metadata);
        }
        let expected = self.issuer.clone();
        let document = self
            .discovery
            .get(&self.discovery_url, None, move |fetched| {
                let (metadata, _skipped) = ServerMetadata::parse_any(&fetched.body)?;
                check_issuer(&metadata, &expected)?;
                Ok(metadata)
            })
            .await
            .map_err(KeysError::Discovery)?;
        Ok(document.value)
    }

    async fn key_set_url(&self) -> Result<(Arc<ServerMetadata>, Url), KeysError> {
        let metadata = self.metadata().await?;
        let url = self.key_set_of(metadata.jwks_uri.as_deref())?;
        Ok((metadata, url))
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
        metadata: &ServerMetadata,
        document: Result<net::egress::documents::Document<JwkSet>, DocumentError<JwkSetError>>,
    ) -> Result<Trust, KeysError> {
        let document = document.map_err(KeysError::KeySet)?;
        self.epoch.fetch_max(document.revision, Ordering::AcqRel);
        Ok(Trust {
            issuer: metadata.issuer.as_str().into(),
            keys: document.value,
            epoch: document.revision,
        })
    }
}

/// A slash at the end says nothing: there are issuers with it whose discovery URL can't show it.
fn check_issuer(metadata: &ServerMetadata, expected: &str) -> Result<(), DiscoveryFault> {
    let named = metadata.issuer.as_str();
    if named.trim_end_matches('/') == expected.trim_end_matches('/') {
        return Ok(());
    }
    Err(DiscoveryFault::OtherIssuer {
        named: named.into(),
        expected: expected.into(),
    })
}

/// The issuer whose document is at this URL (RFC 8414 §3.1, OpenID Connect Discovery §4).
fn issuer_of(discovery_url: &Url) -> String {
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

    use net::egress::budget;
    use net::egress::connect::{Connector, ExtraRoots};
    use net::egress::resolve::SystemResolver;
    use net::egress::rules::Rules;

    use super::*;

    /// The keys of an issuer that nobody has asked yet.
    fn keys(discovery_url: &str) -> Keys {
        let connector = Connector::new(Arc::new(SystemResolver), ExtraRoots::default());
        let client = Client::new(Arc::new(connector), Rules::default());
        let budgets = Arc::new(Budgets::new(budget::Settings::default()));
        let wall: WallClock = Arc::new(|| SystemTime::UNIX_EPOCH);
        Keys::new(
            discovery_url.parse().unwrap(),
            None,
            &client,
            &budgets,
            &wall,
        )
    }

    // GE-3, SEC-39
    #[test]
    fn keys_are_fetched_as_safely_as_the_document_that_names_them() {
        let found = |discovery: &str, jwks_uri: Option<&str>| {
            keys(discovery)
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
