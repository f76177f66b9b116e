//! What is said while calls of two people are under way: log messages and progress; and which of them is taken back.

use serde_json::{Value, json};
use testkit::fake_mcp::FakeMcp;

use super::{Person, TOKEN, cancelled, forge_in, heard, progress, say, targets};
use crate::messages::Messages;
use crate::world::{Actor, LEGACY, MODERN, World};

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// A call of `steps` that says this text.
async fn take_steps(actor: &Actor<'_>, era: &str, text: &str, meta: Value) -> Messages {
    let params = json!({
        "name": "my-mcp-server___steps", "arguments": {"text": text}, "_meta": meta,
    });
    let answer = if era == MODERN {
        actor.modern("tools/call", params).await
    } else {
        actor.legacy("tools/call", params).await
    };
    Messages::of(answer)
}

/// Waits until so many calls are under way at the target, and lets them go on.
async fn go_on(world: &World, calls: usize) {
    let under_way = |fake: &FakeMcp| fake.seen_of("tools/call").len() >= calls;
    world.upstream.until("the calls", under_way).await.unwrap();
    world.upstream.go_on();
}

/// The messages of a call that is at its first step: the methods of what was said, all of it about this text, and the answer.
async fn rest(mut messages: Messages, text: &str) -> Vec<String> {
    let mut methods = Vec::new();
    while let Some(message) = messages.next().await {
        if message.get("id").is_some() {
            assert_eq!(heard(&message), text);
            assert!(messages.next().await.is_none());
            return methods;
        }
        let (params, method) = (&message["params"], &message["method"]);
        let said = params.get("data").or_else(|| params.get("message"));
        assert_eq!(said, Some(&json!(text)), "{message}");
        methods.push(method.as_str().unwrap().to_owned());
    }
    panic!("no answer: {text}");
}

async fn choose(person: &Person<'_>, level: &str) {
    let params = json!({"level": level});
    let answer = person.actor.legacy("logging/setLevel", params).await;
    assert_eq!(answer.json().await["result"], json!({}));
}

// TL-7, TL-10, SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_has_the_log_messages_of_his_own_call_and_of_his_own_level() {
    const ALL: [&str; 4] = [
        "notifications/progress",
        "notifications/message",
        "notifications/progress",
        "notifications/message",
    ];
    const QUIET: [&str; 2] = ["notifications/progress", "notifications/progress"];
    for world in targets().await {
        let alice = Person::begin(world.alice()).await;
        let mallory = Person::begin(world.mallory()).await;
        choose(&alice, "info").await;
        let loud = json!({"progressToken": TOKEN, LOG_LEVEL: "info"});
        let quiet = json!({"progressToken": TOKEN});
        for (level, his_meta, his) in [
            ("emergency", &quiet, &QUIET[..]),
            ("debug", &loud, &ALL[..]),
        ] {
            choose(&mallory, level).await;
            forge_in(&world, &alice.session, &json!(1)).await;
            for era in [MODERN, LEGACY] {
                world.upstream.forget_seen();
                let (of_alice, of_mallory) = if era == MODERN {
                    (world.alice(), world.mallory())
                } else {
                    (alice.actor.clone(), mallory.actor.clone())
                };
                let hers = take_steps(&of_alice, era, "of alice", loud.clone()).await;
                let other = take_steps(&of_mallory, era, "of mallory", his_meta.clone()).await;
                go_on(&world, 2).await;
                assert_eq!(rest(hers, "of alice").await, ALL, "{era}");
                assert_eq!(rest(other, "of mallory").await, his, "{era}");
            }
        }
        alice.end().await;
        mallory.end().await;
    }
}

// TL-9, SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_has_the_progress_of_his_own_call_whoever_has_the_same_token() {
    for world in targets().await {
        let alice = Person::begin(world.alice()).await;
        let mallory = Person::begin(world.mallory()).await;
        for era in [MODERN, LEGACY] {
            world.upstream.forget_seen();
            let (of_alice, of_mallory) = if era == MODERN {
                (world.alice(), world.mallory())
            } else {
                (alice.actor.clone(), mallory.actor.clone())
            };
            let meta = json!({"progressToken": TOKEN});
            let mut hers = take_steps(&of_alice, era, "of alice", meta.clone()).await;
            let mut his = take_steps(&of_mallory, era, "of mallory", meta).await;
            forge_in(&world, &alice.session, &json!(1)).await;
            for (actor, era) in [
                (&mallory.actor, LEGACY),
                (&world.mallory(), LEGACY),
                (&world.mallory(), MODERN),
            ] {
                assert_eq!(say(actor, era, &progress()).await, 202);
            }
            go_on(&world, 2).await;
            for (messages, text) in [(&mut hers, "of alice"), (&mut his, "of mallory")] {
                let mut steps = Vec::new();
                let result = loop {
                    let message = messages.next().await.unwrap();
                    let params = &message["params"];
                    if message.get("id").is_some() {
                        break message;
                    }
                    if message["method"] == "notifications/progress" {
                        assert_eq!(params["progressToken"], TOKEN, "{message}");
                        assert_eq!(params["message"], text, "{message}");
                        steps.push(params["progress"].as_u64().unwrap());
                    }
                };
                assert_eq!((heard(&result), &steps[..]), (text, &[1, 2][..]));
            }
            // The target is told of nothing, and takes neither for the other.
            assert!(world.upstream.seen_of("notifications/progress").is_empty());
            let calls = world.upstream.seen_of("tools/call");
            let mut tokens = calls
                .iter()
                .map(|seen| seen.json()["params"]["_meta"]["progressToken"].clone());
            assert_ne!(tokens.next().unwrap(), tokens.next().unwrap());
        }
        alice.end().await;
        mallory.end().await;
    }
}

// TL-8, TL-10, TM-13, SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_takes_back_his_own_request_whoever_has_the_same_id() {
    for world in targets().await {
        let alice = Person::begin(world.alice()).await;
        let mallory = Person::begin(world.mallory()).await;
        for era in [MODERN, LEGACY] {
            world.upstream.forget_seen();
            let abandoned = world.upstream.abandoned().len();
            let (of_alice, of_mallory) = if era == MODERN {
                (world.alice(), world.mallory())
            } else {
                (alice.actor.clone(), mallory.actor.clone())
            };
            // Both have the id 1.
            let meta = json!({"progressToken": TOKEN});
            let hers = take_steps(&of_alice, era, "of alice", meta.clone()).await;
            let mut his = take_steps(&of_mallory, era, "of mallory", meta).await;
            forge_in(&world, &alice.session, &json!(1)).await;
            for era in [MODERN, LEGACY] {
                assert_eq!(say(&world.mallory(), era, &cancelled(&json!(1))).await, 202);
            }
            // Until then, his own goes on as well.
            assert_eq!(his.next().await.unwrap()["params"]["message"], "of mallory");
            assert_eq!(world.upstream.abandoned().len(), abandoned);
            if era == LEGACY {
                assert_eq!(say(&mallory.actor, era, &cancelled(&json!(1))).await, 202);
                while let Some(message) = his.next().await {
                    assert_eq!(message.get("id"), None, "{message}");
                }
            }
            drop(his);
            let is_over = |fake: &FakeMcp| fake.abandoned().len() > abandoned;
            world.upstream.until("the end", is_over).await.unwrap();
            go_on(&world, 2).await;
            rest(hers, "of alice").await;
            assert_eq!(world.upstream.abandoned().len(), abandoned + 1);
        }
        alice.end().await;
        mallory.end().await;
    }
}
