//! The MCP vocabulary: JSON-RPC, methods, protocol eras, headers, SSE framing; no I/O.
