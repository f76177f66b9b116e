//! Follows beside hyper where requests of HTTP/1 end, and refuses what another server could read differently.
//!
//! Hyper drops a length that stands beside chunks, and takes a bare line feed for the end of a line; a
//! proxy in front of us may do neither and see other requests than we do (SEC-59, RFC 9112 §11.2). What
//! is ambiguous is spoiled before hyper reads it: the line gets an end that no parser takes, so that
//! there is one parser still, and one answer, and nothing behind that line is read.
//!
//! How the network cuts the bytes into pieces decides nothing. Nearly every line comes whole and is read where it
//! lies; of one that does not, what is read is kept.

/// Bytes of a line that says how long something is, without its line feed; a longer one is refused. All but a few
/// would be blank space or extensions of a chunk, which nobody needs and a server has to limit (RFC 9112 §7.1.1).
const MOST: usize = 4096;
/// Stands at the end of a line that is refused.
const SPOILED: u8 = 0;
/// Stands behind it: hyper judges a head only when all of it is there.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// What a client sends first that speaks HTTP/2 at once (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Where in its requests a connection of HTTP/1 is.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    line: Line,
    /// What a spoiled head still lacks of its end.
    owed: &'static [u8],
}

/// The beginning of a line that has not ended.
#[derive(Debug, Default)]
struct Line {
    /// As much of it as is read.
    kept: Vec<u8>,
    length: usize,
    last: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A line is to come.
    Line(Expected),
    /// So many bytes are to come that mean nothing here, and then a line or nothing.
    Data(u64, Expected),
    /// It is HTTP/2, which has no lines.
    Framed,
    /// Nothing more is read.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A request line, with empty lines before it (RFC 9112 §2.2); the very first one may be another protocol's.
    Request { first: bool },
    /// A field of the head, or its end.
    Field(Body),
    /// The size of a chunk.
    Size,
    /// The end of a chunk.
    ChunkEnd,
    /// A trailer field, or the end of all of them.
    Trailer,
}

/// What the head has said about the body so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    None,
    Length(u64),
    Chunked,
    /// In a way that is no framing.
    Coded,
}

/// Whoever reads it differently than we do sees another request.
struct Ambiguous;

impl Default for State {
    fn default() -> Self {
        Self::Line(Expected::Request { first: true })
    }
}

impl Framing {
    /// Whether nothing more is to be read.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether a request has begun to come and has not come whole.
    pub(crate) fn is_amid_request(&self) -> bool {
        match self.state {
            State::Line(Expected::Request { .. }) => self.line.length > 0,
            State::Line(_) | State::Data(..) | State::Over => true,
            State::Framed => false,
        }
    }

    /// What stands behind a spoiled head, in pieces of at most so many bytes; nothing at the end.
    pub(crate) fn take_owed(&mut self, most: usize) -> &'static [u8] {
        let (piece, rest) = self.owed.split_at(most.min(self.owed.len()));
        self.owed = rest;
        piece
    }

    /// Follows through bytes that have arrived: how many of them hyper may see. The last of those is changed
    /// if the line that it ends is refused.
    pub(crate) fn follow(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Framed => return bytes.len(),
                State::Over => return at,
                State::Data(left, then) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    at += here;
                    self.state = match left.saturating_sub(here as u64) {
                        0 => State::Line(then),
                        left => State::Data(left, then),
                    };
                }
                State::Line(expected) => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        self.line.add(rest, expected);
                        return bytes.len();
                    };
                    let (line, end_of_line) = rest.split_at_mut(end);
                    at += end + 1;
                    // Most lines of a head.
                    if let (Expected::Field(_), [first, .., b'\r']) = (expected, &*line)
                        && self.line.length == 0
                        && !may_frame(*first)
                    {
                        continue;
                    }
                    let then = if self.line.length == 0 {
                        expected.followed_by(line)
                    } else {
                        self.line.add(line, expected);
                        self.line.end(expected)
                    };
                    if let Ok(then) = then {
                        self.state = then;
                        continue;
                    }
                    self.state = State::Over;
                    if let Some(end_of_line) = end_of_line.first_mut() {
                        *end_of_line = SPOILED;
                    }
                    if matches!(expected, Expected::Request { .. } | Expected::Field(_)) {
                        self.owed = END_OF_HEAD;
                    }
                }
            }
        }
        at
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8], expected: Expected) {
        let (Some(first), Some(last)) = (self.kept.first().or_else(|| bytes.first()), bytes.last())
        else {
            return;
        };
        let room = expected.reads(*first).saturating_sub(self.kept.len());
        self.kept
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.length += bytes.len();
        self.last = *last;
    }

    /// What follows it.
    fn end(&mut self, expected: Expected) -> Result<State, Ambiguous> {
        let Self {
            mut kept,
            length,
            last,
        } = std::mem::take(self);
        if kept.len() < length {
            // It is as good as one that is a byte longer than what is read of it.
            kept.push(last);
        }
        expected.followed_by(&kept)
    }
}

impl Expected {
    /// What follows a line, which has lost its line feed.
    fn followed_by(self, line: &[u8]) -> Result<State, Ambiguous> {
        let line = line.strip_suffix(b"\r").ok_or(Ambiguous)?;
        let then = match self {
            Self::Request { first } => match line {
                [] => Self::Request { first },
                PREFACE if first => return Ok(State::Framed),
                _ => Self::Field(Body::None),
            },
            Self::Field(body) => match line {
                [] => return body.follows(),
                [first, ..] if may_frame(*first) => Self::Field(body.with(line)?),
                _ => self,
            },
            Self::Size => match size_of_chunk(line)? {
                0 => Self::Trailer,
                size => return Ok(State::Data(size, Self::ChunkEnd)),
            },
            Self::ChunkEnd if line.is_empty() => Self::Size,
            Self::ChunkEnd => return Err(Ambiguous),
            Self::Trailer if line.is_empty() => Self::next(),
            Self::Trailer => Self::Trailer,
        };
        Ok(State::Line(then))
    }

    /// How many bytes of a line that begins so are read; of most only whether it is empty, or a preface.
    fn reads(self, first: u8) -> usize {
        match self {
            Self::Size => MOST,
            Self::Field(_) if may_frame(first) => MOST,
            _ => PREFACE.len() + 1,
        }
    }

    const fn next() -> Self {
        Self::Request { first: false }
    }
}

/// Whether a field whose name begins so can be one that says how long the body is.
const fn may_frame(first: u8) -> bool {
    matches!(first, b'c' | b'C' | b't' | b'T')
}

impl Body {
    /// What follows the head.
    fn follows(self) -> Result<State, Ambiguous> {
        match self {
            Self::None | Self::Length(0) => Ok(State::Line(Expected::next())),
            Self::Length(length) => Ok(State::Data(length, Expected::next())),
            Self::Chunked => Ok(State::Line(Expected::Size)),
            Self::Coded => Err(Ambiguous),
        }
    }

    /// With what a field says about it. Names that are no names are hyper's to refuse.
    fn with(self, field: &[u8]) -> Result<Self, Ambiguous> {
        if let Some(value) = value_of(b"content-length", field)? {
            let length = digits(value, 10).ok_or(Ambiguous)?;
            match self {
                Self::None => Ok(Self::Length(length)),
                Self::Length(other) if other == length => Ok(self),
                Self::Length(_) | Self::Chunked | Self::Coded => Err(Ambiguous),
            }
        } else if let Some(value) = value_of(b"transfer-encoding", field)? {
            if matches!(self, Self::Length(_)) {
                return Err(Ambiguous);
            }
            let last = value.rsplit(|byte| *byte == b',').next();
            let chunked =
                last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            Ok(if chunked { Self::Chunked } else { Self::Coded })
        } else {
            Ok(self)
        }
    }
}

/// What a field says, if it is the one of this name.
fn value_of<'f>(name: &[u8], field: &'f [u8]) -> Result<Option<&'f [u8]>, Ambiguous> {
    match field.split_at_checked(name.len()) {
        Some((said, [b':', value @ ..])) if said.eq_ignore_ascii_case(name) => {
            if field.len() < MOST {
                Ok(Some(value.trim_ascii()))
            } else {
                Err(Ambiguous)
            }
        }
        _ => Ok(None),
    }
}

/// Extensions are ignored (RFC 9112 §7.1.1), unless they hold half of a line's end.
fn size_of_chunk(line: &[u8]) -> Result<u64, Ambiguous> {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (size, rest) = line.split_at(end);
    if line.len() >= MOST || rest.contains(&b'\r') {
        return Err(Ambiguous);
    }
    digits(size, 16).ok_or(Ambiguous)
}

fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let number = text.iter().try_fold(0u64, |number, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    });
    number.filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// What hyper sees of bytes that come in pieces which end at these places, with what stands behind them; and what is
    /// expected next.
    fn follow(bytes: &[u8], ends: &[usize]) -> (Vec<u8>, State) {
        let mut framing = Framing::default();
        let mut seen = Vec::new();
        let mut start = 0;
        for end in ends.iter().chain([&bytes.len()]) {
            let mut piece = bytes[start..*end].to_vec();
            let count = framing.follow(&mut piece);
            seen.extend_from_slice(&piece[..count]);
            start = *end;
        }
        seen.extend_from_slice(framing.take_owed(usize::MAX));
        (seen, framing.state)
    }

    /// The same, which must not depend on how the bytes come: whole, one by one, or cut anywhere.
    fn however_cut(bytes: &[u8]) -> (Vec<u8>, State) {
        let whole = follow(bytes, &[]);
        let each: Vec<usize> = (1..bytes.len()).collect();
        assert!(follow(bytes, &each) == whole, "byte by byte");
        for end in each {
            assert!(follow(bytes, &[end]) == whole, "cut at {end}");
        }
        whole
    }

    /// What hyper sees of what has arrived.
    fn seen(bytes: &str) -> String {
        let (mut seen, state) = however_cut(bytes.as_bytes());
        if state == State::Over && seen.ends_with(END_OF_HEAD) {
            seen.truncate(seen.len() - END_OF_HEAD.len());
        }
        String::from_utf8(seen).unwrap()
    }

    #[test]
    fn requests_pass_unchanged() {
        for bytes in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "\r\nPOST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab\ncdGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding:chunked \r\n\r\n3;x=\"y\"\r\n\na\n\r\n0\r\nt: u\r\n\r\nGET / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n\n\nGET /",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\n\0\n",
        ] {
            assert_eq!(seen(bytes), bytes);
        }
    }

    // SEC-59
    #[test]
    fn a_length_beside_chunks_is_spoiled_and_nothing_behind_it_is_read() {
        for (head, passed) in [
            (
                "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
                "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\0",
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\0",
            ),
        ] {
            assert_eq!(seen(&format!("{head}\r\n0\r\n\r\nGET / ")), passed);
        }
    }

    // SEC-59
    #[test]
    fn a_bare_line_feed_ends_no_line() {
        for (bytes, passed) in [
            ("GET / HTTP/1.1\nhost: a\r\n", "GET / HTTP/1.1\0"),
            (
                "GET / HTTP/1.1\r\nx: y\nhost: a\r\n",
                "GET / HTTP/1.1\r\nx: y\0",
            ),
            (
                "GET / HTTP/1.1\r\nhost: a\r\n\nGET",
                "GET / HTTP/1.1\r\nhost: a\r\n\0",
            ),
            ("\nGET / HTTP/1.1\r\n", "\0"),
        ] {
            assert_eq!(seen(bytes), passed);
        }
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for (chunks, passed) in [
            ("1\na\r\n", "1\0"),
            ("1;x\nfoo\r\n", "1;x\0"),
            ("1\r\na\n0\r\n", "1\r\na\0"),
            ("0\r\nt: u\n\r\n", "0\r\nt: u\0"),
        ] {
            assert_eq!(
                seen(&format!("{chunked}{chunks}GET /")),
                format!("{chunked}{passed}")
            );
        }
    }

    // SEC-59
    #[test]
    fn lengths_that_are_no_numbers_and_sizes_that_are_none_are_spoiled() {
        for value in ["+5", "5, 5", "0x5", "", "99999999999999999999"] {
            let line = format!("POST / HTTP/1.1\r\ncontent-length: {value}\r");
            assert_eq!(
                seen(&format!("{line}\n\r\nabcde")),
                format!("{line}\0"),
                "{value}"
            );
        }
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for size in ["", "-1", ";x", "ffffffffffffffffff", "1;a\rb"] {
            assert_eq!(
                seen(&format!("{chunked}{size}\r\na")),
                format!("{chunked}{size}\r\0"),
                "{size}"
            );
        }
    }

    // SEC-59
    #[test]
    fn a_coding_that_is_no_framing_is_spoiled() {
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r";
        assert_eq!(
            seen(&format!("{head}\nGET / HTTP/1.1\r\n")),
            format!("{head}\0")
        );
    }

    // SEC-59
    #[test]
    fn a_line_that_says_a_length_is_bounded_and_no_other() {
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for (before, line, frames) in [
            (chunked, "1;", true),
            ("POST / HTTP/1.1\r\n", "content-length:", true),
            ("POST / HTTP/1.1\r\n", "Transfer-Encoding: chunked", true),
            ("POST / HTTP/1.1\r\n", "content-type:", false),
            ("POST / HTTP/1.1\r\n", "x:", false),
            ("", "PRI * HTTP/2.0", false),
        ] {
            for (length, fits) in [(300, true), (MOST - 1, true), (MOST, false)] {
                let mut line = format!("{line:<length$}\r\n");
                if before != chunked && frames {
                    line = line.replace("length: ", "length:7");
                }
                let (_, state) = however_cut(format!("{before}{line}").as_bytes());
                assert_eq!(state != State::Over, fits || !frames, "{length}: {line}");
            }
        }
    }

    /// Pieces of requests, in any order and of any kind, good and bad.
    fn piece() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "POST / HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n",
            "PRI * HTTP/2.0\r",
            "content-length: 3\r\n",
            "Content-Length:3 \r\n",
            "content-length: 30\r\n",
            "content-length",
            "transfer-encoding: chunked\r\n",
            "Transfer-Encoding: x, chunked\r\n",
            "transfer-encoding: x\r\n",
            "cookie: a=b\r\n",
            "x: y\r\n",
            "\r\n",
            "\r",
            "\n",
            "3\r\n",
            "3;x=y\r\n",
            "0\r\n",
            "abc",
            " ",
            ":",
            "\0",
        ];
        let begun = select(vec![
            "3;",
            "content-length:",
            "Transfer-Encoding:",
            "cookie:",
        ]);
        let ended = select(vec!["\r\n", "3\r\n", "chunked\r\n"]);
        let long = (begun, 0..2 * MOST, ended)
            .prop_map(|(begun, blanks, ended)| format!("{begun}{:blanks$}{ended}", ""));
        prop_oneof![4 => select(PIECES).prop_map(str::to_owned), 1 => long]
    }

    proptest! {
        // SEC-59
        #[test]
        fn how_bytes_are_cut_decides_nothing(
            good in select(vec!["", "POST / HTTP/1.1\r\n", "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"]),
            pieces in vec(piece(), 0..12),
            cuts in vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = format!("{good}{}", pieces.concat()).into_bytes();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.sort_unstable();
            prop_assert!(follow(&bytes, &ends) == follow(&bytes, &[]), "{ends:?}");
        }
    }
}
