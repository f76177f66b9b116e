//! The environment, as far as a configuration asks it.

/// Asks for an environment variable.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the configuration asks the environment"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
