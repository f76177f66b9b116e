//! Names that strangers gave themselves, made fit to be shown (SEC-17).

use std::fmt;

/// The most characters that are shown.
pub const MAX_CHARS: usize = 100;

/// A name without control, bidirectional and invisible characters, of at most [`MAX_CHARS`]. Still to be escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// Cleans a name; `None` when nothing visible is left.
    pub fn clean(text: &str) -> Option<Self> {
        let visible: String = text
            .chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .filter(|c| !is_hidden(*c) && !vouches(*c))
            .collect();
        let words = visible
            .split(' ')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let cut: String = words.chars().take(MAX_CHARS).collect();
        let cut = cut.trim_end();
        (!cut.is_empty()).then(|| Self(cut.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character is not seen, or turns others around: controls, bidirectional marks and overrides, zero-width and
/// filler characters, variation selectors, tags, private use.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Whether a character looks like a mark of approval: check marks, locks, shields, seals. Nobody here has approved of a name.
pub fn vouches(c: char) -> bool {
    matches!(c,
        '\u{ae}' | '\u{2122}' | '\u{2120}' | '\u{221a}' | '\u{2605}' | '\u{2606}' | '\u{2610}'..='\u{2612}' | '\u{2705}'
        | '\u{2713}' | '\u{2714}' | '\u{2b50}' | '\u{10102}' | '\u{1f3c5}'..='\u{1f3c6}' | '\u{1f4af}' | '\u{1f50f}'..='\u{1f513}'
        | '\u{1f396}' | '\u{1f5f8}' | '\u{1f5f9}' | '\u{1f6e1}' | '\u{1f947}' | '\u{1f197}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> Option<String> {
        DisplayName::clean(text).map(|name| name.to_string())
    }

    // SEC-17, SEC-71
    #[test]
    fn hidden_characters_go() {
        assert_eq!(
            clean("  Good\u{202e}live\u{200b}\r\n\tClient \u{feff}").as_deref(),
            Some("Goodlive Client")
        );
        assert_eq!(
            clean("<script>alert(1)</script>").as_deref(),
            Some("<script>alert(1)</script>")
        );
        assert_eq!(
            clean("\u{95a2}\u{6240}").as_deref(),
            Some("\u{95a2}\u{6240}")
        );
        assert_eq!(clean("\u{200b}\u{2066} "), None);
    }

    // SEC-17
    #[test]
    fn format_characters_of_rare_scripts_go_too() {
        for hidden in [
            '\u{1d173}',
            '\u{1d17a}',
            '\u{1bca0}',
            '\u{1bca3}',
            '\u{13430}',
        ] {
            assert_eq!(clean(&format!("Cl{hidden}aude")).as_deref(), Some("Claude"));
        }
    }

    // SEC-17, SEC-18
    #[test]
    fn nobody_gives_themselves_a_mark_of_approval() {
        for mark in [
            '\u{2713}',
            '\u{2714}',
            '\u{2705}',
            '\u{2611}',
            '\u{1f512}',
            '\u{1f6e1}',
            '\u{1f5f8}',
        ] {
            let name = clean(&format!("{mark} Example {mark}"));
            assert_eq!(name.as_deref(), Some("Example"), "{mark}");
        }
        assert_eq!(clean("\u{2713}\u{fe0f}"), None);
    }

    // SEC-17
    #[test]
    fn long_names_are_cut() {
        assert_eq!(
            clean(&"\u{3042}".repeat(10_000)).unwrap().chars().count(),
            MAX_CHARS
        );
    }

    proptest! {
        // SEC-17
        #[test]
        fn cleaning_twice_changes_nothing(text in "\\PC{0,200}|[\\x00-\\x1f\u{2000}-\u{2070} a]{0,50}") {
            if let Some(once) = clean(&text) {
                prop_assert!(once.chars().count() <= MAX_CHARS);
                prop_assert!(!once.chars().any(char::is_control));
                prop_assert_eq!(clean(&once), Some(once));
            }
        }
    }
}
