//! Filling in the form of a page, for programs that log in.

use anyhow::{Result, ensure};

/// The body that a browser would send: all hidden fields of the page, and the credentials.
pub(crate) fn filled(page: &str, username: &str, password: &str) -> Result<String> {
    let mut fields = Vec::new();
    for input in page
        .split("<input")
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
    {
        let name = between(input, "name=\"", "\"").unwrap_or_default();
        let value = match between(input, "type=\"", "\"").unwrap_or_default() {
            "text" => username,
            "password" => password,
            "hidden" => between(input, "value=\"", "\"").unwrap_or_default(),
            _ => continue,
        };
        fields.push((name, value));
    }
    ensure!(!fields.is_empty(), "a page without a form: {page}");
    Ok(oauth::form::encode(fields))
}

/// What stands between two texts.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split(after).next()
}
