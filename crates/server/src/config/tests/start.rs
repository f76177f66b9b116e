//! What is found out before anything is started: words and truth values, dangers, what may be called, texts.

use super::*;

#[test]
fn every_word_that_can_stand_somewhere_is_read_as_a_word() {
    fn words(schema: &serde_json::Value, found: &mut Vec<String>) {
        match schema {
            serde_json::Value::Object(members) => {
                let listed = members.get("enum").and_then(|all| all.as_array());
                let one = members.get("const");
                found.extend(
                    listed
                        .into_iter()
                        .flatten()
                        .chain(one)
                        .filter_map(|word| Some(word.as_str()?.to_owned())),
                );
                members.values().for_each(|inner| words(inner, found));
            }
            serde_json::Value::Array(all) => all.iter().for_each(|inner| words(inner, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    words(&schema(), &mut found);
    assert!(found.contains(&"off".to_owned()), "{found:?}");
    for word in found {
        let node = Node::parse(&word).unwrap();
        assert!(
            matches!(&node.value, node::Value::Text(text) if *text == word),
            "{word}"
        );
    }
}

#[test]
fn what_yaml_once_took_for_a_truth_value_is_one_only_where_one_is_wanted() {
    let text = r#"
listeners: [ { name: no, address: "127.0.0.1:8443", tls: { local_ca: yes } } ]
store: { url: "sqlite::memory:" }
realms:
  - name: on
    url: https://127.0.0.1:8443/realms/on
    danger_pkce_optional: Off
    cimd: { mode: off, only_confidential: "on" }
    users: [ { username: yes } ]
"#;
    let config = Loaded::parse(text, "f.yaml", PathBuf::new())
        .unwrap()
        .config;
    let (listener, realm) = (&config.listeners[0], &config.realms[0]);
    assert_eq!(listener.name.0, "no");
    assert!(listener.tls.as_ref().unwrap().local_ca);
    assert_eq!(
        (realm.realm.name.as_str(), realm.realm.cimd.mode),
        ("on", model::client_policy::Mode::Off)
    );
    assert!(!realm.realm.danger_pkce_optional && realm.realm.cimd.only_confidential);
    assert_eq!(realm.users[0].username.as_str(), "yes");
}

#[test]
fn a_switch_that_is_on_in_many_places_is_said_once() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
store: { url: "postgres://sekisho:hunter2@db.example/sekisho", key: { danger_literal: "0101010101010101010101010101010101010101010101010101010101010101" } }
realms:
  - name: demo
    url: http://127.0.0.1:8480/realms/demo
    users:
      - { username: alice, password: { danger_literal: alice } }
      - { username: bob, password: { danger_literal: bob } }
"#;
    let said: Vec<String> = plan(text)
        .unwrap()
        .dangers
        .iter()
        .map(|danger| format!("{}: {}", danger.path, danger.meaning))
        .collect();
    assert_eq!(
        said,
        [
            "store.url: a secret stands in the configuration itself",
            "store.key.danger_literal and 2 more: a secret stands in the configuration itself",
        ]
    );
}

#[test]
fn what_may_not_be_called_is_found_before_the_start_with_the_key_to_change() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
store: { url: "sqlite::memory:" }
egress:
  hosts: { Internal.example: "10.0.0.5:8080", "ported.example:8443": "10.0.0.6:443" }
  allow_networks: [ 192.168.0.0/16 ]
gateways:
  - name: demo
    url: http://127.0.0.1:8480/mcp
    authorizer:
      discovery_url: http://localhost:8481/.well-known/openid-configuration
      allowed_audiences: [ a ]
    targets:
      - { name: allowed, mcp: { url: "http://192.168.1.1/mcp" } }
      - { name: elsewhere, mcp: { url: "https://mcp.example.com/mcp" } }
      - { name: literal, mcp: { url: "http://[::1]:8000/mcp" } }
      - { name: mapped, mcp: { url: "http://internal.example/mcp" } }
      - { name: ported, mcp: { url: "https://ported.example:8443/mcp" } }
proxies:
  - { url: "http://127.0.0.1:8480/app", upstream: "http://169.254.169.254" }
"#;
    insta::assert_snapshot!(plan(text).unwrap_err(), @"
    f.yaml:17: gateways[0].targets[3].mcp.url: `internal.example` leads to 10.0.0.5, which is special-use (private)
      hint: if that is meant, add `10.0.0.5/32` to `egress.allow_networks`
    f.yaml:18: gateways[0].targets[4].mcp.url: `ported.example` leads to 10.0.0.6, which is special-use (private)
      hint: if that is meant, add `10.0.0.6/32` to `egress.allow_networks`
    f.yaml:20: proxies[0].upstream: 169.254.169.254 is special-use (link-local)
      hint: if that is meant, add `169.254.169.254/32` to `egress.allow_networks`
    ");
    let allowed = text.replace(
        "192.168.0.0/16",
        "192.168.0.0/16, 10.0.0.0/8, 169.254.169.254",
    );
    let warnings = |text: &str| {
        let warnings = plan(text).unwrap().warnings;
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    // What leads to this machine keeps nothing from starting.
    insta::assert_snapshot!(warnings(&allowed), @"
    f.yaml:11: gateways[0].authorizer.discovery_url: `localhost` leads to 127.0.0.1, which is special-use (loopback), and not called
      hint: if that is meant, add `127.0.0.1/32` to `egress.allow_networks`
    f.yaml:16: gateways[0].targets[2].mcp.url: ::1 is special-use (loopback), and not called
      hint: if that is meant, add `::1/128` to `egress.allow_networks`
    ");
    let all = allowed.replace("10.0.0.0/8,", "10.0.0.0/8, 127.0.0.0/8, \"::1\",");
    assert_eq!(warnings(&all), "");
}

#[test]
fn a_consent_text_is_the_same_everywhere_or_one_for_each_language() {
    let of = |text: &str| {
        let clients = format!("      []\n    scopes: [ {{ name: a, consent_text: {text} }} ]");
        let plan = plan(&with_clients(&clients)).unwrap();
        let scope = plan.realms[0].realm.scopes[0].clone();
        ["en", "ja"].map(|tag| scope.consent_text_in(tag).map(str::to_owned))
    };
    let texts = |en: &str, ja: &str| [Some(en.to_owned()), Some(ja.to_owned())];
    assert_eq!(of("Use it"), texts("Use it", "Use it"));
    assert_eq!(
        of("{ en: Use it, ja: \u{4f7f}\u{3046} }"),
        texts("Use it", "\u{4f7f}\u{3046}")
    );
    assert_eq!(
        of("{ ja: \u{4f7f}\u{3046} }"),
        texts("\u{4f7f}\u{3046}", "\u{4f7f}\u{3046}")
    );
    let wrong = with_clients("      []\n    scopes: [ { name: a, consent_text: { fr: x } } ]");
    assert!(plan(&wrong).unwrap_err().contains("unknown key `fr`"));
}

#[test]
fn a_wrong_shape_in_one_place_hides_nothing_that_is_wrong_elsewhere() {
    let text = r#"
listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms:
  - name: one
    url: http://127.0.0.1:8480/realms/one
    users: [ { username: alice, password: { env: SEKISHO_TEST_UNSET } } ]
  - { name: two, url: "http://127.0.0.1:8480/realms/two", signing_algorithm: HS256, users: [ { username: "a b" } ] }
documents:
  - { url: "http://127.0.0.1:8480/c.json", document: { client_name: x } }
gateways:
  - { name: demo, url: "http://127.0.0.1:8480/mcp", authorizer: { discovery_url: "https://as.example/x", allowed_audiences: [ a ] } }
"#;
    let said = problems(text);
    for expected in [
        "realms[0].users[0].password: the environment variable `SEKISHO_TEST_UNSET` is not set",
        "realms[1].signing_algorithm: `HS256` is not one of",
        "realms[1].users[0].username: `a b` is not a user name",
        "documents[0].document: the client metadata document lacks the property `redirect_uris`",
        "gateways[0].authorizer.discovery_url: `https://as.example/x` is not the URL of a discovery document",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(said.matches("f.yaml:").count(), 5, "{said}");
}
