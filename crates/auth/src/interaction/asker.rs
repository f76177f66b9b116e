//! Who asks, and where the browser goes next, as the pages show it.

use model::client::Provenance;
use oauth::redirect_uri::RedirectUri;

use crate::client::KnownClient;
use crate::pages::{Asker, ReturnsTo};

/// Who asks, as the pages show it (SEC-18, CI-18).
pub(crate) fn asker(known: &KnownClient) -> Asker {
    let client = &known.client;
    let name = client
        .name
        .clone()
        .unwrap_or_else(|| client.client_id.to_string());
    match &client.provenance {
        Provenance::Document { url, .. } => Asker::Verified {
            host: url.host().to_owned(),
            claimed_name: name,
            protected: url.url().scheme() == "https",
            first_seen: false,
        },
        Provenance::Registered { .. } => Asker::Unvouched { claimed_name: name },
        Provenance::Configured => Asker::Registered { name },
    }
}

/// Where the browser goes next, as the pages show it (AS-24).
pub(crate) fn returns_to(uri: &RedirectUri) -> ReturnsTo {
    let host = uri.display_host().to_owned();
    if uri.is_private_scheme() {
        ReturnsTo::Application { scheme: host }
    } else if uri.is_loopback() {
        ReturnsTo::ThisDevice { host }
    } else {
        ReturnsTo::Site { host }
    }
}
