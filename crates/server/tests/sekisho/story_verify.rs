//! `sekisho verify` passes against the demonstration, and names the defect when one is planted.

use crate::program::{Ended, Folder, Program, command, free_port, run};
use serde_json::Value;

/// Runs `verify` against a program, as alice.
fn verify(program: &Program, more: &[&str]) -> Ended {
    let folder = Folder::new();
    let password = folder.write("password", "alice");
    let endpoint = program.place("mcp_endpoint");
    let mut arguments = vec![
        "verify",
        endpoint.as_str(),
        "--user",
        "alice",
        "--password-file",
    ];
    arguments.push(password.to_str().unwrap());
    arguments.extend(more);
    run(&folder, &arguments, "")
}

/// The demonstration as an ordinary configuration, with one text replaced by another.
fn planted(sound: &str, defect: &str) -> (Program, String) {
    let folder = Folder::new();
    let [main, mcp] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let shown = command(
        &folder,
        &[
            "config",
            "show",
            "--demo",
            "--listen",
            &main,
            "--mcp-listen",
            &mcp,
        ],
    )
    .output()
    .unwrap();
    let configuration = String::from_utf8(shown.stdout).unwrap();
    assert!(
        configuration.contains(sound),
        "`{sound}` is not in\n{configuration}"
    );
    let program = Program::serve(folder, &configuration.replace(sound, defect));
    (program, format!("http://{main}/mcp"))
}

/// The outcome of each check of a JSON report, by its id.
fn outcome(report: &Value, id: &str) -> String {
    let found = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["id"] == id);
    found.unwrap_or_else(|| panic!("no `{id}` in {report}"))["outcome"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn report_on(endpoint: &str, more: &[&str]) -> (Ended, Value) {
    let folder = Folder::new();
    let password = folder.write("password", "alice");
    let mut arguments = vec![
        "verify",
        endpoint,
        "--json",
        "--user",
        "alice",
        "--password-file",
    ];
    arguments.push(password.to_str().unwrap());
    arguments.extend(more);
    let ended = run(&folder, &arguments, "");
    let report =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no report: {ended}"));
    (ended, report)
}

// CI-1, AS-28, RS-7, CL-5, CL-6, CL-11, CL-12, CL-14, CL-23
#[test]
fn the_demonstration_passes_every_question() {
    let demo = Program::demo(&[]);
    let ended = verify(&demo, &[]);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(
        ended.stdout.ends_with("0 warn, 0 fail, 0 not asked\n"),
        "{ended}"
    );
}

#[test]
fn the_demonstration_over_tls_passes_every_question() {
    let demo = Program::demo(&["--tls"]);
    let (document, ca) = (
        demo.place("client_metadata_document"),
        demo.place("ca_certificate"),
    );
    let folder = Folder::new();
    let bob = folder.write("bob", "bob");
    let ended = verify(
        &demo,
        &[
            "--client-id",
            &document,
            "--ca-file",
            &ca,
            "--other-user",
            "bob",
            "--other-password-file",
            bob.to_str().unwrap(),
        ],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(
        ended.stdout.ends_with("0 warn, 0 fail, 0 not asked\n"),
        "{ended}"
    );
}

// RS-7, SEC-37
#[test]
fn a_gateway_that_skips_the_audience_is_found_out() {
    let (_program, endpoint) = planted(
        "allowed_audiences: [mcp-gateway-demo]",
        "danger_any_audience: true",
    );
    let (ended, report) = report_on(&endpoint, &[]);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert_eq!(outcome(&report, "denial.id-token"), "fail");
    let findings = report["findings"].as_array().unwrap();
    let failed: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["outcome"] == "fail")
        .map(|finding| finding["hint"].as_str().unwrap())
        .collect();
    assert!(
        failed
            .iter()
            .all(|hint| hint.contains("does not check the audience")),
        "{failed:?}"
    );
}

// AS-28, SEC-1
#[test]
fn a_server_that_skips_pkce_is_found_out() {
    // The switch reaches confidential clients of the operator's own, and nobody else.
    let defect = r#"
    danger_pkce_optional: true
    clients:
      - client_id: app
        name: App
        redirect_uris: ["http://127.0.0.1/callback"]
        authentication: client_secret_post
        secret: { danger_literal: app-secret }
    resources:
"#;
    let (_program, endpoint) = planted("\n    resources:\n", defect);
    let folder = Folder::new();
    let secret = folder.write("secret", "app-secret");
    let client = [
        "--client-id",
        "app",
        "--redirect-uri",
        "http://127.0.0.1/callback",
        "--client-secret-file",
    ];
    let (ended, report) = report_on(
        &endpoint,
        &[&client[..], &[secret.to_str().unwrap()]].concat(),
    );
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert_eq!(outcome(&report, "authorization.missing-pkce"), "fail");
    let finding = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["outcome"] == "fail")
        .unwrap();
    assert!(
        finding["seen"]
            .as_str()
            .unwrap()
            .contains("PKCE is not enforced"),
        "{finding}"
    );
}

#[test]
fn the_diagram_shows_every_party_of_the_flow() {
    let demo = Program::demo(&[]);
    let folder = Folder::new();
    let file = folder.path().join("flow.mmd");
    let ended = verify(&demo, &["--diagram", file.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let diagram = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    for hop in [
        "client->>gateway: POST /mcp without a token",
        "as->>client: GET /clients/first.json (client metadata document)",
        "browser->>as: POST /realms/mcp-demo/login (form)",
        "client->>as: POST /realms/mcp-demo/token (authorization_code)",
        "client->>gateway: POST /mcp (tools/call)",
    ] {
        assert!(diagram.contains(hop), "`{hop}` is not in\n{diagram}");
    }
}
