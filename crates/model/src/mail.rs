//! Mail addresses, as people have them.

use std::fmt;
use std::str::FromStr;

use crate::text::setting;

/// The longest address (RFC 5321 §4.5.3.1.3, less the angle brackets), in bytes.
const MAX: usize = 254;

/// An address: something, an at sign and a domain. Generous before the at sign, where every provider has rules of its own,
/// and in scripts (RFC 6531); quoted local parts are left out, as is everything that a header line would need to quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(String);

/// A text that is no mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a mail address such as `alice@example.com`")]
pub struct BadMailAddress;

impl MailAddress {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    MailAddress,
    "mail-address",
    "a mail address such as `alice@example.com`",
    "alice@example.com"
);

impl FromStr for MailAddress {
    type Err = BadMailAddress;

    fn from_str(text: &str) -> Result<Self, BadMailAddress> {
        let (local, domain) = text.rsplit_once('@').ok_or(BadMailAddress)?;
        let special = |c: char| "()<>[]:;@\\,\"".contains(c) || c.is_whitespace() || c.is_control();
        let dots = |part: &str| part.starts_with('.') || part.ends_with('.') || part.contains("..");
        let fits = (1..=64).contains(&local.len())
            && text.len() <= MAX
            && !local.contains(special)
            && !dots(local)
            && !domain.is_empty()
            && !dots(domain)
            && domain.split('.').all(is_label);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadMailAddress)
        }
    }
}

/// A label of a domain, in any script.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_people_have_are_taken_as_they_are() {
        for text in [
            "alice@example.com",
            "a@localhost",
            "o'brien+mcp=x@mail.example.co.jp",
            "\u{7528}\u{6237}@\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}",
            "UPPER.lower@EXAMPLE.com",
        ] {
            assert_eq!(text.parse::<MailAddress>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "alice",
            "@example.com",
            "alice@",
            "alice@@example.com",
            "a b@example.com",
            "alice@example..com",
            "alice@.example.com",
            "alice@-example.com",
            "alice@exa mple.com",
            ".alice@example.com",
            "a..b@example.com",
            "alice@example.com\r\nBcc: bob@example.com",
            "<alice@example.com>",
            "Alice <alice@example.com>",
            "alice@[127.0.0.1]",
            &long,
        ] {
            assert!(text.parse::<MailAddress>().is_err(), "{text:?}");
        }
    }
}
