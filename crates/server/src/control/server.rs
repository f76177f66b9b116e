//! The side of the running program.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use model::clock::Clock;
use oauth::causes::with_causes;
use store::Store;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{Answer, LONGEST_REQUEST, Request, fits};
use crate::files;
use crate::operation::Cx;
use crate::readiness::Readiness;
use crate::wire::plan::Plan;

/// How long a request may take to come, and an answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests at the same time; further ones wait.
const AT_ONCE: usize = 8;

/// The socket while it is listened on. Dropped, its file goes.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// What operations are done with.
pub(crate) struct Desk {
    /// The configuration that runs now.
    pub(crate) plan: Arc<ArcSwap<Plan>>,
    /// Where people are kept.
    pub(crate) store: Store,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The gateways that are served now.
    pub(crate) readiness: Arc<Readiness>,
}

impl ControlSocket {
    /// Listens at `path`. What another program left behind is replaced; one that still listens is not.
    pub(crate) async fn bind(path: PathBuf) -> anyhow::Result<Self> {
        anyhow::ensure!(fits(&path), "the path is too long for a socket");
        if let Some(directory) = path.parent() {
            files::make_private_directory(directory)?;
        }
        let listener = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                anyhow::ensure!(
                    UnixStream::connect(&path).await.is_err(),
                    "another program listens there"
                );
                std::fs::remove_file(&path).context("what is left there can't be removed")?;
                UnixListener::bind(&path)?
            }
            bound => bound?,
        };
        // Who it is for is asked of each that connects; this keeps others from trying.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until `stop`, and then what is under way.
    pub(crate) async fn serve(self, desk: Desk, stop: CancellationToken) {
        let desk = Arc::new(desk);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let serving = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = %error, "the operators' socket takes no connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let desk = Arc::clone(&desk);
            serving.spawn(async move {
                let _place = place;
                if let Err(error) = converse(stream, &desk).await {
                    tracing::info!(error = %error, "an operator went away");
                }
            });
        }
        serving.close();
        serving.wait().await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a process of this user may ask: that of the program itself, and root.
fn is_admitted(user: u32, own: u32) -> bool {
    user == own || user == 0
}

async fn converse(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    let answer = if is_admitted(user, own) {
        let mut line = Vec::new();
        let (reading, _) = stream.split();
        let mut reading = BufReader::new(reading.take(LONGEST_REQUEST));
        let read = tokio::time::timeout(PATIENCE, reading.read_until(b'\n', &mut line));
        match read.await {
            // Somebody who only looks whether anybody is here.
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => answer(&line, user, desk).await,
            Ok(Err(error)) => return Err(error),
            Err(_) => Answer::Refused("the request did not come in time".to_owned()),
        }
    } else {
        tracing::warn!(
            user,
            "a process of another user was refused at the operators' socket"
        );
        Answer::Refused("only the user that the program runs as may ask, and root".to_owned())
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let writing = async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(PATIENCE, writing)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn answer(line: &[u8], user: u32, desk: &Desk) -> Answer {
    if !line.ends_with(b"\n") {
        return Answer::Refused(format!(
            "a request is one line of at most {LONGEST_REQUEST} bytes"
        ));
    }
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        // What was read may be a password: only where it went wrong is told.
        Err(error) => {
            return Answer::Refused(format!(
                "this is no request that the running program knows (column {}); hint: command and program are to be of one version",
                error.column()
            ));
        }
    };
    let (name, about) = match &request {
        Request::Realm { operation, .. } => (operation.name(), operation.about().to_owned()),
        Request::Targets(operation) => (operation.name(), operation.about().to_owned()),
    };
    let plan = desk.plan.load_full();
    let done = async {
        match request {
            Request::Realm { realm, operation } => {
                let cx = Cx::about(&plan, &desk.store, realm.as_deref(), desk.clock.now())?;
                let output = operation.perform(&cx).await?;
                Ok((Some(cx.realm.name.to_string()), output))
            }
            Request::Targets(operation) => {
                let gateways = desk.readiness.gateways();
                Ok((None, operation.perform(&gateways).await?))
            }
        }
    };
    match done.await {
        Ok((realm, output)) => {
            tracing::info!(
                operation = name,
                about,
                user,
                realm,
                "did what an operator asked for"
            );
            Answer::Done { realm, output }
        }
        Err(problem) => {
            let problem: crate::operation::Problem = problem;
            let reason = with_causes(&problem);
            tracing::info!(
                operation = name,
                about,
                user,
                reason,
                "refused what an operator asked for"
            );
            Answer::Refused(reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-76
    #[test]
    fn others_on_the_machine_may_not_ask() {
        assert!(is_admitted(1000, 1000) && is_admitted(0, 1000) && is_admitted(0, 0));
        assert!(!is_admitted(1001, 1000) && !is_admitted(1000, 0));
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = std::env::temp_dir().join(format!("sekisho-control-{}", std::process::id()));
        let path = folder.join("control.sock");
        let first = ControlSocket::bind(path.clone()).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = ControlSocket::bind(path.clone()).await.unwrap_err();
        assert!(second.to_string().contains("another program"), "{second}");
        // As after `kill -9`: the file stays, and nobody listens.
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let third = ControlSocket::bind(path.clone()).await.unwrap();
        drop(third);
        assert!(!path.exists());
        let long = folder.join("x".repeat(120));
        assert!(ControlSocket::bind(long).await.is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
