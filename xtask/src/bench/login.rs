//! Logging in at a realm, as a browser would: an authorization request, the page, and its form.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use super::form::{between, filled};
use super::http::{Answer, Connection, request};

/// How to log in.
pub(crate) struct Login {
    pub(crate) address: SocketAddr,
    pub(crate) username: String,
    pub(crate) password: String,
    host: String,
    origin: String,
    /// The path of an authorization request.
    authorize: String,
}

/// A page that asks who somebody is.
pub(crate) struct Form<'a> {
    login: &'a Login,
    cookie: String,
    page: String,
    action: String,
}

impl Login {
    /// By what a ready file of the demonstration says.
    pub(crate) fn at(places: &serde_json::Value) -> Result<Self> {
        let place = |name: &str| -> Result<String> {
            let place = places.get(name).and_then(serde_json::Value::as_str);
            Ok(place
                .with_context(|| format!("no `{name}` in the ready file"))?
                .to_owned())
        };
        let issuer = place("issuer")?;
        let host = between(&issuer, "http://", "/").context("no host in the issuer")?;
        let path = issuer.split_once(host).context("no path in the issuer")?.1;
        let query = oauth::form::encode([
            ("response_type", "code"),
            ("client_id", place("client_metadata_document")?.as_str()),
            ("redirect_uri", "http://localhost:6274/oauth/callback"),
            ("scope", place("scope")?.as_str()),
            ("state", "s"),
            // The example of RFC 7636 appendix B.
            (
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            ),
            ("code_challenge_method", "S256"),
        ]);
        Ok(Self {
            address: host.parse()?,
            username: place("username")?,
            password: place("password")?,
            host: host.to_owned(),
            origin: format!("http://{host}"),
            authorize: format!("{path}/authorize?{query}"),
        })
    }

    /// Asks for a code and is asked back.
    pub(crate) fn begin(&self, connection: &mut Connection) -> Result<Form<'_>> {
        let begun = self.get(connection, &self.authorize, "")?;
        let cookie = begun.header("set-cookie").context("no cookie")?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let location = begun.header("location").context("no redirect")?;
        let path = location.strip_prefix(&self.origin).unwrap_or(location);
        let page = self.get(connection, path, &cookie)?;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let action = between(&page, "action=\"", "\"").context("no form")?;
        Ok(Form {
            login: self,
            action: action.to_owned(),
            cookie,
            page,
        })
    }

    fn get(&self, connection: &mut Connection, path: &str, cookie: &str) -> Result<Answer> {
        let headers = [("Cookie", cookie)];
        connection.round_trip(&request("GET", path, &self.host, &headers, ""))
    }
}

impl Form<'_> {
    /// Fills it in and sends it; it can be sent again.
    pub(crate) fn send(
        &self,
        connection: &mut Connection,
        username: &str,
        password: &str,
    ) -> Result<Answer> {
        let headers = [
            ("Cookie", self.cookie.as_str()),
            ("Origin", self.login.origin.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let body = filled(&self.page, username, password)?;
        connection.round_trip(&request(
            "POST",
            &self.action,
            &self.login.host,
            &headers,
            &body,
        ))
    }
}
