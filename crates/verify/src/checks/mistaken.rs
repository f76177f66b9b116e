//! What was likely meant, when the URL that was given leads to nothing that speaks MCP.

use http::StatusCode;
use url::Url;

use crate::checks::said::{challenges, initialize, is_json_rpc};
use crate::session::Session;
use crate::web::{Answer, NoAnswer};

/// Asks the likely neighbors of the URL, and says what to try instead.
pub(super) async fn instead(session: &Session, asked: &Result<Answer, NoAnswer>) -> Option<String> {
    let url = &session.options.url;
    match asked {
        Err(error) if error.is_untrusted_certificate() => Some(
            "nothing here vouches for the certificate; name the authority that issued it with --ca-file"
                .to_owned(),
        ),
        Err(_) => other_scheme(session, url).await,
        Ok(answer) if answer.status.is_redirection() => {
            let location = url.join(answer.header("location")?).ok()?;
            Some(format!("did you mean {location}? clients do not follow redirects with tokens"))
        }
        Ok(answer) if answer.status == StatusCode::BAD_REQUEST && url.scheme() == "http" => {
            other_scheme(session, url).await
        }
        Ok(_) => below(session, url).await,
    }
}

/// The same place by the other of `http` and `https`.
async fn other_scheme(session: &Session, url: &Url) -> Option<String> {
    let scheme = if url.scheme() == "http" {
        "https"
    } else {
        "http"
    };
    let mut other = url.clone();
    let port = url.port();
    other.set_scheme(scheme).ok()?;
    other.set_port(port).ok()?;
    match speaks(session, &other).await {
        Speaks::Mcp | Speaks::Http => Some(format!("did you mean {other}?")),
        Speaks::Untrusted => Some(format!(
            "did you mean {other}? its certificate is not trusted here: name the authority that issued it with --ca-file"
        )),
        Speaks::Nothing => None,
    }
}

/// The usual name of an MCP endpoint below the URL.
async fn below(session: &Session, url: &Url) -> Option<String> {
    if url.path().trim_end_matches('/').ends_with("/mcp") {
        return None;
    }
    let mut other = url.clone();
    other.set_path(&format!("{}/mcp", url.path().trim_end_matches('/')));
    matches!(speaks(session, &other).await, Speaks::Mcp).then(|| format!("did you mean {other}?"))
}

enum Speaks {
    /// An MCP endpoint, with or without a challenge.
    Mcp,
    /// Something else over HTTP.
    Http,
    /// TLS, with a certificate that is not trusted here.
    Untrusted,
    Nothing,
}

async fn speaks(session: &Session, url: &Url) -> Speaks {
    match session
        .mcp_at(url, "(was this meant?)", None, &initialize(), &[])
        .await
    {
        Ok(answer)
            if is_json_rpc(&answer)
                || challenges(&answer).is_ok_and(|all| all.iter().any(|one| one.is("Bearer"))) =>
        {
            Speaks::Mcp
        }
        Ok(_) => Speaks::Http,
        Err(error) if error.is_untrusted_certificate() => Speaks::Untrusted,
        Err(_) => Speaks::Nothing,
    }
}
