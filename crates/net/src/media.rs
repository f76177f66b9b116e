//! What a media type is, its parameters aside (RFC 9110 §8.3.1).

/// The type and subtype of a media type or media range, as they were written: case does not matter in them.
pub fn essence(value: &[u8]) -> &[u8] {
    value
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_no_part_of_it() {
        for (value, expected) in [
            ("application/json", "application/json"),
            (" Text/HTML ; charset=utf-8;q=1", "Text/HTML"),
            ("; charset=utf-8", ""),
            ("", ""),
        ] {
            assert_eq!(essence(value.as_bytes()), expected.as_bytes());
        }
    }
}
