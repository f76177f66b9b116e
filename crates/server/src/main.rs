//! `sekisho`: an MCP gateway and an authorization server in one program.
fn main() {}
