//! Finds the forms of a page, so that a scripted user can fill them in.
//!
//! This is not an HTML parser: it reads tags and attributes as a browser would for well-formed pages, which login and consent
//! pages are.

/// A form of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HtmlForm {
    /// `action` as written; empty means the page's own URL.
    pub(crate) action: String,
    /// Whether `method` is POST.
    pub(crate) post: bool,
    /// Inputs in the order of the page.
    pub(crate) inputs: Vec<Input>,
}

/// One input or button.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) checked: bool,
}

impl HtmlForm {
    /// Whether it asks for a password.
    pub(crate) fn asks_password(&self) -> bool {
        self.inputs.iter().any(|input| input.kind == "password")
    }

    /// The button that says yes: one that sounds like it, or else the first that does not sound like a refusal.
    pub(crate) fn affirmative(&self) -> Option<&Input> {
        const CONSENTS: [&str; 6] = ["allow", "accept", "yes", "approve", "grant", "authorize"];
        const REFUSALS: [&str; 7] = [
            "deny", "cancel", "no", "reject", "decline", "refuse", "back",
        ];
        let sounds_like = |input: &Input, words: &[&str]| {
            [&input.value, &input.name]
                .into_iter()
                .any(|text| words.contains(&text.to_ascii_lowercase().as_str()))
        };
        let buttons = || self.inputs.iter().filter(|input| input.kind == "submit");
        buttons()
            .find(|button| sounds_like(button, &CONSENTS))
            .or_else(|| buttons().find(|button| !sounds_like(button, &REFUSALS)))
    }

    /// What a browser would send when `button` is pressed and nothing else was touched.
    pub(crate) fn fields(&self, button: Option<&Input>) -> Vec<(String, String)> {
        self.inputs
            .iter()
            .filter(|input| !input.name.is_empty())
            .filter(|input| match input.kind.as_str() {
                "submit" | "image" => Some(*input) == button,
                "checkbox" | "radio" => input.checked,
                "button" | "reset" | "file" => false,
                _ => true,
            })
            .map(|input| (input.name.clone(), input.value.clone()))
            .collect()
    }
}

/// All forms of a page.
pub(crate) fn forms(page: &str) -> Vec<HtmlForm> {
    let mut found = Vec::new();
    let mut current: Option<HtmlForm> = None;
    for tag in page
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
    {
        let (name, attributes) = tag
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((tag, ""));
        match name.to_ascii_lowercase().as_str() {
            "form" => {
                current = Some(HtmlForm {
                    action: attribute(attributes, "action").unwrap_or_default(),
                    post: attribute(attributes, "method")
                        .is_some_and(|method| method.eq_ignore_ascii_case("post")),
                    inputs: Vec::new(),
                });
            }
            "/form" => found.extend(current.take()),
            "input" | "button" => {
                if let Some(form) = &mut current {
                    let default = if name.eq_ignore_ascii_case("button") {
                        "submit"
                    } else {
                        "text"
                    };
                    form.inputs.push(Input {
                        kind: attribute(attributes, "type")
                            .unwrap_or_else(|| default.to_owned())
                            .to_ascii_lowercase(),
                        name: attribute(attributes, "name").unwrap_or_default(),
                        value: attribute(attributes, "value").unwrap_or_default(),
                        checked: attribute(attributes, "checked").is_some(),
                    });
                }
            }
            _ => {}
        }
    }
    found.extend(current);
    found
}

/// What a page says to its reader: the text of `main`, or else of the body, without scripts, styles and forms' buttons.
pub(crate) fn text(page: &str) -> String {
    let inner = ["<main", "<body"]
        .into_iter()
        .find_map(|tag| page.split_once(tag))
        .and_then(|(_, rest)| Some(rest.split_once('>')?.1));
    let mut out = String::new();
    let mut hidden: Option<String> = None;
    for (position, piece) in inner.unwrap_or(page).split('<').enumerate() {
        let (tag, words) = match position {
            0 => ("", piece), // before the first tag
            _ => piece.split_once('>').unwrap_or((piece, "")),
        };
        let name = tag
            .split(|c: char| c.is_ascii_whitespace() || c == '/')
            .find(|part| !part.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let closes = tag.starts_with('/');
        match &hidden {
            Some(waiting) if closes && *waiting == name => hidden = None,
            Some(_) => continue,
            None if !closes
                && [
                    "script", "style", "title", "button", "svg", "head", "footer",
                ]
                .contains(&name.as_str()) =>
            {
                hidden = Some(name);
                continue;
            }
            None => {}
        }
        out.push(' ');
        out.push_str(&unescaped(words));
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of an attribute; an attribute without a value is the empty string.
fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || c == '=')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('=') {
            None => ("", after),
            Some(value) => quoted(value.trim_start()),
        };
        if name.trim_end_matches('/').eq_ignore_ascii_case(wanted) {
            return Some(unescaped(value));
        }
        rest = if name.is_empty() && value.is_empty() {
            next.get(1..).unwrap_or_default().trim_start()
        } else {
            next.trim_start()
        };
    }
    None
}

/// A quoted or bare attribute value, and what follows it.
fn quoted(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote).unwrap_or((inner, ""));
        }
    }
    let end = text
        .find(|c: char| c.is_ascii_whitespace())
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Character references that pages use in attributes, resolved.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let named = after
            .split_once(';')
            .and_then(|(name, next)| Some((reference(name)?, next)));
        let (character, next) = named.unwrap_or(('&', after));
        out.push(character);
        rest = next;
    }
    out.push_str(rest);
    out
}

/// `amp`, `#38`, `#x26` …
fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSENT: &str = r#"<!doctype html><form method="post" action="/consent?a=1&amp;b=2">
        <input type="hidden" name="csrf" value="x&#x26;y"><input type=checkbox name=remember value=on checked>
        <button name="decision" value="switch">Other user</button><button name="decision" value="deny">No</button><button type="submit" name="decision" value="allow">Yes</button></form>"#;

    #[test]
    fn a_form_is_read_with_its_references_resolved() {
        let forms = forms(CONSENT);
        let form = forms.first().expect("one form");
        assert!(form.post);
        assert_eq!(form.action, "/consent?a=1&b=2");
        assert_eq!(
            form.affirmative().map(|button| button.value.as_str()),
            Some("allow")
        );
        assert_eq!(
            form.fields(form.affirmative()),
            [("csrf", "x&y"), ("remember", "on"), ("decision", "allow")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_keycloak_consent_form_is_accepted_with_its_yes_button() {
        let page = r#"<form action="https://as.example/consent" method="POST"><input type="hidden" name="code" value="c"/>
            <input class="btn" name="accept" id="kc-login" type="submit" value="Yes"/>
            <input class="btn" name="cancel" id="kc-cancel" type="submit" value="No"/></form>"#;
        let forms = forms(page);
        let form = forms.first().expect("one form");
        assert_eq!(
            form.affirmative().map(|button| button.name.as_str()),
            Some("accept")
        );
        assert_eq!(form.fields(form.affirmative()).len(), 2);
    }

    #[test]
    fn a_page_is_read_without_its_machinery() {
        let page = "<!doctype html><html><head><title>T</title><style>p{}</style></head><body><header>R</header>\
            <main class=m><h1>Can&#x27;t go on</h1><p>The client is <b>unknown</b>.</p><script>x<y</script><button>Go</button></main></body></html>";
        assert_eq!(text(page), "Can't go on The client is unknown .");
        assert_eq!(text("not found\n"), "not found");
        assert_eq!(text("<body"), "");
        assert_eq!(text("<<main><a"), "");
    }

    #[test]
    fn broken_markup_ends_without_a_form() {
        assert!(forms("<<< form <input").is_empty());
        assert_eq!(forms("<form = = '").len(), 1);
        assert_eq!(forms("<form method=post><input name=\"").len(), 1);
    }
}
