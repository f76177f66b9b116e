//! HTTP/1.1 as a client speaks it (RFC 9112), without input or output: what a request looks like, what an answer means.

pub(crate) mod chunked;

pub(crate) mod request;

pub(crate) mod response;

/// Why what came is not an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAnswer {
    /// Not the head of an HTTP/1 answer.
    #[error("not an HTTP answer: {0}")]
    Head(httparse::Error),
    /// More header bytes than are read.
    #[error("the headers of the answer are too large")]
    HeadTooLarge,
    /// It switches to another protocol, which was not asked for.
    #[error("the answer switches protocols")]
    Switching,
    /// Where its body ends can't be said for certain (RFC 9112 §6.3).
    #[error("the length of the answer is unclear: {0}")]
    Framing(&'static str),
    /// A chunk that is none (RFC 9112 §7.1).
    #[error("the answer has a malformed chunk")]
    Chunk,
    /// The connection ended before the answer did (RFC 9112 §8).
    #[error("the connection was closed before the end of the answer")]
    Incomplete,
}
