//! What stands behind gateways: what it lists, and that it is asked for it now. Only a running program knows.

use gateway::Gateway;
use oauth::causes::with_causes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operation::Problem;

/// An operation with its input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Operation {
    /// How it stands with the lists of targets: a list of [`List`].
    List {
        gateway: Option<String>,
        target: Option<String>,
    },
    /// The same, after asking for them.
    Sync {
        gateway: Option<String>,
        target: Option<String>,
    },
}

/// How it stands with a list of a target.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) gateway: String,
    pub(crate) target: String,
    /// `tools`, `prompts`, `resources` or `resourceTemplates`.
    pub(crate) feature: String,
    /// The listing mode.
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entries: Option<usize>,
    /// How long ago it was had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) age_seconds: Option<u64>,
    /// Why there is no newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

impl Operation {
    /// What the log calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "targets list",
            Self::Sync { .. } => "targets sync",
        }
    }

    /// Whom or what it is about, as it was given; nothing if it is about all.
    pub(crate) fn about(&self) -> &str {
        let (Self::List { target, .. } | Self::Sync { target, .. }) = self;
        target.as_deref().unwrap_or_default()
    }

    /// Does it. What comes of it is written down, as its variant says.
    pub(crate) async fn perform(self, gateways: &[Gateway]) -> Result<Value, Problem> {
        let syncs = matches!(self, Self::Sync { .. });
        let (Self::List { gateway, target } | Self::Sync { gateway, target }) = self;
        let meant: Vec<&Gateway> = gateways
            .iter()
            .filter(|one| gateway.as_deref().is_none_or(|name| name == one.name()))
            .collect();
        if meant.is_empty() {
            return Err(Problem::NoSuchGateway(names(gateways)));
        }
        if syncs {
            let target = target.as_deref();
            futures_util::future::join_all(meant.iter().map(|one| one.sync(target))).await;
        }
        let lists = meant.iter().flat_map(|one| {
            let lists = one.lists().into_iter();
            lists.map(|list| List {
                gateway: one.name().to_owned(),
                target: list.target.to_string(),
                feature: list.feature.word().to_owned(),
                mode: list.mode.to_owned(),
                entries: list.entries,
                age_seconds: list.age.map(|age| age.as_secs()),
                failure: list.failure.map(|error| with_causes(&error)),
            })
        });
        let is_meant = |list: &List| target.as_ref().is_none_or(|name| *name == list.target);
        let lists: Vec<List> = lists.filter(is_meant).collect();
        match target {
            Some(target) if lists.is_empty() => Err(Problem::NoSuchTarget(target)),
            _ => Ok(serde_json::to_value(lists)?),
        }
    }
}

fn names(gateways: &[Gateway]) -> String {
    let names: Vec<String> = gateways
        .iter()
        .map(|one| format!("`{}`", one.name()))
        .collect();
    names.join(", ")
}
