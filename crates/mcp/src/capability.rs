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
    /// Whether the server has tools, as far as it says: who declares nothing at all may have some.
    pub fn tools(self) -> bool {
        let is_there = |raw: Raw<'_>| !raw.is_null() && raw.bool() != Some(false);
        let mut members = self.0.members().into_iter().flatten();
        let mut declared = members.clone().filter(|member| is_there(member.value));
        declared.next().is_none()
            || members.any(|member| member.is("tools") && is_there(member.value))
    }

    /// Whether the server announces changes of its list of tools.
    pub fn tools_list_changed(self) -> bool {
        let tools = self.0.get("tools");
        tools
            .and_then(|tools| tools.get("listChanged"))
            .is_some_and(|raw| raw.bool() == Some(true) || raw.text().as_deref() == Some("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_no_tools_only_if_it_declares_something_else() {
        let has = |text: &'static str| ServerCapabilities(Raw::parse(text).unwrap()).tools();
        for text in [
            "{}",
            "null",
            r#"{"tools":null,"prompts":null}"#,
            r#"{"tools":{}}"#,
            r#"{"tools":true,"prompts":{}}"#,
            r#"{"prompts":{},"tools":[]}"#,
        ] {
            assert!(has(text), "{text}");
        }
        for text in [
            r#"{"prompts":{}}"#,
            r#"{"tools":null,"prompts":{}}"#,
            r#"{"tools":false,"prompts":{}}"#,
        ] {
            assert!(!has(text), "{text}");
        }
    }

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
