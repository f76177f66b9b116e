//! What strangers send, made fit for a line of the log: nothing hidden, nothing that turns text around, nothing long
//! (SEC-71, SEC-76).

use std::borrow::Cow;

use oauth::metadata::display_name::is_hidden;

/// The most bytes of one value of a stranger.
pub(super) const VALUE: usize = 512;

/// The most bytes of a line about an event.
const LINE: usize = 8 * 1024;

/// Appends a text in quotes: escaped as JSON would, so that it reads the same in both formats, and cut.
pub(super) fn quoted(line: &mut String, text: &str) {
    let (text, cut) = shortened(text, VALUE);
    line.push('"');
    // Looks at all bytes, which is faster than to stop at the first that is found.
    let special =
        |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\' || byte == 0x7f || byte >= 0x80;
    if text.bytes().fold(false, |any, byte| any | special(byte)) {
        for letter in text.chars() {
            match letter {
                '"' => line.push_str("\\\""),
                '\\' => line.push_str("\\\\"),
                letter if is_hidden(letter) => escaped(line, letter),
                letter => line.push(letter),
            }
        }
    } else {
        line.push_str(text);
    }
    if cut > 0 {
        line.push_str("… (");
        line.push_str(&cut.to_string());
        line.push_str(" bytes more)");
    }
    line.push('"');
}

/// A line with everything hidden escaped, and cut if it is very long; `None` if it is fine as it is.
pub(super) fn line(line: &[u8]) -> Option<Vec<u8>> {
    let suspect = |byte: &u8| byte.is_ascii_control() || *byte >= 0x80;
    if line.len() <= LINE && !line.iter().any(suspect) {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let text = if text.len() <= LINE {
        text
    } else {
        Cow::Owned(cut_line(&text))
    };
    let mut harmless = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            escaped(&mut harmless, letter);
        } else {
            harmless.push(letter);
        }
    }
    Some(harmless.into_bytes())
}

/// A line of JSON stays one: its long texts are cut.
fn cut_line(line: &str) -> String {
    if let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(line) {
        for value in members.values_mut() {
            if let serde_json::Value::String(text) = value {
                let (start, cut) = shortened(text, VALUE);
                if cut > 0 {
                    *text = format!("{start}… ({cut} bytes more)");
                }
            }
        }
        let cut = serde_json::Value::Object(members).to_string();
        if cut.len() <= 2 * LINE {
            return cut;
        }
    }
    let (start, cut) = shortened(line, LINE);
    format!("{start}… ({cut} bytes more)")
}

/// The start of a text, and how many bytes follow it.
fn shortened(text: &str, most: usize) -> (&str, usize) {
    let end = text.floor_char_boundary(most);
    match text.split_at_checked(end) {
        Some((start, rest)) => (start, rest.len()),
        None => (text, 0),
    }
}

/// As JSON writes it.
fn escaped(line: &mut String, letter: char) {
    let mut units = [0; 2];
    for unit in letter.encode_utf16(&mut units) {
        line.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            let digit = u32::from(*unit) >> shift & 15;
            line.push(char::from_digit(digit, 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quote(text: &str) -> String {
        let mut line = String::new();
        quoted(&mut line, text);
        line
    }

    // SEC-76
    #[test]
    fn what_is_hidden_or_turns_text_around_is_escaped() {
        assert_eq!(
            quote("a\u{202e}b\u{200b}\u{85}c"),
            r#""a\u202eb\u200b\u0085c""#
        );
        assert_eq!(
            quote("\u{e0041}x\n\u{7f}"),
            r#""\udb40\udc41x\u000a\u007f""#
        );
        assert_eq!(quote("日本 \"q\" \\"), r#""日本 \"q\" \\""#);
    }

    // SEC-76
    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let quoted = quote(&"/x".repeat(30_000));
        assert!(quoted.len() < VALUE + 40, "{}", quoted.len());
        assert!(quoted.ends_with("… (59488 bytes more)\""), "{quoted}");
        assert!(quote(&"日".repeat(1000)).ends_with("… (2490 bytes more)\""));
    }

    // SEC-76
    #[test]
    fn a_long_line_is_cut_and_one_of_json_stays_json() {
        let long = "y".repeat(60_000);
        let text = line(format!("INFO x={long}").as_bytes()).unwrap();
        assert!(text.len() < LINE + 40 && !text.contains(&b'\n'));
        let json = serde_json::json!({ "message": "m", "value": long, "n": 1 }).to_string();
        let cut = line(json.as_bytes()).unwrap();
        assert!(cut.len() < 1000, "{}", cut.len());
        let value: serde_json::Value = serde_json::from_slice(&cut).unwrap();
        assert_eq!((&value["message"], &value["n"]), (&"m".into(), &1.into()));
    }

    #[test]
    fn an_ordinary_line_is_left_alone() {
        assert_eq!(line(b"2026 INFO sekisho: all is well"), None);
    }

    proptest! {
        // SEC-71, SEC-76
        #[test]
        fn nothing_hidden_gets_into_a_line(text in "\\PC{0,50}|[\\x00-\\x1f\u{2000}-\u{2070} a\"\\\\]{0,50}") {
            let quoted = quote(&text);
            prop_assert!(!quoted.chars().any(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.as_str());
            let made = line(text.as_bytes());
            let made = made.as_deref().unwrap_or(text.as_bytes());
            prop_assert!(!std::str::from_utf8(made).unwrap().chars().any(is_hidden));
        }
    }
}
