//! What the demonstration prints: where everything is, and the commands to try it.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

/// Where everything is, once the ports are known. Written to the ready file as it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Places {
    /// The MCP endpoint of the gateway.
    pub(crate) mcp_endpoint: String,
    /// The issuer of the realm.
    pub(crate) issuer: String,
    /// The client metadata document, which is the `client_id`, too.
    pub(crate) client_metadata_document: String,
    /// Who can log in.
    pub(crate) username: &'static str,
    /// With which password.
    pub(crate) password: &'static str,
    /// The scope to ask for.
    pub(crate) scope: &'static str,
    /// The endpoint of the MCP server behind the gateway.
    pub(crate) mcp_server: String,
    /// The certificate of the local CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_certificate: Option<PathBuf>,
    /// The command for MCP Inspector.
    pub(crate) inspector_command: String,
    /// The command for the Python client.
    pub(crate) python_command: String,
    /// The command for `sekisho verify`.
    pub(crate) verify_command: String,
    /// What others can do to this machine, where it is not the only one that can call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dangers: Vec<String>,
}

/// Fills in the commands.
pub(crate) fn commands(mut places: Places) -> Places {
    let ca = places
        .ca_certificate
        .as_ref()
        .map(|path| shell_word(&path.to_string_lossy()));
    let with = |variable: &str| {
        ca.as_ref()
            .map(|path| format!("{variable}={path} "))
            .unwrap_or_default()
    };
    places.inspector_command = format!(
        "{}HOST=127.0.0.1 ALLOWED_ORIGINS=http://127.0.0.1:6274 npx -y @modelcontextprotocol/inspector@0.21.2",
        with("NODE_EXTRA_CA_CERTS"),
    );
    places.python_command = format!(
        "{}uv run examples/client.py {} --client-id {}",
        with("SSL_CERT_FILE"),
        places.mcp_endpoint,
        places.client_metadata_document,
    );
    let trust = ca.as_ref().map(|path| {
        format!(
            " --client-id {} --ca-file {path}",
            places.client_metadata_document
        )
    });
    places.verify_command = format!(
        "printf {} | {} verify {} --user {} --password-file -{}",
        places.password,
        shell_word(&started_as()),
        places.mcp_endpoint,
        places.username,
        trust.unwrap_or_default(),
    );
    places
}

/// The lines for the person who started it.
pub(crate) fn introduction(places: &Places) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{label:<26}{value}");
    };
    line("MCP endpoint", &places.mcp_endpoint);
    line("Issuer", &places.issuer);
    line("Client metadata document", &places.client_metadata_document);
    line(
        "Users",
        &format!("{} / {}, bob / bob", places.username, places.password),
    );
    if let Some(path) = &places.ca_certificate {
        line("CA certificate", &path.to_string_lossy());
    }
    if let Some(names) = names(places) {
        line(
            "If names don't resolve",
            &format!("add to /etc/hosts: 127.0.0.1 {names}"),
        );
    }
    for danger in &places.dangers {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<26}{danger}", "DANGER");
    }
    let _ = write!(
        text,
        "\nMCP Inspector\n  {}\n  then: Transport Type `Streamable HTTP`, URL `{}`,\n        Client ID `{}`, Scope `{}`\n\
         \nPython client\n  {}\n\
         \nAll checks\n  {}\n\
         \nCtrl-C ends it.\n",
        places.inspector_command,
        places.mcp_endpoint,
        places.client_metadata_document,
        places.scope,
        places.python_command,
        places.verify_command,
    );
    text
}

/// The program as it was started: who typed a path to it can type it again.
pub(crate) fn started_as() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "sekisho".to_owned())
}

/// The host names that others must be able to find, where there are any.
fn names(places: &Places) -> Option<String> {
    places.ca_certificate.as_ref()?;
    let urls = [
        &places.mcp_endpoint,
        &places.issuer,
        &places.client_metadata_document,
        &places.mcp_server,
    ];
    let hosts = urls
        .iter()
        .filter_map(|text| Some(url::Url::parse(text).ok()?.host_str()?.to_owned()));
    Some(hosts.collect::<Vec<_>>().join(" "))
}

/// A word for a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:+@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_spaces_are_quoted_for_the_shell() {
        assert_eq!(shell_word("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(
            shell_word("/home/alice/.local/share"),
            "/home/alice/.local/share"
        );
    }
}
