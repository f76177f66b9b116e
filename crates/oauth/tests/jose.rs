//! Signatures against published vectors, against an independent implementation in both directions, and under attack.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::jose::alg::{Alg, AlgSet};
use oauth::jose::claims::ClaimsError;
use oauth::jose::jwk::{Jwk, JwkError, JwkSet, JwkSetError, MAX_BYTES, MAX_KEYS};
use oauth::jose::jws::{JwsError, MAX_LENGTH, UnverifiedJws};
use oauth::jose::jwt::{
    ACCESS_TOKEN, AbsentType, AcceptedTypes, JwtError, PLAIN, UnverifiedJwt, VerifiedJwt,
};
use oauth::jose::signing::{SigningError, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: AcceptedTypes<'static> = AcceptedTypes {
    named: &[ACCESS_TOKEN],
    absent: AbsentType::Refused,
};
const ANY: AcceptedTypes<'static> = AcceptedTypes {
    named: &[ACCESS_TOKEN, PLAIN],
    absent: AbsentType::Accepted,
};

fn set(key: &SigningKey) -> JwkSet {
    JwkSet::new(vec![key.public().clone()])
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token whose header is ours to choose, signed by the key.
fn forged(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap())
    )
}

fn jws_error(token: &str, keys: &JwkSet, accepted: AlgSet) -> JwsError {
    match VerifiedJwt::verify(token, keys, accepted, ANY) {
        Err(JwtError::Signature(error)) => error,
        other => panic!("{other:?}"),
    }
}

// RFC 7515 appendix A.2.
#[test]
fn the_rs256_example_of_the_rfc_verifies() {
    let key = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = JwkSet::new(vec![Jwk::from_value(&key).unwrap()]);
    let verified = VerifiedJwt::verify(token, &keys, AlgSet::of(&[Alg::Rs256]), ANY).unwrap();
    assert_eq!(verified.claims().issuer(), Some("joe"));
    assert_eq!(
        verified.claims().check_dates(1_300_819_380, 0),
        Err(ClaimsError::Expired)
    );
}

// RFC 7515 appendix A.3.
#[test]
fn the_es256_example_of_the_rfc_verifies() {
    let key = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let keys = JwkSet::new(vec![Jwk::from_value(&key).unwrap()]);
    assert!(VerifiedJwt::verify(token, &keys, AlgSet::of(&[Alg::Es256]), ANY).is_ok());
}

// RFC 7515 appendix A.4.
#[test]
fn the_es512_example_of_the_rfc_verifies() {
    let key = json!({ "kty": "EC", "crv": "P-521", "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk", "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2" });
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let keys = JwkSet::new(vec![Jwk::from_value(&key).unwrap()]);
    let jws = UnverifiedJws::parse(token).unwrap();
    assert_eq!(jws.payload(), b"Payload");
    assert!(jws.verify(&keys, AlgSet::of(&[Alg::Es512])).is_ok());
}

// RFC 8037 appendix A: signature (A.4, A.5) and thumbprint (A.3).
#[test]
fn the_ed25519_example_of_the_rfc_verifies() {
    let key = Jwk::from_value(&json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })).unwrap();
    assert_eq!(
        key.thumbprint(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let jws = UnverifiedJws::parse(token).unwrap();
    assert_eq!(jws.payload(), b"Example of Ed25519 signing");
    assert!(
        jws.verify(&JwkSet::new(vec![key]), AlgSet::of(&[Alg::EdDsa]))
            .is_ok()
    );
}

// RFC 7638 §3.1.
#[test]
fn the_thumbprint_example_of_the_rfc_holds() {
    let key = json!({ "kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    let key = Jwk::from_value(&key).unwrap();
    assert_eq!(
        key.thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(
        (key.kid(), key.alg()),
        (Some("2011-04-29"), Some(Alg::Rs256))
    );
}

#[test]
fn every_key_signs_stores_and_publishes() {
    for alg in Alg::ALL.iter().copied() {
        let key = SigningKey::generate(alg).unwrap();
        let again = SigningKey::from_pkcs8(alg, &key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(key.kid(), again.kid());
        let token = again
            .sign_jwt(ACCESS_TOKEN, &json!({ "sub": "alice" }))
            .unwrap();
        let published = JwkSet::parse(set(&key).to_value().to_string().as_bytes()).unwrap();
        let verified = VerifiedJwt::verify(&token, &published, AlgSet::of(&[alg]), AT).unwrap();
        assert_eq!(verified.claims().subject(), Some("alice"));
        assert_eq!(verified.header().kid.as_deref(), Some(key.kid()));
    }
}

#[test]
fn private_keys_are_not_shown() {
    let key = SigningKey::generate(Alg::EdDsa).unwrap();
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey {{ alg: EdDsa, kid: {:?}, .. }}", key.kid())
    );
}

#[test]
fn other_bytes_are_no_private_key() {
    let es256 = SigningKey::generate(Alg::Es256)
        .unwrap()
        .to_pkcs8()
        .unwrap();
    assert_eq!(
        SigningKey::from_pkcs8(Alg::EdDsa, &es256).unwrap_err(),
        SigningError::Unreadable
    );
    assert_eq!(
        SigningKey::from_pkcs8(Alg::Es256, b"x").unwrap_err(),
        SigningError::Unreadable
    );
    let other_curve = SigningKey::from_pkcs8(Alg::Es384, &es256).unwrap_err();
    assert_eq!(other_curve, SigningError::Unreadable);
}

/// The algorithms of the independent implementation; it has no ES512.
fn oracle(alg: Alg) -> Option<jsonwebtoken::Algorithm> {
    Some(match alg {
        Alg::Es256 => jsonwebtoken::Algorithm::ES256,
        Alg::Es384 => jsonwebtoken::Algorithm::ES384,
        Alg::Es512 => return None,
        Alg::Rs256 => jsonwebtoken::Algorithm::RS256,
        Alg::Rs384 => jsonwebtoken::Algorithm::RS384,
        Alg::Rs512 => jsonwebtoken::Algorithm::RS512,
        Alg::Ps256 => jsonwebtoken::Algorithm::PS256,
        Alg::Ps384 => jsonwebtoken::Algorithm::PS384,
        Alg::Ps512 => jsonwebtoken::Algorithm::PS512,
        Alg::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    })
}

fn in_oracle() -> impl Iterator<Item = (Alg, jsonwebtoken::Algorithm)> {
    Alg::ALL
        .iter()
        .filter_map(|alg| Some((*alg, oracle(*alg)?)))
}

fn oracle_signs(alg: jsonwebtoken::Algorithm, key: &SigningKey, claims: &Value) -> String {
    let pkcs8 = key.to_pkcs8().unwrap();
    let encoding = match key.alg() {
        Alg::Es256 | Alg::Es384 | Alg::Es512 => jsonwebtoken::EncodingKey::from_ec_der(&pkcs8),
        Alg::EdDsa => jsonwebtoken::EncodingKey::from_ed_der(&pkcs8),
        // PKCS#8 of a 2048-bit key is 26 bytes of wrapping around PKCS#1.
        _ => jsonwebtoken::EncodingKey::from_rsa_der(&pkcs8[26..]),
    };
    let mut header = jsonwebtoken::Header::new(alg);
    header.kid = Some(key.kid().to_owned());
    jsonwebtoken::encode(&header, claims, &encoding).unwrap()
}

#[test]
fn an_independent_verifier_accepts_our_tokens() {
    for (alg, theirs) in in_oracle() {
        let key = SigningKey::generate(alg).unwrap();
        let token = key
            .sign_jwt("JWT", &json!({ "sub": "alice", "exp": 4_000_000_000_u64 }))
            .unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public().to_value()).unwrap();
        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let validation = jsonwebtoken::Validation::new(theirs);
        let decoded = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap();
        assert_eq!(decoded.claims["sub"], "alice");
    }
}

#[test]
fn we_accept_the_tokens_of_an_independent_signer() {
    for (alg, theirs) in in_oracle() {
        let key = SigningKey::generate(alg).unwrap();
        let token = oracle_signs(theirs, &key, &json!({ "sub": "alice" }));
        let keys = JwkSet::new(vec![Jwk::from_value(&key.public().to_value()).unwrap()]);
        assert!(
            VerifiedJwt::verify(&token, &keys, AlgSet::of(&[alg]), ANY).is_ok(),
            "{alg}"
        );
    }
}

// SEC-39
#[test]
fn unsigned_tokens_are_refused() {
    let key = SigningKey::generate(Alg::Es256).unwrap();
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({ "alg": none, "kid": key.kid() });
        for token in [
            format!("{}.{}.", part(&header), part(&json!({ "sub": "x" }))),
            forged(&key, &header, &json!({ "sub": "x" })),
        ] {
            assert_eq!(
                jws_error(&token, &set(&key), AlgSet::ALL),
                JwsError::AlgNotAccepted,
                "{none}"
            );
        }
    }
}

// SEC-39
#[test]
fn an_hmac_with_the_public_key_is_refused() {
    for alg in Alg::ALL.iter().copied() {
        let key = SigningKey::generate(alg).unwrap();
        let public = key.public().to_value().to_string();
        for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
            let signed = format!(
                "{}.{}",
                part(&json!({ "alg": name, "kid": key.kid() })),
                part(&json!({}))
            );
            let tag = hmac::sign(
                &hmac::Key::new(algorithm, public.as_bytes()),
                signed.as_bytes(),
            );
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(
                jws_error(&token, &set(&key), AlgSet::ALL),
                JwsError::AlgNotAccepted
            );
        }
    }
}

// SEC-39
#[test]
fn an_algorithm_outside_the_accepted_set_is_refused() {
    let key = SigningKey::generate(Alg::EdDsa).unwrap();
    let token = key.sign_jwt("JWT", &json!({})).unwrap();
    assert_eq!(
        jws_error(&token, &set(&key), AlgSet::of(&[Alg::Es256, Alg::Rs256])),
        JwsError::AlgNotAccepted
    );
}

// SEC-39
#[test]
fn the_algorithm_must_be_that_of_the_named_key() {
    let (es256, rs256) = (
        SigningKey::generate(Alg::Es256).unwrap(),
        SigningKey::generate(Alg::Rs256).unwrap(),
    );
    let keys = JwkSet::new(vec![es256.public().clone(), rs256.public().clone()]);
    let token = forged(
        &rs256,
        &json!({ "alg": "RS256", "kid": es256.kid() }),
        &json!({}),
    );
    assert_eq!(jws_error(&token, &keys, AlgSet::ALL), JwsError::WrongKey);
    // A key restricted to RS256 does not verify PS256.
    let token = forged(
        &rs256,
        &json!({ "alg": "PS256", "kid": rs256.kid() }),
        &json!({}),
    );
    assert_eq!(jws_error(&token, &keys, AlgSet::ALL), JwsError::WrongKey);
}

// SEC-39
#[test]
fn keys_within_the_token_are_ignored() {
    let (ours, theirs) = (
        SigningKey::generate(Alg::Es256).unwrap(),
        SigningKey::generate(Alg::Es256).unwrap(),
    );
    let embedded = |kid: &str| {
        json!({ "alg": "ES256", "kid": kid, "jwk": theirs.public().to_value(), "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/cert", "x5c": ["AAAA"] })
    };
    assert_eq!(
        jws_error(
            &forged(&theirs, &embedded(ours.kid()), &json!({})),
            &set(&ours),
            AlgSet::ALL
        ),
        JwsError::BadSignature
    );
    assert_eq!(
        jws_error(
            &forged(&theirs, &embedded(theirs.kid()), &json!({})),
            &set(&ours),
            AlgSet::ALL
        ),
        JwsError::UnknownKey
    );
    assert!(
        VerifiedJwt::verify(
            &forged(&ours, &embedded(ours.kid()), &json!({})),
            &set(&ours),
            AlgSet::ALL,
            ANY
        )
        .is_ok()
    );
}

// SEC-39
#[test]
fn critical_extensions_are_refused() {
    let key = SigningKey::generate(Alg::Es256).unwrap();
    for crit in [json!(["b64"]), json!([])] {
        let token = forged(
            &key,
            &json!({ "alg": "ES256", "crit": crit, "b64": false }),
            &json!({}),
        );
        assert_eq!(
            jws_error(&token, &set(&key), AlgSet::ALL),
            JwsError::CriticalExtension
        );
    }
}

// SEC-39: signatures of the right length that are no signatures.
#[test]
fn degenerate_signatures_are_refused() {
    for alg in Alg::ALL.iter().copied() {
        let key = SigningKey::generate(alg).unwrap();
        let token = key.sign_jwt("JWT", &json!({ "sub": "x" })).unwrap();
        let (signed, good) = token.rsplit_once('.').unwrap();
        let length = URL_SAFE_NO_PAD.decode(good).unwrap().len();
        for bad in [
            vec![],
            vec![0; length],
            vec![0xff; length],
            vec![1; length - 1],
            vec![0; length + 1],
        ] {
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bad));
            assert_eq!(
                jws_error(&token, &set(&key), AlgSet::ALL),
                JwsError::BadSignature,
                "{alg}"
            );
        }
    }
}

#[test]
fn an_es256_signature_in_der_is_refused() {
    let key = SigningKey::generate(Alg::Es256).unwrap();
    let token = key.sign_jwt("JWT", &json!({})).unwrap();
    let (signed, raw) = token.rsplit_once('.').unwrap();
    let raw = URL_SAFE_NO_PAD.decode(raw).unwrap();
    let mut der = vec![0x30, 0x46, 0x02, 0x21, 0];
    der.extend_from_slice(&raw[..32]);
    der.extend_from_slice(&[0x02, 0x21, 0]);
    der.extend_from_slice(&raw[32..]);
    assert_eq!(
        jws_error(
            &format!("{signed}.{}", URL_SAFE_NO_PAD.encode(der)),
            &set(&key),
            AlgSet::ALL
        ),
        JwsError::BadSignature
    );
}

#[test]
fn malformed_tokens_are_refused() {
    let key = SigningKey::generate(Alg::EdDsa).unwrap();
    let token = key.sign_jwt("JWT", &json!({})).unwrap();
    let error = |token: &str| UnverifiedJws::parse(token).unwrap_err();
    assert_eq!(error(""), JwsError::NotCompact);
    assert_eq!(error("a.b"), JwsError::NotCompact);
    assert_eq!(error(&format!("{token}.x")), JwsError::NotCompact);
    assert_eq!(error(&format!("{token}=")), JwsError::NotCompact);
    assert_eq!(error(&format!(" {token}")), JwsError::NotCompact);
    assert_eq!(error(&"a".repeat(MAX_LENGTH + 1)), JwsError::TooLong);
    assert_eq!(error("e30.e30.AA"), JwsError::BadHeader);
    let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"EdDSA"}"#);
    assert_eq!(error(&format!("{twice}.e30.AA")), JwsError::BadHeader);
}

// SEC-40
#[test]
fn a_token_of_another_type_is_refused() {
    let key = SigningKey::generate(Alg::Es256).unwrap();
    let verify = |header: Value| {
        VerifiedJwt::verify(
            &forged(&key, &header, &json!({})),
            &set(&key),
            AlgSet::ALL,
            AT,
        )
        .map(|_| ())
    };
    assert_eq!(verify(json!({ "alg": "ES256", "typ": "at+jwt" })), Ok(()));
    assert_eq!(
        verify(json!({ "alg": "ES256", "typ": "application/AT+JWT" })),
        Ok(())
    );
    assert_eq!(
        verify(json!({ "alg": "ES256", "typ": "JWT" })),
        Err(JwtError::OtherType)
    );
    assert_eq!(verify(json!({ "alg": "ES256" })), Err(JwtError::OtherType));
}

// SEC-42
#[test]
fn weak_and_broken_keys_are_refused() {
    let rsa = |bytes: usize, e: &str| {
        let mut n = vec![0xd5; bytes];
        n[0] = 0xff;
        Jwk::from_value(&json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": e }))
            .map(|_| ())
    };
    assert_eq!(rsa(128, "AQAB"), Err(JwkError::RsaSize));
    assert_eq!(rsa(255, "AQAB"), Err(JwkError::RsaSize));
    assert_eq!(rsa(1025, "AQAB"), Err(JwkError::RsaSize));
    assert_eq!(rsa(256, "AQ"), Err(JwkError::RsaExponent));
    assert_eq!(rsa(256, "AQAC"), Err(JwkError::RsaExponent));
    assert_eq!(rsa(256, "AQABAQAB"), Err(JwkError::RsaExponent));
    assert_eq!(rsa(256, "AQAB"), Ok(()));
    let point = URL_SAFE_NO_PAD.encode([1; 32]);
    let ec = |curve: &str, x: &str, y: &str| {
        Jwk::from_value(&json!({ "kty": "EC", "crv": curve, "x": x, "y": y })).map(|_| ())
    };
    for curve in ["P-256", "P-384", "P-521"] {
        assert_eq!(ec(curve, &point, &point), Err(JwkError::NotOnCurve));
        let long = URL_SAFE_NO_PAD.encode([1; 67]);
        assert_eq!(ec(curve, &long, &point), Err(JwkError::BadMember));
    }
    for curve in ["P-192", "secp256k1", ""] {
        assert_eq!(ec(curve, &point, &point), Err(JwkError::Unsupported));
    }
}

// SEC-42: a modulus congruent to 1 for every small prime, as the weak generator's are.
#[test]
fn the_fingerprint_of_the_weak_generator_is_recognized() {
    // 65537^0 = 1 lies in every subgroup: build n = 1 + k * (product of the primes), 2048 bits long.
    let primes = [
        3_u32, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83,
        89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    let mut n = vec![0_u8; 256];
    n[0] = 0x80;
    n[8] = 0x55;
    // Little steps of long arithmetic: n -= n mod product, then += 1, prime by prime through the big product.
    let mut product = vec![1_u8];
    for prime in primes {
        let mut carry = 0_u32;
        for byte in product.iter_mut().rev() {
            let value = u32::from(*byte) * prime + carry;
            *byte = (value & 0xff) as u8;
            carry = value >> 8;
        }
        while carry > 0 {
            product.insert(0, (carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    // Place the product so that its top lies at the top of n, with zeros below: a multiple of every prime.
    n.fill(0);
    n[..product.len()].copy_from_slice(&product);
    n[255] |= 1;
    if n[0] < 0x80 {
        // Double until the top bit is set; still a multiple, plus one at the end.
        n[255] &= !1;
        while n[0] < 0x80 {
            let mut carry = 0;
            for byte in n.iter_mut().rev() {
                let value = u16::from(*byte) * 2 + carry;
                *byte = (value & 0xff) as u8;
                carry = value >> 8;
            }
        }
        n[255] |= 1;
    }
    let key = json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB" });
    assert_eq!(
        Jwk::from_value(&key).map(|_| ()),
        Err(JwkError::RsaWeakGenerator)
    );
}

// SEC-31
#[test]
fn keys_with_private_members_are_refused() {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "AA" });
    assert_eq!(Jwk::from_value(&key).map(|_| ()), Err(JwkError::Private));
}

fn parsed(keys: &[Value]) -> JwkSet {
    JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

// SEC-44
#[test]
fn key_sets_are_bounded_and_unusable_keys_left_out() {
    let good = SigningKey::generate(Alg::EdDsa)
        .unwrap()
        .public()
        .to_value();
    let odd = [
        json!({ "kty": "oct", "k": "AA" }),
        json!({ "kty": "EC", "crv": "P-192", "x": "AA", "y": "AA", "kid": "small" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc" }),
        json!("nonsense"),
        good.clone(),
        Value::Null,
    ];
    let set = parsed(&odd);
    assert_eq!(set.keys().len(), 1);
    let said: Vec<_> = set
        .left_out()
        .iter()
        .map(|left_out| (left_out.kid.as_deref(), left_out.reason))
        .collect();
    assert_eq!(
        said,
        [
            (None, JwkError::Unsupported),
            (Some("small"), JwkError::Unsupported),
            (None, JwkError::NotKey),
            (None, JwkError::NotKey)
        ],
        "a key for encryption is none of our concern"
    );
    assert_eq!(parsed(&vec![good.clone(); MAX_KEYS]).left_out(), []);
    let large = parsed(&vec![good; MAX_KEYS + 1]);
    assert_eq!(large.keys().len(), MAX_KEYS);
    assert_eq!(large.left_out()[0].reason, JwkError::TooMany);
    assert_eq!(JwkSet::parse(b"{}").unwrap_err(), JwkSetError::NotKeySet);
    assert_eq!(
        JwkSet::parse(&vec![b' '; MAX_BYTES + 1]).unwrap_err(),
        JwkSetError::TooLong
    );
}

#[test]
fn members_of_a_key_that_are_null_or_needless_are_no_matter() {
    let key = SigningKey::generate(Alg::Rs256).unwrap();
    let token = forged(&key, &json!({ "alg": "RS256", "kid": 7 }), &json!({}));
    let mut odd = key.public().to_value();
    for (name, value) in [
        ("alg", Value::Null),
        ("use", Value::Null),
        ("d", Value::Null),
        ("key_ops", json!([])),
        ("x5c", json!({ "odd": true })),
        ("x5t", Value::Null),
        ("kid", json!(7)),
    ] {
        odd[name] = value;
    }
    let n = odd["n"]
        .as_str()
        .unwrap()
        .replace('-', "+")
        .replace('_', "/");
    odd["n"] = format!("{n}==").into();
    let document = format!("\u{feff}{}", json!({ "keys": [odd] }));
    let set = JwkSet::parse(document.as_bytes()).unwrap();
    assert_eq!(set.left_out(), []);
    assert!(VerifiedJwt::verify(&token, &set, AlgSet::ALL, ANY).is_ok());
}

#[test]
fn coordinates_without_their_leading_zeros_are_understood() {
    // Half of all coordinates on P-521 begin with a zero byte.
    let (key, mut published) = loop {
        let key = SigningKey::generate(Alg::Es512).unwrap();
        let published = key.public().to_value();
        let x = URL_SAFE_NO_PAD
            .decode(published["x"].as_str().unwrap())
            .unwrap();
        if x[0] == 0 {
            break (key, published);
        }
    };
    let token = key.sign_jwt("JWT", &json!({})).unwrap();
    let x = URL_SAFE_NO_PAD
        .decode(published["x"].as_str().unwrap())
        .unwrap();
    for spelled in [x[1..].to_vec(), [&[0], x.as_slice()].concat()] {
        published["x"] = URL_SAFE_NO_PAD.encode(spelled).into();
        let read = Jwk::from_value(&published).unwrap();
        assert_eq!(read.thumbprint(), key.kid());
        assert!(VerifiedJwt::verify(&token, &JwkSet::new(vec![read]), AlgSet::ALL, ANY).is_ok());
    }
}

#[test]
fn a_token_without_kid_is_tried_with_every_fitting_key() {
    let keys: Vec<_> = (0..3)
        .map(|_| SigningKey::generate(Alg::Es256).unwrap())
        .collect();
    let set = JwkSet::new(keys.iter().map(|key| key.public().clone()).collect());
    let token = forged(&keys[2], &json!({ "alg": "ES256" }), &json!({}));
    assert!(VerifiedJwt::verify(&token, &set, AlgSet::ALL, ANY).is_ok());
}

proptest! {
    #[test]
    fn parsing_never_panics(token in "[A-Za-z0-9_.-]{0,80}|\\PC{0,40}") {
        let _ = UnverifiedJwt::parse(&token);
    }

    // SEC-39
    #[test]
    fn a_changed_character_never_verifies(position in 0_usize..200, letter in "[A-Za-z0-9_-]") {
        let key = SigningKey::from_pkcs8(Alg::EdDsa, &ed25519_pkcs8()).unwrap();
        let token = key.sign_jwt("JWT", &json!({ "sub": "alice", "scope": "mcp:tools" })).unwrap();
        let position = position % token.len();
        let mut changed = token.clone();
        changed.replace_range(position..=position, &letter);
        if changed != token {
            prop_assert!(VerifiedJwt::verify(&changed, &set(&key), AlgSet::ALL, ANY).is_err());
        }
    }
}

/// The private key of RFC 8032 §7.1, test 1, as PKCS#8.
fn ed25519_pkcs8() -> Vec<u8> {
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend_from_slice(&[
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ]);
    der
}
