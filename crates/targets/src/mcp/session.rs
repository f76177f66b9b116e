//! A session with a server of the session era: what must be said with every request of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ::mcp::era::ProtocolVersion;
use ::mcp::meta::LogLevel;
use http::header::HeaderValue;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::outward::Asker;

/// What must be said with every request of a session. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Session {
    inner: Arc<Inner>,
    /// Whoever was given it to use it; it is not ended under their hands.
    _in_use: Option<TaskTrackerToken>,
}

#[derive(Debug)]
pub(super) struct Inner {
    asker: Asker,
    version: ProtocolVersion,
    id: Option<HeaderValue>,
    /// The rank of the level of log messages that was asked for last; [`UNTOLD`] if none was.
    level: AtomicU8,
    /// The server has no standalone stream for it.
    mute: AtomicBool,
}

/// No level was asked for.
const UNTOLD: u8 = u8::MAX;

impl Session {
    pub(super) fn new(asker: Asker, version: ProtocolVersion, id: Option<HeaderValue>) -> Self {
        Self::of(Arc::new(Inner {
            asker,
            version,
            id,
            level: AtomicU8::new(UNTOLD),
            mute: AtomicBool::new(false),
        }))
    }

    /// Notes that the server has no standalone stream for it (TL-1).
    pub(super) fn set_mute(&self) {
        self.inner.mute.store(true, Ordering::Relaxed);
    }

    /// Whether the server can say anything outside of calls, as far as is known.
    pub(super) fn may_speak(&self) -> bool {
        self.inner.id.is_some() && !self.inner.mute.load(Ordering::Relaxed)
    }

    /// Whether the server is to be told of this level: it was told of none, or of one that shuts out what is asked for now.
    /// Once for each.
    pub(super) fn is_news(&self, level: LogLevel) -> bool {
        let told = self.inner.level.fetch_min(level.rank(), Ordering::Relaxed);
        level.rank() < told
    }

    pub(super) const fn of(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            _in_use: None,
        }
    }

    /// Whose it is.
    pub(super) fn asker(&self) -> &Asker {
        &self.inner.asker
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.inner.version
    }

    /// The same, in use until this is dropped.
    pub(super) fn used(self, in_use: TaskTrackerToken) -> Self {
        Self {
            _in_use: Some(in_use),
            ..self
        }
    }

    /// What is kept of it.
    pub(super) const fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// `None` if the server does without.
    pub(super) fn id(&self) -> Option<&HeaderValue> {
        self.inner.id.as_ref()
    }
}
