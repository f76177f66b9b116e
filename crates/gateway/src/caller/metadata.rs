//! Protected resource metadata: where a client gets a token for this gateway (RS-1, RS-2, RS-5).

use http::{HeaderValue, Method, Response, StatusCode, header};
use net::body::Body;
use oauth::metadata::resource::ResourceMetadata;

use crate::cors;
use crate::cx::Cx;

/// The document, at both of its URLs.
pub(crate) async fn answer(cx: &Cx, method: &Method, headers: &http::HeaderMap) -> Response<Body> {
    let mut response = if cors::is_preflight(method, headers) {
        cors::preflight(headers)
    } else if matches!(*method, Method::GET | Method::HEAD) {
        document(cx).await
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

async fn document(cx: &Cx) -> Response<Body> {
    let keys = cx.identification.keys();
    let (issuer, cache) = match keys.issuer().await {
        Ok(issuer) => (issuer.into_string(), "max-age=300"),
        Err(error) => {
            tracing::warn!(
                gateway = %cx.name,
                error = &error as &dyn std::error::Error,
                "the issuer's discovery document can't be had; its name is presumed from the URL"
            );
            (keys.expected_issuer().into(), "no-store")
        }
    };
    let metadata = ResourceMetadata {
        resource: cx.resource.clone(),
        authorization_servers: vec![issuer],
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
