//! The OAuth 2.1 and OpenID Connect vocabulary: no I/O, no clock, no product noun.
