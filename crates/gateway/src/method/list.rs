//! `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`: a page that was made beforehand, in the client's era.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Response, StatusCode};
use mcp::feature::Feature;
use mcp::jsonrpc;
use net::body::Body;
use oauth::causes::with_causes;
use targets::apart;
use targets::client::Client;
use targets::listing::List;

use crate::caller::Caller;
use crate::cx::Cx;
use crate::media::Accepted;
use crate::refusal::Refusal;
use crate::relay;

pub(crate) async fn handle(
    cx: &Cx,
    caller: &Caller,
    feature: Feature,
    request: &jsonrpc::Request<'_>,
    (client, accepted): (Client, Accepted),
) -> Result<Response<Body>, Refusal> {
    let cursor = match request.params.and_then(|params| params.get("cursor")) {
        None => None,
        Some(raw) if raw.is_null() => None,
        // None of ours is empty: it is how some clients say that they have none.
        Some(raw) => Some(raw.text().ok_or(Refusal::InvalidCursor)?).filter(|it| !it.is_empty()),
    };
    let catalog = cx.catalogs.of(feature);
    let snapshot = catalog.settled().await;
    let own;
    let page = if catalog.dynamic().next().is_none() {
        snapshot.page(cursor.as_deref())
    } else {
        drop(snapshot);
        let lists = dynamic(cx, caller, feature, &client).await;
        let size = catalog.bytes() + lists.values().map(|list| list.bytes).sum::<usize>();
        let (catalog, cursor) = (Arc::clone(catalog), cursor.map(Cow::into_owned));
        own = apart::run(size, move || catalog.page_with(lists, cursor.as_deref())).await;
        own.as_ref()
    };
    let page = page.ok_or(Refusal::InvalidCursor)?;
    let result = std::str::from_utf8(page.result(client.era)).unwrap_or("{}");
    let message = jsonrpc::response(request.id, result);
    let mut held = caller.usage(&cx.quotas).hold();
    held.grow(message.len()).map_err(Refusal::no_room)?;
    Ok(relay::counted_response(
        message,
        StatusCode::OK,
        accepted,
        held,
    ))
}

/// How long a caller waits for targets that are asked on its behalf: one that is down keeps nobody longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What targets list that do not offer the same to everybody. One that fails has nothing to offer.
async fn dynamic(
    cx: &Cx,
    caller: &Caller,
    feature: Feature,
    client: &Client,
) -> HashMap<Arc<str>, List> {
    let asking = cx.catalogs.of(feature).dynamic().map(|one| async move {
        let asked = one.target.list_for(feature, &caller.principal, client);
        let name = Arc::clone(one.target.name());
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(list)) => return Some((name, list)),
            Ok(Err(error)) => {
                let error = with_causes(&error);
                tracing::warn!(
                    gateway = %cx.name, target.name = %name, %error,
                    "can't list the {} of target `{name}` for a caller", feature.word(),
                );
            }
            Err(_) => tracing::warn!(
                gateway = %cx.name, target.name = %name,
                "target `{name}` does not list its {} in time", feature.word(),
            ),
        }
        None
    });
    join_all(asking).await.into_iter().flatten().collect()
}
