//! What the commands print that work on the database.

use crate::program::{Folder, Program, free_port, run};

/// A configuration with a database on disk.
pub(crate) const ON_DISK: &str = r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
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
fn a_database_that_a_running_program_has_open_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path().to_path_buf();
    let configuration = ON_DISK.replace("8480", &free_port().to_string())
        + "management: { address: \"127.0.0.1:0\" }\n";
    let served = Program::serve(folder, &configuration);
    let ended = run(&served.folder, &["migrate"], "");
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("is in use by another process"),
        "{ended}"
    );
    assert!(path.join("sekisho-data/sekisho.db").exists());
}
