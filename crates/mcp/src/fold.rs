//! Whether a name is another one in other letters: what a reader that ignores case takes for the same member (SEC-81).
//!
//! Go's `encoding/json`, Jackson and .NET find members without regard to case, so that a member beside the one that was
//! decided about can take its place in what they read. The names of the protocol are ASCII; for these it is enough to
//! know the characters that some folding of Unicode (simple or full, by lower or by upper case, and that of Turkish)
//! makes ASCII letters of. There are thirteen: see [`unfolded`].

/// The ASCII letters, in lower case, that a character beyond ASCII can stand for.
const fn unfolded(character: char) -> Option<&'static str> {
    Some(match character {
        // Long s, and the sign for kelvin: the two of simple case folding.
        'ſ' => "s",
        '\u{212a}' => "k",
        // Capital i with a dot, and small i without one: by single mappings, as Java's `equalsIgnoreCase` has it.
        'İ' | 'ı' => "i",
        // By full case folding.
        'ß' | 'ẞ' => "ss",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' | 'ﬆ' => "st",
        _ => return None,
    })
}

/// Whether `name` is `known` under some case folding. One pass, nothing is allocated.
#[inline]
pub fn is_same(name: &str, known: &str) -> bool {
    if !known.is_ascii() {
        return folded(name).eq(folded(known));
    }
    // No character folds to more bytes than it has, nor to less than a third of them.
    if name.len() < known.len() || name.len() > 3 * known.len() {
        return false;
    }
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(known);
    }
    let mut rest = known.as_bytes();
    for character in name.chars() {
        let byte;
        let letters = match u8::try_from(character) {
            Ok(ascii) if ascii.is_ascii() => {
                byte = [ascii];
                &byte[..]
            }
            _ => match unfolded(character) {
                Some(letters) => letters.as_bytes(),
                None => return false,
            },
        };
        let Some((next, after)) = rest.split_at_checked(letters.len()) else {
            return false;
        };
        if !next.eq_ignore_ascii_case(letters) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// The letters of any name, folded.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
pub(crate) mod variants {
    //! A generator of other spellings.

    use proptest::prelude::*;

    /// What is `known` to a reader that ignores case, and is not spelled like it.
    pub(crate) fn of(known: &'static str) -> impl Strategy<Value = String> {
        prop::collection::vec(0_u8..4, known.len())
            .prop_map(move |choices| {
                let letters = known.chars().zip(choices);
                letters
                    .map(|(letter, choice)| spelled(letter, choice))
                    .collect::<String>()
            })
            .prop_filter("it is spelled as it should be", move |name| name != known)
    }

    /// The same name with every character as an escape of JSON.
    pub(crate) fn escaped(name: &str) -> String {
        let escapes: Vec<String> = name
            .chars()
            .map(|character| format!("\\u{:04x}", u32::from(character)))
            .collect();
        escapes.concat()
    }

    fn spelled(letter: char, choice: u8) -> char {
        match (choice, letter) {
            (0, 's') => 'ſ',
            (0, 'k') => '\u{212a}',
            (0, 'i') => 'ı',
            (1, 'i') => 'İ',
            (0 | 1, letter) => letter.to_ascii_uppercase(),
            (2, letter) => letter.to_ascii_lowercase(),
            (_, letter) => letter,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // SEC-81
    #[test]
    fn no_other_character_is_an_ascii_letter_in_another_case() {
        let ascii_of = |character: char| -> Vec<String> {
            let lower: String = character.to_lowercase().collect();
            let upper: String = character.to_uppercase().collect();
            let back: String = lower.chars().flat_map(char::to_uppercase).collect();
            // The single mapping of a character whose full one adds a mark.
            let single = lower.chars().next().map(String::from).unwrap_or_default();
            [lower, upper, back, single]
                .into_iter()
                .filter(|text| text.is_ascii())
                .map(|text| text.to_ascii_lowercase())
                .collect()
        };
        let mut found = 0;
        for character in ('\u{80}'..=char::MAX).filter(|character| unfolded(*character).is_none()) {
            assert_eq!(ascii_of(character), Vec::<String>::new(), "{character:?}");
            found += 1;
        }
        assert!(found > 1_000_000);
        for character in ('\u{80}'..=char::MAX).filter(|character| unfolded(*character).is_some()) {
            let letters = unfolded(character).unwrap().to_owned();
            assert!(ascii_of(character).contains(&letters), "{character:?}");
        }
    }

    // SEC-81
    #[test]
    fn names_are_the_same_in_any_letters_and_others_are_not() {
        for name in [
            "arguments",
            "Arguments",
            "ARGUMENTS",
            "argumentſ",
            "argument\u{17f}",
        ] {
            assert!(is_same(name, "arguments"), "{name}");
        }
        for name in ["argument", "argumentss", "argumentś", "", "a", "arguments "] {
            assert!(!is_same(name, "arguments"), "{name}");
        }
        assert!(is_same("progreßToken", "progressToken"));
        assert!(is_same("progressTo\u{212a}en", "progressToken"));
        assert!(is_same("İD", "id") && is_same("ıd", "id") && is_same("_META", "_meta"));
        assert!(!is_same("ﬀ", "f") && !is_same("ß", "s"));
        assert!(is_same("GRÖSSE", "größe") && !is_same("große", "größe"));
    }

    proptest! {
        #[test]
        fn a_variant_is_the_same_name(name in variants::of("io.modelcontextprotocol/clientCapabilities")) {
            prop_assert!(is_same(&name, "io.modelcontextprotocol/clientCapabilities"));
        }

        #[test]
        fn never_panics(name in any::<String>(), known in "[a-zA-Z._/]{0,12}") {
            let same = is_same(&name, &known);
            prop_assert_eq!(same && name.is_ascii(), name.eq_ignore_ascii_case(&known));
        }
    }
}
