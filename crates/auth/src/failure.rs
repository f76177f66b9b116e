//! Failures of our own: logged once with a reference, told to the peer as that reference and nothing else (SEC-72), and
//! whether it is worth asking again (SEC-90).

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::causes::{causes, with_causes};
use oauth::error::{ErrorCode, OauthError};

/// Something of ours broke. What it was is in its sources.
#[derive(Debug)]
pub struct Internal(Box<dyn Error + Send + Sync>);

impl fmt::Display for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("internal error")
    }
}

impl Error for Internal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl From<store::error::Error> for Internal {
    fn from(error: store::error::Error) -> Self {
        Self::new(error)
    }
}

impl Internal {
    /// Wraps the cause.
    pub(crate) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }

    /// Whether it passes: the store is not available at the moment. Clients that are told `server_error` give up, or send
    /// their users to log in anew; those that are told so come back.
    pub(crate) fn is_outage(&self) -> bool {
        causes(&*self.0)
            .find_map(|error| error.downcast_ref::<store::error::Error>())
            .is_some_and(store::error::Error::is_outage)
    }

    /// Logs the cause with all its causes, and gives the reference under which it can be found.
    pub(crate) fn log(&self) -> String {
        let mut random = [0; 6];
        // Without randomness the reference is less useful, and everything else has failed already.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let reference = URL_SAFE_NO_PAD.encode(random);
        let causes = with_causes(&*self.0);
        if self.is_outage() {
            tracing::warn!(
                reference,
                error = causes,
                "request failed: the store is away"
            );
        } else {
            tracing::error!(reference, error = causes, "request failed");
        }
        reference
    }

    /// Logs it like [`Self::log`], and gives what a client is told.
    pub(crate) fn told(&self) -> OauthError {
        let reference = self.log();
        if self.is_outage() {
            OauthError::new(
                ErrorCode::TemporarilyUnavailable,
                format!(
                    "the server is not available at the moment, reference {reference}; hint: try again"
                ),
            )
        } else {
            OauthError::new(
                ErrorCode::ServerError,
                format!("internal error, reference {reference}"),
            )
        }
    }
}
