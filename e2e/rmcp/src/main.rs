//! A server on the official Rust SDK with everything that the official suite looks for: `rmcp-everything PORT ERAS`, where ERAS is
//! `both`, `session` or `stateless`. What asks for input is written once: in sessions it becomes requests of the server's own.

#[expect(deprecated, reason = "sampling, roots and logging are of the session era, and both are served here")]
mod everything;
mod tables;
mod tasks;

use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use crate::everything::Everything;

const STATELESS: &str = "2026-07-28";
const SESSION: &str = "2025-11-25";

/// Lets through what is of an era that is spoken: the handshake is what the session era begins with.
async fn of_era(eras: Arc<str>, request: Request, next: Next) -> Response {
    let version = request.headers().get("mcp-protocol-version");
    let is_stateless = version.is_some_and(|version| version == STATELESS);
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 4 * 1024 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let method = serde_json::from_slice(&body).map(|message: Value| message["method"].clone());
    let is_handshake = method.is_ok_and(|method| method == "initialize");
    let spoken = match &*eras {
        "session" if is_stateless => SESSION,
        "stateless" if is_handshake && !is_stateless => STATELESS,
        _ => return next.run(Request::from_parts(head, body.into())).await,
    };
    let data = json!({"supported": [spoken], "requested": if is_stateless { STATELESS } else { SESSION }});
    let error = json!({"code": -32022, "message": "this era is not spoken here", "data": data});
    let body = json!({"jsonrpc": "2.0", "id": null, "error": error});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().context("a port")?.parse()?;
    let eras: Arc<str> = arguments.next().as_deref().unwrap_or("both").into();
    let server = Everything::default();
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let of_era = move |request, next| of_era(Arc::clone(&eras), request, next);
    let router = Router::new()
        .nest_service("/mcp", service)
        .layer(middleware::from_fn(of_era));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}
