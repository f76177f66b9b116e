//! Conditions: the operators and keys that are known, and when one holds.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::facts::CallerFacts;

/// A fact that a condition reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The client's address.
    SourceIp,
    /// The name of the listener; in AWS's words the VPC endpoint.
    Listener,
    /// Whether the client showed a certificate.
    ClientCertificate,
    /// Whether the request came over TLS.
    SecureTransport,
}

/// What kind of value a key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Address,
    Flag,
}

/// The names of the keys; names of condition keys are compared without regard to case, as AWS does.
pub const KEY_NAMES: &[&str] = &[
    "aws:SourceIp",
    "aws:SourceVpce",
    "sekisho:Listener",
    "sekisho:ClientCertificate",
    "aws:SecureTransport",
];

impl Key {
    pub(crate) fn named(name: &str) -> Option<Self> {
        const KEYS: &[Key] = &[
            Key::SourceIp,
            Key::Listener,
            Key::Listener,
            Key::ClientCertificate,
            Key::SecureTransport,
        ];
        let position = KEY_NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))?;
        KEYS.get(position).copied()
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::SourceIp => Kind::Address,
            Self::Listener => Kind::Text,
            Self::ClientCertificate | Self::SecureTransport => Kind::Flag,
        }
    }
}

impl Kind {
    pub(crate) const fn operators(self) -> &'static [&'static str] {
        match self {
            Self::Text => &[
                "StringEquals",
                "StringNotEquals",
                "StringLike",
                "StringNotLike",
                "StringEqualsIfExists",
                "StringNotEqualsIfExists",
                "StringLikeIfExists",
                "StringNotLikeIfExists",
                "Null",
            ],
            Self::Address => &[
                "IpAddress",
                "NotIpAddress",
                "IpAddressIfExists",
                "NotIpAddressIfExists",
                "Null",
            ],
            Self::Flag => &["Bool", "BoolIfExists", "Null"],
        }
    }
}

/// An operator, as its name says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) test: Test,
    pub(crate) negated: bool,
    pub(crate) if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    TextEquals,
    TextLike,
    Address,
    Flag,
    Absent,
}

/// The names of the operators.
pub const OPERATOR_NAMES: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "IpAddress",
    "NotIpAddress",
    "Bool",
    "StringEqualsIfExists",
    "StringNotEqualsIfExists",
    "StringLikeIfExists",
    "StringNotLikeIfExists",
    "IpAddressIfExists",
    "NotIpAddressIfExists",
    "BoolIfExists",
    "Null",
];

impl Operator {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (base, if_exists) = name
            .strip_suffix("IfExists")
            .map_or((name, false), |base| (base, true));
        let (test, negated) = match base {
            "StringEquals" => (Test::TextEquals, false),
            "StringNotEquals" => (Test::TextEquals, true),
            "StringLike" => (Test::TextLike, false),
            "StringNotLike" => (Test::TextLike, true),
            "IpAddress" => (Test::Address, false),
            "NotIpAddress" => (Test::Address, true),
            "Bool" => (Test::Flag, false),
            "Null" if !if_exists => (Test::Absent, false),
            _ => return None,
        };
        Some(Self {
            test,
            negated,
            if_exists,
        })
    }

    pub(crate) const fn fits(self, kind: Kind) -> bool {
        match self.test {
            Test::TextEquals | Test::TextLike => matches!(kind, Kind::Text),
            Test::Address => matches!(kind, Kind::Address),
            Test::Flag => matches!(kind, Kind::Flag),
            Test::Absent => true,
        }
    }
}

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub(crate) key: Key,
    pub(crate) negated: bool,
    pub(crate) if_exists: bool,
    pub(crate) wanted: Wanted,
}

/// The values of a condition: one of them is enough (for a negated operator: none may match).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Exactly(Vec<String>),
    Like(Vec<String>),
    Within(Vec<IpNet>),
    Flag(Vec<bool>),
    Absent(Vec<bool>),
}

impl Condition {
    /// Does it hold for a request from these surroundings?
    pub(crate) fn holds(&self, caller: &CallerFacts<'_>) -> bool {
        let matched = match &self.wanted {
            Wanted::Exactly(texts) => self
                .key
                .text(caller)
                .map(|text| texts.iter().any(|wanted| wanted == text)),
            Wanted::Like(patterns) => self
                .key
                .text(caller)
                .map(|text| patterns.iter().any(|p| is_like(p, text))),
            Wanted::Within(networks) => self.key.address(caller).map(|address| {
                let address = address.to_canonical();
                networks.iter().any(|network| network.contains(&address))
            }),
            Wanted::Flag(flags) => self.key.flag(caller).map(|flag| flags.contains(&flag)),
            Wanted::Absent(flags) => return flags.contains(&!self.key.is_present(caller)),
        };
        match matched {
            Some(matched) => matched != self.negated,
            // AWS: a key that is not in the request fails a positive operator and satisfies a
            // negated one; `…IfExists` is satisfied by it.
            None => self.negated || self.if_exists,
        }
    }
}

impl Key {
    const fn text<'a>(self, caller: &CallerFacts<'a>) -> Option<&'a str> {
        match self {
            Self::Listener => caller.listener,
            Self::SourceIp | Self::ClientCertificate | Self::SecureTransport => None,
        }
    }

    const fn address(self, caller: &CallerFacts<'_>) -> Option<IpAddr> {
        match self {
            Self::SourceIp => caller.address,
            Self::Listener | Self::ClientCertificate | Self::SecureTransport => None,
        }
    }

    const fn flag(self, caller: &CallerFacts<'_>) -> Option<bool> {
        match self {
            Self::ClientCertificate => Some(caller.client_certificate),
            Self::SecureTransport => Some(caller.tls),
            Self::SourceIp | Self::Listener => None,
        }
    }

    const fn is_present(self, caller: &CallerFacts<'_>) -> bool {
        match self {
            Self::SourceIp => caller.address.is_some(),
            Self::Listener => caller.listener.is_some(),
            Self::ClientCertificate | Self::SecureTransport => true,
        }
    }
}

/// Does a text match a pattern in which `*` stands for any characters and `?` for exactly one?
/// Takes at most pattern × text steps.
fn is_like(pattern: &str, text: &str) -> bool {
    let (mut rest_of_pattern, mut rest_of_text) = (pattern.chars(), text.chars());
    // Where to go on if it fails: just after the last `*`, with one character more given to it.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let text_here = rest_of_text.clone();
        match (rest_of_pattern.next(), rest_of_text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                rest_of_text = text_here.clone();
                retry = Some((rest_of_pattern.clone(), text_here));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                let Some((after_star, mut given)) = retry.take() else {
                    return false;
                };
                if given.next().is_none() {
                    return false;
                }
                rest_of_pattern = after_star.clone();
                rest_of_text = given.clone();
                retry = Some((after_star, given));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_understood_and_nothing_else() {
        for name in OPERATOR_NAMES {
            assert!(Operator::named(name).is_some(), "{name}");
        }
        for name in KEY_NAMES {
            assert!(Key::named(name).is_some(), "{name}");
            assert!(Key::named(&name.to_uppercase()).is_some(), "{name}");
        }
        for name in [
            "NullIfExists",
            "stringequals",
            "ForAllValues:StringEquals",
            "StringEqualsIgnoreCase",
            "",
        ] {
            assert!(Operator::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_operators_named_for_a_kind_are_those_that_fit_it() {
        for kind in [Kind::Text, Kind::Address, Kind::Flag] {
            let fitting: Vec<&str> = OPERATOR_NAMES
                .iter()
                .copied()
                .filter(|name| Operator::named(name).expect("known").fits(kind))
                .collect();
            let mut said = kind.operators().to_vec();
            said.sort_unstable();
            let mut fitting_sorted = fitting;
            fitting_sorted.sort_unstable();
            assert_eq!(said, fitting_sorted, "{kind:?}");
        }
    }

    #[test]
    fn wildcards_match_as_aws_describes() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "é", true),
            ("a?c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("vpce-*-main", "vpce-1-2-main", true),
            ("**a", "ba", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("Main", "main", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!is_like(&pattern, &"a".repeat(2_000)));
    }
}
