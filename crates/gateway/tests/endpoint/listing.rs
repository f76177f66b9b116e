//! How it is known what targets offer: listing modes, and whose resources are.

use std::sync::Arc;

use model::listing::{Listing, Offered};
use model::target::{Target, TargetKind};
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, FakeMcp, Script, tool};

use crate::world::{LEGACY, MODERN, World, world_with};

/// A server whose list is known in this way.
async fn listed(script: Script, listing: Listing) -> World {
    world_with(script, |gateway| gateway.targets[0].listing = listing).await
}

fn names(listed: &Value) -> Vec<&str> {
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

// TM-16: it stays as it was until somebody says so, whatever the target announces and whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_list_on_demand_is_asked_for_once_and_when_an_operator_says_so() {
    let world = listed(Script::modern(), Listing::OnDemand).await;
    world.gateway.settle().await;
    let first = world.ask(MODERN, "tools/list", json!({})).await;
    assert_eq!(names(&first).len(), 5);
    let lists = || world.upstream.seen_of("tools/list").len();
    let asked = lists();
    world
        .upstream
        .change(|script| script.tools.push(tool("late")));
    world.upstream.announce_tools_changed();
    let call = world.alice().call(MODERN, "late", json!({})).await;
    assert_eq!(call.refusal().await.1, -32602);
    let again = world.ask(MODERN, "tools/list", json!({})).await;
    assert_eq!((names(&again).len(), lists()), (5, asked));
    assert!(!world.gateway.sync(Some("nobody")).await);
    assert!(world.gateway.sync(Some("my-mcp-server")).await);
    let synced = world.ask(LEGACY, "tools/list", json!({})).await;
    assert!(names(&synced).contains(&"my-mcp-server___late"), "{synced}");
    let state = &world.gateway.lists()[0];
    assert_eq!((state.mode, state.entries), ("on_demand", Some(6)));
    assert!(state.failure.is_none());
}

// TM-16
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_declared_list_is_shown_without_asking_and_its_entries_are_called() {
    let object = |value: Value| value.as_object().unwrap().clone();
    let offered = Offered {
        tools: vec![object(
            json!({"name": "echo", "title": "Says it again", "inputSchema": {"type": "object"}}),
        )],
        resources: vec![object(json!({"uri": "file:///a.txt", "name": "a"}))],
        ..Offered::default()
    };
    for script in [Script::modern(), Script::legacy()] {
        let world = listed(script, Listing::Static(offered.clone())).await;
        for era in [MODERN, LEGACY] {
            let listed = world.ask(era, "tools/list", json!({})).await;
            assert_eq!(names(&listed), ["my-mcp-server___echo"]);
            assert_eq!(listed["result"]["tools"][0]["title"], "Says it again");
            let listed = world.ask(era, "resources/list", json!({})).await;
            assert_eq!(listed["result"]["resources"][0]["uri"], "file:///a.txt");
            let listed = world.ask(era, "prompts/list", json!({})).await;
            assert_eq!(listed["result"]["prompts"], json!([]));
            let called = world.alice().call(era, "echo", json!({"a": 1})).await;
            assert_eq!(
                called.json().await["result"]["content"][0]["text"],
                r#"{"a":1}"#
            );
            // The server has it, and it is not offered.
            let hidden = world.alice().call(era, "progress", json!({})).await;
            assert_eq!(hidden.refusal().await.1, -32602);
        }
        assert_eq!(world.upstream.seen_of("tools/list").len(), 0);
        assert!(world.gateway.sync(None).await);
        assert_eq!(world.upstream.seen_of("tools/list").len(), 0);
    }
}

// TM-16, UC-8, BP-7: each caller is shown what the target lists for him, in a session of his own, beside what is for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dynamic_list_is_asked_for_on_behalf_of_each_caller() {
    let other = Arc::new(FakeMcp::start(Script::dual()).await.unwrap());
    let url = other.url();
    for script in [Script::modern(), Script::legacy(), Script::dual()] {
        let world = world_with(script, |gateway| {
            gateway.targets[0].listing = Listing::Dynamic;
            let kind = TargetKind::mcp(url.parse().unwrap());
            gateway
                .targets
                .push(Target::new("shared".parse().unwrap(), kind));
        })
        .await;
        world.gateway.settle().await;
        assert_eq!(world.upstream.seen_of("tools/list").len(), 0);
        for era in [MODERN, LEGACY] {
            let listed = world.ask(era, "tools/list", json!({})).await;
            let names = names(&listed);
            assert_eq!(
                (names.len(), names[0], names[5]),
                (10, "my-mcp-server___echo", "shared___echo")
            );
            let called = world.alice().call(era, "echo", json!({"a": 1})).await;
            assert_eq!(
                called.json().await["result"]["content"][0]["text"],
                r#"{"a":1}"#,
                "{era}"
            );
        }
        // What is new is there for who asks.
        world
            .upstream
            .change(|script| script.tools.push(tool("late")));
        let mallory = world.mallory();
        let listed = mallory.legacy("tools/list", json!({})).await.json().await;
        assert!(names(&listed).contains(&"my-mcp-server___late"), "{listed}");
        let sessions: Vec<_> = world.upstream.seen_of("tools/list");
        let sessions = sessions
            .iter()
            .filter_map(|seen| seen.header("mcp-session-id"));
        let sessions: std::collections::HashSet<_> = sessions.collect();
        assert!(sessions.len() != 1, "{sessions:?}");
        // One that is in trouble hides nothing of the other.
        let act = ("tools/list".to_owned(), Act::Close);
        world.upstream.change(|script| script.acts.push(act));
        let listed = world.ask(LEGACY, "tools/list", json!({})).await;
        assert_eq!(names(&listed).len(), 5, "{listed}");
    }
}

// UC-4: whatever others list, and in whichever order they are declared.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn resources_belong_to_the_target_whose_prefix_they_have() {
    let resource = |uri: &str, name: &str| json!({"uri": uri, "name": name});
    let owner = FakeMcp::start(Script::modern().with_resources(
        vec![
            resource("docs://hr/a", "owner's"),
            resource("docs://b", "owner's"),
        ],
        vec![],
    ))
    .await
    .unwrap();
    let url = owner.url();
    let script = Script::modern().with_resources(
        vec![
            resource("docs://hr/a", "first's"),
            resource("docs://b", "first's"),
            resource("x:1", "first's"),
        ],
        vec![
            json!({"uriTemplate": "docs://hr/{id}", "name": "t"}),
            json!({"uriTemplate": "{+any}", "name": "any"}),
        ],
    );
    let world = world_with(script, |gateway| {
        gateway.targets[0].uri_prefixes = vec!["docs:".parse().unwrap()];
        let kind = TargetKind::mcp(url.parse().unwrap());
        let mut target = Target::new("hr".parse().unwrap(), kind);
        target.uri_prefixes = vec!["docs://hr/".parse().unwrap()];
        gateway.targets.push(target);
    })
    .await;
    world.gateway.settle().await;
    for era in [MODERN, LEGACY] {
        let listed = world.ask(era, "resources/list", json!({})).await;
        let listed = listed["result"]["resources"].as_array().unwrap();
        let mut shown: Vec<_> = listed
            .iter()
            .map(|one| (one["uri"].as_str().unwrap(), one["name"].as_str().unwrap()))
            .collect();
        shown.sort_unstable();
        assert_eq!(
            shown,
            [
                ("docs://b", "first's"),
                ("docs://hr/a", "owner's"),
                ("x:1", "first's")
            ]
        );
        let listed = world.ask(era, "resources/templates/list", json!({})).await;
        let templates = listed["result"]["resourceTemplates"].as_array().unwrap();
        assert_eq!(templates.len(), 1, "{listed}");
        owner.forget_seen();
        world.upstream.forget_seen();
        // Listed, and listed by nobody.
        for uri in ["docs://hr/a", "docs://hr/new", "docs://new", "y:2"] {
            world.ask(era, "resources/read", json!({"uri": uri})).await;
        }
        let read = |fake: &FakeMcp| {
            let seen = fake.seen_of("resources/read").into_iter();
            seen.map(|seen| seen.json()["params"]["uri"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&owner), ["docs://hr/a", "docs://hr/new"]);
        assert_eq!(read(&world.upstream), ["docs://new", "y:2"]);
    }
}
