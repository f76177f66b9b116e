//! A document whose shape is wrong somewhere: all else that is wrong is said with it, and nothing that is not.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_wrong_shape_a_clash_and_a_wrong_database_are_reported_at_once() {
    let text = r#"
listeners:
  - { name: main, address: "127.0.0.1:8480" }
  - { name: other, address: "127.0.0.1:8480" }
store: { url: "mysql://db.example/sekisho" }
gateways:
  - name: g
    url: http://127.0.0.1:8480/mcp
    authorizer: { discovery_url: "https://id.example/wrong", allowed_audiences: [ a ] }
    targets:
      - { name: a, mcp: { url: "http://10.1.2.3/mcp" }, freshness: { max_age: soon } }
      - { name: b, mcp: { url: "http://10.1.2.3/mcp" } }
      - { name: b, mcp: { url: "https://mcp.example/mcp" } }
"#;
    insta::assert_snapshot!(plan(text).unwrap_err(), @"
    f.yaml:4: listeners[1].address: `127.0.0.1:8480` is taken by `listeners[0].address`
      hint: give each its own port
    f.yaml:5: store.url: expected `sqlite::memory:`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`
    f.yaml:9: gateways[0].authorizer.discovery_url: `https://id.example/wrong` is not the URL of a discovery document
      hint: it has /.well-known/openid-configuration or /.well-known/oauth-authorization-server in it
    f.yaml:11: gateways[0].targets[0].freshness.max_age: `soon` is not a duration such as `60s`, `10m`, `12h` or `14d`
      hint: write a whole number directly followed by its unit: ms, s, m, h or d
    f.yaml:12: gateways[0].targets[1].mcp.url: 10.1.2.3 is special-use (private)
      hint: if that is meant, add `10.1.2.3/32` to `egress.allow_networks`
    f.yaml:13: gateways[0].targets[2].name: `b` is declared twice
      hint: the first is gateways[0].targets[1]
    ");
}

#[test]
fn paths_are_those_of_the_document_whatever_is_left_out_before_them() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - { name: broken, url: http//x }
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    users: [ { username: 7 }, { username: alice }, { username: bob }, { username: alice } ]
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
proxies: [ { url: no-url, upstream: "https://a.example" }, { url: "http://127.0.0.1:8480/a", upstream: "https://a.example/b" } ]
"#;
    insta::assert_snapshot!(plan(text).unwrap_err(), @r#"
    f.yaml:4: realms[0].url: `http//x` is not an absolute http or https URL
      hint: begin it with https://
    f.yaml:7: realms[1].users[0].username: expected text, found a number
      hint: put it in quotes: "7"
    f.yaml:7: realms[1].users[3].username: `alice` is declared twice
      hint: the first is realms[1].users[1]
    f.yaml:8: realms[2].name: `demo` is declared twice
      hint: the first is realms[1]
    f.yaml:9: realms[2].url: `http://127.0.0.1:8480/realms/demo` is served by `realms[1].url` already
      hint: each service needs a URL of its own
    f.yaml:10: proxies[0].url: `no-url` is not an absolute http or https URL
      hint: begin it with https://
    f.yaml:10: proxies[1].upstream: an upstream is an origin, without path
      hint: paths stay as they are: put the path into `url`
    "#);
}

/// A configuration with all that depends on something else.
fn sound() -> Value {
    let target = |name: &str| json!({ "name": name, "mcp": { "url": "https://mcp.example/mcp" }, "limits": { "calls": 7 } });
    json!({
        "listeners": [
            { "name": "main", "address": "127.0.0.1:8480" },
            { "name": "mapped", "address": "127.0.0.1:8481", "trusted_proxies": [ "10.0.0.0/8" ], "hosts": [ "auth.example" ] },
        ],
        "management": { "address": "127.0.0.1:9481", "hosts": [ "metrics.example" ] },
        "connections": { "least_body_rate": 512 },
        "shutdown": { "drain": "5s" },
        "worker_threads": 2,
        "data_directory": "data",
        "store": { "url": "sqlite::memory:" },
        "egress": { "allow_networks": [ "127.0.0.0/8" ], "hosts": { "mcp.example": "127.0.0.1:1" } },
        "realms": [
            {
                "name": "demo",
                "url": "https://auth.example/realms/demo",
                "lifetimes": { "refresh_idle": "100d", "refresh_absolute": "200d" },
                "scopes": [ { "name": "mcp:tools", "audiences": [ "gateway" ] }, { "name": "profile" } ],
                "resources": [ { "uri": "http://127.0.0.1:8480/mcp", "default_scopes": [ "mcp:tools" ] } ],
                "users": [ { "username": "alice", "password": { "danger_literal": "a password" } } ],
                "clients": [ {
                    "client_id": "a",
                    "redirect_uris": [ "http://localhost/cb" ],
                    "authentication": "client_secret_basic",
                    "secret": { "danger_literal": "a-long-enough-secret" },
                } ],
                "cimd": { "mode": "allowlist", "trusted_domains": [ "app.example" ] },
                "registration": {
                    "mode": "token",
                    "initial_access_tokens": [ { "danger_literal": "sixteen-letters-or-more" } ],
                },
            },
            { "name": "other", "url": "http://127.0.0.1:8480/realms/other" },
        ],
        "documents": [ {
            "url": "http://127.0.0.1:8480/client.json",
            "document": { "client_name": "x", "redirect_uris": [ "http://localhost/cb" ] },
        } ],
        "gateways": [
            {
                "name": "g",
                "url": "http://127.0.0.1:8480/mcp",
                "authorizer": {
                    "discovery_url": "https://auth.example/realms/demo/.well-known/openid-configuration",
                    "allowed_audiences": [ "gateway" ],
                    "allowed_scopes": [ "mcp:tools" ],
                },
                "caller_limits": { "calls": 9 },
                "targets": [ target("a"), target("b") ],
            },
            {
                "name": "h",
                "url": "http://127.0.0.1:8480/h",
                "authorizer": [ {
                    "discovery_url": "https://id.example/.well-known/openid-configuration",
                    "allowed_clients": [ "c" ],
                } ],
            },
            { "name": "open", "url": "http://127.0.0.1:8480/open", "danger_no_authorization": true },
        ],
        "proxies": [ { "url": "http://127.0.0.1:8480/p", "upstream": "https://a.example" } ],
        "demo_mcp_server": { "address": "127.0.0.1:8482" },
    })
}

/// The paths of all maps, lists and values in a document, each as JSON Pointers and our configuration write it.
fn places(value: &Value, (pointer, path): (&str, &str), found: &mut Vec<(String, String)>) {
    found.push((pointer.to_owned(), path.to_owned()));
    match value {
        Value::Object(members) => {
            for (key, inner) in members.iter().filter(|(key, _)| *key != "document") {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                places(inner, (&format!("{pointer}/{key}"), &path), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let place = (&*format!("{pointer}/{index}"), &*format!("{path}[{index}]"));
                places(inner, place, found);
            }
        }
        _ => {}
    }
}

/// All that is reported about a document: where, and the whole message.
fn reported(document: &Value) -> Vec<(String, String)> {
    let loaded = Loaded::parse(&document.to_string(), "f.yaml", PathBuf::new());
    let invalid = loaded.and_then(Plan::new).err();
    let problems = invalid.map(|invalid| invalid.problems).unwrap_or_default();
    problems
        .into_iter()
        .map(|problem| (problem.path.clone(), problem.to_string()))
        .collect()
}

#[test]
fn what_depends_on_a_wrong_shape_is_not_blamed_for_it() {
    let sound = sound();
    assert_eq!(reported(&sound), []);
    let mut all = Vec::new();
    places(&sound, ("", ""), &mut all);
    for (pointer, path) in &all {
        // Of the wrong kind, whatever is expected.
        let mut document = sound.clone();
        *document.pointer_mut(pointer).unwrap() = json!([[{ "banana": 1 }]]);
        let said = reported(&document);
        assert!(!said.is_empty(), "{path}");
        for (at, problem) in &said {
            assert!(at.starts_with(path.as_str()), "{path} is wrong: {problem}");
        }
        // Beside a key that nobody knows, or written in another way itself.
        let keys: Vec<String> = match sound.pointer(pointer) {
            Some(Value::Object(members)) => members.keys().cloned().collect(),
            _ => continue,
        };
        for key in keys {
            let mut document = sound.clone();
            let map = document
                .pointer_mut(pointer)
                .unwrap()
                .as_object_mut()
                .unwrap();
            let value = map.remove(&key).unwrap();
            let misspelt = format!("{key}x");
            map.insert(misspelt.clone(), value);
            // The hosts of `egress` and the secrets' kinds are no keys of ours.
            for (at, problem) in reported(&document) {
                let own = at == *path || at.ends_with(&misspelt);
                assert!(own, "{path}: `{key}` is written `{misspelt}`: {problem}");
            }
        }
    }
}

#[test]
fn claims_groups_and_attributes_are_checked_where_they_stand() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    scopes:
      - name: mcp:tools
        claims:
          - { claim: sub, from: username }
          - { claim: groups, from: grups }
          - { claim: a, from: { attribute: " a" } }
          - { claim: b, from: groups, tokens: [ refresh_token ] }
          - { claim: ok, from: { value: [ 1, true ] } }
    users:
      - { username: alice, groups: [ "" ], attributes: { dept: 7 } }
      - { username: bob, attributes: { " x": a } }
      - { username: carol, attributes: { x: BIG } }
"#;
    let text = text.replace("BIG", &"x".repeat(5000));
    insta::assert_snapshot!(plan(&text).unwrap_err(), @r"
    f.yaml:9: realms[0].scopes[0].claims[0].claim: `sub` is not the name of a claim that this server does not set itself
    f.yaml:10: realms[0].scopes[0].claims[1].from: `grups` is not one of `groups`, `username`, `name`, `email`, `email_verified`
      hint: did you mean `groups`?
    f.yaml:11: realms[0].scopes[0].claims[2].from.attribute: ` a` is not the name of an attribute: 1 to 255 bytes without control characters
    f.yaml:12: realms[0].scopes[0].claims[3].tokens[0]: `refresh_token` is not one of `access_token`, `id_token`, `userinfo`
    f.yaml:15: realms[0].users[0].attributes.dept: expected text or a list, found a number
    f.yaml:15: realms[0].users[0].groups[0]: `` is not a group: 1 to 255 bytes without control characters
    f.yaml:16: realms[0].users[1].attributes. x: ` x` is not the name of an attribute: 1 to 255 bytes without control characters
    f.yaml:17: realms[0].users[2]: the groups and attributes of one user or client take 5023 bytes as JSON, more than 4096
    ");
}

#[test]
fn claims_groups_and_attributes_are_read_as_they_are_written() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    scopes:
      - name: mcp:tools
        claims: [ { claim: groups, from: groups }, { claim: t, from: { value: { a: 1 } }, tokens: [ id_token ] } ]
    users: [ { username: alice, groups: [ b, a, b ], attributes: { dept: sales, phone: [ "1", "2" ] } } ]
    clients: [ { client_id: c, redirect_uris: [ "http://localhost/cb" ], groups: [ robots ] } ]
"#;
    let plan = plan(text).unwrap();
    let declared = &plan.realms[0];
    let written = |traits: &model::traits::Traits| traits.to_json();
    insta::assert_snapshot!(written(&declared.users[0].traits), @r#"{"groups":["a","b"],"attributes":{"dept":"sales","phone":["1","2"]}}"#);
    insta::assert_snapshot!(written(&declared.realm.clients[0].traits), @r#"{"groups":["robots"]}"#);
    insta::assert_snapshot!(serde_json::to_string(&declared.realm.scopes[0].claims).unwrap(), @r#"[{"claim":"groups","from":"groups","tokens":["access_token","id_token","userinfo"]},{"claim":"t","from":{"value":{"a":1}},"tokens":["id_token"]}]"#);
}
