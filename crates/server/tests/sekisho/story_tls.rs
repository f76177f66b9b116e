//! The story on HTTPS: four names on one port, and every inner hop by name.

use std::sync::Arc;

use crate::program::person::{Person, claims, result};
use crate::program::{Folder, Program, free_port, run};
use net::egress::client::{Client, FetchError, Limits};
use net::egress::connect::{ConnectError, Connector, ExtraRoots};
use net::egress::resolve::SystemResolver;
use net::egress::rules::Rules;
use serde_json::json;
use url::Url;

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
        let url = Url::parse(&demo.place(name)).unwrap();
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
    assert_eq!(tokens.scope, "profile email mcp:tools");
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

/// A self-signed certificate for `localhost` in the files that a configuration names; it is given back as PEM.
fn certificate_in(folder: &Folder) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("certificate.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    made.cert.pem()
}

/// The same of a certificate that was valid once.
fn expired_certificate_in(folder: &Folder) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    folder.write("certificate.pem", &params.self_signed(&key).unwrap().pem());
    folder.write("key.pem", &key.serialize_pem());
}

/// What is answered to somebody who trusts this certificate and no other.
async fn status_for(url: &Url, certificate: &str) -> Result<u16, FetchError> {
    let mut roots = ExtraRoots::default();
    roots.add_pem(certificate.as_bytes()).unwrap();
    let connector = Arc::new(Connector::new(Arc::new(SystemResolver::default()), roots));
    let rules = Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        allow_http: false,
        ports: None,
    };
    let fetched = Client::new(connector, rules)
        .get(url, Limits::SERVER_METADATA)
        .await?;
    Ok(fetched.status.as_u16())
}

// AS-20
#[tokio::test]
async fn certificates_in_files_are_read_again_by_a_reload() {
    let folder = Folder::new();
    let first = certificate_in(&folder);
    let port = free_port();
    let url = Url::parse(&format!("https://localhost:{port}/client.json")).unwrap();
    let configuration = format!(
        r#"listeners:
  - name: main
    address: "127.0.0.1:{port}"
    tls: {{ certificate_file: certificate.pem, key_file: key.pem }}
management: {{ address: "127.0.0.1:0" }}
documents:
  - url: "{url}"
    document: {{ client_name: Example, redirect_uris: [ "http://127.0.0.1/callback" ] }}
"#
    );
    let mut program = Program::serve(folder, &configuration);
    assert_eq!(status_for(&url, &first).await.unwrap(), 200);

    let second = certificate_in(&program.folder);
    let reloaded = |program: &mut Program, times: usize| {
        program.signal("HUP");
        program.until("the reload", |program| {
            let log = program.log();
            log.matches("files of certificates are read again").count() == times
        });
    };
    reloaded(&mut program, 1);
    assert_eq!(status_for(&url, &second).await.unwrap(), 200);
    let distrusted = status_for(&url, &first).await.unwrap_err();
    assert!(
        matches!(distrusted, FetchError::Connect(ConnectError::Tls(_))),
        "{distrusted}"
    );

    // A pair that has expired, or that does not fit, is refused, and what was served goes on.
    expired_certificate_in(&program.folder);
    program.signal("HUP");
    program.until("the refusal", |program| {
        program.log().contains("certificate is not valid now")
    });
    assert_eq!(status_for(&url, &second).await.unwrap(), 200);
    program.folder.write("key.pem", "no key");
    program.signal("HUP");
    program.until("the refusal", |program| {
        program.log().contains("no private key found")
    });
    assert_eq!(status_for(&url, &second).await.unwrap(), 200);
}

#[test]
fn a_certificate_that_does_not_fit_its_key_ends_the_start() {
    let folder = Folder::new();
    certificate_in(&folder);
    let other = rcgen::KeyPair::generate().unwrap();
    folder.write("key.pem", &other.serialize_pem());
    folder.write(
        "sekisho.yaml",
        r#"listeners:
  - { name: main, address: "127.0.0.1:0", public_port: 443, tls: { certificate_file: certificate.pem, key_file: key.pem } }
documents:
  - url: "https://localhost/client.json"
    document: { client_name: Example, redirect_uris: [ "http://127.0.0.1/callback" ] }
"#,
    );
    let ended = run(&folder, &["serve", "--config", "sekisho.yaml"], "");
    assert!(!ended.status.success(), "{ended}");
    assert!(
        ended
            .stderr
            .contains("key is unusable or does not fit the certificate"),
        "{ended}"
    );
}
