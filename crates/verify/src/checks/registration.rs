//! Becoming a client: a metadata document of our own, somebody else's, or a registration, dynamic or beforehand.

use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::check::{Unanswerable, Verdict};
use crate::host::{CLIENT_NAME, Host};
use crate::session::{ClientChoice, ClientSeen, Registration, Session};
use crate::web::{Actor, Answered, plain};

/// What to do where neither a document on loopback nor dynamic registration is taken.
const OTHER_CLIENTS: &str = "name a document that the server can reach with --client-id, or a registered client with --client-id and --redirect-uri";

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
            known(
                session,
                ClientSeen {
                    client_id,
                    secret,
                    redirect_uri,
                },
            )
            .await?;
            Ok(Verdict::ok(sentence))
        }
        ClientChoice::Automatic => automatic(session).await,
        ClientChoice::Document(url) => document(session, &url).await,
    }
}

/// Takes a client that the server knows. Where a person's browser has to come back, somebody waits for it.
async fn known(session: &mut Session, mut client: ClientSeen) -> Result<(), Unanswerable> {
    let loopback = matches!(
        client.redirect_uri.host_str(),
        Some("127.0.0.1" | "localhost")
    );
    if session.person.user.is_none() && loopback && client.redirect_uri.scheme() == "http" {
        let mut address = session.options.listen;
        if let Some(port) = client.redirect_uri.port() {
            address.set_port(port);
        }
        let (path, record) = (client.redirect_uri.path(), session.web.record.clone());
        match Host::start(address, path, record).await {
            Ok(host) => {
                // A native client may come back at any port (RFC 8252 §7.3).
                if client
                    .redirect_uri
                    .set_port(host.redirect_uri().port())
                    .is_ok()
                {
                    session.host = Some(host);
                }
            }
            Err(error) => {
                (session.options.tell)(&format!("nobody can come back to {address}: {error}"));
            }
        }
    }
    session.client = Some(client);
    // Whatever this ends with, the check of the code will say it.
    let _ = session.try_client().await?;
    Ok(())
}

/// A document of our own; where that is not taken, dynamic registration.
async fn automatic(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let address = session.options.listen;
    let host = match Host::start(address, "/callback", session.web.record.clone()).await {
        Ok(host) => host,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("can't serve a metadata document on {address}: {error}"),
                "choose another address, or another client",
            ));
        }
    };
    let Some(document) = host.document_url("first") else {
        return Err(Unanswerable::Missing("a URL for the metadata document"));
    };
    let redirect_uri = host.redirect_uri().clone();
    session.host = Some(host);
    let dynamic = registration_endpoint(session).is_some();
    if session
        .server()?
        .says("client_id_metadata_document_supported")
        || !dynamic
    {
        session.client = Some(ClientSeen {
            client_id: document.to_string(),
            secret: None,
            redirect_uri: redirect_uri.clone(),
        });
        match session.try_client().await? {
            None => {
                return Ok(Verdict::ok(format!(
                    "metadata document of our own at {document}"
                )));
            }
            Some(ending) if !dynamic => {
                session.client = None;
                return Ok(Verdict::fail(
                    format!(
                        "our metadata document at {document} was refused: {}",
                        ending.described()
                    ),
                    OTHER_CLIENTS,
                ));
            }
            Some(_) => {}
        }
    }
    match register(session, redirect_uri.as_str()).await? {
        Registering::Done(registration) => {
            let sentence = format!(
                "registered dynamically as `{}`",
                plain(&registration.client.client_id)
            );
            session.client = Some(registration.client.clone());
            session.registration = Some(*registration);
            // Whatever this ends with, the check of the code will say it.
            let _ = session.try_client().await?;
            Ok(Verdict::ok(sentence))
        }
        Registering::Refused(why) => {
            session.client = None;
            Ok(Verdict::fail(
                format!("neither a document of our own nor dynamic registration is taken: {why}"),
                OTHER_CLIENTS,
            ))
        }
    }
}

/// Where clients register themselves (RFC 7591 §3), if anywhere.
fn registration_endpoint(session: &Session) -> Option<Url> {
    let metadata = &session.server.as_ref()?.metadata;
    let url = Url::parse(metadata.get("registration_endpoint")?.as_str()?).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// The request that real clients send.
async fn ask_to_register(session: &Session, redirect_uri: &str) -> Option<Answered> {
    let endpoint = registration_endpoint(session)?;
    let request = json!({
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    });
    let ends = (Actor::Client, Actor::AuthorizationServer);
    Some(
        session
            .web
            .post_json(ends, "(registration)", &endpoint, &request)
            .await,
    )
}

/// What came of a registration.
enum Registering {
    Done(Box<Registration>),
    /// Why not.
    Refused(String),
}

/// Registers a public client.
async fn register(session: &Session, redirect_uri: &str) -> Result<Registering, Unanswerable> {
    let answer = match ask_to_register(session, redirect_uri).await {
        None => {
            return Err(Unanswerable::Missing("a registration endpoint"));
        }
        Some(Err(error)) => return Ok(Registering::Refused(error.to_string())),
        Some(Ok(answer)) => answer,
    };
    let body = answer.status.is_success().then(|| answer.json()).flatten();
    let text = |name: &str| Some(body.as_ref()?.get(name)?.as_str()?.to_owned());
    let (Some(client_id), Ok(redirect_uri)) = (text("client_id"), Url::parse(redirect_uri)) else {
        return Ok(Registering::Refused(answer.described()));
    };
    let management = text("registration_client_uri")
        .and_then(|url| Url::parse(&url).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .zip(text("registration_access_token"));
    Ok(Registering::Done(Box::new(Registration {
        client: ClientSeen {
            client_id,
            secret: text("client_secret").map(zeroize::Zeroizing::new),
            redirect_uri,
        },
        answer,
        management,
    })))
}

/// Dynamic registration, where it is offered.
pub(super) async fn dynamic(session: &mut Session) -> Result<Verdict, Unanswerable> {
    session.server()?;
    if registration_endpoint(session).is_none() {
        return Ok(Verdict::inapplicable("dynamic registration is not offered"));
    }
    if session.registration.is_none() {
        let redirect_uri = loopback(session);
        match register(session, &redirect_uri).await? {
            Registering::Done(registration) => session.registration = Some(*registration),
            Registering::Refused(why) if why.starts_with("401") || why.starts_with("403") => {
                return Ok(Verdict::ok(format!("offered to those who may: {why}")));
            }
            Registering::Refused(why) => {
                return Ok(Verdict::fail(
                    format!("a public client with a loopback redirect URI can't register: {why}"),
                    "this is the request of most MCP clients; take it, or do not offer registration",
                ));
            }
        }
    }
    let Some(registration) = &session.registration else {
        return Err(Unanswerable::Missing("a registration"));
    };
    Ok(judged(registration))
}

/// What the answer to a registration must say (RFC 7591 §3.2.1).
fn judged(registration: &Registration) -> Verdict {
    let answer = &registration.answer;
    let body = answer.json().unwrap_or_default();
    let echoed = body
        .get("redirect_uris")
        .and_then(Value::as_array)
        .is_some_and(|uris| {
            let asked = registration.client.redirect_uri.as_str();
            uris.iter().any(|uri| uri.as_str() == Some(asked))
        });
    if !echoed {
        return Verdict::fail(
            "the answer does not list the redirect URI that was registered",
            "return all metadata of the client (RFC 7591 §3.2.1)",
        );
    }
    if registration.client.secret.is_some() && body.get("client_secret_expires_at").is_none() {
        return Verdict::fail(
            "a secret without `client_secret_expires_at`",
            "required with a secret; 0 means that it does not expire (RFC 7591 §3.2.1)",
        );
    }
    if answer.status != StatusCode::CREATED {
        return Verdict::warn(
            format!("registration answers {}", answer.status),
            "RFC 7591 §3.2.1 wants 201",
        );
    }
    if !answer
        .header("cache-control")
        .is_some_and(|value| value.contains("no-store"))
    {
        return Verdict::warn(
            "the answer to a registration may be cached",
            "send `Cache-Control: no-store`: it carries credentials",
        );
    }
    Verdict::ok(if registration.management.is_some() {
        "a public client on loopback may register, and take it back"
    } else {
        "a public client on loopback may register"
    })
}

/// A redirect URI that runs what a stranger wrote.
pub(super) async fn dangerous_redirect(session: &Session) -> Result<Verdict, Unanswerable> {
    if registration_endpoint(session).is_none() {
        return Ok(Verdict::inapplicable("dynamic registration is not offered"));
    }
    // Without a registration that succeeds, a refusal proves nothing.
    if session.registration.is_none() {
        return Ok(Verdict::inapplicable(
            "dynamic registration is not open to this walk",
        ));
    }
    Ok(
        match ask_to_register(session, "javascript:alert(1)").await {
            None => Verdict::inapplicable("dynamic registration is not offered"),
            Some(Err(error)) => Verdict::warn(
                format!("a `javascript:` redirect URI got no answer: {error}"),
                "refuse it with `invalid_redirect_uri`",
            ),
            Some(Ok(answer)) if answer.status.is_success() => Verdict::fail(
                "a client with a `javascript:` redirect URI was registered",
                "refuse schemes that browsers run or open locally",
            ),
            Some(Ok(answer)) if answer.oauth_error().as_deref() == Some("invalid_redirect_uri") => {
                Verdict::ok("a `javascript:` redirect URI is refused with `invalid_redirect_uri`")
            }
            Some(Ok(answer)) => Verdict::warn(
                format!("a `javascript:` redirect URI got {}", answer.described()),
                "clients expect 400 `invalid_redirect_uri` (RFC 7591 §3.2.2)",
            ),
        },
    )
}

/// A loopback redirect URI: that of the client, or one that nobody listens on.
fn loopback(session: &Session) -> String {
    session.host.as_ref().map_or_else(
        || "http://127.0.0.1:49152/callback".to_owned(),
        |host| host.redirect_uri().to_string(),
    )
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
    known(
        session,
        ClientSeen {
            client_id: url.to_string(),
            secret: None,
            redirect_uri,
        },
    )
    .await?;
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
        (false, _) if registration_endpoint(session).is_some() => Verdict::warn(
            "Client ID Metadata Documents are not offered, dynamic registration is",
            "newer clients bring a document and leave nothing behind; offer both",
        ),
        (false, _) => Verdict::warn(
            "Client ID Metadata Documents are not offered",
            "clients that nobody registered can't log in unless another way is open",
        ),
    })
}
