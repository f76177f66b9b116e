//! SIGHUP: a good configuration replaces the running one, a bad one is refused and changes nothing.

use std::time::Duration;

use crate::program::person::Person;
use crate::program::{Folder, Program, free_port, on_the_database_under_test, run};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use model::clock::{Clock as _, SystemClock};
use net::egress::client::Limits;
use serde_json::json;
use testkit::fake_idp::FakeIdp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The demonstration under free ports, as a file.
pub(crate) struct Served {
    pub(crate) program: Program,
    pub(crate) configuration: String,
    document: String,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let mcp_port = free_port();
        let folder = Folder::new();
        let listen = format!("127.0.0.1:{port}");
        let shown = run(
            &folder,
            &[
                "config",
                "show",
                "--demo",
                "--listen",
                &listen,
                "--mcp-listen",
                &format!("127.0.0.1:{mcp_port}"),
            ],
            "",
        );
        let configuration = on_the_database_under_test(&shown.stdout).await;
        let mut program = Program::serve(folder, &configuration);
        program.ready["mcp_endpoint"] = json!(format!("http://{listen}/mcp"));
        program.ready["issuer"] = json!(format!("http://{listen}/realms/mcp-demo"));
        let document = format!("http://{listen}/oauth/client-metadata.json");
        program.ready["client_metadata_document"] = json!(document);
        Self {
            program,
            configuration,
            document,
        }
    }

    /// Replaces the configuration and tells the program.
    pub(crate) fn reload(&self, configuration: &str) {
        self.program.folder.write("sekisho.yaml", configuration);
        self.program.signal("HUP");
    }

    async fn client_name(&self) -> String {
        let page = self.program.browser().get(&self.document).await.unwrap();
        page.json().unwrap()["client_name"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[tokio::test]
async fn a_good_configuration_replaces_the_running_one() {
    let mut served = Served::start().await;
    let changed = served
        .configuration
        .replace("MCP Inspector AWS CIMD Client", "Another Name");
    served.reload(&changed);
    served.program.until("the reload", |program| {
        program.log().contains("configuration was replaced")
    });
    assert_eq!(served.client_name().await, "Another Name");
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_all_its_mistakes_and_changes_nothing() {
    let mut served = Served::start().await;
    let changed = served
        .configuration
        .replace("MCP Inspector AWS CIMD Client", "Another Name")
        .replace("allowed_scopes", "allowed_scops")
        .replace("mode: open", "mode: opne");
    served.reload(&changed);
    served.program.until("the refusal", |program| {
        program.log().contains("configuration was not replaced")
    });
    let log = served.program.log();
    assert!(
        log.contains("did you mean `allowed_scopes`?") && log.contains("did you mean `open`?"),
        "{log}"
    );
    assert_eq!(served.client_name().await, "MCP Inspector AWS CIMD Client");
}

#[tokio::test]
async fn the_address_of_a_listener_cannot_be_changed() {
    let mut served = Served::start().await;
    let changed = served.configuration.replacen(
        "  - name: main\n    address: \"127.0.0.1:",
        "  - name: main\n    address: \"127.0.0.2:",
        1,
    );
    assert_ne!(changed, served.configuration);
    served.reload(&changed);
    served.program.until("the refusal", |program| {
        program.log().contains("configuration was not replaced")
    });
    assert!(
        served.program.log().contains("listeners[0].address"),
        "{}",
        served.program.log()
    );
}

#[tokio::test]
async fn users_and_sessions_survive_a_reload() {
    let mut served = Served::start().await;
    let token = Person::alice(&served.program).log_in().await.access;
    served.reload(
        &served
            .configuration
            .replace("MCP Inspector AWS CIMD Client", "Another Name"),
    );
    served.program.until("the reload", |program| {
        program.log().contains("configuration was replaced")
    });
    let mut alice = Person::alice(&served.program);
    let answer = alice
        .call(
            Some(&token),
            "my-mcp-server___add_numbers",
            json!({"a": 2, "b": 3}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

/// A client that listens for changes of the list of tools.
struct Listener(tokio::net::TcpStream);

impl Listener {
    async fn open(served: &Served, token: &str) -> Self {
        let endpoint = url::Url::parse(&served.program.place("mcp_endpoint")).unwrap();
        let address = endpoint.socket_addrs(|| None).unwrap();
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"notifications": {"toolsListChanged": true}, "_meta": meta});
        let method = "subscriptions/listen";
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = body.to_string();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: {method}\r\nContent-Length: {}\r\n\r\n{body}",
            endpoint.path(),
            endpoint.authority(),
            body.len(),
        );
        let mut stream = tokio::net::TcpStream::connect(&address[..]).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self(stream);
        listener.until("acknowledged").await;
        listener
    }

    async fn until(&mut self, word: &str) {
        let mut read = String::new();
        while !read.contains(word) {
            let mut piece = [0; 4096];
            let reading = self.0.read(&mut piece);
            let length = tokio::time::timeout(Duration::from_secs(20), reading).await;
            let length = length.expect("something comes").unwrap();
            assert!(length > 0, "the stream goes on; before: {read}");
            read.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }
}

#[tokio::test]
async fn streams_go_on_over_a_reload_and_hear_what_it_changes() {
    let mut served = Served::start().await;
    let mut alice = Person::alice(&served.program);
    let token = alice.log_in().await.access;
    let listed = alice.call(
        Some(&token),
        "my-mcp-server___add_numbers",
        json!({"a": 2, "b": 3}),
    );
    assert_eq!(listed.await.status, StatusCode::OK);
    let mut listener = Listener::open(&served, &token).await;
    let replaced = |program: &Program| program.log().matches("configuration was replaced").count();
    // Where nothing changed, nothing is done, and that is said.
    served.reload(&format!("# the same\n{}", served.configuration));
    served.program.until("the first reload", |program| {
        program.log().contains("nothing was replaced")
    });
    let changed = served.configuration.replacen(
        "    authorizer:\n",
        "    tool_names: bare\n    authorizer:\n",
        1,
    );
    assert_ne!(changed, served.configuration);
    served.reload(&changed);
    served
        .program
        .until("the second reload", |program| replaced(program) == 1);
    listener.until("notifications/tools/list_changed").await;
}

// SEC-46, SEC-55
#[tokio::test]
async fn a_password_that_a_reload_changes_ends_what_the_old_one_began() {
    let mut served = Served::start().await;
    let token = Person::alice(&served.program).log_in().await.access;
    let changed = served
        .configuration
        .replace("danger_literal: alice", "danger_literal: another");
    assert_ne!(changed, served.configuration);
    served.reload(&changed);
    served.program.until("the reload", |program| {
        program.log().contains("configuration was replaced")
    });
    let answer = Person::alice(&served.program)
        .call(Some(&token), "my-mcp-server___add_numbers", json!({}))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
}

#[tokio::test]
async fn a_user_who_is_declared_by_a_reload_can_log_in() {
    let mut served = Served::start().await;
    let carol = "    users:\n      - { username: carol, password: { danger_literal: carols-password }, email: carol@example.com }\n";
    served.reload(&served.configuration.replace("    users:\n", carol));
    served.program.until("the reload", |program| {
        program.log().contains("configuration was replaced")
    });
    let mut person = Person::alice(&served.program);
    person.username = "carol".to_owned();
    person.password = "carols-password".to_owned();
    assert_eq!(person.log_in().await.scope, "profile email mcp:tools");
}

// SEC-90
#[tokio::test]
async fn the_keys_of_an_issuer_that_is_away_outlive_a_reload() {
    let idp = FakeIdp::start().await.unwrap();
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}/mcp");
    let configuration = format!(
        r#"
listeners: [ {{ name: main, address: "127.0.0.1:{port}" }} ]
management: {{ address: "127.0.0.1:0" }}
store: {{ url: "sqlite::memory:" }}
egress: {{ allow_networks: [ 127.0.0.0/8 ] }}
gateways:
  - name: g
    url: {endpoint}
    authorizer:
      discovery_url: {}
      allowed_audiences: [ gateway ]
"#,
        idp.discovery_url()
    );
    let mut program = Program::serve(Folder::new(), &configuration);
    let call = async |program: &Program, subject: &str| {
        let mut claims = idp.claims("gateway", SystemClock.now().seconds());
        claims["sub"] = json!(subject);
        let token = idp.token(&claims).unwrap();
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        let mut request = Request::new(Bytes::from(ping.to_string()));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        let bearer = format!("Bearer {token}").parse().unwrap();
        headers.insert(header::AUTHORIZATION, bearer);
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
        let (client, url) = (program.client(), endpoint.parse().unwrap());
        let answer = client.fetch(&url, request, Limits::SERVER_METADATA);
        answer.await.unwrap().status
    };
    assert_eq!(call(&program, "alice").await, StatusCode::OK);
    idp.break_down(true);
    program.folder.write(
        "sekisho.yaml",
        &format!("{configuration}    tool_names: bare\n"),
    );
    program.signal("HUP");
    program.until("the reload", |program| {
        program.log().contains("configuration was replaced")
    });
    assert_eq!(call(&program, "bob").await, StatusCode::OK);
    assert_eq!((idp.fetches().discovery, idp.fetches().keys), (1, 1));
}
