//! TLS on both sides, and the local CA.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Response;
use net::body::Body;
use net::edge::listen::Settings;
use net::edge::local_ca::{LocalCa, LocalCaError};
use net::edge::tls::{Certificate, CertificateError, Certificates, Tls};
use net::edge::{Peer, Site};
use net::egress::client::{Client, FetchError, Limits};
use net::egress::connect::{ConnectError, ExtraRoots};
use net::egress::pool::{self, Pool};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake_http::{FakeHttp, Reply};
use crate::support::{Served, SiteFn, connector_with, local_rules, says, serve_with, url, within};

const LIMITS: Limits = Limits::SERVER_METADATA;

/// A folder that is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The present, as the operating system and the verifiers see it.
fn now() -> SystemTime {
    let since = Duration::from_secs(rustls::pki_types::UnixTime::now().as_secs());
    SystemTime::UNIX_EPOCH + since
}

fn names(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

async fn serve_tls(tls: Tls, site: Arc<dyn Site>) -> Served {
    let settings = Settings {
        tls: Some(tls),
        ..Settings::plain("main", (Ipv4Addr::LOCALHOST, 0).into())
    };
    serve_with(site, settings).await
}

async fn fetch(served: &Served, ca: &LocalCa, host: &str) -> Result<String, FetchError> {
    let connector = connector_with(&[(host, served.address)], Some(ca.certificate_pem()));
    let client = Client::new(connector, local_rules());
    let fetched = client
        .get(&url(&format!("https://{host}/")), LIMITS)
        .await?;
    Ok(String::from_utf8(fetched.body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_hop_is_https_by_name_with_the_local_ca() {
    let folder = Folder::new("every-hop");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let certificate = ca
        .issue(&names(&["auth.sekisho.localhost", "127.0.0.1"]), now())
        .unwrap();
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    let site = SiteFn(|_, peer: Peer| async move {
        Response::new(Body::from(format!(
            "{} {}",
            peer.tls, peer.client_certificate
        )))
    });
    let served = serve_tls(tls, Arc::new(site)).await;
    assert_eq!(
        fetch(&served, &ca, "auth.sekisho.localhost").await.unwrap(),
        "true false"
    );
    let by_address = fetch(
        &served,
        &ca,
        &format!("127.0.0.1:{}", served.address.port()),
    )
    .await;
    assert_eq!(by_address.unwrap(), "true false");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let folder = Folder::new("another-name");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let certificate = ca.issue(&names(&["a.example"]), now()).unwrap();
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    let served = serve_tls(tls, says("hello")).await;
    let error = fetch(&served, &ca, "b.example").await.unwrap_err();
    assert!(
        matches!(error, FetchError::Connect(ConnectError::Tls(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let (ours, theirs) = (Folder::new("ca-ours"), Folder::new("ca-theirs"));
    let trusted = LocalCa::open(&ours.0, now()).await.unwrap();
    let unknown = LocalCa::open(&theirs.0, now()).await.unwrap();
    let certificate = unknown.issue(&names(&["a.example"]), now()).unwrap();
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    let served = serve_tls(tls, says("hello")).await;
    let error = fetch(&served, &trusted, "a.example").await.unwrap_err();
    assert!(
        matches!(error, FetchError::Connect(ConnectError::Tls(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let folder = Folder::new("expired");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let long_ago = now() - Duration::from_hours(24 * 365);
    let certificate = ca.issue(&names(&["a.example"]), long_ago).unwrap();
    assert!(certificate.check_validity(long_ago).is_ok());
    let day_before = long_ago - Duration::from_hours(48);
    for moment in [now(), day_before] {
        let error = certificate.check_validity(moment).unwrap_err();
        assert!(
            matches!(error, CertificateError::NotValidNow { .. }),
            "{error:?}"
        );
    }
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    let served = serve_tls(tls, says("hello")).await;
    assert!(fetch(&served, &ca, "a.example").await.is_err());
}

#[tokio::test]
async fn the_name_picks_the_certificate_and_certificates_can_be_replaced() {
    let folder = Folder::new("sni");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let issue = |host: &str| ca.issue(&names(&[host]), now()).unwrap();
    let certificates = Certificates::new(vec![issue("a.example"), issue("*.b.example")]);
    let served = serve_tls(Tls::new(Arc::clone(&certificates)).unwrap(), says("hello")).await;
    for host in ["a.example", "x.b.example"] {
        assert_eq!(fetch(&served, &ca, host).await.unwrap(), "hello", "{host}");
    }
    assert!(fetch(&served, &ca, "c.example").await.is_err());
    certificates.replace(vec![issue("c.example")]);
    assert_eq!(fetch(&served, &ca, "c.example").await.unwrap(), "hello");
    assert!(fetch(&served, &ca, "a.example").await.is_err());
}

#[tokio::test]
async fn an_upstream_behind_tls_keeps_its_connections() {
    let folder = Folder::new("upstream");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let certificate = ca.issue(&names(&["mcp.example"]), now()).unwrap();
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    let origin = FakeHttp::start_tls(tls, |seen| Reply::json(seen.body.clone()))
        .await
        .unwrap();
    let connector = connector_with(
        &[("mcp.example", origin.address())],
        Some(ca.certificate_pem()),
    );
    let pool = Pool::new(connector, local_rules(), pool::Settings::default());
    let upstream = pool.upstream(&url("https://mcp.example/")).unwrap();
    for _ in 0..3 {
        let request = http::Request::post("/")
            .body(Body::full(vec![b'x'; 200_000]))
            .unwrap();
        let response = within(upstream.send(request)).await.unwrap();
        let read = net::body::read_bounded(response.into_body(), 300_000, LIMITS.deadline).await;
        assert_eq!(read.unwrap().len(), 200_000);
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.seen()[0].header("host"), Some("mcp.example"));
}

/// Speaks TLS to a listener, with or without a client certificate, and asks once.
async fn ask(served: &Served, ca: &LocalCa, identity: Option<(String, String)>) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("a.example").unwrap();
    let connecting =
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, served.connect().await);
    let Ok(mut stream) = within(connecting).await else {
        return String::new();
    };
    let request = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
    if stream.write_all(request).await.is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_certificate_is_noticed() {
    let (ours, theirs) = (Folder::new("client-ours"), Folder::new("client-theirs"));
    let ca = LocalCa::open(&ours.0, now()).await.unwrap();
    let other = LocalCa::open(&theirs.0, now()).await.unwrap();
    let certificates = Certificates::new(vec![ca.issue(&names(&["a.example"]), now()).unwrap()]);
    let tls = Tls::with_client_ca(certificates, ca.certificate_pem().as_bytes()).unwrap();
    let site = SiteFn(|_, peer: Peer| async move {
        Response::new(Body::from(format!(
            "certificate: {}",
            peer.client_certificate
        )))
    });
    let served = serve_tls(tls, Arc::new(site)).await;
    assert!(
        ask(&served, &ca, None)
            .await
            .ends_with("certificate: false")
    );
    let identity = ca.issue_client("someone", now()).unwrap();
    assert!(
        ask(&served, &ca, Some(identity))
            .await
            .ends_with("certificate: true")
    );
    let foreign = other.issue_client("someone", now()).unwrap();
    assert_eq!(ask(&served, &ca, Some(foreign)).await, "");
}

#[tokio::test]
async fn certificates_come_from_files_too() {
    let folder = Folder::new("files");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let (certificate, key) = ca.issue_client("a.example", now()).unwrap();
    let (certificate_file, key_file) = (folder.0.join("c.pem"), folder.0.join("k.pem"));
    std::fs::write(&certificate_file, &certificate).unwrap();
    std::fs::write(&key_file, &key).unwrap();
    let loaded = Certificate::from_files(&certificate_file, &key_file)
        .await
        .unwrap();
    assert!(loaded.covers("a.example") && !loaded.covers("b.example"));
    let missing = folder.0.join("missing.pem");
    let error = Certificate::from_files(&missing, &key_file)
        .await
        .unwrap_err();
    assert!(matches!(error, CertificateError::Unreadable { path, .. } if path == missing));
    let (_, foreign) = ca.issue_client("a.example", now()).unwrap();
    let error = Certificate::from_pem(certificate.as_bytes(), foreign.as_bytes()).unwrap_err();
    assert!(matches!(error, CertificateError::Key));
    let error = Certificate::from_pem(b"nothing", key.as_bytes()).unwrap_err();
    assert!(matches!(error, CertificateError::NoCertificate));
    let error = Certificate::from_pem(certificate.as_bytes(), b"nothing").unwrap_err();
    assert!(matches!(error, CertificateError::NoKey));
}

#[tokio::test]
async fn the_local_ca_is_made_once_and_kept() {
    let folder = Folder::new("kept");
    let first = LocalCa::open(&folder.0.join("deep"), now()).await.unwrap();
    let again = LocalCa::open(&folder.0.join("deep"), now()).await.unwrap();
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    let on_disk = std::fs::read(first.certificate_path()).unwrap();
    assert_eq!(on_disk, first.certificate_pem().as_bytes());
    assert!(ExtraRoots::default().add_pem(&on_disk).is_ok());
}

// SEC-70
#[cfg(unix)]
#[tokio::test]
async fn the_key_of_the_local_ca_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    LocalCa::open(&folder.0, now()).await.unwrap();
    let modes: Vec<_> = std::fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().contains("key"))
        .map(|entry| entry.metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600]);
    let key = folder.0.join("local-ca-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = LocalCa::open(&folder.0, now()).await.unwrap_err();
    let LocalCaError::File { path, source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(path, key);
    assert!(source.to_string().contains("chmod 600"), "{source}");
}

#[tokio::test]
async fn a_local_ca_near_its_end_is_replaced() {
    let folder = Folder::new("ending");
    let old = now() - Duration::from_hours(24 * 365 * 10 - 24 * 20);
    let first = LocalCa::open(&folder.0, old).await.unwrap();
    let second = LocalCa::open(&folder.0, now()).await.unwrap();
    assert_ne!(first.certificate_pem(), second.certificate_pem());
    let third = LocalCa::open(&folder.0, now()).await.unwrap();
    assert_eq!(second.certificate_pem(), third.certificate_pem());
}

#[tokio::test]
async fn a_damaged_local_ca_is_not_silently_replaced() {
    let folder = Folder::new("damaged");
    let path = LocalCa::open(&folder.0, now())
        .await
        .unwrap()
        .certificate_path()
        .to_owned();
    let other = Folder::new("damaged-other");
    let foreign = LocalCa::open(&other.0, now()).await.unwrap();
    for content in ["garbage", foreign.certificate_pem()] {
        std::fs::write(&path, content).unwrap();
        let error = LocalCa::open(&folder.0, now()).await.unwrap_err();
        assert!(matches!(error, LocalCaError::Unusable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn certificates_are_renewed_when_hosts_change_or_time_is_short() {
    let folder = Folder::new("renewed");
    let ca = LocalCa::open(&folder.0, now()).await.unwrap();
    let certificates = Certificates::new(Vec::new());
    let hosts = names(&["a.example"]);
    assert!(ca.renew(&certificates, &hosts, now()).unwrap());
    assert!(!ca.renew(&certificates, &hosts, now()).unwrap());
    let more = names(&["a.example", "b.example"]);
    assert!(ca.renew(&certificates, &more, now()).unwrap());
    let later = now() + Duration::from_hours(24 * 59);
    assert!(!ca.renew(&certificates, &more, later).unwrap());
    assert!(
        ca.renew(&certificates, &more, later + Duration::from_hours(48))
            .unwrap()
    );
    let bad = names(&["ä ö"]);
    let error = ca.renew(&certificates, &bad, now()).unwrap_err();
    assert!(matches!(error, LocalCaError::Host { .. }));
}

#[test]
fn roots_that_are_none_are_refused() {
    let mut roots = ExtraRoots::default();
    assert!(roots.add_pem(b"").is_err());
    assert!(
        roots
            .add_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .is_err()
    );
}
