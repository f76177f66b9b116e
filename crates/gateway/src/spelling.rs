//! The two spellings of an endpoint: clients compare what they were told to call with what the metadata calls itself (RS-1),
//! and some of them were told to call it with a slash at its end.

use oauth::discovery::{PROTECTED_RESOURCE, resource_metadata_url};
use oauth::scope::ScopeSet;
use url::Url;

use crate::caller::challenge::Challenges;

/// One of them.
#[derive(Debug)]
pub(crate) struct Spelling {
    /// The endpoint's URL, spelled as in the metadata.
    pub(crate) resource: String,
    /// The path of the metadata that calls it so.
    pub(crate) metadata: Box<str>,
    /// Challenges that lead there.
    pub(crate) challenges: Challenges,
}

/// Without a slash at the end, and with one; for an origin these are the same.
pub(crate) fn both(url: &Url, scopes: &ScopeSet) -> [Spelling; 2] {
    let endpoint = url.path().trim_end_matches('/');
    let plain = spelled(url, endpoint, "", scopes);
    if endpoint.is_empty() {
        return [plain, spelled(url, endpoint, "", scopes)];
    }
    [plain, spelled(url, endpoint, "/", scopes)]
}

fn spelled(url: &Url, endpoint: &str, slash: &str, scopes: &ScopeSet) -> Spelling {
    let mut url = url.clone();
    url.set_path(&[endpoint, slash].concat());
    let resource = url.as_str();
    // URL libraries add a slash to an origin, and clients don't.
    let resource = if url.path() == "/" && url.query().is_none() {
        resource.trim_end_matches('/')
    } else {
        resource
    };
    let mut metadata_url = resource_metadata_url(&url);
    if !slash.is_empty() {
        let path = [PROTECTED_RESOURCE, endpoint].concat();
        metadata_url = metadata_url.replacen(&path, &[&path, slash].concat(), 1);
    }
    Spelling {
        resource: resource.to_owned(),
        metadata: [PROTECTED_RESOURCE, endpoint, slash].concat().into(),
        challenges: Challenges::new(metadata_url, scopes.clone()),
    }
}

/// Tokens for one of them are for the other, too: an issuer puts into `aud` what its client asked for.
pub(crate) fn with_other_spellings(
    audiences: Vec<String>,
    spellings: &[Spelling; 2],
) -> Vec<String> {
    let is_ours = |audience: &String| spellings.iter().any(|one| one.resource == *audience);
    let mut all = audiences;
    if all.iter().any(is_ours) {
        for spelling in spellings {
            if !all.contains(&spelling.resource) {
                all.push(spelling.resource.clone());
            }
        }
    }
    all
}
