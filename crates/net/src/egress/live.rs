//! Live connection.
