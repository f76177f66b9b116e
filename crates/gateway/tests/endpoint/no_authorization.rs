//! A gateway without authorization: everybody on its machine may call, and nobody else.

use http::Method;
use model::gateway::CallerLimits;
use net::edge::Arrival;
use serde_json::json;
use testkit::fake_mcp::Script;

use crate::world::{Actor, LEGACY, MODERN, World, world_with};

async fn open(script: Script) -> World {
    world_with(script, |settings| {
        settings.danger_no_authorization = true;
    })
    .await
}

/// Somebody on the gateway's machine.
fn neighbour(actor: Actor<'_>) -> Actor<'_> {
    actor.from([127, 0, 0, 1])
}

// SEC-36
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_is_not_needed_and_one_that_comes_along_goes_no_further() {
    for script in [Script::modern(), Script::legacy()] {
        let world = open(script).await;
        let values = ["", "Bearer secret-token", "Bearer", "Basic c2VjcmV0"];
        for value in values {
            for era in [MODERN, LEGACY] {
                let mut caller = neighbour(world.stranger());
                if !value.is_empty() {
                    caller = caller.with("authorization", value);
                }
                let answer = caller.call(era, "echo", json!({"a": 1})).await;
                assert_eq!(answer.status, 200, "{value}, {era}");
                let result = answer.json().await;
                assert!(result["result"]["content"].is_array(), "{result}");
            }
        }
        let good = neighbour(world.alice());
        assert_eq!(good.call(MODERN, "echo", json!({})).await.status, 200);
        let in_query = neighbour(world.stranger())
            .send(
                Method::POST,
                "/mcp?access_token=secret-token",
                &[
                    ("content-type", "application/json"),
                    ("accept", "application/json, text/event-stream"),
                ],
                r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            )
            .await;
        assert_eq!(in_query.status, 200);
        let seen = world.upstream.seen();
        assert!(seen.iter().any(|one| one.method() == "tools/call"));
        for one in seen {
            assert_eq!(one.header("authorization"), None);
            let body = one.json().to_string();
            assert!(!body.contains("secret-token"), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn others_are_refused_whatever_they_show_and_however_they_come() {
    let world = open(Script::dual()).await;
    let mut mapped = world.stranger();
    mapped.peer.address = "::ffff:127.0.0.1".parse().unwrap();
    let mut sixth = world.stranger();
    sixth.peer.address = "::1".parse().unwrap();
    for caller in [world.stranger().from([127, 8, 9, 1]), mapped, sixth] {
        let answer = caller.modern("tools/list", json!({})).await;
        assert_eq!(answer.status, 200, "{}", caller.peer.address);
    }
    let mut through_a_proxy = neighbour(world.stranger());
    through_a_proxy.peer.arrival = Arrival::Proxied { https: Some(true) };
    let mut far = world.stranger();
    far.peer.address = "2001:db8::1".parse().unwrap();
    for caller in [world.stranger(), world.alice(), through_a_proxy, far] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let answer = caller.send(method, "/mcp", &[], "{}").await;
            assert_eq!(answer.header("www-authenticate"), "");
            let refusal = answer.refusal().await;
            assert_eq!(refusal, (403, -31_403), "{}", caller.peer.address);
        }
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
}

// SEC-58
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_comes_through_a_proxy_on_this_machine_is_from_elsewhere() {
    let world = open(Script::dual()).await;
    for (headers, status) in [
        (&[("x-forwarded-for", "203.0.113.5")][..], 403),
        (&[("x-forwarded-for", "127.0.0.1, 203.0.113.5")], 403),
        (&[("x-forwarded-for", "203.0.113.5, 127.0.0.1")], 403),
        (&[("forwarded", "for=\"[2001:db8::1]:4711\"")], 403),
        (
            // The proxy sets one of them, and its client made the other one up.
            &[
                ("x-forwarded-for", "127.0.0.1"),
                ("forwarded", "for=203.0.113.5"),
            ],
            403,
        ),
        (&[("x-forwarded-for", "127.0.0.1")], 200),
        (
            &[("x-forwarded-for", "::1"), ("forwarded", "for=127.0.0.1")],
            200,
        ),
    ] {
        let mut caller = neighbour(world.stranger());
        for (name, value) in headers {
            caller = caller.with(name, *value);
        }
        let answer = caller.call(MODERN, "echo", json!({})).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    assert_eq!(world.upstream.seen_of("tools/call").len(), 2);
}

// SEC-62, TM-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_of_foreign_origins_are_refused_from_this_machine_too() {
    let world = open(Script::dual()).await;
    let from = async |origin: &str| {
        let page = neighbour(world.stranger()).with("origin", origin);
        page.call(MODERN, "echo", json!({})).await.status.as_u16()
    };
    for origin in [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example:8480",
        "null",
    ] {
        assert_eq!(from(origin).await, 403, "{origin}");
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
    for origin in ["http://localhost:6274", "https://app.example"] {
        assert_eq!(from(origin).await, 200, "{origin}");
    }
}

// RS-1, RS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_client_is_sent_to_look_for_a_token() {
    let world = open(Script::dual()).await;
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/mcp/",
    ] {
        let caller = neighbour(world.stranger());
        let answer = caller.send(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(world.gateway.issuers().is_empty());
}

// SEC-79, TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_callers_are_one_for_limits_and_sessions() {
    let world = world_with(Script::dual(), |settings| {
        settings.danger_no_authorization = true;
        settings.caller_limits = CallerLimits {
            streams: 1,
            ..CallerLimits::default()
        };
    })
    .await;
    // `localhost` is two addresses, and a client may connect to one of them now and to the other one later.
    let mut other = world.stranger();
    other.peer.address = "::1".parse().unwrap();
    let session = neighbour(world.stranger()).initialize().await;
    assert!(!session.is_empty());
    let other = other.with("mcp-session-id", session);
    assert_eq!(other.legacy("tools/list", json!({})).await.status, 200);
    let accept = [("accept", "text/event-stream")];
    let stream = other.send(Method::GET, "/mcp", &accept, "").await;
    assert_eq!(stream.status, 200);
    let params = json!({"notifications": {"toolsListChanged": true}});
    let caller = neighbour(world.stranger());
    let second = caller.modern("subscriptions/listen", params).await;
    assert_eq!(second.status, 429);
}

// SEC-46
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_of_it_outlives_a_reload_that_asks_for_tokens() {
    let mut world = open(Script::dual()).await;
    let caller = neighbour(world.stranger());
    let session = caller.initialize().await;
    let params = json!({"notifications": {"toolsListChanged": true}});
    let stream = caller.modern("subscriptions/listen", params).await;
    assert_eq!(stream.status, 200);
    world.reload_with(|_| {}).await;
    let last = stream.messages().await.pop().unwrap();
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    let call = async |actor: Actor<'_>| {
        let actor = neighbour(actor).with("mcp-session-id", session.clone());
        actor.legacy("tools/list", json!({})).await.status.as_u16()
    };
    assert_eq!(call(world.stranger()).await, 401);
    assert_eq!(call(world.alice()).await, 404);
}
