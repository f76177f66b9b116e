//! What a target is shown with every request.

use http::{HeaderMap, HeaderValue};
use testkit::fake_mcp::Script;

use crate::world::world_with;

/// A credential, and a header that the protocol would not let anybody set.
fn outward() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static("k-1"));
    headers.append("x-tenant", HeaderValue::from_static("acme"));
    headers.insert("accept", HeaderValue::from_static("text/plain"));
    headers
}

// SEC-36
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_request_of_either_era_carries_what_the_operator_wrote_once() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world_with(script, |settings| settings.headers = outward()).await;
        let stop = world.run();
        world.until_listed(|names| !names.is_empty()).await;
        world.call("echo", "{}").await.unwrap();
        stop.cancel();
        world.tracker.close();
        world.tracker.wait().await;
        let seen = world.fake.seen();
        assert!(seen.len() >= 3, "{seen:?}");
        for one in seen {
            for (name, value) in [("x-api-key", "k-1"), ("x-tenant", "acme")] {
                let count = one.headers.iter().filter(|(seen, _)| seen == name).count();
                assert_eq!((count, one.header(name)), (1, Some(value)), "{one:?}");
            }
            assert_ne!(one.header("accept"), Some("text/plain"), "{one:?}");
        }
    }
}

// SEC-36
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_is_shown_nothing_unless_the_operator_says_so() {
    let world = world_with(Script::modern(), |_| {}).await;
    world.call("echo", "{}").await.unwrap();
    for one in world.fake.seen() {
        assert_eq!(one.header("authorization"), None);
        assert_eq!(one.header("x-api-key"), None);
    }
}
