//! What each command prints, and how it ends.

use crate::program::{Folder, Program, command, free_port, run};

#[test]
fn without_a_command_the_commands_are_listed() {
    let folder = Folder::new();
    insta::assert_snapshot!(run(&folder, &[], ""), @"
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
      session  List login sessions, and end them
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
fn serve_without_a_configuration_says_how_to_get_one() {
    insta::assert_snapshot!(run(&Folder::new(), &["serve"], ""), @"
    exit code: 64
    --- stdout
    --- stderr
    sekisho.yaml: no such file or directory
      hint: `sekisho init` writes one to start from
    1 problem in the configuration
    ");
}

#[test]
fn a_wrong_configuration_is_reported_whole_and_ends_with_64() {
    let folder = Folder::new();
    folder.write(
        "wrong.yaml",
        r#"listeners:
  - { name: main, address: "127.0.0.1:8480" }
  - { name: secure, address: "127.0.0.1:8443", tls: { certificate_file: no.crt, key_file: no.key } }
egress: { extra_ca_files: [ no-ca.pem ] }
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    scopes: [ { name: "two words" } ]
    users: [ { username: alice, password: { env: SEKISHO_TEST_UNSET } }, { username: bob, password: { file: nowhere } } ]
    clients:
      - { client_id: a, redirect_uris: [ "http://example.com/cb", "not a url" ] }
documents:
  - url: http://127.0.0.1:8480/client.json
    document: { client_name: x, redirect_uris: [], client_secret: y }
gateways:
  - name: demo
    url: http://127.0.0.1:8480/mcp
    authorizer: { discovery_url: "http://127.0.0.1:8480/realms/demo", allowed_audiences: [ a ] }
    allowed_origins: [ "https://app.example.com/" ]
    resource_policy: { Version: "2012-10-17", Statement: [ { Effect: Alow, Principal: "*", Action: "*", Resource: "*" } ] }
"#,
    );
    insta::assert_snapshot!(run(&folder, &["config", "check", "wrong.yaml"], ""), @r#"
    exit code: 64
    --- stdout
    --- stderr
    wrong.yaml:3: listeners[1].tls.certificate_file: the file `no.crt` can't be read: no such file or directory
    wrong.yaml:3: listeners[1].tls.key_file: the file `no.key` can't be read: no such file or directory
    wrong.yaml:4: egress.extra_ca_files[0]: the file `no-ca.pem` can't be read: no such file or directory
    wrong.yaml:8: realms[0].scopes[0].name: `two words` can't be used: a scope contains a character that RFC 6749 §3.3 does not permit
    wrong.yaml:9: realms[0].users[0].password: the environment variable `SEKISHO_TEST_UNSET` is not set
    wrong.yaml:9: realms[0].users[1].password: the file `nowhere` can't be read: no such file or directory
    wrong.yaml:11: realms[0].clients[0].redirect_uris[0]: `http://example.com/cb` can't be used: a redirect URI with `http` must point to localhost, 127.0.0.1 or [::1]
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    wrong.yaml:11: realms[0].clients[0].redirect_uris[1]: `not a url` can't be used: the redirect URI contains a space, a control character or a character outside ASCII
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    wrong.yaml:14: documents[0].document: the client metadata document lacks the property `redirect_uris`
    wrong.yaml:17: gateways[0].url: realm `demo` makes no tokens for `http://127.0.0.1:8480/mcp`: it is not among its `resources`
      hint: MCP clients ask for it by name (RFC 8707): add { uri: "http://127.0.0.1:8480/mcp" }
    wrong.yaml:18: gateways[0].authorizer.allowed_audiences: no token of realm `demo` is for any of these
      hint: its resources and the `audiences` of its scopes are 
    wrong.yaml:18: gateways[0].authorizer.discovery_url: `http://127.0.0.1:8480/realms/demo` is not the URL of a discovery document
      hint: it has /.well-known/openid-configuration or /.well-known/oauth-authorization-server in it
    wrong.yaml:19: gateways[0].allowed_origins[0]: `https://app.example.com/` is not the origin of a web page
      hint: write scheme, host and port as a browser does: https://app.example.com, chrome-extension://abcdefgh
    wrong.yaml:20: gateways[0].resource_policy.Statement[0].Action: unknown value `*`, known: `bedrock-agentcore:InvokeGateway`, `sekisho:InvokeGateway`
    wrong.yaml:20: gateways[0].resource_policy.Statement[0].Effect: unknown value `Alow`, known: `Allow`, `Deny`
    15 problems in the configuration
    "#);
    let served = run(&folder, &["serve", "--config", "wrong.yaml"], "");
    assert_eq!(served.status.code(), Some(64));
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_says_which_urls_matter() {
    let folder = Folder::new();
    let ended = run(&folder, &["init"], "");
    let said = ended
        .to_string()
        .replace(env!("CARGO_BIN_EXE_sekisho"), "sekisho");
    insta::assert_snapshot!(said, @"
    exit code: 0
    --- stdout
    MCP endpoint    http://127.0.0.1:8480/mcp
    Issuer          http://127.0.0.1:8480/realms/main
    Health, metrics http://127.0.0.1:9480/metrics
    --- stderr
    wrote sekisho.yaml; next:
      sekisho user add alice --config sekisho.yaml     (asks for a password)
      sekisho serve --config sekisho.yaml
      sekisho verify http://127.0.0.1:8480/mcp --client-id first-try --redirect-uri http://127.0.0.1/callback     (in another terminal; opens a browser to log in)
    ");
    insta::assert_snapshot!(run(&folder, &["config", "check"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    warning: egress.allow_networks: URLs of this configuration may lead to these networks
    sekisho.yaml is valid
    ");
    insta::assert_snapshot!(run(&folder, &["init"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: the file `sekisho.yaml` can't be written: file exists
    ");
}

#[test]
fn show_fills_in_the_defaults_and_leaves_out_the_secrets() {
    let folder = Folder::new();
    folder.write(
        "small.yaml",
        r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
store: { url: "postgres://sekisho:hush@db.example/sekisho" }
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    users: [ { username: alice, password: { danger_literal: hush } } ]
    clients:
      - { client_id: a, redirect_uris: [ "http://localhost/cb" ], authentication: client_secret_post, secret: { danger_literal: hush } }
gateways:
  - name: demo
    url: http://127.0.0.1:8480/mcp
    authorizer: { discovery_url: "https://as.example/.well-known/openid-configuration", allowed_audiences: [ a ] }
    targets: [ { name: hosted, mcp: { url: "https://mcp.example/mcp?apiKey=hush&b=hush" } } ]
"#,
    );
    insta::assert_snapshot!(run(&folder, &["config", "show", "small.yaml"], ""), @r#"
    exit code: 0
    --- stdout
    listeners:
    - name: main
      address: 127.0.0.1:8480
      forwarded_by: x_forwarded
    management:
      address: 127.0.0.1:9480
    connections:
      least_body_rate: 1024
    shutdown:
      lame_duck: 0s
      drain: 25s
    data_directory: sekisho-data
    store:
      url: postgres://sekisho:…@db.example/sekisho
    egress: {}
    realms:
    - name: demo
      url: http://127.0.0.1:8480/realms/demo
      signing_algorithm: ES256
      lifetimes:
        code: 1m
        access_token: 10m
        refresh_idle: 14d
        refresh_absolute: 90d
        refresh_grace: 2m
        session_idle: 30m
        session_absolute: 10h
      scopes: []
      resources: []
      users:
      - username: alice
        password:
          danger_literal: …
      users_removed: disable
      min_password_length: 8
      logout_ends: session
      clients:
      - client_id: a
        redirect_uris:
        - http://localhost/cb
        authentication: client_secret_post
        secret:
          danger_literal: …
      cimd:
        mode: "off"
        restrict_same_domain: false
        required_properties:
        - client_id
        - client_name
        - redirect_uris
        only_confidential: false
        ports:
        - 443
        cache:
          min: 1m
          max: 1d
      registration:
        mode: "off"
        unused_per_address: 50
        unused: 1000
    gateways:
    - name: demo
      url: http://127.0.0.1:8480/mcp
      authorizer:
        discovery_url: https://as.example/.well-known/openid-configuration
        allowed_audiences:
        - a
        allowed_scopes: []
      tool_names: prefixed
      targets:
      - name: hosted
        mcp:
          url: https://mcp.example/mcp?apiKey=…&b=…
        timeouts:
          connect: 5s
          handshake: 10s
          answer: 5m
          idle: 5m
          total: 1h
        limits:
          calls: 256
        circuit_breaker:
          failures: 10
          pause: 2s
        list_max_age: 30s
    --- stderr
    "#);
}

#[test]
fn the_configuration_of_the_demonstration_is_shown_and_valid() {
    let folder = Folder::new();
    let shown = run(&folder, &["config", "show", "--demo"], "");
    folder.write("demo.yaml", &shown.stdout);
    insta::assert_snapshot!(shown, @r#"
    exit code: 0
    --- stdout
    # The demonstration as an ordinary configuration: `sekisho serve --config FILE` runs it.
    # `sekisho config schema` describes every key.

    listeners:
      - name: main
        address: "127.0.0.1:8480"

    # Health and metrics, on a free port that is printed at start-up.
    management: { address: "127.0.0.1:0" }

    store: { url: "sqlite::memory:" }   # ends with the process
    egress:
      allow_networks: [ 127.0.0.0/8, "::1/128" ]   # issuer and MCP server are on this machine

    realms:
      - name: mcp-demo
        url: "http://127.0.0.1:8480/realms/mcp-demo"
        scopes:
          - { name: profile, kind: default }
          - { name: email, kind: default }
          - name: mcp:tools
            kind: optional
            consent_text: Use the tools of the MCP server
            audiences: [mcp-gateway-demo]   # what the gateway asks for in a token
        resources:
          - { uri: "http://127.0.0.1:8480/mcp", default_scopes: [mcp:tools] }
        users:
          - { username: alice, password: { danger_literal: alice }, name: Alice Example, email: alice@example.com }
          - { username: bob, password: { danger_literal: bob }, name: Bob Example, email: bob@example.com }
        cimd:
          mode: open   # anybody's client; the user decides on the consent page
          allow_http: true   # a real deployment insists on https
          danger_any_port: true
          danger_allow_networks: [ 127.0.0.0/8, "::1/128" ]   # documents are fetched from this machine
        registration:
          mode: open   # clients on this machine that have no metadata document register themselves
          private_schemes: [cursor]

    # The metadata document of the client. Its URL is the `client_id`; nobody registers it anywhere.
    documents:
      - url: "http://127.0.0.1:8480/oauth/client-metadata.json"
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
        url: "http://127.0.0.1:8480/mcp"
        authorizer:
          discovery_url: "http://127.0.0.1:8480/realms/mcp-demo/.well-known/openid-configuration"
          allowed_audiences: [mcp-gateway-demo]
          allowed_scopes: [mcp:tools]
        targets:
          - { name: my-mcp-server, mcp: { url: "http://127.0.0.1:8481/mcp" } }

    # The MCP server behind the gateway: add_numbers, multiply_numbers, greet_user.
    demo_mcp_server: { address: "127.0.0.1:8481" }
    --- stderr
    "#);
    insta::assert_snapshot!(run(&folder, &["config", "check", "demo.yaml"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    warning: egress.allow_networks: URLs of this configuration may lead to these networks
    warning: realms[0].users[0].password.danger_literal and 1 more: a secret stands in the configuration itself
    warning: realms[0].cimd.allow_http: client identifiers may be plain http
    warning: realms[0].cimd.danger_any_port: client metadata is fetched from any port
    warning: realms[0].cimd.danger_allow_networks: strangers can make this program call these networks
    demo.yaml is valid
    ");
}

#[test]
fn the_configuration_of_the_demonstration_with_tls_is_shown_and_valid() {
    let folder = Folder::new();
    let shown = run(
        &folder,
        &[
            "config",
            "show",
            "--demo",
            "--tls",
            "--domain",
            "example.test",
            "--data",
            "/var/lib/sekisho",
        ],
        "",
    );
    folder.write("demo.yaml", &shown.stdout);
    insta::assert_snapshot!(shown, @r#"
    exit code: 0
    --- stdout
    # The demonstration as an ordinary configuration: `sekisho serve --config FILE` runs it.
    # `sekisho config schema` describes every key.

    listeners:
      - name: main
        address: "127.0.0.1:8443"
        tls: { local_ca: true }   # certificates for all host names below, from a CA in the data directory

    # Health and metrics, on a free port that is printed at start-up.
    management: { address: "127.0.0.1:0" }

    data_directory: "/var/lib/sekisho"
    egress:
      allow_networks: [ 127.0.0.0/8, "::1/128" ]   # issuer and MCP server are on this machine
      hosts:   # instead of DNS
        auth.example.test: "127.0.0.1:8443"
        cimd.example.test: "127.0.0.1:8443"
        mcp-server.example.test: "127.0.0.1:8443"
        gateway.example.test: "127.0.0.1:8443"

    realms:
      - name: mcp-demo
        url: "https://auth.example.test:8443/realms/mcp-demo"
        scopes:
          - { name: profile, kind: default }
          - { name: email, kind: default }
          - name: mcp:tools
            kind: optional
            consent_text: Use the tools of the MCP server
            audiences: [mcp-gateway-demo]   # what the gateway asks for in a token
        resources:
          - { uri: "https://gateway.example.test:8443/mcp", default_scopes: [mcp:tools] }
        users:
          - { username: alice, password: { danger_literal: alice }, name: Alice Example, email: alice@example.com }
          - { username: bob, password: { danger_literal: bob }, name: Bob Example, email: bob@example.com }
        cimd:
          mode: open   # anybody's client; the user decides on the consent page
          ports: [ 443, 8443 ]
          danger_allow_networks: [ 127.0.0.0/8, "::1/128" ]   # documents are fetched from this machine
        registration:
          mode: open   # clients on this machine that have no metadata document register themselves
          private_schemes: [cursor]

    # The metadata document of the client. Its URL is the `client_id`; nobody registers it anywhere.
    documents:
      - url: "https://cimd.example.test:8443/oauth/client-metadata.json"
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
        url: "https://gateway.example.test:8443/mcp"
        authorizer:
          discovery_url: "https://auth.example.test:8443/realms/mcp-demo/.well-known/openid-configuration"
          allowed_audiences: [mcp-gateway-demo]
          allowed_scopes: [mcp:tools]
        targets:
          - { name: my-mcp-server, mcp: { url: "https://mcp-server.example.test:8443/mcp" } }

    # The MCP server behind the gateway: add_numbers, multiply_numbers, greet_user.
    demo_mcp_server: { url: "https://mcp-server.example.test:8443/mcp" }
    --- stderr
    "#);
    assert_eq!(
        run(&folder, &["config", "check", "demo.yaml"], "")
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let printed = run(&Folder::new(), &["config", "schema"], "");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.schema.json");
    assert!(
        printed.stdout.as_bytes() == std::fs::read(path).unwrap(),
        "hint: cargo xtask schema"
    );
}

/// A configuration with a database on disk.
const ON_DISK: &str = r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    users: [ { username: declared } ]
"#;

#[test]
fn migrate_makes_the_database_and_can_be_repeated() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", ON_DISK);
    insta::assert_snapshot!(run(&folder, &["migrate"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    sqlite:sekisho-data/sekisho.db is up to date
    ");
    insta::assert_snapshot!(run(&folder, &["migrate"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    sqlite:sekisho-data/sekisho.db is up to date
    ");
}

#[test]
fn users_are_added_and_given_passwords_from_standard_input_or_a_file() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", ON_DISK);
    let file = folder.write("password", "from-a-file\n");
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice", "--name", "Alice Example"], "from-standard-input\n"), @"
    exit code: 0
    --- stdout
    --- stderr
    realm `demo` has a new user `alice`
    ");
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice"], "once more, again"), @"
    exit code: 1
    --- stdout
    --- stderr
    error: realm `demo` has a user `alice` already; hint: `sekisho user passwd alice`
    ");
    insta::assert_snapshot!(run(&folder, &["user", "passwd", "alice", "--password-file", &file.to_string_lossy()], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    the password of `alice` in realm `demo` was changed; login sessions ended: 0, grants to clients revoked: 0
    note: NIST SP 800-63B-4 asks for 15 characters where a password is all that is asked for
    ");
    insta::assert_snapshot!(run(&folder, &["user", "passwd", "nobody"], "from-nobody"), @"
    exit code: 1
    --- stdout
    --- stderr
    error: realm `demo` has no user `nobody`; hint: `sekisho user list` shows whom it has
    ");
    insta::assert_snapshot!(run(&folder, &["user", "passwd", "alice"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: `-` holds no password
    ");
    insta::assert_snapshot!(run(&folder, &["user", "add", "bob", "--realm", "other"], "from-nobody"), @"
    exit code: 1
    --- stdout
    --- stderr
    error: there is no such realm; there are `demo`
    ");
}

// SEC-34
#[test]
fn hosts_of_clients_are_approved_and_denied() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", ON_DISK);
    insta::assert_snapshot!(run(&folder, &["client", "list"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    no host of clients was asked for in realm `demo`, and none was decided about
    ");
    insta::assert_snapshot!(run(&folder, &["client", "approve", "App.example.com"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    clients of app.example.com are approved in realm `demo`
    ");
    insta::assert_snapshot!(run(&folder, &["client", "deny", "https://evil.example"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: `https://evil.example` is not a host name
    ");
    run(&folder, &["client", "deny", "evil.example"], "");
    let listed = run(&folder, &["client", "list"], "");
    assert!(
        listed.stdout.contains("approved  app.example.com"),
        "{listed}"
    );
    assert!(listed.stdout.contains("denied    evil.example"), "{listed}");
}

#[test]
fn a_database_in_memory_has_no_users_to_add_to() {
    let folder = Folder::new();
    folder.write(
        "sekisho.yaml",
        &format!("{ON_DISK}store: {{ url: \"sqlite::memory:\" }}\n"),
    );
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice"], "x"), @"
    exit code: 1
    --- stdout
    --- stderr
    error: the database is in memory, where another process can't reach it
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
fn a_database_that_a_running_program_has_open_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path().to_path_buf();
    let configuration = ON_DISK.replace("8480", &free_port().to_string())
        + "management: { address: \"127.0.0.1:0\" }\n";
    let served = Program::serve(folder, &configuration);
    let ended = run(&served.folder, &["user", "add", "alice"], "x");
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("is in use by another process"),
        "{ended}"
    );
    assert!(path.join("sekisho-data/sekisho.db").exists());
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

#[test]
fn init_writes_to_standard_output_where_that_is_wanted() {
    let folder = Folder::new();
    let ended = run(&folder, &["init", "--out", "-"], "");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended}");
    folder.write("from-pipe.yaml", &ended.stdout);
    assert!(run(&folder, &["init"], "").status.success());
    let written = std::fs::read(folder.path().join("sekisho.yaml")).unwrap();
    assert_eq!(ended.stdout.as_bytes(), written);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_listener_that_serves_nothing_is_said() {
    let folder = Folder::new();
    let idle = r#"listeners: [ { name: main, address: "127.0.0.1:8480" }, { name: idle, address: "127.0.0.1:8490" } ]"#;
    let first = ON_DISK.lines().next().unwrap();
    folder.write("sekisho.yaml", &ON_DISK.replace(first, idle));
    insta::assert_snapshot!(run(&folder, &["config", "check"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    warning: the listener `idle` serves nothing: no URL of the configuration arrives there
    sekisho.yaml is valid
    ");
}
