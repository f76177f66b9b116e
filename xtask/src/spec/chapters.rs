//! The chapters of the list of requirements.

/// What the letters before the dash stand for, in the order of the document.
pub(super) const CHAPTERS: &[(&str, &str)] = &[
    ("GE", "Authorization in general"),
    ("AS", "Authorization server"),
    ("RS", "Resource server (the gateway's endpoints)"),
    ("CL", "OAuth client"),
    ("BP", "Best practices for a proxying gateway"),
    ("TM", "Streamable HTTP, stateless era"),
    ("TL", "Streamable HTTP, session era"),
    ("UC", "Gateway as a client of its upstreams"),
    ("CI", "Client ID Metadata Documents"),
    ("SEC", "Threats"),
];
