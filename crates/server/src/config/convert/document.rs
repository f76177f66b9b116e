//! `documents` into what is served, checked by the rules that an authorization server will apply.

use oauth::auth_method::AuthMethod;
use oauth::client_id::{ClientIdUrl, PlainHttp};
use oauth::jose::alg::Alg;
use oauth::metadata::client::{ClientMetadata, REQUIRED, Rules};
use oauth::redirect_uri::RedirectUriError;

use crate::config::document::Document;
use crate::config::problem::Problems;

/// The document with its `client_id`.
pub(crate) fn convert(
    from: &Document,
    path: &str,
    problems: &mut Problems<'_>,
) -> serde_json::Map<String, serde_json::Value> {
    let url = from.url.plain();
    let mut content = from.document.clone();
    if let Some(other) = content
        .get("client_id")
        .filter(|written| written.as_str() != Some(url))
    {
        let message = format!("`client_id` is {other}, which is not the URL of the document");
        problems.note(
            format!("{path}.document.client_id"),
            message,
            "leave it out: it is filled in".to_owned(),
        );
    }
    content.insert("client_id".to_owned(), url.into());
    let id = match ClientIdUrl::parse_text(url, PlainHttp::Allowed) {
        Ok(id) => id,
        Err(error) => {
            problems.note(
                format!("{path}.url"),
                format!("`{url}` can't be a client_id: {error}"),
                None,
            );
            return content;
        }
    };
    let rules = Rules {
        required: &REQUIRED,
        private_schemes: &[],
        auth_methods: &[AuthMethod::None, AuthMethod::PrivateKeyJwt],
        id_token_algs: Alg::ALL,
        plain_http: PlainHttp::Allowed,
    };
    let text = serde_json::Value::Object(content.clone()).to_string();
    match ClientMetadata::parse(text.as_bytes(), &id, &rules) {
        Err(error) => problems.note(format!("{path}.document"), error.to_string(), None),
        // A stranger's is left out; the operator wants to know of their own. Another server may know other schemes.
        Ok(metadata) => {
            for (position, error) in &metadata.unusable_redirect_uris {
                if *error != RedirectUriError::SchemeWithoutDot {
                    problems.note(
                        format!("{path}.document.redirect_uris[{}]", position - 1),
                        error.to_string(),
                        None,
                    );
                }
            }
        }
    }
    content
}
