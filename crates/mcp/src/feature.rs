//! What a server offers lists of: each has a method that lists, one that asks for an entry, and a notification of changes.

use std::borrow::Cow;

use crate::edit::{Change, changed};
use crate::era::Era;
use crate::mend::Repair;
use crate::method::Method;
use crate::raw::{Kind, Raw};
use crate::tool::{InvalidTool, MAX_NAME, MAX_URI, Tool};

/// What a server offers lists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Functions that models call.
    Tools,
    /// Templates of messages that people choose.
    Prompts,
    /// Data that is read by URI.
    Resources,
    /// Whole families of resources, by templates of their URIs (RFC 6570).
    ResourceTemplates,
}

/// The member of a filter of `subscriptions/listen` that names resources (TM-15).
pub const RESOURCE_SUBSCRIPTIONS: &str = "resourceSubscriptions";

/// What is the same for all features, and what is not.
struct Shape {
    word: &'static str,
    capability: &'static str,
    one: &'static str,
    key: &'static str,
    list: Method,
    call: Option<Method>,
    changed: Method,
    filter: &'static str,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 4] = [
        Self::Tools,
        Self::Prompts,
        Self::Resources,
        Self::ResourceTemplates,
    ];

    /// Those with a capability and a notification of changes that are theirs. [`Self::announced_as`] says whose the others'
    /// are.
    pub const ANNOUNCED: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    const fn shape(self) -> Shape {
        match self {
            Self::Tools => Shape {
                word: "tools",
                capability: "tools",
                one: "tool",
                key: "name",
                list: Method::ToolsList,
                call: Some(Method::ToolsCall),
                changed: Method::ToolsListChanged,
                filter: "toolsListChanged",
            },
            Self::Prompts => Shape {
                word: "prompts",
                capability: "prompts",
                one: "prompt",
                key: "name",
                list: Method::PromptsList,
                call: Some(Method::PromptsGet),
                changed: Method::PromptsListChanged,
                filter: "promptsListChanged",
            },
            Self::Resources => Shape {
                word: "resources",
                capability: "resources",
                one: "resource",
                key: "uri",
                list: Method::ResourcesList,
                call: Some(Method::ResourcesRead),
                changed: Method::ResourcesListChanged,
                filter: "resourcesListChanged",
            },
            Self::ResourceTemplates => Shape {
                word: "resourceTemplates",
                capability: "resources",
                one: "resource template",
                key: "uriTemplate",
                list: Method::ResourceTemplatesList,
                call: None,
                changed: Method::ResourcesListChanged,
                filter: "resourcesListChanged",
            },
        }
    }

    /// The member of a list's result.
    pub const fn word(self) -> &'static str {
        self.shape().word
    }

    /// Its capability.
    pub const fn capability(self) -> &'static str {
        self.shape().capability
    }

    /// The member of a definition that says which it is.
    pub const fn key(self) -> &'static str {
        self.shape().key
    }

    /// The member of a request, or of a reference, that says which is meant.
    pub const fn asked_by(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources | Self::ResourceTemplates => "uri",
        }
    }

    /// The feature whose capability and notification are its own, too.
    pub const fn announced_as(self) -> Self {
        match self {
            Self::ResourceTemplates => Self::Resources,
            own => own,
        }
    }

    /// What one of them is called.
    pub const fn one(self) -> &'static str {
        self.shape().one
    }

    /// The method that lists them.
    pub const fn list(self) -> Method {
        self.shape().list
    }

    /// The method that asks for one of them, if there is one.
    pub const fn call(self) -> Option<Method> {
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
        features.find(|one| one.call() == Some(method))
    }

    /// The features whose lists have changed, by the notification's method: all that are [announced as](Self::announced_as)
    /// this one.
    pub fn changed_by(method: &str) -> Option<Self> {
        let mut features = Self::ANNOUNCED.into_iter();
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
            Self::Resources => addressed(raw, "uri"),
            Self::ResourceTemplates => addressed(raw, "uriTemplate"),
        }
    }
}

/// Members that a resource or a template may do without, and what they must be.
const OPTIONAL: [(&str, Kind); 7] = [
    ("title", Kind::String),
    ("description", Kind::String),
    ("mimeType", Kind::String),
    ("size", Kind::Number),
    ("annotations", Kind::Object),
    ("icons", Kind::Array),
    ("_meta", Kind::Object),
];

/// A resource or a template of some. What it may do without is taken out where strict clients would refuse it; one without a
/// name is called by its URI.
fn addressed<'a>(raw: Raw<'a>, key: &'static str) -> Result<Tool<'a>, InvalidTool> {
    if !raw.is_object() {
        return Err(InvalidTool::NotAnObject);
    }
    let [uri] = raw.pick([key])?;
    let uri = uri
        .and_then(Raw::text)
        .filter(|uri| !uri.is_empty() && uri.len() <= MAX_URI)
        .ok_or(InvalidTool::InvalidUri)?;
    let is_wrong = |(key, kind): &(&str, Kind)| raw.get(key).is_some_and(|it| it.kind() != *kind);
    let wrong = OPTIONAL.iter().filter(|member| is_wrong(member));
    let mut changes: Vec<Change<'_>> = wrong.map(|(key, _)| Change::remove(key)).collect();
    if raw.get("name").is_none_or(|it| it.kind() != Kind::String) {
        changes.push(Change::set_text("name", &uri));
    }
    let (definition, repairs) = if changes.is_empty() {
        (Cow::Borrowed(raw.as_str()), Vec::new())
    } else {
        (changed(raw, &changes).into(), vec![Repair::Member])
    };
    Ok(Tool {
        definition,
        legacy: None,
        repairs,
        name: uri.clone(),
        param_headers: Vec::new(),
    })
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
        let Self([tools, prompts, resources, templates]) = self;
        match feature {
            Feature::Tools => tools,
            Feature::Prompts => prompts,
            Feature::Resources => resources,
            Feature::ResourceTemplates => templates,
        }
    }

    /// That of one, to be changed.
    pub const fn get_mut(&mut self, feature: Feature) -> &mut T {
        let Self([tools, prompts, resources, templates]) = self;
        match feature {
            Feature::Tools => tools,
            Feature::Prompts => prompts,
            Feature::Resources => resources,
            Feature::ResourceTemplates => templates,
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
        for feature in Feature::ANNOUNCED {
            let word = feature.word();
            assert_eq!(feature.list().as_str(), format!("{word}/list"));
            assert!(feature.call().unwrap().as_str().starts_with(word));
            assert_eq!(
                (feature.capability(), feature.announced_as()),
                (word, feature)
            );
            let changed = format!("notifications/{word}/list_changed");
            assert_eq!(feature.changed().as_str(), changed);
            assert_eq!(Feature::changed_by(&changed), Some(feature));
            assert_eq!(feature.filter(), format!("{word}ListChanged"));
        }
        assert_eq!(Feature::changed_by("notifications/message"), None);
        let templates = Feature::ResourceTemplates;
        assert_eq!(templates.list().as_str(), "resources/templates/list");
        assert_eq!(templates.announced_as(), Feature::Resources);
        assert_eq!(templates.call(), None);
    }

    // UC-4, SEC-81
    #[test]
    fn a_resource_that_strict_clients_would_refuse_is_put_right_or_left_out() {
        let parse = |feature: Feature, text: &'static str| {
            let parsed = feature.parse(Raw::parse(text).unwrap(), Era::Session);
            parsed.map(|one| (one.name.into_owned(), one.definition.into_owned()))
        };
        for (text, definition) in [
            (
                r#"{"uri":"a:b","name":"x","size":1,"y":null}"#,
                r#"{"uri":"a:b","name":"x","size":1,"y":null}"#,
            ),
            (r#"{"uri":"a:b"}"#, r#"{"uri":"a:b","name":"a:b"}"#),
            (
                r#"{"uri":"a:b","name":"x","mimeType":null,"size":"1","_meta":[]}"#,
                r#"{"uri":"a:b","name":"x"}"#,
            ),
        ] {
            let (uri, mended) = parse(Feature::Resources, text).unwrap();
            assert_eq!((uri.as_str(), mended.as_str()), ("a:b", definition));
        }
        let template = r#"{"uriTemplate":"a:{b}","name":"x"}"#;
        let parsed = parse(Feature::ResourceTemplates, template).unwrap();
        assert_eq!(parsed, ("a:{b}".to_owned(), template.to_owned()));
        for text in [
            r#"{"name":"x"}"#,
            r#"{"uri":"","name":"x"}"#,
            r#"{"uri":1}"#,
        ] {
            let refused = parse(Feature::Resources, text).unwrap_err();
            assert_eq!(refused, InvalidTool::InvalidUri, "{text}");
        }
        assert!(matches!(
            parse(Feature::Resources, r#"{"uri":"a:b","URI":"a:c"}"#),
            Err(InvalidTool::Ambiguous(_))
        ));
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
