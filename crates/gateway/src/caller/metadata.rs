//! Protected resource metadata: where a client gets a token for this gateway (RS-1, RS-2, RS-5).

use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};
use net::body::Body;
use oauth::metadata::resource::ResourceMetadata;
use tokio::time::{Instant, timeout_at};

use crate::cors;
use crate::cx::Cx;
use crate::spelling::Spelling;

/// How long the document waits for issuers that have not said yet how they spell their names.
const PATIENCE: Duration = Duration::from_secs(1);

/// The document, at all of its URLs.
pub(crate) async fn answer(
    cx: &Cx,
    spelling: &Spelling,
    method: &Method,
    headers: &http::HeaderMap,
) -> Response<Body> {
    let mut response = if cors::is_preflight(method, headers) {
        cors::preflight(headers)
    } else if matches!(*method, Method::GET | Method::HEAD) {
        document(cx, spelling).await
    } else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(
            header::ALLOW,
            HeaderValue::from_static("GET, HEAD, OPTIONS"),
        );
        response
    };
    cors::admit_everybody(response.headers_mut());
    response
}

async fn document(cx: &Cx, spelling: &Spelling) -> Response<Body> {
    let (mut issuers, mut cache) = (Vec::new(), "max-age=300");
    let deadline = Instant::now() + PATIENCE;
    for issuer in cx.identification.issuers() {
        if let Ok(Ok(spelled)) = timeout_at(deadline, issuer.spelled()).await {
            issuers.push(spelled.into_string());
        } else {
            // Why not is in the log already. The name is presumed from the URL of the document.
            issuers.push(issuer.name().to_owned());
            cache = "no-store";
        }
    }
    let metadata = ResourceMetadata {
        resource: spelling.resource.clone(),
        authorization_servers: issuers,
        scopes_supported: cx.scopes.clone(),
        bearer_methods_supported: vec!["header".to_owned()],
        resource_name: Some(cx.name.to_string()),
        ..ResourceMetadata::default()
    };
    let body = serde_json::to_vec(&metadata).unwrap_or_default();
    let mut response = Response::new(Body::full(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
