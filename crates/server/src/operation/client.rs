//! Hosts of client metadata documents: which were asked for, and who decides about them.

use store::approval::{self, Approval, Verdict};

use crate::config::scalar::HostPattern;
use crate::operation::{Cx, Problem};

/// All that were asked for or decided about.
pub(crate) async fn list(cx: &Cx<'_>) -> Result<Vec<Approval>, Problem> {
    Ok(approval::list(cx.store, &cx.realm.name).await?)
}

/// Lets clients of a host come, or not. The host as it is compared.
pub(crate) async fn decide(cx: &Cx<'_>, host: &str, approved: bool) -> Result<String, Problem> {
    let host = HostPattern::parse(host)
        .ok()
        .filter(|host| !host.0.starts_with("*."))
        .ok_or_else(|| Problem::NoHost(host.to_owned()))?;
    let verdict = if approved {
        Verdict::Approved
    } else {
        Verdict::Denied
    };
    approval::decide(cx.store, &cx.realm.name, &host.0, verdict, cx.now).await?;
    Ok(host.0)
}
