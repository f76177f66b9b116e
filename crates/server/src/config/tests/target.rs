//! What can be said about a target.

use std::time::Duration;

use model::target::{CircuitBreaker, Limits, Target, Timeouts};

use super::plan;

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
    assert!(default.list_max_age <= Duration::from_mins(1));
    let set = target(
        r"
        timeouts: { connect: 1s, answer: 20m, first_message: 1s }
        limits: { calls: 7, message: 1048576 }
        circuit_breaker: { failures: 0 }
        list_max_age: 5s",
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
        list_max_age: Duration::from_secs(5),
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
        list_max_age: 0s",
    );
    insta::assert_snapshot!(plan(&text).err().unwrap_or_default(), @r"
    f.yaml:12: gateways[0].targets[0].timeouts.connect: `0s` is no time at all
      hint: leave the key out for its default
    f.yaml:12: gateways[0].targets[0].timeouts.total: `0s` is no time at all
      hint: leave the key out for its default
    f.yaml:13: gateways[0].targets[0].limits.calls: `0` is out of range: expected at least 1
    f.yaml:14: gateways[0].targets[0].list_max_age: `0s` is no time at all
      hint: leave the key out for its default
    ");
}
