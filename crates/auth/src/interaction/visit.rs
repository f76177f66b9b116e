//! Everything that the next step of a flow depends on.

use model::consent::Consent;
use model::interaction::{Facts, Interaction, Step, next_step};
use model::session::Session;

use crate::authorize::redirect::VerifiedRedirect;
use crate::client::KnownClient;
use crate::cx::Cx;
use crate::failure::Internal;

/// One visit of a browser to a flow: everything the next step depends on.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) interaction: Interaction,
    pub(crate) known: KnownClient,
    pub(crate) redirect: VerifiedRedirect,
    pub(crate) session: Option<Session>,
    pub(crate) consents: Vec<Consent>,
}

impl Visit {
    /// One of a browser of which nothing is known.
    pub(crate) const fn new(
        interaction: Interaction,
        known: KnownClient,
        redirect: VerifiedRedirect,
    ) -> Self {
        Self {
            interaction,
            known,
            redirect,
            session: None,
            consents: Vec::new(),
        }
    }

    /// What comes next.
    pub(crate) fn step(&self, cx: &Cx) -> Step {
        let facts = Facts {
            session: self.session.as_ref(),
            consents: &self.consents,
            document_hash: self.known.client.document_hash(),
            skip_consent: self.known.client.skip_consent,
            anybody_can_pose: self
                .known
                .client
                .anybody_can_pose(&self.interaction.redirect_uri),
        };
        next_step(
            &self.interaction,
            &facts,
            &cx.realm.config.lifetimes,
            cx.now,
        )
    }

    /// Takes up a session, with what its user agreed to before.
    pub(crate) async fn with_session(
        mut self,
        cx: &Cx,
        session: Option<Session>,
    ) -> Result<Self, Internal> {
        self.consents = match &session {
            Some(session) => {
                store::consent::list(
                    &cx.app.store,
                    session.user,
                    &self.interaction.terms.client_id,
                )
                .await?
            }
            None => Vec::new(),
        };
        self.session = session;
        Ok(self)
    }
}
