//! Checks JSON text against the grammar of RFC 8259 in one flat pass, without recursion and without building anything.

/// Deepest nesting of arrays and objects that is accepted, the outermost one included (SEC-63).
pub const MAX_DEPTH: u32 = 64;

/// Why a text is not acceptable JSON. Offsets are bytes from the start of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text ends inside a value.
    #[error("the JSON text ends too early")]
    Truncated,
    /// A byte that the grammar does not allow there.
    #[error("unexpected byte at offset {at}")]
    Unexpected {
        /// Offset of the byte.
        at: usize,
    },
    /// More than [`MAX_DEPTH`] levels of nesting.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Something other than whitespace follows the value.
    #[error("data after the end of the value, at offset {at}")]
    Trailing {
        /// Offset of the first such byte.
        at: usize,
    },
}

/// Checks that `text` is exactly one JSON value, with whitespace around it allowed.
/// Returns the range of the value without that whitespace.
pub fn check(text: &str) -> Result<(usize, usize), Fault> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.whitespace();
    let start = scanner.at;
    scanner.value(MAX_DEPTH)?;
    let end = scanner.at;
    scanner.end()?;
    Ok((start, end))
}

/// A position in a byte string that is checked from left to right.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

/// Whether a byte ends the fast run through a string: the quote, the backslash and control characters.
const fn stops_string(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bits of those bytes of `word` for which [`stops_string`] holds. The lowest bit is exact; above it, a bit too
/// many may be set, because a borrow runs upwards.
const fn stops_in(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGH
}

/// The same for the quote and the backslash alone: text that was checked has no control characters in its strings.
const fn ends_in(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    (is_quote | is_backslash) & HIGH
}

/// Where the fast run through a string stops, from `at` on. Eight bytes are looked at together.
#[inline]
pub(crate) fn string_stop(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let stops = stops_in(u64::from_le_bytes(*word));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !stops_string(*byte)) {
        at += 1;
    }
    at
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[cold]
    fn fault(&self) -> Fault {
        if self.at < self.bytes.len() {
            Fault::Unexpected { at: self.at }
        } else {
            Fault::Truncated
        }
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault())
        }
    }

    /// Nothing but whitespace may follow.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.whitespace();
        if self.at < self.bytes.len() {
            Err(Fault::Trailing { at: self.at })
        } else {
            Ok(())
        }
    }

    /// Passes one value with at most `levels` (up to 64) nested containers. The containers that are open are one bit each.
    pub(crate) fn value(&mut self, levels: u32) -> Result<(), Fault> {
        let mut depth: u32 = 0;
        let mut objects: u64 = 0;
        loop {
            self.whitespace();
            match self.peek() {
                Some(opening @ (b'{' | b'[')) => {
                    if depth >= levels.min(MAX_DEPTH) {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    self.whitespace();
                    let is_object = opening == b'{';
                    let closing = if is_object { b'}' } else { b']' };
                    if self.peek() == Some(closing) {
                        self.at += 1;
                    } else {
                        depth += 1;
                        objects = (objects << 1) | u64::from(is_object);
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.fault()),
            }
            // A value is complete: close what it completes, or find the next one.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.whitespace();
                let in_object = objects & 1 == 1;
                match (self.peek(), in_object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if in_object {
                            self.whitespace();
                            self.key()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    }
                    _ => return Err(self.fault()),
                }
            }
        }
    }

    /// Passes `"key" :`.
    fn key(&mut self) -> Result<(), Fault> {
        self.string()?;
        self.whitespace();
        self.expect(b':')
    }

    /// Passes a string with its quotes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        loop {
            self.at = string_stop(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(self.fault()),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.fault());
                    }
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(self.fault()),
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.fault()),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.fault());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        for byte in word {
            self.expect(*byte)?;
        }
        Ok(())
    }
}

/// The end of the string whose opening quote is before `at`, after its closing quote, and whether an escape is in it.
/// The text was checked before.
#[inline]
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut escaped = false;
    loop {
        while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let ends = ends_in(u64::from_le_bytes(*word));
            if ends != 0 {
                at += (ends.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        while bytes
            .get(at)
            .is_some_and(|byte| !matches!(byte, b'"' | b'\\'))
        {
            at += 1;
        }
        if bytes.get(at) != Some(&b'\\') {
            return (at + 1, escaped);
        }
        escaped = true;
        at += 2;
    }
}

/// The end of the value at `at`, of text that was checked before: only brackets and strings are looked at.
#[inline]
pub(crate) fn value_end(bytes: &[u8], mut at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at + 1).0,
        Some(b'{' | b'[') => container_end(bytes, at),
        _ => {
            while bytes
                .get(at)
                .is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | 0..=b' '))
            {
                at += 1;
            }
            at
        }
    }
}

fn container_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth: u32 = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at).0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    // SEC-63
    #[test]
    fn sixty_four_levels_pass_and_sixty_five_do_not() {
        assert_eq!(check(&nested(64)), Ok((0, 128)));
        assert_eq!(check(&nested(65)), Err(Fault::TooDeep));
    }

    // SEC-63
    #[test]
    fn ten_thousand_levels_are_refused_without_recursion() {
        assert_eq!(check(&nested(10_000)), Err(Fault::TooDeep));
        assert_eq!(check(&"[".repeat(10_000)), Err(Fault::TooDeep));
        assert_eq!(check(&"{\"a\":".repeat(10_000)), Err(Fault::TooDeep));
    }

    #[test]
    fn siblings_do_not_count_as_depth() {
        let text = format!("[{}1]", "{\"a\":[[]]},".repeat(1000));
        assert!(check(&text).is_ok());
    }

    #[test]
    fn accepts_and_refuses_what_serde_json_accepts_and_refuses() {
        for text in [
            "",
            " ",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1E+5",
            "1e",
            "1e400",
            "true",
            "tru",
            "null",
            "nul",
            "\"\"",
            "\"",
            "\"\\\"",
            "\"\\u12g4\"",
            "\"\\u1234\"",
            "\"\\x\"",
            "\"\n\"",
            "[]",
            "[",
            "]",
            "[1,]",
            "[1 2]",
            "[,]",
            "{}",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "[1}",
            "{\"a\":1]",
            " { \"a\" : [ 1 , { } ] } ",
            "1 2",
            "{} x",
            "NaN",
            "\u{feff}{}",
        ] {
            assert_eq!(check(text).is_ok(), is_json(text), "{text:?}");
        }
    }

    fn is_json(text: &str) -> bool {
        serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_arbitrary_token_soup(
            tokens in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\"", "\"", "\\", "1", "-2.5e3", "0", "true", "null", " ", "é",
            ]), 0..24),
        ) {
            let text = tokens.concat();
            prop_assert_eq!(check(&text).is_ok(), is_json(&text), "{}", text);
        }

        #[test]
        fn skipping_checked_text_ends_where_checking_ends(text in crate::raw::arbitrary::json()) {
            prop_assert_eq!(value_end(text.as_bytes(), 0), text.len());
        }
    }
}
