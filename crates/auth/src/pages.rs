//! The pages that people see: one typed context per template, each with samples that a test renders.

use std::time::Duration;

use askama::Template;
use http::StatusCode;

use crate::headers;
use crate::password_pool::PATIENCE;
use crate::realm::ServedRealm;
use crate::texts::{Language, Texts};

/// What every page has around its content.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) texts: &'static Texts,
    /// The realm as people know it.
    pub(crate) realm_title: String,
    /// The path of the stylesheet, which changes with its content.
    pub(crate) stylesheet: String,
}

impl Frame {
    /// The frame of a realm's pages.
    pub(crate) fn new(realm: &ServedRealm, language: Language) -> Self {
        Self {
            texts: language.texts(),
            realm_title: realm.title().to_owned(),
            stylesheet: format!("{}{}", realm.base_path(), crate::stylesheet::path()),
        }
    }
}

/// Who wants to be let in, as far as we know (SEC-18, CI-18).
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    /// A client known by its metadata document: the host is certain, the name is a claim.
    Verified {
        /// The host that the document came from.
        host: String,
        /// What the document calls the client.
        claimed_name: String,
        /// Whether the document came over https; otherwise nothing about it is certain.
        protected: bool,
        /// Whether nobody has consented to anything of this client yet.
        first_seen: bool,
    },
    /// A client that registered itself: nobody vouches for the name.
    Unvouched {
        /// What it calls itself.
        claimed_name: String,
    },
    /// A client that the administrator registered, under the name that the administrator gave.
    Registered {
        /// That name.
        name: String,
    },
}

/// Why the login page is shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginProblem {
    /// Unknown user or wrong password: which of them is nobody's business (SEC-54).
    Wrong,
    /// Too many attempts for this account or from this network (SEC-53).
    Wait {
        /// When the next one is admitted.
        retry_after: Duration,
    },
    /// Something was left empty.
    Again,
    /// All password workers are busy.
    Busy,
    /// The users of the configuration are not all there yet.
    Starting,
}

impl LoginProblem {
    /// The sentence for it.
    pub(crate) fn sentence(self, texts: &Texts) -> &'static str {
        match self {
            Self::Wrong => texts.login_wrong,
            Self::Wait { .. } => texts.login_wait,
            Self::Again => texts.login_again,
            Self::Busy => texts.login_busy,
            Self::Starting => texts.login_starting,
        }
    }

    /// The status of the page.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            // Not 401, which would have to challenge for HTTP authentication (RFC 9110 §15.5.2).
            Self::Wrong => StatusCode::FORBIDDEN,
            Self::Again => StatusCode::BAD_REQUEST,
            Self::Wait { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Starting => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When it is worth while to try again, if it depends on nothing but the time (RFC 6585 §4, RFC 9110 §15.6.4).
    pub(crate) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Wrong | Self::Again => None,
            Self::Wait { retry_after } => Some(retry_after),
            Self::Busy => Some(PATIENCE),
            Self::Starting => Some(Duration::from_secs(2)),
        }
    }
}

/// Asks for user name and password.
#[derive(Debug, Clone, Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    pub(crate) frame: Frame,
    pub(crate) asker: Option<Asker>,
    pub(crate) action: String,
    pub(crate) flow: String,
    pub(crate) csrf: String,
    pub(crate) username: String,
    pub(crate) problem: Option<LoginProblem>,
}

/// Where the browser goes after the decision (AS-24).
#[derive(Debug, Clone)]
pub(crate) enum ReturnsTo {
    /// A web site.
    Site {
        /// Its host.
        host: String,
    },
    /// A program that listens on the user's own machine.
    ThisDevice {
        /// The loopback name and port.
        host: String,
    },
    /// A program that is registered for a private-use scheme (RFC 8252 §7.1).
    Application {
        /// The scheme.
        scheme: String,
    },
}

/// One scope on the consent page.
#[derive(Debug, Clone)]
pub(crate) struct ScopeLine {
    /// The name on the wire.
    pub(crate) name: String,
    /// What it means.
    pub(crate) text: String,
}

/// Asks whether a client may have what it asks for.
#[derive(Debug, Clone, Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage {
    pub(crate) frame: Frame,
    pub(crate) asker: Asker,
    pub(crate) returns_to: ReturnsTo,
    /// Whether all redirect URIs of the client lead to the user's own machine (AS-25).
    pub(crate) only_this_device: bool,
    pub(crate) resources: Vec<String>,
    pub(crate) scopes: Vec<ScopeLine>,
    /// Whether the user is asked each time, because any program could pose as this client (SEC-88).
    pub(crate) each_time: bool,
    /// Whether the user has consented before to what the client then was (SEC-19).
    pub(crate) changed: bool,
    pub(crate) user: String,
    pub(crate) action: String,
    pub(crate) flow: String,
    pub(crate) csrf: String,
    /// Stands for what is on the page.
    pub(crate) seen: String,
}

/// Says, before an error is sent to a place that nobody here trusts, where the browser would go (AS-23).
#[derive(Debug, Clone, Template)]
#[template(path = "departure.html")]
pub(crate) struct DeparturePage {
    pub(crate) frame: Frame,
    pub(crate) returns_to: ReturnsTo,
    pub(crate) asker: Asker,
    /// The error code of OAuth.
    pub(crate) error: &'static str,
    /// What it says, in English.
    pub(crate) description: String,
    /// The redirect that was not made.
    pub(crate) target: String,
}

/// A name and a value, shown as they are.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// What the developer of a client needs to know about a refusal, in English.
#[derive(Debug, Clone)]
pub(crate) struct Developer {
    /// The rule that was broken, as a sentence.
    pub(crate) rule: String,
    /// The specification that says so.
    pub(crate) section: &'static str,
    /// The error code of OAuth.
    pub(crate) error: &'static str,
    /// What was received, so that it can be compared.
    pub(crate) facts: Vec<Fact>,
    /// What to do about it.
    pub(crate) hint: String,
}

/// Says why something cannot continue: one plain sentence for the user, the rest for the developer.
#[derive(Debug, Clone, Template)]
#[template(path = "refusal.html")]
pub(crate) struct RefusalPage {
    pub(crate) frame: Frame,
    pub(crate) tone: &'static str,
    pub(crate) title: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) what_now: &'static str,
    pub(crate) developer: Option<Developer>,
    /// What to quote when asking the administrator.
    pub(crate) reference: Option<String>,
}

/// A parameter that a form carries along.
#[derive(Debug, Clone)]
pub(crate) struct CarriedField {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// Asks whether the user wants to sign out (OpenID Connect RP-Initiated Logout §2).
#[derive(Debug, Clone, Template)]
#[template(path = "logout.html")]
pub(crate) struct LogoutPage {
    pub(crate) frame: Frame,
    pub(crate) user: String,
    pub(crate) action: String,
    pub(crate) csrf: String,
    pub(crate) carried: Vec<CarriedField>,
}

/// Says that the user is signed out.
#[derive(Debug, Clone, Template)]
#[template(path = "logged_out.html")]
pub(crate) struct LoggedOutPage {
    pub(crate) frame: Frame,
}

/// What a person sees who opens the issuer's own URL.
#[derive(Debug, Clone, Template)]
#[template(path = "about.html")]
pub(crate) struct AboutPage {
    pub(crate) frame: Frame,
    pub(crate) issuer: String,
    pub(crate) links: Vec<Fact>,
}

/// Renders a page with the headers that every page has.
pub(crate) fn html(
    status: StatusCode,
    page: &impl Template,
    form_action: &headers::FormAction,
) -> axum::response::Response {
    match page.render() {
        Ok(text) => headers::page(status, text, form_action),
        Err(error) => {
            tracing::error!(%error, "page could not be rendered");
            headers::page(
                StatusCode::INTERNAL_SERVER_ERROR,
                String::new(),
                form_action,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        [Language::English, Language::Japanese]
            .map(|language| Frame {
                texts: language.texts(),
                realm_title: "mcp-demo".to_owned(),
                stylesheet: "/realms/mcp-demo/style.css".to_owned(),
            })
            .into()
    }

    fn askers() -> Vec<Asker> {
        vec![
            Asker::Verified {
                host: "claude.ai".to_owned(),
                claimed_name: "Claude Code".to_owned(),
                protected: true,
                first_seen: true,
            },
            Asker::Verified {
                host: "evil.example".to_owned(),
                claimed_name: "<script>alert(1)</script>\"'&".to_owned(),
                protected: false,
                first_seen: false,
            },
            Asker::Registered {
                name: "Inventory".to_owned(),
            },
            Asker::Unvouched {
                claimed_name: "<b>OpenCode</b>".to_owned(),
            },
        ]
    }

    fn login_samples(frame: &Frame) -> Vec<LoginPage> {
        let page = |asker: Option<Asker>, problem| LoginPage {
            frame: frame.clone(),
            asker,
            action: "/realms/mcp-demo/login".to_owned(),
            flow: "flow".to_owned(),
            csrf: "csrf".to_owned(),
            username: "ali\"ce".to_owned(),
            problem,
        };
        let problems = [
            None,
            Some(LoginProblem::Wrong),
            Some(LoginProblem::Wait {
                retry_after: Duration::from_secs(1),
            }),
            Some(LoginProblem::Again),
            Some(LoginProblem::Busy),
            Some(LoginProblem::Starting),
        ];
        askers()
            .into_iter()
            .map(Some)
            .chain([None])
            .flat_map(|asker| problems.map(|problem| page(asker.clone(), problem)))
            .collect()
    }

    fn consent_samples(frame: &Frame) -> Vec<ConsentPage> {
        let destinations = [
            ReturnsTo::Site {
                host: "chatgpt.com".to_owned(),
            },
            ReturnsTo::ThisDevice {
                host: "127.0.0.1:33418".to_owned(),
            },
            ReturnsTo::Application {
                scheme: "com.example.app".to_owned(),
            },
            ReturnsTo::ThisDevice {
                host: "localhost:19876".to_owned(),
            },
        ];
        askers()
            .into_iter()
            .zip(destinations)
            .map(|(asker, returns_to)| ConsentPage {
                frame: frame.clone(),
                only_this_device: matches!(returns_to, ReturnsTo::ThisDevice { .. }),
                each_time: matches!(returns_to, ReturnsTo::ThisDevice { .. }),
                changed: matches!(returns_to, ReturnsTo::Application { .. }),
                asker,
                returns_to,
                resources: vec!["https://gateway.example/mcp".to_owned()],
                scopes: vec![ScopeLine {
                    name: "mcp:tools".to_owned(),
                    text: "Call tools".to_owned(),
                }],
                user: "alice".to_owned(),
                action: "/realms/mcp-demo/consent".to_owned(),
                flow: "flow".to_owned(),
                csrf: "csrf".to_owned(),
                seen: "seen".to_owned(),
            })
            .collect()
    }

    fn departure_samples(frame: &Frame) -> Vec<DeparturePage> {
        let destinations = [
            ReturnsTo::Site {
                host: "evil.example".to_owned(),
            },
            ReturnsTo::Application {
                scheme: "com.example.app".to_owned(),
            },
        ];
        askers()
            .into_iter()
            .zip(destinations)
            .map(|(asker, returns_to)| DeparturePage {
                frame: frame.clone(),
                returns_to,
                asker,
                error: "invalid_scope",
                description: "the scope `<b>` is unknown".to_owned(),
                target: "https://evil.example/?error=invalid_scope&state=\"><b>".to_owned(),
            })
            .collect()
    }

    fn refusal_samples(frame: &Frame) -> Vec<RefusalPage> {
        let developer = Developer {
            rule: "the document's `client_id` is its own URL".to_owned(),
            section: "CIMD draft §4.1",
            error: "invalid_client",
            facts: vec![Fact {
                name: "client_id",
                value: "https://a.example/<b>".to_owned(),
            }],
            hint: "write the URL into the document exactly".to_owned(),
        };
        [
            (Some(developer), None),
            (None, Some("01J".to_owned())),
            (None, None),
        ]
        .map(|(developer, reference)| RefusalPage {
            frame: frame.clone(),
            tone: "danger",
            title: frame.texts.refused_title,
            sentence: frame.texts.refused_application,
            what_now: frame.texts.refused_what_now,
            developer,
            reference,
        })
        .into()
    }

    fn other_samples(frame: &Frame) -> Vec<String> {
        let logout = LogoutPage {
            frame: frame.clone(),
            user: "alice".to_owned(),
            action: "/realms/mcp-demo/logout".to_owned(),
            csrf: "csrf".to_owned(),
            carried: vec![CarriedField {
                name: "state",
                value: "\"><b>".to_owned(),
            }],
        };
        let logged_out = LoggedOutPage {
            frame: frame.clone(),
        };
        let about = AboutPage {
            frame: frame.clone(),
            issuer: "https://auth.example".to_owned(),
            links: vec![Fact {
                name: "metadata",
                value: "https://auth.example/.well-known/oauth-authorization-server".to_owned(),
            }],
        };
        vec![
            logout.render().unwrap(),
            logged_out.render().unwrap(),
            about.render().unwrap(),
        ]
    }

    fn all() -> Vec<String> {
        let mut pages = Vec::new();
        for frame in frames() {
            pages.extend(
                login_samples(&frame)
                    .iter()
                    .map(|page| page.render().unwrap()),
            );
            pages.extend(
                consent_samples(&frame)
                    .iter()
                    .map(|page| page.render().unwrap()),
            );
            pages.extend(
                departure_samples(&frame)
                    .iter()
                    .map(|page| page.render().unwrap()),
            );
            pages.extend(
                refusal_samples(&frame)
                    .iter()
                    .map(|page| page.render().unwrap()),
            );
            pages.extend(other_samples(&frame));
        }
        pages
    }

    // SEC-17
    #[test]
    fn no_sample_lets_a_value_become_markup() {
        for page in all() {
            assert!(!page.contains("<script"), "{page}");
            assert!(!page.contains("<b>"), "{page}");
            assert!(
                !page.contains(" style="),
                "inline styles are forbidden by the policy: {page}"
            );
            let is_handler = |word: &str| word.starts_with("on") && word.contains('=');
            assert!(
                !page.split_whitespace().any(is_handler),
                "inline handlers are forbidden by the policy: {page}"
            );
        }
    }

    #[test]
    fn every_sample_has_a_language_one_heading_and_one_main_landmark() {
        for page in all() {
            assert!(page.contains("<html lang=\"en\">") || page.contains("<html lang=\"ja\">"));
            assert_eq!(page.matches("<h1>").count(), 1, "{page}");
            assert_eq!(page.matches("<main ").count(), 1, "{page}");
            assert!(page.contains("<title>"));
        }
    }

    #[test]
    fn every_visible_input_has_a_label() {
        for page in all() {
            for input in page.split("<input ").skip(1) {
                let tag = input.split('>').next().unwrap();
                if tag.contains("type=\"hidden\"") {
                    continue;
                }
                let id = tag
                    .split("id=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap();
                assert!(page.contains(&format!("<label for=\"{id}\">")), "{id}");
            }
        }
    }

    // SEC-12
    #[test]
    fn no_sample_loads_anything_from_elsewhere() {
        for page in all() {
            assert!(!page.contains("src="), "{page}");
            assert!(!page.contains("href=\"//"), "{page}");
            assert_eq!(page.matches("<link ").count(), 2, "{page}");
        }
    }

    // SEC-18
    #[test]
    fn the_verified_host_stands_before_the_claimed_name() {
        for frame in frames() {
            for page in consent_samples(&frame) {
                if let Asker::Verified { host, .. } = &page.asker {
                    let text = page.render().unwrap();
                    let host = text.find(host.as_str()).unwrap();
                    let name = text.find("class=\"claimed\"").unwrap();
                    assert!(host < name);
                }
            }
        }
    }
}
