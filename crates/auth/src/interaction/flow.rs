//! The sealed cookie that carries an authorization from page to page: nothing of it is in the store.

use axum::response::Response;
use http::HeaderMap;
use model::id::Id;
use model::interaction::Interaction;

use crate::cx::Cx;
use crate::failure::Internal;
use crate::interaction::error_page::PageRefusal;

/// Followed by the id of the interaction.
const PREFIX: &str = "sekisho-flow-";
/// What browsers keep of a cookie is 4096 bytes, its name and attributes included.
const MAX_VALUE: usize = 3800;
/// Abandoned flows are dropped, oldest first, when a browser would send more than this.
const MAX_FLOWS: usize = 5;
/// As above, in bytes: servers bound the size of all headers together.
const MAX_TOTAL: usize = 8 * 1024;

/// Binds a sealed value to its use.
const PURPOSE: &str = "auth/interaction";

/// Why a flow is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// It does not fit into a cookie.
    #[error("the request is too long to be kept")]
    TooLong,
    /// Sealing failed.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Opens the flow with this id. What is not ours, not of this realm, or named otherwise, is lost.
pub(crate) fn open(cx: &Cx, headers: &HeaderMap, id: &str) -> Result<Interaction, PageRefusal> {
    let id: Id<Interaction> = id.parse().map_err(|_| PageRefusal::FlowLost)?;
    let value = cx
        .realm
        .cookies()
        .get(headers, &format!("{PREFIX}{id}"))
        .ok_or(PageRefusal::FlowLost)?;
    let plain = cx
        .app
        .store
        .sealer()
        .open_text(PURPOSE, value)
        .map_err(|_| PageRefusal::FlowLost)?;
    let interaction = Interaction::decode(plain.expose()).map_err(|_| PageRefusal::FlowLost)?;
    if interaction.id == id && interaction.realm == cx.realm.config.name {
        Ok(interaction)
    } else {
        Err(PageRefusal::FlowLost)
    }
}

/// Sets the cookie of a flow, and drops the oldest ones when there are too many.
pub(crate) fn keep(
    cx: &Cx,
    headers: &HeaderMap,
    response: &mut Response,
    interaction: &Interaction,
) -> Result<(), KeepError> {
    let value = cx
        .app
        .store
        .sealer()
        .seal_text(PURPOSE, &interaction.encode())
        .map_err(Internal::new)?;
    if value.len() > MAX_VALUE {
        return Err(KeepError::TooLong);
    }
    let cookies = cx.realm.cookies();
    let own = interaction.id.to_string();
    for id in superfluous(cookies.with_prefix(headers, PREFIX), &own, value.len()) {
        cookies.clear(response, &format!("{PREFIX}{id}"));
    }
    let lifetime = cx.realm.config.lifetimes.interaction.as_secs();
    cookies.set(
        response,
        &format!("{PREFIX}{own}"),
        &value,
        Some(i64::try_from(lifetime).unwrap_or(i64::MAX)),
    );
    Ok(())
}

/// Removes the cookie of a flow that has come to its end.
pub(crate) fn end(cx: &Cx, response: &mut Response, interaction: &Interaction) {
    cx.realm
        .cookies()
        .clear(response, &format!("{PREFIX}{}", interaction.id));
}

/// The flows that must go so that one more of this size fits. Their ids begin with their time.
fn superfluous<'a>(mut flows: Vec<(&'a str, &'a str)>, own: &str, size: usize) -> Vec<&'a str> {
    flows.retain(|(id, _)| {
        *id != own && id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    flows.sort_by(|(a, _), (b, _)| b.cmp(a));
    let (mut count, mut total) = (1, size);
    flows
        .into_iter()
        .filter_map(|(id, value)| {
            count += 1;
            total += value.len();
            (count > MAX_FLOWS || total > MAX_TOTAL).then_some(id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_flows_are_dropped_first() {
        let flows: Vec<(&str, &str)> = vec![
            ("C", "x"),
            ("A", "x"),
            ("E", "x"),
            ("B", "x"),
            ("D", "x"),
            ("own", "x"),
        ];
        assert_eq!(superfluous(flows, "own", 10), ["A"]);
        let big = "x".repeat(3000);
        let flows: Vec<(&str, &str)> = vec![("A", &big), ("B", &big), ("C", &big)];
        assert_eq!(superfluous(flows, "own", 1000), ["A"]);
        assert!(superfluous(vec![("bad id", "x")], "own", 1).is_empty());
    }
}
