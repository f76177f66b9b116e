//! Files that the configuration names: whether they can be read is found out with everything else.

use std::path::Path;
use std::time::{Duration, SystemTime};

use model::clock::{Clock as _, SystemClock};
use net::edge::tls::Certificate;
use net::egress::connect::ExtraRoots;

use crate::config::loaded::Loaded;
use crate::config::problem::Problems;
use crate::files;

/// Notes every file of certificates that can't be read or used, so that what is found good can be started with.
pub(crate) fn check(loaded: &Loaded, problems: &mut Problems<'_>) {
    let mut read = |named: &Path, path: &str| match files::read_text(&loaded.path(named)) {
        Ok(text) => Some(text),
        Err(error) => {
            problems.note(path, error.to_string(), None);
            None
        }
    };
    let mut unusable = Vec::new();
    for (index, listener) in loaded.config.listeners.iter().enumerate() {
        let Some(tls) = &listener.tls else { continue };
        let at = |key: &str| format!("listeners[{index}].tls.{key}");
        let [chain, key, client_ca] = [
            ("certificate_file", &tls.certificate_file),
            ("key_file", &tls.key_file),
            ("client_ca_file", &tls.client_ca_file),
        ]
        .map(|(key, file)| file.as_ref().and_then(|file| read(file, &at(key))));
        if let (Some(chain), Some(key)) = (chain, key) {
            let pair = Certificate::from_pem(chain.as_bytes(), key.as_bytes());
            if let Err(error) = pair.and_then(|pair| pair.check_validity(now())) {
                unusable.push((at("certificate_file"), error.to_string()));
            }
        }
        if let Some(pem) = client_ca {
            unusable.extend(unusable_roots(&pem).map(|message| (at("client_ca_file"), message)));
        }
    }
    for (index, file) in loaded.config.egress.extra_ca_files.iter().enumerate() {
        let path = format!("egress.extra_ca_files[{index}]");
        if let Some(pem) = read(file, &path) {
            unusable.extend(unusable_roots(&pem).map(|message| (path, message)));
        }
    }
    for (path, message) in unusable {
        problems.note(path, message, None);
    }
}

fn unusable_roots(pem: &str) -> Option<String> {
    let added = ExtraRoots::default().add_pem(pem.as_bytes());
    added.err().map(|error| error.to_string())
}

fn now() -> SystemTime {
    let since = u64::try_from(SystemClock.now().millis()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(since)
}
