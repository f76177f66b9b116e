//! The operators' socket: what a running program does for commands, by which configuration, and what it refuses.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::program::{Folder, Program, free_port, run};

const PASSWORD: &str = "correct horse battery staple";

/// A program with a database on disk, and its socket.
fn started() -> (Program, String, PathBuf) {
    let port = free_port();
    let configuration = format!(
        r#"listeners: [ {{ name: main, address: "127.0.0.1:{port}" }} ]
management: {{ address: "127.0.0.1:0" }}
realms:
  - name: demo
    url: http://127.0.0.1:{port}/realms/demo
    cimd: {{ mode: approval }}
    users: []
"#
    );
    let folder = Folder::new();
    let socket = folder.path().join("sekisho-data/control.sock");
    let program = Program::serve(folder, &configuration);
    (program, configuration, socket)
}

/// What the socket says to these bytes, after which nothing more is sent.
fn answer(socket: &PathBuf, bytes: &[u8]) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    // Who says too much may be refused before all of it was sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    Ok(answer)
}

#[test]
fn commands_work_beside_the_running_program_and_say_the_same() {
    let (mut program, configuration, socket) = started();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = &program.folder;
    insta::assert_snapshot!(run(folder, &["user", "add", "alice"], PASSWORD), @"
    exit code: 0
    --- stdout
    --- stderr
    realm `demo` has a new user `alice`
    ");
    insta::assert_snapshot!(run(folder, &["user", "add", "alice"], PASSWORD), @"
    exit code: 1
    --- stdout
    --- stderr
    error: realm `demo` has a user `alice` already; hint: `sekisho user passwd alice`
    ");
    insta::assert_snapshot!(run(folder, &["user", "list"], ""), @"
    exit code: 0
    --- stdout
    USERNAME  STANDING  FROM   NAME  MAIL
    alice     enabled   added
    --- stderr
    ");
    insta::assert_snapshot!(run(folder, &["client", "approve", "App.example.com"], ""), @"
    exit code: 0
    --- stdout
    --- stderr
    clients of app.example.com are approved in realm `demo`
    ");
    insta::assert_snapshot!(run(folder, &["session", "list", "--realm", "other"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: there is no such realm; there are `demo`
    ");
    // What counts is what runs now.
    let stricter = configuration.replace(
        "    users: []",
        "    min_password_length: 40\n    users: []",
    );
    folder.write("sekisho.yaml", &stricter);
    program.signal("HUP");
    program.until("the reload", |program| {
        program.log().contains("configuration was replaced")
    });
    insta::assert_snapshot!(run(&program.folder, &["user", "passwd", "alice"], PASSWORD), @"
    exit code: 1
    --- stdout
    --- stderr
    error: the password is shorter than 40 characters; hint: a sentence is long and easy to remember
    ");
    let log = program.log();
    let done = "operation=\"user add\" about=\"alice\"";
    assert!(log.contains(done), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    program.signal("TERM");
    program.until("its end", Program::has_ended);
    assert!(!socket.exists());
    // And without it.
    let listed = run(&program.folder, &["user", "list"], "");
    assert!(listed.stdout.contains("alice"), "{listed}");
}

// SEC-76
#[test]
fn what_is_no_request_is_refused_and_the_program_goes_on() {
    let (program, _, socket) = started();
    let secret = "hush-hush-hush";
    let unknown =
        format!(r#"{{"realm":{{"operation":{{"name":"user_forge","password":"{secret}"}}}}}}"#);
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "this is no request"),
        (b"{}\n".to_vec(), "this is no request"),
        (format!("{unknown}\n").into_bytes(), "this is no request"),
        (b"{\"realm\":null".to_vec(), "a request is one line"),
        (vec![b'x'; 1 << 20], "a request is one line"),
        (
            b"{\"realm\":{\"operation\":{\"name\":\"user_show\",\"username\":\"\0\"}}}\n".to_vec(),
            "this is no request",
        ),
        (
            br#"{"realm":{"operation":{"name":"user_show","username":" "}}}"#
                .iter()
                .chain(b"\n")
                .copied()
                .collect(),
            "can't be used",
        ),
    ] {
        let said = answer(&socket, &bytes).unwrap();
        assert!(said.starts_with("{\"refused\":"), "{said}");
        assert!(said.contains(reason) && !said.contains(secret), "{said}");
    }
    let nothing = answer(&socket, b"").unwrap();
    assert_eq!(nothing, "", "somebody who only looks");
    assert!(!program.log().contains(secret));
    assert!(run(&program.folder, &["user", "list"], "").status.success());
}

#[test]
fn a_socket_of_a_program_that_was_killed_is_replaced() {
    let (mut program, configuration, socket) = started();
    program.signal("KILL");
    program.until("its end", Program::has_ended);
    assert!(socket.exists());
    let folder = std::mem::replace(&mut program.folder, Folder::new());
    let listed = run(&folder, &["user", "list"], "");
    assert!(listed.status.success(), "nobody answers: {listed}");
    std::fs::remove_file(folder.path().join("ready.json")).unwrap();
    let mut program = Program::serve(folder, &configuration);
    let added = run(&program.folder, &["user", "add", "bob"], PASSWORD);
    assert!(added.status.success(), "{added}");
    program.until("it did that", |program| {
        program.log().contains("operation=\"user add\"")
    });
}

// SEC-42, SEC-43
#[test]
fn keys_are_listed_and_replaced_beside_the_running_program_and_without_it() {
    let (mut program, _, _) = started();
    let list = |program: &Program| {
        let shown = run(&program.folder, &["key", "list", "--json"], "");
        let keys: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        let keys = keys.as_array().unwrap().clone();
        keys.into_iter()
            .filter(|key| key["algorithm"] == "ES256")
            .map(|key| {
                (
                    key["kid"].as_str().unwrap().to_owned(),
                    key["state"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    let first = list(&program);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1, "signing");
    let planned = run(&program.folder, &["key", "rotate"], "");
    assert!(planned.status.success(), "{planned}");
    assert!(
        planned
            .stderr
            .contains("(ES256) of realm `demo` signs from "),
        "{planned}"
    );
    let states: Vec<_> = list(&program).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["signing", "published"]);
    program.signal("TERM");
    program.until("its end", Program::has_ended);
    let compromised = run(&program.folder, &["key", "rotate", "--compromised"], "");
    assert!(compromised.status.success(), "{compromised}");
    let after = list(&program);
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].0, first[0].0);
    assert_eq!(after[0].1, "signing");
    let text = run(&program.folder, &["key", "list"], "").stdout;
    assert!(
        text.starts_with("KID") && text.contains("signing"),
        "{text}"
    );
}

// TM-16
#[test]
fn targets_are_listed_and_asked_for_their_lists_by_commands() {
    let (port, mcp_port) = (free_port(), free_port());
    let configuration = format!(
        r#"listeners: [ {{ name: main, address: "127.0.0.1:{port}" }} ]
management: {{ address: "127.0.0.1:0" }}
egress: {{ allow_networks: [ 127.0.0.0/8 ] }}
realms: [ {{ name: demo, url: "http://127.0.0.1:{port}/realms/demo", resources: [ {{ uri: "http://127.0.0.1:{port}/mcp" }} ] }} ]
demo_mcp_server: {{ address: "127.0.0.1:{mcp_port}" }}
gateways:
  - name: tools
    url: http://127.0.0.1:{port}/mcp
    authorizer: {{ discovery_url: "http://127.0.0.1:{port}/realms/demo/.well-known/openid-configuration", allowed_audiences: [ "http://127.0.0.1:{port}/mcp" ] }}
    targets:
      - {{ name: demo, mcp: {{ url: "http://127.0.0.1:{mcp_port}/mcp" }}, listing: on_demand }}
      - name: declared
        mcp: {{ url: "http://127.0.0.1:1/mcp" }}
        listing: {{ static: {{ tools: [ {{ name: add, inputSchema: {{ type: object }} }} ] }} }}
"#
    );
    let mut program = Program::serve(Folder::new(), &configuration);
    let folder = &program.folder;
    let synced = run(folder, &["targets", "sync"], "").to_string();
    let line = |of: &[&str]| {
        let has_all = |line: &&str| of.iter().all(|word| line.contains(word));
        synced.lines().any(|line| has_all(&line))
    };
    assert!(synced.contains("exit code: 0"), "{synced}");
    assert!(
        line(&["tools", "demo", "on_demand", " 4 ", " s ago"]),
        "{synced}"
    );
    assert!(line(&["tools", "declared", "static", " 1 "]), "{synced}");
    let listed = run(folder, &["targets", "list", "declared", "--json"], "");
    let lists: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (lists.as_array().unwrap().len(), &lists[0]["entries"]),
        (4, &1.into())
    );
    insta::assert_snapshot!(run(folder, &["targets", "sync", "nobody"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: there is no target `nobody`; hint: `sekisho targets list` shows which there are
    ");
    insta::assert_snapshot!(run(folder, &["targets", "list", "--gateway", "other"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: there is no such gateway; there are `tools`
    ");
    program.until("it was noted", |program| {
        let refused = "operation=\"targets sync\" about=\"nobody\"";
        program.log().contains(refused)
    });
    program.signal("TERM");
    program.until("its end", Program::has_ended);
    insta::assert_snapshot!(run(&program.folder, &["targets", "list"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: no program with an operators' socket runs this configuration; hint: `sekisho serve`, with a database that is not in memory
    ");
}
