//! A small HTTP server on loopback whose answers are a closure, and which misbehaves on demand.
//!
//! It writes its bytes to the socket itself, so that it can break what a real server cannot.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use net::edge::tls::Tls;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target, for instance `/x?y=1`.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, without chunk framing.
    pub body: Bytes,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Seen {
    /// A header as text, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer, proper or not.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    payload: Payload,
    close: bool,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Payload {
    Whole(Bytes),
    Claiming(u64, Bytes),
    Chunked(Vec<(Duration, Bytes)>),
    ChunkedWithoutEnd(Vec<(Duration, Bytes)>),
    Dripping(Bytes, Duration),
    Raw(Bytes),
    Nothing,
}

impl Reply {
    fn new(status: u16, payload: Payload) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload,
            close: false,
            delay: Duration::ZERO,
        }
    }

    /// A proper answer without body.
    pub fn status(status: u16) -> Self {
        Self::new(status, Payload::Whole(Bytes::new()))
    }

    /// A proper 200 in JSON.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::status(200)
            .header("content-type", "application/json")
            .body(text)
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body; its length is announced.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.payload = Payload::Whole(body.into());
        self
    }

    /// Waits before the first byte.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection afterwards without having said so.
    #[must_use]
    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Announces `claimed` bytes, sends others, and closes.
    pub fn lying_length(claimed: u64, body: impl Into<Bytes>) -> Self {
        Self::new(200, Payload::Claiming(claimed, body.into()))
            .header("content-type", "application/json")
            .then_close()
    }

    /// Sends these chunks without announcing a length.
    pub fn chunked(chunks: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        Self::stream(
            chunks
                .into_iter()
                .map(|chunk| (Duration::ZERO, chunk.into())),
        )
        .header("content-type", "application/json")
    }

    /// Sends these chunks, each after a pause, for instance server-sent events.
    pub fn stream(chunks: impl IntoIterator<Item = (Duration, Bytes)>) -> Self {
        Self::new(200, Payload::Chunked(chunks.into_iter().collect()))
    }

    /// Sends these chunks, and closes instead of ending.
    pub fn broken_stream(chunks: impl IntoIterator<Item = (Duration, Bytes)>) -> Self {
        Self::new(
            200,
            Payload::ChunkedWithoutEnd(chunks.into_iter().collect()),
        )
        .then_close()
    }

    /// Sends the body byte by byte, `pause` between them.
    pub fn drip(body: impl Into<Bytes>, pause: Duration) -> Self {
        Self::new(200, Payload::Dripping(body.into(), pause))
            .header("content-type", "application/json")
    }

    /// Some kilobytes that unpack to ten megabytes.
    pub fn gzip_bomb() -> Self {
        Self::json(zeros_packed(10 * 1024 * 1024)).header("content-encoding", "gzip")
    }

    /// Sends exactly these bytes instead of an answer, and closes.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::new(0, Payload::Raw(bytes.into())).then_close()
    }

    /// Never answers, and keeps the connection open.
    pub fn hang() -> Self {
        Self::new(0, Payload::Nothing)
    }

    /// Closes the connection instead of answering.
    pub fn hang_up() -> Self {
        Self::raw("")
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server. It ends when dropped.
pub struct FakeHttp {
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    tls: Option<Tls>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for FakeHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeHttp")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for FakeHttp {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl FakeHttp {
    /// Serves plain HTTP on a free port of 127.0.0.1.
    pub async fn start(
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(None, Box::new(handler)).await
    }

    /// Serves HTTPS on a free port of 127.0.0.1.
    pub async fn start_tls(
        tls: Tls,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(Some(tls), Box::new(handler)).await
    }

    async fn start_with(tls: Option<Tls>, handler: Box<Handler>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler,
            tls,
            seen: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let accepting = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let stop = accepting.stop.clone();
            stop.run_until_cancelled(accept(accepting, listener)).await;
        });
        Ok(Self {
            address,
            tls: shared.tls.is_some(),
            shared,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, by address.
    pub fn url(&self, path: &str) -> String {
        self.url_at(&self.address.ip().to_string(), path)
    }

    /// The URL of a path under another host name.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{host}:{}{path}", self.address.port())
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many requests arrived so far.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().len()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let serving = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let stop = serving.stop.clone();
            // A client that goes away is nothing to report.
            let _ = stop
                .run_until_cancelled(serve(&serving, stream, number))
                .await;
        });
    }
}

async fn serve(shared: &Shared, stream: TcpStream, number: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match &shared.tls {
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            serve_stream(shared, stream, number).await
        }
        None => serve_stream(shared, stream, number).await,
    }
}

async fn serve_stream<S>(shared: &Shared, mut stream: S, number: usize) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, number).await? {
        let reply = (shared.handler)(&seen);
        let without_body = seen.method == "HEAD";
        shared.seen.lock().push(seen);
        send(&mut stream, &reply, without_body).await?;
        if reply.close {
            stream.shutdown().await?;
            break;
        }
    }
    Ok(())
}

async fn send<S>(stream: &mut S, reply: &Reply, without_body: bool) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    match &reply.payload {
        Payload::Whole(body) => {
            let mut bytes = head(reply, Some(body.len() as u64));
            if !without_body {
                bytes.extend_from_slice(body);
            }
            stream.write_all(&bytes).await?;
        }
        Payload::Claiming(claimed, body) => {
            stream.write_all(&head(reply, Some(*claimed))).await?;
            stream.write_all(body).await?;
        }
        Payload::Chunked(chunks) => {
            send_chunks(stream, reply, chunks).await?;
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Payload::ChunkedWithoutEnd(chunks) => send_chunks(stream, reply, chunks).await?,
        Payload::Dripping(body, pause) => {
            stream
                .write_all(&head(reply, Some(body.len() as u64)))
                .await?;
            for byte in body {
                stream.flush().await?;
                tokio::time::sleep(*pause).await;
                stream.write_all(&[*byte]).await?;
            }
        }
        Payload::Raw(bytes) => stream.write_all(bytes).await?,
        Payload::Nothing => std::future::pending().await,
    }
    stream.flush().await
}

async fn send_chunks<S>(
    stream: &mut S,
    reply: &Reply,
    chunks: &[(Duration, Bytes)],
) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    stream.write_all(&head(reply, None)).await?;
    for (pause, chunk) in chunks {
        stream.flush().await?;
        if !pause.is_zero() {
            tokio::time::sleep(*pause).await;
        }
        stream
            .write_all(format!("{:x}\r\n", chunk.len()).as_bytes())
            .await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.flush().await
}

fn head(reply: &Reply, length: Option<u64>) -> Vec<u8> {
    let mut lines = vec![format!("HTTP/1.1 {} Fake", reply.status)];
    lines.extend(
        reply
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    match length {
        // These have no body, and so no length (RFC 9110 §8.6).
        Some(_) if matches!(reply.status, 100..=199 | 204 | 304) => {}
        Some(length) => lines.push(format!("content-length: {length}")),
        None => lines.push("transfer-encoding: chunked".to_owned()),
    }
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// The next request on a connection, or `None` when the client has closed it.
async fn read_request<S>(
    stream: &mut S,
    buffer: &mut BytesMut,
    connection: usize,
) -> io::Result<Option<Seen>>
where
    S: AsyncRead + Unpin,
{
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break buffer.split_to(end + 4);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next().unwrap_or_default().split(' ');
    let method = request_line.next().unwrap_or_default().to_owned();
    let target = request_line.next().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        let value = HeaderValue::from_str(value.trim()).map_err(io::Error::other)?;
        headers.append(name, value);
    }
    let body = if headers.contains_key("transfer-encoding") {
        read_chunks(stream, buffer).await?
    } else {
        let length = headers
            .get("content-length")
            .and_then(|value| value.to_str().ok());
        let length = length.and_then(|value| value.parse().ok()).unwrap_or(0);
        read_exactly(stream, buffer, length).await?
    };
    Ok(Some(Seen {
        method,
        target,
        headers,
        body,
        connection,
    }))
}

async fn read_exactly<S>(stream: &mut S, buffer: &mut BytesMut, length: usize) -> io::Result<Bytes>
where
    S: AsyncRead + Unpin,
{
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.split_to(length).freeze())
}

async fn read_line<S>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<String>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line = buffer.split_to(end + 2);
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn read_chunks<S>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<Bytes>
where
    S: AsyncRead + Unpin,
{
    let mut body = BytesMut::new();
    loop {
        let size = read_line(stream, buffer).await?;
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        body.extend_from_slice(&read_exactly(stream, buffer, size).await?);
        // The end of the chunk, or of the trailers, of which there are none.
        read_line(stream, buffer).await?;
        if size == 0 {
            return Ok(body.freeze());
        }
    }
}

/// At least `length` zero bytes as gzip (without a proper checksum): one literal, then the longest
/// possible repetitions, in the fixed code of RFC 1951 §3.2.6.
fn zeros_packed(length: usize) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut bits: u32 = 0;
    let mut count = 0;
    let mut put = |code: u32, width: u32, packed: &mut Vec<u8>| {
        for place in (0..width).rev() {
            bits |= ((code >> place) & 1) << count;
            count += 1;
            if count == 8 {
                packed.extend(bits.to_le_bytes().first());
                bits = 0;
                count = 0;
            }
        }
    };
    put(0b1, 1, &mut packed); // The last block,
    put(0b10, 2, &mut packed); // in the fixed code (its type is sent low bit first).
    put(0b0011_0000, 8, &mut packed); // A zero byte.
    for _ in 0..length.div_ceil(258) {
        put(0b1100_0101, 8, &mut packed); // 258 more,
        put(0, 5, &mut packed); // from one byte before.
    }
    put(0, 7, &mut packed); // The end,
    put(0, 7, &mut packed); // and padding to a whole byte.
    packed.extend_from_slice(&[0; 8]);
    packed
}
