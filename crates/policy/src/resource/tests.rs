//! Tests of resource policies: what is accepted, what is refused with which words, what is decided.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

const NOWHERE: CallerFacts<'static> = CallerFacts {
    address: None,
    listener: None,
    tls: false,
    client_certificate: false,
};

fn from(address: &str) -> CallerFacts<'static> {
    CallerFacts {
        address: Some(address.parse().expect("an address")),
        ..NOWHERE
    }
}

const fn over(listener: &str) -> CallerFacts<'_> {
    CallerFacts {
        listener: Some(listener),
        ..NOWHERE
    }
}

fn statement(effect: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"{effect}","Principal":"*","Action":"bedrock-agentcore:InvokeGateway","Resource":"*","Condition":{condition}}}"#
    )
}

const ALLOW_ALL: &str =
    r#"{"Effect":"Allow","Principal":"*","Action":"sekisho:InvokeGateway","Resource":"*"}"#;

fn document(statements: &[String]) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
        statements.join(",")
    )
}

/// Does a condition hold? Asked through a policy that allows only under it.
fn holds(condition: &str, caller: &CallerFacts<'_>) -> bool {
    let text = document(&[statement("Allow", condition)]);
    let policy = ResourcePolicy::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    matches!(policy.evaluate(caller), Verdict::Allowed(_))
}

fn faults(text: &str) -> String {
    ResourcePolicy::parse(text)
        .expect_err("refused")
        .to_string()
}

fn faults_of_statement(statement: &str) -> String {
    faults(&document(&[statement.to_owned()]))
}

/// The policy printed in the article, with its placeholders filled in.
const ARTICLE: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "AllowInvokeGatewayOnlyFromVpce",
      "Effect": "Allow",
      "Principal": "*",
      "Action": "bedrock-agentcore:InvokeGateway",
      "Resource": "arn:aws:bedrock-agentcore:ap-northeast-1:123456789012:gateway/demo-abcdefghij",
      "Condition": { "StringEquals": { "aws:SourceVpce": "vpce-0123456789abcdef0" } }
    },
    {
      "Sid": "DenyInvokeGatewayNotFromVpce",
      "Effect": "Deny",
      "Principal": "*",
      "Action": "bedrock-agentcore:InvokeGateway",
      "Resource": "arn:aws:bedrock-agentcore:ap-northeast-1:123456789012:gateway/demo-abcdefghij",
      "Condition": { "StringNotEquals": { "aws:SourceVpce": "vpce-0123456789abcdef0" } }
    }
  ]
}"#;

#[test]
fn the_articles_policy_admits_its_endpoint_and_nobody_else() {
    let policy = ResourcePolicy::parse(ARTICLE).expect("valid");
    let Verdict::Allowed(by) = policy.evaluate(&over("vpce-0123456789abcdef0")) else {
        panic!("allowed")
    };
    assert_eq!(by.sid.as_deref(), Some("AllowInvokeGatewayOnlyFromVpce"));
    for caller in [over("main"), over("VPCE-0123456789ABCDEF0"), NOWHERE] {
        let Verdict::Denied(by) = policy.evaluate(&caller) else {
            panic!("denied: {caller:?}")
        };
        assert_eq!(by.sid.as_deref(), Some("DenyInvokeGatewayNotFromVpce"));
    }
}

#[test]
fn a_parsed_value_is_the_same_policy_as_its_text() {
    let value: serde_json::Value = serde_json::from_str(ARTICLE).expect("JSON");
    assert_eq!(
        ResourcePolicy::from_value(&value),
        ResourcePolicy::parse(ARTICLE)
    );
}

#[test]
fn an_explicit_deny_wins_over_an_allow_wherever_it_stands() {
    let deny = statement("Deny", r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#);
    for statements in [
        [ALLOW_ALL.to_owned(), deny.clone()],
        [deny, ALLOW_ALL.to_owned()],
    ] {
        let policy = ResourcePolicy::parse(&document(&statements)).expect("valid");
        assert!(matches!(
            policy.evaluate(&from("192.0.2.1")),
            Verdict::Denied(_)
        ));
        assert!(matches!(
            policy.evaluate(&from("198.51.100.1")),
            Verdict::Allowed(_)
        ));
    }
}

#[test]
fn what_nothing_allows_is_denied() {
    let only_deny = document(&[statement(
        "Deny",
        r#"{"Bool":{"aws:SecureTransport":false}}"#,
    )]);
    let policy = ResourcePolicy::parse(&only_deny).expect("valid");
    let tls = CallerFacts {
        tls: true,
        ..NOWHERE
    };
    assert_eq!(policy.evaluate(&tls), Verdict::NothingApplies);
}

#[test]
fn addresses_are_tested_by_network() {
    let inside = r#"{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32","192.0.2.9"]}}"#;
    for address in [
        "203.0.113.77",
        "2001:db8::1",
        "192.0.2.9",
        "::ffff:203.0.113.77",
    ] {
        assert!(holds(inside, &from(address)), "{address}");
    }
    for address in ["203.0.114.1", "2001:db9::1", "192.0.2.8"] {
        assert!(!holds(inside, &from(address)), "{address}");
    }
    let outside = inside.replace("IpAddress", "NotIpAddress");
    assert!(!holds(&outside, &from("203.0.113.77")));
    assert!(holds(&outside, &from("203.0.114.1")));
}

#[test]
fn texts_are_compared_with_their_case_and_like_takes_wildcards() {
    assert!(holds(
        r#"{"StringEquals":{"sekisho:Listener":"main"}}"#,
        &over("main")
    ));
    assert!(!holds(
        r#"{"StringEquals":{"sekisho:Listener":"main"}}"#,
        &over("Main")
    ));
    assert!(!holds(
        r#"{"StringEquals":{"sekisho:Listener":"m*"}}"#,
        &over("main")
    ));
    assert!(holds(
        r#"{"StringLike":{"sekisho:Listener":"m*"}}"#,
        &over("main")
    ));
    assert!(!holds(
        r#"{"StringNotLike":{"sekisho:Listener":"m*"}}"#,
        &over("main")
    ));
    assert!(holds(
        r#"{"StringNotLike":{"sekisho:Listener":"m?"}}"#,
        &over("main")
    ));
}

#[test]
fn both_names_of_the_listener_read_the_same_fact() {
    for key in ["aws:SourceVpce", "AWS:sourcevpce", "sekisho:Listener"] {
        let condition = format!(r#"{{"StringEquals":{{"{key}":"main"}}}}"#);
        assert!(holds(&condition, &over("main")), "{key}");
    }
}

#[test]
fn several_values_are_alternatives() {
    let either = r#"{"StringEquals":{"aws:SourceVpce":["a","b"]}}"#;
    assert!(holds(either, &over("a")) && holds(either, &over("b")) && !holds(either, &over("c")));
}

#[test]
fn a_negated_operator_holds_only_if_no_value_matches() {
    let neither = r#"{"StringNotEquals":{"aws:SourceVpce":["a","b"]}}"#;
    assert!(
        !holds(neither, &over("a")) && !holds(neither, &over("b")) && holds(neither, &over("c"))
    );
}

#[test]
fn several_keys_and_several_operators_must_all_hold() {
    let both = r#"{"StringEquals":{"aws:SourceVpce":"a"},"Bool":{"aws:SecureTransport":"true","sekisho:ClientCertificate":"true"}}"#;
    let all = CallerFacts {
        tls: true,
        client_certificate: true,
        ..over("a")
    };
    assert!(holds(both, &all));
    assert!(!holds(both, &CallerFacts { tls: false, ..all }));
    assert!(!holds(
        both,
        &CallerFacts {
            client_certificate: false,
            ..all
        }
    ));
    assert!(!holds(
        both,
        &CallerFacts {
            listener: Some("b"),
            ..all
        }
    ));
}

#[test]
fn an_absent_key_fails_a_positive_operator() {
    for condition in [
        r#"{"StringEquals":{"aws:SourceVpce":"a"}}"#,
        r#"{"StringLike":{"aws:SourceVpce":"*"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":["0.0.0.0/0","::/0"]}}"#,
    ] {
        assert!(!holds(condition, &NOWHERE), "{condition}");
    }
}

#[test]
fn an_absent_key_satisfies_a_negated_operator() {
    for condition in [
        r#"{"StringNotEquals":{"aws:SourceVpce":"a"}}"#,
        r#"{"StringNotLike":{"aws:SourceVpce":"*"}}"#,
        r#"{"NotIpAddress":{"aws:SourceIp":["0.0.0.0/0","::/0"]}}"#,
    ] {
        assert!(holds(condition, &NOWHERE), "{condition}");
    }
}

#[test]
fn an_absent_key_satisfies_every_operator_with_if_exists() {
    for condition in [
        r#"{"StringEqualsIfExists":{"aws:SourceVpce":"a"}}"#,
        r#"{"StringLikeIfExists":{"aws:SourceVpce":"a"}}"#,
        r#"{"StringNotEqualsIfExists":{"aws:SourceVpce":"a"}}"#,
        r#"{"IpAddressIfExists":{"aws:SourceIp":"192.0.2.1"}}"#,
        r#"{"NotIpAddressIfExists":{"aws:SourceIp":"192.0.2.1"}}"#,
    ] {
        assert!(holds(condition, &NOWHERE), "{condition}");
    }
    assert!(!holds(
        r#"{"StringEqualsIfExists":{"aws:SourceVpce":"a"}}"#,
        &over("b")
    ));
    assert!(!holds(
        r#"{"BoolIfExists":{"aws:SecureTransport":"true"}}"#,
        &NOWHERE
    ));
}

#[test]
fn null_asks_whether_a_key_is_absent() {
    assert!(holds(r#"{"Null":{"aws:SourceVpce":"true"}}"#, &NOWHERE));
    assert!(!holds(r#"{"Null":{"aws:SourceVpce":"true"}}"#, &over("a")));
    assert!(holds(r#"{"Null":{"aws:SourceVpce":false}}"#, &over("a")));
    assert!(!holds(
        r#"{"Null":{"aws:SecureTransport":"true"}}"#,
        &NOWHERE
    ));
    assert!(holds(r#"{"Null":{"aws:SourceIp":"true"}}"#, &NOWHERE));
}

#[test]
fn all_faults_are_said_at_once_with_their_places() {
    let text = r#"{
      "Version": "2008-10-17", "Comment": "x",
      "Statement": [
        {"Effect": "Permit", "Principal": {"AWS": "*"}, "Action": ["s3:GetObject"], "Resource": [],
         "Condition": {"StringMatches": {"aws:SourceVpce": "a"},
                       "StringEquals": {"aws:SourceVpc": "b", "aws:SourceIp": "192.0.2.1",
                                        "aws:SourceVpce": ["${aws:x}", 3]},
                       "IpAddress": {"aws:SourceIp": "everywhere"},
                       "Bool": {"aws:SecureTransport": "yes"}, "Null": {}}},
        {"NotAction": "x"}, 7
      ]
    }"#;
    insta::assert_snapshot!(faults(text), @r#"
    resource policy: unknown field `Comment`, known: `Version`, `Id`, `Statement`
    Version: unknown value `2008-10-17`, known: `2012-10-17`
    Statement[0].Effect: unknown value `Permit`, known: `Allow`, `Deny`
    Statement[0].Principal: expected a string, found an object
    Statement[0].Action[0]: unknown value `s3:GetObject`, known: `bedrock-agentcore:InvokeGateway`, `sekisho:InvokeGateway`
    Statement[0].Resource: expected at least one
    Statement[0].Condition: unknown condition operator `StringMatches`, known: `StringEquals`, `StringNotEquals`, `StringLike`, `StringNotLike`, `IpAddress`, `NotIpAddress`, `Bool`, `StringEqualsIfExists`, `StringNotEqualsIfExists`, `StringLikeIfExists`, `StringNotLikeIfExists`, `IpAddressIfExists`, `NotIpAddressIfExists`, `BoolIfExists`, `Null`
    Statement[0].Condition.StringEquals: unknown condition key `aws:SourceVpc`, known: `aws:SourceIp`, `aws:SourceVpce`, `sekisho:Listener`, `sekisho:ClientCertificate`, `aws:SecureTransport`
    Statement[0].Condition.StringEquals: this operator cannot test `aws:SourceIp`, hint: use `IpAddress`, `NotIpAddress`, `IpAddressIfExists`, `NotIpAddressIfExists`, `Null`
    Statement[0].Condition.StringEquals["aws:SourceVpce"][0]: `${aws:x}` has a policy variable, which is not supported
    Statement[0].Condition.StringEquals["aws:SourceVpce"][1]: expected a string, found a number
    Statement[0].Condition.IpAddress["aws:SourceIp"]: `everywhere` is no address or network, expected e.g. 192.0.2.0/24
    Statement[0].Condition.Bool["aws:SecureTransport"]: unknown value `yes`, known: `true`, `false`
    Statement[0].Condition.Null: expected at least one
    Statement[1]: unknown field `NotAction`, known: `Sid`, `Effect`, `Principal`, `Action`, `Resource`, `Condition`
    Statement[1]: `Effect` is missing
    Statement[1]: `Principal` is missing
    Statement[1]: `Action` is missing
    Statement[1]: `Resource` is missing
    Statement[2]: expected a statement (an object), found a number
    "#);
}

#[test]
fn a_name_written_twice_is_refused() {
    let twice = r#"{"Effect":"Deny","Effect":"Allow","Effect":"Allow","Principal":"*","Action":"sekisho:InvokeGateway","Resource":"*"}"#;
    assert_eq!(
        faults_of_statement(twice),
        "Statement[0]: `Effect` is there more than once"
    );
    let condition =
        r#"{"Bool":{"aws:SecureTransport":"true"},"Bool":{"aws:SecureTransport":"false"}}"#;
    assert_eq!(
        faults_of_statement(&statement("Allow", condition)),
        "Statement[0].Condition: `Bool` is there more than once"
    );
    let sids = [
        ALLOW_ALL.replace('{', r#"{"Sid":"A","#),
        ALLOW_ALL.replace('{', r#"{"Sid":"A","#),
    ];
    assert_eq!(
        faults(&document(&sids)),
        "Statement[1].Sid: `A` is there more than once"
    );
}

#[test]
fn what_is_not_a_policy_is_refused_with_its_place() {
    assert_eq!(faults("{"), "resource policy: not JSON, at line 1 column 1");
    assert_eq!(
        faults("[]"),
        "resource policy: expected an object, found an array"
    );
    assert_eq!(
        faults(r#"{"Version":"2012-10-17","Statement":[]}"#),
        "Statement: expected at least one"
    );
    assert_eq!(
        faults(r#"{"Version":"2012-10-17","Statement":"x"}"#),
        "Statement: expected an array of statements, found a string"
    );
    assert_eq!(
        faults("{}"),
        "resource policy: `Version` is missing\nresource policy: `Statement` is missing"
    );
}

#[test]
fn a_document_nested_too_deeply_is_refused_and_not_followed() {
    let deep = "[".repeat(10_000);
    assert!(faults(&deep).starts_with("resource policy: not JSON"));
}

#[test]
fn conditions_with_no_meaning_are_refused() {
    for (condition, fault) in [
        ("{}", "Statement[0].Condition: expected at least one"),
        (
            r#"{"StringNotEquals":{"aws:SourceVpce":[]}}"#,
            r#"Statement[0].Condition.StringNotEquals["aws:SourceVpce"]: expected at least one"#,
        ),
        (
            "[]",
            "Statement[0].Condition: expected an object of operators, found an array",
        ),
    ] {
        assert_eq!(faults_of_statement(&statement("Allow", condition)), fault);
    }
}

#[test]
fn one_statement_needs_no_array_and_actions_no_case() {
    let text = format!(
        r#"{{"Version":"2012-10-17","Id":"mine","Statement":{}}}"#,
        ALLOW_ALL.replace("sekisho:InvokeGateway", "SEKISHO:invokegateway")
    );
    let policy = ResourcePolicy::parse(&text).expect("valid");
    assert!(matches!(policy.evaluate(&NOWHERE), Verdict::Allowed(_)));
}

fn any_condition() -> impl Strategy<Value = String> {
    let negation = prop_oneof![Just(""), Just("Not")];
    let suffix = prop_oneof![Just(""), Just("IfExists")];
    let text = (
        negation.clone(),
        prop_oneof![Just("Equals"), Just("Like")],
        suffix.clone(),
        "[ab*?]{1,3}",
    )
        .prop_map(|(not, how, suffix, value)| {
            format!(r#"{{"String{not}{how}{suffix}":{{"sekisho:Listener":"{value}"}}}}"#)
        });
    let address =
        (negation, suffix, any::<[u8; 2]>(), 8_u8..=32).prop_map(|(not, suffix, [a, b], width)| {
            format!(r#"{{"{not}IpAddress{suffix}":{{"aws:SourceIp":"10.{a}.{b}.0/{width}"}}}}"#)
        });
    let flag = (any::<bool>(), any::<bool>()).prop_map(|(tls, wanted)| {
        let key = if tls {
            "aws:SecureTransport"
        } else {
            "sekisho:ClientCertificate"
        };
        format!(r#"{{"Bool":{{"{key}":"{wanted}"}}}}"#)
    });
    let null =
        any::<bool>().prop_map(|wanted| format!(r#"{{"Null":{{"aws:SourceIp":"{wanted}"}}}}"#));
    prop_oneof![text, address, flag, null]
}

prop_compose! {
    fn any_statement()(deny in any::<bool>(), condition in any_condition()) -> (bool, String) {
        (deny, statement(if deny { "Deny" } else { "Allow" }, &condition))
    }
}

prop_compose! {
    fn any_caller()(
        address in proptest::option::of(any::<[u8; 3]>()),
        listener in proptest::option::of("[ab]{1,3}"),
        tls in any::<bool>(),
        client_certificate in any::<bool>(),
    ) -> (Option<IpAddr>, Option<String>, bool, bool) {
        (address.map(|[a, b, c]| IpAddr::from([10, a, b, c])), listener, tls, client_certificate)
    }
}

fn verdict(statements: &[String], caller: &CallerFacts<'_>) -> Verdict {
    ResourcePolicy::parse(&document(statements))
        .unwrap_or_else(|faults| panic!("{faults}"))
        .evaluate(caller)
}

proptest! {
    /// Judged statement by statement: denied exactly if some deny holds, allowed exactly if none
    /// does and some allow holds, whatever the order.
    #[test]
    fn deny_always_wins(
        statements in proptest::collection::vec(any_statement(), 1..6),
        (address, ref listener, tls, client_certificate) in any_caller(),
        rotation in 0_usize..6,
    ) {
        let caller = CallerFacts { address, listener: listener.as_deref(), tls, client_certificate };
        let alone = |text: &String| verdict(std::slice::from_ref(text), &caller);
        let some_deny = statements.iter().any(|(_, text)| matches!(alone(text), Verdict::Denied(_)));
        let some_allow = statements.iter().any(|(_, text)| matches!(alone(text), Verdict::Allowed(_)));

        let mut texts: Vec<String> = statements.iter().map(|(_, text)| text.clone()).collect();
        let middle = rotation % texts.len();
        texts.rotate_left(middle);
        match verdict(&texts, &caller) {
            Verdict::Denied(by) => {
                prop_assert!(some_deny);
                prop_assert!(texts[by.index].contains(r#""Effect":"Deny""#));
            }
            Verdict::Allowed(by) => {
                prop_assert!(some_allow && !some_deny);
                prop_assert!(texts[by.index].contains(r#""Effect":"Allow""#));
            }
            Verdict::NothingApplies => prop_assert!(!some_allow && !some_deny),
        }

        let position = rotation.min(texts.len());
        texts.insert(position, ALLOW_ALL.replace("Allow", "Deny"));
        prop_assert!(matches!(verdict(&texts, &caller), Verdict::Denied(_)));
    }

    /// Without a key, the negated operator is the opposite of the positive one, and with
    /// `IfExists` both hold.
    #[test]
    fn negation_is_negation(value in "[ab]{1,2}", ref listener in proptest::option::of("[ab]{1,2}")) {
        let caller = CallerFacts { listener: listener.as_deref(), ..NOWHERE };
        let with = |operator: &str| holds(&format!(r#"{{"{operator}":{{"aws:SourceVpce":"{value}"}}}}"#), &caller);
        prop_assert_eq!(with("StringEquals"), !with("StringNotEquals"));
        prop_assert_eq!(with("StringLike"), !with("StringNotLike"));
        if listener.is_none() {
            prop_assert!(with("StringEqualsIfExists") && with("StringNotEqualsIfExists"));
        } else {
            prop_assert_eq!(with("StringEqualsIfExists"), with("StringEquals"));
        }
    }

    /// No text, however odd, makes the parser panic.
    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = ResourcePolicy::parse(&text);
    }
}
