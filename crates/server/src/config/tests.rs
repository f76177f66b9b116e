//! What a wrong configuration is answered with.

use std::path::PathBuf;

use model::gateway::Authorization;
use oauth::jose::alg::{Alg, AlgSet};

use super::*;
use crate::config::realm::DeclaredRealm;
use crate::wire::plan::Plan;

mod no_authorization;
mod shape;
mod start;
mod target;

fn problems(text: &str) -> String {
    match Loaded::parse(text, "f.yaml", PathBuf::new()) {
        Err(invalid) => invalid.to_string(),
        Ok(loaded) => {
            let mut problems = loaded.problems();
            crosscheck::crosscheck(&loaded, &mut problems);
            describe(&problems.into_sorted())
        }
    }
}

/// What there is to run, or what is wrong with it.
fn plan(text: &str) -> Result<Plan, String> {
    Loaded::parse(text, "f.yaml", PathBuf::new())
        .and_then(Plan::new)
        .map_err(|invalid| invalid.to_string())
}

/// A realm with these clients.
fn with_clients(clients: &str) -> String {
    format!(
        r#"
listeners: [ {{ name: main, address: "127.0.0.1:8480" }} ]
store: {{ url: "sqlite::memory:" }}
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    clients:
{clients}"#
    )
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line_and_a_hint() {
    let text = r"
listeners:
  - name: main
    adress: 127.0.0.1:8480
  - name: second one
    address: localhost:8481
    trusted_proxies: [10.0.0.1/8]
data_directory: [a, b]
store: { key: abc }
realms:
  - name: demo
    url: http//x
    signing_algorithm: HS256
    lifetimes: { code: 60, access_token: ten minutes }
    cimd: { mode: opn, ports: [70000], allow_http: maybe }
    users: { username: alice }
    clients:
      - { client_id: 7, redirect_uris: [], secret: { env: A, file: b }, authentication: password }
gateways:
  - name: g
    url: http://127.0.0.1:8480/mcp
    authoriser: {}
    targets: [ { name: my_server, mcp: { url: 'http://127.0.0.1:8481/mcp#x' } } ]
banana: 1
";
    insta::assert_snapshot!(problems(text), @r#"
    f.yaml:3: listeners[0]: `address` is missing
      hint: The IP address and port
    f.yaml:4: listeners[0].adress: unknown key `adress`
      hint: did you mean `address`?
    f.yaml:5: listeners[1].name: `second one` is not a name of letters, digits and hyphens
      hint: use 1 to 64 of A-Z a-z 0-9 and -
    f.yaml:6: listeners[1].address: `localhost:8481` is not an IP address and a port such as `127.0.0.1:8480`
      hint: a host name can't be used here; 0.0.0.0 and [::] mean all addresses
    f.yaml:7: listeners[1].trusted_proxies[0]: `10.0.0.1/8` is not a network: bits behind the prefix are set
      hint: set the bits behind the prefix to zero, or use a longer prefix
    f.yaml:8: data_directory: expected text, found a list
      hint: Where files are kept: the database, its key, the local CA
    f.yaml:9: store.key: expected { env: … } or { file: … } or { danger_literal: … }, found text
    f.yaml:12: realms[0].url: `http//x` is not an absolute http or https URL
      hint: begin it with https://
    f.yaml:13: realms[0].signing_algorithm: `HS256` is not one of `ES256`, `RS256`, `EdDSA`
      hint: did you mean `ES256`?
    f.yaml:14: realms[0].lifetimes.access_token: `ten minutes` is not a duration such as `60s`, `10m`, `12h` or `14d`
      hint: write a whole number directly followed by its unit: ms, s, m, h or d
    f.yaml:14: realms[0].lifetimes.code: expected text, found a number
      hint: add the unit: `60s`
    f.yaml:15: realms[0].cimd.allow_http: expected true or false, found text
      hint: Accept `http` URLs: for development only
    f.yaml:15: realms[0].cimd.mode: `opn` is not one of `off`, `allowlist`, `approval`, `open`
      hint: did you mean `open`?
    f.yaml:15: realms[0].cimd.ports[0]: `70000` is out of range: expected between 0 and 65535
    f.yaml:16: realms[0].users: expected a list, found a map
      hint: write it as a list: begin the entry with `- `
    f.yaml:18: realms[0].clients[0].authentication: `password` is not one of `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`
    f.yaml:18: realms[0].clients[0].client_id: expected text, found a number
      hint: put it in quotes: "7"
    f.yaml:18: realms[0].clients[0].secret: exactly one of `env`, `file`, `danger_literal` is expected
    f.yaml:22: gateways[0].authoriser: unknown key `authoriser`
      hint: did you mean `authorizer`?
    f.yaml:23: gateways[0].targets[0].mcp.url: `http://127.0.0.1:8481/mcp#x` is not an absolute http or https URL
      hint: leave out the fragment, `#` and what follows
    f.yaml:23: gateways[0].targets[0].name: `my_server` is not the name of a target: 1 to 100 letters and digits with single hyphens between them
    f.yaml:24: banana: unknown key `banana`
      hint: known are `connections`, `data_directory`, `demo_mcp_server`, `documents`, `egress`, `gateways`, `listeners`, `management`, `proxies`, `realms`, `shutdown`, `store`, `worker_threads`
    "#);
}

#[test]
fn what_does_not_go_together_is_reported_at_once() {
    let text = r#"
listeners:
  - { name: main, address: "127.0.0.1:8480" }
  - { name: main, address: "127.0.0.1:8480" }
  - { name: tls, address: "127.0.0.1:8443", tls: {} }
realms:
  - name: demo
    url: https://auth.example.com/realms/other
    scopes: [ { name: mcp:tools }, { name: mcp:tools } ]
    resources: [ { uri: "http://127.0.0.1:8480/mcp", default_scopes: [ mcp:tool ] } ]
    cimd: { mode: allowlist, cache: { min: 2h, max: 1h } }
    lifetimes: { refresh_idle: 100d }
    clients:
      - { client_id: a, redirect_uris: [ "http://localhost/cb" ], authentication: client_secret_basic }
      - { client_id: a, redirect_uris: [ "http://localhost/cb" ], secret: { env: X } }
gateways:
  - name: g
    url: http://127.0.0.1:8480/mcp
    authorizer: { discovery_url: "https://auth.example.com/realms/other/.well-known/openid-configuration" }
    targets:
      - { name: t, mcp: { url: "http://127.0.0.1:8481/mcp" } }
      - { name: t, mcp: { url: "http://127.0.0.1:8482/mcp" } }
  - name: g
    url: http://127.0.0.1:8480/mcp
    authorizer: { discovery_url: "http://127.0.0.1:8480/x", danger_any_audience: true }
proxies: [ { url: "http://127.0.0.1:9999", upstream: "http://127.0.0.1:1/path" } ]
demo_mcp_server: {}
"#;
    insta::assert_snapshot!(problems(text), @"
    f.yaml:4: listeners[1].address: `127.0.0.1:8480` is taken by `listeners[0].address`
      hint: give each its own port
    f.yaml:4: listeners[1].name: `main` is declared twice
      hint: the first is listeners[0]
    f.yaml:5: listeners[2].tls: there is no certificate
      hint: give `certificate_file` and `key_file`, or `local_ca: true`
    f.yaml:8: realms[0].url: no listener serves https on port 443
      hint: listeners are `main` (http on port 8480), `main` (http on port 8480), `tls` (https on port 8443); change the URL, add a listener, or give `trusted_proxies` or `public_port` if something in front maps it
    f.yaml:8: realms[0].url: `https://auth.example.com/realms/other` is neither an origin nor does it end in `/realms/demo`
      hint: the path of a realm's URL is `/realms/demo` or nothing
    f.yaml:9: realms[0].scopes[1].name: `mcp:tools` is declared twice
      hint: the first is realms[0].scopes[0]
    f.yaml:10: realms[0].resources[0].default_scopes[0]: the realm has no scope `mcp:tool`
      hint: did you mean `mcp:tools`?
    f.yaml:11: realms[0].cimd: mode `allowlist` without `trusted_domains` accepts nobody
    f.yaml:11: realms[0].cimd.cache: min `2h` is longer than max `1h`
    f.yaml:12: realms[0].lifetimes: refresh_idle `100d` is longer than refresh_absolute `90d`
    f.yaml:14: realms[0].clients[0]: `secret` is missing
      hint: client_secret_basic and client_secret_post have a secret, others don't
    f.yaml:15: realms[0].clients[1]: `secret` is not used with this `authentication`
      hint: client_secret_basic and client_secret_post have a secret, others don't
    f.yaml:15: realms[0].clients[1].client_id: `a` is declared twice
      hint: the first is realms[0].clients[0]
    f.yaml:19: gateways[0].authorizer: `allowed_audiences` is missing: any token of the issuer would be accepted
      hint: name the audience that your authorization server puts into tokens for this gateway; if it puts none into any token, name `allowed_clients`
    f.yaml:22: gateways[0].targets[1].name: `t` is declared twice
      hint: the first is gateways[0].targets[0]
    f.yaml:23: gateways[1].name: `g` is declared twice
      hint: the first is gateways[0]
    f.yaml:24: gateways[1].url: `http://127.0.0.1:8480/mcp` is served by `gateways[0].url` already
      hint: each service needs a URL of its own
    f.yaml:26: proxies[0].upstream: an upstream is an origin, without path
      hint: paths stay as they are: put the path into `url`
    f.yaml:26: proxies[0].url: no listener serves http on port 9999
      hint: listeners are `main` (http on port 8480), `main` (http on port 8480), `tls` (https on port 8443); change the URL, add a listener, or give `trusted_proxies` or `public_port` if something in front maps it
    f.yaml:27: demo_mcp_server: exactly one of `address` and `url` is expected
    ");
}

#[test]
fn a_realm_that_cannot_make_the_tokens_of_a_gateway_is_reported() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    scopes: [ { name: mcp:tools, audiences: [ mcp-gateway ] } ]
    resources: [ { uri: "http://127.0.0.1:8480/other" } ]
gateways:
  - name: g
    url: http://127.0.0.1:8480/mcp
    authorizer:
      discovery_url: http://127.0.0.1:8480/.well-known/oauth-authorization-server/realms/demo
      allowed_audiences: [ mcp-gatewy ]
      allowed_scopes: [ mcp:tool ]
"#;
    insta::assert_snapshot!(problems(text), @r#"
    f.yaml:10: gateways[0].url: realm `demo` makes no tokens for `http://127.0.0.1:8480/mcp`: it is not among its `resources`
      hint: MCP clients ask for it by name (RFC 8707): add { uri: "http://127.0.0.1:8480/mcp" }
    f.yaml:13: gateways[0].authorizer.allowed_audiences: no token of realm `demo` is for any of these
      hint: its resources and the `audiences` of its scopes are http://127.0.0.1:8480/other, mcp-gateway
    f.yaml:14: gateways[0].authorizer.allowed_scopes[0]: realm `demo` has no scope `mcp:tool`
      hint: did you mean `mcp:tools`?
    "#);
}

#[test]
fn several_issuers_have_their_rules_each_in_its_entry() {
    let with = |authorizer: &str| {
        format!(
            r#"
listeners: [ {{ name: main, address: "127.0.0.1:8480" }} ]
gateways:
  - name: g
    url: http://127.0.0.1:8480/mcp
    authorizer: {authorizer}
"#
        )
    };
    let good = with(
        r"
      - discovery_url: https://a.example/.well-known/openid-configuration
        allowed_audiences: [ gateway ]
        allowed_algorithms: [ ES256, ES384 ]
      - discovery_url: https://b.example/.well-known/openid-configuration
        allowed_clients: [ some-client ]",
    );
    let good = plan(&good).unwrap();
    let gateway = &good.gateways[0];
    let Authorization::Tokens(authorizers) = gateway.authorization() else {
        panic!("{gateway:?}");
    };
    let [first, second] = authorizers else {
        panic!("{gateway:?}");
    };
    assert_eq!(first.algorithms(), AlgSet::of(&[Alg::Es256, Alg::Es384]));
    assert_eq!(second.algorithms(), AlgSet::ALL);
    let bad = with(
        r"
      - discovery_url: https://a.example/.well-known/openid-configuration
        allowed_audiences: [ gateway ]
      - discovery_url: https://a.example/.well-known/oauth-authorization-server
        issuer: https://a.example/
        allowed_audiences: [ other ]
      - discovery_url: https://b.example/.well-known/openid-configuration",
    );
    insta::assert_snapshot!(problems(&bad), @"
    f.yaml:9: gateways[0].authorizer[1]: the issuer `https://a.example` has its rules in `gateways[0].authorizer[0]` already
      hint: a token is judged by one set of rules: put both into one entry
    f.yaml:12: gateways[0].authorizer[2]: `allowed_audiences` is missing: any token of the issuer would be accepted
      hint: name the audience that your authorization server puts into tokens for this gateway; if it puts none into any token, name `allowed_clients`
    ");
    insta::assert_snapshot!(problems(&with("[]")), @"
    f.yaml:6: gateways[0].authorizer: at least one issuer is expected
      hint: an entry is an issuer with its `discovery_url`
    ");
    insta::assert_snapshot!(
        problems(&with("\n      - discovery_url: https://a.example/.well-known/openid-configuration\n        allowed_audience: [ x ]\n        allowed_algorithms: [ HS256 ]")), @"
    f.yaml:8: gateways[0].authorizer[0].allowed_audience: unknown key `allowed_audience`
      hint: did you mean `allowed_audiences`?
    f.yaml:9: gateways[0].authorizer[0].allowed_algorithms[0]: `HS256` is not one of `ES256`, `ES384`, `ES512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA`
      hint: did you mean `ES256`?
    "
    );
    insta::assert_snapshot!(problems(&with("gateway")), @"f.yaml:6: gateways[0].authorizer: expected a map or a list, found text");
}

// SEC-42
#[test]
fn keys_by_which_a_client_could_never_log_in_are_reported() {
    let with = |keys: &str| {
        plan(&with_clients(&format!(
            "      - {{ client_id: a, redirect_uris: [ \"http://localhost/cb\" ], authentication: private_key_jwt, jwks: {{ keys: [ {keys} ] }} }}"
        )))
        .err()
    };
    let good = r#"{ kty: OKP, crv: Ed25519, x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }"#;
    let odd = r#"{ kty: EC, crv: P-192, x: "AA", y: "AA" }"#;
    assert_eq!(with(good), None);
    assert_eq!(with(&format!("{odd}, {good}")), None);
    insta::assert_snapshot!(with(odd).unwrap(), @"
    f.yaml:8: realms[0].clients[0].jwks: no key can be used: the type, curve or algorithm of the key is not supported
      hint: write a JSON Web Key Set: { keys: [ … ] }
    ");
    insta::assert_snapshot!(with("").unwrap(), @"
    f.yaml:8: realms[0].clients[0].jwks: there is no key for signatures
      hint: write a JSON Web Key Set: { keys: [ … ] }
    ");
}

// AS-22, SEC-6
#[test]
fn a_client_has_private_use_schemes_and_addresses_for_after_the_logout() {
    let plan = plan(&with_clients(
        r#"
      - client_id: a
        redirect_uris: [ "cursor://anysphere.cursor-mcp/oauth/callback", "com.example.app:/callback" ]
        post_logout_redirect_uris: [ "https://app.example/bye", "Cursor://bye" ]
"#,
    ))
    .unwrap();
    let [DeclaredRealm { realm, .. }] = plan.realms.as_slice() else {
        panic!("{} realms", plan.realms.len());
    };
    let client = realm.client(&"a".parse().unwrap()).unwrap();
    let texts = |uris: &[oauth::redirect_uri::RedirectUri]| {
        uris.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&client.redirect_uris),
        [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "com.example.app:/callback"
        ]
    );
    assert_eq!(
        texts(&client.post_logout_redirect_uris),
        ["https://app.example/bye", "Cursor://bye"]
    );
}

// SEC-7
#[test]
fn an_address_that_no_browser_may_be_sent_to_is_reported() {
    let text = with_clients(
        r#"
      - client_id: a
        redirect_uris: [ "localhost:6274/callback", "javascript://x" ]
        post_logout_redirect_uris: [ "http://app.example/bye" ]
"#,
    );
    insta::assert_snapshot!(plan(&text).unwrap_err(), @"
    f.yaml:10: realms[0].clients[0].redirect_uris[0]: `localhost:6274/callback` can't be used: a private-use scheme must contain a dot, as in `com.example.app:/callback`
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    f.yaml:10: realms[0].clients[0].redirect_uris[1]: `javascript://x` can't be used: the redirect URI has a scheme that runs code or reads files
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    f.yaml:11: realms[0].clients[0].post_logout_redirect_uris[0]: `http://app.example/bye` can't be used: a redirect URI with `http` must point to localhost, 127.0.0.1 or [::1]
      hint: write `https://…`, `http://127.0.0.1/…`, or an application's own scheme as `cursor://…`
    ");
}

// SEC-3, SEC-45, SEC-48
#[test]
fn lifetimes_that_are_too_long_are_reported() {
    let realm = |lifetimes: &str| {
        format!(
            r#"
listeners: [ {{ name: main, address: "127.0.0.1:8480" }} ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    lifetimes: {{ {lifetimes} }}
"#
        )
    };
    let longest = realm("code: 60s, access_token: 1h, refresh_grace: 5m, interaction: 1d");
    assert_eq!(problems(&longest), "");
    let longer = realm("code: 61s, access_token: 61m, refresh_grace: 90d, interaction: 25h");
    insta::assert_snapshot!(problems(&longer), @"
    f.yaml:6: realms[0].lifetimes.access_token: `61m` is longer than `1h`
      hint: clients renew it with their refresh token: leave it out for `10m`
    f.yaml:6: realms[0].lifetimes.code: `61s` is longer than `1m`
      hint: a client redeems its code at once: leave it out for `1m`
    f.yaml:6: realms[0].lifetimes.interaction: `25h` is longer than `1d`
      hint: nobody comes back to a login so much later: leave it out for `30m`
    f.yaml:6: realms[0].lifetimes.refresh_grace: `90d` is longer than `5m`
      hint: until it is over, nobody notices a stolen token: leave it out for `2m`
    ");
}

// CI-13, SEC-30
#[test]
fn a_client_id_that_looks_like_the_url_of_a_document_is_reported() {
    let text = with_clients(
        r#"
      - { client_id: "https://app.example/client.json", redirect_uris: [ "http://localhost/cb" ] }
      - { client_id: "HTTP:app", redirect_uris: [ "http://localhost/cb" ] }
      - { client_id: "https-app", redirect_uris: [ "http://localhost/cb" ] }
"#,
    );
    insta::assert_snapshot!(plan(&text).unwrap_err(), @"
    f.yaml:9: realms[0].clients[0].client_id: `https://app.example/client.json` is taken for the URL of a metadata document
      hint: give it a plain name; who may come with a document is said by `cimd`
    f.yaml:10: realms[0].clients[1].client_id: `HTTP:app` is taken for the URL of a metadata document
      hint: give it a plain name; who may come with a document is said by `cimd`
    ");
}

#[test]
fn a_syntax_error_is_reported_with_its_line() {
    insta::assert_snapshot!(problems("listeners:\n  - name: main\n   address: x\n"), @"f.yaml:3: not a YAML document: while parsing a block collection, did not find expected '-' indicator");
}

#[test]
fn a_key_given_twice_is_refused() {
    insta::assert_snapshot!(problems("listeners: []\nlisteners: []\n"), @"f.yaml:2: the key `listeners` is given twice");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    insta::assert_snapshot!(problems(""), @"
    f.yaml: the file is empty
      hint: `sekisho init` writes one to start from
    ");
    insta::assert_snapshot!(problems("listeners: [ { name: a, address: '127.0.0.1:0' } ]"), @"
    f.yaml:1: there is nothing to serve
      hint: declare a realm, a gateway, a document or a proxy; `sekisho config show --demo` shows all of them
    ");
}

#[test]
fn an_unreadable_file_is_reported_like_any_other_problem() {
    let invalid = Loaded::read(Path::new("/nonexistent/f.yaml")).unwrap_err();
    insta::assert_snapshot!(invalid, @"
    /nonexistent/f.yaml: no such file or directory
      hint: `sekisho init` writes one to start from
    ");
}

#[test]
fn a_secret_is_taken_from_a_file_without_its_line_break() {
    let directory = std::env::temp_dir().join(format!("sekisho-secret-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("s"), "hush\n").unwrap();
    let source: secret::Source = serde_json::from_str(r#"{"file": "s"}"#).unwrap();
    assert_eq!(source.read(&directory).unwrap(), "hush");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_literal_secret_is_never_printed() {
    let source: secret::Source = serde_json::from_str(r#"{"danger_literal": "hush"}"#).unwrap();
    assert!(!format!("{source:?}{}", serde_json::to_string(&source).unwrap()).contains("hush"));
}

#[test]
fn every_key_of_the_schema_is_documented() {
    fn undocumented(schema: &serde_json::Value, name: &str, found: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if property.get("description").is_none() {
                found.push(format!("{name}.{key}"));
            }
        }
    }
    let schema = schema();
    let mut found = Vec::new();
    undocumented(&schema, "Config", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undocumented(definition, name, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_checked_in_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    let checked_in = std::fs::read(path)
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .unwrap_or_default();
    assert!(
        checked_in == current,
        "docs/config.schema.json is not current; hint: `cargo xtask schema`"
    );
}

/// Two listeners, and these services.
fn bound(services: &str) -> String {
    problems(&format!(
        r#"
listeners:
  - {{ name: public, address: "127.0.0.1:8480", trusted_proxies: [ 10.0.0.0/8 ] }}
  - {{ name: internal, address: "127.0.0.1:8481" }}
{services}"#
    ))
}

// SEC-84
#[test]
fn services_that_a_listener_can_not_tell_apart_are_an_error_with_both_lines() {
    let text = r#"proxies:
  - { url: "https://gw.example", upstream: "http://127.0.0.1:1" }
  - { url: "https://gw.example:8443", upstream: "http://127.0.0.1:2" }
  - { url: "http://gw.example", upstream: "http://127.0.0.1:3" }
  - { url: "http://gw.example:8480", upstream: "http://127.0.0.1:4" }
gateways:
  - name: a
    url: https://mcp.example/mcp
    authorizer: { discovery_url: "https://i.example/.well-known/openid-configuration", allowed_audiences: [ a ] }
  - name: b
    url: https://mcp.example:444/mcp/
    authorizer: { discovery_url: "https://i.example/.well-known/openid-configuration", allowed_audiences: [ b ] }
"#;
    insta::assert_snapshot!(bound(text), @r"
    f.yaml:7: proxies[1].url: `https://gw.example:8443` can't be told from `https://gw.example` (proxies[0].url, line 6) at listener `public`: both want all other paths of `gw.example`
      hint: give one of them another host name or path, or keep it from this listener by `hosts`
    f.yaml:9: proxies[3].url: `http://gw.example:8480` can't be told from `https://gw.example` (proxies[0].url, line 6) at listener `public`: both want all other paths of `gw.example`
      hint: give one of them another host name or path, or keep it from this listener by `hosts`
    f.yaml:15: gateways[1].url: `https://mcp.example:444/mcp/` can't be told from `https://mcp.example/mcp` (gateways[0].url, line 12) at listener `public`: both want the path `/mcp` of `mcp.example`
      hint: give one of them another host name or path, or keep it from this listener by `hosts`
    ");
}

// SEC-84
#[test]
fn services_that_do_not_meet_at_a_listener_may_have_the_same_host_and_path() {
    let text = r#"proxies:
  - { url: "http://gw.example:8480", upstream: "http://127.0.0.1:1" }
  - { url: "http://gw.example:8481", upstream: "http://127.0.0.1:2" }
  - { url: "https://other.example", upstream: "http://127.0.0.1:3" }
  - { url: "http://other.example", upstream: "http://127.0.0.1:4" }
  - { url: "https://other.example/below", upstream: "http://127.0.0.1:5" }
"#;
    insta::assert_snapshot!(bound(text), @"");
}
