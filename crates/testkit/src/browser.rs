//! A tiny browser for tests: cookies, redirects, and the forms found in HTML; over a site or over real HTTP.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use net::body::Body;
use net::edge::{Peer, Site};
use net::egress::client::{Client, Limits};
use url::Url;

/// How many redirects are followed before the browser gives up.
const MAX_REDIRECTS: usize = 20;

/// Bounds of one request over real HTTP.
const LIMITS: Limits = Limits {
    deadline: Duration::from_secs(20),
    max_bytes: 8 * 1024 * 1024,
};

/// How requests travel.
#[derive(Clone)]
enum Transport {
    Site(Arc<dyn Site>),
    Http(Client),
}

/// One person with one browser: clones share nothing.
#[derive(Clone)]
pub struct Browser {
    transport: Transport,
    peer: Peer,
    cookies: Vec<Cookie>,
    always: HeaderMap,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser")
            .field("cookies", &self.cookies)
            .finish_non_exhaustive()
    }
}

/// A cookie as a browser keeps it (RFC 6265bis).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that set it.
    pub host: String,
    /// The path below which it is sent.
    pub path: String,
    /// Whether it travels over https only.
    pub secure: bool,
    /// The attributes as they were sent, lower-cased names.
    pub attributes: BTreeMap<String, String>,
}

impl Browser {
    /// A browser whose every request goes to this site, whatever the host.
    pub fn over_site(site: Arc<dyn Site>) -> Self {
        Self::with(Transport::Site(site))
    }

    /// A browser that speaks HTTP through this client.
    pub fn over_http(client: Client) -> Self {
        Self::with(Transport::Http(client))
    }

    fn with(transport: Transport) -> Self {
        let peer = Peer {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            listener: Arc::from("test"),
            arrival: net::edge::Arrival::Direct,
            tls: false,
            client_certificate: false,
        };
        Self {
            transport,
            peer,
            cookies: Vec::new(),
            always: HeaderMap::new(),
        }
    }

    /// The same browser at another address (over a site only).
    #[must_use]
    pub fn at(mut self, address: IpAddr) -> Self {
        self.peer.address = address;
        self
    }

    /// The same browser, sending this header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.always.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Where its requests come from (over a site only).
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The cookies it holds.
    pub fn cookies(&self) -> &[Cookie] {
        &self.cookies
    }

    /// Forgets all cookies.
    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Puts a cookie in, as if it had been set before.
    pub fn put_cookie(&mut self, cookie: Cookie) {
        self.cookies.retain(|other| {
            (&other.name, &other.host, &other.path) != (&cookie.name, &cookie.host, &cookie.path)
        });
        self.cookies.push(cookie);
    }

    /// Opens a URL as if it had been typed, and follows redirects within its origin.
    pub async fn open(&mut self, url: &str) -> anyhow::Result<Page> {
        let page = self.get(url).await?;
        self.follow(page).await
    }

    /// One GET, no redirects.
    pub async fn get(&mut self, url: &str) -> anyhow::Result<Page> {
        let request = Request::get(url)
            .header("sec-fetch-site", "none")
            .body(Bytes::new())?;
        self.send(request).await
    }

    /// Submits the first form of a page: its hidden fields, `fill` over them, and the button whose value is `button`.
    /// Follows redirects within the origin.
    pub async fn submit(
        &mut self,
        page: &Page,
        fill: &[(&str, &str)],
        button: &str,
    ) -> anyhow::Result<Page> {
        let answer = self.submit_once(page, fill, button).await?;
        self.follow(answer).await
    }

    /// Like [`Self::submit`], but gives the very answer to the form.
    pub async fn submit_once(
        &mut self,
        page: &Page,
        fill: &[(&str, &str)],
        button: &str,
    ) -> anyhow::Result<Page> {
        let form = page
            .forms()
            .into_iter()
            .next()
            .with_context(|| format!("no form on {}: {}", page.url, page.text()))?;
        let mut fields: Vec<(String, String)> = form
            .fields
            .iter()
            .map(|field| (field.name.clone(), field.value.clone()))
            .collect();
        for (name, value) in fill {
            match fields.iter_mut().find(|(existing, _)| existing == name) {
                Some((_, existing)) => (*value).clone_into(existing),
                None => bail!("no field `{name}` on {}", page.url),
            }
        }
        let pressed = form
            .buttons
            .iter()
            .find(|candidate| candidate.value == button)
            .with_context(|| format!("no button `{button}` on {}", page.url))?;
        fields.push((pressed.name.clone(), pressed.value.clone()));
        let action = page.url.join(&form.action)?;
        let pairs: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post_form(action.as_str(), &pairs).await
    }

    /// One POST of a form from the same origin, no redirects.
    pub async fn post_form(&mut self, url: &str, fields: &[(&str, &str)]) -> anyhow::Result<Page> {
        let origin = Url::parse(url)?.origin().ascii_serialization();
        self.post_form_from(url, fields, &origin, "same-origin")
            .await
    }

    /// One POST of a form that a page of another origin holds.
    pub async fn post_form_from(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
        origin: &str,
        site: &str,
    ) -> anyhow::Result<Page> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, origin)
            .header("sec-fetch-site", site)
            .body(Bytes::from(body))?;
        self.send(request).await
    }

    /// Follows redirects while they stay at the page's origin; a redirect elsewhere is the result.
    pub async fn follow(&mut self, mut page: Page) -> anyhow::Result<Page> {
        for _ in 0..MAX_REDIRECTS {
            let Some(next) = page.redirect() else {
                return Ok(page);
            };
            if next.origin() != page.url.origin() {
                return Ok(page);
            }
            let request = Request::get(next.as_str())
                .header("sec-fetch-site", "same-origin")
                .body(Bytes::new())?;
            page = self.send(request).await?;
        }
        bail!("too many redirects, the last one from {}", page.url)
    }

    /// Sends any request, with the browser's cookies, and keeps the cookies of the answer.
    pub async fn send(&mut self, request: Request<Bytes>) -> anyhow::Result<Page> {
        let (mut parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())?;
        for (name, value) in &self.always {
            parts.headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(cookies) = self.cookie_header(&url) {
            parts
                .headers
                .insert(header::COOKIE, HeaderValue::try_from(cookies)?);
        }
        let page = match self.transport.clone() {
            Transport::Site(site) => {
                let authority = host_and_port(&url)?;
                parts
                    .headers
                    .entry(header::HOST)
                    .or_insert(HeaderValue::try_from(authority)?);
                if parts.method != Method::GET {
                    parts
                        .headers
                        .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
                }
                let target = match url.query() {
                    Some(query) => format!("{}?{query}", url.path()),
                    None => url.path().to_owned(),
                };
                parts.uri = target.parse()?;
                let peer = Peer {
                    tls: url.scheme() == "https",
                    ..self.peer.clone()
                };
                let response = site
                    .call(Request::from_parts(parts, Body::full(body)), &peer)
                    .await;
                let (parts, body) = response.into_parts();
                let body = match body.collect().await {
                    Ok(collected) => collected.to_bytes(),
                    Err(error) => bail!("body of {url} broke off: {error}"),
                };
                Page {
                    url,
                    status: parts.status,
                    headers: parts.headers,
                    body,
                }
            }
            Transport::Http(client) => {
                let fetched = client
                    .fetch(&url, Request::from_parts(parts, body), LIMITS)
                    .await?;
                Page {
                    url,
                    status: fetched.status,
                    headers: fetched.headers,
                    body: fetched.body,
                }
            }
        };
        self.keep_cookies(&page);
        Ok(page)
    }

    fn cookie_header(&self, url: &Url) -> Option<String> {
        let sent: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| {
                Some(cookie.host.as_str()) == url.host_str()
                    && (!cookie.secure || url.scheme() == "https")
                    && path_matches(&cookie.path, url.path())
            })
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!sent.is_empty()).then(|| sent.join("; "))
    }

    fn keep_cookies(&mut self, page: &Page) {
        for value in page.headers.get_all(header::SET_COOKIE) {
            let Some(cookie) = value
                .to_str()
                .ok()
                .and_then(|text| parse_cookie(text, &page.url))
            else {
                continue;
            };
            self.cookies.retain(|other| {
                (&other.name, &other.host, &other.path)
                    != (&cookie.name, &cookie.host, &cookie.path)
            });
            if cookie.attributes.get("max-age").map(String::as_str) != Some("0") {
                self.cookies.push(cookie);
            }
        }
    }
}

fn host_and_port(url: &Url) -> anyhow::Result<String> {
    let host = url.host_str().context("URL has no host")?;
    Ok(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// RFC 6265 §5.1.4.
fn path_matches(cookie: &str, request: &str) -> bool {
    request == cookie
        || request
            .strip_prefix(cookie)
            .is_some_and(|rest| cookie.ends_with('/') || rest.starts_with('/'))
}

/// Reads a `Set-Cookie`; a cookie that breaks the rules of its prefix is dropped, as browsers do.
fn parse_cookie(text: &str, url: &Url) -> Option<Cookie> {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let attributes: BTreeMap<String, String> = parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.to_ascii_lowercase(), value.to_owned())
        })
        .collect();
    let secure = attributes.contains_key("secure");
    let path = attributes
        .get("path")
        .cloned()
        .unwrap_or_else(|| "/".to_owned());
    let allowed = if name.starts_with("__Host-") {
        secure && path == "/" && !attributes.contains_key("domain") && url.scheme() == "https"
    } else {
        !secure || url.scheme() == "https"
    };
    allowed.then(|| Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        host: url.host_str().unwrap_or_default().to_owned(),
        path,
        secure,
        attributes,
    })
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Page {
    /// What was asked for.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A form on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtmlForm {
    /// Where it is sent, as written.
    pub action: String,
    /// `get` or `post`.
    pub method: String,
    /// Its inputs, hidden ones too.
    pub fields: Vec<Control>,
    /// Its buttons.
    pub buttons: Vec<Control>,
}

/// A named control of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its type.
    pub kind: String,
}

impl Page {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }

    /// A header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where the answer redirects to.
    pub fn redirect(&self) -> Option<Url> {
        if !self.status.is_redirection() {
            return None;
        }
        self.url.join(self.header("location")?).ok()
    }

    /// A parameter of the redirect's query; `None` when it is not there exactly once.
    pub fn redirect_parameter(&self, name: &str) -> Option<String> {
        let target = self.redirect()?;
        let mut values = target
            .query_pairs()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned());
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The title of an HTML page.
    pub fn title(&self) -> Option<String> {
        let text = self.text();
        let start = text.find("<title>")? + "<title>".len();
        let rest = text.get(start..)?;
        Some(unescape(rest.get(..rest.find("</title>")?)?))
    }

    /// The forms of an HTML page, in order.
    pub fn forms(&self) -> Vec<HtmlForm> {
        let text = self.text();
        let mut forms: Vec<HtmlForm> = Vec::new();
        let mut inside = false;
        for piece in text.split('<').skip(1) {
            let Some((tag, _)) = piece.split_once('>') else {
                continue;
            };
            let name = tag.split_whitespace().next().unwrap_or_default();
            match name {
                "form" => {
                    inside = true;
                    forms.push(HtmlForm {
                        action: attribute(tag, "action").unwrap_or_default(),
                        method: attribute(tag, "method").unwrap_or_else(|| "get".to_owned()),
                        ..HtmlForm::default()
                    });
                }
                "/form" => inside = false,
                "input" | "button" if inside => {
                    let control = Control {
                        name: attribute(tag, "name").unwrap_or_default(),
                        value: attribute(tag, "value").unwrap_or_default(),
                        kind: attribute(tag, "type").unwrap_or_default(),
                    };
                    if let Some(form) = forms.last_mut() {
                        if name == "input" {
                            form.fields.push(control);
                        } else {
                            form.buttons.push(control);
                        }
                    }
                }
                _ => {}
            }
        }
        forms
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let marker = format!(" {name}=\"");
    let start = tag.find(&marker)? + marker.len();
    let rest = tag.get(start..)?;
    Some(unescape(rest.get(..rest.find('"')?)?))
}

/// Undoes the escapes that template engines make.
fn unescape(text: &str) -> String {
    text.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: &'static str) -> Page {
        Page {
            url: Url::parse("https://a.example/login?x=1").unwrap(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn forms_are_found_with_their_fields_and_buttons() {
        let page = page(
            "<title>A &amp; B</title><form method=\"post\" action=\"/l\"><input type=\"hidden\" name=\"c\" value=\"&#34;x&#34;\">\
             <button type=\"submit\" name=\"decision\" value=\"allow\" class=\"primary\">Allow</button></form>",
        );
        assert_eq!(page.title().unwrap(), "A & B");
        let form = page.forms().remove(0);
        assert_eq!((form.action.as_str(), form.method.as_str()), ("/l", "post"));
        assert_eq!(form.fields[0].value, "\"x\"");
        assert_eq!(form.buttons[0].value, "allow");
    }

    #[test]
    fn a_cookie_that_breaks_the_rules_of_its_prefix_is_dropped() {
        let https = Url::parse("https://a.example/x").unwrap();
        let http = Url::parse("http://a.example/x").unwrap();
        assert!(parse_cookie("__Host-a=b; Path=/; Secure; HttpOnly", &https).is_some());
        assert!(parse_cookie("__Host-a=b; Path=/x; Secure", &https).is_none());
        assert!(parse_cookie("__Host-a=b; Path=/", &https).is_none());
        assert!(parse_cookie("__Host-a=b; Path=/; Secure; Domain=a.example", &https).is_none());
        assert!(parse_cookie("a=b; Secure", &http).is_none());
        assert!(parse_cookie("a=b; Path=/", &http).is_some());
    }

    #[test]
    fn a_cookie_path_ends_at_a_segment() {
        assert!(path_matches("/realms/a", "/realms/a/login"));
        assert!(!path_matches("/realms/a", "/realms/ab"));
        assert!(path_matches("/", "/anything"));
    }
}
