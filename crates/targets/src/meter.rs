//! What is in memory of the messages of one caller: counted while it grows, and given back with it (SEC-79).

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use net::body::{Body, BoxError};

/// Bytes of one message that are not counted: the bound of calls is a bound of these.
pub const SMALL: usize = 16 * 1024;

/// Where bytes are counted, and bounded.
pub trait Meter: Debug + Send + Sync {
    /// Counts so many more; none of them if that is too much.
    ///
    /// # Errors
    /// If there is no room for them.
    fn take(&self, bytes: usize) -> Result<(), NoRoom>;

    /// So many are in memory no more.
    fn give_back(&self, bytes: usize);
}

/// There is too much in memory already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Of one caller's messages.
    #[error(
        "what this caller has sent, waits for, or has not read yet, is as much as may be in memory"
    )]
    OfCaller,
    /// Of all callers' messages.
    #[error(
        "what all callers have sent, wait for, or have not read yet, is as much as may be in memory"
    )]
    OfAll,
}

/// The bytes of one message in memory; given back when dropped. By default they are nobody's and not counted.
#[derive(Debug, Default)]
pub struct Held {
    meter: Option<Arc<dyn Meter>>,
    bytes: usize,
    /// Of these, so many are counted: none as long as it is a small message.
    counted: usize,
}

impl Held {
    /// Nothing yet.
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        Self {
            meter: Some(meter),
            bytes: 0,
            counted: 0,
        }
    }

    /// Another message of the same caller: nothing yet.
    pub(crate) fn another(&self) -> Self {
        Self {
            meter: self.meter.clone(),
            bytes: 0,
            counted: 0,
        }
    }

    /// There are so many more.
    ///
    /// # Errors
    /// If there is no room for them. What was counted before stays so.
    pub fn grow(&mut self, more: usize) -> Result<(), NoRoom> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes <= SMALL {
            return Ok(());
        }
        let uncounted = self.bytes.saturating_sub(self.counted);
        if let Some(meter) = &self.meter
            && uncounted > 0
        {
            meter.take(uncounted)?;
            self.counted = self.bytes;
        }
        Ok(())
    }

    /// There are so many left, if there were more.
    pub(crate) fn shrink(&mut self, to: usize) {
        self.bytes = self.bytes.min(to);
        let counted = if self.bytes <= SMALL { 0 } else { self.bytes };
        let less = self.counted.saturating_sub(counted);
        if less == 0 {
            return;
        }
        if let Some(meter) = &self.meter {
            meter.give_back(less);
        }
        self.counted -= less;
    }

    /// There are so many now.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.shrink(bytes);
        self.grow(bytes.saturating_sub(self.bytes))
    }

    /// Holds on for as long as these bytes are anywhere: until the last of them was written to its reader.
    pub fn keep(self, bytes: Vec<u8>) -> Bytes {
        if self.counted == 0 {
            return bytes.into();
        }
        Bytes::from_owner(Kept { bytes, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

struct Kept {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body whose bytes are counted as they arrive. It breaks off with [`NoRoom`] where there are too many.
#[derive(Debug)]
pub struct Counted<'h> {
    /// What arrives.
    pub body: Body,
    /// What has arrived.
    pub held: &'h mut Held,
}

impl http_body::Body for Counted<'_> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refusal) = self.held.grow(data.len())
        {
            return Poll::Ready(Some(Err(refusal.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Most(AtomicUsize);

    impl Meter for Most {
        fn take(&self, bytes: usize) -> Result<(), NoRoom> {
            assert_ne!(bytes, 0, "nothing is counted for nothing");
            let before = self.0.fetch_add(bytes, Ordering::Relaxed);
            if before + bytes > 100_000 {
                self.0.fetch_sub(bytes, Ordering::Relaxed);
                return Err(NoRoom::OfCaller);
            }
            Ok(())
        }

        fn give_back(&self, bytes: usize) {
            assert_ne!(bytes, 0, "nothing is counted for nothing");
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    // SEC-79
    #[test]
    fn what_is_counted_follows_what_is_held() {
        let meter = Arc::new(Most::default());
        let mut held = Held::new(Arc::clone(&meter) as Arc<dyn Meter>);
        let counted = || meter.0.load(Ordering::Relaxed);
        for (bytes, result, now) in [
            (SMALL, Ok(()), 0),
            (SMALL + 1, Ok(()), SMALL + 1),
            (90_000, Ok(()), 90_000),
            (90_000, Ok(()), 90_000),
            (50_000, Ok(()), 50_000),
            (100_001, Err(NoRoom::OfCaller), 50_000),
            (60_000, Ok(()), 60_000),
            (SMALL, Ok(()), 0),
            (0, Ok(()), 0),
            (70_000, Ok(()), 70_000),
        ] {
            assert_eq!((held.set(bytes), counted()), (result, now), "{bytes}");
        }
        let mut another = held.another();
        assert_eq!(another.grow(40_000), Err(NoRoom::OfCaller));
        held.shrink(80_000);
        assert_eq!(counted(), 70_000, "there were fewer");
        drop(held);
        drop(another);
        assert_eq!(counted(), 0);
    }
}
