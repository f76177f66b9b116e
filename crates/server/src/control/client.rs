//! The side of a command: asks the running program if there is one, and does it itself if not.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use model::clock::{Clock as _, SystemClock};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::control::{Answer, LONGEST_ANSWER, Request, fits, place};
use crate::files;
use crate::operation::Cx;
use crate::operation::asked::Operation;
use crate::operation::target;
use crate::wire::database::{self, Begin};
use crate::wire::plan::Plan;

/// Who does what is asked for.
pub(crate) struct Control<'a> {
    realm: Option<&'a str>,
    way: Way<'a>,
}

enum Way<'a> {
    /// The running program, at its socket.
    Running(PathBuf),
    /// This process, with the database.
    Itself { plan: &'a Plan, store: Store },
}

/// What came of an operation.
pub(crate) struct Done<T> {
    /// The realm it was done in.
    pub(crate) realm: String,
    /// What it said.
    pub(crate) output: T,
}

impl<'a> Control<'a> {
    /// Looks for a running program, and opens the database if there is none.
    pub(crate) async fn reach(
        plan: &'a Plan,
        realm: Option<&'a str>,
        begin: Begin,
    ) -> anyhow::Result<Self> {
        let way = if let Some(path) = running(plan).await? {
            Way::Running(path)
        } else {
            let (store, _) = database::open(&plan.storage, begin).await?;
            Way::Itself { plan, store }
        };
        Ok(Self { realm, way })
    }

    /// Has an operation done. `T` is what [`Operation`] says of its variant.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        operation: Operation,
    ) -> anyhow::Result<Done<T>> {
        let (realm, output) = match &self.way {
            Way::Running(path) => {
                let request = Request::Realm {
                    realm: self.realm.map(str::to_owned),
                    operation,
                };
                let (realm, output) = ask_running(path, &request).await?;
                (realm.unwrap_or_default(), output)
            }
            Way::Itself { plan, store } => {
                let cx = Cx::about(plan, store, self.realm, SystemClock.now())?;
                let output = operation.perform(&cx).await?;
                (cx.realm.name.to_string(), output)
            }
        };
        let output = serde_json::from_value(output).context("the answer can't be read")?;
        Ok(Done { realm, output })
    }

    /// Closes the database, if it was opened.
    pub(crate) async fn close(self) {
        if let Way::Itself { store, .. } = self.way {
            store.close().await;
        }
    }
}

/// Has the running program do something about targets, of which it alone knows.
pub(crate) async fn about_targets<T: DeserializeOwned>(
    plan: &Plan,
    operation: target::Operation,
) -> anyhow::Result<T> {
    let Some(path) = running(plan).await? else {
        bail!(
            "no program with an operators' socket runs this configuration; hint: `sekisho serve`, with a database that is not in memory"
        );
    };
    let (_, output) = ask_running(&path, &Request::Targets(operation)).await?;
    serde_json::from_value(output).context("the answer can't be read")
}

/// What came of it, and in which realm.
async fn ask_running(path: &Path, request: &Request) -> anyhow::Result<(Option<String>, Value)> {
    match exchange(path, request).await {
        Ok(Answer::Done { realm, output }) => Ok((realm, output)),
        Ok(Answer::Refused(reason)) => bail!(reason),
        Err(error) => Err(error)
            .with_context(|| format!("the running program did not answer at `{}`", path.display())),
    }
}

/// The socket of a program that runs this configuration, if somebody listens there.
async fn running(plan: &Plan) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = place(plan).filter(|path| fits(path)) else {
        return Ok(None);
    };
    match UnixStream::connect(&path).await {
        Ok(_) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
            "`{}`: {}; hint: say it as the user that the program runs as",
            path.display(),
            files::reason(&error)
        ),
        // There is none, or it has ended.
        Err(_) => Ok(None),
    }
}

async fn exchange(path: &Path, request: &Request) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    // Who is refused may be told before all was sent.
    let sent = stream.write_all(&line).await;
    let mut answer = Vec::new();
    let read = stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await;
    if answer.is_empty() {
        sent?;
        read?;
    }
    serde_json::from_slice(&answer).context("the answer can't be read")
}
