//! `sekisho verify`: walks the authorization flow of a deployment as an outsider and reports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::clock::{Clock as _, SystemClock};
use net::egress::client::Client;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::{HostMap, Resolver, SystemResolver};
use net::egress::rules::Rules;
use verify::check::{Part, Step};
use verify::report;
use verify::session::{ClientChoice, Options, User};

use crate::cli::Verify;
use crate::commands::password;
use crate::commands::running::{AlreadySaid, runtime};
use crate::telemetry::moment;
use crate::{files, talk};

/// Runs `sekisho verify URL`.
pub(crate) fn run(options: Verify) -> anyhow::Result<()> {
    let (json, junit) = (options.json, options.junit.clone());
    let diagram = options.diagram.clone().map(Diagram::named).transpose()?;
    let walk = options_of(options)?;
    let report = runtime()?.block_on(verify::walk(walk, |finding| {
        if !json {
            talk::data(&format!("{}\n", report::text::line(finding)));
        }
    }));
    if json {
        talk::data(&format!("{}\n", report::json::render(&report)?));
    } else {
        talk::data(&format!("{}\n", report::text::summary(&report)));
    }
    if let Some(path) = junit {
        write(&path, &report::junit::render(&report))?;
    }
    if let Some(diagram) = diagram {
        let draw = |part| (diagram.render)(&report.steps_of(part));
        write(&diagram.flow, &draw(Part::Flow))?;
        write(&diagram.denials, &draw(Part::Denial))?;
    }
    if report.passed() {
        Ok(())
    } else {
        Err(AlreadySaid.into())
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    files::replace(path, text)?;
    talk::say(format_args!("wrote {}", path.display()));
    Ok(())
}

/// Where the sequence is drawn: the flow in one file, and what must be refused in another beside it.
struct Diagram {
    flow: PathBuf,
    denials: PathBuf,
    render: fn(&[&Step]) -> String,
}

impl Diagram {
    /// The format goes by the ending of the name.
    fn named(flow: PathBuf) -> anyhow::Result<Self> {
        let ending = flow.extension().and_then(|ending| ending.to_str());
        let (ending, render) = match ending {
            Some("svg") => ("svg", report::svg::render as fn(&[&Step]) -> String),
            Some("mmd") => ("mmd", report::mermaid::render as fn(&[&Step]) -> String),
            _ => bail!("`{}` ends neither in .svg nor in .mmd", flow.display()),
        };
        let denials = flow.with_extension(format!("denials.{ending}"));
        Ok(Self {
            flow,
            denials,
            render,
        })
    }
}

fn options_of(options: Verify) -> anyhow::Result<Options> {
    let first = user(options.user, options.password_file.as_deref())?;
    let other_user = user(options.other_user, options.other_password_file.as_deref())?;
    let secret = options
        .client_secret_file
        .as_deref()
        .map(password::read)
        .transpose()?;
    let client = match (options.client_id, options.redirect_uri) {
        (None, _) => ClientChoice::Automatic,
        (Some(client_id), Some(redirect_uri)) => ClientChoice::Registered {
            client_id,
            secret,
            redirect_uri,
        },
        (Some(client_id), None) => {
            let url = url::Url::parse(&client_id)
                .with_context(|| format!("`{client_id}` is not the URL of a document; a registered client needs --redirect-uri, too"))?;
            ClientChoice::Document(url)
        }
    };
    Ok(Options {
        url: options.url,
        user: first,
        other_user,
        client,
        listen: options.listen,
        scope: options.scope,
        refused_scope: options.refused_scope,
        max_wait: Duration::from_secs(options.max_wait),
        open_browser: Some(open_browser),
        tell: |words| talk::say(words),
        started: moment::rfc3339(SystemClock.now()),
        web: web(&options.ca_file, options.resolve)?,
        now: || SystemClock.now().seconds(),
    })
}

fn user(name: Option<String>, password_file: Option<&Path>) -> anyhow::Result<Option<User>> {
    match (name, password_file) {
        (Some(name), Some(path)) => Ok(Some(User {
            name,
            password: password::read(path)?,
        })),
        _ => Ok(None),
    }
}

/// The HTTP client of the walk: whoever runs it may call any address.
fn web(ca_files: &[PathBuf], hosts: Vec<(String, SocketAddr)>) -> anyhow::Result<Client> {
    let mut roots = ExtraRoots::default();
    for path in ca_files {
        let pem = files::read_text(path)?;
        roots
            .add_pem(pem.as_bytes())
            .with_context(|| format!("the file `{}` can't be used", path.display()))?;
    }
    let resolver = HostMap::new(hosts, Arc::new(Localhost(SystemResolver::default())));
    let everywhere = ["0.0.0.0/0", "::/0"]
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect();
    let rules = Rules {
        allow_networks: everywhere,
        allow_http: true,
        ports: None,
    };
    Ok(Client::new(
        Arc::new(Connector::new(Arc::new(resolver), roots)),
        rules,
    ))
}

/// Names that end in `.localhost` are on this machine, whatever the system's resolver makes of them (RFC 6761 §6.3).
struct Localhost(SystemResolver);

impl Resolver for Localhost {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        if host.ends_with(".localhost") {
            return std::future::ready(Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]))
                .boxed();
        }
        self.0.resolve(host, port)
    }
}

/// Opens the person's browser; the URL is said in any case.
fn open_browser(url: &url::Url) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    talk::say(format_args!("log in here: {url}"));
    let quiet = std::process::Stdio::null;
    let opened = std::process::Command::new(opener)
        .arg(url.as_str())
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, "no browser was opened");
    }
}
