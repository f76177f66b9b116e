//! The pages that say why something cannot continue: nothing is sent to a client from here (SEC-6, CI-10, AS-16).

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use model::client::Client;
use oauth::error::OauthError;
use oauth::redirect_uri::RedirectUri;

use crate::answer;
use crate::authorize::redirect::RedirectRefusal;
use crate::client::FindError;
use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers::{self, FormAction};
use crate::pages::{self, Developer, Fact, RefusalPage};
use crate::texts::Texts;

/// The time in which what strangers may cause to be fetched is counted.
const BUDGET_PERIOD: Duration = Duration::from_mins(1);

/// Why a person sees a page instead of what they came for.
#[derive(Debug)]
pub(crate) enum PageRefusal {
    /// The client is not let in.
    Client {
        /// Why.
        refusal: ClientRefusal,
        /// What it calls itself.
        client_id: String,
    },
    /// There is nowhere to send an answer.
    Redirect {
        /// Why.
        refusal: RedirectRefusal,
        /// Who asked.
        client_id: String,
        /// What was sent.
        requested: Option<String>,
        /// What would have been accepted.
        registered: Vec<String>,
    },
    /// The request itself cannot be read.
    Request(OauthError),
    /// The flow that the page belongs to is not here, not ours, or over.
    FlowLost,
    /// A form that does not come from our own page (SEC-15).
    Forged,
    /// No such page.
    NotFound,
    /// Our own fault.
    Internal(Internal),
}

impl From<Internal> for PageRefusal {
    fn from(internal: Internal) -> Self {
        Self::Internal(internal)
    }
}

impl PageRefusal {
    /// From a client that was not found.
    pub(crate) fn client(error: FindError, client_id: &str) -> Self {
        match error {
            FindError::Refused(refusal) => Self::Client {
                refusal,
                client_id: client_id.to_owned(),
            },
            FindError::Internal(internal) => Self::Internal(internal),
        }
    }

    /// From a redirect URI that is none of the client's.
    pub(crate) fn redirect(
        refusal: RedirectRefusal,
        client: &Client,
        requested: Option<&RedirectUri>,
    ) -> Self {
        let registered = client.redirect_uris.iter();
        Self::Redirect {
            refusal,
            client_id: client.client_id.to_string(),
            requested: requested.map(ToString::to_string),
            registered: registered.map(ToString::to_string).collect(),
        }
    }

    /// The page.
    pub(crate) fn into_response(self, cx: &Cx) -> Response {
        match &self {
            Self::Internal(internal) if internal.is_outage() => answer::unavailable(self.page(cx)),
            _ => self.page(cx),
        }
    }

    fn page(self, cx: &Cx) -> Response {
        let frame = cx.frame();
        let texts = frame.texts;
        let (status, page) = match self {
            Self::Client { refusal, client_id } => {
                tracing::info!(client.id = client_id, error = %refusal, cause = refusal.cause().map(tracing::field::display), "client refused");
                let awaits = refusal == ClientRefusal::AwaitsApproval;
                let page = RefusalPage {
                    frame,
                    tone: if awaits { "notice" } else { "danger" },
                    title: if awaits {
                        texts.approval_title
                    } else {
                        texts.refused_title
                    },
                    sentence: refusal.sentence(texts),
                    what_now: if awaits {
                        texts.approval_what_now
                    } else {
                        texts.refused_what_now
                    },
                    developer: Some(client_developer(&refusal, client_id)),
                    reference: None,
                };
                (client_status(&refusal), page)
            }
            Self::Redirect {
                refusal,
                client_id,
                requested,
                registered,
            } => {
                tracing::info!(client.id = client_id, error = %refusal, "redirect URI refused");
                let developer = redirect_developer(&refusal, client_id, requested, registered);
                (
                    StatusCode::BAD_REQUEST,
                    RefusalPage {
                        developer: Some(developer),
                        ..plain(frame, texts.refused_application)
                    },
                )
            }
            Self::Request(error) => {
                tracing::info!(%error, "authorization request refused with a page");
                let developer = Developer {
                    rule: error.description().to_owned(),
                    section: "OAuth 2.1 §4.1.1",
                    error: error.code().as_str(),
                    facts: Vec::new(),
                    hint: "send each parameter once, in its proper form".to_owned(),
                };
                (
                    StatusCode::BAD_REQUEST,
                    RefusalPage {
                        developer: Some(developer),
                        ..plain(frame, texts.refused_request)
                    },
                )
            }
            Self::FlowLost => (
                StatusCode::BAD_REQUEST,
                RefusalPage {
                    tone: "notice",
                    title: texts.flow_lost_title,
                    what_now: texts.flow_lost_what_now,
                    ..plain(frame, texts.flow_lost)
                },
            ),
            Self::Forged => {
                tracing::warn!(peer = %cx.peer.address, "form from elsewhere refused");
                (
                    StatusCode::FORBIDDEN,
                    RefusalPage {
                        title: texts.forged_title,
                        what_now: texts.flow_lost_what_now,
                        ..plain(frame, texts.forged)
                    },
                )
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                RefusalPage {
                    tone: "notice",
                    title: texts.not_found_title,
                    what_now: texts.flow_lost_what_now,
                    ..plain(frame, texts.not_found)
                },
            ),
            Self::Internal(internal) => {
                let reference = Some(internal.log());
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    RefusalPage {
                        title: texts.our_fault_title,
                        what_now: texts.our_fault_what_now,
                        reference,
                        ..plain(frame, texts.our_fault)
                    },
                )
            }
        };
        let mut response = pages::html(status, &page, &FormAction::None);
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers::retry_after(&mut response, BUDGET_PERIOD);
        }
        response
    }
}

fn plain(frame: pages::Frame, sentence: &'static str) -> RefusalPage {
    let texts: &'static Texts = frame.texts;
    RefusalPage {
        frame,
        tone: "danger",
        title: texts.refused_title,
        sentence,
        what_now: texts.refused_what_now,
        developer: None,
        reference: None,
    }
}

fn client_status(refusal: &ClientRefusal) -> StatusCode {
    match refusal {
        ClientRefusal::Policy(_) | ClientRefusal::AwaitsApproval | ClientRefusal::HostRefused => {
            StatusCode::FORBIDDEN
        }
        ClientRefusal::Budget(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn client_developer(refusal: &ClientRefusal, client_id: String) -> Developer {
    Developer {
        rule: refusal.to_string(),
        section: refusal.section(),
        error: refusal.code().as_str(),
        facts: vec![Fact {
            name: "client_id",
            value: client_id,
        }],
        hint: refusal.hint().to_owned(),
    }
}

fn redirect_developer(
    refusal: &RedirectRefusal,
    client_id: String,
    requested: Option<String>,
    registered: Vec<String>,
) -> Developer {
    let mut facts = vec![Fact {
        name: "client_id",
        value: client_id,
    }];
    facts.extend(requested.map(|value| Fact {
        name: "redirect_uri",
        value,
    }));
    facts.extend(registered.into_iter().take(10).map(|value| Fact {
        name: "registered",
        value,
    }));
    Developer {
        rule: refusal.to_string(),
        section: "OAuth 2.1 §2.3.1 and §8.4.2",
        error: "invalid_request",
        facts,
        hint: refusal.hint().to_owned(),
    }
}
