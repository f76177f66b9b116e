//! Tells our own forms from those that another site makes the browser send (SEC-15).

use http::{HeaderMap, header};
use model::interaction::Interaction;
use oauth::form::Form;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::interaction::error_page::PageRefusal;

/// The field of the synchronizer token.
pub(crate) const FIELD: &str = "csrf";

/// The token for the forms of a flow: random, known to nobody but our page and the sealed cookie.
pub(crate) fn token(interaction: &Interaction) -> String {
    URL_SAFE_NO_PAD.encode(interaction.form_key)
}

/// Accepts a form of a flow: sent by a page of our own origin, with the token of this very flow.
pub(crate) fn check(
    headers: &HeaderMap,
    own_origin: &str,
    form: &Form,
    interaction: &Interaction,
) -> Result<(), PageRefusal> {
    check_sender(headers, own_origin)?;
    let sent = form.get(FIELD).unwrap_or_default();
    aws_lc_rs::constant_time::verify_slices_are_equal(
        sent.as_bytes(),
        token(interaction).as_bytes(),
    )
    .map_err(|_| PageRefusal::Forged)
}

/// Accepts a request whose headers do not say that another origin sent it. Browsers send `Origin: null` from our own
/// pages, as they may not name their address (`Referrer-Policy: no-referrer`); `Sec-Fetch-Site` tells the difference.
pub(crate) fn check_sender(headers: &HeaderMap, own_origin: &str) -> Result<(), PageRefusal> {
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
    {
        return Err(PageRefusal::Forged);
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if origin != own_origin && origin != "null" => Err(PageRefusal::Forged),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sent(site: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        check_sender(&headers, "https://auth.example").is_ok()
    }

    // SEC-15
    #[test]
    fn forms_of_other_origins_are_refused() {
        assert!(sent(Some("same-origin"), Some("https://auth.example")));
        assert!(sent(Some("same-origin"), Some("null")));
        assert!(sent(None, Some("https://auth.example")));
        assert!(sent(None, None));
        assert!(!sent(Some("cross-site"), Some("null")));
        assert!(!sent(Some("same-site"), Some("https://other.auth.example")));
        assert!(!sent(Some("none"), None));
        assert!(!sent(None, Some("https://evil.example")));
        assert!(!sent(Some("same-origin"), Some("https://evil.example")));
    }
}
