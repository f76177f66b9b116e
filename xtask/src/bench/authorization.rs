//! Code exchanges and refreshes per second, on SQLite on disk with `synchronous = FULL`.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::password::{Cost, Memory};

use super::form::{between, filled};
use super::http::{Answer, Connection, request};
use super::issuer::free_address;
use super::process::{Process, own_cpu_seconds, sekisho};
use crate::shell::{self, clock};

/// The figures.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) connections: usize,
    pub(super) exchanges: Rate,
    pub(super) refreshes: Rate,
    pub(super) logins: Logins,
    pub(super) rss_mib: f64,
}

/// What a login with a password costs, all of its requests together, beside the hash alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logins {
    /// CPU milliseconds of the server.
    pub(super) login: f64,
    /// CPU milliseconds.
    pub(super) hash: f64,
    /// Of the one to the other.
    pub(super) ratio: f64,
}

/// How fast, and at which cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) cpu_micros: f64,
}

impl Rate {
    /// What one core could do if only CPU counted.
    pub(super) fn per_core(self) -> f64 {
        1e6 / self.cpu_micros
    }
}

const CONNECTIONS: usize = 32;
/// The example of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http%3A%2F%2F127.0.0.1%3A9%2Fcallback";

pub(super) fn measure(folder: &Path, quick: bool) -> Result<Figures> {
    let address = free_address()?;
    let data = folder.join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let config = folder.join("authorization.yaml");
    shell::write(&config, &configuration(address, free_address()?, &data))?;
    let ready = data.join("ready.json");
    std::fs::create_dir_all(&data)?;
    let mut server = Process::start(
        sekisho()
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--ready-file")
            .arg(&ready),
    )?;
    server.await_file(&ready)?;

    let cookie = log_in(address)?;
    let each = if quick { 20 } else { 150 };
    let before = server.cpu_seconds()?;
    let codes = side_by_side(|| {
        let mut connection = Connection::open(address)?;
        (0..each)
            .map(|_| code(&mut connection, address, &cookie))
            .collect::<Result<Vec<_>>>()
    })?;
    eprintln!(
        "  {:.0} µs CPU for an authorization of a known user",
        per(server.cpu_seconds()? - before, each)
    );

    let before = server.cpu_seconds()?;
    let started = clock();
    let tokens = std::thread::scope(|scope| {
        let threads: Vec<_> = codes
            .iter()
            .map(|codes| scope.spawn(move || exchange(address, codes)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| anyhow::bail!("a thread ended badly"))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let exchanges = rate(each, started.elapsed(), server.cpu_seconds()? - before);

    let before = server.cpu_seconds()?;
    let started = clock();
    std::thread::scope(|scope| {
        let threads: Vec<_> = tokens
            .iter()
            .map(|token| scope.spawn(move || refresh(address, token, each)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| anyhow::bail!("a thread ended badly"))
        })
    })?;
    let refreshes = rate(each, started.elapsed(), server.cpu_seconds()? - before);
    let logins = logins(&server, address, if quick { 1 } else { 9 })?;
    Ok(Figures {
        connections: CONNECTIONS,
        logins,
        exchanges,
        refreshes,
        rss_mib: server.rss_mib()?,
    })
}

fn rate(each: usize, elapsed: Duration, cpu: f64) -> Rate {
    let rate = Rate {
        per_second: (each * CONNECTIONS) as f64 / elapsed.as_secs_f64(),
        cpu_micros: per(cpu, each),
    };
    eprintln!(
        "  {:.0} per second, {:.0} µs CPU each",
        rate.per_second, rate.cpu_micros
    );
    rate
}

/// Logins and hashes by turns, so that the machine is in one state for both; the round with the median ratio.
fn logins(server: &Process, address: SocketAddr, rounds: usize) -> Result<Logins> {
    const EACH: u32 = 20;
    let mut memory = Memory::default();
    let mut hash = || memory.hash("bench", &[7; 16], Cost::DEFAULT);
    hash()?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        let before = server.cpu_seconds()?;
        for _ in 0..EACH {
            log_in(address)?;
        }
        let login = (server.cpu_seconds()? - before) * 1e3 / f64::from(EACH);
        let before = own_cpu_seconds()?;
        for _ in 0..EACH {
            hash()?;
        }
        let hash = (own_cpu_seconds()? - before) * 1e3 / f64::from(EACH);
        let ratio = login / hash;
        eprintln!("  {login:.2} ms CPU for a login, {hash:.2} ms for its hash");
        all.push(Logins { login, hash, ratio });
    }
    all.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    all.get(all.len() / 2).copied().context("no round")
}

fn per(seconds: f64, each: usize) -> f64 {
    seconds * 1e6 / (each * CONNECTIONS) as f64
}

fn side_by_side<T: Send>(work: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| anyhow::bail!("a thread ended badly"))
            })
            .collect()
    })
}

fn authorize_path() -> String {
    format!(
        "/realms/bench/authorize?response_type=code&client_id=bench&redirect_uri={REDIRECT}&state=s\
         &code_challenge={CHALLENGE}&code_challenge_method=S256&scope=mcp%3Atools"
    )
}

/// Logs in once by filling in the page; returns the session's cookies.
fn log_in(address: SocketAddr) -> Result<String> {
    let host = address.to_string();
    let mut connection = Connection::open(address)?;
    let mut cookies: Vec<String> = Vec::new();
    let mut path = authorize_path();
    let mut body: Option<String> = None;
    for _ in 0..8 {
        let jar = cookies.join("; ");
        let origin = format!("http://{host}");
        let mut headers = vec![
            ("Cookie", jar.as_str()),
            ("Accept-Language", "en"),
            ("Origin", origin.as_str()),
        ];
        let method = if body.is_some() { "POST" } else { "GET" };
        if body.is_some() {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let answer = connection.round_trip(&request(
            method,
            &path,
            &host,
            &headers,
            body.as_deref().unwrap_or(""),
        ))?;
        for (name, value) in &answer.headers {
            if name == "set-cookie"
                && let Some(pair) = value.split(';').next()
                && let Some((name, _)) = pair.split_once('=')
            {
                cookies.retain(|known| !known.starts_with(&format!("{name}=")));
                cookies.push(pair.to_owned());
            }
        }
        if let Some(location) = answer.header("location") {
            if location.contains("code=") {
                return Ok(cookies.join("; "));
            }
            location
                .strip_prefix(&origin)
                .unwrap_or(location)
                .clone_into(&mut path);
            body = None;
            continue;
        }
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(
            answer.status == 200,
            "the login page answered {}: {page}",
            answer.status
        );
        body = Some(filled(&page, "bench", "bench")?);
        if let Some(action) = between(&page, "action=\"", "\"").filter(|action| !action.is_empty())
        {
            let action = action.replace("&amp;", "&");
            action
                .strip_prefix(&origin)
                .unwrap_or(&action)
                .clone_into(&mut path);
        }
    }
    anyhow::bail!("logging in led nowhere")
}

fn code(connection: &mut Connection, address: SocketAddr, cookie: &str) -> Result<String> {
    let headers = [("Cookie", cookie)];
    let answer = connection.round_trip(&request(
        "GET",
        &authorize_path(),
        &address.to_string(),
        &headers,
        "",
    ))?;
    let location = answer.header("location").context("no redirect")?;
    Ok(between(location, "code=", "&")
        .context("no code")?
        .to_owned())
}

fn exchange(address: SocketAddr, codes: &[String]) -> Result<String> {
    let mut connection = Connection::open(address)?;
    let mut last = String::new();
    for code in codes {
        let body = format!(
            "grant_type=authorization_code&client_id=bench&redirect_uri={REDIRECT}&code={code}&code_verifier={VERIFIER}"
        );
        last = refresh_token(&token(&mut connection, address, &body)?)?;
    }
    Ok(last)
}

fn refresh(address: SocketAddr, token_value: &str, times: usize) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let mut current = token_value.to_owned();
    for _ in 0..times {
        let body = format!("grant_type=refresh_token&client_id=bench&refresh_token={current}");
        current = refresh_token(&token(&mut connection, address, &body)?)?;
    }
    Ok(())
}

fn token(connection: &mut Connection, address: SocketAddr, body: &str) -> Result<Answer> {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = connection.round_trip(&request(
        "POST",
        "/realms/bench/token",
        &address.to_string(),
        &headers,
        body,
    ))?;
    ensure!(
        answer.status == 200,
        "the token endpoint answered {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(answer)
}

fn refresh_token(answer: &Answer) -> Result<String> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let token = body
        .get("refresh_token")
        .and_then(serde_json::Value::as_str);
    Ok(token.context("no refresh token")?.to_owned())
}

fn configuration(address: SocketAddr, management: SocketAddr, data: &Path) -> String {
    let data = data.display();
    format!(
        r#"listeners:
  - {{ name: main, address: "{address}" }}
management: {{ address: "{management}" }}
data_directory: "{data}"
store: {{ url: "sqlite:{data}/bench.sqlite" }}
realms:
  - name: bench
    url: http://{address}/realms/bench
    scopes:
      - {{ name: "mcp:tools", kind: optional, audiences: [bench] }}
    users:
      - {{ username: bench, password: {{ danger_literal: bench }} }}
    clients:
      - client_id: bench
        name: Bench
        redirect_uris: ["http://127.0.0.1:9/callback"]
        authentication: none
        skip_consent: true
"#
    )
}
