//! The smallest HTTP/1.1 client that can be trusted with a stopwatch: one kept connection, blocking, no dependencies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Socket, Type};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        Self::over(stream)
    }

    /// Like [`Self::open`], from this address of ours: all of 127.0.0.0/8 are on Linux.
    pub(crate) fn open_from(source: Ipv4Addr, address: SocketAddr) -> Result<Self> {
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
            socket.connect(&address.into())?;
            Ok::<_, std::io::Error>(socket.into())
        };
        Self::over(connect().with_context(|| format!("connecting from {source} to {address}"))?)
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream: BufReader::with_capacity(16 * 1024, stream),
            line: String::new(),
        })
    }

    /// Sends the bytes of a request and reads the answer.
    pub(crate) fn round_trip(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request)?;
        let mut answer = self.head()?;
        let length = answer.header("content-length").map(str::parse::<usize>);
        if let Some(length) = length.transpose()? {
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body)?;
        } else if answer.header("transfer-encoding").is_some() {
            self.chunks(&mut answer.body)?;
        } else if !matches!(answer.status, 204 | 304) {
            bail!("an answer of unknown length");
        }
        Ok(answer)
    }

    /// Sends the bytes of a request, whatever becomes of it.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(request)?)
    }

    /// Gives the memory back that reading ahead takes; what was read ahead is lost.
    pub(crate) fn forget_buffer(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Reads the head of an answer, and no more.
    pub(crate) fn head(&mut self) -> Result<Answer> {
        let status = self
            .next_line()?
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .context("no status line")?;
        let mut headers = Vec::new();
        loop {
            let line = self.next_line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Ok(Answer {
            status,
            headers,
            body: Vec::new(),
        })
    }

    /// Reads the chunks of a body up to and with the last one.
    pub(crate) fn chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let size = usize::from_str_radix(self.next_line()?.trim(), 16)?;
            let start = body.len();
            body.resize(start + size, 0);
            if let Some(chunk) = body.get_mut(start..) {
                self.stream.read_exact(chunk)?;
            }
            self.next_line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn next_line(&mut self) -> Result<String> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            bail!("the connection was closed");
        }
        Ok(self.line.trim_end().to_owned())
    }
}

/// The bytes of a request; a body brings its length.
pub(crate) fn request(
    method: &str,
    path: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Vec<u8> {
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {host}")];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    if !body.is_empty() || method == "POST" {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let head = lines.join("\r\n");
    format!("{head}\r\n\r\n{body}").into_bytes()
}
