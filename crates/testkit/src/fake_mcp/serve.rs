//! The connections of the fake: read, remember, answer or misbehave.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::pair;
use super::protocol::{self, Question, Reply, Steps};
use super::script::Act;
use super::seen::Seen;
use super::shared::{Shared, Signal};
use super::wire::{self, Plain, Reader};

/// Does the connection stay open for a further request?
type KeepAlive = bool;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, tracker: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { return };
        shared.note(|counts| counts.connections += 1);
        let shared = Arc::clone(&shared);
        tracker.spawn(async move {
            tokio::select! {
                () = shared.stop.cancelled() => {}
                // A peer that goes away is nothing to talk about.
                _ = serve(stream, &shared) => {}
            }
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut answered = false;
    while let Some(seen) = wire::read_request(&mut reader).await? {
        // The moment at which it hurts most: the request is on its way, and nobody takes it.
        if answered && shared.script.lock().closes_unsaid {
            return Ok(());
        }
        answered = true;
        shared.record(seen.clone());
        let mut exchange = Exchange {
            shared,
            reader: &mut reader,
            writer: &mut writer,
            seen: &seen,
        };
        let kept_alive = tokio::select! {
            biased;
            kept_alive = exchange.run() => kept_alive?,
            () = end_of_session(shared, &seen) => false,
        };
        if !kept_alive {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits until the client ends the session that a POST of its belongs to.
async fn end_of_session(shared: &Shared, seen: &Seen) {
    let session = seen
        .header("mcp-session-id")
        .filter(|_| seen.verb == "POST");
    let ended = |id: &str| {
        let counts = shared.counts.lock();
        counts.sessions_ended.iter().any(|ended| ended == id)
    };
    let mut changed = shared.changed.subscribe();
    loop {
        changed.mark_unchanged();
        if session.is_some_and(ended) {
            return;
        }
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Exchange<'a> {
    shared: &'a Shared,
    reader: &'a mut Reader,
    writer: &'a mut OwnedWriteHalf,
    seen: &'a Seen,
}

impl Exchange<'_> {
    async fn run(&mut self) -> io::Result<KeepAlive> {
        let message = self.seen.json();
        let method = self.seen.method();
        let tool = message.pointer("/params/name").and_then(Value::as_str);
        let act = self.shared.script.lock().act(&method, tool);
        let act = match act {
            Some(Act::When(condition, act)) => condition.holds(self.seen).then_some(*act),
            act => act,
        };
        match act {
            None => self.answer().await,
            Some(Act::Slow(delay)) => {
                tokio::select! {
                    () = wire::closed(self.reader) => { self.abandoned(); Ok(false) }
                    () = tokio::time::sleep(delay) => self.answer().await,
                }
            }
            Some(Act::DemandHeader(name)) if self.seen.header(name).is_some() => {
                self.answer().await
            }
            Some(Act::After(delay, act)) => {
                tokio::select! {
                    () = wire::closed(self.reader) => { self.abandoned(); Ok(false) }
                    () = tokio::time::sleep(delay) => self.misbehave(*act, &message).await,
                }
            }
            Some(act) => self.misbehave(act, &message).await,
        }
    }

    fn abandoned(&self) {
        let message = self.seen.json();
        let tool = message.pointer("/params/name").and_then(Value::as_str);
        let method = self.seen.method();
        let what = tool.map_or_else(|| method.clone(), |tool| format!("{method} {tool}"));
        self.shared.note(|counts| counts.abandoned.push(what));
    }

    async fn wait_for_the_peer_to_leave(&mut self) -> io::Result<KeepAlive> {
        wire::closed(self.reader).await;
        self.abandoned();
        Ok(false)
    }

    async fn misbehave(&mut self, act: Act, message: &Value) -> io::Result<KeepAlive> {
        let id = message.get("id").cloned().unwrap_or(Value::Null);
        let token = message
            .pointer("/params/_meta/progressToken")
            .cloned()
            .unwrap_or(Value::Null);
        match act {
            Act::Slow(_) | Act::After(..) | Act::When(..) | Act::Close => Ok(false),
            Act::Hang => self.wait_for_the_peer_to_leave().await,
            Act::HangAfterHead => {
                wire::start_events(self.writer, &[]).await?;
                self.wait_for_the_peer_to_leave().await
            }
            Act::CloseMidStream => {
                wire::start_events(self.writer, &[]).await?;
                wire::write_event(self.writer, &protocol::progress(&token, 1)).await?;
                Ok(false)
            }
            Act::Truncate => {
                wire::write_head_with_length(self.writer, "application/json", 1_000).await?;
                self.writer.write_all(br#"{"jsonrpc":"2.0","#).await?;
                self.writer.flush().await?;
                Ok(false)
            }
            Act::Answer {
                status,
                content_type,
                mut headers,
                body,
            } => {
                if !content_type.is_empty() {
                    headers.push(("content-type", content_type.to_owned()));
                }
                let body = body.replace("$ID", &id.to_string());
                wire::write_plain(
                    self.writer,
                    &Plain {
                        status,
                        headers,
                        body,
                    },
                )
                .await?;
                Ok(true)
            }
            Act::Events(text) => {
                wire::start_events(self.writer, &[]).await?;
                let text = text.replace("$ID", &id.to_string());
                if wire::write_chunk(self.writer, text.as_bytes())
                    .await
                    .is_err()
                {
                    self.abandoned();
                    return Ok(false);
                }
                wire::end_events(self.writer).await?;
                Ok(true)
            }
            Act::EndlessLine(length) => {
                wire::start_events(self.writer, &[]).await?;
                wire::write_chunk(self.writer, b"data: ").await?;
                let sent = self.flood(length, true).await;
                self.after_flood(sent).await
            }
            Act::HugeJson(length) => {
                wire::write_head_with_length(self.writer, "application/json", length + 1).await?;
                let sent = self.flood(length, false).await;
                self.after_flood(sent).await
            }
            Act::Drip(interval) => {
                wire::start_events(self.writer, &[]).await?;
                self.drip(&token, interval).await
            }
            Act::DemandHeader(name) => {
                let text = format!("{name} is missing");
                let refusal = protocol::error(400, &id, -32020, &text, &Value::Null);
                wire::write_plain(self.writer, &refusal).await?;
                Ok(true)
            }
        }
    }

    async fn flood(&mut self, length: usize, chunked: bool) -> io::Result<()> {
        const PIECE: &[u8] = &[b'a'; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let piece = PIECE.get(..left.min(PIECE.len())).unwrap_or(PIECE);
            if chunked {
                wire::write_chunk(self.writer, piece).await?;
            } else {
                self.writer.write_all(piece).await?;
            }
            left -= piece.len();
        }
        self.writer.flush().await
    }

    async fn after_flood(&mut self, sent: io::Result<()>) -> io::Result<KeepAlive> {
        if sent.is_err() {
            self.abandoned();
            return Ok(false);
        }
        self.wait_for_the_peer_to_leave().await
    }

    async fn drip(&mut self, token: &Value, interval: Duration) -> io::Result<KeepAlive> {
        for step in 1.. {
            let event = protocol::progress(token, step);
            if wire::write_event(self.writer, &event).await.is_err() {
                break;
            }
            tokio::select! {
                () = wire::closed(self.reader) => break,
                () = tokio::time::sleep(interval) => {}
            }
        }
        self.abandoned();
        Ok(false)
    }

    async fn answer(&mut self) -> io::Result<KeepAlive> {
        let pair = self.shared.script.lock().pair.clone();
        if let Some(endpoint) = pair {
            let answer = match pair::elsewhere(self.seen) {
                Some(refusal) => refusal,
                None if self.seen.verb == "GET" => {
                    pair::open(self.shared, (self.reader, self.writer), &endpoint).await?;
                    return Ok(false);
                }
                None => pair::answered(self.shared, self.seen)
                    .unwrap_or_else(|| pair::take(self.shared, self.seen)),
            };
            wire::write_plain(self.writer, &answer).await?;
            return Ok(true);
        }
        match protocol::answer(self.shared, self.seen) {
            Reply::Plain(plain) => wire::write_plain(self.writer, &plain).await?,
            Reply::Events(messages, headers) => {
                wire::start_events(self.writer, &headers).await?;
                // What real servers send first: a comment, and an event id without data.
                wire::write_chunk(self.writer, b": hello\n\nid: 1\ndata:\n\n").await?;
                for message in messages {
                    wire::write_event(self.writer, &message).await?;
                }
                wire::end_events(self.writer).await?;
            }
            Reply::Notifications(id) => return self.notify(id).await,
            Reply::Ask(id, question) => return self.ask(&id, &question).await,
            Reply::Steps(steps) => return self.take_steps(steps).await,
        }
        Ok(true)
    }

    /// A stream of notifications, until someone ends it.
    async fn notify(&mut self, id: Option<Value>) -> io::Result<KeepAlive> {
        let mut signals = self.shared.signals.subscribe();
        wire::start_events(self.writer, &[]).await?;
        if let Some(id) = &id {
            let (has, subscribes) = {
                let script = self.shared.script.lock();
                (script.has(), script.subscribes)
            };
            let announced = has
                .into_iter()
                .map(|one| (format!("{one}ListChanged"), json!(true)));
            let mut notifications: serde_json::Map<_, _> = announced.collect();
            if subscribes {
                let wanted = self.wanted();
                notifications.insert("resourceSubscriptions".to_owned(), json!(wanted));
            }
            let acknowledged = json!({
                "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": id},
                           "notifications": notifications},
            });
            wire::write_event(self.writer, &acknowledged.to_string()).await?;
        } else {
            wire::write_chunk(self.writer, b": hello\n\n").await?;
        }
        let _open = self.shared.open_stream();
        self.notify_until_the_end(&mut signals, id.as_ref()).await
    }

    /// The resources that a modern request wants to hear of: those that are listed.
    fn wanted(&self) -> Vec<String> {
        let listed = self.shared.script.lock().resources.clone();
        let message = self.seen.json();
        let uris = message.pointer("/params/notifications/resourceSubscriptions");
        let uris = uris.and_then(Value::as_array).into_iter().flatten();
        let uris = uris.filter_map(Value::as_str).map(str::to_owned);
        uris.filter(|uri| listed.iter().any(|one| one["uri"] == *uri))
            .collect()
    }

    async fn notify_until_the_end(
        &mut self,
        signals: &mut tokio::sync::broadcast::Receiver<Signal>,
        id: Option<&Value>,
    ) -> io::Result<KeepAlive> {
        loop {
            let signal = tokio::select! {
                () = wire::closed(self.reader) => return Ok(false),
                signal = signals.recv() => signal,
            };
            let meta = id.map(|id| json!({"io.modelcontextprotocol/subscriptionId": id}));
            match signal {
                Ok(Signal::Changed(word)) => {
                    let method = format!("notifications/{word}/list_changed");
                    let mut message = json!({"jsonrpc": "2.0", "method": method});
                    if let (Some(meta), Some(message)) = (meta, message.as_object_mut()) {
                        message.insert("params".to_owned(), json!({"_meta": meta}));
                    }
                    wire::write_event(self.writer, &message.to_string()).await?;
                }
                Ok(Signal::Said(session, message)) => {
                    if id.is_none() && self.seen.header("mcp-session-id") == Some(&session) {
                        wire::write_event(self.writer, &message).await?;
                    }
                }
                Ok(Signal::Updated(uri)) => {
                    let session = self.seen.header("mcp-session-id").unwrap_or_default();
                    let one = (session.to_owned(), uri.clone());
                    let is_wanted = match id {
                        Some(_) => self.wanted().contains(&uri),
                        None => self.shared.subscribed.lock().contains(&one),
                    };
                    if is_wanted {
                        let mut params = json!({"uri": uri});
                        if let (Some(meta), Some(params)) = (meta, params.as_object_mut()) {
                            params.insert("_meta".to_owned(), meta);
                        }
                        let method = "notifications/resources/updated";
                        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
                        wire::write_event(self.writer, &message.to_string()).await?;
                    }
                }
                Ok(Signal::Finish) => {
                    if let Some(meta) = meta {
                        let result = json!({
                            "jsonrpc": "2.0", "id": id,
                            "result": {"resultType": "complete", "_meta": meta},
                        });
                        wire::write_event(self.writer, &result.to_string()).await?;
                    }
                    wire::end_events(self.writer).await?;
                    return Ok(true);
                }
                Ok(Signal::GoOn) => {}
                Ok(Signal::Drop) | Err(_) => return Ok(false),
            }
        }
    }

    /// Says what there is to say of a call, once at its beginning and once when the test says so, and answers.
    async fn take_steps(&mut self, steps: Steps) -> io::Result<KeepAlive> {
        let mut signals = self.shared.signals.subscribe();
        wire::start_events(self.writer, &[]).await?;
        let [first, second] = steps.messages;
        for message in first {
            wire::write_event(self.writer, &message).await?;
        }
        let told = async { while !matches!(signals.recv().await, Ok(Signal::GoOn) | Err(_)) {} };
        tokio::select! {
            () = wire::closed(self.reader) => { self.abandoned(); return Ok(false) }
            () = told => {}
        }
        for message in second.into_iter().chain([steps.answer]) {
            wire::write_event(self.writer, &message).await?;
        }
        wire::end_events(self.writer).await?;
        Ok(true)
    }

    /// Asks the client in mid-call and answers with what it said.
    async fn ask(&mut self, id: &Value, question: &Question) -> io::Result<KeepAlive> {
        wire::start_events(self.writer, &[]).await?;
        let asked = format!("question-{id}");
        let question = question.request(&json!(asked));
        wire::write_event(self.writer, &question).await?;
        let mut changed = self.shared.changed.subscribe();
        let is_answer = |seen: &Seen| seen.json().get("id") == Some(&json!(asked));
        let answer = loop {
            changed.mark_unchanged();
            let found = self
                .shared
                .seen
                .lock()
                .iter()
                .rev()
                .find(|seen| is_answer(seen))
                .cloned();
            if let Some(answer) = found {
                break answer;
            }
            tokio::select! {
                () = wire::closed(self.reader) => { self.abandoned(); return Ok(false) }
                _ = changed.changed() => {}
            }
        };
        wire::write_event(self.writer, &protocol::text_result(id, &answer.body, false)).await?;
        wire::end_events(self.writer).await?;
        Ok(true)
    }
}
