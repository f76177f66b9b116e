//! The operators' socket: a running program does what a command asks for, with the database that it has open and by the
//! configuration that it runs, so that no command needs it to be stopped.
//!
//! It is a Unix socket in the data directory, for the user of the program and for root alone. One connection carries one
//! [`Request`] and one [`Answer`], each a line of JSON.

pub(crate) mod client;
pub(crate) mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::url::StoreUrl;

use crate::operation::asked::Operation;
use crate::operation::target;
use crate::wire::plan::Plan;

/// The longest request and answer, in bytes. All users of a large realm are one answer.
const LONGEST_REQUEST: u64 = 64 * 1024;
const LONGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// What a command asks for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Something about a realm.
    Realm {
        /// The one that is meant; without it, the only one.
        realm: Option<String>,
        /// What is to be done.
        operation: Operation,
    },
    /// Something about what is behind gateways.
    Targets(target::Operation),
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It was done, in this realm if it is about one.
    Done {
        realm: Option<String>,
        output: Value,
    },
    /// It was not, for this reason.
    Refused(String),
}

/// Where the socket of a program with this configuration is. None for a database in memory: nothing of it is kept, and
/// several such programs may share a folder.
pub(crate) fn place(plan: &Plan) -> Option<PathBuf> {
    let kept = plan.storage.url != StoreUrl::memory();
    kept.then(|| plan.loaded.data_directory().join("control.sock"))
}

/// Whether the system takes this path for a socket: it sets aside 108 bytes, or 104, with a zero at the end.
fn fits(path: &Path) -> bool {
    path.as_os_str().len() < 104
}
