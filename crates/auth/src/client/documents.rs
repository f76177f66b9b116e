//! Client metadata documents, fetched under a realm's rules and cached within its bounds.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::client_policy::CimdPolicy;
use model::realm::Realm;
use net::egress::budget::Budgets;
use net::egress::client::{self as egress, Fetched};
use net::egress::connect::Connector;
use net::egress::documents::{self, WallClock};
use net::egress::rules::{self, Rules};
use oauth::auth_method::AuthMethod;
use oauth::client_id::{ClientIdUrl, PlainHttp};
use oauth::jose::alg::Alg;
use oauth::metadata::client::{self as metadata, ClientMetadata, ClientMetadataError};
use url::Url;

use crate::client::refusal::{ClientRefusal, DocumentFault};
use crate::keys;

/// How clients with a document may authenticate here: never with a shared secret (CI-8).
const AUTH_METHODS: [AuthMethod; 2] = [AuthMethod::None, AuthMethod::PrivateKeyJwt];

/// The documents of one realm: fetched under its rules, cached within its bounds.
pub(crate) struct Documents {
    cache: documents::Documents<ClientDocument, DocumentFault>,
    reading: Arc<Reading>,
}

/// The rules by which documents are read.
struct Reading {
    /// For what is fetched: the document, and the keys it refers to.
    fetch_rules: Rules,
    /// For URLs that are never fetched: any port will do.
    link_rules: Rules,
    policy: CimdPolicy,
    id_token_algs: Vec<Alg>,
}

/// A document and the identity that it claims, which is compared with each request's client id (CI-3, CI-7).
///
/// The cache knows documents by their parsed URL, in which several client ids can coincide: `https://a.example:443/c`
/// and `https://a.example/c` are one address and two clients.
#[derive(Debug)]
pub(crate) struct ClientDocument {
    pub(super) client_id: ClientIdUrl,
    pub(super) metadata: ClientMetadata,
}

impl Documents {
    /// An empty cache under the policy of this realm. `budgets` are shared by all realms.
    pub(crate) fn new(
        realm: &Realm,
        connector: Arc<Connector>,
        budgets: Arc<Budgets>,
        wall: WallClock,
    ) -> Self {
        let policy = &realm.cimd;
        let link_rules = Rules {
            allow_networks: policy.allowed_networks(),
            allow_http: policy.allow_http,
            ports: None,
        };
        let fetch_rules = Rules {
            ports: policy.fetchable_ports().map(<[u16]>::to_vec),
            ..link_rules.clone()
        };
        let settings = documents::Settings {
            min_age: policy.cache.min,
            max_age: policy.cache.max,
            ..documents::Settings::CLIENT_METADATA
        };
        let client = egress::Client::new(connector, fetch_rules.clone());
        Self {
            cache: documents::Documents::new(client, settings, budgets, wall),
            reading: Arc::new(Reading {
                fetch_rules,
                link_rules,
                policy: policy.clone(),
                id_token_algs: keys::algorithms(realm),
            }),
        }
    }

    /// A cache for tests that fetch nothing.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use net::egress::connect::ExtraRoots;
        use net::egress::resolve::SystemResolver;

        let connector = Arc::new(Connector::new(
            Arc::new(SystemResolver::default()),
            ExtraRoots::default(),
        ));
        let budgets = Arc::new(Budgets::new(net::egress::budget::Settings::default()));
        let realm = Realm::new(
            "test".parse().unwrap(),
            "https://as.example".parse().unwrap(),
        );
        Self::new(
            &realm,
            connector,
            budgets,
            Arc::new(|| std::time::UNIX_EPOCH),
        )
    }

    /// Refuses URLs in what a client says of itself that lead where no URL of a stranger may lead (CI-15).
    pub(crate) fn check_contained_urls(
        &self,
        metadata: &ClientMetadata,
    ) -> Result<(), ClientRefusal> {
        Ok(self.reading.check_contained_urls(metadata)?)
    }

    pub(super) async fn get(
        &self,
        url: &ClientIdUrl,
        source: IpAddr,
    ) -> Result<Arc<ClientDocument>, ClientRefusal> {
        let (reading, asked) = (Arc::clone(&self.reading), url.clone());
        let parse = move |fetched: &Fetched| reading.parse(fetched, &asked);
        let document = self.cache.get(url.url(), Some(source), parse).await?.value;
        if document.client_id.as_str() != url.as_str() {
            return Err(ClientMetadataError::ClientIdMismatch.into());
        }
        Ok(document)
    }
}

impl Reading {
    /// Reads a document as that of the client id it claims, provided that this one is served from the same address. So
    /// what is remembered does not depend on which of several spellings was asked for first.
    fn parse(
        &self,
        fetched: &Fetched,
        asked: &ClientIdUrl,
    ) -> Result<ClientDocument, DocumentFault> {
        // Who says nothing of the kind of a document leaves it to us to look (RFC 9110 §8.3).
        let says_nothing = !fetched.headers.contains_key(http::header::CONTENT_TYPE);
        if !says_nothing && !egress::is_json(&fetched.headers) {
            return Err(DocumentFault::MediaType);
        }
        let client_id = claimed_client_id(&fetched.body, self.policy.plain_http())
            .filter(|claimed| claimed.url() == asked.url())
            .unwrap_or_else(|| asked.clone());
        let required: Vec<&str> = self
            .policy
            .required_properties
            .iter()
            .map(String::as_str)
            .collect();
        let metadata = ClientMetadata::parse(
            &fetched.body,
            &client_id,
            &metadata::Rules {
                required: &required,
                private_schemes: &[],
                auth_methods: &AUTH_METHODS,
                id_token_algs: &self.id_token_algs,
                plain_http: self.policy.plain_http(),
            },
        )?;
        for (position, error) in &metadata.unusable_redirect_uris {
            tracing::info!(client.id = %client_id.as_str(), position, %error, "redirect URI of a document left out");
        }
        self.check_contained_urls(&metadata)?;
        Ok(ClientDocument {
            client_id,
            metadata,
        })
    }

    fn check_contained_urls(&self, metadata: &ClientMetadata) -> Result<(), DocumentFault> {
        for (member, url) in contained_urls(metadata) {
            let rules = match member {
                "jwks_uri" => &self.fetch_rules,
                _ => &self.link_rules,
            };
            check_contained(rules, url)
                .map_err(|refusal| DocumentFault::ContainedUrl { member, refusal })?;
        }
        Ok(())
    }
}

/// What the document says its client id is, if that is one at all.
fn claimed_client_id(body: &[u8], plain_http: PlainHttp) -> Option<ClientIdUrl> {
    #[derive(serde::Deserialize)]
    struct Claim<'a> {
        #[serde(borrow)]
        client_id: std::borrow::Cow<'a, str>,
    }
    if body.len() > metadata::MAX_BYTES {
        return None;
    }
    let claim: Claim<'_> = serde_json::from_slice(body).ok()?;
    ClientIdUrl::parse_text(&claim.client_id, plain_http).ok()
}

/// The URLs in a document, by member.
pub(super) fn contained_urls(
    document: &ClientMetadata,
) -> impl Iterator<Item = (&'static str, &Url)> {
    [
        ("jwks_uri", &document.jwks_uri),
        ("client_uri", &document.client_uri),
        ("logo_uri", &document.logo_uri),
        ("tos_uri", &document.tos_uri),
        ("policy_uri", &document.policy_uri),
    ]
    .into_iter()
    .filter_map(|(member, url)| Some((member, url.as_ref()?)))
}

/// CI-15. What can be known without resolving is refused here; `jwks_uri` is fetched under the same rules and its
/// address checked then; the others are never fetched, and never put into a page.
fn check_contained(rules: &Rules, url: &Url) -> Result<(), rules::Refusal> {
    let destination = rules.check_url(url)?;
    if destination.host.as_ref() == "localhost" || destination.host.ends_with(".localhost") {
        rules.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    }
    Ok(())
}
