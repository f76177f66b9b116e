//! Becoming a client: a metadata document of our own, somebody else's, or a registration.

use serde_json::Value;
use url::Url;

use crate::check::{Unanswerable, Verdict};
use crate::host::Host;
use crate::session::{ClientChoice, ClientSeen, Session};
use crate::web::Actor;

/// Decides as whom to ask.
pub(super) async fn client(session: &mut Session) -> Result<Verdict, Unanswerable> {
    session.server()?;
    match session.options.client.clone() {
        ClientChoice::Registered {
            client_id,
            secret,
            redirect_uri,
        } => {
            let sentence = format!("registered client `{client_id}`");
            session.client = Some(ClientSeen {
                client_id,
                secret,
                redirect_uri,
            });
            Ok(Verdict::ok(sentence))
        }
        ClientChoice::OwnDocument(address) => {
            let host = match Host::start(address, session.web.record.clone()).await {
                Ok(host) => host,
                Err(error) => {
                    return Ok(Verdict::fail(
                        format!("can't serve a metadata document on {address}: {error}"),
                        "choose another address, or another client",
                    ));
                }
            };
            let (Some(document), Some(redirect_uri)) =
                (host.document_url("first"), host.redirect_uri())
            else {
                return Err(Unanswerable {
                    missing: "a URL for the metadata document",
                });
            };
            session.client = Some(ClientSeen {
                client_id: document.to_string(),
                secret: None,
                redirect_uri,
            });
            session.host = Some(host);
            Ok(Verdict::ok(format!(
                "metadata document of our own at {document}"
            )))
        }
        ClientChoice::Document(url) => document(session, &url).await,
    }
}

/// Reads a document that somebody serves, as an authorization server would.
async fn document(session: &mut Session, url: &Url) -> Result<Verdict, Unanswerable> {
    let ends = (Actor::Client, Actor::AuthorizationServer);
    let answer = match session
        .web
        .get(ends, "(client metadata document)", url)
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("the metadata document can't be fetched: {error}"),
                "it must be readable by anybody",
            ));
        }
    };
    let Some(metadata) = answer.status.is_success().then(|| answer.json()).flatten() else {
        return Ok(Verdict::fail(
            format!("the metadata document answered {}", answer.status),
            "it must answer 200 with a JSON object (CI-5, CI-6)",
        ));
    };
    if metadata.get("client_id").and_then(Value::as_str) != Some(url.as_str()) {
        return Ok(Verdict::fail(
            "`client_id` in the document is not the document's URL",
            "they must be equal, character by character (CI-7)",
        ));
    }
    let redirect_uri = metadata
        .get("redirect_uris")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|text| Url::parse(text).ok())
        .find(|uri| matches!(uri.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")));
    let Some(redirect_uri) = redirect_uri else {
        return Ok(Verdict::fail(
            "the document lists no loopback redirect URI",
            "this walk can only receive a code on loopback",
        ));
    };
    session.client = Some(ClientSeen {
        client_id: url.to_string(),
        secret: None,
        redirect_uri,
    });
    Ok(Verdict::ok(format!("metadata document at {url}")))
}

/// Clients choose documents only when both members say so.
pub(super) fn cimd_advertised(session: &Session) -> Result<Verdict, Unanswerable> {
    let server = session.server()?;
    let offered = server.says("client_id_metadata_document_supported");
    let public = server.lists("token_endpoint_auth_methods_supported", "none");
    Ok(match (offered, public) {
        (true, true) => Verdict::ok("offered, and `none` is among the authentication methods"),
        (true, false) => Verdict::warn(
            "offered, but `none` is not in `token_endpoint_auth_methods_supported`",
            "several clients then fall back to dynamic registration without a word",
        ),
        (false, _) => Verdict::warn(
            "Client ID Metadata Documents are not offered",
            "clients that nobody registered can't log in unless another way is open",
        ),
    })
}
