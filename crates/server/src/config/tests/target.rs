//! What can be said about a gateway and its targets.

use std::time::Duration;

use model::listing::Listing;
use model::target::{CircuitBreaker, Freshness, Limits, Target, Timeouts};

use super::{plan, problems};

/// A gateway with one target that has these keys.
fn with_target(keys: &str) -> String {
    format!(
        r#"
listeners: [ {{ name: main, address: "127.0.0.1:8480" }} ]
egress: {{ allow_networks: [ 127.0.0.0/8 ] }}
gateways:
  - name: g
    url: http://127.0.0.1:8480/mcp
    authorizer: {{ discovery_url: "https://id.example.com/.well-known/openid-configuration", allowed_audiences: [ a ] }}
    targets:
      - name: t
        mcp: {{ url: "http://127.0.0.1:8000/mcp" }}
{keys}"#
    )
}

// UC-10
#[test]
fn the_bounds_of_a_target_can_be_set_one_by_one_and_have_defaults_that_slow_tools_do_not_meet() {
    let target = |keys: &str| {
        let plan = plan(&with_target(keys)).expect("a valid configuration");
        plan.gateways[0].targets[0].clone()
    };
    let default = target("");
    let minutes = Duration::from_mins(5);
    assert!(default.timeouts.answer >= minutes && default.timeouts.idle >= minutes);
    assert!(default.freshness.max_age <= Duration::from_mins(1));
    let set = target(
        r"
        timeouts: { connect: 1s, answer: 20m, first_message: 1s }
        limits: { calls: 7, message: 1048576 }
        circuit_breaker: { failures: 0 }
        freshness: { max_age: 5s }",
    );
    let expected = Target {
        timeouts: Timeouts {
            connect: Duration::from_secs(1),
            answer: Duration::from_mins(20),
            first_message: Duration::from_secs(1),
            ..default.timeouts
        },
        limits: Limits {
            calls: 7,
            message: 1_048_576,
            ..default.limits
        },
        circuit_breaker: CircuitBreaker {
            failures: 0,
            ..default.circuit_breaker
        },
        freshness: Freshness {
            max_age: Duration::from_secs(5),
            ..default.freshness
        },
        ..default
    };
    assert_eq!(set, expected);
}

#[test]
fn bounds_of_a_target_that_let_nothing_through_are_reported() {
    let text = with_target(
        r"
        timeouts: { connect: 0s, total: 0ms }
        limits: { calls: 0 }
        freshness: { max_age: 0s }",
    );
    insta::assert_snapshot!(plan(&text).err().unwrap_or_default(), @r"
    f.yaml:12: gateways[0].targets[0].timeouts.connect: `0s` is not a duration above zero
      hint: leave the key out for its default
    f.yaml:12: gateways[0].targets[0].timeouts.total: `0ms` is not a duration above zero
      hint: leave the key out for its default
    f.yaml:13: gateways[0].targets[0].limits.calls: `0` is out of range: expected at least 1
    f.yaml:14: gateways[0].targets[0].freshness.max_age: `0s` is not a duration above zero
      hint: leave the key out for its default
    ");
}

// SEC-61, SEC-63
#[test]
fn what_a_gateway_takes_and_keeps_can_be_set_and_is_something() {
    let with = |limits: &str| {
        let limits = format!("    limits: {{ {limits} }}\n    targets:");
        plan(&with_target("").replacen("    targets:", &limits, 1))
    };
    let set = with("body: 1048576, session: 1h").unwrap().gateways[0].limits;
    let default = model::gateway::Limits::default();
    let expected = model::gateway::Limits {
        body: 1_048_576,
        session: Duration::from_hours(1),
        ..default
    };
    assert_eq!(set, expected);
    let refused = with("keep_alive: 0s, page_size: 0").unwrap_err();
    insta::assert_snapshot!(refused, @r"
    f.yaml:8: gateways[0].limits.keep_alive: `0s` is not a duration above zero
      hint: leave the key out for its default
    f.yaml:8: gateways[0].limits.page_size: `0` is out of range: expected at least 1
    ");
    let refused = with("keep_alive: 0s, session: 0d").unwrap_err();
    insta::assert_snapshot!(refused, @r"
    f.yaml:8: gateways[0].limits.keep_alive: `0s` is not a duration above zero
      hint: leave the key out for its default
    f.yaml:8: gateways[0].limits.session: `0d` is not a duration above zero
      hint: leave the key out for its default
    ");
}

// SEC-36, SEC-70
#[test]
fn headers_of_a_target_are_labels_and_secrets() {
    let target = plan(&with_target(
        r"
        headers:
          - { name: X-Tenant, value: acme corp }
          - { name: X-Api-Key, secret: { danger_literal: k-1 } }
          - { name: Authorization, scheme: Bearer, secret: { danger_literal: t-1 } }",
    ));
    let target = target.unwrap().gateways[0].targets[0].clone();
    assert_eq!(target.headers["x-tenant"], "acme corp");
    assert_eq!(target.headers["x-api-key"], "k-1");
    assert_eq!(target.headers["authorization"], "Bearer t-1");
    let printed = format!("{target:?}");
    assert!(printed.contains("acme corp") && !printed.contains("k-1") && !printed.contains("t-1"));
}

// SEC-36, SEC-59
#[test]
fn headers_that_a_target_must_not_be_sent_are_reported() {
    let text = with_target(
        r#"
        headers:
          - { name: Host, value: elsewhere.example }
          - { name: Mcp-Session-Id, value: x }
          - { name: "Transfer-Encoding", value: chunked }
          - { name: "X-Key:", value: x }
          - { name: Authorization, value: Bearer t-1 }
          - { name: X-Split, value: "a\r\nX-Other: b" }
          - { name: X-Padded, value: " a" }
          - { name: X-Letters, value: é }
          - { name: X-Nothing }
          - { name: X-Both, value: a, secret: { env: SEKISHO_TEST_NO_SUCH } }
          - { name: X-Scheme, value: a, scheme: Bearer }
          - { name: X-Unset, secret: { env: SEKISHO_TEST_NO_SUCH } }
          - { name: X-Twice, value: a }
          - { name: x-twice, value: b }
          - { name: X-Shape, value: 1 }"#,
    );
    let said = problems(&text);
    assert!(said.contains("headers[14].value: expected text"), "{said}");
    let sound = text.replace("          - { name: X-Shape, value: 1 }", "");
    insta::assert_snapshot!(plan(&sound).err().unwrap_or_default(), @r#"
    f.yaml:13: gateways[0].targets[0].headers[0].name: `Host` is a header of the protocol
      hint: leave it out; the gateway sets it
    f.yaml:14: gateways[0].targets[0].headers[1].name: `Mcp-Session-Id` is a header of the protocol
      hint: leave it out; the gateway sets it
    f.yaml:15: gateways[0].targets[0].headers[2].name: `Transfer-Encoding` is a header of the protocol
      hint: leave it out; the gateway sets it
    f.yaml:16: gateways[0].targets[0].headers[3].name: `X-Key:` can't name a header
      hint: use letters, digits and hyphens, without a colon: X-Api-Key
    f.yaml:17: gateways[0].targets[0].headers[4].value: `authorization` is a credential
      hint: write it into a file or the environment: `secret: { file: … }`
    f.yaml:18: gateways[0].targets[0].headers[5].value: it can't be sent in a header
      hint: use visible ASCII characters, in one line
    f.yaml:19: gateways[0].targets[0].headers[6].value: it can't be sent in a header
      hint: use visible ASCII characters, in one line
    f.yaml:20: gateways[0].targets[0].headers[7].value: it can't be sent in a header
      hint: use visible ASCII characters, in one line
    f.yaml:21: gateways[0].targets[0].headers[8]: it says nothing
      hint: give it a `value`, or a `secret`
    f.yaml:22: gateways[0].targets[0].headers[9]: it has a `value` and a `secret`
      hint: keep one of them
    f.yaml:23: gateways[0].targets[0].headers[10].scheme: there is no `secret`
      hint: write both into `value`, or a `secret`
    f.yaml:24: gateways[0].targets[0].headers[11].secret: the environment variable `SEKISHO_TEST_NO_SUCH` is not set
    f.yaml:26: gateways[0].targets[0].headers[13].name: there are two headers `x-twice`
    "#);
}

// SEC-36
#[test]
fn a_secret_that_goes_to_another_machine_in_the_clear_is_warned_about() {
    let secret = "        headers: [ { name: X-Api-Key, secret: { danger_literal: k-1 } } ]";
    let label = "        headers: [ { name: X-Tenant, value: acme } ]";
    for (url, keys, warned) in [
        ("http://127.0.0.1:8000/mcp", secret, false),
        ("http://localhost:8000/mcp", secret, false),
        ("http://mcp.example.com/mcp", secret, true),
        ("http://mcp.example.com/mcp", label, false),
        ("https://mcp.example.com/mcp", secret, false),
    ] {
        let text = with_target(keys).replace("http://127.0.0.1:8000/mcp", url);
        let warnings = plan(&text).unwrap().warnings;
        let said = warnings
            .iter()
            .any(|one| one.message.contains("on the way"));
        assert_eq!(said, warned, "{url}: {warnings:?}");
    }
}

// TM-16
#[test]
fn what_a_target_offers_can_be_declared_and_how_it_is_known() {
    let listing = |keys: &str| {
        let plan = plan(&with_target(keys)).expect("a valid configuration");
        plan.gateways[0].targets[0].listing.clone()
    };
    assert_eq!(listing(""), Listing::InSync);
    for (word, mode) in [
        ("in_sync", Listing::InSync),
        ("scheduled", Listing::Scheduled),
        ("on_demand", Listing::OnDemand),
        ("dynamic", Listing::Dynamic),
    ] {
        assert_eq!(listing(&format!("        listing: {word}")), mode);
    }
    let declared = listing(
        r#"
        uri_prefixes: [ "docs:" ]
        listing:
          static:
            tools:
              - name: add
                inputSchema: { type: object, properties: { a: { type: integer, default: 1 } } }
            resources: [ { uri: "docs:a", name: a } ]"#,
    );
    let Listing::Static(offered) = declared else {
        panic!("{declared:?}")
    };
    assert_eq!(
        offered.tools[0]["inputSchema"]["properties"]["a"]["default"],
        1
    );
    assert_eq!(offered.resources.len(), 1);
}

#[test]
fn what_nobody_could_use_is_not_declared() {
    let wrong = |keys: &str| problems(&with_target(keys));
    insta::assert_snapshot!(
        wrong(r#"        uri_prefixes: [ "docs:", "docs", "docs:" ]"#),
        @"f.yaml:11: gateways[0].targets[0].uri_prefixes[1]: `docs` is not what URIs begin with: a scheme with its colon, and any more"
    );
    insta::assert_snapshot!(
        wrong("        listing: sometimes"),
        @"f.yaml:11: gateways[0].targets[0].listing: `sometimes` is not one of `in_sync`, `scheduled`, `on_demand`, `dynamic`"
    );
    insta::assert_snapshot!(
        wrong(r#"
        uri_prefixes: [ "docs:", "docs:" ]
        listing:
          static:
            tools: [ { name: sub, inputSchema: { type: object } }, { name: sub, inputSchema: { type: object } } ]
            prompts: [ { title: nameless } ]"#),
        @r"
    f.yaml:12: gateways[0].targets[0].uri_prefixes[1]: `docs:` is declared twice
      hint: the first is gateways[0].targets[0].uri_prefixes[0]
    f.yaml:15: gateways[0].targets[0].listing.static.tools[1]: it is declared twice
      hint: the first is tools[0]
    f.yaml:16: gateways[0].targets[0].listing.static.prompts[0]: a definition needs one `name` of 1 to 128 characters
    "
    );
}
