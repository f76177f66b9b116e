//! `tools/call` through the gateway, through nginx, and without either.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::counts::{self, Counts};
use super::http::request;
use super::issuer::{Issuer, free_address};
use super::load::{self, Sample, Shape};
use super::process::{Process, binary, sekisho};
use super::profile::{self, Profile};
use crate::{
    install,
    shell::{self, clock},
};

/// One way to the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Bare,
    Nginx,
    NginxLogging,
    Gateway,
    /// Another build of it.
    Before,
}

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "upstream alone",
            Self::Nginx => "nginx, no log",
            Self::NginxLogging => "nginx, access log on",
            Self::Gateway => "sekisho, JWT checked",
            Self::Before => "sekisho, before",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) way: Way,
    pub(super) connections: usize,
    pub(super) sample: Sample,
    /// CPU microseconds of the proxy per request.
    pub(super) cpu: f64,
    /// Those of them in the program itself.
    pub(super) user: f64,
    pub(super) rss_mib: f64,
}

/// Everything about the data path.
#[derive(Debug)]
pub(super) struct Figures {
    /// As fast as answers come.
    /// All rows at full load, with their rounds.
    pub(super) rounds: Vec<(usize, Row)>,
    pub(super) rows: Vec<Row>,
    /// 32 connections at a fixed pace that leaves a core idle.
    pub(super) paced: Vec<Row>,
    pub(super) pace: u32,
    pub(super) idle_rss_mib: f64,
    /// What a request costs at 32 connections, if that can be counted.
    pub(super) counts: Vec<(Way, Counts)>,
    /// Where the gateway's time goes, if there is a profiler.
    pub(super) profile: Option<Profile>,
    /// From exec to the first answer of `demo`.
    pub(super) first_answer: Duration,
}

const PACE: u32 = 2000;
/// Many short rounds: whatever else a machine does comes and goes by seconds.
const ROUNDS: usize = 9;
const LENGTH: Duration = Duration::from_secs(2);

/// `before` is another build to measure in the same run.
pub(super) fn measure(
    folder: &Path,
    quick: bool,
    hold: bool,
    before: Option<&Path>,
) -> Result<Figures> {
    let issuer = Issuer::start()?;
    let upstream_address = free_address()?;
    let gateway_address = free_address()?;
    let nginx_address = free_address()?;

    let upstream_config = folder.join("upstream.yaml");
    shell::write(
        &upstream_config,
        &upstream(upstream_address, free_address()?),
    )?;
    let start_gateway =
        |name: &str, program: &mut Command, address: SocketAddr| -> Result<Process> {
            let config = folder.join(name);
            let text = gateway(
                address,
                free_address()?,
                upstream_address,
                &issuer.discovery_url(),
            );
            shell::write(&config, &text)?;
            let mut process = Process::start(program.args(["serve", "--config"]).arg(&config))?;
            process.await_port(address)?;
            Ok(process)
        };
    let logging_address = free_address()?;

    let mut upstream = Process::start(sekisho().args(["serve", "--config"]).arg(&upstream_config))?;
    upstream.await_port(upstream_address)?;
    let nginx = start_nginx(folder, "nginx", nginx_address, upstream_address, false)?;
    let logging = start_nginx(folder, "logging", logging_address, upstream_address, true)?;
    let gateway = start_gateway("gateway.yaml", &mut sekisho(), gateway_address)?;
    let before_address = free_address()?;
    let before = before
        .map(|file| start_gateway("before.yaml", &mut Command::new(file), before_address))
        .transpose()?;
    std::thread::sleep(Duration::from_secs(2));
    let idle_rss_mib = gateway.rss_mib()?;

    let authorization = format!("Bearer {}", issuer.token()?);
    let mut ways = vec![
        (Way::Bare, upstream_address, &upstream),
        (Way::Nginx, nginx_address, &nginx),
        (Way::NginxLogging, logging_address, &logging),
        (Way::Gateway, gateway_address, &gateway),
    ];
    ways.extend(
        before
            .as_ref()
            .map(|before| (Way::Before, before_address, before)),
    );
    if hold {
        hold_still(folder, &authorization, &ways)?;
    }
    let mut rows = Vec::new();
    let mut paced = Vec::new();
    for round in 0..if quick { 1 } else { ROUNDS } {
        for connections in [1, 32, 128] {
            for &(way, address, process) in &ways {
                let shape = Shape {
                    connections,
                    length: LENGTH,
                    pace: None,
                };
                rows.push((
                    round,
                    row(
                        way,
                        address,
                        process,
                        &call(address, &authorization, "add_numbers"),
                        shape,
                    )?,
                ));
            }
        }
        for &(way, address, process) in &ways {
            let shape = Shape {
                connections: 32,
                length: LENGTH,
                pace: Some(PACE),
            };
            paced.push((
                round,
                row(
                    way,
                    address,
                    process,
                    &call(address, &authorization, "add_numbers"),
                    shape,
                )?,
            ));
        }
    }
    let profile = profiled(folder, gateway_address, &gateway, &authorization)?;
    let mut counts = Vec::new();
    for &(way, address, process) in &ways {
        let request = call(address, &authorization, "add_numbers");
        let counted = counted(folder, way, address, process, &request)?;
        counts.extend(counted.map(|counts| (way, counts)));
    }
    drop(gateway);
    Ok(Figures {
        rows: medians(&rows),
        rounds: rows,
        paced: medians(&paced),
        pace: PACE,
        idle_rss_mib,
        counts,
        profile,
        first_answer: first_answer(folder)?,
    })
}

fn row(
    way: Way,
    address: SocketAddr,
    process: &Process,
    request: &[u8],
    shape: Shape,
) -> Result<Row> {
    // Connections and caches are warm before the clock starts.
    let warm = Shape {
        length: Duration::from_millis(500),
        ..shape
    };
    load::run(address, request, EXPECTED, warm)?;
    let before = process.used()?;
    let sample = load::run(address, request, EXPECTED, shape)?;
    let after = process.used()?;
    let each = |before: f64, after: f64| (after - before) / sample.requests as f64;
    let user = each(before.user, after.user) * 1e6;
    let cpu = user + each(before.system, after.system) * 1e6;
    eprintln!(
        "  {:<28} {:>3} connections  {:>7.0}/s  p50 {:>6} µs  p99 {:>6} µs  {:>6.1} µs CPU, {:>5.1} of it its own",
        way.name(),
        shape.connections,
        sample.rate(),
        sample.p50.as_micros(),
        sample.p99.as_micros(),
        cpu,
        user
    );
    Ok(Row {
        way,
        connections: shape.connections,
        sample,
        cpu,
        user,
        rss_mib: process.rss_mib()?,
    })
}

fn counted(
    folder: &Path,
    way: Way,
    address: SocketAddr,
    process: &Process,
    request: &[u8],
) -> Result<Option<Counts>> {
    const LENGTH: Duration = Duration::from_secs(3);
    let ours = (way == Way::Gateway).then(binary);
    counts::during(process, ours.as_deref(), folder, LENGTH, || {
        let shape = Shape {
            connections: 32,
            length: LENGTH,
            pace: None,
        };
        Ok(load::run(address, request, EXPECTED, shape)?.requests)
    })
}

/// Where the time of the gateway goes under load.
fn profiled(
    folder: &Path,
    address: SocketAddr,
    gateway: &Process,
    authorization: &str,
) -> Result<Option<Profile>> {
    const LENGTH: Duration = Duration::from_secs(5);
    let request = call(address, authorization, "add_numbers");
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let shape = Shape {
                connections: 32,
                length: LENGTH + Duration::from_secs(1),
                pace: None,
            };
            load::run(address, &request, EXPECTED, shape)
        });
        let profile = profile::of(gateway, folder, LENGTH);
        load.join()
            .map_err(|_| anyhow::anyhow!("the load broke down"))??;
        profile
    })
}

fn start_nginx(
    folder: &Path,
    name: &str,
    address: SocketAddr,
    upstream: SocketAddr,
    logs: bool,
) -> Result<Process> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("nginx.conf");
    shell::write(&configuration, &nginx(address, upstream, &folder, logs))?;
    let mut process = Process::start(
        shell::command(install::nginx()?)
            .arg("-c")
            .arg(&configuration)
            .arg("-p")
            .arg(&folder),
    )?;
    process.await_port(address)?;
    Ok(process)
}

/// Of several rounds, the row with the median CPU cost for each way and number of connections.
fn medians(rows: &[(usize, Row)]) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    for (_, row) in rows {
        if out
            .iter()
            .any(|known| known.way == row.way && known.connections == row.connections)
        {
            continue;
        }
        let mut same: Vec<Row> = rows
            .iter()
            .map(|(_, other)| *other)
            .filter(|other| other.way == row.way && other.connections == row.connections)
            .collect();
        same.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
        out.extend(same.get(same.len() / 2));
    }
    out
}

/// What the answer to 2 + 3 contains.
pub(crate) const EXPECTED: &[u8] = br#""text":"5""#;

/// A call of a tool that adds 2 and 3.
pub(crate) fn call(address: SocketAddr, authorization: &str, tool: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"a":2,"b":3}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}},"io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}}}}}}}}"#
    );
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", tool),
        ("Authorization", authorization),
    ];
    request("POST", "/mcp", &address.to_string(), &headers, &body)
}

/// Start-up of the whole demo, until its metadata is served.
fn first_answer(folder: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let (address, mcp) = (free_address()?, free_address()?);
        let ready = folder.join("ready.json");
        let started = clock();
        let mut demo = Process::start(
            sekisho()
                .args([
                    "demo",
                    "--listen",
                    &address.to_string(),
                    "--mcp-listen",
                    &mcp.to_string(),
                ])
                .arg("--ready-file")
                .arg(&ready),
        )?;
        demo.await_port(address)?;
        let path = "/realms/mcp-demo/.well-known/openid-configuration";
        let answer = super::http::Connection::open(address)?.round_trip(&request(
            "GET",
            path,
            &address.to_string(),
            &[],
            "",
        ))?;
        anyhow::ensure!(answer.status == 200, "the demo answered {}", answer.status);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no runs")
}

/// The configuration of the demonstration's MCP server alone.
pub(crate) fn upstream(address: SocketAddr, management: SocketAddr) -> String {
    format!(
        "listeners: []\nmanagement: {{ address: \"{management}\" }}\nstore: {{ url: \"sqlite::memory:\" }}\n\
         demo_mcp_server: {{ address: \"{address}\" }}\n"
    )
}

/// Says where everything is and which request to send, and leaves the rest to somebody with a profiler.
fn hold_still(
    folder: &Path,
    authorization: &str,
    ways: &[(Way, SocketAddr, &Process)],
) -> Result<()> {
    for &(way, address, process) in ways {
        let file = folder.join(format!("{way:?}.http"));
        std::fs::write(&file, call(address, authorization, "add_numbers"))?;
        println!("{way:?} {address} {} {}", process.id(), file.display());
    }
    loop {
        std::thread::park();
    }
}

fn gateway(
    address: SocketAddr,
    management: SocketAddr,
    upstream: SocketAddr,
    discovery: &str,
) -> String {
    format!(
        r#"listeners:
  - {{ name: main, address: "{address}" }}
management: {{ address: "{management}" }}
store: {{ url: "sqlite::memory:" }}
worker_threads: 1
egress: {{ allow_networks: ["127.0.0.0/8"] }}
gateways:
  - name: bench
    url: http://{address}/mcp
    tool_names: bare
    authorizer:
      discovery_url: {discovery}
      allowed_audiences: [bench]
      allowed_scopes: ["mcp:tools"]
    targets:
      - {{ name: upstream, mcp: {{ url: "http://{upstream}/mcp" }} }}
"#
    )
}

fn nginx(address: SocketAddr, upstream: SocketAddr, folder: &Path, logs: bool) -> String {
    let folder = folder.display();
    let log = if logs {
        format!("{folder}/access.log combined buffer=64k")
    } else {
        "off".to_owned()
    };
    format!(
        "worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log {log};\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
         fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
         upstream mcp {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}\n  \
         server {{\n    listen {address};\n    keepalive_requests 1000000;\n    location / {{\n      proxy_pass http://mcp;\n      \
         proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
    )
}
