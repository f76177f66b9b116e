//! `headers` of a target into a header map.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use model::target::is_of_the_protocol;

use crate::config::convert::realm::read_secret;
use crate::config::gateway::Header;
use crate::config::problem::Problems;

/// Names of headers that say who is calling: what they say is a secret.
const CREDENTIALS: &[&str] = &["authorization", "cookie"];

/// The headers of a target. Relative paths of secrets start at `directory`.
pub(super) fn convert(
    from: &[Header],
    target: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (index, header) in from.iter().enumerate() {
        let path = format!("{target}.headers[{index}]");
        let name = name(&header.name, &path, problems);
        let value = value(header, &path, directory, problems);
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        if CREDENTIALS.contains(&name.as_str()) && !value.is_sensitive() {
            problems.note(
                format!("{path}.value"),
                format!("`{name}` is a credential"),
                "write it into a file or the environment: `secret: { file: … }`".to_owned(),
            );
        }
        if headers.insert(&name, value).is_some() {
            problems.note(
                format!("{path}.name"),
                format!("there are two headers `{name}`"),
                None,
            );
        }
    }
    headers
}

fn name(text: &str, path: &str, problems: &mut Problems<'_>) -> Option<HeaderName> {
    let path = format!("{path}.name");
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        let hint = "use letters, digits and hyphens, without a colon: X-Api-Key".to_owned();
        problems.note(path, format!("`{text}` can't name a header"), hint);
        return None;
    };
    if is_of_the_protocol(&name) {
        let hint = "leave it out; the gateway sets it".to_owned();
        problems.note(path, format!("`{text}` is a header of the protocol"), hint);
        return None;
    }
    Some(name)
}

fn value(
    header: &Header,
    path: &str,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<HeaderValue> {
    let (text, at, is_secret) = match (&header.value, &header.secret) {
        (Some(value), None) if header.scheme.is_none() => (value.clone(), "value", false),
        (Some(_), None) => {
            let hint = "write both into `value`, or a `secret`".to_owned();
            problems.note(format!("{path}.scheme"), "there is no `secret`", hint);
            return None;
        }
        (None, Some(source)) => {
            let at = format!("{path}.secret");
            let secret = read_secret(source, &at, directory, problems)?;
            let text = match &header.scheme {
                Some(scheme) => format!("{scheme} {}", secret.expose()),
                None => secret.expose().clone(),
            };
            (text, "secret", true)
        }
        (None, None) => {
            if problems.know_all_of(path) {
                let hint = "give it a `value`, or a `secret`".to_owned();
                problems.note(path, "it says nothing", hint);
            }
            return None;
        }
        (Some(_), Some(_)) => {
            let hint = "keep one of them".to_owned();
            problems.note(path, "it has a `value` and a `secret`", hint);
            return None;
        }
    };
    // Obs-text and control characters mean something else to everybody.
    let visible = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t');
    let fits = !text.is_empty() && text.trim() == text && text.bytes().all(visible);
    let Some(mut value) = HeaderValue::try_from(&text).ok().filter(|_| fits) else {
        let hint = "use visible ASCII characters, in one line".to_owned();
        problems.note(format!("{path}.{at}"), "it can't be sent in a header", hint);
        return None;
    };
    value.set_sensitive(is_secret);
    Some(value)
}
