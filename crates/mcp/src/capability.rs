//! Capability objects: what a client or a server says it can do.

use crate::raw::Raw;

/// A `ClientCapabilities` object, as it came.
#[derive(Clone, Copy, Debug)]
pub struct ClientCapabilities<'a>(pub Raw<'a>);

/// A `ServerCapabilities` object, as it came.
#[derive(Clone, Copy, Debug)]
pub struct ServerCapabilities<'a>(pub Raw<'a>);

impl ClientCapabilities<'_> {
    /// Whether the capability `name` is declared at all.
    pub fn has(self, name: &str) -> bool {
        self.0.get(name).is_some_and(Raw::is_object)
    }

    /// Whether the extension `name` is declared.
    pub fn has_extension(self, name: &str) -> bool {
        self.0
            .get("extensions")
            .and_then(|map| map.get(name))
            .is_some_and(Raw::is_object)
    }
}

impl ServerCapabilities<'_> {
    /// Whether the server has tools.
    pub fn tools(self) -> bool {
        self.0.get("tools").is_some_and(Raw::is_object)
    }

    /// Whether the server announces changes of its list of tools.
    pub fn tools_list_changed(self) -> bool {
        let tools = self.0.get("tools");
        tools
            .and_then(|tools| tools.get("listChanged"))
            .and_then(Raw::bool)
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_objects() {
        let server = ServerCapabilities(Raw::parse(r#"{"tools":{"listChanged":true}}"#).unwrap());
        assert!(server.tools() && server.tools_list_changed());
        let client = ClientCapabilities(
            Raw::parse(r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/ui":{}}}"#)
                .unwrap(),
        );
        assert!(client.has("elicitation") && !client.has("sampling"));
        assert!(client.has_extension("io.modelcontextprotocol/ui"));
    }
}
