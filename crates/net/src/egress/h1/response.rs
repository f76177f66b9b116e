//! The head of an answer, and where its body ends.

use std::mem::MaybeUninit;

use bytes::{Buf as _, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};

use super::BadAnswer;

/// Bytes of a head at most.
const MAX_HEAD: usize = 64 * 1024;
/// Header lines of a head at most.
const MAX_HEADERS: usize = 128;

/// How the end of an answer's body is told (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes; none for answers without a body.
    Length(u64),
    /// By a last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) response: Response<()>,
    pub(crate) framing: Framing,
    /// Whether the connection can be used again, once the body is read.
    pub(crate) reusable: bool,
}

/// Takes the head of the answer to a request with this method out of `buffer`, if all of it is there. Interim answers are
/// passed over (RFC 9110 §15.2).
pub(crate) fn take_head(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadAnswer> {
    while let Some((response, length)) = parse(buffer)? {
        buffer.advance(length);
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => return Err(BadAnswer::Switching),
            status if status.is_informational() => {}
            _ => return judge(response, method).map(Some),
        }
    }
    Ok(None)
}

fn parse(buffer: &[u8]) -> Result<Option<(Response<()>, usize)>, BadAnswer> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let length = match httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, buffer, &mut lines)
        .map_err(BadAnswer::Head)?
    {
        httparse::Status::Complete(length) if length <= MAX_HEAD => length,
        httparse::Status::Partial if buffer.len() < MAX_HEAD => return Ok(None),
        _ => return Err(BadAnswer::HeadTooLarge),
    };
    let mut response = Response::new(());
    *response.status_mut() = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(BadAnswer::Head(httparse::Error::Status))?;
    *response.version_mut() = match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let headers = response.headers_mut();
    headers.reserve(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| BadAnswer::Head(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_bytes(line.value)
            .map_err(|_| BadAnswer::Head(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    Ok(Some((response, length)))
}

fn judge(mut response: Response<()>, method: &Method) -> Result<Head, BadAnswer> {
    let is_current = response.version() == Version::HTTP_11;
    let framing = framing(response.status(), is_current, response.headers(), method)?;
    let mut reusable =
        is_current && framing != Framing::UntilClose && !says_close(response.headers());
    if framing == Framing::Chunked {
        // A length beside chunks counts for nothing and is not passed on; whoever sends both may be under attack
        // (RFC 9112 §6.3, SEC-59).
        let removed = response.headers_mut().remove(header::CONTENT_LENGTH);
        reusable &= removed.is_none();
    }
    Ok(Head {
        response,
        framing,
        reusable,
    })
}

/// The rules of RFC 9112 §6.3, in its order.
fn framing(
    status: StatusCode,
    is_current: bool,
    headers: &HeaderMap,
    method: &Method,
) -> Result<Framing, BadAnswer> {
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_body || method == Method::HEAD {
        return Ok(Framing::Length(0));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(_), _) if !is_current => {
            return Err(BadAnswer::Framing("transfer coding in HTTP/1.0"));
        }
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            return Ok(Framing::Chunked);
        }
        _ => return Err(BadAnswer::Framing("unknown transfer coding")),
    }
    let mut stated = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let length = decimal(value.as_bytes()).ok_or(BadAnswer::Framing("malformed length"))?;
        if stated.is_some_and(|before| before != length) {
            return Err(BadAnswer::Framing("several lengths"));
        }
        stated = Some(length);
    }
    Ok(stated.map_or(Framing::UntilClose, Framing::Length))
}

/// Digits and nothing else; a sign is none.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

fn says_close(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter();
    values.any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<Option<(u16, Framing, bool)>, BadAnswer> {
        take_for(&Method::POST, text)
    }

    fn take_for(method: &Method, text: &str) -> Result<Option<(u16, Framing, bool)>, BadAnswer> {
        let mut buffer = BytesMut::from(text);
        let head = take_head(&mut buffer, method)?;
        Ok(head.map(|head| (head.response.status().as_u16(), head.framing, head.reusable)))
    }

    fn framed(headers: &str) -> Result<(Framing, bool), BadAnswer> {
        let taken = take(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))?;
        Ok(taken
            .map(|(_, framing, reusable)| (framing, reusable))
            .unwrap())
    }

    #[test]
    fn the_end_of_the_body_is_told_in_three_ways() {
        assert_eq!(
            framed("content-length: 5\r\n"),
            Ok((Framing::Length(5), true))
        );
        assert_eq!(
            framed("transfer-encoding: Chunked\r\n"),
            Ok((Framing::Chunked, true))
        );
        assert_eq!(framed(""), Ok((Framing::UntilClose, false)));
        assert_eq!(
            framed("content-length: 5\r\nconnection: x, Close\r\n"),
            Ok((Framing::Length(5), false))
        );
    }

    // SEC-59
    #[test]
    fn an_unclear_end_is_refused() {
        for headers in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: 5x\r\n",
            "content-length:\r\n",
            "content-length: 18446744073709551616\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            let refused = framed(headers);
            assert!(
                matches!(refused, Err(BadAnswer::Framing(_))),
                "{headers}: {refused:?}"
            );
        }
        let old = take("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(matches!(old, Err(BadAnswer::Framing(_))));
    }

    // SEC-59
    #[test]
    fn a_length_beside_chunks_is_not_passed_on_and_ends_the_connection() {
        let mut buffer = BytesMut::from(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        let head = take_head(&mut buffer, &Method::GET).unwrap().unwrap();
        assert_eq!((head.framing, head.reusable), (Framing::Chunked, false));
        assert!(!head.response.headers().contains_key("content-length"));
    }

    #[test]
    fn answers_without_body_end_with_their_head() {
        let length = "content-length: 5\r\n\r\n";
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let text = format!("HTTP/1.1 {status} X\r\n{length}");
            assert_eq!(
                take_for(&method, &text),
                Ok(Some((status, Framing::Length(0), true)))
            );
        }
    }

    #[test]
    fn interim_answers_are_passed_over_and_switching_is_refused() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n";
        assert_eq!(take(text), Ok(None));
        let last = format!("{text}HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(take(&last), Ok(Some((202, Framing::Length(0), true))));
        let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n";
        assert_eq!(take(switching), Err(BadAnswer::Switching));
    }

    #[test]
    fn a_head_is_taken_whole_or_not_at_all() {
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(take(text.get(..end).unwrap()), Ok(None), "{end}");
        }
        let mut buffer = BytesMut::from(format!("{text}ok").as_str());
        assert!(take_head(&mut buffer, &Method::GET).unwrap().is_some());
        assert_eq!(buffer, "ok");
    }

    // SEC-59, SEC-63
    #[test]
    fn broken_and_endless_heads_are_refused() {
        for text in [
            "SSH-2.0-OpenSSH_9\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 99 X\r\n\r\n",
            "HTTP/1.1 200 OK\r\nname : x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: \u{0}\r\n\r\n",
        ] {
            assert!(matches!(take(text), Err(BadAnswer::Head(_))), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_HEAD));
        assert_eq!(take(&long), Err(BadAnswer::HeadTooLarge));
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "a: b\r\n".repeat(MAX_HEADERS + 1)
        );
        assert!(matches!(
            take(&many),
            Err(BadAnswer::Head(httparse::Error::TooManyHeaders))
        ));
    }
}
