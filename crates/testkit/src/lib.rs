//! Fakes and a world builder for integration tests; never in a release.
