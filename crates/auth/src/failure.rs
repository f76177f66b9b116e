//! Failures of our own: logged once with a reference, told to the peer as that reference and nothing else (SEC-72).

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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

    /// Logs the cause with all its causes, and gives the reference under which it can be found.
    pub(crate) fn log(&self) -> String {
        let mut random = [0; 6];
        // Without randomness the reference is less useful, and everything else has failed already.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let reference = URL_SAFE_NO_PAD.encode(random);
        let mut causes = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(next) = cause {
            causes.push_str(": ");
            causes.push_str(&next.to_string());
            cause = next.source();
        }
        tracing::error!(reference, error = causes, "request failed");
        reference
    }
}
