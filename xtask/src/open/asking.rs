//! An MCP server of the session era with one tool, which asks its caller and waits for ever.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use serde_json::{Value, json};

/// How much stack a connection's thread has: there are thousands.
const STACK: usize = 128 * 1024;

/// The server, until the program ends.
pub(super) struct Asking {
    pub(super) address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl Asking {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::<AtomicU32>::default();
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                // Who finds no thread is not served.
                let _ = std::thread::Builder::new()
                    .stack_size(STACK)
                    .spawn(move || {
                        // A gateway that goes away is nothing to talk about.
                        let _ = serve(stream, &count);
                    });
            }
        });
        Ok(Self { address, asked })
    }

    /// How many callers it asked.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(stream: TcpStream, asked: &AtomicU32) -> Result<()> {
    let mut reader = BufReader::with_capacity(1024, stream);
    loop {
        let Some((verb, body)) = request(&mut reader)? else {
            return Ok(());
        };
        let stream = reader.get_mut();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = message.get("id").cloned().unwrap_or_default();
        let result = match message.get("method").and_then(Value::as_str) {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25", "serverInfo": {"name": "asking", "version": "1"},
                "capabilities": {"tools": {}},
            }),
            Some("tools/list") => {
                json!({"tools": [{"name": "ask", "inputSchema": {"type": "object"}}]})
            }
            Some("tools/call") => {
                let count = asked.fetch_add(1, Ordering::Relaxed);
                let params = json!({"message": "?", "requestedSchema": {"type": "object", "properties": {}}});
                let question = json!({"jsonrpc": "2.0", "id": count, "method": "elicitation/create", "params": params});
                let event = format!("data: {question}\n\n");
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n",
                    event.len()
                )?;
                std::io::copy(&mut reader, &mut std::io::sink())?;
                return Ok(());
            }
            Some("server/discover") => {
                write!(
                    stream,
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
                )?;
                continue;
            }
            _ if verb == "POST" || verb == "DELETE" => {
                write!(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            _ => {
                write!(
                    stream,
                    "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
                )?;
                continue;
            }
        };
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}

/// The verb and the body of the next request.
fn request(reader: &mut BufReader<TcpStream>) -> Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let verb = line.split(' ').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((verb, body)))
}
