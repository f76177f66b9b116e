//! An issuer that is nothing but a key, two static documents and a clock.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use oauth::jose::alg::Alg;
use oauth::jose::signing::SigningKey;
use serde_json::json;

/// The running issuer; its thread lives as long as the benchmark.
pub(crate) struct Issuer {
    key: SigningKey,
    url: String,
    away: Arc<AtomicBool>,
}

impl Issuer {
    /// Makes a key and serves the documents on a free port.
    pub(crate) fn start() -> Result<Self> {
        let key = SigningKey::generate(Alg::Es256).context("making a key")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let discovery = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/jwks"),
            "response_types_supported": ["code"],
        })
        .to_string();
        let keys = json!({ "keys": [key.public().to_value()] }).to_string();
        let away = Arc::new(AtomicBool::new(false));
        let is_away = Arc::clone(&away);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_away.load(Ordering::Relaxed) {
                    continue;
                }
                // A client that goes away early is its own affair.
                let _ = serve(stream, &discovery, &keys);
            }
        });
        Ok(Self { key, url, away })
    }

    pub(crate) fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.url)
    }

    /// From now on, whoever asks is hung up on; or is answered again.
    pub(crate) fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// A token that the benchmark's gateway accepts for an hour.
    pub(crate) fn token(&self) -> Result<String> {
        self.token_of("bench")
    }

    /// The same for somebody.
    #[expect(
        clippy::disallowed_methods,
        reason = "a developer's tool reads the clock itself"
    )]
    pub(crate) fn token_of(&self, subject: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": self.url, "sub": subject, "aud": ["bench"], "iat": now, "exp": now + 3600,
            "jti": "family.1", "client_id": "bench", "scope": "mcp:tools",
        });
        self.key.sign_jwt("at+jwt", &claims).context("signing")
    }
}

fn serve(mut stream: TcpStream, discovery: &str, keys: &str) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = if first.contains("/jwks") {
        keys
    } else {
        discovery
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// Where a server is told to listen.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(SocketAddr::from((
        [127, 0, 0, 1],
        crate::shell::free_port()?,
    )))
}
