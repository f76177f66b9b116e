//! What is behind the gateway: MCP servers, and how to call them.
