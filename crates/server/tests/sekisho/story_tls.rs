//! The story on HTTPS: four names on one port, and every inner hop by name.

use crate::program::person::{Person, claims, result};
use crate::program::{Folder, Program};
use serde_json::json;

// AS-20
#[tokio::test]
async fn everything_works_by_name_over_https_on_one_port() {
    let folder = Folder::new();
    let demo = Program::demo(&[
        "--tls",
        "--data",
        &folder.path().join("data").to_string_lossy(),
    ]);
    for (name, host) in [
        ("mcp_endpoint", "gateway.sekisho.localhost"),
        ("issuer", "auth.sekisho.localhost"),
        ("client_metadata_document", "cimd.sekisho.localhost"),
        ("mcp_server", "mcp-server.sekisho.localhost"),
    ] {
        let url = url::Url::parse(&demo.place(name)).unwrap();
        assert_eq!((url.scheme(), url.host_str()), ("https", Some(host)));
    }
    let mut alice = Person::alice(&demo);
    let tokens = alice.log_in().await;
    assert_eq!(claims(&tokens.access)["iss"], demo.place("issuer"));
    let answer = alice
        .call(
            Some(&tokens.access),
            "my-mcp-server___add_numbers",
            json!({"a": 2, "b": 3}),
        )
        .await;
    assert_eq!(
        result(&answer)["result"]["content"][0]["text"],
        "5",
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn the_local_ca_is_kept_in_the_data_directory() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    let arguments = ["--tls", "--data", &data.to_string_lossy()];
    let read = || std::fs::read(data.join("local-ca.pem")).unwrap();
    let first = {
        let demo = Program::demo(&arguments);
        assert_eq!(
            demo.place("ca_certificate"),
            data.join("local-ca.pem").to_string_lossy()
        );
        read()
    };
    let _again = Program::demo(&arguments);
    assert_eq!(read(), first);
}

#[tokio::test]
async fn another_domain_can_be_chosen() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    let demo = Program::demo(&[
        "--tls",
        "--domain",
        "mcp.test",
        "--data",
        &data.to_string_lossy(),
    ]);
    assert!(demo.place("issuer").starts_with("https://auth.mcp.test:"));
    let mut alice = Person::alice(&demo);
    let tokens = alice.log_in().await;
    assert_eq!(tokens.scope, "openid profile email mcp:tools");
}

#[tokio::test]
async fn a_service_answers_under_its_own_name_only() {
    let folder = Folder::new();
    let demo = Program::demo(&[
        "--tls",
        "--data",
        &folder.path().join("data").to_string_lossy(),
    ]);
    let mut browser = demo.browser();
    let elsewhere = demo.place("mcp_endpoint").replace("gateway.", "cimd.");
    assert_eq!(
        browser.get(&elsewhere).await.unwrap().status,
        http::StatusCode::NOT_FOUND
    );
}
