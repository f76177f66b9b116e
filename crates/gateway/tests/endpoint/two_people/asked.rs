//! What two people are asked in the middle of their calls, elicitation and sampling, in each era.

use serde_json::{Value, json};

use super::{CAPABILITIES, Person, cancelled, forge_in, heard, response, say, targets};
use crate::messages::Messages;
use crate::world::{Actor, Answer, LEGACY, MODERN, World};

/// What a target asks of clients, and what somebody says to that.
#[derive(Clone, Copy, Debug)]
enum Asking {
    Elicitation,
    Sampling,
}

impl Asking {
    const ALL: [Self; 2] = [Self::Elicitation, Self::Sampling];

    const fn tool(self) -> &'static str {
        match self {
            Self::Elicitation => "ask",
            Self::Sampling => "sample",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
        }
    }

    fn answer(self, text: &str) -> Value {
        match self {
            Self::Elicitation => json!({"action": "accept", "content": {"name": text}}),
            Self::Sampling => {
                json!({"role": "assistant", "content": {"type": "text", "text": text}, "model": "m"})
            }
        }
    }
}

/// The call of a tool with a question for somebody, by a client of the session era.
async fn ask(person: &Person<'_>, asking: Asking, whom: &str) -> Messages {
    let arguments = json!({"question": format!("for {whom}")});
    Messages::of(person.actor.call(LEGACY, asking.tool(), arguments).await)
}

/// What somebody is asked, which is for him and for nobody else: the id of the question.
async fn asked(messages: &mut Messages, asking: Asking, whom: &str) -> Value {
    let message = messages.next().await.unwrap();
    assert_eq!(message["method"], asking.method(), "{message}");
    let own = format!("for {whom}");
    assert!(message.to_string().contains(&own), "{message}");
    message["id"].clone()
}

// TL-4, TL-10, SEC-66: elicitation and sampling of clients of the session era.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_is_asked_what_his_own_call_asks_and_nobody_answers_for_the_other() {
    for world in targets().await {
        for asking in Asking::ALL {
            let alice = Person::begin(world.alice()).await;
            let mallory = Person::begin(world.mallory()).await;
            world.upstream.forget_seen();
            let mut of_alice = ask(&alice, asking, "alice").await;
            let mut of_mallory = ask(&mallory, asking, "mallory").await;
            let hers = asked(&mut of_alice, asking, "alice").await;
            let his = asked(&mut of_mallory, asking, "mallory").await;
            assert_ne!(hers, his);
            // With her id, in his session, in hers, in none, and in an era that has no answers.
            let forged = response(&hers, &asking.answer("forged"));
            assert_eq!(say(&mallory.actor, LEGACY, &forged).await, 202);
            assert_eq!(say(&mallory.actor, LEGACY, &cancelled(&hers)).await, 202);
            forge_in(&world, &alice.session, &hers).await;
            assert_eq!(say(&world.mallory(), LEGACY, &forged).await, 202);
            assert_eq!(
                say(&world.mallory(), LEGACY, &cancelled(&json!(1))).await,
                202
            );
            assert_eq!(say(&world.mallory(), MODERN, &forged).await, 400);
            // And she with his.
            let crossed = response(&his, &asking.answer("crossed"));
            assert_eq!(say(&alice.actor, LEGACY, &crossed).await, 202);
            for (person, id, messages, text) in [
                (&mallory, &his, &mut of_mallory, "of mallory"),
                (&alice, &hers, &mut of_alice, "of alice"),
            ] {
                let answer = response(id, &asking.answer(text));
                assert_eq!(say(&person.actor, LEGACY, &answer).await, 202);
                let result = messages.next().await.unwrap();
                assert!(heard(&result).contains(text), "{result}");
                assert!(messages.next().await.is_none());
            }
            no_forgery_reached(&world);
            alice.end().await;
            mallory.end().await;
        }
    }
}

/// The same call by a client of the stateless era, first or with what came of it.
async fn ask_modern(actor: &Actor<'_>, asking: Asking, whom: &str, again: &Value) -> Answer {
    let declared = json!({"elicitation": {}, "sampling": {}});
    let mut params = json!({
        "name": format!("my-mcp-server___{}", asking.tool()),
        "arguments": {"question": format!("for {whom}")},
        "_meta": {CAPABILITIES: declared},
    });
    for (name, value) in again.as_object().unwrap() {
        params[name] = value.clone();
    }
    actor.modern("tools/call", params).await
}

/// The key of the one question of a result, which is for this one and for nobody else, and the state.
async fn question(answer: Answer, asking: Asking, whom: &str) -> (String, Value) {
    let message = answer.json().await;
    let result = &message["result"];
    assert_eq!(result["resultType"], "input_required", "{message}");
    let questions = result["inputRequests"].as_object().unwrap();
    let (key, asked) = questions.iter().next().unwrap();
    assert_eq!(
        (questions.len(), &asked["method"]),
        (1, &json!(asking.method()))
    );
    assert!(
        asked.to_string().contains(&format!("for {whom}")),
        "{asked}"
    );
    (key.clone(), result["requestState"].clone())
}

// TM-18, SEC-66: elicitation and sampling of clients of the stateless era.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_takes_up_his_own_call_and_nobody_the_other_s() {
    for world in targets().await {
        let (alice, mallory) = (world.alice(), world.mallory());
        for asking in Asking::ALL {
            let nothing = json!({});
            let first = ask_modern(&alice, asking, "alice", &nothing).await;
            let (her_key, her_state) = question(first, asking, "alice").await;
            let first = ask_modern(&mallory, asking, "mallory", &nothing).await;
            let (his_key, his_state) = question(first, asking, "mallory").await;
            assert_ne!(her_state, his_state);
            let again = |key: &str, state: &Value, text: &str| json!({"inputResponses": {key: asking.answer(text)}, "requestState": state});
            for (actor, whom, again) in [
                // What is hers, for what is his; exactly as she would do it; and the other way about.
                (&mallory, "mallory", again(&his_key, &her_state, "forged")),
                (&mallory, "alice", again(&her_key, &her_state, "forged")),
                (&mallory, "alice", json!({"requestState": her_state})),
                (&alice, "alice", again(&her_key, &his_state, "crossed")),
                (&alice, "mallory", again(&his_key, &his_state, "crossed")),
            ] {
                let refused = ask_modern(actor, asking, whom, &again).await;
                assert_eq!(refused.refusal().await, (200, -32602));
            }
            for (actor, whom, key, state) in [
                (&mallory, "mallory", &his_key, &his_state),
                (&alice, "alice", &her_key, &her_state),
            ] {
                let text = format!("of {whom}");
                let result = ask_modern(actor, asking, whom, &again(key, state, &text)).await;
                let result = result.json().await;
                assert!(heard(&result).contains(&text), "{result}");
            }
            no_forgery_reached(&world);
        }
    }
}

/// What somebody said in another's name went nowhere.
fn no_forgery_reached(world: &World) {
    let seen = world.upstream.seen().into_iter();
    let said: String = seen.map(|seen| seen.body).collect();
    assert!(
        !said.contains("forged") && !said.contains("crossed"),
        "{said}"
    );
}
