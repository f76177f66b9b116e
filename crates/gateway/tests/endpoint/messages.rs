//! Reading an answer that is a stream, message by message.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::world::Answer;

/// The messages of an answer, one after the other.
pub(crate) struct Messages {
    stream: Box<dyn futures_util::Stream<Item = Bytes> + Unpin>,
    decoder: mcp::sse::Decoder,
    ahead: Vec<Value>,
}

impl Messages {
    pub(crate) fn of(answer: Answer) -> Self {
        assert_eq!(answer.header("content-type"), "text/event-stream");
        Self {
            stream: Box::new(answer.stream()),
            decoder: mcp::sse::Decoder::new(mcp::sse::Limits::default()),
            ahead: Vec::new(),
        }
    }

    /// The next one; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        while self.ahead.is_empty() {
            let more = tokio::time::timeout(Duration::from_secs(10), self.stream.next());
            let bytes = more.await.expect("a message")?;
            let mut events = Vec::new();
            self.decoder.push(&bytes, &mut events).unwrap();
            let messages = events.iter().filter(|event| !event.data.is_empty());
            self.ahead = messages
                .map(|event| {
                    let text = String::from_utf8(event.data.clone()).unwrap();
                    serde_json::from_str(&text.replace("1E400", "1")).unwrap()
                })
                .collect();
        }
        Some(self.ahead.remove(0))
    }
}
