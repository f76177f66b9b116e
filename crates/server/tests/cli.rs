//! What each command prints, and how it ends.

mod program;

use program::{Folder, run};

#[test]
fn without_a_command_the_commands_are_listed() {
    let folder = Folder::new();
    insta::assert_snapshot!(run(&folder, &[], ""), @"");
}

#[test]
fn an_unknown_command_is_a_wrong_command_line() {
    let folder = Folder::new();
    insta::assert_snapshot!(run(&folder, &["serv"], ""), @"");
}

#[test]
fn demo_explains_itself() {
    insta::assert_snapshot!(run(&Folder::new(), &["demo", "--help"], ""), @"");
}

#[test]
fn serve_explains_itself() {
    insta::assert_snapshot!(run(&Folder::new(), &["serve", "--help"], ""), @"");
}

#[test]
fn verify_explains_itself() {
    insta::assert_snapshot!(run(&Folder::new(), &["verify", "--help"], ""), @"");
}

#[test]
fn serve_without_a_configuration_says_how_to_get_one() {
    insta::assert_snapshot!(run(&Folder::new(), &["serve"], ""), @"");
}

#[test]
fn a_wrong_configuration_is_reported_whole_and_ends_with_64() {
    let folder = Folder::new();
    folder.write(
        "wrong.yaml",
        r#"listeners:
  - { name: main, address: "127.0.0.1:8480" }
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
    insta::assert_snapshot!(run(&folder, &["config", "check", "wrong.yaml"], ""), @"");
    let served = run(&folder, &["serve", "--config", "wrong.yaml"], "");
    assert_eq!(served.status.code(), Some(64));
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_says_which_urls_matter() {
    let folder = Folder::new();
    insta::assert_snapshot!(run(&folder, &["init"], ""), @"");
    insta::assert_snapshot!(run(&folder, &["config", "check"], ""), @"");
    insta::assert_snapshot!(run(&folder, &["init"], ""), @"");
}

#[test]
fn show_fills_in_the_defaults_and_leaves_out_the_secrets() {
    let folder = Folder::new();
    folder.write(
        "small.yaml",
        r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    users: [ { username: alice, password: { danger_literal: hush } } ]
    clients:
      - { client_id: a, redirect_uris: [ "http://localhost/cb" ], authentication: client_secret_post, secret: { danger_literal: hush } }
"#,
    );
    insta::assert_snapshot!(run(&folder, &["config", "show", "small.yaml"], ""), @"");
}

#[test]
fn the_configuration_of_the_demonstration_is_shown_and_valid() {
    let folder = Folder::new();
    let shown = run(&folder, &["config", "show", "--demo"], "");
    folder.write("demo.yaml", &shown.stdout);
    insta::assert_snapshot!(shown, @"");
    insta::assert_snapshot!(run(&folder, &["config", "check", "demo.yaml"], ""), @"");
}

#[test]
fn the_configuration_of_the_demonstration_with_tls_is_shown_and_valid() {
    let folder = Folder::new();
    let shown = run(&folder, &["config", "show", "--demo", "--tls", "--domain", "example.test", "--data", "/var/lib/sekisho"], "");
    folder.write("demo.yaml", &shown.stdout);
    insta::assert_snapshot!(shown, @"");
    assert_eq!(run(&folder, &["config", "check", "demo.yaml"], "").status.code(), Some(0));
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let printed = run(&Folder::new(), &["config", "schema"], "");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.schema.json");
    assert!(printed.stdout == std::fs::read_to_string(path).unwrap(), "hint: cargo xtask schema");
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
    insta::assert_snapshot!(run(&folder, &["migrate"], ""), @"");
    insta::assert_snapshot!(run(&folder, &["migrate"], ""), @"");
}

#[test]
fn users_are_added_and_given_passwords_from_standard_input_or_a_file() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", ON_DISK);
    let file = folder.write("password", "from-a-file\n");
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice", "--name", "Alice Example"], "from-standard-input\n"), @"");
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice"], "again"), @"");
    insta::assert_snapshot!(run(&folder, &["user", "passwd", "alice", "--password-file", &file.to_string_lossy()], ""), @"");
    insta::assert_snapshot!(run(&folder, &["user", "passwd", "nobody"], "x"), @"");
    insta::assert_snapshot!(run(&folder, &["user", "passwd", "alice"], ""), @"");
    insta::assert_snapshot!(run(&folder, &["user", "add", "bob", "--realm", "other"], "x"), @"");
}

#[test]
fn a_database_in_memory_has_no_users_to_add_to() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", &format!("{ON_DISK}store: {{ url: \"sqlite::memory:\" }}\n"));
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice"], "x"), @"");
}

#[test]
fn verify_of_nothing_fails() {
    let ended = run(&Folder::new(), &["verify", "http://127.0.0.1:1/mcp", "--user", "a", "--password-file", "-"], "x");
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stdout.starts_with("fail"), "{ended}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&Folder::new(), &["demo", "--listen", &address, "--mcp-listen", "127.0.0.1:0"], "");
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("address already in use"), "{ended}");
}

#[test]
fn a_log_filter_that_means_nothing_is_refused() {
    let folder = Folder::new();
    let ended = program::command(&folder, &["demo", "--listen", "127.0.0.1:0", "--mcp-listen", "127.0.0.1:0"])
        .env("RUST_LOG", "auth=loud")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("RUST_LOG"));
}
