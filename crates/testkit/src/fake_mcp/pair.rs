//! The transport of 2024-11-05: a stream that names an endpoint, and messages that are answered on the stream.

use std::io;

use serde_json::{Value, json};
use tokio::net::tcp::OwnedWriteHalf;

use super::protocol::{self, Reply};
use super::seen::Seen;
use super::shared::{Shared, Signal};
use super::wire::{self, Plain, Reader};

const SESSION: &str = "?session=";

/// Opens a stream, whose endpoint is this; whatever is said in its session comes on it.
pub(super) async fn open(
    shared: &Shared,
    (reader, writer): (&mut Reader, &mut OwnedWriteHalf),
    endpoint: &str,
) -> io::Result<()> {
    let mut signals = shared.signals.subscribe();
    shared.note(|counts| counts.sessions_made += 1);
    let session = format!("pair-{}", shared.counts.lock().sessions_made);
    shared.sessions.lock().insert(session.clone(), false);
    wire::start_events(writer, &[]).await?;
    let event = format!("event: endpoint\ndata: {endpoint}{SESSION}{session}\n\n");
    wire::write_chunk(writer, event.as_bytes()).await?;
    let _open = shared.open_stream();
    let said = async {
        loop {
            match signals.recv().await {
                Ok(Signal::Said(whose, message)) if whose == session => {
                    wire::write_event(writer, &message).await?;
                }
                Ok(Signal::Changed(word)) => {
                    let method = format!("notifications/{word}/list_changed");
                    let message = json!({"jsonrpc": "2.0", "method": method});
                    wire::write_event(writer, &message.to_string()).await?;
                }
                Ok(Signal::Drop | Signal::Finish) | Err(_) => return io::Result::Ok(()),
                Ok(_) => {}
            }
        }
    };
    let ended = tokio::select! {
        () = wire::closed(reader) => Ok(()),
        ended = said => ended,
    };
    shared.sessions.lock().remove(&session);
    shared.note(|counts| counts.sessions_ended.push(session));
    ended
}

/// Takes a message, whose answer goes to the stream of its session.
pub(super) fn take(shared: &Shared, seen: &Seen) -> Plain {
    let session = seen.path.split_once(SESSION).map(|(_, session)| session);
    let Some(session) = session.filter(|session| shared.sessions.lock().contains_key(*session))
    else {
        return Plain::empty(404);
    };
    let mut seen = seen.clone();
    let name = "mcp-session-id".to_owned();
    seen.headers.push((name, session.to_owned()));
    let say = |message: String| {
        let _ = shared
            .signals
            .send(Signal::Said(session.to_owned(), message));
    };
    match protocol::answer(shared, &seen) {
        Reply::Plain(plain) if plain.body.is_empty() => plain,
        Reply::Plain(plain) => {
            say(plain.body);
            Plain::empty(202)
        }
        Reply::Events(messages, _) => {
            messages.into_iter().for_each(say);
            Plain::empty(202)
        }
        Reply::Ask(id, question) => {
            say(question.request(&id));
            Plain::empty(202)
        }
        Reply::Notifications(_) | Reply::Steps(_) => Plain::empty(405),
    }
}

/// A client's answer to a question that [`take`] asked: the call that has its id is answered with it.
pub(super) fn answered(shared: &Shared, seen: &Seen) -> Option<Plain> {
    let message = seen.json();
    let id = message
        .get("id")
        .filter(|_| message.get("method").is_none());
    let (_, session) = seen.path.split_once(SESSION)?;
    let result = protocol::text_result(id?, &seen.body, false);
    let _ = shared
        .signals
        .send(Signal::Said(session.to_owned(), result));
    Some(Plain::empty(202))
}

/// What another verb or place gets.
pub(super) fn elsewhere(seen: &Seen) -> Option<Plain> {
    let is_message = seen.verb == "POST" && seen.path.contains(SESSION);
    let is_stream = seen.verb == "GET" && seen.json() == Value::Null;
    (!is_message && !is_stream).then(|| Plain::empty(405))
}
