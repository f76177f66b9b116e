//! What a person with an MCP client does: log in, consent, get a token, call a tool.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use testkit::browser::{Browser, Page};
use url::Url;

use super::Program;

/// A verifier as clients draw them; its challenge is computed.
pub(crate) const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-4.1";

/// An MCP client in the hands of a person.
pub(crate) struct Person<'a> {
    pub(crate) program: &'a Program,
    pub(crate) browser: Browser,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) scope: String,
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) scope: String,
}

impl<'a> Person<'a> {
    /// Alice with the client of the demonstration.
    pub(crate) fn alice(program: &'a Program) -> Self {
        Self {
            browser: program.browser(),
            program,
            username: "alice".to_owned(),
            password: "alice".to_owned(),
            client_id: program.place("client_metadata_document"),
            redirect_uri: "http://localhost:6274/oauth/callback".to_owned(),
            scope: "mcp:tools".to_owned(),
        }
    }

    /// Finds out where to authorize, as a client does: challenge, resource metadata, server metadata.
    pub(crate) async fn discover(&mut self) -> Value {
        let challenged = self
            .browser
            .send(rpc(&self.program.place("mcp_endpoint"), None, &json!({})))
            .await
            .unwrap();
        assert_eq!(challenged.status, StatusCode::UNAUTHORIZED);
        let challenge = challenged.header("www-authenticate").unwrap();
        let metadata = challenge
            .split("resource_metadata=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let resource = self.browser.get(metadata).await.unwrap().json().unwrap();
        assert_eq!(resource["resource"], self.program.place("mcp_endpoint"));
        let issuer = Url::parse(resource["authorization_servers"][0].as_str().unwrap()).unwrap();
        let document = format!(
            "{}/.well-known/oauth-authorization-server{}",
            issuer.origin().ascii_serialization(),
            issuer.path()
        );
        let metadata = self.browser.get(&document).await.unwrap().json().unwrap();
        assert_eq!(metadata["issuer"], issuer.as_str());
        metadata
    }

    /// The URL that the client sends the browser to.
    pub(crate) fn authorization_url(&self, metadata: &Value) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest);
        let parameters = [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scope),
            ("state", "the-state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &self.program.place("mcp_endpoint")),
        ];
        Url::parse_with_params(
            metadata["authorization_endpoint"].as_str().unwrap(),
            parameters,
        )
        .unwrap()
        .into()
    }

    /// Opens the authorization URL, logs in and allows; gives the redirect to the client.
    pub(crate) async fn authorize(&mut self, metadata: &Value) -> Page {
        let url = self.authorization_url(metadata);
        let mut page = self.browser.open(&url).await.unwrap();
        if page.redirect().is_none() && page.text().contains("name=\"password\"") {
            let fill = [
                ("username", self.username.as_str()),
                ("password", self.password.as_str()),
            ];
            page = self.browser.submit(&page, &fill, "login").await.unwrap();
        }
        if page.redirect().is_none() {
            page = self.browser.submit(&page, &[], "allow").await.unwrap();
        }
        page
    }

    /// Exchanges a code.
    pub(crate) async fn exchange(&mut self, metadata: &Value, code: &str) -> Page {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", self.client_id.as_str()),
            ("code", code),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", VERIFIER),
            ("resource", &self.program.place("mcp_endpoint")),
        ];
        let body = oauth::form::encode(fields);
        let request = Request::post(metadata["token_endpoint"].as_str().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .unwrap();
        self.browser.send(request).await.unwrap()
    }

    /// The whole way from nothing to a token.
    pub(crate) async fn log_in(&mut self) -> Tokens {
        let metadata = self.discover().await;
        let answer = self.authorize(&metadata).await;
        assert_eq!(
            answer.redirect_parameter("state").as_deref(),
            Some("the-state"),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(
            answer.redirect_parameter("iss").as_deref(),
            metadata["issuer"].as_str()
        );
        let code = answer.redirect_parameter("code").unwrap();
        let tokens = self.exchange(&metadata, &code).await;
        assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text());
        let tokens = tokens.json().unwrap();
        let text = |name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
        Tokens {
            access: text("access_token"),
            refresh: text("refresh_token"),
            scope: text("scope"),
        }
    }

    /// Calls a tool in the era without sessions.
    pub(crate) async fn call(&mut self, token: Option<&str>, tool: &str, arguments: Value) -> Page {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {
                "name": tool, "arguments": arguments,
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        });
        let mut request = rpc(&self.program.place("mcp_endpoint"), token, &message);
        let headers = request.headers_mut();
        headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
        headers.insert("mcp-method", "tools/call".parse().unwrap());
        headers.insert("mcp-name", tool.parse().unwrap());
        self.browser.send(request).await.unwrap()
    }
}

/// A JSON-RPC message as a request.
pub(crate) fn rpc(url: &str, token: Option<&str>, message: &Value) -> Request<Bytes> {
    let mut request = Request::post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(Bytes::from(message.to_string()))
        .unwrap();
    if let Some(token) = token {
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// The result of an answer, whether it came as JSON or as the last event of a stream.
pub(crate) fn result(page: &Page) -> Value {
    let text = page.text();
    let json = if page
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"))
    {
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .next_back()
            .unwrap_or_default()
            .to_owned()
    } else {
        text
    };
    serde_json::from_str(&json).unwrap_or_else(|_| panic!("not an answer: {} {json}", page.status))
}

/// The claims of a token, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
