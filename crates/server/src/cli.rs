//! The command line. Standard output is data, standard error is talk.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::id::Id;
use model::mail::MailAddress;
use model::traits::{AttributeName, Group};
use model::user::{Profile, Username};
use oauth::client_id::ClientId;

/// An MCP gateway and an OAuth 2.1 authorization server in one program.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up everything on this machine: authorization server, gateway, an MCP server behind it
    Demo(Demo),
    /// Run a configuration
    Serve(Serve),
    /// Write a small commented configuration to start from
    Init(Init),
    /// Walk the authorization flow of any MCP endpoint, good and bad cases, and explain what was seen
    Verify(Box<Verify>),
    /// Check a configuration, show it, or print its schema
    Config {
        #[command(subcommand)]
        command: Config,
    },
    /// Bring the database to the version of this program
    Migrate(Migrate),
    /// Decide whose client metadata documents are accepted, where the mode is `approval`
    Client {
        #[command(subcommand)]
        command: Client,
    },
    /// List, add, disable and delete users, and set their passwords
    User {
        #[command(subcommand)]
        command: User,
    },
    /// List the signing keys of a realm, and replace them
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// List login sessions, and end them
    Session {
        #[command(subcommand)]
        command: Session,
    },
    /// Say what targets list, and have them asked for it now
    Targets {
        #[command(subcommand)]
        command: Targets,
    },
    /// List what users have granted to clients, and take it back
    Consent {
        #[command(subcommand)]
        command: Consent,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        env = "SEKISHO_CONFIG",
        hide_env_values = true,
        default_value = "sekisho.yaml"
    )]
    pub(crate) config: PathBuf,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DemoShape {
    /// One HTTPS port with a host name for each role, certificates from a local CA
    #[arg(long)]
    pub(crate) tls: bool,
    /// The domain of the host names [default: sekisho.localhost]
    #[arg(long, value_name = "DOMAIN", requires = "tls")]
    pub(crate) domain: Option<String>,
    /// Where everything is served [default: 127.0.0.1:8480, with --tls 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the MCP server listens
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "tls",
        default_value = "127.0.0.1:8481"
    )]
    pub(crate) mcp_listen: SocketAddr,
    /// Keep data in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) shape: DemoShape,
    /// Write where everything is to this file, as JSON, when requests are answered
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Write the addresses to this file, as JSON, when requests are answered
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Begin an empty database even where its key or its lock says that there was one
    #[arg(long)]
    pub(crate) begin_empty: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to write, `-` for standard output; one that is there already is left alone
    #[arg(long, value_name = "FILE", default_value = "sekisho.yaml")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The MCP endpoint
    #[arg(value_name = "URL")]
    pub(crate) url: url::Url,
    /// Who logs in; without a user one browser window is opened
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) user: Option<String>,
    /// The file with the user's password, `-` for standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// A second user, for the questions that need two
    #[arg(long, value_name = "NAME", requires = "other_password_file")]
    pub(crate) other_user: Option<String>,
    /// The file with the second user's password
    #[arg(long, value_name = "FILE", requires = "other_user")]
    pub(crate) other_password_file: Option<PathBuf>,
    /// The URL of a client metadata document, or a registered client; without it the walk serves its own document, or
    /// registers itself where that is not taken
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// The file with the secret of a registered client
    #[arg(long, value_name = "FILE", requires = "client_id")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// A redirect URI of a registered client
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub(crate) redirect_uri: Option<url::Url>,
    /// Where to serve the walk's own client metadata document, and where the browser comes back to
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The scope to ask for, instead of what the deployment recommends
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// A scope that must not be granted
    #[arg(long, value_name = "SCOPE", default_value = "mcp:fail")]
    pub(crate) refused_scope: String,
    /// How many seconds to wait for an access token to expire
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) max_wait: u64,
    /// A CA as PEM that is trusted besides those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Look for a host at this address instead of asking DNS
    #[arg(long, value_name = "HOST=ADDRESS", value_parser = host_at)]
    pub(crate) resolve: Vec<(String, SocketAddr)>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the report as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Draw the sequence that happened, by the ending of the name as SVG or Mermaid; what must be refused goes into a second
    /// file, FILE.denials.svg or FILE.denials.mmd
    #[arg(long, value_name = "FILE.svg|FILE.mmd")]
    pub(crate) diagram: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Report everything that is wrong with a configuration
    Check(Named),
    /// Print a configuration with all its defaults, secrets left out
    Show(Show),
    /// Print the JSON Schema of the configuration
    Schema,
}

/// Where the configuration is, with or without `--config`.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The configuration file, as with --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

impl Named {
    /// The configuration file.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.file.as_deref().unwrap_or(&self.source.config)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) source: Named,
    /// Print the configuration of the demonstration instead
    #[arg(long)]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) shape: DemoShape,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Print the hosts that were asked for, and what was decided
    List(InRealm),
    /// Accept the clients of a host
    Approve(ClientHost),
    /// Refuse the clients of a host
    Deny(ClientHost),
}

#[derive(Debug, Args)]
pub(crate) struct ClientHost {
    #[command(flatten)]
    pub(crate) realm: InRealm,
    /// The host of the metadata documents
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Print the keys that are published
    List(Listing),
    /// Replace the keys: the next ones are published now and sign in a day
    Rotate(KeyRotate),
}

#[derive(Debug, Args)]
pub(crate) struct KeyRotate {
    #[command(flatten)]
    pub(crate) realm: InRealm,
    /// Somebody else may have the keys: let the next ones sign at once, and delete the others; what they signed is refused
    #[arg(long)]
    pub(crate) compromised: bool,
}

/// A realm of a configuration.
#[derive(Debug, Args)]
pub(crate) struct InRealm {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The realm; not needed where there is only one
    #[arg(long, value_name = "NAME")]
    pub(crate) realm: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Print who there is
    List(Listing),
    /// Print what is known about a user
    Show(UserShow),
    /// Add a user
    Add(UserAdd),
    /// Change a user's groups and attributes; tokens say them from the next one on
    Set(UserSet),
    /// Set a user's password; what was begun with the old one ends
    Passwd(UserPasswd),
    /// Let a user log in no more; sessions, and all that was granted to clients, end at once
    Disable(UserNamed),
    /// Let a user log in again
    Enable(UserNamed),
    /// Forget a user, with sessions, consents, and all that was granted to clients
    Delete(UserNamed),
}

/// What is to be printed.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    #[command(flatten)]
    pub(crate) realm: InRealm,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UserNamed {
    #[command(flatten)]
    pub(crate) realm: InRealm,
    /// What is typed into the login page
    #[arg(value_name = "USERNAME")]
    pub(crate) username: Username,
}

#[derive(Debug, Args)]
pub(crate) struct UserShow {
    #[command(flatten)]
    pub(crate) named: UserNamed,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UserAdd {
    #[command(flatten)]
    pub(crate) passwd: UserPasswd,
    #[command(flatten)]
    pub(crate) profile: ProfileGiven,
    #[command(flatten)]
    pub(crate) traits: TraitsGiven,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileGiven {
    /// The full name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<MailAddress>,
}

impl From<&ProfileGiven> for Profile {
    fn from(given: &ProfileGiven) -> Self {
        let mut profile = Self::default();
        profile.name.clone_from(&given.name);
        profile.email.clone_from(&given.email);
        profile
    }
}

#[derive(Debug, Args)]
pub(crate) struct TraitsGiven {
    /// A group to be in; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<Group>,
    /// An attribute; the same name several times gives it several texts
    #[arg(long = "attribute", value_name = "NAME=TEXT", value_parser = attribute)]
    pub(crate) attributes: Vec<(AttributeName, String)>,
}

fn attribute(text: &str) -> Result<(AttributeName, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=TEXT")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name, value.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct UserSet {
    #[command(flatten)]
    pub(crate) named: UserNamed,
    #[command(flatten)]
    pub(crate) traits: TraitsGiven,
    /// A group to be in no more
    #[arg(long = "no-group", value_name = "GROUP")]
    pub(crate) no_groups: Vec<Group>,
    /// An attribute to have no more
    #[arg(long = "no-attribute", value_name = "NAME")]
    pub(crate) no_attributes: Vec<AttributeName>,
}

#[derive(Debug, Args)]
pub(crate) struct UserPasswd {
    #[command(flatten)]
    pub(crate) named: UserNamed,
    /// The file with the password, `-` for standard input [default: ask on a terminal, else standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Print the login sessions
    List(OfUser),
    /// End a login session
    End(SessionEnd),
}

/// What is to be printed, of whom.
#[derive(Debug, Args)]
pub(crate) struct OfUser {
    #[command(flatten)]
    pub(crate) listing: Listing,
    /// Only those of this user
    #[arg(long, value_name = "USERNAME")]
    pub(crate) user: Option<Username>,
}

#[derive(Debug, Args)]
pub(crate) struct SessionEnd {
    #[command(flatten)]
    pub(crate) realm: InRealm,
    /// The session, as `sekisho session list` names it
    #[arg(value_name = "ID", required_unless_present = "user")]
    pub(crate) id: Option<Id<model::session::Session>>,
    /// All sessions of this user
    #[arg(long, value_name = "USERNAME", conflicts_with = "id")]
    pub(crate) user: Option<Username>,
    /// Revoke what was granted to clients in it, too, whatever the realm's `logout_ends` says
    #[arg(long)]
    pub(crate) tokens: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Targets {
    /// Print what targets list, and since when
    List(OfTargets),
    /// Ask targets what they list, and print it
    Sync(OfTargets),
}

/// What is meant of what stands behind gateways.
#[derive(Debug, Args)]
pub(crate) struct OfTargets {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Only this target
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Only the targets of this gateway
    #[arg(long, value_name = "NAME")]
    pub(crate) gateway: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Consent {
    /// Print what users have agreed to
    List(OfUser),
    /// Take back all that a user has granted to a client, with its tokens
    Revoke(ConsentRevoke),
}

#[derive(Debug, Args)]
pub(crate) struct ConsentRevoke {
    #[command(flatten)]
    pub(crate) user: UserNamed,
    /// The client, as `sekisho consent list` names it
    #[arg(value_name = "CLIENT_ID")]
    pub(crate) client_id: ClientId,
}

fn host_at(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, address) = text
        .split_once('=')
        .ok_or("expected HOST=ADDRESS, such as auth.example.com=127.0.0.1:8443")?;
    let address = address
        .parse()
        .map_err(|_| format!("`{address}` is not an IP address and a port"))?;
    Ok((host.to_owned(), address))
}
