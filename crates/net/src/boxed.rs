//! The error of a body, whatever it is made of.

/// The error of a body that could not be read to its end.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
