//! How the answer of the authorization endpoint travels.

use std::str::FromStr;

/// What the client asks for. Only codes exist (SEC-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// `code` (OAuth 2.1 §4.1.1).
    Code,
}

impl ResponseType {
    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
        }
    }
}

/// The text is no response type that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only the response type `code` is supported")]
pub struct UnsupportedResponseType;

impl FromStr for ResponseType {
    type Err = UnsupportedResponseType;

    fn from_str(text: &str) -> Result<Self, UnsupportedResponseType> {
        if text == "code" {
            Ok(Self::Code)
        } else {
            Err(UnsupportedResponseType)
        }
    }
}

/// Where the parameters of the answer stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of the redirect, the default for codes.
    #[default]
    Query,
}

impl ResponseMode {
    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
        }
    }
}

/// The text is no response mode that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only the response mode `query` is supported")]
pub struct UnsupportedResponseMode;

impl FromStr for ResponseMode {
    type Err = UnsupportedResponseMode;

    fn from_str(text: &str) -> Result<Self, UnsupportedResponseMode> {
        if text == "query" {
            Ok(Self::Query)
        } else {
            Err(UnsupportedResponseMode)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-9
    #[test]
    fn nothing_but_code_is_a_response_type() {
        assert_eq!("code".parse(), Ok(ResponseType::Code));
        for other in [
            "token",
            "id_token",
            "code token",
            "code id_token",
            "CODE",
            "",
        ] {
            assert_eq!(
                other.parse::<ResponseType>(),
                Err(UnsupportedResponseType),
                "{other}"
            );
        }
    }
}
