//! Public keys: parsed once, checked for strength, looked up by `kid` (RFC 7517, RFC 7518 §6, RFC 8037, RFC 7638).

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::jose::alg::Alg;
use crate::json_object::without_bom;

/// The most bytes of a key set that are read (SEC-24).
pub const MAX_BYTES: usize = 64 * 1024;
/// The most keys of one set that are kept (SEC-44); those beyond are left out.
pub const MAX_KEYS: usize = 128;

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// Why one key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Not an object with `kty`.
    #[error("the key is not a JSON object with `kty`")]
    NotKey,
    /// A key type, curve or algorithm that does not exist here.
    #[error("the type, curve or algorithm of the key is not supported")]
    Unsupported,
    /// A key that is not for signatures, and none of ours to mind.
    #[error("the key is not for verifying signatures")]
    OtherUse,
    /// A member is missing or not base64url.
    #[error("a member of the key is missing or not base64url")]
    BadMember,
    /// Private members in what should be a public key (SEC-31).
    #[error("the key has private members")]
    Private,
    /// RSA with fewer than 2048 or more than 8192 bits (SEC-42).
    #[error("the RSA key has fewer than {MIN_RSA_BITS} or more than {MAX_RSA_BITS} bits")]
    RsaSize,
    /// An RSA exponent that is even, one, or longer than 32 bits (SEC-42).
    #[error("the exponent of the RSA key is not acceptable")]
    RsaExponent,
    /// An RSA modulus with the fingerprint of CVE-2017-15361 (SEC-42).
    #[error("the RSA key was made by a generator that is known to be weak")]
    RsaWeakGenerator,
    /// Coordinates that are no point of the curve (SEC-42).
    #[error("the key is not a point of its curve")]
    NotOnCurve,
    /// After [`MAX_KEYS`] good ones.
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
}

/// Why a key set was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkSetError {
    /// More than [`MAX_BYTES`].
    #[error("the key set is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not an object with an array `keys`.
    #[error("the key set is not a JSON object with an array `keys`")]
    NotKeySet,
}

/// The signature does not fit message and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// One public key, ready to verify with.
#[derive(Clone)]
pub struct Jwk {
    kid: Option<String>,
    alg: Option<Alg>,
    thumbprint: String,
    material: Arc<Material>,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
        /// The key made ready for each of [`RSA`], when it is first needed for that.
        ready: Box<[OnceLock<Option<ParsedPublicKey>>; RSA.len()]>,
    },
    Ec {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
        key: ParsedPublicKey,
    },
    Ed25519 {
        x: Vec<u8>,
        key: ParsedPublicKey,
    },
}

/// What one RSA key can verify.
static RSA: [(Alg, &RsaParameters); 6] = [
    (Alg::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (Alg::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (Alg::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (Alg::Ps256, &RSA_PSS_2048_8192_SHA256),
    (Alg::Ps384, &RSA_PSS_2048_8192_SHA384),
    (Alg::Ps512, &RSA_PSS_2048_8192_SHA512),
];

/// A curve of NIST; each has one algorithm (RFC 7518 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    const fn alg(self) -> Alg {
        match self {
            Self::P256 => Alg::Es256,
            Self::P384 => Alg::Es384,
            Self::P521 => Alg::Es512,
        }
    }

    /// Bytes of a coordinate.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        }
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwk")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

impl Jwk {
    /// Reads one public signature key. A member that is null is absent, one that nobody needs may be anything.
    pub fn from_value(value: &Value) -> Result<Self, JwkError> {
        let members = value.as_object().ok_or(JwkError::NotKey)?;
        let kty = text(members, "kty").ok_or(JwkError::NotKey)?;
        if kty == "oct" {
            return Err(JwkError::Unsupported);
        }
        if ["d", "p", "q", "dp", "dq", "qi", "oth"]
            .iter()
            .any(|name| members.get(*name).is_some_and(|member| !member.is_null()))
        {
            return Err(JwkError::Private);
        }
        if text(members, "use").is_some_and(|purpose| purpose != "sig") {
            return Err(JwkError::OtherUse);
        }
        if let Some(Value::Array(operations)) = members.get("key_ops")
            && !operations.is_empty()
            && !operations
                .iter()
                .any(|operation| operation.as_str() == Some("verify"))
        {
            return Err(JwkError::OtherUse);
        }
        let alg = match text(members, "alg") {
            None => None,
            Some(name) => Some(name.parse::<Alg>().map_err(|_| JwkError::Unsupported)?),
        };
        let curve = text(members, "crv");
        let jwk = match kty {
            "RSA" => Self::rsa(bytes(members, "n")?, bytes(members, "e")?)?,
            "EC" => {
                let curve = Curve::ALL
                    .into_iter()
                    .find(|known| curve == Some(known.name()))
                    .ok_or(JwkError::Unsupported)?;
                Self::ec(curve, bytes(members, "x")?, bytes(members, "y")?)?
            }
            "OKP" if curve == Some("Ed25519") => Self::ed25519(bytes(members, "x")?)?,
            _ => return Err(JwkError::Unsupported),
        };
        if alg.is_some_and(|alg| !jwk.fits(alg)) {
            return Err(JwkError::Unsupported);
        }
        Ok(Self {
            kid: key_id(members),
            alg,
            ..jwk
        })
    }

    /// An RSA key of big-endian numbers.
    pub(crate) fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, JwkError> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(JwkError::RsaSize);
        }
        let odd = e.last().is_some_and(|last| last & 1 == 1);
        if !odd || e.len() > 4 || e == [1] {
            return Err(JwkError::RsaExponent);
        }
        if has_weak_generator_fingerprint(&n) {
            return Err(JwkError::RsaWeakGenerator);
        }
        let first = parsed_rsa(&n, &e, &RSA_PKCS1_2048_8192_SHA256).ok_or(JwkError::BadMember)?;
        let ready = Box::new([const { OnceLock::new() }; RSA.len()]);
        let [pkcs1, ..] = &*ready;
        pkcs1.get_or_init(|| Some(first));
        Ok(Self::new(Material::Rsa { n, e, ready }))
    }

    /// A key of two coordinates. Some publishers leave out leading zeros, others add one.
    pub(crate) fn ec(curve: Curve, x: Vec<u8>, y: Vec<u8>) -> Result<Self, JwkError> {
        let (x, y) = (coordinate(curve, x)?, coordinate(curve, y)?);
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        let key =
            ParsedPublicKey::new(curve.verification(), point).map_err(|_| JwkError::NotOnCurve)?;
        Ok(Self::new(Material::Ec { curve, x, y, key }))
    }

    /// An Ed25519 key of 32 bytes.
    pub(crate) fn ed25519(x: Vec<u8>) -> Result<Self, JwkError> {
        if x.len() != 32 {
            return Err(JwkError::BadMember);
        }
        let key = ParsedPublicKey::new(&ED25519, x.as_slice()).map_err(|_| JwkError::NotOnCurve)?;
        Ok(Self::new(Material::Ed25519 { x, key }))
    }

    fn new(material: Material) -> Self {
        // RFC 7638 §3.2: the required members in lexicographic order, without white space.
        let canonical = match &material {
            Material::Rsa { n, e, .. } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n))
            }
            Material::Ec { curve, x, y, .. } => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                curve.name(),
                encode(x),
                encode(y)
            ),
            Material::Ed25519 { x, .. } => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x))
            }
        };
        let thumbprint = encode(digest(&SHA256, canonical.as_bytes()).as_ref());
        Self {
            kid: None,
            alg: None,
            thumbprint,
            material: Arc::new(material),
        }
    }

    /// The same key under this `kid`, for this algorithm.
    pub(crate) fn named(self, kid: String, alg: Alg) -> Self {
        Self {
            kid: Some(kid),
            alg: Some(alg),
            ..self
        }
    }

    /// The key id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm the key is restricted to.
    pub const fn alg(&self) -> Option<Alg> {
        self.alg
    }

    /// The thumbprint of RFC 7638 with SHA-256, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether this key may verify signatures of this algorithm.
    pub fn supports(&self, alg: Alg) -> bool {
        self.fits(alg) && self.alg.is_none_or(|only| only == alg)
    }

    fn fits(&self, alg: Alg) -> bool {
        match &*self.material {
            Material::Rsa { .. } => RSA.iter().any(|(known, _)| *known == alg),
            Material::Ec { curve, .. } => curve.alg() == alg,
            Material::Ed25519 { .. } => alg == Alg::EdDsa,
        }
    }

    /// Verifies a signature of this algorithm.
    pub fn verify(&self, alg: Alg, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if !self.supports(alg) {
            return Err(BadSignature);
        }
        let key = match &*self.material {
            Material::Rsa { n, e, ready } => RSA
                .iter()
                .zip(&**ready)
                .find(|((known, _), _)| *known == alg)
                .and_then(|((_, parameters), ready)| {
                    ready.get_or_init(|| parsed_rsa(n, e, parameters)).as_ref()
                })
                .ok_or(BadSignature)?,
            Material::Ec { key, .. } | Material::Ed25519 { key, .. } => key,
        };
        key.verify_sig(message, signature).map_err(|_| BadSignature)
    }

    /// The public key as JSON, for publication.
    pub fn to_value(&self) -> Value {
        let mut value = match &*self.material {
            Material::Rsa { n, e, .. } => json!({ "kty": "RSA", "n": encode(n), "e": encode(e) }),
            Material::Ec { curve, x, y, .. } => {
                json!({ "kty": "EC", "crv": curve.name(), "x": encode(x), "y": encode(y) })
            }
            Material::Ed25519 { x, .. } => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x) })
            }
        };
        if let Some(members) = value.as_object_mut() {
            members.insert("use".to_owned(), "sig".into());
            members.extend(
                self.kid
                    .as_ref()
                    .map(|kid| ("kid".to_owned(), kid.as_str().into())),
            );
            members.extend(self.alg.map(|alg| ("alg".to_owned(), alg.as_str().into())));
        }
        value
    }
}

/// Public keys of one owner.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    left_out: Vec<LeftOut>,
}

/// A key for signatures that cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its id.
    pub kid: Option<String>,
    /// Why.
    pub reason: JwkError,
}

impl JwkSet {
    /// These keys.
    pub const fn new(keys: Vec<Jwk>) -> Self {
        Self {
            keys,
            left_out: Vec::new(),
        }
    }

    /// Reads a set; keys that cannot be used here are left out (RFC 7517 §5), weak ones too (SEC-42).
    pub fn parse(bytes: &[u8]) -> Result<Self, JwkSetError> {
        if bytes.len() > MAX_BYTES {
            return Err(JwkSetError::TooLong);
        }
        let value: Value =
            serde_json::from_slice(without_bom(bytes)).map_err(|_| JwkSetError::NotKeySet)?;
        Self::from_value(&value)
    }

    /// Like [`Self::parse`], from parsed JSON.
    pub fn from_value(value: &Value) -> Result<Self, JwkSetError> {
        let published = value
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(JwkSetError::NotKeySet)?;
        let mut set = Self::default();
        for key in published {
            let read = if set.keys.len() < MAX_KEYS {
                Jwk::from_value(key)
            } else {
                Err(JwkError::TooMany)
            };
            match read {
                Ok(key) => set.keys.push(key),
                Err(JwkError::OtherUse) => {}
                Err(reason) => set.left_out.push(LeftOut {
                    kid: key.as_object().and_then(key_id),
                    reason,
                }),
            }
        }
        Ok(set)
    }

    /// The keys for signatures that were left out, for the log.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The keys, in order.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Whether a key of this id is in the set, whatever it can do.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid() == Some(kid))
    }

    /// The keys that may have made a signature of this algorithm: those with this `kid`, or all if none was named.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        alg: Alg,
    ) -> impl Iterator<Item = &'a Jwk> {
        self.keys
            .iter()
            .filter(move |key| key.supports(alg) && (kid.is_none() || key.kid() == kid))
    }

    /// The set as JSON, for publication.
    pub fn to_value(&self) -> Value {
        json!({ "keys": self.keys.iter().map(Jwk::to_value).collect::<Vec<_>>() })
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// `kid`; some publishers write a number.
fn key_id(members: &Map<String, Value>) -> Option<String> {
    match members.get("kid")? {
        Value::String(kid) => Some(kid.clone()),
        Value::Number(kid) => Some(kid.to_string()),
        _ => None,
    }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, JwkError> {
    // Some publishers pad, some use the alphabet of plain base64.
    let encoded: String = text(members, name)
        .ok_or(JwkError::BadMember)?
        .trim_end_matches('=')
        .chars()
        .map(|letter| match letter {
            '+' => '-',
            '/' => '_',
            letter => letter,
        })
        .collect();
    URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| JwkError::BadMember)
}

fn parsed_rsa(n: &[u8], e: &[u8], parameters: &'static RsaParameters) -> Option<ParsedPublicKey> {
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(parameters)
        .ok()
}

/// A coordinate of exactly the width of its curve.
fn coordinate(curve: Curve, bytes: Vec<u8>) -> Result<Vec<u8>, JwkError> {
    let number = without_leading_zeros(bytes);
    let missing = curve
        .width()
        .checked_sub(number.len())
        .ok_or(JwkError::BadMember)?;
    Ok([vec![0; missing], number].concat())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn without_leading_zeros(number: Vec<u8>) -> Vec<u8> {
    if number.first() == Some(&0) {
        number.into_iter().skip_while(|byte| *byte == 0).collect()
    } else {
        number
    }
}

/// Whether, for each of these primes, the modulus lies in the subgroup that 65537 generates: true of every key of the
/// weak generator, and of one honest key in 2^27 or fewer.
fn has_weak_generator_fingerprint(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let residue = n.iter().fold(0_u32, |residue, byte| {
            (residue * 256 + u32::from(*byte)) % prime
        });
        let mut power = 1_u32;
        (0..*prime).any(|_| {
            power = power * (65537 % prime) % prime;
            power == residue
        })
    })
}
