//! What a reload can't change, because it is bound to sockets or to the database.

use crate::config::{Invalid, Loaded};

/// Refuses a configuration that differs from the running one in what a reload can't change.
pub(crate) fn check(running: &Loaded, new: &Loaded) -> Result<(), Invalid> {
    let mut problems = new.problems();
    let hint = || "restart the program to change it".to_owned();
    let mut differs = |path: String, what: &str| {
        problems.note(path, format!("{what} can't be changed by a reload"), hint());
    };
    let (before, after) = (&running.config, &new.config);
    if before.listeners.len() != after.listeners.len() {
        differs("listeners".to_owned(), "the number of listeners");
    }
    for (index, (before, after)) in before.listeners.iter().zip(&after.listeners).enumerate() {
        let path = format!("listeners[{index}]");
        if before.name != after.name {
            differs(format!("{path}.name"), "the name of a listener");
        }
        if before.address != after.address {
            differs(format!("{path}.address"), "the address of a listener");
        }
        if before
            .tls
            .as_ref()
            .map(|tls| (tls.local_ca, &tls.client_ca_file))
            != after
                .tls
                .as_ref()
                .map(|tls| (tls.local_ca, &tls.client_ca_file))
        {
            differs(
                format!("{path}.tls"),
                "whether a listener speaks TLS, and whom it asks for certificates,",
            );
        }
        if (&before.trusted_proxies, before.forwarded_by)
            != (&after.trusted_proxies, after.forwarded_by)
        {
            differs(
                format!("{path}.trusted_proxies"),
                "which proxies are trusted",
            );
        }
    }
    if before.management.address != after.management.address {
        differs(
            "management.address".to_owned(),
            "the address of the management listener",
        );
    }
    if before.management.hosts != after.management.hosts {
        differs(
            "management.hosts".to_owned(),
            "the names of the management listener",
        );
    }
    if before.connections != after.connections {
        differs("connections".to_owned(), "the bounds of connections");
    }
    if before.shutdown.drain != after.shutdown.drain {
        differs(
            "shutdown.drain".to_owned(),
            "how long requests may take at the end",
        );
    }
    if before.worker_threads != after.worker_threads {
        differs("worker_threads".to_owned(), "the number of threads");
    }
    let demo = |config: &crate::config::Config| {
        config
            .demo_mcp_server
            .as_ref()
            .and_then(|demo| demo.address.clone())
    };
    if demo(before) != demo(after) {
        differs(
            "demo_mcp_server.address".to_owned(),
            "the address of the demo MCP server",
        );
    }
    if running.data_directory() != new.data_directory() {
        differs("data_directory".to_owned(), "the data directory");
    }
    if before.store != after.store {
        differs("store".to_owned(), "the database");
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Invalid {
            problems: problems.into_sorted(),
        })
    }
}
