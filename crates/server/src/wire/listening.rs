//! The listeners: addresses, TLS, and the certificates that a reload or the passing of time replaces.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use net::edge::forwarded::{Dialect, TrustedProxies};
use net::edge::listen;
use net::edge::local_ca::LocalCa;
use net::edge::pace::Pace;
use net::edge::places::Places;
use net::edge::tls::{Certificate, Certificates, Tls};

use crate::config::Loaded;
use crate::config::convert::listener::hosts;
use crate::config::listener::{ForwardedBy, Listener};
use crate::files;

/// The certificates of all listeners.
pub(crate) struct Keeper {
    /// The local CA, if a listener uses it, and the one certificate for all hosts of those listeners.
    local: Option<(LocalCa, Arc<Certificates>)>,
    /// The certificates of listeners that have them in files, by the index of the listener.
    from_files: Vec<(usize, Arc<Certificates>)>,
}

impl Keeper {
    /// Opens the local CA if a listener wants it; it is made on first use.
    pub(crate) async fn open(loaded: &Loaded, now: SystemTime) -> anyhow::Result<Self> {
        let wanted = loaded.config.listeners.iter().any(uses_local_ca);
        if !wanted {
            return Ok(Self {
                local: None,
                from_files: Vec::new(),
            });
        }
        let directory = loaded.data_directory();
        files::make_private_directory(&directory)?;
        let ca = LocalCa::open(&directory, now)
            .await
            .context("the local CA can't be used")?;
        let certificates = Certificates::new(Vec::new());
        ca.renew(&certificates, &local_hosts(loaded), now)
            .context("no certificate could be made")?;
        Ok(Self {
            local: Some((ca, certificates)),
            from_files: Vec::new(),
        })
    }

    /// The certificate of the local CA.
    pub(crate) fn local_ca(&self) -> Option<&LocalCa> {
        self.local.as_ref().map(|(ca, _)| ca)
    }

    /// What `net` needs to open a listener.
    pub(crate) async fn settings(
        &mut self,
        loaded: &Loaded,
        index: usize,
        listener: &Listener,
        places: &Arc<Places<IpAddr>>,
    ) -> anyhow::Result<listen::Settings> {
        let tls = match &listener.tls {
            None => None,
            Some(tls) => {
                let certificates = match &self.local {
                    Some((_, certificates)) if tls.local_ca => Arc::clone(certificates),
                    _ => {
                        let certificates =
                            Certificates::new(vec![from_files(loaded, listener).await?]);
                        self.from_files.push((index, Arc::clone(&certificates)));
                        certificates
                    }
                };
                Some(match &tls.client_ca_file {
                    None => Tls::new(certificates).context("TLS can't be set up")?,
                    Some(named) => {
                        let path = loaded.path(named);
                        let pem = files::read_text(&path)?;
                        Tls::with_client_ca(certificates, pem.as_bytes()).with_context(|| {
                            format!("the file `{}` can't be used", path.display())
                        })?
                    }
                })
            }
        };
        Ok(listen::Settings {
            name: listener.name.0.as_str().into(),
            address: listener.address.0,
            tls,
            trusted_proxies: TrustedProxies::new(
                listener
                    .trusted_proxies
                    .iter()
                    .map(|network| network.0)
                    .collect(),
                match listener.forwarded_by {
                    ForwardedBy::XForwarded => Dialect::XForwarded,
                    ForwardedBy::Forwarded => Dialect::Forwarded,
                },
            ),
            limits: listen::Limits {
                body: Pace {
                    least_rate: loaded.config.connections.least_body_rate.get(),
                    ..Pace::default()
                },
                drain_timeout: loaded.config.shutdown.drain.0,
                ..listen::Limits::default()
            },
            places: Arc::clone(places),
            workers: None,
        })
    }

    /// Reads certificates again, and makes new ones where hosts changed or an end is near.
    pub(crate) async fn renew(&self, loaded: &Loaded, now: SystemTime) -> anyhow::Result<()> {
        if let Some((ca, certificates)) = &self.local {
            ca.renew(certificates, &local_hosts(loaded), now)
                .context("no certificate could be made")?;
        }
        for (index, certificates) in &self.from_files {
            if let Some(listener) = loaded.config.listeners.get(*index) {
                let certificate = from_files(loaded, listener).await?;
                certificate.check_validity(now).with_context(|| {
                    format!("the listener `{}` keeps its certificate", listener.name)
                })?;
                certificates.replace(vec![certificate]);
            }
        }
        Ok(())
    }
}

fn uses_local_ca(listener: &Listener) -> bool {
    listener.tls.as_ref().is_some_and(|tls| tls.local_ca)
}

/// The hosts of all listeners with certificates from the local CA. Never empty: a certificate is for something.
fn local_hosts(loaded: &Loaded) -> Vec<String> {
    let listeners = loaded
        .config
        .listeners
        .iter()
        .filter(|listener| uses_local_ca(listener));
    let all: BTreeSet<String> = listeners
        .flat_map(|listener| hosts(&loaded.config, listener))
        .collect();
    if all.is_empty() {
        vec!["localhost".to_owned()]
    } else {
        all.into_iter().collect()
    }
}

async fn from_files(loaded: &Loaded, listener: &Listener) -> anyhow::Result<Certificate> {
    let named = |file: Option<&Path>| loaded.path(file.unwrap_or_else(|| Path::new("")));
    let tls = listener.tls.as_ref();
    let chain = named(tls.and_then(|tls| tls.certificate_file.as_deref()));
    let key = named(tls.and_then(|tls| tls.key_file.as_deref()));
    Certificate::from_files(&chain, &key)
        .await
        .with_context(|| {
            format!(
                "the certificate `{}` with the key `{}` can't be used",
                chain.display(),
                key.display()
            )
        })
}
