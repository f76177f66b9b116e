//! Names of tools as clients see them.

use bytes::Bytes;
use mcp::edit::{Change, changed};
use mcp::raw::Raw;

/// Between the name of a target, which has no underscores, and that of its tool (AgentCore's separator).
pub(crate) const SEPARATOR: &str = "___";

/// `<target>___<tool>`
pub(crate) fn prefixed(target: &str, tool: &str) -> String {
    [target, SEPARATOR, tool].concat()
}

/// A definition under another name, every other byte as it was.
pub(crate) fn renamed(definition: Raw<'_>, name: &str) -> Bytes {
    changed(definition, &[Change::set_text("name", name)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_keeps_everything_but_its_name() {
        let definition = r#"{ "x":1e2, "name" : "add" ,"inputSchema":{}}"#;
        let definition = Raw::parse(definition).unwrap();
        let renamed = renamed(definition, &prefixed("my-target", "add"));
        assert_eq!(
            renamed,
            r#"{ "x":1e2, "name" : "my-target___add" ,"inputSchema":{}}"#
        );
    }
}
