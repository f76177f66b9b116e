//! What a request says about which client sends it: read from header and form, not yet believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use model::secret::Secret;
use oauth::client_id::ClientId;
use oauth::error::{ErrorCode, OauthError};
use oauth::form::{self, Form};
use oauth::jose::jwt::UnverifiedJwt;

/// `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Credentials as presented.
#[derive(Debug)]
pub(crate) enum Presented {
    /// Only a `client_id`: a public client.
    Nothing,
    /// A secret in the `Authorization` header.
    Basic(BasicSecret),
    /// A secret in the body.
    Post(Secret<String>),
    /// A signed assertion.
    Assertion(Secret<String>),
}

/// A secret in the two ways in which clients write it: form-encoded, as RFC 6749 §2.3.1 wants it, and as it is. The client
/// has whichever of them is right; guessing gains no more than one guess by the other.
#[derive(Debug)]
pub(crate) struct BasicSecret {
    decoded: Option<Secret<String>>,
    written: Secret<String>,
}

impl BasicSecret {
    /// Whether one of its readings is right.
    pub(crate) fn matches(&self, is_right: impl Fn(&str) -> bool) -> bool {
        let decoded = self
            .decoded
            .as_ref()
            .is_some_and(|secret| is_right(secret.expose()));
        let written = is_right(self.written.expose());
        decoded || written
    }
}

/// Who claims to send the request, and by what.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// Who.
    pub(crate) client_id: ClientId,
    /// Who else may be meant, if nobody is known by that name: an id in `Authorization` that was not form-encoded.
    pub(crate) otherwise: Option<ClientId>,
    /// By what.
    pub(crate) presented: Presented,
}

/// Whether the request tried HTTP Basic: then a refusal must answer with a challenge (RFC 6749 §5.2).
pub(crate) fn tried_basic(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION)
}

/// Reads the credentials of a request. More than one kind of them is refused (OAuth 2.1 §2.4).
pub(crate) fn read(headers: &HeaderMap, form: &Form) -> Result<Credentials, OauthError> {
    let invalid =
        |description: &'static str| OauthError::new(ErrorCode::InvalidRequest, description);
    let named = form.get("client_id").map(|text| {
        text.parse::<ClientId>().map_err(|error| {
            OauthError::new(ErrorCode::InvalidRequest, format!("`client_id`: {error}"))
        })
    });
    let named = named.transpose()?;
    let basic = basic(headers)?;
    let (post, assertion) = (form.get("client_secret"), form.get("client_assertion"));
    if [basic.is_some(), post.is_some(), assertion.is_some()]
        .iter()
        .filter(|there| **there)
        .count()
        > 1
    {
        return Err(invalid("the client is authenticated in more than one way"));
    }

    let mut otherwise = None;
    let (client_id, presented) = if let Some(basic) = basic {
        let presented = if basic.secret.written.expose().is_empty() {
            Presented::Nothing
        } else {
            Presented::Basic(basic.secret)
        };
        let (client_id, other) = match (basic.other_id, &named) {
            (Some(other), Some(named)) if other == *named => (other, None),
            (other, None) => (basic.client_id, other),
            (_, Some(_)) => (basic.client_id, None),
        };
        otherwise = other;
        (Some(client_id), presented)
    } else if let Some(assertion) = assertion {
        if form.get("client_assertion_type") != Some(JWT_BEARER) {
            return Err(invalid("`client_assertion_type` is not that of RFC 7523"));
        }
        (
            Some(subject(assertion)?),
            Presented::Assertion(Secret::new(assertion.to_owned())),
        )
    } else if let Some(secret) = post {
        (None, Presented::Post(Secret::new(secret.to_owned())))
    } else {
        (None, Presented::Nothing)
    };
    let client_id = match (client_id, named) {
        (Some(authenticated), Some(named)) if authenticated != named => {
            return Err(invalid("`client_id` is not the client that authenticates"));
        }
        (Some(client_id), _) | (None, Some(client_id)) => client_id,
        (None, None) => {
            return Err(OauthError::new(
                ErrorCode::InvalidClient,
                "the request names no client",
            ));
        }
    };
    Ok(Credentials {
        client_id,
        otherwise,
        presented,
    })
}

/// What `Authorization: Basic` says.
struct Basic {
    client_id: ClientId,
    /// The id as it is written, if that is another one.
    other_id: Option<ClientId>,
    secret: BasicSecret,
}

/// `Authorization: Basic`, whose two halves are form-encoded (RFC 6749 §2.3.1); many clients send them as they are.
fn basic(headers: &HeaderMap) -> Result<Option<Basic>, OauthError> {
    let refused =
        |description: &'static str| OauthError::new(ErrorCode::InvalidClient, description);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(OauthError::new(
            ErrorCode::InvalidRequest,
            "the request has more than one `Authorization` header",
        ));
    }
    let value = value
        .to_str()
        .map_err(|_| refused("the `Authorization` header is not text"))?;
    let (scheme, encoded) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refused(
            "clients authenticate with `Basic`, in the body, or not at all",
        ));
    }
    let decoded = STANDARD
        .decode(encoded.trim())
        .map_err(|_| refused("the `Authorization` header is not base64"))?;
    let decoded = Secret::new(decoded);
    let mut halves = decoded.expose().splitn(2, |byte| *byte == b':');
    let (Some(id), Some(secret)) = (halves.next(), halves.next()) else {
        return Err(refused(
            "the `Authorization` header has no colon after the client id",
        ));
    };
    let malformed = |_| refused("client id and secret in `Authorization` are not UTF-8");
    let written_id = std::str::from_utf8(id).map_err(malformed)?;
    let written = std::str::from_utf8(secret).map_err(malformed)?;
    let secret = BasicSecret {
        decoded: form::decode(secret).ok().map(Secret::new),
        written: Secret::new(written.to_owned()),
    };
    let decoded_id: Option<ClientId> = form::decode(id).ok().and_then(|id| id.parse().ok());
    let written_id: Option<ClientId> = written_id.parse().ok();
    let (client_id, other_id) = match (decoded_id, written_id) {
        (Some(decoded), Some(written)) if decoded != written => (decoded, Some(written)),
        (Some(only), _) | (None, Some(only)) => (only, None),
        (None, None) => {
            return Err(refused("the client id in `Authorization` is malformed"));
        }
    };
    Ok(Some(Basic {
        client_id,
        other_id,
        secret,
    }))
}

/// Whom an assertion claims to speak of (RFC 7523 §3).
fn subject(assertion: &str) -> Result<ClientId, OauthError> {
    let refused =
        |description: &'static str| OauthError::new(ErrorCode::InvalidClient, description);
    let unverified_jwt =
        UnverifiedJwt::parse(assertion).map_err(|_| refused("`client_assertion` is not a JWT"))?;
    let subject = unverified_jwt
        .unverified_claims()
        .subject()
        .ok_or_else(|| refused("`client_assertion` has no `sub`"))?;
    subject
        .parse()
        .map_err(|_| refused("the `sub` of `client_assertion` is malformed"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(authorization).unwrap(),
            );
        }
        headers
    }

    fn read_parts(authorization: &str, pairs: &[(&str, &str)]) -> Result<Credentials, ErrorCode> {
        read(
            &headers(authorization),
            &Form::from_pairs(pairs.iter().copied()),
        )
        .map_err(|error| error.code())
    }

    fn basic_header(id: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
    }

    #[test]
    fn a_public_client_only_names_itself() {
        let read = read_parts("", &[("client_id", "https://c.example/m")]).unwrap();
        assert_eq!(read.client_id.as_str(), "https://c.example/m");
        assert!(matches!(read.presented, Presented::Nothing));
    }

    // RFC 6749 §2.3.1: both halves are form-encoded.
    #[test]
    fn basic_credentials_are_decoded() {
        let read =
            read_parts(&basic_header("https%3A%2F%2Fc.example%2Fm", "a%25b+c"), &[]).unwrap();
        assert_eq!(read.client_id.as_str(), "https://c.example/m");
        assert!(fits(&read, "a%b c"));
    }

    fn fits(read: &Credentials, secret: &str) -> bool {
        matches!(&read.presented, Presented::Basic(presented) if presented.matches(|reading| reading == secret))
    }

    // Many clients send both halves as they are.
    #[test]
    fn basic_credentials_that_were_not_encoded_are_read_as_they_are() {
        for secret in ["a+b/c=", "100%", "%zz", "a:b", "s3cret +%"] {
            let read = read_parts(&basic_header("c", secret), &[]).unwrap();
            assert!(fits(&read, secret), "{secret}");
            assert!(!fits(&read, "another"), "{secret}");
        }
        let read = read_parts(&basic_header("my+app", "x"), &[]).unwrap();
        assert_eq!(read.client_id.as_str(), "my app");
        assert_eq!(read.otherwise.unwrap().as_str(), "my+app");
        let named = [("client_id", "my+app")];
        let read = read_parts(&basic_header("my+app", "x"), &named).unwrap();
        assert_eq!(read.client_id.as_str(), "my+app");
        assert_eq!(read.otherwise, None);
    }

    #[test]
    fn an_empty_secret_is_none() {
        assert!(matches!(
            read_parts(&basic_header("c", ""), &[]).unwrap().presented,
            Presented::Nothing
        ));
        assert!(matches!(
            read_parts("", &[("client_id", "c"), ("client_secret", "")])
                .unwrap()
                .presented,
            Presented::Nothing
        ));
    }

    #[test]
    fn malformed_headers_are_refused() {
        for bad in [
            "Basic",
            "Basic !",
            "Basic YWJj",
            "Bearer abc",
            // 0xff before the colon, and behind it.
            "Basic /zp4",
            "Basic eDr/",
            &basic_header("", "x"),
        ] {
            assert_eq!(
                read_parts(bad, &[]).unwrap_err(),
                ErrorCode::InvalidClient,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_request_without_client_is_refused() {
        assert_eq!(
            read_parts("", &[("client_secret", "x")]).unwrap_err(),
            ErrorCode::InvalidClient
        );
    }

    // OAuth 2.1 §2.4
    #[test]
    fn two_ways_of_authentication_are_refused() {
        let two = read_parts(
            &basic_header("c", "s"),
            &[("client_id", "c"), ("client_secret", "s")],
        );
        assert_eq!(two.unwrap_err(), ErrorCode::InvalidRequest);
        let two = read_parts("", &[("client_secret", "s"), ("client_assertion", "a")]);
        assert_eq!(two.unwrap_err(), ErrorCode::InvalidRequest);
    }

    // SEC-10
    #[test]
    fn two_different_clients_are_refused() {
        assert_eq!(
            read_parts(&basic_header("a", "s"), &[("client_id", "b")]).unwrap_err(),
            ErrorCode::InvalidRequest
        );
        assert!(read_parts(&basic_header("a", "s"), &[("client_id", "a")]).is_ok());
    }

    // SEC-52
    #[test]
    fn an_assertion_needs_its_type() {
        // {"alg":"ES256"} . {"sub":"c"}
        let assertion = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjIn0.AA";
        let read = read_parts(
            "",
            &[
                ("client_assertion", assertion),
                ("client_assertion_type", JWT_BEARER),
            ],
        )
        .unwrap();
        assert_eq!(read.client_id.as_str(), "c");
        assert_eq!(
            read_parts("", &[("client_assertion", assertion)]).unwrap_err(),
            ErrorCode::InvalidRequest
        );
        let foreign = [
            ("client_assertion", assertion),
            ("client_assertion_type", JWT_BEARER),
            ("client_id", "d"),
        ];
        assert_eq!(
            read_parts("", &foreign).unwrap_err(),
            ErrorCode::InvalidRequest
        );
        let garbage = [
            ("client_assertion", "x"),
            ("client_assertion_type", JWT_BEARER),
        ];
        assert_eq!(
            read_parts("", &garbage).unwrap_err(),
            ErrorCode::InvalidClient
        );
    }

    // SEC-70
    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?}",
            read_parts(&basic_header("c", "hush-hush"), &[]).unwrap()
        );
        assert!(!shown.contains("hush"), "{shown}");
    }

    proptest! {
        #[test]
        fn reading_never_panics(value in "(Basic |Bearer )?[A-Za-z0-9+/=]{0,40}") {
            let _ = read(&headers(&value), &Form::default());
        }
    }
}
