//! `GET` of the issuer itself: a person who opens it learns what it is, a developer where to look.

use axum::response::Response;
use http::StatusCode;

use crate::cx::Cx;
use crate::headers::FormAction;
use crate::pages::{self, AboutPage, Fact};

/// `GET /`
pub(crate) async fn get_about(cx: Cx) -> Response {
    let issuer = &cx.realm.config.issuer;
    let page = AboutPage {
        frame: cx.frame(),
        issuer: issuer.to_string(),
        links: vec![
            Fact {
                name: "RFC 8414",
                value: issuer.join("/.well-known/oauth-authorization-server"),
            },
            Fact {
                name: "OpenID",
                value: issuer.join("/.well-known/openid-configuration"),
            },
            Fact {
                name: "keys",
                value: issuer.join("/jwks"),
            },
        ],
    };
    pages::html(StatusCode::OK, &page, &FormAction::None)
}
