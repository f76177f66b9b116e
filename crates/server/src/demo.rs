//! The demonstration: an ordinary configuration, and what to tell the person who started it.

pub(crate) mod mcp_server;
pub(crate) mod words;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::demo::words::Places;

/// The host names below this domain are used when none is given.
pub(crate) const DOMAIN: &str = "sekisho.localhost";

/// What can be chosen about the demonstration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where everything is served.
    pub(crate) listen: SocketAddr,
    /// One HTTPS port with a host name for each role, below this domain; or plain HTTP on one address.
    pub(crate) shape: Shape,
    /// Where data is kept; without it, it ends with the process.
    pub(crate) data: Option<PathBuf>,
}

/// The two shapes of the demonstration.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Everything on one plain address, and the MCP server on one of its own.
    Plain {
        /// Where the MCP server listens.
        mcp_listen: SocketAddr,
    },
    /// Everything on one HTTPS port, by host name.
    Tls {
        /// The domain of the host names.
        domain: String,
        /// Where the local CA is kept when `data` does not say.
        home: PathBuf,
    },
}

impl Settings {
    /// Where everything is.
    pub(crate) fn places(&self) -> Places {
        let (mcp_endpoint, issuer, document, mcp_server) = match &self.shape {
            Shape::Plain { mcp_listen } => {
                let origin = format!("http://{}", reachable(self.listen));
                (
                    format!("{origin}/mcp"),
                    format!("{origin}/realms/mcp-demo"),
                    format!("{origin}/oauth/client-metadata.json"),
                    format!("http://{}/mcp", reachable(*mcp_listen)),
                )
            }
            Shape::Tls { domain, .. } => {
                let port = match self.listen.port() {
                    443 => String::new(),
                    port => format!(":{port}"),
                };
                (
                    format!("https://gateway.{domain}{port}/mcp"),
                    format!("https://auth.{domain}{port}/realms/mcp-demo"),
                    format!("https://cimd.{domain}{port}/oauth/client-metadata.json"),
                    format!("https://mcp-server.{domain}{port}/mcp"),
                )
            }
        };
        let ca_certificate = match &self.shape {
            Shape::Plain { .. } => None,
            Shape::Tls { home, .. } => {
                Some(self.data.as_deref().unwrap_or(home).join("local-ca.pem"))
            }
        };
        words::commands(Places {
            mcp_endpoint,
            issuer,
            client_metadata_document: document,
            username: "alice",
            password: "alice",
            scope: "mcp:tools",
            mcp_server,
            ca_certificate,
            inspector_command: String::new(),
            python_command: String::new(),
            verify_command: String::new(),
            dangers: self.dangers(),
        })
    }

    /// What others can do, where they can call.
    fn dangers(&self) -> Vec<String> {
        let mut all = Vec::new();
        if !self.listen.ip().is_loopback() {
            all.push(format!(
                "whoever can reach {} can log in as alice / alice and bob / bob",
                self.listen
            ));
            all.push(format!(
                "they can make this program fetch client metadata documents from {}",
                self.own_networks()
            ));
        }
        if let Shape::Plain { mcp_listen } = &self.shape
            && !mcp_listen.ip().is_loopback()
        {
            all.push(format!(
                "whoever can reach {mcp_listen} can use the MCP server without a token"
            ));
        }
        all
    }

    /// The configuration as a file that `sekisho serve --config` runs.
    pub(crate) fn configuration(&self) -> String {
        let places = self.places();
        let tls = match &self.shape {
            Shape::Plain { .. } => "",
            Shape::Tls { .. } => {
                "    tls: { local_ca: true }   # certificates for all host names below, from a CA in the data directory\n"
            }
        };
        let demo_mcp_server = match &self.shape {
            Shape::Plain { mcp_listen } => format!("address: {}", quoted(&mcp_listen.to_string())),
            Shape::Tls { .. } => format!("url: {}", quoted(&places.mcp_server)),
        };
        format!(
            r#"# The demonstration as an ordinary configuration: `sekisho serve --config FILE` runs it.
# `sekisho config schema` describes every key.

listeners:
  - name: main
    address: {listen}
{tls}
# Health and metrics, on a free port that is printed at start-up.
management: {{ address: "127.0.0.1:0" }}

{keeping}{outgoing}
realms:
  - name: mcp-demo
    url: {issuer}
    scopes:
      - {{ name: profile, kind: default }}
      - {{ name: email, kind: default }}
      - name: mcp:tools
        kind: optional
        consent_text: Use the tools of the MCP server
        audiences: [mcp-gateway-demo]   # what the gateway asks for in a token
    resources:
      - {{ uri: {endpoint}, default_scopes: [mcp:tools] }}
    users:
      - {{ username: alice, password: {{ danger_literal: alice }}, name: Alice Example, email: alice@example.com }}
      - {{ username: bob, password: {{ danger_literal: bob }}, name: Bob Example, email: bob@example.com }}
    cimd:
      mode: open   # anybody's client; the user decides on the consent page
{cimd}    registration:
      mode: open   # clients on this machine that have no metadata document register themselves
      private_schemes: [cursor]

# The metadata document of the client. Its URL is the `client_id`; nobody registers it anywhere.
documents:
  - url: {document}
    document:
      client_name: MCP Inspector AWS CIMD Client
      grant_types: [authorization_code, refresh_token]
      response_types: [code]
      token_endpoint_auth_method: none
      redirect_uris:   # where Inspector, mcp-remote, fastmcp, Claude Code, mcp-use and opencode listen; the port is free
        - http://localhost:6274/oauth/callback
        - http://127.0.0.1:6274/oauth/callback
        - http://localhost/callback
        - http://127.0.0.1/callback
        - http://localhost/mcp/oauth/callback
        - http://127.0.0.1/mcp/oauth/callback
        - http://localhost/
        - http://127.0.0.1/

gateways:
  - name: demo
    url: {endpoint}
    authorizer:
      discovery_url: {discovery}
      allowed_audiences: [mcp-gateway-demo]
      allowed_scopes: [mcp:tools]
    targets:
      - {{ name: my-mcp-server, mcp: {{ url: {mcp_server} }} }}

# The MCP server behind the gateway: add_numbers, multiply_numbers, greet_user.
demo_mcp_server: {{ {demo_mcp_server} }}
"#,
            listen = quoted(&self.listen.to_string()),
            keeping = self.keeping(),
            outgoing = self.outgoing(),
            discovery = quoted(&format!(
                "{}/.well-known/openid-configuration",
                places.issuer
            )),
            issuer = quoted(&places.issuer),
            endpoint = quoted(&places.mcp_endpoint),
            document = quoted(&places.client_metadata_document),
            mcp_server = quoted(&places.mcp_server),
            cimd = self.strangers(),
        )
    }

    /// Where data is kept.
    fn keeping(&self) -> String {
        let directory = match (&self.data, &self.shape) {
            (Some(data), _) => Some(data),
            (None, Shape::Tls { home, .. }) => Some(home),
            (None, Shape::Plain { .. }) => None,
        };
        let directory = directory
            .map(|path| format!("data_directory: {}\n", quoted(&path.to_string_lossy())))
            .unwrap_or_default();
        let store = if self.data.is_none() {
            "store: { url: \"sqlite::memory:\" }   # ends with the process\n"
        } else {
            ""
        };
        format!("{directory}{store}")
    }

    /// What the program itself may call.
    fn outgoing(&self) -> String {
        let networks = format!(
            "egress:\n  allow_networks: {}   # issuer and MCP server are on this machine\n",
            self.own_networks()
        );
        let Shape::Tls { domain, .. } = &self.shape else {
            return networks;
        };
        let address = quoted(&reachable(self.listen).to_string());
        let host = |role: &str| format!("    {role}.{domain}: {address}\n");
        let hosts = ["auth", "cimd", "mcp-server", "gateway"].map(host).concat();
        format!("{networks}  hosts:   # instead of DNS\n{hosts}")
    }

    /// The networks where this machine finds itself.
    fn own_networks(&self) -> String {
        let mut networks = vec!["127.0.0.0/8".to_owned(), quoted("::1/128")];
        let mcp_listen = match &self.shape {
            Shape::Plain { mcp_listen } => Some(*mcp_listen),
            Shape::Tls { .. } => None,
        };
        let addresses = [Some(self.listen), mcp_listen];
        for ip in addresses
            .into_iter()
            .flatten()
            .map(|address| reachable(address).ip())
        {
            let network = quoted(&ipnet::IpNet::from(ip).to_string());
            if !ip.is_loopback() && !networks.contains(&network) {
                networks.push(network);
            }
        }
        format!("[ {} ]", networks.join(", "))
    }

    /// What strangers may make the program call.
    fn strangers(&self) -> String {
        let networks = format!(
            "      danger_allow_networks: {}   # documents are fetched from this machine\n",
            self.own_networks()
        );
        match &self.shape {
            Shape::Plain { .. } => format!(
                "      allow_http: true   # a real deployment insists on https\n      danger_any_port: true\n{networks}"
            ),
            Shape::Tls { .. } => {
                format!("      ports: [ 443, {} ]\n{networks}", self.listen.port())
            }
        }
    }
}

/// The address as a client on this machine would call it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A YAML text that can't be misread.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where files of a user's own go when nobody says; nowhere, for somebody without a home. A directory that others share
/// is no place for a CA: whoever made it first could read its key.
pub(crate) fn home(environment: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let below = |variable: &str, rest: &str| {
        environment(variable)
            .filter(|value| Path::new(value).is_absolute())
            .map(|value| Path::new(&value).join(rest))
    };
    if cfg!(windows) {
        below("LOCALAPPDATA", "sekisho")
    } else if cfg!(target_os = "macos") {
        below("HOME", "Library/Application Support/sekisho")
    } else {
        below("XDG_DATA_HOME", "sekisho").or_else(|| below("HOME", ".local/share/sekisho"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    use crate::wire::plan::Plan;

    fn plan(listen: &str, shape: Shape) -> (String, Plan) {
        let settings = Settings {
            listen: listen.parse().unwrap(),
            shape,
            data: None,
        };
        let text = settings.configuration();
        let loaded = Loaded::parse(&text, "demo", PathBuf::new()).unwrap();
        (text, Plan::new(loaded).unwrap())
    }

    #[test]
    fn every_address_makes_a_valid_configuration() {
        for listen in [
            "127.0.0.1:8480",
            "0.0.0.0:80",
            "[::1]:8480",
            "[::]:8480",
            "192.0.2.7:8480",
        ] {
            let mcp_listen = "127.0.0.1:8481".parse().unwrap();
            let (text, _) = plan(listen, Shape::Plain { mcp_listen });
            assert_eq!(
                text.contains("192.0.2.7/32"),
                listen.starts_with("192"),
                "{text}"
            );
        }
    }

    #[test]
    fn whoever_can_be_reached_by_others_is_told_what_they_can_do() {
        let dangers = |listen: &str, mcp_listen: &str| {
            let settings = Settings {
                listen: listen.parse().unwrap(),
                shape: Shape::Plain {
                    mcp_listen: mcp_listen.parse().unwrap(),
                },
                data: None,
            };
            words::introduction(&settings.places())
                .lines()
                .filter_map(|line| Some(line.strip_prefix("DANGER")?.trim().to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(dangers("127.0.0.1:8480", "127.0.0.1:8481"), [""; 0]);
        assert_eq!(dangers("[::1]:8480", "127.0.0.2:8481"), [""; 0]);
        assert_eq!(
            dangers("0.0.0.0:8480", "192.0.2.7:8481"),
            [
                "whoever can reach 0.0.0.0:8480 can log in as alice / alice and bob / bob",
                "they can make this program fetch client metadata documents from [ 127.0.0.0/8, \"::1/128\", \"192.0.2.7/32\" ]",
                "whoever can reach 192.0.2.7:8481 can use the MCP server without a token",
            ]
        );
    }

    // SEC-70
    #[test]
    fn whoever_has_no_home_keeps_nothing_in_a_shared_directory() {
        assert_eq!(home(|_| None), None);
        assert_eq!(home(|_| Some("relative".to_owned())), None);
        let own = home(|_| Some("/home/alice".to_owned())).unwrap();
        assert!(own.starts_with("/home/alice"), "{own:?}");
    }

    #[test]
    fn the_port_of_https_is_not_spelled() {
        let shape = Shape::Tls {
            domain: "example.test".to_owned(),
            home: PathBuf::from("/tmp/home"),
        };
        let (_, plan) = plan("0.0.0.0:443", shape);
        let realm = &plan.realms.first().unwrap().realm;
        assert_eq!(
            realm.issuer.as_str(),
            "https://auth.example.test/realms/mcp-demo"
        );
    }
}
