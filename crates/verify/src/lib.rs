//! An MCP client that walks the authorization flow of any deployment and explains what it saw.
