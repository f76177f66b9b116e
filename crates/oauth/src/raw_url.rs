//! The parts of a URL as they were written, before any parser normalizes them.

/// The components of RFC 3986 §3, borrowed from the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawUrl<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) fragment: Option<&'a str>,
}

/// Splits a text as RFC 3986 appendix B does; `None` without a well-formed scheme.
pub(crate) fn split(text: &str) -> Option<RawUrl<'_>> {
    let (text, fragment) = cut(text, '#');
    let (text, query) = cut(text, '?');
    let (scheme, rest) = text.split_once(':')?;
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !well_formed {
        return None;
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest
                .find('/')
                .and_then(|at| rest.split_at_checked(at))
                .unwrap_or((rest, ""));
            (Some(authority), path)
        }
        None => (None, rest),
    };
    Some(RawUrl {
        scheme,
        authority,
        path,
        query,
        fragment,
    })
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Splits an authority without user information into host and port; the brackets of an IPv6 literal stay.
pub(crate) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let after_literal = authority.rfind(']').map_or(0, |at| at + 1);
    match authority
        .rfind(':')
        .filter(|at| *at >= after_literal)
        .and_then(|at| authority.split_at_checked(at))
    {
        Some((host, port)) => (host, Some(port.trim_start_matches(':'))),
        None => (authority, None),
    }
}

/// Whether a path has a segment `.` or `..`, spelled with or without escapes.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

/// A port as decimal digits without leading zero, from 1 to 65535.
pub(crate) fn is_canonical_port(port: &str) -> bool {
    !port.starts_with('0')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_written() {
        let parts = split("HTTPS://User@Ex.org:443/a/../b?x=1#f").unwrap();
        assert_eq!(
            parts,
            RawUrl {
                scheme: "HTTPS",
                authority: Some("User@Ex.org:443"),
                path: "/a/../b",
                query: Some("x=1"),
                fragment: Some("f"),
            }
        );
        assert_eq!(split("com.example:/cb").unwrap().authority, None);
        assert_eq!(split("no scheme"), None);
        assert_eq!(split("1x:y"), None);
    }

    #[test]
    fn hosts_and_ports_part() {
        assert_eq!(host_and_port("a.b:80"), ("a.b", Some("80")));
        assert_eq!(host_and_port("a.b"), ("a.b", None));
        assert_eq!(host_and_port("[::1]:80"), ("[::1]", Some("80")));
        assert_eq!(host_and_port("[::1]"), ("[::1]", None));
        assert_eq!(host_and_port("a:"), ("a", Some("")));
    }

    #[test]
    fn escaped_dots_are_dots() {
        for path in ["/./a", "/a/..", "/%2e/a", "/.%2E/a", "/a/%2e%2E"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/.well-known", "/a..b", "/...", ""] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
