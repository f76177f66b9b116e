//! What commands and reloads do to people who are logged in.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::program::person::{Person, Tokens};
use crate::program::{Folder, Program, run};
use crate::reload::Served;

const PASSWORD: &str = "correct horse battery staple";

/// How the gateway answers a call with a token.
async fn call(program: &Program, token: &str) -> StatusCode {
    let arguments = json!({ "a": 2, "b": 3 });
    let answer = Person::alice(program)
        .call(Some(token), "my-mcp-server___add_numbers", arguments)
        .await;
    answer.status
}

/// Waits until the gateway refuses a token: other nodes read the log of revocations every second.
async fn until_refused(program: &Program, token: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while call(program, token).await != StatusCode::UNAUTHORIZED {
        assert!(Instant::now() < deadline, "the token still works");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Served {
    fn reload_and_wait(&mut self, configuration: &str) {
        self.reload(configuration);
        self.program.until("the reload", |program| {
            program.log().contains("configuration was replaced")
        });
    }

    /// The configuration without Alice.
    fn without_alice(&self, more: &str) -> String {
        let alice = self
            .configuration
            .lines()
            .find(|line| line.contains("username: alice"));
        let without = self
            .configuration
            .replace(&format!("{}\n", alice.unwrap()), "");
        without.replace("    users:\n", &format!("{more}    users:\n"))
    }
}

// SEC-46, SEC-55
#[tokio::test]
async fn a_user_who_is_taken_out_of_the_file_is_shut_out_at_once_and_comes_back_with_it() {
    let mut served = Served::start().await;
    let tokens = Person::alice(&served.program).log_in().await;
    let mut bob = Person::alice(&served.program);
    (bob.username, bob.password) = ("bob".to_owned(), "bob".to_owned());
    let bobs = bob.log_in().await;
    let original = served.configuration.clone();
    served.reload_and_wait(&served.without_alice(""));
    assert_eq!(
        call(&served.program, &tokens.access).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(call(&served.program, &bobs.access).await, StatusCode::OK);
    let log = served.program.log();
    assert!(
        log.contains("`alice` was taken out of the configuration, and is disabled; login sessions ended: 1, grants to clients revoked: 1"),
        "{log}"
    );
    assert!(
        log.contains("users who are taken out of the configuration are disabled"),
        "{log}"
    );
    let mut alice = Person::alice(&served.program);
    let metadata = alice.discover().await;
    let url = alice.authorization_url(&metadata);
    let page = alice.browser.open(&url).await.unwrap();
    let fill = [("username", "alice"), ("password", "alice")];
    let page = alice.browser.submit(&page, &fill, "login").await.unwrap();
    assert!(page.text().contains("name=\"password\""), "{}", page.text());

    served.reload(&original);
    served.program.until("the second reload", |program| {
        program.log().matches("configuration was replaced").count() == 2
    });
    let again = Person::alice(&served.program).log_in().await;
    assert_eq!(call(&served.program, &again.access).await, StatusCode::OK);
}

#[tokio::test]
async fn a_user_who_is_taken_out_of_the_file_stays_where_that_is_wanted() {
    let mut served = Served::start().await;
    let tokens = Person::alice(&served.program).log_in().await;
    served.reload_and_wait(&served.without_alice("    users_removed: keep\n"));
    assert_eq!(call(&served.program, &tokens.access).await, StatusCode::OK);
    let log = served.program.log();
    assert!(
        log.contains("`alice` was taken out of the configuration, and is kept"),
        "{log}"
    );
    Person::alice(&served.program).log_in().await;
}

/// The demonstration with a database that outlives it, and a user whom a command has added.
struct Kept {
    program: Program,
    configuration: String,
    /// Whether commands can work beside the running program.
    shared: bool,
}

impl Kept {
    async fn start(more: &str) -> Self {
        let served = Served::start().await;
        let configuration = served
            .configuration
            .replace("    users:\n", &format!("{more}    users:\n"));
        let ready = served.program.ready.clone();
        drop(served);
        let postgres = store::testing::fresh_postgres_url().await;
        let shared = postgres.is_some();
        let configuration = match postgres {
            None => configuration.replace(r#"store: { url: "sqlite::memory:" }"#, "store: {}"),
            Some(url) => {
                let (before, rest) = configuration.split_once("store: {").unwrap();
                let (_, after) = rest.split_once('\n').unwrap();
                let key = "0123456789abcdef".repeat(4);
                format!(
                    "{before}store: {{ url: \"{url}\", key: {{ danger_literal: \"{key}\" }} }}\n{after}"
                )
            }
        };
        let folder = Folder::new();
        folder.write("sekisho.yaml", &configuration);
        let added = run(&folder, &["user", "add", "carol"], PASSWORD);
        assert!(added.status.success(), "{added}");
        let mut kept = Self {
            program: Program::serve(folder, &configuration),
            configuration,
            shared,
        };
        kept.take_places(&ready);
        kept
    }

    fn take_places(&mut self, ready: &Value) {
        for name in ["mcp_endpoint", "issuer", "client_metadata_document"] {
            self.program.ready[name] = ready[name].clone();
        }
    }

    fn carol(&self) -> Person<'_> {
        let mut carol = Person::alice(&self.program);
        (carol.username, carol.password) = ("carol".to_owned(), PASSWORD.to_owned());
        carol
    }

    /// Runs commands beside the running program, which does what they ask for.
    fn command(&self, commands: &[&[&str]]) -> String {
        said(&self.program.folder, commands)
    }

    /// Runs commands where nobody answers them: on another node, or between two runs where the database is a file.
    fn command_elsewhere(&mut self, commands: &[&[&str]]) -> String {
        if self.shared {
            let elsewhere = Folder::new();
            elsewhere.write("sekisho.yaml", &self.configuration);
            return said(&elsewhere, commands);
        }
        let ready = self.program.ready.clone();
        let folder = std::mem::replace(&mut self.program.folder, Folder::new());
        self.program.signal("TERM");
        self.program.until("its end", Program::has_ended);
        let said = said(&folder, commands);
        std::fs::remove_file(folder.path().join("ready.json")).unwrap();
        self.program = Program::serve(folder, &self.configuration);
        self.take_places(&ready);
        said
    }

    async fn log_in(&self) -> Tokens {
        let tokens = self.carol().log_in().await;
        assert_eq!(call(&self.program, &tokens.access).await, StatusCode::OK);
        tokens
    }

    /// What the token endpoint says to a refresh token.
    async fn refresh(&self, token: &str) -> StatusCode {
        let mut carol = self.carol();
        let metadata = carol.discover().await;
        let client_id = carol.client_id.clone();
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id.as_str()),
            ("refresh_token", token),
        ];
        let request = http::Request::post(metadata["token_endpoint"].as_str().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(bytes::Bytes::from(oauth::form::encode(fields)))
            .unwrap();
        carol.browser.send(request).await.unwrap().status
    }
}

/// What these commands say, all of which succeed.
fn said(folder: &Folder, commands: &[&[&str]]) -> String {
    let mut said = String::new();
    for arguments in commands {
        let ended = run(folder, arguments, "");
        assert!(ended.status.success(), "{ended}");
        said.push_str(&ended.stdout);
        said.push_str(&ended.stderr);
    }
    said
}

// SEC-46, SEC-55
#[tokio::test]
async fn a_user_whom_a_command_disables_loses_sessions_and_tokens() {
    let kept = Kept::start("").await;
    let tokens = kept.log_in().await;
    let said = kept.command(&[&["user", "disable", "carol"]]);
    assert!(
        said.contains("`carol` in realm `mcp-demo` is disabled; login sessions ended: 1, grants to clients revoked: 1"),
        "{said}"
    );
    // The running program did it: nothing has to get around.
    let answer = call(&kept.program, &tokens.access).await;
    assert_eq!(answer, StatusCode::UNAUTHORIZED);
    assert_eq!(kept.refresh(&tokens.refresh).await, StatusCode::BAD_REQUEST);
}

// SEC-46
#[tokio::test]
async fn consents_and_sessions_are_listed_and_taken_back() {
    let kept = Kept::start("").await;
    let tokens = kept.log_in().await;
    let said = kept.command(&[
        &["consent", "list", "--user", "carol"],
        &["session", "list", "--json"],
        &["session", "end", "--user", "carol"],
        &["session", "list"],
    ]);
    let document = kept.program.place("client_metadata_document");
    let consent = said
        .lines()
        .find(|line| line.starts_with("carol "))
        .unwrap();
    assert!(
        consent.contains(&document) && consent.contains("mcp:tools"),
        "{said}"
    );
    assert!(said.contains("\"username\": \"carol\""), "{said}");
    assert!(
        said.contains("login sessions ended: 1, grants to clients revoked: 0"),
        "{said}"
    );
    assert!(
        said.contains("realm `mcp-demo` has no login sessions"),
        "{said}"
    );
    assert_eq!(call(&kept.program, &tokens.access).await, StatusCode::OK);

    let said = kept.command(&[&["consent", "revoke", "carol", &document]]);
    assert!(said.contains("taken back: 1, grants revoked: 1"), "{said}");
    until_refused(&kept.program, &tokens.access).await;
    assert_eq!(kept.refresh(&tokens.refresh).await, StatusCode::BAD_REQUEST);
}

// SEC-46
#[tokio::test]
async fn the_end_of_a_session_ends_its_tokens_where_the_realm_says_so() {
    let mut kept = Kept::start("    logout_ends: session_and_tokens\n").await;
    let tokens = kept.log_in().await;
    let said = kept.command_elsewhere(&[&["session", "end", "--user", "carol"]]);
    assert!(
        said.contains("login sessions ended: 1, grants to clients revoked: 1"),
        "{said}"
    );
    until_refused(&kept.program, &tokens.access).await;
}
