//! Takes a chunked body apart (RFC 9112 §7.1).

use bytes::{Buf as _, Bytes, BytesMut};

use super::BadAnswer;

/// Bytes of a chunk's line, extensions included, and of all trailers together at most.
const MAX_LINE: usize = 4 * 1024;
const MAX_TRAILERS: usize = 16 * 1024;

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// Before the line with a chunk's length.
    Line,
    /// Within a chunk; so many bytes of it are to come.
    Data(u64),
    /// After the bytes of a chunk, before the end of its line.
    DataEnd,
    /// After the last chunk; so many bytes of trailers were passed over.
    Trailers(usize),
    /// After the body.
    End,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes of the body; never none.
    Data(Bytes),
    /// More has to be read first.
    More,
    /// The body ends here.
    End,
}

impl Decoder {
    /// Takes the next piece out of `buffer`.
    pub(crate) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, BadAnswer> {
        loop {
            match *self {
                Self::Line => {
                    let Some(line) = take_line(buffer, MAX_LINE)? else {
                        return Ok(Step::More);
                    };
                    *self = match length_of(&line)? {
                        0 => Self::Trailers(0),
                        length => Self::Data(length),
                    };
                }
                Self::Data(left) => {
                    let here = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(buffer.len());
                    if here == 0 {
                        return Ok(Step::More);
                    }
                    let left = left.saturating_sub(here as u64);
                    *self = if left == 0 {
                        Self::DataEnd
                    } else {
                        Self::Data(left)
                    };
                    return Ok(Step::Data(buffer.split_to(here).freeze()));
                }
                Self::DataEnd => match take_line(buffer, 0)? {
                    None => return Ok(Step::More),
                    Some(_) => *self = Self::Line,
                },
                Self::Trailers(passed) => match take_line(buffer, MAX_TRAILERS - passed)? {
                    None => return Ok(Step::More),
                    Some(line) if line.is_empty() => *self = Self::End,
                    Some(line) => *self = Self::Trailers((passed + line.len()).min(MAX_TRAILERS)),
                },
                Self::End => return Ok(Step::End),
            }
        }
    }
}

/// A line without its end, which is CR LF and nothing less; none if its end is not there yet.
fn take_line(buffer: &mut BytesMut, most: usize) -> Result<Option<Bytes>, BadAnswer> {
    let Some(end) = buffer.iter().take(most + 2).position(|byte| *byte == b'\n') else {
        let only_cr = buffer.len() <= most || buffer.get(most..) == Some(b"\r");
        return if only_cr {
            Ok(None)
        } else {
            Err(BadAnswer::Chunk)
        };
    };
    let line = buffer.split_to(end).freeze();
    buffer.advance(1);
    match line.strip_suffix(b"\r") {
        Some(text) if !text.contains(&b'\r') => Ok(Some(line.slice(..text.len()))),
        _ => Err(BadAnswer::Chunk),
    }
}

/// The length of a chunk. Extensions are passed over.
fn length_of(line: &[u8]) -> Result<u64, BadAnswer> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, rest) = line.split_at_checked(digits).unwrap_or((line, &[]));
    let rest = rest.trim_ascii_start();
    if !(1..=16).contains(&digits.len()) || !(rest.is_empty() || rest.starts_with(b";")) {
        return Err(BadAnswer::Chunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| BadAnswer::Chunk)?;
    u64::from_str_radix(text, 16).map_err(|_| BadAnswer::Chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body and what was left over; none if the body has no end.
    type Decoded = Option<(Vec<u8>, Vec<u8>)>;

    /// Feeds `text` in pieces of `size` bytes.
    fn decode(text: &[u8], size: usize) -> Result<Decoded, BadAnswer> {
        let mut decoder = Decoder::Line;
        let mut buffer = BytesMut::new();
        let mut body = Vec::new();
        let mut pieces = text.chunks(size);
        loop {
            match decoder.step(&mut buffer)? {
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End => {
                    let rest = pieces.flatten();
                    return Ok(Some((body, buffer.iter().chain(rest).copied().collect())));
                }
                Step::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn chunks_are_joined_wherever_they_are_cut() {
        let text = b"5\r\nhello\r\n1;name=\"v\"\r\n \r\nA \r\n0123456789\r\n0\r\nx: y\r\n\r\nHTTP";
        for size in 1..text.len() {
            let decoded = decode(text, size).unwrap().unwrap();
            assert_eq!(
                decoded,
                (b"hello 0123456789".to_vec(), b"HTTP".to_vec()),
                "{size}"
            );
        }
    }

    #[test]
    fn a_body_that_breaks_off_has_no_end() {
        let text = b"5\r\nhello\r\n0\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(decode(&text[..end], 3), Ok(None), "{end}");
        }
    }

    // SEC-59
    #[test]
    fn malformed_chunks_are_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "1 x\r\n",
            "5\nhello\r\n",
            "5\r\nhelloworld\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "11111111111111111\r\n",
            "5\r\r\nhello",
            "0\r\nx: y\n\r\n",
        ] {
            assert_eq!(
                decode(text.as_bytes(), 64),
                Err(BadAnswer::Chunk),
                "{text:?}"
            );
        }
    }

    // SEC-63
    #[test]
    fn endless_lines_and_trailers_are_refused() {
        let extension = format!("1;{}", "x".repeat(MAX_LINE));
        assert_eq!(decode(extension.as_bytes(), 512), Err(BadAnswer::Chunk));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILERS));
        assert_eq!(decode(trailers.as_bytes(), 512), Err(BadAnswer::Chunk));
    }

    proptest! {
        #[test]
        fn what_is_chunked_comes_back(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            size in 1_usize..64,
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let decoded = decode(&text, size).unwrap().unwrap();
            prop_assert_eq!(decoded, (chunks.concat(), Vec::new()));
        }

        #[test]
        fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
            let _ = decode(&text, size);
        }
    }
}
