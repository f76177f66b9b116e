//! Turns the configuration into the settings of the crates that do the work.
