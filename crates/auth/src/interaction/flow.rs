//! The sealed cookie that carries an authorization from page to page: nothing of it is in the store.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::response::Response;
use http::HeaderMap;
use model::id::Id;
use model::interaction::Interaction;

use crate::cx::Cx;
use crate::failure::Internal;
use crate::interaction::error_page::PageRefusal;

/// Followed by the id of the interaction.
const PREFIX: &str = "sekisho-flow-";
/// Follows the id in the name of the cookie that holds the rest of a long flow.
const REST: &str = "-rest";
/// What browsers keep of a cookie is 4096 bytes, its name and attributes included. A flow with a long `state` takes two.
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
    let cookies = cx.realm.cookies();
    let first = cookies
        .get(headers, &format!("{PREFIX}{id}"))
        .ok_or(PageRefusal::FlowLost)?;
    let rest = cookies.get(headers, &format!("{PREFIX}{id}{REST}"));
    let value = match rest {
        None => Cow::Borrowed(first),
        Some(rest) => Cow::Owned(format!("{first}{rest}")),
    };
    let plain = cx
        .app
        .store
        .sealer()
        .open_text(PURPOSE, &value)
        .map_err(|_| PageRefusal::FlowLost)?;
    let interaction = Interaction::decode(plain.expose()).map_err(|_| PageRefusal::FlowLost)?;
    if interaction.id == id && interaction.terms.realm == cx.realm.config.name {
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
    let (first, rest) = value
        .split_at_checked(MAX_VALUE)
        .unwrap_or((value.as_str(), ""));
    if rest.len() > MAX_VALUE {
        return Err(KeepError::TooLong);
    }
    let cookies = cx.realm.cookies();
    let own = interaction.id.to_string();
    for id in superfluous(cookies.with_prefix(headers, PREFIX), &own, value.len()) {
        for name in [format!("{PREFIX}{id}"), format!("{PREFIX}{id}{REST}")] {
            if cookies.get(headers, &name).is_some() {
                cookies.clear(response, &name);
            }
        }
    }
    let lifetime = cx.realm.config.lifetimes.interaction.as_secs();
    let lifetime = Some(i64::try_from(lifetime).unwrap_or(i64::MAX));
    cookies.set(response, &format!("{PREFIX}{own}"), first, lifetime);
    let rest_name = format!("{PREFIX}{own}{REST}");
    if !rest.is_empty() {
        cookies.set(response, &rest_name, rest, lifetime);
    } else if cookies.get(headers, &rest_name).is_some() {
        cookies.clear(response, &rest_name);
    }
    Ok(())
}

/// Removes the cookies of a flow that has come to its end.
pub(crate) fn end(cx: &Cx, response: &mut Response, interaction: &Interaction) {
    let cookies = cx.realm.cookies();
    let name = format!("{PREFIX}{}", interaction.id);
    cookies.clear(response, &name);
    // Sealed and in base64 it was longer by more than a third.
    if interaction.encode().len() > MAX_VALUE / 2 {
        cookies.clear(response, &format!("{name}{REST}"));
    }
}

/// The flows that must go so that one more of this size fits. Their ids begin with their time.
fn superfluous<'a>(cookies: Vec<(&'a str, &'a str)>, own: &str, size: usize) -> Vec<&'a str> {
    let mut flows: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, value) in cookies {
        let id = name.strip_suffix(REST).unwrap_or(name);
        let is_id = id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_id && id != own {
            *flows.entry(id).or_default() += value.len();
        }
    }
    let (mut count, mut total) = (1, size);
    flows
        .into_iter()
        .rev()
        .filter_map(|(id, size)| {
            count += 1;
            total += size;
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
        let long = vec![
            ("A", "x"),
            ("B", &*big),
            ("B-rest", &*big),
            ("own-rest", &*big),
        ];
        assert_eq!(superfluous(long, "own", 3000), ["B", "A"]);
        assert!(superfluous(vec![("bad id", "x")], "own", 1).is_empty());
    }
}
