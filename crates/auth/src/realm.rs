//! Host and path → realm, and what of a realm is worked out once instead of in every request.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use model::realm::{Realm, RealmName};
use url::Host;

use crate::client::documents::Documents;
use crate::client::key_sets::KeySets;
use crate::cookies::Transport;
use crate::settings::Outgoing;

/// A realm that is being served.
pub(crate) struct ServedRealm {
    /// The realm as configured.
    pub(crate) config: Realm,
    /// The clients' metadata documents.
    pub(crate) documents: Documents,
    /// The key sets of clients that publish them at an address.
    pub(crate) key_sets: KeySets,
    host: String,
    port: Option<u16>,
}

impl fmt::Debug for ServedRealm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedRealm")
            .field("issuer", &self.config.issuer)
            .finish_non_exhaustive()
    }
}

impl ServedRealm {
    /// Takes a realm into service.
    pub(crate) fn new(config: Realm, documents: Documents, key_sets: KeySets) -> Self {
        let url = config.issuer.url();
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let port = url.port_or_known_default();
        Self {
            config,
            documents,
            key_sets,
            host,
            port,
        }
    }

    /// The path below which everything of the realm lives; empty at the root.
    pub(crate) fn base_path(&self) -> &str {
        self.config.issuer.path()
    }

    /// The path of one of our own pages or endpoints, for links within the realm.
    pub(crate) fn path(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.base_path())
    }

    /// The scheme, host and port that our own forms are sent from.
    pub(crate) fn origin(&self) -> String {
        self.config.issuer.origin()
    }

    /// The realm as people know it.
    pub(crate) fn title(&self) -> &str {
        let name = self.config.name.as_str();
        self.config.display_name.as_deref().unwrap_or(name)
    }

    /// How cookies are named and sent.
    pub(crate) fn cookies(&self) -> Transport {
        if self.config.issuer.is_https() {
            Transport::Https
        } else {
            Transport::PlainHttp
        }
    }

    /// The path within the realm that a request path stands for.
    ///
    /// Discovery documents have two names each: with the well-known part before the issuer's path (RFC 8414 §3.1) and
    /// behind it (OpenID Connect Discovery §4). Both become the one below the realm (AS-4).
    fn within<'p>(&self, path: &'p str) -> Option<std::borrow::Cow<'p, str>> {
        let base = self.base_path();
        if let Some(rest) = path.strip_prefix(base)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return Some(if rest.is_empty() {
                "/".into()
            } else {
                rest.into()
            });
        }
        let (kind, rest) = path.strip_prefix("/.well-known/")?.split_once('/')?;
        (rest == base.trim_start_matches('/')).then(|| format!("/.well-known/{kind}").into())
    }
}

/// All realms, as of the last configuration.
#[derive(Debug)]
pub(crate) struct Realms {
    all: Vec<Arc<ServedRealm>>,
    /// What they dial out with.
    outgoing: Outgoing,
}

/// A realm, and the target of the request within it.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) realm: Arc<ServedRealm>,
    /// Path and query, with the path below the issuer.
    pub(crate) target: Uri,
}

impl Located {
    fn at(realm: &Arc<ServedRealm>, path: &str, uri: &Uri) -> Option<Self> {
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        Some(Self {
            realm: Arc::clone(realm),
            target: target.parse().ok()?,
        })
    }
}

impl Realms {
    /// A snapshot of these.
    pub(crate) const fn new(all: Vec<Arc<ServedRealm>>, outgoing: Outgoing) -> Self {
        Self { all, outgoing }
    }

    /// Nothing is served yet.
    pub(crate) const fn none(outgoing: Outgoing) -> Self {
        Self::new(Vec::new(), outgoing)
    }

    /// What dials out.
    pub(crate) const fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// The realm that is configured just so, and dials out in the same way.
    pub(crate) fn kept(&self, config: &Realm, outgoing: &Outgoing) -> Option<Arc<ServedRealm>> {
        let same = |realm: &&Arc<ServedRealm>| realm.config == *config;
        let kept = self.all.iter().find(same)?;
        self.outgoing.is(outgoing).then(|| Arc::clone(kept))
    }

    /// The hosts that lead here, without ports.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = self.all.iter().map(|realm| realm.host.clone()).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServedRealm> {
        self.all.iter().map(|realm| &**realm)
    }

    /// The realm of this name.
    pub(crate) fn by_name(&self, name: &RealmName) -> Option<Arc<ServedRealm>> {
        self.all
            .iter()
            .find(|realm| realm.config.name == *name)
            .map(Arc::clone)
    }

    /// The realm that a request is for. Several realms may share a host; among those whose paths fit, the port
    /// decides and then the longest path.
    pub(crate) fn find(&self, host: &str, port: Option<u16>, uri: &Uri) -> Option<Located> {
        let (realm, path) = self
            .all
            .iter()
            .filter(|realm| realm.host == host)
            .filter_map(|realm| Some((realm, realm.within(uri.path())?)))
            .max_by_key(|(realm, _)| {
                (
                    port.is_some() && realm.port == port,
                    realm.base_path().len(),
                )
            })?;
        Located::at(realm, &path, uri)
    }

    /// The realm of this name, for a request that is known to be for it.
    pub(crate) fn find_in(&self, name: &str, uri: &Uri) -> Option<Located> {
        let realm = self
            .all
            .iter()
            .find(|realm| realm.config.name.as_str() == name)?;
        Located::at(realm, &realm.within(uri.path())?, uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realms() -> Realms {
        let realm = |name: &str, issuer: &str| {
            Arc::new(ServedRealm::new(
                Realm::new(name.parse().unwrap(), issuer.parse().unwrap()),
                Documents::for_tests(),
                KeySets::for_tests(),
            ))
        };
        let all = vec![
            realm("a", "https://auth.example/realms/a"),
            realm("ab", "https://auth.example/realms/ab"),
            realm("bound", "https://login.example"),
            realm("dev", "http://127.0.0.1:8480/realms/dev"),
            realm("other", "http://127.0.0.1:9999/realms/dev"),
        ];
        Realms::new(all, Outgoing::for_tests())
    }

    fn find(host: &str, port: Option<u16>, target: &str) -> Option<(String, String)> {
        let located = realms().find(host, port, &target.parse().unwrap())?;
        Some((located.realm.title().to_owned(), located.target.to_string()))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with what may be missing"
    )]
    fn found(realm: &str, target: &str) -> Option<(String, String)> {
        Some((realm.to_owned(), target.to_owned()))
    }

    // AS-4, AS-5
    #[test]
    fn discovery_has_four_names() {
        for kind in ["oauth-authorization-server", "openid-configuration"] {
            let inside = format!("/.well-known/{kind}");
            assert_eq!(
                find(
                    "auth.example",
                    None,
                    &format!("/.well-known/{kind}/realms/a")
                ),
                found("a", &inside)
            );
            assert_eq!(
                find(
                    "auth.example",
                    None,
                    &format!("/realms/a/.well-known/{kind}")
                ),
                found("a", &inside)
            );
            assert_eq!(
                find("login.example", None, &inside),
                found("bound", &inside)
            );
        }
    }

    #[test]
    fn a_realm_is_found_by_host_and_whole_path_segments() {
        assert_eq!(
            find("auth.example", None, "/realms/a/authorize?x=1"),
            found("a", "/authorize?x=1")
        );
        assert_eq!(
            find("auth.example", None, "/realms/ab/authorize"),
            found("ab", "/authorize")
        );
        assert_eq!(find("auth.example", None, "/realms/a"), found("a", "/"));
        assert_eq!(
            find("login.example", None, "/authorize"),
            found("bound", "/authorize")
        );
        assert_eq!(find("auth.example", None, "/authorize"), None);
        assert_eq!(find("auth.example", None, "/realms/abc/authorize"), None);
        assert_eq!(find("evil.example", None, "/realms/a/authorize"), None);
    }

    // SEC-84
    #[test]
    fn a_realm_that_is_known_by_name_answers_below_its_path_only() {
        let find_in = |target: &str| {
            let located = realms().find_in("other", &target.parse().unwrap())?;
            Some((located.realm.title().to_owned(), located.target.to_string()))
        };
        assert_eq!(find_in("/realms/dev/token"), found("other", "/token"));
        assert_eq!(find_in("/realms/a/token"), None);
    }

    #[test]
    fn the_port_decides_between_realms_of_one_host() {
        assert_eq!(
            find("127.0.0.1", Some(8480), "/realms/dev/token"),
            found("dev", "/token")
        );
        assert_eq!(
            find("127.0.0.1", Some(9999), "/realms/dev/token"),
            found("other", "/token")
        );
    }
}
