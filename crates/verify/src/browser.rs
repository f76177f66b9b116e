//! The scripted user: follows redirects, keeps cookies, and fills in the login and consent pages.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use url::Url;

use crate::html::{self, HtmlForm};
use crate::web::{Actor, Answer, NoAnswer, Web, plain};

/// How many pages and redirects one authorization may take.
const MAX_STEPS: usize = 20;

/// Where an authorization request ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The browser was sent to the client's redirect URI: all parameters of its query.
    Redirected(Vec<(String, String)>),
    /// A page without a form that leads on: an error page, most likely.
    Page(Answer),
    /// A page asks for a password, but this user has none.
    AskedToLogin,
    /// This origin, which is not that of the authorization endpoint, would see the password: by its page, or by the form's target.
    AskedElsewhere(String),
    /// Pages and redirects without an end.
    TooManySteps,
    /// The authorization server did not answer, or sent the browser to something that is not a URL.
    Broken(String),
}

impl Ending {
    /// A parameter of the redirect.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        match self {
            Self::Redirected(parameters) => parameters
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str()),
            _ => None,
        }
    }

    /// One sentence about it, without secrets.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Redirected(_) => match self.parameter("error") {
                Some(error) => match self.parameter("error_description") {
                    Some(description) => {
                        format!(
                            "redirected with `error={}` “{}”",
                            plain(error),
                            plain(description)
                        )
                    }
                    None => format!("redirected with `error={}`", plain(error)),
                },
                None => "redirected with a code".to_owned(),
            },
            Self::Page(answer) => format!("a page with {}", answer.described()),
            Self::AskedToLogin => "the login page".to_owned(),
            Self::AskedElsewhere(origin) => format!(
                "{origin}, which is not the authorization endpoint's origin, asks for the password and did not get it"
            ),
            Self::TooManySteps => "pages and redirects without an end".to_owned(),
            Self::Broken(why) => why.clone(),
        }
    }
}

/// Cookies and credentials of one person.
#[derive(Default)]
pub(crate) struct Person {
    pub(crate) user: Option<(String, zeroize::Zeroizing<String>)>,
    jar: Vec<Cookie>,
}

struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

impl Person {
    /// Somebody who can log in.
    pub(crate) fn new(user: Option<(String, zeroize::Zeroizing<String>)>) -> Self {
        Self {
            user,
            jar: Vec::new(),
        }
    }

    /// Opens an authorization URL and does what the pages ask, until the browser is sent to `redirect_uri`. The password
    /// is given to the origin of the authorization URL alone, wherever the flow may lead.
    pub(crate) async fn authorize(&mut self, web: &Web, start: &Url, redirect_uri: &Url) -> Ending {
        let mut next = (start.clone(), None);
        let mut passwords_sent = 0_u8;
        for _ in 0..MAX_STEPS {
            let (url, form) = next;
            let answer = match self.request(web, &url, form).await {
                Ok(answer) => answer,
                Err(error) => return Ending::Broken(error.to_string()),
            };
            if answer.status.is_redirection() {
                let Some(location) = location_of(&answer) else {
                    return Ending::Broken("redirected to something that is not a URL".to_owned());
                };
                if is_callback(&location, redirect_uri) {
                    return Ending::Redirected(location.query_pairs().into_owned().collect());
                }
                next = (location, None);
                continue;
            }
            let page = String::from_utf8_lossy(&answer.body).into_owned();
            let forms = html::forms(&page);
            if let Some(form) = forms.iter().find(|form| form.asks_password()) {
                let Some((user, password)) = &self.user else {
                    return Ending::AskedToLogin;
                };
                if passwords_sent > 0 {
                    return Ending::Page(answer); // the password was refused
                }
                let target = target(&answer.url, form);
                for url in [&answer.url, &target] {
                    if url.origin() != start.origin() {
                        return Ending::AskedElsewhere(url.origin().ascii_serialization());
                    }
                }
                passwords_sent += 1;
                next = (target, Some(filled(form, user, password)));
                continue;
            }
            let leads_on = forms
                .iter()
                .filter(|form| form.post)
                .find_map(|form| Some((form, form.affirmative()?)));
            match leads_on {
                Some((form, button)) if answer.status.is_success() => {
                    next = (target(&answer.url, form), Some(form.fields(Some(button))));
                }
                _ => return Ending::Page(answer),
            }
        }
        Ending::TooManySteps
    }

    async fn request(
        &mut self,
        web: &Web,
        url: &Url,
        form: Option<Vec<(String, String)>>,
    ) -> Result<Answer, NoAnswer> {
        let about = if form.is_some() { "(form)" } else { "" };
        let mut request = Request::new(Bytes::new());
        let headers = request.headers_mut();
        headers.insert("accept", HeaderValue::from_static("text/html"));
        headers.insert("accept-language", HeaderValue::from_static("en"));
        if let Ok(cookies) = HeaderValue::from_str(&self.cookies(url))
            && !cookies.is_empty()
        {
            headers.insert("cookie", cookies);
        }
        if let Some(fields) = form {
            headers.insert(
                "content-type",
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
            if let Ok(origin) = HeaderValue::from_str(&url.origin().ascii_serialization()) {
                headers.insert("origin", origin);
            }
            *request.method_mut() = Method::POST;
            let pairs = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            *request.body_mut() = Bytes::from(oauth::form::encode(pairs));
        }
        let ends = (Actor::Browser, Actor::AuthorizationServer);
        let answer = web.send(ends, about, url, request).await?;
        self.keep_cookies(&answer);
        Ok(answer)
    }

    fn cookies(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let pairs: Vec<String> = self
            .jar
            .iter()
            .filter(|cookie| cookie.host == host && url.path().starts_with(&cookie.path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        pairs.join("; ")
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        let host = answer.url.host_str().unwrap_or_default();
        for line in answer.headers.get_all("set-cookie") {
            let Some(text) = line.to_str().ok() else {
                continue;
            };
            let mut parts = text.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let mut path = "/".to_owned();
            let mut gone = false;
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                if key.eq_ignore_ascii_case("path") && value.starts_with('/') {
                    value.clone_into(&mut path);
                } else if key.eq_ignore_ascii_case("max-age") {
                    gone = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0);
                }
            }
            self.jar
                .retain(|cookie| cookie.host != host || cookie.name != name || cookie.path != path);
            if !gone {
                self.jar.push(Cookie {
                    host: host.to_owned(),
                    path,
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
    }
}

/// Where a redirect leads.
fn location_of(answer: &Answer) -> Option<Url> {
    let location = answer.header("location")?;
    answer.url.join(location).ok()
}

/// Whether a location is the redirect URI, whatever its query.
fn is_callback(location: &Url, redirect_uri: &Url) -> bool {
    location.origin() == redirect_uri.origin() && location.path() == redirect_uri.path()
}

/// Where a form is sent.
fn target(page: &Url, form: &HtmlForm) -> Url {
    page.join(&form.action).unwrap_or_else(|_| page.clone())
}

/// The login form with user name and password filled in.
fn filled(form: &HtmlForm, user: &str, password: &str) -> Vec<(String, String)> {
    let user_field = form
        .inputs
        .iter()
        .find(|input| ["text", "email"].contains(&input.kind.as_str()))
        .map(|input| input.name.as_str());
    let password_field = form
        .inputs
        .iter()
        .find(|input| input.kind == "password")
        .map(|input| input.name.as_str());
    form.fields(form.affirmative())
        .into_iter()
        .map(|(name, value)| {
            let value = if Some(name.as_str()) == user_field {
                user.to_owned()
            } else if Some(name.as_str()) == password_field {
                password.to_owned()
            } else {
                value
            };
            (name, value)
        })
        .collect()
}
