//! Capability objects: what a client or a server says it can do.

use crate::feature::Feature;
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
    /// Whether the server has this, as far as it says: who declares nothing at all may have tools.
    pub fn has(self, feature: Feature) -> bool {
        let is_there = |raw: Raw<'_>| !raw.is_null() && raw.bool() != Some(false);
        let mut members = self.0.members().into_iter().flatten();
        let mut declared = members.clone().filter(|member| is_there(member.value));
        let says_nothing = declared.next().is_none();
        (says_nothing && feature == Feature::Tools)
            || members.any(|member| member.is(feature.capability()) && is_there(member.value))
    }

    /// Whether the server completes arguments.
    pub fn completes(self) -> bool {
        self.0
            .get("completions")
            .is_some_and(|raw| !raw.is_null() && raw.bool() != Some(false))
    }

    /// Whether the server announces changes of its list.
    pub fn list_changed(self, feature: Feature) -> bool {
        let declared = self.0.get(feature.capability());
        declared
            .and_then(|declared| declared.get("listChanged"))
            .is_some_and(|raw| raw.bool() == Some(true) || raw.text().as_deref() == Some("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_no_tools_only_if_it_declares_something_else() {
        let has =
            |text: &'static str| ServerCapabilities(Raw::parse(text).unwrap()).has(Feature::Tools);
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
        assert!(server.has(Feature::Tools) && server.list_changed(Feature::Tools));
        assert!(!server.completes());
        let completing = ServerCapabilities(Raw::parse(r#"{"completions":{}}"#).unwrap());
        assert!(completing.completes() && !completing.has(Feature::Tools));
        assert!(!server.has(Feature::Prompts) && !server.list_changed(Feature::Prompts));
        let client = ClientCapabilities(
            Raw::parse(r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/ui":{}}}"#)
                .unwrap(),
        );
        assert!(client.has("elicitation") && !client.has("sampling"));
        assert!(client.has_extension("io.modelcontextprotocol/ui"));
    }
}
