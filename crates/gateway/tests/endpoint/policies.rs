//! The resource policy of the gateway.

use serde_json::json;
use testkit::fake_mcp::Script;

use crate::world::{World, world_with};

async fn with_policy(statements: serde_json::Value) -> World {
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    world_with(Script::dual(), |settings| {
        settings.resource_policy = Some(policy);
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_the_allowed_network_gets_as_far_as_the_challenge() {
    let world = with_policy(json!([{
        "Effect": "Allow", "Principal": "*", "Action": "bedrock-agentcore:InvokeGateway", "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}},
    }]))
    .await;
    let inside = world.alice().from([198, 51, 100, 9]);
    assert_eq!(inside.modern("tools/list", json!({})).await.status, 200);
    let stranger = world.stranger().from([198, 51, 100, 9]);
    assert_eq!(stranger.modern("tools/list", json!({})).await.status, 401);
    for outside in [world.alice(), world.stranger()] {
        let answer = outside.modern("tools/list", json!({})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("www-authenticate")),
            (403, "")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_explicit_deny_wins() {
    let world = with_policy(json!([
        {"Effect": "Allow", "Principal": "*", "Action": "bedrock-agentcore:InvokeGateway", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "bedrock-agentcore:InvokeGateway", "Resource": "*",
         "Condition": {"StringNotEquals": {"aws:SourceVpce": "inner"}}},
    ]))
    .await;
    assert_eq!(
        world.alice().modern("tools/list", json!({})).await.status,
        403
    );
    let mut inner = world.alice();
    inner.peer.listener = "inner".into();
    assert_eq!(inner.modern("tools/list", json!({})).await.status, 200);
}
