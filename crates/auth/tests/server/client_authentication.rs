//! How clients prove who they are at the token endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::client::{Authentication, KeySource};
use model::client_policy::CimdPolicy;
use model::secret::Secret;
use oauth::auth_method::AuthMethod;
use oauth::jose::alg::Alg;
use oauth::jose::signing::SigningKey;
use serde_json::{Value, json};
use testkit::fake_http::{FakeHttp, Reply};

use crate::world::client::{
    Answer, ClientWorld, Code, ISSUER, SECRET, START, basic, refresh_form, with,
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn assert_refused(answer: &Answer) {
    assert_eq!(
        answer.error(),
        (401, "invalid_client".to_owned()),
        "{answer:?}"
    );
}

async fn redeem(
    world: &ClientWorld,
    client_id: &str,
    headers: &[(&str, &str)],
    over: &[(&str, &str)],
) -> Answer {
    let code = world.code_for(client_id).await;
    world
        .post("/token", headers, &with(code.form(client_id), over))
        .await
}

// AS-1
#[tokio::test]
async fn a_secret_in_the_header_is_accepted() {
    let world = ClientWorld::new().await;
    let header = basic("keeper", SECRET);
    let answer = redeem(
        &world,
        "keeper",
        &[("authorization", &header)],
        &[("client_id", "")],
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

// SEC-53
#[tokio::test]
async fn guessing_the_secret_of_a_client_is_slowed_down() {
    let world = ClientWorld::new().await;
    let code = world.code_for("keeper").await;
    let guess = with(code.form("keeper"), &[("client_secret", "a-wrong-secret")]);
    for _ in 0..10 {
        assert_refused(&world.token(&guess).await);
    }
    let right = with(code.form("keeper"), &[("client_secret", SECRET)]);
    let header = basic("keeper", SECRET);
    let by_header = [("authorization", header.as_str())];
    for answer in [
        world.token(&right).await,
        world
            .post(
                "/token",
                &by_header,
                &with(code.form("keeper"), &[("client_id", "")]),
            )
            .await,
        world.post("/revoke", &by_header, &[("token", "x")]).await,
    ] {
        assert_eq!(answer.error(), (429, "temporarily_unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), "6");
    }
    // Other clients go on meanwhile, and so does this one after a while.
    let other = world.code_for("app").await;
    assert_eq!(world.token(&other.form("app")).await.status, 200);
    world.advance(6);
    assert_eq!(world.token(&right).await.status, 200);
}

#[tokio::test]
async fn a_secret_in_the_body_is_accepted() {
    let world = ClientWorld::new().await;
    assert_eq!(
        redeem(&world, "keeper", &[], &[("client_secret", SECRET)])
            .await
            .status,
        200
    );
}

// Many clients encode neither half.
#[tokio::test]
async fn a_secret_in_the_header_may_be_written_as_it_is() {
    let secret = "p%Qr+/=&";
    let world = ClientWorld::with(|realm| {
        for client in &mut realm.clients {
            if client.client_id.as_str() == "keeper" {
                client.authentication = Authentication::secret(&Secret::new(secret.to_owned()));
            }
        }
    })
    .await;
    let plain = format!("Basic {}", STANDARD.encode(format!("keeper:{secret}")));
    for header in [basic("keeper", secret), plain] {
        let answer = redeem(&world, "keeper", &[("authorization", &header)], &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for wrong in ["p%Qr /=&", "p%Qr+/=", "p%25Qr+/=&x"] {
        let header = format!("Basic {}", STANDARD.encode(format!("keeper:{wrong}")));
        assert_refused(&redeem(&world, "keeper", &[("authorization", &header)], &[]).await);
    }
}

#[tokio::test]
async fn a_client_may_use_the_one_way_that_the_operator_insists_on() {
    let world = ClientWorld::with(|realm| {
        for client in &mut realm.clients {
            if client.client_id.as_str() == "keeper" {
                client.authentication.methods = vec![AuthMethod::ClientSecretBasic];
            }
        }
    })
    .await;
    let header = basic("keeper", SECRET);
    let answer = redeem(&world, "keeper", &[("authorization", &header)], &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_refused(&redeem(&world, "keeper", &[], &[("client_secret", SECRET)]).await);
}

// RFC 6749 §5.2
#[tokio::test]
async fn a_wrong_secret_in_the_header_is_answered_with_a_challenge() {
    let world = ClientWorld::new().await;
    let header = basic("keeper", "wrong");
    let answer = redeem(&world, "keeper", &[("authorization", &header)], &[]).await;
    assert_refused(&answer);
    assert_eq!(
        answer.header("www-authenticate"),
        format!("Basic realm=\"{ISSUER}\"")
    );
}

// A browser would ask its user for a password otherwise.
#[tokio::test]
async fn a_wrong_secret_in_the_body_is_answered_without_a_challenge() {
    let world = ClientWorld::new().await;
    let answer = redeem(&world, "keeper", &[], &[("client_secret", "wrong")]).await;
    assert_refused(&answer);
    assert_eq!(answer.header("www-authenticate"), "");
}

#[tokio::test]
async fn a_confidential_client_must_authenticate() {
    let world = ClientWorld::new().await;
    assert_refused(&redeem(&world, "keeper", &[], &[]).await);
    assert_refused(&redeem(&world, "signer", &[], &[]).await);
}

#[tokio::test]
async fn a_method_that_the_client_did_not_register_is_refused() {
    let world = ClientWorld::new().await;
    assert_refused(&redeem(&world, "app", &[], &[("client_secret", SECRET)]).await);
    assert_refused(&redeem(&world, "signer", &[], &[("client_secret", SECRET)]).await);
}

#[tokio::test]
async fn an_unknown_client_is_refused() {
    let world = ClientWorld::new().await;
    for id in ["nobody", "not a url", "ftp://client.example/c"] {
        assert_refused(&world.token(&refresh_form(id, "x")).await);
    }
}

// SEC-10
#[tokio::test]
async fn two_ways_at_once_are_refused() {
    let world = ClientWorld::new().await;
    let header = basic("keeper", SECRET);
    let answer = redeem(
        &world,
        "keeper",
        &[("authorization", &header)],
        &[("client_secret", SECRET)],
    )
    .await;
    assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
}

/// An assertion by this key, with these claims put over good ones.
fn assertion(key: &SigningKey, over: &Value) -> String {
    let mut claims = json!({
        "iss": "signer", "sub": "signer", "aud": ISSUER, "exp": START.seconds() + 60, "iat": START.seconds(), "jti": "1",
    });
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.sign_jwt("JWT", &claims).unwrap()
}

async fn redeem_with_assertion(world: &ClientWorld, assertion: &str) -> Answer {
    redeem(
        world,
        "signer",
        &[],
        &[
            ("client_assertion", assertion),
            ("client_assertion_type", ASSERTION_TYPE),
        ],
    )
    .await
}

// SEC-52
#[tokio::test]
async fn an_assertion_for_issuer_or_token_endpoint_is_accepted() {
    let world = ClientWorld::new().await;
    for (id, audience) in [("1", ISSUER.to_owned()), ("2", format!("{ISSUER}/token"))] {
        let assertion = assertion(&world.signer, &json!({ "aud": audience, "jti": id }));
        let answer = redeem_with_assertion(&world, &assertion).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

// SEC-52
#[tokio::test]
async fn an_assertion_works_once() {
    let world = ClientWorld::new().await;
    let assertion = assertion(&world.signer, &json!({}));
    assert_eq!(redeem_with_assertion(&world, &assertion).await.status, 200);
    assert_refused(&redeem_with_assertion(&world, &assertion).await);
}

// SEC-52
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_assertion_works_once_even_for_many_at_once() {
    let world = ClientWorld::new().await;
    let assertion = assertion(&world.signer, &json!({}));
    let answers =
        futures_util::future::join_all((0..10).map(|_| redeem_with_assertion(&world, &assertion)))
            .await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1
    );
}

// SEC-52
#[tokio::test]
async fn assertions_that_break_a_rule_are_refused() {
    let world = ClientWorld::new().await;
    let foreign = SigningKey::generate(Alg::Es256).unwrap();
    let now = START.seconds();
    for assertion in [
        assertion(&foreign, &json!({})),
        assertion(&world.signer, &json!({ "aud": "https://other.example" })),
        assertion(
            &world.signer,
            &json!({ "aud": [ISSUER, "https://other.example"] }),
        ),
        assertion(&world.signer, &json!({ "iss": "app" })),
        assertion(&world.signer, &json!({ "exp": now + 3700 })),
        assertion(&world.signer, &json!({ "exp": now - 60 })),
        assertion(&world.signer, &json!({ "jti": "" })),
    ] {
        assert_refused(&redeem_with_assertion(&world, &assertion).await);
    }
}

// SEC-40
#[tokio::test]
async fn an_access_token_is_no_assertion() {
    let world = ClientWorld::new().await;
    let claims = json!({ "iss": "signer", "sub": "signer", "aud": ISSUER, "exp": START.seconds() + 60, "jti": "9" });
    let token = world.signer.sign_jwt("at+jwt", &claims).unwrap();
    assert_refused(&redeem_with_assertion(&world, &token).await);
}

/// A policy that lets documents be fetched from a port of this machine.
fn admitting(port: u16) -> CimdPolicy {
    CimdPolicy {
        mode: model::client_policy::Mode::Open,
        allow_http: true,
        ports: vec![port],
        danger_allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..CimdPolicy::default()
    }
}

/// A client known by a document on this machine, with the code that was issued to it.
struct Stranger {
    world: ClientWorld,
    host: FakeHttp,
    client_id: String,
}

impl Stranger {
    /// `document` gets the origin of the host, and returns what the document says beside the usual.
    async fn new(
        document: impl Fn(&str) -> Value + Send + Sync + 'static,
        keys: Arc<SigningKey>,
    ) -> Self {
        let host = FakeHttp::start(move |seen| {
            let origin = format!("http://{}", seen.header("host").unwrap_or_default());
            if seen.target == "/jwks" {
                return Reply::json(json!({ "keys": [keys.public().to_value()] }).to_string());
            }
            let mut all = json!({ "client_id": format!("{origin}/client.json"), "client_name": "Stranger", "redirect_uris": [crate::world::client::REDIRECT] });
            for (name, value) in document(&origin).as_object().unwrap() {
                all[name] = value.clone();
            }
            Reply::json(all.to_string())
        })
        .await
        .unwrap();
        let address = host.address();
        let client_id = format!("http://{address}/client.json");
        let world = ClientWorld::with(|realm| realm.cimd = admitting(address.port())).await;
        Self {
            world,
            host,
            client_id,
        }
    }

    async fn code(&self) -> Code {
        self.world.code_for(&self.client_id).await
    }
}

fn some_key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(Alg::Es256).unwrap())
}

// AS-1, AS-9, CI-14
#[tokio::test]
async fn a_client_known_by_its_document_redeems_as_a_public_client() {
    let stranger = Stranger::new(
        |_| json!({ "grant_types": ["authorization_code", "refresh_token"] }),
        some_key(),
    )
    .await;
    let answer = stranger
        .world
        .token(&stranger.code().await.form(&stranger.client_id))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refreshed = stranger
        .world
        .token(&refresh_form(
            &stranger.client_id,
            &answer.text("refresh_token"),
        ))
        .await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(stranger.host.seen().len(), 1, "the document is cached");
}

// CI-19: a realm that wants keys from now on wants them of those it knows, too.
#[tokio::test]
async fn a_client_that_the_policy_no_longer_admits_gets_no_more_tokens() {
    let stranger = Stranger::new(
        |_| json!({ "grant_types": ["authorization_code", "refresh_token"] }),
        some_key(),
    )
    .await;
    let code = stranger.code().await;
    let answer = stranger.world.token(&code.form(&stranger.client_id)).await;
    let cimd = CimdPolicy {
        only_confidential: true,
        ..admitting(stranger.host.address().port())
    };
    stranger.world.reload(|realm| realm.cimd = cimd);
    let token = answer.text("refresh_token");
    let refused = stranger
        .world
        .token(&refresh_form(&stranger.client_id, &token))
        .await;
    assert_eq!(refused.error(), (400, "unauthorized_client".to_owned()));
}

// CI-14: registered, so enforced.
#[tokio::test]
async fn a_document_with_private_key_jwt_is_held_to_it() {
    let key = some_key();
    let stranger = Stranger::new(
        |origin| json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": format!("{origin}/jwks") }),
        Arc::clone(&key),
    )
    .await;
    let code = stranger.code().await;
    assert_refused(&stranger.world.token(&code.form(&stranger.client_id)).await);
    let own = json!({ "iss": stranger.client_id, "sub": stranger.client_id });
    let foreign = assertion(&some_key(), &own);
    let good = assertion(&key, &own);
    let over = |assertion| {
        [
            ("client_assertion", assertion),
            ("client_assertion_type", ASSERTION_TYPE),
        ]
    };
    assert_refused(
        &stranger
            .world
            .token(&with(
                code.form(&stranger.client_id),
                &over(foreign.as_str()),
            ))
            .await,
    );
    let answer = stranger
        .world
        .token(&with(code.form(&stranger.client_id), &over(good.as_str())))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

// SEC-32, CI-14: what ChatGPT publishes.
#[tokio::test]
async fn a_document_that_lists_none_beside_private_key_jwt_may_use_either() {
    let key = some_key();
    let stranger = Stranger::new(
        |origin| {
            json!({
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "jwks_uri": format!("{origin}/jwks"),
            })
        },
        Arc::clone(&key),
    )
    .await;
    let (first, second) = (stranger.code().await, stranger.code().await);
    assert_eq!(
        stranger
            .world
            .token(&first.form(&stranger.client_id))
            .await
            .status,
        200
    );
    let assertion = assertion(
        &key,
        &json!({ "iss": stranger.client_id, "sub": stranger.client_id }),
    );
    let over = [
        ("client_assertion", assertion.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
    ];
    assert_eq!(
        stranger
            .world
            .token(&with(second.form(&stranger.client_id), &over))
            .await
            .status,
        200
    );
}

// CI-15
#[tokio::test]
async fn keys_on_an_address_that_strangers_may_not_name_are_not_fetched() {
    let stranger = Stranger::new(
        |_| json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://127.0.0.1:1/jwks" }),
        some_key(),
    )
    .await;
    let assertion = assertion(
        &some_key(),
        &json!({ "iss": stranger.client_id, "sub": stranger.client_id }),
    );
    let over = [
        ("client_assertion", assertion.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
    ];
    assert_refused(
        &stranger
            .world
            .token(&with(
                stranger.code().await.form(&stranger.client_id),
                &over,
            ))
            .await,
    );
}

/// A configured client whose keys are at an address of its operator, and what that address answers.
async fn registered_with_key_url(
    keys: impl Fn() -> Vec<Value> + Send + Sync + 'static,
) -> (ClientWorld, FakeHttp) {
    let host = FakeHttp::start(move |_| Reply::json(json!({ "keys": keys() }).to_string()))
        .await
        .unwrap();
    let url = format!("http://{}/jwks", host.address()).parse().unwrap();
    let world = ClientWorld::with(|realm| {
        let client = realm
            .clients
            .iter_mut()
            .find(|client| client.client_id.as_str() == "signer")
            .unwrap();
        client.authentication.keys = Some(KeySource::Uri(url));
    })
    .await;
    (world, host)
}

// SEC-35
#[tokio::test]
async fn keys_at_an_address_that_the_operator_named_are_fetched_once() {
    let key = some_key();
    let published = key.public().to_value();
    let (world, host) = registered_with_key_url(move || vec![published.clone()]).await;
    for id in ["1", "2", "3"] {
        assert_eq!(
            redeem_with_assertion(&world, &assertion(&key, &json!({ "jti": id })))
                .await
                .status,
            200
        );
    }
    assert_eq!(host.seen().len(), 1);
}

// SEC-44: a new key is found at once, and a stranger's key does not make us fetch again and again.
#[tokio::test]
async fn an_unknown_key_makes_the_keys_be_fetched_once_more() {
    let (old, new) = (some_key(), some_key());
    let rotated = Arc::new(AtomicBool::new(false));
    let published = [old.public().to_value(), new.public().to_value()];
    let now = Arc::clone(&rotated);
    let (world, host) = registered_with_key_url(move || {
        vec![published[usize::from(now.load(Ordering::SeqCst))].clone()]
    })
    .await;
    assert_eq!(
        redeem_with_assertion(&world, &assertion(&old, &json!({ "jti": "1" })))
            .await
            .status,
        200
    );
    rotated.store(true, Ordering::SeqCst);
    assert_eq!(
        redeem_with_assertion(&world, &assertion(&new, &json!({ "jti": "2" })))
            .await
            .status,
        200
    );
    assert_eq!(host.seen().len(), 2);
    for _ in 0..5 {
        assert_refused(&redeem_with_assertion(&world, &assertion(&some_key(), &json!({}))).await);
    }
    assert_eq!(host.seen().len(), 2);
}

// A host that is down for a moment must not cost its clients their tokens.
#[tokio::test]
async fn a_document_that_cannot_be_had_now_is_asked_for_later() {
    let world = ClientWorld::with(|realm| {
        realm.cimd = admitting(1);
    })
    .await;
    let answer = world
        .token(&refresh_form("http://127.0.0.1:1/client.json", "x"))
        .await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), "30");
}
