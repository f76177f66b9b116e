//! A gateway and an authorization server at one origin, as far as a walk looks at them: sound, but for one fault.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::fake_http::{Reply, Seen};
use url::form_urlencoded;

use crate::NOW;
use crate::fault::Fault;

/// The public key of RFC 7515 appendix A.3. Nothing here verifies a signature: what was issued is known by heart.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","use":"sig",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// What a code stands for.
struct Code {
    client_id: String,
    challenge: String,
    scope: String,
    resource: Option<String>,
    redeemed: bool,
}

/// A token that was issued.
struct Issued {
    client_id: String,
    audience: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Access,
    Id,
}

/// What came of a code, by its refresh token.
struct Family {
    code: String,
    client_id: String,
    scope: String,
    audience: String,
}

type Pairs = HashMap<String, String>;

fn pairs(text: &str) -> Pairs {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::status(status)
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn oauth_error(error: &str) -> Reply {
    json_reply(400, &json!({"error": error}))
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decoded(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

pub(crate) struct Deployment {
    fault: Option<Fault>,
    count: AtomicUsize,
    codes: Mutex<HashMap<String, Code>>,
    tokens: Mutex<HashMap<String, Issued>>,
    families: Mutex<HashMap<String, Family>>,
    /// Whose session it is.
    sessions: Mutex<HashMap<String, String>>,
}

impl Deployment {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            count: AtomicUsize::default(),
            codes: Mutex::default(),
            tokens: Mutex::default(),
            families: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn reply(&self, seen: &Seen) -> Reply {
        let origin = format!("http://{}", seen.header("host").unwrap());
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        match path {
            "/mcp" => self.mcp(seen, &origin, query),
            "/authorize" => self.authorize(&origin, &pairs(query)),
            "/token" => self.token(&origin, &pairs(&String::from_utf8_lossy(&seen.body))),
            "/register" => self.register(seen),
            "/jwks" => self.keys(),
            "/.well-known/oauth-protected-resource" if self.has(Fault::MetadataAtOnePlace) => {
                Reply::status(404)
            }
            _ if path.starts_with("/.well-known/oauth-protected-resource") => {
                self.resource_metadata(&origin)
            }
            "/.well-known/openid-configuration" if self.has(Fault::ServerMetadataAtOnePlace) => {
                Reply::status(404)
            }
            _ if path.contains("/.well-known/o") => self.server_metadata(&origin),
            _ => Reply::status(404),
        }
    }

    fn keys(&self) -> Reply {
        let mut key: Value = serde_json::from_str(KEY).unwrap();
        if self.has(Fault::PrivateKeyPublished) {
            key["d"] = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI".into();
        }
        let keys = if self.has(Fault::NoKeys) {
            json!([])
        } else {
            json!([key])
        };
        Reply::json(json!({"keys": keys}).to_string())
    }

    fn resource_metadata(&self, origin: &str) -> Reply {
        let mut metadata = json!({
            "resource": format!("{origin}/mcp"),
            "authorization_servers": [origin],
            "scopes_supported": ["mcp:tools"],
        });
        if self.has(Fault::MetadataOfAnotherResource) {
            metadata["resource"] = format!("{origin}/other").into();
        }
        if self.has(Fault::NoAuthorizationServer) {
            metadata["authorization_servers"] = json!([]);
        }
        Reply::json(metadata.to_string())
    }

    fn server_metadata(&self, origin: &str) -> Reply {
        let mut metadata = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "registration_endpoint": format!("{origin}/register"),
            "jwks_uri": format!("{origin}/jwks"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "client_id_metadata_document_supported": true,
            "authorization_response_iss_parameter_supported": true,
        });
        let change = match self.fault {
            Some(Fault::MetadataOfAnotherIssuer) => ("issuer", format!("{origin}/").into()),
            Some(Fault::EndpointOfAnotherScheme) => ("token_endpoint", "file:///token".into()),
            Some(Fault::EndpointInTheClear) => ("token_endpoint", "http://as.example/token".into()),
            Some(Fault::PkceNotAdvertised) => ("code_challenge_methods_supported", Value::Null),
            Some(Fault::PlainAdvertised) => {
                ("code_challenge_methods_supported", json!(["S256", "plain"]))
            }
            Some(Fault::IssNotAdvertised) => (
                "authorization_response_iss_parameter_supported",
                false.into(),
            ),
            Some(Fault::DocumentsNotAdvertised) => {
                ("client_id_metadata_document_supported", false.into())
            }
            Some(Fault::PublicClientsNotAdvertised) => (
                "token_endpoint_auth_methods_supported",
                json!(["client_secret_basic"]),
            ),
            _ => return Reply::json(metadata.to_string()),
        };
        metadata[change.0] = change.1;
        Reply::json(metadata.to_string())
    }

    fn authorize(&self, origin: &str, asked: &Pairs) -> Reply {
        let redirect_uri = asked["redirect_uri"].as_str();
        let registered = redirect_uri.ends_with("/callback") && !redirect_uri.contains("attacker");
        if self.has(Fault::NoClientIsTaken) || (!registered && !self.has(Fault::RedirectsAnywhere))
        {
            return Reply::status(400).body("<body><main><h1>No</h1></main>");
        }
        let mut answer = vec![("state", asked["state"].as_str())];
        match self.fault {
            Some(Fault::IssLeftOut) => {}
            Some(Fault::IssOfAnother) => answer.push(("iss", "https://other.example")),
            _ => answer.push(("iss", origin)),
        }
        if self.has(Fault::StateChanged) {
            answer[0].1 = "changed";
        }
        let method = asked.get("code_challenge_method").map(String::as_str);
        let proven = match method {
            Some("S256") => true,
            Some(_) => self.has(Fault::PlainIsTaken),
            None => self.has(Fault::PkceIsOptional),
        };
        let scope = asked.get("scope").map_or("", String::as_str);
        let code = self.fresh("code");
        if self.has(Fault::NobodyGetsACode) {
            answer.push(("error", "access_denied"));
        } else if !proven {
            answer.push(("error", "invalid_request"));
        } else if scope == "mcp:fail" && !self.has(Fault::EveryScopeIsGranted) {
            answer.push(("error", "invalid_scope"));
        } else {
            let stored = Code {
                client_id: asked["client_id"].clone(),
                challenge: asked.get("code_challenge").cloned().unwrap_or_default(),
                scope: scope.to_owned(),
                resource: asked.get("resource").cloned(),
                redeemed: false,
            };
            self.codes.lock().insert(code.clone(), stored);
            answer.push(("code", &code));
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(answer)
            .finish();
        Reply::redirect(303, &format!("{redirect_uri}?{query}"))
    }

    fn token(&self, origin: &str, asked: &Pairs) -> Reply {
        let taken = if asked["grant_type"] == "refresh_token" {
            self.refresh(&asked["refresh_token"])
        } else {
            self.redeem(asked)
        };
        match taken {
            Ok(family) => self.issue(origin, family),
            Err(error) => oauth_error(error),
        }
    }

    fn refresh(&self, token: &str) -> Result<Family, &'static str> {
        if self.has(Fault::RefreshesFail) {
            return Err("invalid_grant");
        }
        self.families.lock().remove(token).ok_or("invalid_grant")
    }

    fn redeem(&self, asked: &Pairs) -> Result<Family, &'static str> {
        let mut codes = self.codes.lock();
        let code = codes.get_mut(&asked["code"]).ok_or("invalid_grant")?;
        if code.redeemed && !self.has(Fault::CodesAreForever) {
            if !self.has(Fault::ReplayEndsNothing) {
                let mut families = self.families.lock();
                families.retain(|_, family| family.code != asked["code"]);
            }
            return Err("invalid_grant");
        }
        let verifier = asked.get("code_verifier").map_or("", String::as_str);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        if URL_SAFE_NO_PAD.encode(digest) != code.challenge
            && code.challenge != verifier
            && !self.has(Fault::VerifierIsIgnored)
        {
            return Err("invalid_grant");
        }
        let mut audience = code.resource.clone();
        if let Some(resource) = asked.get("resource")
            && Some(resource) != code.resource.as_ref()
        {
            match self.fault {
                Some(Fault::AnyResourceIsGranted) => audience = Some(resource.clone()),
                Some(Fault::OtherResourceIsIgnored) => {}
                _ => return Err("invalid_target"),
            }
        }
        code.redeemed = true;
        Ok(Family {
            code: asked["code"].clone(),
            client_id: code.client_id.clone(),
            scope: code.scope.clone(),
            audience: audience.unwrap_or_else(|| "account".to_owned()),
        })
    }

    fn issue(&self, origin: &str, family: Family) -> Reply {
        let id = self.fresh("token");
        let mut claims = json!({
            "iss": origin, "sub": "alice", "aud": family.audience, "client_id": family.client_id,
            "scope": family.scope, "jti": id, "exp": NOW + 600,
        });
        match self.fault {
            Some(Fault::TokenOfAnotherIssuer) => claims["iss"] = "https://other.example".into(),
            Some(Fault::TokenForNobody) => claims["aud"] = json!([]),
            Some(Fault::TokenLivesLong) => claims["exp"] = (NOW + 86_400).into(),
            Some(Fault::TokenLivesForever) => claims["exp"] = Value::Null,
            _ => {}
        }
        let access = self.signed("at+jwt", &claims, &family, Kind::Access);
        let mut answer =
            json!({"access_token": access, "token_type": "Bearer", "scope": family.scope});
        if family.scope.contains("openid") {
            let claims = json!({"iss": origin, "sub": "alice", "aud": family.client_id, "jti": id});
            answer["id_token"] = self.signed("JWT", &claims, &family, Kind::Id).into();
        }
        match self.fault {
            Some(Fault::TokensOfAnotherType) => answer["token_type"] = "mac".into(),
            Some(Fault::NoAccessToken) => answer["access_token"] = Value::Null,
            _ => {}
        }
        if !self.has(Fault::NoRefreshToken) {
            let refresh = if self.has(Fault::RefreshTokensStay) {
                format!("refresh-of-{}", family.code)
            } else {
                self.fresh("refresh")
            };
            answer["refresh_token"] = refresh.clone().into();
            self.families.lock().insert(refresh, family);
        }
        let reply = json_reply(200, &answer);
        if self.has(Fault::TokensMayBeCached) {
            reply
        } else {
            reply.header("cache-control", "no-store")
        }
    }

    fn signed(&self, typ: &str, claims: &Value, family: &Family, kind: Kind) -> String {
        let header = json!({"alg": "ES256", "kid": "k", "typ": typ});
        let token = format!("{}.{}.AA", encoded(&header), encoded(claims));
        let issued = Issued {
            client_id: family.client_id.clone(),
            audience: family.audience.clone(),
            kind,
        };
        self.tokens.lock().insert(token.clone(), issued);
        token
    }

    fn register(&self, seen: &Seen) -> Reply {
        let mut client: Value = serde_json::from_slice(&seen.body).unwrap();
        let runs_scripts = client["redirect_uris"][0]
            .as_str()
            .is_some_and(|uri| uri.starts_with("javascript:"));
        if runs_scripts && !self.has(Fault::ScriptsAreRegistered) {
            return oauth_error("invalid_redirect_uri");
        }
        client["client_id"] = self.fresh("client").into();
        let mut status = 201;
        match self.fault {
            Some(Fault::NoClientIsTaken) => return oauth_error("invalid_client_metadata"),
            Some(Fault::RegistrationsForget) => client["redirect_uris"] = json!([]),
            Some(Fault::RegistrationsAreOld) => status = 200,
            Some(Fault::RegistrationsMayBeCached) => return json_reply(201, &client),
            Some(Fault::SecretsWithoutEnd) => client["client_secret"] = "s".into(),
            _ => {}
        }
        json_reply(status, &client).header("cache-control", "no-store")
    }

    fn mcp(&self, seen: &Seen, origin: &str, query: &str) -> Reply {
        let in_query = pairs(query).remove("access_token");
        let token = match in_query.filter(|_| self.has(Fault::TokensInQueries)) {
            Some(token) => Some(token),
            None => seen
                .header("authorization")
                .and_then(|value| Some(value.strip_prefix("Bearer ")?.to_owned())),
        };
        let Some(caller) = token.and_then(|token| self.caller(&token, origin)) else {
            return self.challenged(origin);
        };
        if seen.header("origin").is_some() && !self.has(Fault::AnyOriginMayCall) {
            return Reply::status(403);
        }
        self.method(seen, &caller)
    }

    /// Whose token it is, if it may come in.
    fn caller(&self, token: &str, origin: &str) -> Option<String> {
        if self.has(Fault::EverythingOpens) {
            return Some("anybody".to_owned());
        }
        if let Some(issued) = self.tokens.lock().get(token) {
            let opens = match issued.kind {
                Kind::Access => {
                    issued.audience == format!("{origin}/mcp") || self.has(Fault::AudienceIsIgnored)
                }
                Kind::Id => self.has(Fault::IdTokensOpen),
            };
            return opens.then(|| issued.client_id.clone());
        }
        let (header, claims) = (decoded(token, 0), decoded(token, 1));
        let expired = claims["exp"].as_i64().is_some_and(|exp| exp < NOW);
        let fault = match header["alg"].as_str()? {
            "none" => Fault::UnsignedTokensOpen,
            "HS256" => Fault::PublicKeyIsASecret,
            _ if claims["iss"] != *origin => Fault::IssuerIsIgnored,
            _ if expired => Fault::ExpiryIsIgnored,
            _ => Fault::SignatureIsIgnored,
        };
        self.has(fault).then(|| "forger".to_owned())
    }

    fn challenged(&self, origin: &str) -> Reply {
        let metadata =
            format!("resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"");
        let challenge = match self.fault {
            Some(Fault::NoChallenge) => return Reply::status(401),
            Some(Fault::ChallengeOfAnotherScheme) => "Basic realm=\"x\"".to_owned(),
            Some(Fault::ChallengeWithoutMetadata) => "Bearer scope=\"mcp:tools\"".to_owned(),
            Some(Fault::ChallengeWithoutScope) => format!("Bearer {metadata}"),
            Some(Fault::ChallengeSaysItTwice) => {
                format!("Bearer {metadata}, scope=\"mcp:tools\", scope=\"other\"")
            }
            _ => format!("Bearer {metadata}, scope=\"mcp:tools\""),
        };
        Reply::status(401).header("www-authenticate", &challenge)
    }

    fn method(&self, seen: &Seen, caller: &str) -> Reply {
        let message: Value = serde_json::from_slice(&seen.body).unwrap();
        let answered = |result: Value| {
            let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
            json_reply(200, &body)
        };
        let refused = |status: u16, code: i64| {
            let error = json!({"code": code, "message": "no"});
            let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
            json_reply(status, &body)
        };
        let stateless = seen.header("mcp-method").is_some();
        if stateless && self.has(Fault::NotStateless) {
            return refused(400, -32600);
        }
        if !stateless && let Some(session) = seen.header("mcp-session-id") {
            let owner = self.sessions.lock().get(session).cloned();
            match owner {
                None if !self.has(Fault::AnySessionGoes) => return refused(404, -32001),
                Some(owner) if owner != caller && !self.has(Fault::SessionsAreAnybodys) => {
                    return refused(404, -32001);
                }
                _ => {}
            }
        }
        match message["method"].as_str().unwrap() {
            "initialize" if self.has(Fault::NoSessionEra) => refused(400, -32600),
            "initialize" => {
                let id = self.fresh("session");
                self.sessions.lock().insert(id.clone(), caller.to_owned());
                let server = json!({"name": "s", "version": "1"});
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": server});
                answered(result).header("mcp-session-id", &id)
            }
            "notifications/initialized" if self.has(Fault::NotificationsAreAnswered) => {
                answered(json!({}))
            }
            "notifications/initialized" => Reply::status(202),
            "server/discover" if self.has(Fault::ResultWithoutType) => answered(json!({})),
            "server/discover" => answered(json!({"resultType": "complete"})),
            "tools/list" if self.has(Fault::NoList) => refused(200, -32603),
            "tools/list" if self.has(Fault::NoTools) => {
                answered(json!({"tools": [], "resultType": "complete"}))
            }
            "tools/list" => {
                let tool = json!({"name": "x___add_numbers", "inputSchema": {"type": "object"}});
                answered(json!({"tools": [tool], "resultType": "complete"}))
            }
            "tools/call" => {
                let sum = if self.has(Fault::WrongAnswer) {
                    "6"
                } else {
                    "5"
                };
                let content = json!([{"type": "text", "text": sum}]);
                answered(json!({"content": content, "resultType": "complete"}))
            }
            _ => refused(404, -32601),
        }
    }
}
