//! The head of a request, and how its body is framed.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body as _;

use crate::body::Body;
use crate::egress::outgoing::Outgoing;

/// How the end of a request's body is told (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Nothing,
    /// By its length in bytes.
    Length(u64),
    /// By a last chunk.
    Chunked,
}

impl Framing {
    /// That of a body. Methods that usually have one say so even if it is empty (RFC 9110 §8.6).
    pub(crate) fn of(method: &Method, body: &Body) -> Self {
        match body.size_hint().exact() {
            Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
                Self::Nothing
            }
            Some(length) => Self::Length(length),
            None => Self::Chunked,
        }
    }
}

/// Header lines as they are sent, made once for many requests: `Host`, and what each of them says.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Bytes);

impl Lines {
    /// Those of requests to this authority that all have these headers.
    pub(crate) fn new(authority: &HeaderValue, headers: &HeaderMap) -> Self {
        let mut out = BytesMut::new();
        write_line(&mut out, &header::HOST, authority);
        for (name, value) in headers {
            write_line(&mut out, name, value);
        }
        Self(out.freeze())
    }
}

fn write_line(out: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_slice(b"\r\n");
}

/// Appends the head of a request: these lines, and its own.
pub(crate) fn write_head(out: &mut BytesMut, lines: &Lines, request: &Outgoing, framing: Framing) {
    let path = request.path.as_str();
    let fields = request.fields.as_bytes();
    out.reserve(64 + path.len() + lines.0.len() + fields.len());
    out.put_slice(request.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(path.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    out.put_slice(&lines.0);
    out.put_slice(fields);
    match framing {
        Framing::Nothing => {}
        Framing::Length(length) => {
            out.put_slice(b"content-length: ");
            put_decimal(out, length);
            out.put_slice(b"\r\n");
        }
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.put_slice(b"\r\n");
}

/// Appends the line before a chunk.
pub(crate) fn write_chunk_head(out: &mut BytesMut, length: usize) {
    out.put_slice(format!("{length:x}\r\n").as_bytes());
}

fn put_decimal(out: &mut BytesMut, number: u64) {
    let mut digits = [0; 20];
    let mut left = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    out.put_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(request: Request<Body>) -> String {
        let request = Outgoing::from(request);
        let framing = Framing::of(&request.method, &request.body);
        let mut out = BytesMut::new();
        let lines = Lines::new(&HeaderValue::from_static("example.com"), &HeaderMap::new());
        write_head(&mut out, &lines, &request, framing);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_request_says_its_length_once() {
        let request = Request::post("/mcp?a=b")
            .header("host", "elsewhere.example")
            .header("content-length", "99")
            .header("transfer-encoding", "gzip")
            .body(Body::full("hello"))
            .unwrap();
        assert_eq!(
            head(request),
            "POST /mcp?a=b HTTP/1.1\r\nhost: example.com\r\ncontent-length: 5\r\n\r\n"
        );
    }

    #[test]
    fn only_methods_with_bodies_say_that_theirs_is_empty() {
        let of = |method: &str| {
            head(
                Request::builder()
                    .method(method)
                    .body(Body::empty())
                    .unwrap(),
            )
        };
        let host = "host: example.com\r\n";
        assert_eq!(of("GET"), format!("GET / HTTP/1.1\r\n{host}\r\n"));
        assert_eq!(of("DELETE"), format!("DELETE / HTTP/1.1\r\n{host}\r\n"));
        assert_eq!(
            of("POST"),
            format!("POST / HTTP/1.1\r\n{host}content-length: 0\r\n\r\n")
        );
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = BytesMut::new();
            put_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
