//! What a server offers lists of: each has a method that lists, one that asks for an entry, and a notification of changes.

use std::borrow::Cow;

use crate::era::Era;
use crate::method::Method;
use crate::raw::{Kind, Raw};
use crate::tool::{InvalidTool, MAX_NAME, Tool};

/// What a server offers lists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Functions that models call.
    Tools,
    /// Templates of messages that people choose.
    Prompts,
}

/// What is the same for all features, and what is not.
struct Shape {
    word: &'static str,
    one: &'static str,
    list: Method,
    call: Method,
    changed: Method,
    filter: &'static str,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 2] = [Self::Tools, Self::Prompts];

    const fn shape(self) -> Shape {
        match self {
            Self::Tools => Shape {
                word: "tools",
                one: "tool",
                list: Method::ToolsList,
                call: Method::ToolsCall,
                changed: Method::ToolsListChanged,
                filter: "toolsListChanged",
            },
            Self::Prompts => Shape {
                word: "prompts",
                one: "prompt",
                list: Method::PromptsList,
                call: Method::PromptsGet,
                changed: Method::PromptsListChanged,
                filter: "promptsListChanged",
            },
        }
    }

    /// Its capability, and the member of a list's result.
    pub const fn word(self) -> &'static str {
        self.shape().word
    }

    /// What one of them is called.
    pub const fn one(self) -> &'static str {
        self.shape().one
    }

    /// The method that lists them.
    pub const fn list(self) -> Method {
        self.shape().list
    }

    /// The method that asks for one of them.
    pub const fn call(self) -> Method {
        self.shape().call
    }

    /// The notification that the list has changed.
    pub const fn changed(self) -> Method {
        self.shape().changed
    }

    /// The member of a filter of `subscriptions/listen` that asks for this notification (TM-15).
    pub const fn filter(self) -> &'static str {
        self.shape().filter
    }

    /// The feature that a method lists.
    pub fn listed_by(method: Method) -> Option<Self> {
        let mut features = Self::ALL.into_iter();
        features.find(|one| one.list() == method)
    }

    /// The feature of which a method asks for one.
    pub fn called_by(method: Method) -> Option<Self> {
        let mut features = Self::ALL.into_iter();
        features.find(|one| one.call() == method)
    }

    /// The feature whose list has changed, by the notification's method.
    pub fn changed_by(method: &str) -> Option<Self> {
        let mut features = Self::ALL.into_iter();
        features.find(|one| one.changed().as_str() == method)
    }

    /// Reads a definition of a server that speaks `era`.
    ///
    /// # Errors
    /// Why it is left out of a list.
    pub fn parse(self, raw: Raw<'_>, era: Era) -> Result<Tool<'_>, InvalidTool> {
        match self {
            Self::Tools => Tool::parse(raw, era),
            Self::Prompts => prompt(raw),
        }
    }
}

/// A prompt has nothing that is put right: what strict clients would refuse is left out.
fn prompt(raw: Raw<'_>) -> Result<Tool<'_>, InvalidTool> {
    if !raw.is_object() {
        return Err(InvalidTool::NotAnObject);
    }
    let [name, arguments] = raw.pick(["name", "arguments"])?;
    let name = name
        .and_then(Raw::text)
        .filter(|name| !name.is_empty() && name.chars().count() <= MAX_NAME)
        .ok_or(InvalidTool::InvalidName)?;
    let is_argument = |raw: Raw<'_>| {
        raw.get("name")
            .is_some_and(|name| name.kind() == Kind::String)
    };
    let are_arguments = arguments.is_none_or(|raw| {
        raw.elements()
            .is_some_and(|mut arguments| arguments.all(is_argument))
    });
    if !are_arguments {
        return Err(InvalidTool::InvalidArguments);
    }
    Ok(Tool {
        definition: Cow::Borrowed(raw.as_str()),
        legacy: None,
        repairs: Vec::new(),
        name,
        param_headers: Vec::new(),
    })
}

/// Something for each feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerFeature<T>([T; Feature::ALL.len()]);

impl<T> PerFeature<T> {
    /// Made for each.
    pub fn of(make: impl FnMut(Feature) -> T) -> Self {
        Self(Feature::ALL.map(make))
    }

    /// That of one.
    pub const fn get(&self, feature: Feature) -> &T {
        let Self([tools, prompts]) = self;
        match feature {
            Feature::Tools => tools,
            Feature::Prompts => prompts,
        }
    }

    /// That of one, to be changed.
    pub const fn get_mut(&mut self, feature: Feature) -> &mut T {
        let Self([tools, prompts]) = self;
        match feature {
            Feature::Tools => tools,
            Feature::Prompts => prompts,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Feature, &T)> {
        Feature::ALL
            .into_iter()
            .map(|feature| (feature, self.get(feature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_a_feature_are_named_after_it() {
        for feature in Feature::ALL {
            let word = feature.word();
            assert_eq!(feature.list().as_str(), format!("{word}/list"));
            assert!(feature.call().as_str().starts_with(word));
            let changed = format!("notifications/{word}/list_changed");
            assert_eq!(feature.changed().as_str(), changed);
            assert_eq!(Feature::changed_by(&changed), Some(feature));
            assert_eq!(feature.filter(), format!("{word}ListChanged"));
        }
        assert_eq!(Feature::changed_by("notifications/message"), None);
    }

    // UC-4, SEC-81
    #[test]
    fn a_prompt_that_strict_clients_would_refuse_is_left_out() {
        let parse = |text: &'static str| {
            let raw = Raw::parse(text).unwrap();
            Feature::Prompts
                .parse(raw, Era::Session)
                .map(|prompt| prompt.name.into_owned())
        };
        assert_eq!(parse(r#"{"name":"a"}"#).unwrap(), "a");
        assert_eq!(
            parse(r#"{"name":"a","arguments":[{"name":"x"}]}"#).unwrap(),
            "a"
        );
        for (text, fault) in [
            ("[]", InvalidTool::NotAnObject),
            (r#"{"name":""}"#, InvalidTool::InvalidName),
            (
                r#"{"name":"a","arguments":{}}"#,
                InvalidTool::InvalidArguments,
            ),
            (
                r#"{"name":"a","arguments":["x"]}"#,
                InvalidTool::InvalidArguments,
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault, "{text}");
        }
        assert!(matches!(
            parse(r#"{"name":"a","Name":"b"}"#),
            Err(InvalidTool::Ambiguous(_))
        ));
    }
}
