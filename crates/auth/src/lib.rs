//! The authorization server: endpoints, login and consent pages.
