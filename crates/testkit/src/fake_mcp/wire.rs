//! HTTP/1.1 as far as the fake needs it, over a plain socket.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::seen::Seen;

pub(super) type Reader = BufReader<OwnedReadHalf>;

const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// Reads the next request; `None` when the peer has closed.
pub(super) async fn read_request(reader: &mut Reader) -> io::Result<Option<Seen>> {
    let Some(first) = read_line(reader).await? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let verb = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen {
        verb,
        path,
        headers,
        body: String::new(),
    };
    let body = if seen
        .header("transfer-encoding")
        .is_some_and(|value| value.contains("chunked"))
    {
        read_chunks(reader).await?
    } else {
        let length = seen
            .header("content-length")
            .and_then(|value| value.parse().ok());
        read_exactly(reader, length.unwrap_or(0)).await?
    };
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(seen))
}

async fn read_line(reader: &mut Reader) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn read_exactly(reader: &mut Reader, length: usize) -> io::Result<Vec<u8>> {
    if length > LARGEST_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(body)
}

async fn read_chunks(reader: &mut Reader) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let length =
            usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if length > LARGEST_BODY - body.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        body.extend(read_exactly(reader, length).await?);
        read_line(reader).await?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Waits until the peer closes the connection; what it sends meanwhile is dropped.
pub(super) async fn closed(reader: &mut Reader) {
    let mut scratch = [0; 1024];
    while reader.read(&mut scratch).await.is_ok_and(|count| count > 0) {}
}

/// A whole answer.
pub(super) struct Plain {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Plain {
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(super) fn json(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
        }
    }
}

pub(super) async fn write_plain(writer: &mut OwnedWriteHalf, plain: &Plain) -> io::Result<()> {
    let mut head = head(plain.status, &plain.headers);
    head.extend([
        "content-length: ",
        &plain.body.len().to_string(),
        "\r\n\r\n",
        &plain.body,
    ]);
    writer.write_all(head.as_bytes()).await?;
    writer.flush().await
}

/// The status line and headers, without the empty line that ends them.
fn head(status: u16, headers: &[(&'static str, String)]) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head
}

pub(super) async fn write_head_with_length(
    writer: &mut OwnedWriteHalf,
    content_type: &str,
    length: usize,
) -> io::Result<()> {
    let mut head = head(200, &[("content-type", content_type.to_owned())]);
    head.extend(["content-length: ", &length.to_string(), "\r\n\r\n"]);
    writer.write_all(head.as_bytes()).await?;
    writer.flush().await
}

pub(super) async fn start_events(
    writer: &mut OwnedWriteHalf,
    headers: &[(&'static str, String)],
) -> io::Result<()> {
    let mut head = head(200, headers);
    head.push_str("content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    writer.write_all(head.as_bytes()).await?;
    writer.flush().await
}

pub(super) async fn write_chunk(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    writer
        .write_all(format!("{:x}\r\n", bytes.len()).as_bytes())
        .await?;
    writer.write_all(bytes).await?;
    writer.write_all(b"\r\n").await?;
    writer.flush().await
}

pub(super) async fn write_event(writer: &mut OwnedWriteHalf, data: &str) -> io::Result<()> {
    write_chunk(
        writer,
        format!("event: message\ndata: {data}\n\n").as_bytes(),
    )
    .await
}

pub(super) async fn end_events(writer: &mut OwnedWriteHalf) -> io::Result<()> {
    writer.write_all(b"0\r\n\r\n").await?;
    writer.flush().await
}
