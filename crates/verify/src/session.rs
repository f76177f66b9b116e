//! What the walk was told, and what it has learned so far.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use oauth::pkce::CodeVerifier;
use serde_json::Value;
use url::Url;

use crate::browser::{Ending, Person};
use crate::forge::UnverifiedJwt;
use crate::host::Host;
use crate::verdict::Unanswerable;
use crate::web::{Actor, Answer, Answered, Web};

/// What to verify, and with which means.
pub struct Options {
    /// The MCP endpoint.
    pub url: Url,
    /// Who logs in; without a user one browser window is opened instead.
    pub user: Option<User>,
    /// Somebody else, for the questions that need a second person.
    pub other_user: Option<User>,
    /// As which client.
    pub client: ClientChoice,
    /// Where the walk serves its document, and where the person's browser comes back to.
    pub listen: std::net::SocketAddr,
    /// The scope to ask for, instead of what the deployment recommends.
    pub scope: Option<String>,
    /// A scope that the authorization server must not grant.
    pub refused_scope: String,
    /// How long to wait for an access token to expire, to present it afterwards.
    pub max_wait: Duration,
    /// Opens a URL in the person's browser.
    pub open_browser: Option<fn(&Url)>,
    /// Tells the person what the walk is waiting for.
    pub tell: fn(&str),
    /// The time at which the walk begins (RFC 3339), for the report.
    pub started: String,
    /// The HTTP client: its rules and trusted roots are the caller's choice.
    pub web: net::egress::client::Client,
    /// Seconds since 1970.
    pub now: fn() -> i64,
}

/// A person who can log in.
#[derive(Clone)]
pub struct User {
    /// As typed into the login page.
    pub name: String,
    /// Never printed.
    pub password: zeroize::Zeroizing<String>,
}

/// How the client is known to the authorization server.
#[derive(Clone)]
pub enum ClientChoice {
    /// By a metadata document that the walk serves itself; by dynamic registration where the authorization server does not
    /// take that.
    Automatic,
    /// By a metadata document that somebody serves; it must list a loopback redirect URI.
    Document(Url),
    /// By registration beforehand.
    Registered {
        /// The registered `client_id`.
        client_id: String,
        /// The registered secret, for a confidential client.
        secret: Option<zeroize::Zeroizing<String>>,
        /// A registered redirect URI.
        redirect_uri: Url,
    },
}

/// The gateway's metadata (RFC 9728), as far as the walk needs it.
#[derive(Debug, Clone)]
pub(crate) struct ResourceSeen {
    pub(crate) resource: String,
    pub(crate) authorization_servers: Vec<String>,
    pub(crate) scopes_supported: Vec<String>,
}

/// The authorization server's metadata (RFC 8414).
#[derive(Debug, Clone)]
pub(crate) struct ServerSeen {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    pub(crate) metadata: Value,
}

impl ServerSeen {
    /// Whether a boolean member is true.
    pub(crate) fn says(&self, member: &str) -> bool {
        self.metadata.get(member).and_then(Value::as_bool) == Some(true)
    }

    /// Whether a list member contains a value.
    pub(crate) fn lists(&self, member: &str, value: &str) -> bool {
        self.metadata
            .get(member)
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|item| item.as_str() == Some(value)))
    }
}

/// The client as it presents itself.
#[derive(Clone)]
pub(crate) struct ClientSeen {
    pub(crate) client_id: String,
    pub(crate) secret: Option<zeroize::Zeroizing<String>>,
    pub(crate) redirect_uri: Url,
}

/// A client that was registered dynamically (RFC 7591), with what ends it again (RFC 7592).
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) client: ClientSeen,
    pub(crate) answer: Answer,
    pub(crate) management: Option<(Url, String)>,
}

/// An authorization response.
#[derive(Debug, Clone)]
pub(crate) struct ResponseSeen {
    /// RFC 9207 §2.
    pub(crate) iss: Option<String>,
}

/// What a successful token request gave.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) id: Option<String>,
    pub(crate) refresh: Option<String>,
    /// The granted scope; if the answer does not name it, the one that was asked for (RFC 6749 §5.1).
    pub(crate) scope: Option<String>,
    pub(crate) jwt: Option<UnverifiedJwt>,
}

/// An authorization code and what belongs to it.
pub(crate) struct Code {
    pub(crate) text: String,
    pub(crate) verifier: CodeVerifier,
    /// The scope that was asked for.
    pub(crate) scope: Option<String>,
    /// `iss` of the authorization response (RFC 9207).
    pub(crate) iss: Option<String>,
}

/// Departures from a proper authorization request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variation<'a> {
    pub(crate) challenge: Challenge,
    pub(crate) scope: Option<&'a str>,
    pub(crate) redirect_uri: Option<&'a Url>,
    pub(crate) without_resource: bool,
}

/// How the request carries PKCE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Challenge {
    #[default]
    S256,
    Plain,
    Missing,
}

/// The state of one walk.
pub struct Session {
    pub(crate) options: Options,
    pub(crate) web: Web,
    pub(crate) person: Person,
    pub(crate) host: Option<Host>,
    /// Whether the endpoint answers without a token.
    pub(crate) open: bool,
    pub(crate) challenge_scope: Option<String>,
    /// Where the challenge says that the metadata is.
    pub(crate) metadata_urls: Vec<Url>,
    pub(crate) resource: Option<ResourceSeen>,
    pub(crate) server: Option<ServerSeen>,
    pub(crate) jwks: Option<Value>,
    pub(crate) client: Option<ClientSeen>,
    pub(crate) registration: Option<Registration>,
    pub(crate) code: Option<Code>,
    /// A code that came while it was tried out how the client is known.
    pub(crate) early_code: Option<Code>,
    /// Whether a proper request leads to a login page that only a person can fill in.
    pub(crate) needs_person: bool,
    /// The response that brought the code, as far as `iss` goes.
    pub(crate) response: Option<ResponseSeen>,
    pub(crate) tokens: Option<Tokens>,
    /// Whether the gateway speaks the stateless era with the token that was obtained.
    pub(crate) stateless: Option<bool>,
    /// A legacy session id that belongs to the token.
    pub(crate) legacy_id: Option<String>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Automatic => f.write_str("Automatic"),
            Self::Document(url) => write!(f, "Document({url})"),
            Self::Registered { client_id, .. } => write!(f, "Registered({client_id})"),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("url", &self.options.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Where a code could not be had, why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCode {
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
    #[error("{}", .0.described())]
    Ended(Box<Ending>),
    #[error("`state` came back changed")]
    StateChanged,
}

impl Session {
    pub(crate) fn new(options: Options) -> Self {
        let user = options.user.clone().map(|user| (user.name, user.password));
        Self {
            web: Web::new(options.web.clone()),
            person: Person::new(user),
            options,
            host: None,
            open: false,
            challenge_scope: None,
            metadata_urls: Vec::new(),
            resource: None,
            server: None,
            jwks: None,
            client: None,
            registration: None,
            code: None,
            early_code: None,
            needs_person: false,
            response: None,
            tokens: None,
            stateless: None,
            legacy_id: None,
        }
    }

    pub(crate) fn resource(&self) -> Result<&ResourceSeen, Unanswerable> {
        self.resource
            .as_ref()
            .ok_or(Unanswerable::Missing("the protected resource metadata"))
    }

    pub(crate) fn server(&self) -> Result<&ServerSeen, Unanswerable> {
        self.server
            .as_ref()
            .ok_or(Unanswerable::Missing("the authorization server metadata"))
    }

    pub(crate) fn client(&self) -> Result<&ClientSeen, Unanswerable> {
        self.client
            .as_ref()
            .ok_or(Unanswerable::Missing("a client"))
    }

    pub(crate) fn tokens(&self) -> Result<&Tokens, Unanswerable> {
        self.tokens
            .as_ref()
            .ok_or(Unanswerable::Missing("an access token"))
    }

    /// Whether the client is known by something else than a dynamic registration.
    pub(crate) fn registration_is_not_used(&self) -> bool {
        let registered = self.registration.as_ref().map(|one| &one.client.client_id);
        registered.is_none() || registered != self.client.as_ref().map(|one| &one.client_id)
    }

    /// The token to call the MCP endpoint with; none where it asks for none.
    pub(crate) fn bearer(&self) -> Result<Option<String>, Unanswerable> {
        if self.open {
            return Ok(None);
        }
        Ok(Some(self.tokens()?.access.clone()))
    }

    pub(crate) fn jwt(&self) -> Result<&UnverifiedJwt, Unanswerable> {
        self.tokens()?
            .jwt
            .as_ref()
            .ok_or(Unanswerable::Inapplicable("access tokens are opaque here"))
    }

    /// The scope to ask for: the caller's, the challenge's, the metadata's, or none (CL-12).
    pub(crate) fn scope(&self) -> Option<String> {
        if let Some(scope) = self
            .options
            .scope
            .as_ref()
            .or(self.challenge_scope.as_ref())
        {
            return Some(scope.clone());
        }
        let listed = &self.resource.as_ref()?.scopes_supported;
        (!listed.is_empty()).then(|| listed.join(" "))
    }

    /// An authorization request URL with a fresh verifier and state.
    pub(crate) fn authorization_request(
        &self,
        variation: Variation<'_>,
    ) -> Result<(Url, CodeVerifier, String), Unanswerable> {
        let (server, client) = (self.server()?, self.client()?);
        let resource = self.resource()?.resource.clone();
        let verifier = fresh_verifier()?;
        let state = fresh_text()?;
        let redirect_uri = variation.redirect_uri.unwrap_or(&client.redirect_uri);
        let mut url = server.authorization_endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &client.client_id)
                .append_pair("redirect_uri", redirect_uri.as_str())
                .append_pair("state", &state);
            match variation.challenge {
                Challenge::S256 => {
                    query
                        .append_pair("code_challenge", &verifier.challenge().to_string())
                        .append_pair("code_challenge_method", "S256");
                }
                Challenge::Plain => {
                    query
                        .append_pair("code_challenge", verifier.as_str())
                        .append_pair("code_challenge_method", "plain");
                }
                Challenge::Missing => {}
            }
            if let Some(scope) = variation.scope.map(str::to_owned).or_else(|| self.scope()) {
                query.append_pair("scope", &scope);
            }
            if !variation.without_resource {
                query.append_pair("resource", &resource);
            }
        }
        Ok((url, verifier, state))
    }

    /// Sends an authorization request over HTTP, as a scripted browser: it logs in only where there is a user.
    pub(crate) async fn probe(
        &mut self,
        variation: Variation<'_>,
    ) -> Result<(Ending, CodeVerifier, String), Unanswerable> {
        let (url, verifier, state) = self.authorization_request(variation)?;
        let redirect_uri = variation
            .redirect_uri
            .unwrap_or(&self.client()?.redirect_uri)
            .clone();
        let ending = self.person.authorize(&self.web, &url, &redirect_uri).await;
        Ok((ending, verifier, state))
    }

    /// A fresh authorization code: over HTTP where there is a user, in the one browser window otherwise.
    pub(crate) async fn fresh_code(&mut self, variation: Variation<'_>) -> Result<Code, NoCode> {
        let person = match (self.options.open_browser, &self.host) {
            (Some(open), Some(host)) if self.needs_person => {
                let (url, verifier, state) = self.authorization_request(variation)?;
                let ending = host.person(&url, open, self.options.tell).await;
                Some((ending, verifier, state))
            }
            _ => None,
        };
        let (ending, verifier, state) = match person {
            Some(ended) => ended,
            None => self.probe(variation).await?,
        };
        let scope = variation.scope.map(str::to_owned).or_else(|| self.scope());
        code_of(ending, verifier, &state, scope)
    }

    /// Tries the proper request for the first time, and returns the page with which the client is refused. A code that comes
    /// of it is kept for the check that asks for one.
    pub(crate) async fn try_client(&mut self) -> Result<Option<Ending>, Unanswerable> {
        let (ending, verifier, state) = self.probe(Variation::default()).await?;
        match ending {
            Ending::AskedToLogin => self.needs_person = true,
            Ending::Redirected(_) if ending.parameter("code").is_some() => {
                self.early_code = code_of(ending, verifier, &state, self.scope()).ok();
            }
            Ending::Redirected(_) | Ending::AskedElsewhere(_) | Ending::TooManySteps => {}
            Ending::Page(_) | Ending::Broken(_) => return Ok(Some(ending)),
        }
        Ok(None)
    }

    /// Takes back what the walk left: a registration, and the browser's page.
    pub(crate) async fn end(&mut self) {
        if let Some((url, token)) = self.registration.take().and_then(|one| one.management) {
            let ends = (Actor::Client, Actor::AuthorizationServer);
            let mut request = Request::new(Bytes::new());
            *request.method_mut() = Method::DELETE;
            if let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}")) {
                request.headers_mut().insert("authorization", value);
            }
            if let Err(error) = self.web.send(ends, "(registration)", &url, request).await {
                tracing::debug!(%error, "the registration was not deleted");
            }
        }
        if let Some(host) = &self.host {
            host.dismiss().await;
        }
    }

    /// A token request; `changes` replace or (with an empty value) remove parameters.
    pub(crate) async fn token_request(
        &self,
        about: &str,
        fields: &[(&str, &str)],
        changes: &[(&str, &str)],
    ) -> Result<Answered, Unanswerable> {
        let client = self.client()?.clone();
        let endpoint = self.server()?.token_endpoint.clone();
        let mut form: Vec<(&str, &str)> = fields.to_vec();
        form.push(("client_id", &client.client_id));
        if let Some(secret) = &client.secret {
            form.push(("client_secret", secret));
        }
        for (name, value) in changes {
            form.retain(|(known, _)| known != name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        Ok(self
            .web
            .post_form(
                (Actor::Client, Actor::AuthorizationServer),
                about,
                &endpoint,
                &form,
            )
            .await)
    }

    /// Redeems a code.
    pub(crate) async fn redeem(
        &self,
        code: &Code,
        changes: &[(&str, &str)],
    ) -> Result<Answered, Unanswerable> {
        let redirect_uri = self.client()?.redirect_uri.clone();
        let resource = self.resource()?.resource.clone();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.text.as_str()),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", code.verifier.as_str()),
            ("resource", resource.as_str()),
        ];
        self.token_request("(authorization_code)", &fields, changes)
            .await
    }

    /// Reads a token response to a request for this scope.
    pub(crate) fn read_tokens(answer: &Answer, asked: Option<&str>) -> Option<Tokens> {
        let body = answer
            .status
            .is_success()
            .then(|| answer.json())
            .flatten()?;
        let text = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
        let access = text("access_token")?;
        Some(Tokens {
            jwt: UnverifiedJwt::read(&access),
            access,
            id: text("id_token"),
            refresh: text("refresh_token"),
            scope: text("scope").or_else(|| asked.map(str::to_owned)),
        })
    }

    /// A POST to the MCP endpoint.
    pub(crate) async fn mcp(
        &self,
        about: &str,
        token: Option<&str>,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> Answered {
        let url = self.options.url.clone();
        self.mcp_at(&url, about, token, message, headers).await
    }

    /// A POST to a URL near the MCP endpoint.
    pub(crate) async fn mcp_at(
        &self,
        url: &Url,
        about: &str,
        token: Option<&str>,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> Answered {
        let mut request = Request::new(Bytes::from(message.to_string()));
        *request.method_mut() = Method::POST;
        let map = request.headers_mut();
        map.insert("content-type", HeaderValue::from_static("application/json"));
        map.insert(
            "accept",
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        if let Some(token) = token
            && let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}"))
        {
            map.insert("authorization", value);
        }
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                map.insert(name, value);
            }
        }
        self.web
            .send((Actor::Client, Actor::Gateway), about, url, request)
            .await
    }
}

/// The code in a response with the `state` that was sent.
fn code_of(
    ending: Ending,
    verifier: CodeVerifier,
    state: &str,
    scope: Option<String>,
) -> Result<Code, NoCode> {
    let Some(code) = ending.parameter("code").map(str::to_owned) else {
        return Err(NoCode::Ended(Box::new(ending)));
    };
    if ending.parameter("state") != Some(state) {
        return Err(NoCode::StateChanged);
    }
    Ok(Code {
        text: code,
        verifier,
        scope,
        iss: ending.parameter("iss").map(str::to_owned),
    })
}

/// The JSON-RPC response in an answer, whether it is JSON or the last event of a stream.
pub(crate) fn message_of(answer: &Answer) -> Option<Value> {
    if answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"))
    {
        let text = String::from_utf8_lossy(&answer.body);
        return text
            .split("\n\n")
            .filter_map(|event| {
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(str::trim_start)
                    .collect();
                serde_json::from_str::<Value>(&data.join("\n")).ok()
            })
            .find(|message| message.get("id").is_some());
    }
    answer.json()
}

/// A verifier of 256 random bits.
fn fresh_verifier() -> Result<CodeVerifier, Unanswerable> {
    Ok(CodeVerifier::from_bytes(&random()?))
}

/// Text of 256 random bits, for `state`.
pub(crate) fn fresh_text() -> Result<String, Unanswerable> {
    Ok(URL_SAFE_NO_PAD.encode(random()?))
}

fn random() -> Result<[u8; 32], Unanswerable> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Unanswerable::Missing("random numbers"))?;
    Ok(bytes)
}
