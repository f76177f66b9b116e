//! The methods of the protocol, and in which era each exists.

use crate::era::Era;

/// A method that this product knows by name. Others stay the text they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`
    Initialize,
    /// `server/discover`
    Discover,
    /// `ping`
    Ping,
    /// `tools/list`
    ToolsList,
    /// `tools/call`
    ToolsCall,
    /// `resources/list`
    ResourcesList,
    /// `resources/templates/list`
    ResourceTemplatesList,
    /// `resources/read`
    ResourcesRead,
    /// `prompts/list`
    PromptsList,
    /// `prompts/get`
    PromptsGet,
    /// `completion/complete`
    Complete,
    /// `resources/subscribe`
    ResourcesSubscribe,
    /// `resources/unsubscribe`
    ResourcesUnsubscribe,
    /// `logging/setLevel`
    SetLevel,
    /// `elicitation/create`, of a server
    Elicit,
    /// `sampling/createMessage`, of a server
    CreateMessage,
    /// `roots/list`, of a server
    RootsList,
    /// `tasks/get`, of the extension
    TasksGet,
    /// `tasks/update`, of the extension
    TasksUpdate,
    /// `tasks/cancel`, of the extension
    TasksCancel,
    /// `subscriptions/listen`
    SubscriptionsListen,
    /// `notifications/initialized`
    Initialized,
    /// `notifications/cancelled`
    Cancelled,
    /// `notifications/progress`
    Progress,
    /// `notifications/message`
    LogMessage,
    /// `notifications/tools/list_changed`
    ToolsListChanged,
    /// `notifications/prompts/list_changed`
    PromptsListChanged,
    /// `notifications/resources/list_changed`
    ResourcesListChanged,
    /// `notifications/resources/updated`
    ResourceUpdated,
    /// `notifications/elicitation/complete`
    ElicitationComplete,
    /// `notifications/subscriptions/acknowledged`
    SubscriptionsAcknowledged,
}

impl Method {
    /// Every method with the word on the wire.
    pub const ALL: [(Self, &'static str); 31] = [
        (Self::ToolsCall, "tools/call"),
        (Self::ToolsList, "tools/list"),
        (Self::Initialize, "initialize"),
        (Self::Discover, "server/discover"),
        (Self::Ping, "ping"),
        (Self::ResourcesList, "resources/list"),
        (Self::ResourceTemplatesList, "resources/templates/list"),
        (Self::ResourcesRead, "resources/read"),
        (Self::PromptsList, "prompts/list"),
        (Self::PromptsGet, "prompts/get"),
        (Self::Complete, "completion/complete"),
        (Self::ResourcesSubscribe, "resources/subscribe"),
        (Self::ResourcesUnsubscribe, "resources/unsubscribe"),
        (Self::SetLevel, "logging/setLevel"),
        (Self::Elicit, "elicitation/create"),
        (Self::CreateMessage, "sampling/createMessage"),
        (Self::RootsList, "roots/list"),
        (Self::TasksGet, "tasks/get"),
        (Self::TasksUpdate, "tasks/update"),
        (Self::TasksCancel, "tasks/cancel"),
        (Self::SubscriptionsListen, "subscriptions/listen"),
        (Self::Initialized, "notifications/initialized"),
        (Self::Cancelled, "notifications/cancelled"),
        (Self::Progress, "notifications/progress"),
        (Self::LogMessage, "notifications/message"),
        (Self::ToolsListChanged, "notifications/tools/list_changed"),
        (
            Self::PromptsListChanged,
            "notifications/prompts/list_changed",
        ),
        (
            Self::ResourcesListChanged,
            "notifications/resources/list_changed",
        ),
        (Self::ResourceUpdated, "notifications/resources/updated"),
        (
            Self::ElicitationComplete,
            "notifications/elicitation/complete",
        ),
        (
            Self::SubscriptionsAcknowledged,
            "notifications/subscriptions/acknowledged",
        ),
    ];

    /// The method called `word`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == word)
            .map(|(method, _)| *method)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(method, _)| *method == self)
            .map_or("", |(_, name)| *name)
    }

    /// Whether the method exists in `era` (2026-07-28 changelog, D2 to D5).
    pub fn exists_in(self, era: Era) -> bool {
        match self {
            Self::Initialize
            | Self::Initialized
            | Self::Ping
            | Self::SetLevel
            | Self::ResourcesSubscribe
            | Self::ResourcesUnsubscribe
            | Self::ElicitationComplete => era == Era::Session,
            Self::Discover
            | Self::SubscriptionsListen
            | Self::SubscriptionsAcknowledged
            | Self::TasksGet
            | Self::TasksUpdate
            | Self::TasksCancel => era == Era::Stateless,
            Self::ToolsList
            | Self::ToolsCall
            | Self::ResourcesList
            | Self::ResourceTemplatesList
            | Self::ResourcesRead
            | Self::PromptsList
            | Self::PromptsGet
            | Self::Complete
            | Self::Cancelled
            | Self::Progress
            | Self::LogMessage
            | Self::ToolsListChanged
            | Self::PromptsListChanged
            | Self::ResourcesListChanged
            | Self::ResourceUpdated
            | Self::Elicit
            | Self::CreateMessage
            | Self::RootsList => true,
        }
    }

    /// The member of `params` that `Mcp-Name` mirrors, for methods that require this header (TM-5).
    pub fn mirrored_member(self) -> Option<&'static str> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some("name"),
            Self::ResourcesRead => Some("uri"),
            Self::TasksGet | Self::TasksUpdate | Self::TasksCancel => Some("taskId"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_word() {
        for (method, word) in Method::ALL {
            assert_eq!(Method::parse(word), Some(method));
            assert_eq!(method.as_str(), word);
        }
        assert_eq!(Method::parse("tools/Call"), None);
    }

    // TM-10
    #[test]
    fn the_handshake_and_ping_do_not_exist_in_the_stateless_era() {
        assert!(!Method::Initialize.exists_in(Era::Stateless));
        assert!(!Method::Ping.exists_in(Era::Stateless));
        assert!(!Method::Discover.exists_in(Era::Session));
    }
}
