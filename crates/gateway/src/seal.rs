//! Seals what a client keeps for us and gives back: nobody else can make it, read it or change it, and any node can open it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::session_id::SessionKey;

const NONCE: usize = 12;
const TAG: usize = 16;

/// What is sealed. One is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A session (TL-3).
    Session,
    /// What a target wants given again (TM-18).
    RequestState,
    /// The id of a task.
    Task,
}

/// Seals for one gateway.
pub(crate) struct Seal {
    /// The first seals; all open.
    keys: Vec<RandomizedNonceKey>,
    gateway: Box<str>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

impl Seal {
    pub(crate) fn new(keys: &[SessionKey], gateway: &str) -> Self {
        let keys = keys
            .iter()
            .filter_map(|key| RandomizedNonceKey::new(&AES_256_GCM, key.0.expose()).ok());
        Self {
            keys: keys.collect(),
            gateway: gateway.into(),
        }
    }

    fn context(&self, purpose: Purpose) -> Vec<u8> {
        let word: &[u8] = match purpose {
            Purpose::Session => b"session\0",
            Purpose::RequestState => b"request-state\0",
            Purpose::Task => b"task\0",
        };
        [word, self.gateway.as_bytes()].concat()
    }

    /// Visible ASCII. None without randomness.
    pub(crate) fn seal(&self, purpose: Purpose, plain: &[u8]) -> Option<String> {
        let mut sealed = Vec::with_capacity(plain.len() + TAG);
        sealed.extend_from_slice(plain);
        let aad = Aad::from(self.context(purpose));
        let key = self.keys.first()?;
        let nonce = key.seal_in_place_append_tag(aad, &mut sealed).ok()?;
        let mut text = String::with_capacity((NONCE + sealed.len()) * 4 / 3 + 3);
        URL_SAFE_NO_PAD.encode_string([nonce.as_ref().as_slice(), &sealed].concat(), &mut text);
        Some(text)
    }

    /// What was sealed, if it was by us and for this.
    pub(crate) fn open(&self, purpose: Purpose, text: &[u8]) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let context = self.context(purpose);
        self.keys.iter().find_map(|key| {
            let mut opened = sealed.to_vec();
            let aad = Aad::from(&context);
            let plain = key.open_in_place(Nonce::from(nonce), aad, &mut opened);
            let length = plain.ok()?.len();
            opened.truncate(length);
            Some(opened)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(keys: &[u8], gateway: &str) -> Seal {
        let keys: Vec<SessionKey> = keys
            .iter()
            .map(|byte| SessionKey::new([*byte; 32]))
            .collect();
        Seal::new(&keys, gateway)
    }

    // TL-3, TM-18
    #[test]
    fn what_was_sealed_is_opened_for_the_same_purpose_at_the_same_gateway_only() {
        let text = seal(&[1], "demo")
            .seal(Purpose::RequestState, b"plain")
            .unwrap();
        let open = |seal: Seal, purpose| seal.open(purpose, text.as_bytes());
        let state = Purpose::RequestState;
        assert_eq!(open(seal(&[1], "demo"), state).unwrap(), b"plain");
        assert_eq!(open(seal(&[2, 1], "demo"), state).unwrap(), b"plain");
        assert_eq!(open(seal(&[2], "demo"), state), None);
        assert_eq!(open(seal(&[1], "other"), state), None);
        assert_eq!(open(seal(&[1], "demo"), Purpose::Session), None);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal(&[1], "demo").open(state, &changed), None, "{at}");
        }
    }
}
