//! Issuers: asked once for all gateways, away for a moment, odd in what nobody needs, several of one gateway.

use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use gateway::issuers::{Issuers, Known};
use gateway::settings::{Parts, SettingsError};
use http::Method;
use model::clock::{TestClock, Timestamp};
use model::gateway::Gateway as Configured;
use model::gateway::{ClaimRule, CustomClaim};
use net::egress::client::Client;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::SystemResolver;
use net::egress::rules::Rules;
use oauth::jose::alg::Alg;
use oauth::jose::signing::SigningKey;
use serde_json::{Value, json};
use testkit::fake_http::{FakeHttp, Reply};
use testkit::fake_idp::{FakeIdp, Fetches};
use testkit::fake_mcp::{FakeMcp, Script};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tokens::{invalid, let_in, refused};
use crate::world::{
    AUDIENCE, World, assemble, authorizer, authorizers, known, parts, settings, trust, world,
    world_with,
};

/// Issuers of which this much is known.
fn issuers(known: &Known) -> Arc<Issuers> {
    let connector = Connector::new(Arc::new(SystemResolver::default()), ExtraRoots::default());
    let rules = Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ports: None,
    };
    Arc::new(Issuers::new(
        known,
        &Client::new(Arc::new(connector), rules),
    ))
}

/// What a gateway is lent, as long as nobody is interested in anything but its issuers.
fn lent(known: &Known) -> Parts {
    let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    Parts {
        issuers: issuers(known),
        ..parts(&clock, &Arc::default(), &tasks, &stop)
    }
}

/// Polls until the condition holds.
async fn until(mut condition: impl FnMut() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), holds)
        .await
        .expect("took too long");
}

// SEC-27
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_gateways_ask_their_issuer_once() {
    let idp = FakeIdp::start().await.unwrap();
    let lent = lent(&known());
    let gateways: Vec<Gateway> = (0..45)
        .map(|_| Gateway::new(settings(&idp, &[]), lent.clone()).unwrap())
        .collect();
    for gateway in &gateways {
        gateway.start();
    }
    until(|| {
        gateways
            .iter()
            .all(|gateway| gateway.issuers().iter().all(|issuer| issuer.has_keys))
    })
    .await;
    lent.stop.cancel();
    let once = Fetches {
        discovery: 1,
        keys: 1,
    };
    assert_eq!(idp.fetches(), once);
}

// SEC-90
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_issuer_that_comes_back_is_noticed_without_a_request() {
    let idp = FakeIdp::start().await.unwrap();
    idp.break_down(true);
    let lent = lent(&known());
    let gateway = Gateway::new(settings(&idp, &[]), lent.clone()).unwrap();
    assert_eq!(
        gateway.issuers()[0].last_error,
        None,
        "nobody has asked yet"
    );
    gateway.start();
    until(|| gateway.issuers()[0].last_error.is_some()).await;
    let state = gateway.issuers().remove(0);
    assert!(!state.has_keys);
    assert_eq!(
        state.last_error.as_deref(),
        Some(
            "the discovery document can't be had: answer has status 500 Internal Server Error, not 200"
        )
    );
    idp.break_down(false);
    until(|| gateway.issuers()[0].has_keys).await;
    assert_eq!(gateway.issuers()[0].last_error, None);
    lent.stop.cancel();
}

// SEC-90
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_outlive_a_reload_while_their_issuer_is_away() {
    let known = known();
    let mut world = world(Script::dual()).await;
    let renewed = |world: &World| {
        let settings = settings(&world.idp, &[("my-mcp-server", world.upstream.url())]);
        let lent = Parts {
            issuers: issuers(&known),
            ..parts(&world.clock, &world.revoked, &world.tasks, &world.stop)
        };
        let gateway = Gateway::new(settings, lent).unwrap();
        gateway.start();
        gateway
    };
    world.gateway = renewed(&world);
    assert_eq!(refused(world.alice()).await, let_in());
    world.idp.break_down(true);
    world.gateway = renewed(&world);
    let token = world.claims_with("sub", json!("bob"));
    let bob = world.holder(world.idp.token(&token).unwrap());
    assert_eq!(refused(bob).await, let_in());
}

// SEC-41, RS-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_is_judged_by_the_rules_of_the_issuer_that_it_names_and_no_other() {
    let (first, second) = (
        FakeIdp::start().await.unwrap(),
        FakeIdp::start().await.unwrap(),
    );
    let upstream = FakeMcp::start(Script::dual()).await.unwrap();
    let mut settings = settings(&first, &[("my-mcp-server", upstream.url())]);
    let mut other = trust(&second);
    other.allowed_audiences = vec!["second".to_owned()];
    other.allowed_scopes = "b:read b:write".parse().unwrap();
    authorizers(&mut settings).push(other);
    let world = assemble(upstream, first, settings, |_| {});
    let now = world.now();
    let of = |signer: &FakeIdp, claims: &Value| world.holder(signer.token(claims).unwrap());

    let mut good = second.claims("second", now);
    good["scope"] = json!("b:write b:read");
    assert_eq!(refused(world.alice()).await, let_in());
    assert_eq!(refused(of(&second, &good)).await, let_in());

    // What is good for one is not good for the other, and nobody signs for somebody else.
    let mut wrong_audience = good.clone();
    wrong_audience["aud"] = json!(AUDIENCE);
    let mut posing = good.clone();
    posing["iss"] = json!(world.idp.issuer());
    let mut posing_for_first = world.claims();
    posing_for_first["iss"] = json!(second.issuer());
    let mut nobody = good.clone();
    nobody["iss"] = json!("https://nobody.example");
    for (signer, claims) in [
        (&second, &wrong_audience),
        (&second, &posing),
        (&second, &world.claims()),
        (&world.idp, &posing_for_first),
        (&world.idp, &good),
        (&second, &nobody),
    ] {
        assert_eq!(refused(of(signer, claims)).await, invalid(), "{claims}");
    }

    // Whoever lacks a scope is told those of the issuer that it has a token of.
    let answer = of(&second, &second.claims("second", now))
        .modern("tools/list", json!({}))
        .await;
    assert_eq!(answer.status, 403);
    assert!(
        answer
            .header("www-authenticate")
            .contains(r#"scope="b:read b:write""#)
    );

    let document = world
        .stranger()
        .send(
            Method::GET,
            "/.well-known/oauth-protected-resource/mcp",
            &[],
            "",
        )
        .await
        .json()
        .await;
    assert_eq!(
        document["authorization_servers"],
        json!([world.idp.issuer(), second.issuer()])
    );
    assert_eq!(document["scopes_supported"], json!(["mcp:tools"]));
}

// SEC-44
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_issuer_that_is_away_is_no_matter_to_the_other() {
    let away = FakeIdp::start().await.unwrap();
    away.break_down(true);
    let world = world_with(Script::dual(), |settings| {
        authorizers(settings).insert(0, trust(&away));
    })
    .await;
    assert_eq!(refused(world.alice()).await, let_in());
    let claims = away.claims(AUDIENCE, world.now());
    let unjudged = world.holder(away.token(&claims).unwrap());
    assert_eq!(refused(unjudged).await, (503, String::new()));
}

// SEC-37
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_issuer_without_audiences_is_trusted_for_its_clients() {
    let world = world_with(Script::dual(), |settings| {
        let authorizer = authorizer(settings);
        authorizer.allowed_audiences.clear();
        authorizer.allowed_clients = vec!["cognito-client".parse().unwrap()];
    })
    .await;
    let with = |claims: &[(&str, Value)]| {
        let mut all = world.claims();
        all.as_object_mut().unwrap().remove("aud");
        for (name, value) in claims {
            all[*name] = value.clone();
        }
        refused(world.holder(world.idp.token_of_type("JWT", &all).unwrap()))
    };
    let cognito = ("client_id", json!("cognito-client"));
    let access = ("token_use", json!("access"));
    assert_eq!(with(&[cognito.clone(), access]).await, let_in());
    assert_eq!(with(&[]).await, (403, String::new()));
    for another in [
        ("token_use", json!("id")),
        ("aud", json!("cognito-client")),
        ("aud", json!("https://other.example")),
    ] {
        assert_eq!(with(&[cognito.clone(), another]).await, invalid());
    }
}

// SEC-39
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_the_allowed_algorithms_count() {
    let world = world_with(Script::dual(), |settings| {
        authorizer(settings).allowed_algorithms = vec![Alg::Rs256, Alg::Es384];
    })
    .await;
    assert_eq!(refused(world.alice()).await, invalid());
    world.idp.rotate(Alg::Es384).unwrap();
    assert_eq!(refused(world.alice()).await, let_in());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn claims_within_claims_are_found() {
    let world = world_with(Script::dual(), |settings| {
        authorizer(settings).custom_claims = vec![CustomClaim {
            name: "realm_access.roles".to_owned(),
            rule: ClaimRule::Contains("mcp-user".to_owned()),
        }];
    })
    .await;
    let with = |roles: Value| {
        let claims = world.claims_with("realm_access", json!({ "roles": roles }));
        refused(world.holder(world.idp.token(&claims).unwrap()))
    };
    assert_eq!(with(json!(["mcp-user", "other"])).await, let_in());
    assert_eq!(with(json!(["mcp-users"])).await, (403, String::new()));
}

/// Writes a discovery document and a key set, for an issuer at this URL, and answers with them.
type Oddity = fn(&mut Value, &mut Value, String) -> (Reply, Reply);

/// An issuer whose documents are ours to write.
struct Odd {
    key: SigningKey,
    origin: FakeHttp,
}

impl Odd {
    async fn start(change: Oddity) -> Self {
        let key = SigningKey::generate(Alg::Es256).unwrap();
        let published = key.public().to_value();
        let origin = FakeHttp::start(move |seen| {
            let base = format!("http://{}", seen.header("host").unwrap());
            let mut discovery = json!({
                "issuer": base, "jwks_uri": format!("{base}/jwks"),
                "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
            });
            let mut keys = json!({ "keys": [published] });
            let (discovery, keys) = change(&mut discovery, &mut keys, base);
            match &*seen.target {
                "/.well-known/openid-configuration" => discovery,
                "/jwks" => keys,
                _ => Reply::status(404),
            }
        })
        .await
        .unwrap();
        Self { key, origin }
    }

    /// How a token of this issuer fares, with these claims changed.
    async fn judged(&self, claims: &[(&str, Value)]) -> (u16, String) {
        let issuer = self.origin.url("").trim_end_matches('/').to_owned();
        let world = world_with(Script::dual(), |settings: &mut Configured| {
            authorizer(settings).discovery_url =
                format!("{issuer}/.well-known/openid-configuration")
                    .parse()
                    .unwrap();
        })
        .await;
        let mut all = world.claims_with("iss", json!(issuer));
        for (name, value) in claims {
            all[*name] = value.clone();
        }
        let token = self.key.sign_jwt("JWT", &all).unwrap();
        refused(world.holder(token)).await
    }
}

fn proper(discovery: &Value, keys: &Value) -> (Reply, Reply) {
    (
        Reply::json(discovery.to_string()),
        Reply::json(keys.to_string()),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn documents_that_are_odd_in_what_nobody_needs_are_understood() {
    let oddities: [Oddity; 6] = [
        |discovery, keys, _| {
            for member in [
                "scopes_supported",
                "claims_supported",
                "authorization_response_iss_parameter_supported",
                "registration_endpoint",
            ] {
                discovery[member] = Value::Null;
            }
            proper(discovery, keys)
        },
        |discovery, keys, _| {
            discovery["request_uri_parameter_supported"] = json!("true");
            discovery["scopes_supported"] = json!("openid");
            discovery["token_endpoint"] = json!({ "odd": 1 });
            proper(discovery, keys)
        },
        |discovery, keys, _| {
            // Byte order marks and no media type; then one of another kind.
            (
                Reply::status(200).body(format!("\u{feff}{discovery}")),
                Reply::status(200)
                    .header("content-type", "application/octet-stream")
                    .body(format!("\u{feff}{keys}")),
            )
        },
        |discovery, keys, _| {
            // More keys than any issuer needs, the good one behind them.
            let odd = (0..60).map(|number| json!({ "kty": "EC", "crv": "P-192", "kid": number }));
            let list = keys["keys"].as_array_mut().unwrap();
            list.splice(0..0, odd);
            list.insert(0, Value::Null);
            proper(discovery, keys)
        },
        |discovery, keys, _| {
            for member in ["alg", "use", "x5c", "x5t", "key_ops", "d"] {
                keys["keys"][0][member] = Value::Null;
            }
            keys["etag"] = json!(7);
            proper(discovery, keys)
        },
        |discovery, keys, base| {
            discovery["issuer"] = json!(base);
            (
                Reply::json(discovery.to_string()).header("content-encoding", "identity"),
                Reply::json(keys.to_string()).header("content-encoding", "utf-8"),
            )
        },
    ];
    for (number, oddity) in oddities.into_iter().enumerate() {
        let issuer = Odd::start(oddity).await;
        assert_eq!(issuer.judged(&[]).await, let_in(), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn claims_that_are_null_or_needless_are_no_matter() {
    let issuer = Odd::start(|discovery, keys, _| proper(discovery, keys)).await;
    let nulls = [
        "nbf", "iat", "jti", "azp", "scp", "cnf", "at_hash", "events", "typ",
    ];
    let nulls: Vec<(&str, Value)> = nulls.iter().map(|name| (*name, Value::Null)).collect();
    assert_eq!(issuer.judged(&nulls).await, let_in());
    let odd = [
        ("jti", json!(17)),
        ("azp", json!(["x"])),
        ("exp", json!("1800000600")),
        ("realm_access", json!(null)),
        ("aud", json!([AUDIENCE, null, 7])),
    ];
    assert_eq!(issuer.judged(&odd).await, let_in());
    for needed in ["iss", "sub", "exp", "aud", "scope"] {
        let (status, _) = issuer.judged(&[(needed, Value::Null)]).await;
        assert!(matches!(status, 401 | 403), "{needed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rules_that_admit_anybody_or_contradict_each_other_are_refused() {
    let idp = FakeIdp::start().await.unwrap();
    let refused = |change: fn(&mut Configured)| {
        let mut settings = settings(&idp, &[]);
        change(&mut settings);
        Gateway::new(settings, lent(&known())).unwrap_err()
    };
    assert!(matches!(
        refused(|settings| authorizer(settings).allowed_audiences.clear()),
        SettingsError::NoAudience
    ));
    assert!(matches!(
        refused(|settings| authorizers(settings).clear()),
        SettingsError::NoIssuer
    ));
    assert!(matches!(
        refused(|settings| {
            let mut again = authorizer(settings).clone();
            again.allowed_audiences = vec!["another".to_owned()];
            authorizers(settings).push(again);
        }),
        SettingsError::IssuerTwice { .. }
    ));
}
