//! The handshake of the session era.

use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::error::Code;
use ::mcp::method::Method;
use ::mcp::raw::{OwnedRaw, Raw};

use super::agreement::{Agreement, agreement};
use super::link::{Link, Said};
use super::oddity::Oddity;
use super::session::Session;
use super::wire::{Again, Head};
use super::{answer, outgoing};
use crate::error::{CallError, Violation};
use crate::outward::Asker;
use crate::reply::Outcome;

/// What came of `initialize`.
#[derive(Debug)]
pub(super) enum Handshake {
    Session(Agreement, Session),
    /// The server names only versions of the stateless era as its own.
    Modern(Agreement),
}

/// What came of one `initialize`.
#[derive(Debug)]
enum Initialized {
    Agreed(Handshake),
    /// What the server answered, and what that is called.
    Refused(OwnedRaw, CallError),
}

/// The handshake of the session era; the session is ready for use afterwards (UC-8, TL-2). A server that refuses the
/// version and names another that we speak is asked once more, with that one.
pub(super) async fn shake_hands(
    link: &Link,
    asker: &Asker,
    version: ProtocolVersion,
) -> Result<Handshake, CallError> {
    let mut version = version;
    let mut again = true;
    loop {
        let (error, failure) = match initialize(link, asker, version).await? {
            Initialized::Agreed(handshake) => return Ok(handshake),
            Initialized::Refused(error, failure) => (error, failure),
        };
        let supported = answer::supported_versions(error.borrow());
        let named = ProtocolVersion::newest_of(supported.iter().map(AsRef::as_ref));
        match named {
            Some(named) if named.era() == Era::Stateless => {
                return Ok(Handshake::Modern(agreement(named, None, false)));
            }
            Some(named) if named != version && again => {
                (version, again) = (named, false);
            }
            _ if supported.is_empty() => return Err(failure),
            _ => return Err(CallError::NoCommonVersion { supported }),
        }
    }
}

/// One `initialize`.
async fn initialize(
    link: &Link,
    asker: &Asker,
    version: ProtocolVersion,
) -> Result<Initialized, CallError> {
    let id = link.fresh_id();
    let body = outgoing::initialize(id, version, asker.declared());
    let limit = link.settings.timeouts.handshake;
    let head = Head::new(asker);
    let asked = link.ask(head, body, (id, Era::Session), limit).await?;
    let (answer, failure) = match asked.said {
        Said::Answer(answer) => (answer, Violation::Initialize.into()),
        Said::Nothing(error) => return Err(error),
        Said::Refusal(refusal, failure) => match answer::refusal(&refusal.body, Era::Session) {
            Some(answer) => (answer, failure),
            // What takes no message here may be a server of the old transport.
            None if matches!(refusal.status.as_u16(), 400 | 404 | 405)
                && link.wire.pairs().are_found(asker, limit).await =>
            {
                return Box::pin(initialize(link, asker, version)).await;
            }
            None => return Err(failure),
        },
    };
    let result = match answer.outcome {
        Outcome::Result(result) => result,
        Outcome::Error {
            code: Code::UNSUPPORTED_VERSION,
            raw,
        } => {
            let supported = answer::supported_versions(raw.borrow());
            return Ok(Initialized::Refused(
                raw,
                CallError::NoCommonVersion { supported },
            ));
        }
        Outcome::Error { raw, .. } => return Ok(Initialized::Refused(raw, failure)),
    };
    let raw = result.borrow();
    let word = raw
        .get("protocolVersion")
        .and_then(Raw::text)
        .ok_or(Violation::Initialize)?;
    let version = ProtocolVersion::parse(&word)
        .filter(|version| version.era() == Era::Session)
        .ok_or_else(|| CallError::NoCommonVersion {
            supported: vec![word.as_ref().into()],
        })?;
    if version == ProtocolVersion::V2024_11_05 && !link.wire.pairs().are_spoken() {
        link.note(Oddity::OldVersion);
    }
    // TL-3 allows visible ASCII only; whatever else can stand in a header is said back as it came.
    let id = asked.session_id.filter(|id| !id.is_empty());
    let session = Session::new(asker.clone(), version, id);
    tell_initialized(link, &session).await?;
    let agreement = agreement(version, raw.get("capabilities"), session.id().is_some());
    Ok(Initialized::Agreed(Handshake::Session(agreement, session)))
}

async fn tell_initialized(link: &Link, session: &Session) -> Result<(), CallError> {
    let head = Head::in_session(session);
    let body = ::mcp::jsonrpc::notification(Method::Initialized.as_str(), None);
    let limit = link.settings.timeouts.handshake;
    let received = link.wire.post(head, body, limit, Again::Yes).await?;
    if !received.status().is_success() {
        tracing::debug!(
            target.name = %link.settings.name,
            status = received.status().as_u16(),
            "the target did not accept `notifications/initialized`",
        );
    }
    received.read_explanation().await;
    Ok(())
}
