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

/// How many bytes a string goes on with at least. Whole blocks are looked at without a branch per byte.
fn string_run(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        if block
            .iter()
            .fold(false, |stops, byte| stops | stops_string(*byte))
        {
            let within = block.iter().position(|byte| stops_string(*byte));
            return within.map(|within| index * 16 + within);
        }
    }
    let within = rest.iter().position(|byte| stops_string(*byte));
    within.map(|within| blocks.len() * 16 + within)
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn fault(&self) -> Fault {
        if self.at < self.bytes.len() {
            Fault::Unexpected { at: self.at }
        } else {
            Fault::Truncated
        }
    }

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
    pub(crate) fn string(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(run) = string_run(rest) else {
                self.at = self.bytes.len();
                return Err(Fault::Truncated);
            };
            self.at += run;
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

    /// Passes one value of text that was checked before: only brackets and strings are looked at.
    pub(crate) fn skip_checked(&mut self) {
        match self.peek() {
            Some(b'"') => self.skip_checked_string(),
            Some(b'{' | b'[') => {
                let mut depth: u32 = 0;
                while let Some(byte) = self.peek() {
                    match byte {
                        b'"' => {
                            self.skip_checked_string();
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                }
            }
            _ => {
                while let Some(byte) = self.peek() {
                    if matches!(
                        byte,
                        b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r'
                    ) {
                        return;
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn skip_checked_string(&mut self) {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest) {
                Some(found) if rest.get(found) == Some(&b'"') => {
                    self.at += found + 1;
                    return;
                }
                Some(found) => self.at += found + 2,
                None => {
                    self.at = self.bytes.len();
                    return;
                }
            }
        }
    }
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
            let mut scanner = Scanner::new(text.as_bytes());
            scanner.skip_checked();
            prop_assert_eq!(scanner.at, text.len());
        }
    }
}
