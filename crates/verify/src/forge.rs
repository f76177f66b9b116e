//! Tokens that no resource server may accept, made from one that it does accept.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use aws_lc_rs::{error::Unspecified, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Header and claims of a JWT, read without verifying anything.
#[derive(Debug, Clone)]
pub(crate) struct UnverifiedJwt {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl UnverifiedJwt {
    /// Reads a compact JWS; `None` for an opaque token.
    pub(crate) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if signature.is_empty() || parts.next().is_some() {
            return None;
        }
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
        })
    }

    /// A claim as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// A claim as seconds since 1970.
    pub(crate) fn seconds(&self, name: &str) -> Option<i64> {
        self.claims.get(name)?.as_i64()
    }

    /// `aud` as a list, whichever form it has.
    pub(crate) fn audience(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The same token with one claim replaced.
    #[must_use]
    pub(crate) fn with(&self, claim: &str, value: impl Into<Value>) -> Self {
        let mut other = self.clone();
        other.claims.insert(claim.to_owned(), value.into());
        other
    }

    /// `alg: none`, without a signature (RFC 8725 §2.1).
    pub(crate) fn unsigned(&self) -> String {
        let mut header = self.header.clone();
        header.insert("alg".to_owned(), "none".into());
        format!("{}.", signing_input(&header, &self.claims))
    }

    /// `HS256`, with the issuer's public key as the secret (RFC 8725 §2.1).
    pub(crate) fn keyed_with(&self, secret: &[u8]) -> String {
        let mut header = self.header.clone();
        header.insert("alg".to_owned(), "HS256".into());
        let input = signing_input(&header, &self.claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Properly signed with ES256, but by a key of ours.
    pub(crate) fn signed_by(&self, key: &StrangersKey) -> Result<String, Unspecified> {
        let mut header = self.header.clone();
        header.insert("alg".to_owned(), "ES256".into());
        let input = signing_input(&header, &self.claims);
        let signature = key.0.sign(&SystemRandom::new(), input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A signing key that no issuer knows.
pub(crate) struct StrangersKey(EcdsaKeyPair);

impl StrangersKey {
    pub(crate) fn generate() -> Result<Self, Unspecified> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match serde_json::from_slice(&bytes).ok()? {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn signing_input(header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
    let part =
        |map: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(map.clone()).to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A public JWK as the PEM text that a confused verifier would take for an HMAC secret.
pub(crate) fn public_key_pem(jwk: &Value) -> Option<String> {
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
    let info = match jwk.get("kty")?.as_str()? {
        "RSA" => {
            // AlgorithmIdentifier rsaEncryption with NULL parameters (RFC 3279 §2.3.1).
            const RSA: [u8; 15] = [
                0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
                0x00,
            ];
            let key = der(
                0x30,
                &[
                    unsigned_integer(&bytes("n")?),
                    unsigned_integer(&bytes("e")?),
                ]
                .concat(),
            );
            der(
                0x30,
                &[RSA.to_vec(), der(0x03, &[vec![0], key].concat())].concat(),
            )
        }
        "EC" if jwk.get("crv")?.as_str()? == "P-256" => {
            // AlgorithmIdentifier id-ecPublicKey with prime256v1 (RFC 5480 §2.1.1).
            const P256: [u8; 21] = [
                0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
            ];
            let point = [vec![0, 4], bytes("x")?, bytes("y")?].concat();
            der(0x30, &[P256.to_vec(), der(0x03, &point)].concat())
        }
        _ => return None,
    };
    let text = STANDARD.encode(info);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    Some(format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    ))
}

/// A DER value: tag, length, contents (ITU-T X.690 §8.1).
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(contents);
    out
}

/// A non-negative INTEGER.
fn unsigned_integer(magnitude: &[u8]) -> Vec<u8> {
    match magnitude.first() {
        Some(first) if *first >= 0x80 => der(0x02, &[vec![0], magnitude.to_vec()].concat()),
        _ => der(0x02, magnitude),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> UnverifiedJwt {
        let token = format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"iss":"i","aud":"a","exp":9}"#)
        );
        UnverifiedJwt::read(&token).expect("a JWT")
    }

    #[test]
    fn an_opaque_token_is_not_read_as_a_jwt() {
        assert!(UnverifiedJwt::read("opaque").is_none());
        assert!(UnverifiedJwt::read("a.b.c").is_none());
        assert!(UnverifiedJwt::read("a.b.").is_none());
    }

    #[test]
    fn forgeries_keep_the_claims_and_change_the_signature() {
        let jwt = sample();
        assert_eq!(jwt.audience(), ["a"]);
        assert!(jwt.unsigned().ends_with('.'));
        let key = StrangersKey::generate().expect("a key");
        let forged = jwt.with("exp", 1).signed_by(&key).expect("a signature");
        let read = UnverifiedJwt::read(&forged).expect("a JWT");
        assert_eq!(read.seconds("exp"), Some(1));
        assert_eq!(read.text("iss"), Some("i"));
        let keyed = UnverifiedJwt::read(&jwt.keyed_with(b"secret")).expect("a JWT");
        assert_eq!(keyed.header.get("alg"), Some(&"HS256".into()));
    }

    #[test]
    fn a_p256_key_becomes_the_pem_that_openssl_prints() {
        // The public key of RFC 7517 appendix A.1.
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
        });
        let pem = public_key_pem(&jwk).expect("a PEM");
        assert!(pem.starts_with(
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A\n"
        ));
    }
}
