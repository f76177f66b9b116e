//! The commands about users, sessions and consents: what they print, and what they refuse.

use crate::program::{Ended, Folder, run};

const CONFIGURATION: &str = r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    users:
      - { username: declared, password: { danger_literal: declared } }
      - username: without
"#;

const PASSWORD: &str = "correct horse battery staple";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("sekisho.yaml", CONFIGURATION);
    folder
}

fn refused(ended: &Ended) -> String {
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    ended.stderr.trim_end().to_owned()
}

#[test]
fn groups_and_attributes_are_given_changed_and_shown() {
    let folder = folder();
    let add = [
        "user",
        "add",
        "alice",
        "--group",
        "staff",
        "--group",
        "admins",
        "--attribute",
        "dept=sales",
    ];
    assert!(run(&folder, &add, PASSWORD).status.success());
    let set = [
        "user",
        "set",
        "alice",
        "--no-group",
        "admins",
        "--group",
        "dev",
        "--attribute",
        "phone=1",
        "--attribute",
        "phone=2",
        "--no-attribute",
        "dept",
    ];
    insta::assert_snapshot!(run(&folder, &set, ""), @r"
    exit code: 0
    --- stdout
    --- stderr
    `alice` in realm `demo` is changed
    ");
    insta::assert_snapshot!(run(&folder, &set, ""), @r"
    exit code: 0
    --- stdout
    --- stderr
    `alice` in realm `demo` was so already
    ");
    let shown = run(&folder, &["user", "show", "alice", "--json"], "");
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["groups"], serde_json::json!(["dev", "staff"]));
    assert_eq!(
        shown["attributes"],
        serde_json::json!({ "phone": ["1", "2"] })
    );
    let text = run(&folder, &["user", "show", "alice"], "").stdout;
    assert!(
        text.contains("groups     dev, staff\nattributes phone=1 2\n"),
        "{text}"
    );
    insta::assert_snapshot!(refused(&run(&folder, &["user", "set", "declared", "--group", "x"], "")), @"error: `declared` is declared in sekisho.yaml:6, which would undo it; hint: change them there and reload");
    let much = format!("x={}", "y".repeat(5000));
    insta::assert_snapshot!(refused(&run(&folder, &["user", "set", "alice", "--attribute", &much], "")), @"error: the groups and attributes of one user or client take 5066 bytes as JSON, more than 4096");
    let malformed = run(&folder, &["user", "set", "alice", "--attribute", "x"], "");
    assert_eq!(malformed.status.code(), Some(2), "{malformed}");
}

#[test]
fn users_are_listed_shown_disabled_enabled_and_deleted() {
    let folder = folder();
    let mail = [
        "user",
        "add",
        "alice",
        "--name",
        "Alice\u{1b}[31m",
        "--email",
        "alice@example.com",
    ];
    assert!(run(&folder, &mail, PASSWORD).status.success());
    assert!(
        run(&folder, &["user", "add", "bob"], PASSWORD)
            .status
            .success()
    );
    insta::assert_snapshot!(run(&folder, &["user", "disable", "Bob"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    `bob` in realm `demo` is disabled; login sessions ended: 0, grants to clients revoked: 0
    ");
    insta::assert_snapshot!(run(&folder, &["user", "list"], ""), @"
    exit code: 0
    --- stdout
    USERNAME  STANDING  FROM   NAME        MAIL
    alice     enabled   added  Alice�[31m  alice@example.com
    bob       disabled  added
    --- stderr
    ");
    let shown = run(&folder, &["user", "show", "alice", "--json"], "");
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["email"], "alice@example.com");
    assert_eq!(shown["origin"], "added");
    assert_eq!(shown["disabled"], false);
    insta::assert_snapshot!(run(&folder, &["user", "enable", "bob"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    `bob` in realm `demo` can log in again
    ");
    insta::assert_snapshot!(run(&folder, &["user", "enable", "bob"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    `bob` in realm `demo` was not disabled
    ");
    insta::assert_snapshot!(run(&folder, &["user", "delete", "bob"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    `bob` in realm `demo` is deleted; login sessions ended: 0, grants to clients revoked: 0
    ");
    insta::assert_snapshot!(refused(&run(&folder, &["user", "show", "bob"], "")), @"error: realm `demo` has no user `bob`; hint: `sekisho user list` shows whom it has");
    assert!(
        run(&folder, &["user", "add", "bob"], PASSWORD)
            .status
            .success()
    );
}

#[test]
fn what_the_configuration_declares_is_its_matter() {
    let folder = folder();
    assert!(run(&folder, &["migrate"], "").status.success());
    insta::assert_snapshot!(refused(&run(&folder, &["user", "passwd", "declared"], PASSWORD)), @"error: `declared` is declared in sekisho.yaml:6, which would undo it; hint: change the password there and reload");
    insta::assert_snapshot!(refused(&run(&folder, &["user", "add", "without"], PASSWORD)), @"error: `without` is declared in sekisho.yaml:7, which would undo it; hint: change them there and reload");
    for verb in ["disable", "delete"] {
        let said = refused(&run(&folder, &["user", verb, "declared"], ""));
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @"error: `declared` is declared in sekisho.yaml:6, which would undo it; hint: take the user out there and reload: that disables them and ends what they have begun");
        }
    }
}

// NIST SP 800-63B-4 §3.1.1.2
#[test]
fn passwords_that_are_too_short_or_the_name_are_refused() {
    let folder = folder();
    insta::assert_snapshot!(refused(&run(&folder, &["user", "add", "alice"], "1234567")), @"error: the password is shorter than 8 characters; hint: a sentence is long and easy to remember");
    insta::assert_snapshot!(refused(&run(&folder, &["user", "add", "alice-example"], "Alice-Example")), @"error: the password is the user name");
    insta::assert_snapshot!(run(&folder, &["user", "add", "alice"], "12345678"), @"
    exit code: 0
    --- stdout
    --- stderr
    realm `demo` has a new user `alice`
    note: NIST SP 800-63B-4 asks for 15 characters where a password is all that is asked for
    ");
    let configuration =
        CONFIGURATION.replace("    users:", "    min_password_length: 15\n    users:");
    folder.write("sekisho.yaml", &configuration);
    insta::assert_snapshot!(refused(&run(&folder, &["user", "passwd", "alice"], "12345678901234")), @"error: the password is shorter than 15 characters; hint: a sentence is long and easy to remember");
}

#[test]
fn what_is_no_mail_address_is_refused() {
    let folder = folder();
    let ended = run(
        &folder,
        &["user", "add", "alice", "--email", "alice"],
        PASSWORD,
    );
    assert_eq!(ended.status.code(), Some(2));
    assert!(
        ended.stderr.contains("expected a mail address such as"),
        "{ended}"
    );
    let configuration = CONFIGURATION.replace(
        "username: without",
        "username: without\n        email: nowhere",
    );
    folder.write("sekisho.yaml", &configuration);
    insta::assert_snapshot!(run(&folder, &["config", "check"], ""), @r"
    exit code: 64
    --- stdout
    --- stderr
    sekisho.yaml:8: realms[0].users[1].email: `nowhere` is not a mail address such as `alice@example.com`
    1 problem in the configuration
    ");
}

#[test]
fn where_nobody_ever_was_nothing_is_begun_and_nobody_is_listed() {
    let folder = folder();
    for arguments in [["user", "list"], ["session", "list"], ["consent", "list"]] {
        let said = refused(&run(&folder, &arguments, ""));
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @"error: the database sqlite:sekisho-data/sekisho.db is not there; hint: `sekisho serve` or `sekisho migrate` begins it");
        }
        assert!(!folder.path().join("sekisho-data").exists());
    }
    assert!(run(&folder, &["migrate"], "").status.success());
    insta::assert_snapshot!(run(&folder, &["user", "list"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    realm `demo` has no users
    ");
    insta::assert_snapshot!(run(&folder, &["session", "list"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    realm `demo` has no login sessions
    ");
    insta::assert_snapshot!(run(&folder, &["consent", "list"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    nobody in realm `demo` has agreed to anything
    ");
    insta::assert_snapshot!(run(&folder, &["session", "list", "--json"], ""), @"
    exit code: 0
    --- stdout
    []
    --- stderr
    ");
}
