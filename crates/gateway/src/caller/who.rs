//! Who calls, once that is known.

use std::sync::{Arc, OnceLock};

use model::secret::TokenHash;
use net::edge::remarks::Remarks;
use policy::call::Principal;

use super::jwt;
use crate::quota::{Quotas, Usage};

/// Somebody whose token was accepted, or everybody where none is asked for.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The same for every token of one subject at one client of one issuer.
    pub(crate) principal: Principal,
    /// The SHA-256 hash that the principal's name is made of.
    pub(crate) fingerprint: [u8; 32],
    /// The token's `sub`, for the log.
    pub(crate) subject: Arc<str>,
    /// The client's id, for the log.
    pub(crate) client: Option<Arc<str>>,
    pub(super) token_id: Option<Box<str>>,
    pub(super) expires_at: i64,
    /// Looked up once for each token.
    usage: OnceLock<Arc<Usage>>,
}

impl Caller {
    pub(super) fn new(verified: jwt::Verified) -> Self {
        let client = verified.client.as_deref().unwrap_or_default();
        let hash = TokenHash::of_all(&[&verified.issuer, &verified.subject, client]);
        Self {
            principal: Principal::new(hash.to_string()),
            fingerprint: *hash.as_bytes(),
            subject: verified.subject,
            client: verified.client,
            token_id: verified.token_id,
            expires_at: verified.expires_at,
            usage: OnceLock::new(),
        }
    }

    /// Everybody who calls a gateway without authorization. Which of the addresses of this machine they come from says
    /// nothing about who they are, and a client may come from another one the next time. No token makes this caller: every
    /// issuer has a name.
    pub(super) fn anybody() -> Self {
        Self::new(jwt::Verified {
            issuer: "".into(),
            subject: "anonymous".into(),
            client: None,
            token_id: None,
            expires_at: i64::MAX,
        })
    }

    /// What this caller has under way, with this token and others.
    pub(crate) fn usage(&self, quotas: &Quotas) -> &Arc<Usage> {
        self.usage.get_or_init(|| quotas.of(&self.fingerprint))
    }

    /// Says in the log who called.
    pub(crate) fn remark(&self, remarks: &mut Remarks) {
        remarks.add("subject", Arc::clone(&self.subject));
        if let Some(client) = &self.client {
            remarks.add("client", Arc::clone(client));
        }
    }
}
