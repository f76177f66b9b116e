//! `application/x-www-form-urlencoded` bodies and queries, in which no parameter may occur twice.

use std::borrow::Cow;

use crate::error::{ErrorCode, OauthError, shown};

/// The most bytes of a body or query that are looked at.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most parameters.
pub const MAX_PARAMETERS: usize = 100;

/// RFC 8707 §2 and RFC 8693 §2.1 permit these to be repeated; nothing else may be (OAuth 2.1 §3.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// Why a form was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// More than [`MAX_BYTES`].
    #[error("the form is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_PARAMETERS`].
    #[error("the form has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("a percent sign is not followed by two hexadecimal digits")]
    BadEscape,
    /// A name or value is not UTF-8.
    #[error("a name or value is not UTF-8")]
    NotUtf8,
    /// A `;` stands where a `&` belongs. What follows it would be taken for a part of a value, and a secret there for
    /// something that may be named (SEC-71).
    #[error("the parameters are separated by `;`; hint: `&` separates them")]
    Semicolon,
    /// A parameter occurs twice (OAuth 2.1 §3.1).
    #[error("the parameter `{}` occurs more than once", shown(name))]
    Repeated {
        /// Its name.
        name: String,
    },
}

impl From<FormError> for OauthError {
    fn from(error: FormError) -> Self {
        Self::new(ErrorCode::InvalidRequest, error.to_string())
    }
}

/// Whether a part goes on with `;name=`, whatever the name and however it is spelled. Whoever means a semicolon in a value
/// escapes it.
fn has_parameter_behind_semicolon(part: &[u8]) -> bool {
    part.split(|byte| *byte == b';')
        .skip(1)
        .any(|piece| piece.contains(&b'='))
}

/// The parameters of one request. A parameter without a value counts as absent (RFC 6749 §3.1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

/// Values may be secrets, so only the names are shown.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Form {
    /// Reads a body or a query (without its `?`).
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > MAX_BYTES {
            return Err(FormError::TooLong);
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in bytes
            .split(|byte| *byte == b'&')
            .filter(|part| !part.is_empty())
        {
            if pairs.len() == MAX_PARAMETERS {
                return Err(FormError::TooManyParameters);
            }
            if has_parameter_behind_semicolon(part) {
                return Err(FormError::Semicolon);
            }
            let mut halves = part.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if !REPEATABLE.contains(&name.as_str())
                && pairs.iter().any(|(earlier, _)| *earlier == name)
            {
                return Err(FormError::Repeated { name });
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// Reads the query of a URL; no query is an empty form.
    pub fn parse_query(query: Option<&str>) -> Result<Self, FormError> {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// A form made by us.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self {
            pairs: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    /// The value of a parameter; an empty one is absent.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All non-empty values of a parameter, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    pub fn require<'a>(&'a self, name: &'a str) -> Result<&'a str, OauthError> {
        self.get(name).ok_or_else(|| {
            OauthError::new(
                ErrorCode::InvalidRequest,
                format!("the parameter `{name}` is missing"),
            )
        })
    }

    /// The names of all parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }

    /// All parameters, in order, empty ones too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The encoded form.
    pub fn encode(&self) -> String {
        encode(self.iter())
    }
}

/// Encodes parameters; the opposite of [`Form::parse`].
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Decodes one name or value: `+` is a space, escapes must be whole, the result must be UTF-8.
///
/// Client ids and secrets in `Authorization: Basic` are encoded the same way (RFC 6749 §2.3.1).
pub fn decode(bytes: &[u8]) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = rest.next().and_then(hex).zip(rest.next().and_then(hex));
                let (high, low) = digits.ok_or(FormError::BadEscape)?;
                high * 16 + low
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| FormError::NotUtf8)
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether a `Content-Type` value is exactly one `application/x-www-form-urlencoded`, perhaps with parameters.
pub fn is_form_media_type(content_type: &str) -> bool {
    let essence: Cow<'_, str> = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .into();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !content_type.contains(',')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_decoded() {
        let form = Form::parse(b"a=1%202+3&b=&c&%E3%81%82=x").unwrap();
        assert_eq!(form.get("a"), Some("1 2 3"));
        assert_eq!(form.get("\u{3042}"), Some("x"));
    }

    #[test]
    fn a_parameter_without_value_is_absent() {
        let form = Form::parse(b"b=&c").unwrap();
        assert_eq!((form.get("b"), form.get("c")), (None, None));
    }

    // SEC-10
    #[test]
    fn a_repeated_parameter_is_refused() {
        assert_eq!(
            Form::parse(b"state=1&state=2"),
            Err(FormError::Repeated {
                name: "state".into()
            })
        );
        assert_eq!(
            Form::parse(b"state=1&stat%65=1"),
            Err(FormError::Repeated {
                name: "state".into()
            })
        );
        assert_eq!(
            Form::parse(b"state=&state=1"),
            Err(FormError::Repeated {
                name: "state".into()
            })
        );
    }

    // SEC-10, AS-29
    #[test]
    fn resource_may_be_repeated() {
        let form = Form::parse(b"resource=a&resource=b").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    // SEC-71: what stands behind it is a secret by any name, and would be taken for a part of a value that may be named.
    #[test]
    fn a_semicolon_separates_no_parameters_however_the_next_one_is_spelled() {
        let names = [
            "code",
            " code",
            "+code",
            "%20code",
            "\tcode",
            "COD%45",
            "%63ode",
            "Code",
            "code ",
            "assertion",
            "device_code",
            "subject_token",
            "x",
            ";code",
            "a;code",
        ];
        for name in names {
            for form in [
                format!("client_id=app;{name}=secret"),
                format!("client_id=app&scope=a;{name}=secret&state=x"),
                format!("client_id;{name}=secret"),
                format!(";{name}=secret"),
            ] {
                assert_eq!(
                    Form::parse(form.as_bytes()),
                    Err(FormError::Semicolon),
                    "{form}"
                );
            }
        }
        for value in ["a%3Bcode=x", "a%3bcode%3Dx", "a;b", "a=b;", ";"] {
            let form = format!("state={value}");
            assert!(Form::parse(form.as_bytes()).is_ok(), "{form}");
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for broken in ["a=%", "a=%4", "a=%zz", "%=1"] {
            assert_eq!(
                Form::parse(broken.as_bytes()),
                Err(FormError::BadEscape),
                "{broken}"
            );
        }
    }

    #[test]
    fn invalid_utf8_is_refused() {
        assert_eq!(Form::parse(b"a=%ff"), Err(FormError::NotUtf8));
        assert_eq!(Form::parse(b"a=\xff"), Err(FormError::NotUtf8));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(
            Form::parse(&vec![b'a'; MAX_BYTES + 1]),
            Err(FormError::TooLong)
        );
        let many = (0..=MAX_PARAMETERS)
            .map(|n| format!("p{n}=1"))
            .collect::<Vec<_>>()
            .join("&");
        assert_eq!(
            Form::parse(many.as_bytes()),
            Err(FormError::TooManyParameters)
        );
    }

    // SEC-10
    #[test]
    fn only_one_media_type_counts() {
        assert!(is_form_media_type("application/x-www-form-urlencoded"));
        assert!(is_form_media_type(
            "Application/X-WWW-Form-URLEncoded; charset=UTF-8"
        ));
        assert!(!is_form_media_type(
            "application/json, application/x-www-form-urlencoded"
        ));
        assert!(!is_form_media_type(
            "application/x-www-form-urlencoded, application/json"
        ));
        assert!(!is_form_media_type("application/x-www-form-urlencoded2"));
        assert!(!is_form_media_type(""));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Form::parse(&bytes);
        }

        #[test]
        fn what_is_encoded_reads_back(pairs in prop::collection::btree_map("\\PC{1,8}", "\\PC{0,12}", 0..8)) {
            let form = Form::from_pairs(pairs);
            prop_assert_eq!(Form::parse(form.encode().as_bytes()).unwrap(), form);
        }
    }
}
