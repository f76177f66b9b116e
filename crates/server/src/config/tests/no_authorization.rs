//! Who may call a gateway: said in one way, and without tokens on this machine only.

use super::*;

/// A gateway with these keys, at this URL of these listeners.
fn with(listeners: &str, url: &str, keys: &str) -> String {
    format!(
        r#"
store: {{ url: "sqlite::memory:" }}
listeners:
{listeners}
gateways:
  - name: g
    url: {url}
{keys}
"#
    )
}

const HERE: &str = r#"  - { name: main, address: "127.0.0.1:8480" }"#;
const SWITCH: &str = "    danger_no_authorization: true";

// SEC-62
#[test]
fn a_gateway_without_authorization_is_for_this_machine_and_said_to_be_a_danger() {
    for (listeners, url) in [
        (HERE, "http://127.0.0.1:8480/mcp"),
        (HERE, "http://localhost:8480/mcp"),
        (HERE, "http://gateway.sekisho.localhost:8480/mcp"),
        (
            r#"  - { name: main, address: "[::1]:8480" }"#,
            "http://[::1]:8480/mcp",
        ),
        (
            "  - { name: main, address: \"127.0.0.1:8480\" }\n  - { name: public, address: \"0.0.0.0:8481\", trusted_proxies: [ 10.0.0.0/8 ] }",
            "http://127.0.0.1:8480/mcp",
        ),
    ] {
        let plan = plan(&with(listeners, url, SWITCH)).unwrap();
        assert_eq!(
            plan.gateways[0].authorization(),
            Authorization::DangerNone,
            "{url}"
        );
        let said: Vec<_> = plan.dangers.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(said, ["gateways[0].danger_no_authorization"]);
        assert!(plan.dangers[0].meaning.contains("without a token"));
    }
}

#[test]
fn who_may_call_is_said_in_exactly_one_way() {
    let url = "http://127.0.0.1:8480/mcp";
    let authorizer = "    authorizer: { discovery_url: \"https://a.example/.well-known/openid-configuration\", allowed_audiences: [ a ] }";
    let both = format!("{authorizer}\n{SWITCH}");
    insta::assert_snapshot!(problems(&with(HERE, url, &both)), @"
    f.yaml:9: gateways[0].danger_no_authorization: `authorizer` and `danger_no_authorization` exclude each other
      hint: leave one of them out: with the switch, no token is asked for
    ");
    let neither = "    danger_no_authorization: false";
    insta::assert_snapshot!(problems(&with(HERE, url, neither)), @"
    f.yaml:6: gateways[0]: `authorizer` is missing
      hint: name the issuer whose tokens are accepted; only where every program on this machine may call, write `danger_no_authorization: true` instead
    ");
}

// SEC-62, SEC-84
#[test]
fn whatever_lets_others_in_without_authorization_is_reported_at_once() {
    let listeners = r#"  - { name: open, address: "0.0.0.0:8480" }
  - { name: mapped, address: "127.0.0.1:8481", public_port: 8480 }
  - { name: proxied, address: "127.0.0.1:8482", trusted_proxies: [ 10.0.0.0/8 ], hosts: [ mcp.example.com ] }
  - { name: elsewhere, address: "0.0.0.0:8483" }"#;
    let text = with(listeners, "http://mcp.example.com:8480/mcp", SWITCH);
    insta::assert_snapshot!(problems(&text), @"
    f.yaml:10: gateways[0].url: without authorization, `mcp.example.com` is for others than this machine
      hint: use 127.0.0.1, [::1] or a name that ends in `localhost`, or give the gateway an `authorizer`
    f.yaml:11: gateways[0].danger_no_authorization: the gateway's URL arrives at listener `open`, which others reach at `0.0.0.0:8480`
      hint: bind the listener to a loopback address such as 127.0.0.1, or give the gateway an `authorizer`
    f.yaml:11: gateways[0].danger_no_authorization: the gateway's URL arrives at listener `proxied`, whose `trusted_proxies` let others in
      hint: serve the gateway at a listener without them, or give it an `authorizer`
    ");
}
