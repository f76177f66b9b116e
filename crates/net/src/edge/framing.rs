//! Follows beside hyper where requests of HTTP/1 end, and refuses what another server could read differently.
//!
//! Hyper drops a length that stands beside chunks, and takes a bare line feed for the end of a line; a
//! proxy in front of us may do neither and see other requests than we do (SEC-59, RFC 9112 §11.2). What
//! is ambiguous is spoiled before hyper reads it: the line gets an end that no parser takes, so that
//! there is one parser still, and one answer, and nothing behind that line is read.

/// Bytes of a line that are kept while the rest is still to come. Only lengths and transfer codings are
/// read, and they are short.
const KEPT: usize = 256;
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
                        self.line.add(rest);
                        return bytes.len();
                    };
                    let (line, end_of_line) = rest.split_at_mut(end);
                    at += end + 1;
                    self.state = self.line.end(line, expected).unwrap_or(State::Over);
                    if self.is_over()
                        && let Some(end_of_line) = end_of_line.first_mut()
                    {
                        *end_of_line = SPOILED;
                        if matches!(expected, Expected::Request { .. } | Expected::Field(_)) {
                            self.owed = END_OF_HEAD;
                        }
                    }
                }
            }
        }
        at
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// What follows the line whose last bytes, before its line feed, are these.
    fn end(&mut self, bytes: &[u8], expected: Expected) -> Result<State, Ambiguous> {
        if self.length == 0 {
            let line = bytes.strip_suffix(b"\r").ok_or(Ambiguous)?;
            return expected.followed_by(line, true);
        }
        self.add(bytes);
        let ended = self.last == b'\r';
        let whole = self.length == self.kept.len();
        let line = self.kept.strip_suffix(b"\r").unwrap_or(&self.kept);
        let state = expected.followed_by(line, whole);
        self.kept.clear();
        self.length = 0;
        if ended { state } else { Err(Ambiguous) }
    }
}

impl Expected {
    /// What follows a line; if it is not `whole`, only its beginning is known.
    fn followed_by(self, line: &[u8], whole: bool) -> Result<State, Ambiguous> {
        let then = match self {
            Self::Request { first } => match line {
                [] => Self::Request { first },
                PREFACE if first => return Ok(State::Framed),
                _ => Self::Field(Body::None),
            },
            Self::Field(body) if line.is_empty() => {
                return Ok(match body {
                    Body::None | Body::Length(0) => State::Line(Self::next()),
                    Body::Length(length) => State::Data(length, Self::next()),
                    Body::Chunked => State::Line(Self::Size),
                    Body::Coded => return Err(Ambiguous),
                });
            }
            Self::Field(body) => Self::Field(body.with(line, whole)?),
            Self::Size => match size_of_chunk(line, whole)? {
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

    const fn next() -> Self {
        Self::Request { first: false }
    }
}

impl Body {
    /// With what a field says about it. Names that are no names are hyper's to refuse.
    fn with(self, field: &[u8], whole: bool) -> Result<Self, Ambiguous> {
        let Some(colon) = memchr::memchr(b':', field) else {
            return Ok(self);
        };
        let (name, value) = field.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = digits(value, 10).filter(|_| whole).ok_or(Ambiguous)?;
            match self {
                Self::None => Ok(Self::Length(length)),
                Self::Length(other) if other == length => Ok(self),
                Self::Length(_) | Self::Chunked | Self::Coded => Err(Ambiguous),
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !whole || matches!(self, Self::Length(_)) {
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

/// Extensions are ignored (RFC 9112 §7.1.1), unless they hold half of a line's end.
fn size_of_chunk(line: &[u8], whole: bool) -> Result<u64, Ambiguous> {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (size, rest) = line.split_at(end);
    if !whole || rest.contains(&b'\r') {
        return Err(Ambiguous);
    }
    digits(size, 16).ok_or(Ambiguous)
}

fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let proper = text.chars().all(|digit| digit.is_digit(radix));
    u64::from_str_radix(text, radix).ok().filter(|_| proper)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hyper sees of these bytes, whole and byte by byte, which must be the same.
    fn seen(bytes: &str) -> String {
        let mut whole = bytes.as_bytes().to_vec();
        let mut framing = Framing::default();
        let count = framing.follow(&mut whole);
        whole.truncate(count);
        let mut dripped = Vec::new();
        let mut framing = Framing::default();
        for byte in bytes.bytes() {
            let mut one = [byte];
            let count = framing.follow(&mut one);
            dripped.extend_from_slice(&one[..count]);
        }
        assert_eq!(
            String::from_utf8_lossy(&whole),
            String::from_utf8_lossy(&dripped)
        );
        String::from_utf8(whole).unwrap()
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

    #[test]
    fn a_long_line_in_pieces_passes_unless_it_matters() {
        let long = "y".repeat(1000);
        let fine = format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n");
        assert_eq!(seen(&fine), fine);
        let mut framing = Framing::default();
        let mut pieces = String::new();
        for piece in ["POST / HTTP/1.1\r\ntransfer-encoding: ", &long, "\r\nx"] {
            let mut bytes = piece.as_bytes().to_vec();
            let count = framing.follow(&mut bytes);
            pieces.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        assert!(pieces.ends_with("\r\0"));
    }
}
