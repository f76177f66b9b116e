//! A certificate authority of this machine's own, for development and demonstrations.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::durable::{self, Audience};
use crate::edge::tls::{Certificate, Certificates};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

const CERTIFICATE_FILE: &str = "local-ca.pem";
const KEY_FILE: &str = "local-ca-key.pem";

const DAY: Duration = Duration::from_hours(24);
/// How long the CA lasts.
const CA_LIFETIME: Duration = Duration::from_hours(24 * 365 * 10);
/// How long a certificate lasts that it issues.
const LEAF_LIFETIME: Duration = Duration::from_hours(24 * 90);
/// A certificate (or the CA) this near to its end is replaced.
const RENEW_BEFORE: Duration = Duration::from_hours(24 * 30);

/// Why there is no local CA.
#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    /// A file can't be read or written.
    #[error("cannot use `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The files in the directory are not a CA, or key and certificate do not belong together.
    #[error("`{path}` is not a usable CA; hint: remove it and its key to have a new one made")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
    },
    /// A host can't be put into a certificate.
    #[error("`{host}` can't be put into a certificate")]
    Host {
        /// The host.
        host: String,
    },
    /// Making a key or signing failed.
    #[error("signing failed")]
    Signing,
}

/// The CA: made on first use, kept in a directory. The certificates it issues live in memory.
pub struct LocalCa {
    certificate_path: PathBuf,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// What was issued last.
    issued: Mutex<Option<Issued>>,
}

struct Issued {
    hosts: Vec<String>,
    until: SystemTime,
}

impl std::fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCa")
            .field("certificate_path", &self.certificate_path)
            .finish_non_exhaustive()
    }
}

impl LocalCa {
    /// Opens the CA in `directory`, or makes it there. One that is near its end is replaced.
    ///
    /// The key is readable by its owner only; one that others can read is refused.
    pub async fn open(directory: &Path, now: SystemTime) -> Result<Self, LocalCaError> {
        let certificate_path = directory.join(CERTIFICATE_FILE);
        let key_path = directory.join(KEY_FILE);
        let kept = match tokio::fs::read_to_string(&certificate_path).await {
            Ok(certificate) => Some(certificate),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(at(&certificate_path, source)),
        };
        if let Some(certificate_pem) = kept {
            let key = durable::read_private(&key_path).map_err(|source| at(&key_path, source))?;
            let ca = Self::from_pem(certificate_path.clone(), certificate_pem, &key)?;
            match ca.validity(now) {
                Validity::Lasting => return Ok(ca),
                Validity::Ending => {
                    tracing::warn!(path = %certificate_path.display(), "the local CA ends soon, making a new one");
                }
                Validity::Broken => {
                    return Err(LocalCaError::Unusable {
                        path: certificate_path,
                    });
                }
            }
        }
        let (certificate_pem, key) = make(now)?;
        tokio::fs::create_dir_all(directory)
            .await
            .map_err(|source| at(directory, source))?;
        // The key first: a certificate without its key would be refused at the next start.
        for (path, content, audience) in [
            (&key_path, key.as_str(), Audience::Owner),
            (&certificate_path, &certificate_pem, Audience::Everybody),
        ] {
            durable::replace(path, content.as_bytes(), audience)
                .map_err(|source| at(path, source))?;
        }
        Self::from_pem(certificate_path, certificate_pem, &key)
    }

    /// The CA certificate's file, for those who want to trust it.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate_path
    }

    /// The CA certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A new certificate for these host names and addresses.
    pub fn issue(&self, hosts: &[String], now: SystemTime) -> Result<Certificate, LocalCaError> {
        self.issue_for(
            hosts,
            now,
            LEAF_LIFETIME,
            &[ExtendedKeyUsagePurpose::ServerAuth],
        )
        .and_then(Leaf::into_certificate)
    }

    /// A client's certificate and its key as PEM texts, for tests and small installations.
    pub fn issue_client(
        &self,
        name: &str,
        now: SystemTime,
    ) -> Result<(String, String), LocalCaError> {
        let usage = [ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = self.issue_for(&[name.to_owned()], now, LEAF_LIFETIME, &usage)?;
        Ok((leaf.certificate.pem(), leaf.key.serialize_pem()))
    }

    /// Puts a new certificate into `certificates` if the last one is near its end or was for other
    /// hosts; says whether it did. To be called at start, after a reload, and every few hours.
    pub fn renew(
        &self,
        certificates: &Certificates,
        hosts: &[String],
        now: SystemTime,
    ) -> Result<bool, LocalCaError> {
        let mut issued = self.issued.lock();
        let good = issued
            .as_ref()
            .is_some_and(|issued| issued.hosts == hosts && issued.until > now + RENEW_BEFORE);
        if good {
            return Ok(false);
        }
        certificates.replace(vec![self.issue(hosts, now)?]);
        *issued = Some(Issued {
            hosts: hosts.to_vec(),
            until: now + LEAF_LIFETIME,
        });
        Ok(true)
    }

    fn from_pem(
        certificate_path: PathBuf,
        certificate_pem: String,
        key: &str,
    ) -> Result<Self, LocalCaError> {
        let unusable = || LocalCaError::Unusable {
            path: certificate_path.clone(),
        };
        let key = KeyPair::from_pem(key).map_err(|_| unusable())?;
        let certificate =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| unusable())?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| unusable())?;
        Ok(Self {
            certificate_path,
            certificate_pem,
            certificate,
            issuer,
            issued: Mutex::new(None),
        })
    }

    /// Reads until when the CA lasts, and lets an ordinary verifier judge what it issues.
    fn validity(&self, now: SystemTime) -> Validity {
        match self.try_out(now) {
            Some(until) if until > now + RENEW_BEFORE => Validity::Lasting,
            Some(_) => Validity::Ending,
            None => Validity::Broken,
        }
    }

    /// The end of the CA, if key and certificate belong together.
    fn try_out(&self, now: SystemTime) -> Option<SystemTime> {
        const HOST: &str = "localhost";
        let usage = [ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = self
            .issue_for(&[HOST.to_owned()], now, LEAF_LIFETIME, &usage)
            .ok()?;
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).ok()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .ok()?;
        let name = ServerName::try_from(HOST).ok()?;
        let time = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).ok()?);
        verifier
            .verify_server_cert(leaf.certificate.der(), &[], &name, &[], time)
            .ok()?;
        // The verifier does not look at the validity of roots.
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        let until = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(until))
    }

    fn issue_for(
        &self,
        hosts: &[String],
        now: SystemTime,
        lifetime: Duration,
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<Leaf, LocalCaError> {
        let mut params = CertificateParams::default();
        for host in hosts {
            let name = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let one = CertificateParams::new(vec![name]);
            let one = one.map_err(|_| LocalCaError::Host { host: host.clone() })?;
            params.subject_alt_names.extend(one.subject_alt_names);
        }
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Sekisho");
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - DAY).into();
        params.not_after = (now + lifetime).into();
        let key = KeyPair::generate().map_err(|_| LocalCaError::Signing)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|_| LocalCaError::Signing)?;
        Ok(Leaf { certificate, key })
    }
}

struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Leaf {
    fn into_certificate(self) -> Result<Certificate, LocalCaError> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        Certificate::from_der(vec![self.certificate.der().clone()], key)
            .map_err(|_| LocalCaError::Signing)
    }
}

enum Validity {
    Lasting,
    Ending,
    Broken,
}

/// A new CA: certificate and key as PEM.
fn make(now: SystemTime) -> Result<(String, String), LocalCaError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Sekisho");
    name.push(DnType::CommonName, "Sekisho local CA");
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - DAY).into();
    params.not_after = (now + CA_LIFETIME).into();
    let key = KeyPair::generate().map_err(|_| LocalCaError::Signing)?;
    let certificate = params
        .self_signed(&key)
        .map_err(|_| LocalCaError::Signing)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn at(path: &Path, source: io::Error) -> LocalCaError {
    LocalCaError::File {
        path: path.to_owned(),
        source,
    }
}
