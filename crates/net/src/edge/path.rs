//! Paths that lead elsewhere than they seem to: dot segments, in any spelling.

/// Begins a code, and may be the meaning of one: `%252e`.
const PERCENT: u8 = b'%';

/// Whether a path has a segment `.` or `..` as somebody behind us could read it (SEC-84, RFC 3986 §3.3):
/// plain or percent-encoded any number of times, between slashes or backslashes of the same spellings,
/// in overlong UTF-8, or with parameters (`..;x`). No URL library sends such a path.
pub(crate) fn has_dot_segments(path: &str) -> bool {
    let plain = |byte: u8| !matches!(byte, b'.' | PERCENT);
    if path.bytes().all(plain) {
        return false;
    }
    let decoded = decoded(path.as_bytes());
    let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    segments.any(|segment| {
        let name = segment.split(|byte| *byte == b';').next();
        matches!(name, Some(b"." | b".."))
    })
}

/// Decoded until nothing is left to decode, in one pass.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        out.push(*byte);
        // What was just decoded may be the end of another code.
        while let Some((length, meant)) = percent_code(&out).or_else(|| overlong(&out)) {
            out.truncate(out.len() - length);
            out.push(meant);
        }
    }
    out
}

fn percent_code(end: &[u8]) -> Option<(usize, u8)> {
    let [.., PERCENT, high, low] = end else {
        return None;
    };
    Some((3, hex(*high)? * 16 + hex(*low)?))
}

fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// ASCII in more bytes than it takes, which UTF-8 forbids (RFC 3629 §3) and some decode all the same.
fn overlong(end: &[u8]) -> Option<(usize, u8)> {
    let (length, high, low) = match end {
        [.., 0xF0, 0x80, high @ 0x80..=0x81, low] => (4, *high, *low),
        [.., 0xE0, high @ 0x80..=0x81, low] => (3, *high, *low),
        [.., high @ 0xC0..=0xC1, low] => (2, *high, *low),
        _ => return None,
    };
    matches!(low, 0x80..=0xBF).then_some((length, ((high & 1) << 6) | (low & 0x3F)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-84
    #[test]
    fn dot_segments_are_found_in_any_spelling() {
        for path in [
            "/app/../secret",
            "/app/..",
            "/..",
            "/app/./x",
            "/app/%2e%2e/secret",
            "/app/%2E./secret",
            "/app/..%2fsecret",
            "/app/..%2Fsecret",
            "/app/..%5csecret",
            "/app/..\\secret",
            "/app/x%2f..%2f..%2fsecret",
            "/app/%252e%252e/secret",
            "/app/%25252e%25252e%25252fsecret",
            "/app/%%32%65%%32%65/secret",
            "/app/%c0%ae%c0%ae/secret",
            "/app/..%c0%afsecret",
            "/app/%e0%80%ae./secret",
            "/app/%f0%80%80%ae./secret",
            "/app/..;/secret",
            "/app/..;x=y/secret",
            "/app/%2e%2e%3b/secret",
        ] {
            assert!(has_dot_segments(path), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_have_none() {
        for path in [
            "/",
            "*",
            "/mcp",
            "/.well-known/openid-configuration",
            "/a..b/...",
            "/files/x.tar.gz",
            "/caf%C3%A9/%2e%2ehidden",
            "/100%/x",
            "/%C0/..a",
            "/a%2fb%20c",
        ] {
            assert!(!has_dot_segments(path), "{path}");
        }
    }

    #[test]
    fn decoding_takes_one_pass() {
        let path = format!("/{}2e", "%25".repeat(20_000));
        assert!(!has_dot_segments(&path));
        let path = format!("/%{}2e", "25".repeat(20_000));
        assert!(has_dot_segments(&path));
    }
}
