//! What the program says about its commands, and how a command line that can't be obeyed ends.

use crate::program::{Folder, command, run};

#[test]
fn without_a_command_the_commands_are_listed() {
    let folder = Folder::new();
    insta::assert_snapshot!(run(&folder, &[], ""), @r"
    exit code: 2
    --- stdout
    --- stderr
    An MCP gateway and an OAuth 2.1 authorization server in one program

    Usage: sekisho <COMMAND>

    Commands:
      demo     Bring up everything on this machine: authorization server, gateway, an MCP server behind it
      serve    Run a configuration
      init     Write a small commented configuration to start from
      verify   Walk the authorization flow of any MCP endpoint, good and bad cases, and explain what was seen
      config   Check a configuration, show it, or print its schema
      migrate  Bring the database to the version of this program
      client   Decide whose client metadata documents are accepted, where the mode is `approval`
      user     List, add, disable and delete users, and set their passwords
      key      List the signing keys of a realm, and replace them
      session  List login sessions, and end them
      targets  Say what targets list, and have them asked for it now
      consent  List what users have granted to clients, and take it back

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
}

#[test]
fn an_unknown_command_is_a_wrong_command_line() {
    let folder = Folder::new();
    insta::assert_snapshot!(run(&folder, &["serv"], ""), @"
    exit code: 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'serv'

      tip: some similar subcommands exist: 'user', 'serve'

    Usage: sekisho <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn demo_explains_itself() {
    insta::assert_snapshot!(run(&Folder::new(), &["demo", "-h"], ""), @"
    exit code: 0
    --- stdout
    Bring up everything on this machine: authorization server, gateway, an MCP server behind it

    Usage: sekisho demo [OPTIONS]

    Options:
          --tls                   One HTTPS port with a host name for each role, certificates from a local CA
          --domain <DOMAIN>       The domain of the host names [default: sekisho.localhost]
          --listen <ADDRESS>      Where everything is served [default: 127.0.0.1:8480, with --tls 127.0.0.1:8443]
          --mcp-listen <ADDRESS>  Where the MCP server listens [default: 127.0.0.1:8481]
          --data <DIR>            Keep data in this directory
          --ready-file <FILE>     Write where everything is to this file, as JSON, when requests are answered
          --log-format <FORMAT>   How the log is written [default: text] [possible values: text, json]
      -h, --help                  Print help (see more with '--help')
    --- stderr
    ");
}

#[test]
fn serve_explains_itself() {
    insta::assert_snapshot!(run(&Folder::new(), &["serve", "-h"], ""), @"
    exit code: 0
    --- stdout
    Run a configuration

    Usage: sekisho serve [OPTIONS]

    Options:
          --config <FILE>        The configuration file [env: SEKISHO_CONFIG] [default: sekisho.yaml]
          --ready-file <FILE>    Write the addresses to this file, as JSON, when requests are answered
          --log-format <FORMAT>  How the log is written [default: text] [possible values: text, json]
      -h, --help                 Print help (see more with '--help')
    --- stderr
    ");
}

#[test]
fn verify_explains_itself() {
    insta::assert_snapshot!(run(&Folder::new(), &["verify", "-h"], ""), @"
    exit code: 0
    --- stdout
    Walk the authorization flow of any MCP endpoint, good and bad cases, and explain what was seen

    Usage: sekisho verify [OPTIONS] <URL>

    Arguments:
      <URL>  The MCP endpoint

    Options:
          --user <NAME>                  Who logs in; without a user one browser window is opened
          --password-file <FILE>         The file with the user's password, `-` for standard input
          --other-user <NAME>            A second user, for the questions that need two
          --other-password-file <FILE>   The file with the second user's password
          --client-id <ID>               The URL of a client metadata document, or a registered client; without it the walk serves its own document, or registers itself where that is not taken
          --client-secret-file <FILE>    The file with the secret of a registered client
          --redirect-uri <URL>           A redirect URI of a registered client
          --listen <ADDRESS>             Where to serve the walk's own client metadata document, and where the browser comes back to [default: 127.0.0.1:0]
          --scope <SCOPE>                The scope to ask for, instead of what the deployment recommends
          --refused-scope <SCOPE>        A scope that must not be granted [default: mcp:fail]
          --max-wait <SECONDS>           How many seconds to wait for an access token to expire [default: 0]
          --ca-file <FILE>               A CA as PEM that is trusted besides those of the system
          --resolve <HOST=ADDRESS>       Look for a host at this address instead of asking DNS
          --json                         Print the report as JSON
          --junit <FILE>                 Write the report as JUnit XML, too
          --diagram <FILE.svg|FILE.mmd>  Draw the sequence that happened, by the ending of the name as SVG or Mermaid; what must be refused goes into a second file, FILE.denials.svg or FILE.denials.mmd
      -h, --help                         Print help
    --- stderr
    ");
}

#[test]
fn verify_of_nothing_fails() {
    let ended = run(
        &Folder::new(),
        &[
            "verify",
            "http://127.0.0.1:1/mcp",
            "--user",
            "a",
            "--password-file",
            "-",
        ],
        "x",
    );
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stdout.starts_with("fail"), "{ended}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(
        &Folder::new(),
        &["demo", "--listen", &address, "--mcp-listen", "127.0.0.1:0"],
        "",
    );
    assert_eq!(ended.status.code(), Some(1));
    let said = format!(
        "error: {address} can't be listened on: address already in use; hint: choose another address with --listen\n"
    );
    assert_eq!(ended.stderr, said);
}

#[test]
fn a_log_filter_that_means_nothing_is_refused() {
    let folder = Folder::new();
    let ended = command(
        &folder,
        &[
            "demo",
            "--listen",
            "127.0.0.1:0",
            "--mcp-listen",
            "127.0.0.1:0",
        ],
    )
    .env("RUST_LOG", "auth=loud")
    .output()
    .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        String::from_utf8(ended.stderr)
            .unwrap()
            .contains("RUST_LOG")
    );
}
