//! The `prompt` parameter (OpenID Connect Core §3.1.2.1), compared by whole words.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a `prompt` was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// `none` together with something else.
    #[error("`prompt=none` cannot be combined with other values")]
    NoneWithOthers,
}

/// Which pages the client insists on, or that there be none. Unknown words are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// No page at all: answer with an error instead.
    pub none: bool,
    /// Ask for credentials even within a session.
    pub login: bool,
    /// Ask for consent even when it was given.
    pub consent: bool,
    /// Let the user choose the account.
    pub select_account: bool,
}

impl FromStr for Prompt {
    type Err = PromptError;

    fn from_str(text: &str) -> Result<Self, PromptError> {
        let mut prompt = Self::default();
        let mut words = 0;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            words += 1;
            match word {
                "none" => prompt.none = true,
                "login" => prompt.login = true,
                "consent" => prompt.consent = true,
                "select_account" => prompt.select_account = true,
                _ => {}
            }
        }
        if prompt.none && words > 1 {
            return Err(PromptError::NoneWithOthers);
        }
        Ok(prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_words() {
        assert_eq!("nologin".parse(), Ok(Prompt::default()));
        assert_eq!(
            "login consent".parse(),
            Ok(Prompt {
                login: true,
                consent: true,
                ..Prompt::default()
            })
        );
    }

    #[test]
    fn none_stands_alone() {
        assert_eq!(
            "none".parse(),
            Ok(Prompt {
                none: true,
                ..Prompt::default()
            })
        );
        assert_eq!(
            "none login".parse::<Prompt>(),
            Err(PromptError::NoneWithOthers)
        );
    }
}
