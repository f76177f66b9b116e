//! Server-Sent Events: an incremental decoder with limits, and an encoder.

/// One event. Events without data are not dispatched, as in browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `event`; empty means `message`.
    pub kind: String,
    /// `data`, its lines joined by line feeds.
    pub data: Vec<u8>,
}

impl Event {
    /// Whether the event carries a message (`event` is absent or `message`).
    pub fn is_message(&self) -> bool {
        self.kind.is_empty() || self.kind == "message"
    }
}

/// Memory for lines that is kept from one to the next, in bytes.
const KEPT: usize = 16 * 1024;

/// How much an event stream may make us hold, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One line.
    pub line: usize,
    /// The data of one event.
    pub event: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 4 * 1024 * 1024,
            event: 4 * 1024 * 1024,
        }
    }
}

/// Why a stream is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line is longer than allowed.
    #[error("a line of the event stream is longer than {limit} bytes")]
    LineTooLong {
        /// [`Limits::line`]
        limit: usize,
    },
    /// An event is larger than allowed.
    #[error("an event is larger than {limit} bytes")]
    EventTooLarge {
        /// [`Limits::event`]
        limit: usize,
    },
}

/// Takes a stream apart as it arrives. After an error it is not to be used again.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The line that has begun.
    line: Vec<u8>,
    /// The event that has begun.
    event: Event,
    has_data: bool,
    /// The `id` of the event that has begun; it counts when that is complete.
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<u64>,
    /// The last byte was CR, so that a LF now belongs to it.
    after_return: bool,
    at_start: bool,
}

impl Decoder {
    /// At the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            id: None,
            last_id: None,
            retry: None,
            after_return: false,
            at_start: true,
        }
    }

    /// The last reconnection time the server asked for, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// The id of the last event that is complete, or of an earlier one: after it a stream is taken up again.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How many bytes are held of what is not complete.
    pub fn buffered(&self) -> usize {
        let ids = [&self.id, &self.last_id].into_iter().flatten();
        let Event { kind, data } = &self.event;
        self.line.len() + kind.len() + data.len() + ids.map(String::len).sum::<usize>()
    }

    /// Forgets what is not complete: the stream broke off.
    pub fn forget_rest(&mut self) {
        *self = Self {
            last_id: self.last_id.take(),
            retry: self.retry,
            ..Self::new(self.limits)
        };
    }

    /// Takes the next bytes and appends the events they complete to `events`.
    pub fn push(&mut self, mut chunk: &[u8], events: &mut Vec<Event>) -> Result<(), SseError> {
        if self.after_return && !chunk.is_empty() {
            self.after_return = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            let (line, rest) = chunk.split_at_checked(end).unwrap_or_default();
            if self.line.len() + line.len() > self.limits.line {
                return Err(SseError::LineTooLong {
                    limit: self.limits.line,
                });
            }
            chunk = match rest {
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                [] => &[],
            };
            if self.line.is_empty() {
                self.take_line(line, events)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, events)?;
                // What one large line took is not kept for the rest of the stream.
                if whole.capacity() <= KEPT {
                    whole.clear();
                    self.line = whole;
                }
            }
        }
        if self.line.len() + chunk.len() > self.limits.line {
            return Err(SseError::LineTooLong {
                limit: self.limits.line,
            });
        }
        self.line.extend_from_slice(chunk);
        Ok(())
    }

    /// At the end of the stream: the event that has begun, for servers that leave out the empty line after their last one.
    pub fn finish(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut events = Vec::new();
        for line in [line.as_slice(), &[]] {
            self.take_line(line, &mut events).ok()?;
        }
        events.pop()
    }

    fn take_line(&mut self, mut line: &[u8], events: &mut Vec<Event>) -> Result<(), SseError> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            if let Some(id) = self.id.take() {
                self.last_id = Some(id);
            }
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return Ok(());
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(colon) => {
                let (name, rest) = line.split_at_checked(colon).unwrap_or_default();
                let value = rest.strip_prefix(b":").unwrap_or(rest);
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"data" => {
                if self.event.data.len() + value.len() + 1 > self.limits.event {
                    return Err(SseError::EventTooLarge {
                        limit: self.limits.event,
                    });
                }
                if self.has_data {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.event.kind = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok());
            }
            _ => {}
        }
        Ok(())
    }
}

/// A comment line and its event separator: keeps a quiet stream open.
pub const KEEP_ALIVE: &[u8] = b":\r\n\r\n";

/// One `message` event with `data`. Line breaks in `data` become further `data` lines; JSON means the same.
pub fn encode(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 24);
    out.extend_from_slice(b"event: message\n");
    write_data(&mut out, data);
    out
}

/// An event with an id and perhaps without data, as legacy servers prime their streams with (TL-6).
pub fn encode_with_id(id: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + id.len() + 16);
    out.extend_from_slice(b"id: ");
    out.extend(id.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
    out.push(b'\n');
    write_data(&mut out, data);
    out
}

fn write_data(out: &mut Vec<u8>, data: &[u8]) {
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        match memchr::memchr2(b'\n', b'\r', rest) {
            None => {
                out.extend_from_slice(rest);
                break;
            }
            Some(end) => {
                let (line, after) = rest.split_at_checked(end).unwrap_or_default();
                out.extend_from_slice(line);
                out.push(b'\n');
                rest = match after {
                    [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                    [] => &[],
                };
            }
        }
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        Decoder::new(Limits::default())
            .push(bytes, &mut events)
            .unwrap();
        events
    }

    fn data(bytes: &[u8]) -> Vec<String> {
        decode(bytes)
            .into_iter()
            .map(|event| String::from_utf8(event.data).unwrap())
            .collect()
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let events =
            decode(b"\xef\xbb\xbf: hello\nevent: message\nid: 7\ndata:a\ndata: b\nunknown: x\n\n");
        assert_eq!(
            events,
            [Event {
                kind: "message".into(),
                data: b"a\nb".to_vec(),
            }]
        );
    }

    #[test]
    fn all_three_line_ends_work_and_mix() {
        assert_eq!(
            data(b"data: a\r\rdata: b\r\n\r\ndata: c\n\n"),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn an_event_without_data_is_not_dispatched() {
        assert!(decode(b"event: x\nid: 1\n\n").is_empty());
        assert_eq!(data(b"data\n\n"), [""]);
    }

    #[test]
    fn an_unfinished_event_is_not_dispatched() {
        assert!(decode(b"data: a\n").is_empty());
        assert!(decode(b"data: a").is_empty());
    }

    #[test]
    fn the_last_event_may_lack_its_empty_line() {
        let last = |bytes: &[u8]| {
            let mut decoder = Decoder::new(Limits::default());
            decoder.push(bytes, &mut Vec::new()).unwrap();
            decoder.finish().map(|event| event.data)
        };
        for bytes in [
            "data: a\n\ndata: b\n",
            "data: b",
            "event: message\r\ndata: b\r\n",
        ] {
            assert_eq!(
                last(bytes.as_bytes()).as_deref(),
                Some(&b"b"[..]),
                "{bytes:?}"
            );
        }
        for bytes in ["", "data: a\n\n", ": comment", "id: 1"] {
            assert_eq!(last(bytes.as_bytes()), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_reconnection_time_is_noted() {
        let mut decoder = Decoder::new(Limits::default());
        decoder
            .push(b"retry: 1500\nretry: x\n\n", &mut Vec::new())
            .unwrap();
        assert_eq!(decoder.retry(), Some(1500));
    }

    // UC-8
    #[test]
    fn an_event_that_broke_off_is_not_the_last_one() {
        let mut decoder = Decoder::new(Limits::default());
        let mut events = Vec::new();
        let stream = b"id: 6\ndata: a\n\nid: 7\ndata: b";
        decoder.push(stream, &mut events).unwrap();
        assert_eq!(decoder.last_event_id(), Some("6"));
        decoder.forget_rest();
        assert_eq!(decoder.last_event_id(), Some("6"));
        assert_eq!(decoder.finish(), None);
        // One without data is complete as well (TL-6).
        decoder.push(b"id: 8\n\n", &mut events).unwrap();
        assert_eq!(decoder.last_event_id(), Some("8"));
        decoder.push(b"id\n\n", &mut events).unwrap();
        assert_eq!(decoder.last_event_id(), Some(""), "it is set back");
    }

    // SEC-79
    #[test]
    fn what_is_held_is_known_and_given_back() {
        let mut decoder = Decoder::new(Limits::default());
        let mut events = Vec::new();
        for (piece, buffered) in [
            (&b"data: "[..], 6),
            (&b"x".repeat(100_000), 100_006),
            (b"\n", 100_000),
            (b"event: e\nid: 12\ndata: y", 100_010),
            (b"\n", 100_005),
            (b"\n", 2),
            (b": comment\n", 2),
        ] {
            decoder.push(piece, &mut events).unwrap();
            assert_eq!(decoder.buffered(), buffered, "{}", piece.escape_ascii());
            assert!(buffered > KEPT || decoder.line.capacity() <= KEPT);
        }
        assert_eq!(events.len(), 1);
    }

    // UC-7
    #[test]
    fn a_line_over_the_limit_is_refused_before_it_ends() {
        let mut decoder = Decoder::new(Limits {
            line: 100,
            event: 1000,
        });
        let mut events = Vec::new();
        decoder.push(&[b'x'; 60], &mut events).unwrap();
        let refused = decoder.push(&[b'x'; 60], &mut events);
        assert_eq!(refused, Err(SseError::LineTooLong { limit: 100 }));
    }

    #[test]
    fn an_event_over_the_limit_is_refused() {
        let mut decoder = Decoder::new(Limits {
            line: 100,
            event: 100,
        });
        let refused = decoder.push(&b"data: 0123456789\n".repeat(20), &mut Vec::new());
        assert_eq!(refused, Err(SseError::EventTooLarge { limit: 100 }));
    }

    #[test]
    fn encoding_splits_lines() {
        assert_eq!(encode(b"{\r\n}"), b"event: message\ndata: {\ndata: }\n\n");
        assert_eq!(encode_with_id("1\n2", b""), b"id: 12\ndata: \n\n");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_however_it_is_cut(
            messages in prop::collection::vec("[ -~é]{0,20}", 1..5),
            size in 1_usize..9,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message.as_bytes())).collect();
            let mut decoder = Decoder::new(Limits::default());
            let mut events = Vec::new();
            for chunk in stream.chunks(size) {
                decoder.push(chunk, &mut events).unwrap();
            }
            let decoded: Vec<String> =
                events.into_iter().map(|event| String::from_utf8(event.data).unwrap()).collect();
            prop_assert_eq!(decoded, messages);
        }

        #[test]
        fn cutting_changes_nothing(stream in "(data|id|event|:|\r|\n|a| ){0,40}", size in 1_usize..5) {
            let whole = decode(stream.as_bytes());
            let mut decoder = Decoder::new(Limits::default());
            let mut events = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                decoder.push(chunk, &mut events).unwrap();
            }
            prop_assert_eq!(events, whole);
        }
    }
}
