//! The data plane: caller, catalog, MCP methods.
