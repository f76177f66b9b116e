//! A client that was found, and why one was not.

use model::client::Client;
use model::realm::SigningAlgorithm;
use oauth::metadata::client::ClientMetadata;
use oauth::redirect_uri::RedirectUri;

use crate::client::refusal::ClientRefusal;

/// A client that is let in, and what people should be told about it.
#[derive(Debug, Clone)]
pub(crate) struct KnownClient {
    pub(crate) client: Client,
    /// Whether the operator knows it, or its host is trusted by the configuration or by an administrator.
    pub(crate) trusted: bool,
}

/// What a client is looked up for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// An authorization request, with its redirect URI: all rules of the realm's policy are asked.
    Authorize(Option<&'a RedirectUri>),
    /// A logout that shall end there: the same rules are asked about that address.
    Logout(&'a RedirectUri),
    /// What follows upon an authorization: the rules that speak of no address that is asked for.
    Token,
}

/// What the ID tokens of a client that describes itself are signed with.
pub(crate) fn id_token_algorithm(metadata: &ClientMetadata) -> SigningAlgorithm {
    metadata
        .id_token_alg
        .and_then(|alg| alg.as_str().parse().ok())
        .unwrap_or(SigningAlgorithm::default_of_id_tokens())
}

/// Why a client was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// It is not let in.
    #[error(transparent)]
    Refused(#[from] ClientRefusal),
    /// The store failed.
    #[error(transparent)]
    Internal(#[from] crate::failure::Internal),
}
