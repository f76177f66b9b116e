//! Capability objects: what a client or a server says it can do.

use std::borrow::Cow;

use crate::feature::Feature;
use crate::raw::Raw;

/// A `ServerCapabilities` object, as it came.
#[derive(Clone, Copy, Debug)]
pub struct ServerCapabilities<'a>(pub Raw<'a>);

/// The longest `extensions` object of a server, in bytes.
pub const MAX_EXTENSIONS: usize = 16 * 1024;

/// Interactive pages of tools (SEP-1865).
pub const APPS: &str = "io.modelcontextprotocol/ui";
/// Requests that take long (SEP-2663).
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

/// What a client declared that a server may ask of it, on one request or for one session: nothing else is ever declared to a
/// server on its behalf (UC-12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientCapabilities(u16);

impl ClientCapabilities {
    /// Elicitation by a form.
    pub const FORM: Self = Self(1);
    /// Elicitation by a URL.
    pub const URL: Self = Self(2);
    /// Sampling.
    pub const SAMPLING: Self = Self(4);
    /// Sampling with tools.
    pub const SAMPLING_TOOLS: Self = Self(8);
    /// Sampling with the context of servers.
    pub const SAMPLING_CONTEXT: Self = Self(16);
    /// Roots.
    pub const ROOTS: Self = Self(32);
    /// Whatever a server may ask for.
    pub const ALL_INPUT: Self = Self(Self::APPS.0 - 1);
    /// The extension [`APPS`].
    pub const APPS: Self = Self(64);
    /// The extension [`TASKS`].
    pub const TASKS: Self = Self(128);

    /// What a `ClientCapabilities` object says. Who declares elicitation and no mode of it means forms.
    pub fn of(capabilities: Raw<'_>) -> Self {
        let within = |object: Option<Raw<'_>>, key: &str| {
            object
                .and_then(|object| object.get(key))
                .is_some_and(Raw::is_object)
        };
        let member = |key: &str| capabilities.get(key).filter(|raw| raw.is_object());
        let (elicitation, sampling) = (member("elicitation"), member("sampling"));
        let by_url = within(elicitation, "url");
        let by_form = elicitation.is_some() && (!by_url || within(elicitation, "form"));
        let declared = [
            (by_form, Self::FORM),
            (by_url, Self::URL),
            (sampling.is_some(), Self::SAMPLING),
            (within(sampling, "tools"), Self::SAMPLING_TOOLS),
            (within(sampling, "context"), Self::SAMPLING_CONTEXT),
            (member("roots").is_some(), Self::ROOTS),
            (within(member("extensions"), APPS), Self::APPS),
            (within(member("extensions"), TASKS), Self::TASKS),
        ];
        let declared = declared.into_iter().filter(|(is_declared, _)| *is_declared);
        declared.fold(Self::default(), |all, (_, one)| all.and(one))
    }

    /// Whether a server can ask for anything at all.
    pub const fn can_be_asked(self) -> bool {
        self.0 & (Self::APPS.0 - 1) != 0
    }

    /// This and that.
    #[must_use]
    pub const fn and(self, Self(other): Self) -> Self {
        Self(self.0 | other)
    }

    /// Whether all of this is declared.
    pub const fn has(self, Self(needed): Self) -> bool {
        self.0 & needed == needed
    }

    /// As bits, to be kept.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From kept bits; those that mean nothing are left out.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0b1111_1111)
    }

    /// As a `ClientCapabilities` object with the extensions that are known by name and mean something in any era.
    pub fn to_json(self) -> Cow<'static, str> {
        const MEMBER: &str =
            r#"{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}"#;
        self.with_extensions(self.has(Self::APPS).then_some(MEMBER))
    }

    /// As a `ClientCapabilities` object with these extensions, a JSON object, as the client declared them.
    pub fn with_extensions(self, extensions: Option<&str>) -> Cow<'static, str> {
        if self.0 == 0 && extensions.is_none() {
            return Cow::Borrowed("{}");
        }
        let members = |parts: &[(Self, &'static str)]| {
            let parts = parts.iter().filter(|(part, _)| self.has(*part));
            let parts: Vec<&str> = parts.map(|(_, text)| *text).collect();
            parts.join(",")
        };
        let mut all = Vec::new();
        if self.has(Self::FORM) || self.has(Self::URL) {
            let modes = [(Self::FORM, r#""form":{}"#), (Self::URL, r#""url":{}"#)];
            all.push(format!(r#""elicitation":{{{}}}"#, members(&modes)));
        }
        if self.has(Self::SAMPLING) {
            let with = [
                (Self::SAMPLING_TOOLS, r#""tools":{}"#),
                (Self::SAMPLING_CONTEXT, r#""context":{}"#),
            ];
            all.push(format!(r#""sampling":{{{}}}"#, members(&with)));
        }
        if self.has(Self::ROOTS) {
            all.push(r#""roots":{}"#.to_owned());
        }
        if let Some(extensions) = extensions {
            all.push(format!(r#""extensions":{extensions}"#));
        }
        Cow::Owned(format!("{{{}}}", all.join(",")))
    }
}

impl<'a> ServerCapabilities<'a> {
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

    /// The extensions that the server declares, an object of a size to pass on.
    pub fn extensions(self) -> Option<Raw<'a>> {
        let extensions = self.0.get("extensions")?;
        (extensions.is_object() && extensions.as_str().len() <= MAX_EXTENSIONS)
            .then_some(extensions)
    }

    /// Whether the server sends log messages.
    pub fn logs(self) -> bool {
        self.0
            .get("logging")
            .is_some_and(|raw| !raw.is_null() && raw.bool() != Some(false))
    }

    /// Whether the server says when a resource that somebody subscribed to has changed.
    pub fn subscribes(self) -> bool {
        let resources = self.0.get("resources");
        resources
            .and_then(|resources| resources.get("subscribe"))
            .is_some_and(|raw| raw.bool() == Some(true) || raw.text().as_deref() == Some("true"))
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
    }

    // UC-12
    #[test]
    fn what_is_declared_on_is_what_a_client_declared() {
        for (declared, said) in [
            ("{}", "{}"),
            ("null", "{}"),
            (
                r#"{"elicitation":true,"sampling":[],"roots":null,"tasks":{}}"#,
                "{}",
            ),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (
                r#"{"elicitation":{"url":{}}}"#,
                r#"{"elicitation":{"url":{}}}"#,
            ),
            (
                r#"{"roots":{"listChanged":true},"elicitation":{"url":{},"form":{}},"sampling":{"tools":{},"context":{}}}"#,
                r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{},"context":{}},"roots":{}}"#,
            ),
            (r#"{"sampling":{}}"#, r#"{"sampling":{}}"#),
            (
                r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["x"]},"a/b":{}}}"#,
                r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#,
            ),
        ] {
            let declared = ClientCapabilities::of(Raw::parse(declared).unwrap());
            assert_eq!(declared.to_json(), said);
            assert_eq!(
                ClientCapabilities::of(Raw::parse(&declared.to_json()).unwrap()),
                declared
            );
            assert_eq!(ClientCapabilities::from_bits(declared.bits()), declared);
        }
        assert_eq!(ClientCapabilities::from_bits(u16::MAX).bits(), 255);
    }
}
