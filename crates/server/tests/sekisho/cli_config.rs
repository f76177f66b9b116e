//! What the commands print that write a configuration, check it and show it.

use crate::cli_store::ON_DISK;
use crate::program::{Folder, run};

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
    wrong.yaml:8: realms[0].scopes[0].name: `two words` is not a scope: 1 to 256 visible ASCII characters without quotes and backslashes (RFC 6749 §3.3)
    wrong.yaml:9: realms[0].users[0].password: the environment variable `SEKISHO_TEST_UNSET` is not set
    wrong.yaml:9: realms[0].users[1].password: the file `nowhere` can't be read: no such file or directory
    wrong.yaml:11: realms[0].clients[0].redirect_uris[0]: `http://example.com/cb` can't be used: a redirect URI with `http` must point to localhost, 127.0.0.1 or [::1]
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    wrong.yaml:11: realms[0].clients[0].redirect_uris[1]: `not a url` can't be used: the redirect URI contains a space, a control character or a character outside ASCII
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    wrong.yaml:14: documents[0].document: the client metadata document lacks the property `redirect_uris`
    wrong.yaml:17: gateways[0].url: realm `demo` makes no tokens for `http://127.0.0.1:8480/mcp`: it is not among its `resources`
      hint: MCP clients ask for it by name (RFC 8707): add { uri: "http://127.0.0.1:8480/mcp" }
    wrong.yaml:18: gateways[0].authorizer.discovery_url: `http://127.0.0.1:8480/realms/demo` is not the URL of a discovery document
      hint: it has /.well-known/openid-configuration or /.well-known/oauth-authorization-server in it
    wrong.yaml:19: gateways[0].allowed_origins[0]: `https://app.example.com/` is not the origin of a web page
      hint: write scheme, host and port as a browser does: https://app.example.com, chrome-extension://abcdefgh
    wrong.yaml:20: gateways[0].resource_policy.Statement[0].Action: unknown value `*`, known: `bedrock-agentcore:InvokeGateway`, `sekisho:InvokeGateway`
    wrong.yaml:20: gateways[0].resource_policy.Statement[0].Effect: unknown value `Alow`, known: `Allow`, `Deny`
    14 problems in the configuration
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
        interaction: 30m
      scopes: []
      resources: []
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
      users:
      - username: alice
        password:
          danger_literal: …
      users_removed: disable
      min_password_length: 8
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
          first_message: 10s
          total: 1h
          input: 10m
          session_idle: 30m
        limits:
          calls: 256
          sessions: 10000
          message: 8388608
          tools: 2000
          pages: 100
          list: 16777216
        circuit_breaker:
          failures: 10
          pause: 2s
        freshness:
          max_age: 30s
          shortest: 1s
          not_offered: 5m
          first_pause: 250ms
          longest_pause: 2s
          between_probes: 1s
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
