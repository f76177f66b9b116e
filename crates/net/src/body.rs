//! The one HTTP body type, and reading a body into memory without trusting its sender.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use tokio::time::Instant;

pub use crate::boxed::BoxError;
use crate::edge::arriving::Arriving;
use crate::edge::pace::TooSlow;

/// How long [`read_bounded`] waits for the next piece of a body that has stalled (SEC-61).
pub const DEFAULT_IDLE: Duration = Duration::from_secs(15);

/// How often a body as a whole may take the time that it may stall for (SEC-86): a byte now and then is no progress.
const WHOLE: u32 = 8;

/// How many bytes are set aside before a single byte of the body has arrived.
const FIRST_ALLOCATION: usize = 16 * 1024;

/// A request or response body: nothing, bytes in memory, or a stream.
pub struct Body {
    inner: Inner,
}

enum Inner {
    Empty,
    Full(Bytes),
    Arriving(Arriving),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self {
            inner: Inner::Empty,
        }
    }

    /// A body that is in memory already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Self::empty();
        }
        Self {
            inner: Inner::Full(bytes),
        }
    }

    /// Any other body, for instance one of axum's.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self {
            inner: Inner::Boxed(Box::pin(body.map_err(Into::into))),
        }
    }

    /// A body whose pieces arrive later, for instance server-sent events.
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::new(StreamBody::new(
            stream.map_ok(Frame::data).map_err(Into::<BoxError>::into),
        ))
    }

    /// The bytes, when all of them are in memory already. Streams give `None`.
    pub fn as_bytes(&self) -> Option<Bytes> {
        match &self.inner {
            Inner::Empty => Some(Bytes::new()),
            Inner::Full(bytes) => Some(bytes.clone()),
            Inner::Arriving(_) | Inner::Boxed(_) => None,
        }
    }

    pub(crate) const fn arriving(body: Arriving) -> Self {
        Self {
            inner: Inner::Arriving(body),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::full(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Empty => f.write_str("Body(empty)"),
            Inner::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Arriving(_) | Inner::Boxed(_) => f.write_str("Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.inner = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Arriving(body) => body.poll_frame(cx),
            Inner::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Full(_) => false,
            Inner::Arriving(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Arriving(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

/// Why a body could not be read into memory.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the limit were announced or sent (SEC-24, SEC-63).
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Nothing arrived for the whole idle time, or too little in all (SEC-61, SEC-86).
    #[error("body stalled")]
    Stalled,
    /// The sender went away or broke the framing.
    #[error("body ended early")]
    Interrupted(#[source] BoxError),
}

/// Reads a whole body of at most `limit` bytes, waiting at most `idle` for each piece, and at most eight times as
/// long for all of them together.
///
/// An announced length over the limit is refused before anything is read; the limit counts bytes
/// that really arrived, not what `Content-Length` claims (SEC-24). Memory grows with what arrives.
/// A body of one piece is returned without a copy.
pub async fn read_bounded<B>(body: B, limit: usize, idle: Duration) -> Result<Bytes, BodyError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    let mut whole = None;
    loop {
        let piece = match next_data(body.as_mut(), idle, &mut whole).await? {
            Some(piece) => piece,
            None if gathered.is_empty() => return Ok(first),
            None => return Ok(gathered.freeze()),
        };
        let have = first.len().max(gathered.len());
        if piece.len() > limit - have {
            return Err(BodyError::TooLarge { limit });
        }
        if have == 0 {
            first = piece;
            continue;
        }
        if gathered.is_empty() {
            let announced = usize::try_from(announced).unwrap_or(limit);
            gathered.reserve(
                announced
                    .min(FIRST_ALLOCATION)
                    .max(first.len() + piece.len()),
            );
            gathered.extend_from_slice(&first);
        }
        gathered.extend_from_slice(&piece);
    }
}

/// The next bytes of a body; trailers are skipped. A timer exists only while there is nothing. `whole` is when all of
/// it must be there; set when there is nothing for the first time.
async fn next_data<B>(
    mut body: Pin<&mut B>,
    idle: Duration,
    whole: &mut Option<Instant>,
) -> Result<Option<Bytes>, BodyError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut sleep = pin!(None);
    std::future::poll_fn(move |cx| {
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Ok(Some(data))),
                    Err(_trailers) => {}
                },
                Poll::Ready(Some(Err(cause))) => {
                    let cause = cause.into();
                    return Poll::Ready(Err(if TooSlow::is_cause_of(&*cause) {
                        BodyError::Stalled
                    } else {
                        BodyError::Interrupted(cause)
                    }));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending => break,
            }
        }
        if sleep.as_ref().as_pin_ref().is_none() {
            let now = Instant::now();
            let whole = *whole.get_or_insert(now + idle * WHOLE);
            sleep.set(Some(tokio::time::sleep_until(whole.min(now + idle))));
        }
        match sleep.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| Err(BodyError::Stalled)),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn pieces(of: &[&'static [u8]]) -> Body {
        let pieces: Vec<Result<Bytes, BoxError>> = of
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece)))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_in_memory_is_not_copied() {
        let bytes = Bytes::from(vec![7; 64]);
        let read = read_bounded(Body::full(bytes.clone()), 64, DEFAULT_IDLE)
            .await
            .unwrap();
        assert_eq!(read.as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        let read = read_bounded(pieces(&[b"ab", b"", b"c"]), 3, DEFAULT_IDLE)
            .await
            .unwrap();
        assert_eq!(read, "abc");
    }

    // SEC-24, SEC-63
    #[tokio::test]
    async fn one_byte_over_the_limit_is_refused() {
        let error = read_bounded(pieces(&[b"ab", b"cd"]), 3, DEFAULT_IDLE)
            .await
            .unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { limit: 3 }));
    }

    // SEC-24
    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_unread() {
        struct Announced;
        impl http_body::Body for Announced {
            type Data = Bytes;
            type Error = BoxError;
            fn poll_frame(
                self: Pin<&mut Self>,
                _cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
                panic!("must not be read");
            }
            fn size_hint(&self) -> SizeHint {
                SizeHint::with_exact(11)
            }
        }
        let error = read_bounded(Announced, 10, DEFAULT_IDLE).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { limit: 10 }));
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, BoxError>>());
        let error = read_bounded(body, 10, DEFAULT_IDLE).await.unwrap_err();
        assert!(matches!(error, BodyError::Stalled));
    }

    // SEC-86
    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_although_it_never_stalls() {
        let begun = Instant::now();
        let drips = stream::unfold((), |()| async {
            tokio::time::sleep(DEFAULT_IDLE / 2).await;
            Some((Ok::<_, BoxError>(Bytes::from_static(b"a")), ()))
        });
        let read = read_bounded(Body::from_stream(drips), 1000, DEFAULT_IDLE).await;
        assert!(matches!(read, Err(BodyError::Stalled)), "{read:?}");
        assert_eq!(begun.elapsed(), DEFAULT_IDLE * 8);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let pieces: Vec<Result<Bytes, BoxError>> =
            vec![Ok(Bytes::from_static(b"a")), Err("gone".into())];
        let error = read_bounded(Body::from_stream(stream::iter(pieces)), 10, DEFAULT_IDLE)
            .await
            .unwrap_err();
        assert!(matches!(error, BodyError::Interrupted(_)));
    }
}
