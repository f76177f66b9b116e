//! What servers do that is odd and does no harm: it is said once, and served all the same.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{CallError, Violation};

/// Something odd. Not an error: the call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub(super) enum Oddity {
    #[error("answers without a media type, or with an odd one")]
    MediaType,
    #[error("sends what is no message in an event stream")]
    Noise,
    #[error("sends answers that nobody awaits in an event stream")]
    ForeignAnswer,
    #[error("leaves `server/discover` without an answer")]
    SilentDiscovery,
    #[error("says protocol version 2024-11-05, which has another transport")]
    OldVersion,
    #[error("says that a session is lost in a way that the protocol does not know")]
    LostSession,
}

/// What was skipped of a stream.
#[derive(Debug, Default)]
pub(super) struct Noise(Option<Violation>);

impl Noise {
    pub(super) fn hear(&mut self, violation: Violation, oddities: &Oddities, target: &str) {
        let oddity = match violation {
            Violation::WrongId => Oddity::ForeignAnswer,
            _ => Oddity::Noise,
        };
        oddities.note(target, oddity);
        self.0 = Some(violation);
    }

    /// Why there is no answer, if the stream ends with `error`: what came instead of one says more.
    pub(super) fn instead_of(&self, error: CallError) -> CallError {
        match (self.0, error) {
            (Some(violation), CallError::ClosedMidStream) => violation.into(),
            (_, error) => error,
        }
    }
}

/// Which were met already.
#[derive(Debug, Default)]
pub(super) struct Oddities(AtomicU32);

impl Oddities {
    /// Says it, if it is met for the first time.
    pub(super) fn note(&self, target: &str, oddity: Oddity) {
        let bit = 1 << (oddity as u8);
        if self.0.load(Ordering::Relaxed) & bit == 0
            && self.0.fetch_or(bit, Ordering::Relaxed) & bit == 0
        {
            tracing::warn!(
                target.name = %target,
                "target `{target}` {oddity}; it is served all the same",
            );
        }
    }

    #[cfg(test)]
    fn met(&self, oddity: Oddity) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << (oddity as u8)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_oddity_is_met_by_itself() {
        let oddities = Oddities::default();
        oddities.note("t", Oddity::Noise);
        oddities.note("t", Oddity::Noise);
        assert!(oddities.met(Oddity::Noise) && !oddities.met(Oddity::MediaType));
        oddities.note("t", Oddity::LostSession);
        assert!(oddities.met(Oddity::Noise) && oddities.met(Oddity::LostSession));
    }
}
